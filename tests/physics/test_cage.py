"""Cage-relative displacements: exact cases."""

from __future__ import annotations

import numpy as np
import pytest
from simulated_tracks import table, triangular

from colloidlab.errors import InputError
from colloidlab.indicators.adjacency import find_neighbours
from colloidlab.indicators.cage import cage_relative, cage_table
from colloidlab.indicators.cage_msd import cage_msd


def test_drift_leaves_no_trace_and_a_step_leaves_its_share() -> None:
    here = triangular(9, 10, 10.0)
    there = here + [123.0, -7.0]
    there[44] += [0.3, 0.4]
    adjacency = find_neighbours(here, "cutoff", cutoff=12)
    found = cage_relative(here, there, adjacency)
    np.testing.assert_allclose(found[44], [0.3, 0.4], atol=1e-12)
    beside = adjacency.neighbour[adjacency.start[44] : adjacency.start[45]]
    np.testing.assert_allclose(found[beside], np.tile([-0.05, -0.4 / 6], (6, 1)), atol=1e-12)
    others = np.setdiff1d(np.arange(90), [44, *beside])
    assert np.abs(found[others]).max() < 1e-12


def test_a_periodic_box_and_absent_particles() -> None:
    box = np.array([80.0, 50 * np.sqrt(3)])
    here = triangular(8, 10, 10.0)
    there = (here + [33.0, -22.0]) % box
    there[3] = np.nan
    adjacency = find_neighbours(here, "cutoff", cutoff=12, box=box)
    found = cage_relative(here, there, adjacency, box=box)
    assert np.isnan(found[3]).all()
    assert np.nanmax(np.abs(found)) < 1e-12
    assert np.isfinite(np.delete(found, 3, axis=0)).all()


def test_table_and_curve_of_independent_noise() -> None:
    rng = np.random.default_rng(1)
    base = triangular(20, 20, 10.0)
    flow = np.cumsum(rng.normal(0, 2, (40, 1, 2)), axis=0)
    tracks = table(base + flow + rng.normal(0, 0.1, (40, 400, 2)), drop=0.05, rng=rng)
    moved = cage_table(tracks, lag_frames=3, cutoff_px=14)
    both = tracks.merge(tracks.assign(frame=tracks["frame"] + 3), on=["frame", "particle"])
    assert (
        moved[["frame", "particle"]].to_numpy().tolist()
        == both.sort_values(["frame", "particle"])[["frame", "particle"]].to_numpy().tolist()
    )
    curve = cage_msd(tracks, lags=np.array([1, 3, 10]), cutoff_px=14)
    squared = moved["cage_dx_px"] ** 2 + moved["cage_dy_px"] ** 2
    assert curve.y[1] == pytest.approx(squared.mean(), rel=1e-10)
    # 2 D σ² (1 + ⟨1/n⟩): six neighbours inside, fewer at the edge and beside those who are missing.
    np.testing.assert_allclose(curve.y, 4 * 0.1**2 * (1 + 0.1967), rtol=0.03)
    assert (curve.y_low < curve.y).all() and (curve.y < curve.y_high).all()
    assert list(cage_table(tracks, reference_frame=0, cutoff_px=14)["frame"].unique()) == list(range(1, 40))
    with pytest.raises(InputError, match="cutoff"):
        cage_msd(tracks)
