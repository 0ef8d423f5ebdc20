"""The front door: ``countenance COMMAND``.

Commands are imported only when they are called, so that a door controller
without the service's packages (or a service without OpenCV) still starts.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from importlib.metadata import version
from typing import Any

import click

from countenance.output import CommandError

COMMANDS = {
    "access": ("countenance.commands.access", "Who may enter where and when, and why."),
    "account": ("countenance.commands.account", "Customers: list, top up, suspend, resume, erase."),
    "audit": ("countenance.commands.audit", "Verify, list and export the authorization log."),
    "calibrate": ("countenance.commands.calibrate", "Make a pack's calibration from photos."),
    "demo": ("countenance.commands.demo", "The whole system on this machine, on real photos."),
    "door": ("countenance.commands.door", "Doors: add, change, list."),
    "evaluate": (
        "countenance.commands.evaluate",
        "Measure a pack on photos, and liveness on attacks.",
    ),
    "ledger": ("countenance.commands.ledger", "Prove that money balances; refunds, late cash."),
    "merchant": ("countenance.commands.merchant", "Merchants and what they earned."),
    "migrate": ("countenance.commands.migrate", "Bring the database schema up to date."),
    "models": ("countenance.commands.models", "Model packs: list, pull, verify, convert."),
    "operator": ("countenance.commands.operator", "Who may use the console."),
    "population": (
        "countenance.commands.population",
        "Whether the enrolled people match each other too often.",
    ),
    "serve": ("countenance.commands.serve", "Run the verification service."),
    "settlement": ("countenance.commands.settlement", "Daily settlements of merchants."),
    "terminal": ("countenance.commands.terminal", "Terminals: set them up and run them."),
    "token": ("countenance.commands.token", "API tokens: add, list, revoke."),
    "webhooks": ("countenance.commands.webhooks", "Webhooks: deliveries, and replay by hand."),
    "worker": ("countenance.commands.worker", "Run the tasks and their schedule."),
}
EXTRA_OF_MODULE = {
    "alembic": "service",
    "babel": "kiosk",
    "celery": "service",
    "cv2": "terminal",
    "gpiozero": "gpio",
    "http_message_signatures": "http-relay",
    "osdp_sys": "osdp",
    "paho": "mqtt",
    "flask": "service",
    "granian": "service",
    "jinja2": "evaluate",
    "onnx": "models",
    "onnxruntime": "terminal",
    "psycopg": "service",
    "segno": "kiosk",
    "skimage": "demo",
    "urllib3": "terminal",
    "waitress": "till",
    "websockets": "kiosk",
}


def explain_missing(missing: ModuleNotFoundError, who: str) -> Exception:
    """What to tell of a package that an extra would bring; ``missing`` itself if none does."""
    package = (missing.name or "").partition(".")[0]
    extra = EXTRA_OF_MODULE.get(package)
    if extra is None:
        return missing
    return CommandError(
        f"{who} needs the package {package}",
        why=f"this installation lacks the extra '{extra}'",
        todo=f"pip install 'countenance[{extra}]'",
        exit_code=3,
    )


class LazyGroup(click.Group):
    """``lazy`` maps a command's name to its module (``module:function``) and help line.

    Commands that need no more than the group itself may be added as to any group.
    """

    def __init__(self, *args: Any, lazy: Mapping[str, tuple[str, str]], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.lazy = lazy

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted({*self.lazy, *self.commands})

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in self.lazy:
            return super().get_command(ctx, name)
        module, _, function = self.lazy[name][0].partition(":")
        try:
            command: click.Command = getattr(importlib.import_module(module), function or name)
        except ModuleNotFoundError as missing:
            raise explain_missing(missing, f"'{ctx.command_path} {name}'") from missing
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        texts = {name: command.get_short_help_str() for name, command in self.commands.items()}
        texts |= {name: text for name, (_, text) in self.lazy.items()}
        with formatter.section("Commands"):
            formatter.write_dl(sorted(texts.items()))


@click.group(cls=LazyGroup, lazy=COMMANDS, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(version("countenance"), prog_name="countenance")
def main() -> None:
    """Face-to-pay checkout and access control, one face against one account."""


if __name__ == "__main__":
    main()
