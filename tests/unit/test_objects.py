"""Catalog objects in memory: their states, what can be set, and when two are equal."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest

from stac_ingest import AttributeValidationError, Band, Image, Product, SpectralBand
from stac_ingest.client.connection import Client
from stac_ingest.errors import DeletedObjectError, UnsavedObjectError


class Catalog:
    """A service that keeps collections and items, and counts what it is asked."""

    def __init__(self) -> None:
        self.stored: dict[str, dict[str, Any]] = {}
        self.asked: list[str] = []

    def __call__(self, request: httpx2.Request) -> httpx2.Response:
        path = request.url.path
        self.asked.append(request.method)
        if request.method in ("POST", "PUT"):
            sent = json.loads(request.content)
            key = f"{path}/{sent['id']}" if request.method == "POST" else path
            self.stored[key] = sent
            return httpx2.Response(200, json=sent)
        if path not in self.stored:
            return httpx2.Response(404, json={"code": "NOT_FOUND", "detail": "There is nothing."})
        return httpx2.Response(200, json=self.stored[path])


@pytest.fixture
def catalog() -> Catalog:
    return Catalog()


@pytest.fixture
def client(catalog: Catalog) -> Iterator[Client]:
    with Client("http://catalog.invalid", transport=httpx2.MockTransport(catalog)) as connection:
        yield connection


@pytest.fixture
def product(client: Client) -> Product:
    saved = Product(client, id="p", name="P", tags=["a"], extra_properties={"k": {"inner": 1}})
    saved.save()
    return saved


def state_of(thing: Product | Image) -> str:
    """Return the state as text: mypy takes it for the same as at the last look."""
    return str(thing.state)


def test_an_object_is_unsaved_then_saved_then_modified(client: Client, catalog: Catalog) -> None:
    product = Product(client, id="p")
    assert state_of(product) == "unsaved"
    assert product.is_modified
    product.save()
    assert state_of(product) == "saved"
    assert not product.is_modified
    product.name = "New"
    assert state_of(product) == "modified"
    assert product.is_modified
    product.save()
    assert state_of(product) == "saved"
    assert catalog.asked == ["POST", "GET", "PUT"]


def test_saving_what_is_saved_asks_nothing(product: Product, catalog: Catalog) -> None:
    catalog.asked.clear()
    product.save()
    assert catalog.asked == []


def test_a_value_set_to_what_it_was_is_no_change(product: Product) -> None:
    product.name = "Other"
    assert state_of(product) == "modified"
    product.name = "P"
    assert state_of(product) == "saved"
    product.id = "p"
    assert state_of(product) == "saved"


def test_what_is_changed_inside_counts(product: Product) -> None:
    product.tags.append("b")
    assert state_of(product) == "modified"
    product.tags.remove("b")
    assert state_of(product) == "saved"
    product.extra_properties["k"]["inner"] = 2
    assert state_of(product) == "modified"
    product.save()
    found = Product.get("p", product._client)
    assert found is not None
    assert found.extra_properties == {"k": {"inner": 2}}


def test_what_is_changed_inside_is_checked_when_it_is_saved(product: Product, catalog: Catalog) -> None:
    product.tags.append(5)  # type: ignore[arg-type]
    catalog.asked.clear()
    with pytest.raises(AttributeValidationError, match="tags"):
        product.save()
    assert "PUT" not in catalog.asked


def test_two_objects_share_no_list(client: Client) -> None:
    one, two = Product(client, id="a"), Product(client, id="b")
    one.tags.append("x")
    one.extra_properties["x"] = 1
    assert two.tags == []
    assert two.extra_properties == {}
    assert Product(client, id="c").tags == []


def test_immutable_attributes(product: Product) -> None:
    with pytest.raises(AttributeValidationError, match="Can't set 'id' item because it is a immutable attribute"):
        product.id = "q"
    image = Image(product=product, name="i")
    for name in ("name", "product_id"):
        with pytest.raises(AttributeValidationError, match=f"Can't set '{name}' item because it is a immutable"):
            setattr(image, name, "other")
    band = SpectralBand(product=product, name="b")
    with pytest.raises(AttributeValidationError, match="immutable"):
        band.name = "other"


def test_readonly_attributes(product: Product) -> None:
    for thing in (product, Image(product=product, name="i")):
        for name in ("created", "modified"):
            with pytest.raises(AttributeValidationError, match=f"Can't set '{name}' item because it is a readonly"):
                setattr(thing, name, "2024-01-01")
    with pytest.raises(AttributeValidationError, match="readonly"):
        SpectralBand(product=product, name="b").type = "mask"
    with pytest.raises(AttributeError):
        Image(product=product, name="i").id = "x:y"  # type: ignore[misc]


def test_unknown_attributes(client: Client, product: Product) -> None:
    with pytest.raises(AttributeError, match="Product has no attribute colour"):
        Product(client, id="p", colour="red")
    with pytest.raises(AttributeError, match="Product has no attribute colour"):
        product.colour = "red"
    with pytest.raises(AttributeError):
        product.colour  # type: ignore[attr-defined]  # noqa: B018
    with pytest.raises(AttributeError, match="Image has no attribute colour"):
        Image(product=product, name="i", colour="red")
    with pytest.raises(AttributeError, match="SpectralBand has no attribute colormap"):
        SpectralBand(product=product, name="b", colormap=[])


def test_values_that_an_attribute_cannot_hold_leave_it_as_it_was(product: Product) -> None:
    image = Image(product=product, name="i", cloud_fraction=0.5)
    for name, wrong in (
        ("cloud_fraction", 1.5),
        ("cloud_fraction", "many"),
        ("acquired", "soon"),
        ("tags", "not a list"),
        ("tags", [1]),
        ("tags", ["x"] * 33),
        ("geotrans", (1, 2, 3)),
        ("cs_code", "32633"),
        ("storage_state", "lost"),
        ("x_pixels", 0),
    ):
        before = image.serialize()
        with pytest.raises(AttributeValidationError, match=name):
            setattr(image, name, wrong)
        assert image.serialize() == before
    with pytest.raises(AttributeValidationError, match="cloud_fraction"):
        Image(product=product, name="i", cloud_fraction=-1)


def test_equality_is_of_attributes_and_state(client: Client, product: Product) -> None:
    again = Product.get("p", client)
    assert again == product
    assert again is not product
    assert again is not None
    again.name = "Other"
    assert again != product
    assert Product(client, id="x") == Product(client, id="x")
    assert Product(client, id="x") != Product(client, id="y")
    assert Product(client, id="p", name="P") != product
    assert SpectralBand(product=product, name="a") != Image(product=product, name="a")
    with pytest.raises(TypeError):
        hash(product)


def test_a_deleted_object_cannot_be_saved(product: Product, catalog: Catalog) -> None:
    image = Image(product=product, name="i")
    with pytest.raises(UnsavedObjectError):
        image.reload()
    image.acquired = "2024-01-01"
    image.geometry = {"type": "Point", "coordinates": [1, 2]}
    image.save()
    image.reload()
    assert state_of(image) == "saved"
    catalog.stored.clear()
    with pytest.raises(DeletedObjectError, match="'p:i'"):
        image.reload()
    assert state_of(image) == "deleted"
    with pytest.raises(DeletedObjectError):
        image.save()


def test_reload_takes_what_the_catalog_has(product: Product) -> None:
    image = Image(
        product=product, name="i", acquired="2024-01-01", geometry={"type": "Point", "coordinates": [1, 2]}, tags=["a"]
    )
    image.save()
    image.tags = ["b"]
    image.reload()
    assert image.tags == ["a"]
    assert state_of(image) == "saved"


def test_an_image_without_pixels_needs_time_and_place(product: Product) -> None:
    with pytest.raises(ValueError, match="acquired and geometry"):
        Image(product=product, name="i", acquired="2024-01-01").save()


def test_ids(client: Client, product: Product) -> None:
    image = Image(client, id="a:b:c")
    assert (image.product_id, image.name, image.id) == ("a:b", "c", "a:b:c")
    assert Image(client, product_id="a:b", name="c") == image
    assert product.named_id("x") == "p:x"
    contradictions: list[dict[str, Any]] = [
        {"id": "nocolon"},
        {"id": "a:b", "name": "c"},
        {"id": "a:b", "product_id": "z"},
        {"name": "x"},
    ]
    for wrong in contradictions:
        with pytest.raises(AttributeValidationError):
            Image(client, **wrong)
    with pytest.raises(AttributeValidationError, match="unsaved related object"):
        Image(product=Product(client, id="new"), name="x")
    with pytest.raises(AttributeValidationError, match="give one"):
        Image(product=product, product_id="other", name="x")
    with pytest.raises(TypeError, match="derived class"):
        Band(client, product=product, name="x")
    assert Image.get("p:absent", client) is None
    assert Product.get("absent", client) is None
    assert Band.get("p:absent", client) is None


def test_what_an_object_shows(product: Product) -> None:
    assert "id: p" in repr(product)
    assert "Not up-to-date" in repr(Image(product=product, name="i"))
    assert "p:b" in repr(SpectralBand(product=product, name="b"))
    assert Product.name.__doc__
    assert product.serialize()["tags"] == ["a"]
