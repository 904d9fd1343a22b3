"""A worker that is killed while it deletes: the deletion ends, once, and nothing is left."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import httpx2
import psycopg

from stac_ingest.models.deletion import Deletion
from stac_ingest.models.enums import TaskState
from tests.api.test_stac import make_collection, make_item
from tests.conftest import running_service

COUNT = 1200
SECONDS = 90
SETTINGS = {"STAC_INGEST_LEASE_SECONDS": "2", "STAC_INGEST_RENEW_SECONDS": "0.5", "STAC_INGEST_SWEEP_SECONDS": "0.5"}


def test_a_killed_worker_leaves_a_deletion_that_ends_once(make_database: Callable[[], str], tmp_path: Path) -> None:
    with (
        running_service(make_database(), tmp_path, "api", "worker", **SETTINGS) as service,
        httpx2.Client(base_url=service.url, timeout=60) as http,
    ):
        http.post("/collections", json=make_collection("large")).raise_for_status()
        features = [make_item("large", f"i{number}") for number in range(COUNT)]
        added = http.post("/collections/large/items", json={"type": "FeatureCollection", "features": features})
        added.raise_for_status()

        def wait_until(holds: Callable[[Deletion], bool]) -> Deletion:
            deadline = time.monotonic() + SECONDS
            while not holds(now := Deletion.model_validate(http.get(location).json())):
                assert time.monotonic() < deadline, now
                time.sleep(0.02)
            return now

        with psycopg.connect(service.database_url) as other:
            # The worker comes to a stop in a later batch than the first, where somebody else holds an item.
            other.execute("SELECT id FROM pgstac.items WHERE id = 'i999' FOR UPDATE")
            location = http.post("/collections/large/deletions").headers["location"]
            killed = wait_until(lambda now: now.objects_deleted > 0)
            service.processes["worker"].kill()
            service.processes["worker"].wait()
        assert killed.status is TaskState.RUNNING
        assert http.get("/collections/large/items/i999").status_code == 200
        service.start("worker")
        after = wait_until(lambda now: now.status.is_final)
        assert (after.status, after.objects_deleted, after.errors) == (TaskState.SUCCEEDED, COUNT, ())
        with psycopg.connect(service.database_url) as connection:
            assert connection.execute("SELECT attempt FROM stac_ingest.deletions").fetchone() == (2,)
            assert connection.execute("SELECT count(*) FROM pgstac.items").fetchone() == (0,)
        assert http.delete("/collections/large").status_code == 204
