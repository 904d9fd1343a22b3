"""One conversion as a worker runs it, in a converter that waited for it: for `benchmarks.cog`.

python -m benchmarks.conversion SOURCE FOLDER RESULT.json
"""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
import time
from pathlib import Path

import rasterio

from stac_ingest.converter import Converters
from stac_ingest.models.bands import GenericBand, Layout
from stac_ingest.models.enums import UploadFileKind
from stac_ingest.models.raster import ConversionJob, SourceFile

READY_SECONDS = 2
"""After so many, a converter waits for its job."""


async def nobody(share: float, doing: str) -> None:
    """Hear of progress."""


async def seconds_of(job: ConversionJob) -> float:
    """Return how long the conversion took."""
    async with Converters() as converters:
        await asyncio.sleep(READY_SECONDS)
        began = time.perf_counter()
        await converters.convert(job, nobody)
        return time.perf_counter() - began


def main() -> None:
    """Convert the file that is named first, in the folder that is named second."""
    source, folder, result = (Path(text) for text in sys.argv[1:])
    with rasterio.open(source) as file:
        bands = tuple(GenericBand(name=f"b{index}") for index in range(file.count))
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        job = ConversionJob(
            sources=(SourceFile(path=source, name=source.name, kind=UploadFileKind.FILE),),
            scratch=Path(scratch),
            layout=Layout.of(bands),
        )
        result.write_text(json.dumps(asyncio.run(seconds_of(job))))


if __name__ == "__main__":
    main()
