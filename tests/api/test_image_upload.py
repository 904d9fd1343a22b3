"""Uploading files by the SDK against a running service; the oracle is what rasterio reads of the source."""

from __future__ import annotations

import io
import tempfile
import zipfile
from collections.abc import Callable
from concurrent.futures import TimeoutError as FuturesTimeoutError
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
import pytest
import rasterio
from rasterio.enums import Resampling
from rasterio.vrt import WarpedVRT

from stac_ingest import (
    AttributeValidationError,
    DataType,
    DocumentState,
    File,
    GeoContext,
    Image,
    ImageUpload,
    ImageUploadEventSeverity,
    ImageUploadOptions,
    ImageUploadStatus,
    OverviewResampler,
    SpectralBand,
    StorageState,
)
from stac_ingest.client.connection import Client
from stac_ingest.client.uploading.uploads import ImageUploadCollection
from stac_ingest.errors import ClientError, ServerError, UploadFailedError
from tests.api.images import (
    DAY,
    META,
    NOISE,
    TRANSFORM,
    new,
    read,
    stored,
    uploads_of,
    wait_until,
)
from tests.conftest import GeotiffMaker, ProductMaker, Service, upload_done
from tests.raster.control_points import HEIGHT, PLACES, WIDTH, save_swath


class Unseekable(io.RawIOBase):
    """A stream that is read once, such as a response."""

    def __init__(self, content: bytes) -> None:
        self._inner = io.BytesIO(content)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        return self._inner.readinto(buffer)


def as_text_file(path: Path) -> Any:
    return path.open(encoding="latin-1")


def at_its_end(path: Path) -> Any:
    stream = io.BytesIO(path.read_bytes())
    stream.seek(0, io.SEEK_END)
    return stream


def in_a_zip(path: Path) -> Any:
    archive = path.with_suffix(".zip")
    with zipfile.ZipFile(archive, "w") as written:
        written.write(path, "folder/image.tif")
    return zipfile.ZipFile(archive).open("folder/image.tif")


def just_written(path: Path) -> Any:
    stream = tempfile.NamedTemporaryFile(suffix=".tif")  # noqa: SIM115 - the test closes it
    stream.write(path.read_bytes())
    return stream


# --- Files


def test_files_of_every_kind_become_the_same_image(make_product: ProductMaker, make_geotiff: GeotiffMaker) -> None:
    product, path = make_product("blue"), make_geotiff()
    kinds: dict[str, Callable[[Path], Any]] = {
        "text": str,
        "text-file": as_text_file,
        "bytes-io": at_its_end,
        "unseekable": lambda file: Unseekable(file.read_bytes()),
        "zip": in_a_zip,
        "temporary": just_written,
        "bytes": Path.read_bytes,
        "generator": lambda file: (one for one in [file.read_bytes()]),
    }
    uploads = ImageUploadCollection()
    for name, open_as in kinds.items():
        files = open_as(path)
        uploads.append(new(product, name).upload(files))
        if hasattr(files, "close"):
            files.close()
    uploads.wait_for_completion(60, progress=False)
    uploads.raise_for_status()
    with rasterio.open(path) as source:
        expected = source.read()
    for upload in uploads:
        assert upload.image is not None
        np.testing.assert_array_equal(read(upload.image, "blue").filled(0), expected, upload.image.name)


def test_a_swath_is_placed_by_its_control_points(make_product: ProductMaker, tmp_path: Path) -> None:
    product = make_product("vv")
    path = save_swath(tmp_path / "swath.tif", PLACES["across 180"])

    image = upload_done(new(product), path).image

    assert image is not None
    assert image.geometry is not None
    assert image.geometry["type"] == "MultiPolygon"
    assert (image.geotrans, image.cs_code, image.x_pixels, image.y_pixels) == (None, None, WIDTH, HEIGHT)
    with rasterio.open(path) as source, stored(image, "vv") as cog, WarpedVRT(source, add_alpha=True) as warped:
        np.testing.assert_array_equal(cog.read(), source.read())
        array, info = image.ndarray("vv", raster_info=True)
        assert info["geoTransform"] == pytest.approx(warped.transform.to_gdal(), abs=1e-9)
        assert (array.filled(0)[0] == warped.read(1)).mean() > 0.999
        assert (np.ma.getmaskarray(array)[0] == (warped.read(2) == 0)).mean() > 0.999
    there = image.ndarray("vv", image.geocontext)
    assert np.abs(np.subtract(there.shape, array.shape)).max() <= 3
    assert not np.ma.getmaskarray(image.ndarray("vv", GeoContext(bounds=(179.9, 61.9, -179.9, 62.1)))).any()


def test_bands_spread_over_several_files(make_product: ProductMaker, make_geotiff: GeotiffMaker) -> None:
    product = make_product("red", "green")
    SpectralBand(product=product, name="nir", file_index=1).save()
    visible, infrared = make_geotiff("rg.tif", count=2, seed=1), make_geotiff("nir.tif", seed=2, dtype="uint8")
    image = new(product)
    upload = upload_done(image, (file for file in (visible, infrared.read_bytes())))
    upload.raise_for_status()
    for asset, path in (("data", visible), ("nir", infrared)):
        with rasterio.open(path) as source:
            np.testing.assert_array_equal(read(image, asset).filled(0), source.read())
    assert [file.href for file in image.files] == [image.item["assets"][key]["href"] for key in ("data", "nir")]


def test_files_get_the_overviews_that_are_asked_for(make_product: ProductMaker, make_geotiff: GeotiffMaker) -> None:
    product, path = make_product("blue"), make_geotiff(size=(64, 64))
    options = ImageUploadOptions(upload_type="ndarray", overviews=[2, 4, 8], overview_resampler="nearest")
    by_options, by_arguments = new(product, "options"), new(product, "arguments")
    upload_done(by_options, path, upload_options=options).raise_for_status()
    upload_done(
        by_arguments, path, upload_options=options, overviews=np.array([2, 4]), overview_resampler=Resampling.average
    ).raise_for_status()
    with stored(by_options, "blue") as cog, stored(by_arguments, "blue") as other, rasterio.open(path) as source:
        assert (cog.overviews(1), other.overviews(1)) == ([2, 4, 8], [2, 4])
        shape = (32, 32)
        pixels = source.read(1)
        np.testing.assert_array_equal(cog.read(1, out_shape=shape), pixels[::2, ::2])
        averages = pixels.reshape(32, 2, 32, 2).mean(axis=(1, 3))
        assert np.abs(other.read(1, out_shape=shape) - averages).max() <= 0.5


PROFILE = {"codec": "ZSTD", "level": 5, "block_size": 256, "overviews": [2, 4], "overview_resampler": "nearest"}


def test_files_are_written_as_the_product_says(make_product: ProductMaker, make_geotiff: GeotiffMaker) -> None:
    product, path = make_product("blue", "green", cog_profile=PROFILE), make_geotiff(size=(600, 700), count=2)
    image = new(product)
    upload_done(image, path).raise_for_status()
    with stored(image) as cog, rasterio.open(path) as source:
        assert cog.compression.name == "zstd"
        assert cog.block_shapes == [(256, 256)] * 2
        assert cog.overviews(1) == [2, 4]
        pixels = source.read()
        np.testing.assert_array_equal(cog.read(), pixels)
        np.testing.assert_array_equal(cog.read(out_shape=(2, 300, 350)), pixels[:, ::2, ::2])
    asset = image.item["assets"]["data"]
    assert (asset["ingest:overviews"], asset["ingest:overview_resampler"]) == ([2, 4], "nearest")
    assert image.item["properties"]["processing:lineage"].endswith("pixels, unchanged, overviews by nearest")


def test_what_an_upload_asks_for_wins_over_its_product(make_product: ProductMaker, make_geotiff: GeotiffMaker) -> None:
    product, path = make_product("blue", cog_profile=PROFILE), make_geotiff(size=(64, 64))
    by_factors, by_resampler = new(product, "factors"), new(product, "resampler")
    upload_done(by_factors, path, overviews=[8]).raise_for_status()
    upload_done(by_resampler, path, overview_resampler="average").raise_for_status()
    for image, expected in ((by_factors, ([8], "nearest")), (by_resampler, ([2, 4], "average"))):
        asset = image.item["assets"]["blue"]
        assert (asset["ingest:overviews"], asset["ingest:overview_resampler"]) == expected
        with stored(image, "blue") as cog:
            assert (cog.overviews(1), cog.compression.name) == (expected[0], "zstd")


def test_an_image_says_that_its_product_loses_something(make_product: ProductMaker, make_geotiff: GeotiffMaker) -> None:
    product = make_product("red", "green", "blue", data_type=DataType.BYTE, cog_profile={"codec": "JPEG"})
    image = new(product)
    upload_done(image, make_geotiff(dtype="uint8", count=3)).raise_for_status()
    with stored(image) as cog:
        assert cog.compression.name == "jpeg"
    assert "pixels, changed by lossy compression (JPEG)" in image.item["properties"]["processing:lineage"]


def test_bands_that_the_codec_cannot_hold_fail_at_the_latest_when_files_are_written(
    make_product: ProductMaker, make_geotiff: GeotiffMaker
) -> None:
    product = make_product("red", "green", data_type=DataType.BYTE, cog_profile={"codec": "JPEG"})
    upload = upload_done(new(product), make_geotiff("two.tif", dtype="uint8", count=2))
    with pytest.raises(UploadFailedError, match="Expected for JPEG 1 or 3 bands of uint8, found 2 of uint8") as caught:
        upload.raise_for_status()
    assert caught.value.code == "UNSUPPORTED_DATA_TYPE"


def test_options_may_be_a_dictionary(make_product: ProductMaker, make_geotiff: GeotiffMaker) -> None:
    product, options = make_product("blue"), {"overviews": [2], "overwrite": True}
    upload = new(product).upload(make_geotiff(), options)  # type: ignore[arg-type]
    assert (upload.image_upload_options.overviews, upload.image_upload_options.overwrite) == ((2,), True)
    with pytest.raises(AttributeValidationError, match="ImageUploadOptions: over: Extra inputs"):
        new(product, "b").upload(make_geotiff(), {"over": True})  # type: ignore[arg-type]


def test_options_say_what_was_asked(make_product: ProductMaker, make_geotiff: GeotiffMaker) -> None:
    given = ImageUploadOptions(overviews=(2,), overview_resampler=OverviewResampler.MODE)
    upload = new(make_product("blue")).upload(make_geotiff(), given, overviews=[2, 3])
    asked = upload.image_upload_options
    assert (asked.upload_type, asked.overviews, asked.overview_resampler) == ("file", (2, 3), "mode")
    assert given.overviews == (2,)


def test_a_file_that_is_missing_opens_no_upload(
    http: httpx2.Client, make_product: ProductMaker, make_geotiff: GeotiffMaker, tmp_path: Path
) -> None:
    product = make_product("blue")
    SpectralBand(product=product, name="red", file_index=1).save()
    for absent, error in (("absent.tif", FileNotFoundError), (tmp_path, ValueError), (5, ValueError)):
        with pytest.raises(error):
            new(product).upload([make_geotiff(), absent])
    assert uploads_of(http, product) == []


@pytest.mark.parametrize("overviews", [0, 4, [], [1], [-1, 2], [2, 2], ["a"], [2.5], [True], list(range(2, 19))])
def test_impossible_overviews_open_no_upload(
    http: httpx2.Client, make_product: ProductMaker, make_geotiff: GeotiffMaker, overviews: Any
) -> None:
    product = make_product("blue")
    with pytest.raises(AttributeValidationError, match="1 to 16 different whole numbers greater than 1"):
        new(product).upload(make_geotiff(), overviews=overviews)
    with pytest.raises(AttributeValidationError, match="1 to 16 different whole numbers greater than 1"):
        new(product).upload_ndarray(NOISE[0], raster_meta=META, overviews=overviews)
    assert uploads_of(http, product) == []


@pytest.mark.parametrize("resampler", ["average_mp", "AVERAGE_MAGPHASE"])
def test_resamplers_that_gdal_never_finished(make_product: ProductMaker, resampler: str) -> None:
    with pytest.raises(AttributeValidationError, match="GDAL never finished"):
        new(make_product("blue")).upload_ndarray(NOISE[0], raster_meta=META, overview_resampler=resampler)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (OverviewResampler.CUBICSPLINE, "cubicspline"),
        (Resampling.cubic_spline, "cubicspline"),
        ("cubic_spline", "cubicspline"),
        ("NEAR", "nearest"),
        (Resampling.nearest, "nearest"),
        ("Gauss", "gauss"),
    ],
)
def test_resamplers_by_the_names_of_the_field(given: Any, expected: str) -> None:
    assert ImageUploadOptions(overview_resampler=given).overview_resampler == expected


def test_preconditions_in_their_order(
    client: Client, make_product: ProductMaker, make_geotiff: GeotiffMaker, http: httpx2.Client
) -> None:
    product, path = make_product("blue"), make_geotiff()
    with pytest.raises(ValueError, match="acquired field required"):
        Image(product=product, name="a").upload("absent.tif")
    with pytest.raises(ValueError, match="acquired field required"):
        Image(product=product, name="a").upload_ndarray("nothing")
    first = new(product)
    upload_done(first, path).raise_for_status()
    with pytest.raises(ValueError, match=f"Image {product.id}:a has been saved. Please use an unsaved image"):
        first.upload(path, overwrite=True)
    with pytest.raises(ValueError, match=r"already exists in the catalog\. Please either use a new image id or overwr"):
        new(product).upload(path)
    with pytest.raises(ValueError, match=f"Product {product.id}:unsaved has not been saved"):
        Image(client, product_id=f"{product.id}:unsaved", name="a", acquired=DAY).upload(path)
    assert len(uploads_of(http, product)) == 1


def test_an_image_is_unsaved_until_its_upload_has_succeeded(
    make_product: ProductMaker, make_geotiff: GeotiffMaker
) -> None:
    image = new(make_product("blue"), tags=["kept"])
    upload = image.upload(make_geotiff())
    assert upload.image is image
    assert (image.state, image.x_pixels) == (DocumentState.UNSAVED, None)
    upload.wait_for_completion(60)
    upload.raise_for_status()
    assert (image.state, image.x_pixels, image.y_pixels) == (DocumentState.SAVED, 60, 40)
    assert (image.cs_code, image.geotrans, image.tags) == ("EPSG:32633", TRANSFORM.to_gdal(), ["kept"])
    assert image.files[0].size_bytes


def test_overwriting_is_asked_for_by_argument_or_option(make_product: ProductMaker, make_geotiff: GeotiffMaker) -> None:
    product = make_product("blue")
    upload_done(new(product), make_geotiff()).raise_for_status()
    for seed, asked in ((1, {"overwrite": True}), (2, {"upload_options": ImageUploadOptions(overwrite=True)})):
        image, path = new(product), make_geotiff(seed=seed)
        upload_done(image, path, **asked).raise_for_status()
        with rasterio.open(path) as source:
            np.testing.assert_array_equal(read(image, "blue").filled(0), source.read())


def test_a_remote_image_becomes_available_by_an_upload(make_product: ProductMaker, make_geotiff: GeotiffMaker) -> None:
    product = make_product("blue")
    polygon = {"type": "Polygon", "coordinates": [[[15, 45], [15.1, 45], [15.1, 45.1], [15, 45]]]}
    remote = new(
        product,
        storage_state=StorageState.REMOTE,
        geometry=polygon,
        files=[File(href="https://example.com/image.tif")],
    )
    remote.save()
    upload_done(new(product), make_geotiff(), overwrite=True).raise_for_status()
    remote.reload()
    assert (remote.storage_state, remote.x_pixels) == (StorageState.AVAILABLE, 60)


# --- The transfer


class Breaking(httpx2.BaseTransport):
    """A network on which the first requests that carry bytes break off in their middle."""

    def __init__(self, breaks: int) -> None:
        self.left = breaks
        self._inner = httpx2.HTTPTransport()

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        if request.method == "PUT" and self.left:
            self.left -= 1
            assert isinstance(request.stream, httpx2.SyncByteStream)
            next(iter(request.stream))
            raise httpx2.WriteError("broken off")
        return self._inner.handle_request(request)

    def close(self) -> None:
        self._inner.close()


def test_a_transfer_that_breaks_off_is_sent_again(
    service: Service, make_product: ProductMaker, make_geotiff: GeotiffMaker
) -> None:
    product, path = make_product("blue"), make_geotiff()
    sources = {"path": path, "stream": Unseekable(path.read_bytes()), "array": NOISE[0]}
    for name, source in sources.items():
        with Client(service.url, transport=Breaking(1)) as client:
            image = Image(client, product_id=product.id, name=name, acquired=DAY)
            upload = image.upload_ndarray(source, raster_meta=META) if name == "array" else image.upload(source)
            upload.wait_for_completion(60)
            upload.raise_for_status()
            with rasterio.open(path) as expected:
                pixels = NOISE[:1] if name == "array" else expected.read()
            np.testing.assert_array_equal(read(image, "blue").filled(0), pixels)


class Losing(httpx2.BaseTransport):
    """A network that loses the first answer to each request that changes something, and is slow to notice."""

    def __init__(self, http: httpx2.Client) -> None:
        self.asked: list[str] = []
        self._http = http
        self._inner = httpx2.HTTPTransport()

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        answer = self._inner.handle_request(request)
        address = request.url.path
        if request.method == "GET":
            return answer
        self.asked.append(f"{request.method} {address.rpartition('/')[2]}")
        if self.asked.count(self.asked[-1]) > 1:
            return answer
        answer.read()
        if address.endswith("/submit"):
            wait_until(lambda: "problem" in (upload := self._of(address)) or upload["status"] == "success")
        raise httpx2.ReadError("the answer is lost")

    def _of(self, address: str) -> dict[str, Any]:
        found: dict[str, Any] = self._http.get(address.removesuffix("/submit")).json()
        return found

    def close(self) -> None:
        self._inner.close()


def test_answers_that_are_lost_make_one_image_however_long_that_took(
    service: Service, http: httpx2.Client, make_product: ProductMaker, make_geotiff: GeotiffMaker
) -> None:
    product, path = make_product("blue"), make_geotiff()
    for name, content in (("good", path), ("bad", b"not an image")):
        with Client(service.url, transport=(network := Losing(http))) as client:
            image = Image(client, product_id=product.id, name=name, acquired=DAY)
            upload = image.upload(content)
            ImageUploadCollection([upload]).wait_for_completion(60, progress=False)
            assert network.asked == ["POST uploads"] * 2 + ["PUT 0"] * 2 + ["POST submit"] * 2
            assert upload.status == ("success" if name == "good" else "failure")
            assert (image.state, image.x_pixels) == (("saved", 60) if name == "good" else ("unsaved", None))
    assert len(uploads_of(http, product)) == 2


def test_a_transfer_that_breaks_off_for_good_frees_the_name(
    service: Service, http: httpx2.Client, make_product: ProductMaker, make_geotiff: GeotiffMaker
) -> None:
    product = make_product("blue")
    with Client(service.url, retries=0, transport=Breaking(9)) as client:
        image = Image(client, product_id=product.id, name="a", acquired=DAY)
        with pytest.raises(ServerError, match="broken off"):
            image.upload(make_geotiff())
    assert [upload["status"] for upload in uploads_of(http, product)] == ["canceled"]
    upload_done(new(product), make_geotiff()).raise_for_status()


# --- The upload as an object


def test_the_event_log_tells_the_story_in_its_order(make_product: ProductMaker, make_geotiff: GeotiffMaker) -> None:
    upload = upload_done(new(make_product("blue")), make_geotiff())
    types = [str(event.event_type) for event in upload.events]
    assert list(dict.fromkeys(types)) == ["queue", "run", "progress", "usage", "complete"]
    assert len(types) < 12
    assert [event.event_datetime for event in upload.events] == sorted(e.event_datetime for e in upload.events)
    shares = [event.share for event in upload.events if event.event_type == "progress"]
    assert all(share is not None and 0.1 <= share <= 1 for share in shares)
    (usage,) = (event for event in upload.events if event.event_type == "usage")
    assert f"{make_geotiff().stat().st_size} bytes read" in usage.message
    assert {event.component for event in upload.events} == {"api", "worker"}


def test_a_failure_gives_its_reason(make_product: ProductMaker) -> None:
    upload = new(make_product("blue")).upload(io.BytesIO())
    upload.wait_for_completion(60)
    assert upload.status is ImageUploadStatus.FAILURE
    last = upload.events[-1]
    assert (last.event_type, last.severity) == ("complete", ImageUploadEventSeverity.ERROR)
    assert "EMPTY_FILE" in last.message
    with pytest.raises(UploadFailedError, match=f"{upload.image_id}: EMPTY_FILE: .*0 bytes") as caught:
        upload.raise_for_status()
    assert caught.value.code == "EMPTY_FILE"
    assert "EMPTY_FILE" in repr(upload)


def test_waiting_ends_when_time_is_up(http: httpx2.Client, client: Client, make_product: ProductMaker) -> None:
    product = make_product("blue")
    body = {"image": {"name": "a", "acquired": DAY}, "files": [{"name": "blue.tif"}]}
    opened = http.post(f"/collections/{product.id}/uploads", json=body).json()
    upload = ImageUpload.get(opened["id"], client)
    assert upload is not None
    with pytest.raises(FuturesTimeoutError, match=r"is transferring after 0\.3 seconds"):
        upload.wait_for_completion(timeout=0.3)
    with pytest.raises(FuturesTimeoutError, match=r"1 transferring after 0\.3 seconds"):
        ImageUploadCollection([upload]).wait_for_completion(0.3, progress=False)
    upload.raise_for_status()
    upload.cancel()
    upload.wait_for_completion()
    with pytest.raises(UploadFailedError, match="was canceled"):
        upload.raise_for_status()


class Flickering(httpx2.BaseTransport):
    """A service that is away the first time that it is asked for a state."""

    def __init__(self) -> None:
        self.left = 1
        self._inner = httpx2.HTTPTransport()

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        if request.method == "GET" and self.left:
            self.left -= 1
            return httpx2.Response(503)
        return self._inner.handle_request(request)

    def close(self) -> None:
        self._inner.close()


@pytest.mark.parametrize("together", [True, False])
def test_a_service_that_is_away_for_a_moment_is_warned_of(
    service: Service, make_product: ProductMaker, make_geotiff: GeotiffMaker, together: bool
) -> None:
    with Client(service.url, retries=0, transport=Flickering()) as client:
        image = Image(client, product_id=make_product("blue").id, name="a", acquired=DAY)
        upload = image.upload(make_geotiff())
        awaited = ImageUploadCollection([upload]) if together else upload
        with pytest.warns(UserWarning, match="error fetching status for .*ImageUpload.*; will retry"):
            awaited.wait_for_completion(60)
        assert upload.status is ImageUploadStatus.SUCCESS


def test_uploads_are_equal_when_they_are_the_same(
    client: Client, make_product: ProductMaker, make_geotiff: GeotiffMaker
) -> None:
    product = make_product("blue")
    one = upload_done(new(product, "one"), make_geotiff())
    other = upload_done(new(product, "other"), make_geotiff())
    again = ImageUpload.get(one.id, client)
    assert again == one
    assert again is not one
    assert again is not None
    assert again.image == one.image
    assert one != other
    assert one != one.id
    assert {one, again, other} == {one, other}
    assert ImageUpload.get("nothing", client) is None
    assert one.id in repr(one)
    assert f"<td>{one.id}</td>" in one._repr_html_()
    assert (one.product_id, one.image_id) == (product.id, f"{product.id}:one")


def test_an_upload_is_not_deleted(make_product: ProductMaker, make_geotiff: GeotiffMaker) -> None:
    upload = new(make_product("blue")).upload(make_geotiff())
    with pytest.raises(NotImplementedError, match=r"Deleting ImageUploads is not permitted; cancel\(\)"):
        upload.delete()


@pytest.mark.parametrize("size", [10, 3_000_000])
def test_a_file_that_changes_between_opening_and_sending_is_named(
    http: httpx2.Client, make_product: ProductMaker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    product, path, send = make_product("blue"), tmp_path / "a.tif", Client.send
    path.write_bytes(bytes(2_000_000))

    def changed(*args: Any) -> Any:
        path.write_bytes(bytes(size))
        return send(*args)

    monkeypatch.setattr(Client, "send", changed)
    with pytest.raises(ClientError, match=r"'a\.tif' to have 2000000 bytes, found .*it changed while it was sent"):
        new(product).upload(path)
    (upload,) = uploads_of(http, product)
    assert upload["status"] == "canceled"
