"""What products, bands and images have in common: attributes over a frozen value, and a state against the catalog."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from html import escape
from typing import Any, ClassVar, Self, cast, overload

from stac_ingest.client.connection import Client, default_client
from stac_ingest.errors import (
    AttributeValidationError,
    DeletedObjectError,
    NotFoundError,
    UnsavedObjectError,
)
from stac_ingest.models.enums import DocumentState
from stac_ingest.models.values import Value

Rows = list[tuple[str, object]]


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
        self.__doc__ = owner.VALUE.model_fields[name].description

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
            kind = "a readonly" if self.readonly else "an immutable"
            raise AttributeValidationError(f"Can't set '{self.name}' item because it is {kind} attribute")
        instance.value = instance.value.evolve(**{self.name: value})


class Delete:
    """`Product.delete(id)` and `product.delete()` under one name."""

    @overload
    def __get__(self, instance: None, owner: type[CatalogObject[Any]]) -> Callable[..., bool]: ...
    @overload
    def __get__(self, instance: CatalogObject[Any], owner: type[CatalogObject[Any]]) -> Callable[[], None]: ...
    def __get__(
        self, instance: CatalogObject[Any] | None, owner: type[CatalogObject[Any]]
    ) -> Callable[..., bool] | Callable[[], None]:
        return owner._delete_by_id if instance is None else instance._delete


class CatalogObject[V: Value](ABC):
    """An object of the catalog: its attributes in memory, and whether the catalog has the same."""

    VALUE: ClassVar[type[Value]]
    ATTRIBUTES: ClassVar[tuple[str, ...]] = ()
    """Names of all attributes."""
    value: V
    """The attributes as one frozen value."""
    delete = Delete()

    def __init_subclass__(cls) -> None:
        members = (pair for base in reversed(cls.__mro__) for pair in vars(base).items())
        cls.ATTRIBUTES = tuple(dict.fromkeys(name for name, found in members if isinstance(found, Attribute)))

    def __init__(self, client: Client | None, value: V) -> None:
        self._client = client or default_client()
        self._saved: dict[str, Any] | None = None
        self._etag: str | None = None
        self._deleted = False
        self.value = value

    # --- In memory

    @property
    @abstractmethod
    def id(self) -> str:
        """What the object is called in the catalog."""

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

    def update(self, ignore_errors: bool = False, **attributes: Any) -> None:
        """Set several attributes, all or none.

        Args:
            ignore_errors: Set those that can be set, and leave the others as they are.
            attributes: New values.

        Raises:
            AttributeError: An attribute is unknown; nothing was set.
            AttributeValidationError: An attribute cannot hold its value, or be changed; nothing was set.
        """
        before = self.value
        for name, value in attributes.items():
            try:
                require_known(type(self), {name: value})
                setattr(self, name, value)
            except (AttributeError, AttributeValidationError):
                if not ignore_errors:
                    self.value = before
                    raise

    def serialize(self, modified_only: bool = False) -> dict[str, Any]:
        """Return the attributes that are set, as JSON types.

        Args:
            modified_only: Only those that differ from what the catalog has; None for one that is no longer set.
        """
        attributes = self.value.to_json()
        return _changes(self._saved or {}, attributes) if modified_only else attributes

    # --- The catalog

    @classmethod
    @abstractmethod
    def get(
        cls,
        id: str,  # noqa: A002 - the name of the attribute
        client: Client | None = None,
    ) -> Self | None:
        """Return the object with this id, or None when there is none."""

    @classmethod
    def get_or_create(
        cls,
        id: str,  # noqa: A002 - the name of the attribute
        client: Client | None = None,
        **attributes: Any,
    ) -> Self:
        """Return the object with this id and these attributes, whether the catalog has it or not.

        Nothing is saved. The state tells whether it is new (unsaved), or differs from the catalog (modified) or not
        (saved).

        Args:
            id: What it is called.
            client: The service; unset: the one that the environment names.
            attributes: Attributes to set.

        Raises:
            AttributeError: An attribute is unknown.
            AttributeValidationError: An attribute cannot hold its value.
        """
        found = cls.get(id, client)
        if found is None:
            made: Self = cast(Any, cls)(client, id=id, **attributes)
            return made
        found.update(**attributes)
        return found

    @classmethod
    def get_many(cls, ids: Sequence[str], ignore_missing: bool = False, client: Client | None = None) -> list[Self]:
        """Return the objects with these ids, in their order; one that is named twice comes twice.

        Args:
            ids: What they are called.
            ignore_missing: Leave out those that the catalog does not have.
            client: The service; unset: the one that the environment names.

        Raises:
            TypeError: `ids` is not a list of strings.
            NotFoundError: Names those that the catalog does not have.
        """
        if isinstance(ids, str) or not all(isinstance(one, str) for one in ids):
            raise TypeError("ids must be a list of strings")
        found = {thing.id: thing for thing in cls._find_many(tuple(dict.fromkeys(ids)), client or default_client())}
        if not ignore_missing and (missing := [one for one in dict.fromkeys(ids) if one not in found]):
            raise NotFoundError(f"Objects not found for ids: {', '.join(missing)}", status=404)
        return [found[one] for one in ids if one in found]

    @classmethod
    @abstractmethod
    def _find_many(cls, ids: Sequence[str], client: Client) -> Iterable[Self]:
        """Return those of the objects that there are, in any order."""

    @classmethod
    def exists(
        cls,
        id: str,  # noqa: A002 - the name of the attribute
        client: Client | None = None,
    ) -> bool:
        """Return whether the catalog has an object with this id."""
        return cls.get(id, client) is not None

    def save(self) -> None:
        """Add the object to the catalog, or send what was changed; does nothing when there is nothing to send.

        Raises:
            ConflictError: The object is new here, and the catalog has one with this id; or someone else has changed it
                since it was loaded: reload it, and change it again.
            DeletedObjectError: It is no longer there.
            AttributeValidationError: What was changed inside a list or dictionary cannot be held.
        """
        self._require_existing()
        state = self.state
        self._checked()
        if state is DocumentState.UNSAVED:
            self._create()
        elif state is DocumentState.MODIFIED:
            with _absence_noticed(self):
                self._change()

    def reload(self) -> None:
        """Take the attributes from the catalog; what was changed here is lost.

        Raises:
            UnsavedObjectError: The object was never in the catalog.
            DeletedObjectError: It is no longer there.
        """
        self._require_existing()
        if self._saved is None:
            raise UnsavedObjectError(f"{self._title} has not been saved")
        with _absence_noticed(self):
            self._load()

    def _delete(self) -> None:
        """Remove the object from the catalog.

        Raises:
            UnsavedObjectError: It was never there.
            DeletedObjectError: It is no longer there.
            ConflictError: Something belongs to it: a product with images cannot be deleted.
        """
        self._require_existing()
        if self._saved is None:
            raise UnsavedObjectError("You cannot delete an unsaved object.")
        with _absence_noticed(self):
            self._remove()
        self._deleted = True

    @classmethod
    def _delete_by_id(
        cls,
        id: str,  # noqa: A002 - the name of the attribute
        client: Client | None = None,
    ) -> bool:
        """Remove the object with this id from the catalog; returns False when there was none.

        Raises:
            ConflictError: Something belongs to it: a product with images cannot be deleted.
        """
        found = cls.get(id, client)
        if found is None:
            return False
        try:
            found._delete()
        except DeletedObjectError:
            return False
        return True

    @abstractmethod
    def _load(self) -> None:
        """Take the attributes from the catalog."""

    @abstractmethod
    def _create(self) -> None:
        """Add the object to the catalog."""

    @abstractmethod
    def _change(self) -> None:
        """Send what differs from the catalog."""

    @abstractmethod
    def _remove(self) -> None:
        """Remove the object from the catalog."""

    # --- Steps

    def _checked(self) -> V:
        """Return the value, with what was changed inside its lists and dictionaries checked too."""
        self.value = type(self.value).check(dict(self.value))
        return self.value

    def _as_json(self) -> dict[str, Any]:
        # Lists and dictionaries may hold what they should not until `_checked` says so.
        return self.value.model_dump(mode="json", exclude_none=True, warnings=False)

    def _mark_saved(self, value: V, etag: str | None = None) -> None:
        self.value = value
        self._saved = value.to_json()
        self._etag = etag

    def _require_existing(self) -> None:
        if self._deleted:
            raise DeletedObjectError(f"{self._title} was deleted from the catalog.")

    @property
    def _title(self) -> str:
        return f"{type(self).__name__} {self.id!r}"

    # --- Python

    def __setattr__(self, name: str, value: object) -> None:
        if not name.startswith("_") and name != "value" and name not in self.ATTRIBUTES:
            known = hasattr(type(self), name)
            reason = f"Can't set '{name}' item because it is a readonly attribute"
            raise AttributeError(reason if known else f"{type(self).__name__} has no attribute {name}")
        super().__setattr__(name, value)

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        return (self.id, self.state, self._as_json()) == (other.id, other.state, other._as_json())

    __hash__ = None  # type: ignore[assignment]

    def _rows(self) -> Rows:
        """Return what a person wants to see of the object."""
        return [("id", self.id), ("created", getattr(self, "created", None))]

    def _shown_rows(self) -> Rows:
        return [(name, value) for name, value in self._rows() if value not in (None, "", [], {})]

    @property
    def _standing(self) -> str | None:
        match self.state:
            case DocumentState.DELETED:
                return "Deleted from the catalog. It cannot be used any more."
            case DocumentState.SAVED:
                return None
            case _:
                return "Not up-to-date in the catalog. Call `.save()` to save or update this record."

    def __repr__(self) -> str:
        lines = [f"{type(self).__name__}: {getattr(self, 'name', None) or self.id}"]
        lines += [f"  {name}: {value}" for name, value in self._shown_rows()]
        return "\n".join([*lines, *([f"* {self._standing}"] if self._standing else [])])

    def _repr_html_(self) -> str:
        """Return the object as a table, for notebooks."""
        rows = "".join(
            f"<tr><th>{escape(name)}</th><td style='text-align:left'>{escape(str(value))}</td></tr>"
            for name, value in self._shown_rows()
        )
        title = f"<b>{type(self).__name__}: {escape(str(getattr(self, 'name', None) or self.id))}</b>"
        standing = f"<p>{escape(self._standing)}</p>" if self._standing else ""
        return f"<div>{title}<table>{rows}</table>{standing}</div>"


@contextmanager
def _absence_noticed(thing: CatalogObject[Any]) -> Iterator[None]:
    """Mark the object as deleted when the catalog says that it is not there."""
    try:
        yield
    except NotFoundError as error:
        thing._deleted = True
        raise DeletedObjectError(f"{thing._title} was deleted from the catalog.") from error


def _changes(before: dict[str, Any], after: dict[str, Any]) -> dict[str, Any]:
    changed = {name: value for name, value in after.items() if name not in before or before[name] != value}
    return changed | {name: None for name in before if name not in after}


def require_known(cls: type[CatalogObject[Any]], attributes: dict[str, Any]) -> None:
    """Raise AttributeError for the first attribute that the class does not have."""
    for name in attributes:
        if name not in cls.ATTRIBUTES:
            raise AttributeError(f"{cls.__name__} has no attribute {name}")
