"""Steps in parts and draws that are taken back, in torch and compiled: the time they take, and what a bad draw leaves."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
import torch
from driven_gas import held_gas
from small_gas import CUTOFF, TEMPERATURE, VOLUME, isothermal_gas, thermal_gas
from torch import Tensor

from colloidlab.errors import RolloutStopped
from colloidlab.model import brackets
from colloidlab.model.energy import Isothermal
from colloidlab.model.laws import Laws
from colloidlab.model.pairs import Pairs
from colloidlab.model.tabulated import ranges_around, tabulate
from colloidlab.rollout.compiled import CompiledMotion, CompiledStep
from colloidlab.rollout.driven import roll_out
from colloidlab.rollout.free_motion import FreeMotion
from colloidlab.rollout.integrators import conserving, dissipation
from colloidlab.rollout.integrators.conserving import NoDraw
from colloidlab.rollout.motion import Motion, Moved
from colloidlab.rollout.neighbours import Neighbours
from colloidlab.rollout.noise import CounterNoise
from colloidlab.rollout.state import State

BOTH = pytest.mark.parametrize("make", [FreeMotion, CompiledMotion])
N, DT_OF_BAD_DRAWS = 25, 0.5


@dataclass
class Systems:
    """Many independent systems of a few particles each, in tables, so that both implementations can move them."""

    laws: Laws
    state: State
    member: Tensor

    def motion(self, make: type[FreeMotion | CompiledMotion]) -> Motion:
        neighbours = Neighbours(CUTOFF, torch.ones_like(self.state.S), member=self.member.numpy())
        identity = torch.arange(len(self.member))
        options: Any = {"member": self.member, "simulated": torch.ones_like(self.state.S, dtype=torch.bool)}
        noise = CounterNoise(identity, 7 + self.member)
        motion: Any = make(self.laws, neighbours, noise, "conserving", **options)
        motion.place(self.state, 0.0)
        return motion

    def volume(self) -> Tensor:
        neighbours = Neighbours(CUTOFF, torch.ones_like(self.state.S), member=self.member.numpy())
        return brackets.mechanics(self.laws, neighbours.pairs(self.state.r), self.state.S).volume


def around(r: Tensor) -> Pairs:
    return Neighbours(CUTOFF, torch.ones_like(r[:, 0])).pairs(r)


def pairs_of(
    laws: Laws, count: int, *, speed: float, T: tuple[float, float], distance: float = 10.0
) -> Systems:
    """Pairs of particles a distance apart that approach each other side by side at a speed, and have temperatures."""
    r = torch.tensor([[0.0, 0.0], [distance, 0.0]], dtype=torch.float64).repeat(count, 1)
    v = 0.5 * speed * torch.tensor([[1.0, 1.0], [-1.0, -1.0]], dtype=torch.float64).repeat(count, 1)
    member = torch.arange(count).repeat_interleave(2)
    V = brackets.mechanics(laws, around(r[:2]), torch.zeros(2, dtype=torch.float64)).volume
    S = torch.zeros(2, dtype=torch.float64)
    if not isinstance(laws.energy, Isothermal):
        S = torch.as_tensor(laws.energy.entropy(torch.tensor(T, dtype=torch.float64), V))
    S = S.repeat(count)
    tables = tabulate(laws, ranges_around(laws, S, V.repeat(count)))
    return Systems(tables, State(r, v, S), member)


def relative(moved: Moved) -> Tensor:
    """Relative velocity of every pair, shape (count, 2)."""
    v = moved.state.v.reshape(-1, 2, 2)
    return v[:, 0] - v[:, 1]


@BOTH
def test_a_divided_step_damps_for_all_of_its_time(
    make: type[FreeMotion | CompiledMotion], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A mean relative velocity decays exponentially, at a rate of 2 Gamma/m along and across the pair."""
    monkeypatch.setattr(dissipation, "DECAY", 0.025)
    # So stiff that nothing moves in the time of the decay, and so fast that the noise does not matter.
    laws, dt = isothermal_gas(friction=3e4), 6e-5
    system = pairs_of(laws, 50, speed=300.0, T=(TEMPERATURE, TEMPERATURE))
    ev = brackets.evaluate(laws, around(system.state.r[:2]), system.state.S[:2])
    rates = 2 * torch.cat([ev.g_par, ev.g_perp]) / laws.mass
    assert 0.3 < float(rates.min()) * dt < float(rates.max()) * dt < 3
    moved = system.motion(make).step(dt, 0)
    assert moved.given.parts >= 10
    found = relative(moved).mean(0) / 300.0
    assert torch.allclose(found, torch.exp(-rates * dt), rtol=0.02)


@BOTH
def test_a_divided_step_passes_heat_for_all_of_its_time(
    make: type[FreeMotion | CompiledMotion], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As much in one step of many parts as in many short steps that are not divided."""
    laws, dt = thermal_gas(heat_capacity=4000.0, friction=1e-9, conduction=4e3), 2e-4
    system = pairs_of(laws, 200, speed=0.0, T=(1.5 * TEMPERATURE, 0.75 * TEMPERATURE))
    volume = system.volume()

    def passed(moved: Moved) -> Tensor:
        before = laws.energy(system.state.S, volume).U
        gained = (laws.energy(moved.state.S, volume).U - before).reshape(-1, 2)
        return gained[:, 1].mean() / (4000.0 * TEMPERATURE)

    short = system.motion(make)
    for n in range(100):
        done = short.step(dt / 100, n)
        assert done.given.parts == 1
    monkeypatch.setattr(dissipation, "CONDUCTION", 0.02)
    once = system.motion(make).step(dt, 0)
    assert once.given.parts >= 10
    # Of the 0.375 that would make both equal; the draws of so many pairs leave less than a hundredth.
    assert 0.1 < float(passed(done)) < 0.3
    assert float(passed(once)) == pytest.approx(float(passed(done)), rel=0.04)


# ---- draws that are taken back --------------------------------------------------------------


def little_heat(members: int, *, conduction: float = 0.004) -> Systems:
    """Crowds of particles whose heat capacity is hardly more than k_B: a step that is not divided takes all they have."""
    laws = thermal_gas(heat_capacity=2.0, conduction=conduction)
    rng = np.random.default_rng(2)
    r = torch.as_tensor(rng.uniform(0, 60, (members * N, 2)))
    v = torch.as_tensor(rng.normal(0, math.sqrt(TEMPERATURE), (members * N, 2)))
    S = torch.as_tensor(
        laws.energy.entropy(torch.full((len(r),), TEMPERATURE), torch.full((len(r),), VOLUME))
    )
    S = S.to(torch.float64)
    member = torch.arange(members).repeat_interleave(N)
    V = torch.tensor([0.2 * VOLUME] + [1.0] * (len(r) - 1)).double()
    tables = tabulate(laws, ranges_around(laws, S, V, 20.0))
    return Systems(tables, State(r, v, S), member)


@pytest.fixture
def attempts(monkeypatch: pytest.MonkeyPatch) -> list[tuple[np.ndarray, np.ndarray]]:
    """Number of the attempt of every particle and the entropies that it led to, of every draw of either implementation."""
    found: list[tuple[np.ndarray, np.ndarray]] = []
    numbers, dissipate, exchange = CounterNoise.pair_numbers, conserving.dissipate, CompiledStep._exchange
    drawn: list[np.ndarray] = []

    def noted(self: CounterNoise, pairs: Any, moment: Any, *rest: Any) -> Any:
        drawn.append(moment.attempt.numpy().copy())
        return numbers(self, pairs, moment, *rest)

    def in_torch(*arguments: Any, **options: Any) -> Any:
        done = dissipate(*arguments, **options)
        found.append((drawn[-1], done.S.numpy().copy()))
        return done

    def compiled(self: Any, v: Any, S: Any, time: Any, attempt: np.ndarray, *rest: Any) -> Any:
        done = exchange(self, v, S, time, attempt, *rest)
        found.append((attempt.copy(), done[1].copy()))
        return done

    monkeypatch.setattr(CounterNoise, "pair_numbers", noted)
    monkeypatch.setattr(conserving, "dissipate", in_torch)
    monkeypatch.setattr(CompiledStep, "_exchange", compiled)
    monkeypatch.setattr(conserving, "MOST_PARTS", 1)
    return found


@BOTH
def test_a_bad_draw_is_taken_back_for_another(
    make: type[FreeMotion | CompiledMotion], attempts: list[tuple[np.ndarray, np.ndarray]]
) -> None:
    system = little_heat(6)
    before, motion = system.state.S.numpy(), system.motion(make)
    moved = motion.step(DT_OF_BAD_DRAWS, 0)
    tried = np.stack([number for number, _ in attempts]).reshape(-1, 6, N)
    reached = np.stack([S for _, S in attempts]).reshape(-1, 6, N)
    assert 1 < len(tried) < conserving.MOST_ATTEMPTS
    fell = ~np.isfinite(reached) | ((reached - before.reshape(6, N)) / 2.0 < -dissipation.LARGEST_FALL)
    assert fell[0].any() and not fell[-1].any()
    # Whoever fell is drawn again with all that it met, in other numbers; the other systems keep theirs.
    for k in range(len(tried) - 1):
        again = fell[k].any(1)
        assert np.array_equal(tried[k + 1], tried[k] + again[:, None])
        different = (reached[k + 1] != reached[k]).any(1)
        assert np.array_equal(different, again)
    assert np.array_equal(moved.state.S.numpy(), reached[-1].ravel())
    assert bool(torch.isfinite(moved.state.S).all())


@BOTH
def test_where_no_draw_will_do_the_step_is_refused(
    make: type[FreeMotion | CompiledMotion], attempts: list[tuple[np.ndarray, np.ndarray]]
) -> None:
    motion = little_heat(1, conduction=40.0).motion(make)
    with pytest.raises(NoDraw, match=r"particle \d+ .* each of 20 draws") as caught:
        motion.step(DT_OF_BAD_DRAWS, 0)
    assert len(attempts) == conserving.MOST_ATTEMPTS
    assert caught.value.failed.shape == (N,) and bool(caught.value.failed.any())


@pytest.mark.parametrize("tables", [False, True])
def test_a_rollout_without_a_draw_says_who_and_why(tables: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conserving, "MOST_PARTS", 1)
    plan = held_gas()
    plan = replace(plan, particles=100 + plan.particles)
    hungry = thermal_gas(heat_capacity=2.0, conduction=30.0)
    T = torch.full(plan.S.shape, TEMPERATURE, dtype=torch.float64)
    S = np.asarray(hungry.energy.entropy(T, torch.full_like(T, VOLUME)))
    plan = replace(plan, S=np.where(np.isfinite(plan.S), S, np.nan))
    frames = roll_out(hungry, plan, seeds=[1], steps_per_frame=4, tables=tables)
    next(frames)
    with pytest.raises(RolloutStopped, match=r"no draw of the noise .* step 1 of 4 before frame 1") as caught:
        next(frames)
    said = str(caught.value)
    row = int(said.split("particle ")[1].split(";")[0]) - 100
    assert plan.simulated[row] and "raise steps_per_frame" in said
