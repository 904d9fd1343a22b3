"""How a Collection or an Item of the catalog goes out: with the links of the address that was asked, and its ETag.

The ETag is made of what the catalog holds, so it is the same wherever and however compressed it is read. That makes it
fit to be sent back in `If-Match` (RFC 9110 section 13) by whoever wants to change what was read and nothing newer.
"""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import quote

import orjson
from fastapi import Request
from starlette.responses import JSONResponse, Response

from api.stac.pages import GEOJSON, ItemWriter, Row, own_links
from stac_ingest.catalog import etag
from stac_ingest.errors import RequestError
from stac_ingest.stac import Json

QUERYABLES = "http://www.opengis.net/def/rel/ogc/1.0/queryables"
SORTABLES = "http://www.opengis.net/def/rel/ogc/1.0/sortables"


def collection_answer(stored: Json, request: Request, status: int = 200) -> Response:
    """Return a Collection as it is answered; 304 when the request says that it has it already."""
    base = str(request.base_url)
    whole = {**stored, "links": links_of_collection(stored, base)}
    return _answer(JSONResponse, whole, stored, _address(base, stored["id"]), request, status)


def links_of_collection(stored: Json, base: str) -> list[Json]:
    """Return the links of a Collection: those that name the address that is asked, and its own."""
    here = _address(base, stored["id"])
    return [
        {"rel": "items", "type": GEOJSON, "href": f"{here}/items"},
        {"rel": "parent", "type": "application/json", "href": base},
        {"rel": "root", "type": "application/json", "href": base},
        {"rel": "self", "type": "application/json", "href": here},
        *own_links(stored.get("links", ()), base),
        *(
            {"rel": "aggregate", "type": "application/json", "href": f"{here}/aggregate", "method": method}
            for method in ("GET", "POST")
        ),
        {"rel": "aggregations", "type": "application/json", "href": f"{here}/aggregations"},
        {"rel": QUERYABLES, "type": "application/schema+json", "title": "Queryables", "href": f"{here}/queryables"},
        {"rel": SORTABLES, "type": "application/schema+json", "title": "Sortables", "href": f"{here}/sortables"},
    ]


def item_answer(stored: Json, request: Request, status: int = 200) -> Response:
    """Return an Item as it is answered; 304 when the request says that it has it already."""
    base = str(request.base_url)
    of_collection = _address(base, stored["collection"])
    here = f"{of_collection}/items/{quote(stored['id'], safe='')}"
    links = [
        {"rel": "collection", "type": "application/json", "href": of_collection},
        {"rel": "parent", "type": "application/json", "href": of_collection},
        {"rel": "root", "type": "application/json", "href": base},
        {"rel": "self", "type": GEOJSON, "href": here},
        *own_links(stored.get("links", ()), base),
    ]
    return _answer(GeoJSONResponse, {**stored, "links": links}, stored, here, request, status)


def item_row_answer(row: Row, request: Request) -> Response:
    """Return an Item that `read_item` found as it is answered; 304 when the request says that it has it already."""
    stored = orjson.loads(row["document"])
    stored["links"] = orjson.loads(row["links"] or b"[]")
    headers = {"ETag": etag(stored), "Cache-Control": "no-cache"}
    if _has_it(request, stored):
        return Response(status_code=304, headers=headers)
    return Response(ItemWriter(str(request.base_url)).item(row), headers=headers, media_type=GEOJSON)


class GeoJSONResponse(JSONResponse):
    """An answer in GeoJSON (RFC 7946)."""

    media_type = GEOJSON


def _address(base: str, collection: str) -> str:
    return f"{base}collections/{quote(collection, safe=':')}"


def _answer(kind: Any, whole: Json, stored: Json, here: str, request: Request, status: int) -> Response:
    headers = {"ETag": etag(stored), "Cache-Control": "no-cache"}
    if _has_it(request, stored):
        return Response(status_code=304, headers=headers)
    if status == 201:
        headers["Location"] = here
    answer: Response = kind(whole, status_code=status, headers=headers)
    return answer


def _has_it(request: Request, stored: Json) -> bool:
    return request.method == "GET" and _names(request.headers.get("if-none-match", ""), stored)


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
    return bool(tags) and (tags.strip() == "*" or etag(stored) in re.findall(r'"[^"]*"', tags))
