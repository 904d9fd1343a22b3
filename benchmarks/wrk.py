"""Requests under load, sent by wrk."""

from __future__ import annotations

import json
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2

SCRIPT = Path(__file__).with_suffix(".lua")


@dataclass(frozen=True)
class Request:
    """What is asked; by POST where there is a body."""

    path: str
    body: Any = None

    @property
    def method(self) -> str:
        """The HTTP method."""
        return "GET" if self.body is None else "POST"


@dataclass(frozen=True)
class Load:
    """How requests were answered: how many a second, after how many milliseconds, and how many without success."""

    rate: float
    p50: float
    p99: float
    failed: int


def under_load(url: str, requests: Sequence[Request], connections: int, seconds: float) -> Load:
    """Send the requests in turn over so many connections, each as soon as the one before it is answered."""
    with tempfile.NamedTemporaryFile("w", suffix=".tsv") as file:
        for request in requests:
            file.write(f"{request.method}\t{request.path}\t{json.dumps(request.body) if request.body else ''}\n")
        file.flush()
        # One thread: the service and its database need the other cores.
        options = ["--threads", "1", "--connections", str(connections), "--duration", f"{seconds}s", "--timeout", "30s"]
        command = ["wrk", *options, "--script", str(SCRIPT), url, "--", file.name]
        said = subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True).stderr
    _wait_for_what_was_left(url, requests[0])
    return Load(**json.loads(said))


def version() -> str:
    """Return which wrk it is."""
    said = subprocess.run(["wrk", "--version"], check=False, stdout=subprocess.PIPE, text=True).stdout
    return " ".join(said.split()[:2])


def _wait_for_what_was_left(url: str, request: Request) -> None:
    """Wait behind the requests that wrk has hung up on, which the service still works at; the next load should not."""
    with httpx2.Client(base_url=url, timeout=600) as client:
        for _ in range(3):
            client.request(request.method, request.path, json=request.body).raise_for_status()
