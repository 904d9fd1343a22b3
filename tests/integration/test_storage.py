"""The object store: a folder and a bucket (obstore's in-memory one) behave alike."""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from obstore.store import MemoryStore

from api.assets import read_asset
from stac_ingest.errors import RetryableUploadError
from stac_ingest.storage import LocalStore, ObjectStore, Store, href, open_store

Make = Callable[[], Store]


@pytest.fixture(params=["folder", "bucket"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    if request.param == "folder":
        return LocalStore(tmp_path / "store")
    bucket = ObjectStore("memory:///")
    bucket._store = MemoryStore()
    return bucket


def run[T](steps: Coroutine[Any, Any, T]) -> T:
    return asyncio.run(steps)


async def stream(*chunks: bytes) -> AsyncIterator[bytes]:
    for chunk in chunks:
        yield chunk


async def broken() -> AsyncIterator[bytes]:
    yield b"half"
    raise ConnectionResetError("the client went away")


async def content(store: Store, key: str) -> bytes:
    size = await store.size(key)
    assert size is not None
    return b"".join([chunk async for chunk in store.read(key, 0, size)])


def test_a_stream_is_counted_and_hashed(store: Store) -> None:
    written = run(store.write("staging/a/0", stream(b"hello ", b"world")))
    assert written.size == 11
    assert written.sha256 == hashlib.sha256(b"hello world").hexdigest()
    assert run(content(store, "staging/a/0")) == b"hello world"


def test_an_empty_stream_is_an_empty_object(store: Store) -> None:
    assert run(store.write("staging/a/0", stream())).size == 0
    assert run(store.size("staging/a/0")) == 0


def test_writing_again_replaces(store: Store) -> None:
    run(store.write("staging/a/0", stream(b"first")))
    run(store.write("staging/a/0", stream(b"second")))
    assert run(content(store, "staging/a/0")) == b"second"


def test_a_stream_that_breaks_off_leaves_nothing(store: Store) -> None:
    with pytest.raises(Exception, match="went away"):
        run(store.write("staging/a/0", broken()))
    assert run(store.size("staging/a/0")) is None


def test_what_is_published_is_never_changed(store: Store, tmp_path: Path) -> None:
    first, same_size, longer = (tmp_path / name for name in ("first", "second", "third"))
    first.write_bytes(b"AAAA")
    same_size.write_bytes(b"BBBB")
    longer.write_bytes(b"CCCCCC")
    run(store.publish("assets/p/i/x.tif", first))
    run(store.publish("assets/p/i/x.tif", same_size))
    assert run(content(store, "assets/p/i/x.tif")) == b"AAAA"
    with pytest.raises(RetryableUploadError, match="6 bytes"):
        run(store.publish("assets/p/i/x.tif", longer))
    assert run(content(store, "assets/p/i/x.tif")) == b"AAAA"


def test_many_publishers_of_one_name_make_one_object(store: Store, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"pixels")

    async def publish_all() -> None:
        await asyncio.gather(*(store.publish("assets/p/i/x.tif", path) for _ in range(20)))

    run(publish_all())
    assert run(content(store, "assets/p/i/x.tif")) == b"pixels"


def test_objects_are_brought_to_the_local_disk(store: Store, tmp_path: Path) -> None:
    run(store.write("staging/a/0", stream(b"bytes")))
    run(store.fetch("staging/a/0", tmp_path / "here"))
    assert (tmp_path / "here").read_bytes() == b"bytes"
    with pytest.raises(FileNotFoundError):
        run(store.fetch("staging/a/1", tmp_path / "nothing"))


def test_ranges_are_read_exactly(store: Store) -> None:
    data = os.urandom(3 * 1024**2 + 17)
    run(store.write("staging/a/0", stream(data)))

    async def read(start: int, end: int) -> bytes:
        return b"".join([chunk async for chunk in store.read("staging/a/0", start, end)])

    for start, end in ((0, 1), (5, 1024**2 + 5), (len(data) - 3, len(data)), (0, len(data))):
        assert run(read(start, end)) == data[start:end]


def test_everything_under_a_prefix_is_deleted_and_nothing_else(store: Store) -> None:
    for key in ("staging/a/0", "staging/a/1", "staging/ab/0"):
        run(store.write(key, stream(b"x")))
    run(store.delete_under("staging/a"))
    run(store.delete_under("staging/none"))
    assert [run(store.size(key)) for key in ("staging/a/0", "staging/a/1", "staging/ab/0")] == [None, None, 1]


def test_one_object_is_deleted_if_it_is_there(store: Store) -> None:
    for key in ("staging/a/0", "staging/a/01"):
        run(store.write(key, stream(b"x")))
    for _ in range(2):
        run(store.delete("staging/a/0"))
    assert [run(store.size(key)) for key in ("staging/a/0", "staging/a/01")] == [None, 1]


@pytest.mark.parametrize("key", ["../outside", "assets/../../outside", "assets/\x00"])
def test_a_key_cannot_lead_out_of_the_folder(tmp_path: Path, key: str) -> None:
    store = LocalStore(tmp_path / "store")
    assert run(store.size(key)) is None
    with pytest.raises(FileNotFoundError):
        run(store.write(key, stream(b"x")))
    assert not (tmp_path / "outside").exists()


def test_a_folder_is_never_seen_half_written(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)

    async def slow() -> AsyncIterator[bytes]:
        yield b"first half"
        assert await store.size("staging/a/0") is None
        yield b"second half"

    run(store.write("staging/a/0", slow()))
    assert not list(tmp_path.rglob("*.part"))


def test_addresses(tmp_path: Path) -> None:
    folder = open_store((tmp_path / "a b").as_uri())
    assert isinstance(folder, LocalStore)
    assert folder.root == tmp_path / "a b"
    assert href(folder, "assets/usda:naip/i/x.tif") == f"{(tmp_path / 'a b').as_uri()}/assets/usda:naip/i/x.tif"


@pytest.mark.parametrize("asked", ["bytes=0-" + "9" * 5000, "bytes=" + "1" * 5000 + "-", "bytes=\u0661-", "bytes=-"])
def test_a_range_of_a_bucket_that_cannot_be_is_overlooked(asked: str) -> None:
    bucket = ObjectStore("memory:///")
    bucket._store = MemoryStore()
    key = "p/a/data-0123456789abcdef.tif"
    run(bucket.write(f"assets/{key}", stream(b"bytes")))
    state = SimpleNamespace(store=bucket)
    request: Any = SimpleNamespace(app=SimpleNamespace(state=state), headers={"range": asked}, method="HEAD")
    answer = run(read_asset(key, request))
    assert (answer.status_code, answer.headers["content-length"]) == (200, "5")
