"""Services that are measured: each is one process, with an environment in which there is nothing else."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx2

from benchmarks.machine import ROOT

READY_SECONDS = 60
UNCOMPRESSED = {"Accept-Encoding": "identity"}
"""Headers of requests that measure the service, not its compression; wrk asks for none either."""


@dataclass(frozen=True)
class Service:
    """How a service is started, and where it says that it is ready."""

    name: str
    command: list[str]
    environment: dict[str, str]
    port: int
    ready: str

    @property
    def url(self) -> str:
        """The service's address."""
        return f"http://127.0.0.1:{self.port}"

    @contextlib.contextmanager
    def running(self) -> Iterator[int]:
        """Run the service, and give the number of its process."""
        environment = {"PATH": os.environ["PATH"], **self.environment}
        process = subprocess.Popen(self.command, env=environment, cwd=ROOT, stdout=subprocess.DEVNULL)
        try:
            self._wait_until_ready(process)
            yield process.pid
        finally:
            process.terminate()
            process.wait()

    def _wait_until_ready(self, process: subprocess.Popen[bytes]) -> None:
        deadline = time.monotonic() + READY_SECONDS
        while time.monotonic() < deadline and process.poll() is None:
            with contextlib.suppress(httpx2.HTTPError):
                if httpx2.get(f"{self.url}{self.ready}").is_success:
                    return
            time.sleep(0.1)
        raise TimeoutError(f"{self.name} at {self.url} did not become ready")


def our_service(database_url: str, data_dir: Path, port: int | None = None) -> Service:
    """Return our API, on a database that is migrated."""
    port = port or free_port()
    settings = {"DATABASE_URL": database_url, "DATA_DIR": str(data_dir), "PORT": str(port)}
    environment = {f"STAC_INGEST_{name}": value for name, value in settings.items()}
    return Service("stac-ingest", [sys.executable, "-m", "stac_ingest", "api"], environment, port, "/healthz")


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
