"""An image: what a product shows of one place at one time."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from stac_ingest.models.enums import StorageState
from stac_ingest.models.values import Name, ProductId, Tags, Timestamp, Value

Geotransform = tuple[float, float, float, float, float, float]
"""GDAL's order: (x of the corner, dx, rx, y of the corner, ry, dy)."""


def _plain_geometry(value: object) -> object:
    return getattr(value, "__geo_interface__", value)


class File(Value):
    """One file of an image."""

    href: str | None = None
    size_bytes: Annotated[int | None, Field(ge=0)] = None
    hash: str | None = None
    """Multihash in lower-case hexadecimal, as in `file:checksum`."""
    provider_id: str | None = None
    provider_href: str | None = None


class Image(Value):
    """What is known of an image beside its pixels; a STAC Item."""

    product_id: ProductId
    name: Name
    """Unique within the product; the image's id is `product_id:name`."""
    acquired: Timestamp | None = None
    acquired_end: Timestamp | None = None
    published: Timestamp | None = None
    tags: Annotated[Tags, Field(max_length=32)] = []
    extra_properties: dict[str, Any] = {}
    """Any JSON values, for the team's own use."""
    storage_state: StorageState = StorageState.AVAILABLE
    geometry: Annotated[dict[str, Any], BeforeValidator(_plain_geometry)] | None = None
    """GeoJSON footprint in WGS 84; unset: taken from the valid pixels."""
    files: list[File] = []
    cs_code: Annotated[str, Field(pattern=r"^[A-Za-z]+:\w+$")] | None = None
    """Coordinate system by authority and code, such as `EPSG:32633`."""
    projection: str | None = None
    """Coordinate system as WKT or PROJ text; `cs_code` wins over it."""
    geotrans: Geotransform | None = None
    x_pixels: Annotated[int | None, Field(ge=1)] = None
    y_pixels: Annotated[int | None, Field(ge=1)] = None
    cloud_fraction: Annotated[float | None, Field(ge=0, le=1)] = None
    alt_cloud_fraction: Annotated[float | None, Field(ge=0, le=1)] = None
    bright_fraction: Annotated[float | None, Field(ge=0, le=1)] = None
    fill_fraction: Annotated[float | None, Field(ge=0, le=1)] = None
    """Share of the pixels that hold a value; unset: counted."""
    azimuth_angle: Annotated[float | None, Field(ge=0, le=360)] = None
    incidence_angle: Annotated[float | None, Field(ge=0, le=90)] = None
    view_angle: Annotated[float | None, Field(ge=-90, le=90)] = None
    roll_angle: float | None = None
    solar_azimuth_angle: Annotated[float | None, Field(ge=0, le=360)] = None
    solar_elevation_angle: Annotated[float | None, Field(ge=-90, le=90)] = None
    satellite_id: str | None = None
    provider_id: str | None = None
    provider_url: str | None = None
    processing_pipeline_id: str | None = None
    area: float | None = None
    created: Timestamp | None = None
    modified: Timestamp | None = None

    @property
    def id(self) -> str:
        """`product_id:name`."""
        return f"{self.product_id}:{self.name}"
