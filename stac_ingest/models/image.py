"""An image: what a product shows of one place at one time."""

from __future__ import annotations

import math
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field

from stac_ingest.models.enums import StorageState
from stac_ingest.models.values import JsonObject, Name, ProductId, Tags, Timestamp, Value

Geotransform = tuple[float, float, float, float, float, float]
"""GDAL's order: (x of the corner, dx, rx, y of the corner, ry, dy)."""


_DEPTHS = {"Point": 0, "MultiPoint": 1, "LineString": 1, "MultiLineString": 2, "Polygon": 2, "MultiPolygon": 3}
"""Type of a GeoJSON geometry -> how deep its positions lie in lists."""


def _plain_geometry(value: object) -> object:
    return getattr(value, "__geo_interface__", value)


def _check_geometry(geometry: dict[str, Any]) -> dict[str, Any]:
    depth = _DEPTHS.get(str(geometry.get("type")))
    if geometry.get("type") == "GeometryCollection" and isinstance(geometry.get("geometries"), list | tuple):
        return {**geometry, "geometries": [_check_geometry(dict(part)) for part in geometry["geometries"]]}
    if depth is None:
        raise ValueError(f"expected a GeoJSON geometry of one of the types {', '.join(_DEPTHS)}")
    if not _holds_positions(geometry.get("coordinates"), depth):
        raise ValueError(f"expected the coordinates of a GeoJSON {geometry['type']}, as [longitude, latitude]")
    return geometry


def _holds_positions(coordinates: object, depth: int) -> bool:
    if not isinstance(coordinates, list | tuple):
        return False
    if depth:
        return bool(coordinates) and all(_holds_positions(inner, depth - 1) for inner in coordinates)
    return len(coordinates) >= 2 and all(_is_finite(x) for x in coordinates)


def _is_finite(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


Geometry = Annotated[dict[str, Any], BeforeValidator(_plain_geometry), AfterValidator(_check_geometry)]


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
    extra_properties: JsonObject = {}
    storage_state: StorageState = StorageState.AVAILABLE
    geometry: Geometry | None = None
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
