"""Requests that schemathesis generates from our OpenAPI; a short run here, a long one by `make fuzz`."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.api.fuzz_hooks import KNOWN
from tests.conftest import ROOT, running_service

CHECKS = ("not_a_server_error", "status_code_conformance", "content_type_conformance", "unsupported_method")
SHORT = ("--phases=fuzzing", "--max-examples=8")
LONG = ("--phases=examples,coverage,fuzzing", "--max-examples=80")


def test_no_request_fails_the_service(
    make_database: Callable[[], str], tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """Each answer is one that OpenAPI describes, and none is the service's fault."""
    long = request.config.getoption("--long")
    with running_service(make_database(), tmp_path, "api") as service:
        with httpx2.Client(base_url=service.url, timeout=60) as http:
            known = {name: seed(http, name) for name in ("kept", "doomed", "ended")}
            http.post(f"/uploads/{known['ended']['upload_id']}/cancel").raise_for_status()
        run = subprocess.run(
            [
                *(Path(sys.executable).with_name("schemathesis"), "run", f"{service.url}/api"),
                *(LONG if long else SHORT),
                *(f"--checks={','.join(CHECKS)}", "--generation-deterministic"),
                *("--continue-on-failure", "--request-timeout=60", "--warnings=off", "--no-color"),
            ],
            env={
                **os.environ,
                "SCHEMATHESIS_HOOKS": "tests.api.fuzz_hooks",
                "PYTHONPATH": str(ROOT),
                KNOWN: json.dumps(known),
            },
            cwd=tmp_path,
            capture_output=True,
            text=True,
        )
        assert run.returncode == 0, run.stdout + run.stderr
        assert httpx2.get(f"{service.url}/healthz").status_code == 200
    cases = re.search(r"(\d+) generated, \1 passed", run.stdout)
    assert cases is not None, run.stdout
    assert int(cases[1]) >= (5000 if long else 200)


def seed(http: httpx2.Client, name: str) -> dict[str, Any]:
    """Add a collection with an Item and an open upload; return the path parameters that lead to them."""
    collection = {
        "type": "Collection",
        "stac_version": "1.1.0",
        "id": name,
        "description": "What fuzzed requests are about.",
        "license": "other",
        "extent": {"spatial": {"bbox": [[-180, -90, 180, 90]]}, "temporal": {"interval": [[None, None]]}},
        "links": [],
        "ingest:bands": [{"name": "blue", "type": "spectral", "data_type": "UInt16"}],
    }
    item = {
        "type": "Feature",
        "stac_version": "1.1.0",
        "id": "one",
        "geometry": {"type": "Point", "coordinates": [10, 50]},
        "bbox": [10, 50, 10, 50],
        "properties": {"datetime": "2024-05-01T10:00:00Z", "keywords": ["a-tag"], "eo:cloud_cover": 10},
        "assets": {},
        "links": [],
    }
    upload = {"image": {"name": "two", "acquired": "2024-05-01T10:00:00Z"}, "files": [{"name": "a.tif"}]}
    http.post("/collections", json=collection).raise_for_status()
    http.post(f"/collections/{name}/items", json=item).raise_for_status()
    opened = http.post(f"/collections/{name}/uploads", json=upload).raise_for_status().json()
    return {"collection_id": name, "item_id": "one", "upload_id": opened["id"], "index": 0}
