"""The classes of the standards that the service conforms to.

pystac-client 0.9 knows the Sort extension only by its class of version 1.0.0, so both versions are named. STAC Browser
hides operators whose class is not named.
"""

from __future__ import annotations

_STAC = "https://api.stacspec.org/v1.0.0"
_OGC = "http://www.opengis.net/spec"

CONFORMS_TO = [
    *(f"{_STAC}/{name}" for name in ("core", "collections", "ogcapi-features", "item-search")),
    "https://api.stacspec.org/v1.0.0-rc.2/children",
    *(f"{_OGC}/ogcapi-features-1/1.0/conf/{name}" for name in ("core", "geojson", "oas30")),
    *(f"{_STAC}/{of}#{name}" for of in ("item-search", "ogcapi-features") for name in ("fields", "query", "sort")),
    *(f"https://api.stacspec.org/v1.1.0/{of}#sort" for of in ("item-search", "ogcapi-features")),
    "https://api.stacspec.org/v1.0.0-rc.2/item-search#filter",
    *(f"{_OGC}/ogcapi-features-3/1.0/conf/{name}" for name in ("filter", "features-filter")),
    *(
        f"{_OGC}/cql2/1.0/conf/{name}"
        for name in (
            *("cql2-text", "cql2-json", "basic-cql2", "advanced-comparison-operators", "property-property"),
            *("case-insensitive-comparison", "accent-insensitive-comparison", "array-functions", "arithmetic"),
            *("basic-spatial-functions", "basic-spatial-functions-plus", "spatial-functions", "temporal-functions"),
        )
    ),
    *(f"https://api.stacspec.org/v0.3.0/aggregation{part}" for part in ("", "#filter", "#query")),
    "https://api.stacspec.org/v1.0.0-rc.1/collection-search",
    *(
        f"https://api.stacspec.org/v1.0.0-rc.1/collection-search#{name}"
        for name in ("fields", "filter", "free-text", "query", "sort")
    ),
    "https://api.stacspec.org/v1.1.0/collection-search#sort",
    f"{_OGC}/ogcapi-common-2/1.0/conf/simple-query",
    *(f"{_STAC}/{of}/extensions/transaction" for of in ("collections", "ogcapi-features")),
    f"{_OGC}/ogcapi-features-4/1.0/conf/simpletx",
]
