"""`stac-ingest serve`: starts everything, stops everything, survives being killed, and says why it does not start."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2
import psycopg
import pytest

from stac_ingest import Product
from stac_ingest.client.connection import Client
from tests.conftest import ROOT, free_port

SECONDS = 90
SERVE = (sys.executable, "-m", "stac_ingest", "serve")


@contextmanager
def serving(data_dir: Path, port: int, **more: Any) -> Iterator[subprocess.Popen[str]]:
    """Run `stac-ingest serve` until the block ends."""
    process = start(data_dir, port, **more)
    try:
        yield process
    finally:
        stop(process, signal.SIGTERM)


def stop(process: subprocess.Popen[str], how: signal.Signals) -> int:
    """End a service, and return its status."""
    process.send_signal(how)
    process.communicate(timeout=SECONDS)
    return process.returncode


def start(data_dir: Path, port: int, *, command: tuple[str, ...] = SERVE, **more: Any) -> subprocess.Popen[str]:
    """Start `stac-ingest serve`, or what a command does of it."""
    environment = {
        **os.environ,
        "STAC_INGEST_DATA_DIR": str(data_dir),
        "STAC_INGEST_PORT": str(port),
        **more,
    }
    return subprocess.Popen(
        command,
        env=environment,
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def wait_until_ready(process: subprocess.Popen[str]) -> list[str]:
    """Return what was said until the service announced itself."""
    said = []
    assert process.stdout is not None
    for line in process.stdout:
        said.append(line.rstrip())
        if line.startswith("Ready."):
            return said
    raise AssertionError("\n".join(said))


def refusal(process: subprocess.Popen[str]) -> str:
    """Return the one sentence with which a service that cannot start ends."""
    said, _ = process.communicate(timeout=SECONDS)
    assert process.returncode == 1, said
    last = said.strip().splitlines()[-1]
    assert last.startswith("stac-ingest: "), said
    assert "Traceback" not in said
    return last


def processes_of(data_dir: Path) -> list[str]:
    """Return the processes that have to do with a data folder."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            words = (folder / "cmdline").read_bytes() + (folder / "environ").read_bytes()
        except OSError:
            continue
        if str(data_dir).encode() in words and int(folder.name) != os.getpid():
            found.append(words.replace(b"\0", b" ").decode(errors="replace")[:120])
    return found


def eventually(holds: Callable[[], bool]) -> bool:
    """Return whether something comes to hold."""
    deadline = time.monotonic() + SECONDS
    while time.monotonic() < deadline:
        if holds():
            return True
        time.sleep(0.1)
    return False


def test_starts_everything_and_data_survive_a_restart_and_a_kill(tmp_path: Path) -> None:
    data, port = tmp_path / "data", free_port()
    with Client(f"http://127.0.0.1:{port}") as client:
        first = start(data, port)
        assert f"{client.url}/" in "\n".join(wait_until_ready(first))
        assert httpx2.get(f"{client.url}/healthz").status_code == 200
        Product(client, id="survivor", name="Survivor").save()
        assert stop(first, signal.SIGKILL) == -signal.SIGKILL

        second = start(data, port)
        wait_until_ready(second)
        found = Product.get("survivor", client)
        assert found is not None
        assert found.name == "Survivor"
        assert Product.get("sentinel-2-l2a", client) is not None
        assert stop(second, signal.SIGINT) == 0
        assert eventually(lambda: not processes_of(data)), processes_of(data)

        third = start(data, port)
        wait_until_ready(third)
        assert Product.get("survivor", client) is not None
        assert stop(third, signal.SIGTERM) == 0


@pytest.mark.parametrize("command", [SERVE, ("make", "--silent", "serve")], ids=["stac-ingest", "make"])
def test_a_kill_leaves_no_process_behind_and_the_next_start_is_not_blocked(
    tmp_path: Path, command: tuple[str, ...]
) -> None:
    data, port = tmp_path / "data", free_port()
    process = start(data, port, command=command)
    wait_until_ready(process)
    process.kill()
    process.wait(SECONDS)
    with serving(data, port, command=command) as again:
        wait_until_ready(again)
    if process.stdout:
        process.stdout.close()
    assert eventually(lambda: not processes_of(data)), processes_of(data)


def test_a_second_service_on_the_same_data_folder_is_refused(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with serving(data, free_port()) as first:
        wait_until_ready(first)
        said = refusal(start(data, free_port()))
        assert f"process {first.pid}" in said
        assert "STAC_INGEST_DATA_DIR" in said


def test_a_taken_port_is_refused(tmp_path: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        said = refusal(start(tmp_path / "data", port))
    assert f"Port {port}" in said
    assert "STAC_INGEST_PORT" in said


@pytest.mark.parametrize("host", ["0.0.0.0", "192.0.2.7", "::"])
def test_other_addresses_than_loopback_are_refused_without_keys(tmp_path: Path, host: str) -> None:
    said = refusal(start(tmp_path / "data", free_port(), STAC_INGEST_HOST=host))
    assert host in said
    assert "STAC_INGEST_API_KEYS" in said


def test_the_api_alone_is_refused_likewise() -> None:
    environment = {**os.environ, "STAC_INGEST_HOST": "0.0.0.0"}
    done = subprocess.run(
        [sys.executable, "-m", "stac_ingest", "api"],
        env=environment,
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "STAC_INGEST_API_KEYS" in done.stderr


def test_a_wrong_setting_is_named(tmp_path: Path) -> None:
    said = refusal(start(tmp_path / "data", 1, STAC_INGEST_PORT="many"))
    assert "STAC_INGEST_PORT" in said
    assert "many" in said


def test_a_database_that_is_away_is_named(tmp_path: Path) -> None:
    url = f"postgresql://nobody@127.0.0.1:{free_port()}/nothing"
    said = refusal(start(tmp_path / "data", free_port(), STAC_INGEST_DATABASE_URL=url))
    assert "refused" in said


def test_a_broken_product_definition_is_named_with_its_line(tmp_path: Path, database_url: str) -> None:
    folder = tmp_path / "collections" / "broken"
    folder.mkdir(parents=True)
    (folder / "description.md").write_text("Broken.")
    (folder / "collection.json").write_text('{\n  "title": "Broken",\n  "license" "other"\n}')
    said = refusal(
        start(
            tmp_path / "data",
            free_port(),
            STAC_INGEST_DATABASE_URL=database_url,
            STAC_INGEST_COLLECTIONS_DIR=str(folder.parent),
        )
    )
    assert re.search(r"collection\.json:3", said)


def test_a_data_folder_that_cannot_be_written_is_named() -> None:
    said = refusal(start(Path("/proc/nothing"), free_port()))
    assert "STAC_INGEST_DATA_DIR" in said


def test_an_external_database_is_migrated_and_used(tmp_path: Path, cluster_url: str) -> None:
    with psycopg.connect(cluster_url, autocommit=True) as connection:
        connection.execute("CREATE DATABASE empty_one")
    url = f"{cluster_url.rpartition('/')[0]}/empty_one"
    port = free_port()
    with serving(tmp_path / "data", port, STAC_INGEST_DATABASE_URL=url) as process:
        wait_until_ready(process)
        assert httpx2.get(f"http://127.0.0.1:{port}/collections/naip").status_code == 200
    assert not (tmp_path / "data" / "postgres").exists()
