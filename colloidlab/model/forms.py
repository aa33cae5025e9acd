"""The function classes that are fitted to a video, and their first guesses."""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import nn

from colloidlab.model.bath import Bath
from colloidlab.model.energy import Isothermal, SumOfExponentials
from colloidlab.model.entropy import ConstantEntropy, EntropyEncoder, EntropyInference, ScoreFilter
from colloidlab.model.filter import Filter
from colloidlab.model.friction import PowerLawAmplitudes
from colloidlab.model.inertia import SizeMasses, SpeciesMasses
from colloidlab.model.kernel import RadialKernel
from colloidlab.model.laws import Laws
from colloidlab.model.potential import RadialPotential
from colloidlab.model.shear import PowerLawShear
from colloidlab.model.species import (
    SpeciesAmplitudes,
    SpeciesKernel,
    SpeciesPotential,
    exchanged,
    for_every_kind,
    of_every_kind,
)

_KERNEL_TERMS = 3
_RADIAL_TERMS = 4
_POTENTIAL_TERMS = 4
_LEAST_PRESSURE = 0.025
"""P V/T of the part that grows with temperature, before its logarithm is taken."""
_CALM, _CALM_SHARE = 1000.0, 0.02
"""Heat capacity in k_B, with which temperatures in equilibrium scatter by 3 %, and the share of the pressure that grows
with temperature, of laws that are isothermal for all that motion tells."""
_LEAST = 1e-12
"""Amplitude, before its logarithm is taken."""
_LEAST_HEAT_CAPACITY = 1.0
"""k_B: with less, theta = (1 - k_B/c)/T would be negative, and friction speed particles up."""
_COLD_EXPONENTS = (0.5, 3.0, 12.0)
"""From a gas, whose pressure goes with density, to grains that hardly yield."""


EntropyForm = Literal["filter", "isothermal", "encoder"]
"""Names of the forms of entropy inference, in options and files."""


@dataclass(frozen=True)
class Parts:
    """What fitted laws have beside the energy of volumes and the friction of one kind of pair.

    Attributes
    ----------
    cohesion : bool
        A pair potential: without it particles can only push.
    bath : bool
        Drag and noise of a solvent or a substrate at rest.
    bath_temperature : float, px^2/frame^2, optional
        k_B T_b/m, where it is known [fitted].
    n_species : int
        That are told apart: every kind of pair has a kernel, amplitudes and a potential of its own, every species a mass.
        How amplitudes depend on temperature, the conduction and the energy of a volume are common to all.
    mass_exponent : float
        p in m ~ R^p of the tracked radius, of a single species.
    solid : bool
        A shear energy of the neighbourhoods of the reference state, with a modulus that does not depend on temperature.
    """

    cohesion: bool = False
    bath: bool = False
    bath_temperature: float | None = None
    n_species: int = 1
    mass_exponent: float = 0.0
    solid: bool = False


PLAIN = Parts()


@dataclass(frozen=True)
class Guess:
    """Rough scales of the motion, from which the first laws are made.

    Attributes
    ----------
    cutoff : float, px
    temperature : float, px^2/frame^2
        Variance of a velocity component relative to the neighbours.
    friction_rate : float, 1/frame
    stiffness : float, 1/frame^2
        Square of the frequency at which a particle rattles in its cage.
    reference_volume, envelope_sum : float
        Mean volume with the first kernel; mean over particles of the sum of the pair envelope.
    stiffness_per_amplitude, stiffness_per_modulus : float
        Stiffness that the first energy has at unit amplitude, and that of shear at unit modulus.
    n_dims : int
        2 or 3.
    sigma : float, px
        Localisation error, where the recording states none.
    error_scale : float
        Share of the stated localisation errors that is new in every frame, where that has to be found.
    parts : Parts
    """

    cutoff: float
    temperature: float
    friction_rate: float
    stiffness: float
    reference_volume: float
    envelope_sum: float
    stiffness_per_amplitude: float
    n_dims: int = 2
    sigma: float = 0.0
    error_scale: float = 1.0
    parts: Parts = PLAIN
    stiffness_per_modulus: float = 1.0

    @classmethod
    def from_description(cls, description: dict[str, Any]) -> Guess:
        """What `dataclasses.asdict` made a description of."""
        return cls(**(description | {"parts": Parts(**description.get("parts", {}))}))


def isothermal_laws(guess: Guess, *, radial_terms: int = _RADIAL_TERMS) -> Laws:
    """Warm start and honest baseline: one temperature, a many-body force, pair friction.

    Parameters
    ----------
    guess : Guess
    radial_terms : int
        Coefficients of ln A^2 and of ln B^2: more where the data tell more of distances than a video does.
    """
    stiffness, shear = _shared_stiffness(guess)
    amplitude = math.log(max(stiffness / guess.stiffness_per_amplitude, _LEAST))
    energy = Isothermal(
        math.log(guess.temperature),
        # Each adds the same stiffness, which goes with U beta (beta + 1).
        [amplitude - math.log(beta * (beta + 1)) for beta in _COLD_EXPONENTS],
        list(_COLD_EXPONENTS),
        guess.reference_volume,
    )
    # K_perp = A^2/2 and K_par = A^2 with A = B: on average (1 + 1/D) A^2/2 a pair.
    share = 0.5 * (1 + 1 / guess.n_dims)
    friction, bath = _shared_friction(guess)
    log_a2 = math.log(friction * guess.temperature / (share * guess.envelope_sum))
    radial, T, n_species = [log_a2] + [0.0] * (radial_terms - 1), guess.temperature, guess.parts.n_species
    amplitudes = _of_temperature_alike(
        for_every_kind(
            SpeciesAmplitudes,
            n_species,
            lambda: PowerLawAmplitudes(radial, radial, [-20.0], (0.0, 0.0, 0.0), T),
        )
    )
    for part in of_every_kind(amplitudes):
        part.C.requires_grad_(False)
        part.powers.requires_grad_(False)
    potential = None
    if guess.parts.cohesion:
        potential = for_every_kind(
            SpeciesPotential, n_species, lambda: RadialPotential([0.0] * _POTENTIAL_TERMS, T)
        )
    kernel = for_every_kind(SpeciesKernel, n_species, lambda: RadialKernel(_KERNEL_TERMS))
    return Laws(
        kernel,
        energy,
        amplitudes,
        guess.cutoff,
        shear=shear,
        potential=potential,
        bath=bath,
        inertia=_masses(guess.parts),
    )


def _masses(parts: Parts) -> nn.Module | None:
    if parts.n_species > 1:
        return SpeciesMasses([0.0] * (parts.n_species - 1))
    return SizeMasses(parts.mass_exponent) if parts.mass_exponent else None


def _of_temperature_alike(amplitudes: nn.Module) -> nn.Module:
    """Every kind of pair with the exponents of temperature and the conduction of the first, which stay common in a fit.

    Motion says little of either, and a third as much of those of one kind.
    """
    first, *others = of_every_kind(amplitudes)
    for other in others:
        other.C, other.powers = first.C, first.powers
    return amplitudes


def _shared_friction(guess: Guess) -> tuple[float, Bath | None]:
    """Friction of the pairs, and the bath; where there is one, either is given half of what is seen."""
    if not guess.parts.bath:
        return guess.friction_rate, None
    half, known = 0.5 * guess.friction_rate, guess.parts.bath_temperature
    return half, Bath(
        half, guess.temperature if known is None else known, fixed_temperature=known is not None
    )


def _shared_stiffness(guess: Guess) -> tuple[float, PowerLawShear | None]:
    """Stiffness by pushes, and the shear energy; in a solid, either is given half of what is seen."""
    if not guess.parts.solid:
        return guess.stiffness, None
    half = 0.5 * guess.stiffness
    shear = PowerLawShear([math.log(max(half / guess.stiffness_per_modulus, _LEAST))], [math.inf])
    shear.log_alpha.requires_grad_(False)
    return half, shear


def thermal_laws(
    isothermal: Laws,
    *,
    heat_capacity: float = 25.0,
    power: float = 0.5,
    gas_share: float = 0.5,
    least_heat_capacity: float = _LEAST_HEAT_CAPACITY,
) -> Laws:
    """Give isothermal laws a temperature of their own: noise and pressure that depend on it, heat, conduction.

    Parameters
    ----------
    heat_capacity : float
        First guess, k_B per particle.
    power : float
        First exponent of temperature in the squared noise amplitudes. Its sign decides which particles are called
        hot; both signs are tried.
    gas_share : float
        Of the pressure, that grows with temperature at first.
    least_heat_capacity : float
        k_B per particle, see `SumOfExponentials`.
    """
    cold = isothermal.energy
    assert isinstance(cold, Isothermal)
    with torch.no_grad():
        T = float(cold.log_temperature.exp())
        # P V at the reference volume; a share of it becomes that of a gas, which grows with temperature.
        pressure = float((cold.log_amplitudes.exp() * cold.log_beta.exp()).sum())
        energy = SumOfExponentials(
            [math.log(heat_capacity * T)],
            [heat_capacity],
            [max(gas_share * pressure / T, _LEAST_PRESSURE) / heat_capacity],
            (cold.log_amplitudes + math.log(1 - gas_share)).tolist(),
            cold.log_beta.exp().tolist(),
            float(cold.log_reference_volume.exp()),
            least_heat_capacity=least_heat_capacity,
        )
        # Conduction that levels a single hot particle in about a hundred frames.
        first = math.log(0.01 * heat_capacity * T**2)
        amplitudes = exchanged(
            isothermal.amplitudes,
            lambda old: PowerLawAmplitudes(
                old.A.tolist(), old.B.tolist(), [first, 0.0], (power, power, 1.0), T
            ),
        )
    return Laws(
        copy.deepcopy(isothermal.kernel),
        energy,
        _of_temperature_alike(amplitudes),
        isothermal.cutoff,
        shear=copy.deepcopy(isothermal.shear),
        potential=copy.deepcopy(isothermal.potential),
        bath=copy.deepcopy(isothermal.bath),
        inertia=copy.deepcopy(isothermal.inertia),
    )


def calm_filter(isothermal: Filter) -> Filter:
    """Laws with entropy that say what isothermal ones say: nobody's temperature moves far, and little depends on it.

    Parameters
    ----------
    isothermal : Filter
        Fitted, of one temperature.
    """
    laws = thermal_laws(isothermal.laws, heat_capacity=_CALM, power=0.0, gas_share=_CALM_SHARE)
    with torch.no_grad():
        T = float(isothermal.laws.energy.log_temperature.exp())
        V = laws.energy.log_reference_volume.exp().reshape(1)
        initial = float(laws.energy.entropy(V.new_tensor([T]), V)[0])
    inference = ScoreFilter(prior=1 / _CALM, process=1e-3 / _CALM, initial=initial).requires_grad_(False)
    # Nothing is told of what a temperature would do, so that corrections would move it at random.
    laws.energy.log_alpha.requires_grad_(False)
    for part in of_every_kind(laws.amplitudes):
        part.C.requires_grad_(False)
        part.powers.requires_grad_(False)
    return Filter(laws, inference, isothermal.velocity_variance, error=copy.deepcopy(isothermal.error))


def first_inference(form: EntropyForm, laws: Laws, temperature: float, *, seed: int = 0) -> EntropyInference:
    """Entropy inference as it is before a fit, all particles at one temperature.

    Parameters
    ----------
    form : str
    laws : Laws
        Those that it is to be fitted with.
    temperature : float, px^2/frame^2
    seed : int
        Of the encoder's weights.
    """
    V = laws.energy.log_reference_volume.detach().exp().reshape(1)
    with torch.no_grad():
        S = laws.energy.entropy(V.new_tensor([temperature]), V)
        inv_c = float(laws.energy(S, V).inv_c)
    initial = float(S[0])
    if form == "isothermal":
        return ConstantEntropy(initial)
    if form == "encoder":
        return EntropyEncoder(temperature, 1 / inv_c, initial=initial, seed=seed)
    return ScoreFilter(initial=initial)
