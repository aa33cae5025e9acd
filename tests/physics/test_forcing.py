"""Force fields: impulse, work and energy against what can be said on paper."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from small_gas import CUTOFF, SPACING, TEMPERATURE, VOLUME, thermal_gas

from colloidlab.model.inertia import SpeciesMasses
from colloidlab.model.laws import Laws
from colloidlab.model.species import SpeciesAmplitudes, SpeciesKernel
from colloidlab.rollout.boundary import Plan
from colloidlab.rollout.driven import RolloutFrame, roll_out
from colloidlab.rollout.forcing import (
    Forcing,
    HarmonicTrap,
    Oscillating,
    ShearForce,
    TaylorGreen,
    UniformAcceleration,
    UniformForce,
)
from colloidlab.rollout.integrators import Integrator

N = 64
BOX = SPACING * math.sqrt(N)


def gas(laws: Laws, n_frames: int, *, held: int = 0, open_box: bool = False) -> Plan:
    """A periodic gas, some of whose particles stand still; or particles too far from each other to meet."""
    rng = np.random.default_rng(3)
    r = np.full((n_frames, N, 2), np.nan)
    grid = np.stack(np.meshgrid(np.arange(8), np.arange(8)), -1).reshape(-1, 2)
    r[:] = (grid + 0.5) * (3 * CUTOFF if open_box else SPACING) + rng.normal(0, 1.5, (N, 2))
    v = np.zeros_like(r)
    v[0] = rng.normal(0, math.sqrt(TEMPERATURE), (N, 2))
    T = torch.full((N,), TEMPERATURE, dtype=torch.float64)
    S = np.tile(laws.energy.entropy(T, torch.full_like(T, VOLUME)).numpy(), (n_frames, 1))
    simulated = np.arange(N) >= held
    v[0, ~simulated] = 0
    box = None if open_box else np.array([BOX, BOX])
    return Plan(0, np.arange(N), simulated, r, v, S, np.ones(N), box)


def rolled(
    forcing: Forcing,
    n_frames: int = 9,
    steps: int = 8,
    integrator: Integrator = "conserving",
    **options: object,
) -> list[RolloutFrame]:
    laws = thermal_gas()
    plan = gas(laws, n_frames, **options)  # type: ignore[arg-type]
    return list(
        roll_out(laws, plan, seeds=[1, 2], steps_per_frame=steps, integrator=integrator, forcing=forcing)
    )


@pytest.mark.parametrize("integrator", ["conserving", "implicit", "euler_maruyama"])
def test_a_uniform_force_gives_its_impulse_to_whom_it_acts_on(integrator: Integrator) -> None:
    force = np.array([0.03, -0.01])
    frames = rolled(UniformForce(tuple(force)), integrator=integrator, held=0)
    for before, after in pairwise(frames):
        assert np.allclose(after.budget.impulse, N * force, rtol=1e-12, atol=0)
        assert np.allclose(after.budget.momentum - before.budget.momentum, N * force, rtol=0, atol=1e-11)
        assert np.abs(after.budget.momentum_drift).max() < 1e-11
    # Pair forces do not move the centre of mass: it falls freely, and exactly so in velocity Verlet.
    if integrator != "euler_maruyama":
        middle = [f.r.mean(1) for f in frames]
        t = len(frames) - 1
        fall = middle[0] + t * frames[0].v.mean(1) + 0.5 * force * t**2
        assert np.allclose(middle[-1], fall, rtol=0, atol=1e-11)


@pytest.mark.parametrize("integrator", ["conserving", "implicit", "euler_maruyama"])
@pytest.mark.parametrize("tables", [True, False], ids=["tables", "laws"])
def test_light_and_heavy_fall_alike_and_a_force_accelerates_the_light_more(
    integrator: Integrator, tables: bool
) -> None:
    """Particles too far from each other to meet, every other one three times as heavy; impulses are booked as given. Laws as
    a fit returns them, with free parameters."""
    laws = thermal_gas()
    laws.inertia = SpeciesMasses([math.log(3.0)])
    parts = laws.kernel, laws.amplitudes
    laws.kernel, laws.amplitudes = SpeciesKernel([parts[0]] * 3), SpeciesAmplitudes([parts[1]] * 3)
    plan = replace(gas(laws.requires_grad_(False), 5, open_box=True), species=np.arange(N) % 2)
    mass = np.where(np.arange(N) % 2, 3.0, 1.0)
    laws.requires_grad_(True)
    for field, push in ((UniformAcceleration((0.02, 0.0)), 0.02 * mass), (UniformForce((0.02, 0.0)), 0.02)):
        options = {"steps_per_frame": 4, "integrator": integrator, "forcing": field, "tables": tables}
        frames = list(roll_out(laws, plan, seeds=[1], **options))  # type: ignore[arg-type]
        faster = frames[-1].v[0, :, 0] - frames[0].v[0, :, 0]
        assert np.allclose(faster, 4 * push / mass, rtol=1e-12, atol=0)
        for _, after in pairwise(frames):
            assert np.allclose(after.budget.impulse[0, 0], np.sum(push * np.ones(N)), rtol=1e-12, atol=0)
            assert np.abs(after.budget.momentum_drift).max() < 1e-11
            assert np.abs(after.budget.energy_drift).max() < 1e-11


def test_prescribed_particles_are_not_pushed() -> None:
    frames = rolled(UniformForce((0.02, 0.0)), held=20)
    assert all(np.array_equal(f.r[:, :20], frames[0].r[:, :20]) for f in frames)
    moved = frames[1].budget.momentum - frames[0].budget.momentum
    assert np.allclose(moved, frames[1].budget.impulse, rtol=0, atol=1e-11)


@pytest.mark.parametrize("integrator", ["conserving", "euler_maruyama"])
def test_work_of_a_potential_is_the_energy_that_it_loses(integrator: Integrator) -> None:
    """Uniform field: F . displacement, to the order of the scheme."""
    force = np.array([0.03, 0.02])
    frames = rolled(UniformForce(tuple(force)), integrator=integrator)
    work = sum(f.budget.forcing for f in frames)
    lost = ((frames[-1].r - frames[0].r) @ force).sum(1)
    assert np.all(lost > 10 * TEMPERATURE)
    if integrator == "conserving":
        assert np.allclose(work, lost, rtol=0.02)
    else:
        assert np.allclose(work, lost, rtol=0.2)


def test_a_trap_keeps_its_energy() -> None:
    """Single particles in a trap: kinetic and potential energy together, to second order in the step."""
    k, centre = 0.005, (100.0, 90.0)

    def worst(steps: int) -> float:
        frames = rolled(HarmonicTrap(k, centre), n_frames=4, steps=steps, open_box=True)
        energy = [0.5 * (f.v**2).sum(2) + 0.5 * k * ((f.r - np.array(centre)) ** 2).sum(2) for f in frames]
        # Before the trap brings all together, nobody meets anybody.
        return max(float(np.abs(e / energy[0] - 1).max()) for e in energy)

    coarse, fine = worst(1), worst(2)
    assert coarse < 0.02 and 3.5 < coarse / fine < 4.5


FIELDS = [
    TaylorGreen(0.05, BOX),
    TaylorGreen(0.05, BOX) + UniformForce((0.01, 0.0)),
    ShearForce(0.05, BOX),
    Oscillating(TaylorGreen(0.08, BOX / 2), period=7.0, phase=0.4),
]


@pytest.mark.parametrize("field", FIELDS)
def test_books_close_and_the_drift_stays_that_of_the_integrator(field: Forcing) -> None:
    still, driven = rolled(UniformForce((0.0, 0.0))), rolled(field)
    for before, after in pairwise(driven):
        a, b = before.budget, after.budget
        assert (
            np.abs(b.energy - a.energy - b.work - b.heat - b.energy_drift).max()
            < 1e-11 * np.abs(a.energy).max()
        )
        # Nobody is prescribed here: all work is that of the field.
        assert np.allclose(b.work, b.forcing, rtol=0, atol=1e-11)
        assert np.all(b.forcing != 0) and np.all(b.heat == 0)

    def drift(frames: list[RolloutFrame]) -> float:
        return float(np.abs(sum(f.budget.energy_drift for f in frames)).max())

    gained = np.abs(driven[-1].budget.energy - driven[0].budget.energy).min()
    assert gained > 50 * drift(driven)
    assert drift(driven) < 3 * drift(still) + 1e-3 * gained


def test_the_work_of_a_trap_on_single_particles_leaves_no_drift() -> None:
    """The work is booked as the integrator takes it, whatever the step."""
    drift = []
    for steps in (4, 8):
        frames = rolled(HarmonicTrap(0.005, (100.0, 90.0)), n_frames=5, steps=steps, open_box=True)
        drift.append(np.abs(sum(f.budget.energy_drift for f in frames)).max())
    # Particles that meet nobody: the work of the kicks is all that changes their energy, to round-off.
    assert max(drift) < 1e-10


@pytest.mark.parametrize("field", [TaylorGreen(0.3, 20.0), ShearForce(0.3, 20.0)])
def test_fields_without_net_force(field: Forcing) -> None:
    x, y = torch.meshgrid(torch.arange(40.0), torch.arange(40.0), indexing="ij")
    force = field(torch.stack([x.ravel(), y.ravel()], 1).to(torch.float64), 0.0)
    assert float(force.sum(0).abs().max()) < 1e-10
    assert float(force.abs().max()) == pytest.approx(0.3, rel=1e-12)


def test_taylor_green_has_no_divergence_and_vortices_that_alternate() -> None:
    field = TaylorGreen(0.3, 20.0)
    r = torch.rand((50, 2), generator=torch.Generator().manual_seed(1), dtype=torch.float64) * 20
    gradient = torch.autograd.functional.jacobian(lambda x: field(x, 0.0), r)
    own = gradient[torch.arange(50), :, torch.arange(50), :]
    assert float(own.diagonal(dim1=1, dim2=2).sum(1).abs().max()) < 1e-13
    k = 2 * math.pi / 20
    curl = own[:, 1, 0] - own[:, 0, 1]
    assert torch.allclose(curl, 0.6 * k * torch.sin(k * r[:, 0]) * torch.sin(k * r[:, 1]), atol=1e-13)


def test_fields_add_up_and_take_the_precision_of_the_positions() -> None:
    r = torch.rand((9, 2), generator=torch.Generator().manual_seed(1), dtype=torch.float32)
    parts = UniformForce((0.1, 0.2)), HarmonicTrap(0.3, (0.5, 0.5)), ShearForce(0.1, 1.0)
    both = parts[0] + parts[1] + Oscillating(parts[2], period=4.0)
    assert both(r, 0.0).dtype == torch.float32
    assert torch.allclose(both(r, 0.0), sum(p(r, 0.0) for p in parts), atol=1e-7)
    assert torch.allclose(both(r, 1.0), parts[0](r, 0.0) + parts[1](r, 0.0), atol=1e-7)
