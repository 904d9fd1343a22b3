"""Whether services answer the same, which is to be known before it is measured which of them is faster."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase
from typing import Any

import httpx2

from benchmarks.service import Service
from benchmarks.wrk import Request

DIFFERENCES = {
    "/search*.links.*.title": "only ours says what the links of a page are",
    "/collections.links.*.title": "only ours says what the links of a page are",
    "/collections.collections.*.links.http*sortables": "only ours offers sortables",
    "/search*.numberMatched": "only ours counts; pgstac does if asked to, and is slower then",
    "/search?*.links.self.*.href": "stock leaves out what was asked",
    "/search*.links.next.*.href": "the token in it is each service's own",
    "/search*.links.next.*.body.token": "it is each service's own",
    "/.id": "the service's own name",
    "/.title": "the service's own name",
    "/.description": "the service's own words",
    "/.stac_version": "stock says 1.0.0 of itself",
    "/.conformsTo": "ours offers more",
    "/.links.child": "only ours lists its collections",
    "/.links.children": "only ours lists its collections",
    "/.links.aggregat*": "only ours offers aggregations",
    "/collections.collections.*.links.aggregat*": "only ours offers aggregations",
    "/.links.http*sortables": "only ours offers sortables",
    "/.links.*.title": "each service's own words",
    "/.links.http*queryables.*.method": "only stock says that it is GET",
}
"""Where answers may differ, and why: the path that is asked, and the place in what is answered."""


def answers(service: Service, requests: Sequence[Request]) -> list[Any]:
    """Start the service, and return what it answers to each request."""
    with service.running(), httpx2.Client(base_url=service.url, timeout=60) as client:
        return [
            client.request(request.method, request.path, json=request.body).raise_for_status().json()
            for request in requests
        ]


def differences(one: Any, other: Any, place: str = "") -> Iterator[str]:
    """Yield the places at which two JSON values differ.

    Links are told apart by their relation, and Collections by their id, not by their order.
    """
    if isinstance(one, dict) and isinstance(other, dict):
        for key in sorted(one.keys() | other.keys()):
            if key not in one or key not in other:
                yield f"{place}.{key}"
            elif key == "collections" and isinstance(one[key], list):
                left, right = (sorted(side[key], key=lambda found: str(found["id"])) for side in (one, other))
                yield from differences(left, right, f"{place}.collections")
            elif key == "links":
                yield from differences(_by_relation(one[key]), _by_relation(other[key]), f"{place}.links")
            else:
                yield from differences(one[key], other[key], f"{place}.{key}")
    elif isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        for left, right in zip(one, other, strict=True):
            yield from differences(left, right, f"{place}.*")
    elif one != other:
        yield place


def allowance(place: str) -> str | None:
    """Return which of DIFFERENCES lets answers differ in this place, if any does."""
    return next((pattern for pattern in DIFFERENCES if fnmatchcase(place, pattern)), None)


def _by_relation(links: list[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = {}
    for link in sorted(links, key=lambda link: (str(link.get("method")), str(link["href"]))):
        found.setdefault(link["rel"], []).append(link)
    return found
