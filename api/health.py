"""Whether the service can do its work, and the schema of our own fields."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request
from stac_fastapi.types.requests import get_base_url
from starlette.responses import JSONResponse, Response

from api.errors import PROBLEM
from stac_ingest.database.migrate import PGSTAC_VERSION
from stac_ingest.stac import SCHEMA_PATH, schema_document

router = APIRouter(tags=["Service"])


@router.get("/healthz", responses={503: {"content": {"application/json": {}, PROBLEM: {}}}})
async def health(request: Request) -> Response:
    """Return 200 when the API, the database and its schema are ready, else 503."""
    async with request.app.state.pool.connection() as connection:
        row = await (await connection.execute("SELECT pgstac.get_version() AS pgstac")).fetchone()
    ready = row["pgstac"] == PGSTAC_VERSION
    body = {
        "status": "ready" if ready else "migration needed",
        "pgstac": row["pgstac"],
        "expected_pgstac": PGSTAC_VERSION,
    }
    return JSONResponse(body, status_code=200 if ready else 503, headers={"Cache-Control": "no-store"})


@router.get(f"/{SCHEMA_PATH}")
async def schema(request: Request) -> dict[str, Any]:
    """Return the JSON Schema of the fields that begin with `ingest:`."""
    return schema_document(f"{get_base_url(request)}{SCHEMA_PATH}")
