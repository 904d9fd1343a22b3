"""The footprint of an image: the outline of its valid pixels as GeoJSON in WGS 84.

Edges are densified before they are reprojected, because a straight edge of the raster is a curve on the globe; what
crosses the antimeridian or holds a pole is split there (RFC 7946 section 3.1.9).
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

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
POINTS_PER_SIDE = 256
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
    split = shapely.union_all([_polygon_on_globe(polygon, place, name) for polygon in _polygons_of(dense)])
    polygons = _polygons_of(shapely.set_precision(split, 10**-DECIMALS)) or _polygons_of(split)
    return shapely.orient_polygons(polygons[0] if len(polygons) == 1 else shapely.multipolygons(polygons))


def _polygons_of(geometry: BaseGeometry) -> list[BaseGeometry]:
    parts = (inner for part in shapely.get_parts(geometry) for inner in shapely.get_parts(part))
    return [part for part in parts if part.geom_type == "Polygon" and part.area > 0]


def _polygon_on_globe(polygon: BaseGeometry, place: Place, name: str) -> BaseGeometry:
    west, south, east, north = polygon.bounds
    steps = max(20_000, 4 * max(east - west, north - south))
    exterior, *holes = (
        _split(_unwrapped(np.asarray(ring.coords)[:-1], place, name), steps)
        for ring in (polygon.exterior, *polygon.interiors)
    )
    return shapely.difference(exterior, shapely.union_all(holes)) if holes else exterior


def _unwrapped(ring: Any, place: Place, name: str) -> Any:
    """Return an open ring of pixels as longitudes and latitudes that go on beyond 180 degrees instead of jumping.

    A ring around a pole makes a whole turn, and goes back along the pole.
    """
    lon, lat = _lonlat(np.vstack([ring, ring[:1]]), place, name).T
    lon = np.unwrap(lon, period=360)
    if abs(lon[-1] - lon[0]) > 180:
        pole = math.copysign(90, lat.mean())
        lon, lat = np.append(lon, [lon[-1], lon[0]]), np.append(lat, [pole, pole])
    return np.column_stack([lon, lat])


def _split(unwrapped: Any, steps: float) -> BaseGeometry:
    """Return the polygon of an unwrapped ring, each part of it moved into -180 to 180 degrees.

    Points that lie on a line are left out, as far as that moves the line by less than one of `steps` along its extent.
    """
    ring = shapely.Polygon(unwrapped)
    west, south, east, north = ring.bounds
    polygon = shapely.make_valid(shapely.simplify(ring, max(east - west, north - south) / steps))
    return shapely.union_all([
        shapely.transform(
            shapely.intersection(polygon, shapely.box(turn - 180, -90, turn + 180, 90)),
            lambda xy, turn=turn: xy - (turn, 0),
        )
        for turn in range(360 * math.floor((west + 180) / 360), math.ceil(east + 180), 360)
    ])  # fmt: skip


def _lonlat(xy: Any, place: Place, name: str) -> Any:
    xs, ys = place.coordinates(xy[:, 0], xy[:, 1])
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
    x, y = place.coordinates(0, 0)
    return UploadError(
        "INVALID_GEOREFERENCE",
        f"Expected {name!r} to lie on the Earth, found its corner at ({x:g}, {y:g}) in {place.crs.to_string()[:60]},"
        " which is outside; check its geotransform or control points, and its coordinate system.",
    )


def union(outlines: Iterable[BaseGeometry]) -> dict[str, Any]:
    """Return several outlines as one GeoJSON geometry."""
    together = shapely.union_all(list(outlines))
    snapped = shapely.set_precision(together, 10**-DECIMALS)
    polygons = _polygons_of(snapped) or _polygons_of(together)
    oriented = shapely.orient_polygons(polygons[0] if len(polygons) == 1 else shapely.multipolygons(polygons))
    geometry: dict[str, Any] = shapely.geometry.mapping(oriented)
    return {"type": geometry["type"], "coordinates": _rounded(geometry["coordinates"])}


def _rounded(coordinates: Any) -> Any:
    if isinstance(coordinates, float | int):
        return round(float(coordinates), DECIMALS) if math.isfinite(coordinates) else coordinates
    return [_rounded(part) for part in coordinates]
