"""What a process takes: the time that passes until it has ended, and its peak memory, as Linux counts it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from benchmarks.machine import ROOT


@dataclass(frozen=True)
class Run:
    """What one process took, with the processes that it waited for."""

    seconds: float
    memory: int
    """Most bytes that one of them had."""


def run(command: Sequence[str], environment: Mapping[str, str] | None = None) -> Run:
    """Run a process from the project's folder, and return what it took; what it prints is dropped, but for errors.

    Raises:
        subprocess.CalledProcessError: It failed.
    """
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("GDAL_", "COG_", "CPL_"))}
    # Linux counts what was in memory where a process came from: so it comes from a small one.
    ended = subprocess.run(
        [sys.executable, "-I", "-S", "-c", _RUN, *command],
        cwd=ROOT,
        env={**inherited, **(environment or {})},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    seconds, kibibytes = ended.stdout.split()
    return Run(float(seconds), int(kibibytes) * 1024)


_RUN = """
import os, sys, time
silent = os.open(os.devnull, os.O_WRONLY)
began = time.perf_counter()
process = os.posix_spawn(sys.argv[1], sys.argv[1:], os.environ, file_actions=[(os.POSIX_SPAWN_DUP2, silent, 1)])
_, status, usage = os.wait4(process, 0)
print(time.perf_counter() - began, usage.ru_maxrss)
sys.exit(os.waitstatus_to_exitcode(status))
"""
