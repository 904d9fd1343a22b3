"""A worker: takes uploads from the queue, keeps their leases while they are converted, and records how they end."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator

import procrastinate
import psycopg

from stac_ingest.converter import Report
from stac_ingest.database import open_pool
from stac_ingest.errors import RequestError, RetryableUploadError, UploadError
from stac_ingest.models.enums import ImageUploadEventSeverity
from stac_ingest.models.raster import Limits
from stac_ingest.pipeline import Workshop, ingest
from stac_ingest.settings import ServiceSettings, WorkerSettings
from stac_ingest.storage import STAGING, open_store
from stac_ingest.uploads import TASK, LeaseLostError, Uploads

logger = logging.getLogger(__name__)

SHUTDOWN_SECONDS = 300
STALLED_SECONDS = SHUTDOWN_SECONDS + 60
"""procrastinate stops its heartbeat before it waits for running jobs, so a worker may be silent that long and live."""
REPORTED_SHARE = 0.25


async def run(service: ServiceSettings, settings: WorkerSettings, database_url: str) -> None:
    """Work until the process is told to stop (SIGINT or SIGTERM); a running conversion is finished first."""
    async with open_pool(database_url, max_size=settings.worker_concurrency + 5) as pool:
        queue = new_queue()
        async with queue.open_async(pool):
            workshop = Workshop(
                uploads=Uploads(pool, queue),
                store=open_store(service.resolved_store_url),
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


async def process(upload_id: str, workshop: Workshop, settings: WorkerSettings) -> None:
    """Claim an upload, make an image of it, and record how that ended; does nothing when it is not to be had."""
    uploads = workshop.uploads
    attempt = await uploads.claim(upload_id, lease_seconds=settings.lease_seconds)
    if attempt is None:
        return
    upload = await uploads.get(upload_id)
    logger.info("upload %s of %s:%s, attempt %d", upload_id, upload.collection, upload.item, attempt)
    try:
        async with _kept_lease(uploads, upload_id, attempt, settings):
            await ingest(upload, attempt, workshop, _reporter(uploads, upload_id))
    except LeaseLostError as error:
        logger.warning("%s", error)
        return
    except RetryableUploadError as error:
        logger.warning("upload %s: %s: %s", upload_id, error.code, error)
        await uploads.retry(upload_id, attempt, error.code, str(error))
        return
    except (UploadError, RequestError) as error:
        logger.info("upload %s failed: %s: %s", upload_id, error.code, error)
        await uploads.fail(upload_id, attempt, error.code, str(error))
    except psycopg.OperationalError as error:
        # Nothing can be written; the lease runs out and the upload is taken up again.
        logger.warning("upload %s: the database went away: %s", upload_id, error)
        return
    except OSError as error:
        logger.exception("upload %s", upload_id)
        reason = f"The disk or the store failed ({error.strerror or error}); is there space left?"
        await uploads.retry(upload_id, attempt, "STORAGE_FAILED", reason)
        return
    await workshop.store.delete_under(f"{STAGING}/{upload_id}")


def _reporter(uploads: Uploads, upload_id: str) -> Report:
    last = 0.0

    async def report(share: float, doing: str) -> None:
        nonlocal last
        if share - last >= REPORTED_SHARE:
            last = share
            await uploads.log(upload_id, ImageUploadEventSeverity.DEBUG, f"{doing}: {share:.0%} done")

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
        except (psycopg.Error, OSError) as error:
            logger.warning("could not look for abandoned uploads: %s", error)
        await asyncio.sleep(settings.sweep_seconds)
