"""Some hundred expressions of CQL2, as templates and what is put into them; each in a group that says what it tries."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import product
from typing import Any

from tests.api.cql2_items import COLLECTION

Tree = Any

ORDER = ("=", "<>", "<", "<=", ">", ">=")
EQUALITY = ("=", "<>")


def each(*templates: str, **choices: Iterable[object]) -> Iterator[str]:
    """Yield every template with every combination of the choices that it names."""
    for template in templates:
        named = [name for name in choices if f"{{{name}}}" in template]
        for values in product(*(choices[name] for name in named)):
            yield template.format(**dict(zip(named, values, strict=True)))


def quoted(*texts: str) -> list[str]:
    return ["'{}'".format(text.replace("'", "''")) for text in texts]


def call(name: str, property_name: str, *values: object) -> Tree:
    """Return a function of a property and a list as a tree, for what text cannot say."""
    return {"op": name, "args": [{"property": property_name}, list(values)]}


NUMBERS = [
    *each("my:count {op} {value}", op=ORDER, value=(-5, 3)),
    *each("eo:cloud_cover {op} {value}", op=ORDER, value=(0.5, 20)),
    *each("my:ratio {op} -0.5", op=ORDER),
    *each("{value} {op} my:count", op=("=", "<", ">="), value=(-5, 3)),
    *each("gsd = {value}", value=("10", "10.0", "1e1", "0.25", "2.5e-1")),
    "my:count = -5.5",
    "not my:count = 3",
    "not my:count > 3",
]
TEXTS = [
    *each("platform {op} 'landsat-8'", op=ORDER),
    *each("my:name {op} 'a'", op=ORDER),
    *each("my:name = {text}", text=quoted("", "É", "é", "50%", "back\\slash", "it's", 'say "hi"', "line\nbreak")),
    *each("'landsat-8' {op} platform", op=("=", "<")),
    "platform = ''",
    "my:name = '5'",
    "my:name = 'x'' OR true --'",
]
IDS = [
    *each("id {op} 'm'", op=ORDER),
    *each("id = 'A'", "id in ('a','A','nobody')", "id like '_'", "id is null"),
    *each("collection {op} '{value}'", op=EQUALITY, value=(COLLECTION, "test:other")),
    f"collection in ('{COLLECTION}')",
    "collection like 'test:%'",
]
BOOLEANS = [
    *each("my:flag {op} {value}", op=ORDER, value=("true", "false")),
    "my:flag = 'true'",
    "my:flag = 1",
    "my:count = false",
    *each(
        "{literal}",
        "not {literal}",
        "{literal} and my:count = 3",
        "{literal} or my:count = 3",
        literal=("true", "false"),
    ),
]
DATETIMES = [
    *each(
        "datetime {op} TIMESTAMP('{time}')",
        op=ORDER,
        time=("2024-05-03T00:00:00Z", "2024-05-03T12:00:00Z", "2024-05-05T10:00:00Z"),
    ),
    *each("datetime {op} '2024-05-03T12:00:00Z'", op=ORDER),
    *each("datetime {op} DATE('2024-05-03')", op=ORDER),
    *each("DATE('2024-05-03') {op} datetime", op=("<", ">=")),
    *each("{name} {op} TIMESTAMP('2024-05-03T12:00:00Z')", name=("published", "expires"), op=ORDER),
    *each("published {op} '2024-05-02T10:00:00Z'", op=ORDER),
    *each("expires {op} DATE('2024-05-03')", op=ORDER),
    "published = TIMESTAMP('2024-06-01T02:00:00.5+02:00')",
    "expires = TIMESTAMP('2024-06-01T00:00:00.5Z')",
    "expires = '2024-06-01T00:00:00.500Z'",
    *each("start_datetime {op} TIMESTAMP('2024-05-03T00:00:00Z')", op=ORDER),
    *each("end_datetime {op} TIMESTAMP('2024-05-04T00:00:00Z')", op=("=", ">")),
    *each("my:when {op} TIMESTAMP('2024-05-03T12:00:00Z')", op=ORDER),
    "my:when > DATE('2024-05-03')",
    *each("my:hint {op} TIMESTAMP('2024-05-03T12:00:00Z')", op=("=", "<>", ">=")),
    "not my:hint = TIMESTAMP('2024-05-03T12:00:00Z')",
    "my:count = TIMESTAMP('2024-05-03T12:00:00Z')",
]
UNKNOWN = [
    *each(
        "my:nothing {op} {value}", op=("=", "<>", "<"), value=("5", "'x'", "true", "TIMESTAMP('2024-01-01T00:00:00Z')")
    ),
    *each(
        "my:nothing in (1,2)",
        "my:nothing like '%'",
        "my:nothing between 1 and 2",
        "my:nothing is null",
        "my:nothing + 1 = 1",
        "casei(my:nothing) = 'x'",
        "a_overlaps(my:nothing, ('x','y'))",
        "t_after(my:nothing, DATE('2024-01-01'))",
    ),
    *each("not ({condition})", condition=("my:nothing = 5", "my:nothing in (1,2)", "a_contains(my:nothing, ('x'))")),
]
NESTED = [
    *each("my:nested.depth.value {op} 2", op=ORDER),
    *each("my:nested.depth.name {op} 'deep'", op=EQUALITY),
    "my:nested.depth.value = '2'",
    "properties.my:nested.depth.value = 2",
    '"properties.eo:cloud_cover" = 20',
    "properties.platform = 'naip'",
    "properties.datetime = TIMESTAMP('2024-05-03T12:00:00Z')",
    "my:nested.depth.nothing = 1",
    "my:nested.depth = 1",
    "my:nested.depth.value.more = 1",
    "casei(my:nested.depth.name) = 'deep'",
    *each("my:nested.depth.{name} is null", name=("value", "name", "nothing")),
]
MIXED = [
    *each("my:mixed {op} {value}", op=ORDER, value=("5", "'5'")),
    *each("not my:mixed {op} {value}", op=("=", "<"), value=("5", "'5'", "true")),
    *each("my:mixed {op} true", op=EQUALITY),
    *each("my:mixed in {values}", "not my:mixed in {values}", values=("(5,6)", "('5','five')", "(5,'5')")),
    *each("my:mixed like 'f%'", "my:mixed not like 'f%'", "casei(my:mixed) = 'five'", "my:mixed is null"),
    *each("my:odd {op} 5", "not my:odd {op} 5", op=EQUALITY),
    *each("my:odd is null", "my:odd is not null", "my:odd.a = 5", "my:odd like '%'", "my:odd in (5)", "my:odd + 1 = 6"),
    *each("my:mixed between 1 and 6", "my:mixed not between 1 and 6", "my:mixed + 1 = 6"),
]
LIKE = [
    *each(
        "my:name like {pattern}",
        pattern=quoted(
            *(
                "50%",
                "50\\%",
                "a_b",
                "a\\_b",
                "%str%",
                "_",
                "",
                "%",
                "back\\\\slash",
                "%\\\\%",
                "line%break",
                "line_break",
            ),
            *("%''%", "straße", "STR%", '%"%"', "İ%", "5", "_ngstr_m"),
        ),
    ),
    *each("platform {like} 'sentinel-__'", like=("like", "not like")),
    "not platform like 'landsat%'",
    "platform like '%-%a'",
    "my:count like '3%'",
    "platform like my:other",
    "'sentinel-2a' like platform",
]
IN = [
    *each("my:count {test} (-5, 3, 100)", "platform {test} ('naip','landsat-8')", test=("in", "not in")),
    *each("my:count in (3)", "platform in ('naip')", "my:count in ('3')", "my:ratio in (1.5, -0.5, 2e0)"),
    *each("my:name in {list}", list=("('it''s','50%','')", "('É','é','日本')")),
    *each("my:flag in (true)", "my:flag in (true, false)", "not my:flag in (true)"),
    "3 in (my:count, my:ratio)",
    "my:count in (my:ratio, 3)",
    "my:count + 1 in (4, 8)",
    "datetime in (TIMESTAMP('2024-05-03T12:00:00Z'), TIMESTAMP('2024-05-01T10:00:00Z'))",
    "published in ('2024-05-02T10:00:00Z')",
]
BETWEEN = [
    *each("my:count {test} -5 and 3", "my:ratio {test} -0.5 and 1.5", test=("between", "not between")),
    *each("eo:cloud_cover between my:ratio and my:limit", "my:count between 3 and -5", "my:count + 1 between 1 and 4"),
    "5 between my:ratio and my:limit",
    "my:count between 0 and 5 and my:ratio > 1",
    "my:ratio > 1 and my:count between 0 and 5",
    "platform between 'landsat-8' and 'naip'",
    "platform not between 'landsat-8' and 'naip'",
    "datetime between TIMESTAMP('2024-05-02T00:00:00Z') and TIMESTAMP('2024-05-03T12:00:00Z')",
    "published between DATE('2024-05-02') and DATE('2024-05-03')",
]
NULL = [
    *each(
        "{name} is null",
        "{name} is not null",
        name=(
            "platform",
            "my:count",
            "my:flag",
            "my:nested",
            "my:roles",
            "published",
            "datetime",
            "geometry",
            "tags",
            "tag",
        ),
    ),
    *each("my:count + 1 is null", "casei(my:mixed) is null"),
]
LOGIC = [
    *each(
        "{a} and {b}",
        "{a} or {b}",
        "not ({a} and {b})",
        "not ({a} or {b})",
        "not {a} and not {b}",
        a=("my:count = 3", "platform like 'landsat%'"),
        b=("my:flag = true", "my:nothing = 1"),
    ),
    "my:count = 3 or my:count = 7 and my:flag = true",
    "(my:count = 3 or my:count = 7) and my:flag = true",
    "not (not my:count = 3)",
    "not (my:nothing = 1 and my:count = 3) or platform = 'naip'",
    "my:nothing is null and not my:count is null",
    "my:count = 3 and my:count = 3",
    "my:count > 0 and my:count < 10 and my:flag = true and gsd is not null",
]
CASES = [
    *each(
        "casei(my:name) = casei({text})",
        "accenti(my:name) = accenti({text})",
        text=quoted(
            "ÅNGSTRÖM", "é", "STRASSE", "STRAẞE", "istanbul", "İstanbul", "\u0131STANBUL", "ΟΔΟΣ", "ANGSTROM", "IT'S"
        ),
    ),
    *each(
        "casei(accenti(my:name)) = casei(accenti({text}))",
        "accenti(casei(my:name)) = accenti(casei({text}))",
        text=quoted("ÅNGSTRÖM", "e", "İSTANBUL"),
    ),
    *each("casei(my:name) {op} casei('ÅNGSTRÖM')", op=ORDER[1:]),
    *each(
        "casei(my:name) = 'STRASSE'", "casei(my:name) = 'strasse'", "accenti(my:name) = 'e'", "casei(my:name) = my:name"
    ),
    *each("casei(my:name) like casei({text})", text=quoted("STR%", "É", "%ANGSTR_M", "50\\%")),
    *each("accenti(my:name) like accenti({text})", text=quoted("ångstr%", "É", "_ngström")),
    *each("casei(my:name) in ({texts})", texts=("'ångström', 'é'", "casei('ÉTÉ'), casei('ÅNGSTRÖM')", "'É'")),
    *each("accenti(my:name) in ({texts})", texts=("'E', 'e'", "accenti('Ångström'), accenti('É')")),
    *each("casei(platform) = casei('SENTINEL-2A')", "not casei(platform) = casei('SENTINEL-2A')"),
    "casei(platform) = casei(my:other)",
    "casei(my:count) = 'x'",
]
CONTAINED_BY = ("A_CONTAINEDBY", "a_containedBy", "a_contained_by")
ARRAYS: list[Tree] = [
    *each(
        "{function}({name}, {values})",
        function=("a_contains", "A_OVERLAPS", "a_equals", *CONTAINED_BY),
        name=("keywords", "tags"),
        values=("('temporary')", "('temporary','guide')"),
    ),
    *each(
        "{function}(my:roles, {values})",
        function=("A_CONTAINS", "a_overlaps", "A_EQUALS", "a_containedBy"),
        values=("('data')", "('data','visual')", "('data','data')"),
    ),
    *each(
        "{function}(my:levels, {values})",
        function=("a_contains", "a_overlaps", "a_equals", "a_containedBy"),
        values=("(1)", "(1,2)", "(2,1,1)", "('1','2')"),
    ),
    *each(
        "not {function}(tags, ('guide','temporary'))",
        function=("a_contains", "a_overlaps", "a_equals", "a_containedBy"),
    ),
    *each(
        "a_contains(tags, ({tag}))",
        tag=quoted("it's", "50%", "back\\slash", 'say "hi"', "日本", "x' OR true --", "a_b"),
    ),
    *each("a_contains(tags, 'guide')", "a_contained_by(tags, 'guide')", "a_contains(tag, ('guide'))"),
    *each(
        "a_contains(properties.keywords, ('guide'))",
        "a_contains(my:levels, (1.5,-3))",
        "a_overlaps(my:name, ('zebra'))",
    ),
    *(
        call(function, name)
        for function in ("a_contains", "a_overlaps", "a_equals", "a_contained_by")
        for name in ("tags", "my:levels")
    ),
    {"op": "not", "args": [call("a_overlaps", "tags")]},
]
TAGS: list[Tree] = [
    *each(
        "{tag} = {text}",
        "{text} in {tag}",
        "{tag} <> {text}",
        "not {tag} = {text}",
        tag=("tag", "tags"),
        text=quoted("temporary", "it's"),
    ),
    *each(
        "tag = {text}", text=quoted("50%", "back\\slash", 'say "hi"', "日本", "x' OR true --", "TEMPORARY", "nothing")
    ),
    *each("keywords = 'guide'", "properties.tags = 'guide'", "'guide' = tag", "'guide' <> tag", "tag = platform"),
    *each("tag {test} ('guide','it''s')", "tags {test} ('reviewed')", test=("in", "not in")),
    *each("tag {like} {text}", like=("like", "not like"), text=quoted("temp%", "%e", "a_b", "a\\_b", "%\\%", "")),
    *each("tag {op} 'guide'", op=ORDER[2:]),
    "tag between 'a' and 'h'",
    *each("casei(tag) {op} casei({text})", op=EQUALITY, text=quoted("TEMPORARY", "ÉTÉ", "Guide")),
    *each("casei(tag) like casei({text})", text=quoted("TEMP%", "%É", "%\\%")),
    *each("accenti(tag) = accenti({text})", text=quoted("Ete", "Été", "angstrom", "guide")),
    *each("accenti(casei(tag)) = accenti(casei('ETE'))", "casei(accenti(tag)) in ('ete', 'guide')"),
    *each(
        "casei(tag) in (casei('TEMPORARY'), casei('IT''S'))",
        "not casei(tag) in ('temporary')",
        "casei('GUIDE') = casei(tag)",
    ),
    *each(
        "tag = 'guide' and tag = 'temporary'",
        "tag = 'guide' or my:count = 7",
        "tag = 'guide' and not tag = 'temporary'",
    ),
    {"op": "in", "args": ["guide", {"property": "tags"}]},
    {"op": "=", "args": [{"property": "properties.tag"}, "guide"]},
]

AREAS = {
    "point": "POINT(5 5)",
    "corner": "POINT(10 10)",
    "line": "LINESTRING(0 0, 10 10)",
    "edge": "LINESTRING(10 0, 10 10, 10 20)",
    "polygon": "POLYGON((0 0, 10 0, 10 10, 0 10, 0 0))",
    "hole": "POLYGON((30 0, 50 0, 50 20, 30 20, 30 0), (35 5, 45 5, 45 15, 35 15, 35 5))",
    "points": "MULTIPOINT(1 1, 60 60)",
    "lines": "MULTILINESTRING((0 20, 10 20), (0 25, 10 25))",
    "polygons": "MULTIPOLYGON(((0 0, 3 0, 3 3, 0 3, 0 0)), ((6 6, 9 6, 9 9, 6 9, 6 6)))",
    "box": "BBOX(0, 0, 10, 10)",
    "box over the antimeridian": "BBOX(165, -10, -170, 10)",
}
TALL = ("BBOX(0, 0, -5, 10, 10, 5)", "BBOX(165, -10, 0, -170, 10, 9)")
COLLECTED = "GEOMETRYCOLLECTION(POINT(40 10), LINESTRING(0 0, 10 0), POLYGON((2 2, 4 2, 4 4, 2 4, 2 2)))"
RELATIONS = ("intersects", "disjoint", "within", "contains", "equals", "touches", "crosses", "overlaps")
PLACES = [
    *each("s_{relation}(geometry, {area})", relation=RELATIONS, area=AREAS.values()),
    *each("s_{relation}(geometry, {area})", relation=("intersects", "disjoint"), area=(COLLECTED,)),
    *each("s_{relation}(geometry, {area})", relation=("intersects", "within"), area=TALL),
    *each("S_INTERSECTS({area}, geometry)", "s_within({area}, geometry)", area=(AREAS["polygon"], AREAS["box"])),
    *each("not s_intersects(geometry, {area})", area=(AREAS["box"], AREAS["box over the antimeridian"])),
    "s_intersects(geometry, BBOX(-180, -90, 180, 90))",
    "s_within(geometry, BBOX(0.5, -5.5, 20.5, 15.5)) and my:count > 0",
]

SPANS = (
    "TIMESTAMP('2024-05-03T12:00:00Z')",
    "DATE('2024-05-03')",
    "INTERVAL('2024-05-02T00:00:00Z','2024-05-04T00:00:00Z')",
    "INTERVAL('2024-05-02','2024-05-03')",
    "INTERVAL('..','2024-05-04T00:00:00Z')",
    "INTERVAL('2024-05-04T00:00:00Z','..')",
)
TEMPORAL = (
    *("after", "before", "contains", "disjoint", "during", "equals", "finishedby", "finishes", "intersects", "meets"),
    *("metby", "overlappedby", "overlaps", "startedby", "starts"),
)
TIMES = [
    *each("t_{relation}(datetime, {span})", relation=TEMPORAL, span=SPANS[:4]),
    *each(
        "t_{relation}(datetime, {span})", relation=("after", "before", "during", "intersects", "meets"), span=SPANS[4:]
    ),
    *each(
        "T_{relation}(INTERVAL(start_datetime, end_datetime), {span})",
        relation=(x.upper() for x in TEMPORAL),
        span=SPANS[2:3],
    ),
    *each("t_{relation}({span}, datetime)", relation=("after", "contains", "intersects"), span=SPANS[1:3]),
    *each(
        "t_{relation}(published, {span})", relation=("after", "before", "during", "equals"), span=(*SPANS[:1], SPANS[4])
    ),
    *each("t_{relation}(my:when, {span})", relation=("after", "during"), span=SPANS[1:3]),
    *each("t_intersects(INTERVAL(published, expires), {span})", span=SPANS[:3]),
    *each(
        "t_during(published, INTERVAL(start_datetime, '..'))",
        "t_before(published, expires)",
        "t_before(published, datetime)",
    ),
    *each("t_intersects(datetime, '2024-05-03T12:00:00Z')", "not t_intersects(datetime, DATE('2024-05-03'))"),
    "not t_intersects(INTERVAL(start_datetime, end_datetime), DATE('2024-05-03'))",
    "T_METBY(INTERVAL('2024-05-01T00:00:00Z', end_datetime), INTERVAL('..', '2024-05-01T00:00:00Z'))",
    "t_after(my:count, DATE('2024-05-03'))",
]
ARITHMETIC = [
    *each("my:count {sign} 2 = {value}", sign="+-*/", value=("5", "1", "6", "1.5")),
    *each("my:count {sign} my:ratio > 1", sign="+-*/"),
    *each("my:count + 2 * 3 = 9", "(my:count + 2) * 3 = 15", "my:count - 2 - 1 = 0", "my:count - (2 - 1) = 2"),
    *each(
        "10 / my:count > 1",
        "my:count / 0 = 1",
        "not my:count / 0 > 1",
        "my:count / my:ratio <> 2",
        "1 / (my:count - 3) < 5",
    ),
    *each("-my:count = 5", "my:count * -1 > -5", "my:count = 1 + 2", "2 + my:count = my:ratio * 2 + 2"),
    *each("my:count + my:name = 5", "my:mixed * 2 = 10", "my:flag + 1 = 2", "1 / 2 = 0.5", "7 / 2 = 3"),
    "(eo:cloud_cover + my:limit) / (gsd - 10) >= 2",
    "((my:count + 1) * (my:ratio + 1) - 1) / 2 < 3",
    "my:mixed + my:mixed = 10",
]
PROPERTIES = [
    *each("my:count {op} my:ratio", "eo:cloud_cover {op} my:limit", op=ORDER),
    *each("platform {op} my:other", op=ORDER),
    *each("datetime {op} published", op=ORDER),
    *each("published {op} expires", op=("=", "<", ">")),
    *each("my:when {op} published", op=("=", ">")),
    *each(
        "my:count = my:name",
        "my:name = my:mixed",
        "my:flag = my:mixed",
        "id = my:name",
        "my:levels.value = my:count",
        "my:mixed = my:mixed",
    ),
]

GROUPS: dict[str, list[Tree]] = {
    "numbers": NUMBERS,
    "texts": TEXTS,
    "ids": IDS,
    "booleans": BOOLEANS,
    "datetimes": DATETIMES,
    "unknown": UNKNOWN,
    "nested": NESTED,
    "mixed": MIXED,
    "like": LIKE,
    "in": IN,
    "between": BETWEEN,
    "null": NULL,
    "logic": LOGIC,
    "cases": CASES,
    "arrays": ARRAYS,
    "tags": TAGS,
    "places": PLACES,
    "times": TIMES,
    "arithmetic": ARITHMETIC,
    "properties": PROPERTIES,
}
