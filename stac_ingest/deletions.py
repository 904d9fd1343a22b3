"""The deletion of everything that a product has: running → success or failure.

As with uploads, our row is the truth and the queue only wakes a worker, which claims the deletion with a lease. It
deletes images in batches, each in a short transaction that renews the lease and counts what is gone; at last it deletes
the bands, and the product's extent and summaries follow. A deletion whose workers die is taken up again where it was,
MAX_ATTEMPTS times in all.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import procrastinate
import psycopg
from procrastinate.exceptions import AlreadyEnqueued

from stac_ingest import catalog
from stac_ingest.database import Connection, Pool, queries
from stac_ingest.errors import RequestError, StacIngestError
from stac_ingest.models.deletion import Deletion
from stac_ingest.models.enums import TaskState
from stac_ingest.stac import bands_from_collection, collection_from_product, product_from_collection
from stac_ingest.storage import STAGING, Store
from stac_ingest.uploads import Uploads, is_uuid

logger = logging.getLogger(__name__)

TASK = "delete"
MAX_ATTEMPTS = 3
BATCH = 500
"""Images deleted in one transaction; nobody else writes to the collection meanwhile."""
FORGOTTEN_SECONDS = 60
LISTED = 1000
UPLOAD_POLL_SECONDS = 1.0


class _LeaseLostError(StacIngestError):
    """Another worker has the deletion now; this attempt must leave everything as it is."""


@dataclass(frozen=True)
class _Attempt:
    """What a worker knows of the deletion that it has claimed."""

    deletion: str
    collection: str
    number: int
    with_collection: bool
    lease_seconds: float


@dataclass(frozen=True)
class Deletions:
    """The deletions of one database, and the queue that wakes its workers."""

    pool: Pool
    queue: procrastinate.App

    # --- The client's side

    async def open(self, connection: Connection, collection: str, *, with_collection: bool = False) -> str | None:
        """Begin to delete all images and bands of a product, and return the deletion's id; None if there are none.

        Until it has ended, the product takes neither uploads nor images; `with_collection`, it ends with the product.

        Raises:
            RequestError: 404 `COLLECTION_NOT_FOUND`, or 409 `DELETION_RUNNING`.
        """
        bands = bands_from_collection(await catalog.lock_for_items(connection, collection))
        row = await (await connection.execute(queries()["count_items"], {"collection": collection})).fetchone()
        total = len(bands) + (row["count"] if row else 0) + with_collection
        if total == 0:
            return None
        deletion = str(uuid4())
        values = {"id": deletion, "collection": collection, "total": total, "with_collection": with_collection}
        await connection.execute(queries()["open_deletion"], values)
        await self._wake(connection, deletion)
        return deletion

    async def get(self, deletion: str) -> Deletion:
        """Return a deletion; raises RequestError 404 `DELETION_NOT_FOUND`."""
        row = None
        if is_uuid(deletion):
            async with self.pool.connection() as connection:
                row = await (await connection.execute(queries()["get_deletion"], {"id": deletion})).fetchone()
        if row is None:
            raise RequestError(404, "DELETION_NOT_FOUND", f"There is no deletion {deletion!r}.")
        return _deletion(row)

    async def find(self, collection: str) -> Sequence[Deletion]:
        """Return the deletions of a product, newest first; raises RequestError 404 `COLLECTION_NOT_FOUND`."""
        values = {"collection": collection, "limit": LISTED}
        async with self.pool.connection() as connection:
            await catalog.get_collection(connection, collection)
            rows = await (await connection.execute(queries()["list_deletions"], values)).fetchall()
        return [_deletion(row) for row in rows]

    # --- The worker's side

    async def run(self, deletion: str, uploads: Uploads, store: Store, *, lease_seconds: float) -> None:
        """Delete what is left to delete; does nothing when another worker does, or when it has ended."""
        attempt = await self._claim(deletion, lease_seconds)
        if attempt is None:
            return
        logger.info("deletion %s of %s, attempt %d", deletion, attempt.collection, attempt.number)
        try:
            await self._cancel_uploads(attempt, uploads, store)
            while await self._delete_batch(attempt):
                pass
            while await self._cancel_uploads(attempt, uploads, store):
                await asyncio.sleep(UPLOAD_POLL_SECONDS)
            await (self._delete_collection if attempt.with_collection else self._delete_bands)(attempt)
        except _LeaseLostError as error:
            logger.warning("%s", error)
        except psycopg.OperationalError as error:
            # Nothing can be written; the lease runs out and the deletion is taken up again.
            logger.warning("deletion %s: the database went away: %s", deletion, error)
        except StacIngestError as error:
            logger.warning("deletion %s failed: %s", deletion, error)
            async with self.pool.connection() as connection:
                await self._fail(connection, attempt, str(error))

    async def sweep(self) -> None:
        """Take up what dead workers left behind; what killed its worker too often fails."""
        async with self.pool.connection() as connection:
            values = {"after": FORGOTTEN_SECONDS}
            for found in await (await connection.execute(queries()["unfinished_deletions"], values)).fetchall():
                last = _Attempt(found["id"], found["collection"], found["attempt"], False, lease_seconds=0)
                if last.number < MAX_ATTEMPTS:
                    await self._wake(connection, last.deletion)
                else:
                    reason = f"The worker died in each of {last.number} attempts; delete again what is left."
                    await self._fail(connection, last, reason)

    async def _claim(self, deletion: str, lease_seconds: float) -> _Attempt | None:
        values = {"id": deletion, "lease": lease_seconds}
        async with self.pool.connection() as connection:
            row = await (await connection.execute(queries()["claim_deletion"], values)).fetchone()
        return _Attempt(deletion, **row, lease_seconds=lease_seconds) if row else None

    async def _cancel_uploads(self, attempt: _Attempt, uploads: Uploads, store: Store) -> int:
        """Cancel what has not ended, and return how many uploads cannot be canceled.

        Those are just putting their image into the catalog, which takes it no more while the deletion runs.
        """
        async with self.pool.connection() as connection:
            await self._advance(connection, attempt, 0)
            found = await connection.execute(queries()["unended_uploads"], {"collection": attempt.collection})
            unended = [row["id"] for row in await found.fetchall()]
        others = 0
        for upload in unended:
            try:
                await uploads.cancel(upload)
                await store.delete_under(f"{STAGING}/{upload}")
            except RequestError:
                others += 1
        return others

    async def _delete_batch(self, attempt: _Attempt) -> int:
        async with self.pool.connection() as connection:
            deleted = await catalog.delete_some_items(connection, attempt.collection, BATCH)
            await self._advance(connection, attempt, deleted)
        return deleted

    async def _delete_bands(self, attempt: _Attempt) -> None:
        async with self.pool.connection() as connection:
            before = await catalog.get_collection(connection, attempt.collection, lock=True)
            if bands := bands_from_collection(before):
                without = collection_from_product(product_from_collection(before), [], before)
                await catalog.update_collection(connection, without)
            await catalog.refresh_collection(connection, attempt.collection)
            await self._advance(connection, attempt, len(bands))
            await self._end(connection, attempt, TaskState.SUCCEEDED)

    async def _delete_collection(self, attempt: _Attempt) -> None:
        async with self.pool.connection() as connection:
            before = await catalog.get_collection(connection, attempt.collection, lock=True)
            await catalog.remove_collection(connection, attempt.collection)
            await self._advance(connection, attempt, len(bands_from_collection(before)) + 1)
            await self._end(connection, attempt, TaskState.SUCCEEDED)

    # --- Steps inside a transaction

    async def _advance(self, connection: Connection, attempt: _Attempt, count: int) -> None:
        """Count what is deleted in this transaction, and keep the lease; raises _LeaseLostError."""
        values = {
            "id": attempt.deletion,
            "attempt": attempt.number,
            "count": count,
            "lease": attempt.lease_seconds,
        }
        if await (await connection.execute(queries()["advance_deletion"], values)).fetchone() is None:
            raise _LeaseLostError(f"Attempt {attempt.number} of deletion {attempt.deletion} has lost its lease.")

    async def _fail(self, connection: Connection, attempt: _Attempt, reason: str) -> None:
        """End an attempt with the reason; extent and summaries follow what is left."""
        with contextlib.suppress(RequestError):
            await catalog.refresh_collection(connection, attempt.collection)
        await self._end(connection, attempt, TaskState.FAILED, reason)

    async def _end(self, connection: Connection, attempt: _Attempt, status: TaskState, *errors: str) -> None:
        values = {"id": attempt.deletion, "attempt": attempt.number, "status": status, "errors": list(errors)}
        await connection.execute(queries()["end_deletion"], values)

    async def _wake(self, connection: Connection, deletion: str) -> None:
        await connection.execute(queries()["wake_deletion"], {"id": deletion})
        task = self.queue.configure_task(TASK, queueing_lock=deletion, connection=connection)
        try:
            async with connection.transaction():
                await task.defer_async(deletion_id=deletion)
        except AlreadyEnqueued:
            return


def _deletion(row: dict[str, Any]) -> Deletion:
    return Deletion(
        id=row["id"],
        collection=row["collection"],
        status=row["status"],
        start_datetime=row["created"],
        duration_in_seconds=row["seconds"],
        objects_deleted=row["objects_deleted"],
        objects_total=row["objects_total"],
        errors=row["errors"],
    )
