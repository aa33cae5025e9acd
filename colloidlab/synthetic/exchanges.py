"""Crystals in which chosen particles exchange neighbours at known times: the truth for a search for T1 events."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.spatial import Delaunay

from colloidlab.synthetic.crystal import as_tracks, lattice

Floats = NDArray[np.float64]

PARTED = 0.29
"""How far each of the four moves, in spacings; they are on one circle at (√3 − 1)/4 = 0.183."""

_APART = 5.0
"""Distance of the centres of two quadrilaterals, in spacings: none of their particles are then neighbours."""

_MARGIN = 3.5
"""Centres are at least this far from the edge of the crystal, in spacings."""


@dataclass(frozen=True)
class Exchanges:
    """What the movie of `exchanging_crystal` shows and how often.

    Parameters
    ----------
    n : int
        Particles, about.
    n_frames : int
    spacing : float
        px
    still_frames : int
        Quadrilaterals stay as they are for at least so long between two lasting exchanges.
    mean_wait_frames : float
        Mean of the further, exponential wait.
    shear_frames : int
        Frames that an exchange takes.
    brief_share : float
        Share of the movements that are undone before they count.
    brief_frames : int
        Longest such visit, frames, shorter than the persistence of an event.
    rattle : float
        Standard deviation of the thermal motion about a site along each axis, in spacings.
    memory_frames : float
        Correlation time of that motion.
    sigma : float
        Localisation error along each axis, in spacings.
    disorder : float
        Standard deviation of the sites themselves, in spacings.
    """

    n: int = 1600
    n_frames: int = 500
    spacing: float = 10.0
    still_frames: int = 16
    mean_wait_frames: float = 20.0
    shear_frames: int = 4
    brief_share: float = 0.4
    brief_frames: int = 7
    rattle: float = 0.05
    memory_frames: float = 4.0
    sigma: float = 0.03
    disorder: float = 0.05


def exchanging_crystal(
    rng: np.random.Generator, what: Exchanges = Exchanges()
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Tracks of a thermal crystal in which quadrilaterals exchange neighbours, and the events that last.

    In each of many quadrilaterals a, c, b, d, far from one another, the neighbours a and b move apart along their
    line and c and d towards each other, until these are neighbours; later they go back, and so on, at random times. Between
    and during these exchanges some are begun and undone within a few frames. All particles rattle (an
    Ornstein-Uhlenbeck motion about their sites) and are seen with localisation errors. No triangulation is asked:
    an event is where a quadrilateral was told to move, when its four sites are on one circle.

    Returns
    -------
    tracks : DataFrame
        frame, particle, x, y in px.
    events : DataFrame
        Those that last: frame (the first past the circle), particle_a < particle_b (who parted), particle_c <
        particle_d (who met), x, y (centre of the four sites).
    """
    sites, _ = lattice(what.n)
    quads = _quadrilaterals(rng, sites)
    course = np.zeros((what.n_frames, len(quads)))
    events = []
    for k, quad in enumerate(quads):
        course[:, k], turns = _course(rng, what)
        for frame, there in turns:
            parted, met = (quad[:2], quad[2:]) if there else (quad[2:], quad[:2])
            events.append((frame, *np.sort(parted), *np.sort(met), *what.spacing * sites[quad].mean(axis=0)))
    moved = sites + rng.normal(0, what.disorder, sites.shape) + _moves(sites, quads, PARTED * course)
    moved += _rattling(rng, what, moved.shape)
    names = ["frame", *(f"particle_{one}" for one in "abcd"), "x", "y"]
    truth = pd.DataFrame(events, columns=names).sort_values("frame", ignore_index=True)
    return as_tracks(what.spacing * moved), truth.astype({name: np.int64 for name in names[:5]})


def _quadrilaterals(rng: np.random.Generator, sites: Floats) -> NDArray[np.int64]:
    """Rows a, b (neighbours) and c, d (on either side of them), far from one another and from the edge, shape (m, 4)."""
    triangles = Delaunay(sites).simplices
    sides = np.sort(triangles[:, [[0, 1], [1, 2], [2, 0]]].reshape(-1, 2), axis=1)
    across = triangles[:, [2, 0, 1]].ravel()
    order = np.lexsort(sides.T)
    sides, across = sides[order], across[order]
    twice = np.flatnonzero((sides[1:] == sides[:-1]).all(axis=1))
    quads = np.column_stack([sides[twice], across[twice], across[twice + 1]]).astype(np.int64)
    centres = sites[quads].mean(axis=1)
    low, high = sites.min(axis=0) + _MARGIN, sites.max(axis=0) - _MARGIN
    inner = np.flatnonzero(((centres > low) & (centres < high)).all(axis=1))
    chosen: list[int] = []
    for k in rng.permutation(inner):
        if all(np.hypot(*(centres[k] - centres[other])) >= _APART for other in chosen):
            chosen.append(int(k))
    return quads[chosen]


def _course(rng: np.random.Generator, what: Exchanges) -> tuple[Floats, list[tuple[int, bool]]]:
    """How far a quadrilateral has gone from 0 (a and b neighbours) to 1 (c and d), and its lasting turns."""
    level = np.zeros(what.n_frames)
    turns: list[tuple[int, bool]] = []
    ramp = np.arange(1, what.shear_frames + 1) / what.shear_frames
    # The circle is passed at 0.183/PARTED of the way: the first frame beyond it has the new neighbours.
    circle = (np.sqrt(3) - 1) / 4 / PARTED
    past = (int(np.argmax(1 - ramp < circle)), int(np.argmax(ramp > circle)))
    at, there = 0, False
    while True:
        at += what.still_frames + int(rng.exponential(what.mean_wait_frames))
        brief = rng.random() < what.brief_share
        stay = int(rng.integers(1, what.brief_frames + 1))
        if at + 2 * what.still_frames > what.n_frames:
            return level, turns
        if brief:
            level[at : at + stay] = 1.0 - there
            at += stay
            continue
        there = not there
        level[at : at + ramp.size] = ramp if there else 1 - ramp
        level[at + ramp.size :] = float(there)
        turns.append((at + past[there], there))
        at += ramp.size


def _moves(sites: Floats, quads: NDArray[np.int64], course: Floats) -> Floats:
    """Displacements of all particles, shape (n_frames, n, 2): a and b apart, c and d together, by `course` each."""
    out = np.zeros((len(course), *sites.shape))
    for one, other, sign in ((0, 1, -1), (1, 0, -1), (2, 3, 1), (3, 2, 1)):
        along = sites[quads[:, other]] - sites[quads[:, one]]
        along /= np.hypot(*along.T)[:, None]
        out[:, quads[:, one]] = sign * course[:, :, None] * along
    return out


def _rattling(rng: np.random.Generator, what: Exchanges, shape: tuple[int, ...]) -> Floats:
    """Thermal motion about the sites, and the error with which it is seen."""
    kept = np.exp(-1 / what.memory_frames)
    steps = rng.normal(0, what.rattle, shape)
    for k in range(1, shape[0]):
        steps[k] = kept * steps[k - 1] + np.sqrt(1 - kept**2) * steps[k]
    return steps + rng.normal(0, what.sigma, shape)
