"""What is learnt of the pixels while they pass by once: statistics of each band, and where any of them is valid."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stac_ingest.models.raster import BandStatistics

COARSE_SIDE = 1024
"""The coarse mask has at most this many columns and rows, unless the factor that needs is beyond MAX_COARSE_FACTOR."""
MAX_COARSE_FACTOR = 512
CACHED = 2**16
"""Values that are measured at a time: few enough that they stay in the processor's cache."""

Mask = NDArray[np.bool_]


def valid_pixels(band: NDArray[Any], mask: Mask | None, nodata: float | None) -> Mask | None:
    """Return where one band (y, x) holds a value: inside the mask, not nodata and not NaN; None: everywhere."""
    valid = mask
    if band.dtype.kind == "f" and np.isnan(np.min(band)):
        valid = ~np.isnan(band) if valid is None else valid & ~np.isnan(band)
    if nodata is not None and not math.isnan(nodata):
        valid = band != nodata if valid is None else valid & (band != nodata)
    return valid


@dataclass
class BandTally:
    """Running statistics of one band, merged block by block (Chan, Golub and LeVeque 1979)."""

    count: int = 0
    minimum: float = math.inf
    maximum: float = -math.inf
    mean: float = 0.0
    squares: float = 0.0

    def add(self, values: NDArray[Any]) -> None:
        """Take in the valid values of a block (1-d); what is not finite is left out."""
        for start in range(0, values.size, CACHED):
            self._add(values[start : start + CACHED])

    def _add(self, values: NDArray[Any]) -> None:
        if values.dtype.kind == "f" and not np.isfinite(values).all():
            values = values[np.isfinite(values)]
        if not values.size:
            return
        with np.errstate(over="ignore", invalid="ignore"):  # then there are no statistics
            mean = float(values.mean(dtype="float64"))
            apart = values - mean if values.dtype == np.float64 else values.astype("float64") - mean
            squares = float(np.einsum("i,i", apart, apart))
        total = self.count + values.size
        shift = mean - self.mean
        self.squares += squares + shift * shift * self.count * values.size / total
        self.mean += shift * values.size / total
        self.count = total
        self.minimum = min(self.minimum, float(values.min()))
        self.maximum = max(self.maximum, float(values.max()))

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
