"""Searches as values: nothing is asked until the search is iterated."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from stac_ingest import stac
from stac_ingest.client.connection import Client
from stac_ingest.filters import Expression, Field

if TYPE_CHECKING:
    from stac_ingest.client.image import Image

PAGE = 100
FIELDS: dict[str, Field] = {
    **{row.attribute: (row.name, row.write) for row in stac.PROPERTIES},
    "name": ("id", str),
    "product_id": ("collection", str),
}


@dataclass(frozen=True)
class ImageSearch:
    """A search for images; each method returns a new search."""

    _client: Client
    collections: tuple[str, ...] = ()
    expression: Expression | None = None
    order: tuple[tuple[str, bool], ...] = ()
    most: int | None = None

    def filter(self, expression: Expression) -> ImageSearch:
        """Return the search for images that meet `expression` too."""
        both = expression if self.expression is None else self.expression & expression
        return replace(self, expression=both)

    def sort(self, field: str, ascending: bool = True) -> ImageSearch:
        """Return the search with its images in the order of an attribute."""
        FIELDS[field]
        return replace(self, order=((field, ascending),))

    def limit(self, limit: int) -> ImageSearch:
        """Return the search for at most `limit` images."""
        return replace(self, most=limit)

    def count(self) -> int:
        """Return how many images there are; `limit` does not count."""
        return int(self._client.post("/search", {**self._body(), "limit": 1})["numberMatched"])

    def __iter__(self) -> Iterator[Image]:
        from stac_ingest.client.image import Image

        left = self.most
        for item in self._items():
            if left is not None:
                if left == 0:
                    return
                left -= 1
            yield Image._loaded(item, self._client)

    def _items(self) -> Iterator[dict[str, Any]]:
        body = {**self._body(), "limit": PAGE if self.most is None else max(1, min(PAGE, self.most))}
        while True:
            page = self._client.post("/search", body)
            yield from page["features"]
            following = next((link for link in page["links"] if link["rel"] == "next"), None)
            if following is None:
                return
            body = {**body, **following["body"]}

    def _body(self) -> dict[str, Any]:
        body: dict[str, Any] = {}
        if self.collections:
            body["collections"] = list(self.collections)
        if self.expression is not None:
            body |= {"filter-lang": "cql2-json", "filter": self.expression.to_cql2(FIELDS)}
        if self.order:
            body["sortby"] = [
                {"field": _sort_field(name), "direction": "asc" if ascending else "desc"}
                for name, ascending in self.order
            ]
        return body


def _sort_field(attribute: str) -> str:
    name, _ = FIELDS[attribute]
    return name if name in ("id", "collection") else f"properties.{name}"
