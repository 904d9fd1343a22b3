"""Reading pixels, compared with what rasterio and GDAL's warper read from the same files."""

from __future__ import annotations

import http.server
import math
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from affine import Affine
from numpy.typing import NDArray
from rasterio.enums import Resampling
from rasterio.shutil import copy
from rasterio.vrt import WarpedVRT
from rasterio.warp import calculate_default_transform

from stac_ingest import (
    ClientError,
    DataType,
    Image,
    NotFoundError,
    ResampleAlgorithm,
    StacIngestError,
    UnsavedObjectError,
)
from stac_ingest.client.image_collection import ImageCollection
from stac_ingest.client.reading.cog import read_block
from stac_ingest.client.reading.geocontext import GeoContext
from stac_ingest.client.reading.request import _memory
from stac_ingest.models.bands import ClassBand, GenericBand, MaskBand, ProcessingStep
from tests.raster.conftest import CORNER, UTM, Noise, WriteTiff
from tests.raster.file_server import Ranges
from tests.raster.images import Images

FAR = Affine(10, 0, 600_000, 0, -10, 5_000_000)
RASTERIO = {"near": "nearest", "cubicspline": "cubic_spline"}
ROTATED = Affine(9, 3, 500_000, 2, -8, 5_000_000)


@pytest.fixture
def images() -> Images:
    return Images()


def numbers(dtype: str, *shape: int, seed: int = 1) -> NDArray[Any]:
    return np.random.default_rng(seed).integers(1, 120, shape).astype(dtype)


def scales(file: Any, crs: str, transform: Affine) -> dict[str, str]:
    """Return what the warper needs to be told lest it guesses: pixels of the result for one of the file."""
    if file.crs == crs:
        t = ~file.transform @ transform
        x, y = math.hypot(t.a, t.d), math.hypot(t.b, t.e)
    else:
        side = calculate_default_transform(file.crs, crs, file.width, file.height, *file.bounds)[0].a
        x, y = transform.a / side, -transform.e / side
    return {"XSCALE": repr(min(1, 1 / x)), "YSCALE": repr(min(1, 1 / y))}


def warped(path: Path, how: str, **grid: Any) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """Read all bands by rasterio's WarpedVRT: values and validity (band, y, x)."""
    with rasterio.open(path) as file:
        nodata = file.nodata
        by_alpha = nodata is None or any("per_dataset" in str(flags) for flags in file.mask_flag_enums)
        options: dict[str, Any] = {"add_alpha": True} if by_alpha else {"UNIFIED_SRC_NODATA": "NO"}
        options |= scales(file, grid["crs"], grid["transform"])
        with WarpedVRT(file, resampling=Resampling[RASTERIO.get(how, how)], **grid, **options) as view:
            pixels = view.read(list(range(1, file.count + 1)))
            if by_alpha:
                valid = np.broadcast_to(view.read(file.count + 1) > 0, pixels.shape).copy()
            else:
                valid = ~np.isnan(pixels) if np.isnan(nodata) else pixels != nodata
    if pixels.dtype.kind == "f":
        valid &= ~np.isnan(pixels)
    return pixels, valid


def same(array: Any, pixels: NDArray[Any], valid: NDArray[np.bool_], rtol: float = 1e-5) -> None:
    """Assert that a masked array has these values where they are valid, and is masked elsewhere."""
    assert isinstance(array, np.ma.MaskedArray)
    assert array.shape == pixels.shape
    np.testing.assert_array_equal(np.ma.getmaskarray(array), ~valid)
    if pixels.dtype.kind == "f":
        np.testing.assert_allclose(array.data[valid], pixels[valid], rtol=rtol)
    else:
        np.testing.assert_array_equal(array.data[valid], pixels[valid])


# --- The image's own pixels


@pytest.mark.parametrize("dtype", [member.numpy for member in DataType])
def test_own_pixels_come_unchanged(write_tiff: WriteTiff, noise: Noise, images: Images, dtype: str) -> None:
    pixels = noise(dtype, 2, 30, 40)
    array = images({write_tiff("a.tif", pixels): "x y"}).ndarray("x y")
    assert array.dtype == dtype
    same(array, pixels, ~np.isnan(pixels) if pixels.dtype.kind == "f" else np.ones(pixels.shape, bool))


@pytest.mark.parametrize("dtype", ["uint8", "int16", "float32", "float64"])
@pytest.mark.parametrize("kind", ["nodata", "mask", "nan"])
def test_what_is_not_valid_is_masked_as_rasterio_masks_it(
    write_tiff: WriteTiff, images: Images, dtype: str, kind: str
) -> None:
    pixels = numbers(dtype, 3, 30, 40)
    pixels[1, 5:20, 10:30] = 7
    if kind == "nan" and pixels.dtype.kind == "f":
        pixels[0, :4] = np.nan
    mask = np.ones((30, 40), bool)
    mask[10:, :15] = False
    path = write_tiff(
        "a.tif", pixels, **({"mask": mask} if kind == "mask" else {"nodata": 7} if kind == "nodata" else {})
    )
    with rasterio.open(path) as file:
        expected = file.read(masked=True)
    array = images({path: "x y z"}).ndarray(["x", "y", "z"])
    nan = np.isnan(pixels) if pixels.dtype.kind == "f" else np.zeros(pixels.shape, bool)
    np.testing.assert_array_equal(np.ma.getmaskarray(array), np.ma.getmaskarray(expected) | nan)
    np.testing.assert_array_equal(array.data, expected.data)
    if kind == "nodata":
        assert array.fill_value == 7
    plain = images({path: "x y z"}).ndarray(["x", "y", "z"], mask_nodata=False)
    assert type(plain) is np.ndarray
    np.testing.assert_array_equal(plain, pixels)


def test_bands_come_in_the_order_asked_for(write_tiff: WriteTiff, images: Images) -> None:
    one, two = numbers("uint8", 3, 20, 30), numbers("uint8", 1, 20, 30, seed=2)
    image = images({write_tiff("a.tif", one): "r g b", write_tiff("b.tif", two): "n"})
    np.testing.assert_array_equal(image.ndarray("b n r").data, np.stack([one[2], two[0], one[0]]))
    np.testing.assert_array_equal(image.ndarray("b, n,r").data, image.ndarray(["b", "n", "r"]).data)
    np.testing.assert_array_equal(image.ndarray(("g",)).data, one[1:2])
    np.testing.assert_array_equal(image.ndarray("g g r").data, one[[1, 1, 0]])


def test_a_rotated_image_is_read_as_it_is(write_tiff: WriteTiff, images: Images) -> None:
    pixels = numbers("int16", 1, 20, 30)
    array, info = images(write_tiff("a.tif", pixels, transform=ROTATED)).ndarray("b", raster_info=True)
    np.testing.assert_array_equal(array.data, pixels)
    assert info["geoTransform"] == list(ROTATED.to_gdal())
    assert info["cornerCoordinates"]["lowerRight"] == list(ROTATED @ (30, 20))


# --- Part of an image


@pytest.mark.parametrize("described", [True, False], ids=["grid from the item", "grid from the file"])
@pytest.mark.parametrize("kind", ["plain", "nodata", "mask"])
def test_a_part_on_the_pixels_of_the_image_is_read_unchanged(
    write_tiff: WriteTiff, images: Images, kind: str, described: bool
) -> None:
    pixels, mask = numbers("uint16", 2, 30, 40), np.ones((30, 40), bool)
    mask[:, 5:8] = False
    options: dict[str, Any] = {"nodata": 5} if kind == "nodata" else {"mask": mask} if kind == "mask" else {}
    place = {"proj:code": UTM, "proj:transform": list(CORNER)[:6], "proj:shape": [30, 40]} if described else None
    image = images({write_tiff("a.tif", pixels, **options): "x y"}, assets=place)
    valid = pixels != 5 if kind == "nodata" else np.broadcast_to(mask, pixels.shape) if kind == "mask" else pixels > 0
    # (first column, first row, columns, rows): inside, beyond each side, around all of it, and just beside it
    for column, row, columns, rows in (
        (3, 4, 20, 10),
        (-6, -5, 20, 20),
        (30, 20, 20, 20),
        (-5, -5, 60, 60),
        (40, 0, 9, 9),
    ):
        west, north = CORNER @ (column, row)
        east, south = CORNER @ (column + columns, row + rows)
        array = image.ndarray("x y", GeoContext(bounds=(west, south, east, north), bounds_crs=UTM))
        expected, there = np.zeros((2, rows, columns), "uint16"), np.zeros((2, rows, columns), bool)
        for y in range(rows):
            for x in range(columns):
                if 0 <= y + row < 30 and 0 <= x + column < 40:
                    expected[:, y, x] = pixels[:, y + row, x + column]
                    there[:, y, x] = valid[:, y + row, x + column]
        same(array, expected, there)


def test_a_place_that_the_image_does_not_touch_is_masked_with_a_warning(write_tiff: WriteTiff, images: Images) -> None:
    image = images(write_tiff("a.tif", numbers("uint8", 1, 30, 40)))
    far = GeoContext(bounds=(0, 0, 1, 1), resolution=100_000)
    with pytest.warns(UserWarning, match=r"place and the image 'p:i' do not touch.* in EPSG:32633") as caught:
        array = image.ndarray("b", far)
    assert array.mask.all()
    assert caught[0].filename == __file__
    both = ImageCollection([image, images(write_tiff("b.tif", numbers("uint8", 1, 2, 2), transform=FAR))])
    assert both.stack("b").mask.all(axis=(1, 2, 3)).tolist() == [False, False]
    assert both.mosaic("b", GeoContext(bounds=(500_000, 4_999_700, 500_400, 5_000_000), bounds_crs=UTM)).shape == (
        1,
        30,
        40,
    )
    with pytest.warns(UserWarning, match="the images do not touch"):
        both.stack("b", far)


@pytest.mark.parametrize("how", [{"resolution": 1e-5}, {"geocontext": GeoContext(shape=(10**7, 10**7))}])
def test_more_pixels_than_memory_holds_are_refused(write_tiff: WriteTiff, images: Images, how: dict[str, Any]) -> None:
    image = images(write_tiff("a.tif", numbers("uint8", 1, 30, 40)))
    with pytest.raises(ValueError, match=r"[\d,]{15,} pixels .* GB of memory.*larger resolution.*smaller shape"):
        image.ndarray("b", **how)


def test_all_bands_and_layers_count_as_pixels(
    write_tiff: WriteTiff, images: Images, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = images({write_tiff("a.tif", numbers("uint8", 2, 30, 40)): "x y"})
    monkeypatch.setattr("stac_ingest.client.reading.request._memory", lambda: 4 * 30 * 40 * 2 * 2)
    twice = ImageCollection([image, image])
    assert twice.stack("x y").shape == (2, 2, 30, 40)
    thrice = ImageCollection([image, image, image])
    assert thrice.mosaic("x y").shape == (2, 30, 40)
    assert thrice.stack("x y", flatten="acquired").shape == (1, 2, 30, 40)
    with pytest.raises(ValueError, match=r"7,200 pixels \(layers: 3, bands: 2, rows: 30, columns: 40\)"):
        thrice.stack("x y")


def test_a_machine_that_does_not_tell_its_memory_refuses_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    assert 2**28 < _memory() < 2**50
    monkeypatch.delattr("os.sysconf")
    assert _memory() == math.inf


def test_bounds_between_pixels_take_in_those_they_touch(write_tiff: WriteTiff, images: Images) -> None:
    pixels = numbers("uint8", 1, 30, 40)
    bounds = (500_032, 4_999_855, 500_101, 4_999_977)
    array, info = images(write_tiff("a.tif", pixels)).ndarray(
        "b", GeoContext(bounds=bounds, bounds_crs=UTM), raster_info=True
    )
    np.testing.assert_array_equal(array.data, pixels[:, 2:15, 3:11])
    assert info["geoTransform"] == [500_030, 10, 0, 4_999_980, 0, -10]


@pytest.mark.parametrize("all_touched", [False, True])
def test_pixels_outside_a_geometry_are_masked(write_tiff: WriteTiff, images: Images, all_touched: bool) -> None:
    from rasterio.features import rasterize
    from rasterio.warp import transform_geom

    pixels = numbers("int16", 2, 30, 40)
    corners = [CORNER @ place for place in ((5.3, 3.2), (30.8, 8.1), (12.4, 26.7), (5.3, 3.2))]
    triangle = {"type": "Polygon", "coordinates": [[list(corner) for corner in corners]]}
    geometry = transform_geom(UTM, "EPSG:4326", triangle)
    path = write_tiff("a.tif", pixels, nodata=-1)
    image = images({path: "x y"})
    context = GeoContext(bounds=(500_000, 4_999_700, 500_400, 5_000_000), bounds_crs=UTM, geometry=geometry)
    array = image.ndarray("x y", context, all_touched=all_touched)
    back = transform_geom("EPSG:4326", UTM, geometry)
    inside = rasterize([back], out_shape=(30, 40), transform=CORNER, all_touched=all_touched) == 1
    assert 0 < inside.sum() < inside.size
    same(array, pixels, np.broadcast_to(inside, pixels.shape))
    assert (array.data[:, ~inside] == -1).all()
    whole = image.ndarray("x y", geometry, all_touched=all_touched)
    assert (~np.ma.getmaskarray(whole)).sum() == 2 * inside.sum()
    assert whole.shape == (2, 24, 26)


# --- Other pixels


@pytest.mark.parametrize("how", list(ResampleAlgorithm))
def test_other_pixels_are_those_of_the_warper(write_tiff: WriteTiff, images: Images, how: str) -> None:
    """Each resampler, type, kind of validity, coordinate system and rotation."""
    for dtype in ("uint8", "int16", "float32"):
        pixels, mask = numbers(dtype, 2, 30, 40), np.ones((30, 40), bool)
        mask[12:, 20:30] = False
        pixels[1, 3:9, 4:18] = 5
        kinds: dict[str, dict[str, Any]] = {"plain": {}, "nodata": {"nodata": 5}, "mask": {"mask": mask}}
        if dtype == "float32":
            pixels[0, :, 33] = np.nan
            kinds["nan"] = {"nodata": np.nan}
            del kinds["plain"], kinds["nodata"], kinds["mask"]
        for kind, options in kinds.items():
            for turned in (CORNER, ROTATED):
                path = write_tiff(f"{dtype}-{kind}.tif", pixels, transform=turned, **options)
                image = images({path: "x y"})
                for crs, bounds in (
                    (UTM, (499_953, 4_999_717, 500_388, 5_000_041)),
                    ("EPSG:4326", (14.9995, 45.1505, 15.0055, 45.1535)),
                    ("EPSG:3857", (1_669_740, 5_645_320, 1_670_390, 5_645_810)),
                ):
                    context = GeoContext(bounds=bounds, bounds_crs=crs, crs=crs, shape=(31, 37))
                    grid = {"crs": crs, "transform": context.transform, "width": 37, "height": 31}
                    expected, valid = warped(path, how, **grid)
                    assert valid.any()
                    same(image.ndarray("x y", context, resampler=how), expected, valid)


@pytest.mark.parametrize("kind", ["plain", "nodata", "mask"])
@pytest.mark.parametrize("names", ["x", "y", "z", "z x", "y z"])
def test_some_bands_of_a_file_are_warped_as_all_of_them_are(
    write_tiff: WriteTiff, images: Images, monkeypatch: pytest.MonkeyPatch, kind: str, names: str
) -> None:
    pixels, mask = numbers("uint8", 3, 30, 40), np.ones((30, 40), bool)
    mask[12:, 20:30] = False
    options: dict[str, Any] = {"nodata": 5} if kind == "nodata" else {"mask": mask} if kind == "mask" else {}
    image = images({write_tiff("a.tif", pixels, **options): "x y z"})
    whole = image.ndarray("x y z", resolution=15)
    with monkeypatch.context() as patched:
        patched.setattr("warnings.catch_warnings", None)  # threads share what it changes
        some = image.ndarray(names, resolution=15)
    chosen = ["xyz".index(name) for name in names.split()]
    same(some, whole.data[chosen], ~whole.mask[chosen])
    assert some.max() < 120


@pytest.mark.parametrize("corner", [(UTM, 499_990, 5_000_010), ("EPSG:3035", 4_714_490, 2_462_310)])
@pytest.mark.parametrize("how", ["bilinear", "cubic", "average", "max"])
def test_a_pixel_is_the_same_whatever_else_is_read(
    write_tiff: WriteTiff, images: Images, how: str, corner: tuple[str, int, int]
) -> None:
    crs, west, north = corner
    image = images(write_tiff("a.tif", numbers("float32", 1, 60, 80)))

    def read(column: int, row: int, columns: int, rows: int) -> Any:
        left, top = west + 23 * column, north - 23 * row
        bounds = (left, top - 23 * rows, left + 23 * columns, top)
        return image.ndarray(
            "b", GeoContext(bounds=bounds, bounds_crs=crs, crs=crs, shape=(rows, columns)), resampler=how
        )

    whole, part = read(0, 0, 38, 30), read(10, 12, 9, 7)
    assert part.count()
    same(part, whole.data[:, 12:19, 10:19], ~np.ma.getmaskarray(whole)[:, 12:19, 10:19], rtol=1e-3)


def test_each_band_has_its_own_nodata_when_it_is_interpolated(write_tiff: WriteTiff, images: Images) -> None:
    pixels = np.full((2, 20, 20), 100, "uint8")
    pixels[0, :, 10:] = 0
    image = images({write_tiff("a.tif", pixels, nodata=0): "x y"})
    array = image.ndarray("x y", resolution=7, resampler="bilinear")
    assert set(np.unique(array.compressed())) == {100}
    assert array[0].mask.any()
    assert not array[1].mask.any()


def test_a_resolution_begins_at_the_corner_of_the_image(write_tiff: WriteTiff, images: Images) -> None:
    path = write_tiff("a.tif", numbers("uint16", 1, 40, 60))
    image = images(path)
    array, info = image.ndarray("b", resolution=60, raster_info=True)
    assert array.shape == (1, 7, 10)
    assert info["geoTransform"] == [500_000, 60, 0, 5_000_000, 0, -60]
    grid = {"crs": UTM, "transform": Affine(60, 0, 500_000, 0, -60, 5_000_000), "width": 10, "height": 7}
    same(array, *warped(path, "near", **grid))
    aligned = image.ndarray("b", GeoContext(resolution=60), raster_info=True)[1]
    assert aligned["geoTransform"] == [499_980, 60, 0, 5_000_040, 0, -60]


def test_another_coordinate_system_keeps_the_size_of_the_pixels(write_tiff: WriteTiff, images: Images) -> None:
    path = write_tiff("a.tif", numbers("uint16", 1, 40, 60))
    array, info = images(path).ndarray("b", crs="EPSG:3857", raster_info=True)
    assert info["coordinateSystem"]["epsg"] == 3857
    assert info["geoTransform"][1] == -info["geoTransform"][5] == pytest.approx(14.2, abs=0.2)
    assert (~array.mask).sum() == pytest.approx(40 * 60, rel=0.05)


# --- Overviews


def with_overviews(path: Path, *factors: int) -> Path:
    """Add overviews whose pixels are twice the largest of those below: none that resampling would give."""
    with rasterio.open(path, "r+") as file:
        file.build_overviews(list(factors), Resampling.rms)
    return path


@pytest.mark.parametrize("kind", ["nodata", "mask"])
def test_coarser_pixels_are_read_from_the_overview_that_has_them(
    write_tiff: WriteTiff, images: Images, kind: str
) -> None:
    pixels, mask = numbers("uint16", 1, 256, 512), np.ones((256, 512), bool)
    pixels[:, 100:120] = 3
    mask[100:120] = False
    options: dict[str, Any] = {"nodata": 3} if kind == "nodata" else {"mask": mask}
    path = with_overviews(write_tiff("a.tif", pixels, tiled=True, blockxsize=128, blockysize=128, **options), 2, 4, 8)
    image = images(path)
    for factor, level in ((2, 0), (4, 1), (8, 2)):
        with rasterio.open(path, overview_level=level) as file:
            expected = file.read(masked=True)
        same(image.ndarray("b", resolution=10 * factor), expected.data, ~np.ma.getmaskarray(expected))
    assert (image.ndarray("b", resolution=20).data != image.ndarray("b", resolution=20, resampler="max").data).any()


@pytest.mark.parametrize("how", ["near", "bilinear", "cubic", "average"])
@pytest.mark.parametrize("crs", [UTM, "EPSG:3035"])
def test_pixels_between_two_overviews_come_from_the_finer_one(
    write_tiff: WriteTiff, images: Images, how: str, crs: str
) -> None:
    path = with_overviews(write_tiff("a.tif", numbers("float32", 1, 256, 512), nodata=0), 2, 4, 8)
    array, info = images(path).ndarray("b", crs=crs, resolution=55, resampler=how, raster_info=True)
    transform = Affine.from_gdal(*info["geoTransform"])
    grid = {"crs": crs, "transform": transform, "width": info["size"][0], "height": info["size"][1]}
    with rasterio.open(path, overview_level=1) as file:
        assert file.width == 128
        with WarpedVRT(
            file,
            resampling=Resampling[RASTERIO.get(how, how)],
            UNIFIED_SRC_NODATA="NO",
            **grid,
            **scales(file, crs, transform),
        ) as view:
            expected = view.read()
    same(array, expected, expected != 0)


@pytest.mark.parametrize("how", ["mode", "max", "min", "med", "q1", "q3"])
def test_what_overviews_do_not_know_is_read_from_every_pixel(write_tiff: WriteTiff, images: Images, how: str) -> None:
    path = with_overviews(write_tiff("a.tif", numbers("uint8", 1, 64, 64), nodata=0), 2, 4)
    grid = {"crs": UTM, "transform": Affine(40, 0, 500_000, 0, -40, 5_000_000), "width": 16, "height": 16}
    same(images(path).ndarray("b", resolution=40, resampler=how), *warped(path, how, **grid))


# --- The antimeridian


@pytest.mark.parametrize("west", [170, -190])
def test_bounds_across_the_antimeridian_take_both_ends_of_a_world(
    write_tiff: WriteTiff, images: Images, west: int
) -> None:
    world = numbers("uint8", 1, 18, 36)
    path = write_tiff("w.tif", world, crs="EPSG:4326", transform=Affine(10, 0, -180, 0, -10, 90), nodata=0)
    bounds = (170, -20, -170, 20) if west == 170 else (-190, -20, -170, 20)
    array = images(path).ndarray("b", GeoContext(bounds=bounds))
    np.testing.assert_array_equal(array.filled(0), np.concatenate([world[:, 7:11, -1:], world[:, 7:11, :1]], axis=2))
    finer = images(path).ndarray("b", GeoContext(bounds=bounds, crs="EPSG:4326", shape=(8, 4)))
    np.testing.assert_array_equal(finer.filled(0), array.filled(0).repeat(2, axis=1).repeat(2, axis=2))


def test_an_image_that_ends_beyond_180_is_found_on_both_sides(write_tiff: WriteTiff, images: Images) -> None:
    pixels = numbers("int16", 1, 4, 20)
    path = write_tiff("a.tif", pixels, crs="EPSG:4326", transform=Affine(1, 0, 170, 0, -1, 2), nodata=0)
    image = images(path)
    east = image.ndarray("b", GeoContext(bounds=(-180, -2, -170, 2)))
    np.testing.assert_array_equal(east.filled(0), pixels[..., 10:])
    square = {"type": "Polygon", "coordinates": [[[-179, 2], [-177, 2], [-177, -2], [-179, -2], [-179, 2]]]}
    array = image.ndarray("b", GeoContext(bounds=(178, -2, -176, 2), geometry=square))
    np.testing.assert_array_equal(np.ma.getmaskarray(array)[0, 0], [True, True, True, False, False, True])


def test_a_geographic_image_is_warped_across_the_antimeridian(write_tiff: WriteTiff, images: Images) -> None:
    pixels = np.arange(1, 401, dtype="int16").reshape(1, 20, 20)
    path = write_tiff("a.tif", pixels, crs="EPSG:4326", transform=Affine(0.1, 0, 179, 0, -0.1, 1), nodata=0)
    context = GeoContext(bounds=(179.2, -0.8, -179.2, 0.8), crs="EPSG:3832", resolution=5_000)
    array = images(path).ndarray("b", context)
    assert not array.mask[:, 1:-1, 1:-1].any()
    assert np.all(np.diff(array.data[0, 5, 2:-2].astype(int)) >= 0)


# --- What is asked for


def test_the_axis_of_the_bands(write_tiff: WriteTiff, images: Images) -> None:
    image = images({write_tiff("a.tif", numbers("uint8", 2, 3, 4)): "x y"})
    usual = image.ndarray("x y")
    for axis in range(-3, 3):
        np.testing.assert_array_equal(image.ndarray("x y", bands_axis=axis), np.moveaxis(usual, 0, axis))
    assert image.ndarray("x", bands_axis=-1).shape == (3, 4, 1)
    for axis in (3, -4):
        with pytest.raises(ValueError, match=f"axis {axis} would not exist in a 3D array"):
            image.ndarray("x y", bands_axis=axis)


def test_what_is_no_band_is_refused(write_tiff: WriteTiff, images: Images) -> None:
    image = images({write_tiff("a.tif", numbers("uint8", 2, 3, 4)): "x y"})
    with pytest.raises(ValueError, match="'p:i' has the bands x, y, not z, w"):
        image.ndarray("x z w")
    nothing: list[Any] = ["", [], ()]
    for none in nothing:
        with pytest.raises(ValueError, match="No bands specified"):
            image.ndarray(none)
    for wrong in (None, 5, {"x"}, ["x", 1]):
        with pytest.raises(TypeError, match="names of bands"):
            image.ndarray(wrong)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"ResampleAlgorithm: expected one of near, bilinear, .*, found 'blurred'"):
        image.ndarray("x", resampler="blurred")


@pytest.mark.parametrize(
    ("first", "second", "result"),
    [
        ("uint8", "uint16", "uint16"),
        ("uint16", "int16", "int32"),
        ("uint8", "int8", "int16"),
        ("int16", "float32", "float32"),
        ("int32", "float32", "float64"),
        ("uint32", "int32", "int64"),
        ("uint64", "int64", "float64"),
        ("float16", "uint8", "float16"),
        ("float32", "float64", "float64"),
    ],
)
def test_the_type_holds_the_values_of_all_bands(
    write_tiff: WriteTiff, images: Images, first: str, second: str, result: str
) -> None:
    one, two = numbers(first, 1, 5, 6), numbers(second, 1, 5, 6, seed=2)
    array = images({write_tiff("a.tif", one): "x", write_tiff("b.tif", two): "y"}).ndarray("x y")
    assert array.dtype == result
    np.testing.assert_array_equal(array.data, np.concatenate([one.astype(result), two.astype(result)]))


def test_the_alpha_band_masks_all_bands(write_tiff: WriteTiff, images: Images) -> None:
    pixels, alpha = numbers("uint8", 2, 6, 8), np.ones((1, 6, 8), "uint8")
    alpha[0, 2:4] = 0
    pixels[0, 0] = 9
    files = {write_tiff("a.tif", pixels, nodata=9): "x y", write_tiff("m.tif", alpha): "alpha"}
    image = images(files, [GenericBand(name="x"), GenericBand(name="y"), MaskBand(name="alpha", file_index=1)])
    valid = (pixels != 9) & (alpha != 0)
    same(image.ndarray("x y"), pixels, valid)
    same(image.ndarray("x y", mask_alpha=True), pixels, valid)
    same(image.ndarray("x y alpha"), np.concatenate([pixels, alpha]), np.concatenate([valid, alpha != 0]))
    same(image.ndarray("x y", mask_alpha=False), pixels, pixels != 9)
    same(image.ndarray("x y", mask_nodata=False), pixels, np.broadcast_to(alpha != 0, pixels.shape))
    assert type(image.ndarray("x y", mask_nodata=False, mask_alpha=False)) is np.ndarray
    with pytest.raises(ValueError, match="Alpha must be the last band"):
        image.ndarray("alpha x")
    with pytest.raises(ValueError, match="must be None, a band name, or a bool"):
        image.ndarray("x", mask_alpha=3)  # type: ignore[arg-type]


def test_the_alpha_of_the_file_itself_masks_too(write_tiff: WriteTiff, images: Images) -> None:
    pixels = numbers("uint8", 4, 20, 24)
    pixels[3] = 255
    pixels[3, 5:9] = 0
    path = write_tiff("a.tif", pixels, photometric="RGB", alpha="yes")
    image = images({path: "r g b"})
    same(image.ndarray("r g b"), pixels[:3], np.broadcast_to(pixels[3] > 0, (3, 20, 24)))
    context = GeoContext(bounds=(15.0, 45.152, 15.002, 45.153), crs="EPSG:4326", shape=(17, 19))
    with (
        rasterio.open(path) as file,
        WarpedVRT(
            file, crs="EPSG:4326", transform=context.transform, width=19, height=17, resampling=Resampling.bilinear
        ) as view,
    ):
        expected = view.read()
    same(
        image.ndarray("r g b", context, resampler="bilinear"),
        expected[:3],
        np.broadcast_to(expected[3] > 0, (3, 17, 19)),
    )


def test_another_band_can_be_the_alpha_band(write_tiff: WriteTiff, images: Images) -> None:
    pixels = numbers("uint8", 2, 6, 8)
    pixels[1, :3] = 0
    image = images({write_tiff("a.tif", pixels): "x clear"})
    same(image.ndarray("x"), pixels[:1], np.ones((1, 6, 8), bool))
    same(image.ndarray("x", mask_alpha="clear"), pixels[:1], pixels[1:] != 0)
    for missing in (True, "cloud"):
        with pytest.raises(
            ValueError, match=r"no (alpha|cloud) band for the product 'p'. Try setting 'mask_alpha=False'"
        ):
            image.ndarray("x", mask_alpha=missing)


def test_the_nodata_of_the_product_counts_where_the_file_has_none(write_tiff: WriteTiff, images: Images) -> None:
    pixels = numbers("uint8", 2, 6, 8)
    bands = [GenericBand(name="x", nodata=5), GenericBand(name="y", nodata=-1)]
    pixels += 100
    pixels[:, 0] = 5
    image = images({write_tiff("a.tif", pixels): "x y"}, bands)
    same(image.ndarray("x y"), pixels, np.stack([pixels[0] != 5, pixels[1] > 0]))
    finer = image.ndarray("x", resolution=5, resampler="bilinear")
    assert finer.mask[:, :2].all()
    assert finer.compressed().min() > 100


def test_where_the_pixels_lie_is_told_as_gdalinfo_tells_it(write_tiff: WriteTiff, images: Images) -> None:
    path = write_tiff("a.tif", numbers("int16", 2, 30, 40), nodata=-9)
    _, info = images({path: "x y"}).ndarray("y x", raster_info=True)
    with rasterio.open(path) as file:
        assert info["geoTransform"] == list(file.transform.to_gdal())
        assert info["coordinateSystem"]["wkt"] == file.crs.to_wkt()
        assert rasterio.crs.CRS.from_string(info["coordinateSystem"]["proj4"]) == file.crs
    assert info["coordinateSystem"]["epsg"] == 32633
    assert info["size"] == [40, 30]
    assert info["cornerCoordinates"]["center"] == [500_200, 4_999_850]
    assert info["bands"][0] == {"band": 1, "type": "Int16", "description": {"name": "y"}, "noDataValue": -9}
    assert info["id"] == "p:i"
    longitudes, latitudes = zip(*info["wgs84Extent"]["coordinates"][0], strict=True)
    assert (min(longitudes), max(longitudes)) == pytest.approx((15, 15.0051), abs=1e-4)
    assert (min(latitudes), max(latitudes)) == pytest.approx((45.1508, 45.1535), abs=1e-3)


# --- Processing levels and scaling

LEVELS = {
    "default": "toa",
    "toa": [ProcessingStep(function="gain_bias", parameter="reflectance_gain_bias")],
    "DN": [],
    "scaled": [
        ProcessingStep(
            function="scale",
            parameter="reflectance_scale",
            index=0,
            data_type=DataType.FLOAT32,
            data_range=(0, 50),
            display_range=(0, 20),
        )
    ],
    "temperature": [
        ProcessingStep(function="gain_bias", parameter=[0.5, 1]),
        ProcessingStep(function="brightness_temperature", parameter="brightness_temperature_k1_k2", index=1),
    ],
    "wrong": [ProcessingStep(function="guess")],
    "short": [ProcessingStep(function="scale", parameter="reflectance_scale", index=7)],
}


@pytest.fixture
def scene(write_tiff: WriteTiff, images: Images) -> Image:
    """Two bands with processing levels, and one without; 9 is nodata."""
    pixels = numbers("uint16", 3, 6, 8)
    pixels[:, 0, :3] = 9
    bands = [
        GenericBand(
            name="x", vendor_order=2, data_range=(0, 200), display_range=(0, 100), processing_levels=LEVELS, nodata=9
        ),
        GenericBand(name="y", data_range=(0, 200), physical_range=(0, 2), nodata=9),
        ClassBand(name="kind", nodata=9),
    ]
    return images(
        {write_tiff("a.tif", pixels, nodata=9): "x y kind"},
        bands,
        reflectance_gain_bias=[(9, 9), (0.1, -1)],
        reflectance_scale=[0.25],
        brightness_temperature_k1_k2=[(1, 1), (774.9, 1321.1)],
    )


def test_a_processing_level_computes_what_the_pixels_mean(scene: Image) -> None:
    stored = scene.ndarray("x", processing_level="DN")
    assert stored.dtype == "uint16"
    plain = stored.data.astype(float)
    for level in (None, "default", "toa"):
        found = scene.ndarray("x", processing_level=level)
        assert found.dtype == "float64"
        same(found, plain * 0.1 - 1, ~stored.mask)
    scaled = scene.ndarray("x", processing_level="scaled")
    assert scaled.dtype == "float32"
    same(scaled, plain * 0.25, ~stored.mask)
    same(
        scene.ndarray("x", processing_level="temperature"), 1321.1 / np.log(774.9 / (plain * 0.5 + 1) + 1), ~stored.mask
    )
    assert scene.ndarray("y").dtype == "uint16"
    both = scene.ndarray("x kind", processing_level="toa")
    np.testing.assert_array_equal(both[1], scene.ndarray("kind")[0])


def test_scaling_takes_the_ranges_of_the_processing_level(scene: Image) -> None:
    stored = scene.ndarray("x", processing_level="DN")
    array = scene.ndarray("x", processing_level="scaled", scaling="display")
    assert array.dtype == "uint8"
    expected = np.floor(np.clip(stored.data * 0.25 * 255 / 20, 0, 255) + 0.5)
    same(array, expected, ~stored.mask)


@pytest.mark.parametrize(
    ("level", "message"),
    [
        ("surface", "Unknown processing_level 'surface' for band 'x'; it has default, toa"),
        ("wrong", "processing function 'guess', which is none of gain_bias, scale, brightness_temperature"),
        ("short", "takes number 7 of the image's reflectance_scale"),
    ],
)
def test_a_processing_level_that_cannot_be_is_refused(scene: Image, level: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        scene.ndarray("x", processing_level=level)


def test_each_mode_scales_what_is_valid(scene: Image) -> None:
    stored = scene.ndarray("y")
    plain, valid = stored.data.astype(float), ~stored.mask
    low, high = stored.min(), stored.max()
    same(scene.ndarray("y", scaling="raw"), stored.data, valid)
    auto = scene.ndarray("y", scaling="auto")
    assert (auto.min(), auto.max(), auto.dtype) == (0, 255, "uint8")
    assert not auto.data[~valid].any()
    same(auto, np.floor((plain - low) * 255 / (high - low) + 0.5), valid)
    same(scene.ndarray("y", scaling="display"), np.floor(plain * 255 / 200 + 0.5), valid)
    physical = scene.ndarray("y", scaling="physical")
    assert physical.dtype == "float64"
    same(physical, plain / 100, valid)
    same(scene.ndarray("y", scaling=[(50, 100)]), np.floor(np.clip((plain - 50) * 255 / 50, 0, 255) + 0.5), valid)
    same(scene.ndarray("y", scaling=[("25%", "50%", 0, 10.0)]), (plain - 50) * 10 / 50, valid)
    same(scene.ndarray("y", data_type="Byte"), stored.data, valid)
    mixed = scene.ndarray("kind y", scaling={"default_": "display"})
    assert mixed.dtype == "uint8"
    np.testing.assert_array_equal(mixed[0], scene.ndarray("kind")[0])


# --- xarray

rioxarrays_affine = pytest.mark.filterwarnings("ignore:Use `@` matmul:PendingDeprecationWarning")


@rioxarrays_affine
def test_an_xarray_result_knows_its_place(write_tiff: WriteTiff, images: Images) -> None:
    import rioxarray  # noqa: F401 - makes .rio

    pixels = numbers("int16", 2, 6, 8)
    pixels[0, 2] = -9
    path = write_tiff("a.tif", pixels, nodata=-9)
    array, info = images({path: "x y"}).ndarray("x y", xarray=True, raster_info=True)
    assert array.dims == ("band", "y", "x")
    assert list(array.band.values) == ["x", "y"]
    assert array.rio.crs == rasterio.crs.CRS.from_epsg(32633)
    assert array.rio.transform() == CORNER
    assert (array.x.values[0], array.y.values[-1]) == (500_005, 4_999_945)
    np.testing.assert_array_equal(array.fillna(-9), pixels)
    assert info["size"] == [8, 6]
    assert images({path: "x y"}).ndarray("x y", xarray=True, bands_axis=-1).dims == ("y", "x", "band")


INTEGERS = [member.numpy for member in DataType if not member.value.startswith("Float")]


@rioxarrays_affine
@pytest.mark.parametrize("dtype", INTEGERS)
def test_masked_integers_in_xarray_are_what_rioxarray_makes_of_them(
    write_tiff: WriteTiff, images: Images, tmp_path: Path, dtype: str
) -> None:
    import rioxarray

    pixels = numbers(dtype, 2, 6, 8)
    pixels[0, 2] = 99
    path = write_tiff("a.tif", pixels, nodata=99)
    image = images({path: "x y"})
    array = image.ndarray("x y", xarray=True)
    opened: Any = rioxarray.open_rasterio(path, masked=True)
    with opened:
        np.testing.assert_array_equal(array.values, opened.values)
        assert array.dtype == opened.dtype
        assert array.encoding["dtype"] == opened.encoding["dtype"] == dtype
        assert array.encoding["_FillValue"] == opened.encoding["_FillValue"] == 99
        assert "_FillValue" not in array.attrs
        assert np.isnan(array.rio.nodata)
    assert float(array.mean()) == pytest.approx(float(np.ma.masked_equal(pixels, 99).mean()))
    array.rio.to_raster(tmp_path / "again.tif", dtype=dtype)
    with rasterio.open(tmp_path / "again.tif") as again:
        assert again.nodata == 99
        np.testing.assert_array_equal(again.read(), pixels)
    plain = image.ndarray("x y", xarray=True, mask_nodata=False)
    assert (plain.dtype, plain.attrs["_FillValue"], plain.encoding) == (dtype, 99, {})
    np.testing.assert_array_equal(plain.values, pixels)
    whole = np.where(pixels == 99, pixels[0, 0, 0], pixels)
    assert images(write_tiff("b.tif", whole, nodata=99)).ndarray("b", xarray=True).dtype == dtype


def test_masked_pixels_in_xarray_are_nan_or_a_value_that_no_other_pixel_has(
    write_tiff: WriteTiff, images: Images
) -> None:
    mask = np.ones((16, 16), bool)
    mask[3:5] = False
    floats = numbers("float32", 1, 16, 16)
    array = images(write_tiff("f.tif", floats, mask=mask)).ndarray("b", xarray=True)
    np.testing.assert_array_equal(np.isnan(array.values[0]), ~mask)
    assert (np.isnan(array.attrs["_FillValue"]), array.encoding) == (True, {})
    taken = np.arange(256, dtype="uint8").reshape(1, 16, 16)
    taken[taken == 77] = 78
    full = images(write_tiff("u.tif", taken, mask=mask))
    array = full.ndarray("b", xarray=True)
    np.testing.assert_array_equal(np.isnan(array.values[0]), ~mask)
    stored = array.fillna(array.encoding["_FillValue"]).astype(array.encoding["dtype"])
    np.testing.assert_array_equal(stored.values[0] == array.encoding["_FillValue"], ~mask)
    assert "_FillValue" not in full.ndarray("b", xarray=True, mask_nodata=False).attrs
    every = np.concatenate([np.arange(256), np.arange(256)]).astype("uint8").reshape(1, 32, 16)
    wide = np.ones((32, 16), bool)
    wide[0] = False
    array = images(write_tiff("e.tif", every, mask=wide)).ndarray("b", xarray=True)
    np.testing.assert_array_equal(np.isnan(array.values[0]), ~wide)
    assert (np.isnan(array.attrs["_FillValue"]), array.encoding) == (True, {})


@rioxarrays_affine
def test_a_rotated_xarray_result_has_its_transform(write_tiff: WriteTiff, images: Images) -> None:
    import rioxarray  # noqa: F401 - makes .rio

    array = images(write_tiff("a.tif", numbers("uint8", 1, 6, 8), transform=ROTATED)).ndarray("b", xarray=True)
    assert "x" not in array.coords
    assert array.rio.transform() == ROTATED


# --- Downloads


@pytest.mark.parametrize("kind", ["nodata", "mask", "plain"])
def test_a_downloaded_geotiff_has_the_same_pixels_and_place(
    write_tiff: WriteTiff, images: Images, tmp_path: Path, kind: str
) -> None:
    pixels, mask = numbers("int16", 2, 30, 40), np.ones((30, 40), bool)
    mask[4:9] = False
    options: dict[str, Any] = {"nodata": 5} if kind == "nodata" else {"mask": mask} if kind == "mask" else {}
    image = images({write_tiff("a.tif", pixels, **options): "x y"})
    path = image.download("y x", dest=tmp_path / "new" / "folder" / "out.tif")
    assert path == tmp_path / "new" / "folder" / "out.tif"
    with rasterio.open(path) as file:
        assert file.transform == CORNER
        assert file.crs == rasterio.crs.CRS.from_string(UTM)
        assert file.descriptions == ("y", "x")
        assert file.nodata == options.get("nodata")
        found = file.read(masked=True)
    expected = image.ndarray("y x")
    np.testing.assert_array_equal(np.ma.getmaskarray(found), np.ma.getmaskarray(expected))
    np.testing.assert_array_equal(found.compressed(), expected.compressed())
    assert [each.name for each in path.parent.iterdir()] == ["out.tif"]


def test_valid_pixels_of_a_download_do_not_become_nodata(write_tiff: WriteTiff, images: Images, tmp_path: Path) -> None:
    stored = np.array([[[0, 0.3], [5, -7]]], "float32")
    image = images(write_tiff("a.tif", stored, nodata=0))
    with rasterio.open(image.download("b", dest=tmp_path / "out.tif", data_type="Byte")) as file:
        found = file.read(masked=True)
    np.testing.assert_array_equal(np.ma.getmaskarray(found), [[[True, False], [False, False]]])
    np.testing.assert_array_equal(found.compressed(), [0, 5, 0])
    for nodata in (5, 0.3):
        with pytest.raises(ValueError, match="nodata value that no valid pixel has"):
            image.download("b", dest=tmp_path / "wrong.tif", nodata=float(np.float32(nodata)))
    assert not (tmp_path / "wrong.tif").exists()


def test_the_nodata_of_a_download_marks_masked_pixels(write_tiff: WriteTiff, images: Images, tmp_path: Path) -> None:
    mask = np.ones((6, 8), bool)
    mask[2] = False
    image = images(write_tiff("a.tif", numbers("int16", 1, 6, 8), mask=mask))
    with rasterio.open(image.download("b", dest=tmp_path / "out.tiff", nodata=-7)) as file:
        assert file.nodata == -7
        np.testing.assert_array_equal(file.read(1) == -7, ~mask)
    with pytest.raises(ValueError, match=r"nodata value that Int16 can hold, found 1\.5"):
        image.download("b", dest=tmp_path / "wrong.tif", nodata=1.5)
    assert not (tmp_path / "wrong.tif").exists()


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_pictures_show_what_is_displayed(write_tiff: WriteTiff, images: Images, tmp_path: Path) -> None:
    pixels, mask = numbers("uint8", 3, 32, 48), np.ones((32, 48), bool)
    pixels[:] = pixels[:, :1, :1]
    mask[4:20] = False
    image = images({write_tiff("a.tif", pixels, mask=mask): "r g b"})
    with rasterio.open(image.download("r g b", dest=tmp_path / "out.png"), driver="PNG") as file:
        assert file.count == 4
        np.testing.assert_array_equal(file.read(4) == 255, mask)
        np.testing.assert_array_equal(file.read([1, 2, 3])[:, mask], pixels[:, mask])
    with rasterio.open(image.download("r", dest=tmp_path / "one.jpeg"), driver="JPEG") as file:
        assert file.count == 1
        assert np.abs(file.read(1)[24:].astype(int) - pixels[0, 24:]).max() < 4
        assert file.read(1)[8:16].max() < 4
    assert sorted(each.name for each in tmp_path.iterdir()) == ["a.tif", "one.jpeg", "out.png"]


def test_the_name_of_a_download(
    write_tiff: WriteTiff, images: Images, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = images({write_tiff("a.tif", numbers("uint8", 2, 6, 8)): "x y"}, product_id="team:p")
    monkeypatch.chdir(tmp_path)
    assert image.download("x y") == Path("team_p_i-x-y.tif")
    assert image.download(["y"], format="png") == Path("team_p_i-y.png")
    assert image.download("y", format="png", dest="other.tif") == Path("other.tif")
    with rasterio.open("other.tif") as file:
        assert file.driver == "GTiff"
    for wrong in ({"format": "bmp"}, {"dest": "a.bmp"}):
        with pytest.raises(ValueError, match=r"expected one of tif, png, jpg, found 'bmp'"):
            image.download("x", **wrong)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"path of a file ending in .tif, .png, .jpg, found 'a'"):
        image.download("x", dest="a")


@pytest.mark.parametrize(
    ("bands", "name", "message"),
    [
        ("x", "out.png", "holds values of the type Byte or UInt16, found Float32; scale them with scaling='display'"),
        ("x", "out.jpg", "holds values of the type Byte, found Float32"),
    ],
)
def test_what_a_picture_cannot_hold_is_refused_and_leaves_no_file(
    write_tiff: WriteTiff, images: Images, tmp_path: Path, bands: str, name: str, message: str
) -> None:
    image = images({write_tiff("a.tif", numbers("float32", 1, 6, 8)): "x"})
    with pytest.raises(ValueError, match=message):
        image.download(bands, dest=tmp_path / name)
    with pytest.raises(ValueError, match="holds 1 or 3 bands, found 2"):
        image.download("x x", dest=tmp_path / "out.jpg", data_type="Byte")
    assert [each.name for each in tmp_path.iterdir()] == ["a.tif"]


def test_a_download_that_fails_leaves_what_was_there(
    write_tiff: WriteTiff, images: Images, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = images(write_tiff("a.tif", numbers("uint8", 1, 6, 8)))
    target = tmp_path / "out.tif"
    target.write_text("what was there")

    def full(*_: Any) -> None:
        raise OSError("No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(OSError, match="No space"):
        image.download("b", dest=target)
    assert target.read_text() == "what was there"
    assert sorted(each.name for each in tmp_path.iterdir()) == ["a.tif", "out.tif"]


# --- What cannot be read


def test_pixels_that_are_gone_are_not_found(tmp_path: Path, images: Images) -> None:
    image = images(
        tmp_path / "gone.tif", assets={"proj:code": UTM, "proj:transform": [1, 0, 0, 0, -1, 0], "proj:shape": [2, 2]}
    )
    with pytest.raises(NotFoundError, match=r"pixels of image 'p:i' are no longer at .*gone.tif.*Reload"):
        image.ndarray("b")


def test_a_file_that_refers_to_others_is_not_opened(write_tiff: WriteTiff, tmp_path: Path, images: Images) -> None:
    path = write_tiff("a.tif", numbers("uint8", 1, 4, 5))
    with rasterio.open(path) as file, WarpedVRT(file) as view:
        copy(view, tmp_path / "other.vrt", driver="VRT")
    (tmp_path / "other.vrt").rename(tmp_path / "other.tif")
    with pytest.raises(ClientError, match="cannot be read"):
        images(tmp_path / "other.tif").ndarray("b")


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_a_file_that_has_no_place_is_refused(write_tiff: WriteTiff, images: Images) -> None:
    path = write_tiff("a.tif", numbers("uint8", 1, 4, 5), crs=None, transform=None)
    with pytest.raises(ClientError, match="does not say where its pixels lie"):
        images(path).ndarray("b")


def test_an_image_without_pixels_says_so(images: Images) -> None:
    image = images({})
    with pytest.raises(ValueError, match="has no pixels in the catalog"):
        image.ndarray("b")
    with pytest.raises(UnsavedObjectError, match="'p:new' is not in the catalog"):
        Image(images.client, product_id="p", name="new").ndarray("b")


@pytest.mark.parametrize(
    ("module", "options", "message"),
    [
        ("rasterio", {}, r"pip install 'stac-ingest\[raster\]'"),
        ("xarray", {"xarray": True}, r"pip install 'stac-ingest\[xarray\]'"),
    ],
)
def test_a_library_that_is_missing_is_named(
    write_tiff: WriteTiff,
    images: Images,
    monkeypatch: pytest.MonkeyPatch,
    module: str,
    options: dict[str, Any],
    message: str,
) -> None:
    place = {"proj:code": UTM, "proj:transform": list(CORNER)[:6], "proj:shape": [4, 5]}
    image = images(write_tiff("a.tif", numbers("uint8", 1, 4, 5)), assets=place)
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(StacIngestError, match=message):
        image.ndarray("b", **options)


# --- Over HTTP


@pytest.mark.parametrize(
    "href",
    [
        "file:///etc/hostname",
        "/etc/hostname",
        "image.tif",
        "/vsicurl/http://127.0.0.1:1/x.tif",
        "/vsicurl?header_file=/etc/hostname&url=http://127.0.0.1:1/x.tif",
        "zip+https://127.0.0.1:1/x.zip!a.tif",
        "vrt://http://127.0.0.1:1/x.tif",
        "",
    ],
)
def test_an_item_does_not_choose_which_files_are_opened_here(href: str, write_tiff: WriteTiff, images: Images) -> None:
    image = images(write_tiff("a.tif", numbers("uint8", 1, 4, 5)))
    image.item["assets"]["a0"]["href"] = href
    for read in (image.ndarray, image.download):
        with pytest.raises(ClientError, match=r"expected an address that begins with http://, https://"):
            read("b")


@pytest.fixture
def served(tmp_path: Path) -> Iterator[tuple[str, list[int]]]:
    """Address of a server of the test's folder, and how many bytes each of its answers had."""
    sent: list[int] = []
    handler = type("Handler", (Ranges,), {"folder": tmp_path, "sent": sent})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}", sent
        server.shutdown()


def test_only_the_blocks_that_are_asked_for_travel(
    write_tiff: WriteTiff, noise: Noise, images: Images, tmp_path: Path, served: tuple[str, list[int]]
) -> None:
    address, sent = served
    pixels = noise("uint16", 1, 2048, 2048)
    copy(write_tiff("a.tif", pixels), tmp_path / "cog.tif", driver="COG", compress="NONE", blocksize=256)
    size = (tmp_path / "cog.tif").stat().st_size
    image = images(Path("cog.tif"))
    image.item["assets"]["a0"]["href"] = f"{address}/cog.tif"
    part = GeoContext(bounds=(500_300, 4_999_000, 501_000, 4_999_700), bounds_crs=UTM)
    np.testing.assert_array_equal(image.ndarray("b", part).data, pixels[:, 30:100, 30:100])
    assert 0 < sum(sent) < size / 20
    sent.clear()
    assert image.ndarray("b", resolution=80).shape == (1, 256, 256)
    assert 0 < sum(sent) < size / 20
    image.item["assets"]["a0"]["href"] = f"{address}/gone.tif"
    with pytest.raises(NotFoundError, match="no longer at"):
        image.ndarray("b")


def test_several_files_are_read_at_the_same_time(
    write_tiff: WriteTiff, images: Images, monkeypatch: pytest.MonkeyPatch
) -> None:
    together = threading.Barrier(3, timeout=20)

    def waiting(*args: Any, **kwargs: Any) -> Any:
        together.wait()
        return read_block(*args, **kwargs)

    monkeypatch.setattr("stac_ingest.client.reading.request.read_block", waiting)
    planes = {name: numbers("uint8", 1, 5, 6, seed=seed) for seed, name in enumerate("xyz")}
    image = images({write_tiff(f"{name}.tif", plane): name for name, plane in planes.items()})
    np.testing.assert_array_equal(image.ndarray("x y z").data, np.concatenate(list(planes.values())))
