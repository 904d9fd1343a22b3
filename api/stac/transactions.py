"""Writing Collections and Items by the Transaction extension; each request is one transaction of the database.

Each write reads the same: unless it was done before, lock what is there, require that it is what the request expects,
and write; then answer with what is there now.
"""

from __future__ import annotations

from typing import Annotated, Any

import attr
from fastapi import Query, Request
from pydantic import BaseModel
from stac_fastapi.api.models import CollectionUri, ItemUri
from stac_fastapi.api.routes import create_async_endpoint
from stac_fastapi.extensions.transaction import AsyncBaseTransactionsClient, TransactionExtension
from stac_fastapi.extensions.transaction.request import PatchOperation
from stac_pydantic import Collection, Item, ItemCollection
from starlette.responses import Response

from api.deletions import deletion_answer, deletions_of
from api.stac.answers import collection_answer, item_answer, require_unchanged
from api.stac.received import checked_collection, checked_item, patched, received
from api.writing import writing
from stac_ingest import catalog
from stac_ingest.database import Connection
from stac_ingest.stac import Json

Patch = BaseModel | list[PatchOperation]


@attr.s
class TransactionsClient(AsyncBaseTransactionsClient):  # type: ignore[misc]
    """The STAC API's writing side."""

    async def create_item(
        self, collection_id: str, item: Item | ItemCollection, request: Request, **kwargs: Any
    ) -> Response:
        """Add one Item, or all or none of an ItemCollection."""
        sent = await received(item, request)
        whole = sent["type"] == "FeatureCollection"
        created = [checked_item(feature, collection_id, None) for feature in (sent["features"] if whole else [sent])]
        async with writing(request) as write:
            if not write.repeated:
                await catalog.create_items(write.connection, collection_id, created)
            if whole:
                return Response(status_code=201)
            stored = await catalog.get_item(write.connection, collection_id, created[0]["id"])
        return item_answer(stored, request, status=201)

    async def update_item(
        self, request: Request, collection_id: str, item_id: str, item: Item, **kwargs: Any
    ) -> Response:
        """Replace an Item that is there."""
        changed = checked_item(await received(item, request), collection_id, item_id)
        async with writing(request) as write:
            if not write.repeated:
                before = await catalog.get_item(write.connection, collection_id, item_id, lock=True)
                require_unchanged(before, request)
                await catalog.upsert_items(write.connection, collection_id, [changed])
            stored = await catalog.get_item(write.connection, collection_id, item_id)
        return item_answer(stored, request)

    async def patch_item(
        self, collection_id: str, item_id: str, patch: Patch, request: Request, **kwargs: Any
    ) -> Response:
        """Change a part of an Item, by JSON Merge Patch or JSON Patch."""
        async with writing(request) as write:
            if not write.repeated:
                before = await catalog.get_item(write.connection, collection_id, item_id, lock=True)
                require_unchanged(before, request)
                changed = checked_item(await patched(before, Item, request), collection_id, item_id)
                await catalog.upsert_items(write.connection, collection_id, [changed])
            stored = await catalog.get_item(write.connection, collection_id, item_id)
        return item_answer(stored, request)

    async def delete_item(self, item_id: str, collection_id: str, request: Request, **kwargs: Any) -> Response:
        """Remove an Item."""
        async with writing(request) as write:
            if not write.repeated:
                before = await catalog.get_item(write.connection, collection_id, item_id, lock=True)
                require_unchanged(before, request)
                await catalog.delete_item(write.connection, collection_id, item_id)
        return Response(status_code=204)

    async def create_collection(self, collection: Collection, request: Request, **kwargs: Any) -> Response:
        """Add a Collection."""
        created = checked_collection(await received(collection, request), None)
        async with writing(request) as write:
            if not write.repeated:
                await catalog.create_collection(write.connection, created)
            stored = await catalog.get_collection(write.connection, created["id"])
        return collection_answer(stored, request, status=201)

    async def update_collection(
        self, collection_id: str, collection: Collection, request: Request, **kwargs: Any
    ) -> Response:
        """Replace a Collection that is there."""
        changed = checked_collection(await received(collection, request), collection_id)
        async with writing(request) as write:
            if not write.repeated:
                before = await catalog.get_collection(write.connection, collection_id, lock=True)
                require_unchanged(before, request)
                await _replace(write.connection, before, changed)
            stored = await catalog.get_collection(write.connection, collection_id)
        return collection_answer(stored, request)

    async def patch_collection(self, collection_id: str, patch: Patch, request: Request, **kwargs: Any) -> Response:
        """Change a part of a Collection, by JSON Merge Patch or JSON Patch."""
        async with writing(request) as write:
            if not write.repeated:
                before = await catalog.get_collection(write.connection, collection_id, lock=True)
                require_unchanged(before, request)
                changed = checked_collection(await patched(before, Collection, request), collection_id)
                await _replace(write.connection, before, changed)
            stored = await catalog.get_collection(write.connection, collection_id)
        return collection_answer(stored, request)

    async def delete_collection(self, collection_id: str, cascade: bool, request: Request, **kwargs: Any) -> Response:
        """Remove a Collection that has no Items; with `cascade`, begin to remove it with all that it has."""
        async with writing(request) as write:
            deletion_id = write.result
            if not write.repeated:
                before = await catalog.get_collection(write.connection, collection_id, lock=True)
                require_unchanged(before, request)
                if cascade and await catalog.is_in_use(write.connection, collection_id):
                    deletions = deletions_of(request)
                    deletion_id = await deletions.open(write.connection, collection_id, with_collection=True)
                    await write.keep(deletion_id)
                else:
                    await catalog.delete_collection(write.connection, collection_id)
        return await deletion_answer(request, deletion_id)


@attr.s
class DeletedCollection(CollectionUri):  # type: ignore[misc]
    """Which Collection is deleted, and what with it."""

    cascade: Annotated[
        bool,
        Query(
            description="Delete the Items of the Collection too, and cancel its uploads. If it has any, that is a task:"
            " the answer is 202, and `Location` says how far it is."
        ),
    ] = attr.ib(default=False)


@attr.s
class Transactions(TransactionExtension):  # type: ignore[misc]
    """The Transaction extension, with deletions as they are: an Item is gone, a Collection asks whether to cascade."""

    def register_delete_item(self) -> None:
        """Register DELETE of an Item."""
        self.router.add_api_route(
            name="Delete Item",
            path="/collections/{collection_id}/items/{item_id}",
            description="Remove an Item.",
            status_code=204,
            response_class=Response,
            responses={412: {"description": "The Item is not as `If-Match` says."}},
            methods=["DELETE"],
            endpoint=create_async_endpoint(self.client.delete_item, ItemUri),
        )

    def register_delete_collection(self) -> None:
        """Register DELETE of a Collection."""
        self.router.add_api_route(
            name="Delete Collection",
            path="/collections/{collection_id}",
            description="Remove a Collection that has neither Items nor unfinished uploads, or with `cascade` any.",
            status_code=204,
            response_class=Response,
            responses={
                202: {"description": "A deletion has begun, which removes the Collection at its end."},
                409: {"description": "The Collection is not empty, or is being deleted."},
                412: {"description": "The Collection is not as `If-Match` says."},
            },
            methods=["DELETE"],
            endpoint=create_async_endpoint(self.client.delete_collection, DeletedCollection),
        )


async def _replace(connection: Connection, before: Json, changed: Json) -> None:
    """Replace a locked Collection; its bands stay as they are while everything in it is being deleted."""
    if changed.get("ingest:bands") != before.get("ingest:bands"):
        await catalog.lock_for_items(connection, before["id"])
    await catalog.update_collection(connection, changed)
