"""Converting files of this machine, as `stac-ingest cog` does: the service's writer without the service."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import rasterio
import typer
from pydantic import Field, ValidationError

from stac_ingest.errors import RequestError, UploadError
from stac_ingest.models.cog import MAX_OVERVIEWS, CogProfile
from stac_ingest.models.enums import OverviewResampler, UploadFileKind
from stac_ingest.models.image import Georeference
from stac_ingest.models.raster import Limits, SourceFile
from stac_ingest.models.values import Value
from stac_ingest.raster import accepted, cog, footprint
from stac_ingest.raster.source import Header, open_source, place_of, storable_nodata

CACHE_BYTES = 64 * 1024**2
"""GDAL's cache of blocks: what waits in it is not encoded yet, so a larger one only costs memory."""
Progress = Callable[[float, str], None]

_STEPS = 100
"""Of the progress bar, for each file."""
_PROFILE_FIELDS = {"LEVEL": "level", "QUALITY": "quality", "MAX_Z_ERROR": "max_error"}
_OPTIONS = {
    "codec": "--cog-profile",
    "block_size": "--blocksize",
    "geotrans": "--geotransform",
    "overviews": "--overview-level",
    **{field: f"--co {name}" for name, field in _PROFILE_FIELDS.items()},
}


class Asked(Value):
    """What is asked of a conversion beside its files."""

    profile: CogProfile | None = None
    """Unset: as `CogProfile` has it, and files that are in another lossless codec already are left so."""
    georeference: Georeference = Georeference()
    """For files and arrays that do not say where they lie."""
    nodata: float | None = None
    """For files that do not say it."""
    overviews: Annotated[int | None, Field(ge=0, le=MAX_OVERVIEWS)] = None
    """How many, each of half the size of the one before; unset: until at most 512 pixels are left."""
    resampler: OverviewResampler | None = None
    """Unset: nearest where the pixels are classes, average else."""


def convert_file(source: Path, target: Path, asked: Asked, progress: Progress) -> dict[str, Any]:
    """Convert one GeoTIFF, JPEG, PNG, JPEG 2000 or NumPy file, and return the report, as JSON.

    The target appears when it is complete, and is replaced then, if there is one.

    Raises:
        UploadError: The source is not what can be converted; nothing is left behind.
    """
    began = time.perf_counter()
    before = _state(source)
    kind = UploadFileKind.ARRAY if source.suffix == ".npy" else UploadFileKind.FILE
    file = SourceFile(path=source, name=source.name, kind=kind)
    options = {"GDAL_NUM_THREADS": "ALL_CPUS", "GDAL_CACHEMAX": CACHE_BYTES, "GDAL_PAM_ENABLED": False}
    unfinished = target.with_name(f".{target.name}.{os.getpid()}.tif")
    try:
        with (
            rasterio.Env(**options),
            open_source(file, Limits(), band_count=Limits().max_bands, declared_nodata=asked.nodata) as opened,
        ):
            header = opened.header
            nodata = asked.nodata if header.nodata is None else header.nodata
            written = accepted.make_cog(
                opened,
                file,
                place_of(header, asked.georeference, ()),
                unfinished,
                names=[note.description for note in header.notes],
                nodata=storable_nodata(nodata, header.dtype),
                factors=_factors(header, asked.overviews),
                resampler=asked.resampler,
                default_resampler=_resampler(header),
                profile=asked.profile,
                progress=progress,
            )
            raster = cog.describe_cog(written, asset=target.stem)
            outline = footprint.to_wgs84(footprint.outline(written.mask), written.place, source.name)
        if _state(source) != before:
            raise UploadError(
                "CORRUPT_FILE",
                f"Expected {source.name!r} to stay as it is meanwhile, but it was changed; convert it again.",
            )
        unfinished.replace(target)
    finally:
        unfinished.unlink(missing_ok=True)
    report: dict[str, Any] = json.loads(raster.model_copy(update={"path": target}).model_dump_json())
    share = written.mask.valid_count / (header.width * header.height)
    geometry = footprint.union([outline])
    return {**report, "geometry": geometry, "valid_share": share, "seconds": round(time.perf_counter() - began, 3)}


def _state(path: Path) -> tuple[int, int, int]:
    found = path.stat()
    return found.st_ino, found.st_size, found.st_mtime_ns


def _factors(header: Header, count: int | None) -> tuple[int, ...]:
    if count is None:
        return cog.overview_factors(header.width, header.height)
    return tuple(2**level for level in range(1, count + 1))


def _resampler(header: Header) -> OverviewResampler:
    return OverviewResampler.NEAREST if header.colormap else OverviewResampler.AVERAGE


def convert_files(sources: Sequence[Path], target: Path, asked: Asked, *, quiet: bool) -> list[dict[str, Any]]:
    """Convert files, with a progress bar, and return their reports.

    Raises:
        UploadError: The first file that cannot be converted ends it; those before it are there.
        RequestError: 400 `INVALID_PARAMETER`, when it is not clear what to write.
    """
    into_folder = target.is_dir()
    if not sources or (len(sources) > 1 and not into_folder) or not target.absolute().parent.is_dir():
        raise RequestError(
            400,
            "INVALID_PARAMETER",
            f"Expected a file and where to write it, or several and a folder, found {len(sources)} and"
            f" {str(target)!r}, {'a folder' if into_folder else 'which is no folder, or in none'}.",
        )
    paths = [target / f"{source.stem}.tif" if into_folder else target for source in sources]
    for source, path in zip(sources, paths, strict=True):
        _require_apart(source, path, paths)
    reports = []
    hidden = quiet or not sys.stderr.isatty()
    with typer.progressbar(length=_STEPS * len(sources), hidden=hidden, file=sys.stderr) as bar:
        for index, (source, path) in enumerate(zip(sources, paths, strict=True)):

            def tell(share: float, doing: str, index: int = index, name: str = source.name) -> None:
                bar.label = f"{name}: {doing}"
                bar.update(_STEPS * index + round(_STEPS * share) - bar.pos)

            reports.append(convert_file(source, path, asked, tell))
            tell(1.0, "done")
    return reports


def _require_apart(source: Path, path: Path, paths: Sequence[Path]) -> None:
    """Refuse, before anything is written, what is not there, or would be written over by itself or another."""
    found = None
    if not source.is_file():
        found = "nothing there"
    elif path.exists() and path.samefile(source):
        found = "itself as target"
    elif paths.count(path) > 1:
        found = f"another that becomes {path.name!r} too"
    if found:
        raise RequestError(
            400, "INVALID_PARAMETER", f"Expected {str(source)!r} to be a file to convert, found {found}."
        )


def asked_by(options: Mapping[str, Any], creation: Sequence[str]) -> Asked:
    """Return what options ask for, named as in `rio cogeo create`; raises RequestError 400 `INVALID_PARAMETER`."""
    given = dict(option.upper().partition("=")[::2] for option in creation)
    if not set(given) <= set(_PROFILE_FIELDS):
        raise _refused("--co", f"one of {', '.join(_PROFILE_FIELDS)} with a value", ", ".join(creation))
    name = options["overview_resampling"] and options["overview_resampling"].upper().replace("_", "")
    if name and name not in OverviewResampler.__members__:
        raise _refused(
            "--overview-resampling", f"one of {', '.join(OverviewResampler).lower()}", options["overview_resampling"]
        )
    numbers = options["geotransform"] and options["geotransform"].split(",")
    if numbers and len(numbers) != 6:
        raise _refused("--geotransform", "six numbers with commas between them", options["geotransform"])
    profile = {_PROFILE_FIELDS[name]: value for name, value in given.items()}
    if options["cog_profile"] is not None:
        profile["codec"] = options["cog_profile"].upper()
    if options["blocksize"] is not None:
        profile["block_size"] = options["blocksize"]
    try:
        return Asked(
            profile=CogProfile(**profile) if profile else None,
            georeference=Georeference(projection=options["crs"], geotrans=numbers),
            nodata=options["nodata"],
            overviews=options["overview_level"],
            resampler=name and OverviewResampler[name],
        )
    except ValidationError as error:
        wrong = error.errors()[0]
        expected = wrong["msg"].removeprefix("Value error, expected ").removeprefix("Input should be ")
        where = str(wrong["loc"][0])
        raise _refused(_OPTIONS.get(where, where), expected, wrong["input"]) from error


def _refused(option: str, expected: str, found: object) -> RequestError:
    return RequestError(400, "INVALID_PARAMETER", f"Expected for {option} {expected}, found {str(found)[:100]!r}.")
