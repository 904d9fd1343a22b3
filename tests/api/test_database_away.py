"""A database that is away is said so, at once, and is nobody's 500."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx2

from stac_ingest import Product, SpectralBand
from stac_ingest.client.connection import Client
from stac_ingest.database.cluster import running_cluster
from stac_ingest.database.migrate import migrate
from tests.api.answers import refused
from tests.conftest import running_service

UPLOAD = {"image": {"name": "a", "acquired": "2024-01-01"}, "files": [{"name": "a.tif"}]}
SOON = 15


def test_every_route_answers_503_while_the_database_is_away(tmp_path: Path) -> None:
    cluster = running_cluster(tmp_path / "cluster")
    url = cluster.__enter__()
    stopped = False
    try:
        migrate(url)
        with (
            running_service(url, tmp_path / "data", "api") as service,
            httpx2.Client(base_url=service.url, timeout=60) as http,
        ):
            with Client(service.url) as client:
                product = Product(client, id="p")
                product.save()
                SpectralBand(client, product=product, name="blue").save()
            upload = http.post("/collections/p/uploads", json=UPLOAD).json()
            assert http.get("/search").status_code == 200

            cluster.__exit__(None, None, None)
            stopped = True

            def ask(request: tuple[str, str, Any]) -> None:
                method, path, body = request
                started = time.monotonic()
                answer = http.request(method, path, json=body)
                assert "try again" in refused(answer, 503, "DATABASE_UNAVAILABLE"), request
                assert int(answer.headers["retry-after"]) > 0
                assert time.monotonic() - started < SOON, request

            with ThreadPoolExecutor(20) as threads:
                list(
                    threads.map(
                        ask,
                        (
                            ("GET", "/healthz", None),
                            ("GET", "/", None),
                            ("GET", "/search", None),
                            ("POST", "/search", {"filter": {"op": "=", "args": [{"property": "tag"}, "x"]}}),
                            ("GET", "/collections", None),
                            ("GET", "/collections/p", None),
                            ("GET", "/collections/p/items", None),
                            ("GET", "/queryables", None),
                            ("POST", "/collections/p/uploads", UPLOAD),
                            ("GET", "/uploads", None),
                            ("GET", f"/uploads/{upload['id']}", None),
                            ("GET", f"/uploads/{upload['id']}/events", None),
                            ("PUT", f"/uploads/{upload['id']}/files/0", None),
                            ("POST", f"/uploads/{upload['id']}/submit", None),
                            ("POST", f"/uploads/{upload['id']}/cancel", None),
                            ("DELETE", "/collections/p", None),
                        ),
                    )
                )
    finally:
        if not stopped:
            cluster.__exit__(None, None, None)
