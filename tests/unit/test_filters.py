"""Conditions on images, as values and as CQL2-JSON."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime
from functools import reduce
from operator import and_, or_
from typing import Any

import cql2
import pytest

from api.stac.cql2 import parse
from stac_ingest import StorageState
from stac_ingest import properties as p
from stac_ingest.client.connection import Client
from stac_ingest.client.search import FIELDS, ImageSearch
from stac_ingest.filters import Expression

Json = dict[str, Any]

CASES: list[tuple[str, Callable[[], Expression], Json]] = [
    ("tag", lambda: p.tags == "x", {"op": "a_contains", "args": [{"property": "keywords"}, ["x"]]}),
    (
        "no tag",
        lambda: p.tags != "x",
        {"op": "not", "args": [{"op": "a_contains", "args": [{"property": "keywords"}, ["x"]]}]},
    ),
    ("tags", lambda: p.tags.in_(["x", "y"]), {"op": "a_overlaps", "args": [{"property": "keywords"}, ["x", "y"]]}),
    ("untagged", lambda: p.tags.isnull, {"op": "isNull", "args": [{"property": "keywords"}]}),
    ("equal", lambda: p.satellite_id == "S2A", {"op": "=", "args": [{"property": "platform"}, "S2A"]}),
    ("unequal", lambda: p.satellite_id != "S2A", {"op": "<>", "args": [{"property": "platform"}, "S2A"]}),
    ("less, in percent", lambda: p.cloud_fraction < 0.2, {"op": "<", "args": [{"property": "eo:cloud_cover"}, 20.0]}),
    ("reversed", lambda: p.cloud_fraction <= 0.07, {"op": "<=", "args": [{"property": "eo:cloud_cover"}, 7.0]}),
    ("greater", lambda: p.view_angle > 5, {"op": ">", "args": [{"property": "ingest:view_angle"}, 5]}),
    ("at least", lambda: p.view_angle >= 5, {"op": ">=", "args": [{"property": "ingest:view_angle"}, 5]}),
    ("at most", lambda: p.view_angle <= 5, {"op": "<=", "args": [{"property": "ingest:view_angle"}, 5]}),
    (
        "one of",
        lambda: p.cloud_fraction.any_of([0, 1]),
        {"op": "in", "args": [{"property": "eo:cloud_cover"}, [0.0, 100.0]]},
    ),
    (
        "set",
        lambda: p.provider_id.isnotnull,
        {"op": "not", "args": [{"op": "isNull", "args": [{"property": "ingest:provider_id"}]}]},
    ),
    ("prefix", lambda: p.name.prefix("a_b%c\\"), {"op": "like", "args": [{"property": "id"}, "a\\_b\\%c\\\\%"]}),
    ("product", lambda: p.product_id == "x:y", {"op": "=", "args": [{"property": "collection"}, "x:y"]}),
    ("text moment", lambda: p.acquired > "2024-05-01", {"op": ">", "args": [{"property": "datetime"}, "2024-05-01"]}),
    (
        "moment",
        lambda: p.acquired > datetime(2024, 5, 1, 12, tzinfo=UTC),
        {"op": ">", "args": [{"property": "datetime"}, "2024-05-01T12:00:00Z"]},
    ),
    (
        "day",
        lambda: p.acquired < date(2024, 5, 1),
        {"op": "<", "args": [{"property": "datetime"}, "2024-05-01T00:00:00Z"]},
    ),
    (
        "state",
        lambda: p.storage_state == StorageState.REMOTE,
        {"op": "=", "args": [{"property": "ingest:storage_state"}, "remote"]},
    ),
]


@pytest.mark.parametrize(("make", "expected"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_a_condition_is_valid_cql2(make: Callable[[], Expression], expected: Json) -> None:
    tree = make().to_cql2(FIELDS)
    assert tree == expected
    cql2.Expr(tree).validate()
    assert parse(tree, "cql2-json")


def test_conditions_are_combined() -> None:
    a, b, c = p.satellite_id == "a", p.satellite_id == "b", p.tags == "c"
    tree = ((a | b) & ~c).to_cql2(FIELDS)
    cql2.Expr(tree).validate()
    assert tree == {
        "op": "and",
        "args": [
            {"op": "or", "args": [a.to_cql2(FIELDS), b.to_cql2(FIELDS)]},
            {"op": "not", "args": [c.to_cql2(FIELDS)]},
        ],
    }


@pytest.mark.parametrize(("join", "operator"), [(and_, "and"), (or_, "or")])
def test_many_conditions_lie_side_by_side(join: Callable[..., Expression], operator: str) -> None:
    tree = reduce(join, [p.tags == str(index) for index in range(200)]).to_cql2(FIELDS)
    assert tree["op"] == operator
    assert [part["args"][1] for part in tree["args"]] == [[str(index)] for index in range(200)]
    assert parse(tree, "cql2-json")["op"] == operator
    assert reduce(join, [p.tags == "a", (p.tags == "b") & (p.tags == "c")]).to_cql2(FIELDS)["op"] == operator


def test_searches_keep_their_conditions_side_by_side() -> None:
    with Client("http://nowhere.invalid") as client:
        search = ImageSearch(client, collections=("x",))
        for index in range(100):
            search = search.filter(p.tags == str(index))
    assert search.expression is not None
    assert len(search.expression.to_cql2(FIELDS)["args"]) == 100


def test_conditions_know_what_python_would_get_wrong() -> None:
    condition = p.tags == "x"
    for wrong in (
        lambda: condition and condition,
        lambda: not condition,
        lambda: bool(condition),
        lambda: 1 < p.gsd < 2,
    ):
        with pytest.raises(TypeError, match=r"&, \| and ~"):
            wrong()
    with pytest.raises(ValueError, match="at least one item"):
        p.tags.in_([])
    with pytest.raises(TypeError, match="several values"):
        (p.tags > "x").to_cql2(FIELDS)
    with pytest.raises(AttributeError, match="no attribute colour"):
        (p.colour == "red").to_cql2(FIELDS)
    with pytest.raises(AttributeError):
        p._private  # noqa: B018
    with pytest.raises(TypeError):
        hash(p.tags)


def test_a_prefix_of_tags() -> None:
    with pytest.raises(TypeError, match="several values"):
        p.tags.prefix("x").to_cql2(FIELDS)
