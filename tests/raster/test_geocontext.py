"""Where pixels are read: contexts that check themselves, their grids, outlines in WGS 84, and an image's own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import shapely
from affine import Affine
from rasterio.crs import CRS
from rasterio.warp import transform_geom

from stac_ingest import AttributeValidationError, Image
from stac_ingest.client.reading.geocontext import GeoContext, Grid, crs_of
from tests.raster.images import SQUARE, Images

UTM = "EPSG:32633"
BOUNDS = (500_000, 4_999_700, 500_400, 5_000_000)
TRIANGLE = {"type": "Polygon", "coordinates": [[[15, 45], [15.1, 45], [15.05, 45.1], [15, 45]]]}


@pytest.fixture
def images() -> Images:
    return Images()


def utm_image(images: Images, **attributes: Any) -> Image:
    place = {"geotrans": (500_000, 10, 0, 5_000_000, 0, -10), "cs_code": UTM, "x_pixels": 40, "y_pixels": 30}
    return Image(images.client, product_id="p", name="i", **{**place, **attributes})


# --- Values that can be


def test_a_context_keeps_what_it_is_given() -> None:
    context = GeoContext(bounds=[1, 2, 3, 4], crs=32633, bounds_crs=CRS.from_epsg(3857), shape=[5, 6])  # type: ignore[arg-type]
    assert (context.bounds, context.crs, context.bounds_crs, context.shape) == ((1, 2, 3, 4), UTM, "EPSG:3857", (5, 6))
    assert context == GeoContext(bounds=(1, 2, 3, 4), crs=UTM, bounds_crs="EPSG:3857", shape=(5, 6))
    with pytest.raises(AttributeError):
        context.crs = "EPSG:4326"  # type: ignore[misc]


def test_numbers_of_numpy_are_numbers() -> None:
    bounds: Any = np.array([1.0, 2, 3, 4])
    resolution: Any = np.int64(10)
    assert GeoContext(bounds=bounds, resolution=resolution) == GeoContext(bounds=(1, 2, 3, 4), resolution=10)


def test_a_geometry_comes_in_every_form() -> None:
    shape = shapely.geometry.shape(TRIANGLE)
    feature = {"type": "Feature", "geometry": TRIANGLE, "properties": {}}
    for form in (TRIANGLE, shape, feature):
        assert shapely.geometry.shape(GeoContext(geometry=form)).equals(shape)
    other = {"type": "Feature", "geometry": SQUARE, "properties": {}}
    several = GeoContext(geometry={"type": "FeatureCollection", "features": [feature, other]})
    assert shapely.geometry.shape(several).area == pytest.approx(shape.area + 1)
    assert GeoContext.of(GeoContext(geometry=TRIANGLE)) == GeoContext.of(TRIANGLE)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"resolution": 0}, "resolution greater than 0, .*found 0"),
        ({"resolution": -1}, "greater than 0"),
        ({"resolution": "10m"}, "greater than 0, as a number in the units of the coordinate system, found '10m'"),
        ({"resolution": float("nan")}, "greater than 0"),
        ({"resolution": True}, "greater than 0"),
        ({"shape": 5}, r"shape as \(rows, columns\)"),
        ({"shape": (5, 0)}, "at least 1 pixel"),
        ({"shape": (5.5, 1)}, r"\(5.5, 1\)"),
        ({"resolution": 10, "shape": (1, 1)}, "Cannot set both resolution"),
        ({"bounds": (1, 2, 3)}, r"bounds as \(min x, min y, max x, max y\), found \(1, 2, 3\)"),
        ({"bounds": (1, 4, 3, 2)}, "min < max"),
        ({"bounds": (3, 1, 1, 2), "bounds_crs": UTM}, "min < max"),
        ({"bounds": (1, 2, 1, 4)}, "min < max"),
        ({"bounds": (0, 0, 1, float("inf"))}, "max y"),
        ({"bounds": BOUNDS}, r"lat-lon coordinates.*bounds_crs"),
        ({"geometry": {"type": "Circle"}}, "geometry: "),
        ({"geometry": 5}, "geometry: "),
        ({"geometry": (10, 45, 11, 46)}, r"geometry: expected GeoJSON.*GeoContext\(bounds=\(min x, min y"),
        ({"crs": 1.5}, "coordinate system as EPSG code, WKT or PROJ text, found 1.5"),
    ],
)
def test_a_value_that_cannot_be_is_refused(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(AttributeValidationError, match=message):
        GeoContext(**wrong)


def test_a_new_resolution_replaces_the_shape_and_the_reverse() -> None:
    context = GeoContext(bounds=BOUNDS, bounds_crs=UTM, crs=UTM, shape=(30, 40))
    finer = context.evolve(resolution=5)
    assert (finer.resolution, finer.shape) == (5, None)
    assert finer.evolve(shape=(3, 4)).resolution is None
    assert context.evolve(crs="EPSG:3857").shape == (30, 40)
    with pytest.raises(AttributeValidationError, match="Cannot set both"):
        context.evolve(resolution=5, shape=(1, 1))


# --- Grids


def test_the_grid_of_a_shape_fills_the_bounds() -> None:
    grid = GeoContext(bounds=BOUNDS, bounds_crs=UTM, crs=UTM, shape=(15, 80)).grid
    assert (grid.width, grid.height) == (80, 15)
    assert grid.transform == Affine(5, 0, 500_000, 0, -20, 5_000_000)
    assert grid.bounds == BOUNDS
    assert grid.crs == CRS.from_epsg(32633)


def test_the_grid_of_a_resolution_is_aligned_to_multiples_of_it() -> None:
    context = GeoContext(bounds=(500_003, 4_999_703, 500_398, 4_999_999), bounds_crs=UTM, crs=UTM, resolution=7)
    grid = context.grid
    west, south, east, north = grid.bounds
    assert all(value % 7 == 0 for value in grid.bounds)
    assert 500_003 - 7 < west <= 500_003 < 500_398 <= east < 500_398 + 7
    assert 4_999_703 - 7 < south <= 4_999_703 < 4_999_999 <= north < 4_999_999 + 7
    free = context.evolve(align_pixels=False).grid
    assert free.transform == Affine(7, 0, 500_003, 0, -7, 4_999_999)
    assert (free.width, free.height) == (56, 42)
    assert context.transform == grid.transform


def test_contexts_with_one_resolution_have_pixels_that_lie_one_on_the_other() -> None:
    one = GeoContext(bounds=(15.01, 45.01, 15.02, 45.02), crs=UTM, resolution=30).grid
    other = GeoContext(bounds=(15.013, 45.007, 15.05, 45.03), crs=UTM, resolution=30).grid
    column, row = ~one.transform @ (other.transform.c, other.transform.f)
    assert (column, row) == (round(column), round(row))


def test_bounds_are_brought_into_the_coordinate_system_with_their_curved_edges() -> None:
    from rasterio.warp import transform_bounds

    bounds = (10, 60, 20, 70)
    grid = GeoContext(bounds=bounds, crs="EPSG:3035", shape=(10, 10)).grid
    assert grid.bounds == pytest.approx(transform_bounds("EPSG:4326", "EPSG:3035", *bounds), rel=1e-9)
    inside = transform_geom("EPSG:4326", "EPSG:3035", {"type": "Point", "coordinates": [15, 60]})["coordinates"]
    assert grid.bounds[1] <= inside[1]


def test_bounds_across_the_antimeridian_are_one_place() -> None:
    for bounds in ((179, -17, -179, -16), (179, -17, 181, -16)):
        grid = GeoContext(bounds=bounds, crs="EPSG:4326", resolution=0.5).grid
        assert grid.bounds == (179, -17, 181, -16)
        assert (grid.width, grid.height) == (4, 2)
        metres = GeoContext(bounds=bounds, crs="EPSG:32760", resolution=1000).grid
        assert 150 < metres.width < 250


@pytest.mark.parametrize(
    ("given", "lacking"),
    [
        ({}, "no crs, no bounds or geometry, no resolution or shape"),
        ({"crs": UTM, "resolution": 10}, "no bounds or geometry"),
        ({"bounds": (1, 2, 3, 4), "shape": (1, 1)}, "no crs"),
        ({"geometry": TRIANGLE, "crs": UTM}, "no resolution or shape"),
    ],
)
def test_a_grid_needs_a_place_a_coordinate_system_and_a_size(given: dict[str, Any], lacking: str) -> None:
    with pytest.raises(ValueError, match=lacking):
        GeoContext(**given).grid  # noqa: B018


def test_a_place_smaller_than_a_pixel_needs_all_touched() -> None:
    context = GeoContext(bounds=BOUNDS, bounds_crs=UTM, crs=UTM, resolution=350)
    with pytest.raises(ValueError, match=r"less than one pixel high: it measures 400 by 300, a pixel 350 by 350"):
        context.grid  # noqa: B018
    assert context.evolve(all_touched=True).grid.height >= 1
    with pytest.raises(ValueError, match="wide and high"):
        context.evolve(resolution=1e6).grid  # noqa: B018


@pytest.mark.parametrize("unknown", ["EPSG:99999999", "somewhere", ""])
def test_a_coordinate_system_that_there_is_not_is_refused(unknown: str) -> None:
    with pytest.raises(ValueError, match="EPSG code, WKT or PROJ text, found"):
        crs_of(unknown)


def test_every_form_of_a_coordinate_system_is_the_same() -> None:
    for form in (UTM, CRS.from_string(UTM).to_wkt(), "+proj=utm +zone=33 +datum=WGS84 +units=m", CRS.from_string(UTM)):
        context = GeoContext(bounds=BOUNDS, bounds_crs=form, crs=form, shape=(30, 40))
        assert context.grid == GeoContext(bounds=BOUNDS, bounds_crs=UTM, crs=UTM, shape=(30, 40)).grid


# --- What is left to the image


NATIVE = Grid(CRS.from_epsg(32633), Affine(10, 0, 500_000, 0, -10, 5_000_000), 40, 30)


def test_a_context_without_anything_is_the_image() -> None:
    assert GeoContext().on(NATIVE) == NATIVE
    assert GeoContext(crs=UTM).on(NATIVE) == NATIVE


def test_a_place_without_a_size_has_the_pixels_of_the_image() -> None:
    bounds = (500_033, 4_999_951, 500_041, 5_000_077)
    grid = GeoContext(bounds=bounds, bounds_crs=UTM).on(NATIVE)
    assert grid.transform == Affine(10, 0, 500_030, 0, -10, 5_000_080)
    assert (grid.width, grid.height) == (2, 13)
    rotated = Grid(NATIVE.crs, Affine(6, 8, 500_000, 8, -6, 5_000_000), 40, 30)
    upright = GeoContext(bounds=BOUNDS, bounds_crs=UTM).on(rotated)
    assert upright.transform == Affine(10, 0, 500_000, 0, -10, 5_000_000)


def test_images_side_by_side_have_one_grid_around_them() -> None:
    moved = [
        Grid(NATIVE.crs, Affine.translation(x, y) @ NATIVE.transform, 40, 30)
        for x, y in ((0, 0), (390, -20), (-50, 10))
    ]
    around = Grid.around(moved)
    assert around.bounds == (499_950, 4_999_680, 500_790, 5_000_010)
    assert around.pixel == (10, 10)
    assert Grid.around([NATIVE, NATIVE]) is NATIVE
    finer = Grid(NATIVE.crs, NATIVE.transform @ Affine.scale(0.5), 20, 20)
    assert Grid.around([NATIVE, finer]).pixel == (5, 5)
    other = Grid(CRS.from_epsg(3857), Affine(1, 0, 1_669_792, 0, -1, 5_645_716), 100, 100)
    assert Grid.around([other, NATIVE, NATIVE]).crs == NATIVE.crs


PLACES = [
    (Grid.over(CRS.from_epsg(32633), (500_400, 4_999_700, 500_500, 5_000_000), (1, 1)), True),  # side by side
    (Grid.over(CRS.from_epsg(32633), (500_401, 4_999_700, 500_500, 5_000_000), (1, 1)), False),
    (Grid.over(CRS.from_epsg(4326), (15, 45, 15.01, 45.2), (1, 1)), True),
    (Grid.over(CRS.from_epsg(4326), (0, 0, 1, 1), (1, 1)), False),
    (Grid.over(CRS.from_epsg(4326), (375, 45, 375.01, 45.2), (1, 1)), True),  # once around the globe
    (Grid.over(CRS.from_epsg(4326), (170, -90, 190, 90), (1, 1)), False),
    (Grid.over(CRS.from_string("+proj=geos +h=35785831"), (-6e6, -6e6, 6e6, 6e6), (1, 1)), True),  # cannot be said
]


@pytest.mark.parametrize(("grid", "touches"), PLACES, ids=range(len(PLACES)))
def test_grids_touch_where_they_have_a_point_in_common(grid: Grid, touches: bool) -> None:
    native = Grid.over(CRS.from_epsg(32633), BOUNDS, (30, 40))
    assert native.touches(grid) is grid.touches(native) is touches


# --- Outlines


def test_the_outline_of_bounds_in_degrees_is_their_rectangle() -> None:
    found = shapely.geometry.shape(GeoContext(bounds=(1, 2, 3, 4)))
    assert found.equals(shapely.box(1, 2, 3, 4))
    assert GeoContext(geometry=TRIANGLE, bounds=(1, 2, 3, 4)).__geo_interface__["type"] == "Polygon"
    assert shapely.geometry.shape(GeoContext(geometry=TRIANGLE)).equals(shapely.geometry.shape(TRIANGLE))
    with pytest.raises(ValueError, match="neither a geometry nor bounds"):
        GeoContext(crs=UTM).__geo_interface__  # noqa: B018


@pytest.mark.parametrize("bounds", [(170, -10, -170, 10), (170, -10, 190, 10), (-190, -10, -170, 10)])
def test_an_outline_is_split_at_the_antimeridian(bounds: tuple[float, float, float, float]) -> None:
    found = shapely.geometry.shape(GeoContext(bounds=bounds))
    assert found.equals(shapely.MultiPolygon([shapely.box(170, -10, 180, 10), shapely.box(-180, -10, -170, 10)]))


@pytest.mark.parametrize(
    ("crs", "bounds"),
    [
        (UTM, (300_000, 4_000_000, 700_000, 5_000_000)),
        ("EPSG:3035", (4_000_000, 3_000_000, 5_000_000, 4_000_000)),
        ("EPSG:32760", (300_000, 8_000_000, 900_000, 8_300_000)),
    ],
)
def test_an_outline_holds_what_the_bounds_hold(crs: str, bounds: tuple[float, float, float, float]) -> None:
    outline = shapely.geometry.shape(GeoContext(bounds=bounds, bounds_crs=crs))
    assert outline.is_valid
    west, south, east, north = bounds
    for x in (0.02, 0.5, 0.98):
        for y in (0.02, 0.5, 0.98):
            place = {"type": "Point", "coordinates": [west + (east - west) * x, south + (north - south) * y]}
            point = shapely.geometry.shape(transform_geom(crs, "EPSG:4326", place))
            assert outline.contains(point)
    beyond = {"type": "Point", "coordinates": [west - (east - west) * 0.05, south]}
    assert not outline.contains(shapely.geometry.shape(transform_geom(crs, "EPSG:4326", beyond)))


def test_an_outline_around_a_pole_reaches_it() -> None:
    outline = shapely.geometry.shape(GeoContext(bounds=(-1e6, -1e6, 1e6, 1e6), bounds_crs="EPSG:3031"))
    assert outline.bounds[0::2] == (-180, 180)
    assert outline.bounds[1] == -90
    assert -79 < outline.bounds[3] < -76


# --- Of images


def test_an_images_context_is_its_own_pixels(images: Images) -> None:
    image = utm_image(images)
    assert image.geocontext == GeoContext(bounds=BOUNDS, bounds_crs=UTM, crs=UTM, shape=(30, 40), align_pixels=False)
    assert image.geocontext.grid == NATIVE
    text = CRS.from_string("+proj=laea +lat_0=1 +lon_0=2").to_wkt()
    assert utm_image(images, cs_code=None, projection=text).geocontext.crs == text


def test_an_image_read_on_its_own_context_is_not_warped(
    images: Images, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import numpy as np

    path = tmp_path / "a.tif"
    transform = Affine(60 / 7, 0, 500_000.1, 0, -60 / 7, 5_000_000.3)
    profile = {"driver": "GTiff", "width": 41, "height": 31, "count": 1, "dtype": "uint8", "crs": UTM}
    pixels = np.random.default_rng(0).integers(1, 200, (1, 31, 41)).astype("uint8")
    with rasterio.open(path, "w", transform=transform, **profile) as file:
        file.write(pixels)
    image = images(path, geotrans=transform.to_gdal(), cs_code=UTM, x_pixels=41, y_pixels=31)
    monkeypatch.setattr("rasterio.warp.reproject", None)
    np.testing.assert_array_equal(image.ndarray("b", image.geocontext), pixels)


def test_the_context_of_a_rotated_image_warns(images: Images) -> None:
    image = utm_image(images, geotrans=(500_000, 6, 8, 5_000_000, 8, -6))
    with pytest.warns(UserWarning, match=r"will \*not\* return this Image's original data"):
        context = image.geocontext
    assert context.bounds == (500_000, 4_999_820, 500_480, 5_000_320)
    assert context.resolution == 10


def test_the_context_of_an_image_of_unknown_size_needs_square_pixels(images: Images) -> None:
    nowhere = {"x_pixels": None, "y_pixels": None, "geometry": SQUARE}
    assert utm_image(images, **nowhere).geocontext == GeoContext(
        bounds=(0, 0, 1, 1), crs=UTM, resolution=10, align_pixels=False
    )
    with pytest.raises(ValueError, match=r"must be square, found 10 by 20"):
        utm_image(images, **nowhere, geotrans=(500_000, 10, 0, 5_000_000, 0, -20)).geocontext  # noqa: B018
    bare = Image(images.client, product_id="p", name="i", geometry=SQUARE)
    assert bare.geocontext.geometry["type"] == "Polygon"


@pytest.mark.parametrize(
    ("place", "share"),
    [
        (SQUARE, 1),
        (shapely.box(0, 0, 2, 2), 0.25),
        (shapely.box(0.25, 0.25, 0.5, 0.5), 1),
        (shapely.box(5, 5, 6, 6), 0),
        (shapely.box(1, 0, 2, 1), 0),
        (GeoContext(bounds=(-0.5, 0, 0.5, 1)), 0.5),
        ({"type": "Feature", "geometry": SQUARE, "properties": {}}, 1),
        (shapely.GeometryCollection([shapely.box(0, 0, 1, 1), shapely.box(0, 0, 1, 1), shapely.box(1, 0, 2, 1)]), 0.5),
        (shapely.GeometryCollection([shapely.box(0, 0, 1, 2), shapely.box(0, 1, 2, 2)]), 1 / 3),
        (shapely.LineString([(0.5, 0.5), (2.5, 0.5)]), 0.25),
        (shapely.Point(0.5, 0.5), 1),
        (shapely.MultiPoint([(0.5, 0.5), (3, 3)]), 0.5),
        (shapely.Polygon([(0, 0), (1, 1), (1, 0), (0, 1)]), 1),
    ],
)
def test_coverage_is_the_share_of_a_place_that_the_image_covers(images: Images, place: Any, share: float) -> None:
    image = Image(images.client, product_id="p", name="i", geometry=SQUARE)
    assert image.coverage(place) == pytest.approx(share)


def test_coverage_across_the_antimeridian(images: Images) -> None:
    geometry = GeoContext(bounds=(178, 0, -178, 2)).__geo_interface__
    image = Image(images.client, product_id="p", name="i", geometry=geometry)
    assert image.coverage(GeoContext(bounds=(179, 0, -177, 2))) == pytest.approx(0.75)
    with pytest.raises(ValueError, match="has no geometry"):
        Image(images.client, product_id="p", name="i").coverage(SQUARE)
