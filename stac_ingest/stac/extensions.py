"""The extensions of STAC whose fields we write, our own among them, and its JSON Schema."""

from __future__ import annotations

from typing import Any

from stac_ingest.models.enums import BandType, Codec, OverviewResampler, StorageState

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
RENDER = "https://stac-extensions.github.io/render/v2.0.0/schema.json"
TIMESTAMPS = "https://stac-extensions.github.io/timestamps/v1.1.0/schema.json"
"""Extensions whose fields have no prefix."""


def with_extensions(stac: Json) -> Json:
    """Return a Collection or Item that lists the extensions whose fields it uses; others that it lists are kept."""
    used = {EXTENSIONS[prefix] for prefix in _prefixes(stac) if prefix in EXTENSIONS}
    if "published" in stac.get("properties", {}):
        used.add(TIMESTAMPS)
    if "renders" in stac:
        used.add(RENDER)
    ours = {*EXTENSIONS.values(), RENDER}
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
    overviews = {"type": "array", "items": {"type": "integer", "minimum": 2}}
    resampler = {"enum": [member.value for member in OverviewResampler]}
    profile = {"type": "object", "properties": {
        "codec": {"enum": [member.value for member in Codec]},
        "level": {"type": "integer", "minimum": 1, "maximum": 22},
        "block_size": {"enum": [128, 256, 512, 1024, 2048]},
        "max_error": {"type": "number", "minimum": 0},
        "quality": {"type": "integer", "minimum": 1, "maximum": 100},
        "overviews": overviews,
        "overview_resampler": resampler,
    }}  # fmt: skip
    asset = {"additionalProperties": {"type": "object", "properties": {
        "ingest:file_index": {"type": "integer", "minimum": 0},
        "ingest:overviews": overviews,
        "ingest:overview_resampler": resampler,
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
            "ingest:product": {
                "type": "object",
                "properties": {
                    "default_display_bands": texts,
                    "cog_profile": profile,
                },
            },
            "ingest:bands": {"type": "array", "items": named_band},
            "item_assets": asset,
            "assets": asset,
            "properties": {
                "type": "object",
                "properties": {
                    "ingest:extra_properties": {"type": "object"},
                    "ingest:null_properties": texts,
                    "ingest:storage_state": {"enum": [member.value for member in StorageState]},
                    "ingest:fill_fraction": share,
                    "ingest:alt_cloud_fraction": share,
                    "ingest:bright_fraction": share,
                    "ingest:view_angle": {"type": "number", "minimum": -90, "maximum": 90},
                },
            },
        },
    }
