"""An upload: the files sent for one image, what is asked of them, and what became of them."""

from __future__ import annotations

from operator import index
from typing import Annotated, Any, Self, SupportsIndex

from pydantic import ConfigDict, Field, field_validator, model_validator

from stac_ingest.models.enums import (
    ImageUploadEventSeverity,
    ImageUploadEventType,
    ImageUploadStatus,
    ImageUploadType,
    OverviewResampler,
    UploadFileKind,
)
from stac_ingest.models.image import Image
from stac_ingest.models.values import Timestamp, Value

MAX_OVERVIEWS = 16
_UNSAFE_RESAMPLERS = ("average_mp", "average_magphase")


class ImageUploadOptions(Value):
    """What is asked of an upload beside its files."""

    upload_type: ImageUploadType | None = None
    """Whether files or arrays are sent; `Image.upload` and `Image.upload_ndarray` set it."""
    overwrite: bool = False
    """Whether an image of the same name is replaced."""
    overviews: tuple[int, ...] | None = None
    """1 to 16 magnification factors such as (2, 4); unset: powers of two until at most 512 pixels are left."""
    overview_resampler: OverviewResampler | None = None
    """As a member of `OverviewResampler`, or by its name in rasterio or GDAL, in any case; unset: average, or nearest
    for class and mask bands."""

    @field_validator("overviews", mode="before")
    @classmethod
    def _factors(cls, factors: Any) -> tuple[int, ...] | None:
        if factors is None:
            return None
        if hasattr(factors, "tolist"):
            factors = factors.tolist()
        listed = list(factors) if isinstance(factors, list | tuple | range | set | frozenset) else []
        whole = all(isinstance(factor, SupportsIndex) and not isinstance(factor, bool) for factor in listed)
        found = sorted(set(map(index, listed))) if whole else []
        if not 1 <= len(found) <= MAX_OVERVIEWS or len(found) < len(listed) or found[0] < 2:
            raise ValueError(f"expected 1 to {MAX_OVERVIEWS} different whole numbers greater than 1")
        return tuple(found)

    @field_validator("overview_resampler", mode="before")
    @classmethod
    def _resampler(cls, resampler: Any) -> object:
        if resampler is None:
            return None
        name = str(getattr(resampler, "name", resampler)).lower()
        if name in _UNSAFE_RESAMPLERS:
            raise ValueError(f"GDAL never finished {name}; use average")
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

    @model_validator(mode="after")
    def _files_are_of_the_type(self) -> Self:
        sent = {
            ImageUploadType.NDARRAY
            if file.kind in (UploadFileKind.ARRAY, UploadFileKind.MASK)
            else ImageUploadType.FILE
            for file in self.files
        }
        asked = self.options.upload_type
        if asked is not None and sent != {asked}:
            raise ValueError(f"expected files of the upload_type {asked.value!r} alone, or leave upload_type out")
        return self


class _Answer(Value):
    """What the service says; an SDK that is older than the service overlooks what it does not know."""

    model_config = ConfigDict(extra="ignore")


class ImageUploadEvent(_Answer):
    """Something that happened to an upload."""

    id: str
    """Number of the event; later ones have greater numbers."""
    event_datetime: Timestamp
    """When it happened."""
    component: str
    """Part of the service that reports: `api`, `worker` or `converter`."""
    component_id: str | None = None
    """Which of several, if the service says."""
    event_type: ImageUploadEventType
    """What is reported."""
    severity: ImageUploadEventSeverity
    """How grave it is; `ERROR` ends the upload."""
    message: str
    """What a person should know."""
    share: float | None = None
    """How much of the conversion is done, 0 to 1; events of the type `progress` have it."""


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
    """Stable upper-case name of the reason, listed in docs/errors.md."""
    message: str
    """What was expected, what was found and what to do."""


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
