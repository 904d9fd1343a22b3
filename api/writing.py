"""The one way in which a request changes something: in one transaction, and once however often it is sent."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import Request

from stac_ingest import idempotency
from stac_ingest.database import Pool
from stac_ingest.idempotency import Write


@asynccontextmanager
async def writing(request: Request) -> AsyncIterator[Write]:
    """Give the transaction of a request that changes something; it is committed at the end of the block.

    Within it, do nothing when `write.repeated`: the same request was done before, and its answer was lost. Then answer
    both alike, with what is in the catalog.

    Raises:
        RequestError: 400 `INVALID_IDEMPOTENCY_KEY`, or 422 `IDEMPOTENCY_KEY_REUSED`.
    """
    pool: Pool = request.app.state.pool
    key = request.headers.get("idempotency-key")
    async with pool.connection() as connection:
        if key is None:
            yield Write(connection=connection)
        else:
            yield await idempotency.claim(connection, key, await _fingerprint(request))
    # The database tells it too, but whoever wrote may read before that has come.
    request.app.state.memory.forget(request.path_params.get("collection_id"))


async def _fingerprint(request: Request) -> str:
    conditions = (request.headers.get(name, "") for name in ("if-match", "if-none-match"))
    parts = (request.method, request.url.path, request.url.query, *conditions)
    found = hashlib.sha256("\n".join(parts).encode())
    found.update(b"\n" + await request.body())
    return found.hexdigest()
