"""The front door: ``countenance COMMAND``.

Commands are imported only when they are called, so that a door controller
without the service's packages (or a service without OpenCV) still starts.
"""

from __future__ import annotations

import importlib
from importlib.metadata import version

import click

from countenance.output import CommandError

COMMANDS = {
    "account": ("countenance.commands.account", "Customers: list, top up, suspend, resume, erase."),
    "audit": ("countenance.commands.audit", "Verify, list and export the authorization log."),
    "demo": ("countenance.commands.demo", "The whole system on this machine, on real photos."),
    "door": ("countenance.commands.door", "Doors and who may open them."),
    "merchant": ("countenance.commands.merchant", "Merchants and what they earned."),
    "migrate": ("countenance.commands.migrate", "Bring the database schema up to date."),
    "models": ("countenance.commands.models", "Model packs: convert."),
    "population": (
        "countenance.commands.population",
        "Whether the enrolled people match each other too often.",
    ),
    "serve": ("countenance.commands.serve", "Run the verification service."),
    "terminal": ("countenance.commands.terminal", "Terminals: add, list, revoke."),
    "worker": ("countenance.commands.worker", "Run the tasks and their schedule."),
}
EXTRA_OF_MODULE = {
    "alembic": "service",
    "celery": "service",
    "cv2": "terminal",
    "flask": "service",
    "granian": "service",
    "onnx": "models",
    "onnxruntime": "terminal",
    "psycopg": "service",
    "skimage": "demo",
    "urllib3": "terminal",
}


class LazyGroup(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in COMMANDS:
            return None
        module, _ = COMMANDS[name]
        try:
            command: click.Command = getattr(importlib.import_module(module), name)
        except ModuleNotFoundError as missing:
            package = (missing.name or "").partition(".")[0]
            extra = EXTRA_OF_MODULE.get(package)
            if extra is None:
                raise
            raise CommandError(
                f"'countenance {name}' needs the package {package}",
                why=f"this installation lacks the extra '{extra}'",
                todo=f"pip install 'countenance[{extra}]'",
                exit_code=3,
            ) from missing
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in sorted(COMMANDS.items())])


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(version("countenance"), prog_name="countenance")
def main() -> None:
    """Face-to-pay checkout and access control, one face against one account."""


if __name__ == "__main__":
    main()
