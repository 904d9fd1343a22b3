"""What filters ask of tags; pure functions on the trees that `api.stac.cql2.parse` returns.

An index holds the newest Items of each tag, so a tag that every Item must have leads the search. What is asked of the
text of a tag (`tag LIKE 'x%'`, `casei(tag) = 'x'`) is asked of the tags in use first, which are few; the tags that are
found take the question's place.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from api.stac.conditions import TagCondition, Values
from api.stac.cql2 import LOGICAL, TAGS, Expression

_TAGS = {"property": TAGS}
_OF_ARRAYS = ("a_", "isnull")


def leading_tag(tree: Expression) -> tuple[str | None, Expression]:
    """Return a tag that each Item must have that a filter finds, or None, and what the filter asks beside it."""
    match tree:
        case {"op": "a_contains", "args": [{"property": name}, [str(tag), *others]]} if name == TAGS:
            return tag, {"op": "a_contains", "args": [_TAGS, others]} if others else True
        case {"op": "and", "args": parts}:
            for index, part in enumerate(parts):
                found, rest = leading_tag(part)
                if found is not None:
                    return found, {"op": "and", "args": [*parts[:index], rest, *parts[index + 1 :]]}
    return None, tree


def questions(tree: Expression) -> Iterator[Expression]:
    """Yield the comparisons in a filter that ask something of the text of any tag."""
    if isinstance(tree, dict) and "op" in tree:
        operator = tree["op"].lower()
        if operator in LOGICAL:
            for part in tree["args"]:
                yield from questions(part)
        elif not operator.startswith(_OF_ARRAYS) and set(_properties(tree["args"])) == {TAGS}:
            yield tree


def _properties(side: Any) -> Iterator[str]:
    if isinstance(side, list):
        for part in side:
            yield from _properties(part)
    elif isinstance(side, dict):
        if "property" in side:
            yield side["property"]
        yield from _properties(side.get("args"))


def condition_of(question: Expression) -> tuple[str, list[Any]]:
    """Return a question as SQL about `tag`, and the values that it binds; raises RequestError as `parse`."""
    values = Values()
    return values.numbered(TagCondition(values).sql(_positive(question)))


def _positive(question: Expression) -> Expression:
    return {**question, "op": "="} if _is_negative(question) else question


def _is_negative(question: Expression) -> bool:
    return question["op"].lower() in ("<>", "!=", "neq")


def key_of(question: Expression) -> str:
    """Return the text by which a question is found again."""
    return json.dumps(question)


def answered(tree: Expression, tags: Mapping[str, Sequence[str]]) -> Expression:
    """Return a filter with the tags that were found in place of the questions."""
    if not isinstance(tree, dict) or "op" not in tree:
        return tree
    if tree["op"].lower() in LOGICAL:
        return {**tree, "args": [answered(part, tags) for part in tree["args"]]}
    found = tags.get(key_of(tree))
    if found is None:
        return tree
    operator = "a_contains" if len(found) == 1 else "a_overlaps"
    condition = {"op": operator, "args": [_TAGS, list(found)]}
    return {"op": "not", "args": [condition]} if _is_negative(tree) else condition
