"""What the parts of every law must satisfy, to be inherited by the tests of each."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

DTYPE = torch.float64


class KernelChecks:
    """Checks of W(x)."""

    def make(self, seed: int) -> Any:
        raise NotImplementedError

    @pytest.mark.parametrize("seed", range(3))
    def test_derivatives_and_sign(self, seed: int) -> None:
        kernel = self.make(seed)
        x = torch.linspace(0.01, 0.99, 60, dtype=DTYPE).requires_grad_(True)
        found = kernel(x)
        (dw,) = torch.autograd.grad(found.w.sum(), x, create_graph=True)
        (d2w,) = torch.autograd.grad(dw.sum(), x)
        for one, other in ((found.dw, dw), (found.d2w, d2w)):
            assert float((one - other).detach().abs().max()) <= 1e-9 * float(other.detach().abs().max())
        assert float(found.w.detach().min()) >= 0
        zero = kernel(torch.zeros(1, dtype=DTYPE)).w
        assert float((zero - kernel.at_zero()).detach().abs().max()) <= 1e-12 * float(zero.detach())


class EnergyChecks:
    """Checks of U(S, V); `states` gives entropies and volumes at which it is meant to be used.

    Of an energy of `one_temperature` S moves only U, and c is infinite.
    """

    one_temperature = False

    def make(self, seed: int) -> Any:
        raise NotImplementedError

    def states(self) -> tuple[torch.Tensor, torch.Tensor]:
        rng = np.random.default_rng(0)
        return torch.as_tensor(rng.normal(size=50)), torch.as_tensor(rng.uniform(0.2, 0.9, 50))

    @pytest.mark.parametrize("seed", range(3))
    def test_thermodynamics(self, seed: int) -> None:
        """T = dU/dS > 0, P = -dU/dV, c = T/(dT/dS) > 0, P_V = dP/dV, and entropy(T, V) goes back."""
        energy = self.make(seed)
        S, V = (part.clone().requires_grad_(True) for part in self.states())
        found = energy(S, V)
        T, minus_p = torch.autograd.grad(found.U.sum(), (S, V), create_graph=True)
        (T_S,) = torch.autograd.grad(T.sum(), S, retain_graph=True, materialize_grads=True)
        (minus_p_v,) = torch.autograd.grad(minus_p.sum(), V)
        pairs = ((found.T, T), (found.P, -minus_p), (found.inv_c * found.T, T_S), (found.P_V, -minus_p_v))
        for one, other in pairs:
            assert float((one - other).detach().abs().max()) <= 1e-8 * float(other.detach().abs().max())
        assert float(T.detach().min()) > 0
        assert bool((T_S == 0).all()) if self.one_temperature else float(T_S.min()) > 0
        again = energy(energy.entropy(T.detach(), V.detach()), V.detach()).T
        assert torch.allclose(again, T.detach(), rtol=1e-9)


class AmplitudeChecks:
    """Checks of A^2, B^2 and C^2."""

    def make(self, seed: int) -> Any:
        raise NotImplementedError

    @pytest.mark.parametrize("seed", range(3))
    def test_a_product_over_the_two_ends_with_its_derivatives(self, seed: int) -> None:
        amplitudes = self.make(seed)
        rng = np.random.default_rng(seed)
        x, first, second = (torch.as_tensor(rng.uniform(a, b, 40)) for a, b in ((0, 1), (0.8, 2), (0.8, 2)))
        first, second = first.requires_grad_(True), second.requires_grad_(True)
        found, turned = amplitudes(x, first, second), amplitudes(x, second, first)
        same, other = amplitudes(x, first, first), amplitudes(x, second, second)
        for name in ("A2", "B2", "C2"):
            square = getattr(found, name)
            assert torch.allclose(square, getattr(turned, name), rtol=1e-12)
            assert torch.allclose(square**2, getattr(same, name) * getattr(other, name), rtol=1e-9)
            assert float(square.detach().min()) >= 0
            slopes = torch.autograd.grad(square.sum(), (first, second), retain_graph=True)
            for end, slope in zip("ij", slopes, strict=True):
                given = getattr(found, f"{name}_{end}")
                largest = float(slope.abs().max())
                assert float((given - slope).detach().abs().max()) <= 1e-9 * largest + 1e-300
