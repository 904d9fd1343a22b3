"""Uploads as objects: what was sent, how far it is, and why it failed; one, or many at once."""

from __future__ import annotations

import contextlib
import hashlib
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence, Sized
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from concurrent.futures import TimeoutError as FuturesTimeoutError
from datetime import datetime
from html import escape
from itertools import batched
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stac_ingest.client.collection import Collection
from stac_ingest.client.connection import Client, default_client, path
from stac_ingest.client.progress import progress_bar
from stac_ingest.client.uploading.layers import is_arrays
from stac_ingest.client.uploading.payload import Payload
from stac_ingest.errors import ClientError, NotFoundError, ServerError, UploadFailedError
from stac_ingest.models.enums import ImageUploadStatus
from stac_ingest.models.image import Image as ImageValue
from stac_ingest.models.upload import ImageUploadEvent, ImageUploadOptions, Upload, UploadProblem

if TYPE_CHECKING:
    from stac_ingest.client.image import Image
    from stac_ingest.client.searching.searches import ImageUploadSearch

FIRST_POLL_SECONDS = 0.1
LAST_POLL_SECONDS = 10.0
STATES_AT_ONCE = 100
"""How many uploads one request asks for."""
_MISTAKES = {
    "IMAGE_EXISTS": "Image {0.id} already exists in the catalog. Please either use a new image id or overwrite=True",
    "COLLECTION_NOT_FOUND": "Product {0.product_id} has not been saved. Please save before uploading images",
}
"""Codes of refusals that the caller's own arguments explain."""
_SET_BY_SERVICE = frozenset(("created", "modified"))
_SDK = (str(Path(__file__).resolve().parents[1]),)


class ImageUpload:
    """One upload; `Image.upload` and `Image.upload_ndarray` make it. Equal are those that are the same upload."""

    def __init__(self, client: Client, value: Upload, image: Image | None = None) -> None:
        self._client = client
        self._value = value
        self._image = image
        self._load_image()

    @classmethod
    def get(
        cls,
        id: str,  # noqa: A002 - the name of the attribute
        client: Client | None = None,
    ) -> ImageUpload | None:
        """Return the upload with this id, or None when there is none."""
        client = client or default_client()
        try:
            return cls(client, Upload.model_validate(client.get(path("uploads", id))))
        except NotFoundError:
            return None

    @classmethod
    def search(cls, client: Client | None = None) -> ImageUploadSearch:
        """Return the search for uploads of any product; filter it, then iterate."""
        from stac_ingest.client.searching.searches import ImageUploadSearch

        return ImageUploadSearch(client or default_client())

    @property
    def id(self) -> str:
        """Id of the upload."""
        return self._value.id

    @property
    def product_id(self) -> str:
        """Id of the image's product."""
        return self._value.collection

    @property
    def image_id(self) -> str:
        """Id of the image: `product_id:name`."""
        return f"{self._value.collection}:{self._value.item}"

    @property
    def image(self) -> Image | None:
        """The image that was uploaded; else that of this id in the catalog, None while there is none."""
        from stac_ingest.client.image import Image

        if self._image is None:
            self._image = Image.get(self.image_id, self._client)
        return self._image

    @property
    def image_upload_options(self) -> ImageUploadOptions:
        """What was asked of the upload."""
        return self._value.options

    @property
    def status(self) -> ImageUploadStatus:
        """The state when it was last asked for; see `reload` and `wait_for_completion`."""
        return self._value.status

    @property
    def events(self) -> list[ImageUploadEvent]:
        """What happened so far, in its order: `queue`, `run`, `progress`, `log`, `usage`, `complete`.

        The last one of a failure says why, with the severity `ERROR`.
        """
        return list(self._value.events)

    @property
    def problem(self) -> UploadProblem | None:
        """Why the upload failed: a code and a sentence; None unless it did."""
        return self._value.problem

    @property
    def created(self) -> datetime:
        """When the upload was opened."""
        return self._value.created

    @property
    def modified(self) -> datetime:
        """When its state last changed."""
        return self._value.modified

    def reload(self) -> None:
        """Ask for the state; when the upload has just succeeded, its image is loaded too."""
        before = self.status
        self._value = Upload.model_validate(self._client.get(path("uploads", self.id)))
        if before is not self.status:
            self._load_image()

    def _load_image(self) -> None:
        if self._image is not None and self.status is ImageUploadStatus.SUCCESS:
            with contextlib.suppress(NotFoundError):  # it was deleted meanwhile
                self._image._load()

    def wait_for_completion(self, timeout: float | None = None, warn_transient_errors: bool = True) -> None:
        """Wait until the upload has ended, well or not; look at `status` then, or call `raise_for_status`.

        Args:
            timeout: Seconds to wait at most; None or 0: for ever.
            warn_transient_errors: Whether a service that cannot be reached for a moment causes a warning.

        Raises:
            concurrent.futures.TimeoutError: The upload has not ended in time.
        """

        def ended() -> bool:
            self.reload()
            return self.status.is_final

        if not _wait_until(ended, f"ImageUpload {self.id!r}", timeout, warn_transient_errors):
            raise FuturesTimeoutError(f"ImageUpload {self.id!r} is {self.status} after {timeout} seconds")

    def raise_for_status(self) -> None:
        """Raise UploadFailedError, with the code and the sentence, if the upload has failed or was canceled."""
        match self.status:
            case ImageUploadStatus.FAILURE:
                problem = self.problem or UploadProblem(code="UNKNOWN", message="The service gives no reason.")
                raise UploadFailedError(problem.code, f"{self.image_id}: {problem}")
            case ImageUploadStatus.CANCELED:
                raise UploadFailedError("CANCELED", f"{self.image_id}: the upload was canceled")

    def cancel(self) -> None:
        """End the upload, also while it is being converted; nothing of it is left behind.

        Canceling it again changes nothing.

        Raises:
            ConflictError: It has ended otherwise, or its image is just being put into the catalog.
        """
        self._value = Upload.model_validate(self._client.post(f"{path('uploads', self.id)}/cancel"))

    def delete(self) -> None:
        """Raise NotImplementedError: an upload is a record of what happened, and `cancel` ends it."""
        raise NotImplementedError("Deleting ImageUploads is not permitted; cancel() ends one that has not ended")

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, ImageUpload):
            return NotImplemented
        return (self.id, self._client.url) == (other.id, other._client.url)

    def __hash__(self) -> int:
        return hash(self.id)

    def _rows(self) -> list[tuple[str, object]]:
        rows: list[tuple[str, object]] = [("id", self.id), ("status", self.status), ("created", self.created)]
        shares = [event.share for event in self.events if event.share is not None]
        if shares and not self.status.is_final:
            rows.append(("progress", f"{shares[-1]:.0%}"))
        if self.problem:
            rows.append(("problem", self.problem))
        return rows

    def __repr__(self) -> str:
        return "\n".join([f"ImageUpload: {self.image_id}", *(f"  {name}: {value}" for name, value in self._rows())])

    def _repr_html_(self) -> str:
        """Return the upload and its events as tables, for notebooks."""
        rows = "".join(f"<tr><th>{name}</th><td>{escape(str(value))}</td></tr>" for name, value in self._rows())
        events = "".join(
            f"<tr><td>{event.event_datetime:%H:%M:%S}</td><td>{event.event_type}</td><td>{event.severity}</td>"
            f"<td>{escape(event.message)}</td></tr>"
            for event in self.events
        )
        return f"<div><b>ImageUpload: {escape(self.image_id)}</b><table>{rows}</table><table>{events}</table></div>"


class ImageUploadCollection(Collection[ImageUpload]):
    """A list of uploads, which are awaited together.

    Args:
        items: The uploads.
        errors: The images whose upload could not even be started, each with the reason.
    """

    KIND = ImageUpload
    COLUMNS = ("image_id", "id", "status", "problem")

    def __init__(self, items: Iterable[ImageUpload] = (), errors: Iterable[tuple[Image, BaseException]] = ()) -> None:
        super().__init__(items)
        self.errors = list(errors)

    @property
    def counts(self) -> dict[ImageUploadStatus, int]:
        """How many uploads are in each state, as they were last asked for."""
        counted = Counter(upload.status for upload in self)
        return {status: counted[status] for status in ImageUploadStatus if counted[status]}

    def reload(self) -> None:
        """Ask for the states of those that have not ended, many with one request."""
        waiting: dict[Client, list[ImageUpload]] = {}
        for upload in self:
            if not upload.status.is_final:
                waiting.setdefault(upload._client, []).append(upload)
        for client, uploads in waiting.items():
            for some in batched(uploads, STATES_AT_ONCE):
                _reload_some(client, some)

    def wait_for_completion(
        self, timeout: float | None = None, progress: bool = True, warn_transient_errors: bool = True
    ) -> None:
        """Wait until all uploads have ended, well or not; look at `counts` then, or call `raise_for_status`.

        Args:
            timeout: Seconds to wait at most; None or 0: for ever.
            progress: Whether a bar shows how many have ended.
            warn_transient_errors: Whether a service that cannot be reached for a moment causes a warning.

        Raises:
            concurrent.futures.TimeoutError: An upload has not ended in time.
        """
        with progress_bar(progress, total=len(self), desc="processing", unit="image") as bar:

            def ended() -> bool:
                self.reload()
                bar.update(sum(upload.status.is_final for upload in self) - bar.n)
                bar.set_postfix({status.value: count for status, count in self.counts.items()}, refresh=False)
                return all(upload.status.is_final for upload in self)

            if not _wait_until(ended, f"{len(self)} ImageUploads", timeout, warn_transient_errors):
                raise FuturesTimeoutError(f"Of {len(self)} uploads, {self._counted()} after {timeout} seconds")

    def raise_for_status(self) -> None:
        """Raise what went wrong with each image.

        Raises:
            ExceptionGroup: Of an UploadFailedError for each upload that has failed or was canceled, and of the reason
                for each image whose upload could not be started.
        """
        failed = [error for _, error in self.errors]
        for upload in self:
            try:
                upload.raise_for_status()
            except UploadFailedError as error:
                failed.append(error)
        if failed:
            raise BaseExceptionGroup(
                f"{len(failed)} of {len(self) + len(self.errors)} images were not uploaded", failed
            )

    def _line(self, item: ImageUpload) -> str:
        return f"{item.image_id}: {item.status}" + (f", {item.problem.code}" if item.problem else "")

    def _counted(self) -> str:
        return ", ".join(f"{count} {status}" for status, count in self.counts.items()) or "none"

    def _more(self) -> list[str]:
        counted = [f"  {self._counted()}"] if len(self) else []
        errors = [f"  not started: {image.id}: {error}" for image, error in self.errors]
        return [*super()._more(), *counted, *errors]


def upload_images(
    images: Iterable[tuple[Image, Any]], *, threads: int = 4, progress: bool = True, **options: Any
) -> ImageUploadCollection:
    """Start the uploads of many images; they are transferred by several threads, and processed by the service.

        >>> uploads = upload_images((Image(product=product, name=path.stem, acquired=day), path) for path in paths)
        >>> uploads.wait_for_completion()
        >>> uploads.raise_for_status()

    An image whose upload cannot be started does not keep the others from it: it is listed with the reason in `errors`
    of what is returned, and `raise_for_status` raises it.

    Args:
        images: Pairs of an image and what `Image.upload` or `Image.upload_ndarray` take for it. They are taken one by
            one as threads become free, so a generator of arrays has `threads` of them in memory.
        threads: How many images are transferred at once.
        progress: Whether a bar shows how many were transferred.
        options: More arguments of `Image.upload` or `Image.upload_ndarray`, for every image.

    Returns:
        The uploads in the order of the images.

    Raises:
        ValueError: `threads` is less than 1.
    """
    started: dict[int, ImageUpload] = {}
    errors: dict[int, tuple[Image, BaseException]] = {}
    running: dict[Future[ImageUpload], tuple[int, Image]] = {}
    total = len(images) if isinstance(images, Sized) else None

    def collect(done: Iterable[Future[ImageUpload]]) -> None:
        for future in done:
            position, image = running.pop(future)
            if (error := future.exception()) is None:
                started[position] = future.result()
            else:
                error.add_note(f"while {image!r:.200} was uploaded")
                errors[position] = (image, error)
            bar.update()

    with (
        progress_bar(progress, total=total, desc="transferring", unit="image") as bar,
        ThreadPoolExecutor(threads) as pool,
    ):
        for position, (image, files) in enumerate(images):
            if len(running) >= threads:
                collect(wait(running, return_when=FIRST_COMPLETED).done)
            running[pool.submit(_start, image, files, options)] = (position, image)
        collect(wait(running).done)
    return ImageUploadCollection((started[p] for p in sorted(started)), (errors[p] for p in sorted(errors)))


def _start(image: Image, files: Any, options: dict[str, Any]) -> ImageUpload:
    files = list(files) if isinstance(files, Iterator) and not hasattr(files, "read") else files
    return image.upload_ndarray(files, **options) if is_arrays(files) else image.upload(files, **options)


def _reload_some(client: Client, uploads: Sequence[ImageUpload]) -> None:
    """Ask for the states of several uploads at once, and for all about those that have ended."""
    asked = {"id": ",".join(upload.id for upload in uploads), "limit": len(uploads)}
    found = {document["id"]: Upload.model_validate(document) for document in client.get("/uploads", asked)["uploads"]}
    for upload in uploads:
        now = found.get(upload.id)
        if now is None or now.status.is_final:
            upload.reload()
        else:
            upload._value = now.evolve(events=upload._value.events)


def _wait_until(ended: Callable[[], bool], what: str, timeout: float | None, warn_transient_errors: bool) -> bool:
    """Ask again and again, less and less often; return False when time is up."""
    deadline = time.monotonic() + timeout if timeout else None
    pause = FIRST_POLL_SECONDS
    while True:
        try:
            if ended():
                return True
        except ServerError as error:
            if warn_transient_errors:
                warnings.warn(
                    f"In wait_for_completion: error fetching status for {what}; will retry: {error}",
                    skip_file_prefixes=_SDK,
                )
        left = None if deadline is None else deadline - time.monotonic()
        if left is not None and left <= 0:
            return False
        time.sleep(pause if left is None else min(pause, left))
        pause = min(pause * 1.3, LAST_POLL_SECONDS)


# --- The transfer


def transfer(client: Client, image: ImageValue, payloads: Sequence[Payload], options: ImageUploadOptions) -> Upload:
    """Open an upload, send its bytes in one pass each, and hand it to the workers.

    A transfer that breaks off for good ends the upload, so that the image's name is free again.

    Raises:
        ValueError: The catalog has an image of this name already, or does not have the product.
        ClientError: The service refuses the upload, or cannot be reached; says why.
    """
    request = {
        "image": image.model_dump(mode="json", exclude_none=True, exclude=set(_SET_BY_SERVICE)),
        "files": [payload.file.to_json() for payload in payloads],
        "options": options.to_json(),
    }
    try:
        opened = client.post(path("collections", image.product_id, "uploads"), request)
    except ClientError as error:
        if error.code in _MISTAKES:
            raise ValueError(_MISTAKES[error.code].format(image)) from error
        raise
    upload = path("uploads", opened["id"])
    try:
        for index, payload in enumerate(payloads):
            _send(client, f"{upload}/files/{index}", payload)
        return Upload.model_validate(client.post(f"{upload}/submit"))
    except BaseException:
        _give_up(client, upload)
        raise


def _send(client: Client, address: str, payload: Payload) -> None:
    digest = hashlib.sha256()

    def hashed() -> Iterator[bytes | memoryview]:
        nonlocal digest
        digest = hashlib.sha256()
        for chunk in payload.chunks():
            digest.update(chunk)
            yield chunk

    received = client.send(address, hashed, payload.size)
    if received["sha256"] != digest.hexdigest():
        raise ClientError(
            f"{payload.file.name!r} arrived with the SHA-256 {received['sha256']}, and was sent with"
            f" {digest.hexdigest()}; upload it again.",
            code="CHECKSUM_MISMATCH",
        )


def _give_up(client: Client, upload: str) -> None:
    try:
        client.post(f"{upload}/cancel")
    except ClientError:
        return
