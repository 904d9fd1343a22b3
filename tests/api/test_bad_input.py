"""Every bad input ends with its code and one sentence; nothing of it stays; the service goes on."""

from __future__ import annotations

import io
import pickle
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx2
import numpy as np
import pytest
import rasterio

from stac_ingest import Image, ImageUploadStatus, Product
from tests.conftest import GeotiffMaker, ProductMaker, Service, upload_done

META = {"geoTransform": [500_000, 10, 0, 5_000_000, 0, -10], "coordinateSystem": {"epsg": 32633}}


def stored(service: Service, *parts: str) -> list[Path]:
    return [path for path in service.data_dir.joinpath("store", *parts).rglob("*") if path.is_file()]


@pytest.fixture
def fails(service: Service, http: httpx2.Client) -> Iterator[Callable[..., str]]:
    """Return a function that uploads a file, and returns the sentence with which that failed."""

    def upload(product: Product, path: Path | str, code: str, **attributes: Any) -> str:
        image = Image(product=product, name="bad", acquired="2024-01-01", **attributes)
        done = upload_done(image, str(path))
        assert done.status is ImageUploadStatus.FAILURE, done.events
        return check_failure(service, http, product, done.id, code)

    yield upload
    assert http.get("/healthz").status_code == 200


def check_failure(service: Service, http: httpx2.Client, product: Product, upload_id: str, code: str) -> str:
    """Check that a failed upload left its reason and nothing else; return the sentence."""
    upload = http.get(f"/uploads/{upload_id}").json()
    problem: dict[str, str] = upload["problem"]
    assert problem["code"] == code, problem
    assert problem["message"].endswith("."), problem
    assert upload["events"][-1]["severity"] == "ERROR"
    assert upload["events"][-1]["message"] == f"{code}: {problem['message']}"
    assert http.get(f"/collections/{product.id}/items/bad").status_code == 404
    assert not stored(service, "assets", product.id)
    assert not stored(service, "staging", upload_id)
    return problem["message"]


def send_raw(http: httpx2.Client, product: Product, content: bytes, kind: str = "array") -> str:
    """Upload bytes without the SDK, which would refuse them; return the id of the upload that has ended."""
    opened = http.post(
        f"/collections/{product.id}/uploads",
        json={
            "image": {
                "name": "bad",
                "acquired": "2024-01-01T00:00:00Z",
                "geotrans": META["geoTransform"],
                "cs_code": "EPSG:32633",
            },
            "files": [{"kind": kind, "name": "array.npy"}],
        },
    )
    assert opened.status_code == 201, opened.text
    upload = opened.json()
    assert http.put(upload["files"][0]["href"], content=content).status_code == 200
    assert http.post(f"/uploads/{upload['id']}/submit").status_code == 202
    with http.stream("GET", f"/uploads/{upload['id']}/events") as events:
        assert any("event: end" in line for line in events.iter_lines())
    return str(upload["id"])


def npy(array: Any, **options: Any) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array, **options)
    return buffer.getvalue()


def test_an_empty_file(fails: Callable[..., str], make_product: ProductMaker, tmp_path: Path) -> None:
    (tmp_path / "empty.tif").write_bytes(b"")
    assert "0 bytes" in fails(make_product("blue"), tmp_path / "empty.tif", "EMPTY_FILE")


def test_a_text_named_tif(fails: Callable[..., str], make_product: ProductMaker, tmp_path: Path) -> None:
    (tmp_path / "text.tif").write_text("Dear sirs,\nplease find attached")
    assert "text that begins with" in fails(make_product("blue"), tmp_path / "text.tif", "UNSUPPORTED_FORMAT")


def test_a_zip_named_tif(fails: Callable[..., str], make_product: ProductMaker, make_geotiff: GeotiffMaker) -> None:
    inside = make_geotiff("inside.tif")
    path = inside.with_name("zipped.tif")
    with zipfile.ZipFile(path, "w") as archive:
        archive.write(inside, "inside.tif")
    assert "a ZIP archive" in fails(make_product("blue"), path, "UNSUPPORTED_FORMAT")


def test_a_vrt_named_tif_whose_target_is_never_read(
    fails: Callable[..., str], make_product: ProductMaker, make_geotiff: GeotiffMaker
) -> None:
    target = make_geotiff("secret.tif")
    path = target.with_name("harmless.tif")
    path.write_text(
        f"""<VRTDataset rasterXSize="60" rasterYSize="40"><SRS>EPSG:32633</SRS>
        <GeoTransform>500000, 10, 0, 5000000, 0, -10</GeoTransform><VRTRasterBand dataType="UInt16" band="1">
        <SimpleSource><SourceFilename>{target}</SourceFilename><SourceBand>1</SourceBand></SimpleSource>
        </VRTRasterBand></VRTDataset>"""
    )
    with rasterio.open(path) as opened:
        assert opened.count == 1, "GDAL itself would have read it"
    message = fails(make_product("blue"), path, "UNSUPPORTED_FORMAT")
    assert "a GDAL virtual dataset (VRT)" in message
    assert "secret" not in message


@pytest.mark.parametrize("share", [0.02, 0.5, 0.9])
def test_a_truncated_tiff(
    fails: Callable[..., str], make_product: ProductMaker, make_geotiff: GeotiffMaker, share: float
) -> None:
    path = make_geotiff(size=(300, 300), compress="deflate")
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    message = fails(make_product("blue"), path, "CORRUPT_FILE")
    assert "'image.tif'" in message
    assert "/" not in message, "no path of the service"


def test_a_tiff_without_georeference(
    fails: Callable[..., str], make_product: ProductMaker, make_geotiff: GeotiffMaker
) -> None:
    with pytest.warns(rasterio.errors.NotGeoreferencedWarning):
        path = make_geotiff(crs=None, transform=rasterio.Affine.identity())
    product = make_product("blue")
    assert "cs_code or projection" in fails(product, path, "MISSING_GEOREFERENCE")
    assert "geotrans" in fails(product, path, "MISSING_GEOREFERENCE", cs_code="EPSG:32633")
    image = Image(
        product=product, name="good", acquired="2024-01-01", cs_code="EPSG:32633", geotrans=(5e5, 10, 0, 5e6, 0, -10)
    )
    placed = upload_done(image, path)
    assert placed.status is ImageUploadStatus.SUCCESS, placed.events


def test_a_georeference_that_contradicts_the_file(
    fails: Callable[..., str], make_product: ProductMaker, make_geotiff: GeotiffMaker
) -> None:
    message = fails(make_product("blue"), make_geotiff(), "GEOREFERENCE_MISMATCH", cs_code="EPSG:4326")
    assert "EPSG:4326" in message
    assert "EPSG:32633" in message


def test_a_band_count_that_contradicts_the_product(
    fails: Callable[..., str], make_product: ProductMaker, make_geotiff: GeotiffMaker
) -> None:
    message = fails(make_product("red", "green", "blue"), make_geotiff(count=2), "BAND_COUNT_MISMATCH")
    assert "Expected 3 band(s)" in message
    assert "found 2" in message
    assert "found 4" in fails(make_product("blue"), make_geotiff(count=4), "BAND_COUNT_MISMATCH")


def test_a_data_type_that_contradicts_the_product(
    fails: Callable[..., str], make_product: ProductMaker, make_geotiff: GeotiffMaker
) -> None:
    message = fails(make_product("blue"), make_geotiff(dtype="float32"), "DATA_TYPE_MISMATCH")
    assert "Expected UInt16" in message
    assert "found Float32" in message


@pytest.mark.parametrize("shape", [(20,), (1, 1, 20, 20)])
def test_an_array_of_1_or_4_dimensions(
    service: Service, http: httpx2.Client, make_product: ProductMaker, shape: tuple[int, ...]
) -> None:
    product = make_product("blue")
    with pytest.raises(ValueError, match=f"found {len(shape)} dimensions"):
        Image(product=product, name="bad", acquired="2024-01-01").upload_ndarray(
            np.ones(shape, "uint16"), raster_meta=META
        )
    upload = send_raw(http, product, npy(np.ones(shape, "uint16")))
    assert f"found {len(shape)}" in check_failure(service, http, product, upload, "UNSUPPORTED_SHAPE")


@pytest.mark.parametrize("dtype", ["bool", "complex64", "datetime64[s]", "longdouble"])
def test_an_array_of_a_type_that_cannot_be_stored(
    service: Service, http: httpx2.Client, make_product: ProductMaker, dtype: str
) -> None:
    product = make_product("blue", data_type=None)
    array = np.zeros((20, 20), dtype)
    with pytest.raises(ValueError, match="unsupported data type"):
        Image(product=product, name="bad", acquired="2024-01-01").upload_ndarray(array, raster_meta=META)
    upload = send_raw(http, product, npy(array))
    assert array.dtype.name in check_failure(service, http, product, upload, "UNSUPPORTED_DATA_TYPE")


class Bomb:
    """Says so when it is unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (Path("/tmp/stac-ingest-unpickled"),))


def test_a_pickled_array_is_never_unpickled(service: Service, http: httpx2.Client, make_product: ProductMaker) -> None:
    traces = Path("/tmp/stac-ingest-unpickled")
    traces.unlink(missing_ok=True)
    for content in (npy(np.array([[Bomb()]], object), allow_pickle=True), pickle.dumps(Bomb())):
        product = make_product("blue")
        upload = send_raw(http, product, content)
        assert "array.npy" in check_failure(service, http, product, upload, "UNSAFE_ARRAY")
    assert not traces.exists()


@pytest.mark.parametrize("overviews", [[0], ["a"], list(range(2, 19)), [], [1], [2, 2], [-2], [2.5], [True], "2", 2])
def test_overviews_that_cannot_be_built(
    http: httpx2.Client, make_product: ProductMaker, make_geotiff: GeotiffMaker, overviews: Any
) -> None:
    product = make_product("blue")
    answer = http.post(
        f"/collections/{product.id}/uploads",
        json={
            "image": {"name": "bad", "acquired": "2024-01-01T00:00:00Z"},
            "files": [{"name": "a.tif"}],
            "options": {"overviews": overviews},
        },
    )
    assert answer.status_code == 422
    assert answer.json()["code"] == "INVALID_UPLOAD"
    assert "1 to 16 different whole numbers greater than 1" in answer.json()["detail"]
    if overviews:
        with pytest.raises(ValueError, match="1 to 16 different whole numbers"):
            Image(product=product, name="bad", acquired="2024-01-01").upload_ndarray(
                np.ones((20, 20), "uint16"), raster_meta=META, overviews=overviews
            )
    assert http.get("/uploads", params={"collection": product.id}).json()["uploads"] == []


@pytest.mark.parametrize("resampler", ["average_mp", "average_magphase", "blur"])
def test_a_resampler_that_there_is_not(http: httpx2.Client, make_product: ProductMaker, resampler: str) -> None:
    answer = http.post(
        f"/collections/{make_product('blue').id}/uploads",
        json={
            "image": {"name": "bad", "acquired": "2024-01-01T00:00:00Z"},
            "files": [{"name": "a.tif"}],
            "options": {"overview_resampler": resampler},
        },
    )
    assert answer.status_code == 422
    assert resampler in answer.json()["detail"]


@pytest.mark.parametrize("name", ["a/b", "a\x00b", "..", "", "a b", "ä", "x" * 300, "../../etc", "a\nb"])
def test_a_name_that_no_image_can_have(http: httpx2.Client, make_product: ProductMaker, name: str) -> None:
    product = make_product("blue")
    answer = http.post(
        f"/collections/{product.id}/uploads",
        json={"image": {"name": name, "acquired": "2024-01-01T00:00:00Z"}, "files": [{"name": "a.tif"}]},
    )
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    assert "A-Z a-z 0-9 _ . -" in answer.json()["detail"]
    with pytest.raises(ValueError, match=r"A-Z a-z 0-9 _ \. -"):
        Image(product=product, name=name)


def test_an_unknown_product(http: httpx2.Client) -> None:
    answer = http.post(
        f"/collections/{uuid4()}/uploads",
        json={"image": {"name": "a", "acquired": "2024-01-01T00:00:00Z"}, "files": [{"name": "a.tif"}]},
    )
    assert answer.status_code == 404
    assert answer.json()["code"] == "COLLECTION_NOT_FOUND"


def test_a_name_that_exists(make_product: ProductMaker, make_geotiff: GeotiffMaker, http: httpx2.Client) -> None:
    product, path = make_product("blue"), make_geotiff()
    first = upload_done(Image(product=product, name="taken", acquired="2024-01-01"), path)
    assert first.status is ImageUploadStatus.SUCCESS, first.events
    with pytest.raises(ValueError, match=r"already exists in the catalog.*overwrite=True"):
        Image(product=product, name="taken", acquired="2024-01-01").upload(path)
    again = upload_done(Image(product=product, name="taken", acquired="2024-02-02"), path, overwrite=True)
    assert again.status is ImageUploadStatus.SUCCESS, again.events
    item = http.get(f"/collections/{product.id}/items/taken").json()
    assert item["properties"]["datetime"] == "2024-02-02T00:00:00Z"
