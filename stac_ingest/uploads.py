"""The life of an upload: transferring → pending → running → success, failure or canceled.

Our row is the truth. The queue only wakes a worker, which then claims the upload: that counts an attempt and takes a
lease, and every later write names the attempt, so that a worker that was given up for dead changes nothing when it
comes back. An upload whose workers die is taken up again, MAX_ATTEMPTS times in all.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

import procrastinate
from procrastinate.exceptions import AlreadyEnqueued
from psycopg.errors import UniqueViolation
from psycopg.types.json import Jsonb

from stac_ingest.database import Connection, Pool, queries
from stac_ingest.errors import RequestError, StacIngestError
from stac_ingest.models.enums import (
    ImageUploadEventSeverity,
    ImageUploadEventType,
    ImageUploadStatus,
    UploadFileKind,
)
from stac_ingest.models.upload import TransferredFile, Upload, UploadProblem, UploadRequest

TASK = "ingest"
MAX_ATTEMPTS = 3
UNSENT_SECONDS = 24 * 3600
"""An upload that receives no bytes for so long is given up."""
FORGOTTEN_SECONDS = 60

_Status = ImageUploadStatus
_Type = ImageUploadEventType
_Severity = ImageUploadEventSeverity


class LeaseLostError(StacIngestError):
    """The upload was canceled, or another worker has it now; this attempt must leave everything as it is."""


@dataclass(frozen=True, kw_only=True)
class ExpectedFile:
    """What is known of a file before its bytes arrive."""

    kind: UploadFileKind
    name: str
    size: int | None


@dataclass(frozen=True, kw_only=True)
class Page:
    """Some of the uploads that were asked for."""

    uploads: Sequence[Upload]
    """Without their files and events."""
    following: tuple[datetime, str] | None
    """Where the next page begins; None when there is none."""


@dataclass(frozen=True)
class Uploads:
    """The uploads of one database, and the queue that wakes its workers."""

    pool: Pool
    queue: procrastinate.App

    # --- The client's side

    async def open(self, connection: Connection, request: UploadRequest) -> str:
        """Begin an upload and return its id.

        Raises:
            RequestError: 409 `UPLOAD_IN_PROGRESS`: an image has one unfinished upload at most.
        """
        image = request.image
        upload = str(uuid4())
        values = {
            "id": upload,
            "collection": image.product_id,
            "item": image.name,
            "image": Jsonb(image.to_json()),
            "options": Jsonb(request.options.to_json()),
        }
        try:
            async with connection.transaction():
                await connection.execute(queries()["open_upload"], values)
        except UniqueViolation as error:
            other = await (await connection.execute(queries()["find_open_upload"], values)).fetchone() or {}
            raise RequestError(
                409,
                "UPLOAD_IN_PROGRESS",
                f"Image {image.id!r} has an upload that is {other.get('status', 'not finished')}: {other.get('id')};"
                " wait for it, or cancel it.",
            ) from error
        for index, file in enumerate(request.files):
            await connection.execute(
                queries()["open_file"],
                {"upload": upload, "index": index, "kind": file.kind, "name": file.name, "expected": file.size},
            )
        return upload

    async def expected(self, upload: str, index: int) -> ExpectedFile:
        """Return what is to be sent as file `index`.

        Raises:
            RequestError: 404 `UPLOAD_NOT_FOUND` or `FILE_NOT_FOUND`, or 409 `NOT_TRANSFERRING`.
        """
        async with self.pool.connection() as connection:
            row = await self._row(connection, upload)
            _require_transferring(row["status"], upload)
            files = await (await connection.execute(queries()["get_files"], {"id": upload})).fetchall()
            await connection.execute(queries()["touch_upload"], {"id": upload})
        if not 0 <= index < len(files):
            raise RequestError(
                404, "FILE_NOT_FOUND", f"Upload {upload} has the files 0 to {len(files) - 1}, not {index}."
            )
        file = files[index]
        return ExpectedFile(kind=UploadFileKind(file["kind"]), name=file["name"], size=file["expected"])

    async def receive(self, upload: str, index: int, *, staged: str, size: int, sha256: str) -> str | None:
        """Record that a file has arrived whole; bytes that come after the submit change nothing.

        Args:
            upload: Id of the upload.
            index: Which of its files.
            staged: Key of the object that these bytes are in.
            size: How many they are.
            sha256: Their SHA-256 in hexadecimal.

        Returns:
            Key of the object that this one replaces, if the file was sent before.

        Raises:
            RequestError: 409 `NOT_TRANSFERRING`.
        """
        values = {"id": upload, "index": index, "staged": staged, "size": size, "sha256": sha256}
        async with self.pool.connection() as connection:
            _require_transferring((await self._lock(connection, upload))["status"], upload)
            files = await (await connection.execute(queries()["get_files"], {"id": upload})).fetchall()
            await connection.execute(queries()["receive_file"], values)
            await connection.execute(queries()["touch_upload"], {"id": upload})
        replaced: str | None = files[index]["staged"]
        return replaced

    async def submit(self, upload: str) -> None:
        """Hand an upload whose files have all arrived to the workers; submitting it again changes nothing.

        Raises:
            RequestError: 404 `UPLOAD_NOT_FOUND`, 409 `FILES_MISSING`, which names them, or 409 `UPLOAD_ENDED` when it
                had ended before it was submitted.
        """
        async with self.pool.connection() as connection:
            row = await self._lock(connection, upload)
            if row["submitted"]:
                return
            if (status := row["status"]) != _Status.TRANSFERRING:
                raise RequestError(409, "UPLOAD_ENDED", f"Upload {upload} has ended: {status}; open a new one.")
            files = await (await connection.execute(queries()["get_files"], {"id": upload})).fetchall()
            if missing := [f"{file['index']} ({file['name']})" for file in files if file["sha256"] is None]:
                raise RequestError(
                    409, "FILES_MISSING", f"Send the bytes of file {', '.join(missing)} before you submit."
                )
            await self._set(connection, upload, _Status.PENDING)
            await self._event(connection, upload, "api", _Type.QUEUE, _Severity.INFO, "Waiting for a worker.")
            await self._defer(connection, upload)

    async def cancel(self, upload: str) -> None:
        """End an upload that has not ended; a worker that has it stops soon. Canceling it again changes nothing.

        Raises:
            RequestError: 404 `UPLOAD_NOT_FOUND`, or 409 `NOT_CANCELABLE` once it has ended, or its image is just being
                put into the catalog.
        """
        async with self.pool.connection() as connection:
            row = await self._lock(connection, upload)
            status = _Status(row["status"])
            if status is _Status.CANCELED:
                return
            if status.is_final or (status is _Status.RUNNING and row["publishing"]):
                found = f"{status} already" if status.is_final else "putting its image into the catalog already"
                raise RequestError(
                    409, "NOT_CANCELABLE", f"Expected an upload that has not ended, found {upload} to be {found}."
                )
            await self._set(connection, upload, _Status.CANCELED)
            await self._event(connection, upload, "api", _Type.CANCEL, _Severity.INFO, "Canceled on request.")

    async def get(self, upload: str) -> Upload:
        """Return an upload with its files and events; raises RequestError 404 `UPLOAD_NOT_FOUND`."""
        async with self.pool.connection() as connection:
            row = await self._row(connection, upload)
            files = await (await connection.execute(queries()["get_files"], {"id": upload})).fetchall()
            events = await self._events(connection, upload, after=0)
        return _upload(row, files, events)

    async def events(self, upload: str, *, after: int) -> tuple[ImageUploadStatus, list[dict[str, Any]]]:
        """Return an upload's status and the events whose id is above `after`; raises as `get`."""
        async with self.pool.connection() as connection:
            row = await self._row(connection, upload)
            return _Status(row["status"]), await self._events(connection, upload, after=after)

    async def find(
        self,
        *,
        collection: str | None = None,
        item: str | None = None,
        status: ImageUploadStatus | None = None,
        ids: Iterable[str] | None = None,
        before: tuple[datetime, str] | None = None,
        limit: int,
    ) -> Page:
        """Return uploads, newest first.

        Args:
            collection: Only those to this product.
            item: Only those of images of this name.
            status: Only those in this state.
            ids: Only those among these.
            before: Where the page before has ended (`Page.following`).
            limit: How many to return at most.
        """
        values = {
            "collection": collection,
            "item": item,
            "status": status,
            "ids": None if ids is None else [UUID(upload) for upload in ids if is_uuid(upload)],
            "before": before and before[0],
            "before_id": before and before[1],
            "limit": limit + 1,
        }
        async with self.pool.connection() as connection:
            rows = await (await connection.execute(queries()["list_uploads"], values)).fetchall()
        uploads = [_upload(row, [], []) for row in rows[:limit]]
        following = (uploads[-1].created, uploads[-1].id) if len(rows) > limit else None
        return Page(uploads=uploads, following=following)

    # --- The worker's side

    async def claim(self, upload: str, *, lease_seconds: float) -> int | None:
        """Take a pending upload and return the attempt, from 1; None when there is nothing to take."""
        async with self.pool.connection() as connection:
            row = await (
                await connection.execute(queries()["claim_upload"], {"id": upload, "lease": lease_seconds})
            ).fetchone()
            if row is None:
                return None
            attempt = int(row["attempt"])
            again = f" (attempt {attempt} of {MAX_ATTEMPTS})" if attempt > 1 else ""
            await self._event(connection, upload, "worker", _Type.RUN, _Severity.INFO, f"Started{again}.")
            return attempt

    async def renew(self, upload: str, attempt: int, *, lease_seconds: float) -> None:
        """Keep the lease; raises LeaseLostError."""
        async with self.pool.connection() as connection:
            await self._fenced(connection, "renew_lease", upload, attempt, lease=lease_seconds)

    async def log(
        self,
        upload: str,
        severity: ImageUploadEventSeverity,
        message: str,
        event_type: ImageUploadEventType = ImageUploadEventType.LOG,
        share: float | None = None,
    ) -> None:
        """Add an event of the worker."""
        async with self.pool.connection() as connection:
            await self._event(connection, upload, "worker", event_type, severity, message, share)

    async def begin_publishing(self, upload: str, attempt: int) -> None:
        """Go past the point where the upload can be canceled; raises LeaseLostError, also when it has been."""
        async with self.pool.connection() as connection:
            await self._fenced(connection, "begin_publishing", upload, attempt)

    async def succeed(self, connection: Connection, upload: str, attempt: int) -> None:
        """End an attempt well, inside the transaction that puts its Item into the catalog; raises LeaseLostError."""
        await self._fenced(connection, "end_attempt", upload, attempt, status=_Status.SUCCESS, problem=None)
        await self._event(connection, upload, "worker", _Type.COMPLETE, _Severity.INFO, "The image is in the catalog.")

    async def fail(self, upload: str, attempt: int, code: str, message: str) -> None:
        """End an upload with the reason; raises LeaseLostError."""
        async with self.pool.connection() as connection:
            problem = Jsonb({"code": code, "message": message})
            await self._fenced(connection, "end_attempt", upload, attempt, status=_Status.FAILURE, problem=problem)
            await self._failed(connection, upload, code, message)

    async def retry(self, upload: str, attempt: int, code: str, message: str) -> None:
        """Give an upload back after an attempt that failed for a passing reason; the last one ends it."""
        if attempt >= MAX_ATTEMPTS:
            await self.fail(upload, attempt, code, f"{message} It was tried {attempt} times.")
            return
        async with self.pool.connection() as connection:
            await self._fenced(connection, "end_attempt", upload, attempt, status=_Status.PENDING, problem=None)
            await self._event(connection, upload, "worker", _Type.ERROR, _Severity.WARNING, f"{code}: {message}")
            await self._defer(connection, upload)

    async def sweep(self) -> list[str]:
        """Take up what dead workers left behind, and give up what was never sent; returns the ids that have ended.

        Any number of workers may sweep; one at a time does.
        """
        ended = []
        async with self.pool.connection() as connection:
            row = await (await connection.execute(queries()["try_sweep_lock"])).fetchone()
            if row is None or not row["locked"]:
                return []
            for found in await (await connection.execute(queries()["abandoned_uploads"])).fetchall():
                upload, attempt = found["id"], found["attempt"]
                if attempt < MAX_ATTEMPTS:
                    await self._set(connection, upload, _Status.PENDING)
                    await self._event(
                        connection, upload, "worker", _Type.TIMEOUT, _Severity.WARNING,
                        f"The worker of attempt {attempt} was not heard of any more; another takes over.",
                    )  # fmt: skip
                    await self._defer(connection, upload)
                else:
                    await self._give_up(
                        connection, upload, "WORKER_CRASHED",
                        f"The worker died in each of {attempt} attempts; the image may need more memory than there is.",
                    )  # fmt: skip
                    ended.append(upload)
            forgotten = await connection.execute(queries()["forgotten_uploads"], {"after": FORGOTTEN_SECONDS})
            for found in await forgotten.fetchall():
                await self._defer(connection, found["id"])
            unsent = await connection.execute(queries()["unsent_uploads"], {"after": UNSENT_SECONDS})
            for found in await unsent.fetchall():
                await self._give_up(
                    connection, found["id"], "TRANSFER_EXPIRED", "No bytes arrived for a day; open a new upload."
                )
                ended.append(found["id"])
        return ended

    # --- Steps inside a transaction

    async def _row(self, connection: Connection, upload: str) -> dict[str, Any]:
        return await self._found(connection, "get_upload", upload)

    async def _lock(self, connection: Connection, upload: str) -> dict[str, Any]:
        return await self._found(connection, "lock_upload", upload)

    async def _found(self, connection: Connection, query: str, upload: str) -> dict[str, Any]:
        row = None
        if is_uuid(upload):
            row = await (await connection.execute(queries()[query], {"id": upload})).fetchone()
        if row is None:
            raise RequestError(404, "UPLOAD_NOT_FOUND", f"There is no upload {upload!r}.")
        return row

    async def _events(self, connection: Connection, upload: str, *, after: int) -> list[dict[str, Any]]:
        return await (await connection.execute(queries()["get_events"], {"id": upload, "after": after})).fetchall()

    async def _set(
        self, connection: Connection, upload: str, status: ImageUploadStatus, problem: Jsonb | None = None
    ) -> None:
        await connection.execute(queries()["set_status"], {"id": upload, "status": status, "problem": problem})

    async def _fenced(self, connection: Connection, query: str, upload: str, attempt: int, **values: object) -> None:
        values = {"id": upload, "attempt": attempt, **values}
        if await (await connection.execute(queries()[query], values)).fetchone() is None:
            raise LeaseLostError(f"Attempt {attempt} of upload {upload} was canceled, or given to another worker.")

    async def _give_up(self, connection: Connection, upload: str, code: str, message: str) -> None:
        await self._set(connection, upload, _Status.FAILURE, Jsonb({"code": code, "message": message}))
        await self._failed(connection, upload, code, message)

    async def _failed(self, connection: Connection, upload: str, code: str, message: str) -> None:
        await self._event(connection, upload, "worker", _Type.COMPLETE, _Severity.ERROR, f"{code}: {message}")

    async def _event(
        self,
        connection: Connection,
        upload: str,
        component: str,
        type_: ImageUploadEventType,
        severity: ImageUploadEventSeverity,
        message: str,
        share: float | None = None,
    ) -> None:
        values = {"component": component, "type": type_, "severity": severity, "message": message, "share": share}
        await connection.execute(queries()["add_event"], {"id": upload, **values})

    async def _defer(self, connection: Connection, upload: str) -> None:
        task = self.queue.configure_task(TASK, queueing_lock=upload, connection=connection)
        try:
            async with connection.transaction():
                await task.defer_async(upload_id=upload)
        except AlreadyEnqueued:
            return


def _require_transferring(status: str, upload: str) -> None:
    if status != _Status.TRANSFERRING:
        raise RequestError(
            409, "NOT_TRANSFERRING", f"Upload {upload} is {status} and takes no more bytes; open a new one."
        )


def is_uuid(text: str) -> bool:
    """Return whether a text is a UUID as we write it; other spellings would name other objects in the store."""
    try:
        return str(UUID(text)) == text
    except ValueError:
        return False


def _upload(row: dict[str, Any], files: list[dict[str, Any]], events: list[dict[str, Any]]) -> Upload:
    return Upload(
        id=row["id"],
        collection=row["collection"],
        item=row["item"],
        status=row["status"],
        attempt=row["attempt"],
        image=row["image"],
        options=row["options"],
        problem=row["problem"] and UploadProblem(**row["problem"]),
        created=row["created"],
        modified=row["modified"],
        events=events,
        files=[
            TransferredFile(
                index=file["index"],
                kind=file["kind"],
                name=file["name"],
                size=file["size"] if file["size"] is not None else file["expected"],
                sha256=file["sha256"],
                staged=file["staged"] or "",
                received=file["sha256"] is not None,
            )
            for file in files
        ],
    )
