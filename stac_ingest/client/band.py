"""Bands: entries of a product's Collection as objects."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Self

from stac_ingest import stac
from stac_ingest.client.connection import Client, default_client, path
from stac_ingest.client.objects import Attribute, CatalogObject, Rows, require_known
from stac_ingest.client.product import Product, change_collection, require_unchanged
from stac_ingest.errors import AttributeValidationError, ConflictError, NotFoundError
from stac_ingest.models import bands as values
from stac_ingest.models.enums import BandType, Colormap, DataType, DocumentState
from stac_ingest.models.values import Resolution, make_valid_name

if TYPE_CHECKING:
    from stac_ingest.client.searching.searches import BandSearch

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
    processing_levels = Attribute[dict[str, str | list[values.ProcessingStep]]]()

    def __init__(
        self,
        client: Client | None = None,
        *,
        product: Product | None = None,
        product_id: str | None = None,
        id: str | None = None,  # noqa: A002 - the name of the attribute
        **attributes: Any,
    ) -> None:
        cls = self.__class__
        if cls is Band:
            raise TypeError("You can only instantiate a derived class of 'Band'")
        require_known(cls, attributes)
        if id is not None:
            product_id, attributes["name"] = split_id(id, product, product_id, attributes.get("name"))
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

    # --- The catalog

    @classmethod
    def get(
        cls,
        id: str,  # noqa: A002 - the name of the attribute
        client: Client | None = None,
    ) -> Self | None:
        """Return the band with the id `product:name`; None when there is none, or it is of another class.

        Raises:
            AttributeValidationError: The id has no colon.
        """
        return next(iter(cls._find_many((id,), client or default_client())), None)

    @classmethod
    def search(cls, client: Client | None = None) -> BandSearch:
        """Return the search for bands of this class; filter it, then iterate."""
        from stac_ingest.client.searching.searches import BandSearch

        return BandSearch(client or default_client(), kind=cls)

    @classmethod
    def _find_many(cls, ids: Sequence[str], client: Client) -> Iterable[Self]:
        product_ids = dict.fromkeys(split_id(one)[0] for one in ids)
        for product_id in product_ids:
            try:
                collection = client.get(path("collections", product_id))
            except NotFoundError:
                continue
            for value in stac.bands_from_collection(collection):
                band = band_of(value, product_id, client)
                if isinstance(band, cls) and band.id in ids:
                    yield band

    def _load(self) -> None:
        self._take(self._client.get(path("collections", self._product_id)))

    def _take(self, collection: dict[str, Any]) -> None:
        for value in stac.bands_from_collection(collection):
            if value.name == self.name:
                self._mark_saved(value)
                return
        raise NotFoundError(f"{self._title} is not in the catalog.", status=404)

    def _create(self) -> None:
        def added(bands: dict[str, values.Band]) -> list[values.Band]:
            if self.name in bands:
                raise ConflictError(
                    f"Product {self._product_id!r} has a band {self.name!r} already; get it and change it."
                )
            last = max((band.sort_order or 0 for band in bands.values()), default=0)
            value = self.value if self.value.sort_order is not None else self.value.evolve(sort_order=last + 1)
            return [*bands.values(), value]

        self._take(self._change_bands(added))

    def _change(self) -> None:
        def changed(bands: dict[str, values.Band]) -> list[values.Band]:
            self._require_same(bands)
            return list((bands | {self.name: self.value}).values())

        self._take(self._change_bands(changed))

    def _remove(self) -> None:
        def reduced(bands: dict[str, values.Band]) -> list[values.Band]:
            if self.name not in bands:
                raise NotFoundError(f"{self._title} is not in the catalog.", status=404)
            return [band for band in bands.values() if band.name != self.name]

        self._change_bands(reduced)

    def _require_same(self, bands: dict[str, values.Band]) -> None:
        if self.name not in bands:
            raise NotFoundError(f"{self._title} is not in the catalog.", status=404)
        require_unchanged(self._title, self._saved or {}, bands[self.name].to_json())

    def _change_bands(self, change: Callable[[dict[str, values.Band]], list[values.Band]]) -> dict[str, Any]:
        """Write the product's bands as `change` makes them of what they are, and return the Collection."""

        def changed(collection: dict[str, Any]) -> dict[str, Any]:
            bands = change({band.name: band for band in stac.bands_from_collection(collection)})
            return stac.collection_from_product(stac.product_from_collection(collection), bands, collection)

        written: dict[str, Any] = change_collection(self._client, self._product_id, changed).body
        return written

    def _rows(self) -> Rows:
        shown = ("description", "data_type", "nodata", "data_range", "display_range", "resolution")
        return [("id", self.id), ("product", self._product_id), *((name, getattr(self.value, name)) for name in shown)]


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


def split_id(
    identifier: str, product: Product | None = None, product_id: str | None = None, name: str | None = None
) -> tuple[str, str]:
    """Return the product's id and the name that the id of a band or image consists of; the last colon parts them.

    Raises:
        AttributeValidationError: There is no colon, or a product or name that is given too says otherwise.
    """
    owner, colon, own = identifier.rpartition(":")
    if not colon:
        raise AttributeValidationError(f"Expected an id as product:name, found {identifier!r}")
    said = product_id or (product.id if product else None)
    if said not in (None, owner) or name not in (None, own):
        raise AttributeValidationError(f"The id {identifier!r} contradicts the product {said!r} or the name {name!r}")
    return owner, own


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
