"""Uploads as objects: what was sent, how far it is, and why it failed."""

from __future__ import annotations

import time
import warnings
from concurrent.futures import TimeoutError as FuturesTimeoutError
from datetime import datetime
from typing import TYPE_CHECKING

from stac_ingest.client.connection import Client, default_client, path
from stac_ingest.errors import ClientError, NotFoundError, ServerError
from stac_ingest.models.enums import ImageUploadStatus
from stac_ingest.models.upload import ImageUploadEvent, ImageUploadOptions, Upload, UploadProblem

if TYPE_CHECKING:
    from stac_ingest.client.image import Image

FIRST_POLL_SECONDS = 0.1
LAST_POLL_SECONDS = 10.0


class ImageUpload:
    """One upload; `Image.upload` and `Image.upload_ndarray` make it."""

    def __init__(self, client: Client, value: Upload, image: Image | None = None) -> None:
        self._client = client
        self._value = value
        self.image = image

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
    def image_upload_options(self) -> ImageUploadOptions:
        """What was asked of the upload."""
        return self._value.options

    @property
    def status(self) -> ImageUploadStatus:
        """The state when it was last asked for; see `reload` and `wait_for_completion`."""
        return self._value.status

    @property
    def events(self) -> list[ImageUploadEvent]:
        """What happened so far; the last one of a failure says why, with the severity `ERROR`."""
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
        if self.image is not None and self.status is ImageUploadStatus.SUCCESS and before is not self.status:
            self.image._load()

    def wait_for_completion(self, timeout: float | None = None, warn_transient_errors: bool = True) -> None:
        """Wait until the upload has ended, well or not; look at `status` then.

        Args:
            timeout: Seconds to wait at most; None or 0: for ever.
            warn_transient_errors: Whether a service that cannot be reached for a moment causes a warning.

        Raises:
            concurrent.futures.TimeoutError: The upload has not ended in time.
        """
        deadline = time.monotonic() + timeout if timeout else None
        pause = FIRST_POLL_SECONDS
        while True:
            try:
                self.reload()
            except ServerError as error:
                if warn_transient_errors:
                    warnings.warn(
                        "In wait_for_completion: error fetching status for ImageUpload"
                        f" {self.id!r}; will retry: {error}",
                        stacklevel=2,
                    )
            if self.status.is_final:
                return
            if deadline is not None and time.monotonic() + pause > deadline:
                raise FuturesTimeoutError(f"ImageUpload {self.id!r} is {self.status} after {timeout} seconds")
            time.sleep(pause)
            pause = min(pause * 1.3, LAST_POLL_SECONDS)

    def cancel(self) -> None:
        """End the upload before a worker takes it; raises ConflictError when one has, or it has ended."""
        self._value = Upload.model_validate(self._client.post(f"{path('uploads', self.id)}/cancel"))

    def __repr__(self) -> str:
        return f"ImageUpload: {self.image_id}\n  id: {self.id}\n  status: {self.status}"


def give_up(client: Client, upload_id: str) -> None:
    """Cancel an upload whose transfer failed, so that its name is free again; a failure to do so changes nothing."""
    try:
        client.post(f"{path('uploads', upload_id)}/cancel")
    except ClientError:
        return
