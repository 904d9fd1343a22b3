"""GeoJSON geometries, as far as STAC needs to know them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from typing import Any

Json = dict[str, Any]


def bbox_of(geometry: Json) -> list[float]:
    """Return [west, south, east, north]; west > east where it is split at the antimeridian (RFC 7946 section 5.2)."""
    boxes = []
    for part in _parts_of(geometry):
        xs, ys = zip(*positions(part), strict=True)
        boxes.append((min(xs), min(ys), max(xs), max(ys)))
    south, north = min(box[1] for box in boxes), max(box[3] for box in boxes)
    east_side = [box for box in boxes if box[2] == 180]
    west_side = [box for box in boxes if box[0] == -180]
    if east_side and west_side and not set(east_side) & set(west_side):
        others = [box for box in boxes if box not in east_side and box not in west_side]
        west = min(box[0] for box in chain(east_side, (b for b in others if b[0] >= 0)))
        east = max(box[2] for box in chain(west_side, (b for b in others if b[0] < 0)))
        if west > east:
            return [west, south, east, north]
    return [min(box[0] for box in boxes), south, max(box[2] for box in boxes), north]


def is_place(geometry: Json) -> bool:
    """Return whether a geometry, and each of its parts, has a position."""
    parts = list(_parts_of(geometry))
    return bool(parts) and all(any(True for _ in positions(part)) for part in parts)


def places_of(geometry: Json) -> Iterator[tuple[float, float]]:
    """Yield the (x, y) of every position of a geometry."""
    yield from chain.from_iterable(positions(part) for part in _parts_of(geometry))


def boxes_touch(one: Sequence[float], other: Sequence[float], *, within: float = 0) -> bool:
    """Return whether two boxes, of [west, south, east, north] each, come as near as that many degrees."""
    return (
        one[1] <= other[3] + within
        and other[1] <= one[3] + within
        and any(
            west <= far_east + within and far_west <= east + within
            for west, east in _longitudes(one)
            for far_west, far_east in _longitudes(other)
        )
    )


def _longitudes(box: Sequence[float]) -> list[tuple[float, float]]:
    west, east = box[0], box[2]
    return [(west, east)] if west <= east else [(west, 180), (-180, east)]


def _parts_of(geometry: Json) -> Iterator[Any]:
    if geometry["type"] == "GeometryCollection":
        yield from chain.from_iterable(map(_parts_of, geometry["geometries"]))
    elif geometry["type"].startswith("Multi"):
        yield from geometry["coordinates"]
    else:
        yield geometry["coordinates"]


def positions(coordinates: Any) -> Iterable[tuple[float, float]]:
    """Yield the (x, y) of every position in GeoJSON coordinates, however deep they lie."""
    if coordinates and isinstance(coordinates[0], int | float):
        yield coordinates[0], coordinates[1]
    else:
        for part in coordinates:
            yield from positions(part)
