"""`stac-ingest cog`: the writer on files of this machine, and all codecs, with rasterio as the reader."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from affine import Affine
from numpy.typing import NDArray
from rasterio.rpc import RPC
from rio_cogeo.cogeo import cog_validate

from stac_ingest.errors import RequestError, UploadError
from stac_ingest.local import Asked, asked_by, convert_file, convert_files
from stac_ingest.models.cog import CogProfile
from stac_ingest.models.enums import Codec, OverviewResampler
from stac_ingest.raster import tiff

PLACE: dict[str, Any] = {"crs": "EPSG:32633", "transform": Affine(10, 0, 500_000, 0, -10, 5_000_000)}
OPTIONS: dict[str, Any] = {
    **dict.fromkeys(("nodata", "overview_level", "overview_resampling", "crs", "geotransform")),
    "cog_profile": "deflate",
    "blocksize": 512,
}


def smooth(dtype: str, count: int, height: int, width: int) -> NDArray[Any]:
    y, x = np.mgrid[0:height, 0:width]
    bands = [120 + 60 * np.sin(x / 90 + band) + 40 * np.cos(y / 70) for band in range(count)]
    return np.stack(bands).astype(dtype)


def save(path: Path, pixels: NDArray[Any], **options: Any) -> Path:
    count, height, width = pixels.shape
    profile = {"driver": "GTiff", "count": count, "height": height, "width": width, "dtype": pixels.dtype.name}
    with rasterio.open(path, "w", **profile, **{**PLACE, **options}) as file:
        file.write(pixels)
    return path


def convert(source: Path, asked: Asked | None = None) -> tuple[Path, dict[str, Any]]:
    target = source.with_suffix(".cog.tif")
    report = convert_file(source, target, asked or Asked(), lambda share, doing: None)
    valid, errors, warnings = cog_validate(target, strict=True, quiet=True)
    assert (valid, errors) == (True, [])
    assert not [warning for warning in warnings if "overviews" not in warning]
    assert report["sha256"] == hashlib.sha256(target.read_bytes()).hexdigest()
    assert report["size"] == target.stat().st_size
    with rasterio.open(target) as file:
        assert file.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
    return target, report


@pytest.mark.parametrize("big", [False, True])
@pytest.mark.parametrize("block_size", [128, 512, 1024])
@pytest.mark.parametrize(
    ("dtype", "count"), [("uint8", 1), ("uint8", 4), ("int16", 5), ("uint64", 1), ("float32", 3), ("float64", 1)]
)
def test_pixels_stay_as_they_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dtype: str, count: int, block_size: Any, *, big: bool
) -> None:
    if big:
        monkeypatch.setattr(tiff, "LARGEST_CLASSIC", 0)
    pixels = smooth(dtype, count, 1030, 1541)

    target, report = convert(
        save(tmp_path / "a.tif", pixels), Asked(profile=CogProfile(block_size=block_size), overviews=2)
    )

    assert target.read_bytes()[2:4] == (b"+\0" if big else b"*\0")
    with rasterio.open(target) as file:
        np.testing.assert_array_equal(file.read(), pixels)
        assert file.overviews(1) == [2, 4]
        assert file.block_shapes[0] == (block_size, block_size)
        assert (file.crs.to_string(), file.transform) == (PLACE["crs"], PLACE["transform"])
    assert report["bands"][0]["statistics"]["maximum"] == pixels[0].max()
    assert sum(report["bands"][0]["histogram"]["buckets"]) == pixels[0].size


@pytest.mark.parametrize(
    ("codec", "changes", "dtype", "count"),
    [
        (Codec.DEFLATE, 0, "float32", 1),
        (Codec.ZSTD, 0, "int32", 2),
        (Codec.LZW, 0, "float16", 1),
        (Codec.LERC, 0, "float64", 1),
        (Codec.NONE, 0, "uint16", 1),
        (Codec.JPEG, 12, "uint8", 3),
        (Codec.WEBP, 25, "uint8", 3),
    ],
)
@pytest.mark.parametrize("masked", [False, True])
def test_every_codec(tmp_path: Path, codec: Codec, changes: int, dtype: str, count: int, *, masked: bool) -> None:
    pixels = smooth(dtype, count, 700, 900)
    source = save(tmp_path / "a.tif", pixels)
    inside = np.ones(pixels.shape[1:], bool)
    if masked:
        inside[100:300, 200:400] = False
        with rasterio.open(source, "r+") as file:
            file.write_mask(inside)

    quality = 95 if codec in (Codec.JPEG, Codec.WEBP) else None
    target, _ = convert(source, Asked(profile=CogProfile(codec=codec, quality=quality)))

    with rasterio.open(target) as file:
        found = file.read()
        assert (file.compression.name if file.compression else "none").upper().startswith(codec[:4])
        np.testing.assert_array_equal(file.dataset_mask() > 0, inside)
        np.testing.assert_array_equal(file.dataset_mask(out_shape=(350, 450))[60:140, 110:190], 0 if masked else 255)
    np.testing.assert_allclose(found.astype(float), pixels.astype(float), atol=changes)


@pytest.mark.parametrize(
    ("codec", "dtype", "count"),
    [
        *((Codec.LERC, dtype, 1) for dtype in ("int64", "uint64", "float16")),
        (Codec.JPEG, "uint16", 3),
        (Codec.JPEG, "uint8", 4),
        (Codec.WEBP, "uint8", 1),
        (Codec.WEBP, "int16", 3),
    ],
)
def test_a_codec_that_cannot_hold_the_pixels_is_refused(tmp_path: Path, codec: Codec, dtype: str, count: int) -> None:
    source = save(tmp_path / "a.tif", smooth(dtype, count, 30, 40))

    with pytest.raises(UploadError, match=f"for {codec} .* found {count} of {dtype}") as caught:
        convert(source, Asked(profile=CogProfile(codec=codec)))

    assert caught.value.code == "UNSUPPORTED_DATA_TYPE"
    assert [path.name for path in tmp_path.iterdir()] == ["a.tif"]


def test_an_error_that_lerc_may_make_is_kept(tmp_path: Path) -> None:
    pixels = smooth("float32", 1, 600, 600)

    target, report = convert(
        save(tmp_path / "a.tif", pixels), Asked(profile=CogProfile(codec=Codec.LERC, max_error=0.5))
    )

    with rasterio.open(target) as file:
        assert 0 < np.abs(file.read() - pixels).max() <= 0.5
    assert report["size"] < pixels.nbytes / 4


@pytest.mark.parametrize(("dtype", "nodata"), [("uint16", 0), ("int16", -1), ("float32", np.nan), ("uint8", None)])
def test_blocks_of_nodata_take_no_room(tmp_path: Path, dtype: str, nodata: float | None) -> None:
    pixels = np.full((1, 2048, 2048), 0 if nodata is None else nodata, dtype)
    pixels[:, 600:900, 1100:1400] = 7

    target, report = convert(save(tmp_path / "a.tif", pixels, nodata=nodata))

    with rasterio.open(target) as file:
        np.testing.assert_array_equal(file.read(), pixels)
        stored = [
            file.get_tag_item(f"BLOCK_OFFSET_{x}_{y}", "TIFF", bidx=1) is not None for y in range(4) for x in range(4)
        ]
    assert sum(stored) == 1
    assert report["valid_share"] == (1 if nodata is None else pytest.approx(300 * 300 / 2048**2))


def test_nan_beside_a_nodata_value_stays_nan(tmp_path: Path) -> None:
    pixels = np.full((1, 700, 1100), -9999, "float32")
    pixels[0, :512, :512] = np.nan
    pixels[0, 600:, 900:] = 3

    target, report = convert(save(tmp_path / "a.tif", pixels, nodata=-9999))

    with rasterio.open(target) as file:
        np.testing.assert_array_equal(file.read(), pixels)
    assert report["valid_share"] == pytest.approx(100 * 200 / (700 * 1100))


def test_rational_polynomials_are_kept(tmp_path: Path) -> None:
    numbers = {
        name: float(index + 1)
        for index, name in enumerate(
            f"{of}_{kind}" for of in ("height", "lat", "line", "long", "samp") for kind in ("off", "scale")
        )
    }
    series = {
        f"{of}_{kind}_coeff": [float(index)] * 20
        for of in ("line", "samp")
        for index, kind in enumerate(("num", "den"))
    }
    rpc = RPC(**numbers, **series, err_bias=0.5, err_rand=0.25)
    source = save(tmp_path / "a.tif", smooth("uint8", 1, 300, 300), rpcs=rpc)

    target, _ = convert(source)

    with rasterio.open(target) as file:
        assert file.rpcs.to_dict() == rpc.to_dict()


@pytest.mark.parametrize("order", ["C", "F"])
def test_arrays(tmp_path: Path, order: Any) -> None:
    pixels = smooth("float32", 2, 620, 530)
    pixels[:, :100] = np.nan
    np.save(tmp_path / "a.npy", np.asarray(pixels, order=order))
    asked = asked_by({**OPTIONS, "crs": "EPSG:4326", "geotransform": "10,0.01,0,50,0,-0.01"}, [])

    target, report = convert(tmp_path / "a.npy", asked)

    with rasterio.open(target) as file:
        np.testing.assert_array_equal(file.read(), pixels)
        assert np.isnan(file.nodata)
    assert report["geometry"]["type"] == "Polygon"
    assert report["valid_share"] == pytest.approx(520 / 620, abs=1e-6)


def test_the_command_writes_a_report(tmp_path: Path) -> None:
    sources = [save(tmp_path / f"{name}.tif", smooth("uint8", 1, 300, 400)) for name in "ab"]
    folder = tmp_path / "out"
    folder.mkdir()
    command = [sys.executable, "-m", "stac_ingest", "cog"]

    many = subprocess.run(
        [*command, *sources, folder, "--co", "LEVEL=6", "--quiet", "--report", "-"], capture_output=True, check=True
    )
    single = subprocess.run(
        [*command, sources[0], tmp_path / "c.tif", "-p", "zstd", "--report", tmp_path / "report.json"],
        capture_output=True,
        check=True,
        text=True,
    )

    reports = json.loads(many.stdout)
    assert [Path(report["path"]).name for report in reports] == ["a.tif", "b.tif"]
    assert not many.stderr
    assert json.loads((tmp_path / "report.json").read_text())["bands"][0]["statistics"]["valid_percent"] == 100
    assert not single.stdout
    with rasterio.open(tmp_path / "c.tif") as file:
        assert file.compression.name == "zstd"


def test_the_command_shows_progress_on_a_terminal(tmp_path: Path) -> None:
    sources = [save(tmp_path / f"{name}.tif", smooth("uint8", 1, 300, 400)) for name in "ab"]
    (tmp_path / "out").mkdir()
    terminal, end = os.openpty()

    subprocess.run([sys.executable, "-m", "stac_ingest", "cog", *sources, tmp_path / "out"], stderr=end, check=True)
    os.close(end)
    shown = os.read(terminal, 2**16).decode()
    os.close(terminal)

    assert shown.index("a.tif: read") < shown.index("50%") < shown.index("b.tif: ") < shown.index("100%")


def test_what_cannot_be_converted_leaves_nothing(tmp_path: Path) -> None:
    source = save(tmp_path / "a.tif", smooth("uint16", 1, 600, 600), tiled=True, compress="deflate")
    source.write_bytes(source.read_bytes()[:-3000])
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "a.tif").write_bytes(b"before")

    with pytest.raises(UploadError, match="complete image"):
        convert_file(source, tmp_path / "out" / "a.tif", Asked(), lambda share, doing: None)

    assert [path.name for path in (tmp_path / "out").iterdir()] == ["a.tif"]
    assert (tmp_path / "out" / "a.tif").read_bytes() == b"before"


def test_a_file_that_changes_meanwhile_is_not_converted(tmp_path: Path) -> None:
    source = save(tmp_path / "a.tif", smooth("uint16", 1, 600, 600))

    def change(share: float, doing: str) -> None:
        source.touch()

    with pytest.raises(UploadError, match=r"'a\.tif' to stay as it is meanwhile") as caught:
        convert_file(source, tmp_path / "b.tif", Asked(), change)

    assert caught.value.code == "CORRUPT_FILE"
    assert [path.name for path in tmp_path.iterdir()] == ["a.tif"]


@pytest.mark.parametrize("name", ["cubic_spline", "cubicspline", "CUBICSPLINE"])
def test_resamplers_are_named_as_in_rio_cogeo_or_as_here(name: str) -> None:
    assert asked_by({**OPTIONS, "overview_resampling": name}, []).resampler is OverviewResampler.CUBICSPLINE


@pytest.mark.parametrize(
    ("changed", "creation", "told"),
    [
        ({"cog_profile": "snappy"}, [], "DEFLATE"),
        ({"blocksize": 500}, [], "512"),
        ({"overview_resampling": "magic"}, [], "average"),
        ({"geotransform": "1,2"}, [], "--geotransform six numbers"),
        ({"overview_level": -1}, [], "--overview-level"),
        ({}, ["LEVEL=99"], "22"),
        ({}, ["LEVEL=13"], "--co LEVEL at most 12 for DEFLATE, found '13'"),
        ({}, ["QUALITY=80"], "--co QUALITY none for DEFLATE, only for JPEG or WEBP, found '80'"),
        ({}, ["SPEED=9"], "LEVEL, QUALITY, MAX_Z_ERROR"),
    ],
)
def test_a_wrong_option_is_told(changed: dict[str, Any], creation: list[str], told: str) -> None:
    with pytest.raises(RequestError, match=told) as caught:
        asked_by({**OPTIONS, **changed}, creation)
    assert caught.value.status == 400


def test_where_to_write_has_to_be_clear(tmp_path: Path) -> None:
    source = save(tmp_path / "a.tif", smooth("uint8", 1, 20, 20))
    (tmp_path / "other").mkdir()
    (tmp_path / "out").mkdir()
    alike = save(tmp_path / "other" / "a.tif", smooth("uint8", 1, 20, 20))

    for sources, target, told in (
        ([], tmp_path, "found 0"),
        ([source, source], tmp_path / "none", "no folder"),
        ([tmp_path / "none.tif"], tmp_path / "b.tif", "nothing there"),
        ([source], source, "itself as target"),
        ([source], tmp_path / "no" / "b.tif", "no folder"),
        ([source, alike], tmp_path / "out", "becomes 'a.tif' too"),
        ([source, tmp_path / "none.tif"], tmp_path / "out", "nothing there"),
    ):
        with pytest.raises(RequestError, match=told):
            convert_files(sources, target, Asked(), quiet=True)
    assert not list((tmp_path / "out").iterdir())
