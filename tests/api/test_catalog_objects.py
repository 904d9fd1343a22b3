"""Products, bands and images as objects, against the running service: what F1 to F22 of the catalog model promise."""

from __future__ import annotations

import json
import threading
import warnings
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from psycopg.types.json import Jsonb

from stac_ingest import (
    AttributeValidationError,
    Band,
    ClassBand,
    Codec,
    CogProfile,
    ConflictError,
    DeletedObjectError,
    DocumentState,
    File,
    Image,
    MaskBand,
    NotFoundError,
    Product,
    Resolution,
    SpectralBand,
    UnsavedObjectError,
)
from stac_ingest import (
    properties as p,
)
from stac_ingest.client.connection import Client
from stac_ingest.client.deletion import DeletionTaskStatus
from stac_ingest.models.deletion import Deletion
from stac_ingest.models.enums import TaskState
from tests.conftest import Service, running_service, upload_done

ProductMaker = Callable[..., Product]
SQUARE = {"type": "Polygon", "coordinates": [[[10, 40], [11, 40], [11, 41], [10, 41], [10, 40]]]}


@pytest.fixture
def product(make_product: ProductMaker) -> Product:
    return make_product("red", "green")


def remote(product: Product, name: str, **attributes: Any) -> Image:
    """Save an image without pixels."""
    image = Image(
        product=product,
        name=name,
        **{"acquired": "2024-05-01", "geometry": SQUARE, "storage_state": "remote"} | attributes,
    )
    image.save()
    return image


def saved_thing(kind: str, product: Product) -> Product | Band | Image:
    """Return a saved object of a kind, which has tags."""
    match kind:
        case "product":
            product.tags = ["a"]
            product.save()
            return product
        case "band":
            band = SpectralBand(product=product, name="nir", tags=["a"])
            band.save()
            return band
        case _:
            return remote(product, "i", tags=["a"])


def again(thing: Any) -> Any:
    """Return the object as another client has it."""
    found = type(thing).get(thing.id, thing._client)
    assert found is not None
    return found


def state_of(thing: Any) -> DocumentState:
    state: DocumentState = thing.state
    return state


each_kind = pytest.mark.parametrize("kind", ["product", "band", "image"])


# --- States, saving, loading


@each_kind
def test_an_object_is_unsaved_then_saved_then_modified_then_deleted(kind: str, product: Product) -> None:
    made: Any
    match kind:
        case "product":
            made = Product(product._client, id=f"test:{uuid4().hex[:12]}")
        case "band":
            made = ClassBand(product=product, name="cover")
        case _:
            made = Image(product=product, name="i", acquired="2024-05-01", geometry=SQUARE, storage_state="remote")
    assert (state_of(made), made.is_modified) == (DocumentState.UNSAVED, True)
    made.save()
    assert (state_of(made), made.is_modified) == (DocumentState.SAVED, False)
    made.tags.append("x")
    assert (state_of(made), made.is_modified) == (DocumentState.MODIFIED, True)
    made.save()
    assert state_of(made) == DocumentState.SAVED
    assert again(made) == made
    assert again(made).tags == ["x"]
    made.delete()
    assert state_of(made) == DocumentState.DELETED
    for later in (made.save, made.reload, made.delete):
        with pytest.raises(DeletedObjectError):
            later()
    assert type(made).get(made.id, product._client) is None


@each_kind
def test_saving_an_id_that_exists_is_a_conflict(kind: str, product: Product) -> None:
    thing = saved_thing(kind, product)
    twin: Any
    match kind:
        case "product":
            twin = Product(product._client, id=thing.id)
        case "band":
            twin = MaskBand(product=product, name="nir")
        case _:
            twin = Image(product=product, name="i", acquired="2024-05-01", geometry=SQUARE, storage_state="remote")
    with pytest.raises(ConflictError, match=r"exists already|already"):
        twin.save()
    assert again(thing) == thing


@each_kind
def test_save_sends_only_what_changed(kind: str, product: Product, monkeypatch: pytest.MonkeyPatch) -> None:
    thing = saved_thing(kind, product)
    sent: list[Any] = []
    write = Client.write

    def seen(self: Client, method: str, path: str, body: Any = None, **options: Any) -> Any:
        sent.append((method, body))
        return write(self, method, path, body, **options)

    monkeypatch.setattr(Client, "write", seen)
    thing.save()
    assert sent == [], "what is saved is not sent again"
    thing.tags = ["b"]
    thing.save()
    [(method, body)] = sent
    assert method == "PATCH"
    changed = {"product": {"keywords"}, "band": {"ingest:bands", "item_assets"}, "image": {"properties"}}[kind]
    assert body.keys() - {"stac_extensions"} == changed
    if kind == "image":
        assert body["properties"] == {"keywords": ["b"]}


@each_kind
def test_the_second_of_two_writers_gets_a_conflict_and_nothing_is_lost(kind: str, product: Product) -> None:
    one = saved_thing(kind, product)
    other = again(one)
    one.tags = ["one"]
    one.save()
    other.extra_properties = {"by": "other"}
    with pytest.raises(ConflictError, match=r"(?i)changed.*reload"):
        other.save()
    assert again(one).tags == ["one"]
    assert again(one).extra_properties == {}
    other.reload()
    assert other.tags == ["one"]
    other.extra_properties = {"by": "other"}
    other.save()
    assert (again(one).tags, again(one).extra_properties) == (["one"], {"by": "other"})


def test_an_image_that_a_search_found_is_not_saved_over_a_newer_one(product: Product) -> None:
    image = remote(product, "i")
    [found] = product.images()
    image.tags = ["newer"]
    image.save()
    found.tags = ["older"]
    with pytest.raises(ConflictError, match="tags"):
        found.save()
    found.reload()
    found.tags = [*found.tags, "newest"]
    found.save()
    assert again(image).tags == ["newer", "newest"]


def test_product_and_bands_are_changed_apart(product: Product) -> None:
    other = again(product)
    SpectralBand(product=product, name="nir").save()
    remote(product, "i")
    other.description = "Changed after a band and an image came"
    other.save()
    assert [band.name for band in again(product).bands()] == ["red", "green", "nir"]


def test_two_clients_saving_bands_at_once_lose_nothing(product: Product, service: Any) -> None:
    failures: list[BaseException] = []

    def save_bands(prefix: str) -> None:
        try:
            with Client(service.url) as client:
                for index in range(8):
                    SpectralBand(client, product_id=product.id, name=f"{prefix}{index}").save()
        except BaseException as error:  # noqa: BLE001 - shown below
            failures.append(error)

    threads = [threading.Thread(target=save_bands, args=(prefix,)) for prefix in "ab"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    bands = list(product.bands())
    expected = {"red", "green", *(f"{prefix}{index}" for prefix in "ab" for index in range(8))}
    assert {band.name for band in bands} == expected
    orders = [band.sort_order for band in bands]
    assert orders == sorted(set(orders), key=lambda order: order or 0), "each has a place of its own"


def test_two_clients_saving_the_same_new_band_at_once(product: Product, service: Any) -> None:
    outcomes: list[str] = []

    def save() -> None:
        with Client(service.url) as client:
            try:
                SpectralBand(client, product_id=product.id, name="nir").save()
                outcomes.append("saved")
            except ConflictError:
                outcomes.append("conflict")

    threads = [threading.Thread(target=save) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["conflict", "conflict", "conflict", "saved"]


@each_kind
def test_reload_drops_what_was_changed_here(kind: str, product: Product) -> None:
    thing = saved_thing(kind, product)
    thing.tags = ["mine"]
    thing.reload()
    assert thing.tags == ["a"]
    assert state_of(thing) == DocumentState.SAVED


def test_what_was_never_saved_can_be_neither_reloaded_nor_deleted(product: Product) -> None:
    for thing in (
        Product(product._client, id="never"),
        SpectralBand(product=product, name="never"),
        Image(product=product, name="never"),
    ):
        with pytest.raises(UnsavedObjectError, match="has not been saved"):
            thing.reload()
        with pytest.raises(UnsavedObjectError, match=r"You cannot delete an unsaved object\."):
            thing.delete()
    assert issubclass(UnsavedObjectError, ValueError)


@each_kind
def test_an_object_that_another_has_deleted(kind: str, product: Product) -> None:
    thing = saved_thing(kind, product)
    other = again(thing)
    third = again(thing)
    thing.delete()
    with pytest.raises(DeletedObjectError, match="was deleted"):
        other.reload()
    assert state_of(other) == DocumentState.DELETED
    third.tags = ["x"]
    with pytest.raises(DeletedObjectError, match="was deleted"):
        third.save()
    assert state_of(third) == DocumentState.DELETED


# --- By id


@each_kind
def test_delete_by_id_says_whether_there_was_one(kind: str, product: Product) -> None:
    thing = saved_thing(kind, product)
    assert type(thing).delete(thing.id, product._client) is True
    assert type(thing).delete(thing.id, product._client) is False


def test_a_product_with_images_cannot_be_deleted(product: Product) -> None:
    image = remote(product, "i")
    with pytest.raises(ConflictError, match="still has items"):
        product.delete()
    with pytest.raises(ConflictError):
        Product.delete(product.id, product._client)
    assert state_of(product) == DocumentState.SAVED
    assert again(image) == image
    image.delete()
    product.delete()
    assert not Product.exists(product.id, product._client)


@each_kind
def test_exists(kind: str, product: Product) -> None:
    thing = saved_thing(kind, product)
    assert type(thing).exists(thing.id, product._client) is True
    assert type(thing).exists(f"{thing.id}-absent", product._client) is False


@each_kind
def test_get_or_create_never_saves(kind: str, product: Product) -> None:
    thing = saved_thing(kind, product)
    cls: Any = type(thing)
    same = cls.get_or_create(thing.id, product._client, tags=["a"])
    assert (state_of(same), same) == (DocumentState.SAVED, thing)
    other = cls.get_or_create(thing.id, product._client, tags=["b"])
    assert (state_of(other), other.tags) == (DocumentState.MODIFIED, ["b"])
    new_id = f"test:{uuid4().hex[:8]}" if kind == "product" else product.named_id("new")
    new = cls.get_or_create(new_id, product._client, tags=["c"])
    assert (state_of(new), new.id, new.tags) == (DocumentState.UNSAVED, new_id, ["c"])
    assert not cls.exists(new_id, product._client)
    with pytest.raises(AttributeError, match="colour"):
        cls.get_or_create(thing.id, product._client, colour="red")


def test_get_many_keeps_the_order_asked_for(product: Product, make_product: ProductMaker) -> None:
    other = make_product("red")
    images = [remote(product, f"i{index}") for index in range(4)] + [remote(other, "i0")]
    ids = [images[index].id for index in (3, 4, 0, 2, 3)]
    assert [image.id for image in Image.get_many(ids, client=product._client)] == ids
    bands = [product.named_id("green"), other.named_id("red"), product.named_id("red")]
    assert [band.id for band in Band.get_many(bands, client=product._client)] == bands
    products = [other.id, product.id]
    assert [found.id for found in Product.get_many(products, client=product._client)] == products
    assert Image.get_many([], client=product._client) == []


def test_get_many_names_what_is_missing(product: Product) -> None:
    image = remote(product, "i")
    absent = [product.named_id("no"), "no:such"]
    with pytest.raises(NotFoundError, match=f"{absent[0]}, {absent[1]}"):
        Image.get_many([image.id, *absent], client=product._client)
    assert Image.get_many([image.id, *absent], ignore_missing=True, client=product._client) == [image]
    assert SpectralBand.get_many([product.named_id("red")], client=product._client)
    assert MaskBand.get_many([product.named_id("red")], ignore_missing=True, client=product._client) == []
    for wrong in ("p:i", [1], [None]):
        with pytest.raises(TypeError, match="ids must be a list of strings"):
            Image.get_many(wrong, client=product._client)  # type: ignore[arg-type]


def test_get_many_of_more_than_one_page(product: Product, http: Any) -> None:
    items = [
        {
            "type": "Feature",
            "stac_version": "1.1.0",
            "id": f"i{index:03}",
            "geometry": SQUARE,
            "bbox": [10, 40, 11, 41],
            "properties": {"datetime": "2024-05-01T00:00:00Z"},
            "links": [],
            "assets": {},
        }
        for index in range(230)
    ]
    collection = {"type": "FeatureCollection", "features": items}
    assert http.post(f"/collections/{product.id}/items", json=collection).status_code == 201
    ids = [product.named_id(item["id"]) for item in reversed(items)]  # type: ignore[arg-type]
    assert [image.id for image in Image.get_many(ids, client=product._client)] == ids


# --- Several attributes at once, and how objects are shown


def test_update_sets_all_or_none(product: Product) -> None:
    image = remote(product, "i")
    image.update(cloud_fraction=0.5, tags=["x"])
    assert (image.cloud_fraction, image.tags) == (0.5, ["x"])
    with pytest.raises(AttributeValidationError, match="cloud_fraction"):
        image.update(satellite_id="s2", cloud_fraction=7)
    with pytest.raises(AttributeError, match="Image has no attribute colour"):
        image.update(satellite_id="s2", colour="red")
    with pytest.raises(AttributeError):
        image.update(satellite_id="s2", save="no")
    with pytest.raises(AttributeError, match="Image has no attribute value"):
        image.update(satellite_id="s2", value=5)
    assert again(image).satellite_id == image.satellite_id is None
    image.update(ignore_errors=True, cloud_fraction=7, satellite_id="s2", colour="red")
    assert image.cloud_fraction == 0.5
    assert image.serialize()["satellite_id"] == "s2"
    image.save()
    assert again(image).satellite_id == "s2"


def test_serialize_gives_all_or_what_changed(product: Product) -> None:
    image = remote(product, "i", cloud_fraction=0.5)
    assert image.serialize()["cloud_fraction"] == 0.5
    assert image.serialize(modified_only=True) == {}
    image.cloud_fraction = None
    image.tags = ["x"]
    assert image.serialize(modified_only=True) == {"tags": ["x"], "cloud_fraction": None}
    assert Image(product=product, name="n").serialize(modified_only=True).keys() >= {"name", "product_id"}


def test_attributes_are_listed() -> None:
    assert {"id", "name", "tags", "created"} <= set(Product.ATTRIBUTES)
    assert {"acquired", "cloud_fraction", "files"} <= set(Image.ATTRIBUTES)
    assert {"data_type", "wavelength_nm_center"} <= set(SpectralBand.ATTRIBUTES)
    assert "wavelength_nm_center" not in ClassBand.ATTRIBUTES


@each_kind
def test_created_and_modified_are_the_services(kind: str, product: Product) -> None:
    if kind == "band":
        pytest.skip("a band is part of its product, which has them")
    thing: Any = saved_thing(kind, product)
    now = datetime.now(UTC)
    assert now - timedelta(minutes=5) < thing.created <= thing.modified < now + timedelta(minutes=5)
    before = thing.modified
    thing.tags = ["later"]
    thing.save()
    assert thing.modified > before
    assert again(thing).created == thing.created
    with pytest.raises(AttributeValidationError, match="Can't set 'created' item because it is a readonly attribute"):
        thing.created = now


@each_kind
def test_what_a_person_sees(kind: str, product: Product) -> None:
    thing: Any = saved_thing(kind, product)
    text, html = repr(thing), thing._repr_html_()
    for shown in (text, html):
        assert type(thing).__name__ in shown
        assert thing.id in shown
        assert "Not up-to-date" not in shown
    thing.tags = ["<script>"]
    assert "* Not up-to-date in the catalog. Call `.save()`" in repr(thing)
    assert "Not up-to-date" in thing._repr_html_()
    assert "<script>" not in thing._repr_html_()
    thing.reload()
    thing.delete()
    assert "Deleted from the catalog" in repr(thing)


# --- Products and bands


def test_the_resolutions_of_a_product_follow_its_bands(product: Product) -> None:
    assert (product.resolution_min, product.resolution_max) == (None, None)
    for name, size in (("fine", "10m"), ("coarse", "0.25 degrees"), ("middle", "60m")):
        SpectralBand(product=product, name=name, resolution=size).save()
    product.reload()
    assert product.resolution_min == Resolution(value=10, unit="meters")
    assert product.resolution_max == Resolution(value=0.25, unit="degrees")
    with pytest.raises(AttributeValidationError, match="readonly"):
        product.resolution_min = Resolution(value=1, unit="meters")


def test_how_files_are_written_is_kept(product: Product) -> None:
    product.cog_profile = {"codec": "zstd", "level": 5, "overviews": [2, 4]}
    assert product.cog_profile == CogProfile(codec=Codec.ZSTD, level=5, overviews=(2, 4))
    product.save()
    assert again(product).cog_profile == product.cog_profile
    product.cog_profile = CogProfile(codec=Codec.LERC)
    product.save()
    assert again(product).cog_profile == CogProfile(codec=Codec.LERC)
    product.cog_profile = None
    product.save()
    assert again(product).cog_profile is None
    with pytest.raises(AttributeValidationError, match=r"cog_profile.level: expected at most 12 for DEFLATE"):
        product.cog_profile = {"level": 15}
    assert product.state is DocumentState.SAVED


def test_bands_that_the_codec_cannot_hold_are_refused(product: Product) -> None:
    product.cog_profile = {"codec": "JPEG"}
    with pytest.raises(
        AttributeValidationError, match=r"Expected for JPEG.*found band 'red' of uint16; choose another codec"
    ):
        product.save()
    product.cog_profile = {"codec": "LERC"}
    product.save()
    with pytest.raises(AttributeValidationError, match=r"Expected for LERC.*found band 'counts' of uint64"):
        SpectralBand(product=product, name="counts", data_type="UInt64", file_index=1).save()
    assert [band.name for band in product.bands()] == ["red", "green"]
    assert again(product).cog_profile == CogProfile(codec=Codec.LERC)


def test_the_class_decides_which_bands_are_found(product: Product) -> None:
    ClassBand(product=product, name="cover", class_labels=["water", None, "land"]).save()
    client = product._client
    assert isinstance(Band.get(product.named_id("cover"), client), ClassBand)
    assert SpectralBand.get(product.named_id("cover"), client) is None
    assert ClassBand.get(product.named_id("cover"), client) is not None
    assert product.get_band("cover") == ClassBand.get(product.named_id("cover"), client)
    assert product.get_band("absent") is None


def test_bands_come_in_their_order(product: Product) -> None:
    SpectralBand(product=product, name="first", sort_order=0, band_index=2).save()
    SpectralBand(product=product, name="last", band_index=3).save()
    assert [band.name for band in product.bands()] == ["first", "red", "green", "last"]


# --- Images without pixels of ours


def test_a_remote_image_is_found_but_has_no_pixels(make_product: ProductMaker) -> None:
    product = make_product()
    files = [
        File(href="https://example.com/scene.tif", size_bytes=12, hash="098F6BCD4621D373CADE4E832627B4F6"),
        File(provider_href="s3://bucket/other.jp2", provider_id="B8A"),
    ]
    image = remote(
        product, "i", files=files, provider_url="https://example.com/scene", preview_url="https://example.com/p.png",
        geotrans=(500000, 10, 0, 5000000, 0, -10), x_pixels=30, y_pixels=20, cs_code="EPSG:32633",
    )  # fmt: skip
    found = again(image)
    assert found == image
    assert [file.href for file in found.files] == ["https://example.com/scene.tif", None]
    assert found.files[0].hash == "d50110098f6bcd4621d373cade4e832627b4f6"
    assert (found.files[1].provider_href, found.files[1].provider_id) == ("s3://bucket/other.jp2", "B8A")
    assert found.provider_url == "https://example.com/scene"
    assert (found.geotrans, found.x_pixels, found.y_pixels) == ((500000, 10, 0, 5000000, 0, -10), 30, 20)
    assert found.item["assets"]["data"]["type"] == "image/tiff; application=geotiff"
    assert [one.name for one in product.images()] == ["i"]
    found.files = [*found.files[:1]]
    found.provider_url = None
    found.save()
    assert (len(again(image).files), again(image).provider_url) == (1, None)


@pytest.mark.parametrize(
    "projection",
    [
        "+proj=utm +zone=33 +datum=WGS84 +units=m +no_defs",
        '{"type": "GeographicCRS", "name": "unknown"}',
        'GEOGCRS["unknown",ENSEMBLE["x"]]',
    ],
)
def test_a_projection_comes_back_as_it_was_given(product: Product, projection: str) -> None:
    image = remote(product, f"i{abs(hash(projection))}", projection=projection)
    found = again(image).projection
    assert found == projection or json.loads(found) == json.loads(projection)


def test_an_image_with_neither_pixels_nor_files_is_not_available(product: Product) -> None:
    with pytest.raises(ValueError, match="storage_state to 'remote'"):
        Image(product=product, name="i", acquired="2024-05-01", geometry=SQUARE).save()
    with pytest.raises(ValueError, match="needs geometry to be saved"):
        Image(product=product, name="i", acquired="2024-05-01", storage_state="remote").save()
    assert not Image.exists(product.named_id("i"), product._client)


# --- Deleting everything that a product has


def test_related_objects_are_deleted_by_a_task(product: Product) -> None:
    client = product._client
    assert product.get_delete_status().status is TaskState.NEVERRAN
    for index in range(3):
        remote(product, f"i{index}")
    task = product.delete_related_objects()
    assert task is not None
    task.wait_for_completion(timeout=60, progress=True)
    assert (task.status, task.errors) == (TaskState.SUCCEEDED, [])
    assert (task.objects_deleted, task.objects_total) == (5, 5), "three images and two bands"
    assert task.start_datetime is not None
    assert task.duration_in_seconds > 0
    assert "SUCCEEDED" in repr(task)
    assert product.get_delete_status().id == task.id
    assert list(product.images()) == []
    assert list(product.bands()) == []
    assert product.delete_related_objects() is None, "nothing is left"
    product.delete()
    with pytest.raises(NotFoundError):
        Product(client, id=product.id).get_delete_status()


def test_a_wait_for_a_deletion_ends_in_time(product: Product) -> None:
    value = Deletion(
        id="x", collection=product.id, status=TaskState.RUNNING, start_datetime=datetime.now(UTC),
        duration_in_seconds=1, objects_deleted=1, objects_total=2,
    )  # fmt: skip
    task = DeletionTaskStatus(product._client, product.id, value)
    task.reload = lambda: None  # type: ignore[method-assign]
    with pytest.raises(TimeoutError, match=r"still running after 0\.2 seconds"):
        task.wait_for_completion(timeout=0.2)


# --- From a product to what belongs to it


def test_what_belongs_to_a_product(product: Product, make_geotiff: Callable[..., Path]) -> None:
    image = Image(product=product, name="i", acquired="2024-05-01")
    upload = upload_done(image, make_geotiff(count=2))
    assert image.date == image.acquired
    assert product.get_image("i") == image
    assert product.get_image("absent") is None
    assert [found.id for found in product.images()] == [product.named_id("i")]
    assert [found.id for found in product.image_uploads()] == [upload.id]
    assert [found.id for found in image.image_uploads()] == [upload.id]
    assert list(remote(product, "j").image_uploads()) == []


def test_a_remote_image_becomes_available_by_an_upload(product: Product, make_geotiff: Callable[..., Path]) -> None:
    before = remote(product, "i", files=[File(href="https://example.com/scene.tif")])
    image = Image(product=product, name="i", acquired="2024-05-01")
    upload_done(image, make_geotiff(count=2), overwrite=True)
    found = again(before)
    assert found.storage_state == "available"
    assert found.created == before.created
    [file] = found.files
    assert file.href != "https://example.com/scene.tif"
    assert image.x_pixels == found.x_pixels == 60
    found.geotrans = (0, 1, 0, 0, 0, -1)
    with pytest.raises(AttributeValidationError, match="upload a new Image"):
        found.save()


# --- What the catalog must not lose


NULLS: dict[str, Any] = {
    "a": None,
    "b": {"c": None, "d/e~f": [1, None, {"g": None}]},
    "h": 0,
    "i": "",
    "j": False,
    "k": [],
    "l": {},
}


@each_kind
def test_any_json_value_comes_back_null_too(kind: str, product: Product) -> None:
    thing = saved_thing(kind, product)
    thing.extra_properties = NULLS
    thing.save()
    assert state_of(thing) == DocumentState.SAVED
    assert again(thing).extra_properties == NULLS
    thing.extra_properties = {"a": 1}
    thing.save()
    assert again(thing).extra_properties == {"a": 1}


def test_null_comes_back_from_an_upload(product: Product, make_geotiff: Callable[..., Path]) -> None:
    image = Image(product=product, name="i", acquired="2024-05-01", extra_properties=NULLS)
    upload_done(image, make_geotiff(count=2))
    assert again(image).extra_properties == NULLS
    assert again(image).serialize(modified_only=True) == {}
    by_null = product.images().filter(p.extra_properties["b"]["c"].isnull)
    assert [found.name for found in by_null] == ["i"]


def test_a_band_is_not_saved_while_everything_is_deleted(make_database: Callable[[], str], tmp_path: Path) -> None:
    with running_service(make_database(), tmp_path, "api") as service, Client(service.url) as client:
        product = Product(client, id="p")
        product.save()
        SpectralBand(product=product, name="old").save()
        task = product.delete_related_objects()
        assert task is not None
        with pytest.raises(ConflictError, match="being deleted"):
            SpectralBand(product=product, name="new").save()
        service.start("worker")
        task.wait_for_completion(timeout=60)
        assert (task.objects_deleted, task.objects_total) == (1, 1)


@pytest.mark.parametrize(
    ("properties", "asset"),
    [
        ({"eo:cloud_cover": "12"}, {}),
        ({"ingest:storage_state": "gone"}, {}),
        ({"proj:shape": [1]}, {}),
        ({}, {"proj:shape": [1, 2, 3]}),
        ({}, {"proj:transform": 5}),
        ({}, {"proj:transform": [1, 2]}),
        ({}, {"ingest:file_index": "1"}),
    ],
)
def test_items_of_others_are_images_whatever_they_say(
    product: Product, service: Service, properties: dict[str, Any], asset: dict[str, Any]
) -> None:
    item = {
        "type": "Feature",
        "stac_version": "1.1.0",
        "id": "theirs",
        "collection": product.id,
        "geometry": SQUARE,
        "bbox": [10, 40, 11, 41],
        "properties": {"datetime": "2024-05-01T00:00:00Z", "platform": "x", **properties},
        "links": [],
        "assets": {"b": {"href": "https://x/1.tif", "roles": ["data"], "ingest:file_index": 2},
                   "a": {"href": "https://x/2.tif", "roles": ["data"], "ingest:file_index": 1, **asset}},
    }  # fmt: skip
    with psycopg.connect(service.database_url, options="-c search_path=pgstac,public") as database:
        database.execute("SELECT create_item(%s)", [Jsonb(item)])  # as other tools of pgstac do, which check nothing
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        [image] = product.images()
    assert image.satellite_id == "x"
    assert bool(told) == ("ingest:file_index" not in asset)


def test_a_collection_of_geometries_is_a_place_too(product: Product, http: Any) -> None:
    geometry = {"type": "GeometryCollection", "geometries": [{"type": "Point", "coordinates": [10, 40]}, SQUARE]}
    item = {
        "type": "Feature", "stac_version": "1.1.0", "id": "i", "geometry": geometry, "bbox": [10, 40, 11, 41],
        "properties": {"datetime": "2024-05-01T00:00:00Z"}, "links": [], "assets": {},
    }  # fmt: skip
    address = f"/collections/{product.id}/items"
    assert http.post(address, json=item).status_code == 201
    geometry["geometries"][0]["coordinates"] = [500_000, 0]  # type: ignore[index]
    assert http.post(address, json={**item, "id": "j"}).json()["code"] == "INVALID_GEOMETRY"
