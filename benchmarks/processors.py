"""Whose processor time it was, from Linux's ``/proc``.

The caller must compare two :func:`read` of the same roots, close together: a process that began
and ended in between counts for its parent, once that has waited for it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Self

TICKS_PER_S = os.sysconf("SC_CLK_TCK")
# Fields of /proc/PID/stat after the command's name, proc_pid_stat(5): ppid; utime, stime, and those
# of children that were waited for.
_PARENT, _TIMES = 1, slice(11, 15)
# Of /proc/stat's first line, proc_stat(5).
_IDLE, _WAITING, _STOLEN = 3, 4, 7


@dataclass(frozen=True, slots=True, kw_only=True)
class Used:
    """Seconds of processors. ``stolen`` is what the machine below gave to others; ``rest`` what
    processes that were not named took."""

    named: Mapping[str, float]
    rest: float
    stolen: float
    elapsed: float

    @classmethod
    def between(cls, before: Reading, after: Reading) -> Self:
        named = {name: after.named[name] - before.named[name] for name in before.named}
        spent = [now - then for then, now in zip(before.machine, after.machine, strict=True)]
        stolen = spent[_STOLEN]
        busy = sum(spent) - spent[_IDLE] - spent[_WAITING] - stolen
        return cls(
            named=named,
            rest=max(0.0, busy - sum(named.values())),
            stolen=stolen,
            elapsed=sum(spent),
        )


@dataclass(frozen=True, slots=True)
class Reading:
    named: Mapping[str, float]
    machine: tuple[float, ...]


def read(roots: Mapping[str, int]) -> Reading:
    """What each root's process and all below it took so far; a root below another is not its."""
    processes = dict(_processes())
    children: dict[int, list[int]] = {}
    for pid, (parent, _) in processes.items():
        children.setdefault(parent, []).append(pid)

    def sum_of(pid: int) -> float:
        below = [each for each in children.get(pid, ()) if each not in roots.values()]
        return processes[pid][1] + sum(map(sum_of, below))

    return Reading({name: sum_of(pid) for name, pid in roots.items()}, _machine())


def _processes() -> Iterator[tuple[int, tuple[int, float]]]:
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            # One that has just ended is not there any more.
            with suppress(OSError):
                fields = (folder / "stat").read_text().rpartition(")")[2].split()
                ticks = sum(map(int, fields[_TIMES]))
                yield int(folder.name), (int(fields[_PARENT]), ticks / TICKS_PER_S)


def _machine() -> tuple[float, ...]:
    with Path("/proc/stat").open() as stat:
        fields = stat.readline().split()[1:9]
    return tuple(int(each) / TICKS_PER_S for each in fields)
