"""The objective has one scale: what the trajectories fix, and what they cannot, at k_B = m = 1."""

from __future__ import annotations

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
from small_gas import CUTOFF, TEMPERATURE, isothermal_gas, record, simulate, thermal_gas, watch

from colloidlab.dataset.recording import Recording
from colloidlab.dataset.windows import read_window
from colloidlab.model import brackets
from colloidlab.model.entropy import ConstantEntropy, ScoreFilter
from colloidlab.model.filter import Filter
from colloidlab.model.laws import Laws
from colloidlab.model.pairs import pair_geometry
from colloidlab.model.sequence import fresh_state


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


def test_the_unit_of_length_shifts_the_likelihood_by_its_jacobian(recording: Recording) -> None:
    """In units of half a pixel everything scales, and p of two coordinates falls by a factor 4: ln 4 a prediction."""
    laws = isothermal_gas()
    fine = copy.deepcopy(laws)
    fine.cutoff = 2 * laws.cutoff
    with torch.no_grad():
        for name in ("log_temperature", "log_amplitudes"):
            getattr(fine.energy, name).add_(np.log(4.0))
        for name in ("A", "B"):
            getattr(fine.amplitudes, name)[0] += np.log(4.0)
    zoomed = replace(
        recording, position=2 * recording.position, sigma=2 * recording.sigma, edge=2 * recording.edge
    )
    both = []
    for law, rec, variance in ((laws, recording, TEMPERATURE), (fine, zoomed, 4 * TEMPERATURE)):
        window = read_window(rec, 0, 12, law.cutoff)
        filter_, state = Filter(law, ConstantEntropy(), variance), fresh_state(window)
        for k in range(11):
            result = filter_.step(state, window, k)
            state = result.state
        both.append((float(result.loglik[result.counted].sum()), int(result.counted.sum())))
    assert both[0][1] == both[1][1] > 20
    assert both[0][0] - both[1][0] == pytest.approx(np.log(4.0) * both[0][1], rel=1e-9)
