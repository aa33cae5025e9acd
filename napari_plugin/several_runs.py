"""Several runs in one viewer: names that tell their layers apart, and one unit of length for all."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from colloidlab.units import Calibration
from napari_plugin.coordinates import place
from napari_plugin.scene import NAMESPACE


def run_of(layer: Any) -> str:
    """Path of the run to which a layer of ours belongs; empty for one that belongs to none."""
    return _path(layer.metadata.get(NAMESPACE, {}))


def _path(about: dict[str, Any]) -> str:
    return str(about.get("run") or about.get("rollout_of") or "")


def give_names(layers: Iterable[Any], ours: Sequence[Any]) -> None:
    """Begin the names of layers with that of their run, where there are several runs, and only there.

    Parameters
    ----------
    layers : all layers of a viewer
    ours : those of ours among them
    """
    short = short_names(list(dict.fromkeys(run for layer in ours if (run := run_of(layer)))))
    for layer in ours:
        about = layer.metadata[NAMESPACE]
        begin = f"{short[run]}: " if len(short) > 1 and (run := run_of(layer)) else ""
        name = layer.name.removeprefix(about.get("begin", ""))
        # napari has numbered what was called the same; it need not be, where the run's name stands before it.
        bare = re.sub(r" \[\d+\]$", "", name)
        if begin and bare == about.get("name"):
            name = bare
        about["begin"] = begin
        if layer.name != begin + name and begin + name not in {x.name for x in layers if x is not layer}:
            layer.name = begin + name


def short_names(paths: Sequence[str]) -> dict[str, str]:
    """The names of folders, with as many of those above as are needed to tell them apart.

    >>> short_names(["/a/first/run", "/a/second/run", "/b/third"])
    {'/a/first/run': 'first/run', '/a/second/run': 'second/run', '/b/third': 'third'}
    """
    names = {}
    for path in paths:
        parts = Path(path).parts
        ends = ["/".join(parts[-n:]) for n in range(1, len(parts) + 1)]
        others = [other for other in paths if other != path]
        alone = (end for end in ends if not any(f"/{Path(o).as_posix()}".endswith(f"/{end}") for o in others))
        names[path] = next(alone, path)
    return names


def share_units(ours: Sequence[Any]) -> str:
    """Show all layers of ours in pixels where one of them has no scale, else each in micrometres where it has one.

    napari draws no layers in micrometres beside others in pixels without a warning for each.

    Parameters
    ----------
    ours : layers, or the arguments of layers that are about to be added

    Returns
    -------
    str
        A sentence where something has changed to pixels.
    """
    abouts = [_get(layer, "metadata")[NAMESPACE] for layer in ours]
    known = [
        (layer, about, Calibration(**about["calibration"]))
        for layer, about in zip(ours, abouts, strict=True)
        if "calibration" in about
    ]
    without = [about for _, about, calibration in known if calibration.um_per_px is None]
    changed = False
    for layer, about, calibration in known:
        in_px = bool(without) and calibration.um_per_px is not None
        if about.get("in_px", False) != in_px:
            about["in_px"] = in_px
            _rescale(layer, calibration, in_px=in_px)
            changed |= in_px
    if not changed:
        return ""
    names = dict.fromkeys(Path(_path(about)).name or about.get("name", "A recording") for about in without)
    have = "has" if len(names) == 1 else "have"
    return f"{', '.join(names)} {have} no scale: everything is shown in pixels as long as it is open."


def shows_scale(layer: Any) -> bool:
    """Is a layer of ours drawn in micrometres?"""
    about = layer.metadata[NAMESPACE]
    return bool(about.get("calibration", {}).get("um_per_px")) and not about.get("in_px", False)


def _rescale(layer: Any, calibration: Calibration, *, in_px: bool) -> None:
    """Draw a layer in pixels in place of micrometres, or the reverse; its data stay as they are."""
    shown = Calibration() if in_px else calibration
    factor = 1 / calibration.length_per_px if in_px else calibration.length_per_px
    for name in ("scale", "translate"):
        frames, *lengths = _get(layer, name)
        _set(layer, name, (frames, *(factor * length for length in lengths)))
    _set(layer, "units", place(shown, n_space=len(lengths)).units)


def _get(layer: Any, name: str) -> Any:
    return layer[name] if isinstance(layer, dict) else getattr(layer, name)


def _set(layer: Any, name: str, value: Any) -> None:
    if isinstance(layer, dict):
        layer[name] = value
    else:
        setattr(layer, name, value)
