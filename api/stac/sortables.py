"""What a search can be sorted by (STAC API Sort extension 1.1): the queryables that have an order."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import JSONResponse, Response

from api.stac import described
from stac_ingest.database.migrate import QUERYABLES

router = APIRouter(tags=["Sort Extension"])

SORTABLES: dict[str, dict[str, Any]] = {
    "id": {"title": "Name", "type": "string"},
    "collection": {"title": "Collection", "type": "string"},
    "datetime": {"title": "Acquired, or its start", "type": "string", "format": "date-time"},
    "end_datetime": {"title": "Acquired, or its end", "type": "string", "format": "date-time"},
    **{name: schema for name, schema in QUERYABLES.items() if schema["type"] != "array"},
}


@router.get("/sortables", openapi_extra=described.answer("application/schema+json", "A JSON Schema"))
async def sortables(request: Request) -> Response:
    """Return what every search can be sorted by, as JSON Schema; other properties are sorted as JSON."""
    return _answer(f"{request.base_url}sortables")


@router.get(
    "/collections/{collection_id}/sortables",
    openapi_extra=described.answer("application/schema+json", "A JSON Schema"),
)
async def collection_sortables(collection_id: str, request: Request) -> Response:
    """Return what a search in one Collection can be sorted by, as JSON Schema."""
    await request.app.state.memory.get_collection(collection_id)
    return _answer(f"{request.base_url}collections/{collection_id}/sortables")


def _answer(address: str) -> Response:
    document = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": address,
        "type": "object",
        "title": "Sortables",
        "properties": SORTABLES,
        "additionalProperties": True,
    }
    return JSONResponse(document, media_type="application/schema+json")
