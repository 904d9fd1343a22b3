"""What searches read follows what the catalog holds, whoever writes there and however."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg.types.json import Jsonb
from pypgstac.db import PgstacDB
from pypgstac.load import Loader, Methods

from stac_ingest.database import SEARCH_PATH
from stac_ingest.database.migrate import migrate
from tests.api.test_stac import make_collection, make_item

Json = dict[str, Any]
Database = psycopg.Connection[tuple[Any, ...]]

ITEM_ASSETS: Json = {
    "blue": {"title": "Blue", "roles": ["data"], "bands": [{"name": "blue", "nodata": 0}, {"name": "mask"}]},
    "red": {"title": "Red", "roles": ["data"], "proj:shape": [1, 2], "nested": {"a": 1, "b": {"c": 2}}},
    "never": {"title": "In no item", "roles": ["metadata"]},
}


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    with psycopg.connect(database_url, autocommit=True, options=f"-c search_path={SEARCH_PATH}") as connection:
        for name, more in (("plain", {}), ("templated", {"item_assets": ITEM_ASSETS})):
            connection.execute("SELECT pgstac.create_collection(%s)", [Jsonb(make_collection(name, **more))])
        yield connection


def create(database: Database, *items: Json) -> None:
    database.execute("SELECT pgstac.create_items(%s)", [Jsonb(list(items))])


def differences(database: Database) -> list[Any]:
    """Return the items of which what searches read is not what pgstac gives."""
    return database.execute("""
        SELECT coalesce(items.id, documents.id), pgstac.content_hydrate(items)::text, convert_from(document, 'UTF8')
        FROM pgstac.items FULL JOIN documents USING (collection, id)
        WHERE pgstac.content_hydrate(items) IS DISTINCT FROM
              parsed(document) || CASE WHEN links IS NULL
                  THEN CASE WHEN pgstac.content_hydrate(items) ? 'links' THEN '{"links": []}' ELSE '{}' END::jsonb
                  ELSE jsonb_build_object('links', parsed(links)) END
           OR items.datetime <> documents.datetime OR items.end_datetime <> documents.end_datetime
           OR NOT st_equals(items.geometry, documents.geometry)
           OR documents.properties IS DISTINCT FROM parsed(document)->'properties'
        """).fetchall()


def tags(database: Database) -> list[tuple[str, str]]:
    return database.execute("SELECT tag, id FROM tagged ORDER BY tag, id").fetchall()


def changes(database: Database) -> dict[str, int]:
    rows = database.execute("SELECT collection, sum(transactions)::int FROM changes GROUP BY collection").fetchall()
    return {str(collection): int(count) for collection, count in rows}


def test_every_way_of_writing_is_followed(database: Database, database_url: str) -> None:
    item = make_item("plain", "a", properties={"keywords": ["x", "y", "x"]})
    create(database, item)
    assert tags(database) == [("x", "a"), ("y", "a")]

    item["properties"] = {"datetime": "2024-05-02T10:00:00Z", "keywords": ["y", "z"]}
    database.execute("SELECT pgstac.update_item(%s)", [Jsonb(item)])
    assert tags(database) == [("y", "a"), ("z", "a")]

    item["properties"]["keywords"] = []
    database.execute("SELECT pgstac.upsert_item(%s)", [Jsonb(item)])
    assert tags(database) == []

    database.execute("UPDATE pgstac.items SET content = jsonb_set(content, '{properties,keywords}', '[\"w\"]')")
    assert tags(database) == [("w", "a")]
    assert differences(database) == []

    loader = Loader(PgstacDB(dsn=database_url))
    loaded = [make_item("plain", name, day=day, properties={"keywords": [name]}) for day, name in enumerate("bcd", 1)]
    loader.load_items(iter(copy.deepcopy(loaded)), Methods.insert)
    for method in (Methods.upsert, Methods.delsert, Methods.ignore):
        for one in loaded:
            one["properties"]["keywords"] = [f"{method}"]
        loader.load_items(iter(copy.deepcopy(loaded)), method)
        assert differences(database) == []
    assert [tag for tag, _ in tags(database)] == [f"{Methods.delsert}"] * 3 + ["w"]

    database.execute("SELECT pgstac.delete_item('a', 'plain')")
    assert differences(database) == []
    database.execute("SELECT pgstac.delete_collection('plain')")
    assert differences(database) == []
    assert tags(database) == []


def test_what_is_rolled_back_was_never_there(database: Database) -> None:
    before = changes(database)
    with pytest.raises(psycopg.errors.UniqueViolation):
        create(database, make_item("plain", "a", properties={"keywords": ["x"]}), make_item("plain", "a"))
    assert (differences(database), tags(database), changes(database)) == ([], [], before)


def test_a_new_partition_is_followed_too(database: Database) -> None:
    create(database, make_item("plain", "a", properties={"keywords": ["x"]}))
    database.execute("UPDATE pgstac.collections SET partition_trunc = 'month' WHERE id = 'plain'")
    create(database, make_item("plain", "b", properties={"datetime": "2020-01-01T00:00:00Z", "keywords": ["x"]}))
    assert differences(database) == []
    assert tags(database) == [("x", "a"), ("x", "b")]


def test_each_transaction_counts_once_for_each_collection(database: Database) -> None:
    create(database, make_item("plain", "a"), make_item("plain", "b"))
    with database.transaction():
        create(database, make_item("plain", "c"))
        create(database, make_item("templated", "a"))
        database.execute("SELECT pgstac.delete_item('a', 'plain')")
    counted = changes(database)
    assert counted["templated"] >= 1
    assert counted["plain"] >= 2
    for name in counted:
        database.execute("SELECT add_up_changes(%s)", [name])
    assert changes(database) == counted
    database.execute("SELECT pgstac.delete_item('c', 'plain')")
    assert changes(database)["plain"] == counted["plain"] + 1


def test_what_is_read_can_be_made_anew(database: Database, database_url: str) -> None:
    create(database, make_item("plain", "a", properties={"keywords": ["x"]}), make_item("templated", "b"))
    before = changes(database)
    database.execute("TRUNCATE documents, tagged")
    assert len(differences(database)) == 2
    database.execute("SELECT rebuild_documents()")
    assert differences(database) == []
    assert tags(database) == [("x", "a")]
    assert all(changes(database)[name] > before[name] for name in before)

    database.execute("DROP TRIGGER follow_item ON pgstac.items; DELETE FROM documents")  # as of an earlier release
    migrate(database_url)
    assert differences(database) == []


def test_the_template_of_the_assets_is_the_one_of_its_time(database: Database) -> None:
    create(database, make_item("templated", "a"))
    changed = {**ITEM_ASSETS, "blue": {**ITEM_ASSETS["blue"], "title": "Bleu"}}
    database.execute("SELECT pgstac.update_collection(%s)", [Jsonb(make_collection("templated", item_assets=changed))])
    create(database, make_item("templated", "b"))
    assert differences(database) == []


def test_an_item_lasts_no_longer_than_the_longest(database: Database) -> None:
    longest = "SELECT extract(epoch FROM longest) FROM lasting"
    for hours, wanted in ((2, 7200), (1, 7200), (30, 108_000)):
        range_ = {
            "start_datetime": "2024-05-01T00:00:00Z",
            "end_datetime": f"2024-05-{1 + hours // 24:02}T{hours % 24:02}:00:00Z",
        }
        create(database, make_item("plain", f"lasting-{hours}", properties=range_))
        assert database.execute(longest).fetchone() == (wanted,)


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-5, 5)
    | st.sampled_from(["", "Blue", "data", "𒍟※", "1e300"])
    | st.just(1e300),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(["a", "b", "c"]), inner, max_size=2),
    max_leaves=4,
)
MEMBERS = st.dictionaries(
    st.sampled_from(["title", "roles", "bands", "proj:shape", "nested", "href"]), VALUES, max_size=4
)


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(assets=st.dictionaries(st.sampled_from(["blue", "red", "own"]), MEMBERS, max_size=3), properties=MEMBERS)
def test_an_item_is_made_whole_as_pgstac_does_it(database: Database, assets: Json, properties: Json) -> None:
    item = make_item("templated", "a", properties=properties)
    item["assets"] = {key: {"href": f"https://example.com/{key}.tif", **asset} for key, asset in assets.items()}
    database.execute("DELETE FROM pgstac.items")
    create(database, item)
    assert differences(database) == [], json.dumps(item)


def test_a_database_that_has_no_sizes_yet_gets_them(database: Database, database_url: str) -> None:
    asset = {"href": "https://a.example/1.tif", "roles": ["data"], "file:size": 7}
    create(database, {**make_item("plain", "a"), "assets": {"one": asset, "two": asset}}, make_item("plain", "b"))
    database.execute("ALTER TABLE documents DROP COLUMN bytes")
    migrate(database_url)
    assert database.execute("SELECT id, bytes FROM documents ORDER BY id").fetchall() == [("a", 14), ("b", 0)]
