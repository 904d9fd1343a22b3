"""What lives as long as the service: connections to the database, the queue and the store."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from typing import Any

import asyncpg
from fastapi import FastAPI

from api.stac.memory import Memory
from api.stac.pages import Pages
from stac_ingest.database import SEARCH_PATH, open_pool
from stac_ingest.deletions import Deletions
from stac_ingest.storage import Store
from stac_ingest.uploads import Uploads
from stac_ingest.worker import new_queue

POOL_SIZE = 10
READING_POOL_SIZE = 8
STATEMENT_SECONDS = 30
"""How long a search may take, and a client may let a page wait."""


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


def reading_pool(database_url: str, plan_cache_mode: str) -> asyncpg.Pool:
    """Return connections that can only read, and are given back as they are: nothing is ever set on them."""

    async def as_it_is(connection: Any) -> None:
        pass

    return asyncpg.create_pool(
        database_url,
        min_size=1,
        max_size=READING_POOL_SIZE,
        reset=as_it_is,
        timeout=5,
        server_settings={
            "application_name": "stac-ingest-reading",
            "search_path": SEARCH_PATH,
            "timezone": "UTC",
            "default_transaction_read_only": "on",
            "plan_cache_mode": plan_cache_mode,
            # Many small searches at once: starting helpers and compiling would take longer than what they save.
            "max_parallel_workers_per_gather": "0",
            "jit": "off",
            "statement_timeout": f"{STATEMENT_SECONDS}s",
            "idle_in_transaction_session_timeout": f"{STATEMENT_SECONDS}s",
        },
    )
