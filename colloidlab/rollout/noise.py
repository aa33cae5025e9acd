"""Standard normal numbers that belong to particles and steps, not to the order in which they are asked for.

A pair of particles has the same numbers in a step whatever the order of the list of pairs, which end is called i, which
other pairs there are, where a simulation was taken up again, and on any device. Philox 4x32-10 turns identities, step and
seed into four 32-bit words, and Box and Muller's method those into four numbers.

References
----------
Salmon, Moraes, Dror & Shaw, SC '11 (2011), doi:10.1145/2063384.2063405.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from colloidlab.model import brackets
from colloidlab.model.pairs import Pairs

Words = tuple[Tensor, Tensor, Tensor, Tensor]

_MASK = 0xFFFFFFFF
_MULTIPLIERS = 0xD2511F53, 0xCD9E8D57
_WEYL = 0x9E3779B9, 0xBB67AE85
_ROUNDS = 10
_ALONE = _MASK
"""In the place of the other particle, for the numbers of a single one."""


def member_seeds(n: int, *words: int) -> list[int]:
    """Seeds of the n members of an ensemble that is known by these words: members of different ensembles share none.

    Each is below 2^63 and depends on the words and on its own place only.

    Examples
    --------
    >>> member_seeds(2, 7) == member_seeds(3, 7)[:2], set(member_seeds(5, 7)) & set(member_seeds(5, 8))
    (True, set())
    """
    # The number of words goes first: a sequence and the same with a zero behind it would give the same.
    sequences = [np.random.SeedSequence([len(words), *words, k]) for k in range(n)]
    return [int(sequence.generate_state(1, np.uint64)[0] >> np.uint64(1)) for sequence in sequences]


def philox(counter: Words, key: tuple[Tensor, Tensor]) -> Words:
    """Philox 4x32-10: four words from a counter of four and a key of two, all below 2^32 in int64 tensors."""
    a, b, c, d = counter
    k0, k1 = key
    for _ in range(_ROUNDS):
        # A product of 64 bits wraps around in int64; its two halves are right all the same.
        first, second = a * _MULTIPLIERS[0], c * _MULTIPLIERS[1]
        a, b, c, d = (
            ((second >> 32) & _MASK) ^ b ^ k0,
            second & _MASK,
            ((first >> 32) & _MASK) ^ d ^ k1,
            first & _MASK,
        )
        k0, k1 = (k0 + _WEYL[0]) & _MASK, (k1 + _WEYL[1]) & _MASK
    return a, b, c, d


def normals(words: Words, dtype: torch.dtype) -> Tensor:
    """Four standard normal numbers from four words, shape (n, 4); none beyond 6.7."""
    u = [(word.to(torch.float64) + 0.5) / 2**32 for word in words]
    found = []
    for size, angle in ((u[0], u[1]), (u[2], u[3])):
        radius, turn = torch.sqrt(-2 * torch.log(size)), 2 * math.pi * angle
        found += [radius * torch.cos(turn), radius * torch.sin(turn)]
    return torch.stack(found, dim=1).to(dtype)


@dataclass(frozen=True)
class Moment:
    """When in a simulation numbers are drawn.

    Attributes
    ----------
    step : int, or int64 tensor without dimensions
        Below 2^32.
    part : int
        Of a step that is taken in several, below 2^16.
    attempt : int64 tensor, shape (n,), or None
        How often the part has been tried before, below 2^16; zero without it.
    """

    step: int | Tensor
    part: int = 0
    attempt: Tensor | None = None


@dataclass(frozen=True)
class CounterNoise:
    """The numbers of all particles and pairs.

    Attributes
    ----------
    identity : int64 tensor, shape (n,)
        Of every particle, below 2^32 - 1, and different from that of all that it may meet.
    seed : int64 tensor, shape (n,)
        The same for all that may meet.
    """

    identity: Tensor
    seed: Tensor

    def pair_numbers(self, pairs: Pairs, moment: Moment, dim: int, dtype: torch.dtype) -> brackets.Noise:
        """Impulse and heat of every pair; the signs are those of its ends as they are listed."""
        one, other = self.identity[pairs.i], self.identity[pairs.j]
        sign = torch.where(one < other, 1, -1).to(dtype)
        found = self._draw(torch.minimum(one, other), torch.maximum(one, other), pairs.i, moment, dtype)
        found = sign[:, None] * found
        return brackets.Noise(impulse=found[:, :dim], heat=found[:, dim])

    def particle_numbers(self, moment: Moment, dim: int, dtype: torch.dtype) -> Tensor:
        """Numbers of the particles themselves, shape (n, D)."""
        everyone = torch.arange(len(self.identity), device=self.identity.device)
        alone = torch.full_like(self.identity, _ALONE)
        return self._draw(self.identity, alone, everyone, moment, dtype)[:, :dim]

    def _draw(self, one: Tensor, other: Tensor, owner: Tensor, moment: Moment, dtype: torch.dtype) -> Tensor:
        seed = self.seed[owner]
        part = torch.full_like(one, moment.part)
        if moment.attempt is not None:
            part = part + (moment.attempt[owner] << 16)
        counter = one, other, torch.zeros_like(one) + (moment.step & _MASK), part
        return normals(philox(counter, (seed & _MASK, (seed >> 32) & _MASK)), dtype)
