"""What the values of attributes are when they are compared: times, texts, numbers, and JSON inside of JSON."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from datetime import date, datetime
from enum import Enum
from typing import Any

from pydantic import ConfigDict, TypeAdapter, ValidationError

from stac_ingest.errors import AttributeValidationError
from stac_ingest.models.values import AnyResolution, Resolution, Timestamp, whole_date

_MOMENT: TypeAdapter[datetime] = TypeAdapter(Timestamp, config=ConfigDict(defer_build=True))
_RESOLUTION: TypeAdapter[Resolution] = TypeAdapter(AnyResolution)


def attribute_of(obj: object, name: str) -> Any:
    """Return an attribute; raises AttributeError that names the nearest ones when there is none."""
    try:
        return getattr(obj, name)
    except AttributeError:
        raise unknown_attribute(type(obj).__name__, name, [known for known in dir(obj) if known[0] != "_"]) from None


def unknown_attribute(owner: str, name: str, known: Iterable[str]) -> AttributeError:
    """Return the error that names the attributes whose names are nearest."""
    near = difflib.get_close_matches(name, list(known), n=3)
    hint = f"; is it {' or '.join(near)}?" if near else ""
    return AttributeError(f"{owner} has no attribute {name} that can be searched for{hint}")


def inside(found: object, key: str) -> Any:
    """Return what a JSON object has under a key, or a list at a place (negative: from its end); None: nothing."""
    if isinstance(found, dict):
        return found.get(key)
    if isinstance(found, list | tuple) and re.fullmatch(r"-?\d{1,9}", key):
        return found[int(key)] if -len(found) <= int(key) < len(found) else None
    return None


def json_type(value: object) -> str:
    """Return the type of a JSON value; there is one for all numbers."""
    if isinstance(value, bool):
        return "boolean"
    return "number" if isinstance(value, int | float) else type(value).__name__


def comparable(attribute: str, found: object, value: object) -> tuple[Any, Any]:
    """Return an attribute and the value that it is compared with as two that Python compares.

    Raises:
        AttributeValidationError: The attribute could not have the value.
        TypeError: The attribute's values cannot be compared.
    """
    match found:
        case datetime():
            return found, moment(attribute, value)
        case Resolution():
            return found.metres, metres(attribute, value)
        case Enum() if isinstance(value, str):
            return found.value, value
        case bool() | int() | float() | str() if json_type(found) == json_type(value):
            return found, value
        case bool() | int() | float() | str():
            raise AttributeValidationError(f"{attribute}: expected a value such as {found!r}, found {value!r}")
    raise TypeError(f"{attribute} cannot be compared; a {type(found).__name__} is no text, number or time")


def moment(attribute: str, value: object) -> datetime:
    """Return a time, a date or a text such as `2024`, `2024-05` or `2024-05-01T12:00Z` as a time in UTC.

    Raises:
        AttributeValidationError: It is none of them.
    """
    try:
        match value:
            case str():
                return _MOMENT.validate_python(datetime.fromisoformat(str(whole_date(value))))
            case datetime():
                return _MOMENT.validate_python(value)
            case date():
                return _MOMENT.validate_python(datetime.fromisoformat(value.isoformat()))
    except ValueError as error:
        raise AttributeValidationError(f"{attribute}: expected a time such as 2024-05-01, found {value!r}") from error
    raise AttributeValidationError(f"{attribute}: expected a time such as 2024-05-01, found {value!r}")


def metres(attribute: str, value: object) -> float:
    """Return a resolution in metres; a number is one already; raises as `moment`."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return value
    try:
        return _RESOLUTION.validate_python(value).metres
    except ValidationError as error:
        raise AttributeValidationError(f"{attribute}: expected a resolution such as 10m, found {value!r}") from error


def storable(text: str) -> str:
    """Return a text that the catalog can hold; raises AttributeValidationError for others."""
    if "\0" in text or any("\ud800" <= character <= "\udfff" for character in text):
        raise AttributeValidationError(f"Expected text without NUL and lone surrogates, found {text!r:.100}")
    return text
