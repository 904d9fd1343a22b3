"""Products: STAC Collections as objects."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, Self

from stac_ingest import stac
from stac_ingest.client.connection import Answer, Client, default_client, path
from stac_ingest.client.deletion import DeletionTaskStatus
from stac_ingest.client.objects import Attribute, CatalogObject, Rows, require_known
from stac_ingest.errors import ConflictError, NotFoundError
from stac_ingest.models.cog import CogProfile
from stac_ingest.models.product import Product as ProductValue
from stac_ingest.models.values import Resolution

if TYPE_CHECKING:
    from stac_ingest.client.band import Band
    from stac_ingest.client.image import Image
    from stac_ingest.client.searching.searches import BandSearch, ImageSearch, ImageUploadSearch, ProductSearch

MAX_TURNS = 50
"""How often a Collection that others write at the same time is read and written anew."""


class Product(CatalogObject[ProductValue]):
    """Images of one kind, with the same bands.

    Args:
        client: The service; unset: the one that the environment names.
        attributes: Any of the attributes below; `id` is required.

    Raises:
        AttributeError: An attribute is unknown.
        AttributeValidationError: An attribute cannot hold its value.
    """

    VALUE = ProductValue

    id = Attribute[str](immutable=True)
    name = Attribute[str | None]()
    description = Attribute[str | None]()
    tags = Attribute[list[str]]()
    extra_properties = Attribute[dict[str, Any]]()
    license = Attribute[str]()
    start_datetime = Attribute[datetime | None]()
    end_datetime = Attribute[datetime | None]()
    resolution_min = Attribute[Resolution | None](readonly=True)
    resolution_max = Attribute[Resolution | None](readonly=True)
    revisit_period_minutes_min = Attribute[float | None]()
    revisit_period_minutes_max = Attribute[float | None]()
    default_display_bands = Attribute[list[str] | None]()
    cog_profile = Attribute[CogProfile | None]()
    created = Attribute[datetime | None](readonly=True)
    modified = Attribute[datetime | None](readonly=True)

    def __init__(self, client: Client | None = None, **attributes: Any) -> None:
        require_known(Product, attributes)
        super().__init__(client, ProductValue.check(attributes))

    # --- The catalog

    @classmethod
    def get(
        cls,
        id: str,  # noqa: A002 - the name of the attribute
        client: Client | None = None,
    ) -> Self | None:
        """Return the product with this id, or None when there is none."""
        client = client or default_client()
        try:
            answer = client.fetch(path("collections", id))
        except NotFoundError:
            return None
        return cls._loaded(answer.body, client, answer.etag)

    @classmethod
    def exists(
        cls,
        id: str,  # noqa: A002 - the name of the attribute
        client: Client | None = None,
    ) -> bool:
        """Return whether the catalog has a product with this id."""
        return (client or default_client()).exists("collections", id)

    @classmethod
    def search(cls, client: Client | None = None) -> ProductSearch:
        """Return the search for products; filter it, then iterate."""
        from stac_ingest.client.searching.searches import ProductSearch

        return ProductSearch(client or default_client())

    @classmethod
    def _find_many(cls, ids: Sequence[str], client: Client) -> Iterable[Self]:
        return [found for found in (cls.get(one, client) for one in ids) if found is not None]

    @classmethod
    def _loaded(cls, collection: dict[str, Any], client: Client, etag: str | None = None) -> Self:
        value = stac.product_from_collection(collection)
        product = cls(client, id=value.id)
        product._mark_saved(value, etag)
        return product

    def _load(self) -> None:
        answer = self._client.fetch(self._path)
        self._mark_saved(stac.product_from_collection(answer.body), answer.etag)

    def _create(self) -> None:
        made = self._client.write("POST", "/collections", stac.collection_from_product(self.value, ()))
        self._mark_saved(stac.product_from_collection(made.body), made.etag)

    def _change(self) -> None:
        def changed(collection: dict[str, Any]) -> dict[str, Any]:
            self._require_same(stac.product_from_collection(collection))
            return stac.collection_from_product(self.value, stac.bands_from_collection(collection), collection)

        made = change_collection(self._client, self.id, changed)
        self._mark_saved(stac.product_from_collection(made.body), made.etag)

    def _require_same(self, now: ProductValue) -> None:
        require_unchanged(self._title, self._saved or {}, now.to_json())

    def _remove(self) -> None:
        self._client.write("DELETE", self._path)

    @property
    def _path(self) -> str:
        return path("collections", self.id)

    # --- What belongs to it

    def named_id(self, name: str) -> str:
        """Return the id of this product's band or image with a name: `product:name`."""
        return f"{self.id}:{name}"

    def get_band(self, name: str) -> Band | None:
        """Return the band with this name, or None."""
        from stac_ingest.client.band import Band

        return Band.get(self.named_id(name), self._client)

    def get_image(self, name: str) -> Image | None:
        """Return the image with this name, or None."""
        from stac_ingest.client.image import Image

        return Image.get(self.named_id(name), self._client)

    def bands(self) -> BandSearch:
        """Return the search for this product's bands; they come by their `sort_order`."""
        from stac_ingest.client.searching.searches import BandSearch

        return BandSearch(self._client, self.id)

    def images(self) -> ImageSearch:
        """Return the search for this product's images; filter it, then iterate."""
        from stac_ingest.client.searching.searches import ImageSearch

        return ImageSearch(self._client, (self.id,))

    def image_uploads(self) -> ImageUploadSearch:
        """Return the search for this product's uploads; they come newest first."""
        from stac_ingest.client.searching.searches import ImageUploadSearch

        return ImageUploadSearch(self._client, self.id)

    def delete_related_objects(self) -> DeletionTaskStatus | None:
        """Begin to delete all images and bands of the product; the service goes on with it by itself.

        Returns:
            The task, on its way; None when there was nothing to delete.

        Raises:
            ConflictError: Such a task is running already.
            NotFoundError: The product is not in the catalog.
        """
        begun = self._client.post(f"{self._path}/deletions")
        return DeletionTaskStatus.of(self._client, begun) if begun else None

    def get_delete_status(self) -> DeletionTaskStatus:
        """Return the newest task that deletes this product's images and bands; its status is NEVERRAN if there is none.

        Raises:
            NotFoundError: The product is not in the catalog.
        """
        return DeletionTaskStatus.newest(self._client, self.id)

    def _rows(self) -> Rows:
        return [
            ("id", self.id),
            ("description", self.description),
            ("tags", ", ".join(self.tags)),
            ("created", self.created),
        ]


def change_collection(client: Client, collection_id: str, change: Callable[[dict[str, Any]], dict[str, Any]]) -> Answer:
    """Change a Collection that others may be writing too; what they write is kept.

    Args:
        client: The service.
        collection_id: Id of the Collection.
        change: Returns the Collection as it shall be, from what it is; called again when it has changed meanwhile.
    """
    address = path("collections", collection_id)
    for turn in range(MAX_TURNS):
        before = client.fetch(address)
        after = change(before.body)
        patch = stac.merge_patch(before.body, after)
        if not patch:
            return before
        # A merge patch says with null that something goes; where a null shall stay, all is sent.
        whole = any(stac.nulls_of(after.get("ingest:product")))
        try:
            return client.write("PUT" if whole else "PATCH", address, after if whole else patch, etag=before.etag)
        except ConflictError as error:
            if error.status != 412 or turn == MAX_TURNS - 1:
                raise
        time.sleep(random.uniform(0, 0.02 * (turn + 1)))  # noqa: S311
    raise AssertionError


def require_unchanged(title: str, saved: dict[str, Any], now: dict[str, Any]) -> None:
    """Refuse to write over what someone else has changed since it was loaded.

    Raises:
        ConflictError: Names the attributes that differ.
    """
    by_service = {"created", "modified", "resolution_min", "resolution_max"}
    names = sorted(name for name in (saved.keys() | now.keys()) - by_service if saved.get(name) != now.get(name))
    if names:
        raise ConflictError(
            f"{title} was changed by someone else since it was loaded ({', '.join(names)}); reload() it, and change it"
            " again.",
            status=412,
            code="PRECONDITION_FAILED",
        )
