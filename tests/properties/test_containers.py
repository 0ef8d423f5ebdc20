"""The container files, read: no engine runs here."""

from __future__ import annotations

import re
import stat
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from service.errors import Misconfigured
from service.settings import Settings

ROOT = Path(__file__).parents[2]
DOCKER = ROOT / "docker"
COMPOSE: dict[str, Any] = yaml.safe_load((DOCKER / "compose.yaml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = ("migrate", "service", "worker")
PINNED = re.compile(r"[a-z./]+:\d+\.\d+(\.\d+)?[a-z0-9.-]*")
STAGES = re.split(r"(?m)^FROM ", (DOCKER / "Dockerfile").read_text().replace("\\\n", " "))[1:]


def stage(name: str) -> str:
    (found,) = [each for each in STAGES if each.partition("\n")[0].endswith(f" AS {name}")]
    return found


def test_every_image_is_pinned_to_a_version() -> None:
    assert set(SERVICES) == {"postgres", "rabbitmq", *OURS}
    for name, service in SERVICES.items():
        assert PINNED.fullmatch(service["image"]), name
    base = re.search(r"^ARG PYTHON_IMAGE=(.*)$", (DOCKER / "Dockerfile").read_text(), re.MULTILINE)
    assert base is not None
    assert PINNED.fullmatch(base[1])
    assert all(each.split()[0] in ("${PYTHON_IMAGE}", "build", "runtime") for each in STAGES)


@pytest.mark.parametrize("name", [name for name in SERVICES if name != "migrate"])
def test_what_stays_up_has_a_healthcheck_and_starts_again(name: str) -> None:
    service = SERVICES[name]
    assert service["healthcheck"]["test"][0] == "CMD"
    assert service["restart"] == "unless-stopped"


@pytest.mark.parametrize("name", OURS)
def test_ours_run_with_as_little_as_they_can(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert "no-new-privileges:true" in service["security_opt"]
    assert service["environment"]["COUNTENANCE_MODE"] == "production"
    assert service["build"]["target"] == "service"


def test_only_the_service_is_reachable_and_from_this_machine_only() -> None:
    ports = {name: service["ports"] for name, service in SERVICES.items() if "ports" in service}
    assert ports == {"service": ["127.0.0.1:8440:8440"]}
    assert COMPOSE["networks"]["inside"] == {"internal": True}
    assert {name for name in SERVICES if "outside" in SERVICES[name]["networks"]} == {"service"}


def test_what_decides_waits_for_the_schema() -> None:
    for name in ("service", "worker"):
        waits = SERVICES[name]["depends_on"]
        assert waits["migrate"]["condition"] == "service_completed_successfully"
        assert waits["postgres"]["condition"] == "service_healthy"


def test_no_password_stands_in_the_files() -> None:
    for name in ("compose.yaml", "Dockerfile"):
        text = (DOCKER / name).read_text()
        assert not re.search(r"(?i)(password|passwd|pass)[ \t]*[:=][ \t]*['\"]?[a-z0-9]", text)
    for service in SERVICES.values():
        for name, value in service.get("environment", {}).items():
            if re.search("PASS|URL|SECRET", name):
                assert name.endswith("_FILE")
                assert value.startswith("/run/secrets/")
    assert (DOCKER / ".gitignore").read_text().split() == ["secrets/"]


def test_the_secrets_are_drawn_once_and_are_what_the_service_reads(tmp_path: Path) -> None:
    script = tmp_path / "secrets.sh"
    script.write_text((DOCKER / "secrets.sh").read_text())
    subprocess.run(["sh", script], check=True, capture_output=True)
    folder = tmp_path / "secrets"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    wanted = {Path(each["file"]).name for each in COMPOSE["secrets"].values()}
    assert {path.name for path in folder.iterdir()} == wanted
    settings = Settings.from_env(
        {
            "COUNTENANCE_DATABASE_URL_FILE": str(folder / "database_url"),
            "COUNTENANCE_BROKER_URL_FILE": str(folder / "broker_url"),
        }
    )
    password = (folder / "postgres_password").read_text()
    assert len(password) == 64
    assert settings.database_url == f"postgresql://countenance:{password}@postgres:5432/countenance"
    assert str(settings.broker_url).startswith("amqp://countenance:")
    assert password not in repr(settings)
    again = subprocess.run(["sh", script], check=False, capture_output=True)
    assert again.returncode == 1
    assert (folder / "postgres_password").read_text() == password


def test_a_url_comes_from_one_place(tmp_path: Path) -> None:
    file = tmp_path / "url"
    file.write_text("postgresql://from.file\n")
    name = "COUNTENANCE_DATABASE_URL"
    assert Settings.from_env({f"{name}_FILE": str(file)}).database_url == "postgresql://from.file"
    for env in (
        {f"{name}_FILE": str(file), name: "postgresql://other"},
        {f"{name}_FILE": str(tmp_path / "missing")},
        {f"{name}_FILE": str(tmp_path)},
    ):
        with pytest.raises(Misconfigured):
            Settings.from_env(env)


@pytest.mark.parametrize("target", ["service", "terminal"])
def test_an_image_runs_unprivileged(target: str) -> None:
    last = stage(target)
    assert last.startswith("runtime AS")
    assert "USER 10001:10001" in last
    assert f"COPY --from=build-{target} /opt/countenance /opt/countenance" in last
    assert "--frozen --no-dev" in stage(f"build-{target}")


def test_the_service_image_says_when_it_is_ready() -> None:
    assert "/readyz" in stage("service")
    assert "HEALTHCHECK" in stage("service")


def test_the_terminal_image_has_what_opencv_needs() -> None:
    assert "libgl1 libglib2.0-0" in stage("terminal")
    assert "libgl1" not in stage("service")


def test_the_build_gets_the_packages_and_nothing_else() -> None:
    kept = {
        line[1:]
        for line in (DOCKER / "Dockerfile.dockerignore").read_text().splitlines()
        if line.startswith("!")
    }
    packages = {path.parent.name for path in ROOT.glob("*/__init__.py")} - {"tests", "benchmarks"}
    assert kept == packages | {"pyproject.toml", "uv.lock", "README.md", "LICENSE"}
