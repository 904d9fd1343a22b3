"""The structure of a Cloud-Optimized GeoTIFF as GDAL describes it, checked without GDAL.

What is checked is what https://gdal.org/en/stable/drivers/raster/cog.html says of the order of directories and blocks,
and of what the file says of itself; tifffile reads the directories.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from tifffile import TiffFile, TiffPage

REDUCED, MASK = 1, 4
FRAME = 4
"""Bytes before a block, and as many behind it."""

Block = tuple[str, int, int]
"""What it is called, where it is, and its size."""


@dataclass(frozen=True)
class _File:
    content: bytes
    pages: Sequence[TiffPage]

    @property
    def images(self) -> list[TiffPage]:
        return [page for page in self.pages if not page.subfiletype & MASK]

    @property
    def masks(self) -> list[TiffPage]:
        return [page for page in self.pages if page.subfiletype & MASK]

    @property
    def is_interleaved(self) -> bool:
        """Whether blocks of the mask come between those of the pixels."""
        return bool(self.masks) and self.pages[0].planarconfig == 1

    @property
    def is_big(self) -> bool:
        return self.content[2:4] == b"+\0"


def faults(path: Path, factors: Sequence[int], *, masked: bool) -> list[str]:
    """Return what is wrong with a file that should have overviews of these factors, and a mask or none."""
    with TiffFile(path) as tiff:
        file = _File(path.read_bytes(), [page for page in tiff.pages if isinstance(page, TiffPage)])
        found = [*_ghost(file), *_directories(file, factors, masked=masked)]
        return found or [*_tiling(file), *_blocks(file)]


def _ghost(file: _File) -> Iterator[str]:
    start = 16 if file.is_big else 8
    if file.content[:4] not in (b"II*\0", b"II+\0"):
        yield f"it begins with {file.content[:4]!r}"
    head = re.match(rb"GDAL_STRUCTURAL_METADATA_SIZE=(\d{6}) bytes\n", file.content[start : start + 43])
    if head is None:
        yield f"no ghost area, but {file.content[start : start + 43]!r}"
        return
    text = file.content[start + 43 : start + 43 + int(head[1])].decode("ascii")
    said = [line.strip(" ") for line in text.strip("\0 ").splitlines()]
    expected = [
        "LAYOUT=IFDS_BEFORE_DATA",
        "BLOCK_ORDER=ROW_MAJOR",
        "BLOCK_LEADER=SIZE_AS_UINT4",
        "BLOCK_TRAILER=LAST_4_BYTES_REPEATED",
        *(["INTERLEAVE=BAND"] if file.pages[0].planarconfig == 2 else []),
        "KNOWN_INCOMPATIBLE_EDITION=NO",
        *(["MASK_INTERLEAVED_WITH_IMAGERY=YES"] if file.is_interleaved else []),
    ]
    if said != expected:
        yield f"the ghost area says {said}"
    # A writer that changes the file overwrites these bytes in place.
    if "KNOWN_INCOMPATIBLE_EDITION=NO\n " not in text:
        yield "there is no room for KNOWN_INCOMPATIBLE_EDITION=YES"
    first = start + 43 + int(head[1])
    first += first % 2
    if file.pages[0].offset != first:
        yield f"the first directory is at {file.pages[0].offset}, not right behind the ghost area, at {first}"


def _directories(file: _File, factors: Sequence[int], *, masked: bool) -> Iterator[str]:
    levels = len(factors)
    kinds = [page.subfiletype for page in file.pages]
    expected = [0, *([MASK] if masked else []), *[REDUCED] * levels, *[REDUCED | MASK] * (levels if masked else 0)]
    if kinds != expected:
        yield f"the kinds of images are {kinds}, not {expected}"
        return
    full = file.pages[0]
    sizes = [(-(-full.imagelength // factor), -(-full.imagewidth // factor)) for factor in (1, *factors)]
    for name, pages in (("images", file.images), ("masks", file.masks)):
        if pages and [(page.imagelength, page.imagewidth) for page in pages] != sizes:
            yield f"the sizes of the {name} are not {sizes}"
    if any(one.offset >= other.offset for one, other in pairwise(file.pages)):
        yield f"the directories are at {[page.offset for page in file.pages]}"
    for page in file.pages:
        codes = [tag.code for tag in page.tags]
        if codes != sorted(set(codes)):
            yield f"the tags of a directory are {codes}"
    if len({(page.tilelength, page.tilewidth) for page in file.pages}) > 1:
        yield "the blocks differ in size"


def _tiling(file: _File) -> Iterator[str]:
    for page in file.pages:
        across, down = -(-page.imagewidth // page.tilewidth), -(-page.imagelength // page.tilelength)
        count = across * down * (page.samplesperpixel if page.planarconfig == 2 else 1)
        if not page.is_tiled or (len(page.dataoffsets), len(page.databytecounts)) != (count, count):
            yield f"expected {count} blocks, found {len(page.dataoffsets)} and {len(page.databytecounts)}"


def _blocks(file: _File) -> Iterator[str]:
    end = max(max(page.offset + 8, *(tag.valueoffset + tag.valuebytecount for tag in page.tags)) for page in file.pages)
    # A word for the next directory, which is 0, may still follow; and values begin at even bytes.
    position = None
    for name, offset, size in _in_order(file):
        if (offset == 0) != (size == 0):
            yield f"{name} has offset {offset} and size {size}"
        if not size:
            continue
        if offset - FRAME < end:
            yield f"{name} is at {offset}, before the end of the directories, {end}"
        if position is not None and offset != position + FRAME:
            yield f"{name} is at {offset}, not at {position + FRAME}"
        (leader,) = struct.unpack_from("<I", file.content, offset - FRAME)
        if leader != size:
            yield f"{name} has {size} bytes, its leader says {leader}"
        last = file.content[offset + size - FRAME : offset + size]
        if size < FRAME or file.content[offset + size : offset + size + FRAME] != last:
            yield f"behind {name} its last four bytes are not repeated"
        position = offset + size + FRAME
    if position is not None and position != len(file.content):
        yield f"the blocks end at {position}, the file at {len(file.content)}"


def _in_order(file: _File) -> Iterator[Block]:
    """Yield all blocks in the order that they should be in."""
    masks: list[TiffPage | None] = [*file.masks] or [None] * len(file.images)
    for level, (image, mask) in reversed(list(enumerate(zip(file.images, masks, strict=True)))):
        of_image = list(_of(image, f"of level {level}"))
        of_mask = list(_of(mask, f"of the mask of level {level}")) if mask else []
        if file.is_interleaved:
            yield from (block for pair in zip(of_image, of_mask, strict=True) for block in pair)
        else:
            yield from (*of_image, *of_mask)


def _of(page: TiffPage, where: str) -> Iterator[Block]:
    for index, (offset, size) in enumerate(zip(page.dataoffsets, page.databytecounts, strict=True)):
        yield f"block {index} {where}", offset, size
