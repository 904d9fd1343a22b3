"""What a search found, in numbers."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

Json = dict[str, Any]


@dataclass(frozen=True)
class ImageSummaryResult:
    """How many images there are, how large, and of which products.

    Attributes:
        count: How many images.
        bytes: Size of their files, as far as it is known; that of remote images may not be.
        products: Ids of their products, sorted.
        interval_start: When the interval begins, in UTC, that the images fall into; None in a summary of all.
    """

    count: int
    bytes: int
    products: tuple[str, ...]
    interval_start: datetime | None = None


def summary_of(bucket: Json) -> ImageSummaryResult:
    """Return the summary of the images of an interval, from what the service says of it."""
    return ImageSummaryResult(
        count=bucket["frequency"],
        bytes=bucket["ingest:bytes"],
        products=tuple(bucket["ingest:collections"]),
        interval_start=datetime.fromisoformat(bucket["key"]),
    )


def added_up(summaries: Iterable[ImageSummaryResult]) -> ImageSummaryResult:
    """Return the summary of the images of all intervals."""
    parts = list(summaries)
    products = {product for part in parts for product in part.products}
    return ImageSummaryResult(
        sum(part.count for part in parts), sum(part.bytes for part in parts), tuple(sorted(products))
    )
