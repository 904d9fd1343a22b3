"""The STAC API's reading side: landing page, conformance, Collections, Items, searches, queryables."""

from __future__ import annotations

import re
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import replace
from typing import Any
from urllib.parse import urlencode

import orjson
from fastapi import APIRouter, Request
from fastapi.routing import APIRoute
from starlette.responses import JSONResponse, Response

from api.stac import described
from api.stac.answers import QUERYABLES, SORTABLES, collection_answer, item_row_answer, links_of_collection
from api.stac.conformance import CONFORMS_TO
from api.stac.memory import Memory
from api.stac.pages import GEOJSON, LinkTo, Pages
from api.stac.search import collection_search_from_query, search_from_body, search_from_query
from stac_ingest.errors import RequestError
from stac_ingest.stac import STAC_VERSION, Json

JSON = "application/json"
SCHEMA = "application/schema+json"
COLLECTIONS_PAGE = 100
MOST_COLLECTIONS = 10_000
MOST_OFFSET = 2**30


class PlainRoute(APIRoute):
    """A route whose endpoint takes the request and what is in its path, so that nothing has to be parsed for it."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return what answers a request."""
        endpoint = self.endpoint

        async def handle(request: Request) -> Response:
            answer: Response = await endpoint(request, **request.path_params)
            return answer

        return handle


router = APIRouter(tags=["STAC API"], route_class=PlainRoute)


@router.get("/", summary="Landing page", openapi_extra=described.answer(JSON, "Catalog"))
async def landing_page(request: Request) -> Response:
    """Return the root of the catalog: what the service offers, and a child for each Collection."""
    base, memory = str(request.base_url), _memory(request)

    async def make() -> bytes:
        children = [
            _link("child", f"{base}collections/{name}", JSON, collection.get("title") or name)
            for name, collection in (await memory.collections()).items()
        ]
        app = request.app
        page = {
            "type": "Catalog",
            "stac_version": STAC_VERSION,
            "stac_extensions": [],
            "id": "stac-ingest",
            "title": app.title,
            "description": app.description,
            "conformsTo": CONFORMS_TO,
            "links": [*_links_of_root(base), *children],
        }
        return orjson.dumps(page)

    return _fresh(Response(await memory.answer(("landing", base), make), media_type=JSON))


def _links_of_root(base: str) -> list[Json]:
    return [
        _link("self", base, JSON, "This document"),
        _link("root", base, JSON, "Root"),
        _link("data", f"{base}collections", JSON, "Collections"),
        _link("children", f"{base}children", JSON, "Collections, as the children of the root"),
        _link("conformance", f"{base}conformance", JSON, "What this service conforms to"),
        {**_link("search", f"{base}search", GEOJSON, "Search by GET"), "method": "GET"},
        {**_link("search", f"{base}search", GEOJSON, "Search by POST"), "method": "POST"},
        {**_link("aggregate", f"{base}aggregate", JSON, "Aggregate by GET"), "method": "GET"},
        {**_link("aggregate", f"{base}aggregate", JSON, "Aggregate by POST"), "method": "POST"},
        _link("aggregations", f"{base}aggregations", JSON, "Aggregations"),
        _link(QUERYABLES, f"{base}queryables", SCHEMA, "Queryables"),
        _link(SORTABLES, f"{base}sortables", SCHEMA, "Sortables"),
        _link("service-desc", f"{base}api", "application/vnd.oai.openapi+json;version=3.0", "OpenAPI description"),
        _link("service-doc", f"{base}api.html", "text/html", "OpenAPI documentation"),
    ]


@router.get("/children", summary="Children of the root", openapi_extra=described.answer(JSON, "The Collections"))
async def children(request: Request) -> Response:
    """Return the children of the root (Children extension): all Collections."""
    base, memory = str(request.base_url), _memory(request)

    async def make() -> bytes:
        found = [{**one, "links": links_of_collection(one, base)} for one in (await memory.collections()).values()]
        links = [_link("root", base, JSON, "Root"), _link("self", f"{base}children", JSON, "This document")]
        return orjson.dumps({"children": found, "links": links})

    return _fresh(Response(await memory.answer(("children", base), make), media_type=JSON))


@router.get("/conformance", summary="Conformance classes", openapi_extra=described.answer(JSON, "The classes"))
async def conformance(request: Request) -> Response:
    """Return the classes of the standards that the service conforms to."""
    return JSONResponse({"conformsTo": CONFORMS_TO})


@router.get(
    "/collections",
    summary="Collections",
    openapi_extra=described.parameters(*described.COLLECTION_SEARCH) | described.answer(JSON, "Collections"),
)
async def collections(request: Request) -> Response:
    """Return the Collections, or those that are searched for."""
    asked = {name: text for name, text in request.query_params.items() if text}
    if asked.keys() - {"limit", "offset"}:
        return await _searched_collections(request, asked)
    limit, offset = _count(asked, "limit", COLLECTIONS_PAGE, least=1), _count(asked, "offset", 0)
    memory, base = _memory(request), str(request.base_url)

    async def make() -> bytes:
        found = list((await memory.collections()).values())
        return orjson.dumps(_collection_page(found[offset : offset + limit], len(found), limit, offset, asked, base))

    return _fresh(Response(await memory.answer((base, *asked.items()), make), media_type=JSON))


def _collection_page(
    found: list[Json], matched: int, limit: int, offset: int, asked: Mapping[str, str], base: str
) -> Json:
    here = f"{base}collections"
    query = {name: text for name, text in asked.items() if name not in ("limit", "offset")}
    links = [_link("root", base, JSON, "Root"), _link("self", _with_query(here, asked), JSON, "This page")]
    if offset + len(found) < matched:
        following = {**query, "limit": limit, "offset": offset + limit}
        links.append(_link("next", _with_query(here, following), JSON, "Next page"))
    if offset > 0:
        before = {**query, "limit": limit, "offset": max(0, offset - limit)}
        links.append(_link("previous", _with_query(here, before), JSON, "Previous page"))
    return {
        "collections": [
            {**one, "links": links_of_collection(one, base)} if {"id", "links"} <= one.keys() else one for one in found
        ],
        "links": links,
        "numberMatched": matched,
        "numberReturned": len(found),
    }


@router.get(
    "/collections/{collection_id}",
    summary="A Collection",
    openapi_extra=described.answer(JSON, "The Collection"),
)
async def collection(request: Request, collection_id: str) -> Response:
    """Return a Collection with its ETag."""
    return collection_answer(await _memory(request).get_collection(collection_id), request)


@router.get(
    "/collections/{collection_id}/items",
    summary="Items of a Collection",
    openapi_extra=described.parameters(*described.ITEMS) | described.answer(GEOJSON, "A page of Items"),
)
async def items(request: Request, collection_id: str) -> Response:
    """Return the Items of a Collection, the newest first."""
    await _memory(request).get_collection(collection_id)
    query = dict(request.query_params)
    base = str(request.base_url)
    search = replace(search_from_query({**query, "collections": ""}), collections=(collection_id,))
    here = f"{base}collections/{collection_id}"
    links = [
        _link("root", base, JSON, "Root"),
        _link("parent", here, JSON, "The collection"),
        _link("collection", here, JSON, "The collection"),
        _link("self", _as_asked(f"{here}/items", request), GEOJSON, "This page"),
    ]
    return _fresh(await _pages(request).answer(search, base, links, _linking_by_get(f"{here}/items", query)))


@router.get(
    "/collections/{collection_id}/items/{item_id}",
    summary="An Item",
    openapi_extra=described.answer(GEOJSON, "The Item"),
)
async def item(request: Request, collection_id: str, item_id: str) -> Response:
    """Return an Item with its ETag."""
    if "\0" in collection_id or "\0" in item_id:
        raise RequestError(400, "INVALID_ID", "Expected ids without the character NUL.")
    row = await _pages(request).get_item(collection_id, item_id)
    if row is None:
        await _memory(request).get_collection(collection_id)
        raise RequestError(404, "ITEM_NOT_FOUND", f"There is no item {item_id!r} in collection {collection_id!r}.")
    return item_row_answer(row, request)


@router.get(
    "/search",
    summary="Search by GET",
    openapi_extra=described.parameters(*described.SEARCH) | described.answer(GEOJSON, "A page of Items"),
)
async def search_by_get(request: Request) -> Response:
    """Return the Items that are searched for, the newest first."""
    query = dict(request.query_params)
    base = str(request.base_url)
    here = f"{base}search"
    links = [_link("root", base, JSON, "Root"), _link("self", _as_asked(here, request), GEOJSON, "This page")]
    return _fresh(await _pages(request).answer(search_from_query(query), base, links, _linking_by_get(here, query)))


@router.post(
    "/search",
    summary="Search by POST",
    openapi_extra=described.body(described.SEARCH_BODY) | described.answer(GEOJSON, "A page of Items"),
)
async def search_by_post(request: Request) -> Response:
    """Return the Items that are searched for, the newest first."""
    body = await sent_json(request)
    base = str(request.base_url)
    here = f"{base}search"
    links = [_link("root", base, JSON, "Root"), _link("self", here, GEOJSON, "This search")]

    def link_to(relation: str, token: str) -> Json:
        return {**_link(relation, here, GEOJSON), "method": "POST", "body": {**body, "token": token}}

    return _fresh(await _pages(request).answer(search_from_body(body), base, links, link_to))


@router.get("/queryables", summary="Queryables", openapi_extra=described.answer(SCHEMA, "A JSON Schema"))
async def queryables(request: Request) -> Response:
    """Return what Items can be filtered by, whatever their Collection."""
    return await _queryables(request, None)


@router.get(
    "/collections/{collection_id}/queryables",
    summary="Queryables of a Collection",
    openapi_extra=described.answer(SCHEMA, "A JSON Schema"),
)
async def queryables_of_collection(request: Request, collection_id: str) -> Response:
    """Return what the Items of a Collection can be filtered by."""
    return await _queryables(request, collection_id)


async def _queryables(request: Request, collection: str | None) -> Response:
    document = await _memory(request).queryables(collection)
    return _fresh(JSONResponse({**document, "$id": str(request.url)}, media_type=SCHEMA))


async def _searched_collections(request: Request, asked: Mapping[str, str]) -> Response:
    limit, offset = _count(asked, "limit", COLLECTIONS_PAGE, least=1), _count(asked, "offset", 0)
    wanted = collection_search_from_query(asked)
    found = await _pages(request).search_collections({**wanted, "limit": limit, "offset": offset})
    base = str(request.base_url)
    page = _collection_page(found["collections"], found.get("numberMatched", 0), limit, offset, asked, base)
    return _fresh(JSONResponse(page))


async def sent_json(request: Request) -> Any:
    """Return the JSON body of a request; raises RequestError 400 `INVALID_REQUEST`."""
    try:
        return orjson.loads(await request.body())
    except ValueError as error:
        raise RequestError(400, "INVALID_REQUEST", f"Expected a JSON object as body: {error}.") from error


def _count(asked: Mapping[str, str], name: str, default: int, least: int = 0) -> int:
    text = asked.get(name)
    if text is None:
        return default
    if not re.fullmatch(r"\d{1,18}", text) or int(text) < least:
        raise RequestError(
            400, "INVALID_PARAMETER", f"Expected a whole number of {least} or more as {name}, found {text[:100]!r}."
        )
    return min(int(text), MOST_COLLECTIONS) if name == "limit" else min(int(text), MOST_OFFSET)


def _linking_by_get(here: str, query: Mapping[str, str]) -> LinkTo:
    def link_to(relation: str, token: str) -> Json:
        return {**_link(relation, _with_query(here, {**query, "token": token}), GEOJSON), "method": "GET"}

    return link_to


def _link(relation: str, href: str, media_type: str, title: str | None = None) -> Json:
    link = {"rel": relation, "type": media_type, "href": href}
    return link if title is None else {**link, "title": title}


def _with_query(address: str, query: Mapping[str, Any]) -> str:
    return f"{address}?{urlencode(query)}" if query else address


def _as_asked(address: str, request: Request) -> str:
    return f"{address}?{request.url.query}" if request.url.query else address


def _fresh(answer: Response) -> Response:
    """Forbid to keep an answer that the next change makes old; QGIS keeps what it may."""
    answer.headers["Cache-Control"] = "no-store"
    return answer


def _memory(request: Request) -> Memory:
    memory: Memory = request.app.state.memory
    return memory


def _pages(request: Request) -> Pages:
    pages: Pages = request.app.state.pages
    return pages
