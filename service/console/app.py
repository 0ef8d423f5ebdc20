"""Puts the console on the service's application."""

from __future__ import annotations

from pathlib import Path
from threading import BoundedSemaphore

from flask import Flask, Response, g

from service.console import (
    audit,
    doors,
    measurements,
    pages,
    payments,
    policies,
    sign_in,
    terminals,
)
from service.console.frame import TEXTS, console, show
from service.passkeys import RelyingParty
from service.web import protect, read_language
from texts import translator

PAGES = (audit, doors, measurements, pages, payments, policies, sign_in, terminals)


def serve_console(app: Flask, origin: str, *, liveness_report: Path | None = None) -> None:
    """``liveness_report``: what ``countenance evaluate liveness --json`` printed."""
    app.extensions["liveness_report"] = liveness_report
    app.extensions["relying_party"] = RelyingParty(origin)
    app.extensions["listeners"] = BoundedSemaphore(doors.LISTENERS_MAX)
    app.jinja_env.trim_blocks = True
    app.jinja_env.lstrip_blocks = True
    app.register_blueprint(console)


def show_problem(status: int) -> Response:
    """What went wrong, as a page: what happened, why, and what to do next."""
    if "language" not in g:
        g.language = read_language()
    say = translator(TEXTS, g.language)["_"]
    title, text = {
        400: (
            say("This form is not valid any more"),
            say("It was opened long ago, or by another page. Open it again from the console."),
        ),
        403: (
            say("Not in your roles"),
            say("Your roles do not open this page. An admin can change them."),
        ),
        404: (
            say("There is no such page"),
            say("The address is wrong, or it is not yours to see."),
        ),
        405: (
            say("There is no such page"),
            say("The address is wrong, or it is not yours to see."),
        ),
        413: (say("Too long"), say("The form holds more than the console takes.")),
        503: (
            say("The database does not answer"),
            say("Nothing was changed that was not confirmed. Try again in a moment."),
        ),
    }.get(
        status,
        (say("Something went wrong here"), say("It is recorded. Try again, or tell an admin.")),
    )
    return protect(show("problem.html", status, title=title, text=text))
