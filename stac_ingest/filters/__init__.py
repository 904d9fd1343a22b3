"""Conditions on catalog objects: `p.tags == "x"` as a value, as CQL2-JSON, and evaluated here; no I/O."""

from stac_ingest.filters.expressions import (
    ALIASES,
    EXTRA,
    LISTS,
    Combination,
    Comparison,
    Expression,
    Field,
    Properties,
    Property,
    properties,
    property_named,
)

__all__ = [
    "ALIASES",
    "EXTRA",
    "LISTS",
    "Combination",
    "Comparison",
    "Expression",
    "Field",
    "Properties",
    "Property",
    "properties",
    "property_named",
]
