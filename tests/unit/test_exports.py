"""The public door: what `__all__` promises is there, and is documented."""

from __future__ import annotations

import inspect
import subprocess
import sys

import stac_ingest


def test_all_is_sorted_and_true() -> None:
    assert list(stac_ingest.__all__) == sorted(stac_ingest.__all__, key=str)
    for name in stac_ingest.__all__:
        assert hasattr(stac_ingest, name)


def test_every_public_class_says_what_it_is() -> None:
    for name in stac_ingest.__all__:
        thing = getattr(stac_ingest, name)
        if inspect.isclass(thing):
            assert thing.__doc__, name
            for member, function in inspect.getmembers(thing, inspect.isfunction):
                if not member.startswith("_") and function.__module__.startswith("stac_ingest"):
                    assert function.__doc__, f"{name}.{member}"


def test_importing_the_sdk_brings_no_gdal_web_framework_or_database_driver() -> None:
    heavy = "rasterio fastapi starlette psycopg procrastinate obstore shapely pydantic_settings"
    code = f"import sys, stac_ingest; print([m for m in {heavy.split()!r} if m in sys.modules])"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert shown.strip() == "[]"
