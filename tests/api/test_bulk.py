"""Many items in one request: all of them are written, or none and each that is wrong is named."""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import uuid4

import httpx2
import pytest

from api.limits import MAX_BODY_BYTES, MAX_BULK_BYTES
from tests.api.answers import refused
from tests.api.test_stac import changed, id_of, make_item
from tests.conftest import Service, schema_errors

Json = dict[str, Any]
Bulk = Callable[..., httpx2.Response]


@pytest.fixture
def bulk(http: httpx2.Client, collection: str) -> Bulk:
    """Send items in bulk."""

    def send(*items: Json, headers: dict[str, str] | None = None, **more: Any) -> httpx2.Response:
        body = {"items": {item.get("id", "none"): item for item in items}, **more}
        content = json.dumps(body)  # httpx2 would refuse what JSON has not
        types = {"Content-Type": "application/json", **(headers or {})}
        return http.post(f"{collection}/bulk_items", content=content, headers=types)

    return send


def ids(http: httpx2.Client, collection: str) -> list[str]:
    return sorted(item["id"] for item in http.get(f"{collection}/items").json()["features"])


def items_of(collection: str, *names: str, **more: Any) -> list[Json]:
    return [make_item(id_of(collection), name, **more) for name in names]


def test_items_are_added_in_bulk(http: httpx2.Client, collection: str, bulk: Bulk) -> None:
    one, two = items_of(collection, "one", "two")
    answer = bulk(one, {**two, "custom:top": {"a": None}, "collection": None})
    assert answer.status_code == 200, answer.text
    assert answer.json() == {"received": 2, "success": 2, "skipped": 0, "errors": []}
    assert ids(http, collection) == ["one", "two"]
    alone = make_item(id_of(collection), "alone")
    http.post(f"{collection}/items", json=alone)
    read, other = (http.get(f"{collection}/items/{name}").json() for name in ("one", "alone"))
    assert schema_errors(read) == []
    assert read["geometry"] == other["geometry"]
    assert read["properties"].keys() == other["properties"].keys()
    assert http.get(f"{collection}/items/two").json()["custom:top"] == {}
    assert http.get(collection).json()["extent"]["spatial"]["bbox"] == [[10, 50, 11, 51]]


def test_insert_refuses_what_is_there_and_upsert_replaces_it(http: httpx2.Client, collection: str, bulk: Bulk) -> None:
    assert bulk(*items_of(collection, "one", "two")).status_code == 200
    before = http.get(f"{collection}/items/one")
    new = items_of(collection, "one", "two", "three", west=20)
    answer = bulk(*new, method="insert")
    assert "'one'" in refused(answer, 409, "ITEM_EXISTS")
    body = answer.json()
    assert (body["received"], body["success"], body["skipped"]) == (3, 0, 0)
    assert [(error["id"], error["code"]) for error in body["errors"]] == [
        ("one", "ITEM_EXISTS"),
        ("two", "ITEM_EXISTS"),
    ]
    assert ids(http, collection) == ["one", "two"]
    assert http.get(f"{collection}/items/one").json() == before.json()

    assert bulk(*new, method="upsert").json()["success"] == 3
    after = http.get(f"{collection}/items/one")
    assert after.json()["bbox"][0] == 20
    assert after.json()["properties"]["created"] == before.json()["properties"]["created"]
    assert after.headers["etag"] != before.headers["etag"]
    stale = {"If-Match": before.headers["etag"]}
    refused(http.patch(f"{collection}/items/one", json={}, headers=stale), 412, "PRECONDITION_FAILED")


@pytest.mark.parametrize("method", ["insert", "upsert"])
def test_each_item_that_is_wrong_is_named(http: httpx2.Client, collection: str, bulk: Bulk, method: str) -> None:
    good, *bad = items_of(collection, "good", *"abcdefgh")
    wrong: list[tuple[str, Json]] = [
        ("INVALID_GEOMETRY", changed(bad[0], geometry=None)),
        ("INVALID_GEOMETRY", changed(bad[1], geometry={"type": "Point", "coordinates": [500, 5]})),
        (
            "INVALID_DATETIME",
            changed(
                bad[2],
                properties={"start_datetime": "2024-02-01T00:00:00Z", "end_datetime": "2024-01-01T00:00:00Z"},
            ),
        ),
        ("ID_MISMATCH", changed(bad[3], collection="other")),
        ("INVALID_HREF", changed(bad[4], assets={"data": {"href": "/vsicurl/x"}})),
        ("INVALID_REQUEST", changed(bad[5], properties={"x": float("nan")})),
        ("INVALID_REQUEST", changed(bad[6], properties={"title": "a\x00b"})),
        ("INVALID_REQUEST", {"id": "h"}),
        ("INVALID_ID", make_item(id_of(collection), "no id")),
    ]
    answer = bulk(good, *(item for _, item in wrong), method=method)
    assert "found 9 that cannot" in refused(answer, 400, "INVALID_ITEMS")
    body = answer.json()
    assert (body["received"], body["success"], body["skipped"]) == (10, 0, 0)
    assert {error["id"]: error["code"] for error in body["errors"]} == {item["id"]: code for code, item in wrong}
    assert all(len(error["msg"]) > 10 for error in body["errors"])
    assert ids(http, collection) == []
    assert bulk(good, method=method).json()["success"] == 1


def test_an_item_has_the_name_that_it_is_sent_under(http: httpx2.Client, collection: str) -> None:
    (item,) = items_of(collection, "one")
    answer = http.post(f"{collection}/bulk_items", json={"items": {"two": item, "three": 5}})
    refused(answer, 400, "INVALID_ITEMS")
    found = {error["id"]: error["code"] for error in answer.json()["errors"]}
    assert found == {"two": "ID_MISMATCH", "three": "INVALID_REQUEST"}


@pytest.mark.parametrize(
    "body",
    [
        *({}, {"items": []}, {"items": {}, "method": "replace"}, {"items": None}, [], 5, None),
        {"items": {"a\x00": {}}},
    ],
    ids=str,
)
def test_bodies_that_are_not_bulk(http: httpx2.Client, collection: str, body: Any) -> None:
    answer = http.post(f"{collection}/bulk_items", json=body)
    refused(answer, 400, answer.json()["code"])


def test_no_items_are_none(http: httpx2.Client, bulk: Bulk) -> None:
    assert bulk().json() == {"received": 0, "success": 0, "skipped": 0, "errors": []}


def test_the_collection_is_there_and_is_not_being_deleted(http: httpx2.Client) -> None:
    for items in ({}, {"one": make_item("absent", "one")}):
        for method in ("insert", "upsert"):
            answer = http.post("/collections/absent/bulk_items", json={"items": items, "method": method})
            refused(answer, 404, "COLLECTION_NOT_FOUND")


def test_a_repeated_bulk_is_done_once(http: httpx2.Client, collection: str, bulk: Bulk) -> None:
    key = {"Idempotency-Key": str(uuid4())}
    wrong = changed(make_item(id_of(collection), "two"), geometry=None)
    refused(bulk(*items_of(collection, "one"), wrong, headers=key), 400, "INVALID_ITEMS")
    items = items_of(collection, "one", "two")
    first, again = (bulk(*items, headers=key) for _ in range(2))
    assert (first.status_code, again.status_code) == (200, 200)
    assert again.json() == first.json()
    refused(bulk(*items), 409, "ITEM_EXISTS")
    refused(bulk(*items, method="upsert", headers=key), 422, "IDEMPOTENCY_KEY_REUSED")
    http.delete(f"{collection}/items/one")
    assert bulk(*items, headers=key).status_code == 200
    assert ids(http, collection) == ["two"]


def test_a_refused_bulk_leaves_its_key_free(http: httpx2.Client, collection: str, bulk: Bulk) -> None:
    key = {"Idempotency-Key": str(uuid4())}
    (one,) = items_of(collection, "one")
    http.post(f"{collection}/items", json=one)
    refused(bulk(one, headers=key), 409, "ITEM_EXISTS")
    http.delete(f"{collection}/items/one")
    assert bulk(one, headers=key).status_code == 200


def test_of_many_at_once_one_inserts(service: Service, http: httpx2.Client, collection: str) -> None:
    body = {"items": {item["id"]: item for item in items_of(collection, "one", "two")}}

    def send(_: int) -> int:
        return httpx2.post(f"{service.url}{collection}/bulk_items", json=body, timeout=60).status_code

    with ThreadPoolExecutor(4) as pool:
        assert sorted(pool.map(send, range(4))) == [200, 409, 409, 409]
    assert ids(http, collection) == ["one", "two"]


def test_a_bulk_may_be_larger_than_other_bodies(http: httpx2.Client, collection: str, bulk: Bulk) -> None:
    text = "x" * (1024**2)
    items = [
        changed(item, properties={"custom:text": text})
        for item in items_of(collection, *(f"i{n}" for n in range(MAX_BODY_BYTES // len(text) + 1)))
    ]
    whole = {"type": "FeatureCollection", "features": items}
    refused(http.post(f"{collection}/items", json=whole), 413, "PAYLOAD_TOO_LARGE")
    assert ids(http, collection) == []
    assert bulk(*items).json()["success"] == len(items)

    def pieces() -> Any:
        for _ in range(MAX_BULK_BYTES // len(text) + 1):
            yield text.encode()

    # Sent in chunks, so without a length.
    answer = http.post(f"{collection}/bulk_items", content=pieces(), headers={"Content-Type": "application/json"})
    assert f"at most {MAX_BULK_BYTES} bytes" in refused(answer, 413, "PAYLOAD_TOO_LARGE")


def test_thousands_of_items_are_one_request(http: httpx2.Client, collection: str, bulk: Bulk) -> None:
    items = [make_item(id_of(collection), f"i{n}", west=n % 100, day=n % 28 + 1) for n in range(3000)]
    for method in ("insert", "upsert"):
        assert bulk(*items, method=method).json()["success"] == 3000
    found = http.post("/search", json={"collections": [id_of(collection)], "limit": 1}).json()
    assert found["numberMatched"] == 3000
