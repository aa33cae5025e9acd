"""First guesses of the scales of the motion, so that the fit needs no number from the user."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from colloidlab.dataset.recording import Recording
from colloidlab.dataset.regime import Regime
from colloidlab.dataset.windows import Window, read_window
from colloidlab.errors import FitRefused, UsageError
from colloidlab.model import brackets, response
from colloidlab.model.envelope import envelope
from colloidlab.model.forms import PLAIN, Guess, Parts, isothermal_laws
from colloidlab.model.oscillator import fit_oscillator
from colloidlab.model.pairs import Pairs, pair_geometry
from colloidlab.model.reference import neighbourhoods
from colloidlab.model.strain import measure_strain, shear_stiffness

_LEAST_SHARE = 0.1
"""Of the stiffest direction of a particle, what its mean stiffness is taken as at the least."""


def complete_guess(guess: Guess, pairs: Pairs, chosen: Tensor | slice = slice(None)) -> Guess:
    """The guess with the mean envelope sum and volume of a configuration.

    Parameters
    ----------
    guess : Guess
    pairs : Pairs
    chosen : bool tensor, shape (n,), optional
        Particles that have all their neighbours [all].
    """
    near = pairs.sum_symmetric(envelope(pairs.x))[chosen].mean()
    guess = replace(guess, envelope_sum=max(float(near), 1e-6))
    with torch.no_grad():
        there = brackets.mechanics(isothermal_laws(guess), pairs, pairs.r.new_zeros(pairs.n))
    return replace(guess, reference_volume=float(there.volume[chosen].mean()))


def first_guess(recording: Recording, regime: Regime, cutoff: float, parts: Parts = PLAIN) -> Guess:
    """Temperature, friction, stiffness and error of the oscillator with the measured covariances of displacements.

    Stated errors that are new in every frame are taken off; of others, as much as they may be is found with the rest.

    Raises
    ------
    FitRefused
        No particle was followed long enough.
    """
    noise, most = regime.error_variance, 0.0
    measured = np.array(regime.autocovariance)
    if not np.isfinite(measured).all():
        raise FitRefused(f"there is no motion to guess from: {regime.reason}")
    if not recording.sigma_stated:
        most = 0.5 * measured[0]
    elif recording.sigma_new:
        measured[:2] += [-2 * noise, noise]
    else:
        most = noise
    scales = fit_oscillator(measured, most)
    cutoff, temperature, friction = float(cutoff), scales.temperature, scales.friction
    window = read_window(recording, recording.first, recording.first + 2, cutoff)
    pairs = pair_geometry(window.positions[0], window.pairs[0], cutoff, window.scale, window.box)
    inside = window.complete[0] if bool(window.complete[0].any()) else window.present[0]
    dim = window.positions.shape[2]
    trial = complete_guess(Guess(cutoff, temperature, friction, 1.0, 1.0, 1.0, 1.0, dim), pairs, inside)
    zero = torch.zeros(len(window.slot), dtype=window.positions.dtype)
    with torch.no_grad():
        ev = brackets.evaluate(isothermal_laws(trial), pairs, zero)
        stiff = torch.linalg.eigvalsh(response.self_stiffness(ev)[inside])
        # The mean of a dilute gas may be nothing or less: along some directions neighbours push it away.
        unit = max(float(stiff.mean()), _LEAST_SHARE * float(stiff.abs().amax(1).mean()))
    if parts.solid:
        trial = replace(trial, stiffness_per_modulus=_stiffness_of_shear(window, inside))
    return replace(
        trial,
        stiffness=scales.stiffness,
        stiffness_per_amplitude=max(unit, 1e-12),
        sigma=float(np.sqrt(scales.error_variance)),
        error_scale=float(np.sqrt(scales.error_variance / noise)) if noise > 0 else 1.0,
        parts=parts,
    )


def _stiffness_of_shear(window: Window, inside: Tensor) -> float:
    """Mean stiffness of particles by shear of unit modulus, in the first frame of a window.

    Raises
    ------
    FitRefused
        Where neighbourhoods are known, none spans the space.
    """
    if window.reference is None:
        raise UsageError(
            "a solid needs the reference state of its recording: give it that of `find_reference`"
        )
    reference = neighbourhoods(window.reference, window.present[0], window.box)
    known = inside & reference.spans
    if not bool(known.any()):
        raise FitRefused(
            "no particle has neighbours on all sides in the reference state, in which shear could be measured: leave out "
            "--solid, or give a larger cutoff_px"
        )
    r = window.positions[0]
    one = torch.ones_like(r[:, 0])
    found = shear_stiffness(measure_strain(reference, r), one, torch.zeros_like(one))[known]
    return max(float(found.diagonal(dim1=1, dim2=2).sum(1).mean() / r.shape[1]), 1e-12)
