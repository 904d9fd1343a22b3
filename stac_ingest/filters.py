"""Conditions on images: `p.tags == "x"` as a value, and as CQL2-JSON.

    >>> from stac_ingest import properties as p
    >>> (p.cloud_fraction < 0.2) & (p.tags == "reviewed")

An expression knows attributes by the names that the SDK gives them; `to_cql2` is told how each is stored.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from pydantic import TypeAdapter

from stac_ingest.models.enums import StorageState
from stac_ingest.models.values import Timestamp, timestamp_text

Json = dict[str, Any]
Field = tuple[str, Callable[[Any], Any]]
"""Name of the property that an attribute is stored as, and how its values are written."""

_MOMENT: TypeAdapter[datetime] = TypeAdapter(Timestamp)
LISTS = frozenset(("tags",))
"""Attributes that hold several values; `==` asks whether one of them is as given."""


class Expression:
    """A condition; combine them with `&`, `|` and `~`."""

    def __and__(self, other: Expression) -> Expression:
        return _joined("and", self, other)

    def __or__(self, other: Expression) -> Expression:
        return _joined("or", self, other)

    def __invert__(self) -> Expression:
        return Combination("not", (self,))

    def __bool__(self) -> bool:
        """Refuse `and`, `or` and `not`, which Python would evaluate at once."""
        raise TypeError("combine conditions with &, | and ~, not with and, or and not")

    def to_cql2(self, fields: Mapping[str, Field]) -> Json:
        """Return the condition as CQL2-JSON (OGC 21-065r2).

        Args:
            fields: Attribute -> how it is stored.

        Raises:
            AttributeError: The condition names an attribute that is not in `fields`.
        """
        raise NotImplementedError


@dataclass(frozen=True)
class Combination(Expression):
    """Conditions joined by `and`, `or`, or one under `not`."""

    operator: str
    parts: tuple[Expression, ...]

    def to_cql2(self, fields: Mapping[str, Field]) -> Json:
        """Return the condition as CQL2-JSON."""
        return {"op": self.operator, "args": [part.to_cql2(fields) for part in self.parts]}


def _joined(operator: str, *sides: Expression) -> Combination:
    # Side by side, not one inside the other: a hundred tags joined in a loop would nest a hundred deep.
    parts: list[Expression] = []
    for side in sides:
        parts += side.parts if isinstance(side, Combination) and side.operator == operator else (side,)
    return Combination(operator, tuple(parts))


@dataclass(frozen=True)
class Comparison(Expression):
    """One attribute against a value."""

    attribute: str
    operator: str
    value: Any

    def to_cql2(self, fields: Mapping[str, Field]) -> Json:
        """Return the condition as CQL2-JSON."""
        if self.attribute not in fields:
            raise AttributeError(f"Image has no attribute {self.attribute} that can be searched for")
        name, write = fields[self.attribute]
        stored = {"property": name}
        if self.operator == "isNull":
            return {"op": "isNull", "args": [stored]}
        if self.attribute in LISTS:
            return self._on_list(stored)
        if self.operator == "like":
            return {"op": "like", "args": [stored, self.value]}
        if self.operator == "in":
            return {"op": "in", "args": [stored, [_literal(value, write) for value in self.value]]}
        return {"op": self.operator, "args": [stored, _literal(self.value, write)]}

    def _on_list(self, stored: Json) -> Json:
        match self.operator:
            case "=":
                return {"op": "a_contains", "args": [stored, [self.value]]}
            case "<>":
                return {"op": "not", "args": [{"op": "a_contains", "args": [stored, [self.value]]}]}
            case "in":
                return {"op": "a_overlaps", "args": [stored, list(self.value)]}
        raise TypeError(f"{self.attribute} holds several values and cannot be compared with {self.operator}")


def _literal(value: Any, write: Callable[[Any], Any]) -> Any:
    if isinstance(value, StorageState):
        return value.value
    if isinstance(value, datetime | date):
        moment = _MOMENT.validate_python(value)
        return timestamp_text(moment)
    if isinstance(value, str):
        return value
    return write(value)


@dataclass(frozen=True, eq=False)
class Property:
    """An attribute of images, to be compared."""

    name: str

    __hash__ = None  # type: ignore[assignment]

    def __eq__(self, value: object) -> Expression:  # type: ignore[override]
        return Comparison(self.name, "=", value)

    def __ne__(self, value: object) -> Expression:  # type: ignore[override]
        return Comparison(self.name, "<>", value)

    def __lt__(self, value: object) -> Expression:
        return Comparison(self.name, "<", value)

    def __le__(self, value: object) -> Expression:
        return Comparison(self.name, "<=", value)

    def __gt__(self, value: object) -> Expression:
        return Comparison(self.name, ">", value)

    def __ge__(self, value: object) -> Expression:
        return Comparison(self.name, ">=", value)

    def in_(self, values: Iterable[object]) -> Expression:
        """Ask whether the attribute is one of `values`; raises ValueError when there are none."""
        listed = tuple(values)
        if not listed:
            raise ValueError("in_ expression requires at least one item")
        return Comparison(self.name, "in", listed)

    any_of = in_

    @property
    def isnull(self) -> Expression:
        """Ask whether the attribute is not set."""
        return Comparison(self.name, "isNull", None)

    @property
    def isnotnull(self) -> Expression:
        """Ask whether the attribute is set."""
        return ~self.isnull

    def prefix(self, text: str) -> Expression:
        """Ask whether the attribute begins with `text`."""
        escaped = text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
        return Comparison(self.name, "like", f"{escaped}%")

    startswith = prefix


class Properties:
    """Every attribute by its name: `properties.acquired`."""

    def __getattr__(self, name: str) -> Property:
        if name.startswith("_"):
            raise AttributeError(name)
        return Property(name)


properties = Properties()
