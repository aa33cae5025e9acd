"""Starts drawn from the filter's belief: they scatter as the truth does, where its means scatter less."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
import torch
from small_gas import TEMPERATURE, VOLUME, record, simulate, thermal_gas, watch

from colloidlab.model.entropy import ScoreFilter
from colloidlab.model.filter import Filter
from colloidlab.model.held_out import follow
from colloidlab.model.sequence import WindowSource
from colloidlab.rollout.belief import Belief, draw_starts, follow_to
from colloidlab.rollout.boundary import Plan, Starts, plan_rollout
from colloidlab.rollout.driven import roll_out
from colloidlab.rollout.noise import member_seeds

N_FRAMES, START = 22, 18


@dataclass(frozen=True)
class Case:
    plan: Plan
    belief: Belief
    starts: Starts
    true_v: np.ndarray


@pytest.fixture(scope="module")
def case() -> Case:
    """Localisation errors as large as the thermal displacement, so that the filter is unsure of velocities."""
    laws = thermal_gas()
    motion = simulate(laws, n=300, n_frames=N_FRAMES, seed=8, steps=4)
    tracks = watch(motion, 0.3)
    recording = record(tracks, motion.box)
    S = float(laws.energy.entropy(*(torch.tensor([x], dtype=torch.float64) for x in (TEMPERATURE, VOLUME))))
    filter_ = Filter(laws, ScoreFilter(initial=S), TEMPERATURE)
    state = follow(filter_, WindowSource(recording, laws.cutoff)).state
    plan = plan_rollout(recording, state, START, 3)
    belief = follow_to(filter_, recording, [START])[START]
    now = tracks[tracks["frame"] == START].set_index("particle")
    true_v = motion.v[START, now.loc[plan.particles[plan.simulated], "body"]]
    return Case(plan, belief, draw_starts(plan, belief, member_seeds(400, 3)), true_v)


def test_starts_have_the_means_and_the_variances_of_the_belief(case: Case) -> None:
    rows, at = case.belief.known(case.plan)
    state, starts = case.belief.state, case.starts
    n = len(starts.S)
    for drawn, mean, blocks in (
        (starts.r, case.plan.r, state.rr),
        (starts.v, case.plan.v, state.vv),
    ):
        apart = drawn[:, rows] - mean[0, rows]
        variance = torch.diagonal(blocks, dim1=1, dim2=2).numpy()[at]
        assert np.abs(apart.mean(0)).max() < 6 * np.sqrt(variance.max() / n)
        assert np.mean(apart**2) == pytest.approx(variance.mean(), rel=0.02)
    cross = np.mean((starts.r[:, rows] - case.plan.r[0, rows]) * (starts.v[:, rows] - case.plan.v[0, rows]))
    assert cross == pytest.approx(
        float(torch.diagonal(state.rv, dim1=1, dim2=2).numpy()[at].mean()), rel=0.05
    )
    # <v^2> of the starts is that of the means and the variance of the belief; ln T = S/c at constant volume.
    means, sure = (case.plan.v[0, rows] ** 2).mean(), torch.diagonal(state.vv, dim1=1, dim2=2).numpy()[at]
    assert np.mean(starts.v[:, rows] ** 2) == pytest.approx(means + sure.mean(), rel=0.01)
    ln_T = (starts.S[:, rows] - case.plan.S[0, rows]) * case.belief.inv_c.numpy()[at]
    assert np.mean(ln_T**2) == pytest.approx(float(state.variance.numpy()[at].mean()), rel=0.02)
    assert state.variance.numpy()[at].mean() > 0.01


def test_starts_are_as_hot_as_the_truth_and_means_are_not(case: Case) -> None:
    rows, _ = case.belief.known(case.plan)
    true = np.mean(case.true_v**2)
    error = true * np.sqrt(2 / case.true_v.size)
    assert np.mean(case.plan.v[0, rows] ** 2) < true - 2 * error
    assert abs(np.mean(case.starts.v[:, rows] ** 2) - true) < 2.5 * error


def test_a_start_is_a_members_own_and_the_prescribed_have_none(case: Case) -> None:
    again = draw_starts(case.plan, case.belief, member_seeds(2, 3))
    for name in ("r", "v", "S"):
        one, two = getattr(again, name), getattr(case.starts, name)
        assert np.array_equal(one, two[:2], equal_nan=True)
        held = getattr(case.plan, name)[0]
        assert np.array_equal(one[:, ~case.plan.simulated], [held[~case.plan.simulated]] * 2, equal_nan=True)
        assert not np.array_equal(one[0], one[1], equal_nan=True)
    frames = roll_out(thermal_gas(), case.plan, seeds=member_seeds(2, 3), starts=again, steps_per_frame=4)
    first = next(frames)
    assert np.array_equal(first.v, again.v, equal_nan=True) and np.array_equal(
        first.S, again.S, equal_nan=True
    )


def test_replicates_share_no_member() -> None:
    seeds = [seed for k in range(50) for seed in member_seeds(6, k)]
    seeds += member_seeds(6, 5, 0) + member_seeds(6, 5, 1)
    assert len(set(seeds)) == len(seeds) and min(seeds) >= 0 and max(seeds) < 2**63
    # The noise takes both words of a seed.
    assert len({seed & 0xFFFFFFFF for seed in seeds}) == len(seeds)
