"""The processors that the settings name. Their libraries are extras, loaded only where named."""

from __future__ import annotations

from importlib.util import find_spec

from service.errors import Misconfigured
from service.funding.processor import Processor, ProcessorName, Processors
from service.settings import Settings


def open_processors(settings: Settings) -> Processors:
    """Raises :class:`Misconfigured` for one whose library is not installed."""
    found: dict[ProcessorName, Processor] = {}
    if settings.stripe_key is not None:
        _require("stripe", "stripe")
        from service.funding.stripe import Stripe  # noqa: PLC0415

        found[ProcessorName.STRIPE] = Stripe(settings.stripe_key, url=settings.stripe_url)
    if settings.iso8583_address is not None:
        _require("iso8583", "iso8583")
        from service.funding.iso8583.host import Host  # noqa: PLC0415
        from service.funding.iso8583.line import Address  # noqa: PLC0415

        host, port, tls = settings.iso8583_address
        address = Address(host=host, port=port, tls=tls)
        found[ProcessorName.ISO8583] = Host(address, acquirer=settings.iso8583_acquirer)
    return found


def _require(module: str, extra: str) -> None:
    if find_spec(module) is None:
        raise Misconfigured(f"install countenance[{extra}], or leave {extra} out of the settings")
