"""From a filter to SQL: a tree of CQL2-JSON (OGC 21-065r2) becomes a condition on `stac_ingest.documents`.

Whatever a request brings along is bound as a value, so that the text of the statement says only its shape, and
PostgreSQL keeps the plan of each shape.

The logic is SQL's: where a property is missing, neither a comparison nor its negation holds. A property can be JSON of
any type: values of different types differ and have no order, so nothing has to be converted and nothing fails.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any, Literal

import shapely

from api.stac.cql2 import ANY_CASE, ARRAY_OPERATORS, MAX_OPERATORS, TAGS, Expression, Place, keys_of, refuse
from stac_ingest.models.values import moment_of

Kind = Literal["json", "text", "number", "boolean", "time", "geometry", "tags"]

TIMES = frozenset(("created", "updated", "published", "expires", "start_datetime", "end_datetime"))
"""Properties that are times, beside the datetime."""
_COLUMNS: dict[str, tuple[Kind, str]] = {
    "id": ("text", "id"),
    "collection": ("text", "collection"),
    "datetime": ("time", "datetime"),
    "geometry": ("geometry", "geometry"),
    TAGS: ("tags", "tags"),
}
_OUTSIDE = frozenset(("assets", "bbox", "stac_version", "stac_extensions"))
"""Members of an Item beside its properties that can be asked for."""
_COMPARED = {
    **dict.fromkeys(("=", "eq"), "="),
    **dict.fromkeys(("<>", "!=", "neq"), "<>"),
    **{"<": "<", "<=": "<=", ">": ">", ">=": ">=", "lt": "<", "lte": "<=", "gt": ">", "gte": ">="},
}
_TURNED = {"=": "=", "<>": "<>", "<": ">", "<=": ">=", ">": "<", ">=": "<="}
_JSON_TYPES: dict[Kind, str] = {"text": "string", "number": "number", "boolean": "boolean"}
_SQL_TYPES: dict[Kind, str] = {"text": "text", "number": "float8", "boolean": "boolean", "time": "timestamptz"}
_SPATIAL = frozenset((
    *("intersects", "s_contains", "s_crosses", "s_disjoint", "s_equals", "s_intersects"),
    *("s_overlaps", "s_touches", "s_within"),
))  # fmt: skip
_TEMPORAL = {
    "t_after": "{a} > {d}",
    "t_before": "{b} < {c}",
    "t_contains": "{a} < {c} AND {b} > {d}",
    "t_disjoint": "{b} < {c} OR {a} > {d}",
    "t_during": "{a} > {c} AND {b} < {d}",
    "t_equals": "{a} = {c} AND {b} = {d}",
    "t_finishedby": "{a} < {c} AND {b} = {d}",
    "t_finishes": "{a} > {c} AND {b} = {d}",
    "t_intersects": "{a} <= {d} AND {b} >= {c}",
    "anyinteracts": "{a} <= {d} AND {b} >= {c}",
    "t_meets": "{b} = {c}",
    "t_metby": "{a} = {d}",
    "t_overlappedby": "{a} > {c} AND {a} < {d} AND {b} > {d}",
    "t_overlaps": "{a} < {c} AND {b} > {c} AND {b} < {d}",
    "t_startedby": "{a} = {c} AND {b} > {d}",
    "t_starts": "{a} = {c} AND {b} < {d}",
}
"""What holds of the first time from a to b and the second from c to d (OGC 21-065r2 section 7.8)."""
_UNKNOWN = "NULL::boolean"
_DAY = timedelta(days=1)
_INSTANT = timedelta(microseconds=1)


@dataclass(frozen=True)
class Operand:
    """A side of a comparison: its SQL, its kind, and its value if it is a literal."""

    kind: Kind
    sql: str
    value: Any = None
    number: str = ""
    """SQL of the number that JSON may be, where a column holds it."""


@dataclass
class Values:
    """The values that a statement binds."""

    bound: list[Any] = field(default_factory=list)

    def bind(self, value: Any, kind: str) -> str:
        """Return how the statement names a value of an SQL type."""
        self.bound.append(value)
        return f"${len(self.bound)}::{kind}"

    def numbered(self, sql: str) -> tuple[str, list[Any]]:
        """Return a statement with the values that it names, numbered in their order; others are left out."""
        used: dict[str, str] = {}
        text = re.sub(r"\$\d+", lambda found: used.setdefault(found[0], f"${len(used) + 1}"), sql)
        return text, [self.bound[int(name[1:]) - 1] for name in used]


def geometry_of(literal: Any, values: Values, where: Place = ()) -> str:
    """Return a GeoJSON geometry in WGS 84 as SQL; raises RequestError as `api.stac.cql2.parse`."""
    try:
        shape = shape_of(literal)
    except ValueError as error:
        raise refuse(f"expected a GeoJSON geometry, found {json.dumps(literal)[:100]} ({error})", where) from error
    return values.bind(shapely.to_wkb(shape, include_srid=True), "bytea::geometry")


def shape_of(literal: Any) -> shapely.Geometry:
    """Return a GeoJSON geometry in WGS 84 as a shape; raises ValueError for what is none, or empty."""
    try:
        shape = shapely.from_geojson(json.dumps(literal))
    except (shapely.errors.GEOSException, TypeError) as error:
        raise ValueError(str(error)) from error
    if shape.is_empty:
        raise ValueError("it is empty")
    return shapely.set_srid(shape, 4326)


@dataclass
class Condition:
    """Writes the SQL of filters; what it binds is added to `values`."""

    values: Values
    first: str = "documents"
    """The table that is read first, of which ids and times are asked."""

    def sql(self, tree: Expression, where: Place = ()) -> str:
        """Return a filter, as `api.stac.cql2.parse` gives it, as a condition.

        Raises:
            RequestError: 400 `INVALID_FILTER`, with the place in the tree, for what cannot be compared.
        """
        if isinstance(tree, bool):
            return str(tree)
        operator, arguments = tree["op"].lower(), tree["args"]
        inside = [(*where, str(index)) for index in range(len(arguments))]
        if operator in ("and", "or"):
            parts = [self.sql(part, place) for part, place in zip(arguments, inside, strict=True)]
            return f"({f' {operator.upper()} '.join(parts)})"
        if operator == "not":
            return f"NOT {self.sql(arguments[0], inside[0])}"
        if operator in _SPATIAL:
            return self._spatial(operator, arguments, inside)
        if operator in _TEMPORAL:
            (a, b), (c, d) = (self._interval(side, place) for side, place in zip(arguments, inside, strict=True))
            holds = f"({_TEMPORAL[operator].format(a=a, b=b, c=c, d=d)})"
            uncertain = [time for time in (a, b, c, d) if time.startswith("stac_ingest.time_of")]
            return f"(CASE WHEN num_nulls({', '.join(uncertain)}) = 0 THEN {holds} END)" if uncertain else holds
        if operator in ARRAY_OPERATORS.values():
            return self._arrays(operator, arguments, inside)
        sides = arguments[:1] if operator == "in" else arguments
        operands = [self._operand(side, place) for side, place in zip(sides, inside, strict=False)]
        match operator:
            case "isnull":
                return self._is_null(operands[0], arguments[0])
            case "like" | "ilike":
                return self._like(operator, operands[0], operands[1], where)
            case "between":
                low = self._compare(">=", operands[0], operands[1], where)
                return f"({low} AND {self._compare('<=', operands[0], operands[2], where)})"
            case "in":
                return self._in(operands[0], arguments[1], inside[1])
        return self._compare(_COMPARED[operator], operands[0], operands[1], where)

    def _operand(self, side: Any, where: Place) -> Operand:
        match side:
            case bool():
                return Operand("boolean", str(side).upper(), side)
            case str():
                return Operand("text", "", side)
            case int() | float():
                return Operand("number", "", side)
            case None:
                raise refuse("expected a value, found null; ask with IS NULL", where)
            case {"property": name}:
                return self._property(name)
            case {"timestamp": _} | {"date": _}:
                return Operand("time", "", side)
            case {"op": operator, "args": arguments}:
                return self._function(operator.lower(), arguments, where)
        raise refuse(f"expected a value, found {json.dumps(side)[:100]}", where)

    def _property(self, name: str) -> Operand:
        keys = keys_of(name)
        if len(keys) == 1 and keys[0] in _COLUMNS:
            kind, sql = _COLUMNS[keys[0]]
            return Operand(kind, f"{self.first if kind in ('text', 'time') else 'documents'}.{sql}")
        if len(keys) == 1 and keys[0] in TIMES:
            return Operand("time", f"stac_ingest.time_of({self._member('documents.properties', keys)})")
        if keys[0] in _OUTSIDE:
            return Operand("json", self._member("stac_ingest.parsed(documents.document)", keys))
        number = f"{self.first}.cloud_cover" if keys == ("eo:cloud_cover",) else ""
        return Operand("json", self._member("documents.properties", keys), number=number)

    def _member(self, of: str, keys: Iterable[str]) -> str:
        first, *rest = keys
        found = f"({of}->{self.values.bind(first, 'text')})"
        return f"({found} #> {self.values.bind(rest, 'text[]')})" if rest else found

    def _function(self, operator: str, arguments: list[Any], where: Place) -> Operand:
        inside = [(*where, str(index)) for index in range(len(arguments))]
        operands = [self._operand(side, place) for side, place in zip(arguments, inside, strict=True)]
        if operator in ANY_CASE:
            return Operand("text", ANY_CASE[operator].format(self._as("text", operands[0], inside[0])))
        left, right = (self._as("number", side, place) for side, place in zip(operands, inside, strict=True))
        return Operand(
            "number", f"({left} / nullif({right}, 0))" if operator == "/" else f"({left} {operator} {right})"
        )

    def _as(self, kind: Kind, operand: Operand, where: Place) -> str:
        """Return the SQL of an operand as a value of a kind; NULL where it is JSON of another type."""
        if operand.kind == "json":
            found = f"({operand.sql} #>> '{{}}')"
            return (
                f"stac_ingest.time_of({operand.sql})"
                if kind == "time"
                else f"CASE jsonb_typeof({operand.sql}) WHEN '{_JSON_TYPES[kind]}'"
                f" THEN {found if kind == 'text' else f'{found}::{_SQL_TYPES[kind]}'} END"
            )
        if kind == "time":
            return self._time(operand, where)[0]
        if operand.kind == kind:
            return operand.sql or self.values.bind(
                float(operand.value) if kind == "number" else operand.value, "float8" if kind == "number" else "text"
            )
        raise refuse(f"expected a {kind}, found {_described(operand)}", where)

    def _compare(self, operator: str, left: Operand, right: Operand, where: Place) -> str:
        kinds = {left.kind, right.kind}
        if "tags" in kinds and operator in ("=", "<>"):
            text = self._as("text", right if left.kind == "tags" else left, where)
            return f"({text} = ANY (documents.tags))" if operator == "=" else f"({text} <> ALL (documents.tags))"
        if kinds & {"geometry", "tags"}:
            wanted = "s_intersects" if "geometry" in kinds else "=, <>, in, like, a_contains or a_overlaps"
            raise refuse(
                f"expected a value, found {_described(left)} {operator} {_described(right)}; use {wanted}", where
            )
        if "time" in kinds:
            return self._compare_times(operator, left, right, where)
        if left.kind != "json" and right.kind == "json":
            left, right, operator = right, left, _TURNED[operator]
        if left.kind == "json":
            return self._compare_json(operator, left, right, where)
        if left.kind != right.kind:
            return _UNKNOWN
        sides = (_ordered(left.kind, self._as(left.kind, side, where)) for side in (left, right))
        return f"({f' {operator} '.join(sides)})"

    def _compare_json(self, operator: str, left: Operand, right: Operand, where: Place) -> str:
        if right.kind == "json":
            alike = f"jsonb_typeof({left.sql}) = jsonb_typeof({right.sql})"
            texts = f" {operator} ".join(_ordered("text", f"{side.sql} #>> '{{}}'") for side in (left, right))
            plain = f"{left.sql} {operator} {right.sql}"
            return (
                f"(CASE WHEN {alike} THEN CASE jsonb_typeof({left.sql}) WHEN 'string' THEN {texts}"
                f" WHEN 'number' THEN {plain} WHEN 'boolean' THEN {plain} END END)"
            )
        if right.value is None or (right.kind == "text" and operator not in ("=", "<>")):
            sides = (_ordered(right.kind, self._as(right.kind, side, where)) for side in (left, right))
            return f"({f' {operator} '.join(sides)})"
        if left.number and right.kind == "number":
            return f"({left.number} {operator} {self.values.bind(float(right.value), 'float8')})"
        return _of_type(left, right.kind, f"{left.sql} {operator} {self.values.bind(json.dumps(right.value), 'jsonb')}")

    def _compare_times(self, operator: str, left: Operand, right: Operand, where: Place) -> str:
        """Compare times; a date is the whole day, so what is after it comes after its end."""
        if left.value is not None and right.value is None:
            left, right, operator = right, left, _TURNED[operator]
        (a, b), (c, d) = self._time(left, where), self._time(right, where)
        match operator:
            case "=" | "<>":
                equal = f"({a} = {c})" if c == d else f"({a} >= {c} AND {b} <= {d})"
                return equal if operator == "=" else f"(NOT {equal})"
            case "<" | ">=":
                return f"({b} < {c})" if operator == "<" else f"({a} >= {c})"
        return f"({a} > {d})" if operator == ">" else f"({b} <= {d})"

    def _time(self, operand: Operand, where: Place) -> tuple[str, str]:
        """Return the start and the end of a time; of a moment these are the same."""
        if operand.kind == "json":
            return (self._as("time", operand, where),) * 2
        if operand.kind == "time" and operand.value is None:
            return operand.sql, operand.sql
        literal = operand.value
        text = next(iter(literal.values())) if isinstance(literal, dict) else literal
        if operand.kind not in ("time", "text") or literal is None or not isinstance(text, str):
            raise refuse(f"expected a time, found {_described(operand)}", where)
        start = _moment(text, where)
        if _is_date(text):
            return tuple(self.values.bind(moment, "timestamptz") for moment in (start, start + (_DAY - _INSTANT)))  # type: ignore[return-value]
        return (self.values.bind(start, "timestamptz"),) * 2

    def _interval(self, side: Any, where: Place) -> tuple[str, str]:
        match side:
            case {"property": name} if keys_of(name) == ("datetime",):
                return f"{self.first}.datetime", f"{self.first}.end_datetime"
            case {"interval": [start, end]}:
                return self._bound(start, "-infinity", where)[0], self._bound(end, "infinity", where)[1]
            case {"interval": found}:
                raise refuse(f"expected an interval of two times, found {json.dumps(found)[:100]}", where)
            case str():
                side = {"timestamp": side}
        return self._time(self._operand(side, where), where)

    def _bound(self, side: Any, unbounded: str, where: Place) -> tuple[str, str]:
        if side in ("..", "", None):
            return (f"'{unbounded}'::timestamptz",) * 2
        if isinstance(side, str):
            side = {"timestamp": side}
        return self._time(self._operand(side, where), where)

    def _spatial(self, operator: str, arguments: list[Any], inside: list[Place]) -> str:
        """Compare geometries; of collections of them PostGIS knows only whether they intersect."""
        left, right = (self._geometry(side, place) for side, place in zip(arguments, inside, strict=True))
        if operator in ("s_intersects", "intersects"):
            return f"ST_Intersects({left}, {right})"
        if operator == "s_disjoint":
            return f"(NOT ST_Intersects({left}, {right}))"
        for side, place in zip(arguments, inside, strict=True):
            if side.get("type") == "GeometryCollection":
                raise refuse(f"{operator} does not take a GeometryCollection; ask for each of its parts", place)
        is_collection = "GeometryType(documents.geometry) = 'GEOMETRYCOLLECTION'"
        related = f"ST_{operator.removeprefix('s_').capitalize()}({left}, {right})"
        return f"({left} && {right} AND CASE WHEN {is_collection} THEN NULL ELSE {related} END)"

    def _geometry(self, side: Any, where: Place) -> str:
        if isinstance(side, dict) and "property" in side:
            if keys_of(side["property"]) == ("geometry",):
                return "documents.geometry"
            raise refuse(f"expected the property geometry, found {side['property']!r}", where)
        return geometry_of(side, self.values, where)

    def _is_null(self, operand: Operand, side: Any) -> str:
        if operand.kind != "json":
            return f"({operand.sql or self._as(operand.kind, operand, ())} IS NULL)"
        nothing = "('null', '[]', '{}')" if keys_of(side["property"])[0] == "ingest:extra_properties" else "('null')"
        return f"coalesce({operand.sql} IN {nothing}, true)"

    def _like(self, operator: str, left: Operand, right: Operand, where: Place) -> str:
        if left.kind not in ("json", "text"):
            raise refuse(f"expected a text before {operator.upper()}, found {_described(left)}", where)
        if isinstance(right.value, str) and re.search(r"(?<!\\)(\\\\)*\\$", right.value):
            raise refuse("expected no single backslash at the end of a pattern; two are one", where)
        text = self._as("text", left, where)
        if operator == "ilike":
            text = f'({text}) COLLATE "und-x-icu"'
        return f"({text} {operator.upper()} {self._as('text', right, where)})"

    def _in(self, left: Operand, listed: Any, where: Place) -> str:
        if not isinstance(listed, list):
            raise refuse(f"expected a list of values after IN, found {json.dumps(listed)[:100]}", where)
        texts = all(isinstance(value, str) for value in listed)
        if left.kind == "text" and texts:
            return f"({self._as('text', left, where)} = ANY ({self.values.bind(listed, 'text[]')}))"
        operands = [self._operand(value, (*where, str(index))) for index, value in enumerate(listed)]
        kinds = {operand.kind for operand in operands}
        if left.kind == "json" and len(kinds) == 1 and all(operand.value is not None for operand in operands):
            (kind,) = kinds
            if kind in _JSON_TYPES:
                bound = self.values.bind([json.dumps(value) for value in listed], "text[]::jsonb[]")
                return _of_type(left, kind, f"{left.sql} = ANY ({bound})")
        if len(operands) > MAX_OPERATORS:
            raise refuse(f"expected at most {MAX_OPERATORS} values of different types after IN", where)
        return f"({' OR '.join(self._compare('=', left, right, where) for right in operands)})"

    def _arrays(self, operator: str, arguments: list[Any], inside: list[Place]) -> str:
        left, right = (self._array(side, place) for side, place in zip(arguments, inside, strict=True))
        if left.kind == "tags" and right.value is not None:
            return self._tags(operator, right.value)
        if right.kind == "tags" and left.value is not None and operator in _MIRRORED:
            return self._tags(_MIRRORED[operator], left.value)
        sides = [self._as_json(side) for side in (left, right)]
        return f"stac_ingest.{operator}({sides[0]}, {sides[1]})"

    def _array(self, side: Any, where: Place) -> Operand:
        if isinstance(side, dict) and "property" in side:
            operand = self._property(side["property"])
            if operand.kind not in ("json", "tags"):
                raise refuse(f"expected an array, found {_described(operand)}", where)
            return operand
        listed = side if isinstance(side, list) else [side]
        if not all(isinstance(value, str | int | float) for value in listed):
            raise refuse(f"expected an array of texts, numbers and booleans, found {json.dumps(side)[:100]}", where)
        return Operand("json", "", listed)

    def _as_json(self, operand: Operand) -> str:
        if operand.kind == "tags":
            return f"to_jsonb({operand.sql})"
        return operand.sql or self.values.bind(json.dumps(operand.value), "jsonb")

    def _tags(self, operator: str, listed: list[Any]) -> str:
        texts = [value for value in listed if isinstance(value, str)]
        if len(texts) < len(listed) and operator in ("a_contains", "a_equals"):
            return "(documents.tags IS NULL AND NULL)"  # no tag is a number
        bound = self.values.bind(texts, "text[]")
        if operator == "a_equals":
            return f"(documents.tags @> {bound} AND documents.tags <@ {bound})"
        sign = {"a_contains": "@>", "a_overlaps": "&&", "a_contained_by": "<@"}[operator]
        return f"(documents.tags {sign} {bound})"


class TagCondition(Condition):
    """Writes the SQL of what is asked of one tag, which is called `tag` there."""

    def _property(self, name: str) -> Operand:
        if keys_of(name) == (TAGS,):
            return Operand("text", "tag")
        raise refuse(f"expected a text to compare tags with, found the property {name!r}")


_MIRRORED = {
    "a_contains": "a_contained_by",
    "a_contained_by": "a_contains",
    "a_overlaps": "a_overlaps",
    "a_equals": "a_equals",
}


def _of_type(operand: Operand, kind: Kind, condition: str) -> str:
    """Return a condition that is unknown where JSON is of another type."""
    return f"(CASE jsonb_typeof({operand.sql}) WHEN '{_JSON_TYPES[kind]}' THEN {condition} END)"


def _ordered(kind: Kind, sql: str) -> str:
    """Return a text that is compared by code points, whatever the order of the database."""
    return f'({sql}) COLLATE "C"' if kind == "text" else sql


def _described(operand: Operand) -> str:
    return json.dumps(operand.value)[:100] if operand.value is not None else f"a {operand.kind}"


def _is_date(text: str) -> bool:
    try:
        date.fromisoformat(text)
    except ValueError:
        return False
    return True


def _moment(text: str, where: Place) -> datetime:
    if _is_date(text):
        day = date.fromisoformat(text)
        return datetime(day.year, day.month, day.day, tzinfo=UTC)
    try:
        return moment_of(text)
    except ValueError as error:
        raise refuse(f"expected a time such as 2024-05-01T10:00:00Z, found {text[:100]!r}", where) from error
