"""What HTTP promises of every address: which methods it takes, what it refuses at the door, and to whom it speaks."""

from __future__ import annotations

import json
from typing import Any

import httpx2
import pytest

from api.limits import MAX_BODY_BYTES
from tests.api.answers import refused
from tests.api.test_stac import id_of, make_collection, make_item

Json = dict[str, Any]


# --- OPTIONS and Allow


@pytest.mark.parametrize(
    ("path", "methods"),
    [
        ("/", "GET, HEAD, OPTIONS"),
        ("/api", "GET, HEAD, OPTIONS"),
        ("/conformance", "GET, HEAD, OPTIONS"),
        ("/healthz", "GET, HEAD, OPTIONS"),
        ("/queryables", "GET, HEAD, OPTIONS"),
        ("/sortables", "GET, HEAD, OPTIONS"),
        ("/search", "GET, POST, HEAD, OPTIONS"),
        ("/collections", "GET, POST, HEAD, OPTIONS"),
        ("/collections/c:d", "GET, PUT, PATCH, DELETE, HEAD, OPTIONS"),
        ("/collections/c:d/items", "GET, POST, HEAD, OPTIONS"),
        ("/collections/c:d/items/i", "GET, PUT, PATCH, DELETE, HEAD, OPTIONS"),
        ("/collections/c:d/bulk_items", "POST, OPTIONS"),
        ("/collections/c:d/uploads", "POST, OPTIONS"),
        ("/collections/c:d/deletions", "GET, POST, HEAD, OPTIONS"),
        ("/uploads/u/files/0", "PUT, OPTIONS"),
        ("/assets/a/b/c.tif", "GET, HEAD, OPTIONS"),
    ],
)
def test_options_names_the_methods_of_an_address(http: httpx2.Client, path: str, methods: str) -> None:
    for headers in ({}, {"Origin": "https://browser.example"}):
        answer = http.options(path, headers=headers)
        assert (answer.status_code, answer.content) == (204, b"")
        assert answer.headers["allow"] == methods
    assert "Allow" in answer.headers["access-control-expose-headers"]
    for method in {"POST", "PUT", "PATCH", "DELETE"} - set(methods.split(", ")):
        answer = http.request(method, path)
        refused(answer, 405, "METHOD_NOT_ALLOWED")
        assert answer.headers["allow"] == methods


def test_options_of_what_is_no_address(http: httpx2.Client) -> None:
    for path in ("/nothing", "/collections/c/nothing", "/uploads/u/files/0/1"):
        refused(http.options(path), 404, "NOT_FOUND")


def test_options_behind_a_prefix(http: httpx2.Client) -> None:
    answer = http.options("/collections", headers={"X-Forwarded-Prefix": "/stac"})
    assert answer.headers["allow"] == "GET, POST, HEAD, OPTIONS"


def test_browsers_from_elsewhere_may_send_what_the_service_reads(http: httpx2.Client) -> None:
    headers = (
        "authorization,range,content-type,content-digest,idempotency-key,"
        "if-match,if-none-match,if-modified-since,if-range"
    )
    for method in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"):
        preflight = {
            "Origin": "https://browser.example",
            "Access-Control-Request-Method": method,
            "Access-Control-Request-Headers": headers,
        }
        answer = http.options("/collections", headers=preflight)
        assert answer.status_code == 200, answer.text
        allowed = answer.headers["access-control-allow-headers"].lower().split(", ")
        assert set(headers.split(",")) <= set(allowed)
        assert method in answer.headers["access-control-allow-methods"]
    for path in ("/collections", "/nothing"):  # refusals speak to them too
        answer = http.get(path, headers={"Origin": "https://browser.example"})
        assert answer.headers["access-control-allow-origin"] == "*"
        exposed = answer.headers["access-control-expose-headers"].split(", ")
        wanted = {"Accept-Ranges", "Content-Length", "Content-Range", "ETag", "Location", "Allow"}
        assert wanted <= set(exposed)


# --- At the door


def test_bodies_have_a_limit(http: httpx2.Client, collection: str) -> None:
    item = make_item(id_of(collection), "one", properties={"x": "y" * MAX_BODY_BYTES})
    path = f"{collection}/items"
    for method, address in (("POST", path), ("PUT", f"{path}/one"), ("POST", "/search"), ("POST", "/collections")):
        refused(http.request(method, address, json=item), 413, "PAYLOAD_TOO_LARGE")
    content = json.dumps(item).encode()
    pieces = (content[start : start + 2**20] for start in range(0, len(content), 2**20))
    answer = http.post(path, content=pieces, headers={"Content-Type": "application/json"})
    assert f"at most {MAX_BODY_BYTES} bytes" in refused(answer, 413, "PAYLOAD_TOO_LARGE")
    assert http.get(path).json()["features"] == []


def nested(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = [value]
    return value


def test_bodies_nest_at_most_64_deep(http: httpx2.Client, collection: str) -> None:
    path = f"{collection}/items"
    one = make_item(id_of(collection), "one", properties={"x": nested(62)})
    assert http.post(path, json=one).status_code == 201
    two = make_item(id_of(collection), "two", properties={"x": nested(63)})
    whole = {"type": "FeatureCollection", "features": [one | {"id": "three", "properties": two["properties"]}]}
    bulk = {"items": {"two": two}}
    image = {"name": "a", "acquired": "2024-01-01", "extra_properties": {"x": nested(63)}}
    upload = {"image": image, "files": [{"name": "a.tif"}]}
    for method, address, body in (
        ("POST", path, two),
        ("POST", path, whole),
        ("PUT", f"{path}/one", {**two, "id": "one"}),
        ("PATCH", f"{path}/one", {"properties": {"x": nested(63)}}),
        ("PATCH", f"{path}/one", [{"op": "add", "path": "/properties/x", "value": nested(63)}]),
        ("PATCH", f"{path}/one", [{"op": "copy", "from": "/properties", "path": "/properties/y"}]),
        ("POST", "/collections", make_collection("deep", x=nested(64))),
        ("PATCH", collection, {"x": nested(64)}),
        ("POST", f"{collection}/uploads", upload),
    ):
        answer = http.request(method, address, json=body)
        assert "64 deep" in refused(answer, 400, "INVALID_REQUEST"), (method, address)
    answer = http.post(f"{collection}/bulk_items", json=bulk)
    assert "64 deep" in refused(answer, 400, "INVALID_ITEMS")


@pytest.mark.parametrize(
    "path",
    [
        *(
            "/collections/%00",
            "/collections/c/items/%00",
            "/uploads/%00",
            "/uploads/u/files/%00",
            "/assets/%00",
            "/%00",
            "/collections?x=%00",
        ),
        *("/search?ids=%00", "/search?collections=a%00b", "/search?filter=%00", "/uploads?status=%00", "/api?%00"),
    ],
)
def test_no_address_has_a_nul(http: httpx2.Client, path: str) -> None:
    for method in ("GET", "POST", "DELETE", "OPTIONS"):
        refused(http.request(method, path), 400, "INVALID_REQUEST")


def test_no_body_has_a_nul(http: httpx2.Client, collection: str) -> None:
    text = "a\x00b"
    path = f"{collection}/items"
    item = make_item(id_of(collection), "one")
    assert http.post(path, json=item).status_code == 201
    for method, address, body in (
        ("POST", path, {**item, "id": text}),
        ("PATCH", f"{path}/one", {"properties": {text: 1}}),
        ("PATCH", collection, {"title": text}),
        ("POST", "/collections", make_collection(text)),
        ("POST", "/search", {"ids": [text]}),
        ("POST", "/search", {"collections": [text]}),
        ("POST", "/search", {"filter": {"op": "=", "args": [{"property": "id"}, text]}}),
        ("POST", "/search", {"query": {"x": {"eq": text}}}),
    ):
        answer = http.request(method, address, json=body)
        assert answer.status_code == 400, answer.text
        refused(answer, 400, answer.json()["code"])


def test_a_host_is_a_host(http: httpx2.Client) -> None:
    refused(http.get("/", headers={"Host": "evil/?"}), 400, "INVALID_REQUEST")
    page = http.get("/", headers={"Host": "[::1]:8000"}).json()
    assert {link["href"] for link in page["links"] if link["rel"] == "root"} == {"http://[::1]:8000/"}


# --- Sortables


def test_what_can_be_sorted_by(http: httpx2.Client, collection: str) -> None:
    http.post(f"{collection}/items", json=make_item(id_of(collection), "one"))
    for path in ("/sortables", f"{collection}/sortables"):
        answer = http.get(path)
        assert answer.headers["content-type"] == "application/schema+json"
        document = answer.json()
        assert document["$id"] == f"{http.base_url}{path}"
        properties = document["properties"]
        assert {"id", "collection", "datetime", "end_datetime", "created", "updated", "platform", "gsd"} <= set(
            properties
        )
        assert properties["eo:cloud_cover"]["type"] == "number"
        assert not {"keywords", "tags", "geometry", "bbox"} & set(properties)
        queryables = http.get(path.replace("sortables", "queryables")).json()["properties"]
        assert set(properties) <= set(queryables) | {"collection", "end_datetime"}
    for name in properties:
        for order in ("+", "-"):
            found = http.get("/search", params={"sortby": f"{order}{name}", "collections": id_of(collection)})
            assert found.status_code == 200, found.text
            assert [item["id"] for item in found.json()["features"]] == ["one"]
    refused(http.get("/collections/absent/sortables"), 404, "COLLECTION_NOT_FOUND")
    behind = http.get("/sortables", headers={"X-Forwarded-Host": "eo.example", "X-Forwarded-Prefix": "/x"}).json()
    assert behind["$id"] == "http://eo.example/x/sortables"
