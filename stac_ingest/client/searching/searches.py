"""Searches as values: nothing is asked until the search is iterated.

    >>> search = product.images().filter(p.cloud_fraction < 0.2).sort("-acquired")
    >>> for image in search.limit(10): ...

Each method returns a new search, so that one can be kept, refined and used again. Images are found by the service.
Products, bands and uploads are few: their searches fetch them all, and choose and sort here.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Self
from urllib.parse import parse_qsl, urlsplit

from pydantic import AfterValidator

from stac_ingest import stac
from stac_ingest.client.band import Band, band_of
from stac_ingest.client.collection import BandCollection, Collection, ProductCollection
from stac_ingest.client.connection import Client, path
from stac_ingest.client.image import Image
from stac_ingest.client.product import Product
from stac_ingest.client.searching.summary import ImageSummaryResult, added_up, summary_of
from stac_ingest.client.searching.vocabulary import SortKey, Vocabulary, only, vocabulary
from stac_ingest.client.uploading.uploads import ImageUpload, ImageUploadCollection
from stac_ingest.filters import EXTRA, Combination, Comparison, Expression, Field, Property
from stac_ingest.filters.comparing import inside
from stac_ingest.models import bands
from stac_ingest.models.enums import AggregateDateField, ImageUploadStatus, Interval, StorageState
from stac_ingest.models.image import Image as ImageValue
from stac_ingest.models.product import Product as ProductValue
from stac_ingest.models.upload import Upload
from stac_ingest.models.values import ProductId, Resolution, Timestamp

if TYPE_CHECKING:
    from stac_ingest.client.image_collection import ImageCollection
    from stac_ingest.client.reading.geocontext import GeoContext

Json = dict[str, Any]

PAGE = 100
"""How many objects one request asks for."""
_LIST_PAGE = 1000
FIELDS: dict[str, Field] = {
    **{row.attribute: Field(row.name, row.write) for row in stac.PROPERTIES},
    EXTRA: Field("ingest:extra_properties"),
    "storage_state": Field("ingest:storage_state", str, missing=StorageState.AVAILABLE),
    "name": Field("id"),
    "product_id": Field("collection"),
}
"""How the attributes of images are stored."""
_STAND_FOR_SOMETHING = frozenset(name for name, stored in FIELDS.items() if stored.missing is not None)
_BANDS = (bands.SpectralBand, bands.MicrowaveBand, bands.MaskBand, bands.ClassBand, bands.GenericBand, bands.Band)


def _check_id(text: str) -> str:
    if ":" not in text:
        raise ValueError("expected an id as product:name")
    return text


_Id = Annotated[str, AfterValidator(_check_id)]
IMAGE = only(vocabulary("Image", ImageValue, id=_Id), [*FIELDS, "id"])
PRODUCT = vocabulary("Product", ProductValue)
BAND = vocabulary("Band", *_BANDS, id=_Id, product_id=ProductId)
IMAGE_UPLOAD = vocabulary(
    "ImageUpload",
    id=str,
    product_id=ProductId,
    image_id=_Id,
    status=ImageUploadStatus,
    created=Timestamp,
    modified=Timestamp,
)


@dataclass(frozen=True, repr=False, eq=False)
class Search[T](ABC):
    """A search; each method returns a new one."""

    _client: Client
    expression: Expression | None = field(default=None, kw_only=True)
    order: tuple[SortKey, ...] = field(default=(), kw_only=True)
    most: int | None = field(default=None, kw_only=True)

    VOCABULARY: ClassVar[Vocabulary]

    def filter(self, expression: Expression) -> Self:
        """Return the search for what meets `expression` too.

        Raises:
            AttributeError: The objects do not have an attribute that the expression names.
            AttributeValidationError: An attribute cannot have the value that it is compared with.
            TypeError: It is no expression, or compares an attribute in a way that it cannot be compared.
        """
        if not isinstance(expression, Expression):
            raise TypeError(f"Expected a condition such as p.tags == 'x', found {expression!r}")
        checked = self.VOCABULARY.checked(expression)
        return replace(self, expression=checked if self.expression is None else self.expression & checked)

    def sort(self, *fields: str | Property, ascending: bool = True) -> Self:
        """Return the search with its results in another order; what was said of it before is forgotten.

        Args:
            fields: Attributes, as `"acquired"` or `p.acquired`; a `-` before the name means descending order. The later
                ones decide among equals. A value of the extra properties is `p.extra_properties["quality"]` or
                `"extra_properties.quality"`; numbers come before texts there, and texts before booleans.
            ascending: Whether the order of a single attribute is ascending.

        What has no value comes last in both directions.

        Images are sorted by the service, a page at a time, with two exceptions: by `extra_properties` and by
        `storage_state`. Then all images that match are fetched and sorted here before the first one comes, also if
        `limit` asks for a few.

        Raises:
            AttributeError: There is no such attribute.
            TypeError: No attribute is given, or one whose values have no order.
        """
        if not fields or (len(fields) > 1 and not ascending):
            raise TypeError("Expected one attribute with ascending=…, or several such as sort('acquired', '-name')")
        return replace(self, order=tuple(self.VOCABULARY.sort_key(one, ascending=ascending) for one in fields))

    def limit(self, limit: int | None) -> Self:
        """Return the search for at most `limit` objects; None: for all."""
        if limit is not None and (isinstance(limit, bool) or not isinstance(limit, int) or limit < 0):
            raise ValueError(f"Expected a limit of 0 or more, found {limit!r}")
        return replace(self, most=limit)

    @abstractmethod
    def count(self) -> int:
        """Return exactly how many objects there are; the limit does not count."""

    @abstractmethod
    def collect(self) -> Collection[T]:
        """Return what is found as a list that can be filtered, sorted and grouped."""

    @abstractmethod
    def __iter__(self) -> Iterator[T]: ...

    def __repr__(self) -> str:
        calls = [self._start()]
        if self.expression is not None:
            calls.append(f"filter({self.expression!r})")
        calls += self._own_calls()
        if self.order:
            calls.append(f"sort({', '.join(repr(str(key)) for key in self.order)})")
        if self.most is not None:
            calls.append(f"limit({self.most})")
        return ".".join(calls)

    def _start(self) -> str:
        return f"{self.VOCABULARY.owner}.search()"

    def _own_calls(self) -> list[str]:
        return []


@dataclass(frozen=True, repr=False, eq=False)
class _LocalSearch[T](Search[T]):
    """A search whose objects are fetched all, and chosen here."""

    def count(self) -> int:
        """Return exactly how many objects there are; the limit does not count."""
        return sum(1 for _ in self._chosen())

    def __iter__(self) -> Iterator[T]:
        found = self._chosen()
        return islice(_sorted(found, self.order) if self.order else found, self.most)

    def _chosen(self) -> Iterator[T]:
        for found in self._all():
            if self.expression is None or self.expression.holds(partial(self._get, found)):
                yield found

    @abstractmethod
    def _all(self) -> Iterable[T]: ...

    def _get(self, found: T, name: str) -> Any:
        return getattr(found, name, None)  # of the bands only some have wavelengths


@dataclass(frozen=True, repr=False, eq=False)
class ProductSearch(_LocalSearch[Product]):
    """A search for products; they come by their ids."""

    text: str | None = field(default=None, kw_only=True)

    VOCABULARY: ClassVar[Vocabulary] = PRODUCT

    def find_text(self, text: str) -> Self:
        """Return the search for products with each word of `text` in name or description; replaces the text before."""
        return replace(self, text=text)

    def collect(self) -> ProductCollection:
        """Return the products as a list."""
        return ProductCollection(self)

    def _all(self) -> Iterator[Product]:
        for collection in _sorted_collections(self._client):
            product = Product._loaded(collection, self._client)
            if _has_words(self.text, product.name, product.description):
                yield product

    def _own_calls(self) -> list[str]:
        return [] if self.text is None else [f"find_text({self.text!r})"]


@dataclass(frozen=True, repr=False, eq=False)
class BandSearch(_LocalSearch[Band]):
    """A search for bands; they come by their products, and by their `sort_order` there.

    What a band's class does not have counts as not set: `p.wavelength_nm_center < 600` finds spectral bands alone. To
    iterate the bands of a product that is not in the catalog raises NotFoundError.
    """

    product_id: str | None = None
    kind: type[Band] = Band
    text: str | None = field(default=None, kw_only=True)

    VOCABULARY: ClassVar[Vocabulary] = BAND

    def find_text(self, text: str) -> Self:
        """Return the search for bands with each word of `text` in name or description; replaces the text before."""
        return replace(self, text=text)

    def collect(self) -> BandCollection:
        """Return the bands as a list."""
        return BandCollection(self)

    def _all(self) -> Iterator[Band]:
        for collection in self._collections():
            for value in stac.bands_from_collection(collection):
                band = band_of(value, collection["id"], self._client)
                if isinstance(band, self.kind) and _has_words(self.text, band.name, band.description):
                    yield band

    def _collections(self) -> Iterable[Json]:
        if self.product_id is None:
            return _sorted_collections(self._client)
        return [self._client.get(path("collections", self.product_id))]

    def _start(self) -> str:
        if self.product_id is None:
            return f"{self.kind.__name__}.search()"
        return f"BandSearch(product_id={self.product_id!r}, kind={self.kind.__name__})"

    def _own_calls(self) -> list[str]:
        return [] if self.text is None else [f"find_text({self.text!r})"]


@dataclass(frozen=True, repr=False, eq=False)
class ImageUploadSearch(_LocalSearch[ImageUpload]):
    """A search for uploads; the newest come first. Their events are left out; `reload` fetches them."""

    product_id: str | None = None
    image_id: str | None = None

    VOCABULARY: ClassVar[Vocabulary] = IMAGE_UPLOAD

    def collect(self) -> ImageUploadCollection:
        """Return the uploads as a list, which can be awaited."""
        return ImageUploadCollection(self)

    def _all(self) -> Iterator[ImageUpload]:
        parameters: dict[str, Any] = {"limit": _LIST_PAGE if self.most is None or self.order else PAGE}
        for name, value in self._required():
            if name == "image_id":
                parameters["collection"], _, parameters["item"] = value.rpartition(":")
            else:
                parameters["collection" if name == "product_id" else name] = value
        for document in _listed(self._client, "/uploads", "uploads", parameters):
            upload = ImageUpload(self._client, Upload.model_validate(document))
            # The service knows one product and one image; the search may ask for two, which no upload has.
            if self.product_id in (None, upload.product_id) and self.image_id in (None, upload.image_id):
                yield upload

    def _required(self) -> Iterator[tuple[str, str]]:
        """Yield the attributes, and their values, that each upload that is found must have."""
        if self.product_id is not None:
            yield "product_id", self.product_id
        if self.image_id is not None:
            yield "image_id", self.image_id
        joined = self.expression
        for part in joined.parts if isinstance(joined, Combination) and joined.operator == "and" else (joined,):
            if isinstance(part, Comparison) and part.operator == "=" and part.attribute in _PUSHED:
                yield part.attribute, part.value

    def _start(self) -> str:
        asked = [f"{name}={value!r}" for name in ("product_id", "image_id") if (value := getattr(self, name))]
        return f"ImageUploadSearch({', '.join(asked)})" if asked else super()._start()


_PUSHED = frozenset(("product_id", "image_id", "status"))


@dataclass(frozen=True, repr=False, eq=False)
class ImageSearch(Search[Image]):
    """A search for images, of the named products or of all; unless it is sorted, the newest come first."""

    collections: tuple[str, ...] = ()
    area: Json | None = field(default=None, kw_only=True)
    geocontext: GeoContext | None = field(default=None, kw_only=True)

    VOCABULARY: ClassVar[Vocabulary] = IMAGE

    def filter(self, expression: Expression) -> Self:
        """Return the search for images that meet `expression` too; raises as `Search.filter`."""
        search = super().filter(expression)
        search._body()  # says now what cannot be asked for
        return search

    def intersects(self, geometry: object, match_null_geometry: bool = False) -> Self:
        """Return the search for images whose footprint has a point in common with a geometry; replaces the one before.

        Args:
            geometry: GeoJSON in WGS 84 (a geometry, a Feature or a FeatureCollection), a shapely object or whatever
                else has a `__geo_interface__`, or a `GeoContext`; `collect` then passes that on.
            match_null_geometry: Whether images without a footprint are found too. Each image of the catalog has one, so
                that this changes nothing.

        Raises:
            AttributeValidationError: It is no geometry.
        """
        from stac_ingest.client.reading.geocontext import GeoContext, plain_geometry

        area = plain_geometry(geometry, "intersects")
        return replace(self, area=area, geocontext=geometry if isinstance(geometry, GeoContext) else None)

    def count(self) -> int:
        """Return exactly how many images there are; the limit does not count."""
        return int(self._aggregated("total_count")["value"])

    def collect(self) -> ImageCollection:
        """Return the images as a list, to be read where they intersect the geocontext or polygon, if one was given."""
        from stac_ingest.client.image_collection import ImageCollection

        is_polygon = self.area is not None and self.area["type"] in ("Polygon", "MultiPolygon")
        return ImageCollection(self, geocontext=self.geocontext or (self.area if is_polygon else None))

    def summary(self) -> ImageSummaryResult:
        """Return how many images there are, how large, and of which products; the limit does not count."""
        return added_up(self.summary_interval())

    def summary_interval(
        self,
        aggregate_date_field: AggregateDateField | str = AggregateDateField.ACQUIRED,
        interval: Interval | str = Interval.YEAR,
        start_datetime: datetime | str | int | None = None,
        end_datetime: datetime | str | int | None = None,
    ) -> list[ImageSummaryResult]:
        """Return a summary for each interval of time that has images, in their order; the limit does not count.

        Args:
            aggregate_date_field: The time of an image that counts: `acquired`, `created`, `modified` or `published`.
                Images without it are left out.
            interval: `year`, `quarter`, `month`, `week`, `day`, `hour` or `minute`, in UTC; weeks begin on Monday.
            start_datetime: The first time that counts; None or 0: no bound.
            end_datetime: The first time that does not count any more; None or 0: no bound.
        """
        attribute, length = AggregateDateField(aggregate_date_field), Interval(interval)
        dated = Property(attribute)
        search = self.filter(dated.isnotnull)
        if start_datetime:
            search = search.filter(dated >= start_datetime)
        if end_datetime:
            search = search.filter(dated < end_datetime)
        name = f"ingest:{FIELDS[attribute].name}_summary"
        summaries: list[ImageSummaryResult] = []
        left = search
        while True:  # an answer holds the last thousand intervals
            found = left._aggregated(name, datetime_frequency_interval=length)
            summaries = [summary_of(bucket) for bucket in found["buckets"]] + summaries
            if not (found["buckets"] and found["overflow"]):
                return summaries
            left = search.filter(dated < summaries[0].interval_start)

    def __iter__(self) -> Iterator[Image]:
        if self._is_sorted_here():
            by_id = [{"field": "collection", "direction": "asc"}, {"field": "id", "direction": "asc"}]
            images = (self._image(item) for item in self._items({**self._body(), "sortby": by_id}, None))
            yield from islice(_sorted(images, self.order), self.most)
            return
        sorting = {"sortby": [part for key in self.order for part in _sorting(key)]} if self.order else {}
        for item in self._items({**self._body(), **sorting}, self.most):
            yield self._image(item)

    def _image(self, item: Json) -> Image:
        return Image._loaded(item, self._client)

    def _is_sorted_here(self) -> bool:
        """Return whether the service cannot sort like this.

        It has another order of the types of extra properties, and does not know what a missing value stands for.
        """
        return any(key.keys or key.attribute in _STAND_FOR_SOMETHING for key in self.order)

    def _aggregated(self, name: str, **options: str) -> Json:
        """Return what the service says that the images come to."""
        body = {**self._body(), "aggregations": [name], **options}
        found: Json = self._client.post("/aggregate", body)["aggregations"][0]
        return found

    def _items(self, body: Json, most: int | None) -> Iterator[Json]:
        if most == 0:
            return
        left, body = most, {**body, "limit": PAGE if most is None else min(PAGE, most)}
        page = self._client.post("/search", body)
        while True:
            found = page["features"][:left]
            yield from found[:-1]
            left = left and left - len(found)
            following = None if left == 0 else next((link for link in page["links"] if link["rel"] == "next"), None)
            if following is not None:
                # Before the last one is handed out: the walk goes on from it, and who gets it may delete it.
                page = self._client.post("/search", {**body, **following["body"]})
            yield from found[-1:]
            if following is None:
                return

    def _body(self) -> Json:
        body: Json = {}
        if self.collections:
            body["collections"] = list(self.collections)
        if self.area is not None:
            body["intersects"] = self.area
        if self.expression is not None:
            body |= {"filter-lang": "cql2-json", "filter": self.expression.to_cql2(FIELDS)}
        return body

    def _start(self) -> str:
        return f"ImageSearch(collections={self.collections!r})" if self.collections else super()._start()

    def _own_calls(self) -> list[str]:
        return [] if self.area is None else [f"intersects({self.geocontext or self.area!r})"]


def _sorting(key: SortKey) -> list[Json]:
    names = ["collection", "id"] if key.attribute == "id" else [FIELDS[key.attribute].name]
    return [{"field": name, "direction": "asc" if key.ascending else "desc"} for name in names]


def _sorted[T](found: Iterable[T], order: Iterable[SortKey]) -> Iterator[T]:
    ordered = list(found)
    for key in reversed(tuple(order)):
        value = _value_of(key)
        present = [one for one in ordered if value(one) is not None]
        missing = [one for one in ordered if value(one) is None]
        ordered = sorted(present, key=value, reverse=not key.ascending) + missing
    return iter(ordered)


def _value_of(key: SortKey) -> Callable[[Any], Any]:
    def value(found: object) -> Any:
        plain = getattr(found, key.attribute, None)
        for inner in key.keys:
            plain = inside(plain, inner)
        if isinstance(plain, Resolution):
            return plain.metres
        return _by_type(plain) if key.attribute == EXTRA else plain

    return value


def _by_type(plain: object) -> tuple[int, Any] | None:
    match plain:
        case bool():
            return 2, plain
        case int() | float():
            return 0, plain
        case str():
            return 1, plain
    return None


def _has_words(text: str | None, *places: str | None) -> bool:
    searched = "\n".join(place for place in places if place).casefold()
    return all(word in searched for word in (text or "").casefold().split())


def _sorted_collections(client: Client) -> list[Json]:
    return sorted(
        _listed(client, "/collections", "collections", {"limit": _LIST_PAGE}), key=lambda collection: collection["id"]
    )


def _listed(client: Client, address: str, member: str, parameters: Json) -> Iterator[Json]:
    """Yield what a list of the service holds, page by page."""
    while True:
        page = client.get(address, parameters)
        yield from page[member]
        following = next((link for link in page.get("links", ()) if link["rel"] == "next"), None)
        if following is None:
            return
        parameters = dict(parse_qsl(urlsplit(following["href"]).query))
