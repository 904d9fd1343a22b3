"""Files that are already what would be written of them, or whose blocks are: they are read, and taken as they are."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice, product
from pathlib import Path
from typing import Any, get_args

import numpy as np
import rasterio
from rasterio.enums import Interleaving

from stac_ingest.models.cog import CogProfile
from stac_ingest.models.enums import Codec, OverviewResampler, UploadFileKind
from stac_ingest.models.raster import SourceFile
from stac_ingest.raster.blocks import Blocks, predictor_of
from stac_ingest.raster.cog import (
    BLOCK,
    Cog,
    Progress,
    grid_of,
    measure_source,
    staged_bytes,
    windows,
    write_cog,
)
from stac_ingest.raster.room import room_for
from stac_ingest.raster.sniff import HEAD_BYTES, driver_for
from stac_ingest.raster.source import Place, Source
from stac_ingest.raster.tiff import BUFFER, Written

LOSSLESS = (Codec.DEFLATE, Codec.ZSTD, Codec.LZW)
"""Accepted where no codec is asked for."""
BLOCK_SIZES = get_args(CogProfile.model_fields["block_size"].annotation)
"""Accepted where none is asked for."""
MOST_PER_BYTE = 2
"""Bytes of a file for each byte of its pixels; what has more holds something else."""


def make_cog(
    source: Source,
    file: SourceFile,
    place: Place,
    path: Path,
    *,
    names: Sequence[str | None],
    nodata: float | None,
    factors: tuple[int, ...],
    resampler: OverviewResampler | None,
    default_resampler: OverviewResampler,
    profile: CogProfile | None,
    progress: Progress,
) -> Cog:
    """Make a Cloud-Optimized GeoTIFF of a source, and measure its pixels: its own bytes where it is one already.

    Of another GeoTIFF, the blocks that are encoded as they would be are taken.

    Args:
        source: What is read, once.
        file: The file that it is in.
        place: Where the pixels lie.
        path: The file to write.
        names: Of the bands, as `write_cog` writes them.
        nodata: Value of what is not valid, as the bands' type can hold it.
        factors: Of the overviews, ascending.
        resampler: How overviews should be made, if that is asked for.
        default_resampler: How they are made else: nearest where bands are classes.
        profile: How blocks should be encoded, if that is asked for.
        progress: Told the share that is done, and what is being done.

    Raises:
        UploadError: As `write_cog`.
    """
    known = None
    if _is_geotiff(file):
        with rasterio.open(file.path, driver="GTiff") as dataset:
            upload = _Upload(source=source, dataset=dataset, factors=factors)
            # Where nobody asks how overviews are made, any will do, but not of classes, whose average is none of them.
            is_free = resampler is None and default_resampler is not OverviewResampler.NEAREST
            if (
                (is_free or not factors or upload.resampler is (resampler or default_resampler))
                and upload.says_the_same(place, nodata)
                and upload.is_encoded_as(profile)
                and upload.is_valid()
            ):
                return upload.take(place, path, nodata, progress)
            known = upload.blocks(profile or CogProfile())
    return write_cog(
        source,
        place,
        path,
        names=names,
        nodata=nodata,
        factors=factors,
        resampler=resampler or default_resampler,
        profile=profile or CogProfile(),
        progress=progress,
        known=known,
    )


def _is_geotiff(file: SourceFile) -> bool:
    if file.kind is UploadFileKind.ARRAY:
        return False
    with file.path.open("rb") as stream:
        return driver_for(stream.read(HEAD_BYTES), file.name) == "GTiff"


@dataclass(frozen=True, kw_only=True)
class _Upload:
    """A GeoTIFF, as its pixels are read and as it is in the file, and the factors of the overviews it should have."""

    source: Source
    dataset: Any
    factors: tuple[int, ...]

    @property
    def resampler(self) -> OverviewResampler | None:
        """How overviews were made, as GDAL's COG driver records it, or else rio-cogeo."""
        name = "OVERVIEW_RESAMPLING"
        recorded = self.dataset.tags(ns="IMAGE_STRUCTURE").get(name) or self.dataset.tags().get(name, "")
        return OverviewResampler.__members__.get(recorded.replace("_", ""))

    def says_the_same(self, place: Place, nodata: float | None) -> bool:
        """Return whether the file says all that would be written, by itself and in the same way."""
        dataset, header = self.dataset, self.source.header
        return (
            dataset.files == [dataset.name]
            and not dataset.subdatasets
            and dataset.count == header.count  # else its alpha band becomes the mask
            and (header.crs, header.transform) == (place.crs, place.transform)
            and repr(dataset.nodata) == repr(nodata)  # which is so for NaN too
        )

    def is_encoded_as(self, profile: CogProfile | None) -> bool:
        """Return whether each resolution is there and has the codec and the blocks that are asked for.

        With which level, error or quality it was encoded is not known.
        """
        if profile and (profile.level, profile.max_error, profile.quality) != (None, None, None):
            return False
        codecs = (profile.codec,) if profile else LOSSLESS
        sizes = (profile.block_size,) if profile else BLOCK_SIZES
        size = Path(self.dataset.name).stat().st_size
        return (
            size <= MOST_PER_BYTE * staged_bytes(self.source.header, profile or CogProfile(), self.factors)
            and len(self.dataset.overviews(1)) == len(self.factors)
            and all(
                level.block_shapes[0] in {(side, side) for side in sizes}
                and _codec(level) in codecs
                and _is_reduced(level.shape, self.dataset.shape, factor)
                for factor, level in zip((1, *self.factors), self.levels(), strict=True)
            )
        )

    def blocks(self, profile: CogProfile) -> Blocks | None:
        """Return where the blocks are, if they are as large as those asked for, and encoded as ours are.

        No level can be told from a block, so where one is asked for, none will do.
        """
        dataset, header = self.dataset, self.source.header
        grid = grid_of(header, profile.block_size)
        structure = dataset.tags(ns="IMAGE_STRUCTURE")
        is_alike = (
            profile.is_default_deflate
            and (structure.get("COMPRESSION"), structure.get("PREDICTOR"))
            == (Codec.DEFLATE, str(predictor_of(np.dtype(header.dtype))))
            and dataset.count == header.count
            and (dataset.count == 1 or (dataset.interleaving is Interleaving.pixel) == grid.interleaved)
            and dataset.block_shapes[0] == (grid.block, grid.block)
            and _is_little_endian(Path(dataset.name))
        )
        if not is_alike:
            return None
        blocks = Blocks.nowhere(grid, Path(dataset.name))
        bands, rows, columns = range(1, grid.planes + 1), range(grid.rows), range(grid.columns)
        for index, (band, row, column) in enumerate(product(bands, rows, columns)):
            for what, numbers in ("OFFSET", blocks.offsets), ("SIZE", blocks.sizes):
                numbers[index] = int(dataset.get_tag_item(f"BLOCK_{what}_{column}_{row}", "TIFF", bidx=band) or 0)
        blocks.sizes[blocks.sizes >= grid.block_bytes(header.dtype)] = 0  # nor may a file say how much is read
        return blocks

    def is_valid(self) -> bool:
        """Return whether rio-cogeo finds no fault in the file, not even what it only warns of."""
        from rio_cogeo.cogeo import cog_validate  # takes 0.1 s, and few files come so far

        _, errors, warnings = cog_validate(self.dataset.name, strict=True, quiet=True)
        # A file without overviews may be what was asked for; the decimation of one column cannot be told by its width.
        excused = [
            *(["overviews"] if not self.factors else []),
            *(["Invalid Decimation"] if self.dataset.width == 1 else []),
        ]
        return all(any(words in fault for words in excused) for fault in (*errors, *warnings))

    def levels(self) -> Iterator[Any]:
        """Yield the full resolution, and each overview as a file that is open until the next one."""
        yield self.dataset
        for index in range(len(self.factors)):
            with rasterio.open(self.dataset.name, driver="GTiff", overview_level=index) as overview:
                yield overview

    def take(self, place: Place, path: Path, nodata: float | None, progress: Progress) -> Cog:
        """Copy the file, and decode and measure all that is in it meanwhile."""
        block = max(BLOCK, self.dataset.block_shapes[0][0])
        with room_for(path), ThreadPoolExecutor(1) as copier:
            copied = copier.submit(_copy_file, Path(self.dataset.name), path)
            tallies, mask = measure_source(self.source, nodata, block, lambda share: progress(0.7 * share, "read"))
            self._read_overviews(block, progress)
            size, sha256 = copied.result()
        return Cog(
            path=path,
            place=place,
            nodata=nodata,
            tallies=tallies,
            mask=mask,
            factors=self.factors,
            resampler=self.resampler,
            file=Written(size=size, sha256=sha256, header_size=self._first_block(size)),
            taken=True,
        )

    def _read_overviews(self, block: int, progress: Progress) -> None:
        header = self.source.header
        pixel_bytes = header.count * np.dtype(header.dtype).itemsize
        for done, overview in enumerate(islice(self.levels(), 1, None), start=1):
            for window in windows(overview.width, overview.height, pixel_bytes, block):
                overview.read(window=window)
                if header.masked:
                    overview.read_masks(1, window=window)
            progress(0.7 + 0.3 * done / len(self.factors), "overviews")

    def _first_block(self, size: int) -> int:
        """Return where the first block is, one of the smallest resolution that has any; else the size of the file."""
        is_separate = self.dataset.interleaving is Interleaving.band
        bands = self.dataset.indexes if is_separate else [1]
        grids = [[-(-side // level.block_shapes[0][0]) for side in level.shape] for level in self.levels()]
        for index, (rows, columns) in reversed(list(enumerate(grids))):
            overview = index - 1 if index else None
            offsets = [
                self.dataset.get_tag_item(f"BLOCK_OFFSET_{column}_{row}", "TIFF", bidx=band, ovr=overview)
                for row, column, band in product(range(rows), range(columns), bands)
            ]
            if any(offsets):
                return min(int(offset) for offset in offsets if offset)
        return size


def _is_little_endian(path: Path) -> bool:
    with path.open("rb") as stream:
        return stream.read(2) == b"II"


def _codec(level: Any) -> str:
    compression: str = level.tags(ns="IMAGE_STRUCTURE").get("COMPRESSION", "NONE")
    return compression.removeprefix("YCbCr ").partition("_")[0]


def _is_reduced(shape: tuple[int, int], full: tuple[int, int], factor: int) -> bool:
    """Return whether an overview has this factor, rounded up, or down as by GDAL's COG driver."""
    return all(found in (-(-side // factor), max(1, side // factor)) for found, side in zip(shape, full, strict=True))


def _copy_file(source: Path, target: Path) -> tuple[int, str]:
    """Copy a file, and return its size and SHA-256."""
    digest = hashlib.sha256()
    with source.open("rb") as read, target.open("wb") as written:
        while piece := read.read(BUFFER):
            digest.update(piece)
            written.write(piece)
        return written.tell(), digest.hexdigest()
