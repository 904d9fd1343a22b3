"""What a search found, in numbers."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from stac_ingest import stac
from stac_ingest.models.enums import Interval

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


def summary_of(items: Iterable[Json], interval_start: datetime | None = None) -> ImageSummaryResult:
    """Return the summary of Items that have at least `collection` and `assets`."""
    count = size = 0
    products = set()
    for item in items:
        count += 1
        size += sum(asset.get("file:size") or 0 for _, asset in stac.data_assets(item))
        products.add(item["collection"])
    return ImageSummaryResult(count, size, tuple(sorted(products)), interval_start)


def start_of(interval: Interval, moment: datetime) -> datetime:
    """Return the start of the interval that a time in UTC falls into."""
    minute = moment.replace(second=0, microsecond=0)
    hour = minute.replace(minute=0)
    day = hour.replace(hour=0)
    match interval:
        case Interval.MINUTE:
            return minute
        case Interval.HOUR:
            return hour
        case Interval.DAY:
            return day
        case Interval.WEEK:
            return day - timedelta(days=day.weekday())
        case Interval.MONTH:
            return day.replace(day=1)
        case Interval.QUARTER:
            return day.replace(month=(day.month - 1) // 3 * 3 + 1, day=1)
        case Interval.YEAR:
            return day.replace(month=1, day=1)
