"""What the Items of a search come to: the aggregations that there are, and the one statement that computes them.

They are those of the Aggregation extension (https://github.com/stac-api-extensions/aggregation, v0.3.0), with more of
the same kind; what the extension does not know begins with `ingest:`. Each is read anew from the Items, so it is exact.
A time is the one that Items are searched and sorted by: of a period, its start.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson

from api.stac.conditions import Values
from api.stac.search import Search
from api.stac.statements import Statement, found_by, numbered
from stac_ingest.errors import RequestError
from stac_ingest.models.enums import Interval
from stac_ingest.models.values import timestamp_text
from stac_ingest.stac import Json

MOST_BUCKETS = 1000
"""Of terms the most frequent ones are told, of times the last ones."""
DEFAULT_INTERVAL = Interval.MONTH


def _property_time(name: str) -> str:
    # PostgreSQL takes more for a time than RFC 3339 can write.
    time = f"stac_ingest.time_of(documents.properties->'{name}')"
    return f"(SELECT time FROM {time} AS time WHERE time >= '0001-01-01' AND time < '10000-01-01')"


_COLUMNS = {
    "collection": "{first}.collection",
    "datetime": "{first}.datetime",
    **{name: _property_time(name) for name in ("created", "updated", "published")},
    "tags": "documents.tags",
    "platform": "(documents.properties->>'platform') COLLATE \"C\"",
    "cloud_cover": (
        "CASE jsonb_typeof(documents.properties->'eo:cloud_cover')"
        " WHEN 'number' THEN (documents.properties->'eo:cloud_cover')::numeric END"
    ),
    "bytes": "documents.bytes",
}
"""What is read of each Item, as SQL."""


@dataclass(frozen=True)
class Aggregation(ABC):
    """Something that the Items of a search come to."""

    name: str
    data_type: str
    """Of the value, or of the keys of the buckets."""
    reads: tuple[str, ...]
    """The columns of `found` that it needs."""

    @abstractmethod
    def described(self) -> Json:
        """Return what a list of the aggregations says of it."""

    @abstractmethod
    def sql(self) -> str:
        """Return the query for it as one JSON; `{interval}` stands for the length of intervals."""

    @abstractmethod
    def result(self, found: Any, interval: Interval) -> Json:
        """Return it as it is answered, from what its query found."""


@dataclass(frozen=True)
class Value(Aggregation):
    """A single value."""

    computed: str

    def described(self) -> Json:
        """Return what a list of the aggregations says of it."""
        return {"name": self.name, "data_type": self.data_type}

    def sql(self) -> str:
        """Return the query for the value as JSON."""
        return f"SELECT to_json({self.computed}) FROM found"

    def result(self, found: Any, interval: Interval) -> Json:
        """Return the value as it is answered; null where there are no Items of which it could be one."""
        return {**self.described(), "value": _written(found, self.data_type)}


@dataclass(frozen=True)
class Frequency(Aggregation):
    """How many Items have each of several values.

    As the extension says, `overflow` is how many Items are in no bucket: they have no value, or theirs is not among the
    MOST_BUCKETS that are told.
    """

    counted: str
    """Selects `key` and `frequency` from `found`."""
    told: str = "frequency DESC, key"
    """Which buckets are told if there are too many."""
    order: str = "frequency DESC, key"
    left: str = "(SELECT count(*) FROM found) - (SELECT coalesce(sum(frequency), 0) FROM told)"
    """Counts the Items that are in no bucket."""

    def described(self) -> Json:
        """Return what a list of the aggregations says of it."""
        kind = {"data_type": "frequency_distribution", "frequency_distribution_data_type": self.data_type}
        return {"name": self.name, **kind}

    def sql(self) -> str:
        """Return the query for the buckets, in their order, and the overflow as JSON."""
        return (
            f"WITH counted AS ({self.counted}), told AS"
            f" (SELECT * FROM counted WHERE key IS NOT NULL ORDER BY {self.told} LIMIT {MOST_BUCKETS})"
            f" SELECT json_build_object('buckets', (SELECT json_agg(told ORDER BY {self.order}) FROM told),"
            f" 'overflow', {self.left})"
        )

    def result(self, found: Any, interval: Interval) -> Json:
        """Return the buckets as they are answered."""
        buckets = [self._bucket(one) for one in found["buckets"] or ()]
        return {**self.described(), "buckets": buckets, "overflow": found["overflow"]}

    def _bucket(self, found: Json) -> Json:
        key = _written(found["key"], self.data_type)
        return {"key": key, "data_type": self.data_type, "frequency": found["frequency"]}


class Tens(Frequency):
    """How many Items lie in each tenth of 0 to 100; the first and the last one have no bound there."""

    def _bucket(self, found: Json) -> Json:
        start = 10 * found["key"]
        bounds = {"from": start, "to": start + 10}
        if start == 0:
            del bounds["from"]
        if start == 90:
            del bounds["to"]
        key = f"{bounds.get('from', '*')}-{bounds.get('to', '*')}"
        return {"key": key, "data_type": self.data_type, "frequency": found["frequency"], **bounds}


class Times(Frequency):
    """How many Items have a time in each interval of time; in UTC, and weeks begin on Monday."""

    def result(self, found: Any, interval: Interval) -> Json:
        """Return the buckets as they are answered, and how long their intervals are."""
        return {**super().result(found, interval), "interval": interval}


class Summary(Times):
    """How many Items have a time in each interval, how large their files are, and of which Collections they are."""

    def _bucket(self, found: Json) -> Json:
        size, collections = found["bytes"], found["collections"]
        return {**super()._bucket(found), "ingest:bytes": size, "ingest:collections": collections}


def _terms(name: str, column: str) -> Frequency:
    counted = f"SELECT {column} AS key, count(*) AS frequency FROM found GROUP BY {column}"
    return Frequency(f"{name}_frequency", "string", (column,), counted)


def _times(name: str) -> Times:
    counted = f"SELECT date_trunc({{interval}}, {name}, 'UTC') AS key, count(*) AS frequency FROM found GROUP BY key"
    return Times(f"{name}_frequency", "datetime", (name,), counted, told="key DESC", order="key")


def _summary(name: str) -> Summary:
    of_collections = (
        f"SELECT date_trunc({{interval}}, {name}, 'UTC') AS key, collection,"
        " count(*) AS frequency, sum(bytes) AS bytes FROM found GROUP BY key, collection"
    )
    counted = (
        "SELECT key, sum(frequency) AS frequency, sum(bytes) AS bytes,"
        f" array_agg(collection ORDER BY collection) AS collections FROM ({of_collections}) AS part GROUP BY key"
    )
    reads = (name, "collection", "bytes")
    return Summary(f"ingest:{name}_summary", "datetime", reads, counted, told="key DESC", order="key")


_ALL = (
    Value("total_count", "integer", (), "count(*)"),
    Value("datetime_min", "datetime", ("datetime",), "min(datetime)"),
    Value("datetime_max", "datetime", ("datetime",), "max(datetime)"),
    Value("ingest:bytes", "numeric", ("bytes",), "coalesce(sum(bytes), 0)"),
    _terms("collection", "collection"),
    _terms("platform", "platform"),
    Frequency(
        "keywords_frequency",
        "string",
        ("tags",),
        "SELECT key, count(*) AS frequency"
        " FROM found, LATERAL (SELECT DISTINCT unnest(tags) AS key) AS own GROUP BY key",
        left=(
            "(SELECT count(*) FROM found"
            " WHERE NOT EXISTS (SELECT FROM unnest(tags) AS tag WHERE tag IN (SELECT key FROM told)))"
        ),
    ),
    Tens(
        "cloud_cover_frequency",
        "numeric",
        ("cloud_cover",),
        "SELECT least(greatest(floor(cloud_cover / 10), 0), 9) AS key, count(*) AS frequency"
        " FROM found WHERE cloud_cover IS NOT NULL GROUP BY key",
        order="key",
    ),
    _times("datetime"),
    *(_summary(name) for name in ("datetime", "created", "updated", "published")),
)
AGGREGATIONS = {aggregation.name: aggregation for aggregation in _ALL}


@dataclass(frozen=True)
class Wanted:
    """The aggregations that are asked for."""

    aggregations: tuple[Aggregation, ...]
    interval: Interval

    def results(self, row: Sequence[str]) -> list[Json]:
        """Return them as they are answered, from the row that the statement found."""
        found = zip(self.aggregations, row, strict=True)
        return [aggregation.result(orjson.loads(text or "null"), self.interval) for aggregation, text in found]


def wanted_from_query(query: Mapping[str, str]) -> Wanted:
    """Return the aggregations that the parameters of a GET ask for; raises as `wanted_from_body`."""
    names = [name.strip() for name in query.get("aggregations", "").split(",") if name.strip()]
    interval = query.get("datetime_frequency_interval") or None
    return wanted_from_body({"aggregations": names, "datetime_frequency_interval": interval})


def wanted_from_body(body: Json) -> Wanted:
    """Return the aggregations that the body of a POST asks for.

    Raises:
        RequestError: 400 `INVALID_PARAMETER`; names those that there are.
    """
    given = {name: value for name, value in body.items() if value is not None}
    names, interval = given.get("aggregations", []), given.get("datetime_frequency_interval", DEFAULT_INTERVAL)
    if not isinstance(names, list) or not all(isinstance(name, str) and name in AGGREGATIONS for name in names):
        raise _refused("aggregations", f"a list of some of {', '.join(AGGREGATIONS)}", names)
    if interval not in tuple(Interval):
        raise _refused("datetime_frequency_interval", f"one of {', '.join(Interval)}", interval)
    return Wanted(tuple(AGGREGATIONS[name] for name in dict.fromkeys(names)), Interval(interval))


def statement_of(search: Search, wanted: Wanted) -> Statement:
    """Return the statement whose one row holds what each aggregation found, as JSON.

    Raises:
        RequestError: 400 `INVALID_FILTER`.
    """
    values = Values()
    found = found_by(search, values)
    names = sorted({name for aggregation in wanted.aggregations for name in aggregation.reads})
    columns = ", ".join(f"{_COLUMNS[name].format(first=found.first)} AS {name}" for name in names)
    interval = values.bind(str(wanted.interval), "text")
    queries = ", ".join(f"({aggregation.sql().format(interval=interval)})" for aggregation in wanted.aggregations)
    read = f"SELECT {columns} FROM {found.tables(columns)} WHERE {found.where}"
    return numbered(f"WITH found AS ({read}) SELECT {queries}", values)


def _written(found: Any, data_type: str) -> Any:
    if data_type == "datetime" and found is not None:
        return timestamp_text(datetime.fromisoformat(found))
    return found


def _refused(name: str, expected: str, found: object) -> RequestError:
    return RequestError(400, "INVALID_PARAMETER", f"Expected as {name} {expected}, found {str(found)[:100]!r}.")
