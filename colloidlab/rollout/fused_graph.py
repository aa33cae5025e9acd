"""Graphs of what a motion does again and again, each compiled to a few fused operations.

They are traced with the usual answer to every question (`model.ahead`), which are part of the graph, and for any number
of pairs. Every graph ends with a verdict, a number without dimensions: zero, or the sum of `WORN` and `DOUBTED`, where the
rest of what it has found is worth nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.export import Dim, export

from colloidlab.model import brackets
from colloidlab.model.ahead import Ahead
from colloidlab.rollout.free_motion import FreeMotion
from colloidlab.rollout.integrators.conserving import Push, push_of
from colloidlab.rollout.neighbours import Neighbours
from colloidlab.rollout.state import State

WORN, DOUBTED = 1, 2
"""The list of neighbours was used up; another answer was wrong."""


_FEWEST = 2
"""Pairs; one or none would be compiled by itself."""


class Place(NamedTuple):
    """What has to be known of a configuration to go on from it, and for the books; shapes (n, D) and (n,)."""

    force: Tensor
    image_power: Tensor
    volume: Tensor
    temperature: Tensor
    U: Tensor
    internal: Tensor


def place_of(there: brackets.Mechanics) -> Place:
    """Of the laws at a configuration."""
    push, thermo = push_of(there), there.thermo
    internal = brackets.internal_energy(there)
    return Place(push.force, push.image_power, there.volume, thermo.T, thermo.U, internal)


class Listed(NamedTuple):
    """The list of neighbours at a moment, as tensors.

    Attributes
    ----------
    candidates : int64 tensor, shape (2, n_pairs)
    found_at : tensor, shape (n, D)
        Positions that the list was made at.
    tilt, strain : float64 tensors without dimensions
        Of a shear box: displacement of the images, and strain since the list was made.
    """

    candidates: Tensor
    found_at: Tensor
    tilt: Tensor
    strain: Tensor


def listed(neighbours: Neighbours, t: float) -> Listed | None:
    """At time t; none where there must be a search first, or hardly anybody meets: a graph is for several pairs."""
    if neighbours.last is None:
        return None
    candidates, found_at = neighbours.last
    if candidates.shape[1] < _FEWEST:
        return None
    # Filled on the device: a tensor made from a number of the host would wait for it.
    tilt, strain = (
        torch.full((), value, dtype=torch.float64, device=candidates.device)
        for value in (neighbours.tilt(t), neighbours.strain_since(t))
    )
    return Listed(candidates, found_at, tilt, strain)


class PlaceGraph(nn.Module):
    """The laws at a configuration."""

    def __init__(self, plain: FreeMotion) -> None:
        super().__init__()
        self.laws = plain.laws
        self._neighbours = plain.neighbours

    def forward(
        self, r: Tensor, S: Tensor, candidates: Tensor, found_at: Tensor, tilt: Tensor, strain: Tensor
    ) -> tuple[Tensor, ...]:
        """The fields of `Place`, and the verdict."""

        def compute() -> Place:
            pairs = self._neighbours.geometry(r, candidates, tilt)
            return place_of(brackets.mechanics(self.laws, pairs, S))

        place, doubt = Ahead({}).guess(compute)
        return (*place, _verdict(self._neighbours.used_up(r, found_at, strain), doubt))


class StepGraph(nn.Module):
    """A step of time dt.

    Parameters
    ----------
    plain : FreeMotion
    dt : float
    usual : dict of str to int
        How often loops go round (`ahead.Ahead.usual`).
    """

    def __init__(self, plain: FreeMotion, dt: float, usual: dict[str, int]) -> None:
        super().__init__()
        self.laws = plain.laws
        self.dt, self.usual = dt, dict(usual)
        self.parts = 1
        self._plain = plain

    def forward(
        self,
        r: Tensor,
        v: Tensor,
        S: Tensor,
        force: Tensor,
        image_power: Tensor,
        step: Tensor,
        candidates: Tensor,
        found_at: Tensor,
        tilt: Tensor,
        strain: Tensor,
    ) -> tuple[Tensor, ...]:
        """r, v and S after it, the fields of `Place` there, those of `Given`, and the verdict."""
        neighbours = self._plain.neighbours

        def around(r: Tensor, S: Tensor) -> brackets.Mechanics:
            return brackets.mechanics(self.laws, neighbours.geometry(r, candidates, tilt), S)

        done, doubt = Ahead(self.usual).guess(
            lambda: self._plain.conserve(State(r, v, S), Push(force, image_power), around, self.dt, step)
        )
        after, given = done.state, done.given
        self.parts = given.parts
        return (
            after.r,
            after.v,
            after.S,
            *place_of(done.mechanics),
            given.bath_momentum,
            given.bath_energy,
            given.external_momentum,
            given.external_energy,
            given.image_energy,
            _verdict(neighbours.used_up(after.r, found_at, strain), doubt),
        )


def _verdict(worn: Tensor, doubt: Tensor | None) -> Tensor:
    verdict = WORN * worn.to(torch.int64)
    return verdict if doubt is None else verdict + DOUBTED * doubt.to(torch.int64)


def compiled(graph: nn.Module, *inputs: Tensor) -> Callable[..., list[Tensor]]:
    """A graph, traced with these inputs, of which the list of neighbours has any length, and compiled.

    Tracing runs the program as it is, contexts and closures included.
    """
    any_length = [{1: Dim.DYNAMIC} if x.dtype == torch.int64 and x.ndim == 2 else None for x in inputs]
    traced = export(graph, inputs, dynamic_shapes=tuple(any_length), strict=False)
    run: Callable[..., list[Tensor]] = torch.compile(traced.module(), dynamic=True, fullgraph=True)
    return run
