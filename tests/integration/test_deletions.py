"""Deleting everything that a product has: progress, and what happens when workers die or are slow."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from stac_ingest import catalog, deletions
from stac_ingest.database import Connection
from stac_ingest.deletions import Deletions
from stac_ingest.errors import RequestError
from stac_ingest.models.deletion import Deletion
from stac_ingest.models.enums import TaskState
from stac_ingest.models.product import Product
from stac_ingest.stac import WORLD, collection_from_product
from stac_ingest.storage import Store, open_store
from stac_ingest.uploads import Uploads
from tests.integration.conftest import PRODUCT, Scenario, open_upload, submitted
from tests.integration.test_catalog import item

Play = Callable[[Scenario], Any]
LEASE = 60.0


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store(tmp_path.as_uri())


async def fill(uploads: Uploads, count: int) -> None:
    async with uploads.pool.connection() as connection:
        await catalog.create_items(
            connection, PRODUCT, [item(f"i{n}", west=n, when=f"2024-01-{n + 1:02}T00:00:00Z") for n in range(count)]
        )


async def opened(uploads: Uploads) -> tuple[Deletions, str]:
    found = Deletions(uploads.pool, uploads.queue)
    async with uploads.pool.connection() as connection:
        deletion = await found.open(connection, PRODUCT)
    assert deletion is not None
    return found, deletion


async def execute(uploads: Uploads, sql: str) -> list[dict[str, Any]]:
    async with uploads.pool.connection() as connection:
        cursor = await connection.execute(sql)
        return await cursor.fetchall() if cursor.description else []


async def end_lease(uploads: Uploads) -> None:
    await execute(uploads, "UPDATE deletions SET lease_until = now() - interval '1 second'")


async def jobs(uploads: Uploads) -> list[str]:
    found = await execute(uploads, "SELECT args->>'deletion_id' AS id FROM procrastinate_jobs WHERE status = 'todo'")
    return [row["id"] for row in found if row["id"]]


def watched(monkeypatch: pytest.MonkeyPatch, batch: int, before_batch: Callable[[int], Any]) -> None:
    """Let `before_batch` run before each batch, with the number of the batch from 0."""
    delete = catalog.delete_some_items
    count = 0

    async def delete_some(connection: Connection, collection: str, limit: int) -> int:
        nonlocal count
        count += 1
        await before_batch(count - 1)
        return await delete(connection, collection, limit)

    monkeypatch.setattr(deletions, "BATCH", batch)
    monkeypatch.setattr(catalog, "delete_some_items", delete_some)


def test_progress_is_seen_after_each_batch(play: Play, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario(uploads: Uploads) -> None:
        await fill(uploads, 5)
        found, deletion = await opened(uploads)
        seen: list[int] = []

        async def look(_: int) -> None:
            now = await found.get(deletion)
            assert now.status is TaskState.RUNNING
            seen.append(now.objects_deleted)

        watched(monkeypatch, 2, look)
        await found.run(deletion, uploads, store, lease_seconds=LEASE)
        assert seen == [0, 2, 4, 5]
        after = await found.get(deletion)
        assert (after.status, after.objects_deleted, after.objects_total) == (TaskState.SUCCEEDED, 6, 6)
        async with uploads.pool.connection() as connection:
            collection = await catalog.get_collection(connection, PRODUCT)
        assert collection["extent"] == WORLD
        assert not collection.get("ingest:bands")

    play(scenario)


def test_one_of_several_workers_deletes(play: Play, store: Store) -> None:
    async def scenario(uploads: Uploads) -> None:
        await fill(uploads, 3)
        found, deletion = await opened(uploads)
        await asyncio.gather(*(found.run(deletion, uploads, store, lease_seconds=LEASE) for _ in range(3)))
        after = await found.get(deletion)
        assert (after.status, after.objects_deleted) == (TaskState.SUCCEEDED, 4)
        assert await execute(uploads, "SELECT attempt FROM deletions") == [{"attempt": 1}]
        await found.run(deletion, uploads, store, lease_seconds=LEASE)
        assert await found.get(deletion) == after

    play(scenario)


def test_a_worker_that_lost_its_lease_deletes_no_more(
    play: Play, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario(uploads: Uploads) -> None:
        await fill(uploads, 4)
        found, deletion = await opened(uploads)
        left: list[int] = []

        async def look(batch: int) -> None:
            if batch == 1:  # Another worker takes the deletion between two batches of the first.
                await end_lease(uploads)
                await found.sweep()
                await execute(
                    uploads, "UPDATE deletions SET attempt = attempt + 1, lease_until = now() + interval '1 h'"
                )
            left.append(len(await execute(uploads, "SELECT id FROM pgstac.items")))

        watched(monkeypatch, 1, look)
        await found.run(deletion, uploads, store, lease_seconds=LEASE)
        assert left == [4, 3]
        assert len(await execute(uploads, "SELECT id FROM pgstac.items")) == 3
        assert (await found.get(deletion)).objects_deleted == 1
        assert (await found.get(deletion)).status is TaskState.RUNNING

    play(scenario)


class Killed(BaseException):
    """What nobody catches, as a worker that is killed."""


def test_what_a_dead_worker_left_is_taken_up_where_it_was(
    play: Play, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario(uploads: Uploads) -> None:
        await fill(uploads, 5)
        found, deletion = await opened(uploads)

        async def die(batch: int) -> None:
            if batch == 2:
                raise Killed

        watched(monkeypatch, 1, die)
        with pytest.raises(Killed):
            await found.run(deletion, uploads, store, lease_seconds=LEASE)
        await execute(uploads, "DELETE FROM procrastinate_jobs")
        await found.sweep()
        assert await jobs(uploads) == []  # The lease has not ended yet.
        await end_lease(uploads)
        await found.sweep()
        assert await jobs(uploads) == [deletion]
        assert (await found.get(deletion)).objects_deleted == 2
        await found.run(deletion, uploads, store, lease_seconds=LEASE)
        after = await found.get(deletion)
        assert (after.status, after.objects_deleted, after.errors) == (TaskState.SUCCEEDED, 6, ())

    play(scenario)


def test_a_deletion_whose_workers_die_each_time_fails_with_the_reason(
    play: Play, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario(uploads: Uploads) -> None:
        await fill(uploads, 5)
        found, deletion = await opened(uploads)

        async def die(batch: int) -> None:
            if batch:
                raise Killed

        watched(monkeypatch, 1, die)
        for _ in range(3):
            assert (await found.get(deletion)).status is TaskState.RUNNING
            with pytest.raises(Killed):
                await found.run(deletion, uploads, store, lease_seconds=LEASE)
            await end_lease(uploads)
            await found.sweep()
        after = await found.get(deletion)
        assert after.status is TaskState.FAILED
        assert "each of 3 attempts" in after.errors[0]
        assert (after.objects_deleted, after.objects_total) == (1, 6)
        left = [row["west"] for row in await execute(uploads, "SELECT st_xmin(geometry) AS west FROM pgstac.items")]
        async with uploads.pool.connection() as connection:
            extent = (await catalog.get_collection(connection, PRODUCT))["extent"]
        assert extent["spatial"]["bbox"] == [[min(left), 50, max(left) + 1, 51]]
        await found.sweep()
        assert await found.get(deletion) == after
        monkeypatch.undo()
        _, again = await opened(uploads)
        await found.run(again, uploads, store, lease_seconds=LEASE)
        assert (await found.get(again)).status is TaskState.SUCCEEDED
        assert [one.id for one in await found.find(PRODUCT)] == [again, deletion]

    play(scenario)


def test_a_deletion_that_the_queue_forgot_is_queued_again(play: Play) -> None:
    async def scenario(uploads: Uploads) -> None:
        await fill(uploads, 1)
        found, deletion = await opened(uploads)
        assert await jobs(uploads) == [deletion]
        await execute(uploads, "UPDATE deletions SET woken = now() - interval '1 h'")
        await found.sweep()
        assert await jobs(uploads) == [deletion]
        await execute(uploads, "DELETE FROM procrastinate_jobs")
        await found.sweep()
        assert await jobs(uploads) == [deletion]

    play(scenario)


def test_a_product_that_goes_meanwhile_ends_the_deletion_with_the_reason(play: Play, store: Store) -> None:
    async def scenario(uploads: Uploads) -> None:
        found, deletion = await opened(uploads)
        await execute(uploads, f"SELECT pgstac.delete_collection('{PRODUCT}')")
        await found.run(deletion, uploads, store, lease_seconds=LEASE)
        row = (await found.get(deletion)).model_dump(include={"status", "errors"})
        assert row["status"] is TaskState.FAILED
        assert "no collection 'a:product'" in row["errors"][0]

    play(scenario)


def test_uploads_that_have_not_ended_are_canceled_and_their_bytes_removed(play: Play, store: Store) -> None:
    async def scenario(uploads: Uploads) -> None:
        waiting, pending, running = [
            await open_upload(uploads, "a"), await submitted(uploads, "b"), await submitted(uploads, "c"),
        ]  # fmt: skip
        assert await uploads.claim(running, lease_seconds=LEASE) == 1

        async def chunks() -> Any:
            yield b"bytes"

        for upload in (waiting, pending, running):
            await store.write(f"staging/{upload}/0", chunks())
        found, deletion = await opened(uploads)
        await found.run(deletion, uploads, store, lease_seconds=LEASE)
        assert (await found.get(deletion)).status is TaskState.SUCCEEDED
        for upload in (waiting, pending, running):
            assert (await uploads.get(upload)).status == "canceled"
            assert await store.size(f"staging/{upload}/0") is None

    play(scenario)


def test_bands_stay_until_the_last_image_has_been_refused(
    play: Play, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario(uploads: Uploads) -> None:
        upload = await submitted(uploads)
        attempt = await uploads.claim(upload, lease_seconds=LEASE)
        assert attempt is not None
        await uploads.begin_publishing(upload, attempt)
        found, deletion = await opened(uploads)
        monkeypatch.setattr(deletions, "UPLOAD_POLL_SECONDS", 0.01)
        running = asyncio.create_task(found.run(deletion, uploads, store, lease_seconds=LEASE))
        await asyncio.sleep(0.3)
        assert (await found.get(deletion)).status is TaskState.RUNNING
        async with uploads.pool.connection() as connection:
            assert (await catalog.get_collection(connection, PRODUCT))["ingest:bands"]
            with pytest.raises(RequestError) as caught:
                await catalog.upsert_items(connection, PRODUCT, [item("image")])
            assert caught.value.code == "DELETION_RUNNING"
        await uploads.fail(upload, attempt, caught.value.code, str(caught.value))
        await running
        after: Deletion = await found.get(deletion)
        assert (after.status, after.objects_deleted) == (TaskState.SUCCEEDED, 1)

    play(scenario)


def test_images_of_other_products_stay(play: Play, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario(uploads: Uploads) -> None:
        async with uploads.pool.connection() as connection:
            for other in ("a:first", "z:last"):
                await catalog.create_collection(connection, collection_from_product(Product(id=other), []))
                items = [{**item(name), "collection": other} for name in ("i0", f"{other[0]}1", f"{other[0]}2")]
                await catalog.create_items(connection, other, items)
        await fill(uploads, 5)
        found, deletion = await opened(uploads)
        monkeypatch.setattr(deletions, "BATCH", 2)
        await found.run(deletion, uploads, store, lease_seconds=LEASE)
        assert (await found.get(deletion)).objects_deleted == 6
        left = await execute(uploads, "SELECT collection, count(*) AS count FROM pgstac.items GROUP BY 1 ORDER BY 1")
        assert left == [{"collection": "a:first", "count": 3}, {"collection": "z:last", "count": 3}]

    play(scenario)
