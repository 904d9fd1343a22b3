"""One conversion as a worker runs it, in the converter's child process: for `benchmarks.cog`."""

from __future__ import annotations

import asyncio
import sys
import tempfile
from pathlib import Path

import rasterio

from stac_ingest.converter import convert
from stac_ingest.models.bands import GenericBand, Layout
from stac_ingest.models.enums import UploadFileKind
from stac_ingest.models.raster import ConversionJob, SourceFile


async def nobody(share: float, doing: str) -> None:
    """Hear of progress."""


def main() -> None:
    """Convert the file that is named first, in the folder that is named second."""
    source, folder = (Path(text) for text in sys.argv[1:])
    with rasterio.open(source) as file:
        bands = tuple(GenericBand(name=f"b{index}") for index in range(file.count))
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        job = ConversionJob(
            sources=(SourceFile(path=source, name=source.name, kind=UploadFileKind.FILE),),
            scratch=Path(scratch),
            layout=Layout.of(bands),
        )
        print(asyncio.run(convert(job, nobody)).rasters[0].sha256)


if __name__ == "__main__":
    main()
