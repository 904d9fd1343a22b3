"""Where pixels lie, in every form in which libraries say it; the oracle is what rasterio and rioxarray understand."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pyproj
import pytest
import rioxarray  # noqa: F401 - gives xarray its accessor
import xarray as xr
from affine import Affine
from rasterio.crs import CRS
from rasterio.io import MemoryFile
from rasterio.transform import from_origin

from stac_ingest.client.uploading.georeference import combined, coordinate_system_of, georeference_of
from stac_ingest.client.uploading.labelled import labelled_array, labelled_files
from stac_ingest.client.uploading.layers import layers_of, place_of
from stac_ingest.models.bands import Layout, SpectralBand
from stac_ingest.models.image import Georeference, Image
from stac_ingest.raster.source import parse_crs

# rioxarray multiplies transforms as one did before affine 3.1.
pytestmark = pytest.mark.filterwarnings("ignore:Use `@` matmul:PendingDeprecationWarning")

ROTATED = Affine.translation(500_000, 5_000_000) @ Affine.rotation(30) @ Affine.scale(10, -20)
GDAL = ROTATED.to_gdal()
LAEA = "+proj=laea +lat_0=52 +lon_0=10 +x_0=4321000 +y_0=3210000 +ellps=GRS80 +units=m +no_defs"


@pytest.mark.parametrize(
    "meta",
    [
        {"geoTransform": GDAL},
        {"geoTransform": list(GDAL)},
        {"geotransform": GDAL},
        {"geotrans": GDAL},
        {"geoTransform": " ".join(map(str, GDAL))},
        {"geoTransform": np.array(GDAL)},
        {"transform": ROTATED},
        {"transform": tuple(ROTATED)},
        {"transform": list(ROTATED)[:6]},
        {"geoTransform": None, "transform": ROTATED},
    ],
    ids=lambda meta: str(meta)[:40],
)
def test_geotransforms_in_every_form(meta: dict[str, Any]) -> None:
    assert georeference_of(meta).geotrans == pytest.approx(GDAL)


def test_a_profile_a_meta_and_a_dataset_of_rasterio() -> None:
    settings = {"count": 1, "width": 2, "height": 2, "dtype": "uint8", "crs": 32633, "transform": ROTATED}
    with MemoryFile() as file, file.open(driver="GTiff", **settings) as dataset:
        for meta in (dataset, dataset.profile, dataset.meta):
            found = georeference_of(meta)
            assert found.geotrans == pytest.approx(GDAL)
            assert found.cs_code == "EPSG:32633"


SYSTEMS: dict[str, tuple[Any, Any]] = {
    "rasterio": (CRS.from_epsg(3035), 3035),
    "rasterio without a code": (CRS.from_proj4(LAEA), LAEA),
    "pyproj": (pyproj.CRS(3035), 3035),
    "pyproj, compound": (pyproj.CRS("EPSG:32633+5773"), "EPSG:32633+5773"),
    "number": (3035, 3035),
    "number of NumPy": (np.int32(3035), 3035),
    "number as text": ("3035", 3035),
    "code": ("EPSG:3035", 3035),
    "code in lower case": ("epsg:3035", 3035),
    "code of another authority": ("ESRI:54009", "ESRI:54009"),
    "code of OGC": ("OGC:CRS84", "OGC:CRS84"),
    "authority with a number": ("IAU_2015:30100", "IAU_2015:30100"),
    "urn": ("urn:ogc:def:crs:EPSG::3035", 3035),
    "url": ("http://www.opengis.net/def/crs/EPSG/0/3035", 3035),
    "WKT 1": (CRS.from_epsg(3035).to_wkt(), 3035),
    "WKT 1 of ESRI": (pyproj.CRS(32633).to_wkt("WKT1_ESRI"), 32633),
    "WKT 2": (pyproj.CRS(3035).to_wkt(), 3035),
    "PROJJSON": (pyproj.CRS(3035).to_json_dict(), 3035),
    "PROJJSON as text": (pyproj.CRS(3035).to_json(), 3035),
    "PROJ.4": (LAEA, LAEA),
    "PROJ.4 as dictionary": (CRS.from_proj4(LAEA).to_dict(), LAEA),
    "init as dictionary": ({"init": "epsg:3035"}, 3035),
}


@pytest.mark.parametrize("name", SYSTEMS)
def test_coordinate_systems_in_every_form_are_what_rasterio_takes_them_for(name: str) -> None:
    given, meant = SYSTEMS[name]
    found = coordinate_system_of(given)
    image = Image(product_id="p", name="a", **found)
    assert parse_crs(image.cs_code or image.projection) == CRS.from_user_input(meant)


def test_what_is_merely_alike_keeps_its_own_definition() -> None:
    alike = CRS.from_proj4(LAEA)
    assert alike.to_epsg() == 3035, "rasterio's usual confidence would take it for EPSG:3035, which has a datum"
    assert "cs_code" not in coordinate_system_of(alike)


@pytest.mark.parametrize(
    ("system", "expected"),
    [
        ({"epsg": 3035, "wkt": "WKT", "proj4": "+proj=x"}, {"cs_code": "EPSG:3035"}),
        ({"wkt": "WKT", "dataAxisToSRSAxisMapping": [1, 2], "proj4": "+proj=x"}, {"projection": "WKT"}),
        ({"projjson": {"type": "ProjectedCRS"}}, {"projection": '{"type": "ProjectedCRS"}'}),
        ({"type": "ProjectedCRS"}, {"projection": '{"type": "ProjectedCRS"}'}),
        ({"proj4": "+proj=x"}, {"projection": "+proj=x"}),
        ("EPSG:3035", {"cs_code": "EPSG:3035"}),
        ({"wkt": ""}, {}),
        ({}, {}),
        (None, {}),
    ],
)
def test_the_most_exact_of_several_definitions_is_taken(system: Any, expected: dict[str, str]) -> None:
    assert georeference_of({"coordinateSystem": system}) == Georeference(**expected)


@pytest.mark.parametrize(
    ("meta", "reason"),
    [
        ({"geoTransform": [1, 2, 3]}, "geotransform of 6 finite numbers"),
        ({"geoTransform": [1, 2, 3, 4, 5, float("nan")]}, "geotransform of 6 finite numbers"),
        ({"geoTransform": 5}, "geoTransform as 6 numbers"),
        ({"geoTransform": ["a"] * 6}, "geoTransform as 6 numbers"),
        ({"transform": [1, 0, 0, 0, 1, 0, 0, 0, 2]}, "geotransform of 6 finite numbers"),
        ({"transform": "north"}, "transform as 6 numbers"),
        ({"crs": 3.5}, "an EPSG code, WKT, PROJJSON"),
        ({"crs": True}, "an EPSG code, WKT, PROJJSON"),
        ({"crs": {}}, "an EPSG code, WKT, PROJJSON"),
        ({"crs": "  "}, "an EPSG code, WKT, PROJJSON"),
        (5, "raster_meta as a dictionary or an open rasterio dataset, found int"),
        ("EPSG:4326", "raster_meta as a dictionary"),
        (GDAL, "raster_meta as a dictionary"),
    ],
)
def test_what_is_no_place_is_named(meta: Any, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        georeference_of(meta)


def test_places_are_combined_part_by_part() -> None:
    own = Georeference(projection="+proj=x")
    meta = Georeference(geotrans=GDAL, cs_code="EPSG:1")
    assert combined(own, meta) == Georeference(geotrans=GDAL, projection="+proj=x")
    assert combined(Georeference(), meta, own) == meta
    assert combined() == Georeference()


# --- Labelled arrays


def labelled(*dims: str, height: int = 4, width: int = 6, **coordinates: Any) -> xr.DataArray:
    """Return a labelled array of 4 x 6 pixels of 10 x 20 m."""
    sizes = {"band": 2, "y": height, "x": width, "time": 1}
    axes = {"y": 5_000_000 - 10 - 20.0 * np.arange(height), "x": 500_000 + 5 + 10.0 * np.arange(width)}
    pixels = np.arange(np.prod([sizes[dim] for dim in dims])).reshape([sizes[dim] for dim in dims])
    coords = {dim: axes[dim] for dim in dims if dim in axes} | coordinates
    array: xr.DataArray = xr.DataArray(pixels.astype("float32"), dims=dims, coords=coords).rio.write_crs(32633)
    return array


PLACE = Georeference(geotrans=(500_000.0, 10.0, 0.0, 5_000_000.0, 0.0, -20.0))


@pytest.mark.parametrize("dims", [("y", "x"), ("band", "y", "x"), ("y", "x", "band"), ("x", "time", "y", "band")])
def test_dimensions_in_any_order(dims: tuple[str, ...]) -> None:
    array = labelled(*dims)
    found = labelled_array(array)
    expected = array.squeeze().transpose(*(["band"] if "band" in dims else []), "y", "x")
    np.testing.assert_array_equal(found.pixels, expected.values)
    assert found.place.geotrans == array.rio.transform().to_gdal() == PLACE.geotrans
    assert parse_crs(found.place.cs_code or found.place.projection) == CRS.from_epsg(32633)


@pytest.mark.parametrize("names", [("lat", "lon"), ("latitude", "longitude"), ("Y", "X"), ("northing", "easting")])
def test_dimensions_by_their_usual_names(names: tuple[str, str]) -> None:
    array = labelled("y", "x").rename(y=names[0], x=names[1])
    assert labelled_array(array).place.geotrans == PLACE.geotrans


def test_dimensions_by_what_their_coordinates_say() -> None:
    array = labelled("y", "x").rename(y="row", x="col")
    array["row"].attrs["axis"] = "Y"
    array["col"].attrs["standard_name"] = "projection_x_coordinate"
    assert labelled_array(array).place.geotrans == PLACE.geotrans


def test_rows_from_south_to_north_are_turned() -> None:
    array = labelled("band", "y", "x")
    found = labelled_array(array.sortby("y").sortby("x", ascending=False))
    np.testing.assert_array_equal(found.pixels, array.values)
    assert found.place == labelled_array(array).place


def test_a_slice_lies_where_it_was_although_its_transform_is_that_of_the_whole() -> None:
    array = labelled("y", "x")
    array = array.rio.write_transform(array.rio.transform())
    part = array[1:, 2:5]
    assert part.spatial_ref.attrs["GeoTransform"].startswith("500000.0 10.0")
    assert labelled_array(part).place.geotrans == (500_020.0, 10.0, 0.0, 4_999_980.0, 0.0, -20.0)
    assert labelled_array(array[1:2, 2:3]).place.geotrans == (500_020.0, 10.0, 0.0, 4_999_980.0, 0.0, -20.0)


def test_a_transform_without_coordinates_or_with_rotation_is_taken_as_it_is() -> None:
    bare = labelled("y", "x").drop_vars(["y", "x"]).rio.write_transform(ROTATED)
    assert labelled_array(bare).place.geotrans == pytest.approx(GDAL)
    assert labelled_array(labelled("y", "x").rio.write_transform(ROTATED)).place.geotrans == pytest.approx(GDAL)


def test_coordinates_of_single_precision_give_the_transform_that_is_stated() -> None:
    array = labelled("y", "x").rio.write_transform(from_origin(500_000, 5_000_000, 10, 20))
    single = array.assign_coords(x=array.x.astype("float32"), y=array.y.astype("float32"))
    assert labelled_array(single).place.geotrans == PLACE.geotrans


def test_what_has_no_place_says_so() -> None:
    array = xr.DataArray(np.zeros((4, 6)), dims=("y", "x"))
    assert labelled_array(array).place == Georeference()
    single = labelled("y", "x", height=1)
    assert labelled_array(single).place.geotrans is None


@pytest.mark.parametrize(
    ("array", "reason"),
    [
        (xr.DataArray(np.zeros((4, 6)), dims=("row", "col")), r"called y and x.*found \('row', 'col'\); rename"),
        (labelled("y", "x").expand_dims(time=2, model=3), r"at most one dimension beside y and x, found"),
        (labelled("y", "x", x=[0, 1, 2, 3, 4, 9]), "evenly spaced x coordinates"),
        (labelled("y", "x", y=[3, 3, 3, 3]), "evenly spaced y coordinates"),
    ],
    ids=["names", "dimensions", "uneven", "standing"],
)
def test_labelled_arrays_that_are_no_image(array: xr.DataArray, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        labelled_array(array)


@pytest.mark.parametrize(
    ("attributes", "encoding", "expected"),
    [
        ({"_FillValue": -9999}, {}, -9999.0),
        ({"missing_value": 5}, {}, 5.0),
        ({"nodata": 0}, {}, 0.0),
        ({}, {"_FillValue": -9999}, np.nan),
        ({"_FillValue": np.nan}, {}, np.nan),
        ({}, {}, None),
    ],
)
def test_the_value_of_pixels_without_one(attributes: Any, encoding: Any, expected: float | None) -> None:
    array = labelled("y", "x").assign_attrs(attributes)
    array.encoding.update(encoding)
    found = labelled_array(array).nodata
    assert found is None if expected is None else found == pytest.approx(expected, nan_ok=True)


def layout(*files: str) -> Layout:
    return Layout.of(
        SpectralBand(name=name, file_index=index) for index, names in enumerate(files) for name in names.split()
    )


def test_a_dataset_becomes_the_files_of_its_product() -> None:
    one, two = labelled("y", "x"), labelled("y", "x") + 100
    dataset = xr.Dataset({"green": one, "red": two, "scalar": 5})
    ((red,), (green,)) = labelled_files(dataset, layout("red", "green"))
    np.testing.assert_array_equal(red.pixels, two.values)
    np.testing.assert_array_equal(green.pixels, one.values)
    (stacked,) = layers_of(dataset, lambda: layout("red green"))
    assert stacked.shape == (2, 4, 6)
    np.testing.assert_array_equal(np.stack(list(stacked.planes)), np.stack([two.values, one.values]))
    ((unnamed,),) = labelled_files(xr.Dataset({"band_data": labelled("band", "y", "x")}), layout("red green"))
    assert unnamed.pixels.shape == (2, 4, 6)


def test_a_dataset_that_is_not_like_its_product() -> None:
    one = labelled("y", "x")
    with pytest.raises(ValueError, match=r"each band of the product \(red, green\), found red; rename or select"):
        labelled_files(xr.Dataset({"red": one}), layout("red green"))
    with pytest.raises(ValueError, match="found red, green, other"):
        labelled_files(xr.Dataset({"red": one, "green": one, "other": one}), layout("red green"))
    with pytest.raises(ValueError, match="the variables of file 0 to be alike, found float32"):
        layers_of(xr.Dataset({"red": one, "green": one.astype("uint8")}), lambda: layout("red green"))


def test_arrays_of_one_image_lie_at_one_place() -> None:
    one, elsewhere = labelled("y", "x"), labelled("y", "x")[1:]
    files = layers_of([one, np.zeros((4, 6)), one + 1], lambda: layout("a"))
    assert place_of(files) == labelled_array(one).place
    with pytest.raises(ValueError, match="all arrays of an image at one place, found 2"):
        place_of(layers_of([one, elsewhere], lambda: layout("a")))


def test_gdalinfo_is_understood_as_it_is_printed() -> None:
    printed = {
        "description": "image.tif",
        "driverShortName": "GTiff",
        "size": [60, 40],
        "coordinateSystem": {"wkt": CRS.from_epsg(32633).to_wkt(), "dataAxisToSRSAxisMapping": [1, 2]},
        "geoTransform": list(GDAL),
        "stac": {"proj:epsg": 32633, "proj:transform": list(ROTATED)},
    }
    found = georeference_of(json.loads(json.dumps(printed)))
    assert found.geotrans == pytest.approx(GDAL)
    assert parse_crs(found.projection) == CRS.from_epsg(32633)
