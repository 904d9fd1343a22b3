"""Pixels of many images: stacks and mosaics of images in a running service, compared with rasterio.merge and NumPy."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import pytest
import rasterio
from affine import Affine
from numpy.typing import NDArray
from rasterio.crs import CRS
from rasterio.merge import merge

from stac_ingest import Image, Product, SpectralBand
from stac_ingest.client.connection import Client
from stac_ingest.client.image_collection import ImageCollection
from stac_ingest.client.reading.geocontext import GeoContext
from stac_ingest.models.bands import GenericBand, MaskBand
from tests.conftest import Service
from tests.raster.images import Images

UTM = "EPSG:32633"
WEST, NORTH, SIDE = 500_000, 5_000_000, 10
PLACES = {"first": (0, 0, "2024-01-01"), "second": (20, 10, "2024-01-02"), "third": (-10, 25, "2024-01-01")}
"""Name of an image -> column and row where it begins, and when it was acquired."""
SHAPE = (40, 60)


def write(path: Path, pixels: NDArray[Any], column: int = 0, row: int = 0, **options: Any) -> Path:
    profile = {
        "driver": "GTiff",
        "count": len(pixels),
        "height": pixels.shape[1],
        "width": pixels.shape[2],
        "dtype": pixels.dtype.name,
        "crs": UTM,
        "transform": Affine(SIDE, 0, WEST + column * SIDE, 0, -SIDE, NORTH - row * SIDE),
    }
    with rasterio.open(path, "w", **{**profile, **options}) as file:
        file.write(pixels)
    return path


def pixels_of(seed: int, dtype: str = "uint16", bands: int = 2, shape: tuple[int, int] = SHAPE) -> NDArray[Any]:
    """Return random pixels, a third of them 0, which means nodata."""
    generator = np.random.default_rng(seed)
    pixels = generator.integers(1, 100, (bands, *shape))
    return np.where(generator.random(pixels.shape) < 0.3, 0, pixels).astype(dtype)


class Scenes:
    """Three overlapping images in the service, and the files that they were made of, in the order of PLACES."""

    def __init__(self, client: Client, folder: Path) -> None:
        self.product = Product(client, id=f"test:{uuid4().hex[:12]}", name="Scenes")
        self.product.save()
        for index, name in enumerate(("blue", "red")):
            SpectralBand(
                client,
                product=self.product,
                name=name,
                data_type="UInt16",
                nodata=0,
                band_index=index,
                data_range=(0, 100),
                display_range=(0, 50),
                physical_range=(0, 1),
            ).save()
        self.files = []
        uploads = []
        for seed, (name, (column, row, acquired)) in enumerate(PLACES.items()):
            path = write(folder / f"{name}.tif", pixels_of(seed), column, row, nodata=0)
            uploads.append(Image(product=self.product, name=name, acquired=acquired).upload(str(path)))
            self.files.append(path)
        for upload in uploads:
            upload.wait_for_completion(timeout=60)
        self.images = ImageCollection(Image.get(self.product.named_id(name), client) for name in PLACES)  # type: ignore[misc]

    def merged(self, *order: int, **options: Any) -> tuple[NDArray[Any], Affine]:
        """Return the mosaic of files as rasterio makes it, the last one on top."""
        paths = [self.files[index] for index in order or range(len(self.files))]
        array, transform = merge(paths, method="last", nodata=0, **options)
        return array, transform


@pytest.fixture(scope="module")
def scenes(service: Service, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scenes]:
    with Client(service.url) as client:
        yield Scenes(client, tmp_path_factory.mktemp("scenes"))


@pytest.fixture
def images() -> Images:
    return Images()


def same(array: Any, expected: NDArray[Any], nodata: float = 0) -> None:
    """Assert that a masked array has these values, and is masked where they are nodata."""
    assert isinstance(array, np.ma.MaskedArray)
    np.testing.assert_array_equal(np.ma.getmaskarray(array), expected == nodata)
    np.testing.assert_array_equal(array.filled(nodata), expected)


# --- Mosaics


def test_a_mosaic_has_the_last_image_on_top_and_nodata_lets_through(scenes: Scenes) -> None:
    expected, transform = scenes.merged()
    array, info = scenes.images.mosaic("blue red", raster_info=True)
    same(array, expected)
    assert info["geoTransform"] == list(transform.to_gdal())
    assert array.shape == (2, 65, 90)
    backwards = scenes.images[::-1].mosaic("blue red")
    same(backwards, scenes.merged(2, 1, 0)[0])
    assert (backwards.filled(0) != expected).any()


def test_a_mosaic_of_one_image_is_the_image(scenes: Scenes) -> None:
    image = scenes.images[1]
    np.testing.assert_array_equal(scenes.images[1:2].mosaic("red").filled(0), image.ndarray("red").filled(0))


def test_a_mosaic_is_read_where_it_is_asked(scenes: Scenes) -> None:
    bounds = (WEST + 100, NORTH - 500, WEST + 700, NORTH + 50)
    expected, _ = scenes.merged(bounds=bounds)
    same(scenes.images.mosaic("blue red", GeoContext(bounds=bounds, bounds_crs=UTM)), expected)
    coarse = scenes.images.mosaic("blue", GeoContext(bounds=bounds, bounds_crs=UTM), resolution=25)
    assert coarse.shape == (1, 22, 24)


def test_the_forms_of_a_mosaic(scenes: Scenes) -> None:
    usual = scenes.images.mosaic("blue red")
    for axis in range(-3, 3):
        np.testing.assert_array_equal(scenes.images.mosaic("blue red", bands_axis=axis), np.moveaxis(usual, 0, axis))
    plain = scenes.images.mosaic("blue red", mask_nodata=False)
    assert type(plain) is np.ndarray
    np.testing.assert_array_equal(plain, usual.filled(0))
    shown = scenes.images.mosaic("blue", scaling="display")
    assert shown.dtype == "uint8"
    expected = np.floor(np.clip(usual.data[:1] * 255.0 / 50, 0, 255) + 0.5)
    np.testing.assert_array_equal(shown.compressed(), expected[~usual.mask[:1]])
    labelled = scenes.images.mosaic("blue", xarray=True)
    np.testing.assert_array_equal(labelled.fillna(0), usual.filled(0)[:1])
    with pytest.raises(ValueError, match="axis 3 would not exist in a 3D array"):
        scenes.images.mosaic("blue", bands_axis=3)


# --- Stacks


def alone(scenes: Scenes, index: int) -> NDArray[Any]:
    """Return one image on the pixels of all of them, in plain NumPy."""
    column, row, _ = list(PLACES.values())[index]
    whole = np.zeros((2, 65, 90), "uint16")
    with rasterio.open(scenes.files[index]) as file:
        whole[:, row : row + SHAPE[0], column + 10 : column + 10 + SHAPE[1]] = file.read()
    return whole


def test_a_stack_has_each_image_on_the_same_pixels(scenes: Scenes) -> None:
    array, infos = scenes.images.stack("blue red", raster_info=True)
    same(array, np.stack([alone(scenes, index) for index in range(3)]))
    assert [info["id"] for info in infos] == list(scenes.images.each.id)
    assert all(info["geoTransform"] == [WEST - 100, SIDE, 0, NORTH, 0, -SIDE] for info in infos)
    assert array.fill_value == 0


def test_a_stack_equals_what_each_image_gives_on_the_same_context(scenes: Scenes) -> None:
    context = GeoContext(bounds=(15.0, 45.148, 15.006, 45.1535), crs="EPSG:3857", resolution=20)
    for how in ("near", "average"):
        stack = scenes.images.stack("red blue", context, resampler=how)
        for layer, image in zip(stack, scenes.images, strict=True):
            alone = image.ndarray("red blue", context, resampler=how)
            np.testing.assert_array_equal(layer.mask, alone.mask)
            np.testing.assert_array_equal(layer.compressed(), alone.compressed())


def test_flattened_groups_are_mosaics_in_the_order_of_groupby(scenes: Scenes) -> None:
    array, infos = scenes.images.stack("blue red", flatten="acquired.day", raster_info=True)
    same(array, np.stack([scenes.merged(0, 2, bounds=BOUNDS)[0], scenes.merged(1, bounds=BOUNDS)[0]]))
    assert [info["id"].rpartition(":")[2] for info in infos] == ["third", "second"]
    by_two = scenes.images.stack("blue", flatten=["acquired.year", lambda image: image.name < "second"])
    assert by_two.shape[0] == 2
    one = scenes.images.stack("blue red", flatten=lambda image: image.product_id)
    np.testing.assert_array_equal(one[0].filled(0), scenes.images.mosaic("blue red").filled(0))


BOUNDS = (WEST - 100, NORTH - 650, WEST + 800, NORTH)


def test_the_axis_of_the_bands_in_a_stack(scenes: Scenes) -> None:
    usual = scenes.images.stack("blue red")
    for axis in range(-4, 4):
        np.testing.assert_array_equal(
            scenes.images.stack("blue red", bands_axis=axis), np.moveaxis(usual, 1, axis), strict=True
        )
    for axis in (4, -5):
        with pytest.raises(ValueError, match=f"axis {axis} would not exist in a 4D array"):
            scenes.images.stack("blue red", bands_axis=axis)


def test_the_xarray_of_a_stack_has_images_and_times(scenes: Scenes) -> None:
    array = scenes.images.stack("blue red", xarray=True)
    assert array.dims == ("image", "band", "y", "x")
    assert list(array.image.values) == list(scenes.images.each.id)
    assert [str(moment)[:10] for moment in array.time.values] == ["2024-01-01", "2024-01-02", "2024-01-01"]
    np.testing.assert_array_equal(array.fillna(0), scenes.images.stack("blue red", mask_nodata=False))
    mean = np.ma.mean(scenes.images.stack("blue red"), axis=0)
    np.testing.assert_allclose(array.mean("image"), mean.filled(np.nan))
    assert scenes.images.stack("blue", xarray=True, mask_nodata=False).attrs["_FillValue"] == 0
    assert scenes.images.stack("blue", xarray=True, bands_axis=-1).dims == ("image", "y", "x", "band")


def test_stacks_are_read_at_the_same_time_by_several_threads(scenes: Scenes) -> None:
    expected = scenes.images.stack("blue red").filled(0)
    with ThreadPoolExecutor(6) as pool:
        found = list(pool.map(lambda _: scenes.images.stack("blue red").filled(0), range(6)))
    for one in found:
        np.testing.assert_array_equal(one, expected)


def test_many_images_come_in_their_order(images: Images, tmp_path: Path) -> None:
    made = [
        images(write(tmp_path / f"{index}.tif", np.full((1, 2, 2), index, "uint8")), name=f"i{index}")
        for index in range(40)
    ]
    stack = ImageCollection(made).stack("b")
    assert stack[:, 0, 0, 0].tolist() == list(range(40))
    assert ImageCollection(made).mosaic("b", progress=True).tolist() == [[[39, 39], [39, 39]]]


# --- Where they are read


def test_a_collection_knows_where_its_images_lie(scenes: Scenes) -> None:
    context = scenes.images.geocontext
    assert context is not None
    assert context.bounds == BOUNDS
    assert context.shape == (65, 90)
    assert context.grid.crs == CRS.from_string(UTM)
    same(scenes.images.mosaic("blue red", context), scenes.merged()[0])


def test_a_collection_is_read_at_its_own_context(scenes: Scenes) -> None:
    square = GeoContext(bounds=(15.001, 45.148, 15.003, 45.15)).__geo_interface__
    some = ImageCollection(scenes.images, geocontext=square)
    context = some.geocontext
    assert context is not None
    assert context.geometry is not None
    array = some.mosaic("blue")
    assert array.shape[1:] == context.shape
    np.testing.assert_array_equal(array, scenes.images.mosaic("blue", GeoContext(geometry=square)))
    assert some[1:].geocontext is not None
    finer = ImageCollection(scenes.images, geocontext=GeoContext(geometry=square, crs="EPSG:4326", resolution=0.0001))
    assert finer.mosaic("blue").shape == (1, 20, 20)


def test_what_a_search_collects_is_read_where_it_searched(scenes: Scenes) -> None:
    square = GeoContext(bounds=(15.0078, 45.152, 15.009, 45.1525)).__geo_interface__
    found = scenes.product.images().intersects(square).collect()
    assert [image.name for image in found] == ["second"]
    assert found.stack("blue").shape[0] == 1
    assert found.mosaic("blue").count() > 0


# --- Different products


def test_images_of_different_types_become_the_common_one(images: Images, tmp_path: Path) -> None:
    one, other = pixels_of(1, "uint16", 1), pixels_of(2, "int16", 1)
    some = ImageCollection(
        [
            images(write(tmp_path / "a.tif", one, nodata=0), product_id="p"),
            images(write(tmp_path / "b.tif", other, nodata=0), product_id="q"),
        ]
    )
    stack = some.stack("b")
    assert stack.dtype == some.mosaic("b").dtype == "int32"
    same(stack, np.stack([one.astype("int32"), other.astype("int32")]))
    same(some.mosaic("b"), np.where(other != 0, other, one).astype("int32"))
    with pytest.raises(ValueError, match="'p:i' has the bands b, not c"):
        some.stack("c")


def test_images_with_different_nodata_keep_their_masks(images: Images, tmp_path: Path) -> None:
    one, other = pixels_of(1, "uint8", 1), pixels_of(2, "uint8", 1)
    some = ImageCollection(
        [
            images(write(tmp_path / "a.tif", one, nodata=0), product_id="p"),
            images(
                write(tmp_path / "b.tif", np.where(other == 0, 255, other).astype("uint8"), nodata=255), product_id="q"
            ),
        ]
    )
    same(some.stack("b"), np.stack([one, other]))
    same(some.mosaic("b"), np.where(other != 0, other, one))
    labelled = some.stack("b", xarray=True)
    np.testing.assert_array_equal(labelled.isnull(), np.stack([one, other]) == 0)


def test_the_alpha_band_lets_the_image_below_show(images: Images, tmp_path: Path) -> None:
    alpha = np.ones((1, *SHAPE), "uint8")
    alpha[:, :20] = 0
    below, top = (np.full((1, *SHAPE), value, "uint8") for value in (7, 9))
    bands = [GenericBand(name="b"), MaskBand(name="alpha", file_index=1)]
    clear = write(tmp_path / "clear.tif", np.ones_like(alpha))
    some = ImageCollection(
        [
            images({write(tmp_path / "a.tif", below): "b", clear: "alpha"}, bands, name="a"),
            images({write(tmp_path / "b.tif", top): "b", write(tmp_path / "m.tif", alpha): "alpha"}, bands, name="b"),
        ]
    )
    np.testing.assert_array_equal(some.mosaic("b").filled(0), np.where(alpha == 0, below, top))
    np.testing.assert_array_equal(some.mosaic("b", mask_alpha=False).filled(0), top)
    stack = some.stack("b", mask_nodata=False)
    np.testing.assert_array_equal(np.ma.getmaskarray(stack)[1], alpha == 0)
    assert not stack[0].mask.any()
    without = images(write(tmp_path / "c.tif", below), product_id="q", name="c")
    assert not np.ma.getmaskarray(ImageCollection([some[1], without]).stack("b")).any()
    with pytest.raises(ValueError, match="no alpha band for the product 'q'"):
        ImageCollection([some[1], without]).stack("b", mask_alpha=True)


def test_products_with_different_ranges_are_scaled_apart_and_not_merged(images: Images, tmp_path: Path) -> None:
    path = write(tmp_path / "a.tif", pixels_of(1, "uint8", 1), nodata=0)
    ranges = [{"data_range": (0, 100), "physical_range": (0, top)} for top in (1, 2)]
    some = ImageCollection(
        images(path, [GenericBand(name="b", **each)], product_id=name) for name, each in zip("pq", ranges, strict=True)
    )
    stack = some.stack("b", scaling="physical")
    np.testing.assert_allclose(stack[1].compressed(), stack[0].compressed() * 2)
    with pytest.raises(ValueError, match=r"incompatible bands in the products p and q, whose ranges differ"):
        some.mosaic("b", scaling="physical")
    assert some.mosaic("b", scaling=[(0, 100)]).dtype == "uint8"


# --- Files


def test_every_image_is_downloaded(scenes: Scenes, tmp_path: Path) -> None:
    paths = scenes.images.download("blue red", dest=tmp_path / "new")
    prefix = scenes.product.id.replace(":", "_")
    assert paths == [tmp_path / "new" / f"{prefix}_{name}-blue-red.tif" for name in PLACES]
    for path, original in zip(paths, scenes.files, strict=True):
        with rasterio.open(path) as one, rasterio.open(original) as other:
            assert (one.transform, one.crs, one.nodata) == (other.transform, other.crs, 0)
            np.testing.assert_array_equal(one.read(), other.read())
    named = [tmp_path / f"{name}.png" for name in PLACES]
    assert scenes.images.download("blue", dest=named, scaling="display") == named
    assert all(path.stat().st_size for path in named)
    bounds = (WEST, NORTH - 200, WEST + 200, NORTH)
    with pytest.warns(UserWarning, match="the image '.*:third' do not touch"):
        parts = scenes.images.download("red", GeoContext(bounds=bounds, bounds_crs=UTM), dest=tmp_path / "part")
    for path in parts:
        with rasterio.open(path) as file:
            assert tuple(file.bounds) == bounds
    with pytest.raises(ValueError, match="a path for each of the 3 images, found 1"):
        scenes.images.download("blue", dest=["one.tif"])
    with pytest.raises(ValueError, match=r"expected one of tif, png, jpg, found 'gif'"):
        scenes.images.download("blue", dest=tmp_path, format="gif")


def test_the_mosaic_is_downloaded(scenes: Scenes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert scenes.images.download_mosaic("blue red") == Path("mosaic-blue-red.tif")
    expected, transform = scenes.merged()
    with rasterio.open("mosaic-blue-red.tif") as file:
        assert (file.transform, file.nodata, file.descriptions) == (transform, 0, ("blue", "red"))
        np.testing.assert_array_equal(file.read(), expected)
    assert scenes.images.download_mosaic("blue", dest=tmp_path / "x.jpg", scaling="auto").exists()


def test_an_array_of_xarray_is_uploaded_as_it_was_read(scenes: Scenes) -> None:
    read = scenes.images[0].ndarray("blue red", xarray=True)
    image = Image(product=scenes.product, name="again", acquired="2025-01-01")
    upload = image.upload_ndarray(read)
    upload.wait_for_completion(timeout=60)
    assert upload.status == "success"
    image.reload()
    assert image.geotrans == scenes.images[0].geotrans
    found = image.ndarray("blue red")
    np.testing.assert_array_equal(found.mask, scenes.images[0].ndarray("blue red").mask)
    assert (read.dtype, found.dtype) == ("float32", "uint16")
    np.testing.assert_array_equal(found.filled(0), read.fillna(0))
    image.delete()
