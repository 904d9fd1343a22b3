"""Conditions on images, as values, as CQL2-JSON, and evaluated here."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta, timezone
from functools import reduce
from operator import and_, or_
from types import SimpleNamespace
from typing import Any

import cql2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.stac.cql2 import keys_of, parse
from stac_ingest import Image, Product, Resolution, StorageState
from stac_ingest import properties as p
from stac_ingest.client.connection import Client
from stac_ingest.client.searching.searches import FIELDS, ImageSearch
from stac_ingest.errors import AttributeValidationError
from stac_ingest.filters import Comparison, Expression

Json = dict[str, Any]


def prop(name: str) -> Json:
    return {"property": name}


def op(operator: str, *args: Any) -> Json:
    return {"op": operator, "args": list(args)}


KEYWORDS, MISSING = prop("keywords"), op("isNull", prop("keywords"))
STATE = prop("ingest:storage_state")

CASES: list[tuple[str, Callable[[], Any], Json]] = [
    ("tag", lambda: p.tags == "x", op("and", op("not", MISSING), op("a_contains", KEYWORDS, ["x"]))),
    ("no tag", lambda: p.tags != "x", op("or", MISSING, op("not", op("a_contains", KEYWORDS, ["x"])))),
    ("tags", lambda: p.tags.in_(["x", "y"]), op("and", op("not", MISSING), op("a_overlaps", KEYWORDS, ["x", "y"]))),
    ("untagged", lambda: p.tags.isnull, op("or", MISSING, op("a_equals", KEYWORDS, []))),
    ("equal", lambda: p.satellite_id == "S2A", op("=", prop("platform"), "S2A")),
    ("unequal", lambda: p.satellite_id != "S2A", op("<>", prop("platform"), "S2A")),
    ("less, in percent", lambda: p.cloud_fraction < 0.2, op("<", prop("eo:cloud_cover"), 20.0)),
    ("reversed", lambda: p.cloud_fraction <= 0.07, op("<=", prop("eo:cloud_cover"), 7.0)),
    ("greater", lambda: p.view_angle > 5, op(">", prop("ingest:view_angle"), 5)),
    ("at least", lambda: p.view_angle >= 5, op(">=", prop("ingest:view_angle"), 5)),
    ("at most", lambda: p.view_angle <= np.float32(5), op("<=", prop("ingest:view_angle"), 5)),
    ("on the left", lambda: np.float64(5) <= p.view_angle, op(">=", prop("ingest:view_angle"), 5)),
    ("one of", lambda: p.cloud_fraction.any_of([0, 1]), op("in", prop("eo:cloud_cover"), [0.0, 100.0])),
    ("set", lambda: p.provider_id.isnotnull, op("not", op("isNull", prop("ingest:provider_id")))),
    ("prefix", lambda: p.name.prefix("a_b%c\\"), op("like", prop("id"), "a\\_b\\%c\\\\%")),
    ("product", lambda: p.product_id == "x:y", op("=", prop("collection"), "x:y")),
    ("end", lambda: p.acquired_end.isnull, op("isNull", prop("end_datetime"))),
    ("id", lambda: p.id == "x:y:z", op("and", op("=", prop("collection"), "x:y"), op("=", prop("id"), "z"))),
    (
        "other id",
        lambda: p.id != "x:z",
        op("not", op("and", op("=", prop("collection"), "x"), op("=", prop("id"), "z"))),
    ),
    (
        "moment",
        lambda: p.acquired > datetime(2024, 5, 1, 12, tzinfo=timezone(timedelta(hours=2))),
        op(">", prop("datetime"), "2024-05-01T10:00:00Z"),
    ),
    (
        "moment of NumPy",
        lambda: p.acquired > np.datetime64("2024-05-01T12:00", "ns"),
        op(">", prop("datetime"), "2024-05-01T12:00:00Z"),
    ),
    ("day", lambda: p.acquired < date(2024, 5, 1), op("<", prop("datetime"), "2024-05-01T00:00:00Z")),
    (
        "state",
        lambda: p.storage_state == StorageState.REMOTE,
        op("and", op("not", op("isNull", STATE)), op("=", STATE, "remote")),
    ),
    (
        "state that is the default",
        lambda: p.storage_state != "remote",
        op("or", op("isNull", STATE), op("<>", STATE, "remote")),
    ),
    ("extra", lambda: p.extra_properties["a"]["b"] > 0, op(">", prop("ingest:extra_properties.a.b"), 0)),
    ("extra no", lambda: p.extra_properties["a"] == False, op("=", prop("ingest:extra_properties.a"), False)),  # noqa: E712
    ("extra in", lambda: p.extra_properties["a"].in_(["", 1]), op("in", prop("ingest:extra_properties.a"), ["", 1])),
    (
        "extra time",
        lambda: p.extra_properties["a"] < date(2024, 5, 1),
        op("<", prop("ingest:extra_properties.a"), "2024-05-01T00:00:00Z"),
    ),
    (
        "extra odd",
        lambda: p.extra_properties["a.b\\"][0].isnull,
        op("isNull", prop("ingest:extra_properties.a\\.b\\\\.0")),
    ),
]


@pytest.mark.parametrize(("make", "expected"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_a_condition_is_valid_cql2(make: Callable[[], Expression], expected: Json) -> None:
    tree = make().to_cql2(FIELDS)
    assert tree == expected
    cql2.Expr(tree).validate()
    assert parse(tree, "cql2-json")


@pytest.mark.parametrize("make", [case[1] for case in CASES], ids=[case[0] for case in CASES])
def test_what_is_serialized_is_parsed_to_the_same(make: Callable[[], Expression]) -> None:
    expression = make()
    serialized = expression.serialize()
    cql2.Expr(serialized).validate()
    again = Expression.parse(serialized)
    assert again == expression
    assert hash(again) == hash(expression)
    assert repr(again) == repr(expression)
    assert again != ~expression


def test_serialized_conditions_name_attributes_as_the_sdk_does() -> None:
    assert ((p.tags == "x") | ~(p.acquired > date(2024, 5, 1))).serialize() == op(
        "or",
        op("=", prop("tags"), "x"),
        op("not", op(">", prop("acquired"), {"timestamp": "2024-05-01T00:00:00Z"})),
    )


@given(st.lists(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])), min_size=1, max_size=3))
def test_any_key_can_be_named(keys: list[str]) -> None:
    named = reduce(lambda inner, key: inner[key], keys, p.extra_properties)
    expression = named == "x"
    assert isinstance(expression, Comparison)
    assert expression.keys == tuple(keys)
    assert Expression.parse(expression.serialize()) == expression
    (named_there, _) = parse(expression.to_cql2(FIELDS), None)["args"]
    assert keys_of(named_there["property"]) == ("ingest:extra_properties", *keys)
    wanted: Any = "x"
    for key in reversed(keys):
        wanted = {key: wanted}
    assert expression.evaluate(SimpleNamespace(extra_properties=wanted))


@pytest.mark.parametrize(
    "wrong",
    [
        None,
        5,
        {},
        [],
        {"op": "and", "args": []},
        {"op": "not", "args": []},
        op("=", "x", 5),
        op("=", prop("a"), None),
        op("=", prop("a"), [1]),
        op("pow", prop("a"), 1),
        op("like", prop("a"), "x"),
        op("like", prop("a"), "x_%"),
        op("in", prop("a"), []),
        op("in", prop("a"), "x"),
    ],
)
def test_what_is_no_condition_is_not_parsed(wrong: object) -> None:
    with pytest.raises(ValueError, match=r"Expected a condition|at least one item"):
        Expression.parse(wrong)


def test_conditions_can_be_read() -> None:
    assert repr((p.a > 1) & ~(p.tags == "x") & p.b.isnull | p.n.prefix("s")) == (
        "((p.a > 1) & ~(p.tags == 'x') & p.b.isnull) | p.n.prefix('s')"
    )
    assert repr(p.extra_properties["k"].in_([1, "a"])) == "p.extra_properties['k'].in_([1, 'a'])"
    assert repr(p.acquired >= date(2024, 5, 1)) == "p.acquired >= '2024-05-01T00:00:00Z'"
    assert repr(p.x["a"] if False else p.extra_properties["a"]) == "p.extra_properties['a']"


def test_conditions_are_combined() -> None:
    a, b, c = p.satellite_id == "a", p.satellite_id == "b", p.tags == "c"
    tree = ((a | b) & ~c).to_cql2(FIELDS)
    cql2.Expr(tree).validate()
    assert tree == op("and", op("or", a.to_cql2(FIELDS), b.to_cql2(FIELDS)), op("not", c.to_cql2(FIELDS)))


@pytest.mark.parametrize(("join", "operator"), [(and_, "and"), (or_, "or")])
def test_many_conditions_lie_side_by_side(join: Callable[..., Expression], operator: str) -> None:
    tree = reduce(join, [p.satellite_id == str(index) for index in range(200)]).to_cql2(FIELDS)
    assert tree["op"] == operator
    assert [part["args"][1] for part in tree["args"]] == [str(index) for index in range(200)]
    assert parse(tree, "cql2-json")["op"] == operator
    assert reduce(join, [p.tags == "a", (p.tags == "b") & (p.tags == "c")]).to_cql2(FIELDS)["op"] == operator


def test_searches_keep_their_conditions_side_by_side() -> None:
    with Client("http://nowhere.invalid") as client:
        search = ImageSearch(client, collections=("x",))
        for index in range(100):
            search = search.filter(p.tags == str(index))
    assert search.expression is not None
    assert len(search.expression.to_cql2(FIELDS)["args"]) == 100


# --- Chains -----------------------------------------------------------------------------------------------------------


def both(low: Expression, high: Expression) -> Expression:
    return low & high


# pytest takes the chains in an assert apart, so they stand before it here.


def test_a_range_is_a_chain() -> None:
    made = "2017-01-01" <= p.acquired < "2018-01-01"
    assert made == both(p.acquired >= "2017-01-01", p.acquired < "2018-01-01")
    made = 5 > p.gsd >= 1
    assert made == both(p.gsd < 5, p.gsd >= 1)
    low: Any = np.float64(1)
    made = low < p.gsd < np.int64(2)
    assert made == both(p.gsd > 1, p.gsd < 2)
    made = date(2017, 1, 1) <= p.acquired <= datetime(2018, 1, 1, tzinfo=UTC)
    assert made == both(p.acquired >= date(2017, 1, 1), p.acquired <= date(2018, 1, 1))
    made = 0.1 < p.extra_properties["quality"] < 0.5
    assert made == both(p.extra_properties["quality"] > 0.1, p.extra_properties["quality"] < 0.5)
    made = ~(1 < p.gsd < 2) | (3 < p.gsd < 4) & (5 < p.area < 6)
    assert made == ~both(p.gsd > 1, p.gsd < 2) | both(p.gsd > 3, p.gsd < 4) & both(p.area > 5, p.area < 6)


def test_a_range_of_a_property_that_is_kept() -> None:
    q = p.acquired
    alone = q >= "2016"
    first = "2017" <= q < "2018"
    assert first == both(q >= "2017", q < "2018")
    assert alone == (p.acquired >= "2016")
    years = [f"{year}" <= q < f"{year + 1}" for year in (2017, 2018)]
    assert years == [
        both(p.acquired >= "2017", p.acquired < "2018"),
        both(p.acquired >= "2018", p.acquired < "2019"),
    ]
    assert (q < "2020") == (p.acquired < "2020")


def test_a_range_within_a_range() -> None:
    def latest(condition: Expression) -> int:
        assert condition == both(p.gsd > 2, p.gsd < 3)
        return 9

    q = p.gsd
    outer = 1 < q < latest(2 < q < 3)
    assert outer == both(p.gsd > 1, p.gsd < 9)

    def range_of(low: int) -> Expression:
        return low < q < (range_of(low + 1).serialize()["args"][0]["args"][1] if low < 5 else 7)

    assert range_of(1) == both(p.gsd > 1, p.gsd < 2)


def test_a_range_whose_second_half_fails_leaves_nothing_behind() -> None:
    q = p.gsd
    for bound in (None, p.area, p.name > "x"):
        with pytest.raises((TypeError, ValueError)):
            _ = 1 < q < bound
    with pytest.raises(ZeroDivisionError):
        _ = 1 < q < 1 / 0
    assert (q < 5) == (p.gsd < 5)
    found = []
    for low, high in ((1, None), (3, 4)):
        try:
            found.append(low < q < high)
        except ValueError:
            continue
    assert found == [both(p.gsd > 3, p.gsd < 4)]


def test_ranges_of_one_property_in_many_threads() -> None:
    q, found, begun = p.gsd, {}, threading.Barrier(8)

    def slow(high: int) -> int:
        begun.wait(10)
        return high

    def run(low: int) -> None:
        found[low] = low < q < slow(low + 100)

    threads = [threading.Thread(target=run, args=(low,)) for low in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert found == {low: both(p.gsd > low, p.gsd < low + 100) for low in range(8)}


MISUSES: list[Callable[[Any], object]] = [
    lambda q: q > 1 and q < 5,
    lambda q: q > 1 or q < 5,
    lambda q: 1 < q and q < 5,  # noqa: SIM300
    lambda q: not q > 1,
    lambda q: (not 1 < q) or q < 5,  # noqa: SIM300
    lambda q: bool(q > 1),
    lambda q: 1 if q > 1 else 2,
    lambda q: 1 if 1 < q < 5 else 2,
    lambda q: not 1 < q < 5,
    lambda q: (1 < q < 5) and (p.tags == "x"),
    lambda q: all([q > 1, q < 5]),
    lambda q: any(condition for condition in [q > 1, q < 5]),
    lambda q: [x for x in [1] if q > x],
    lambda q: q < 5 < 7,
    lambda q: q < 5 < p.area,
    lambda q: 1 < q < 5 < p.area,
    lambda q: 1 < q < 5 < q,
    lambda q: 1 == q < 5,
    lambda q: 1 < q < p.area,
    lambda q: q > (p.area > 1),
    lambda q: 3 in q.in_([1]),
    lambda q: not q,
    lambda q: (q > 1) & True,
    lambda q: True | (q > 1),
    lambda q: "x" in q,
    lambda q: list(q),
    lambda q: {q: 1},
    lambda q: q["key"],
]


@pytest.mark.parametrize("kept", [True, False])
@pytest.mark.parametrize("misuse", MISUSES, ids=range(len(MISUSES)))
def test_nothing_that_python_would_get_wrong_goes_unnoticed(misuse: Callable[[Any], object], kept: bool) -> None:
    q = p.gsd
    with pytest.raises(TypeError):
        misuse(q if kept else p.gsd)
    assert (q < 5) == (p.gsd < 5)


def test_the_refusal_says_what_to_write() -> None:
    with pytest.raises(TypeError, match=r"with &, \| and ~, .* 1 <= p.x < 2"):
        bool(p.gsd > 1)
    with pytest.raises(TypeError, match=r"or \(p.x >= 1\) & \(p.x < 2\) in an assert of pytest"):
        assert 1 <= p.gsd < 2


# --- Values -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wrong", "error", "reason"),
    [
        (lambda: p.tags.in_([]), ValueError, "in_ expression requires at least one item"),
        (lambda: p.tags.in_("abc"), TypeError, "Expected a list of values for p.tags.in_"),
        (lambda: p.tags == ["x"], TypeError, "for several values use p.tags.in_"),
        (lambda: p.acquired == None, ValueError, "ask for p.acquired.isnull"),  # noqa: E711
        (lambda: p.gsd < float("nan"), AttributeValidationError, "p.gsd: expected a finite number, found nan"),
        (lambda: p.gsd < float("inf"), AttributeValidationError, "finite"),
        (lambda: p.name == "a\0", AttributeValidationError, "without NUL"),
        (lambda: p.name.prefix("\ud800"), AttributeValidationError, "lone surrogates"),
        (
            lambda: p.name.prefix(5),  # type: ignore[arg-type]
            TypeError,
            "Expected a text for p.name.prefix, found 5",
        ),
        (lambda: p.name == object(), TypeError, "Expected a text, number, time or boolean to compare p.name with"),
        (
            lambda: p.extra_properties[None],  # type: ignore[index]
            TypeError,
            "name of a key",
        ),
        (lambda: p.extra_properties["a\0"], TypeError, "name of a key"),
        (lambda: p.extra_properties["a"] == Resolution(value=1, unit="m"), TypeError, "Expected a text, number"),
        (lambda: p._private, AttributeError, "_private"),
        (lambda: (p.tags > "x").to_cql2(FIELDS), TypeError, "several values"),
        (lambda: p.tags.prefix("x").to_cql2(FIELDS), TypeError, "several values"),
        (lambda: (p.id > "x").to_cql2(FIELDS), TypeError, "compare product_id and name"),
        (lambda: (p.extra_properties > 1).to_cql2(FIELDS), TypeError, "is compared by its keys"),
        (lambda: (p.colour == "red").to_cql2(FIELDS), AttributeError, "Image has no attribute colour"),
        (lambda: (p.cloud_fractoin < 1).to_cql2(FIELDS), AttributeError, "is it cloud_fraction or"),
    ],
)
def test_values_that_cannot_be(wrong: Callable[[], object], error: type[Exception], reason: str) -> None:
    with pytest.raises(error, match=reason):
        wrong()


def test_a_product_stands_for_its_id() -> None:
    with Client("http://nowhere.invalid") as client:
        product = Product(client, id="x:y")
    assert (p.product == product) == (p.product_id == "x:y")
    assert p.product.in_([product, "z"]) == p.product_id.in_(["x:y", "z"])
    assert (p.product != "x:y") == (p.product_id != "x:y")
    assert p.product.isnull == p.product_id.isnull


# --- Evaluating -------------------------------------------------------------------------------------------------------


@pytest.fixture
def image() -> Image:
    with Client("http://nowhere.invalid") as client:
        return Image(
            client,
            id="my:product:scene_1",
            acquired="2024-05-01T12:00:00Z",
            cloud_fraction=0.2,
            tags=["b", "a"],
            satellite_id="S2A",
            extra_properties={
                "quality": 0.5,
                "flag": True,
                "text": "0.5",
                "list": [1, {"x": "y"}],
                "none": None,
                "a.b": 1,
            },
        )


@pytest.mark.parametrize(
    ("expression", "holds"),
    [
        (p.cloud_fraction < 0.3, True),
        (p.cloud_fraction >= 0.3, False),
        (~(p.cloud_fraction >= 0.3), True),
        (p.fill_fraction < 0.3, None),
        (~(p.fill_fraction < 0.3), None),
        (p.fill_fraction.in_([0.1]), None),
        ((p.fill_fraction < 0.3) | (p.cloud_fraction < 0.3), True),
        ((p.fill_fraction < 0.3) & (p.cloud_fraction < 0.3), None),
        ((p.fill_fraction < 0.3) & (p.cloud_fraction > 0.3), False),
        ((p.fill_fraction < 0.3) | (p.cloud_fraction > 0.3), None),
        (p.fill_fraction.isnull, True),
        (p.fill_fraction.isnotnull, False),
        (p.tags == "a", True),
        (p.tags == "c", False),
        (p.tags != "a", False),
        (p.tags != "c", True),
        (p.tags.in_(["c", "a"]), True),
        (p.tags.any_of(["c"]), False),
        (p.tags.isnull, False),
        ("2024" <= p.acquired < "2024-06", True),
        (p.acquired < date(2024, 5, 1), False),
        (p.acquired == "2024-05-01T14:00:00+02:00", True),
        (p.date > datetime(2024, 5, 1, 11, tzinfo=UTC), True),
        (p.acquired_end > "2024", None),
        (p.storage_state == "available", True),
        (p.storage_state == StorageState.REMOTE, False),
        (p.storage_state.in_([StorageState.REMOTE, "available"]), True),
        (p.id == "my:product:scene_1", True),
        (p.product == "my:product", True),
        (p.name.prefix("scene_"), True),
        (p.name.startswith("scene%"), False),
        (p.name.prefix(""), True),
        (p.satellite_id < "S2B", True),
        (p.satellite_id < "é", True),
        (p.provider_id.prefix(""), None),
        (p.extra_properties.isnull, False),
        (p.extra_properties["quality"] > 0.4, True),
        (p.extra_properties["quality"] == "0.5", None),
        (p.extra_properties["quality"] != "0.5", None),
        (p.extra_properties["quality"] > "0.4", None),
        (p.extra_properties["quality"].prefix("0"), None),
        (p.extra_properties["text"].prefix("0"), True),
        (p.extra_properties["text"].in_([0.5]), None),
        (p.extra_properties["flag"] == True, True),  # noqa: E712
        (p.extra_properties["flag"] == 1, None),
        (p.extra_properties["flag"] > 0, None),
        (p.extra_properties["none"].isnull, True),
        (p.extra_properties["none"] == 1, None),
        (p.extra_properties["absent"] != 1, None),
        (p.extra_properties["list"][0] == 1, True),
        (p.extra_properties["list"][-1]["x"] == "y", True),
        (p.extra_properties["list"]["x"].isnull, True),
        (p.extra_properties["list"][2].isnull, True),
        (p.extra_properties["list"] == 1, None),
        (p.extra_properties["a.b"] == 1, True),
        (p.extra_properties["a"]["b"].isnull, True),
    ],
    ids=repr,
)
def test_logic_is_that_of_sql(image: Image, expression: Expression, holds: bool | None) -> None:
    assert expression.holds(lambda name: getattr(image, name)) is holds
    assert expression.evaluate(image) is (holds is True)
    assert (~expression).evaluate(image) is (holds is False)


def test_an_image_without_tags_does_not_have_the_tag(image: Image) -> None:
    image.tags = []
    for expression in (p.tags != "x", ~(p.tags == "x"), ~p.tags.in_(["x"]), p.tags.isnull):
        assert expression.evaluate(image)
    for expression in (p.tags == "x", ~(p.tags != "x"), p.tags.in_(["x"]), p.tags.isnotnull):
        assert not expression.evaluate(image)


def test_resolutions_are_compared_in_metres() -> None:
    fine, degrees = Resolution(value=10, unit="m"), Resolution(value=0.001, unit="degrees")
    assert (p.resolution < 10.1).evaluate(SimpleNamespace(resolution=fine))
    assert (p.resolution == "10 m").evaluate(SimpleNamespace(resolution=fine))
    assert (p.resolution > fine).evaluate(SimpleNamespace(resolution=degrees))
    about = 111 < p.resolution < 112
    assert about.evaluate(SimpleNamespace(resolution=degrees))
    with pytest.raises(AttributeValidationError, match="a resolution such as 10m"):
        (p.resolution < "fine").evaluate(SimpleNamespace(resolution=fine))


def test_evaluating_what_cannot_be(image: Image) -> None:
    with pytest.raises(AttributeError, match=r"Image has no attribute cloud_fractoin.*is it cloud_fraction"):
        (p.cloud_fractoin < 0.3).evaluate(image)
    with pytest.raises(AttributeValidationError, match=r"cloud_fraction: expected a value such as 0.2, found '0.3'"):
        (p.cloud_fraction < "0.3").evaluate(image)
    with pytest.raises(AttributeValidationError, match="acquired: expected a time"):
        (p.acquired < "soon").evaluate(image)
    with pytest.raises(TypeError, match="cloud_fraction is no text"):
        p.cloud_fraction.prefix("0").evaluate(image)
    with pytest.raises(TypeError, match="tags holds several values"):
        (p.tags < "x").evaluate(image)
    with pytest.raises(TypeError, match="compared by its keys"):
        (p.extra_properties < "x").evaluate(image)
    with pytest.raises(TypeError, match="files cannot be compared"):
        (p.files == "x").evaluate(image)
