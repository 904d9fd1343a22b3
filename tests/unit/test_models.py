"""Values check themselves: what each accepts, and how it says no."""

from __future__ import annotations

import json
import math
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from stac_ingest.errors import AttributeValidationError
from stac_ingest.models.bands import (
    Band,
    ClassBand,
    FileLayout,
    GenericBand,
    Layout,
    MaskBand,
    MicrowaveBand,
    SpectralBand,
    parse_band,
    sorted_bands,
)
from stac_ingest.models.cog import CogProfile
from stac_ingest.models.enums import Codec, DataType, OverviewResampler, StorageState
from stac_ingest.models.image import File, Image
from stac_ingest.models.product import Product
from stac_ingest.models.upload import ImageUploadOptions, UploadFile, UploadRequest
from stac_ingest.models.values import Resolution, make_valid_name, timestamp_text


def image(**attributes: Any) -> Image:
    return Image.check({"product_id": "p", "name": "n", **attributes})


def refused(attributes: dict[str, Any]) -> str:
    with pytest.raises(AttributeValidationError) as caught:
        image(**attributes)
    assert isinstance(caught.value, ValueError)
    return str(caught.value)


# --- Names ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["a", "image1", "LC08_L2.v1-b", "0", "_", "-", "a" * 200, "...x"])
def test_names(name: str) -> None:
    assert image(name=name, product_id=name).id == f"{name}:{name}"


@pytest.mark.parametrize(
    "name", ["", ".", "..", "...", "a/b", "a b", "ä", "a" * 201, "a\n", "a:b", "a%2F", "\x00", None, 5, b"a", ["a"]]
)
def test_names_that_are_none(name: object) -> None:
    assert "name" in refused({"name": name})
    with pytest.raises(AttributeValidationError, match="name"):
        parse_band({"type": "generic", "name": name})


def test_only_product_ids_have_colons() -> None:
    assert image(product_id="org:product").id == "org:product:n"
    assert Product.check({"id": "a:b:c"}).id == "a:b:c"
    with pytest.raises(AttributeValidationError, match="id"):
        Product.check({"id": "a/b"})


@given(st.text())
def test_a_text_becomes_a_valid_name(text: str) -> None:
    name = make_valid_name(text)

    assert make_valid_name(name) == name
    if name.strip(".") and len(name) <= 200:
        assert image(name=name).name == name


# --- Values at large ------------------------------------------------------------------------------------------------


def test_what_is_unknown_or_wrong_is_named() -> None:
    message = refused({"cloud_fraktion": 0.1, "cloud_fraction": 2, "tags": "one"})

    assert "cloud_fraktion" in message
    assert "cloud_fraction: Input should be less than or equal to 1 (found '2')" in message
    assert "tags" in message


def test_values_are_frozen_and_evolve() -> None:
    first = image(cloud_fraction=0.5)

    with pytest.raises(ValidationError, match="frozen"):
        first.cloud_fraction = 0.1  # type: ignore[misc]
    second = first.evolve(cloud_fraction=0.1, tags=("a",))
    assert (first.cloud_fraction, second.cloud_fraction, second.tags) == (0.5, 0.1, ["a"])
    with pytest.raises(AttributeValidationError):
        first.evolve(cloud_fraction=-1)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, "NaN", "inf"])
@pytest.mark.parametrize("attribute", ["roll_angle", "area", "cloud_fraction", "view_angle"])
def test_numbers_are_finite(attribute: str, value: object) -> None:
    assert attribute in refused({attribute: value})


def test_a_geotransform_is_six_finite_numbers() -> None:
    assert image(geotrans=[1, 2, 3, 4, 5, 6]).geotrans == (1, 2, 3, 4, 5, 6)
    for wrong in ([1, 2, 3, 4, 5], [1, 2, 3, 4, 5, math.nan], "1,2,3,4,5,6"):
        assert "geotrans" in refused({"geotrans": wrong})


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 0, -9999, 1e-3])
def test_nodata_may_be_no_number_and_survives_json(value: float) -> None:
    band = GenericBand(name="b", nodata=value)

    text = json.dumps(band.to_json(), allow_nan=False)
    again = parse_band(json.loads(text))

    assert again.nodata == value or (math.isnan(value) and again.nodata is not None and math.isnan(again.nodata))


@pytest.mark.parametrize("extra", [{"a": math.nan}, {"a": object()}, {"a": {1, 2}}, {"a": [datetime.now(UTC)]}, "text"])
def test_extra_properties_are_what_json_holds(extra: object) -> None:
    assert "extra_properties" in refused({"extra_properties": extra})
    with pytest.raises(AttributeValidationError, match="extra_properties"):
        Product.check({"id": "p", "extra_properties": extra})
    with pytest.raises(AttributeValidationError, match="extra_properties"):
        parse_band({"type": "class", "name": "b", "extra_properties": extra})


# --- Resolutions ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given_", "value", "unit"),
    [
        ("60m", 60, "meters"),
        ("60 m", 60, "meters"),
        (" 0.25 degrees ", 0.25, "degrees"),
        ("1e-3deg", 0.001, "degrees"),
        ("30METRES", 30, "meters"),
        ("5°", 5, "degrees"),
        ({"value": 10, "unit": "meter"}, 10, "meters"),
        (Resolution(value=3, unit="m"), 3, "meters"),
    ],
)
def test_resolutions(given_: object, value: float, unit: str) -> None:
    found = GenericBand.check({"name": "b", "resolution": given_}).resolution

    assert found is not None
    assert (found.value, found.unit) == (value, unit)


@pytest.mark.parametrize(
    "wrong",
    ["60", "m", "0m", "-5m", "60 feet", "", "nanm", "infm", "1e999m", {"value": 0, "unit": "m"}, {"value": 1}, 60,
     {"value": math.inf, "unit": "m"}, "6 0 m", "1..2m"],
)  # fmt: skip
def test_resolutions_that_are_none(wrong: object) -> None:
    with pytest.raises(AttributeValidationError, match="resolution"):
        GenericBand.check({"name": "b", "resolution": wrong})


# --- Moments --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given_", "text"),
    [
        ("2012-01-02", "2012-01-02T00:00:00Z"),
        ("2012-01-02T03:04:05", "2012-01-02T03:04:05Z"),
        ("2012-01-02T03:04:05+02:00", "2012-01-02T01:04:05Z"),
        ("2012-01-02T03:04:05.123456789Z", "2012-01-02T03:04:05.123456Z"),
        (datetime(2012, 1, 2, 3, tzinfo=timezone(timedelta(hours=-5))), "2012-01-02T08:00:00Z"),
        (datetime(2012, 1, 2), "2012-01-02T00:00:00Z"),  # noqa: DTZ001
        ("0001-01-01", "0001-01-01T00:00:00Z"),
    ],
)
def test_moments(given_: object, text: str) -> None:
    found = image(acquired=given_).acquired

    assert found is not None
    assert found.tzinfo is UTC
    assert timestamp_text(found) == text


@pytest.mark.parametrize(
    "wrong", ["yesterday", "2012-13-01", "", "0001-01-01T00:00:00+14:00", "9999-12-31T23:00:00-14:00", [], "2012-01-32"]
)
def test_moments_that_are_none(wrong: object) -> None:
    assert "acquired" in refused({"acquired": wrong})


@given(st.datetimes(timezones=st.timezones() | st.none()))
def test_any_moment_is_kept_or_refused(moment: datetime) -> None:
    try:
        found = image(acquired=moment).acquired
    except AttributeValidationError as error:
        assert "between the years" in str(error)  # noqa: PT017
        return
    # Compared in UTC: across zones Python calls no two moments equal around a change of clocks.
    assert found == (moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC))


# --- Tags -----------------------------------------------------------------------------------------------------------


def test_tags_are_kept_as_written_in_their_order() -> None:
    assert image(tags=["b", "A", "b", " c ", "ü"]).tags == ["b", "A", "b", " c ", "ü"]
    assert image(tags=("x", "y")).tags == ["x", "y"]
    assert image(tags={"x"}).tags == ["x"]
    assert image(tags=["a" * 1000] * 32).tags == ["a" * 1000] * 32


@pytest.mark.parametrize("wrong", ["one", [""], [5], [None], ["a" * 1001], ["a"] * 33, {"a": 1}, None])
def test_tags_that_are_none(wrong: object) -> None:
    assert "tags" in refused({"tags": wrong})


# --- Geometries -----------------------------------------------------------------------------------------------------


class Shape:
    """As shapely's geometries say what they are."""

    __geo_interface__ = {"type": "Point", "coordinates": (1.0, 2.0)}


@pytest.mark.parametrize(
    "geometry",
    [
        {"type": "Point", "coordinates": [1, 2]},
        {"type": "Polygon", "coordinates": [[[0, 0], [1, 0], [1, 1], [0, 0]]]},
        {"type": "MultiPolygon", "coordinates": [[[[0, 0], [1, 0], [1, 1], [0, 0]]]]},
        {"type": "LineString", "coordinates": ((0, 0, 5), (1, 1, 5))},
        {"type": "GeometryCollection", "geometries": [{"type": "Point", "coordinates": [1, 2]}]},
        Shape(),
    ],
)
def test_geometries(geometry: object) -> None:
    found = image(geometry=geometry).geometry

    assert found is not None
    assert json.loads(json.dumps(found))["type"] == found["type"]


@pytest.mark.parametrize(
    "wrong",
    [
        {},
        {"type": "Circle", "coordinates": [1, 2]},
        {"type": "Point"},
        {"type": "Point", "coordinates": ["1", "2"]},
        {"type": "Point", "coordinates": [1, math.nan]},
        {"type": "Point", "coordinates": [True, False]},
        {"type": "Polygon", "coordinates": [[0, 0], [1, 1]]},
        {"type": "Polygon", "coordinates": []},
        {"type": "GeometryCollection", "geometries": [{"type": "Point"}]},
        {"type": ["Point"], "coordinates": [1, 2]},
        "POINT (1 2)",
    ],
)
def test_geometries_that_are_none(wrong: object) -> None:
    assert "geometry" in refused({"geometry": wrong})


# --- Bands ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [SpectralBand, MicrowaveBand, MaskBand, ClassBand, GenericBand])
def test_a_band_knows_its_class_again(kind: type[Band]) -> None:
    band = kind.check({"name": "b", "data_type": "UInt16", "data_range": (0, 10_000), "resolution": "60m"})

    assert parse_band(band.to_json()) == band
    assert type(parse_band(band.to_json())) is kind


def test_bands_that_are_none() -> None:
    for attributes in (
        {"name": "b"},
        {"name": "b", "type": "colour"},
        {"name": "b", "type": "generic", "wavelength_nm_min": 5},
        {"name": "b", "type": "spectral", "data_type": "uint17"},
        {"name": "b", "type": "class", "colormap": [[0, 0, 0, 256]]},
        {"name": "b", "type": "class", "colormap_name": "rainbow"},
        {"name": "b", "type": "generic", "band_index": -1},
    ):
        with pytest.raises(AttributeValidationError, match="Band 'b'"):
            parse_band(attributes)


def test_data_types_have_the_names_of_gdal_and_numpy() -> None:
    for member in DataType:
        assert DataType.from_numpy(member.numpy) is member
    assert [DataType.BYTE.numpy, DataType.FLOAT16.numpy] == ["uint8", "float16"]
    for other in ("bool", "complex64", "float128", "str"):
        with pytest.raises(KeyError):
            DataType.from_numpy(other)


def test_resamplers_have_the_names_of_gdaladdo() -> None:
    adapter = TypeAdapter(OverviewResampler)
    assert adapter.validate_python("near") is OverviewResampler.NEAREST
    assert adapter.validate_python("CUBIC_SPLINE") is OverviewResampler.CUBICSPLINE
    with pytest.raises(ValidationError):
        adapter.validate_python("best")


def test_only_classes_and_masks_do_not_average() -> None:
    kinds: list[Band] = [kind(name="b") for kind in (SpectralBand, MicrowaveBand, MaskBand, ClassBand, GenericBand)]

    assert [band.averages_sensibly for band in kinds] == [True, True, False, False, True]
    assert FileLayout(bands=(GenericBand(name="a"),)).default_resampler is OverviewResampler.AVERAGE
    mixed = FileLayout(bands=(GenericBand(name="a"), ClassBand(name="b")))
    assert mixed.default_resampler is OverviewResampler.NEAREST


@pytest.mark.parametrize(
    ("values", "agreed"),
    [((None, None), None), ((5, 5), 5), ((5, 6), None), ((5, None), None), ((None, 5), None), ((0,), 0)],
)
def test_nodata_of_a_file_is_what_its_bands_agree_on(values: tuple[float | None, ...], agreed: float | None) -> None:
    layout = FileLayout(bands=tuple(GenericBand(name=f"b{i}", nodata=value) for i, value in enumerate(values)))

    assert layout.nodata == agreed


def test_bands_that_all_have_nan_agree() -> None:
    layout = FileLayout(bands=tuple(GenericBand(name=name, nodata=float("nan")) for name in "ab"))

    assert layout.nodata is not None
    assert math.isnan(layout.nodata)


# --- Layouts --------------------------------------------------------------------------------------------------------


def test_bands_lie_in_the_order_of_their_indexes_else_of_their_sort_order() -> None:
    bands = [
        GenericBand(name="c", sort_order=3),
        GenericBand(name="a", sort_order=1),
        GenericBand(name="last"),
        GenericBand(name="b", sort_order=2),
        GenericBand(name="other", file_index=1),
    ]

    layout = Layout.of(bands)

    assert [[band.name for band in file.bands] for file in layout.files] == [["a", "b", "c", "last"], ["other"]]
    assert layout.asset_keys() == ("data", "other")
    assert [band.name for band in sorted_bands(bands)] == ["a", "b", "c", "last", "other"]
    swapped = [GenericBand(name="x", band_index=1), GenericBand(name="y", band_index=0)]
    assert [band.name for band in Layout.of(swapped).files[0].bands] == ["y", "x"]


def test_asset_keys_are_unique() -> None:
    bands = [GenericBand(name=f"b{file}{i}", file_index=file) for file in range(3) for i in range(2)]

    assert Layout.of(bands).asset_keys() == ("data", "data_1", "data_2")
    awkward = [
        GenericBand(name="thumbnail"),
        GenericBand(name="data", file_index=1),
        GenericBand(name="overview", file_index=2),
    ]
    keys = Layout.of(awkward).asset_keys()
    assert len(set(keys) | {"thumbnail", "overview"}) == 3 + 2


@pytest.mark.parametrize(
    ("bands", "words"),
    [
        ([{"name": "a", "band_index": 0}, {"name": "b", "band_index": 0}], ["'a'", "'b'", "both claim band 0"]),
        ([{"name": "a", "band_index": 1}], ["count from 0", "[1]"]),
        ([{"name": "a", "file_index": 1}], ["file_index", "[1]"]),
        ([{"name": "a"}, {"name": "a", "file_index": 1}], ["'a'"]),
    ],
)
def test_layouts_that_are_none(bands: list[dict[str, Any]], words: list[str]) -> None:
    with pytest.raises(AttributeValidationError) as caught:
        Layout.of([GenericBand.check(band) for band in bands])

    assert [word for word in words if word not in str(caught.value)] == []


# --- Uploads --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given_", "expected"),
    [(None, None), ([2, 4], (2, 4)), ((4, 2), (2, 4)), (list(range(2, 18)), tuple(range(2, 18))), ([3], (3,))],
)
def test_overviews(given_: object, expected: tuple[int, ...] | None) -> None:
    assert ImageUploadOptions.check({"overviews": given_}).overviews == expected


@pytest.mark.parametrize(
    "wrong", [[0], [1], [-2], ["a"], ["2"], [2.0], [True], [2, 2], [], list(range(2, 19)), 2, "2,4", {2: 4}, [None]]
)
def test_overviews_that_are_none(wrong: object) -> None:
    with pytest.raises(AttributeValidationError, match="1 to 16 different whole numbers greater than 1"):
        ImageUploadOptions.check({"overviews": wrong})


def test_overview_resamplers() -> None:
    assert ImageUploadOptions.check({"overview_resampler": "near"}).overview_resampler is OverviewResampler.NEAREST
    for wrong in ("average_mp", "average_magphase"):
        with pytest.raises(AttributeValidationError, match="use average"):
            ImageUploadOptions.check({"overview_resampler": wrong})
    with pytest.raises(AttributeValidationError, match="overview_resampler"):
        ImageUploadOptions.check({"overview_resampler": "best"})


# --- Profiles -------------------------------------------------------------------------------------------------------


def test_a_profile_is_set_by_value_or_by_names_in_any_case() -> None:
    profile = CogProfile(codec=Codec.ZSTD, level=5, overviews=(2, 4), overview_resampler=OverviewResampler.NEAREST)
    named = {"codec": "zstd", "level": 5, "overviews": [4, 2], "overview_resampler": "NEAR"}

    assert Product(id="p", cog_profile=profile) == Product.check({"id": "p", "cog_profile": named})
    assert profile.to_json() == {
        "codec": "ZSTD", "level": 5, "block_size": 512, "overviews": [2, 4], "overview_resampler": "nearest"
    }  # fmt: skip


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"codec": "snappy"}, r"cog_profile.codec: .*'ZSTD'.*\(found 'snappy'\)"),
        ({"codec": None}, "cog_profile.codec: .*found 'None'"),
        ({"level": 15}, r"cog_profile.level: expected at most 12 for DEFLATE \(found '15'\)"),
        ({"codec": "ZSTD", "level": 23}, "cog_profile.level: .*less than or equal to 22.*found '23'"),
        ({"codec": "LZW", "level": 5}, r"level: expected none for LZW, only for DEFLATE or ZSTD \(found '5'\)"),
        ({"quality": 80}, "quality: expected none for DEFLATE, only for JPEG or WEBP"),
        ({"codec": "JPEG", "quality": 0}, "quality: .*greater than or equal to 1"),
        ({"codec": "ZSTD", "max_error": 0.5}, "max_error: expected none for ZSTD, only for LERC"),
        ({"codec": "LERC", "max_error": -1}, "max_error: .*greater than or equal to 0"),
        ({"block_size": 500}, "block_size: .*512.*found '500'"),
        ({"overviews": [1]}, "overviews: expected 1 to 16 different whole numbers greater than 1"),
        ({"overview_resampler": "average_mp"}, "overview_resampler: .*use average"),
        ({"zip": 1}, "cog_profile.zip: "),
        ("ZSTD", "cog_profile: .*dictionary or instance of CogProfile"),
    ],
)
def test_profiles_that_are_none(wrong: object, told: str) -> None:
    with pytest.raises(AttributeValidationError, match=told):
        Product.check({"id": "p", "cog_profile": wrong})


def bands_of(*data_types: str | None) -> list[Band]:
    return [SpectralBand.check({"name": f"b{i}", "data_type": found}) for i, found in enumerate(data_types)]


@pytest.mark.parametrize(
    ("codec", "data_types", "found"),
    [
        ("JPEG", ["Byte", "UInt16"], "1 or 3 bands of uint8, found band 'b1' of uint16"),
        ("JPEG", ["Byte", None, "Byte", "Byte"], r"found 4 bands in one file \(b0, b1, b2, b3\)"),
        ("WEBP", ["Byte"] * 5, "3 or 4 bands of uint8, found 5 bands in one file .*"),
        ("LERC", ["Float64", "Int64"], "float32 or float64, found band 'b1' of int64"),
    ],
)
def test_bands_that_no_file_of_the_codec_can_hold(codec: str, data_types: list[str | None], found: str) -> None:
    product = Product.check({"id": "p", "cog_profile": {"codec": codec}})
    with pytest.raises(AttributeValidationError, match=f"Expected for {codec}, .*{found}; choose another codec"):
        product.require_bands(bands_of(*data_types))


@pytest.mark.parametrize(
    ("codec", "data_types"),
    [
        ("JPEG", ["Byte", "Byte"]),  # a third may come
        ("WEBP", ["Byte", None]),
        ("LERC", ["Float32"] * 20),
        ("ZSTD", ["Int64", "Float16"]),
    ],
)
def test_bands_that_a_file_of_the_codec_may_hold(codec: str, data_types: list[str | None]) -> None:
    Product.check({"id": "p", "cog_profile": {"codec": codec}}).require_bands(bands_of(*data_types))


# --- Files of uploads -----------------------------------------------------------------------------------------------


def request(*files: dict[str, Any]) -> UploadRequest:
    return UploadRequest.check({"image": {"product_id": "p", "name": "n"}, "files": files})


def test_requests() -> None:
    found = request(
        {"name": "a.npy", "kind": "array"}, {"name": "a.mask", "kind": "mask"}, {"name": "b.tif", "size": 5}
    )

    assert [file.kind for file in found.files] == ["array", "mask", "file"]


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ([], "files"),
        ([{"name": "a.mask", "kind": "mask"}], "right after the array"),
        ([{"name": "a.tif"}, {"name": "a.mask", "kind": "mask"}], "right after the array"),
        ([{"name": "a.jgw", "kind": "sidecar"}], "at least one image file or array"),
        ([{"name": "a.tif"}] * 513, "files"),
        ([{"name": "a.tif", "size": -1}], "size"),
    ],
)
def test_requests_that_are_none(files: list[dict[str, Any]], words: str) -> None:
    with pytest.raises(AttributeValidationError, match=words):
        request(*files)


@pytest.mark.parametrize("name", ["", "a/b", "a\\b", "a\x00", "a\n", "x" * 256])
def test_file_names_have_no_folders(name: str) -> None:
    with pytest.raises(AttributeValidationError, match="name"):
        UploadFile.check({"name": name})


# --- Through JSON ---------------------------------------------------------------------------------------------------


@given(
    share=st.none() | st.floats(0, 1),
    angle=st.none() | st.floats(0, 360),
    acquired=st.none() | st.datetimes(datetime(1900, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001
    tags=st.lists(st.text(min_size=1, max_size=20), max_size=4),
    state=st.sampled_from(StorageState),
)
def test_an_image_is_the_same_after_json(
    share: float | None, angle: float | None, acquired: datetime | None, tags: list[str], state: StorageState
) -> None:
    first = image(
        cloud_fraction=share,
        azimuth_angle=angle,
        acquired=acquired,
        tags=tags,
        storage_state=state,
        files=[File(href="s3://b/k", size_bytes=5)],
    )

    assert Image.check(json.loads(json.dumps(first.to_json(), allow_nan=False))) == first


# --- Ranges, levels and files ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("attributes", "words"),
    [
        ({"data_range": (1, 1)}, "two different ends"),
        ({"data_range": (10, 0)}, "smallest value before the largest"),
        ({"data_range": (0, math.inf)}, "finite"),
        ({"data_range": (0, 1, 2)}, "data_range"),
        ({"data_range": 5}, "data_range"),
        ({"display_range": (7, 7)}, "two different ends"),
        ({"physical_range": (0, 0)}, "two different ends"),
        ({"wavelength_nm_min": 700, "wavelength_nm_max": 600}, "below"),
        ({"wavelength_nm_center": -1}, "greater than 0"),
        ({"band_index": -1}, "band_index"),
        ({"vendor_order": 0}, "vendor_order"),
        ({"tags": ["x"] * 33}, "tags"),
    ],
)
def test_ranges_of_bands_that_are_none(attributes: dict[str, Any], words: str) -> None:
    with pytest.raises(AttributeValidationError, match=words):
        SpectralBand.check({"name": "b", **attributes})


def test_ranges_of_bands() -> None:
    band = SpectralBand.check(
        {"name": "b", "data_type": "Int16", "data_range": (-32768, 32767), "display_range": (4000, 0),
         "physical_range": (1, -1)}
    )  # fmt: skip
    assert (band.data_range, band.display_range, band.physical_range) == ((-32768, 32767), (4000, 0), (1, -1))
    assert MaskBand(name="m").data_range == (0, 1)


def test_processing_levels_lead_to_steps() -> None:
    levels = {"surface": "toa", "toa": [{"function": "gain_bias", "parameter": "reflectance_gain_bias", "index": 0}]}
    band = SpectralBand.check({"name": "b", "processing_levels": levels})
    assert parse_band(json.loads(json.dumps(band.to_json()))) == band
    for wrong in ({"a": "b"}, {"a": "a"}, {"a": "b", "b": "a"}, {"a": [{"parameter": 1}]}, {"a": 5}):
        with pytest.raises(AttributeValidationError, match="processing_levels"):
            SpectralBand.check({"name": "b", "processing_levels": wrong})


@pytest.mark.parametrize("display", [["grey"], ["grey", "alpha"], ["r", "g", "b"], ["r", "g", "b", "alpha"]])
def test_default_display_bands(display: list[str]) -> None:
    assert Product(id="p", default_display_bands=display).default_display_bands == display
    for wrong in ([], ["a", "b", "c", "d", "e"], "red", [1]):
        with pytest.raises(AttributeValidationError, match="default_display_bands"):
            Product.check({"id": "p", "default_display_bands": wrong})


def test_files_are_somewhere_and_have_multihashes() -> None:
    assert File(href="x", hash="A" * 64).hash == "1220" + "a" * 64
    assert File(href="x", hash="098f6bcd4621d373cade4e832627b4f6").hash == "d50110098f6bcd4621d373cade4e832627b4f6"
    assert File(href="x", hash="1220" + "a" * 64).hash == "1220" + "a" * 64
    assert image(files=[{"provider_href": "s3://b/k"}]).files[0].href is None
    for wrong in ({"href": "x", "hash": "no hash"}, {"href": "x", "hash": 5}, {}, {"href": "x", "size_bytes": -1}):
        with pytest.raises(AttributeValidationError):
            File.check(wrong)
    assert "files" in refused({"files": ["http://x/y.tif"]})
    assert "colour" in refused({"files": [{"href": "x", "colour": "red"}]})


def test_several_geometries_become_one() -> None:
    one: dict[str, Any] = {"type": "Polygon", "coordinates": [[[0, 0], [1, 0], [1, 1], [0, 0]]]}
    many: dict[str, Any] = {"type": "MultiPolygon", "coordinates": [one["coordinates"]] * 2}
    assert image(geometry={"type": "Feature", "geometry": one, "properties": {}}).geometry == one
    features = [{"type": "Feature", "geometry": geometry} for geometry in (one, many)]
    together = {"type": "MultiPolygon", "coordinates": [one["coordinates"]] * 3}
    assert image(geometry={"type": "FeatureCollection", "features": features}).geometry == together
    assert image(geometry={"type": "GeometryCollection", "geometries": [one, many]}).geometry == together


@pytest.mark.parametrize("position", [[181, 0], [-180.1, 0], [0, 91], [0, -90.5], [500_000, 5_000_000]])
def test_geometries_lie_on_the_earth(position: list[float]) -> None:
    assert "degrees" in refused({"geometry": {"type": "Point", "coordinates": position}})
    assert image(geometry={"type": "Point", "coordinates": [180, -90]})


@pytest.mark.parametrize("nodata", [math.nan, math.inf, 0.5])
def test_nodata_is_a_value_that_a_pixel_can_have(nodata: float) -> None:
    with pytest.raises(AttributeValidationError, match="whole number as nodata"):
        SpectralBand.check({"name": "b", "data_type": "UInt16", "nodata": nodata})
    assert SpectralBand.check({"name": "b", "data_type": "Float32", "nodata": nodata}).nodata is not None
    assert SpectralBand.check({"name": "b", "nodata": nodata}).nodata is not None


def test_what_was_expected_is_said_with_an_example() -> None:
    assert "such as 2024-05-01T10:00:00Z" in refused({"acquired": "May 1st"})
    with pytest.raises(AttributeValidationError, match="such as '10m' or '10 degrees'"):
        SpectralBand.check({"name": "b", "resolution": 10})
