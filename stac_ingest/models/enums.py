"""The named values of the catalog model, spelled as in the Descartes Labs Catalog."""

from __future__ import annotations

from enum import StrEnum
from typing import Self

_ALIASES = {
    **{"near": "nearest", "nearest": "near", "cubic_spline": "cubicspline"},  # gdalwarp, gdaladdo, rasterio
    **{"uint8": "byte", "tiff": "tif", "jpeg": "jpg"},
}
"""Other names of values, which other tools give them."""


class Choice(StrEnum):
    """A value that people choose by its name: in any case, as NumPy and rasterio name it too, or as their object."""

    @classmethod
    def _missing_(cls, value: object) -> Self:
        name = str(getattr(value, "name", getattr(value, "__name__", value))).lower()
        for member in cls:
            if value is not None and member.lower() in (name, _ALIASES.get(name)):
                return member
        raise ValueError(f"{cls.__name__}: expected one of {', '.join(cls)}, found {value!r:.100}")


class BandType(StrEnum):
    """What the values of a band are."""

    SPECTRAL = "spectral"
    MICROWAVE = "microwave"
    MASK = "mask"
    CLASS = "class"
    GENERIC = "generic"


class DataType(Choice):
    """Type of a pixel value, by its GDAL name."""

    BYTE = "Byte"
    INT8 = "Int8"
    UINT16 = "UInt16"
    INT16 = "Int16"
    UINT32 = "UInt32"
    INT32 = "Int32"
    UINT64 = "UInt64"
    INT64 = "Int64"
    FLOAT16 = "Float16"
    FLOAT32 = "Float32"
    FLOAT64 = "Float64"

    @property
    def numpy(self) -> str:
        """Name of the type in NumPy and in STAC 1.1 (`bands[].data_type`)."""
        return "uint8" if self is DataType.BYTE else self.value.lower()

    @classmethod
    def from_numpy(cls, name: str) -> DataType:
        """Return the type with this NumPy name; raises KeyError for one that GeoTIFF cannot store."""
        return {member.numpy: member for member in cls}[name]


class ResolutionUnit(Choice):
    """Unit of a pixel's size."""

    METERS = "meters"
    DEGREES = "degrees"


class Colormap(Choice):
    """Named colour maps."""

    MAGMA = "magma"
    INFERNO = "inferno"
    PLASMA = "plasma"
    VIRIDIS = "viridis"
    COOL = "cool"
    HOT = "hot"
    COOLWARM = "coolwarm"
    BWR = "bwr"
    GIST_EARTH = "gist_earth"
    TERRAIN = "terrain"
    CDL = "cdl"


class Codec(Choice):
    """How the blocks of a GeoTIFF are compressed."""

    DEFLATE = "DEFLATE"
    ZSTD = "ZSTD"
    LZW = "LZW"
    LERC = "LERC"
    JPEG = "JPEG"
    WEBP = "WEBP"
    NONE = "NONE"


class OverviewResampler(Choice):
    """How the pixels of an overview are made from those below it (names as in gdaladdo)."""

    NEAREST = "nearest"
    BILINEAR = "bilinear"
    CUBIC = "cubic"
    CUBICSPLINE = "cubicspline"
    LANCZOS = "lanczos"
    AVERAGE = "average"
    MODE = "mode"
    GAUSS = "gauss"
    RMS = "rms"


class ResampleAlgorithm(Choice):
    """How pixels are resampled when they are read at another resolution (names as in gdalwarp)."""

    NEAR = "near"
    BILINEAR = "bilinear"
    CUBIC = "cubic"
    CUBICSPLINE = "cubicspline"
    LANCZOS = "lanczos"
    AVERAGE = "average"
    MODE = "mode"
    MAX = "max"
    MIN = "min"
    MED = "med"
    Q1 = "q1"
    Q3 = "q3"


class StorageState(Choice):
    """Whether the pixels of an image are in the catalog's store or elsewhere."""

    AVAILABLE = "available"
    REMOTE = "remote"


class DocumentState(StrEnum):
    """How an object in memory relates to the catalog."""

    SAVED = "saved"
    MODIFIED = "modified"
    UNSAVED = "unsaved"
    DELETED = "deleted"


class ImageUploadStatus(StrEnum):
    """State of an upload; the last three are final."""

    TRANSFERRING = "transferring"
    PENDING = "pending"
    RUNNING = "running"
    SUCCESS = "success"
    FAILURE = "failure"
    CANCELED = "canceled"

    @property
    def is_final(self) -> bool:
        """Whether an upload in this state never leaves it."""
        return self in (ImageUploadStatus.SUCCESS, ImageUploadStatus.FAILURE, ImageUploadStatus.CANCELED)


class ImageUploadEventType(StrEnum):
    """What an event of an upload reports."""

    QUEUE = "queue"
    CANCEL = "cancel"
    RUN = "run"
    COMPLETE = "complete"
    ERROR = "error"
    TIMEOUT = "timeout"
    PROGRESS = "progress"
    LOG = "log"
    USAGE = "usage"


class ImageUploadEventSeverity(StrEnum):
    """How grave an event is."""

    CRITICAL = "CRITICAL"
    ERROR = "ERROR"
    WARNING = "WARNING"
    INFO = "INFO"
    DEBUG = "DEBUG"


class TaskState(StrEnum):
    """State of a task that the service does in its own time; the last two are final."""

    NEVERRAN = "NONE"
    RUNNING = "RUNNING"
    SUCCEEDED = "SUCCESS"
    FAILED = "FAILURE"

    @property
    def is_final(self) -> bool:
        """Whether a task in this state never leaves it."""
        return self in (TaskState.SUCCEEDED, TaskState.FAILED)


class ImageUploadType(StrEnum):
    """What the files of an upload are."""

    FILE = "file"
    NDARRAY = "ndarray"


class AggregateDateField(Choice):
    """Time of an image by which a summary is divided."""

    ACQUIRED = "acquired"
    CREATED = "created"
    MODIFIED = "modified"
    PUBLISHED = "published"


class Interval(Choice):
    """Length of the intervals of a summary, in UTC; weeks begin on Monday."""

    YEAR = "year"
    QUARTER = "quarter"
    MONTH = "month"
    WEEK = "week"
    DAY = "day"
    HOUR = "hour"
    MINUTE = "minute"


class UploadFileKind(StrEnum):
    """What one transferred file of an upload holds."""

    FILE = "file"
    """An image file: GeoTIFF, JPEG, PNG or JPEG 2000."""
    ARRAY = "array"
    """A NumPy `.npy` array, 2-d or (band, y, x)."""
    MASK = "mask"
    """A NumPy `.npy` array of bool that belongs to the array before it; True marks pixels without a value."""
    SIDECAR = "sidecar"
    """A world file or a `.prj` that belongs to the file of the same stem."""
