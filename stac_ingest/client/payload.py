"""What an upload sends: files from the disk, and arrays in NumPy's `.npy` format, without a copy of either."""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stac_ingest.models.enums import DataType, UploadFileKind
from stac_ingest.models.upload import UploadFile

CHUNK = 1024**2
SIDECAR_SUFFIXES = frozenset((
    ".wld", ".jgw", ".jpgw", ".jpegw", ".pgw", ".pngw", ".tfw", ".tifw", ".j2w", ".jp2w", ".prj",
))  # fmt: skip
"""World files, and the coordinate system beside them."""
_WITH_SIDECARS = frozenset((".jpg", ".jpeg", ".png", ".jp2", ".j2k"))
_SUSPICIOUS_BANDS = 5


@dataclass(frozen=True, kw_only=True)
class Payload:
    """One file to be sent."""

    file: UploadFile
    size: int
    chunks: Callable[[], Iterator[bytes | memoryview]]
    """Yields the bytes, anew at each call."""


def payloads_of_files(files: object) -> list[Payload]:
    """Return what is to be sent for one path or open file, or several in the order of the bands' `file_index`.

    World files and `.prj` files that lie beside a JPEG, PNG or JPEG 2000 are sent with it.

    Raises:
        ValueError: `files` is nothing of the kind, or empty.
        FileNotFoundError: A file is not there.
    """
    paths = [_path_of(file) for file in ([files] if isinstance(files, str | Path | io.IOBase) else _listed(files))]
    if not paths:
        raise ValueError("Invalid files value has zero length")
    given = set(paths)
    payloads = []
    for path in paths:
        payloads.append(_file(path))
        payloads += [_file(sidecar) for sidecar in _sidecars(path) if sidecar not in given]
    return payloads


def _listed(files: object) -> Iterable[object]:
    if not isinstance(files, Iterable) or isinstance(files, bytes):
        raise ValueError("Invalid files value: must be a path, an open file, or an iterable of the same")
    return files


def _path_of(file: object) -> Path:
    if isinstance(file, str | Path):
        return Path(file)
    name = getattr(file, "name", None)
    if not isinstance(file, io.IOBase) or not isinstance(name, str):
        raise ValueError(f"Invalid files value: must be a path or an open file that has a name, found {file!r:.100}")
    return Path(name)


def _sidecars(path: Path) -> list[Path]:
    if path.suffix.lower() not in _WITH_SIDECARS:
        return []
    return sorted(
        other for other in path.parent.iterdir() if other.stem == path.stem and other.suffix.lower() in SIDECAR_SUFFIXES
    )


def _file(path: Path) -> Payload:
    size = path.stat().st_size
    kind = UploadFileKind.SIDECAR if path.suffix.lower() in SIDECAR_SUFFIXES else UploadFileKind.FILE

    def chunks() -> Iterator[bytes]:
        with path.open("rb") as stream:
            while chunk := stream.read(CHUNK):
                yield chunk

    return Payload(file=UploadFile(kind=kind, name=path.name, size=size), size=size, chunks=chunks)


def payloads_of_arrays(arrays: object) -> list[Payload]:
    """Return what is to be sent for one array, or several in the order of the bands' `file_index`.

    Args:
        arrays: Arrays of shape (y, x) or (band, y, x); a masked array's mask is sent with it.

    Raises:
        ValueError: An array has another shape, or a type that GeoTIFF cannot store.
    """
    if isinstance(arrays, np.ndarray):
        return _array(arrays, 0)
    if not isinstance(arrays, Iterable):
        raise ValueError(f"The array must be an instance of ndarray or an Iterable of them, found {type(arrays)}")
    payloads = []
    for index, array in enumerate(arrays):
        if not isinstance(array, np.ndarray):
            raise ValueError(f"The item at index {index} is not an ndarray")
        payloads += _array(array, index)
    if not payloads:
        raise ValueError("Invalid ndarray value has zero length")
    return payloads


def _array(array: NDArray[Any], index: int) -> list[Payload]:
    check_array(array)
    payloads = [_npy(np.ma.getdata(array), UploadFileKind.ARRAY, f"array_{index}.npy")]
    if isinstance(array, np.ma.MaskedArray) and np.any(mask := np.ma.getmaskarray(array)):
        payloads.append(_npy(mask, UploadFileKind.MASK, f"mask_{index}.npy"))
    return payloads


def check_array(array: NDArray[Any]) -> None:
    """Raise ValueError for a shape or a type that no image has; warn about one that looks mistaken."""
    if array.ndim not in (2, 3):
        raise ValueError(
            "The array must have 2 dimensions (shape '(y, x)') or 3 dimensions with the band axis in the first"
            f" dimension (shape '(band, y, x)'), found {array.ndim} dimensions: {array.shape}"
        )
    if array.size == 0:
        raise ValueError(f"The array has no pixels: its shape is {array.shape}")
    try:
        DataType.from_numpy(array.dtype.newbyteorder("=").name)
    except KeyError:
        allowed = ", ".join(member.numpy for member in DataType)
        raise ValueError(f"The array has an unsupported data type {array.dtype}; it must be one of {allowed}") from None
    if array.ndim == 3 and max(array.shape[0] * _SUSPICIOUS_BANDS, 1) > min(array.shape[1:]):
        warnings.warn(
            f"The shape '{array.shape}' of the given 3d-array looks like it might not have the band axis as the first"
            " dimension. Verify that your array conforms to the shape '(band, y, x)'",
            stacklevel=5,
        )


def _npy(array: NDArray[Any], kind: UploadFileKind, name: str) -> Payload:
    buffer = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        buffer, {"descr": np.lib.format.dtype_to_descr(array.dtype), "fortran_order": False, "shape": array.shape}
    )
    header = buffer.getvalue()
    size = len(header) + array.nbytes

    def chunks() -> Iterator[bytes | memoryview]:
        yield header
        for plane in array.reshape((-1, *array.shape[-2:])) if array.flags.c_contiguous else _planes(array):
            rows = max(1, CHUNK // max(1, plane[0].nbytes))
            for start in range(0, plane.shape[0], rows):
                yield np.ascontiguousarray(plane[start : start + rows]).tobytes()

    return Payload(file=UploadFile(kind=kind, name=name, size=size), size=size, chunks=chunks)


def _planes(array: NDArray[Any]) -> Iterator[NDArray[Any]]:
    yield from (array if array.ndim == 3 else [array])
