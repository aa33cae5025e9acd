"""Who became or ceased to be whose neighbour for good: contacts with hysteresis and a time of persistence.

In every frame a pair of particles is

| observation | when |
|---|---|
| in touch | Delaunay neighbours whose Voronoi cells share an edge of at least `least_facet` |
| apart | not Delaunay neighbours, although both are seen and one's neighbours are certain |
| undecided | neither: see below |

Undecided are the two diagonals of a quadrilateral that is nearly on one circle, where noise
decides which of them is the Delaunay edge; pairs of which one is not seen; edges across the hole that a
particle leaves in the frames in which it was not found; and the edge of the view.
A contact changes when the pair has been observed in the other state in `persistence`
frames without one observation to the contrary; undecided frames count for neither.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

from colloidlab.indicators.trajectories import Integers, Snapshots
from colloidlab.indicators.triangulation import Triangulation
from colloidlab.progress import SILENT, Monitor

_APART, _CROSSED, _CLOSE, _TOUCHING = 0, 1, 2, 3
"""What a frame says of a pair: no edge; none, but one that is undecided crosses; an undecided edge; an edge."""


@dataclass(frozen=True)
class ContactChanges:
    """Lasting changes of contact, sorted by pair and time; times are places in `Snapshots.frames`.

    Parameters
    ----------
    pairs : int array, shape (n, 2)
        Particles i < j.
    gained : bool array, shape (n,)
        True where they came into touch, False where they parted.
    times : int array, shape (n,)
        First frame in the new state: the first decided one, less the undecided ones before it in which
        the triangulation was the new one already.
    touch : int array, shape (n,)
        First frame that shows them in touch, or the last one before they parted.
    until : int array, shape (n,)
        Last frame that shows them in touch before the next change; -1 for those that parted.
    """

    pairs: Integers
    gained: NDArray[np.bool_]
    times: Integers
    touch: Integers
    until: Integers


def contact_changes(
    shots: Snapshots,
    meshes: list[Triangulation],
    *,
    least_facet: float,
    persistence: int,
    monitor: Monitor = SILENT,
) -> ContactChanges:
    """All lasting changes of contact in a recording.

    Parameters
    ----------
    shots : Snapshots
    meshes : list of Triangulation
        One for each of the snapshots.
    least_facet : float
        Shared Voronoi edge from which a contact is decided, px.
    persistence : int
        Frames.
    monitor : Monitor
    """
    every = np.concatenate([np.zeros(0, np.int64), *shots.particles])
    names, index = np.unique(every, return_inverse=True)
    sizes = [p.size for p in shots.particles]
    rows = np.split(index, np.cumsum(sizes)[:-1]) if sizes else []
    last = np.zeros(names.size, dtype=np.int64)
    np.maximum.at(last, index, np.repeat(np.arange(len(sizes)), sizes))
    keys, frames, levels = _runs(rows, meshes, last, least_facet, persistence, monitor)
    order = np.argsort(keys, kind="stable")
    by_particle = np.argsort(index, kind="stable")
    seen = np.repeat(np.arange(len(sizes)), sizes)[by_particle]
    certain = np.concatenate([np.zeros(0, np.bool_), *(mesh.certain for mesh in meshes)])[by_particle]
    first = np.searchsorted(index[by_particle], np.arange(names.size + 1))
    found = _lasting(
        keys[order], frames[order], levels[order], names.size, (first, seen, certain), len(sizes), persistence
    )
    pairs = names[np.column_stack([found[:, 0] // names.size, found[:, 0] % names.size])]
    return ContactChanges(pairs, found[:, 1] == 1, found[:, 2], found[:, 3], found[:, 4])


def _runs(
    rows: list[Integers],
    meshes: list[Triangulation],
    last: Integers,
    least_facet: float,
    persistence: int,
    monitor: Monitor,
) -> tuple[Integers, Integers, Integers]:
    """When what a frame says of a pair has changed: keys i n + j, frames, and from then on; in order of time."""
    before = (np.zeros(0, np.int64), np.zeros(0, np.int64))
    parts: list[tuple[Integers, ...]] = [(np.zeros(0, np.int64),) * 3]
    holes: dict[int, tuple[int, Integers]] = {}
    for k, (row, mesh) in enumerate(zip(monitor.track(rows, "contacts"), meshes)):
        if k:
            # Only of those who come back: who has left the view leaves no hole in it.
            stay = last[rows[k - 1]] > k
            _note_holes(holes, k, rows[k - 1], stay, row, meshes[k - 1], persistence)
        now = _observed(mesh, row, last.size, least_facet, _across(holes, last.size))
        keys, levels = _differences(*before, *now)
        parts.append((keys, np.full(keys.size, k), levels))
        before = now
    keys, frames, levels = (np.concatenate(p) for p in zip(*parts))
    # Before its first edge a pair was apart.
    ever = np.unique(keys)
    return (
        np.concatenate([ever, keys]),
        np.concatenate([np.zeros_like(ever), frames]),
        np.concatenate([np.full_like(ever, _APART), levels]),
    )


def _note_holes(
    holes: dict[int, tuple[int, Integers]],
    k: int,
    before: Integers,
    stay: NDArray[np.bool_],
    now: Integers,
    mesh: Triangulation,
    persistence: int,
) -> None:
    """Add who is to `stay` but has just vanished, with the neighbours; drop who is back, or gone for long."""
    for particle, (since, _) in list(holes.items()):
        if k - since >= persistence:
            del holes[particle]
    for particle in np.intersect1d(now, list(holes)).tolist():
        del holes[particle]
    for particle in np.setdiff1d(before[stay], now, assume_unique=True):
        mine = mesh.edges[(before[mesh.edges] == particle).any(axis=1)]
        ends = before[mine.ravel()]
        holes[int(particle)] = (k, np.sort(ends[ends != particle]))


def _across(holes: dict[int, tuple[int, Integers]], n: int) -> Integers:
    """Keys i n + j of all pairs of neighbours of one missing particle."""
    pairs = [np.zeros(0, np.int64)]
    for _, around in holes.values():
        i, j = np.triu_indices(around.size, 1)
        pairs.append(around[i] * n + around[j])
    return np.concatenate(pairs)


def _observed(
    mesh: Triangulation, row: Integers, n: int, least_facet: float, hidden: Integers
) -> tuple[Integers, Integers]:
    """Pairs that are not simply apart in a frame, as sorted keys i n + j, and what the frame says of them."""
    sure = mesh.certain_edges & (mesh.facets >= least_facet)
    crossed = mesh.apexes[~sure]
    crossed = crossed[(crossed >= 0).all(axis=1)]
    ends = row[np.concatenate([mesh.edges, crossed])]
    keys = ends.min(axis=1) * n + ends.max(axis=1)
    levels = np.concatenate([np.where(sure, _TOUCHING, _CLOSE), np.full(len(crossed), _CROSSED)])
    # A pair that is an edge itself and crossed by another one comes first as an edge.
    keys, first = np.unique(keys, return_index=True)
    levels = levels[first]
    if hidden.size:
        levels[(levels == _TOUCHING) & np.isin(keys, hidden)] = _CLOSE
    return keys, levels


@njit(cache=True, nogil=True)
def _differences(
    old: Integers, old_levels: Integers, new: Integers, new_levels: Integers
) -> tuple[Integers, Integers]:
    """Keys (both sorted) whose level has changed, with their new level."""
    keys, levels = np.empty(old.size + new.size, np.int64), np.empty(old.size + new.size, np.int64)
    a = b = count = 0
    while a < old.size or b < new.size:
        if b == new.size or (a < old.size and old[a] < new[b]):
            keys[count], levels[count] = old[a], _APART
            count += 1
            a += 1
        elif a == old.size or new[b] < old[a]:
            keys[count], levels[count] = new[b], new_levels[b]
            count += 1
            b += 1
        else:
            if old_levels[a] != new_levels[b]:
                keys[count], levels[count] = new[b], new_levels[b]
                count += 1
            a += 1
            b += 1
    return keys[:count].copy(), levels[:count].copy()


@njit(cache=True, nogil=True)
def _lasting(
    keys: Integers,
    frames: Integers,
    levels: Integers,
    n: int,
    rows: tuple[Integers, Integers, NDArray[np.bool_]],
    n_frames: int,
    persistence: int,
) -> Integers:
    """Columns key, 1 for gained, time, touch, until; from runs of equal observations, sorted by key."""
    found = np.empty((keys.size, 5), np.int64)
    count = 0
    state = candidate = current = -1
    number = time = first_touch = last_touch = 0
    fresh = np.zeros(2, np.int64)  # undecided frames, apart and in touch, since the last decided one
    for r in range(keys.size):
        if r == 0 or keys[r] != keys[r - 1]:
            state = candidate = current = -1
            fresh[:] = 0
        start = frames[r]
        stop = frames[r + 1] if r + 1 < keys.size and keys[r + 1] == keys[r] else n_frames
        if levels[r] == _CLOSE or levels[r] == _CROSSED:
            fresh[1 if levels[r] == _CLOSE else 0] += stop - start
            continue
        seen, first, times = 1, start, stop - start
        if levels[r] == _APART:
            seen = 0
            first, times = _known_apart(rows, keys[r] // n, keys[r] % n, start, stop, persistence)
            if times == 0:
                continue
        if seen == state:
            candidate = -1
        elif candidate != seen:
            candidate, number = seen, times
            time, first_touch = first - fresh[seen], first
        else:
            number += times
        fresh[:] = 0
        if seen == 1:
            last_touch = stop - 1
        if candidate >= 0 and number >= persistence:
            if state >= 0:
                current = count
                found[count] = (keys[r], seen, time, first_touch if seen == 1 else last_touch, -1)
                count += 1
            state, candidate = seen, -1
        if state == 1 and seen == 1 and current >= 0:
            found[current, 4] = last_touch
    return found[:count].copy()


@njit(cache=True, nogil=True)
def _known_apart(
    rows: tuple[Integers, Integers, NDArray[np.bool_]], i: int, j: int, start: int, stop: int, enough: int
) -> tuple[int, int]:
    """First frame and number of frames, up to `enough`, in which two particles without an edge surely have none."""
    first, frames, certain = rows
    a = first[i] + np.searchsorted(frames[first[i] : first[i + 1]], start)
    b = first[j] + np.searchsorted(frames[first[j] : first[j + 1]], start)
    earliest, times = -1, 0
    while times < enough and a < first[i + 1] and b < first[j + 1]:
        if frames[a] >= stop or frames[b] >= stop:
            break
        if frames[a] < frames[b]:
            a += 1
        elif frames[b] < frames[a]:
            b += 1
        else:
            if certain[a] or certain[b]:
                earliest = frames[a] if times == 0 else earliest
                times += 1
            a += 1
            b += 1
    return earliest, times
