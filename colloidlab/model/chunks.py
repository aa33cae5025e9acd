"""Small networks with their derivatives along one input, for many thousand rows at a time: fast and lean.

A graph of plain operations keeps every intermediate of every row, and each operation walks through all of memory.
Here rows go through the network in chunks that stay in the processor's cache, and the backward pass is written out.
What enters an activation is kept, but for the first layer, where it is computed again.

| symbol | name here |
|---|---|
| z, z', z'': what enters an activation s, and its derivatives along the input | `z` |
| h = s(z), h' = s' z', h'' = s'' z'^2 + s' z'' | `_activate` |
| adjoints of z, z', z'' from those of h, h', h'' | `_activate_backward` |
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from colloidlab.model.jets import Activation, propagate

_ROWS = 512
"""Rows of 100 features in double precision, and the few arrays of them at work, fit the cache of one core."""

Layer = tuple[Tensor, Tensor]
"""Weight, shape (out, in), and bias, shape (out,)."""


def network_jet(
    inputs: Tensor, axis: int, layers: Sequence[Layer], activation: Activation, *, order: int = 2
) -> tuple[Tensor, ...]:
    """Output of a network and its derivatives along one input.

    Parameters
    ----------
    inputs : tensor, shape (n, n_inputs)
    axis : int
        Of the inputs.
    layers : sequence of (weight, bias)
        At least two; the activation lies between them.
    activation : callable
        See `jets.Activation`.
    order : int
        Of the highest derivative, 0 to 2.

    Returns
    -------
    tuple of `order` + 1 tensors, shape (n, n_outputs)
        Differentiable in inputs, weights and biases; more than once by way of `jets.propagate`.
    """
    if torch.compiler.is_exporting():
        # Chunks would make the graph longer with the number of rows, and what lies between the products is fused.
        jet = propagate(inputs, axis, layers, activation)
        return (jet.value, jet.first, jet.second)[: order + 1]
    flat = [tensor for layer in layers for tensor in layer]
    if not torch.is_grad_enabled() or not any(tensor.requires_grad for tensor in (inputs, *flat)):
        return _without_graph(inputs, axis, order, activation, layers)
    return tuple(_NetworkJet.apply(inputs, axis, order, activation, *flat))


def _without_graph(
    inputs: Tensor, axis: int, order: int, activation: Activation, layers: Sequence[Layer]
) -> tuple[Tensor, ...]:
    """The forward pass alone, in the same few arrays for all chunks: new ones would cost as much as the arithmetic."""
    (first_weight, first_bias), *later = layers
    found = _streams(inputs, later[-1][0], order)
    steps = _after_activations(layers, axis, order)
    size = _size(inputs)
    entering: list[list[Tensor]] = []
    for x, *out in zip(inputs.split(size), *(stream.split(size) for stream in found), strict=True):
        if not entering or entering[0][0].shape[0] != x.shape[0]:
            entering, leaving = _work(x, [len(weight) for weight, _ in layers[:-1]], order)
        torch.addmm(first_bias, x, first_weight.T, out=entering[0][0])
        for k, (weights, bias) in enumerate(steps):
            h = activation(entering[k][0], order, leaving[k])
            if k > 0:
                _chain(h, entering[k])
            into = out if k + 1 == len(steps) else entering[k + 1]
            torch.addmm(bias, h[0], weights[0], out=into[0])
            for d in range(1, order + 1):
                torch.mm(h[d], weights[d], out=into[d])
    return tuple(found)


def _after_activations(layers: Sequence[Layer], axis: int, order: int) -> list[tuple[list[Tensor], Tensor]]:
    """Of every layer but the first, the weight for h, h', h'', shape (in, out) each, and the bias.

    z' is the same for all rows where it enters the first activation: the weights that follow take in its powers.
    """
    (first, _), *later = layers
    (second, _), *others = later
    weights = [[second * first[:, axis] ** d for d in range(order + 1)]]
    weights += [[weight] * (order + 1) for weight, _ in others]
    return [([w.T for w in streams], bias) for streams, (_, bias) in zip(weights, later, strict=True)]


def _work(like: Tensor, widths: list[int], order: int) -> tuple[list[list[Tensor]], list[list[Tensor]]]:
    """Arrays for what enters and what leaves every activation; layers of one width use the same ones."""
    memory = {width: list(like.new_empty(2 * order + 3, len(like), width).unbind(0)) for width in set(widths)}
    n = order + 1
    return [memory[width][:n] for width in widths], [memory[width][n:] for width in widths]


def _chain(f: list[Tensor], z: list[Tensor]) -> None:
    """Make derivatives along the input, h' and h'', of those of the activation, in place."""
    if len(z) > 2:
        f[2].mul_(z[1]).mul_(z[1]).addcmul_(f[1], z[2])
    if len(z) > 1:
        f[1].mul_(z[1])


class _NetworkJet(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, inputs: Tensor, axis: int, order: int, activation: Activation, *flat: Tensor
    ) -> tuple[Tensor, ...]:
        # Adjoints that nobody asks for stay None and cost nothing.
        ctx.set_materialize_grads(False)
        ctx.axis, ctx.order, ctx.activation, ctx.n_flat = axis, order, activation, len(flat)
        (first_weight, first_bias), *later = layers = _layers(flat)
        steps = _after_activations(layers, axis, order)
        entered: list[list[Tensor]] = [[] for _ in later]
        if any(ctx.needs_input_grad):
            entered = [_streams(inputs, weight, order) for weight, _ in later]
        entered[-1] = found = entered[-1] or _streams(inputs, later[-1][0], order)
        for rows in _chunks(inputs):
            z = [torch.addmm(first_bias, inputs[rows], first_weight.T)]
            for k, ((weights, bias), into) in enumerate(zip(steps, entered, strict=True)):
                h = activation(z[0], order)
                if k > 0:
                    _chain(h, z)
                out: Sequence[Tensor | None] = [stream[rows] for stream in into] or [None] * (order + 1)
                z = [torch.addmm(bias, h[0], weights[0], out=out[0])]
                z += [torch.mm(*each, out=o) for *each, o in zip(h[1:], weights[1:], out[1:], strict=True)]
        ctx.save_for_backward(inputs, *flat, *(stream for layer in entered[:-1] for stream in layer))
        return tuple(found)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor | None) -> Any:
        inputs, *rest = ctx.saved_tensors
        flat, kept = rest[: ctx.n_flat], rest[ctx.n_flat :]
        if torch.is_grad_enabled():
            return _differentiable(ctx, inputs, flat, grads)
        order = max((d for d, grad in enumerate(grads) if grad is not None), default=-1)
        if order < 0:
            return (None,) * (4 + ctx.n_flat)
        layers, total = _layers(flat), _layers([torch.zeros_like(tensor) for tensor in flat])
        at_inputs = torch.empty_like(inputs) if ctx.needs_input_grad[0] else None
        zero = inputs.new_zeros(len(inputs), len(layers[-1][0]))
        adjoints = [zero if grad is None else grad for grad in grads[: order + 1]]
        for rows in _chunks(inputs):
            entered = [_first(inputs[rows], ctx.axis, layers[0], order)]
            for k in range(0, len(kept), ctx.order + 1):
                entered.append([stream[rows] for stream in kept[k : k + order + 1]])
            g = [adjoint[rows] for adjoint in adjoints]
            for z, layer, at in zip(entered[::-1], layers[:0:-1], total[:0:-1], strict=True):
                f = ctx.activation(z[0], order + 1)
                g = _activate_backward(_linear_backward(g, _activate(z, f, order), layer, at), z, f)
            _first_backward(g, inputs[rows], ctx.axis, total[0])
            if at_inputs is not None:
                # z' of the first layer is the same everywhere, so that z alone knows where the inputs are.
                torch.mm(g[0], layers[0][0], out=at_inputs[rows])
        return (at_inputs, None, None, None, *(tensor for layer in total for tensor in layer))


def _layers(flat: Sequence[Tensor]) -> list[Layer]:
    return list(zip(flat[::2], flat[1::2], strict=True))


def _streams(inputs: Tensor, weight: Tensor, order: int) -> list[Tensor]:
    return [inputs.new_empty(len(inputs), len(weight)) for _ in range(order + 1)]


def _size(inputs: Tensor) -> int:
    """Rows of a chunk."""
    if inputs.device.type == "cpu":
        return _ROWS * torch.float64.itemsize // inputs.element_size()
    # An accelerator is fast with many rows only.
    return max(len(inputs), 1)


def _chunks(inputs: Tensor) -> list[slice]:
    size = _size(inputs)
    return [slice(a, b) for a, b in pairwise([*range(0, len(inputs), size), len(inputs)])]


def _first(x: Tensor, axis: int, layer: Layer, order: int) -> list[Tensor]:
    """What enters the first activation: z, and z' of shape (1, out) the same for all rows; z'' vanishes and is left out."""
    weight, bias = layer
    z = [torch.addmm(bias, x, weight.T)]
    # Contiguous, because with strides the products are several times slower.
    return z if order == 0 else [*z, weight[None, :, axis].contiguous()]


def _activate(z: list[Tensor], f: list[Tensor], order: int) -> list[Tensor]:
    h = f[:1]
    if order > 0:
        h.append(f[1] * z[1])
    if order > 1:
        h.append(f[2] * z[1].square())
        if len(z) > 2:
            h[2].addcmul_(f[1], z[2])
    return h


def _activate_backward(g: list[Tensor], z: list[Tensor], f: list[Tensor]) -> list[Tensor]:
    """Adjoints of z, z', z''; what is in `g` is overwritten."""
    order = len(g) - 1
    if order == 0:
        return [g[0].mul_(f[1])]
    bent = f[2] * z[1]
    at = [g[0].mul_(f[1]).addcmul_(g[1], bent)]
    if order > 1:
        at[0].addcmul_(g[2], f[3] * z[1].square())
        if len(z) > 2:
            at[0].addcmul_(g[2], f[2] * z[2])
    at.append(g[1].mul_(f[1]))
    if order > 1:
        at[1].addcmul_(g[2], bent, value=2)
        if len(z) > 2:
            at.append(g[2].mul_(f[1]))
    return at


def _linear_backward(g: list[Tensor], h: list[Tensor], layer: Layer, total: Layer) -> list[Tensor]:
    total[1].add_(g[0].sum(0))
    for adjoint, value in zip(g, h, strict=True):
        total[0].addmm_(adjoint.T, value)
    return [adjoint @ layer[0] for adjoint in g]


def _first_backward(g: list[Tensor], x: Tensor, axis: int, total: Layer) -> None:
    total[1].add_(g[0].sum(0))
    total[0].addmm_(g[0].T, x)
    if len(g) > 1:
        total[0][:, axis].add_(g[1].sum(0))


def _differentiable(ctx: Any, inputs: Tensor, flat: Sequence[Tensor], grads: Sequence[Tensor | None]) -> Any:
    """The backward pass as a graph of its own, for derivatives of derivatives."""
    # Views, so that what inputs and weights may have in common is not followed here.
    leaves = [tensor.view_as(tensor) for tensor in (inputs, *flat)]
    jet = propagate(leaves[0], ctx.axis, _layers(leaves[1:]), ctx.activation)
    asked = [
        (out, grad)
        for out, grad in zip((jet.value, jet.first, jet.second), grads, strict=False)
        if grad is not None and out.requires_grad
    ]
    needed = [yes and bool(asked) for yes in (ctx.needs_input_grad[0], *ctx.needs_input_grad[4:])]
    found = iter(
        torch.autograd.grad(
            [out for out, _ in asked],
            [leaf for leaf, yes in zip(leaves, needed, strict=True) if yes],
            [grad for _, grad in asked],
            create_graph=True,
            allow_unused=True,
        )
        if any(needed)
        else ()
    )
    at_inputs, *at_flat = (next(found) if yes else None for yes in needed)
    return (at_inputs, None, None, None, *at_flat)
