"""Images to make Cloud-Optimized GeoTIFFs of, the same ones each time: smooth terrain with noise."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from affine import Affine
from numpy.typing import NDArray
from rasterio.windows import Window

BLOCK = 512
CRS = "EPSG:32633"
TRANSFORM = Affine(10, 0, 399_960, 0, -10, 5_000_040)
EDGE = 0.1
"""Share of the columns that are nodata at the left, growing from none to twice as much, as beside a swath."""

Pixels = NDArray[Any]


@dataclass(frozen=True)
class Picture:
    """What is in a source, and how it is stored."""

    name: str
    dtype: str
    bands: int
    side: int
    nodata: float | None = None
    filled: float = 1.0
    """Share of the blocks that have data; the others are nodata."""
    is_array: bool = False
    is_compressed: bool = True
    seed: int = 0

    def made(self, folder: Path) -> Path:
        """Return the file, which is written row of blocks by row of blocks unless it is there."""
        path = folder / f"{self.name}-{self.side}{'.npy' if self.is_array else '.tif'}"
        if not path.exists():
            unfinished = path.with_stem(f"{path.stem}-unfinished")
            (self._write_array if self.is_array else self._write_tiff)(unfinished)
            unfinished.rename(path)
        return path

    def difference(self, source: Path, target: Path) -> str | None:
        """Return what is not in the target as in the source, or in other blocks than ours; None if nothing is."""
        array = np.load(source, mmap_mode="r") if self.is_array else None
        with rasterio.open(target) as written, rasterio.open(target if self.is_array else source) as original:
            if (written.nodata, written.crs, written.transform) != (self.nodata, CRS, TRANSFORM):
                return f"nodata {written.nodata}, {written.crs}, {written.transform[:6]}"
            sides = {side for shape in written.block_shapes for side in shape}
            if self.side > BLOCK and sides != {BLOCK}:
                return f"blocks of {sides}"
            for window in strips(self.side, self.side):
                expected = original.read(window=window) if array is None else array[:, *window.toslices()]
                if not np.array_equal(written.read(window=window), expected):
                    return f"pixels in {window}"
        return None

    def _write_array(self, path: Path) -> None:
        array = np.lib.format.open_memmap(path, "w+", self.dtype, (self.bands, self.side, self.side))
        for window, pixels in self._strips():
            array[:, *window.toslices()] = pixels

    def _write_tiff(self, path: Path) -> None:
        what = {
            "width": self.side,
            "height": self.side,
            "count": self.bands,
            "dtype": self.dtype,
            "nodata": self.nodata,
        }
        how = {"tiled": True, "blockxsize": BLOCK, "blockysize": BLOCK, "interleave": "pixel", "sparse_ok": True}
        if self.is_compressed:
            predictor = 3 if self.dtype == "float32" else 2
            how |= {"compress": "deflate", "predictor": predictor, "num_threads": "all_cpus"}
        with rasterio.open(path, "w", driver="GTiff", crs=CRS, transform=TRANSFORM, **what, **how) as file:
            for window, pixels in self._strips():
                file.write(pixels, window=window)

    def _strips(self) -> Iterator[tuple[Window, Pixels]]:
        for window in strips(self.side, self.side):
            pixels = np.full((self.bands, window.height, window.width), self.nodata or 0, self.dtype)
            for column in range(0, self.side, BLOCK):
                chance = np.random.default_rng([self.seed, window.row_off, column])
                if chance.random() < self.filled:
                    block = pixels[:, :, column : column + BLOCK]
                    block[:] = self._block(chance, window.row_off, column, block.shape)
            yield window, pixels

    def _block(self, chance: np.random.Generator, row: int, column: int, shape: tuple[int, ...]) -> Pixels:
        y, x = np.mgrid[row : row + shape[1], column : column + shape[2]]
        terrain = 0.5 + 0.3 * np.sin(y / 400) * np.cos(x / 400) + 0.15 * np.sin(y / 80 + x / 133)
        # A band of Sentinel-2 has about 130 MB in DEFLATE, and so has this.
        scale, noise = (250, 0.01) if self.dtype == "uint8" else (4000, 0.004)
        values = scale * (terrain + chance.normal(0, noise, shape))
        pixels: Pixels = values.clip(1, scale).astype(self.dtype)
        if self.nodata is not None and self.filled == 1:
            pixels[:, x < 2 * EDGE * y] = self.nodata
        return pixels


def strips(height: int, width: int) -> Iterator[Window]:
    """Yield the rows of blocks of an image."""
    for row in range(0, height, BLOCK):
        yield Window(0, row, width, min(BLOCK, height - row))


def overviews_of(path: Path) -> list[int]:
    """Return the factors of the overviews of a file."""
    with rasterio.open(path) as file:
        factors: list[int] = file.overviews(1)
    return factors
