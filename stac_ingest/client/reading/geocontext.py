"""Where pixels are read: a place, a coordinate system, and how large a pixel is."""

from __future__ import annotations

import dataclasses
import math
import warnings
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from numbers import Real
from typing import TYPE_CHECKING, Any

from pydantic import ConfigDict, TypeAdapter, ValidationError

from stac_ingest.errors import AttributeValidationError, StacIngestError
from stac_ingest.models.image import Geometry
from stac_ingest.models.values import describe
from stac_ingest.stac import bbox_of

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Json = dict[str, Any]
Bounds = tuple[float, float, float, float]
Ring = list[tuple[float, float]]

WGS84 = "EPSG:4326"
_WGS84_NAMES = frozenset((WGS84, "OGC:CRS84"))
_GEOMETRY: TypeAdapter[Json] = TypeAdapter(Geometry, config=ConfigDict(defer_build=True))
_EDGE_POINTS = 21
"""Points along each edge of a rectangle when it is brought into another coordinate system."""
_SNAP = 1e-6
"""Share of a pixel by which bounds may miss the edge of one and still mean it."""


@dataclass(frozen=True)
class Grid:
    """Where each pixel of an array lies.

    Attributes:
        crs: Coordinate system, a `rasterio.crs.CRS`.
        transform: From (column, row) to (x, y), an `affine.Affine`.
        width: Columns.
        height: Rows.
    """

    crs: Any
    transform: Any
    width: int
    height: int

    @classmethod
    def over(cls, crs: Any, bounds: Bounds, shape: tuple[int, int]) -> Grid:
        """Return the grid of `shape` (rows, columns) that fills `bounds`, north up."""
        from affine import Affine

        west, south, east, north = bounds
        rows, columns = shape
        transform = Affine((east - west) / columns, 0, west, 0, (south - north) / rows, north)
        return cls(crs, transform, columns, rows)

    @classmethod
    def around(cls, grids: Sequence[Grid]) -> Grid:
        """Return one grid that all pixels of several lie in, with the finest pixels of the commonest coordinate system.

        Grids with the same coordinate system and pixels that lie one on the other keep their pixels.
        """
        first = grids[0]
        if all(grid == first for grid in grids):
            return first
        systems = [grid.crs.to_wkt() for grid in grids]
        commonest = max(systems, key=systems.count)
        finest = min(
            (grid for grid, system in zip(grids, systems, strict=True) if system == commonest),
            key=lambda grid: math.prod(grid.pixel),
        )
        boxes = [_bounds_between(grid.crs, finest.crs, grid.bounds) for grid in grids]
        wests, souths, easts, norths = zip(*boxes, strict=True)
        if not finest.is_north_up:
            finest = cls.over(finest.crs, (0, -min(finest.pixel), min(finest.pixel), 0), (1, 1))
        return finest.snapped((min(wests), min(souths), max(easts), max(norths)))

    def snapped(self, bounds: Bounds) -> Grid:
        """Return these pixels, and others that continue them, as far as they cover `bounds`."""
        west, south, east, north = bounds
        inverse = ~self.transform
        left, top = inverse @ (west, north)
        right, bottom = inverse @ (east, south)
        column, row = math.floor(left + _SNAP), math.floor(top + _SNAP)
        columns, rows = max(1, math.ceil(right - _SNAP) - column), max(1, math.ceil(bottom - _SNAP) - row)
        return Grid(self.crs, self.transform @ self.transform.translation(column, row), columns, rows)

    @property
    def corners(self) -> Ring:
        """(x, y) of the upper left, upper right, lower right and lower left corner."""
        places = ((0, 0), (self.width, 0), (self.width, self.height), (0, self.height))
        return [self.transform @ place for place in places]

    @property
    def bounds(self) -> Bounds:
        """(min x, min y, max x, max y) of the rectangle around all pixels."""
        xs, ys = zip(*self.corners, strict=True)
        return min(xs), min(ys), max(xs), max(ys)

    @property
    def pixel(self) -> tuple[float, float]:
        """Lengths of a pixel's sides along columns and rows, in the units of the coordinate system."""
        return math.hypot(self.transform.a, self.transform.d), math.hypot(self.transform.b, self.transform.e)

    @property
    def is_north_up(self) -> bool:
        """Whether columns run east and rows run south."""
        t = self.transform
        return bool(t.b == 0 and t.d == 0 and t.a > 0 and t.e < 0)

    def touches(self, other: Grid) -> bool:
        """Return whether the rectangles around two grids have a point in common; True where that cannot be said."""
        if self.crs == other.crs and not self.crs.is_geographic:
            return _overlap(self.bounds, other.bounds)
        try:
            return any(_overlap(one, another) for one in _boxes(self.footprint) for another in _boxes(other.footprint))
        except ValueError:
            return True

    @property
    def footprint(self) -> Json:
        """GeoJSON of the pixels' outline in WGS 84, split at the antimeridian."""
        if self.crs == crs_of(WGS84):
            return _split_at_antimeridian(self.corners)
        edge = [i / _EDGE_POINTS for i in range(_EDGE_POINTS)]
        unit = [
            *((t, 0) for t in edge),
            *((1, t) for t in edge),
            *((1 - t, 1) for t in edge),
            *((0, 1 - t) for t in edge),
        ]
        ring = [self.transform @ (x * self.width, y * self.height) for x, y in unit]
        return _split_at_antimeridian(_in_wgs84(self.crs, ring))


@dataclass(frozen=True, kw_only=True)
class GeoContext:
    """Where and how large pixels are read; whatever is unset is taken from the image.

        >>> field = GeoContext(geometry=polygon, crs="EPSG:32633", resolution=10)
        >>> image.ndarray("red", field)

    Attributes:
        bounds: (min x, min y, max x, max y) in `bounds_crs`; min x > max x crosses the antimeridian. Unset: those of
            the geometry, else of the image.
        crs: Coordinate system of the pixels as EPSG code, WKT or PROJ text.
        bounds_crs: Coordinate system of the bounds.
        resolution: Side of a pixel in the units of `crs`.
        shape: (rows, columns), instead of a resolution; pixels need not be square then.
        align_pixels: Whether the corners of pixels are whole multiples of their size, so that the pixels of different
            images lie one on the other. Unset: yes if a resolution is given.
        geometry: GeoJSON, or what has a `__geo_interface__`, in WGS 84; pixels outside are masked.
        all_touched: Whether pixels that the geometry only touches are inside; else those whose centre is.

    Raises:
        AttributeValidationError: A value cannot be, or values contradict each other.
    """

    bounds: Bounds | None = None
    crs: str | None = None
    bounds_crs: str = WGS84
    resolution: float | None = None
    shape: tuple[int, int] | None = None
    align_pixels: bool | None = None
    geometry: Any = None
    all_touched: bool = False

    def __post_init__(self) -> None:
        for name in ("crs", "bounds_crs"):
            self._set(name, _crs_text(getattr(self, name)))
        if self.bounds_crs is None:
            self._set("bounds_crs", WGS84)
        if self.geometry is not None:
            self._set("geometry", plain_geometry(self.geometry))
        if self.bounds is not None:
            self._set("bounds", _checked_bounds(self.bounds, self.bounds_crs))
        if self.resolution is not None and not (_is_number(self.resolution) and self.resolution > 0):
            raise AttributeValidationError(
                "Expected a resolution greater than 0, as a number in the units of the coordinate system,"
                f" found {self.resolution!r}"
            )
        if self.shape is not None:
            self._set("shape", _checked_shape(self.shape))
        if self.resolution is not None and self.shape is not None:
            raise AttributeValidationError(
                f"Cannot set both resolution ({self.resolution}) and shape {self.shape}; give one of them."
            )

    def _set(self, name: str, value: object) -> None:
        object.__setattr__(self, name, value)

    @classmethod
    def of(cls, place: Any) -> GeoContext:
        """Return a context as it is; a geometry, or what has one, as the context of it."""
        return place if isinstance(place, GeoContext) else cls(geometry=place)

    @classmethod
    def of_image(
        cls,
        *,
        crs: str | None,
        geotrans: Sequence[float] | None,
        shape: tuple[int, int] | None,
        geometry: Json | None,
    ) -> GeoContext:
        """Return the context of an image's own pixels.

        Args:
            crs: Its coordinate system.
            geotrans: Its geotransform, in GDAL's order.
            shape: (rows, columns), if that is known.
            geometry: Its outline in WGS 84, for an image whose size is not known.

        Raises:
            ValueError: The size is not known, and the pixels are not square.
        """
        if geotrans is None or crs is None:
            return cls(geometry=geometry, crs=crs, align_pixels=False)
        x, dx, rx, y, ry, dy = geotrans
        side = math.hypot(dx, ry)
        if shape is None:
            if not math.isclose(side, math.hypot(rx, dy)):
                raise ValueError(
                    "Pixels of an image whose size (x_pixels, y_pixels) is not known must be square,"
                    f" found {side:g} by {math.hypot(rx, dy):g}"
                )
            return cls(bounds=_box(geometry) if geometry else None, crs=crs, resolution=side, align_pixels=False)
        rows, columns = shape
        corners = [(x + i * dx + j * rx, y + i * ry + j * dy) for i in (0, columns) for j in (0, rows)]
        xs, ys = zip(*corners, strict=True)
        bounds = (min(xs), min(ys), max(xs), max(ys))
        if rx or ry:
            warnings.warn(
                "The GeoContext will *not* return this Image's original data, since it is rotated against its"
                " coordinate system; read it without a geocontext to get the original.",
                stacklevel=3,
            )
            return cls(bounds=bounds, bounds_crs=crs, crs=crs, resolution=side, align_pixels=False)
        return cls(bounds=bounds, bounds_crs=crs, crs=crs, shape=shape, align_pixels=False)

    def evolve(self, **changes: Any) -> GeoContext:
        """Return this context with some attributes changed; a new resolution replaces a shape, and the reverse."""
        if changes.get("resolution") is not None:
            changes.setdefault("shape", None)
        elif changes.get("shape") is not None:
            changes.setdefault("resolution", None)
        return dataclasses.replace(self, **changes)

    @property
    def __geo_interface__(self) -> Json:
        """The geometry, or the outline of the bounds, as GeoJSON in WGS 84.

        Raises:
            ValueError: The context has neither.
        """
        if self.geometry is not None:
            geometry: Json = self.geometry
            return geometry
        if self.bounds is None:
            raise ValueError("This GeoContext has neither a geometry nor bounds; give one of them.")
        if self.bounds_crs in _WGS84_NAMES:
            west, south, east, north = _eastward(self.bounds)
            return _split_at_antimeridian([(west, north), (east, north), (east, south), (west, south)])
        return Grid.over(crs_of(self.bounds_crs), self.bounds, (1, 1)).footprint

    @property
    def grid(self) -> Grid:
        """The pixels that this context asks for.

        Raises:
            ValueError: The context leaves something to the image; says what.
        """
        lacking = [
            what
            for what, given in (
                ("crs", self.crs),
                ("bounds or geometry", self.bounds or self.geometry),
                ("resolution or shape", self.resolution or self.shape),
            )
            if not given
        ]
        if lacking:
            raise ValueError(f"This GeoContext does not say where its pixels lie: it has no {', no '.join(lacking)}.")
        crs = crs_of(self.crs)
        return self._sized(crs, self._bounds_in(crs))

    @property
    def transform(self) -> Any:
        """From (column, row) to (x, y), an `affine.Affine`; raises as `grid`."""
        return self.grid.transform

    def on(self, native: Grid) -> Grid:
        """Return the pixels that this context asks for, where those of an image are `native`.

        What neither crs, resolution nor shape changes keeps the image's own pixels, so that they are read unchanged.

        Raises:
            ValueError: The context asks for no pixel, or a coordinate system is unknown.
        """
        crs = crs_of(self.crs) if self.crs else native.crs
        sized = self.resolution is not None or self.shape is not None
        placed = self.bounds is not None or self.geometry is not None
        if crs == native.crs and not sized and not placed:
            return native
        bounds = self._bounds_in(crs) if placed else _bounds_between(native.crs, crs, native.bounds)
        if sized:
            return self._sized(crs, bounds)
        if crs == native.crs and native.is_north_up:
            return native.snapped(bounds)
        side = min(native.pixel) if crs == native.crs else _default_resolution(native, crs)
        return self._placed(crs, bounds, (side, side))

    def _sized(self, crs: Any, bounds: Bounds) -> Grid:
        """Return the grid that covers `bounds` with pixels as `resolution` or `shape` say."""
        west, south, east, north = bounds
        rows, columns = self.shape or (1, 1)
        side = self.resolution
        return self._placed(crs, bounds, (side, side) if side else ((east - west) / columns, (north - south) / rows))

    def _placed(self, crs: Any, bounds: Bounds, pixel: tuple[float, float]) -> Grid:
        """Return the grid of pixels of one size that covers `bounds`."""
        west, south, east, north = bounds
        width, height = pixel
        small = [what for what, extent, side in (("wide", east - west, width), ("high", north - south, height))
                 if extent < side * (1 - _SNAP)]  # fmt: skip
        if small and not self.all_touched:
            raise ValueError(
                f"The place is less than one pixel {' and '.join(small)}: it measures {east - west:g} by"
                f" {north - south:g}, a pixel {width:g} by {height:g}, in the units of the coordinate system"
                f" {crs.to_string()[:60]}. Give a smaller resolution, or all_touched=True."
            )
        if self.align_pixels or (self.align_pixels is None and self.resolution is not None):
            west, east = math.floor(west / width + _SNAP) * width, math.ceil(east / width - _SNAP) * width
            south, north = math.floor(south / height + _SNAP) * height, math.ceil(north / height - _SNAP) * height
        columns, rows = max(1, round((east - west) / width)), max(1, round((north - south) / height))
        return Grid.over(crs, (west, north - rows * height, west + columns * width, north), (rows, columns))

    def _bounds_in(self, crs: Any) -> Bounds:
        if self.bounds is not None:
            return _bounds_between(crs_of(self.bounds_crs), crs, self.bounds)
        return _bounds_between(crs_of(WGS84), crs, _box(self.geometry))

    def outside(self, grid: Grid) -> NDArray[np.bool_] | None:
        """Return which pixels (y, x) of a grid lie outside the geometry; None without one."""
        if self.geometry is None:
            return None
        from rasterio.features import geometry_mask
        from rasterio.warp import transform_geom

        geometry = transform_geom(WGS84, grid.crs, self.geometry)
        turns = (0, 360, -360) if grid.crs.is_geographic else (0,)
        outside: NDArray[np.bool_] = geometry_mask(
            [_turned(geometry, turn) for turn in turns],
            out_shape=(grid.height, grid.width),
            transform=grid.transform,
            all_touched=self.all_touched,
        )
        return outside


def adjusted(place: Any, crs: str | None, resolution: float | None, all_touched: bool | None) -> GeoContext:
    """Return a context, or that of a geometry, with what is given of the rest; None is the image's own place.

    A resolution without a place begins its pixels at the image's corner, not at multiples of it.
    """
    changes = {"crs": crs, "resolution": resolution, "all_touched": all_touched}
    context = GeoContext(align_pixels=False) if place is None else GeoContext.of(place)
    return context.evolve(**{name: value for name, value in changes.items() if value is not None})


def covered_share(place: Any, geometry: Json) -> float:
    """Return which share of a place's area, length or number of points a geometry covers; both are in WGS 84.

    Raises:
        StacIngestError: shapely is not installed.
    """
    try:
        import shapely
    except ImportError as error:
        raise StacIngestError("Coverage needs shapely: pip install 'stac-ingest[raster]'.") from error

    def shape_of(thing: Any) -> Any:
        return shapely.union_all(shapely.make_valid(shapely.geometry.shape(plain_geometry(thing)), method="structure"))

    whole = shape_of(place)
    part = whole.intersection(shape_of(geometry))
    for measure in (shapely.area, shapely.length, shapely.get_num_geometries):
        if size := measure(whole):
            return float(measure(part) / size) if not part.is_empty else 0.0
    return 0.0


def plain_geometry(value: Any, name: str = "geometry") -> Json:
    """Return a geometry as GeoJSON; raises AttributeValidationError for what is none, and calls it `name` there."""
    try:
        return _GEOMETRY.validate_python(value)
    except ValidationError as error:
        reason = describe(error).removeprefix("value: ")
        if error.errors()[0]["type"] == "dict_type":
            reason = (
                f"expected GeoJSON, or what has a __geo_interface__, found {value!r:.100}; a rectangle is"
                " GeoContext(bounds=(min x, min y, max x, max y))"
            )
        raise AttributeValidationError(f"{name}: {reason}") from error


def crs_of(crs: Any) -> Any:
    """Return a `rasterio.crs.CRS` from an EPSG code, WKT or PROJ text.

    Raises:
        ValueError: It is none that is known.
        StacIngestError: rasterio is not installed.
    """
    rasterio = require_rasterio()
    from rasterio.crs import CRS
    from rasterio.errors import CRSError

    with rasterio.Env():
        try:
            return CRS.from_user_input(crs)
        except CRSError as error:
            raise ValueError(
                f"Expected a coordinate system as EPSG code, WKT or PROJ text, found {str(crs)[:100]!r}: {error}"
            ) from error


def require_rasterio() -> Any:
    """Return the module `rasterio`; raises StacIngestError when it is not installed."""
    try:
        import rasterio
    except ImportError as error:
        raise StacIngestError("Reading pixels needs rasterio: pip install 'stac-ingest[raster]'.") from error
    return rasterio


# --- Checks ---------------------------------------------------------------------------------------------------------


def _crs_text(crs: Any) -> str | None:
    """Return a coordinate system as text; a number is an EPSG code, and rasterio's and pyproj's objects are taken."""
    if crs is None or isinstance(crs, str):
        return crs
    if isinstance(crs, int) and not isinstance(crs, bool):
        return f"EPSG:{crs}"
    if hasattr(crs, "to_string"):
        return str(crs.to_string())
    raise AttributeValidationError(f"Expected a coordinate system as EPSG code, WKT or PROJ text, found {crs!r:.100}")


def _checked_bounds(bounds: Any, crs: str) -> Bounds:
    bounds = bounds.tolist() if hasattr(bounds, "tolist") else bounds
    if not isinstance(bounds, Sequence) or len(bounds) != 4 or not all(map(_is_number, bounds)):
        raise AttributeValidationError(f"Expected bounds as (min x, min y, max x, max y), found {bounds!r:.100}")
    west, south, east, north = map(float, bounds)
    in_degrees = crs in _WGS84_NAMES
    if south >= north or west == east or (west > east and not in_degrees):
        raise AttributeValidationError(
            f"Expected bounds as (min x, min y, max x, max y) with min < max, found {(west, south, east, north)}"
        )
    if in_degrees and (max(abs(south), abs(north)) > 91 or max(abs(west), abs(east)) > 361):
        raise AttributeValidationError(
            "Bounds must be in lat-lon coordinates, but the given bounds are outside [-90, 90] for y or [-180, 180] for"
            f" x: {(west, south, east, north)}. Say which coordinate system they are in by bounds_crs."
        )
    return west, south, east, north


def _checked_shape(shape: Any) -> tuple[int, int]:
    if (
        not isinstance(shape, Sequence)
        or len(shape) != 2
        or not all(isinstance(side, int) and not isinstance(side, bool) and side > 0 for side in shape)
    ):
        raise AttributeValidationError(f"Expected the shape as (rows, columns) of at least 1 pixel, found {shape!r}")
    return shape[0], shape[1]


def _is_number(value: object) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool) and math.isfinite(value)


# --- Bounds in coordinate systems -----------------------------------------------------------------------------------


def _box(geometry: Json) -> Bounds:
    west, south, east, north = bbox_of(geometry)
    return west, south, east, north


def _boxes(geometry: Json) -> list[Bounds]:
    """Return the box around each polygon."""
    polygons = geometry["coordinates"] if geometry["type"] == "MultiPolygon" else [geometry["coordinates"]]
    return [_box({"type": "Polygon", "coordinates": polygon}) for polygon in polygons]


def _overlap(one: Bounds, other: Bounds) -> bool:
    return one[0] <= other[2] and other[0] <= one[2] and one[1] <= other[3] and other[1] <= one[3]


def _eastward(bounds: Bounds) -> Bounds:
    """Return bounds in degrees with min x < max x; those that cross the antimeridian end beyond 180."""
    west, south, east, north = bounds
    return west, south, east + 360 if west > east else east, north


def _bounds_between(source: Any, target: Any, bounds: Bounds) -> Bounds:
    from rasterio.warp import transform_bounds

    if source == target:
        return _eastward(bounds)
    found: Bounds = tuple(transform_bounds(source, target, *bounds, densify_pts=_EDGE_POINTS))
    if not all(map(math.isfinite, found)):
        raise ValueError(f"The bounds {bounds} have no place in the coordinate system {target.to_string()[:100]}")
    return _eastward(found) if target.is_geographic else found


def _default_resolution(native: Grid, crs: Any) -> float:
    from rasterio.warp import calculate_default_transform

    west, south, east, north = bounds = native.bounds
    side = min(native.pixel)
    columns, rows = max(1, round((east - west) / side)), max(1, round((north - south) / side))
    transform, _, _ = calculate_default_transform(native.crs, crs, columns, rows, *bounds)
    return float(transform.a)


# --- Outlines in WGS 84 ---------------------------------------------------------------------------------------------


def _in_wgs84(crs: Any, ring: Ring) -> Ring:
    """Return a ring in degrees, with longitudes that go on beyond 180 rather than jump."""
    from rasterio._err import CPLE_BaseError
    from rasterio.warp import transform

    longitudes: list[float] = []
    with suppress(CPLE_BaseError):
        longitudes, latitudes = transform(crs, WGS84, *zip(*ring, strict=True))
    if not longitudes or not all(map(math.isfinite, (*longitudes, *latitudes))):
        raise ValueError(f"Some corners have no place on the globe in the coordinate system {crs.to_string()[:100]}")
    unwrapped = [longitudes[0]]
    for longitude in (*longitudes[1:], longitudes[0]):
        unwrapped.append(longitude - 360 * round((longitude - unwrapped[-1]) / 360))
    if abs(unwrapped.pop() - unwrapped[0]) > 180:  # around a pole
        south, north = (min(latitudes), 90.0) if sum(latitudes) > 0 else (-90.0, max(latitudes))
        return [(-180.0, north), (180.0, north), (180.0, south), (-180.0, south)]
    return list(zip(unwrapped, latitudes, strict=True))


def _split_at_antimeridian(ring: Ring) -> Json:
    """Return a ring as a GeoJSON polygon with longitudes from -180 to 180; as several where it goes beyond."""
    parts = []
    for turn in (-360, 0, 360):
        part = [(x + turn, y) for x, y in ring]
        if any(x > 180 for x, _ in part):
            part = _clipped(part, 180, 1)
        if any(x < -180 for x, _ in part):
            part = _clipped(part, -180, -1)
        if part and min(x for x, _ in part) < max(x for x, _ in part):
            parts.append([[list(point) for point in [*part, part[0]]]])
    if len(parts) == 1:
        return {"type": "Polygon", "coordinates": parts[0]}
    return {"type": "MultiPolygon", "coordinates": parts}


def _clipped(ring: Ring, limit: float, side: int) -> Ring:
    """Return the part of a ring where side * x <= side * limit (Sutherland and Hodgman 1974)."""
    kept: Ring = []
    for (x0, y0), (x1, y1) in zip([ring[-1], *ring[:-1]], ring, strict=True) if ring else ():
        inside0, inside1 = side * x0 <= side * limit, side * x1 <= side * limit
        if inside0 != inside1:
            kept.append((float(limit), y0 + (y1 - y0) * (limit - x0) / (x1 - x0)))
        if inside1:
            kept.append((x1, y1))
    return kept


def _turned(geometry: Json, degrees: float) -> Json:
    """Return a geometry moved along x."""

    def moved(coordinates: Any) -> Any:
        if isinstance(coordinates[0], int | float):
            return [coordinates[0] + degrees, *coordinates[1:]]
        return [moved(part) for part in coordinates]

    if geometry["type"] == "GeometryCollection":
        return {**geometry, "geometries": [_turned(part, degrees) for part in geometry["geometries"]]}
    return {**geometry, "coordinates": moved(geometry["coordinates"])}
