"""Uploads on a database of their own, without HTTP and without a worker process."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from stac_ingest import catalog
from stac_ingest.database import open_pool
from stac_ingest.models.bands import SpectralBand
from stac_ingest.models.product import Product
from stac_ingest.models.upload import UploadRequest
from stac_ingest.stac import collection_from_product
from stac_ingest.uploads import Uploads
from stac_ingest.worker import new_queue

PRODUCT = "a:product"


@asynccontextmanager
async def uploads_on(url: str) -> AsyncIterator[Uploads]:
    """Open the uploads of a database, with one product that has one band."""
    async with open_pool(url, max_size=5) as pool:
        queue = new_queue()
        async with queue.open_async(pool):
            async with pool.connection() as connection:
                await catalog.create_collection(
                    connection, collection_from_product(Product(id=PRODUCT), [SpectralBand(name="blue")])
                )
            yield Uploads(pool, queue)


Scenario = Callable[[Uploads], Awaitable[Any]]


@pytest.fixture
def play(database_url: str) -> Callable[[Scenario], Any]:
    """Return a function that runs a scenario on the uploads of an empty catalog."""

    def run(scenario: Scenario) -> Any:
        async def main() -> Any:
            async with uploads_on(database_url) as uploads:
                return await scenario(uploads)

        return asyncio.run(main())

    return run


async def open_upload(uploads: Uploads, name: str = "image", **options: Any) -> str:
    """Open an upload of one file, and return its id."""
    request = UploadRequest.model_validate(
        {
            "image": {"product_id": PRODUCT, "name": name, "acquired": "2024-01-01"},
            "files": [{"name": "image.tif"}],
            "options": options,
        }
    )
    async with uploads.pool.connection() as connection:
        return await uploads.open(connection, request)


async def submitted(uploads: Uploads, name: str = "image") -> str:
    """Open an upload, receive its file, submit it, and return its id."""
    upload = await open_upload(uploads, name)
    await uploads.receive(upload, 0, staged="a", size=1, sha256="0" * 64)
    await uploads.submit(upload)
    return upload
