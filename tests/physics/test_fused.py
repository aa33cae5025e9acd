"""Steps whose operations are fused: the trajectories of those that are not, and what happens where a graph does not hold."""

from __future__ import annotations

import logging
import shutil
from collections import Counter
from typing import Any

import numpy as np
import pytest
import torch
from driven_gas import held_gas
from side_by_side import DT, LAWS, System
from small_gas import CUTOFF
from torch import Tensor
from waits import Waits

from colloidlab.rollout import driven, fused, fused_graph
from colloidlab.rollout.box import ShearBox
from colloidlab.rollout.driven import RolloutFrame, roll_out
from colloidlab.rollout.fused import STEPS_BEFORE, FusedMotion, pays_to_fuse
from colloidlab.rollout.fused_graph import PlaceGraph, compiled, listed
from colloidlab.rollout.integrators import Integrator
from colloidlab.rollout.motion import Motion
from colloidlab.rollout.neighbours import Neighbours
from colloidlab.rollout.state import State

ONE_LOOK = Counter({"_local_scalar_dense": 1})
CONSTANTS = {"lift_fresh_copy", "lift_fresh"}
"""How a graph that is traced names its own; compiled, they are where the rest is."""

CASES: list[tuple[str, Integrator, int, float | None]] = [
    ("potential and bath", "conserving", 2, 0.0),
    ("mixture", "conserving", 2, 0.0),
    ("thermal", "conserving", 3, None),
    ("tables", "conserving", 3, 0.02),
    ("networks", "implicit", 2, 0.0),
]
"""Laws, integrator, dimensions, and rate of a shear box: zero in a periodic one, None in the open."""


@pytest.fixture
def traced(monkeypatch: pytest.MonkeyPatch) -> None:
    """Graphs are traced as ever, and then run as they are: their numbers do not depend on a compiler."""

    def as_it_is(graph: Any, **options: Any) -> Any:
        assert options == {"dynamic": True, "fullgraph": True}
        return graph

    monkeypatch.setattr(fused_graph.torch, "compile", as_it_is)


def said(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Warnings of ours: torch tells much else."""
    return [
        record.getMessage()
        for record in caplog.records
        if record.name.startswith("colloidlab") and record.levelno >= logging.WARNING
    ]


def fusing(system: System) -> FusedMotion:
    motion = FusedMotion(system.motion(ahead=True))
    motion.place(system.state, 0.0)
    return motion


def assert_same(
    one: Motion, other: Motion, steps: int, *, first: int = 0, watch: bool = True
) -> list[Counter[str]]:
    """The looks of the steps after the first graph was made, if they are watched, as no compiler lets itself be."""
    looks: list[Counter[str]] = []
    for n in range(first, first + steps):
        if n <= STEPS_BEFORE or not watch:
            found = one.step(DT, n)
        else:
            with Waits() as waits:
                found = one.step(DT, n)
            looks.append(Counter({k: n for k, n in waits.found.items() if k not in CONSTANTS}))
        expected = other.step(DT, n)
        for whose in ("state", "fields", "given"):
            for name, value in vars(getattr(expected, whose)).items():
                got = getattr(getattr(found, whose), name)
                if isinstance(value, Tensor):
                    scale = max(float(value.abs().max()), 1.0)
                    assert float((got - value).abs().max()) <= 1e-11 * scale, (whose, name, n)
    return looks


@pytest.mark.usefixtures("traced")
@pytest.mark.parametrize(("name", "integrator", "dim", "shear"), CASES)
def test_a_graph_makes_the_same_trajectory_and_looks_once(
    name: str, integrator: Integrator, dim: int, shear: float | None
) -> None:
    system = System(LAWS[name](dim), dim, integrator=integrator, shear=shear)
    motion, other = fusing(system), system.motion(ahead=False)
    motion.neighbours.skin = other.neighbours.skin = 0.05
    looks = assert_same(motion, other, 24)
    # Where the list of neighbours is used up it is made again, and the graph goes on.
    assert motion.neighbours.n_searches > 3 and motion.n_fused >= 24 - STEPS_BEFORE - 2
    assert looks.count(ONE_LOOK) >= 10
    assert motion.misses == other.misses


@pytest.mark.usefixtures("traced")
def test_steps_that_a_graph_cannot_take_are_taken_in_torch_and_it_is_made_again(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Steps that suddenly need more parts than those before."""
    monkeypatch.setattr(fused, "TRIES", 3)
    system = System(LAWS["divided steps"](2), 2, integrator="conserving", shear=0.0)
    motion, other = fusing(system), system.motion(ahead=False)
    assert_same(motion, other, STEPS_BEFORE, watch=False)
    assert motion._usual["parts"] > 1
    motion._usual |= {"parts": 1}
    assert_same(motion, other, 3, first=STEPS_BEFORE, watch=False)
    assert motion.n_fused == 0 and motion._graphs is not None and motion._graphs.usual["parts"] == 1
    assert_same(motion, other, 3, first=STEPS_BEFORE + 3, watch=False)
    assert motion.n_fused >= 2 and motion._graphs.usual["parts"] >= 2 and not said(caplog)
    # A graph that knows all that there is to know, and is refused all the same, is of no use.
    motion._graphs.is_refused_often = True
    motion._usual = motion._graphs.usual
    before = motion.n_fused
    motion.step(DT, STEPS_BEFORE + 6)
    motion.step(DT, STEPS_BEFORE + 7)
    assert motion.n_fused == before
    assert len(said(caplog)) == 1 and "one operation after the other" in said(caplog)[0]


@pytest.mark.usefixtures("traced")
def test_a_place_where_the_list_or_a_table_does_not_hold_is_evaluated_in_torch() -> None:
    """Held particles are set where they belong, which may be far from where the list was made, and hotter than before."""
    system = System(LAWS["tables"](2), 2, integrator="conserving", shear=0.0)
    motion, other = fusing(system), system.motion(ahead=False)
    assert_same(motion, other, STEPS_BEFORE + 2)
    assert motion.n_fused == 2
    now = motion.step(DT, STEPS_BEFORE + 2).state
    other.step(DT, STEPS_BEFORE + 2)
    there = torch.arange(len(now.r)) % 3 == 0
    far = State(now.r + 0.4 * CUTOFF * there[:, None], now.v, now.S)
    hot = State(now.r, now.v, now.S + 500.0 * there)
    for state in (now, far, hot):
        found, expected = motion.place(state), other.place(state)
        for name, value in vars(expected).items():
            assert torch.allclose(getattr(found, name), value, rtol=1e-12), name
    assert motion.misses == other.misses > 0


def test_a_list_knows_the_strain_since_it_was_made() -> None:
    box = ShearBox((100.0, 90.0), 0.02)
    neighbours = Neighbours(CUTOFF, torch.ones(9).double(), box=box)
    assert listed(neighbours, 0.0) is None
    r = 30.0 * torch.stack(torch.meshgrid(torch.arange(3), torch.arange(3), indexing="ij"), -1).reshape(-1, 2)
    neighbours.candidates(r.double(), 5.0)
    found = listed(neighbours, 8.0)
    assert found is not None
    assert float(found.strain) == pytest.approx(0.06) and float(found.tilt) == pytest.approx(box.tilt(8.0))
    # Enough of it brings others near, though everybody has only followed the flow.
    moved = r.double() + 3 * 0.02 * torch.stack([r[:, 1], 0 * r[:, 1]], 1).double()
    assert not neighbours.used_up(moved, r.double(), found.strain)
    assert neighbours.used_up(moved, r.double(), torch.tensor(0.3).double())


@pytest.mark.parametrize(("bound", "value"), [("MOST_UNROLLED", 1), ("MOST_GRAPHS", 0)])
def test_compiling_has_bounds(
    bound: str, value: int, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Every part of a step is compiled by itself: many, or many times, would take longer than they save."""
    monkeypatch.setattr(fused, bound, value)
    system = System(LAWS["divided steps"](2), 2, integrator="conserving", shear=0.0)
    motion, other = fusing(system), system.motion(ahead=False)
    assert_same(motion, other, STEPS_BEFORE + 3, watch=False)
    assert motion.n_fused == 0 and motion._usual["parts"] > 1
    assert len(said(caplog)) == 1 and "too long to compile" in said(caplog)[0]


def test_what_cannot_be_compiled_is_said_once_and_moves_all_the_same(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: Any, **__: Any) -> Any:
        raise RuntimeError("no compiler was found\nand so on")

    monkeypatch.setattr(fused, "compiled", broken)
    system = System(LAWS["tables"](2), 2, integrator="conserving", shear=0.0)
    motion, other = fusing(system), system.motion(ahead=False)
    with caplog.at_level(logging.WARNING):
        assert_same(motion, other, STEPS_BEFORE + 4, watch=False)
    assert motion.n_fused == 0
    assert said(caplog) == [
        "the step could not be compiled (no compiler was found); it is taken one operation after the other"
    ]


@pytest.mark.usefixtures("traced")
def test_a_driven_rollout_is_the_same_fused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Prescribed particles, some of which enter and leave, two members, books and all."""
    made: list[FusedMotion] = []
    plain = FusedMotion.__init__

    def watched(self: FusedMotion, *arguments: Any) -> None:
        plain(self, *arguments)
        made.append(self)

    monkeypatch.setattr(FusedMotion, "__init__", watched)
    monkeypatch.setattr(driven, "can_compile", lambda laws: False)

    def rollout(fuse: bool) -> list[RolloutFrame]:
        plan = held_gas()
        return list(roll_out(LAWS["thermal"](2), plan, seeds=[1, 2], steps_per_frame=6, fuse=fuse))

    expected = rollout(False)
    # As on a GPU, where the books run ahead as well.
    monkeypatch.setattr(driven, "pays_on", lambda device: True)
    found = rollout(True)
    assert len(made) == 1 and made[0].n_fused >= 10
    for one, two in zip(found, expected, strict=True):
        for part in ("r", "v", "S", "T"):
            assert np.allclose(getattr(one, part), getattr(two, part), rtol=1e-11, atol=1e-11, equal_nan=True)
        for name, value in vars(one.budget).items():
            assert np.allclose(value, getattr(two.budget, name), rtol=0, atol=1e-9), name


def test_fusing_pays_on_a_gpu_in_long_simulations_of_many() -> None:
    gpu, processor = torch.device("cuda"), torch.device("cpu")
    assert pays_to_fuse(gpu, 1000, 10_000) and pays_to_fuse(gpu, 10**6, 2000)
    assert not pays_to_fuse(gpu, 1000, 1000) and not pays_to_fuse(processor, 10**6, 10**6)


@pytest.mark.skipif(shutil.which("g++") is None and shutil.which("clang++") is None, reason="no C++ compiler")
def test_a_graph_compiled_for_this_processor_agrees() -> None:
    """The laws at a configuration; the whole step takes a minute, and `benchmark rollout speed` compares it."""
    system = System(LAWS["thermal"](2), 2, integrator="conserving", shear=0.02)
    motion = system.motion(ahead=False)
    graph, state = PlaceGraph(motion), system.state
    found = listed(motion.neighbours, 0.0)
    assert found is not None
    with torch.no_grad():
        run = compiled(graph, state.r, state.S, *found)
        for shift, pairs in ((0.0, found.candidates.shape[1]), (0.3, found.candidates.shape[1] - 7)):
            moved = state.r + shift * torch.sin(state.r)
            there = found._replace(candidates=found.candidates[:, :pairs])
            one, other = run(moved, state.S, *there), graph(moved, state.S, *there)
            for a, b in zip(one, other, strict=True):
                assert torch.allclose(a, b, rtol=1e-12, atol=1e-12 * float(b.abs().max()))
    assert int(one[-1]) == 0
