"""Products and images as STAC and back, and what the schemas of STAC say of them."""

from __future__ import annotations

import copy
import importlib.util
import json
import math
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pystac
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stac_ingest.models.bands import Band, ClassBand, GenericBand, Layout, MaskBand, MicrowaveBand, SpectralBand
from stac_ingest.models.cog import CogProfile
from stac_ingest.models.enums import Codec, DataType, OverviewResampler, StorageState
from stac_ingest.models.image import Image
from stac_ingest.models.product import Product
from stac_ingest.models.raster import BandHistogram, BandStatistics, Conversion, Preview, Raster, RasterBand
from stac_ingest.stac import (
    SCHEMA,
    bands_from_collection,
    bbox_of,
    collection_from_product,
    image_from_item,
    item_with_image,
    merge_patch,
    product_from_collection,
    schema_document,
    stac_band,
    with_extensions,
)
from stac_ingest.stac.conversions import item_from_conversion
from stac_ingest.stac.extensions import EXTENSIONS
from stac_ingest.stac.images import properties_from_image

Json = dict[str, Any]
Errors = Callable[[Json], list[str]]
CHECKER = Path(__file__).parents[3] / "shared" / "acceptance" / "stac_schemas.py"
NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
LINKS = [{"rel": "collection", "href": "https://example.com/collections/p"}]  # as the API writes them
SQUARE: Json = {"type": "Polygon", "coordinates": [[[10, 40], [11, 40], [11, 41], [10, 41], [10, 40]]]}
BANDS: list[Band] = [
    SpectralBand(name="red", data_type=DataType.UINT16, data_range=(0, 10_000), physical_range=(0, 1), nodata=0,
                 wavelength_nm_min=630, wavelength_nm_max=690, resolution="10m", tags=["visible"], sort_order=2),
    SpectralBand(name="nir", data_type=DataType.UINT16, wavelength_nm_center=842, wavelength_nm_fwhm=115, nodata=0,
                 description="Near infrared", physical_range=(-0.1, 1.5), data_range=(1, 2001), sort_order=1),
    MicrowaveBand(name="vv", frequency=5.405, bandwidth=56.5, file_index=1, physical_range_unit="dB",
                  nodata=float("nan"), data_type=DataType.FLOAT32),
    MaskBand(name="cloud", file_index=2, data_type=DataType.BYTE, is_alpha=True),
    ClassBand(name="cover", file_index=3, data_type=DataType.BYTE, class_labels=["no data", None, "Tree cover", "草"],
              colormap=[(0, 0, 0, 0), (1, 2, 3, 255), (0, 100, 0, 255)], nodata=0),
    GenericBand(name="height", file_index=4, data_type=DataType.FLOAT32, nodata=-9999.0, physical_range_unit="m",
                resolution={"value": 0.25, "unit": "degrees"}, extra_properties={"datum": "EGM2008"}),
]  # fmt: skip
PRODUCT = Product(
    id="team:product",
    name="A product",
    description="What it is.",
    tags=["one", "two"],
    extra_properties={"a": [1, {"b": None}]},
    license="CC-BY-4.0",
    start_datetime=datetime(2015, 1, 1, tzinfo=UTC),
    revisit_period_minutes_min=60,
    default_display_bands=["red"],
    cog_profile=CogProfile(codec=Codec.ZSTD, level=5, block_size=256, overviews=(2, 4), overview_resampler="nearest"),
)


@pytest.fixture(scope="session")
def schema_errors() -> Errors:
    if not CHECKER.exists():
        pytest.skip(f"{CHECKER} is not there")
    specification = importlib.util.spec_from_file_location("stac_schemas", CHECKER)
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    document = schema_document(SCHEMA)

    def errors(stac: Json) -> list[str]:
        found: list[str] = module.errors(
            json.loads(json.dumps(stac, allow_nan=False)), known_elsewhere={SCHEMA: document}
        )
        return found

    return errors


def raster(asset: str, count: int = 1, **attributes: Any) -> Raster:
    statistics = BandStatistics(minimum=1, maximum=9, mean=4.5, stddev=2.25, valid_percent=99.5)
    histogram = BandHistogram(count=9, min=1, max=10, buckets=(4, 0, 0, 0, 2, 0, 0, 0, 3))
    band = RasterBand(data_type="uint16", nodata=0, statistics=statistics, histogram=histogram)
    return Raster(**{
        "asset": asset, "path": Path("x.tif"), "size": 12_345, "sha256": "ab" * 32, "header_size": 500,
        "shape": (200, 100), "transform": (10, 0, 500_000, 0, -10, 4_500_000),
        "bbox": (500_000, 4_498_000, 501_000, 4_500_000), "code": "EPSG:32633", "wkt2": 'PROJCRS["x"]',
        "bands": (band,) * count,
        "overviews": (2, 4), "resampler": OverviewResampler.AVERAGE, "metre_resolution": 10.0, **attributes,
    })  # fmt: skip


def conversion(rasters: Sequence[Raster], **attributes: Any) -> Conversion:
    return Conversion(**{
        "rasters": tuple(rasters),
        "previews": tuple(
            Preview(role=role, path=Path("x.png"), size=99, sha256="cd" * 32, shape=(25, 50))
            for role in ("thumbnail", "overview")
        ),
        "geometry": SQUARE, "bbox": (10, 40, 11, 41), "fill_fraction": 0.75,
        "software": {"GDAL": "3.12.2"}, "sandbox": "network namespace", **attributes,
    })  # fmt: skip


def item_of(image: Image, bands: Sequence[Band] = BANDS, profile: CogProfile | None = None, **attributes: Any) -> Json:
    keys = Layout.of(bands).asset_keys()
    rasters = [
        raster(key, len(file.bands)) for key, file in zip(keys, Layout.of(bands).files, strict=True)
    ]  # fmt: skip
    hrefs = {key: f"s3://bucket/{key}.tif" for key in (*keys, "thumbnail", "overview")}
    product = Product(id="p", cog_profile=profile)
    return item_from_conversion(image, product, bands, conversion(rasters, **attributes), hrefs, now=NOW)


# --- Products -------------------------------------------------------------------------------------------------------


def test_a_product_and_its_bands_come_back_from_their_collection() -> None:
    collection = json.loads(json.dumps(collection_from_product(PRODUCT, BANDS), allow_nan=False))

    product = product_from_collection(collection)
    assert (product.resolution_min, product.resolution_max) == (BANDS[0].resolution, BANDS[-1].resolution)
    assert product.evolve(resolution_min=None, resolution_max=None) == PRODUCT
    found = bands_from_collection(collection)
    assert [band.name for band in found] == ["nir", "red", "vv", "cloud", "cover", "height"]
    by_name = {band.name: band for band in found}
    for band in BANDS:
        if band.name == "vv":
            assert by_name["vv"].nodata is not None
            assert math.isnan(by_name["vv"].nodata)
        else:
            assert by_name[band.name] == band


TEXTS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=30)


@given(
    name=TEXTS,
    description=st.none() | TEXTS,
    tags=st.lists(TEXTS, max_size=4),
    extra=st.dictionaries(TEXTS, st.none() | st.booleans() | st.integers() | TEXTS, max_size=3),
    years=st.tuples(st.none() | st.integers(1970, 2030), st.none() | st.integers(1970, 2030)),
    display=st.none() | st.lists(st.sampled_from(["red", "nir"]), min_size=1, max_size=4),
    profile=st.none()
    | st.fixed_dictionaries(
        {},
        optional={
            "codec": st.sampled_from(Codec),
            "block_size": st.sampled_from([128, 2048]),
            "overviews": st.lists(st.integers(2, 64), min_size=1, max_size=4, unique=True),
            "overview_resampler": st.sampled_from(OverviewResampler),
        },
    ),
)
def test_any_product_comes_back(
    name: str,
    description: str | None,
    tags: list[str],
    extra: Json,
    years: tuple[int | None, int | None],
    display: list[str] | None,
    profile: Json | None,
) -> None:
    start, end = (None if year is None else datetime(year, 1, 1, tzinfo=UTC) for year in years)
    product = Product(
        id="p",
        name=name,
        description=description,
        tags=tags,
        extra_properties=extra,
        start_datetime=start,
        end_datetime=end,
        default_display_bands=display,
        cog_profile=profile,
    )

    assert product_from_collection(collection_from_product(product, [])) == product


def test_a_collection_keeps_what_the_product_has_no_say_in() -> None:
    base = collection_from_product(PRODUCT, BANDS)
    base |= {"providers": [{"name": "we"}], "links": [{"rel": "license", "href": "x"}], "sci:doi": "10.1/1"}
    base["extent"] = {"spatial": {"bbox": [[1, 2, 3, 4]]}, "temporal": {"interval": [["2000-01-01T00:00:00Z", None]]}}
    base["stac_extensions"] = [*base["stac_extensions"], "https://example.com/other.json"]
    before = copy.deepcopy(base)

    changed = collection_from_product(PRODUCT.evolve(name="Another", tags=[]), BANDS[:1], base)

    assert base == before
    assert changed["title"] == "Another"
    assert "keywords" not in changed
    assert list(changed["item_assets"]) == ["red"]
    assert changed["providers"] == [{"name": "we"}]
    assert changed["links"] == base["links"]
    assert changed["extent"]["spatial"] == {"bbox": [[1, 2, 3, 4]]}
    assert changed["extent"]["temporal"] == {"interval": [["2015-01-01T00:00:00Z", None]]}
    assert "https://example.com/other.json" in changed["stac_extensions"]
    assert EXTENSIONS["classification"] not in changed["stac_extensions"]


def test_a_collection_of_somebody_else_is_a_product_too() -> None:
    foreign = {"type": "Collection", "id": "theirs", "description": "d", "license": "MIT", "links": [], "extent": {}}

    product = product_from_collection(foreign)

    assert (product.id, product.name, product.description, product.license) == ("theirs", None, "d", "MIT")
    assert bands_from_collection(foreign) == ()


def test_collections_are_valid_stac(schema_errors: Errors) -> None:
    for product, bands in ((PRODUCT, BANDS), (Product(id="bare"), []), (Product(id="p"), BANDS[:2])):
        collection = collection_from_product(product, bands)
        assert schema_errors(collection) == []
        assert pystac.Collection.from_dict(copy.deepcopy(collection)).id == product.id
    for wrong in ({"ingest:bands": [{"name": 5}]}, {"ingest:product": {"cog_profile": {"codec": "SNAPPY"}}}):
        assert schema_errors({**collection_from_product(PRODUCT, BANDS), **wrong})


def test_bands_as_stac_has_them() -> None:
    red, nir, vv, cloud, cover, height = map(stac_band, BANDS)

    assert red == {
        "name": "red", "keywords": ["visible"], "data_type": "uint16", "nodata": 0, "raster:spatial_resolution": 10,
        "raster:scale": 0.0001, "raster:offset": 0, "eo:common_name": "red", "eo:center_wavelength": 0.66,
        "eo:full_width_half_max": 0.06,
    }  # fmt: skip
    assert (nir["eo:center_wavelength"], nir["eo:full_width_half_max"]) == (0.842, 0.115)
    assert (nir["raster:scale"], nir["raster:offset"]) == (0.0008, -0.1008)
    assert (vv["sar:center_frequency"], vv["sar:bandwidth"], vv["unit"], vv["nodata"]) == (5.405, 0.0565, "dB", "nan")
    assert [entry["value"] for entry in cloud["classification:classes"]] == [0, 1]
    assert cover["classification:classes"] == [
        {"value": 0, "name": "no_data", "title": "no data", "color_hint": "000000", "nodata": True},
        {"value": 2, "name": "Tree_cover", "title": "Tree cover", "color_hint": "006400"},
        {"value": 3, "name": "class_3", "title": "草"},
    ]
    assert height["raster:spatial_resolution"] == pytest.approx(27_829.873, abs=0.001)


def test_scale_and_offset_map_data_to_physical_values() -> None:
    band = SpectralBand(name="b", data_range=(-100, 900), physical_range=(-0.5, 2))

    entry = stac_band(band)

    for data, physical in ((-100, -0.5), (900, 2)):
        assert data * entry["raster:scale"] + entry["raster:offset"] == pytest.approx(physical)


# --- Images ---------------------------------------------------------------------------------------------------------

ANGLES = st.floats(0, 360).map(lambda angle: round(angle, 6))
SHARES = st.floats(0, 1).map(lambda share: round(share, 9))
MOMENTS = st.datetimes(datetime(1900, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001
IMAGES = st.fixed_dictionaries(
    {"product_id": st.just("team:p"), "name": st.just("n"), "acquired": MOMENTS},
    optional={
        "acquired_end": MOMENTS,
        "published": MOMENTS,
        "created": MOMENTS,
        "modified": MOMENTS,
        "tags": st.lists(TEXTS, max_size=4),
        "extra_properties": st.dictionaries(TEXTS, st.none() | st.integers() | TEXTS, max_size=3),
        "storage_state": st.sampled_from(StorageState),
        "cloud_fraction": SHARES,
        "alt_cloud_fraction": SHARES,
        "bright_fraction": SHARES,
        "fill_fraction": SHARES,
        "azimuth_angle": ANGLES,
        "incidence_angle": st.floats(0, 90),
        "view_angle": st.floats(-90, 90),
        "roll_angle": st.floats(-180, 180),
        "solar_azimuth_angle": ANGLES,
        "solar_elevation_angle": st.floats(-90, 90),
        "satellite_id": TEXTS,
        "provider_id": TEXTS,
        "provider_url": TEXTS,
        "processing_pipeline_id": TEXTS,
        "area": st.floats(0, 1e9),
        "geometry": st.just(SQUARE),
    },
)


@given(attributes=IMAGES)
def test_any_image_comes_back_from_its_item(attributes: Json) -> None:
    image = Image(**attributes)

    item = json.loads(json.dumps(item_with_image({}, image), allow_nan=False))

    assert image_from_item(item) == image
    assert item_with_image(item, image_from_item(item)) == item
    assert ("bbox" in item) == (item["geometry"] is not None)


@given(first=IMAGES, second=IMAGES)
def test_an_attribute_that_is_taken_away_leaves_the_item(first: Json, second: Json) -> None:
    item = item_with_image({"properties": {"their:own": 5, "instruments": ["x"]}}, Image(**first))

    changed = item_with_image(item, Image(**second))

    expected = image_from_item(changed)
    assert expected == Image(**second).evolve(geometry=second.get("geometry", first.get("geometry")))
    assert changed["properties"]["their:own"] == 5
    assert changed["properties"]["instruments"] == ["x"]


def test_attributes_as_stac_has_them() -> None:
    image = Image(
        product_id="p",
        name="n",
        acquired=NOW,
        acquired_end=NOW.replace(hour=4),
        cloud_fraction=0.29,
        view_angle=-12.5,
        solar_elevation_angle=-3,
        satellite_id="sentinel-2a",
        tags=["b", "a"],
    )

    properties = {name: value for name, value in properties_from_image(image).items() if value is not None}

    assert properties == {
        "datetime": "2026-01-02T03:04:05Z",
        "start_datetime": "2026-01-02T03:04:05Z",
        "end_datetime": "2026-01-02T04:04:05Z",
        "eo:cloud_cover": 29,
        "ingest:view_angle": -12.5,
        "view:off_nadir": 12.5,
        "view:sun_elevation": -3,
        "platform": "sentinel-2a",
        "keywords": ["b", "a"],
        "ingest:storage_state": "available",
    }


def test_items_of_images_are_valid_stac(schema_errors: Errors) -> None:
    @given(attributes=IMAGES)
    def check(attributes: Json) -> None:
        item = item_with_image({"links": LINKS}, Image(**{**attributes, "geometry": SQUARE}))
        assert schema_errors(item) == []

    check()


def test_items_of_conversions_are_valid_stac(schema_errors: Errors) -> None:
    image = Image(product_id="p", name="n", acquired=NOW, cloud_fraction=0.1, tags=["t"], published=NOW)

    item = {**item_of(image), "links": LINKS}

    assert schema_errors(item) == []
    assert schema_errors({**item_of(image, [BANDS[0], BANDS[1]]), "links": LINKS}) == []
    nowhere = raster("red", code=None, metre_resolution=None, overviews=(), bands=(RasterBand(data_type="uint16"),))
    bare = item_from_conversion(
        image, Product(id="p"), [BANDS[0]], conversion([nowhere], previews=()), {"red": "s3://b/k"}, now=NOW
    )
    assert schema_errors({**bare, "links": LINKS}) == []
    assert schema_errors({**item, "properties": {**item["properties"], "ingest:fill_fraction": 2}})
    assert pystac.Item.from_dict(copy.deepcopy(item)).collection_id == "p"


def test_an_item_says_what_was_written() -> None:
    item = item_of(Image(product_id="p", name="n", acquired=NOW))

    assert list(item["assets"]) == ["data", "vv", "cloud", "cover", "height", "thumbnail", "overview"]
    data = item["assets"]["data"]
    assert data["href"] == "s3://bucket/data.tif"
    assert data["file:checksum"] == "1220" + "ab" * 32
    assert (data["file:size"], data["file:header_size"]) == (12_345, 500)
    assert (data["proj:shape"], data["proj:transform"]) == ([200, 100], [10, 0, 500_000, 0, -10, 4_500_000])
    assert [band["name"] for band in data["bands"]] == ["nir", "red"]
    assert data["bands"][0]["statistics"]["valid_percent"] == 99.5
    assert data["bands"][0]["raster:histogram"] == {
        "count": 9, "min": 1, "max": 10, "buckets": [4, 0, 0, 0, 2, 0, 0, 0, 3]
    }  # fmt: skip
    assert (data["ingest:overviews"], data["ingest:overview_resampler"]) == ([2, 4], "average")
    assert [asset.get("ingest:file_index") for asset in item["assets"].values()] == [0, 1, 2, 3, 4, None, None]
    assert item["assets"]["cloud"]["roles"] == ["data", "data-mask"]
    assert item["assets"]["thumbnail"]["roles"] == ["thumbnail"]
    properties = item["properties"]
    assert properties["ingest:fill_fraction"] == 0.75
    assert (properties["gsd"], properties["proj:code"]) == (10, "EPSG:32633")
    assert properties["created"] == properties["updated"] == "2026-01-02T03:04:05Z"
    assert (item["bbox"], item["geometry"]) == ([10, 40, 11, 41], SQUARE)


def test_pixels_that_control_points_place_have_no_coordinate_system(schema_errors: Errors) -> None:
    """As the Projection extension wants it; with a code, GDAL would take `proj:bbox` and `proj:shape` for a grid."""
    image = Image(product_id="p", name="n", acquired=NOW)
    swath = raster("red", code=None, wkt2=None, transform=None, bbox=None)

    item = item_from_conversion(
        image, Product(id="p"), [BANDS[0]], conversion([swath], previews=()), {"red": "s3://b/k"}, now=NOW
    )

    assert schema_errors({**item, "links": LINKS}) == []
    (asset,) = item["assets"].values()
    assert {name for name in asset if name.startswith("proj:")} == {"proj:shape"}
    assert "proj:code" not in item["properties"]
    assert item["properties"]["gsd"] == asset["raster:spatial_resolution"] == 10
    found = image_from_item(item)
    assert (found.x_pixels, found.y_pixels) == (100, 200)
    assert (found.geotrans, found.cs_code, found.projection) == (None, None, None)


def test_the_attributes_given_with_the_upload_win() -> None:
    mine = {"type": "Point", "coordinates": [1, 2]}
    image = Image(product_id="p", name="n", acquired=NOW, fill_fraction=0.1, geometry=mine)

    item = item_of(image)

    assert item["properties"]["ingest:fill_fraction"] == 0.1
    assert (item["geometry"], item["bbox"]) == (mine, [1, 2, 1, 2])


def test_the_lineage_tells_what_was_written_and_what_was_taken() -> None:
    def lineage(*rasters: Raster) -> str:
        bands = [MaskBand(name=one.asset, file_index=index) for index, one in enumerate(rasters)]
        image = Image(product_id="p", name="n", acquired=NOW)
        hrefs = {one.asset: "s3://b/k" for one in rasters}
        made = conversion(rasters, previews=())
        item = item_from_conversion(image, Product(id="p"), bands, made, hrefs, now=NOW)
        asset = item["assets"][rasters[-1].asset]
        assert asset.get("ingest:overview_resampler") == rasters[-1].resampler
        return str(item["properties"]["processing:lineage"])

    written, taken = raster("a"), raster("b", taken=True, resampler=None)

    assert lineage(written) == (
        "Written as Cloud-Optimized GeoTIFF from the uploaded pixels, unchanged, overviews by average"
    )
    assert lineage(taken) == "Uploaded as Cloud-Optimized GeoTIFF, verified and taken as it is, not rewritten"
    assert lineage(written, taken) == (
        "Written as Cloud-Optimized GeoTIFF from the uploaded pixels, unchanged, overviews by average;"
        " Uploaded as Cloud-Optimized GeoTIFF (b), verified and taken as it is, not rewritten"
    )


def test_an_item_tells_where_its_pixels_lie() -> None:
    found = image_from_item(item_of(Image(product_id="p", name="n", acquired=NOW)))

    assert found.geotrans == (500_000, 10, 0, 4_500_000, 0, -10)
    assert (found.x_pixels, found.y_pixels, found.cs_code, found.projection) == (100, 200, "EPSG:32633", None)
    assert [file.href for file in found.files][:2] == ["s3://bucket/data.tif", "s3://bucket/vv.tif"]
    assert found.files[0].hash == "1220" + "ab" * 32


def test_an_item_of_somebody_else_is_an_image_too() -> None:
    foreign: Json = {
        "type": "Feature",
        "stac_version": "1.0.0",
        "id": "scene",
        "collection": "theirs",
        "geometry": None,
        "properties": {
            "datetime": None,
            "start_datetime": "2020-01-01T00:00:00Z",
            "end_datetime": "2020-02-01T00:00:00Z",
        },
        "assets": {"B02": {"href": "https://x/b2.tif", "roles": ["data"]}, "meta": {"href": "https://x/m.xml"}},
        "links": [],
    }

    image = image_from_item(foreign)

    assert image.acquired == datetime(2020, 1, 1, tzinfo=UTC)
    assert image.acquired_end == datetime(2020, 2, 1, tzinfo=UTC)
    assert [file.href for file in image.files] == ["https://x/b2.tif"]
    again = item_with_image(foreign, image)
    assert again["properties"]["datetime"] == again["properties"]["start_datetime"] == "2020-01-01T00:00:00Z"
    assert again["assets"] == foreign["assets"]
    assert "bbox" not in again


# --- Bounding boxes -------------------------------------------------------------------------------------------------


def box(west: float, east: float, south: float = 0, north: float = 1) -> list[list[list[float]]]:
    return [[[west, south], [east, south], [east, north], [west, north], [west, south]]]


@pytest.mark.parametrize(
    ("geometry", "expected"),
    [
        ({"type": "Point", "coordinates": [5, 6]}, [5, 6, 5, 6]),
        ({"type": "Polygon", "coordinates": box(1, 2)}, [1, 0, 2, 1]),
        ({"type": "MultiPoint", "coordinates": [[1, 2], [-3, 4]]}, [-3, 2, 1, 4]),
        ({"type": "LineString", "coordinates": [[1, 2, 100], [3, 0, 900]]}, [1, 0, 3, 2]),
        ({"type": "MultiPolygon", "coordinates": [box(1, 2), box(5, 6, -4, -3)]}, [1, -4, 6, 1]),
        ({"type": "MultiPolygon", "coordinates": [box(170, 180), box(-180, -170)]}, [170, 0, -170, 1]),
        ({"type": "MultiPolygon", "coordinates": [box(-180, -170), box(170, 180)]}, [170, 0, -170, 1]),
        ({"type": "MultiPolygon", "coordinates": [box(170, 180), box(-180, -170), box(160, 165)]}, [160, 0, -170, 1]),
        ({"type": "MultiPolygon", "coordinates": [box(-180, 180), box(170, 175, 2, 3)]}, [-180, 0, 180, 3]),
        ({"type": "MultiPolygon", "coordinates": [box(-180, 0), box(0, 180)]}, [-180, 0, 180, 1]),
        ({"type": "MultiPolygon", "coordinates": [box(170, 180)]}, [170, 0, 180, 1]),
        (
            {"type": "GeometryCollection", "geometries": [{"type": "Point", "coordinates": [5, 6]},
             {"type": "MultiPolygon", "coordinates": [box(1, 2), box(3, 4)]}]},
            [1, 0, 5, 6],
        ),
    ],
)  # fmt: skip
def test_bounding_boxes(geometry: Json, expected: list[float]) -> None:
    assert bbox_of(geometry) == expected


# --- Extensions -----------------------------------------------------------------------------------------------------


def test_an_item_lists_just_the_extensions_that_it_uses() -> None:
    image = Image(product_id="p", name="n", acquired=NOW)
    served = f"https://example.org/catalog/{SCHEMA.removeprefix('https://stac-ingest.invalid/')}"

    plain = item_with_image({"geometry": SQUARE, "stac_extensions": [EXTENSIONS["sar"], "https://x/y.json"]}, image)
    cloudy = item_with_image({"geometry": SQUARE}, image.evolve(cloud_fraction=0))

    assert plain["stac_extensions"] == sorted([SCHEMA, "https://x/y.json"])
    assert set(cloudy["stac_extensions"]) == {SCHEMA, EXTENSIONS["eo"]}
    assert with_extensions({"properties": {}, "stac_extensions": [served]})["stac_extensions"] == []
    whole = item_of(image)
    assert set(EXTENSIONS.values()) - set(whole["stac_extensions"]) == {EXTENSIONS["view"]}


# --- Patches --------------------------------------------------------------------------------------------------------

VALUES = st.recursive(
    st.booleans() | st.integers(-5, 5) | st.text(max_size=3) | st.lists(st.integers(0, 2), max_size=2),
    lambda inner: st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=12,
)
OBJECTS = st.dictionaries(st.sampled_from("abcd"), VALUES, max_size=4)


def apply(target: Any, patch: Any) -> Any:
    """RFC 7396 section 2, as it is written there."""
    if not isinstance(patch, dict):
        return patch
    result = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = apply(result.get(key), value)
    return result


@given(old=OBJECTS, new=OBJECTS)
def test_a_patch_makes_the_new_of_the_old(old: Json, new: Json) -> None:
    assert apply(old, merge_patch(old, new)) == new
    assert merge_patch(new, new) == {}


@pytest.mark.parametrize(
    ("profile", "told"),
    [
        (None, "unchanged"),
        ({"codec": "ZSTD", "level": 5}, "unchanged"),
        ({"codec": "LERC"}, "unchanged"),
        ({"codec": "WEBP", "quality": 100}, "unchanged"),
        ({"codec": "WEBP"}, "changed by lossy compression (WEBP)"),
        ({"codec": "JPEG", "quality": 100}, "changed by lossy compression (JPEG)"),
        ({"codec": "LERC", "max_error": 0.5}, "changed by at most 0.5 (LERC)"),
    ],
)
def test_an_item_says_whether_pixels_were_changed(profile: Json | None, told: str) -> None:
    image = Image(product_id="p", name="n", acquired=NOW)

    item = item_of(image, profile=None if profile is None else CogProfile.check(profile))

    expected = f"Written as Cloud-Optimized GeoTIFF from the uploaded pixels, {told}, overviews by average"
    assert item["properties"]["processing:lineage"] == expected


def test_a_patch_names_only_what_changed() -> None:
    old = {"a": 1, "b": {"c": 1, "d": 2}, "e": [1], "f": 0}
    new = {"a": 1, "b": {"c": 1, "d": 3}, "e": [1, 2]}

    assert merge_patch(old, new) == {"b": {"d": 3}, "e": [1, 2], "f": None}


# --- Renders --------------------------------------------------------------------------------------------------------


def shown(bands: list[Band], display: list[str] | None = None) -> Json:
    product = Product(id="p", default_display_bands=display)
    renders: Json = collection_from_product(product, bands).get("renders", {})
    return renders


def rgb(*, files: bool = False, **attributes: Any) -> list[Band]:
    return [
        SpectralBand(name=name, file_index=index if files else 0, **attributes)
        for index, name in enumerate(("red", "green", "blue", "nir"))
    ]


def test_default_display_bands_are_a_render_of_one_file(schema_errors: Errors) -> None:
    bands = rgb(display_range=(0, 4000), data_range=(0, 10_000), nodata=0)
    renders = shown([*bands, MaskBand(name="alpha", is_alpha=True)], ["nir", "red", "green", "alpha"])
    expected = {"title": "Default", "assets": ["data"], "bidx": [4, 1, 2], "rescale": [[0, 4000]] * 3, "nodata": 0}
    assert renders == {"default": expected}
    collection = collection_from_product(Product(id="p", default_display_bands=["nir", "red", "green"]), bands)
    assert schema_errors(collection) == []
    assert any("render/v2.0.0" in url for url in collection["stac_extensions"])


def test_default_display_bands_are_a_render_of_several_files() -> None:
    renders = shown(rgb(files=True, data_range=(0, 10_000)), ["red", "green", "blue"])
    expected = {"assets": ["red", "green", "blue"], "bidx": [1, 1, 1], "rescale": [[0, 10_000]] * 3}
    assert renders["default"].items() >= expected.items()


def test_a_band_with_colours_is_a_render(schema_errors: Errors) -> None:
    cover = ClassBand(name="cover", colormap=[(0, 0, 0, 0), (1, 2, 3, 255)], data_range=(0, 1))
    height = GenericBand(name="height", colormap_name="terrain", data_range=(-10, 9000), file_index=1)
    renders = shown([cover, height])
    assert renders["cover"] == {
        "title": "cover", "assets": ["cover"], "bidx": [1], "colormap": {"0": [0, 0, 0, 0], "1": [1, 2, 3, 255]},
    }  # fmt: skip
    assert renders["height"]["colormap_name"] == "terrain"
    assert renders["height"]["rescale"] == [[-10, 9000]]
    assert schema_errors(collection_from_product(Product(id="p"), [cover, height])) == []


@pytest.mark.parametrize(
    ("bands", "display"),
    [
        (rgb(), None),
        (rgb(), ["red", "absent", "blue"]),
        ([SpectralBand(name="a"), SpectralBand(name="b"), SpectralBand(name="c", file_index=1)], ["a", "b", "c"]),
        ([], ["red"]),
    ],
)
def test_what_the_extension_cannot_say_is_no_render(bands: list[Band], display: list[str] | None) -> None:
    assert shown(bands, display) == {}


def test_a_render_goes_with_its_reason() -> None:
    bands = rgb(display_range=(0, 1))
    with_render = collection_from_product(Product(id="p", default_display_bands=["red"]), bands)
    assert "renders" not in collection_from_product(Product(id="p"), bands, with_render)


# --- What was given, and comes back ---------------------------------------------------------------------------------


def test_coefficients_and_links_come_back() -> None:
    image = Image(
        product_id="p",
        name="n",
        acquired="2024-01-01",
        geometry=SQUARE,
        reflectance_gain_bias=[(2e-5, -0.1), (2e-5, -0.2)],
        reflectance_scale=[1e-4],
        radiance_gain_bias=[(0.1, 1)],
        temperature_gain_bias=[(0.00341802, 149)],
        brightness_temperature_k1_k2=[(774.8853, 1321.0789)],
        bits_per_pixel=[4.5],
        preview_url="https://x/p.png",
        provider_url="https://x/scene",
    )
    item = json.loads(json.dumps(item_with_image({"links": LINKS}, image)))
    assert {(link["rel"], link["href"]) for link in item["links"]} >= {
        ("preview", "https://x/p.png"),
        ("via", "https://x/scene"),
    }
    assert image_from_item(item) == image
    without = item_with_image(item, image.evolve(provider_url=None))
    assert [link["rel"] for link in without["links"]] == ["collection", "preview"]


def test_what_no_attribute_can_hold_is_left_out_with_a_warning() -> None:
    item = item_with_image({"links": LINKS}, Image(product_id="p", name="n", acquired="2024-01-01", geometry=SQUARE))
    item["properties"] |= {"eo:cloud_cover": 300, "view:azimuth": "north", "platform": "sentinel-2a"}
    with pytest.warns(UserWarning, match="cloud_fraction.*azimuth_angle.*left out"):
        image = image_from_item(item)
    assert (image.cloud_fraction, image.azimuth_angle, image.satellite_id) == (None, None, "sentinel-2a")


def test_what_bands_are_comes_back() -> None:
    bands = [
        SpectralBand(name="red", description="Red light", vendor_order=3, vendor_band_name="B4", physical_range=(0, 1),
                     physical_range_unit="1", tags=["visible"], extra_properties={"a": None}, display_range=(0, 3000)),
        MicrowaveBand(name="vv", physical_range_unit="dB", file_index=1),
        MaskBand(name="alpha", is_alpha=True, file_index=2),
        ClassBand(name="cover", class_labels=["water", None], colormap_name="viridis", file_index=3),
        GenericBand(name="height", physical_range=(0, 9000), physical_range_unit="m", file_index=4),
    ]  # fmt: skip
    collection = json.loads(json.dumps(collection_from_product(Product(id="p"), bands)))
    assert list(bands_from_collection(collection)) == bands
    red, height = collection["item_assets"]["red"]["bands"][0], collection["item_assets"]["height"]["bands"][0]
    assert (red["description"], red["unit"], height["unit"]) == ("Red light", "1", "m")
