"""The deletion of everything that a product has, as a task that the service does in its own time."""

from __future__ import annotations

from typing import Annotated

from pydantic import ConfigDict, Field

from stac_ingest.models.enums import TaskState
from stac_ingest.models.values import Timestamp, Value


class Deletion(Value):
    """The state of a deletion, as `GET /deletions/{id}` answers it."""

    model_config = ConfigDict(extra="ignore")

    id: str
    collection: str
    """The product whose images and bands are deleted."""
    status: TaskState
    start_datetime: Timestamp
    duration_in_seconds: Annotated[float, Field(ge=0)]
    """Seconds from the start to the end, or until now."""
    objects_deleted: Annotated[int, Field(ge=0)]
    """Images and bands that are gone."""
    objects_total: Annotated[int, Field(ge=0)]
    """Images and bands that were there at the start."""
    errors: tuple[str, ...] = ()
    """Why the task failed."""
    links: tuple[dict[str, str], ...] = ()
