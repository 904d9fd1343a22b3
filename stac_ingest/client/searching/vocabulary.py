"""Which attributes the objects of a class have, and what they can be compared with."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from enum import Enum, auto
from functools import cache
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel, TypeAdapter, ValidationError

from stac_ingest.errors import AttributeValidationError
from stac_ingest.filters import ALIASES, EXTRA, LISTS, Comparison, Expression, Property, property_named
from stac_ingest.filters.comparing import metres, moment, unknown_attribute
from stac_ingest.models.values import Resolution, describe


class Kind(Enum):
    """What the values of an attribute are, as far as comparing them goes."""

    TIME = auto()
    TEXT = auto()
    CHOICE = auto()
    NUMBER = auto()
    FLAG = auto()
    RESOLUTION = auto()
    LIST = auto()
    EXTRA = auto()
    OTHER = auto()


@dataclass(frozen=True)
class SortKey:
    """One attribute by which objects are sorted."""

    attribute: str
    keys: tuple[str, ...]
    ascending: bool

    def __str__(self) -> str:
        return ("" if self.ascending else "-") + ".".join((self.attribute, *self.keys))


@dataclass(frozen=True, eq=False)
class Vocabulary:
    """The attributes of one class that a search can name."""

    owner: str
    """Name of the class."""
    annotations: Mapping[str, Any]
    """Attribute -> its type, with its bounds."""

    def checked(self, expression: Expression) -> Expression:
        """Return the expression with its values as the attributes have them.

        Raises:
            AttributeError: There is no such attribute.
            AttributeValidationError: An attribute cannot have the value that it is compared with.
            TypeError: An attribute cannot be compared in this way.
        """
        return expression.replaced(self._checked)

    def sort_key(self, wanted: str | Property, *, ascending: bool) -> SortKey:
        """Return what to sort by: an attribute, or its name, with a `-` before it for descending order.

        Raises:
            AttributeError: There is no such attribute.
            TypeError: Its values have no order.
        """
        if not isinstance(wanted, str | Property):
            raise TypeError(
                f"Expected the name of an attribute to sort by, found {wanted!r}; descending is '-acquired'"
                " or ascending=False"
            )
        if isinstance(wanted, str):
            ascending = ascending and not wanted.startswith("-")
            wanted = property_named(wanted.removeprefix("-"))
        attribute = ALIASES.get(wanted.name, wanted.name)
        kind = self._kind(attribute)
        if kind in (Kind.LIST, Kind.OTHER) or (kind is Kind.EXTRA and not wanted.keys):
            raise TypeError(f"{attribute} has no order; sort by another attribute")
        return SortKey(attribute, wanted.keys, ascending)

    def _checked(self, comparison: Comparison) -> Comparison:
        attribute, operator = comparison.attribute, comparison.operator
        kind = self._kind(attribute)
        if operator == "isNull":
            return comparison
        if kind is Kind.OTHER:
            raise TypeError(f"{attribute} cannot be compared; only whether it is set can be asked for")
        if kind is Kind.EXTRA:
            if not comparison.keys:
                raise TypeError(f"{EXTRA} is compared by its keys: p.{EXTRA}['quality'] > 0.4")
            return comparison
        if kind is Kind.LIST and operator not in ("=", "<>", "in"):
            raise TypeError(f"{attribute} holds several values and cannot be compared with {operator}")
        if operator == "prefix" and kind is not Kind.TEXT:
            raise TypeError(f"{attribute} is no text and has no prefix")
        if operator == "in":
            return replace(comparison, value=tuple(self._value(attribute, kind, one) for one in comparison.value))
        if kind is Kind.TEXT and operator not in ("=", "<>"):
            return replace(comparison, value=_text(attribute, comparison.value))
        return replace(comparison, value=self._value(attribute, kind, comparison.value))

    def _value(self, attribute: str, kind: Kind, value: Any) -> Any:
        match kind:
            case Kind.TIME:
                return moment(attribute, value)
            case Kind.RESOLUTION:
                return metres(attribute, value)
            case Kind.TEXT | Kind.LIST | Kind.CHOICE:
                _text(attribute, value)
            case Kind.FLAG if not isinstance(value, bool):
                raise AttributeValidationError(f"{self.owner}: {attribute}: expected True or False, found {value!r}")
            case Kind.NUMBER if isinstance(value, bool) or not isinstance(value, int | float):
                raise AttributeValidationError(f"{self.owner}: {attribute}: expected a number, found {value!r}")
        try:
            valid = _adapter(self, attribute).validate_python([value] if kind is Kind.LIST else value)
        except ValidationError as error:
            reason = describe(error).removeprefix("value: ")
            raise AttributeValidationError(f"{self.owner}: {attribute}: {reason}") from error
        if kind is Kind.CHOICE and valid != value:  # another name of it would be another text where it is compared
            raise AttributeValidationError(f"{self.owner}: {attribute}: expected {str(valid)!r}, found {value!r}")
        return value

    def _kind(self, attribute: str) -> Kind:
        if attribute not in self.annotations:
            raise unknown_attribute(self.owner, attribute, self.annotations)
        return Kind.EXTRA if attribute == EXTRA else _kind_of(self.annotations[attribute], attribute)


def vocabulary(owner: str, *models: type[BaseModel], **others: Any) -> Vocabulary:
    """Return the attributes that any of the models has, and others by their types."""
    fields = {name: info for model in models for name, info in reversed(model.model_fields.items())}
    own = {name: info.rebuild_annotation() for name, info in fields.items()}
    return Vocabulary(owner, {**own, **others})


def only(words: Vocabulary, names: Iterable[str]) -> Vocabulary:
    """Return the vocabulary without the attributes that are not among `names`."""
    return replace(words, annotations={name: words.annotations[name] for name in names})


@cache
def _adapter(words: Vocabulary, attribute: str) -> TypeAdapter[Any]:
    return TypeAdapter(words.annotations[attribute])


def _text(attribute: str, value: object) -> str:
    if not isinstance(value, str):
        raise AttributeValidationError(f"{attribute}: expected a text, found {value!r}")
    return value


def _kind_of(annotation: Any, attribute: str) -> Kind:
    if get_origin(annotation) is Annotated:
        return _kind_of(get_args(annotation)[0], attribute)
    if get_origin(annotation) in (Union, UnionType):
        return _kind_of(next(part for part in get_args(annotation) if part is not NoneType), attribute)
    if get_origin(annotation) is Literal:
        return Kind.CHOICE
    if get_origin(annotation) is list and attribute in LISTS:
        return Kind.LIST
    if not isinstance(annotation, type):
        return Kind.OTHER
    kinds = {Enum: Kind.CHOICE, datetime: Kind.TIME, bool: Kind.FLAG, int: Kind.NUMBER, float: Kind.NUMBER}
    return next(
        (kind for known, kind in {**kinds, str: Kind.TEXT, Resolution: Kind.RESOLUTION}.items()
         if issubclass(annotation, known)),
        Kind.OTHER,
    )  # fmt: skip
