"""The states of an upload, on a real database: fenced, counted, never stuck, ended once."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from procrastinate.exceptions import ConnectorException

from api.uploads import send_file
from stac_ingest import worker
from stac_ingest.converter import Converters
from stac_ingest.errors import RequestError, RetryableUploadError, UploadError
from stac_ingest.models.enums import ImageUploadEventSeverity as Severity
from stac_ingest.models.enums import ImageUploadStatus as Status
from stac_ingest.models.raster import Limits
from stac_ingest.pipeline import Workshop, check, stage
from stac_ingest.settings import WorkerSettings
from stac_ingest.storage import LocalStore, Written
from stac_ingest.uploads import MAX_ATTEMPTS, LeaseLostError, Uploads
from tests.integration.conftest import PRODUCT, Scenario, open_upload, submitted

Play = Callable[[Scenario], Any]


def test_from_transferring_to_success(play: Play) -> None:
    async def scenario(uploads: Uploads) -> None:
        upload = await open_upload(uploads)
        assert (await uploads.get(upload)).status is Status.TRANSFERRING
        await uploads.receive(upload, 0, staged="a", size=7, sha256="ab" * 32)
        await uploads.submit(upload)
        assert (await uploads.get(upload)).status is Status.PENDING
        attempt = await uploads.claim(upload, lease_seconds=60)
        assert attempt == 1
        assert (await uploads.get(upload)).status is Status.RUNNING
        async with uploads.pool.connection() as connection:
            await uploads.succeed(connection, upload, attempt)
        ended = await uploads.get(upload)
        assert ended.status is Status.SUCCESS
        assert [event.event_type for event in ended.events] == ["queue", "run", "complete"]
        assert ended.files[0].received
        assert ended.files[0].size == 7

    play(scenario)


def test_an_image_has_one_unfinished_upload_at_most(play: Play) -> None:
    async def scenario(uploads: Uploads) -> None:
        opened = await asyncio.gather(*(open_upload(uploads) for _ in range(5)), return_exceptions=True)
        refused = [error for error in opened if isinstance(error, RequestError)]
        assert len(refused) == 4
        (first,) = [upload for upload in opened if isinstance(upload, str)]
        assert {error.code for error in refused} == {"UPLOAD_IN_PROGRESS"}
        assert all(first in str(error) for error in refused)
        await uploads.cancel(first)
        assert await open_upload(uploads) != first

    play(scenario)


def test_one_of_many_workers_claims(play: Play) -> None:
    async def scenario(uploads: Uploads) -> None:
        upload = await submitted(uploads)
        claims = await asyncio.gather(*(uploads.claim(upload, lease_seconds=60) for _ in range(8)))
        assert sorted(claim for claim in claims if claim is not None) == [1]

    play(scenario)


def test_submitting_twice_changes_nothing(play: Play) -> None:
    async def scenario(uploads: Uploads) -> None:
        upload = await submitted(uploads)
        await uploads.submit(upload)
        async with uploads.pool.connection() as connection:
            row = await (await connection.execute("SELECT count(*) AS jobs FROM procrastinate_jobs")).fetchone()
        assert row == {"jobs": 1}

    play(scenario)


@pytest.mark.parametrize("end", ["success", "failure", "canceled", "canceled while it ran"])
def test_submitting_again_after_the_end_changes_nothing(play: Play, end: str) -> None:
    async def scenario(uploads: Uploads) -> None:
        upload = await submitted(uploads)
        attempt = None if end == "canceled" else await uploads.claim(upload, lease_seconds=60)
        if end == "failure" and attempt:
            await uploads.fail(upload, attempt, "EMPTY_FILE", "0 bytes.")
        elif end == "success" and attempt:
            async with uploads.pool.connection() as connection:
                await uploads.succeed(connection, upload, attempt)
        else:
            await uploads.cancel(upload)
        ended = await uploads.get(upload)
        await uploads.submit(upload)
        assert await uploads.get(upload) == ended

    play(scenario)


def test_what_failed_to_arrive_is_named(play: Play) -> None:
    async def scenario(uploads: Uploads) -> None:
        upload = await open_upload(uploads)
        with pytest.raises(RequestError, match=r"0 \(image.tif\)") as caught:
            await uploads.submit(upload)
        assert caught.value.code == "FILES_MISSING"

    play(scenario)


def test_submit_and_queue_job_are_one_transaction(play: Play) -> None:
    async def scenario(uploads: Uploads) -> None:
        upload = await open_upload(uploads)
        await uploads.receive(upload, 0, staged="a", size=1, sha256="0" * 64)
        async with uploads.pool.connection() as connection:
            await connection.execute("ALTER TABLE procrastinate_jobs RENAME TO hidden")
        with pytest.raises(ConnectorException):
            await uploads.submit(upload)
        assert (await uploads.get(upload)).status is Status.TRANSFERRING

    play(scenario)


def test_bytes_that_come_too_late_change_nothing(play: Play) -> None:
    async def scenario(uploads: Uploads) -> None:
        upload = await submitted(uploads)
        with pytest.raises(RequestError) as caught:
            await uploads.receive(upload, 0, staged="b", size=99, sha256="f" * 64)
        assert caught.value.code == "NOT_TRANSFERRING"
        assert (await uploads.get(upload)).files[0].size == 1

    play(scenario)


def test_a_dead_worker_is_noticed_and_changes_nothing_when_it_returns(play: Play) -> None:
    async def scenario(uploads: Uploads) -> None:
        upload = await submitted(uploads)
        zombie = await uploads.claim(upload, lease_seconds=0)
        assert zombie == 1
        await asyncio.sleep(0.01)
        assert await uploads.sweep() == []
        assert (await uploads.get(upload)).status is Status.PENDING
        heir = await uploads.claim(upload, lease_seconds=60)
        assert heir == 2
        for late in (
            uploads.renew(upload, zombie, lease_seconds=60),
            uploads.fail(upload, zombie, "LATE", "late"),
            uploads.retry(upload, zombie, "LATE", "late"),
        ):
            with pytest.raises(LeaseLostError):
                await late
        async with uploads.pool.connection() as connection:
            with pytest.raises(LeaseLostError):
                await uploads.succeed(connection, upload, zombie)
            await uploads.succeed(connection, upload, heir)
        ended = await uploads.get(upload)
        assert ended.status is Status.SUCCESS
        assert not [event for event in ended.events if "late" in event.message]

    play(scenario)


def test_workers_that_die_every_time_end_the_upload_once(play: Play) -> None:
    async def scenario(uploads: Uploads) -> None:
        upload = await submitted(uploads)
        for attempt in range(1, MAX_ATTEMPTS + 1):
            assert await uploads.claim(upload, lease_seconds=0) == attempt
            await asyncio.sleep(0.01)
            ended = await uploads.sweep()
            assert ended == ([upload] if attempt == MAX_ATTEMPTS else [])
        assert await uploads.claim(upload, lease_seconds=60) is None
        assert await uploads.sweep() == []
        failed = await uploads.get(upload)
        assert failed.status is Status.FAILURE
        assert failed.problem is not None
        assert failed.problem.code == "WORKER_CRASHED"
        assert len([event for event in failed.events if event.severity is Severity.ERROR]) == 1

    play(scenario)


def test_a_passing_failure_is_tried_again_and_then_ends(play: Play) -> None:
    async def scenario(uploads: Uploads) -> None:
        upload = await submitted(uploads)
        for attempt in range(1, MAX_ATTEMPTS + 1):
            assert await uploads.claim(upload, lease_seconds=60) == attempt
            await uploads.retry(upload, attempt, "STORAGE_FAILED", "The disk is full.")
        failed = await uploads.get(upload)
        assert failed.status is Status.FAILURE
        assert failed.problem is not None
        assert failed.problem.code == "STORAGE_FAILED"
        assert "3 times" in failed.problem.message

    play(scenario)


def test_a_pending_upload_whose_job_was_lost_is_queued_again(play: Play) -> None:
    async def scenario(uploads: Uploads) -> None:
        upload = await submitted(uploads)
        async with uploads.pool.connection() as connection:
            await connection.execute("DELETE FROM procrastinate_jobs")
            await connection.execute("UPDATE uploads SET modified = now() - interval '1 hour'")
        await uploads.sweep()
        await uploads.sweep()
        async with uploads.pool.connection() as connection:
            jobs = await (await connection.execute("SELECT args FROM procrastinate_jobs")).fetchall()
        assert [job["args"] for job in jobs] == [{"upload_id": upload}]

    play(scenario)


def test_an_upload_that_nobody_sends_is_given_up(play: Play) -> None:
    async def scenario(uploads: Uploads) -> None:
        upload = await open_upload(uploads)
        assert await uploads.sweep() == []
        async with uploads.pool.connection() as connection:
            await connection.execute("UPDATE uploads SET modified = now() - interval '25 hours'")
        assert await uploads.sweep() == [upload]
        failed = await uploads.get(upload)
        assert failed.problem is not None
        assert failed.problem.code == "TRANSFER_EXPIRED"

    play(scenario)


@pytest.mark.parametrize("state", ["transferring", "pending", "running", "publishing", "success"])
def test_cancel_in_each_state(play: Play, state: str) -> None:
    async def scenario(uploads: Uploads) -> None:
        upload = await (open_upload if state == "transferring" else submitted)(uploads)
        if state in ("running", "publishing", "success"):
            await uploads.claim(upload, lease_seconds=60)
        if state == "publishing":
            await uploads.begin_publishing(upload, 1)
        if state == "success":
            async with uploads.pool.connection() as connection:
                await uploads.succeed(connection, upload, 1)
        if state in ("transferring", "pending", "running"):
            await uploads.cancel(upload)
            await uploads.cancel(upload)
            assert (await uploads.get(upload)).status is Status.CANCELED
            assert await uploads.claim(upload, lease_seconds=60) is None
        else:
            with pytest.raises(RequestError) as caught:
                await uploads.cancel(upload)
            assert caught.value.code == "NOT_CANCELABLE"

    play(scenario)


@pytest.mark.parametrize(
    "end",
    [
        UploadError("CORRUPT_FILE", "it is broken"),
        RetryableUploadError("CONVERTER_CRASHED", "it died"),
        OSError(28, "No space left on device"),
        LeaseLostError("lost"),
        None,
    ],
    ids=lambda end: type(end).__name__,
)
def test_a_worker_whose_upload_was_canceled_meanwhile_changes_nothing(
    play: Play, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, end: Exception | None
) -> None:
    async def scenario(uploads: Uploads) -> None:
        upload = await submitted(uploads)
        store = LocalStore(tmp_path)
        staged = store.local_path(f"staging/{upload}/0-x")
        staged.parent.mkdir(parents=True)
        staged.touch()

        async def canceled_meanwhile(*_: object) -> None:
            await uploads.cancel(upload)
            if end is not None:
                raise end
            await asyncio.Event().wait()

        monkeypatch.setattr(worker, "ingest", canceled_meanwhile)
        workshop = Workshop(
            uploads=uploads, store=store, converters=Converters(), scratch_dir=tmp_path, limits=Limits()
        )
        await worker.process(upload, workshop, WorkerSettings(renew_seconds=0.05))
        ended = await uploads.get(upload)
        assert (ended.status, ended.problem) == (Status.CANCELED, None)
        assert [event.event_type for event in ended.events] == ["queue", "run", "cancel"]
        assert not staged.parent.exists()

    play(scenario)


def test_bytes_that_the_store_gives_back_changed_are_not_converted(play: Play, tmp_path: Path) -> None:
    async def scenario(uploads: Uploads) -> None:
        store, opened = LocalStore(tmp_path / "store"), await open_upload(uploads)
        key = f"staging/{opened}/0-x"
        staged = store.local_path(key)
        staged.parent.mkdir(parents=True)
        staged.write_bytes(b"sent")
        assert await uploads.receive(opened, 0, staged="before", size=1, sha256="0" * 64) is None
        digest = hashlib.sha256(b"sent").hexdigest()
        assert await uploads.receive(opened, 0, staged=key, size=4, sha256=digest) == "before"
        upload = await uploads.get(opened)
        (tmp_path / "first").mkdir()
        (source,) = await stage(upload, store, tmp_path / "first")
        assert source.path.read_bytes() == b"sent"
        await check(upload, [source])
        staged.write_bytes(b"damaged")
        (tmp_path / "second").mkdir()
        (source,) = await stage(upload, store, tmp_path / "second")
        with pytest.raises(RetryableUploadError, match=f"'image.tif' with the SHA-256 {digest}") as caught:
            await check(upload, [source])
        assert caught.value.code == "STAGING_DAMAGED"

    play(scenario)


def test_damaged_bytes_are_not_put_down_to_the_image(play: Play, tmp_path: Path) -> None:
    """They are converted before they have been checked, and cannot be; yet it is the store that is to blame."""

    async def scenario(uploads: Uploads) -> None:
        store, upload = LocalStore(tmp_path / "store"), await submitted(uploads)
        staged = store.local_path("a")
        staged.parent.mkdir(parents=True)
        staged.write_bytes(b"no image at all")
        async with Converters() as converters:
            workshop = Workshop(
                uploads=uploads, store=store, converters=converters, scratch_dir=tmp_path, limits=Limits()
            )
            await worker.process(upload, workshop, WorkerSettings())
        tried = await uploads.get(upload)
        assert tried.status is Status.PENDING
        assert "in the store" in tried.events[-1].message
        assert list(tmp_path.iterdir()) == [tmp_path / "store"]

    play(scenario)


def test_of_two_transfers_at_once_the_bytes_and_their_checksum_are_of_one(play: Play, tmp_path: Path) -> None:
    async def scenario(uploads: Uploads) -> None:
        upload, second_is_received = await open_upload(uploads), asyncio.Event()

        class Waiting(LocalStore):
            async def write(self, key: str, chunks: AsyncIterator[bytes]) -> Written:
                written = await super().write(key, chunks)
                if written.size == len(b"first"):
                    await second_is_received.wait()
                return written

        async def send(content: bytes) -> None:
            async def stream() -> AsyncIterator[bytes]:
                yield content

            state = SimpleNamespace(uploads=uploads, store=Waiting(tmp_path), max_file_bytes=100)
            request: Any = SimpleNamespace(stream=stream, headers={}, app=SimpleNamespace(state=state))
            await send_file(upload, 0, request)

        async with asyncio.TaskGroup() as group:
            group.create_task(send(b"first"))
            await send(b"the second")
            second_is_received.set()
        (staged,) = (tmp_path / "staging" / upload).iterdir()
        assert staged.read_bytes() == b"first"
        assert (await uploads.get(upload)).files[0].sha256 == hashlib.sha256(b"first").hexdigest()

    play(scenario)


def test_publishing_and_canceling_exclude_each_other(play: Play) -> None:
    async def scenario(uploads: Uploads) -> None:
        ends = []
        for number in range(10):
            upload = await submitted(uploads, f"image{number}")
            await uploads.claim(upload, lease_seconds=60)
            published, canceled = await asyncio.gather(
                uploads.begin_publishing(upload, 1), uploads.cancel(upload), return_exceptions=True
            )
            ends.append((type(published), type(canceled)))
            status = (await uploads.get(upload)).status
            assert status is (Status.CANCELED if canceled is None else Status.RUNNING)
        assert set(ends) <= {(type(None), RequestError), (LeaseLostError, type(None))}

    play(scenario)


def test_an_attempt_after_one_that_died_while_it_published_can_be_canceled(play: Play) -> None:
    async def scenario(uploads: Uploads) -> None:
        upload = await submitted(uploads)
        await uploads.claim(upload, lease_seconds=0)
        await uploads.begin_publishing(upload, 1)
        await asyncio.sleep(0.01)
        await uploads.sweep()
        assert await uploads.claim(upload, lease_seconds=60) == 2
        await uploads.cancel(upload)
        assert (await uploads.get(upload)).status is Status.CANCELED

    play(scenario)


@pytest.mark.parametrize("upload", ["nothing", "00000000-0000-0000-0000-000000000000", "'; DROP TABLE uploads"])
def test_an_unknown_upload_is_not_found(play: Play, upload: str) -> None:
    async def scenario(uploads: Uploads) -> None:
        for ask in (uploads.get(upload), uploads.submit(upload), uploads.cancel(upload), uploads.expected(upload, 0)):
            with pytest.raises(RequestError) as caught:
                await ask
            assert caught.value.status == 404

    play(scenario)


def test_uploads_are_listed_newest_first(play: Play) -> None:
    async def scenario(uploads: Uploads) -> None:
        ids = [await open_upload(uploads, f"image{number}") for number in range(3)]
        await uploads.cancel(ids[0])
        listed = (await uploads.find(collection=PRODUCT, limit=10)).uploads
        assert [upload.id for upload in listed] == ids[::-1]
        canceled = (await uploads.find(status=Status.CANCELED, limit=10)).uploads
        assert [upload.id for upload in canceled] == ids[:1]

    play(scenario)
