"""Nulls inside of JSON, kept beside it: pgstac drops them from the objects in an Item.

They are named by JSON Pointers (RFC 6901).
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator
from typing import Any

Json = dict[str, Any]


def nulls_of(value: Any, here: str = "") -> Iterator[str]:
    """Yield where the objects in `value` hold a null."""
    for key, inner in _inner(value):
        there = f"{here}/{str(key).replace('~', '~0').replace('/', '~1')}"
        if inner is None and isinstance(value, dict):
            yield there
        else:
            yield from nulls_of(inner, there)


def _inner(value: Any) -> Iterable[tuple[Any, Any]]:
    if isinstance(value, dict):
        return value.items()
    return enumerate(value) if isinstance(value, list) else ()


def with_nulls(value: Json, pointers: Iterable[str]) -> Json:
    """Return `value` with the nulls that were dropped from it; where there is something else by now, that stays."""
    whole = copy.deepcopy(value)
    for pointer in pointers:
        *path, key = [part.replace("~1", "/").replace("~0", "~") for part in pointer.split("/")[1:]]
        parent: Any = whole
        for part in path:
            if isinstance(parent, list):
                parent = parent[int(part)] if part.isdecimal() and int(part) < len(parent) else None
            else:
                parent = parent.get(part) if isinstance(parent, dict) else None
        if isinstance(parent, dict):
            parent.setdefault(key, None)
    return whole
