"""The object store: a folder, or a bucket by obstore.

Uploaded bytes wait under `staging/` until their image is in the catalog. Finished objects are under `assets/`; their
names contain their SHA-256 and are written create-only, so what was once read under a name is what will be read.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import hashlib
import os
import shutil
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol
from urllib.parse import quote, unquote, urlparse
from uuid import uuid4

import obstore
from obstore.exceptions import AlreadyExistsError
from obstore.exceptions import BaseError as ObstoreError

from stac_ingest.errors import RetryableUploadError

CHUNK = 1024**2
ASSETS = "assets"
STAGING = "staging"


@dataclass(frozen=True, kw_only=True)
class Written:
    """What was written."""

    size: int
    sha256: str


class Store(Protocol):
    """Objects by key; a key is a relative path of names joined by `/`."""

    url: str

    async def write(self, key: str, chunks: AsyncIterator[bytes]) -> Written:
        """Write an object from a stream; it is there when all of it is, and replaces one of the same key."""
        ...

    async def publish(self, key: str, path: Path) -> None:
        """Write an object from a file, durably and create-only; one of the same key and size is left as it is."""
        ...

    async def fetch(self, key: str, path: Path) -> None:
        """Bring an object to the local disk; raises FileNotFoundError."""
        ...

    async def size(self, key: str) -> int | None:
        """Return how many bytes an object has, or None when there is none."""
        ...

    def read(self, key: str, start: int, end: int) -> AsyncIterator[bytes]:
        """Yield the bytes from `start` up to but not including `end`."""
        ...

    async def delete(self, key: str) -> None:
        """Delete an object, if there is one."""
        ...

    async def delete_under(self, prefix: str) -> None:
        """Delete every object whose key begins with `prefix/`."""
        ...

    def local_path(self, key: str) -> Path | None:
        """Return where the object is on this machine's disk, or None for a store that is elsewhere."""
        ...


def open_store(url: str) -> Store:
    """Return the store at an address such as `file:///srv/store` or `s3://bucket/prefix`."""
    parsed = urlparse(url)
    if parsed.scheme == "file":
        return LocalStore(Path(unquote(parsed.path)))
    return ObjectStore(url)


def href(store: Store, key: str) -> str:
    """Return where an object is, as the catalog records it."""
    return f"{store.url}/{quote(key, safe='/:')}"


class LocalStore:
    """A folder. Files are synced to the disk before they get their name."""

    def __init__(self, root: Path) -> None:
        self.root = root.resolve()
        self.url = self.root.as_uri()

    def local_path(self, key: str) -> Path:
        """Return the object's path; a key cannot lead out of the folder."""
        path = self.root.joinpath(*key.split("/"))
        if ".." in path.parts or "\x00" in key or not path.is_relative_to(self.root):
            raise FileNotFoundError(key)
        return path

    async def write(self, key: str, chunks: AsyncIterator[bytes]) -> Written:
        """Stream to a temporary file beside, sync it, and rename it."""
        path = self.local_path(key)
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(f".{uuid4().hex}.part")
        digest, size = hashlib.sha256(), 0
        try:
            with partial.open("wb") as stream:
                async for chunk in chunks:
                    await asyncio.to_thread(_take, stream, digest, chunk)
                    size += len(chunk)
                await asyncio.to_thread(_sync, stream)
            partial.replace(path)
        finally:
            partial.unlink(missing_ok=True)
        await asyncio.to_thread(_sync_folder, path.parent)
        return Written(size=size, sha256=digest.hexdigest())

    async def publish(self, key: str, path: Path) -> None:
        """Link the file under its final name, or copy it there first when it is on another disk."""
        await asyncio.to_thread(self._publish, self.local_path(key), path)

    def _publish(self, target: Path, path: Path) -> None:
        target.parent.mkdir(parents=True, exist_ok=True)
        partial = target.with_name(f".{uuid4().hex}.part")
        try:
            _link_or_copy(path, partial)
            with partial.open("rb+") as stream:
                _sync(stream)
            partial.chmod(0o644)
            with contextlib.suppress(FileExistsError):
                os.link(partial, target)
        finally:
            partial.unlink(missing_ok=True)
        _sync_folder(target.parent)
        _check_same_size(str(target.name), target.stat().st_size, path)

    async def fetch(self, key: str, path: Path) -> None:
        """Link the object to `path`; the object itself is never changed through it."""
        await asyncio.to_thread(_link_or_copy, self.local_path(key), path)

    async def size(self, key: str) -> int | None:
        """Return the file's size."""
        try:
            path = self.local_path(key)
            return path.stat().st_size if path.is_file() else None
        except (FileNotFoundError, NotADirectoryError):
            return None

    async def read(self, key: str, start: int, end: int) -> AsyncIterator[bytes]:
        """Yield the file's bytes in chunks."""
        with self.local_path(key).open("rb") as stream:
            stream.seek(start)
            while start < end and (chunk := await asyncio.to_thread(stream.read, min(CHUNK, end - start))):
                start += len(chunk)
                yield chunk

    async def delete(self, key: str) -> None:
        """Remove the file."""
        self.local_path(key).unlink(missing_ok=True)

    async def delete_under(self, prefix: str) -> None:
        """Remove the folder."""
        await asyncio.to_thread(shutil.rmtree, self.local_path(prefix), ignore_errors=True)


def _take(stream: object, digest: object, chunk: bytes) -> None:
    digest.update(chunk)  # type: ignore[attr-defined]
    stream.write(chunk)  # type: ignore[attr-defined]


def _sync(stream: object) -> None:
    stream.flush()  # type: ignore[attr-defined]
    os.fsync(stream.fileno())  # type: ignore[attr-defined]


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _link_or_copy(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError as error:
        if error.errno not in (errno.EXDEV, errno.EPERM, errno.EMLINK, errno.EOPNOTSUPP):
            raise
        shutil.copyfile(source, target)


def _check_same_size(key: str, stored: int | None, path: Path) -> None:
    if stored != path.stat().st_size:
        raise RetryableUploadError(
            "STORAGE_FAILED",
            f"Expected {path.stat().st_size} bytes in the store as {key!r}, found {stored}; remove the damaged object.",
        )


class ObjectStore:
    """A bucket of S3, Google Cloud Storage or Azure, by obstore; credentials come from its usual variables."""

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")
        self._store = obstore.store.from_url(self.url)

    def local_path(self, key: str) -> None:
        """Return None: the objects are elsewhere."""

    async def write(self, key: str, chunks: AsyncIterator[bytes]) -> Written:
        """Stream by multipart upload."""
        digest, size = hashlib.sha256(), 0

        async def counted() -> AsyncIterator[bytes]:
            nonlocal size
            async for chunk in chunks:
                digest.update(chunk)
                size += len(chunk)
                yield chunk

        await obstore.put_async(self._store, key, counted())
        return Written(size=size, sha256=digest.hexdigest())

    async def publish(self, key: str, path: Path) -> None:
        """Upload create-only."""
        try:
            with contextlib.suppress(AlreadyExistsError):
                await obstore.put_async(self._store, key, path, mode="create")
            stored = await self.size(key)
        except ObstoreError as error:
            raise RetryableUploadError(
                "STORAGE_UNAVAILABLE", f"The object store did not take {key!r}: {error}; is it reachable?"
            ) from error
        _check_same_size(key, stored, path)

    async def fetch(self, key: str, path: Path) -> None:
        """Download to `path`."""
        found = await obstore.get_async(self._store, key)
        with path.open("wb") as stream:
            async for chunk in found.stream(min_chunk_size=CHUNK):
                await asyncio.to_thread(stream.write, chunk)

    async def size(self, key: str) -> int | None:
        """Ask for the object's size."""
        try:
            return (await obstore.head_async(self._store, key))["size"]
        except FileNotFoundError:
            return None

    async def read(self, key: str, start: int, end: int) -> AsyncIterator[bytes]:
        """Yield ranges of the object."""
        while start < end:
            stop = min(start + CHUNK, end)
            yield bytes(await obstore.get_range_async(self._store, key, start=start, end=stop))
            start = stop

    async def delete(self, key: str) -> None:
        """Delete the object; some services say when there was none."""
        with contextlib.suppress(FileNotFoundError):
            await obstore.delete_async(self._store, key)

    async def delete_under(self, prefix: str) -> None:
        """Delete the objects one listing after the other."""
        async for page in obstore.list(self._store, prefix):
            await obstore.delete_async(self._store, [entry["path"] for entry in page])
