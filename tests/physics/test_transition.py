"""The damped, noisy oscillator over one frame, against matrix exponentials and sampled white forcing."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.linalg import expm

from colloidlab.model.transition import Transition, inverse_and_logdet, oscillator_transition


def propagator(t: Transition) -> np.ndarray:
    return np.array([[float(t.rr), float(t.rv)], [float(t.vr), float(t.vv)]])


def noise(t: Transition) -> np.ndarray:
    return np.array([[float(t.q_rr), float(t.q_rv)], [float(t.q_rv), float(t.q_vv)]])


def transition(h: float, g: float, dt: float, doublings: int = 3) -> tuple[np.ndarray, np.ndarray]:
    h_, g_ = (torch.tensor([x], dtype=torch.float64) for x in (h, g))
    t = oscillator_transition(h_, g_, dt, doublings)
    return propagator(t), noise(t)


def van_loan(h: float, g: float, dt: float) -> tuple[np.ndarray, np.ndarray]:
    """Propagator and noise covariance from one block exponential (Van Loan, IEEE Trans. Autom. Control 23, 395 (1978))."""
    A = np.array([[0.0, 1.0], [-h, -g]])
    block = np.zeros((4, 4))
    block[:2, :2], block[:2, 2:], block[2:, 2:] = -A, np.diag([0.0, 1.0]), A.T
    e = expm(block * dt)
    F = e[2:, 2:].T
    return F, F @ e[:2, 2:]


CASES = [(0.0, 0.3), (0.5, 0.0), (0.3, 0.2), (2.0, 1.0), (4.0, 4.0), (-1.0, 0.5), (0.25, 1.0)]


@pytest.mark.parametrize(("h", "g"), CASES)
def test_agrees_with_the_matrix_exponential(h: float, g: float) -> None:
    # The Taylor step s = 1/8 leaves terms of (rate s)^5/120 out of the propagator, eight times over; q_rr is less exact.
    rate = max(abs(h) ** 0.5, g)
    bound = max(1.0, rate) * (rate / 8) ** 4 / 30 + 1e-14
    for found, exact in zip(transition(h, g, 1.0), van_loan(h, g, 1.0), strict=True):
        assert np.abs(found - exact).max() <= bound


def test_error_falls_with_the_fourth_power_of_the_small_step() -> None:
    exact = van_loan(1.2, 0.7, 1.0)
    errors = []
    for doublings in (2, 3, 4, 5):
        found = transition(1.2, 0.7, 1.0, doublings)
        errors.append(max(np.abs(a - b).max() for a, b in zip(found, exact, strict=True)))
    order = np.diff(np.log2(errors))
    assert np.all(order < -3.75)


def test_free_flight_is_exact() -> None:
    F, Q = transition(0.0, 0.0, 1.7)
    assert np.abs(F - [[1, 1.7], [0, 1]]).max() < 1e-15
    assert np.abs(Q - [[1.7**3 / 3, 1.7**2 / 2], [1.7**2 / 2, 1.7]]).max() < 1e-14


@pytest.mark.parametrize(("h", "g"), CASES)
def test_two_halves_make_a_whole(h: float, g: float) -> None:
    """Chapman-Kolmogorov: F(2t) = F(t)^2 and Q(2t) = Q(t) + F(t) Q(t) F(t)^T."""
    F, Q = transition(h, g, 0.5, doublings=3)
    F2, Q2 = transition(h, g, 1.0, doublings=4)
    assert np.allclose(F2, F @ F, rtol=1e-13, atol=1e-14)
    # The noise follows from a propagator that is that of the oscillator but for the Taylor step.
    assert np.allclose(Q2, Q + F @ Q @ F.T, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize(("h", "g"), CASES)
def test_noise_is_a_covariance(h: float, g: float) -> None:
    assert np.linalg.eigvalsh(transition(h, g, 1.0)[1])[0] > 0


def second_difference(Q: np.ndarray) -> tuple[float, float]:
    """Variance and lag-1 covariance of r_{t+1} - 2 r_t + r_{t-1} of a chain without friction."""
    # It is xi_v(t-1) + xi_r(t) - xi_r(t-1), with <xi xi^T> = Q in each interval.
    return Q[1, 1] + 2 * Q[0, 0] - 2 * Q[0, 1], Q[0, 1] - Q[0, 0]


def test_sampled_white_forcing_has_two_thirds_and_one_sixth() -> None:
    variance, covariance = second_difference(transition(0.0, 0.0, 1.0)[1])
    assert variance == pytest.approx(2 / 3, rel=1e-13)
    assert covariance == pytest.approx(1 / 6, rel=1e-13)
    # The same from trajectories with 32 kicks a frame, whose law is 2/3 + O(1/32^2).
    rng = np.random.default_rng(3)
    kicks, n, frames = 32, 4000, 20
    v = np.cumsum(rng.normal(0, kicks**-0.5, (frames * kicks, n)), axis=0)
    bend = np.diff((np.cumsum(v, axis=0) / kicks)[kicks - 1 :: kicks], n=2, axis=0)
    samples = bend.size
    # Standard error of a variance s^2 from m values is s^2 sqrt(2/m), times about 1.06 for the correlation 1/4.
    assert np.mean(bend**2) == pytest.approx(2 / 3, abs=4 * 1.06 * (2 / 3) * (2 / samples) ** 0.5 + kicks**-2)
    assert np.mean(bend[1:] * bend[:-1]) == pytest.approx(
        1 / 6, abs=4 * (2 / 3) * 1.1 * samples**-0.5 + kicks**-2
    )


@pytest.mark.parametrize("dim", [2, 3])
def test_inverse_and_logdet(dim: int) -> None:
    a = torch.randn(7, dim, dim, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    m = a @ a.transpose(1, 2) + 0.1 * torch.eye(dim, dtype=torch.float64)
    inverse, logdet = inverse_and_logdet(m)
    assert torch.equal(inverse, inverse.transpose(1, 2))
    assert torch.allclose(inverse @ m, torch.eye(dim, dtype=torch.float64).expand_as(m), atol=1e-10)
    assert torch.allclose(logdet, torch.logdet(m), rtol=1e-10)
