"""Filters as the service runs them find what the library cql2 says they find; where not, the reason is told here.

`GROUPS` holds the expressions, and `DISAGREEMENTS` those of which cql2 says otherwise: why ours is right, and what is
found. A disagreement that is gone fails a test, so that we hear of what cql2 has mended. A second opinion, three-valued
logic in Python, has to agree with every one of them, and judges random trees.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import cql2
import httpx2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.api.answers import refused
from tests.api.cql2_expressions import AREAS, COLLECTED, GROUPS, ORDER, RELATIONS, SPANS, TEMPORAL
from tests.api.cql2_items import COLLECTION, ITEMS
from tests.api.cql2_logic import DATE_TIMES, found_by_cql2, found_by_logic, nodes, properties_in
from tests.api.test_stac import make_collection
from tests.conftest import Service

Tree = Any


@functools.cache
def tree_of(text: str) -> Tree:
    return cql2.parse_text(text).to_json()


def as_tree(expression: Tree) -> Tree:
    return tree_of(expression) if isinstance(expression, str) else expression


def shown(expression: Tree) -> str:
    return expression if isinstance(expression, str) else json.dumps(expression)


@dataclass(frozen=True)
class Disagreement:
    """Why cql2 says otherwise, the nodes of a tree where it may, and the ids that are found of each such expression."""

    reason: str
    concerns: Callable[[Any], bool]
    found: dict[str, str]


def _operator(node: Any) -> str:
    return str(node.get("op", "")).lower()


def _has(node: Any, key: str) -> bool:
    return any(isinstance(part, dict) and key in part for part in node.get("args", []))


WITHIN_OBJECTS = ("my:odd", "my:nested", "my:levels.")

DISAGREEMENTS = [
    Disagreement(
        "A date is all of its day; cql2 compares it with the 24 hours that begin at the other moment.",
        lambda node: _operator(node) in ORDER and _has(node, "date"),
        {
            "datetime = DATE('2024-05-03')": "cdeoruw",
            "datetime <> DATE('2024-05-03')": "abfghijklmnpqstvxyzABCDEF",
            "datetime < DATE('2024-05-03')": "abijklmnqstvxyzABCDEF",
            "datetime <= DATE('2024-05-03')": "abcdeijklmnoqrstuvwxyzABCDEF",
            "datetime >= DATE('2024-05-03')": "cdefghopruw",
            "DATE('2024-05-03') >= datetime": "abcdeijklmnoqrstuvwxyzABCDEF",
            "expires = DATE('2024-05-03')": "cd",
            "expires <> DATE('2024-05-03')": "aen",
            "expires <= DATE('2024-05-03')": "acd",
            "expires >= DATE('2024-05-03')": "cden",
        },
    ),
    Disagreement(
        "The dates of an interval are whole days, and it is closed at both ends; cql2 ends it as the last day begins.",
        lambda node: any(isinstance(bound, str) and len(bound) == 10 for bound in node.get("interval", [])),
        {
            "t_after(datetime, INTERVAL('2024-05-02','2024-05-03'))": "fghp",
            "t_disjoint(datetime, INTERVAL('2024-05-02','2024-05-03'))": "afghijklmpxyzABCDEF",
            "t_during(datetime, INTERVAL('2024-05-02','2024-05-03'))": "bcdesuw",
            "t_equals(datetime, INTERVAL('2024-05-02','2024-05-03'))": "",
            "t_finishes(datetime, INTERVAL('2024-05-02','2024-05-03'))": "",
            "t_intersects(datetime, INTERVAL('2024-05-02','2024-05-03'))": "bcdenoqrstuvw",
            "t_metby(datetime, INTERVAL('2024-05-02','2024-05-03'))": "",
            "t_overlappedby(datetime, INTERVAL('2024-05-02','2024-05-03'))": "or",
            "t_starts(datetime, INTERVAL('2024-05-02','2024-05-03'))": "q",
        },
    ),
    Disagreement(
        "A date-time is a moment, however it is written; cql2 compares two of them as texts.",
        lambda node: _operator(node) in ORDER and bool(properties_in(node) & DATE_TIMES),
        {
            "expires = '2024-06-01T00:00:00.500Z'": "e",
            "published = expires": "e",
            "published < expires": "acn",
        },
    ),
    Disagreement(
        "What is no time is unknown beside a time; cql2 fails.",
        lambda node: bool({"timestamp", "date", "interval"} & node.keys()),
        {
            "my:hint = TIMESTAMP('2024-05-03T12:00:00Z')": "c",
            "my:hint <> TIMESTAMP('2024-05-03T12:00:00Z')": "",
            "my:hint >= TIMESTAMP('2024-05-03T12:00:00Z')": "c",
            "not my:hint = TIMESTAMP('2024-05-03T12:00:00Z')": "",
            "my:count = TIMESTAMP('2024-05-03T12:00:00Z')": "",
        },
    ),
    Disagreement(
        "`x IN (a, b)` is `x = a OR x = b`, so it is unknown for an x of another type; to cql2 it is false.",
        lambda node: _operator(node) == "in",
        {
            "my:count not in (-5, 3, 100)": "bdfhlA",
            "not my:flag in (true)": "bd",
            "not my:mixed in (5,6)": "hi",
            "not my:mixed in ('5','five')": "jkA",
            "not my:mixed in (5,'5')": "",
        },
    ),
    Disagreement(
        "`x IN (a, b)` is `x = a OR x = b` for whatever a and b are; cql2 knows only literals in a list.",
        lambda node: _operator(node) == "in",
        {
            "3 in (my:count, my:ratio)": "ceq",
            "my:count in (my:ratio, 3)": "celq",
            "datetime in (TIMESTAMP('2024-05-03T12:00:00Z'), TIMESTAMP('2024-05-01T10:00:00Z'))": "adw",
            "casei(my:name) in (casei('ÉTÉ'), casei('ÅNGSTRÖM'))": "ab",
            "accenti(my:name) in (accenti('Ångström'), accenti('É'))": "ae",
            "casei(tag) in (casei('TEMPORARY'), casei('IT''S'))": "abcefg",
        },
    ),
    Disagreement(
        "`x BETWEEN a AND b` is `x >= a AND x <= b`, so it is unknown for an x of another type, and knows times; cql2"
        " puts every text after every number, and after every time.",
        lambda node: _operator(node) == "between",
        {
            "my:count not between -5 and 3": "dfhrA",
            "my:mixed not between 1 and 6": "h",
            "datetime between TIMESTAMP('2024-05-02T00:00:00Z') and TIMESTAMP('2024-05-03T12:00:00Z')": "bcdnoqrstuw",
            "published between DATE('2024-05-02') and DATE('2024-05-03')": "bcdn",
        },
    ),
    Disagreement(
        "An object is a value of another type, and a key of what is no object is not there; cql2 fails on both.",
        lambda node: any(name.startswith(WITHIN_OBJECTS) for name in properties_in(node)),
        {
            "my:odd = 5": "d",
            "my:odd <> 5": "",
            "not my:odd = 5": "",
            "not my:odd <> 5": "d",
            "my:odd is null": "abceghijklmnopqrstuvwxyzABCDEF",
            "my:odd is not null": "df",
            "my:odd.a = 5": "f",
            "my:odd like '%'": "",
            "my:odd in (5)": "d",
            "my:odd + 1 = 6": "d",
            "my:nested is null": "fghijklmnopqrstuvwxyzABCDEF",
            "my:nested is not null": "abcde",
            "my:nested.depth = 1": "",
            "my:nested.depth.value.more = 1": "",
            "my:levels.value = my:count": "",
        },
    ),
    Disagreement(
        "Only scalars are compared, so a list is unknown even beside itself; cql2 finds it equal.",
        lambda node: node.get("args", [])[:1] == node.get("args", [])[1:] and _operator(node) in ORDER,
        {"my:mixed = my:mixed": "abcdhijkA"},
    ),
    Disagreement(
        "What is divided by zero is unknown; to cql2 it is infinite, or no number, which differs from every number.",
        lambda node: _operator(node) == "/",
        {
            "10 / my:count > 1": "cdeqA",
            "not my:count / 0 > 1": "",
            "my:count / my:ratio <> 2": "abde",
            "(eo:cloud_cover + my:limit) / (gsd - 10) >= 2": "dE",
        },
    ),
    Disagreement(
        "A text has no sum, even if it looks like a number; cql2 adds two texts that do.",
        lambda node: _operator(node) in ("+", "-", "*"),
        {"my:mixed + my:mixed = 10": "a"},
    ),
]
EXPLAINED = {text: ids for disagreement in DISAGREEMENTS for text, ids in disagreement.found.items()}
EXPRESSIONS = [(group, expression) for group, expressions in GROUPS.items() for expression in expressions]
IDS = [f"{group}: {shown(expression)}" for group, expression in EXPRESSIONS]


def expected(expression: Tree) -> str:
    explained = EXPLAINED.get(expression) if isinstance(expression, str) else None
    return found_by_cql2(as_tree(expression), ITEMS) if explained is None else explained


@dataclass(frozen=True)
class Searches:
    """The service with the Items in it; each search returns the ids that it finds, in the order of `ITEMS`."""

    http: httpx2.Client
    threads: Executor

    def by_tree_and_text(self, expression: Tree) -> dict[str, str]:
        """Ask in both ways at once; what is no text, in one."""
        asked = {"POST": self.threads.submit(self.by_tree, as_tree(expression))}
        if isinstance(expression, str):
            asked["GET"] = self.threads.submit(self.by_text, expression)
        return {method: answer.result() for method, answer in asked.items()}

    def by_text(self, text: str) -> str:
        asked = {"collections": COLLECTION, "limit": "100", "filter": text, "filter-lang": "cql2-text"}
        return self._found(self.http.get("/search", params=asked))

    def by_tree(self, tree: Tree) -> str:
        asked = {"collections": [COLLECTION], "limit": 100, "filter": tree, "filter-lang": "cql2-json"}
        return self._found(self.http.post("/search", json=asked))

    def _found(self, answer: httpx2.Response) -> str:
        if answer.status_code != 200:
            return f"{answer.status_code}: {answer.text}"
        found = [item["id"] for item in answer.json()["features"]]
        assert len(found) == len(set(found)) == answer.json()["numberMatched"]
        return "".join(item["id"] for item in ITEMS if item["id"] in found)


@pytest.fixture(scope="module")
def searches(service: Service) -> Iterator[Searches]:
    with httpx2.Client(base_url=service.url, timeout=60) as http:
        assert http.post("/collections", json=make_collection(COLLECTION)).status_code == 201
        answer = http.post(f"/collections/{COLLECTION}/items", json={"type": "FeatureCollection", "features": ITEMS})
        assert answer.status_code == 201, answer.text
        with ThreadPoolExecutor(2) as threads:
            yield Searches(http, threads)


@pytest.mark.parametrize(("group", "expression"), EXPRESSIONS, ids=IDS)
def test_filters_find_what_they_mean(searches: Searches, group: str, expression: Tree) -> None:
    found = searches.by_tree_and_text(expression)
    assert found == dict.fromkeys(found, expected(expression))


@pytest.mark.parametrize("text", EXPLAINED)
def test_cql2_still_disagrees_where_it_is_said_to(text: str) -> None:
    assert found_by_cql2(tree_of(text), ITEMS) != EXPLAINED[text], "cql2 agrees now: take it out of DISAGREEMENTS"


@pytest.mark.parametrize("relation", ["within", "contains", "equals", "touches", "crosses", "overlaps"])
def test_collections_of_geometries_are_refused_where_they_cannot_be_related(searches: Searches, relation: str) -> None:
    """PostGIS cannot; an Item whose footprint is one is unknown there."""
    asked = {"filter": f"s_{relation}(geometry, {COLLECTED})"}
    assert "does not take a GeometryCollection" in refused(
        searches.http.get("/search", params=asked), 400, "INVALID_FILTER"
    )


def test_every_explained_expression_is_tried() -> None:
    assert EXPLAINED.keys() <= {expression for _, expression in EXPRESSIONS if isinstance(expression, str)}
    assert len(EXPLAINED) == sum(len(disagreement.found) for disagreement in DISAGREEMENTS)
    assert len({shown(expression) for _, expression in EXPRESSIONS}) == len(EXPRESSIONS) > 400
    for disagreement in DISAGREEMENTS:
        for text in disagreement.found:
            assert any(map(disagreement.concerns, nodes(tree_of(text)))), text


def test_three_valued_logic_says_the_same() -> None:
    judged = [
        expression
        for _, expression in EXPRESSIONS
        # GEOS, which shapely asks, does not relate a collection as a whole.
        if not any(node.get("type") == "GeometryCollection" for node in nodes(as_tree(expression)))
    ]
    opinions = {shown(expression): found_by_logic(as_tree(expression), ITEMS) for expression in judged}
    assert opinions == {shown(expression): expected(expression) for expression in judged}


# --- Random trees

NUMBERS = st.sampled_from([-5, -0.5, 0, 0.25, 1, 2, 3, 5, 20])
TEXTS = st.sampled_from(["", "5", "data", "guide", "temporary", "landsat-8", "É", "straße", "50%", "a_b", "it's"])
PATTERNS = st.sampled_from(["%", "_", "%a%", "s%", "50\\%", "a_b", "%é%", ""])
PROPERTIES_OF_NUMBERS = [
    "my:count",
    "my:ratio",
    "my:limit",
    "my:mixed",
    "eo:cloud_cover",
    "gsd",
    "my:nested.depth.value",
]
PROPERTIES_OF_TEXTS = ["my:name", "my:mixed", "my:other", "platform", "tag", "id", "my:nothing", "my:nested.depth.name"]
PROPERTIES_OF_TIMES = ["datetime", "published", "expires", "my:when", "start_datetime"]
PROPERTIES_OF_LISTS = ["tags", "keywords", "my:roles", "my:levels", "my:mixed"]


def node(operators: st.SearchStrategy[str], *arguments: st.SearchStrategy[Tree]) -> st.SearchStrategy[Tree]:
    return st.builds(lambda name, *parts: {"op": name, "args": list(parts)}, operators, *arguments)


def named(names: list[str]) -> st.SearchStrategy[Tree]:
    return st.sampled_from(names).map(lambda name: {"property": name})


def literals(*written: str) -> list[Tree]:
    return [tree_of(f"s_equals(geometry, {text})" if "'" not in text else f"x = {text}")["args"][1] for text in written]


COMPARED = st.sampled_from(ORDER)
FOLDED = st.sampled_from(["casei", "accenti"])
ONE = named(PROPERTIES_OF_NUMBERS) | NUMBERS
SUM = ONE | node(st.sampled_from(["+", "-", "*", "/"]), ONE, ONE)
WORD = named(PROPERTIES_OF_TEXTS) | node(FOLDED, named(PROPERTIES_OF_TEXTS))
WORDS = TEXTS | node(FOLDED, TEXTS)
SPAN = st.sampled_from(literals(*SPANS))
MOMENT = st.sampled_from(literals(*SPANS[:1], "TIMESTAMP('2024-05-02T10:00:00Z')", "DATE('2024-05-03')"))
AREA = st.sampled_from(literals(*AREAS.values()))
PREDICATE = st.one_of(
    st.booleans(),
    node(COMPARED, SUM, SUM),
    node(COMPARED, WORD, WORDS),
    node(COMPARED, named(PROPERTIES_OF_TIMES), MOMENT | named(PROPERTIES_OF_TIMES)),
    node(st.sampled_from(["=", "<>"]), named(["my:flag", "my:mixed", "my:count"]), st.booleans()),
    node(st.just("like"), WORD, PATTERNS | node(FOLDED, PATTERNS)),
    node(st.just("in"), WORD, st.lists(WORDS, min_size=1, max_size=3)),
    node(st.just("in"), SUM, st.lists(NUMBERS, min_size=1, max_size=3)),
    node(st.just("between"), SUM, ONE, ONE),
    node(st.just("isNull"), named([*PROPERTIES_OF_NUMBERS, *PROPERTIES_OF_TEXTS, *PROPERTIES_OF_LISTS])),
    node(
        st.sampled_from(["a_contains", "a_overlaps", "a_equals", "a_containedBy"]),
        named(PROPERTIES_OF_LISTS),
        st.lists(NUMBERS | TEXTS, max_size=3),
    ),
    node(st.sampled_from([f"s_{name}" for name in RELATIONS]), st.just({"property": "geometry"}), AREA),
    node(st.sampled_from([f"t_{name}" for name in TEMPORAL]), named(PROPERTIES_OF_TIMES), SPAN),
)
LOGICAL = st.sampled_from(["and", "or"])
PAIR = node(LOGICAL, PREDICATE, PREDICATE) | node(st.just("not"), PREDICATE) | PREDICATE
TREES = node(LOGICAL, PAIR, PAIR, PAIR) | node(st.just("not"), PAIR) | PAIR


@settings(max_examples=200)
@given(TREES)
def test_random_trees_find_what_they_mean(searches: Searches, tree: Tree) -> None:
    meant = found_by_logic(tree, ITEMS)
    if found_by_cql2(tree, ITEMS) != meant:
        assert any(disagreement.concerns(part) for disagreement in DISAGREEMENTS for part in nodes(tree))
    assert searches.by_tree(tree) == meant
