"""Bands: entries of a product's Collection as objects."""

from __future__ import annotations

from typing import Any, ClassVar, Self

from stac_ingest import stac
from stac_ingest.client.connection import Client, default_client, path
from stac_ingest.client.objects import Attribute, CatalogObject, require_known
from stac_ingest.client.product import Product
from stac_ingest.errors import AttributeValidationError, ConflictError, NotFoundError
from stac_ingest.models import bands as values
from stac_ingest.models.enums import BandType, Colormap, DataType, DocumentState
from stac_ingest.models.values import Resolution, make_valid_name

Range = tuple[float, float]


class Band(CatalogObject[values.Band]):
    """One layer of every image of a product. Make one of its subclasses; each says what the values are.

    Args:
        client: The service; unset: the product's, or the one that the environment names.
        product: The product, which must have been saved; or give `product_id`.
        attributes: Any of the attributes below; `name` is required.

    Raises:
        TypeError: Band itself was called.
        AttributeError: An attribute is unknown.
        AttributeValidationError: An attribute cannot hold its value.
    """

    VALUE: ClassVar[type[values.Band]] = values.Band

    name = Attribute[str](immutable=True)
    type = Attribute[BandType](readonly=True)
    description = Attribute[str | None]()
    tags = Attribute[list[str]]()
    extra_properties = Attribute[dict[str, Any]]()
    data_type = Attribute[DataType | None]()
    nodata = Attribute[float | None]()
    data_range = Attribute[Range | None]()
    display_range = Attribute[Range | None]()
    resolution = Attribute[Resolution | None]()
    band_index = Attribute[int | None]()
    file_index = Attribute[int]()
    sort_order = Attribute[int | None]()
    vendor_order = Attribute[int | None]()
    vendor_band_name = Attribute[str | None]()

    def __init__(
        self,
        client: Client | None = None,
        *,
        product: Product | None = None,
        product_id: str | None = None,
        **attributes: Any,
    ) -> None:
        cls = self.__class__
        if cls is Band:
            raise TypeError("You can only instantiate a derived class of 'Band'")
        require_known(cls, attributes)
        self._product_id = owner_id(product, product_id)
        super().__init__(client or (product._client if product else None), cls.VALUE.check(attributes))

    @property
    def product_id(self) -> str:
        """Id of the product."""
        return self._product_id

    @property
    def product(self) -> Product | None:
        """The product, as it is in the catalog now."""
        return Product.get(self._product_id, self._client)

    @property
    def id(self) -> str:
        """`product_id:name`."""
        return f"{self._product_id}:{self.name}"

    @staticmethod
    def make_valid_name(name: str) -> str:
        """Return `name` with every run of characters that a name cannot hold replaced by `_`."""
        return make_valid_name(name)

    @classmethod
    def get(
        cls,
        id: str,  # noqa: A002 - the name of the attribute
        client: Client | None = None,
    ) -> Self | None:
        """Return the band with the id `product:name`; None when there is none, or it is of another class."""
        client = client or default_client()
        product_id, _, name = id.rpartition(":")
        try:
            collection = client.get(path("collections", product_id))
        except NotFoundError:
            return None
        found = [value for value in stac.bands_from_collection(collection) if value.name == name]
        band = band_of(found[0], product_id, client) if found else None
        return band if isinstance(band, cls) else None

    def save(self) -> None:
        """Add the band to its product, or update what was changed.

        Raises:
            ConflictError: The band is new here, and the product has one with this name.
            NotFoundError: The product is not in the catalog.
        """
        self._require_existing()
        if self.state is DocumentState.SAVED:
            return
        address = path("collections", self._product_id)
        collection = self._client.get(address)
        others = [band for band in stac.bands_from_collection(collection) if band.name != self.name]
        if self.state is DocumentState.UNSAVED and len(others) < len(stac.bands_from_collection(collection)):
            raise ConflictError(f"Product {self._product_id!r} has a band {self.name!r} already; get it and change it.")
        value = self._checked()
        if value.sort_order is None:
            value = value.evolve(sort_order=1 + max((band.sort_order or 0 for band in others), default=0))
        product = stac.product_from_collection(collection)
        made = self._client.put(address, stac.collection_from_product(product, [*others, value], collection))
        self._mark_saved(next(band for band in stac.bands_from_collection(made) if band.name == self.name))

    def __repr__(self) -> str:
        return f"{type(self).__name__}: {self.name}\n  id: {self.id}\n  state: {self.state}"


class SpectralBand(Band):
    """Light of one range of wavelengths."""

    VALUE = values.SpectralBand

    wavelength_nm_center = Attribute[float | None]()
    wavelength_nm_min = Attribute[float | None]()
    wavelength_nm_max = Attribute[float | None]()
    wavelength_nm_fwhm = Attribute[float | None]()
    physical_range = Attribute[Range | None]()
    physical_range_unit = Attribute[str | None]()


class MicrowaveBand(Band):
    """A radar or microwave measurement."""

    VALUE = values.MicrowaveBand

    frequency = Attribute[float | None]()
    bandwidth = Attribute[float | None]()
    physical_range = Attribute[Range | None]()
    physical_range_unit = Attribute[str | None]()


class MaskBand(Band):
    """Where something is (1) or is not (0)."""

    VALUE = values.MaskBand

    is_alpha = Attribute[bool]()


class ClassBand(Band):
    """Classes: a pixel's value names what is there."""

    VALUE = values.ClassBand

    colormap_name = Attribute[Colormap | None]()
    colormap = Attribute[list[values.Rgba] | None]()
    class_labels = Attribute[list[str | None] | None]()


class GenericBand(Band):
    """Any other quantity, such as height or temperature."""

    VALUE = values.GenericBand

    colormap_name = Attribute[Colormap | None]()
    colormap = Attribute[list[values.Rgba] | None]()
    physical_range = Attribute[Range | None]()
    physical_range_unit = Attribute[str | None]()


CLASSES: dict[BandType, type[Band]] = {
    BandType.SPECTRAL: SpectralBand,
    BandType.MICROWAVE: MicrowaveBand,
    BandType.MASK: MaskBand,
    BandType.CLASS: ClassBand,
    BandType.GENERIC: GenericBand,
}


def band_of(value: values.Band, product: Product | str, client: Client) -> Band:
    """Return a saved band of the class that the value's type names."""
    product_id = product if isinstance(product, str) else product.id
    band = CLASSES[value.type](client, product_id=product_id, name=value.name)
    band._mark_saved(value)
    return band


def owner_id(product: Product | None, product_id: str | None) -> str:
    """Return the id of the product that a band or image belongs to.

    Raises:
        AttributeValidationError: Neither is given, they contradict each other, or the product was not saved.
    """
    if product is not None:
        if product.state is DocumentState.UNSAVED:
            raise AttributeValidationError("Can't assign unsaved related object to 'product'. Save it first.")
        if product_id not in (None, product.id):
            raise AttributeValidationError(f"product is {product.id!r} and product_id is {product_id!r}; give one.")
        return product.id
    if product_id is None:
        raise AttributeValidationError("Expected product or product_id, found neither.")
    return product_id
