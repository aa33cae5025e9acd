"""Options that are written as a short text: frames, regions, forces, lists of names."""

from __future__ import annotations

import math
from collections.abc import Sequence


def parse_frames(text: str) -> tuple[int, int | None]:
    """Read "A:B" as (first, stop); either side may be empty.

    >>> parse_frames("10:200")
    (10, 200)
    >>> parse_frames("5:")
    (5, None)
    """
    first, colon, stop = text.partition(":")
    try:
        if not colon:
            raise ValueError
        a, b = int(first or 0), int(stop) if stop else None
    except ValueError:
        raise ValueError(f"frames must look like A:B, for example 0:200, not {text!r}") from None
    if a < 0 or (b is not None and b <= a):
        raise ValueError(f"frames {text!r} selects nothing: B must be larger than A, and neither negative")
    return a, b


def parse_roi(text: str) -> tuple[int, int, int, int]:
    """Read "X0,Y0,X1,Y1" in pixels.

    >>> parse_roi("0,10,200,300")
    (0, 10, 200, 300)
    """
    try:
        x0, y0, x1, y1 = (int(part) for part in text.split(","))
    except ValueError:
        raise ValueError(f"roi must look like X0,Y0,X1,Y1, for example 0,0,256,256, not {text!r}") from None
    if x0 < 0 or y0 < 0 or x1 <= x0 or y1 <= y0:
        raise ValueError(f"roi {text!r} is empty: X1 must exceed X0, and Y1 exceed Y0")
    return x0, y0, x1, y1


def parse_names(text: str, known: Sequence[str]) -> tuple[str, ...]:
    """Read "A,B", in the order of those that are known.

    >>> parse_names("msd, g_r", ("g_r", "psi6", "msd"))
    ('g_r', 'msd')
    """
    asked = [name for part in text.split(",") if (name := part.strip())]
    unknown = [name for name in asked if name not in known]
    if unknown or not asked:
        wrong = f"{unknown[0]!r} is not known" if unknown else f"{text!r} names nothing"
        raise ValueError(f"{wrong}; choose from {', '.join(known)}")
    return tuple(name for name in known if name in asked)


def parse_force(text: str) -> tuple[float, float]:
    """Read "FX,FY".

    >>> parse_force("0.01,-2e-3")
    (0.01, -0.002)
    """
    try:
        x, y = (float(part) for part in text.split(","))
    except ValueError:
        raise ValueError(f"body_force must look like FX,FY, for example 0.01,0, not {text!r}") from None
    if not (math.isfinite(x) and math.isfinite(y)):
        raise ValueError(f"body_force {text!r} is not finite")
    return x, y
