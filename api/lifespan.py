"""What lives as long as the service: connections to the database, the queue and the store."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager

from fastapi import FastAPI

from api.connections import reading_pool
from api.stac.memory import Memory
from api.stac.pages import Pages
from stac_ingest.database import open_pool
from stac_ingest.deletions import Deletions
from stac_ingest.storage import Store
from stac_ingest.uploads import Uploads
from stac_ingest.worker import new_queue

POOL_SIZE = 10


def lifespan(
    database_url: str, store: Store, max_file_bytes: int
) -> Callable[[FastAPI], AbstractAsyncContextManager[None]]:
    """Return the lifespan of a service on this database and store."""

    @asynccontextmanager
    async def live(app: FastAPI) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            pool = await stack.enter_async_context(open_pool(database_url, max_size=POOL_SIZE))
            await pool.wait(timeout=30)
            queue = new_queue()
            await stack.enter_async_context(queue.open_async(pool))
            kept = await stack.enter_async_context(reading_pool(database_url, "force_generic_plan"))
            planned = await stack.enter_async_context(reading_pool(database_url, "force_custom_plan"))
            app.state.pool = pool
            app.state.store = store
            app.state.uploads = Uploads(pool, queue)
            app.state.deletions = Deletions(pool, queue)
            app.state.max_file_bytes = max_file_bytes
            app.state.pages = Pages(kept, planned)
            app.state.memory = Memory(planned)
            await stack.enter_async_context(app.state.memory.listening(database_url))
            yield

    return live
