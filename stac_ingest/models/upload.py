"""An upload: the files sent for one image, what is asked of them, and what became of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Self

from pydantic import ConfigDict, Field, PositiveInt, model_validator

from stac_ingest.errors import UploadError
from stac_ingest.models.bands import FileLayout
from stac_ingest.models.cog import AnyOverviewResampler, Overviews
from stac_ingest.models.enums import (
    DataType,
    ImageUploadEventSeverity,
    ImageUploadEventType,
    ImageUploadStatus,
    ImageUploadType,
    UploadFileKind,
)
from stac_ingest.models.image import Image
from stac_ingest.models.values import Timestamp, Value


class ImageUploadOptions(Value):
    """What is asked of an upload beside its files."""

    upload_type: ImageUploadType | None = None
    """Whether files or arrays are sent; `Image.upload` and `Image.upload_ndarray` set it."""
    overwrite: bool = False
    """Whether an image of the same name is replaced."""
    overviews: Overviews | None = None
    """1 to 16 magnification factors such as (2, 4); unset: as the product's `cog_profile` says."""
    overview_resampler: AnyOverviewResampler | None = None
    """As a member of `OverviewResampler`, or by its name in rasterio or GDAL, in any case; unset: as the product's
    `cog_profile` says."""


class UploadFile(Value):
    """One file to be transferred."""

    kind: UploadFileKind = UploadFileKind.FILE
    name: Annotated[str, Field(min_length=1, max_length=255, pattern=r"^[^/\\\x00-\x1f]+$")]
    """File name without folders; the part before the last dot ties a sidecar to its file."""
    size: Annotated[int | None, Field(ge=0)] = None
    """Bytes, if known beforehand; the transfer must then have this length."""
    data_type: DataType | None = None
    """Type of the pixels, if known beforehand, as of an array."""
    shape: Annotated[tuple[PositiveInt, ...], Field(min_length=2, max_length=3)] | None = None
    """(y, x) or (band, y, x), if known beforehand."""

    def require_fitting(self, layout: FileLayout, options: ImageUploadOptions) -> None:
        """Refuse, before any byte is sent, what is known not to fit.

        Raises:
            UploadError: As `require_bands` and `require_overviews`.
        """
        count = None if self.shape is None else self.shape[0] if len(self.shape) == 3 else 1
        require_bands(self.name, count, self.data_type, layout)
        if self.shape is not None:
            require_overviews(options.overviews or (), max(self.shape[-2:]))


def require_bands(name: str, count: int | None, data_type: DataType | None, layout: FileLayout) -> None:
    """Refuse pixels that contradict the product's bands.

    Args:
        name: Name of the file.
        count: How many bands it has, if that is known.
        data_type: Type of their pixels, if that is known.
        layout: The bands that the product has in such a file.

    Raises:
        UploadError: `BAND_COUNT_MISMATCH` or `DATA_TYPE_MISMATCH`.
    """
    names = ", ".join(band.name for band in layout.bands)
    if count not in (None, len(layout.bands)):
        raise UploadError(
            "BAND_COUNT_MISMATCH",
            f"Expected {len(layout.bands)} band(s) in {name!r} as the product describes them ({names}),"
            f" found {count}; upload just these bands, or describe the others too.",
        )
    for band in layout.bands:
        if band.data_type and data_type and data_type is not band.data_type:
            raise UploadError(
                "DATA_TYPE_MISMATCH",
                f"Expected {band.data_type} for band {band.name!r} as the product describes it, found {data_type} in"
                f" {name!r}; {_conversion(data_type, band.data_type)}, or correct the band.",
            )


def _conversion(found: DataType, expected: DataType) -> str:
    if found.numpy.startswith("float") and not expected.numpy.startswith("float"):
        return "round the pixels, and mask NaN before you convert them: no integer stands for it"
    return f"convert the pixels, as with array.astype('{expected.numpy}')"


def require_overviews(factors: Sequence[int], side: int) -> None:
    """Refuse overviews that leave less than one pixel of an image with this longer side.

    Raises:
        UploadError: `INVALID_OVERVIEWS`.
    """
    if factors and max(factors) > side:
        raise UploadError(
            "INVALID_OVERVIEWS",
            f"Expected overview factors of at most {side}, the image's longer side, found {max(factors)};"
            " leave out the larger ones.",
        )


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
    staged: Annotated[str, Field(exclude=True)] = ""
    """Key of the object in the store where the bytes wait; for the service alone."""


class UploadProblem(_Answer):
    """Why an upload failed."""

    code: str
    """Stable upper-case name of the reason, listed in docs/errors.md."""
    message: str
    """What was expected, what was found and what to do."""

    def __str__(self) -> str:
        return f"{self.code}: {self.message}"


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
