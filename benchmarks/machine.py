"""What a measurement ran on, and how much memory a process takes; by what Linux says in `/proc`."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import psycopg

ROOT = Path(__file__).resolve().parent.parent


def description(database_url: str | None = None) -> str:
    """Return a line of Markdown: the day, the machine, and the versions of what takes part."""
    processor = next(line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name"))
    gibibytes = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1024**3
    commit = subprocess.run(["git", "describe", "--always", "--dirty"], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    database = ""
    if database_url is not None:
        with psycopg.connect(database_url) as connection:
            postgres = connection.info.parameter_status("server_version")
        database = f" PostgreSQL {postgres}, pgstac {version('pypgstac')},"
    return (
        f"{datetime.now(UTC):%Y-%m-%d}, {processor.partition(': ')[2]}, {os.cpu_count()} cores, {gibibytes:.0f} GiB;"
        f" Python {platform.python_version()},{database}"
        f" stac-ingest {commit.stdout.strip() or version('stac-ingest')}"
    )


def say(text: str) -> None:
    """Tell whoever waits what goes on; reports go to the standard output."""
    print(f"{text} …", file=sys.stderr, flush=True)


def memory(process: int | None = None) -> int:
    """Return the bytes that a process, or this one, has in memory."""
    return _status(process, "VmRSS")


def reset_peak(process: int | None = None) -> int:
    """Return the bytes that a process, or this one, has in memory, and begin to watch for the most."""
    Path(f"/proc/{process or 'self'}/clear_refs").write_text("5")
    return memory(process)


def peak(process: int | None = None) -> int:
    """Return the most bytes that a process, or this one, had in memory since `reset_peak`."""
    return _status(process, "VmHWM")


def _status(process: int | None, name: str) -> int:
    for line in Path(f"/proc/{process or 'self'}/status").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) * 1024
    raise ProcessLookupError(f"process {process} has ended")
