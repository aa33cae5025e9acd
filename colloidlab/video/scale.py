"""Scale and interval that instruments write into image files, in our units or not at all."""

from __future__ import annotations

import html
import re
from typing import Any

_MICROMETRES = {"micron": 1.0, "microns": 1.0, "um": 1.0, "µm": 1.0, "μm": 1.0, "\\u00b5m": 1.0, "nm": 1e-3}
_SECONDS = {"s": 1.0, "sec": 1.0, "second": 1.0, "seconds": 1.0, "ms": 1e-3, "msec": 1e-3, "min": 60.0}

SQUARE = 0.01
"""Pixels whose sides differ by more than this fraction have no single scale."""


def imagej_scale(
    metadata: dict[str, Any], resolution: tuple[Any, Any] | None
) -> tuple[float | None, float | None]:
    """Micrometres per pixel and frames per second as ImageJ keeps them.

    The scale is the TIFF resolution (pixels a unit, numerator and denominator) with the
    unit in the description; `fps` there is the speed of playback and is not used.
    """
    um = None
    factor = _MICROMETRES.get(str(metadata.get("unit", "")).strip().lower())
    if factor and resolution is not None:
        sides = [_ratio(r) for r in resolution]
        um = _square(*(factor / s if s else None for s in sides))
    interval = _positive(metadata.get("finterval"))
    unit = _SECONDS.get(str(metadata.get("tunit", "s")).strip().lower())
    return um, (1.0 / (interval * unit) if interval and unit else None)


def ome_scale(xml: str) -> tuple[float | None, float | None]:
    """Micrometres per pixel and frames per second from OME-XML (defaults of the schema: µm and s).

    Only the attributes of the first Pixels element are looked at, without an XML
    parser, so that nothing in the file is expanded or fetched.
    """
    found = re.search(r"<(?:\w+:)?Pixels\b([^>]*)>", xml)
    if found is None:
        return None, None
    attributes = {k: html.unescape(v) for k, v in re.findall(r"(\w+)\s*=\s*\"([^\"]*)\"", found[1])}
    sides = []
    for axis in "XY":
        value = _positive(attributes.get(f"PhysicalSize{axis}"))
        factor = _MICROMETRES.get(attributes.get(f"PhysicalSize{axis}Unit", "µm").lower())
        sides.append(value * factor if value and factor else None)
    interval = _positive(attributes.get("TimeIncrement"))
    unit = _SECONDS.get(attributes.get("TimeIncrementUnit", "s").lower())
    return _square(*sides), (1.0 / (interval * unit) if interval and unit else None)


def _square(x: float | None, y: float | None) -> float | None:
    return x if x and y and abs(x - y) <= SQUARE * x else None


def _ratio(value: Any) -> float | None:
    numerator, denominator = value
    return float(numerator) / float(denominator) if denominator else None


def _positive(value: Any) -> float | None:
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if 0 < number < float("inf") else None
