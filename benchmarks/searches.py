"""Searches that every STAC API on pgstac understands."""

from __future__ import annotations

import random
from datetime import timedelta
from urllib.parse import urlencode

from benchmarks.landsat import BEGIN, YEARS, text_of


def search(limit: int = 10, *, bbox: str = "", datetime: str = "", conditions: str = "") -> str:
    """Return the path of a search by GET."""
    parameters = {"limit": limit, "bbox": bbox, "datetime": datetime, "filter": conditions}
    return f"/search?{urlencode({name: value for name, value in parameters.items() if value})}"


def with_tag(tag: str) -> str:
    """Return the condition that a tag is there, in CQL2 text."""
    return f"a_contains(keywords, ('{tag}'))"


def place(chance: random.Random, width: int, height: int) -> str:
    """Return a bbox of so many degrees, somewhere where Items are."""
    west, south = chance.randint(-180, 180 - width), chance.randint(-60, 75 - height)
    return f"{west},{south},{west + width},{south + height}"


def period(chance: random.Random, years: int) -> str:
    """Return an interval of so many years, within those in which Items are."""
    begin = BEGIN + timedelta(days=chance.randint(0, (YEARS - years) * 365))
    return f"{text_of(begin)}/{text_of(begin + timedelta(days=years * 365))}"
