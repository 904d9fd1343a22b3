"""Jobs for the converter, and the files that they are made of.

A fixture here is a factory; its type is the class of the same name, which tests import for annotations only.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from numpy.typing import NDArray
from rasterio.transform import Affine

from stac_ingest.converter import convert
from stac_ingest.errors import UploadError
from stac_ingest.models.bands import Band, GenericBand, Layout
from stac_ingest.models.enums import UploadFileKind
from stac_ingest.models.image import Georeference
from stac_ingest.models.raster import Conversion, ConversionJob, SourceFile

UTM = "EPSG:32633"
CORNER = Affine(10, 0, 500_000, 0, -10, 5_000_000)

_KINDS = {".npy": UploadFileKind.ARRAY, ".mask": UploadFileKind.MASK}
_SIDECARS = (".jgw", ".wld", ".pgw", ".prj")


async def _unheard(share: float, doing: str) -> None:
    pass


class Jobs:
    """Make a job of files; a `.npy` is an array, a world file or `.prj` a sidecar, and all else a file."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._numbers = count()

    def __call__(
        self, *paths: Path, bands: int | Sequence[Band] = 1, placed: bool | Georeference = False, **options: Any
    ) -> ConversionJob:
        scratch = self._folder / f"scratch-{next(self._numbers)}"
        scratch.mkdir(exist_ok=True)
        if isinstance(bands, int):
            bands = [GenericBand(name=f"b{i}") for i in range(bands)]
        if placed is True:
            placed = Georeference(cs_code=UTM, geotrans=CORNER.to_gdal())
        return ConversionJob(
            sources=tuple(SourceFile(path=path, name=path.name, kind=_kind(path)) for path in paths),
            scratch=scratch,
            layout=Layout.of(bands),
            georeference=placed or Georeference(),
            **options,
        )


def _kind(path: Path) -> UploadFileKind:
    return _KINDS.get(path.suffix, UploadFileKind.SIDECAR if path.suffix in _SIDECARS else UploadFileKind.FILE)


class Run:
    """Run one job in the real child process; takes what `Jobs` takes."""

    def __init__(self, jobs: Jobs) -> None:
        self._jobs = jobs

    def __call__(self, *paths: Path, **job: Any) -> Conversion:
        return asyncio.run(convert(self._jobs(*paths, **job), _unheard))


class Refuse:
    """Run one job that must end with an error of this code; takes what `Jobs` takes, and returns the message."""

    def __init__(self, run: Run) -> None:
        self._run = run

    def __call__(self, code: str, *paths: Path, **job: Any) -> str:
        with pytest.raises(UploadError) as caught:
            self._run(*paths, **job)
        assert caught.value.code == code, caught.value
        return str(caught.value)


class WriteTiff:
    """Write pixels (band, y, x) as a GeoTIFF in UTM, or as what the creation options say."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def __call__(
        self, name: str, pixels: NDArray[Any], *, mask: NDArray[np.bool_] | None = None, **options: Any
    ) -> Path:
        path = self._folder / name
        bands, height, width = pixels.shape
        profile = {
            "driver": "GTiff",
            "width": width,
            "height": height,
            "count": bands,
            "dtype": pixels.dtype.name,
            "crs": UTM,
            "transform": CORNER,
            **options,
        }
        with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True), rasterio.open(path, "w", **profile) as tiff:
            tiff.write(pixels)
            if mask is not None:
                tiff.write_mask(mask)
        return path


class SaveArray:
    """Save an array as `.npy`, and its mask (True: no value) beside it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def __call__(self, name: str, array: NDArray[Any], *, mask: NDArray[Any] | None = None) -> Path:
        path = self._folder / f"{name}.npy"
        np.save(path, array)
        if mask is not None:
            with path.with_suffix(".mask").open("wb") as stream:
                np.save(stream, mask)
        return path


class Noise:
    """Random bits as pixels of a type: every value of it may occur, NaN and infinity too."""

    def __call__(self, dtype: str, *shape: int, seed: int = 1) -> NDArray[Any]:
        bits = np.random.default_rng(seed).integers(0, 256, (*shape, np.dtype(dtype).itemsize), dtype="uint8")
        return bits.view(dtype)[..., 0]


@pytest.fixture
def jobs(tmp_path: Path) -> Jobs:
    return Jobs(tmp_path)


@pytest.fixture
def run(jobs: Jobs) -> Run:
    return Run(jobs)


@pytest.fixture
def refuse(run: Run) -> Refuse:
    return Refuse(run)


@pytest.fixture
def write_tiff(tmp_path: Path) -> WriteTiff:
    return WriteTiff(tmp_path)


@pytest.fixture
def save_array(tmp_path: Path) -> SaveArray:
    return SaveArray(tmp_path)


@pytest.fixture
def noise() -> Noise:
    return Noise()
