"""Deleting everything that a product has, as its clients see it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx2
import psycopg
import pytest

from stac_ingest import Image
from stac_ingest.models.deletion import Deletion
from stac_ingest.models.enums import TaskState
from tests.api.answers import refused
from tests.api.test_stac import id_of, make_collection, make_item
from tests.conftest import GeotiffMaker, ProductMaker, Service, running_service, schema_errors

Json = dict[str, Any]
Ask = Callable[..., httpx2.Response]

BANDS = [
    {"name": "blue", "type": "spectral", "data_type": "UInt16"},
    {"name": "red", "type": "spectral", "data_type": "UInt16", "band_index": 1},
]
SECONDS = 60


def make_filled(http: httpx2.Client, items: int = 0, *, bands: bool = True) -> str:
    """Add a collection with items, and return its address."""
    collection_id = f"test:{uuid4().hex[:12]}"
    more: Json = {"ingest:bands": BANDS, "item_assets": {"data": {"bands": [{"name": "blue"}]}}} if bands else {}
    collection = make_collection(collection_id, keywords=["kept"], **more)
    assert http.post("/collections", json=collection).status_code == 201
    path = f"/collections/{collection_id}"
    if items:
        features = [make_item(collection_id, f"i{n}", west=n % 100, day=n % 28 + 1) for n in range(items)]
        added = http.post(f"{path}/items", json={"type": "FeatureCollection", "features": features})
        assert added.status_code == 201
    return path


def ended(http: httpx2.Client, location: str) -> Deletion:
    """Wait until a deletion has ended, and return it."""
    deadline = time.monotonic() + SECONDS
    while True:
        deletion = Deletion.model_validate(http.get(location).json())
        if deletion.status.is_final:
            return deletion
        assert time.monotonic() < deadline
        time.sleep(0.05)


def open_upload(http: httpx2.Client, collection: str, name: str = "a") -> httpx2.Response:
    upload = {
        "image": {"name": name, "acquired": "2024-01-01T00:00:00Z"},
        "files": [{"name": "a.tif"}],
    }
    return http.post(f"{collection}/uploads", json=upload)


@pytest.fixture(scope="module")
def idle(make_database: Callable[[], str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service without a worker, so that a deletion that was opened stays as it is."""
    with running_service(make_database(), tmp_path_factory.mktemp("idle"), "api") as service:
        yield service


@pytest.fixture
def waiting(idle: Service) -> Iterator[httpx2.Client]:
    """Plain HTTP to the service without a worker."""
    with httpx2.Client(base_url=idle.url, timeout=60) as connection:
        yield connection


def test_everything_is_deleted_but_the_product(http: httpx2.Client) -> None:
    began = datetime.now(UTC)
    path = make_filled(http, 7)
    opened = http.post(f"{path}/deletions")
    assert opened.status_code == 202
    document = opened.json()
    assert opened.headers["location"] == f"{http.base_url}/deletions/{document['id']}"
    assert document["collection"] == id_of(path)
    assert document["objects_total"] == 9
    assert began <= datetime.fromisoformat(document["start_datetime"]) <= datetime.now(UTC)
    links = {link["rel"]: link["href"] for link in document["links"]}
    assert links == {"self": opened.headers["location"], "collection": f"{http.base_url}{path}"}
    deletion = ended(http, links["self"])
    assert deletion.status is TaskState.SUCCEEDED
    assert deletion.objects_deleted == deletion.objects_total == 9
    assert deletion.errors == ()
    assert http.get(f"{path}/items").json()["features"] == []
    collection = http.get(path).json()
    assert schema_errors(collection) == []
    assert "ingest:bands" not in collection or collection["ingest:bands"] == []
    assert "item_assets" not in collection
    assert collection["keywords"] == ["kept"]
    assert collection["extent"]["spatial"]["bbox"] == [[-180, -90, 180, 90]]
    assert http.delete(path).status_code == 204


def test_the_time_that_a_deletion_took_stays(http: httpx2.Client) -> None:
    path = make_filled(http, 1)
    location = http.post(f"{path}/deletions").headers["location"]
    took = ended(http, location).duration_in_seconds
    assert took >= 0
    time.sleep(0.05)
    assert http.get(location).json()["duration_in_seconds"] == took


def test_more_images_than_one_batch_are_deleted(http: httpx2.Client) -> None:
    path, other = make_filled(http, 1203, bands=False), make_filled(http, 2)
    deletion = ended(http, http.post(f"{path}/deletions").headers["location"])
    assert (deletion.objects_deleted, deletion.objects_total) == (1203, 1203)
    assert http.get(f"{path}/items").json()["features"] == []
    assert len(http.get(f"{other}/items").json()["features"]) == 2


def test_there_may_be_nothing_to_delete(http: httpx2.Client) -> None:
    path = make_filled(http, bands=False)
    answer = http.post(f"{path}/deletions")
    assert (answer.status_code, answer.content) == (204, b"")
    assert http.get(f"{path}/deletions").json() == {"deletions": []}
    key = {"Idempotency-Key": str(uuid4())}
    assert [http.post(f"{path}/deletions", headers=key).status_code for _ in range(2)] == [204, 204]


def test_bands_alone_are_deleted_too(http: httpx2.Client) -> None:
    path = make_filled(http)
    deletion = ended(http, http.post(f"{path}/deletions").headers["location"])
    assert (deletion.status, deletion.objects_deleted) == (TaskState.SUCCEEDED, 2)
    assert http.post(f"{path}/deletions").status_code == 204


def test_deletions_are_listed_newest_first(http: httpx2.Client) -> None:
    path = make_filled(http, 1)
    first = ended(http, http.post(f"{path}/deletions").headers["location"])
    http.post(f"{path}/items", json=make_item(id_of(path), "again"))
    second = ended(http, http.post(f"{path}/deletions").headers["location"])
    listed = http.get(f"{path}/deletions").json()["deletions"]
    assert [deletion["id"] for deletion in listed] == [second.id, first.id]
    assert listed[0] == http.get(f"/deletions/{second.id}").json()


def test_what_is_missing_is_named(http: httpx2.Client) -> None:
    assert "'none'" in refused(http.post("/collections/none/deletions"), 404, "COLLECTION_NOT_FOUND")
    assert "'none'" in refused(http.get("/collections/none/deletions"), 404, "COLLECTION_NOT_FOUND")
    for name in ("none", str(uuid4()), "%00"):
        answer = http.get(f"/deletions/{name}")
        assert answer.status_code in (400, 404)
        refused(answer, answer.status_code, "DELETION_NOT_FOUND" if answer.status_code == 404 else "INVALID_REQUEST")


def test_a_new_product_of_the_same_name_has_no_past(http: httpx2.Client) -> None:
    path = make_filled(http, 1)
    location = http.post(f"{path}/deletions").headers["location"]
    ended(http, location)
    assert http.delete(path).status_code == 204
    http.post("/collections", json=make_collection(id_of(path)))
    assert http.get(f"{path}/deletions").json() == {"deletions": []}


def test_a_repeated_request_opens_no_second_deletion(waiting: httpx2.Client) -> None:
    path = make_filled(waiting, 1)
    key = {"Idempotency-Key": str(uuid4())}
    first, again = (waiting.post(f"{path}/deletions", headers=key) for _ in range(2))
    assert (first.status_code, again.status_code) == (202, 202)
    assert again.json()["id"] == first.json()["id"]
    assert again.headers["location"] == first.headers["location"]


def test_while_a_deletion_runs_nothing_is_added(waiting: httpx2.Client) -> None:
    path = make_filled(waiting, 2)
    item = waiting.get(f"{path}/items/i0").json()
    document = waiting.post(f"{path}/deletions").json()
    assert document["status"] == "RUNNING"
    assert document["objects_deleted"] == 0
    asked: tuple[Ask, ...] = (
        lambda: waiting.post(f"{path}/deletions"),
        lambda: waiting.post(f"{path}/items", json=make_item(id_of(path), "new")),
        lambda: waiting.put(f"{path}/items/i0", json=item),
        lambda: waiting.patch(f"{path}/items/i0", json={}),
        lambda: waiting.delete(path),
        lambda: open_upload(waiting, path),
    )
    for write in asked:
        assert document["id"] in refused(write(), 409, "DELETION_RUNNING")
    assert len(waiting.get(f"{path}/items").json()["features"]) == 2
    assert waiting.patch(path, json={"title": "New"}).json()["title"] == "New"


def test_of_two_that_delete_at_once_one_is_refused(idle: Service, waiting: httpx2.Client) -> None:
    path = make_filled(waiting, 1)
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda _: httpx2.post(f"{idle.url}{path}/deletions", timeout=60), range(4)))
    assert sorted(answer.status_code for answer in answers) == [202, 409, 409, 409]


def test_uploads_that_wait_are_canceled_first(make_database: Callable[[], str], tmp_path: Path) -> None:
    with running_service(make_database(), tmp_path, "api") as service, httpx2.Client(base_url=service.url) as http:
        path = make_filled(http)
        transferring = open_upload(http, path, "a").json()
        assert http.put(transferring["files"][0]["href"], content=b"x" * 100).status_code == 200
        pending = open_upload(http, path, "b").json()
        assert http.put(pending["files"][0]["href"], content=b"x" * 100).status_code == 200
        assert http.post(f"/uploads/{pending['id']}/submit").status_code == 202
        location = http.post(f"{path}/deletions").headers["location"]
        with psycopg.connect(service.database_url) as connection:
            # So that the deletion is what the worker takes first.
            connection.execute("UPDATE procrastinate.procrastinate_jobs SET priority = 1 WHERE task_name = 'delete'")
        service.start("worker")
        assert ended(http, location).status is TaskState.SUCCEEDED
        for upload in (transferring, pending):
            assert http.get(f"/uploads/{upload['id']}").json()["status"] == "canceled"
        assert not [file for file in (tmp_path / "store" / "staging").rglob("*") if file.is_file()]
        assert http.delete(path).status_code == 204


def test_others_are_read_and_written_while_a_deletion_runs(http: httpx2.Client) -> None:
    path, other = make_filled(http, 1500, bands=False), make_filled(http, 1)
    location = http.post(f"{path}/deletions").headers["location"]
    left: list[int] = []
    while not Deletion.model_validate(http.get(location).json()).status.is_final:
        assert http.patch(f"{other}/items/i0", json={"properties": {"n": len(left)}}).status_code == 200
        assert http.get(path).status_code == 200
        left.append(http.post("/search", json={"collections": [id_of(path)], "limit": 1}).json()["numberMatched"])
    assert left == sorted(left, reverse=True)
    assert http.get(f"{path}/items").json()["features"] == []


# --- A collection with all that it has


def delete_all(http: httpx2.Client, path: str, **headers: str) -> httpx2.Response:
    return http.delete(path, params={"cascade": "true"}, headers=headers)


def test_a_collection_is_deleted_with_all_that_it_has(http: httpx2.Client) -> None:
    path, other = make_filled(http, 1203), make_filled(http, 2)
    refused(http.delete(path), 409, "COLLECTION_NOT_EMPTY")
    refused(http.delete(path, params={"cascade": "false"}), 409, "COLLECTION_NOT_EMPTY")
    refused(http.delete(path, params={"cascade": "perhaps"}), 400, "INVALID_REQUEST")
    opened = delete_all(http, path)
    assert opened.status_code == 202
    location = opened.headers["location"]
    assert location == f"{http.base_url}/deletions/{opened.json()['id']}"
    deletion = ended(http, location)
    assert (deletion.status, deletion.errors) == (TaskState.SUCCEEDED, ())
    assert deletion.objects_deleted == deletion.objects_total == 1203 + 2 + 1
    refused(http.get(path), 404, "COLLECTION_NOT_FOUND")
    assert http.post("/search", json={"collections": [id_of(path)]}).json()["features"] == []
    refused(delete_all(http, path), 404, "COLLECTION_NOT_FOUND")
    assert http.get(location).json()["status"] == "SUCCESS"
    assert len(http.get(f"{other}/items").json()["features"]) == 2


def test_a_collection_that_has_nothing_is_deleted_at_once(http: httpx2.Client) -> None:
    for bands in (False, True):
        path = make_filled(http, bands=bands)
        answer = delete_all(http, path)
        assert (answer.status_code, answer.content) == (204, b"")
        refused(http.get(path), 404, "COLLECTION_NOT_FOUND")


def test_a_new_collection_of_a_deleted_one_s_name_has_no_past(http: httpx2.Client) -> None:
    path = make_filled(http, 1)
    first = delete_all(http, path).headers["location"]
    ended(http, first)
    http.post("/collections", json=make_collection(id_of(path)))
    assert http.get(f"{path}/deletions").json() == {"deletions": []}
    assert http.get(first).json()["status"] == "SUCCESS"
    http.post(f"{path}/items", json=make_item(id_of(path), "one"))
    assert ended(http, delete_all(http, path).headers["location"]).status is TaskState.SUCCEEDED


def test_a_repeated_cascade_is_the_same_deletion(http: httpx2.Client, waiting: httpx2.Client) -> None:
    path, empty = make_filled(waiting, 1), make_filled(waiting)
    key = {"Idempotency-Key": str(uuid4())}
    first, again = (delete_all(waiting, path, **key) for _ in range(2))
    assert (first.status_code, again.status_code) == (202, 202)
    assert again.json()["id"] == first.json()["id"]
    refused(waiting.delete(path, headers=key), 422, "IDEMPOTENCY_KEY_REUSED")
    key = {"Idempotency-Key": str(uuid4())}
    assert [delete_all(waiting, empty, **key).status_code for _ in range(2)] == [204, 204]

    path = make_filled(http, 1)
    location = delete_all(http, path, **key).headers["location"]
    ended(http, location)
    assert delete_all(http, path, **key).headers["location"] == location


def test_only_the_collection_that_was_read_is_deleted(waiting: httpx2.Client) -> None:
    path = make_filled(waiting, 1)
    etag = waiting.get(path).headers["etag"]
    waiting.patch(path, json={"title": "New"})
    refused(delete_all(waiting, path, **{"If-Match": etag}), 412, "PRECONDITION_FAILED")
    assert waiting.get(f"{path}/deletions").json() == {"deletions": []}
    assert delete_all(waiting, path, **{"If-Match": waiting.get(path).headers["etag"]}).status_code == 202


def test_while_a_collection_is_deleted_nothing_is_added_to_it(waiting: httpx2.Client) -> None:
    path = make_filled(waiting, 2)
    document = delete_all(waiting, path).json()
    asked: tuple[Ask, ...] = (
        lambda: waiting.post(f"{path}/items", json=make_item(id_of(path), "new")),
        lambda: waiting.post(f"{path}/bulk_items", json={"items": {"new": make_item(id_of(path), "new")}}),
        lambda: waiting.post(f"{path}/bulk_items", json={"items": {}, "method": "upsert"}),
        lambda: waiting.post(f"{path}/deletions"),
        lambda: delete_all(waiting, path),
        lambda: waiting.delete(path),
        lambda: open_upload(waiting, path),
    )
    for write in asked:
        assert document["id"] in refused(write(), 409, "DELETION_RUNNING")
    refused(waiting.post("/collections", json=make_collection(id_of(path))), 409, "COLLECTION_EXISTS")
    assert [listed["id"] for listed in waiting.get(f"{path}/deletions").json()["deletions"]] == [document["id"]]


def test_of_two_that_cascade_at_once_one_is_refused(idle: Service, waiting: httpx2.Client) -> None:
    path = make_filled(waiting, 1)
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda _: httpx2.delete(f"{idle.url}{path}?cascade=true", timeout=60), range(4)))
    assert sorted(answer.status_code for answer in answers) == [202, 409, 409, 409]


def test_writers_meet_a_cascade_and_leave_nothing_behind(service: Service, http: httpx2.Client) -> None:
    path = make_filled(http, 600)

    def write(number: int) -> set[int]:
        seen = set()
        with httpx2.Client(base_url=service.url, timeout=60) as own:
            for n in range(100):
                body = {"items": {f"w{number}-{n}": make_item(id_of(path), f"w{number}-{n}")}}
                seen.add(own.post(f"{path}/bulk_items", json=body).status_code)
                if 404 in seen:
                    break
        return seen

    with ThreadPoolExecutor(3) as pool:
        writers = [pool.submit(write, number) for number in range(3)]
        time.sleep(0.2)
        location = delete_all(http, path).headers["location"]
        assert set().union(*(writer.result() for writer in writers)) <= {200, 404, 409}
    assert ended(http, location).status is TaskState.SUCCEEDED
    refused(http.get(path), 404, "COLLECTION_NOT_FOUND")
    with psycopg.connect(service.database_url) as connection:
        left = connection.execute("SELECT FROM pgstac.items WHERE collection = %s", (id_of(path),)).fetchall()
    assert left == []


def test_uploads_of_a_collection_that_is_deleted_are_canceled(http: httpx2.Client, service: Service) -> None:
    path = make_filled(http)
    upload = open_upload(http, path).json()
    assert http.put(upload["files"][0]["href"], content=b"x" * 100).status_code == 200
    refused(http.delete(path), 409, "UPLOAD_IN_PROGRESS")
    assert ended(http, delete_all(http, path).headers["location"]).status is TaskState.SUCCEEDED
    assert http.get(f"/uploads/{upload['id']}").json()["status"] == "canceled"
    staged = service.data_dir / "store" / "staging" / upload["id"]
    assert not [file for file in staged.rglob("*") if file.is_file()]
    refused(http.get(path), 404, "COLLECTION_NOT_FOUND")


def test_an_upload_that_runs_while_its_collection_is_deleted_ends(
    http: httpx2.Client, make_product: ProductMaker, make_geotiff: GeotiffMaker
) -> None:
    product = make_product("blue")
    path = f"/collections/{product.id}"
    uploads = [
        Image(product=product, name=f"i{n}", acquired="2024-01-01").upload(make_geotiff(f"{n}.tif")) for n in range(3)
    ]
    location = delete_all(http, path).headers["location"]
    assert ended(http, location).status is TaskState.SUCCEEDED
    for upload in uploads:
        upload.wait_for_completion(timeout=60)
        assert upload.status.is_final
    refused(http.get(path), 404, "COLLECTION_NOT_FOUND")
    assert http.post("/search", json={"collections": [product.id]}).json()["features"] == []
