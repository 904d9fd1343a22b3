"""The images and the compose file say what the service understands; building them is docker/build-images' part."""

from __future__ import annotations

import json
import os
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from stac_ingest import cli
from stac_ingest.serve import require_safe_address
from stac_ingest.settings import ApiSettings, ServiceSettings, WorkerSettings, load

ROOT = Path(__file__).resolve().parents[2]
DOCKER = ROOT / "docker"
TARGETS = ["api", "worker"]
VARIABLES = {
    f"STAC_INGEST_{field.upper()}"
    for settings in (ServiceSettings, ApiSettings, WorkerSettings)
    for field in settings.model_fields
}


@dataclass
class Stage:
    """One `FROM` of the Dockerfile with the instructions below it."""

    base: str
    instructions: list[tuple[str, str]]


def read_dockerfile() -> tuple[list[str], dict[str, Stage]]:
    """Return the lines before the first stage, and the stages by name."""
    text = re.sub(r"^#.*\n", "", (DOCKER / "Dockerfile").read_text(), flags=re.MULTILINE)
    head: list[str] = []
    stages: dict[str, Stage] = {}
    stage = None
    for line in re.sub(r"\\\n\s*", "", text).splitlines():
        if found := re.fullmatch(r"FROM (\S+) AS (\S+)", line):
            stage = stages[found[2]] = Stage(found[1], [])
        elif stage is None:
            head += [line] if line else []
        elif line:
            name, _, arguments = line.partition(" ")
            stage.instructions.append((name, arguments))
    return head, stages


HEAD, STAGES = read_dockerfile()
COMPOSE: dict[str, Any] = yaml.safe_load((DOCKER / "compose.yaml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]


def instructions(target: str) -> list[tuple[str, str]]:
    """Return what makes a target, from the base on."""
    if target not in STAGES:
        return []
    return [*instructions(STAGES[target].base), *STAGES[target].instructions]


def last(target: str, name: str) -> str:
    """Return the instruction that holds in the image: the last of its name."""
    return [arguments for found, arguments in instructions(target) if found == name][-1]


def image_environment(target: str) -> dict[str, str]:
    return dict(
        pair.split("=", 1) for name, arguments in instructions(target) if name == "ENV" for pair in arguments.split()
    )


def compose_environment(service: str) -> dict[str, str]:
    """Return a service's variables as they are when its user sets what is required, and nothing else."""

    def value(match: re.Match[str]) -> str:
        return "given" if match[2] == "?" else match[3]

    return {
        name: re.sub(r"\$\{(\w+):([-?])([^}]*)\}", value, str(text))
        for name, text in SERVICES[service].get("environment", {}).items()
    }


def test_every_stage_comes_from_the_one_base_that_an_argument_names() -> None:
    assert HEAD == ["ARG BASE=debian:trixie-slim"]
    names = list(STAGES)
    for name, stage in STAGES.items():
        assert stage.base == "${BASE}" or stage.base in names[: names.index(name)]


@pytest.mark.parametrize("target", TARGETS)
def test_an_image_runs_its_command_as_an_unprivileged_user(target: str) -> None:
    user, _, group = last(target, "USER").partition(":")
    assert int(user) > 0
    assert int(group) > 0
    assert json.loads(last(target, "ENTRYPOINT")) == ["stac-ingest"]
    assert json.loads(last(target, "CMD")) == [target]
    assert target in {command.callback.__name__ for command in cli.app.registered_commands if command.callback}
    assert last(target, "STOPSIGNAL") == "SIGTERM"


@pytest.mark.parametrize("target", TARGETS)
def test_an_image_holds_neither_a_compiler_nor_an_installer(target: str) -> None:
    installed = " ".join(arguments for name, arguments in instructions(target) if name == "RUN")
    assert not re.search(r"gcc|build-essential|curl|wget|python3-(pip|venv|dev)", installed)


def test_packages_are_installed_against_the_hashes_of_the_lock_only() -> None:
    commands = [arguments for name, arguments in STAGES["builder"].instructions if name == "RUN"]
    fetched = [command for command in commands if "requirements.lock" in command]
    assert fetched
    assert all("--require-hashes" in command and "--no-deps" in command for command in fetched)
    assert all("--no-index" in command for command in commands if "pip" in command and " install " in command)


def test_the_health_check_asks_the_port_that_is_exposed() -> None:
    check = last("api", "HEALTHCHECK").partition("CMD ")[2]
    command, option, code = json.loads(check)
    assert (command, option) == ("python", "-c")
    assert "/healthz" in code
    compile(code, "HEALTHCHECK", "exec")
    assert image_environment("api")["STAC_INGEST_PORT"] == last("api", "EXPOSE")


def test_what_is_copied_is_there_and_is_sent_to_the_builder() -> None:
    sent = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    copied = {
        source
        for stage in STAGES.values()
        for name, arguments in stage.instructions
        if name == "COPY" and not arguments.startswith("--from")
        for source in arguments.split()[:-1]
    }
    assert copied == sent
    assert not [source for source in copied if not (ROOT / source).exists()]


@pytest.mark.parametrize("target", TARGETS)
def test_variables_are_settings_that_the_service_has_and_accepts(target: str, monkeypatch: pytest.MonkeyPatch) -> None:
    environment = image_environment(target) | compose_environment(target)
    assert {name for name in environment if name.startswith("STAC_INGEST_")} <= VARIABLES
    assert {name for name in compose_environment("migrate") if name.startswith("STAC_INGEST_")} <= VARIABLES
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    service = load(ServiceSettings)
    assert service.database_url == "postgresql://stac_ingest:stac_ingest@database:5432/stac_ingest"
    assert service.resolved_store_url.startswith(service.data_dir.as_uri())
    assert str(service.data_dir) == last(target, "VOLUME")
    load(WorkerSettings)
    require_safe_address(load(ApiSettings))


def test_the_api_is_reached_from_its_machine_only_and_its_keys_are_required() -> None:
    assert image_environment("api")["STAC_INGEST_HOST"] == "0.0.0.0"
    assert SERVICES["api"]["environment"]["STAC_INGEST_API_KEYS"].startswith("${STAC_INGEST_API_KEYS:?")
    assert [port.rpartition(":")[2] for port in SERVICES["api"]["ports"]] == [last("api", "EXPOSE")]
    assert all(port.startswith("127.0.0.1:") for port in SERVICES["api"]["ports"])
    assert [name for name, service in SERVICES.items() if "ports" in service] == ["api"]


def test_the_database_is_healthy_and_migrated_before_the_service_starts() -> None:
    assert set(SERVICES) == {"database", "migrate", "api", "worker"}
    assert "pg_isready" in SERVICES["database"]["healthcheck"]["test"]
    assert SERVICES["migrate"]["depends_on"] == {"database": {"condition": "service_healthy"}}
    assert SERVICES["migrate"]["restart"] == "no"
    for name in TARGETS:
        assert SERVICES[name]["depends_on"]["migrate"] == {"condition": "service_completed_successfully"}
        assert SERVICES[name]["restart"] == "unless-stopped"
    steps = " ".join(SERVICES["migrate"]["command"]).split(" && ")
    assert steps == ["stac-ingest migrate", "stac-ingest products apply"]


def test_services_share_the_store_and_name_targets_and_volumes_that_exist() -> None:
    assert SERVICES["api"]["volumes"] == SERVICES["worker"]["volumes"] == [f"data:{last('api', 'VOLUME')}"]
    used = {volume.partition(":")[0] for service in SERVICES.values() for volume in service.get("volumes", [])}
    assert used == set(COMPOSE["volumes"])
    for service in SERVICES.values():
        if "build" in service:
            assert service["image"] == f"stac-ingest-{service['build']['target']}"
            assert service["build"]["target"] in STAGES
            assert (DOCKER / service["build"]["context"] / service["build"]["dockerfile"]).samefile(
                DOCKER / "Dockerfile"
            )


@pytest.mark.parametrize("name", ["build-images", "try-images"])
def test_the_scripts_can_be_run(name: str) -> None:
    script = DOCKER / name
    assert os.access(script, os.X_OK)
    shell = script.read_text().partition("\n")[0].removeprefix("#!")
    assert subprocess.run([shell, "-n", str(script)], capture_output=True, check=False).stderr == b""


def test_nothing_names_a_package_index_or_a_path_of_one_machine() -> None:
    for name in ("Dockerfile", "compose.yaml", "build-images", "try-images"):
        text = (DOCKER / name).read_text()
        assert not re.search(r"https?://(?!127\.0\.0\.1)|index-url|/root/|/work/", text), name
