"""T1 events: two neighbours part and the two particles between them become neighbours, for good."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from colloidlab.errors import InputError
from colloidlab.indicators.contacts import ContactChanges, contact_changes
from colloidlab.indicators.neighbours import minimum_image
from colloidlab.indicators.trajectories import Floats, Integers, Snapshots, snapshots
from colloidlab.indicators.triangulation import Region, Triangulation, matching
from colloidlab.progress import SILENT, Monitor

FOUR = ["particle_a", "particle_b", "particle_c", "particle_d"]
T1_COLUMNS = ("frame", *FOUR, "x", "y", "persistence_frames")

PERSISTENCE_FRAMES = 10
"""Frames that a contact must have been seen in its old state and must be seen in the new one."""

LEAST_FACET = 0.1
"""Shared edge of two Voronoi cells from which a contact is decided, in neighbour spacings."""


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
    """T1 events: a and b lose contact, c and d on either side of them gain it, and it stays so.

    Delaunay flips are not events: four particles nearly on a circle flip with every tremor.
    Both contacts must change for good in the sense of `contacts`: seen in the old state in
    `persistence_frames` frames, then in the new one in as many without an observation to
    the contrary, where frames in which the deciding Voronoi edge is shorter than `least_facet` count
    for neither. The two changes must be of one quadrilateral (c and d were the apexes of the
    edge a-b when it was last seen, or a and b those of c-d when it was first seen), and at most
    `persistence_frames` apart, so that flips which share particles within a short time are
    told apart. Changes of contact that pair with none are not T1 events and are left out: a
    particle that entered between others, or a flip whose four were not all seen.

    Parameters
    ----------
    tracks : DataFrame
        Columns frame, particle, x, y in px; gaps are fine. A z is ignored.
    persistence_frames : int
        Longer than the particles rattle or remember their velocity. With the default no event is
        found among disordered particles at rest whose places are wrong by up to a tenth of their
        spacing, independently in every frame.
    least_facet : float
        In spacings (the median length of Delaunay edges); more than localisation errors move it.
    region : (x0, y0, x1, y1), optional
        Rectangle in which particles are seen [the bounding box of each frame]; events next to
        its edge, where neighbours are not certain, are not found.
    box : float array, shape (2,), optional
        Sides of a periodic box, px.
    triangulations : list of Triangulation, optional
        Of these tracks, from `triangulate_tracks`; region and box are then theirs, and the
        box is still needed for the centres.
    monitor : Monitor

    Returns
    -------
    DataFrame
        frame: the first with the new contact. particle_a < particle_b: those that parted,
        particle_c < particle_d: those that met. x, y: centre of the four. persistence_frames:
        from there to the last frame in which c and d were seen in touch before they parted for good.
        Events within persistence_frames of the first or last frame are not found.

    References
    ----------
    Weaire & Rivier, Contemp. Phys. 25, 59 (1984), for the elementary event.
    """
    if persistence_frames < 1:
        raise InputError(f"T1 events must persist for at least 1 frame, not {persistence_frames}")
    if not least_facet >= 0:
        raise InputError(f"the least shared edge of a contact is {least_facet}; it must not be negative")
    shots = snapshots(tracks)
    meshes = matching(shots, triangulations, region=region, box=box, monitor=monitor, label="neighbours")
    changes = contact_changes(
        shots,
        meshes,
        least_facet=least_facet * _spacing(meshes),
        persistence=persistence_frames,
        monitor=monitor,
    )
    lost, gained = _same_quadrilateral(changes, _apexes(changes, shots, meshes), persistence_frames)
    return _table(changes, lost, gained, shots, None if box is None else np.asarray(box, dtype=np.float64))


def t1_rate(
    events: pd.DataFrame,
    tracks: pd.DataFrame,
    triangulations: list[Triangulation],
    *,
    persistence_frames: int = PERSISTENCE_FRAMES,
) -> pd.DataFrame:
    """How many events there are in each frame, and among how many particles.

    Parameters
    ----------
    events : DataFrame
        From `t1_events`, with the same persistence.
    tracks : DataFrame
    triangulations : list of Triangulation
        Of these tracks.
    persistence_frames : int

    Returns
    -------
    DataFrame
        frame, n_events, n_particles (those whose neighbours are certain). Only frames in which an
        event could have been found: those near either end of the recording are left out.
    """
    frames = np.unique(tracks["frame"].to_numpy(dtype=np.int64))
    if len(triangulations) != frames.size:
        raise InputError("the triangulations are of other tracks; triangulate these tracks")
    number = events["frame"].value_counts().reindex(frames, fill_value=0).to_numpy()
    particles = np.array([int(mesh.certain.sum()) for mesh in triangulations], dtype=np.int64)
    table = pd.DataFrame({"frame": frames, "n_events": number, "n_particles": particles})
    return table.iloc[persistence_frames : frames.size - persistence_frames + 1].reset_index(drop=True)


def match_events(
    found: pd.DataFrame,
    truth: pd.DataFrame,
    *,
    tolerance_frames: float,
    distance_px: float,
    names: pd.Series | None = None,
) -> pd.DataFrame:
    """Events that two tables have in common, each at most once, the closest first.

    Recall is the number of matches over that of `truth`, precision over that of `found`.

    Parameters
    ----------
    found, truth : DataFrame
        From `t1_events`.
    tolerance_frames, distance_px : float
        How far apart the two may be in time and place.
    names : Series, optional
        The truth's particle for each particle of `found` (its index). Only events of the same
        four particles then match.

    Returns
    -------
    DataFrame
        found, truth: row numbers in the two tables.
    """
    one = found.reset_index(drop=True)[["frame", "x", "y"]].assign(four=_four(found, names))
    two = truth.reset_index(drop=True)[["frame", "x", "y"]].assign(four=_four(truth, None))
    on = {"on": "four"} if names is not None else {"how": "cross"}
    both = one.assign(found=one.index).merge(two.assign(truth=two.index), **on)
    time = (both["frame_x"] - both["frame_y"]).abs() / tolerance_frames
    place = np.hypot(both["x_x"] - both["x_y"], both["y_x"] - both["y_y"]) / distance_px
    near = (time <= 1) & (place <= 1)
    both = both[near].assign(cost=(time + place)[near]).sort_values("cost", kind="stable")
    pairs = _one_to_one(both["found"].to_numpy(), both["truth"].to_numpy())
    return pd.DataFrame(pairs, columns=["found", "truth"])


def _four(events: pd.DataFrame, names: pd.Series | None) -> list[str]:
    four = events[FOUR].to_numpy()
    if names is not None:
        four = names.reindex(four.ravel()).fillna(-1).to_numpy(dtype=np.int64).reshape(four.shape)
    return [" ".join(map(str, row)) for row in np.sort(four, axis=1)]


def _spacing(meshes: list[Triangulation]) -> float:
    """Median length of the certain Delaunay edges of a few frames, px; NaN without any."""
    few = meshes[:: max(len(meshes) // 10, 1)]
    every = np.concatenate([np.zeros(0), *(np.hypot(*mesh.bonds[mesh.certain_edges].T) for mesh in few)])
    return float(np.median(every)) if every.size else float("nan")


def _apexes(changes: ContactChanges, shots: Snapshots, meshes: list[Triangulation]) -> Integers:
    """The two particles on either side of each contact in the frame that shows it, in order."""
    apexes = np.empty((changes.touch.size, 2), dtype=np.int64)
    order = np.argsort(changes.touch, kind="stable")
    frames, first = np.unique(changes.touch[order], return_index=True)
    for k, rows in zip(frames, np.split(order, first[1:])):
        mesh, names = meshes[k], shots.particles[k]
        # Rows of a snapshot are sorted by particle, so that edges i < j are in the order of the pairs.
        keys = mesh.edges[:, 0] * np.int64(mesh.n) + mesh.edges[:, 1]
        ends = np.searchsorted(names, changes.pairs[rows])
        sort = np.argsort(keys)
        place = sort[np.searchsorted(keys, ends[:, 0] * mesh.n + ends[:, 1], sorter=sort)]
        apexes[rows] = np.sort(names[mesh.apexes[place]], axis=1)
    return apexes


def _same_quadrilateral(
    changes: ContactChanges, apexes: Integers, tolerance: int
) -> tuple[Integers, Integers]:
    """Losses and gains that belong together, each at most once: first what both sides say, then the nearest."""
    table = pd.DataFrame(np.column_stack([changes.pairs, apexes, changes.times]), columns=[*"ijcd", "time"])
    table["row"] = table.index
    lost, gained = table[~changes.gained], table[changes.gained]
    both = pd.concat(
        [
            lost.merge(gained, left_on=["c", "d"], right_on=["i", "j"]),
            lost.merge(gained, left_on=["i", "j"], right_on=["c", "d"]),
        ]
    )
    both["apart"] = (both["time_x"] - both["time_y"]).abs()
    both = both[both["apart"] <= tolerance]
    pairs = both.groupby(["row_x", "row_y"])["apart"].agg(["size", "first"]).reset_index()
    pairs = pairs.sort_values(["size", "first"], ascending=[False, True], kind="stable")
    chosen = _one_to_one(pairs["row_x"].to_numpy(), pairs["row_y"].to_numpy())
    return chosen[:, 0], chosen[:, 1]


def _one_to_one(first: Integers, second: Integers) -> Integers:
    """Pairs in the given order, without those of which one end has been taken."""
    taken: tuple[set[int], set[int]] = (set(), set())
    kept = []
    for a, b in zip(first.tolist(), second.tolist()):
        if a not in taken[0] and b not in taken[1]:
            taken[0].add(a)
            taken[1].add(b)
            kept.append((a, b))
    return np.array(kept, dtype=np.int64).reshape(-1, 2)


def _table(
    changes: ContactChanges, lost: Integers, gained: Integers, shots: Snapshots, box: Floats | None
) -> pd.DataFrame:
    four = np.column_stack([changes.pairs[lost], changes.pairs[gained]])
    start, until = changes.times[gained], changes.until[gained]
    centre = _centres(four, start, shots, box)
    # Someone was not seen just then: where c and d are first surely in touch, or last.
    for instead in (changes.touch[gained], changes.touch[lost]):
        absent = np.isnan(centre[:, 0])
        centre[absent] = _centres(four[absent], instead[absent], shots, box)
    columns = {
        "frame": shots.frames[start],
        **{name: four[:, k] for k, name in enumerate(FOUR)},
        "x": centre[:, 0],
        "y": centre[:, 1],
        "persistence_frames": shots.frames[until] - shots.frames[start] + 1,
    }
    return pd.DataFrame(columns).sort_values(["frame", *FOUR], ignore_index=True)


def _centres(four: Integers, times: Integers, shots: Snapshots, box: Floats | None) -> Floats:
    """Mean place of those of the four that are seen, NaN where one is not; shape (n, 2)."""
    out = np.full((four.shape[0], 2), np.nan)
    for k in np.unique(times):
        rows: NDArray[np.bool_] = times == k
        names, points = shots.particles[k], shots.positions[k][:, :2]
        at = np.minimum(np.searchsorted(names, four[rows]), names.size - 1)
        corners = np.where((names[at] == four[rows])[:, :, None], points[at], np.nan)
        first = corners[:, :1]
        out[rows] = (first + minimum_image(corners - first, box)).mean(axis=1)
    return out
