"""Linking beside trackpy: the same links, what they cost, and how many are wrong."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import trackpy

from colloidlab import tracks
from colloidlab.benchmarks.cost import cpu_ratio, in_fresh_process, peak_growth_mb
from colloidlab.benchmarks.quiet import quiet_trackpy
from colloidlab.benchmarks.rows import Row, at_least, at_most
from colloidlab.progress import SILENT, Monitor
from colloidlab.synthetic.crowded import SCENES, Scene, motion

_FRAMES = 100
_RANGE_PX = 8.0
_MEMORY = 3
_MISSED = 0.02
"""Share of the particles that a frame misses, so that the memory has work to do."""
_FLOWS = {
    "Brownian": replace(SCENES["c"], shear_px=0.0),
    "sheared": replace(SCENES["c"], shear_px=12.0),
}
_FLOW_FRAMES = 30


def link_rows(seed: int, monitor: Monitor = SILENT) -> list[Row]:
    """Cost, memory and sameness at 20 000 particles x 100 frames, then wrong links against the truth."""
    monitor.update("link", 0, 2)
    rows = _beside_trackpy(detections(SCENES["c"], _FRAMES, seed=seed))
    monitor.update("link", 1, 2)
    for name, scene in _FLOWS.items():
        rows += _wrong(name, detections(scene, _FLOW_FRAMES, seed=seed + 1))
    monitor.update("link", 2, 2)
    return rows


def detections(scene: Scene, n_frames: int, *, seed: int) -> pd.DataFrame:
    """frame, x, y and true_particle of a scene of which every frame misses some particles."""
    rng = np.random.default_rng([seed, 2])
    tables = []
    for frame, truth in enumerate(motion(scene, n_frames, seed=seed)):
        seen = truth[rng.random(len(truth)) > _MISSED]
        tables.append(
            pd.DataFrame({"frame": frame, "x": seen["x"], "y": seen["y"], "true_particle": seen["particle"]})
        )
    return pd.concat(tables, ignore_index=True)


def links(table: pd.DataFrame, particle: np.ndarray) -> np.ndarray:
    """For every row the row in which the same particle is seen next; -1 at the end of a track."""
    order = np.lexsort((table["frame"].to_numpy(), particle))
    same = particle[order][1:] == particle[order][:-1]
    following = np.full(len(table), -1)
    following[order[:-1][same]] = order[1:][same]
    return following


def _beside_trackpy(table: pd.DataFrame) -> list[Row]:
    plain = table[["frame", "x", "y"]]
    frame, positions = plain["frame"].to_numpy(), plain[["x", "y"]].to_numpy()
    results: dict[str, np.ndarray] = {}

    def in_arrays() -> None:
        results["ours"] = tracks.link_arrays(frame, positions, _RANGE_PX, memory=_MEMORY)

    def in_tables() -> None:
        tracks.link(plain, _RANGE_PX, memory=_MEMORY)

    def theirs() -> None:
        # The first call measures; later ones would take a minute each.
        if "theirs" not in results:
            with quiet_trackpy():
                linked = trackpy.link(plain, _RANGE_PX, memory=_MEMORY)
            results["theirs"] = linked["particle"].sort_index().to_numpy()

    tracks.link_arrays(frame[:1000], positions[:1000], _RANGE_PX, memory=_MEMORY)  # compilation
    ratio, seconds = cpu_ratio(in_arrays, theirs, repeats=1)
    trackpy_seconds = ratio * seconds
    arrays = min(seconds, *(cpu_ratio(in_arrays, in_tables, repeats=1)[1] for _ in range(3)))
    tables = min(cpu_ratio(in_tables, in_arrays, repeats=1)[1] for _ in range(4))
    different = int((links(table, results["ours"]) != links(table, results["theirs"])).sum())
    label = f"{len(table) // _FRAMES} particles x {_FRAMES} frames, memory {_MEMORY}"
    rows = [
        at_most(f"{label}: links that differ from trackpy's", different, 0),
        at_least(f"{label}: trackpy.link / link_arrays, processor time", trackpy_seconds / arrays, 250.0),
        at_least(f"{label}: trackpy.link / link, processor time", trackpy_seconds / tables, 100.0),
        Row(f"{label}: link_arrays, processor time", arrays, "s"),
    ]
    growth = in_fresh_process(_growth, frame, positions)
    if growth is not None:
        rows.append(at_most(f"{label}: extra memory", growth, 50.0, "MB"))
    return rows


def _growth(frame: np.ndarray, positions: np.ndarray) -> float | None:
    tracks.link_arrays(frame[:1000], positions[:1000], _RANGE_PX, memory=_MEMORY)
    return peak_growth_mb(lambda: tracks.link_arrays(frame, positions, _RANGE_PX, memory=_MEMORY))


def _wrong(name: str, table: pd.DataFrame) -> list[Row]:
    """Share of links to another particle, by trackpy's objective with the estimated range and by ours."""
    plain = table[["frame", "x", "y"]]
    linked, choice = tracks.link_automatically(plain, memory=_MEMORY)
    same_range = tracks.link(plain, choice.search_range_px, memory=_MEMORY)
    rates = {
        "squared displacements": _wrong_share(table, _in_order(plain, same_range)),
        "automatic": _wrong_share(table, _in_order(plain, linked)),
    }
    rows = [Row(f"{name} scene c: wrong links, {how}", 100 * rate, "%") for how, rate in rates.items()]
    rows.append(
        at_most(
            f"{name} scene c: wrong links, automatic minus squared displacements",
            100 * (rates["automatic"] - rates["squared displacements"]),
            0.0,
            "%",
        )
    )
    return rows


def _in_order(plain: pd.DataFrame, linked: pd.DataFrame) -> np.ndarray:
    """Identities in the order of `plain`, whose rows are told apart by frame and position."""
    key = ["frame", "x", "y"]
    return plain.merge(linked[[*key, "particle"]], on=key, how="left", validate="1:1")["particle"].to_numpy()


def _wrong_share(table: pd.DataFrame, particle: np.ndarray) -> float:
    following = links(table, particle)
    rows = np.flatnonzero(following >= 0)
    true = table["true_particle"].to_numpy()
    return float(np.mean(true[rows] != true[following[rows]]))
