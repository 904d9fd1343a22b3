"""The routes of an upload, as a client without the SDK sees them."""

from __future__ import annotations

import base64
import hashlib
import json
import socket
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx2
import numpy as np
import pytest
import rasterio

from stac_ingest import Image, Product, SpectralBand
from stac_ingest.client.connection import Client
from tests.api.answers import refused
from tests.api.images import wait_until
from tests.conftest import GeotiffMaker, ProductMaker, Service, running_service, upload_done

Json = dict[str, Any]


def body(name: str = "a", *, files: Any = None, image: Json | None = None, **more: Any) -> Json:
    """Return a request that opens an upload of one file."""
    return {
        "image": {"name": name, "acquired": "2024-05-01T10:00:00Z", **(image or {})},
        "files": [{"name": "blue.tif"}] if files is None else files,
        **more,
    }


def open_upload(http: httpx2.Client, product: Product, name: str = "a", **more: Any) -> Json:
    answer = http.post(f"/collections/{product.id}/uploads", json=body(name, **more))
    assert answer.status_code == 201, answer.text
    opened: Json = answer.json()
    return opened


def ended(http: httpx2.Client, upload_id: str) -> Json:
    """Wait until an upload has ended, and return it."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        upload: Json = http.get(f"/uploads/{upload_id}").json()
        if upload["status"] in ("success", "failure", "canceled"):
            return upload
        time.sleep(0.05)
    raise TimeoutError(upload_id)


@pytest.fixture(scope="module")
def refusing(service: Service) -> str:
    """Address of the uploads of a product, for those that are refused."""
    with Client(service.url) as client:
        product = Product(client, id=f"test:{uuid4().hex[:12]}")
        product.save()
        SpectralBand(client, product=product, name="blue", data_type="UInt16").save()
        return f"/collections/{product.id}/uploads"


def digest_of(content: bytes) -> str:
    return f"sha-256=:{base64.b64encode(hashlib.sha256(content).digest()).decode()}:"


def test_open_put_submit_success(http: httpx2.Client, make_product: ProductMaker, make_geotiff: GeotiffMaker) -> None:
    product, content = make_product("blue"), make_geotiff().read_bytes()
    base = str(http.base_url)
    opening = http.post(
        f"/collections/{product.id}/uploads",
        json=body("scene.1", image={"tags": ["x"]}, files=[{"name": "blue.tif", "size": len(content)}]),
    )
    assert opening.status_code == 201
    opened = opening.json()
    here = f"{base}/uploads/{opened['id']}"
    assert opening.headers["location"] == here
    assert opening.headers["cache-control"] == "no-store"
    assert (opened["collection"], opened["item"], opened["status"]) == (product.id, "scene.1", "transferring")
    assert opened["files"] == [
        {
            "index": 0,
            "kind": "file",
            "name": "blue.tif",
            "size": len(content),
            "received": False,
            "href": f"{here}/files/0",
        }
    ]
    links = {link["rel"]: link["href"] for link in opened["links"]}
    assert links == {"self": here, "collection": f"{base}/collections/{product.id}", "monitor": f"{here}/events"}

    sent = http.put(opened["files"][0]["href"], content=content, headers={"Content-Digest": digest_of(content)})
    sha256 = hashlib.sha256(content).hexdigest()
    assert sent.status_code == 200
    assert sent.json() == {"index": 0, "size": len(content), "sha256": sha256}
    received = http.get(here).json()["files"][0]
    assert (received["received"], received["sha256"]) == (True, sha256)

    submitted = http.post(f"{here}/submit")
    assert submitted.status_code == 202
    assert submitted.json()["status"] in ("pending", "running")

    done = ended(http, opened["id"])
    assert done["status"] == "success", done
    assert done["attempt"] == 1
    assert "problem" not in done
    item_href = {link["rel"]: link["href"] for link in done["links"]}["item"]
    assert item_href == f"{base}/collections/{product.id}/items/scene.1"
    assert http.get(item_href).json()["properties"]["keywords"] == ["x"]
    assert [event["event_type"] for event in done["events"] if event["severity"] == "INFO"] == [
        "queue",
        "run",
        "usage",
        "complete",
    ]


def test_a_wrong_digest_is_refused_and_the_bytes_do_not_count(
    http: httpx2.Client, make_product: ProductMaker, make_geotiff: GeotiffMaker
) -> None:
    upload = open_upload(http, make_product("blue"))
    href, content = upload["files"][0]["href"], make_geotiff().read_bytes()
    wrong = http.put(href, content=content, headers={"Content-Digest": digest_of(b"other")})
    sentence = refused(wrong, 422, "CHECKSUM_MISMATCH")
    assert hashlib.sha256(content).hexdigest() in sentence
    assert "send the file again" in sentence
    assert http.get(f"/uploads/{upload['id']}").json()["files"][0]["received"] is False
    refused(http.post(f"/uploads/{upload['id']}/submit"), 409, "FILES_MISSING")


def test_a_wrong_digest_does_not_replace_what_was_received(
    service: Service, http: httpx2.Client, make_product: ProductMaker
) -> None:
    upload = open_upload(http, make_product("blue"))
    href = upload["files"][0]["href"]
    assert http.put(href, content=b"first").status_code == 200
    refused(http.put(href, content=b"second", headers={"Content-Digest": digest_of(b"x")}), 422, "CHECKSUM_MISMATCH")
    file = http.get(f"/uploads/{upload['id']}").json()["files"][0]
    assert file["sha256"] == hashlib.sha256(b"first").hexdigest()
    staged = service.data_dir / "store" / "staging" / upload["id"]
    assert [path.read_bytes() for path in staged.iterdir()] == [b"first"]


@pytest.mark.parametrize("digest", ["sha-256=:nonsense:", "md5=:abcd:", "", "sha-256=abcd", "sha-256=:QUJD:"])
def test_a_digest_that_cannot_be_read(http: httpx2.Client, make_product: ProductMaker, digest: str) -> None:
    upload = open_upload(http, make_product("blue"))
    answer = http.put(upload["files"][0]["href"], content=b"x", headers={"Content-Digest": digest})
    assert "sha-256=:BASE64:" in refused(answer, 400, "INVALID_DIGEST")


@pytest.mark.parametrize("size", [2, 4, 0])
def test_a_size_that_was_not_announced(http: httpx2.Client, make_product: ProductMaker, size: int) -> None:
    upload = open_upload(http, make_product("blue"), files=[{"name": "blue.tif", "size": 3}])
    href = upload["files"][0]["href"]
    sentence = refused(http.put(href, content=b"x" * size), 422, "SIZE_MISMATCH")
    assert f"Expected 3 bytes for 'blue.tif', found {size}" in sentence
    assert http.get(f"/uploads/{upload['id']}").json()["files"][0]["received"] is False
    assert http.put(href, content=b"xyz").status_code == 200


def test_a_file_larger_than_allowed(make_database: Callable[[], str], tmp_path: Path) -> None:
    limits = {"STAC_INGEST_MAX_FILE_BYTES": "1000"}
    with (
        running_service(make_database(), tmp_path, "api", **limits) as small,
        Client(small.url) as client,
        httpx2.Client(base_url=small.url) as http,
    ):
        product = Product(client, id="p")
        product.save()
        SpectralBand(client, product=product, name="blue", band_index=0).save()
        upload = open_upload(http, product)
        href = upload["files"][0]["href"]
        assert "at most 1000 bytes" in refused(http.put(href, content=b"x" * 1001), 413, "FILE_TOO_LARGE")
        assert http.put(href, content=b"x" * 1000).status_code == 200


def test_a_file_may_be_sent_again_until_the_submit(
    http: httpx2.Client, make_product: ProductMaker, make_geotiff: GeotiffMaker
) -> None:
    upload = open_upload(http, make_product("blue"))
    href = upload["files"][0]["href"]
    assert http.put(href, content=b"not an image").status_code == 200
    content = make_geotiff().read_bytes()
    assert http.put(href, content=content).json()["sha256"] == hashlib.sha256(content).hexdigest()
    http.post(f"/uploads/{upload['id']}/submit")
    assert ended(http, upload["id"])["status"] == "success"
    assert "open a new one" in refused(http.put(href, content=content), 409, "NOT_TRANSFERRING")


def test_submit_with_missing_files_names_them(http: httpx2.Client, make_product: ProductMaker) -> None:
    upload = open_upload(http, make_product("blue"))
    assert "0 (blue.tif)" in refused(http.post(f"/uploads/{upload['id']}/submit"), 409, "FILES_MISSING")
    assert http.get(f"/uploads/{upload['id']}").json()["status"] == "transferring"


def test_submit_twice_is_one_image(http: httpx2.Client, make_product: ProductMaker, make_geotiff: GeotiffMaker) -> None:
    upload = open_upload(http, make_product("blue"))
    http.put(upload["files"][0]["href"], content=make_geotiff().read_bytes())
    for _ in range(2):
        assert http.post(f"/uploads/{upload['id']}/submit").status_code == 202
    done = ended(http, upload["id"])
    assert done["status"] == "success"
    late = http.post(f"/uploads/{upload['id']}/submit")
    assert (late.status_code, late.json()["status"]) == (202, "success")
    assert [event["event_type"] for event in late.json()["events"]].count("queue") == 1


def test_cancel_while_transferring_removes_the_bytes_and_frees_the_name(
    service: Service, http: httpx2.Client, make_product: ProductMaker
) -> None:
    product = make_product("blue")
    upload = open_upload(http, product)
    href = upload["files"][0]["href"]
    staging = service.data_dir / "store" / "staging" / upload["id"]
    http.put(href, content=b"x")
    assert staging.exists()
    for _ in range(2):
        answer = http.post(f"/uploads/{upload['id']}/cancel")
        assert (answer.status_code, answer.json()["status"]) == (200, "canceled")
    assert not staging.exists()
    refused(http.put(href, content=b"x"), 409, "NOT_TRANSFERRING")
    refused(http.post(f"/uploads/{upload['id']}/submit"), 409, "UPLOAD_ENDED")
    assert not staging.exists()
    open_upload(http, product)


def test_cancel_after_the_end(http: httpx2.Client, make_product: ProductMaker, make_geotiff: GeotiffMaker) -> None:
    done = upload_done(Image(product=make_product("blue"), name="a", acquired="2024-01-01"), make_geotiff())
    assert "success already" in refused(http.post(f"/uploads/{done.id}/cancel"), 409, "NOT_CANCELABLE")


UNKNOWN = "6ba7b810-9dad-41d1-80b4-00c04fd430c8"


@pytest.mark.parametrize("upload_id", [UNKNOWN, "nonsense", "a%20b", "%7B1%7D", "1", f"{UNKNOWN}x"])
@pytest.mark.parametrize(
    ("method", "rest"), [("GET", ""), ("GET", "/events"), ("POST", "/submit"), ("POST", "/cancel"), ("PUT", "/files/0")]
)
def test_an_upload_that_there_is_not(http: httpx2.Client, upload_id: str, method: str, rest: str) -> None:
    refused(http.request(method, f"/uploads/{upload_id}{rest}"), 404, "UPLOAD_NOT_FOUND")


@pytest.mark.parametrize("index", ["1", "-1", "99999999999999999999"])
def test_a_file_that_there_is_not(http: httpx2.Client, make_product: ProductMaker, index: str) -> None:
    upload = open_upload(http, make_product("blue"))
    answer = http.put(f"/uploads/{upload['id']}/files/{index}", content=b"x")
    assert "the files 0 to 0" in refused(answer, 404, "FILE_NOT_FOUND")


def server_sent(lines: Iterator[str]) -> list[dict[str, str]]:
    """Return the events of a stream (WHATWG HTML, section 9.2)."""
    events: list[dict[str, str]] = [{}]
    for line in lines:
        if not line:
            events.append({})
        else:
            name, _, value = line.partition(": ")
            events[-1][name] = value
    return [event for event in events if event]


def test_events_stream_until_the_end(
    http: httpx2.Client, make_product: ProductMaker, make_geotiff: GeotiffMaker
) -> None:
    upload = open_upload(http, make_product("blue"))
    monitor = f"/uploads/{upload['id']}/events"
    with http.stream("GET", monitor, headers={"Accept-Encoding": "br, gzip"}) as stream:
        assert stream.headers["content-type"].startswith("text/event-stream")
        assert "content-encoding" not in stream.headers
        http.put(upload["files"][0]["href"], content=make_geotiff().read_bytes())
        http.post(f"/uploads/{upload['id']}/submit")
        events = server_sent(stream.iter_lines())
    assert events[-1] == {"event": "end", "data": json.dumps({"status": "success"})}
    told = [json.loads(event["data"]) for event in events[:-1]]
    assert [event["event"] for event in events[:-1]] == [event["event_type"] for event in told]
    assert told[0]["event_type"] == "queue"
    assert told[-1]["message"] == "The image is in the catalog."
    ids = [int(event["id"]) for event in events[:-1]]
    assert ids == sorted(ids)

    with http.stream("GET", monitor, headers={"Last-Event-ID": str(ids[0])}) as stream:
        rest = server_sent(stream.iter_lines())
    assert [event.get("id") for event in rest] == [str(number) for number in ids[1:]] + [None]


def test_the_list_and_its_filters(http: httpx2.Client, make_product: ProductMaker) -> None:
    product, other = make_product("blue"), make_product("blue")
    first, second = open_upload(http, product, "one"), open_upload(http, product, "two")
    open_upload(http, other, "one")
    http.post(f"/uploads/{first['id']}/cancel")

    def ids(**query: Any) -> list[str]:
        answer = http.get("/uploads", params=query)
        assert answer.status_code == 200
        return [upload["id"] for upload in answer.json()["uploads"]]

    assert ids(collection=product.id) == [second["id"], first["id"]]
    assert ids(collection=product.id, status="canceled") == [first["id"]]
    assert ids(collection=product.id, item="two") == [second["id"]]
    assert ids(collection=product.id, limit=1) == [second["id"]]
    assert ids(collection="nothing") == []
    assert ids(collection="' OR 1=1 --") == []


def test_many_are_asked_for_by_their_ids(http: httpx2.Client, make_product: ProductMaker) -> None:
    product = make_product("blue")
    opened = [open_upload(http, product, f"image{number}")["id"] for number in range(3)]

    def found(*ids: str) -> list[str]:
        listed = http.get("/uploads", params={"id": ",".join(ids)}).json()["uploads"]
        return [upload["id"] for upload in listed]

    assert found(opened[0], opened[2]) == [opened[2], opened[0]]
    assert found(opened[1], opened[1], str(uuid4()), "nonsense", "") == [opened[1]]
    assert found("nonsense") == found("") == []


def test_the_list_in_pages_misses_nothing_and_repeats_nothing(http: httpx2.Client, make_product: ProductMaker) -> None:
    product = make_product("blue")
    opened = [open_upload(http, product, f"image{number}")["id"] for number in range(7)]
    http.post(f"/uploads/{opened[3]}/cancel")
    pages, asked = [], f"/uploads?collection={product.id}&status=transferring&limit=2"
    while asked:
        page = http.get(asked).json()
        pages.append([upload["id"] for upload in page["uploads"]])
        open_upload(http, product, f"newer{len(pages)}")
        asked = next((link["href"] for link in page["links"] if link["rel"] == "next"), "")
    expected = [upload for upload in reversed(opened) if upload != opened[3]]
    assert pages == [expected[0:2], expected[2:4], expected[4:6]]


def test_a_token_that_no_page_gave(http: httpx2.Client) -> None:
    for token in ("", "x", "2024-01-01~x", f"soon~{uuid4()}", "%20"):
        refused(http.get(f"/uploads?token={token}"), 400, "INVALID_PARAMETER")
    refused(http.get("/uploads?token=%00"), 400, "INVALID_REQUEST")


def test_an_upload_is_opened_once_however_often_its_request_is_sent(
    http: httpx2.Client, make_product: ProductMaker
) -> None:
    product, key = make_product("blue"), {"Idempotency-Key": str(uuid4())}
    address = f"/collections/{product.id}/uploads"
    first, again = (http.post(address, json=body(), headers=key) for _ in range(2))
    assert (first.status_code, again.status_code) == (201, 201)
    assert first.json() == again.json()
    assert first.headers["location"] == again.headers["location"]
    refused(http.post(address, json=body("other"), headers=key), 422, "IDEMPOTENCY_KEY_REUSED")
    http.post(f"/uploads/{first.json()['id']}/cancel")
    assert http.post(address, json=body(), headers=key).json()["status"] == "canceled"


def test_a_transfer_that_breaks_off_leaves_nothing(
    service: Service, http: httpx2.Client, make_product: ProductMaker
) -> None:
    upload = open_upload(http, make_product("blue"), files=[{"name": "blue.tif", "size": 2_000_000}])
    staging = service.data_dir / "store" / "staging" / upload["id"]
    head = f"PUT /uploads/{upload['id']}/files/0 HTTP/1.1\r\nHost: x\r\nContent-Length: 2000000\r\n\r\n"
    with socket.create_connection(("127.0.0.1", service.port)) as connection:
        connection.sendall(head.encode() + b"x" * 1_000_000)
        wait_until(lambda: bool(list(staging.glob(".*.part"))))
    wait_until(lambda: not list(staging.iterdir()))
    assert http.get(f"/uploads/{upload['id']}").json()["files"][0]["received"] is False


def test_bytes_that_still_come_when_the_upload_is_canceled_leave_nothing(
    service: Service, http: httpx2.Client, make_product: ProductMaker
) -> None:
    upload = open_upload(http, make_product("blue"))
    staging = service.data_dir / "store" / "staging" / upload["id"]

    def chunks() -> Iterator[bytes]:
        yield b"x" * 1_000_000
        wait_until(lambda: bool(list(staging.glob(".*.part"))))
        http_of_another = httpx2.post(f"{service.url}/uploads/{upload['id']}/cancel")
        assert http_of_another.json()["status"] == "canceled"
        yield b"x"

    refused(http.put(upload["files"][0]["href"], content=chunks()), 409, "NOT_TRANSFERRING")
    assert not staging.exists()


def test_bytes_that_still_come_when_the_upload_has_ended_change_nothing(
    service: Service, http: httpx2.Client, make_product: ProductMaker, make_geotiff: GeotiffMaker
) -> None:
    product, path = make_product("blue"), make_geotiff()
    upload = open_upload(http, product)
    href, content = upload["files"][0]["href"], path.read_bytes()
    staging = service.data_dir / "store" / "staging" / upload["id"]

    def chunks() -> Iterator[bytes]:
        yield b"x"
        wait_until(lambda: bool(list(staging.glob(".*.part"))))
        assert httpx2.put(href, content=content).status_code == 200
        assert httpx2.post(f"{service.url}/uploads/{upload['id']}/submit").status_code == 202
        ended(http, upload["id"])
        yield b"x"

    refused(http.put(href, content=chunks()), 409, "NOT_TRANSFERRING")
    assert not staging.exists()
    assert http.get(f"/uploads/{upload['id']}").json()["status"] == "success"
    with rasterio.open(path) as source:
        item = http.get(f"/collections/{product.id}/items/a").json()
        with rasterio.open(f"/vsicurl/{item['assets']['blue']['href']}") as cog:
            np.testing.assert_array_equal(cog.read(), source.read())


def test_bytes_that_come_after_the_submit_are_not_in_the_image(
    make_database: Callable[[], str], tmp_path: Path, make_geotiff: GeotiffMaker
) -> None:
    first, late = make_geotiff("first.tif"), make_geotiff("late.tif", seed=1)
    with (
        running_service(make_database(), tmp_path / "data", "api") as idle,
        Client(idle.url) as client,
        httpx2.Client(base_url=idle.url) as http,
    ):
        product = Product(client, id="p")
        product.save()
        SpectralBand(client, product=product, name="blue", band_index=0).save()
        upload = open_upload(http, product)
        href = upload["files"][0]["href"]
        staging = idle.data_dir / "store" / "staging" / upload["id"]

        def chunks() -> Iterator[bytes]:
            yield late.read_bytes()
            wait_until(lambda: bool(list(staging.glob(".*.part"))))
            assert httpx2.put(href, content=first.read_bytes()).status_code == 200
            assert httpx2.post(f"{idle.url}/uploads/{upload['id']}/submit").status_code == 202

        refused(http.put(href, content=chunks()), 409, "NOT_TRANSFERRING")
        assert [path.read_bytes() for path in staging.iterdir()] == [first.read_bytes()]
        idle.start("worker")
        done = ended(http, upload["id"])
        assert done["status"] == "success", done
        assert done["files"][0]["sha256"] == hashlib.sha256(first.read_bytes()).hexdigest()
        item = http.get("/collections/p/items/a").json()
        with rasterio.open(first) as source, rasterio.open(f"/vsicurl/{item['assets']['blue']['href']}") as cog:
            np.testing.assert_array_equal(cog.read(), source.read())


def test_of_transfers_at_once_the_one_that_is_recorded_is_kept(
    service: Service, http: httpx2.Client, make_product: ProductMaker
) -> None:
    upload = open_upload(http, make_product("blue"))
    href, staging = upload["files"][0]["href"], service.data_dir / "store" / "staging" / upload["id"]

    def send(number: int) -> int:
        return httpx2.put(href, content=iter([bytes([number]) * 500_000] * 4)).status_code

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(send, range(16))) == {200}
    (staged,) = staging.iterdir()
    recorded = http.get(f"/uploads/{upload['id']}").json()["files"][0]
    assert recorded["sha256"] == hashlib.sha256(staged.read_bytes()).hexdigest()
    assert "staged" not in recorded


def test_a_last_event_id_that_no_event_has(http: httpx2.Client, make_product: ProductMaker) -> None:
    upload = open_upload(http, make_product("blue"))
    http.post(f"/uploads/{upload['id']}/cancel")
    for sent in (b"\xb2", b"9" * 5000, b"9" * 19, b"-1", b"x", b""):
        answer = http.get(f"/uploads/{upload['id']}/events", headers={b"Last-Event-ID": sent})
        assert answer.status_code == 200, sent[:10]
        assert "event: cancel" in answer.text


def test_an_upload_has_one_spelling_of_its_id(http: httpx2.Client, make_product: ProductMaker) -> None:
    upload = open_upload(http, make_product("blue"))["id"]
    for spelling in (upload.upper(), upload.replace("-", ""), f"%7B{upload}%7D"):
        refused(http.put(f"/uploads/{spelling}/files/0", content=b"x"), 404, "UPLOAD_NOT_FOUND")


def test_a_body_with_a_number_that_is_too_long(http: httpx2.Client, refusing: str) -> None:
    answer = http.post(refusing, content=b'{"image": {"name": ' + b"1" * 5000 + b"}}")
    refused(answer, 400, "INVALID_REQUEST")


@pytest.mark.parametrize(
    ("file", "options", "code"),
    [
        ({"data_type": "Int64"}, {}, "DATA_TYPE_MISMATCH"),
        ({"shape": [2, 20, 30]}, {}, "BAND_COUNT_MISMATCH"),
        ({"shape": [1, 20, 30]}, {"overviews": [31]}, "INVALID_OVERVIEWS"),
        ({"shape": [20, 30]}, {"overviews": [64]}, "INVALID_OVERVIEWS"),
        ({"data_type": "bool"}, {}, "INVALID_UPLOAD"),
        ({"shape": [20]}, {}, "INVALID_UPLOAD"),
        ({"shape": [1, 1, 20, 30]}, {}, "INVALID_UPLOAD"),
        ({"shape": [0, 30]}, {}, "INVALID_UPLOAD"),
    ],
    ids=str,
)
@pytest.mark.parametrize("kind", ["array", "file"])
def test_pixels_that_are_told_beforehand_and_do_not_fit(
    http: httpx2.Client, refusing: str, kind: str, file: Json, options: Json, code: str
) -> None:
    described = {"kind": kind, "name": "blue.npy", **file}
    refused(http.post(refusing, json=body(files=[described], options=options)), 422, code)


def test_pixels_that_are_told_beforehand_and_fit(http: httpx2.Client, make_product: ProductMaker) -> None:
    told = {"kind": "array", "name": "blue.npy", "data_type": "UInt16", "shape": [20, 30]}
    open_upload(http, make_product("blue"), files=[told], options={"overviews": [2, 30]})


@pytest.mark.parametrize("query", ["status=done", "limit=0", "limit=1001", "limit=x", "collection=%00", "item=%00"])
def test_a_list_that_cannot_be_asked_for(http: httpx2.Client, query: str) -> None:
    refused(http.get(f"/uploads?{query}"), 400, "INVALID_REQUEST")


def test_a_second_upload_of_an_image_is_told_of_the_first(http: httpx2.Client, make_product: ProductMaker) -> None:
    product = make_product("blue")
    first = open_upload(http, product)
    answer = http.post(f"/collections/{product.id}/uploads", json=body())
    sentence = refused(answer, 409, "UPLOAD_IN_PROGRESS")
    assert first["id"] in sentence
    assert "transferring" in sentence
    open_upload(http, product, "another-name")


@pytest.mark.parametrize("name", ["a/b.tif", "a\\b.tif", "a\x00.tif", "a\n.tif", "", "x" * 300, 5, None])
def test_names_of_files(http: httpx2.Client, refusing: str, name: Any) -> None:
    answer = http.post(refusing, json=body(files=[{"name": name}]))
    assert "files.0.name" in refused(answer, 422, "INVALID_UPLOAD")


def test_the_name_of_a_file_is_no_path(
    service: Service, http: httpx2.Client, make_product: ProductMaker, make_geotiff: GeotiffMaker
) -> None:
    upload = open_upload(http, make_product("blue"), files=[{"name": ".."}])
    http.put(upload["files"][0]["href"], content=make_geotiff().read_bytes())
    http.post(f"/uploads/{upload['id']}/submit")
    assert ended(http, upload["id"])["status"] == "success"


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        ("/collections/nothing/uploads", 404, "COLLECTION_NOT_FOUND"),
        ("/collections/a%00b/uploads", 400, "INVALID_REQUEST"),
        ("/collections/a%20b/uploads", 422, "INVALID_UPLOAD"),
        ("/collections/a%2Fb/uploads", 404, "NOT_FOUND"),
    ],
)
def test_products_that_there_are_not(http: httpx2.Client, path: str, status: int, code: str) -> None:
    refused(http.post(path, json=body()), status, code)


def test_a_product_without_bands(http: httpx2.Client, make_product: ProductMaker) -> None:
    product = make_product()
    answer = http.post(f"/collections/{product.id}/uploads", json=body())
    assert "save at least one" in refused(answer, 409, "PRODUCT_WITHOUT_BANDS")


def test_a_name_that_is_taken(http: httpx2.Client, make_product: ProductMaker, make_geotiff: GeotiffMaker) -> None:
    product = make_product("blue")
    upload_done(Image(product=product, name="a", acquired="2024-01-01"), make_geotiff())
    answer = http.post(f"/collections/{product.id}/uploads", json=body())
    assert "overwrite=True" in refused(answer, 409, "IMAGE_EXISTS")
    assert open_upload(http, product, options={"overwrite": True})["options"]["overwrite"] is True


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"colour": 1}, "colour"),
        ({"image": {"colour": 1}}, "image.colour"),
        ({"options": {"colour": 1}}, "options.colour"),
        ({"files": [{"name": "a", "colour": 1}]}, "files.0.colour"),
        ({"files": [{"name": "a", "kind": "zip"}]}, "files.0.kind"),
        ({"files": [{"name": "a", "size": -1}]}, "files.0.size"),
        ({"files": [{"name": "a", "kind": "mask"}]}, "right after the array"),
        ({"files": [{"name": "a", "kind": "sidecar"}]}, "at least one image file"),
        ({"files": None}, "files"),
        ({"files": {}}, "files"),
        ({"files": [5]}, "files.0"),
        ({"options": None}, "options"),
        ({"options": {"overview_resampler": "blur"}}, "options.overview_resampler"),
        ({"image": {"acquired": "soon"}}, "image.acquired"),
        ({"image": {"acquired": None}}, "image.acquired"),
        ({"image": {"cloud_fraction": 1.5}}, "image.cloud_fraction"),
        ({"image": {"tags": [5]}}, "image.tags"),
        ({"image": {"geotrans": [1, 2]}}, "image.geotrans"),
        ({"image": {"storage_state": "lost"}}, "image.storage_state"),
    ],
)
def test_values_that_an_upload_cannot_have(http: httpx2.Client, refusing: str, changes: Json, named: str) -> None:
    sent = body()
    for key, value in changes.items():
        sent[key] = {**sent[key], **value} if key == "image" else value
    assert named in refused(http.post(refusing, json=sent), 422, "INVALID_UPLOAD")
    assert http.get("/uploads", params={"collection": refusing.split("/")[2]}).json()["uploads"] == []


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"hello",
        b"[]",
        b"5",
        b"null",
        b'"text"',
        b"\xff\xfe",
        b"{}",
        b'{"image": []}',
        b'{"image": ' + b"[" * 100_000,
    ],
    ids=lambda content: repr(content[:30]),
)
def test_bodies_that_are_no_upload(http: httpx2.Client, refusing: str, content: bytes) -> None:
    answer = http.post(refusing, content=content)
    refused(answer, 400, "INVALID_REQUEST")


@pytest.mark.parametrize(
    ("status", "value"),
    [
        (422, "NaN"),
        (422, "-Infinity"),
        (422, "1e999"),
        (400, "100000000000000000000"),
        (400, '"\\u0000"'),
        (400, '{"\\u0000": 1}'),
        (400, "[" * 990 + "]" * 990),
    ],
    ids=lambda value: str(value)[:20],
)
def test_values_that_could_not_be_given_back(
    http: httpx2.Client, make_product: ProductMaker, status: int, value: str
) -> None:
    product = make_product("blue")
    content = json.dumps(body(image={"extra_properties": {"x": "HERE"}})).replace('"HERE"', value)
    answer = http.post(f"/collections/{product.id}/uploads", content=content)
    refused(answer, status, "INVALID_REQUEST" if status == 400 else "INVALID_UPLOAD")
    kept = content.replace(value, "[18446744073709551615, -9223372036854775808, 1e300]")
    opened = http.post(f"/collections/{product.id}/uploads", content=kept)
    assert opened.json()["image"]["extra_properties"] == {"x": [2**64 - 1, -(2**63), 1e300]}


def test_a_body_of_another_product(http: httpx2.Client, refusing: str) -> None:
    answer = http.post(refusing, json=body(image={"product_id": "other"}))
    assert "'other'" in refused(answer, 400, "ID_MISMATCH")


def test_a_body_that_is_too_large(http: httpx2.Client, refusing: str) -> None:
    content = b" " * (8 * 1024**2 + 1)
    refused(http.post(refusing, content=content), 413, "PAYLOAD_TOO_LARGE")


@pytest.mark.parametrize("count", [1, 3])
def test_too_few_or_too_many_files(http: httpx2.Client, make_product: ProductMaker, count: int) -> None:
    product = make_product("blue")
    SpectralBand(product=product, name="red", file_index=1).save()
    files = [{"name": f"{index}.tif"} for index in range(count)]
    answer = http.post(f"/collections/{product.id}/uploads", json=body(files=files))
    assert f"Expected 2 file(s) as the bands of {product.id!r} describe them, found {count}" in refused(
        answer, 422, "FILE_COUNT_MISMATCH"
    )
    assert http.post(f"/collections/{product.id}/uploads", json=body(files=[])).status_code == 422
