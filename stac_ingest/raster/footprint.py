"""The footprint of an image: the outline of its valid pixels as GeoJSON in WGS 84.

Edges are densified before they are reprojected, because a straight edge of the raster is a curve on the globe; what
crosses the antimeridian or holds a pole is split there (RFC 7946 section 3.1.9).
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import antimeridian
import numpy as np
import rasterio.warp
import shapely
import shapely.geometry
from affine import Affine
from rasterio._err import CPLE_BaseError
from rasterio.crs import CRS
from rasterio.errors import CRSError, RasterioError
from rasterio.features import shapes
from shapely.geometry.base import BaseGeometry

from stac_ingest.errors import UploadError
from stac_ingest.raster.measure import CoarseMask, Mask, any_valid
from stac_ingest.raster.source import Place

MAX_VERTICES = 500
POINTS_PER_SIDE = 64
DECIMALS = 7  # about a centimetre
_WGS84 = CRS.from_epsg(4326)


def outline(mask: CoarseMask) -> BaseGeometry:
    """Return the outline of the valid pixels in pixel coordinates; never smaller than they are.

    A ragged outline is taken from coarser cells until it has at most MAX_VERTICES vertices.
    """
    extent = shapely.box(0, 0, mask.width, mask.height)
    if mask.is_full or not mask.valid_count:
        return extent
    cells, factor = mask.cells, mask.factor
    while _corners(cells) > MAX_VERTICES:
        cells, factor = any_valid(cells, 2), factor * 2
    return shapely.intersection(_polygons(cells, factor), extent)


def _corners(cells: Mask) -> int:
    """Count the vertices that the outline of `cells` has; polygons of speckles would take minutes to make."""
    padded = np.pad(cells, 1).astype("uint8")
    around = padded[:-1, :-1] + padded[:-1, 1:] + padded[1:, :-1] + padded[1:, 1:]
    touching = (around == 2) & (padded[:-1, :-1] == padded[1:, 1:])
    return int(np.count_nonzero(around % 2) + 2 * np.count_nonzero(touching))


def _polygons(cells: Mask, factor: int) -> BaseGeometry:
    outlines = shapes(cells.astype("uint8"), mask=cells, connectivity=8, transform=Affine.scale(factor))
    return shapely.make_valid(shapely.union_all([shapely.geometry.shape(polygon) for polygon, _ in outlines]))


def to_wgs84(pixel_outline: BaseGeometry, place: Place, name: str) -> BaseGeometry:
    """Return an outline in pixel coordinates as (multi)polygon in WGS 84, split at the antimeridian.

    Raises:
        UploadError: `INVALID_GEOREFERENCE` when a part of it lies outside the Earth.
    """
    west, south, east, north = pixel_outline.bounds
    dense = shapely.segmentize(pixel_outline, max(east - west, north - south) / POINTS_PER_SIDE)
    on_globe = shapely.transform(dense, lambda xy: _lonlat(xy, place, name))
    tolerance = max(on_globe.bounds[2] - on_globe.bounds[0], on_globe.bounds[3] - on_globe.bounds[1]) / 20_000
    if on_globe.bounds[2] - on_globe.bounds[0] >= 360 and place.crs.is_geographic:
        _, low, _, high = on_globe.bounds
        split: BaseGeometry = shapely.box(-180, low, 180, high)
    else:
        split = shapely.union_all([_split(part) for part in shapely.get_parts(on_globe)])
    tidy = shapely.make_valid(shapely.simplify(split, tolerance))
    tidy = shapely.set_precision(tidy, 10**-DECIMALS) if not tidy.is_empty else tidy
    polygons = [part for part in shapely.get_parts(tidy) if part.geom_type == "Polygon" and part.area > 0]
    if not polygons:
        return split
    return shapely.orient_polygons(polygons[0] if len(polygons) == 1 else shapely.multipolygons(polygons))


def _split(polygon: BaseGeometry) -> BaseGeometry:
    return antimeridian.fix_polygon(shapely.orient_polygons(polygon), fix_winding=False)


def _lonlat(xy: Any, place: Place, name: str) -> Any:
    xs, ys = place.transform @ (xy[:, 0], xy[:, 1])
    try:
        lon, lat = rasterio.warp.transform(place.crs, _WGS84, list(xs), list(ys))
    except (RasterioError, CRSError, CPLE_BaseError) as error:
        raise _outside(name, place) from error
    points = np.column_stack([lon, lat])
    if not np.isfinite(points).all() or np.abs(points[:, 1]).max() > 90.5 or np.abs(points[:, 0]).max() > 720:
        raise _outside(name, place)
    points[:, 1] = np.clip(points[:, 1], -90, 90)
    return points


def _outside(name: str, place: Place) -> UploadError:
    x, y = place.transform.c, place.transform.f
    return UploadError(
        "INVALID_GEOREFERENCE",
        f"Expected {name!r} to lie on the Earth, found its corner at ({x:g}, {y:g}) in {place.crs.to_string()[:60]},"
        " which is outside; check its geotransform and coordinate system.",
    )


def union(outlines: Iterable[BaseGeometry]) -> dict[str, Any]:
    """Return several outlines as one GeoJSON geometry."""
    together = shapely.union_all(list(outlines))
    geometry: dict[str, Any] = shapely.geometry.mapping(shapely.orient_polygons(together))
    return {"type": geometry["type"], "coordinates": _rounded(geometry["coordinates"])}


def _rounded(coordinates: Any) -> Any:
    if isinstance(coordinates, float | int):
        return round(float(coordinates), DECIMALS) if math.isfinite(coordinates) else coordinates
    return [_rounded(part) for part in coordinates]
