"""The rules for filters: what a client may write, and the tree that pgstac can run; pure functions on CQL2-JSON.

Tags live in `keywords`. `tags` is another name of that array, and `tag` is a virtual text that stands for any one of
them, for clients without array operators. pgstac has no `in` or `=` for arrays as people mean them, so these become
its array operators here.
"""

from __future__ import annotations

import json
from typing import Any

import cql2

from stac_ingest.errors import RequestError

Expression = Any

TAGS = "keywords"
_ALIASES = frozenset(("keywords", "tags", "tag", "properties.keywords", "properties.tags", "properties.tag"))
_ARRAY_OPERATORS = {
    "a_contains": "a_contains",
    "a_overlaps": "a_overlaps",
    "a_equals": "a_equals",
    "a_containedby": "a_contained_by",
    "a_contained_by": "a_contained_by",
}


def parse(text: str | dict[str, Any], language: str | None) -> Expression:
    """Return the tree of a filter, ready for pgstac.

    Args:
        text: CQL2 text, or CQL2-JSON as text or as a tree.
        language: `cql2-text` or `cql2-json`; unset: whichever it looks like.

    Raises:
        RequestError: 400 `INVALID_FILTER`, with what the parser found.
    """
    return validated(normalised(_tree(text, language)))


def _tree(text: str | dict[str, Any], language: str | None) -> Expression:
    if isinstance(text, dict):
        return text
    if language == "cql2-json" or (language is None and text.lstrip().startswith("{")):
        try:
            return json.loads(text)
        except json.JSONDecodeError as error:
            raise _invalid(f"{error.msg} at character {error.pos + 1}") from error
    try:
        return cql2.parse_text(text).to_json()
    except Exception as error:
        raise _invalid(str(error)) from error


def validated(tree: Expression) -> Expression:
    """Return the tree if it is a CQL2 expression that is true or false; raises as `parse`."""
    if tree is True or tree is False:
        return tree
    try:
        cql2.Expr(_with_standard_names(tree)).validate()
    except Exception as error:
        raise _invalid(str(error)) from error
    return tree


def _with_standard_names(tree: Expression) -> Expression:
    if isinstance(tree, list):
        return [_with_standard_names(part) for part in tree]
    if not isinstance(tree, dict):
        return tree
    renamed = {key: _with_standard_names(value) for key, value in tree.items()}
    if renamed.get("op") == "a_contained_by":
        renamed["op"] = "a_containedBy"
    return renamed


def normalised(tree: Expression) -> Expression:
    """Return the tree with operators as pgstac spells them, and tags compared as a person means it."""
    if isinstance(tree, list):
        return [normalised(part) for part in tree]
    if not isinstance(tree, dict):
        return tree
    if "property" in tree and len(tree) == 1:
        return {"property": TAGS} if _is_tags(tree) else tree
    tree = {key: normalised(value) for key, value in tree.items()}
    operator, arguments = str(tree.get("op", "")), tree.get("args")
    if operator.lower() in _ARRAY_OPERATORS:
        return {**tree, "op": _ARRAY_OPERATORS[operator.lower()]}
    if isinstance(arguments, list) and len(arguments) == 2:
        return _tag_comparison(operator.lower(), *arguments) or tree
    return tree


def _tag_comparison(operator: str, left: Expression, right: Expression) -> Expression | None:
    if operator in ("=", "<>", "eq", "neq") and _is_tags(right):
        left, right = right, left
    if operator == "in" and _is_tags(right):
        return {"op": "a_contains", "args": [right, _texts(left)]}
    if not _is_tags(left):
        return None
    match operator:
        case "=" | "eq":
            return {"op": "a_contains", "args": [left, _texts(right)]}
        case "<>" | "neq":
            return {"op": "not", "args": [{"op": "a_contains", "args": [left, _texts(right)]}]}
        case "in":
            return {"op": "a_overlaps", "args": [left, _texts(right)]}
        case "like" | "<" | "<=" | ">" | ">=":
            raise _invalid(f"tags cannot be compared with {operator!r}; use =, <>, in, a_contains or a_overlaps")
    return None


def _is_tags(side: Expression) -> bool:
    return isinstance(side, dict) and side.get("property") in _ALIASES


def _texts(value: Expression) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _invalid(reason: str) -> RequestError:
    return RequestError(400, "INVALID_FILTER", f"The filter is not valid CQL2: {reason}")
