"""Exact assignment between the particles that are followed and the features of one frame.

Each particle (source) i takes one feature (target) j at cost c_ij, or none at its own cost "null"; the sum is
least. Shortest augmenting paths on the sparse graph of candidates solve it exactly in polynomial time,
however dense the features are, and almost every search ends after a few steps, because every source
has its private way out.

| symbol | name | meaning |
|---|---|---|
| c_ij | `cost[k]` | candidate k; those of source i are k = first[i] ... first[i + 1] - 1, ending at `target[k]` |
| v_j | `price[j]` | dual variable of a target, <= 0 |
| x_i | `link[i]` | candidate of source i that is its link, -1 for none |
| y_j | `owner[j]` | source linked to target j, -1 for none |

The prices that the searches leave behind are the smallest possible, as in an exact auction. The cost of
forbidding a link is therefore one further shortest path (Leonard, J. Polit. Econ. 91, 461 (1983)).

References
----------
Jonker and Volgenant, Computing 38, 325 (1987).
"""

from __future__ import annotations

import heapq
from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]


class Candidates(NamedTuple):
    """Links that are possible, by source."""

    first: Integers
    target: Integers
    cost: Floats
    null: Floats
    """Cost of leaving each source without a link."""


class _Search(NamedTuple):
    """State of the searches, all by target; clean between two of them."""

    distance: Floats
    through: Integers
    """Candidate by which the target was reached."""
    from_source: Integers
    done: NDArray[np.bool_]


@njit(cache=True, nogil=True)
def solve(candidates: Candidates, n_targets: int, wants_margins: bool) -> tuple[Integers, Floats]:
    """Least-cost links, and how much the total cost would rise if each of them were forbidden.

    Parameters
    ----------
    candidates : Candidates
        Of n sources; costs that exceed the source's own null cost change nothing.
    n_targets : int
    wants_margins : bool
        The margins take about as long as the links.

    Returns
    -------
    link : int64 array, shape (n,)
        Candidate that is the link of each source, -1 where it has none.
    margin : float array, shape (n,)
        NaN where there is no link, or where not wanted.
    """
    n = len(candidates.null)
    link = np.full(n, -1, dtype=np.int64)
    owner = np.full(n_targets, -1, dtype=np.int64)
    price = np.zeros(n_targets)
    margin = np.full(n, np.nan)
    search = _Search(
        np.full(n_targets, np.inf),
        np.empty(n_targets, dtype=np.int64),
        np.empty(n_targets, dtype=np.int64),
        np.zeros(n_targets, dtype=np.bool_),
    )
    waiting = _greedy(candidates, link, owner)
    for source in waiting:
        _augment(source, candidates, link, owner, price, search)
    if wants_margins:
        for source in range(n):
            if link[source] >= 0:
                margin[source] = _margin(source, candidates, link, owner, price, search)
    return link, margin


@njit(cache=True, nogil=True)
def _greedy(candidates: Candidates, link: Integers, owner: Integers) -> Integers:
    """Give every source its cheapest target while that is free; return the sources that came too late."""
    first, target, cost, null = candidates
    waiting = np.empty(len(null), dtype=np.int64)
    n_waiting = 0
    for source in range(len(null)):
        cheapest, best = null[source], -1
        for k in range(first[source], first[source + 1]):
            if cost[k] < cheapest:
                cheapest, best = cost[k], k
        if best >= 0 and owner[target[best]] < 0:
            owner[target[best]] = source
            link[source] = best
        elif best >= 0:
            waiting[n_waiting] = source
            n_waiting += 1
    return waiting[:n_waiting]


@njit(cache=True, nogil=True)
def _shortest_path(
    start: int, candidates: Candidates, link: Integers, owner: Integers, price: Floats, search: _Search
) -> tuple[float, int, int, list[int]]:
    """Cheapest chain of changes that finds room for a source without a link (Dijkstra on reduced costs).

    The candidate link[start], if any, is forbidden and its target counts as free.

    Returns
    -------
    length : float
    end : int
        Free target that ends the chain, -1 where a source gives up its link instead.
    quitter : int
        That source.
    reached : list of int
        Targets whose entries in `search` are to be used and then cleaned.
    """
    first, target, cost, null = candidates
    distance, through, from_source, done = search
    forbidden = link[start]
    reached = [0 for _ in range(0)]
    heap = [(0.0, 0) for _ in range(0)]
    length, quitter = null[start], start
    source, so_far, own = start, 0.0, 0.0
    while True:
        if so_far + null[source] - own < length:
            length, quitter = so_far + null[source] - own, source
        for k in range(first[source], first[source + 1]):
            j = target[k]
            d = so_far + cost[k] - price[j] - own
            if k == forbidden or done[j] or d >= length or d >= distance[j]:
                continue
            if distance[j] == np.inf:
                reached.append(j)
            distance[j], through[j], from_source[j] = d, k, source
            heapq.heappush(heap, (d, j))
        nearest = -1
        while len(heap) > 0 and nearest < 0:
            d, j = heapq.heappop(heap)
            if not done[j] and d <= distance[j]:
                nearest = j
        if nearest < 0 or distance[nearest] >= length:
            return length, -1, quitter, reached
        so_far = distance[nearest]
        if owner[nearest] < 0 or owner[nearest] == start:
            return so_far, nearest, -1, reached
        done[nearest] = True
        source = owner[nearest]
        own = cost[link[source]] - price[nearest]


@njit(cache=True, nogil=True)
def _augment(
    start: int, candidates: Candidates, link: Integers, owner: Integers, price: Floats, search: _Search
) -> None:
    """Find room for a source, shift the links along the chain and lower the prices of contested targets."""
    length, end, quitter, reached = _shortest_path(start, candidates, link, owner, price, search)
    for j in reached:
        if search.done[j]:
            price[j] += search.distance[j] - length
    if end >= 0:
        j = end
    elif quitter != start:
        j = candidates.target[link[quitter]]
        link[quitter] = -1
    else:
        j = -1
    while j >= 0:
        source, k = search.from_source[j], search.through[j]
        previous = link[source]
        owner[j], link[source] = source, k
        j = -1 if source == start else candidates.target[previous]
    _clean(search, reached)


@njit(cache=True, nogil=True)
def _margin(
    start: int, candidates: Candidates, link: Integers, owner: Integers, price: Floats, search: _Search
) -> float:
    """Rise of the total cost if the link of a source were forbidden."""
    k = link[start]
    if candidates.first[start + 1] - candidates.first[start] == 1:
        length = candidates.null[start]
    else:
        length, _, _, reached = _shortest_path(start, candidates, link, owner, price, search)
        _clean(search, reached)
    # A tie may come out below zero by a rounding error.
    return max(length - (candidates.cost[k] - price[candidates.target[k]]), 0.0)


@njit(cache=True, nogil=True)
def _clean(search: _Search, reached: list[int]) -> None:
    for j in reached:
        search.distance[j] = np.inf
        search.done[j] = False
