"""Blocks that an upload has in the form in which they would be written: they are not encoded again."""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from numpy.typing import NDArray
from rasterio.windows import Window

from stac_ingest.local import Asked
from stac_ingest.models.cog import CogProfile
from stac_ingest.raster.blocks import pixel_encoder
from tests.raster.test_local import convert, save, smooth

BLOCK = 512
OURS: dict[str, Any] = {
    "tiled": True,
    "blockxsize": BLOCK,
    "blockysize": BLOCK,
    "compress": "deflate",
    "predictor": 2,
    "zlevel": 9,
    "interleave": "pixel",
}


def noisy(dtype: str = "uint16", count: int = 1, height: int = 1100, width: int = 1300) -> NDArray[Any]:
    pixels = smooth(dtype, count, height, width)
    pixels += np.random.default_rng(1).integers(0, 9, pixels.shape).astype(dtype)
    return pixels


def encoded(path: Path, row: int = 0, column: int = 0, band: int = 1) -> bytes:
    """Return a block of the full resolution as it is in the file; nothing if it is not there."""
    with rasterio.open(path) as file:
        start, size = (
            int(file.get_tag_item(f"BLOCK_{what}_{column}_{row}", "TIFF", bidx=band) or 0)
            for what in ("OFFSET", "SIZE")
        )
    return path.read_bytes()[start : start + size]


def pixels_of(path: Path) -> NDArray[Any]:
    with rasterio.open(path) as file:
        pixels: NDArray[Any] = file.read()
    return pixels


@pytest.mark.parametrize(
    ("dtype", "count", "options"),
    [
        ("uint8", 1, {}),
        ("uint16", 1, {"nodata": 0}),
        ("int16", 4, {}),
        ("uint8", 3, {"photometric": "rgb"}),
        ("uint8", 5, {"interleave": "band", "nodata": 255}),
        ("uint32", 2, {"BIGTIFF": "YES"}),
        ("int64", 1, {}),
        ("float32", 1, {"predictor": 3, "nodata": -9999}),
        ("float64", 2, {"predictor": 3}),
    ],
)
def test_blocks_that_are_encoded_as_ours_are_taken(
    tmp_path: Path, dtype: str, count: int, options: dict[str, Any]
) -> None:
    source = save(tmp_path / "a.tif", noisy(dtype, count), **{**OURS, **options})

    target, report = convert(source)

    assert not report["taken"]
    np.testing.assert_array_equal(pixels_of(target), pixels_of(source))
    bands = range(1, count + 1) if options.get("interleave") == "band" else [1]
    for band in bands:
        for row, column in (0, 0), (0, 1), (1, 0), (1, 1):
            assert encoded(target, row, column, band) == encoded(source, row, column, band)


def test_only_blocks_that_hold_the_same_are_taken() -> None:
    encode = pixel_encoder(np.dtype("uint16"), BLOCK, nodata=None)
    pixels = noisy(height=BLOCK, width=BLOCK)
    differences = np.diff(pixels, axis=2, prepend=np.uint16(0))
    known = zlib.compress(differences.tobytes())

    assert encode(pixels, known) is known
    assert zlib.decompress(encode(pixels[:, ::-1], known)) == differences[:, ::-1].tobytes()
    assert zlib.decompress(encode(pixels, known[:-1])) == differences.tobytes()
    assert zlib.decompress(encode(pixels, b"\x1e" + known[1:])) == differences.tobytes()


@pytest.mark.parametrize(
    ("count", "options"),
    [
        (1, {"predictor": 1}),
        (1, {"blockxsize": 256, "blockysize": 256}),
        (1, {"blockxsize": 512, "blockysize": 256}),
        (1, {"ENDIANNESS": "BIG"}),
        (1, {"compress": "lzw"}),
        (1, {"tiled": False, "blockxsize": None, "blockysize": 16}),
        (3, {"interleave": "band"}),
        (5, {"interleave": "pixel"}),
    ],
)
def test_blocks_in_another_form_are_encoded(tmp_path: Path, count: int, options: dict[str, Any]) -> None:
    source = save(tmp_path / "a.tif", noisy("uint16", count), **{**OURS, **options})

    target, _ = convert(source)

    np.testing.assert_array_equal(pixels_of(target), pixels_of(source))
    assert encoded(target) != encoded(source)


@pytest.mark.parametrize("profile", [CogProfile(level=6), CogProfile(block_size=256), CogProfile(codec="ZSTD")])
def test_what_is_asked_for_is_encoded(tmp_path: Path, profile: CogProfile) -> None:
    source = save(tmp_path / "a.tif", noisy(), **OURS)

    target, _ = convert(source, Asked(profile=profile))

    np.testing.assert_array_equal(pixels_of(target), pixels_of(source))
    assert encoded(target) != encoded(source)


def test_a_block_of_nodata_is_left_out_where_the_upload_has_it(tmp_path: Path) -> None:
    pixels = noisy()
    pixels[:, :BLOCK, :BLOCK] = 0
    source = save(tmp_path / "a.tif", pixels, nodata=0, **OURS)

    target, _ = convert(source)

    assert encoded(source)
    assert not encoded(target)
    np.testing.assert_array_equal(pixels_of(target), pixels)


def test_a_block_that_the_upload_leaves_out_keeps_its_zeros(tmp_path: Path) -> None:
    source = save(tmp_path / "a.tif", noisy(), sparse_ok=True, **OURS)
    with rasterio.open(source, "w", **rasterio.open(source).profile, sparse_ok=True) as file:
        file.write(noisy()[:, :, BLOCK:], window=Window(BLOCK, 0, 1300 - BLOCK, 1100))

    target, _ = convert(source, Asked(nodata=7))

    assert not encoded(source)
    np.testing.assert_array_equal(pixels_of(target)[:, :BLOCK, :BLOCK], 0)


def test_a_block_that_is_larger_than_its_pixels_is_encoded(tmp_path: Path) -> None:
    source = save(tmp_path / "a.tif", np.random.default_rng(1).integers(0, 2**16, (1, 1024, 1024), "uint16"), **OURS)

    target, _ = convert(source)

    assert len(encoded(source)) > BLOCK**2 * 2
    assert encoded(target) != encoded(source)
    np.testing.assert_array_equal(pixels_of(target), pixels_of(source))
