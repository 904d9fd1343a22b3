"""What takes the pixels of one level of a Cloud-Optimized GeoTIFF, and has them encoded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from rasterio.windows import Window

from stac_ingest.raster.blocks import BlockWriter, Grid, blank_of, is_blank
from stac_ingest.raster.source import Mask, Pixels
from stac_ingest.raster.tiff import LevelFiles


class GdalFile:
    """A file that GDAL writes, as it is asked to when the file is created."""

    def __init__(self, file: Any) -> None:
        self._file = file

    def write(self, pixels: Pixels, inside: Mask | None, window: Window) -> None:
        """Write them."""
        self._file.write(pixels, window=window)
        if inside is not None:
            self._file.write_mask(inside, window=window)


class ByGdal(GdalFile):
    """A file whose blocks GDAL encodes, of some types even those that are all nodata; which these are is noted."""

    def __init__(self, file: Any, grid: Grid, nodata: float | None) -> None:
        super().__init__(file)
        self._grid, self._nodata = grid, blank_of(np.dtype(file.dtypes[0]), nodata)
        self._blank, self._blank_mask = np.ones(grid.size, bool), np.ones(grid.of_mask.size, bool)
        self.files = LevelFiles(Path(file.name), blank=self._blank, blank_mask=self._blank_mask)

    def write(self, pixels: Pixels, inside: Mask | None, window: Window) -> None:
        """Write them, and note which blocks are all nodata."""
        super().write(pixels, inside, window)
        corner = window.row_off, window.col_off
        for index, part in self._grid.parts(pixels, *corner):
            self._blank[index] = is_blank(part, self._nodata)
        if inside is not None:
            for index, part in self._grid.of_mask.parts(inside[np.newaxis], *corner):
                self._blank_mask[index] = not part.any()


class ByIsal:
    """Blocks that ISA-L encodes, in a file beside the one that has their directory."""

    def __init__(self, directory: Path, image: BlockWriter, mask: BlockWriter) -> None:
        self._image, self._mask = image, mask
        self.files = LevelFiles(directory, image.blocks, mask.blocks)

    def write(self, pixels: Pixels, inside: Mask | None, window: Window) -> None:
        """Encode them."""
        self._image.write(pixels, window.row_off, window.col_off)
        if inside is not None:
            self._mask.write(inside[np.newaxis], window.row_off, window.col_off)
