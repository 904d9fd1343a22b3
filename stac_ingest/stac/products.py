"""Products as STAC Collections, and back."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from stac_ingest.models.bands import Band, parse_band, sorted_bands
from stac_ingest.models.product import Product
from stac_ingest.models.values import timestamp_text
from stac_ingest.stac.bands import item_assets
from stac_ingest.stac.extensions import STAC_VERSION, with_extensions
from stac_ingest.stac.renders import renders

Json = dict[str, Any]


WORLD: Json = {"spatial": {"bbox": [[-180.0, -90.0, 180.0, 90.0]]}, "temporal": {"interval": [[None, None]]}}
"""Extent of a product without images: STAC requires one, and nothing is known yet."""
SET_BY_SERVICE = frozenset(("created", "modified", "resolution_min", "resolution_max"))
"""Attributes of a product that nobody writes."""


def collection_from_product(product: Product, bands: Iterable[Band], base: Json | None = None) -> Json:
    """Return the Collection of a product.

    Args:
        product: What is known of the product.
        bands: Its bands, in any order.
        base: The Collection as it is in the catalog; whatever product and bands have no say in is kept from it.

    Raises:
        AttributeValidationError: As `Product.require_bands`.
    """
    bands = sorted_bands(bands)
    product.require_bands(bands)
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
                mode="json", exclude_none=True, exclude={"id", "name", "tags", "license", *SET_BY_SERVICE}
            )
        ),
        "ingest:bands": [_without_empty(band.to_json()) for band in bands],
        "item_assets": item_assets(bands, default_display_bands=product.default_display_bands),
        "renders": renders(bands, product.default_display_bands),
    }
    for empty in [key for key in ("keywords", "item_assets", "renders") if not collection[key]]:
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
    sizes = sorted(
        (band.resolution for band in bands_from_collection(collection) if band.resolution),
        key=lambda size: size.metres,
    )
    return Product.check(
        {
            **known,
            "id": collection["id"],
            "name": collection.get("title"),
            "description": known.get("description") if ours else collection.get("description"),
            "tags": collection.get("keywords") or [],
            "license": collection.get("license", "other"),
            "resolution_min": sizes[0] if sizes else None,
            "resolution_max": sizes[-1] if sizes else None,
            "created": collection.get("created"),
            "modified": collection.get("updated"),
        }
    )


def bands_from_collection(collection: Json) -> tuple[Band, ...]:
    """Return the bands of a product by their sort order; none if the Collection was not made by us."""
    return tuple(sorted_bands(parse_band(band) for band in collection.get("ingest:bands", ())))
