"""The public door: what `__all__` promises is there, says what it is, and brings nothing heavy along."""

from __future__ import annotations

import inspect
import subprocess
import sys
from collections.abc import Iterator
from enum import Enum
from typing import Any

import pytest
from pydantic import BaseModel

import stac_ingest
from stac_ingest.client.objects import Attribute

PUBLIC = [getattr(stac_ingest, name) for name in stac_ingest.__all__]
CLASSES = [thing for thing in PUBLIC if inspect.isclass(thing)]


def test_all_is_sorted_and_true() -> None:
    assert list(stac_ingest.__all__) == sorted(stac_ingest.__all__, key=str)
    for name in stac_ingest.__all__:
        assert hasattr(stac_ingest, name)


def members(cls: type) -> Iterator[tuple[str, Any]]:
    """Yield the public members of a class that we have written, inherited ones too."""
    for base in cls.__mro__:
        if base.__module__.startswith("stac_ingest"):
            yield from ((name, found) for name, found in vars(base).items() if not name.startswith("_"))


def functions(cls: type) -> Iterator[tuple[str, Any]]:
    """Yield what is called or read of a class: its constructor, methods and properties, as functions."""
    for name, found in members(cls):
        match found:
            case classmethod() | staticmethod():
                yield name, found.__func__
            case property():
                yield name, found.fget
            case _ if inspect.isfunction(found):
                yield name, found
    if "__init__" in vars(cls):
        yield "__init__", vars(cls)["__init__"]


def undocumented(thing: Any) -> Iterator[str]:
    """Yield the names in a public class or function that lack a docstring."""
    if not inspect.getdoc(thing):
        yield thing.__name__
    if not inspect.isclass(thing) or issubclass(thing, Enum):
        return
    for name, function in functions(thing):
        if name != "__init__" and not inspect.getdoc(getattr(thing, name)) and not function.__doc__:
            yield f"{thing.__name__}.{name}"
    for name, found in members(thing):
        if isinstance(found, Attribute) and not found.__doc__:
            yield f"{thing.__name__}.{name}"
    if issubclass(thing, BaseModel):
        yield from (f"{thing.__name__}.{name}" for name, field in thing.model_fields.items() if not field.description)


def unannotated(thing: Any) -> Iterator[str]:
    """Yield the parameters and results in a public class or function that lack a type."""
    called = list(functions(thing)) if inspect.isclass(thing) else [(thing.__name__, thing)]
    for name, function in called:
        signature = inspect.signature(function)
        for parameter in signature.parameters.values():
            if parameter.name not in ("self", "cls") and parameter.annotation is parameter.empty:
                yield f"{thing.__name__}.{name}({parameter.name})"
        if signature.return_annotation is signature.empty:
            yield f"{thing.__name__}.{name} -> ?"
    if inspect.isclass(thing):
        for name, found in members(thing):
            if isinstance(found, Attribute) and not hasattr(found, "__orig_class__"):
                yield f"{thing.__name__}.{name}"


@pytest.mark.parametrize("thing", [thing for thing in PUBLIC if callable(thing)], ids=lambda thing: thing.__name__)
def test_every_public_name_has_a_docstring_and_types(thing: Any) -> None:
    assert list(undocumented(thing)) == []
    assert list(unannotated(thing)) == []


def test_a_missing_docstring_or_type_would_be_found() -> None:
    class Bare:
        def method(self, x):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
            pass

    Bare.__module__ = "stac_ingest.bare"
    Bare.attribute = Attribute()  # type: ignore[attr-defined]
    Bare.attribute.__doc__ = None  # type: ignore[attr-defined]
    assert list(undocumented(Bare)) == ["Bare", "Bare.method", "Bare.attribute"]
    assert list(unannotated(Bare)) == ["Bare.method(x)", "Bare.method -> ?", "Bare.attribute"]


def test_importing_the_sdk_brings_nothing_heavy() -> None:
    heavy = (
        "rasterio numpy xarray rioxarray tqdm shapely fastapi starlette psycopg procrastinate obstore pydantic_settings"
    )
    code = f"import sys, stac_ingest; print([m for m in {heavy.split()!r} if m in sys.modules])"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert shown.strip() == "[]"
