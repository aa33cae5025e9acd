"""Is the sample driven periodically? Period, amplitude and phase of what all particles share, and of what they do not.

The common motion (translation and uniform deformation of the view, from frame to frame) is searched for a
period; its waves are fitted, and then those of every particle in what the common motion leaves over.

| symbol | name |
|---|---|
| A cos(2π t/P + φ) | `amplitude`, `period.frames`, `phase`; t counts frames from frame 0 of the recording |
| U = A exp(iφ) | wave |
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from colloidlab.indicators.deformation import AXES, DeformationSteps, deformation_steps
from colloidlab.indicators.drift import remove_drift
from colloidlab.indicators.period import Period, find_period
from colloidlab.indicators.trajectories import Floats, trajectories
from colloidlab.indicators.wave_fit import WaveFit, fit_wave
from colloidlab.progress import SILENT, Monitor

_LEAST_STEPS = 24
"""Of a series of steps that are added in twos, fours, ..., to see a slow drive under localisation error."""

_LARGEST_CHANCE = 1e-3

_SEEN_PERIODS, _LEAST_ROWS = 2.0, 12
"""That a particle must have been seen for, so that its wave is told from its drift."""


@dataclass(frozen=True)
class Oscillation:
    """Periodic motion of a recording: A cos(2π t/P + φ) of each component, t in frames from frame 0.

    Parameters
    ----------
    period : Period
        Its length in frames, the harmonics that stand out, and the share of the variance that it explains.
    period_error : float
        Standard error, frames.
    components : tuple of str
        `dx_px`, `dy_px`, `strain_xx`, `strain_yy`, `shear_xy`, `rotation_xy`; see `DeformationSteps`.
    amplitude, amplitude_error : float array, shape (n_components,)
        Of the first harmonic, px or 1. Never negative: without a wave it is as large as its error, which
        contains noise and the sampling of the flow by particles that have waves of their own.
    phase, phase_error : float array, shape (n_components,), rad
        Between −π and π. The errors contain that of the period.
    reference : str
        Component that moves the particles most; its phase is that of the drive as the particles show it.
    affine_px : float
        Amplitude of the affine part of the displacement, rms over the particles.
    nonaffine_px, nonaffine_error_px : float
        Amplitude of the periodic displacement beyond it, rms over the particles, less what noise and
        localisation error make; NaN where no particle is seen for two periods.
    in_phase_px, out_of_phase_px : float
        The two parts of `nonaffine_px`: with the reference, and a quarter of a period off.
    particles : DataFrame
        One row for each particle seen for two periods: particle; x, y[, z], its mean place; in_phase_dx_px, ...: part
        of its displacement beyond the affine one that goes with the reference; out_of_phase_dx_px, ...:
        that lags behind it by a quarter of a period; error_px: standard error of each of these.
    """

    period: Period
    period_error: float
    components: tuple[str, ...]
    amplitude: Floats
    amplitude_error: Floats
    phase: Floats
    phase_error: Floats
    reference: str
    affine_px: float
    nonaffine_px: float
    nonaffine_error_px: float
    in_phase_px: float
    out_of_phase_px: float
    particles: pd.DataFrame

    def table(self) -> pd.DataFrame:
        """One row for each component: component, amplitude, amplitude_error, phase_rad, phase_error_rad."""
        return pd.DataFrame(
            {
                "component": self.components,
                "amplitude": self.amplitude,
                "amplitude_error": self.amplitude_error,
                "phase_rad": self.phase,
                "phase_error_rad": self.phase_error,
            }
        )

    def __str__(self) -> str:
        k = self.components.index(self.reference)
        unit = " px" if self.reference.endswith("_px") else ""
        text = (
            f"the sample is driven with a period of {self.period.frames:.5g} ± {self.period_error:.1g} frames: "
            f"{self.reference.removesuffix('_px')} by ± {self.amplitude[k]:.3g}{unit}; affine motion "
            f"of {self.affine_px:.3g} px"
        )
        if np.isfinite(self.nonaffine_px):
            text += f", non-affine {self.nonaffine_px:.2g} px (amplitude, rms over particles)"
        return text


def find_oscillation(tracks: pd.DataFrame, *, monitor: Monitor = SILENT) -> Oscillation | None:
    """Period, amplitudes and phases of the motion; None where the common motion is not periodic.

    A period must have been seen twice. Where localisation error hides a slow drive from frame to frame, steps are
    added up in twos, fours and so on. Uniform drift and steady shear are not periodic and do not disturb.

    A drive that neither moves nor deforms the view as a whole is not found. The error of `nonaffine_px` takes
    particles as independent: where neighbours share what the affine motion leaves over (a shear band), the
    number describes this band, and not rearrangement.

    Parameters
    ----------
    tracks : DataFrame
        Columns frame, particle, x, y[, z] in px; gaps and particles that come and go are fine.
    monitor : Monitor

    Raises
    ------
    InputError
        A column is missing, or a particle is in one frame twice.
    """
    steps = deformation_steps(tracks)
    period = _detect(steps)
    if period is None:
        return None
    fit = fit_wave(
        steps.start,
        steps.stop,
        steps.values,
        1 / period.frames,
        harmonics=period.harmonics,
        refine=True,
        relative=steps.sampling,
    )
    size = np.abs(fit.wave)
    leader = _leader(size * steps.lengths, steps.components)
    particles, parts = _beyond_affine(tracks, fit, period.harmonics, fit.wave[leader] / size[leader], monitor)
    # Real and imaginary part of one particle's own wave along one axis have this variance.
    own = 0.5 * np.nan_to_num(parts["nonaffine_px"]) ** 2 / len(steps.axes)
    sampled = own * steps.sampling[:, None, None] * np.eye(2)
    amplitude_error, phase_error = _polar_errors(fit.wave, fit.covariance + sampled)
    return Oscillation(
        period=replace(period, frames=1 / fit.frequency),
        period_error=fit.frequency_error / fit.frequency**2,
        components=steps.components,
        amplitude=size,
        amplitude_error=amplitude_error,
        phase=np.angle(fit.wave),
        phase_error=phase_error,
        reference=steps.components[leader],
        affine_px=_affine_size(tracks, fit.wave, steps),
        **parts,
        particles=particles,
    )


def _detect(steps: DeformationSteps) -> Period | None:
    """The period of the rates; of sums over more and more steps until one shows."""
    rates = steps.values * steps.lengths / (steps.stop - steps.start)[:, None]
    when = 0.5 * (steps.start + steps.stop)
    width = 1
    while width == 1 or when.size // width >= _LEAST_STEPS:
        n = when.size // width
        time = when[: n * width].reshape(n, width).mean(axis=1)
        values = rates[: n * width].reshape(n, width, -1).mean(axis=1)
        if n and (found := find_period(time / width, values)) is not None:
            # Of n values and many frequencies some line explains a good part by chance when n is small.
            chance = 0.5 * values.size * (1 - found.share) ** ((n - 3) / 2)
            if chance < _LARGEST_CHANCE:
                return replace(found, frames=found.frames * width, chance=max(found.chance, chance))
        width *= 2
    return None


def _leader(moved: Floats, components: tuple[str, ...]) -> int:
    """The component that moves the particles most; of the two halves of a simple shear the strain, not the rotation."""
    turns = np.array([c.startswith("rotation") for c in components])
    return int(np.argmax(np.where(turns, moved / np.sqrt(2), moved)))


def _polar_errors(wave: NDArray[np.complex128], covariance: Floats) -> tuple[Floats, Floats]:
    """Standard errors of modulus and angle, shape (c,) each; of the angle at most that of knowing nothing, π/√3."""
    size = np.maximum(np.abs(wave), 1e-300)
    along = np.stack([wave.real, wave.imag], axis=1) / size[:, None]
    across = np.stack([-along[:, 1], along[:, 0]], axis=1)
    modulus = np.sqrt(np.einsum("ca,cab,cb->c", along, covariance, along))
    angle = np.sqrt(np.einsum("ca,cab,cb->c", across, covariance, across)) / size
    return modulus, np.minimum(angle, np.pi / np.sqrt(3))


def _affine_size(tracks: pd.DataFrame, wave: NDArray[np.complex128], steps: DeformationSteps) -> float:
    """Rms over all rows of the amplitude of the affine displacement at their places, px."""
    waves, axes = dict(zip(steps.components, wave, strict=True)), steps.axes
    gradient = np.zeros((len(axes), len(axes)), dtype=np.complex128)
    for i, a in enumerate(axes):
        gradient[i, i] = waves[f"strain_{a}{a}"]
        for j, b in enumerate(axes[i + 1 :], i + 1):
            gradient[i, j] = 0.5 * waves[f"shear_{a}{b}"] - waves[f"rotation_{a}{b}"]
            gradient[j, i] = 0.5 * waves[f"shear_{a}{b}"] + waves[f"rotation_{a}{b}"]
    places = trajectories(tracks).values
    shift = np.array([waves[f"d{a}_px"] for a in axes])
    moved = shift + (places - places.mean(axis=0)) @ gradient.T
    return float(np.sqrt((np.abs(moved) ** 2).sum(axis=1).mean()))


def _beyond_affine(
    tracks: pd.DataFrame, fit: WaveFit, harmonics: tuple[int, ...], reference: complex, monitor: Monitor
) -> tuple[pd.DataFrame, dict[str, float]]:
    """Waves of single particles beside the affine motion, relative to the phase of the reference, and their rms."""
    seen = trajectories(tracks)
    left = remove_drift(seen, "affine")
    axes = AXES[: seen.values.shape[1]]
    whole = np.isfinite(tracks[list(axes)]).all(axis=1)
    names = np.unique(tracks["particle"][whole])
    turn = np.array([[reference.real, reference.imag], [-reference.imag, reference.real]])
    rows, excess = [], []
    bounds = zip(left.offsets[:-1], left.offsets[1:], strict=True)
    for track, (first, last) in enumerate(
        monitor.track(bounds, "oscillation of particles", total=left.n_tracks)
    ):
        frames = left.frames[first:last]
        if frames.size < _LEAST_ROWS or (frames[-1] - frames[0]) * fit.frequency < _SEEN_PERIODS:
            continue
        steps = np.diff(left.values[first:last], axis=0)
        one = fit_wave(frames[:-1], frames[1:], steps, fit.frequency, harmonics=harmonics)
        turned = np.stack([one.wave.real, one.wave.imag], axis=1) @ turn.T
        noise = np.diagonal(turn @ one.covariance @ turn.T, axis1=1, axis2=2)
        excess.append((turned**2 - noise).sum(axis=0))
        place = seen.values[first:last].mean(axis=0)
        # A displacement that lags goes as the sine, which is minus the imaginary part.
        rows.append([names[track], *place, *turned[:, 0], *-turned[:, 1], np.sqrt(noise.mean())])
    parts = ("in_phase", "out_of_phase")
    columns = ["particle", *axes, *(f"{part}_d{a}_px" for part in parts for a in axes), "error_px"]
    table = pd.DataFrame(rows, columns=columns).astype({"particle": np.int64})
    return table, _root_mean(np.array(excess).reshape(-1, 2))


def _root_mean(excess: Floats) -> dict[str, float]:
    """Square roots of mean squares beyond noise, in and out of phase, shape (n, 2), and the error of their sum."""
    if excess.shape[0] < 2:
        keys = ("nonaffine_px", "nonaffine_error_px", "in_phase_px", "out_of_phase_px")
        return dict.fromkeys(keys, float("nan"))
    means = excess.mean(axis=0)
    error = float(excess.sum(axis=1).std(ddof=1) / np.sqrt(excess.shape[0]))
    root = float(np.sqrt(max(means.sum(), 0.0)))
    return {
        "nonaffine_px": root,
        "nonaffine_error_px": min(0.5 * error / max(root, 1e-300), float(np.sqrt(error))),
        "in_phase_px": float(np.sqrt(max(means[0], 0.0))),
        "out_of_phase_px": float(np.sqrt(max(means[1], 0.0))),
    }
