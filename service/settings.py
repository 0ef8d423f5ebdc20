"""Settings, from the environment. Each wrong value is one clear error.

| variable | meaning | default |
|---|---|---|
| COUNTENANCE_HOME | keys, and the embedded database | see :func:`default_home` |
| COUNTENANCE_DATABASE_URL | PostgreSQL 15 or newer | embedded |
| COUNTENANCE_BROKER_URL | RabbitMQ or Redis for Celery | pgmq on the database |
| COUNTENANCE_STRIPE_KEY | Stripe's secret key: customers' cards pay by it | no Stripe |
| COUNTENANCE_STRIPE_WEBHOOK_SECRET | what Stripe signs its events with | events are refused |
| COUNTENANCE_STRIPE_URL | a stand-in for Stripe, in development | Stripe's |
| COUNTENANCE_ISO8583_URL | tls://HOST:PORT of a bank, or tcp:// to this machine | no host |
| COUNTENANCE_ISO8583_ACQUIRER | 1 to 11 digits that the bank knows us by | 0 |
| COUNTENANCE_…_FILE | of a URL, key or secret: a file that holds it, in its stead | none |
| COUNTENANCE_MODE | production, or development | production |
| COUNTENANCE_LOG_NAME | the audit log's name | localhost/countenance |
| COUNTENANCE_POOL_SIZE | connections of a process | 8 |
| COUNTENANCE_CHALLENGES_PER_MINUTE | of one terminal | 60 |
| COUNTENANCE_WHEREABOUTS_DAYS | how long it is kept who was inside | 90 |
| COUNTENANCE_CONSOLE_ORIGIN | as browsers know it: https://host[:port] | no console |
| COUNTENANCE_LIVENESS_REPORT | a file that `evaluate liveness --json` printed | no figures |
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from platformdirs import user_data_path

from service.errors import Misconfigured

LOCAL = "http://localhost:"
LOOPBACK = "127.0.0.1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    home: Path
    database_url: str | None = field(repr=False)
    broker_url: str | None = field(repr=False)
    production: bool
    log_name: str
    pool_size: int
    challenges_per_minute: int
    whereabouts_days: int = 90
    console_origin: str | None = None
    liveness_report: Path | None = None
    stripe_key: str | None = field(default=None, repr=False)
    stripe_webhook_secret: str | None = field(default=None, repr=False)
    stripe_url: str | None = field(default=None, repr=False)
    iso8583_address: tuple[str, int, bool] | None = None
    """Host, port, and whether TLS is spoken."""
    iso8583_acquirer: str = "0"

    @classmethod
    def from_env(cls, env: Mapping[str, str] = os.environ) -> Settings:
        """Raises :class:`Misconfigured`."""
        mode = env.get("COUNTENANCE_MODE", "production")
        if mode not in ("production", "development"):
            raise Misconfigured("COUNTENANCE_MODE is production or development")
        name = env.get("COUNTENANCE_LOG_NAME", "localhost/countenance")
        if not name or any(character.isspace() or character == "+" for character in name):
            raise Misconfigured("COUNTENANCE_LOG_NAME has no blanks and no +")
        acquirer = env.get("COUNTENANCE_ISO8583_ACQUIRER", "0")
        if not re.fullmatch(r"[0-9]{1,11}", acquirer):
            raise Misconfigured("COUNTENANCE_ISO8583_ACQUIRER is 1 to 11 digits")
        return cls(
            home=Path(env.get("COUNTENANCE_HOME") or default_home()),
            database_url=_url(env, "COUNTENANCE_DATABASE_URL", ("postgresql", "postgres")),
            broker_url=_url(env, "COUNTENANCE_BROKER_URL", ("amqp", "amqps", "redis", "rediss")),
            production=mode == "production",
            log_name=name,
            pool_size=_number(env, "COUNTENANCE_POOL_SIZE", 8, 2, 64),
            challenges_per_minute=_number(env, "COUNTENANCE_CHALLENGES_PER_MINUTE", 60, 1, 10**7),
            whereabouts_days=_number(env, "COUNTENANCE_WHEREABOUTS_DAYS", 90, 1, 3_650),
            console_origin=_origin(env.get("COUNTENANCE_CONSOLE_ORIGIN")),
            liveness_report=_file(env.get("COUNTENANCE_LIVENESS_REPORT")),
            stripe_key=_read(env, "COUNTENANCE_STRIPE_KEY") or None,
            stripe_webhook_secret=_read(env, "COUNTENANCE_STRIPE_WEBHOOK_SECRET") or None,
            stripe_url=_stand_in(env, "COUNTENANCE_STRIPE_URL", production=mode == "production"),
            iso8583_address=_address(env, "COUNTENANCE_ISO8583_URL"),
            iso8583_acquirer=acquirer,
        )


def default_home() -> Path:
    """For root, a place that the database's unprivileged user may enter."""
    if os.geteuid() == 0:
        return Path("/var/lib/countenance")
    return user_data_path("countenance")


def _url(env: Mapping[str, str], name: str, schemes: tuple[str, ...]) -> str | None:
    url = _read(env, name)
    if url and url.partition("://")[0] not in schemes:
        raise Misconfigured(f"{name} begins with {' or '.join(f'{each}://' for each in schemes)}")
    return url or None


def _stand_in(env: Mapping[str, str], name: str, *, production: bool) -> str | None:
    url = _url(env, name, ("http",))
    if url and (production or urlsplit(url).hostname != LOOPBACK):
        raise Misconfigured(f"{name} is for development, and http://{LOOPBACK}:…")
    return url


def _address(env: Mapping[str, str], name: str) -> tuple[str, int, bool] | None:
    """Without TLS only to this machine, where a tunnel may begin: cards are in the messages."""
    url = _url(env, name, ("tls", "tcp"))
    if url is None:
        return None
    try:
        parts = urlsplit(url)
        host, port, tls = parts.hostname, parts.port, parts.scheme == "tls"
    except ValueError:
        host, port, tls = None, None, False
    if not host or not port or url != f"{'tls' if tls else 'tcp'}://{host}:{port}":
        raise Misconfigured(f"{name} is written tls://HOST:PORT")
    if not tls and host != LOOPBACK:
        raise Misconfigured(f"{name} is tls://…, or tcp://{LOOPBACK}:…")
    return host, port, tls


def _read(env: Mapping[str, str], name: str) -> str | None:
    """A URL may hold a password, and a secret is better kept in a file than in the environment."""
    path = env.get(f"{name}_FILE")
    if not path:
        return env.get(name)
    if env.get(name):
        raise Misconfigured(f"set {name} or {name}_FILE, not both")
    try:
        return Path(path).read_text().strip()
    except (OSError, ValueError):
        raise Misconfigured(f"{name}_FILE names no file that can be read") from None


def _origin(text: str | None) -> str | None:
    """Passkeys belong to a host's name, and work over https or on this machine itself."""
    if not text:
        return None
    parts = urlsplit(text)
    host = parts.hostname or ""
    whole = f"{parts.scheme}://{parts.netloc}" == text and "@" not in parts.netloc
    named = bool(host) and not host.replace(".", "").isdigit() and ":" not in host
    if not whole or not named or not (parts.scheme == "https" or text.startswith(LOCAL)):
        raise Misconfigured("COUNTENANCE_CONSOLE_ORIGIN is https://host or http://localhost:port")
    return text


def _file(name: str | None) -> Path | None:
    return Path(name) if name else None


def _number(env: Mapping[str, str], name: str, default: int, least: int, most: int) -> int:
    text = env.get(name, str(default))
    if not (text.isascii() and text.isdigit() and least <= int(text) <= most):
        raise Misconfigured(f"{name} is a number from {least} to {most}")
    return int(text)
