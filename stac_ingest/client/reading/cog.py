"""Reading the bands of one file on a grid; needs rasterio.

A file whose pixels lie on the grid, or one of whose overviews does, is read as it is, and only the blocks that are
asked for. Others are warped, from the coarsest overview that is as fine as what is asked.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import reduce
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from stac_ingest.client.reading.geocontext import Grid, require_rasterio
from stac_ingest.client.reading.pixels import fits
from stac_ingest.errors import ClientError, NotFoundError
from stac_ingest.models.enums import ResampleAlgorithm

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Mask = NDArray[np.bool_]

SCHEMES = ("http", "https", "s3", "gs", "az")
DRIVERS = ("GTiff", "JP2OpenJPEG", "JPEG", "PNG")
"""A file that refers to others, such as a VRT, is not opened."""
OPTIONS = {
    "GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR",
    "GDAL_HTTP_MAX_RETRY": "3",
    "GDAL_HTTP_RETRY_DELAY": "0.5",
    "GDAL_HTTP_MERGE_CONSECUTIVE_RANGES": "YES",
    "GDAL_INGESTED_BYTES_AT_OPEN": "32768",
    "GDAL_NUM_THREADS": "ALL_CPUS",
}
"""A COG is one file, its header is read with one request, and neighbouring blocks with one."""
_RASTERIO_NAMES = {ResampleAlgorithm.NEAR: "nearest", ResampleAlgorithm.CUBICSPLINE: "cubic_spline"}
_FROM_EVERY_PIXEL = frozenset(("mode", "max", "min", "med", "q1", "q3"))
"""Resamplers that ask for something that an overview no longer knows."""
_OFF = 1e-3
"""Share of a pixel by which two grids may miss each other and still be the same."""


@dataclass(frozen=True, kw_only=True)
class Source:
    """Bands of one file."""

    image_id: str
    href: str
    names: tuple[str, ...]
    indexes: tuple[int, ...]
    """Positions in the file, from 1."""
    nodata: float | None
    """What the product says; the file's own wins."""


@dataclass(frozen=True)
class Block:
    """What was read of one source: values and validity (band, y, x)."""

    values: NDArray[Any]
    valid: Mask
    nodata: float | None


def read_block(source: Source, *, grid: Grid, resampler: ResampleAlgorithm) -> Block:
    """Read the bands of one file on a grid."""
    rasterio = require_rasterio()
    with rasterio.Env(**OPTIONS):
        level = None
        with opened(source.href, source.image_id) as file:
            if resampler not in _FROM_EVERY_PIXEL:
                level = _overview(file, grid)
            if level is None:
                return _read(file, source, grid, resampler)
        with opened(source.href, source.image_id, overview_level=level) as file:
            return _read(file, source, grid, resampler)


def opened(href: str, image_id: str, **options: Any) -> Any:
    """Return the file at an address as a rasterio dataset, to be closed; inside a `rasterio.Env` with `OPTIONS`.

    Raises:
        NotFoundError: There is nothing.
        ClientError: It cannot be read, or the address is none of the network: whoever writes an Item must not choose
            which of this machine's files are opened, or which options GDAL opens them with.
    """
    from rasterio.errors import RasterioIOError
    from rasterio.io import DatasetReader

    if urlsplit(href).scheme not in SCHEMES:
        raise ClientError(
            f"The pixels of image {image_id!r} are said to be at {href[:200]!r}; expected an address that begins with"
            f" {', '.join(f'{scheme}://' for scheme in SCHEMES)}."
        )
    try:
        file = DatasetReader(href, driver=list(DRIVERS), **options)
    except RasterioIOError as error:
        raise _unreadable(href, image_id, error) from error
    if file.crs is None and file.gcps[1] is None:
        file.close()
        raise ClientError(
            f"The file {href} of image {image_id!r} does not say where its pixels lie; upload it to read it."
        )
    return file


def _unreadable(href: str, image_id: str, error: Exception) -> ClientError:
    reason = str(error)
    if "404" in reason or "No such file" in reason:
        return NotFoundError(
            f"The pixels of image {image_id!r} are no longer at {href}; was it deleted or replaced? Reload it.",
            status=404,
        )
    return ClientError(f"The pixels of image {image_id!r} at {href} cannot be read: {reason}")


def _overview(file: Any, grid: Grid) -> int | None:
    """Return the number of the coarsest overview whose pixels are no larger than those of the grid."""
    factor = min(_reduction(file, grid)) * (1 + _OFF)
    fine = [number for number, reduced in enumerate(file.overviews(1)) if reduced <= factor]
    return max(fine, default=None)


def _reduction(file: Any, grid: Grid) -> tuple[float, float]:
    """Return how many of the file's pixels make one of the grid, along its columns and its rows."""
    if file.crs == grid.crs:
        return replace(grid, transform=~file.transform @ grid.transform).pixel
    side, _ = _default_grid(file, grid.crs).pixel
    along, across = grid.pixel
    return along / side, across / side


def grid_of(file: Any) -> Grid:
    """Return where the pixels of a file lie; of one that ground control points place, where GDAL would warp them to."""
    return Grid(file.crs, file.transform, file.width, file.height) if file.crs else _default_grid(file, file.gcps[1])


def _default_grid(file: Any, crs: Any) -> Grid:
    """Return the grid in a coordinate system that GDAL warps a file to when it is not given one."""
    from rasterio.warp import calculate_default_transform

    gcps, gcps_crs = file.gcps
    place = file.bounds._asdict() if file.crs else {"gcps": gcps}
    return Grid(crs, *calculate_default_transform(file.crs or gcps_crs, crs, file.width, file.height, **place))


def _read(file: Any, source: Source, grid: Grid, resampler: ResampleAlgorithm) -> Block:
    from rasterio.errors import RasterioIOError, WarpOperationError

    nodata = _nodata(file, source)
    try:
        return reduce(_beside, (_read_on(file, source, turned, nodata, resampler) for turned in _turns(file, grid)))
    except (RasterioIOError, WarpOperationError) as error:
        raise _unreadable(source.href, source.image_id, error) from error


def _read_on(file: Any, source: Source, grid: Grid, nodata: float | None, resampler: ResampleAlgorithm) -> Block:
    offset = _offset(file, grid)
    if offset is None:
        return _warped(file, source, grid, nodata, resampler)
    return _window(file, source, grid, nodata, offset)


def _nodata(file: Any, source: Source) -> float | None:
    import numpy as np

    dtype = np.dtype(file.dtypes[source.indexes[0] - 1])
    nodata: float | None = source.nodata if file.nodata is None else file.nodata
    if fits(nodata, dtype):
        return nodata
    return math.nan if dtype.kind == "f" else None


def _offset(file: Any, grid: Grid) -> tuple[int, int] | None:
    """Return the column and row of the file where the grid begins; None if their pixels are not the same."""
    if file.crs != grid.crs:
        return None
    step = ~file.transform @ grid.transform
    column, row = round(step.c), round(step.f)
    corners = ((x, y) for x in (0, grid.width) for y in (0, grid.height))
    misses = (abs(a - b) for x, y in corners for a, b in zip(step @ (x, y), (column + x, row + y), strict=True))
    return (column, row) if max(misses) < _OFF else None


def _window(file: Any, source: Source, grid: Grid, nodata: float | None, offset: tuple[int, int]) -> Block:
    """Read pixels as they are; those outside the file are not valid."""
    import numpy as np
    from rasterio.windows import Window

    column, row = offset
    left, top = max(0, column), max(0, row)
    width = min(file.width, column + grid.width) - left
    height = min(file.height, row + grid.height) - top
    shape = (len(source.indexes), grid.height, grid.width)
    dtype = file.dtypes[source.indexes[0] - 1]
    if width <= 0 or height <= 0:
        return Block(np.full(shape, _empty(nodata, dtype), dtype), np.zeros(shape, bool), nodata)
    window = Window(left, top, width, height)
    pixels = file.read(list(source.indexes), window=window)
    valid = _valid(pixels, nodata)
    if _has_mask(file, source):
        valid &= file.dataset_mask(window=window) != 0
    if (height, width) == shape[1:]:
        return Block(pixels, valid, nodata)
    whole = Block(np.full(shape, _empty(nodata, dtype), dtype), np.zeros(shape, bool), nodata)
    place = np.s_[:, top - row : top - row + height, left - column : left - column + width]
    whole.values[place], whole.valid[place] = pixels, valid
    return whole


def _warped(file: Any, source: Source, grid: Grid, nodata: float | None, resampler: ResampleAlgorithm) -> Block:
    """Read pixels resampled to the grid, by GDAL's warper: only the asked bands, each with its own nodata.

    The warper would guess from the sizes of both sides how many pixels make one, and so depend on what else is read.
    Into an array rasterio writes bands at the places that they have in the file, even on the alpha band, and for it
    rasterio changes the filters of warnings, which threads share; so a dataset in memory takes the pixels.
    """
    import rasterio
    from rasterio.enums import Resampling
    from rasterio.warp import reproject

    count = len(source.indexes)
    along, across = (max(1.0, factor) for factor in _reduction(file, grid))
    masked = _has_mask(file, source)
    by_alpha = masked or nodata is None
    dtype = file.dtypes[source.indexes[0] - 1]
    profile = {"driver": "MEM", "width": grid.width, "height": grid.height, "count": count + by_alpha, "dtype": dtype}
    with rasterio.open("", "w+", crs=grid.crs, transform=grid.transform, **profile) as made:
        reproject(
            rasterio.band(file, list(source.indexes)),
            rasterio.band(made, list(range(1, count + 1))),
            resampling=Resampling[_RASTERIO_NAMES.get(resampler, resampler.value)],
            XSCALE=repr(1 / along),
            YSCALE=repr(1 / across),
            **(
                {"dst_alpha": count + 1, "src_alpha": _alpha_index(file)}
                if by_alpha
                else {"src_nodata": nodata, "dst_nodata": nodata, "UNIFIED_SRC_NODATA": "NO"}
            ),
        )
        pixels = made.read()
    valid = _valid(pixels[:count], nodata)
    if by_alpha:
        valid &= pixels[count] > 0
    return Block(pixels[:count], valid, nodata)


def _turns(file: Any, grid: Grid) -> list[Grid]:
    """Return the grid, and itself a turn around the globe away if the file is there too: both in degrees."""
    own = grid_of(file)
    if not (own.crs.is_geographic and grid.crs.is_geographic):
        return [grid]
    west, _, east, _ = own.bounds
    turned = (replace(grid, transform=grid.transform.translation(turn, 0) @ grid.transform) for turn in (0, 360, -360))
    there = [one for one in turned if one.bounds[0] < east and one.bounds[2] > west]
    return there or [grid]


def _beside(one: Block, other: Block) -> Block:
    import numpy as np

    np.copyto(one.values, other.values, where=other.valid & ~one.valid)
    return replace(one, valid=one.valid | other.valid)


def _has_mask(file: Any, source: Source) -> bool:
    from rasterio.enums import MaskFlags

    return MaskFlags.per_dataset in file.mask_flag_enums[source.indexes[0] - 1]


def _alpha_index(file: Any) -> int:
    """Return the position of the file's alpha band, from 1; 0 if it has none."""
    from rasterio.enums import ColorInterp

    return file.colorinterp.index(ColorInterp.alpha) + 1 if ColorInterp.alpha in file.colorinterp else 0


def _valid(pixels: NDArray[Any], nodata: float | None) -> Mask:
    """Return where pixels are neither nodata nor NaN."""
    import numpy as np

    valid: Mask = ~np.isnan(pixels) if pixels.dtype.kind == "f" else np.ones(pixels.shape, bool)
    if nodata is not None and not math.isnan(nodata):
        valid &= pixels != nodata
    return valid


def _empty(nodata: float | None, dtype: str) -> float:
    return 0 if nodata is None else nodata
