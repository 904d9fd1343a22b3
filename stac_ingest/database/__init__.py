"""The database: its embedded cluster, its schema, its queries by name, and connections to it."""

from __future__ import annotations

import re
from functools import cache
from importlib import resources
from typing import Any, LiteralString, cast

import orjson
from psycopg import AsyncConnection
from psycopg.rows import dict_row
from psycopg.types.json import set_json_loads
from psycopg_pool import AsyncConnectionPool

Connection = AsyncConnection[dict[str, Any]]
Pool = AsyncConnectionPool[Connection]

SEARCH_PATH = "stac_ingest,procrastinate,pgstac,public"


@cache
def queries() -> dict[str, LiteralString]:
    """Return the blocks of `queries.sql` by their names (`-- name --` above each)."""
    text = resources.files(__name__).joinpath("queries.sql").read_text()
    parts = re.split(r"^-- (\w+) --$", text, flags=re.MULTILINE)[1:]
    return {name: cast(LiteralString, sql.strip()) for name, sql in zip(parts[::2], parts[1::2], strict=True)}


def open_pool(url: str, *, max_size: int = 10) -> Pool:
    """Return a pool that is still closed; its connections answer with dictionaries and commit at the end of a block."""
    return AsyncConnectionPool(
        url,
        min_size=1,
        max_size=max_size,
        timeout=5,
        reconnect_timeout=5,
        open=False,
        check=AsyncConnectionPool.check_connection,
        configure=_read_numbers_as_sent,
        connection_class=cast(type[Connection], AsyncConnection),
        kwargs={
            "row_factory": dict_row,
            "options": f"-c search_path={SEARCH_PATH}",
            "application_name": "stac-ingest",
            "connect_timeout": 5,
        },
    )


async def _read_numbers_as_sent(connection: Connection) -> None:
    # PostgreSQL writes 1e300 as 301 digits: a float to orjson, as it was, and a whole number to Python's own parser.
    set_json_loads(orjson.loads, connection)
