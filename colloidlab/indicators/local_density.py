"""Local density: particles per area around each particle."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from colloidlab.errors import InputError
from colloidlab.indicators.disc_area import disc_in_rectangle
from colloidlab.indicators.neighbours import minimum_image, pairs_within
from colloidlab.indicators.trajectories import Floats, snapshots
from colloidlab.indicators.window import Corners, Window
from colloidlab.progress import SILENT, Monitor

LOCAL_DENSITY_COLUMNS = ("frame", "particle", "local_density_per_px2")

RADIUS_CUTOFFS = 2.0
"""Usual radius in neighbour cutoffs: the disc then holds about 30 particles of a dense suspension."""

_NODES = 5


def local_density(
    positions: Floats,
    *,
    radius: float,
    region: Corners | None = None,
    box: Sequence[float] | None = None,
    edge: float = 0.0,
    count_self: bool = True,
) -> Floats:
    """Number of particles within `radius` of each particle over the area (in space: volume) that can be seen.

    Near the edge of an open view the count is divided by the part of the disc inside the view, which
    is exact: the mean over positions of a uniform suspension is the same at the edge, only noisier.

    On average over particles the value is ρ + S(0)/(πR²), and ρ + (S(0) − 1)/(πR²) when the particle in the
    middle does not count, with S(0) the structure factor at q = 0: small in a dense suspension, 1 in an ideal gas.
    So the particle itself counts by default.

    Parameters
    ----------
    positions : float array, shape (n, D), D = 2 or 3
        Rows that are not finite, or outside `region`, have no density and are not counted.
    radius : float
        R, in the unit of the positions.
    region : (lower corner, upper corner), optional
        Open rectangle in which every particle is found.
    box : (D,) sides, optional
        Periodic box. Exactly one of `region` and `box` is given.
    edge : float
        Width over which a neighbour's weight falls from 1 to 0 around R, so that the density does not jump as
        particles cross the rim (0: a sharp rim).
    count_self : bool
        Whether the particle in the middle counts.

    Returns
    -------
    density : float array, shape (n,)
        Per square (cubic) unit of length.

    Raises
    ------
    InputError
        The radius is not positive, the edge is wider than the disc, or the disc does not fit the periodic box.
    """
    window = Window.of("the local density", region, box)
    if not radius > 0 or not 0 <= edge <= 2 * radius:
        raise InputError(
            f"the local density needs a positive radius and an edge of at most twice it, not {radius} and {edge}"
        )
    positions = np.asarray(positions, dtype=np.float64)
    known = np.flatnonzero(window.inside(positions))
    points = positions[known]
    pairs = pairs_within(points, radius + edge / 2, window.box)
    if edge > 0:
        apart = minimum_image(points[pairs[:, 0]] - points[pairs[:, 1]], window.box)
        distance = np.sqrt(np.einsum("ij,ij->i", apart, apart))
        weight = np.clip((radius + edge / 2 - distance) / edge, 0, 1)
    else:
        weight = np.ones(pairs.shape[0])
    count = np.full(known.size, float(count_self))
    for end in (0, 1):
        count += np.bincount(pairs[:, end], weight, known.size)
    out = np.full(positions.shape[0], np.nan)
    out[known] = count / _seen(points, radius, edge, window)
    return out


def local_density_table(
    tracks: pd.DataFrame,
    *,
    radius_px: float,
    region: Corners | None = None,
    box: Sequence[float] | None = None,
    edge_px: float = 0.0,
    count_self: bool = True,
    monitor: Monitor = SILENT,
) -> pd.DataFrame:
    """Local density of every particle in every frame.

    Parameters
    ----------
    tracks : DataFrame
        Columns frame, particle, x, y[, z] in px; the region or box has as many axes.
    radius_px : float
        See `local_density`; twice the neighbour cutoff is usual (`RADIUS_CUTOFFS`).
    region, box, edge_px, count_self
        As for `local_density`, px.
    monitor : Monitor

    Returns
    -------
    DataFrame
        frame, particle, local_density_per_px2 (local_density_per_px3 in space), sorted by frame and particle.
    """
    shots = snapshots(tracks)
    values = [
        local_density(points, radius=radius_px, region=region, box=box, edge=edge_px, count_self=count_self)
        for points in monitor.track(shots.positions, "local density")
    ]
    return shots.table({f"local_density_per_px{3 if 'z' in tracks else 2}": values})


def _seen(points: Floats, radius: float, edge: float, window: Window) -> Floats:
    """Integral of the neighbour's weight over what the window shows of the disc, shape (n,)."""
    # A linear rim is the average of sharp discs with radii from R − edge/2 to R + edge/2.
    nodes, weights = np.polynomial.legendre.leggauss(_NODES if edge > 0 else 1)
    total = np.zeros(points.shape[0])
    for node, weight in zip(nodes, weights / 2):
        r = radius + 0.5 * edge * node
        if window.periodic:
            total += weight * window.sphere_volume(r)
        else:
            total += weight * disc_in_rectangle(points, r, window.lower, window.sides)
    return total
