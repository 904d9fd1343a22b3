"""What is answered from memory: Collections, queryables, and what is made of them.

Triggers on the catalog's tables (`database/schema.sql`) notify every API of each change, whoever makes it. What has
changed is read again by the next request that needs it. While nobody listens, everything is read again each time, so
that nothing old is ever answered because a connection was lost.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
import orjson

from api.connections import FairPool
from stac_ingest.database import queries
from stac_ingest.errors import RequestError
from stac_ingest.stac import Json

logger = logging.getLogger(__name__)

CHANNEL = "stac_ingest"
RETRY_SECONDS = 1.0
ALIVE_SECONDS = 5
"""How often the connection that is told of changes is tried, and how long it may take to answer."""
MOST_BYTES = 32 * 1024**2
"""Of answers that are kept."""
MOST_TAGS = 1000
"""Tags that the queryables list; where there are more, any text may be asked for."""

_TAGS: Json = {
    "tags": {"title": "Tags (another name of keywords)", "type": "array"},
    "tag": {"title": "Any tag", "description": "True where one of the tags is as given.", "type": "string"},
}
_RANGE: Json = {
    name: {"title": title, "type": "string", "format": "date-time"}
    for name, title in (("start_datetime", "Start of the acquisition"), ("end_datetime", "End of the acquisition"))
}


class Memory:
    """The Collections of the catalog, and answers that are made of them alone."""

    def __init__(self, pool: FairPool) -> None:
        self._pool = pool
        self._collections: dict[str, Json] = {}
        self._changed: set[str] | None = None
        """Collections to be read again; None: all."""
        self._listening = False
        self._reading = asyncio.Lock()
        self._queryables: dict[str | None, Json] = {}
        self._answers: dict[Any, bytes] = {}

    @asynccontextmanager
    async def listening(self, database_url: str) -> AsyncIterator[None]:
        """Be told of changes until the end of the block."""
        task = asyncio.create_task(self._listen(database_url))
        try:
            yield
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    async def collections(self) -> Mapping[str, Json]:
        """Return all Collections by their ids, in the order of these."""
        async with self._reading:
            if not self._listening:
                self.forget(None)
            if self._changed != set():
                await self._read()
        return self._collections

    async def get_collection(self, collection: str) -> Json:
        """Return a Collection; raises RequestError 404 `COLLECTION_NOT_FOUND`."""
        found = (await self.collections()).get(collection)
        if found is None:
            raise RequestError(404, "COLLECTION_NOT_FOUND", f"There is no collection {collection!r}.")
        return found

    async def queryables(self, collection: str | None) -> Json:
        """Return what the Items of a Collection, or of all, can be filtered by; raises as `get_collection`."""
        if collection is None:
            await self.collections()
        else:
            await self.get_collection(collection)
        if collection not in self._queryables:
            kept = self._queryables
            kept[collection] = await self._read_queryables(collection)
            return kept[collection]
        return self._queryables[collection]

    async def answer(self, key: Any, make: Callable[[], Awaitable[bytes]]) -> bytes:
        """Return an answer that is made of Collections alone: the one that was made for `key`, or `await make()`."""
        await self.collections()
        answers = self._answers
        if (kept := answers.get(key)) is not None:
            return kept
        made = await make()
        if sum(map(len, answers.values())) + len(made) > MOST_BYTES:
            answers.clear()
        if len(made) <= MOST_BYTES:
            answers[key] = made
        return made

    def forget(self, collection: str | None) -> None:
        """Read a Collection, or all of them, again before the next answer."""
        self._answers, self._queryables = {}, {}
        if collection is None:
            self._changed = None
        elif self._changed is not None:
            self._changed.add(collection)

    async def _read(self) -> None:
        wanted, self._changed = self._changed, set()
        try:
            async with self._pool.acquire() as connection:
                ids = None if wanted is None else sorted(wanted)
                rows = await connection.fetch(queries()["read_collections"], ids)
        except BaseException:
            self.forget(None)
            raise
        found = {row["id"]: orjson.loads(row["content"]) for row in rows}
        kept = {} if wanted is None else {key: value for key, value in self._collections.items() if key not in wanted}
        self._collections = dict(sorted({**kept, **found}.items()))

    async def _read_queryables(self, collection: str | None) -> Json:
        async with self._pool.acquire() as connection:
            found = await connection.fetchval(queries()["read_queryables"], collection)
            tags = [row["tag"] for row in await connection.fetch(queries()["read_tags"], collection, MOST_TAGS + 1)]
        # pgstac has none while there are no collections.
        document: Json = orjson.loads(found) if found else {"type": "object", "title": "Queryables", "properties": {}}
        text: Json = {"type": "string", **({"enum": tags} if 0 < len(tags) <= MOST_TAGS else {})}
        properties = {**_RANGE, **document["properties"]}
        properties["keywords"] = {**properties.get("keywords", {}), "items": text}
        properties["tags"] = {**_TAGS["tags"], "items": text}
        properties["tag"] = {**_TAGS["tag"], **text}
        properties["collection"] = {"title": "Collection", "type": "string"}
        return {**document, "properties": properties, "additionalProperties": True}

    async def _listen(self, database_url: str) -> None:
        while True:
            try:
                named = {"application_name": "stac-ingest-listening"}
                connection = await asyncpg.connect(database_url, timeout=ALIVE_SECONDS, server_settings=named)
                try:
                    closed = asyncio.Event()
                    connection.add_termination_listener(lambda *_, closed=closed: closed.set())
                    await connection.add_listener(CHANNEL, self._notified)
                    self.forget(None)
                    self._listening = True
                    while not closed.is_set():
                        # A connection that was cut off without a word does not answer.
                        await connection.execute("SELECT 1", timeout=ALIVE_SECONDS)
                        with contextlib.suppress(TimeoutError):
                            await asyncio.wait_for(closed.wait(), ALIVE_SECONDS)
                finally:
                    self._listening = False
                    connection.terminate()
            except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
                logger.warning("not told of changes at the moment: %s", error)
            await asyncio.sleep(RETRY_SECONDS)

    def _notified(self, connection: Any, process: int, channel: str, payload: str) -> None:
        kind, _, collection = payload.partition(" ")
        if kind == "collection":
            self.forget(collection)
        elif kind == "items":
            self._queryables = {}
        else:
            self.forget(None)
