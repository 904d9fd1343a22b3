"""What an expression means here, twice: in cql2's words, for the library to say, and in three-valued Python.

`in_cql2s_words` rewrites only what is ours and not of CQL2: the tags, the `datetime` of an Item that has a start and an
end, spellings that clients use, and boxes over the antimeridian. `truth` says everything by itself.
"""

from __future__ import annotations

import operator
import re
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import cql2
import shapely
from shapely.geometry import shape

Json = dict[str, Any]
Tree = Any

TAGS = frozenset(f"{prefix}{name}" for prefix in ("", "properties.") for name in ("tag", "tags", "keywords"))
DATE_TIMES = frozenset(("datetime", "start_datetime", "end_datetime", "published", "updated", "expires"))
COMPARISONS: dict[str, Callable[[Any, Any], bool]] = {
    "=": operator.eq,
    "<>": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
ARITHMETIC: dict[str, Callable[[float, float], float]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": operator.truediv,
}
ARRAYS = {
    "a_contains": "a_contains",
    "a_containedby": "a_containedBy",
    "a_contained_by": "a_containedBy",
    "a_equals": "a_equals",
    "a_overlaps": "a_overlaps",
}


def nodes(tree: Tree) -> list[Json]:
    """Return every object in a tree, the tree itself first."""
    if isinstance(tree, list):
        return [node for part in tree for node in nodes(part)]
    if isinstance(tree, dict):
        return [tree, *(node for part in tree.values() for node in nodes(part))]
    return []


def properties_in(tree: Tree) -> set[str]:
    return {node["property"].removeprefix("properties.") for node in nodes(tree) if "property" in node}


# --- By cql2

NEITHER = {"op": "=", "args": [{"property": "nothing"}, 0]}
"""True nor false."""
UNDECIDED = "Could not reduce expression to boolean"


class CannotSayError(Exception):
    """The library failed."""


def found_by_cql2(tree: Tree, items: list[Json]) -> str:
    """Return the ids of what the library finds, or what it says when it fails."""
    try:
        return "".join(item["id"] for item in items if _matches(in_cql2s_words(tree, item), item))
    except CannotSayError as error:
        return f"failure: {error}"


def _matches(tree: Tree, item: Json) -> bool:
    try:
        return cql2.Expr(tree if isinstance(tree, dict) else str(tree).lower()).matches(item)
    except Exception as error:
        if UNDECIDED in str(error):
            return False
        raise CannotSayError(error) from error


def in_cql2s_words(tree: Tree, item: Json, temporal: bool = False) -> Tree:
    """Return the tree that means the same to cql2; `temporal`: it is an operand of a temporal function."""
    if isinstance(tree, list):
        return [in_cql2s_words(part, item, temporal) for part in tree]
    if not isinstance(tree, dict):
        return tree
    if _is_tags(tree):
        return {"property": "keywords"}
    if tree in ({"property": "datetime"}, {"property": "properties.datetime"}):
        return _time_of(item, temporal)
    if "bbox" in tree:
        return _area(tree["bbox"])
    if "op" not in tree:
        return tree if "type" in tree else {key: in_cql2s_words(part, item) for key, part in tree.items()}
    name, arguments = tree["op"].lower(), tree["args"]
    if name in ARRAYS:
        arrays = [part if isinstance(part, dict | list) else [part] for part in arguments]
        return {"op": ARRAYS[name], "args": in_cql2s_words(arrays, item)}
    if _is_about_tags(tree):
        return _spelled_out(tree, item)
    return {**tree, "args": in_cql2s_words(arguments, item, name.startswith("t_"))}


def _time_of(item: Json, temporal: bool) -> Json:
    if "start_datetime" not in item["properties"]:
        return {"property": "datetime"}
    start, end = {"property": "start_datetime"}, {"property": "end_datetime"}
    return {"interval": [start, end]} if temporal else start


def _area(bbox: list[float]) -> Json:
    if bbox[0] <= bbox[len(bbox) // 2]:
        return {"bbox": bbox}
    west, south, east, north = bbox if len(bbox) == 4 else (bbox[0], bbox[1], bbox[3], bbox[4])
    boxes = [shapely.box(west, south, 180, north), shapely.box(-180, south, east, north)]
    area: Json = shapely.MultiPolygon(boxes).__geo_interface__
    return area


# --- Tags: any of them


def _is_tags(part: Tree) -> bool:
    return isinstance(part, dict) and part.get("property") in TAGS


def _is_about_tags(tree: Json) -> bool:
    """Return whether tags are compared here, not further within."""
    if tree["op"].lower() in (*ARRAYS, "and", "or", "not", "isnull"):
        return False
    return any(_is_tags(node) for node in nodes(tree))


def _spelled_out(tree: Json, item: Json) -> Tree:
    """Return a comparison of tags as one of each tag; of what is not there, where the Item has none."""
    if tree["op"] == "<>":
        return {"op": "not", "args": [_spelled_out({**tree, "op": "="}, item)]}
    if tree["op"] == "in" and any(_is_tags(part) for part in (tree["args"][1], *tree["args"][1])):
        tree = {"op": "=", "args": [tree["args"][0], {"property": "tags"}]}
    tags = item["properties"].get("keywords")
    if tags is None:
        return NEITHER
    return {"op": "or", "args": [_with_tag(tree, tag) for tag in tags]} if tags else False


def _with_tag(tree: Tree, tag: str) -> Tree:
    if isinstance(tree, list):
        return [_with_tag(part, tag) for part in tree]
    if not isinstance(tree, dict):
        return tree
    return tag if _is_tags(tree) else {key: _with_tag(part, tag) for key, part in tree.items()}


# --- By three-valued logic; None is unknown


@dataclass(frozen=True)
class Span:
    """The time from one moment to another, both of them in it; a moment is a span of itself."""

    start: datetime
    end: datetime


FIRST, LAST = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)


def found_by_logic(tree: Tree, items: list[Json]) -> str:
    return "".join(item["id"] for item in items if truth(tree, item) is True)


def truth(tree: Tree, item: Json) -> bool | None:
    if isinstance(tree, bool):
        return tree
    if _is_about_tags(tree):
        return truth(_spelled_out(tree, item), item)
    name, arguments = tree["op"].lower(), tree["args"]
    if name in ("and", "or", "not"):
        return _connected(name, [truth(part, item) for part in arguments])
    if name == "isnull":
        return value(in_cql2s_words(arguments[0], item), item) is None
    if name == "between":
        tested, low, high = arguments
        return truth(_both({"op": ">=", "args": [tested, low]}, {"op": "<=", "args": [tested, high]}), item)
    if name == "in":
        return _connected("or", [truth({"op": "=", "args": [arguments[0], part]}, item) for part in arguments[1]])
    if name in ARRAYS:
        return _of_arrays(ARRAYS[name], *(_array(value(part, item)) for part in in_cql2s_words(tree, item)["args"]))
    if name.startswith("t_"):
        return _of_times(name, *(_span(value(in_cql2s_words(part, item, True), item)) for part in arguments))
    left, right = (value(in_cql2s_words(part, item), item) for part in arguments)
    if left is None or right is None:
        return None
    if name.startswith("s_"):
        return bool(getattr(shapely, name.removeprefix("s_"))(left, right))
    if name == "like":
        return _like(left, right)
    return _compared(name, left, right)


def _both(left: Tree, right: Tree) -> Json:
    return {"op": "and", "args": [left, right]}


def _connected(name: str, parts: list[bool | None]) -> bool | None:
    if name == "not":
        return None if parts[0] is None else not parts[0]
    decisive = name == "or"
    if decisive in parts:
        return decisive
    return None if None in parts else not decisive


def value(tree: Tree, item: Json) -> Any:
    """Return a number, a text, a truth value, a list, a Span, a geometry, an object, or None."""
    if isinstance(tree, list):
        return [value(part, item) for part in tree]
    if not isinstance(tree, dict):
        return tree
    if "property" in tree:
        return _property(tree["property"], item)
    if "timestamp" in tree or "date" in tree:
        return _span(tree.get("timestamp") or tree["date"])
    if "interval" in tree:
        return _interval(*(value(part, item) for part in tree["interval"]))
    if "bbox" in tree:
        box = tree["bbox"]
        return shapely.box(*(box if len(box) == 4 else (box[0], box[1], box[3], box[4])))
    if "type" in tree:
        return shape(tree)
    arguments = [value(in_cql2s_words(part, item), item) for part in tree["args"]]
    name = tree["op"].lower()
    if name == "casei":
        return arguments[0].lower() if isinstance(arguments[0], str) else None
    if name == "accenti":
        return _without_accents(arguments[0]) if isinstance(arguments[0], str) else None
    if not all(_is_number(part) for part in arguments) or (name == "/" and arguments[1] == 0):
        return None
    return ARITHMETIC[name](*arguments)


def _property(name: str, item: Json) -> Any:
    name = name.removeprefix("properties.")
    if name in ("id", "collection"):
        return item[name]
    if name == "geometry":
        return shape(item["geometry"])
    found: Any = item["properties"]
    for key in name.split("."):
        found = found.get(key) if isinstance(found, dict) else None
    return _span(found) if name in DATE_TIMES else found


def _is_number(part: Any) -> bool:
    return isinstance(part, int | float) and not isinstance(part, bool)


def _without_accents(text: str) -> str:
    return "".join(part for part in unicodedata.normalize("NFD", text) if unicodedata.category(part) != "Mn")


def _span(found: Any) -> Span | None:
    """Return the time that a text tells; a date is all of its day."""
    if not isinstance(found, str):
        return found if isinstance(found, Span) else None
    try:
        start = datetime.fromisoformat(found)
    except ValueError:
        return None
    if len(found) > 10:
        return Span(start, start)
    start = start.replace(tzinfo=UTC)
    return Span(start, start + timedelta(days=1, microseconds=-1))


def _interval(start: Any, end: Any) -> Span | None:
    first = Span(FIRST, FIRST) if start == ".." else _span(start)
    last = Span(LAST, LAST) if end == ".." else _span(end)
    return Span(first.start, last.end) if first and last else None


def _compared(name: str, left: Any, right: Any) -> bool | None:
    if isinstance(left, Span) or isinstance(right, Span):
        left, right = _span(left), _span(right)
        if left is None or right is None:
            return None
        left, right = (left.start > right.end) - (left.end < right.start), 0
    for kind in (bool, int | float, str):
        if isinstance(left, kind) and isinstance(right, kind):
            return COMPARISONS[name](left, right)
        if isinstance(left, kind) or isinstance(right, kind):
            return None
    return None


def _like(text: Any, pattern: Any) -> bool | None:
    if not isinstance(text, str) or not isinstance(pattern, str):
        return None
    parts = re.findall(r"\\.|.", pattern, re.DOTALL)
    wildcards = {"%": ".*", "_": "."}
    return (
        re.fullmatch("".join(wildcards.get(part) or re.escape(part[-1]) for part in parts), text, re.DOTALL) is not None
    )


def _array(found: Any) -> list[tuple[type, Any]] | None:
    """Return the elements, each with its type, as Python finds 1 and True equal."""
    if not isinstance(found, list):
        return None
    return [(float, float(part)) if _is_number(part) else (type(part), part) for part in found]


def _of_arrays(name: str, left: list[Any] | None, right: list[Any] | None) -> bool | None:
    if left is None or right is None:
        return None
    match name:
        case "a_equals":
            return set(left) == set(right)
        case "a_contains":
            return set(left) >= set(right)
        case "a_containedBy":
            return set(left) <= set(right)
        case _:
            return bool(set(left) & set(right))


def _of_times(name: str, a: Span | None, b: Span | None) -> bool | None:
    if a is None or b is None:
        return None
    relations = {
        "t_after": a.start > b.end,
        "t_before": a.end < b.start,
        "t_contains": a.start < b.start and a.end > b.end,
        "t_disjoint": a.start > b.end or a.end < b.start,
        "t_during": a.start > b.start and a.end < b.end,
        "t_equals": a == b,
        "t_finishedby": a.start < b.start and a.end == b.end,
        "t_finishes": a.start > b.start and a.end == b.end,
        "t_intersects": a.start <= b.end and a.end >= b.start,
        "t_meets": a.end == b.start,
        "t_metby": a.start == b.end,
        "t_overlappedby": b.start < a.start < b.end < a.end,
        "t_overlaps": a.start < b.start < a.end < b.end,
        "t_startedby": a.start == b.start and a.end > b.end,
        "t_starts": a.start == b.start and a.end < b.end,
    }
    return relations[name]
