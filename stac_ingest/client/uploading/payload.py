"""What an upload sends: files, streams and bytes as they are, and arrays in NumPy's `.npy` format, without a copy."""

from __future__ import annotations

import io
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from stac_ingest.client.uploading.layers import Layers
from stac_ingest.errors import ClientError
from stac_ingest.models.enums import DataType, UploadFileKind
from stac_ingest.models.upload import UploadFile

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

CHUNK = 1024**2
SIDECAR_SUFFIXES = frozenset((
    ".wld", ".jgw", ".jpgw", ".jpegw", ".pgw", ".pngw", ".tfw", ".tifw", ".j2w", ".jp2w", ".prj",
))  # fmt: skip
"""World files, and the coordinate system beside them."""
_WITH_SIDECARS = frozenset((".jpg", ".jpeg", ".png", ".jp2", ".j2k"))
_EXPECTED = "must be a path, an open file, bytes, or an iterable of the same"


@dataclass(frozen=True, kw_only=True)
class Payload:
    """One file to be sent."""

    file: UploadFile
    size: int
    chunks: Callable[[], Iterator[bytes | memoryview]]
    """Yields the bytes, anew at each call."""


@contextmanager
def payloads_of_files(files: object) -> Iterator[list[Payload]]:
    """Give what is to be sent for one file, or several in the order of the bands' `file_index`.

    All of them can be read when the block begins. World files and `.prj` files that lie beside a JPEG, PNG or JPEG 2000
    are sent with it.

    Args:
        files: A path; an open file, which is sent from its first byte; a stream without a file, which is sent from its
            first byte, or from where it stands if it cannot go back; the bytes themselves; or an iterable of these.

    Raises:
        ValueError: `files` is nothing of the kind, or empty.
        OSError: A file is not there, or cannot be read.
    """
    listed = [files] if _is_one(files) else list(_iterated(files))
    if not listed:
        raise ValueError("Invalid files value has zero length")
    with ExitStack() as spools:
        sources = [_source(file, index, spools) for index, file in enumerate(listed)]
        given = {source for source in sources if isinstance(source, Path)}
        payloads = []
        for source in sources:
            if isinstance(source, Payload):
                payloads.append(source)
            else:
                payloads.append(_file(source))
                payloads += [_file(sidecar) for sidecar in _sidecars(source) if sidecar not in given]
        yield payloads


def _is_one(files: object) -> bool:
    return isinstance(files, str | os.PathLike | bytes | bytearray | memoryview) or hasattr(files, "read")


def _iterated(files: object) -> Iterable[object]:
    if hasattr(files, "__array__"):
        raise ValueError(f"Invalid files value: {_EXPECTED}, found {type(files)}; upload_ndarray takes arrays")
    if not isinstance(files, Iterable):
        raise ValueError(f"Invalid files value: {_EXPECTED}, found {type(files)}")
    return files


def _source(file: Any, index: int, spools: ExitStack) -> Path | Payload:
    if isinstance(file, str) and "://" in file:
        raise ValueError(f"Invalid files value: {_EXPECTED}, found the address {file!r:.100}; download it first")
    if isinstance(file, str | os.PathLike):
        return Path(file)
    if isinstance(file, bytes | bytearray | memoryview):
        view = memoryview(file)
        flat = view.cast("B") if view.c_contiguous else memoryview(view.tobytes())
        return _payload(_name_of(file, index), flat.nbytes, lambda: _slices(flat))
    if hasattr(file, "block_shapes"):
        raise ValueError(f"Invalid files value: {_EXPECTED}, found the dataset {file!r:.100}; upload its path")
    if not hasattr(file, "read"):
        raise ValueError(f"Invalid files value: {_EXPECTED}, found {file!r:.100}")
    if (path := _path_of(file)) is not None:
        return path
    if isinstance(file, io.TextIOBase):
        raise ValueError(f"Invalid files value: expected bytes, found the text stream {file!r:.100}")
    return _stream(file, _name_of(file, index), spools)


def _path_of(file: Any) -> Path | None:
    """Return the file on the disk that a stream reads unchanged, with what was written to it so far."""
    raw: Any = file.file if isinstance(file, tempfile._TemporaryFileWrapper) else file
    if type(raw) is io.TextIOWrapper:
        raw = raw.buffer
    if type(raw) in (io.BufferedReader, io.BufferedWriter, io.BufferedRandom):
        raw = raw.raw
    if type(raw) is not io.FileIO or not isinstance(raw.name, str):  # one that is derived may read something else
        return None
    if file.writable():
        file.flush()
    path = Path(raw.name)
    return path if path.exists() and os.path.samestat(os.fstat(raw.fileno()), path.stat()) else None


def _name_of(file: object, index: int) -> str:
    name = getattr(file, "name", None)
    last = re.split(r"[/\\]", name)[-1] if isinstance(name, str) else ""
    return last if re.fullmatch(r"[^\x00-\x1f]{1,255}", last) else f"file_{index}"


def _stream(stream: Any, name: str, spools: ExitStack) -> Payload:
    """Return the payload of a stream; one that cannot go back is spooled, so that it can be sent again."""
    if not (hasattr(stream, "seekable") and stream.seekable()):
        spool = spools.enter_context(tempfile.TemporaryFile())  # noqa: SIM115 - `spools` closes it
        shutil.copyfileobj(stream, spool, CHUNK)
        stream = spool
    size = stream.seek(0, os.SEEK_END)

    def chunks() -> Iterator[bytes]:
        stream.seek(0)
        yield from _read(stream)

    return _payload(name, size, chunks)


def _read(stream: BinaryIO) -> Iterator[bytes]:
    while chunk := stream.read(CHUNK):
        yield chunk


def _slices(view: memoryview) -> Iterator[memoryview]:
    for start in range(0, len(view), CHUNK):
        yield view[start : start + CHUNK]


def _sidecars(path: Path) -> list[Path]:
    if path.suffix.lower() not in _WITH_SIDECARS:
        return []
    return sorted(
        other for other in path.parent.iterdir() if other.stem == path.stem and other.suffix.lower() in SIDECAR_SUFFIXES
    )


def _file(path: Path) -> Payload:
    if path.exists() and not path.is_file():
        raise ValueError(f"Invalid files value: expected a file, found {str(path)!r}, which is none")
    with path.open("rb") as stream:
        size = os.fstat(stream.fileno()).st_size

    def chunks() -> Iterator[bytes]:
        with path.open("rb") as stream:
            yield from _read(stream)

    return _payload(path.name, size, chunks)


def _payload(name: str, size: int, chunks: Callable[[], Iterator[bytes | memoryview]]) -> Payload:
    sidecar = Path(name).suffix.lower() in SIDECAR_SUFFIXES
    kind = UploadFileKind.SIDECAR if sidecar else UploadFileKind.FILE

    def counted() -> Iterator[bytes | memoryview]:
        sent = 0
        for chunk in chunks():
            sent += len(chunk)
            if sent > size:
                break
            yield chunk
        if sent != size:
            raise ClientError(
                f"Expected {name!r} to have {size} bytes, found {'more' if sent > size else sent}: it changed while it"
                " was sent; upload it again when nothing writes to it any more.",
                code="SIZE_MISMATCH",
            )

    return Payload(file=UploadFile(kind=kind, name=name, size=size), size=size, chunks=counted)


def payloads_of_arrays(files: Sequence[Layers]) -> list[Payload]:
    """Return what is to be sent for arrays in the order of the bands' `file_index`; masks are sent with them."""
    payloads = []
    for index, layers in enumerate(files):
        payloads.append(_npy(UploadFileKind.ARRAY, f"array_{index}.npy", layers.dtype, layers.shape, layers.pixels))
        if layers.is_masked:
            payloads.append(_npy(UploadFileKind.MASK, f"mask_{index}.npy", "bool", layers.shape, layers.invalid))
    return payloads


def _npy(
    kind: UploadFileKind,
    name: str,
    dtype: np.dtype[Any] | str,
    shape: tuple[int, ...],
    blocks: Callable[[], Iterator[NDArray[Any]]],
) -> Payload:
    import numpy as np

    stored = np.dtype(dtype)
    buffer = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        buffer, {"descr": np.lib.format.dtype_to_descr(stored), "fortran_order": False, "shape": shape}
    )
    header = buffer.getvalue()
    size = len(header) + stored.itemsize * int(np.prod(shape, dtype="int64"))

    def chunks() -> Iterator[bytes | memoryview]:
        yield header
        for block in blocks():
            yield from _slices(memoryview(np.ascontiguousarray(block)).cast("B"))

    file = UploadFile(kind=kind, name=name, size=size)
    if kind is UploadFileKind.ARRAY:
        file = file.evolve(data_type=DataType.from_numpy(stored.newbyteorder("=").name), shape=shape)
    return Payload(file=file, size=size, chunks=chunks)
