"""Who meets whom: pairs sorted by their ends, and for every particle where its pairs are."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit

Array = np.ndarray


class Adjacency(NamedTuple):
    """Unique pairs, sorted by first and then second end.

    Attributes
    ----------
    i, j : int32 arrays, shape (n_pairs,)
    first : int64 array, shape (n + 1,)
        Pairs first[k] … first[k + 1] - 1 have k as first end.
    second : int64 array, shape (n + 1,)
    by_second : int32 array, shape (n_pairs,)
        Of those, by_second[second[k]] … by_second[second[k + 1] - 1] have k as second end.
    """

    i: Array
    j: Array
    first: Array
    second: Array
    by_second: Array


def sort_pairs(index: Array, n: int) -> Adjacency:
    """Sort unordered unique pairs.

    Parameters
    ----------
    index : int array, shape (2, n_pairs)
        Either end may come first.
    n : int
        Number of particles.
    """
    one, other = np.minimum(index[0], index[1]), np.maximum(index[0], index[1])
    i, j, first = _sort(one.astype(np.int32), other.astype(np.int32), n)
    second, by_second = _by_second(j, n)
    return Adjacency(i, j, first, second, by_second)


@njit(cache=True, nogil=True)
def _starts(ends: Array, n: int) -> Array:
    starts = np.zeros(n + 1, np.int64)
    for p in range(len(ends)):
        starts[ends[p] + 1] += 1
    for k in range(n):
        starts[k + 1] += starts[k]
    return starts


@njit(cache=True, nogil=True)
def _sort(one: Array, other: Array, n: int) -> tuple[Array, Array, Array]:
    """Counting sort by the first end, then every particle's few by the second."""
    first = _starts(one, n)
    place = first.copy()
    i, j = np.empty_like(one), np.empty_like(other)
    for p in range(len(one)):
        at = place[one[p]]
        place[one[p]] += 1
        i[at], j[at] = one[p], other[p]
    for k in range(n):
        # By insertion: they are few.
        for p in range(first[k] + 1, first[k + 1]):
            moved, q = j[p], p
            while q > first[k] and j[q - 1] > moved:
                j[q] = j[q - 1]
                q -= 1
            j[q] = moved
    return i, j, first


@njit(cache=True, nogil=True)
def _by_second(j: Array, n: int) -> tuple[Array, Array]:
    second = _starts(j, n)
    place = second.copy()
    pairs = np.empty(len(j), np.int32)
    for p in range(len(j)):
        pairs[place[j[p]]] = p
        place[j[p]] += 1
    return second, pairs
