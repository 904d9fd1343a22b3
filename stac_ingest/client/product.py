"""Products: STAC Collections as objects."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import TYPE_CHECKING, Any

from stac_ingest import stac
from stac_ingest.client.connection import Client, default_client, path
from stac_ingest.client.objects import Attribute, CatalogObject, require_known
from stac_ingest.errors import NotFoundError
from stac_ingest.models.enums import DocumentState
from stac_ingest.models.product import Product as ProductValue

if TYPE_CHECKING:
    from stac_ingest.client.band import Band
    from stac_ingest.client.image import Image
    from stac_ingest.client.search import ImageSearch


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
    revisit_period_minutes_min = Attribute[float | None]()
    revisit_period_minutes_max = Attribute[float | None]()
    default_display_bands = Attribute[list[str] | None]()
    created = Attribute[datetime | None](readonly=True)
    modified = Attribute[datetime | None](readonly=True)

    def __init__(self, client: Client | None = None, **attributes: Any) -> None:
        require_known(Product, attributes)
        super().__init__(client, ProductValue.check(attributes))

    @classmethod
    def get(
        cls,
        id: str,  # noqa: A002 - the name of the attribute
        client: Client | None = None,
    ) -> Product | None:
        """Return the product with this id, or None when there is none."""
        client = client or default_client()
        try:
            return cls._loaded(client.get(path("collections", id)), client)
        except NotFoundError:
            return None

    @classmethod
    def _loaded(cls, collection: dict[str, Any], client: Client) -> Product:
        value = stac.product_from_collection(collection)
        product = cls(client, id=value.id)
        product._mark_saved(value)
        return product

    def save(self) -> None:
        """Add the product to the catalog, or update what was changed.

        Raises:
            ConflictError: The product is new here, and the catalog has one with this id.
        """
        self._require_existing()
        match self.state:
            case DocumentState.UNSAVED:
                made = self._client.post("/collections", stac.collection_from_product(self._checked(), ()))
            case DocumentState.MODIFIED:
                before = self._client.get(self._path)
                bands = stac.bands_from_collection(before)
                made = self._client.put(self._path, stac.collection_from_product(self._checked(), bands, before))
            case _:
                return
        self._mark_saved(stac.product_from_collection(made))

    @property
    def _path(self) -> str:
        return path("collections", self.id)

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

    def bands(self) -> Iterator[Band]:
        """Yield the bands by their `sort_order`."""
        from stac_ingest.client.band import band_of

        for value in stac.bands_from_collection(self._client.get(self._path)):
            yield band_of(value, self, self._client)

    def images(self) -> ImageSearch:
        """Return the search for this product's images; filter it, then iterate."""
        from stac_ingest.client.search import ImageSearch

        return ImageSearch(self._client, collections=(self.id,))

    def __repr__(self) -> str:
        return f"Product: {self.name}\n  id: {self.id}\n  state: {self.state}"
