"""What is sent to the Transaction extension, on its way into the catalog."""

from __future__ import annotations

import asyncio
import copy
import json
from types import SimpleNamespace
from typing import Any

import pytest
from fastapi import FastAPI
from stac_pydantic import Collection, Item
from starlette.requests import Request
from starlette.types import Message

from api.bodies import require_storable
from api.stac.received import as_stored, checked_collection, checked_item, patched, received
from stac_ingest.errors import RequestError
from stac_ingest.stac import SCHEMA

Json = dict[str, Any]

STORE = "file:///srv/store"
ITEM: Json = {
    "type": "Feature",
    "stac_version": "1.1.0",
    "id": "i",
    "collection": "c",
    "geometry": {"type": "Point", "coordinates": [1, 2]},
    "bbox": [1, 2, 1, 2],
    "properties": {"datetime": "2024-01-01T00:00:00Z", "gsd": 10},
    "assets": {},
    "links": [],
}
COLLECTION: Json = {
    "type": "Collection",
    "stac_version": "1.1.0",
    "id": "c",
    "description": "x",
    "license": "other",
    "extent": {"spatial": {"bbox": [[0, 0, 1, 1]]}, "temporal": {"interval": [[None, None]]}},
    "links": [],
}


def request(body: Any = None, *, root_path: str = "") -> Request:
    """Return a request to https://eo.example."""
    app = FastAPI()
    app.state.store = SimpleNamespace(url=STORE)
    app.state.router_prefix = ""

    async def receive() -> Message:
        return {"type": "http.request", "body": json.dumps(body).encode(), "more_body": False}

    scope = {
        "type": "http",
        "method": "POST",
        "scheme": "https",
        "server": ("eo.example", 443),
        "path": "/",
        "root_path": root_path,
        "query_string": b"",
        "headers": [(b"host", b"eo.example")],
        "app": app,
    }
    return Request(scope, receive)


def changed(before: Json, patch: Any) -> Json:
    kind = Item if before["type"] == "Feature" else Collection
    return asyncio.run(patched(copy.deepcopy(before), kind, request(patch)))


def test_our_addresses_are_stored_as_where_things_are() -> None:
    sent = {
        "assets": {"a": {"href": "https://eo.example/assets/c/i/a-0123456789abcdef.tif"}},
        "stac_extensions": ["https://eo.example/schemas/ingest/v1.0.0/schema.json"],
    }
    stored = {"assets": {"a": {"href": f"{STORE}/assets/c/i/a-0123456789abcdef.tif"}}, "stac_extensions": [SCHEMA]}
    assert as_stored(sent, request()) == stored
    assert as_stored(stored, request()) == stored
    behind = json.loads(json.dumps(sent).replace("eo.example/", "eo.example/stac/"))
    assert as_stored(behind, request(root_path="/stac")) == stored


@pytest.mark.parametrize(
    "href",
    [
        "https://other.example/assets/c/i/a.tif",
        "https://eo.example/collections/c",
        "https://eo.example.evil/assets/a",
        "http://eo.example/assets/a",
        "/assets/a",
        "s3://bucket/assets/a",
        "see https://eo.example/assets/a",
    ],
)
def test_other_addresses_stay(href: str) -> None:
    assert as_stored({"href": href}, request()) == {"href": href}


def test_what_was_sent_is_stored_and_nothing_else() -> None:
    sent = {**ITEM, "custom": {"a": None}}
    assert asyncio.run(received(Item.model_validate(sent), request(sent))) == {
        **ITEM,
        "geometry": {"type": "Point", "coordinates": [1.0, 2.0]},
        "bbox": [1.0, 2.0, 1.0, 2.0],
        "properties": {"datetime": "2024-01-01T00:00:00Z", "gsd": 10.0},
        "custom": {"a": None},
    }
    with pytest.raises(RequestError, match="an empty body"):
        asyncio.run(received(None, request()))
    infinite = {**ITEM, "properties": {**ITEM["properties"], "x": float("inf")}}
    with pytest.raises(RequestError, match="finite numbers"):
        asyncio.run(received(Item.model_validate(infinite), request(infinite)))


def test_a_merge_patch_changes_what_it_names() -> None:
    after = changed(ITEM, {"properties": {"gsd": None, "title": "t"}, "custom:top": {"a": 1}})
    assert after["properties"] == {"datetime": "2024-01-01T00:00:00Z", "title": "t"}
    assert after["custom:top"] == {"a": 1}
    assert changed(COLLECTION, {"ingest:bands": [], "title": "t"})["ingest:bands"] == []
    assert changed(ITEM, {}) == ITEM
    assert changed(ITEM, []) == ITEM


def test_a_json_patch_is_done_in_order() -> None:
    operations = [
        {"op": "add", "path": "/properties/title", "value": "t"},
        {"op": "move", "from": "/properties/title", "path": "/properties/other"},
        {"op": "test", "path": "/properties/other", "value": "t"},
    ]
    assert changed(ITEM, operations)["properties"]["other"] == "t"


@pytest.mark.parametrize(
    "patch",
    [
        {"type": None},
        {"assets": None},
        {"properties": None},
        {"geometry": {"type": "Blob"}},
        {"properties": {"datetime": "soon"}},
        [{"op": "remove", "path": "/id"}],
        [{"op": "remove", "path": "/absent"}],
        [{"op": "test", "path": "/id", "value": "x"}],
        [{"op": "replace", "path": "", "value": 5}],
        [{"op": "replace", "path": "", "value": []}],
        [{"op": "add", "path": "no-slash", "value": 1}],
    ],
)
def test_a_patch_leaves_an_item(patch: Any) -> None:
    with pytest.raises(RequestError) as caught:
        changed(ITEM, patch)
    assert (caught.value.status, caught.value.code) == (400, "INVALID_PATCH")


def test_an_item_belongs_where_it_is_sent() -> None:
    assert checked_item(ITEM, "c", "i") == ITEM
    without = {key: value for key, value in ITEM.items() if key != "collection"}
    assert checked_item(without, "c", None)["collection"] == "c"
    for collection_id, item_id in (("other", None), ("c", "other")):
        with pytest.raises(RequestError, match="'other' of the address") as caught:
            checked_item(ITEM, collection_id, item_id)
        assert caught.value.code == "ID_MISMATCH"
    with pytest.raises(RequestError, match="'other' of the address"):
        checked_collection(COLLECTION, "other")


UINT16: Json = {"name": "a", "type": "spectral", "data_type": "UInt16"}


def test_a_collection_is_something_that_we_can_read() -> None:
    assert checked_collection(COLLECTION, "c") == COLLECTION
    assert checked_collection({**COLLECTION, "assets": None, "keywords": None}, None) == COLLECTION
    foreign = {**COLLECTION, "keywords": ["x"] * 100, "item_assets": {"a": {"bands": [{"name": "b"}]}}}
    assert checked_collection(foreign, None) == foreign
    wrongs: list[Json] = [
        {"assets": 5},
        {"item_assets": {"a": []}},
        {"item_assets": {"a": {"bands": {}}}},
        {"properties": "x"},
        {"ingest:product": []},
        {"ingest:product": {"colour": 5}},
        {"ingest:bands": {}},
        {"ingest:bands": [None]},
        {"ingest:bands": [{"name": "a"}]},
        {"ingest:product": {"cog_profile": {"level": 15}}},
        {"ingest:product": {"cog_profile": {"codec": None}}},
        {"ingest:product": {"cog_profile": {"codec": "JPEG"}}, "ingest:bands": [UINT16]},
    ]
    for wrong in wrongs:
        with pytest.raises(RequestError) as caught:
            checked_collection({**COLLECTION, **wrong}, None)
        assert (caught.value.status, caught.value.code) == (422, "INVALID_PRODUCT")


@pytest.mark.parametrize(
    "value", [2**64, -(2**63) - 1, float("nan"), float("inf"), "a\x00b", {"\x00": 1}, [[{"a": [2**64]}]]]
)
def test_what_the_database_cannot_hold(value: Any) -> None:
    with pytest.raises(RequestError) as caught:
        require_storable({"a": [value]})
    assert (caught.value.status, caught.value.code) == (400, "INVALID_REQUEST")


def test_what_the_database_can_hold() -> None:
    require_storable({"a": [2**64 - 1, -(2**63), 1e308, True, None, "ü\x01\ud7ff", {}]})
