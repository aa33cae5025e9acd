"""What the mean flow does not explain of a particle's displacement."""

from __future__ import annotations

import numpy as np
import pandas as pd

from colloidlab.errors import InputError
from colloidlab.indicators.cells import sort_into_cells
from colloidlab.indicators.local_linear import inverses, moments
from colloidlab.indicators.neighbours import minimum_image
from colloidlab.indicators.trajectories import Floats, Integers, Snapshots, snapshots
from colloidlab.progress import SILENT, Monitor


def flow_residual(reference: Floats, current: Floats, *, radius: float, box: Floats | None = None) -> Floats:
    """Displacement of each particle less that of the flow of the others at its place.

    The flow is a local linear fit to the displacements of the others within the radius (weights (1 − r²/h²)²).
    The particle itself takes no part in it, so that it does not drag the flow along. The fit has noise
    of its own, of variance q per variance of a displacement; the difference is divided by √(1 + q), so that its
    mean square is that of independent displacements. (A single particle that moves alone is given short by the
    same root: 1 % with 60 others, 5 % with 10.) Zero for every affine motion, also beside an edge.

    Unlike D²min, which sums what the *neighbours* do beside their own affine motion, this is the particle's own motion.

    Parameters
    ----------
    reference, current : float array, shape (n, D), D = 2 or 3
        The same particles, row by row; rows with NaN are absent.
    radius : float
        h, in the unit of the positions; four spacings hold some 60 others in two dimensions.
    box : float array, shape (D,), optional
        Sides of a periodic box.

    Returns
    -------
    residual : float array, shape (n, D)
        NaN where fewer than 2 (D + 1) others are near, or they lie nearly on a line.

    Raises
    ------
    InputError
        The shapes differ or are not (n, 2) or (n, 3); the radius does not fit the box.

    Examples
    --------
    >>> here = np.random.default_rng(1).uniform(0, 10, (100, 2))
    >>> sheared = here @ np.array([[1, 0], [0.1, 1]])
    >>> np.abs(flow_residual(here, sheared, radius=4.0)).max() < 1e-12
    np.True_
    """
    reference, current = np.asarray(reference, dtype=np.float64), np.asarray(current, dtype=np.float64)
    if reference.shape != current.shape or reference.ndim != 2 or reference.shape[1] not in (2, 3):
        raise InputError(
            f"the residual of the flow needs arrays of one shape, (n, 2) or (n, 3), not {reference.shape} and "
            f"{current.shape}"
        )
    sides = None if box is None else np.asarray(box, dtype=np.float64)
    moved = minimum_image(current - reference, sides)
    present = np.isfinite(moved).all(axis=1, keepdims=True)
    where = np.where(present, reference, np.nan)
    sums = moments(sort_into_cells(where, radius, sides), where, moved, without_itself=True)
    inverse, _ = inverses(sums)
    flow = np.einsum("nb,nbd->nd", inverse[:, 0], sums.right)
    noise = np.einsum("nb,nbc,nc->n", inverse[:, 0], sums.second, inverse[:, 0])
    return np.asarray((moved - flow) / np.sqrt(1 + noise)[:, None])


def flow_residual_table(
    tracks: pd.DataFrame,
    *,
    lag_frames: int,
    radius_px: float,
    box: Floats | None = None,
    monitor: Monitor = SILENT,
) -> pd.DataFrame:
    """Displacement of every particle over a lag less that of the flow of the others at its place.

    Parameters
    ----------
    tracks : DataFrame
        Columns frame, particle, x, y[, z] in px.
    lag_frames : int
    radius_px : float
        Others within this distance, a lag ago, make the flow: several neighbour spacings.
    box : float array, shape (D,), optional
        Sides of a periodic box, px.
    monitor : Monitor

    Returns
    -------
    DataFrame
        frame (the later one), particle, flow_residual_dx_px, flow_residual_dy_px[, flow_residual_dz_px]; particles in
        both frames only.
    """
    if lag_frames < 1:
        raise InputError(f"the lag of the flow's residual is {lag_frames} frames; it must be at least 1")
    shots = snapshots(tracks)
    columns = [f"flow_residual_d{a}_px" for a in ("xyz" if "z" in tracks else "xy")]
    empty: dict[str, list[float]] = {name: [] for name in columns}
    parts = [pd.DataFrame({"frame": [], "particle": [], **empty}).astype({"frame": int, "particle": int})]
    where = {int(frame): k for k, frame in enumerate(shots.frames)}
    for later, frame in enumerate(monitor.track(shots.frames, "residual of the flow")):
        earlier = where.get(int(frame) - lag_frames)
        if earlier is None:
            continue
        common, start, stop = _in_both(shots, earlier, later)
        left = flow_residual(start, stop, radius=radius_px, box=box)
        part = pd.DataFrame({"frame": int(frame), "particle": common})
        parts.append(part.assign(**dict(zip(columns, left.T, strict=True))))
    return pd.concat(parts[1:] or parts, ignore_index=True)


def _in_both(shots: Snapshots, earlier: int, later: int) -> tuple[Integers, Floats, Floats]:
    common, a, b = np.intersect1d(
        shots.particles[earlier], shots.particles[later], assume_unique=True, return_indices=True
    )
    return common, shots.positions[earlier][a], shots.positions[later][b]
