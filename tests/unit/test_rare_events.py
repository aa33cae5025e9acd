"""Errors of fitted laws where one rare event outweighs all others: it counts for its own parameter only."""

from __future__ import annotations

import pytest
import torch

from colloidlab.model.uncertainty import _overdispersion, _sandwich

N_WINDOWS, N_PARAMETERS, PER_WINDOW = 10, 8, 1000.0
COUNTS = torch.full((N_WINDOWS,), PER_WINDOW, dtype=torch.float64)
VARIATION = torch.diag(torch.logspace(-2, 1, N_PARAMETERS, dtype=torch.float64))


def scores(factor: float) -> torch.Tensor:
    """Sums over windows of scores whose variance is `factor` times the stated one."""
    generator = torch.Generator().manual_seed(3)
    white = torch.randn((N_WINDOWS, N_PARAMETERS), generator=generator, dtype=torch.float64)
    return white * (factor * PER_WINDOW * VARIATION.diagonal()).sqrt()


@pytest.mark.parametrize("factor", [1.0, 3.0])
def test_what_scatters_alike_has_one_factor(factor: float) -> None:
    phi, inflated = _overdispersion(scores(factor), COUNTS, VARIATION)
    assert phi == pytest.approx(factor, rel=0.35)
    torch.testing.assert_close(inflated, VARIATION)


def test_a_rare_event_widens_its_own_direction_only() -> None:
    with_event = scores(1.0)
    with_event[0, 2] -= 100 * float((PER_WINDOW * VARIATION[2, 2]).sqrt())
    phi, inflated = _overdispersion(with_event, COUNTS, VARIATION)
    assert phi < 1.5
    ratio = inflated.diagonal() / VARIATION.diagonal()
    assert float(ratio[2]) > 500
    others = torch.arange(N_PARAMETERS) != 2
    torch.testing.assert_close(ratio[others], torch.ones_like(ratio[others]))


def test_no_long_step_is_taken_on_chance() -> None:
    total = N_WINDOWS * PER_WINDOW
    information, gradient = total * VARIATION, total * VARIATION.diagonal()
    covariance, step = _sandwich(information, information, gradient)
    torch.testing.assert_close(step, gradient / (information.diagonal() + 1))
    uncertain = information.clone()
    uncertain[2, 2] *= 1000
    wider, shorter = _sandwich(information, uncertain, gradient)
    assert float(shorter[2] / step[2]) == pytest.approx(5 / 990, rel=0.05)
    others = torch.arange(N_PARAMETERS) != 2
    torch.testing.assert_close(shorter[others], step[others])
    assert float(wider[2, 2] / covariance[2, 2]) == pytest.approx(1000, rel=0.05)


def test_scores_of_very_different_size_are_told_apart() -> None:
    """One parameter tells a hundred million times as much as another, and rounding has made the sum indefinite."""
    scale = torch.tensor([1e9, 1.0, 1e-1], dtype=torch.float64)
    alike = torch.tensor([[1.0, 0.3, 0.2], [0.3, 1.0, 0.1], [0.2, 0.1, 1.0]], dtype=torch.float64)
    information = torch.outer(scale, scale) * alike * 100
    gradient = scale * torch.tensor([1.0, -2.0, 0.5], dtype=torch.float64)
    one = torch.eye(3, dtype=torch.float64)
    covariance, step = _sandwich(information, information, gradient)
    in_units = torch.linalg.inv(100 * alike + one / torch.outer(scale, scale))
    torch.testing.assert_close(covariance * torch.outer(scale, scale), in_units, rtol=1e-6, atol=1e-12)
    torch.testing.assert_close(step * scale, in_units @ (gradient / scale), rtol=1e-6, atol=1e-12)
    # A rank that is one less, but for rounding of the largest entries.
    row = torch.tensor([1e10, 1e2, 0.0], dtype=torch.float64)
    broken = torch.outer(row, row)
    broken[1, 1] -= 3e3
    covariance, step = _sandwich(broken, broken, gradient)
    assert bool(torch.isfinite(covariance).all() & torch.isfinite(step).all())
    assert float(torch.linalg.eigvalsh(covariance * 1e-6).min()) >= -1e-9


def test_laws_beyond_their_domain_have_no_covariance() -> None:
    nothing = torch.full((2, 2), torch.nan, dtype=torch.float64)
    covariance, step = _sandwich(nothing, nothing, torch.ones(2, dtype=torch.float64))
    assert bool(covariance.isnan().all() and step.isnan().all())
