"""Locating in threads: the order, the result, what waits in memory, and how it stops."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Iterator

import numpy as np
import pandas as pd
import pytest
from diffusing_film import DIAMETER_PX
from rendered_scenes import expose, gaussian_image

from colloidlab.errors import Cancelled, InputError, UsageError
from colloidlab.features import LocateParameters, locate_frames
from colloidlab.progress import Monitor

PARAMETERS = LocateParameters(DIAMETER_PX, 500.0, 7.0, method="centroid")


def images(n: int) -> list[np.ndarray]:
    """Each with another number of spots."""
    rng = np.random.default_rng(4)
    found = []
    for k in range(n):
        places = rng.uniform(12, 68, (1 + k % 4, 2))
        ones = np.ones(len(places))
        found.append(expose(gaussian_image((80, 80), places, 2 * ones, 100 * ones, 20), rng, read=1, gain=0))
    return found


def threads_that_locate() -> list[str]:
    return [t.name for t in threading.enumerate() if t.name.startswith("locate")]


@pytest.mark.parametrize("threads", [2, 5])
def test_any_number_of_threads_gives_the_same_tables_in_order(threads: int) -> None:
    frames = list(zip(range(7, 47), images(40), strict=True))
    one = list(locate_frames(frames, PARAMETERS, threads=1))
    many = list(locate_frames(frames, PARAMETERS, threads=threads))
    assert [k for k, _ in many] == list(range(7, 47))
    assert {len(table) for _, table in one} >= {1, 2, 3}
    for (_, a), (_, b) in zip(one, many, strict=True):
        pd.testing.assert_frame_equal(a, b, check_exact=True)
    assert threads_that_locate() == []


def test_images_are_prepared_before_particles_are_located() -> None:
    frames = list(enumerate(images(6)))
    dark = [(k, 255 - image) for k, image in frames]
    turned = locate_frames(dark, PARAMETERS, threads=2, prepare=lambda k, image: 255 - image)
    for (_, a), (_, b) in zip(locate_frames(frames, PARAMETERS), turned, strict=True):
        pd.testing.assert_frame_equal(a, b, check_exact=True)


@pytest.mark.parametrize("threads", [1, 3])
def test_few_images_are_held_however_long_the_film(threads: int) -> None:
    alive: list[weakref.ref[np.ndarray]] = []
    most = 0

    def film() -> Iterator[tuple[int, np.ndarray]]:
        nonlocal most
        source = images(4)
        for k in range(60):
            image = source[k % 4].copy()
            alive.append(weakref.ref(image))
            most = max(most, sum(ref() is not None for ref in alive))
            yield k, image

    # A slow reader of the results: those that are done wait, and what is decoded must not pile up.
    assert sum(1 for _ in locate_frames(film(), PARAMETERS, threads=threads)) == 60
    assert most <= 3 * threads + 3


@pytest.mark.parametrize("threads", [1, 3])
def test_a_frame_that_cannot_be_located_is_named_and_the_threads_end(threads: int) -> None:
    frames = list(enumerate(images(30)))
    frames[11] = (11, np.full((80, 80), np.nan))
    done = []
    with pytest.raises(InputError, match="frame 11"):
        for index, _ in locate_frames(frames, PARAMETERS, threads=threads):
            done.append(index)
    assert done == list(range(11))
    assert threads_that_locate() == []


@pytest.mark.parametrize("threads", [1, 3])
def test_a_film_that_breaks_off_ends_the_threads(threads: int) -> None:
    def film() -> Iterator[tuple[int, np.ndarray]]:
        yield from enumerate(images(9))
        raise InputError("the disk is gone")

    with pytest.raises(InputError, match="the disk is gone"):
        list(locate_frames(film(), PARAMETERS, threads=threads))
    assert threads_that_locate() == []


def test_cancelling_and_closing_end_the_threads() -> None:
    seen: list[int] = []
    stop = Monitor(lambda label, done, total: seen.append(done), cancelled=lambda: len(seen) >= 5)
    with pytest.raises(Cancelled):
        list(locate_frames(enumerate(images(30)), PARAMETERS, threads=3, monitor=stop, total=30))
    assert seen == [0, 1, 2, 3, 4]
    assert threads_that_locate() == []
    located = locate_frames(enumerate(images(30)), PARAMETERS, threads=3)
    next(located)
    located.close()
    assert threads_that_locate() == []


def test_no_thread_is_refused() -> None:
    with pytest.raises(UsageError, match="threads = 0"):
        next(locate_frames([], PARAMETERS, threads=0))
