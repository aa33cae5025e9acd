"""Saving repaired tracks: File > Save of the layer "particles" or "tracks", into the run folder it came from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from colloidlab.errors import InputError, UsageError
from colloidlab.run import Run
from napari_plugin.coordinates import from_napari, to_napari, tracks_from_napari
from napari_plugin.repair import Repair, save_repair
from napari_plugin.scene import NAMESPACE


def write_points(path: str, data: Any, meta: dict[str, Any]) -> list[str]:
    """Save the layer "particles" of a run; napari's writer of Points layers."""
    folder = _folder(path)
    save_points(folder, data, meta)
    return [str(folder / "tracks.parquet")]


def write_tracks(path: str, data: Any, meta: dict[str, Any]) -> list[str]:
    """Save the layer "tracks" of a run; napari's writer of Tracks layers."""
    folder = _folder(path)
    _save(folder, tracks_from_napari(data), meta)
    return [str(folder / "tracks.parquet")]


def save_points(folder: Path, data: Any, meta: dict[str, Any]) -> Repair:
    """Save the layer "particles" of a run, given as `layer.as_layer_data_tuple` gives it.

    Returns
    -------
    Repair
        What is different from the tracks that were there.

    Raises
    ------
    UsageError
        It is not that layer, or that of another run.
    InputError
        The run was tracked again meanwhile; or see `repair.save_repair`.
    """
    edited = from_napari(data)
    features = pd.DataFrame(meta["features"])
    if "particle" not in features:
        raise UsageError(
            f"layer {meta.get('name')} has no feature 'particle'; save the layer 'particles' of a run"
        )
    return _save(folder, edited.assign(particle=features["particle"].to_numpy()), meta)


def unsaved(layer: Any) -> bool:
    """Is the layer "particles" of a run another than the tracks that it was read from, by whatever tool?"""
    table = layer.metadata[NAMESPACE]["scene"].table
    if len(layer.data) != len(table):
        return True
    places = [np.asarray(data, np.float32) for data in (layer.data, to_napari(table))]
    particles = [features["particle"].to_numpy() for features in (layer.features, table)]
    return not all(np.array_equal(*both) for both in (places, particles))


def _folder(path: str) -> Path:
    return Path(path).parent if Path(path).suffix else Path(path)


def _save(folder: Path, edited: pd.DataFrame, meta: dict[str, Any]) -> Repair:
    ours = meta.get("metadata", {}).get(NAMESPACE, {})
    if ours.get("kind") not in ("particles", "tracks"):
        raise UsageError(
            f"layer {meta.get('name')} was not read from a run; save the layer 'particles' or 'tracks' of a run folder"
        )
    if folder.resolve() != Path(ours["run"]).resolve():
        raise UsageError(
            f"these are tracks of {ours['run']}; save them there, as {Path(ours['run']) / 'tracks.parquet'}"
        )
    run = Run(folder)
    if not run.has("tracks.parquet"):
        raise InputError(f"{folder} has no tracks any more; put it back where it was, and save again")
    if run.stage_key("track") != ours["track_key"]:
        raise InputError(
            f"{folder} was tracked again after it was opened; open it again and repeat the repair"
        )
    return save_repair(run, edited)
