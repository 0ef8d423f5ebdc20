"""Settings, from the environment. Each wrong value is one clear error.

| variable | meaning | default |
|---|---|---|
| COUNTENANCE_HOME | keys, and the embedded database | see :func:`default_home` |
| COUNTENANCE_DATABASE_URL | PostgreSQL 15 or newer | embedded |
| COUNTENANCE_BROKER_URL | RabbitMQ or Redis for Celery | pgmq on the database |
| COUNTENANCE_…_URL_FILE | a file that holds the URL, in its stead | none |
| COUNTENANCE_MODE | production, or development | production |
| COUNTENANCE_LOG_NAME | the audit log's name | localhost/countenance |
| COUNTENANCE_POOL_SIZE | connections of a process | 8 |
| COUNTENANCE_CHALLENGES_PER_MINUTE | of one terminal | 60 |
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from platformdirs import user_data_path

from service.errors import Misconfigured


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    home: Path
    database_url: str | None = field(repr=False)
    broker_url: str | None = field(repr=False)
    production: bool
    log_name: str
    pool_size: int
    challenges_per_minute: int

    @classmethod
    def from_env(cls, env: Mapping[str, str] = os.environ) -> Settings:
        """Raises :class:`Misconfigured`."""
        mode = env.get("COUNTENANCE_MODE", "production")
        if mode not in ("production", "development"):
            raise Misconfigured("COUNTENANCE_MODE is production or development")
        name = env.get("COUNTENANCE_LOG_NAME", "localhost/countenance")
        if not name or any(character.isspace() or character == "+" for character in name):
            raise Misconfigured("COUNTENANCE_LOG_NAME has no blanks and no +")
        return cls(
            home=Path(env.get("COUNTENANCE_HOME") or default_home()),
            database_url=_url(env, "COUNTENANCE_DATABASE_URL", ("postgresql", "postgres")),
            broker_url=_url(env, "COUNTENANCE_BROKER_URL", ("amqp", "amqps", "redis", "rediss")),
            production=mode == "production",
            log_name=name,
            pool_size=_number(env, "COUNTENANCE_POOL_SIZE", 8, 2, 64),
            challenges_per_minute=_number(env, "COUNTENANCE_CHALLENGES_PER_MINUTE", 60, 1, 10**7),
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


def _read(env: Mapping[str, str], name: str) -> str | None:
    """A URL holds a password, which is better kept in a file than in the environment."""
    path = env.get(f"{name}_FILE")
    if not path:
        return env.get(name)
    if env.get(name):
        raise Misconfigured(f"set {name} or {name}_FILE, not both")
    try:
        return Path(path).read_text().strip()
    except (OSError, ValueError):
        raise Misconfigured(f"{name}_FILE names no file that can be read") from None


def _number(env: Mapping[str, str], name: str, default: int, least: int, most: int) -> int:
    text = env.get(name, str(default))
    if not (text.isascii() and text.isdigit() and least <= int(text) <= most):
        raise Misconfigured(f"{name} is a number from {least} to {most}")
    return int(text)
