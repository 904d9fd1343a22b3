"""What tests of the API share beside the service."""

from __future__ import annotations

from uuid import uuid4

import httpx2
import pytest

from tests.api.test_stac import make_collection


@pytest.fixture
def collection(http: httpx2.Client) -> str:
    """Address of a collection that this test has to itself."""
    collection_id = f"test:{uuid4().hex[:12]}"
    assert http.post("/collections", json=make_collection(collection_id)).status_code == 201
    return f"/collections/{collection_id}"
