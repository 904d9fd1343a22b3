"""Pages of searches, on a database: complete while others write, exact in their numbers, and small in memory."""

from __future__ import annotations

import asyncio
import itertools
import json
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import asyncpg
import psycopg
import pytest
from psycopg.types.json import Jsonb
from starlette.requests import ClientDisconnect
from starlette.responses import Response, StreamingResponse

from api.connections import reading_pool
from api.stac import pages as pages_module
from api.stac import statements as statements_module
from api.stac.pages import Pages
from api.stac.search import search_from_body
from api.stac.statements import token_of
from stac_ingest.errors import RequestError
from tests.api.test_stac import make_collection, make_item

Json = dict[str, Any]
BASE = "http://here/"


@dataclass
class Reader:
    """Searches as the API asks them, without HTTP."""

    pages: Pages

    async def page(self, **body: Any) -> Json:
        answer = await self.pages.answer(search_from_body(body), BASE, [], self.link_to)
        page: Json = json.loads(await self.content(answer))
        return page

    async def content(self, answer: Response) -> bytes:
        received = []

        async def receive() -> Any:
            await asyncio.Future()

        async def send(message: Any) -> None:
            received.append(message.get("body", b""))

        await answer({"type": "http", "asgi": {"spec_version": "2.4"}}, receive, send)
        return b"".join(received)

    async def walk(self, direction: str = "next", **body: Any) -> AsyncIterator[list[str]]:
        token = body.pop("token", None)
        while True:
            page = await self.page(**body, token=token)
            yield [item["id"] for item in page["features"]]
            token = tokens(page).get(direction)
            if token is None:
                return

    @staticmethod
    def link_to(relation: str, token: str) -> Json:
        return {"rel": relation, "token": token}


def tokens(page: Json) -> dict[str, str]:
    return {link["rel"]: link["token"] for link in page["links"]}


Scenario = Callable[[Reader], Awaitable[Any]]


@pytest.fixture
def database(database_url: str) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(database_url, autocommit=True, options="-c search_path=pgstac,public") as connection:
        for name in ("a", "b"):
            connection.execute("SELECT pgstac.create_collection(%s)", [Jsonb(make_collection(name))])
        yield connection


def create(database: psycopg.Connection[Any], items: list[Json]) -> None:
    database.execute("SELECT pgstac.create_items(%s)", [Jsonb(items)])


@pytest.fixture
def play(database_url: str, database: psycopg.Connection[Any]) -> Callable[[Scenario], Any]:
    @asynccontextmanager
    async def reader() -> AsyncIterator[Reader]:
        async with reading_pool(database_url, "auto") as kept, reading_pool(database_url, "auto") as planned:
            yield Reader(Pages(kept, planned))

    def run(scenario: Scenario) -> Any:
        async def main() -> Any:
            async with reader() as one:
                return await scenario(one)

        return asyncio.run(main())

    return run


def forty() -> list[Json]:
    """Items of two collections with values that are often the same, and often missing."""
    generator = random.Random(5)
    items = []
    for index in range(40):
        properties: Json = {"keywords": [f"t{index % 3}", "all"]}
        if index % 3:
            properties["eo:cloud_cover"] = index % 4
        if index % 4:
            properties["platform"] = "xyZé"[index % 4]
        if index % 5:
            properties["published"] = f"2024-01-0{index % 5}T00:00:00{generator.choice(['Z', '+01:00'])}"
        items.append(make_item("ab"[index % 2], f"i{index:02}", day=1 + index % 3, properties=properties))
    generator.shuffle(items)
    return items


ORDERS: list[list[Json]] = [
    [],
    [{"field": "datetime", "direction": "asc"}],
    [{"field": "id", "direction": "desc"}],
    [{"field": "eo:cloud_cover", "direction": "asc"}],
    [{"field": "eo:cloud_cover", "direction": "desc"}],
    [{"field": "platform", "direction": "asc"}, {"field": "properties.eo:cloud_cover", "direction": "desc"}],
    [{"field": "published", "direction": "desc"}, {"field": "platform", "direction": "asc"}],
    [{"field": "collection", "direction": "asc"}, {"field": "datetime", "direction": "desc"}],
]
CONDITIONS: list[Json] = [
    {},
    {"collections": ["a"]},
    {"filter": "tag = 'all'"},
    {"filter": "tag = 't1'", "collections": ["a", "b"]},
    {"bbox": [0, 40, 20, 60]},
]


def in_order(items: list[Json], order: list[Json]) -> list[str]:
    """Return the ids of Items as they are to come: what has no value last, collection and id deciding among equals."""

    def value(item: Json, name: str) -> Any:
        if name in ("id", "collection"):
            return item[name]
        found = item["properties"].get(name.removeprefix("properties."))
        if name == "published" and found is not None:
            return found[:10] if found.endswith("Z") else f"{found[:8]}{int(found[8:10]) - 1:02}T23"
        return found

    order = order or [{"field": "datetime", "direction": "desc"}]
    named = {key["field"] for key in order}
    order = order + [
        {"field": name, "direction": order[0]["direction"]} for name in ("collection", "id") if name not in named
    ]
    ordered = list(items)
    for key in reversed(order):
        having = [item for item in ordered if value(item, key["field"]) is not None]
        having.sort(key=lambda item: value(item, key["field"]), reverse=key["direction"] == "desc")
        ordered = having + [item for item in ordered if value(item, key["field"]) is None]
    return [item["id"] for item in ordered]


def meets(item: Json, condition: Mapping[str, Any]) -> bool:
    wanted = condition.get("filter", "")
    return item["collection"] in condition.get("collections", ["a", "b"]) and (
        "t1" not in wanted or "t1" in item["properties"]["keywords"]
    )


def test_a_walk_gives_each_item_once_in_every_order_in_both_directions(
    play: Callable[[Scenario], Any], database: psycopg.Connection[Any]
) -> None:
    items = forty()
    create(database, items)

    async def walks(reader: Reader) -> None:
        for order, condition in itertools.product(ORDERS, CONDITIONS):
            wanted = in_order([item for item in items if meets(item, condition)], order)
            body = {**condition, "sortby": order, "limit": 7}
            there = [page async for page in reader.walk(**body)]
            assert [name for page in there for name in page] == wanted, body
            token = None
            for _ in there[:-1]:
                token = tokens(await reader.page(**body, token=token))["next"]
            last = await reader.page(**body, token=token)
            assert "next" not in tokens(last)
            back = [page async for page in reader.walk("previous", **body, token=tokens(last)["previous"])]
            assert [name for page in reversed(back) for name in page] == wanted[: -len(there[-1])], body

    play(walks)


def test_a_walk_is_complete_while_items_come_and_go(
    play: Callable[[Scenario], Any], database: psycopg.Connection[Any]
) -> None:
    create(database, [make_item("a", f"i{index:03}", day=1 + index % 20) for index in range(100)])
    stays = {f"i{index:03}" for index in range(100) if index % 10}
    changes = iter(range(100))

    async def walk(reader: Reader) -> list[str]:
        found = []
        async for page in reader.walk(limit=7):
            found += page
            index = next(changes)
            create(database, [make_item("a", f"new{index}", day=1 + index % 20)])
            if index < 10:  # the one that the token was made of may be among them
                database.execute("DELETE FROM pgstac.items WHERE id = ANY (%s)", [[f"i{index * 10:03}"]])
            gone = [name for name in page[-1:] if name not in stays]
            database.execute("DELETE FROM pgstac.items WHERE id = ANY (%s)", [gone])
        return found

    found = play(walk)
    assert len(found) == len(set(found))
    assert stays <= set(found)


def test_a_large_page_is_sent_while_it_is_read(
    play: Callable[[Scenario], Any], database: psycopg.Connection[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pages_module, "WHOLE", 4)
    items = forty()
    create(database, items)
    wanted = in_order(items, [])

    async def read(reader: Reader) -> None:
        for limit in (5, 12, 13, 39, 40, 41):
            answer = await reader.pages.answer(search_from_body({"limit": limit}), BASE, [], reader.link_to)
            assert isinstance(answer, StreamingResponse)
            page = json.loads(await reader.content(answer))
            assert [item["id"] for item in page["features"]] == wanted[:limit]
            assert page["numberReturned"] == min(limit, 40)
            assert page["numberMatched"] == 40
            assert ("next" in tokens(page)) == (limit < 40)
        assert [page async for page in reader.walk(limit=16)] == [wanted[:16], wanted[16:32], wanted[32:]]
        assert (await reader.page(limit=9, ids=["none"]))["features"] == []
        with pytest.raises(RequestError):
            await reader.page(limit=9, token="nonsense")

    play(read)


def test_nothing_is_held_by_clients_that_leave(
    play: Callable[[Scenario], Any], database: psycopg.Connection[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pages_module, "WHOLE", 2)
    create(database, forty())

    async def read(reader: Reader) -> None:
        async def receive() -> Any:
            await asyncio.Future()

        async def leave(message: Any) -> None:
            if message["type"] == "http.response.body":
                raise OSError("gone")

        async def leave_at_once(message: Any) -> None:
            raise RuntimeError("only the headers were wanted")

        for send in (leave, leave_at_once) * 10:
            answer = await reader.pages.answer(search_from_body({"limit": 30}), BASE, [], reader.link_to)
            with pytest.raises((OSError, RuntimeError, ClientDisconnect)):
                await answer({"type": "http", "asgi": {"spec_version": "2.4"}}, receive, send)
        with pytest.raises(RequestError):
            await reader.page(limit=30, token="nonsense")
        async with asyncio.timeout(5):
            for _ in range(10):
                assert len((await reader.page(limit=30))["features"]) == 30

    play(read)


def test_links_that_other_tools_store_break_nothing(
    play: Callable[[Scenario], Any], database: psycopg.Connection[Any]
) -> None:
    links = [
        {"rel": "self", "href": "https://elsewhere.example/a"},
        {"rel": "root", "href": "../catalog.json"},
        {"rel": "via", "href": "http://["},
        {"rel": "about", "href": "about.html"},
        {"rel": "nowhere"},
        "no link",
    ]
    create(database, [{**make_item("a", "x"), "links": links}])

    async def read(reader: Reader) -> None:
        (item,) = (await reader.page())["features"]
        own = [link for link in item["links"] if link["rel"] in ("via", "about", "nowhere")]
        assert [link["rel"] for link in item["links"]].count("self") == 1
        assert own == [{"rel": "via", "href": "http://["}, {"rel": "about", "href": f"{BASE}about.html"}, {**own[2]}]

    play(read)


def test_the_number_is_exact_and_of_now_and_counted_once(
    play: Callable[[Scenario], Any], database: psycopg.Connection[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    create(database, forty())
    counted = 0
    count = pages_module._counted

    async def counting(*arguments: Any) -> Any:
        nonlocal counted
        counted += 1
        return await count(*arguments)

    monkeypatch.setattr(pages_module, "_counted", counting)

    async def read(reader: Reader) -> None:
        async def matched(**body: Any) -> int:
            page = await reader.page(limit=3, **body)
            assert "ingest:matched_is_estimate" not in page
            return int(page["numberMatched"])

        assert [await matched() for _ in range(3)] == [40] * 3
        assert counted == 1
        assert [await matched(collections=["a"]), await matched(collections=["a"])] == [20, 20]
        assert counted == 2
        create(database, [make_item("b", "new")])
        assert await matched(collections=["a"]) == 20
        assert counted == 2
        assert [await matched(), await matched()] == [41, 41]
        assert counted == 3
        database.execute("SELECT pgstac.delete_item('new', 'b')")
        assert await matched() == 40
        database.execute("SELECT pgstac.delete_collection('b')")
        assert await matched() == 20
        assert await matched(ids=["i00", "i02"]) == 2  # all of them are on the page
        assert counted == 5

    play(read)


def test_a_large_number_is_estimated_and_said_to_be(
    play: Callable[[Scenario], Any], database: psycopg.Connection[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pages_module, "EXACT", 30)
    create(database, forty())
    database.execute("ANALYZE stac_ingest.documents")

    async def read(reader: Reader) -> None:
        page = await reader.page(limit=3)
        assert page["ingest:matched_is_estimate"] is True
        assert 20 <= page["numberMatched"] <= 80
        page = await reader.page(limit=3, collections=["a"])
        assert page["numberMatched"] == 20
        assert "ingest:matched_is_estimate" not in page

    play(read)


def test_what_would_have_to_be_looked_up_is_estimated(
    play: Callable[[Scenario], Any], database: psycopg.Connection[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    create(database, forty())
    of_platforms = {"filter": "tag = 'all' AND platform >= 'Z'", "limit": 3}

    async def read(reader: Reader) -> None:
        page = await reader.page(**of_platforms)
        assert (page["numberMatched"], "ingest:matched_is_estimate" in page) == (30, False)
        monkeypatch.setattr(statements_module, "MOST_LOOKED_UP", 39)
        page = await reader.page(**of_platforms)
        assert (page["numberMatched"], "ingest:matched_is_estimate" in page) == (30, True)
        for indexed in (
            "tag = 'all'",
            "tag = 'all' AND eo:cloud_cover >= 0",
            "tag = 'all' AND datetime > DATE('2024-05-01')",
        ):
            assert "ingest:matched_is_estimate" not in await reader.page(filter=indexed, limit=3)

    play(read)


def test_an_estimate_goes_by_the_newest(
    play: Callable[[Scenario], Any], database: psycopg.Connection[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of one Item a day, two in three holding, the newest of ten days tell how many there are in twenty."""
    platforms = [{"keywords": ["all"], "platform": "yyn"[index % 3]} for index in range(20)]
    create(
        database, [make_item("a", f"i{day:02}", day=day, properties=own) for day, own in enumerate(platforms, start=1)]
    )
    monkeypatch.setattr(statements_module, "MOST_LOOKED_UP", 9)

    async def read(reader: Reader) -> None:
        page = await reader.page(filter="tag = 'all' AND platform = 'y'", limit=3)
        assert page["ingest:matched_is_estimate"] is True
        assert 12 <= page["numberMatched"] <= 15
        page = await reader.page(filter="tag = 'all' AND platform = 'nowhere' AND datetime > DATE('2024-01-02')")
        assert (page["numberMatched"], "ingest:matched_is_estimate" in page) == (0, False)

    play(read)


def test_items_on_the_edge_of_a_place_are_counted_as_they_are_found(
    play: Callable[[Scenario], Any], database: psycopg.Connection[Any]
) -> None:
    """Extents that lie inside are counted as they are; those of triangles on the edge have to be looked up."""
    chance = random.Random(3)
    items = []
    for index in range(120):
        x, y, side = chance.uniform(-3, 13), chance.uniform(-3, 13), chance.choice([1e-7, 1e-6, 1e-3, 2.0])
        if index % 3 == 0:
            x, y = chance.choice([0, 10]) + chance.choice([-1.5, -0.5, 0, 0.5]) * side, chance.uniform(0, 10)
        triangle = [[x, y], [x + side, y], [x, y + side], [x, y]]
        item = make_item("a", f"i{index:03}", properties={"keywords": ["all"]})
        items.append(
            {**item, "geometry": {"type": "Polygon", "coordinates": [triangle]}, "bbox": [x, y, x + side, y + side]}
        )
    create(database, items)

    async def read(reader: Reader) -> None:
        for area in ([0, 0, 10, 10], [-2, 4, 3, 5], [5, 5, 5.000001, 5.000001], [-180, -90, 180, 90], [9, 0, -170, 10]):
            found = await reader.page(filter="tag = 'all'", bbox=area, limit=200)
            counted = await reader.page(filter="tag = 'all'", bbox=area, limit=1)
            assert "ingest:matched_is_estimate" not in counted
            assert counted["numberMatched"] == found["numberReturned"]
        triangle = {"type": "Polygon", "coordinates": [[[0, 0], [10, 0], [0, 10], [0, 0]]]}
        found = await reader.page(filter="tag = 'all'", intersects=triangle, limit=200)
        counted = await reader.page(filter="tag = 'all'", intersects=triangle, limit=1)
        assert 0 < counted["numberMatched"] == found["numberReturned"] < 120

    play(read)


def test_tokens_that_were_not_made_for_the_search(
    play: Callable[[Scenario], Any], database: psycopg.Connection[Any]
) -> None:
    create(database, forty())

    async def read(reader: Reader) -> None:
        token = tokens(await reader.page(limit=3))["next"]
        for wrong in (token[:-3], token + "A", "AAAA", "", "é", token_of(["a"], backwards=False)):
            with pytest.raises(RequestError, match="token") as caught:
                await reader.page(limit=3, token=wrong)
            assert caught.value.status == 400
        with pytest.raises((asyncpg.DataError, RequestError)):
            await reader.page(limit=3, token=token_of(["soon", "a", "b"], backwards=False))

    play(read)


def test_numbers_that_postgresql_writes_out_come_as_they_were(
    play: Callable[[Scenario], Any], database: psycopg.Connection[Any]
) -> None:
    numbers = [1e300, -1e23, 0.1, 2**53 + 1, 1e-320]
    create(database, [make_item("a", "large", properties={"numbers": numbers, "text": "1" * 40})])

    async def read(reader: Reader) -> None:
        (item,) = (await reader.page())["features"]
        assert item["properties"]["numbers"] == numbers
        assert item["properties"]["text"] == "1" * 40

    play(read)
