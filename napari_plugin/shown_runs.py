"""The runs that a viewer shows: their layers, and the tables that these were drawn from."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import pandas as pd

from napari_plugin.coordinates import from_napari
from napari_plugin.scene import NAMESPACE, Scene


@dataclass(frozen=True)
class ShownRun:
    """One run in a viewer.

    Parameters
    ----------
    path : str
        The run folder, absolute.
    scene : Scene
    layers : tuple of napari.layers.Layer
        Those that belong to the run, from the bottom up; of each thing that is drawn one layer.
    older : tuple of napari.layers.Layer
        Those of the same things from an earlier opening of the run.
    """

    path: str
    scene: Scene
    layers: tuple[Any, ...]
    older: tuple[Any, ...] = ()

    def of(self, *kinds: str) -> list[Any]:
        """Layers of some kinds, from the bottom up."""
        return [layer for layer in self.layers if about(layer).get("kind") in kinds]

    def events(self) -> pd.DataFrame | None:
        """The T1 events; None where the viewer has none of this run."""
        marks = self.of("events")
        return marks[0].features if marks else None

    @cached_property
    def rollout(self) -> pd.DataFrame | None:
        """The rollout with the future behind it, as `rollouts.Rollout.table`; None where there is none.

        Put together once: the window "Explore" looks at it in every frame of the slider.
        """
        shown = self.rollout_layer()
        if shown is None:
            return None
        beyond = [x for x in self.of("future") if about(x)["member"] == about(shown)["member"]]
        parts = [x.features.assign(**from_napari(x.data)[["x", "y"]]) for x in (shown, *beyond[-1:])]
        return pd.concat(parts, ignore_index=True)

    def rollout_layer(self) -> Any:
        """The layer of the rollout, that in front where there are several members; None where there is none."""
        return next(iter(self.of("rollout")[::-1]), None)


def about(layer: Any) -> dict[str, Any]:
    """What a layer of ours says of itself; empty for those of others."""
    found: dict[str, Any] = layer.metadata.get(NAMESPACE, {})
    return found


def tell(layer: Any, **more: Any) -> None:
    """Have a layer say more of itself; a duplicate, to which napari has given the same dictionary, goes on as it was."""
    layer.metadata[NAMESPACE] = {**about(layer), **more}


def without_particles(viewer: Any) -> str:
    """Path of a run that has layers, but whose `particles` were removed; that of the selected layer, if it is one."""
    known, active = shown_runs(viewer), viewer.layers.selection.active
    layers = [*([] if active is None else [active]), *viewer.layers]
    return next((p for layer in layers if (p := str(about(layer).get("run", ""))) and p not in known), "")


def shown_runs(viewer: Any) -> dict[str, ShownRun]:
    """Runs of a viewer by their path, in the order of their layers; without those whose `particles` were removed.

    Duplicates that somebody has made of layers are theirs, and belong to no run.
    """
    layers: dict[str, list[Any]] = {}
    for layer in viewer.layers:
        if "run" in about(layer) and not _is_duplicate(layer, viewer):
            layers.setdefault(about(layer)["run"], []).append(layer)
    runs = {}
    for path, own in layers.items():
        newest = {_what(layer): layer for layer in own}
        scenes = [about(layer)["scene"] for layer in newest.values() if "scene" in about(layer)]
        if scenes:
            current = tuple(layer for layer in own if layer is newest[_what(layer)])
            older = tuple(layer for layer in own if layer not in current)
            runs[path] = ShownRun(path, scenes[-1], current, older)
    return runs


def _is_duplicate(layer: Any, viewer: Any) -> bool:
    """Was it duplicated in napari from one that is still there? Else it takes the place of that one."""
    parent = layer.source.parent
    return parent is not None and parent() in viewer.layers


def _what(layer: Any) -> tuple[Any, ...]:
    """What a layer of a run draws, the same in every opening of the run."""
    ours = about(layer)
    if ours["kind"] in ("coloured", "map"):
        return ours["kind"], "shared" if ours.get("shared") else ours.get("quantity")
    return ours["kind"], ours.get("member")


def followed_run(viewer: Any, last: str) -> ShownRun | None:
    """The run of the selected layer; else the one that was followed before, else the first one.

    Parameters
    ----------
    viewer : napari.Viewer or napari.components.ViewerModel
    last : str
        Path of the run that was followed before; may be empty.
    """
    runs = shown_runs(viewer)
    active = viewer.layers.selection.active
    for path in ("" if active is None else about(active).get("run", ""), last):
        if path in runs:
            return runs[path]
    return next(iter(runs.values()), None)
