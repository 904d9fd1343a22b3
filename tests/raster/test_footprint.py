"""Footprints beside what shapely and rasterio say of every single pixel."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import rasterio.warp
import shapely
import shapely.geometry
from numpy.typing import NDArray
from rasterio.crs import CRS
from rasterio.transform import Affine

from stac_ingest.errors import UploadError
from stac_ingest.raster.footprint import MAX_VERTICES, outline, to_wgs84, union
from stac_ingest.raster.measure import CoarseMask
from stac_ingest.raster.source import Place
from stac_ingest.stac import bbox_of

Valid = NDArray[np.bool_]
Json = dict[str, Any]
SHAPE = (150, 200)


def place(crs: str, x: float, y: float, dx: float, dy: float | None = None) -> Place:
    return Place(crs=CRS.from_user_input(crs), transform=Affine(dx, 0, x, 0, -dx if dy is None else dy, y))


def footprint_of(valid: Valid, where: Place) -> Json:
    mask = CoarseMask(valid.shape[1], valid.shape[0])
    for row in range(0, valid.shape[0], 512):
        for column in range(0, valid.shape[1], 512):
            mask.add(valid[row : row + 512, column : column + 512], row, column)
    return union([to_wgs84(outline(mask), where, "image.tif")])


def project(where: Place, columns: NDArray[Any], rows: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    assert where.transform is not None
    a, b, c, d, e, f = where.transform[:6]
    return a * columns + b * rows + c, d * columns + e * rows + f


def centres(valid: Valid, where: Place) -> NDArray[np.float64]:
    """Longitude and latitude of the centres of the valid pixels, within -180 to 180."""
    rows, columns = np.nonzero(valid)
    xs, ys = project(where, columns + 0.5, rows + 0.5)
    lon, lat = rasterio.warp.transform(where.crs, "EPSG:4326", xs, ys)
    return np.column_stack([(np.array(lon) + 180) % 360 - 180, lat])


def assert_sound(geometry: Json) -> None:
    found = shapely.geometry.shape(geometry)
    assert shapely.is_valid(found), shapely.is_valid_reason(found)
    assert found.geom_type in ("Polygon", "MultiPolygon")
    assert found.area > 0
    west, south, east, north = found.bounds
    assert -180 <= west < east <= 180
    assert -90 <= south < north <= 90
    for polygon in shapely.get_parts(found):
        assert polygon.exterior.is_ccw
        assert not any(hole.is_ccw for hole in polygon.interiors)
    assert shapely.get_num_coordinates(found) < 3 * MAX_VERTICES


def assert_contains_centres(geometry: Json, valid: Valid, where: Place) -> None:
    found = shapely.geometry.shape(geometry)
    points = centres(valid, where)
    assert len(points)
    outside = points[~shapely.intersects_xy(found, points)]
    assert not len(outside), f"{len(outside)} of {len(points)} centres are outside, such as {outside[:3]}"


def triangle(shape: tuple[int, int]) -> Valid:
    return np.add.outer(np.arange(shape[0]) / shape[0], np.arange(shape[1]) / shape[1]) < 0.8


def frame(shape: tuple[int, int]) -> Valid:
    valid = np.zeros(shape, bool)
    valid[shape[0] // 5 : -(shape[0] // 4), shape[1] // 6 : -(shape[1] // 7)] = True
    return valid


def ring(shape: tuple[int, int]) -> Valid:
    valid = np.ones(shape, bool)
    valid[shape[0] // 3 : -(shape[0] // 3), shape[1] // 3 : -(shape[1] // 3)] = False
    return valid


def islands(shape: tuple[int, int]) -> Valid:
    valid = np.zeros(shape, bool)
    valid[2:30, 3:40] = valid[-30:, -20:] = valid[60:61, 70:71] = True
    return valid


def speckles(shape: tuple[int, int]) -> Valid:
    valid: Valid = np.random.default_rng(5).random(shape) > 0.5
    return valid


def diagonal(shape: tuple[int, int]) -> Valid:
    return np.eye(*shape, dtype=bool)


PATTERNS = [np.ones, triangle, frame, ring, islands, speckles, diagonal]
PLACES = {
    "UTM": place("EPSG:32633", 500_000, 5_000_000, 300),
    "degrees": place("EPSG:4326", 10, 50, 0.01),
    "south up": place("EPSG:4326", 10, 50, 0.01, 0.01),
    "rotated": Place(
        crs=CRS.from_epsg(32633), transform=Affine.translation(5e5, 5e6) @ Affine.rotation(30) @ Affine.scale(100, -100)
    ),
    "mirrored": Place(crs=CRS.from_epsg(32633), transform=Affine(-100, 0, 5e5, 0, -100, 5e6)),
    "Lambert": place("EPSG:5070", -500_000, 2_500_000, 2000),
    "170 to 190": place("EPSG:4326", 170, 20, 0.1),
    "beyond 180": place("EPSG:4326", 190, 20, 0.1),
    "-190 to -170": place("EPSG:4326", -190, 20, 0.1),
    "ends at 180": place("EPSG:4326", 160, 20, 0.1),
    "begins at -180": place("EPSG:4326", -180, 20, 0.1),
    "UTM 60 to 1": place("EPSG:32660", 700_000, 6_000_000, 2000),
    "UTM 1 to 60": place("EPSG:32601", 100_000, 6_000_000, 2000),
    "UTM south 60": place("EPSG:32760", 700_000, 5_000_000, 2000),
    "Fiji": place("EPSG:3460", 1_800_000, 4_200_000, 2000),
    "Mercator": place("EPSG:3857", -20_037_508.342789244, 20_037_508.342789244, 200_375.08342789244),
    "Mercator, Pacific": place("EPSG:3832", 0, 3_000_000, 20_000),
    "north pole": place("EPSG:3413", -1_000_000, 750_000, 10_000),
    "south pole": place("EPSG:3031", -1_000_000, 750_000, 10_000),
    "north pole, to one side": place("EPSG:3413", -200_000, 1_400_000, 10_000),
    "south pole, to one side": place("EPSG:3031", -1_900_000, 100_000, 10_000),
    "beside the north pole, across 180": place("EPSG:3413", -1_500_000, 2_200_000, 10_000),
    "beside the south pole, across 180": place("EPSG:3031", -1_000_000, -100_000, 10_000),
    "north pole, Lambert": place("EPSG:3573", -1_000_000, 750_000, 10_000),
    "north pole on an edge": place("EPSG:3413", 0, 750_000, 10_000),
    "north pole on the upper edge": place("EPSG:3413", -1_000_000, 0, 10_000),
    "south pole on an edge": place("EPSG:3031", -2_000_000, 750_000, 10_000),
    "south pole on a corner": place("EPSG:3031", 0, 0, 10_000),
    "north pole on a corner": place("EPSG:3995", -2_000_000, 1_500_000, 10_000),
    "whole Earth": place("EPSG:4326", -180, 90, 1.8, -1.2),
    "whole Earth from 0": place("EPSG:4326", 0, 90, 1.8, -1.2),
    "whole Earth by half a pixel": place("EPSG:4326", -0.9, 90.0, 1.8, -1.2),
    "northern hemisphere": place("EPSG:4326", -180, 90, 1.8, -0.6),
    "almost the whole Earth": place("EPSG:4326", -179, 80, 1.79, -1),
    "sinusoidal": place("+proj=sinu +R=6371007.181 +units=m", 0, 5_000_000, 20_000),
}


@pytest.mark.parametrize("pattern", PATTERNS, ids=lambda pattern: pattern.__name__)
@pytest.mark.parametrize("where", PLACES.values(), ids=PLACES)
def test_it_is_sound_and_contains_the_centre_of_every_valid_pixel(where: Place, pattern: Any) -> None:
    valid = pattern(SHAPE).astype(bool)

    geometry = footprint_of(valid, where)

    assert_sound(geometry)
    assert_contains_centres(geometry, valid, where)


@pytest.mark.parametrize("name", ["UTM", "degrees", "rotated", "Lambert"])
def test_of_a_full_image_it_is_the_rectangle(name: str) -> None:
    where = PLACES[name]
    assert where.transform is not None
    height, width = SHAPE

    found = shapely.geometry.shape(footprint_of(np.ones(SHAPE, bool), where))

    corners = [where.transform @ corner for corner in [(0, 0), (0, height), (width, height), (width, 0)]]
    dense = shapely.segmentize(shapely.Polygon(corners), where.transform.a)
    expected = shapely.geometry.shape(
        rasterio.warp.transform_geom(where.crs, "EPSG:4326", shapely.geometry.mapping(dense))
    )
    assert found.symmetric_difference(expected).area < expected.area * 3e-4
    assert found.hausdorff_distance(expected) < (expected.area**0.5) / 1000


def test_of_a_rectangle_in_degrees_it_has_five_points() -> None:
    geometry = footprint_of(np.ones((100, 200), bool), place("EPSG:4326", 10, 50, 0.01))

    assert geometry == {"type": "Polygon", "coordinates": [[[10, 49], [12, 49], [12, 50], [10, 50], [10, 49]]]} or (
        shapely.equals(shapely.geometry.shape(geometry), shapely.box(10, 49, 12, 50))
        and len(geometry["coordinates"][0]) == 5
    )
    assert bbox_of(geometry) == [10, 49, 12, 50]


def test_a_border_without_data_shrinks_it() -> None:
    where = PLACES["UTM"]
    full = shapely.geometry.shape(footprint_of(np.ones(SHAPE, bool), where))
    valid = frame(SHAPE)

    found = shapely.geometry.shape(footprint_of(valid, where))

    assert found.within(full)
    assert found.area == pytest.approx(full.area * valid.mean(), rel=0.01)


def test_holes_and_islands_stay() -> None:
    where = PLACES["degrees"]

    hole = shapely.geometry.shape(footprint_of(ring(SHAPE), where))
    several = shapely.geometry.shape(footprint_of(islands(SHAPE), where))

    assert hole.geom_type == "Polygon"
    assert len(hole.interiors) == 1
    assert hole.area == pytest.approx(ring(SHAPE).sum() * 1e-4, rel=1e-6)
    assert several.geom_type == "MultiPolygon"
    assert several.area == pytest.approx(islands(SHAPE).sum() * 1e-4, rel=1e-6)


def test_of_an_image_without_any_valid_pixel_it_is_the_whole_rectangle() -> None:
    where = PLACES["degrees"]

    assert footprint_of(np.zeros(SHAPE, bool), where) == footprint_of(np.ones(SHAPE, bool), where)


def test_it_stays_small_however_ragged_the_valid_pixels_are() -> None:
    for seed in range(3):
        valid = np.random.default_rng(seed).random((700, 900)) > 0.9

        geometry = footprint_of(valid, PLACES["degrees"])

        assert_sound(geometry)
        assert_contains_centres(geometry, valid, PLACES["degrees"])


@pytest.mark.parametrize("side", [0.5, 10, 1e5], ids=str)
def test_of_a_single_pixel(side: float) -> None:
    where = place("EPSG:32633", 500_000, 5_000_000, side)

    geometry = footprint_of(np.ones((1, 1), bool), where)

    assert_sound(geometry)
    assert_contains_centres(geometry, np.ones((1, 1), bool), where)


@pytest.mark.parametrize("shape", [(1, 3000), (3000, 1), (1, 1)])
def test_of_a_thin_image(shape: tuple[int, int]) -> None:
    valid = np.ones(shape, bool)
    valid[-1, -1] = shape == (1, 1)

    geometry = footprint_of(valid, PLACES["UTM"])

    assert_sound(geometry)
    assert_contains_centres(geometry, valid, PLACES["UTM"])


def test_of_a_large_image_it_loses_no_pixel_at_the_edges() -> None:
    side = 10_980
    where = place("EPSG:32632", 399_960, 5_500_020, 10)  # a Sentinel-2 tile, its edges curved
    mask = CoarseMask(side, side)
    mask.valid_count = side * side

    found = shapely.geometry.shape(union([to_wgs84(outline(mask), where, "tile")]))

    along = np.linspace(0.5, side - 0.5, 3001)
    xs = np.concatenate([along, along, np.full(3001, 0.5), np.full(3001, side - 0.5)])
    ys = np.concatenate([np.full(3001, 0.5), np.full(3001, side - 0.5), along, along])
    lon, lat = rasterio.warp.transform(where.crs, "EPSG:4326", *project(where, xs, ys))
    assert shapely.intersects_xy(found, lon, lat).all()


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("170 to 190", [170, 5, -170, 20]),
        ("-190 to -170", [170, 5, -170, 20]),
        ("beyond 180", [-170, 5, -150, 20]),
        ("ends at 180", [160, 5, 180, 20]),
        ("begins at -180", [-180, 5, -160, 20]),
        ("whole Earth", [-180, -90, 180, 90]),
        ("whole Earth from 0", [-180, -90, 180, 90]),
        ("whole Earth by half a pixel", [-180, -90, 180, 90]),
        ("northern hemisphere", [-180, 0, 180, 90]),
    ],
)
def test_bounding_boxes_in_degrees(name: str, expected: list[float]) -> None:
    assert bbox_of(footprint_of(np.ones(SHAPE, bool), PLACES[name])) == pytest.approx(expected)


@pytest.mark.parametrize(
    "name", ["UTM 60 to 1", "UTM 1 to 60", "UTM south 60", "Mercator, Pacific", "beside the north pole, across 180"]
)
def test_bounding_boxes_across_180_go_from_east_to_west(name: str) -> None:
    where = PLACES[name]
    geometry = footprint_of(np.ones(SHAPE, bool), where)

    west, south, east, north = bbox_of(geometry)

    lon, lat = centres(np.ones(SHAPE, bool), where).T
    assert geometry["type"] == "MultiPolygon"
    assert west > east
    assert west <= lon[lon > 0].min()
    assert east >= lon[lon < 0].max()
    assert (west - east) == pytest.approx(lon[lon > 0].min() - lon[lon < 0].max(), abs=1)
    assert south <= lat.min()
    assert north >= lat.max()


@pytest.mark.parametrize("name", ["north pole", "south pole", "north pole, to one side", "south pole, to one side"])
def test_around_a_pole_it_reaches_the_pole_and_all_longitudes(name: str) -> None:
    geometry = footprint_of(np.ones(SHAPE, bool), PLACES[name])

    west, south, east, north = bbox_of(geometry)

    assert (west, east) == (-180, 180)
    assert (north == 90) is ("north" in name)
    assert (south == -90) is ("south" in name)
    # Its area, with the right weight of latitudes, is that of the image; both projections shrink near the pole.
    step = 0.25
    lon, lat = np.meshgrid(np.arange(-180 + step / 2, 180, step), np.arange(-90 + step / 2, 90, step))
    inside = shapely.intersects_xy(shapely.geometry.shape(geometry), lon, lat)
    earth = 4 * math.pi * 6371e3**2
    weights = np.cos(np.radians(lat))
    found = (inside * weights).sum() / weights.sum() * earth
    assert found == pytest.approx(2_000_000 * 1_500_000, rel=0.15)


def test_several_files_become_one_outline() -> None:
    left = outline_of(place("EPSG:4326", 10, 50, 0.01))
    right = outline_of(place("EPSG:4326", 12, 50, 0.01))
    far = outline_of(place("EPSG:4326", -30, 50, 0.01))

    assert shapely.equals(shapely.geometry.shape(union([left, left])), left)
    assert shapely.equals(shapely.geometry.shape(union([left, right])), shapely.box(10, 48.5, 14, 50))
    assert union([left, far])["type"] == "MultiPolygon"
    assert_sound(union([left, right, far]))


def outline_of(where: Place) -> Any:
    mask = CoarseMask(SHAPE[1], SHAPE[0])
    mask.add(np.ones(SHAPE, bool), 0, 0)
    return to_wgs84(outline(mask), where, "image.tif")


@pytest.mark.parametrize(
    "where",
    [
        place("EPSG:4326", 500_000, 5_000_000, 10),
        place("EPSG:4326", 10, 95, 1),
        place("EPSG:4326", 800, 10, 0.1),
        place("EPSG:32633", 1e12, 5_000_000, 10),
        place("EPSG:32633", 0, 0, 1e9),
        place('LOCAL_CS["the yard",UNIT["metre",1]]', 0, 0, 1),
    ],
    ids=str,
)
def test_an_image_that_is_not_on_the_earth(where: Place) -> None:
    with pytest.raises(UploadError, match=r"Expected 'image\.tif' to lie on the Earth, found its corner at") as caught:
        outline_of(where)
    assert caught.value.code == "INVALID_GEOREFERENCE"
