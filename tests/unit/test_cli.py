"""Commands bring in no more than they need."""

from __future__ import annotations

import subprocess
import sys

from click.testing import CliRunner

from countenance.cli import main
from countenance.commands.models import models


def test_the_models_commands_need_no_database_driver() -> None:
    program = (
        "import sys\n"
        "from countenance.commands.models import models\n"
        "print(sorted({'psycopg', 'flask', 'celery'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True
    )
    assert done.stdout.strip() == "[]"


def test_a_group_lists_what_is_lazy_and_what_is_not() -> None:
    shown = CliRunner().invoke(models, ["--help"]).output
    assert "migrate" in shown
    assert "convert" in shown
    assert CliRunner().invoke(main, ["models", "migrate", "--help"]).exit_code == 0
    assert CliRunner().invoke(models, ["nothing"]).exit_code == 2
