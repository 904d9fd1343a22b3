"""The rules for filters: what a client may write, and the tree that pgstac can run; pure functions on CQL2-JSON.

Tags live in `keywords`. `tags` is another name of that array, and `tag` is a virtual text that stands for any one of
them, for clients without array operators. pgstac has no `in` or `=` for arrays as people mean them, so these become
its array operators here. Values in the extra properties, such as `ingest:extra_properties.quality`, are JSON of any
type; they are compared by an operator of our own (`database/schema.sql`), which keeps the types apart. In their names
a dot or backslash that belongs to a key has a backslash before it.

Everyone may search, so a filter is measured before it is read: the parser of CQL2 text takes twice as long for every
parenthesis around a mistake, and ends the whole process when a text nests deeply enough.
"""

from __future__ import annotations

import json
import re
from typing import Any

import cql2

from api.bodies import require_storable
from stac_ingest.errors import RequestError

Expression = Any

TAGS = "keywords"
_ALIASES = frozenset(("keywords", "tags", "tag", "properties.keywords", "properties.tags", "properties.tag"))

MAX_TEXT = 8000
MAX_PARENTHESES = 8
"""How deep they may nest in text; a filter on a multipolygon, inside of two groups, has 6."""
MAX_OPERATORS = 1000
MAX_DEPTH = 64

# STAC Browser sends `and` of a single condition; pgstac takes it.
_LOGICAL = {"and": (1, 1000), "or": (1, 1000), "not": (1, 1)}
_ARRAY_OPERATORS = {
    "a_contains": "a_contains",
    "a_overlaps": "a_overlaps",
    "a_equals": "a_equals",
    "a_containedby": "a_contained_by",
    "a_contained_by": "a_contained_by",
}
_EXTRA = re.compile(r"(?:properties\.)*ingest:extra_properties((?:\.(?:[^\\.]|\\.)*)+)", re.DOTALL)
_KEY = re.compile(r"\.((?:[^\\.]|\\.)*)", re.DOTALL)
_EXTRA_OPERATORS = {
    **{operator: operator for operator in ("=", "<>", "<", "<=", ">", ">=", "in", "like", "isnull")},
    **{"!=": "<>", "eq": "=", "neq": "<>", "lt": "<", "lte": "<=", "gt": ">", "gte": ">="},
}
_SPATIAL = "contains crosses disjoint equals intersects overlaps touches within"
_TEMPORAL = (
    "after before contains disjoint during equals finishedby finishes intersects meets metby overlappedby overlaps"
    " startedby starts"
)
_PREDICATES = {
    **_LOGICAL,
    **dict.fromkeys(("=", "<>", "!=", "<", "<=", ">", ">=", "eq", "neq", "lt", "lte", "gt", "gte"), (2, 2)),
    **dict.fromkeys(("like", "ilike", "in", "intersects", "anyinteracts", *_ARRAY_OPERATORS), (2, 2)),
    **{f"s_{name}": (2, 2) for name in _SPATIAL.split()},
    **{f"t_{name}": (2, 2) for name in _TEMPORAL.split()},
    "between": (3, 3),
    "isnull": (1, 1),
}
"""Operator, in lower case -> fewest and most arguments."""
_FUNCTIONS = {
    **dict.fromkeys(("+", "-", "*", "/"), (2, 2)),
    **dict.fromkeys(("casei", "accenti", "upper", "lower"), (1, 1)),
}
_QUOTED = re.compile(r"'(?:[^']|'')*'|\"(?:[^\"]|\"\")*\"")
_OPERATOR = re.compile(r"[=<>+*/%^|]|-(?!\s*[\d.])|not|like|between|in|is|or|and|div", re.IGNORECASE)
_PARSER_MESSAGE = re.compile(r"--> (\d+):(\d+).*= (.*)", re.DOTALL)


def parse(text: str | dict[str, Any] | bool, language: str | None) -> Expression:
    """Return the tree of a filter, ready for pgstac.

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
            raise _invalid(f"{error.msg} at character {error.pos + 1}") from error
        except ValueError as error:  # a number of thousands of digits
            raise _invalid(str(error)) from error
        except RecursionError as error:
            raise _too_deep() from error
    _measure(text)
    try:
        return cql2.parse_text(text).to_json()
    except Exception as error:
        found = _PARSER_MESSAGE.search(str(error))
        reason = f"{found[3].strip()} at line {found[1]}, character {found[2]}" if found else str(error)
        raise _invalid(reason) from error


def _measure(text: str) -> None:
    """Refuse a text that the parser may not survive."""
    if len(text) > MAX_TEXT:
        raise _invalid(f"expected at most {MAX_TEXT} characters, found {len(text)}; send a longer one as CQL2-JSON")
    bare = _QUOTED.sub(" ", text)
    depth = deepest = 0
    for character in bare:
        depth += (character == "(") - (character == ")")
        deepest = max(deepest, depth)
    if deepest > MAX_PARENTHESES:
        raise _invalid(f"expected parentheses at most {MAX_PARENTHESES} deep, found {deepest}")
    if (found := len(_OPERATOR.findall(bare))) > MAX_OPERATORS:
        raise _invalid(f"expected at most {MAX_OPERATORS} operators, found {found}; use IN for many values")


def checked(tree: Expression) -> Expression:
    """Return the tree if it is a condition of operators that pgstac has; raises as `parse`.

    `cql2.Expr.validate` would do, but takes a tenth of a second each time, and for ever where operators nest.
    """
    _check_condition(tree, 0)
    return tree


def _check_condition(tree: Expression, depth: int) -> None:
    if isinstance(tree, bool):
        return
    operator = _operator(tree)
    if operator not in _PREDICATES:
        raise _invalid(f"expected a condition, found {_shown(tree)}")
    arguments = _arguments(tree, _PREDICATES[operator])
    if operator == "in" and arguments[1] == []:
        raise _invalid("expected at least one value after IN")
    for argument in arguments:
        if operator in _LOGICAL:
            _check_condition(argument, _deeper(depth))
        else:
            _check_value(argument, _deeper(depth))


def _check_value(value: Expression, depth: int) -> None:
    if isinstance(value, list):
        for part in value:
            _check_value(part, _deeper(depth))
    elif isinstance(value, dict):
        if operator := _operator(value):
            if operator in _PREDICATES:
                raise _invalid(f"expected a value, found the condition {_shown(value)}")
            for argument in _arguments(value, _FUNCTIONS[operator]):
                _check_value(argument, _deeper(depth))
        elif "property" in value:
            if not isinstance(value["property"], str) or not value["property"]:
                raise _invalid(f"expected the name of a property, found {_shown(value['property'])}")
        elif not value.keys() & {"timestamp", "date", "interval", "bbox", "type"}:
            raise _invalid(f"expected a value, found {_shown(value)}")


def _operator(tree: Expression) -> str | None:
    """Return the operator in lower case, or None for what has none; raises for one that pgstac does not have."""
    if not isinstance(tree, dict) or "op" not in tree:
        return None
    operator = tree["op"]
    if not isinstance(operator, str) or operator.lower() not in _PREDICATES.keys() | _FUNCTIONS.keys():
        raise _invalid(f"there is no operator or function {_shown(operator)}")
    return operator.lower()


def _arguments(tree: dict[str, Any], allowed: tuple[int, int]) -> list[Any]:
    arguments, (fewest, most) = tree.get("args"), allowed
    if not isinstance(arguments, list) or not fewest <= len(arguments) <= most:
        count = fewest if fewest == most else f"{fewest} to {most}"
        raise _invalid(f"expected {count} args of {_shown(tree['op'])}, found {_shown(arguments)}")
    return arguments


def _deeper(depth: int) -> int:
    if depth >= MAX_DEPTH:
        raise _too_deep()
    return depth + 1


def _shown(tree: Expression) -> str:
    text = json.dumps(tree)
    return text if len(text) <= 100 else f"{text[:97]}..."


def normalised(tree: Expression) -> Expression:
    """Return the tree with operators as pgstac spells them, and tags compared as a person means it."""
    if isinstance(tree, list):
        return [normalised(part) for part in tree]
    if not isinstance(tree, dict):
        return tree
    if "property" in tree and len(tree) == 1:
        return {"property": TAGS} if _is_tags(tree) else tree
    if "bbox" in tree and len(tree) == 1:
        return _area(tree["bbox"])
    tree = {key: normalised(value) for key, value in tree.items()}
    operator, arguments = str(tree.get("op", "")), tree.get("args")
    if operator.lower() in _ARRAY_OPERATORS:
        return {**tree, "op": _ARRAY_OPERATORS[operator.lower()]}
    if isinstance(arguments, list) and (extra := _extra_comparison(operator.lower(), *arguments)):
        return extra
    if isinstance(arguments, list) and len(arguments) == 2:
        return _tag_comparison(operator.lower(), *arguments) or tree
    return tree


def _tag_comparison(operator: str, left: Expression, right: Expression) -> Expression | None:
    if operator == "in" and isinstance(right, list) and len(right) == 1 and _is_tags(right[0]):
        right = right[0]  # so is `'x' IN tags` read from text
    if operator in ("=", "<>", "!=", "eq", "neq") and _is_tags(right):
        left, right = right, left
    if operator == "in" and _is_tags(right):
        return {"op": "a_contains", "args": [right, _texts(left)]}
    if not _is_tags(left):
        return None
    match operator:
        case "=" | "eq":
            return {"op": "a_contains", "args": [left, _texts(right)]}
        case "<>" | "!=" | "neq":
            return {"op": "not", "args": [{"op": "a_contains", "args": [left, _texts(right)]}]}
        case "in":
            return {"op": "a_overlaps", "args": [left, _texts(right)]}
        case "like" | "ilike" | "<" | "<=" | ">" | ">=" | "lt" | "lte" | "gt" | "gte":
            raise _invalid(f"tags cannot be compared with {operator!r}; use =, <>, in, a_contains or a_overlaps")
    return None


def _extra_comparison(operator: str, left: Expression, right: Expression = None, *_: Expression) -> Expression | None:
    """Return the comparison of a value in the extra properties as our own operator; None: it is none, or not such."""
    name = left.get("property") if isinstance(left, dict) else None
    if operator not in _EXTRA_OPERATORS or not isinstance(name, str) or not (path := _EXTRA.fullmatch(name)):
        return None
    values = right if operator == "in" and isinstance(right, list) else [right]
    if any(isinstance(value, dict | list) for value in values):
        return None
    keys = [re.sub(r"\\(.)", r"\1", key) for key in _KEY.findall(path[1])]
    given = values if operator == "in" else right
    return {"op": "extra_property", "args": [json.dumps(keys), _EXTRA_OPERATORS[operator], json.dumps(given)]}


def _is_tags(side: Expression) -> bool:
    return isinstance(side, dict) and side.get("property") in _ALIASES


def _texts(value: Expression) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _area(box: Expression) -> Expression:
    """Return a box, which pgstac does not know, as a polygon; as two where it crosses the antimeridian."""
    if not isinstance(box, list) or len(box) not in (4, 6) or not all(type(side) in (int, float) for side in box):
        raise _invalid(f"expected a bbox of 4 or 6 numbers, found {_shown(box)}")
    west, south, east, north = box if len(box) == 4 else (box[0], box[1], box[3], box[4])
    if west <= east:
        return {"type": "Polygon", "coordinates": _rectangle(west, south, east, north)}
    sides = [_rectangle(west, south, 180, north), _rectangle(-180, south, east, north)]
    return {"type": "MultiPolygon", "coordinates": sides}


def _rectangle(west: float, south: float, east: float, north: float) -> list[list[list[float]]]:
    return [[[west, south], [east, south], [east, north], [west, north], [west, south]]]


def _too_deep() -> RequestError:
    return _invalid(f"expected expressions at most {MAX_DEPTH} deep")


def _invalid(reason: str) -> RequestError:
    return RequestError(400, "INVALID_FILTER", f"The filter is not valid CQL2: {reason}.")
