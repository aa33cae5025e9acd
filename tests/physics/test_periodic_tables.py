"""Rearrangement of periodic recordings: nothing depends on where the border of the box lies."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from simulated_tracks import table

from colloidlab.errors import InputError
from colloidlab.indicators import cage_table, d2min_table, hop_table
from colloidlab.indicators.trajectories import trajectories, unwrap

SIDES = {2: np.array([40.0, 50.0]), 3: np.array([12.0, 13.0, 14.0])}


def stack(positions: np.ndarray) -> pd.DataFrame:
    """Tracks of positions of shape (n_frames, n, 2 or 3)."""
    flat = table(positions[..., :2])
    return flat if positions.shape[2] == 2 else flat.assign(z=positions[..., 2].ravel())


def drifting(rng: np.random.Generator, n_dim: int) -> np.ndarray:
    """Particles that rattle, of which some hop, in a box that drifts right through its own border."""
    start = rng.uniform(0, 1, (250, n_dim)) * SIDES[n_dim]
    walk = start + np.cumsum(rng.normal(0, 0.03, (30, 250, n_dim)), axis=0)
    walk[15:, :5] += 0.8
    return walk + np.arange(30)[:, None, None] * 1.3


@pytest.mark.parametrize("n_dim", [2, 3])
def test_wrapped_or_not_and_wherever_the_border_is(n_dim: int) -> None:
    rng = np.random.default_rng(7)
    box, walk = SIDES[n_dim], drifting(rng, n_dim)
    options = {"cutoff_px": 4.0, "box": box}
    for make in (
        lambda t, **o: d2min_table(t, lag_frames=4, sigma_px=0.01, **o),
        lambda t, **o: cage_table(t, lag_frames=4, **o),
        lambda t, **o: hop_table(t, half_width_frames=6, sigma_px=0.01, **o),
    ):
        plain = make(stack(walk), **options)
        assert plain.iloc[:, 2].notna().mean() > 0.5
        for other in (walk % box, (walk + 0.37 * box) % box):
            again = make(stack(other), **options)
            for name in plain:
                np.testing.assert_allclose(
                    again[name].astype(float), plain[name].astype(float), rtol=1e-6, atol=1e-9, err_msg=name
                )
        # In an open view particles at the border have lost the neighbours beyond it.
        cut = make(stack(walk % box), cutoff_px=4.0)
        assert not np.allclose(cut.iloc[:, 2], plain.iloc[:, 2], equal_nan=True)


def test_a_hop_across_the_border_is_as_long_as_it_is() -> None:
    rng = np.random.default_rng(8)
    i, j = np.mgrid[:8, :8]
    lattice = 5.0 * np.column_stack([i.ravel(), j.ravel()])
    frames = lattice + rng.normal(0, 0.01, (40, 64, 2)) - [0.2, 0.0]
    frames[20:, 3, 0] -= 1.0
    box = np.array([40.0, 40.0])
    found = hop_table(stack(frames % box), half_width_frames=8, cutoff_px=7.5, box=box, sigma_px=0.01)
    at = found[(found.particle == 3) & (found.frame == 20)].iloc[0]
    assert at.hop_px2 == pytest.approx(1.0, rel=0.02) and at.hopped
    assert found.hopped.sum() < 20
    # Without neighbours, too, a step over the border is short.
    alone = hop_table(stack(frames % box), half_width_frames=8, neighbours=None, box=box)
    assert alone.hop_px2.max() < 1.1
    with pytest.raises(InputError, match="half the shortest side"):
        hop_table(stack(frames), half_width_frames=8, cutoff_px=21.0, box=box)


def test_unwrapped_tracks_go_on_beyond_the_box_each_from_where_it_began() -> None:
    rng = np.random.default_rng(9)
    box = SIDES[2]
    walk = rng.uniform(0, 1, (1, 20, 2)) * box + np.cumsum(rng.normal(0, 2.0, (200, 20, 2)), axis=0)
    gone = table(walk % box, drop=0.1, rng=rng)
    found, truth = unwrap(trajectories(gone), box), table(walk).merge(gone[["frame", "particle"]])
    true = trajectories(truth)
    offset = found.values - true.values
    first = offset[found.offsets[:-1]]
    np.testing.assert_allclose(offset, first[found.track], atol=1e-9)
    np.testing.assert_allclose(first / box, np.round(first / box), atol=1e-9)
