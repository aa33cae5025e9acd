"""The published encoder ("teacher"): entropy from the neighbourhood of a single frame.

    S_i = mean over pairs (i, j) of N(x_ij, v_ij) + mean over pairs (j, i) of N(x_ij, -v_ij)

Each mean is over the pairs in which the particle is the first, or the second. Which one it is goes with the order of
particles in the table, and v_ij enters by its components, so that S depends on labels and on the orientation of the box; and
one frame hardly holds a temperature. It is kept to compare with.

References
----------
Hernandez, Win, O'Connor, Arratia, Trask, arXiv 2508.12569 (2025).
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from colloidlab.errors import InputError
from colloidlab.model.jets import silu
from colloidlab.model.pairs import Pairs
from colloidlab.model.published import Layers, read_weights


class PublishedEncoder(nn.Module):
    """S of every particle from pairs and velocities of one frame.

    Parameters
    ----------
    hidden : sequence of int
        Features of the hidden layers.
    n_dims : int
    """

    def __init__(self, hidden: list[int], n_dims: int) -> None:
        super().__init__()
        self.network = Layers([1 + n_dims, *hidden, 1], silu)

    def forward(self, pairs: Pairs, v: Tensor) -> Tensor:
        """Entropy, shape (n,), from velocities of shape (n, D)."""
        u = v[pairs.i] - v[pairs.j]
        inputs = torch.cat([pairs.x.repeat(2)[:, None], torch.cat([u, -u])], dim=1)
        at_i, at_j = self.network.value(inputs).view(2, -1)
        return _mean(at_i, pairs.i, pairs.n) + _mean(at_j, pairs.j, pairs.n)


def _mean(values: Tensor, index: Tensor, n: int) -> Tensor:
    zero = values.new_zeros(n)
    return zero.index_add(0, index, values) / zero.index_add(0, index, torch.ones_like(values)).clamp_min(1)


def load_published_encoder(path: str | Path) -> PublishedEncoder:
    """Read the encoder from a file of weights that the authors of the method published, in float64.

    Raises
    ------
    InputError
        The file is missing, is no state dict, or lacks a tensor of the encoder.
    """
    state = read_weights(Path(path))
    count = sum(name.startswith("teacher.layers.") and name.endswith(".weight") for name in state)
    try:
        weights = [state[f"teacher.layers.{2 * k}.weight"] for k in range(count)]
        biases = [state[f"teacher.layers.{2 * k}.bias"] for k in range(count)]
        encoder = PublishedEncoder([len(w) for w in weights[:-1]], weights[0].shape[1] - 1)
        ours = [f"network.layers.{k}" for k in range(count)]
        encoder.load_state_dict(
            {f"{name}.weight": w.double() for name, w in zip(ours, weights, strict=True)}
            | {f"{name}.bias": b.double() for name, b in zip(ours, biases, strict=True)}
        )
    except (KeyError, IndexError, RuntimeError) as error:
        raise InputError(f"{path} holds no encoder of the published form: {error}") from None
    return encoder
