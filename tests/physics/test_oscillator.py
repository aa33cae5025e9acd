"""Covariances of an oscillator's displacements against integrals of its velocity correlation; scales found from them."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.integrate import quad

from colloidlab.dataset.regime import judge
from colloidlab.model.guess import first_guess
from colloidlab.model.oscillator import Oscillator, fit_oscillator
from colloidlab.synthetic.gas import Gas, observe, simulate_gas

N = 4
OSCILLATORS = {
    "underdamped": Oscillator(0.2, 0.1, 0.3),
    "critical": Oscillator(0.2, 0.8, 0.16),
    "overdamped": Oscillator(0.2, 1.5, 0.2),
    "nearly free": Oscillator(0.2, 0.3, 0.01),
}


def velocity_correlation(of: Oscillator, t: float) -> float:
    """Of dv = -(g v + k x) dt + noise, from the companion matrix of its mean."""
    matrix = np.array([[0.0, 1.0], [-of.stiffness, -of.friction]])
    term = propagator = np.eye(2)
    for order in range(1, 40):
        term = term @ matrix * abs(t) / order
        propagator = propagator + term
    return float(of.temperature * propagator[1, 1])


@pytest.mark.parametrize("name", OSCILLATORS)
def test_displacements_have_the_covariance_of_integrated_velocities(name: str) -> None:
    of = OSCILLATORS[name]
    # Displacements of one frame, l frames apart, see velocities t apart with a weight 1 - |t - l|.
    expected = [
        quad(
            lambda t, l=lag: (1 - abs(t - l)) * velocity_correlation(of, t), lag - 1, lag + 1, points=[0, lag]
        )[0]
        for lag in range(N)
    ]
    np.testing.assert_allclose(of.autocovariance(N), expected, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("name", OSCILLATORS)
@pytest.mark.parametrize("error", [0.0, 0.05])
def test_the_scales_are_found_in_the_covariances(name: str, error: float) -> None:
    true = OSCILLATORS[name]
    measured = Oscillator(true.temperature, true.friction, true.stiffness, error).autocovariance(N)
    found = fit_oscillator(measured, 0.5 * measured[0] if error else 0.0)
    assert found.error_variance == pytest.approx(error, rel=1e-2)
    assert found.temperature == pytest.approx(true.temperature, rel=1e-2)
    assert found.friction == pytest.approx(true.friction, rel=2e-2)
    assert found.stiffness == pytest.approx(true.stiffness, rel=5e-2)


@pytest.mark.parametrize("share", [0.0, 0.25, 0.5])
def test_the_first_guess_tells_an_unknown_error_from_the_motion(share: float) -> None:
    """Taken for motion, an error of half the thermal displacement made the friction five times as large as it is."""
    gas = Gas(n=200, heat_capacity=2000.0, wave=0.0)
    sigma = share * gas.temperature**0.5
    motion = simulate_gas(gas, 100, seed=2)
    guesses = []
    for known in (True, False):
        recording = observe(motion, sigma, seed=2, known=known)
        guesses.append(first_guess(recording, judge(recording, 1.5 * gas.cutoff), gas.cutoff))
    told, untold = guesses
    assert told.sigma == 0
    assert abs(untold.sigma**2 - sigma**2) < 0.02 * gas.temperature
    assert untold.temperature == pytest.approx(gas.temperature, rel=0.1)
    assert untold.friction_rate == pytest.approx(told.friction_rate, rel=0.15)
