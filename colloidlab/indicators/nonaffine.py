"""Local strain and what it does not explain: D²min of Falk and Langer."""

from __future__ import annotations

import numpy as np
import pandas as pd

from colloidlab.errors import InputError
from colloidlab.indicators.adjacency import NeighbourRule, find_neighbours
from colloidlab.indicators.affine_fit import NonAffine, fit_affine, same_particles
from colloidlab.indicators.frame_pairs import frame_pairs
from colloidlab.indicators.localisation import localisation_sigma
from colloidlab.indicators.nonaffine_noise import NonAffineNoise, nonaffine_noise
from colloidlab.indicators.trajectories import Floats, Integers, by_frame, snapshots, sorted_rows
from colloidlab.progress import SILENT, Monitor

__all__ = ["NonAffine", "d2min", "d2min_table", "fit_affine"]

FALSE_POSITIVE_RATE = 1e-3
"""Share of particles and frames that localisation errors alone may flag."""


def d2min(
    reference: Floats,
    current: Floats,
    *,
    cutoff: float | None = None,
    box: Floats | None = None,
    neighbours: NeighbourRule = "cutoff",
    mean: bool = False,
) -> NonAffine:
    """Non-affine squared displacement D²min and local strain, by least squares over the neighbours.

    | symbol | name | meaning |
    |---|---|---|
    | R_ij, r_ij | before, after | separation to neighbour j in the reference and now |
    | X = Σ r Rᵀ, Y = Σ R Rᵀ | cross, shape | sums over the neighbours in the reference |
    | F = X Y⁻¹ | gradient | best affine map |
    | D²min = Σ |r − F R|² | d2min | what F leaves over |

    NaN where there are fewer than D + 1 neighbours (with D of them an affine map always
    fits exactly) or where they lie nearly on a line or plane. A particle with few
    neighbours has a small D²min: it is a sum, as published, not a mean.

    Parameters
    ----------
    reference, current : float array, shape (n, D), D = 2 or 3
        The same particles, row by row; rows with NaN are absent.
    cutoff : float
        Radius of the neighbourhood in the reference, in the unit of the positions. With Delaunay
        neighbours optional: longer bonds are left out.
    box : float array, shape (D,), optional
        Sides of a periodic box; separations are then to the nearest image.
    neighbours : {"cutoff", "delaunay"}
        Who counts as a neighbour in the reference.
    mean : bool
        Divide D²min by the number of neighbours.

    Raises
    ------
    InputError
        The shapes differ or are not (n, 2) or (n, 3); the cutoff is missing or does not fit the box.

    References
    ----------
    Falk & Langer, Phys. Rev. E 57, 7192 (1998), equations 2.11 to 2.14.

    Examples
    --------
    >>> here = np.array([[0.0, 0], [1, 0], [0, 1], [1, 1]])
    >>> sheared = here @ np.array([[1, 0], [0.1, 1]])
    >>> d2min(here, sheared, cutoff=1.5).d2min.max() < 1e-30
    np.True_
    """
    reference, current = same_particles(reference, current)
    sides = None if box is None else np.asarray(box, dtype=np.float64)
    adjacency = find_neighbours(reference, neighbours, cutoff=cutoff, box=sides)
    return fit_affine(reference, current, adjacency, box=sides, mean=mean)


def d2min_table(
    tracks: pd.DataFrame,
    *,
    cutoff_px: float | None = None,
    lag_frames: int | None = None,
    reference_frame: int | None = None,
    neighbours: NeighbourRule = "cutoff",
    box: Floats | None = None,
    sigma_px: float | None = None,
    false_positive_rate: float = FALSE_POSITIVE_RATE,
    monitor: Monitor = SILENT,
) -> pd.DataFrame:
    """D²min and local strain of every particle over a fixed lag, or since one frame.

    Particles in both frames count, whatever happens in between; a frame without a
    partner `lag_frames` earlier gives no rows. Errors come from the columns sigma_x_px,
    sigma_y_px[, sigma_z_px], see `nonaffine_noise`.

    `rearranged` is true where errors of locating alone would make so large a D²min with at
    most the given probability. It says that the neighbourhood has moved other than
    affinely, not how: where thermal motion is larger than the localisation error nearly every
    particle is flagged, and a threshold on d2min_px2 itself is what tells events from thermal
    motion. Missing where D²min or its error is not known.

    Parameters
    ----------
    tracks : DataFrame
        Columns frame, particle, x, y[, z] in px.
    cutoff_px : float
        As `cutoff` of `d2min`.
    lag_frames, reference_frame : int
        One of the two; the neighbours are those in the earlier, or in the reference frame.
    neighbours : {"cutoff", "delaunay"}
    box : float array, shape (D,), optional
        Sides of a periodic box, px; positions may be wrapped into it or not. No bond may change by half a side.
    sigma_px : float, optional
        Localisation error where the table states none [not known: no errors, no flags].
    false_positive_rate : float
        Per particle and frame.
    monitor : Monitor

    Returns
    -------
    DataFrame
        frame (the later one), particle, d2min_px2, strain_xx, strain_xy, strain_yy, n_neighbours;
        d2min_noise_px2, d2min_error_px2, rearranged and the errors strain_xx_error, …; for
        three-dimensional tracks also the strains xz, yz and zz.
    """
    if not 0 < false_positive_rate < 1:
        raise InputError(f"the false-positive rate is {false_positive_rate}; it lies between 0 and 1")
    shots = snapshots(tracks)
    sides = None if box is None else np.asarray(box, dtype=np.float64)
    sigma = by_frame(
        localisation_sigma(tracks, sigma_px)[sorted_rows(tracks, by=("frame", "particle"))], shots
    )
    parts = []
    for pair in frame_pairs(
        shots, lag_frames=lag_frames, reference_frame=reference_frame, monitor=monitor, label="D2min"
    ):
        before = shots.positions[pair.reference]
        after, sigma_after = np.full_like(before, np.nan), np.full_like(before, np.nan)
        after[pair.there] = shots.positions[pair.current][pair.here]
        sigma_after[pair.there] = sigma[pair.current][pair.here]
        # A particle that is gone is no neighbour; in a triangulation it still keeps others apart.
        adjacency = find_neighbours(before, neighbours, cutoff=cutoff_px, box=sides)
        found = fit_affine(before, after, adjacency, box=sides)
        noise = nonaffine_noise(
            before,
            after,
            found,
            adjacency,
            sigma_reference=sigma[pair.reference],
            sigma_current=sigma_after,
            box=sides,
        )
        keys = (
            np.full(pair.there.size, shots.frames[pair.current]),
            shots.particles[pair.reference][pair.there],
        )
        parts.append([*keys, *(values[pair.there] for values in _columns(found, noise))])
    n_dim = 3 if "z" in tracks.columns else 2
    names = ["frame", "particle", *_names(n_dim)]
    if parts:
        table = pd.DataFrame(dict(zip(names, map(np.concatenate, zip(*parts)))))
    else:
        whole = ("frame", "particle", "n_neighbours")
        table = pd.DataFrame({c: np.zeros(0, np.int64 if c in whole else np.float64) for c in names})
    chance = table.pop("chance")
    judged = pd.array(chance < false_positive_rate, dtype="boolean")
    judged[chance.isna().to_numpy()] = pd.NA
    table.insert(names.index("chance"), "rearranged", judged)
    return table


def _names(n_dim: int) -> list[str]:
    """Columns in the order of `_columns`; `chance` becomes the flag."""
    strains = [f"strain_{pair}" for pair in ("xx", "xy", "yy", "xz", "yz", "zz")[: n_dim * (n_dim + 1) // 2]]
    errors = ["d2min_noise_px2", "d2min_error_px2", "chance", *(f"{name}_error" for name in strains)]
    return ["d2min_px2", *strains[:3], "n_neighbours", *strains[3:], *errors]


def _columns(found: NonAffine, noise: NonAffineNoise) -> list[Floats | Integers]:
    n_dim = found.strain.shape[1]
    components = [(0, 0), (0, 1), (1, 1), (0, 2), (1, 2), (2, 2)][: n_dim * (n_dim + 1) // 2]
    strains: list[Floats | Integers] = [found.strain[:, a, b] for a, b in components]
    errors = [noise.strain_error[:, a, b] for a, b in components]
    return [
        found.d2min,
        *strains[:3],
        found.n_neighbours,
        *strains[3:],
        noise.d2min_noise,
        noise.d2min_error,
        noise.chance,
        *errors,
    ]
