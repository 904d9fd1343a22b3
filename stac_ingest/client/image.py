"""Images: STAC Items as objects; uploading pixels, and reading them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from stac_ingest import stac
from stac_ingest.client.band import owner_id
from stac_ingest.client.connection import Client, default_client, path
from stac_ingest.client.objects import Attribute, CatalogObject, require_known
from stac_ingest.client.payload import Payload, payloads_of_arrays, payloads_of_files
from stac_ingest.client.product import Product
from stac_ingest.client.upload import ImageUpload, give_up
from stac_ingest.errors import (
    AttributeValidationError,
    ClientError,
    DeletedObjectError,
    NotFoundError,
    UnsavedObjectError,
)
from stac_ingest.models.enums import DocumentState, OverviewResampler, ResampleAlgorithm, StorageState
from stac_ingest.models.image import File, Geotransform
from stac_ingest.models.image import Image as ImageValue
from stac_ingest.models.upload import ImageUploadOptions, Upload

if TYPE_CHECKING:
    import numpy as np

_SET_BY_SERVICE = frozenset(("created", "modified"))


class Image(CatalogObject[ImageValue]):
    """What a product shows of one place at one time.

    Args:
        client: The service; unset: the product's, or the one that the environment names.
        product: The product, which must have been saved; or give `product_id`, or the whole `id`.
        attributes: Any of the attributes below; `name` is required unless `id` is given.

    Raises:
        AttributeError: An attribute is unknown.
        AttributeValidationError: An attribute cannot hold its value, or the names contradict each other.
    """

    VALUE = ImageValue

    product_id = Attribute[str](immutable=True)
    name = Attribute[str](immutable=True)
    acquired = Attribute[datetime | None]()
    acquired_end = Attribute[datetime | None]()
    published = Attribute[datetime | None]()
    tags = Attribute[list[str]]()
    extra_properties = Attribute[dict[str, Any]]()
    storage_state = Attribute[StorageState]()
    geometry = Attribute[dict[str, Any] | None]()
    files = Attribute[list[File]]()
    cs_code = Attribute[str | None]()
    projection = Attribute[str | None]()
    geotrans = Attribute[Geotransform | None]()
    x_pixels = Attribute[int | None]()
    y_pixels = Attribute[int | None]()
    cloud_fraction = Attribute[float | None]()
    alt_cloud_fraction = Attribute[float | None]()
    bright_fraction = Attribute[float | None]()
    fill_fraction = Attribute[float | None]()
    azimuth_angle = Attribute[float | None]()
    incidence_angle = Attribute[float | None]()
    view_angle = Attribute[float | None]()
    roll_angle = Attribute[float | None]()
    solar_azimuth_angle = Attribute[float | None]()
    solar_elevation_angle = Attribute[float | None]()
    satellite_id = Attribute[str | None]()
    provider_id = Attribute[str | None]()
    provider_url = Attribute[str | None]()
    processing_pipeline_id = Attribute[str | None]()
    area = Attribute[float | None]()
    created = Attribute[datetime | None](readonly=True)
    modified = Attribute[datetime | None](readonly=True)

    def __init__(
        self,
        client: Client | None = None,
        *,
        product: Product | None = None,
        product_id: str | None = None,
        name: str | None = None,
        id: str | None = None,  # noqa: A002 - the name of the attribute
        **attributes: Any,
    ) -> None:
        require_known(Image, attributes)
        if id is not None:
            product_id, name = _split(id, product_id or (product.id if product else None), name)
        value = ImageValue.check({**attributes, "product_id": owner_id(product, product_id), "name": name})
        self._item: dict[str, Any] = {}
        super().__init__(client or (product._client if product else None), value)

    # --- The catalog

    @property
    def id(self) -> str:
        """`product_id:name`."""
        return self.value.id

    @property
    def product(self) -> Product | None:
        """The product, as it is in the catalog now."""
        return Product.get(self.product_id, self._client)

    @property
    def date(self) -> datetime | None:
        """The same as `acquired`."""
        return self.acquired

    @property
    def item(self) -> dict[str, Any]:
        """The STAC Item as it was last seen; empty before the image is in the catalog."""
        return self._item

    @classmethod
    def get(
        cls,
        id: str,  # noqa: A002 - the name of the attribute
        client: Client | None = None,
    ) -> Image | None:
        """Return the image with the id `product:name`, split at the last colon; None when there is none.

        Raises:
            AttributeValidationError: The id has no colon.
        """
        client = client or default_client()
        product_id, name = _split(id, None, None)
        try:
            return cls._loaded(client.get(path("collections", product_id, "items", name)), client)
        except NotFoundError:
            return None

    @classmethod
    def _loaded(cls, item: dict[str, Any], client: Client) -> Image:
        image = cls(client, product_id=item["collection"], name=item["id"])
        image._take(item)
        return image

    def _take(self, item: dict[str, Any]) -> None:
        self._item = item
        self._mark_saved(stac.image_from_item(item))

    def _load(self) -> None:
        self._take(self._client.get(self._path))

    def reload(self) -> None:
        """Take the attributes from the catalog; what was changed here is lost.

        Raises:
            UnsavedObjectError: The image was never in the catalog.
            DeletedObjectError: It is no longer there.
        """
        if self._saved is None:
            raise UnsavedObjectError(f"Image {self.id!r} has not been saved.")
        try:
            self._load()
        except NotFoundError as error:
            self._deleted = True
            raise DeletedObjectError(f"Image {self.id!r} was deleted from the catalog.") from error

    def save(self) -> None:
        """Add an image without pixels (`storage_state` remote) to the catalog, or update what was changed.

        Raises:
            ConflictError: The image is new here, and the catalog has one with this id.
            ValueError: The image is new, and has no `acquired` or no `geometry`; upload pixels instead.
        """
        self._require_existing()
        match self.state:
            case DocumentState.UNSAVED:
                if self.acquired is None or self.geometry is None:
                    raise ValueError(
                        f"Image {self.id!r} needs acquired and geometry to be saved without pixels; or upload it."
                    )
                item = stac.item_with_image({}, self._checked())
                self._take(self._client.post(path("collections", self.product_id, "items"), item))
            case DocumentState.MODIFIED:
                patch = stac.merge_patch(self._item, stac.item_with_image(self._item, self._checked()))
                self._take(self._client.patch(self._path, patch) if patch else self._item)
            case _:
                return

    @property
    def _path(self) -> str:
        return path("collections", self.product_id, "items", self.name)

    # --- Uploading

    def upload(
        self, files: object, upload_options: ImageUploadOptions | None = None, overwrite: bool = False
    ) -> ImageUpload:
        """Upload image files; the image is in the catalog when the upload has succeeded.

        `geotrans` and `cs_code` or `projection` say where the pixels lie if the files do not; where files say it too,
        they must agree.

        Args:
            files: Path or open file of a GeoTIFF, JPEG, PNG or JPEG 2000, or several in the order of the bands'
                `file_index`.
            upload_options: What else is asked, such as overviews.
            overwrite: Whether an image of the same name is replaced.

        Returns:
            The upload, on its way; see `ImageUpload.wait_for_completion`.

        Raises:
            ValueError: The image has no `acquired` or is saved already, its name is taken, or `files` are none.
            ClientError: The service refuses the upload; says why.
        """
        return self._upload(lambda: payloads_of_files(files), _options(upload_options, overwrite=overwrite))

    def upload_ndarray(
        self,
        ndarray: np.ndarray[Any, Any] | Sequence[np.ndarray[Any, Any]],
        upload_options: ImageUploadOptions | None = None,
        raster_meta: Mapping[str, Any] | None = None,
        overviews: Sequence[int] | None = None,
        overview_resampler: OverviewResampler | str | None = None,
        overwrite: bool = False,
    ) -> ImageUpload:
        """Upload an array; the image is in the catalog when the upload has succeeded.

        Args:
            ndarray: Pixels of shape (y, x) or (band, y, x), or several arrays in the order of the bands' `file_index`;
                the mask of a masked array is kept.
            upload_options: What else is asked.
            raster_meta: Where the pixels lie, as `Image.ndarray(…, raster_info=True)` gives it, or a rasterio profile;
                the image's own `geotrans`, `cs_code` and `projection` win over it.
            overviews: Magnification factors such as [2, 4]; unset: powers of two until at most 512 pixels are left.
            overview_resampler: How overviews are made; unset: average, or nearest for class and mask bands.
            overwrite: Whether an image of the same name is replaced.

        Returns:
            The upload, on its way; see `ImageUpload.wait_for_completion`.

        Raises:
            ValueError: As `upload`; or the array's shape or type cannot be stored, or its place is not known.
            AttributeValidationError: The overviews are not 1 to 16 different whole numbers greater than 1.
            ClientError: The service refuses the upload; says why.
        """
        options = _options(
            upload_options, overwrite=overwrite, overviews=overviews, overview_resampler=overview_resampler
        )
        payloads = payloads_of_arrays(ndarray)
        self._place(raster_meta)
        return self._upload(lambda: payloads, options)

    def _place(self, raster_meta: Mapping[str, Any] | None) -> None:
        found = georeference_of(raster_meta or {})
        if self.geotrans is None:
            if "geotrans" not in found:
                raise ValueError("geotrans field or raster_meta parameter is required")
            self.geotrans = found["geotrans"]
        if self.cs_code is None and self.projection is None:
            if not {"cs_code", "projection"} & found.keys():
                raise ValueError("cs_code or projection field is required if raster_meta parameter is not given")
            self.cs_code, self.projection = found.get("cs_code"), found.get("projection")

    def _upload(self, make_payloads: Any, options: ImageUploadOptions) -> ImageUpload:
        if self.acquired is None:
            raise ValueError("acquired field required")
        if self.state is not DocumentState.UNSAVED:
            raise ValueError(f"Image {self.id} has been saved. Please use an unsaved image for uploading")
        payloads: list[Payload] = make_payloads()
        image = self._checked().model_dump(mode="json", exclude_none=True, exclude=set(_SET_BY_SERVICE))
        request = {
            "image": image,
            "files": [payload.file.to_json() for payload in payloads],
            "options": options.to_json(),
        }
        try:
            opened = self._client.post(path("collections", self.product_id, "uploads"), request)
        except ClientError as error:
            if error.code == "IMAGE_EXISTS":
                raise ValueError(
                    f"Image {self.id} already exists in the catalog. Please either use a new image id or overwrite=True"
                ) from error
            raise
        upload_id = opened["id"]
        try:
            for index, payload in enumerate(payloads):
                self._send(f"{path('uploads', upload_id)}/files/{index}", payload)
            submitted = self._client.post(f"{path('uploads', upload_id)}/submit")
        except BaseException:
            give_up(self._client, upload_id)
            raise
        return ImageUpload(self._client, Upload.model_validate(submitted), self)

    def _send(self, address: str, payload: Payload) -> None:
        digest = hashlib.sha256()

        def hashed() -> Iterator[bytes | memoryview]:
            for chunk in payload.chunks():
                digest.update(chunk)
                yield chunk

        received = self._client.send(address, hashed(), payload.size)
        if received["sha256"] != digest.hexdigest():
            raise ClientError(
                f"{payload.file.name!r} arrived with the SHA-256 {received['sha256']}, and was sent with"
                f" {digest.hexdigest()}; upload it again.",
                code="CHECKSUM_MISMATCH",
            )

    # --- Reading

    def ndarray(
        self,
        bands: str | Sequence[str],
        resolution: float | None = None,
        mask_nodata: bool = True,
        bands_axis: int = 0,
        raster_info: bool = False,
        resampler: ResampleAlgorithm | str = ResampleAlgorithm.NEAR,
    ) -> Any:
        """Read pixels, straight from the image's Cloud-Optimized GeoTIFFs. Needs `stac-ingest[raster]`.

        Args:
            bands: Names of bands, as a list or separated by blanks.
            resolution: Side of a pixel in the units of the image's coordinate system; unset: the image's own.
            mask_nodata: Whether the result is a masked array, with what is not valid masked.
            bands_axis: Where the axis of the bands is, -3 to 2; 0 gives (band, y, x).
            raster_info: Whether a dictionary that says where the pixels lie is returned too.
            resampler: How pixels of another size are made.

        Returns:
            The array of shape (band, y, x), or the array and the dictionary.

        Raises:
            ValueError: A band is not among the image's, or `bands_axis` is no axis.
            UnsavedObjectError: The image is not in the catalog.
        """
        from stac_ingest.client.pixels import read

        if self._saved is None:
            raise UnsavedObjectError(f"Image {self.id!r} is not in the catalog; upload it first.")
        return read(
            self._item,
            bands,
            resolution=resolution,
            mask_nodata=mask_nodata,
            bands_axis=bands_axis,
            raster_info=raster_info,
            resampler=ResampleAlgorithm(resampler),
        )

    def __repr__(self) -> str:
        changed = "\n  * Not up-to-date in the catalog. Call .save() or upload it." if self.is_modified else ""
        return f"Image: {self.name}\n  id: {self.id}\n  acquired: {self.acquired}\n  state: {self.state}{changed}"


def _split(identifier: str, product_id: str | None, name: str | None) -> tuple[str, str]:
    owner, colon, own = identifier.rpartition(":")
    if not colon:
        raise AttributeValidationError(f"Expected an id as product:name, found {identifier!r}")
    if product_id not in (None, owner) or name not in (None, own):
        raise AttributeValidationError(f"The id {identifier!r} contradicts the product {product_id!r} or name {name!r}")
    return owner, own


def _options(given: ImageUploadOptions | None, **chosen: object) -> ImageUploadOptions:
    changes = {key: value for key, value in chosen.items() if value not in (None, False)}
    if isinstance(changes.get("overviews"), range | tuple):
        changes["overviews"] = list(changes["overviews"])  # type: ignore[call-overload]
    return (given or ImageUploadOptions()).evolve(**changes)


def georeference_of(meta: Mapping[str, Any]) -> dict[str, Any]:
    """Return `geotrans` and `cs_code` or `projection` from a dictionary that describes a raster.

    Args:
        meta: As `Image.ndarray(…, raster_info=True)` or `gdalinfo -json` give it (`geoTransform`, `coordinateSystem`),
            or as a rasterio profile (`transform`, `crs`).
    """
    found: dict[str, Any] = {}
    if "geoTransform" in meta:
        found["geotrans"] = tuple(meta["geoTransform"])
    elif (transform := meta.get("transform")) is not None:
        dx, rx, x, ry, dy, y = tuple(transform)[:6]
        found["geotrans"] = (x, dx, rx, y, ry, dy)
    system = meta.get("coordinateSystem") or {}
    crs = meta.get("crs")
    if (code := system.get("epsg")) is not None:
        found["cs_code"] = f"EPSG:{code}"
    elif text := (system.get("wkt") or system.get("proj4") or (crs and _crs_text(crs))):
        found["cs_code" if _is_code(text) else "projection"] = text
    return found


def _crs_text(crs: Any) -> str:
    return crs if isinstance(crs, str) else str(crs.to_string())


def _is_code(text: str) -> bool:
    authority, colon, code = text.partition(":")
    return bool(colon) and authority.isalpha() and code.isalnum()
