"""Bands as objects of STAC 1.1's `bands`, and the assets that they make up."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from stac_ingest.models.bands import Band, ClassBand, Layout, MaskBand, MicrowaveBand, SpectralBand
from stac_ingest.models.enums import BandType, DataType
from stac_ingest.stac.extensions import COG_MEDIA_TYPE

Json = dict[str, Any]


COMMON_NAMES = frozenset((
    "pan", "coastal", "blue", "green", "green05", "yellow", "red", "rededge", "rededge071", "rededge075", "rededge078",
    "nir", "nir08", "nir09", "cirrus", "swir16", "swir22", "lwir", "lwir11", "lwir12",
))  # fmt: skip
"""The band names that eo v2.0.0 lists for `eo:common_name`."""


def item_assets(bands: Sequence[Band], default_display_bands: Sequence[str] | None) -> Json:
    """Return the assets that each image of a product with these bands has."""
    layout = Layout.of(bands)
    return {
        key: {
            "type": COG_MEDIA_TYPE,
            "title": asset_title(key, file.bands),
            "roles": asset_roles(file.bands, default_display_bands),
            "bands": [stac_band(band) for band in file.bands],
            "ingest:file_index": index,
        }
        for index, (key, file) in enumerate(zip(layout.asset_keys(), layout.files, strict=True))
    }


def asset_title(key: str, bands: Sequence[Band]) -> str:
    """Return what people are shown for a file with these bands."""
    return (bands[0].description or key) if len(bands) == 1 else ", ".join(band.name for band in bands)


def asset_roles(bands: Sequence[Band], default_display_bands: Sequence[str] | None) -> list[str]:
    """Return `data`, and what else a file with these bands is good for."""
    if all(band.type is BandType.MASK for band in bands):
        return ["data", "data-mask"]
    byte_rgb = len(bands) >= 3 and all(band.data_type is DataType.BYTE for band in bands)
    shown = set(default_display_bands or ("red", "green", "blue")) <= {band.name for band in bands}
    return ["data", "visual"] if byte_rgb and shown else ["data"]


def stac_band(band: Band) -> Json:
    """Return a band as an object of STAC 1.1's `bands`."""
    entry: Json = {"name": band.name, "description": band.description, "keywords": band.tags or None}
    entry["data_type"] = band.data_type and band.data_type.numpy
    entry["nodata"] = band.to_json().get("nodata")
    if band.resolution:
        entry["raster:spatial_resolution"] = band.resolution.metres
    physical, unit = getattr(band, "physical_range", None), getattr(band, "physical_range_unit", None)
    entry["unit"] = unit
    if physical and band.data_range:
        scale = (physical[1] - physical[0]) / (band.data_range[1] - band.data_range[0])
        entry["raster:scale"] = plain(scale)
        entry["raster:offset"] = plain(physical[0] - band.data_range[0] * scale)
    match band:
        case SpectralBand():
            entry["eo:common_name"] = band.name if band.name in COMMON_NAMES else None
            entry["eo:center_wavelength"] = _micrometres(_center(band))
            entry["eo:full_width_half_max"] = _micrometres(_width(band))
        case MicrowaveBand():
            entry["sar:center_frequency"] = band.frequency
            entry["sar:bandwidth"] = band.bandwidth and plain(band.bandwidth / 1000)
        case MaskBand():
            entry["classification:classes"] = [
                {"value": 0, "name": "no", "title": f"not {band.name}"},
                {"value": 1, "name": "yes", "title": band.name},
            ]
        case ClassBand():
            entry["classification:classes"] = _classes(band) or None
        case _:
            pass
    return {key: value for key, value in entry.items() if value is not None}


def _center(band: SpectralBand) -> float | None:
    if band.wavelength_nm_center is None and band.wavelength_nm_min is not None and band.wavelength_nm_max is not None:
        return (band.wavelength_nm_min + band.wavelength_nm_max) / 2
    return band.wavelength_nm_center


def _width(band: SpectralBand) -> float | None:
    if band.wavelength_nm_fwhm is None and band.wavelength_nm_min is not None and band.wavelength_nm_max is not None:
        return band.wavelength_nm_max - band.wavelength_nm_min
    return band.wavelength_nm_fwhm


def _micrometres(nanometres: float | None) -> float | None:
    return None if nanometres is None else plain(nanometres / 1000)


def _classes(band: ClassBand) -> list[Json]:
    classes = []
    for value, label in enumerate(band.class_labels or ()):
        if label is None:
            continue
        entry: Json = {
            "value": value,
            "name": re.sub(r"[^0-9A-Za-z_-]+", "_", label).strip("_") or f"class_{value}",
            "title": label,
        }
        if band.colormap and value < len(band.colormap):
            entry["color_hint"] = "".join(f"{part:02X}" for part in band.colormap[value][:3])
        if band.nodata == value:
            entry["nodata"] = True
        classes.append(entry)
    return classes


def plain(value: float) -> float:
    """Return `value` without the last digits that decimal fractions lose in binary."""
    return float(f"{value:.12g}")
