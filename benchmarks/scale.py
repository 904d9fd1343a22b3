"""How much slower searches become from a small catalog to a large one; as one client sees it, request after request.

    make bench-scale
    make bench-scale ARGS="--keep FOLDER"        # loads 1,000,000 Items once, and is quick afterwards
    make bench-scale ARGS="--sizes 3000 20000"

Both catalogs are in one database server, each with an API of its own, and are asked by turns, so that whatever else
happens on the machine happens to both. Their files are read once before, so that what is measured is the search, and
not whether the disk was asked last for this or for something else. The small catalog has fewer Items with a rare tag,
or in a narrow search; how many were found stands beside the time. The report is Markdown, on the standard output.
"""

from __future__ import annotations

import argparse
import contextlib
import random
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, median

import httpx2

from benchmarks.landsat import catalog, item
from benchmarks.machine import description, say
from benchmarks.searches import period, place, search, with_tag
from benchmarks.service import UNCOMPRESSED, our_service
from stac_ingest.database.cluster import running_cluster

WARM_UP = 20
PAGE = 200
CHUNK = 2**20
TARGET = 1.5
"""How many times the small catalog's latency the large one's may be."""


@dataclass(frozen=True)
class Query:
    """What is asked of one catalog, by a path for each request."""

    name: str
    paths: list[str]


@dataclass(frozen=True)
class Answered:
    """How a catalog answered a query: the median of the milliseconds, and the mean number of Items."""

    latency: float
    items: float


def main() -> None:
    """Measure, and print the report."""
    options = parsed_options()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        database_folder = options.keep or folder
        cluster = stack.enter_context(running_cluster(database_folder))
        clients = []
        for size in options.sizes:
            database = catalog(cluster, size, options.collections)
            service = our_service(database, folder / str(size))
            stack.enter_context(service.running())
            clients.append(stack.enter_context(httpx2.Client(base_url=service.url, headers=UNCOMPRESSED, timeout=60)))
        print(f"{description(cluster)}.\n")
        print_header(options)
        read_through(database_folder)
        slow = 0
        of_each = [queries(client, size, options) for client, size in zip(clients, options.sizes, strict=True)]
        for alike in zip(*of_each, strict=True):
            say(alike[0].name)
            slow += print_row(alike[0].name, by_turns(clients, alike))
    print(f"\n{slow} above the target of {TARGET}." if slow else f"\nAll within the target of {TARGET}.")


def parsed_options() -> argparse.Namespace:
    """Return what the command line asks for."""
    parser = argparse.ArgumentParser(description="Measure how searches slow down with the size of the catalog.")
    parser.add_argument("--sizes", type=int, nargs=2, default=[10_000, 1_000_000], metavar=("SMALL", "LARGE"))
    parser.add_argument("--collections", type=int, default=4)
    parser.add_argument("--requests", type=int, default=200, help="how many of each query to each catalog")
    parser.add_argument("--keep", type=Path, help="folder of a database that stays, so that nothing is loaded twice")
    return parser.parse_args()


def read_through(folder: Path) -> None:
    """Read all files of a database, so that they are in the memory of the machine as far as it goes."""
    for path in (folder / "postgres" / "cluster" / "base").glob("*/*"):
        with contextlib.suppress(FileNotFoundError), path.open("rb") as file:  # PostgreSQL may be done with it
            while file.read(CHUNK):
                pass


def queries(client: httpx2.Client, size: int, options: argparse.Namespace) -> list[Query]:
    """Return what is asked of a catalog of this size; the same of each, but for what has to be in it."""
    chance = random.Random(0)  # noqa: S311 - it shall be foreseen
    count = options.requests + WARM_UP
    found = (item(chance.randrange(size), options.collections) for _ in range(count))
    ids = [f"/collections/{one['collection']}/items/{one['id']}" for one in found]
    chance.seed(1)
    narrow, broad = (
        [
            search(
                conditions=f"{with_tag('percent')} AND eo:cloud_cover < {cloud}",
                bbox=place(chance, *size_of_place),
                datetime=period(chance, years),
            )
            for _ in range(count)
        ]
        for cloud, size_of_place, years in ((20, (60, 40), 1), (80, (180, 120), 5))
    )
    return [
        Query("newest 10", [search()] * count),
        Query("10 with a tag of 50 %", [search(conditions=with_tag("half"))] * count),
        Query("10 with a tag of 1 %", [search(conditions=with_tag("percent"))] * count),
        Query("10 with a tag of 0.001 %", [search(conditions=with_tag("rare"))] * count),
        Query("tag of 1 %, a continent, a year, cloud below 20 %", narrow),
        Query("tag of 1 %, half of the world, 5 years, cloud below 80 %", broad),
        Query(f"page {PAGE}", [page(client, PAGE)] * count),
        Query("one Item", ids),
    ]


def page(client: httpx2.Client, number: int) -> str:
    """Return the address of a page, by walking there."""
    address = search()
    for _ in range(number - 1):
        links = client.get(address).raise_for_status().json()["links"]
        address = next(link["href"] for link in links if link["rel"] == "next")
    return address


def by_turns(clients: Sequence[httpx2.Client], alike: Sequence[Query]) -> list[Answered]:
    """Ask each catalog its query, a request here and a request there."""
    timed: list[list[tuple[float, int]]] = [[] for _ in clients]
    for paths in zip(*(query.paths for query in alike), strict=True):
        for client, path, times in zip(clients, paths, timed, strict=True):
            began = time.perf_counter()
            answer = client.get(path).raise_for_status()
            times.append(((time.perf_counter() - began) * 1000, len(answer.json().get("features", [answer]))))
    return [
        Answered(median(latency for latency, _ in times[WARM_UP:]), mean(items for _, items in times[WARM_UP:]))
        for times in timed
    ]


def print_header(options: argparse.Namespace) -> None:
    """Print the head of the table."""
    small, large = (f"{size:,} Items" for size in options.sizes)
    print(f"Median of {options.requests} requests in milliseconds, and how many Items are in an answer.\n")
    print(f"| | {small} | {large} | growth |\n|---|---:|---:|---:|")


def print_row(name: str, answered: Sequence[Answered]) -> bool:
    """Print a row of the table, and return whether it is above the target."""
    growth = answered[1].latency / answered[0].latency
    shown = " | ".join(f"{one.latency:.2f} ({one.items:.3g})" for one in answered)
    print(f"| {name} | {shown} | {f'**{growth:.2f}**' if growth > TARGET else f'{growth:.2f}'} |", flush=True)
    return growth > TARGET


if __name__ == "__main__":
    main()
