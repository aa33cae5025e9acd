"""Steps that run ahead of the host: what they look at, on a device that has no numbers, and the same trajectories."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from driven_gas import held_gas
from side_by_side import DT, LAWS, N, System
from small_gas import CUTOFF, thermal_gas
from torch import Tensor
from waits import Waits

from colloidlab.model import brackets
from colloidlab.model.ahead import Ahead
from colloidlab.model.pairs import Pairs, pair_geometry
from colloidlab.model.species import count_species
from colloidlab.model.tabulated import TabulatedEnergy
from colloidlab.rollout import driven, free_motion
from colloidlab.rollout.driven import RolloutFrame, roll_out
from colloidlab.rollout.forcing import UniformForce
from colloidlab.rollout.free_motion import FreeMotion
from colloidlab.rollout.integrators import Integrator, conserving
from colloidlab.rollout.neighbours import Neighbours
from colloidlab.rollout.noise import CounterNoise, Moment
from colloidlab.rollout.state import State

ONE_LOOK = Counter({"_local_scalar_dense": 1})
INTEGRATORS: tuple[Integrator, ...] = ("conserving", "implicit", "euler_maruyama")

CASES = [(name, integrator, 2, 0.0) for name in LAWS for integrator in INTEGRATORS][:-1] + [
    ("thermal", "conserving", 3, None),
    ("tables", "conserving", 3, 0.0),
    ("networks", "implicit", 3, 0.0),
    ("thermal", "conserving", 2, None),
    ("thermal", "conserving", 2, 0.02),
    ("tables", "implicit", 3, 0.02),
]
"""Laws, integrator, dimensions, and rate of a shear box: zero in a periodic one, None in the open. What must be divided is
too stiff for the published integrator."""


@pytest.mark.parametrize(("name", "integrator", "dim", "shear"), CASES)
def test_a_step_looks_once_and_makes_the_same_trajectory(
    name: str, integrator: Integrator, dim: int, shear: float | None
) -> None:
    system = System(LAWS[name](dim), dim, integrator=integrator, shear=shear)
    motion, other = system.motion(ahead=True), system.motion(ahead=False)
    looks = []
    for n in range(8):
        with Waits() as waits:
            found = motion.step(DT, n)
        looks.append(waits.found)
        expected = other.step(DT, n)
    # The others were refused, most of them because the list of neighbours was used up, and done again.
    assert looks[1:].count(ONE_LOOK) >= 5
    for part in ("r", "v", "S"):
        one, two = getattr(found.state, part), getattr(expected.state, part)
        assert float((one - two).abs().max()) <= 1e-11 * float(two.abs().max()), part
    assert other.misses == motion.misses


@pytest.mark.parametrize("integrator", INTEGRATORS)
def test_a_driven_step_looks_twice(integrator: Integrator, monkeypatch: pytest.MonkeyPatch) -> None:
    """At the end of the step of the laws, and when everybody is where he belongs; particles enter and leave meanwhile."""
    looks: list[Counter[str]] = []
    plain = driven._Simulation.advance

    def watched(self: Any, k: int, n: int) -> None:
        with Waits() as waits:
            plain(self, k, n)
        looks.append(waits.found)

    def rollout() -> list[RolloutFrame]:
        laws, plan = thermal_gas(), held_gas()
        forcing = UniformForce((0.01, 0.0))
        return list(
            roll_out(
                laws,
                plan,
                seeds=[1, 2],
                steps_per_frame=6,
                integrator=integrator,
                forcing=forcing,
                tables=False,
            )
        )

    expected = rollout()
    for module in (driven, free_motion):
        monkeypatch.setattr(module, "pays_on", lambda device: True)
    monkeypatch.setattr(driven._Simulation, "advance", watched)
    found = rollout()
    assert len(looks) == 18
    # All but the first, those that found the list of neighbours used up, and that in which some enter and leave.
    assert looks.count(Counter({"_local_scalar_dense": 2})) >= 13
    for one, two in zip(found, expected, strict=True):
        for part in ("r", "v", "S", "T"):
            assert np.allclose(getattr(one, part), getattr(two, part), rtol=1e-11, atol=1e-11, equal_nan=True)
        for name, value in vars(one.budget).items():
            assert np.allclose(value, getattr(two.budget, name), rtol=0, atol=1e-9), name


@pytest.mark.parametrize("ahead", [False, True])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_tables_are_used_where_steps_are_not_compiled(
    ahead: bool, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a GPU: the step in torch looks into tables of the laws' own precision, and they give what the laws give."""
    laws = thermal_gas().to(dtype)
    asked: list[type] = []
    for module in (driven, free_motion):
        monkeypatch.setattr(module, "pays_on", lambda device: ahead)
    monkeypatch.setattr(driven, "can_compile", lambda laws: False)
    plain = FreeMotion.place

    def watched(self: FreeMotion, *arguments: Any) -> Any:
        asked.append(type(self.laws.energy))
        assert {x.dtype for x in self.laws.buffers() if x.is_floating_point()} == {dtype}
        return plain(self, *arguments)

    monkeypatch.setattr(FreeMotion, "place", watched)
    plan = held_gas()

    def rollout(tables: bool) -> list[RolloutFrame]:
        return list(roll_out(laws, plan, seeds=[1, 2], steps_per_frame=6, tables=tables))

    by_tables = rollout(True)
    assert set(asked) == {TabulatedEnergy}
    asked.clear()
    by_laws = rollout(False)
    assert TabulatedEnergy not in asked
    close = 1e-6 if dtype == torch.float64 else 1e-3
    for one, two in zip(by_tables, by_laws, strict=True):
        for part in ("r", "v", "S", "T"):
            assert np.allclose(getattr(one, part), getattr(two, part), rtol=close, atol=close, equal_nan=True)


@pytest.mark.parametrize("name", LAWS)
@pytest.mark.parametrize("implicit", [False, True], ids=["conserving", "implicit"])
def test_a_step_runs_on_a_device_that_has_no_numbers(name: str, implicit: bool) -> None:
    """Tensors of torch's device "meta" have shapes and nothing else: any look at one is an error, but the last of all."""
    system = System(LAWS[name](2), 2, integrator="conserving", shear=0.0)
    index = Neighbours(CUTOFF, torch.ones(2 * N).double(), box=system.box).candidates(system.r)
    once, ended = Ahead(), []

    def step_on(device: str) -> None:
        laws = system.laws.to(device)
        r, v, S, pairs, scale = (
            x.to(device) for x in (*vars(system.state).values(), index, torch.ones(2 * N).double())
        )
        noise = CounterNoise(torch.arange(2 * N).to(device), torch.arange(2 * N).to(device))
        box, bath = torch.as_tensor(system.box).to(device), laws.bath is not None

        species = (torch.arange(2 * N) % 2).to(device) if count_species(laws) > 1 else None

        def around(r: Tensor, S: Tensor) -> brackets.Mechanics:
            return brackets.mechanics(laws, pair_geometry(r, pairs, CUTOFF, scale, box, species), S)

        def draw(pairs: Pairs, part: int, attempt: Tensor) -> brackets.Noise:
            moment = Moment(3, part, attempt)
            found = noise.pair_numbers(pairs, moment, 2, r.dtype)
            return replace(found, bath=noise.particle_numbers(moment, 2, r.dtype) if bath else None)

        def compute() -> None:
            start = around(r, S)
            held = scale > 1
            with Waits() as waits:
                options: Any = {"external": system.forcing, "held": held, "implicit": implicit}
                ended.append(conserving.step(State(r, v, S), laws, start, around, DT, draw, **options))
            assert device == "cpu" or not waits.found

        with torch.no_grad():
            once(compute)

    step_on("cpu")
    with pytest.raises(RuntimeError, match="meta tensors"):
        step_on("meta")
    assert [done.state.r.device.type for done in ended] == ["cpu", "meta"]


def test_waits_are_seen() -> None:
    """The instrument: what makes a host wait is found, and nothing else."""
    x = torch.arange(6.0, dtype=torch.float64)
    looks: dict[str, Any] = {
        "a number": lambda: float(x.sum()),
        "a truth": lambda: bool((x > 2).any()),
        "a mask": lambda: x[x > 2],
        "written by a mask": lambda: x.clone().index_put_((x > 2,), torch.zeros((), dtype=x.dtype)),
        "places": lambda: (x > 2).nonzero(),
        "different ones": lambda: torch.unique(x),
        "a comparison": lambda: torch.equal(x, x + 1),
        "repeats": lambda: torch.repeat_interleave(torch.tensor([1, 2])),
        "from Python": lambda: x.new_tensor([1.0, 2.0]),
        "to another device": lambda: x.to("meta"),
    }
    for name, look in looks.items():
        with Waits() as waits:
            look()
        assert waits.found, name
    with Waits() as waits:
        y = torch.where(x > 2, x, 0.0)
        y = (
            y.index_add(0, torch.zeros_like(x, dtype=torch.int64), x)
            + x[torch.arange(6)]
            + torch.full_like(x, 2.0)
        )
    assert not waits.found
