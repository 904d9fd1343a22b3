"""A product: images of one kind, with the same bands."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated

from pydantic import Field, StringConstraints

from stac_ingest.models.bands import Band, Layout
from stac_ingest.models.cog import CogProfile
from stac_ingest.models.values import JsonObject, ProductId, Resolution, Tags, Timestamp, Value


class Product(Value):
    """What is known of a product beside its bands and images; a STAC Collection."""

    id: ProductId
    """What the product is called in the catalog; `A-Z a-z 0-9 _ . - :`, kept as given."""
    name: Annotated[str, StringConstraints(min_length=1, max_length=2000)] | None = None
    """Shown to people; unset: the id."""
    description: Annotated[str, StringConstraints(max_length=80_000)] | None = None
    """What a person should know of the product; CommonMark."""
    tags: Annotated[Tags, Field(max_length=32)] = []
    """At most 32 words by which the product is found."""
    extra_properties: JsonObject = {}
    """Whatever else the team wants to keep, as JSON."""
    license: str = "other"
    """An SPDX identifier, or `other`."""
    start_datetime: Timestamp | None = None
    """When the product begins, whether or not it has images from then."""
    end_datetime: Timestamp | None = None
    """When the product ends; unset: it goes on."""
    resolution_min: Resolution | None = None
    """Finest resolution of its bands; set by the service."""
    resolution_max: Resolution | None = None
    """Coarsest resolution of its bands; set by the service."""
    revisit_period_minutes_min: Annotated[float | None, Field(ge=0)] = None
    """Shortest time in minutes between two images of one place."""
    revisit_period_minutes_max: Annotated[float | None, Field(ge=0)] = None
    """Longest time in minutes between two images of one place."""
    default_display_bands: Annotated[list[str], Field(min_length=1, max_length=4)] | None = None
    """`[grey or class]`, `[grey or class, alpha]`, `[red, green, blue]` or `[red, green, blue, alpha]`."""
    cog_profile: CogProfile | None = None
    """How the files of its images are written, as a `CogProfile` or a dictionary of its attributes; unset: DEFLATE in
    blocks of 512 pixels, whatever their type."""
    created: Timestamp | None = None
    """When the product was first saved; set by the service."""
    modified: Timestamp | None = None
    """When the product or its bands were last changed; set by the service."""

    def require_bands(self, bands: Iterable[Band]) -> None:
        """Refuse bands that do not fit together, or not into files as the product has them.

        Raises:
            AttributeValidationError: As `Layout.of` and `CogProfile.require_bands`.
        """
        layout = Layout.of(bands)
        if self.cog_profile:
            self.cog_profile.require_bands(layout)
