"""What the commands print: one look for people, one JSON line for machines."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NoReturn

import click
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Column

console = Console()
err_console = Console(stderr=True)


class CommandError(click.ClickException):
    """A command that could not do its work: what happened, why, what to do next."""

    def __init__(self, what: str, *, why: str = "", todo: str = "", exit_code: int = 1) -> None:
        super().__init__(what)
        self.why = why
        self.todo = todo
        self.exit_code = exit_code  # type: ignore[misc]

    def show(self, file: Any = None) -> None:
        lines = (
            ("[bold red]✗[/]", self.message),
            ("  [dim]why:[/] ", self.why),
            ("  [dim]next:[/]", self.todo),
        )
        for mark, text in lines:
            if text:
                # What is named may hold brackets: an extra, a file.
                err_console.print(f"{mark} {escape(text)}", highlight=False, soft_wrap=True)


def fail(what: str, *, why: str = "", todo: str = "", exit_code: int = 1) -> NoReturn:
    """Ends the command with a message of three parts and the exit code."""
    raise CommandError(what, why=why, todo=todo, exit_code=exit_code)


def emit_json(value: object) -> None:
    """Prints one JSON document on one line of standard output."""
    click.echo(json.dumps(value, separators=(",", ":"), sort_keys=True))


def id_column(name: str) -> Column:
    """Of a table: folds ids rather than cutting them off."""
    return Column(name, overflow="fold")


def progress() -> Progress:
    """A bar on standard error, gone when it is done."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=err_console,
        transient=True,
    )


def write_document(path: Path, document: str, out: Console) -> None:
    """Writes a report, or ends the command."""
    try:
        path.write_text(document, encoding="utf-8")
    except OSError as error:
        fail(f"{path} cannot be written", why=error.strerror or "", todo="choose another file")
    out.print(f"[green]✓[/] {path}", highlight=False)
