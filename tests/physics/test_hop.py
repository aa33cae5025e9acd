"""p_hop: steps, noise, flow and gaps with known answers."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from simulated_tracks import table, triangular

from colloidlab.errors import InputError
from colloidlab.indicators.hop import hop_table

W = 5


def _hops(frames: np.ndarray, **options: object) -> pd.DataFrame:
    return hop_table(table(frames), half_width_frames=W, **options)  # type: ignore[arg-type]


def _by_frame(found: pd.DataFrame, column: str = "hop_px2") -> np.ndarray:
    """Shape (n_frames, n_particles)."""
    return found.pivot(index="frame", columns="particle", values=column).to_numpy()


@pytest.mark.parametrize("options", [{"cutoff_px": 12.0}, {"neighbours": "delaunay"}, {"neighbours": None}])
def test_a_step_gives_its_square_at_its_frame(options: dict) -> None:
    frames = np.stack([triangular(9, 10, 10.0)] * 40)
    frames[17:, 44] += [0.3, 0.4]
    found = _hops(frames, sigma_px=0.01, **options)
    hop = _by_frame(found)
    # k frames off, one half is a mixture: X = a² (1 - k/w), Y = a² (1 - k/w)².
    for k in range(W):
        expected = 0.25 * (1 - k / W) ** 1.5
        assert hop[17 + k, 44] == pytest.approx(expected, rel=1e-9)
        assert hop[17 - k, 44] == pytest.approx(expected, rel=1e-9)
    assert np.nanmax(hop[17 + W :, 44]) < 1e-20 and np.nanmax(hop[: 17 - W + 1, 44]) < 1e-20
    events = found[found["hopped"]]
    assert events["frame"].unique().tolist() == [17]
    largest = events[events["hop_px2"] > 0.2]
    assert largest["particle"].tolist() == [44]
    # The neighbours see about a sixth of the step; a threshold leaves them out.
    assert len(events) == (1 if options.get("neighbours", "") is None else 7)
    np.testing.assert_allclose(events["hop_px2"].drop(largest.index), 0.25 / 36, rtol=0.05)
    assert _hops(frames, sigma_px=0.01, least_hop_px2=0.1, **options)["hopped"].sum() == 1
    assert _hops(frames, **options)["hopped"].isna().all()


@pytest.mark.parametrize("n_dim", [2, 3])
def test_localisation_noise_gives_the_expected_value(n_dim: int) -> None:
    sigma = 0.3
    frames = np.random.default_rng(1).normal(0, sigma, (2 * W, 20_000, n_dim))
    found = _hops(frames, neighbours=None, least_samples=W, sigma_px=sigma)
    hop = found["hop_px2"][found["frame"] == W].to_numpy()
    # X = q + s_A, Y = q + s_B with q = |⟨u⟩_A - ⟨u⟩_B|² and the variances s of either half, all independent.
    q, s = 2 * n_dim * sigma**2 / W, n_dim * sigma**2 * (1 - 1 / W)
    squared = q**2 * (1 + 2 / n_dim) + 2 * q * s + s**2
    assert np.mean(hop**2) == pytest.approx(squared, rel=0.03)
    assert hop.mean() == pytest.approx(n_dim * sigma**2 * (1 + 1 / W), rel=0.05)
    assert found["hop_px2"][found["frame"] != W].isna().all()


@pytest.mark.parametrize("step", [0.0, 1.0, 3.0])
def test_its_error_is_the_scatter_of_many_draws(step: float) -> None:
    rng = np.random.default_rng(2)
    sigma = np.broadcast_to(rng.uniform(0.15, 0.25, (2 * W, 1, 2)), (2 * W, 4000, 2))
    tracks = table(
        rng.normal(0, 1, sigma.shape) * sigma + [[[step, 0]]] * (np.arange(2 * W) >= W)[:, None, None]
    )
    tracks["sigma_x_px"], tracks["sigma_y_px"] = sigma.reshape(-1, 2).T
    found = hop_table(tracks, half_width_frames=W, neighbours=None, least_samples=W)
    there = found[found["frame"] == W]
    stated = np.sqrt(np.mean(there["hop_error_px2"] ** 2))
    # Where there is no step the part of the noise that looks like one is not told apart from it.
    assert stated == pytest.approx(there["hop_px2"].std(), rel=0.06 if step else 0.35)


@pytest.mark.parametrize(("w", "relative", "drop"), [(3, True, 0.0), (5, True, 0.03), (3, False, 0.0)])
def test_a_rigid_noisy_crystal_is_flagged_at_the_nominal_rate(w: int, relative: bool, drop: float) -> None:
    rng = np.random.default_rng(3)
    base = triangular(150, 150, 10.0)
    sheared = [
        base @ np.array([[1, 0], [0.002 * k * relative, 1]]) + 0.5 * k * relative for k in range(2 * w)
    ]
    sigma = np.broadcast_to(rng.uniform(0.05, 0.15, (1, len(base), 1)), (2 * w, len(base), 2))
    tracks = table(np.stack(sheared) + rng.normal(0, 1, sigma.shape) * sigma)
    tracks["sigma_x_px"], tracks["sigma_y_px"] = sigma.reshape(-1, 2).T
    tracks = tracks[rng.random(len(tracks)) >= drop]
    for rate in (1e-2, 1e-3):
        found = hop_table(
            tracks,
            half_width_frames=w,
            cutoff_px=14.0,
            neighbours="cutoff" if relative else None,
            least_samples=w if drop == 0 else w - 1,
            false_positive_rate=rate,
        )
        middle = found[found["frame"] == w]
        expected = rate * middle["hop_px2"].notna().sum()
        assert expected > 19
        # Hardly any other frame has enough samples, so that a peak is any value that is large.
        spread = 3 * np.sqrt(expected)
        assert expected / 1.3 - spread < middle["hopped"].sum() < 1.3 * expected + spread


def test_gaps_cost_samples_and_nothing_else() -> None:
    frames = np.stack([triangular(9, 10, 10.0)] * 40)
    frames[17:, 44] += [0.3, 0.4]
    rng = np.random.default_rng(4)
    tracks = table(frames, drop=0.05, rng=rng)
    found = hop_table(tracks, half_width_frames=W, cutoff_px=12)
    own = found[(found["particle"] == 44) & found["hop_px2"].notna()]
    assert len(own) > 25
    if 17 in own["frame"].to_numpy():
        assert own.set_index("frame")["hop_px2"][17] == pytest.approx(0.25, rel=1e-9)
    # A neighbour that is gone for good is no longer one.
    short = table(frames)
    short = short[(short["particle"] != 45) | (short["frame"] < 16)]
    found = hop_table(short, half_width_frames=W, cutoff_px=12)
    assert found.set_index(["frame", "particle"])["hop_px2"][(17, 44)] == pytest.approx(0.25, rel=1e-9)
    assert hop_table(short.iloc[:0], half_width_frames=W, cutoff_px=12).empty


def test_no_flow_that_is_linear_makes_a_hop() -> None:
    rng = np.random.default_rng(5)
    points = triangular(12, 12, 10.0) + rng.normal(0, 1, (144, 2))
    spin = 0.02 * np.arange(30)
    turn = np.moveaxis(np.array([[np.cos(spin), -np.sin(spin)], [np.sin(spin), np.cos(spin)]]), 2, 0)
    shear = np.eye(2) + 0.01 * np.arange(30)[:, None, None] * np.array([[0, 1], [0, 0]])
    frames = np.einsum("tab,tbc,nc->tna", turn, shear, points) + 3.0 * np.arange(30)[:, None, None]
    found = _hops(frames, cutoff_px=15)
    assert found["hop_px2"].notna().sum() > 2000
    assert found["hop_px2"].max() < 1e-20


def test_what_it_needs() -> None:
    tracks = table(np.zeros((3, 2, 2)) + np.arange(2)[:, None])
    with pytest.raises(InputError, match="at least 2 frames"):
        hop_table(tracks, half_width_frames=1, cutoff_px=5)
    with pytest.raises(InputError, match="cutoff"):
        hop_table(tracks, half_width_frames=2)
    with pytest.raises(InputError, match="rate"):
        hop_table(tracks, half_width_frames=2, cutoff_px=5, false_positive_rate=0)
