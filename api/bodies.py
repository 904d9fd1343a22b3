"""What every JSON body must be, beside valid: something that the database can hold and give back unchanged."""

from __future__ import annotations

import math
from typing import Any

from stac_ingest.errors import RequestError

_SMALLEST, _LARGEST = -(2**63), 2**64 - 1


def require_storable(value: Any) -> None:
    """Refuse a body with numbers or characters that would be lost on the way to the database and back.

    Raises:
        RequestError: 400 `INVALID_REQUEST`, which names the value.
    """
    if isinstance(value, dict):
        for key, inner in value.items():
            require_storable(key)
            require_storable(inner)
    elif isinstance(value, list):
        for inner in value:
            require_storable(inner)
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


def _refused(expected: str, found: object) -> RequestError:
    return RequestError(400, "INVALID_REQUEST", f"Expected {expected}, found {str(found)[:100]!r}.")
