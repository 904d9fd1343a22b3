"""Searches as values: what they are before anything is asked."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from stac_ingest import (
    AggregateDateField,
    Band,
    BandType,
    DataType,
    ImageUploadStatus,
    Interval,
    MaskBand,
    Resolution,
)
from stac_ingest import properties as p
from stac_ingest.client.connection import Client
from stac_ingest.client.searching.searches import (
    BAND,
    FIELDS,
    IMAGE,
    IMAGE_UPLOAD,
    PRODUCT,
    BandSearch,
    ImageSearch,
    ImageUploadSearch,
    ProductSearch,
    Search,
)
from stac_ingest.client.searching.vocabulary import Vocabulary
from stac_ingest.errors import AttributeValidationError, ServerError
from stac_ingest.filters import Expression
from stac_ingest.models.image import Image as ImageValue


@pytest.fixture
def client() -> Iterator[Client]:
    with Client("http://127.0.0.1:1") as connection:
        yield connection


def test_nothing_is_asked_until_a_search_is_iterated(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stac_ingest.client.connection.time.sleep", lambda _: None)
    search = ImageSearch(client).filter(p.tags == "x").sort("acquired").limit(3)
    for ask in (search.count, search.summary, search.collect, lambda: list(search)):
        with pytest.raises(ServerError):
            ask()
    assert list(search.limit(0)) == []


def test_each_method_returns_a_new_search(client: Client) -> None:
    plain = ImageSearch(client, ("a",))
    filtered = plain.filter(p.tags == "x")
    refined = filtered.filter(p.cloud_fraction < 0.2).sort("-acquired").limit(5)
    assert refined.intersects({"type": "Point", "coordinates": [1, 2]}) is not refined
    assert repr(plain) == "ImageSearch(collections=('a',))"
    assert repr(filtered) == "ImageSearch(collections=('a',)).filter(p.tags == 'x')"
    assert repr(refined) == (
        "ImageSearch(collections=('a',)).filter((p.tags == 'x') & (p.cloud_fraction < 0.2)).sort('-acquired').limit(5)"
    )
    with pytest.raises(AttributeError):
        plain.most = 3  # type: ignore[misc]


def test_searches_can_be_read(client: Client) -> None:
    assert repr(ImageSearch(client).intersects({"type": "Point", "coordinates": [1, 2]})) == (
        "Image.search().intersects({'type': 'Point', 'coordinates': [1, 2]})"
    )
    assert repr(ProductSearch(client).find_text("a b").sort("name", "-created")) == (
        "Product.search().find_text('a b').sort('name', '-created')"
    )
    assert repr(BandSearch(client, kind=MaskBand)) == "MaskBand.search()"
    assert repr(BandSearch(client, "a")) == "BandSearch(product_id='a', kind=Band)"
    assert repr(ImageUploadSearch(client)) == "ImageUpload.search()"
    assert repr(ImageUploadSearch(client, "a", "a:b")) == "ImageUploadSearch(product_id='a', image_id='a:b')"


def test_every_attribute_of_images_that_is_one_property_can_be_searched_for() -> None:
    elsewhere = {
        *("geometry", "files", "cs_code", "projection", "geotrans", "x_pixels", "y_pixels"),
        *("provider_url", "preview_url"),
    }
    assert set(IMAGE.annotations) == set(ImageValue.model_fields) - elsewhere | {"id"}
    assert set(FIELDS) == set(IMAGE.annotations) - {"id"}


Wrong = tuple[Vocabulary, Callable[[], Expression], type[Exception], str]
WRONG: list[Wrong] = [
    (
        IMAGE,
        lambda: p.clod_fraction < 0.2,
        AttributeError,
        "Image has no attribute clod_fraction.*is it cloud_fraction",
    ),
    (IMAGE, lambda: p.geometry.isnull, AttributeError, "no attribute geometry that can be searched for"),
    (PRODUCT, lambda: p.acquired > "2024", AttributeError, "Product has no attribute acquired"),
    (BAND, lambda: p.wavelength > 5, AttributeError, "Band has no attribute wavelength.*is it wavelength_nm_"),
    (IMAGE_UPLOAD, lambda: p.tags == "x", AttributeError, "ImageUpload has no attribute tags"),
    (IMAGE, lambda: p.cloud_fraction < 20, AttributeValidationError, "cloud_fraction: Input should be less than or"),
    (IMAGE, lambda: p.cloud_fraction < "0.2", AttributeValidationError, "expected a number, found '0.2'"),
    (IMAGE, lambda: p.cloud_fraction == True, AttributeValidationError, "a number, found True"),  # noqa: E712
    (IMAGE, lambda: p.storage_state == "gone", AttributeValidationError, "'available' or 'remote'"),
    (IMAGE, lambda: p.storage_state.in_(["remote", "gone"]), AttributeValidationError, "'available' or 'remote'"),
    (IMAGE, lambda: p.acquired > "junk", AttributeValidationError, "acquired: expected a time such as 2024-05-01"),
    (IMAGE, lambda: p.acquired > 5, AttributeValidationError, "acquired: expected a time"),
    (IMAGE, lambda: p.acquired > "20240", AttributeValidationError, "acquired: expected a time"),
    (IMAGE, lambda: p.tags == "", AttributeValidationError, "tags"),
    (IMAGE, lambda: p.tags == 5, AttributeValidationError, "tags: expected a text, found 5"),
    (IMAGE, lambda: p.tags < "x", TypeError, "several values"),
    (IMAGE, lambda: p.tags.prefix("x"), TypeError, "several values"),
    (IMAGE, lambda: p.acquired.prefix("2024"), TypeError, "acquired is no text"),
    (IMAGE, lambda: p.storage_state.prefix("a"), TypeError, "storage_state is no text"),
    (IMAGE, lambda: p.satellite_id < 5, AttributeValidationError, "satellite_id: expected a text, found 5"),
    (IMAGE, lambda: p.name == "a b", AttributeValidationError, "name: expected 1 to 200 of the characters"),
    (IMAGE, lambda: p.product == "a b", AttributeValidationError, "product_id: expected 1 to 200"),
    (IMAGE, lambda: p.id == "ab", AttributeValidationError, "id: expected an id as product:name"),
    (IMAGE, lambda: p.extra_properties == 5, TypeError, r"p.extra_properties\['quality'\]"),
    (IMAGE, lambda: p.bits_per_pixel == 5, TypeError, "bits_per_pixel cannot be compared"),
    (IMAGE, lambda: (p.tags == "x") & ~(p.clouds == 1), AttributeError, "no attribute clouds"),
    (BAND, lambda: p.data_type == "bool", AttributeValidationError, "data_type: Input should be 'Byte'"),
    (BAND, lambda: p.data_type == "uint8", AttributeValidationError, "data_type: expected 'Byte', found 'uint8'"),
    (BAND, lambda: p.type == "infrared", AttributeValidationError, "type: Input should be"),
    (BAND, lambda: p.is_alpha == "yes", AttributeValidationError, "is_alpha: expected True or False"),
    (BAND, lambda: p.resolution < "fine", AttributeValidationError, "resolution: expected a resolution such as 10m"),
    (BAND, lambda: p.data_range == 5, TypeError, "data_range cannot be compared"),
    (PRODUCT, lambda: p.revisit_period_minutes_min < -1, AttributeValidationError, "greater than or equal to 0"),
    (IMAGE_UPLOAD, lambda: p.status == "done", AttributeValidationError, "status: Input should be 'transferring'"),
]


@pytest.mark.parametrize(("words", "make", "error", "reason"), WRONG, ids=range(len(WRONG)))
def test_what_cannot_be_is_refused_at_once(
    words: Vocabulary, make: Callable[[], Expression], error: type[Exception], reason: str
) -> None:
    with pytest.raises(error, match=reason):
        words.checked(make())


@pytest.mark.parametrize(
    ("words", "expression", "same"),
    [
        (IMAGE, p.acquired >= "2024", p.acquired >= "2024-01-01T00:00:00Z"),
        (IMAGE, p.acquired < "2024-05", p.date < "2024-05-01T02:00:00+02:00"),
        (IMAGE, p.name > "a b", p.name > "a b"),
        (IMAGE, p.satellite_id.prefix("S2"), p.satellite_id.startswith("S2")),
        (IMAGE, p.bits_per_pixel.isnull, p.bits_per_pixel.isnull),
        (IMAGE, p.extra_properties["a"] == "2024", p.extra_properties["a"] == "2024"),
        (BAND, p.type == BandType.MASK, p.type == "mask"),
        (BAND, p.data_type.in_([DataType.BYTE]), p.data_type.in_(["Byte"])),
        (BAND, p.resolution < "60m", p.resolution < Resolution(value=60, unit="meters")),
        (BAND, p.resolution == 60, p.resolution == "60 metres"),
        (PRODUCT, p.default_display_bands == "red", p.default_display_bands == "red"),
        (IMAGE_UPLOAD, p.status != ImageUploadStatus.FAILURE, p.status != "failure"),
    ],
    ids=lambda value: value.owner if isinstance(value, Vocabulary) else repr(value),
)
def test_values_become_those_of_the_attribute(words: Vocabulary, expression: Expression, same: Expression) -> None:
    assert words.checked(expression) == words.checked(same)


def test_only_conditions_filter(client: Client) -> None:
    for wrong in (True, None, "tags = 'x'", p.tags, lambda image: True):
        with pytest.raises(TypeError, match=r"Expected a condition such as p.tags == 'x', found"):
            ImageSearch(client).filter(wrong)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="compare product_id and name"):
        ImageSearch(client).filter(p.id > "a:b")


@pytest.mark.parametrize(
    ("fields", "error", "reason"),
    [
        ((), TypeError, "Expected one attribute"),
        (("acquired", False), TypeError, "ascending=False"),
        ((5,), TypeError, "name of an attribute to sort by, found 5"),
        (("tags",), TypeError, "tags has no order"),
        (("extra_properties",), TypeError, "extra_properties has no order"),
        (("bits_per_pixel",), TypeError, "no order"),
        (("geometry",), AttributeError, "no attribute geometry"),
        (("-acquird",), AttributeError, "is it acquired"),
    ],
)
def test_what_has_no_order(client: Client, fields: Any, error: type[Exception], reason: str) -> None:
    with pytest.raises(error, match=reason):
        ImageSearch(client).sort(*fields)


def test_how_a_search_is_sorted_can_be_said_in_many_ways(client: Client) -> None:
    search = ImageSearch(client)
    ways: list[tuple[Search[Any], str]] = [
        (search.sort("acquired"), "sort('acquired')"),
        (search.sort("date", ascending=False), "sort('-acquired')"),
        (search.sort(p.acquired, ascending=False), "sort('-acquired')"),
        (search.sort("-acquired").sort("name"), "sort('name')"),
        (search.sort(p.extra_properties["a"]["b"], "-name"), "sort('extra_properties.a.b', '-name')"),
        (BandSearch(client).sort("-resolution"), "sort('-resolution')"),
    ]
    for sorted_search, shown in ways:
        assert repr(sorted_search).endswith(f".{shown}")
    with pytest.raises(TypeError, match="Expected one attribute with ascending="):
        search.sort("acquired", "name", ascending=False)


def test_limits_and_geometries_that_cannot_be(client: Client) -> None:
    search = ImageSearch(client)
    for limit in (-1, 1.5, "3", True):
        with pytest.raises(ValueError, match="Expected a limit of 0 or more"):
            search.limit(limit)  # type: ignore[arg-type]
    for geometry in (None, 5, {"type": "Pint", "coordinates": [1, 2]}, {"type": "Point", "coordinates": [200, 0]}):
        with pytest.raises(AttributeValidationError, match="intersects: "):
            search.intersects(geometry)
    for bounds in ((10, 45, 11, 46), np.array([10, 45, 11, 46])):
        with pytest.raises(AttributeValidationError, match=r"intersects: expected GeoJSON.*GeoContext\(bounds=\(min x"):
            search.intersects(bounds)


def test_intervals_and_dates_of_a_summary_that_there_are_not(client: Client) -> None:
    search = ImageSearch(client)
    with pytest.raises(ValueError, match=r"Interval: expected one of year, quarter, .*, found 'decade'"):
        search.summary_interval(interval="decade")
    with pytest.raises(ValueError, match=r"AggregateDateField: expected one of acquired, .*, found 'bought'"):
        search.summary_interval("bought")
    assert (Interval("Month"), AggregateDateField("ACQUIRED")) == (Interval.MONTH, AggregateDateField.ACQUIRED)


def test_a_band_search_is_of_a_class(client: Client) -> None:
    assert MaskBand.search(client).kind is MaskBand
    assert Band.search(client).kind is Band


def test_importing_the_sdk_imports_no_numpy_and_no_gdal() -> None:
    code = "import sys, stac_ingest; print([name for name in ('numpy', 'osgeo', 'rasterio') if name in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
