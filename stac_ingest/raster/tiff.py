"""From a directory and blocks for each level to one Cloud-Optimized GeoTIFF; no block is encoded again.

GDAL writes the directories, so whatever it knows (masks, colour tables, coordinate systems) needs no second
implementation here; the blocks are GDAL's, or lie in a file of ours (raster/blocks.py). What happens here is order
(TIFF 6.0 section 2, BigTIFF): all directories come first, then the blocks from the smallest overview to the full
resolution, each between its size and its last four bytes. The file says so of itself, so that GDAL reads a block, and
its mask, with one request: https://gdal.org/en/stable/drivers/raster/cog.html#header-ghost-area
"""

from __future__ import annotations

import hashlib
import mmap
import struct
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from stac_ingest.raster.blocks import Blocks

LARGEST_CLASSIC = 2**32 - 2**20
"""Bytes up to which a file is a classic TIFF, whose offsets have 32 bits."""
BUFFER = 4 * 1024**2

_NEW_SUBFILE_TYPE, _PLANAR_CONFIGURATION, _TILE_OFFSETS, _TILE_BYTE_COUNTS = 254, 284, 324, 325
_REDUCED, _MASK = 1, 4  # bits of NewSubfileType
_SEPARATE = 2  # as PlanarConfiguration: the blocks of each band lie apart
_LONG, _LONG8 = 4, 16
_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}
"""Bytes of a value, for each type of TIFF 6.0 and BigTIFF."""
_FRAME = 8
"""Bytes around a block: its size before it, its last four behind it."""

Progress = Callable[[float], None]
Integers = NDArray[np.uint64]


@dataclass(frozen=True)
class Written:
    """What was written."""

    size: int
    sha256: str
    header_size: int
    """Bytes before the content of the first block."""


@dataclass(frozen=True)
class LevelFiles:
    """The pixels of one resolution and their mask, as they are before they are put in order."""

    directory: Path
    """A tiled BigTIFF as GDAL writes it."""
    image: Blocks | None = None
    """Where the blocks are, if not there."""
    mask: Blocks | None = None
    """Where the blocks of the mask are, if not there."""
    blank: NDArray[np.bool_] | None = None
    """Which blocks there are all nodata, if it is known; they are left out."""
    blank_mask: NDArray[np.bool_] | None = None
    """Which blocks of the mask there say that nothing is valid."""


@dataclass(frozen=True)
class _Field:
    tag: int
    kind: int
    count: int
    values: bytes


_Fields = dict[int, _Field]
"""A directory: tag -> field."""


@dataclass(frozen=True)
class _Image:
    """One image of a TIFF: its fields but those of its blocks, and these, as they are read and as they will lie."""

    read: Callable[[int], bytes]
    """Returns a block, by its number."""
    fields: _Fields
    sizes: Integers
    """Bytes of the blocks; 0 for those that are all nodata."""
    placed: Integers
    """Where the blocks will lie; 0: nowhere."""

    @property
    def is_separate(self) -> bool:
        """Whether the blocks of each band lie apart."""
        return _number(self.fields, _PLANAR_CONFIGURATION) == _SEPARATE

    def overview(self) -> _Image:
        """Return the image as one of reduced resolution."""
        kind = _number(self.fields, _NEW_SUBFILE_TYPE) | _REDUCED
        field = _Field(_NEW_SUBFILE_TYPE, _LONG, 1, struct.pack("<I", kind))
        return replace(self, fields={**self.fields, _NEW_SUBFILE_TYPE: field})

    def framed(self, block: int) -> Iterator[bytes]:
        content = self.read(block)
        return iter((struct.pack("<I", len(content)), content, content[-4:]))


@dataclass(frozen=True)
class _Level:
    image: _Image
    mask: _Image | None

    @property
    def images(self) -> tuple[_Image, ...]:
        return (self.image,) if self.mask is None else (self.image, self.mask)

    @property
    def is_interleaved(self) -> bool:
        """Whether a block of the mask comes right behind its pixels."""
        return self.mask is not None and not self.image.is_separate

    def blocks(self) -> Iterator[tuple[_Image, int]]:
        """Yield the blocks that are there, in their order in the file."""
        if self.is_interleaved:
            all_blocks = ((image, block) for block in range(len(self.image.sizes)) for image in self.images)
        else:
            all_blocks = ((image, block) for image in self.images for block in range(len(image.sizes)))
        return ((image, block) for image, block in all_blocks if image.sizes[block])


def write_in_order(levels: Sequence[LevelFiles], path: Path, progress: Progress) -> Written:
    """Write a Cloud-Optimized GeoTIFF.

    Args:
        levels: The full resolution, which has the metadata, and the overviews by falling size.
        path: Where to write.
        progress: Told the share that is written.
    """
    with ExitStack() as stack:
        full, *overviews = [_level(files, stack) for files in levels]
        reduced = [_Level(one.image.overview(), one.mask.overview() if one.mask else None) for one in overviews]
        return _write([full, *reduced], path, progress)


def _level(files: LevelFiles, stack: ExitStack) -> _Level:
    with files.directory.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        image, *others = _directories(content)
    masks = [fields for fields in others if _number(fields, _NEW_SUBFILE_TYPE) & _MASK]
    return _Level(
        _image(image, files.image, files.directory, files.blank, stack),
        _image(masks[0], files.mask, files.directory, files.blank_mask, stack) if masks else None,
    )


def _image(
    fields: _Fields, blocks: Blocks | None, directory: Path, blank: NDArray[np.bool_] | None, stack: ExitStack
) -> _Image:
    offsets, sizes = (_integers(fields[tag]) for tag in (_TILE_OFFSETS, _TILE_BYTE_COUNTS))
    if blank is not None:
        sizes[blank] = 0
    found = blocks or Blocks((directory,), np.zeros_like(sizes, "uint8"), offsets, sizes)
    others = {tag: field for tag, field in fields.items() if tag not in (_TILE_OFFSETS, _TILE_BYTE_COUNTS)}
    return _Image(stack.enter_context(found.opened()), others, found.sizes, placed=np.zeros_like(sizes))


def _directories(content: mmap.mmap) -> Iterator[_Fields]:
    order, version, _, _, position = struct.unpack_from("<2sHHHQ", content)
    if (order, version) != (b"II", 43):
        raise ValueError(f"expected a little-endian BigTIFF, found {order!r} {version}")
    while position:
        (count,) = struct.unpack_from("<Q", content, position)
        entries = range(position + 8, position + 8 + 20 * count, 20)
        yield {field.tag: field for field in (_field(content, entry) for entry in entries)}
        (position,) = struct.unpack_from("<Q", content, entries.stop)


def _number(fields: _Fields, tag: int) -> int:
    return int.from_bytes(fields[tag].values, "little") if tag in fields else 0


def _field(content: mmap.mmap, entry: int) -> _Field:
    tag, kind, count = struct.unpack_from("<HHQ", content, entry)
    size = _SIZES[kind] * count
    start = entry + 12 if size <= 8 else struct.unpack_from("<Q", content, entry + 12)[0]
    return _Field(tag, kind, count, content[start : start + size])


def _integers(field: _Field) -> Integers:
    return np.frombuffer(field.values, f"<u{_SIZES[field.kind]}").astype("uint64")


def _write(levels: Sequence[_Level], path: Path, progress: Progress) -> Written:
    full, *overviews = levels
    # As GDAL orders them: the full resolution and its mask, the overviews, their masks.
    images = [*full.images, *(one.image for one in overviews), *(one.mask for one in overviews if one.mask)]
    data = sum(int(image.sizes.sum()) + (_FRAME + 16) * len(image.sizes) for image in images)
    big = data > LARGEST_CLASSIC
    ghost = _ghost(full)
    header_size = len(_header(images, ghost, big=big))
    end = header_size
    for image, block in _blocks(levels):
        image.placed[block] = end + _FRAME // 2
        end += int(image.sizes[block]) + _FRAME
    framed = (image.framed(block) for image, block in _blocks(levels))
    pieces = chain([_header(images, ghost, big=big)], chain.from_iterable(framed))
    digest = hashlib.sha256()
    done = 0
    with path.open("wb") as file, ThreadPoolExecutor(1) as hasher:
        hashing = hasher.submit(_update, digest, [])
        for some in _gathered(pieces):
            hashing.result()
            hashing = hasher.submit(_update, digest, some)
            file.writelines(some)
            done += sum(map(len, some))
            progress(done / end)
        hashing.result()
    return Written(size=end, sha256=digest.hexdigest(), header_size=header_size + _FRAME // 2)


def _blocks(levels: Sequence[_Level]) -> Iterator[tuple[_Image, int]]:
    return chain.from_iterable(level.blocks() for level in reversed(levels))


def _update(digest: hashlib._Hash, pieces: Iterable[bytes]) -> None:
    for piece in pieces:
        digest.update(piece)


def _gathered(pieces: Iterable[bytes]) -> Iterator[list[bytes]]:
    """Yield lists of pieces that are about BUFFER bytes together."""
    waiting: list[bytes] = []
    size = 0
    for piece in pieces:
        waiting.append(piece)
        size += len(piece)
        if size >= BUFFER:
            yield waiting
            waiting, size = [], 0
    if waiting:
        yield waiting


def _ghost(full: _Level) -> bytes:
    """Return what the file says of its structure; writers that change it in place overwrite the last NO with YES."""
    said = (
        "LAYOUT=IFDS_BEFORE_DATA\nBLOCK_ORDER=ROW_MAJOR\nBLOCK_LEADER=SIZE_AS_UINT4\n"
        f"BLOCK_TRAILER=LAST_4_BYTES_REPEATED\n{'INTERLEAVE=BAND\n' if full.image.is_separate else ''}"
        f"KNOWN_INCOMPATIBLE_EDITION=NO\n {'MASK_INTERLEAVED_WITH_IMAGERY=YES\n' if full.is_interleaved else ''}"
    )
    ghost = f"GDAL_STRUCTURAL_METADATA_SIZE={len(said):06} bytes\n{said}".encode()
    return ghost + b"\0" * (len(ghost) % 2)


def _header(images: Sequence[_Image], ghost: bytes, *, big: bool) -> bytes:
    """Return all that comes before the blocks; its length does not depend on where they are placed."""
    start = 16 if big else 8
    header = bytearray(struct.pack("<2sHHHQ", b"II", 43, 8, 0, 0) if big else struct.pack("<2sHI", b"II", 42, 0))
    header += ghost
    link = start - (8 if big else 4)
    for image in images:
        struct.pack_into("<Q" if big else "<I", header, link, len(header))
        kind, form = (_LONG8, "<u8") if big else (_LONG, "<u4")
        fields = [
            *image.fields.values(),
            _Field(_TILE_OFFSETS, kind, len(image.placed), image.placed.astype(form).tobytes()),
            _Field(_TILE_BYTE_COUNTS, _LONG, len(image.sizes), image.sizes.astype("<u4").tobytes()),
        ]
        link = _append_directory(header, sorted(fields, key=lambda field: field.tag), big=big)
    return bytes(header)


def _append_directory(header: bytearray, fields: Sequence[_Field], *, big: bool) -> int:
    """Append a directory and the values that it has no room for; return where the next one's position belongs."""
    count, entry, position = ("<Q", "<HHQ8s", "<Q") if big else ("<H", "<HHI4s", "<I")
    inline = struct.calcsize(position)
    header += struct.pack(count, len(fields))
    link = len(header) + struct.calcsize(entry) * len(fields)
    values = bytearray()
    for field in fields:
        held = field.values
        if len(held) > inline:
            held = struct.pack(position, link + inline + len(values))
            values += field.values + b"\0" * (len(field.values) % 2)
        header += struct.pack(entry, field.tag, field.kind, field.count, held)
    header += bytes(inline) + values
    return link
