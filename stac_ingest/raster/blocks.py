"""Encoding blocks with DEFLATE on all cores: by ISA-L, which is faster than GDAL's libdeflate (docs/adr/0017).

The streams are ordinary ones that every reader of TIFF knows. What comes before compression are the predictors of TIFF:
2 stores differences of neighbours (TIFF 6.0 section 14), 3 those of the bytes of floats, the most significant bytes
first (TIFF Technical Note 3, Adobe 2005).
"""

from __future__ import annotations

import os
import sys
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from isal import isal_zlib
from numpy.typing import NDArray

_DEFLATE = 8
"""The method that a stream of zlib names first."""
MOST_WAITING = 32 * 1024**2
"""Bytes of pixels that wait for being encoded and written; the source is not read further until then."""

Pixels = NDArray[Any]
Integers = NDArray[np.uint64]


@dataclass(frozen=True, kw_only=True)
class Grid:
    """How an image is divided into blocks."""

    height: int
    width: int
    count: int
    """Bands."""
    block: int
    """Side of a block in pixels."""
    interleaved: bool
    """Whether a block holds all bands; else the blocks of each band lie apart."""

    @property
    def rows(self) -> int:
        """Blocks from top to bottom."""
        return -(-self.height // self.block)

    @property
    def columns(self) -> int:
        """Blocks from left to right."""
        return -(-self.width // self.block)

    @property
    def planes(self) -> int:
        """How often the image is covered."""
        return 1 if self.interleaved else self.count

    @property
    def size(self) -> int:
        """How many blocks there are."""
        return self.planes * self.rows * self.columns

    @property
    def of_mask(self) -> Grid:
        """How the mask of the image is divided."""
        return replace(self, count=1)

    def parts(self, pixels: Pixels, row: int, column: int) -> Iterator[tuple[int, Pixels]]:
        """Yield the blocks of pixels (band, y, x) whose first is at this row and column, each with its number."""
        _, height, width = pixels.shape
        for y in range(0, height, self.block):
            for x in range(0, width, self.block):
                first = (row + y) // self.block * self.columns + (column + x) // self.block
                part = pixels[:, y : y + self.block, x : x + self.block]
                for plane in range(self.planes):
                    bands = part if self.interleaved else part[plane : plane + 1]
                    yield plane * self.rows * self.columns + first, bands

    def block_bytes(self, dtype: str) -> int:
        """Return how many bytes the pixels of a block are."""
        return self.block**2 * self.count // self.planes * np.dtype(dtype).itemsize


@dataclass(frozen=True)
class Blocks:
    """Where the encoded blocks of an image lie; 0 for the size of one that is all nodata."""

    paths: tuple[Path, ...]
    files: NDArray[np.uint8]
    """In which of these files each block is."""
    offsets: Integers
    sizes: Integers

    @classmethod
    def nowhere(cls, grid: Grid, *paths: Path) -> Blocks:
        """Return blocks of a grid, none of which is there yet."""
        return cls(paths, *(np.zeros(grid.size, dtype) for dtype in ("uint8", "uint64", "uint64")))

    @contextmanager
    def opened(self) -> Iterator[Callable[[int], bytes]]:
        """Give what reads a block, by its number."""
        with ExitStack() as stack:
            files = [stack.enter_context(path.open("rb")).fileno() for path in self.paths]

            def read(index: int) -> bytes:
                size, offset = int(self.sizes[index]), int(self.offsets[index])
                return os.pread(files[self.files[index]], size, offset) if size else b""

            yield read


@dataclass
class BlockWriter:
    """Encodes the blocks of an image, and appends them to a file as they come."""

    grid: Grid
    file: BinaryIO
    encoders: ThreadPoolExecutor
    encode: Callable[[Pixels, bytes], bytes]
    """From pixels (band, y, x) of a block, cut off at the edges of the image, and what they may be encoded as already,
    to bytes; none for all nodata."""
    known: Blocks
    """What the blocks may be encoded as already; those that are stay where they lie."""
    read_known: Callable[[int], bytes]
    """Reads one of these, by its number."""
    blocks: Blocks = field(init=False)
    """Those that were written, in the file, and those that were known, in the one behind it."""
    _waiting: deque[tuple[int, int, Future[tuple[bytes, bool]]]] = field(init=False, default_factory=deque)
    """Index of a block, bytes of its pixels, and what it will be, and whether that is known."""
    _waiting_bytes: int = field(init=False, default=0)

    def __post_init__(self) -> None:
        self.blocks = Blocks.nowhere(self.grid, Path(self.file.name), *self.known.paths)

    def write(self, pixels: Pixels, row: int, column: int) -> None:
        """Take pixels (band, y, x) of whole blocks, whose first is at this row and column of the image."""
        for index, bands in self.grid.parts(pixels, row, column):
            self._waiting.append((index, bands.nbytes, self.encoders.submit(self._encoded, bands, index)))
            self._waiting_bytes += bands.nbytes
            self._append(MOST_WAITING)

    def finish(self) -> None:
        """Wait until all is written."""
        self._append(0)

    def _encoded(self, pixels: Pixels, index: int) -> tuple[bytes, bool]:
        known = self.read_known(index)
        content = self.encode(pixels, known)
        return content, bool(content) and content is known

    def _append(self, left: int) -> None:
        while self._waiting and self._waiting_bytes > left:
            index, size, encoded = self._waiting.popleft()
            content, is_known = encoded.result()
            self._waiting_bytes -= size
            self.blocks.sizes[index] = len(content)
            if is_known:
                self.blocks.files[index], self.blocks.offsets[index] = 1, self.known.offsets[index]
            else:
                self.blocks.offsets[index] = self.file.tell()
                self.file.write(content)


@contextmanager
def writing(
    path: Path,
    grid: Grid,
    encoders: ThreadPoolExecutor,
    encode: Callable[[Pixels, bytes], bytes],
    known: Blocks | None = None,
) -> Iterator[BlockWriter]:
    """Give what encodes the blocks of an image into a file, and wait until all is written."""
    known = known or Blocks.nowhere(grid)
    with path.open("wb") as file, known.opened() as read_known:
        writer = BlockWriter(grid, file, encoders, encode, known, read_known)
        yield writer
        writer.finish()


@contextmanager
def encoding_threads() -> Iterator[ThreadPoolExecutor]:
    """Give a thread for each core; what waits for them when an error comes is dropped."""
    pool = ThreadPoolExecutor(os.cpu_count() or 1, thread_name_prefix="encode")
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)


def pixel_encoder(dtype: np.dtype[Any], block: int, nodata: float | None) -> Callable[[Pixels, bytes], bytes]:
    """Return what encodes blocks of pixels of this type."""
    return partial(_encode_pixels, block=block, blank=blank_of(dtype, nodata))


def blank_of(dtype: np.dtype[Any], nodata: float | None) -> Pixels:
    """Return what a pixel is where a file has no block."""
    return np.array(0 if nodata is None else nodata, dtype)


def is_blank(pixels: Pixels, blank: Pixels) -> bool:
    """Return whether all pixels are to the bit what they are where a file has no block."""
    bits = f"u{pixels.dtype.itemsize}"
    return bool((pixels.view(bits) == blank.view(bits)).all())


def predictor_of(dtype: np.dtype[Any]) -> int:
    """Return the predictor of TIFF that suits a type; GDAL reads the one of floats for 32 and 64 bits."""
    return 3 if dtype.kind == "f" and dtype.itemsize > 2 else 2


def _encode_pixels(pixels: Pixels, known: bytes, *, block: int, blank: Pixels) -> bytes:
    if is_blank(pixels, blank):
        return b""
    bits = f"u{pixels.dtype.itemsize}"
    whole = _padded(pixels, block)
    content = _byte_differences(whole) if predictor_of(pixels.dtype) == 3 else _differences(whole.view(bits))
    return _stream(content, known, level_of(pixels.dtype))


def level_of(dtype: np.dtype[Any]) -> int:
    """Return the level of ISA-L (0 to 3) for a type; higher ones make files hardly smaller (docs/adr/0017)."""
    return 1 if dtype.itemsize == 1 else 2


def _stream(content: Pixels, known: bytes, level: int) -> bytes:
    """Return a stream of zlib (RFC 1950) of a content: a known one, if it ends with the checksum of the content."""
    is_stream = known[:1] and known[0] & 15 == _DEFLATE and int.from_bytes(known[:2]) % 31 == 0
    is_known = is_stream and known[-4:] == isal_zlib.adler32(content).to_bytes(4)
    return known if is_known else isal_zlib.compress(content, level)


def encode_mask(valid: Pixels, known: bytes, *, block: int) -> bytes:
    """Encode a block (1, y, x) of a mask: a bit for each pixel."""
    if not valid.any():
        return b""
    whole = np.zeros((block, block), bool)
    whole[: valid.shape[1], : valid.shape[2]] = valid[0]
    return _stream(np.packbits(whole, axis=1), known, level_of(whole.dtype))


def _padded(pixels: Pixels, block: int) -> Pixels:
    """Repeat the last row and column until the block is whole."""
    _, height, width = pixels.shape
    if (height, width) == (block, block):
        return pixels
    return np.pad(pixels, ((0, 0), (0, block - height), (0, block - width)), mode="edge")


def _differences(pixels: Pixels) -> Pixels:
    """Return (y, x, band) of pixels (band, y, x): the differences between neighbours in a row; integers wrap around."""
    count, rows, columns = pixels.shape
    differences = np.empty((rows, columns, count), pixels.dtype)
    for index, band in enumerate(pixels):  # all bands at once take NumPy several times as long
        differences[:, 0, index] = band[:, 0]
        np.subtract(band[:, 1:], band[:, :-1], out=differences[:, 1:, index])
    return differences


def _byte_differences(pixels: Pixels) -> Pixels:
    """Return the differences between the bytes of rows of (y, x, band), the most significant bytes of all first."""
    count, rows, columns = pixels.shape
    size = pixels.dtype.itemsize
    interleaved = np.empty((rows, columns, count), pixels.dtype)
    for index, band in enumerate(pixels):
        interleaved[:, :, index] = band
    as_bytes = interleaved.view("u1").reshape(rows, columns * count, size)
    planes = np.empty((rows, size, columns * count), "u1")
    for index in range(size):
        planes[:, index] = as_bytes[:, :, size - 1 - index if sys.byteorder == "little" else index]
    of_rows = planes.reshape(rows, -1)
    differences = of_rows.copy()
    np.subtract(of_rows[:, count:], of_rows[:, :-count], out=differences[:, count:])
    return differences
