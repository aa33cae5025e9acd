"""Linking features into tracks: the assignment of least squared displacement between frames (trackpy).

References
----------
Crocker and Grier, J. Colloid Interface Sci. 179, 298 (1996).
"""

from __future__ import annotations

import numpy as np
import pandas as pd
import trackpy.linking
from trackpy.linking.utils import SubnetOversizeException

from colloidlab.errors import InputError, UsageError
from colloidlab.features.quiet import quiet_trackpy
from colloidlab.tracks.assignment import link_by_assignment

_ADAPTIVE_STOP = 0.1
"""Where too many particles compete, the range shrinks down to this fraction of itself."""
_ADAPTIVE_STEP = 0.9


def link(features: pd.DataFrame, search_range_px: float, *, memory: int = 0) -> pd.DataFrame:
    """Give every feature the identity of its particle.

    Links minimise the sum of squared displacements. Where so many particles compete that the exact search
    would not end, the range shrinks there alone; where that does not help either, the whole table is
    linked by a sparse linear assignment between frames. An over-large range therefore never fails.

    Parameters
    ----------
    features : DataFrame
        Columns frame, x, y (z where there is one); others are kept.
    search_range_px : float
        Farthest move between two frames, px.
    memory : int
        Frames that a particle may be absent and keep its identity.

    Returns
    -------
    DataFrame
        A copy with `particle` (int64), sorted by frame and particle.

    Raises
    ------
    InputError
        A column is missing, or a position is not finite.
    UsageError
        The range or the memory is impossible.
    """
    table = _checked(features, search_range_px, memory)
    if table.empty:
        return table.assign(particle=np.empty(0, dtype=np.int64))
    axes = [a for a in ("z", "y", "x") if a in table]
    with quiet_trackpy():
        try:
            particle = _by_trackpy(table, axes, search_range_px, memory)
        except SubnetOversizeException:
            particle = link_by_assignment(
                table["frame"].to_numpy(), table[axes].to_numpy(float), search_range_px, memory
            )
    table["particle"] = particle
    return table.sort_values(["frame", "particle"], kind="stable").reset_index(drop=True)


def _by_trackpy(table: pd.DataFrame, axes: list[str], search_range_px: float, memory: int) -> np.ndarray:
    """Identities in the order of the table's rows: exact where possible, with a shrinking range where not."""
    plain = table[["frame", *axes]].reset_index(drop=True)
    options = {"pos_columns": axes, "memory": memory}
    try:
        linked = trackpy.linking.link(plain, search_range_px, **options)
    except SubnetOversizeException:
        linked = trackpy.linking.link(
            plain,
            search_range_px,
            adaptive_stop=_ADAPTIVE_STOP * search_range_px,
            adaptive_step=_ADAPTIVE_STEP,
            **options,
        )
    return linked["particle"].sort_index().to_numpy(dtype=np.int64)


def _checked(features: pd.DataFrame, search_range_px: float, memory: int) -> pd.DataFrame:
    missing = [c for c in ("frame", "x", "y") if c not in features]
    if missing:
        raise InputError(f"the features have no column {', '.join(missing)}; linking needs frame, x and y")
    if not (np.isfinite(search_range_px) and search_range_px > 0):
        raise UsageError(f"search_range_px = {search_range_px} is not a distance; give more than zero")
    if memory < 0 or memory != int(memory):
        raise UsageError(f"memory = {memory} is not a number of frames; give a whole number from zero")
    axes = [a for a in ("x", "y", "z") if a in features]
    bad = ~np.isfinite(features[axes].to_numpy(float)).all(axis=1)
    if bad.any():
        first = features.loc[bad, "frame"].iloc[0]
        raise InputError(f"{bad.sum()} positions are not finite, the first in frame {first}; drop these rows")
    table = features.sort_values("frame", kind="stable").reset_index(drop=True)
    return table.assign(frame=table["frame"].astype(np.int64))
