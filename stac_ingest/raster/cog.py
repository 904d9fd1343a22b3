"""Writing Cloud-Optimized GeoTIFFs: the source is decoded once, and each block is encoded once.

The source is read window by window and measured on the way. Its pixels are encoded on all cores meanwhile, and go into
an uncompressed scratch file, where GDAL makes the overviews; these are encoded in their turn. Then the blocks are put
in order (raster/tiff.py).
"""

from __future__ import annotations

import errno
import math
import shutil
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Protocol

import numpy as np
import rasterio
from rasterio._err import CPLE_BaseError
from rasterio.enums import Resampling
from rasterio.errors import NotGeoreferencedWarning, RasterioError
from rasterio.windows import Window
from rio_cogeo.cogeo import cog_validate

from stac_ingest.errors import UploadError
from stac_ingest.models.enums import Codec, DataType, OverviewResampler
from stac_ingest.models.raster import CogProfile, Raster, RasterBand
from stac_ingest.models.upload import require_overviews
from stac_ingest.models.values import METRES_PER_DEGREE
from stac_ingest.raster import tiff
from stac_ingest.raster.blocks import (
    BlockWriter,
    Grid,
    encode_mask,
    encoding_threads,
    pixel_encoder,
    predictor_of,
)
from stac_ingest.raster.measure import BandTally, CoarseMask, valid_pixels
from stac_ingest.raster.source import Header, Mask, Pixels, Place, Source
from stac_ingest.raster.tiff import LevelFiles

BLOCK = 512
MAX_WINDOW_BYTES = 32 * 1024**2
MAX_PIXEL_INTERLEAVED = 4
"""Files with more bands keep each band's blocks apart, so that reading one band does not decode all."""
SMALLEST_OVERVIEW = 512
ZSTD_LEVEL = 1
"""With a predictor, higher ones take several times as long and save little."""
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
class Cog:
    """A Cloud-Optimized GeoTIFF that was made, and what was measured of its pixels on the way."""

    path: Path
    place: Place
    nodata: float | None
    tallies: tuple[BandTally, ...]
    mask: CoarseMask
    factors: tuple[int, ...]
    resampler: OverviewResampler | None
    """How overviews were made; None where the file does not tell."""
    file: tiff.Written
    taken: bool = False
    """Whether it is the source itself, byte by byte."""


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


def write_cog(
    source: Source,
    place: Place,
    path: Path,
    *,
    names: Sequence[str | None],
    nodata: float | None,
    factors: tuple[int, ...],
    resampler: OverviewResampler,
    profile: CogProfile,
    progress: Progress,
) -> Cog:
    """Write a source as a Cloud-Optimized GeoTIFF, and measure its pixels on the way.

    Args:
        source: What is read, once, window by window.
        place: Where the pixels lie.
        path: The file to write; levels that are not in order yet lie beside it for a while.
        names: Of the bands.
        nodata: Value of what is not valid, as the bands' type can hold it.
        factors: Of the overviews, ascending.
        resampler: How overviews are made, by GDAL: each from the one before where a block holds all bands, else from
            the full resolution.
        profile: How blocks are encoded.
        progress: Told the share that is done, and what is being done.

    Raises:
        UploadError: `INVALID_OVERVIEWS` when a factor leaves less than one pixel, `UNSUPPORTED_DATA_TYPE` when the
            codec cannot hold the pixels, or `STORAGE_FULL`.
    """
    header = source.header
    require_overviews(factors, max(header.width, header.height))
    _require_codec(profile.codec, header)
    with (
        encoding_threads() as encoders,
        TemporaryDirectory(prefix=f"{path.stem}-", dir=path.parent) as folder,
        room_for(path),
        # Overviews and the scratch file have no place on the Earth.
        warnings.catch_warnings(action="ignore", category=NotGeoreferencedWarning),
        # Masks and some overviews lie beside the pixels of the scratch file.
        rasterio.Env(GDAL_DISABLE_READDIR_ON_OPEN=False),
    ):
        pyramid = _Pyramid(header, nodata, profile, encoders)
        scratch = Path(folder) / "scratch.tif"
        with ExitStack() as stack:
            full = stack.enter_context(pyramid.level(Path(folder) / "1.tif", header.height, header.width, place, names))
            beside = [stack.enter_context(pyramid.scratch(scratch))] if factors else []
            tallies, mask = _copy(
                source, [full, *beside], nodata, pyramid.block, lambda share: progress(0.6 * share, "read")
            )
        levels = [full.files]
        if factors:
            progress(0.6, "overviews")
            _build_overviews(scratch, factors, resampler)
        with ExitStack() as stack:
            for index, factor in enumerate(factors):
                levels.append(pyramid.copy_overview(scratch, index, Path(folder) / f"{factor}.tif", stack))
                progress(0.7 + 0.2 * (index + 1) / len(factors), "overviews")
        written = tiff.write_in_order(levels, path, lambda share: progress(0.9 + 0.1 * share, "write"))
    return Cog(
        path=path,
        place=place,
        nodata=nodata,
        tallies=tallies,
        mask=mask,
        factors=factors,
        resampler=resampler,
        file=written,
    )


class _Target(Protocol):
    """What pixels are written into, window by window."""

    def write(self, pixels: Pixels, inside: Mask | None, window: Window) -> None:
        """Take pixels (band, y, x), and where they are valid if the source is masked."""
        ...


class _ByGdal:
    """A file whose blocks GDAL encodes."""

    def __init__(self, file: Any) -> None:
        self._file = file
        self.files = LevelFiles(Path(file.name))

    def write(self, pixels: Pixels, inside: Mask | None, window: Window) -> None:
        """Write them."""
        self._file.write(pixels, window=window)
        if inside is not None:
            self._file.write_mask(inside, window=window)


class _ByIsal:
    """Blocks that ISA-L encodes, in a file beside the one that has their directory."""

    def __init__(self, directory: Path, image: BlockWriter, mask: BlockWriter) -> None:
        self._image, self._mask = image, mask
        self.files = LevelFiles(directory, image.blocks, mask.blocks)

    def write(self, pixels: Pixels, inside: Mask | None, window: Window) -> None:
        """Encode them."""
        self._image.write(pixels, window.row_off, window.col_off)
        if inside is not None:
            self._mask.write(inside[np.newaxis], window.row_off, window.col_off)


@dataclass(frozen=True)
class _Pyramid:
    """Files for the pixels of each level, and for all of them uncompressed."""

    header: Header
    nodata: float | None
    profile: CogProfile
    encoders: ThreadPoolExecutor

    @property
    def block(self) -> int:
        """Side of what is read and written at a time: of whole blocks, whatever their size."""
        return max(BLOCK, self.profile.block_size)

    @contextmanager
    def level(
        self, path: Path, height: int, width: int, place: Place | None = None, names: Sequence[str | None] = ()
    ) -> Iterator[_ByGdal | _ByIsal]:
        """Open what encodes the blocks of one level."""
        options = {
            "blockxsize": self.profile.block_size,
            "blockysize": self.profile.block_size,
            "BIGTIFF": "YES",  # which is what raster/tiff.py reads
            "NUM_THREADS": "ALL_CPUS",
            **creation_options(self.profile, self.header),
            **({"crs": place.crs, "transform": place.transform} if place else {}),
        }
        with self._created(path, height, width, options, internal_mask=True) as file:
            if place:
                _describe(file, self.header, names)
            if not self.profile.is_default_deflate:
                yield _ByGdal(file)
        if self.profile.is_default_deflate:
            with self._by_isal(path, height, width) as level:
                yield level

    @contextmanager
    def _by_isal(self, path: Path, height: int, width: int) -> Iterator[_ByIsal]:
        header, block = self.header, self.profile.block_size
        grid = Grid(height=height, width=width, count=header.count, block=block, interleaved=_is_interleaved(header))
        encode = pixel_encoder(np.dtype(header.dtype), block, self.nodata)
        with path.with_suffix(".blocks").open("wb") as image, path.with_suffix(".mask").open("wb") as mask:
            pixels = BlockWriter(grid, image, self.encoders, encode)
            valid = BlockWriter(replace(grid, count=1), mask, self.encoders, partial(encode_mask, block=block))
            yield _ByIsal(path, pixels, valid)
            pixels.finish()
            valid.finish()

    @contextmanager
    def scratch(self, path: Path) -> Iterator[_ByGdal]:
        """Open a file for the pixels as they are; a mask lies beside it, as overviews there would lose one inside."""
        options = {"blockxsize": BLOCK, "blockysize": BLOCK, "BIGTIFF": "IF_SAFER"}
        with self._created(path, self.header.height, self.header.width, options, internal_mask=False) as file:
            yield _ByGdal(file)

    @contextmanager
    def _created(
        self, path: Path, height: int, width: int, options: dict[str, Any], *, internal_mask: bool
    ) -> Iterator[Any]:
        header = self.header
        with rasterio.open(
            path,
            "w",
            driver="GTiff",
            width=width,
            height=height,
            count=header.count,
            dtype=header.dtype,
            nodata=self.nodata,
            tiled=True,
            interleave="pixel" if _is_interleaved(header) else "band",
            SPARSE_OK=True,
            **options,
        ) as file:
            if header.colorinterp:
                file.colorinterp = header.colorinterp
            if header.colormap:
                file.write_colormap(1, header.colormap)
            if header.masked:
                with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=internal_mask):  # as it is when the first of it is written
                    file.write_mask(np.zeros((1, 1), bool), window=Window(0, 0, 1, 1))
            yield file

    def copy_overview(self, scratch: Path, index: int, path: Path, stack: ExitStack) -> LevelFiles:
        """Encode the blocks of an overview of the scratch file; they are complete when the stack is left."""
        with rasterio.open(scratch, overview_level=index) as overview:
            level = stack.enter_context(self.level(path, overview.height, overview.width))
            for window in windows(overview.width, overview.height, _pixel_bytes(self.header), self.block):
                inside = overview.read_masks(1, window=window) > 0 if self.header.masked else None
                pixels = overview.read(window=window)  # of float16, GDAL makes float32 in a file beside
                level.write(pixels.astype(self.header.dtype, copy=False), inside, window)
        return level.files


def _is_interleaved(header: Header) -> bool:
    return header.count <= MAX_PIXEL_INTERLEAVED


def _require_codec(codec: Codec, header: Header) -> None:
    """Refuse pixels that a codec cannot hold; GDAL's threads would write zeros instead, or another number of bands."""
    match codec:
        case Codec.LERC:
            expected = "integers of at most 32 bits, float32 or float64"
            fits = header.dtype not in ("int64", "uint64", "float16")
        case Codec.JPEG:
            expected = "1 or 3 bands of uint8"
            fits = header.dtype == "uint8" and header.count in (1, 3)
        case Codec.WEBP:
            expected = "3 or 4 bands of uint8"
            fits = header.dtype == "uint8" and header.count in (3, 4)
        case _:
            return
    if not fits:
        raise UploadError(
            "UNSUPPORTED_DATA_TYPE",
            f"Expected for {codec} {expected}, found {header.count} of {header.dtype} in {header.name!r}; choose"
            " another codec, such as DEFLATE.",
        )


def creation_options(profile: CogProfile, header: Header) -> dict[str, Any]:
    """Return how GDAL is asked to encode blocks, as creation options of its GTiff driver."""
    options: dict[str, Any] = {"COMPRESS": profile.codec}
    match profile.codec:
        case Codec.DEFLATE if profile.level is not None:
            options["ZLEVEL"] = profile.level
        case Codec.ZSTD:
            options["ZSTD_LEVEL"] = ZSTD_LEVEL if profile.level is None else profile.level
        case Codec.LERC:
            options |= {"COMPRESS": "LERC_ZSTD", "MAX_Z_ERROR": profile.max_error}
        case Codec.JPEG:
            options |= {"JPEG_QUALITY": profile.quality, "PHOTOMETRIC": "YCBCR" if header.count == 3 else "MINISBLACK"}
        case Codec.WEBP:
            options |= {"WEBP_LEVEL": profile.quality, "WEBP_LOSSLESS": profile.quality == 100}
    if profile.codec in (Codec.DEFLATE, Codec.ZSTD, Codec.LZW):
        options["PREDICTOR"] = predictor_of(np.dtype(header.dtype))
    return options


@dataclass(frozen=True)
class _Read:
    """What was read of one window."""

    window: Window
    pixels: Pixels
    inside: Mask | None
    """Where the source says that pixels are valid, if it is masked."""
    valid: tuple[Mask | None, ...]
    """Where each band is; None: everywhere."""

    @property
    def any_band(self) -> Mask | None:
        """Where any band is valid; None: everywhere."""
        partly = [valid for valid in self.valid if valid is not None]
        return np.logical_or.reduce(partly) if len(partly) == len(self.valid) else None


def _copy(
    source: Source, targets: Sequence[_Target], nodata: float | None, block: int, progress: Callable[[float], None]
) -> tuple[tuple[BandTally, ...], CoarseMask]:
    """Write a source into files of its size, and measure it meanwhile."""
    header = source.header
    tallies = tuple(BandTally() for _ in range(header.count))
    mask = CoarseMask(header.width, header.height)
    # Elsewhere, what is not valid is more than what a block that is left out holds: masked pixels, NaN beside nodata.
    is_exact = nodata is not None and (math.isnan(nodata) or np.dtype(header.dtype).kind != "f")
    blank_is_nodata = is_exact and not header.masked

    def read(window: Window) -> _Read:
        pixels, inside = source.read(window)
        return _Read(window, pixels, inside, tuple(valid_pixels(band, inside, nodata) for band in pixels))

    def measure(found: _Read, any_band: Mask | None) -> None:
        for band, valid, tally in zip(found.pixels, found.valid, tallies, strict=True):
            tally.add(band.ravel() if valid is None else band[valid])
        corner = found.window.row_off, found.window.col_off
        if any_band is None:
            mask.add_full(found.pixels.shape[1:], *corner)
        else:
            mask.add(any_band, *corner)

    where = windows(header.width, header.height, _pixel_bytes(header), block)
    with ThreadPoolExecutor(1) as reader, ThreadPoolExecutor(1) as measurer:
        # Of many bands, even the smallest window is large, and two at a time may be more than there is room for.
        is_small = block**2 * _pixel_bytes(header) <= MAX_WINDOW_BYTES
        for found in _ahead(read, where, reader) if is_small else map(read, where):
            any_band = found.any_band
            measured = measurer.submit(measure, found, any_band)
            for columns in _runs(found, any_band if blank_is_nodata else None):
                part = Window(
                    found.window.col_off + columns.start,
                    found.window.row_off,
                    columns.stop - columns.start,
                    found.window.height,
                )
                inside = None if found.inside is None else found.inside[:, columns]
                for target in targets:
                    target.write(found.pixels[:, :, columns], inside, part)
            measured.result()
            progress((found.window.row_off + found.window.height) / header.height)
    return tallies, mask


def measure_source(
    source: Source, nodata: float | None, block: int, progress: Callable[[float], None]
) -> tuple[tuple[BandTally, ...], CoarseMask]:
    """Read all pixels of a source, and measure them."""
    return _copy(source, [], nodata, block, progress)


def _runs(found: _Read, any_band: Mask | None) -> Iterator[slice]:
    """Yield the columns of whole blocks in which any pixel is valid."""
    width = found.window.width
    if any_band is None:
        yield slice(0, width)
        return
    starts = np.arange(0, width, BLOCK)
    filled = np.logical_or.reduceat(any_band.any(axis=0), starts)
    edges = np.flatnonzero(np.diff(np.concatenate([[False], filled, [False]])))
    for first, last in edges.reshape(-1, 2):
        yield slice(int(first) * BLOCK, min(int(last) * BLOCK, width))


def _ahead(read: Callable[[Window], _Read], where: Iterator[Window], reader: Executor) -> Iterator[_Read]:
    """Yield what is read of windows; the next one is read meanwhile."""
    coming = reader.submit(read, next(where))
    for following in where:
        found = coming.result()
        coming = reader.submit(read, following)
        yield found
    yield coming.result()


def _pixel_bytes(header: Header) -> int:
    return header.count * int(np.dtype(header.dtype).itemsize)


def windows(width: int, height: int, pixel_bytes: int, block: int = BLOCK) -> Iterator[Window]:
    """Yield windows of whole blocks, as wide as MAX_WINDOW_BYTES allows, row by row."""
    columns = max(block, MAX_WINDOW_BYTES // (block * pixel_bytes) // block * block)
    for row in range(0, height, block):
        for column in range(0, width, columns):
            yield Window(column, row, min(columns, width - column), min(block, height - row))


def _describe(full: Any, header: Header, names: Sequence[str | None]) -> None:
    for index, name in enumerate(names, start=1):
        if name:
            full.set_band_description(index, name)
    if header.notes:
        full.scales = [note.scale for note in header.notes]
        full.offsets = [note.offset for note in header.notes]
        full.units = [note.unit or "" for note in header.notes]
    if header.rpcs:
        full.rpcs = header.rpcs


def _build_overviews(scratch: Path, factors: tuple[int, ...], resampler: OverviewResampler) -> None:
    with rasterio.open(scratch, "r+") as file:
        # Beside nodata of 64 bits, GDAL 3.12 reads the directories of the file again and again, without end.
        is_endless = file.dtypes[0] in ("int64", "uint64") and file.nodata is not None
        with rasterio.Env(TIFF_USE_OVR=is_endless or not _gdal_tells_apart(factors, file.shape)):
            file.build_overviews(list(factors), _RESAMPLING[resampler])


@contextmanager
def room_for(path: Path) -> Iterator[None]:
    """Tell a want of memory or disk from other faults; of a full disk GDAL says only that the file is wrong."""
    full = UploadError("STORAGE_FULL", "No space is left for the conversion; free some and try again.")
    try:
        yield
    except (RasterioError, CPLE_BaseError) as error:
        reason = str(error.__cause__ or error).lower()
        if "cannot allocate" in reason or "out of memory" in reason:
            raise MemoryError(str(error)) from error
        if shutil.disk_usage(path.parent).free < LITTLE_SPACE:
            raise full from error
        raise
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise full from error
        raise


def _gdal_tells_apart(factors: tuple[int, ...], shape: tuple[int, int]) -> bool:
    """Return whether GDAL may put overviews of these factors into the file itself.

    There it knows an overview by the rounded ratio of the sides. Where that is not the factor asked for, it leaves the
    overview out, or empty; in a file beside (`.ovr`) it goes by the order.
    """
    return all(side / -(-side // factor) > factor - 0.5 for factor in factors for side in shape)


def cog_faults(path: Path, factors: tuple[int, ...]) -> list[str]:
    """Return what keeps a file from being a strictly valid COG that has overviews of these factors."""
    _, errors, notes = cog_validate(path, strict=True, quiet=True)
    with rasterio.open(path) as file:
        # A file without overviews may be what was asked for; the decimation of one column cannot be told by its width.
        excused = (
            *(["overviews"] if not factors else []),
            *(["Invalid Decimation"] if file.width == 1 else []),
        )
        faults = [note for note in (*errors, *notes) if not any(words in note for words in excused)]
        if len(file.overviews(1)) != len(factors):
            faults.append(f"it has {len(file.overviews(1))} overviews, not {len(factors)}")
        return faults


def describe_cog(cog: Cog, asset: str) -> Raster:
    """Validate a file that was made, strictly, and return what is to be known of it."""
    faults = cog_faults(cog.path, cog.factors)
    if faults:
        raise UploadError("INVALID_OUTPUT", f"The converted file is not a valid COG: {'; '.join(faults)}.")
    with rasterio.open(cog.path) as file:
        authority = file.crs.to_authority()
        pixels = file.width * file.height
        data_type = DataType.from_numpy(file.dtypes[0]).numpy
        return Raster(
            asset=asset,
            path=cog.path,
            size=cog.file.size,
            sha256=cog.file.sha256,
            header_size=cog.file.header_size,
            shape=file.shape,
            transform=file.transform[:6],
            bbox=tuple(file.bounds),
            code=":".join(authority) if authority else None,
            wkt2=file.crs.to_wkt(version="WKT2_2019"),
            bands=tuple(
                RasterBand(
                    data_type=data_type,
                    nodata=cog.nodata,
                    statistics=tally.statistics(pixels),
                    histogram=tally.buckets.histogram(),
                )
                for tally in cog.tallies
            ),
            overviews=cog.factors,
            resampler=cog.resampler,
            taken=cog.taken,
            metre_resolution=_metre_resolution(cog.place),
        )


def _metre_resolution(place: Place) -> float | None:
    side: float = abs(place.transform.determinant) ** 0.5
    if place.crs.is_geographic:
        return round(side * METRES_PER_DEGREE, 3)
    try:
        return round(side * float(place.crs.linear_units_factor[1]), 6)
    except rasterio.errors.CRSError:
        return None
