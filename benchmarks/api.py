"""How fast the STAC API answers beside stock stac-fastapi-pgstac, on the same database, each in one process.

    make bench-api
    make bench-api ARGS="--items 5000 --seconds 2"

The peers are the stock service as it comes, and with what its documentation offers to make it faster. That all three
answer the same is checked before anything is measured. The report is Markdown, on the standard output. The run fails
when answers differ where they may not (`answers.py`), or when a request under load was not answered with success.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import httpx2
from psycopg.conninfo import conninfo_to_dict

from benchmarks import wrk
from benchmarks.answers import DIFFERENCES, allowance, answers, differences
from benchmarks.landsat import catalog, item
from benchmarks.machine import ROOT, description, memory, peak, reset_peak, say
from benchmarks.searches import period, place, search, with_tag
from benchmarks.service import UNCOMPRESSED, Service, free_port, our_service
from benchmarks.wrk import Load, Request, under_load
from stac_ingest.database.cluster import running_cluster

PEERS = ROOT / ".venv-peers" / "bin" / "python"
STOCK_SETTINGS = {"pgstac.context": "off", "pgstac.context_stats_ttl": "1 day"}
"""What pgstac comes with, where our migration sets something else for the whole database."""
WARM_UP_SECONDS = 2
CROWD = 32
"""Connections at which our slowest answers are looked at."""
VARIANTS = 64
"""Requests of a case that asks for something else each time."""
LARGEST_PAGE = 10_000
DOWNLOADS = 5
MIB = 1024**2


@dataclass(frozen=True)
class Case:
    """Requests of a kind, sent in turn."""

    name: str
    requests: list[Request]


@dataclass(frozen=True)
class Measured:
    """What was measured of a service, case by case, and the bytes that it had in memory at the end."""

    name: str
    loads: list[Load]
    memory: int


def main() -> int:
    """Compare and measure, print the report, and return the exit status."""
    options = parsed_options()
    with tempfile.TemporaryDirectory() as folder, running_cluster(options.keep or Path(folder)) as cluster:
        database = catalog(cluster, options.items, options.collections)
        port = free_port()
        ours = our_service(database, Path(folder) / "data", port)
        peers = [stock(database, port), tuned(database, port)]
        cases = all_cases(options.items, options.collections)
        print(f"{description(database)}, {peer_versions()}, {wrk.version()}.\n")
        print(f"{options.items:,} Items in {options.collections} collections; each service is one process.\n")
        if not agree(ours, peers, [request for case in cases for request in case.requests]):
            return 1
        measured = [measure(service, cases, options.connections, options.seconds) for service in (*peers, ours)]
        print_beside(cases, measured, options.connections)
        crowd = measure(ours, cases, CROWD, options.seconds)
        print_crowd(cases, crowd)
        print_memory(measured, crowd, growth_while_downloading(ours))
    failed = sum(load.failed for service in (*measured, crowd) for load in service.loads)
    print(f"Requests that were not answered with success: {failed}.")
    return 1 if failed else 0


def parsed_options() -> argparse.Namespace:
    """Return what the command line asks for."""
    parser = argparse.ArgumentParser(description="Measure the STAC API beside stock stac-fastapi-pgstac.")
    parser.add_argument("--items", type=int, default=100_000)
    parser.add_argument("--collections", type=int, default=4)
    parser.add_argument("--connections", type=int, default=8)
    parser.add_argument("--seconds", type=int, default=10, help="how long each case is measured")
    parser.add_argument("--keep", type=Path, help="folder of a database that stays, so that nothing is loaded twice")
    return parser.parse_args()


def all_cases(items: int, collections: int) -> list[Case]:
    """Return what is measured, in filters and parameters that stock understands, too."""
    chance = random.Random(0)  # noqa: S311 - it shall be foreseen
    some = [item(chance.randrange(items), collections) for _ in range(VARIANTS)]
    windows = [search(bbox=place(chance, 60, 40), datetime=period(chance, 1)) for _ in range(VARIANTS)]
    percent = {"op": "a_contains", "args": [{"property": "keywords"}, ["percent"]]}
    return [
        Case("newest 10", [Request(search())]),
        Case("newest 100", [Request(search(100))]),
        Case("one Item", [Request(f"/collections/{found['collection']}/items/{found['id']}") for found in some]),
        Case("10 with a tag of 50 %", [Request(search(conditions=with_tag("half")))]),
        Case("10 with a tag of 1 %", [Request(search(conditions=with_tag("percent")))]),
        Case("the same by POST", [Request("/search", {"limit": 10, "filter-lang": "cql2-json", "filter": percent})]),
        Case("10 of a place and a year", [Request(window) for window in windows]),
        Case("collections", [Request("/collections")]),
        Case("landing page", [Request("/")]),
    ]


def stock(database_url: str, port: int) -> Service:
    """Return stac-fastapi-pgstac as it comes."""
    return _peer("stock", database_url, port)


def tuned(database_url: str, port: int) -> Service:
    """Return stac-fastapi-pgstac with what its documentation offers to make it faster."""
    variables = {"ENABLE_DIRECT_RESPONSE": "true", "USE_API_HYDRATE": "true"}
    options = ["--http", "httptools", "--loop", "uvloop"]
    return _peer("tuned", database_url, port, options, variables, {"pgstac.readonly": "true"})


def _peer(
    name: str,
    database_url: str,
    port: int,
    options: Sequence[str] = (),
    variables: dict[str, str] | None = None,
    settings: dict[str, str] | None = None,
) -> Service:
    address = conninfo_to_dict(database_url)
    connection = {"HOST": "host", "PORT": "port", "USER": "user", "PASSWORD": "password", "DATABASE": "dbname"}
    environment = {
        **{f"PG{variable}": str(address[key]) for variable, key in connection.items()},
        **{f"STAC_FASTAPI_{setting}": name for setting in ("TITLE", "DESCRIPTION", "LANDING_ID", "VERSION")},
        "SERVER_SETTINGS": json.dumps(STOCK_SETTINGS | (settings or {})),
        **(variables or {}),
    }
    app = ["--factory", "stac_fastapi.pgstac.app:create_app", "--port", str(port)]
    # It would write a line for each request, and ours does not.
    quiet = ["--no-access-log", "--log-level", "warning"]
    command = [str(PEERS), "-m", "uvicorn", *app, *quiet, *options]
    return Service(name, command, environment, port, "/_mgmt/ping")


def peer_versions() -> str:
    """Return which versions are in the peers' environment."""
    names = ("stac-fastapi-pgstac", "fastapi", "uvicorn")
    code = f"from importlib.metadata import version; print(', '.join(f'{{n}} {{version(n)}}' for n in {names}))"
    return subprocess.run([str(PEERS), "-c", code], check=True, stdout=subprocess.PIPE, text=True).stdout.strip()


def agree(ours: Service, peers: Iterable[Service], requests: Sequence[Request]) -> bool:
    """Return whether all services answer the same; print where they do not, and where they need not."""
    say("Comparing answers")
    expected = answers(ours, requests)
    met = {
        f"{request.path}{where}": f"{request.method} to {peer.name}"
        for peer in peers
        for request, answer, ours_answer in zip(requests, answers(peer, requests), expected, strict=True)
        for where in differences(answer, ours_answer)
    }
    print(f"{len(requests)} answers of each service were compared as JSON. What may differ, and does:\n")
    allowed = {allowance(where) for where in met}
    for pattern, why in DIFFERENCES.items():
        if pattern in allowed:
            print(f"- `{pattern}`: {why}")
    refused = [(where, asked) for where, asked in met.items() if allowance(where) is None]
    for where, asked in refused:
        print(f"- **must not differ: {where}** ({asked})")
    return not refused


def measure(service: Service, cases: Sequence[Case], connections: int, seconds: int) -> Measured:
    """Start the service, and return how it answers each case."""
    loads = []
    with service.running() as process:
        for case in cases:
            say(f"{service.name}, {connections} connections: {case.name}")
            under_load(service.url, case.requests, connections, WARM_UP_SECONDS)
            loads.append(under_load(service.url, case.requests, connections, seconds))
        return Measured(service.name, loads, memory(process))


def growth_while_downloading(service: Service) -> int:
    """Return by how many bytes the service's memory grows at most while one client downloads the largest page."""
    say(f"{service.name}: the largest page, {DOWNLOADS} times")
    with (
        service.running() as process,
        httpx2.Client(base_url=service.url, headers=UNCOMPRESSED, timeout=600) as client,
    ):
        client.get(search()).raise_for_status()
        before = reset_peak(process)
        for _ in range(DOWNLOADS):
            client.get(search(LARGEST_PAGE)).raise_for_status()
        return peak(process) - before


def print_beside(cases: Sequence[Case], measured: Sequence[Measured], connections: int) -> None:
    """Print a table of all services."""
    print(f"\nAnswers a second (p50, p99 in milliseconds) at {connections} connections:\n")
    names = [service.name for service in measured]
    print(f"| | {' | '.join(names)} | {' | '.join(f'times {name}' for name in names[:-1])} |")
    print(f"|---|{'---:|' * (2 * len(names) - 1)}")
    for case, *loads in zip(cases, *(service.loads for service in measured), strict=True):
        shown = [f"{load.rate:,.1f} ({load.p50:.1f}, {load.p99:.1f})" for load in loads]
        times = [ratio(loads[-1].rate, load.rate) for load in loads[:-1]]
        print(f"| {case.name} | {' | '.join([*shown, *times])} |")


def print_crowd(cases: Sequence[Case], crowd: Measured) -> None:
    """Print a table of one service, and how far its slowest answers are from the others."""
    print(f"\n{crowd.name} at {CROWD} connections:\n")
    print("| | answers a second | p50 (ms) | p99 (ms) | p99 / p50 |\n|---|---:|---:|---:|---:|")
    for case, load in zip(cases, crowd.loads, strict=True):
        print(f"| {case.name} | {load.rate:,.1f} | {load.p50:.1f} | {load.p99:.1f} | {ratio(load.p99, load.p50)} |")


def ratio(one: float, other: float) -> str:
    """Return how many times the other the one is; there is no answer where nothing was answered in time."""
    return f"{one / other:.1f}" if other else "-"


def print_memory(measured: Sequence[Measured], crowd: Measured, growth: int) -> None:
    """Print what the processes have in memory."""
    print("\nResident memory at the end:\n")
    for service in measured:
        print(f"- {service.name}: {service.memory / MIB:.0f} MiB")
    print(f"- {crowd.name} at {CROWD} connections: {crowd.memory / MIB:.0f} MiB")
    print(
        f"\nIt grows by {growth / MIB:.0f} MiB at most while one client asks for a page of {LARGEST_PAGE:,} Items",
        end=" ",
    )
    print(f"{DOWNLOADS} times.\n")


if __name__ == "__main__":
    sys.exit(main())
