"""Canceling uploads at any moment, and many uploads at once, against a running service."""

from __future__ import annotations

import contextlib
import io
import time
from collections.abc import Iterator
from typing import Any

import httpx2
import numpy as np
import pytest

from stac_ingest import (
    ConflictError,
    DocumentState,
    Image,
    ImageUploadStatus,
)
from stac_ingest.client.connection import Client
from stac_ingest.client.uploading.uploads import upload_images
from stac_ingest.errors import UploadFailedError
from tests.api.images import (
    DAY,
    META,
    NOISE,
    TRANSFORM,
    array_done,
    new,
    staged_of,
    wait_until,
)
from tests.conftest import GeotiffMaker, ProductMaker, Service, upload_done

# --- Canceling


def test_cancel_while_it_runs_leaves_nothing_behind(service: Service, make_product: ProductMaker) -> None:
    product = make_product("blue")
    large = np.random.default_rng(0).integers(0, 60_000, (6000, 6000)).astype("uint16")
    image = new(product)
    upload = image.upload_ndarray(large, raster_meta=META)
    scratch = service.data_dir / "scratch"
    wait_until(lambda: bool(list(scratch.glob(f"{upload.id}-*/*/1.blocks"))))
    upload.cancel()
    assert upload.status is ImageUploadStatus.CANCELED
    upload.cancel()
    wait_until(lambda: not list(scratch.glob(f"{upload.id}*")) and not staged_of(service, upload))
    upload.reload()
    assert [str(event.event_type) for event in upload.events if event.severity == "INFO"] == ["queue", "run", "cancel"]
    assert image.state is DocumentState.UNSAVED
    assert not Image.exists(image.id, image._client)
    assert not list((service.data_dir / "store" / "assets").glob(f"{product.id}/**/*"))
    array_done(new(product), NOISE[0])


def test_cancel_at_any_moment_gives_an_image_or_nothing(
    service: Service, make_product: ProductMaker, make_geotiff: GeotiffMaker
) -> None:
    product, path = make_product("blue"), make_geotiff()
    ends = []
    for number in range(8):
        image = new(product, f"image{number}")
        upload = image.upload(path)
        time.sleep(number * 0.12)
        with contextlib.suppress(ConflictError):
            upload.cancel()
        upload.wait_for_completion(60)
        scratch = f"scratch/{upload.id}*"
        wait_until(lambda: not staged_of(service, upload) and not list(service.data_dir.glob(scratch)))  # noqa: B023
        ends.append(upload.status)
        succeeded = upload.status is ImageUploadStatus.SUCCESS
        assert Image.exists(image.id, image._client) is succeeded
        kept = list((service.data_dir / "store" / "assets").glob(f"{product.id}/{image.name}/blue-*"))
        assert len(kept) == succeeded
    assert set(ends) <= {ImageUploadStatus.CANCELED, ImageUploadStatus.SUCCESS}
    assert ImageUploadStatus.CANCELED in ends


def test_cancel_after_the_end_names_the_state(make_product: ProductMaker, make_geotiff: GeotiffMaker) -> None:
    upload = upload_done(new(make_product("blue")), make_geotiff())
    with pytest.raises(ConflictError, match="success already"):
        upload.cancel()


# --- Many


def test_many_uploads_are_started_and_awaited_together(
    make_product: ProductMaker, make_geotiff: GeotiffMaker, capsys: pytest.CaptureFixture[str]
) -> None:
    product, path = make_product("blue"), make_geotiff()

    def pairs() -> Iterator[tuple[Image, Any]]:
        yield new(product, "path"), path
        yield new(product, "absent"), path.with_name("absent.tif")
        yield new(product, "array"), NOISE[0]
        yield new(product, "list"), [NOISE[1]]
        yield new(product, "empty"), b""
        yield new(product, "stream"), io.BytesIO(path.read_bytes())
        yield new(product, "generator"), (file for file in [path])

    place = {"geotrans": TRANSFORM.to_gdal(), "cs_code": "EPSG:32633"}
    placed = [(Image(product=product, name=i.name, acquired=DAY, **place), files) for i, files in pairs()]
    uploads = upload_images(iter(placed), threads=2)
    assert [upload.image_id.rpartition(":")[2] for upload in uploads] == [
        *("path", "array", "list", "empty", "stream", "generator")
    ]
    ((failed, reason),) = uploads.errors
    assert (failed.name, type(reason)) == ("absent", FileNotFoundError)
    uploads.wait_for_completion(60)
    shown = capsys.readouterr().err
    assert "transferring" in shown
    assert "processing" in shown
    assert "6/6" in shown
    assert uploads.counts == {ImageUploadStatus.SUCCESS: 5, ImageUploadStatus.FAILURE: 1}
    assert "5 success, 1 failure" in repr(uploads)
    assert "not started" in repr(uploads)
    with pytest.raises(BaseExceptionGroup, match="2 of 7 images were not uploaded") as caught:
        uploads.raise_for_status()
    assert [type(error) for error in caught.value.exceptions] == [FileNotFoundError, UploadFailedError]
    assert "absent" in caught.value.exceptions[0].__notes__[0]
    assert all(upload.image is not None and upload.image.x_pixels for upload in uploads[:3])


def test_a_generator_of_images_is_taken_as_threads_become_free(
    service: Service, make_product: ProductMaker, make_geotiff: GeotiffMaker
) -> None:
    product, path = make_product("blue"), make_geotiff()
    opened = 0

    class Counting(httpx2.BaseTransport):
        inner = httpx2.HTTPTransport()

        def handle_request(self, request: httpx2.Request) -> httpx2.Response:
            nonlocal opened
            opened += request.url.path.endswith("/submit")
            return self.inner.handle_request(request)

        def close(self) -> None:
            self.inner.close()

    ahead = []
    with Client(service.url, transport=Counting()) as client:

        def images() -> Iterator[tuple[Image, Any]]:
            for number in range(6):
                ahead.append(number - opened)
                yield Image(client, product_id=product.id, name=f"image{number}", acquired=DAY), path

        uploads = upload_images(images(), threads=2, progress=False)
        assert max(ahead) <= 2
        uploads.wait_for_completion(60, progress=False)
        uploads.raise_for_status()


def test_the_uploads_of_a_product_are_found_and_awaited(make_product: ProductMaker, make_geotiff: GeotiffMaker) -> None:
    product, path = make_product("blue"), make_geotiff()
    started = [new(product, f"image{number}").upload(path) for number in range(3)]
    found = product.image_uploads().collect()
    assert list(found) == started[::-1]
    found.wait_for_completion(60, progress=False)
    found.raise_for_status()
    assert all(upload.image and upload.image.x_pixels == 60 for upload in found)


def test_no_uploads_at_all() -> None:
    uploads = upload_images([], progress=False)
    uploads.wait_for_completion(1, progress=False)
    uploads.raise_for_status()
    assert (len(uploads), uploads.counts) == (0, {})
