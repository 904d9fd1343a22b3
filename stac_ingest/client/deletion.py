"""The deletion of all images and bands of a product, as seen from outside."""

from __future__ import annotations

import time
from concurrent.futures import TimeoutError as FuturesTimeoutError
from datetime import datetime
from typing import Any

from stac_ingest.client.connection import Client, path
from stac_ingest.client.progress import progress_bar
from stac_ingest.models.deletion import Deletion
from stac_ingest.models.enums import TaskState

FIRST_POLL_SECONDS = 0.1
LAST_POLL_SECONDS = 5.0


class DeletionTaskStatus:
    """A task that deletes a product's images and bands; `Product.delete_related_objects` begins it."""

    def __init__(self, client: Client, product_id: str, value: Deletion | None) -> None:
        self._client = client
        self._value = value
        self.product_id = product_id
        """Id of the product."""

    @classmethod
    def of(cls, client: Client, document: dict[str, Any]) -> DeletionTaskStatus:
        """Return the task that a document of the service describes."""
        value = Deletion.model_validate(document)
        return cls(client, value.collection, value)

    @classmethod
    def newest(cls, client: Client, product_id: str) -> DeletionTaskStatus:
        """Return the task of a product that was begun last."""
        found = client.get(f"{path('collections', product_id)}/deletions")["deletions"]
        return cls.of(client, found[0]) if found else cls(client, product_id, None)

    @property
    def id(self) -> str | None:
        """Id of the task; None when there never was one."""
        return self._value.id if self._value else None

    @property
    def status(self) -> TaskState:
        """The state when it was last asked for; see `reload` and `wait_for_completion`."""
        return self._value.status if self._value else TaskState.NEVERRAN

    @property
    def start_datetime(self) -> datetime | None:
        """When the task was begun."""
        return self._value.start_datetime if self._value else None

    @property
    def duration_in_seconds(self) -> float:
        """How long the task took, or has been taking."""
        return self._value.duration_in_seconds if self._value else 0.0

    @property
    def objects_deleted(self) -> int:
        """How many images and bands are gone."""
        return self._value.objects_deleted if self._value else 0

    @property
    def objects_total(self) -> int:
        """How many images and bands there were when the task was begun."""
        return self._value.objects_total if self._value else 0

    @property
    def errors(self) -> list[str]:
        """Why the task failed."""
        return list(self._value.errors) if self._value else []

    def reload(self) -> None:
        """Ask for the state."""
        if self._value:
            self._value = Deletion.model_validate(self._client.get(path("deletions", self._value.id)))

    def wait_for_completion(self, timeout: float | None = None, progress: bool = False) -> None:
        """Wait until the task has ended, well or not; look at `status` then.

        Args:
            timeout: Seconds to wait at most; None or 0: for ever.
            progress: Whether a bar shows how many objects are gone.

        Raises:
            concurrent.futures.TimeoutError: The task has not ended in time.
        """
        deadline = time.monotonic() + timeout if timeout else None
        pause = FIRST_POLL_SECONDS
        with progress_bar(progress, total=self.objects_total, desc=self.product_id, unit="object") as bar:
            while True:
                self.reload()
                bar.update(self.objects_deleted - bar.n)
                if self.status is not TaskState.RUNNING:
                    return
                if deadline is not None and time.monotonic() + pause > deadline:
                    raise FuturesTimeoutError(f"The deletion {self.id!r} is still running after {timeout} seconds")
                time.sleep(pause)
                pause = min(pause * 1.3, LAST_POLL_SECONDS)

    def __repr__(self) -> str:
        return (
            f"DeletionTaskStatus: {self.product_id}\n  status: {self.status.name}\n"
            f"  objects_deleted: {self.objects_deleted} of {self.objects_total}"
            + "".join(f"\n  error: {error}" for error in self.errors)
        )
