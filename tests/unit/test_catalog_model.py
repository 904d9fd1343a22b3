"""docs/catalog-model.md: a row for every feature of the original, and a test for every promise."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
DOCUMENT = ROOT / "docs" / "catalog-model.md"
# As the reference numbers them; the gaps are between its groups.
GROUPS = ((1, 22), (30, 48), (50, 72), (80, 95), (100, 111), (120, 131), (140, 151), (160, 163), (170, 188), (200, 206))
FEATURES = [f"F{number}" for first, last in GROUPS for number in range(first, last + 1)]
DECISIONS = [f"D{number}" for number in range(1, 14)]


@cache
def rows() -> dict[str, list[str]]:
    """Return the cells of each row by what its first cell names."""
    lines = DOCUMENT.read_text().splitlines()
    cells = [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines if line.startswith("| ")]
    return {row[0]: row for row in cells if re.fullmatch(r"[FD]\d+", row[0])}


def test_no_feature_is_missing_and_none_is_there_twice() -> None:
    assert list(rows()) == FEATURES + DECISIONS
    text = DOCUMENT.read_text()
    assert all(len(re.findall(rf"^\| {name} \|", text, re.M)) == 1 for name in rows())


@pytest.mark.parametrize("feature", FEATURES + DECISIONS)
def test_a_feature_is_the_same_or_better_by_a_test_or_left_out_for_a_reason(feature: str) -> None:
    _, _, verdict, how, shown = rows()[feature]
    assert verdict in ("same", "better", "left out")
    if verdict == "left out":
        assert how
        return
    assert verdict == "same" or how
    named = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", shown)
    assert named
    for path, name in named:
        assert re.search(rf"^def {name}\(", (ROOT / path).read_text(), re.M), f"{path}::{name}"
