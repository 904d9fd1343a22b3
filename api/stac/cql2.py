"""The rules for filters: what a client may write, and the one tree that it becomes; pure functions on CQL2-JSON.

Tags live in `keywords`. `tags` is another name of that array, and `tag` is a virtual text that stands for any one of
them, for clients without array operators; comparing them for equality becomes an array operator here. In the name of a
property a dot leads into an object, and a dot or backslash that belongs to a key has a backslash before it.

Everyone may search, so a filter is measured before it is read: the parser of CQL2 text takes twice as long for every
parenthesis around a mistake, and ends the whole process when a text nests deeply enough.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection
from difflib import get_close_matches
from typing import Any

import cql2

from api.bodies import require_storable
from stac_ingest.errors import RequestError

Expression = Any
Place = tuple[str, ...]
"""Where in a tree something stands: `("args", "0")` is the first argument of its root."""

TAGS = "keywords"
_ALIASES = frozenset(("keywords", "tags", "tag"))

MAX_TEXT = 8000
MAX_PARENTHESES = 8
"""How deep they may nest in text; a filter on a multipolygon, inside of two groups, has 6."""
MAX_OPERATORS = 1000
MAX_CONDITIONS = 4000
"""How many operators JSON may have."""
MAX_DEPTH = 64

# STAC Browser sends `and` of a single condition.
LOGICAL = {"and": (1, 1000), "or": (1, 1000), "not": (1, 1)}
ARRAY_OPERATORS = {
    "a_contains": "a_contains",
    "a_overlaps": "a_overlaps",
    "a_equals": "a_equals",
    "a_containedby": "a_contained_by",
    "a_contained_by": "a_contained_by",
}
_KEY = re.compile(r"((?:[^\\.]|\\.|\\$)*)(?:\.|$)", re.DOTALL)
_SPATIAL = "contains crosses disjoint equals intersects overlaps touches within"
_TEMPORAL = (
    "after before contains disjoint during equals finishedby finishes intersects meets metby overlappedby overlaps"
    " startedby starts"
)
_PREDICATES = {
    **LOGICAL,
    **dict.fromkeys(("=", "<>", "!=", "<", "<=", ">", ">=", "eq", "neq", "lt", "lte", "gt", "gte"), (2, 2)),
    **dict.fromkeys(("like", "ilike", "in", "intersects", "anyinteracts", *ARRAY_OPERATORS), (2, 2)),
    **{f"s_{name}": (2, 2) for name in _SPATIAL.split()},
    **{f"t_{name}": (2, 2) for name in _TEMPORAL.split()},
    "between": (3, 3),
    "isnull": (1, 1),
}
"""Operator, in lower case -> fewest and most arguments."""
_MARKS = r"\u0300-\u036f\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff\ufe20-\ufe2f"
ANY_CASE = {
    **dict.fromkeys(("casei", "lower"), 'lower({} COLLATE "und-x-icu")'),
    "upper": 'upper({} COLLATE "und-x-icu")',
    "accenti": f"regexp_replace(normalize({{}}, NFD), '[{_MARKS}]', '', 'g')",
}
"""Functions of a text, and their SQL; accents are the marks that NFD takes off their letters (OGC 21-065r2 7.4)."""
_FUNCTIONS = {**dict.fromkeys(("+", "-", "*", "/"), (2, 2)), **dict.fromkeys(ANY_CASE, (1, 1))}
_QUOTED = re.compile(r"'(?:[^']|'')*'|\"(?:[^\"]|\"\")*\"")
_OPERATOR = re.compile(r"[=<>+*/%^|]|-(?!\s*[\d.])|not|like|between|in|is|or|and|div", re.IGNORECASE)
_PARSER_MESSAGE = re.compile(r"--> (\d+):(\d+).*= (.*)", re.DOTALL)


def parse(text: str | dict[str, Any] | bool, language: str | None) -> Expression:
    """Return the tree of a filter, ready for `api.stac.conditions`.

    Args:
        text: CQL2 text, or CQL2-JSON as text or as a tree.
        language: `cql2-text` or `cql2-json`; unset: whichever it looks like.

    Raises:
        RequestError: 400 `INVALID_FILTER`, with what the parser found, or `INVALID_REQUEST` for numbers and characters
            that the database does not know.
    """
    tree = checked(_tree(text, language))
    require_storable(tree)
    return normalised(tree)


def _tree(text: str | dict[str, Any] | bool, language: str | None) -> Expression:
    if not isinstance(text, str):
        return text
    if language == "cql2-json" or (language is None and text.lstrip().startswith("{")):
        try:
            return json.loads(text)
        except json.JSONDecodeError as error:
            raise refuse(f"{error.msg} at character {error.pos + 1}") from error
        except ValueError as error:  # a number of thousands of digits
            raise refuse(str(error)) from error
        except RecursionError as error:
            raise _too_deep() from error
    _measure(text)
    try:
        return cql2.parse_text(text).to_json()
    except Exception as error:
        found = _PARSER_MESSAGE.search(str(error))
        reason = f"{found[3].strip()} at line {found[1]}, character {found[2]}" if found else str(error)
        raise refuse(reason) from error


def _measure(text: str) -> None:
    """Refuse a text that the parser may not survive."""
    if len(text) > MAX_TEXT:
        raise refuse(f"expected at most {MAX_TEXT} characters, found {len(text)}; send a longer one as CQL2-JSON")
    bare = _QUOTED.sub(" ", text)
    depth = deepest = 0
    for character in bare:
        depth += (character == "(") - (character == ")")
        deepest = max(deepest, depth)
    if deepest > MAX_PARENTHESES:
        raise refuse(f"expected parentheses at most {MAX_PARENTHESES} deep, found {deepest}")
    if (found := len(_OPERATOR.findall(bare))) > MAX_OPERATORS:
        raise refuse(f"expected at most {MAX_OPERATORS} operators, found {found}; use IN for many values")


def checked(tree: Expression) -> Expression:
    """Return the tree if it is a condition of operators that there are; raises as `parse`.

    `cql2.Expr.validate` would do, but takes a tenth of a second each time, and for ever where operators nest.
    """
    _check_condition(tree, ())
    if (found := _conditions(tree)) > MAX_CONDITIONS:
        raise refuse(f"expected at most {MAX_CONDITIONS} conditions, found {found}; use IN for many values")
    return tree


def _conditions(tree: Expression) -> int:
    if isinstance(tree, dict):
        return ("op" in tree) + _conditions(tree.get("args"))
    return sum(map(_conditions, tree)) if isinstance(tree, list) else 0


def _check_condition(tree: Expression, where: Place) -> None:
    if isinstance(tree, bool):
        return
    operator = _operator(tree, where)
    if operator not in _PREDICATES:
        raise refuse(f"expected a condition, found {_shown(tree)}{_hint_at_condition(tree)}", where)
    arguments = _arguments(tree, _PREDICATES[operator], where)
    if operator == "in" and not (arguments[1] and isinstance(arguments[1], list)) and not is_tags(arguments[1]):
        raise refuse(f"expected a list of at least one value after IN, found {_shown(arguments[1])}", where)
    for index, argument in enumerate(arguments):
        inside = _deeper(where, index)
        if operator in LOGICAL:
            _check_condition(argument, inside)
        else:
            _check_value(argument, inside)


def _hint_at_condition(tree: Expression) -> str:
    return "; compare it, for example with = true" if isinstance(tree, dict) and "property" in tree else ""


def _check_value(value: Expression, where: Place) -> None:
    if isinstance(value, list):
        for index, part in enumerate(value):
            _check_value(part, _deeper(where, index))
    elif isinstance(value, dict):
        if operator := _operator(value, where):
            if operator in _PREDICATES:
                raise refuse(f"expected a value, found the condition {_shown(value)}", where)
            for index, argument in enumerate(_arguments(value, _FUNCTIONS[operator], where)):
                _check_value(argument, _deeper(where, index))
        elif "property" in value:
            if not isinstance(value["property"], str) or not keys_of(value["property"]):
                raise refuse(f"expected the name of a property, found {_shown(value['property'])}", where)
        elif not value.keys() & {"timestamp", "date", "interval", "bbox", "type"}:
            raise refuse(f"expected a value, found {_shown(value)}", where)


def _operator(tree: Expression, where: Place) -> str | None:
    """Return the operator in lower case, or None for what has none; raises for one that there is not."""
    if not isinstance(tree, dict) or "op" not in tree:
        return None
    operator, known = tree["op"], _PREDICATES.keys() | _FUNCTIONS.keys()
    if not isinstance(operator, str) or operator.lower() not in known:
        raise refuse(f"there is no operator or function {_shown(operator)}{_nearest(operator, known)}", where)
    return operator.lower()


def _nearest(name: object, known: Collection[str]) -> str:
    near = get_close_matches(str(name).lower(), known, 1)
    return f"; did you mean {near[0]}?" if near else ""


def _arguments(tree: dict[str, Any], allowed: tuple[int, int], where: Place) -> list[Any]:
    arguments, (fewest, most) = tree.get("args"), allowed
    if not isinstance(arguments, list) or not fewest <= len(arguments) <= most:
        count = fewest if fewest == most else f"{fewest} to {most}"
        raise refuse(f"expected {count} args of {_shown(tree['op'])}, found {_shown(arguments)}", where)
    return arguments


def _deeper(where: Place, index: int) -> Place:
    if len(where) >= MAX_DEPTH:
        raise _too_deep()
    return (*where, str(index))


def _shown(tree: Expression) -> str:
    text = json.dumps(tree)
    return text if len(text) <= 100 else f"{text[:97]}..."


def keys_of(name: str) -> tuple[str, ...]:
    r"""Return the keys that the name of a property leads through, from the properties of an Item.

    >>> keys_of("properties.ingest:extra_properties.a\.b.c")
    ('ingest:extra_properties', 'a.b', 'c')
    """
    while name.startswith("properties."):
        name = name.removeprefix("properties.")
    keys = [re.sub(r"\\(.)", r"\1", key, flags=re.DOTALL) for key in _KEY.findall(name)]
    return tuple(keys if name.endswith(".") else keys[:-1])


def normalised(tree: Expression) -> Expression:
    """Return the tree with one spelling of each operator, areas as polygons, and tags compared as a person means it."""
    if isinstance(tree, list):
        return [normalised(part) for part in tree]
    if not isinstance(tree, dict):
        return tree
    if "property" in tree and len(tree) == 1:
        return {"property": TAGS} if is_tags(tree) else tree
    if "bbox" in tree and len(tree) == 1:
        return area_of(tree["bbox"])
    tree = {key: normalised(value) for key, value in tree.items()}
    operator, arguments = str(tree.get("op", "")), tree.get("args")
    if operator.lower() in ARRAY_OPERATORS:
        return {**tree, "op": ARRAY_OPERATORS[operator.lower()]}
    if isinstance(arguments, list) and len(arguments) == 2:
        return _tag_comparison(operator.lower(), *arguments) or tree
    return tree


def _tag_comparison(operator: str, left: Expression, right: Expression) -> Expression | None:
    if operator == "in" and isinstance(right, list) and len(right) == 1 and is_tags(right[0]):
        right = right[0]  # so is `'x' IN tags` read from text
    if operator in ("=", "<>", "!=", "eq", "neq") and is_tags(right):
        left, right = right, left
    if operator == "in" and is_tags(right) and not isinstance(left, dict):
        return {"op": "a_contains", "args": [right, _texts(left)]}
    if not is_tags(left) or isinstance(right, dict):
        return None
    match operator:
        case "=" | "eq":
            return {"op": "a_contains", "args": [left, _texts(right)]}
        case "<>" | "!=" | "neq":
            return {"op": "not", "args": [{"op": "a_contains", "args": [left, _texts(right)]}]}
        case "in" if not any(isinstance(value, dict) for value in right):
            return {"op": "a_overlaps", "args": [left, _texts(right)]}
    return None


def is_tags(side: Expression) -> bool:
    """Return whether a side of a comparison is one of the names of the tags."""
    if not isinstance(side, dict) or not isinstance(side.get("property"), str):
        return False
    keys = keys_of(side["property"])
    return len(keys) == 1 and keys[0] in _ALIASES


def _texts(value: Expression) -> list[Any]:
    return value if isinstance(value, list) else [value]


def area_of(box: Expression) -> Expression:
    """Return a box as a polygon; as two where it crosses the antimeridian (RFC 7946 section 5.2)."""
    if not isinstance(box, list) or len(box) not in (4, 6) or not all(type(side) in (int, float) for side in box):
        raise refuse(f"expected a bbox of 4 or 6 numbers, found {_shown(box)}")
    west, south, east, north = box if len(box) == 4 else (box[0], box[1], box[3], box[4])
    if west <= east:
        return {"type": "Polygon", "coordinates": _rectangle(west, south, east, north)}
    sides = [_rectangle(west, south, 180, north), _rectangle(-180, south, east, north)]
    return {"type": "MultiPolygon", "coordinates": sides}


def _rectangle(west: float, south: float, east: float, north: float) -> list[list[list[float]]]:
    return [[[west, south], [east, south], [east, north], [west, north], [west, south]]]


def _too_deep() -> RequestError:
    return refuse(f"expected expressions at most {MAX_DEPTH} deep")


def refuse(reason: str, where: Place = ()) -> RequestError:
    """Return the refusal of a filter; `where` in its tree the reason lies."""
    place = f", at args.{'.args.'.join(where)}" if where else ""
    return RequestError(400, "INVALID_FILTER", f"The filter is not valid CQL2: {reason}{place}.")
