"""Lists of objects, compared with Python's own lists and NumPy's indexing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import httpx2
import numpy as np
import pytest

from stac_ingest import Image, MaskBand, Product, SpectralBand
from stac_ingest import properties as p
from stac_ingest.client.collection import BandCollection, Collection, ProductCollection
from stac_ingest.client.connection import Client
from stac_ingest.client.image_collection import ImageCollection
from stac_ingest.client.reading.geocontext import GeoContext

LETTERS = list("abcdefg")


@dataclass
class Thing:
    """Something with attributes."""

    id: str
    rank: int | None = None
    inner: Any = None

    def named(self, prefix: str, suffix: str = "") -> str:
        return prefix + self.id + suffix


@pytest.fixture
def client() -> Client:
    return Client("http://catalog.invalid", transport=httpx2.MockTransport(lambda _: httpx2.Response(404)))


def images(client: Client, *clouds: float | None, **attributes: Any) -> ImageCollection:
    return ImageCollection(
        Image(
            client,
            product_id="p",
            name=f"i{index}",
            cloud_fraction=cloud,
            acquired=f"2024-0{1 + index % 3}-01",
            **attributes,
        )
        for index, cloud in enumerate(clouds)
    )


# --- As a list


def test_a_collection_is_a_list() -> None:
    collection, plain = Collection(LETTERS), list(LETTERS)
    assert collection == plain
    assert collection == Collection(plain)
    assert collection != plain[:-1]
    assert (len(collection), list(collection), collection[0], collection[-1]) == (7, plain, "a", "g")
    assert list(reversed(collection)) == plain[::-1]
    assert "c" in collection
    assert collection.index("c") == 2
    changes: list[Callable[[Any], Any]] = [
        lambda some: some.append("h"),
        lambda some: some.extend(["i", "j"]),
        lambda some: some.insert(1, "z"),
        lambda some: some.pop(),
        lambda some: some.remove("c"),
        lambda some: some.reverse(),
        lambda some: some.__delitem__(slice(1, 3)),
        lambda some: some.clear(),
    ]
    for change in changes:
        change(collection)
        change(plain)
        assert collection == plain
    assert not Collection()
    with pytest.raises(IndexError):
        collection[0]


@pytest.mark.parametrize(
    "index",
    [
        slice(None),
        slice(1, 6, 2),
        slice(None, None, -1),
        slice(5, 100),
        [0, 3, 3, -1],
        [],
        np.array([6, 0]),
        np.array([True, False] * 3 + [True]),
        [True, False, False, True, False, False, False],
        (1, 2),
    ],
    ids=str,
)
def test_slices_positions_and_booleans_choose_as_in_numpy(index: Any) -> None:
    expected = np.array(LETTERS)[list(index) if isinstance(index, tuple) else index if len_of(index) else []]
    found = Collection(LETTERS)[index]
    assert isinstance(found, Collection)
    assert list(found) == list(expected)


def len_of(index: Any) -> int:
    return 1 if isinstance(index, slice) else len(index)


def test_a_number_of_numpy_chooses_one() -> None:
    assert Collection(LETTERS)[np.int64(2)] == "c"
    assert list(Collection(LETTERS)[np.array([2])]) == ["c"]
    with pytest.raises(IndexError, match="one boolean for each of the 7 items"):
        Collection(LETTERS)[[True, False]]
    with pytest.raises(IndexError):
        Collection(LETTERS)[[7]]


def test_items_are_set_by_every_index() -> None:
    collection = Collection(range(6))
    collection[0] = 10
    collection[1:3] = [11, 12]
    collection[[-1, 3]] = [15, 13]
    collection[np.array([False] * 4 + [True, False])] = [14]
    assert collection == [10, 11, 12, 13, 14, 15]
    with pytest.raises(ValueError, match="Expected 2 items for as many places, found 3"):
        collection[:2] = [1, 2, 3]
    assert collection == [10, 11, 12, 13, 14, 15]


def test_a_collection_holds_objects_of_its_kind(client: Client) -> None:
    product: Any = Product(client, id="p")
    band: Any = SpectralBand(client, product_id="p", name="b")
    assert len(ProductCollection([product])) == len(BandCollection([band])) == 1
    for kind, wrong in ((ProductCollection, band), (BandCollection, product), (ImageCollection, band)):
        with pytest.raises(ValueError, match=r"Expected objects of the class (Product|Band|Image) in this"):
            kind([wrong])
    bands = BandCollection([band])
    for change in (bands.append, lambda thing: bands.__setitem__(0, thing), lambda thing: bands.insert(0, thing)):
        with pytest.raises(ValueError, match="of the class Band in this BandCollection"):
            change(product)
    assert bands == [band]


# --- Filter, group and sort


def test_filtering_keeps_the_kind_and_what_the_collection_knows(client: Client) -> None:
    context = GeoContext(bounds=(0, 0, 1, 1), crs="EPSG:4326", resolution=1)
    some = ImageCollection(images(client, 0.1, 0.5, None, 0.05), geocontext=context)
    clear = some.filter(lambda image: image.cloud_fraction is not None and image.cloud_fraction < 0.2)
    assert isinstance(clear, ImageCollection)
    assert [image.name for image in clear] == ["i0", "i3"]
    assert clear[:0].geocontext == context
    assert [image.name for image in some.filter(p.cloud_fraction < 0.2)] == ["i0", "i3"]
    assert [image.name for image in some.filter((p.cloud_fraction < 0.2) & (p.name != "i0"))] == ["i3"]
    assert len(some) == 4


def test_what_a_class_of_bands_has_not_is_missing_as_in_a_search(client: Client) -> None:
    red = SpectralBand(client, product_id="p", name="red", wavelength_nm_center=665)
    bands = BandCollection([red, MaskBand(client, product_id="p", name="cloud")])
    assert bands.filter(p.wavelength_nm_center < 700) == [red]
    assert bands.filter(~(p.wavelength_nm_center < 600)) == [red]
    assert bands.filter(p.wavelength_nm_center.isnull) == bands[1:]
    assert bands[::-1].sorted("wavelength_nm_center") == bands
    assert [key for key, _ in bands.groupby("wavelength_nm_center")] == [665, None]
    with pytest.raises(AttributeError, match=r"has no attribute wavelength.*is it wavelength_nm"):
        bands.sorted("wavelength")
    with pytest.raises(AttributeError, match="MaskBand has no attribute wavelength_nm that can be searched for"):
        bands[1:].filter(p.wavelength_nm < 700)


def test_mapping_gives_a_collection() -> None:
    assert Collection(LETTERS).map(str.upper) == [letter.upper() for letter in LETTERS]


def test_mapping_to_something_else_gives_a_plain_collection(client: Client) -> None:
    some = images(client, 0.1, 0.2)
    assert type(some.map(lambda image: image)) is ImageCollection
    assert type(some.map(lambda image: image.name)) is Collection


def test_groups_come_sorted_by_their_key(client: Client) -> None:
    some = images(client, *[0.1] * 7)
    groups = list(some.groupby("acquired.month"))

    def month(image: Any) -> int:
        return int(image.acquired.month)

    expected = groupby(sorted(some, key=month), key=month)
    assert [(key, list(group)) for key, group in groups] == [(key, list(group)) for key, group in expected]
    assert all(isinstance(group, ImageCollection) for _, group in groups)
    by_two = list(some.groupby("acquired.month", lambda image: image.name < "i3"))
    assert [key for key, _ in by_two] == [(1, False), (1, True), (2, False), (2, True), (3, False), (3, True)]
    with pytest.raises(TypeError, match="at least one key"):
        list(some.groupby())


def test_what_is_not_set_is_the_last_group() -> None:
    things = Collection([Thing("a", 2), Thing("b"), Thing("c", 1), Thing("d", 2), Thing("e", inner=Thing("x", 5))])
    assert [(key, [each.id for each in group]) for key, group in things.groupby("rank")] == [
        (1, ["c"]),
        (2, ["a", "d"]),
        (None, ["b", "e"]),
    ]
    assert [key for key, _ in things.groupby("inner.rank")] == [5, None]


@pytest.mark.parametrize("reverse", [False, True])
def test_sorting_is_stable_and_leaves_what_is_not_set_last(reverse: bool) -> None:
    things = Collection([Thing("a", 2), Thing("b"), Thing("c", 1), Thing("d", 2), Thing("e"), Thing("f", 1)])
    ranked = sorted(
        [each for each in things if each.rank is not None], key=lambda each: each.rank or 0, reverse=reverse
    )
    expected = [*ranked, things[1], things[4]]
    assert things.sorted("rank", reverse=reverse) == expected
    assert things.sort("rank", ascending=not reverse) == expected
    assert [each.id for each in things] == list("abcdef")
    by_both = things.sorted(lambda each: each.rank, "id", reverse=reverse)
    assert [each.id for each in by_both] == (
        list("dafceb"[:2]) + list("fc") + list("eb") if reverse else list("cfadbe")
    )
    with pytest.raises(TypeError, match="at least one key"):
        things.sorted()


# --- Each


def test_each_gets_calls_and_sets_for_every_item() -> None:
    things = Collection([Thing("a", 2), Thing("b", 1)])
    assert list(things.each.id) == ["a", "b"]
    assert list(things.each.named("<", suffix=">")) == ["<a>", "<b>"]
    assert list(things.each.id.upper()) == ["A", "B"]
    assert list(things.each.id[0]) == ["a", "b"]
    things.each.inner = ["x"]
    assert [each.inner for each in things] == [["x"], ["x"]]
    things[0].inner.append("y")
    assert things[1].inner == ["x"]
    with pytest.raises(AttributeError):
        things.each.missing  # noqa: B018


def test_each_is_combined_collected_and_piped() -> None:
    things = Collection([Thing("a", 2), Thing("b", 1), Thing("c", 2)])
    assert things.each.rank.combine() == [2, 1, 2]
    assert things.each.rank.combine(set) == {1, 2}
    assert things.each.rank.combine(sum) == 5
    assert things.each.id.collect() == Collection("abc")
    assert list(things.each.id.pipe(str.replace, "a", "z")) == ["z", "b", "c"]
    assert repr(things.each.rank) == "2\n1\n2"
    assert len(things.each) == 3
    assert list(Collection[Thing]().each.id) == []


def test_calls_of_each_happen_at_once_and_in_order() -> None:
    done: list[str] = []

    @dataclass
    class Job:
        id: str

        def run(self) -> None:
            done.append(self.id)

    Collection([Job("a"), Job("b")]).each.run()
    assert done == ["a", "b"]


# --- What it shows


def test_a_collection_shows_what_is_in_it(client: Client) -> None:
    some = images(client, 0.1, None)
    assert repr(some) == "ImageCollection of 2 items\n  p:i0\n  p:i1"
    assert repr(Collection(["one"])) == "Collection of 1 item\n  'one'"
    many = repr(Collection(range(50)))
    assert many.endswith("\n  19\n  … and 30 more")
    table = some._repr_html_()
    assert "<th>cloud_fraction</th>" in table
    assert "<td>0.1</td>" in table
    assert "&lt;b&gt;" in Collection(["<b>"])._repr_html_()
    assert "<td>p</td>" in ProductCollection([Product(client, id="p")])._repr_html_()


# --- Images without reading them


def test_an_empty_collection_of_images_has_no_pixels() -> None:
    empty = ImageCollection()
    for read in (
        lambda: empty.stack("b"),
        lambda: empty.mosaic("b"),
        lambda: empty.download("b"),
        lambda: empty.download_mosaic("b"),
    ):
        with pytest.raises(ValueError, match="This ImageCollection is empty"):
            read()
    assert empty.geocontext is None
    context = GeoContext(bounds=(0, 0, 1, 1))
    assert ImageCollection(geocontext=context).geocontext == context


def test_images_are_chosen_by_what_they_cover(client: Client) -> None:
    def box(west: float, east: float) -> dict[str, Any]:
        return GeoContext(bounds=(west, 0, east, 1)).__geo_interface__

    some = ImageCollection(
        Image(client, product_id="p", name=name, geometry=box(west, east))
        for name, west, east in (("all", -1, 5), ("half", 1, 5), ("edge", 2, 5))
    )
    place = box(0, 2)
    assert [image.name for image in some.filter_coverage(place)] == ["all"]
    assert [image.name for image in some.filter_coverage(place, 0.5)] == ["all", "half"]
    assert [image.name for image in some.filter_coverage(GeoContext(geometry=place), 0.51)] == ["all"]
    assert isinstance(some.filter_coverage(place, 0), ImageCollection)
