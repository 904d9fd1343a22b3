"""What a search asks for: the members of Item Search (STAC API 1.0), checked, from a query or from a body."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any
from urllib.parse import unquote_plus

from stac_fastapi.pgstac.utils import clean_exclude_set

from api.bodies import require_storable
from api.stac import cql2
from api.stac.conditions import shape_of
from stac_ingest.errors import RequestError
from stac_ingest.models.values import moment_of, timestamp_text

MOST = 10_000
"""Items of a page at the most; a larger limit is taken for this one, as OGC API Features asks."""
DEFAULT = 10
MOST_SORT_KEYS = 20
MOST_TOKEN = 8000
"""Characters of a token at the most."""

_QUERIES = {
    **{"eq": "=", "neq": "<>", "lt": "<", "lte": "<=", "gt": ">", "gte": ">=", "in": "in"},
    **{"startsWith": "{}%", "endsWith": "%{}", "contains": "%{}%"},
}
"""Operators of the Query extension, as CQL2 or as the pattern of LIKE."""
BEGINNING = datetime.min.replace(tzinfo=UTC)
"""The first moment of a period that has no start."""
_END = datetime.max.replace(tzinfo=UTC)
_DEFAULT_FIELDS = ("type", "stac_version", "id", "geometry", "bbox", "links", "assets", "properties.datetime")
_OPEN = ("", "..")
_CRS84 = "http://www.opengis.net/def/crs/OGC/1.3/CRS84"


@dataclass(frozen=True)
class SortKey:
    """A property that results are sorted by."""

    name: str
    descending: bool = False


@dataclass(frozen=True)
class Fields:
    """Which members of the Items are wanted; neither: all."""

    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Search:
    """A search for Items."""

    collections: tuple[str, ...] | None = None
    ids: tuple[str, ...] | None = None
    area: Any = None
    """GeoJSON geometry in WGS 84, from `bbox` or `intersects`."""
    period: tuple[datetime, datetime] | None = None
    """First and last moment."""
    filter: cql2.Expression = None
    """A condition as `cql2.parse` returns it."""
    order: tuple[SortKey, ...] = ()
    fields: Fields | None = None
    limit: int = DEFAULT
    token: str | None = None


def search_from_query(query: Mapping[str, str]) -> Search:
    """Return the search that the parameters of a GET ask for.

    Raises:
        RequestError: 400 `INVALID_PARAMETER` or `INVALID_FILTER`; names what was expected.
    """
    given = {name: text for name, text in query.items() if text}
    members: dict[str, Any] = {
        name: given[name] for name in ("datetime", "token", "filter", "filter-lang") if name in given
    }
    members |= {name: given[name].split(",") for name in ("collections", "ids", "bbox") if name in given}
    members |= {name: _parsed(name, given[name]) for name in ("intersects", "query") if name in given}
    if "filter-crs" in given:
        members["filter-crs"] = given["filter-crs"]
    if "bbox" in members:
        members["bbox"] = [_number(text, "bbox") for text in members["bbox"]]
    if "limit" in given:
        members["limit"] = _whole(given["limit"])
    if "sortby" in given:
        members["sortby"] = [_sort_key(text) for text in given["sortby"].split(",")]
    if "fields" in given:
        names = [text.strip() for text in given["fields"].split(",") if text.strip("+- ")]
        include = [name.removeprefix("+") for name in names if not name.startswith("-")]
        exclude = [name.removeprefix("-") for name in names if name.startswith("-")]
        members["fields"] = {**({"include": include} if include else {}), "exclude": exclude}
    return search_from_body(members)


def search_from_body(body: object) -> Search:
    """Return the search that the body of a POST asks for; raises as `search_from_query`."""
    if not isinstance(body, dict):
        raise _refused("body", "a JSON object", body)
    require_storable({name: value for name, value in body.items() if name != "filter"})
    if body.get("bbox") is not None and body.get("intersects") is not None:
        raise _refused("bbox", "either bbox or intersects", "both")
    return Search(
        collections=_texts(body.get("collections"), "collections"),
        ids=_texts(body.get("ids"), "ids"),
        area=_area(body.get("bbox"), body.get("intersects")),
        period=_period(body.get("datetime")),
        filter=_filter(body),
        order=_order(body.get("sortby")),
        fields=_fields(body),
        limit=_limit(body.get("limit")),
        token=_token(body.get("token")),
    )


def collection_search_from_query(query: Mapping[str, str]) -> dict[str, Any]:
    """Return the search for Collections that the parameters of a GET ask for, as pgstac's collection_search takes it.

    Raises:
        RequestError: As `search_from_query`.
    """
    search = search_from_query({name: text for name, text in query.items() if name not in ("limit", "offset")})
    wanted: dict[str, Any] = {}
    if search.area is not None:
        wanted["intersects"] = search.area
    if search.period is not None:
        wanted["datetime"] = "/".join(timestamp_text(moment) for moment in search.period)
    is_collection = {"op": "=", "args": [{"property": "type"}, "Collection"]}
    wanted["filter"] = is_collection if search.filter is None else {"op": "and", "args": [is_collection, search.filter]}
    if search.order:
        names = [(".".join(cql2.keys_of(key.name)), "desc" if key.descending else "asc") for key in search.order]
        wanted["sortby"] = [{"field": name, "direction": direction} for name, direction in names]
    if search.fields is not None:
        wanted["fields"] = {"include": list(search.fields.include), "exclude": list(search.fields.exclude)}
    if words := [word.strip() for word in query.get("q", "").split(",") if word.strip()]:
        wanted["q"] = words
    return wanted


def _filter(body: dict[str, Any]) -> cql2.Expression:
    language, crs = body.get("filter-lang"), body.get("filter-crs")
    if language not in (None, "cql2-text", "cql2-json"):
        raise _refused("filter-lang", "cql2-text or cql2-json", language)
    if crs not in (None, _CRS84):
        raise _refused("filter-crs", _CRS84, crs)
    conditions = []
    if (condition := body.get("filter")) is not None:
        conditions.append(cql2.parse(condition, language))
    if (query := body.get("query")) is not None:
        conditions.append(cql2.parse(_query(query), "cql2-json"))
    return {"op": "and", "args": conditions} if len(conditions) > 1 else next(iter(conditions), None)


def _query(query: object) -> cql2.Expression:
    """Return the conditions of the Query extension as CQL2."""
    if not isinstance(query, dict) or not all(isinstance(asked, dict) for asked in query.values()):
        raise _refused("query", 'an object such as {"eo:cloud_cover": {"lt": 10}}', query)
    conditions: list[cql2.Expression] = []
    for name, asked in query.items():
        for operator, value in asked.items():
            if operator not in _QUERIES:
                raise _refused("query", f"one of the operators {', '.join(_QUERIES)}", operator)
            written = _QUERIES[operator]
            if "{}" in written:
                escaped = re.sub(r"([\\%_])", r"\\\1", str(value))
                written, value = "like", written.format(escaped)
            conditions.append({"op": written, "args": [{"property": name}, value]})
    return {"op": "and", "args": conditions} if conditions else True


def _area(bbox: object, geometry: object) -> Any:
    if geometry is not None:
        if not isinstance(geometry, dict):
            raise _refused("intersects", "a GeoJSON geometry", geometry)
        geometry = geometry.get("geometry") if geometry.get("type") == "Feature" else geometry
        try:
            shape_of(geometry)
        except ValueError as error:
            raise _refused("intersects", f"a GeoJSON geometry ({error})", geometry) from error
        return geometry
    if bbox is None:
        return None
    if not isinstance(bbox, list) or len(bbox) not in (4, 6) or not all(map(_is_finite, bbox)):
        raise _refused("bbox", "4 or 6 numbers: west, south, east, north", bbox)
    west, south, east, north = bbox if len(bbox) == 4 else (bbox[0], bbox[1], bbox[3], bbox[4])
    if not (-180 <= west <= 180 and -180 <= east <= 180 and -90 <= south <= north <= 90):
        raise _refused("bbox", "west and east from -180 to 180, and south not above north from -90 to 90", bbox)
    if len(bbox) == 6 and bbox[2] > bbox[5]:
        raise _refused("bbox", "the lower height before the upper one", bbox)
    return cql2.area_of(bbox)


def _period(text: object) -> tuple[datetime, datetime] | None:
    """Return the first and the last moment of a time in RFC 3339, or of two with a slash between.

    A single time has to be complete, as the STAC API wants it. Of two, clients such as QGIS may leave out the zone,
    which is UTC then, and a day is all of its time.
    """
    if text is None:
        return None
    if not isinstance(text, str):
        raise _refused("datetime", "a text", text)
    start, slash, end = text.partition("/")
    try:
        if not slash:
            return (_complete_moment(text),) * 2
        if start in _OPEN and end in _OPEN:
            raise ValueError("a period without ends")
        first = BEGINNING if start in _OPEN else _moments(start)[0]
        last = _END if end in _OPEN else _moments(end)[1]
    except ValueError as error:
        wanted = "a time such as 2024-05-01T10:00:00Z, or two with a slash between, of which one may be .. or a day,"
        raise _refused("datetime", wanted, text) from error
    if first > last:
        raise _refused("datetime", "the earlier time before the later one", text)
    return first, last


def _complete_moment(text: str) -> datetime:
    if not re.search(r"([Zz]|[+-]\d\d:\d\d)$", text[10:]):
        raise ValueError("no zone")
    return moment_of(text)


def _moments(text: str) -> tuple[datetime, datetime]:
    if re.fullmatch(r"\d{4}-\d\d-\d\d", text):
        day = date.fromisoformat(text)
        start = datetime(day.year, day.month, day.day, tzinfo=UTC)
        return start, start + timedelta(days=1, microseconds=-1)
    return (moment_of(text),) * 2


def _order(sortby: object) -> tuple[SortKey, ...]:
    keys = sortby if isinstance(sortby, list) else [] if sortby is None else [sortby]
    if len(keys) > MOST_SORT_KEYS:
        raise _refused("sortby", f"at most {MOST_SORT_KEYS} properties", len(keys))
    return tuple(_checked_key(key) for key in keys)


def _checked_key(key: object) -> SortKey:
    if not isinstance(key, dict) or not isinstance(key.get("field"), str) or not key["field"].strip():
        raise _refused("sortby", 'objects such as {"field": "datetime", "direction": "desc"}', key)
    direction = key.get("direction", "asc")
    if direction not in ("asc", "desc"):
        raise _refused("sortby", "the direction asc or desc", direction)
    return SortKey(key["field"], descending=direction == "desc")


def _sort_key(text: str) -> dict[str, str]:
    name = unquote_plus(text).strip()
    return {"field": name.lstrip("+-"), "direction": "desc" if name.startswith("-") else "asc"}


def _fields(body: dict[str, Any]) -> Fields | None:
    """Return which fields are wanted (Fields extension 1.0): what is included is not excluded."""
    if "fields" not in body:
        return None
    fields = body["fields"]
    if not isinstance(fields, dict):
        raise _refused("fields", 'an object such as {"include": ["id"], "exclude": ["links"]}', fields)
    include, exclude = (_texts(fields.get(side), f"fields.{side}") or () for side in ("include", "exclude"))
    if exclude and not include and "include" in fields:
        return Fields(tuple(name for name in _DEFAULT_FIELDS if name not in exclude), exclude)
    kept = clean_exclude_set(set(exclude), set(include))
    return Fields(include, tuple(sorted(kept))) if include or exclude else None


def _limit(limit: object) -> int:
    if limit is None:
        return DEFAULT
    if isinstance(limit, bool) or not isinstance(limit, int) or limit < 1:
        raise _refused("limit", f"a whole number from 1 to {MOST}", limit)
    return min(limit, MOST)


def _texts(values: object, name: str) -> tuple[str, ...] | None:
    if values is None:
        return None
    if not isinstance(values, list | tuple) or not all(isinstance(value, str) for value in values):
        raise _refused(name, "a list of texts", values)
    return tuple(values)


def _token(token: object) -> str | None:
    if token is None or (isinstance(token, str) and len(token) <= MOST_TOKEN):
        return token
    raise _refused("token", "what a link to another page holds", token)


def _parsed(name: str, text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise _refused(name, "JSON", text) from error


def _number(text: str, name: str) -> float:
    try:
        return float(text)
    except ValueError as error:
        raise _refused(name, "numbers", text) from error


def _whole(text: str) -> int:
    if not re.fullmatch(r"[+-]?\d{1,18}", text.strip()):
        raise _refused("limit", f"a whole number from 1 to {MOST}", text)
    return int(text)


def _is_finite(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _refused(name: str, expected: str, found: object) -> RequestError:
    shown = found if isinstance(found, str) else json.dumps(found, default=str)
    return RequestError(400, "INVALID_PARAMETER", f"Expected {expected} as {name}, found {shown[:200]!r}.")
