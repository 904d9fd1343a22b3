"""The STAC API extensions that the service offers, and what it says of them in its conformance."""

from __future__ import annotations

from stac_fastapi.extensions import (
    CollectionSearchFilterExtension,
    ItemCollectionFilterExtension,
    SearchFilterExtension,
)
from stac_fastapi.extensions.filter.filter import FilterConformanceClasses as Filter
from stac_fastapi.extensions.sort import (
    CollectionSearchSortExtension,
    ItemCollectionSortExtension,
    SearchSortExtension,
)
from stac_fastapi.pgstac.config import Settings
from stac_fastapi.pgstac.models.extensions import Extensions

from api.stac.client import QueryablesClient

_CQL2 = [
    Filter.CQL2_TEXT,
    Filter.CQL2_JSON,
    Filter.BASIC_CQL2,
    Filter.ADVANCED_COMPARISON_OPERATORS,
    Filter.ARRAY_FUNCTIONS,
    Filter.CASE_INSENSITIVE_COMPARISON,
    Filter.TEMPORAL_FUNCTIONS,
]


def extensions(settings: Settings) -> Extensions:
    """Return search, collection search and item paging with filters, sorting, fields and queries.

    pystac-client 0.9 knows the Sort extension only by its class of version 1.0.0, so both versions are named.
    """
    client = QueryablesClient()
    return Extensions(
        settings=settings,
        search_map={
            "filter": SearchFilterExtension(client=client, conformance_classes=[Filter.FILTER, Filter.SEARCH, *_CQL2]),
            "sort": SearchSortExtension(
                conformance_classes=[
                    "https://api.stacspec.org/v1.0.0/item-search#sort",
                    "https://api.stacspec.org/v1.1.0/item-search#sort",
                ]
            ),
        },
        item_collection_map={
            "filter": ItemCollectionFilterExtension(
                client=client, conformance_classes=[Filter.FILTER, Filter.ITEMS, *_CQL2]
            ),
            "sort": ItemCollectionSortExtension(
                conformance_classes=[
                    "https://api.stacspec.org/v1.0.0/ogcapi-features#sort",
                    "https://api.stacspec.org/v1.1.0/ogcapi-features#sort",
                ]
            ),
        },
        collection_search_map={
            "filter": CollectionSearchFilterExtension(
                client=client, conformance_classes=[Filter.FILTER, Filter.COLLECTIONS, *_CQL2]
            ),
            "sort": CollectionSearchSortExtension(
                conformance_classes=[
                    "https://api.stacspec.org/v1.0.0-rc.1/collection-search#sort",
                    "https://api.stacspec.org/v1.1.0/collection-search#sort",
                ]
            ),
        },
    )
