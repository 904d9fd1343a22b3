"""What every JSON body must be, beside valid: something that the database can hold and give back unchanged.

And how OpenAPI describes the body of a route that reads it by itself.
"""

from __future__ import annotations

import json
import math
from typing import Any

import orjson
from pydantic import BaseModel

from stac_ingest.errors import RequestError

MAX_DEPTH = 64
"""How deep the body of a write may nest."""
_SMALLEST, _LARGEST = -(2**63), 2**64 - 1


def require_storable(value: Any, levels: float = math.inf) -> None:
    """Refuse a body with numbers or characters that would be lost on the way to the database and back.

    Args:
        value: The body, or a part of it.
        levels: How deep objects and lists may nest in it.

    Raises:
        RequestError: 400 `INVALID_REQUEST`, which names the value.
    """
    if levels < math.inf and not _is_shallow(value, levels):
        raise RequestError(400, "INVALID_REQUEST", f"Expected JSON that nests at most {levels} deep, found deeper.")
    if not _survives(value):
        _refuse_what_is_lost(value)


def _is_shallow(value: Any, levels: float) -> bool:
    level, depth = [value], 0
    while level and depth <= levels:
        level = [
            inner
            for outer in level
            if isinstance(outer, dict | list)
            for inner in (outer.values() if isinstance(outer, dict) else outer)
        ]
        depth += 1
    return not level


def _survives(value: Any) -> bool:
    """Return whether nothing is lost of a value, or False where that has to be looked at; most bodies are large."""
    try:
        json.dumps(value, allow_nan=False)
        return b"\\u0000" not in orjson.dumps(value)
    except (TypeError, ValueError, RecursionError):
        return False


def _refuse_what_is_lost(value: Any) -> None:
    if isinstance(value, dict):
        for key, inner in value.items():
            _refuse_what_is_lost(key)
            _refuse_what_is_lost(inner)
    elif isinstance(value, list):
        for inner in value:
            _refuse_what_is_lost(inner)
    elif isinstance(value, str) and "\x00" in value:
        raise _refused("texts without the character NUL", value)
    elif (
        isinstance(value, str) and not value.isascii() and any("\ud800" <= character <= "\udfff" for character in value)
    ):
        raise _refused("texts without half characters (surrogates)", value)
    elif isinstance(value, float) and not math.isfinite(value):
        raise _refused("finite numbers (JSON has no others)", value)
    elif isinstance(value, int) and not _SMALLEST <= value <= _LARGEST:
        raise _refused("whole numbers of at most 64 bits", value)


def json_body(model: type[BaseModel]) -> dict[str, Any]:
    """Return what a route's `openapi_extra` says of a body that is read as this model."""
    schema = model.model_json_schema()
    return _body("application/json", _inlined(schema, schema.pop("$defs", {})))


def binary_body() -> dict[str, Any]:
    """Return what a route's `openapi_extra` says of a body of bytes."""
    return _body("application/octet-stream", {"type": "string", "format": "binary"})


def _body(media_type: str, schema: Any) -> dict[str, Any]:
    return {"requestBody": {"required": True, "content": {media_type: {"schema": schema}}}}


def _inlined(schema: Any, definitions: dict[str, Any]) -> Any:
    """Replace references, which would lead nowhere in the document that the schema becomes a part of."""
    if isinstance(schema, list):
        return [_inlined(part, definitions) for part in schema]
    if not isinstance(schema, dict):
        return schema
    rest = {key: _inlined(part, definitions) for key, part in schema.items() if key != "$ref"}
    if reference := schema.get("$ref"):
        return {**_inlined(definitions[reference.rpartition("/")[2]], definitions), **rest}
    return rest


def _refused(expected: str, found: object) -> RequestError:
    return RequestError(400, "INVALID_REQUEST", f"Expected {expected}, found {str(found)[:100]!r}.")
