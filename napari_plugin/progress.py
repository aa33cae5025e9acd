"""A `Monitor` that draws napari's progress bar, for short work that the window waits for."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from napari.utils import progress

from colloidlab.progress import Monitor


@contextmanager
def progress_bar() -> Iterator[Monitor]:
    """Yield a monitor whose labels and steps appear as one progress bar after the other."""
    bars: dict[str, Any] = {}

    def report(label: str, done: int, total: int) -> None:
        if label not in bars:
            for old in bars.values():
                old.close()
            bars[label] = progress(total=total or None, desc=label)
        bar = bars[label]
        bar.update(done - bar.n)

    try:
        yield Monitor(report)
    finally:
        for bar in bars.values():
            bar.close()
