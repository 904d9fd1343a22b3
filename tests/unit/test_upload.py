"""Uploads as objects, against a service that is made up: what is asked of it, and how often."""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import httpx2
import pytest

from stac_ingest.client.connection import Client
from stac_ingest.client.deletion import DeletionTaskStatus
from stac_ingest.client.reading.request import together
from stac_ingest.client.uploading.payload import payloads_of_files
from stac_ingest.client.uploading.uploads import ImageUpload, ImageUploadCollection, transfer, upload_images
from stac_ingest.errors import ClientError, NotFoundError, UploadFailedError
from stac_ingest.models.enums import ImageUploadStatus
from stac_ingest.models.image import Image
from stac_ingest.models.upload import ImageUploadOptions, Upload

Json = dict[str, Any]
NOW = "2024-01-01T00:00:00Z"
STORY: list[Json] = [
    {"event_type": "queue", "message": "Waiting for a worker."},
    {"event_type": "progress", "message": "read: 40% done", "share": 0.4},
]


def document(**more: Any) -> Json:
    return {
        "id": str(uuid4()),
        "collection": "p:q",
        "item": "a",
        "status": "pending",
        "attempt": 0,
        "image": {},
        "options": {},
        "files": [],
        "created": NOW,
        "modified": NOW,
        **more,
    }


def event(**more: Any) -> Json:
    return {"id": "1", "event_datetime": NOW, "component": "worker", "severity": "INFO", **more}


@dataclass
class MadeUp:
    """A service that knows some uploads, and what it was asked."""

    uploads: dict[str, Json] = field(default_factory=dict)
    asked: list[httpx2.URL] = field(default_factory=list)
    methods: list[str] = field(default_factory=list)
    lies: bool = False

    def __call__(self, request: httpx2.Request) -> httpx2.Response:
        self.asked.append(request.url)
        self.methods.append(f"{request.method} {request.url.path.rpartition('/')[2]}")
        if request.method == "PUT":
            content = b"another" if self.lies else request.read()
            return httpx2.Response(200, json={"sha256": hashlib.sha256(content).hexdigest()})
        if request.method == "POST":
            if request.url.path.endswith("/uploads"):
                opened = document(**json.loads(request.read()))
                self.uploads[opened["id"]] = {**opened, "files": []}
                return httpx2.Response(201, json={"id": opened["id"]})
            return httpx2.Response(200, json=self.uploads[request.url.path.split("/")[2]])
        if request.url.path == "/uploads":
            wanted = request.url.params["id"].split(",")
            found = [self.uploads[upload] for upload in wanted if upload in self.uploads]
            return httpx2.Response(200, json={"uploads": [{**one, "events": []} for one in found], "links": []})
        found_one = self.uploads.get(request.url.path.rpartition("/")[2])
        return httpx2.Response(200, json=found_one) if found_one else httpx2.Response(404, json={"detail": "none"})

    def client(self) -> Client:
        return Client("http://made.up", retries=0, transport=httpx2.MockTransport(self))

    def add(self, client: Client, **more: Any) -> ImageUpload:
        known = document(**more)
        self.uploads[known["id"]] = known
        return ImageUpload(client, Upload.model_validate(known))


@pytest.fixture
def service() -> MadeUp:
    return MadeUp()


def test_the_states_of_many_are_asked_for_with_one_request(service: MadeUp) -> None:
    with service.client() as client:
        uploads = ImageUploadCollection(service.add(client) for _ in range(100))
        uploads.reload()
        assert [url.path for url in service.asked] == ["/uploads"]
        for upload in uploads[:2]:
            service.uploads[upload.id] |= {"status": "success", "events": [event(**one) for one in STORY]}
        service.asked.clear()
        uploads.reload()
        assert [url.path for url in service.asked] == ["/uploads", *(f"/uploads/{one.id}" for one in uploads[:2])]
        assert uploads.counts == {ImageUploadStatus.PENDING: 98, ImageUploadStatus.SUCCESS: 2}
        assert [len(upload.events) for upload in uploads[:3]] == [2, 2, 0]
        service.asked.clear()
        uploads.reload()
        assert len(service.asked[0].params["id"].split(",")) == 98


def test_more_than_one_request_names_are_asked_for_in_several(service: MadeUp) -> None:
    with service.client() as client:
        ImageUploadCollection(service.add(client) for _ in range(250)).reload()
    assert [len(url.params["id"].split(",")) for url in service.asked] == [100, 100, 50]


def test_an_upload_that_is_gone_is_not_waited_for(service: MadeUp) -> None:
    with service.client() as client:
        uploads = ImageUploadCollection([service.add(client)])
        service.uploads.clear()
        with pytest.raises(NotFoundError):
            uploads.wait_for_completion(5, progress=False)


def test_uploads_of_several_services_are_awaited_together() -> None:
    services = MadeUp(), MadeUp()
    with services[0].client() as one, services[1].client() as other:
        uploads = ImageUploadCollection(
            [services[0].add(one, status="success"), services[0].add(one), services[1].add(other)]
        )
        uploads.reload()
    assert [len(service.asked) for service in services] == [1, 1]


def test_what_is_shown_of_an_upload(service: MadeUp) -> None:
    problem = {"code": "EMPTY_FILE", "message": "a <file> of 0 bytes"}
    with service.client() as client:
        running = service.add(client, status="running", events=[event(**one) for one in STORY])
        failed = service.add(client, status="failure", problem=problem, events=[event(**STORY[1])])
    assert "p:q:a" in repr(running)
    assert "progress: 40%" in repr(running)
    assert "progress" not in repr(failed)
    assert "problem: EMPTY_FILE: a <file> of 0 bytes" in repr(failed)
    assert "a &lt;file&gt; of 0 bytes" in failed._repr_html_()
    assert "<td>Waiting for a worker.</td>" in running._repr_html_()
    both = ImageUploadCollection([running, failed])
    assert "1 running, 1 failure" in repr(both)
    assert repr(both).splitlines()[1:3] == ["  p:q:a: running", "  p:q:a: failure, EMPTY_FILE"]
    assert "<td>failure</td><td>EMPTY_FILE: a &lt;file&gt; of 0 bytes</td>" in both._repr_html_()
    assert both[:1].counts == {ImageUploadStatus.RUNNING: 1}


def test_the_bar_of_notebooks_is_imported_only_to_be_shown(service: MadeUp, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a notebook without ipywidgets the import of tqdm.auto warns."""
    monkeypatch.setitem(sys.modules, "tqdm.auto", None)
    with service.client() as client:
        uploads = ImageUploadCollection([service.add(client, status="success")])
        deletion = DeletionTaskStatus(client, "p:q", None)
        deletion.wait_for_completion()
        uploads.wait_for_completion(progress=False)
        assert list(upload_images([], progress=False)) == []
        assert list(together(str, [1, 2], progress=None)) == ["1", "2"]
        for shown in (
            lambda: uploads.wait_for_completion(),
            lambda: upload_images([]),
            lambda: deletion.wait_for_completion(progress=True),
            lambda: list(together(str, [1, 2], progress=True)),
        ):
            with pytest.raises(ImportError, match=r"tqdm\.auto"):
                shown()


@pytest.mark.parametrize("status", ImageUploadStatus)
def test_raise_for_status_in_each_state(service: MadeUp, status: ImageUploadStatus) -> None:
    with service.client() as client:
        upload = service.add(client, status=status)
    if status in (ImageUploadStatus.FAILURE, ImageUploadStatus.CANCELED):
        with pytest.raises(UploadFailedError, match=r"^p:q:a: "):
            upload.raise_for_status()
    else:
        upload.raise_for_status()


IMAGE = Image(product_id="p:q", name="a", acquired=NOW)


def test_a_transfer_opens_sends_and_submits(service: MadeUp) -> None:
    with service.client() as client, payloads_of_files([b"one", b"two"]) as payloads:
        upload = transfer(client, IMAGE, payloads, ImageUploadOptions())
    assert service.methods == ["POST uploads", "PUT 0", "PUT 1", "POST submit"]
    assert upload.id in service.uploads


def test_bytes_that_arrive_changed_end_the_upload(service: MadeUp) -> None:
    service.lies = True
    with (
        service.client() as client,
        payloads_of_files(b"one") as payloads,
        pytest.raises(ClientError, match="'file_0' arrived with the SHA-256") as caught,
    ):
        transfer(client, IMAGE, payloads, ImageUploadOptions())
    assert caught.value.code == "CHECKSUM_MISMATCH"
    assert service.methods == ["POST uploads", "PUT 0", "POST cancel"]


def test_an_interrupt_ends_the_upload(service: MadeUp) -> None:
    with service.client() as client, payloads_of_files(b"one") as (payload,):

        def interrupted() -> Iterator[bytes]:
            raise KeyboardInterrupt
            yield b""

        broken = type(payload)(file=payload.file, size=payload.size, chunks=interrupted)
        with pytest.raises(KeyboardInterrupt):
            transfer(client, IMAGE, [broken], ImageUploadOptions())
    assert service.methods == ["POST uploads", "POST cancel"]
