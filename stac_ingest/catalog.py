"""Writing Collections and Items into pgstac.

Every function takes an open connection and leaves the transaction to its caller. A write locks its collection first,
so that extent and summaries always follow the items that are there. `created` and `updated` are the service's clock.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Literal

import orjson
from psycopg.errors import UniqueViolation
from psycopg.types.json import Jsonb
from pydantic import TypeAdapter, ValidationError

from stac_ingest.database import Connection, queries
from stac_ingest.errors import RequestError
from stac_ingest.models.values import Timestamp, timestamp_text
from stac_ingest.stac import WORLD, Json, bbox_of, boxes_touch, is_place, places_of, with_extensions

SUMMARISED = frozenset(("platform", "proj:code", "gsd", "eo:cloud_cover"))
"""Summaries that follow the items; others are whoever's wrote them."""
UNSTORED_LINKS = frozenset((
    "self", "item", "parent", "collection", "root", "items", "child", "aggregate", "aggregations",
    "http://www.opengis.net/def/rel/ogc/1.0/queryables", "http://www.opengis.net/def/rel/ogc/1.0/sortables",
))  # fmt: skip
"""Relations of links that the API makes for the address that is asked."""


def etag(stored: Json) -> str:
    """Return the strong ETag (RFC 9110) of a Collection or an Item as the catalog holds it, wherever it is read."""
    canonical = orjson.dumps({"links": [], **stored}, option=orjson.OPT_SORT_KEYS)
    return f'"{hashlib.sha256(canonical).hexdigest()[:32]}"'


async def find_collection(connection: Connection, collection: str) -> Json | None:
    """Return a Collection, or None."""
    row = await (await connection.execute(queries()["get_collection"], {"id": collection})).fetchone()
    return row and row["content"]


async def get_collection(connection: Connection, collection: str, *, lock: bool = False) -> Json:
    """Return a Collection; with `lock` nobody else writes it or its items before this transaction ends.

    Raises:
        RequestError: 404 `COLLECTION_NOT_FOUND`.
    """
    query = queries()["lock_collection" if lock else "get_collection"]
    row = await (await connection.execute(query, {"id": collection})).fetchone()
    if row is None:
        raise RequestError(
            404, "COLLECTION_NOT_FOUND", f"There is no collection {collection!r}; save the product first."
        )
    content: Json = row["content"]
    return content


async def create_collection(connection: Connection, collection: Json) -> None:
    """Add a Collection; raises RequestError 409 `COLLECTION_EXISTS`."""
    now = _now()
    try:
        async with connection.transaction():
            await connection.execute(
                queries()["create_collection"],
                {"collection": Jsonb(_stored({**collection, "created": now, "updated": now}))},
            )
    except UniqueViolation as error:
        raise RequestError(
            409, "COLLECTION_EXISTS", f"A collection {collection['id']!r} exists already; update it instead."
        ) from error


async def update_collection(connection: Connection, collection: Json) -> None:
    """Replace a Collection; its extent and summaries follow its items.

    Raises:
        RequestError: 404 `COLLECTION_NOT_FOUND`.
    """
    before = await get_collection(connection, collection["id"], lock=True)
    now = _now()
    stored = _stored({**collection, "created": before.get("created", now), "updated": now})
    stored = await _following_items(connection, stored)
    await connection.execute(queries()["update_collection"], {"collection": Jsonb(stored)})


async def apply_collection(connection: Connection, collection: Json) -> Literal["Added", "Updated"] | None:
    """Write a Collection as its definition says, and return what that was; None when nothing had to be done."""
    before = await find_collection(connection, collection["id"])
    if before is None:
        await create_collection(connection, collection)
        return "Added"
    kept: Json = {key: before[key] for key in ("created", "updated") if key in before}
    if await _following_items(connection, _stored({**collection, **kept})) == before:
        return None
    await update_collection(connection, collection)
    return "Updated"


async def delete_collection(connection: Connection, collection: str) -> None:
    """Remove a Collection that has neither items nor unfinished uploads.

    Raises:
        RequestError: 404 `COLLECTION_NOT_FOUND`, 409 `DELETION_RUNNING`, `COLLECTION_NOT_EMPTY` or
            `UPLOAD_IN_PROGRESS`.
    """
    await lock_for_items(connection, collection)
    found = await _related(connection, collection)
    if found["has_items"]:
        raise RequestError(
            409,
            "COLLECTION_NOT_EMPTY",
            f"Collection {collection!r} still has items; delete them first, for example with"
            f" product.delete_related_objects() or POST /collections/{collection}/deletions,"
            " or delete it with ?cascade=true.",
        )
    if found["upload"]:
        raise RequestError(
            409,
            "UPLOAD_IN_PROGRESS",
            f"Collection {collection!r} has an upload that has not ended: {found['upload']}; wait for it or cancel it.",
        )
    await remove_collection(connection, collection)


async def is_in_use(connection: Connection, collection: str) -> bool:
    """Return whether a Collection has items or unfinished uploads."""
    return any((await _related(connection, collection)).values())


async def _related(connection: Connection, collection: str) -> dict[str, Any]:
    values = {"collection": collection}
    return await (await connection.execute(queries()["find_related"], values)).fetchone() or {}


async def remove_collection(connection: Connection, collection: str) -> None:
    """Remove a locked Collection of which nothing is left, and what is known of its deletions that have ended."""
    await connection.execute(queries()["delete_collection"], {"id": collection})
    await connection.execute(queries()["forget_deletions"], {"collection": collection})


async def lock_for_items(connection: Connection, collection: str) -> Json:
    """Return a Collection that nobody else writes before this transaction ends, and that may be given items.

    Raises:
        RequestError: 404 `COLLECTION_NOT_FOUND`, or 409 `DELETION_RUNNING`.
    """
    locked = await get_collection(connection, collection, lock=True)
    row = await (await connection.execute(queries()["find_running_deletion"], {"collection": collection})).fetchone()
    if row is not None:
        raise RequestError(
            409,
            "DELETION_RUNNING",
            f"Everything in collection {collection!r} is being deleted by {row['id']}; wait until that has ended.",
        )
    return locked


async def get_item(connection: Connection, collection: str, item: str, *, lock: bool = False) -> Json:
    """Return an Item; with `lock` nobody else writes it before this transaction ends.

    Raises:
        RequestError: 404 `ITEM_NOT_FOUND`, and with `lock` as `lock_for_items`.
    """
    if lock:
        await lock_for_items(connection, collection)
    row = await (await connection.execute(queries()["get_item"], {"collection": collection, "item": item})).fetchone()
    if row is None or row["content"] is None:
        raise RequestError(404, "ITEM_NOT_FOUND", f"There is no item {item!r} in collection {collection!r}.")
    content: Json = row["content"]
    return content


async def item_exists(connection: Connection, collection: str, item: str) -> bool:
    """Return whether there is such an Item."""
    row = await (
        await connection.execute(queries()["item_exists"], {"collection": collection, "item": item})
    ).fetchone()
    return bool(row and row["found"])


async def items_created(connection: Connection, collection: str, items: Iterable[str]) -> dict[str, str | None]:
    """Return when each of these Items was created; those that are not there are left out."""
    values = {"collection": collection, "items": list(items)}
    found = await connection.execute(queries()["items_created"], values)
    return {row["id"]: row["created"] async for row in found}


async def create_items(connection: Connection, collection: str, items: Sequence[Json]) -> None:
    """Add Items, all or none.

    Raises:
        RequestError: 409 `ITEM_EXISTS`, which names it, or as `lock_for_items`.
    """
    await lock_for_items(connection, collection)
    now = _now()
    added = [_stamped(item, created=now, updated=now) for item in items]
    try:
        async with connection.transaction():
            await connection.execute(queries()["create_items"], {"items": Jsonb(added)})
    except UniqueViolation as error:
        for item in items:
            if await item_exists(connection, collection, item["id"]):
                raise RequestError(
                    409,
                    "ITEM_EXISTS",
                    f"An item {item['id']!r} exists already in collection {collection!r}; nothing was added."
                    " Update it, or choose another id.",
                ) from error
        raise RequestError(409, "ITEM_EXISTS", "Two of the items have the same id; nothing was added.") from error
    await refresh_collection(connection, collection)


async def upsert_items(connection: Connection, collection: str, items: Sequence[Json]) -> None:
    """Add or replace Items; what is replaced keeps when it was created. Raises RequestError as `lock_for_items`."""
    await lock_for_items(connection, collection)
    created = await items_created(connection, collection, (item["id"] for item in items))
    now = _now()
    written = [_stamped(item, created=created.get(item["id"]) or now, updated=now) for item in items]
    await connection.execute(queries()["upsert_items"], {"items": Jsonb(written)})
    await refresh_collection(connection, collection)


async def delete_item(connection: Connection, collection: str, item: str) -> None:
    """Remove an Item; raises RequestError 404 `COLLECTION_NOT_FOUND` or `ITEM_NOT_FOUND`."""
    await get_collection(connection, collection, lock=True)
    await get_item(connection, collection, item)
    await connection.execute(queries()["delete_item"], {"collection": collection, "item": item})
    await refresh_collection(connection, collection)


async def delete_some_items(connection: Connection, collection: str, limit: int) -> int:
    """Remove up to `limit` Items, and return how many; `refresh_collection` is to follow once after all of them.

    Raises:
        RequestError: 404 `COLLECTION_NOT_FOUND`.
    """
    await get_collection(connection, collection, lock=True)
    values = {"collection": collection, "limit": limit}
    return (await connection.execute(queries()["delete_some_items"], values)).rowcount


async def refresh_collection(connection: Connection, collection: str) -> None:
    """Bring extent and summaries of a locked Collection to what its items say; without any, it is as new."""
    before = await get_collection(connection, collection, lock=True)
    found = await _summary(connection, collection)
    after = following(before, found) if found["count"] else _summarised(before, WORLD["spatial"]["bbox"][0], {})
    if after != before:
        await connection.execute(queries()["update_collection"], {"collection": Jsonb(after)})


async def _following_items(connection: Connection, collection: Json) -> Json:
    return following(collection, await _summary(connection, collection["id"]))


async def _summary(connection: Connection, collection: str) -> dict[str, Any]:
    found = await (await connection.execute(queries()["summarise_items"], {"id": collection})).fetchone()
    return found or {"count": 0}


def following(collection: Json, found: Mapping[str, Any]) -> Json:
    """Return a Collection whose extent and summaries follow its items; without items it stays as it is.

    Args:
        collection: The Collection.
        found: What its items have in common, as `summarise_items` in queries.sql names it.
    """
    if not found["count"]:
        return collection
    lists = {"platform": found["platforms"], "proj:code": found["codes"], "gsd": found["gsds"]}
    summaries: Json = {name: sorted(value for value in values if value is not None) for name, values in lists.items()}
    if found["least_cloud"] is not None:
        summaries["eo:cloud_cover"] = {"minimum": found["least_cloud"], "maximum": found["most_cloud"]}
    bbox = [found[side] for side in ("west", "south", "east", "north")]
    interval = [timestamp_text(found["start"]), timestamp_text(found["end"])]
    return _summarised(collection, bbox, summaries, interval)


def _summarised(
    collection: Json, bbox: list[float], summaries: Json, interval: Sequence[str | None] = (None, None)
) -> Json:
    """Return a Collection with another extent, and other summaries of what items are summarised by."""
    product = collection.get("ingest:product", {})
    said = [product.get("start_datetime") or interval[0], product.get("end_datetime") or interval[1]]
    kept = {name: value for name, value in collection.get("summaries", {}).items() if name not in SUMMARISED}
    merged = {**kept, **{name: value for name, value in summaries.items() if value}}
    extent = {**collection.get("extent", WORLD), "spatial": {"bbox": [bbox]}, "temporal": {"interval": [said]}}
    changed = {**collection, "extent": extent, "summaries": merged}
    return with_extensions(changed if merged else {key: changed[key] for key in changed if key != "summaries"})


def _now() -> str:
    return timestamp_text(datetime.now(UTC))


def _stamped(item: Json, *, created: str, updated: str) -> Json:
    return _stored({**item, "properties": {**item["properties"], "created": created, "updated": updated}})


def _stored(stac: Json) -> Json:
    """Return a STAC object without the links that depend on the address that is asked."""
    links = [link for link in stac.get("links", ()) if link["rel"] not in UNSTORED_LINKS]
    return {**stac, "links": links}


def check_geometry(item: Json) -> None:
    """Refuse an Item that could never be found by place, or whose bbox and geometry are at different places.

    A ring may cross itself, as footprints in the field do; PostGIS finds such ones too.

    Raises:
        RequestError: 400 `INVALID_GEOMETRY`.
    """
    geometry = item.get("geometry")
    if not geometry or not is_place(geometry):
        raise RequestError(
            400,
            "INVALID_GEOMETRY",
            f"Expected item {item.get('id')!r} to have a geometry, found {str(geometry)[:200]}.",
        )
    if not all(abs(lon) <= 180 and abs(lat) <= 90 for lon, lat in places_of(geometry)):
        raise RequestError(
            400,
            "INVALID_GEOMETRY",
            f"Expected item {item.get('id')!r} to lie within -180 to 180 and -90 to 90 degrees; give it in WGS 84.",
        )
    said, found = item["bbox"], bbox_of(geometry)
    box = [*said[:2], *said[len(said) // 2 :][:2]]  # a box in three dimensions has a height on either side
    on_earth = all(abs(lon) <= 180 for lon in box[::2]) and -90 <= box[1] <= box[3] <= 90
    if not on_earth or not boxes_touch(box, found, within=_ROUNDED):
        raise RequestError(
            400,
            "INVALID_GEOMETRY",
            f"Expected the bbox of item {item.get('id')!r} to be that of its geometry, {found}, found {said}.",
        )


def dated(item: Json) -> Json:
    """Return an Item with a datetime: its start, where it has a start and an end only.

    pgstac forgets null, and clients such as QGIS leave out an item without the member `datetime`.
    """
    properties = item.get("properties")
    if not isinstance(properties, dict) or properties.get("datetime") is not None:
        return item
    return {**item, "properties": {**properties, "datetime": properties.get("start_datetime")}}


def check_datetimes(item: Json) -> None:
    """Refuse an Item whose time cannot be read or runs backwards; raises RequestError 400 `INVALID_DATETIME`."""
    properties = item.get("properties") or {}
    moments = {name: properties.get(name) for name in ("datetime", "start_datetime", "end_datetime")}
    try:
        parsed = {name: _MOMENT.validate_python(text) for name, text in moments.items() if text is not None}
    except ValidationError as error:
        raise RequestError(
            400, "INVALID_DATETIME", f"Expected times such as 2024-05-01T10:00:00Z, found {moments}."
        ) from error
    if "datetime" not in parsed and not {"start_datetime", "end_datetime"} <= parsed.keys():
        raise RequestError(
            400, "INVALID_DATETIME", f"Expected item {item.get('id')!r} to have a datetime, or both its start and end."
        )
    if parsed.get("start_datetime", _EARLIEST) > parsed.get("end_datetime", _LATEST):
        raise RequestError(
            400, "INVALID_DATETIME", f"Expected the start of {item.get('id')!r} before its end, found {moments}."
        )


_MOMENT: TypeAdapter[datetime] = TypeAdapter(Timestamp)
_ROUNDED = 0.001
"""How many degrees a bbox may lie off, because it was rounded."""
_EARLIEST = datetime.min.replace(tzinfo=UTC)
_LATEST = datetime.max.replace(tzinfo=UTC)
