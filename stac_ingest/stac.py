"""Products and images as STAC 1.1 Collections and Items, and back; pure functions on dictionaries.

Our own fields share the prefix `ingest:`; their JSON Schema is `SCHEMA`, which the API serves. What STAC has a field
for is written there too, so that a client that knows nothing of us misses nothing that it could use.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import chain
from typing import Any

from stac_ingest.models.bands import (
    Band,
    ClassBand,
    Layout,
    MaskBand,
    MicrowaveBand,
    SpectralBand,
    parse_band,
    sorted_bands,
)
from stac_ingest.models.enums import BandType, DataType, ResolutionUnit, StorageState
from stac_ingest.models.image import File, Image
from stac_ingest.models.product import Product
from stac_ingest.models.raster import Conversion, Preview, Raster
from stac_ingest.models.values import timestamp_text

Json = dict[str, Any]

STAC_VERSION = "1.1.0"
COG_MEDIA_TYPE = "image/tiff; application=geotiff; profile=cloud-optimized"
SCHEMA_PATH = "schemas/ingest/v1.0.0/schema.json"
SCHEMA = f"https://stac-ingest.invalid/{SCHEMA_PATH}"
"""How the catalog names our own extension; a response names it under the address that was asked."""
EXTENSIONS = {
    "classification": "https://stac-extensions.github.io/classification/v1.1.0/schema.json",
    "eo": "https://stac-extensions.github.io/eo/v2.0.0/schema.json",
    "file": "https://stac-extensions.github.io/file/v2.1.0/schema.json",
    "ingest": SCHEMA,
    "processing": "https://stac-extensions.github.io/processing/v1.2.0/schema.json",
    "proj": "https://stac-extensions.github.io/projection/v2.0.0/schema.json",
    "raster": "https://stac-extensions.github.io/raster/v2.0.0/schema.json",
    "sar": "https://stac-extensions.github.io/sar/v1.3.0/schema.json",
    "view": "https://stac-extensions.github.io/view/v1.1.0/schema.json",
}
"""Prefix of the fields -> the extension that defines them."""
COMMON_NAMES = frozenset((
    "pan", "coastal", "blue", "green", "green05", "yellow", "red", "rededge", "rededge071", "rededge075", "rededge078",
    "nir", "nir08", "nir09", "cirrus", "swir16", "swir22", "lwir", "lwir11", "lwir12",
))  # fmt: skip
"""The band names that eo v2.0.0 lists for `eo:common_name`."""
WORLD: Json = {"spatial": {"bbox": [[-180.0, -90.0, 180.0, 90.0]]}, "temporal": {"interval": [[None, None]]}}
"""Extent of a product without images: STAC requires one, and nothing is known yet."""
METRES_PER_DEGREE = 111_319.49079327358  # a degree of the WGS 84 equator


# --- Products -------------------------------------------------------------------------------------------------------


def collection_from_product(product: Product, bands: Iterable[Band], base: Json | None = None) -> Json:
    """Return the Collection of a product.

    Args:
        product: What is known of the product.
        bands: Its bands, in any order.
        base: The Collection as it is in the catalog; whatever product and bands have no say in is kept from it.
    """
    bands = sorted_bands(bands)
    collection: Json = {
        "extent": WORLD,
        "links": [],
        **(base or {}),
        "type": "Collection",
        "stac_version": STAC_VERSION,
        "id": product.id,
        "title": product.name or product.id,
        "description": product.description or product.name or product.id,
        "license": product.license,
        "keywords": product.tags,
        "ingest:product": _without_empty(
            product.model_dump(
                mode="json", exclude_none=True, exclude={"id", "name", "tags", "license", "created", "modified"}
            )
        ),
        "ingest:bands": [_without_empty(band.to_json()) for band in bands],
        "item_assets": _item_assets(bands, default_display_bands=product.default_display_bands),
    }
    for empty in [key for key in ("keywords", "item_assets") if not collection[key]]:
        del collection[empty]
    if product.start_datetime or product.end_datetime:
        collection["extent"] = {**collection["extent"], "temporal": {"interval": [[
            product.start_datetime and timestamp_text(product.start_datetime),
            product.end_datetime and timestamp_text(product.end_datetime),
        ]]}}  # fmt: skip
    return with_extensions(collection)


def _without_empty(value: Json) -> Json:
    return {key: inner for key, inner in value.items() if inner not in ([], {})}


def product_from_collection(collection: Json) -> Product:
    """Return the product that a Collection describes, whoever made it."""
    ours = "ingest:product" in collection
    known = collection.get("ingest:product") or {}
    return Product.check(
        {
            **known,
            "id": collection["id"],
            "name": collection.get("title"),
            "description": known.get("description") if ours else collection.get("description"),
            "tags": collection.get("keywords") or [],
            "license": collection.get("license", "other"),
            "created": collection.get("created"),
            "modified": collection.get("updated"),
        }
    )


def bands_from_collection(collection: Json) -> tuple[Band, ...]:
    """Return the bands of a product by their sort order; none if the Collection was not made by us."""
    return tuple(sorted_bands(parse_band(band) for band in collection.get("ingest:bands", ())))


def _item_assets(bands: Sequence[Band], default_display_bands: Sequence[str] | None) -> Json:
    layout = Layout.of(bands)
    return {
        key: {
            "type": COG_MEDIA_TYPE,
            "title": _asset_title(key, file.bands),
            "roles": _asset_roles(file.bands, default_display_bands),
            "bands": [stac_band(band) for band in file.bands],
            "ingest:file_index": index,
        }
        for index, (key, file) in enumerate(zip(layout.asset_keys(), layout.files, strict=True))
    }


def _asset_title(key: str, bands: Sequence[Band]) -> str:
    return (bands[0].description or key) if len(bands) == 1 else ", ".join(band.name for band in bands)


def _asset_roles(bands: Sequence[Band], default_display_bands: Sequence[str] | None) -> list[str]:
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
        entry["raster:spatial_resolution"] = metres(band.resolution.value, band.resolution.unit)
    physical, unit = getattr(band, "physical_range", None), getattr(band, "physical_range_unit", None)
    entry["unit"] = unit
    if physical and band.data_range and band.data_range[0] != band.data_range[1]:
        scale = (physical[1] - physical[0]) / (band.data_range[1] - band.data_range[0])
        entry["raster:scale"] = _plain(scale)
        entry["raster:offset"] = _plain(physical[0] - band.data_range[0] * scale)
    match band:
        case SpectralBand():
            entry["eo:common_name"] = band.name if band.name in COMMON_NAMES else None
            entry["eo:center_wavelength"] = _micrometres(_center(band))
            entry["eo:full_width_half_max"] = _micrometres(_width(band))
        case MicrowaveBand():
            entry["sar:center_frequency"] = band.frequency
            entry["sar:bandwidth"] = band.bandwidth and _plain(band.bandwidth / 1000)
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
    return None if nanometres is None else _plain(nanometres / 1000)


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


def metres(value: float, unit: str) -> float:
    """Return a resolution in metres; a degree counts as one of the equator."""
    return value if unit == ResolutionUnit.METERS else round(value * METRES_PER_DEGREE, 3)


def _plain(value: float) -> float:
    """Return `value` without the last digits that decimal fractions lose in binary."""
    return float(f"{value:.12g}")


# --- Images ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Property:
    """An attribute of an image that is one property of its Item."""

    attribute: str
    name: str
    write: Callable[[Any], Any] = lambda value: value
    read: Callable[[Any], Any] = lambda value: value


def _moment(attribute: str, name: str) -> Property:
    return Property(attribute, name, write=timestamp_text)


PROPERTIES = (
    _moment("acquired", "datetime"),
    _moment("acquired_end", "end_datetime"),
    _moment("published", "published"),
    _moment("created", "created"),
    _moment("modified", "updated"),
    Property("tags", "keywords", write=lambda tags: tags or None),
    Property("extra_properties", "ingest:extra_properties", write=lambda extra: extra or None),
    Property("storage_state", "ingest:storage_state", write=str, read=StorageState),
    Property("cloud_fraction", "eo:cloud_cover", lambda share: _plain(share * 100), lambda cover: _plain(cover / 100)),
    Property("azimuth_angle", "view:azimuth"),
    Property("incidence_angle", "view:incidence_angle"),
    Property("solar_azimuth_angle", "view:sun_azimuth"),
    Property("solar_elevation_angle", "view:sun_elevation"),
    Property("satellite_id", "platform"),
    Property("processing_pipeline_id", "processing:version"),
    *(
        Property(name, f"ingest:{name}")
        for name in (
            "alt_cloud_fraction",
            "bright_fraction",
            "fill_fraction",
            "view_angle",
            "roll_angle",
            "provider_id",
            "provider_url",
            "area",
        )
    ),
)
"""The mapping of `docs/catalog-model.md`, as far as it is one attribute to one property."""


def properties_from_image(image: Image) -> Json:
    """Return the Item properties that an image's attributes stand for; None for those that are not set."""
    properties: Json = {}
    for row in PROPERTIES:
        value = getattr(image, row.attribute)
        properties[row.name] = None if value is None else row.write(value)
    properties["start_datetime"] = properties["datetime"] if image.acquired_end else None
    properties["view:off_nadir"] = None if image.view_angle is None else abs(image.view_angle)
    return properties


def item_with_image(item: Json, image: Image) -> Json:
    """Return `item` with the attributes of `image`; what the image has no say in stays as it is."""
    properties = {**item.get("properties", {}), **properties_from_image(image)}
    changed = {
        **item,
        "type": "Feature",
        "stac_version": STAC_VERSION,
        "id": image.name,
        "collection": image.product_id,
        "geometry": image.geometry or item.get("geometry"),
        "properties": {name: value for name, value in properties.items() if value is not None},
        "assets": item.get("assets", {}),
        "links": item.get("links", []),
    }
    if changed["geometry"] is None:
        changed.pop("bbox", None)
    elif changed["geometry"] != item.get("geometry") or "bbox" not in item:
        changed["bbox"] = bbox_of(changed["geometry"])
    return with_extensions(changed)


def image_from_item(item: Json) -> Image:
    """Return the image that an Item describes, whoever made it."""
    properties = item["properties"]
    attributes: Json = {
        row.attribute: row.read(properties[row.name])
        for row in PROPERTIES
        if properties.get(row.name) is not None
    }  # fmt: skip
    attributes.setdefault("acquired", properties.get("start_datetime"))  # STAC allows a range without a datetime
    data = [asset for _, asset in data_assets(item)]
    placed = {**properties, **(data[0] if data else {})}
    if (transform := placed.get("proj:transform")) is not None:
        dx, rx, x, ry, dy, y = transform[:6]
        attributes["geotrans"] = (x, dx, rx, y, ry, dy)
    if (shape := placed.get("proj:shape")) is not None:
        attributes["y_pixels"], attributes["x_pixels"] = shape
    attributes["cs_code"] = placed.get("proj:code")
    attributes["projection"] = None if placed.get("proj:code") else placed.get("proj:wkt2")
    attributes["files"] = [
        File(href=asset["href"], size_bytes=asset.get("file:size"), hash=asset.get("file:checksum")) for asset in data
    ]
    return Image.check(
        {
            **attributes,
            "product_id": item["collection"],
            "name": item["id"],
            "geometry": item.get("geometry"),
        }
    )


def data_assets(item: Json) -> list[tuple[str, Json]]:
    """Return the keys and assets of an Item's images, in the order of the files."""
    found = [(key, asset) for key, asset in item.get("assets", {}).items() if "data" in (asset.get("roles") or ())]
    return sorted(found, key=lambda pair: (pair[1].get("ingest:file_index", math.inf), pair[0]))


def item_from_conversion(
    image: Image,
    bands: Iterable[Band],
    conversion: Conversion,
    hrefs: Mapping[str, str],
    *,
    default_display_bands: Sequence[str] | None,
    now: datetime,
) -> Json:
    """Return the Item of an image whose files were converted and stored.

    Args:
        image: The attributes given with the upload; each wins over what the files say.
        bands: The bands of the product.
        conversion: What the converter reports.
        hrefs: Asset key -> where the stored file is.
        default_display_bands: The product's, to mark the asset that people look at.
        now: The moment of publication.
    """
    layout = Layout.of(bands)
    assets: Json = {}
    for index, (raster, file) in enumerate(zip(conversion.rasters, layout.files, strict=True)):
        assets[raster.asset] = _raster_asset(
            raster, file.bands, hrefs[raster.asset], index, _asset_roles(file.bands, default_display_bands), now
        )
    for preview in conversion.previews:
        assets[preview.role] = _preview_asset(preview, hrefs[preview.role], now)
    codes = {raster.code for raster in conversion.rasters}
    item: Json = {
        "geometry": conversion.geometry,
        "bbox": list(conversion.bbox),
        "properties": {
            "title": image.name,
            "gsd": min((r.metre_resolution for r in conversion.rasters if r.metre_resolution), default=None),
            "proj:code": codes.pop() if len(codes) == 1 else None,
            "processing:datetime": timestamp_text(now),
            "processing:software": conversion.software,
            "processing:lineage": _lineage(conversion),
        },
        "assets": assets,
    }
    fill = conversion.fill_fraction if image.fill_fraction is None else image.fill_fraction
    return item_with_image(
        item,
        image.evolve(fill_fraction=fill, created=image.created or now, modified=now, storage_state="available"),
    )


def _raster_asset(
    raster: Raster, bands: Sequence[Band], href: str, index: int, roles: list[str], now: datetime
) -> Json:
    entries = []
    for band, stored in zip(bands, raster.bands, strict=True):
        entry = stac_band(band)
        entry.pop("raster:spatial_resolution", None)
        written = stored.to_json()
        entry.pop("nodata", None)
        entries.append({**entry, **{key: written[key] for key in written}})
    asset: Json = {
        "href": href,
        "type": COG_MEDIA_TYPE,
        "title": _asset_title(raster.asset, bands),
        "roles": roles,
        "created": timestamp_text(now),
        "bands": entries,
        "proj:code": raster.code,
        "proj:wkt2": raster.wkt2,
        "proj:shape": list(raster.shape),
        "proj:transform": list(raster.transform),
        "proj:bbox": list(raster.bbox),
        "raster:spatial_resolution": raster.metre_resolution,
        "file:size": raster.size,
        "file:checksum": sha256_multihash(raster.sha256),
        "file:header_size": raster.header_size,
        "ingest:file_index": index,
        "ingest:overviews": list(raster.overviews) or None,
        "ingest:overview_resampler": raster.resampler.value if raster.overviews else None,
    }
    return {key: value for key, value in asset.items() if value is not None}


def _preview_asset(preview: Preview, href: str, now: datetime) -> Json:
    return {
        "href": href,
        "type": "image/png",
        "title": preview.role.capitalize(),
        "roles": [preview.role],
        "created": timestamp_text(now),
        "proj:shape": list(preview.shape),
        "file:size": preview.size,
        "file:checksum": sha256_multihash(preview.sha256),
    }


def _lineage(conversion: Conversion) -> str:
    built = [raster for raster in conversion.rasters if raster.overviews]
    overviews = f", overviews by {built[0].resampler}" if built else ""
    return f"Written as Cloud-Optimized GeoTIFF from the uploaded pixels, unchanged{overviews}"


def sha256_multihash(digest: str) -> str:
    """Return a hexadecimal SHA-256 as the multihash that `file:checksum` holds (0x12: sha2-256, 0x20: 32 bytes)."""
    return f"1220{digest}"


def bbox_of(geometry: Json) -> list[float]:
    """Return [west, south, east, north]; west > east where it is split at the antimeridian (RFC 7946 section 5.2)."""
    boxes = []
    for part in _parts_of(geometry):
        xs, ys = zip(*positions(part), strict=True)
        boxes.append((min(xs), min(ys), max(xs), max(ys)))
    south, north = min(box[1] for box in boxes), max(box[3] for box in boxes)
    east_side = [box for box in boxes if box[2] == 180]
    west_side = [box for box in boxes if box[0] == -180]
    if east_side and west_side and not set(east_side) & set(west_side):
        others = [box for box in boxes if box not in east_side and box not in west_side]
        west = min(box[0] for box in chain(east_side, (b for b in others if b[0] >= 0)))
        east = max(box[2] for box in chain(west_side, (b for b in others if b[0] < 0)))
        if west > east:
            return [west, south, east, north]
    return [min(box[0] for box in boxes), south, max(box[2] for box in boxes), north]


def _parts_of(geometry: Json) -> Iterator[Any]:
    if geometry["type"] == "GeometryCollection":
        yield from chain.from_iterable(map(_parts_of, geometry["geometries"]))
    elif geometry["type"].startswith("Multi"):
        yield from geometry["coordinates"]
    else:
        yield geometry["coordinates"]


def positions(coordinates: Any) -> Iterable[tuple[float, float]]:
    """Yield the (x, y) of every position in GeoJSON coordinates, however deep they lie."""
    if coordinates and isinstance(coordinates[0], int | float):
        yield coordinates[0], coordinates[1]
    else:
        for part in coordinates:
            yield from positions(part)


# --- Extensions -----------------------------------------------------------------------------------------------------


def with_extensions(stac: Json) -> Json:
    """Return a Collection or Item that lists the extensions whose fields it uses; others that it lists are kept."""
    used = {EXTENSIONS[prefix] for prefix in _prefixes(stac) if prefix in EXTENSIONS}
    if "published" in stac.get("properties", {}):
        used.add("https://stac-extensions.github.io/timestamps/v1.1.0/schema.json")
    ours = {*EXTENSIONS.values()}
    kept = [url for url in stac.get("stac_extensions", []) if url not in ours and not url.endswith(f"/{SCHEMA_PATH}")]
    return {**stac, "stac_extensions": sorted({*kept, *used})}


def _prefixes(stac: Json) -> set[str]:
    assets = [*stac.get("assets", {}).values(), *stac.get("item_assets", {}).values()]
    bands = [band for asset in assets for band in asset.get("bands", ())]
    places = [stac, stac.get("properties", {}), stac.get("summaries", {}), *assets, *bands]
    return {key.partition(":")[0] for place in places for key in place if ":" in key}


def schema_document(url: str) -> Json:
    """Return the JSON Schema of our own fields, identified by the address that serves it."""
    texts = {"type": "array", "items": {"type": "string"}}
    share = {"type": "number", "minimum": 0, "maximum": 1}
    named_band = {"type": "object", "required": ["name", "type"], "properties": {
        "name": {"type": "string"},
        "type": {"enum": [member.value for member in BandType]},
    }}  # fmt: skip
    asset = {"additionalProperties": {"type": "object", "properties": {
        "ingest:file_index": {"type": "integer", "minimum": 0},
        "ingest:overviews": {"type": "array", "items": {"type": "integer", "minimum": 2}},
        "ingest:overview_resampler": {"type": "string"},
    }}}  # fmt: skip
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "$id": url,
        "title": "stac-ingest",
        "description": "What a product, its bands and its images have beside what STAC and its extensions define.",
        "type": "object",
        "required": ["stac_extensions"],
        "properties": {
            "stac_extensions": {**texts, "contains": {"const": url}},
            "ingest:product": {"type": "object", "properties": {"default_display_bands": texts}},
            "ingest:bands": {"type": "array", "items": named_band},
            "item_assets": asset,
            "assets": asset,
            "properties": {
                "type": "object",
                "properties": {
                    "ingest:extra_properties": {"type": "object"},
                    "ingest:storage_state": {"enum": [member.value for member in StorageState]},
                    "ingest:fill_fraction": share,
                    "ingest:alt_cloud_fraction": share,
                    "ingest:bright_fraction": share,
                    "ingest:view_angle": {"type": "number", "minimum": -90, "maximum": 90},
                },
            },
        },
    }


def merge_patch(old: Json, new: Json) -> Json:
    """Return the JSON Merge Patch (RFC 7396) that makes `new` of `old`."""
    patch: Json = {key: None for key in old if key not in new}
    for key, value in new.items():
        before = old.get(key)
        if isinstance(before, dict) and isinstance(value, dict):
            if inner := merge_patch(before, value):
                patch[key] = inner
        elif key not in old or before != value:
            patch[key] = value
    return patch
