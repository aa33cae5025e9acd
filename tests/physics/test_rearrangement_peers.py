"""D²min and strain against OVITO, cage-relative motion against PyMatterSim, on the same positions."""

from __future__ import annotations

import numpy as np
import pytest
from ovito_strain import ovito_strain
from PyMatterSim.dynamic.dynamics import Dynamics
from PyMatterSim.dynamic.dynamics import cage_relative as peer_cage_relative
from PyMatterSim.reader.reader_utils import SingleSnapshot, Snapshots
from simulated_tracks import relaxed, table

from colloidlab.indicators import d2min
from colloidlab.indicators.adjacency import Adjacency, find_neighbours
from colloidlab.indicators.cage import cage_relative
from colloidlab.indicators.cage_msd import cage_msd


@pytest.mark.parametrize("n_dim", [2, 3])
def test_strain_and_d2min_are_those_of_ovito(n_dim: int) -> None:
    rng = np.random.default_rng(10)
    box = np.array([20.0, 25.0, 22.0])[:n_dim] / (1 if n_dim == 2 else 3)
    before = rng.uniform(0, box, (500, n_dim))
    after = (before + rng.normal(0, 0.1, before.shape)) % box
    found = d2min(before, after, cutoff=1.6, box=box)
    known = np.isfinite(found.d2min)
    assert known.sum() > 450
    theirs = ovito_strain(before, after, box, 1.6)
    np.testing.assert_allclose(found.d2min[known], theirs["d2min"][known], rtol=1e-9)
    for column, (a, b) in enumerate([(0, 0), (1, 1), (2, 2), (0, 1), (0, 2), (1, 2)]):
        if max(a, b) < n_dim:
            np.testing.assert_allclose(found.strain[known, a, b], theirs["strain"][known, column], atol=1e-10)


def _peer_list(adjacency: Adjacency) -> np.ndarray:
    number = np.diff(adjacency.start)
    lists = np.zeros((number.size, number.max() + 1), dtype=int)
    lists[:, 0] = number
    for i, n in enumerate(number):
        lists[i, 1 : n + 1] = adjacency.neighbour[adjacency.start[i] : adjacency.start[i + 1]]
    return lists


def test_cage_relative_motion_is_that_of_pymattersim() -> None:
    rng = np.random.default_rng(11)
    frames = np.cumsum(rng.normal(0, 0.15, (8, 120, 2)), axis=0) + relaxed(rng, 120, 11.0, 1.0)
    neighbours = [find_neighbours(points, "cutoff", cutoff=2.5) for points in frames]
    lists = [_peer_list(adjacency) for adjacency in neighbours]
    assert min(peer[:, 0].min() for peer in lists) > 0
    np.testing.assert_allclose(
        cage_relative(frames[0], frames[3], neighbours[0]),
        peer_cage_relative(frames[3] - frames[0], lists[0]),
        atol=1e-12,
    )
    shots = [_snapshot(k, points) for k, points in enumerate(frames)]
    peer = Dynamics(xu_snapshots=Snapshots(len(shots), shots), dt=1.0, ppp=np.array([0, 0]))
    peer.neighborlists = lists
    curve = cage_msd(table(frames), lags=np.arange(1, 8), cutoff_px=2.5)
    np.testing.assert_allclose(curve.y, peer.relaxation()["msd"], rtol=1e-10)


def _snapshot(step: int, points: np.ndarray) -> SingleSnapshot:
    n, n_dim = points.shape
    side = np.full(n_dim, 100.0)
    bounds = np.column_stack([np.zeros(n_dim), side])
    return SingleSnapshot(step, n, np.ones(n, int), points, side, bounds, bounds, np.diag(side))
