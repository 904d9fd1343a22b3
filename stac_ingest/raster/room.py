"""Telling a want of memory or disk from other faults."""

from __future__ import annotations

import errno
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rasterio._err import CPLE_BaseError
from rasterio.errors import RasterioError

from stac_ingest.errors import UploadError

LITTLE_SPACE = 16 * 1024**2
"""Where no more bytes than these are free, a file that could not be written is put down to the full disk."""


@contextmanager
def room_for(path: Path) -> Iterator[None]:
    """Tell a want of memory or disk from other faults; of a full disk GDAL says only that the file is wrong."""
    full = UploadError("STORAGE_FULL", "No space is left for the conversion; free some and try again.")
    try:
        yield
    except (RasterioError, CPLE_BaseError) as error:
        reason = str(error.__cause__ or error).lower()
        if "cannot allocate" in reason or "out of memory" in reason:
            raise MemoryError(str(error)) from error
        if shutil.disk_usage(path.parent).free < LITTLE_SPACE:
            raise full from error
        raise
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise full from error
        raise
