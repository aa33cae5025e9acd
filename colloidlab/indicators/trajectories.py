"""Linked positions as arrays: sorted by particle for time statistics, by frame for structure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from colloidlab.errors import InputError

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]


@dataclass(frozen=True)
class Trajectories:
    """Every track of a recording, one after the other; gaps are simply absent rows.

    Parameters
    ----------
    values : float array, shape (n_rows, D)
        Positions in px (or another quantity that is known per row, such as velocities).
    frames : int array, shape (n_rows,)
        Frame of each row, increasing within a track.
    offsets : int array, shape (n_tracks + 1,)
        Track k owns the rows offsets[k] to offsets[k + 1].
    """

    values: Floats
    frames: Integers
    offsets: Integers

    @property
    def n_tracks(self) -> int:
        return self.offsets.size - 1

    @property
    def track(self) -> Integers:
        """Index of the track that each row belongs to."""
        return np.repeat(np.arange(self.n_tracks), np.diff(self.offsets))

    def with_values(self, values: Floats) -> Trajectories:
        return replace(self, values=values)

    def select(self, keep: NDArray[np.bool_], values: Floats) -> Trajectories:
        """The rows in `keep`, carrying `values` (one per kept row)."""
        counts = np.bincount(self.track[keep], minlength=self.n_tracks)
        return Trajectories(
            values, self.frames[keep], np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
        )


@dataclass(frozen=True)
class Snapshots:
    """The same tracks frame by frame: `particles[k]` and `positions[k]` belong to frame `frames[k]`."""

    frames: Integers
    particles: list[Integers]
    positions: list[Floats]

    def table(self, columns: Mapping[str, Sequence[Floats]]) -> pd.DataFrame:
        """One row a frame and particle, sorted by both, with one array a frame for each further column."""
        keys = {
            "frame": np.repeat(self.frames, [p.size for p in self.particles]),
            "particle": np.concatenate([*self.particles, np.zeros(0, dtype=np.int64)]),
        }
        return pd.DataFrame(keys | {c: np.concatenate([*v, np.zeros(0)]) for c, v in columns.items()})


def trajectories(tracks: pd.DataFrame) -> Trajectories:
    """Tracks as arrays sorted by particle, then frame.

    Raises
    ------
    InputError
        A column is missing, or a particle is in one frame twice.
    """
    particle, frame, positions = _columns(tracks)
    order = np.lexsort((frame, particle))
    particle, frame, positions = particle[order], frame[order], positions[order]
    first = np.flatnonzero(np.diff(particle, prepend=particle[:1] - 1))
    return Trajectories(positions, frame, np.append(first, particle.size).astype(np.int64))


def particle_names(tracks: pd.DataFrame) -> Integers:
    """Particle of each track of `trajectories`."""
    return np.unique(
        tracks["particle"].to_numpy(dtype=np.int64)[sorted_rows(tracks, by=("particle", "frame"))]
    )


def successive_rows(index: Integers, offsets: Integers) -> Integers:
    """Rows whose next row belongs to the same track and has an `index` larger by exactly one."""
    joined = np.diff(index) == 1
    ends = offsets[1:-1] - 1
    joined[ends[(ends >= 0) & (ends < joined.size)]] = False
    return np.flatnonzero(joined)


def unwrap(tracks: Trajectories, box: Floats) -> Trajectories:
    """Positions that go on beyond a periodic box: every displacement within a track to the nearest image.

    Parameters
    ----------
    tracks : Trajectories
        Wrapped into the box or not.
    box : float array, shape (D,)
    """
    if tracks.values.shape[0] == 0:
        return tracks
    steps = np.diff(tracks.values, axis=0, prepend=tracks.values[:1])
    jumps = np.cumsum(box * np.round(steps / box), axis=0)
    # Between two tracks nothing has moved: each keeps the image that it begins in.
    return tracks.with_values(tracks.values - (jumps - jumps[tracks.offsets[:-1]][tracks.track]))


def snapshots(tracks: pd.DataFrame) -> Snapshots:
    """Tracks as one set of positions a frame, sorted by frame, then particle.

    Raises
    ------
    InputError
        A column is missing, or a particle is in one frame twice.
    """
    particle, frame, positions = _columns(tracks)
    order = np.lexsort((particle, frame))
    frames, first = np.unique(frame[order], return_index=True)
    if frames.size == 0:
        return Snapshots(frames, [], [])
    return Snapshots(frames, np.split(particle[order], first[1:]), np.split(positions[order], first[1:]))


def sorted_rows(tracks: pd.DataFrame, *, by: tuple[str, str]) -> Integers:
    """Rows of the table in the order of `snapshots`, by=("frame", "particle"), or `trajectories`, the reverse.

    Other columns of the tracks, such as localisation errors, are put beside the positions with it.
    """
    axes = ["x", "y"] + (["z"] if "z" in tracks.columns else [])
    whole = np.flatnonzero(np.isfinite(tracks[axes].to_numpy(dtype=np.float64)).all(axis=1))
    first, second = (tracks[c].to_numpy(dtype=np.int64)[whole] for c in by)
    return whole[np.lexsort((second, first))]


def _columns(tracks: pd.DataFrame) -> tuple[Integers, Integers, Floats]:
    missing = [c for c in ("frame", "particle", "x", "y") if c not in tracks.columns]
    if missing:
        raise InputError(f"the tracks have no column {', '.join(missing)}; link the features first")
    axes = ["x", "y"] + (["z"] if "z" in tracks.columns else [])
    positions = tracks[axes].to_numpy(dtype=np.float64)
    whole = np.isfinite(positions).all(axis=1)
    particle = tracks["particle"].to_numpy(dtype=np.int64)[whole]
    frame = tracks["frame"].to_numpy(dtype=np.int64)[whole]
    twice = tracks.loc[whole].duplicated(["frame", "particle"]).to_numpy()
    if twice.any():
        k = int(np.argmax(twice))
        raise InputError(
            f"particle {particle[k]} is in frame {frame[k]} twice; a track has one position a frame"
        )
    return particle, frame, np.ascontiguousarray(positions[whole])


def by_frame(rows: Floats, shots: Snapshots) -> list[Floats]:
    """What belongs to the rows of a table, sorted by frame and particle, frame by frame."""
    if not shots.positions:
        return []
    return np.split(rows, np.cumsum([p.shape[0] for p in shots.positions])[:-1])
