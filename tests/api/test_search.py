"""Searches against the service: what it finds is what the same expression says of each image here."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import product as pairs
from typing import Any
from uuid import uuid4

import pytest
import shapely.geometry
from hypothesis import given, settings
from hypothesis import strategies as st

from stac_ingest import (
    BandType,
    File,
    Image,
    ImageUploadStatus,
    MaskBand,
    Product,
    Resolution,
    SpectralBand,
    StorageState,
    stac,
)
from stac_ingest import properties as p
from stac_ingest.client.collection import BandCollection, ProductCollection
from stac_ingest.client.connection import Client
from stac_ingest.client.image_collection import ImageCollection
from stac_ingest.client.reading.geocontext import GeoContext
from stac_ingest.client.searching import searches as searching
from stac_ingest.client.searching.searches import BandSearch, ImageSearch, ImageUploadSearch, ProductSearch
from stac_ingest.client.searching.summary import ImageSummaryResult
from stac_ingest.filters import Combination, Expression, Property
from stac_ingest.filters.comparing import moment
from stac_ingest.models.enums import AggregateDateField, Interval
from stac_ingest.models.image import Image as ImageValue
from tests.conftest import Service

Json = dict[str, Any]

TEXTS = [
    "",
    "a",
    "A",
    "ab",
    "a_b",
    "a%b",
    "a\\b",
    "b",
    "é",
    "\U0001f30d",
    "\uffee",
    "it's",
    '"',
    "{x,y}",
    "NULL",
    "0.5",
]
TAGS = ["a", "b", "it's", "{x,y}", "NULL", "é", "a_b", "a\\"]
NUMBERS = [0, 0.5, 1, -3.25, 7, 20, 1e20, 89.99]
FRACTIONS = [0, 0.07, 0.2, 0.29, 0.5, 0.57, 1]
START = datetime(2024, 1, 1, tzinfo=UTC)
TIMES = [START, START + timedelta(microseconds=1), START + timedelta(milliseconds=500), START + timedelta(days=40)]
VALUES: list[Any] = [
    0,
    0.5,
    1,
    "0.5",
    "1",
    "a",
    "ab",
    "é",
    True,
    False,
    "true",
    None,
    [],
    [3, "x"],
    {},
    {"inner": 5},
    1e20,
]
KEYS = ["quality", "a.b", "a b", "ingest:x", "it's", '"', "é", "", "100%", "%s", "back\\slash", "properties.x"]


def images() -> Iterator[Json]:
    """Yield the attributes of forty images, each another mixture of what is set and what is missing."""
    for index in range(40):

        def pick(values: list[Any], step: int, index: int = index) -> Any:
            return values[(index * step) % len(values)] if index * step % 5 else None

        extra = {
            key: VALUES[(index * 7 + place) % len(VALUES)] for place, key in enumerate(KEYS) if (index + place) % 3
        }
        acquired = TIMES[index % len(TIMES)]
        yield {
            "name": f"i{index:02}{'_%.'[index % 3]}x".replace("%", "-"),
            "acquired": acquired,
            "acquired_end": None if index % 3 else acquired + timedelta(seconds=index // 9),
            "published": pick(TIMES, 3),
            "tags": [TAGS[(index + step) % len(TAGS)] for step in range(index % 4)],
            "extra_properties": extra if index % 6 else {},
            "storage_state": StorageState.REMOTE if index % 2 else StorageState.AVAILABLE,
            "cloud_fraction": pick(FRACTIONS, 2),
            "fill_fraction": pick(FRACTIONS, 3),
            "view_angle": pick([-9, -0.5, 0, 5.25, 30], 3),
            "area": pick([number for number in NUMBERS if number >= 0], 1),
            "satellite_id": pick(TEXTS, 3),
            "provider_id": pick(TEXTS, 7),
            "geometry": {"type": "Point", "coordinates": [index % 7, index % 5]},
        }


@dataclass(frozen=True)
class Catalog:
    """Forty remote images of two products, each with an Item that lacks what the SDK would write."""

    client: Client
    prefix: str
    images: list[Image]

    @property
    def ids(self) -> tuple[str, ...]:
        return f"{self.prefix}:one", f"{self.prefix}:two"


def of(catalog: Catalog) -> ImageSearch:
    return ImageSearch(catalog.client, catalog.ids)


@pytest.fixture(scope="module")
def catalog(service: Service) -> Iterator[Catalog]:
    prefix = f"search:{uuid4().hex[:8]}"
    with Client(service.url) as client:
        found = []
        for place, name in enumerate(("one", "two")):
            product_id = f"{prefix}:{name}"
            Product(client, id=product_id).save()
            items = [
                stac.item_with_image({}, ImageValue.check({**attributes, "product_id": product_id}))
                for attributes in list(images())[place::2]
            ]
            bare = items[0]["properties"]  # as another client writes it
            bare.pop("ingest:storage_state")
            bare["keywords"] = []
            client.post(f"/collections/{product_id}/items", {"type": "FeatureCollection", "features": items})
            found += [Image.get(f"{product_id}:{item['id']}", client) for item in items]
        yield Catalog(client, prefix, [image for image in found if image])


def texts(name: str, values: list[str]) -> st.SearchStrategy[Expression]:
    return comparisons(Property(name), values) | st.sampled_from(values).map(
        lambda text: Property(name).prefix(text[:2])
    )


def comparisons(
    named: Property, values: list[Any], operators: str = "== != < <= > >="
) -> st.SearchStrategy[Expression]:
    one = st.builds(
        lambda operator, value: getattr(named, operator)(value),
        st.sampled_from([OPERATORS[operator] for operator in operators.split()]),
        st.sampled_from(values),
    )
    several = st.lists(st.sampled_from(values), min_size=1, max_size=3).map(named.in_)
    return one | several | st.sampled_from([named.isnull, named.isnotnull])


OPERATORS = {"==": "__eq__", "!=": "__ne__", "<": "__lt__", "<=": "__le__", ">": "__gt__", ">=": "__ge__"}
EXTRA = [Property("extra_properties", (key,)) for key in KEYS] + [
    Property("extra_properties", ("quality", "inner")),
    Property("extra_properties", ("a.b", "0")),
    Property("extra_properties", ("a.b", "-1")),
    Property("extra_properties", ("absent",)),
]
SCALARS = [value for value in VALUES if isinstance(value, str | int | float)]
NAMES = [attributes["name"] for attributes in images()]

LEAVES = st.one_of(
    texts("name", NAMES),
    texts("satellite_id", TEXTS),
    texts("provider_id", TEXTS),
    comparisons(Property("tags"), TAGS, "== !="),
    comparisons(Property("storage_state"), list(StorageState), "== !="),
    *(comparisons(Property(name), TIMES) for name in ("acquired", "acquired_end", "published")),
    *(comparisons(Property(name), FRACTIONS) for name in ("cloud_fraction", "fill_fraction")),
    comparisons(Property("view_angle"), [-9, -0.5, 0, 5.25, 30]),
    comparisons(Property("area"), [0, 0.5, 1, 7, 1e20]),
    st.sampled_from(EXTRA).flatmap(lambda named: comparisons(named, SCALARS)),
    st.sampled_from(EXTRA).flatmap(lambda named: st.sampled_from(TEXTS).map(named.prefix)),
    st.sampled_from([p.extra_properties.isnull, p.created.isnull, p.id.isnull, p.product.isnull]),
)
EXPRESSIONS = st.recursive(
    LEAVES,
    lambda inner: (
        inner.map(lambda one: ~one)
        | st.builds(
            lambda operator, parts: Combination(operator, tuple(parts)),
            st.sampled_from(["and", "or"]),
            st.lists(inner, min_size=1, max_size=3),
        )
    ),
    max_leaves=6,
)


def ids(found: Any) -> list[str]:
    return sorted(image.id for image in found)


def test_the_service_finds_what_the_expression_says_of_each_image(catalog: Catalog) -> None:
    search = of(catalog)
    assert len(catalog.images) == 40

    @settings(max_examples=150)
    @given(EXPRESSIONS)
    def check(expression: Expression) -> None:
        expected = ids(image for image in catalog.images if expression.evaluate(image))
        assert ids(search.filter(expression)) == expected, expression

    check()


def test_values_of_extra_properties_are_compared_within_their_type(catalog: Catalog) -> None:
    search, named, found = of(catalog), p.extra_properties["quality"], set()
    for operator, value in pairs(OPERATORS.values(), SCALARS):
        expression = getattr(named, operator)(value)
        expected = ids(image for image in catalog.images if expression.evaluate(image))
        assert ids(search.filter(expression)) == expected, expression
        found.add(len(expected))
    assert len(found) > 3


def test_filters_add_up_and_leave_the_search_before_as_it_was(catalog: Catalog) -> None:
    search = of(catalog)
    remote = search.filter(p.storage_state == "remote")
    both = remote.filter(p.tags == "a").filter(p.product == f"{catalog.prefix}:two")
    expected = [
        image.id
        for image in catalog.images
        if image.storage_state == "remote" and "a" in image.tags and image.product_id.endswith("two")
    ]
    assert ids(both) == sorted(expected) != []
    assert len(ids(remote)) > len(expected)
    assert len(ids(search)) == 40
    assert ids(both) == sorted(expected)


def test_chains_and_ids_in_the_service(catalog: Catalog) -> None:
    within = START <= p.acquired < START + timedelta(milliseconds=500)
    assert ids(of(catalog).filter(within)) == ids(
        image for image in catalog.images if image.acquired in (TIMES[0], TIMES[1])
    )
    one = catalog.images[3]
    everywhere = ImageSearch(catalog.client)
    assert ids(everywhere.filter(p.id == one.id)) == [one.id]
    assert ids(everywhere.filter(p.id.in_([one.id, f"{one.product_id}:absent"]))) == [one.id]
    assert ids(of(catalog).filter(p.id != one.id)) == ids(image for image in catalog.images if image.id != one.id)
    assert ids(everywhere.filter((p.product == f"{catalog.prefix}:one") & (p.name == one.name))) == [
        image.id for image in catalog.images if image.id == f"{catalog.prefix}:one:{one.name}"
    ]


@pytest.mark.parametrize(
    "fields",
    [
        ("acquired",),
        ("-acquired", "-name"),
        ("name",),
        ("id",),
        ("-id",),
        ("cloud_fraction", "name"),
        ("-cloud_fraction", "name"),
        ("-cloud_fraction", "-fill_fraction", "name"),
        ("cloud_fraction", "-published", "acquired", "-name"),
        ("view_angle", "name"),
        ("-view_angle", "-name"),
        ("area", "name"),
        ("-area", "name"),
        ("-published", "name"),
        ("acquired_end", "name"),
        ("-acquired_end", "name"),
        ("satellite_id", "name"),
        ("-satellite_id", "name"),
        ("product_id", "-acquired", "name"),
        ("extra_properties.quality", "name"),
        ("-extra_properties.quality", "name"),
        ("extra_properties.a\\.b", "-name"),
        ("storage_state", "created", "name"),
    ],
)
def test_images_come_sorted_and_the_missing_last(
    catalog: Catalog, fields: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(searching, "PAGE", 7)
    expected = list(catalog.images)
    for name in reversed(fields):
        values = {image.id: plain(image, name.removeprefix("-")) for image in expected}
        expected.sort(key=lambda image, values=values: values[image.id] or (), reverse=name.startswith("-"))  # type: ignore[misc]
        expected.sort(key=lambda image, values=values: values[image.id] is None)  # type: ignore[misc]
    found = [image.id for image in of(catalog).sort(*fields)]
    assert found == [image.id for image in expected]
    assert [image.id for image in of(catalog).sort(*fields).limit(9)] == found[:9]


def plain(image: Image, name: str) -> Any:
    """Return what an image is sorted by, as a tuple; numbers before texts before booleans; None where it is missing."""
    if name == "id":
        return image.product_id, image.name
    name, _, key = name.replace("\\.", ".").partition("extra_properties.")
    value = image.extra_properties.get(key) if key else getattr(image, name)
    if isinstance(value, list | dict):
        return None
    return None if value is None else (isinstance(value, str) + 2 * isinstance(value, bool), value)


def test_sorting_by_one_attribute_and_by_another_afterwards(catalog: Catalog) -> None:
    search = of(catalog).sort("acquired", ascending=False).sort(p.name, ascending=False)
    assert [image.name for image in search] == sorted((image.name for image in catalog.images), reverse=True)


@pytest.mark.parametrize("size", [7, 39, 40, 41])
def test_a_walk_over_pages_neither_loses_nor_repeats(
    catalog: Catalog, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(searching, "PAGE", size)
    assert ids(of(catalog)) == ids(catalog.images)
    for limit in (0, 1, 7, 8, 14, 39, 40, 41):
        assert len(list(of(catalog).limit(limit))) == min(limit, 40)
        assert len({image.id for image in of(catalog).sort("-area").limit(limit)}) == min(limit, 40)


def test_no_page_is_fetched_in_vain(catalog: Catalog, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(searching, "PAGE", 10)
    with Client(catalog.client.url) as client:
        asked: list[Any] = []
        post = client.post

        def noted(path: str, body: Any) -> Any:
            asked.append(body)
            return post(path, body)

        monkeypatch.setattr(client, "post", noted)
        search = ImageSearch(client, catalog.ids)
        for limit, requests in ((0, 0), (1, 1), (10, 1), (11, 2), (20, 2), (40, 4), (None, 4)):
            asked.clear()
            list(search.limit(limit))
            assert len(asked) == requests, limit
        assert next(iter(search)).id
        asked.clear()
        list(search.sort("-area").limit(3))
        assert len(asked) == 1


def test_images_can_be_deleted_during_the_walk(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(searching, "PAGE", 3)
    with Client(service.url) as client:
        product = saved_product(client, 10)
        found = set()
        for image in product.images():
            image.delete()
            found.add(image.name)
        assert len(found) == 10
        assert product.images().count() == 0


def test_the_count_is_exact_and_of_now(service: Service) -> None:
    with Client(service.url) as client:
        product = saved_product(client, 5)
        search = product.images().limit(2)
        for left in (4, 3, 2):
            assert search.count() == left + 1
            next(iter(search)).delete()
            assert search.count() == left
        assert search.filter(p.name == "absent").count() == 0


def saved_product(client: Client, count: int) -> Product:
    product = Product(client, id=f"search:{uuid4().hex[:8]}")
    product.save()
    place = {"type": "Point", "coordinates": [1, 2]}
    for index in range(count):
        Image(client, product=product, name=f"i{index}", acquired="2024", geometry=place, storage_state="remote").save()
    return product


def test_images_that_intersect_a_geometry(catalog: Catalog) -> None:
    search = of(catalog)

    def at(*places: tuple[int, int]) -> list[str]:
        return ids(image for image in catalog.images if tuple((image.geometry or {})["coordinates"]) in places)

    square = {"type": "Polygon", "coordinates": [[[0, 0], [2, 0], [2, 1], [0, 1], [0, 0]]]}
    point, inside = {"type": "Point", "coordinates": [3, 3]}, [(x, y) for x in range(3) for y in range(2)]
    assert ids(search.intersects(square)) == at(*inside)
    assert ids(search.intersects(shapely.geometry.shape(square))) == at(*inside)
    assert ids(search.intersects({"type": "Feature", "geometry": square, "properties": {}})) == at(*inside)
    several = {"type": "GeometryCollection", "geometries": [square, point]}
    assert ids(search.intersects(several, match_null_geometry=True)) == at(*inside, (3, 3))
    assert ids(search.intersects(square).intersects(point)) == at((3, 3))
    assert search.intersects(point).count() == len(at((3, 3)))
    assert ids(search.intersects(square).filter(p.tags == "a")) == ids(
        image for image in catalog.images if "a" in image.tags and image.id in at(*inside)
    )
    assert ids(search.intersects({"type": "Point", "coordinates": [50, 50]})) == []


def test_images_are_collected_with_their_geocontext(catalog: Catalog) -> None:
    context = GeoContext(geometry={"type": "Point", "coordinates": [3, 3]}, resolution=1, crs="EPSG:4326")
    collected = of(catalog).intersects(context).collect()
    assert isinstance(collected, ImageCollection)
    assert ids(collected) == ids(of(catalog).intersects({"type": "Point", "coordinates": [3, 3]})) != []
    none = of(catalog).filter(p.name == "absent")
    assert none.collect().geocontext is None
    assert none.intersects(context).collect().geocontext is context
    square = {"type": "Polygon", "coordinates": [[[0, 0], [2, 0], [2, 1], [0, 1], [0, 0]]]}
    within = none.intersects(square).collect().geocontext
    assert within is not None
    assert within.geometry == square
    local = of(catalog).collect().filter(p.cloud_fraction < 0.3)
    assert ids(local) == ids(of(catalog).filter(p.cloud_fraction < 0.3))


@pytest.fixture(scope="module")
def summarized(service: Service) -> Iterator[Product]:
    """A product of eight images with files of known sizes."""
    with Client(service.url) as client:
        product = Product(client, id=f"search:{uuid4().hex[:8]}")
        product.save()
        for index, date in enumerate(DATES):
            Image(
                client,
                product=product,
                name=f"i{index}",
                acquired=date,
                published=None if index % 2 else date,
                geometry={"type": "Point", "coordinates": [1, 2]},
                storage_state="remote",
                files=[File(href=f"https://a.example/{index}.tif", size_bytes=10**index if index else None)],
            ).save()
        yield product


DATES = [
    "2023-12-31T23:59:59.999999Z", "2024-01-01T00:00:00Z", "2024-02-29T12:00:30Z", "2024-02-29T12:01:00Z",
    "2024-03-31T00:00:00Z", "2024-04-01T00:00:00Z", "2025-07-07T00:00:00Z", "2025-07-13T23:00:00Z",
]  # fmt: skip


def test_the_summary_counts_images_and_bytes(summarized: Product, catalog: Catalog) -> None:
    assert summarized.images().limit(1).summary() == ImageSummaryResult(8, 11111110, (summarized.id,))
    few = summarized.images().filter(p.name.in_(["i1", "i3"])).summary()
    assert (few.count, few.bytes, few.products, few.interval_start) == (2, 1010, (summarized.id,), None)
    assert of(catalog).summary() == ImageSummaryResult(40, 0, tuple(catalog.ids))
    assert of(catalog).filter(p.name == "absent").summary() == ImageSummaryResult(0, 0, ())


def test_a_summary_transfers_no_more_than_it_needs(summarized: Product, monkeypatch: pytest.MonkeyPatch) -> None:
    with Client(summarized._client.url) as client:
        asked: list[str] = []
        post = client.post

        def noted(path: str, body: Any) -> Any:
            asked.append(path)
            return post(path, body)

        monkeypatch.setattr(client, "post", noted)
        search = ImageSearch(client, (summarized.id,))
        assert search.count() == search.summary().count == 8
        assert len(search.summary_interval("published")) == 3
        assert asked == ["/aggregate"] * 3


@pytest.mark.parametrize(
    ("interval", "starts"),
    [
        ("year", {"2023": 1, "2024": 5, "2025": 2}),
        ("quarter", {"2023-10": 1, "2024-01": 4, "2024-04": 1, "2025-07": 2}),
        ("month", {"2023-12": 1, "2024-01": 1, "2024-02": 2, "2024-03": 1, "2024-04": 1, "2025-07": 2}),
        (
            "week",
            {"2023-12-25": 1, "2024-01-01": 1, "2024-02-26": 2, "2024-03-25": 1, "2024-04-01": 1, "2025-07-07": 2},
        ),
        ("day", {date[:10]: DATES.count(date) + (date[:10] == "2024-02-29") for date in DATES}),
        ("hour", {date[:13] + ":00": 1 + (date[:10] == "2024-02-29") for date in DATES}),
        ("minute", {date[:16]: 1 for date in DATES}),
    ],
)
def test_the_summary_of_each_interval(summarized: Product, interval: str, starts: dict[str, int]) -> None:
    found = summarized.images().summary_interval(interval=interval)
    assert [(one.interval_start, one.count) for one in found] == [
        (moment("start", start), count) for start, count in starts.items()
    ]
    assert sum(one.bytes for one in found) == 11111110


def test_the_summary_of_intervals_between_bounds(summarized: Product) -> None:
    search = summarized.images()
    assert [one.count for one in search.summary_interval()] == [1, 5, 2]
    bounded = search.summary_interval("acquired", Interval.YEAR, "2024-02-29T12:01:00Z", "2025-07-13T23:00:00Z")
    assert [one.count for one in bounded] == [3, 1]
    assert len(search.summary_interval(start_datetime=0, end_datetime=0)) == 3
    published = search.summary_interval(AggregateDateField.PUBLISHED)
    assert [(one.count, one.bytes) for one in published] == [(1, 0), (2, 10100), (1, 1000000)]
    created = search.summary_interval("created", "year")
    assert [one.count for one in created] == [8]
    for wrong in ({"interval": "decade"}, {"aggregate_date_field": "area"}, {"start_datetime": "soon"}):
        with pytest.raises(ValueError, match=r"decade|area|soon"):
            search.summary_interval(**wrong)


@pytest.fixture(scope="module")
def products(service: Service) -> Iterator[tuple[Client, str]]:
    """Three products with bands."""
    with Client(service.url) as client:
        prefix = f"find{uuid4().hex[:8]}"
        for index, name in enumerate(("Alpha optical", "Beta radar", "Gamma")):
            product = Product(
                client,
                id=f"{prefix}:{name[0]}",
                name=name,
                description=None if index == 2 else f"{prefix} about CLOUDS, number-{index}",
                tags=["x", "y"][:index],
                start_datetime=None if index == 0 else f"202{index}",
                revisit_period_minutes_min=None if index == 1 else 100 - index,
            )
            product.save()
            for place in range(index + 1):
                SpectralBand(
                    client,
                    product=product,
                    name=f"s{place}",
                    wavelength_nm_center=400 + 100 * place,
                    resolution=Resolution(value=10 * (place + 1), unit="m"),
                    sort_order=10 - place,
                    description="Blue light" if place == 0 else None,
                ).save()
            MaskBand(client, product=product, name="cloud", is_alpha=index == 1, file_index=1).save()
        yield client, prefix


def test_products_are_found(products: tuple[Client, str]) -> None:
    client, prefix = products
    search = ProductSearch(client).filter(p.id.prefix(prefix))

    def names(found: Any) -> str:
        return "".join(product.id[-1] for product in found)

    assert names(search) == "ABG"
    assert names(search.filter(p.tags == "x")) == "BG"
    assert names(search.filter(p.tags != "x")) == "A"
    assert names(search.filter(p.start_datetime >= "2022")) == "G"
    assert names(search.filter(~(p.start_datetime >= "2022"))) == "B"
    assert names(search.filter(p.resolution_max > "20m")) == "G"
    assert names(search.filter(p.name.in_(["Gamma", "Beta radar"]))) == "BG"
    assert names(search.filter(p.created > "2024")) == "ABG"
    assert names(search.sort("-revisit_period_minutes_min")) == "AGB"
    assert names(search.sort("revisit_period_minutes_min")) == "GAB"
    assert names(search.sort("-start_datetime").limit(2)) == "GB"
    assert names(search.find_text("clouds number-1")) == "B"
    assert names(search.find_text("clouds").find_text("OPTICAL")) == "A"
    assert names(search.find_text("about radar")) == "B"
    assert names(ProductSearch(client).find_text(prefix)) == "AB"
    assert search.limit(1).count() == 3
    collected = search.collect()
    assert isinstance(collected, ProductCollection)
    assert names(collected.filter(p.tags == "y")) == "G"


def test_all_pages_of_products_are_read(products: tuple[Client, str], monkeypatch: pytest.MonkeyPatch) -> None:
    client, prefix = products
    monkeypatch.setattr(searching, "_LIST_PAGE", 1)
    found = [product.id for product in ProductSearch(client)]
    assert [one for one in found if one.startswith(prefix)] == [f"{prefix}:{name}" for name in "ABG"]
    assert len(found) == len(set(found))


def test_bands_are_found(products: tuple[Client, str]) -> None:
    client, prefix = products

    def names(found: Any) -> list[str]:
        return [band.id.removeprefix(f"{prefix}:") for band in found]

    gamma = BandSearch(client, f"{prefix}:G")
    assert names(gamma) == ["G:s2", "G:s1", "G:s0", "G:cloud"]
    assert names(gamma.sort("name")) == ["G:cloud", "G:s0", "G:s1", "G:s2"]
    assert names(gamma.filter(p.wavelength_nm_center < 600)) == ["G:s1", "G:s0"]
    assert names(gamma.filter(~(p.wavelength_nm_center < 600))) == ["G:s2"]
    assert names(gamma.filter(p.type == BandType.MASK)) == ["G:cloud"]
    assert names(gamma.filter(p.resolution <= 20).sort("resolution")) == ["G:s0", "G:s1"]
    assert gamma.limit(1).count() == 4
    everywhere = BandSearch(client).filter(p.product_id.prefix(prefix))
    assert names(everywhere) == ["A:s0", "A:cloud", "B:s1", "B:s0", "B:cloud", "G:s2", "G:s1", "G:s0", "G:cloud"]
    assert names(everywhere.find_text("blue")) == ["A:s0", "B:s0", "G:s0"]
    assert names(everywhere.filter(p.is_alpha == True)) == ["B:cloud"]  # noqa: E712
    assert names(everywhere.filter(p.id == f"{prefix}:B:s1")) == ["B:s1"]
    collected = BandSearch(client, f"{prefix}:A").collect()
    assert isinstance(collected, BandCollection)


def test_a_class_of_bands_finds_its_own(products: tuple[Client, str]) -> None:
    client, prefix = products
    assert [band.id for band in BandSearch(client, f"{prefix}:B", MaskBand)] == [f"{prefix}:B:cloud"]
    masks = MaskBand.search(client).filter(p.product_id.prefix(prefix))
    assert {type(band) for band in masks} == {MaskBand}
    assert masks.count() == 3


@pytest.fixture(scope="module")
def uploads(service: Service) -> Iterator[tuple[Client, str]]:
    """Five uploads of three images, which nobody sends: two of them are canceled."""
    with Client(service.url) as client:
        product = Product(client, id=f"sent{uuid4().hex[:8]}")
        product.save()
        SpectralBand(client, product=product, name="s").save()
        for name, cancels in (("a", True), ("a", False), ("b", True), ("c", False)):
            body = {"image": {"name": name, "acquired": "2024"}, "files": [{"name": f"{name}.tif"}]}
            upload = client.post(f"/collections/{product.id}/uploads", body)
            if cancels:
                client.post(f"/uploads/{upload['id']}/cancel")
        yield client, product.id


def test_uploads_are_found(uploads: tuple[Client, str], monkeypatch: pytest.MonkeyPatch) -> None:
    client, product_id = uploads
    search = ImageUploadSearch(client, product_id)

    def names(found: Any) -> list[str]:
        return [f"{upload.image_id[-1]} {upload.status}" for upload in found]

    newest_first = ["c transferring", "b canceled", "a transferring", "a canceled"]
    assert names(search) == newest_first
    assert names(search.filter(p.status == ImageUploadStatus.CANCELED)) == ["b canceled", "a canceled"]
    assert names(search.filter(p.status != "canceled")) == ["c transferring", "a transferring"]
    assert names(search.filter(p.image_id == f"{product_id}:a")) == ["a transferring", "a canceled"]
    assert names(search.filter((p.image_id == f"{product_id}:a") & (p.status == "canceled"))) == ["a canceled"]
    assert names(search.filter((p.status == "canceled") & (p.status == "transferring"))) == []
    assert names(search.filter((p.status == "canceled") | (p.image_id == f"{product_id}:c"))) == [
        "c transferring", "b canceled", "a canceled",
    ]  # fmt: skip
    assert names(ImageUploadSearch(client, product_id, f"{product_id}:b")) == ["b canceled"]
    assert names(ImageUploadSearch(client, "other").filter(p.product_id == product_id)) == []
    assert names(ImageUploadSearch(client).filter(p.product_id == product_id)) == newest_first
    assert names(ImageUploadSearch(client).filter(p.product_id.in_([product_id, "x"])).limit(2)) == newest_first[:2]
    assert names(search.sort("created")) == newest_first[::-1]
    assert names(search.filter(p.created > "2024").sort("image_id", "-created")) == [
        "a transferring", "a canceled", "b canceled", "c transferring",
    ]  # fmt: skip
    assert search.limit(1).count() == 4
    assert names(search.collect().filter(p.status == "canceled")) == ["b canceled", "a canceled"]
    monkeypatch.setattr(searching, "PAGE", 2)
    monkeypatch.setattr(searching, "_LIST_PAGE", 1)
    assert names(search) == newest_first
    assert names(search.limit(3)) == newest_first[:3]
