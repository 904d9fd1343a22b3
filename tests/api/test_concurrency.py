"""Writers that do not know of each other: what was changed meanwhile is not overwritten; and HEAD wherever GET is."""

from __future__ import annotations

import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import uuid4

import httpx2
import pytest

from tests.api.answers import refused
from tests.api.test_stac import id_of, make_collection, make_item
from tests.conftest import Service

Json = dict[str, Any]
Ask = Callable[..., httpx2.Response]


@pytest.fixture
def item(http: httpx2.Client, collection: str) -> str:
    """Address of an item that this test has to itself."""
    added = http.post(f"{collection}/items", json=make_item(id_of(collection), "one"))
    assert added.status_code == 201
    return f"{collection}/items/one"


@pytest.fixture(params=["collection", "item"])
def path(request: pytest.FixtureRequest) -> str:
    """Address of a collection or an item."""
    address: str = request.getfixturevalue(request.param)
    return address


def titled(document: Json, title: str) -> Json:
    """Return a Collection or an Item with another title."""
    if document["type"] == "Collection":
        return {**document, "title": title}
    return {**document, "properties": {**document["properties"], "title": title}}


def title_of(document: Json) -> str | None:
    title: str | None = (document if document["type"] == "Collection" else document["properties"]).get("title")
    return title


def title_patch(path: str, title: str) -> Json:
    return {"properties": {"title": title}} if "/items/" in path else {"title": title}


# --- ETag


def test_an_etag_names_what_is_stored_wherever_it_is_read(http: httpx2.Client, path: str) -> None:
    etag = http.get(path).headers["etag"]
    assert etag.startswith('"')
    assert etag.endswith('"')
    elsewhere = {"X-Forwarded-Proto": "https", "X-Forwarded-Host": "eo.example", "X-Forwarded-Prefix": "/stac"}
    for headers in ({}, elsewhere, {"Accept-Encoding": "br"}, {"Accept-Encoding": "identity"}):
        for method in ("GET", "HEAD"):
            assert http.request(method, path, headers=headers).headers["etag"] == etag


def test_every_write_answers_with_the_etag_that_is_then_read(http: httpx2.Client, path: str) -> None:
    seen = {http.get(path).headers["etag"]}
    asked: tuple[Ask, ...] = (
        lambda: http.put(path, json=titled(http.get(path).json(), "A")),
        lambda: http.patch(path, json=title_patch(path, "B")),
        lambda: http.patch(path, json=[]),
    )
    for write in asked:
        answer = write()
        assert answer.status_code == 200, answer.text
        read = http.get(path)
        assert answer.headers["etag"] == read.headers["etag"]
        assert answer.json()["links"] == read.json()["links"]
        assert answer.json() == read.json()
        seen.add(read.headers["etag"])
    assert len(seen) == 4


def test_an_added_object_has_the_etag_that_is_then_read(http: httpx2.Client, collection: str) -> None:
    item = make_item(id_of(collection), "new", properties={"gsd": 10, "x": 1e300, "y": -0.0, "ü": "é\u2028"})
    added = http.post(f"{collection}/items", json=item)
    assert added.headers["etag"] == http.get(f"{collection}/items/new").headers["etag"]
    made = f"test:{uuid4().hex[:12]}"
    added = http.post("/collections", json=make_collection(made, custom={"b": 1, "a": [1.0, None]}))
    assert added.headers["etag"] == http.get(f"/collections/{made}").headers["etag"]


def test_the_etag_of_a_collection_changes_with_its_extent(http: httpx2.Client, collection: str) -> None:
    before = http.get(collection).headers["etag"]
    http.post(f"{collection}/items", json=make_item(id_of(collection), "one"))
    assert http.get(collection).headers["etag"] != before


def test_the_etag_of_an_item_does_not_change_with_its_collection(http: httpx2.Client, item: str) -> None:
    before = http.get(item)
    collection = item.rpartition("/items/")[0]
    http.patch(collection, json={"item_assets": {"a": {"title": "A", "bands": [{"name": "a"}]}}, "title": "New"})
    assert http.get(item).headers["etag"] == before.headers["etag"]
    assert http.get(item).json() == before.json()


def test_what_is_known_already_is_not_sent_again(http: httpx2.Client, path: str) -> None:
    etag = http.get(path).headers["etag"]
    for known in (etag, f"W/{etag}", f'"x", {etag}', "*"):
        answer = http.get(path, headers={"If-None-Match": known})
        assert answer.status_code == 304, known
        assert answer.content == b""
        assert answer.headers["etag"] == etag
        assert http.head(path, headers={"If-None-Match": known}).status_code == 304
    for other in ('"x"', "", "x", etag.strip('"')):
        assert http.get(path, headers={"If-None-Match": other}).status_code == 200, other
    http.patch(path, json=title_patch(path, "New"))
    assert http.get(path, headers={"If-None-Match": etag}).status_code == 200


# --- If-Match


def test_the_second_of_two_writers_is_told_that_it_read_something_older(http: httpx2.Client, path: str) -> None:
    read = http.get(path)
    seen = {"If-Match": read.headers["etag"]}
    first = http.put(path, json=titled(read.json(), "first"), headers=seen)
    assert first.status_code == 200
    asked: tuple[Ask, ...] = (
        lambda: http.put(path, json=titled(read.json(), "second"), headers=seen),
        lambda: http.patch(path, json=title_patch(path, "second"), headers=seen),
        lambda: http.patch(path, json=[], headers=seen),
        lambda: http.delete(path, headers=seen),
    )
    for write in asked:
        sentence = refused(write(), 412, "PRECONDITION_FAILED")
        assert "somebody else has changed it" in sentence
        assert "reload" in sentence
    assert title_of(http.get(path).json()) == "first"
    again = http.patch(path, json=title_patch(path, "second"), headers={"If-Match": first.headers["etag"]})
    assert title_of(again.json()) == "second"
    assert http.delete(path, headers={"If-Match": again.headers["etag"]}).status_code == 204


@pytest.mark.parametrize("form", ["{}", "W/{}", '"x", {}', "*"])
def test_a_writer_who_has_read_what_is_there_may_write(http: httpx2.Client, path: str, form: str) -> None:
    seen = {"If-Match": form.format(http.get(path).headers["etag"])}
    assert http.patch(path, json=title_patch(path, "New"), headers=seen).status_code == 200


@pytest.mark.parametrize("tag", ['"x"', "", "x", '"', "W/"])
def test_a_tag_that_names_nothing_lets_nothing_through(http: httpx2.Client, path: str, tag: str) -> None:
    refused(http.delete(path, headers={"If-Match": tag}), 412, "PRECONDITION_FAILED")
    assert http.get(path).status_code == 200


def test_what_is_not_there_is_not_found_whatever_is_expected(http: httpx2.Client, collection: str) -> None:
    for expected in ("*", '"x"'):
        headers = {"If-Match": expected}
        refused(http.patch(f"{collection}/items/none", json={}, headers=headers), 404, "ITEM_NOT_FOUND")
        refused(http.delete(f"{collection}/items/none", headers=headers), 404, "ITEM_NOT_FOUND")
        refused(http.patch("/collections/none", json={}, headers=headers), 404, "COLLECTION_NOT_FOUND")


# --- If-None-Match


def test_what_must_not_be_there_is_not_written(http: httpx2.Client, path: str) -> None:
    read = http.get(path)
    for known in ("*", read.headers["etag"], f"W/{read.headers['etag']}", f'"x", {read.headers["etag"]}'):
        headers = {"If-None-Match": known}
        asked: tuple[Ask, ...] = (
            lambda headers=headers: http.put(path, json=titled(read.json(), "New"), headers=headers),
            lambda headers=headers: http.patch(path, json=title_patch(path, "New"), headers=headers),
            lambda headers=headers: http.delete(path, headers=headers),
        )
        for write in asked:
            assert "If-None-Match" in refused(write(), 412, "PRECONDITION_FAILED")
    assert http.get(path).json() == read.json()
    other = {"If-None-Match": '"x"'}
    assert title_of(http.put(path, json=titled(read.json(), "New"), headers=other).json()) == "New"
    assert http.delete(path, headers=other).status_code == 204


def test_put_replaces_and_never_adds(http: httpx2.Client, collection: str) -> None:
    for headers in ({}, {"If-None-Match": "*"}):
        item = make_item(id_of(collection), "new")
        refused(http.put(f"{collection}/items/new", json=item, headers=headers), 404, "ITEM_NOT_FOUND")
        refused(http.put("/collections/new", json=make_collection("new"), headers=headers), 404, "COLLECTION_NOT_FOUND")


def test_a_key_stands_for_its_conditions_too(http: httpx2.Client, path: str) -> None:
    key = {"Idempotency-Key": str(uuid4())}
    assert http.patch(path, json={}, headers={**key, "If-None-Match": '"x"'}).status_code == 200
    assert http.patch(path, json={}, headers={**key, "If-None-Match": '"x"'}).status_code == 200
    refused(http.patch(path, json={}, headers=key), 422, "IDEMPOTENCY_KEY_REUSED")


# --- Many at once


def at_once(count: int, ask: Callable[[int], httpx2.Response]) -> list[httpx2.Response]:
    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(ask, range(count)))


def test_one_of_many_writers_changes_what_all_have_read(service: Service, http: httpx2.Client, path: str) -> None:
    seen = {"If-Match": http.get(path).headers["etag"]}

    def change(number: int) -> httpx2.Response:
        return httpx2.patch(f"{service.url}{path}", json=title_patch(path, f"by {number}"), headers=seen, timeout=60)

    answers = at_once(8, change)
    assert sorted(answer.status_code for answer in answers) == [200, *[412] * 7]
    winner = next(number for number, answer in enumerate(answers) if answer.status_code == 200)
    assert title_of(http.get(path).json()) == f"by {winner}"


def test_writers_who_try_again_lose_nothing(service: Service, http: httpx2.Client, collection: str) -> None:
    def append(number: int) -> httpx2.Response:
        with httpx2.Client(base_url=service.url, timeout=60) as own:
            while True:
                read = own.get(collection)
                keywords = [*read.json().get("keywords", []), f"k{number}"]
                answer = own.patch(collection, json={"keywords": keywords}, headers={"If-Match": read.headers["etag"]})
                if answer.status_code != 412:
                    return answer

    assert {answer.status_code for answer in at_once(6, append)} == {200}
    assert sorted(http.get(collection).json()["keywords"]) == [f"k{number}" for number in range(6)]


# --- HEAD


def test_head_says_what_get_says_without_a_body(http: httpx2.Client, item: str) -> None:
    plain = {"Accept-Encoding": "identity"}
    collection_id, item_id = item.split("/")[2::2]
    offered = [path for path, methods in http.get("/api").json()["paths"].items() if "get" in methods]
    assert len(offered) > 10
    for path in [*offered, "/search?limit=0", "/nothing"]:
        for names in ({"collection_id": collection_id, "item_id": item_id}, {}):
            address = re.sub(r"{(\w+)}", lambda found, names=names: names.get(found[1], "none"), path)  # type: ignore[misc]
            answer, expected = http.head(address, headers=plain), http.get(address, headers=plain)
            assert (answer.status_code, answer.content) == (expected.status_code, b""), address
            for name in ("content-type", "content-length", "etag", "cache-control"):
                assert answer.headers.get(name) == expected.headers.get(name), (address, name)


def test_head_finds_objects(http: httpx2.Client, item: str) -> None:
    for path in (item, item.rpartition("/items/")[0], item.rpartition("/")[0]):
        assert http.head(path).status_code == 200
        assert http.head(f"{path}x").status_code == 404
    compressed = http.head(item, headers={"Accept-Encoding": "gzip"})
    assert (compressed.status_code, compressed.content) == (200, b"")


def test_head_of_events_does_not_wait_for_their_end(http: httpx2.Client) -> None:
    collection_id = f"test:{uuid4().hex[:12]}"
    bands = [{"name": "blue", "type": "spectral", "data_type": "UInt16"}]
    http.post("/collections", json=make_collection(collection_id, **{"ingest:bands": bands}))
    upload = {"image": {"name": "a", "acquired": "2024-01-01T00:00:00Z"}, "files": [{"name": "a.tif"}]}
    upload_id = http.post(f"/collections/{collection_id}/uploads", json=upload).json()["id"]
    answer = http.head(f"/uploads/{upload_id}/events", timeout=10)
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert answer.content == b""
    assert http.get(f"/uploads/{upload_id}").status_code == 200
