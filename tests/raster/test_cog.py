"""The writer of Cloud-Optimized GeoTIFFs, beside three readers, GDAL's own overviews, and the layout that GDAL defines.

The cases of the matrix are chosen so that each type, size, kind of nodata, resampler and codec meets the others in some
pair, not in every one; `make fuzz-cog` draws thousands of others.
"""

from __future__ import annotations

import math
import shutil
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import hypothesis.strategies as st
import numpy as np
import pytest
import rasterio
from affine import Affine
from hypothesis import HealthCheck, given, note, settings
from numpy.typing import NDArray
from rasterio.enums import ColorInterp
from rasterio.errors import NotGeoreferencedWarning
from rasterio.rpc import RPC
from rasterio.shutil import copy
from rio_cogeo.cogeo import cog_validate
from tifffile import TiffFile, TiffPage

from stac_ingest.errors import UploadError
from stac_ingest.models.cog import CogProfile
from stac_ingest.models.enums import Codec, DataType, OverviewResampler, UploadFileKind
from stac_ingest.models.image import Georeference
from stac_ingest.models.raster import Limits, SourceFile
from stac_ingest.raster.cog import describe_cog, write_cog
from stac_ingest.raster.source import mask_beside, open_source, place_of, storable_nodata
from tests.raster.cog_readers import (
    Level,
    Read,
    assert_same,
    assert_same_bits,
    assert_same_level,
    by_async_geotiff,
    by_gdal,
    by_tifffile,
    same_number,
)
from tests.raster.cog_structure import MASK, faults
from tests.raster.conftest import CORNER, UTM

ROTATED = Affine(9, 3, 500_000, 2, -8, 5_000_000)
SMALL = CogProfile(block_size=128)
LOSSY = (Codec.JPEG, Codec.WEBP)

Array = NDArray[Any]


def cog_of(
    source: Path | Array,
    folder: Path,
    *,
    factors: Sequence[int] = (),
    resampler: OverviewResampler = OverviewResampler.NEAREST,
    profile: CogProfile = SMALL,
    nodata: float | None = None,
    bands: int | None = None,
) -> Path:
    """Convert a file or an array, as the service does, and return the Cloud-Optimized GeoTIFF.

    Args:
        source: An array is saved, with its mask beside it, and mapped; it is put in UTM.
        folder: Where to write.
        factors: Of the overviews.
        resampler: How overviews are made.
        profile: How blocks are encoded.
        nodata: Of the product, for sources that do not say it.
        bands: That the product has in the file: with one more, an alpha band is its mask. Unset: as the file has.
    """
    path, placed = source, Georeference()
    if not isinstance(path, Path):
        path, placed = folder / "array.npy", Georeference(cs_code=UTM, geotrans=CORNER.to_gdal())
        np.save(path, np.asarray(source))
        if isinstance(source, np.ma.MaskedArray):
            with mask_beside(path).open("wb") as stream:
                np.save(stream, np.ma.getmaskarray(source))
    kind = UploadFileKind.ARRAY if path.suffix == ".npy" else UploadFileKind.FILE
    file = SourceFile(path=path, name=path.name, kind=kind)
    with (
        rasterio.Env(GDAL_NUM_THREADS="ALL_CPUS", GDAL_PAM_ENABLED=False, GDAL_TIFF_INTERNAL_MASK=True),
        open_source(file, Limits(), band_count=bands or Limits().max_bands, declared_nodata=nodata) as opened,
    ):
        header = opened.header
        cog = write_cog(
            opened,
            place_of(header, placed, ()),
            folder / "cog.tif",
            names=[said.description for said in header.notes],
            nodata=storable_nodata(nodata if header.nodata is None else header.nodata, header.dtype),
            factors=tuple(factors),
            resampler=resampler,
            profile=profile,
            progress=lambda share, doing: None,
        )
        describe_cog(cog, "cog")
    return cog.path


# --- Sources


@dataclass(frozen=True, kw_only=True)
class Case:
    """A source, and what is asked of the writer."""

    dtype: str = "uint8"
    count: int = 1
    size: tuple[int, int] = (300, 270)
    """(y, x)."""
    valid: str = "all"
    """What tells valid pixels: `all` of them, `nodata`, `mask`, `nan`, `alpha` (a band that becomes the mask), `band`
    (an alpha band that stays one)."""
    nodata: float | None = None
    content: str = "noise"
    """`noise`, `smooth`, `classes` or `blank`."""
    interleave: str = "pixel"
    palette: bool = False
    transform: Affine = CORNER
    factors: tuple[int, ...] = (2, 4)
    resampler: OverviewResampler = OverviewResampler.AVERAGE
    profile: CogProfile = SMALL
    seed: int = 1

    def __str__(self) -> str:
        height, width = self.size
        parts = (
            f"{self.count}x{self.dtype}",
            f"{height}x{width}",
            "palette" if self.palette else self.content,
            self.valid if self.nodata is None else f"{self.valid}={self.nodata:g}",
            f"{self.resampler}:{','.join(map(str, self.factors))}",
            f"{self.profile.codec.lower()}:{self.profile.block_size}",
            *(["band"] if self.interleave == "band" else []),
            *(["rotated"] if self.transform == ROTATED else []),
        )
        return "-".join(parts)

    @property
    def masked(self) -> bool:
        return self.valid in ("mask", "alpha")

    @property
    def lossless(self) -> bool:
        return self.profile.codec not in LOSSY and not self.profile.max_error

    @property
    def apart(self) -> float:
        """By how much a pixel may differ."""
        return 0 if self.lossless else self.profile.max_error or 90


def pixels_of(case: Case) -> Array:
    """Return pixels (band, y, x), without an alpha band."""
    random = np.random.default_rng(case.seed)
    dtype, (height, width) = np.dtype(case.dtype), case.size
    shape = (case.count, height, width)
    if case.content == "blank":
        return np.full(shape, 0 if case.nodata is None else case.nodata, dtype)
    if case.content == "smooth":
        y, x = np.mgrid[0:height, 0:width]
        bands = [60 + 30 * np.sin(x / 40 + band) + 20 * np.cos(y / 30) for band in range(case.count)]
        pixels = np.stack(bands).astype(dtype)
    elif case.content == "classes":
        cells = random.integers(1, 9, (case.count, height // 5 + 1, width // 7 + 1))
        pixels = cells.repeat(5, axis=1).repeat(7, axis=2)[:, :height, :width].astype(dtype)
    else:
        pixels = random.integers(0, 256, (*shape, dtype.itemsize), dtype="uint8").view(dtype)[..., 0]
        if dtype.kind == "f" and case.valid != "nan":
            pixels = np.nan_to_num(pixels, nan=-0.0)
    if case.valid in ("nodata", "nan"):
        pixels[:, invalid_of(case)] = np.nan if case.nodata is None else case.nodata
        if case.count > 1:  # one band alone has a value where the others have none
            pixels[-1, : height // 2, : width // 3] = 1
    return pixels


def invalid_of(case: Case) -> NDArray[np.bool_]:
    """Return where (y, x) nothing is valid: some whole blocks, half of one, and single pixels."""
    height, width = case.size
    invalid = np.random.default_rng(case.seed + 1).random(case.size) < 0.05
    invalid[: height // 2, : width // 2] = True
    invalid[height - height // 4 :, width - width // 3 :] = True
    return invalid


def alpha_of(case: Case) -> Array:
    opaque = np.full((1, *case.size), np.iinfo(case.dtype).max, case.dtype)
    opaque[:, invalid_of(case)] = 0
    return opaque


def source_of(case: Case, folder: Path) -> Path:
    """Write the source, untiled."""
    path = folder / "source.tif"
    pixels = pixels_of(case)
    if case.valid in ("alpha", "band"):
        pixels = np.concatenate([pixels, alpha_of(case)])
    write(path, pixels, case, interleave=case.interleave)
    return path


def write(path: Path, pixels: Array, case: Case, **options: Any) -> None:
    with (
        rasterio.Env(GDAL_TIFF_INTERNAL_MASK=options.pop("internal", True)),
        rasterio.open(
            path,
            "w",
            driver="GTiff",
            **dict(zip(("count", "height", "width"), pixels.shape, strict=True)),
            dtype=pixels.dtype.name,
            crs=UTM,
            transform=case.transform,
            nodata=case.nodata,
            **options,
        ) as file,
    ):
        if case.valid in ("alpha", "band"):
            grey = len(pixels) < 4
            file.colorinterp = [
                *([ColorInterp.gray] if grey else [ColorInterp.red, ColorInterp.green, ColorInterp.blue]),
                *[ColorInterp.undefined] * (len(pixels) - (2 if grey else 4)),
                ColorInterp.alpha,
            ]
        if case.palette:
            file.write_colormap(1, {value: (value * 25 % 256, 255 - value, value, 255) for value in range(256)})
        file.write(pixels)
        if case.valid == "mask":
            file.write_mask(~invalid_of(case))


def _mixed_up(case: Case) -> bool:
    """Return whether GDAL cannot tell overviews inside of the file apart."""
    return any(side / -(-side // factor) <= factor - 0.5 for side in case.size for factor in case.factors)


def _loops_forever(case: Case) -> bool:
    """Return whether GDAL 3.12 does not end when it makes overviews inside of the file.

    With the nodata value of a type of 64 bits, it reads the directories again and again once there are two of them.
    """
    return case.dtype in ("int64", "uint64") and case.nodata is not None and len(case.factors) > 1


def _crashes_gdal(case: Case) -> bool:
    """Return whether GDAL 3.12 may crash, and the process with it: overviews beside a file of few pixels with alpha."""
    return case.valid == "band" and _mixed_up(case) and len(case.factors) > 1


def expected_of(case: Case) -> Level:
    """Return what the full resolution should be."""
    pixels = pixels_of(case)
    if case.valid == "band":
        pixels = np.concatenate([pixels, alpha_of(case)])
    return Level(pixels, ~invalid_of(case) if case.masked else None)


def overviews_by_gdal(case: Case, folder: Path) -> tuple[Level, ...]:
    """Return the overviews that GDAL makes of an uncompressed file of the same pixels, whose bands lie as in the COG.

    It makes some from the one before only where the blocks hold all bands, and the overviews are in the same file.
    They are in the file itself, as `gdaladdo` makes them, unless GDAL cannot tell them apart there, as it knows them by
    the rounded ratio of the sides, or does not end; then they are in a file beside, as is the mask.
    """
    beside = _loops_forever(case) or _mixed_up(case)
    path = folder / "oracle.tif"
    level = expected_of(case)
    plain = replace(case, valid="all" if case.masked else case.valid)
    write(path, level.pixels, plain, interleave="pixel" if len(level.pixels) <= 4 else "band")
    if level.mask is not None:
        with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=not beside), rasterio.open(path, "r+") as file:
            file.write_mask(level.mask)
    name = {"cubicspline": "cubic_spline"}.get(case.resampler, case.resampler)
    with rasterio.Env(TIFF_USE_OVR=beside), rasterio.open(path, "r+") as file:
        file.build_overviews(list(case.factors), rasterio.enums.Resampling[name])
    # GDAL makes float32 of float16 in a file beside.
    read = tuple(replace(one, pixels=one.pixels.astype(case.dtype)) for one in by_gdal(path).levels[1:])
    for leftover in folder.glob("oracle.tif*"):
        leftover.unlink()
    return read


def without_zeros(case: Case, overview: Level) -> Level:
    """Return an overview that GDAL made, where its mode is not 0 for want of a value; a 0 may have been one."""
    full = expected_of(case)
    valid = True if full.mask is None else full.mask
    absent = ~((full.pixels == 0) & valid).any(axis=(1, 2))
    void = (overview.pixels == 0) & absent[:, np.newaxis, np.newaxis]
    if case.resampler is not MODE or (overview.mask is None and case.nodata is None):
        return overview
    if overview.mask is not None:
        return replace(overview, mask=overview.mask & ~void.any(axis=0))
    return replace(overview, pixels=np.where(void, np.array(case.nodata, case.dtype), overview.pixels))


# --- Oracles


@dataclass(frozen=True)
class Made:
    """A case, what its source is, and what became of it."""

    case: Case
    folder: Path
    path: Path


def made_of(case: Case, folder: Path) -> Made:
    bands = case.count if case.valid == "alpha" else case.count + (case.valid == "band")
    path = cog_of(
        source_of(case, folder),
        folder,
        factors=case.factors,
        resampler=case.resampler,
        profile=case.profile,
        bands=bands,
    )
    return Made(case, folder, path)


def assert_valid(made: Made) -> None:
    _, errors, notes = cog_validate(made.path, strict=True, quiet=True)
    # rio-cogeo tells overviews by the width alone, and wants some of each large file.
    excused = "overviews" if not made.case.factors else "Invalid Decimation" if made.case.size[1] < 9 else None
    assert [said for said in (*errors, *notes) if excused is None or excused not in said] == []
    assert faults(made.path, made.case.factors, masked=made.case.masked) == []


def assert_sparse(made: Made) -> None:
    """Assert that blocks are left out that hold nothing but nodata, or 0 where there is none."""
    with TiffFile(made.path) as tiff:
        for page, pixels in zip(_pages(tiff), _pixels(by_gdal(made.path)), strict=True):
            blank = np.array(0 if made.case.nodata is None or page.subfiletype & MASK else made.case.nodata)
            bits = f"u{pixels.dtype.itemsize}"
            filled = np.ascontiguousarray(pixels).view(bits) != blank.astype(pixels.dtype).view(bits)
            if page.planarconfig == 1:
                filled = filled.any(axis=0, keepdims=True)
            rows, columns = (np.arange(0, side, page.tilewidth) for side in (page.imagelength, page.imagewidth))
            by_row = np.logical_or.reduceat(filled, rows, axis=1)
            blocks = np.logical_or.reduceat(by_row, columns, axis=2).ravel()
            np.testing.assert_array_equal(np.array(page.databytecounts) > 0, blocks)


def _pages(tiff: TiffFile) -> list[TiffPage]:
    """Return images before masks, each by falling size."""
    pages = [page for page in tiff.pages if isinstance(page, TiffPage)]
    return sorted(pages, key=lambda page: page.subfiletype & MASK)


def _pixels(read: Read) -> Iterator[Array]:
    yield from (level.pixels for level in read.levels)
    yield from (level.mask[np.newaxis] for level in read.levels if level.mask is not None)


def assert_equal(made: Made) -> None:
    """Assert that GDAL reads what went in."""
    case, read, expected = made.case, by_gdal(made.path), expected_of(made.case)
    full = read.levels[0]
    if case.lossless:
        assert_same_level(full, expected)
        # LERC knows NaN by a mask of its own, and no -0.
        if case.profile.codec is not Codec.LERC:
            assert_same_bits(full.pixels, expected.pixels)
    else:
        assert_same_level(replace(full, pixels=expected.pixels), expected)
        inside = np.broadcast_to(True if expected.mask is None else expected.mask, expected.pixels.shape)
        apart = np.abs(full.pixels.astype(float) - expected.pixels.astype(float))[inside]
        assert apart.max(initial=0) <= case.apart
    assert (read.nodata is None) == (case.nodata is None)
    assert read.nodata is None or same_number(read.nodata, case.nodata)
    assert (read.transform, read.epsg) == (case.transform, 32633)
    with rasterio.open(made.path) as file, rasterio.open(made.folder / "source.tif") as source:
        assert file.colorinterp == source.colorinterp[: file.count]
        if case.palette:
            assert file.colormap(1) == source.colormap(1)
        assert file.block_shapes == [(case.profile.block_size,) * 2] * file.count


def assert_overviews(made: Made) -> None:
    """Assert that overviews are those that GDAL makes."""
    case, levels = made.case, by_gdal(made.path).levels
    expected = [without_zeros(case, level) for level in overviews_by_gdal(case, made.folder)]
    assert len(levels) == 1 + len(case.factors)
    for factor, found, oracle in zip(case.factors, levels[1:], expected, strict=True):
        if case.lossless:
            assert_same_level(found, oracle, f"overview {factor}")
        else:
            assert_same_level(replace(found, pixels=oracle.pixels), oracle, f"overview {factor}")
            apart = np.abs(found.pixels.astype(float) - oracle.pixels.astype(float))
            assert apart.max() <= case.apart, f"overview {factor}"


def assert_no_new_values(made: Made) -> None:
    """Assert that each band of an overview has only values that the band has."""
    full, *overviews = by_gdal(made.path).levels
    for overview in overviews:
        # What is masked is 0, and what is transparent.
        shown = overview.pixels[-1] > 0 if made.case.valid == "band" else overview.mask
        for band, whole in zip(overview.pixels, full.pixels, strict=True):
            seen = band if shown is None else band[shown]
            assert np.isin(seen[seen == seen], whole).all()


def assert_tifffile(made: Made) -> None:
    """Assert that tifffile reads what GDAL reads, overviews too."""
    found, expected = by_tifffile(made.path), by_gdal(made.path)
    if made.case.profile.codec in LOSSY:  # decoders round differently
        for one, other in zip(found.levels, expected.levels, strict=True):
            assert np.abs(one.pixels.astype(int) - other.pixels.astype(int)).max() <= 4
        found = replace(found, levels=tuple(map(_with_pixels, found.levels, expected.levels)))
    assert_same(found, expected)


def _unread_by_tifffile(case: Case) -> bool:
    """Return whether tifffile 2026 fails.

    It knows neither the NaN of LERC nor a positive nodata value of int8, and reads a plain block that is left out where
    a level is exactly that block.
    """
    is_one_block = any(
        all(-(-side // factor) == case.profile.block_size for side in case.size) for factor in (1, *case.factors)
    )
    return (
        (case.profile.codec is Codec.LERC and case.valid == "nan")
        or (case.dtype == "int8" and (case.nodata or 0) > 0)
        or (case.content == "blank" and case.profile.codec is Codec.NONE and is_one_block)
    )


def _with_pixels(level: Level, other: Level) -> Level:
    return replace(level, pixels=other.pixels)


def unread_by_async_geotiff(made: Made) -> str | None:
    """Return why async-geotiff 0.5 cannot read a file; its fault, as it is with files that GDAL wrote."""
    with TiffFile(made.path) as tiff:
        pages = _pages(tiff)
        if any(0 in page.databytecounts for page in pages):
            return "async-geotiff reads no file in which blocks are left out"
        if made.case.dtype == "float16":
            return "async-geotiff reads no float16"
        if pages[0].planarconfig == 2 and pages[0].predictor != 1:
            return "async-geotiff undoes predictors across bands, where each band has blocks of its own too"
        if made.case.profile.codec is Codec.JPEG:
            return "async-geotiff upsamples the colours of JPEG in its own way"
    return None


def assert_async_geotiff(made: Made) -> None:
    """Assert that async-geotiff reads what GDAL reads, overviews too."""
    with warnings.catch_warnings(action="ignore", category=PendingDeprecationWarning):  # of affine, which it uses
        assert_same(by_async_geotiff(made.path), by_gdal(made.path))


# --- The matrix

AVERAGE, BILINEAR, CUBIC, CUBICSPLINE, GAUSS, LANCZOS, MODE, NEAREST, RMS = sorted(OverviewResampler)


def _profile(codec: Codec, **options: Any) -> CogProfile:
    return CogProfile(codec=codec, block_size=128, **options)


CASES = [
    # Each type, with what may tell valid pixels, in one band
    *(
        Case(dtype=dtype, valid=valid, nodata=nodata, content=content, resampler=how, factors=factors)
        for dtype, valid, nodata, content, how, factors in [
            ("int8", "nodata", -128, "noise", AVERAGE, (2, 4)),
            ("int8", "mask", None, "smooth", CUBIC, (3,)),
            ("uint8", "all", None, "noise", NEAREST, (2, 4, 8)),
            ("uint8", "mask", None, "noise", AVERAGE, (2, 6)),
            ("uint8", "nodata", 255, "smooth", LANCZOS, (2, 4)),
            ("uint8", "nodata", 0, "classes", MODE, (2, 4, 8)),
            ("int16", "nodata", -9999, "noise", BILINEAR, (5, 10)),
            ("int16", "mask", None, "classes", MODE, (2, 4)),
            ("uint16", "nodata", 0, "noise", AVERAGE, (2, 4, 8)),
            ("uint16", "mask", None, "smooth", GAUSS, (2, 4)),
            ("int32", "nodata", -(2**31), "noise", RMS, (2, 4)),
            ("int32", "all", None, "noise", CUBICSPLINE, (2, 6)),
            ("uint32", "nodata", 2**32 - 1, "noise", AVERAGE, (3,)),
            ("uint32", "mask", None, "noise", NEAREST, (2, 4)),
            ("int64", "nodata", -1, "noise", AVERAGE, (2, 4)),
            ("int64", "nodata", 0, "noise", AVERAGE, (2,)),
            ("int64", "mask", None, "noise", MODE, (3,)),
            ("uint64", "nodata", 2**53 - 1, "noise", NEAREST, (2, 6)),
            ("uint64", "nodata", 7, "classes", MODE, (3,)),
            ("uint64", "all", None, "noise", AVERAGE, (2, 4)),
            ("float16", "nan", math.nan, "smooth", AVERAGE, (2, 4)),
            ("float16", "nodata", -1, "noise", NEAREST, (5, 10)),
            ("float32", "nan", None, "noise", AVERAGE, (2, 4)),
            ("float32", "nan", math.nan, "smooth", CUBIC, (2, 4, 8)),
            ("float32", "nodata", -9999, "smooth", BILINEAR, (2, 4)),
            ("float32", "mask", None, "smooth", LANCZOS, (3,)),
            ("float64", "nodata", -1.7976931348623157e308, "smooth", RMS, (2, 4)),
            ("float64", "nan", math.nan, "noise", MODE, (2, 6)),
            ("float32", "nodata", -1, "classes", MODE, (2, 4)),
            ("float32", "nan", None, "classes", MODE, (2, 4)),
            ("float64", "mask", None, "smooth", CUBICSPLINE, (5, 10)),
        ]
    ),
    # Bands, however the source has them
    *(
        Case(
            dtype=dtype, count=count, interleave=interleave, valid=valid, nodata=nodata, resampler=how, size=(200, 300)
        )
        for dtype, count, interleave, valid, nodata, how in [
            ("uint8", 2, "pixel", "nodata", 7, AVERAGE),
            ("uint16", 2, "band", "mask", None, CUBIC),
            ("int16", 3, "band", "nodata", -1, NEAREST),
            ("float32", 3, "pixel", "nan", None, BILINEAR),
            ("uint64", 4, "pixel", "mask", None, NEAREST),
            ("float64", 4, "band", "nodata", -1, AVERAGE),
            ("uint8", 5, "pixel", "mask", None, AVERAGE),
            ("uint16", 5, "band", "nodata", 0, MODE),
            ("float16", 5, "band", "all", None, NEAREST),
            ("int32", 13, "band", "nodata", 0, RMS),
            ("uint16", 13, "pixel", "mask", None, GAUSS),
        ]
    ),
    # An alpha band that becomes the mask, or stays one
    Case(count=3, valid="alpha", content="smooth"),
    Case(count=1, valid="alpha", dtype="uint16", resampler=NEAREST),
    Case(count=3, valid="band", content="smooth", resampler=CUBIC),
    Case(count=1, valid="band", content="noise", resampler=AVERAGE),
    # Colour tables
    Case(palette=True, content="classes", resampler=NEAREST, factors=(2, 4)),
    Case(palette=True, content="classes", resampler=MODE, factors=(3,), valid="nodata", nodata=0),
    Case(palette=True, content="classes", resampler=AVERAGE, factors=(2,)),
    # Nothing at all
    Case(content="blank", valid="nodata", nodata=0, dtype="uint16", size=(700, 900)),
    Case(content="blank", valid="nodata", nodata=math.nan, dtype="float32", size=(300, 600), count=5),
    Case(content="blank", size=(600, 300), count=3),
    # Sizes
    *(
        replace(case, size=size, factors=factors)
        for size, factors in [
            ((1, 1), ()),
            ((1, 300), (2, 4)),
            ((700, 1), (2, 6)),
            ((1, 1500), (3, 9, 27)),
            ((2, 2), (2,)),
            ((3, 5), (2, 4)),
            ((127, 128), (2,)),
            ((129, 257), (2, 4)),
            ((128, 128), ()),
        ]
        for case in (Case(dtype="int16", valid="nodata", nodata=-1), Case(count=3, valid="mask", resampler=NEAREST))
    ),
    # Blocks of the usual size, and other ones
    Case(size=(512, 512), factors=(2,), profile=CogProfile()),
    Case(size=(513, 511), factors=(2,), profile=CogProfile(), valid="mask", dtype="float32", content="smooth"),
    Case(size=(515, 1373), factors=(2, 4, 8), profile=CogProfile(), valid="nodata", nodata=0, dtype="uint16", count=2),
    Case(size=(1373, 515), factors=(5, 10), profile=CogProfile(), valid="mask", resampler=CUBIC),
    Case(size=(1025, 300), factors=(2,), profile=CogProfile(block_size=1024), dtype="int16", count=5),
    Case(size=(300, 1400), factors=(2, 4), profile=CogProfile(block_size=256), valid="mask", content="smooth"),
    Case(size=(30, 1300), factors=(2,), dtype="float64", count=13, content="smooth"),  # windows side by side
    Case(size=(3, 5), factors=(2, 4), dtype="float16", content="smooth"),
    Case(size=(3, 5), factors=(2, 4), dtype="float16", content="smooth", profile=_profile(Codec.ZSTD)),
    # A place that is turned
    Case(transform=ROTATED, dtype="int16", valid="nodata", nodata=-1),
    # Codecs
    *(
        Case(
            profile=profile,
            dtype=dtype,
            count=count,
            valid=valid,
            nodata=nodata,
            content="smooth",
            size=(280, 400),
            factors=(2,) if dtype.endswith("64") else (2, 4),
        )
        for profile, dtype, count, valid, nodata in [
            (_profile(Codec.DEFLATE, level=9), "uint16", 1, "nodata", 0),
            (_profile(Codec.DEFLATE, level=1), "float32", 5, "nan", math.nan),
            (_profile(Codec.ZSTD), "int16", 3, "mask", None),
            (_profile(Codec.ZSTD, level=12), "float64", 1, "nan", math.nan),
            (_profile(Codec.ZSTD), "int64", 2, "nodata", -1),
            (_profile(Codec.LZW), "uint32", 5, "nodata", 0),
            (_profile(Codec.LZW), "float16", 1, "mask", None),
            (_profile(Codec.NONE), "uint8", 3, "mask", None),
            (_profile(Codec.NONE), "uint64", 5, "nodata", 5),
            (_profile(Codec.LERC), "float32", 1, "nan", math.nan),
            (_profile(Codec.LERC), "int32", 3, "nodata", -1),
            (_profile(Codec.LERC), "uint8", 5, "mask", None),
            (_profile(Codec.LERC, max_error=0.5), "float64", 2, "all", None),
            (_profile(Codec.JPEG, quality=95), "uint8", 3, "mask", None),
            (_profile(Codec.JPEG), "uint8", 1, "all", None),
            (_profile(Codec.WEBP, quality=95), "uint8", 3, "all", None),
            (_profile(Codec.WEBP), "uint8", 3, "mask", None),
        ]
    ),
]


@pytest.fixture(
    scope="module",
    params=[pytest.param(case, id=str(case)) for case in CASES],
)
def made(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Made]:
    """A file for each case, which several tests look at."""
    folder = tmp_path_factory.mktemp("cog")
    with warnings.catch_warnings(action="ignore", category=NotGeoreferencedWarning):
        yield made_of(request.param, folder)
    shutil.rmtree(folder)


def test_the_layout_is_the_one_of_gdal(made: Made) -> None:
    assert_valid(made)


def test_what_goes_in_is_read_again(made: Made) -> None:
    assert_equal(made)


def test_blocks_of_nothing_are_left_out(made: Made) -> None:
    assert_sparse(made)


def test_overviews_are_those_of_gdal(made: Made) -> None:
    assert_overviews(made)


def test_overviews_of_classes_gain_no_value(made: Made) -> None:
    if made.case.resampler not in (NEAREST, MODE) or not made.case.lossless:
        return
    assert_no_new_values(made)


def test_tifffile_reads_what_gdal_reads(made: Made) -> None:
    if _unread_by_tifffile(made.case):
        pytest.skip("tifffile does not read it")
    assert_tifffile(made)


def test_async_geotiff_reads_what_gdal_reads(made: Made) -> None:
    why = unread_by_async_geotiff(made)
    if why:
        pytest.skip(why)
    assert_async_geotiff(made)


# --- Large enough for overviews of half the size to be made on the way, in more than one window


@pytest.mark.parametrize("resampler", [AVERAGE, NEAREST])
@pytest.mark.parametrize("count", [1, 3, 5])
@pytest.mark.parametrize(
    ("dtype", "nodata"),
    [
        *(("uint8", nodata) for nodata in (None, 0, 7, 255)),
        *(("uint16", nodata) for nodata in (None, 0, 7, 65535)),
        *(("float32", nodata) for nodata in (None, -9999.0, 7.0, math.nan)),
        ("int16", -1.0),
    ],
)
def test_halves_are_those_of_gdal(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    dtype: str,
    nodata: float | None,
    count: int,
    resampler: OverviewResampler,
) -> None:
    monkeypatch.setattr("stac_ingest.raster.cog.MAX_WINDOW_BYTES", 1)
    few = np.random.default_rng(5).integers(0, 15, (count, 552, 1040)).astype(dtype)
    few[:, 512:, :512] = few[:, ::9, ::11] = nodata or 0
    if nodata is not None and np.isnan(nodata):
        few[0, 5:90, 100:190] = 3  # one band alone has a value
    case = Case(
        dtype=dtype, count=count, valid="all" if nodata is None else "nodata", nodata=nodata, size=few.shape[1:],
        factors=(2, 4, 8, 16), resampler=resampler,
    )  # fmt: skip
    monkeypatch.setattr("tests.raster.test_cog.pixels_of", lambda case: few)
    made = made_of(case, tmp_path)
    assert_valid(made)
    assert_sparse(made)
    assert_equal(made)
    assert_overviews(made)


@pytest.mark.parametrize("block", [128, 512, 2048])
@pytest.mark.parametrize("sparse", [True, False])
def test_what_a_file_does_not_store_is_nodata(tmp_path: Path, block: int, *, sparse: bool) -> None:
    few = np.full((1, 4500, 3000), 9, "uint16")
    few[:, 256:300, 1300:1310] = few[:, 4400:, 2900:] = few[:, 3000:3010, :5] = 500
    case = Case(
        dtype="uint16",
        valid="nodata",
        nodata=9,
        size=(4500, 3000),
        factors=(2, 4),
        profile=CogProfile(block_size=block),
    )
    tiles = {"tiled": True, "blockxsize": 256, "blockysize": 128}
    profile = {"driver": "GTiff", "count": 1, "height": 4500, "width": 3000, "dtype": "uint16", "nodata": 9}
    with rasterio.open(
        tmp_path / "s.tif", "w", **profile, **tiles, sparse_ok=sparse, compress="lzw", crs=UTM, transform=CORNER
    ) as file:
        file.write(few)
    path = cog_of(tmp_path / "s.tif", tmp_path, factors=case.factors, resampler=AVERAGE, profile=case.profile)
    found = by_gdal(path)
    assert_same_bits(found.levels[0].pixels, few)
    with rasterio.open(tmp_path / "s.tif", "r+") as file:
        file.build_overviews([2, 4], rasterio.enums.Resampling.average)
    for level, oracle in zip(found.levels, by_gdal(tmp_path / "s.tif").levels, strict=True):
        assert_same_bits(level.pixels, oracle.pixels)


@pytest.mark.parametrize(
    ("nodata", "near"),
    [(-9999.0, -9998.999), (-3.4028234663852886e38, -3.40282306074e38), (0.0, -0.0), (math.nan, -math.nan)],
)
def test_what_gdal_takes_for_nodata_becomes_nodata(tmp_path: Path, nodata: float, near: float) -> None:
    few = np.full((1, 600, 700), near, "float32")
    few[:, 300:310, 400:] = 5
    profile = {"driver": "GTiff", "count": 1, "height": 600, "width": 700, "dtype": "float32", "nodata": nodata}
    with rasterio.open(tmp_path / "s.tif", "w", **profile, crs=UTM, transform=CORNER) as file:
        file.write(few)
    found = by_gdal(cog_of(tmp_path / "s.tif", tmp_path, factors=(2,), resampler=AVERAGE))
    with rasterio.open(tmp_path / "s.tif", "r+") as file:
        file.build_overviews([2], rasterio.enums.Resampling.average)
    for level, oracle in zip(found.levels, by_gdal(tmp_path / "s.tif").levels, strict=True):
        assert_same_bits(level.pixels, oracle.pixels)


def test_a_file_that_stores_nothing_is_all_nodata(tmp_path: Path) -> None:
    profile = {"driver": "GTiff", "count": 1, "height": 900, "width": 700, "dtype": "int16", "nodata": -1}
    with rasterio.open(tmp_path / "s.tif", "w", **profile, sparse_ok=True, crs=UTM, transform=CORNER):
        pass
    with rasterio.open(cog_of(tmp_path / "s.tif", tmp_path, factors=(2,))) as file:
        assert (file.read() == -1).all()


def test_what_a_file_does_not_store_without_nodata_is_zero(tmp_path: Path) -> None:
    profile = {"driver": "GTiff", "count": 1, "height": 900, "width": 700, "dtype": "uint8"}
    with rasterio.open(tmp_path / "s.tif", "w", **profile, sparse_ok=True, crs=UTM, transform=CORNER):
        pass
    with rasterio.open(cog_of(tmp_path / "s.tif", tmp_path, factors=(2,), nodata=255)) as file:
        assert (file.read() == 0).all()
        assert file.dataset_mask().all()


# --- What a file says beside its pixels


def test_what_is_said_of_the_bands_is_kept(tmp_path: Path) -> None:
    case = Case(dtype="int16", count=5, valid="nodata", nodata=-1, size=(300, 200), factors=(2,))
    source = source_of(case, tmp_path)
    with rasterio.open(source, "r+") as file:
        file.scales, file.offsets = (0.1, 2, 1, 1, 0.5), (0, -3, 0, 0.25, 0)
        file.units = ("m", "", "K", "m s-1", "")
        for index, name in enumerate(("höhe", "b", "c", "d", "e"), start=1):
            file.set_band_description(index, name)
    with rasterio.open(cog_of(source, tmp_path, factors=(2,))) as file:
        assert file.scales == (0.1, 2, 1, 1, 0.5)
        assert file.offsets == (0, -3, 0, 0.25, 0)
        assert [unit or "" for unit in file.units] == ["m", "", "K", "m s-1", ""]
        assert file.descriptions == ("höhe", "b", "c", "d", "e")


def test_rational_polynomials_are_kept(tmp_path: Path) -> None:
    of = ("height", "lat", "line", "long", "samp")
    numbers = {f"{one}_{kind}": float(index) for index, one in enumerate(of, start=1) for kind in ("off", "scale")}
    series = {f"{one}_{kind}_coeff": [0.5] * 20 for one in ("line", "samp") for kind in ("num", "den")}
    rpcs = RPC(**numbers, **series, err_bias=0.5, err_rand=0.25)
    source = source_of(Case(), tmp_path)
    with rasterio.open(source, "r+") as file:
        file.rpcs = rpcs
    with rasterio.open(cog_of(source, tmp_path)) as file:
        assert file.rpcs.to_dict() == rpcs.to_dict()


@pytest.mark.parametrize("dtype", ["complex64", "complex128", "complex_int16"])
def test_complex_numbers_are_refused(tmp_path: Path, dtype: str) -> None:
    profile = {"driver": "GTiff", "count": 1, "height": 3, "width": 4, "dtype": dtype}
    with rasterio.open(tmp_path / "a.tif", "w", **profile, crs=UTM, transform=CORNER):
        pass
    with pytest.raises(UploadError, match="found complex"):
        cog_of(tmp_path / "a.tif", tmp_path)


def test_webp_of_the_best_quality_changes_nothing(tmp_path: Path) -> None:
    case = Case(count=3, factors=(), profile=_profile(Codec.WEBP, quality=100))
    np.testing.assert_array_equal(by_gdal(made_of(case, tmp_path).path).levels[0].pixels, pixels_of(case))


# --- Arrays


@pytest.mark.parametrize("form", ["C", "F", "big-endian", "2-d", "many bands"])
@pytest.mark.parametrize("dtype", ["uint8", "int16", "float64"])
def test_arrays_are_what_they_are(tmp_path: Path, dtype: str, form: str) -> None:
    size = (40, 3) if form == "many bands" else (270, 300)
    pixels = pixels_of(Case(dtype=dtype, count={"2-d": 1, "many bands": 60}.get(form, 3), size=size))
    array = pixels[0] if form == "2-d" else pixels
    if form == "F":
        array = np.asfortranarray(array)
    elif form == "big-endian":
        array = array.astype(array.dtype.newbyteorder(">"))
    path = cog_of(array, tmp_path, factors=(2,))
    found = by_gdal(path)
    assert_same_bits(found.levels[0].pixels, pixels)
    assert (found.nodata, found.transform) == (None, CORNER)
    assert faults(path, (2,), masked=False) == []


@pytest.mark.parametrize("dtype", ["uint8", "int64", "float32"])
@pytest.mark.parametrize("bands", ["2-d", "one mask", "a mask each"])
def test_what_is_masked_in_an_array_is_masked_in_the_file(tmp_path: Path, dtype: str, bands: str) -> None:
    pixels = pixels_of(Case(dtype=dtype, count=1 if bands == "2-d" else 3)) // 2
    invalid = np.random.default_rng(3).random(pixels.shape) < 0.3
    if bands == "one mask":
        invalid[:] = invalid[0]
    pixels[~invalid & (pixels == pixels.dtype.type(0))] = 1
    array = np.ma.MaskedArray(pixels, invalid)
    path = cog_of(array[0] if bands == "2-d" else array, tmp_path, factors=(2,), nodata=0)
    with rasterio.open(path) as file:
        found = file.read(masked=True)
    np.testing.assert_array_equal(np.ma.getmaskarray(found), invalid)
    assert_same_bits(found.data[~invalid], pixels[~invalid])
    assert faults(path, (2,), masked=bands != "a mask each") == []


@pytest.mark.parametrize("nodata", [None, -9999])
def test_nan_in_an_array_is_nodata(tmp_path: Path, nodata: float | None) -> None:
    pixels = pixels_of(Case(dtype="float32", count=2, content="smooth", valid="nan"))
    found = by_gdal(cog_of(pixels, tmp_path, nodata=nodata))
    expected = pixels if nodata is None else np.nan_to_num(pixels, nan=nodata)
    np.testing.assert_array_equal(found.levels[0].pixels, expected)
    assert same_number(math.nan if nodata is None else nodata, found.nodata)


# --- The oracle of the layout


@pytest.mark.parametrize(
    ("count", "interleave", "valid", "big"),
    [(1, "pixel", "all", False), (3, "pixel", "mask", True), (3, "band", "all", False), (3, "band", "mask", False)],
)
def test_what_gdal_writes_has_the_layout(tmp_path: Path, count: int, interleave: str, valid: str, *, big: bool) -> None:
    case = Case(count=count, valid=valid, size=(704, 896))
    options = {"interleave": interleave, "bigtiff": "YES" if big else "NO", "blocksize": 128, "compress": "DEFLATE"}
    copy(source_of(case, tmp_path), tmp_path / "gdal.tif", driver="COG", **options)
    with rasterio.open(tmp_path / "gdal.tif") as file:
        factors = file.overviews(1)
    assert faults(tmp_path / "gdal.tif", factors, masked=valid == "mask") == []


@pytest.mark.parametrize("size", [(300, 270), (20, 30)])
def test_faults_of_the_layout_are_found(tmp_path: Path, size: tuple[int, int]) -> None:
    made = made_of(Case(valid="mask", size=size, factors=(2,)), tmp_path)
    content = made.path.read_bytes()
    with TiffFile(made.path) as tiff:
        last = _pages(tiff)[0]
        offset, count = last.dataoffsets[-1], last.databytecounts[-1]
    for where, what in {
        10: "ghost area",
        content.index(b"EDITION=NO") + 9: "ghost area says",
        offset - 4: "its leader says",
        offset + count: "last four bytes",
        offset + count - 1: "last four bytes",
    }.items():
        made.path.write_bytes(content[:where] + bytes([content[where] ^ 1]) + content[where + 1 :])
        assert what in faults(made.path, (2,), masked=True)[0]
    made.path.write_bytes(content + b"\0")
    assert "the file at" in faults(made.path, (2,), masked=True)[0]
    made.path.write_bytes(content)
    assert "kinds of images" in faults(made.path, (2, 4), masked=True)[0]
    assert "kinds of images" in faults(made.path, (2,), masked=False)[0]
    assert "sizes of the images" in faults(made.path, (3,), masked=True)[0]
    assert faults(made.path, (2,), masked=True) == []
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True), warnings.catch_warnings(action="ignore"):
        write(made.path, pixels_of(made.case), made.case)
    assert "ghost area" in faults(made.path, (), masked=True)[0]


# --- Anything


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """Draw a case; what the writer is known not to do is left out."""
    dtype = draw(st.sampled_from([member.numpy for member in DataType]))
    size = draw(st.tuples(*[st.sampled_from([1, 2, 127, 128, 129]) | st.integers(1, 300)] * 2))
    valid = draw(st.sampled_from(["all", "nodata", "mask", *(["nan"] if dtype.startswith("float") else ["band"])]))
    values = st.sampled_from([0, 1, 5, 100])
    nodata = draw(values) if valid == "nodata" else draw(st.sampled_from([None, math.nan])) if valid == "nan" else None
    most = min(12, max(size))
    factors = st.lists(st.integers(2, most), unique=True, max_size=3) if most > 1 else st.just([])
    codecs = [Codec.DEFLATE, Codec.DEFLATE, Codec.ZSTD, Codec.LZW, Codec.NONE]
    case = Case(
        dtype=dtype,
        count=draw(st.sampled_from([1, 2, 3, 4, 5, 7])),
        size=size,
        valid=valid,
        nodata=nodata,
        content=draw(st.sampled_from(["noise", "smooth", "classes", "blank"])),
        interleave=draw(st.sampled_from(["pixel", "band"])),
        factors=tuple(sorted(draw(factors))),
        resampler=draw(st.sampled_from(OverviewResampler)),
        profile=_profile(draw(st.sampled_from(codecs))),
        seed=draw(st.integers(0, 5)),
    )
    return replace(case, factors=case.factors[:1]) if _crashes_gdal(case) else case


def test_whatever_goes_in_comes_out(request: pytest.FixtureRequest) -> None:
    """The layout, the pixels and the overviews of any case are as they should be; `make fuzz-cog` draws many."""

    @settings(max_examples=3000 if request.config.getoption("--long") else 30, suppress_health_check=list(HealthCheck))
    @given(cases())
    def comes_out(case: Case) -> None:
        note(repr(case))
        with (
            TemporaryDirectory() as folder,
            warnings.catch_warnings(action="ignore", category=NotGeoreferencedWarning),
        ):
            made = made_of(case, Path(folder))
            assert_valid(made)
            assert_equal(made)
            assert_overviews(made)
            if not _unread_by_tifffile(case):
                assert_tifffile(made)
            assert_sparse(made)
            if case.resampler in (NEAREST, MODE):
                assert_no_new_values(made)

    comes_out()
