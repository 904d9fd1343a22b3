"""What a request of the Transaction extension sends, as the catalog may hold it: read, checked, and nothing lost.

An Item or a Collection is kept as it was sent, also where STAC's own models know nothing of it; what they know is kept
as they read it.
"""

from __future__ import annotations

from copy import deepcopy
from typing import Any, cast

import jsonpatch
import orjson
from fastapi import Request
from json_merge_patch import merge
from pydantic import BaseModel, Field, ValidationError
from stac_fastapi.types.requests import get_base_url
from stac_pydantic import Collection, Item

from api.bodies import MAX_DEPTH, require_storable
from stac_ingest import catalog
from stac_ingest.errors import AttributeValidationError, RequestError
from stac_ingest.models.values import check_name, check_product_id, describe
from stac_ingest.stac import SCHEMA, SCHEMA_PATH, Json, bands_from_collection, product_from_collection


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


async def received(stac: BaseModel | None, request: Request) -> Json:
    """Return what was sent, with the addresses of our own assets and schema as the catalog records them."""
    if stac is None:
        raise RequestError(400, "INVALID_REQUEST", "Expected a JSON object, found an empty body.")
    # As it was sent: the models write null for numbers that JSON has not, and leave out what STAC does not define.
    sent = await request.json()
    require_storable(sent, MAX_DEPTH)
    read = _dumped(stac)
    kept: Json = as_stored({**sent, **read}, request)
    if "features" in read:
        pairs = zip(sent["features"], kept["features"], strict=True)
        kept["features"] = [{**as_stored(feature, request), **checked} for feature, checked in pairs]
    return kept


def received_item(sent: object, request: Request) -> Json:
    """Return one of many Items that were sent, as `received`.

    Raises:
        RequestError: 400 `INVALID_REQUEST`, when it is no Item.
    """
    require_storable(sent, MAX_DEPTH)
    try:
        item = Item.model_validate(sent)
    except ValidationError as error:
        raise RequestError(400, "INVALID_REQUEST", f"It is no STAC Item: {describe(error)[:1000]}.") from error
    kept: Json = as_stored({**cast(Json, sent), **_dumped(item)}, request)
    return kept


def _dumped(stac: BaseModel) -> Json:
    return stac.model_dump(mode="json", exclude_unset=True, by_alias=True)


def as_stored(value: Any, request: Request) -> Any:
    """Return JSON with the addresses of our own assets and schema as the catalog records them."""
    base, store_url = get_base_url(request), request.app.state.store.url
    text = orjson.dumps(value)
    if f'"{base}assets/'.encode() not in text and f'/{SCHEMA_PATH}"'.encode() not in text:
        return value

    def stored(part: Any) -> Any:
        if isinstance(part, dict):
            return {key: stored(inner) for key, inner in part.items()}
        if isinstance(part, list):
            return [stored(inner) for inner in part]
        if isinstance(part, str) and part.startswith(f"{base}assets/"):
            return f"{store_url}/{part.removeprefix(base)}"
        return SCHEMA if isinstance(part, str) and part.endswith(f"/{SCHEMA_PATH}") else part

    return stored(value)


async def patched(before: Json, kind: type[Item | Collection], request: Request) -> Json:
    """Return an Item or a Collection as the request's JSON Merge Patch or JSON Patch changes it.

    Raises:
        RequestError: 400 `INVALID_PATCH`.
    """
    # The body as it was sent: the models of stac-fastapi leave out what STAC does not define.
    patch = await request.json()
    require_storable(patch)
    if request.headers.get("content-type", "").startswith("application/json-patch+json") and not isinstance(
        patch, list
    ):
        raise RequestError(400, "INVALID_PATCH", f"Expected a JSON Patch, which is a list, found {str(patch)[:100]!r}.")
    patch = as_stored(patch, request)
    try:
        changed = (
            jsonpatch.JsonPatch(patch).apply(before) if isinstance(patch, list) else merge(deepcopy(before), patch)
        )
        if kind is Item and isinstance(changed, dict):
            changed = catalog.dated(changed)
        read = _dumped(kind.model_validate(changed))
    except (jsonpatch.JsonPatchException, jsonpatch.JsonPointerException) as error:
        raise RequestError(400, "INVALID_PATCH", f"The patch does not fit what is there: {error}.") from error
    except ValidationError as error:
        raise RequestError(
            400, "INVALID_PATCH", f"The patch leaves nothing valid behind: {describe(error)}."
        ) from error
    require_storable(changed, MAX_DEPTH)
    return {**changed, **read}


def checked_item(item: Json, collection_id: str, item_id: str | None) -> Json:
    """Return an Item that may be written at this address; `item_id` is None where the address names none.

    Raises:
        RequestError: 400 `INVALID_ID`, `ID_MISMATCH`, `INVALID_HREF`, `INVALID_GEOMETRY`, `INVALID_DATETIME` or
            `INVALID_REQUEST`.
    """
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
    return {"links": [], "assets": {}, **catalog.dated(item), "collection": collection_id}


def _require_addresses(item: Json) -> None:
    """Refuse an href in which GDAL would find options, and with them this or a reader's own files."""
    for key, asset in (item.get("assets") or {}).items():
        if str(asset.get("href")).startswith("/vsi"):
            raise RequestError(
                400,
                "INVALID_HREF",
                f"Expected the href of asset {key!r} to be an address such as https://…, found a path of GDAL's.",
            )


def checked_collection(collection: Json, collection_id: str | None) -> Json:
    """Return a Collection that may be written at this address, without what is null.

    Raises:
        RequestError: 400 `INVALID_ID` or `ID_MISMATCH`, or 422 `INVALID_PRODUCT`.
    """
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
            product_from_collection(collection).require_bands(bands_from_collection(collection))
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
