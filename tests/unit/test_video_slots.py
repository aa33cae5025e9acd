"""Time stamps to frame indices: lost frames found, jitter and drift tolerated."""

from __future__ import annotations

import numpy as np
import pytest

from colloidlab.video.slots import place, spread


def test_regular_stamps_are_consecutive() -> None:
    found = place(np.arange(50) * 0.04)
    np.testing.assert_array_equal(found.slots, np.arange(50))
    assert found.interval == pytest.approx(0.04)


def test_lost_frames_are_placed_whatever_the_jitter_of_the_clock() -> None:
    rng = np.random.default_rng(0)
    kept = np.delete(np.arange(2000), rng.choice(np.arange(1, 1999), 60, replace=False))
    stamps = kept * 0.033 + rng.uniform(-0.004, 0.004, len(kept))
    np.testing.assert_array_equal(place(stamps).slots, kept)


def test_rounded_stamps_do_not_drift() -> None:
    stamps = np.floor(np.arange(100_000) * 1000 / 240)  # 240 frames/s in whole milliseconds
    np.testing.assert_array_equal(place(stamps, resolution=1.0).slots, np.arange(100_000))


@pytest.mark.parametrize("fps", [300, 450, 600, 700, 900, 1000])
def test_stamps_coarser_than_the_interval_invent_no_missing_frames(fps: int) -> None:
    stamps = np.floor(np.arange(5000) * 1000 / fps)
    np.testing.assert_array_equal(place(stamps, resolution=1.0).slots, np.arange(5000))


@pytest.mark.parametrize("ticks", [1, 2, 3, 512])
def test_lost_frames_are_found_on_a_grid_of_few_ticks(ticks: int) -> None:
    kept = np.delete(np.arange(60), [7, 20, 21])
    np.testing.assert_array_equal(place(kept * ticks, resolution=1.0).slots, kept)


def test_uneven_stamps_are_left_in_their_order() -> None:
    stamps = np.cumsum(np.random.default_rng(1).exponential(1.0, 200))
    found = place(stamps)
    assert found.interval is None
    np.testing.assert_array_equal(found.slots, np.arange(200))


def test_absurd_gap_is_not_filled() -> None:
    found = place(np.array([0.0, 1, 2, 3, 1e15]))
    np.testing.assert_array_equal(found.slots, np.arange(5))


def test_frame_stamped_twice_before_a_gap_does_not_shift_the_rest() -> None:
    found = place(np.array([0.0, 1, 2, 2, 4, 5, 6, 7, 8, 9, 10, 11]))
    np.testing.assert_array_equal(found.slots, np.arange(12))
    np.testing.assert_array_equal(np.flatnonzero(found.repeated), [3])


@pytest.mark.parametrize("n", [0, 1, 2])
def test_few_frames(n: int) -> None:
    np.testing.assert_array_equal(place(np.arange(n, dtype=float)).slots, np.arange(n))


def test_times_of_missing_frames_are_interpolated() -> None:
    stamps = np.array([100.0, 101.0, 103.0])
    np.testing.assert_allclose(spread(stamps, np.array([0, 1, 3]), 4), [0, 1, 2, 3])
