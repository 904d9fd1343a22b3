"""Images that are uploaded by the SDK, and what is stored of them."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
import rasterio
from rasterio.transform import from_origin

from stac_ingest import (
    Image,
    ImageUpload,
    Product,
)
from tests.conftest import Service

DAY = "2024-05-01"
TRANSFORM = from_origin(500_000, 5_000_000, 10, 10)
META = {"geoTransform": TRANSFORM.to_gdal(), "coordinateSystem": {"epsg": 32633}}
NOISE = np.random.default_rng(1).integers(1, 60_000, (3, 60, 80)).astype("uint16")


def new(product: Product, name: str = "a", **attributes: Any) -> Image:
    """Return an image that is ready to be uploaded."""
    return Image(product=product, name=name, acquired=DAY, **attributes)


def array_done(image: Image, array: Any, meta: Any = META, **options: Any) -> ImageUpload:
    """Upload an array, and see it succeed."""
    upload = image.upload_ndarray(array, raster_meta=meta, **options)
    upload.wait_for_completion(timeout=60)
    upload.raise_for_status()
    return upload


def read(image: Image, asset: str = "data") -> Any:
    """Return the pixels of a stored image, masked (band, y, x)."""
    with stored(image, asset) as cog:
        return cog.read(masked=True)


def stored(image: Image, asset: str = "data") -> Any:
    """Open a stored file of an image with rasterio."""
    return rasterio.open(f"/vsicurl/{image.item['assets'][asset]['href']}")


def uploads_of(http: httpx2.Client, product: Product) -> list[dict[str, Any]]:
    """Return the documents of a product's uploads."""
    found: list[dict[str, Any]] = http.get("/uploads", params={"collection": product.id}).json()["uploads"]
    return found


def staged_of(service: Service, upload: ImageUpload) -> list[Path]:
    """Return what waits in the store for an upload."""
    return list((service.data_dir / "store" / "staging").glob(f"{upload.id}*"))


def wait_until(holds: Callable[[], bool]) -> None:
    """Wait for something that is to happen soon."""
    deadline = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.02)
