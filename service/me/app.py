"""Puts the customer's page on the service's application, beside the console."""

from __future__ import annotations

from flask import Flask, Response, g

from service import web
from service.me import pages
from service.me.frame import TEXTS, me, show
from texts import translator

PAGES = (pages,)


def serve_me(app: Flask) -> None:
    """After the console, whose relying party is this one's."""
    app.register_blueprint(me)


def show_problem(status: int) -> Response:
    """What went wrong, as a page: what happened, and what to do next."""
    if "language" not in g:
        g.language = web.read_language()
    say = translator(TEXTS, g.language)["_"]
    title, text = {
        400: (
            say("This form is not valid any more"),
            say("Nothing was changed. Open your page again, and send the form from there."),
        ),
        404: (say("There is nothing here"), say("The address is wrong, or it is not yours.")),
        405: (say("There is nothing here"), say("The address is wrong, or it is not yours.")),
        503: (
            say("The service does not answer"),
            say("Nothing was changed. Try again in a moment."),
        ),
    }.get(status, (say("Something went wrong here"), say("It is recorded. Try again.")))
    return web.protect(show("problem.html", status, title=title, text=text))
