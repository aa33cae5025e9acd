"""Calibration: factors and names of derived units, checked by hand."""

from __future__ import annotations

import pytest

from colloidlab.units import Calibration


def test_without_scale_everything_stays_in_px_and_frames() -> None:
    none = Calibration()
    assert (none.unit(2, -1), none.factor(2, -1)) == ("px^2/frame", 1.0)


def test_diffusion_by_hand() -> None:
    # 0.9 px^2/frame at 0.1 um/px and 50 frames/s is 0.9 * 0.01 um^2 * 50 / s.
    both = Calibration(um_per_px=0.1, fps=50)
    assert both.unit(2, -1) == "um^2/s"
    assert 0.9 * both.factor(2, -1) == pytest.approx(0.45, rel=1e-14)


@pytest.mark.parametrize(
    ("calibration", "expected"),
    [
        (Calibration(um_per_px=0.5), ("um^2/frame", 0.25)),
        (Calibration(fps=10.0), ("px^2/s", 10.0)),
        (Calibration(um_per_px=0.5, fps=10.0), ("um^2/s", 2.5)),
    ],
)
def test_half_calibrated_says_which_half(calibration: Calibration, expected: tuple[str, float]) -> None:
    assert calibration.unit(2, -1) == expected[0]
    assert calibration.factor(2, -1) == pytest.approx(expected[1], rel=1e-14)


def test_names_of_units() -> None:
    both = Calibration(um_per_px=0.5, fps=10.0)
    assert [
        both.unit(),
        both.unit(1),
        both.unit(0, 1),
        both.unit(0, -1),
        both.unit(2, -2),
        both.unit(-2),
    ] == [
        "1",
        "um",
        "s",
        "1/s",
        "um^2/s^2",
        "1/um^2",
    ]


def test_factors_multiply() -> None:
    c = Calibration(um_per_px=0.3, fps=7.0)
    assert c.factor(1, 0) ** 2 * c.factor(0, 1) ** -1 == pytest.approx(c.factor(2, -1), rel=1e-14)
    assert (c.length_per_px, c.time_per_frame) == (0.3, pytest.approx(1 / 7, rel=1e-15))
