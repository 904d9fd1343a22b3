"""How long a codec alone takes for the blocks of a GeoTIFF and its overviews, which were decoded before.

Nobody who encodes with it can be faster: there is no reader, no writer, and no overview to make. It is run by
`benchmarks.cog` in the peers' environment, for it is imagecodecs that encodes, and nothing of ours:

    .venv-peers/bin/python -m benchmarks.codec COG RESULT.json
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.windows import Window

Pixels = NDArray[Any]

Encode = Callable[[Pixels], bytes | bytearray | memoryview]

CODECS: dict[str, Encode] = {
    "ISA-L": lambda pixels: imagecodecs.isal_encode(pixels, 1 if pixels.itemsize == 1 else 2),
    "libdeflate 1": lambda pixels: imagecodecs.deflate_encode(pixels, 1),
    "libdeflate 6": lambda pixels: imagecodecs.deflate_encode(pixels, 6),
}
"""What our writer encodes with, and what GDAL does."""
BATCH_BYTES = 256 * 1024**2
"""So many pixels are decoded before the clock runs; threads wait for each other only between batches."""


def main() -> None:
    """Write, for each codec, the seconds that it took and the bytes that came out."""
    source, result = (Path(text) for text in sys.argv[1:])
    totals = {name: {"seconds": 0.0, "bytes": 0} for name in CODECS}
    with ThreadPoolExecutor(os.cpu_count()) as encoders:
        for blocks in batches(source):
            for name, encode in CODECS.items():
                began = time.perf_counter()
                sizes = list(encoders.map(partial(encoded_size, encode=encode), blocks))
                totals[name]["seconds"] += time.perf_counter() - began
                totals[name]["bytes"] += sum(sizes)
    result.write_text(json.dumps(totals))


def batches(path: Path) -> Iterator[list[Pixels]]:
    """Yield the blocks (y, x, band) of all levels, as many at once as memory is meant to hold."""
    batch: list[Pixels] = []
    for block in blocks_of(path):
        batch.append(block)
        if sum(block.nbytes for block in batch) >= BATCH_BYTES:
            yield batch
            batch = []
    yield batch


def blocks_of(path: Path) -> Iterator[Pixels]:
    """Yield the blocks of the image and of its overviews, whole at the edges too, but none that is all nodata."""
    with rasterio.open(path) as file:
        levels = [{}, *({"overview_level": level} for level in range(len(file.overviews(1))))]
    for options in levels:
        with rasterio.open(path, **options) as file:
            side = file.block_shapes[0][0]
            for row in range(0, file.height, side):
                # A row of blocks at once: GDAL decodes it on all cores.
                strip = file.read(
                    window=Window(0, row, file.width, min(side, file.height - row)), out_dtype=file.dtypes[0]
                )
                for column in range(0, file.width, side):
                    pixels = strip[:, :, column : column + side]
                    if file.nodata is None or (pixels != file.nodata).any():
                        yield np.ascontiguousarray(np.moveaxis(padded(pixels, side), 0, -1))


def padded(pixels: Pixels, side: int) -> Pixels:
    """Repeat the last row and column until the block is whole."""
    _, height, width = pixels.shape
    return np.pad(pixels, ((0, 0), (0, side - height), (0, side - width)), mode="edge")


def encoded_size(pixels: Pixels, *, encode: Encode) -> int:
    """Encode a block with the predictor of TIFF that suits it, and return how many bytes came out."""
    predict = imagecodecs.floatpred_encode if pixels.dtype.kind == "f" else imagecodecs.delta_encode
    return len(encode(predict(pixels, axis=1)))


if __name__ == "__main__":
    main()
