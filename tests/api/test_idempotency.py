"""Requests that are sent again: what was done once is not done twice, and the answer is the same."""

from __future__ import annotations

import socket
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import uuid4

import httpx2
import psycopg
import pytest

from tests.api.answers import refused
from tests.api.test_stac import id_of, make_collection, make_item
from tests.conftest import Service

Json = dict[str, Any]
Ask = Callable[..., httpx2.Response]


def new_key() -> dict[str, str]:
    return {"Idempotency-Key": str(uuid4())}


def rows(service: Service, key: dict[str, str]) -> int:
    with psycopg.connect(service.database_url) as connection:
        found = connection.execute(
            "SELECT count(*) FROM stac_ingest.requests WHERE key = %s", (key["Idempotency-Key"],)
        ).fetchone()
    assert found is not None
    return int(found[0])


def test_an_object_that_was_added_is_not_added_again(http: httpx2.Client, collection: str) -> None:
    made = f"test:{uuid4().hex[:12]}"
    for path, body in (
        ("/collections", make_collection(made)),
        (f"{collection}/items", make_item(id_of(collection), "one")),
    ):
        key = new_key()
        first = http.post(path, json=body, headers=key)
        assert first.status_code == 201
        again = http.post(path, json=body, headers=key)
        assert (again.status_code, again.json()) == (201, first.json())
        assert again.headers["location"] == first.headers["location"]
        assert again.headers["etag"] == first.headers["etag"]
        assert http.post(path, json=body).status_code == 409


def test_an_item_collection_is_added_once(http: httpx2.Client, collection: str) -> None:
    body = {"type": "FeatureCollection", "features": [make_item(id_of(collection), name) for name in ("a", "b")]}
    key = new_key()
    for _ in range(3):
        assert http.post(f"{collection}/items", json=body, headers=key).status_code == 201
    assert len(http.get(f"{collection}/items").json()["features"]) == 2


def test_a_change_is_made_once(http: httpx2.Client, collection: str) -> None:
    http.post(f"{collection}/items", json=make_item(id_of(collection), "one", properties={"list": []}))
    item = f"{collection}/items/one"
    append = [{"op": "add", "path": "/properties/list/-", "value": 1}]
    key = new_key()
    first = http.patch(item, json=append, headers=key)
    again = http.patch(item, json=append, headers=key)
    assert (again.status_code, again.json()) == (200, first.json())
    assert http.get(item).json()["properties"]["list"] == [1]
    assert http.patch(item, json=append, headers=new_key()).json()["properties"]["list"] == [1, 1]


def test_a_change_of_what_was_read_can_be_repeated(http: httpx2.Client, collection: str) -> None:
    asked: tuple[Ask, ...] = (
        lambda headers: http.patch(collection, json={"title": "New"}, headers=headers),
        lambda headers: http.put(collection, json=make_collection(id_of(collection)), headers=headers),
    )
    for write in asked:
        headers = {**new_key(), "If-Match": http.get(collection).headers["etag"]}
        first, again = write(headers), write(headers)
        assert (first.status_code, again.status_code) == (200, 200)
        assert again.headers["etag"] == first.headers["etag"] != headers["If-Match"]
        refused(write({"If-Match": headers["If-Match"]}), 412, "PRECONDITION_FAILED")


def test_a_repetition_answers_with_what_is_there_now_and_undoes_nothing(http: httpx2.Client, collection: str) -> None:
    key = new_key()
    http.patch(collection, json={"title": "first"}, headers=key)
    http.patch(collection, json={"title": "second"})
    again = http.patch(collection, json={"title": "first"}, headers=key)
    assert (again.status_code, again.json()["title"]) == (200, "second")


def test_what_was_deleted_is_not_deleted_again(http: httpx2.Client, collection: str) -> None:
    item = make_item(id_of(collection), "one")
    made: tuple[tuple[str, Ask], ...] = (
        (f"{collection}/items/one", lambda: http.post(f"{collection}/items", json=item)),
        (collection, lambda: http.post("/collections", json=make_collection(id_of(collection)))),
    )
    for path, create in made:
        create()
        key = new_key()
        assert http.delete(path, headers=key).status_code == 204
        assert http.delete(path, headers=key).status_code == 204
        refused(http.delete(path), 404, "ITEM_NOT_FOUND" if "/items/" in path else "COLLECTION_NOT_FOUND")
        assert create().status_code == 201
        assert http.delete(path, headers=key).status_code == 204
        assert http.get(path).status_code == 200
        http.delete(path)


def test_a_repetition_of_what_is_gone_since_says_so(http: httpx2.Client, collection: str) -> None:
    key = new_key()
    item = make_item(id_of(collection), "one")
    http.post(f"{collection}/items", json=item, headers=key)
    http.delete(f"{collection}/items/one")
    refused(http.post(f"{collection}/items", json=item, headers=key), 404, "ITEM_NOT_FOUND")
    assert http.get(f"{collection}/items").json()["features"] == []


def test_twins_at_once_are_done_once(service: Service, collection: str) -> None:
    item = make_item(id_of(collection), "one", properties={"list": []})
    key = new_key()

    def at_once(ask: Callable[[], httpx2.Response]) -> list[httpx2.Response]:
        with ThreadPoolExecutor(6) as pool:
            return [future.result() for future in [pool.submit(ask) for _ in range(6)]]

    added = at_once(lambda: httpx2.post(f"{service.url}{collection}/items", json=item, headers=key, timeout=60))
    assert [answer.status_code for answer in added] == [201] * 6
    assert len({answer.text for answer in added}) == 1
    append, other = [{"op": "add", "path": "/properties/list/-", "value": 1}], new_key()
    path = f"{service.url}{collection}/items/one"
    changed = at_once(lambda: httpx2.patch(path, json=append, headers=other, timeout=60))
    assert [answer.json()["properties"]["list"] for answer in changed] == [[1]] * 6


def test_a_key_stands_for_one_request(http: httpx2.Client, collection: str) -> None:
    key = new_key()
    assert http.patch(collection, json={"title": "A"}, headers=key).status_code == 200
    item = make_item(id_of(collection), "one")
    asked: tuple[Ask, ...] = (
        lambda: http.patch(collection, json={"title": "B"}, headers=key),
        lambda: http.patch(collection, json={"title": "A"}, headers={**key, "If-Match": "*"}),
        lambda: http.put(collection, json=make_collection(id_of(collection)), headers=key),
        lambda: http.post(f"{collection}/items", json=item, headers=key),
        lambda: http.post(f"{collection}/deletions", headers=key),
        lambda: http.delete(collection, headers=key),
    )
    for other in asked:
        assert key["Idempotency-Key"] in refused(other(), 422, "IDEMPOTENCY_KEY_REUSED")
    assert http.get(collection).json()["title"] == "A"
    assert http.get(f"{collection}/items").json()["features"] == []


def test_a_request_that_failed_leaves_its_key_free(service: Service, http: httpx2.Client, collection: str) -> None:
    key = new_key()
    item = make_item(id_of(collection), "one")
    refused(http.patch(f"{collection}/items/one", json={"properties": {"a": 1}}, headers=key), 404, "ITEM_NOT_FOUND")
    refused(http.patch(collection, json={"title": 5}, headers=key), 400, "INVALID_REQUEST")
    refused(http.patch(collection, json={"type": None}, headers=key), 400, "INVALID_PATCH")
    refused(http.patch(collection, json={}, headers={**key, "If-Match": '"x"'}), 412, "PRECONDITION_FAILED")
    assert rows(service, key) == 0
    assert http.post(f"{collection}/items", json=item, headers=key).status_code == 201
    assert rows(service, key) == 1


@pytest.mark.parametrize("key", ["", "x" * 256, "é", "a\tb", "\x01"])
def test_what_is_no_key(service: Service, collection: str, key: str) -> None:
    # Byte by byte: an HTTP library would refuse to send some of them.
    host, port = service.url.removeprefix("http://").split(":")
    body = b'{"title":"New"}'
    with socket.create_connection((host, int(port)), timeout=30) as connection:
        head = f"PATCH {collection} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\nContent-Type: application/json\r\n"
        head += f"Content-Length: {len(body)}\r\nIdempotency-Key: {key}\r\n\r\n"
        connection.sendall(head.encode("latin-1") + body)
        answer = b"".join(iter(lambda: connection.recv(65536), b""))
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b"INVALID_IDEMPOTENCY_KEY" in answer or b"Invalid HTTP request" in answer
    assert "title" in httpx2.get(f"{service.url}{collection}").json()
    assert httpx2.get(f"{service.url}{collection}").json()["title"] != "New"


@pytest.mark.parametrize("key", ["x", "x" * 255, '"8e03978e-40d5-43dd-bc93-6894a57f9324"', "a b~!"])
def test_what_is_a_key(http: httpx2.Client, collection: str, key: str) -> None:
    headers = {"Idempotency-Key": f"{key[:-40] or key}{id_of(collection)}"[:255] if len(key) < 255 else key}
    for _ in range(2):
        answer = http.patch(collection, json={"title": id_of(collection)}, headers=headers)
        assert answer.status_code == 200, answer.text


def test_an_answer_that_was_lost_is_given_again(service: Service, http: httpx2.Client, collection: str) -> None:
    """The client hangs up before the answer; whether or not it was done by then, sending it again does it once."""
    key = str(uuid4())
    body = b'[{"op":"add","path":"/keywords/-","value":"x"}]'
    http.patch(collection, json={"keywords": []})
    host, port = service.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=30) as connection:
        head = f"PATCH {collection} HTTP/1.1\r\nHost: {host}:{port}\r\nContent-Type: application/json\r\n"
        head += f"Content-Length: {len(body)}\r\nIdempotency-Key: {key}\r\n\r\n"
        connection.sendall(head.encode() + body)
    headers = {"Idempotency-Key": key, "Content-Type": "application/json"}
    answer = http.patch(collection, content=body, headers=headers)
    assert answer.status_code == 200, answer.text
    assert answer.json()["keywords"] == ["x"]
    assert http.get(collection).json()["keywords"] == ["x"]


def test_reading_takes_no_notice_of_a_key(service: Service, http: httpx2.Client, collection: str) -> None:
    key = new_key()
    assert http.get(collection, headers=key).status_code == 200
    assert (
        http.post("/search", json={"limit": 0}, headers=key).status_code
        == http.post("/search", json={"limit": 0}).status_code
    )
    assert rows(service, key) == 0
