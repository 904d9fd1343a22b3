"""Reading pixels of images from their Cloud-Optimized GeoTIFFs, wherever they are, several files at once."""

from __future__ import annotations

import math
import os
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial, reduce
from itertools import batched
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stac_ingest import stac
from stac_ingest.client.connection import path
from stac_ingest.client.progress import progress_bar
from stac_ingest.client.reading.cog import OPTIONS, Block, Source, grid_of, opened, read_block
from stac_ingest.client.reading.geocontext import GeoContext, Grid, crs_of, require_rasterio
from stac_ingest.client.reading.pixels import Pixels
from stac_ingest.client.reading.scaling import Traits, common_type, plan, processed, steps_of
from stac_ingest.errors import UnsavedObjectError
from stac_ingest.models.bands import Band, GenericBand
from stac_ingest.models.enums import DataType, ResampleAlgorithm

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from stac_ingest.client.image import Image

    Mask = NDArray[np.bool_]

Json = dict[str, Any]
Bands = Mapping[str, Mapping[str, Band]]
"""Id of a product -> name of a band -> the band."""

AT_ONCE = 8
"""Files, and images, that are read at the same time."""
BYTES_PER_PIXEL = 4
"""Two for the value, one for where it is valid and one for the mask; fewer only for Byte without a mask."""
_SDK = (str(Path(__file__).resolve().parents[1]),)


@dataclass(frozen=True, kw_only=True)
class Request:
    """Which bands are read, and what is made of them; see `Image.ndarray`."""

    names: tuple[str, ...]
    mask_nodata: bool = True
    mask_alpha: bool | str | None = None
    resampler: ResampleAlgorithm = ResampleAlgorithm.NEAR
    processing_level: str | None = None
    scaling: object = None
    data_type: DataType | None = None

    @classmethod
    def of(
        cls,
        bands: str | Sequence[str],
        *,
        mask_nodata: bool,
        mask_alpha: bool | str | None,
        resampler: ResampleAlgorithm | str,
        processing_level: str | None,
        scaling: object,
        data_type: DataType | str | None,
    ) -> Request:
        """Return the request with its values checked.

        Raises:
            TypeError: `bands` are not names.
            ValueError: There is no band, or a value is not among those there are.
        """
        if mask_alpha is not None and not isinstance(mask_alpha, bool | str):
            raise ValueError(f"'mask_alpha' must be None, a band name, or a bool, found {mask_alpha!r}")
        return cls(
            names=cls.names_of(bands),
            mask_nodata=bool(mask_nodata),
            mask_alpha=mask_alpha,
            resampler=ResampleAlgorithm(resampler),
            processing_level=processing_level,
            scaling=scaling,
            data_type=None if data_type is None else DataType(data_type),
        )

    @staticmethod
    def names_of(bands: str | Sequence[str]) -> tuple[str, ...]:
        """Return the names of bands from a list, or a text with blanks or commas between them; raises as `of`."""
        names = bands.replace(",", " ").split() if isinstance(bands, str) else bands
        if not isinstance(names, list | tuple) or not all(isinstance(name, str) for name in names):
            raise TypeError(f"Expected the names of bands as a list or a text, found {names!r:.100}")
        if not names:
            raise ValueError("No bands specified to load; name at least one")
        return tuple(names)


# --- Images ---------------------------------------------------------------------------------------------------------


def bands_of(images: Iterable[Image]) -> Bands:
    """Return the bands of the images' products, as they are in the catalog now."""
    clients = {image.product_id: image._client for image in images}
    return {
        product_id: {
            band.name: band for band in stac.bands_from_collection(client.get(path("collections", product_id)))
        }
        for product_id, client in clients.items()
    }


@dataclass(frozen=True, kw_only=True)
class Reading:
    """A request for certain images, and all that is the same for each of them.

    Attributes:
        request: What is read.
        alpha: Name of the band whose 0 means transparent; None if it is not asked.
        grid: Where.
        outside: Pixels (y, x) that are masked.
        bands: As `bands_of` returns them.
    """

    request: Request
    alpha: str | None
    grid: Grid
    outside: Mask | None
    bands: Bands

    @classmethod
    def of(cls, images: Sequence[Image], request: Request, context: GeoContext, layers: int = 1) -> Reading:
        """Return the reading of images, all of which are in the catalog; nothing of them is read yet.

        Warns where the context touches none of the images.

        Args:
            images: At least one.
            request: What is read.
            context: Where.
            layers: How many are made of the images.

        Raises:
            ValueError: An image has not the bands, or the context asks for no pixel, or for more than memory holds.
            UnsavedObjectError: An image is not in the catalog.
        """
        alpha = _alpha(images, request)
        natives = [native_grid(image, request.names) for image in images]
        grid = context.on(Grid.around(natives))
        _require_room(grid, len(request.names), layers)
        if not any(grid.touches(native) for native in natives):
            which = f"image {images[0].id!r}" if len(images) == 1 else "images"
            warnings.warn(
                f"All pixels are masked, because the place and the {which} do not touch. The place is"
                f" {tuple(round(x, 6) for x in grid.bounds)} in {grid.crs.to_string():.60}; bounds are in degrees"
                " unless bounds_crs says otherwise.",
                skip_file_prefixes=_SDK,
            )
        return cls(request=request, alpha=alpha, grid=grid, outside=context.outside(grid), bands=bands_of(images))

    def pixels(self, images: Sequence[Image], progress: bool | None = None) -> Pixels:
        """Return the pixels of one of the images, or of several with the last one on top.

        Args:
            images: At least one.
            progress: Whether a bar shows how many files were read.

        Raises:
            ValueError: The bands cannot be scaled as is asked.
            NotFoundError: A file is no longer there.
            ClientError: A file cannot be read.
        """
        names = self.request.names
        asked = names if self.alpha in (None, *names) else (*names, str(self.alpha))
        sources = [_sources(image, asked, self.bands[image.product_id]) for image in images]
        files = [source for some in sources for source in some]
        blocks = together(partial(read_block, grid=self.grid, resampler=self.request.resampler), files, progress)
        layers = (
            self._layer(image, some, [next(blocks) for _ in some]) for image, some in zip(images, sources, strict=True)
        )
        merged = reduce(lambda below, top: top.over(below), layers)
        return self._scaled(merged.cut(self.outside), images)

    def _layer(self, image: Image, sources: Sequence[Source], blocks: Sequence[Block]) -> Pixels:
        """Return the bands of one image, in the order asked for, at their processing level."""
        import numpy as np

        names, bands = self.request.names, self.bands[image.product_id]
        planes = {
            name: (values, valid, block.nodata)
            for source, block in zip(sources, blocks, strict=True)
            for name, values, valid in zip(source.names, block.values, block.valid, strict=True)
        }
        opaque = None
        if self.alpha is not None:
            values, valid, _ = planes[self.alpha]
            opaque = valid & (values != 0)
        levels = {name: steps_of(_band(bands, name), self.request.processing_level) for name in names}
        for name, steps in levels.items():
            if steps:
                values, valid, _ = planes[name]
                made = processed(values, bands[name], steps, lambda attribute: getattr(image, attribute, None))
                planes[name] = (made, valid & np.isfinite(made), None)
        chosen = [planes[name] for name in names]
        types = tuple(DataType.from_numpy(values.dtype.name) for values, _, _ in chosen)
        if sources[0].names[: len(names)] == names and not any(levels.values()):
            stacked, valid = blocks[0].values[: len(names)], blocks[0].valid[: len(names)]
        else:
            stacked = np.stack([values for values, _, _ in chosen], dtype=common_type(types).numpy, casting="unsafe")
            valid = np.stack([valid for _, valid, _ in chosen])
        return Pixels(
            names=names,
            values=stacked,
            valid=valid if opaque is None else valid & opaque,
            opaque=opaque,
            nodata=tuple(nodata for _, _, nodata in chosen),
            types=types,
            grid=self.grid,
        )

    def _scaled(self, pixels: Pixels, images: Sequence[Image]) -> Pixels:
        request = self.request
        if request.scaling is None and request.data_type is None:
            return pixels
        plans = {
            plan(self._traits(product_id, pixels.types), request.scaling, request.data_type): product_id
            for product_id in {image.product_id: None for image in images}
        }
        if len(plans) > 1:
            raise ValueError(
                f"Invalid scaling: incompatible bands in the products {' and '.join(plans.values())}, whose ranges"
                " differ; give the ranges as numbers, or read the products separately"
            )
        return pixels.scaled(next(iter(plans)))

    def _traits(self, product_id: str, types: Sequence[DataType]) -> list[Traits]:
        traits = []
        for name, data_type in zip(self.request.names, types, strict=True):
            band = _band(self.bands[product_id], name)
            steps = steps_of(band, self.request.processing_level)
            traits.append(Traits.of(band, data_type, steps[-1] if steps else None))
        return traits


def _require_room(grid: Grid, bands: int, layers: int) -> None:
    """Raise ValueError for more pixels than memory holds: the system may promise them, and end the process later."""
    pixels = grid.width * grid.height * bands * layers
    if pixels * BYTES_PER_PIXEL > (memory := _memory()):
        raise ValueError(
            f"The result would have {pixels:,} pixels (layers: {layers}, bands: {bands}, rows: {grid.height}, columns:"
            f" {grid.width}) and need {pixels * BYTES_PER_PIXEL / 1e9:,.0f} GB of memory, where this machine has"
            f" {memory / 1e9:,.0f} GB; give a larger resolution (it is {max(grid.pixel):g} in the units of"
            f" {grid.crs.to_string():.60}), a smaller shape or a smaller place"
        )


def _memory() -> float:
    """Return how many bytes of memory the machine has; infinitely many where it promises no more than that itself."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") if hasattr(os, "sysconf") else math.inf


def together[T, R](function: Callable[[T], R], things: Sequence[T], progress: bool | None) -> Iterator[R]:
    """Yield what `function` makes of each thing, in their order, a few of them at the same time.

    Args:
        function: What is done, in a thread.
        things: At least one.
        progress: Whether a bar shows how many are done.
    """
    with ThreadPoolExecutor(min(AT_ONCE, len(things))) as pool:
        done = (result for some in batched(things, AT_ONCE) for result in pool.map(function, some))
        yield from progress_bar(progress, done, total=len(things))


def native_grid(image: Image, names: Sequence[str] | None = None) -> Grid:
    """Return where the pixels of an image's bands lie; of those with the smallest pixels, if they differ.

    Args:
        image: An image that is in the catalog.
        names: The bands; unset: all.

    Raises:
        ValueError: The image has not the bands, or no pixels.
    """
    assets = {asset["href"]: asset for _, asset in stac.data_assets(_item(image)) if "href" in asset}
    hrefs = dict.fromkeys(href for href, _ in _found(image, names).values())
    return min((_grid_of(image, assets[href]) for href in hrefs), key=lambda grid: math.prod(grid.pixel))


def _item(image: Image) -> Json:
    if not image.item:
        raise UnsavedObjectError(f"Image {image.id!r} is not in the catalog; upload it first.")
    return image.item


def _found(image: Image, names: Sequence[str] | None) -> dict[str, tuple[str, int]]:
    """Return where each band is: the address of its file, and its index there from 1; of all bands without `names`."""
    known = {
        band.get("name", key): (asset["href"], index)
        for key, asset in stac.data_assets(_item(image))
        for index, band in enumerate(asset.get("bands") or [{"name": key}], start=1)
        if "href" in asset
    }
    if not known:
        raise ValueError(f"Image {image.id!r} has no pixels in the catalog; its storage_state is {image.storage_state}")
    if missing := [name for name in names or () if name not in known]:
        raise ValueError(f"Image {image.id!r} has the bands {', '.join(known)}, not {', '.join(missing)}")
    return known if names is None else {name: known[name] for name in names}


def _grid_of(image: Image, asset: Json) -> Grid:
    """Return the grid of a file: as its asset describes it, else as the file itself does."""
    from affine import Affine

    placed = {**_item(image).get("properties", {}), **asset}
    crs = placed.get("proj:code") or placed.get("proj:wkt2")
    transform, shape = placed.get("proj:transform"), placed.get("proj:shape")
    if crs and transform and shape:
        return Grid(crs_of(crs), Affine(*transform[:6]), shape[1], shape[0])
    rasterio = require_rasterio()
    with rasterio.Env(**OPTIONS), opened(asset["href"], image.id) as file:
        return grid_of(file)


def _sources(image: Image, names: Sequence[str], bands: Mapping[str, Band]) -> list[Source]:
    grouped: dict[tuple[str, float | None], dict[str, int]] = {}
    for name, (href, index) in _found(image, names).items():
        nodata = bands[name].nodata if name in bands else None
        nodata = math.nan if nodata is not None and math.isnan(nodata) else nodata  # one NaN is another as a key then
        grouped.setdefault((href, nodata), {})[name] = index
    return [
        Source(image_id=image.id, href=href, names=tuple(indexes), indexes=tuple(indexes.values()), nodata=nodata)
        for (href, nodata), indexes in grouped.items()
    ]


def _alpha(images: Sequence[Image], request: Request) -> str | None:
    """Return the name of the band whose 0 means transparent; None when it is not asked."""
    if request.mask_alpha is False:
        return None
    alpha = request.mask_alpha if isinstance(request.mask_alpha, str) else "alpha"
    for image in images:
        try:
            _found(image, [alpha])
        except ValueError:
            if request.mask_alpha is None:
                return None
            raise ValueError(
                f"Cannot mask alpha: no {alpha} band for the product {image.product_id!r}."
                " Try setting 'mask_alpha=False'."
            ) from None
    if alpha in request.names[:-1]:
        raise ValueError("Alpha must be the last band in order to reduce rasterization errors")
    return alpha


def _band(bands: Mapping[str, Band], name: str) -> Band:
    """Return the product's band; one of which nothing is known, if the product is not one of ours."""
    return bands.get(name) or GenericBand(name=name)
