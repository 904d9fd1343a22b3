"""With API keys set, everybody reads and only keys write."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from uuid import uuid4

import httpx2
import pytest

from stac_ingest import Product, SpectralBand
from stac_ingest.client.connection import Client
from stac_ingest.errors import UnauthorizedError
from tests.api.answers import refused
from tests.conftest import Service, running_service


@pytest.fixture(scope="module")
def guarded(make_database: Callable[[], str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """An API that has two keys."""
    keys = {"STAC_INGEST_API_KEYS": "one,two"}
    with running_service(make_database(), tmp_path_factory.mktemp("guarded"), "api", **keys) as started:
        yield started


@pytest.fixture
def http(guarded: Service) -> Iterator[httpx2.Client]:
    with httpx2.Client(base_url=guarded.url, timeout=60) as connection:
        yield connection


def operations(http: httpx2.Client) -> list[tuple[str, str]]:
    """Return method and address of everything that the service offers, and of what it does not."""
    document = http.get("/api").json()
    ids = {"upload_id": str(uuid4()), "deletion_id": str(uuid4()), "collection_id": "c", "item_id": "i"}
    values = {**ids, "index": "0", "key": "a/b/c"}
    found = [
        (method.upper(), path.format(**values)) for path, methods in document["paths"].items() for method in methods
    ]
    everywhere = {path for _, path in found} | {"/nothing", "/search/", "//search", "/uploads/search"}
    return sorted({*found, *((method, path) for path in everywhere for method in ("POST", "PUT", "PATCH", "DELETE"))})


def writes(method: str, path: str) -> bool:
    asks = method == "POST" and path in ("/search", "/aggregate", "/collections/c/aggregate")
    return method not in ("GET", "HEAD", "OPTIONS") and not asks


def test_every_write_asks_for_a_key(http: httpx2.Client) -> None:
    asked = [operation for operation in operations(http) if writes(*operation)]
    assert ("POST", "/collections/c/uploads") in asked
    assert ("PATCH", "/collections/c/items/i") in asked
    assert len(asked) > 40
    for method, path in asked:
        for headers in (
            {},
            {b"Authorization": b"Bearer three"},
            {b"Authorization": b"Bearer"},
            {b"Authorization": b"Bearer one,two"},
            {b"Authorization": b"Basic one"},
            {b"Authorization": b"one"},
            {b"Authorization": b"Bearer on\xe9"},
            {b"X-Forwarded-Prefix": b"/search", b"X-Original-URL": b"/search"},
        ):
            answer = http.request(method, path, headers=headers, json={})
            assert "STAC_INGEST_API_KEYS" not in answer.text
            assert "Authorization: Bearer" in refused(answer, 401, "UNAUTHORIZED"), (method, path, headers)
            assert answer.headers["www-authenticate"] == "Bearer"
        for key in ("one", "two"):
            answer = http.request(method, path, headers={"Authorization": f"Bearer {key}"}, json={})
            assert answer.status_code != 401, (method, path)
            assert answer.status_code < 500, (method, path)


def test_nothing_was_written_without_a_key(http: httpx2.Client) -> None:
    collection = {
        "type": "Collection",
        "stac_version": "1.1.0",
        "id": "secret",
        "description": "x",
        "license": "other",
        "extent": {"spatial": {"bbox": [[0, 0, 1, 1]]}, "temporal": {"interval": [[None, None]]}},
        "links": [],
    }
    refused(http.post("/collections", json=collection), 401, "UNAUTHORIZED")
    assert http.get("/collections/secret").status_code == 404
    with_key = http.post("/collections", json=collection, headers={"Authorization": "Bearer two"})
    assert with_key.status_code == 201
    refused(http.delete("/collections/secret"), 401, "UNAUTHORIZED")
    assert http.get("/collections/secret").status_code == 200


def test_reading_needs_no_key(http: httpx2.Client) -> None:
    for method, path in operations(http):
        if not writes(method, path):
            answer = http.request(method, path, json={} if method == "POST" else None)
            assert answer.status_code in (200, 404), (method, path)
    assert http.post("/search", json={"limit": 1}).json()["type"] == "FeatureCollection"
    preflight = {"Origin": "https://x.example", "Access-Control-Request-Method": "PUT"}
    assert http.options("/uploads", headers=preflight).status_code == 200


def test_a_browser_reads_the_refusal(http: httpx2.Client) -> None:
    answer = http.post("/collections", headers={"Origin": "https://x.example"})
    refused(answer, 401, "UNAUTHORIZED")
    assert answer.headers["access-control-allow-origin"] == "*"


def test_the_sdk_sends_its_key(guarded: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    with Client(guarded.url) as client, pytest.raises(UnauthorizedError, match="needs an API key"):
        Product(client, id="by-sdk").save()
    with Client(guarded.url, api_key="one") as client:
        product = Product(client, id="by-sdk")
        product.save()
        SpectralBand(client, product=product, name="blue").save()
    monkeypatch.setenv("STAC_INGEST_API_KEY", "two")
    with Client(guarded.url) as client:
        found = Product.get("by-sdk", client)
        assert found is not None
        found.name = "Renamed"
        found.save()
