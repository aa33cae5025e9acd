"""Motion in a recording, as `colloidlab indicators` measures it."""

from __future__ import annotations

import numpy as np

from colloidlab.errors import InputError
from colloidlab.indicators.cage_msd import cage_msd
from colloidlab.indicators.curve import Curve
from colloidlab.indicators.displacement import choose_lags, msd, vacf
from colloidlab.indicators.drift import mean_drift
from colloidlab.indicators.non_gaussian import non_gaussian
from colloidlab.indicators.overlap import RADIUS_SPACINGS, overlap
from colloidlab.indicators.particle_diffusion import diffusion_table
from colloidlab.indicators.particle_msd import msd_since
from colloidlab.indicators.scattering import self_scattering
from colloidlab.indicators.scene import Part, Scene
from colloidlab.indicators.stride import free_diffusion
from colloidlab.indicators.van_hove import van_hove
from colloidlab.indicators.van_hove_distinct import van_hove_distinct

_CARRIED = 0.8
"""Share of the MSD that is left without the common strain, below which the strain matters."""

_REACH_SPACINGS, _BINS_A_SPACING = 4.0, 20
"""Distances of the distinct van Hove function, and bins, in distances of neighbours."""


def mean_squared_displacement(scene: Scene) -> Part:
    """MSD relative to the ensemble."""
    part = Part()
    if scene.drift == "none":
        part.notes.append("one particle alone cannot show a drift; none was taken out")
    elif np.isfinite(shift := mean_drift(scene.paths)).all():
        text = ", ".join(f"{value:+.3g}" for value in shift)
        part.notes.append(
            f"the mean motion of all particles, ({text}) px/frame, was taken out of everything about displacements"
        )
    curve = msd(scene.tracks, max_lag=scene.longest_lag, drift=scene.drift)
    part.notes += _carried(scene, curve)
    part.curves.append(("msd", curve.calibrated(scene.calibration, x=(0, 1), y=(2, 0))))
    origin = scene.config.msd_origin_frame
    if origin is not None:
        # To the end of the recording: later origins are no part of the average.
        rest = max(int(scene.paths.frames.max()) - origin, 1)
        since = msd_since(scene.tracks, origin_frame=origin, max_lag=rest, drift=scene.drift)
        part.curves.append((f"msd_since_{origin}", since.calibrated(scene.calibration, x=(0, 1), y=(2, 0))))
    return part


def _carried(scene: Scene, curve: Curve) -> list[str]:
    """What to say where a flow that is more than a drift moves the particles."""
    if scene.drift != "mean":
        return []
    rest = msd(scene.tracks, max_lag=scene.longest_lag, drift="affine")
    if scene.oscillation is None and not rest.y[-1] < _CARRIED * curve.y[-1]:
        return []
    return [
        "a flow carries the particles: MSD, VACF, van Hove functions, alpha2, F_s, overlap and chi4 contain it "
        f"(without the common strain the MSD over {curve.x[-1]:.0f} frames is {rest.y[-1]:.3g} instead of "
        f"{curve.y[-1]:.3g} px^2); cage_msd and flow_residual do not, and drift = affine takes the strain out of all"
    ]


def relative_displacement(scene: Scene) -> Part:
    """MSD relative to the neighbours."""
    curve = cage_msd(
        scene.tracks,
        lags=choose_lags(scene.longest_lag),
        cutoff_px=scene.cutoff,
        neighbours=scene.config.neighbours,
        monitor=scene.monitor,
    )
    return Part(curves=[("cage_msd", curve.calibrated(scene.calibration, x=(0, 1), y=(2, 0)))])


def velocity_autocorrelation(scene: Scene) -> Part:
    """VACF relative to the ensemble."""
    curve = vacf(scene.tracks, max_lag=scene.longest_lag, drift=scene.drift)
    return Part(curves=[("vacf", curve.calibrated(scene.calibration, x=(0, 1), y=(2, -2)))])


def diffusion(scene: Scene) -> Part:
    """Diffusion coefficient and localisation error of the covariance estimator, of all and of each particle."""
    result = free_diffusion(scene.tracks, drift=scene.drift)
    estimate, calibration = result.estimate, scene.calibration
    calibrated = calibration.um_per_px is not None and calibration.fps is not None
    key = "diffusion_um2_per_s" if calibrated else "diffusion_px2_per_frame"
    factor = calibration.factor(length=2, time=-1) if calibrated else 1.0
    each = diffusion_table(scene.tracks, stride_frames=result.stride_frames, drift=scene.drift)
    part = Part(tables={"particles": each}, summary={key: estimate.d_px2_per_frame * factor})
    if np.isfinite(estimate.d_error):
        part.summary[f"{key}_error"] = estimate.d_error * factor
    else:
        part.notes.append("the diffusion coefficient has no error: too few particles and frames")
    part.summary["localisation_error_px"] = estimate.sigma_px
    if np.isfinite(estimate.sigma_error):
        part.summary["localisation_error_px_error"] = estimate.sigma_error
    part.summary["diffusion_free"] = result.free
    if result.axes:
        along = ", ".join(f"{value:.3g}" for value in result.axes)
        part.notes.append(
            f"displacements differ between the axes (diffusion coefficients {along} px^2/frame): a flow, a wall or a "
            "field moves particles, and the diffusion coefficient and localisation error are only nominal"
        )
    elif not result.free:
        part.notes.append(
            f"displacements two frames apart are correlated ({result.memory:+.2f}): "
            "this is not free diffusion, and the diffusion coefficient and localisation error are only nominal"
        )
    elif result.stride_frames > 1:
        part.notes.append(
            f"successive frames are not independent (inertia, exposure, or video compression): the diffusion "
            f"coefficient is taken over {result.stride_frames} frames, where displacements have lost their memory"
        )
    return part


def non_gaussian_parameter(scene: Scene) -> Part:
    """alpha2 relative to the ensemble."""
    curve = non_gaussian(scene.tracks, max_lag=scene.longest_lag, drift=scene.drift)
    return Part(curves=[("alpha2", curve.calibrated(scene.calibration, x=(0, 1), y=(0, 0)))])


def scattering(scene: Scene) -> Part:
    """F_s at the wave number asked for, or that of the distance of neighbours."""
    q = scene.config.fs_q_per_px or 2 * np.pi / scene.spacing
    curve = self_scattering(scene.tracks, q=q, max_lag=scene.longest_lag, drift=scene.drift)
    part = Part(curves=[("f_s", curve.calibrated(scene.calibration, x=(0, 1), y=(0, 0)))])
    part.summary["indicator_q_per_px"] = q
    return part


def displacement_distribution(scene: Scene) -> Part:
    """Van Hove functions over one frame, the lag of D2min and the longest lag: self, its Gaussian, and distinct."""
    part = Part()
    for lag in sorted({1, min(scene.lag, scene.longest_lag), scene.longest_lag}):
        found = van_hove(scene.tracks, lag=lag, drift=scene.drift)
        for name, curve in ((f"van_hove_{lag}", found.curve), (f"van_hove_{lag}_gaussian", found.gaussian)):
            part.curves.append((name, curve.calibrated(scene.calibration, x=(1, 0), y=(-1, 0))))
        try:
            others = _distinct(scene, lag)
        except InputError as reason:
            part.notes.append(f"the distinct van Hove function was not computed: {reason}")
            continue
        part.curves.append(
            (f"van_hove_distinct_{lag}", others.calibrated(scene.calibration, x=(1, 0), y=(0, 0)))
        )
    return part


def _distinct(scene: Scene, lag: int) -> Curve:
    r_max = min(_REACH_SPACINGS * scene.spacing, scene.r_max)
    return van_hove_distinct(
        scene.tracks,
        lag=lag,
        r_max=r_max,
        n_bins=max(int(r_max / scene.spacing * _BINS_A_SPACING), 1),
        region=scene.corners,
        drift="none" if scene.drift == "none" else "mean",
        monitor=scene.monitor,
    )


def relaxation(scene: Scene) -> Part:
    """Overlap and chi4 within the radius asked for, or a fraction of the spacing."""
    radius = scene.config.overlap_radius_px or RADIUS_SPACINGS * scene.spacing
    found = overlap(scene.tracks, radius_px=radius, max_lag=scene.longest_lag, drift=scene.drift)
    part = Part(summary={"overlap_radius_px": radius})
    for name, curve in (("overlap", found.q), ("chi4", found.chi4)):
        part.curves.append((name, curve.calibrated(scene.calibration, x=(0, 1), y=(0, 0))))
    return part
