"""What is answered from memory is not old: after own changes, those of other processes, and lost connections."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import psycopg
import pytest
from psycopg.types.json import Jsonb

from tests.api.test_stac import make_collection, make_item
from tests.conftest import running_service

PATIENCE_SECONDS = 1.0
"""How old an answer may be after a change of another process."""


@dataclass
class Pair:
    """Two APIs on one database."""

    one: httpx2.Client
    other: httpx2.Client
    database: psycopg.Connection[Any]


@pytest.fixture(scope="module")
def pair(make_database: Callable[[], str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    url, folder = make_database(), tmp_path_factory.mktemp("data")
    with (
        running_service(url, folder, "api") as one,
        running_service(url, folder, "api") as other,
        httpx2.Client(base_url=one.url) as first,
        httpx2.Client(base_url=other.url) as second,
        psycopg.connect(url, autocommit=True, options="-c search_path=pgstac,public") as database,
    ):
        yield Pair(first, second, database)


def soon(holds: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not holds():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


def titles(client: httpx2.Client) -> dict[str, str]:
    return {one["id"]: one["title"] for one in client.get("/collections").json()["collections"]}


def assert_all_agree(client: httpx2.Client) -> None:
    children = client.get("/children").json()["children"]
    links = [link for link in client.get("/").json()["links"] if link["rel"] == "child"]
    assert titles(client) == {one["id"]: one["title"] for one in children}
    assert titles(client) == {link["href"].rpartition("/")[2]: link["title"] for link in links}


def tags(client: httpx2.Client, path: str = "/queryables") -> set[str]:
    return set(client.get(path).json()["properties"]["tag"].get("enum", ()))


def test_what_one_writes_one_reads_at_once(pair: Pair) -> None:
    for index in range(20):
        collection = make_collection(f"own-{index}")
        assert pair.one.post("/collections", json=collection).status_code == 201
        assert pair.one.get(f"/collections/own-{index}").status_code == 200
        assert titles(pair.one)[f"own-{index}"] == f"own-{index}"
        assert pair.one.put(f"/collections/own-{index}", json={**collection, "title": "new"}).status_code == 200
        assert pair.one.get(f"/collections/own-{index}").json()["title"] == "new"
        assert titles(pair.one)[f"own-{index}"] == "new"
        assert_all_agree(pair.one)
        assert pair.one.delete(f"/collections/own-{index}").status_code == 204
        assert pair.one.get(f"/collections/own-{index}").status_code == 404
        assert f"own-{index}" not in titles(pair.one)


def test_what_one_writes_the_other_reads_within_a_second(pair: Pair) -> None:
    pair.one.post("/collections", json=make_collection("shared"))
    assert soon(lambda: "shared" in titles(pair.other))
    pair.one.patch("/collections/shared", json={"title": "new"})
    assert soon(lambda: titles(pair.other).get("shared") == "new")
    assert soon(lambda: pair.other.get("/collections/shared").json()["title"] == "new")
    item = make_item("shared", "a", properties={"keywords": ["fresh", "it's"]})
    assert pair.one.post("/collections/shared/items", json=item).status_code == 201
    for path in ("/queryables", "/collections/shared/queryables"):
        assert soon(lambda path=path: {"fresh", "it's"} <= tags(pair.other, path))  # type: ignore[misc]
    pair.one.delete("/collections/shared/items/a")
    assert soon(lambda: "fresh" not in tags(pair.other))
    pair.one.delete("/collections/shared")
    assert soon(lambda: pair.other.get("/collections/shared").status_code == 404)


def test_what_other_tools_write_is_read_within_a_second(pair: Pair) -> None:
    pair.database.execute("SELECT create_collection(%s)", [Jsonb(make_collection("foreign"))])
    assert soon(lambda: "foreign" in titles(pair.one))
    pair.database.execute(
        "SELECT upsert_queryables(%s, ARRAY['foreign'])", [Jsonb({"properties": {"snow": {"type": "number"}}})]
    )
    for path, wanted in (("/collections/foreign/queryables", True), ("/queryables", True)):
        assert soon(lambda path=path: "snow" in pair.one.get(path).json()["properties"]) is wanted  # type: ignore[misc]
    pair.database.execute("SELECT delete_collection('foreign')")
    assert soon(lambda: "foreign" not in titles(pair.one))


def test_nothing_gets_old_while_nobody_listens(pair: Pair) -> None:
    titles(pair.one)
    ended = pair.database.execute("""
        SELECT pg_terminate_backend(pid) FROM pg_stat_activity
        WHERE application_name = 'stac-ingest-listening' AND datname = current_database()""").fetchall()
    assert len(ended) == 2
    for index in range(3):
        pair.database.execute("SELECT create_collection(%s)", [Jsonb(make_collection(f"unheard-{index}"))])
        assert soon(lambda index=index: f"unheard-{index}" in titles(pair.one))  # type: ignore[misc]
        pair.database.execute("SELECT delete_collection(%s)", [f"unheard-{index}"])
        assert soon(lambda index=index: f"unheard-{index}" not in titles(pair.one))  # type: ignore[misc]
    time.sleep(PATIENCE_SECONDS + 0.5)  # by now they listen again
    test_what_other_tools_write_is_read_within_a_second(pair)


def test_the_list_has_pages(pair: Pair) -> None:
    ids = [f"page-{index}" for index in range(5)]
    for name in ids:
        pair.one.post("/collections", json=make_collection(name))
    found, href = [], "/collections?limit=2"
    while href:
        page = pair.one.get(href).json()
        assert page["numberMatched"] == 5
        assert page["numberReturned"] == len(page["collections"])
        found += [one["id"] for one in page["collections"]]
        links = {link["rel"]: link["href"] for link in page["links"]}
        assert ("previous" in links) == (len(found) > 2)
        href = links.get("next", "")
    assert found == ids
    assert [one["id"] for one in pair.one.get("/collections?limit=2&offset=4").json()["collections"]] == ids[4:]
    assert len(pair.one.get("/collections").json()["collections"]) == 5
    assert [one["id"] for one in pair.one.get("/collections?q=page-3&limit=1").json()["collections"]] == ["page-3"]
    for wrong in ("limit=0", "limit=x", "offset=-1", "limit="):
        assert pair.one.get(f"/collections?{wrong}").status_code == (200 if wrong == "limit=" else 400)


def test_queryables_say_what_they_are(pair: Pair, tmp_path: Path) -> None:
    document = pair.one.get("/queryables").json()
    assert document["additionalProperties"] is True
    properties = document["properties"]
    assert not [name for name in properties if "private" in name or name.startswith("pgstac")]
    for name, schema in properties.items():
        assert schema.get("title"), name
        assert schema.keys() & {"type", "$ref"}, name
    assert properties["eo:cloud_cover"]["type"] == "number"
    assert properties["tags"] == {**properties["tags"], "type": "array"}
    for name in ("id", "collection", "geometry", "datetime", "start_datetime", "end_datetime", "keywords", "tag"):
        assert name in properties
