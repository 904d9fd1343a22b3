"""Pixels in memory: values on a grid, where they are valid, and the forms in which they are given out."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import TYPE_CHECKING, Any

from stac_ingest.client.reading.geocontext import Grid
from stac_ingest.client.reading.scaling import Plan, cast_to, common_type, scaled
from stac_ingest.errors import StacIngestError
from stac_ingest.models.enums import DataType

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Mask = NDArray[np.bool_]

Json = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Pixels:
    """Values of several bands on one grid. The arrays belong to it, and are changed by `over` and `cut`.

    Attributes:
        names: The bands.
        values: (band, y, x); of a stack (image, band, y, x).
        valid: Where a value is one, of the same shape; False outside the image, at nodata, under its mask, and at NaN.
        opaque: Where the alpha band is not 0, (y, x); of a stack (image, 1, y, x); None if it was not asked.
        nodata: Value of what is not valid, for each band; None where there is none.
        types: What each band was stored as, or made by its processing level.
        grid: Where the pixels lie.
    """

    names: tuple[str, ...]
    values: NDArray[Any]
    valid: Mask
    opaque: Mask | None
    nodata: tuple[float | None, ...]
    types: tuple[DataType, ...]
    grid: Grid

    @property
    def data_type(self) -> DataType:
        """Type of the values."""
        return DataType.from_numpy(self.values.dtype.name)

    @property
    def common_nodata(self) -> float | None:
        """Nodata value of all the bands, if it is one and the values can hold it."""
        first = self.nodata[0]
        agreed = first is not None and all(other == first or _both_nan(other, first) for other in self.nodata)
        return first if agreed and fits(first, self.values.dtype) else None

    def has(self, value: float) -> bool:
        """Return whether a valid pixel has this value."""
        import numpy as np

        same = np.isnan(self.values) if math.isnan(value) else self.values == value
        return bool(np.any(same & self.valid))

    def mask(self, *, mask_nodata: bool) -> Mask | None:
        """Return what is masked: all that is not valid, or just what is transparent; None if nothing can be."""
        import numpy as np

        if mask_nodata:
            return ~self.valid
        return None if self.opaque is None else np.broadcast_to(~self.opaque, self.values.shape).copy()

    # --- Changes

    def over(self, below: Pixels) -> Pixels:
        """Return these pixels on top of others on the same grid, which show where these are not valid."""
        import numpy as np

        data_type = common_type((self.data_type, below.data_type))
        values = cast_to(below.values, data_type)
        np.copyto(values, self.values, where=self.valid)
        return Pixels(
            names=self.names,
            values=values,
            valid=self.valid | below.valid,
            opaque=None if self.opaque is None or below.opaque is None else self.opaque | below.opaque,
            nodata=_agreed(self.nodata, below.nodata),
            types=tuple(map(common_type, zip(self.types, below.types, strict=True))),
            grid=self.grid,
        )

    def cut(self, outside: Mask | None) -> Pixels:
        """Return the pixels with those that lie outside (y, x) taken away."""
        if outside is None:
            return self
        self.valid[:, outside] = False
        for plane, nodata in zip(self.values, self.nodata, strict=True):
            plane[outside] = nodata if fits(nodata, plane.dtype) else 0
        return replace(self, opaque=None if self.opaque is None else self.opaque & ~outside)

    @classmethod
    def stacked(cls, layers: Iterable[Pixels], count: int) -> Pixels:
        """Return `count` layers of the same bands on the same grid as one stack, each freed when it has been copied."""
        import numpy as np

        layers = iter(layers)
        first = next(layers)
        shape = (count, *first.values.shape)
        stack = replace(
            first,
            values=np.empty(shape, first.values.dtype),
            valid=np.empty(shape, bool),
            opaque=None if first.opaque is None else np.empty((count, 1, *first.opaque.shape), bool),
        )
        for position, layer in enumerate(chain([first], layers)):
            stack = replace(
                stack,
                values=cast_to(stack.values, common_type((stack.data_type, layer.data_type))),
                nodata=_agreed(stack.nodata, layer.nodata),
            )
            stack.values[position], stack.valid[position] = layer.values, layer.valid
            if stack.opaque is not None and layer.opaque is not None:
                stack.opaque[position, 0] = layer.opaque
        return stack

    def scaled(self, plan: Plan) -> Pixels:
        """Return the pixels scaled; what is not valid is 0 then, if its value was scaled."""
        import numpy as np

        values = np.empty(self.values.shape, plan.data_type.numpy)
        for plane, stored, valid, scale in zip(values, self.values, self.valid, plan.scales, strict=True):
            plane[:] = scaled(stored, valid, scale, plan.data_type)
            if scale is not None:
                plane[~valid] = 0
        kept = (
            nodata if scale is None and fits(nodata, values.dtype) else None
            for nodata, scale in zip(self.nodata, plan.scales, strict=True)
        )
        return replace(self, values=values, nodata=tuple(kept))

    # --- Forms

    def form(self, name: str, *, mask_nodata: bool, xarray: bool, along: Json | None = None) -> Any:
        """Return `data_array` or `array`."""
        if xarray:
            return self.data_array(mask_nodata=mask_nodata, name=name, along=along)
        return self.array(mask_nodata=mask_nodata)

    def array(self, *, mask_nodata: bool) -> NDArray[Any]:
        """Return the values (band, y, x), masked where there is something to mask."""
        import numpy as np

        mask = self.mask(mask_nodata=mask_nodata)
        if mask is None:
            return self.values
        return np.ma.MaskedArray(self.values, mask, fill_value=self.common_nodata)

    def data_array(self, *, mask_nodata: bool, name: str, along: Json | None = None) -> Any:
        """Return the values as `xarray.DataArray` (band, y, x), placed as rioxarray expects it.

        Args:
            mask_nodata: Whether all that is not valid is masked.
            name: Name of the array.
            along: Coordinates of the axis `image` that a stack has before the others.

        Masked pixels are NaN. Integers become floats if any are masked: float32 if they have up to 16 bits, else
        float64, where numbers beyond 2**53 lose digits. As in rioxarray, `encoding` has then the `dtype` that they had,
        and as `_FillValue` what is written there for NaN: nodata if all bands have the same, else a value that no valid
        pixel has; it is empty if they have all. What is not masked has nodata as attribute `_FillValue`.

        Raises:
            StacIngestError: xarray is not installed.
        """
        try:
            import xarray
        except ImportError as error:
            raise StacIngestError("xarray=True needs xarray: pip install 'stac-ingest[xarray]'.") from error
        values, attributes, encoding = self._with_nan(self.mask(mask_nodata=mask_nodata))
        coordinates: Json = {**(along or {}), "band": list(self.names), "spatial_ref": ((), 0, _spatial_ref(self.grid))}
        if self.grid.is_north_up:
            t = self.grid.transform
            coordinates["x"] = ("x", [t.c + t.a * (column + 0.5) for column in range(self.grid.width)])
            coordinates["y"] = ("y", [t.f + t.e * (row + 0.5) for row in range(self.grid.height)])
        array = xarray.DataArray(
            values,
            dims=(*(["image"] if along else []), "band", "y", "x"),
            coords=coordinates,
            name=name,
            attrs={"grid_mapping": "spatial_ref", **attributes},
        )
        array.encoding = encoding
        return array

    def _with_nan(self, mask: Mask | None) -> tuple[NDArray[Any], Json, Json]:
        """Return the values with NaN where they are masked, and the attributes and the encoding that say so."""
        values, nodata = self.values, self.common_nodata
        if mask is not None and values.dtype.kind == "f":
            values[mask] = math.nan
            return values, _fill(math.nan, values.dtype), {}
        if mask is None or not mask.any():
            return values, _fill(nodata, values.dtype), {}
        if nodata is None or bool((values[~mask] == nodata).any()):
            nodata = _unused(values[~mask])
        floats = values.astype("float32" if values.dtype.itemsize <= 2 else "float64")
        floats[mask] = math.nan
        if nodata is None:
            return floats, _fill(math.nan, floats.dtype), {}
        return floats, {}, {"dtype": values.dtype.name, **_fill(nodata, values.dtype)}

    def info(self, id: str) -> Json:  # noqa: A002 - the name of the key
        """Return where the pixels lie and what they are, with the keys of `gdalinfo -json`."""
        crs, corners = self.grid.crs, [list(corner) for corner in self.grid.corners]
        epsg = crs.to_epsg()
        return {
            "id": id,
            "driverShortName": "GTiff",
            "driverLongName": "GeoTIFF",
            "size": [self.grid.width, self.grid.height],
            "geoTransform": list(self.grid.transform.to_gdal()),
            "coordinateSystem": {
                "wkt": crs.to_wkt(),
                "proj4": crs.to_proj4(),
                **({"epsg": epsg} if epsg else {}),
            },
            "cornerCoordinates": {
                **dict(zip(("upperLeft", "upperRight", "lowerRight", "lowerLeft"), corners, strict=True)),
                "center": list(self.grid.transform @ (self.grid.width / 2, self.grid.height / 2)),
            },
            "wgs84Extent": self.grid.footprint,
            "bands": [
                {
                    "band": number,
                    "type": self.data_type.value,
                    "description": {"name": name},
                    **({} if nodata is None else {"noDataValue": nodata}),
                }
                for number, (name, nodata) in enumerate(zip(self.names, self.nodata, strict=True), start=1)
            ],
        }


def require_axis(bands_axis: int, axes: int) -> None:
    """Raise ValueError unless an array of so many axes has this one."""
    if not isinstance(bands_axis, int) or not -axes <= bands_axis < axes:
        raise ValueError(
            f"Invalid bands_axis; axis {bands_axis} would not exist in a {axes}D array; expected {-axes} to {axes - 1}"
        )


def with_bands_at(array: Any, bands_axis: int) -> Any:
    """Return an array (band, y, x), or (image, band, y, x), with the axis of the bands elsewhere."""
    import numpy as np

    now, then = array.ndim - 3, bands_axis % array.ndim
    if now == then:
        return array
    if hasattr(array, "dims"):
        return array.transpose(*_moved(array.dims, now, then))
    return np.moveaxis(array, now, then)


def _moved(names: Sequence[Any], now: int, then: int) -> list[Any]:
    others = [name for position, name in enumerate(names) if position != now]
    return [*others[:then], names[now], *others[then:]]


def fits(value: float | None, dtype: np.dtype[Any]) -> bool:
    """Return whether an array of this type can hold a value exactly."""
    import numpy as np

    if value is None:
        return False
    if dtype.kind == "f":
        with np.errstate(over="ignore"):
            return math.isnan(value) or float(dtype.type(value)) == value or dtype.itemsize >= 4 or math.isinf(value)
    limits = np.iinfo(dtype)
    return math.isfinite(value) and float(value).is_integer() and limits.min <= value <= limits.max


def _agreed(some: Sequence[float | None], others: Sequence[float | None]) -> tuple[float | None, ...]:
    """Return what two layers agree on for each band, and None where they do not."""
    pairs = zip(some, others, strict=True)
    return tuple(one if one == other or _both_nan(one, other) else None for one, other in pairs)


def _both_nan(one: float | None, other: float | None) -> bool:
    return one is not None and other is not None and math.isnan(one) and math.isnan(other)


def _fill(value: float | None, dtype: np.dtype[Any]) -> Json:
    return {} if value is None else {"_FillValue": dtype.type(value)}


def _unused(values: NDArray[Any]) -> float | None:
    """Return a value of the array's integer type that the array has not; None if it has all."""
    import numpy as np

    limits = np.iinfo(values.dtype)
    present = np.unique(values)
    for candidate in (0, limits.max, limits.min):
        if candidate not in present:
            return int(candidate)
    gaps = np.flatnonzero(np.diff(present) > 1)
    return int(present[gaps[0]]) + 1 if gaps.size else None


def _spatial_ref(grid: Grid) -> Json:
    wkt = grid.crs.to_wkt()
    return {
        "crs_wkt": wkt,
        "spatial_ref": wkt,
        "GeoTransform": " ".join(repr(float(number)) for number in grid.transform.to_gdal()),
    }
