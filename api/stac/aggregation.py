"""The Aggregation extension of the STAC API: what the Items of a search come to, in place of these."""

from __future__ import annotations

from dataclasses import replace

from fastapi import APIRouter, Request
from starlette.responses import JSONResponse, Response

from api.stac import described
from api.stac.aggregates import AGGREGATIONS, Wanted, statement_of, wanted_from_body, wanted_from_query
from api.stac.memory import Memory
from api.stac.pages import Pages
from api.stac.reading import JSON, PlainRoute, sent_json
from api.stac.search import Search, search_from_body, search_from_query
from stac_ingest.stac import Json

router = APIRouter(tags=["Aggregation Extension"], route_class=PlainRoute)


@router.get("/aggregations", summary="Aggregations", openapi_extra=described.answer(JSON, "The aggregations"))
async def aggregations(request: Request) -> Response:
    """Return the aggregations that there are."""
    return _answer(request, [aggregation.described() for aggregation in AGGREGATIONS.values()])


@router.get(
    "/collections/{collection_id}/aggregations",
    summary="Aggregations of a Collection",
    openapi_extra=described.answer(JSON, "The aggregations"),
)
async def aggregations_of_collection(request: Request, collection_id: str) -> Response:
    """Return the aggregations that there are for the Items of a Collection: all."""
    await _require_collection(request, collection_id)
    return await aggregations(request)


@router.get(
    "/aggregate",
    summary="Aggregate by GET",
    openapi_extra=described.parameters(*described.AGGREGATE) | described.answer(JSON, "What the Items come to"),
)
async def aggregate_by_get(request: Request) -> Response:
    """Return what the Items that are searched for come to."""
    query = dict(request.query_params)
    return await _aggregated(request, search_from_query(query), wanted_from_query(query))


@router.post(
    "/aggregate",
    summary="Aggregate by POST",
    openapi_extra=described.body(described.AGGREGATE_BODY) | described.answer(JSON, "What the Items come to"),
)
async def aggregate_by_post(request: Request) -> Response:
    """Return what the Items that are searched for come to."""
    body = await sent_json(request)
    return await _aggregated(request, search_from_body(body), wanted_from_body(body))


@router.get(
    "/collections/{collection_id}/aggregate",
    summary="Aggregate a Collection by GET",
    openapi_extra=described.parameters(*described.AGGREGATE_ITEMS) | described.answer(JSON, "What the Items come to"),
)
async def aggregate_collection_by_get(request: Request, collection_id: str) -> Response:
    """Return what the Items of a Collection come to."""
    await _require_collection(request, collection_id)
    query = dict(request.query_params)
    search = replace(search_from_query(query), collections=(collection_id,))
    return await _aggregated(request, search, wanted_from_query(query))


@router.post(
    "/collections/{collection_id}/aggregate",
    summary="Aggregate a Collection by POST",
    openapi_extra=described.body(described.AGGREGATE_BODY) | described.answer(JSON, "What the Items come to"),
)
async def aggregate_collection_by_post(request: Request, collection_id: str) -> Response:
    """Return what the Items of a Collection come to."""
    await _require_collection(request, collection_id)
    body = await sent_json(request)
    search = replace(search_from_body(body), collections=(collection_id,))
    return await _aggregated(request, search, wanted_from_body(body))


async def _require_collection(request: Request, collection_id: str) -> None:
    memory: Memory = request.app.state.memory
    await memory.get_collection(collection_id)


async def _aggregated(request: Request, search: Search, wanted: Wanted) -> Response:
    pages: Pages = request.app.state.pages
    row = await pages.row(search, lambda asked: statement_of(asked, wanted))
    return _answer(request, wanted.results(list(row)))


def _answer(request: Request, found: list[Json]) -> Response:
    links = [
        {"rel": "root", "type": JSON, "href": str(request.base_url)},
        {"rel": "self", "type": JSON, "href": str(request.url)},
    ]
    document = {"type": "AggregationCollection", "aggregations": found, "links": links}
    return JSONResponse(document, headers={"Cache-Control": "no-store"})
