"""Boundaries after the recording has ended: periods are found where there are some, and motion goes on from where it is."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from scipy.linalg import expm

from colloidlab.errors import UsageError
from colloidlab.indicators.period import find_period
from colloidlab.rollout import continuation
from colloidlab.rollout.boundary import Plan
from colloidlab.rollout.continuation import continue_boundary, prolong
from colloidlab.rollout.prescription import between, planned

PERIOD, AMPLITUDE, SIZE, CUTOFF = 37.3, 2.0, 200.0, 24.0


def noise(n: int, memory: float, *, seed: int, columns: int = 6) -> np.ndarray:
    """Of unit variance, forgotten in 1/(1 - memory) frames."""
    rng = np.random.default_rng(seed)
    x = np.zeros((n, columns))
    x[0] = rng.normal(size=columns)
    for k in range(1, n):
        x[k] = memory * x[k - 1] + math.sqrt(1 - memory**2) * rng.normal(size=columns)
    return x


# ---- periods --------------------------------------------------------------------------------


@pytest.mark.parametrize("memory", [0.0, 0.9])
@pytest.mark.parametrize("n", [90, 240])
def test_a_period_is_found_in_one_of_several_components(n: int, memory: float) -> None:
    t = np.arange(n)
    x = 0.3 * noise(n, memory, seed=1)
    x[:, 2] += np.sin(2 * np.pi * t / PERIOD + 1)
    found = find_period(t + 500, x)
    assert found is not None and found.harmonics[0] == 1
    assert memory or found.harmonics == (1,)
    # The error of the frequency of a sinusoid in white noise is sqrt(24) s/(2 pi a n^1.5); more for the slower noise.
    error = math.sqrt(24) * 0.3 / (2 * math.pi * n**1.5) * PERIOD**2
    assert abs(found.frames - PERIOD) < (4 if memory == 0 else 12) * error
    assert found.share > 0.6 and found.chance < 1e-3


@pytest.mark.parametrize("memory", [0.0, 0.5, 0.9, 0.98])
def test_noise_has_no_period(memory: float) -> None:
    """Collective motion that is remembered for some frames wanders; that is no drive."""
    found = [find_period(np.arange(240), noise(240, memory, seed=seed)) for seed in range(20)]
    assert sum(f is not None for f in found) <= (0 if memory < 0.95 else 2)


def test_a_motion_seen_less_than_twice_is_none() -> None:
    t = np.arange(200)
    assert find_period(t, np.sin(2 * np.pi * t / 120)[:, None] + 0.01 * noise(200, 0, seed=1)) is None


def test_a_ramp_and_rest_have_no_period() -> None:
    t = np.arange(100)
    assert find_period(t, np.outer(t, [1.0, 0, 0])) is None
    assert find_period(t, np.zeros((100, 6))) is None
    assert find_period(t[:3], np.zeros((3, 6))) is None


def test_harmonics_of_a_square_wave_are_the_odd_ones() -> None:
    t = np.arange(300)
    x = np.sign(np.sin(2 * np.pi * (t + 0.5) / 60))[:, None] + 0.05 * noise(300, 0.0, seed=2, columns=1)
    found = find_period(t, x)
    assert found is not None and found.harmonics == (1, 3, 5)
    assert found.frames == pytest.approx(60, rel=5e-3)


# ---- how a boundary goes on -----------------------------------------------------------------


def film(velocity, n_frames: int = 120, *, thermal: float = 0.1, seed: int = 3) -> pd.DataFrame:  # type: ignore[no-untyped-def]
    """Filtered state of particles that stand near a grid, with v = velocity(r, t) and thermal velocities.

    The outer ones are of the boundary.
    """
    rng = np.random.default_rng(seed)
    axis = np.arange(8, SIZE, 16.0)
    grid = np.stack(np.meshgrid(axis, axis), -1).reshape(-1, 2)
    grid = grid + rng.normal(0, 1, grid.shape)
    edge = np.minimum(grid, SIZE - grid).min(axis=1)
    tables = []
    for frame in range(n_frames):
        v = velocity(grid, frame) + thermal * rng.normal(size=grid.shape)
        tables.append(
            pd.DataFrame(
                {
                    "frame": frame,
                    "particle": np.arange(len(grid)),
                    "x": grid[:, 0],
                    "y": grid[:, 1],
                    "vx_px": v[:, 0],
                    "vy_px": v[:, 1],
                    "entropy": 1.0,
                    "boundary": edge < 2 * CUTOFF,
                }
            )
        )
    return pd.concat(tables, ignore_index=True)


def last_frames(state: pd.DataFrame, n: int = 3) -> Plan:
    """A plan over the end of a recording."""
    last = int(state["frame"].max())
    shape = (n, state["particle"].nunique())
    part = state[state["frame"] > last - n].sort_values(["frame", "particle"])
    r = part[["x", "y"]].to_numpy(copy=True).reshape(*shape, 2)
    v = part[["vx_px", "vy_px"]].to_numpy(copy=True).reshape(*shape, 2)
    S = part["entropy"].to_numpy(copy=True).reshape(shape)
    simulated = ~part["boundary"].to_numpy()[: shape[1]]
    r[1:, simulated], v[1:, simulated], S[1:, simulated] = np.nan, np.nan, np.nan
    return Plan(last - n + 1, np.arange(shape[1]), simulated, r.copy(), v.copy(), S.copy(), np.ones(shape[1]))


def near_the_top(r: np.ndarray, t: float) -> np.ndarray:
    """A needle at y = 0 whose motion is felt over two spacings."""
    wave = AMPLITUDE * math.cos(2 * math.pi * t / PERIOD + 0.5)
    return np.column_stack([wave * np.exp(-r[:, 1] / 40), np.zeros(len(r))])


def test_a_drive_goes_on_where_it_is_felt() -> None:
    state = film(near_the_top)
    plan = last_frames(state)
    longer, found = prolong(plan, state, 3 + 80, CUTOFF)
    assert found.period is not None and found.period.frames == pytest.approx(PERIOD, rel=3e-3)
    assert not found.steady and "repeat the drive" in str(found)
    held = ~plan.simulated
    true = np.array([near_the_top(plan.r[-1], 119 + t) for t in range(1, 81)])[:, held]
    error = longer.v[3:, held] - true
    # Weights of a third of a cutoff smear out a decay over 40 px by some per cent.
    assert np.sqrt((error**2).mean()) < 0.06 * AMPLITUDE
    assert np.abs(error).max() < 0.25 * AMPLITUDE
    # Far from the needle nobody is taken along.
    far = held & (plan.r[-1, :, 1] > 150)
    assert np.abs(longer.r[:, far] - plan.r[-1, far]).max() < 0.3 * AMPLITUDE
    assert np.isnan(longer.r[3:, plan.simulated]).all() and np.array_equal(
        longer.r[:3], plan.r, equal_nan=True
    )


def test_nothing_jumps_and_velocities_are_those_of_the_path() -> None:
    state = film(near_the_top)
    plan = last_frames(state)
    longer, _ = prolong(plan, state, 60, CUTOFF)
    held = ~plan.simulated
    step = longer.r[3:, held] - longer.r[2:-1, held]
    assert np.abs(step).max() < 1.1 * AMPLITUDE
    middle = 0.5 * (longer.r[5:, held] - longer.r[3:-2, held])
    assert np.allclose(middle, longer.v[4:-1, held], rtol=0, atol=0.01 * AMPLITUDE)
    # Steps within a frame are on the same path: the cubic of `between` meets the sinusoid.
    r, v, S = (part.numpy() for part in vars(between(planned(longer, 10), planned(longer, 11), 0.5)).values())
    assert np.allclose(r[held], 0.5 * (longer.r[10, held] + longer.r[11, held]), rtol=0, atol=0.05)
    assert np.isfinite(v[held]).all() and np.all(S[held] == 1.0)


def test_a_whole_period_later_everybody_is_back() -> None:
    state = film(lambda r, t: near_the_top(r, t * PERIOD / 40), n_frames=160, thermal=0.0)
    plan = last_frames(state)
    longer, found = prolong(plan, state, 3 + 120, CUTOFF)
    assert found.period is not None and found.period.frames == pytest.approx(40, rel=1e-6)
    held = ~plan.simulated
    for m in (1, 2, 3):
        assert np.allclose(longer.r[2 + 40 * m, held], plan.r[-1, held], rtol=0, atol=1e-4)


def test_a_steady_shear_goes_on_and_keeps_the_area() -> None:
    rate = 0.002
    state = film(lambda r, t: np.column_stack([rate * (r[:, 1] - 90), 0.0003 * (r[:, 1] - 90)]) + [0.1, 0.0])
    plan = last_frames(state)
    longer, found = prolong(plan, state, 103, CUTOFF)
    assert found.period is None and found.steady and "steady" in str(found)
    assert found.gradient[0, 1] == pytest.approx(rate, rel=0.1)
    assert np.trace(found.gradient) == pytest.approx(0, abs=1e-15)
    held = ~plan.simulated
    moved = (longer.r[-1, held] - plan.r[-1, held])[:, 0]
    wanted = 100 * (rate * (plan.r[-1, held, 1] - 90) + 0.1)
    assert np.abs(moved - wanted).max() < 0.1 * np.abs(wanted).max()


def test_a_long_steady_motion_is_the_exponential_of_its_gradient(monkeypatch: pytest.MonkeyPatch) -> None:
    """In every frame, over several of the stretches in which it is worked out, without an exponential for each frame."""
    asked: list[np.ndarray] = []

    def counted(matrix: np.ndarray) -> np.ndarray:
        asked.append(matrix)
        return np.asarray(expm(matrix))

    monkeypatch.setattr(continuation, "expm", counted)
    rate = 0.002
    state = film(lambda r, t: np.column_stack([rate * (r[:, 1] - 90), -rate * (r[:, 0] - 90)]) + [0.1, 0.0])
    plan = last_frames(state)
    longer, found = prolong(plan, state, 3 + 3000, CUTOFF)
    assert found.period is None and len(asked) < 300
    held = np.flatnonzero(~plan.simulated)
    flow = np.zeros((3, 3))
    flow[:2, :2], flow[:2, 2] = found.gradient, found.velocity
    start = np.column_stack([plan.r[-1, held] - found.centre, np.ones(len(held))])
    for t in (1, 255, 256, 257, 512, 513, 3000):
        moved = start @ expm(flow * t).T
        assert np.allclose(longer.r[2 + t, held] - found.centre, moved[:, :2], rtol=0, atol=1e-8)
        assert np.allclose(longer.v[2 + t, held], (moved @ flow.T)[:, :2], rtol=0, atol=1e-10)


def test_more_frames_than_memory_are_refused_in_a_sentence() -> None:
    state = film(near_the_top)
    plan = last_frames(state)
    with pytest.raises(UsageError, match=r"1000000000 frames .* GiB of memory.*at most \d+ --frames"):
        prolong(plan, state, 10**9, CUTOFF)


def test_without_period_or_flow_the_boundary_rests() -> None:
    state = film(lambda r, t: np.zeros_like(r))
    plan = last_frames(state)
    longer, found = prolong(plan, state, 30, CUTOFF)
    held = ~plan.simulated
    assert found.period is None and not found.steady and "rest" in str(found)
    assert np.array_equal(longer.r[3:, held], np.broadcast_to(plan.r[-1, held], longer.r[3:, held].shape))
    assert np.all(longer.v[3:, held] == 0)


def test_who_has_left_stays_away() -> None:
    state = film(near_the_top)
    plan = last_frames(state)
    gone = int(np.flatnonzero(~plan.simulated)[0])
    plan.S[-1, gone] = plan.r[-1, gone] = plan.v[-1, gone] = np.nan
    longer, _ = prolong(plan, state, 20, CUTOFF)
    assert np.isnan(longer.S[2:, gone]).all() and np.isnan(longer.r[2:, gone]).all()


def test_a_boundary_without_particles_rests() -> None:
    found = continue_boundary(film(near_the_top).assign(boundary=False))
    assert found.period is None and not found.steady
