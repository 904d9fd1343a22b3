"""Catalog objects in memory: their states, what can be set, and when two are equal."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import ValidationError

from stac_ingest import AttributeValidationError, Band, ClassBand, File, Image, Product, SpectralBand, stac
from stac_ingest.client.connection import Client
from stac_ingest.models import product as values


@pytest.fixture
def client() -> Iterator[Client]:
    """A client that reaches nothing: what is tested here happens in memory."""
    with Client("http://nowhere.invalid", retries=0) as connection:
        yield connection


@pytest.fixture
def product(client: Client) -> Product:
    value = values.Product(id="p", name="P", tags=["a"], extra_properties={"k": {"inner": 1}})
    return Product._loaded(stac.collection_from_product(value, ()), client)


def state_of(thing: Product | Image) -> str:
    """Return the state as text: mypy takes it for the same as at the last look."""
    return str(thing.state)


def test_saving_what_is_saved_asks_nothing(product: Product) -> None:
    product.save()


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
    image = Image(product=product, name="i", files=[File(href="https://x/y.tif")])
    with pytest.raises(ValidationError, match="frozen"):
        image.files[0].href = "https://x/z.tif"  # type: ignore[misc]


def test_what_is_changed_inside_is_checked_before_anything_is_sent(product: Product) -> None:
    product.tags.append(5)  # type: ignore[arg-type]
    with pytest.raises(AttributeValidationError, match="tags"):
        product.save()


def test_two_objects_share_no_list(client: Client) -> None:
    one, two = Product(client, id="a"), Product(client, id="b")
    one.tags.append("x")
    one.extra_properties["x"] = 1
    assert two.tags == []
    assert two.extra_properties == {}
    assert Product(client, id="c").tags == []


def test_immutable_attributes(product: Product) -> None:
    with pytest.raises(AttributeValidationError, match="Can't set 'id' item because it is an immutable attribute"):
        product.id = "q"
    image = Image(product=product, name="i")
    for name in ("name", "product_id"):
        with pytest.raises(AttributeValidationError, match=f"Can't set '{name}' item because it is an immutable"):
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
    again = Product._loaded(stac.collection_from_product(product.value, ()), client)
    assert again == product
    again.name = "Other"
    assert again != product
    assert Product(client, id="x") == Product(client, id="x")
    assert Product(client, id="x") != Product(client, id="y")
    assert Product(client, id="p", name="P") != product
    assert SpectralBand(product=product, name="a") != Image(product=product, name="a")
    with pytest.raises(TypeError):
        hash(product)


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
    for get in (Image.get, Image.exists, Band.get):
        with pytest.raises(AttributeValidationError, match="product:name"):
            get("nocolon", client)
    assert SpectralBand(client, id="a:b:c").id == "a:b:c"


def test_what_an_object_shows(product: Product) -> None:
    assert "id: p" in repr(product)
    assert "Not up-to-date" in repr(Image(product=product, name="i"))
    assert "p:b" in repr(SpectralBand(product=product, name="b"))
    assert Product.name.__doc__
    for cls in (Product, SpectralBand, ClassBand, Image):
        for name in cls.ATTRIBUTES:
            assert getattr(cls, name).__doc__, f"{cls.__name__}.{name}"
    assert product.serialize()["tags"] == ["a"]
