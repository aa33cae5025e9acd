"""Locating the particles of a recording: decoding and locating overlap, frames come back in order."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager

import cv2
import numpy as np
import pandas as pd

from colloidlab.errors import InputError, UsageError
from colloidlab.features.location import locate
from colloidlab.features.parameters import LocateParameters
from colloidlab.progress import SILENT, Monitor

_WAITING_PER_THREAD = 2
"""Frames that may be decoded ahead: enough to keep a thread busy, few enough to keep memory constant."""


def locate_frames(
    frames: Iterable[tuple[int, np.ndarray]],
    parameters: LocateParameters,
    *,
    threads: int = 1,
    prepare: Callable[[int, np.ndarray], np.ndarray] | None = None,
    monitor: Monitor = SILENT,
    total: int = 0,
) -> Generator[tuple[int, pd.DataFrame], None, None]:
    """Locate the particles of one image after the other, holding a few at a time.

    The iterable is read by the caller's thread while `threads` others locate. The result does not depend on
    their number: every image is looked at on its own. Whoever leaves before the end closes the generator, which
    waits for the threads.

    Parameters
    ----------
    frames : iterable of (index, image)
        As a video gives them.
    parameters : LocateParameters
        From `estimate`, or made by hand.
    threads : int
        Images that are worked on at the same time.
    prepare : callable(index, image) -> image, optional
        Called in the thread that locates, before it does.
    monitor : Monitor
        Told of every frame.
    total : int
        Number of frames, where it is known; only for the progress.

    Yields
    ------
    index : int
    features : DataFrame
        As `locate` gives it.

    Raises
    ------
    InputError
        As `locate`, with the index of the frame.
    UsageError
        `threads` is not positive.
    """
    if threads < 1:
        raise UsageError(f"threads = {threads} leaves nobody to do the work; give at least 1")

    def work(index: int, image: np.ndarray) -> pd.DataFrame:
        return _locate_one(index, image if prepare is None else prepare(index, image), parameters)

    located = _in_turn(frames, work) if threads == 1 else _side_by_side(frames, work, threads)
    with _opencv_in_one_thread():
        yield from monitor.track(located, "locate", total)


Work = Callable[[int, np.ndarray], pd.DataFrame]


def _in_turn(frames: Iterable[tuple[int, np.ndarray]], work: Work) -> Iterator[tuple[int, pd.DataFrame]]:
    for index, image in frames:
        yield index, work(index, image)


def _side_by_side(
    frames: Iterable[tuple[int, np.ndarray]], work: Work, threads: int
) -> Iterator[tuple[int, pd.DataFrame]]:
    waiting: deque[tuple[int, Future[pd.DataFrame]]] = deque()
    pool = ThreadPoolExecutor(threads, thread_name_prefix="locate")
    try:
        for index, image in frames:
            waiting.append((index, pool.submit(work, index, image)))
            while waiting and (len(waiting) > _WAITING_PER_THREAD * threads or waiting[0][1].done()):
                first, result = waiting.popleft()
                yield first, result.result()
        while waiting:
            first, result = waiting.popleft()
            yield first, result.result()
    finally:
        # Also when the caller stops early or is interrupted: what has not begun never will.
        pool.shutdown(wait=True, cancel_futures=True)


@contextmanager
def _opencv_in_one_thread() -> Iterator[None]:
    """The caller says how many threads there are: OpenCV's own would take the cores from those beside them."""
    before = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        yield
    finally:
        cv2.setNumThreads(before)


def _locate_one(index: int, image: np.ndarray, parameters: LocateParameters) -> pd.DataFrame:
    try:
        return locate(
            image,
            parameters.diameter_px,
            minmass=parameters.minmass,
            separation_px=parameters.separation_px,
            invert=parameters.invert,
            method=parameters.method,
            template=parameters.template,
            circles=parameters.circles,
            minsignal=parameters.minsignal,
        )
    except InputError as error:
        raise InputError(f"frame {index}: {error}") from None
