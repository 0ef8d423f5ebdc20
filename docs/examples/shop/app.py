"""A small shop: the customer orders at its page, and pays with the face at the till.

It shows what a shop must do: store the order and its idempotency key before it asks for the
payment, ask again with that key where nobody answered, believe a webhook only with its
signature, take each event once, and look the payment up rather than trust the events' order.

It is a sample: put a login and a CSRF token before pages that more than the staff can reach.
"""

from __future__ import annotations

import os
import sqlite3
import uuid
from contextlib import closing
from pathlib import Path
from typing import Any

from countenance_client import (
    Client,
    ProblemError,
    SignatureError,
    UnavailableError,
    verify_event,
)
from flask import Flask, abort, g, redirect, render_template_string, request, url_for
from werkzeug.wrappers import Response

ITEMS = {"bread": "4.20", "cake": "12.50", "coffee": "2.80"}
CURRENCY = "EUR"
SCHEMA = """
CREATE TABLE IF NOT EXISTS orders (
    number INTEGER PRIMARY KEY, item TEXT NOT NULL, amount TEXT NOT NULL, key TEXT NOT NULL,
    payment TEXT UNIQUE, state TEXT NOT NULL DEFAULT 'new', refunded INTEGER NOT NULL DEFAULT 0);
CREATE TABLE IF NOT EXISTS events (event TEXT PRIMARY KEY);
"""
PAGE = """<!doctype html><meta charset="utf-8"><title>Shop</title><h1>Shop</h1>
{% if order %}<p>Order {{ order.number }}: {{ order.item }}, {{ order.amount }} {{ currency }}</p>
<p>State: <strong id="state">{{ order.state }}</strong>
{%- if order.refunded %}, given back{% endif %}
{% if order.state == "open" %}<p>Look at the terminal, please.{% endif %}
{% if order.state == "captured" and not order.refunded %}
<form method="post" action="{{ url_for('refund', number=order.number) }}"><button>Give back</button>
</form>{% endif %}<p><a href="{{ url_for('shelf') }}">Back</a>
{% else %}{% for item, amount in items.items() %}<form method="post" action="{{ url_for('buy') }}">
<button name="item" value="{{ item }}">{{ item }}, {{ amount }} {{ currency }}</button></form>
{% endfor %}{% endif %}"""


class Orders:
    """The shop's own book, in SQLite: a connection for each request."""

    def __init__(self, database: Path | str) -> None:
        self._database = database
        with closing(sqlite3.connect(database)) as conn:
            conn.executescript(SCHEMA)

    @property
    def conn(self) -> sqlite3.Connection:
        if "conn" not in g:
            g.conn = sqlite3.connect(self._database, isolation_level=None)
            g.conn.row_factory = sqlite3.Row
        found: sqlite3.Connection = g.conn
        return found

    def add(self, item: str) -> int:
        """A new order, with the idempotency key of its payment."""
        made = self.conn.execute(
            "INSERT INTO orders (item, amount, key) VALUES (?, ?, ?)",
            (item, ITEMS[item], uuid.uuid4().hex),
        )
        return int(made.lastrowid or 0)

    def find(self, number: int) -> sqlite3.Row:
        row = self.conn.execute("SELECT * FROM orders WHERE number = ?", (number,)).fetchone()
        if row is None:
            abort(404)
        found: sqlite3.Row = row
        return found

    def note(self, payment: dict[str, Any]) -> None:
        """What became of an order's payment."""
        number = str(payment["order"]).removeprefix("S-")
        self.conn.execute(
            "UPDATE orders SET payment = ?, state = ?, refunded = ? WHERE number = ?",
            (payment["payment_intent"], payment["state"], payment["refunded_minor"], number),
        )

    def seen(self, event: str) -> bool:
        found = self.conn.execute("SELECT 1 FROM events WHERE event = ?", (event,))
        return found.fetchone() is not None

    def see(self, event: str) -> None:
        self.conn.execute("INSERT OR IGNORE INTO events VALUES (?)", (event,))


def create_app(
    client: Client, *, terminal: str, secrets: list[str], database: Path | str = "shop.db"
) -> Flask:
    """``secrets`` of the webhook; two while one is rotated."""
    app, orders = Flask(__name__), Orders(database)
    app.config["MAX_CONTENT_LENGTH"] = 64 * 1024

    @app.teardown_appcontext
    def _close(_: BaseException | None) -> None:
        if "conn" in g:
            g.pop("conn").close()

    def ask(order: sqlite3.Row) -> None:
        """The same key again, however often it takes, is one payment."""
        payment = client.create_payment(
            order["amount"],
            CURRENCY,
            order=f"S-{order['number']}",
            terminal=terminal,
            key=order["key"],
        )
        orders.note(payment)

    def show(order: sqlite3.Row | None) -> str:
        return render_template_string(PAGE, order=order, items=ITEMS, currency=CURRENCY)

    @app.get("/")
    def shelf() -> str:
        return show(None)

    @app.post("/orders")
    def buy() -> Response:
        item = request.form.get("item", "")
        if item not in ITEMS:
            abort(400)
        return redirect(url_for("order", number=orders.add(item)), 303)

    @app.get("/orders/<int:number>")
    def order(number: int) -> str:
        found = orders.find(number)
        if found["payment"] is None:
            ask(found)
        return show(orders.find(number))

    @app.post("/orders/<int:number>/refund")
    def refund(number: int) -> Response:
        found = orders.find(number)
        client.refund(found["payment"], key=f"refund-{found['key']}")
        orders.note(client.payment(found["payment"]))
        return redirect(url_for("order", number=number), 303)

    @app.post("/hook")
    def hook() -> tuple[str, int]:
        """2xx only when it is done: what is not done comes again."""
        try:
            event = verify_event(
                request.get_data(), request.headers.get("Countenance-Signature", ""), secrets
            )
        except SignatureError:
            return "not signed", 400
        if not orders.seen(event["event"]):
            orders.note(client.payment(event["payment_intent"]["payment_intent"]))
            orders.see(event["event"])
        return "", 204

    @app.errorhandler(UnavailableError)
    def _unavailable(_: UnavailableError) -> tuple[str, int]:
        return "the payment service does not answer: load this page again", 503

    @app.errorhandler(ProblemError)
    def _refused(error: ProblemError) -> tuple[str, int]:
        return f"the payment service refused: {error.code}", 409

    return app


def from_environment() -> Flask:
    """For ``flask --app shop.app:from_environment run``."""
    env = os.environ
    client = Client(env["SHOP_SERVICE"], env["SHOP_TOKEN"], env["SHOP_MERCHANT"])
    return create_app(
        client,
        terminal=env["SHOP_TERMINAL"],
        secrets=env["SHOP_WEBHOOK_SECRETS"].split(","),
        database=env.get("SHOP_DATABASE", "shop.db"),
    )
