"""``countenance terminal till | keypad | till-token``: a store's payments, one after the other."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager

import click
from rich.markup import escape

from countenance.commands.terminal_device import Options, claim_of, device_command, read_pin
from countenance.commands.terminal_report import Screen, explain
from face_engine.engine import Engine
from terminal_client.camera_source import open_camera
from terminal_client.card import attempt_by_card
from terminal_client.ceremony import Prompt
from terminal_client.config import Config
from terminal_client.device import Device
from terminal_client.exchange import Ended
from terminal_client.keystore import Keystore
from terminal_client.loopback import LoopbackServer
from terminal_client.payments import Payment, PaymentBook, State, Way, Wish
from terminal_client.terminal import Terminal
from terminal_client.till import Cancelled, Hooks, Take, Till
from terminal_client.till_http import create_till_app
from wire.errors import WireError
from wire.messages import PaymentContext, TerminalKind
from wire.money import Money

PAYMENTS = "payments.db"
TYPED = click.option("--pack", help="The model pack.")


@device_command(
    click.option("--new", is_flag=True, help="Make a new one: the till needs it from now on."),
)
def till_token(options: Options, new: bool) -> None:
    """Print the token that the till must show to this terminal's local API."""
    options.config()
    token = Keystore(options.home).till_token(renew=new)
    click.echo(token)


@device_command(
    click.option("--port", type=click.IntRange(1024, 65_535), help="On 127.0.0.1."),
    click.option("--camera", help="As in terminal.toml."),
    TYPED,
)
def till(options: Options, port: int | None) -> None:
    """Take the payments that the till asks for, at http://127.0.0.1:8440/v1/payments.

    The till shows the token of `countenance terminal till-token`: docs/till.md.
    """
    config = options.config()
    engine = Engine.open(config.pack)
    with options.device(config) as device, _till(options, config, device, engine) as found:
        token = device.keystore.till_token()
        server = LoopbackServer(create_till_app(found, token), port or config.till_port)
        server.start()
        options.report.say(f"[green]✓[/] http://127.0.0.1:{port or config.till_port}/v1/payments")
        signal.signal(signal.SIGTERM, lambda *_: found.stop())
        try:
            found.run()
        finally:
            server.stop()


@device_command(click.option("--camera", help="As in terminal.toml."), TYPED)
def keypad(options: Options) -> None:
    """Take payments without a till: the amount is typed at this terminal. An empty one ends."""
    config = options.config()
    engine = Engine.open(config.pack)
    with options.device(config) as device, _till(options, config, device, engine) as found:
        while True:
            while not found.settle():
                click.confirm("The service does not answer. Try again?", abort=True, err=True)
            wish = _typed_wish(found, config.keypad_currency)
            if wish is None:
                return
            found.begin(wish)
            found.take_one()
            paid = found.book.find(wish.payment)
            if paid is not None:
                _tell(options, paid)


@contextmanager
def _till(options: Options, config: Config, device: Device, engine: Engine) -> Iterator[Till]:
    device.identity.require(TerminalKind.STORE)
    with closing(PaymentBook(options.home / PAYMENTS)) as book:
        yield Till(device, book, _take(options, config, device, engine))


def _take(options: Options, config: Config, device: Device, engine: Engine) -> Take:
    terminal = Terminal(
        device.keystore,
        device.outbox,
        device.transport,
        engine,
        successor=Engine.open(config.successor) if config.successor else None,
        unix_ms=device.unix_ms,
    )

    def ask_pin(hooks: Hooks) -> str:
        hooks.show("Enter the PIN")
        return _asked(lambda: read_pin(twice=False))

    def take(context: PaymentContext, wish: Wish, hooks: Hooks) -> Ended:
        hooks.show("Name the account")
        claim = wish.claim or _asked(lambda: claim_of(options))
        if wish.way is Way.CARD_PIN:
            return attempt_by_card(
                device, context, claim, lambda: ask_pin(hooks), act=hooks.act,
                on_send=hooks.on_send, attempt=hooks.attempt,
            )  # fmt: skip
        screen = Screen(options.report.out)

        def show(prompt: Prompt) -> None:
            hooks.show(prompt.instruction)
            screen.show(prompt)

        def ask_pin_after_face() -> str:
            screen.close()
            return ask_pin(hooks)

        try:
            return terminal.attempt(
                context, claim, open_camera(config.camera, engine), pin=ask_pin_after_face,
                on_prompt=show, act=hooks.act, on_send=hooks.on_send, attempt=hooks.attempt,
            )  # fmt: skip
        finally:
            screen.close()

    return take


def _asked(ask: Callable[[], str]) -> str:
    """Who presses Ctrl-C or Ctrl-D instead of an answer gives the payment up."""
    try:
        return ask()
    except click.Abort:
        raise Cancelled from None


def _typed_wish(found: Till, currency: str) -> Wish | None:
    """What the cashier types; None for an empty amount."""
    money = click.prompt(
        f"Amount in {currency}", default="", show_default=False, err=True,
        value_proc=lambda text: _amount(text, currency),
    )  # fmt: skip
    if money is None:
        return None
    ways = {"face": Way.FACE, "card": Way.CARD_PIN}
    way = click.prompt(
        "Face, or card and PIN", type=click.Choice(list(ways)), default="face", err=True
    )
    number = f"K-{found.book.next_number():06}"
    return Wish(payment=number, money=money, order=number, way=ways[way])


def _amount(text: str, currency: str) -> Money | None:
    if not text.strip():
        return None
    try:
        return Money.parse(f"{text.strip().replace(',', '.')} {currency}")
    except WireError as error:
        raise click.UsageError(str(error)) from error


def _tell(options: Options, paid: Payment) -> None:
    if paid.state is State.APPROVED:
        options.report.say(f"[green]✓[/] {paid.money} paid, order {paid.order}")
        return
    what = "refused" if paid.state is State.REFUSED else "not charged"
    if not paid.is_final:
        what = "not decided yet, it is settled first"
    options.report.say(f"[red]✗[/] {paid.order}: {what} ({escape(explain(paid.reason))})")
