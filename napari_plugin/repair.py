"""Tracks that a person has repaired: what was changed, and the run with the change in it.

Positions that are where they were keep everything that was measured of them. A position that was moved or
added was placed by hand: what would describe a measurement of it (localisation error, brightness, residual) is
empty there.
"""

from __future__ import annotations

import datetime
from dataclasses import dataclass

import numpy as np
import pandas as pd

from colloidlab.claim import alone
from colloidlab.errors import InputError
from colloidlab.run import Run
from colloidlab.tracks import track_quality

WHO = "manual repair"


@dataclass(frozen=True)
class Repair:
    """Numbers of positions that were changed.

    Parameters
    ----------
    removed, added, moved, relabelled : int
        Moved: another place for the same particle in the same frame. Relabelled: another particle.
    """

    removed: int = 0
    added: int = 0
    moved: int = 0
    relabelled: int = 0

    @property
    def is_empty(self) -> bool:
        return not any(vars(self).values())

    def __str__(self) -> str:
        return ", ".join(f"{n} {what}" for what, n in vars(self).items() if n) or "nothing changed"


def split_track(table: pd.DataFrame, particle: int, frame: int) -> pd.DataFrame:
    """Give what follows of a track, from `frame` on, a new number.

    Parameters
    ----------
    table : DataFrame
        Columns frame, particle and others.

    Raises
    ------
    InputError
        The track does not lie on both sides of the cut.
    """
    own = table["particle"] == particle
    later = own & (table["frame"] >= frame)
    if not later.any() or not (own & ~later).any():
        raise InputError(
            f"particle {particle} is not on both sides of frame {frame}; choose a frame inside its track"
        )
    return table.assign(particle=table["particle"].where(~later, int(table["particle"].max()) + 1))


def join_tracks(table: pd.DataFrame, first: int, second: int) -> pd.DataFrame:
    """Make one track of two, under the number of the first.

    Raises
    ------
    InputError
        One of them is not there, or both are in one frame.
    """
    frames = [set(table.loc[table["particle"] == p, "frame"]) for p in (first, second)]
    for particle, own in zip((first, second), frames, strict=True):
        if not own:
            raise InputError(f"there is no particle {particle}; choose one of those that are shown")
    if both := frames[0] & frames[1]:
        raise InputError(
            f"particles {first} and {second} overlap in {_ranges(both)}; split one of them there, or remove what is "
            "too much of it, before joining"
        )
    return table.assign(particle=table["particle"].where(table["particle"] != second, first))


def _ranges(frames: set[int]) -> str:
    """Frames in words: their first three ranges, and how many there are."""
    ordered = np.array(sorted(frames))
    parts = np.split(ordered, np.flatnonzero(np.diff(ordered) > 1) + 1)
    words = [f"{p[0]} to {p[-1]}" if len(p) > 1 else f"{p[0]}" for p in parts[:3]]
    if len(parts) > 3:
        words.append(f"others ({len(ordered)} in all)")
    listed = " and ".join(w for w in (", ".join(words[:-1]), words[-1]) if w)
    return f"frame{'s' if len(ordered) > 1 else ''} {listed}"


@alone
def save_repair(run: Run, edited: pd.DataFrame) -> Repair:
    """Write repaired tracks into a run: its tracks and their quality; what was computed from them is forgotten.

    The repair is recorded in `run.toml` under `stages.track.facts.repairs`. The same `colloidlab track` or
    `run` command keeps it, other options track anew.

    Parameters
    ----------
    run : Run
    edited : DataFrame
        frame, particle, x, y[, z] of every position of the repaired tracks; a negative particle is a new one.

    Raises
    ------
    InputError
        The run has no tracks; a particle is in one frame twice; a position lies beyond the recording; none is left.
    """
    run.require("track")
    frames, before = run.read_table("frames"), run.read_table("tracks")
    before.attrs.clear()
    if len(outside := np.setdiff1d(edited["frame"].astype(int), frames["frame"])):
        raise InputError(
            f"the recording has no {_ranges(set(outside))} (the slider may go on beyond it); remove what is there"
        )
    table, repair = repaired(before, edited)
    if repair.is_empty:
        return repair
    from colloidlab.pipeline.track import calibrated  # brings torch along, which no reader needs

    table = calibrated(table, frames, run.calibration)[list(before.columns)]
    entry = {
        "who": WHO,
        "time": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        **vars(repair),
    }
    run.amend(
        "track",
        {"repairs": [*run.facts("track").get("repairs", []), entry]},
        changed={"tracks": table, "quality": track_quality(table)},
        summary={"n_tracks": int(table["particle"].nunique())},
    )
    return repair


def repaired(before: pd.DataFrame, edited: pd.DataFrame) -> tuple[pd.DataFrame, Repair]:
    """The table of tracks with the edited positions in place of its own, and what is different.

    Parameters
    ----------
    before : DataFrame
        As `tracks.parquet`.
    edited : DataFrame
        See `save_repair`.
    """
    axes = [axis for axis in ("x", "y", "z") if axis in before]
    edited = edited[["frame", "particle", *axes]].reset_index(drop=True)
    old = _matches(before, edited, axes)
    kept = old >= 0
    rows = before.iloc[np.maximum(old, 0)].reset_index(drop=True)
    measured = [c for c in before.columns if c not in ("frame", "particle", *axes)]
    rows.loc[~kept, measured] = np.nan
    rows[["frame", *axes]] = edited[["frame", *axes]]
    # A layer that is saved again does not know the numbers that what was added to it got the first time.
    unnamed = kept & ~(edited["particle"] >= 0).to_numpy()
    edited.loc[unnamed, "particle"] = before["particle"].to_numpy()[old[unnamed]]
    rows["particle"] = _numbered(edited, kept, int(before["particle"].max()) + 1)
    if rows.empty:
        raise InputError("no position is left; keep at least one")
    if (twice := rows.duplicated(["frame", "particle"])).any():
        row = rows[twice].iloc[0]
        raise InputError(
            f"particle {row['particle']:.0f} would be in frame {row['frame']:.0f} twice; remove one of the two, or "
            "give it another number"
        )
    _fill_radius(rows)
    _fill_species(rows)
    repair = _count(before, rows, old)
    order = np.lexsort((rows["particle"], rows["frame"]))
    rows, old = rows.iloc[order].reset_index(drop=True), old[order]
    _forget_links(before, rows, old)
    # Whole numbers cannot be missing, and of what is new nothing was measured.
    kept_types = {
        name: dtype
        for name, dtype in before.dtypes.items()
        if not (pd.api.types.is_integer_dtype(dtype) and rows[name].isna().any())
    }
    return rows.astype(kept_types), repair


def _matches(before: pd.DataFrame, edited: pd.DataFrame, axes: list[str]) -> np.ndarray:
    """Row of `before` at the very place of each edited position, -1 where there was none.

    A layer may have kept single precision, so that is compared.
    """
    keys = ["frame", *axes]
    tables = []
    for table in (before, edited):
        key = table[keys].astype({axis: np.float32 for axis in axes})
        # Of two positions at one place each is matched with its own.
        tables.append(key.assign(nth=key.groupby(keys).cumcount(), row=np.arange(len(table))))
    found = tables[1].merge(tables[0], on=[*keys, "nth"], how="left", suffixes=("", "_before"))
    return found["row_before"].fillna(-1).to_numpy(dtype=np.int64)


def _numbered(edited: pd.DataFrame, kept: np.ndarray, unused: int) -> np.ndarray:
    """Particles of all positions; added ones without a number, or with that of somebody in their frame, get a new one."""
    particle = edited["particle"].fillna(-1).to_numpy(dtype=np.int64).copy()
    unused = max(unused, int(particle.max(initial=-1)) + 1)
    frame = edited["frame"].to_numpy()
    taken = set(zip(frame[kept].tolist(), particle[kept].tolist(), strict=True))
    for k in np.flatnonzero(~kept):
        if particle[k] < 0 or (frame[k], particle[k]) in taken:
            particle[k], unused = unused, unused + 1
        taken.add((frame[k], particle[k]))
    return particle


def _fill_radius(rows: pd.DataFrame) -> None:
    """A rigid particle has one size, also where somebody has placed it."""
    if "radius_px" in rows:
        usual = rows.groupby("particle")["radius_px"].transform("median")
        rows["radius_px"] = rows["radius_px"].fillna(usual)


def _fill_species(rows: pd.DataFrame) -> None:
    """A track is of one species, also where somebody has placed its particle; a new one is of none yet."""
    if "species" in rows:
        rows["species"] = rows["species"].fillna(rows.groupby("particle")["species"].transform("first"))


def _count(before: pd.DataFrame, rows: pd.DataFrame, old: np.ndarray) -> Repair:
    kept = old >= 0
    gone = before.drop(index=before.index[old[kept]])
    placed = rows[~kept]
    moved = len(placed.merge(gone, on=["frame", "particle"]))
    relabelled = int((before["particle"].to_numpy()[old[kept]] != rows["particle"].to_numpy()[kept]).sum())
    return Repair(len(gone) - moved, len(placed) - moved, moved, relabelled)


def _forget_links(before: pd.DataFrame, rows: pd.DataFrame, old: np.ndarray) -> None:
    """Leave the certainty of a link only where it still joins the same two positions."""
    if "link_margin" not in rows:
        return
    number = pd.Series(np.arange(len(before)))
    past = number.groupby(before["particle"].to_numpy()).shift(fill_value=-1).to_numpy()
    if not before["frame"].is_monotonic_increasing:
        raise InputError("the tracks of this run are not sorted by frame; track again")
    now = pd.Series(old).groupby(rows["particle"].to_numpy()).shift(fill_value=-2).to_numpy()
    same = (old >= 0) & (now == np.where(past == -1, -2, past)[np.maximum(old, 0)])
    rows.loc[~same, "link_margin"] = np.nan
