"""Progress bars, in notebooks and on the terminal."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any


def progress_bar(shown: bool | None, things: Iterable[Any] | None = None, **options: Any) -> Any:
    """Return a bar of tqdm, which yields `things` as an iterator; if it is not to be shown, it does nothing else.

    Args:
        shown: Whether there is a bar to see.
        things: What is counted; unset: what is done is told by `update`.
        options: Arguments of tqdm, such as `total`, `desc` and `unit`.
    """
    if shown:
        from tqdm.auto import tqdm  # in a notebook without ipywidgets this import alone warns
    else:
        from tqdm import tqdm
    return tqdm(things, disable=not shown, **options)
