"""What is asked of the converter, and what it reports of the rasters that it wrote."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from stac_ingest.models.bands import Layout
from stac_ingest.models.cog import CogProfile
from stac_ingest.models.enums import OverviewResampler, UploadFileKind
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


class ConversionJob(Value):
    """One upload, ready to be converted."""

    sources: tuple[SourceFile, ...]
    scratch: Path
    """An empty folder; every output is written here."""
    layout: Layout
    georeference: Georeference = Georeference()
    display_bands: tuple[str, ...] | None = None
    overviews: tuple[int, ...] | None = None
    """As the upload asks; unset: as the profile has it."""
    overview_resampler: OverviewResampler | None = None
    """As the upload asks; unset: as the profile has it."""
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
    transform: tuple[float, float, float, float, float, float] | None
    """Row-major affine, as in `proj:transform`: (dx, rx, x, ry, dy, y); None where ground control points place it."""
    bbox: tuple[float, float, float, float] | None
    """Bounds in the raster's own coordinate system; None where it has none."""
    code: str | None
    """Authority and code of the coordinate system, if it has one."""
    wkt2: str | None
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
