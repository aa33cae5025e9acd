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
