"""Connections for reading, which are given in the order in which they are asked for."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg

from stac_ingest.database import SEARCH_PATH

READING_POOL_SIZE = 8
STATEMENT_SECONDS = 30
"""How long a search may take, and a client may let a page wait."""


class FairPool:
    """A pool in which nobody passes those who wait; with asyncpg's own, one in a hundred waits ten times as long."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool
        self._turns = asyncio.Semaphore(pool.get_max_size())

    @asynccontextmanager
    async def acquire(self) -> AsyncIterator[asyncpg.Connection]:
        """Give a connection for the length of a block."""
        async with self._turns, self._pool.acquire() as connection:
            yield connection


@asynccontextmanager
async def reading_pool(database_url: str, plan_cache_mode: str) -> AsyncIterator[FairPool]:
    """Give connections that can only read, and are given back as they are: nothing is ever set on them."""

    async def as_it_is(connection: Any) -> None:
        pass

    async with asyncpg.create_pool(
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
    ) as pool:
        yield FairPool(pool)
