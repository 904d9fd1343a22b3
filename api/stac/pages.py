"""A page of a search as bytes: one statement, whose rows hold Items that are ready to be sent.

A row is the Item as it goes out, but for the links that name the address that is asked. So nothing is parsed and
nothing is encoded again, except where the request asks for some fields only. A large page is sent while it is read.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
from collections import OrderedDict
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import quote, urljoin

import anyio
import asyncpg
import orjson
from stac_fastapi.pgstac.utils import filter_fields
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from api.connections import FairPool
from api.stac import tags
from api.stac.cql2 import refuse
from api.stac.search import Fields, Search
from api.stac.statements import Page, Statement, page_of, token_of
from stac_ingest.catalog import UNSTORED_LINKS
from stac_ingest.database import queries
from stac_ingest.stac import Json

GEOJSON = "application/geo+json"
WHOLE = 500
"""Items up to which a page is read before it is sent; of a larger one, so many are in memory at a time."""
EXACT = 100_000
"""Items up to which they are counted; of more, PostgreSQL's estimate is told."""
COUNT_SECONDS = 0.5
"""How long counting may take; PostgreSQL's estimate takes its place then."""
MOST_COUNTS = 1000
MOST_QUESTIONS = 20
MOST_LARGE = 3
"""Large pages that are sent at a time: each holds a connection for as long as its client takes."""
WAIT_SECONDS = 10
"""How long a large page waits for others."""

_HEAD = b'{"type":"FeatureCollection","features":['
_LINKS = b'{"links":'
LinkTo = Callable[[str, str], Json]
"""Makes the link to the page with a token, given its relation."""
Row = Mapping[str, Any]


@dataclass(frozen=True)
class Matched:
    """How many Items a search finds."""

    count: int
    exact: bool = True
    state: int | None = None
    """What `stac_ingest.changes` added up to when they were counted."""


@dataclass
class Sent:
    """What has been read of a page."""

    count: int = 0
    first: Row | None = None
    last: Row | None = None
    more: bool = False

    def add(self, rows: Sequence[Row], limit: int) -> Sequence[Row]:
        """Return the rows that belong to the page; one more says that there is another page."""
        self.more = self.count + len(rows) > limit
        kept = rows[: limit - self.count]
        if kept:
            self.first = self.first or kept[0]
            self.last = kept[-1]
        self.count += len(kept)
        return kept


class _LargePage(StreamingResponse):
    """A page that is sent while it is read; however that ends, nothing is held any longer."""

    def __init__(self, parts: AsyncGenerator[list[bytes | memoryview]], release: Callable[[], None]) -> None:
        self._parts = parts
        self._release = release
        self._first: list[bytes | memoryview] = []
        super().__init__(self._joined(), media_type=GEOJSON)

    async def begin(self) -> None:
        """Read the first part, so that what is wrong with the request is known before the answer begins."""
        try:
            self._first = await anext(self._parts)
        except BaseException:
            self._release()
            raise

    async def _joined(self) -> AsyncGenerator[bytes]:
        yield b"".join(self._first)
        async for part in self._parts:
            yield b"".join(part)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            with anyio.CancelScope(shield=True):
                await self.body_iterator.aclose()  # type: ignore[attr-defined]
                await self._parts.aclose()
                self._release()


class Pages:
    """Searches on the catalog's database."""

    def __init__(self, kept: FairPool, planned: FairPool) -> None:
        self._kept = kept
        """Connections that keep one plan for each shape of a statement."""
        self._planned = planned
        """Connections that plan anew each time, for statements whose best plan depends on their values."""
        self._counts: OrderedDict[bytes, Matched] = OrderedDict()
        self._large = asyncio.Semaphore(MOST_LARGE)

    async def get_item(self, collection: str, item: str) -> Row | None:
        """Return the row of an Item, or None."""
        async with self._kept.acquire() as connection:
            row: Row | None = await connection.fetchrow(queries()["read_item"], collection, item)
        return row

    async def search_collections(self, wanted: Json) -> Json:
        """Return what pgstac's collection_search finds."""
        async with self._planned.acquire() as connection:
            text = await connection.fetchval(queries()["search_collections"], orjson.dumps(wanted).decode())
        found: Json = orjson.loads(text)
        return found

    async def row(self, search: Search, statement_of: Callable[[Search], Statement]) -> Row:
        """Return the one row that the statement of a search finds; raises as `statement_of`."""
        async with self._planned.acquire() as connection:
            statement = statement_of(await _with_tags(search, connection))
            row: Row = await connection.fetchrow(statement.text, *statement.values)
        return row

    async def answer(self, search: Search, base: str, links: list[Json], link_to: LinkTo) -> Response:
        """Return the page of a search.

        Args:
            search: What is asked for.
            base: Address of the service, with a slash at its end.
            links: Links of the page, but for those to the pages around it.
            link_to: Makes these.

        Raises:
            RequestError: 400, as `api.stac.statements.page_of`.
        """
        if search.limit <= WHOLE:
            async with aclosing(self._parts(search, base, links, link_to)) as parts:
                return Response(b"".join([piece async for part in parts for piece in part]), media_type=GEOJSON)
        async with asyncio.timeout(WAIT_SECONDS):
            await self._large.acquire()
        page = _LargePage(self._parts(search, base, links, link_to), self._large.release)
        await page.begin()
        return page

    async def _parts(
        self, search: Search, base: str, links: list[Json], link_to: LinkTo
    ) -> AsyncGenerator[list[bytes | memoryview]]:
        """Yield the page in parts, each in pieces; the first one once it is sure that there will be others."""
        pool = self._kept if _is_simple(search) else self._planned
        writer = ItemWriter(base, search.fields)
        async with pool.acquire() as connection:
            page = page_of(await _with_tags(search, connection), EXACT)
            sent = Sent()
            async for rows in _rows(page, search.limit, connection):
                kept = sent.add(rows, search.limit)
                if page.backwards:
                    kept = kept[::-1]
                    sent.first, sent.last = sent.last, sent.first
                begun = _HEAD if sent.count == len(kept) else b","
                yield [begun, *writer.pieces(kept)] if kept or begun == _HEAD else []
            matched = await self._matched(search, page, sent, connection)
        yield [_tail(search, page, sent, matched, links, link_to)]

    async def _matched(self, search: Search, page: Page, sent: Sent, connection: asyncpg.Connection) -> Matched:
        """Return how many Items there are: as they were counted before, as long as none has changed since."""
        if search.token is None and not sent.more:
            return Matched(sent.count)
        key = hashlib.sha256(repr(page.count).encode()).digest()
        known = self._counts.get(key)
        if known is not None and sent.first is not None and known.state == sent.first["state"]:
            return known
        found = self._counts[key] = await _counted(page, connection, sent.first["state"] if sent.first else None)
        self._counts.move_to_end(key)
        if len(self._counts) > MOST_COUNTS:
            self._counts.popitem(last=False)
        return found


def _is_simple(search: Search) -> bool:
    """Return whether the same plan is best whatever the values: the newest of all, of a collection or of a tag."""
    tag, rest = tags.leading_tag(search.filter)
    alone = search.filter is None or (tag is not None and rest is True)
    one_collection = search.collections is None or len(search.collections) == 1
    return alone and one_collection and not (search.area or search.ids or search.period or search.order)


async def _with_tags(search: Search, connection: asyncpg.Connection) -> Search:
    """Return a search that asks for the tags whose text is as the search wants it."""
    found = {}
    questions = {tags.key_of(question): question for question in tags.questions(search.filter)}
    if len(questions) > MOST_QUESTIONS:
        raise refuse(f"expected at most {MOST_QUESTIONS} conditions on the text of tags, found {len(questions)}")
    for key, question in questions.items():
        condition, values = tags.condition_of(question)
        rows = await connection.fetch(f"SELECT tag FROM stac_ingest.tags_in_use() AS tag WHERE {condition}", *values)
        found[key] = [row["tag"] for row in rows]
    return replace(search, filter=tags.answered(search.filter, found)) if found else search


async def _rows(page: Page, limit: int, connection: asyncpg.Connection) -> AsyncIterator[list[Row]]:
    """Yield the rows of a page; a large one in parts, unless it is read backwards."""
    statement = page.statement
    if limit <= WHOLE or page.backwards:
        yield await connection.fetch(statement.text, *statement.values)
        return
    async with connection.transaction(readonly=True):
        cursor = await connection.cursor(statement.text, *statement.values)
        left = limit + 1
        while left:
            rows = await cursor.fetch(min(WHOLE, left))
            yield rows
            left = left - len(rows) if len(rows) == min(WHOLE, left) else 0


async def _counted(page: Page, connection: asyncpg.Connection, state: int | None) -> Matched:
    """Return how many Items there are; `state` is that of the page, which is not newer than what is counted."""
    try:
        row = await connection.fetchrow(page.count.text, *page.count.values, timeout=COUNT_SECONDS)
    except TimeoutError:
        row = None
    if row is not None and row["count"] is not None:
        return Matched(row["count"], row["exact"], row["state"])
    plan = orjson.loads(await connection.fetchval(page.estimate.text, *page.estimate.values))
    return Matched(int(plan[0]["Plan"]["Plan Rows"]), exact=False, state=state if row is None else row["state"])


def _tail(search: Search, page: Page, sent: Sent, matched: Matched, links: list[Json], link_to: LinkTo) -> bytes:
    """Return the end of a page: its links and counts, which are known when all of it has been read."""
    links = list(links)
    if sent.last is not None and (sent.more or page.backwards):
        links.append(link_to("next", token_of(page.keys_of(sent.last), backwards=False)))
    if sent.first is not None and (sent.more if page.backwards else search.token is not None):
        links.append(link_to("previous", token_of(page.keys_of(sent.first), backwards=True)))
    counts: Json = {"numberReturned": sent.count, "numberMatched": max(matched.count, sent.count)}
    if not matched.exact:
        counts["ingest:matched_is_estimate"] = True
    return b"],%b" % orjson.dumps({"links": links, **counts})[1:]


class ItemWriter:
    """Writes Items with the links that hold at an address of the service; with some of their fields, or whole."""

    def __init__(self, base: str, fields: Fields | None = None) -> None:
        self._base = base
        self._in_json = orjson.dumps(base)[1:-1]
        self._fields = fields
        self._links_in: dict[str, bytes] = {}

    def pieces(self, rows: Iterable[Row]) -> Iterator[bytes | memoryview]:
        """Yield the JSON of Items in pieces, with commas between the Items."""
        between = b""
        for row in rows:
            yield between
            if self._fields is not None:
                yield self._some_fields(row, self._fields)
            else:
                yield self._links(row)
                yield memoryview(row["document"])[1:] if row["plain"] else _plain(row["document"])[1:]
            between = b","

    def item(self, row: Row) -> bytes:
        """Return an Item as JSON."""
        return b"".join(self.pieces([row]))

    def _some_fields(self, row: Row, fields: Fields) -> bytes:
        """Return an Item with some of its fields; type, ids and links are among them, unless they are excluded."""
        include, exclude = set(fields.include), set(fields.exclude)
        item = orjson.loads(row["document"])
        if "links" not in exclude:
            item["links"] = orjson.loads(self._links(row)[len(_LINKS) : -1])
        if include:
            include |= {"type", "id", "collection", "links"} - exclude
        return orjson.dumps(filter_fields(item, include, exclude))

    def _links(self, row: Row) -> bytes:
        """Return the beginning of an Item: its links, and the comma behind them."""
        collection = row["collection"]
        links = self._links_in.get(collection)
        if links is None:
            here = b"%bcollections/%b" % (self._in_json, quote(collection, safe=":").encode())
            links = self._links_in[collection] = b"".join((
                _LINKS, b'[{"rel":"collection","type":"application/json","href":"', here,
                b'"},{"rel":"parent","type":"application/json","href":"', here,
                b'"},{"rel":"root","type":"application/json","href":"', self._in_json,
                b'"},{"rel":"self","type":"application/geo+json","href":"', here, b"/items/",
            ))  # fmt: skip
        begun = b'%b%b"}' % (links, quote(row["id"], safe="").encode())
        if (own := row["links"]) is None:
            return begun + b"],"
        resolved = list(own_links(orjson.loads(own), self._base))
        return b"%b,%b," % (begun, orjson.dumps(resolved)[1:]) if resolved else begun + b"],"


def own_links(links: Iterable[Any], base: str) -> Iterator[Json]:
    """Yield the links of an Item or a Collection that the API does not make, resolved; other tools store any."""
    for link in links:
        if isinstance(link, dict) and link.get("rel") not in UNSTORED_LINKS:
            with contextlib.suppress(ValueError):  # an address that is none goes out as it is
                link = {**link, "href": urljoin(base, str(link.get("href", "")))}
            yield link


def _plain(document: bytes) -> bytes:
    return orjson.dumps(orjson.loads(document))
