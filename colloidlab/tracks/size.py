"""One size per particle, from all of its images."""

from __future__ import annotations

import pandas as pd

from colloidlab.errors import InputError

LEAST_FRAMES = 5
"""A shorter track's median is no better than its single values."""


def robust_radius(tracks: pd.DataFrame) -> pd.DataFrame:
    """Replace `radius_px` by its median over the track: a rigid particle has one size.

    Tracks shorter than 5 frames (or with fewer than 5 finite radii) take the median of what they
    have as well, but only if a frame's value is missing; otherwise they are left as measured.

    Parameters
    ----------
    tracks : DataFrame
        Columns particle, radius_px.

    Returns
    -------
    DataFrame
        A copy; rows and order as given.
    """
    missing = [c for c in ("particle", "radius_px") if c not in tracks]
    if missing:
        raise InputError(f"the tracks have no column {', '.join(missing)}; link features that 'locate' found")
    radii = tracks.groupby("particle")["radius_px"]
    median, count = radii.transform("median"), radii.transform("count")
    result = tracks.copy()
    result["radius_px"] = tracks["radius_px"].where(
        (count < LEAST_FRAMES) & tracks["radius_px"].notna(), median
    )
    return result
