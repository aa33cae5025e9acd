"""The objective has one scale: what the trajectories fix, and what they cannot, at k_B = m = 1."""

from __future__ import annotations

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
from small_gas import CUTOFF, TEMPERATURE, isothermal_gas, record, simulate, thermal_gas, watch

from colloidlab.dataset.recording import Recording
from colloidlab.dataset.windows import Window, read_window
from colloidlab.model import brackets
from colloidlab.model.entropy import ConstantEntropy, EntropyEncoder, EntropyInference, ScoreFilter
from colloidlab.model.filter import Filter
from colloidlab.model.forms import first_inference
from colloidlab.model.laws import Laws
from colloidlab.model.pairs import pair_geometry
from colloidlab.model.sequence import fresh_state

FORMS = ("isothermal", "filter", "encoder")


@pytest.fixture(scope="module")
def laws() -> Laws:
    return thermal_gas()


@pytest.fixture(scope="module")
def recording(laws: Laws) -> Recording:
    motion = simulate(laws, n=200, n_frames=60, seed=31, wave=0.4)
    return record(watch(motion, 0.05), motion.box)


def start_entropy(laws: Laws, temperature: float = TEMPERATURE) -> float:
    V = laws.energy.log_reference_volume.exp().reshape(1)
    return float(laws.energy.entropy(V.new_tensor([temperature]), V)[0])


def loglik(laws: Laws, recording: Recording, initial_entropy: float, *, follow: bool = False) -> np.ndarray:
    """Log-likelihood of every frame."""
    window = read_window(recording, recording.first, recording.stop, CUTOFF)
    inference = (ScoreFilter if follow else ConstantEntropy)(initial=initial_entropy)
    filter_, state = Filter(laws, inference, TEMPERATURE), fresh_state(window)
    out = []
    for k in range(window.n_frames - 1):
        result = filter_.step(state, window, k)
        state = result.state.detach()
        out.append(float(result.loglik.detach()[result.counted].sum()))
    return np.array(out)


RESCALINGS = {
    "entropy against temperature": {"S": 1, "A2": -1, "C2": -1},
    "energy, temperature and amplitudes": {"U": 1, "A2": 1, "C2": 2},
    "energy and temperature": {"U": 1},
    "amplitudes": {"A2": 1, "C2": 1},
}
"""Powers of a factor by which quantities are multiplied; T goes with U/S. The first is the way in which an objective
that scores S falls without end; with k_B along, S, T and amplitudes keep every path."""

UNITS = {
    "of entropy": {"S": 1, "A2": -1, "C2": -1, "k_B": 1},
    "of mass": {"U": 1, "A2": 2, "C2": 2, "m": 1},
}
"""Rescalings that no path depends on."""


def rescaled(
    laws: Laws, inference: EntropyInference, factor: float, powers: dict[str, int]
) -> tuple[Laws, EntropyInference]:
    """Laws and entropies with every quantity multiplied by a power of the factor; T is multiplied as U/S is."""
    laws, inference = copy.deepcopy(laws), copy.deepcopy(inference)
    by = {name: factor ** powers.get(name, 0) for name in ("S", "U", "A2", "C2", "m", "k_B")}
    with torch.no_grad():
        laws.energy.log_alpha -= np.log(by["S"])
        laws.energy.log_amplitudes += np.log(by["U"])
        # Amplitudes at the new temperatures: what the power of T would do is taken out.
        laws.amplitudes.reference_temperature *= by["U"] / by["S"]
        for name, square in (("A", "A2"), ("B", "A2"), ("C", "C2")):
            getattr(laws.amplitudes, name)[0] += np.log(by[square])
        laws.mass *= by["m"]
        laws.k_B *= by["k_B"]
        inference.initial *= by["S"]
        if isinstance(inference, EntropyEncoder):
            inference.heat_capacity *= by["S"]
    return laws, inference


@pytest.fixture(scope="module")
def window(laws: Laws) -> Window:
    motion = simulate(laws, n=150, n_frames=40, seed=31, wave=0.4)
    return read_window(record(watch(motion, 0.05), motion.box), 0, 40, CUTOFF)


def first_form(form: str, laws: Laws) -> EntropyInference:
    """Each form near the truth: what an encoder says of one frame is little."""
    inference = first_inference(form, laws, TEMPERATURE)
    if isinstance(inference, EntropyEncoder):
        generator = torch.Generator().manual_seed(3)
        with torch.no_grad():
            for parameter in inference.readout[-1].parameters():
                parameter.add_(
                    0.03 * torch.randn(parameter.shape, generator=generator, dtype=parameter.dtype)
                )
    return inference


def frame_logliks(laws: Laws, inference: EntropyInference, window: Window) -> np.ndarray:
    """Log-likelihood of every frame."""
    filter_, state = Filter(laws, inference, TEMPERATURE), fresh_state(window)
    out = []
    for k in range(window.n_frames - 1):
        result = filter_.step(state, window, k)
        state = result.state.detach()
        out.append(float(result.loglik.detach()[result.counted].sum()))
    return np.array(out)


@pytest.fixture(scope="module")
def truths(laws: Laws, window: Window) -> dict[str, np.ndarray]:
    return {form: frame_logliks(laws, first_form(form, laws), window) for form in FORMS}


@pytest.mark.parametrize("unit", UNITS)
@pytest.mark.parametrize("form", FORMS)
def test_units_that_no_path_depends_on_change_no_likelihood(
    laws: Laws, window: Window, truths: dict[str, np.ndarray], form: str, unit: str
) -> None:
    other = frame_logliks(*rescaled(laws, first_form(form, laws), 3.7, UNITS[unit]), window)
    assert np.abs(other - truths[form]).max() < 1e-11 * np.abs(truths[form]).max()


@pytest.mark.parametrize("factor", [0.5, 0.8, 2.0])
@pytest.mark.parametrize("rescaling", RESCALINGS)
@pytest.mark.parametrize("form", FORMS)
def test_no_rescaling_raises_the_likelihood_of_any_form(
    laws: Laws, window: Window, truths: dict[str, np.ndarray], form: str, rescaling: str, factor: float
) -> None:
    """At k_B = m = 1. A factor of two loses beyond the scatter of the paired frames, a small one gains nothing beyond it.

    Scoring S as well would gain 2 ln(1/0.8) = 0.45 nats a prediction.
    """
    other = frame_logliks(*rescaled(laws, first_form(form, laws), factor, RESCALINGS[rescaling]), window)
    lost = truths[form] - other
    standard = lost.std(ddof=1) * len(lost) ** 0.5
    assert lost.sum() > (-2 if factor == 0.8 else 3) * standard, f"{lost.sum():.1f} ± {standard:.1f}"


def test_a_likelihood_of_entropies_would_gain_by_their_unit(laws: Laws) -> None:
    """Why only positions are scored: the covariance of dv is the same to round-off, that of dS shrinks with S."""
    generator = torch.Generator().manual_seed(2)
    r, v = (x * torch.randn((6, 2), dtype=torch.float64, generator=generator) for x in (8.0, 0.4))
    pairs = pair_geometry(r, torch.triu_indices(6, 6, 1), CUTOFF, torch.ones(6, dtype=r.dtype))
    S = start_entropy(laws) + torch.arange(6, dtype=r.dtype)
    small, _ = rescaled(laws, ConstantEntropy(), 0.1, UNITS["of entropy"])
    found = []
    for law, entropies in ((laws, S), (small, 0.1 * S)):
        ev = brackets.evaluate(law, pairs, entropies)
        found.append((brackets.acceleration(law, ev, v), *brackets.marginal_covariance(law, ev, v)))
    (a, vv, _, SS), (a_small, vv_small, _, SS_small) = found
    assert torch.allclose(a, a_small, rtol=1e-12)
    assert torch.allclose(vv, vv_small, rtol=1e-12)
    assert torch.allclose(SS_small, 0.01 * SS, rtol=1e-12)


def energies_times(laws: Laws, factor: float) -> Laws:
    """U, T and P times the factor; A^2 and B^2 too, so that drag A^2/T stays; C^2 times its square, so that conduction
    C^2/(c T^2) stays. Entropies keep their meaning."""
    scaled = copy.deepcopy(laws)
    with torch.no_grad():
        scaled.energy.log_amplitudes += np.log(factor)
        # Amplitudes at the scaled temperatures: the power of T goes with the reference temperature.
        scaled.amplitudes.reference_temperature *= factor
        for name, power in (("A", 1), ("B", 1), ("C", 2)):
            getattr(scaled.amplitudes, name)[0] += power * np.log(factor)
    return scaled


def test_scaling_leaves_drag_and_conduction_and_scales_noise(laws: Laws) -> None:
    """The scaled law is what the text says, so that the next test is about the objective and nothing else."""
    r = 8 * torch.randn((6, 2), dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    index = torch.triu_indices(6, 6, 1)
    pairs = pair_geometry(r, index, CUTOFF, torch.ones(6, dtype=r.dtype))
    S = torch.full((6,), start_entropy(laws), dtype=r.dtype)
    one, two = brackets.evaluate(laws, pairs, S), brackets.evaluate(energies_times(laws, 1.25), pairs, S)
    assert torch.allclose(two.thermo.T, 1.25 * one.thermo.T, rtol=1e-12)
    assert torch.allclose(two.force, 1.25 * one.force, rtol=1e-12)
    assert torch.allclose(two.g_par, one.g_par, rtol=1e-12)
    assert torch.allclose(two.k_par, 1.25 * one.k_par, rtol=1e-12)
    conduction = [ev.amplitudes.C2 / ev.thermo.T[pairs.i] ** 2 for ev in (one, two)]
    assert torch.allclose(conduction[1], conduction[0], rtol=1e-12)


@pytest.mark.parametrize("factor", [0.8, 1.25])
@pytest.mark.parametrize("follow", [False, True], ids=["fixed entropy", "filter"])
def test_no_common_scale_of_energy_temperature_and_amplitudes_pays(
    laws: Laws, recording: Recording, factor: float, follow: bool
) -> None:
    """The published objective gains without end under this scaling; a likelihood of positions must lose.

    The entropy filter can undo a wrong scale, because a shift of S by c ln(factor) brings T back: then little is lost,
    but never gained, where scoring S would gain 2 ln(1/0.8) a prediction, some 2000 nats here.
    """
    S = start_entropy(laws)
    truth = loglik(laws, recording, S, follow=follow)
    scaled = loglik(energies_times(laws, factor), recording, S, follow=follow)
    lost = truth - scaled
    assert lost.sum() > (0 if follow else 3 * lost.std(ddof=1) * len(lost) ** 0.5)


@pytest.mark.parametrize("shift", [-7.0, 30.0])
@pytest.mark.parametrize("follow", [False, True], ids=["fixed entropy", "filter"])
def test_the_zero_of_entropy_means_nothing(
    laws: Laws, recording: Recording, shift: float, follow: bool
) -> None:
    """S + s with U(S - s, V) is the same law: likelihood equal to round-off."""
    moved = copy.deepcopy(laws)
    with torch.no_grad():
        moved.energy.log_amplitudes -= moved.energy.log_alpha.exp() * shift
    S = start_entropy(laws)
    here = loglik(laws, recording, S, follow=follow)
    there = loglik(moved, recording, S + shift, follow=follow)
    assert np.abs(here - there).max() < 1e-10 * np.abs(here).max()


@pytest.mark.parametrize("unit", [1e-3, 0.5, 300.0])
@pytest.mark.parametrize("follow", [False, True], ids=["isothermal", "filter"])
def test_the_unit_of_length_shifts_the_likelihood_by_its_jacobian(
    recording: Recording, unit: float, follow: bool
) -> None:
    """In units of `unit` pixels everything scales, and p of two coordinates falls by its square: -2 ln(unit) a
    prediction. No constant of the filter knows of pixels; so are entropies, and the variances that are believed of them.
    """
    plain = isothermal_gas() if not follow else thermal_gas()
    initial = start_entropy(plain) if follow else 0.0
    scaled = energies_times(plain, unit**-2) if follow else isothermal_in_units(plain, unit)
    scaled.cutoff = plain.cutoff / unit
    zoomed = replace(
        recording, **{name: getattr(recording, name) / unit for name in ("position", "sigma", "edge")}
    )
    both = []
    for law, rec, variance in ((plain, recording, TEMPERATURE), (scaled, zoomed, TEMPERATURE / unit**2)):
        window = read_window(rec, 0, 12, law.cutoff)
        inference = (ScoreFilter if follow else ConstantEntropy)(initial=initial)
        filter_, state = Filter(law, inference, variance), fresh_state(window)
        for k in range(11):
            result = filter_.step(state, window, k)
            state = result.state.detach()
        counted = result.counted
        both.append(
            (float(result.loglik.detach()[counted].sum()), int(counted.sum()), state.S, state.variance)
        )
    assert both[0][1] == both[1][1] > 20
    assert both[1][0] - both[0][0] == pytest.approx(2 * np.log(unit) * both[0][1], rel=1e-8)
    for one, other in zip(both[0][2:], both[1][2:], strict=True):
        torch.testing.assert_close(one, other, rtol=1e-7, atol=1e-9)


def isothermal_in_units(laws: Laws, unit: float) -> Laws:
    """The same law with lengths in another unit; energies go with its square."""
    scaled = copy.deepcopy(laws)
    with torch.no_grad():
        for name in ("log_temperature", "log_amplitudes"):
            getattr(scaled.energy, name).sub_(2 * np.log(unit))
        for name in ("A", "B"):
            getattr(scaled.amplitudes, name)[0] -= 2 * np.log(unit)
    return scaled
