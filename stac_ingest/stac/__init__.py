"""Products and images as STAC 1.1 Collections and Items, and back; pure functions on dictionaries.

Our own fields share the prefix `ingest:`; their JSON Schema is `SCHEMA`, which the API serves. What STAC has a field
for is written there too, so that a client that knows nothing of us misses nothing that it could use.
"""

from stac_ingest.stac.bands import stac_band
from stac_ingest.stac.extensions import (
    COG_MEDIA_TYPE,
    SCHEMA,
    SCHEMA_PATH,
    STAC_VERSION,
    Json,
    schema_document,
    with_extensions,
)
from stac_ingest.stac.geometry import bbox_of, boxes_touch, is_place, places_of
from stac_ingest.stac.images import PROPERTIES, Property, data_assets, image_from_item, item_with_files, item_with_image
from stac_ingest.stac.nulls import nulls_of
from stac_ingest.stac.patch import merge_patch
from stac_ingest.stac.products import WORLD, bands_from_collection, collection_from_product, product_from_collection

__all__ = [
    "COG_MEDIA_TYPE",
    "PROPERTIES",
    "SCHEMA",
    "SCHEMA_PATH",
    "STAC_VERSION",
    "WORLD",
    "Json",
    "Property",
    "bands_from_collection",
    "bbox_of",
    "boxes_touch",
    "collection_from_product",
    "data_assets",
    "image_from_item",
    "is_place",
    "item_with_files",
    "item_with_image",
    "merge_patch",
    "nulls_of",
    "places_of",
    "product_from_collection",
    "schema_document",
    "stac_band",
    "with_extensions",
]
