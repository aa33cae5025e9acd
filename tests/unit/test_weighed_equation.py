"""Laws from an expected score: the equation G = H d is weighed by its scatter, against a prior."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from colloidlab.model.uncertainty import TRUST, _weigh

P = 6


def matrices(seed: int = 0) -> tuple[Tensor, Tensor]:
    """H and J, correlated, over four orders of magnitude."""
    generator = torch.Generator().manual_seed(seed)
    scale = torch.logspace(0, 2, P, dtype=torch.float64)
    found = []
    for factor in (1.0, 3.0):
        root = torch.eye(P, dtype=torch.float64) + 0.2 * torch.randn((P, P), generator=generator).double()
        found.append(factor * torch.outer(scale, scale) * (root @ root.T))
    return found[0], found[1]


def test_it_is_the_likeliest_shift_and_its_covariance() -> None:
    """Against the normal equations of ln p = -(G - H d)^T (J + 1)^-1 (G - H d)/2 - |theta + d - theta_0|^2/2."""
    H, J = matrices()
    G, pull = torch.linspace(-20, 30, P).double(), torch.linspace(0.3, -0.2, P).double()
    weight = torch.linalg.inv(J + torch.eye(P).double())
    d = torch.zeros(P, dtype=torch.float64, requires_grad=True)

    def minus_log_p(d: Tensor) -> Tensor:
        rest = G - H @ d
        return 0.5 * (rest @ weight @ rest + (d + pull) @ (d + pull))

    curvature = torch.autograd.functional.hessian(minus_log_p, d)
    (slope,) = torch.autograd.grad(minus_log_p(d), d)
    found = _weigh(H, J, G, pull)
    torch.testing.assert_close(found.shift(), -torch.linalg.solve(curvature, slope), rtol=1e-8, atol=1e-10)
    torch.testing.assert_close(found.covariance(), torch.linalg.inv(curvature), rtol=1e-8, atol=1e-12)
    assert found.distance == pytest.approx(2 * float(minus_log_p(torch.zeros(P).double())))


def test_errors_of_what_is_found_are_those_that_are_said() -> None:
    """Truths from the prior, scores with the scatter: the shift misses them by its covariance."""
    H, J = matrices(1)
    generator = torch.Generator().manual_seed(2)
    root = torch.linalg.cholesky(J + torch.eye(P).double())
    squares, distances = [], []
    for _ in range(2000):
        truth, noise = (torch.randn(P, generator=generator).double() for _ in range(2))
        found = _weigh(H, J, H @ truth + root @ noise, torch.zeros(P).double())
        missed = found.shift() - truth
        squares.append(float(missed @ torch.linalg.solve(found.covariance(), missed)))
        at_truth = _weigh(H, J, root @ noise, truth)
        distances.append(at_truth.distance)
    assert sum(squares) / 2000 == pytest.approx(P, abs=4 * math.sqrt(2 * P / 2000))
    # At the truth it is chi^2 of the scores and of the prior.
    assert sum(distances) / 2000 == pytest.approx(2 * P, abs=4 * math.sqrt(4 * P / 2000))


def test_scatter_is_not_chased() -> None:
    """A parameter that hardly shows, of whose score nearly all is chance: it stays, and the others do not notice."""
    H = torch.diag(torch.tensor([1000.0, 1.0], dtype=torch.float64))
    J = torch.diag(torch.tensor([1000.0, 100.0], dtype=torch.float64))
    G = torch.tensor([100.0, 20.0], dtype=torch.float64)
    found = _weigh(H, J, G, torch.zeros(2).double())
    first, second = found.shift().tolist()
    # Newton's step would be 10 in the second, whose score is off by two standard deviations.
    assert first == pytest.approx(0.1, rel=0.01) and second == pytest.approx(20 / 102, rel=0.01)
    assert found.covariance().diagonal().sqrt().tolist() == pytest.approx([0.0316, 0.995], rel=0.01)
    # Where it has been led away, the prior leads it back.
    away = _weigh(H, J, torch.zeros(2).double(), torch.tensor([0.0, 3.0]).double())
    assert away.shift().tolist() == pytest.approx([0.0, -3 * 101 / 102], rel=1e-6)


def test_a_long_way_is_gone_in_steps_that_can_be_trusted() -> None:
    H = torch.diag(torch.tensor([1e4, 3.0], dtype=torch.float64))
    G = torch.tensor([2e3, 15.0], dtype=torch.float64)
    found = _weigh(H, H, G, torch.zeros(2).double())
    whole, step = found.shift(), found.step()
    assert float(whole[1]) > 3 and float(step.abs().max()) == pytest.approx(TRUST, rel=1e-4)
    # Not in the same direction: what is well known is not held back by what is not.
    assert float(step[0] / whole[0]) > 0.99 > 0.25 > float(step[1] / whole[1])
    near = _weigh(H, H, 0.1 * G, torch.zeros(2).double())
    assert torch.equal(near.step(), near.shift())


def test_laws_beyond_their_domain_are_not_weighed() -> None:
    nothing = torch.full((2, 2), torch.nan, dtype=torch.float64)
    found = _weigh(nothing, nothing, torch.ones(2).double(), torch.zeros(2).double())
    assert math.isnan(found.distance)
    assert all(bool(part.isnan().all()) for part in (found.covariance(), found.shift(), found.step()))
