"""Lees-Edwards boxes: the border is nowhere, momentum and energy are kept, and the flow is linear."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch
from small_gas import CUTOFF, SPACING, TEMPERATURE, VOLUME, thermal_gas
from torch import Tensor

from colloidlab.errors import UsageError
from colloidlab.model import brackets
from colloidlab.model.bath import Bath
from colloidlab.model.laws import Laws
from colloidlab.model.potential import RadialPotential
from colloidlab.model.tabulated import Ranges, ranges_around, tabulate
from colloidlab.model.tensors import dot
from colloidlab.rollout.box import ShearBox
from colloidlab.rollout.compiled import CompiledStep
from colloidlab.rollout.free_motion import FreeMotion
from colloidlab.rollout.integrators import conserving
from colloidlab.rollout.integrators.dissipation import dissipate
from colloidlab.rollout.neighbours import Neighbours
from colloidlab.rollout.noise import CounterNoise, Moment
from colloidlab.rollout.state import State

DT = 0.125


@dataclass
class Flow:
    """A gas in a shear box, with thermal velocities about the linear profile."""

    laws: Laws
    state: State
    box: ShearBox

    @property
    def n(self) -> int:
        return len(self.state.r)

    def neighbours(self, box: np.ndarray | ShearBox | None = None) -> Neighbours:
        scale = torch.ones(self.n, dtype=torch.float64)
        return Neighbours(CUTOFF, scale, box=self.box if box is None else box)

    def noise(self) -> CounterNoise:
        return CounterNoise(torch.arange(self.n), torch.full((self.n,), 7))

    def motion(self, box: np.ndarray | None = None, integrator: str = "conserving") -> FreeMotion:
        motion = FreeMotion(
            self.laws,
            self.neighbours(box),
            self.noise(),
            integrator,
            member=torch.zeros(self.n, dtype=torch.int64),
            simulated=torch.ones(self.n, dtype=torch.bool),
        )
        motion.place(self.state)
        return motion

    def tabulated(self) -> Flow:
        volume = torch.as_tensor([0.2 * VOLUME, 1.0]).repeat(self.n)[: self.n]
        ranges: Ranges = ranges_around(self.laws, self.state.S, volume, 4.0)
        return replace(self, laws=tabulate(self.laws, ranges))

    def mechanics(self, state: State, t: float) -> brackets.Mechanics:
        return brackets.mechanics(self.laws, self.neighbours().pairs(state.r, t), state.S)

    def energy(self, state: State, t: float) -> float:
        return float(sum(part.sum() for part in self.parts(state, t)))

    def parts(self, state: State, t: float) -> tuple[Tensor, Tensor]:
        return brackets.total_energy(self.laws, self.mechanics(state, t), state.v)

    def peculiar(self, state: State) -> Tensor:
        """Velocities relative to the mean flow."""
        flow = torch.zeros_like(state.v)
        flow[:, 0] = self.box.rate * state.r[:, 1]
        return state.v - flow


def make(
    dim: int = 2,
    *,
    rate: float = 0.05,
    n: int = 80,
    friction: float = 0.3,
    sticky: bool = False,
    z: bool = True,
) -> Flow:
    laws = thermal_gas(friction=friction)
    if sticky:
        laws.potential = RadialPotential([-0.1, 0.2])
        laws.requires_grad_(False)
    rng = np.random.default_rng(dim)
    side = SPACING * n ** (1 / dim)
    lengths = np.array([1.1 * side, side / 1.1, side])[:dim]
    r = torch.as_tensor(rng.uniform(0, 1, (n, dim)) * lengths)
    v = torch.as_tensor(rng.normal(0, TEMPERATURE**0.5, (n, dim)))
    v = v - v.mean(0)
    v[:, 0] += rate * r[:, 1]
    T = TEMPERATURE * torch.as_tensor(np.exp(rng.normal(0, 0.2, n)))
    S = laws.energy.entropy(T, torch.full_like(T, VOLUME))
    if not z:
        lengths[2:] = 0
    return Flow(laws, State(r, v, S), ShearBox(tuple(lengths), rate))


KINDS = {
    "2D": lambda: make(),
    "3D": lambda: make(3, n=100),
    "3D, open along z": lambda: make(3, n=100, z=False),
    "attraction": lambda: make(sticky=True),
}


@pytest.mark.parametrize("kind", KINDS)
def test_the_border_is_nowhere(kind: str) -> None:
    """Any particles in place of their images, one or two lengths up or down: forces, friction and heating are the same."""
    flow = KINDS[kind]()
    state, box = flow.state, flow.box
    t = 3.37 * box.lengths[0] / box.wind
    up = torch.as_tensor(np.random.default_rng(4).integers(-2, 3, flow.n)).to(torch.float64)
    r, v = state.r.clone(), state.v.clone()
    r[:, 0] += up * box.tilt(t)
    r[:, 1] += up * box.lengths[1]
    v[:, 0] += up * box.wind
    assert box.tilt(t) == pytest.approx(0.37 * box.lengths[0])
    before = brackets.with_friction(flow.laws, flow.mechanics(state, t))
    after = brackets.with_friction(flow.laws, flow.mechanics(State(r, v, state.S), t))
    near = int((before.pairs.x < 1).sum())
    assert near == int((after.pairs.x < 1).sum()) and near > flow.n
    for found, expected in (
        (after.volume, before.volume),
        (after.force, before.force),
        (brackets.friction_force(after, v), brackets.friction_force(before, state.v)),
        (brackets.entropy_rate(flow.laws, after, v), brackets.entropy_rate(flow.laws, before, state.v)),
        (
            brackets.marginal_covariance(flow.laws, after, v)[2],
            brackets.marginal_covariance(flow.laws, before, state.v)[2],
        ),
    ):
        assert torch.allclose(found, expected, rtol=1e-9, atol=1e-12 * float(expected.abs().max()))


def test_forces_are_continuous_where_a_particle_crosses_the_border() -> None:
    """On either side of the upper border, relative to a neighbour that is seen beyond the lower one."""
    flow, t = make(), 33.0
    height = flow.box.lengths[1]
    found = []
    for y in (height - 1e-9, height + 1e-9):
        r, v = flow.state.r.clone(), flow.state.v.clone()
        r[0], r[1] = torch.tensor([20.0, y]), torch.tensor([20.0 - flow.box.tilt(t) + 4, 8.0])
        ev = brackets.with_friction(flow.laws, flow.mechanics(State(r, v, flow.state.S), t))
        met = ev.pairs.select((ev.pairs.i == 0) & (ev.pairs.j == 1))
        assert float(met.x) < 1 and met.wind is not None
        assert torch.allclose(met.relative_velocity(v)[0, 0], v[0, 0] - v[1, 0] - flow.box.wind)
        found.append(torch.cat([ev.force, brackets.friction_force(ev, v)]))
    assert torch.allclose(found[0], found[1], atol=1e-8)


@pytest.mark.parametrize("implicit", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_friction_keeps_momentum_and_energy_but_for_the_work_of_images(kind: str, implicit: bool) -> None:
    flow = KINDS[kind]()
    state, t = flow.state, 12.0
    ev = brackets.with_friction(flow.laws, flow.mechanics(state, t))
    numbers = flow.noise().pair_numbers(ev.pairs, Moment(3), state.r.shape[1], torch.float64)
    done = dissipate(
        flow.laws, ev, state.v, state.S, torch.full_like(state.S, DT), numbers, implicit=implicit
    )
    change = flow.energy(State(state.r, done.v, done.S), t) - flow.energy(state, t)
    work = float(done.image_energy.sum())
    assert abs(work) > 1e-3 and abs(change - work) < 1e-11 * flow.energy(state, t)
    assert float((done.v.sum(0) - state.v.sum(0)).abs().max()) < 1e-11
    # The solution is that of the equation: many sweeps agree with conjugate gradients.
    if implicit:
        mean = state.v
        scale = (2 * flow.laws.k_B * DT) ** 0.5
        shaken = scale * brackets.apply(ev.k_perp.sqrt(), ev.k_par.sqrt(), ev.pairs.e, numbers.impulse)
        for _ in range(60):
            drag = DT * brackets.apply(ev.g_perp, ev.g_par, ev.pairs.e, ev.pairs.relative_velocity(mean))
            mean = state.v + 0.5 * ev.pairs.sum_antisymmetric(shaken - drag) / flow.laws.mass
        assert torch.allclose(2 * mean - state.v, done.v, atol=1e-8)


@pytest.mark.parametrize("dim", [2, 3])
def test_energy_less_the_work_of_images_is_kept_as_well_as_without_them(dim: int) -> None:
    """What velocity Verlet makes of energy is what it makes in a periodic box, beside a million times that from images."""
    made, turned = {}, {}
    for rate in (0.0, 0.1):
        flow = make(dim, rate=rate, n=80 if dim == 2 else 100, friction=0.1)
        motion, state, works = flow.motion(), flow.state, []
        momentum = state.v.sum(0)
        for n in range(60):
            moved = motion.step(0.1, n)
            state = moved.state
            works.append(float(moved.given.image_energy.sum()))
        made[rate] = abs(flow.energy(state, 6.0) - flow.energy(flow.state, 0.0) - sum(works))
        turned[rate] = float(np.abs(works).sum())
        assert float((state.v.sum(0) - momentum).abs().max()) < 1e-11
    assert turned[0.0] == 0 and made[0.1] < 3 * made[0.0] < 3e-5 * turned[0.1]


def test_the_flow_heats_by_the_work_of_its_shear_stress() -> None:
    """Without noise: d(peculiar kinetic + internal energy) = -rate (sum m v'_x v'_y + sum over pairs of r_y F_x) dt."""
    flow, dt, n_steps = make(rate=0.1, friction=0.5, sticky=True), 0.01, 200
    neighbours, state, power = flow.neighbours(), flow.state, []

    def stress(state: State, there: brackets.Mechanics) -> float:
        ev = brackets.with_friction(flow.laws, there)
        p = ev.pairs
        drag = brackets.apply(ev.g_perp, ev.g_par, p.e, p.relative_velocity(state.v))
        pull = (brackets.pair_force(ev) - drag)[:, 0] * p.e[:, 1] * p.r
        own = flow.peculiar(state)
        return float((flow.laws.mass * own[:, 0] * own[:, 1]).sum() + pull.sum())

    def heat(state: State, there: brackets.Mechanics) -> float:
        _, internal = brackets.total_energy(flow.laws, there, state.v)
        own = flow.peculiar(state)
        return float(0.5 * flow.laws.mass * dot(own, own).sum() + internal.sum())

    def silent(pairs, part, attempt):
        return brackets.Noise(torch.zeros_like(pairs.e), torch.zeros_like(pairs.r))

    there = brackets.mechanics(flow.laws, neighbours.pairs(state.r, 0.0), state.S)
    before = heat(state, there)
    power.append(-flow.box.rate * stress(state, there))
    for n in range(n_steps):
        t = (n + 1) * dt

        def around(r: Tensor, S: Tensor, t: float = t) -> brackets.Mechanics:
            return brackets.mechanics(flow.laws, neighbours.pairs(r, t), S)

        done = conserving.step(state, flow.laws, there, around, dt, silent)
        state, there = done.state, done.mechanics
        power.append(-flow.box.rate * stress(state, there))
    work = dt * float(np.trapezoid(power))
    gained = heat(state, there) - before
    assert abs(work) > 1.0
    assert gained == pytest.approx(work, rel=2e-3)


def test_the_mean_flow_stays_linear() -> None:
    """Over some times that momentum takes to diffuse through the box; images at rest would stop it in the same time."""
    members, n = 24, 40
    flow = make(rate=0.05, n=n, friction=2.0)
    rng = np.random.default_rng(1)
    r = torch.as_tensor(rng.uniform(0, 1, (members * n, 2)) * np.array(flow.box.lengths))
    v = torch.as_tensor(rng.normal(0, TEMPERATURE**0.5, (members, n, 2)))
    v = (v - v.mean(1, keepdim=True)).reshape(-1, 2)
    v[:, 0] += flow.box.rate * r[:, 1]
    flow = replace(flow, state=State(r, v, flow.state.S.repeat(members))).tabulated()
    member = np.repeat(np.arange(members), n)
    noise = CounterNoise(torch.arange(n).repeat(members), torch.as_tensor(member))
    slopes = {}
    for box in (flow.box, np.array(flow.box.lengths)):
        scale = torch.ones(members * n, dtype=torch.float64)
        neighbours = Neighbours(CUTOFF, scale, member=member, box=box)
        step = CompiledStep(flow.laws, flow.state, neighbours, noise, member=member)
        for k in range(200):
            step.step(DT, k)
        y = np.mod(step.state.r[:, 1].numpy(), flow.box.lengths[1]).reshape(members, n)
        y = y - y.mean(1, keepdims=True)
        own = step.state.v[:, 0].numpy()
        if box is flow.box:
            own = flow.peculiar(step.state)[:, 0].numpy()
        slopes[box is flow.box] = (y * own.reshape(members, n)).sum(1) / (y**2).sum(1) / flow.box.rate
    error = slopes[True].std(ddof=1) / members**0.5
    assert abs(slopes[True].mean()) < 3 * error < 0.15
    assert slopes[False].mean() < 0.4


@pytest.mark.parametrize("kind", KINDS)
def test_the_compiled_step_agrees_with_torch(kind: str) -> None:
    flow = KINDS[kind]().tabulated()
    motion, state = flow.motion(), flow.state
    step = CompiledStep(flow.laws, state, flow.neighbours(), flow.noise())
    for n in range(20):
        moved, given = motion.step(DT, n), step.step(DT, n)
        assert torch.allclose(given.image_energy, moved.given.image_energy, rtol=1e-9, atol=1e-10)
    assert float(given.image_energy.abs().max()) > 1e-4
    for name in ("r", "v", "S"):
        found, expected = getattr(step.state, name), getattr(moved.state, name)
        assert float((found - expected).abs().max()) < 1e-10 * float(expected.abs().max())


def test_without_a_rate_it_is_the_periodic_box_to_the_bit() -> None:
    flow = make(rate=0.0).tabulated()
    plain = np.array(flow.box.lengths)
    pairs = [flow.motion(box) for box in (None, plain)]
    steps = [CompiledStep(flow.laws, flow.state, flow.neighbours(b), flow.noise()) for b in (None, plain)]
    for n in range(10):
        sheared, periodic = (m.step(DT, n) for m in pairs)
        for step in steps:
            step.step(DT, n)
    for one, other in ((sheared.state, periodic.state), (steps[0].state, steps[1].state)):
        assert all(torch.equal(getattr(one, name), getattr(other, name)) for name in ("r", "v", "S"))
    assert float(sheared.given.image_energy.abs().max()) == 0


def test_the_skin_counts_the_strain() -> None:
    """Pairs of a list that is kept are those of a new one, while all move with the flow and while some move against it."""
    for wild, fewest, most in ((0.0, 20, 35), (1.0, 35, 300)):
        flow = make(rate=0.02, n=150)
        generator = torch.Generator().manual_seed(3)
        r = flow.state.r.clone() + 300 * torch.randn((flow.n, 2), generator=generator, dtype=torch.float64)
        own = wild * torch.randn((flow.n, 2), generator=generator, dtype=torch.float64)
        kept = flow.neighbours()
        for n in range(300):
            t = n * 1.0
            close = [p.select(p.x < 1) for p in (kept.pairs(r, t), flow.neighbours().pairs(r, t))]
            assert torch.equal(close[0].i, close[1].i) and torch.equal(close[0].j, close[1].j)
            r = r + own
            r[:, 0] += flow.box.rate * (r[:, 1] - 0.5 * own[:, 1])
        assert fewest <= kept.n_searches <= most  # 300 * 0.02 is 24 times the skin


def test_a_step_begins_where_its_images_are() -> None:
    flow = make().tabulated()
    motion = flow.motion()
    step = CompiledStep(flow.laws, flow.state, flow.neighbours(), flow.noise())
    for moves in (motion.step, step.step):
        with pytest.raises(UsageError, match=r"step 8 of length 0\.125 begins at 1"):
            moves(DT, 8)
    motion.place(flow.state, 1.0)
    step.place(flow.state, 1.0)
    moved = motion.step(DT, 8)
    step.step(DT, 8)
    assert torch.allclose(moved.state.v, step.state.v, atol=1e-12)


def test_what_does_not_go_with_a_shear_box_is_refused() -> None:
    flow = make()
    with pytest.raises(UsageError, match="published integrator"):
        flow.motion(integrator="euler_maruyama")
    flow.laws.bath = Bath(0.2, TEMPERATURE)
    with pytest.raises(UsageError, match="bath at rest"):
        flow.motion()
