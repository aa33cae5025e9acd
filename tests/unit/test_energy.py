"""The entropy of a given temperature."""

from __future__ import annotations

import pytest
import torch

from colloidlab.errors import UsageError
from colloidlab.model.energy import SumOfExponentials


def energy(dtype: torch.dtype = torch.float64) -> SumOfExponentials:
    """Two heat capacities that differ a thousandfold, and a cold term."""
    return SumOfExponentials([0.0, 1.0], [0.5, 500.0], [0.4, 0.8], [0.5], [2.0], 0.4).to(dtype)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_every_temperature_above_zero_has_its_entropy(dtype: torch.dtype) -> None:
    """From S = 0 Newton's step towards a hot particle would be that of the large heat capacity, out of all numbers."""
    T, V = torch.tensor([1e-6, 0.3, 40.0, 1e6], dtype=dtype), torch.tensor([0.1, 0.4, 0.9, 0.4], dtype=dtype)
    found = energy(dtype)(energy(dtype).entropy(T, V), V).T
    assert torch.isfinite(found).all()
    torch.testing.assert_close(found, T, rtol=1e-9 if dtype == torch.float64 else 1e-4, atol=0.0)


@pytest.mark.parametrize(
    ("heat_capacities", "exponents", "volume", "said"),
    [
        ([], [], 1.0, "heat capacities"),
        ([-2.0], [0.4], 1.0, "heat capacities"),
        ([float("nan")], [0.4], 1.0, "heat capacities"),
        ([5.0], [0.0], 1.0, "exponents"),
        ([5.0], [0.4], -1.0, "reference volume"),
    ],
)
def test_numbers_without_a_logarithm_are_refused(
    heat_capacities: list[float], exponents: list[float], volume: float, said: str
) -> None:
    with pytest.raises(UsageError, match=said):
        SumOfExponentials([0.0] * len(exponents), heat_capacities, exponents, [0.5], [2.0], volume)


def test_no_state_has_less_than_the_least_heat_capacity() -> None:
    """Whatever the free parameters are, and near it where they are large."""
    bounded = SumOfExponentials([0.0, 1.0], [1.5, 9.0], [0.4, 0.8], [0.5], [2.0], least_heat_capacity=1.0)
    torch.testing.assert_close(bounded.heat_capacities, torch.tensor([1.5, 9.0]).double())
    S, V = torch.linspace(-9, 9, 50).double(), torch.linspace(0.2, 0.9, 50).double()
    with torch.no_grad():
        assert bool((1 / bounded(S, V).inv_c >= 1.5).all())
        bounded.log_alpha += 20
        assert bool((1 / bounded(S, V).inv_c >= 1).all()) and float(1 / bounded(S, V).inv_c.min()) < 1.001
    with pytest.raises(UsageError, match="above 1"):
        SumOfExponentials([0.0], [1.0], [0.4], [], [], least_heat_capacity=1.0)


@pytest.mark.parametrize(("T", "V"), [(0.0, 0.4), (-1.0, 0.4), (1.0, -0.4), (float("inf"), 0.4)])
def test_what_has_no_entropy_is_refused(T: float, V: float) -> None:
    both = torch.tensor([[1.0, T], [0.4, V]], dtype=torch.float64)
    with pytest.raises(UsageError, match="lie outside what this energy can reach"):
        energy().entropy(*both)


def test_who_is_absent_has_no_entropy() -> None:
    T, V = torch.tensor([1.0, torch.nan], dtype=torch.float64), torch.full((2,), 0.4, dtype=torch.float64)
    found = energy().entropy(T, V)
    assert bool(found[1].isnan()) and float(energy()(found, V).T[0]) == pytest.approx(1.0, rel=1e-12)
