"""Images: STAC Items as objects; uploading pixels, and reading them."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence
from datetime import datetime
from html import escape
from itertools import batched
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from stac_ingest import stac
from stac_ingest.client.band import owner_id, split_id
from stac_ingest.client.connection import Answer, Client, default_client, path
from stac_ingest.client.objects import Attribute, CatalogObject, Rows, require_known
from stac_ingest.client.product import Product, require_unchanged
from stac_ingest.client.reading.download import DownloadFileFormat, file_of, save
from stac_ingest.client.reading.geocontext import GeoContext, adjusted, covered_share
from stac_ingest.client.reading.pixels import Pixels, require_axis, with_bands_at
from stac_ingest.client.reading.request import Reading, Request
from stac_ingest.client.uploading.georeference import combined, georeference_of, require_whole
from stac_ingest.client.uploading.layers import layers_of, place_of
from stac_ingest.client.uploading.payload import payloads_of_arrays, payloads_of_files
from stac_ingest.client.uploading.uploads import ImageUpload, transfer
from stac_ingest.errors import NotFoundError
from stac_ingest.models.bands import Layout
from stac_ingest.models.enums import (
    DataType,
    DocumentState,
    ImageUploadType,
    OverviewResampler,
    ResampleAlgorithm,
    StorageState,
)
from stac_ingest.models.image import File, Georeference, Geotransform
from stac_ingest.models.image import Image as ImageValue
from stac_ingest.models.upload import ImageUploadOptions

if TYPE_CHECKING:
    from stac_ingest.client.searching.searches import ImageSearch, ImageUploadSearch

IDS_AT_ONCE = 100


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
    preview_url = Attribute[str | None]()
    processing_pipeline_id = Attribute[str | None]()
    area = Attribute[float | None]()
    bits_per_pixel = Attribute[list[float] | None]()
    reflectance_scale = Attribute[list[float] | None]()
    reflectance_gain_bias = Attribute[list[tuple[float, float]] | None]()
    radiance_gain_bias = Attribute[list[tuple[float, float]] | None]()
    temperature_gain_bias = Attribute[list[tuple[float, float]] | None]()
    brightness_temperature_k1_k2 = Attribute[list[tuple[float, float]] | None]()
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
            product_id, name = split_id(id, product, product_id, name)
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
    ) -> Self | None:
        """Return the image with the id `product:name`, split at the last colon; None when there is none.

        Raises:
            AttributeValidationError: The id has no colon.
        """
        client = client or default_client()
        try:
            answer = client.fetch(_path_of(id))
        except NotFoundError:
            return None
        return cls._loaded(answer.body, client, answer.etag)

    @classmethod
    def exists(
        cls,
        id: str,  # noqa: A002 - the name of the attribute
        client: Client | None = None,
    ) -> bool:
        """Return whether the catalog has an image with the id `product:name`; raises as `get`."""
        product_id, name = split_id(id)
        return (client or default_client()).exists("collections", product_id, "items", name)

    @classmethod
    def search(cls, client: Client | None = None) -> ImageSearch:
        """Return the search for images of any product; filter it, then iterate."""
        from stac_ingest.client.searching.searches import ImageSearch

        return ImageSearch(client or default_client())

    @classmethod
    def _find_many(cls, ids: Sequence[str], client: Client) -> Iterable[Self]:
        names: dict[str, list[str]] = {}
        for product_id, name in map(split_id, ids):
            names.setdefault(product_id, []).append(name)
        for product_id, own in names.items():
            for some in batched(own, IDS_AT_ONCE):
                asked = {"collections": [product_id], "ids": list(some), "limit": len(some)}
                for item in client.post("/search", asked)["features"]:
                    yield cls._loaded(item, client)

    @classmethod
    def _loaded(cls, item: dict[str, Any], client: Client, etag: str | None = None) -> Self:
        image = cls(client, product_id=item["collection"], name=item["id"])
        image._take(Answer(item, etag))
        return image

    def _take(self, answer: Answer) -> None:
        self._item = answer.body
        self._mark_saved(stac.image_from_item(answer.body), answer.etag)

    def _load(self) -> None:
        self._take(self._client.fetch(self._path))

    def _create(self) -> None:
        self._require_time_and_place()
        if self.storage_state is StorageState.AVAILABLE and not any(file.href for file in self.files):
            raise ValueError(
                f"Image {self.id!r} has no pixels: upload them, or set storage_state to 'remote', or name files"
                " with an href where a Cloud-Optimized GeoTIFF can be read."
            )
        collection = self._client.get(path("collections", self.product_id))
        item = stac.item_with_files(stac.item_with_image({}, self.value), self.value, collection)
        self._take(self._client.write("POST", path("collections", self.product_id, "items"), item))

    def _require_time_and_place(self) -> None:
        if missing := [name for name in ("acquired", "geometry") if getattr(self, name) is None]:
            raise ValueError(f"Image {self.id!r} needs {' and '.join(missing)} to be saved; or upload its pixels.")

    def _change(self) -> None:
        self._require_time_and_place()
        etag = self._etag or self._current_etag()
        item = stac.item_with_image(self._item, self.value)
        if self.value.grid != stac.image_from_item(self._item).grid:
            item = stac.item_with_files(item, self.value, self._client.get(path("collections", self.product_id)))
        patch = stac.merge_patch(self._item, item)
        self._take(self._client.write("PATCH", self._path, patch, etag=etag))

    def _current_etag(self) -> str | None:
        """Return the version of the Item that is in the catalog, if it is the one that a search has found."""
        now = self._client.fetch(self._path)
        require_unchanged(self._title, self._saved or {}, stac.image_from_item(now.body).to_json())
        return now.etag

    def _remove(self) -> None:
        self._client.write("DELETE", self._path)

    def image_uploads(self) -> ImageUploadSearch:
        """Return the search for this image's uploads; they come newest first."""
        from stac_ingest.client.searching.searches import ImageUploadSearch

        return ImageUploadSearch(self._client, self.product_id, self.id)

    @property
    def _path(self) -> str:
        return path("collections", self.product_id, "items", self.name)

    # --- Uploading

    def upload(
        self,
        files: object,
        upload_options: ImageUploadOptions | None = None,
        overwrite: bool = False,
        overviews: Sequence[int] | None = None,
        overview_resampler: OverviewResampler | str | None = None,
    ) -> ImageUpload:
        """Upload image files; the image is in the catalog when the upload has succeeded.

        `geotrans` and `cs_code` or `projection` say where the pixels lie if the files do not; where files say it too,
        they must agree.

        Args:
            files: A GeoTIFF, JPEG, PNG or JPEG 2000, or several in the order of the bands' `file_index`: each as a
                path, an open file or other stream, or the bytes themselves.
            upload_options: What else is asked; the arguments that follow win over it.
            overwrite: Whether an image of the same name is replaced; so it is too if `upload_options` say so.
            overviews: 1 to 16 magnification factors such as [2, 4]; unset: those of the product's `cog_profile`, or
                powers of two until at most 512 pixels are left.
            overview_resampler: How overviews are made, by its name here, in rasterio or in GDAL; unset: as the
                product's `cog_profile` says, or average, or nearest for class and mask bands.

        Returns:
            The upload, on its way; see `ImageUpload.wait_for_completion`.

        Raises:
            ValueError: The image has no `acquired` or is saved already, its name is taken, its product is not saved, or
                `files` are none.
            OSError: A file cannot be read; nothing was sent.
            AttributeValidationError: The overviews are not 1 to 16 different whole numbers greater than 1, or their
                resampler is unknown.
            ClientError: The service refuses the upload; says why.
        """
        self._require_uploadable()
        options = _options(upload_options, ImageUploadType.FILE, overwrite, overviews, overview_resampler)
        with payloads_of_files(files) as payloads:
            return ImageUpload(self._client, transfer(self._client, self._checked(), payloads, options), self)

    def upload_ndarray(
        self,
        ndarray: object,
        upload_options: ImageUploadOptions | None = None,
        raster_meta: object = None,
        overviews: Sequence[int] | None = None,
        overview_resampler: OverviewResampler | str | None = None,
        overwrite: bool = False,
    ) -> ImageUpload:
        """Upload an array; the image is in the catalog when the upload has succeeded.

        The image's own `geotrans`, and `cs_code` or `projection`, say where the pixels lie; or else `raster_meta`, or
        else the array itself. What is taken from there is set here too once the upload has succeeded.

        Args:
            ndarray: Pixels of shape (y, x) or (band, y, x), or several arrays in the order of the bands' `file_index`:
                of NumPy, of xarray or rioxarray with their dimensions in any order, or with a method `__array__`. Or an
                xarray Dataset with a variable for each band. What is masked, or has the `_FillValue` of an xarray
                object, has no value in the image either. Floats of xarray that are integers, or NaN, become integers
                where the bands are. Compute with NaN: xarray keeps `_FillValue` also when other numbers take its place.
                No array is copied, or changed.
            upload_options: What else is asked; the arguments that follow win over it.
            raster_meta: Where the pixels lie: as `Image.ndarray(…, raster_info=True)` or `gdalinfo -json` give it, or a
                rasterio profile, or an open rasterio dataset.
            overviews: 1 to 16 magnification factors such as [2, 4]; unset: those of the product's `cog_profile`, or
                powers of two until at most 512 pixels are left.
            overview_resampler: How overviews are made, by its name here, in rasterio or in GDAL; unset: as the
                product's `cog_profile` says, or average, or nearest for class and mask bands.
            overwrite: Whether an image of the same name is replaced; so it is too if `upload_options` say so.

        Returns:
            The upload, on its way; see `ImageUpload.wait_for_completion`.

        Raises:
            ValueError: The image has no `acquired` or is saved already, its name is taken, or its product is not saved;
                or an array's shape or type cannot be stored, or its place is not known.
            AttributeValidationError: The overviews are not 1 to 16 different whole numbers greater than 1, or their
                resampler is unknown.
            ValidationError: The arrays do not fit the product's bands, or the overviews the arrays; no byte was sent.
            ClientError: The service refuses the upload; says why.
        """
        self._require_uploadable()
        options = _options(upload_options, ImageUploadType.NDARRAY, overwrite, overviews, overview_resampler)
        arrays = layers_of(ndarray, self._layout)
        image = self._placed(raster_meta, place_of(arrays))
        return ImageUpload(self._client, transfer(self._client, image, payloads_of_arrays(arrays), options), self)

    def _require_uploadable(self) -> None:
        if self.acquired is None:
            raise ValueError("acquired field required")
        if self.state is not DocumentState.UNSAVED:
            raise ValueError(f"Image {self.id} has been saved. Please use an unsaved image for uploading")

    def _layout(self) -> Layout:
        try:
            collection = self._client.get(path("collections", self.product_id))
        except NotFoundError as error:
            raise ValueError(f"Product {self.product_id} has not been saved. Please save before uploading") from error
        return Layout.of(stac.bands_from_collection(collection))

    def _placed(self, raster_meta: object, known: Georeference) -> ImageValue:
        value = self._checked()
        if value.cs_code and value.projection:
            warnings.warn(
                "Only one of cs_code and projection fields permitted; cs_code is taken", FutureWarning, stacklevel=3
            )
        own = Georeference(cs_code=value.cs_code, projection=value.projection, geotrans=value.geotrans)
        place = combined(own, georeference_of({} if raster_meta is None else raster_meta), known)
        require_whole(place, raster_meta)
        return value.evolve(**dict(place))

    # --- Reading

    @property
    def geocontext(self) -> GeoContext:
        """Where the image's own pixels lie, to read other images on them.

        Raises:
            ValueError: The image's size is not known, and its pixels are not square.
        """
        shape = (self.y_pixels, self.x_pixels) if self.x_pixels and self.y_pixels else None
        return GeoContext.of_image(
            crs=self.cs_code or self.projection, geotrans=self.geotrans, shape=shape, geometry=self.geometry
        )

    def coverage(self, geom: object) -> float:
        """Return which share of a geometry's area, in degrees, the image's geometry covers: from 0 to 1.

        Args:
            geom: GeoJSON, a `GeoContext`, or what else has a `__geo_interface__`, in WGS 84. Of lines the length
                counts, of points the number.

        Raises:
            ValueError: The image has no geometry.
            StacIngestError: shapely is not installed.
        """
        if self.geometry is None:
            raise ValueError(f"Image {self.id!r} has no geometry.")
        return covered_share(geom, self.geometry)

    def ndarray(
        self,
        bands: str | Sequence[str],
        geocontext: Any = None,
        crs: str | None = None,
        resolution: float | None = None,
        all_touched: bool | None = None,
        mask_nodata: bool = True,
        mask_alpha: bool | str | None = None,
        bands_axis: int = 0,
        raster_info: bool = False,
        resampler: ResampleAlgorithm | str = ResampleAlgorithm.NEAR,
        processing_level: str | None = None,
        scaling: object = None,
        data_type: DataType | str | None = None,
        progress: bool | None = None,
        xarray: bool = False,
    ) -> Any:
        """Read pixels, straight from the image's Cloud-Optimized GeoTIFFs. Needs `stac-ingest[raster]`.

        Args:
            bands: Names of bands, as a list or separated by blanks or commas.
            geocontext: Where to read: a `GeoContext`, or a geometry; unset: the image's own pixels, unchanged.
            crs: Coordinate system of the result, in place of the geocontext's.
            resolution: Side of a pixel in the units of that coordinate system, in place of the geocontext's.
            all_touched: Whether pixels that the geometry only touches are inside, in place of the geocontext's.
            mask_nodata: Whether the result is a masked array, with what is not valid masked: nodata, what the image's
                mask hides, NaN, and what lies outside the image.
            mask_alpha: Whether all bands are masked where the band `alpha`, or one of this name, is 0; unset: if there
                is a band `alpha`. It is last in `bands`, or not among them.
            bands_axis: Where the axis of the bands is, -3 to 2; 0 gives (band, y, x).
            raster_info: Whether a dictionary that says where the pixels lie is returned too.
            resampler: How pixels of another size or place are made, by its name here, in rasterio or in GDAL.
                Coarser ones are made from overviews, except by mode, max, min, med, q1 and q3.
            processing_level: What the pixels are made to mean, as the bands' `processing_levels` name it; unset:
                `default`, if a band has that.
            scaling: How values are scaled: None or "raw"; "auto" (the smallest and largest valid value become 0 and
                255), "display" (`display_range` becomes 0 to 255), "physical" (`data_range` becomes `physical_range`);
                or a list with such a mode, None, or a tuple (min, max) or (min, max, new min, new max) for each band,
                with numbers or shares such as "25%"; or a dictionary by the names of bands, with `default_` for others.
            data_type: Type of the result; unset: the smallest that holds the values of all bands, Byte for auto and
                display, Float64 for physical.
            progress: Whether a bar shows how many files were read.
            xarray: Whether the result is an `xarray.DataArray`, which `upload_ndarray` takes as it is. Needs
                `stac-ingest[xarray]`. Masked pixels are NaN; integers become float32 for that if they have up to 16
                bits, else float64, and `encoding` says what they were. Without `mask_nodata`, or where nothing is
                masked, they stay integers, and the attribute `_FillValue` is their nodata.

        Returns:
            The array of shape (band, y, x), or the array and the dictionary.

        Raises:
            TypeError: `bands` are not names.
            ValueError: A band is not among the image's, or an argument is none that can be.
            UnsavedObjectError: The image is not in the catalog.
            NotFoundError: The pixels are no longer where the image says.
            StacIngestError: rasterio is not installed.
        """
        request = Request.of(
            bands,
            mask_nodata=mask_nodata,
            mask_alpha=mask_alpha,
            resampler=resampler,
            processing_level=processing_level,
            scaling=scaling,
            data_type=data_type,
        )
        require_axis(bands_axis, 3)
        pixels = self._read(request, adjusted(geocontext, crs, resolution, all_touched), progress)
        array = with_bands_at(pixels.form(self.id, mask_nodata=request.mask_nodata, xarray=xarray), bands_axis)
        return (array, pixels.info(self.id)) if raster_info else array

    def download(
        self,
        bands: str | Sequence[str],
        geocontext: Any = None,
        crs: str | None = None,
        resolution: float | None = None,
        all_touched: bool | None = None,
        dest: str | PathLike[str] | None = None,
        format: DownloadFileFormat | str = DownloadFileFormat.TIF,  # noqa: A002 - as in the Descartes Labs Catalog
        resampler: ResampleAlgorithm | str = ResampleAlgorithm.NEAR,
        processing_level: str | None = None,
        scaling: object = None,
        data_type: DataType | str | None = None,
        nodata: float | None = None,
        progress: bool | None = None,
    ) -> Path:
        """Write bands to a GeoTIFF, PNG or JPEG, which is there as a whole or not at all.

        Args:
            bands: As for `ndarray`, and so are the arguments that are not named here.
            geocontext: Where to read.
            crs: Coordinate system of the file.
            resolution: Side of a pixel.
            all_touched: Whether pixels that the geometry only touches are inside.
            dest: Path of the file, whose extension decides on the format; folders are made, a file is replaced. Unset:
                `{id}-{band-band}.{format}` in the current folder, with `_` for the colons of the id.
            format: tif, png or jpg.
            resampler: How pixels of another size or place are made.
            processing_level: What the pixels are made to mean.
            scaling: How values are scaled; `display` suits png and jpg.
            data_type: Type of the values.
            nodata: Value of masked pixels in a GeoTIFF; unset: the bands' own, else they are under a mask.
            progress: Whether a bar shows how many files were read.

        Returns:
            Where the file is.

        Raises:
            ValueError: As `ndarray`; or the format is unknown, or cannot hold such pixels.
        """
        request = Request.of(
            bands,
            mask_nodata=True,
            mask_alpha=None,
            resampler=resampler,
            processing_level=processing_level,
            scaling=scaling,
            data_type=data_type,
        )
        target, chosen = file_of(dest, self.id, request.names, format)
        pixels = self._read(request, adjusted(geocontext, crs, resolution, all_touched), progress)
        return save(pixels, target, chosen, nodata)

    def _read(self, request: Request, context: GeoContext, progress: bool | None) -> Pixels:
        self._require_existing()
        return Reading.of([self], request, context).pixels([self], progress)

    def _rows(self) -> Rows:
        shown = ("acquired", "cloud_fraction", "tags", "storage_state", "created")
        return [("id", self.id), ("product", self.product_id), *((name, getattr(self, name)) for name in shown)]

    def _repr_html_(self) -> str:
        """Return the image as a table with its thumbnail, for notebooks."""
        thumbnail = self._item.get("assets", {}).get("thumbnail")
        shown = f"<img src='{escape(thumbnail['href'])}' alt='thumbnail'>" if thumbnail else ""
        return f"<div>{super()._repr_html_()}{shown}</div>"


def _path_of(identifier: str) -> str:
    product_id, name = split_id(identifier)
    return path("collections", product_id, "items", name)


def _options(
    given: ImageUploadOptions | None,
    upload_type: ImageUploadType,
    overwrite: bool,
    overviews: object,
    overview_resampler: object,
) -> ImageUploadOptions:
    chosen = {"overwrite": overwrite or None, "overviews": overviews, "overview_resampler": overview_resampler}
    changes = {name: value for name, value in chosen.items() if value is not None}
    return ImageUploadOptions.check(given or {}).evolve(upload_type=upload_type, **changes)
