"""Driven rollouts: who is simulated, where the others go, books that close, and noise that is a member's own."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from driven_gas import N_FRAMES, true_state, watched_plan, watched_recording
from small_gas import thermal_gas

from colloidlab.dataset.recording import Recording
from colloidlab.errors import ColloidlabError, InputError
from colloidlab.model import brackets
from colloidlab.model.laws import Laws
from colloidlab.pipeline.simulate import _notes
from colloidlab.rollout import driven
from colloidlab.rollout.boundary import Plan, plan_rollout
from colloidlab.rollout.driven import RolloutFrame, roll_out, stable_steps_per_frame
from colloidlab.rollout.integrators import Integrator
from colloidlab.rollout.neighbours import Neighbours
from colloidlab.rollout.prescription import between, planned


@pytest.fixture(scope="module")
def laws() -> Laws:
    return thermal_gas()


@pytest.fixture(scope="module")
def recording() -> Recording:
    return watched_recording()


@pytest.fixture(scope="module")
def state() -> pd.DataFrame:
    return true_state()


@pytest.fixture(scope="module")
def plan() -> Plan:
    return watched_plan()


@pytest.fixture(scope="module")
def ensemble(laws: Laws, plan: Plan) -> list[RolloutFrame]:
    return list(roll_out(laws, plan, seeds=[3, 4, 5], steps_per_frame=6))


# ---- the plan -------------------------------------------------------------------------------


def test_the_interior_is_simulated_and_the_rest_follows_its_tracks(plan: Plan, state: pd.DataFrame) -> None:
    start = state[state["frame"] == 2]
    inner = start.loc[~start["boundary"], "particle"]
    assert len(inner) > 30
    assert np.array_equal(plan.particles[plan.simulated], np.sort(inner))
    for k in range(plan.n_frames):
        now = state[state["frame"] == 2 + k].set_index("particle")
        for p in np.flatnonzero(~plan.simulated):
            if plan.particles[p] in now.index:
                row = now.loc[plan.particles[p]]
                assert np.array_equal(plan.r[k, p], [row["x"], row["y"]])
                assert np.array_equal(plan.v[k, p], [row["vx_px"], row["vy_px"]])
                assert plan.S[k, p] == row["entropy"]
            else:
                assert np.isnan(plan.S[k, p]) and np.isnan(plan.r[k, p]).all()
    # The law, not the experiment, says where a simulated particle goes.
    assert np.isfinite(plan.r[0, plan.simulated]).all()
    assert np.isnan(plan.r[1:, plan.simulated]).all()


def test_particles_enter_at_the_edge_but_not_in_the_interior(
    recording: Recording, state: pd.DataFrame
) -> None:
    late = state["frame"] >= 5
    inner = state.loc[(state["frame"] == 5) & ~state["boundary"], "particle"].iloc[0]
    outer = state.loc[(state["frame"] == 5) & state["boundary"], "particle"].iloc[0]
    changed = state[late | ~state["particle"].isin([inner, outer])]
    plan = plan_rollout(recording, changed, 2, N_FRAMES - 2)
    assert inner not in plan.particles
    assert outer in plan.particles
    assert np.isnan(plan.S[:3, plan.particles == outer]).all()
    assert np.isfinite(plan.S[3, plan.particles == outer]).all()


@pytest.mark.parametrize(("first", "n"), [(-1, 5), (0, N_FRAMES + 1), (N_FRAMES - 1, 2), (3, 1)])
def test_frames_outside_the_recording_are_refused(
    recording: Recording, state: pd.DataFrame, first: int, n: int
) -> None:
    with pytest.raises(InputError, match="does not fit"):
        plan_rollout(recording, state, first, n)


def test_an_empty_interior_is_refused(recording: Recording, state: pd.DataFrame) -> None:
    with pytest.raises(InputError, match="two cutoffs"):
        plan_rollout(recording, state.assign(boundary=True), 2, 5)


def small_plan(r: np.ndarray, v: np.ndarray, S: np.ndarray) -> Plan:
    n = r.shape[1]
    return Plan(0, np.arange(n), np.zeros(n, dtype=bool), r, v, S, np.ones(n))


def path(plan: Plan, fraction: float) -> list[np.ndarray]:
    """Positions, velocities and entropies between frames 0 and 1."""
    return [part.numpy() for part in vars(between(planned(plan, 0), planned(plan, 1), fraction)).values()]


def test_motion_between_frames_is_exact_for_cubics() -> None:
    rng = np.random.default_rng(0)
    a = rng.normal(size=(4, 6, 2))

    def at(t: float) -> tuple[np.ndarray, np.ndarray]:
        return a[0] + a[1] * t + a[2] * t**2 + a[3] * t**3, a[1] + 2 * a[2] * t + 3 * a[3] * t**2

    S = rng.normal(size=(2, 6))
    plan = small_plan(np.stack([at(0)[0], at(1)[0]]), np.stack([at(0)[1], at(1)[1]]), S)
    for s in (0.1, 0.5, 0.9, 1.0):
        r, v, entropy = path(plan, s)
        assert np.allclose(r, at(s)[0], rtol=0, atol=1e-13)
        assert np.allclose(v, at(s)[1], rtol=0, atol=1e-13)
        assert np.allclose(entropy, (1 - s) * S[0] + s * S[1], rtol=0, atol=1e-14)


def test_entering_and_leaving_particles() -> None:
    nan = np.nan
    r = np.array([[[0.0, 0], [nan, nan]], [[nan, nan], [5.0, 5]]])
    v = np.array([[[1.0, 2], [nan, nan]], [[nan, nan], [1.0, 1]]])
    S = np.array([[0.5, nan], [nan, 0.7]])
    plan = small_plan(r, v, S)
    where, speed, entropy = path(plan, 0.5)
    assert np.array_equal(where[0], [0.5, 1.0]) and np.array_equal(speed[0], [1, 2]) and entropy[0] == 0.5
    assert np.isnan(where[1]).all() and np.isnan(entropy[1])
    where, _, entropy = path(plan, 1.0)
    assert np.isnan(where[0]).all() and np.isnan(entropy[0])
    assert np.array_equal(where[1], [5, 5]) and entropy[1] == 0.7


# ---- the rollout ----------------------------------------------------------------------------


def test_the_recording_has_traffic_at_its_edge(plan: Plan) -> None:
    """Otherwise the tests below would say nothing about entering and leaving."""
    there = np.isfinite(plan.S[:, ~plan.simulated])
    assert (~there[0] & there[-1]).any()
    assert (there[0] & ~there[-1]).any()


def test_prescribed_particles_are_where_the_plan_says(plan: Plan, ensemble: list[RolloutFrame]) -> None:
    held = ~plan.simulated
    for k, frame in enumerate(ensemble):
        for m in range(3):
            assert np.array_equal(frame.r[m, held], plan.r[k, held], equal_nan=True)
            assert np.array_equal(frame.v[m, held], plan.v[k, held], equal_nan=True)
            assert np.array_equal(frame.S[m, held], plan.S[k, held], equal_nan=True)
            assert np.array_equal(np.isfinite(frame.T[m, held]), np.isfinite(plan.S[k, held]))
            assert np.isfinite(frame.r[m, plan.simulated]).all()


def test_books_close(ensemble: list[RolloutFrame]) -> None:
    for before, after in itertools.pairwise(ensemble):
        a, b = before.budget, after.budget
        scale = np.abs(a.energy).max()
        assert np.abs(b.energy - a.energy - b.work - b.heat - b.energy_drift).max() < 1e-10 * scale
        scale = np.abs(a.momentum).max()
        assert np.abs(b.momentum - a.momentum - b.impulse - b.momentum_drift).max() < 1e-10 * scale
        # Every entry is a real one: the boundary does work, carries heat and momentum, the integrator makes energy.
        for part in (b.work, b.heat, b.energy_drift, b.impulse):
            assert np.all(part != 0)


def test_books_hold_the_energy_and_momentum_of_the_frame(
    laws: Laws, plan: Plan, ensemble: list[RolloutFrame]
) -> None:
    """Energy and momentum from the stored frame alone, with a neighbour search of its own."""
    for frame in (ensemble[0], ensemble[-1]):
        for m in range(3):
            there = np.isfinite(frame.S[m])
            r, v, S = (torch.as_tensor(x[m][there]) for x in (frame.r, frame.v, frame.S))
            pairs = Neighbours(laws.cutoff, torch.as_tensor(plan.scale[there])).pairs(r)
            kinetic, internal = brackets.total_energy(laws, brackets.evaluate(laws, pairs, S), v)
            assert frame.budget.energy[m] == pytest.approx(float((kinetic + internal).sum()), rel=1e-12)
            assert np.allclose(frame.budget.momentum[m], v.sum(0), rtol=1e-11, atol=1e-11)


def test_the_integrator_keeps_momentum(ensemble: list[RolloutFrame]) -> None:
    for frame in ensemble:
        assert np.abs(frame.budget.momentum_drift).max() < 1e-11


def test_same_seed_same_bits(laws: Laws, plan: Plan, ensemble: list[RolloutFrame]) -> None:
    again = list(roll_out(laws, plan, seeds=[3, 4, 5], steps_per_frame=6))
    for one, two in zip(ensemble, again, strict=True):
        for name in ("r", "v", "S", "T"):
            assert np.array_equal(getattr(one, name), getattr(two, name), equal_nan=True), name


def test_other_seeds_go_other_ways(ensemble: list[RolloutFrame], plan: Plan) -> None:
    last = ensemble[-1].r[:, plan.simulated]
    # After ten frames noise of order T^(1/2) each frame has moved every particle by about a pixel.
    assert np.sqrt(np.mean((last[0] - last[1]) ** 2)) > 0.1


@pytest.mark.parametrize("member", [0, 2])
def test_a_member_is_the_single_run_with_its_seed(
    laws: Laws, plan: Plan, ensemble: list[RolloutFrame], member: int
) -> None:
    """The others of an ensemble must not change which noise a member draws."""
    alone = list(roll_out(laws, plan, seeds=[[3, 4, 5][member]], steps_per_frame=6))
    for one, many in zip(alone, ensemble, strict=True):
        # Sums over differently long lists may round differently; ten frames of chaos amplify that by less than 1e4.
        assert np.allclose(one.r[0], many.r[member], rtol=0, atol=1e-10, equal_nan=True)
        assert np.allclose(one.v[0], many.v[member], rtol=0, atol=1e-10, equal_nan=True)


def test_the_noise_does_not_depend_on_when_neighbours_were_searched(laws: Laws, plan: Plan) -> None:
    """A member's path must not depend on the list of pairs beyond the cutoff, which holds those of the skin."""
    frames = list(roll_out(laws, plan, seeds=[3], steps_per_frame=6))
    # A far fast particle of zero influence forces a search in every frame.
    r = np.concatenate([plan.r, np.full((plan.n_frames, 1, 2), 1e4)], axis=1)
    r[:, -1, 0] += 100.0 * np.arange(plan.n_frames)
    v = np.concatenate([plan.v, np.zeros((plan.n_frames, 1, 2))], axis=1)
    S = np.concatenate([plan.S, np.zeros((plan.n_frames, 1))], axis=1)
    crowded = Plan(
        plan.first,
        np.append(plan.particles, plan.particles.max() + 1),
        np.append(plan.simulated, False),
        r,
        v,
        S,
        np.append(plan.scale, 1.0),
    )
    for one, two in zip(frames, roll_out(laws, crowded, seeds=[3], steps_per_frame=6), strict=True):
        assert np.allclose(one.r[0], two.r[0, :-1], rtol=0, atol=1e-10, equal_nan=True)


def test_a_rollout_that_blows_up_says_where(laws: Laws, plan: Plan) -> None:
    v = plan.v.copy()
    bad = int(np.flatnonzero(plan.simulated)[5])
    v[0, bad] = np.nan
    frames = roll_out(laws, replace(plan, v=v), seeds=[1, 2], steps_per_frame=4)
    next(frames)
    with pytest.raises(ColloidlabError, match="non-finite") as caught:
        next(frames)
    assert f"frame {plan.first + 1}" in str(caught.value)
    assert "step 1 of 4" in str(caught.value) and f"particle {plan.particles[bad]}" in str(caught.value)
    assert "member 0" in str(caught.value) and "not finite from the start" in str(caught.value)


@pytest.mark.parametrize(("integrator", "share"), [("conserving", 0.3), ("euler_maruyama", 0.1)])
def test_steps_resolve_the_strongest_friction(plan: Plan, integrator: Integrator, share: float) -> None:
    gentle, stiff = (
        stable_steps_per_frame(thermal_gas(friction=f), plan, integrator=integrator) for f in (0.05, 2.0)
    )
    assert gentle < stiff
    # Drag is 2 a frame on average over particles, and more for the most crowded: at most that share of it a step.
    assert stiff >= 2 * 2.0 / share


def test_stiff_friction_needs_no_more_steps_where_it_is_solved_for(plan: Plan) -> None:
    gentle, stiff = (
        stable_steps_per_frame(thermal_gas(friction=f), plan, integrator="implicit") for f in (0.05, 20.0)
    )
    assert gentle == stiff


@pytest.mark.parametrize("integrator", ["implicit", "euler_maruyama"])
def test_every_integrator_rolls_out(laws: Laws, plan: Plan, integrator: Integrator) -> None:
    frames = list(roll_out(laws, plan, seeds=[3], steps_per_frame=6, integrator=integrator))
    assert all(np.isfinite(frame.r[0, plan.simulated]).all() for frame in frames)
    assert max(np.abs(frame.budget.momentum_drift).max() for frame in frames) < 1e-11


def test_a_free_rollout_keeps_its_temperature(laws: Laws, plan: Plan) -> None:
    """Started from the true state with the true law, velocities stay those of the particles' temperatures."""
    members = 24
    frames = list(roll_out(laws, plan, seeds=list(range(members)), steps_per_frame=6))
    inside = plan.simulated
    # By then friction, 0.3 a frame, has made the members forget the start that they share.
    late = frames[6:]
    speed2 = np.mean([f.v[:, inside] ** 2 for f in late])
    T = np.mean([f.T[:, inside] for f in late])
    # k_B (1 - k_B/c) / T is what the mean of v^2 inverts. One frame has a relative standard error of sqrt(2/count).
    error = (2 / (2 * members * inside.sum())) ** 0.5
    assert error < 0.05
    assert speed2 == pytest.approx(T / (1 - 1 / 20), rel=3 * error + 0.02)
    assert pytest.approx(np.mean(frames[0].T[:, inside]), rel=0.05) == T


# ---- gaps -----------------------------------------------------------------------------------


def test_prescribed_particles_are_carried_over_gaps(recording: Recording, state: pd.DataFrame) -> None:
    """Missing between two recorded frames, or at the very first one."""
    steady = state.groupby("particle")["frame"].transform("count") == N_FRAMES
    chosen = state.loc[steady & state.groupby("particle")["boundary"].transform("all"), "particle"].unique()[
        :2
    ]
    missing = (state["particle"] == chosen[0]) & state["frame"].isin([5, 6, 7])
    missing |= (state["particle"] == chosen[1]) & state["frame"].isin([1, 2])
    plan = plan_rollout(recording, state[~missing], 2, N_FRAMES - 2)
    for particle, first, last in ((chosen[0], 4, 8), (chosen[1], 0, 3)):
        rows = state[state["particle"] == particle].set_index("frame")
        one, other = rows.loc[first], rows.loc[last]
        own = int(np.flatnonzero(plan.particles == particle)[0])
        span = last - first
        for frame in range(max(first, 2), last + 1):
            s = (frame - first) / span
            r0, r1 = (x[["x", "y"]].to_numpy(dtype=float) for x in (one, other))
            v0, v1 = (span * x[["vx_px", "vy_px"]].to_numpy(dtype=float) for x in (one, other))
            hermite = (1 + 2 * s) * (1 - s) ** 2 * r0 + s * (1 - s) ** 2 * v0
            hermite = hermite + s**2 * (3 - 2 * s) * r1 - s**2 * (1 - s) * v1
            assert np.allclose(plan.r[frame - 2, own], hermite, rtol=0, atol=1e-11)
            assert plan.S[frame - 2, own] == pytest.approx((1 - s) * one["entropy"] + s * other["entropy"])
        # The velocity is that of the path, and the path goes through what was recorded.
        assert np.isfinite(plan.v[:, own]).all()
        assert np.array_equal(plan.r[last - 2, own], other[["x", "y"]].to_numpy(dtype=float))
    whole = plan_rollout(recording, state, 2, N_FRAMES - 2)
    assert np.array_equal(plan.particles, whole.particles)
    assert np.array_equal(plan.simulated, whole.simulated)


def test_more_steps_than_are_taken_are_known(plan: Plan) -> None:
    stiff = thermal_gas(friction=200.0)
    assert driven.needed_steps_per_frame(stiff, plan) > driven.MOST_STEPS
    assert stable_steps_per_frame(stiff, plan) == driven.MOST_STEPS
    facts = {"temperature_identified": True}
    assert "asks for 350" in _notes(350, 200, facts)[0] and not _notes(200, 200, facts)
    assert "isothermal" in _notes(4, 4, {"temperature_identified": False, "entropy": "filter"})[0]
    assert not _notes(4, 4, {"temperature_identified": False, "entropy": "isothermal"})
