"""What is asked of the converter, and what it reports of the rasters that it wrote."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationInfo, field_validator

from stac_ingest.models.bands import Layout
from stac_ingest.models.enums import Codec, OverviewResampler, UploadFileKind
from stac_ingest.models.image import Georeference
from stac_ingest.models.values import Nodata, Value


class SourceFile(Value):
    """One transferred file, on the local disk."""

    path: Path
    name: str
    kind: UploadFileKind


class Limits(Value):
    """What a source may ask of this machine before its first pixel is read."""

    max_side: int = 400_000
    max_bands: int = 512
    max_decoded_bytes: int = 200 * 1024**3
    max_block_bytes: int = 256 * 1024**2
    memory_bytes: int = 4 * 1024**3
    """Address space of the child process."""


class CogProfile(Value):
    """How the blocks of a Cloud-Optimized GeoTIFF are encoded."""

    codec: Codec = Codec.DEFLATE
    level: Annotated[int | None, Field(ge=1, le=22)] = None
    """Of DEFLATE (1 to 12) or ZSTD (1 to 22). Unset: 1 for ZSTD; for DEFLATE, level 2 of ISA-L, which takes about half
    of the time of GDAL's level 1 for files that are up to 2 % larger (docs/adr/0017)."""
    block_size: Literal[128, 256, 512, 1024, 2048] = 512
    """Side of a block in pixels."""
    max_error: Annotated[float, Field(ge=0)] = 0.0
    """By how much LERC may change a pixel; 0 changes none."""
    quality: Annotated[int, Field(ge=1, le=100)] = 75
    """Of JPEG and WEBP, which change pixels; of WEBP, 100 changes none."""

    @field_validator("level")
    @classmethod
    def _is_one_of_the_codec(cls, level: int | None, info: ValidationInfo) -> int | None:
        if info.data.get("codec") is Codec.DEFLATE and (level or 0) > 12:
            raise ValueError("expected at most 12 for DEFLATE")
        return level

    @property
    def is_default_deflate(self) -> bool:
        """Whether blocks are encoded by ISA-L."""
        return self.codec is Codec.DEFLATE and self.level is None


class ConversionJob(Value):
    """One upload, ready to be converted."""

    sources: tuple[SourceFile, ...]
    scratch: Path
    """An empty folder; every output is written here."""
    layout: Layout
    georeference: Georeference = Georeference()
    display_bands: tuple[str, ...] | None = None
    overviews: tuple[int, ...] | None = None
    overview_resampler: OverviewResampler | None = None
    profile: CogProfile | None = None
    """Unset: as `CogProfile` has it, and files that are in another lossless codec already are left so."""
    limits: Limits = Limits()


class BandStatistics(Value):
    """Of the valid pixels of one band; fields as in STAC 1.1 `statistics`."""

    minimum: float
    maximum: float
    mean: float
    stddev: float
    valid_percent: float


class BandHistogram(Value):
    """How the valid pixels of one band are distributed; fields as in `raster:histogram` of STAC's raster extension."""

    count: int
    """How many buckets there are."""
    min: float
    """Where the first bucket begins; all are equally wide."""
    max: float
    """Where the last bucket ends."""
    buckets: tuple[int, ...]
    """How many pixels are in each, the value that it begins with included, and not the one that it ends with."""


class RasterBand(Value):
    """One band of a raster that was written."""

    data_type: str
    nodata: Nodata | None = None
    statistics: BandStatistics | None = None
    """None when no pixel is valid, or the values are beyond what can be summed up."""
    histogram: BandHistogram | None = None
    """None when no pixel is valid, or the values are at the end of what a float64 holds."""


class Raster(Value):
    """One Cloud-Optimized GeoTIFF that was written, or taken as it is."""

    asset: str
    path: Path
    size: int
    sha256: str
    header_size: int
    """Bytes before the first block."""
    shape: tuple[int, int]
    """(y, x) in pixels."""
    transform: tuple[float, float, float, float, float, float]
    """Row-major affine, as in `proj:transform`: (dx, rx, x, ry, dy, y)."""
    bbox: tuple[float, float, float, float]
    """Bounds in the raster's own coordinate system."""
    code: str | None
    """Authority and code of the coordinate system, if it has one."""
    wkt2: str
    bands: tuple[RasterBand, ...]
    overviews: tuple[int, ...]
    resampler: OverviewResampler | None
    """How overviews were made, if that is known."""
    taken: bool = False
    """Whether it is the uploaded file itself, byte by byte."""
    metre_resolution: float | None = None
    """Side of a pixel in metres, at the image's centre for geographic coordinates."""


class Preview(Value):
    """One picture for people."""

    role: str
    path: Path
    size: int
    sha256: str
    shape: tuple[int, int]


class Conversion(Value):
    """All that the converter made of one upload."""

    rasters: tuple[Raster, ...]
    previews: tuple[Preview, ...]
    geometry: dict[str, Any]
    bbox: tuple[float, float, float, float]
    fill_fraction: float
    warnings: tuple[str, ...] = ()
    software: dict[str, str]
    processor_seconds: float = 0.0
    """Time of all processors together."""
    memory_bytes: int = 0
    """Most memory that the converter had at once."""
    sandbox: str
    """What kept the child apart: `network namespace` or `GDAL options only`."""
