"""The one place where GDAL meets a user's bytes: a child process that takes one job and gives one report.

`convert` is the parent's side. It starts `python -m stac_ingest.converter` in its own process group with a clean
environment (no database address, no keys), hands over the job as JSON, and reads lines of JSON: progress, then the
report or the error. The child takes away from itself what it does not need (the network, all drivers but four, memory
and time without end) before it looks at the first byte. To start takes it longer than a small image; so `Converters`
has one that waits, ready, for the next job.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import resource
import signal
import sys
import time
import warnings
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Self

from stac_ingest.errors import RetryableUploadError, UploadError
from stac_ingest.models.cog import CogProfile
from stac_ingest.models.enums import DataType, UploadFileKind
from stac_ingest.models.raster import Conversion, ConversionJob, Limits, Raster
from stac_ingest.models.upload import require_bands
from stac_ingest.stac import bbox_of

Report = Callable[[float, str], Awaitable[None]]
Progress = Callable[[float, str], None]

_GDAL_OPTIONS = {
    "CPL_VSIL_CURL_ALLOWED_EXTENSIONS": ".none",
    "GDAL_CACHEMAX": "64",  # megabytes in the environment; rasterio.Env would count bytes. More only costs memory.
    "GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR",
    "GDAL_ERROR_ON_LIBJPEG_WARNING": "YES",  # what is missing would be filled with grey
    "GDAL_HTTP_PROXY": "127.0.0.1:9",
    "GDAL_JPEG_MAX_ALLOWED_SCAN_NUMBER": "32",
    "GDAL_MAX_DATASET_POOL_SIZE": "8",
    "GDAL_NUM_THREADS": "ALL_CPUS",
    "GDAL_PAM_ENABLED": "NO",
    "GDAL_PNG_WHOLE_IMAGE_OPTIM": "NO",  # it takes a truncated file for a complete one
    # Each file is opened by one explicit driver (raster/sniff.py); these, which open other data, are gone altogether.
    "GDAL_SKIP": "DAAS DERIVED EEDAI GTI HTTP MRF NGW OGCAPI PLMosaic PLSCENES STACIT STACTA VRT WCS WMS WMTS ZARR",
    "GDAL_TIFF_INTERNAL_MASK": "YES",
    "GDAL_VRT_ENABLE_PYTHON": "NO",
    "GDAL_VRT_ENABLE_RAWRASTERBAND": "NO",
    "PROJ_NETWORK": "OFF",
}
_CPU_SECONDS = 120
_CPU_BYTES_PER_SECOND = 50 * 1024**2
_SLACK_BYTES = 64 * 1024**2
_LARGEST_GROWTH = 2
"""Pixels, their overviews and the masks of both, over pixels and overviews."""


async def convert(job: ConversionJob, report: Report) -> Conversion:
    """Run one job in a child process.

    Args:
        job: What to convert; its scratch folder is the child's temporary folder too.
        report: Awaited with the share that is done (0 to 1) and what is being done.

    Raises:
        UploadError: The input cannot become an image; says why.
        RetryableUploadError: The child was killed or ended without a report.
    """
    return await _convert_in(await _start(), job, report)


class Converters:
    """Child processes that convert, each of them once; one waits, ready, for the next job. Used in `async with`."""

    _waiting: asyncio.Task[asyncio.subprocess.Process] | None = None

    async def __aenter__(self) -> Self:
        self._prepare()
        return self

    async def __aexit__(self, *error: object) -> None:
        if self._waiting:
            with contextlib.suppress(OSError):  # it could not start
                await _end(await self._waiting)

    async def convert(self, job: ConversionJob, report: Report) -> Conversion:
        """Run one job in a child process; takes and raises what the function `convert` does."""
        child = await self._take()
        try:
            return await _convert_in(child, job, report)
        finally:
            if self._waiting is None:
                self._prepare()

    async def _take(self) -> asyncio.subprocess.Process:
        while True:
            waiting = self._waiting or self._prepare()
            await asyncio.wait([waiting])
            if self._waiting is waiting:  # no other job has taken it meanwhile
                self._waiting = None
                is_alive = waiting.exception() is None and waiting.result().returncode is None
                return waiting.result() if is_alive else await _start()

    def _prepare(self) -> asyncio.Task[asyncio.subprocess.Process]:
        self._waiting = asyncio.create_task(_start())
        return self._waiting


async def _start() -> asyncio.subprocess.Process:
    environment = {
        **_GDAL_OPTIONS,
        "OPENBLAS_NUM_THREADS": "1",  # nothing here is worth threads of NumPy's linear algebra
        "PATH": os.defpath,
        "PYTHONPATH": os.pathsep.join(str(Path(folder).resolve()) for folder in sys.path),
    }
    return await asyncio.create_subprocess_exec(
        sys.executable,
        *("-P", "-s"),  # neither the folder that it works in nor a user's has modules
        "-m",
        "stac_ingest.converter",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=environment,
        cwd=os.sep,
        start_new_session=True,
        limit=_SLACK_BYTES,
    )


async def _convert_in(child: asyncio.subprocess.Process, job: ConversionJob, report: Report) -> Conversion:
    try:
        return await _follow(child, job, report)
    finally:
        await _end(child)


async def _end(child: asyncio.subprocess.Process) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)
    await child.wait()


async def _follow(child: asyncio.subprocess.Process, job: ConversionJob, report: Report) -> Conversion:
    if child.stdin is None or child.stdout is None or child.stderr is None:
        raise RuntimeError("the child was started without pipes")
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        child.stdin.write(job.model_dump_json().encode() + b"\n")
        await child.stdin.drain()
    last_words = asyncio.create_task(child.stderr.read())
    async for line in child.stdout:
        if not line.endswith(b"\n"):
            break  # killed in the middle of a sentence
        message = json.loads(line)
        if "progress" in message:
            await report(message["progress"], message["doing"])
        elif "error" in message:
            code, reason = message["error"]["code"], message["error"]["message"]
            raise (RetryableUploadError if code == "STORAGE_FULL" else UploadError)(code, reason)
        elif "conversion" in message:
            return Conversion.model_validate(message["conversion"])
    status = await child.wait()
    raise _crash(status, (await last_words).decode(errors="replace"))


def _crash(status: int, stderr: str) -> UploadError:
    if status == -signal.SIGXCPU:
        return UploadError(
            "LIMIT_TIME", "The conversion took more processor time than its size allows; is the file damaged?"
        )
    how = f"signal {signal.Signals(-status).name}" if status < 0 else f"status {status}"
    last = stderr.strip().splitlines()[-1][:200] if stderr.strip() else "no message"
    return RetryableUploadError("CONVERTER_CRASHED", f"The converter ended with {how} before it was done ({last}).")


# --- The child ------------------------------------------------------------------------------------------------------


def main() -> None:
    """Wait for a job on standard input, and answer on standard output."""
    # GDAL's C code may print; the answer has standard output to itself.
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    _die_with_parent()
    sandbox = _leave_the_network()
    _import_all()
    line = sys.stdin.readline()
    if not line:
        return
    job = ConversionJob.model_validate_json(line)
    os.chdir(job.scratch)
    os.environ.update(dict.fromkeys(("CPL_TMPDIR", "HOME", "TMPDIR"), str(job.scratch)))
    _limit_memory(job.limits)

    def say(message: dict[str, Any]) -> None:
        answers.write(json.dumps(message) + "\n")

    try:
        conversion = _convert(job, sandbox, lambda share, doing: say({"progress": round(share, 3), "doing": doing}))
    except UploadError as error:
        say({"error": {"code": error.code, "message": str(error)}})
    except MemoryError:
        say({"error": {
            "code": "LIMIT_MEMORY",
            "message": f"The conversion needs more than {job.limits.memory_bytes} bytes of memory; write the file with"
            " tiles, as with gdal_translate -co TILED=YES, or split it.",
        }})  # fmt: skip
    else:
        say({"conversion": conversion.model_dump(mode="json")})


def _import_all() -> None:
    """Import what conversions need, and let GDAL register its drivers.

    GDAL reads its options when it is first imported, and the parent needs none of it.
    """
    import rasterio

    from stac_ingest.raster import accepted, footprint, preview  # noqa: F401

    with rasterio.Env():
        pass


def _die_with_parent() -> None:
    if sys.platform != "linux":
        return
    import ctypes

    set_parent_death_signal = 1  # PR_SET_PDEATHSIG, linux/prctl.h
    ctypes.CDLL(None).prctl(set_parent_death_signal, signal.SIGKILL)


def _limit_memory(limits: Limits) -> None:
    _limit(resource.RLIMIT_CORE, 0)
    _limit(resource.RLIMIT_NOFILE, 256)
    if sys.platform == "linux":
        _limit(resource.RLIMIT_AS, limits.memory_bytes)


def _limit_work(staged: int) -> None:
    """Allow, from now on, as much time and as large files as one raster of `staged` bytes may need."""
    _limit(resource.RLIMIT_CPU, int(time.process_time()) + _CPU_SECONDS + staged // _CPU_BYTES_PER_SECOND)
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    _limit(resource.RLIMIT_FSIZE, _LARGEST_GROWTH * staged + _SLACK_BYTES)


def _limit(what: int, most: int) -> None:
    # The hard limit stays: what was lowered could not be raised again for the next file.
    _, hard = resource.getrlimit(what)
    resource.setrlimit(what, (most if hard == resource.RLIM_INFINITY else min(most, hard), hard))


def _leave_the_network() -> str:
    unshare = getattr(os, "unshare", None)
    if unshare:
        for flags in (os.CLONE_NEWNET, os.CLONE_NEWNET | os.CLONE_NEWUSER):
            with contextlib.suppress(OSError):
                unshare(flags)
                return "network namespace"
    return "GDAL options only"


def _convert(job: ConversionJob, sandbox: str, progress: Progress) -> Conversion:
    import rasterio

    from stac_ingest.raster import footprint, preview

    warnings.simplefilter("ignore")
    images = [source for source in job.sources if source.kind in (UploadFileKind.FILE, UploadFileKind.ARRAY)]
    if len(images) != len(job.layout.files):
        raise UploadError(
            "FILE_COUNT_MISMATCH",
            f"Expected {len(job.layout.files)} file(s) as the product's bands describe them, found {len(images)};"
            " send one for each file_index.",
        )
    notes: list[str] = []
    rasters: list[Raster] = []
    outlines = []
    filled = pixels = 0
    for index, (source, asset) in enumerate(zip(images, job.layout.asset_keys(), strict=True)):
        here = _within(progress, 0.9 * index / len(images), 0.9 / len(images))
        raster, written = _convert_file(job, source, index, asset, notes, here)
        rasters.append(raster)
        outlines.append(footprint.to_wgs84(footprint.outline(written.mask), written.place, source.name))
        filled += written.mask.valid_count
        pixels += written.mask.width * written.mask.height
    geometry = footprint.union(outlines)
    previews = preview.write_previews(
        {r.path: layout.bands for r, layout in zip(rasters, job.layout.files, strict=True)},
        job.display_bands,
        job.scratch,
    )
    west, south, east, north = bbox_of(geometry)
    used = resource.getrusage(resource.RUSAGE_SELF)
    return Conversion(
        rasters=tuple(rasters),
        previews=previews,
        geometry=geometry,
        bbox=(west, south, east, north),
        fill_fraction=round(filled / pixels, 6),
        warnings=tuple(notes),
        software={
            "GDAL": rasterio.__gdal_version__,
            "rasterio": rasterio.__version__,
        },
        sandbox=sandbox,
        processor_seconds=used.ru_utime + used.ru_stime,
        memory_bytes=used.ru_maxrss * (1 if sys.platform == "darwin" else 1024),
    )


def _within(progress: Progress, start: float, span: float) -> Progress:
    return lambda share, doing: progress(start + span * share, doing)


def _convert_file(
    job: ConversionJob, source: Any, index: int, asset: str, notes: list[str], progress: Progress
) -> tuple[Raster, Any]:
    from stac_ingest.raster import accepted, cog
    from stac_ingest.raster.source import check_decoded, open_source, place_of, storable_nodata

    layout = job.layout.files[index]
    sidecars = [file for file in job.sources if file.kind is UploadFileKind.SIDECAR]
    with open_source(
        source,
        job.limits,
        band_count=len(layout.bands),
        declared_nodata=layout.nodata,
    ) as opened:
        header = opened.header
        require_bands(header.name, header.count, DataType.from_numpy(header.dtype), layout)
        place = place_of(header, job.georeference, sidecars)
        profile = job.profile or CogProfile()
        factors = job.overviews or profile.overviews or cog.overview_factors(header.width, header.height)
        staged_bytes = cog.staged_bytes(header, profile, factors)
        check_decoded(header.name, staged_bytes, job.limits)
        _limit_work(staged_bytes)
        written = accepted.make_cog(
            opened,
            source,
            place,
            job.scratch / f"{index}.tif",
            names=[band.name for band in layout.bands],
            nodata=storable_nodata(layout.nodata if header.nodata is None else header.nodata, header.dtype),
            factors=factors,
            resampler=job.overview_resampler or profile.overview_resampler,
            default_resampler=layout.default_resampler,
            profile=job.profile,
            progress=progress,
        )
    if header.nodata is not None and written.nodata is None:
        notes.append(f"nodata {header.nodata:g} of {header.name!r} cannot occur in {header.dtype} and was left out")
    for band in layout.bands:
        if band.nodata is not None and written.nodata not in (band.nodata, None) and band.nodata == band.nodata:
            notes.append(
                f"nodata of {header.name!r} is {written.nodata:g}, not {band.nodata:g} as band {band.name!r} says; kept"
            )
    return cog.describe_cog(written, asset), written


if __name__ == "__main__":
    main()
