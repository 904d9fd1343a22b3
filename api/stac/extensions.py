"""The STAC API extensions that the service offers, and what it says of them in its conformance."""

from __future__ import annotations

from typing import Any

from pydantic import Field
from stac_fastapi.extensions import (
    CollectionSearchFilterExtension,
    ItemCollectionFilterExtension,
    SearchFilterExtension,
)
from stac_fastapi.extensions.filter.filter import FilterConformanceClasses as Filter
from stac_fastapi.extensions.filter.request import FilterExtensionPostRequest, FilterLang
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


class FilterBody(FilterExtensionPostRequest):  # type: ignore[misc]
    """The part of a search by POST that filters: CQL2-JSON, or CQL2 text."""

    filter_expr: dict[str, Any] | str | bool | None = Field(None, alias="filter", description="A condition in CQL2.")
    filter_lang: FilterLang | None = Field(
        None, alias="filter-lang", description="How the condition is written; unset: whichever it looks like."
    )


def extensions(settings: Settings) -> Extensions:
    """Return search, collection search and item paging with filters, sorting, fields and queries.

    pystac-client 0.9 knows the Sort extension only by its class of version 1.0.0, so both versions are named.
    """
    client = QueryablesClient()
    search_filter = SearchFilterExtension(client=client, conformance_classes=[Filter.FILTER, Filter.SEARCH, *_CQL2])
    search_filter.POST = FilterBody
    return Extensions(
        settings=settings,
        search_map={
            "filter": search_filter,
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
