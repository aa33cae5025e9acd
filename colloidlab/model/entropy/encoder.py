"""Entropy from the neighbourhood of one frame, by a network that is trained through the laws: self-supervision.

    S_i = S_0 + c_0 L tanh(g_i/L),    g_i = g(sum_j w(x_ij) m(x_ij, |v_ij|^2, e_ij . v_ij)),    w(x) = (1 - x)^3 (1 + 3x)

| symbol | name |
|---|---|
| S_0, c_0, entropy and heat capacity about which it is written | `initial`, `heat_capacity` |
| m, g, small networks | `message`, `readout` |
| L, largest departure of ln T, about | `_LARGEST` |

The teacher of Hernandez et al. (arXiv 2508.12569), made invariant: it sees distances in units of the cutoff and relative
velocities in thermal units, only as invariants that are the same from both ends of a pair, so that S does not change
under translation, rotation, reflection, a common velocity, or another order of the particles. With the envelope w, S has
two continuous derivatives where a neighbour crosses the cutoff. c_0 is a constant: were it free, S and T could
exchange a factor.

One frame holds little of a temperature: densities and relative velocities of a few neighbours. The encoder is here to
compare with the score filter (`colloidlab benchmark learner forms`), and to start it.
"""

from __future__ import annotations

import copy
import math
from itertools import pairwise

import torch
from torch import Tensor, nn

from colloidlab.dataset.windows import Window
from colloidlab.model.entropy.inference import EntropyInference, StepOutcome, neighbour_mean
from colloidlab.model.envelope import envelope
from colloidlab.model.filter_state import FilterState
from colloidlab.model.laws import Laws
from colloidlab.model.pairs import Pairs
from colloidlab.model.tensors import dot, float64

_HIDDEN = 16
_SUMMED = 8
_LARGEST = 2.0


class EntropyEncoder(EntropyInference):
    """S of every particle from distances and relative velocities of its neighbours in the same frame.

    Parameters
    ----------
    temperature : float, px^2/frame^2
        Variance of a velocity component, the unit of velocities.
    heat_capacity : float, k_B
        Entropy by which ln T changes by one, about.
    initial : float
        S where the networks say nothing, k_B.
    seed : int
        Of the first weights. The last layer starts at zero, so that all particles start with one entropy.
    """

    form = "encoder"
    thermal_speed: Tensor
    heat_capacity: Tensor

    def __init__(
        self, temperature: float = 1.0, heat_capacity: float = 1.0, *, initial: float = 0.0, seed: int = 0
    ) -> None:
        super().__init__(initial)
        generator = torch.Generator().manual_seed(seed)
        self.register_buffer("thermal_speed", float64(math.sqrt(temperature)))
        self.register_buffer("heat_capacity", float64(heat_capacity))
        self.message = _network([3, _HIDDEN, _SUMMED], generator)
        self.readout = _network([_SUMMED, _HIDDEN, 1], generator)
        with torch.no_grad():
            self.readout[-1].get_parameter("weight").zero_()

    def forward(self, pairs: Pairs, v: Tensor) -> Tensor:
        """Entropy of every particle, shape (n,), as if all its neighbours were in `pairs`.

        Parameters
        ----------
        pairs : Pairs
        v : tensor, shape (n, D), px/frame
        """
        # The variance of a component of a relative velocity is twice that of a particle's.
        u = (v[pairs.i] - v[pairs.j]) / (math.sqrt(2) * self.thermal_speed)
        square = dot(u, u)
        # Bounded or slow functions of the invariants: a track that jumps does not carry the networks away.
        inputs = torch.stack([pairs.x, torch.log1p(square), dot(pairs.e, u) / torch.sqrt(1 + square)], dim=1)
        summed = pairs.sum_symmetric(envelope(pairs.x)[:, None] * self.message(inputs))
        departure = _LARGEST * torch.tanh(self.readout(summed)[:, 0] / _LARGEST)
        return self.initial + self.heat_capacity * departure

    def first(self, state: FilterState, known: Tensor, window: Window, k: int) -> tuple[Tensor, Tensor]:
        # The variance is not known.
        return torch.full_like(state.S, self.initial), torch.full_like(state.S, float("nan"))

    def at_frame(self, state: FilterState, pairs: Pairs, window: Window, k: int) -> Tensor:
        S, complete = self(pairs, state.v), window.complete[k]
        index = torch.stack([pairs.i, pairs.j])
        # Where neighbours are out of view their sum says nothing: entropy is that of the neighbours.
        return torch.where(complete, S, neighbour_mean(S, complete, index, window, self.initial))

    def follow(self, step: StepOutcome) -> tuple[Tensor, Tensor]:
        return step.before.S, step.before.variance

    def translated(self, old: Laws, new: Laws) -> EntropyEncoder:
        """The same temperatures at the reference volume, as entropies of other laws: a copy.

        Parameters
        ----------
        old, new : Laws
            That it was fitted with, and that it is to serve.
        """
        other = copy.deepcopy(self)
        with torch.no_grad():
            V = new.energy.log_reference_volume.exp().reshape(1)
            before = old.energy(V.new_tensor([self.initial]), V)
            S = new.energy.entropy(before.T, V)
            other.initial = float(S[0])
            other.heat_capacity *= (before.inv_c / new.energy(S, V).inv_c)[0]
        return other


def _network(sizes: list[int], generator: torch.Generator) -> nn.Sequential:
    """Linear layers with SiLU between them, weights of variance 1/inputs."""
    layers: list[nn.Module] = []
    for n_in, n_out in pairwise(sizes):
        linear = nn.utils.skip_init(nn.Linear, n_in, n_out, dtype=torch.float64)
        with torch.no_grad():
            weight = torch.randn((n_out, n_in), generator=generator, dtype=torch.float64)
            linear.weight.copy_(weight / math.sqrt(n_in))
            linear.bias.zero_()
        layers += [linear, nn.SiLU()]
    return nn.Sequential(*layers[:-1])
