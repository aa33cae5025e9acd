"""The learned functions are what the brackets do to a pair."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from colloidlab.model import brackets
from colloidlab.model.curves import learned_functions
from colloidlab.model.energy import SumOfExponentials
from colloidlab.model.friction import PowerLawAmplitudes
from colloidlab.model.kernel import RadialKernel
from colloidlab.model.laws import Laws
from colloidlab.model.pairs import pair_geometry
from colloidlab.model.potential import RadialPotential
from colloidlab.model.shear import PowerLawShear
from colloidlab.model.strain import unstrained
from colloidlab.units import Calibration

CUTOFF, VOLUME, TEMPERATURE = 2.5, 0.4, 1.3


def laws(c: float = 5.0, **parts: Any) -> Laws:
    """Different A and B, both growing with temperature, mass and k_B that are not 1."""
    energy = SumOfExponentials([2.0], [c], [0.4], [0.5], [2.0], reference_volume=VOLUME)
    amplitudes = PowerLawAmplitudes([0.3, 0.2], [1.1, -0.4], [0.1], (1.1, 0.7, 1.6))
    made = Laws(RadialKernel(3), energy, amplitudes, CUTOFF, mass=1.3, k_B=0.7, **parts)
    return made.requires_grad_(False)


def test_the_contract_of_the_run_folder_names_every_curve() -> None:
    cohesive = laws(potential=RadialPotential([-2.0, 1.0]))
    table = learned_functions(cohesive, TEMPERATURE, np.full(5, VOLUME), Calibration(None, None), n_dims=2)
    text = (Path(__file__).parents[2] / "docs" / "run-folder.md").read_text(encoding="utf-8")
    row = next(line for line in text.splitlines() if line.startswith("| `functions.parquet`"))
    assert set(re.findall(r"`(\w+)`", row)) == set(table["quantity"]) | {"species"}


def curve(table: pd.DataFrame, quantity: str) -> pd.DataFrame:
    return table[table["quantity"] == quantity]


@pytest.mark.parametrize("n_dims", [2, 3])
@pytest.mark.parametrize("form", ["fluid", "cohesive", "solid"])
def test_curves_are_accelerations_and_noise_of_a_pair(n_dims: int, form: str) -> None:
    """With heat capacity 5, where the Itô terms are a tenth of the friction; every tenth distance."""
    parts: dict[str, dict[str, Any]] = {
        "fluid": {},
        "cohesive": {"potential": RadialPotential([-2.0, 1.0])},
        "solid": {"shear": PowerLawShear([1.0], [7.0])},
    }
    law = laws(**parts[form])
    table = learned_functions(law, TEMPERATURE, np.full(5, VOLUME), Calibration(None, None), n_dims=n_dims)
    volume = torch.full((2,), VOLUME, dtype=torch.float64)
    S = law.energy.entropy(torch.full_like(volume, TEMPERATURE), volume)
    for r in np.unique(table.loc[table["quantity"] == "pair_force", "x"])[:-1:10]:
        at = torch.zeros((2, n_dims), dtype=torch.float64)
        at[0, 0] = float(r)
        pairs = pair_geometry(at, torch.tensor([[0], [1]]), CUTOFF, torch.ones_like(volume))
        if form == "solid":
            pairs = replace(pairs, strain=unstrained(2, n_dims, volume))
        ev = brackets.evaluate(law, pairs, S, volume=lambda _: volume)
        still = torch.zeros_like(at)
        expected = {"pair_force": float(brackets.acceleration(law, ev, still)[0, 0])}
        noise = brackets.marginal_covariance(law, ev, still)[0][0]
        for name, axis in (("parallel", 0), ("perpendicular", 1)):
            v = still.clone()
            v[0, axis] = 1.0
            slower = brackets.acceleration(law, ev, still) - brackets.acceleration(law, ev, v)
            expected[f"pair_friction_{name}"] = float(slower[0, axis])
            expected[f"pair_noise_{name}"] = float(noise[axis, axis])
        for quantity, value in expected.items():
            found = curve(table, quantity)
            y = float(found.loc[np.isclose(found["x"], r), "y"].iloc[0])
            assert y == pytest.approx(value, rel=1e-9), (quantity, r)


@pytest.mark.parametrize(("n_dims", "share_of_a", "share_of_b"), [(2, 1 / 2, 1 / 2), (3, 2 / 3, 1 / 3)])
def test_noise_along_a_pair_is_that_of_a_and_b(n_dims: int, share_of_a: float, share_of_b: float) -> None:
    law = laws()
    table = learned_functions(law, TEMPERATURE, np.full(5, VOLUME), Calibration(None, None), n_dims=n_dims)
    found = curve(table, "pair_noise_parallel")
    x = torch.as_tensor(found["x"].to_numpy() / CUTOFF)
    T = torch.full_like(x, TEMPERATURE)
    of = law.amplitudes(x, T, T)
    expected = 2 * law.k_B * (share_of_a * of.A2 + share_of_b * of.B2) / law.mass**2
    np.testing.assert_allclose(found["y"], expected.detach().numpy(), rtol=1e-9)


def test_friction_holds_the_ito_terms() -> None:
    """Gamma T/K = 1 - k_B/c + k_B p/(2 c) for A^2 ~ T^p: what is left of 1 is small at a large heat capacity only."""
    for c in (5.0, 40.0):
        law = laws(c)
        table = learned_functions(law, TEMPERATURE, np.full(5, VOLUME), Calibration(None, None), n_dims=3)
        gamma, noise = (
            curve(table, f"pair_{kind}_perpendicular")["y"].to_numpy()[:-1] for kind in ("friction", "noise")
        )
        # noise = 2 k_B K/m^2 and friction = Gamma/m; p = 1.1.
        found = gamma * TEMPERATURE * 2 * law.k_B / (law.mass * noise)
        np.testing.assert_allclose(found, 1 - law.k_B / c + law.k_B * 1.1 / (2 * c), rtol=1e-9)
