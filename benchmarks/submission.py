"""How long it takes from the submission of a file until its image is in the catalog, on a service with one worker."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.service import Service, free_port
from stac_ingest import DataType, Image, ImageUploadEventType, Product, SpectralBand
from stac_ingest.client.connection import Client

PRODUCT = "bench:ingest"


@contextmanager
def running_service(folder: Path, data_type: DataType) -> Iterator[Client]:
    """Run a service with its data in a folder and a product of one band, and give a client of it."""
    port = free_port()
    settings = {"STAC_INGEST_DATA_DIR": str(folder), "STAC_INGEST_PORT": str(port)}
    command = [sys.executable, "-m", "stac_ingest", "serve"]
    service = Service("stac-ingest serve", command, settings, port, "/healthz")
    with service.running(), Client(service.url) as client:
        product = Product(client, id=PRODUCT)
        product.save()
        SpectralBand(client, product=product, name="b", data_type=data_type).save()
        yield client


@dataclass(frozen=True)
class Took:
    """Seconds until an image was found by a search."""

    all: float
    """From the call of the SDK, transfer included."""
    since_submit: float
    """From when the service knew of all bytes."""


def seconds_until_visible(source: Path, client: Client, name: str) -> Took:
    """Upload a file of one band, and return when its image has been found by a search.

    Raises:
        UploadFailedError: The upload failed.
        LookupError: It succeeded, and the image is not found.
    """
    image = Image(client, product_id=PRODUCT, name=name, acquired="2024-01-01")
    began = datetime.now(UTC)
    upload = image.upload(str(source))
    upload.wait_for_completion()
    upload.raise_for_status()
    if not client.get("/search", params={"ids": name})["features"]:
        raise LookupError(name)
    ended = datetime.now(UTC)
    queued = [event.event_datetime for event in upload.events if event.event_type is ImageUploadEventType.QUEUE]
    submitted = queued[0]  # those that follow are of further attempts
    return Took((ended - began).total_seconds(), (ended - submitted).total_seconds())
