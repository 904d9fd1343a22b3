"""The embedded database: a private PostgreSQL cluster in the data folder.

It listens on a free port of the loopback address only, with a password that is made when the cluster is. PostgreSQL
refuses to run as root; then it runs as the user that its packages made. Where that user may not enter the data folder
(a clone in /root, say), it gets that one capability instead of the folder getting weaker permissions.
"""

from __future__ import annotations

import contextlib
import json
import os
import pwd
import re
import secrets
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg

from stac_ingest.errors import StacIngestError

MINIMUM_VERSION = 15
SUPERUSER = "stac_ingest"
DATABASE = "stac_ingest"
START_SECONDS = 60
STOP_SECONDS = 30
_INSTALL = "install it (on Debian or Ubuntu: apt-get install postgresql postgresql-{version}-postgis-3)"


class ClusterError(StacIngestError):
    """The embedded database cannot be made, started or stopped."""


@contextmanager
def running_cluster(data_dir: Path) -> Iterator[str]:
    """Start the cluster in `data_dir`, making it first where there is none, and stop it at the end.

    Yields:
        The address of the database.

    Raises:
        ClusterError: PostgreSQL or PostGIS is missing, or the server does not start; says what to do.
    """
    binaries = find_postgres()
    folder = data_dir.resolve() / "postgres"
    launch = _launcher(folder)
    if not (folder / "cluster" / "PG_VERSION").exists():
        _make(binaries, folder, launch)
    _refuse_other_version(binaries, folder)
    _stop_leftover(folder)
    port = _free_port()
    url = f"postgresql://{SUPERUSER}:{_password(folder)}@127.0.0.1:{port}/{DATABASE}"
    with (folder / "server.log").open("ab") as log:
        server = subprocess.Popen(
            [*launch, str(binaries / "postgres"), "-D", str(folder / "cluster"), "-p", str(port)],
            stdout=log,
            stderr=log,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )
    try:
        _wait_until_ready(server, url, folder)
        _write_private(folder / "address.json", json.dumps({"url": url}))
        yield url
    finally:
        _stop(server)


def address_of(data_dir: Path) -> str:
    """Return the address of the embedded database that runs in `data_dir`; raises ClusterError."""
    try:
        url = str(json.loads((data_dir / "postgres" / "address.json").read_text())["url"])
        psycopg.connect(url, connect_timeout=5).close()
    except (OSError, psycopg.Error) as error:
        raise ClusterError(
            f"No embedded database is running in {data_dir}; start `stac-ingest serve` or set STAC_INGEST_DATABASE_URL."
        ) from error
    return url


def find_postgres() -> Path:
    """Return the folder of the newest PostgreSQL programs that have PostGIS.

    Raises:
        ClusterError: There are none, or none with PostGIS; names the package to install.
    """
    folders = [*Path("/usr/lib/postgresql").glob("*/bin"), *Path("/opt/homebrew/opt").glob("postgresql@*/bin")]
    if on_path := shutil.which("postgres"):
        folders.append(Path(on_path).resolve().parent)
    versions = {version: folder for folder in folders if (version := _version(folder)) >= MINIMUM_VERSION}
    if not versions:
        raise ClusterError(
            f"PostgreSQL {MINIMUM_VERSION} or newer was not found; {_INSTALL.format(version='VERSION')},"
            " or set STAC_INGEST_DATABASE_URL to a database elsewhere."
        )
    for _, folder in sorted(versions.items(), reverse=True):
        if _has_postgis(folder):
            return folder
    raise ClusterError(
        f"PostgreSQL {max(versions)} was found without PostGIS; {_INSTALL.format(version=max(versions))},"
        " or set STAC_INGEST_DATABASE_URL to a database elsewhere."
    )


def _version(folder: Path) -> int:
    if not (folder / "initdb").exists():
        return 0
    shown = subprocess.run([folder / "postgres", "--version"], capture_output=True, text=True, check=False).stdout
    found = re.search(r"(\d+)", shown)
    return int(found[1]) if found else 0


def _has_postgis(folder: Path) -> bool:
    config = shutil.which("pg_config", path=str(folder))
    shared = (
        subprocess.run([config, "--sharedir"], capture_output=True, text=True, check=False).stdout.strip()
        if config
        else f"/usr/share/postgresql/{folder.parent.name}"
    )
    places = (Path(shared), Path(f"/usr/share/postgresql/{folder.parent.name}"))
    return any((place / "extension" / "postgis.control").exists() for place in places)


def _launcher(folder: Path) -> list[str]:
    """Return the words before a command that make it end with this process and, if we are root, run unprivileged."""
    folder.mkdir(parents=True, exist_ok=True)
    if os.geteuid() != 0:
        return ["setpriv", "--pdeathsig=INT"] if shutil.which("setpriv") else []
    try:
        user = pwd.getpwnam("postgres")
    except KeyError:
        user = pwd.getpwnam("nobody")
    os.chown(folder, user.pw_uid, user.pw_gid)
    folder.chmod(0o700)
    words = ["setpriv", f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups", "--pdeathsig=INT"]
    if subprocess.run([*words, "test", "-x", str(folder)], check=False).returncode == 0:
        return words
    return [*words, "--inh-caps=+dac_override", "--ambient-caps=+dac_override"]


def _make(binaries: Path, folder: Path, launch: list[str]) -> None:
    unfinished = folder / "unfinished"
    shutil.rmtree(unfinished, ignore_errors=True)
    password = secrets.token_urlsafe(24)
    _write_private(folder / "password", password)
    made = subprocess.run(
        [
            *launch,
            str(binaries / "initdb"),
            f"--pgdata={unfinished}",
            f"--username={SUPERUSER}",
            "--auth=scram-sha-256",
            f"--pwfile={folder / 'password'}",
            "--encoding=UTF8",
            "--locale=C.UTF-8",
            "--no-instructions",
        ],
        capture_output=True,
        text=True,
        check=False,
        cwd="/",
    )
    if made.returncode != 0:
        raise ClusterError(f"The embedded database could not be made in {folder}: {made.stderr.strip()[-400:]}")
    with (unfinished / "postgresql.auto.conf").open("a") as config:
        config.write("listen_addresses = '127.0.0.1'\nunix_socket_directories = ''\nmax_connections = 100\n")
        config.write("shared_buffers = '256MB'\n")
    unfinished.rename(folder / "cluster")


def _password(folder: Path) -> str:
    return (folder / "password").read_text().strip()


def _write_private(path: Path, text: str) -> None:
    path.touch(mode=0o600)
    path.write_text(text)
    if os.geteuid() == 0:
        owner = path.parent.stat()
        os.chown(path, owner.st_uid, owner.st_gid)


def _refuse_other_version(binaries: Path, folder: Path) -> None:
    made_by = (folder / "cluster" / "PG_VERSION").read_text().strip()
    if made_by != str(_version(binaries)):
        raise ClusterError(
            f"The data folder was made by PostgreSQL {made_by}, and {_version(binaries)} is installed; install"
            f" {made_by} again, or move {folder} away to begin with an empty catalog."
        )


def _stop_leftover(folder: Path) -> None:
    """Stop a server of this cluster that outlived its `serve`, and wait until it is gone."""
    pid_file = folder / "cluster" / "postmaster.pid"
    with contextlib.suppress(FileNotFoundError, ValueError, ProcessLookupError, IndexError):
        pid = int(pid_file.read_text().split()[0])
        if not _is_postgres(pid):
            pid_file.unlink()
            return
        os.kill(pid, signal.SIGINT)
        deadline = time.monotonic() + STOP_SECONDS
        while pid_file.exists() and _is_postgres(pid):
            if time.monotonic() > deadline:
                raise ClusterError(f"The database server of an earlier run (process {pid}) does not stop; stop it.")
            time.sleep(0.05)


def _is_postgres(pid: int) -> bool:
    if Path("/proc/self").exists():
        with contextlib.suppress(OSError):
            return "postgres" in Path(f"/proc/{pid}/comm").read_text()
        return False
    shown = subprocess.run(["ps", "-o", "comm=", "-p", str(pid)], capture_output=True, text=True, check=False).stdout
    return "postgres" in shown


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait_until_ready(server: subprocess.Popen[bytes], url: str, folder: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    maintenance = url.rpartition("/")[0] + "/postgres"
    while True:
        try:
            with psycopg.connect(maintenance, autocommit=True, connect_timeout=2) as connection:
                exists = connection.execute("SELECT FROM pg_database WHERE datname = %s", [DATABASE]).fetchone()
                if exists is None:
                    connection.execute(f"CREATE DATABASE {DATABASE}")
                return
        except psycopg.OperationalError:
            if server.poll() is not None or time.monotonic() > deadline:
                last = (folder / "server.log").read_text(errors="replace").strip().splitlines()[-3:]
                raise ClusterError(f"The embedded database did not start: {' / '.join(last)}") from None
            time.sleep(0.05)


def _stop(server: subprocess.Popen[bytes]) -> None:
    server.send_signal(signal.SIGINT)
    try:
        server.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        server.send_signal(signal.SIGQUIT)
        server.wait(STOP_SECONDS)
