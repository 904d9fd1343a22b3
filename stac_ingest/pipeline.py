"""From the bytes of an upload to an image in the catalog: stage, check, convert, describe, store, publish."""

from __future__ import annotations

import asyncio
import hashlib
import shutil
import time
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from stac_ingest import catalog
from stac_ingest.converter import Converters, Report
from stac_ingest.errors import RequestError, RetryableUploadError, UploadError
from stac_ingest.models.bands import Band, Layout
from stac_ingest.models.enums import ImageUploadEventSeverity, ImageUploadEventType, UploadFileKind
from stac_ingest.models.image import Georeference, Image
from stac_ingest.models.product import Product
from stac_ingest.models.raster import Conversion, ConversionJob, Limits, SourceFile
from stac_ingest.models.upload import Upload
from stac_ingest.stac import Json, bands_from_collection, product_from_collection
from stac_ingest.stac.conversions import item_from_conversion
from stac_ingest.storage import ASSETS, Store, href
from stac_ingest.uploads import Uploads


@dataclass(frozen=True, kw_only=True)
class Workshop:
    """Where images are made: the uploads, the store, converters, and a local folder for what is half done."""

    uploads: Uploads
    store: Store
    converters: Converters
    scratch_dir: Path
    limits: Limits


async def ingest(upload: Upload, attempt: int, workshop: Workshop, report: Report) -> None:
    """Make an image of an upload that this attempt has claimed.

    Raises:
        UploadError: The upload cannot become an image; nothing of it is in the catalog.
        RetryableUploadError: This attempt failed for a reason that may pass.
        LeaseLostError: The upload was canceled, or another attempt has it now.
    """
    began = time.monotonic()
    product, bands = await _describe_product(upload, workshop)
    image = Image.check(upload.image)
    async with _scratch(workshop, upload, attempt) as scratch:
        sources = await stage(upload, workshop.store, scratch)
        checked = asyncio.create_task(check(upload, sources))
        try:
            job = _job(image, product, bands, sources, upload, scratch, workshop.limits)
            conversion = await workshop.converters.convert(job, report)
        finally:
            await checked  # what is wrong with damaged bytes is not wrong with the image
        for warning in conversion.warnings:
            await workshop.uploads.log(upload.id, ImageUploadEventSeverity.WARNING, warning)
        await workshop.uploads.begin_publishing(upload.id, attempt)
        hrefs = await store(image, conversion, workshop.store)
    item = item_from_conversion(image, product, bands, conversion, hrefs, now=datetime.now(UTC))
    used = _usage(upload, conversion, time.monotonic() - began)
    await workshop.uploads.log(upload.id, ImageUploadEventSeverity.INFO, used, ImageUploadEventType.USAGE)
    await publish(item, upload, attempt, workshop.uploads)


def _usage(upload: Upload, conversion: Conversion, seconds: float) -> str:
    read = sum(file.size or 0 for file in upload.files)
    written = sum(raster.size for raster in conversion.rasters) + sum(shown.size for shown in conversion.previews)
    return (
        f"{seconds:.1f} s, {conversion.processor_seconds:.1f} s of processors, {conversion.memory_bytes >> 20} MiB of"
        f" memory at most; {read} bytes read, {written} bytes written."
    )


async def _describe_product(upload: Upload, workshop: Workshop) -> tuple[Product, tuple[Band, ...]]:
    async with workshop.uploads.pool.connection() as connection:
        try:
            collection = await catalog.get_collection(connection, upload.collection)
        except RequestError as error:
            raise UploadError(
                error.code, f"Product {upload.collection!r} was deleted before its image came."
            ) from error
    return product_from_collection(collection), bands_from_collection(collection)


@asynccontextmanager
async def _scratch(workshop: Workshop, upload: Upload, attempt: int) -> AsyncIterator[Path]:
    """Give an attempt a folder of its own, and remove what attempts before it left when they were killed."""
    for leftover in workshop.scratch_dir.glob(f"{upload.id}-*"):
        await asyncio.to_thread(shutil.rmtree, leftover, ignore_errors=True)
    folder = workshop.scratch_dir / f"{upload.id}-{attempt}"
    folder.mkdir(parents=True)
    try:
        yield folder
    finally:
        await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)


async def stage(upload: Upload, store: Store, scratch: Path) -> tuple[SourceFile, ...]:
    """Bring the uploaded files to the local disk; a mask comes to lie beside its array."""
    inputs = scratch / "input"
    inputs.mkdir()
    sources = []
    for file in upload.files:
        path = inputs / f"{file.index}.data"
        if file.kind is UploadFileKind.MASK:
            path = inputs / f"{file.index - 1}.mask"
        try:
            await store.fetch(file.staged, path)
        except FileNotFoundError as error:
            raise UploadError(
                "STAGING_LOST", f"The bytes of {file.name!r} are no longer in the store; upload the image again."
            ) from error
        sources.append(SourceFile(path=path, name=file.name, kind=file.kind))
    return tuple(sources)


async def check(upload: Upload, sources: Iterable[SourceFile]) -> None:
    """Make sure that the files are what was uploaded.

    Raises:
        RetryableUploadError: `STAGING_DAMAGED`.
    """
    for file, source in zip(upload.files, sources, strict=True):
        found = await asyncio.to_thread(_sha256, source.path)
        if found != file.sha256:
            raise RetryableUploadError(
                "STAGING_DAMAGED",
                f"Expected {file.name!r} with the SHA-256 {file.sha256}, found {found} in the store; if that stays so,"
                " upload the image again.",
            )


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _job(
    image: Image,
    product: Product,
    bands: tuple[Band, ...],
    sources: tuple[SourceFile, ...],
    upload: Upload,
    scratch: Path,
    limits: Limits,
) -> ConversionJob:
    return ConversionJob(
        sources=sources,
        scratch=scratch,
        layout=Layout.of(bands),
        georeference=Georeference(cs_code=image.cs_code, projection=image.projection, geotrans=image.geotrans),
        display_bands=product.default_display_bands,
        overviews=upload.options.overviews,
        overview_resampler=upload.options.overview_resampler,
        profile=product.cog_profile,
        limits=limits,
    )


async def store(image: Image, conversion: Conversion, store: Store) -> Mapping[str, str]:
    """Put the files that were written into the store, and return where each asset is."""
    files = {raster.asset: (raster.path, raster.sha256) for raster in conversion.rasters}
    files |= {preview.role: (preview.path, preview.sha256) for preview in conversion.previews}
    hrefs = {}
    for asset, (path, sha256) in files.items():
        key = f"{ASSETS}/{image.product_id}/{image.name}/{asset}-{sha256[:16]}{path.suffix}"
        await store.publish(key, path)
        hrefs[asset] = href(store, key)
    return hrefs


async def publish(item: Json, upload: Upload, attempt: int, uploads: Uploads) -> None:
    """Put the Item into the catalog and end the upload, both or neither.

    Raises:
        UploadError: `IMAGE_EXISTS`, when the name was taken meanwhile.
        LeaseLostError: Another attempt has the upload now.
    """
    async with uploads.pool.connection() as connection:
        await catalog.get_collection(connection, upload.collection, lock=True)
        exists = await catalog.item_exists(connection, upload.collection, upload.item)
        if exists and not upload.options.overwrite:
            raise UploadError(
                "IMAGE_EXISTS",
                f"Image '{upload.collection}:{upload.item}' appeared while this upload ran; use another name, or"
                " overwrite=True.",
            )
        await catalog.upsert_items(connection, upload.collection, [item])
        await uploads.succeed(connection, upload.id, attempt)
