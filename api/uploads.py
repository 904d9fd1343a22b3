"""The routes of an upload: open it, send its bytes, submit it, follow it."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import re
from collections.abc import AsyncIterator
from datetime import datetime
from typing import Annotated, Any
from uuid import UUID, uuid4

from fastapi import APIRouter, Query, Request
from pydantic import ValidationError
from stac_fastapi.types.requests import get_base_url
from starlette.responses import JSONResponse, Response, StreamingResponse

from api.bodies import MAX_DEPTH, binary_body, json_body, require_storable
from api.writing import writing
from stac_ingest import catalog
from stac_ingest.errors import RequestError, UploadError
from stac_ingest.models.bands import Layout
from stac_ingest.models.enums import ImageUploadStatus, UploadFileKind
from stac_ingest.models.upload import Upload, UploadRequest
from stac_ingest.models.values import describe
from stac_ingest.stac import bands_from_collection
from stac_ingest.storage import STAGING, Store
from stac_ingest.uploads import ExpectedFile, Uploads

router = APIRouter(tags=["Uploads"])

POLL_SECONDS = 0.5


@router.post(
    "/collections/{collection_id}/uploads",
    status_code=201,
    responses={201: {"model": Upload}},
    openapi_extra=json_body(UploadRequest),
)
async def open_upload(collection_id: str, request: Request) -> Response:
    """Open an upload: what the image is, what is asked of it, and which files will be sent."""
    asked = await _upload_request(request, collection_id)
    uploads = _uploads(request)
    image = asked.image
    if image.acquired is None:
        raise RequestError(422, "INVALID_UPLOAD", "Expected image.acquired, the time when the image was taken.")
    async with writing(request) as write:
        if write.repeated and write.result:
            upload_id = write.result
        else:
            collection = await catalog.lock_for_items(write.connection, collection_id)
            _require_fitting_files(asked, Layout.of(bands_from_collection(collection)), collection_id)
            if not asked.options.overwrite and await catalog.item_exists(write.connection, collection_id, image.name):
                raise RequestError(
                    409,
                    "IMAGE_EXISTS",
                    f"Image {image.id!r} exists already; use another name, or overwrite=True to replace it.",
                )
            upload_id = await uploads.open(write.connection, asked)
            await write.keep(upload_id)
    answer = await _answer(request, upload_id, status_code=201)
    answer.headers["Location"] = f"{get_base_url(request)}uploads/{upload_id}"
    return answer


async def _upload_request(request: Request, collection_id: str) -> UploadRequest:
    body = await request.body()
    try:
        sent = json.loads(body)
        if not isinstance(sent, dict) or not isinstance(sent.get("image"), dict):
            raise RequestError(400, "INVALID_REQUEST", "Expected a JSON object with image, files and options.")
        named = sent["image"].setdefault("product_id", collection_id)
        if named != collection_id:
            raise RequestError(
                400, "ID_MISMATCH", f"Expected product_id {collection_id!r} of the address, found {named!r}."
            )
        asked = UploadRequest.model_validate(sent)
        require_storable(sent, MAX_DEPTH)
    except ValidationError as error:
        raise RequestError(422, "INVALID_UPLOAD", f"The upload cannot be opened: {describe(error)}.") from error
    except ValueError as error:  # no JSON, no UTF-8, or a number of thousands of digits
        raise RequestError(400, "INVALID_REQUEST", f"Expected JSON that can be read: {error}.") from error
    return asked


def _require_fitting_files(asked: UploadRequest, layout: Layout, collection_id: str) -> None:
    if not layout.files:
        raise RequestError(
            409, "PRODUCT_WITHOUT_BANDS", f"Product {collection_id!r} has no bands; save at least one before uploading."
        )
    sent = [file for file in asked.files if file.kind in (UploadFileKind.FILE, UploadFileKind.ARRAY)]
    if len(sent) != len(layout.files):
        raise RequestError(
            422,
            "FILE_COUNT_MISMATCH",
            f"Expected {len(layout.files)} file(s) as the bands of {collection_id!r} describe them, found {len(sent)};"
            " send one for each file_index, with all its bands (of arrays: numpy.stack).",
        )
    try:
        for file, described in zip(sent, layout.files, strict=True):
            file.require_fitting(described, asked.options)
    except UploadError as error:
        raise RequestError(422, error.code, str(error)) from error


@router.put("/uploads/{upload_id}/files/{index}", openapi_extra=binary_body())
async def send_file(upload_id: str, index: int, request: Request) -> dict[str, Any]:
    """Send the bytes of one file; they are streamed to the store, and checked against `Content-Digest` if that is sent.

    Sending a file again replaces it, until the upload is submitted.
    """
    uploads, store = _uploads(request), _store(request)
    expected = await uploads.expected(upload_id, index)
    largest: int = request.app.state.max_file_bytes
    chunks = _checked(request.stream(), expected, _content_digest(request), largest)
    key = f"{STAGING}/{upload_id}/{index}-{uuid4()}"
    try:
        written = await store.write(key, chunks)
        replaced = await uploads.receive(upload_id, index, staged=key, size=written.size, sha256=written.sha256)
    except (RequestError, OSError):
        await store.delete(key)
        if (await uploads.get(upload_id)).status.is_final:  # canceled, and so removed, while the bytes came
            await store.delete_under(f"{STAGING}/{upload_id}")
            await uploads.expected(upload_id, index)
        raise
    if replaced is not None:
        await store.delete(replaced)
    return {"index": index, "size": written.size, "sha256": written.sha256}


async def _checked(
    chunks: AsyncIterator[bytes], expected: ExpectedFile, digest: str | None, largest: int
) -> AsyncIterator[bytes]:
    """Yield what arrives; an error at its end keeps the store from taking it, and from replacing what it has."""
    name, size, found = expected.name, 0, hashlib.sha256()
    async for chunk in chunks:
        size += len(chunk)
        if size > largest:
            raise RequestError(413, "FILE_TOO_LARGE", f"Expected at most {largest} bytes for {name!r}, found more.")
        if digest is not None:
            await asyncio.to_thread(found.update, chunk)
        yield chunk
    if expected.size is not None and size != expected.size:
        raise RequestError(
            422, "SIZE_MISMATCH", f"Expected {expected.size} bytes for {name!r}, found {size}; send the file again."
        )
    if digest is not None and found.hexdigest() != digest:
        raise RequestError(
            422,
            "CHECKSUM_MISMATCH",
            f"Expected {name!r} with the SHA-256 {digest}, found {found.hexdigest()}; send the file again.",
        )


def _content_digest(request: Request) -> str | None:
    """Return the SHA-256 in hexadecimal that `Content-Digest` announces (RFC 9530), or None."""
    sent = request.headers.get("content-digest")
    if sent is None:
        return None
    found = re.search(r"sha-256=:([A-Za-z0-9+/=]+):", sent)
    try:
        digest = base64.b64decode(found[1], validate=True).hex() if found else ""
    except ValueError:
        digest = ""
    if len(digest) != hashlib.sha256().digest_size * 2:
        raise RequestError(400, "INVALID_DIGEST", f"Expected Content-Digest as sha-256=:BASE64:, found {sent[:100]!r}.")
    return digest


@router.post("/uploads/{upload_id}/submit", status_code=202, responses={202: {"model": Upload}})
async def submit_upload(upload_id: str, request: Request) -> Response:
    """Hand the upload to the workers."""
    await _uploads(request).submit(upload_id)
    return await _answer(request, upload_id, status_code=202)


@router.post("/uploads/{upload_id}/cancel", responses={200: {"model": Upload}})
async def cancel_upload(upload_id: str, request: Request) -> Response:
    """End an upload that has not ended yet; a worker that converts it stops soon."""
    await _uploads(request).cancel(upload_id)
    await _store(request).delete_under(f"{STAGING}/{upload_id}")
    return await _answer(request, upload_id)


@router.get("/uploads/{upload_id}", responses={200: {"model": Upload}})
async def get_upload(upload_id: str, request: Request) -> Response:
    """Return the state of an upload, its files and its events."""
    return await _answer(request, upload_id)


@router.get("/uploads")
async def list_uploads(
    request: Request,
    id: Annotated[str | None, Query(description="Ids of uploads, separated by commas.")] = None,  # noqa: A002
    collection: str | None = None,
    item: str | None = None,
    status: ImageUploadStatus | None = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    token: Annotated[str | None, Query(description="Where the page before has ended; from its link `next`.")] = None,
) -> Response:
    """Return uploads, newest first, without their files and events; the link `next` leads to those that follow."""
    page = await _uploads(request).find(
        collection=collection,
        item=item,
        status=status,
        ids=None if id is None else id.split(","),
        before=None if token is None else _parse_token(token),
        limit=limit,
    )
    links = []
    if page.following is not None:
        created, last = page.following
        href = request.url.include_query_params(token=f"{created.isoformat()}~{last}")
        links.append({"rel": "next", "href": f"{get_base_url(request)}uploads?{href.query}"})
    documents = [_document(request, upload) for upload in page.uploads]
    return JSONResponse({"uploads": documents, "links": links}, headers={"Cache-Control": "no-store"})


def _parse_token(token: str) -> tuple[datetime, str]:
    created, _, last = token.partition("~")
    try:
        return datetime.fromisoformat(created), str(UUID(last))
    except ValueError as error:
        raise RequestError(
            400, "INVALID_PARAMETER", f"Expected the token of a link 'next', found {token[:100]!r}."
        ) from error


@router.get(
    "/uploads/{upload_id}/events",
    response_class=StreamingResponse,
    responses={200: {"content": {"text/event-stream": {}}}},
)
async def follow_upload(upload_id: str, request: Request) -> StreamingResponse:
    """Follow the events of an upload as server-sent events, until it has ended; `Last-Event-ID` goes on from there."""
    uploads = _uploads(request)
    sent = request.headers.get("last-event-id", "0")
    after = int(sent) if re.fullmatch("[0-9]{1,18}", sent) else 0
    await uploads.events(upload_id, after=after)

    async def follow(after: int) -> AsyncIterator[str]:
        while True:
            status, events = await uploads.events(upload_id, after=after)
            for event in events:
                after = int(event["id"])
                data = {**event, "event_datetime": event["event_datetime"].isoformat()}
                yield f"id: {after}\nevent: {event['event_type']}\ndata: {json.dumps(data)}\n\n"
            if status.is_final:
                yield f"event: end\ndata: {json.dumps({'status': status})}\n\n"
                return
            await asyncio.sleep(POLL_SECONDS)

    return StreamingResponse(follow(after), media_type="text/event-stream", headers={"Cache-Control": "no-store"})


async def _answer(request: Request, upload_id: str, status_code: int = 200) -> Response:
    upload = await _uploads(request).get(upload_id)
    return JSONResponse(_document(request, upload), status_code=status_code, headers={"Cache-Control": "no-store"})


def _document(request: Request, upload: Upload) -> dict[str, Any]:
    base = get_base_url(request)
    here = f"{base}uploads/{upload.id}"
    links = [
        {"rel": "self", "href": here},
        {"rel": "collection", "href": f"{base}collections/{upload.collection}"},
        {"rel": "monitor", "href": f"{here}/events"},
    ]
    if upload.status is ImageUploadStatus.SUCCESS:
        links.append({"rel": "item", "href": f"{base}collections/{upload.collection}/items/{upload.item}"})
    files = tuple(file.evolve(href=f"{here}/files/{file.index}") for file in upload.files)
    return upload.evolve(files=files, links=tuple(links)).to_json()


def _uploads(request: Request) -> Uploads:
    uploads: Uploads = request.app.state.uploads
    return uploads


def _store(request: Request) -> Store:
    store: Store = request.app.state.store
    return store
