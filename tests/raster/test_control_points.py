"""Files that only ground control points place, beside what GDAL's warper makes of them."""

from __future__ import annotations

import math
import warnings
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import rasterio
import shapely
import shapely.geometry
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from rasterio.control import GroundControlPoint
from rasterio.crs import CRS
from rasterio.errors import NotGeoreferencedWarning
from rasterio.rpc import RPC
from rasterio.shutil import copy
from rasterio.transform import Affine
from rasterio.vrt import WarpedVRT
from rasterio.warp import reproject, transform
from rio_cogeo.cogeo import cog_validate

from stac_ingest.client.reading.geocontext import GeoContext
from stac_ingest.errors import UploadError
from stac_ingest.local import Asked, convert_file
from stac_ingest.models.cog import CogProfile
from stac_ingest.models.enums import Codec, UploadFileKind
from stac_ingest.models.image import Georeference
from stac_ingest.models.raster import Limits, SourceFile
from stac_ingest.raster.source import Header, Place, open_source, place_of
from stac_ingest.stac import bbox_of
from tests.raster.control_points import HEIGHT, PLACES, WIDTH, gcps_of, save_swath, swath
from tests.raster.images import Images

if TYPE_CHECKING:
    from tests.raster.conftest import Noise, Refuse, Run

UTM = "EPSG:32633"
CORNER = Affine(10, 0, 500_000, 0, -10, 5_000_000)
WORLD_FILE = "10\n0\n0\n-10\n500005\n4999995\n"
BENT = ("bent", "nine points")
"""GDAL fits the way from the ground to pixels by a polynomial of its own, which such ground is not made for."""


@pytest.fixture
def images() -> Images:
    return Images()


def place_in(path: Path, given: Georeference | None = None) -> Place:
    file = SourceFile(path=path, name=path.name, kind=UploadFileKind.FILE)
    with open_source(file, Limits(), band_count=1, declared_nodata=None) as source:
        return place_of(source.header, given or Georeference(), ())


def header_of(gcps: list[GroundControlPoint]) -> Header:
    return Header(
        name="a.tif", width=WIDTH, height=HEIGHT, count=1, dtype="uint8", nodata=None, crs=None, transform=None,
        masked=False, gcps=tuple(gcps), gcps_crs=CRS.from_epsg(4326),
    )  # fmt: skip


def warped(path: Path, **options: Any) -> tuple[NDArray[Any], NDArray[np.bool_], Any]:
    """Return what GDAL warps a file to, as nobody tells it how: pixels, which are valid, and where they lie."""
    with rasterio.open(path) as file, WarpedVRT(file, add_alpha=True, **options) as view:
        return view.read(list(range(1, file.count + 1))), view.read(file.count + 1) > 0, view.profile


def turned(lon: Any) -> Any:
    return (np.asarray(lon) + 180) % 360 - 180


# --- Where the pixels lie


@pytest.mark.parametrize("name", PLACES)
def test_pixels_lie_where_gdal_warps_them_to(tmp_path: Path, name: str) -> None:
    columns, rows = np.meshgrid(np.arange(WIDTH) + 0.5, np.arange(HEIGHT) + 0.5)
    path = save_swath(tmp_path / "a.tif", PLACES[name], np.stack([columns, rows]))
    (found_columns, found_rows), valid, profile = warped(path, tolerance=0)

    xs, ys = place_in(path).coordinates(found_columns[valid], found_rows[valid])

    there = np.argwhere(valid)[:, ::-1] + 0.5
    expected_xs, expected_ys = profile["transform"] @ (there[:, 0], there[:, 1])
    pixel = profile["transform"].a
    apart = np.column_stack([xs - expected_xs, ys - expected_ys]) / pixel
    if CRS.from_user_input(PLACES[name][1]).is_geographic:
        apart[:, 0] = turned(apart[:, 0] * pixel) / pixel
    assert valid.sum() > 10_000
    # The nearest pixel of the file is off by up to half of its sides.
    assert np.abs(apart).max() < (20 if name in BENT else 1)
    assert np.abs(apart.mean(axis=0)).max() < (3 if name in BENT else 0.01)


@pytest.mark.parametrize("name", PLACES)
@pytest.mark.parametrize("masked", [False, True])
def test_the_footprint_is_that_of_the_valid_pixels(run: Run, tmp_path: Path, name: str, *, masked: bool) -> None:
    mask = np.ones((HEIGHT, WIDTH), bool)
    if masked:
        mask = np.add.outer(np.arange(HEIGHT), np.arange(WIDTH)) > 200
        mask &= np.subtract.outer(np.arange(HEIGHT), np.arange(WIDTH)) < 200
    path = save_swath(tmp_path / "a.tif", PLACES[name], mask=mask if masked else None)

    conversion = run(path)

    found = shapely.geometry.shape(conversion.geometry)
    _, valid, profile = warped(path, crs="EPSG:4326", tolerance=0)
    there = np.argwhere(valid)[:, ::-1] + 0.5
    lon, lat = profile["transform"] @ (there[:, 0], there[:, 1])
    pixel = profile["transform"].a
    inside = shapely.intersects_xy(shapely.buffer(found, pixel), turned(lon), lat)
    assert inside.mean() >= (0.95 if name in BENT else 1)
    assert found.area == pytest.approx(valid.sum() * pixel**2, rel=0.05 if name in BENT else 0.01)
    assert shapely.is_valid(found)
    assert conversion.fill_fraction == pytest.approx(mask.mean(), abs=1e-6)
    across = "across" in name
    assert (conversion.geometry["type"] == "MultiPolygon") is across
    west, _, east, _ = bbox_of(conversion.geometry)
    assert (west > east) is across


def test_of_points_on_the_ground_it_is_exact(run: Run, tmp_path: Path) -> None:
    ground = swath(12, 48)
    geometry = run(save_swath(tmp_path / "a.tif", PLACES["Sentinel-1"])).geometry

    edge = np.linspace(0, 1, 101)
    ring = np.concatenate([
        np.column_stack([edge * WIDTH, edge * 0]),
        np.column_stack([edge * 0 + WIDTH, edge * HEIGHT]),
        np.column_stack([(1 - edge) * WIDTH, edge * 0 + HEIGHT]),
        np.column_stack([edge * 0, (1 - edge) * HEIGHT]),
    ])  # fmt: skip
    expected = shapely.Polygon(np.column_stack(ground(ring[:, 0], ring[:, 1])))
    assert shapely.geometry.shape(geometry).hausdorff_distance(expected) < 0.1 * 100 / 111_319


# --- What is written


@pytest.mark.parametrize("name", PLACES)
def test_the_file_keeps_pixels_and_points(run: Run, tmp_path: Path, name: str) -> None:
    gcps, crs = PLACES[name]
    path = save_swath(tmp_path / "a.tif", PLACES[name])

    raster = run(path, profile=CogProfile(overviews=(2,))).rasters[0]

    assert cog_validate(raster.path, strict=True, quiet=True) == (True, [], [])
    with rasterio.open(raster.path) as cog, rasterio.open(path) as source:
        np.testing.assert_array_equal(cog.read(), source.read())
        assert (cog.crs, cog.transform, cog.gcps[1]) == (None, Affine.identity(), CRS.from_user_input(crs))
        assert len(cog.gcps[0]) == len(gcps)
        for found, expected in zip(cog.gcps[0], gcps, strict=True):
            assert (found.col, found.row, found.y, found.z) == (expected.col, expected.row, expected.y, expected.z)
            assert turned(found.x) == pytest.approx(turned(expected.x), abs=1e-12) or found.x == expected.x
        lons = [point.x for point in cog.gcps[0]]
        assert max(lons) - min(lons) < 180 or crs == UTM
    assert (raster.transform, raster.bbox, raster.code, raster.wkt2) == (None, None, None, None)
    if name not in BENT:
        side = {"beside 180": 50, "metres": (30 * 25 + 3 * 4) ** 0.5, "four corners": (30 * 25 + 3 * 4) ** 0.5}
        assert raster.metre_resolution == pytest.approx(side.get(name, 100), rel=0.002)


@pytest.mark.parametrize("name", PLACES)
def test_it_is_warped_as_the_source_and_as_gdals_own_cog(run: Run, tmp_path: Path, name: str) -> None:
    path = save_swath(tmp_path / "a.tif", PLACES[name])
    copy(path, tmp_path / "gdal.tif", driver="COG")

    raster = run(path).rasters[0]

    for one in (path, tmp_path / "gdal.tif"):
        for options in ({}, {"crs": "EPSG:3832" if "180" in name else "EPSG:3857"}):
            pixels, valid, profile = warped(one, **options)
            found, found_valid, found_profile = warped(raster.path, **options)
            assert found_profile["transform"].almost_equals(profile["transform"], precision=1e-7)
            # Longitudes beyond 180 are rounded elsewhere, so pixels on the very edge of two may differ.
            assert found.shape == pixels.shape
            assert (found_valid == valid).mean() > 0.999
            assert (found == pixels).mean() > 0.999


def test_far_across_the_antimeridian_it_is_warped_as_if_it_were_elsewhere(run: Run, tmp_path: Path) -> None:
    """GDAL joins longitudes from 170 to -170 by itself, and no others."""
    across = gcps_of(swath(180, 79, 1000))
    path = save_swath(tmp_path / "a.tif", (across, "EPSG:4326"))
    joined = [GroundControlPoint(p.row, p.col, p.x % 360, p.y, p.z) for p in across]
    save_swath(tmp_path / "joined.tif", (joined, "EPSG:4326"))

    conversion = run(path)

    pixels, valid, profile = warped(tmp_path / "joined.tif")
    found, found_valid, found_profile = warped(conversion.rasters[0].path)
    assert found_profile["transform"] == profile["transform"]
    np.testing.assert_array_equal(found, pixels)
    np.testing.assert_array_equal(found_valid, valid)
    assert warped(path)[2]["transform"].a > 5 * profile["transform"].a
    west, _, east, _ = bbox_of(conversion.geometry)
    assert 168 < west < 171
    assert -171 < east < -168


@pytest.mark.parametrize("codec", [Codec.DEFLATE, Codec.LZW])
def test_several_masked_bands(run: Run, tmp_path: Path, noise: Noise, codec: Codec) -> None:
    mask = noise("uint8", HEIGHT, WIDTH) > 40
    pixels = noise("int16", 6, HEIGHT, WIDTH)
    path = save_swath(tmp_path / "a.tif", PLACES["across 180"], pixels, mask)

    raster = run(path, bands=6, profile=CogProfile(codec=codec, overviews=(2, 4))).rasters[0]

    with rasterio.open(raster.path) as cog:
        np.testing.assert_array_equal(cog.read(), pixels)
        np.testing.assert_array_equal(cog.dataset_mask() > 0, mask)
        assert len(cog.gcps[0]) == 210
    with rasterio.open(raster.path, overview_level=0) as overview:
        assert max(point.col for point in overview.gcps[0]) == WIDTH / 2


def test_on_this_machine_too(tmp_path: Path) -> None:
    path = save_swath(tmp_path / "a.tif", PLACES["across 180"])

    report = convert_file(path, tmp_path / "b.tif", Asked(), lambda share, doing: None)

    assert report["transform"] is None
    assert report["geometry"]["type"] == "MultiPolygon"
    with rasterio.open(tmp_path / "b.tif") as cog:
        assert len(cog.gcps[0]) == 210


# --- What else is said of the place


def tagged(path: Path, *tags: tuple[int, str, int, Any], crs: bool = True, pixel_is_point: bool = False) -> Path:
    """Write a GeoTIFF by its tags: 9 control points, a coordinate system, and others."""
    ties = [
        (column, row, 0, 10 + column / 1000, 50 - row / 1000, 0)
        for row in (0, HEIGHT / 2, HEIGHT)
        for column in (0, WIDTH / 2, WIDTH)
    ]
    keys = (1, 1, 0, 3, 1024, 0, 1, 2, 1025, 0, 1, 2 if pixel_is_point else 1, 2048, 0, 1, 4326)
    all_tags = [(33922, "d", 54, np.ravel(ties), False), *((*tag, False) for tag in tags)]
    if crs:
        all_tags.append((34735, "H", len(keys), keys, False))
    tifffile.imwrite(path, np.ones((HEIGHT, WIDTH), "uint8"), extratags=all_tags)
    return path


def test_pixel_is_point_shifts_the_points_as_gdal_does(run: Run, tmp_path: Path) -> None:
    path = tagged(tmp_path / "a.tif", pixel_is_point=True)

    raster = run(path).rasters[0]

    with rasterio.open(path) as source, rasterio.open(raster.path) as cog:
        assert [(p.col, p.row, p.x, p.y) for p in cog.gcps[0]] == [(p.col, p.row, p.x, p.y) for p in source.gcps[0]]
        assert (cog.gcps[0][0].col, cog.gcps[0][0].row) == (0.5, 0.5)


@pytest.mark.parametrize(
    "tag", [(33550, "d", 3, (0.002, 0.002, 0)), (34264, "d", 16, (2e-3, 0, 0, 10, 0, -2e-3, 0, 50, *[0] * 7, 1))]
)
def test_beside_a_geotransform_gdal_ignores_points(run: Run, tmp_path: Path, tag: Any) -> None:
    raster = run(tagged(tmp_path / "a.tif", tag)).rasters[0]

    with rasterio.open(raster.path) as cog:
        assert cog.gcps[0] == []
        assert cog.transform.almost_equals(Affine(0.002, 0, 10, 0, -0.002, 50), precision=1e-12)
    assert raster.code == "EPSG:4326"


def test_a_geotransform_given_with_the_image_wins(run: Run, tmp_path: Path) -> None:
    path = save_swath(tmp_path / "a.tif", PLACES["Sentinel-1"])
    (tmp_path / "a.wld").write_text(WORLD_FILE)

    for raster in (
        run(path, placed=True).rasters[0],
        run(path, tmp_path / "a.wld", placed=Georeference(cs_code=UTM)).rasters[0],
    ):
        with rasterio.open(raster.path) as cog:
            assert (cog.crs, cog.transform, cog.gcps[0]) == (CRS.from_user_input(UTM), CORNER, [])
        assert (raster.code, raster.transform) == (UTM, CORNER[:6])


def test_a_geotransform_alone_is_not_enough(refuse: Refuse, tmp_path: Path) -> None:
    path = save_swath(tmp_path / "a.tif", PLACES["Sentinel-1"])

    message = refuse("MISSING_GEOREFERENCE", path, placed=Georeference(geotrans=CORNER.to_gdal()))

    assert "no coordinate system" in message


def test_another_coordinate_system_contradicts_the_points(refuse: Refuse, tmp_path: Path) -> None:
    path = save_swath(tmp_path / "a.tif", PLACES["Sentinel-1"])

    message = refuse("GEOREFERENCE_MISMATCH", path, placed=Georeference(cs_code=UTM))

    assert "EPSG:32633" in message
    assert "found EPSG:4326" in message


def test_points_without_a_coordinate_system_take_that_of_the_image(run: Run, refuse: Refuse, tmp_path: Path) -> None:
    path = tagged(tmp_path / "a.tif", crs=False)

    assert "no coordinate system" in refuse("MISSING_GEOREFERENCE", path)
    conversion = run(path, placed=Georeference(projection="EPSG:4258"))

    with rasterio.open(conversion.rasters[0].path) as cog:
        assert (len(cog.gcps[0]), cog.gcps[1]) == (9, CRS.from_epsg(4258))
    assert shapely.geometry.shape(conversion.geometry).bounds == pytest.approx((10, 49.7, 10.4, 50))


@pytest.mark.parametrize("lon", [-170, -10, 0, 10])
def test_a_map_of_the_world_is_not_turned(lon: float) -> None:
    gcps = gcps_of(lambda column, row: (lon + (column / WIDTH - 0.5) * 300, 60 - row / HEIGHT * 120))

    place = place_of(header_of(gcps), Georeference(), ())

    assert [point.x for point in place.gcps] == [point.x for point in gcps]


# --- What places nothing


ON_A_LINE = [GroundControlPoint(i * 17.3, i * 11.7, 10 + i * 0.0173, 50 - i * 0.0117, 0.0) for i in range(5)]
REFUSED = {
    "two points": gcps_of(swath(12, 48), 2, 2)[:2],
    "on a line": ON_A_LINE,
    "ten on a line": ON_A_LINE * 2,
    "almost on a line": [
        GroundControlPoint(p.row + 1e-6 * (i % 2), p.col, p.x, p.y, 0.0) for i, p in enumerate(ON_A_LINE)
    ],
    "two lines of three": gcps_of(swath(12, 48), 2, 3),
    "two lines of ten": gcps_of(swath(12, 48), 2, 10),
    "two columns": gcps_of(swath(12, 48), 10, 2),
    "one place": gcps_of(lambda column, row: (10, 50)),
    "one pixel": [GroundControlPoint(1, 1, p.x, p.y, 0.0) for p in gcps_of(swath(12, 48))],
    "no number": [GroundControlPoint(1, 1, math.nan, 50, 0.0), *gcps_of(swath(12, 48))],
}


@pytest.mark.parametrize("name", REFUSED)
def test_points_that_leave_open_where_pixels_lie_are_refused(name: str) -> None:
    with pytest.raises(UploadError, match=r"at least 3 .* found \d+ that do not") as caught:
        place_of(header_of(REFUSED[name]), Georeference(), ())
    assert caught.value.code == "INVALID_GEOREFERENCE"


def test_a_pole_among_the_points_is_refused() -> None:
    xs, ys = np.meshgrid(np.linspace(-1e6, 1e6, 10), np.linspace(8e5, -8e5, 21))
    lon, lat = transform("EPSG:3413", "EPSG:4326", xs.ravel(), ys.ravel())
    columns, rows = np.meshgrid(np.linspace(0, WIDTH, 10), np.linspace(0, HEIGHT, 21))
    gcps = [GroundControlPoint(*p, 0.0) for p in zip(rows.ravel(), columns.ravel(), lon, lat, strict=True)]

    with pytest.raises(UploadError, match=r"off it by \d+%") as caught:
        place_of(header_of(gcps), Georeference(), ())

    assert caught.value.code == "INVALID_GEOREFERENCE"


def test_points_that_are_not_on_the_earth_are_refused(refuse: Refuse, tmp_path: Path) -> None:
    path = save_swath(tmp_path / "a.tif", (gcps_of(lambda column, row: (column, 400 - row)), "EPSG:4326"))

    assert "lie on the Earth" in refuse("INVALID_GEOREFERENCE", path)


@given(
    st.lists(
        st.tuples(*(st.integers(0, 4) | st.floats(-200, 200, width=16) for _ in range(4))), min_size=1, max_size=12
    )
)
@settings(max_examples=300, deadline=None)
def test_any_points_place_pixels_or_are_refused(points: list[tuple[float, ...]]) -> None:
    try:
        place = place_of(header_of([GroundControlPoint(*point, 0.0) for point in points]), Georeference(), ())
    except UploadError as error:
        if error.code != "INVALID_GEOREFERENCE":
            raise
        return
    rows, columns, _, _ = np.array(points).T
    found = np.column_stack(place.coordinates(columns, rows))
    known = np.array([(point.x, point.y) for point in place.gcps])
    assert (np.abs(found - known).max(axis=0) <= 0.1 * np.ptp(known, axis=0)).all()


def test_rational_polynomials_alone_are_refused(refuse: Refuse, run: Run, tmp_path: Path) -> None:
    of = ("height", "lat", "line", "long", "samp")
    numbers = {f"{one}_{kind}": float(index) for index, one in enumerate(of, start=1) for kind in ("off", "scale")}
    series = {f"{one}_{kind}_coeff": [0.5] * 20 for one in ("line", "samp") for kind in ("num", "den")}
    rpcs = RPC(**numbers, **series, err_bias=0.5, err_rand=0.25)
    profile = {"driver": "GTiff", "width": 30, "height": 20, "count": 1, "dtype": "uint8", "rpcs": rpcs}
    with (
        warnings.catch_warnings(action="ignore", category=NotGeoreferencedWarning),
        rasterio.open(tmp_path / "a.tif", "w", **profile) as file,
    ):
        file.write(np.ones((1, 20, 30), "uint8"))

    message = refuse("MISSING_GEOREFERENCE", tmp_path / "a.tif")
    assert "RPC" in message
    assert "gdalwarp" in message
    with rasterio.open(run(tmp_path / "a.tif", placed=True).rasters[0].path) as cog:
        assert cog.rpcs.to_dict() == rpcs.to_dict()
        assert cog.transform == CORNER


# --- Reading


def read_by_gdal(path: Path, shape: tuple[int, int], grid: Any, how: str = "nearest") -> tuple[Any, Any]:
    made = np.zeros((2, *shape), "uint16")
    with rasterio.open(path) as file:
        band = rasterio.band(file, 1)
        reproject(
            band, made, dst_transform=grid.transform, dst_crs=grid.crs, dst_alpha=2, dst_nodata=0,
            resampling=rasterio.enums.Resampling[how],
        )  # fmt: skip
    return made[0], made[1] > 0


@pytest.mark.parametrize("name", PLACES)
def test_without_a_place_it_is_read_as_gdal_warps_it(run: Run, tmp_path: Path, images: Images, name: str) -> None:
    path = save_swath(tmp_path / "a.tif", PLACES[name])
    raster = run(path).rasters[0]

    array, info = images(raster.path).ndarray("b", raster_info=True)

    pixels, valid, profile = warped(path)
    assert info["size"] == [profile["width"], profile["height"]]
    assert info["geoTransform"] == pytest.approx(profile["transform"].to_gdal(), abs=1e-9)
    assert array.shape == pixels.shape
    assert (np.ma.getmaskarray(array) == ~valid).mean() > 0.999
    # Along lines of its own, either is at most an eighth of a pixel off.
    assert (array.filled(0) == pixels).mean() > (0.9 if name == "hills" else 0.999)


@pytest.mark.parametrize("west", [179.8, -180.2])
def test_both_sides_of_the_antimeridian_are_read(run: Run, tmp_path: Path, images: Images, west: float) -> None:
    path = save_swath(tmp_path / "a.tif", PLACES["across 180"])
    context = GeoContext(
        bounds=(west, 61.95, west + 0.4, 62.05), bounds_crs="EPSG:4326", crs="EPSG:4326", resolution=0.001
    )

    array = images(run(path).rasters[0].path).ndarray("b", context)

    grid = replace(context.grid, transform=context.grid.transform.translation(179.8 - west, 0) @ context.grid.transform)
    pixels, valid = read_by_gdal(path, array.shape[1:], grid)
    assert valid.all()
    assert not np.ma.getmaskarray(array).any()
    assert (array.data[0] == pixels).mean() > 0.999


@pytest.mark.parametrize(("name", "crs"), [("Sentinel-1", UTM), ("bent", "EPSG:3857"), ("metres", "EPSG:4326")])
@pytest.mark.parametrize("how", ["near", "cubic"])
def test_on_any_grid_it_is_read_as_gdal_warps_it(
    run: Run, tmp_path: Path, images: Images, name: str, crs: str, how: str
) -> None:
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH]
    smooth = (30_000 + 9000 * np.sin(x / 40) + 9000 * np.cos(y / 30)).astype("uint16")[None]
    path = save_swath(tmp_path / "a.tif", PLACES[name], smooth)
    image = images(run(path).rasters[0].path)
    _, _, native = warped(path, crs=crs)
    context = GeoContext(
        bounds=tuple(rasterio.transform.array_bounds(native["height"], native["width"], native["transform"])),
        bounds_crs=crs, crs=crs, shape=(200, 220),
    )  # fmt: skip

    array = image.ndarray("b", context, resampler=how)

    pixels, valid = read_by_gdal(path, (200, 220), context.grid, {"near": "nearest"}.get(how, how))
    both = valid & ~np.ma.getmaskarray(array)[0]
    assert (valid == ~np.ma.getmaskarray(array)[0]).mean() > 0.99
    off = np.abs(array.filled(0)[0].astype(int) - pixels)[both]
    assert np.quantile(off, 0.99) < (1 if how == "near" else 400)


def test_a_coarse_grid_is_read_from_an_overview(run: Run, tmp_path: Path, images: Images) -> None:
    path = save_swath(tmp_path / "a.tif", PLACES["Sentinel-1"], np.full((1, HEIGHT, WIDTH), 7, "uint16"))
    raster = run(path, profile=CogProfile(overviews=(2, 4))).rasters[0]

    array = images(raster.path).ndarray("b", resolution=0.01, resampler="average")

    covered = 1 - np.ma.getmaskarray(array).mean()
    _, valid, _ = warped(path)
    assert set(array.compressed()) == {7}
    assert covered == pytest.approx(valid.mean(), abs=0.1)
