"""What is known of the frames of the recording that is looked at: of a run what it has recorded, else what was seen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from colloidlab.report.style import STATUS_COLOURS
from napari_plugin.scene import NAMESPACE
from napari_plugin.slider import slider_ends

OUTSIDE = -1
UNSEEN = "unseen"
STATES = (UNSEEN, *STATUS_COLOURS)
"""From what says least to what is worst: unseen, ok, duplicate, damaged, missing."""

_OK, _SPOILT = STATES.index("ok"), STATES.index("duplicate")

Codes = NDArray[np.int8]


@dataclass(frozen=True)
class FrameHealth:
    """The state of every frame of a recording.

    Attributes
    ----------
    name : str
        Of the layer.
    tracked : bool
        A run has looked at the frames; `unseen` ones are then those that its options leave out.
    codes : int8 array, shape (n_frames,)
        Index in `STATES`.
    reasons : dict of int to str
        Why a frame is not "ok".
    first : int
        Frame of the first code; of a run whose recording is not there, that at which its layers begin.
    n_space : int
        Dimensions of its positions, which say what slider counts its frames.
    """

    name: str
    tracked: bool
    codes: Codes
    reasons: dict[int, str]
    first: int = 0
    n_space: int = 2

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, FrameHealth)
            and (self.name, self.tracked, self.reasons, self.first, self.n_space)
            == (other.name, other.tracked, other.reasons, other.first, other.n_space)
            and np.array_equal(self.codes, other.codes)
        )

    __hash__ = None  # type: ignore[assignment]

    def __len__(self) -> int:
        return len(self.codes)

    def state(self, frame: int) -> str:
        """One of `STATES`; empty beyond the recording."""
        k = frame - self.first
        return STATES[self.codes[k]] if 0 <= k < len(self) else ""

    def tell(self, frame: int) -> str:
        """A frame, its state and why."""
        state = self.state(frame)
        if not state:
            return f"frame {frame}: beyond the recording"
        if state == UNSEEN:
            return f"frame {frame}: " + ("not part of the run" if self.tracked else "not looked at yet")
        reason = self.reasons.get(frame, "")
        return f"frame {frame}: {state}" + (f", {reason}" if reason else "")

    def counts(self) -> dict[str, int]:
        """Number of frames of every state that there is."""
        return {name: n for k, name in enumerate(STATES) if (n := int((self.codes == k).sum()))}

    @property
    def n_spoilt(self) -> int:
        """Damaged and missing frames."""
        return sum(n for name, n in self.counts().items() if name in ("damaged", "missing"))

    def worst_near(self, frame: int, reach: float) -> int:
        """The spoilt frame that is nearest within a reach; the frame itself where there is none."""
        spoilt = self.first + np.flatnonzero(self.codes >= _SPOILT)
        distance = np.abs(spoilt - frame)
        if not len(spoilt) or distance.min() > max(reach, 0.5):
            return frame
        return int(spoilt[np.argmin(distance)])

    def in_columns(self, n_columns: int, first: int, last: int) -> Codes:
        """The worst state in each column of pixels; spoilt frames are two columns wide at least.

        Parameters
        ----------
        n_columns : int
        first, last : int
            Frames at the ends of the slider, in the first column and in the last; where it goes beyond the recording
            the columns are `OUTSIDE`.
        """
        step = max(n_columns - 1, 1) / max(last - first, 1)
        nearest = first - self.first + np.rint(np.arange(n_columns) / step).astype(int)
        columns = np.full(n_columns, OUTSIDE, np.int8)
        inside = (nearest >= 0) & (nearest < len(self))
        columns[inside] = self.codes[nearest[inside]]
        frames = self.first + np.arange(len(self))
        here = (frames >= first) & (frames <= last)
        where, codes = np.rint((frames[here] - first) * step).astype(int), self.codes[here]
        np.maximum.at(columns, where, codes)
        spoilt = codes >= _SPOILT
        np.maximum.at(columns, np.minimum(where[spoilt] + 1, n_columns - 1), codes[spoilt])
        return columns


def health_of(viewer: Any) -> FrameHealth | None:
    """Health of the recording that the active layer shows or was made from; of the uppermost one where it is not ours.

    None where nothing is known of that recording: another's would mislead.
    """
    known = [layer for layer in viewer.layers if "health" in layer.metadata.get(NAMESPACE, {})]
    if not known:
        return None
    active = viewer.layers.selection.active
    ours = {} if active is None else active.metadata.get(NAMESPACE, {})
    for layer in known[::-1]:
        about = layer.metadata[NAMESPACE]
        if layer is active or any(ours.get(key, "") == about.get(key) for key in ("run", "path")):
            return _read(layer, viewer)
    if "run" in ours or "path" in ours:
        return None
    visible = [layer for layer in known if layer.visible]
    return _read((visible or known)[-1], viewer)


def _read(layer: Any, viewer: Any) -> FrameHealth:
    about = layer.metadata[NAMESPACE]
    tracked = "run" in about
    seen = getattr(layer.data, "seen", None)
    n_space = int(layer.ndim) - 1
    first, last = slider_ends(viewer, n_space) if seen is None else (0, len(seen) - 1)
    codes = np.zeros(last - first + 1, np.int8)
    if tracked:
        begin, stop = about.get("frames", (first, last + 1))
        codes[max(begin - first, 0) : max(stop - first, 0)] = _OK
    elif seen is not None:
        codes[seen] = _OK
    # Frames are decoded in the background meanwhile: one look at them.
    listed = {k: found for k, found in dict(about["health"]).items() if first <= k <= last}
    for k, (status, _) in listed.items():
        codes[k - first] = STATES.index(status) if status in STATES else _OK
    return FrameHealth(layer.name, tracked, codes, {k: why for k, (_, why) in listed.items()}, first, n_space)
