"""A soft gas or solid of known law in a periodic box, seen by a camera that makes errors: ground truth for the learner.

Units are px and frames, k_B = m = 1. The motion is sampled once a frame and made with several steps between, so that
differences of positions are not the velocities of any scheme.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import torch
from scipy.stats.qmc import Halton
from torch import Tensor

from colloidlab.dataset.graph import find_pairs
from colloidlab.dataset.recording import Recording, from_tracks
from colloidlab.dataset.reference_state import ReferenceState
from colloidlab.errors import UsageError
from colloidlab.model import brackets
from colloidlab.model.analytic import ideal_gas
from colloidlab.model.bath import Bath
from colloidlab.model.energy import SumOfExponentials
from colloidlab.model.envelope import envelope
from colloidlab.model.friction import PowerLawAmplitudes
from colloidlab.model.inertia import SpeciesMasses
from colloidlab.model.kernel import RadialKernel
from colloidlab.model.laws import Laws
from colloidlab.model.pairs import Pairs, pair_geometry
from colloidlab.model.potential import RadialPotential
from colloidlab.model.shear import PowerLawShear
from colloidlab.model.species import SpeciesAmplitudes, SpeciesKernel, number_of_kinds
from colloidlab.model.tensors import each
from colloidlab.rollout.integrators import conserving
from colloidlab.rollout.neighbours import Neighbours
from colloidlab.rollout.noise import CounterNoise, Moment
from colloidlab.rollout.state import State

_RELAXING = 30
"""Frames after each of which velocities and temperatures are those of the start again: particles that came to lie too
near each other part, and the energy that this sets free is taken away."""
_WARM_UP = 10
"""Frames of free motion between these and the first that is kept: neighbours' velocities become correlated."""


@dataclass(frozen=True)
class Gas:
    """Scales of the gas.

    Attributes
    ----------
    n : int
        Particles.
    n_dims : int
        2 or 3.
    spacing, cutoff : float, px
        n spacing^D is the volume of the box.
    temperature : float, px^2/frame^2
        Its root is the thermal displacement per frame.
    heat_capacity : float
        k_B per particle.
    pressure : float
        Compressibility P V/T.
    friction : float, 1/frame
        Drag of a particle among still neighbours.
    conduction : float, 1/frame
        Rate at which a hot particle's temperature goes to that of its neighbours.
    noise_power : float
        Exponent of temperature in A^2 and B^2.
    wave : float
        Amplitude of ln T at the start, one period along x.
    cold : bool
        The pressure depends on the volume alone, not on temperature.
    bath : float, 1/frame
        Drag of a bath at rest, which has the gas's first temperature; 0 without one.
    cohesion : float, k_B T
        Depth of a pair potential that attracts farther out than particles push; 0 without one.
    kinds : tuple of (float, float)
        Of a mixture, whose particles are of species 0, 1, ... in turn, for every kind of pair (`pairs.pair_kind`): factor
        on the noise A^2 and B^2, and the kernel's coefficient q in exp(q x), less than 0 where forces reach less far.
    masses : tuple of float
        Of species 0, 1, ..., in units of the first [equal].
    shear : float, k_B T
        Modulus g of the shear energy g I of a solid in the plane, whose reference state, and start, is a triangular lattice;
        0 for a fluid.
    """

    n: int = 300
    n_dims: int = 2
    spacing: float = 17.0
    cutoff: float = 28.0
    temperature: float = 0.16
    heat_capacity: float = 40.0
    pressure: float = 3.0
    friction: float = 0.3
    conduction: float = 0.002
    noise_power: float = 1.0
    wave: float = 0.6
    cold: bool = False
    bath: float = 0.0
    cohesion: float = 0.0
    kinds: tuple[tuple[float, float], ...] = ()
    masses: tuple[float, ...] = ()
    shear: float = 0.0

    @property
    def species(self) -> np.ndarray | None:
        """Label of each particle of a mixture, shape (n,)."""
        if not self.kinds:
            return None
        n_species = next(k for k in range(1, len(self.kinds) + 1) if number_of_kinds(k) == len(self.kinds))
        return np.arange(self.n) % n_species

    @property
    def lattice(self) -> np.ndarray:
        """Sites of a triangular lattice in the box, shape (n, 2), px; as near to a regular one as the square allows.

        Raises
        ------
        UsageError
            So many particles do not fill whole rows.
        """
        columns = round((self.n * 3**0.5 / 2) ** 0.5)
        rows = self.n // columns
        if self.n_dims != 2 or rows * columns != self.n or rows % 2:
            raise UsageError(
                f"{self.n} particles in {self.n_dims} dimensions make no triangular lattice in a square: give 56, 168, 418 "
                "or 780 in the plane"
            )
        row, column = np.divmod(np.arange(self.n), columns)
        return self.box * np.column_stack([(column + 0.5 * (row % 2)) / columns, row / rows])

    @property
    def reference(self) -> ReferenceState | None:
        """Of a solid."""
        if not self.shear:
            return None
        sites, box = torch.as_tensor(self.lattice), torch.full((2,), self.box, dtype=torch.float64)
        index = torch.as_tensor(find_pairs(self.lattice, self.cutoff, box=box.numpy()))
        pairs = pair_geometry(sites, index, self.cutoff, torch.ones_like(sites[:, 0]), box)
        return ReferenceState(index, pairs.r[:, None] * pairs.e, pairs.x)

    @property
    def box(self) -> float:
        """Side of the box, px."""
        return float(self.spacing * self.n ** (1 / self.n_dims))

    def neighbourhood_mean(self, f: str) -> float:
        """Mean over uncorrelated neighbours of the sum of the envelope ("envelope") or of the kernel ("kernel")."""
        x = (np.arange(4000) + 0.5) / 4000
        shape = {"envelope": envelope(x), "kernel": (1 - x) ** 4 * (1 + 4 * x)}[f]
        sphere = 2 * np.pi if self.n_dims == 2 else 4 * np.pi
        integral = float((shape * x ** (self.n_dims - 1)).mean())
        return sphere * integral * (self.cutoff / self.spacing) ** self.n_dims

    @property
    def volume(self) -> float:
        """Mean V, in units of 1/W(0)."""
        return 1 / (1 + self.neighbourhood_mean("kernel"))


def gas_laws(gas: Gas) -> Laws:
    """The true laws: ideal gas, A^2 = B^2 ~ T^power, C^2 ~ T^2."""
    envelope, T = gas.neighbourhood_mean("envelope"), gas.temperature
    # K_perp = A^2/2 and K_par = A^2 where A = B: (1 + 1/D) A^2/2 a pair on average.
    a2 = float(np.log(gas.friction * T / (0.5 * (1 + 1 / gas.n_dims) * envelope)))
    c2 = float(np.log(gas.conduction * gas.heat_capacity * T**2 / envelope))
    if gas.cold:
        energy = _cold_gas(gas)
    else:
        energy = ideal_gas(gas.heat_capacity, gas.pressure, T, gas.volume)
    powers = (gas.noise_power, gas.noise_power, 2.0)
    kinds = gas.kinds or ((1.0, 0.0),)
    amplitudes = [
        PowerLawAmplitudes([a2 + np.log(factor)], [a2 + np.log(factor)], [c2], powers, T)
        for factor, _ in kinds
    ]
    kernels = [_kernel(coefficient) for _, coefficient in kinds]
    bath = Bath(gas.bath, T) if gas.bath > 0 else None
    return Laws(
        SpeciesKernel(kernels) if gas.kinds else kernels[0],
        energy,
        SpeciesAmplitudes(amplitudes) if gas.kinds else amplitudes[0],
        gas.cutoff,
        potential=_attraction(gas),
        bath=bath,
        shear=PowerLawShear([float(np.log(gas.shear * T))], [np.inf]) if gas.shear else None,
        inertia=SpeciesMasses(np.log(gas.masses[1:]).tolist()) if gas.masses else None,
    ).requires_grad_(False)


def _kernel(coefficient: float) -> RadialKernel:
    kernel = RadialKernel(0 if coefficient == 0 else 1)
    if coefficient:
        torch.nn.init.constant_(kernel.coefficients, coefficient)
    return kernel


@dataclass(frozen=True)
class Motion:
    """True motion; arrays (n_frames, n, D) and (n_frames, n). Positions go on beyond the box."""

    r: np.ndarray
    v: np.ndarray
    T: np.ndarray
    S: np.ndarray
    box: float


def simulate_gas(gas: Gas, n_frames: int, *, seed: int, steps: int = 8) -> Motion:
    """Let scattered positions relax at the temperatures of the start, then keep `n_frames` frames of free motion.

    Parameters
    ----------
    gas : Gas
    n_frames : int
    seed : int
    steps : int
        Steps of the integrator per frame.
    """
    simulation = _Simulation(gas, seed, steps)
    for _ in range(_RELAXING):
        simulation.advance_frame()
        simulation.thermalise()
    for _ in range(_WARM_UP):
        simulation.advance_frame()
    frames = [simulation.now()]
    for _ in range(n_frames - 1):
        simulation.advance_frame()
        frames.append(simulation.now())
    r, v, T, S = (torch.stack(part).numpy() for part in zip(*frames, strict=True))
    return Motion(r, v, T, S, gas.box)


class _Simulation:
    """The gas as it moves."""

    def __init__(self, gas: Gas, seed: int, steps: int) -> None:
        self._gas, self._laws, self._steps = gas, gas_laws(gas), steps
        self._rng = np.random.default_rng(seed)
        self._noise = CounterNoise(torch.arange(gas.n), torch.full((gas.n,), seed))
        box = np.full(gas.n_dims, gas.box)
        species = None if gas.species is None else torch.as_tensor(gas.species)
        self._neighbours = Neighbours(
            gas.cutoff,
            torch.ones(gas.n, dtype=torch.float64),
            box=box,
            species=species,
            reference=gas.reference,
        )
        self._taken = 0
        # Evenly: independent positions would hold sound waves of 1.5 times the thermal energy at a pressure of 10.
        sites = gas.lattice if gas.shear else gas.box * Halton(gas.n_dims, seed=self._rng).random(gas.n)
        r = torch.as_tensor(sites)
        self._state = State(r=r, v=torch.zeros_like(r), S=torch.zeros_like(r[:, 0]))
        self.thermalise()

    def thermalise(self) -> None:
        """Draw thermal velocities and give every place its first temperature; momentum is zero."""
        gas, r = self._gas, self._state.r
        v = torch.as_tensor(self._rng.normal(size=tuple(r.shape)))
        T = gas.temperature * torch.exp(gas.wave * torch.sin(2 * np.pi * r[:, 0] / gas.box))
        m = each(self._laws.mass_of(self._neighbours), v)
        v = T.sqrt()[:, None] / m**0.5 * v
        V = self._around(r, torch.zeros_like(T)).volume
        centre = (m * v).sum(dim=0) / (m * torch.ones_like(v)).sum(dim=0)
        self._state = State(r=r, v=v - centre, S=self._laws.energy.entropy(T, V))
        self._there = self._around(r, self._state.S)

    def advance_frame(self) -> None:
        """Move freely for a frame."""
        for _ in range(self._steps):
            step = self._taken

            def draw(pairs: Pairs, part: int, attempt: Tensor, step: int = step) -> brackets.Noise:
                moment, dim = Moment(step, part, attempt), self._gas.n_dims
                found = self._noise.pair_numbers(pairs, moment, dim, torch.float64)
                if self._laws.bath is None:
                    return found
                return replace(found, bath=self._noise.particle_numbers(moment, dim, torch.float64))

            done = conserving.step(
                self._state, self._laws, self._there, self._around, 1.0 / self._steps, draw
            )
            self._state, self._there = done.state, done.mechanics
            self._taken += 1

    def now(self) -> tuple[Tensor, ...]:
        """r, v, T and S."""
        return self._state.r, self._state.v, self._there.thermo.T, self._state.S

    def _around(self, r: Tensor, S: Tensor) -> brackets.Mechanics:
        return brackets.mechanics(self._laws, self._neighbours.pairs(r), S)


def observe(
    motion: Motion,
    sigma: float | np.ndarray,
    *,
    seed: int,
    every: int = 1,
    known: bool = True,
    species: np.ndarray | None = None,
) -> Recording:
    """The recording of a camera that sees every particle with a Gaussian error.

    Parameters
    ----------
    sigma : float, or array of shape (n,), px
        Standard deviation of the error along each axis, of all or of each particle.
    every : int
        Keep only every so many frames.
    known : bool
        Tell the recording the errors.
    species : int array, shape (n,), optional
        Tell it of which species the particles are.
    """
    r = motion.r[::every]
    n_frames, n, dim = r.shape
    error = np.broadcast_to(sigma, (n,)).astype(float)
    seen = r + error[:, None] * np.random.default_rng(seed).normal(size=r.shape)
    frame, particle = np.indices((n_frames, n)).reshape(2, -1)
    axes = "xyz"[:dim]
    table = pd.DataFrame({"frame": frame, "particle": particle})
    for k, axis in enumerate(axes):
        table[axis] = seen[..., k].ravel()
        if known:
            table[f"sigma_{axis}_px"] = error[particle]
    if species is not None:
        table["species"] = species[particle]
    n_species = 1 if species is None else len(np.unique(species))
    return from_tracks(table, None, box=np.full(dim, motion.box), n_species=n_species)


def _attraction(gas: Gas) -> RadialPotential | None:
    """-x times the envelope, which is deepest at a third of the cutoff."""
    if gas.cohesion == 0:
        return None
    x = np.linspace(0, 1, 1000)
    half = 0.5 * gas.cohesion / float((x * envelope(x)).max())
    return RadialPotential([-half, -half], gas.temperature)


def _cold_gas(gas: Gas) -> SumOfExponentials:
    """The same pressure from a term that needs no temperature."""
    beta = 0.05
    cold = float(np.log(gas.pressure * gas.temperature / beta))
    log_u = float(np.log(gas.heat_capacity * gas.temperature))
    return SumOfExponentials([log_u], [gas.heat_capacity], [1e-9], [cold], [beta], gas.volume)
