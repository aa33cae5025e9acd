"""Structure of a recording, as `colloidlab indicators` measures it."""

from __future__ import annotations

from colloidlab.errors import InputError
from colloidlab.indicators.bond_order import psi6_table
from colloidlab.indicators.scene import Part, Scene


def radial(scene: Scene) -> Part:
    """g(r), and who counts as a neighbour."""
    part = Part(summary={"neighbour_cutoff_px": scene.cutoff, "spacing_px": scene.spacing})
    if scene.cutoff_note:
        part.notes.append(scene.cutoff_note)
    g = scene.pair_correlation
    if isinstance(g, InputError):
        part.notes.append(f"g(r) was not computed: {g}")
    else:
        part.curves.append(("g_r", g.calibrated(scene.calibration, x=(1, 0), y=(0, 0))))
    if not scene.planar:
        part.notes.append(
            "the positions are three-dimensional: g(r), the spacing and psi6 are those of their projection on x and y"
        )
    return part


def hexatic(scene: Scene) -> Part:
    """psi6."""
    table = psi6_table(scene.tracks, region=scene.region, monitor=scene.monitor)
    part = Part(table)
    if table["psi6"].notna().any():
        part.summary["psi6_mean"] = float(table["psi6"].mean())
    else:
        part.notes.append("psi6_mean is absent: no particle has all its neighbours inside the view")
    return part
