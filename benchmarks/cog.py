"""How long making a Cloud-Optimized GeoTIFF takes beside rio-cogeo, GDAL's COG driver, and a script of the usual tools.

    make bench-cog
    make bench-cog ARGS="--keep FOLDER"          # sources are made once
    make bench-cog ARGS="--cases uint16 chip"

Each run is a process of its own, started when the one before has ended; contenders take turns, and the median counts.
Before, every output is compared with the source, pixel by pixel. The report is Markdown, on the standard output.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import rasterio
from affine import Affine
from numpy.typing import NDArray
from rasterio.windows import Window

from benchmarks.machine import ROOT, description, say
from stac_ingest.raster.blocks import encoding_threads, pixel_encoder

PLACE: dict[str, Any] = {"crs": "EPSG:32633", "transform": Affine(10, 0, 399_960, 0, -10, 5_000_040)}
BLOCK = 512
PEERS = ROOT / ".venv-peers" / "bin"
OURS = [str(ROOT / ".venv" / "bin" / "stac-ingest"), "cog", "--quiet"]
GDAL_THREADS = {"GDAL_NUM_THREADS": "ALL_CPUS"}
GDAL_TUNED = {**GDAL_THREADS, "COG_TMP_COMPRESSION": "NONE", "GDAL_CACHEMAX": "512"}  # megabytes
TUNED = "GDAL, tuned, DEFLATE 1"
RIO = "rio cogeo, defaults"


@dataclass(frozen=True)
class Case:
    """One source, as it is made."""

    name: str
    dtype: str
    bands: int
    side: int
    nodata: float | None = None
    filled: float = 1.0
    """Share of the blocks that have data."""
    is_array: bool = False
    options: dict[str, Any] = field(default_factory=lambda: {"compress": "deflate"})
    target_rio: float | None = 4.0
    target_tuned: float = 1.25


CASES = (
    Case("uint16", "uint16", 1, 10_980),
    Case("uint16, uncompressed", "uint16", 1, 10_980, options={}, target_tuned=1.0),
    Case("rgb", "uint8", 3, 8192),
    Case("float32", "float32", 1, 8192, nodata=-9999),
    Case("sparse mosaic", "uint16", 1, 30_000, nodata=0, filled=0.05, target_rio=20.0),
    Case("array", "uint16", 4, 2048, is_array=True, target_rio=None, target_tuned=1.0),
    Case("chip", "uint16", 1, 256, target_rio=None),
)


@dataclass(frozen=True)
class Run:
    """What one process took."""

    seconds: float
    memory: int


def main() -> None:
    """Measure, and print the report."""
    options = parsed_options()
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.keep or Path(temporary)
        folder.mkdir(exist_ok=True, parents=True)
        print(f"{description()}; GDAL {rasterio.__gdal_version__}.\n")
        print(f"Median of {options.rounds} processes each, in seconds; in brackets peak memory and the file, in MB.\n")
        names = "ours | rio cogeo | rio cogeo, as ours | GDAL, threads | GDAL, tuned"
        print(f"| | {names} | times rio | times tuned | codec alone |")
        print("|---|---:|---:|---:|---:|---:|---:|---:|---:|")
        for case in CASES:
            if not options.cases or case.name in options.cases:
                print_row(case, made(case, folder), folder, options.rounds)
        for name in ("uint16", "chip"):
            if not options.cases or "pipeline" in options.cases:
                case = next(case for case in CASES if case.name == name)
                print_pipeline(case, made(case, folder), folder, options.rounds)


def parsed_options() -> argparse.Namespace:
    """Return what the command line asks for."""
    parser = argparse.ArgumentParser(description="Measure how long it takes to make Cloud-Optimized GeoTIFFs.")
    parser.add_argument("--cases", nargs="*", help=f"of {', '.join(case.name for case in CASES)}, pipeline")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--keep", type=Path, help="folder where sources stay, so that they are made once")
    return parser.parse_args()


def made(case: Case, folder: Path) -> Path:
    """Return the source of a case: smooth terrain with noise, strip by strip; it is made unless it is there."""
    path = folder / f"{case.name.replace(', ', '-').replace(' ', '-')}{'.npy' if case.is_array else '.tif'}"
    if path.exists():
        return path
    say(f"making {path.name}")
    strips = (strip(case, row) for row in range(0, case.side, BLOCK))
    if case.is_array:
        np.save(path, np.concatenate(list(strips), axis=1))
        return path
    profile = {"driver": "GTiff", "width": case.side, "height": case.side, "count": case.bands, "dtype": case.dtype}
    tiles = {"tiled": True, "blockxsize": BLOCK, "blockysize": BLOCK, "interleave": "pixel", "SPARSE_OK": True}
    with rasterio.open(
        path, "w", **profile, **tiles, **case.options, **PLACE, nodata=case.nodata, num_threads=2
    ) as file:
        for row, pixels in zip(range(0, case.side, BLOCK), strips, strict=True):
            file.write(pixels, window=Window(0, row, *pixels.shape[:0:-1]))
    return path


def strip(case: Case, row: int) -> NDArray[Any]:
    """Return the pixels (band, y, x) of a row of blocks."""
    chance = np.random.default_rng(row)
    height = min(BLOCK, case.side - row)
    y, x = np.mgrid[row : row + height, 0 : case.side].astype("float32") / 400
    terrain = 0.5 + 0.3 * np.sin(y) * np.cos(x) + 0.15 * np.sin(5 * y + 3 * x)
    scale = 250 if case.dtype == "uint8" else 4000
    bands = [scale * (terrain + chance.normal(0, 0.01, terrain.shape)) for _ in range(case.bands)]
    pixels = np.stack(bands).clip(1, scale * 1.2).astype(case.dtype)
    if case.nodata is not None:
        blocks = chance.random(-(-case.side // BLOCK)) >= (case.filled if case.filled < 1 else 0.9)
        pixels[:, :, np.repeat(blocks, BLOCK)[: case.side]] = case.nodata
    return pixels


def contenders(case: Case, source: Path, folder: Path) -> dict[str, tuple[list[str], dict[str, str], Path]]:
    """Return for each contender its command, what it finds in its environment, and the file it writes."""
    place = ["--crs", PLACE["crs"], "--geotransform", ",".join(map(str, PLACE["transform"].to_gdal()))]
    ours = [*OURS, *(place if case.is_array else []), str(source)]
    rio = [str(PEERS / "rio"), "cogeo", "create", "--quiet", str(source)]
    predictor = "3" if case.dtype == "float32" else "2"
    alike = {"ZLEVEL": "1", "PREDICTOR": predictor, "NUM_THREADS": "ALL_CPUS"}
    as_ours = [*rio, *(f"--co={name}={value}" for name, value in alike.items()), "--overview-resampling=average"]
    gdal = [str(ROOT / ".venv" / "bin" / "python"), "-c", _GDAL, str(source)]
    found = {
        "ours": (ours, {}),
        RIO: (rio, {}),
        "rio cogeo, as ours": (as_ours, {}),
        "GDAL, threads, DEFLATE 6": (gdal, GDAL_THREADS),
        TUNED: (gdal, {**GDAL_TUNED, "LEVEL": "1"}),
    }
    if case.is_array:
        found = {name: one for name, one in found.items() if not name.startswith("rio")}
    targets = (folder / f"out-{index}.tif" for index in range(len(found)))
    return {
        name: ([*command, str(target)], environment, target)
        for (name, (command, environment)), target in zip(found.items(), targets, strict=True)
    }


_GDAL = f"""
import os, sys, numpy, rasterio, rasterio.shutil
source, target = sys.argv[1:]
options = dict(driver="COG", compress="DEFLATE", level=os.environ.get("LEVEL", "6"), predictor="YES", blocksize={BLOCK},
               num_threads="ALL_CPUS", resampling="AVERAGE", bigtiff="IF_SAFER")
if source.endswith(".npy"):
    pixels = numpy.load(source)
    count, height, width = pixels.shape
    profile = dict(driver="GTiff", count=count, height=height, width=width, dtype=pixels.dtype, tiled=True,
                   blockxsize={BLOCK}, blockysize={BLOCK}, crs={PLACE["crs"]!r}, interleave="pixel",
                   transform=rasterio.Affine{tuple(PLACE["transform"])[:6]})
    with rasterio.MemoryFile() as memory:
        with memory.open(**profile) as file:
            file.write(pixels)
        rasterio.shutil.copy(memory.name, target, **options)
else:
    rasterio.shutil.copy(source, target, **options)
"""


def print_row(case: Case, source: Path, folder: Path, rounds: int) -> None:
    """Print how long each contender took for a source."""
    all_of = contenders(case, source, folder)
    for name, (command, environment, target) in all_of.items():
        say(f"{case.name}: {name}")
        run(command, environment)
        compare(case, source, target)
    runs: dict[str, list[Run]] = {name: [] for name in all_of}
    for _ in range(rounds):
        for name, (command, environment, target) in all_of.items():
            target.unlink()
            runs[name].append(run(command, environment))
    seconds = {name: median(one.seconds for one in taken) for name, taken in runs.items()}
    names = ["ours", RIO, "rio cogeo, as ours", "GDAL, threads, DEFLATE 6", TUNED]
    shown = [
        f"{seconds[name]:.2f} ({max(one.memory for one in runs[name]) / 1e6:.0f}, {size(all_of[name][2]):.1f})"
        if name in seconds
        else ""
        for name in names
    ]
    times_rio = marked(seconds[RIO] / seconds["ours"], case.target_rio) if RIO in seconds else ""
    times_tuned = marked(seconds[TUNED] / seconds["ours"], case.target_tuned)
    alone = codec_alone(all_of["ours"][2])
    share = marked(alone / seconds["ours"], 0.7)
    print(f"| {case.name} | {' | '.join(shown)} | {times_rio} | {times_tuned} | {alone:.2f} ({share}) |", flush=True)


def marked(ratio: float, target: float | None) -> str:
    """Return a ratio, in bold if it misses the target."""
    return f"**{ratio:.2f}** (≥ {target:g})" if target and ratio < target else f"{ratio:.2f}"


def size(path: Path) -> float:
    """Return how many MB a file has."""
    return path.stat().st_size / 1e6


def run(command: Sequence[str], environment: dict[str, str]) -> Run:
    """Run a process, and return what it took."""
    # Linux counts what was in memory where a process came from: so it comes from a small one.
    begun = subprocess.run(
        [sys.executable, "-I", "-S", "-c", _RUN, *command],
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    seconds, kibibytes = begun.stdout.split()
    return Run(float(seconds), int(kibibytes) * 1024)


_RUN = """
import os, sys, time
silent = os.open(os.devnull, os.O_WRONLY)
began = time.perf_counter()
process = os.posix_spawn(sys.argv[1], sys.argv[1:], os.environ, file_actions=[(os.POSIX_SPAWN_DUP2, silent, 1)])
_, status, usage = os.wait4(process, 0)
print(time.perf_counter() - began, usage.ru_maxrss)
sys.exit(os.waitstatus_to_exitcode(status))
"""


def compare(case: Case, source: Path, target: Path) -> None:
    """End the measurement unless every pixel is as in the source."""
    array = np.load(source, mmap_mode="r") if case.is_array else None
    with rasterio.open(target) as written:
        for window, pixels in read(written):
            rows, columns = window.toslices()
            if array is not None:
                expected = array[:, rows, columns]
            else:
                with rasterio.open(source) as file:
                    expected = file.read(window=window)
            if not np.array_equal(pixels, expected):
                sys.exit(f"{target.name} is not equal to {source.name} in {window}.")


def read(file: Any) -> Iterator[tuple[Window, NDArray[Any]]]:
    """Yield an image in rows of blocks."""
    for row in range(0, file.height, BLOCK):
        window = Window(0, row, file.width, min(BLOCK, file.height - row))
        yield window, file.read(window=window)


def codec_alone(path: Path) -> float:
    """Return how long our codec takes for the blocks of a file and its overviews, on all cores, decoded before."""
    seconds = 0.0
    with rasterio.open(path) as file:
        levels = [{}, *({"overview_level": level} for level in range(len(file.overviews(1))))]
        encode = pixel_encoder(np.dtype(file.dtypes[0]), BLOCK, file.nodata)
    with encoding_threads() as encoders:
        for options in levels:
            with rasterio.open(path, **options) as file:
                for _, pixels in read(file):
                    blocks = [pixels[:, :, x : x + BLOCK] for x in range(0, pixels.shape[2], BLOCK)]
                    began = time.perf_counter()
                    list(encoders.map(encode, blocks))
                    seconds += time.perf_counter() - began
    return seconds


def print_pipeline(case: Case, source: Path, folder: Path, rounds: int) -> None:
    """Print what all that an upload's conversion does takes, beside a script of the usual tools."""
    folder = folder / "pipeline"
    folder.mkdir(exist_ok=True)
    target = folder / "theirs.tif"
    rio = str(PEERS / "rio")
    script: list[list[str]] = [
        [rio, "cogeo", "create", "--quiet", str(source), str(target)],
        [rio, "cogeo", "validate", "--strict", str(target)],
        [
            rio,
            "stac",
            "--with-raster",
            "--with-proj",
            "--densify-geom",
            "21",
            "-o",
            str(folder / "item.json"),
            str(target),
        ],
        ["/usr/bin/sha256sum", str(target)],
        [str(PEERS / "python"), "-c", _THUMBNAIL, str(target), str(folder / "thumbnail.png")],
    ]
    ours = [str(ROOT / ".venv" / "bin" / "python"), "-m", "benchmarks.conversion", str(source), str(folder)]
    steps: list[Callable[[], float]] = [
        lambda: run(ours, {}).seconds,
        lambda: sum(run(command, {}).seconds for command in script),
    ]
    taken = [[step() for step in steps] for _ in range(rounds)]
    our, their = (median(times) for times in zip(*taken, strict=True))
    target_ratio = 10 if case.name == "chip" else 5
    times = marked(their / our, target_ratio)
    print(f"\nWhole pipeline, {case.name}: ours {our:.2f} s, the script {their:.2f} s, {times} times as long.")


_THUMBNAIL = """
import sys, numpy, rasterio
with rasterio.open(sys.argv[1]) as file:
    pixels = file.read(1, out_shape=(256, 256)).astype("float64")
low, high = numpy.percentile(pixels, (2, 98))
shown = (numpy.clip((pixels - low) / max(high - low, 1e-9), 0, 1) * 255).astype("uint8")
with rasterio.open(sys.argv[2], "w", driver="PNG", width=256, height=256, count=1, dtype="uint8") as png:
    png.write(shown, 1)
"""


if __name__ == "__main__":
    main()
