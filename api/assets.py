"""The bytes of assets. A name contains its content's SHA-256, so what it gives never changes: caches may keep it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import FileResponse, Response, StreamingResponse

from stac_ingest.errors import RequestError
from stac_ingest.stac import COG_MEDIA_TYPE
from stac_ingest.storage import ASSETS, Store

router = APIRouter(tags=["Assets"])

_MEDIA_TYPES = {".tif": COG_MEDIA_TYPE, ".png": "image/png"}
_BYTES: dict[str, Any] = {"content": {media_type: {} for media_type in _MEDIA_TYPES.values()}}
_NAME = re.compile(r"[A-Za-z0-9_.:-]+/[A-Za-z0-9_.-]+/[A-Za-z0-9_.-]+-(?P<sha>[0-9a-f]{16})\.(tif|png)")


@router.head("/assets/{key:path}", response_class=Response, include_in_schema=False)
@router.get(
    "/assets/{key:path}",
    response_class=Response,
    responses={200: _BYTES, 206: _BYTES, 304: {"description": "It is what `If-None-Match` names"}},
)
async def read_asset(key: str, request: Request) -> Response:
    """Return an asset's bytes, or the range of them that is asked for; 404 for any other name."""
    named = _NAME.fullmatch(key)
    store: Store = request.app.state.store
    size = await store.size(f"{ASSETS}/{key}") if named else None
    if named is None or size is None:
        raise RequestError(404, "ASSET_NOT_FOUND", f"There is no asset {key!r}; take its address from the item.")
    etag = f'"{named["sha"]}"'
    headers = {
        "ETag": etag,
        "Cache-Control": "public, max-age=31536000, immutable",
        "Accept-Ranges": "bytes",
    }
    known = request.headers.get("if-none-match", "")
    if etag in known or known.strip() == "*":
        return Response(status_code=304, headers=headers)
    media_type = _MEDIA_TYPES[Path(key).suffix]
    if path := store.local_path(f"{ASSETS}/{key}"):
        return FileResponse(path, media_type=media_type, headers=headers)
    return _from_bucket(store, key, size, request, headers, media_type)


def _from_bucket(
    store: Store, key: str, size: int, request: Request, headers: dict[str, str], media_type: str
) -> Response:
    start, end = 0, size
    asked = re.fullmatch(r"bytes=([0-9]{0,18})-([0-9]{0,18})", request.headers.get("range", ""))
    status = 200
    if asked and (asked[1] or asked[2]):
        start = int(asked[1]) if asked[1] else max(0, size - int(asked[2]))
        end = min(size, int(asked[2]) + 1) if asked[1] and asked[2] else size
        if start >= end:
            return Response(status_code=416, headers={**headers, "Content-Range": f"bytes */{size}"})
        status = 206
        headers["Content-Range"] = f"bytes {start}-{end - 1}/{size}"
    headers["Content-Length"] = str(end - start)
    if request.method == "HEAD":
        return Response(status_code=status, headers=headers, media_type=media_type)
    return StreamingResponse(
        store.read(f"{ASSETS}/{key}", start, end), status_code=status, headers=headers, media_type=media_type
    )
