"""Uploads that are Cloud-Optimized GeoTIFFs already, as rio-cogeo and GDAL write them, and those that are not quite."""

from __future__ import annotations

import hashlib
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from rasterio.enums import ColorInterp
from rasterio.shutil import copy
from rio_cogeo.cogeo import cog_translate
from rio_cogeo.profiles import cog_profiles

from stac_ingest.errors import UploadError
from stac_ingest.local import Asked, asked_by, convert_file
from stac_ingest.models.cog import CogProfile
from stac_ingest.models.enums import OverviewResampler
from stac_ingest.models.image import Georeference
from tests.raster.test_local import OPTIONS, PLACE, save, smooth

UNPLACED = pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
AVERAGE, NEAREST = OverviewResampler.AVERAGE, OverviewResampler.NEAREST


def by_gdal(source: Path, target: Path, codec: str, resampler: str, **options: Any) -> None:
    options = {"compress": codec, "overview_resampling": resampler, "predictor": "YES", **options}
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True):
        copy(source, target, driver="COG", **options)


def by_rio_cogeo(source: Path, target: Path, codec: str, resampler: Any, **options: Any) -> None:
    config = {"GDAL_TIFF_INTERNAL_MASK": True}
    profiles: Any = cog_profiles
    with warnings.catch_warnings(action="ignore"):  # of codecs that old readers do not know
        profile = {**profiles.get(codec), **options}
        cog_translate(source, target, profile, overview_resampling=resampler, quiet=True, in_memory=True, config=config)


WRITERS: dict[str, Any] = {"GDAL": by_gdal, "rio-cogeo": by_rio_cogeo}


@dataclass(frozen=True)
class Kind:
    """What a source is like."""

    dtype: str = "uint16"
    count: int = 1
    nodata: float | None = None
    masked: bool = False
    palette: bool = False


KINDS = {
    "plain": Kind(),
    "nodata": Kind(nodata=0),
    "nan": Kind(dtype="float32", nodata=np.nan),
    "mask": Kind(dtype="uint8", count=3, masked=True),
    "palette": Kind(dtype="uint8", palette=True),
    "many": Kind(dtype="int16", count=5, nodata=-1),
}


def source_of(folder: Path, kind: Kind = KINDS["plain"], size: tuple[int, int] = (1100, 1300)) -> Path:
    """Write a plain GeoTIFF, a part of which is not valid."""
    pixels = smooth(kind.dtype, kind.count, *size)
    pixels += np.random.default_rng(1).integers(0, 4, pixels.shape).astype(kind.dtype)
    if kind.nodata is not None:
        pixels[:, : size[0] // 3, : size[1] // 2] = kind.nodata
    path = save(folder / "source.tif", pixels, nodata=kind.nodata)
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True), rasterio.open(path, "r+") as file:
        if kind.palette:
            file.colorinterp = [ColorInterp.palette]
            file.write_colormap(1, {value: (value, 255 - value, 7, 255) for value in range(256)})
        if kind.masked:
            inside = np.ones(size, bool)
            inside[: size[0] // 3, : size[1] // 2] = False
            file.write_mask(inside)
    return path


def cog_of(
    folder: Path, writer: str = "GDAL", *, codec: str = "deflate", resampler: str = "average", **options: Any
) -> Path:
    source, target = folder / "source.tif", folder / "cog.tif"
    WRITERS[writer](source if source.exists() else source_of(folder), target, codec, resampler, **options)
    return target


def convert(source: Path, asked: Asked | None = None) -> tuple[bytes, dict[str, Any]]:
    target = source.parent / "out" / "target.tif"
    target.parent.mkdir(exist_ok=True)
    report = convert_file(source, target, asked or Asked(), lambda share, doing: None)
    content = target.read_bytes()
    assert report["sha256"] == hashlib.sha256(content).hexdigest()
    assert report["size"] == len(content)
    return content, report


def is_taken(source: Path, asked: Asked | None = None) -> bool:
    content, report = convert(source, asked)
    assert content == source.read_bytes() or not report["taken"]
    return bool(report["taken"])


@pytest.mark.parametrize("writer", WRITERS)
@pytest.mark.parametrize("codec", ["deflate", "zstd", "lzw"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_cog_is_taken_byte_by_byte(tmp_path: Path, writer: str, codec: str, kind: str) -> None:
    source_of(tmp_path, KINDS[kind])
    cog = cog_of(tmp_path, writer, codec=codec, resampler="nearest" if kind == "palette" else "average")

    content, report = convert(cog)
    _, rewritten = convert(cog, Asked(profile=CogProfile(level=1)))

    assert content == cog.read_bytes()
    assert (report["taken"], rewritten["taken"]) == (True, False)
    for said in set(report) - {"taken", "size", "sha256", "header_size", "seconds"}:
        assert report[said] == rewritten[said], said
    with rasterio.open(cog) as file:
        blocks = [file.get_tag_item("BLOCK_OFFSET_0_0", "TIFF", bidx=band, ovr=1) for band in file.indexes]
    assert report["header_size"] == min(int(block) for block in blocks if block)
    assert report["overviews"] == [2, 4]


@pytest.mark.parametrize("writer", WRITERS)
@pytest.mark.parametrize("size", [(1, 1), (100, 90), (512, 512)])
def test_a_file_of_one_block_is_a_cog(tmp_path: Path, writer: str, size: tuple[int, int]) -> None:
    source_of(tmp_path, size=size)

    assert is_taken(cog_of(tmp_path, writer))


def test_what_was_written_here_is_taken(tmp_path: Path) -> None:
    content, _ = convert(source_of(tmp_path, KINDS["mask"]))
    (tmp_path / "again.tif").write_bytes(content)

    assert is_taken(tmp_path / "again.tif")
    assert is_taken(tmp_path / "again.tif", Asked(resampler=AVERAGE))
    assert not is_taken(tmp_path / "again.tif", Asked(resampler=NEAREST))


def test_blocks_of_nothing_may_be_left_out(tmp_path: Path) -> None:
    save(tmp_path / "source.tif", np.zeros((1, 1100, 1300), "uint8"), nodata=0)
    cog = cog_of(tmp_path, sparse_ok="YES")

    content, report = convert(cog)

    assert content == cog.read_bytes()
    assert report["header_size"] == len(content)


@pytest.mark.parametrize("size", [(1373, 700), (515, 1025)])
def test_overviews_may_be_rounded_up_or_down(tmp_path: Path, size: tuple[int, int]) -> None:
    source_of(tmp_path, size=size)

    assert is_taken(cog_of(tmp_path, "GDAL"), Asked(overviews=2 if size[0] > 1024 else 1))
    assert is_taken(cog_of(tmp_path, "rio-cogeo"), Asked(overviews=1))


@pytest.mark.parametrize(
    ("made", "asked", "taken"),
    [
        # The codec
        ({"codec": "deflate"}, {"cog_profile": "deflate"}, True),
        ({"codec": "zstd"}, {"cog_profile": "deflate"}, False),
        ({"codec": "zstd"}, {"cog_profile": "zstd"}, True),
        ({"codec": "lzw"}, {"blocksize": 512}, False),
        ({"codec": "none"}, {}, False),
        ({"codec": "none"}, {"cog_profile": "none"}, True),
        ({"codec": "lerc"}, {}, False),
        ({"codec": "lerc"}, {"cog_profile": "lerc"}, True),
        ({"codec": "deflate", "overview_compress": "zstd"}, {}, True),
        ({"codec": "deflate", "overview_compress": "none"}, {}, False),
        ({"codec": "deflate", "overview_compress": "zstd"}, {"cog_profile": "deflate"}, False),
        # Blocks
        ({"blocksize": 256, "overview_count": 2}, {}, True),
        ({"blocksize": 256, "overview_count": 2}, {"blocksize": 512}, False),
        ({"blocksize": 1024, "overview_count": 2}, {"blocksize": 1024}, True),
        ({"blocksize": 4096}, {"overview_level": 0}, False),
        # Overviews
        ({"overview_count": 1}, {}, False),
        ({"overview_count": 3}, {}, False),
        ({"overview_count": 3}, {"overview_level": 3}, True),
        ({"overviews": "none"}, {}, False),
        ({"overviews": "none"}, {"overview_level": 0}, True),
        ({"overviews": "none"}, {"overview_level": 0, "overview_resampling": "mode"}, True),
        ({}, {"overview_level": 0}, False),
        # How they were made
        ({"resampler": "cubic"}, {}, True),
        ({"resampler": "cubic"}, {"overview_resampling": "cubic"}, True),
        ({"resampler": "cubic"}, {"overview_resampling": "average"}, False),
        ({"writer": "rio-cogeo", "resampler": "cubic_spline"}, {"overview_resampling": "cubicspline"}, True),
        ({"writer": "rio-cogeo", "resampler": "nearest"}, {"overview_resampling": "average"}, False),
        # What the file says
        ({}, {"nodata": 7}, False),
    ],
    ids=str,
)  # fmt: skip
def test_what_is_asked_for(tmp_path: Path, made: dict[str, Any], asked: dict[str, Any], *, taken: bool) -> None:
    cog = cog_of(tmp_path, **made)

    assert is_taken(cog, asked_by({**OPTIONS, "cog_profile": None, "blocksize": None, **asked}, [])) == taken


def test_a_level_cannot_be_told_from_a_file(tmp_path: Path) -> None:
    cog = cog_of(tmp_path)

    assert not is_taken(cog, asked_by({**OPTIONS, "cog_profile": "deflate"}, ["LEVEL=6"]))


@pytest.mark.parametrize(("writer", "resampler"), [("GDAL", "mode"), ("rio-cogeo", "average")])
def test_classes_are_taken_if_overviews_have_the_nearest(tmp_path: Path, writer: str, resampler: str) -> None:
    source_of(tmp_path, KINDS["palette"])

    assert not is_taken(cog_of(tmp_path, writer, resampler=resampler))
    assert is_taken(tmp_path / "cog.tif", Asked(resampler=OverviewResampler(resampler)))


def test_classes_are_written_again_where_nobody_knows_of_their_overviews(tmp_path: Path) -> None:
    content, report = convert(source_of(tmp_path, KINDS["palette"]))
    (tmp_path / "again.tif").write_bytes(content)
    (tmp_path / "unknown.tif").write_bytes(content.replace(b"OVERVIEW_RESAMPLING", b"OVERVIEW_BY_SOMEONE"))

    assert report["resampler"] == NEAREST
    assert is_taken(tmp_path / "again.tif")
    assert not is_taken(tmp_path / "unknown.tif")


@UNPLACED
def test_a_place_that_the_file_does_not_say(tmp_path: Path) -> None:
    save(tmp_path / "source.tif", smooth("uint8", 1, 600, 700), crs=None, transform=None)
    cog = cog_of(tmp_path)
    placed = Georeference(cs_code=PLACE["crs"], geotrans=PLACE["transform"].to_gdal())

    assert not is_taken(cog, Asked(georeference=placed))


def test_a_place_that_is_said_twice(tmp_path: Path) -> None:
    placed = Georeference(cs_code=PLACE["crs"], geotrans=PLACE["transform"].to_gdal())

    assert is_taken(cog_of(tmp_path), Asked(georeference=placed))


@UNPLACED
def test_a_world_file_beside(tmp_path: Path) -> None:
    save(tmp_path / "source.tif", smooth("uint8", 1, 300, 200), transform=None)
    cog = cog_of(tmp_path)
    cog.with_suffix(".tfw").write_text("10\n0\n0\n-10\n500005\n4999995\n")

    assert not is_taken(cog)


def test_a_mask_or_overviews_beside(tmp_path: Path) -> None:
    cog = cog_of(tmp_path)
    beside = rasterio.Env(GDAL_TIFF_INTERNAL_MASK=False, TIFF_USE_OVR=True)
    with beside, rasterio.open(tmp_path / "source.tif", "r+") as file:
        file.write_mask(np.ones(file.shape, bool))
        file.build_overviews([2, 4], rasterio.enums.Resampling.average)
    for suffix in (".msk", ".ovr"):
        (tmp_path / f"source.tif{suffix}").rename(cog.with_suffix(f".tif{suffix}"))
        assert not is_taken(cog)
        cog.with_suffix(f".tif{suffix}").unlink()
    assert is_taken(cog)


def test_what_is_not_in_the_order_of_a_cog(tmp_path: Path) -> None:
    path = save(tmp_path / "a.tif", smooth("uint16", 1, 1100, 1300), tiled=True, blockxsize=512, blockysize=512,
                compress="deflate")  # fmt: skip
    with rasterio.open(path, "r+") as file:
        file.build_overviews([2, 4], rasterio.enums.Resampling.average)

    assert not is_taken(path)


def test_what_was_changed_after_it_was_made(tmp_path: Path) -> None:
    cog = cog_of(tmp_path)
    with rasterio.open(cog, "r+", IGNORE_COG_LAYOUT_BREAK="YES") as file:
        noise = np.random.default_rng(1).integers(0, 2**16, (1, 512, 512), dtype="uint16")
        file.write(noise, window=rasterio.windows.Window(0, 0, 512, 512))

    assert not is_taken(cog)


def test_strips(tmp_path: Path) -> None:
    assert not is_taken(save(tmp_path / "a.tif", smooth("uint16", 1, 300, 200), compress="deflate"))


def test_what_holds_more_than_its_pixels(tmp_path: Path) -> None:
    source_of(tmp_path, size=(100, 90))
    cog = cog_of(tmp_path)
    with cog.open("ab") as file:
        file.write(bytes(2 * 2 * 512**2))

    assert not is_taken(cog)


@UNPLACED
def test_an_upload_of_other_kinds(tmp_path: Path) -> None:
    pixels = smooth("uint8", 1, 300, 200)
    np.save(tmp_path / "a.npy", pixels)
    with rasterio.open(tmp_path / "a.png", "w", driver="PNG", width=200, height=300, count=1, dtype="uint8") as file:
        file.write(pixels)
    placed = Georeference(cs_code=PLACE["crs"], geotrans=PLACE["transform"].to_gdal())

    assert not is_taken(tmp_path / "a.npy", Asked(georeference=placed))
    assert not is_taken(tmp_path / "a.png", Asked(georeference=placed))


@pytest.mark.parametrize("writer", WRITERS)
@pytest.mark.parametrize("codec", ["deflate", "zstd", "lzw"])
@pytest.mark.parametrize("overview", [None, 0, 1])
def test_a_damaged_block_is_refused(tmp_path: Path, writer: str, codec: str, overview: int | None) -> None:
    cog = cog_of(tmp_path, writer, codec=codec)
    with rasterio.open(cog) as file:
        start = int(file.get_tag_item("BLOCK_OFFSET_0_0", "TIFF", bidx=1, ovr=overview))
    content = bytearray(cog.read_bytes())
    content[start + 40 : start + 3000] = b"\xff" * 2960
    cog.write_bytes(content)

    with pytest.raises(UploadError, match="cannot be read") as caught:
        convert(cog)

    assert caught.value.code == "CORRUPT_FILE"
    assert not list((tmp_path / "out").iterdir())


@pytest.mark.parametrize("overview", [None, 1])
def test_a_damaged_block_of_a_mask_is_refused(tmp_path: Path, overview: int | None) -> None:
    source_of(tmp_path, KINDS["mask"])
    cog = cog_of(tmp_path)
    with rasterio.open(cog) as file:  # a block of the mask comes behind its pixels
        start, size = (
            int(file.get_tag_item(f"BLOCK_{what}_0_0", "TIFF", bidx=1, ovr=overview)) for what in ("OFFSET", "SIZE")
        )
    content = bytearray(cog.read_bytes())
    content[start + size + 8 : start + size + 24] = bytes(16)
    cog.write_bytes(content)

    with pytest.raises(UploadError) as caught:
        convert(cog)

    assert caught.value.code == "CORRUPT_FILE"
