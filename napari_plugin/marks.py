"""Marks in the picture: rings around particles that are selected, and the bonds of a T1 event."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from napari.layers import Layer

from napari_plugin.appearance import expect
from napari_plugin.coordinates import arrows_to_napari, from_napari, to_napari
from napari_plugin.particle_layers import diameters
from napari_plugin.scene import NAMESPACE, LayerData, Scene
from napari_plugin.shown_runs import ShownRun
from napari_plugin.slider import go_to_frame

COLOURS = ("#4fb3ff", "#ffa62b", "#3ddc97", "#ff6f91", "#c792ea", "#d6cf3a", "#ff5c39", "#9ad1d4")
"""Of selected particles, in the plot and in the picture alike."""

PARTED, MET = "#ff5ad2", "#5affc8"
AROUND_FRAMES = 10
"""The bonds of an event are drawn so long before and after it."""

_RING = 1.3


def rings(
    scene: Scene,
    table: pd.DataFrame,
    particles: Sequence[int],
    name: str = "selected particles",
    colours: Sequence[str] = COLOURS,
) -> LayerData:
    """A ring around every selected particle, in the colour of its curve."""
    rows = table[table["particle"].isin(particles)].reset_index(drop=True)
    order = {particle: k for k, particle in enumerate(particles)}
    arguments = scene.arguments(name, name, visible=True)
    arguments |= {
        "features": rows[["particle"]],
        "size": _RING * diameters(rows),
        "face_color": "transparent",
        "border_color": [colours[order[p] % len(colours)] for p in rows["particle"]] or colours[0],
        "border_width": 0.1,
    }
    return to_napari(rows), arguments, "points"


def show_rings(
    viewer: Any,
    shown: ShownRun,
    table: pd.DataFrame,
    particles: Sequence[int],
    name: str = "selected particles",
    colours: Sequence[str] = COLOURS,
) -> None:
    """Ring the particles that are selected, and no others; each name is a layer of its own."""
    data, arguments, kind = rings(shown.scene, table, particles, name, colours)
    _show_mark(viewer, shown, (data, arguments, kind), ("size", "border_color"))


def event_bonds(scene: Scene, event: pd.Series) -> LayerData:
    """The four particles of a T1 event: a line between those that part, until it; between those that meet, from it on.

    Parameters
    ----------
    scene : Scene
    event : Series
        A row of `events.parquet`.
    """
    frame = int(event["frame"])
    before, after = np.arange(frame - AROUND_FRAMES, frame), np.arange(frame, frame + AROUND_FRAMES + 1)
    parts = [
        _bond(scene.table, event["particle_a"], event["particle_b"], before).assign(met=0.0),
        _bond(scene.table, event["particle_c"], event["particle_d"], after).assign(met=1.0),
    ]
    bonds = pd.concat(parts, ignore_index=True)
    along = bonds[[c for c in bonds if c.startswith("along_")]].to_numpy()
    arguments = scene.arguments(f"T1 event in frame {frame}", "event bonds", visible=True, frame=frame)
    arguments |= {
        "features": bonds[["met"]],
        "edge_color": np.where(bonds["met"].to_numpy() > 0, MET, PARTED) if len(bonds) else MET,
        "edge_width": 0.25 * float(np.median(diameters(scene.table))),
        "vector_style": "line",
        "opacity": 1.0,
    }
    return arrows_to_napari(bonds, along), arguments, "vectors"


def show_event(viewer: Any, shown: ShownRun, event: pd.Series) -> None:
    """Go to an event: its frame on the slider, its place in the middle of the picture, its bonds drawn."""
    _show_mark(viewer, shown, event_bonds(shown.scene, event), ("edge_color",))
    go_to_frame(viewer, int(event["frame"]), shown.scene.n_space)
    [marks] = shown.of("events")[:1]
    place = marks.data_to_world(to_napari(event.to_frame().T.infer_objects())[0])[1:]
    camera = viewer.scene.camera
    camera.center = (*camera.center[: 3 - len(place)], *place)


def event_particles(event: pd.Series) -> list[int]:
    """The four particles of a T1 event: those that parted, and those that met."""
    return [int(event[f"particle_{name}"]) for name in "abcd"]


def particle_at(table: pd.DataFrame, data: np.ndarray) -> int | None:
    """The particle on whose disc a position lies, in its frame; None where there is none.

    Parameters
    ----------
    table : DataFrame
        Columns frame, particle, x, y[, z] and, for their sizes, radius_px.
    data : array, shape (3,) or (4,)
        In the coordinates of a layer.
    """
    place = from_napari(np.asarray(data)).iloc[0]
    here = table[table["frame"].to_numpy() == place["frame"]]
    axes = [axis for axis in ("x", "y", "z") if axis in place and axis in here]
    if here.empty:
        return None
    distance = np.linalg.norm(here[axes].to_numpy() - place[axes].to_numpy(dtype=np.float64), axis=1)
    k = int(np.argmin(distance))
    return int(here["particle"].iloc[k]) if distance[k] <= diameters(here)[k] / 2 else None


def _show_mark(viewer: Any, shown: ShownRun, mark: LayerData, looks: tuple[str, ...]) -> None:
    """Show a mark on top of all, or let the layer that a run has show another one; nothing to mark hides it."""
    data, arguments, kind = mark
    old = [x for x in viewer.layers if x in shown.of(arguments["metadata"][NAMESPACE]["kind"])]
    if not old and len(data):
        active = viewer.layers.selection.active
        expect(viewer, [arguments])
        viewer.add_layer(Layer.create(data, arguments, kind))
        viewer.layers.selection.active = active
    for layer in old:
        if len(data):
            layer.data = data
            layer.features = arguments["features"]
            for look in looks:
                setattr(layer, look, arguments[look])
            layer.name = arguments["name"]
        if layer.visible != bool(len(data)):
            layer.visible = bool(len(data))


def _bond(table: pd.DataFrame, one: int, other: int, frames: np.ndarray) -> pd.DataFrame:
    """Line between two particles in the frames in which both are there: `frame, x, y[, z]` and `along_x, ...`."""
    axes = [axis for axis in ("x", "y", "z") if axis in table]
    near = table[table["frame"].isin(frames)]
    ends = [near[near["particle"] == int(p)].set_index("frame")[axes] for p in (one, other)]
    both = ends[0].join(ends[1].add_suffix("_end"), how="inner")
    for axis in axes:
        both[f"along_{axis}"] = both.pop(f"{axis}_end") - both[axis]
    return both.reset_index()
