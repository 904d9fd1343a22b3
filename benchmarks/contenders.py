"""What makes a Cloud-Optimized GeoTIFF in a process of its own: ours, rio-cogeo, GDAL, a script of the usual tools."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.images import BLOCK, CRS, TRANSFORM, Picture
from benchmarks.machine import ROOT

PEERS = ROOT / ".venv-peers" / "bin"
RIO = str(PEERS / "rio")
FASTEST = 1
LEVELS = (FASTEST, 6)
"""Of libdeflate. What we do unasked is ISA-L's, which GDAL does not have; how large files are stands beside."""
OURS = "stac-ingest"
CACHE_MEGABYTES = 512
"""What GDAL counts in the environment; rasterio.Env would count bytes."""


@dataclass(frozen=True)
class Contender:
    """One way to convert a source; the target is its last argument."""

    name: str
    command: Sequence[str]
    environment: Mapping[str, str] = field(default_factory=dict)
    aim: float | None = None
    """How many times our time it is meant to take, at least."""
    alike: str | None = None
    """Which of ours has the same codec and level."""
    alike_aim: float | None = None
    """How many times the time of that one it is meant to take, at least."""


@dataclass(frozen=True)
class Step:
    """One command of a script."""

    name: str
    command: Sequence[str]
    is_ours: bool = True
    """Whether `stac-ingest cog` does that too."""


def ours_of(level: int) -> str:
    """Return what our command is called when it is asked for a level."""
    return f"{OURS}, DEFLATE {level}"


def ours(sources: Sequence[Path], target: Path, *, report: Path | None = None, level: int | None = None) -> list[str]:
    """Return our command; statistics, checksum and footprint are made in any case, and written where they shall be."""
    is_array = sources[0].suffix == ".npy"
    place = ["--crs", CRS, "--geotransform", ",".join(f"{number:g}" for number in TRANSFORM.to_gdal())]
    return [
        str(ROOT / ".venv" / "bin" / "stac-ingest"),
        *("cog", "--quiet", "--blocksize", str(BLOCK), "--overview-resampling", "average"),
        *(place if is_array else []),
        *(["--report", str(report)] if report else []),
        *(["--co", f"LEVEL={level}"] if level else []),
        *map(str, sources),
        str(target),
    ]


def rio_cogeo(picture: Picture, source: Path, aim: float | None) -> list[Contender]:
    """Return rio-cogeo as it comes, and told to do as we do; it knows no arrays."""
    if picture.is_array:
        return []
    create = [RIO, "cogeo", "create", "--quiet", str(source)]
    predictor = 3 if picture.dtype == "float32" else 2
    options = {"ZLEVEL": FASTEST, "PREDICTOR": predictor, "NUM_THREADS": "ALL_CPUS"}
    creation = [f"--co={name}={value}" for name, value in options.items()]
    as_ours = [*create, *creation, f"--blocksize={BLOCK}", "--overview-resampling=average"]
    return [
        Contender("rio cogeo, as it comes", create, aim=aim),
        Contender(f"rio cogeo, predictor, average, DEFLATE {FASTEST}", as_ours, alike=ours_of(FASTEST)),
    ]


def gdal(source: Path, aim: float) -> list[Contender]:
    """Return GDAL's COG driver with threads, and with what makes it faster: no compression of what is temporary."""
    command = [str(PEERS / "python"), "-c", _GDAL, str(source)]
    threads = {"GDAL_NUM_THREADS": "ALL_CPUS"}
    tuned = {**threads, "COG_TMP_COMPRESSION": "NONE", "GDAL_CACHEMAX": str(CACHE_MEGABYTES)}
    return [
        Contender("GDAL, DEFLATE 6", command, {**threads, "LEVEL": "6"}, alike=ours_of(6)),
        *(
            Contender(
                f"GDAL, tuned, DEFLATE {level}",
                command,
                {**tuned, "LEVEL": str(level)},
                alike=ours_of(level),
                alike_aim=aim,
            )
            for level in LEVELS
        ),
    ]


# What gdal_translate would do, which comes with no wheel; arrays are opened where they are in memory.
_GDAL = f"""
import os, sys
import rasterio, rasterio.shutil
source, target = sys.argv[1:]
options = dict(driver="COG", compress="DEFLATE", level=os.environ["LEVEL"], predictor="YES", blocksize={BLOCK},
               num_threads="ALL_CPUS", overview_resampling="AVERAGE", bigtiff="IF_SAFER")
if source.endswith(".npy"):
    import numpy
    pixels = numpy.load(source)
    count, height, width = pixels.shape
    place = dict(crs={CRS!r}, transform=rasterio.Affine{tuple(TRANSFORM)[:6]})
    profile = dict(driver="MEM", count=count, height=height, width=width, dtype=pixels.dtype)
    with rasterio.open("", "w+", **profile, **place) as memory:
        memory.write(pixels)
        rasterio.shutil.copy(memory, target, **options)
else:
    rasterio.shutil.copy(source, target, **options)
"""


def codec(result: Path) -> list[str]:
    """Return the command that encodes the blocks of a COG, and nothing else; the result is JSON."""
    return [str(PEERS / "python"), "-m", "benchmarks.codec", str(result.with_suffix(".tif")), str(result)]


def conversion(source: Path, result: Path) -> list[str]:
    """Return the command that does with a source what a worker does with an upload; the result is JSON."""
    return [sys.executable, "-m", "benchmarks.conversion", str(source), str(result.parent), str(result)]


def script(source: Path, target: Path) -> list[Step]:
    """Return what a user would write: a COG, its validation, statistics and outline, its checksum, and a thumbnail."""
    item, thumbnail = target.with_suffix(".json"), target.with_suffix(".png")
    outline = ["--without-eo", "--densify-geom", "21"]
    return [
        Step("rio cogeo create", [RIO, "cogeo", "create", "--quiet", str(source), str(target)]),
        Step("rio cogeo validate", [RIO, "cogeo", "validate", "--strict", str(target)]),
        Step("rio stac", [RIO, "stac", *outline, "--output", str(item), str(target)]),
        Step("sha256sum", ["/usr/bin/env", "sha256sum", str(target)]),
        Step("thumbnail", [str(PEERS / "python"), "-c", _THUMBNAIL, str(target), str(thumbnail)], is_ours=False),
    ]


_THUMBNAIL = """
import sys
from pathlib import Path
from rio_tiler.io import Reader
with Reader(sys.argv[1]) as image:
    seen = image.preview(max_size=512, indexes=1)
seen.rescale(in_range=[(seen.statistics()["b1"].percentile_2, seen.statistics()["b1"].percentile_98)])
Path(sys.argv[2]).write_bytes(seen.render(img_format="PNG"))
"""
