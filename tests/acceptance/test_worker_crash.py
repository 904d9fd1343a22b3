"""A worker that is killed in the middle: the upload ends, once, and nothing is left behind."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import psycopg
import pytest

from stac_ingest import Image, ImageUpload, ImageUploadStatus, Product, SpectralBand
from stac_ingest.client.connection import Client
from tests.conftest import Service, running_service

META = {"geoTransform": [500_000, 10, 0, 5_000_000, 0, -10], "coordinateSystem": {"epsg": 32633}}
SECONDS = 90


@pytest.fixture
def fragile(make_database: Callable[[], str], tmp_path: Path) -> Iterator[Service]:
    """A service whose leases run out quickly."""
    with running_service(
        make_database(),
        tmp_path,
        "api",
        "worker",
        STAC_INGEST_LEASE_SECONDS="2",
        STAC_INGEST_RENEW_SECONDS="0.5",
        STAC_INGEST_SWEEP_SECONDS="0.5",
    ) as service:
        yield service


@contextlib.contextmanager
def long_upload(service: Service) -> Iterator[ImageUpload]:
    """Upload an array whose conversion takes a while, and give the upload when a worker has it."""
    with Client(service.url) as client:
        product = Product(client, id="a:product")
        product.save()
        SpectralBand(client, product=product, name="blue").save()
        image = Image(product=product, name="large", acquired="2024-01-01")
        noise = np.random.default_rng(0).integers(0, 60_000, (3000, 3000)).astype("uint16")
        upload = image.upload_ndarray(noise, raster_meta=META)
        wait_until(lambda: refreshed(upload).status is ImageUploadStatus.RUNNING)
        yield upload


def refreshed(upload: ImageUpload) -> ImageUpload:
    upload.reload()
    return upload


def wait_until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + SECONDS
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def converters_of(service: Service) -> list[str]:
    """Return the converter children that work in the service's data folder."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if b"stac_ingest.converter" in (folder / "cmdline").read_bytes() and str(service.data_dir) in str(
                (folder / "cwd").readlink()
            ):
                found.append(folder.name)
    return found


def test_a_killed_worker_leaves_an_upload_that_ends_once(fragile: Service) -> None:
    with long_upload(fragile) as upload:
        fragile.processes["worker"].kill()
        fragile.processes["worker"].wait()
        wait_until(lambda: not converters_of(fragile))
        assert refreshed(upload).status is ImageUploadStatus.RUNNING
        fragile.start("worker")
        upload.wait_for_completion(timeout=SECONDS)
        assert upload.status is ImageUploadStatus.SUCCESS, upload.events
        types = [str(event.event_type) for event in upload.events]
        assert types.count("complete") == 1
        assert types.count("run") == 2
        assert "timeout" in types
        assert [image.name for image in Product.get("a:product", upload._client).images()] == ["large"]  # type: ignore[union-attr]
    assert not list((fragile.data_dir / "scratch").iterdir())
    wait_until(lambda: not list((fragile.data_dir / "store" / "staging").iterdir()))


def test_a_converter_that_is_killed_every_time_ends_the_upload_with_the_reason(fragile: Service) -> None:
    with long_upload(fragile) as upload:
        killed: set[str] = set()

        def kill_and_look() -> bool:
            for pid in converters_of(fragile):
                killed.add(pid)
                with contextlib.suppress(ProcessLookupError):
                    os.kill(int(pid), signal.SIGKILL)
            return refreshed(upload).status.is_final

        wait_until(kill_and_look)
        assert upload.status is ImageUploadStatus.FAILURE
        assert upload.problem is not None
        assert upload.problem.code == "CONVERTER_CRASHED"
        assert "3 times" in upload.problem.message
        assert len(killed) == 3
        assert Image.get("a:product:large", upload._client) is None
    assert not list(fragile.data_dir.glob("store/assets/**/*.tif"))


def test_a_worker_that_is_told_to_stop_finishes_what_it_does(fragile: Service) -> None:
    with long_upload(fragile) as upload:
        fragile.processes["worker"].terminate()
        assert fragile.processes["worker"].wait(SECONDS) == 0
        assert refreshed(upload).status is ImageUploadStatus.SUCCESS


def test_the_database_away_for_a_moment_does_not_lose_the_upload(fragile: Service) -> None:
    with long_upload(fragile) as upload:
        with psycopg.connect(fragile.database_url, autocommit=True) as connection:
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
        upload.wait_for_completion(timeout=SECONDS, warn_transient_errors=False)
        assert upload.status is ImageUploadStatus.SUCCESS, upload.events
        assert [str(event.event_type) for event in upload.events].count("complete") == 1
