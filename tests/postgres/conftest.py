"""A real PostgreSQL: ``database`` and ``url`` are a fresh, migrated one for each test."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest
from psycopg.conninfo import make_conninfo
from sqlalchemy import make_url

from service.db import Database
from service.embedded import open_embedded
from service.migrate import migrate

TEMPLATE = "countenance_template"


@pytest.fixture(scope="session")
def server() -> Iterator[str]:
    """``COUNTENANCE_TEST_DATABASE_URL``, or an embedded server of this run."""
    given = os.environ.get("COUNTENANCE_TEST_DATABASE_URL")
    if given:
        yield given
        return
    home = Path(tempfile.mkdtemp())
    home.chmod(0o711)
    with open_embedded(home, durable=False) as url:
        yield url
    shutil.rmtree(home)


def named(server: str, database: str) -> str:
    return make_url(server).set(database=database).render_as_string(hide_password=False)


@pytest.fixture(scope="session")
def template(server: str) -> Iterator[str]:
    name = f"{TEMPLATE}_{uuid4().hex[:8]}"
    with psycopg.connect(make_conninfo(server), autocommit=True) as conn:
        conn.execute(f"CREATE DATABASE {name}")
        migrate(named(server, name))
        yield name
        conn.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def url(server: str, template: str) -> Iterator[str]:
    name = f"test_{uuid4().hex}"
    with psycopg.connect(server, autocommit=True) as conn:
        conn.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
        yield named(server, name)
        conn.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def database(url: str) -> Iterator[Database]:
    opened = Database.open(url, size=16)
    yield opened
    opened.close()


@pytest.fixture
def empty_url(server: str) -> Iterator[str]:
    """A database without any schema."""
    name = f"test_{uuid4().hex}"
    with psycopg.connect(server, autocommit=True) as conn:
        conn.execute(f"CREATE DATABASE {name}")
        yield named(server, name)
        conn.execute(f"DROP DATABASE {name} WITH (FORCE)")
