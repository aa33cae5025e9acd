"""T1 events: two neighbours part and the two particles between them become neighbours, for good."""

from __future__ import annotations

import numpy as np
import pandas as pd

from colloidlab.errors import InputError
from colloidlab.indicators.contacts import ContactChanges, contact_changes
from colloidlab.indicators.neighbours import minimum_image
from colloidlab.indicators.trajectories import Floats, Integers, Snapshots, snapshots
from colloidlab.indicators.triangulation import Region, Triangulation, matching
from colloidlab.progress import SILENT, Monitor

T1_COLUMNS = (
    "frame",
    "particle_a",
    "particle_b",
    "particle_c",
    "particle_d",
    "x",
    "y",
    "persistence_frames",
)

PERSISTENCE_FRAMES = 10
LEAST_FACET = 0.1


def t1_events(
    tracks: pd.DataFrame,
    *,
    persistence_frames: int = PERSISTENCE_FRAMES,
    least_facet: float = LEAST_FACET,
    region: Region | None = None,
    box: Floats | None = None,
    triangulations: list[Triangulation] | None = None,
    monitor: Monitor = SILENT,
) -> pd.DataFrame:
    """T1 events."""
    shots = snapshots(tracks)
    meshes = matching(shots, triangulations, region=region, box=box, monitor=monitor, label="neighbours")
    facet = least_facet * mean_spacing(meshes)
    changes = contact_changes(
        shots, meshes, least_facet=facet, persistence=persistence_frames, monitor=monitor
    )
    lost, gained = _partners(changes, _apexes(changes, shots, meshes), persistence_frames)
    return _table(changes, lost, gained, shots, None if box is None else np.asarray(box, dtype=np.float64))


def mean_spacing(meshes: list[Triangulation]) -> float:
    """Median length of the certain Delaunay edges, px; NaN without any."""
    lengths = [np.hypot(*mesh.bonds[mesh.certain_edges].T) for mesh in meshes[:: max(len(meshes) // 10, 1)]]
    every = np.concatenate([np.zeros(0), *lengths])
    return float(np.median(every)) if every.size else float("nan")


def _apexes(changes: ContactChanges, shots: Snapshots, meshes: list[Triangulation]) -> Integers:
    """The two particles on either side of the contact when it was last (first) seen, i < j."""
    apexes = np.empty((changes.times.size, 2), dtype=np.int64)
    order = np.argsort(changes.touch, kind="stable")
    frames, first = np.unique(changes.touch[order], return_index=True)
    for k, rows in zip(frames, np.split(order, first[1:])):
        names, mesh = shots.particles[k], meshes[k]
        ends = np.searchsorted(names, changes.pairs[rows])
        keys = mesh.edges.min(axis=1).astype(np.int64) * mesh.n + mesh.edges.max(axis=1)
        sort = np.argsort(keys)
        place = sort[np.searchsorted(keys[sort], ends.min(axis=1) * mesh.n + ends.max(axis=1))]
        apexes[rows] = np.sort(names[mesh.apexes[place]], axis=1)
    return apexes


def _partners(changes: ContactChanges, apexes: Integers, tolerance: int) -> tuple[Integers, Integers]:
    """Losses and gains that are the same T1: one's particles are what the other had on its sides."""
    index = np.arange(changes.times.size)
    columns = {"i": changes.pairs[:, 0], "j": changes.pairs[:, 1], "time": changes.times}
    columns |= {"c": apexes[:, 0], "d": apexes[:, 1], "index": index}
    table = pd.DataFrame(columns)
    lost, gained = table[~changes.gained], table[changes.gained]
    names = ["i", "j", "c", "d"]
    forth = lost.merge(gained, left_on=["c", "d"], right_on=["i", "j"], suffixes=("_lost", "_gained"))
    back = lost.merge(gained, left_on=["i", "j"], right_on=["c", "d"], suffixes=("_lost", "_gained"))
    both = pd.concat([forth, back], ignore_index=True)
    both["apart"] = (both["time_lost"] - both["time_gained"]).abs()
    both = both[both["apart"] <= tolerance]
    count = both.groupby(["index_lost", "index_gained"])["apart"].agg(["size", "first"]).reset_index()
    count = count.sort_values(["size", "first"], ascending=[False, True], kind="stable")
    taken: set[int] = set()
    pairs = []
    for row in count.itertuples():
        if row.index_lost not in taken and row.index_gained not in taken:
            taken |= {row.index_lost, row.index_gained}
            pairs.append((row.index_lost, row.index_gained))
    a = np.array(pairs, dtype=np.int64).reshape(-1, 2)
    return a[:, 0], a[:, 1]


def _table(changes, lost, gained, shots, box):
    where = {}
    rows = []
    for l, g in zip(lost, gained):
        four = np.concatenate([changes.pairs[l], changes.pairs[g]])
        k = changes.times[g]
        for kk in (k, changes.touch[g]):
            names = shots.particles[kk]
            at = np.searchsorted(names, four)
            if (at < names.size).all() and (names[np.minimum(at, names.size - 1)] == four).all():
                break
        p = shots.positions[kk][at][:, :2]
        centre = p[0] + minimum_image(p - p[0], box).mean(axis=0)
        rows.append((shots.frames[k], *four, *centre, shots.frames[changes.until[g]] - shots.frames[k] + 1))
    t = pd.DataFrame(rows, columns=list(T1_COLUMNS))
    return t.sort_values(["frame", "particle_a"], ignore_index=True)
