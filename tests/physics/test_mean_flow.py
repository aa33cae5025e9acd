"""Mean flow on a grid, and what it leaves: exact for affine flow, within the stated bias for waves, errors that are true."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from simulated_tracks import table
from video_files import DATA

from colloidlab.errors import InputError
from colloidlab.indicators.flow_residual import flow_residual, flow_residual_table
from colloidlab.indicators.mean_flow import mean_flow, mean_flow_table
from colloidlab.tables import COLUMNS
from colloidlab.video import open_video

ROOT = Path(__file__).parents[2]
SIDE = 200.0


def carried(velocity, n_frames: int = 2, *, n: int = 1500, n_dim: int = 2, noise: float = 0.0, seed: int = 1):  # type: ignore[no-untyped-def]
    """Particles that are, half-way between two frames, where the velocity is that of their displacement."""
    rng = np.random.default_rng(seed)
    parts = []
    for k in range(n_frames - 1):
        middle = rng.uniform(0, SIDE, (n, n_dim))
        step = velocity(middle) + noise * rng.normal(size=middle.shape)
        pair = table(np.stack([middle - step / 2, middle + step / 2]))
        parts.append(pair.assign(frame=pair["frame"] + k, particle=pair["particle"] + n * k))
    return pd.concat(parts, ignore_index=True)


def waves(k: float, amplitude: float = 0.5):  # type: ignore[no-untyped-def]
    """Taylor-Green vortices."""
    return lambda r: (
        amplitude
        * np.column_stack(
            [np.sin(k * r[:, 0]) * np.cos(k * r[:, 1]), -np.cos(k * r[:, 0]) * np.sin(k * r[:, 1])]
        )
    )


@pytest.mark.parametrize("n_dim", [2, 3])
def test_affine_flow_is_exact_up_to_the_edges(n_dim: int) -> None:
    gradient = np.random.default_rng(2).normal(0, 0.02, (n_dim, n_dim))
    shift = np.array([0.7, -0.3, 0.2])[:n_dim]
    tracks = carried(lambda r: shift + r @ gradient.T, n_dim=n_dim)
    flow = mean_flow(tracks, radius_px=60.0)
    assert flow.averaged and np.isfinite(flow.velocity).all()
    assert np.abs(flow.gradient - gradient).max() < 1e-12
    assert np.abs(flow.velocity[0] - (shift + flow.nodes @ gradient.T)).max() < 1e-11
    # Without noise nothing is in doubt.
    assert flow.velocity_error.max() < 1e-11 and flow.gradient_error.max() < 1e-12
    assert np.allclose(flow.shear_rate, gradient[0, 1] + gradient[1, 0])
    assert np.allclose(flow.vorticity, gradient[1, 0] - gradient[0, 1])


def test_vortices_lose_what_is_stated() -> None:
    """k_x = k_y = k: the velocity reads low by k^2 h^2/8, its gradient by k^2 h^2/10."""
    radius, k = 16.0, 2 * np.pi / SIDE
    # Dense, so that the places of the particles do not matter; away from the edge, where the neighbourhood is round.
    flow = mean_flow(carried(waves(k), n=60_000), radius_px=radius)
    inside = np.abs(flow.nodes - SIDE / 2).max(axis=1) < SIDE / 2 - radius
    x, y = flow.nodes[inside].T
    exact = waves(k)(flow.nodes[inside])
    shrunk = float((flow.velocity[0, inside] * exact).sum() / (exact**2).sum())
    assert shrunk == pytest.approx(1 - (k * radius) ** 2 / 8, abs=0.003)
    slope = 0.5 * k * np.cos(k * x) * np.cos(k * y)
    shrunk = float((flow.gradient[0, inside, 0, 0] * slope).sum() / (slope**2).sum())
    assert shrunk == pytest.approx(1 - (k * radius) ** 2 / 10, abs=0.005)
    assert np.abs(flow.shear_rate[0, inside]).max() < 0.02 * 0.5 * k
    turning = k * np.sin(k * x) * np.sin(k * y)
    assert np.corrcoef(flow.vorticity[0, inside], turning)[0, 1] > 0.999


def test_a_parabola_is_off_by_a_constant() -> None:
    """Poiseuille flow: h^2/16 times the second derivative, everywhere; its gradient is right."""
    radius, bend = 20.0, 1e-4
    flow = mean_flow(
        carried(lambda r: np.column_stack([bend * r[:, 1] ** 2, 0 * r[:, 1]]), n=40_000), radius_px=radius
    )
    inside = np.abs(flow.nodes - SIDE / 2).max(axis=1) < SIDE / 2 - radius
    y = flow.nodes[inside, 1]
    off = flow.velocity[0, inside, 0] - bend * y**2
    assert off.mean() == pytest.approx(radius**2 / 16 * 2 * bend, rel=0.02)
    assert np.abs(flow.gradient[0, inside, 0, 1] - 2 * bend * y).max() < 0.02 * bend * SIDE


@pytest.mark.parametrize("n_frames", [2, 41])
def test_noise_stays_within_the_errors(n_frames: int) -> None:
    pulls, turning = [], []
    for seed in range(5):
        n = 600 if n_frames == 2 else 100
        tracks = carried(lambda r: 0.01 * r, n_frames, n=n, noise=0.3, seed=seed)
        flow = mean_flow(tracks, radius_px=36.0, step_px=25.0)
        pulls.append(((flow.velocity[0] - 0.01 * flow.nodes) / flow.velocity_error[0]).ravel())
        pulls.append(((flow.gradient[0] - 0.01 * np.eye(2)) / flow.gradient_error[0]).ravel())
        long = flow.to_table()
        turning.append(long["vorticity_per_frame"] / long["vorticity_error_per_frame"])
    # The larger of two errors is a little too large; errors from 15 particles scatter.
    for part in (np.concatenate(pulls), np.concatenate(turning)):
        assert 0.8 < np.sqrt((part**2).mean()) < 1.15 and (np.abs(part) < 2).mean() > 0.91


def test_what_all_share_for_a_while_is_in_the_error_of_the_average() -> None:
    rng = np.random.default_rng(6)
    home = rng.uniform(0, SIDE, (400, 2))
    # The whole sample diffuses: single particles agree with each other, but not with the next block of time.
    together = np.cumsum(rng.normal(0, 0.2, (100, 1, 2)), axis=0)
    flow = mean_flow(table(home + together), radius_px=40.0)
    assert np.median(flow.velocity_error) == pytest.approx(0.2 / np.sqrt(99), rel=0.5)


def test_frames_windows_and_the_average() -> None:
    rng = np.random.default_rng(7)
    home, t = rng.uniform(0, SIDE, (300, 2)), np.arange(13)
    # The speed grows by 0.02 a frame.
    positions = home + 0.01 * (t**2)[:, None, None] * np.array([1.0, 0])
    tracks = table(positions, drop=0.1, rng=rng)
    each = mean_flow(tracks, radius_px=50.0, window_frames=1)
    assert list(each.frames) == list(range(1, 13))
    assert np.allclose(each.velocity[..., 0], 0.02 * (each.frames - 0.5)[:, None])
    threes = mean_flow(tracks, radius_px=50.0, window_frames=3)
    assert list(threes.frames) == [3, 6, 9, 12]
    assert np.allclose(threes.velocity[..., 0], 0.02 * (threes.frames - 1.5)[:, None], atol=0.02)
    lagged = mean_flow(tracks, radius_px=50.0, lag_frames=4, window_frames=1)
    assert np.allclose(lagged.velocity[..., 0], 0.02 * (lagged.frames - 2)[:, None])
    long = each.to_table()
    assert set(long) <= set(COLUMNS)
    assert {"frame", "vx_px", "dvx_dy_per_frame", "n_particles"} <= set(long)
    assert len(long) == 12 * len(each.nodes)
    averaged = mean_flow_table(tracks, radius_px=50.0)
    assert "frame" not in averaged and len(averaged) == len(each.nodes)


def test_where_nobody_is_nothing_is_known() -> None:
    tracks = carried(lambda r: 0 * r + 1.0, n=900)
    empty = tracks.groupby("particle")["x"].transform("mean").between(60, 140)
    flow = mean_flow(tracks[~empty], radius_px=25.0)
    middle = np.abs(flow.nodes[:, 0] - 100) < 15
    assert np.isnan(flow.velocity[0, middle]).all() and not flow.n_particles[0, middle].any()
    assert np.allclose(flow.velocity[0, np.abs(flow.nodes[:, 0] - 100) > 60], 1.0)
    assert flow.to_table().notna().all(axis=None)


def test_periodic_boxes_have_no_edge() -> None:
    box = np.array([SIDE, SIDE])
    k = 2 * np.pi / SIDE
    tracks = carried(waves(k), n=20_000)
    wrapped = tracks.assign(x=tracks["x"] % SIDE, y=tracks["y"] % SIDE)
    flow = mean_flow(wrapped, radius_px=16.0, box=box)
    # A moving particle has an image of itself; where it left the box it did not run through it.
    assert np.abs(flow.velocity[0] - (1 - (16 * k) ** 2 / 8) * waves(k)(flow.nodes)).max() < 0.02
    assert flow.n_particles.min() > 0.8 * flow.n_particles.mean()


def test_wrong_options_are_refused() -> None:
    tracks = carried(lambda r: 0 * r)
    with pytest.raises(InputError, match="radius"):
        mean_flow(tracks, radius_px=0.0)
    with pytest.raises(InputError, match="lag_frames"):
        mean_flow(tracks, radius_px=10.0, lag_frames=0)
    with pytest.raises(InputError, match="exceeds half"):
        mean_flow(tracks, radius_px=101.0, box=np.array([SIDE, SIDE]))
    with pytest.raises(InputError, match="2 apart"):
        mean_flow(tracks, radius_px=10.0, lag_frames=2)
    with pytest.raises(InputError, match="at least 1"):
        flow_residual_table(tracks, lag_frames=0, radius_px=10.0)


# ---- residual --------------------------------------------------------------------------------


@pytest.mark.parametrize("n_dim", [2, 3])
def test_affine_motion_leaves_nothing(n_dim: int) -> None:
    rng = np.random.default_rng(8)
    here = rng.uniform(0, 10, (400, n_dim))
    there = here @ (np.eye(n_dim) + rng.normal(0, 0.2, (n_dim, n_dim))) + 5.0
    left = flow_residual(here, there, radius=4.0)
    # In three dimensions a few at corners have all others far to one side.
    assert np.isfinite(left).all(axis=1).mean() > (0.999 if n_dim == 2 else 0.97)
    assert np.nanmax(np.abs(left)) < 1e-11
    here[3] = np.nan
    assert np.isnan(flow_residual(here, there, radius=4.0)[3]).all()


@pytest.mark.parametrize("n_dim", [2, 3])
def test_independent_displacements_keep_their_variance(n_dim: int) -> None:
    """In the middle and at the edges, where a fit that leaves the particle out is far less certain."""
    rng = np.random.default_rng(9)
    squares, edge = [], []
    for _ in range(12):
        here = rng.uniform(0, 10, (400, n_dim))
        own = 0.05 * rng.normal(size=here.shape)
        left = flow_residual(here, here * 1.02 + [0.3, *[0.0] * (n_dim - 1)] + own, radius=3.0)
        known = np.isfinite(left).all(axis=1)
        assert known.mean() > (0.99 if n_dim == 2 else 0.9)
        left, own = left[known], own[known]
        squares.append((left / 0.05) ** 2)
        edge.append(np.abs(here[known] - 5).max(axis=1) > 4)
        inside = ~edge[-1]
        assert np.corrcoef(left[inside].ravel(), own[inside].ravel())[0, 1] > (0.95 if n_dim == 2 else 0.9)
    values, at_edge = np.concatenate(squares), np.concatenate(edge)
    for part in (values[at_edge], values[~at_edge]):
        # Of n independent squares; neighbours' residuals are nearly independent.
        assert part.mean() == pytest.approx(1, abs=4 * np.sqrt(2 / part.size))


def test_one_particle_alone() -> None:
    """It is given short by the root of 1 + q, and hardly shows in its neighbours."""
    rng = np.random.default_rng(10)
    here = rng.uniform(0, 10, (800, 2))
    there = here.copy()
    middle = int(np.argmin(np.hypot(*(here - 5).T)))
    there[middle] += [1.0, 0]
    left = flow_residual(here, there, radius=2.0)
    assert 0.95 < left[middle, 0] < 1
    others = np.delete(left, middle, axis=0)
    assert np.abs(others).max() < 0.1


def test_the_residual_crosses_periodic_boundaries() -> None:
    rng = np.random.default_rng(11)
    here = rng.uniform(0, 10, (500, 2))
    box = np.array([10.0, 10.0])
    left = flow_residual(here, (here + [0.7, -0.4]) % box, radius=2.5, box=box)
    assert np.abs(left).max() < 1e-12
    # And is that of the bulk: an open copy with the images around it says the same in the middle.
    moved = here + 0.1 * rng.normal(size=here.shape)
    images = [np.array([a, b]) * 10.0 for a in (-1, 0, 1) for b in (-1, 0, 1)]
    tiled = flow_residual(
        np.concatenate([here + s for s in images]), np.concatenate([moved + s for s in images]), radius=2.5
    )
    wrapped = flow_residual(here, moved % box, radius=2.5, box=box)
    assert np.allclose(tiled[4 * 500 : 5 * 500], wrapped, rtol=0, atol=1e-12)


def test_agrees_with_a_direct_fit() -> None:
    rng = np.random.default_rng(12)
    here = rng.uniform(0, 10, (60, 2))
    moved = rng.normal(0, 0.1, here.shape)
    left = flow_residual(here, here + moved, radius=3.0)
    for i in range(60):
        r = np.hypot(*(here - here[i]).T)
        near = np.flatnonzero((r < 3.0) & (r > 0))
        if near.size < 6:
            assert np.isnan(left[i]).all()
            continue
        root = (1 - (r[near] / 3.0) ** 2)[:, None]
        basis = np.column_stack([np.ones(near.size), here[near] - here[i]])
        projection = np.linalg.pinv(root * basis)[0] * root[:, 0]
        if np.isnan(left[i]).all():
            # Beyond four standard deviations from all others.
            inverse = np.linalg.inv((root * basis).T @ (root * basis))
            assert inverse[0, 0] * (root**2).sum() > 17
            continue
        expected = (moved[i] - projection @ moved[near]) / np.sqrt(1 + projection @ projection)
        assert np.allclose(left[i], expected, rtol=0, atol=1e-9)


def test_the_table_of_residuals() -> None:
    rng = np.random.default_rng(13)
    home, t = rng.uniform(0, 100, (150, 2)), np.arange(6)
    positions = home + 0.3 * t[:, None, None] * (home[:, 1:] * [0.1, 0])
    tracks = table(positions, drop=0.1, rng=rng)
    found = flow_residual_table(tracks, lag_frames=2, radius_px=50.0)
    assert list(found) == ["frame", "particle", "flow_residual_dx_px", "flow_residual_dy_px"]
    assert set(found) <= set(COLUMNS) and sorted(found["frame"].unique()) == [2, 3, 4, 5]
    assert found.iloc[:, 2:].abs().max(axis=None) < 1e-11
    keys = tracks.set_index(["frame", "particle"]).index
    assert all((f - 2, p) in keys for f, p in zip(found["frame"], found["particle"]))
    assert flow_residual_table(tracks[tracks["frame"] == 0], lag_frames=2, radius_px=50.0).empty


# ---- recordings ------------------------------------------------------------------------------


def test_the_flow_of_the_sample_is_that_of_its_particles() -> None:
    """Tangential velocity averaged over strips, frame by frame, against the same averages of the true velocities."""
    truth = pd.read_parquet(ROOT / "sample_videos" / "sheared_monolayer_truth.parquet")
    tracks = truth[truth["frame"].between(95, 105)][["frame", "particle", "x", "y"]]
    flow = mean_flow(tracks, radius_px=68.0, window_frames=10)
    y = flow.nodes[:, 1].round(3)
    profile = pd.Series(flow.velocity[0, :, 0]).groupby(y).mean()
    # Around frame 100 the needle, on top, goes at 40 * 2 pi/100 px a frame.
    assert profile.iloc[0] > 0.8 and profile.iloc[-1] < 0.1 and profile.iloc[0] == profile.max()
    moving = truth[truth["frame"].between(96, 104)]
    for place in profile.index[2:-2]:
        strip = moving[(moving["y"] - place).abs() < 25]
        assert profile[place] == pytest.approx(strip["vx_px"].mean(), abs=0.12)


@pytest.mark.data
@pytest.mark.skipif(not DATA.is_dir(), reason="the recordings are not here")
def test_the_foam_flows() -> None:
    """Bubbles at the front are fast, those far behind it slow; beyond the front nothing is made up."""
    trackpy = pytest.importorskip("trackpy")
    trackpy.quiet()
    with open_video(DATA / "foam") as video:
        images = [video.frame(k).image for k in range(video.n_frames)]
    located = [
        trackpy.locate(image, 21, minmass=1000, separation=14, engine="numba").assign(frame=k)
        for k, image in enumerate(images)
        if image is not None
    ]
    tracks = trackpy.link(pd.concat(located, ignore_index=True), 8)[["frame", "particle", "x", "y"]]
    flow = mean_flow_table(tracks, radius_px=100.0, step_px=50.0)
    assert flow[["vx_px", "vy_px"]].abs().max(axis=None) < 6
    middle = flow["x"].between(250, 500)
    front, behind = middle & flow["y"].between(350, 420), middle & flow["y"].between(50, 220)
    assert (flow.loc[front, "vx_px"] < -2.5).all() and (flow.loc[behind, "vx_px"].abs() < 1).all()
    # Between front and rear it is the plain mean of what is there.
    moved = tracks.sort_values(["particle", "frame"]).groupby("particle")[["frame", "x", "y"]].diff()
    near = tracks.loc[moved.index, "x"].between(330, 440) & tracks.loc[moved.index, "y"].between(230, 300)
    plain = moved.loc[near & (moved["frame"] == 1), "x"].mean()
    here = flow[flow["x"].between(330, 440) & flow["y"].between(230, 300)]
    assert here["vx_px"].mean() == pytest.approx(plain, abs=0.5)
