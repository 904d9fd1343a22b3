"""What products, bands and images have in common: attributes over a frozen value, and a state against the catalog."""

from __future__ import annotations

from typing import Any, ClassVar, Self, overload

from stac_ingest.client.connection import Client, default_client
from stac_ingest.errors import AttributeValidationError, DeletedObjectError
from stac_ingest.models.enums import DocumentState
from stac_ingest.models.values import Value


class Attribute[T]:
    """An attribute that is kept in the object's value, and checked there when it is set.

    Args:
        immutable: It can be set when the object is made, and not be changed afterwards.
        readonly: The service sets it.
    """

    def __init__(self, *, immutable: bool = False, readonly: bool = False) -> None:
        self.immutable = immutable
        self.readonly = readonly
        self.name = ""

    def __set_name__(self, owner: type[CatalogObject[Any]], name: str) -> None:
        self.name = name
        field = owner.VALUE.model_fields.get(name)
        self.__doc__ = field.description if field else None

    @overload
    def __get__(self, instance: None, owner: type) -> Self: ...
    @overload
    def __get__(self, instance: CatalogObject[Any], owner: type) -> T: ...
    def __get__(self, instance: CatalogObject[Any] | None, owner: type) -> Self | T:
        if instance is None:
            return self
        value: T = getattr(instance.value, self.name)
        return value

    def __set__(self, instance: CatalogObject[Any], value: object) -> None:
        if self.readonly or (self.immutable and value != getattr(instance.value, self.name)):
            kind = "readonly" if self.readonly else "immutable"
            raise AttributeValidationError(f"Can't set '{self.name}' item because it is a {kind} attribute")
        instance.value = instance.value.evolve(**{self.name: value})


class CatalogObject[V: Value]:
    """An object of the catalog: its attributes in memory, and whether the catalog has the same."""

    VALUE: ClassVar[type[Value]]
    value: V

    def __init__(self, client: Client | None, value: V) -> None:
        self._client = client or default_client()
        self._saved: dict[str, Any] | None = None
        self._deleted = False
        self.value = value

    @property
    def state(self) -> DocumentState:
        """How the object relates to the catalog; setting an attribute to what it was does not count as a change."""
        if self._deleted:
            return DocumentState.DELETED
        if self._saved is None:
            return DocumentState.UNSAVED
        return DocumentState.SAVED if self._as_json() == self._saved else DocumentState.MODIFIED

    @property
    def is_modified(self) -> bool:
        """Whether an attribute differs from what the catalog has."""
        return self.state in (DocumentState.UNSAVED, DocumentState.MODIFIED)

    def serialize(self) -> dict[str, Any]:
        """Return the attributes that are set, as JSON types."""
        return self.value.to_json()

    def _checked(self) -> V:
        """Return the value, with what was changed inside its lists and dictionaries checked too."""
        self.value = type(self.value).check(dict(self.value))
        return self.value

    def _as_json(self) -> dict[str, Any]:
        # Lists and dictionaries may hold what they should not until `_checked` says so.
        return self.value.model_dump(mode="json", exclude_none=True, warnings=False)

    def _mark_saved(self, value: V) -> None:
        self.value = value
        self._saved = value.to_json()

    def _require_existing(self) -> None:
        if self._deleted:
            raise DeletedObjectError(f"{type(self).__name__} was deleted from the catalog.")

    def __setattr__(self, name: str, value: object) -> None:
        if not name.startswith("_") and not hasattr(type(self), name) and name != "value":
            raise AttributeError(f"{type(self).__name__} has no attribute {name}")
        super().__setattr__(name, value)

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        return self.state == other.state and self._as_json() == other._as_json()

    __hash__ = None  # type: ignore[assignment]


def require_known(cls: type, attributes: dict[str, Any]) -> None:
    """Raise AttributeError for the first attribute that the class does not have."""
    for name in attributes:
        if not hasattr(cls, name):
            raise AttributeError(f"{cls.__name__} has no attribute {name}")
