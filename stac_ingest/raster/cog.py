"""Writing Cloud-Optimized GeoTIFFs: the source is decoded once, and each block is encoded once.

The source is read window by window and measured on the way. Its pixels are encoded on all cores meanwhile, and become
the overviews of half the size (raster/halves.py), or go into an uncompressed scratch file, where GDAL makes those that
are not made on the way; these are encoded in their turn. Then the blocks are put in order (raster/tiff.py).
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import rasterio
from rasterio.enums import Resampling
from rasterio.errors import NotGeoreferencedWarning
from rasterio.windows import Window

from stac_ingest.errors import UploadError
from stac_ingest.models.cog import CogProfile
from stac_ingest.models.enums import Codec, DataType, OverviewResampler
from stac_ingest.models.raster import Raster, RasterBand
from stac_ingest.models.upload import require_overviews
from stac_ingest.models.values import METRES_PER_DEGREE
from stac_ingest.raster import tiff
from stac_ingest.raster.blocks import (
    Blocks,
    Grid,
    encode_mask,
    encoding_threads,
    pixel_encoder,
    predictor_of,
    writing,
)
from stac_ingest.raster.halves import Halves, Target, halved_here, runs
from stac_ingest.raster.levels import ByGdal, ByIsal, GdalFile
from stac_ingest.raster.measure import BandTally, CoarseMask, valid_pixels
from stac_ingest.raster.room import room_for
from stac_ingest.raster.source import Header, Mask, Pixels, Place, Source
from stac_ingest.raster.tiff import LevelFiles

BLOCK = 512
MAX_WINDOW_BYTES = 32 * 1024**2
MAX_PIXEL_INTERLEAVED = 4
"""Files with more bands keep each band's blocks apart, so that reading one band does not decode all."""
SMALLEST_OVERVIEW = 512
ZSTD_LEVEL = 1
"""With a predictor, higher ones take several times as long and save little."""
QUALITY = 75
"""Of JPEG and WEBP; what GDAL takes too."""
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


def is_interleaved(header: Header) -> bool:
    """Return whether a block holds all bands."""
    return header.count <= MAX_PIXEL_INTERLEAVED


def grid_of(header: Header, block: int, factor: int = 1) -> Grid:
    """Return how a level is divided into blocks."""
    height, width = _shape(header, factor)
    return Grid(height=height, width=width, count=header.count, block=block, interleaved=is_interleaved(header))


def _shape(header: Header, factor: int) -> tuple[int, int]:
    return -(-header.height // factor), -(-header.width // factor)


def staged_bytes(header: Header, profile: CogProfile, factors: Sequence[int]) -> int:
    """Return how many bytes pixels and overviews take in whole blocks; in a thin image, that is far more than they."""
    side = max(BLOCK, profile.block_size)
    spans = [side * factor for factor in (1, *factors)]
    blocks = sum(-(-header.height // span) * -(-header.width // span) for span in spans)
    return blocks * side**2 * header.count * np.dtype(header.dtype).itemsize


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
    known: Blocks | None = None,
) -> Cog:
    """Write a source as a Cloud-Optimized GeoTIFF, and measure its pixels on the way.

    Args:
        source: What is read, once, window by window.
        place: Where the pixels lie.
        path: The file to write; levels that are not in order yet lie beside it for a while.
        names: Of the bands.
        nodata: Value of what is not valid, as the bands' type can hold it.
        factors: Of the overviews, ascending.
        resampler: How overviews are made, as by GDAL: from the one before where GDAL does so, else from the full
            resolution.
        profile: How blocks are encoded.
        progress: Told the share that is done, and what is being done.
        known: What the blocks of the full resolution may be encoded as already, by DEFLATE with our predictor; those
            that hold the same pixels are not encoded again, unless a level is asked for.

    Raises:
        UploadError: `INVALID_OVERVIEWS` when a factor leaves less than one pixel, `UNSUPPORTED_DATA_TYPE` when the
            codec cannot hold the pixels, or `STORAGE_FULL`.
    """
    header = source.header
    require_overviews(factors, max(header.width, header.height))
    profile.require_pixels(header.name, header.count, DataType.from_numpy(header.dtype))
    with (
        encoding_threads() as encoders,
        TemporaryDirectory(prefix=f"{path.stem}-", dir=path.parent) as folder,
        room_for(path),
        # Overviews and the scratch file have no place on the Earth.
        warnings.catch_warnings(action="ignore", category=NotGeoreferencedWarning),
        # Masks and some overviews lie beside the pixels of the scratch file.
        rasterio.Env(GDAL_DISABLE_READDIR_ON_OPEN=False),
    ):
        pyramid = _Pyramid(Path(folder), header, nodata, profile, known, encoders)
        halved = halved_here(
            header, factors, resampler, nodata=nodata, block=pyramid.block, interleaved=is_interleaved(header)
        )
        base, others = (1, *halved)[-1], factors[len(halved) :]
        reading = 0.6 if others else 0.9
        with ExitStack() as stack:
            levels = [stack.enter_context(pyramid.level(1, place, names, resampler if factors else None))]
            levels += [stack.enter_context(pyramid.level(factor)) for factor in halved]
            zeros = _Zeros(header.count) if resampler is OverviewResampler.MODE else None
            targets: list[Target] = [levels[-1], *([zeros] if zeros else [])]
            if others:
                targets.append(stack.enter_context(pyramid.scratch(base)))
            halves: list[Halves] = []
            for level, factor in reversed(list(zip(levels, halved, strict=False))):
                halves.append(Halves(targets, header, nodata, resampler, *_shape(header, factor), pyramid.block))
                targets = [level, halves[-1]]
            tallies, mask = _copy(source, targets, nodata, pyramid.block, lambda done: progress(reading * done, "read"))
            for one in reversed(halves):
                one.finish()
        files = [level.files for level in levels]
        if others:
            progress(0.6, "overviews")
            _build_overviews(pyramid.scratch_path, [factor // base for factor in others], resampler)
        with ExitStack() as stack:
            for index, factor in enumerate(others):
                files.append(pyramid.copy_overview(index, factor, stack, zeros))
                progress(0.7 + 0.2 * (index + 1) / len(others), "overviews")
        written = tiff.write_in_order(files, path, lambda share: progress(0.9 + 0.1 * share, "write"))
        _require_layout(path, factors)
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


class _Zeros:
    """Notes in which bands 0 is a value; in others, GDAL's mode puts it where the pixels have no value at all."""

    def __init__(self, count: int) -> None:
        self._absent = np.ones(count, bool)

    def write(self, pixels: Pixels, inside: Mask | None, window: Window) -> None:
        """Look for 0 among valid pixels."""
        self._absent &= ~((pixels == 0) & (True if inside is None else inside)).any(axis=(1, 2))

    def clear(self, pixels: Pixels, inside: Mask | None, nodata: float | None) -> None:
        """Say of the pixels of an overview that they are not valid where they are a 0 that no pixel was."""
        void = (pixels == 0) & self._absent[:, np.newaxis, np.newaxis]
        if inside is not None:
            inside &= ~void.any(axis=0)
        elif nodata is not None:
            pixels[void] = nodata


@dataclass(frozen=True)
class _Pyramid:
    """Files for the pixels of each level, and for those of one of them uncompressed."""

    folder: Path
    header: Header
    nodata: float | None
    profile: CogProfile
    known: Blocks | None
    """What the blocks of the full resolution may be encoded as already."""
    encoders: ThreadPoolExecutor

    @property
    def block(self) -> int:
        """Side of what is read and written at a time: of whole blocks, whatever their size."""
        return max(BLOCK, self.profile.block_size)

    @property
    def scratch_path(self) -> Path:
        """Where the pixels are that GDAL makes overviews of."""
        return self.folder / "scratch.tif"

    @contextmanager
    def level(
        self,
        factor: int,
        place: Place | None = None,
        names: Sequence[str | None] = (),
        resampler: OverviewResampler | None = None,
    ) -> Iterator[ByGdal | ByIsal]:
        """Open what encodes the blocks of one level; the full resolution has the metadata."""
        path = self.folder / f"{factor}.tif"
        options = {
            "blockxsize": self.profile.block_size,
            "blockysize": self.profile.block_size,
            "BIGTIFF": "YES",  # which is what raster/tiff.py reads
            "NUM_THREADS": "ALL_CPUS",
            **creation_options(self.profile, self.header),
            **({"crs": place.crs, "transform": place.transform, "gcps": place.gcps} if place else {}),
        }
        with self._created(path, factor, options, internal_mask=True) as file:
            if place:
                _describe(file, self.header, names, resampler)
            if not self.profile.is_default_deflate:
                yield ByGdal(file, grid_of(self.header, self.profile.block_size, factor), self.nodata)
        if self.profile.is_default_deflate:
            with self._by_isal(path, factor) as level:
                yield level

    @contextmanager
    def _by_isal(self, path: Path, factor: int) -> Iterator[ByIsal]:
        grid = grid_of(self.header, self.profile.block_size, factor)
        encode = pixel_encoder(np.dtype(self.header.dtype), grid.block, self.nodata)
        mask_grid, encode_valid = grid.of_mask, partial(encode_mask, block=grid.block)
        known = self.known if factor == 1 else None
        with (
            writing(path.with_suffix(".blocks"), grid, self.encoders, encode, known) as image,
            writing(path.with_suffix(".mask"), mask_grid, self.encoders, encode_valid) as mask,
        ):
            yield ByIsal(path, image, mask)

    @contextmanager
    def scratch(self, factor: int) -> Iterator[GdalFile]:
        """Open a file for the pixels as they are; a mask lies beside it, as overviews there would lose one inside."""
        options = {"blockxsize": BLOCK, "blockysize": BLOCK, "BIGTIFF": "IF_SAFER"}
        with self._created(self.scratch_path, factor, options, internal_mask=False) as file:
            yield GdalFile(file)

    @contextmanager
    def _created(self, path: Path, factor: int, options: dict[str, Any], *, internal_mask: bool) -> Iterator[Any]:
        header = self.header
        height, width = _shape(header, factor)
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
            interleave="pixel" if is_interleaved(header) else "band",
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

    def copy_overview(self, index: int, factor: int, stack: ExitStack, zeros: _Zeros | None) -> LevelFiles:
        """Encode the blocks of an overview of the scratch file; they are complete when the stack is left."""
        with rasterio.open(self.scratch_path, overview_level=index) as overview:
            level = stack.enter_context(self.level(factor))
            for window in windows(overview.width, overview.height, _pixel_bytes(self.header), self.block):
                inside = overview.read_masks(1, window=window) > 0 if self.header.masked else None
                pixels = overview.read(window=window)  # of float16, GDAL makes float32 in a file beside
                if zeros:
                    zeros.clear(pixels, inside, self.nodata)
                level.write(pixels.astype(self.header.dtype, copy=False), inside, window)
        return level.files


def creation_options(profile: CogProfile, header: Header) -> dict[str, Any]:
    """Return how GDAL is asked to encode blocks, as creation options of its GTiff driver."""
    options: dict[str, Any] = {"COMPRESS": profile.codec}
    match profile.codec:
        case Codec.DEFLATE if profile.level is not None:
            options["ZLEVEL"] = profile.level
        case Codec.ZSTD:
            options["ZSTD_LEVEL"] = ZSTD_LEVEL if profile.level is None else profile.level
        case Codec.LERC:
            options |= {"COMPRESS": "LERC_ZSTD", "MAX_Z_ERROR": profile.max_error or 0}
        case Codec.JPEG:
            options |= {
                "JPEG_QUALITY": profile.quality or QUALITY,
                "PHOTOMETRIC": "YCBCR" if header.count == 3 else "MINISBLACK",
            }
        case Codec.WEBP:
            options |= {"WEBP_LEVEL": profile.quality or QUALITY, "WEBP_LOSSLESS": profile.quality == 100}
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
    source: Source, targets: Sequence[Target], nodata: float | None, block: int, progress: Callable[[float], None]
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
    if blank_is_nodata:
        where = _stored(source, where, block)
    with ThreadPoolExecutor(1) as reader, ThreadPoolExecutor(1) as measurer:
        # Of many bands, even the smallest window is large, and two at a time may be more than there is room for.
        is_small = block**2 * _pixel_bytes(header) <= MAX_WINDOW_BYTES
        for found in _ahead(read, where, reader) if is_small else map(read, where):
            any_band = found.any_band
            measured = measurer.submit(measure, found, any_band)
            for columns in _filled(any_band if blank_is_nodata else None, found.window.width, block):
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


def _filled(any_band: Mask | None, width: int, block: int) -> Iterator[slice]:
    """Yield the columns of whole blocks in which any pixel is valid."""
    if any_band is None:
        return iter((slice(0, width),))
    return runs(np.logical_or.reduceat(any_band.any(axis=0), np.arange(0, width, block)), block, width)


def _stored(source: Source, where: Iterator[Window], block: int) -> Iterator[Window]:
    """Yield the parts of windows, by whole blocks, of which the source has anything."""
    for window in where:
        columns = range(window.col_off, window.col_off + window.width, block)
        parts = [Window(column, window.row_off, min(block, columns.stop - column), window.height) for column in columns]
        stored = np.array([source.stored(part) for part in parts])
        for run in runs(stored, block, window.width):
            yield Window(window.col_off + run.start, window.row_off, run.stop - run.start, window.height)


def _ahead(read: Callable[[Window], _Read], where: Iterator[Window], reader: Executor) -> Iterator[_Read]:
    """Yield what is read of windows; the next one is read meanwhile."""
    first = next(where, None)
    if first is None:
        return
    coming = reader.submit(read, first)
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


def _describe(full: Any, header: Header, names: Sequence[str | None], resampler: OverviewResampler | None) -> None:
    if resampler:
        full.update_tags(OVERVIEW_RESAMPLING=resampler.name)  # as rio-cogeo says it
    for index, name in enumerate(names, start=1):
        if name:
            full.set_band_description(index, name)
    if header.notes:
        full.scales = [note.scale for note in header.notes]
        full.offsets = [note.offset for note in header.notes]
        full.units = [note.unit or "" for note in header.notes]
    if header.rpcs:
        full.rpcs = header.rpcs


def _build_overviews(scratch: Path, factors: Sequence[int], resampler: OverviewResampler) -> None:
    with rasterio.open(scratch, "r+") as file:
        # Beside nodata of 64 bits, GDAL 3.12 reads the directories of the file again and again, without end.
        is_endless = file.dtypes[0] in ("int64", "uint64") and file.nodata is not None
        with rasterio.Env(TIFF_USE_OVR=is_endless or not _gdal_tells_apart(factors, file.shape)):
            file.build_overviews(list(factors), _RESAMPLING[resampler])


def _gdal_tells_apart(factors: Sequence[int], shape: tuple[int, int]) -> bool:
    """Return whether GDAL may put overviews of these factors into the file itself.

    There it knows an overview by the rounded ratio of the sides. Where that is not the factor asked for, it leaves the
    overview out, or empty; in a file beside (`.ovr`) it goes by the order.
    """
    return all(side / -(-side // factor) > factor - 0.5 for factor in factors for side in shape)


def _require_layout(path: Path, factors: Sequence[int]) -> None:
    """Open a file that was written, as readers will, and make sure that it is what was meant."""
    with rasterio.open(path) as file:
        layout, overviews = file.tags(ns="IMAGE_STRUCTURE").get("LAYOUT"), len(file.overviews(1))
    if layout != "COG" or overviews != len(factors):
        raise UploadError(
            "INVALID_OUTPUT",
            f"Expected a Cloud-Optimized GeoTIFF with {len(factors)} overviews to be written, found layout"
            f" {layout} with {overviews}; please report it with the file.",
        )


def describe_cog(cog: Cog, asset: str) -> Raster:
    """Return what is to be known of a file."""
    with rasterio.open(cog.path) as file:
        # Ground control points have a coordinate system, the pixels that they place have none (STAC Projection v2.0.0).
        authority = file.crs and file.crs.to_authority()
        pixels = file.width * file.height
        data_type = DataType.from_numpy(file.dtypes[0]).numpy
        return Raster(
            asset=asset,
            path=cog.path,
            size=cog.file.size,
            sha256=cog.file.sha256,
            header_size=cog.file.header_size,
            shape=file.shape,
            transform=file.transform[:6] if file.crs else None,
            bbox=tuple(file.bounds) if file.crs else None,
            code=":".join(authority) if authority else None,
            wkt2=file.crs and file.crs.to_wkt(version="WKT2_2019"),
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
            metre_resolution=_metre_resolution(cog.place, file.width / 2, file.height / 2),
        )


def _metre_resolution(place: Place, column: float, row: float) -> float | None:
    """Return the side of a square that is as large as a pixel at this position."""
    (x, right_x, below_x), (y, right_y, below_y) = place.coordinates(
        np.array([column, column + 1, column]), np.array([row, row, row + 1])
    )
    area = float(abs((right_x - x) * (below_y - y) - (below_x - x) * (right_y - y)))
    if place.crs.is_geographic:
        return round(METRES_PER_DEGREE * math.sqrt(area * abs(math.cos(math.radians(y)))), 3)
    try:
        return round(math.sqrt(area) * float(place.crs.linear_units_factor[1]), 6)
    except rasterio.errors.CRSError:
        return None
