"""The rules for filters: what is refused, and what pgstac gets."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from api.stac.cql2 import MAX_DEPTH, MAX_OPERATORS, MAX_PARENTHESES, MAX_TEXT, keys_of, parse
from api.stac.search import search_from_body
from api.stac.statements import page_of
from stac_ingest.errors import RequestError

Json = dict[str, Any]

KEYWORDS = {"property": "keywords"}
NAMES = ["keywords", "tags", "tag", "properties.keywords", "properties.tags", "properties.tag"]


def contains(*tags: Any) -> Json:
    return {"op": "a_contains", "args": [KEYWORDS, list(tags)]}


def compare(operator: str, left: Any, right: Any) -> Json:
    return {"op": operator, "args": [left, right]}


@pytest.mark.parametrize("name", NAMES)
def test_tags_are_compared_as_a_person_means_it(name: str) -> None:
    tags = {"property": name}
    for operator in ("=", "eq"):
        assert parse(compare(operator, tags, "x"), None) == contains("x")
        assert parse(compare(operator, "x", tags), None) == contains("x")
        assert parse(compare(operator, tags, ["x", "y"]), None) == contains("x", "y")
    for operator in ("<>", "!=", "neq"):
        assert parse(compare(operator, tags, "x"), None) == {"op": "not", "args": [contains("x")]}
    assert parse(compare("in", tags, ["x", "y"]), None) == compare("a_overlaps", KEYWORDS, ["x", "y"])
    assert parse(compare("IN", "x", tags), None) == contains("x")
    assert parse({"op": "isNull", "args": [tags]}, None) == {"op": "isNull", "args": [KEYWORDS]}
    for operator in ("like", "ilike", "<", "<=", ">", ">=", "lt", "gte"):
        assert parse(compare(operator, tags, "x%"), None) == compare(operator, KEYWORDS, "x%")


@pytest.mark.parametrize(
    ("written", "pgstac"),
    [
        ("a_contains", "a_contains"),
        ("A_CONTAINS", "a_contains"),
        ("a_overlaps", "a_overlaps"),
        ("a_equals", "a_equals"),
        ("a_containedBy", "a_contained_by"),
        ("a_containedby", "a_contained_by"),
        ("a_contained_by", "a_contained_by"),
    ],
)
def test_array_operators_as_pgstac_spells_them(written: str, pgstac: str) -> None:
    assert parse(compare(written, {"property": "tags"}, ["x"]), None) == compare(pgstac, KEYWORDS, ["x"])
    assert parse(compare(written, {"property": "other"}, ["x"]), None) == compare(pgstac, {"property": "other"}, ["x"])


@pytest.mark.parametrize(
    ("name", "keys"),
    [
        ("a", ["a"]),
        ("properties.a", ["a"]),
        ("properties.properties.a.b", ["a", "b"]),
        ("a\\.b.c\\\\", ["a.b", "c\\"]),
        ("a\\", ["a\\"]),
        ("a..", ["a", "", ""]),
        ("a'b\"c\n", ["a'b\"c\n"]),
    ],
)
def test_names_lead_through_objects(name: str, keys: list[str]) -> None:
    assert list(keys_of(name)) == keys


@pytest.mark.parametrize(
    "tree",
    [
        compare("=", {"property": "a"}, [1, 2]),
        compare("like", {"property": "a"}, ["x"]),
        {"op": "between", "args": [{"property": "a"}, [1], 2]},
        {"op": "isNull", "args": [[1]]},
        compare("in", {"property": "a"}, 5),
        compare("in", {"property": "tag"}, None),
        compare("in", {"property": "tag"}, "abc"),
        compare("=", {"property": "properties.properties."}, 1),
        compare("like", {"property": "a"}, "x\\"),
        compare("=", {"op": "casei", "args": [["a"]]}, "a"),
        compare("<", {"property": "geometry"}, 1),
        {"op": "or", "args": [{"op": "or", "args": [compare("=", {"property": "a"}, 1)] * 900}] * 9},
    ],
    ids=lambda tree: json.dumps(tree)[:60],
)
def test_what_cannot_be_compared_is_refused(tree: Json) -> None:
    with pytest.raises(RequestError) as caught:
        page_of(search_from_body({"filter": tree}), 1)
    assert (caught.value.status, caught.value.code) == (400, "INVALID_FILTER")


def test_a_mistake_is_placed_and_a_hint_given() -> None:
    wrong = {"op": "and", "args": [True, {"op": "not", "args": [compare("a_contain", {"property": "tags"}, "x")]}]}
    with pytest.raises(RequestError, match=r"did you mean a_contains\?, at args\.1\.args\.0\."):
        parse(wrong, None)
    with pytest.raises(RequestError, match=r"expected a condition, .*; compare it, for example with = true"):
        parse("flag", None)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), "\0", "\ud800"])
def test_values_that_the_database_does_not_know(value: Any) -> None:
    for name in ("platform", "ingest:extra_properties.a"):
        with pytest.raises(RequestError, match=r"Expected (finite numbers|texts without)") as caught:
            parse(compare("=", {"property": name}, value), None)
        assert caught.value.status == 400


def test_rules_hold_at_every_depth() -> None:
    tree = {"op": "or", "args": [{"op": "not", "args": [compare("=", {"property": "tag"}, "x")]}, True]}
    assert parse(tree, None) == {"op": "or", "args": [{"op": "not", "args": [contains("x")]}, True]}


def test_others_are_left_as_they_are() -> None:
    for tree in (
        compare("=", {"property": "platform"}, "x"),
        compare("in", {"property": "id"}, ["a", "b"]),
        compare("like", {"property": "platform"}, "x%"),
        compare(">", {"property": "datetime"}, {"timestamp": "2024-01-01T00:00:00Z"}),
        compare("t_during", {"property": "datetime"}, {"interval": ["2024-01-01T00:00:00Z", ".."]}),
        compare("s_intersects", {"property": "geometry"}, {"type": "Point", "coordinates": [1, 2]}),
        compare("=", {"op": "casei", "args": [{"property": "a"}]}, {"op": "casei", "args": ["B"]}),
        compare("=", {"op": "+", "args": [{"property": "a"}, 1]}, 2),
        {"op": "between", "args": [{"property": "gsd"}, 1, 2]},
        {"op": "and", "args": [compare("=", {"property": "a"}, 1)]},
        True,
        False,
    ):
        before = json.dumps(tree)
        assert parse(tree, None) == tree
        assert json.dumps(tree) == before


def test_boxes_become_polygons() -> None:
    def area(*box: Any) -> Json:
        found: Json = parse(compare("s_intersects", {"property": "geometry"}, {"bbox": list(box)}), None)["args"][1]
        return found

    ring = [[1, 2], [3, 2], [3, 4], [1, 4], [1, 2]]
    assert area(1, 2, 3, 4) == {"type": "Polygon", "coordinates": [ring]}
    assert area(1, 2, -9, 3, 4, 9) == {"type": "Polygon", "coordinates": [ring]}
    split = area(170, -5, -175, 5)
    assert split["type"] == "MultiPolygon"
    assert [[ring[0][0], ring[2][0]] for (ring,) in split["coordinates"]] == [[170, 180], [-180, -175]]
    for wrong in ([1, 2, 3], [1, 2, 3, "x"], [], [True, 2, 3, 4]):
        with pytest.raises(RequestError, match="a bbox of 4 or 6 numbers"):
            area(*wrong)


def test_the_language_is_said_or_seen() -> None:
    tree = compare("=", {"property": "a"}, "x")
    assert parse("a = 'x'", None) == parse("a = 'x'", "cql2-text") == tree
    assert parse(json.dumps(tree), None) == parse(json.dumps(tree), "cql2-json") == tree
    assert parse(tree, "cql2-text") == tree
    assert parse("true", "cql2-json") is True
    with pytest.raises(RequestError, match="Expecting value at character 1"):
        parse("a = 'x'", "cql2-json")
    with pytest.raises(RequestError, match="at line 1, character 1"):
        parse(json.dumps(tree), "cql2-text")


def test_text_and_json_mean_the_same() -> None:
    for text, tree in (
        ("'x' in tags", contains("x")),
        ("tag = 'it''s (('", contains("it's ((")),
        ("a_containedBy(tags, ('x','y'))", compare("a_contained_by", KEYWORDS, ["x", "y"])),
        ("not tag = 'x'", {"op": "not", "args": [contains("x")]}),
        ("\"tags\" <> 'x'", {"op": "not", "args": [contains("x")]}),
    ):
        assert parse(text, "cql2-text") == tree, text


@pytest.mark.parametrize(
    ("tree", "reason"),
    [
        ({}, "expected a condition, found {}"),
        (5, "expected a condition, found 5"),
        (None, "expected a condition, found null"),
        ([True], r"expected a condition, found \[true\]"),
        ({"property": "id"}, "expected a condition"),
        ({"op": "+", "args": [1, 2]}, "expected a condition"),
        ({"op": "and", "args": [1, 2]}, "expected a condition, found 1"),
        ({"op": "and", "args": []}, 'expected 1 to 1000 args of "and"'),
        ({"op": "not", "args": [True, True]}, 'expected 1 args of "not"'),
        ({"op": "="}, 'expected 2 args of "=", found null'),
        ({"op": "between", "args": [1, 2]}, 'expected 3 args of "between"'),
        ({"op": "in", "args": [{"property": "id"}, []]}, "at least one value after IN"),
        ({"op": 5, "args": []}, "no operator or function 5"),
        ({"op": "pg_sleep", "args": [1]}, 'no operator or function "pg_sleep"'),
        (compare("=", {"op": "pg_sleep", "args": [1]}, 1), "no operator or function"),
        (compare("=", {"op": "=", "args": [1, 2]}, 1), "expected a value, found the condition"),
        (compare("=", {"property": 5}, 1), "the name of a property"),
        (compare("=", {"property": ""}, 1), "the name of a property"),
        (compare("=", {"filter": {"op": "=", "args": [1, 1]}}, 1), "expected a value"),
        (compare("=", {"upper": "x"}, 1), "expected a value"),
    ],
)
def test_trees_that_are_no_condition(tree: Any, reason: str) -> None:
    with pytest.raises(RequestError, match=reason) as caught:
        parse(json.dumps(tree), "cql2-json")
    assert (caught.value.status, caught.value.code) == (400, "INVALID_FILTER")
    assert str(caught.value).startswith("The filter is not valid CQL2: ")


def test_a_number_of_thousands_of_digits() -> None:
    with pytest.raises(RequestError) as caught:
        parse(f'{{"op": "=", "args": [{{"property": "gsd"}}, {"1" * 5000}]}}', "cql2-json")
    assert (caught.value.status, caught.value.code) == (400, "INVALID_FILTER")


def nested(depth: int) -> Any:
    tree: Any = True
    for _ in range(depth):
        tree = {"op": "not", "args": [tree]}
    return tree


def test_trees_may_nest_so_deep() -> None:
    assert parse(nested(MAX_DEPTH), None) == nested(MAX_DEPTH)
    for depth in (MAX_DEPTH + 1, 500):
        with pytest.raises(RequestError, match=f"at most {MAX_DEPTH} deep"):
            parse(nested(depth), None)
    value: Any = 1
    for _ in range(500):
        value = [value]
    with pytest.raises(RequestError, match=f"at most {MAX_DEPTH} deep"):
        parse(compare("=", {"property": "a"}, value), None)
    with pytest.raises(RequestError, match=f"at most {MAX_DEPTH} deep"):
        parse("[" * 100_000, "cql2-json")


@pytest.mark.parametrize(
    "text",
    [
        "(" * (MAX_PARENTHESES + 1),
        "(" * 3000,
        "(" * 30 + "a=1" + ")" * 30,
        "a=')))))))))))))))))))))))))))' and " + "(" * 30,
        "not " * (MAX_OPERATORS + 1) + "a=1",
        "not" * 2000 + " a=1",
        "-" * 5000 + "1=1",
        "- " * 3000 + "1=1",
        "a" + "=1" * (MAX_OPERATORS + 1),
        "a" + "in1" * 2000,
        "1" + "+1" * 3000 + "=1",
        "'" + "x" * MAX_TEXT + "' = a",
        "(" * MAX_PARENTHESES + "(a=1) or " * 300 + "a=",
        "(" * MAX_PARENTHESES + "1," * 3900 + "a=",
        "a" + "=1" * 12,
    ],
    ids=lambda text: text[:20],
)
def test_texts_that_the_parser_would_not_survive(text: str) -> None:
    started = time.monotonic()
    with pytest.raises(RequestError, match="The filter is not valid CQL2"):
        parse(text, "cql2-text")
    assert time.monotonic() - started < 10


def test_texts_that_are_long_for_a_reason() -> None:
    names = ",".join(f"'S2A_MSIL2A_20240501T101031_T32TQM_{index:03}'" for index in range(180))
    assert len(parse(f"id in ({names})", "cql2-text")["args"][1]) == 180
    ring = ",".join(f"-{index / 100} -{index / 50}" for index in range(300))
    found = parse(f"((s_intersects(geometry, MULTIPOLYGON((({ring},0 0))))))", "cql2-text")
    assert len(found["args"][1]["coordinates"][0][0]) == 301
    assert len(parse(" or ".join(f"tag = 'x{index}'" for index in range(300)), "cql2-text")["args"]) == 300


TOKENS = st.sampled_from(
    [
        *(
            "(",
            ")",
            ",",
            "a",
            "id",
            "tags",
            "'x'",
            "''",
            "=",
            "<>",
            "<",
            ">",
            "1",
            "-5",
            "1e9",
            "and",
            "or",
            "not",
            "in",
        ),
        *("like", "between", "is", "null", "true", "+", "-", "*", "/", "BBOX(1,2,3,4)", "POINT(1 2)", "INTERVAL("),
        *(
            "DATE(",
            "TIMESTAMP(",
            "'2020-01-01'",
            "'..'",
            "casei(",
            "a_contains(",
            "f(",
            '"eo:cloud_cover"',
            "\x00",
            "'",
        ),
    ]
)


def accepted(condition: str, language: str) -> Any:
    """Return the tree, or None where it is refused as it should be."""
    try:
        return parse(condition, language)
    except RequestError as error:
        if error.code != "INVALID_FILTER":
            raise
        return None


@settings(max_examples=400, deadline=None)
@given(st.lists(TOKENS, max_size=15))
def test_any_text_is_a_tree_or_a_refusal(tokens: list[str]) -> None:
    json.dumps(accepted(" ".join(tokens), "cql2-text"))


TREES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.just({"property": "tags"}),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.fixed_dictionaries(
            {"op": st.sampled_from(["and", "not", "=", "in", "like", "a_contains", "isNull", "+", "f", 5])},
            optional={"args": st.lists(inner, max_size=3)},
        )
        | st.dictionaries(st.sampled_from(["property", "bbox", "type", "date", "op", "args"]), inner, max_size=2)
    ),
    max_leaves=12,
)


@settings(max_examples=400, deadline=None)
@given(TREES)
def test_any_tree_is_taken_or_refused(tree: Any) -> None:
    found = json.dumps(accepted(json.dumps(tree), "cql2-json"))
    assert '{"property": "tags"}' not in found
