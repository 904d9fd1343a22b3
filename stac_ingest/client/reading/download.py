"""Pixels as files: GeoTIFF, PNG and JPEG."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

from stac_ingest.client.reading.geocontext import require_rasterio
from stac_ingest.client.reading.pixels import Pixels, fits
from stac_ingest.models.enums import Choice, DataType

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Mask = NDArray[np.bool_]


class DownloadFileFormat(Choice):
    """Kinds of files that pixels are written to, by their extension."""

    TIF = "tif"
    PNG = "png"
    JPG = "jpg"


_DRIVERS = {DownloadFileFormat.PNG: "PNG", DownloadFileFormat.JPG: "JPEG"}
_TYPES = {
    DownloadFileFormat.PNG: (DataType.BYTE, DataType.UINT16),
    DownloadFileFormat.JPG: (DataType.BYTE,),
}
_COUNTS = {DownloadFileFormat.PNG: (1, 2, 3, 4), DownloadFileFormat.JPG: (1, 3)}


def file_of(
    dest: str | PathLike[str] | None, subject: str, bands: Sequence[str], file_format: DownloadFileFormat | str
) -> tuple[Path, DownloadFileFormat]:
    """Return where a file is written, and as what.

    Args:
        dest: A path, whose extension decides; unset: `{subject}-{band-band}.{ext}` in the current folder.
        subject: Id of what is in it; its colons become underscores in a file's name.
        bands: Names of the bands.
        file_format: What decides without `dest`.

    Raises:
        ValueError: The format or extension is none of those there are.
    """
    if dest is not None:
        path = Path(dest)
        if not path.suffix:
            raise ValueError(
                f"Expected the path of a file ending in .{', .'.join(DownloadFileFormat)}, found {str(path)!r}"
            )
        return path, DownloadFileFormat(path.suffix.removeprefix("."))
    chosen = DownloadFileFormat(file_format)
    return Path(f"{subject.replace(':', '_')}-{'-'.join(bands)}.{chosen}"), chosen


def save(pixels: Pixels, path: Path, file_format: DownloadFileFormat, nodata: float | None) -> Path:
    """Write pixels to a file, which is there as a whole or not at all; folders are made, and a file is replaced.

    Where pixels are masked, a GeoTIFF has `nodata`, or that of the bands unless a valid pixel has come to that value;
    else a mask, where any band is masked. A PNG of one or three bands gets an alpha band if pixels are masked; masked
    pixels of a JPEG are 0.

    Args:
        pixels: What is written.
        path: Where.
        file_format: As what.
        nodata: Value of masked pixels in a GeoTIFF.

    Returns:
        `path`.

    Raises:
        ValueError: The format cannot hold so many bands, their type, or `nodata`; or a valid pixel is `nodata`.
    """
    _require_holdable(pixels, file_format, nodata)
    mask = pixels.mask(mask_nodata=True)
    with _whole(path) as part:
        if file_format is DownloadFileFormat.TIF:
            _write_geotiff(part, pixels, mask, _free_nodata(pixels) if nodata is None else nodata)
        else:
            _write_picture(part, file_format, pixels, mask)
    return path


def _require_holdable(pixels: Pixels, file_format: DownloadFileFormat, nodata: float | None) -> None:
    if file_format is DownloadFileFormat.TIF:
        if nodata is not None and not fits(nodata, pixels.values.dtype):
            raise ValueError(f"Expected a nodata value that {pixels.data_type} can hold, found {nodata!r}")
        if nodata is not None and pixels.has(nodata):
            raise ValueError(
                f"Expected a nodata value that no valid pixel has, found {nodata!r}; leave it out or change it"
            )
        return
    if pixels.data_type not in _TYPES[file_format]:
        raise ValueError(
            f"A {file_format} file holds values of the type {' or '.join(_TYPES[file_format])}, found"
            f" {pixels.data_type}; scale them with scaling='display', or write a tif"
        )
    if len(pixels.names) not in _COUNTS[file_format]:
        raise ValueError(
            f"A {file_format} file holds {' or '.join(map(str, _COUNTS[file_format]))} bands, found"
            f" {len(pixels.names)}; choose some of them, or write a tif"
        )


def _free_nodata(pixels: Pixels) -> float | None:
    nodata = pixels.common_nodata
    return None if nodata is None or pixels.has(nodata) else nodata


@contextmanager
def _whole(path: Path) -> Iterator[Path]:
    """Give a path to write to that becomes `path` when all is well, and disappears when not."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.stem}-{uuid4().hex[:8]}{path.suffix}")
    try:
        yield part
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def _write_geotiff(path: Path, pixels: Pixels, mask: Mask | None, nodata: float | None) -> None:
    rasterio = require_rasterio()
    values = pixels.values
    if mask is not None and nodata is not None:
        values[mask] = nodata
    count, height, width = values.shape
    profile = {
        "driver": "GTiff",
        "count": count,
        "height": height,
        "width": width,
        "dtype": values.dtype.name,
        "crs": pixels.grid.crs,
        "transform": pixels.grid.transform,
        "nodata": nodata,
        "tiled": True,
        "blockxsize": 512,
        "blockysize": 512,
        "compress": "deflate",
        "bigtiff": "if_safer",
    }
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True), rasterio.open(path, "w", **profile) as file:
        file.write(values)
        file.descriptions = pixels.names
        if mask is not None and nodata is None and mask.any():
            file.write_mask(~mask.any(axis=0))


def _write_picture(path: Path, file_format: DownloadFileFormat, pixels: Pixels, mask: Mask | None) -> None:
    import numpy as np

    rasterio = require_rasterio()
    from rasterio.enums import ColorInterp

    values = pixels.values
    if mask is not None and mask.any():
        values[mask] = 0
        if file_format is DownloadFileFormat.PNG and len(values) in (1, 3):
            opaque = np.where(mask.any(axis=0), 0, np.iinfo(values.dtype).max).astype(values.dtype)
            values = np.concatenate([values, opaque[None]])
    count, height, width = values.shape
    profile = {
        "driver": _DRIVERS[file_format],
        "count": count,
        "height": height,
        "width": width,
        "dtype": values.dtype.name,
        "crs": pixels.grid.crs,
        "transform": pixels.grid.transform,
    }
    with rasterio.Env(GDAL_PAM_ENABLED="NO"), rasterio.open(path, "w", **profile) as file:
        file.write(values)
        colours = (ColorInterp.gray,) if count < 3 else (ColorInterp.red, ColorInterp.green, ColorInterp.blue)
        file.colorinterp = (*colours, *([ColorInterp.alpha] if count in (2, 4) else []))
