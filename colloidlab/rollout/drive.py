"""A drive signal from a file in the place of the recorded boundary, so that another protocol can be tried on the laws.

CSV with a header. One column says when, counted from the start of the rollout: `frame` (need not be whole) or `time_s`.
The others say what the boundary does, each since the start: `dx_px`, `dy_px` or `dx_um`, `dy_um`, its displacement; and
the displacement gradient `gradient_xx`, `gradient_xy`, `gradient_yx`, `gradient_yy` about the middle of the boundary (a
simple shear by gamma along x is gradient_xy = gamma). What is not there is zero.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.interpolate import PchipInterpolator

from colloidlab.errors import InputError
from colloidlab.rollout.boundary import STRETCH, Plan, lengthened
from colloidlab.units import Calibration

_LENGTHS = ("dx_px", "dy_px", "dx_um", "dy_um")
_GRADIENTS = ("gradient_xx", "gradient_xy", "gradient_yx", "gradient_yy")
_LARGEST_GRADIENT = 5.0
_LOOKS = 8
"""From a row of the file to the next, for deformations that are none."""


@dataclass(frozen=True)
class Drive:
    """Displacement and displacement gradient of the boundary since the start of the rollout.

    Attributes
    ----------
    frame : float array, shape (m,)
        When, in frames from the start; ascending.
    displacement : float array, shape (m, 2), px
    gradient : float array, shape (m, 2, 2)
    """

    frame: np.ndarray
    displacement: np.ndarray
    gradient: np.ndarray

    @property
    def n_frames(self) -> int:
        """Of the longest rollout that it drives."""
        return int(np.floor(self.frame[-1] + 1e-9)) + 1

    def signal(self) -> PchipInterpolator:
        """Displacement and gradient, six numbers, at any time."""
        flat = np.concatenate([self.displacement, self.gradient.reshape(-1, 4)], axis=1)
        return PchipInterpolator(self.frame, flat, axis=0)


def read_drive(path: Path, calibration: Calibration) -> Drive:
    """Read a drive signal.

    Raises
    ------
    InputError
        The file is absent or no such table, or the recording has no scale or frame rate for its units.
    """
    try:
        table = pd.read_csv(path)
    except FileNotFoundError:
        raise InputError(f"the drive signal {path} does not exist; check the path") from None
    except (OSError, UnicodeError, pd.errors.ParserError, pd.errors.EmptyDataError) as error:
        raise InputError(f"the drive signal {path} is not readable CSV ({str(error).strip()})") from None
    table.columns = table.columns.astype(str).str.strip()
    _check_columns(table, path)
    values = table.to_numpy(dtype=float)
    if len(table) < 2 or not np.isfinite(values).all():
        raise InputError(f"the drive signal {path} needs at least two rows, with a number in every column")
    when = "frame" if "frame" in table else "time_s"
    if when == "time_s" and calibration.fps is None:
        raise InputError(
            f"the drive signal {path} is in seconds, but the recording has no frame rate; use the column frame, or "
            "track with --fps"
        )
    if calibration.um_per_px is None and {"dx_um", "dy_um"} & set(table):
        raise InputError(
            f"the drive signal {path} is in um, but the recording has no scale; use dx_px and dy_px, or track "
            "with --um-per-px"
        )
    frame = table[when].to_numpy(dtype=float) / (calibration.time_per_frame if when == "time_s" else 1.0)
    if np.any(np.diff(frame) <= 0) or frame[0] > 0 or frame[-1] < 1:
        raise InputError(
            f"the drive signal {path}: column {when} must ascend, and reach from 0, the start of the rollout, over a frame "
            "at least"
        )
    drive = Drive(frame, _displacement(table, calibration), _gradient(table, path))
    _check_orientation(drive, path)
    return drive


def _check_columns(table: pd.DataFrame, path: Path) -> None:
    known = {"frame", "time_s", *_LENGTHS, *_GRADIENTS}
    unknown = [str(c) for c in table.columns if c not in known]
    moved = set(table) & {*_LENGTHS, *_GRADIENTS}
    once = [("frame", "time_s"), ("dx_px", "dx_um"), ("dy_px", "dy_um")]
    twice = [" and ".join(pair) for pair in once if set(pair) <= set(table)]
    words = [str(c) for c in table.columns if not pd.api.types.is_numeric_dtype(table[c])]
    problem = ""
    if unknown:
        problem = f"does not know the column {unknown[0]!r}"
    elif not {"frame", "time_s"} & set(table) or not moved:
        problem = "lacks the time or the motion"
    elif twice:
        problem = f"has both {twice[0]}"
    elif words:
        problem = f"has a column {words[0]} that holds no numbers"
    if problem:
        raise InputError(
            f"the drive signal {path} {problem}; it needs a column frame or time_s, and of dx_px, dy_px (or dx_um, dy_um), "
            f"{', '.join(_GRADIENTS)} those that move"
        )


def _displacement(table: pd.DataFrame, calibration: Calibration) -> np.ndarray:
    zero = np.zeros(len(table))
    columns = []
    for axis in "xy":
        px = table.get(f"d{axis}_px", zero)
        um = table.get(f"d{axis}_um", zero)
        columns.append(np.asarray(px, dtype=float) + np.asarray(um, dtype=float) / calibration.length_per_px)
    return np.stack(columns, axis=1)


def _gradient(table: pd.DataFrame, path: Path) -> np.ndarray:
    zero = np.zeros(len(table))
    found = np.stack([np.asarray(table.get(name, zero), dtype=float) for name in _GRADIENTS], axis=1)
    if np.abs(found).max() > _LARGEST_GRADIENT:
        raise InputError(
            f"the drive signal {path} deforms by {np.abs(found).max():.3g}; a gradient is a ratio of lengths, not per cent"
        )
    return found.reshape(-1, 2, 2)


def _check_orientation(drive: Drive, path: Path) -> None:
    """No deformation may squeeze the boundary to nothing or turn it inside out, at the rows of the file or between."""
    between = np.arange(_LOOKS) / _LOOKS
    times = np.append(
        (drive.frame[:-1, None] + np.diff(drive.frame)[:, None] * between).ravel(), drive.frame[-1]
    )
    signal = drive.signal()
    gradient = (signal(times) - signal(0.0))[:, 2:].reshape(-1, 2, 2)
    area = np.linalg.det(np.eye(2) + gradient)
    if area.min() <= 0:
        k = int(np.argmax(area <= 0))
        row, off = divmod(k, _LOOKS)
        where = f"between rows {row + 1} and {row + 2}" if off else f"in row {row + 1}"
        raise InputError(
            f"the drive signal {path} turns the boundary inside out {where} (frame {times[k]:.6g}): there "
            f"det(1 + gradient) is {area[k]:.3g}, and must stay above zero; a gradient_xx of -0.5 halves all lengths along x"
        )


def follow(plan: Plan, drive: Drive, n_frames: int) -> Plan:
    """A plan whose prescribed particles move by the signal from where they start; nobody enters or leaves.

    Between the rows of the file the signal is a monotone cubic (Fritsch and Carlson): it has velocities, and does not
    overshoot. Like the walls after a recording, prescribed particles have no motion of their own.

    Raises
    ------
    InputError
        The signal is shorter than the rollout.
    UsageError
        So many frames do not fit into memory.
    """
    if n_frames > drive.n_frames:
        raise InputError(
            f"a rollout of {n_frames} frames needs a drive signal up to frame {n_frames - 1}, but it ends at "
            f"{drive.frame[-1]:.6g}; make it longer, or ask for fewer --frames"
        )
    held = ~plan.simulated & np.isfinite(plan.S[0])
    # Who was to enter later never does.
    there = plan.simulated | held
    parts = {name: getattr(plan, name)[:1, there] for name in ("r", "v", "S")}
    named = ["particles", "simulated", "scale", *([] if plan.species is None else ["species"])]
    of_each = {name: getattr(plan, name)[there] for name in named}
    if plan.reference is not None:
        of_each["reference"] = plan.reference.among(np.flatnonzero(there))
    driven, held = lengthened(replace(plan, **parts, **of_each), n_frames), held[there]
    signal = drive.signal()
    rate, start = signal.derivative(), driven.r[0, held]
    offset = start - start.mean(axis=0) if held.any() else start

    def applied(values: np.ndarray) -> np.ndarray:
        gradient = values[:, 2:].reshape(-1, 2, 2)
        return values[:, None, :2] + np.einsum("tij,pj->tpi", gradient, offset)

    for k in range(0, n_frames, STRETCH):
        times = np.arange(k, min(k + STRETCH, n_frames))
        driven.r[times[:, None], held] = start + applied(signal(times) - signal(0.0))
        driven.v[times[:, None], held] = applied(rate(times))
    driven.S[:, held] = plan.S[0, there][held]
    return driven
