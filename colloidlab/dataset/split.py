"""Splitting a recording by blocks of time: neighbouring frames are no independent samples."""

from __future__ import annotations

from dataclasses import dataclass

from colloidlab.errors import FitRefused

MIN_TRAIN, MIN_VALIDATION, MIN_TEST = 20, 8, 8


@dataclass(frozen=True)
class Split:
    """Frames of the train, validation and test blocks, as half-open ranges of recording frames."""

    train: tuple[int, int]
    validation: tuple[int, int]
    test: tuple[int, int]


def first_test_frame(first: int, stop: int, train_fraction: float, validation_fraction: float) -> int:
    """Where the test block of the frames first … stop-1 begins."""
    n = stop - first
    return first + round(train_fraction * n) + round(validation_fraction * n)


def split_by_time(first: int, stop: int, train_fraction: float, validation_fraction: float) -> Split:
    """Cut the frames first … stop-1 into consecutive train, validation and test blocks.

    Raises
    ------
    FitRefused
        When a block would be too short to mean anything.
    """
    n = stop - first
    a = first + round(train_fraction * n)
    b = first_test_frame(first, stop, train_fraction, validation_fraction)
    if a - first < MIN_TRAIN or b - a < MIN_VALIDATION or stop - b < MIN_TEST:
        raise FitRefused(
            f"{n} frames are too few to fit and to test on separate blocks of time; at least "
            f"{MIN_TRAIN} + {MIN_VALIDATION} + {MIN_TEST} are needed at the chosen fractions"
        )
    return Split(train=(first, a), validation=(a, b), test=(b, stop))
