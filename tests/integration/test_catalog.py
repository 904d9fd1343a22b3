"""Collections and Items in pgstac: what is stored, and that extent and summaries follow."""

from __future__ import annotations

import asyncio
import copy
import json
from collections.abc import Callable, Iterator
from typing import Any

import orjson
import pytest
from psycopg.types.json import set_json_loads

from stac_ingest import catalog
from stac_ingest.database import Connection
from stac_ingest.errors import RequestError
from stac_ingest.models.bands import SpectralBand
from stac_ingest.models.product import Product
from stac_ingest.stac import WORLD, collection_from_product
from stac_ingest.uploads import Uploads
from tests.integration.conftest import PRODUCT, Scenario, open_upload

Play = Callable[[Scenario], Any]


def item(name: str, west: float = 10.0, when: str = "2024-01-01T00:00:00Z", **properties: Any) -> dict[str, Any]:
    east = west + 1
    ring = [[west, 50.0], [east, 50.0], [east, 51.0], [west, 51.0], [west, 50.0]]
    return {
        "type": "Feature",
        "stac_version": "1.1.0",
        "stac_extensions": [],
        "id": name,
        "collection": PRODUCT,
        "geometry": {"type": "Polygon", "coordinates": [ring]},
        "bbox": [west, 50.0, east, 51.0],
        "properties": {"datetime": when, **properties},
        "assets": {},
        "links": [{"rel": "self", "href": "http://somewhere/"}, {"rel": "via", "href": "http://origin/"}],
    }


def with_connection(play: Play, steps: Callable[[Connection], Any]) -> None:
    async def scenario(uploads: Uploads) -> None:
        async with uploads.pool.connection() as connection:
            await steps(connection)

    play(scenario)


def test_extent_and_summaries_follow_the_items(play: Play) -> None:
    async def steps(connection: Connection) -> None:
        assert (await catalog.get_collection(connection, PRODUCT))["extent"] == WORLD
        await catalog.create_items(
            connection,
            PRODUCT,
            [
                item("a", 10, "2024-01-01T00:00:00Z", platform="landsat-8", **{"eo:cloud_cover": 10}),
                item("b", 20, "2024-06-01T00:00:00Z", platform="landsat-9", **{"eo:cloud_cover": 60}),
            ],
        )
        both = await catalog.get_collection(connection, PRODUCT)
        assert both["extent"]["spatial"]["bbox"] == [[10, 50, 21, 51]]
        assert both["extent"]["temporal"]["interval"] == [["2024-01-01T00:00:00Z", "2024-06-01T00:00:00Z"]]
        assert both["summaries"]["platform"] == ["landsat-8", "landsat-9"]
        assert both["summaries"]["eo:cloud_cover"] == {"minimum": 10, "maximum": 60}
        await catalog.delete_item(connection, PRODUCT, "a")
        one = await catalog.get_collection(connection, PRODUCT)
        assert one["extent"]["spatial"]["bbox"] == [[20, 50, 21, 51]]
        assert one["summaries"]["platform"] == ["landsat-9"]
        await catalog.delete_item(connection, PRODUCT, "b")
        none = await catalog.get_collection(connection, PRODUCT)
        assert none["extent"] == WORLD
        assert "summaries" not in none

    with_connection(play, steps)


def test_a_save_with_an_old_extent_does_not_undo_it(play: Play) -> None:
    async def steps(connection: Connection) -> None:
        stale = await catalog.get_collection(connection, PRODUCT)
        await catalog.create_items(connection, PRODUCT, [item("a", 10)])
        await catalog.update_collection(connection, {**stale, "title": "New title"})
        after = await catalog.get_collection(connection, PRODUCT)
        assert after["title"] == "New title"
        assert after["extent"]["spatial"]["bbox"] == [[10, 50, 11, 51]]

    with_connection(play, steps)


def test_a_definition_is_applied_once_and_never_touches_images(play: Play) -> None:
    async def steps(connection: Connection) -> None:
        bands = [SpectralBand(name="red")]
        definition = collection_from_product(Product(id="naip", name="NAIP"), bands)
        assert await catalog.apply_collection(connection, definition) == "Added"
        assert await catalog.apply_collection(connection, definition) is None
        await catalog.create_items(connection, "naip", [{**item("a"), "collection": "naip"}])
        assert await catalog.apply_collection(connection, definition) is None
        edited = collection_from_product(Product(id="naip", name="NAIP, edited"), bands)
        assert await catalog.apply_collection(connection, edited) == "Updated"
        assert await catalog.apply_collection(connection, edited) is None
        after = await catalog.get_collection(connection, "naip")
        assert after["title"] == "NAIP, edited"
        assert after["extent"]["spatial"]["bbox"] == [[10, 50, 11, 51]]
        assert await catalog.item_exists(connection, "naip", "a")

    with_connection(play, steps)


def test_links_that_depend_on_the_address_are_not_stored(play: Play) -> None:
    async def steps(connection: Connection) -> None:
        await catalog.create_items(connection, PRODUCT, [item("a")])
        stored = await catalog.get_item(connection, PRODUCT, "a")
        assert [link["rel"] for link in stored["links"]] == ["via"]

    with_connection(play, steps)


def test_many_items_are_added_all_or_none(play: Play) -> None:
    async def steps(connection: Connection) -> None:
        await catalog.create_items(connection, PRODUCT, [item("a")])
        with pytest.raises(RequestError, match="'a'") as caught:
            await catalog.create_items(connection, PRODUCT, [item("b"), item("a")])
        assert caught.value.status == 409
        assert not await catalog.item_exists(connection, PRODUCT, "b")

    with_connection(play, steps)


def test_what_is_missing_is_named(play: Play) -> None:
    async def steps(connection: Connection) -> None:
        for ask in (
            catalog.get_collection(connection, "none"),
            catalog.create_items(connection, "none", [item("a")]),
            catalog.update_collection(connection, {"id": "none"}),
            catalog.delete_collection(connection, "none"),
            catalog.get_item(connection, PRODUCT, "none"),
            catalog.delete_item(connection, PRODUCT, "none"),
        ):
            with pytest.raises(RequestError, match="'none'") as caught:
                await ask
            assert caught.value.status == 404

    with_connection(play, steps)


def test_an_etag_is_that_of_the_content_alone() -> None:
    one = item("a", title="é", list=[1, 2])
    assert catalog.etag(one) == catalog.etag(dict(reversed(one.items())))
    assert catalog.etag(one) == catalog.etag(copy.deepcopy(one))
    others = [item("b", title="é", list=[1, 2]), item("a", title="e", list=[1, 2]), item("a", title="é", list=[2, 1])]
    assert len({catalog.etag(other) for other in (one, *others)}) == 4


@pytest.fixture
def plain_psycopg() -> Iterator[None]:
    """Let psycopg read JSON as it does by itself: importing pypgstac changes that for the whole process."""
    set_json_loads(json.loads)
    yield
    set_json_loads(orjson.loads)


@pytest.mark.usefixtures("plain_psycopg")
def test_large_numbers_are_read_as_they_were_written(play: Play) -> None:
    async def steps(connection: Connection) -> None:
        numbers = {"large": 1e300, "small": -1.5e-300, "whole": 2**63, "float": 5.0}
        await catalog.create_items(connection, PRODUCT, [item("a", numbers=numbers)])
        read = (await catalog.get_item(connection, PRODUCT, "a"))["properties"]["numbers"]
        assert {name: (type(value), value) for name, value in read.items()} == {
            name: (type(value), value) for name, value in numbers.items()
        }

    with_connection(play, steps)


def test_what_is_replaced_keeps_when_it_was_created(play: Play) -> None:
    async def steps(connection: Connection) -> None:
        foreign: dict[str, Any] = {"created": "1999-01-01T00:00:00Z", "updated": "1999-01-01T00:00:00Z"}
        await catalog.create_items(connection, PRODUCT, [item("a", **foreign)])
        first = (await catalog.get_item(connection, PRODUCT, "a"))["properties"]
        assert first["created"] == first["updated"] > "2024"
        await catalog.upsert_items(connection, PRODUCT, [item("a", **foreign), item("b", **foreign)])
        second = (await catalog.get_item(connection, PRODUCT, "a"))["properties"]
        assert (second["created"], second["updated"] > first["updated"]) == (first["created"], True)
        new = (await catalog.get_item(connection, PRODUCT, "b"))["properties"]
        assert new["created"] == new["updated"] == second["updated"]

    with_connection(play, steps)


def test_a_collection_goes_only_when_it_is_empty(play: Play) -> None:
    async def scenario(uploads: Uploads) -> None:
        async def refused_as(code: str) -> None:
            async with uploads.pool.connection() as connection:
                with pytest.raises(RequestError, match="'a:product'") as caught:
                    await catalog.delete_collection(connection, PRODUCT)
            assert (caught.value.status, caught.value.code) == (409, code)

        async with uploads.pool.connection() as connection:
            await catalog.create_items(connection, PRODUCT, [item("a"), item("b")])
        await refused_as("COLLECTION_NOT_EMPTY")
        async with uploads.pool.connection() as connection:
            assert await catalog.delete_some_items(connection, PRODUCT, 1) == 1
            assert await catalog.delete_some_items(connection, PRODUCT, 5) == 1
            assert await catalog.delete_some_items(connection, PRODUCT, 5) == 0
        upload = await open_upload(uploads)
        await refused_as("UPLOAD_IN_PROGRESS")
        await uploads.cancel(upload)
        async with uploads.pool.connection() as connection:
            await catalog.delete_collection(connection, PRODUCT)
            assert await catalog.find_collection(connection, PRODUCT) is None

    play(scenario)


def test_writers_of_one_collection_lose_nothing(play: Play) -> None:
    async def scenario(uploads: Uploads) -> None:
        async def add(number: int) -> None:
            async with uploads.pool.connection() as connection:
                await catalog.create_items(connection, PRODUCT, [item(f"i{number}", west=number)])

        await asyncio.gather(*(add(number) for number in range(12)))
        async with uploads.pool.connection() as connection:
            collection = await catalog.get_collection(connection, PRODUCT)
        assert collection["extent"]["spatial"]["bbox"] == [[0, 50, 12, 51]]

    play(scenario)
