"""Arrays of xarray and rioxarray as pixels that know their place; needs neither library."""

from __future__ import annotations

import math
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from stac_ingest.client.uploading.georeference import coordinate_system_of, georeference_of
from stac_ingest.models.bands import Layout
from stac_ingest.models.image import Georeference, Geotransform

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_ROWS = frozenset(("y", "lat", "latitude", "northing", "projection_y_coordinate"))
_COLUMNS = frozenset(("x", "lon", "longitude", "easting", "projection_x_coordinate"))
_NODATA_ATTRIBUTES = ("_FillValue", "missing_value", "fill_value", "nodata")
_UNEVEN = 0.01
"""Coordinates may be off their place by this share of a pixel: many are kept as float32."""


@dataclass(frozen=True, kw_only=True)
class Labelled:
    """Pixels of one labelled array."""

    pixels: NDArray[Any]
    """(y, x) or (band, y, x), north up."""
    nodata: float | None
    """Value of pixels that have none; in floats NaN has none either."""
    nodata_type: np.dtype[Any] | None = None
    """The type of `_FillValue` if that is one of integers: a computation keeps the attribute, whatever it makes."""
    place: Georeference


def is_labelled(value: object) -> bool:
    """Return whether a value is an array or a dataset of xarray."""
    return hasattr(value, "dims") and hasattr(value, "coords")


def is_dataset(value: object) -> bool:
    """Return whether a value is a dataset of xarray, which holds several arrays by name."""
    return is_labelled(value) and hasattr(value, "data_vars")


def labelled_array(array: Any) -> Labelled:
    """Return the pixels of an `xarray.DataArray`, whatever the order of its dimensions.

    The place is that of its coordinates, or else of its `GeoTransform`; the coordinate system is that of its grid
    mapping (`spatial_ref`). Pixels that equal `_FillValue` have no value, nor has NaN.

    Raises:
        ValueError: It has no two dimensions for rows and columns, more than one beside them, or uneven coordinates.
    """
    rows, columns = _dimension(array, _ROWS, "Y"), _dimension(array, _COLUMNS, "X")
    if rows is None or columns is None:
        raise ValueError(
            "Expected dimensions for rows and columns, called y and x, or latitude and longitude,"
            f" found {tuple(array.dims)}; rename them, as with array.rename({{'row': 'y', 'col': 'x'}})"
        )
    others = [name for name in array.dims if name not in (rows, columns)]
    bands = [name for name in others if array.sizes[name] != 1] or others[-1:]
    if len(bands) > 1:
        raise ValueError(
            f"Expected at most one dimension beside {rows} and {columns}, found {tuple(bands)};"
            " select from the others, as with array.isel(time=0), and upload one image for each"
        )
    whole = array.isel({name: 0 for name in others if name not in bands})
    pixels = whole.transpose(*bands, rows, columns).values
    stated = _stated_place(array)
    ys, xs = _coordinates(array, rows), _coordinates(array, columns)
    if ys is not None and len(ys) > 1 and ys[0] < ys[-1]:
        pixels, ys = pixels[..., ::-1, :], ys[::-1]
    if xs is not None and len(xs) > 1 and xs[0] > xs[-1]:
        pixels, xs = pixels[..., ::-1], xs[::-1]
    geotrans = _grid(xs, ys, stated.geotrans)
    return Labelled(
        pixels=pixels,
        nodata=_nodata_of(array),
        nodata_type=_nodata_type_of(array),
        place=stated.evolve(geotrans=geotrans),
    )


def labelled_files(dataset: Any, layout: Layout) -> list[list[Labelled]]:
    """Return the bands of each file of an image from an `xarray.Dataset`.

    Its variables are taken by the names of the product's bands; where none is called like a band, each variable is a
    file, in their order.

    Raises:
        ValueError: A band or a variable is left over, or as `labelled_array`.
    """
    # `to_dataset` leaves `_FillValue` and `grid_mapping` with the dataset.
    arrays = {name: array.assign_attrs(dataset.attrs | array.attrs) for name, array in dataset.data_vars.items()}
    variables = [name for name, array in arrays.items() if array.ndim >= 2]
    bands = [band.name for file in layout.files for band in file.bands]
    if not set(variables) & set(bands) and len(variables) == len(layout.files):
        return [[labelled_array(arrays[name])] for name in variables]
    if sorted(variables) != sorted(bands):
        raise ValueError(
            f"Expected a variable for each band of the product ({', '.join(bands)}), found"
            f" {', '.join(map(str, variables)) or 'none'}; rename or select them, as with dataset[['blue', 'red']]"
        )
    return [[labelled_array(arrays[band.name]) for band in file.bands] for file in layout.files]


def _dimension(array: Any, names: frozenset[str], axis: str) -> Any:
    for name in array.dims:
        attributes = array.coords[name].attrs if name in array.coords else {}
        if str(name).lower() in names or attributes.get("axis") == axis or attributes.get("standard_name") in names:
            return name
    return None


def _coordinates(array: Any, name: Any) -> NDArray[Any] | None:
    found = array.coords[name].values if name in array.coords else None
    return found.astype("float64") if found is not None and found.ndim == 1 and found.dtype.kind in "iuf" else None


def _stated_place(array: Any) -> Georeference:
    """Return what the grid mapping and the attributes say; what they do not say is unset."""
    attributes = array.attrs
    name = array.encoding.get("grid_mapping") or attributes.get("grid_mapping") or "spatial_ref"
    mapping = array.coords[name].attrs if name in array.coords else {}
    crs = mapping.get("crs_wkt") or mapping.get("spatial_ref") or attributes.get("crs")
    place = {"geoTransform": mapping.get("GeoTransform"), "transform": attributes.get("transform")}
    return georeference_of(place).evolve(**(coordinate_system_of(crs) if crs else {}))


def _grid(xs: NDArray[Any] | None, ys: NDArray[Any] | None, stated: Geotransform | None) -> Geotransform | None:
    """Return the geotransform of coordinates that stand for the centres of pixels.

    They win over the one that is stated, which slicing leaves as it was; it helps where there is a single row or
    column, and where it says the same more exactly.
    """
    if xs is None or ys is None or (stated and (stated[2] or stated[4])):
        return stated
    dx = _step(xs, "x", stated[1] if stated else None)
    dy = _step(ys, "y", stated[5] if stated else None)
    if dx is None or dy is None:
        return None
    found = (float(xs[0]) - dx / 2, dx, 0.0, float(ys[0]) + dy / 2, 0.0, -dy)
    return stated if stated and _alike(found, stated, dx, dy) else found


def _step(centres: NDArray[Any], axis: str, stated: float | None) -> float | None:
    """Return the distance of neighbours, above 0."""
    import numpy as np

    if len(centres) == 1:
        return abs(stated) if stated else None
    step = float(centres[-1] - centres[0]) / (len(centres) - 1)
    even = np.linspace(centres[0], centres[-1], len(centres))
    if not math.isfinite(step) or step == 0 or np.abs(centres - even).max() > _UNEVEN * abs(step):
        raise ValueError(f"Expected evenly spaced {axis} coordinates, found {centres[:4]} …; resample to a grid first")
    return abs(step)


def _alike(found: Geotransform, stated: Geotransform, dx: float, dy: float) -> bool:
    tolerances = (dx, dx, 0.0, dy, 0.0, dy)
    return all(
        abs(one - other) <= tolerance * 1e-6 for one, other, tolerance in zip(found, stated, tolerances, strict=True)
    )


def _nodata_of(array: Any) -> float | None:
    with suppress(AttributeError, OverflowError, ValueError):  # no rioxarray, or nodata that the type does not hold
        if array.rio.nodata is not None:
            return _number(array.rio.nodata)  # knows of rio.set_nodata too
    # In floats NaN has taken the place of what `encoding` says.
    stated = array.attrs if array.dtype.kind == "f" else array.encoding | array.attrs
    found = next((stated[name] for name in _NODATA_ATTRIBUTES if stated.get(name) is not None), None)
    return None if found is None else _number(found)


def _number(value: Any) -> float:
    """Return a number of NumPy as one of Python: a large integer exactly."""
    return value.item() if hasattr(value, "item") else float(value)


def _nodata_type_of(array: Any) -> np.dtype[Any] | None:
    dtype = getattr(array.attrs.get("_FillValue"), "dtype", None)
    return dtype if dtype is not None and dtype.kind in "iu" else None
