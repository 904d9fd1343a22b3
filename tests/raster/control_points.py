"""Images that only ground control points place: swaths of several kinds, as files."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.control import GroundControlPoint

WIDTH, HEIGHT = 400, 300

Ground = Callable[[Any, Any], tuple[Any, Any]]
"""From columns and rows to x and y."""


def gcps_of(ground: Ground, rows: int = 21, columns: int = 10) -> list[GroundControlPoint]:
    """Return points in a grid over the image, with heights, as those of Sentinel-1 GRD are."""
    heights = np.random.default_rng(1).uniform(0, 3000, (rows, columns))
    return [
        GroundControlPoint(row, column, *map(float, ground(column, row)), float(heights[i, j]))
        for i, row in enumerate(np.linspace(0, HEIGHT, rows))
        for j, column in enumerate(np.linspace(0, WIDTH, columns))
    ]


def swath(lon: float, lat: float, side: float = 100, turn: float = 12) -> Ground:
    """Return the ground of pixels of `side` metres, turned by some degrees from north, on a sphere."""

    def ground(column: Any, row: Any) -> tuple[Any, Any]:
        angle, degree = np.radians(turn), 111_319.49
        east, south = (np.asarray(column) - WIDTH / 2) * side, (np.asarray(row) - HEIGHT / 2) * side
        y = lat - (south * np.cos(angle) - east * np.sin(angle)) / degree
        x = lon + (east * np.cos(angle) + south * np.sin(angle)) / degree / np.cos(np.radians(y))
        return (x + 180) % 360 - 180, y

    return ground


def bent(column: Any, row: Any) -> tuple[Any, Any]:
    """Return the ground of an image whose edges are parabolas."""
    u, v = np.asarray(column) / WIDTH - 0.5, np.asarray(row) / HEIGHT - 0.5
    return 20 + 2 * u + 0.9 * v * v + 0.3 * u * v, 45 - 1.5 * v + 0.8 * u * u


def utm(column: Any, row: Any) -> tuple[Any, Any]:
    """Return a ground in metres."""
    return 500_000 + 30 * column + 4 * row, 5_000_000 - 28 * row + 3 * column + row * row * 1e-2


def hilly(column: Any, row: Any) -> tuple[Any, Any]:
    """Return a ground whose heights move points by some pixels from where any polynomial has them."""
    lon, lat = swath(12, 48)(column, row)
    return lon + 0.005 * np.sin(column / 25) * np.cos(row / 10), lat + 0.002 * np.sin(row / 15)


PLACES: dict[str, tuple[Sequence[GroundControlPoint], str]] = {
    "Sentinel-1": (gcps_of(swath(12, 48)), "EPSG:4326"),
    "far north": (gcps_of(swath(-40, 78)), "EPSG:4326"),
    "hills": (gcps_of(hilly), "EPSG:4326"),
    "bent": (gcps_of(bent), "EPSG:4326"),
    "metres": (gcps_of(utm), "EPSG:32633"),
    "three points": (gcps_of(swath(12, 48), 2, 2)[:3], "EPSG:4326"),
    "four corners": (gcps_of(utm, 2, 2), "EPSG:32633"),
    "nine points": (gcps_of(bent, 3, 3), "EPSG:4326"),
    "across 180": (gcps_of(swath(180, 62)), "EPSG:4326"),
    "a corner across 180": (gcps_of(swath(179.8, -17)), "EPSG:4326"),
    "beside 180": (gcps_of(swath(-179.5, 10, 50)), "EPSG:4326"),
}


def save_swath(
    path: Path,
    place: tuple[Sequence[GroundControlPoint], str | None],
    pixels: NDArray[Any] | None = None,
    mask: NDArray[np.bool_] | None = None,
    **options: Any,
) -> Path:
    """Write a GeoTIFF that control points place; unset, its pixels are random."""
    gcps, crs = place
    if pixels is None:
        pixels = np.random.default_rng(2).integers(1, 60_000, (1, HEIGHT, WIDTH)).astype("uint16")
    count, height, width = pixels.shape
    profile = {"driver": "GTiff", "count": count, "height": height, "width": width, "dtype": pixels.dtype.name}
    with (
        rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True),
        rasterio.open(path, "w", **profile, gcps=gcps, crs=crs, **options) as file,
    ):
        file.write(pixels)
        if mask is not None:
            file.write_mask(mask)
    return path
