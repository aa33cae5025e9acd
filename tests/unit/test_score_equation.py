"""Laws from an expected score: the equation G = H d is weighed by its scatter, against a prior on the likelihood's bias."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from colloidlab.model.score_equation import TRUST, ScoreEquation, roots, score_equation
from colloidlab.model.uncertainty import _sandwich

P = 6


def matrices(seed: int = 0) -> tuple[Tensor, Tensor]:
    """H and J, correlated, over four orders of magnitude; J is larger than H and one together."""
    generator = torch.Generator().manual_seed(seed)
    scale = torch.logspace(0, 2, P, dtype=torch.float64)
    found = []
    for factor in (1.0, 6.0):
        root = torch.eye(P, dtype=torch.float64) + 0.2 * torch.randn((P, P), generator=generator).double()
        found.append(factor * torch.outer(scale, scale) * (root @ root.T))
    return found[0], found[1]


def test_it_is_the_likeliest_shift_and_its_covariance() -> None:
    """Against the normal equations of ln p = -(G - H d)^T J_s^-1 (G - H d)/2 - |theta + d - theta_0|^2/2."""
    H, J_s = matrices()
    G, pull = torch.linspace(-20, 30, P).double(), torch.linspace(0.3, -0.2, P).double()
    d = torch.zeros(P, dtype=torch.float64, requires_grad=True)

    def minus_log_p(d: Tensor) -> Tensor:
        rest = G - H @ d
        return 0.5 * (rest @ torch.linalg.solve(J_s, rest) + (d + pull) @ (d + pull))

    curvature = torch.autograd.functional.hessian(minus_log_p, d)
    (slope,) = torch.autograd.grad(minus_log_p(d), d)
    found = ScoreEquation(H, J_s, G, pull)
    torch.testing.assert_close(found.shift(), -torch.linalg.solve(curvature, slope), rtol=1e-8, atol=1e-10)
    torch.testing.assert_close(found.covariance(), torch.linalg.inv(curvature), rtol=1e-8, atol=1e-12)
    assert found.distance() == pytest.approx(2 * float(minus_log_p(torch.zeros(P).double())))
    # By the scatter of another, whose scores are worth less.
    assert found.distance(4 * J_s) == pytest.approx(
        float(G @ torch.linalg.solve(4 * J_s, G) + pull @ pull), rel=1e-9
    )


def test_scatter_is_that_of_the_simulation_and_no_less_than_information() -> None:
    H, J = matrices()
    J = J + 2 * (H + torch.eye(P).double())
    none = torch.zeros(P).double()
    torch.testing.assert_close(score_equation(H, J, 0.5, none, none).scatter, 0.5 * J, rtol=1e-9, atol=1e-9)
    # Directions that vary little, or less than not at all by chance, count as if they did as scores should.
    known = H + torch.eye(P).double()
    for little in (0.01 * (J - H), -J):
        found = score_equation(H, little, 0.5, none, none).scatter
        torch.testing.assert_close(found, 0.5 * known, rtol=1e-9, atol=1e-9)
    root, inverse = roots(known)
    torch.testing.assert_close(root.T @ root, known)
    torch.testing.assert_close(inverse @ known @ inverse.T, torch.eye(P).double(), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(("H", "J", "s"), [(1000.0, 1000.0, 1.0), (100.0, 400.0, 2.0), (30.0, 300.0, 1.0)])
def test_errors_are_those_that_are_said(H: float, J: float, s: float) -> None:
    """The likelihood's optimum lies off the truth by a bias and by the data's scatter; corrections take out the first."""
    n = 500
    generator = torch.Generator().manual_seed(2)
    bias, data, simulated = torch.randn((3, n), generator=generator, dtype=torch.float64)
    optimum = bias + data * math.sqrt(J) / H  # of a truth of zero
    information, variation = (torch.full((1, 1), x, dtype=torch.float64) for x in (H, J))
    squares, left = [], []
    for b, theta_0, noise in zip(bias, optimum, simulated, strict=True):
        theta, equation = theta_0, None
        for _ in range(6):
            # The data's score, and that of simulations at theta, whose own optimum is b further.
            G = -H * (theta - theta_0) - H * b - noise * math.sqrt(J / s)
            equation = score_equation(information, variation, 1 / s, G[None], (theta - theta_0)[None])
            theta = theta + equation.step()[0]
        assert equation is not None
        inside, _ = _sandwich(information, variation, torch.zeros(1).double())
        squares.append(float(theta**2 / (inside + equation.covariance())))
        left.append(float(theta))
    assert sum(squares) / n == pytest.approx(1.0, abs=4 * (2 / n) ** 0.5)
    # Without any correction they would be off by the bias, whose size is one.
    assert (sum(x * x for x in left) / n) ** 0.5 < 0.95 * float(optimum.square().mean().sqrt())


def test_scatter_is_not_chased() -> None:
    """A parameter that hardly shows, of whose score nearly all is chance: it stays, and the others do not notice."""
    H = torch.diag(torch.tensor([1000.0, 1.0], dtype=torch.float64))
    J = torch.diag(torch.tensor([2000.0, 100.0], dtype=torch.float64))
    G = torch.tensor([100.0, 20.0], dtype=torch.float64)
    found = score_equation(H, J, 1.0, G, torch.zeros(2).double())
    first, second = found.shift().tolist()
    # Newton's step would be 20 in the second, whose score is off by two standard deviations.
    assert first == pytest.approx(0.1, rel=0.01) and second == pytest.approx(20 / 101, rel=0.01)
    # Where it has been led away, the prior leads it back.
    away = score_equation(H, J, 1.0, torch.zeros(2).double(), torch.tensor([0.0, 3.0]).double())
    assert away.shift().tolist() == pytest.approx([0.0, -3 * 100 / 101], rel=1e-6)


@pytest.mark.parametrize("size", [1e4, 1e9, 1e12])
def test_a_long_way_is_gone_in_steps_that_can_be_trusted(size: float) -> None:
    H = torch.diag(torch.tensor([size, 3.0], dtype=torch.float64))
    G = torch.tensor([0.2 * size, 15.0], dtype=torch.float64)
    found = ScoreEquation(H, H, G, torch.zeros(2).double())
    whole, step = found.shift(), found.step()
    assert float(whole[1]) > 3 and float(step.abs().max()) == pytest.approx(TRUST, rel=1e-4)
    # Not in the same direction: what is well known is not held back by what is not.
    assert float(step[0] / whole[0]) > 0.99 > 0.25 > float(step[1] / whole[1])
    far = ScoreEquation(H, H, torch.stack([3 * H[0, 0], G[1]]), torch.zeros(2).double())
    assert float(far.step().abs().max()) <= TRUST
    near = ScoreEquation(H, H, 0.1 * G, torch.zeros(2).double())
    assert torch.equal(near.step(), near.shift())


def test_laws_beyond_their_domain_have_no_equation() -> None:
    nothing = torch.full((2, 2), torch.nan, dtype=torch.float64)
    found = score_equation(nothing, nothing, 1.0, torch.ones(2).double(), torch.zeros(2).double())
    assert not found.is_number and math.isnan(found.distance())
    assert all(bool(part.isnan().all()) for part in (found.covariance(), found.shift(), found.step()))
