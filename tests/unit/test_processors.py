from __future__ import annotations

import os
import subprocess
import sys

from benchmarks.processors import Used, read

_BURN = "import time\nwhile time.process_time() < 0.3: pass"


def test_what_a_process_that_ended_took_counts_for_its_parent() -> None:
    before = read({"all": os.getpid()})
    subprocess.run([sys.executable, "-c", _BURN], check=True)
    used = Used.between(before, read({"all": os.getpid()}))
    assert 0.25 < used.named["all"] <= used.elapsed


def test_a_root_below_another_is_not_counted_twice() -> None:
    with subprocess.Popen([sys.executable, "-c", _BURN + "\nprint()\ninput()"],
                          stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:  # fmt: skip
        assert child.stdout is not None
        child.stdout.readline()
        found = read({"all": os.getpid(), "child": child.pid}).named
        alone = read({"all": os.getpid()}).named["all"]
        assert found["child"] > 0.25
        assert alone - found["all"] > 0.25
        child.communicate(b"\n")
