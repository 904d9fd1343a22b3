"""`stac-ingest serve`: the whole service on one machine, started and stopped together.

The embedded database (unless another is named), migrations, product definitions, then the API and a worker as
processes of their own. Whoever stops first takes the others along. A lock on the data folder, which the kernel frees
even after kill -9, keeps a second service out; the children watch this process and end when it does.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import ipaddress
import logging
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO

import httpx2

from stac_ingest import catalog
from stac_ingest.database import open_pool
from stac_ingest.database.cluster import running_cluster
from stac_ingest.database.migrate import migrate
from stac_ingest.errors import StacIngestError
from stac_ingest.products import Definition, read_products
from stac_ingest.settings import LOOPBACK, ApiSettings, ServiceSettings

logger = logging.getLogger(__name__)

READY_SECONDS = 60
STOP_SECONDS = 30
PATIENCE_SECONDS = 5
"""How long an earlier run is given to let go of port and data folder."""
PARENT = "STAC_INGEST_END_WITH"
"""Variable that holds the process with which this one shall end."""


class ServeError(StacIngestError):
    """The service cannot be started; the message says what to do."""


def serve(service: ServiceSettings, api: ApiSettings, say: Callable[[str], None]) -> None:
    """Run everything until SIGINT or SIGTERM, or until a part of it ends.

    Raises:
        StacIngestError: Something that the service needs is missing or taken; one sentence that says what to do.
    """
    require_safe_address(api)
    end_with_parent()
    with _stopped_by_signals() as stopped, ExitStack() as stack:
        stack.enter_context(lock_data_folder(service.data_dir))
        _patiently(lambda: require_free_port(api))
        shutil.rmtree(service.scratch_dir, ignore_errors=True)
        if service.database_url is None:
            say("Starting the database …")
        database_url = service.database_url or stack.enter_context(running_cluster(service.data_dir))
        migrate(database_url)
        apply_products(database_url, read_products(service.collections_dir), say)
        say("Starting the API and a worker …")
        environment = {
            **os.environ,
            "STAC_INGEST_DATABASE_URL": database_url,
            "STAC_INGEST_DATA_DIR": str(service.data_dir.resolve()),
            PARENT: str(os.getpid()),
        }
        children = {name: stack.enter_context(_child(name, environment)) for name in ("API", "worker")}
        _wait_until_ready(api, children.values(), stopped)
        if not stopped.is_set():
            _announce(api, say)
        while not stopped.wait(0.2):
            for name, child in children.items():
                if child.poll() is not None:
                    raise ServeError(f"The {name} ended unexpectedly with status {child.returncode}; see above.")
        say("Stopping …")


def require_safe_address(api: ApiSettings) -> None:
    """Refuse to be reached from other machines while everybody could write; raises ServeError."""
    if not _is_loopback(api.host) and not api.api_keys:
        raise ServeError(
            f"Refusing to listen on {api.host} while everybody who reaches it could change the catalog;"
            " set STAC_INGEST_API_KEYS to one or more keys, or listen on 127.0.0.1."
        )


def _is_loopback(host: str) -> bool:
    if host in LOOPBACK:
        return True
    with contextlib.suppress(ValueError):
        return ipaddress.ip_address(host).is_loopback
    return False


def require_free_port(api: ApiSettings) -> None:
    """Raise ServeError when another program has the port, or the address is not this machine's."""
    family = socket.AF_INET6 if ":" in api.host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((api.host, api.port))
        except OSError as error:
            raise ServeError(
                f"Port {api.port} on {api.host} cannot be had ({error.strerror}); stop the program that has it,"
                " or set STAC_INGEST_PORT to another."
            ) from error


@contextmanager
def lock_data_folder(data_dir: Path) -> Iterator[None]:
    """Keep the data folder to this process; raises ServeError when another has it."""
    try:
        data_dir.mkdir(parents=True, exist_ok=True)
        file = (data_dir / "serve.lock").open("a+")
    except OSError as error:
        raise ServeError(
            f"The data folder {data_dir} cannot be written ({error.strerror}); set STAC_INGEST_DATA_DIR to another."
        ) from error
    with file:
        _patiently(lambda: _lock(file, data_dir))
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield


def _lock(file: IO[str], data_dir: Path) -> None:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        file.seek(0)
        raise ServeError(
            f"Another stac-ingest (process {file.read().strip() or '?'}) uses the data folder {data_dir.resolve()};"
            " stop it, or set STAC_INGEST_DATA_DIR to another folder."
        ) from error


def _patiently(attempt: Callable[[], None]) -> None:
    """Try again for a while: an earlier run that was killed may still be letting go."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            return attempt()
        except ServeError:
            if time.monotonic() > deadline:
                raise
        time.sleep(0.1)


def apply_products(database_url: str, definitions: Sequence[Definition], say: Callable[[str], None]) -> None:
    """Write product definitions to the catalog; images are never touched, and applying again changes nothing."""

    async def apply() -> None:
        async with open_pool(database_url, max_size=2) as pool, pool.connection() as connection:
            for definition in definitions:
                if done := await catalog.apply_collection(connection, definition.collection):
                    say(f"{done} product {definition.product.id}.")

    asyncio.run(apply())


@contextmanager
def _child(name: str, environment: dict[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    child = subprocess.Popen(
        [sys.executable, "-m", "stac_ingest", name.lower()],
        env=environment,
        stdin=subprocess.PIPE,
        start_new_session=True,
    )
    try:
        yield child
    finally:
        child.terminate()
        try:
            child.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()


@contextmanager
def _stopped_by_signals() -> Iterator[threading.Event]:
    stopped = threading.Event()

    def stop(signum: int, frame: object) -> None:
        if stopped.is_set():
            raise KeyboardInterrupt
        stopped.set()

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stopped
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _wait_until_ready(
    api: ApiSettings, children: Collection[subprocess.Popen[bytes]], stopped: threading.Event
) -> None:
    deadline = time.monotonic() + READY_SECONDS
    while not stopped.is_set():
        with contextlib.suppress(httpx2.HTTPError):
            if httpx2.get(f"{address(api)}/healthz", timeout=5).status_code == httpx2.codes.OK:
                return
        if any(child.poll() is not None for child in children):
            raise ServeError("The API or the worker ended while it was starting; the reason stands above.")
        if time.monotonic() > deadline:
            raise ServeError(f"The API did not become ready within {READY_SECONDS} seconds; see above.")
        stopped.wait(0.1)


def address(api: ApiSettings) -> str:
    """Return where the API is reached from this machine."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(api.host, api.host)  # noqa: S104
    return f"http://[{host}]:{api.port}" if ":" in host else f"http://{host}:{api.port}"


def _announce(api: ApiSettings, say: Callable[[str], None]) -> None:
    url = address(api)
    say("")
    say(f"  STAC API       {url}/")
    say(f"  Documentation  {url}/api.html")
    say(f"  Health         {url}/healthz")
    say("")
    say("Ready. Ctrl-C stops everything.")


def end_with_parent() -> None:
    """End this process when the one that `PARENT` names does, however that ends."""
    parent = os.environ.get(PARENT)
    if parent is None:
        return

    def watch() -> None:
        while os.getppid() == int(parent):
            time.sleep(0.2)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, daemon=True).start()
