"""What an upload sends: exactly what `numpy.save` would write, and the files that belong together."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stac_ingest.client.payload import CHUNK, Payload, payloads_of_arrays, payloads_of_files
from stac_ingest.models.enums import UploadFileKind

BASE = np.arange(3 * 40 * 50, dtype="uint16").reshape(3, 40, 50)
ARRAYS: dict[str, np.ndarray[Any, Any]] = {
    "2-d": BASE[0],
    "3-d": BASE,
    "one band": BASE[:1],
    "Fortran": np.asfortranarray(BASE),
    "Fortran 2-d": np.asfortranarray(BASE[0]),
    "strided": BASE[:, ::2, ::3],
    "reversed": BASE[:, ::-1, ::-1],
    "transposed": BASE[0].T,
    "moved axis": np.moveaxis(np.ascontiguousarray(np.moveaxis(BASE, 0, -1)), -1, 0),
    "broadcast": np.broadcast_to(BASE[0], (3, 40, 50)),
    "big-endian": BASE.astype(">u2"),
    "float16": BASE.astype("float16"),
    "int64": BASE.astype("int64"),
    "read-only": np.frombuffer(BASE.tobytes(), "uint16").reshape(BASE.shape),
    "1 x 1": BASE[0, :1, :1],
    "one wide row": np.arange(3_000_000, dtype="uint8").reshape(1, -1),
    "larger than a chunk": np.arange(2_000_000, dtype="uint16").reshape(2, 1000, 1000),
}


def content(payload: Payload) -> bytes:
    return b"".join(bytes(chunk) for chunk in payload.chunks())


def as_numpy_saves(array: np.ndarray[Any, Any]) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, np.ascontiguousarray(array), allow_pickle=False)
    return buffer.getvalue()


@pytest.mark.parametrize("name", ARRAYS)
@pytest.mark.filterwarnings("ignore:The shape")
def test_an_array_is_sent_as_numpy_saves_it(name: str) -> None:
    array = ARRAYS[name]
    (payload,) = payloads_of_arrays(array)
    sent = content(payload)
    assert sent == as_numpy_saves(array)
    assert payload.size == payload.file.size == len(sent)
    assert content(payload) == sent, "the bytes can be sent again"
    assert (payload.file.kind, payload.file.name) == (UploadFileKind.ARRAY, "array_0.npy")
    loaded = np.load(io.BytesIO(sent), allow_pickle=False)
    assert loaded.dtype == array.dtype
    np.testing.assert_array_equal(loaded, array)


@pytest.mark.filterwarnings("ignore:The shape")
def test_chunks_stay_small() -> None:
    (payload,) = payloads_of_arrays(np.zeros((3, 1000, 1000), "float64"))
    assert max(len(chunk) for chunk in payload.chunks()) <= CHUNK


def test_a_mask_is_sent_with_its_array() -> None:
    mask = np.zeros((40, 50), bool)
    mask[3:7] = True
    array, sent_mask = payloads_of_arrays(np.ma.MaskedArray(BASE[0], mask))
    assert content(array) == as_numpy_saves(BASE[0])
    assert content(sent_mask) == as_numpy_saves(mask)
    assert (sent_mask.file.kind, sent_mask.file.name) == (UploadFileKind.MASK, "mask_0.npy")

    for nothing_masked in (np.ma.MaskedArray(BASE[0]), np.ma.MaskedArray(BASE[0], np.zeros((40, 50), bool))):
        assert len(payloads_of_arrays(nothing_masked)) == 1

    strided = np.ma.MaskedArray(BASE, np.broadcast_to(mask, BASE.shape))[:, ::2, ::-1]
    array, sent_mask = payloads_of_arrays(strided)
    assert content(array) == as_numpy_saves(strided.data)
    assert content(sent_mask) == as_numpy_saves(np.ma.getmaskarray(strided))


def test_several_arrays_keep_their_order() -> None:
    mask = BASE[0] > 100
    sent = payloads_of_arrays([BASE[0], np.ma.MaskedArray(BASE[1], mask), BASE[2]])
    assert [p.file.name for p in sent] == ["array_0.npy", "array_1.npy", "mask_1.npy", "array_2.npy"]
    assert content(sent[2]) == as_numpy_saves(mask)


@pytest.mark.parametrize(
    ("arrays", "reason"),
    [
        (np.zeros(5), "found 1 dimensions"),
        (np.zeros((1, 1, 2, 2)), "found 4 dimensions"),
        (np.zeros((0, 5)), "no pixels"),
        (np.zeros((3, 0, 5)), "no pixels"),
        (np.zeros((2, 2), bool), "unsupported data type bool"),
        (np.zeros((2, 2), complex), "unsupported data type complex128"),
        (np.zeros((2, 2), object), "unsupported data type object"),
        (np.zeros((2, 2), "datetime64[s]"), "unsupported data type datetime64"),
        (np.zeros((2, 2), "S3"), "unsupported data type"),
        (np.zeros((2, 2), [("a", "u1")]), "unsupported data type"),
        ([], "zero length"),
        (5, "must be an instance of ndarray"),
        (None, "must be an instance of ndarray"),
        ([BASE[0], [[1, 2]]], "index 1 is not an ndarray"),
        ("text", "index 0 is not an ndarray"),
    ],
    ids=lambda value: repr(value)[:30],
)
def test_arrays_that_are_no_image(arrays: Any, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        payloads_of_arrays(arrays)


def test_bands_that_seem_to_come_last_are_warned_of() -> None:
    with pytest.warns(UserWarning, match="might not have the band axis as the first"):
        payloads_of_arrays(np.zeros((40, 50, 3), "uint8"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("a.tif", "b.jpg", "b.jgw", "b.prj", "b.txt", "bc.wld", "c.JP2", "c.J2W", "d.png", "a.tfw"):
        (tmp_path / name).write_bytes(name.encode() * 10)
    return tmp_path


def names(payloads: list[Payload]) -> list[str]:
    return [payload.file.name for payload in payloads]


def test_files_by_path_and_open(folder: Path) -> None:
    path = folder / "a.tif"
    with path.open("rb") as opened:
        for files in (path, str(path), opened, [path], (str(path),), iter([path]), [opened]):
            (payload,) = payloads_of_files(files)
            assert payload.file.kind is UploadFileKind.FILE
            assert (payload.file.name, payload.size, payload.file.size) == ("a.tif", 50, 50)
            assert content(payload) == content(payload) == path.read_bytes()


def test_sidecars_are_found_beside(folder: Path) -> None:
    sent = payloads_of_files([folder / "a.tif", folder / "b.jpg", folder / "c.JP2", folder / "d.png"])
    assert names(sent) == ["a.tif", "b.jpg", "b.jgw", "b.prj", "c.JP2", "c.J2W", "d.png"]
    kinds = {payload.file.name: payload.file.kind for payload in sent}
    assert [name for name, kind in kinds.items() if kind is UploadFileKind.SIDECAR] == ["b.jgw", "b.prj", "c.J2W"]


def test_sidecars_that_are_given_are_sent_once(folder: Path) -> None:
    sent = payloads_of_files([folder / "b.jpg", folder / "b.prj"])
    assert names(sent) == ["b.jpg", "b.jgw", "b.prj"]
    assert sent[-1].file.kind is UploadFileKind.SIDECAR


def test_a_name_with_signs_of_patterns(tmp_path: Path) -> None:
    for name in ("a[1].jpg", "a[1].jgw", "a1.jgw"):
        (tmp_path / name).write_bytes(b"x")
    assert names(payloads_of_files(tmp_path / "a[1].jpg")) == ["a[1].jpg", "a[1].jgw"]


@pytest.mark.parametrize(
    ("files", "reason"),
    [
        ([], "zero length"),
        (5, "must be a path"),
        (None, "must be a path"),
        (b"bytes", "must be a path"),
        ([5], "must be a path or an open file"),
        (io.BytesIO(b"x"), "must be a path or an open file that has a name"),
    ],
    ids=lambda value: repr(value)[:20],
)
def test_files_that_are_none(files: Any, reason: str) -> None:
    with pytest.raises(ValueError, match=f"Invalid files value.*{reason}"):
        payloads_of_files(files)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"absent\.tif"):
        payloads_of_files(tmp_path / "absent.tif")
