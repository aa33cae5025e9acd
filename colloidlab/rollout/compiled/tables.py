"""Laws in tables as plain arrays, for compiled loops."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from colloidlab.model.laws import Laws
from colloidlab.model.species import of_every_kind
from colloidlab.model.splines import DEGREE, Spline
from colloidlab.model.tabulated import (
    TabulatedAmplitudes,
    TabulatedEnergy,
    TabulatedKernel,
    TabulatedPotential,
)

Array = np.ndarray


class Table1(NamedTuple):
    """Functions of one variable, one for every kind of pair.

    coefficients : shape (kinds, cells, powers)
    low, step : where the cells lie
    """

    coefficients: Array
    low: float
    step: float


class Table2(NamedTuple):
    """Functions of two variables.

    coefficients : shape (kinds, cells, cells, powers, powers); of amplitudes (kinds, cells, cells, powers, 3, powers),
        the power of ln T first and A, B and C in between
    low, step : of the first variable
    low_2, high_2, step_2 : of the second
    """

    coefficients: Array
    low: float
    high: float
    step: float
    low_2: float
    high_2: float
    step_2: float


class Tables(NamedTuple):
    """All functions of the laws, and their constants.

    kernel : W(x)
    potential : Phi(x); of zeros where there is none
    energy : U(S, ln V)
    amplitudes : ln a, ln b, ln c of (x, ln T)
    enveloped : bool, shape (kinds, 3); A, B and C that are multiplied by (1 - x)^3 (1 + 3x)
    """

    kernel: Table1
    potential: Table1
    energy: Table2
    amplitudes: Table2
    enveloped: Array
    at_zero: float
    cutoff: float
    k_B: float
    bath_friction: float
    bath_noise: float


def are_compilable(laws: Laws) -> bool:
    """Are these laws of a fluid whose parts are all tables? Solids look at many neighbours at once."""
    if laws.shear is not None or not isinstance(laws.energy, TabulatedEnergy):
        return False
    kernels, amplitudes = of_every_kind(laws.kernel), of_every_kind(laws.amplitudes)
    potentials = [] if laws.potential is None else of_every_kind(laws.potential)
    return (
        all(isinstance(part, TabulatedKernel) for part in kernels)
        and all(isinstance(part, TabulatedAmplitudes) for part in amplitudes)
        and all(isinstance(part, TabulatedPotential) for part in potentials)
    )


def tables_of(laws: Laws) -> Tables:
    """The arrays of laws that are compilable."""
    amplitudes = of_every_kind(laws.amplitudes)
    kernel = _one_variable([part.spline for part in of_every_kind(laws.kernel)])
    if laws.potential is None:
        potential = Table1(np.zeros((len(kernel.coefficients), 1, DEGREE + 1)), 0.0, 1.0)
    else:
        potential = _one_variable([part.spline for part in of_every_kind(laws.potential)])
    energy: Spline = laws.energy.spline
    bath = laws.bath
    return Tables(
        kernel=kernel,
        potential=potential,
        energy=_two_variables(energy, _array(energy)[None]),
        amplitudes=_two_variables(amplitudes[0].splines[0], np.stack([_together(a) for a in amplitudes])),
        enveloped=np.array([part.enveloped for part in amplitudes]),
        at_zero=float(laws.kernel.at_zero()),
        cutoff=float(laws.cutoff),
        k_B=float(laws.k_B),
        bath_friction=0.0 if bath is None else float(bath.friction),
        bath_noise=0.0 if bath is None else float(bath.noise_strength(laws.k_B)),
    )


def _array(spline: Spline) -> Array:
    return np.ascontiguousarray(spline.coefficients.detach().cpu().numpy())


def _together(amplitudes: TabulatedAmplitudes) -> Array:
    """A, B and C side by side, so that what they share of a place is worked out once."""
    splines: list[Any] = list(amplitudes.splines)
    three = np.stack([_array(spline) for spline in splines], axis=-1)  # cells, cells, x powers, T powers, 3
    return np.ascontiguousarray(three.transpose(0, 1, 3, 4, 2))


def _one_variable(splines: list[Spline]) -> Table1:
    axis = splines[0].axes[0]
    return Table1(np.stack([_array(spline) for spline in splines]), axis.low, axis.step)


def _two_variables(spline: Spline, coefficients: Array) -> Table2:
    one, two = spline.axes
    return Table2(
        np.ascontiguousarray(coefficients), one.low, one.high, one.step, two.low, two.high, two.step
    )
