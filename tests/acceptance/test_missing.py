"""Machines that lack something: each ends with one sentence that says what to do. Needs root, to hide what is there."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT, free_port

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("unshare") is None, reason="only root can hide PostgreSQL from a process"
)


def run_without(
    hidden: str, command: list[str], *, user: int = 0, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run a command for which the folders that match `hidden` are empty, as another user if asked."""
    hide = f'set -e; for folder in {hidden}; do mount -t tmpfs none "$folder"; done; exec "$@"'
    become = ["setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups"] if user else []
    return subprocess.run(
        ["unshare", "--mount", "sh", "-c", hide, "sh", *become, *command],
        env={**os.environ, **environment},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )


def serve_without(hidden: str, data_dir: Path) -> str:
    done = run_without(
        hidden,
        [sys.executable, "-m", "stac_ingest", "serve"],
        STAC_INGEST_DATA_DIR=str(data_dir),
        STAC_INGEST_PORT=str(free_port()),
    )
    assert done.returncode == 1, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return done.stderr.strip()


def test_postgresql_without_postgis_is_named(tmp_path: Path) -> None:
    said = serve_without("/usr/share/postgresql/*/extension", tmp_path)
    assert "without PostGIS" in said
    assert "apt-get install postgresql postgresql-" in said
    assert "\n" not in said


def test_a_machine_without_postgresql_is_named(tmp_path: Path) -> None:
    said = serve_without("/usr/lib/postgresql", tmp_path)
    assert "PostgreSQL 15 or newer was not found" in said
    assert "\n" not in said


def test_make_without_root_says_what_an_administrator_should_install() -> None:
    done = run_without("/usr/share/postgresql", ["docker/system-packages"], user=65_534, PATH="/usr/bin:/bin")
    if shutil.which("sudo"):
        pytest.skip("sudo may let this user install packages")
    assert done.returncode == 1
    assert "you are not root" in done.stderr
    assert "apt-get install postgresql" in done.stderr
    assert done.stderr.count("\n") == 1
