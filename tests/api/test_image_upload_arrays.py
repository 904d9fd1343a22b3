"""Uploading arrays of all kinds by the SDK against a running service; the oracle is the array itself."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
import pytest
import rasterio
import rioxarray
import xarray as xr
from affine import Affine
from rasterio.crs import CRS
from rasterio.transform import from_origin

from stac_ingest import (
    DataType,
    Image,
    ImageUploadStatus,
    SpectralBand,
)
from stac_ingest.client.connection import Client
from stac_ingest.client.uploading.uploads import ImageUploadCollection, upload_images
from stac_ingest.errors import ValidationError
from tests.api.images import (
    DAY,
    META,
    NOISE,
    TRANSFORM,
    array_done,
    new,
    read,
    stored,
    uploads_of,
)
from tests.conftest import GeotiffMaker, ProductMaker

# --- Arrays


def test_arrays_of_every_layout_round_trip(make_product: ProductMaker, tmp_path: Path) -> None:
    product = make_product("red", "green", "blue")
    np.save(tmp_path / "mapped.npy", NOISE)
    frozen = NOISE.copy()
    frozen.flags.writeable = False
    arrays = {
        "plain": NOISE,
        "fortran": np.asfortranarray(NOISE),
        "big-endian": NOISE.astype(">u2"),
        "read-only": frozen,
        "strided": np.repeat(NOISE, 2, axis=2)[:, :, ::2],
        "bands-last": np.moveaxis(np.ascontiguousarray(np.moveaxis(NOISE, 0, -1)), -1, 0),
        "mapped": np.load(tmp_path / "mapped.npy", mmap_mode="r"),
    }
    images = [new(product, name) for name in arrays]
    uploads = upload_images(zip(images, arrays.values(), strict=True), progress=False, raster_meta=META)
    uploads.wait_for_completion(60, progress=False)
    uploads.raise_for_status()
    for image in images:
        np.testing.assert_array_equal(read(image).filled(0), NOISE, image.name)


def test_several_arrays_are_several_files_and_are_left_as_they_were(make_product: ProductMaker) -> None:
    product = make_product("red", "green")
    SpectralBand(product=product, name="nir", file_index=1).save()
    given = [NOISE[:2], NOISE[2]]
    for name, arrays in (("list", given), ("tuple", tuple(given)), ("generator", (array for array in given))):
        image = new(product, name)
        array_done(image, arrays)
        np.testing.assert_array_equal(read(image).filled(0), NOISE[:2])
        np.testing.assert_array_equal(read(image, "nir").filled(0), NOISE[2:])
    assert [array.shape for array in given] == [(2, 60, 80), (60, 80)]


def test_masks_are_kept(make_product: ProductMaker) -> None:
    product = make_product("red", "green", "blue")
    alike = np.broadcast_to(NOISE[0] % 3 == 0, NOISE.shape)
    each = NOISE % 5 == 0
    none = np.zeros(NOISE.shape, bool)
    for name, mask in (("alike", alike), ("each", each), ("none", none), ("all", ~none)):
        image = new(product, name)
        upload = image.upload_ndarray(np.ma.MaskedArray(NOISE, mask), raster_meta=META)
        upload.wait_for_completion(60)
        upload.raise_for_status()
        found = read(image)
        np.testing.assert_array_equal(np.ma.getmaskarray(found), mask, name)
        np.testing.assert_array_equal(found.filled(0), np.ma.MaskedArray(NOISE, mask).filled(0), name)


def test_nan_has_no_value(client: Client, make_product: ProductMaker) -> None:
    heights = NOISE[:2].astype("float32")
    heights[0, 3:9, 4:30] = np.nan
    heights[1, 20:, :] = np.nan
    gaps = np.isnan(heights)
    undeclared = make_product("low", "high", data_type=DataType.FLOAT32)
    declared = make_product(data_type=None)
    for name in ("low", "high"):
        SpectralBand(client, product=declared, name=name, data_type=DataType.FLOAT32, nodata=-9999).save()
    masked = np.ma.MaskedArray(heights, np.broadcast_to(NOISE[0] % 7 == 0, heights.shape))
    for product, nodata in ((undeclared, np.nan), (declared, -9999.0)):
        for name, array, invalid in (("nan", heights, gaps), ("masked", masked, gaps | masked.mask)):
            image = new(product, name)
            array_done(image, array)
            with stored(image) as cog:
                np.testing.assert_equal(cog.nodata, nodata)
                found = cog.read(masked=True)
            np.testing.assert_array_equal(np.ma.getmaskarray(found), invalid)
            np.testing.assert_array_equal(found.filled(0), np.where(invalid, 0, heights))
    assert np.isnan(heights).sum() == gaps.sum(), "what was given is as it was"


def test_a_round_trip_of_an_image_of_the_catalog_keeps_pixels_mask_and_place(make_product: ProductMaker) -> None:
    product = make_product("red", "green", "blue")
    first, second = new(product, "first"), new(product, "second")
    array_done(first, np.ma.MaskedArray(NOISE, np.broadcast_to(NOISE[0] % 3 == 0, NOISE.shape)))
    array, meta = first.ndarray(["red", "green", "blue"], raster_info=True)
    array_done(second, array, meta)
    with stored(first) as one, stored(second) as other:
        assert (one.transform, one.crs) == (other.transform, other.crs)
        np.testing.assert_array_equal(one.read(), other.read())
        np.testing.assert_array_equal(one.read_masks(), other.read_masks())


def test_places_as_rasterio_and_gdal_say_them(make_product: ProductMaker, make_geotiff: GeotiffMaker) -> None:
    rotated = TRANSFORM @ Affine.rotation(30)
    path = make_geotiff(transform=rotated)
    with rasterio.open(path) as source:
        pixels = source.read()
        metas = {
            "dataset": source,
            "profile": source.profile,
            "meta": source.meta,
            "six": {"transform": tuple(source.transform)[:6], "crs": 32633},
            "nine": {"transform": list(source.transform), "crs": 32633},
            "gdalinfo": json.loads(
                json.dumps(
                    {
                        "geoTransform": source.transform.to_gdal(),
                        "coordinateSystem": {"wkt": source.crs.to_wkt(), "dataAxisToSRSAxisMapping": [1, 2]},
                    }
                )
            ),
        }
        product = make_product("blue")
        images = {name: new(product, name) for name in metas}
        uploads = ImageUploadCollection(
            image.upload_ndarray(pixels, raster_meta=metas[name]) for name, image in images.items()
        )
    uploads.wait_for_completion(60, progress=False)
    uploads.raise_for_status()
    for name, image in images.items():
        with stored(image, "blue") as cog:
            assert cog.transform.almost_equals(rotated), name
            assert cog.crs == CRS.from_epsg(32633), name


def test_what_the_image_says_of_its_place_wins(make_product: ProductMaker) -> None:
    moved = from_origin(600_000, 5_000_000, 20, 20)
    image = new(make_product("blue"), geotrans=moved.to_gdal(), cs_code="EPSG:32632")
    array_done(image, NOISE[0])
    with stored(image, "blue") as cog:
        assert (cog.transform, cog.crs) == (moved, CRS.from_epsg(32632))


def test_a_place_that_is_not_known(make_product: ProductMaker, http: httpx2.Client) -> None:
    product = make_product("blue")
    with pytest.raises(ValueError, match="geotrans field or raster_meta parameter is required"):
        new(product).upload_ndarray(NOISE[0])
    with pytest.raises(ValueError, match="cs_code or projection field or raster_meta parameter is required"):
        new(product, geotrans=TRANSFORM.to_gdal()).upload_ndarray(NOISE[0])
    with pytest.raises(ValueError, match="raster_meta says no coordinate system: expected coordinateSystem or crs"):
        new(product).upload_ndarray(NOISE[0], raster_meta={"geoTransform": TRANSFORM.to_gdal(), "coordinateSystem": {}})
    with pytest.raises(ValueError, match="raster_meta says no geotransform: expected geoTransform or transform in it,"):
        new(product).upload_ndarray(NOISE[0], raster_meta={"crs": 32633})
    both = new(product, cs_code="EPSG:32633", projection="+proj=utm +zone=33")
    with (
        pytest.warns(FutureWarning, match="Only one of cs_code and projection fields permitted"),
        pytest.raises(ValueError, match="geotrans"),
    ):
        both.upload_ndarray(NOISE[0])
    assert uploads_of(http, product) == []


def test_a_failed_upload_leaves_nothing_of_its_place_on_the_image(make_product: ProductMaker) -> None:
    image = new(make_product("blue"))
    nowhere = META | {"coordinateSystem": {"wkt": "nonsense"}}
    upload = image.upload_ndarray(NOISE[0], raster_meta=nowhere)
    upload.wait_for_completion(60)
    assert upload.status is ImageUploadStatus.FAILURE
    assert (image.geotrans, image.cs_code, image.projection) == (None, None, None)


# --- What is known before a byte is sent


@pytest.mark.parametrize(
    ("pixels", "overviews", "code", "reason"),
    [
        (NOISE[:2].astype("int64"), None, "DATA_TYPE_MISMATCH", r"Expected UInt16.*found Int64.*astype\('uint16'\)"),
        (NOISE[:2] / 3, None, "DATA_TYPE_MISMATCH", "found Float64.*round the pixels, and mask NaN before"),
        (NOISE[:2].astype(">i4"), None, "DATA_TYPE_MISMATCH", "found Int32"),
        (NOISE, None, "BAND_COUNT_MISMATCH", r"Expected 2 band\(s\).*\(red, green\), found 3"),
        (NOISE[0], None, "BAND_COUNT_MISMATCH", "found 1"),
        ([NOISE[:2], NOISE[2]], None, "FILE_COUNT_MISMATCH", r"Expected 1 file\(s\).*found 2.*numpy\.stack"),
        (NOISE[:2], [2, 81], "INVALID_OVERVIEWS", "at most 80.*found 81"),
        (np.ma.masked_less(NOISE[0], 9), None, "BAND_COUNT_MISMATCH", "found 1"),
    ],
    ids=["int64", "floats", "big-endian", "too many bands", "2-d", "too many arrays", "overviews", "masked"],
)
def test_what_cannot_fit_is_refused_before_a_byte_is_sent(
    make_product: ProductMaker, http: httpx2.Client, pixels: Any, overviews: Any, code: str, reason: str
) -> None:
    product = make_product("red", "green")
    with pytest.raises(ValidationError, match=reason) as caught:
        new(product).upload_ndarray(pixels, raster_meta=META, overviews=overviews)
    assert caught.value.code == code
    assert uploads_of(http, product) == []


def test_overviews_as_large_as_the_image_are_possible(make_product: ProductMaker) -> None:
    image = new(make_product("blue"))
    array_done(image, NOISE[0], overviews=[2, 80])
    with stored(image, "blue") as cog:
        assert cog.overviews(1) == [2, 80]


# --- xarray

pytestmark = pytest.mark.filterwarnings("ignore:Use `@` matmul:PendingDeprecationWarning")  # rioxarray's


def opened(path: Path, **options: Any) -> Any:
    return rioxarray.open_rasterio(path, **options)


def test_labelled_arrays_as_rioxarray_reads_them(
    client: Client, make_product: ProductMaker, make_geotiff: GeotiffMaker
) -> None:
    path = make_geotiff(count=2, size=(30, 50), nodata=7)
    with rasterio.open(path, "r+") as dataset:
        pixels = dataset.read()
        pixels[:, 4:8, 5:9] = 7
        dataset.write(pixels)
    counts = make_product("one", "two")
    floats = make_product("one", "two", data_type=DataType.FLOAT32)
    expected = np.ma.masked_equal(pixels, 7)
    with opened(path) as raw, opened(path, masked=True) as masked:
        arrays = {
            "raw": (counts, raw),
            "turned": (counts, raw.transpose("x", "band", "y")),
            "upside-down": (counts, raw.sortby("y")),
            "mirrored": (counts, raw.sortby("x", ascending=False)),
            "without-transform": (counts, raw.drop_vars("spatial_ref").assign_attrs(crs="EPSG:32633")),
            "masked": (floats, masked.astype("float32")),
            "in-time": (counts, raw.expand_dims("time")),
        }
        uploads = ImageUploadCollection(
            new(product, name).upload_ndarray(array) for name, (product, array) in arrays.items()
        )
    uploads.wait_for_completion(60, progress=False)
    uploads.raise_for_status()
    for upload in uploads:
        assert upload.image is not None
        with stored(upload.image) as cog, rasterio.open(path) as source:
            assert cog.transform == source.transform, upload.image.name
            assert cog.crs == source.crs
            found = cog.read(masked=True)
        np.testing.assert_array_equal(np.ma.getmaskarray(found), expected.mask, upload.image.name)
        np.testing.assert_array_equal(found.filled(0), expected.filled(0), upload.image.name)


def test_a_mask_survives_every_way_through_xarray(make_product: ProductMaker) -> None:
    product = make_product("red", "nir")
    pixels = np.ma.MaskedArray(NOISE[:2], NOISE[:2] % 4 == 0)
    first = new(product, "first")
    array_done(first, pixels)
    masked = first.ndarray("red nir", xarray=True)
    unmasked = first.ndarray("red nir", xarray=True, mask_nodata=False)
    arrays = {
        "as-it-is": masked,
        "dataset": masked.to_dataset(dim="band"),
        "unmasked": unmasked,
        "unmasked-dataset": unmasked.to_dataset(dim="band"),
        "computed": masked * 1,
        "where": unmasked.where(unmasked > 0),
        "two": xr.concat([masked.sel(band=name) for name in ("red", "nir")], "band"),
    }
    images = {name: new(product, name) for name in arrays}
    uploads = ImageUploadCollection(image.upload_ndarray(arrays[name]) for name, image in images.items())
    uploads.wait_for_completion(60, progress=False)
    uploads.raise_for_status()
    for name, image in images.items():
        found = image.ndarray("red nir")
        assert found.dtype == "uint16"
        np.testing.assert_array_equal(np.ma.getmaskarray(found), pixels.mask, name)
        np.testing.assert_array_equal(found.filled(0), pixels.filled(0), name)


def test_an_array_of_xarray_for_a_product_that_is_not_saved(client: Client) -> None:
    array = xr.DataArray(NOISE[0].astype("float32"), dims=("y", "x"))
    for pixels in (array, array.to_dataset(name="blue")):
        with pytest.raises(ValueError, match=r"Product nowhere has not been saved\. Please save before uploading"):
            Image(client, product_id="nowhere", name="a", acquired=DAY).upload_ndarray(pixels)


def test_a_slice_of_a_labelled_array_lies_where_it_was(make_product: ProductMaker, make_geotiff: GeotiffMaker) -> None:
    path = make_geotiff(size=(30, 50))
    image = new(make_product("blue"))
    with opened(path) as whole:
        array_done(image, whole.isel(x=slice(10, 30), y=slice(5, 25)), meta=None)
    with stored(image, "blue") as cog, rasterio.open(path) as source:
        assert cog.transform == source.transform @ Affine.translation(10, 5)
        np.testing.assert_array_equal(cog.read(), source.read()[:, 5:25, 10:30])


def test_a_dataset_is_taken_by_the_names_of_the_bands(make_product: ProductMaker) -> None:
    product = make_product("red", "green")
    SpectralBand(product=product, name="height", file_index=1, data_type=DataType.FLOAT32).save()
    axes = {"y": 4_999_995 - 10.0 * np.arange(60), "x": 500_005 + 10.0 * np.arange(80)}
    dataset = xr.Dataset(
        {
            "height": (("y", "x"), NOISE[2].astype("float32")),
            "green": (("y", "x"), NOISE[1]),
            "red": (("x", "y"), NOISE[0].T),
        },
        coords=axes,
    ).rio.write_crs(32633)
    image = new(product)
    array_done(image, dataset, meta=None)
    np.testing.assert_array_equal(read(image).filled(0), NOISE[:2])
    np.testing.assert_array_equal(read(image, "height").filled(0), NOISE[2:])
    with stored(image) as cog:
        assert (cog.transform, cog.crs) == (TRANSFORM, CRS.from_epsg(32633))
    with pytest.raises(ValueError, match="a variable for each band of the product \\(red, green, height\\), found red"):
        new(product, "b").upload_ndarray(dataset[["red"]])
