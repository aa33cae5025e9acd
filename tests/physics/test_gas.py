"""The gas of known law starts at rest with itself: what is left of its preparation would be taken for physics."""

from __future__ import annotations

import numpy as np
import pytest

from colloidlab.benchmarks.learner_functions import mean_virial
from colloidlab.synthetic.gas import Gas, simulate_gas

GASES = {
    "dilute": Gas(n=300, heat_capacity=2000.0, wave=0.0),
    "dense": Gas(n=300, heat_capacity=2000.0, wave=0.0, pressure=10.0),
    "space": Gas(n=300, n_dims=3, heat_capacity=2000.0, wave=0.0),
}


@pytest.mark.parametrize("name", GASES)
def test_kinetic_energy_and_pressure_are_those_of_equilibrium_from_the_first_frame(name: str) -> None:
    gas = GASES[name]
    motion = simulate_gas(gas, 60, seed=3, steps=4)
    kinetic = (motion.v**2).mean(axis=(1, 2)) / motion.T.mean(axis=1)
    # Frames are not independent: 0.04 is what n D numbers scatter by, and 1.5 was the ratio from independent positions.
    assert kinetic[:5].mean() == pytest.approx(1.0, abs=0.13)
    assert kinetic[-20:].mean() == pytest.approx(1.0, abs=0.13)
    virial = [mean_virial(gas, motion, frame) / gas.temperature for frame in (0, 2, 45, 52, 59)]
    assert np.mean(virial[:2]) == pytest.approx(np.mean(virial[2:]), rel=0.05)


def test_momentum_is_zero_and_temperature_is_the_wave() -> None:
    gas = Gas(n=300)
    motion = simulate_gas(gas, 3, seed=4)
    assert np.abs(motion.v.sum(axis=1)).max() < 1e-11
    wave = gas.wave * np.sin(2 * np.pi * motion.r[0, :, 0] / gas.box)
    # Ten free frames change u = c T by some per cent at c = 40 k_B: friction, noise, and the flow to lower pressure.
    assert np.corrcoef(np.log(motion.T[0] / gas.temperature), wave)[0, 1] > 0.9
