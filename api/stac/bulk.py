"""Many Items in one request: all of them are written, or none and each that is wrong is named."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import attr
from fastapi import APIRouter, FastAPI, Request
from stac_fastapi.api.routes import create_async_endpoint
from stac_fastapi.extensions.bulk_transactions import (
    AsyncBaseBulkTransactionsClient,
    BulkTransactionExtension,
    BulkTransactionMethod,
    BulkTransactionModel,
    Items,
)
from starlette.concurrency import run_in_threadpool
from starlette.responses import JSONResponse, Response

from api.errors import problem
from api.stac.received import checked_item, received_item
from api.writing import writing
from stac_ingest import catalog
from stac_ingest.database import Connection
from stac_ingest.errors import RequestError
from stac_ingest.stac import Json


class _ItemsRefusedError(Exception):
    """Some of the Items cannot be written, so that none is."""

    def __init__(self, refusals: dict[str, RequestError]) -> None:
        self.refusals = refusals


@attr.s
class BulkTransactionsClient(AsyncBaseBulkTransactionsClient):  # type: ignore[misc]
    """Writing many Items of one Collection, in one transaction of the database."""

    async def bulk_item_insert(self, items: Items, request: Request, **kwargs: Any) -> Response:
        """Add Items, or add and replace them."""
        collection_id = request.path_params["collection_id"]
        try:
            checked = await run_in_threadpool(_checked, items.items, collection_id, request)
            async with writing(request) as write:
                if not write.repeated and items.method is BulkTransactionMethod.INSERT:
                    await _require_new(write.connection, collection_id, checked)
                    await catalog.create_items(write.connection, collection_id, checked)
                elif not write.repeated:
                    await catalog.upsert_items(write.connection, collection_id, checked)
        except _ItemsRefusedError as error:
            return _refused(error.refusals, received=len(items.items))
        return JSONResponse({"received": len(checked), "success": len(checked), "skipped": 0, "errors": []})


@attr.s
class BulkTransactions(BulkTransactionExtension):  # type: ignore[misc]
    """The Bulk Transaction extension, which names no conformance class of its own."""

    def register(self, app: FastAPI) -> None:
        """Register the route."""
        router = APIRouter(prefix=app.state.router_prefix)
        router.add_api_route(
            name="Bulk Create Item",
            path="/collections/{collection_id}/bulk_items",
            description="Add Items (`insert`), or add and replace them (`upsert`): all in one transaction, or none."
            " Each Item that is wrong is named in `errors`, with its `code` and `msg`.",
            response_class=JSONResponse,
            responses={
                200: {"model": BulkTransactionModel},
                400: {"description": "Some Items are wrong; none is written."},
                409: {"description": "Some Items exist already; none is written."},
            },
            methods=["POST"],
            openapi_extra={
                "parameters": [{"name": "collection_id", "in": "path", "required": True, "schema": {"type": "string"}}]
            },
            endpoint=create_async_endpoint(self.client.bulk_item_insert, Items),
        )
        app.include_router(router, tags=["Bulk Transaction Extension"])


def _checked(items: dict[str, Any], collection_id: str, request: Request) -> list[Json]:
    """Return Items that may be written; raises _ItemsRefusedError."""
    checked: list[Json] = []
    refusals: dict[str, RequestError] = {}
    for item_id, item in items.items():
        try:
            checked.append(checked_item(received_item(item, request), collection_id, item_id))
        except RequestError as error:
            refusals[item_id] = error
    if refusals:
        raise _ItemsRefusedError(refusals)
    return checked


async def _require_new(connection: Connection, collection_id: str, items: Iterable[Json]) -> None:
    """Refuse Items that exist already; raises _ItemsRefusedError, or RequestError as `catalog.lock_for_items`."""
    await catalog.lock_for_items(connection, collection_id)
    there = await catalog.items_created(connection, collection_id, (item["id"] for item in items))
    if there:
        sentence = "An item {!r} exists already in collection {!r}; update it, or choose another id."
        raise _ItemsRefusedError(
            {name: RequestError(409, "ITEM_EXISTS", sentence.format(name, collection_id)) for name in sorted(there)}
        )


def _refused(refusals: dict[str, RequestError], received: int) -> Response:
    first = next(iter(refusals.values()))
    return problem(
        first.status,
        "ITEM_EXISTS" if first.code == "ITEM_EXISTS" else "INVALID_ITEMS",
        f"Expected {received} items that can be written, found {len(refusals)} that cannot; nothing was written."
        f" `errors` names each. The first: {first}",
        received=received,
        success=0,
        skipped=0,
        errors=[{"id": name, "code": error.code, "msg": str(error)} for name, error in refusals.items()],
    )
