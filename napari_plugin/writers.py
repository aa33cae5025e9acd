"""Saving repaired tracks: File > Save of the layer "particles" or "tracks", into the run folder it came from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from colloidlab.errors import InputError, UsageError
from colloidlab.run import Run
from napari_plugin.coordinates import from_napari, tracks_from_napari
from napari_plugin.repair import save_repair
from napari_plugin.scene import NAMESPACE


def write_points(path: str, data: Any, meta: dict[str, Any]) -> list[str]:
    """Save the layer "particles" of a run; napari's writer of Points layers."""
    edited = from_napari(data)
    features = pd.DataFrame(meta["features"])
    if "particle" not in features:
        raise UsageError(
            f"layer {meta.get('name')} has no feature 'particle'; save the layer 'particles' of a run"
        )
    return _write(path, edited.assign(particle=features["particle"].to_numpy()), meta)


def write_tracks(path: str, data: Any, meta: dict[str, Any]) -> list[str]:
    """Save the layer "tracks" of a run; napari's writer of Tracks layers."""
    return _write(path, tracks_from_napari(data), meta)


def _write(path: str, edited: pd.DataFrame, meta: dict[str, Any]) -> list[str]:
    ours = meta.get("metadata", {}).get(NAMESPACE, {})
    if ours.get("kind") not in ("particles", "tracks"):
        raise UsageError(
            f"layer {meta.get('name')} was not read from a run; save the layer 'particles' or 'tracks' of a run folder"
        )
    folder = Path(path).parent if Path(path).suffix else Path(path)
    if folder.resolve() != Path(ours["run"]).resolve():
        raise UsageError(
            f"these are tracks of {ours['run']}; save them there, as {Path(ours['run']) / 'tracks.parquet'}"
        )
    run = Run(folder)
    if run.stage_key("track") != ours["track_key"]:
        raise InputError(
            f"{folder} was tracked again after it was opened; open it again and repeat the repair"
        )
    save_repair(run, edited)
    return [str(folder / "tracks.parquet")]
