"""Overlap and χ₄: PyMatterSim, Brownian motion, independent and collective particles, bands."""

from __future__ import annotations

import numpy as np
import pytest
from matter_sim import snapshots
from PyMatterSim.dynamic.dynamics import Dynamics
from simulated_tracks import brownian, table

from colloidlab.errors import InputError
from colloidlab.indicators.overlap import overlap, overlap_per_origin
from colloidlab.indicators.trajectories import trajectories


@pytest.mark.parametrize("n_dim", [2, 3])
def test_same_as_pymattersim(n_dim: int) -> None:
    rng = np.random.default_rng(1)
    paths = np.cumsum(rng.normal(0, 0.15, (20, 40, n_dim)), axis=0)
    peer = Dynamics(
        xu_snapshots=snapshots(paths, np.full(n_dim, 50.0)), dt=1.0, ppp=np.zeros(n_dim, int), a=0.5
    )
    theirs = peer.relaxation()
    lags = np.arange(1, 20)
    close, number = overlap_per_origin(trajectories(table(paths)), lags, 0.5)
    for lag, q, chi4 in zip(lags, theirs["Qt"], theirs["X4_Qt"]):
        share = close[lag - 1, : 20 - lag] / number[lag - 1, : 20 - lag]
        assert share.mean() == pytest.approx(q, abs=1e-12)
        assert 40 * share.var() == pytest.approx(chi4, abs=1e-10)
    np.testing.assert_allclose(overlap(table(paths), radius_px=0.5, max_lag=19).q.y, theirs["Qt"], rtol=1e-12)


@pytest.mark.parametrize(("drop", "drift"), [(0.0, "mean"), (0.25, "none")])
def test_brownian_particles_overlap_and_fluctuate_as_they_must(drop: float, drift: str) -> None:
    rng = np.random.default_rng(2)
    d, radius, sigma = 0.02, 1.0, 0.1
    q, chi4, held = [], [], []
    for _ in range(25):
        wander = np.cumsum(rng.normal(0, 0.5, (120, 1, 2)), axis=0) * (drift == "mean")
        tracks = table(brownian(rng, 120, 60, d=d, sigma=sigma) + wander, drop=drop, rng=rng)
        found = overlap(tracks, radius_px=radius, max_lag=30, drift=drift)
        truth = 1 - np.exp(-(radius**2) / (4 * (d * found.q.x + sigma**2)))
        q.append(found.q.y)
        chi4.append(found.chi4.y)
        for curve, exact in ((found.q, truth), (found.chi4, truth * (1 - truth))):
            held.append((curve.y_low <= exact) & (exact <= curve.y_high))
    np.testing.assert_allclose(np.mean(q, axis=0), truth, atol=0.01)
    # Independent particles: Q(1 − Q), also at a quarter of the recording, where few origins are independent.
    np.testing.assert_allclose(np.mean(chi4, axis=0), truth * (1 - truth), atol=0.022)
    assert np.mean(held) > 0.86


def test_particles_that_move_together_fluctuate_together() -> None:
    rng = np.random.default_rng(3)
    chi4 = []
    for size in (1, 5):
        leaders = brownian(rng, 400, 120 // size, d=0.02)
        found = overlap(table(np.repeat(leaders, size, axis=1)), radius_px=1.0, max_lag=10)
        chi4.append(found.chi4.y[-1] / (found.q.y[-1] * (1 - found.q.y[-1])))
    assert chi4[0] == pytest.approx(1, abs=0.35) and chi4[1] == pytest.approx(5, rel=0.35)


def test_what_cannot_be_computed_is_refused() -> None:
    alone = table(np.zeros((1, 3, 2)))
    with pytest.raises(InputError, match="link the features"):
        overlap(alone, radius_px=1, max_lag=3)
    with pytest.raises(InputError, match="positive radius"):
        overlap(alone, radius_px=0, max_lag=3)
    still = overlap(table(np.zeros((2, 3, 2))), radius_px=1, max_lag=3)
    assert still.q.y.tolist() == [1.0] and np.isnan(still.chi4.y).all() and np.isnan(still.q.y_low).all()
