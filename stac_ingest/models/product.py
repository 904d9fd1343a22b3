"""A product: images of one kind, with the same bands."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, StringConstraints

from stac_ingest.models.values import JsonObject, ProductId, Tags, Timestamp, Value


class Product(Value):
    """What is known of a product beside its bands and images; a STAC Collection."""

    id: ProductId
    name: Annotated[str, StringConstraints(min_length=1, max_length=2000)] | None = None
    """Shown to people; unset: the id."""
    description: Annotated[str, StringConstraints(max_length=80_000)] | None = None
    tags: Annotated[Tags, Field(max_length=32)] = []
    extra_properties: JsonObject = {}
    license: str = "other"
    """An SPDX identifier, or `other`."""
    start_datetime: Timestamp | None = None
    """When the product begins, whether or not it has images from then."""
    end_datetime: Timestamp | None = None
    revisit_period_minutes_min: float | None = None
    revisit_period_minutes_max: float | None = None
    default_display_bands: list[str] | None = None
    """`[grey or class]`, `[grey or class, alpha]`, `[red, green, blue]` or `[red, green, blue, alpha]`."""
    created: Timestamp | None = None
    modified: Timestamp | None = None
