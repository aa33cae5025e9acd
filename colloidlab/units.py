"""Calibration: from pixels and frames to micrometres and seconds, and knowing when we cannot."""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True)
class Calibration:
    """Length and time scale of a recording.

    Without a scale the program works in pixels and frames, and says so.

    Parameters
    ----------
    um_per_px, fps : float, optional
        Micrometres per pixel and frames per second; None where unknown.
    um_per_px_source, fps_source : str
        Where each came from: "option" (flag, environment or --config), "file" (its own metadata) or "none".
    """

    um_per_px: float | None = None
    fps: float | None = None
    um_per_px_source: str = "none"
    fps_source: str = "none"

    @property
    def length_unit(self) -> str:
        return "px" if self.um_per_px is None else "um"

    @property
    def time_unit(self) -> str:
        return "frame" if self.fps is None else "s"

    @property
    def length_per_px(self) -> float:
        """Multiply a length in px by this to have it in `length_unit`."""
        return 1.0 if self.um_per_px is None else self.um_per_px

    @property
    def time_per_frame(self) -> float:
        """Multiply a number of frames by this to have a time in `time_unit`."""
        return 1.0 if self.fps is None else 1.0 / self.fps

    def unit(self, length: int = 0, time: int = 0) -> str:
        """Name of a derived unit, for labels.

        >>> Calibration(um_per_px=0.1, fps=50).unit(length=2, time=-1)
        'um^2/s'
        >>> Calibration().unit(length=1)
        'px'
        """
        above = [_power(u, n) for u, n in ((self.length_unit, length), (self.time_unit, time)) if n > 0]
        below = [_power(u, -n) for u, n in ((self.length_unit, length), (self.time_unit, time)) if n < 0]
        text = " ".join(above) or "1"
        return text + ("/" + " ".join(below) if below else "")

    def factor(self, length: int = 0, time: int = 0) -> float:
        """Multiply a value in px^length frame^time by this to have it in `unit(length, time)`."""
        return float(self.length_per_px**length * self.time_per_frame**time)

    def convert(self, unit: str) -> tuple[float, str]:
        """Factor and unit of what a table has in pixels and frames; other units stay as they are.

        >>> Calibration(um_per_px=0.5, fps=8).convert("px^2/frame^2")
        (16.0, 'um^2/s^2')
        >>> Calibration(um_per_px=0.5).convert("px^-2"), Calibration(um_per_px=0.5).convert("k_B")
        ((4.0, '1/um^2'), (1.0, 'k_B'))
        """
        powers = {"px": 0, "frame": 0}
        for sign, part in zip((1, -1), unit.split("/"), strict=False):
            for token in part.split():
                found = re.fullmatch(r"(px|frame)s?(?:\^(-?\d+))?", token)
                if found is None:
                    return 1.0, unit
                powers[found[1]] += sign * int(found[2] or 1)
        length, time = powers.values()
        if not (length or time):
            return 1.0, unit
        return self.factor(length, time), self.unit(length, time)


def _power(unit: str, n: int) -> str:
    return unit if n == 1 else f"{unit}^{n}"
