"""What readers make of a GeoTIFF: GDAL, tifffile and async-geotiff, each in the same words."""

from __future__ import annotations

import asyncio
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from affine import Affine
from async_geotiff import GeoTIFF
from async_geotiff._read import ReadMixin
from numpy.typing import NDArray
from obstore.store import LocalStore
from rasterio.enums import MaskFlags
from tifffile import TiffFile, TiffPage

from tests.raster.cog_structure import MASK

Pixels = NDArray[Any]


@dataclass(frozen=True)
class Level:
    """The pixels (band, y, x) of one resolution, and where the file's mask says that they are valid (y, x)."""

    pixels: Pixels
    mask: NDArray[np.bool_] | None


@dataclass(frozen=True, kw_only=True)
class Read:
    """What a reader says of a file; `levels` has the full resolution first."""

    levels: tuple[Level, ...]
    nodata: float | None
    transform: Affine
    epsg: int | None


def by_gdal(path: Path) -> Read:
    with rasterio.open(path) as file:
        levels = [_gdal_level(file)]
        count = len(file.overviews(1))
        said = {"nodata": file.nodata, "transform": file.transform, "epsg": file.crs.to_epsg()}
    for index in range(count):
        with rasterio.open(path, overview_level=index) as file:
            levels.append(_gdal_level(file))
    return Read(levels=tuple(levels), **said)


def _gdal_level(file: Any) -> Level:
    flags = file.mask_flag_enums[0]
    has_mask = MaskFlags.per_dataset in flags and MaskFlags.alpha not in flags
    return Level(file.read(), file.read_masks(1) > 0 if has_mask else None)


def by_tifffile(path: Path) -> Read:
    with TiffFile(path) as tiff:
        pages = [page for page in tiff.pages if isinstance(page, TiffPage)]
        images = [_tifffile_pixels(page) for page in pages if not page.subfiletype & MASK]
        masks: list[Any] = [_tifffile_pixels(page)[0] > 0 for page in pages if page.subfiletype & MASK]
        geo = pages[0].geotiff_tags or {}
        nodata = pages[0].tags.get("GDAL_NODATA")
    levels = map(Level, images, masks or [None] * len(images))
    return Read(
        levels=tuple(levels),
        nodata=None if nodata is None else float(nodata.value.strip("\0 ")),
        transform=_tifffile_transform(geo),
        epsg=geo.get("ProjectedCSTypeGeoKey"),
    )


def _tifffile_pixels(page: TiffPage) -> Pixels:
    planes = page.asarray(squeeze=False)[:, 0]  # (plane, y, x, sample)
    return np.moveaxis(planes, -1, 1).reshape(-1, page.imagelength, page.imagewidth)


def _tifffile_transform(geo: dict[str, Any]) -> Affine:
    if "ModelTransformation" in geo:
        a, b, _, c, d, e, _, f = np.ravel(geo["ModelTransformation"])[:8]
        return Affine(a, b, c, d, e, f)
    width, height, _ = geo["ModelPixelScale"]
    _, _, _, west, north, _ = geo["ModelTiepoint"]
    return Affine(width, 0, west, 0, -height, north)


def by_async_geotiff(path: Path) -> Read:
    return asyncio.run(_by_async_geotiff(path))


async def _by_async_geotiff(path: Path) -> Read:
    file = await GeoTIFF.open(path.name, store=LocalStore(path.parent))
    levels = [await _async_level(each) for each in (file, *file.overviews)]
    return Read(levels=tuple(levels), nodata=file.nodata, transform=file.transform, epsg=file.crs.to_epsg())


async def _async_level(image: ReadMixin) -> Level:
    read = await image.read()  # type: ignore[misc]  # of a protocol that both its classes fulfil
    return Level(read.data, read.mask)


# --- Telling whether they say the same


def assert_same(found: Read, expected: Read) -> None:
    assert len(found.levels) == len(expected.levels)
    for number, (one, other) in enumerate(zip(found.levels, expected.levels, strict=True)):
        assert_same_level(one, other, f"level {number}")
    assert (found.nodata is None) == (expected.nodata is None)
    assert found.nodata is None or same_number(found.nodata, expected.nodata)
    assert found.transform == expected.transform
    assert found.epsg == expected.epsg


def assert_same_level(found: Level, expected: Level, what: str = "") -> None:
    assert found.pixels.dtype == expected.pixels.dtype, what
    np.testing.assert_array_equal(found.pixels, expected.pixels, err_msg=what)
    assert (found.mask is None) == (expected.mask is None), what
    if found.mask is not None:
        np.testing.assert_array_equal(found.mask, expected.mask, err_msg=f"mask of {what}")


def same_number(one: float, other: float | None) -> bool:
    return one == other or (other is not None and math.isnan(one) and math.isnan(other))


def assert_same_bits(found: Pixels, expected: Pixels) -> None:
    """Assert that even NaN and -0 are the same."""
    bits = f"u{expected.dtype.itemsize}"
    np.testing.assert_array_equal(found.view(bits), expected.view(bits))
