"""Driven rollouts that are taken up again, run in single precision, or stop and say why; and books to round-off."""

from __future__ import annotations

import copy
import itertools
import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from driven_gas import held_gas, sheared_gas, watched_plan
from small_gas import TEMPERATURE, VOLUME, thermal_gas

from colloidlab.errors import RolloutStopped
from colloidlab.model import brackets
from colloidlab.model.energy import SumOfExponentials
from colloidlab.model.laws import Laws
from colloidlab.rollout import driven
from colloidlab.rollout.boundary import Plan
from colloidlab.rollout.diagnosis import likely_cause
from colloidlab.rollout.driven import Resume, RolloutFrame, roll_out
from colloidlab.rollout.integrators import Integrator
from colloidlab.rollout.neighbours import Neighbours
from colloidlab.rollout.prescription import Prescription
from colloidlab.rollout.state import State


@pytest.fixture(scope="module")
def laws() -> Laws:
    return thermal_gas()


@pytest.fixture(scope="module")
def plan() -> Plan:
    return watched_plan()


@pytest.fixture(scope="module")
def ensemble(laws: Laws, plan: Plan) -> list[RolloutFrame]:
    return list(roll_out(laws, plan, seeds=[3, 4, 5], steps_per_frame=6))


@pytest.mark.parametrize(
    ("integrator", "tables"),
    [("conserving", True), ("conserving", False), ("implicit", False), ("euler_maruyama", False)],
)
def test_a_rollout_taken_up_has_the_bits_of_a_whole_one(
    integrator: Integrator, tables: bool, laws: Laws, plan: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(driven, "FRAMES_A_STRETCH", 4)

    def rolled(resume: Resume | None = None) -> list[RolloutFrame]:
        return list(
            roll_out(
                laws,
                plan,
                seeds=[3, 4],
                steps_per_frame=2,
                integrator=integrator,
                tables=tables,
                resume=resume,
            )
        )

    whole = rolled()
    for last in (3, 7):
        assert_same_bits(whole, last, rolled(Resume(last, whole[last].r, whole[last].v, whole[last].S)))


def assert_same_bits(whole: list[RolloutFrame], last: int, rest: list[RolloutFrame]) -> None:
    assert len(rest) == len(whole) - last - 1
    for one, two in zip(whole[last + 1 :], rest, strict=True):
        for name in ("r", "v", "S", "T"):
            assert np.array_equal(getattr(one, name), getattr(two, name), equal_nan=True), name
        for name, value in vars(one.budget).items():
            assert np.array_equal(value, getattr(two.budget, name)), name


@pytest.mark.parametrize(
    ("integrator", "tables"), [("conserving", True), ("conserving", False), ("implicit", False)]
)
def test_a_sheared_rollout_taken_up_has_the_bits_of_a_whole_one(
    integrator: Integrator, tables: bool, laws: Laws, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The images are where they were; in frames of three steps, whose length is no binary number."""
    monkeypatch.setattr(driven, "FRAMES_A_STRETCH", 4)
    plan = sheared_gas(12)

    def rolled(resume: Resume | None = None) -> list[RolloutFrame]:
        return list(
            roll_out(
                laws,
                plan,
                seeds=[3, 4],
                steps_per_frame=3,
                integrator=integrator,
                tables=tables,
                resume=resume,
            )
        )

    whole = rolled()
    for last in (3, 7):
        assert_same_bits(whole, last, rolled(Resume(last, whole[last].r, whole[last].v, whole[last].S)))
    # Images work on the gas, and the books say so.
    made = np.abs([f.budget.energy_drift for f in whole[1:]]).sum(0)
    assert np.all(np.abs([f.budget.work for f in whole[1:]]).sum(0) > 100 * made)


def test_the_cause_is_sought_where_the_images_are(laws: Laws, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a rollout that stops in its last frame, the pairs that are looked at are those of that time."""
    asked: list[float] = []
    pairs = Neighbours.pairs

    def listening(self: Neighbours, r: torch.Tensor, t: float = 0.0) -> object:
        asked.append(t)
        return pairs(self, r, t)

    plan, frames = sheared_gas(4), 0
    with pytest.raises(RolloutStopped):
        for _ in roll_out(laws, plan, seeds=[1], steps_per_frame=2):
            frames += 1
            if frames == 3:
                monkeypatch.setattr(
                    driven, "lost", lambda laws, state, dt: torch.ones_like(state.S, dtype=torch.bool)
                )
                monkeypatch.setattr(Neighbours, "pairs", listening)
    assert asked == [2.0]


def test_other_members_change_no_path_where_friction_is_stiff() -> None:
    """Conjugate gradients of a member that takes few rounds stand still until the others are solved."""
    laws = thermal_gas(friction=30.0)
    alone, among = (
        list(roll_out(laws, held_gas(3), seeds=seeds, steps_per_frame=4, integrator="implicit", tables=False))
        for seeds in ([7], [7, 8, 9, 10])
    )
    for one, many in zip(alone, among, strict=True):
        for name in ("r", "v", "S"):
            found, expected = getattr(many, name)[0], getattr(one, name)[0]
            # The same bits here; with one stop for all they would part by 1e-10.
            assert np.allclose(found, expected, rtol=0, atol=1e-12, equal_nan=True), name


@pytest.mark.parametrize("kind", [held_gas, sheared_gas])
def test_tables_and_the_laws_themselves_are_one_rollout(kind: Callable[[int], Plan], laws: Laws) -> None:
    """Positions, velocities, temperatures and the books of two members over eight frames."""
    with_tables, without = (
        list(roll_out(laws, kind(8), seeds=[1, 2], steps_per_frame=4, tables=tables))
        for tables in (True, False)
    )
    assert driven.uses_tables(laws, "conserving", True)
    for one, other in zip(with_tables, without, strict=True):
        assert one.table_misses == 0
        for name in ("r", "v", "S", "T"):
            found, expected = getattr(one, name), getattr(other, name)
            assert np.allclose(found, expected, rtol=0, atol=1e-8, equal_nan=True), name
        for name, value in vars(one.budget).items():
            assert np.allclose(value, getattr(other.budget, name), rtol=0, atol=1e-8), name
    moved = np.nanmax(np.abs(without[-1].r[:, 40:] - without[0].r[:, 40:]))
    assert moved > 1.0 and np.nanmax(np.abs(without[-1].r[0] - without[-1].r[1])) > 0.1


def test_single_precision_gives_the_same_motion_and_says_what_it_loses(
    laws: Laws, plan: Plan, ensemble: list[RolloutFrame]
) -> None:
    single = copy.deepcopy(laws).to(torch.float32)
    frames = list(roll_out(single, plan, seeds=[3, 4, 5], steps_per_frame=6))
    assert frames[0].r.dtype == np.float32 and frames[0].budget.energy.dtype == np.float64
    inside = plan.simulated
    # Numbers are the same, so that paths part by round-off alone; ten frames are too few for chaos to amplify it.
    assert np.abs(frames[-1].r[:, inside] - ensemble[-1].r[:, inside]).max() < 0.02
    kinetic = [np.mean([np.mean(f.v[:, inside] ** 2) for f in run]) for run in (frames, ensemble)]
    assert kinetic[0] == pytest.approx(kinetic[1], rel=1e-3)
    lost = [float(np.abs(f.budget.momentum_drift).max()) for f in frames]
    assert 1e-9 < max(lost) < 1e-4
    for before, after in itertools.pairwise(frames):
        a, b = before.budget, after.budget
        # The books add up in double precision, whatever the integrator has lost.
        assert (
            np.abs(b.energy - a.energy - b.work - b.heat - b.energy_drift).max()
            < 1e-10 * np.abs(a.energy).max()
        )


def test_stiff_steps_are_named_as_the_cause(plan: Plan) -> None:
    """Friction of 400 a frame in one explicit step."""
    stiff = thermal_gas(friction=400.0)
    with pytest.raises(RolloutStopped) as caught:
        list(roll_out(stiff, plan, seeds=[1], steps_per_frame=1, integrator="euler_maruyama"))
    text = str(caught.value)
    assert "too long for its friction" in text and "raise steps_per_frame" in text
    assert "ran away in step 1 of 1 before frame 3" in text, "stopped before the numbers are none"


def test_causes_are_told_from_the_last_good_state(laws: Laws, plan: Plan) -> None:
    everyone = Prescription(plan, 1, torch.zeros((), dtype=torch.float64))
    own = int(np.flatnonzero(plan.simulated)[5])

    def cause(state: State, dt: float = 0.01) -> str:
        pairs = Neighbours(laws.cutoff, everyone.scale).pairs(state.r)
        return likely_cause(laws, state, brackets.evaluate(laws, pairs, state.S), own, dt)

    start = everyone.start()
    assert "nothing in its last state is unusual" in cause(start)
    S = start.S.clone()
    S[own] += 80.0
    assert "temperature" in cause(replace(start, S=S)) and "out of range" not in cause(start)
    r = start.r.clone()
    r[own] = r[own - 1] + 0.01
    assert "overlaps" in cause(replace(start, r=r))
    r[own] = 1e5
    assert "left" in cause(replace(start, r=r))
    v = start.v.clone()
    v[own] = torch.nan
    assert "not finite from the start" in cause(replace(start, v=v))


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize(
    ("integrator", "tables"), [("conserving", True), ("conserving", False), ("implicit", False)]
)
def test_without_forces_work_and_heat_are_all_that_changes_the_energy(
    integrator: Integrator, tables: bool, dtype: torch.dtype
) -> None:
    """Friction, noise and conduction with walls that move, warm up, come in and go out: no integrator's error is left."""
    laws = thermal_gas(heat_capacity=5.0)
    c = 5.0
    laws.energy = SumOfExponentials([math.log(c * TEMPERATURE)], [c], [1e-13], [], [], VOLUME).requires_grad_(
        False
    )
    plan = held_gas(6)
    S = laws.energy.entropy(torch.full((64,), TEMPERATURE, dtype=torch.float64), torch.ones(64)).numpy()
    warmer = np.where(np.isfinite(plan.S), S + 0.3 * np.arange(6)[:, None], np.nan)
    frames = list(
        roll_out(
            laws.to(dtype),
            replace(plan, S=warmer),
            seeds=[1, 2],
            steps_per_frame=6,
            integrator=integrator,
            tables=tables,
        )
    )
    loss = 1e-13 if dtype == torch.float64 else 3e-7
    change = frames[-1].budget.energy - frames[0].budget.energy
    work, heat, drift = (
        sum(getattr(f.budget, name) for f in frames[1:]) for name in ("work", "heat", "energy_drift")
    )
    energy = frames[0].budget.energy
    assert np.all(np.abs(drift) < 30 * loss * energy)
    assert np.all(np.abs(change - work - heat) < 30 * loss * energy)
    # Nothing of this is zero: walls warm the gas, and two of their particles come and go.
    assert np.all(heat > 1) and np.all(np.abs(work) > 1e-2)
    for frame in frames[1:]:
        assert np.abs(frame.budget.momentum_drift).max() < 30 * loss * 64
