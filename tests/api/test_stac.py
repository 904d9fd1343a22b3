"""The STAC API, as pystac-client and plain HTTP see it."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote
from uuid import uuid4

import httpx2
import numpy as np
import psycopg
import pystac_client
import pytest
import rasterio
from rasterio.transform import from_origin

from stac_ingest import Image, Product, SpectralBand
from stac_ingest.client.connection import Client
from tests.api.answers import refused
from tests.conftest import GeotiffMaker, ProductMaker, Service, running_service, schema_errors, upload_done

Json = dict[str, Any]
Ask = Callable[..., httpx2.Response]

TAGS = {
    "a": ["temporary", "guide"],
    "b": ["temporary"],
    "c": ["guide", "it's"],
    "d": [],
    "e": ["temporary", "guide", "reviewed"],
}
COVER = {"a": 5.0, "b": 15.0, "c": 25.0, "d": 35.0, "e": 45.0}


def make_collection(collection_id: str, **more: Any) -> Json:
    return {
        "type": "Collection",
        "stac_version": "1.1.0",
        "id": collection_id,
        "title": collection_id,
        "description": "Items that tests made.",
        "license": "other",
        "extent": {"spatial": {"bbox": [[-180, -90, 180, 90]]}, "temporal": {"interval": [[None, None]]}},
        "links": [],
        **more,
    }


def make_item(
    collection_id: str, item_id: str, *, west: float = 10, day: int = 1, properties: Mapping[str, Any] | None = None
) -> Json:
    """Return an Item of one square degree."""
    east = west + 1
    return {
        "type": "Feature",
        "stac_version": "1.1.0",
        "id": item_id,
        "collection": collection_id,
        "geometry": {
            "type": "Polygon",
            "coordinates": [[[west, 50], [east, 50], [east, 51], [west, 51], [west, 50]]],
        },
        "bbox": [west, 50, east, 51],
        "properties": {"datetime": f"2024-05-{day:02}T10:00:00Z", **(properties or {})},
        "assets": {},
        "links": [],
    }


def id_of(collection: str) -> str:
    """Return the id of the collection at this address."""
    return collection.removeprefix("/collections/")


@dataclass(frozen=True)
class Catalog:
    """A collection of five items, `a` to `e`, from west to east and from day to day."""

    id: str
    url: str

    def open(self) -> pystac_client.Client:
        return pystac_client.Client.open(self.url)

    def found(self, **query: Any) -> list[str]:
        return [item.id for item in self.open().search(collections=[self.id], **query).items()]


@pytest.fixture(scope="module")
def catalog(service: Service) -> Catalog:
    collection_id = f"test:{uuid4().hex[:12]}"
    with httpx2.Client(base_url=service.url) as http:
        assert http.post("/collections", json=make_collection(collection_id)).status_code == 201
        for index, (name, tags) in enumerate(TAGS.items()):
            properties: Json = {"eo:cloud_cover": COVER[name], "platform": f"platform-{name}", "gsd": 10.0}
            if tags:
                properties["keywords"] = tags
            item = make_item(collection_id, name, west=10 * (index + 1), day=index + 1, properties=properties)
            assert http.post(f"/collections/{collection_id}/items", json=item).status_code == 201
    return Catalog(collection_id, service.url)


@pytest.fixture
def items(http: httpx2.Client) -> str:
    """Address of the items of a collection that this test has to itself."""
    collection_id = f"test:{uuid4().hex[:12]}"
    assert http.post("/collections", json=make_collection(collection_id)).status_code == 201
    return f"/collections/{collection_id}/items"


def collection_of(items: str) -> str:
    return items.split("/")[2]


# --- Reading


def test_the_landing_page(http: httpx2.Client, catalog: Catalog) -> None:
    page = http.get("/").json()
    assert page["stac_version"] == "1.1.0"
    assert page["type"] == "Catalog"
    hrefs = {link["rel"]: link["href"] for link in page["links"]}
    for rel in ("self", "root", "data", "conformance", "search", "service-desc", "service-doc"):
        assert http.get(hrefs[rel]).status_code == 200, rel
    assert {link["method"] for link in page["links"] if link["rel"] == "search"} == {"GET", "POST"}
    assert f"{http.base_url}/collections/{catalog.id}" in [x["href"] for x in page["links"] if x["rel"] == "child"]
    for wanted in (
        "https://api.stacspec.org/v1.0.0/core",
        "https://api.stacspec.org/v1.0.0/item-search",
        "https://api.stacspec.org/v1.0.0/item-search#sort",
        "https://api.stacspec.org/v1.1.0/item-search#sort",
        "http://www.opengis.net/spec/cql2/1.0/conf/cql2-text",
        "http://www.opengis.net/spec/cql2/1.0/conf/cql2-json",
        "http://www.opengis.net/spec/cql2/1.0/conf/array-functions",
        "http://www.opengis.net/spec/cql2/1.0/conf/advanced-comparison-operators",
    ):
        assert wanted in page["conformsTo"]
    assert sorted(page["conformsTo"]) == sorted(http.get("/conformance").json()["conformsTo"])


def test_children_and_collections(catalog: Catalog) -> None:
    client = catalog.open()
    assert catalog.id in [child.id for child in client.get_children()]
    assert catalog.id in [found.id for found in client.get_collections()]
    collection = client.get_collection(catalog.id)
    assert collection is not None
    assert sorted(item.id for item in collection.get_items()) == list(TAGS)
    item = collection.get_item("a")
    assert item is not None
    item.validate()


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_every_item_comes_once_over_pages(catalog: Catalog, http: httpx2.Client, method: str) -> None:
    search = catalog.open().search(collections=[catalog.id], limit=2, method=method)
    pages = [[item.id for item in page.items] for page in search.pages()]
    assert pages == [["e", "d"], ["c", "b"], ["a"]]
    assert search.matched() == 5

    condition = {"op": "a_containedBy", "args": [{"property": "tags"}, ["temporary", "guide", "reviewed"]]}
    search = catalog.open().search(collections=[catalog.id], limit=1, method=method, filter=condition)
    assert [[item.id for item in page.items] for page in search.pages()] == [["e"], ["b"], ["a"]]
    assert search.matched() == 3


def test_pages_go_back_too(catalog: Catalog, http: httpx2.Client) -> None:
    def ids_and_links(page: Json) -> tuple[list[str], Json]:
        return [item["id"] for item in page["features"]], {link["rel"]: link for link in page["links"]}

    first, links = ids_and_links(http.get("/search", params={"collections": catalog.id, "limit": 2}).json())
    second, links = ids_and_links(http.get(links["next"]["href"]).json())
    back, _ = ids_and_links(http.get(links["previous" if "previous" in links else "prev"]["href"]).json())
    assert (first, second, back) == (["e", "d"], ["c", "b"], ["e", "d"])


def test_the_pages_of_a_collection(catalog: Catalog, http: httpx2.Client) -> None:
    found, href = [], f"/collections/{catalog.id}/items?limit=2"
    while href:
        page = http.get(href).json()
        found += [item["id"] for item in page["features"]]
        href = next((link["href"] for link in page["links"] if link["rel"] == "next"), "")
    assert found == ["e", "d", "c", "b", "a"]


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_search_by_the_rest(catalog: Catalog, method: str) -> None:
    def found(**query: Any) -> list[str]:
        return catalog.found(method=method, **query)

    assert found(ids=["b", "d", "absent"]) == ["d", "b"]
    assert found(bbox=[19, 49, 31.5, 52]) == ["c", "b"]
    assert found(intersects={"type": "Point", "coordinates": [40.5, 50.5]}) == ["d"]
    assert found(datetime="2024-05-02T00:00:00Z/2024-05-03T23:59:59Z") == ["c", "b"]
    assert found(datetime="2024-05-02") == ["b"]
    assert found(datetime="2024-05-04T00:00:00Z/..") == ["e", "d"]
    assert found(sortby=[{"field": "properties.eo:cloud_cover", "direction": "asc"}]) == list("abcde")
    assert found(sortby="-id") == list("edcba")
    assert found(sortby="+properties.platform", limit=2) == list("abcde")
    assert found(query={"eo:cloud_cover": {"lt": 20}}) == ["b", "a"]
    assert found(max_items=2) == ["e", "d"]
    assert found(ids=["absent"]) == []


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_fields_leave_out_what_was_not_asked_for(catalog: Catalog, method: str) -> None:
    search = catalog.open().search(
        collections=[catalog.id], ids=["a"], method=method, fields=["id", "properties.eo:cloud_cover", "-links"]
    )
    assert list(search.items_as_dicts()) == [
        {"type": "Feature", "id": "a", "collection": catalog.id, "properties": {"eo:cloud_cover": 5.0}}
    ]


CONDITIONS: list[tuple[str, Any, list[str]]] = [
    ('"eo:cloud_cover" < 20', {"op": "<", "args": [{"property": "eo:cloud_cover"}, 20]}, ["b", "a"]),
    ("platform = 'platform-c'", {"op": "=", "args": [{"property": "platform"}, "platform-c"]}, ["c"]),
    ("platform like '%-c'", {"op": "like", "args": [{"property": "platform"}, "%-c"]}, ["c"]),
    ("id in ('a','e')", {"op": "in", "args": [{"property": "id"}, ["a", "e"]]}, ["e", "a"]),
    ("gsd between 5 and 15 and id > 'd'", None, ["e"]),
    ("not id = 'a'", {"op": "not", "args": [{"op": "=", "args": [{"property": "id"}, "a"]}]}, ["e", "d", "c", "b"]),
    ("keywords is null", {"op": "isNull", "args": [{"property": "keywords"}]}, ["d"]),
    ("casei(platform) = casei('PLATFORM-B')", None, ["b"]),
    (
        "datetime > TIMESTAMP('2024-05-04T00:00:00Z')",
        {"op": ">", "args": [{"property": "datetime"}, {"timestamp": "2024-05-04T00:00:00Z"}]},
        ["e", "d"],
    ),
    ("T_AFTER(datetime, DATE('2024-05-04'))", None, ["e"]),
    (
        "S_INTERSECTS(geometry, POINT(40.5 50.5))",
        {"op": "s_intersects", "args": [{"property": "geometry"}, {"type": "Point", "coordinates": [40.5, 50.5]}]},
        ["d"],
    ),
    (
        "S_INTERSECTS(geometry, BBOX(19, 49, 31.5, 52))",
        {"op": "s_intersects", "args": [{"property": "geometry"}, {"bbox": [19, 49, 31.5, 52]}]},
        ["c", "b"],
    ),
    ("S_INTERSECTS(geometry, BBOX(45, 49, -170, 52))", None, ["e"]),
    ("true", True, list("edcba")),
    ("false", False, []),
    # The six of the guide, and what else a person would try.
    (
        "a_contains(keywords, ('temporary'))",
        {"op": "a_contains", "args": [{"property": "keywords"}, ["temporary"]]},
        ["e", "b", "a"],
    ),
    (
        "a_contains(tags, ('temporary'))",
        {"op": "a_contains", "args": [{"property": "tags"}, ["temporary"]]},
        list("eba"),
    ),
    ("tag = 'temporary'", {"op": "=", "args": [{"property": "tag"}, "temporary"]}, ["e", "b", "a"]),
    ("tags = 'temporary'", {"op": "=", "args": [{"property": "tags"}, "temporary"]}, ["e", "b", "a"]),
    (
        "a_overlaps(tags, ('temporary','absent'))",
        {"op": "a_overlaps", "args": [{"property": "tags"}, ["temporary", "absent"]]},
        ["e", "b", "a"],
    ),
    ("'temporary' in tags", {"op": "in", "args": ["temporary", {"property": "tags"}]}, ["e", "b", "a"]),
    ("tag <> 'temporary'", {"op": "<>", "args": [{"property": "tag"}, "temporary"]}, ["c"]),
    ("tag in ('reviewed','it''s')", {"op": "in", "args": [{"property": "tag"}, ["reviewed", "it's"]]}, ["e", "c"]),
    (
        "a_containedBy(tags, ('temporary','guide'))",
        {"op": "a_containedBy", "args": [{"property": "tags"}, ["temporary", "guide"]]},
        ["b", "a"],
    ),
    (
        "A_EQUALS(properties.tags, ('temporary','guide'))",
        {"op": "a_equals", "args": [{"property": "properties.tags"}, ["temporary", "guide"]]},
        ["a"],
    ),
    ("a_contains(tags, ('guide','temporary')) and \"eo:cloud_cover\" < 20", None, ["a"]),
    ("tag = 'it''s'", {"op": "=", "args": [{"property": "tag"}, "it's"]}, ["c"]),
    ("tag = 'x'' OR true --'", None, []),
    ("tag like 'temp%'", {"op": "like", "args": [{"property": "tag"}, "temp%"]}, ["e", "b", "a"]),
    ("casei(tag) = casei('GUIDE')", None, ["e", "c", "a"]),
    ("not casei(tag) = 'guide'", None, ["b"]),
    ("casei(tags) like 'REV%' or casei(tag) in (casei('It''S'))", None, ["c"]),
    ("casei(tags) like casei('REV%')", None, ["e"]),
    ("tag like 'temp%' and tag = 'guide'", None, ["e", "a"]),
]


@pytest.mark.parametrize(("text", "tree", "expected"), CONDITIONS, ids=[text for text, _, _ in CONDITIONS])
def test_conditions_by_text_and_json_by_get_and_post(
    catalog: Catalog, http: httpx2.Client, text: str, tree: Any, expected: list[str]
) -> None:
    asked = {"collections": catalog.id}
    inside = f"/collections/{catalog.id}/items"
    answers = [
        http.get("/search", params={**asked, "filter": text}),
        http.get("/search", params={**asked, "filter": text, "filter-lang": "cql2-text"}),
        http.get(inside, params={"filter": text}),
        http.post("/search", json={"collections": [catalog.id], "filter": text, "filter-lang": "cql2-text"}),
        http.post("/search", json={"collections": [catalog.id], "filter": text}),
    ]
    if tree is not None:
        written = {"filter": json.dumps(tree), "filter-lang": "cql2-json"}
        answers += [
            http.get("/search", params={**asked, **written}),
            http.get(inside, params=written),
            http.post("/search", json={"collections": [catalog.id], "filter": tree, "filter-lang": "cql2-json"}),
            http.post("/search", json={"collections": [catalog.id], "filter": tree}),
        ]
        if isinstance(tree, dict):
            assert catalog.found(filter=tree) == expected
    for answer in answers:
        assert answer.status_code == 200, answer.text
        assert sorted(item["id"] for item in answer.json()["features"]) == sorted(expected)
        assert answer.json()["numberMatched"] == len(expected)
    if not isinstance(tree, bool):  # pystac-client takes a filter for a dictionary
        assert catalog.found(filter=text) == expected


@pytest.mark.parametrize(
    "condition",
    [
        "id = ",
        "id",
        "'x'",
        "5",
        "(((",
        "(" * 30 + "id='a'" + ")" * 30,
        "(" * 3000,
        "not " * 3000 + "id='a'",
        "id = 'a" + "x" * 9000 + "'",
        "a" + "=1" * 12,
        "unknown_function(id)",
        "unknown_function(id) = 5",
        "casei(id)",
        "id in ()",
        "a_contains(tags)",
        "S_INTERSECTS(geometry, BBOX(1,2,3))",
        "id % 2 = 1",
        "id ^ 2 = 1",
    ],
    ids=lambda condition: condition[:40],
)
def test_conditions_that_are_wrong_in_text(catalog: Catalog, http: httpx2.Client, condition: str) -> None:
    for answer in (
        http.get("/search", params={"filter": condition}),
        http.get("/collections", params={"filter": condition}),
        http.get(f"/collections/{catalog.id}/items", params={"filter": condition}),
        http.post("/search", json={"filter": condition, "filter-lang": "cql2-text"}),
    ):
        refused(answer, 400, "INVALID_FILTER")


@pytest.mark.parametrize(
    "condition",
    [
        {},
        {"op": "="},
        {"op": "=", "args": []},
        {"op": "=", "args": [1, 2, 3]},
        {"op": "=", "args": {"property": "id"}},
        {"op": 5, "args": []},
        {"op": "and", "args": [5, 6]},
        {"op": "<", "args": [{"property": "tags"}, {"timestamp": "2024-05-01T00:00:00Z"}]},
        {"op": "unknown_function", "args": [{"property": "id"}]},
        {"op": "=", "args": [{"op": "unknown_function", "args": []}, 1]},
        {"op": "=", "args": [{"property": 5}, 1]},
        {"op": "=", "args": [{"property": ""}, 1]},
        {"op": "=", "args": [{"nonsense": 5}, 1]},
        {"op": "=", "args": [{"op": "=", "args": [{"op": "=", "args": [1, 2]}, 3]}, 4]},
        {"op": "in", "args": [{"property": "id"}, []]},
        {"op": "s_intersects", "args": [{"property": "geometry"}, {"bbox": [1, 2, "x", 4]}]},
        {"property": "id"},
    ],
    ids=lambda condition: json.dumps(condition)[:60],
)
def test_conditions_that_are_wrong_in_json(catalog: Catalog, http: httpx2.Client, condition: Json) -> None:
    written = {"filter": json.dumps(condition), "filter-lang": "cql2-json"}
    for answer in (http.post("/search", json={"filter": condition}), http.get("/search", params=written)):
        refused(answer, 400, "INVALID_FILTER")


@pytest.mark.parametrize("depth", [200, 800])
def test_conditions_that_are_nested_too_deep(catalog: Catalog, http: httpx2.Client, depth: int) -> None:
    # As text: Python 3.12 does not dump what nests so deep.
    condition = '{"op": "not", "args": [' * depth + '{"op": "=", "args": [{"property": "id"}, "a"]}' + "]}" * depth
    written = {"filter": condition, "filter-lang": "cql2-json"}
    refused(http.get("/search", params=written), 400, "INVALID_FILTER")
    answer = http.post("/search", content=f'{{"filter": {condition}}}')
    refused(answer, 400, "INVALID_FILTER" if depth == 200 else "INVALID_REQUEST")


@pytest.mark.parametrize(
    "condition",
    [
        {"op": "s_intersects", "args": [1, 2]},
        {"op": "s_intersects", "args": [{"property": "geometry"}, "x"]},
        {"op": "s_intersects", "args": [{"property": "geometry"}, {"type": "Blob", "coordinates": [1]}]},
        {"op": "t_after", "args": [{"property": "datetime"}, {"interval": []}]},
        {"op": "=", "args": [{"property": "datetime"}, {"timestamp": "soon"}]},
        {"op": "<", "args": [{"property": "eo:cloud_cover"}, "abc"]},
        {"op": "like", "args": [{"property": "datetime"}, "x"]},
        {"op": "between", "args": [{"property": "datetime"}, 1, 2]},
        {"op": "=", "args": [{"op": "/", "args": [1, 0]}, 1]},
        {"op": "=", "args": [{"property": "a'b\"c\\"}, "x"]},
        {"op": "=", "args": [{"property": "a\u0000b"}, "x"]},
        {"op": "=", "args": [{"property": "id"}, {"type": "Point"}]},
    ],
    ids=lambda condition: json.dumps(condition)[:70],
)
def test_no_condition_is_the_service_s_fault(http: httpx2.Client, condition: Json) -> None:
    answer = http.post("/search", json={"filter": condition})
    assert answer.status_code in (200, 400), answer.text
    assert answer.json().get("code") in (None, "INVALID_REQUEST", "INVALID_FILTER")


@pytest.mark.parametrize(
    "query",
    [
        "intersects=nonsense",
        "intersects={}",
        "query=nonsense",
        'query={"a":1}',
        "bbox=1,2,3",
        "bbox=a,b,c,d",
        "bbox=0,-100,1,100",
        "datetime=yesterday",
        "datetime=2024-02-01T00:00:00Z/2024-01-01T00:00:00Z",
        "limit=0",
        "limit=x",
        "token=nonsense",
        "token=next:nonsense",
        "ids=%00",
        "collections=%00",
        "sortby=-",
        "filter-lang=sql",
    ],
)
def test_searches_that_are_wrong(http: httpx2.Client, query: str) -> None:
    answer = http.get(f"/search?{query}")
    assert answer.status_code == 400, answer.text
    refused(answer, 400, answer.json()["code"])


@pytest.mark.parametrize("content", [b"", b"nonsense", b"[]", b"5", b"null", b"\xff", b"[" * 100_000])
def test_bodies_that_are_no_search(http: httpx2.Client, content: bytes) -> None:
    for media_type in ("application/json", "text/plain"):
        answer = http.post("/search", content=content, headers={"Content-Type": media_type})
        refused(answer, 400, answer.json()["code"])


def test_empty_fields_are_none(http: httpx2.Client) -> None:
    assert http.get("/search?fields=,&limit=1").status_code == 200


def test_queryables(catalog: Catalog, http: httpx2.Client) -> None:
    for path in ("/queryables", f"/collections/{catalog.id}/queryables"):
        answer = http.get(path)
        assert answer.headers["content-type"] == "application/schema+json"
        properties = answer.json()["properties"]
        for array in ("keywords", "tags"):
            assert properties[array]["type"] == "array"
            assert properties[array]["items"]["type"] == "string"
            assert {"temporary", "guide", "it's", "reviewed"} <= set(properties[array]["items"]["enum"])
            assert properties[array]["title"]
        assert properties["tag"]["type"] == "string"
        assert properties["eo:cloud_cover"]["type"] == "number"
        assert "datetime" in properties
    refused(http.get("/collections/absent/queryables"), 404, "COLLECTION_NOT_FOUND")


def test_browsers_from_elsewhere_may_ask(http: httpx2.Client) -> None:
    origin = {"Origin": "https://browser.example"}
    answer = http.get("/search?limit=1", headers=origin)
    assert answer.headers["access-control-allow-origin"] == "*"
    assert "Content-Range" in answer.headers["access-control-expose-headers"]
    preflight = {
        **origin,
        "Access-Control-Request-Method": "PATCH",
        "Access-Control-Request-Headers": "authorization,content-type",
    }
    allowed = http.options("/collections", headers=preflight)
    assert allowed.status_code == 200
    assert "authorization" in allowed.headers["access-control-allow-headers"].lower()


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/collections/absent", 404, "COLLECTION_NOT_FOUND"),
        ("GET", "/collections/absent/items", 404, "COLLECTION_NOT_FOUND"),
        ("GET", "/collections/absent/items/a", 404, "COLLECTION_NOT_FOUND"),
        ("GET", "/collections/%00", 400, "INVALID_REQUEST"),
        ("GET", "/nothing", 404, "NOT_FOUND"),
        ("DELETE", "/search", 405, "METHOD_NOT_ALLOWED"),
    ],
)
def test_addresses_without_an_answer(http: httpx2.Client, method: str, path: str, status: int, code: str) -> None:
    refused(http.request(method, path), status, code)


# --- An image, as it is served


@pytest.fixture(scope="module")
def image(service: Service, tmp_path_factory: pytest.TempPathFactory) -> Json:
    """An Item of an uploaded image."""
    with Client(service.url) as client:
        product = Product(client, id=f"test:{uuid4().hex[:12]}", name="Served", tags=["x"])
        product.save()
        for index, name in enumerate(("red", "nir")):
            SpectralBand(
                client,
                product=product,
                name=name,
                data_type="UInt16",
                band_index=index,
                wavelength_nm_center=700,
                nodata=0,
                resolution="10 m",
            ).save()
        path = tmp_path_factory.mktemp("image") / "image.tif"
        write_geotiff(path, bands=2)
        done = upload_done(
            Image(
                client,
                product=product,
                name="scene",
                acquired="2024-01-01",
                tags=["x"],
                cloud_fraction=0.3,
                satellite_id="S2A",
                extra_properties={"quality": 0.5},
            ),
            path,
        )
        assert done.image is not None, done.events
        return done.image.item


def write_geotiff(path: Path, *, bands: int) -> None:
    pixels = np.random.default_rng(0).integers(1, 200, (bands, 40, 60)).astype("uint16")
    profile = {"driver": "GTiff", "count": bands, "height": 40, "width": 60, "dtype": "uint16", "crs": "EPSG:32633"}
    with rasterio.open(path, "w", **profile, transform=from_origin(500_000, 5_000_000, 10, 10)) as dataset:
        dataset.write(pixels)


def test_items_and_collections_are_valid_as_served(http: httpx2.Client, image: Json) -> None:
    collection_path = f"/collections/{image['collection']}"
    for path in (collection_path, f"{collection_path}/items/scene"):
        assert schema_errors(http.get(path).json()) == []
    found = http.post("/search", json={"collections": [image["collection"]]}).json()["features"]
    assert schema_errors(found[0]) == []
    schema = next(url for url in image["stac_extensions"] if url.startswith(str(http.base_url)))
    assert http.get(schema).json()["$id"] == schema


def hrefs_of(item: Json) -> list[str]:
    assets = [asset["href"] for asset in item["assets"].values()]
    ours = [url for url in item["stac_extensions"] if "stac-extensions.github.io" not in url]
    return [*assets, *ours, *(link["href"] for link in item["links"])]


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({}, None),
        ({"X-Forwarded-Proto": "https", "X-Forwarded-Host": "eo.example"}, "https://eo.example/"),
        (
            {"X-Forwarded-Proto": "https", "X-Forwarded-Host": "eo.example", "X-Forwarded-Port": "8443"},
            "https://eo.example:8443/",
        ),
        (
            {"X-Forwarded-Proto": "https", "X-Forwarded-Host": "eo.example", "X-Forwarded-Prefix": "/a/stac"},
            "https://eo.example/a/stac/",
        ),
        ({"X-Forwarded-Prefix": "/stac/"}, "stac/"),
        ({"X-Forwarded-Prefix": "//evil.example"}, None),
        ({"X-Forwarded-Prefix": '/"><script>'}, None),
        ({"X-Forwarded-Prefix": "/../x"}, None),
        ({"Forwarded": "proto=https;host=eo.example"}, "https://eo.example/"),
    ],
    ids=lambda value: str(value)[:80],
)
def test_every_address_is_the_one_that_was_asked(
    http: httpx2.Client, image: Json, headers: dict[str, str], expected: str | None
) -> None:
    base = f"{http.base_url}/"
    if expected is not None:
        base = expected if expected.startswith("https") else f"{base}{expected}"
    path = f"/collections/{image['collection']}"
    item = http.get(f"{path}/items/scene", headers=headers).json()
    found = http.post("/search", json={"collections": [image["collection"]]}, headers=headers).json()
    assert set(item["assets"]) >= {"data", "thumbnail"}
    for href in [*hrefs_of(item), *hrefs_of(found["features"][0])]:
        assert href.startswith(base), href
    self_href = next(link["href"] for link in item["links"] if link["rel"] == "self")
    assert self_href == f"{base}collections/{image['collection']}/items/scene"
    for address in ("/", path, "/collections"):
        for link in http.get(address, headers=headers).json()["links"]:
            assert link["href"].startswith(base), link
    assert found["links"]
    for link in found["links"]:
        assert link["href"].startswith(base), link
    assert "file://" not in json.dumps([item, found])


def test_the_root_path_is_in_every_address(
    make_database: Callable[[], str], tmp_path: Path, make_geotiff: GeotiffMaker
) -> None:
    with (
        running_service(make_database(), tmp_path, "api", "worker", STAC_INGEST_ROOT_PATH="/stac") as behind,
        Client(f"{behind.url}/stac") as client,
        httpx2.Client(base_url=behind.url, timeout=60) as http,
    ):
        product = Product(client, id="p")
        product.save()
        SpectralBand(client, product=product, name="blue", data_type="UInt16").save()
        source = make_geotiff()
        done = upload_done(Image(client, product=product, name="scene", acquired="2024-01-01"), source)
        assert done.image is not None, done.events
        item = http.get("/collections/p/items/scene").json()
        for href in hrefs_of(item):
            assert href.startswith(f"{behind.url}/stac/"), href
        # A proxy may leave the prefix in the path or take it away.
        asset = item["assets"]["blue"]["href"]
        assert http.get(asset).content == http.get(asset.replace("/stac/", "/", 1)).content
        assert http.post("/stac/search", json={}).json()["features"][0]["id"] == "scene"
        children = pystac_client.Client.open(f"{behind.url}/stac/").get_children()
        assert [child.id for child in children] == ["p"]


def stored_item(service: Service, image: Mapping[str, Any]) -> Json:
    with psycopg.connect(service.database_url) as connection:
        row = connection.execute(
            "SELECT pgstac.get_item(%s, %s)", (image.get("id", "scene"), image["collection"])
        ).fetchone()
    assert row is not None
    content: Json = row[0]
    return content


def without_updated(item: Json) -> Json:
    return {**item, "properties": {key: value for key, value in item["properties"].items() if key != "updated"}}


def test_an_item_put_back_as_it_was_read_stays_as_it_was(
    service: Service, http: httpx2.Client, make_product: ProductMaker, make_geotiff: GeotiffMaker
) -> None:
    done = upload_done(Image(product=make_product("blue"), name="scene", acquired="2024-01-01"), make_geotiff())
    assert done.image is not None
    path = f"/collections/{done.product_id}/items/scene"
    for headers in ({}, {"X-Forwarded-Proto": "https", "X-Forwarded-Host": "eo.example", "X-Forwarded-Prefix": "/x"}):
        read = http.get(path, headers=headers).json()
        before = stored_item(service, read)
        answer = http.put(path, json=read, headers=headers)
        assert answer.status_code == 200, answer.text
        assert answer.json()["assets"] == read["assets"]
        assert answer.json()["stac_extensions"] == read["stac_extensions"]
        after = stored_item(service, read)
        assert after["properties"].pop("updated") > before["properties"].pop("updated")
        assert after == before
        href = before["assets"]["blue"]["href"]
        assert href.startswith((service.data_dir / "store" / "assets").as_uri())
        assert Path(href.removeprefix("file://")).is_file()
        assert not [link for link in before["links"] if link["rel"] in ("self", "root", "parent", "collection")]
        assert without_updated(http.get(path, headers=headers).json()) == without_updated(read)
    assert http.get(http.get(path).json()["assets"]["blue"]["href"]).status_code == 200


# --- Writing


def test_an_item_is_added_read_replaced_changed_and_removed(http: httpx2.Client, items: str) -> None:
    item = make_item(collection_of(items), "one", properties={"keywords": ["x"], "custom:a": {"b": [1, None, "ü"]}})
    added = http.post(items, json={**item, "custom:top": "kept"})
    assert added.status_code == 201
    assert added.headers["location"] == f"{http.base_url}{items}/one"
    read = http.get(added.headers["location"]).json()
    assert read["properties"]["keywords"] == ["x"]
    assert read["custom:top"] == "kept"
    assert read["geometry"] == item["geometry"]
    assert {link["rel"] for link in added.json()["links"]} >= {"self", "parent", "collection", "root"}

    replaced = http.put(f"{items}/one", json={**item, "properties": {"datetime": "2025-01-01T00:00:00Z"}})
    assert replaced.status_code == 200
    assert "keywords" not in http.get(f"{items}/one").json()["properties"]

    merge = {"Content-Type": "application/merge-patch+json"}
    patch = {"properties": {"title": "One", "gsd": 5}, "custom:top": {"kept": True}}
    assert http.patch(f"{items}/one", json=patch, headers=merge).status_code == 200
    read = http.get(f"{items}/one").json()
    assert (read["properties"]["title"], read["properties"]["gsd"]) == ("One", 5)
    assert read["custom:top"] == {"kept": True}
    assert http.patch(f"{items}/one", json={"properties": {"gsd": None}}, headers=merge).status_code == 200
    assert "gsd" not in http.get(f"{items}/one").json()["properties"]

    operations = [
        {"op": "test", "path": "/properties/title", "value": "One"},
        {"op": "replace", "path": "/properties/title", "value": "Two"},
        {"op": "copy", "from": "/properties/title", "path": "/properties/custom:copy"},
    ]
    patched = http.patch(f"{items}/one", json=operations, headers={"Content-Type": "application/json-patch+json"})
    assert patched.json()["properties"]["custom:copy"] == "Two"

    assert http.delete(f"{items}/one").status_code == 204
    refused(http.get(f"{items}/one"), 404, "ITEM_NOT_FOUND")
    refused(http.delete(f"{items}/one"), 404, "ITEM_NOT_FOUND")


def test_what_cannot_be_written(http: httpx2.Client, items: str) -> None:
    collection_id = collection_of(items)
    item = make_item(collection_id, "one")
    assert http.post(items, json=item).status_code == 201
    duplicate = refused(http.post(items, json=item), 409, "ITEM_EXISTS")
    assert "'one'" in duplicate
    assert collection_id in duplicate
    missing = make_item("absent", "one")
    assert "'absent'" in refused(http.post("/collections/absent/items", json=missing), 404, "COLLECTION_NOT_FOUND")
    refused(http.put("/collections/absent/items/one", json=missing), 404, "COLLECTION_NOT_FOUND")
    refused(http.put(f"{items}/two", json=make_item(collection_id, "two")), 404, "ITEM_NOT_FOUND")
    refused(http.patch(f"{items}/two", json={}), 404, "ITEM_NOT_FOUND")
    refused(http.put(f"{items}/other", json=item), 400, "ID_MISMATCH")
    refused(http.post(items, json=make_item("other", "two")), 400, "ID_MISMATCH")
    before = http.get(f"{items}/one").json()
    for patch in (
        {"id": "two"},
        {"collection": "other"},
        {"type": None},
        {"assets": None},
        {"links": None},
        {"geometry": None},
        {"bbox": None},
        {"properties": None},
        {"properties": {"datetime": None}},
        {"properties": {"x": 10**30}},
        {"assets": {"a": 5}},
        [{"op": "remove", "path": "/nothing"}],
        [{"op": "test", "path": "/id", "value": "two"}],
        [{"op": "replace", "path": "", "value": 5}],
        [{"op": "remove", "path": "/properties"}],
        [{"op": "nonsense", "path": "/id"}],
        [5],
        5,
    ):
        answer = http.patch(f"{items}/one", json=patch)
        refused(answer, 400, answer.json()["code"])
    assert http.get(f"{items}/one").json() == before


def changed(item: Json, **changes: Any) -> Json:
    """Return an Item with some members changed; `properties` are merged, and `...` removes a member."""
    item = copy.deepcopy(item)
    item["properties"] |= changes.pop("properties", {})
    item |= changes
    return {key: value for key, value in item.items() if value is not ...}


@pytest.mark.parametrize(
    ("code", "changes"),
    [
        ("INVALID_GEOMETRY", {"geometry": None}),
        ("INVALID_GEOMETRY", {"geometry": None, "bbox": ...}),
        ("INVALID_GEOMETRY", {"geometry": {"type": "Point", "coordinates": [500_000, 5_000_000]}}),
        ("INVALID_GEOMETRY", {"geometry": {"type": "Point", "coordinates": [10, 90.5]}}),
        ("INVALID_GEOMETRY", {"geometry": {"type": "MultiPolygon", "coordinates": []}}),
        ("INVALID_GEOMETRY", {"geometry": {"type": "MultiPolygon", "coordinates": [[]]}}),
        ("INVALID_GEOMETRY", {"geometry": {"type": "GeometryCollection", "geometries": []}}),
        ("INVALID_GEOMETRY", {"bbox": [20, 50, 21, 51]}),
        ("INVALID_GEOMETRY", {"bbox": [50, 10, 51, 11]}),
        ("INVALID_GEOMETRY", {"bbox": [10, 51, 11, 50]}),
        ("INVALID_GEOMETRY", {"bbox": [10, 50, 191, 51]}),
        ("INVALID_GEOMETRY", {"bbox": [20, 50, 0, 21, 51, 5]}),
        ("INVALID_REQUEST", {"bbox": [float("nan"), 50, 11, 51]}),
        ("INVALID_REQUEST", {"bbox": ...}),
        ("INVALID_REQUEST", {"geometry": {"type": "Point", "coordinates": [float("nan"), 50]}}),
        (
            "INVALID_REQUEST",
            {"geometry": {"type": "Polygon", "coordinates": [[[10, 50], [11, 50], [11, 51], [10, 51]]]}},
        ),
        ("INVALID_HREF", {"assets": {"data": {"href": "/vsicurl?header_file=/etc/hostname&url=http://x/y.tif"}}}),
        ("INVALID_REQUEST", {"geometry": {"type": "Point", "coordinates": []}}),
        ("INVALID_REQUEST", {"geometry": {"type": "Blob", "coordinates": [1, 2]}}),
        ("INVALID_REQUEST", {"geometry": {"type": "Polygon", "coordinates": [[[0, 0], [1, 1]]]}}),
        ("INVALID_REQUEST", {"geometry": "x"}),
        (
            "INVALID_DATETIME",
            {"properties": {"start_datetime": "2024-02-01T00:00:00Z", "end_datetime": "2024-01-01T00:00:00Z"}},
        ),
        ("INVALID_REQUEST", {"properties": {"datetime": None}}),
        ("INVALID_REQUEST", {"properties": {"datetime": "soon"}}),
        ("INVALID_REQUEST", {"properties": {"start_datetime": "2024-02-01T00:00:00Z"}}),
        ("INVALID_REQUEST", {"properties": {"title": "a\x00b"}}),
        ("INVALID_REQUEST", {"properties": {"huge": 10**30}}),
        ("INVALID_REQUEST", {"properties": {"endless": float("inf")}}),
        ("INVALID_REQUEST", {"properties": {"datetime": "2024-01-01T00:00:00"}}),
        (
            "INVALID_REQUEST",
            {"properties": {"datetime": None, "end_datetime": "2024-01-01T00:00:00Z"}},
        ),
        ("INVALID_ID", {"id": "a/b"}),
        ("INVALID_ID", {"id": "x" * 300}),
        ("INVALID_ID", {"id": ".."}),
        ("INVALID_REQUEST", {"id": 5}),
        ("INVALID_REQUEST", {"id": ...}),
        ("INVALID_REQUEST", {"properties": {}, "assets": ...}),
        ("INVALID_REQUEST", {"assets": []}),
        ("INVALID_REQUEST", {"links": [{"x": 1}]}),
        ("INVALID_REQUEST", {"bbox": [1]}),
        ("INVALID_REQUEST", {"stac_version": "nine"}),
        ("INVALID_REQUEST", {"type": "Nonsense"}),
    ],
    ids=lambda value: str(value)[:60],
)
def test_items_that_are_wrong(http: httpx2.Client, items: str, code: str, changes: Json) -> None:
    item = changed(make_item(collection_of(items), "bad"), **copy.deepcopy(changes))
    content = json.dumps(item)  # httpx2 would refuse what JSON has not
    refused(http.post(items, content=content, headers={"Content-Type": "application/json"}), 400, code)
    assert http.get(items).json()["features"] == []


def test_an_item_always_has_a_datetime(http: httpx2.Client, items: str) -> None:
    path = f"{items}/one"
    start, end = "2024-03-01T00:00:00Z", "2024-04-01T00:00:00Z"
    span = {"datetime": None, "start_datetime": start, "end_datetime": end}
    item = changed(make_item(collection_of(items), "one"), properties=span)
    whole = {"type": "FeatureCollection", "features": [changed(item, id="two")]}
    assert http.post(items, json=whole).status_code == 201
    assert http.get(f"{items}/two").json()["properties"]["datetime"] == start
    asked: tuple[Ask, ...] = (
        lambda: http.post(items, json=item),
        lambda: http.put(path, json=item),
        lambda: http.patch(path, json={"properties": span}),
        lambda: http.patch(path, json=[{"op": "replace", "path": "/properties/datetime", "value": None}]),
        lambda: http.patch(path, json=[{"op": "remove", "path": "/properties/datetime"}]),
    )
    for write in asked:
        answer = write()
        assert answer.is_success, answer.text
        read = http.get(path).json()
        assert read["properties"]["datetime"] == start
        assert schema_errors(read) == []
    for day, expected in (("2024-03-15", ["one", "two"]), ("2024-05-15", [])):
        found = http.post(
            "/search", json={"collections": [collection_of(items)], "datetime": f"{day}T00:00:00Z/{day}T01:00:00Z"}
        )
        assert sorted(item["id"] for item in found.json()["features"]) == expected
    within = {**span, "datetime": "2024-03-09T00:00:00Z"}
    http.put(path, json=changed(item, properties=within))
    assert http.get(path).json()["properties"]["datetime"] == within["datetime"]


def test_places_that_are_unusual_are_found(http: httpx2.Client, items: str) -> None:
    def box(west: float, east: float) -> list[list[list[float]]]:
        return [[[west, 50], [east, 50], [east, 51], [west, 51], [west, 50]]]

    geometries: dict[str, tuple[Json, list[float]]] = {
        "crosses-itself": (
            {"type": "Polygon", "coordinates": [[[10, 50], [11, 51], [11, 50], [10, 51], [10, 50]]]},
            [10, 50, 11, 51],
        ),
        "at-180": (
            {"type": "MultiPolygon", "coordinates": [box(179, 180), box(-180, -179)]},
            [179, 50, -179, 51],
        ),
        "at-180-in-one-box": (
            {"type": "MultiPolygon", "coordinates": [box(179, 180), box(-180, -179)]},
            [-180, 50, 180, 51],
        ),
        "high": ({"type": "Point", "coordinates": [10, 50, 300]}, [10, 50, 300, 10, 50, 300]),
        "rounded": ({"type": "Point", "coordinates": [10.00004, 50]}, [10, 50, 10, 50]),
        "a-point": ({"type": "Polygon", "coordinates": [[[10, 50]] * 4]}, [10, 50, 10, 50]),
    }
    for name, (geometry, bbox) in geometries.items():
        item = changed(make_item(collection_of(items), name), geometry=geometry, bbox=bbox)
        answer = http.post(items, json=item)
        assert answer.status_code == 201, answer.text
        west, east = (-179.5, -179.4) if "180" in name else (9.9, 10.6)
        search = {"collections": [collection_of(items)], "bbox": [west, 49, east, 52], "ids": [name]}
        assert len(http.post("/search", json=search).json()["features"]) == 1, name


def test_what_a_patch_leaves_is_kept_as_what_is_sent(http: httpx2.Client, items: str) -> None:
    http.post(items, json=make_item(collection_of(items), "one"))
    patch = {"geometry": {"type": "Point", "coordinates": ["10.5", "50.5"]}, "bbox": ["10.5", 50.5, 10.5, 50.5]}
    assert http.patch(f"{items}/one", json=patch).status_code == 200
    read = http.get(f"{items}/one").json()
    assert (read["geometry"]["coordinates"], read["bbox"]) == ([10.5, 50.5], [10.5, 50.5, 10.5, 50.5])
    moved = {"geometry": {"type": "Point", "coordinates": [100, 5]}}
    assert "bbox" in refused(http.patch(f"{items}/one", json=moved), 400, "INVALID_GEOMETRY")
    http.patch(f"{items}/one", json={**moved, "bbox": [100, 5, 100, 5]})
    assert http.get(f"{items}/one").json()["geometry"]["coordinates"] == [100, 5]


def test_ids_of_other_tools_are_in_addresses(service: Service, http: httpx2.Client) -> None:
    name = f"other {uuid4().hex[:6]} ü"
    with psycopg.connect(service.database_url, options="-c search_path=pgstac,public") as connection:
        connection.execute("SELECT create_collection(%s)", (json.dumps(make_collection(name)),))
        connection.execute("SELECT create_item(%s)", (json.dumps(make_item(name, "a b?")),))
    collection = f"/collections/{quote(name)}"
    for path in (collection, f"{collection}/items/a%20b%3F"):
        links = {link["rel"]: link["href"] for link in http.get(path).json()["links"]}
        assert links["self"] == f"{http.base_url}{path}"
        assert http.get(links["self"]).status_code == 200
        assert http.delete(path).status_code == (409 if path == collection else 204)
    assert http.delete(collection).status_code == 204


def test_bodies_that_are_no_item(http: httpx2.Client, items: str) -> None:
    for content in (b"", b"nonsense", b"[]", b"5", b"null", b"\xff", b"[" * 100_000, b'{"x":' + b"[" * 900):
        for method, path in (("POST", items), ("PUT", f"{items}/a"), ("PATCH", f"{items}/a"), ("POST", "/collections")):
            answer = http.request(method, path, content=content, headers={"Content-Type": "application/json"})
            expected = (400, 404) if method == "PATCH" else (400,)
            assert answer.status_code in expected, (method, content[:20], answer.text)
            refused(answer, answer.status_code, answer.json()["code"])


def test_an_item_collection_is_added_whole_or_not_at_all(http: httpx2.Client, items: str) -> None:
    collection_id = collection_of(items)

    def post(*members: Json) -> httpx2.Response:
        return http.post(items, json={"type": "FeatureCollection", "features": list(members)})

    def ids() -> list[str]:
        return sorted(item["id"] for item in http.get(items).json()["features"])

    one, two, three = (make_item(collection_id, name) for name in ("one", "two", "three"))
    assert post(one, {**two, "custom:top": 2}).status_code == 201
    assert http.get(f"{items}/two").json()["custom:top"] == 2
    assert ids() == ["one", "two"]
    assert "'one'" in refused(post(three, one), 409, "ITEM_EXISTS")
    refused(post(three, three), 409, "ITEM_EXISTS")
    refused(post(three, changed(one, id="four", geometry=None)), 400, "INVALID_GEOMETRY")
    refused(post(three, make_item("other", "four")), 400, "ID_MISMATCH")
    refused(post(three, changed(one, id="four", properties={"datetime": "soon"})), 400, "INVALID_REQUEST")
    assert ids() == ["one", "two"]
    assert post().status_code == 201
    assert post(three).status_code == 201
    assert ids() == ["one", "three", "two"]


def test_extent_and_summaries_follow_the_items(http: httpx2.Client, items: str) -> None:
    collection_id = collection_of(items)

    def said() -> tuple[list[float], list[str | None], Json]:
        collection = http.get(f"/collections/{collection_id}").json()
        assert schema_errors(collection) == []
        extent = collection["extent"]
        return extent["spatial"]["bbox"][0], extent["temporal"]["interval"][0], collection.get("summaries", {})

    assert said()[0] == [-180, -90, 180, 90]
    first = make_item(collection_id, "one", west=10, day=3, properties={"eo:cloud_cover": 20, "platform": "a"})
    http.post(items, json=first)
    bbox, interval, summaries = said()
    assert bbox == [10, 50, 11, 51]
    assert interval == ["2024-05-03T10:00:00Z", "2024-05-03T10:00:00Z"]
    assert summaries["platform"] == ["a"]
    assert summaries["eo:cloud_cover"] == {"minimum": 20, "maximum": 20}

    second = make_item(collection_id, "two", west=-5, day=9, properties={"eo:cloud_cover": 40, "platform": "b"})
    http.post(items, json=second)
    bbox, interval, summaries = said()
    assert bbox == [-5, 50, 11, 51]
    assert interval == ["2024-05-03T10:00:00Z", "2024-05-09T10:00:00Z"]
    assert summaries["platform"] == ["a", "b"]
    assert summaries["eo:cloud_cover"] == {"minimum": 20, "maximum": 40}

    http.patch(f"{items}/two", json={"properties": {"datetime": "2024-05-12T10:00:00Z", "platform": "c"}})
    assert said()[1][1] == "2024-05-12T10:00:00Z"
    assert said()[2]["platform"] == ["a", "c"]

    http.put(f"{items}/two", json=make_item(collection_id, "two", west=30, day=9))
    bbox, interval, summaries = said()
    assert bbox == [10, 50, 31, 51]
    assert summaries["platform"] == ["a"]

    http.delete(f"{items}/one")
    bbox, interval, _ = said()
    assert bbox == [30, 50, 31, 51]
    assert interval == ["2024-05-09T10:00:00Z", "2024-05-09T10:00:00Z"]


def test_summaries_of_what_no_item_has_any_more_go(http: httpx2.Client, items: str) -> None:
    collection_id = collection_of(items)
    properties = {"eo:cloud_cover": 20, "platform": "a", "gsd": 10}
    http.post(items, json=make_item(collection_id, "one", properties=properties))
    http.post(items, json=make_item(collection_id, "two"))
    http.delete(f"{items}/one")
    assert http.get(f"/collections/{collection_id}").json().get("summaries", {}) == {}


def test_a_collection_is_added_replaced_changed_and_removed(http: httpx2.Client) -> None:
    collection_id = f"test:{uuid4().hex[:12]}"
    path = f"/collections/{collection_id}"
    collection = make_collection(collection_id, keywords=["x"], **{"custom:a": {"b": 1}})
    added = http.post("/collections", json=collection)
    assert added.status_code == 201
    assert added.headers["location"] == f"{http.base_url}{path}"
    assert http.get(path).json()["custom:a"] == {"b": 1}
    assert collection_id in refused(http.post("/collections", json=collection), 409, "COLLECTION_EXISTS")

    created = added.json()["created"]
    assert http.put(path, json={**collection, "title": "New", "created": "1999-01-01T00:00:00Z"}).status_code == 200
    read = http.get(path).json()
    assert read["title"] == "New"
    assert datetime.fromisoformat(created) < datetime.fromisoformat(read["updated"]) <= datetime.now(UTC)
    assert read["created"] == created

    patched = http.patch(path, json={"title": "Newer", "keywords": None, "custom:a": {"c": 2}})
    assert patched.status_code == 200
    read = http.get(path).json()
    assert (read["title"], read["custom:a"]) == ("Newer", {"b": 1, "c": 2})
    assert "keywords" not in read

    assert http.delete(path).status_code == 204
    refused(http.get(path), 404, "COLLECTION_NOT_FOUND")
    refused(http.delete(path), 404, "COLLECTION_NOT_FOUND")
    refused(http.put(path, json=collection), 404, "COLLECTION_NOT_FOUND")


@pytest.mark.parametrize(
    ("status", "code", "changes"),
    [
        (400, "INVALID_ID", {"id": "a/b"}),
        (400, "INVALID_REQUEST", {"id": ...}),
        (400, "INVALID_REQUEST", {"extent": ...}),
        (400, "INVALID_REQUEST", {"extent": {}}),
        (400, "INVALID_REQUEST", {"keywords": "x"}),
        (400, "INVALID_REQUEST", {"summaries": 5}),
        (400, "INVALID_REQUEST", {"huge": 10**30}),
        (422, "INVALID_PRODUCT", {"item_assets": []}),
        (422, "INVALID_PRODUCT", {"item_assets": {"a": 5}}),
        (422, "INVALID_PRODUCT", {"item_assets": {"a": {"bands": 5}}}),
        (422, "INVALID_PRODUCT", {"properties": 5}),
        (422, "INVALID_PRODUCT", {"ingest:product": 5}),
        (422, "INVALID_PRODUCT", {"ingest:product": {"colour": 5}}),
        (422, "INVALID_PRODUCT", {"ingest:product": {"cog_profile": {"level": 15}}}),
        (
            422,
            "INVALID_PRODUCT",
            {
                "ingest:product": {"cog_profile": {"codec": "JPEG"}},
                "ingest:bands": [{"name": "a", "type": "spectral", "data_type": "UInt16"}],
            },
        ),
        (422, "INVALID_PRODUCT", {"ingest:bands": 5}),
        (422, "INVALID_PRODUCT", {"ingest:bands": [5]}),
        (422, "INVALID_PRODUCT", {"ingest:bands": [{}]}),
        (422, "INVALID_PRODUCT", {"ingest:bands": [{"name": "a", "type": "spectral"}] * 2}),
        (422, "INVALID_PRODUCT", {"ingest:bands": [{"name": "a", "type": "spectral", "band_index": 3}]}),
    ],
    ids=lambda value: str(value)[:60],
)
def test_collections_that_are_wrong(http: httpx2.Client, items: str, status: int, code: str, changes: Json) -> None:
    made = f"test:{uuid4().hex[:12]}"
    collection = {**make_collection(made), **changes}
    collection = {key: value for key, value in collection.items() if value is not ...}
    refused(http.post("/collections", json=collection), status, code)
    assert http.get(f"/collections/{made}").status_code == 404
    there = f"/collections/{collection_of(items)}"
    before = http.get(there).json()
    if "id" not in changes:
        refused(http.put(there, json={**collection, "id": before["id"]}), status, code)
        if ... not in changes.values() and changes != {"extent": {}}:
            answer = http.patch(there, json=changes)
            assert answer.json()["code"] in (code, "INVALID_PATCH")
    assert http.get(there).json() == before


def test_a_collection_that_has_items_refuses_deletion(http: httpx2.Client, items: str) -> None:
    path = f"/collections/{collection_of(items)}"
    http.post(items, json=make_item(collection_of(items), "one"))
    assert "delete_related_objects" in refused(http.delete(path), 409, "COLLECTION_NOT_EMPTY")
    assert [item["id"] for item in http.get(items).json()["features"]] == ["one"]
    http.delete(f"{items}/one")
    assert http.delete(path).status_code == 204
    assert http.get("/search", params={"collections": collection_of(items)}).json()["features"] == []


def test_a_collection_with_an_upload_that_has_not_ended_refuses_deletion(http: httpx2.Client) -> None:
    collection_id = f"test:{uuid4().hex[:12]}"
    bands = [{"name": "blue", "type": "spectral", "data_type": "UInt16"}]
    http.post("/collections", json=make_collection(collection_id, **{"ingest:bands": bands}))
    upload = {"image": {"name": "a", "acquired": "2024-01-01T00:00:00Z"}, "files": [{"name": "a.tif"}]}
    opened = http.post(f"/collections/{collection_id}/uploads", json=upload)
    assert opened.status_code == 201, opened.text
    upload_id = opened.json()["id"]
    assert upload_id in refused(http.delete(f"/collections/{collection_id}"), 409, "UPLOAD_IN_PROGRESS")
    assert http.post(f"/uploads/{upload_id}/cancel").status_code == 200
    assert http.delete(f"/collections/{collection_id}").status_code == 204


def test_the_service_says_when_an_item_was_created_and_updated(http: httpx2.Client, items: str) -> None:
    began = datetime.now(UTC)
    foreign = {
        "created": "1999-01-01T00:00:00Z",
        "updated": "1999-01-01T00:00:00Z",
        "published": "2001-01-01T00:00:00Z",
    }
    item = make_item(collection_of(items), "one", properties=foreign)
    added = http.post(items, json=item).json()["properties"]
    assert began <= datetime.fromisoformat(added["created"]) <= datetime.now(UTC)
    assert added["updated"] == added["created"]
    assert added["published"] == foreign["published"]
    last = added
    asked: tuple[Ask, ...] = (
        lambda: http.put(f"{items}/one", json=item),
        lambda: http.put(f"{items}/one", json=make_item(collection_of(items), "one")),
        lambda: http.patch(f"{items}/one", json={"properties": {"created": None, "updated": None}}),
    )
    for write in asked:
        now = write().json()["properties"]
        assert now["created"] == added["created"]
        assert datetime.fromisoformat(now["updated"]) > datetime.fromisoformat(last["updated"])
        last = now
    assert http.get(f"{items}/one").json()["properties"] == last


def test_large_numbers_come_back_as_they_were_sent(http: httpx2.Client, items: str) -> None:
    numbers = {"a": 1e300, "b": -1.5e-300, "c": 2**63, "d": 0.1, "e": 5, "f": 5.0}
    http.post(items, json=make_item(collection_of(items), "one", properties={"custom:numbers": numbers}))
    read = http.get(f"{items}/one").json()
    assert read["properties"]["custom:numbers"] == numbers
    assert http.put(f"{items}/one", json=read).status_code == 200
    assert http.get(f"{items}/one").json()["properties"]["custom:numbers"] == numbers


@pytest.mark.parametrize("time", ["0001-01-01T00:00:00+01:00", "9999-12-31T23:59:59-01:00"])
def test_a_time_that_utc_does_not_hold(http: httpx2.Client, items: str, time: str) -> None:
    item = make_item(collection_of(items), "one", properties={"datetime": time})
    assert "1 to 9999" in refused(http.post(items, json=item), 400, "INVALID_REQUEST")
    extent = {"spatial": {"bbox": [[-180, -90, 180, 90]]}, "temporal": {"interval": [[time, None]]}}
    collection = make_collection(collection_of(items), extent=extent)
    assert "1 to 9999" in refused(http.put(f"/collections/{collection['id']}", json=collection), 400, "INVALID_REQUEST")


def test_a_geometry_that_postgis_cannot_write(http: httpx2.Client, items: str) -> None:
    item = make_item(collection_of(items), "one")
    nested = {"type": "GeometryCollection", "geometries": [item["geometry"]]}
    item["geometry"] = {"type": "GeometryCollection", "geometries": [nested]}
    refused(http.post(items, json=item), 400, "INVALID_REQUEST")
    assert http.get(f"{items}/one").status_code == 404


@pytest.mark.parametrize("name", ["type", "extent", "links", "description", "license"])
def test_a_collection_stays_one(http: httpx2.Client, items: str, name: str) -> None:
    path = f"/collections/{collection_of(items)}"
    refused(http.patch(path, json={name: None}), 400, "INVALID_PATCH")
    assert http.get(path).status_code == 200


def test_nulls_are_as_if_they_were_not_said(http: httpx2.Client, items: str) -> None:
    path = f"/collections/{collection_of(items)}"
    collection = make_collection(collection_of(items), assets=None, summaries=None, keywords=None, providers=None)
    assert http.put(path, json=collection).status_code == 200
    http.post(items, json=make_item(collection_of(items), "one", properties={"platform": "a"}))
    assert http.get(path).json()["summaries"]["platform"] == ["a"]


def test_a_search_sees_what_was_just_written(http: httpx2.Client, items: str) -> None:
    for expected in (1, 2, 3):
        http.post(items, json=make_item(collection_of(items), f"item-{expected}"))
        found = http.post("/search", json={"collections": [collection_of(items)]}).json()
        assert len(found["features"]) == expected
