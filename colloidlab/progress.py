"""Following and stopping long work, without the library drawing anything itself."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sized
from typing import TypeVar

from colloidlab.errors import Cancelled
from colloidlab.news import News

Report = Callable[[str, int, int], None]
"""Called as report(label, done, total); `total` is 0 where it is not known."""

T = TypeVar("T")


class Monitor:
    """Progress callback and cancel token in one object, handed down through every long function.

    Parameters
    ----------
    report : callable(label, done, total), optional
        Draws progress; the command line and the plugin provide one.
    cancelled : callable() -> bool, optional
        Asked at every step; a true answer raises `Cancelled` there.
    told : callable(News), optional
        Is given what there is to show before the end; it must be quick.
    """

    def __init__(
        self,
        report: Report | None = None,
        cancelled: Callable[[], bool] | None = None,
        told: Callable[[News], None] | None = None,
    ) -> None:
        self._report = report
        self._cancelled = cancelled
        self._told = told

    def update(self, label: str, done: int, total: int) -> None:
        """Say that `done` of `total` steps of `label` are complete; raise `Cancelled` when told to stop."""
        if self._cancelled is not None and self._cancelled():
            raise Cancelled(
                f"stopped during '{label}' after {done} of {total} steps; run the command again to go on"
            )
        if self._report is not None:
            self._report(label, done, total)

    def tell(self, news: News) -> None:
        """Pass on what has been found so far."""
        if self._told is not None:
            self._told(news)

    def track(self, items: Iterable[T], label: str, total: int | None = None) -> Iterator[T]:
        """Yield `items`, reporting before each and once at the end."""
        n = total if total is not None else (len(items) if isinstance(items, Sized) else 0)
        done = 0
        for item in items:
            self.update(label, done, n)
            yield item
            done += 1
        self.update(label, done, n or done)


SILENT = Monitor()
