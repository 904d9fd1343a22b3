"""What a search asks for: from a query, from a body, and what is refused."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from api.stac.search import (
    BEGINNING,
    MOST,
    Fields,
    Search,
    SortKey,
    collection_search_from_query,
    search_from_body,
    search_from_query,
)
from stac_ingest.errors import RequestError

MAY = datetime(2024, 5, 1, tzinfo=UTC)
DAY = timedelta(days=1, microseconds=-1)


def test_a_query_and_a_body_ask_for_the_same() -> None:
    query = {
        "collections": "a,b",
        "ids": "x",
        "bbox": "10,45,12,47",
        "datetime": "2024-05-01T00:00:00Z/..",
        "limit": "5",
        "sortby": "-properties.datetime,+id,eo:cloud_cover",
        "fields": "id,properties.gsd,-links",
        "filter": "tag = 'x'",
        "query": '{"gsd": {"lt": 5, "startsWith": "a%"}}',
        "token": "t",
    }
    body = {
        "collections": ["a", "b"],
        "ids": ["x"],
        "bbox": [10, 45, 12, 47],
        "datetime": "2024-05-01T00:00:00Z/..",
        "limit": 5,
        "sortby": [
            {"field": "properties.datetime", "direction": "desc"},
            {"field": "id", "direction": "asc"},
            {"field": "eo:cloud_cover"},
        ],
        "fields": {"include": ["id", "properties.gsd"], "exclude": ["links"]},
        "filter": {"op": "=", "args": [{"property": "tag"}, "x"]},
        "query": {"gsd": {"lt": 5, "startsWith": "a%"}},
        "token": "t",
    }
    search = search_from_query(query)
    assert search == search_from_body(body)
    assert search.order == (SortKey("properties.datetime", True), SortKey("id"), SortKey("eo:cloud_cover"))
    assert search.fields == Fields(("id", "properties.gsd"), ("links",))
    assert search.period is not None
    assert search.period[0] == MAY
    gsd = {"property": "gsd"}
    assert search.filter == {
        "op": "and",
        "args": [
            {"op": "a_contains", "args": [{"property": "keywords"}, ["x"]]},
            {"op": "and", "args": [{"op": "<", "args": [gsd, 5]}, {"op": "like", "args": [gsd, "a\\%%"]}]},
        ],
    }


def test_what_is_included_is_not_excluded() -> None:
    def fields(**sides: Any) -> Any:
        return search_from_body({"fields": sides}).fields

    assert fields(exclude=["a"]) == Fields((), ("a",))
    assert fields(include=["a"], exclude=["a", "b"]) == Fields(("a",), ("b",))
    assert fields(include=["a.b"], exclude=["a"]) == Fields(("a.b",), ())
    for nothing in (list[str](), None):
        assert fields(include=nothing, exclude=["links"]).exclude == ("links",)
        assert "properties.datetime" in fields(include=nothing, exclude=["links"]).include
    assert search_from_query({"fields": "-a"}).fields == Fields((), ("a",))


def test_nothing_asked_is_everything() -> None:
    assert search_from_query({}) == search_from_query({"bbox": "", "fields": ",", "ids": ""}) == Search()
    assert search_from_body({"bbox": None, "limit": None, "fields": {}}) == Search()
    assert search_from_body({"limit": 20_000}).limit == MOST
    assert search_from_query({"limit": "+7"}).limit == 7


@pytest.mark.parametrize(
    ("text", "period"),
    [
        ("2024-05-01T00:00:00Z", (MAY, MAY)),
        ("2024-05-01t02:00:00+02:00", (MAY, MAY)),
        ("2024-05-01/2024-05-01", (MAY, MAY + DAY)),
        ("2024-05-01/2024-05-02", (MAY, MAY + timedelta(days=1) + DAY)),
        ("2024-05-01T00:00:00/2024-05-01T00:00:00.5", (MAY, MAY + timedelta(milliseconds=500))),
        ("2024-05-01T00:00:00.1234567Z/..", (MAY + timedelta(microseconds=123456), None)),
        ("../2024-05-01T23:59:60Z", (BEGINNING, MAY + timedelta(hours=23, minutes=59, seconds=59))),
        ("/2024-05-01T00:00:00Z", (BEGINNING, MAY)),
    ],
)
def test_times_as_clients_write_them(text: str, period: tuple[datetime, datetime | None]) -> None:
    found = search_from_query({"datetime": text}).period
    assert found is not None
    assert found[0] == period[0]
    assert found[1] == period[1] or (period[1] is None and found[1].year == 9999)


def test_an_area_over_the_antimeridian_is_two() -> None:
    area = search_from_query({"bbox": "170,-5,-175,5"}).area
    assert area["type"] == "MultiPolygon"
    assert area == search_from_query({"bbox": "170,-5,0,-175,5,100"}).area
    feature = {"type": "Feature", "geometry": {"type": "Point", "coordinates": [1, 2]}, "properties": {}}
    assert search_from_body({"intersects": feature}).area == feature["geometry"]


@pytest.mark.parametrize(
    ("body", "named"),
    [
        ([], "body"),
        ({"bbox": [1, 2, 3]}, "bbox"),
        ({"bbox": [1, 2, 3, "4"]}, "bbox"),
        ({"bbox": [1, 2, 3, True]}, "bbox"),
        ({"bbox": [1, 50, 3, 40]}, "bbox"),
        ({"bbox": [-181, 2, 3, 4]}, "bbox"),
        ({"bbox": [1, 2, 9, 3, 4, 5]}, "bbox"),
        ({"bbox": [1, 2, 3, 4], "intersects": {"type": "Point", "coordinates": [1, 2]}}, "bbox or intersects"),
        ({"intersects": "POINT(1 2)"}, "intersects"),
        ({"intersects": {}}, "intersects"),
        ({"intersects": {"type": "Polygon", "coordinates": []}, "filter": "tag = 'x'"}, "intersects"),
        ({"intersects": {"type": "Feature", "geometry": None}}, "intersects"),
        ({"datetime": 2024}, "datetime"),
        ({"datetime": "../.."}, "datetime"),
        ({"datetime": "2024"}, "datetime"),
        ({"datetime": "2024-05-01"}, "datetime"),
        ({"datetime": "2024-05-01T00:00:00"}, "datetime"),
        ({"datetime": "2024-05-01T00:00:61Z"}, "datetime"),
        ({"datetime": "2024-05-01/2024"}, "datetime"),
        ({"datetime": "2024-05-01T00:00:00,5Z"}, "datetime"),
        ({"datetime": "2024-05-01T00:00:00+0200"}, "datetime"),
        ({"datetime": "2024-13-01"}, "datetime"),
        ({"datetime": "2024-05-02/2024-05-01"}, "datetime"),
        ({"datetime": "0000-05-02T00:00:00Z"}, "datetime"),
        ({"limit": 0}, "limit"),
        ({"limit": True}, "limit"),
        ({"limit": "5"}, "limit"),
        ({"ids": "a"}, "ids"),
        ({"collections": [1]}, "collections"),
        ({"sortby": [{"field": "a", "direction": "up"}]}, "sortby"),
        ({"sortby": ["a"]}, "sortby"),
        ({"fields": ["a"]}, "fields"),
        ({"fields": None}, "fields"),
        ({"fields": {"include": "a"}}, "fields.include"),
        ({"filter-lang": "sql"}, "filter-lang"),
        ({"filter-crs": "EPSG:4326"}, "filter-crs"),
        ({"query": {"a": 1}}, "query"),
        ({"query": {"a": {"near": 1}}}, "query"),
        ({"token": 5}, "token"),
    ],
)
def test_what_is_wrong_is_named(body: Any, named: str) -> None:
    with pytest.raises(RequestError, match=named) as caught:
        search_from_body(body)
    assert (caught.value.status, caught.value.code) == (400, "INVALID_PARAMETER")


@pytest.mark.parametrize("query", [{"limit": "x"}, {"limit": "1" * 30}, {"bbox": "a,b,c,d"}, {"intersects": "{"}])
def test_what_is_no_number_and_no_json(query: dict[str, str]) -> None:
    with pytest.raises(RequestError, match=next(iter(query))):
        search_from_query(query)


def test_a_search_for_collections_as_pgstac_takes_it() -> None:
    wanted = collection_search_from_query({"q": "snow, ice", "sortby": "-title", "fields": "id", "limit": "x"})
    assert wanted == {
        "filter": {"op": "=", "args": [{"property": "type"}, "Collection"]},
        "sortby": [{"field": "title", "direction": "desc"}],
        "fields": {"include": ["id"], "exclude": []},
        "q": ["snow", "ice"],
    }
