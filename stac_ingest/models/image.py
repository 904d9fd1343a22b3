"""An image: what a product shows of one place at one time."""

from __future__ import annotations

import math
from typing import Annotated, Any, Self

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from stac_ingest.models.enums import StorageState
from stac_ingest.models.values import JsonObject, Name, ProductId, Tags, Timestamp, Value

Geotransform = tuple[float, float, float, float, float, float]
"""GDAL's order: (x of the corner, dx, rx, y of the corner, ry, dy)."""


_DEPTHS = {"Point": 0, "MultiPoint": 1, "LineString": 1, "MultiLineString": 2, "Polygon": 2, "MultiPolygon": 3}
"""Type of a GeoJSON geometry -> how deep its positions lie in lists."""


def _plain_geometry(value: object) -> object:
    """Return GeoJSON as one geometry: of a Feature its own, of several the polygons as one MultiPolygon."""
    found = getattr(value, "__geo_interface__", value)
    if not isinstance(found, dict):
        return found
    match found.get("type"):
        case "Feature":
            return _plain_geometry(found.get("geometry"))
        case "FeatureCollection" if isinstance(found.get("features"), list | tuple):
            return _together([_plain_geometry(feature) for feature in found["features"]])
        case "GeometryCollection" if isinstance(found.get("geometries"), list | tuple):
            return _together(list(found["geometries"]))
        case _:
            return found


def _together(geometries: list[Any]) -> dict[str, Any]:
    kinds = {geometry.get("type") if isinstance(geometry, dict) else None for geometry in geometries}
    if not kinds or not kinds <= {"Polygon", "MultiPolygon"}:
        return {"type": "GeometryCollection", "geometries": geometries}
    polygons: list[Any] = []
    for geometry in geometries:
        found = geometry.get("coordinates")
        polygons += [found] if geometry["type"] == "Polygon" else found
    return {"type": "MultiPolygon", "coordinates": polygons}


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
    if len(coordinates) < 2 or not all(_is_finite(x) for x in coordinates):
        return False
    if abs(coordinates[0]) > 180 or abs(coordinates[1]) > 90:
        raise ValueError(f"expected positions within -180 to 180 and -90 to 90 degrees, found {list(coordinates[:2])}")
    return True


def _is_finite(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


Geometry = Annotated[dict[str, Any], BeforeValidator(_plain_geometry), AfterValidator(_check_geometry)]


class Georeference(Value):
    """Where pixels lie, as given with the image; what is unset is taken from the file."""

    cs_code: str | None = None
    projection: str | None = None
    geotrans: Geotransform | None = None


def _as_multihash(digest: object) -> object:
    """Return the multihash of a bare MD5 or SHA-256; anything else as it is."""
    if not isinstance(digest, str):
        return digest
    return {32: "d50110", 64: "1220"}.get(len(digest), "") + digest.lower()


class File(Value):
    """One file of an image."""

    href: str | None = None
    """Where it can be read."""
    size_bytes: Annotated[int | None, Field(ge=0)] = None
    """Its size in bytes."""
    hash: Annotated[Annotated[str, Field(pattern=r"^[a-f0-9]+$")] | None, BeforeValidator(_as_multihash)] = None
    """Multihash in lower-case hexadecimal, as in `file:checksum`; a bare MD5 or SHA-256 becomes one."""
    provider_id: str | None = None
    """What the provider calls it."""
    provider_href: str | None = None
    """Where the provider has it."""

    @model_validator(mode="after")
    def _is_somewhere(self) -> Self:
        if self.href is None and self.provider_href is None:
            raise ValueError("expected href or provider_href")
        return self


Fraction = Annotated[float | None, Field(ge=0, le=1)]
GainBias = list[tuple[float, float]]


class Image(Value):
    """What is known of an image beside its pixels; a STAC Item."""

    product_id: ProductId
    """Id of the product."""
    name: Name
    """Unique within the product; the image's id is `product_id:name`."""
    acquired: Timestamp | None = None
    """When the image was taken, or began to be."""
    acquired_end: Timestamp | None = None
    """When taking it ended."""
    published: Timestamp | None = None
    """When the provider published it."""
    tags: Annotated[Tags, Field(max_length=32)] = []
    """At most 32 words by which the image is found."""
    extra_properties: JsonObject = {}
    """Whatever else the team wants to keep, as JSON; can be searched for by its keys."""
    storage_state: StorageState = StorageState.AVAILABLE
    """Whether its pixels can be read through the catalog, or are elsewhere."""
    geometry: Geometry | None = None
    """GeoJSON footprint in WGS 84; unset: taken from the valid pixels."""
    files: list[File] = []
    """Its files, in the order of the bands' `file_index`."""
    cs_code: Annotated[str, Field(pattern=r"^[A-Za-z]+:\w+$")] | None = None
    """Coordinate system by authority and code, such as `EPSG:32633`."""
    projection: str | None = None
    """Coordinate system as WKT, PROJJSON or PROJ text; `cs_code` wins over it."""
    geotrans: Geotransform | None = None
    """Geotransform in GDAL's order (x of the corner, dx, rx, y of the corner, ry, dy)."""
    x_pixels: Annotated[int | None, Field(ge=1)] = None
    """Width in pixels."""
    y_pixels: Annotated[int | None, Field(ge=1)] = None
    """Height in pixels."""
    cloud_fraction: Fraction = None
    """Share covered by clouds, 0 to 1."""
    alt_cloud_fraction: Fraction = None
    """The same by another method, 0 to 1."""
    bright_fraction: Fraction = None
    """Share of bright pixels, 0 to 1."""
    fill_fraction: Fraction = None
    """Share of the pixels that hold a value, 0 to 1; unset: counted."""
    azimuth_angle: Annotated[float | None, Field(ge=0, le=360)] = None
    """Of the sensor seen from the ground, in degrees clockwise from north."""
    incidence_angle: Annotated[float | None, Field(ge=0, le=90)] = None
    """Between the vertical and the line to the sensor, in degrees."""
    view_angle: Annotated[float | None, Field(ge=-90, le=90)] = None
    """Off nadir, in degrees; the sign says to which side."""
    roll_angle: Annotated[float | None, Field(ge=-180, le=180)] = None
    """Of the sensor, in degrees."""
    solar_azimuth_angle: Annotated[float | None, Field(ge=0, le=360)] = None
    """Of the sun, in degrees clockwise from north."""
    solar_elevation_angle: Annotated[float | None, Field(ge=-90, le=90)] = None
    """Of the sun above the horizon, in degrees."""
    satellite_id: str | None = None
    """The platform that took it."""
    provider_id: str | None = None
    """What the provider calls it."""
    provider_url: str | None = None
    """Where the provider describes it."""
    preview_url: str | None = None
    """A picture of it elsewhere; of uploaded images the service makes one."""
    processing_pipeline_id: str | None = None
    """Which version of which processing made it."""
    area: Annotated[float | None, Field(ge=0)] = None
    """Area on the ground, in square kilometres."""
    bits_per_pixel: list[float] | None = None
    """Mean bits that a pixel takes, by the bands' `vendor_order`."""
    reflectance_scale: list[float] | None = None
    """Factors from pixel value to reflectance, by the bands' `vendor_order`."""
    reflectance_gain_bias: GainBias | None = None
    """(gain, bias) from pixel value to reflectance, by the bands' `vendor_order`."""
    radiance_gain_bias: GainBias | None = None
    """(gain, bias) from pixel value to radiance, by the bands' `vendor_order`."""
    temperature_gain_bias: GainBias | None = None
    """(gain, bias) from pixel value to temperature, by the bands' `vendor_order`."""
    brightness_temperature_k1_k2: GainBias | None = None
    """(K1, K2) from radiance to brightness temperature, by the bands' `vendor_order`."""
    created: Timestamp | None = None
    """When the image came into the catalog; set by the service."""
    modified: Timestamp | None = None
    """When it was last changed; set by the service."""

    @property
    def id(self) -> str:
        """`product_id:name`."""
        return f"{self.product_id}:{self.name}"

    @property
    def grid(self) -> dict[str, Any]:
        """Where the pixels lie, and in which files; of an uploaded image the files themselves say it."""
        return {name: getattr(self, name) for name in GRID}


GRID = ("files", "cs_code", "projection", "geotrans", "x_pixels", "y_pixels")
