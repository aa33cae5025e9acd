"""Cage jumps: p_hop, how far apart a particle's places before and after a moment are."""

from __future__ import annotations

import numpy as np
import pandas as pd

from colloidlab.errors import InputError
from colloidlab.indicators.adjacency import Adjacency, NeighbourRule, find_neighbours
from colloidlab.indicators.hop_kernels import hop_rows, peaks
from colloidlab.indicators.localisation import localisation_sigma
from colloidlab.indicators.noise_tail import saddlepoint_tail
from colloidlab.indicators.nonaffine_kernels import open_or_periodic
from colloidlab.indicators.trajectories import Floats, Trajectories, sorted_rows, trajectories, unwrap
from colloidlab.progress import SILENT, Monitor

FALSE_POSITIVE_RATE = 1e-3
"""Share of particles and frames that localisation errors alone may flag."""


def hop_table(
    tracks: pd.DataFrame,
    *,
    half_width_frames: int,
    cutoff_px: float | None = None,
    neighbours: NeighbourRule | None = "cutoff",
    box: Floats | None = None,
    least_samples: int | None = None,
    least_hop_px2: float = 0.0,
    sigma_px: float | None = None,
    false_positive_rate: float = FALSE_POSITIVE_RATE,
    monitor: Monitor = SILENT,
) -> pd.DataFrame:
    """p_hop of every particle and frame, its error, and where it peaks above what noise makes.

    | symbol | name | meaning |
    |---|---|---|
    | A, B | before, after | the w frames before frame t; frame t and the w - 1 after it |
    | u(s) | place | position at frame s relative to the neighbours |
    | X = ⟨(u_A − ⟨u⟩_B)²⟩_A, Y = ⟨(u_B − ⟨u⟩_A)²⟩_B | | |
    | p_hop(t) = √(X Y) | hop | |

    A step of length a between frames t − 1 and t gives p_hop(t) = a², and less in the frames beside.
    Within a cage p_hop is about the mean squared fluctuation, never zero: localisation errors σ alone
    make D σ² (1 + 1/w) or slightly less.

    **Relative to what.** A flow, even a uniform shear, carries a particle from one place to another
    within the window, which is no hop. So u(s) = r_i(s) − Σ_j w_j r_j(s), with the weights w that
    give r_i from its neighbours at frame t for every affine motion (Σ w_j = 1, Σ w_j r_j = r_i, least
    Σ w²): drift, rotation and any flow that is linear over the neighbourhood leave no trace. The neighbours'
    own hops enter with weight w_j, about a sixth in the plane: p_hop of a²/36 beside a hop of a.
    NaN where the neighbours are fewer than D + 1 or all on one side.

    **Gaps.** Only frames in which the particle and its neighbours are all seen count; a neighbour that
    is missing too often is no longer one. Each half must hold `least_samples` of them.

    **hopped** is true at the largest p_hop within w frames where localisation errors alone make so
    large a value with at most the given probability (peaks are rarer still). As with D²min, thermal
    motion in a cage is more than the localisation error: give `least_hop_px2`, such as
    the square of the cage's size, to flag cage jumps only. Missing where p_hop or its error is not known.

    Parameters
    ----------
    tracks : DataFrame
        Columns frame, particle, x, y[, z] in px, and sigma_x_px, … where known.
    half_width_frames : int
        w; longer than a jump takes, shorter than the time between jumps. At least 2.
    cutoff_px, neighbours
        As `cutoff` and `neighbours` of `d2min`; `neighbours=None` takes the positions as they are
        (for dilute samples; take out the drift first).
    box : float array, shape (D,), optional
        Sides of a periodic box, px; positions may be wrapped into it or not. A particle is taken to move by less than
        half a side from one sighting to the next.
    least_samples : int, optional
        Frames that each half must have [half of them].
    least_hop_px2 : float
        Smallest p_hop that is flagged, px².
    sigma_px : float, optional
        Localisation error where the table states none [not known: no errors, no flags].
    false_positive_rate : float
        Per particle and frame.
    monitor : Monitor

    Returns
    -------
    DataFrame
        frame, particle, hop_px2, hop_error_px2, hopped; one row for each position.

    Raises
    ------
    InputError
        A window or rate out of range, neighbours by distance without a cutoff, a missing column.

    References
    ----------
    Candelier, Dauchot & Biroli, Phys. Rev. Lett. 102, 088001 (2009); Smessaert & Rottler, Phys. Rev. E
    88, 022314 (2013), equation 1.
    """
    least = -(-half_width_frames // 2) if least_samples is None else least_samples
    if half_width_frames < 2 or not 1 <= least <= half_width_frames:
        raise InputError(
            f"p_hop needs at least 2 frames on either side and from 1 to all of them to be seen, "
            f"not {half_width_frames} and {least}"
        )
    if not 0 < false_positive_rate < 1:
        raise InputError(f"the false-positive rate is {false_positive_rate}; it lies between 0 and 1")
    rows, sides = trajectories(tracks), None if box is None else np.asarray(box, dtype=np.float64)
    if sides is not None:
        rows = unwrap(rows, sides)
    order = sorted_rows(tracks, by=("particle", "frame"))
    variances = localisation_sigma(tracks, sigma_px)[order] ** 2
    found = _hop_of_all(rows, variances, half_width_frames, least, neighbours, cutoff_px, sides, monitor)
    hop, variance = found[:, 0], found[:, 1]
    event = peaks(np.ascontiguousarray(hop), rows.frames, rows.offsets, half_width_frames)
    event &= hop >= least_hop_px2
    event[event] = _chance(found[event]) < false_positive_rate
    hopped = pd.array(event, dtype="boolean")
    hopped[~np.isfinite(variance)] = pd.NA
    table = pd.DataFrame(
        {
            "frame": rows.frames,
            "particle": tracks["particle"].to_numpy(dtype=np.int64)[order],
            "hop_px2": hop,
            "hop_error_px2": np.sqrt(variance),
            "hopped": hopped,
        }
    )
    return table.sort_values(["frame", "particle"], kind="stable", ignore_index=True)


def _hop_of_all(
    rows: Trajectories,
    variances: Floats,
    half_width: int,
    least: int,
    rule: NeighbourRule | None,
    cutoff: float | None,
    box: Floats | None,
    monitor: Monitor,
) -> Floats:
    """What `hop_rows` gives, of every row."""
    image_sides = open_or_periodic(box, rows.values.shape[1])
    out = np.full((rows.frames.size, 4 + 2 * rows.values.shape[1]), np.nan)
    first, last = rows.offsets[:-1][rows.track], rows.offsets[1:][rows.track]
    by_frame = np.argsort(rows.frames, kind="stable")
    frames, begins = np.unique(rows.frames[by_frame], return_index=True)
    shots = np.split(by_frame, begins[1:]) if frames.size else []
    for own in monitor.track(shots, "p_hop"):
        if rule is None:
            adjacency = Adjacency(np.zeros(own.size + 1, np.int64), np.zeros(0, np.int64))
        else:
            adjacency = find_neighbours(rows.values[own], rule, cutoff=cutoff, box=box)
        out[own] = hop_rows(
            rows.values,
            variances,
            rows.frames,
            first,
            last,
            own,
            *adjacency,
            *image_sides,
            half_width,
            least,
            rule is not None,
        )
    return out


def _chance(found: Floats) -> Floats:
    """Probability that localisation errors alone make p_hop as large, from its bound √(X Y) ≤ ½ (X + Y).

    The bound is a sum of squares: of the spread within either half, and of the distance between them.
    """
    hop, n_before, n_after = found[:, 0], found[:, 2:3], found[:, 3:4]
    before, after = np.split(found[:, 4:], 2, axis=1)
    eigenvalues = np.hstack([0.5 * before, 0.5 * after, before + after])
    one = np.ones_like(before)
    return saddlepoint_tail(hop, eigenvalues, np.hstack([(n_before - 1) * one, (n_after - 1) * one, one]))
