"""Where the pixels of an array lie, in the many ways in which libraries of the field say it; needs none of them."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from operator import index
from typing import Any, SupportsIndex

from stac_ingest.models.image import Georeference, Geotransform

_GDAL_ORDER = ("geoTransform", "geotransform", "geotrans")
_COORDINATE_SYSTEMS = ("epsg", "wkt", "projjson", "proj4")
"""Keys of `coordinateSystem`, the exact ones first: PROJ.4 has no place for the datum of most systems."""


def georeference_of(meta: object) -> Georeference:
    """Return what a description of a raster says about its place; what it does not say is unset.

    Args:
        meta: As `Image.ndarray(…, raster_info=True)` or `gdalinfo -json` give it (`geoTransform`, `coordinateSystem`
            with `epsg`, `wkt`, `projjson` or `proj4`); or as rasterio does: a `profile`, a `meta`, or an open dataset
            (`transform`, `crs`).

    Raises:
        ValueError: It is no description of a raster, or says something that is no place.
    """
    if not isinstance(meta, Mapping):
        if not hasattr(meta, "transform") or not hasattr(meta, "crs"):
            raise ValueError(
                "Expected raster_meta as a dictionary or an open rasterio dataset,"
                f" found {type(meta).__name__}: {meta!r:.100}"
            )
        meta = {"transform": meta.transform, "crs": meta.crs}
    return Georeference(geotrans=_geotransform_in(meta), **_coordinate_system_in(meta))


def combined(*places: Georeference) -> Georeference:
    """Return the first geotransform and the first coordinate system of several places."""
    geotrans = next((place.geotrans for place in places if place.geotrans), None)
    system = next((place for place in places if place.cs_code or place.projection), Georeference())
    return system.evolve(geotrans=geotrans)


def require_whole(place: Georeference, meta: object) -> None:
    """Raise ValueError unless the place of an array is known; says what `meta`, which may be None, lacks."""
    if place.geotrans is None:
        what, fields, keys = "geotransform", "geotrans", "geoTransform or transform"
    elif not (place.cs_code or place.projection):
        what, fields, keys = "coordinate system", "cs_code or projection", "coordinateSystem or crs"
    else:
        return
    if meta is None:
        raise ValueError(f"{fields} field or raster_meta parameter is required: the array itself says no {what}")
    raise ValueError(
        f"raster_meta says no {what}: expected {keys} in it, found {meta!r:.200}; or set {fields} of the image"
    )


def _geotransform_in(meta: Mapping[str, Any]) -> Geotransform | None:
    for key in _GDAL_ORDER:
        if meta.get(key) is not None:
            return geotransform_of(_numbers(meta[key], key))
    if meta.get("transform") is None:
        return None
    numbers = _numbers(meta["transform"], "transform")
    if len(numbers) == 9 and numbers[6:] == (0, 0, 1):
        numbers = numbers[:6]
    if len(numbers) == 6:
        dx, rx, x, ry, dy, y = numbers
        numbers = (x, dx, rx, y, ry, dy)
    return geotransform_of(numbers)


def geotransform_of(numbers: Sequence[float]) -> Geotransform:
    """Return numbers in GDAL's order, (x, dx, rx, y, ry, dy), as a geotransform; raises ValueError for others."""
    if len(numbers) != 6 or not all(map(math.isfinite, numbers)):
        raise ValueError(f"Expected a geotransform of 6 finite numbers, found {tuple(numbers)}")
    x, dx, rx, y, ry, dy = numbers
    return (x, dx, rx, y, ry, dy)


def _numbers(value: Any, key: str) -> tuple[float, ...]:
    if isinstance(value, str):
        value = value.replace(",", " ").split()
    try:
        return tuple(float(number) for number in value)
    except (TypeError, ValueError) as error:
        raise ValueError(f"Expected {key} as 6 numbers, found {value!r:.100}") from error


def _coordinate_system_in(meta: Mapping[str, Any]) -> dict[str, str]:
    system = meta.get("coordinateSystem")
    if isinstance(system, Mapping) and system.get("type") is None:
        said = next((key for key in _COORDINATE_SYSTEMS if system.get(key)), None)
        system = system[said] if said else None
    found = meta.get("crs") if system is None else system
    return {} if found is None else coordinate_system_of(found)


def coordinate_system_of(crs: Any) -> dict[str, str]:
    """Return a coordinate system as the attribute of images that holds it: `cs_code`, or else `projection`.

    Args:
        crs: A CRS of rasterio, pyproj or odc-geo; an EPSG code as a number; a code such as `EPSG:32633`; WKT, PROJJSON
            or PROJ.4 as text; PROJJSON or PROJ.4 as a dictionary.

    Raises:
        ValueError: It is nothing of the kind.
    """
    if isinstance(crs, SupportsIndex) and not isinstance(crs, bool):
        return {"cs_code": f"EPSG:{index(crs)}"}
    if isinstance(crs, str) and crs.strip():
        text = crs.strip()
        if text.isdecimal():
            return {"cs_code": f"EPSG:{text}"}
        return {"cs_code": text.upper()} if _is_code(text) else {"projection": text}
    if hasattr(crs, "to_wkt"):
        return _exact(crs)
    if isinstance(crs, Mapping) and crs:
        if "type" in crs and "proj" not in crs and "init" not in crs:
            return {"projection": json.dumps(crs)}
        return coordinate_system_of(_proj4_text(crs))
    raise ValueError(
        "Expected a coordinate system as an EPSG code, WKT, PROJJSON, PROJ.4, or a CRS of rasterio or pyproj,"
        f" found {crs!r:.100}"
    )


def _exact(crs: Any) -> dict[str, str]:
    """Return the code of a CRS object only if it says just the same; what is merely alike may be metres away."""
    certain = 100
    code = crs.to_epsg(certain) if hasattr(crs, "to_epsg") else None
    if code is not None:
        return {"cs_code": f"EPSG:{code}"}
    text = crs.to_wkt(version="WKT2_2019")
    if not text:
        raise ValueError("The coordinate system is empty; give cs_code or projection with the image")
    return {"projection": text}


def _proj4_text(parameters: Mapping[str, Any]) -> str:
    if set(parameters) == {"init"}:
        return str(parameters["init"])
    return " ".join(
        f"+{key}" if value is True or value is None else f"+{key}={value}"
        for key, value in parameters.items()
        if value is not False
    )


def _is_code(text: str) -> bool:
    authority, colon, code = text.partition(":")
    return bool(colon) and authority.isalpha() and code.replace("_", "").isalnum()
