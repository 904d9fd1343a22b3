"""How the reading side is described in the OpenAPI document; what is accepted is decided in `api.stac.search`."""

from __future__ import annotations

from typing import Any

from api.stac.aggregates import AGGREGATIONS, DEFAULT_INTERVAL
from api.stac.search import DEFAULT, MOST
from stac_ingest.models.enums import Interval

Described = dict[str, Any]


def parameters(*described: Described) -> Described:
    """Return parameters of a query as a part of an operation."""
    return {"parameters": list(described)}


def answer(media_type: str, description: str) -> Described:
    """Return what an operation answers when all is well, as a part of it."""
    return {"responses": {"200": {"description": description, "content": {media_type: {"schema": {"type": "object"}}}}}}


def body(schema: Described) -> Described:
    """Return the JSON body of an operation as a part of it."""
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": schema}}}}


def _parameter(name: str, description: str, **schema: Any) -> Described:
    return {"name": name, "in": "query", "required": False, "description": description, "schema": schema}


_TEXT: Described = {"type": "string"}
_BBOX = _parameter(
    "bbox",
    "West, south, east, north, in degrees; west > east crosses the antimeridian.",
    **{"type": "string", "pattern": r"^-?[\d.]+(,-?[\d.]+){3}((,-?[\d.]+){2})?$", "example": "10,45,12,47"},
)
_DATETIME = _parameter(
    "datetime",
    "A time in RFC 3339, or two with a slash between; of two, one may be `..`, or a day, or without zone, in UTC.",
    type="string",
    example="2024-05-01T00:00:00Z/..",
)
_LIMIT = _parameter(
    "limit", "How many on a page at the most.", type="integer", minimum=1, maximum=MOST, default=DEFAULT
)
_FILTER = [
    _parameter("filter", "A condition in CQL2.", type="string", example="tag = 'reviewed' AND eo:cloud_cover < 20"),
    _parameter(
        "filter-lang",
        "How it is written; unset: whichever it looks like.",
        type="string",
        enum=["cql2-text", "cql2-json"],
    ),
    _parameter(
        "filter-crs", "Of its geometries.", type="string", enum=["http://www.opengis.net/def/crs/OGC/1.3/CRS84"]
    ),
]
_SORTBY = _parameter("sortby", "Properties, with + or - before them.", type="string", example="-properties.datetime")
_FIELDS = _parameter("fields", "Members that are wanted, or with - not.", type="string", example="id,properties,-links")
_QUERY = _parameter("query", "Conditions of the Query extension, as JSON.", type="string")
_TOKEN = _parameter("token", "From a link to the next or previous page.", type="string")

_ANYWHERE = [
    _parameter("collections", "Ids, with commas between.", type="string"),
    _parameter("ids", "Ids of Items, with commas between.", type="string"),
    _parameter("intersects", "A GeoJSON geometry.", type="string"),
]
_AGGREGATIONS = [
    _parameter("aggregations", "Names, with commas between; `/aggregations` lists them.", type="string"),
    _parameter(
        "datetime_frequency_interval",
        "How long the intervals are by which times are counted, in UTC.",
        type="string",
        enum=list(Interval),
        default=DEFAULT_INTERVAL,
    ),
]

ITEMS = [_BBOX, _DATETIME, _LIMIT, *_FILTER, _SORTBY, _FIELDS, _QUERY, _TOKEN]
SEARCH = [*_ANYWHERE, *ITEMS]
AGGREGATE_ITEMS = [_BBOX, _DATETIME, *_FILTER, _QUERY, *_AGGREGATIONS]
AGGREGATE = [*_ANYWHERE, *AGGREGATE_ITEMS]
COLLECTION_SEARCH = [
    _BBOX,
    _DATETIME,
    _parameter("limit", "How many on a page at the most.", type="integer", minimum=1, maximum=MOST, default=100),
    _parameter("offset", "How many to leave out.", type="integer", minimum=0),
    _parameter("q", "Words in title, description and keywords.", type="string"),
    *_FILTER,
    _SORTBY,
    _FIELDS,
    _QUERY,
]

_TEXTS: Described = {"type": "array", "items": _TEXT}
_MATCHING: Described = {
    "collections": _TEXTS,
    "ids": _TEXTS,
    "bbox": {"type": "array", "items": {"type": "number"}, "minItems": 4, "maxItems": 6},
    "intersects": {"type": "object", "description": "A GeoJSON geometry."},
    "datetime": _DATETIME["schema"],
    "filter": {
        "description": "A condition in CQL2-JSON or as CQL2 text.",
        "anyOf": [{"type": "object"}, {"type": "string"}, {"type": "boolean"}],
    },
    "filter-lang": _FILTER[1]["schema"],
    "filter-crs": _FILTER[2]["schema"],
    "query": {"type": "object", "additionalProperties": {"type": "object"}},
}
SEARCH_BODY: Described = {
    "type": "object",
    "properties": {
        **_MATCHING,
        "limit": _LIMIT["schema"],
        "sortby": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["field"],
                "properties": {"field": _TEXT, "direction": {"type": "string", "enum": ["asc", "desc"]}},
            },
        },
        "fields": {"type": "object", "properties": {"include": _TEXTS, "exclude": _TEXTS}},
        "token": _TEXT,
    },
    "example": {"collections": ["naip"], "filter": {"op": "=", "args": [{"property": "tag"}, "reviewed"]}, "limit": 10},
}
AGGREGATE_BODY: Described = {
    "type": "object",
    "properties": {
        **_MATCHING,
        "aggregations": {"type": "array", "items": {"type": "string", "enum": list(AGGREGATIONS)}},
        "datetime_frequency_interval": _AGGREGATIONS[1]["schema"],
    },
    "example": {"collections": ["naip"], "aggregations": ["total_count", "datetime_frequency"]},
}
