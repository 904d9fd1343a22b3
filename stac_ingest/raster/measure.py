"""What is learnt of the pixels while they pass by once: statistics of each band, and where any of them is valid."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stac_ingest.models.raster import BandHistogram, BandStatistics

COARSE_SIDE = 1024
"""The coarse mask has at most this many columns and rows, unless the factor that needs is beyond MAX_COARSE_FACTOR."""
MAX_COARSE_FACTOR = 512
CACHED = 2**16
"""Values that are measured at a time: few enough that they stay in the processor's cache."""
COUNTED = 2**20
"""Values whose like are counted at a time: many more than there can be different ones."""
BUCKETS = 256
FEWEST_BUCKETS = 3
"""As the raster extension of STAC has it."""

Mask = NDArray[np.bool_]
Times = NDArray[np.int64]


def valid_pixels(band: NDArray[Any], mask: Mask | None, nodata: float | None) -> Mask | None:
    """Return where one band (y, x) holds a value: inside the mask, not nodata and not NaN; None: everywhere."""
    valid = mask
    if band.dtype.kind == "f" and np.isnan(np.min(band)):
        valid = ~np.isnan(band) if valid is None else valid & ~np.isnan(band)
    if nodata is not None and not math.isnan(nodata):
        valid = band != nodata if valid is None else valid & (band != nodata)
    return valid


class Buckets:
    """How many values lie in each of at most 256 buckets of equal width.

    The width is a power of two, and the buckets lie at its multiples. So which buckets there are follows from the least
    and the greatest value, which need not be known beforehand: when the values spread, neighbours become one bucket.
    """

    def __init__(self) -> None:
        self._counts = np.zeros(BUCKETS, "int64")
        self._exponent = np.iinfo("int16").min
        """Of the width; below that of any value until there is one."""
        self._first = 0
        """Number of the first bucket: where it begins, in widths."""

    def add(self, values: NDArray[Any], times: Times | None, least: float, greatest: float) -> None:
        """Take in finite values.

        Args:
            values: What is taken in.
            times: How often each of them is; None: once.
            least: Of all values that were ever taken in, these included.
            greatest: As `least`.
        """
        is_float = values.dtype.kind == "f"
        if is_float:
            values = values.astype(np.promote_types(values.dtype, "float32"), copy=False)
        self._make_room(values.dtype, least, greatest)
        # What is so small beside the width that it vanishes counts as 0.
        numbers = np.floor(values * 2.0**-self._exponent) if is_float else values >> self._exponent
        slots = (numbers - self._first).astype("uint8")
        self._counts += np.bincount(slots, times, BUCKETS).astype("int64")

    def _make_room(self, dtype: np.dtype[Any], least: float, greatest: float) -> None:
        # The numbers of buckets are whole in pixels of this type, and their edges in a float64.
        lowest, digits = (np.finfo(dtype).minexp, np.finfo(dtype).nmant) if dtype.kind == "f" else (0, 52)
        ulp = math.frexp(math.ulp(max(-least, greatest)))[1]
        exponent = max(self._exponent, lowest, ulp + 52 - digits)
        while greatest // 2**exponent - least // 2**exponent >= BUCKETS:
            exponent += 1
        first = int(least // 2**exponent)
        if (exponent, first) != (self._exponent, self._first):
            used = np.flatnonzero(self._counts)
            merged = exponent - self._exponent
            slots = [(self._first + slot >> merged) - first for slot in used.tolist()]
            counts = np.zeros_like(self._counts)
            np.add.at(counts, np.array(slots, "int64"), self._counts[used])
            self._counts, self._exponent, self._first = counts, exponent, first

    def histogram(self) -> BandHistogram | None:
        """Return the histogram; None when no value was seen, or its edges are beyond what a float64 holds."""
        used = np.flatnonzero(self._counts)
        if not used.size:
            return None
        count = max(int(used[-1]) + 1, FEWEST_BUCKETS)
        try:
            low, high = (math.ldexp(number, self._exponent) for number in (self._first, self._first + count))
        except OverflowError:
            return None
        return BandHistogram(count=count, min=low, max=high, buckets=tuple(self._counts[:count].tolist()))


@dataclass
class BandTally:
    """Running statistics of one band, merged block by block (Chan, Golub and LeVeque 1979), and its histogram."""

    count: int = 0
    minimum: float = math.inf
    maximum: float = -math.inf
    mean: float = 0.0
    squares: float = 0.0
    buckets: Buckets = field(default_factory=Buckets)

    def add(self, values: NDArray[Any]) -> None:
        """Take in the valid values of a block (1-d); what is not finite is left out."""
        if values.dtype.kind in "iu" and values.dtype.itemsize <= 2:
            for start in range(0, values.size, COUNTED):
                self._add(*_distinct(values[start : start + COUNTED]))
            return
        for start in range(0, values.size, CACHED):
            some = values[start : start + CACHED]
            if some.dtype.kind == "f" and not np.isfinite(some).all():
                some = some[np.isfinite(some)]
            if some.size:
                self._add(some)

    def _add(self, values: NDArray[Any], times: Times | None = None) -> None:
        added = values.size if times is None else int(times.sum())
        with np.errstate(over="ignore", invalid="ignore"):  # then there are no statistics
            apart = values.astype("float64")
            mean = float(np.average(apart, weights=times))
            apart -= mean
            squares = float(np.einsum("i,i", apart, apart if times is None else apart * times))
        total = self.count + added
        shift = mean - self.mean
        self.squares += squares + shift * shift * self.count * added / total
        self.mean += shift * added / total
        self.count = total
        self.minimum = min(self.minimum, values.min().item())
        self.maximum = max(self.maximum, values.max().item())
        self.buckets.add(values, times, self.minimum, self.maximum)

    def statistics(self, pixels: int) -> BandStatistics | None:
        """Return the statistics, given how many pixels the band has.

        None when no value was seen, or when their squares are beyond what a float64 holds.
        """
        if not self.count or not math.isfinite(self.squares):
            return None
        return BandStatistics(
            minimum=self.minimum,
            maximum=self.maximum,
            mean=self.mean,
            stddev=math.sqrt(self.squares / self.count),
            valid_percent=round(100 * self.count / pixels, 6),
        )


def _distinct(values: NDArray[Any]) -> tuple[NDArray[Any], Times]:
    """Return the values that there are among integers of at most 16 bits, and how often each is."""
    bits = f"u{values.dtype.itemsize}"
    times = np.bincount(values.view(bits))
    there = np.flatnonzero(times)
    return there.astype(bits).view(values.dtype), times[there]


class CoarseMask:
    """Where any pixel of a cell is valid, for square cells of `factor` pixels."""

    def __init__(self, width: int, height: int) -> None:
        factor = 1
        while max(width, height) / factor > COARSE_SIDE and factor < MAX_COARSE_FACTOR:
            factor *= 2
        self.factor = factor
        self.width, self.height = width, height
        self.cells = np.zeros((-(-height // factor), -(-width // factor)), bool)
        self.valid_count = 0

    @property
    def is_full(self) -> bool:
        """Whether every single pixel is valid."""
        return self.valid_count == self.width * self.height

    def add(self, valid: Mask, row: int, column: int) -> None:
        """Take in a block whose corner is at a multiple of the factor."""
        self.valid_count += int(np.count_nonzero(valid))
        target = self.cells[row // self.factor :, column // self.factor :]
        coarse = any_valid(valid, self.factor)
        target[: coarse.shape[0], : coarse.shape[1]] |= coarse

    def add_full(self, shape: tuple[int, int], row: int, column: int) -> None:
        """Take in a block of this shape of which every pixel is valid."""
        self.valid_count += shape[0] * shape[1]
        target = self.cells[row // self.factor :, column // self.factor :]
        target[: -(-shape[0] // self.factor), : -(-shape[1] // self.factor)] = True


def any_valid(valid: Mask, factor: int) -> Mask:
    """Return whether any pixel is valid in each cell of `factor` × `factor` pixels."""  # noqa: RUF002
    rows, columns = (-(-side // factor) for side in valid.shape)
    padded = np.zeros((rows * factor, columns * factor), bool)
    padded[: valid.shape[0], : valid.shape[1]] = valid
    return padded.reshape(rows, factor, columns, factor).any(axis=(1, 3))
