"""Where Python stands in a chain of comparisons such as `1 <= x < 2`.

Python evaluates that as `1 <= x and x < 2` with one `x`, and asks in between whether the first half is true. An object
whose comparisons are values rather than answers must know that question from the one that `and`, `or`, `not` and `if`
ask. The compiled code tells them apart: only a chain keeps its middle operand for the second half. Where the code is
not as known, nothing is taken for a chain.
"""

from __future__ import annotations

import dis
from dataclasses import dataclass
from functools import lru_cache
from types import CodeType, FrameType

_MIRRORED = {"<": ">", "<=": ">=", ">": "<", ">=": "<="}
_KEEPS_THE_MIDDLE = [("SWAP", 2), ("COPY", 2)]
_ASKS = frozenset(("COPY", "TO_BOOL", "POP_JUMP_IF_FALSE"))


@dataclass(frozen=True)
class Half:
    """The first half of a chain that is being evaluated."""

    frame: int
    code: CodeType
    offset: int
    """Where the first comparison is in the code."""

    def is_within(self, other: Half) -> bool:
        """Return whether this half may stand in the second half of another chain."""
        return self.code is other.code and self.offset > other.offset


@dataclass(frozen=True)
class _Comparisons:
    operators: dict[int, str]
    """Offset of each comparison -> its operator as written."""
    places: dict[int, object]
    """Offset of each comparison -> where in the source the whole chain is."""
    asked: dict[int, int]
    """Offset of what asks whether the first half of a chain is true -> offset of that half's comparison."""


def chained(frame: FrameType, operator: str) -> Half | None:
    """Return the half of a chain whose truth the frame asks for, or None when it asks for another reason.

    Args:
        frame: Where the question comes from.
        operator: The comparison as its right operand was asked to make it: `>` for the first half of `1 < x < 2`.
    """
    found = _comparisons(frame.f_code)
    offset = found.asked.get(frame.f_lasti)
    if offset is None or _MIRRORED.get(found.operators[offset]) != operator:
        return None
    return Half(id(frame), frame.f_code, offset)


def continues(frame: FrameType, half: Half) -> bool:
    """Return whether the comparison that the frame is making is the second half of a chain."""
    if frame.f_code is not half.code or frame.f_lasti <= half.offset:
        return False
    places = _comparisons(half.code).places
    return places.get(frame.f_lasti) == places[half.offset]


@lru_cache(maxsize=256)
def _comparisons(code: CodeType) -> _Comparisons:
    found = _Comparisons({}, {}, {})
    listed = list(dis.get_instructions(code))
    for index, instruction in enumerate(listed):
        if instruction.opname != "COMPARE_OP":
            continue
        found.operators[instruction.offset] = instruction.argrepr.removeprefix("bool(").removesuffix(")")
        found.places[instruction.offset] = instruction.positions
        if [(before.opname, before.arg) for before in listed[max(index - 2, 0) : index]] != _KEEPS_THE_MIDDLE:
            continue
        found.asked[instruction.offset] = instruction.offset
        for after in listed[index + 1 : index + 4]:
            if after.opname not in _ASKS:
                break
            found.asked[after.offset] = instruction.offset
    return found
