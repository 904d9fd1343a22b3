"""Reading pixels of an image from its COGs, wherever they are; needs rasterio."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from stac_ingest import stac
from stac_ingest.errors import StacIngestError
from stac_ingest.models.enums import ResampleAlgorithm

Json = dict[str, Any]

_RASTERIO_NAMES = {ResampleAlgorithm.NEAR: "nearest", ResampleAlgorithm.CUBICSPLINE: "cubic_spline"}


def read(
    item: Json,
    bands: str | Sequence[str],
    *,
    resolution: float | None,
    mask_nodata: bool,
    bands_axis: int,
    raster_info: bool,
    resampler: ResampleAlgorithm,
) -> Any:
    """Read bands of an Item; see `Image.ndarray`."""
    try:
        import rasterio
    except ImportError as error:
        raise StacIngestError("Reading pixels needs rasterio: pip install 'stac-ingest[raster]'.") from error
    import numpy as np
    from rasterio.enums import Resampling
    from rasterio.vrt import WarpedVRT

    places = _places(item, _names(bands))
    how = Resampling[_RASTERIO_NAMES.get(resampler, resampler.value)]
    layers: list[Any] = []
    meta: Json = {}
    with rasterio.Env(GDAL_DISABLE_READDIR_ON_OPEN="EMPTY_DIR", CPL_VSIL_CURL_ALLOWED_EXTENSIONS=".tif"):
        grid: Json | None = None
        for href, index in places:
            with rasterio.open(href) as cog:
                grid = grid or _grid(cog, resolution)
                nodata = cog.nodatavals[index - 1]
                with WarpedVRT(cog, **grid, resampling=how, nodata=nodata) as view:
                    pixels = view.read(index)
                    layers.append(np.ma.MaskedArray(pixels, mask=view.read_masks(index) == 0))
                    meta = meta or _raster_info(item, view, grid)
    stacked: Any = np.ma.stack(layers)
    if not mask_nodata:
        stacked = np.ma.getdata(stacked)
    if not -stacked.ndim <= bands_axis < stacked.ndim:
        raise ValueError(f"Expected bands_axis from -3 to 2, found {bands_axis}")
    array = np.moveaxis(stacked, 0, bands_axis) if bands_axis % stacked.ndim else stacked
    return (array, meta) if raster_info else array


def _names(bands: str | Sequence[str]) -> list[str]:
    if isinstance(bands, str):
        return bands.split()
    if not isinstance(bands, list | tuple) or not all(isinstance(band, str) for band in bands):
        raise TypeError(f"Expected the names of bands as a list or a text, found {bands!r}")
    return list(bands)


def _places(item: Json, names: Sequence[str]) -> list[tuple[str, int]]:
    """Return where each band is: the address of its file, and its index there from 1."""
    known = {
        band["name"]: (asset["href"], index)
        for _, asset in stac.data_assets(item)
        for index, band in enumerate(asset.get("bands", ()), start=1)
    }
    if missing := [name for name in names if name not in known]:
        raise ValueError(f"Image {item['id']!r} has the bands {', '.join(known)}, not {', '.join(missing)}")
    if not names:
        raise ValueError(f"Name at least one of the bands {', '.join(known)}")
    return [known[name] for name in names]


def _grid(cog: Any, resolution: float | None) -> Json:
    """Return the grid to read on: the file's own, or pixels of `resolution` from the same corner."""
    from affine import Affine

    if resolution is None:
        return {"crs": cog.crs, "transform": cog.transform, "width": cog.width, "height": cog.height}
    west, south, east, north = cog.bounds
    return {
        "crs": cog.crs,
        "transform": Affine(resolution, 0, west, 0, -resolution, north),
        "width": max(1, round((east - west) / resolution)),
        "height": max(1, round((north - south) / resolution)),
    }


def _raster_info(item: Json, view: Any, grid: Json) -> Json:
    west, south, east, north = view.bounds
    epsg = view.crs.to_epsg()
    return {
        "id": f"{item['collection']}:{item['id']}",
        "driverShortName": "GTiff",
        "size": [grid["width"], grid["height"]],
        "geoTransform": list(grid["transform"].to_gdal()),
        "coordinateSystem": {
            "wkt": view.crs.to_wkt(),
            "proj4": view.crs.to_proj4(),
            **({"epsg": epsg} if epsg else {}),
        },
        "cornerCoordinates": {
            "upperLeft": [west, north],
            "lowerLeft": [west, south],
            "upperRight": [east, north],
            "lowerRight": [east, south],
            "center": [(west + east) / 2, (south + north) / 2],
        },
        "wgs84Extent": item["geometry"],
        "bands": [
            {"band": index + 1, "type": stac_type, "noDataValue": view.nodata}
            for index, stac_type in enumerate(view.dtypes)
        ],
    }
