"""What an upload sends: exactly what `numpy.save` would write, and the files that belong together."""

from __future__ import annotations

import gzip
import io
import tarfile
import tempfile
import warnings
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stac_ingest.client.uploading import payload as payload_module
from stac_ingest.client.uploading.layers import Layers, layers_of
from stac_ingest.client.uploading.payload import CHUNK, Payload
from stac_ingest.errors import ClientError
from stac_ingest.models.bands import Layout
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


def payloads_of_arrays(arrays: Any) -> list[Payload]:
    return payload_module.payloads_of_arrays(layers_of(arrays, no_layout))


def no_layout() -> Layout:
    raise AssertionError("the product's bands are asked for a Dataset only")


def payloads_of_files(files: Any) -> list[Payload]:
    with payload_module.payloads_of_files(files) as payloads:
        return payloads


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
        (np.zeros((2, 2), bool), r"unsupported data type bool.*upload array\.astype\('uint8'\) instead"),
        (np.zeros((2, 2), complex), r"unsupported data type complex128.*numpy\.stack"),
        (np.zeros((2, 2), object), "unsupported data type object"),
        (np.zeros((2, 2), "datetime64[s]"), "unsupported data type datetime64"),
        (np.zeros((2, 2), "S3"), "unsupported data type"),
        (np.zeros((2, 2), [("a", "u1")]), "unsupported data type"),
        ([], "zero length"),
        (5, "must be an instance of ndarray"),
        (None, "must be an instance of ndarray"),
        ([BASE[0], [[1, 2]]], "index 1 is not an ndarray"),
        ("text", "must be an instance of ndarray.*upload takes files"),
        (np.float64(5), "found 0 dimensions"),
        (np.ndarray, "must be an instance of ndarray"),
    ],
    ids=lambda value: repr(value)[:30],
)
def test_arrays_that_are_no_image(arrays: Any, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        payloads_of_arrays(arrays)


def test_bands_that_seem_to_come_last_are_warned_of() -> None:
    with pytest.warns(UserWarning, match="might not have the band axis as the first"):
        payloads_of_arrays(np.zeros((40, 50, 3), "uint8"))


@pytest.mark.parametrize(
    ("shape", "warns"),
    [((3, 10, 10), True), ((100, 100, 1), True), ((2, 10, 10), False), ((1, 100, 100), False), ((10, 10), False)],
)
def test_which_shapes_seem_mistaken(shape: tuple[int, ...], warns: bool) -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        payloads_of_arrays(np.zeros(shape, "uint8"))
    assert [Path(warning.filename).name for warning in caught] == (["test_payload.py"] if warns else [])


def test_what_has_an_array_is_taken_for_it() -> None:
    class Tensor:
        def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
            return BASE[0]

    for arrays in (Tensor(), [Tensor()]):
        (payload,) = payloads_of_arrays(arrays)
        assert content(payload) == as_numpy_saves(BASE[0])


def test_arrays_that_are_given_are_left_as_they_were() -> None:
    arrays = [BASE.copy(), np.ma.MaskedArray(BASE[0].copy(), BASE[0] > 5)]
    for given in (arrays, tuple(arrays), (array for array in arrays)):
        assert [p.file.name for p in payloads_of_arrays(given)] == ["array_0.npy", "array_1.npy", "mask_1.npy"]
    np.testing.assert_array_equal(arrays[0], BASE)
    np.testing.assert_array_equal(arrays[1].mask, BASE[0] > 5)  # type: ignore[attr-defined]


def test_nothing_is_copied_of_what_is_in_order() -> None:
    array = np.zeros((3, 500, 700), "float32")
    (payload,) = payloads_of_arrays(array)
    _, *sent = payload.chunks()
    assert all(np.shares_memory(np.frombuffer(chunk, "uint8"), array) for chunk in sent)


@pytest.mark.parametrize("nodata", [0.0, 7.0, 5.5, -1.0, 1e9, np.nan])
@pytest.mark.parametrize("dtype", ["uint8", "int16", "float32"])
def test_pixels_of_the_nodata_value_are_sent_as_masked(nodata: float, dtype: str) -> None:
    pixels = (BASE % 10).astype(dtype)
    if dtype == "float32":
        pixels[:2, 5] = np.nan
    layers = Layers(planes=list(pixels), shape=pixels.shape, nodata=[nodata, None, nodata])
    sent = payload_module.payloads_of_arrays([layers])
    expected = (pixels == nodata) | np.isnan(pixels)
    expected[1] = False
    assert len(sent) == 1 + expected.any()
    assert content(sent[0]) == as_numpy_saves(pixels)
    if expected.any():
        assert content(sent[1]) == as_numpy_saves(expected)
        assert sent[1].size == len(content(sent[1]))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("a.tif", "b.jpg", "b.jgw", "b.prj", "b.txt", "bc.wld", "c.JP2", "c.J2W", "d.png", "a.tfw"):
        (tmp_path / name).write_bytes(name.encode() * 10)
    return tmp_path


def names(payloads: list[Payload]) -> list[str]:
    return [payload.file.name for payload in payloads]


def test_files_by_path_and_open(folder: Path) -> None:
    path = folder / "a.tif"
    with path.open("rb") as opened, path.open(encoding="latin-1") as text:
        opened.seek(7)
        for files in (path, str(path), opened, text, [path], (str(path),), iter([path]), [opened], {path}):
            (payload,) = payloads_of_files(files)
            assert payload.file.kind is UploadFileKind.FILE
            assert (payload.file.name, payload.size, payload.file.size) == ("a.tif", 50, 50)
            assert content(payload) == content(payload) == path.read_bytes()


class Once(io.RawIOBase):
    """A stream that cannot go back."""

    def __init__(self, held: bytes) -> None:
        self.inner = io.BytesIO(held)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        return self.inner.readinto(buffer)


class Foreign:
    """Something that reads, of no class of Python's."""

    def __init__(self, held: bytes) -> None:
        self.inner = io.BytesIO(held)

    def read(self, size: int = -1) -> bytes:
        return self.inner.read(size)


HELD = bytes(range(256)) * 10_000
WORDS = np.frombuffer(HELD, "uint16").reshape(400, -1)


@pytest.mark.parametrize(
    "make",
    [
        lambda: HELD,
        lambda: bytearray(HELD),
        lambda: memoryview(HELD),
        lambda: memoryview(WORDS),
        lambda: memoryview(np.asfortranarray(WORDS)),
        lambda: io.BytesIO(HELD),
        lambda: io.BufferedReader(Once(HELD)),
        lambda: Once(HELD),
        lambda: Foreign(HELD),
    ],
)
def test_bytes_and_streams_are_sent_whole_and_can_be_sent_again(make: Any) -> None:
    for files in (make(), [make()], (one for one in [make()])):
        with payload_module.payloads_of_files(files) as (payload,):
            assert (payload.file.name, payload.size) == ("file_0", len(HELD))
            sent = list(payload.chunks())
            assert max(map(len, sent)) <= CHUNK
            assert b"".join(sent) == content(payload) == HELD


def test_a_stream_is_sent_from_its_first_byte_or_from_where_it_stands() -> None:
    seekable, once = io.BytesIO(HELD), Once(HELD)
    seekable.seek(1000)
    once.read(1000)
    with payload_module.payloads_of_files([seekable, once]) as (whole, rest):
        assert content(whole) == HELD
        assert content(rest) == HELD[1000:]
        assert [whole.file.name, rest.file.name] == ["file_0", "file_1"]


def test_what_was_written_to_an_open_file_is_sent_too(tmp_path: Path) -> None:
    with (tmp_path / "a.tif").open("wb") as stream:
        stream.write(b"written")
        (payload,) = payloads_of_files(stream)
        assert (payload.file.name, content(payload)) == ("a.tif", b"written")
    with tempfile.NamedTemporaryFile(suffix=".tif") as temporary:
        temporary.write(b"written")
        (payload,) = payloads_of_files(temporary)
        assert (payload.file.name, content(payload)) == (Path(temporary.name).name, b"written")


def test_names_of_streams_lose_their_folders(tmp_path: Path) -> None:
    archive = tmp_path / "images.zip"
    with zipfile.ZipFile(archive, "w") as written:
        written.writestr("folder/image.jpg", HELD)
    with zipfile.ZipFile(archive) as opened, opened.open("folder/image.jpg") as stream:
        (payload,) = payloads_of_files(stream)
        assert (payload.file.name, content(payload)) == ("image.jpg", HELD)


def test_a_stream_is_never_taken_for_the_file_that_is_called_like_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    member = Path("image.tif")
    member.write_bytes(HELD)
    with zipfile.ZipFile("images.zip", "w") as zipped, tarfile.open("images.tar", "w") as tarred:
        zipped.write(member)
        tarred.add(member)
    with gzip.open("image.tif.gz", "wb") as compressed:
        compressed.write(HELD)
    member.write_bytes(b"another")
    with (
        zipfile.ZipFile("images.zip") as zipped,
        zipped.open("image.tif") as unzipped,
        tarfile.open("images.tar") as tarred,
        gzip.open("image.tif.gz") as decompressed,
        gzip.open("image.tif.gz") as inner,
        io.BufferedReader(inner) as buffered,
    ):
        for stream in (unzipped, tarred.extractfile("image.tif"), decompressed, buffered):
            with payload_module.payloads_of_files(stream) as (payload,):
                assert (payload.size, content(payload)) == (len(HELD), HELD)


def test_what_a_class_of_its_own_reads_is_sent(tmp_path: Path) -> None:
    class Inverted(io.FileIO):
        def read(self, size: int | None = -1) -> bytes:
            return bytes(255 - byte for byte in super().read(size))

    (tmp_path / "a.tif").write_bytes(b"\x00\x01")
    with Inverted(tmp_path / "a.tif") as stream, payload_module.payloads_of_files(stream) as (payload,):
        assert (payload.file.name, content(payload)) == ("file_0", b"\xff\xfe")


def test_a_closed_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.tif").write_bytes(HELD)
    with (tmp_path / "a.tif").open("rb") as stream:
        pass
    with pytest.raises(ValueError, match="closed file"):
        payloads_of_files(stream)


def test_a_file_that_lies_elsewhere_now_is_sent_as_it_was_opened(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    path.write_bytes(HELD)
    with path.open("rb") as stream:
        path.rename(tmp_path / "b.tif")
        for _ in range(2):
            with payload_module.payloads_of_files(stream) as (payload,):
                assert (payload.file.name, content(payload)) == ("a.tif", HELD)
            path.write_bytes(b"another")


@pytest.mark.parametrize(("before", "after"), [(10, 0), (10, 9), (10, 11), (CHUNK, 3 * CHUNK), (3 * CHUNK, CHUNK)])
@pytest.mark.parametrize("opened", [False, True])
def test_a_file_whose_size_changes_while_it_is_sent_is_named(
    tmp_path: Path, before: int, after: int, opened: bool
) -> None:
    path = tmp_path / "a.tif"
    path.write_bytes(bytes(before))
    with path.open("rb") as stream:
        (payload,) = payloads_of_files(stream if opened else path)
        assert len(content(payload)) == before
        path.write_bytes(bytes(after))
        sent: list[int] = []
        with pytest.raises(ClientError, match=r"'a\.tif' to have \d+ bytes.*upload it again") as caught:
            sent.extend(map(len, payload.chunks()))
        assert caught.value.code == "SIZE_MISMATCH"
        assert sum(sent) <= before


class Holder:
    """An array of some other library, which tells NumPy what it masks."""

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray[Any, Any]:
        return np.ma.MaskedArray(BASE[0], BASE[0] % 7 == 0)


def test_the_mask_of_what_is_like_an_array_is_sent_too() -> None:
    array, sent_mask = payloads_of_arrays(Holder())
    assert content(array) == as_numpy_saves(BASE[0])
    assert content(sent_mask) == as_numpy_saves(BASE[0] % 7 == 0)


def test_a_spool_is_gone_when_the_upload_is_over() -> None:
    with payload_module.payloads_of_files(Once(HELD)) as (payload,):
        assert content(payload) == HELD
    with pytest.raises(ValueError, match="closed file"):
        content(payload)


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


class Dataset(Foreign):
    """What rasterio.open returns, which reads pixels and no bytes."""

    block_shapes = ((512, 512),)

    def __init__(self) -> None:
        super().__init__(b"")


@pytest.mark.parametrize(
    ("files", "reason"),
    [
        ([], "zero length"),
        (5, "must be a path"),
        (None, "must be a path"),
        ([5], "must be a path, an open file, bytes.*found 5"),
        ([None], "must be a path"),
        (BASE, "upload_ndarray takes arrays"),
        (io.StringIO("text"), "expected bytes, found the text stream"),
        (Path(), "expected a file, found '.'"),
        ("https://example.com/a.tif", "found the address 'https://example.com/a.tif'; download it first"),
        (Dataset(), "found the dataset .*; upload its path"),
    ],
    ids=lambda value: repr(value)[:20],
)
def test_files_that_are_none(files: Any, reason: str) -> None:
    with pytest.raises(ValueError, match=f"Invalid files value.*{reason}"):
        payloads_of_files(files)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"absent\.tif"):
        payloads_of_files(tmp_path / "absent.tif")
