"""What lives as long as the service: connections to the database, the queue and the store."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from fastapi import FastAPI
from psycopg.conninfo import conninfo_to_dict
from stac_fastapi.pgstac.config import PostgresSettings, ServerSettings
from stac_fastapi.pgstac.db import close_db_connection, connect_to_db

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
        async with open_pool(database_url, max_size=POOL_SIZE) as pool:
            await pool.wait(timeout=30)
            queue = new_queue()
            async with queue.open_async(pool):
                app.state.pool = pool
                app.state.store = store
                app.state.uploads = Uploads(pool, queue)
                app.state.deletions = Deletions(pool, queue)
                app.state.max_file_bytes = max_file_bytes
                await connect_to_db(app, postgres_settings=_postgres_settings(database_url))
                try:
                    yield
                finally:
                    await close_db_connection(app)

    return live


def _postgres_settings(database_url: str) -> PostgresSettings:
    parts = conninfo_to_dict(database_url)
    return PostgresSettings(
        _env_file=None,
        pguser=str(parts.get("user", "")),
        pgpassword=str(parts.get("password", "")),
        pghost=str(parts.get("host", "127.0.0.1")),
        pgport=int(parts.get("port") or 5432),
        pgdatabase=str(parts.get("dbname", "")),
        db_max_conn_size=POOL_SIZE,
        server_settings=ServerSettings(application_name="stac-ingest-search"),
    )
