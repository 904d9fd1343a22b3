"""An upload: the files sent for one image, what is asked of them, and what became of them."""

from __future__ import annotations

from typing import Annotated, Any, Self

from pydantic import ConfigDict, Field, field_validator, model_validator

from stac_ingest.models.enums import (
    ImageUploadEventSeverity,
    ImageUploadEventType,
    ImageUploadStatus,
    OverviewResampler,
    UploadFileKind,
)
from stac_ingest.models.image import Image
from stac_ingest.models.values import Timestamp, Value

MAX_OVERVIEWS = 16
_UNSAFE_RESAMPLERS = ("average_mp", "average_magphase")


class ImageUploadOptions(Value):
    """What is asked of an upload beside its files."""

    overwrite: bool = False
    """Whether an image of the same name is replaced."""
    overviews: tuple[int, ...] | None = None
    """Magnification factors such as (2, 4); unset: powers of two until at most 512 pixels are left."""
    overview_resampler: OverviewResampler | None = None
    """Unset: average, or nearest for class and mask bands."""

    @field_validator("overviews", mode="before")
    @classmethod
    def _factors(cls, factors: Any) -> tuple[int, ...] | None:
        if factors is None:
            return None
        whole = isinstance(factors, list | tuple) and all(type(factor) is int and factor > 1 for factor in factors)
        if not whole or not 1 <= len(factors) <= MAX_OVERVIEWS or len(set(factors)) < len(factors):
            raise ValueError(f"expected 1 to {MAX_OVERVIEWS} different whole numbers greater than 1")
        return tuple(sorted(factors))

    @field_validator("overview_resampler", mode="before")
    @classmethod
    def _resampler(cls, name: object) -> object:
        if name in _UNSAFE_RESAMPLERS:
            raise ValueError("GDAL never finished this method; use average")
        return name


class UploadFile(Value):
    """One file to be transferred."""

    kind: UploadFileKind = UploadFileKind.FILE
    name: Annotated[str, Field(min_length=1, max_length=255, pattern=r"^[^/\\\x00-\x1f]+$")]
    """File name without folders; the part before the last dot ties a sidecar to its file."""
    size: Annotated[int | None, Field(ge=0)] = None
    """Bytes, if known beforehand; the transfer must then have this length."""


class UploadRequest(Value):
    """The body of `POST /collections/{collection_id}/uploads`."""

    image: Image
    files: Annotated[tuple[UploadFile, ...], Field(min_length=1, max_length=512)]
    options: ImageUploadOptions = ImageUploadOptions()

    @model_validator(mode="after")
    def _masks_follow_arrays(self) -> Self:
        for before, file in zip((None, *self.files), self.files, strict=False):
            if file.kind is UploadFileKind.MASK and (before is None or before.kind is not UploadFileKind.ARRAY):
                raise ValueError("expected each mask right after the array that it belongs to")
        if not any(file.kind in (UploadFileKind.FILE, UploadFileKind.ARRAY) for file in self.files):
            raise ValueError("expected at least one image file or array")
        return self


class _Answer(Value):
    """What the service says; an SDK that is older than the service overlooks what it does not know."""

    model_config = ConfigDict(extra="ignore")


class ImageUploadEvent(_Answer):
    """Something that happened to an upload."""

    id: str
    event_datetime: Timestamp
    component: str
    """Part of the service that reports: `api`, `worker` or `converter`."""
    component_id: str | None = None
    event_type: ImageUploadEventType
    severity: ImageUploadEventSeverity
    message: str


class TransferredFile(_Answer):
    """One file of an upload, and what arrived of it."""

    index: int
    kind: UploadFileKind
    name: str
    size: int | None = None
    sha256: str | None = None
    received: bool = False
    href: str | None = None
    """Where the bytes are sent; set by the API."""


class UploadProblem(_Answer):
    """Why an upload failed."""

    code: str
    message: str


class Upload(_Answer):
    """The state of an upload, as `GET /uploads/{id}` answers it."""

    id: str
    collection: str
    item: str
    status: ImageUploadStatus
    attempt: int
    image: dict[str, Any]
    options: ImageUploadOptions
    files: tuple[TransferredFile, ...]
    events: tuple[ImageUploadEvent, ...] = ()
    problem: UploadProblem | None = None
    created: Timestamp
    modified: Timestamp
    links: tuple[dict[str, str], ...] = ()
