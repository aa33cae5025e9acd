"""Random numbers from identities and steps."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.stats import kstest

from colloidlab.model.pairs import Pairs, pair_geometry
from colloidlab.rollout.noise import CounterNoise, Moment, normals, philox

DTYPE = torch.float64

KNOWN = [
    ((0, 0, 0, 0), (0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
    ((0xFFFFFFFF,) * 4, (0xFFFFFFFF,) * 2, (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
    (
        (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
        (0xA4093822, 0x299F31D0),
        (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
    ),
]
"""Answers published with the generator (Random123, kat_vectors): counter, key, words."""


@pytest.mark.parametrize(("counter", "key", "words"), KNOWN)
def test_philox_gives_the_published_words(
    counter: tuple[int, ...], key: tuple[int, ...], words: tuple[int, ...]
) -> None:
    a, b, c, d = (torch.tensor([word]) for word in counter)
    k0, k1 = (torch.tensor([word]) for word in key)
    assert tuple(int(word) for word in philox((a, b, c, d), (k0, k1))) == words


def everyone(n: int, seed: int = 0) -> tuple[torch.Tensor, CounterNoise]:
    """All pairs of n particles, of which identities are not the places in the list."""
    index = torch.triu_indices(n, n, 1)
    identity = torch.as_tensor(np.random.default_rng(1).permutation(10 * n)[:n])
    return index, CounterNoise(identity, torch.full((n,), seed))


def geometry(index: torch.Tensor, n: int) -> Pairs:
    r = torch.rand((n, 2), dtype=DTYPE, generator=torch.Generator().manual_seed(0))
    return pair_geometry(r, index, 10.0, torch.ones(n, dtype=DTYPE))


def test_numbers_are_standard_normal_and_independent() -> None:
    index, noise = everyone(400)
    pairs = geometry(index, 400)
    drawn = [noise.pair_numbers(pairs, Moment(step), 3, DTYPE) for step in (0, 1)]
    drawn.append(noise.pair_numbers(pairs, Moment(0, part=1), 3, DTYPE))
    columns = torch.cat([torch.cat([d.impulse, d.heat[:, None]], dim=1) for d in drawn], dim=1).numpy()
    for column in columns.T:
        assert kstest(column, "norm").pvalue > 1e-4
    count, width = columns.shape
    correlation = np.corrcoef(columns.T)[np.triu_indices(width, 1)]
    # 66 coefficients of 79 800 numbers.
    assert np.abs(correlation).max() < 4.5 / np.sqrt(count)


def test_no_word_gives_an_infinite_number() -> None:
    extremes = torch.tensor([0, 0xFFFFFFFF])
    assert bool(torch.isfinite(normals((extremes, extremes, extremes, extremes), DTYPE)).all())


def test_order_of_pairs_and_ends_and_company_do_not_matter() -> None:
    n = 30
    index, noise = everyone(n)
    all_of_them = noise.pair_numbers(geometry(index, n), Moment(7), 2, DTYPE)
    order = torch.randperm(index.shape[1], generator=torch.Generator().manual_seed(1))[:100]
    some = noise.pair_numbers(geometry(index[:, order], n), Moment(7), 2, DTYPE)
    assert torch.equal(some.impulse, all_of_them.impulse[order])
    turned = noise.pair_numbers(geometry(index.flip(0), n), Moment(7), 2, DTYPE)
    # An impulse on i is the opposite of that on j, and so is heat.
    assert torch.equal(turned.impulse, -all_of_them.impulse)
    assert torch.equal(turned.heat, -all_of_them.heat)


@pytest.mark.parametrize(
    "moment", [Moment(8), Moment(7, part=1), Moment(7, attempt=torch.ones(30, dtype=torch.int64))]
)
def test_another_step_part_attempt_or_seed_has_other_numbers(moment: Moment) -> None:
    index, noise = everyone(30)
    pairs = geometry(index, 30)
    before = noise.pair_numbers(pairs, Moment(7), 2, DTYPE).impulse
    assert not torch.any(before == noise.pair_numbers(pairs, moment, 2, DTYPE).impulse)
    for seed in (1, 2**40):
        _, other = everyone(30, seed)
        assert not torch.any(before == other.pair_numbers(pairs, Moment(7), 2, DTYPE).impulse)


def test_particles_have_numbers_of_their_own() -> None:
    _, noise = everyone(1000)
    found = noise.particle_numbers(Moment(3), 3, DTYPE)
    assert found.shape == (1000, 3) and kstest(found.numpy().ravel(), "norm").pvalue > 1e-4
    assert not torch.any(found == noise.particle_numbers(Moment(4), 3, DTYPE))
