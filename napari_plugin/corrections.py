"""Corrections of tracks in the layer `particles` of a run, with what takes them back: cut, joined, removed.

Only the layer is changed here. `writers.save_points` writes it into the run, and records there what was changed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from colloidlab.errors import UsageError
from napari_plugin.coordinates import from_napari, tracks_to_napari
from napari_plugin.repair import join_tracks, split_track

_LISTED = 4
"""Particles that are named in a sentence."""


@dataclass(frozen=True)
class Renumbered:
    """Positions of a particle in some frames that have got another number."""

    frames: NDArray[np.int64]
    was: int
    now: int


@dataclass(frozen=True)
class Removed:
    """Positions that were removed, with all that was known of them."""

    data: NDArray[np.float64]
    features: pd.DataFrame
    size: NDArray[np.float64]


class Corrections:
    """What a person corrects in one layer.

    Parameters
    ----------
    layer : napari.layers.Points
        The layer `particles` of a run.

    Attributes
    ----------
    changes : list of list of Renumbered or Removed
        That are not saved, each as what it consists of; the last one can be taken back. What is done in the layer by
        other means (its own Delete, added positions, napari's table of features) is not among them.
    """

    def __init__(self, layer: Any) -> None:
        self.layer = layer
        self.changes: list[list[Renumbered | Removed]] = []

    # ---- what is selected -----------------------------------------------------------------------

    def selected(self) -> list[int]:
        """Particles of which positions are selected; what was added by hand has no number before it is saved."""
        numbers = self._particles[sorted(self.layer.selected_data)]
        return np.unique(numbers[numbers >= 0]).tolist()

    def row_at(self, place: np.ndarray) -> int | None:
        """Position on whose disc a place lies, in its frame; None where there is none.

        Parameters
        ----------
        place : array, shape (3,) or (4,)
            In the coordinates of the layer.
        """
        here = np.flatnonzero(self._frames == round(float(place[0])))
        if not len(here):
            return None
        distance = np.linalg.norm(self.layer.data[here, 1:] - np.asarray(place)[1:], axis=1)
        k = int(np.argmin(distance))
        return int(here[k]) if distance[k] <= self.layer.size[here[k]] / 2 else None

    def select_tracks(self) -> str:
        """Select every position of the particles that are selected."""
        particles = self._some()
        self.layer.selected_data = set(np.flatnonzero(np.isin(self._particles, particles)).tolist())
        return f"Selected in all frames: {self.tell(particles)}."

    def table_of(self, particles: Sequence[int]) -> pd.DataFrame:
        """Positions of some particles as they are numbered now: frame, particle, x, y[, z], radius_px."""
        rows = np.flatnonzero(np.isin(self._particles, particles))
        table = from_napari(self.layer.data[rows].reshape(-1, self.layer.ndim))
        return table.assign(particle=self._particles[rows], radius_px=np.asarray(self.layer.size)[rows] / 2)

    def can_split(self, particles: Sequence[int], frame: int) -> bool:
        """Does a frame lie inside the tracks of all these particles?"""
        spans = [self._frames[self._particles == p] for p in particles]
        return all(f.min() < frame <= f.max() for f in spans)

    def tell(self, particles: Sequence[int]) -> str:
        """Particles with the frames that their tracks span."""
        parts = [f"particle {p} ({self._span(p)})" for p in particles[:_LISTED]]
        rest = len(particles) - len(parts)
        return ", ".join(parts) + (f" and {rest} more" if rest > 0 else "")

    # ---- corrections, each as a sentence --------------------------------------------------------

    def split(self, frame: int) -> str:
        """Give what follows of the selected tracks, from a frame on, new numbers.

        Raises
        ------
        UsageError
            Nothing is selected.
        InputError
            See `repair.split_track`; nothing is changed then.
        """
        particles = self._some()
        before = after = self._table()
        for particle in particles:
            after = split_track(after, particle, frame)
        step = self._renumber(before["particle"].to_numpy(), after["particle"].to_numpy())
        return " ".join(f"Particle {c.was} is particle {c.now} from frame {frame} on." for c in step)

    def join(self) -> str:
        """Make one track of the two that are selected, under the number of the earlier one.

        Raises
        ------
        UsageError
            Other than two are selected.
        InputError
            See `repair.join_tracks`; nothing is changed then.
        """
        particles = self.selected()
        if len(particles) != 2:
            raise UsageError(
                "select positions of the two tracks to be joined (Shift adds one); they may be in different frames. "
                f"Now {len(particles) or 'none'} {'is' if len(particles) == 1 else 'are'} selected"
            )
        first, second = sorted(particles, key=lambda p: int(self._frames[self._particles == p].min()))
        before = self._table()
        after = join_tracks(before, first, second)
        self._renumber(before["particle"].to_numpy(), after["particle"].to_numpy())
        return f"Particle {second} is particle {first} now ({self._span(first)})."

    def remove_selected(self) -> str:
        """Remove the selected positions.

        Raises
        ------
        UsageError
            Nothing is selected.
        """
        rows = sorted(self.layer.selected_data)
        if not rows:
            raise UsageError("select the positions to be removed first")
        known = self.layer.features.iloc[rows].reset_index(drop=True)
        gone = Removed(self.layer.data[rows].copy(), known, np.asarray(self.layer.size)[rows].copy())
        self.layer.remove_selected()
        self.changes.append([gone])
        return f"Removed {len(rows)} position{'s' if len(rows) > 1 else ''}."

    def undo(self) -> str:
        """Take the last change back.

        Raises
        ------
        UsageError
            There is none.
        """
        if not self.changes:
            raise UsageError("there is nothing to take back; what was saved stays")
        for change in reversed(self.changes.pop()):
            if isinstance(change, Removed):
                self._put_back(change)
            else:
                mine = (self._particles == change.now) & np.isin(self._frames, change.frames)
                self._number(np.where(mine, change.was, self._particles))
        return "The last change is taken back."

    # ---- the layer ------------------------------------------------------------------------------

    @property
    def _particles(self) -> NDArray[np.int64]:
        return self.layer.features["particle"].fillna(-1).to_numpy(dtype=np.int64)

    @property
    def _frames(self) -> NDArray[np.int64]:
        return np.rint(self.layer.data[:, 0]).astype(np.int64)

    def _table(self) -> pd.DataFrame:
        return pd.DataFrame({"frame": self._frames, "particle": self._particles})

    def _some(self) -> list[int]:
        particles = self.selected()
        if not particles:
            raise UsageError(
                "select a particle first: click on one, or select positions in the layer particles"
            )
        return particles

    def _span(self, particle: int) -> str:
        frames = self._frames[self._particles == particle]
        return f"frames {frames.min()} to {frames.max()}" if len(frames) > 1 else f"frame {frames.min()}"

    def _renumber(self, was: NDArray[np.int64], now: NDArray[np.int64]) -> list[Renumbered]:
        changed = was != now
        pairs = np.unique(np.column_stack([was, now])[changed], axis=0).tolist()
        step = [Renumbered(self._frames[(was == a) & (now == b)], a, b) for a, b in pairs]
        self._number(now)
        self.changes.append([*step])
        return step

    def _number(self, particles: NDArray[np.int64]) -> None:
        self.layer.features = self.layer.features.assign(particle=particles)

    def _put_back(self, gone: Removed) -> None:
        n = len(gone.data)
        kept = self.layer.features
        self.layer.add(gone.data)
        self.layer.features = pd.concat([kept, gone.features], ignore_index=True)
        sizes = np.asarray(self.layer.size).copy()
        sizes[-n:] = gone.size
        self.layer.size = sizes


def show_in_tracks(tracks: Any, particles: Any) -> None:
    """Let a layer of tracks show the positions and numbers of the layer `particles`.

    Parameters
    ----------
    tracks : napari.layers.Tracks
    particles : napari.layers.Points
    """
    table = particles.features.assign(**from_napari(particles.data))
    # What was added by hand belongs to no track before it is saved.
    table = table[table["particle"] >= 0].sort_values(["particle", "frame"], kind="stable", ignore_index=True)
    colour = tracks.color_by
    columns = [name for name in tracks.features.columns if name in table]
    # The colours must not lose their column before they have it again.
    tracks.color_by = "track_id"
    tracks.data = tracks_to_napari(table)
    tracks.features = table[columns]
    tracks.color_by = colour if colour in tracks.properties_to_color_by else "track_id"
