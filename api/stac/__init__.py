"""The STAC API: stac-fastapi on pgstac, with our rules for filters, links and writes."""
