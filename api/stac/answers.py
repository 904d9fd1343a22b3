"""How a Collection or an Item of the catalog goes out: with the links of the address that was asked, and its ETag.

The ETag is made of what the catalog holds, so it is the same wherever and however compressed it is read. That makes it
fit to be sent back in `If-Match` (RFC 9110 section 13) by whoever wants to change what was read and nothing newer.
"""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import quote, urljoin

from fastapi import Request
from stac_fastapi.api.models import GeoJSONResponse
from stac_fastapi.pgstac.models.links import CollectionLinks, ItemLinks
from stac_fastapi.types.requests import get_base_url
from starlette.responses import JSONResponse, Response

from stac_ingest.catalog import UNSTORED_LINKS, etag
from stac_ingest.errors import RequestError
from stac_ingest.stac import Json

QUERYABLES = "http://www.opengis.net/def/rel/ogc/1.0/queryables"


def collection_answer(stored: Json, request: Request, status: int = 200) -> Response:
    """Return a Collection as it is answered; 304 when the request says that it has it already."""
    base = get_base_url(request)
    collection_id = _in_address(stored["id"])
    here = urljoin(base, f"collections/{collection_id}")
    made = CollectionLinks(collection_id=collection_id, request=request).create_links()
    made.append(
        {"rel": QUERYABLES, "type": "application/schema+json", "title": "Queryables", "href": f"{here}/queryables"}
    )
    return _answer(JSONResponse, stored, made, here, request, status)


def item_answer(stored: Json, request: Request, status: int = 200) -> Response:
    """Return an Item as it is answered; 304 when the request says that it has it already."""
    collection_id, item_id = _in_address(stored["collection"]), _in_address(stored["id"])
    here = urljoin(get_base_url(request), f"collections/{collection_id}/items/{item_id}")
    made = ItemLinks(collection_id=collection_id, item_id=item_id, request=request).create_links()
    return _answer(GeoJSONResponse, stored, made, here, request, status)


def _in_address(name: str) -> str:
    # Other tools of pgstac write ids that ours refuse.
    return quote(name, safe=":")


def _answer(kind: Any, stored: Json, made: list[Json], here: str, request: Request, status: int) -> Response:
    headers = {"ETag": etag(stored), "Cache-Control": "no-cache"}
    if request.method == "GET" and _names(request.headers.get("if-none-match", ""), stored):
        return Response(status_code=304, headers=headers)
    if status == 201:
        headers["Location"] = here
    base = get_base_url(request)
    own = [
        {**link, "href": urljoin(base, link["href"])}
        for link in stored.get("links", ())
        if link["rel"] not in UNSTORED_LINKS
    ]
    answer: Response = kind({**stored, "links": [*made, *own]}, status_code=status, headers=headers)
    return answer


def require_unchanged(stored: Json, request: Request) -> None:
    """Refuse a change of something that is not as the request's `If-Match` says, or that is as `If-None-Match` says.

    Raises:
        RequestError: 412 `PRECONDITION_FAILED`.
    """
    expected = request.headers.get("if-match")
    if expected is not None and not _names(expected, stored):
        raise RequestError(
            412,
            "PRECONDITION_FAILED",
            f"Expected {stored['id']!r} to be as it was when it was read, but somebody else has changed it meanwhile;"
            " reload it, and make the change again.",
        )
    if _names(request.headers.get("if-none-match", ""), stored):
        raise RequestError(
            412,
            "PRECONDITION_FAILED",
            f"Expected that there is no {stored['id']!r} as If-None-Match names it, but there is;"
            " leave the header away to change what is there.",
        )


def _names(tags: str, stored: Json) -> bool:
    # A proxy that compresses makes a tag weak (W/"…"); what it stands for is the same.
    return tags.strip() == "*" or etag(stored) in re.findall(r'"[^"]*"', tags)
