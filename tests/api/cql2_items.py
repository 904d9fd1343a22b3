"""The Items that CQL2 expressions are tried on: what is there, what is missing, and what is strange.

Ids are single letters, so that a text spells the Items that an expression finds: `found == "abX"`.
"""

from __future__ import annotations

from typing import Any

Json = dict[str, Any]

COLLECTION = "test:cql2"


def box(west: float, south: float, east: float, north: float) -> list[list[float]]:
    return [[west, south], [east, south], [east, north], [west, north], [west, south]]


def polygon(*rings: list[list[float]]) -> Json:
    return {"type": "Polygon", "coordinates": list(rings)}


def point(x: float, y: float) -> Json:
    return {"type": "Point", "coordinates": [x, y]}


GEOMETRIES: dict[str, Json] = {
    "a": polygon(box(0, 0, 10, 10)),
    "b": polygon(box(10, 0, 20, 10)),  # touches a
    "c": polygon(box(5, 5, 15, 15)),  # overlaps a and b
    "d": polygon(box(2, 2, 4, 4)),  # within a
    "e": polygon(box(30, 0, 50, 20), box(35, 5, 45, 15)),  # has a hole
    "f": point(5, 5),
    "g": point(40, 10),  # in the hole of e
    "h": {"type": "LineString", "coordinates": [[0, 0], [10, 10]]},
    "i": {"type": "LineString", "coordinates": [[5, -5], [5, 15]]},  # crosses a
    "j": {"type": "MultiPoint", "coordinates": [[1, 1], [60, 60]]},
    "k": {"type": "MultiLineString", "coordinates": [[[0, 20], [10, 20]], [[0, 25], [10, 25]]]},
    "l": {"type": "MultiPolygon", "coordinates": [[box(170, -5, 180, 5)], [box(-180, -5, -170, 5)]]},
    "m": polygon([[10, 10], [0, 10], [0, 0], [10, 0], [10, 10]]),  # equals a, written otherwise
    "n": {"type": "MultiPolygon", "coordinates": [[box(0, 0, 3, 3)], [box(6, 6, 9, 9)]]},
    "o": point(10, 5),  # on the border of a
    "p": {"type": "LineString", "coordinates": [[0, 0], [10, 0]]},  # an edge of a
    "q": point(-175, 0),
    "r": polygon(box(160, -5, 170, 5)),  # touches l
}
"""Of the Items that are not named, each is a point of its own in the south."""

# Three relations of a moment to a day, and every relation of two intervals.
MOMENTS = {
    "a": "2024-05-01T10:00:00Z",
    "b": "2024-05-02T10:00:00Z",
    "c": "2024-05-03T00:00:00Z",
    "d": "2024-05-03T12:00:00Z",
    "e": "2024-05-03T23:59:59.5Z",
    "f": "2024-05-04T00:00:00Z",
    "g": "2024-05-05T10:00:00.250Z",
    "h": "2024-05-05T12:00:00+02:00",
}
INTERVALS = {
    "n": ("2024-05-02T00:00:00Z", "2024-05-04T00:00:00Z"),
    "o": ("2024-05-03T00:00:00Z", "2024-05-05T00:00:00Z"),  # overlapped by n
    "p": ("2024-05-04T00:00:00Z", "2024-05-06T00:00:00Z"),  # met by n
    "q": ("2024-05-02T00:00:00Z", "2024-05-03T00:00:00Z"),  # starts n
    "r": ("2024-05-03T00:00:00Z", "2024-05-04T00:00:00Z"),  # finishes n
    "s": ("2024-05-02T12:00:00Z", "2024-05-03T12:00:00Z"),  # during n
    "t": ("2024-05-02T00:00:00Z", "2024-05-04T00:00:00Z"),  # equals n
    "u": ("2024-05-03T06:00:00Z", "2024-05-03T18:00:00Z"),  # within a day
    "v": ("2024-04-01T00:00:00Z", "2024-06-30T00:00:00Z"),  # contains n
    "w": ("2024-05-03T12:00:00Z", "2024-05-03T12:00:00Z"),  # as long as a moment
}
INTERVAL_DATETIME = "2024-05-03T12:00:00Z"

PROPERTIES: dict[str, Json] = {
    "a": {
        "eo:cloud_cover": 0,
        "gsd": 10,
        "platform": "sentinel-2a",
        "published": "2024-05-01T12:00:00Z",
        "expires": "2024-05-02T00:00:00Z",
        "keywords": ["temporary", "guide"],
        "my:count": -5,
        "my:ratio": -0.5,
        "my:limit": 10,
        "my:name": "Ångström",
        "my:mixed": 5,
        "my:flag": True,
        "my:when": "2024-05-01T10:00:00Z",
        "my:roles": ["data", "visual"],
        "my:levels": [1, 2],
        "my:nested": {"depth": {"value": 1, "name": "deep"}},
        "my:other": "sentinel-2a",
    },
    "b": {
        "eo:cloud_cover": 0.5,
        "gsd": 10,
        "platform": "Sentinel-2A",
        "published": "2024-05-02T10:00:00Z",
        "keywords": ["temporary"],
        "my:count": 0,
        "my:ratio": 0.25,
        "my:limit": 0.5,
        "my:name": "ångström",
        "my:mixed": "5",
        "my:flag": False,
        "my:roles": ["visual", "data"],
        "my:levels": [2, 1],
        "my:nested": {"depth": {"value": 2, "name": "Deep"}},
        "my:other": "sentinel-2a",
    },
    "c": {
        "eo:cloud_cover": 20,
        "gsd": 0.25,
        "platform": "landsat-8",
        "published": "2024-05-02T23:00:00Z",
        "expires": "2024-05-03T12:00:00Z",
        "keywords": ["guide", "it's"],
        "my:count": 3,
        "my:ratio": 1.5,
        "my:limit": 5,
        "my:name": "angstrom",
        "my:mixed": True,
        "my:flag": True,
        "my:when": "2024-05-03T12:00:00Z",
        "my:hint": "2024-05-03T14:00:00+02:00",
        "my:roles": ["data"],
        "my:levels": [1],
        "my:nested": {"depth": {"value": "2"}},
    },
    "d": {
        "eo:cloud_cover": 35,
        "gsd": 30,
        "platform": "landsat-9",
        "published": "2024-05-03T12:00:00Z",
        "expires": "2024-05-03T00:00:00Z",
        "keywords": [],
        "my:count": 7,
        "my:ratio": 2,
        "my:limit": 70,
        "my:name": "ANGSTROM",
        "my:mixed": "five",
        "my:odd": 5,
        "my:flag": False,
        "my:when": "2024-05-05T00:00:00Z",
        "my:roles": [],
        "my:levels": [],
        "my:nested": {"depth": {}},
        "my:other": "x",
    },
    "e": {
        "eo:cloud_cover": 100,
        "gsd": 10,
        "platform": "naip",
        "published": "2024-06-01T00:00:00.500Z",
        "expires": "2024-06-01T02:00:00.5+02:00",
        "keywords": ["temporary", "guide", "reviewed"],
        "my:count": 3,
        "my:ratio": -2.5,
        "my:limit": 100,
        "my:name": "É",
        "my:mixed": [5],
        "my:hint": "soon",
        "my:roles": ["data", "data"],
        "my:levels": [1, 1, 2],
        "my:nested": {"other": 1},
    },
    "f": {"keywords": ["temporary", "temporary"], "my:name": "é", "my:odd": {"a": 5}, "my:count": 12, "my:flag": True},
    "g": {"keywords": ["Temporary"], "my:name": "e\u0301", "my:mixed": None, "my:count": None, "my:levels": [1.5, -3]},
    "h": {"keywords": ["50%", "100%"], "my:name": "straße", "my:mixed": -5, "my:levels": [3], "my:count": -5.5},
    "i": {"keywords": ["back\\slash", 'say "hi"'], "my:name": "STRASSE", "my:mixed": 5.5, "my:levels": ["1", "2"]},
    "j": {"keywords": ["Été", "ångström"], "my:name": "Straẞe", "my:mixed": "Five", "my:roles": "data"},
    "k": {"keywords": ["a_b", "axb"], "my:name": "İstanbul", "my:mixed": "true", "my:roles": ["Data"]},
    "l": {"keywords": ["日本", "ete"], "my:name": "istanbul", "my:count": 0, "my:ratio": 0},
    "m": {"keywords": ["x' OR true --"], "my:name": "ISTANBUL", "platform": "sentinel-1"},
    "n": {"my:name": "\u0131stanbul", "published": "2024-05-02T00:00:00Z", "expires": "2024-05-04T00:00:00Z"},
    "o": {"my:name": "ΟΔΟΣ", "published": "2024-05-06T00:00:00Z"},
    "p": {"my:name": "οδοσ", "eo:cloud_cover": 20},
    "q": {"my:name": "50%", "my:count": 3},
    "r": {"my:name": "50 percent", "my:count": 100},
    "s": {"my:name": "a_b", "my:flag": True},
    "t": {"my:name": "axb"},
    "u": {"my:name": "back\\slash"},
    "v": {"my:name": "it's"},
    "w": {"my:name": ""},
    "x": {"my:name": "line\nbreak"},
    "y": {"my:name": 'say "hi"'},
    "z": {"my:name": "Zebra", "platform": "Zebra", "my:other": "Ångström"},
    "A": {"my:name": "zebra", "my:mixed": "5.0", "my:count": 5},
    "B": {"my:name": 5, "my:count": "3", "keywords": ["guide"]},
    "C": {"my:name": True, "my:flag": "true", "my:count": False},
    "D": {"my:name": ["zebra"], "my:roles": ["a", "b", "c"], "my:levels": [1, 2, 3]},
    "E": {"platform": "", "eo:cloud_cover": 99.9, "gsd": 20, "my:limit": 0},
    "F": {},
}
"""Of every Item, beside of its times; `F` has nothing."""


def _item(index: int, name: str) -> Json:
    geometry = GEOMETRIES.get(name) or point(100 + index, -40)
    properties: Json = {"datetime": MOMENTS.get(name, f"2023-01-{index:02}T00:00:00Z"), **PROPERTIES[name]}
    if name in INTERVALS:
        start, end = INTERVALS[name]
        properties.update(datetime=INTERVAL_DATETIME, start_datetime=start, end_datetime=end)
    return {
        "type": "Feature",
        "stac_version": "1.1.0",
        "id": name,
        "collection": COLLECTION,
        "geometry": geometry,
        "bbox": [-180, -90, 180, 90],
        "properties": properties,
        "assets": {},
        "links": [],
    }


ITEMS = [_item(index, name) for index, name in enumerate(PROPERTIES)]
