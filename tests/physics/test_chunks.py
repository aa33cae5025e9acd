"""Networks in chunks of rows: the numbers and gradients of plain operations, to round-off."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch

from colloidlab.model.chunks import network_jet
from colloidlab.model.jets import Activation, propagate, silu, softplus

ROWS = 1300
"""Two full chunks and a part of one."""


def network(
    sizes: list[int], rows: int = ROWS
) -> tuple[torch.Tensor, list[tuple[torch.Tensor, torch.Tensor]]]:
    generator = torch.Generator().manual_seed(len(sizes))

    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64).requires_grad_(True)

    return normal(rows, sizes[0]), [(normal(b, a), normal(b)) for a, b in pairwise(sizes)]


def close(found: torch.Tensor | None, expected: torch.Tensor | None) -> None:
    assert (found is None) or torch.isfinite(found).all()
    if expected is None:
        assert found is None or not found.any()
        return
    assert found is not None
    assert (found - expected).abs().max() <= 1e-12 * expected.abs().max()


@pytest.mark.parametrize("activation", [silu, softplus])
@pytest.mark.parametrize("sizes", [[2, 6, 1], [2, 7, 5, 1], [3, 6, 5, 4, 2]])
@pytest.mark.parametrize("order", [0, 1, 2])
def test_values_and_gradients_are_those_of_autograd(
    activation: Activation, sizes: list[int], order: int
) -> None:
    """For every choice of the derivatives that a loss depends on, and both ways back."""
    x, layers = network(sizes)
    leaves = [x, *(tensor for layer in layers for tensor in layer)]
    jet = propagate(x, 1, layers, activation)
    expected = [jet.value, jet.first, jet.second][: order + 1]
    found = network_jet(x, 1, layers, activation, order=order)
    generator = torch.Generator().manual_seed(0)
    weights = [torch.randn(out.shape, generator=generator, dtype=out.dtype) for out in found]
    for chosen in range(1, 2 ** (order + 1)):
        picked = [d for d in range(order + 1) if chosen >> d & 1]

        def gradients(outs, graph: bool = False, picked=picked):
            return torch.autograd.grad(
                [outs[d] for d in picked],
                leaves,
                [weights[d] for d in picked],
                retain_graph=True,
                create_graph=graph,
                allow_unused=True,
            )

        for plain, fast, twice in zip(
            gradients(expected), gradients(found), gradients(found, graph=True), strict=True
        ):
            close(fast, plain)
            close(twice, plain)
    for fast, plain in zip(found, expected, strict=True):
        close(fast, plain)


def test_can_be_differentiated_twice() -> None:
    x, layers = network([2, 6, 5, 1], rows=5)
    weight = layers[1][0]

    def penalty(value: torch.Tensor) -> torch.Tensor:
        (slope,) = torch.autograd.grad(value.sum(), weight, create_graph=True)
        return torch.autograd.grad(slope.square().sum(), x)[0]

    close(penalty(network_jet(x, 0, layers, silu)[1]), penalty(propagate(x, 0, layers, silu).first))


def test_nothing_is_kept_where_nothing_is_asked_for() -> None:
    x, layers = network([2, 6, 5, 1])
    with torch.no_grad():
        out = network_jet(x, 0, layers, silu)
    assert not any(part.requires_grad for part in out)
    for fast, plain in zip(out, network_jet(x, 0, layers, silu), strict=True):
        assert torch.equal(fast, plain)
    # Weights alone: the inputs of a kernel are data.
    (value,) = network_jet(x.detach(), 0, layers, silu, order=0)
    value.sum().backward()
    assert x.grad is None and layers[0][0].grad is not None


def test_no_rows() -> None:
    x, layers = network([2, 6, 5, 1], rows=0)
    value, slope = network_jet(x, 0, layers, silu, order=1)
    assert value.shape == slope.shape == (0, 1)
    (value + slope).sum().backward()
    assert not layers[0][0].grad.any()
