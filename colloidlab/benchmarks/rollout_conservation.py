"""What integrators make of energy and momentum, and whether the laws of equilibrium hold."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch

from colloidlab.benchmarks.rollout_systems import System, gas_system, torch_steps
from colloidlab.benchmarks.rows import Row, at_least, at_most
from colloidlab.progress import SILENT, Monitor
from colloidlab.rollout.compiled import CompiledStep, in_tables
from colloidlab.rollout.neighbours import Neighbours
from colloidlab.rollout.noise import CounterNoise
from colloidlab.rollout.state import State
from colloidlab.synthetic.gas import Gas, gas_laws

_SMALL_C = 5.0
"""Heat capacity at which the k_B terms are a tenth of everything."""
_THREADS = 3
_OFTEN = 5
"""Steps from one look at the energy to the next."""
_SLOW = 0.1
"""Friction rate times the time step, at most, for the laws of equilibrium."""


def drift_rows(
    name: str, system: System, steps: int, bar: float, *, seed: int = 3, monitor: Monitor = SILENT
) -> Iterable[Row]:
    """Largest |E(t) - E(0)| of each scheme in so many steps, in N k_B T, from the same start with the same noise.

    The energy of the end alone may be that of the start by chance.
    """
    unit, start, momentum = system.thermal_energy(), system.energy(system.state), system.state.v.sum(0)
    ours, kept, lost = system.compiled(seed), 0.0, 0.0
    for n in monitor.track(range(1, steps + 1), f"{name}, conserving"):
        ours.step(system.dt, n - 1)
        if n % _OFTEN == 0 or n == steps:
            kept = max(kept, abs(system.energy(ours.state) - start) / unit)
    theirs = torch_steps(system, system.tables, published=True, seed=seed)
    for n in monitor.track(range(1, steps + 1), f"{name}, Euler-Maruyama"):
        after = theirs()
        if n % _OFTEN == 0 or n == steps:
            lost = max(lost, abs(system.energy(after) - start) / unit)
    speed = float(system.state.v.abs().sum())
    off = f"largest |E(t) - E(0)| in {steps} steps"
    yield Row(f"{name}: {off}, conserving", kept, "N k_B T")
    yield Row(f"{name}: {off}, Euler-Maruyama", lost, "N k_B T")
    yield at_least(f"{name}: {off}, Euler-Maruyama / conserving", lost / max(kept, 1e-300), bar)
    moved = float((ours.state.v.sum(0) - momentum).abs().max())
    yield at_most(f"{name}: change of the total momentum / sum of |m v|", moved / speed, 1e-13)
    yield Row(f"{name}: questions that the tables did not hold", float(ours.misses))


def equilibrium_rows(*, copies: int, steps: int, seed: int = 4, monitor: Monitor = SILENT) -> Iterable[Row]:
    """Exact laws of small boxes of an ideal gas with c = 5 k_B: (KE, U_1 ... U_N)/E is Dirichlet's, and the pair law.

    Boxes start from one state and one energy each; means over the second half of the run, errors from the scatter
    between boxes, which are independent.
    """
    n = 16
    gas = Gas(n=n, heat_capacity=_SMALL_C, wave=0.0)
    systems = [gas_system(n, heat_capacity=_SMALL_C, n_dims=2, seed=1000 * seed + k) for k in range(copies)]
    state = State(*(torch.cat([getattr(s.state, name) for s in systems]) for name in ("r", "v", "S")))
    member = np.repeat(np.arange(copies), n)
    box = np.full(2, gas.box)
    neighbours = Neighbours(gas.cutoff, torch.ones(len(member), dtype=state.r.dtype), member=member, box=box)
    noise = CounterNoise(torch.arange(n).repeat(copies), seed + torch.as_tensor(member))
    tables = in_tables(gas_laws(gas), state, neighbours)
    moving = CompiledStep(tables, state, neighbours, noise, member=member)
    sums = np.zeros((3, copies))
    for step in monitor.track(range(steps), "boxes in equilibrium"):
        moving.step(_SLOW / gas.friction, step)
        if step >= steps // 2:
            v = moving.state.v.numpy().reshape(copies, n, 2)
            sums += _moments(v, moving.temperature.reshape(copies, n))
    kinetic, internal, pair = sums / (steps - steps // 2)
    # The centre of mass rests: D (N - 1) velocities share the kinetic energy.
    alpha = np.array([n - 1.0, *[_SMALL_C] * n])
    total = alpha.sum()
    expected = {
        "share of kinetic energy": (kinetic, alpha[0] / total),
        "mean square share of an internal energy": (
            internal,
            _SMALL_C * (_SMALL_C + 1) / (total * (total + 1)),
        ),
        "m |v_ij|^2/(2 D) (theta_i + theta_j)/2": (pair, 1.0),
    }
    for name, (found, exact) in expected.items():
        mean, error = float(np.mean(found)), float(np.std(found, ddof=1) / np.sqrt(copies))
        yield Row(f"equilibrium: {name} / exact", mean / exact)
        yield at_most(f"equilibrium: {name}, deviation", abs(mean - exact) / error, 3.0, "standard errors")


def _moments(v: np.ndarray, T: np.ndarray) -> np.ndarray:
    """Share of the kinetic energy, mean square share of an internal energy, and the pair law, of every box."""
    n = T.shape[1]
    K, U = 0.5 * (v**2).sum((1, 2)), _SMALL_C * T
    E = K + U.sum(1)
    theta = (1 - 1 / _SMALL_C) / T
    square = ((v[:, :, None] - v[:, None, :]) ** 2).sum(3)
    both = square / 4 * 0.5 * (theta[:, :, None] + theta[:, None, :])
    return np.stack([K / E, ((U / E[:, None]) ** 2).mean(1), both.sum((1, 2)) / (n * (n - 1))])


def agreement_rows(system: System, *, steps: int = 100, seed: int = 5) -> Iterable[Row]:
    """The same trajectory with another order of pairs, other threads, and after a restart."""
    # So small a system would be moved by one thread, whatever their number.
    alone, several = system.compiled(seed), system.compiled(seed, _THREADS, least_share=1)
    order = torch.randperm(system.n, generator=torch.Generator().manual_seed(seed))
    shuffled = _shuffled(system, order, seed)
    half = None
    for n in range(steps):
        for moving in (alone, several, shuffled):
            moving.step(system.dt, n)
        if n == steps // 2 - 1:
            half = alone.state
    assert half is not None
    again = system.at(half).compiled(seed)
    for n in range(steps // 2, steps):
        again.step(system.dt, n)
    back = torch.argsort(order)
    others = (
        (f"{_THREADS} threads in place of one", several.state.r),
        ("another order of particles", shuffled.state.r[back]),
    )
    yield at_least(f"noise: loops that {_THREADS} threads have shared, a step", several.n_shared / steps, 1.0)
    for name, r in others:
        error = float((r - alone.state.r).abs().max() / system.side)
        yield at_most(f"noise: {name}, largest difference after {steps} steps / box", error, 1e-10)
    rest = float((again.state.r - alone.state.r).abs().max() / system.side)
    yield at_most(f"noise: restart after {steps // 2}, largest difference / box", rest, 1e-10)


def table_rows(
    name: str, system: System, bar: float, *, steps: int = 100, seed: int = 6, monitor: Monitor = SILENT
) -> Iterable[Row]:
    """Tables, compiled, beside the laws themselves, in torch: with the same noise it is the same trajectory."""
    ours, theirs = system.compiled(seed), torch_steps(system, system.exact, published=False, seed=seed)
    for n in monitor.track(range(steps), f"{name}, with and without tables"):
        ours.step(system.dt, n)
        exact = theirs()
    apart = float((ours.state.r - exact.r).abs().max() / system.side)
    yield at_most(
        f"{name}: tables and the laws themselves, largest difference after {steps} steps / box", apart, bar
    )
    faster = float(ours.state.v.square().mean() / exact.v.square().mean() - 1)
    yield at_most(f"{name}: tables and the laws themselves, difference of <v^2> / <v^2>", abs(faster), bar)


def _shuffled(system: System, order: torch.Tensor, seed: int) -> CompiledStep:
    state, noise = system.state, system.noise(seed)
    moved = State(state.r[order], state.v[order], state.S[order])
    numbers = CounterNoise(noise.identity[order], noise.seed[order])
    return CompiledStep(system.tables, moved, system.neighbours(), numbers)
