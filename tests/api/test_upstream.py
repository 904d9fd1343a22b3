"""What stac-fastapi-pgstac does out of the box and we correct; each test asks both the same.

A test that fails in the half of the stock service tells that upstream has mended it: then our correction can go.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx2
import psycopg
import pytest
from fastapi import FastAPI
from psycopg.conninfo import conninfo_to_dict
from pypgstac.db import PgstacDB
from pypgstac.migrate import Migrate
from stac_fastapi.pgstac.app import instantiate_api
from stac_fastapi.pgstac.config import PostgresSettings, Settings
from stac_fastapi.pgstac.db import close_db_connection, connect_to_db
from stac_fastapi.pgstac.models.extensions import Extensions
from starlette.responses import FileResponse
from starlette.testclient import TestClient

from stac_ingest import Image
from tests.api.test_stac import changed, make_collection, make_item
from tests.conftest import GeotiffMaker, ProductMaker, upload_done

Json = dict[str, Any]
Http = httpx2.Client

COLLECTION = "upstream-test"
ITEMS = f"/collections/{COLLECTION}/items"
BYTES = bytes(range(256)) * 256


@pytest.fixture(scope="module")
def stock(cluster_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    """The stock service with transactions, on a database with nothing but pgstac; it serves one file besides."""
    name = f"stock_{uuid4().hex}"
    with psycopg.connect(cluster_url, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    url = f"{cluster_url.rpartition('/')[0]}/{name}"
    with PgstacDB(dsn=url) as database:
        Migrate(database).run_migration()
    path = tmp_path_factory.mktemp("stock") / "file.tif"
    path.write_bytes(BYTES)
    app = _stock_app(url, path)
    with TestClient(app, base_url="http://stock.example", raise_server_exceptions=False) as client:
        fill(client)
        yield client


def _stock_app(url: str, path: Path) -> FastAPI:
    settings = Settings(
        _env_file=None,
        stac_fastapi_title="Stock",
        stac_fastapi_description="As it comes.",
        stac_fastapi_landing_id="stock",
        stac_fastapi_version="1",
        enable_transactions_extensions=True,
    )
    parts = conninfo_to_dict(url)
    postgres = PostgresSettings(
        _env_file=None,
        pguser=parts["user"],
        pgpassword=parts["password"],
        pghost=parts["host"],
        pgport=int(parts["port"] or 5432),
        pgdatabase=parts["dbname"],
    )

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        await connect_to_db(app, postgres_settings=postgres, add_write_connection_pool=True)
        yield
        await close_db_connection(app)

    app: FastAPI = instantiate_api(extensions=Extensions(settings=settings), lifespan=lifespan, settings=settings).app
    app.add_route("/file.tif", lambda request: FileResponse(path, media_type="image/tiff"))
    return app


@pytest.fixture
def ours(http: httpx2.Client) -> httpx2.Client:
    """Our service, with the same collection and items."""
    if http.get(f"/collections/{COLLECTION}").status_code == 404:
        fill(http)
    return http


def fill(http: Http) -> None:
    assert http.post("/collections", json=make_collection(COLLECTION)).status_code == 201
    for index, name in enumerate("ab"):
        item = make_item(COLLECTION, name, west=10 * (index + 1), day=index + 1, properties={"keywords": ["x"]})
        assert http.post(ITEMS, json=item).status_code == 201


# --- Statuses


SPAN = {"start_datetime": "2024-02-01T00:00:00Z", "end_datetime": "2024-01-01T00:00:00Z"}
NEW = make_item(COLLECTION, "new")


def filtered(operator: str, *arguments: Any) -> Json:
    search = {"collections": [COLLECTION], "filter": {"op": operator, "args": list(arguments)}}
    return {**search, "filter-lang": "cql2-json"}


ROWS: dict[str, tuple[str, str, Any, int, int | None]] = {
    "A_CONTAINEDBY as the standard writes it": (
        *("POST", "/search", filtered("a_containedBy", {"property": "keywords"}, ["x"])),
        *(500, 200),
    ),
    "a function that nobody knows": (
        *("POST", "/search", filtered("=", {"op": "unknown_function", "args": [{"property": "id"}]}, 1)),
        *(500, 400),
    ),
    "an operator that nobody knows": (
        *("POST", "/search", filtered("unknown", {"property": "id"}, 1)),
        *(500, 400),
    ),
    "a BBOX literal": (
        *("POST", "/search", filtered("s_intersects", {"property": "geometry"}, {"bbox": [9, 49, 12, 52]})),
        *(500, 200),
    ),
    "CQL2 text by POST": ("POST", "/search", {"filter": "id = 'a'", "filter-lang": "cql2-text"}, 400, 200),
    "times without a zone": ("GET", "/search?datetime=2024-05-01T10:00:00/2024-05-02T10:00:00", None, 400, 200),
    "days": ("GET", "/search?datetime=2024-05-01/2024-05-01", None, 400, 200),
    "an item of no collection": (
        *("POST", "/collections/absent/items", {**NEW, "collection": "absent"}),
        *(500, 404),
    ),
    "an item that ends before it starts": ("POST", ITEMS, changed(NEW, properties=SPAN), 500, 400),
    "an item whose geometry is empty": (
        *("POST", ITEMS, changed(NEW, id="empty", geometry={"type": "MultiPolygon", "coordinates": []})),
        *(201, 400),
    ),
    "an item whose bbox is elsewhere": ("POST", ITEMS, changed(NEW, id="elsewhere", bbox=[0, 0, 1, 1]), 201, 400),
    "an id with a space": ("POST", ITEMS, changed(NEW, id="a b"), 201, 400),
    "an item replaced by nobody's id": ("PUT", f"{ITEMS}/new", NEW, 404, 404),
    "HEAD": ("HEAD", "/", None, 405, 200),
    "HEAD of an item": ("HEAD", f"{ITEMS}/a", None, 405, 200),
    "OPTIONS": ("OPTIONS", "/collections", None, 405, 204),
    "NUL in the address": ("GET", "/collections/%00", None, 500, 400),
    "a NUL in a search": ("POST", "/search", {"ids": ["a\x00b"]}, 500, 400),
    "a host that is none": ("GET", "/", "evil/?", 200, 400),
}


@pytest.mark.parametrize("row", ROWS)
def test_statuses(stock: TestClient, ours: httpx2.Client, row: str) -> None:
    """None: what we answer is tested with searches."""
    method, path, sent, by_stock, by_us = ROWS[row]
    more: Json = {"headers": {"Host": sent}} if isinstance(sent, str) else {"json": sent} if sent else {}
    for http, expected in ((stock, by_stock), (ours, by_us)):
        answer = http.request(method, path, **more)
        assert answer.status_code == (expected or answer.status_code), (type(http).__module__, answer.text)


# --- What is said


def test_a_duplicate_is_named(stock: TestClient, ours: httpx2.Client) -> None:
    item = make_item(COLLECTION, "a")
    by_stock, by_us = (http.post(ITEMS, json=item) for http in (stock, ours))
    assert (by_stock.status_code, by_us.status_code) == (409, 409)
    assert not by_stock.json()["description"]
    assert "'a'" in by_us.json()["description"]


def test_a_null_datetime_is_lost(stock: TestClient, ours: httpx2.Client) -> None:
    span = {"datetime": None, "start_datetime": SPAN["end_datetime"], "end_datetime": SPAN["start_datetime"]}
    name = f"span-{uuid4().hex[:6]}"
    for http in (stock, ours):
        assert http.post(ITEMS, json=changed(make_item(COLLECTION, name), properties=span)).status_code == 201
    assert "datetime" not in stock.get(f"{ITEMS}/{name}").json()["properties"]
    assert ours.get(f"{ITEMS}/{name}").json()["properties"]["datetime"] == span["start_datetime"]
    for http in (stock, ours):
        http.delete(f"{ITEMS}/{name}")


def test_the_count_and_the_extent(stock: TestClient, ours: httpx2.Client) -> None:
    search = {"collections": [COLLECTION], "limit": 1}
    assert "numberMatched" not in stock.post("/search", json=search).json()
    assert ours.post("/search", json=search).json()["numberMatched"] == 2
    extents = [http.get(f"/collections/{COLLECTION}").json()["extent"]["spatial"]["bbox"] for http in (stock, ours)]
    assert extents == [[[-180, -90, 180, 90]], [[10, 50, 21, 51]]]


def test_the_landing_page_and_conformance(stock: TestClient, ours: httpx2.Client) -> None:
    by_stock, by_us = (http.get("/").json() for http in (stock, ours))
    assert (by_stock["stac_version"], by_us["stac_version"]) == ("1.0.0", "1.1.0")
    assert "child" not in {link["rel"] for link in by_stock["links"]}
    assert "child" in {link["rel"] for link in by_us["links"]}
    for conformance in (
        "https://api.stacspec.org/v1.0.0/item-search#sort",
        "http://www.opengis.net/spec/cql2/1.0/conf/array-functions",
        "http://www.opengis.net/spec/cql2/1.0/conf/advanced-comparison-operators",
    ):
        assert conformance not in by_stock["conformsTo"]
        assert conformance in by_us["conformsTo"]
    for conformance in (
        "https://api.stacspec.org/v1.1.0/item-search#sort",
        "https://api.stacspec.org/v1.0.0/ogcapi-features/extensions/transaction",
        "https://api.stacspec.org/v1.0.0/collections/extensions/transaction",
    ):
        assert conformance in by_stock["conformsTo"]
        assert conformance in by_us["conformsTo"]


def test_sortables(stock: TestClient, ours: httpx2.Client) -> None:
    assert [http.get("/sortables").status_code for http in (stock, ours)] == [404, 200]


def test_what_a_browser_from_elsewhere_may_do(stock: TestClient, ours: httpx2.Client) -> None:
    origin = {"Origin": "https://browser.example"}
    preflight = {**origin, "Access-Control-Request-Method": "POST"}
    for header in ("authorization", "range", "if-match"):
        asked = {**preflight, "Access-Control-Request-Headers": header}
        assert [http.options("/collections", headers=asked).status_code for http in (stock, ours)] == [400, 200]
    asked = {**preflight, "Access-Control-Request-Method": "DELETE"}
    assert [http.options("/collections", headers=asked).status_code for http in (stock, ours)] == [400, 200]
    exposed = [http.get("/collections", headers=origin).headers for http in (stock, ours)]
    assert ["access-control-expose-headers" in headers for headers in exposed] == [False, True]


def test_all_methods_of_an_address_are_allowed(stock: TestClient, ours: httpx2.Client) -> None:
    allowed = [http.patch("/collections").headers["allow"] for http in (stock, ours)]
    assert allowed == ["GET", "GET, POST, HEAD, OPTIONS"]


@pytest.mark.parametrize(
    ("headers", "by_stock", "by_us"),
    [
        ({"Host": "[::1]:8000"}, "http://stock.example/", "http://[::1]:8000/"),
        ({"Forwarded": 'proto=https;host="a.example:8443"'}, "https://x.example/", "https://a.example:8443/"),
        ({"X-Forwarded-Host": "a.example, b"}, "http://stock.example/", "http://a.example/"),
        ({"X-Forwarded-Proto": "https", "Host": "a.example:81"}, "https://a.example/", "https://a.example:81/"),
    ],
)
def test_addresses_behind_proxies(
    stock: TestClient, ours: httpx2.Client, headers: dict[str, str], by_stock: str, by_us: str
) -> None:
    for http, expected in ((stock, by_stock), (ours, by_us)):
        page = http.get("/", headers={"Host": "x.example", **headers}).json()
        assert next(link["href"] for link in page["links"] if link["rel"] == "root") == expected


def test_a_range_is_not_compressed(
    stock: TestClient, ours: httpx2.Client, make_product: ProductMaker, make_geotiff: GeotiffMaker
) -> None:
    done = upload_done(Image(product=make_product("blue"), name="a", acquired="2024-01-01"), make_geotiff())
    assert done.image is not None, done.events
    href = done.image.item["assets"]["blue"]["href"]
    for http, address, compressed in ((stock, "/file.tif", True), (ours, href, False)):
        answer = http.get(address, headers={"Range": "bytes=0-1023", "Accept-Encoding": "br"})
        assert answer.status_code == 206
        assert (answer.headers.get("content-encoding") == "br") is compressed
        assert (answer.headers.get("content-length") == "1024") is not compressed


# --- Writing


def test_a_bulk_is_written_in_part(stock: TestClient, ours: httpx2.Client) -> None:
    names = [f"bulk-{uuid4().hex[:6]}" for _ in range(2)]
    good, bad = (make_item(COLLECTION, name) for name in names)
    body = {"items": {good["id"]: good, bad["id"]: changed(bad, geometry=None)}}
    by_stock, by_us = (http.post(f"/collections/{COLLECTION}/bulk_items", json=body) for http in (stock, ours))
    assert (by_stock.status_code, by_us.status_code) == (200, 400)
    assert (by_stock.json()["success"], by_us.json()["success"]) == (1, 0)
    assert [error["id"] for error in by_stock.json()["errors"]] == [bad["id"]]
    assert [error["id"] for error in by_us.json()["errors"]] == [bad["id"]]
    assert [http.get(f"{ITEMS}/{good['id']}").status_code for http in (stock, ours)] == [200, 404]
    stock.delete(f"{ITEMS}/{good['id']}")


def test_nobody_is_told_of_changes_meanwhile(stock: TestClient, ours: httpx2.Client) -> None:
    assert ["etag" in http.get(f"{ITEMS}/a").headers for http in (stock, ours)] == [False, True]
    known = {"If-Match": '"x"'}
    patched = [http.patch(f"{ITEMS}/a", json={"properties": {"n": 1}}, headers=known) for http in (stock, ours)]
    assert [answer.status_code for answer in patched] == [200, 412]


def test_a_collection_goes_with_its_items_unasked(stock: TestClient, ours: httpx2.Client) -> None:
    name = f"filled-{uuid4().hex[:6]}"
    for http in (stock, ours):
        http.post("/collections", json=make_collection(name))
        http.post(f"/collections/{name}/items", json=make_item(name, "a"))
    assert [http.delete(f"/collections/{name}").status_code for http in (stock, ours)] == [200, 409]
