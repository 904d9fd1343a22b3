"""How much memory an upload of a 1 GiB array takes beside the array, and how its speed compares with a plain PUT.

    make bench

It runs a PostgreSQL and an API of its own, and each client in a fresh process. It fails when the client's memory grows
by more than 64 MiB over the array, or when what arrived is not what was sent.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import numpy as np

from benchmarks.machine import ROOT, peak, reset_peak
from benchmarks.service import our_service
from stac_ingest import DataType, Image, Product, SpectralBand
from stac_ingest.client.connection import Client
from stac_ingest.database.cluster import running_cluster
from stac_ingest.database.migrate import migrate

SHAPE = (16_384, 32_768)
"""Of uint16: 1 GiB."""
LIMIT_MIB = 64
ROUNDS = 3
PRODUCT = "bench:upload"
CHUNK = 1024**2
META = {"geoTransform": [500_000, 10, 0, 5_000_000, 0, -10], "coordinateSystem": {"epsg": 32633}}


def main() -> int:
    """Run the rounds, print what was found, and return the exit status."""
    with tempfile.TemporaryDirectory() as folder, running_api(Path(folder)) as url:
        with Client(url) as client:
            product = Product(client, id=PRODUCT)
            product.save()
            SpectralBand(client, product=product, name="blue", data_type=DataType.UINT16).save()
        expected = digest_of(noise())
        rounds = []
        for number in range(ROUNDS):
            sdk, plain = (measured(url, kind, f"{kind}{number}") for kind in ("sdk", "plain"))
            if (sdk["sha256"], plain["sha256"]) != (expected, expected):
                print("What arrived is not what was sent.", file=sys.stderr)
                return 1
            rounds.append((sdk, plain))
    growth = max(sdk["growth_mib"] for sdk, _ in rounds)
    ratios = [sdk["seconds"] / plain["seconds"] for sdk, plain in rounds]
    print(f"upload_ndarray of 1 GiB: memory grows by {growth:.1f} MiB over the array (limit {LIMIT_MIB})")
    print(
        f"upload_ndarray of 1 GiB: {statistics.median(ratios):.2f} times the time of a plain PUT of the same bytes"
        f" (median of {ROUNDS} rounds: {', '.join(f'{ratio:.2f}' for ratio in ratios)};"
        f" {min(sdk['seconds'] for sdk, _ in rounds):.1f} s at best)"
    )
    return 0 if growth <= LIMIT_MIB else 1


@contextlib.contextmanager
def running_api(folder: Path) -> Iterator[str]:
    """Run an API on a database and a data folder of its own, and give its address."""
    with running_cluster(folder / "cluster") as database:
        migrate(database)
        service = our_service(database, folder / "data")
        with service.running():
            yield service.url


def measured(url: str, kind: str, name: str) -> dict[str, Any]:
    """Run one client in a fresh process, and return what it has measured."""
    command = [sys.executable, "-m", "benchmarks.upload_memory", kind, url, name]
    said = subprocess.run(command, check=True, cwd=ROOT, stdout=subprocess.PIPE, text=True).stdout
    found: dict[str, Any] = json.loads(said)
    return found


def client(kind: str, url: str, name: str) -> None:
    """Upload the array, or send its bytes by themselves, and print what that took."""
    array = noise()
    before = reset_peak()
    began = time.perf_counter()
    document = (by_sdk if kind == "sdk" else by_plain_put)(url, name, array)
    seconds = time.perf_counter() - began
    growth = (peak() - before) / 1024**2
    httpx2.post(f"{url}/uploads/{document['id']}/cancel")
    print(json.dumps({"seconds": seconds, "growth_mib": growth, "sha256": document["sha256"]}))


def by_sdk(url: str, name: str, array: np.ndarray[Any, Any]) -> dict[str, Any]:
    """Upload the array as a user of the SDK does; no worker takes it."""
    with Client(url) as service:
        image = Image(service, product_id=PRODUCT, name=name, acquired="2024-01-01")
        upload = image.upload_ndarray(array, raster_meta=META)
        return {"id": upload.id, "sha256": service.get(f"/uploads/{upload.id}")["files"][0]["sha256"]}


def by_plain_put(url: str, name: str, array: np.ndarray[Any, Any]) -> dict[str, Any]:
    """Send the same bytes as `curl` would, and do nothing else with them."""
    chunks: list[Any] = list(npy(array))
    with httpx2.Client(base_url=url, timeout=600) as service:
        body = {"image": {"name": name, "acquired": "2024-01-01"}, "files": [{"kind": "array", "name": "array_0.npy"}]}
        opened = service.post(f"/collections/{PRODUCT}/uploads", json=body).raise_for_status().json()
        headers = {"Content-Length": str(sum(map(len, chunks)))}
        sent = service.put(opened["files"][0]["href"], content=iter(chunks), headers=headers).raise_for_status().json()
        return {"id": opened["id"], "sha256": sent["sha256"]}


def noise() -> np.ndarray[Any, Any]:
    """Return an array whose every page is in memory."""
    tile = np.random.default_rng(0).integers(0, 60_000, (256, SHAPE[1])).astype("uint16")
    array = np.empty(SHAPE, "uint16")
    for row in range(0, SHAPE[0], len(tile)):
        array[row : row + len(tile)] = tile
    return array


def npy(array: np.ndarray[Any, Any]) -> Iterator[bytes | memoryview]:
    """Yield what `numpy.save` writes, piece by piece."""
    header = tempfile.SpooledTemporaryFile()  # noqa: SIM115 - it stays in memory
    np.lib.format.write_array_header_1_0(header, np.lib.format.header_data_from_array_1_0(array))
    header.seek(0)
    yield header.read()
    content = memoryview(array).cast("B")
    for start in range(0, len(content), CHUNK):
        yield content[start : start + CHUNK]


def digest_of(array: np.ndarray[Any, Any]) -> str:
    """Return the SHA-256 of the array's `.npy` file."""
    digest = hashlib.sha256()
    for piece in npy(array):
        digest.update(piece)
    return digest.hexdigest()


if __name__ == "__main__":
    if len(sys.argv) > 1:
        client(*sys.argv[1:])
    else:
        sys.exit(main())
