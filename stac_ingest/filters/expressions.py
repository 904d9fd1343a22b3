"""Conditions on catalog objects: `p.tags == "x"` as a value, as CQL2-JSON, and evaluated here.

    >>> from stac_ingest import properties as p
    >>> (p.cloud_fraction < 0.2) & (p.tags == "reviewed")
    >>> "2024-01-01" <= p.acquired < "2025-01-01"
    >>> p.extra_properties["quality"] > 0.4

An expression knows attributes by the names that the SDK gives them; `to_cql2` is told how each is stored. What
`evaluate` says of an image is what a search with the same expression says of it, and the logic is SQL's: where a value
is missing, neither a comparison nor its negation holds. Tags are never missing: an image without any does not have the
tag. Texts are compared by code points.
"""

from __future__ import annotations

import operator as python
import re
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from enum import Enum
from itertools import takewhile
from typing import Any

from stac_ingest.errors import AttributeValidationError
from stac_ingest.filters.chains import Half, chained, continues
from stac_ingest.filters.comparing import (
    attribute_of,
    comparable,
    inside,
    json_type,
    moment,
    storable,
    unknown_attribute,
)
from stac_ingest.models.values import Resolution, timestamp_text

Json = dict[str, Any]
Getter = Callable[[str], Any]

EXTRA = "extra_properties"
LISTS = frozenset(("tags", "default_display_bands", "class_labels"))
"""Attributes that hold several texts; `==` asks whether one of them is as given."""
ALIASES = {"product": "product_id", "date": "acquired"}
"""Other names of attributes."""

_ORDER = {"<": python.lt, "<=": python.le, ">": python.gt, ">=": python.ge}
_COMPARE = {"=": python.eq, "<>": python.ne, **_ORDER}
_PYTHON = {"=": "==", "<>": "!="}
_HOW = (
    "combine conditions with &, | and ~, not with and, or and not; a range of one attribute is 1 <= p.x < 2,"
    " or (p.x >= 1) & (p.x < 2) in an assert of pytest"
)


@dataclass(frozen=True)
class Field:
    """How an attribute of images is stored."""

    name: str
    """The property of the Item."""
    write: Callable[[Any], Any] = lambda value: value
    """Makes the property's value of an attribute's."""
    missing: Any = None
    """What the attribute is where the property is missing."""


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
        raise TypeError(_HOW)

    def evaluate(self, obj: object) -> bool:
        """Return whether an object meets the condition, whether or not it is in the catalog.

        Raises:
            AttributeError: The object does not have an attribute that the condition names.
            AttributeValidationError: A value is none that the attribute could have.
        """
        return self.holds(lambda name: attribute_of(obj, name)) is True

    def holds(self, get: Getter) -> bool | None:
        """Return whether the condition holds for the attributes that `get` gives by name; None: it cannot be said."""
        raise NotImplementedError

    def replaced(self, change: Callable[[Comparison], Expression]) -> Expression:
        """Return the condition with each comparison changed."""
        raise NotImplementedError

    def to_cql2(self, fields: Mapping[str, Field]) -> Json:
        """Return the condition on images as CQL2-JSON (OGC 21-065r2).

        Args:
            fields: Attribute -> how it is stored.

        Raises:
            AttributeError: The condition names an attribute that is not in `fields`.
            TypeError: The attribute cannot be compared in this way.
        """
        raise NotImplementedError

    def serialize(self) -> Json:
        r"""Return the condition as CQL2-JSON with the SDK's names of attributes, as `parse` reads it.

        `p.tags == "x"` is `{"op": "=", "args": [{"property": "tags"}, "x"]}`; times are `{"timestamp": "…Z"}`; the keys
        of extra properties follow a dot each, and a dot in a key is written `\.`.
        """
        raise NotImplementedError

    @staticmethod
    def parse(serialized: object) -> Expression:
        """Return the condition that `serialize` wrote.

        Raises:
            ValueError: Says what is no condition.
        """
        return _parsed(serialized)


@dataclass(frozen=True, repr=False)
class Combination(Expression):
    """Conditions joined by `and`, `or`, or one under `not`."""

    operator: str
    parts: tuple[Expression, ...]

    def holds(self, get: Getter) -> bool | None:
        """Return whether the condition holds."""
        found = [part.holds(get) for part in self.parts]
        if self.operator == "not":
            return None if found[0] is None else not found[0]
        return _any(found) if self.operator == "or" else _all(found)

    def replaced(self, change: Callable[[Comparison], Expression]) -> Expression:
        """Return the condition with each comparison changed."""
        return Combination(self.operator, tuple(part.replaced(change) for part in self.parts))

    def to_cql2(self, fields: Mapping[str, Field]) -> Json:
        """Return the condition as CQL2-JSON."""
        return {"op": self.operator, "args": [part.to_cql2(fields) for part in self.parts]}

    def serialize(self) -> Json:
        """Return the condition as CQL2-JSON with the SDK's names."""
        return {"op": self.operator, "args": [part.serialize() for part in self.parts]}

    def __repr__(self) -> str:
        shown = [f"{part!r}" if _binds(part) else f"({part!r})" for part in self.parts]
        return f"~{shown[0]}" if self.operator == "not" else f" {'&|'[self.operator == 'or']} ".join(shown)


def _any(verdicts: Sequence[bool | None]) -> bool | None:
    return True if True in verdicts else None if None in verdicts else False


def _all(verdicts: Sequence[bool | None]) -> bool | None:
    return False if False in verdicts else None if None in verdicts else True


def _binds(part: Expression) -> bool:
    if isinstance(part, Comparison):
        return part.operator not in _COMPARE
    return isinstance(part, Combination) and part.operator == "not"


def _joined(operator: str, *sides: Expression) -> Combination:
    # Side by side, not one inside the other: a hundred tags joined in a loop would nest a hundred deep.
    parts: list[Expression] = []
    for side in sides:
        if not isinstance(side, Expression):
            raise TypeError(f"Expected a condition such as p.tags == 'x' on both sides, found {side!r}; {_HOW}")
        parts += side.parts if isinstance(side, Combination) and side.operator == operator else (side,)
    return Combination(operator, tuple(parts))


@dataclass(frozen=True, repr=False)
class Comparison(Expression):
    """One attribute against a value."""

    attribute: str
    operator: str
    """One of `= <> < <= > >= in prefix isNull`."""
    value: Any
    keys: tuple[str, ...] = ()
    """Path to a value inside of the extra properties."""
    compared: Property | None = field(default=None, compare=False, kw_only=True)
    """The property that was compared, if Python may compare it again in a chain."""

    def __bool__(self) -> bool:
        """Hold in the midst of a chain such as `1 <= p.x < 2`, whose second half then joins this one; else refuse."""
        half = chained(sys._getframe(1), self.operator)
        if half is None or self.compared is None:
            raise TypeError(_HOW)
        begun = self.compared.begun.get(half.frame, [])
        around = [one for one in begun if half.is_within(one[0])]  # an error took away what others were waiting for
        self.compared.begun[half.frame] = [*around, (half, self)]
        return True

    def holds(self, get: Getter) -> bool | None:
        """Return whether the condition holds."""
        found = get(self.attribute)
        for key in self.keys:
            found = inside(found, key)
        if self.operator == "isNull":
            return found is None or found in ([], {})
        if self.attribute in LISTS:
            return self._holds_of_list(found or ())
        if found is None:
            return None
        wanted = self.value if self.operator == "in" else (self.value,)
        return _any([self._compare(found, value) for value in wanted])

    def _holds_of_list(self, found: Iterable[Any]) -> bool:
        match self.operator:
            case "=":
                return self.value in found
            case "<>":
                return self.value not in found
            case "in":
                return any(value in found for value in self.value)
        raise _no_list_operator(self.attribute, self.operator)

    def _compare(self, found: Any, value: Any) -> bool | None:
        operator = "=" if self.operator == "in" else self.operator
        if self.attribute == EXTRA:
            if not self.keys:
                raise _no_keys()
            if json_type(found) != json_type(value):  # JSON values of different types cannot be compared
                return None
        elif operator == "prefix" and not isinstance(found, str):
            raise TypeError(f"{self.attribute} is no text and has no prefix")
        else:
            found, value = comparable(self.attribute, found, value)
        if operator == "prefix":
            return bool(found.startswith(value))
        return bool(_COMPARE[operator](found, value))

    def replaced(self, change: Callable[[Comparison], Expression]) -> Expression:
        """Return what `change` makes of the comparison."""
        return change(self)

    def to_cql2(self, fields: Mapping[str, Field]) -> Json:
        """Return the condition as CQL2-JSON."""
        if self.attribute == "id":
            return self._by_parts_of_id().to_cql2(fields)
        if self.attribute not in fields:
            raise unknown_attribute("Image", self.attribute, fields)
        stored = fields[self.attribute]
        named = {"property": ".".join((stored.name, *map(_escaped, self.keys)))}
        if self.operator == "isNull" and stored.missing is not None:
            return {"op": "isNull", "args": [{"property": "id"}]}  # never
        if self.operator == "isNull":
            return self._is_null(named)
        if self.attribute in LISTS:
            return self._on_list(named)
        if self.attribute == EXTRA and not self.keys:
            raise _no_keys()
        condition = self._on_value(named, stored)
        if stored.missing is None:
            return condition
        return _or_missing(named, condition, when_missing=self.holds(lambda _: stored.missing) is True)

    def _on_value(self, named: Json, stored: Field) -> Json:
        if self.operator == "prefix":
            return {"op": "like", "args": [named, _pattern(self.value)]}
        if self.operator == "in":
            return {"op": "in", "args": [named, [_literal(value, stored) for value in self.value]]}
        return {"op": self.operator, "args": [named, _literal(self.value, stored)]}

    def _is_null(self, named: Json) -> Json:
        condition = {"op": "isNull", "args": [named]}
        if self.attribute in LISTS:
            return {"op": "or", "args": [condition, {"op": "a_equals", "args": [named, []]}]}
        if self.attribute == EXTRA and not self.keys:
            return {"op": "or", "args": [condition, {"op": "=", "args": [named, "{}"]}]}
        return condition

    def _on_list(self, named: Json) -> Json:
        match self.operator:
            case "=":
                return _or_missing(named, {"op": "a_contains", "args": [named, [self.value]]}, when_missing=False)
            case "<>":
                has_it = {"op": "a_contains", "args": [named, [self.value]]}
                return _or_missing(named, {"op": "not", "args": [has_it]}, when_missing=True)
            case "in":
                return _or_missing(named, {"op": "a_overlaps", "args": [named, list(self.value)]}, when_missing=False)
        raise _no_list_operator(self.attribute, self.operator)

    def _by_parts_of_id(self) -> Expression:
        """Return the condition on an image's id as one on its product and its name."""
        match self.operator:
            case "=":
                product_id, _, name = str(self.value).rpartition(":")
                return Comparison("product_id", "=", product_id) & Comparison("name", "=", name)
            case "<>":
                return ~replace(self, operator="=")._by_parts_of_id()
            case "in":
                return Combination("or", tuple(Comparison("id", "=", value) for value in self.value))
            case "isNull":
                return Comparison("name", "isNull", None)
        raise TypeError("id can be compared with ==, != and in_; for others compare product_id and name")

    def serialize(self) -> Json:
        """Return the condition as CQL2-JSON with the SDK's names."""
        named = {"property": ".".join((self.attribute, *map(_escaped, self.keys)))}
        match self.operator:
            case "isNull":
                return {"op": "isNull", "args": [named]}
            case "prefix":
                return {"op": "like", "args": [named, _pattern(self.value)]}
            case "in":
                return {"op": "in", "args": [named, [_serialized(value) for value in self.value]]}
        return {"op": self.operator, "args": [named, _serialized(self.value)]}

    def __repr__(self) -> str:
        name = repr(Property(self.attribute, self.keys))
        match self.operator:
            case "isNull":
                return f"{name}.isnull"
            case "prefix":
                return f"{name}.prefix({self.value!r})"
            case "in":
                return f"{name}.in_([{', '.join(map(_shown, self.value))}])"
        return f"{name} {_PYTHON.get(self.operator, self.operator)} {_shown(self.value)}"


@dataclass(frozen=True, eq=False, repr=False)
class Property:
    """An attribute of catalog objects, to be compared."""

    name: str
    keys: tuple[str, ...] = ()
    begun: dict[int, list[tuple[Half, Comparison]]] = field(default_factory=dict, init=False, repr=False)
    """First halves of chains that Python is about to finish, by the frames in which they stand; the innermost last."""

    __hash__ = None  # type: ignore[assignment]
    __array_ufunc__ = None
    """Tells NumPy's scalars to leave comparisons to us."""

    def __getitem__(self, key: str | int) -> Property:
        """Return the value of a key in `extra_properties`, or of one inside of that; a number is a place in a list."""
        if self.name != EXTRA:
            raise TypeError(f"{self.name} has no keys; those of an object's own properties are p.{EXTRA}['key']")
        if not isinstance(key, str | int) or "\0" in str(key):
            raise TypeError(f"Expected the name of a key as text, found {key!r}")
        return Property(self.name, (*self.keys, str(key)))

    __iter__ = None

    def __eq__(self, value: object) -> Expression:  # type: ignore[override]
        return self._compare("=", value)

    def __ne__(self, value: object) -> Expression:  # type: ignore[override]
        return self._compare("<>", value)

    def __lt__(self, value: object) -> Expression:
        return self._compare("<", value)

    def __le__(self, value: object) -> Expression:
        return self._compare("<=", value)

    def __gt__(self, value: object) -> Expression:
        return self._compare(">", value)

    def __ge__(self, value: object) -> Expression:
        return self._compare(">=", value)

    def __bool__(self) -> bool:
        """Refuse `not p.x` and the like."""
        raise TypeError(f"p.{self.name} is no condition; compare it, or ask for p.{self.name}.isnotnull")

    def in_(self, values: Iterable[object]) -> Expression:
        """Ask whether the attribute is one of `values`; raises ValueError when there are none."""
        if isinstance(values, str | Property):
            raise TypeError(f"Expected a list of values for p.{self.name}.in_, found {values!r}")
        listed = tuple(self._plain(value) for value in values)
        if not listed:
            raise ValueError("in_ expression requires at least one item")
        return self._comparison("in", listed)

    any_of = in_

    @property
    def isnull(self) -> Expression:
        """Ask whether the attribute is not set, or an empty list."""
        return self._comparison("isNull", None)

    @property
    def isnotnull(self) -> Expression:
        """Ask whether the attribute is set."""
        return ~self.isnull

    def prefix(self, text: str) -> Expression:
        """Ask whether the attribute begins with `text`."""
        if not isinstance(text, str):
            raise TypeError(f"Expected a text for p.{self.name}.prefix, found {text!r}")
        return self._comparison("prefix", storable(text))

    startswith = prefix

    def __repr__(self) -> str:
        return f"p.{self.name}" + "".join(f"[{key!r}]" for key in self.keys)

    def _compare(self, operator: str, value: object) -> Expression:
        made = self._comparison(operator, self._plain(value))
        frame = sys._getframe(2)
        halves = self.begun.get(id(frame), [])
        if not halves or not continues(frame, halves[-1][0]):
            return made
        _, first = halves.pop()
        if not halves:
            del self.begun[id(frame)]
        return first & made

    def _comparison(self, operator: str, value: object) -> Comparison:
        return Comparison(ALIASES.get(self.name, self.name), operator, value, self.keys, compared=self)

    def _plain(self, value: Any) -> Any:
        """Return a value as one that hashes and can be written: enums as texts, times in UTC, products as their ids."""
        name = f"p.{self.name}"
        if value is None:
            raise ValueError(f"Expected a value to compare {name} with, found None; ask for {name}.isnull")
        if isinstance(value, Property | Expression):
            raise TypeError(f"Expected a value to compare {name} with, found {value!r}; {_HOW}")
        if hasattr(value, "dtype"):  # one of NumPy's; its times may count nanoseconds, which only their text tells
            value = moment(self.name, str(value)) if value.dtype.kind == "M" else value.item()
        if self.name == "product" and not isinstance(value, str):
            value = getattr(value, "id", value)
        match value:
            case Enum():
                return value.value
            case datetime() | date():
                utc = moment(self.name, value)
                return timestamp_text(utc) if self.keys else utc
            case str():
                return storable(value)
            case float() if value != value or abs(value) == float("inf"):
                raise AttributeValidationError(f"{name}: expected a finite number, found {value}")
            case bool() | int() | float():
                return value
            case Resolution() if not self.keys:
                return value
        raise TypeError(
            f"Expected a text, number, time or boolean to compare {name} with, found {value!r:.100};"
            f" for several values use {name}.in_"
        )


class Properties:
    """Every attribute by its name: `properties.acquired`."""

    def __getattr__(self, name: str) -> Property:
        if name.startswith("_"):
            raise AttributeError(name)
        return Property(name)


properties = Properties()


def _no_keys() -> TypeError:
    return TypeError(f"{EXTRA} is compared by its keys: p.{EXTRA}['quality'] > 0.4")


def _no_list_operator(attribute: str, operator: str) -> TypeError:
    return TypeError(f"{attribute} holds several values and cannot be compared with {operator}; use ==, != or in_")


# --- CQL2 -------------------------------------------------------------------------------------------------------------


def _or_missing(named: Json, condition: Json, *, when_missing: bool) -> Json:
    """Return the condition as one that holds, or does not, where the property is missing; so does its negation."""
    missing = {"op": "isNull", "args": [named]}
    if when_missing:
        return {"op": "or", "args": [missing, condition]}
    return {"op": "and", "args": [{"op": "not", "args": [missing]}, condition]}


def _literal(value: Any, stored: Field) -> Any:
    return timestamp_text(value) if isinstance(value, datetime) else stored.write(value)


def _pattern(prefix: str) -> str:
    return re.sub(r"([\\%_])", r"\\\1", prefix) + "%"


def _escaped(key: str) -> str:
    return re.sub(r"([\\.])", r"\\\1", key)


def property_named(text: str) -> Property:
    """Return the property with a name such as `acquired` or `extra_properties.quality`."""
    name, *keys = (re.sub(r"\\(.)", r"\1", part) for part in re.findall(r"(?:^|\.)((?:[^\\.]|\\.)*)", text))
    named = Property(name)
    for key in keys:
        named = named[key]
    return named


def _serialized(value: Any) -> Any:
    match value:
        case datetime():
            return {"timestamp": timestamp_text(value)}
        case Resolution():
            return f"{value.value!r} {value.unit}"
    return value


def _shown(value: Any) -> str:
    plain = _serialized(value)
    return repr(plain["timestamp"] if isinstance(plain, dict) else plain)


def _parsed(tree: Any) -> Expression:
    match tree:
        case {"op": "and" | "or" as operator, "args": [_, *_] as parts}:
            return Combination(operator, tuple(_parsed(part) for part in parts))
        case {"op": "not", "args": [part]}:
            return ~_parsed(part)
        case {"op": "isNull", "args": [{"property": str(name)}]}:
            return property_named(name).isnull
        case {"op": "like", "args": [{"property": str(name)}, str(pattern)]}:
            return property_named(name).prefix(_prefix_of(pattern))
        case {"op": "in", "args": [{"property": str(name)}, list(values)]}:
            return property_named(name).in_(map(_value_of, values))
        case {"op": str(operator), "args": [{"property": str(name)}, value]} if operator in _COMPARE:
            return property_named(name)._compare(operator, _value_of(value))
    raise _refusal(tree)


def _value_of(value: Any) -> Any:
    match value:
        case {"timestamp": str(text)}:
            return moment("timestamp", text)
        case bool() | int() | float() | str():
            return value
    raise _refusal(value)


def _prefix_of(pattern: str) -> str:
    parts = re.findall(r"\\.|[^\\]", pattern)
    literal = list(takewhile(lambda part: part not in "%_", parts))
    if parts[len(literal) :] != ["%"]:
        raise _refusal(pattern)
    return "".join(part[-1] for part in literal)


def _refusal(found: object) -> ValueError:
    return ValueError(f"Expected a condition as Expression.serialize() writes it, found {found!r:.200}")
