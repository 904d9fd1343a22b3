"""What every value of the model shares: frozen, checked at birth, changed by making a new one."""

from __future__ import annotations

import json
import math
import re
from datetime import UTC, datetime
from typing import Annotated, Any, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    StringConstraints,
    ValidationError,
)
from pydantic_core import ErrorDetails

from stac_ingest.errors import AttributeValidationError

METRES_PER_DEGREE = 111_319.49079327358  # a degree of the WGS 84 equator
_UNITS = {
    **dict.fromkeys(("m", "meter", "metre", "meters", "metres"), "meters"),
    **dict.fromkeys(("°", "deg", "deg.", "degree", "degrees"), "degrees"),
}


class Value(BaseModel):
    """A frozen value; an attribute that it does not know, or cannot hold, is an error that names it."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        allow_inf_nan=False,
        ser_json_inf_nan="strings",
        use_attribute_docstrings=True,
        defer_build=True,
    )

    @classmethod
    def check(cls, attributes: object) -> Self:
        """Return the value with these attributes.

        Raises:
            AttributeValidationError: Names each attribute that is unknown or wrong, and why.
        """
        try:
            return cls.model_validate(attributes)
        except ValidationError as error:
            raise AttributeValidationError(f"{cls.__name__}: {describe(error)}") from error

    def evolve(self, **changes: object) -> Self:
        """Return this value with some attributes changed; raises as `check`."""
        return self.check({**dict(self), **changes})

    def to_json(self) -> dict[str, Any]:
        """Return the value as JSON types, without the attributes that are not set."""
        return self.model_dump(mode="json", exclude_none=True)


def describe(error: ValidationError) -> str:
    """Return what pydantic found wrong as one sentence."""
    return "; ".join(
        f"{'.'.join(map(str, detail['loc'])) or 'value'}: {_reason(detail)} (found {str(detail['input'])[:100]!r})"
        for detail in error.errors()
    )


def _reason(detail: ErrorDetails) -> str:
    if detail["type"].startswith("datetime"):
        return "expected a time such as 2024-05-01T10:00:00Z or 2024-05-01"
    return detail["msg"].removeprefix("Value error, ")


def _utc(value: datetime) -> datetime:
    try:
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
    except OverflowError as error:
        raise ValueError("expected a moment between the years 1 and 9999 in UTC") from error


def whole_date(value: object) -> object:
    """Return the first day of a year or a month such as `2024` or `2024-05`; anything else as it is."""
    partial = isinstance(value, str) and re.fullmatch(r"\d{4}(-\d\d)?", value)
    return f"{value}-01-01"[:10] if partial else value


Timestamp = Annotated[datetime, BeforeValidator(whole_date), AfterValidator(_utc)]
"""A moment; without a zone it is UTC, and digits below the microsecond are dropped."""


_RFC3339 = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:)(\d\d)(\.\d+)?(Z|[+-]\d\d:\d\d)?")


def moment_of(text: str) -> datetime:
    """Return the moment that a text in RFC 3339 names; without a zone it is UTC, and a leap second is the one before.

    Raises:
        ValueError: It is none, or not between the years 1 and 9999.
    """
    found = _RFC3339.fullmatch(text.upper())
    if found is None:
        raise ValueError("expected a time such as 2024-05-01T10:00:00Z")
    minute, second, fraction, zone = found.groups("")
    return _utc(datetime.fromisoformat(f"{minute}{'59' if second == '60' else second}{fraction}{zone}"))


def timestamp_text(moment: datetime) -> str:
    """Return a moment as RFC 3339 in UTC with a `Z`, as STAC asks."""
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


def check_name(text: object) -> str:
    """Return the name of a band or an image; raises ValueError for one that cannot be a file name or a URL's part."""
    return _checked(text, r"[A-Za-z0-9_.-]{1,200}", "A-Z a-z 0-9 _ . -")


def check_product_id(text: object) -> str:
    """Return the id of a product: as a name, and it may contain colons; raises as `check_name`."""
    return _checked(text, r"[A-Za-z0-9_.:-]{1,200}", "A-Z a-z 0-9 _ . - :")


def _checked(text: object, pattern: str, allowed: str) -> str:
    if not isinstance(text, str) or not re.fullmatch(pattern, text) or not text.strip("."):
        raise ValueError(f"expected 1 to 200 of the characters {allowed}, and not dots alone")
    return text


Name = Annotated[str, BeforeValidator(check_name)]
"""Name of a band or an image."""

ProductId = Annotated[str, BeforeValidator(check_product_id)]
"""Id of a product."""

Nodata = Annotated[
    float,
    Field(allow_inf_nan=True),
    PlainSerializer(lambda value: value if math.isfinite(value) else str(value), return_type=float | str),
]
"""A pixel value; JSON has no NaN and no infinity, so these are the texts `nan`, `inf` and `-inf`, as in STAC."""

Tag = Annotated[str, StringConstraints(min_length=1, max_length=1000, strict=True)]
Tags = Annotated[list[Tag], BeforeValidator(lambda v: list(v) if isinstance(v, tuple | set) else v)]


def _json_object(value: dict[str, Any]) -> dict[str, Any]:
    try:
        json.dumps(value, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise ValueError(f"expected values that JSON can hold: {error}") from error
    return value


JsonObject = Annotated[dict[str, Any], AfterValidator(_json_object)]
"""Any JSON values by name, for the team's own use."""


def make_valid_name(text: str) -> str:
    """Return `text` with every run of characters that a name cannot hold replaced by `_`."""
    return re.sub(r"[^a-zA-Z0-9_.-]+", "_", text)


class Resolution(Value):
    """Size of a pixel, as in `Resolution(value=60, unit="meters")`."""

    value: Annotated[float, "positive"]
    """Length of a pixel's side."""
    unit: Annotated[str, AfterValidator(lambda unit: _UNITS.get(unit.strip().lower(), unit))]
    """`meters` or `degrees`."""

    def model_post_init(self, context: object) -> None:
        """Refuse a size or a unit that no pixel has."""
        if not self.value > 0:
            raise ValueError("expected a positive number")
        if self.unit not in ("meters", "degrees"):
            raise ValueError("expected the unit meters or degrees")

    @property
    def metres(self) -> float:
        """Length in metres; a degree counts as one of the equator."""
        return self.value if self.unit == "meters" else round(self.value * METRES_PER_DEGREE, 3)


def _parse_resolution(value: object) -> object:
    if isinstance(value, int | float):
        raise ValueError(f"expected a size with its unit, such as '{value:g}m' or '{value:g} degrees'")
    if isinstance(value, str) and (found := re.fullmatch(r"\s*([-+.\deE]+)\s*(\S+)\s*", value)):
        return {"value": found[1], "unit": found[2]}
    return value


AnyResolution = Annotated[Resolution, BeforeValidator(_parse_resolution)]
"""A `Resolution`, or a text such as `60m` or `0.25 degrees`."""
