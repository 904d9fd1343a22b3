"""Overviews of half the size, made while the pixels pass by: to the bit what GDAL makes of them, in less time.

What is made here is the average of two by two pixels, and one of them (nearest), as GDAL 3.12 computes them in
`gcore/overview.cpp`, which would have to read all pixels again. Where a side is odd GDAL weighs, so halving ends there;
the overviews that follow, all other types and resamplers, masks and colour tables, are GDAL's.
"""

from __future__ import annotations

from bisect import bisect
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from itertools import takewhile
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from rasterio.enums import ColorInterp
from rasterio.windows import Window

from stac_ingest.models.enums import OverviewResampler
from stac_ingest.raster.source import Header, Mask, Pixels

CELL = 2**17
"""Pixels that are averaged at a time: few enough that they stay in the processor's cache."""
CELL_COLUMNS = 4096
"""Beside nodata, cells are not wider, so that most of them have none."""
MOST_ROW_BYTES = 64 * 1024**2
"""A row of blocks that is larger is not gathered in memory."""
_PAIR = {1: "uint16", 2: "uint32"}
"""Two neighbours read as one number, by the bytes of a pixel; their sum fits into it, too."""


class Target(Protocol):
    """What pixels are written into, window by window."""

    def write(self, pixels: Pixels, inside: Mask | None, window: Window) -> None:
        """Take pixels (band, y, x), and where they are valid if the source is masked."""
        ...


def halved_here(
    header: Header,
    factors: tuple[int, ...],
    resampler: OverviewResampler,
    *,
    nodata: float | None,
    block: int,
    interleaved: bool,
) -> tuple[int, ...]:
    """Return which of the first overviews are made here.

    Args:
        header: Of the source.
        factors: Of all overviews.
        resampler: How they are made.
        nodata: Value of what is not valid.
        block: Side of what is read and written at a time.
        interleaved: Whether a block holds all bands; else GDAL takes the nearest pixel of the full resolution.
    """
    is_averaged = header.dtype in ("uint8", "uint16") or (header.dtype == "float32" and nodata is not None)
    is_made_here = {
        OverviewResampler.AVERAGE: is_averaged and not header.colormap,
        OverviewResampler.NEAREST: interleaved,
    }
    row_bytes = block * header.count * np.dtype(header.dtype).itemsize * header.width // 2
    if (
        not is_made_here.get(resampler)
        or header.masked
        or ColorInterp.alpha in (header.colorinterp or ())
        or row_bytes > MOST_ROW_BYTES
        or factors != tuple(2**level for level in range(1, len(factors) + 1))
    ):
        return ()
    return tuple(takewhile(lambda factor: not (header.height % factor or header.width % factor), factors))


@dataclass
class Halves:
    """Makes the windows of a level into those of the next, and hands them on by whole blocks."""

    targets: Sequence[Target]
    header: Header
    nodata: float | None
    resampler: OverviewResampler
    height: int
    width: int
    block: int
    """Side of what is handed on; the windows that come are as high, and begin at its multiples."""
    _rows: Pixels = field(init=False)
    """A row of blocks (band, y, x)."""
    _top: int = field(init=False, default=0)
    """The first of these rows."""
    _filled: NDArray[np.bool_] = field(init=False)
    """Which blocks of the row have been written."""

    def __post_init__(self) -> None:
        self._begin(0)

    def write(self, pixels: Pixels, inside: Mask | None, window: Window) -> None:
        """Take a window of the level before; the one above it has come before it."""
        half = _nearest(pixels) if self.resampler is OverviewResampler.NEAREST else _averages(pixels, self.nodata)
        row, column = window.row_off // 2, window.col_off // 2
        if row >= self._top + self.block:
            self.finish()
            self._begin(row // self.block * self.block)
        _, height, width = half.shape
        self._rows[:, row - self._top : row - self._top + height, column : column + width] = half
        self._filled[column // self.block : -(-(column + width) // self.block)] = True

    def finish(self) -> None:
        """Hand on what has come."""
        height = min(self.block, self.height - self._top)
        for columns in runs(self._filled, self.block, self.width):
            window = Window(columns.start, self._top, columns.stop - columns.start, height)
            for target in self.targets:
                target.write(self._rows[:, :height, columns], None, window)

    def _begin(self, top: int) -> None:
        self._top = top
        self._filled = np.zeros(-(-self.width // self.block), bool)
        self._rows = np.zeros((self.header.count, self.block, self.width), self.header.dtype)
        if self.nodata:  # zeros take no time until they are looked at
            self._rows[:] = self.nodata


def runs(filled: NDArray[np.bool_], block: int, width: int) -> Iterator[slice]:
    """Yield the columns of neighbouring blocks that are filled."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], filled, [False]])))
    for first, last in edges.reshape(-1, 2):
        yield slice(int(first) * block, min(int(last) * block, width))


def _nearest(pixels: Pixels) -> Pixels:
    return pixels[:, ::2, ::2]


def _averages(pixels: Pixels, nodata: float | None) -> Pixels:
    count, height, width = pixels.shape
    averages = np.empty((count, height // 2, width // 2), pixels.dtype)
    columns = width if nodata is None else min(width, CELL_COLUMNS)
    rows = max(2, CELL // columns // 2 * 2)
    for band, half in zip(pixels, averages, strict=True):
        for row in range(0, height, rows):
            for column in range(0, width, columns):
                cell = band[row : row + rows, column : column + columns]
                into = half[row // 2 : (row + rows) // 2, column // 2 : (column + columns) // 2]
                into[:] = _average(cell, nodata)
    return averages


def _average(pixels: Pixels, nodata: float | None) -> Pixels:
    if nodata is None:
        return _rounded_quarters(pixels)
    valid = _valid(pixels, nodata)
    is_float = pixels.dtype.kind == "f"
    if not valid.any():  # and yet not all nodata: GDAL takes what is close to it for it
        return np.full_like(pixels[::2, ::2], nodata)
    if valid.all():
        quarters = _sums_of_floats(pixels) / 4 if is_float else _rounded_quarters(pixels)
        return _apart_from(nodata, quarters.astype(pixels.dtype))
    counts = _sums(valid.view("uint8"))
    some = np.maximum(counts, 1)
    values = np.where(valid, pixels, pixels.dtype.type(0))
    means = _sums_of_floats(values) / some if is_float else np.divide(_sums(values), some, dtype="float32") + 0.5
    return np.where(counts, _apart_from(nodata, means.astype(pixels.dtype)), pixels.dtype.type(nodata))


def _rounded_quarters(pixels: Pixels) -> Pixels:
    sums = _sums(pixels)
    sums += 2
    sums >>= 2
    return sums


def _sums(pixels: Pixels) -> Pixels:
    """Return the sums of two by two unsigned integers, in twice their bits."""
    pairs = pixels.view(_PAIR[pixels.itemsize])
    bits = 8 * pixels.itemsize
    beside: Pixels = (pairs & (2**bits - 1)) + (pairs >> bits)
    return np.add(beside[::2], beside[1::2])


def _sums_of_floats(pixels: Pixels) -> Pixels:
    """Return the sums of two by two floats, in float64 and in GDAL's order."""
    values = pixels.astype("float64")
    beside: Pixels = values[:, ::2] + values[:, 1::2]
    return np.add(beside[::2], beside[1::2])


def _valid(pixels: Pixels, nodata: float) -> NDArray[np.bool_]:
    if pixels.dtype.kind != "f":
        return np.asarray(pixels != nodata)
    if np.isnan(nodata):
        return ~np.isnan(pixels)
    low, high = _as_good_as(nodata)
    return np.asarray(~((pixels >= low) & (pixels <= high)))


@cache
def _as_good_as(nodata: float) -> tuple[np.float32, np.float32]:
    """Return between which floats GDAL takes all for nodata, as they are so close (ARE_REAL_EQUAL of `gdal_priv.h`)."""
    value = np.float32(nodata)
    share = 2 * np.finfo("float32").eps
    place, last = _place(value), _place(np.float32(np.inf))

    def is_apart(other: int) -> bool:
        pixel = _float_at(other)
        with np.errstate(over="ignore", invalid="ignore"):
            return not (pixel == value or abs(pixel - value) < share * abs(pixel + value))

    high = bisect(range(place, last + 1), False, key=is_apart) - 1
    low = bisect(range(-place, last + 1), False, key=lambda other: is_apart(-other)) - 1
    return _float_at(place - low), _float_at(place + high)


def _place(value: np.float32) -> int:
    """Return the place of a float among all, in their order; that of 0 is 0."""
    size = int(abs(value).view("int32"))
    return -size if value < 0 else size


def _float_at(place: int) -> np.float32:
    size = np.int32(abs(place)).view("float32")
    return np.float32(-size if place < 0 else size)


def _apart_from(nodata: float, means: Pixels) -> Pixels:
    """Return means of valid pixels; those that are nodata become what is beside it."""
    value = means.dtype.type(nodata)
    if means.dtype.kind == "f":
        beside = np.nextafter(value, np.finfo(means.dtype).max)
    else:
        beside = value - 1 if value == np.iinfo(means.dtype).max else value + 1
    means[means == value] = beside
    return means
