"""Writing Collections and Items by the Transaction extension; each request is one transaction of the database.

Each write reads the same: unless it was done before, lock what is there, require that it is what the request expects,
and write; then answer with what is there now.
"""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import attr
import jsonpatch
from fastapi import Request
from json_merge_patch import merge
from pydantic import BaseModel, Field, ValidationError
from stac_fastapi.extensions.transaction import AsyncBaseTransactionsClient
from stac_fastapi.extensions.transaction.request import PatchOperation
from stac_fastapi.types.requests import get_base_url
from stac_pydantic import Collection, Item, ItemCollection
from starlette.responses import Response

from api.bodies import require_storable
from api.stac.answers import collection_answer, item_answer, require_unchanged
from api.writing import writing
from stac_ingest import catalog
from stac_ingest.database import Connection
from stac_ingest.errors import AttributeValidationError, RequestError
from stac_ingest.models.bands import Layout
from stac_ingest.models.values import check_name, check_product_id, describe
from stac_ingest.stac import SCHEMA, SCHEMA_PATH, Json, bands_from_collection, product_from_collection

Patch = BaseModel | list[PatchOperation]


class AssetReadByUs(BaseModel):
    """What we read of an asset of a Collection."""

    bands: list[Json] = []


class ReadByUs(BaseModel):
    """What we read of a Collection, as far as STAC's own models do not check it."""

    properties: Json = {}
    assets: dict[str, AssetReadByUs] = {}
    item_assets: dict[str, AssetReadByUs] = {}
    product: Json = Field({}, alias="ingest:product")
    bands: list[Json] = Field([], alias="ingest:bands")


@attr.s
class TransactionsClient(AsyncBaseTransactionsClient):  # type: ignore[misc]
    """The STAC API's writing side."""

    async def create_item(
        self, collection_id: str, item: Item | ItemCollection, request: Request, **kwargs: Any
    ) -> Response:
        """Add one Item, or all or none of an ItemCollection."""
        sent = await _received(item, request)
        whole = sent["type"] == "FeatureCollection"
        created = [_checked_item(feature, collection_id, None) for feature in (sent["features"] if whole else [sent])]
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
        changed = _checked_item(await _received(item, request), collection_id, item_id)
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
                changed = _checked_item(await _patched(before, Item, request), collection_id, item_id)
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
        created = _checked_collection(await _received(collection, request), None)
        async with writing(request) as write:
            if not write.repeated:
                await catalog.create_collection(write.connection, created)
            stored = await catalog.get_collection(write.connection, created["id"])
        return collection_answer(stored, request, status=201)

    async def update_collection(
        self, collection_id: str, collection: Collection, request: Request, **kwargs: Any
    ) -> Response:
        """Replace a Collection that is there."""
        changed = _checked_collection(await _received(collection, request), collection_id)
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
                changed = _checked_collection(await _patched(before, Collection, request), collection_id)
                await _replace(write.connection, before, changed)
            stored = await catalog.get_collection(write.connection, collection_id)
        return collection_answer(stored, request)

    async def delete_collection(self, collection_id: str, request: Request, **kwargs: Any) -> Response:
        """Remove a Collection that has no Items."""
        async with writing(request) as write:
            if not write.repeated:
                before = await catalog.get_collection(write.connection, collection_id, lock=True)
                require_unchanged(before, request)
                await catalog.delete_collection(write.connection, collection_id)
        return Response(status_code=204)


async def _replace(connection: Connection, before: Json, changed: Json) -> None:
    """Replace a locked Collection; its bands stay as they are while everything in it is being deleted."""
    if changed.get("ingest:bands") != before.get("ingest:bands"):
        await catalog.lock_for_items(connection, before["id"])
    await catalog.update_collection(connection, changed)


async def _received(stac: BaseModel | None, request: Request) -> Json:
    """Return what was sent, with the addresses of our own assets and schema as the catalog records them."""
    if stac is None:
        raise RequestError(400, "INVALID_REQUEST", "Expected a JSON object, found an empty body.")
    # As it was sent: the models write null for numbers that JSON has not, and leave out what STAC does not define.
    sent = await request.json()
    require_storable(sent)
    read = stac.model_dump(mode="json", exclude_unset=True, by_alias=True)
    received: Json = _as_stored({**sent, **read}, request)
    if "features" in read:
        pairs = zip(sent["features"], received["features"], strict=True)
        received["features"] = [{**_as_stored(feature, request), **checked} for feature, checked in pairs]
    return received


def _as_stored(value: Any, request: Request) -> Any:
    base, store_url = get_base_url(request), request.app.state.store.url

    def stored(part: Any) -> Any:
        if isinstance(part, dict):
            return {key: stored(inner) for key, inner in part.items()}
        if isinstance(part, list):
            return [stored(inner) for inner in part]
        if isinstance(part, str) and part.startswith(f"{base}assets/"):
            return f"{store_url}/{part.removeprefix(base)}"
        return SCHEMA if isinstance(part, str) and part.endswith(f"/{SCHEMA_PATH}") else part

    return stored(value)


async def _patched(before: Json, kind: type[BaseModel], request: Request) -> Json:
    # The body as it was sent: the models of stac-fastapi leave out what STAC does not define.
    patch = await request.json()
    require_storable(patch)
    patch = _as_stored(patch, request)
    try:
        changed: Json = (
            jsonpatch.JsonPatch(patch).apply(before) if isinstance(patch, list) else merge(deepcopy(before), patch)
        )
        kind.model_validate(changed)
    except (jsonpatch.JsonPatchException, jsonpatch.JsonPointerException) as error:
        raise RequestError(400, "INVALID_PATCH", f"The patch does not fit what is there: {error}.") from error
    except ValidationError as error:
        raise RequestError(
            400, "INVALID_PATCH", f"The patch leaves nothing valid behind: {describe(error)}."
        ) from error
    return changed


def _checked_item(item: Json, collection_id: str, item_id: str | None) -> Json:
    _require_name(check_name, item.get("id"), "item id")
    for found, expected, what in (
        (item.get("collection") or collection_id, collection_id, "collection"),
        (item["id"], item_id or item["id"], "id"),
    ):
        if found != expected:
            raise RequestError(
                400, "ID_MISMATCH", f"Expected the {what} {expected!r} of the address, found {found!r} in the item."
            )
    _require_addresses(item)
    catalog.check_geometry(item)
    catalog.check_datetimes(item)
    return {"links": [], "assets": {}, **item, "collection": collection_id}


def _require_addresses(item: Json) -> None:
    """Refuse an href in which GDAL would find options, and with them this or a reader's own files."""
    for key, asset in (item.get("assets") or {}).items():
        if str(asset.get("href")).startswith("/vsi"):
            raise RequestError(
                400,
                "INVALID_HREF",
                f"Expected the href of asset {key!r} to be an address such as https://…, found a path of GDAL's.",
            )


def _checked_collection(collection: Json, collection_id: str | None) -> Json:
    _require_name(check_product_id, collection.get("id"), "collection id")
    if collection_id is not None and collection["id"] != collection_id:
        raise RequestError(
            400,
            "ID_MISMATCH",
            f"Expected the id {collection_id!r} of the address, found {collection['id']!r} in the collection.",
        )
    collection = {key: value for key, value in collection.items() if value is not None}
    try:
        ReadByUs.model_validate(collection)
        if collection.keys() & {"ingest:bands", "ingest:product"}:
            product_from_collection(collection)
            Layout.of(bands_from_collection(collection))
    except ValidationError as error:
        raise RequestError(422, "INVALID_PRODUCT", f"The collection is not as expected: {describe(error)}.") from error
    except AttributeValidationError as error:
        raise RequestError(422, "INVALID_PRODUCT", str(error)) from error
    return collection


def _require_name(check: Any, name: object, what: str) -> None:
    try:
        check(name)
    except ValueError as error:
        raise RequestError(400, "INVALID_ID", f"Expected the {what} {name!r} to be otherwise: {error}.") from error
