"""What the Items of a search come to is what the same Items come to here."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import httpx2
import psycopg
import pytest
from psycopg.types.json import Jsonb

from api.stac.aggregates import AGGREGATIONS, statement_of, wanted_from_body
from api.stac.search import search_from_body
from stac_ingest import stac
from stac_ingest.client.connection import Client
from stac_ingest.client.searching.searches import ImageSearch
from tests.api.answers import refused
from tests.api.images import wait_until
from tests.api.test_stac import make_collection
from tests.conftest import Service

Json = dict[str, Any]

INTERVALS = ["year", "quarter", "month", "week", "day", "hour", "minute"]
TAGS = ["a", "A", "it's", "{x,y}", "NULL", "é", "\U0001f30d", "a,b", '"', "back\\slash", "100%"]
COVERS = [0, 9.999, 10, 55.5, 89, 90, 100, 120, -3, 1e300, None]
PLATFORMS = ["S2A", "s2a", "", "it's", None]
TIMES = [
    "0001-01-01T00:00:00Z", "1999-12-31T23:59:59.999999Z", "2024-01-01T00:00:00Z", "2024-02-29T12:00:30.5Z",
    "2024-02-29T12:01:00Z", "2024-12-30T00:00:00Z", "9999-12-31T23:59:59Z",
]  # fmt: skip
SIZES: list[Any] = [0, 1, 2**40, 2**53 + 1, None, "large", [5], {"of": 5}, True]


def make_items() -> Iterator[Json]:
    """Yield Items, each another mixture of what is set, missing and odd."""
    for index in range(60):
        time = TIMES[index % len(TIMES)]
        properties: Json = {"datetime": time, "published": TIMES[index % 5] if index % 3 else None}
        if index % 4 == 1:  # a range of time without a datetime
            properties |= {"datetime": None, "start_datetime": time, "end_datetime": "9999-12-31T23:59:59.5Z"}
        if index % 3:
            properties["keywords"] = [TAGS[(index + step) % len(TAGS)] for step in range(index % 4)]
        properties["eo:cloud_cover"] = COVERS[index % len(COVERS)]
        properties["platform"] = PLATFORMS[index % len(PLATFORMS)]
        yield {
            "type": "Feature",
            "stac_version": "1.1.0",
            "id": f"i{index}",
            "geometry": {"type": "Point", "coordinates": [index, 10]},
            "bbox": [index, 10, index, 10],
            "properties": {
                name: value for name, value in properties.items() if value is not None or name == "datetime"
            },
            "assets": {
                f"asset{place}": {
                    "href": f"https://a.example/{index}/{place}.tif",
                    "roles": [["data"], ["metadata"], ["overview", "data"]][place],
                    **({} if (size := SIZES[(index + place) % len(SIZES)]) is None else {"file:size": size}),
                }
                for place in range(index % 4 if index % 4 < 3 else 0)
            },
            "links": [],
        }


@dataclass(frozen=True)
class Catalog:
    """The Items, in two Collections."""

    collections: list[str]
    items: list[Json]


def new_collection(http: httpx2.Client) -> str:
    collection_id = f"sum:{uuid4().hex[:12]}"
    assert http.post("/collections", json=make_collection(collection_id)).status_code == 201
    return collection_id


def put(http: httpx2.Client, collection: str, items: Iterable[Json]) -> None:
    answer = http.post(f"/collections/{collection}/items", json={"type": "FeatureCollection", "features": list(items)})
    assert answer.status_code == 201, answer.text


@pytest.fixture(scope="module")
def catalog(service: Service) -> Catalog:
    with httpx2.Client(base_url=service.url, timeout=60) as http:
        collections = [new_collection(http) for _ in range(2)]
        for place, collection in enumerate(collections):
            put(http, collection, [{**item, "collection": collection} for item in list(make_items())[place::2]])
        page = http.post("/search", json={"collections": collections, "limit": 1000}).json()
    assert page["numberReturned"] == 60
    return Catalog(collections, page["features"])


# --- The oracle


def moment(text: object) -> datetime | None:
    try:
        return datetime.fromisoformat(text) if isinstance(text, str) else None
    except ValueError:
        return None


def time_of(item: Json, name: str) -> datetime | None:
    properties = item["properties"]
    if name == "datetime":
        return moment(properties.get("start_datetime") or properties.get("datetime"))
    return moment(properties.get(name))


def written(time: datetime) -> str:
    return time.isoformat().replace("+00:00", "Z")


def start_of(interval: str, time: datetime) -> datetime:
    day = time.replace(hour=0, minute=0, second=0, microsecond=0)
    return {
        "year": day.replace(month=1, day=1),
        "quarter": day.replace(month=(day.month - 1) // 3 * 3 + 1, day=1),
        "month": day.replace(day=1),
        "week": day - timedelta(days=day.weekday()),
        "day": day,
        "hour": day.replace(hour=time.hour),
        "minute": day.replace(hour=time.hour, minute=time.minute),
    }[interval]


def size_of(items: Iterable[Json]) -> int:
    sizes = [asset.get("file:size") for item in items for _, asset in stac.data_assets(item)]
    return sum(size for size in sizes if isinstance(size, int) and not isinstance(size, bool))


def cover_of(item: Json) -> str | None:
    cover = item["properties"].get("eo:cloud_cover")
    if not isinstance(cover, int | float):
        return None
    tenth = next((tenth for tenth in range(9) if cover < 10 * tenth + 10), 9)
    return f"{10 * tenth or '*'}-{10 * tenth + 10 if tenth < 9 else '*'}"


def expected(items: list[Json], name: str, interval: str) -> Any:
    """Return the value, or the buckets' keys and frequencies in their order and the overflow."""
    times = sorted(time for item in items if (time := time_of(item, "datetime")))
    match name.removeprefix("ingest:").rpartition("_"):
        case "total", _, "count":
            return len(items)
        case "", _, "bytes":
            return size_of(items)
        case "datetime", _, "min" | "max" as end:
            return written(times[0 if end == "min" else -1]) if times else None
        case field, _, "summary":
            parts: dict[datetime, list[Json]] = {}
            for item in items:
                if time := time_of(item, field):
                    parts.setdefault(start_of(interval, time), []).append(item)
            found = {
                written(start): (len(part), size_of(part), sorted({item["collection"] for item in part}))
                for start, part in sorted(parts.items())
            }
            return list(found.items()), len(items) - sum(count for count, *_ in found.values())
    keys: dict[str, Callable[[Json], Iterable[Any]]] = {
        "collection_frequency": lambda item: [item["collection"]],
        "platform_frequency": lambda item: [item["properties"].get("platform")],
        "keywords_frequency": lambda item: set(item["properties"].get("keywords", ())),
        "cloud_cover_frequency": lambda item: [cover_of(item)],
        "datetime_frequency": lambda item: [
            written(start_of(interval, time)) for time in [time_of(item, "datetime")] if time
        ],
    }
    own = [[key for key in keys[name](item) if key is not None] for item in items]
    counted = Counter(key for one in own for key in one)
    ordered = name in ("cloud_cover_frequency", "datetime_frequency")
    in_order = sorted(counted.items(), key=lambda one: one[0] if ordered else (-one[1], one[0]))
    return in_order, sum(not one for one in own)


def told(aggregation: Json) -> Any:
    """Return what an answer says as the oracle says it."""
    if "value" in aggregation:
        return aggregation["value"]
    more = ("ingest:bytes", "ingest:collections")
    buckets = [
        (one["key"], (one["frequency"], *(one[name] for name in more)) if more[0] in one else one["frequency"])
        for one in aggregation["buckets"]
    ]
    return buckets, aggregation["overflow"]


def is_in_2024(item: Json) -> bool:
    """Return whether an Item's time, or a part of it, is in 2024."""
    time, end = time_of(item, "datetime"), moment(item["properties"].get("end_datetime"))
    assert time
    return time.year <= 2024 <= (end or time).year


def tags_of(item: Json) -> list[str]:
    found: list[str] = item["properties"].get("keywords", [])
    return found


SEARCHES: list[tuple[Json, Callable[[Json], bool]]] = [
    ({}, lambda item: True),
    ({"ids": ["i3", "i4", "absent"]}, lambda item: item["id"] in ("i3", "i4")),
    ({"bbox": [5, 0, 20, 20]}, lambda item: 5 <= item["bbox"][0] <= 20),
    ({"intersects": {"type": "Point", "coordinates": [7, 10]}}, lambda item: item["id"] == "i7"),
    ({"datetime": "2024-01-01T00:00:00Z/2024-12-31T23:59:59Z"}, is_in_2024),
    ({"query": {"platform": {"eq": "S2A"}}}, lambda item: item["properties"].get("platform") == "S2A"),
    ({"filter": "tag = 'it''s'"}, lambda item: "it's" in tags_of(item)),
    ({"filter": "tag = 'a' AND platform = 'S2A'"},
     lambda item: "a" in tags_of(item) and item["properties"].get("platform") == "S2A"),
    ({"filter": "casei(tag) = casei('A')"}, lambda item: bool({"a", "A"} & set(tags_of(item)))),
    ({"filter": "tag LIKE 'ba%'"}, lambda item: any(tag.startswith("ba") for tag in tags_of(item))),
    ({"filter": "tag LIKE 'nothing%'"}, lambda item: False),
]  # fmt: skip


@pytest.mark.parametrize(("search", "matches"), SEARCHES, ids=[str(search) for search, _ in SEARCHES])
def test_the_aggregations_are_those_of_the_items(
    http: httpx2.Client, catalog: Catalog, search: Json, matches: Callable[[Json], bool]
) -> None:
    items = [item for item in catalog.items if matches(item)]
    for interval in INTERVALS:
        body = {"collections": catalog.collections, **search, "datetime_frequency_interval": interval}
        answer = http.post("/aggregate", json={**body, "aggregations": list(AGGREGATIONS)})
        assert answer.status_code == 200, answer.text
        found = {one["name"]: told(one) for one in answer.json()["aggregations"]}
        assert found == {name: expected(items, name, interval) for name in AGGREGATIONS}, interval


def test_one_aggregation_alone_is_what_it_is_among_others(http: httpx2.Client, catalog: Catalog) -> None:
    for condition in ("true", "tag = 'a'", "tag = 'a' AND datetime > TIMESTAMP('2000-01-01T00:00:00Z')"):
        body = {"collections": catalog.collections, "filter": condition}
        together = http.post("/aggregate", json={**body, "aggregations": list(AGGREGATIONS)}).json()["aggregations"]
        for name, among_others in zip(AGGREGATIONS, together, strict=True):
            answer = http.post("/aggregate", json={**body, "aggregations": [name]})
            assert answer.json()["aggregations"] == [among_others]


def test_the_ways_to_ask(http: httpx2.Client, catalog: Catalog) -> None:
    one = catalog.collections[0]
    asked = {"datetime_frequency_interval": "year", "filter": "tag = 'a'", "bbox": "0,0,50,20"}
    names = "datetime_frequency, total_count,,total_count"
    by_get = http.get("/aggregate", params={**asked, "collections": one, "aggregations": names})
    assert by_get.headers["cache-control"] == "no-store"
    document = by_get.json()
    assert document["type"] == "AggregationCollection"
    assert {link["rel"]: link["href"] for link in document["links"]} == {
        "root": f"{http.base_url}/", "self": str(by_get.url)
    }  # fmt: skip
    assert [found["name"] for found in document["aggregations"]] == ["datetime_frequency", "total_count"]
    assert document["aggregations"][0]["interval"] == "year"
    body = {**asked, "bbox": [0, 0, 50, 20], "aggregations": ["datetime_frequency", "total_count"]}
    of_collection = f"/collections/{one}/aggregate"
    others = [
        http.post("/aggregate", json={**body, "collections": [one]}),
        http.get(of_collection, params={**asked, "aggregations": names, "collections": catalog.collections[1]}),
        http.post(of_collection, json={**body, "collections": [catalog.collections[1]]}),
    ]
    for answer in others:
        assert answer.json()["aggregations"] == document["aggregations"]
    default = http.get("/aggregate", params={"aggregations": "datetime_frequency"}).json()["aggregations"][0]
    assert default["interval"] == "month"
    assert http.get("/aggregate").json()["aggregations"] == []


def test_the_shape_of_an_answer(http: httpx2.Client, catalog: Catalog) -> None:
    body = {"collections": catalog.collections, "ids": ["i0", "i3", "i6"], "aggregations": ["cloud_cover_frequency"]}
    assert http.post("/aggregate", json=body).json()["aggregations"] == [
        {
            "name": "cloud_cover_frequency",
            "data_type": "frequency_distribution",
            "frequency_distribution_data_type": "numeric",
            "buckets": [
                {"key": "*-10", "data_type": "numeric", "frequency": 1, "to": 10},
                {"key": "50-60", "data_type": "numeric", "frequency": 1, "from": 50, "to": 60},
                {"key": "90-*", "data_type": "numeric", "frequency": 1, "from": 90},
            ],
            "overflow": 0,
        }
    ]


def test_the_service_says_which_aggregations_there_are(http: httpx2.Client, catalog: Catalog) -> None:
    listed = http.get("/aggregations").json()
    assert listed["type"] == "AggregationCollection"
    assert {"name": "total_count", "data_type": "integer"} in listed["aggregations"]
    assert {
        "name": "keywords_frequency", "data_type": "frequency_distribution",
        "frequency_distribution_data_type": "string",
    } in listed["aggregations"]  # fmt: skip
    assert [one["name"] for one in listed["aggregations"]] == list(AGGREGATIONS)
    of_collection = f"/collections/{catalog.collections[0]}"
    assert http.get(f"{of_collection}/aggregations").json()["aggregations"] == listed["aggregations"]
    assert "https://api.stacspec.org/v0.3.0/aggregation" in http.get("/conformance").json()["conformsTo"]
    for document, here in ((http.get("/").json(), ""), (http.get(of_collection).json(), of_collection)):
        links = [link for link in document["links"] if link["rel"].startswith("aggregat")]
        assert {(link["rel"], link["href"].removeprefix(str(http.base_url)), link.get("method")) for link in links} == {
            ("aggregate", f"{here}/aggregate", "GET"),
            ("aggregate", f"{here}/aggregate", "POST"),
            ("aggregations", f"{here}/aggregations", None),
        }


def test_links_that_the_service_makes_are_not_kept(http: httpx2.Client) -> None:
    address = f"/collections/{new_collection(http)}"
    once = http.get(address).json()
    assert http.put(address, json=once).status_code == 200
    assert http.get(address).json()["links"] == once["links"]


def test_an_aggregation_knows_of_the_last_write(http: httpx2.Client) -> None:
    collection = new_collection(http)
    address = f"/collections/{collection}"

    def found() -> tuple[int, int, Any]:
        names = ["total_count", "ingest:bytes", "keywords_frequency"]
        count, size, tags = http.post(f"{address}/aggregate", json={"aggregations": names}).json()["aggregations"]
        return count["value"], size["value"], told(tags)

    assert found() == (0, 0, ([], 0))
    item = next(item for item in make_items() if item["properties"]["datetime"] and tags_of(item) and item["assets"])
    item["assets"]["asset0"]["file:size"] = 7
    for name in ("x", "y"):
        assert http.post(f"{address}/items", json={**item, "id": name, "collection": collection}).status_code == 201
    size, tags = size_of([item]), tags_of(item)
    assert found() == (2, 2 * size, ([(tag, 2) for tag in sorted(tags)], 0))
    change = {"properties": {"keywords": ["new"]}, "assets": {"asset0": {"file:size": 8}}}
    answer = http.patch(f"{address}/items/x", json=change, headers={"Content-Type": "application/merge-patch+json"})
    assert answer.status_code == 200, answer.text
    assert found() == (2, 2 * size + 1, ([(tag, 1) for tag in sorted([*tags, "new"])], 0))
    assert http.delete(f"{address}/items/y").status_code == 204
    assert found() == (1, size + 1, ([("new", 1)], 0))


def test_a_huge_size_harms_nobody(http: httpx2.Client) -> None:
    collection = new_collection(http)
    item = next(make_items())
    asset = {"href": "https://a.example/1.tif", "roles": ["data"], "file:size": 1e300}
    put(http, collection, [{**item, "id": name, "collection": collection, "assets": {"a": asset}} for name in "ab"])
    body = {"aggregations": ["ingest:bytes", "ingest:datetime_summary"]}
    size, summary = http.post(f"/collections/{collection}/aggregate", json=body).json()["aggregations"]
    assert size["value"] == summary["buckets"][0]["ingest:bytes"] == 2e300


def test_of_many_tags_the_most_frequent_are_told(http: httpx2.Client) -> None:
    collection = new_collection(http)
    item = next(make_items())
    tags = {"all": [f"t{number:04}" for number in range(1100)], "some": ["t1099", "t1098"], "last": ["t1097"], "no": []}
    items = [
        {**item, "id": name, "collection": collection, "properties": {**item["properties"], "keywords": own}}
        for name, own in tags.items()
    ]
    put(http, collection, items)
    body: Json = {"collections": [collection], "aggregations": ["keywords_frequency"]}
    buckets, overflow = told(http.post("/aggregate", json=body).json()["aggregations"][0])
    most_frequent = [("t1097", 2), ("t1098", 2), ("t1099", 2)]
    assert buckets == [*most_frequent, *((f"t{number:04}", 1) for number in range(997))]
    assert overflow == 1
    put(http, collection, [{**items[0], "id": "rare", "properties": {**item["properties"], "keywords": ["z"]}}])
    assert told(http.post("/aggregate", json=body).json()["aggregations"][0])[1] == 2
    # The queryables of the service list tags as long as there are not so many.
    assert http.delete(f"/collections/{collection}", params={"cascade": "true"}).status_code == 202
    wait_until(lambda: http.get(f"/collections/{collection}").status_code == 404)


def test_of_many_intervals_the_last_are_told_and_the_sdk_asks_for_the_others(service: Service) -> None:
    start = datetime(2024, 1, 1, tzinfo=UTC)
    with Client(service.url) as client, httpx2.Client(base_url=service.url, timeout=60) as http:
        collection = new_collection(http)
        item = next(make_items())
        times = [start + timedelta(minutes=number) for number in range(1005)]
        put(http, collection, [
            {**item, "id": f"i{number}", "collection": collection, "properties": {"datetime": written(time)}}
            for number, time in enumerate([*times, times[3]])
        ])  # fmt: skip
        body = {"aggregations": ["datetime_frequency"], "datetime_frequency_interval": "minute"}
        buckets, overflow = told(http.post(f"/collections/{collection}/aggregate", json=body).json()["aggregations"][0])
        assert buckets == [(written(time), 1) for time in times[5:]]
        assert overflow == 6
        summaries = ImageSearch(client, (collection,)).summary_interval(interval="minute")
        assert [(one.interval_start, one.count) for one in summaries] == [
            (time, 1 + (time == times[3])) for time in times
        ]


def test_odd_values_of_other_tools_harm_nobody(service: Service) -> None:
    with Client(service.url) as client, httpx2.Client(base_url=service.url, timeout=60) as http:
        collection = new_collection(http)
        item = next(make_items())
        put(http, collection, [{**item, "id": "good", "collection": collection}])
        published = ["soon", "infinity", "0044-03-15 BC", 5]
        with psycopg.connect(service.database_url, options="-c search_path=pgstac,public") as connection:
            for number, odd in enumerate(published):
                properties = {"datetime": "2024-01-01T00:00:00Z", "published": odd, "eo:cloud_cover": "cloudy"}
                written = {**item, "id": f"odd{number}", "collection": collection, "properties": properties}
                connection.execute("SELECT create_item(%s)", [Jsonb(written)])
        body = {"aggregations": ["ingest:published_summary", "cloud_cover_frequency"]}
        found = http.post(f"/collections/{collection}/aggregate", json=body).json()["aggregations"]
        assert [one["overflow"] for one in found] == [5, 4]
        assert ImageSearch(client, (collection,)).summary_interval("published") == []
        assert ImageSearch(client, (collection,)).summary().count == 5


# --- What cannot be


@pytest.mark.parametrize(
    "wrong",
    [
        {"aggregations": ["total_count", "cloudiness"]},
        {"aggregations": "total_count"},
        {"aggregations": [5]},
        {"aggregations": [["total_count"]]},
        {"aggregations": {"total_count": True}},
        {"datetime_frequency_interval": "decade"},
        {"datetime_frequency_interval": ["month"]},
        {"bbox": [1, 2, 3]},
        {"datetime": "soon"},
    ],
)
def test_what_cannot_be_asked_for_is_refused(http: httpx2.Client, catalog: Catalog, wrong: Json) -> None:
    for address in ("/aggregate", f"/collections/{catalog.collections[0]}/aggregate"):
        detail = refused(http.post(address, json=wrong), 400, "INVALID_PARAMETER")
        assert next(iter(wrong)) in detail
        if "aggregations" in wrong:
            assert "collection_frequency, platform_frequency" in detail


def test_other_bad_requests(http: httpx2.Client, catalog: Catalog) -> None:
    refused(http.get("/aggregate", params={"aggregations": "x"}), 400, "INVALID_PARAMETER")
    refused(http.get("/aggregate", params={"datetime_frequency_interval": "x"}), 400, "INVALID_PARAMETER")
    refused(http.get("/aggregate", params={"filter": "a ="}), 400, "INVALID_FILTER")
    refused(http.post("/aggregate", json={"filter": "a = "}), 400, "INVALID_FILTER")
    refused(http.post("/aggregate", json=[]), 400, "INVALID_PARAMETER")
    refused(http.post("/aggregate", content=b"{"), 400, "INVALID_REQUEST")
    for path in ("aggregate", "aggregations"):
        refused(http.get(f"/collections/absent/{path}"), 404, "COLLECTION_NOT_FOUND")
    refused(http.post("/collections/absent/aggregate", json={}), 404, "COLLECTION_NOT_FOUND")
    refused(http.post("/aggregations", json={}), 405, "METHOD_NOT_ALLOWED")


# --- The statement


def test_what_the_index_of_tags_holds_is_read_there() -> None:
    def tables(**asked: Any) -> set[str]:
        text = statement_of(search_from_body(asked), wanted_from_body(asked)).text
        return {table for table in ("tagged", "documents") if f"stac_ingest.{table}" in text}

    assert tables(aggregations=["total_count", "datetime_frequency"], filter="tag = 'a'") == {"tagged"}
    assert tables(aggregations=["total_count", "ingest:bytes"], filter="tag = 'a'") == {"tagged", "documents"}
    assert tables(aggregations=["total_count"], filter="tag = 'a' AND gsd = 5") == {"tagged", "documents"}
    assert tables(aggregations=["total_count"], filter="tag <> 'a'") == {"documents"}
