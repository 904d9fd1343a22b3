"""Writing Cloud-Optimized GeoTIFFs: the source is decoded once, and each block is compressed once.

The source goes block by block into an uncompressed tiled scratch file, and is measured on the way. Overviews cascade
inside that file, uncompressed too; then GDAL's COG driver writes them and the pixels in one go.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import rasterio.shutil
from rasterio._err import CPLE_BaseError
from rasterio.enums import Resampling
from rasterio.errors import RasterioError
from rasterio.windows import Window
from rio_cogeo.cogeo import cog_validate

from stac_ingest.errors import UploadError
from stac_ingest.models.bands import FileLayout
from stac_ingest.models.enums import DataType, OverviewResampler
from stac_ingest.models.raster import Raster, RasterBand
from stac_ingest.models.upload import require_overviews
from stac_ingest.models.values import METRES_PER_DEGREE
from stac_ingest.raster.measure import BandTally, CoarseMask, valid_pixels
from stac_ingest.raster.source import Header, Place, Source, storable_nodata

BLOCK = 512
MAX_WINDOW_BYTES = 64 * 1024**2
MAX_PIXEL_INTERLEAVED = 4
"""Files with more bands keep each band's blocks apart, so that reading one band does not decode all."""
SMALLEST_OVERVIEW = 512
LITTLE_SPACE = 16 * 1024**2
"""Where no more bytes than these are free, a file that could not be written is put down to the full disk."""

Progress = Callable[[float, str], None]

_RESAMPLING = {
    OverviewResampler.NEAREST: Resampling.nearest,
    OverviewResampler.BILINEAR: Resampling.bilinear,
    OverviewResampler.CUBIC: Resampling.cubic,
    OverviewResampler.CUBICSPLINE: Resampling.cubic_spline,
    OverviewResampler.LANCZOS: Resampling.lanczos,
    OverviewResampler.AVERAGE: Resampling.average,
    OverviewResampler.MODE: Resampling.mode,
    OverviewResampler.GAUSS: Resampling.gauss,
    OverviewResampler.RMS: Resampling.rms,
}


@dataclass(frozen=True, kw_only=True)
class Staged:
    """A source in its scratch file, and what was measured while it was copied."""

    path: Path
    place: Place
    nodata: float | None
    tallies: tuple[BandTally, ...]
    mask: CoarseMask


def overview_factors(width: int, height: int) -> tuple[int, ...]:
    """Return powers of two until no side of the smallest overview is over 512 pixels."""
    factors = []
    factor = 1
    while max(width, height) / factor > SMALLEST_OVERVIEW:
        factor *= 2
        factors.append(factor)
    return tuple(factors)


def staged_bytes(header: Header) -> int:
    """Return how many bytes the pixels take in whole blocks, which for a thin image is far more than the pixels."""
    rows, columns = -(-header.height // BLOCK), -(-header.width // BLOCK)
    return rows * columns * BLOCK**2 * header.count * np.dtype(header.dtype).itemsize


def stage(source: Source, place: Place, layout: FileLayout, path: Path, progress: Progress) -> Staged:
    """Copy a source, block by block, into an uncompressed tiled GeoTIFF at `path`, and measure it."""
    header = source.header
    nodata = storable_nodata(layout.nodata if header.nodata is None else header.nodata, header.dtype)
    tallies = tuple(BandTally() for _ in range(header.count))
    mask = CoarseMask(header.width, header.height)
    profile = {
        "driver": "GTiff",
        "width": header.width,
        "height": header.height,
        "count": header.count,
        "dtype": header.dtype,
        "crs": place.crs,
        "transform": place.transform,
        "nodata": nodata,
        "tiled": True,
        "blockxsize": BLOCK,
        "blockysize": BLOCK,
        "interleave": "pixel" if header.count <= MAX_PIXEL_INTERLEAVED else "band",
        "BIGTIFF": "IF_SAFER",
    }
    # The mask lies beside the pixels, because overviews that lie there too would lose one inside.
    beside = rasterio.Env(GDAL_TIFF_INTERNAL_MASK=False)
    with _room_for(path), beside, rasterio.open(path, "w", **profile) as scratch:
        _describe(scratch, source, layout)
        for window in windows(header.width, header.height, header.count * np.dtype(header.dtype).itemsize):
            pixels, valid_here = source.read(window)
            scratch.write(pixels, window=window)
            if valid_here is not None:
                scratch.write_mask(valid_here, window=window)
            any_band = np.zeros(pixels.shape[1:], bool)
            for band, tally in zip(pixels, tallies, strict=True):
                valid = valid_pixels(band, valid_here, nodata)
                tally.add(band[valid])
                any_band |= valid
            mask.add(any_band, window.row_off, window.col_off)
            progress((window.row_off + window.height) / header.height, "read")
    return Staged(path=path, place=place, nodata=nodata, tallies=tallies, mask=mask)


def windows(width: int, height: int, pixel_bytes: int) -> Iterator[Window]:
    """Yield windows of whole blocks, as wide as MAX_WINDOW_BYTES allows, row by row."""
    columns = max(BLOCK, MAX_WINDOW_BYTES // (BLOCK * pixel_bytes) // BLOCK * BLOCK)
    for row in range(0, height, BLOCK):
        for column in range(0, width, columns):
            yield Window(column, row, min(columns, width - column), min(BLOCK, height - row))


def _describe(scratch: Any, source: Source, layout: FileLayout) -> None:
    header = source.header
    if header.colorinterp:
        scratch.colorinterp = header.colorinterp
    if header.colormap:
        scratch.write_colormap(1, header.colormap)
    for index, band in enumerate(layout.bands, start=1):
        scratch.set_band_description(index, band.name)
    if header.notes:
        scratch.scales = [note.scale for note in header.notes]
        scratch.offsets = [note.offset for note in header.notes]
        scratch.units = [note.unit or "" for note in header.notes]


def write_cog(
    staged: Staged, path: Path, *, factors: tuple[int, ...], resampler: OverviewResampler, progress: Progress
) -> None:
    """Write a staged source as a Cloud-Optimized GeoTIFF: 512 blocks, DEFLATE with the type's predictor.

    Raises:
        UploadError: `INVALID_OVERVIEWS` when a factor leaves less than one pixel, or `STORAGE_FULL`.
    """
    require_overviews(factors, max(staged.mask.width, staged.mask.height))
    beside = rasterio.Env(GDAL_DISABLE_READDIR_ON_OPEN=False)  # the mask and some overviews lie beside the pixels
    with _room_for(path), beside:
        with rasterio.open(staged.path, "r+") as scratch:
            if factors:
                with rasterio.Env(TIFF_USE_OVR=not _gdal_tells_apart(factors, scratch.shape)):
                    scratch.build_overviews(list(factors), _RESAMPLING[resampler])
            interleave = "PIXEL" if scratch.count <= MAX_PIXEL_INTERLEAVED else "BAND"
            float16 = scratch.dtypes[0] == "float16"
        progress(0.5, "overviews")
        rasterio.shutil.copy(
            staged.path,
            path,
            driver="COG",
            COMPRESS="DEFLATE",
            PREDICTOR="STANDARD" if float16 else "YES",  # GDAL has no floating-point predictor for 16 bits
            BLOCKSIZE=BLOCK,
            BIGTIFF="IF_SAFER",
            INTERLEAVE=interleave,
            NUM_THREADS="ALL_CPUS",
            OVERVIEWS="FORCE_USE_EXISTING" if factors else "NONE",
            RESAMPLING="NEAREST",
        )
    progress(1.0, "write")


@contextmanager
def _room_for(path: Path) -> Iterator[None]:
    """Tell a want of memory or disk from other faults; of a full disk GDAL says only that the file is wrong."""
    try:
        yield
    except (RasterioError, CPLE_BaseError) as error:
        reason = str(error.__cause__ or error).lower()
        if "cannot allocate" in reason or "out of memory" in reason:
            raise MemoryError(str(error)) from error
        if shutil.disk_usage(path.parent).free < LITTLE_SPACE:
            raise UploadError(
                "STORAGE_FULL", "No space is left for the conversion; free some and try again."
            ) from error
        raise


def _gdal_tells_apart(factors: tuple[int, ...], shape: tuple[int, int]) -> bool:
    """Return whether GDAL may put overviews of these factors into the file itself.

    There it knows an overview by the rounded ratio of the sides. Where that is not the factor asked for, it leaves the
    overview out, or empty; in a file beside (`.ovr`) it goes by the order.
    """
    return all(side / -(-side // factor) >= factor - 0.5 for factor in factors for side in shape)


def describe_cog(
    path: Path, staged: Staged, asset: str, factors: tuple[int, ...], resampler: OverviewResampler
) -> Raster:
    """Validate a file that was written, strictly, and return what is to be known of it."""
    _, errors, notes = cog_validate(path, strict=True, quiet=True)
    with rasterio.open(path) as cog:
        # A file without overviews may be what was asked for; the decimation of one column cannot be told by its width.
        excused = (*(["overviews"] if not factors else []), *(["Invalid Decimation"] if cog.width == 1 else []))
        faults = [note for note in (*errors, *notes) if not any(words in note for words in excused)]
        if len(cog.overviews(1)) != len(factors):
            faults.append(f"it has {len(cog.overviews(1))} overviews, not {len(factors)}")
        if faults:
            raise UploadError("INVALID_OUTPUT", f"The converted file is not a valid COG: {'; '.join(faults)}.")
        with path.open("rb") as stream:
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
        authority = cog.crs.to_authority()
        pixels = cog.width * cog.height
        data_type = DataType.from_numpy(cog.dtypes[0]).numpy
        return Raster(
            asset=asset,
            path=path,
            size=path.stat().st_size,
            sha256=digest,
            header_size=_header_size(cog),
            shape=cog.shape,
            transform=cog.transform[:6],
            bbox=tuple(cog.bounds),
            code=":".join(authority) if authority else None,
            wkt2=cog.crs.to_wkt(version="WKT2_2019"),
            bands=tuple(
                RasterBand(data_type=data_type, nodata=staged.nodata, statistics=tally.statistics(pixels))
                for tally in staged.tallies
            ),
            overviews=factors,
            resampler=resampler,
            metre_resolution=_metre_resolution(staged.place),
        )


def _header_size(cog: Any) -> int:
    levels = [{}, *({"ovr": level} for level in range(len(cog.overviews(1))))]
    offsets = [cog.get_tag_item("BLOCK_OFFSET_0_0", "TIFF", bidx=1, **level) for level in levels]
    return min((int(offset) for offset in offsets if offset), default=0)


def _metre_resolution(place: Place) -> float | None:
    side: float = abs(place.transform.determinant) ** 0.5
    if place.crs.is_geographic:
        return round(side * METRES_PER_DEGREE, 3)
    try:
        return round(side * float(place.crs.linear_units_factor[1]), 6)
    except rasterio.errors.CRSError:
        return None
