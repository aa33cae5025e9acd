"""The default interaction cutoff: where the first shell of neighbours ends."""

from __future__ import annotations

import numpy as np

from colloidlab.dataset.recording import Recording
from colloidlab.indicators import first_minimum, pair_correlation

_FRAMES = 30
_WITHOUT_SHELLS = 1.5


def choose_cutoff(recording: Recording) -> tuple[float, str]:
    """Interaction cutoff between two particles of mean size, and a sentence on where it comes from.

    The first minimum of g(r), with distances scaled by the sum of the radii; 1.5 mean spacings where g(r)
    has no shells.

    Returns
    -------
    cutoff : float, px
    reason : str
    """
    frames = np.unique(np.linspace(recording.first, recording.stop - 1, _FRAMES).astype(int))
    rows = [recording.rows(int(f)) for f in frames]
    positions = [recording.position[r] for r in rows]
    everything = np.concatenate(positions)
    lower, upper = everything.min(axis=0), everything.max(axis=0)
    n_mean = np.mean([len(p) for p in positions])
    spacing = float(np.sqrt(np.prod(upper - lower) / max(n_mean, 1)))
    r_max = min(4 * spacing, 0.45 * float((upper - lower).min()))
    curve = pair_correlation(
        positions,
        r_max=r_max,
        n_bins=int(np.clip(r_max, 40, 200)),
        region=(tuple(lower), tuple(upper)),
        radii=[recording.radius[recording.particle[r]] for r in rows],
    )
    minimum = first_minimum(curve)
    if minimum is not None and minimum < 3 * spacing:
        return (
            minimum,
            f"first minimum of g(r) with distances scaled by the sum of the radii, {minimum:.3g} px",
        )
    cutoff = _WITHOUT_SHELLS * spacing
    return cutoff, f"g(r) has no first minimum, so 1.5 mean spacings, {cutoff:.3g} px"
