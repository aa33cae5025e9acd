"""How far particles move between two frames, as the positions themselves show it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from colloidlab.errors import InputError
from colloidlab.tracks import checks
from colloidlab.tracks.prediction import FRACTION_OF_SPACING, Expectation, expect


@dataclass(frozen=True)
class SearchRange:
    """Farthest move that `link` should allow, px, and the sentence that says how it was found."""

    search_range_px: float
    reason: str


def estimate_search_range(features: pd.DataFrame, *, memory: int = 0) -> SearchRange:
    """Estimate the farthest move between two frames from the features.

    Features of successive frames are matched beside the common motion of their neighbourhood. The range
    holds the fastest common motion and twice the length that 95 % of the moves beside it do not exceed (about 5
    standard deviations per axis of Brownian steps); the latter grows with the square root of the memory, and
    ends at 0.6 of the typical distance of particles.

    Parameters
    ----------
    features : DataFrame
        Columns frame, x, y (z where there is one).
    memory : int
        As `link` will have it.

    Raises
    ------
    InputError
        A column is missing, or no particle can be followed from one frame into the next.
    """
    names = sorted(checks.axes(features))
    points = features[["frame", *names]].dropna()
    points = points[np.isfinite(points[names].to_numpy(float)).all(axis=1)].sort_values(
        "frame", kind="stable"
    )
    frame = checks.whole_frames(points["frame"].to_numpy())
    found = expect(frame, checks.finite_positions(frame, points[names].to_numpy()))
    _refuse_blind(found)
    fastest = float(np.sqrt((found.motion.nodes**2).sum(axis=-1).max(initial=0.0)))
    beside = min(found.reach_px * np.sqrt(1.0 + memory), FRACTION_OF_SPACING * found.spacing_px)
    return SearchRange(
        float(fastest + max(beside, found.reach_px)),
        f"common motion of up to {fastest:.2g} px a frame, and moves of {found.step_px:.2g} px per axis beside it",
    )


def starting_range(found: Expectation) -> float:
    """Range for links from where particles are expected, px."""
    _refuse_blind(found)
    return found.reach_px


def _refuse_blind(found: Expectation) -> None:
    if not np.isfinite(found.reach_px):
        raise InputError(
            "no particle can be followed from one frame into the next, so no move can be seen; give --search-range-px"
        )
