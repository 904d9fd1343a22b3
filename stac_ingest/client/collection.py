"""Lists of catalog objects: filter, group and sort them, and do one thing with each."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Iterator, MutableSequence
from functools import partial
from html import escape
from itertools import groupby
from typing import Any, ClassVar, Self, SupportsIndex, cast, overload

from stac_ingest.client.band import CLASSES, Band
from stac_ingest.client.product import Product
from stac_ingest.filters import Expression
from stac_ingest.filters.comparing import attribute_of

SHOWN = 20
"""How many items a collection shows of itself."""

Key = str | Callable[[Any], Any]
"""Name of an attribute, maybe with dots (`acquired.year`), or a function of one item."""


class Collection[T](MutableSequence[T]):
    """A list of objects.

    Beside what a list does, it takes a list or array of positions or of booleans as index, as NumPy does.

        >>> images.filter(lambda image: image.cloud_fraction < 0.1)
        >>> images.filter(p.cloud_fraction < 0.1)
        >>> for month, group in images.groupby("acquired.month"): ...
        >>> images.each.tags = ["reviewed"]; images.each.save()

    Args:
        items: What it holds.

    Raises:
        ValueError: An item is not of the collection's kind.
    """

    KIND: ClassVar[type] = object
    """Class of the items."""
    COLUMNS: ClassVar[tuple[str, ...]] = ("id", "name")
    """Attributes that are shown in notebooks."""

    def __init__(self, items: Iterable[T] = ()) -> None:
        self._list = [self._checked(item) for item in items]

    def _checked(self, item: T) -> T:
        if not isinstance(item, self.KIND):
            raise ValueError(
                f"Expected objects of the class {self.KIND.__name__} in this {type(self).__name__}, found {item!r:.100}"
            )
        return item

    def _of(self, items: Iterable[T]) -> Self:
        """Return a collection like this one, of other items."""
        made = copy.copy(self)
        made._list = [made._checked(item) for item in items]
        return made

    # --- As a list

    def __len__(self) -> int:
        return len(self._list)

    def __iter__(self) -> Iterator[T]:
        return iter(self._list)

    @overload
    def __getitem__(self, index: SupportsIndex) -> T: ...
    @overload
    def __getitem__(self, index: slice | Iterable[Any]) -> Self: ...
    def __getitem__(self, index: SupportsIndex | slice | Iterable[Any]) -> T | Self:
        if isinstance(index, slice):
            return self._of(self._list[index])
        if _is_one(index):
            return self._list[cast(SupportsIndex, index)]
        return self._of(self._list[position] for position in self._positions(index))

    @overload
    def __setitem__(self, index: SupportsIndex, value: T) -> None: ...
    @overload
    def __setitem__(self, index: slice | Iterable[Any], value: Iterable[T]) -> None: ...
    def __setitem__(self, index: SupportsIndex | slice | Iterable[Any], value: Any) -> None:
        if not isinstance(index, slice) and _is_one(index):
            self._list[cast(SupportsIndex, index)] = self._checked(value)
            return
        positions = range(len(self))[index] if isinstance(index, slice) else self._positions(index)
        values = list(value) if isinstance(value, Iterable) else [value] * len(positions)
        if len(values) != len(positions):
            raise ValueError(f"Expected {len(positions)} items for as many places, found {len(values)}")
        for position, item in zip(positions, values, strict=True):
            self._list[position] = self._checked(item)

    def __delitem__(self, index: SupportsIndex | slice) -> None:
        del self._list[index]

    def insert(self, index: SupportsIndex, value: T) -> None:
        """Put an item before the one at `index`."""
        self._list.insert(index, self._checked(value))

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Collection):
            return self._list == other._list
        return self._list == other

    __hash__ = None  # type: ignore[assignment]

    def _positions(self, index: Any) -> list[int]:
        """Return the positions that a list or array of positions or of booleans names."""
        listed = index.tolist() if hasattr(index, "tolist") else list(index)
        if not any(isinstance(one, bool) for one in listed):
            return listed
        if len(listed) != len(self) or not all(isinstance(one, bool) for one in listed):
            raise IndexError(f"Expected one boolean for each of the {len(self)} items, found {listed!r:.100}")
        return [position for position, taken in enumerate(listed) if taken]

    # --- Beyond a list

    @property
    def each(self) -> Each:
        """All the items as if they were one: what is got, called or set is so with each, at once and in their order."""
        return Each(self._list)

    def filter(self, predicate: Callable[[T], object] | Expression) -> Self:
        """Return those items that meet a condition.

        Args:
            predicate: A function of one item, or an expression such as `p.cloud_fraction < 0.1`, which means here what
                it means in a search.
        """
        if isinstance(predicate, Expression):
            return self._of(item for item in self._list if predicate.holds(partial(self._attribute, item)))
        return self._of(item for item in self._list if predicate(item))

    def _attribute(self, item: T, name: str) -> Any:
        """Return an attribute as conditions and keys see it."""
        return attribute_of(item, name)

    def _joint(self, keys: tuple[Key, ...]) -> Callable[[Any], Any]:
        """Return the function that gives an item's key, or its tuple of keys."""
        if not keys:
            raise TypeError("Give at least one key: the name of an attribute, or a function of an item.")
        getters = [self._getter(key) for key in keys]
        return getters[0] if len(getters) == 1 else lambda item: tuple(get(item) for get in getters)

    def _getter(self, key: Key) -> Callable[[Any], Any]:
        if not isinstance(key, str):
            return key
        first, *others = key.split(".")

        def get(item: Any) -> Any:
            value = self._attribute(item, first)
            for name in others:
                value = None if value is None else getattr(value, name)
            return value

        return get

    def map[R](self, function: Callable[[T], R]) -> Collection[Any]:
        """Return what `function` makes of each item; of the same class if that can hold it."""
        made: list[Any] = [function(item) for item in self._list]
        return self._of(made) if all(isinstance(one, self.KIND) for one in made) else Collection(made)

    def groupby(self, *keys: Key) -> Iterator[tuple[Any, Self]]:
        """Yield (key, items) for each group of items with equal keys, sorted by the key.

        Args:
            keys: Names of attributes or functions of an item; with several the key is a tuple.

        Raises:
            TypeError: There is no key.
        """
        key = self._joint(keys)
        for _, group in groupby(sorted(self._list, key=_comparable(key)), _comparable(key)):
            items = list(group)
            yield key(items[0]), self._of(items)

    def sorted(self, *keys: Key, reverse: bool = False) -> Self:
        """Return the items in the order of their keys; those whose key is None come last.

        Args:
            keys: Names of attributes or functions of an item; the later ones decide among equals.
            reverse: Whether the order is descending; what is None stays last.

        Raises:
            TypeError: There is no key.
        """
        ordered = list(self._list)
        for key in reversed(keys or (self._joint(keys),)):
            value = self._getter(key)
            present = [item for item in ordered if value(item) is not None]
            absent = [item for item in ordered if value(item) is None]
            ordered = sorted(present, key=value, reverse=reverse) + absent
        return self._of(ordered)

    def sort(self, field: Key, ascending: bool = True) -> Self:
        """Return the items in the order of one attribute; as `sorted`."""
        return self.sorted(field, reverse=not ascending)

    # --- What it shows

    def __repr__(self) -> str:
        head = f"{type(self).__name__} of {len(self)} item{'' if len(self) == 1 else 's'}"
        return "\n".join([head, *(f"  {self._line(item)}" for item in self._list[:SHOWN]), *self._more()])

    def _repr_html_(self) -> str:
        """Return the collection as a table, for notebooks."""
        columns = [name for name in self.COLUMNS if all(hasattr(item, name) for item in self._list)]
        header = "".join(f"<th>{escape(name)}</th>" for name in columns or ["item"])
        rows = "".join(
            f"<tr><td>{position}</td>{''.join(f'<td>{escape(cell)}</td>' for cell in _cells(item, columns))}</tr>"
            for position, item in enumerate(self._list[:SHOWN])
        )
        more = "".join(f"<p>{escape(line)}</p>" for line in self._more())
        title = f"<b>{escape(type(self).__name__)}</b> of {len(self)}"
        return f"<div>{title}<table><tr><th></th>{header}</tr>{rows}</table>{more}</div>"

    def _line(self, item: T) -> str:
        name = getattr(item, "id", None)
        return name if isinstance(name, str) else repr(item)

    def _more(self) -> list[str]:
        return [f"  … and {len(self) - SHOWN} more"] if len(self) > SHOWN else []


class Each:
    """What is done with each of several things; made by `Collection.each`.

    Attributes of it are the attributes of all the things, calls are calls of all, indices are indices of all.
    """

    def __init__(self, things: Iterable[Any]) -> None:
        object.__setattr__(self, "_things", list(things))

    def __iter__(self) -> Iterator[Any]:
        return iter(self._things)

    def __len__(self) -> int:
        return len(self._things)

    def __getattr__(self, name: str) -> Each:
        if name.startswith("_"):
            raise AttributeError(name)
        return Each(getattr(thing, name) for thing in self)

    def __setattr__(self, name: str, value: object) -> None:
        for thing in self:
            setattr(thing, name, copy.deepcopy(value))

    def __getitem__(self, index: Any) -> Each:
        return Each(thing[index] for thing in self)

    def __call__(self, *args: Any, **kwargs: Any) -> Each:
        """Call each of them; returns what they answered."""
        return Each([thing(*args, **kwargs) for thing in self])

    def pipe(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Each:
        """Return what `function` makes of each, with `args` and `kwargs` after it."""
        return Each([function(thing, *args, **kwargs) for thing in self])

    def combine(self, into: Callable[[Iterable[Any]], Any] = list) -> Any:
        """Return all of them as a list, or as another container or function takes them: `set`, `sum`, …."""
        return into(iter(self))

    def collect(self, into: Callable[[Iterable[Any]], Any] = Collection) -> Any:
        """Return all of them as a `Collection`, or as a class of it."""
        return into(iter(self))

    def __repr__(self) -> str:
        return "\n".join([*(repr(thing) for thing in self._things[:SHOWN]), *(["…"] if len(self) > SHOWN else [])])


class ProductCollection(Collection[Product]):
    """A list of products."""

    KIND = Product


class BandCollection(Collection[Band]):
    """A list of bands."""

    KIND = Band
    COLUMNS = ("id", "type", "data_type", "description")

    def _attribute(self, item: Band, name: str) -> Any:
        """Return an attribute; None if only bands of other classes have it, as in a search."""
        known = any(hasattr(kind, name) for kind in CLASSES.values())
        return getattr(item, name, None) if known else attribute_of(item, name)


def _is_one(index: object) -> bool:
    """Return whether an index names one item: a whole number of Python or NumPy does, an array of one element not."""
    return hasattr(index, "__index__") and getattr(index, "shape", ()) == ()


def _comparable(key: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Return `key` as something that sorts, with None after everything else."""

    def compare(item: Any) -> Any:
        value = key(item)
        parts = value if isinstance(value, tuple) else (value,)
        return [(part is None, *(() if part is None else (part,))) for part in parts]

    return compare


def _cells(item: object, columns: list[str]) -> list[str]:
    return [str(getattr(item, name)) for name in columns] if columns else [repr(item)]
