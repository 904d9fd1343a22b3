"""A worker: takes uploads from the queue, keeps their leases while they are converted, and records how they end."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator

import procrastinate
import psycopg

from stac_ingest import deletions, idempotency
from stac_ingest.converter import Converters, Report
from stac_ingest.database import open_pool
from stac_ingest.deletions import Deletions
from stac_ingest.errors import RequestError, RetryableUploadError, UploadError
from stac_ingest.models.enums import ImageUploadEventSeverity, ImageUploadEventType
from stac_ingest.models.raster import Limits
from stac_ingest.models.upload import Upload
from stac_ingest.pipeline import Workshop, ingest
from stac_ingest.settings import ServiceSettings, WorkerSettings
from stac_ingest.storage import STAGING, open_store
from stac_ingest.uploads import TASK, LeaseLostError, Uploads

logger = logging.getLogger(__name__)

SHUTDOWN_SECONDS = 300
STALLED_SECONDS = SHUTDOWN_SECONDS + 60
"""procrastinate stops its heartbeat before it waits for running jobs, so a worker may be silent that long and live."""
REPORTED_SHARE = 0.1
REPORTED_SECONDS = 0.5
"""Progress is reported no more often."""


async def run(service: ServiceSettings, settings: WorkerSettings, database_url: str) -> None:
    """Work until the process is told to stop (SIGINT or SIGTERM); a running conversion is finished first."""
    async with open_pool(database_url, max_size=settings.worker_concurrency + 5) as pool, Converters() as converters:
        queue = new_queue()
        async with queue.open_async(pool):
            workshop = Workshop(
                uploads=Uploads(pool, queue),
                store=open_store(service.resolved_store_url),
                converters=converters,
                scratch_dir=service.scratch_dir,
                limits=Limits(),
            )
            register(queue, workshop, settings)
            sweeper = asyncio.create_task(_sweep_for_ever(workshop, settings))
            logger.info("waiting for uploads")
            try:
                await queue.run_worker_async(
                    concurrency=settings.worker_concurrency,
                    delete_jobs="always",
                    update_heartbeat_interval=10,
                    shutdown_graceful_timeout=SHUTDOWN_SECONDS,
                    stalled_worker_timeout=STALLED_SECONDS,
                )
            finally:
                sweeper.cancel()


def new_queue() -> procrastinate.App:
    """Return a queue; `open_async(pool)` opens it on a pool."""
    return procrastinate.App(connector=procrastinate.PsycopgConnector())


def register(queue: procrastinate.App, workshop: Workshop, settings: WorkerSettings) -> None:
    """Let the queue's jobs be done in `workshop`."""

    @queue.task(name=TASK)
    async def take(upload_id: str) -> None:
        await process(upload_id, workshop, settings)

    @queue.task(name=deletions.TASK)
    async def delete(deletion_id: str) -> None:
        uploads = workshop.uploads
        everything = Deletions(uploads.pool, uploads.queue)
        await everything.run(deletion_id, uploads, workshop.store, lease_seconds=settings.lease_seconds)


async def process(upload_id: str, workshop: Workshop, settings: WorkerSettings) -> None:
    """Claim an upload, make an image of it, and record how that ended; does nothing when it is not to be had."""
    uploads = workshop.uploads
    attempt = await uploads.claim(upload_id, lease_seconds=settings.lease_seconds)
    if attempt is None:
        return
    upload = await uploads.get(upload_id)
    logger.info("upload %s of %s:%s, attempt %d", upload_id, upload.collection, upload.item, attempt)
    try:
        try:
            await _attempt(upload, attempt, workshop, settings)
        except LeaseLostError as error:
            logger.warning("%s", error)
        if (await uploads.get(upload_id)).status.is_final:
            await workshop.store.delete_under(f"{STAGING}/{upload_id}")
    except psycopg.OperationalError as error:
        # Nothing can be written; the lease runs out and the upload is taken up again.
        logger.warning("upload %s: the database went away: %s", upload_id, error)


async def _attempt(upload: Upload, attempt: int, workshop: Workshop, settings: WorkerSettings) -> None:
    """Make an image of an upload, and record how that ended; raises LeaseLostError when this attempt has no say."""
    uploads = workshop.uploads
    try:
        async with _kept_lease(uploads, upload.id, attempt, settings):
            await ingest(upload, attempt, workshop, _reporter(uploads, upload.id))
    except RetryableUploadError as error:
        logger.warning("upload %s: %s: %s", upload.id, error.code, error)
        await uploads.retry(upload.id, attempt, error.code, str(error))
    except (UploadError, RequestError) as error:
        logger.info("upload %s failed: %s: %s", upload.id, error.code, error)
        await uploads.fail(upload.id, attempt, error.code, str(error))
    except OSError as error:
        logger.exception("upload %s", upload.id)
        reason = f"The disk or the store failed ({error.strerror or error}); is there space left?"
        await uploads.retry(upload.id, attempt, "STORAGE_FAILED", reason)


def _reporter(uploads: Uploads, upload_id: str) -> Report:
    last_share, last_time = 0.0, 0.0

    async def report(share: float, doing: str) -> None:
        nonlocal last_share, last_time
        now = time.monotonic()
        if share - last_share >= REPORTED_SHARE and now - last_time >= REPORTED_SECONDS:
            last_share, last_time = share, now
            await uploads.log(
                upload_id,
                ImageUploadEventSeverity.DEBUG,
                f"{doing}: {share:.0%} done",
                ImageUploadEventType.PROGRESS,
                share,
            )

    return report


@contextlib.asynccontextmanager
async def _kept_lease(uploads: Uploads, upload_id: str, attempt: int, settings: WorkerSettings) -> AsyncIterator[None]:
    """Renew the lease while the block runs; a lease that is lost ends the block with LeaseLostError."""

    async def keep() -> None:
        while True:
            await asyncio.sleep(settings.renew_seconds)
            with contextlib.suppress(psycopg.OperationalError):
                await uploads.renew(upload_id, attempt, lease_seconds=settings.lease_seconds)

    try:
        async with asyncio.TaskGroup() as group:
            keeper = group.create_task(keep())
            yield
            keeper.cancel()
    except BaseExceptionGroup as errors:
        raise errors.exceptions[0] from None


async def _sweep_for_ever(workshop: Workshop, settings: WorkerSettings) -> None:
    while True:
        try:
            for upload in await workshop.uploads.sweep():
                await workshop.store.delete_under(f"{STAGING}/{upload}")
            await Deletions(workshop.uploads.pool, workshop.uploads.queue).sweep()
            async with workshop.uploads.pool.connection() as connection:
                await idempotency.forget(connection)
        except (psycopg.Error, OSError) as error:
            logger.warning("could not look for abandoned work: %s", error)
        await asyncio.sleep(settings.sweep_seconds)
