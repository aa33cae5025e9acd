"""Finding a hidden temperature with the true law: the filter against the true ln T of a simulated gas."""

from __future__ import annotations

import copy
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from small_gas import CUTOFF, TEMPERATURE, record, simulate, thermal_gas, watch

from colloidlab.dataset.windows import Window, read_window
from colloidlab.model.entropy import ConstantEntropy, EntropyInference, ScoreFilter
from colloidlab.model.filter import Filter
from colloidlab.model.laws import Laws
from colloidlab.model.sequence import fresh_state

N_FRAMES, SETTLE = 120, 50


@dataclass(frozen=True)
class Followed:
    """Log-likelihood a frame, and true and inferred ln T with its claimed error after settling, interior only."""

    loglik: np.ndarray
    truth: np.ndarray
    found: np.ndarray
    claimed: np.ndarray


def start_entropy(laws: Laws) -> float:
    V = laws.energy.log_reference_volume.exp().reshape(1)
    return float(laws.energy.entropy(V.new_tensor([TEMPERATURE]), V)[0])


@pytest.fixture(scope="module")
def laws() -> Laws:
    return thermal_gas(heat_capacity=40.0, conduction=0.002)


@pytest.fixture(scope="module")
def watched(laws: Laws) -> tuple[Window, np.ndarray]:
    """The gas as the filter sees it, and the true T of every slot, shape (n_frames, n)."""
    motion = simulate(laws, n=300, n_frames=N_FRAMES, seed=41, wave=0.6)
    tracks = watch(motion, 0.05)
    window = read_window(record(tracks, motion.box), 0, N_FRAMES, CUTOFF)
    T = tracks.pivot(index="frame", columns="particle", values="T").to_numpy()[:, window.slot]
    return window, T


def follow(laws: Laws, inference: EntropyInference, window: Window, T: np.ndarray) -> Followed:
    """From uniform temperature through all frames."""
    filter_ = Filter(laws, inference, TEMPERATURE)
    state = fresh_state(window)
    sums, truth, found, claimed = [], [], [], []
    for k in range(N_FRAMES - 1):
        result = filter_.step(state, window, k)
        state = result.state.detach()
        sums.append(float(result.loglik.detach()[result.counted].sum()))
        m = (result.counted & (result.filtered.age > SETTLE)).numpy()
        truth.append(np.log(T[k, m]))
        found.append(np.log(result.evaluation.thermo.T.detach().numpy()[m]))
        claimed.append(result.filtered.variance.detach().numpy()[m] ** 0.5)
    return Followed(np.array(sums), *(np.concatenate(x) for x in (truth, found, claimed)))


def knowing(laws: Laws) -> ScoreFilter:
    """About 0.3 units of information on ln T a frame (noise amplitude 0.3, pressure 0.1), and slow change."""
    return ScoreFilter(prior=0.15, information=0.3, process=3e-4, initial=start_entropy(laws))


@pytest.fixture(scope="module")
def followed(laws: Laws, watched: tuple[Window, np.ndarray]) -> dict[str, Followed]:
    """The filter, and the same law with every entropy held."""
    return {
        "held": follow(laws, ConstantEntropy(start_entropy(laws)), *watched),
        "filter": follow(laws, knowing(laws), *watched),
    }


def test_the_filter_finds_the_true_temperature(followed: dict[str, Followed]) -> None:
    """Started at uniform temperature, nothing but the motion can tell it which particles are hot."""
    f = followed["filter"]
    # About 80 particles whose temperatures are followed independently: chance gives 1/sqrt(80) = 0.11.
    assert np.corrcoef(f.truth, f.found)[0, 1] > 0.5
    # A regression of slope one: hot by as much as they are, not merely in the right order.
    slope = np.polyfit(f.found, f.truth, 1)[0]
    assert 0.5 < slope < 1.5
    # Better than knowing the mean.
    error = f.found - f.truth
    assert np.sqrt(np.mean(error**2)) < 0.9 * f.truth.std()


def test_the_claimed_error_is_the_error(followed: dict[str, Followed]) -> None:
    f = followed["filter"]
    error = float(np.sqrt(np.mean((f.found - f.truth) ** 2)))
    assert 0.5 < error / float(np.sqrt(np.mean(f.claimed**2))) < 2.0


def test_following_entropy_pays(followed: dict[str, Followed]) -> None:
    gain = followed["filter"].loglik - followed["held"].loglik
    settled = gain[SETTLE:]
    assert settled.sum() > 3 * settled.std(ddof=1) * len(settled) ** 0.5


def test_the_sign_matters(
    laws: Laws, watched: tuple[Window, np.ndarray], followed: dict[str, Followed]
) -> None:
    """The map from motion to temperature is not symmetric: with noise that falls with T the same data fit worse."""
    wrong = copy.deepcopy(laws)
    with torch.no_grad():
        wrong.amplitudes.powers[:2] = -1.0
    lost = (followed["filter"].loglik - follow(wrong, knowing(wrong), *watched).loglik)[SETTLE:]
    assert lost.sum() > 3 * lost.std(ddof=1) * len(lost) ** 0.5
