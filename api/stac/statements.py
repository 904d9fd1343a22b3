"""From a search to the one statement that answers it.

The newest Items come first, and paging is by key: a token holds what the last Item of a page is sorted by, so the next
page begins behind it, whatever has been added or deleted meanwhile, and an index leads there. A search for a tag reads
an index of that tag in which the newest come first; PostgreSQL chooses among the others.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import orjson
import shapely

from api.stac.conditions import TIMES, Condition, Values, geometry_of, shape_of
from api.stac.cql2 import is_tags, keys_of
from api.stac.search import BEGINNING, Search, SortKey
from api.stac.tags import leading_tag
from stac_ingest.errors import RequestError

MOST_LOOKED_UP = 300
"""Items with a tag that are looked up one by one to count those that meet the rest of a search."""
FUZZINESS = 1e-5
"""More degrees than by which PostgreSQL takes boxes as equal (1e-6)."""
NEWEST_FIRST = (SortKey("datetime", descending=True),)
_COLUMNS = {"id": "text", "collection": "text", "datetime": "timestamptz"}


@dataclass(frozen=True)
class Statement:
    """SQL and the values that it binds."""

    text: str
    values: tuple[Any, ...]


@dataclass(frozen=True)
class Key:
    """What results are sorted by, as SQL."""

    sql: str
    kind: str
    descending: bool
    nullable: bool

    def order(self, *, reverse: bool) -> str:
        """Return the key's part of ORDER BY; what has no value comes last, in a reversed walk first."""
        direction = "DESC" if self.descending is not reverse else "ASC"
        return f"{self.sql} {direction}{f' NULLS {"FIRST" if reverse else "LAST"}' if self.nullable else ''}"


@dataclass(frozen=True)
class Found:
    """Where the Items of a search lie, as SQL."""

    first: str
    """The table that is read first, of which ids and times are asked."""
    conditions: tuple[str, ...]
    """What holds of them."""
    inside: str | None = None
    """What says without looking them up that Items lie in the area that is searched, where that can be said."""

    @property
    def where(self) -> str:
        """All conditions as one."""
        return _all_of(self.conditions)

    def counting(self, most: int) -> str:
        """Return the query that counts them, and says whether exactly; null are more than `most`.

        Where Items with a tag have to be looked up to know, only so many of the newest are. If there are others, how
        many of these hold, and the time that these take of all, tell how many there may be.
        """
        looked_up = [condition for condition in self.conditions if "documents." in condition]
        if self.first == "documents" or not looked_up:
            counted = f"SELECT FROM {self.tables()} WHERE {self.where} LIMIT {most + 1}"
            return f"SELECT nullif(count(*), {most + 1}) AS count, TRUE AS exact FROM ({counted}) AS found"
        known = _all_of(condition for condition in self.conditions if condition not in looked_up)
        # As a value, the condition is looked up for each candidate; as a join, it might be read of all documents.
        holds = (
            f"(SELECT {_all_of(looked_up)} FROM stac_ingest.documents"
            " WHERE documents.collection = tagged.collection AND documents.id = tagged.id)"
        )
        if self.inside and len(looked_up) == 1:
            holds = f"({self.inside} OR {holds})"
        newest = (
            f"SELECT count(*) <= {MOST_LOOKED_UP} AS exact, count(*) FILTER (WHERE {holds}) AS holding,"
            " extract(epoch FROM max(datetime) - min(datetime)) AS seconds, max(datetime) AS last"
            f" FROM (SELECT * FROM stac_ingest.tagged WHERE {known} ORDER BY datetime DESC LIMIT {MOST_LOOKED_UP + 1})"
            " AS tagged"
        )
        first = f"SELECT min(datetime) FROM stac_ingest.tagged WHERE {known}"
        return (
            "SELECT CASE WHEN exact THEN holding ELSE"
            f" (nullif(holding, 0) * extract(epoch FROM last - ({first})) / nullif(seconds, 0))::bigint END AS count,"
            f" exact FROM ({newest}) AS newest"
        )

    def estimating(self) -> str:
        """Return what asks for the plan of counting them all; of a box PostgreSQL knows no more than that it is one."""
        known = [condition for condition in self.conditions if not condition.startswith("tagged.extent")]
        return f"EXPLAIN (FORMAT JSON) SELECT FROM {self.tables()} WHERE {_all_of(known)}"

    def tables(self, read: str = "") -> str:
        """Return the tables that hold the condition and what is `read`: the index of the tags alone where it does."""
        if self.first == "documents":
            return "stac_ingest.documents"
        joined = "stac_ingest.tagged JOIN stac_ingest.documents USING (collection, id)"
        return joined if "documents." in self.where + read else "stac_ingest.tagged"


@dataclass(frozen=True)
class Page:
    """The statement of a page, and what its rows are sorted by."""

    statement: Statement
    count: Statement
    """Counts all Items of the search, or says about how many there are; null: there are more than the limit."""
    estimate: Statement
    """Asks for the plan of counting them all."""
    backwards: bool
    """Whether its rows come in the reverse order."""
    keys: int

    def keys_of(self, row: Mapping[str, Any]) -> list[str | None]:
        """Return what a row is sorted by, as texts."""
        return [row[f"key_{index}"] for index in range(self.keys)]


def page_of(search: Search, count_limit: int) -> Page:
    """Return the statements of a search.

    Raises:
        RequestError: 400 `INVALID_FILTER`, `INVALID_PARAMETER`.
    """
    values = Values()
    found = found_by(search, values)
    keys = keys_of_order(search, values, found.first)
    backwards, after = _position(search.token, keys)
    source, where = found.tables("documents."), found.where
    if after is not None:
        where = f"{where} AND {_behind(keys, after, values, backwards=backwards)}"
    order = ", ".join(key.order(reverse=backwards) for key in keys)
    shown = ", ".join(f"({key.sql})::text AS key_{index}" for index, key in enumerate(keys))
    changed = _changed(search, values)
    return Page(
        statement=numbered(
            "SELECT documents.collection, documents.id, documents.document, documents.links, documents.plain,"
            f" {shown}, {changed} AS state FROM {source} WHERE {where} ORDER BY {order} LIMIT {search.limit + 1}",
            values,
        ),
        count=numbered(f"SELECT {changed} AS state, counted.* FROM ({found.counting(count_limit)}) AS counted", values),
        estimate=numbered(found.estimating(), values),
        keys=len(keys),
        backwards=backwards,
    )


def numbered(sql: str, values: Values) -> Statement:
    """Return SQL with the values that it names."""
    text, bound = values.numbered(sql)
    return Statement(text, tuple(bound))


def _changed(search: Search, values: Values) -> str:
    """Return SQL that is the same number as long as the Items of the collections are the same."""
    summed = "(SELECT sum(transactions)::bigint FROM stac_ingest.changes"
    if search.collections is None:
        return f"{summed})"
    return f"{summed} WHERE changes.collection = ANY ({values.bind(list(search.collections), 'text[]')}))"


def found_by(search: Search, values: Values) -> Found:
    """Return where the Items of a search lie; raises as `page_of`."""
    tag, rest = leading_tag(search.filter)
    conditions = tuple(_conditions(replace(search, filter=rest), values, tag))
    if tag is None:
        return Found("documents", conditions)
    within = _box_within(search.area)
    inside = f"tagged.extent <@ {values.bind(within, 'text::box')}" if within else None
    return Found("tagged", conditions, inside)


def _all_of(conditions: Iterable[str]) -> str:
    return " AND ".join(conditions) or "TRUE"


def _conditions(search: Search, values: Values, tag: str | None) -> Iterator[str]:
    # What an index of the tags holds too is asked of it, so that others are not looked up.
    first = "tagged" if tag is not None else "documents"
    if tag is not None:
        yield f"tagged.tag = {values.bind(tag, 'text')}"
    if search.collections is not None:
        yield _one_of(f"{first}.collection", search.collections, values)
    if search.ids is not None:
        yield _one_of(f"{first}.id", search.ids, values)
    if search.period is not None:
        start, end = (values.bind(moment, "timestamptz") for moment in search.period)
        yield f"{first}.datetime <= {end} AND {first}.end_datetime >= {start}"
        if search.period[0] > BEGINNING:
            yield f"{first}.datetime >= stac_ingest.earliest({start})"
    if search.area is not None:
        yield f"ST_Intersects(documents.geometry, {geometry_of(search.area, values)})"
        if tag is not None:
            yield f"tagged.extent && {values.bind(_extent(search.area), 'text::box')}"
    if search.filter is not None:
        yield Condition(values, first).sql(search.filter)


def _one_of(column: str, texts: Sequence[str], values: Values) -> str:
    if len(texts) == 1:
        return f"{column} = {values.bind(texts[0], 'text')}"
    return f"{column} = ANY ({values.bind(list(texts), 'text[]')})"


def _extent(area: Any) -> str:
    return _box(*shape_of(area).bounds)


def _box_within(area: Any) -> str | None:
    """Return a box that, if it holds something, the area does too, or None; PostgreSQL compares boxes less exactly."""
    if area is None:
        return None
    shape = shape_of(area)
    west, south, east, north = shape.bounds
    is_box = shape.normalize().equals_exact(shapely.box(west, south, east, north).normalize())
    if not is_box or min(east - west, north - south) <= 2 * FUZZINESS:
        return None
    return _box(west + FUZZINESS, south + FUZZINESS, east - FUZZINESS, north - FUZZINESS)


def _box(west: float, south: float, east: float, north: float) -> str:
    return f"({west},{south}),({east},{north})"


def keys_of_order(search: Search, values: Values, first: str = "documents") -> list[Key]:
    """Return what results are sorted by; collection and id decide among equals, so that each has one place."""
    asked = list(search.order) or list(NEWEST_FIRST)
    names = {keys_of(key.name) for key in asked}
    one_collection = search.collections is not None and len(search.collections) == 1
    deciding = ("id",) if one_collection else ("collection", "id")
    asked += [SortKey(name, asked[0].descending) for name in deciding if (name,) not in names]
    return [_key(key, values, first) for key in asked]


def _key(key: SortKey, values: Values, first: str) -> Key:
    keys = keys_of(key.name)
    name = ".".join(keys)
    if is_tags({"property": key.name}) or keys[:1] in ((), ("geometry",), ("assets",), ("bbox",)):
        raise RequestError(
            400, "INVALID_PARAMETER", f"Expected something that has an order as sortby, found {key.name!r}."
        )
    if name in _COLUMNS and len(keys) == 1:
        return Key(f"{first}.{name}", _COLUMNS[name], key.descending, nullable=False)
    sql = f"nullif(documents.properties #> {values.bind(list(keys), 'text[]')}, 'null')"
    if name in TIMES:
        return Key(f"stac_ingest.time_of({sql})", "timestamptz", key.descending, nullable=True)
    return Key(sql, "jsonb", key.descending, nullable=True)


def token_of(texts: Sequence[str | None], *, backwards: bool) -> str:
    """Return the token of the page behind, or before, an Item with these keys."""
    return base64.urlsafe_b64encode(orjson.dumps(["prev" if backwards else "next", *texts])).decode().rstrip("=")


def _position(token: str | None, keys: Sequence[Key]) -> tuple[bool, list[str | None] | None]:
    if token is None:
        return False, None
    try:
        direction, *texts = orjson.loads(base64.b64decode(f"{token}{'=' * (-len(token) % 4)}", b"-_", validate=True))
    except (binascii.Error, ValueError, TypeError):
        raise _wrong_token(token) from None
    if direction not in ("next", "prev") or len(texts) != len(keys):
        raise _wrong_token(token)
    if not all(_is_key(text, key) for text, key in zip(texts, keys, strict=True)):
        raise _wrong_token(token)
    return direction == "prev", texts


def _is_key(text: object, key: Key) -> bool:
    return key.nullable if text is None else isinstance(text, str) and "\0" not in text


def _wrong_token(token: str) -> RequestError:
    return RequestError(
        400,
        "INVALID_PARAMETER",
        f"Expected as token what a link to the next or previous page of this search holds, found {token[:100]!r}.",
    )


def _behind(keys: Sequence[Key], texts: Sequence[str | None], values: Values, *, backwards: bool) -> str:
    """Return that an Item comes behind the one with these keys; before it, if the walk goes backwards."""
    bound = [
        text if text is None else values.bind(text, f"text::{key.kind}") for key, text in zip(keys, texts, strict=True)
    ]
    if len({key.descending for key in keys}) == 1 and not any(key.nullable for key in keys):
        sign = "<" if keys[0].descending is not backwards else ">"
        return f"({', '.join(key.sql for key in keys)}) {sign} ({', '.join(text or '' for text in bound)})"
    ways, equal = [], ""
    for key, text in zip(keys, bound, strict=True):
        if (further := _further(key, text, backwards=backwards)) is not None:
            ways.append(f"{equal}{further}")
        equal += f"{key.sql} IS NULL AND " if text is None else f"{key.sql} = {text} AND "
    return f"({' OR '.join(f'({way})' for way in ways)})"


def _further(key: Key, text: str | None, *, backwards: bool) -> str | None:
    if text is None:  # the last ones: behind them is nothing, before them all that have a value
        return f"{key.sql} IS NOT NULL" if backwards else None
    compared = f"{key.sql} {'<' if key.descending is not backwards else '>'} {text}"
    return f"({compared} OR {key.sql} IS NULL)" if key.nullable and not backwards else compared
