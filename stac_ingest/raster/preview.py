"""Pictures for people: a thumbnail and an overview image of an image's most telling bands, as PNG."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.enums import Resampling

from stac_ingest.models.bands import Band, ClassBand, GenericBand
from stac_ingest.models.raster import Preview
from stac_ingest.raster.measure import valid_pixels

SIDES = {"thumbnail": 256, "overview": 1024}
"""Role -> longest side in pixels."""

Rgba = NDArray[np.uint8]


def write_previews(
    cogs: Mapping[Path, Sequence[Band]], display_bands: Sequence[str] | None, folder: Path
) -> tuple[Preview, ...]:
    """Write a thumbnail and an overview image.

    Args:
        cogs: The files of the image -> their bands, in the order of the file.
        display_bands: Names of the bands to show: one, or three as red, green and blue; an alpha band after them is
            left to the files' own masks. Unset: the bands named so, else the first.
        folder: Where the pictures are written.
    """
    chosen = _choose([band for bands in cogs.values() for band in bands], display_bands)
    places = {band.name: (path, index) for path, bands in cogs.items() for index, band in enumerate(bands, start=1)}
    return tuple(
        _write(role, _render([(band, *places[band.name]) for band in chosen], side), folder)
        for role, side in SIDES.items()
    )


def _choose(bands: Sequence[Band], names: Sequence[str] | None) -> list[Band]:
    by_name = {band.name: band for band in bands}
    for wanted in (list(names or ()), ["red", "green", "blue"]):
        shown = [by_name[name] for name in wanted if name in by_name][:3]
        if shown and len(shown) == min(len(wanted), 3):
            return shown if len(shown) == 3 else shown[:1]
    return [bands[0]]


def _render(bands: Sequence[tuple[Band, Path, int]], side: int) -> Rgba:
    """Return a picture (4, y, x) of at most `side` pixels; what is not valid is transparent."""
    shape = max(_shape(path, side) for _, path, _ in bands)
    layers = [_read(path, index, band, shape) for band, path, index in bands]
    alpha = np.logical_and.reduce([valid for _, valid in layers])
    if len(bands) == 1 and (colours := _palette(*bands[0])):
        rgb = _coloured(layers[0][0], colours)
    else:
        grey = [_scaled(pixels, valid, band) for (pixels, valid), (band, _, _) in zip(layers, bands, strict=True)]
        rgb = np.stack(grey if len(grey) == 3 else grey * 3)
    return np.concatenate([rgb, np.where(alpha, 255, 0).astype("uint8")[np.newaxis]])


def _shape(path: Path, side: int) -> tuple[int, int]:
    with rasterio.open(path) as cog:
        shrink = max(1.0, max(cog.width, cog.height) / side)
        return max(1, round(cog.height / shrink)), max(1, round(cog.width / shrink))


def _read(path: Path, index: int, band: Band, shape: tuple[int, int]) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    with rasterio.open(path) as cog:
        how = Resampling.average if band.averages_sensibly and cog.height > shape[0] else Resampling.nearest
        pixels = cog.read(index, out_shape=shape, resampling=how)
        inside = cog.read_masks(index, out_shape=shape) > 0
        valid = valid_pixels(pixels, inside, cog.nodata)
        return pixels, inside if valid is None else valid


def _palette(band: Band, path: Path, index: int) -> dict[int, tuple[int, ...]] | None:
    if isinstance(band, ClassBand | GenericBand) and band.colormap:
        return dict(enumerate(band.colormap))
    with rasterio.open(path) as cog:
        if cog.colorinterp[index - 1].name == "palette":
            return dict(cog.colormap(index))
    return None


def _coloured(values: NDArray[Any], colours: Mapping[int, tuple[int, ...]]) -> Rgba:
    rgb = np.zeros((3, *values.shape), "uint8")
    for value in np.unique(values):
        red, green, blue, *_ = colours.get(int(value), (0, 0, 0))
        rgb[:, values == value] = np.array([[red], [green], [blue]], "uint8")
    return rgb


def _scaled(pixels: NDArray[Any], valid: NDArray[np.bool_], band: Band) -> Rgba:
    if band.display_range:
        low, high = band.display_range
    else:
        shown = pixels[valid & np.isfinite(pixels)]
        low, high = (float(v) for v in np.percentile(shown.astype("float64"), (2, 98))) if shown.size else (0.0, 1.0)
    share = (np.where(valid, pixels, low).astype("float64") - low) / ((high - low) or 1.0)
    return (np.clip(np.nan_to_num(share), 0, 1) * 255).astype("uint8")


def _write(role: str, picture: Rgba, folder: Path) -> Preview:
    path = folder / f"{role}.png"
    _, rows, columns = picture.shape
    with rasterio.open(path, "w", driver="PNG", width=columns, height=rows, count=4, dtype="uint8") as png:
        png.write(picture)
    content = path.read_bytes()
    return Preview(
        role=role, path=path, size=len(content), sha256=hashlib.sha256(content).hexdigest(), shape=(rows, columns)
    )
