"""Lists of images, and their pixels: one array of all, one mosaic, or files."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from os import PathLike
from pathlib import Path
from typing import Any

from stac_ingest.client.collection import Collection, Key
from stac_ingest.client.image import Image
from stac_ingest.client.reading.download import DownloadFileFormat, file_of, save
from stac_ingest.client.reading.geocontext import GeoContext, Grid, adjusted
from stac_ingest.client.reading.pixels import Pixels, require_axis, with_bands_at
from stac_ingest.client.reading.request import Reading, Request, native_grid, together
from stac_ingest.models.enums import DataType, ResampleAlgorithm

AnyPath = str | PathLike[str]


class ImageCollection(Collection[Image]):
    """A list of images, which are read on the same pixels.

    Args:
        items: The images.
        geocontext: Where they are read unless told otherwise: a `GeoContext`, or a geometry; what it does not say is
            taken from the images, and so is everything without it.
    """

    KIND = Image
    COLUMNS = ("id", "acquired", "cloud_fraction", "tags")

    def __init__(self, items: Iterable[Image] = (), geocontext: Any = None) -> None:
        super().__init__(items)
        self._place = None if geocontext is None else GeoContext.of(geocontext)

    @property
    def geocontext(self) -> GeoContext | None:
        """Where the images are read unless told otherwise.

        What was not given is that of the images: their commonest coordinate system, their finest pixels, and all that
        they cover together. Without images it is what was given, which may be None.

        Raises:
            ValueError: An image has no pixels.
        """
        if not self._list:
            return self._place
        place = adjusted(self._place, None, None, None)
        grid = place.on(Grid.around([native_grid(image) for image in self._list]))
        crs = grid.crs.to_string()
        return GeoContext(
            bounds=grid.bounds,
            bounds_crs=crs,
            crs=crs,
            shape=(grid.height, grid.width),
            align_pixels=False,
            geometry=place.geometry,
            all_touched=place.all_touched,
        )

    def filter_coverage(self, geom: object, minimum_coverage: float = 1) -> ImageCollection:
        """Return the images that cover at least a share (0 to 1) of a geometry; see `Image.coverage`."""
        return self.filter(lambda image: image.coverage(geom) >= minimum_coverage)

    def stack(
        self,
        bands: str | Sequence[str],
        geocontext: Any = None,
        crs: str | None = None,
        resolution: float | None = None,
        all_touched: bool | None = None,
        flatten: Key | Sequence[Key] | None = None,
        mask_nodata: bool = True,
        mask_alpha: bool | str | None = None,
        bands_axis: int = 1,
        raster_info: bool = False,
        resampler: ResampleAlgorithm | str = ResampleAlgorithm.NEAR,
        processing_level: str | None = None,
        scaling: object = None,
        data_type: DataType | str | None = None,
        progress: bool | None = None,
        xarray: bool = False,
    ) -> Any:
        """Read bands of all the images, as layers one after the other.

        Args:
            bands: As for `Image.ndarray`, and so are the arguments that are not explained here.
            geocontext: Where to read; unset: the collection's.
            crs: Coordinate system of the result.
            resolution: Side of a pixel.
            all_touched: Whether pixels that the geometry only touches are inside.
            flatten: Images for which these attributes, or functions of an image, are equal become one layer, a mosaic:
                `["acquired.year", "acquired.month"]`. The layers come in the order of `groupby`.
            mask_nodata: Whether the result is a masked array.
            mask_alpha: Whether all bands are masked where the band `alpha` is 0; unset: if all images have it.
            bands_axis: Where the axis of the bands is, -4 to 3; 1 gives (image, band, y, x).
            raster_info: Whether a list of dictionaries, one for each layer, is returned too.
            resampler: How pixels of another size or place are made.
            processing_level: What the pixels are made to mean.
            scaling: How values are scaled; `auto` takes the extremes of each layer.
            data_type: Type of the result.
            progress: Whether a bar shows how many layers were read.
            xarray: Whether the result is an `xarray.DataArray`. Its axis `image` has the ids of the images, of the last
                one of each group if they are flattened, and their `acquired` as `time`.

        Returns:
            The array of shape (image, band, y, x), or the array and the list.

        Raises:
            ValueError: The collection is empty; or as `Image.ndarray`.
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
        require_axis(bands_axis, 4)
        groups = self._groups(flatten)
        reading = self._reading(request, geocontext, crs, resolution, all_touched, len(groups))
        infos = []

        def noted(layers: Iterable[Pixels]) -> Iterable[Pixels]:
            for group, layer in zip(groups, layers, strict=True):
                infos.append(layer.info(group[-1].id))
                yield layer

        stack = Pixels.stacked(noted(together(reading.pixels, groups, progress)), len(groups))
        form = stack.form("stack", mask_nodata=mask_nodata, xarray=xarray, along=_axis([group[-1] for group in groups]))
        array = with_bands_at(form, bands_axis)
        return (array, infos) if raster_info else array

    def mosaic(
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
        """Read bands of all the images as one layer, with the last image on top.

        Where a pixel of an image is masked, the one below it shows, band by band.

        Args:
            bands: As for `Image.ndarray`, and so are the arguments that are not explained here.
            geocontext: Where to read; unset: the collection's.
            crs: Coordinate system of the result.
            resolution: Side of a pixel.
            all_touched: Whether pixels that the geometry only touches are inside.
            mask_nodata: Whether the result is a masked array.
            mask_alpha: Whether all bands are masked where the band `alpha` is 0; unset: if all images have it.
            bands_axis: Where the axis of the bands is, -3 to 2; 0 gives (band, y, x).
            raster_info: Whether a dictionary that says where the pixels lie is returned too.
            resampler: How pixels of another size or place are made.
            processing_level: What the pixels are made to mean.
            scaling: How values are scaled; `auto` takes the extremes of the mosaic.
            data_type: Type of the result.
            progress: Whether a bar shows how many files were read.
            xarray: Whether the result is an `xarray.DataArray`.

        Returns:
            The array of shape (band, y, x), or the array and the dictionary.

        Raises:
            ValueError: The collection is empty; or as `Image.ndarray`.
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
        pixels = self._reading(request, geocontext, crs, resolution, all_touched).pixels(self._list, progress)
        array = with_bands_at(pixels.form("mosaic", mask_nodata=mask_nodata, xarray=xarray), bands_axis)
        return (array, pixels.info("mosaic")) if raster_info else array

    def download(
        self,
        bands: str | Sequence[str],
        geocontext: Any = None,
        crs: str | None = None,
        resolution: float | None = None,
        all_touched: bool | None = None,
        dest: AnyPath | Sequence[AnyPath] | None = None,
        format: DownloadFileFormat | str = DownloadFileFormat.TIF,  # noqa: A002 - as in the Descartes Labs Catalog
        resampler: ResampleAlgorithm | str = ResampleAlgorithm.NEAR,
        processing_level: str | None = None,
        scaling: object = None,
        data_type: DataType | str | None = None,
        nodata: float | None = None,
        progress: bool | None = None,
    ) -> list[Path]:
        """Write each image to a file of its own; see `Image.download`.

        Args:
            bands: As for `Image.download`, and so are the arguments that are not explained here.
            geocontext: Where to read; unset: the collection's, and if that was not given, each image's own pixels.
            crs: Coordinate system of the files.
            resolution: Side of a pixel.
            all_touched: Whether pixels that the geometry only touches are inside.
            dest: Folder for the files, which then have the names that `Image.download` gives them; or a list with the
                path of each. Unset: the current folder.
            format: tif, png or jpg; with a list of paths their extensions decide.
            resampler: How pixels of another size or place are made.
            processing_level: What the pixels are made to mean.
            scaling: How values are scaled.
            data_type: Type of the values.
            nodata: Value of masked pixels in GeoTIFFs.
            progress: Whether a bar shows how many files were written.

        Returns:
            Where the files are, in the order of the images.

        Raises:
            ValueError: The collection is empty, or there is not one path for each image; or as `Image.download`.
        """
        self._require_images()
        names = Request.names_of(bands)
        paths = self._paths(dest, names, format)
        place = self._place if geocontext is None else geocontext

        def write(task: tuple[Image, Path]) -> Path:
            image, path = task
            return image.download(
                names,
                place,
                crs=crs,
                resolution=resolution,
                all_touched=all_touched,
                dest=path,
                resampler=resampler,
                processing_level=processing_level,
                scaling=scaling,
                data_type=data_type,
                nodata=nodata,
            )

        return list(together(write, list(zip(self._list, paths, strict=True)), progress))

    def download_mosaic(
        self,
        bands: str | Sequence[str],
        geocontext: Any = None,
        crs: str | None = None,
        resolution: float | None = None,
        all_touched: bool | None = None,
        dest: AnyPath | None = None,
        format: DownloadFileFormat | str = DownloadFileFormat.TIF,  # noqa: A002 - as in the Descartes Labs Catalog
        mask_alpha: bool | str | None = None,
        resampler: ResampleAlgorithm | str = ResampleAlgorithm.NEAR,
        processing_level: str | None = None,
        scaling: object = None,
        data_type: DataType | str | None = None,
        nodata: float | None = None,
        progress: bool | None = None,
    ) -> Path:
        """Write the mosaic of all the images to one file.

        Args:
            bands: As for `mosaic` and `Image.download`, and so are the other arguments.
            geocontext: Where to read; unset: the collection's.
            crs: Coordinate system of the file.
            resolution: Side of a pixel.
            all_touched: Whether pixels that the geometry only touches are inside.
            dest: Path of the file; unset: `mosaic-{band-band}.{format}` in the current folder.
            format: tif, png or jpg; the extension of `dest` wins.
            mask_alpha: Whether all bands are masked where the band `alpha` is 0.
            resampler: How pixels of another size or place are made.
            processing_level: What the pixels are made to mean.
            scaling: How values are scaled.
            data_type: Type of the values.
            nodata: Value of masked pixels in a GeoTIFF.
            progress: Whether a bar shows how many files were read.

        Returns:
            Where the file is.

        Raises:
            ValueError: As `mosaic` and `Image.download`.
        """
        request = Request.of(
            bands,
            mask_nodata=True,
            mask_alpha=mask_alpha,
            resampler=resampler,
            processing_level=processing_level,
            scaling=scaling,
            data_type=data_type,
        )
        target, chosen = file_of(dest, "mosaic", request.names, format)
        pixels = self._reading(request, geocontext, crs, resolution, all_touched).pixels(self._list, progress)
        return save(pixels, target, chosen, nodata)

    def _reading(
        self,
        request: Request,
        geocontext: Any,
        crs: str | None,
        resolution: float | None,
        all_touched: bool | None,
        layers: int = 1,
    ) -> Reading:
        self._require_images()
        place = self._place if geocontext is None else geocontext
        return Reading.of(self._list, request, adjusted(place, crs, resolution, all_touched), layers)

    def _require_images(self) -> None:
        if not self._list:
            raise ValueError("This ImageCollection is empty")

    def _groups(self, flatten: Key | Sequence[Key] | None) -> list[list[Image]]:
        if flatten is None:
            return [[image] for image in self._list]
        keys = [flatten] if isinstance(flatten, str) or callable(flatten) else flatten
        return [list(group) for _, group in self.groupby(*keys)]

    def _paths(
        self, dest: AnyPath | Sequence[AnyPath] | None, names: Sequence[str], file_format: DownloadFileFormat | str
    ) -> list[Path]:
        if dest is None or isinstance(dest, str | PathLike):
            folder = Path(dest or ".")
            return [folder / file_of(None, image.id, names, file_format)[0] for image in self._list]
        if len(dest) != len(self):
            raise ValueError(f"Expected a path for each of the {len(self)} images, found {len(dest)}")
        return [Path(path) for path in dest]


def _axis(images: Sequence[Image]) -> dict[str, Any]:
    """Return the coordinates of an axis of images."""
    import numpy as np

    moments = [image.acquired.replace(tzinfo=None) if image.acquired else "NaT" for image in images]
    return {"image": [image.id for image in images], "time": ("image", np.array(moments, "datetime64[ns]"))}
