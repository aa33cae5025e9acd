"""Joint fit of all particles of an image: overlapping neighbours share the light of each pixel.

A template, learned once for a recording, is placed at every particle with its own amplitude and scale; all
four unknowns of all particles are fitted to the image weighted by its noise. What is left over shows particles
that were missed; those that do not improve the fit are taken out again. The search is that of CLEAN
(Hogbom, Astron. Astrophys. Suppl. 15, 417 (1974)), the fit that of crowded-field photometry
(Stetson, Publ. Astron. Soc. Pac. 99, 191 (1987)) with a free size.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import cv2
import numpy as np
from scipy.spatial import cKDTree

from colloidlab.features.joint_core import core_weights
from colloidlab.features.joint_kernels import AMPLITUDE, SCALE, draw_all, evidence, invert_variance, relax
from colloidlab.features.joint_population import BACKGROUND
from colloidlab.features.joint_split import halves
from colloidlab.features.pixel_noise import PixelNoise
from colloidlab.features.template import Light, Template, cubic_image, cubic_terms

_BLUR_PER_SCALE = 0.5
"""Width of the Gaussian that stands for the template in the search for missed particles."""
_SEEN_IN_BLUR = 0.3
"""Least height that a particle of amplitude 1 keeps in that blur."""
_FAINT = 0.6
"""A particle is at least this bright, in units of the faintest of the population."""
_LEAST_SIGNIFICANCE = 6.0
_TWIN = 0.4
"""Of two particles nearer than this fraction of their mean scale, the weaker goes."""
_NEW = 0.6
"""No particle is looked for in the residual nearer than this many scales to another."""
_AT_BOUND = 0.995
_OUTSIDE = 1.2
"""A particle whose light reaches into view may be centred so many scales outside it."""
_FLANK = 0.2
"""Near the edge of the view, where only a flank may show, so much less is asked of a particle."""
_TOLERANCE_PX = 2e-3
_COARSE_PX = 0.03
_HALVED_FROM = 4.0
"""Where the smallest particle is larger than this, half the resolution is enough to find all."""
_ROUNDS = 3
_UNBOUNDED = (1e-3, 1e6)
_SWEEPS = 4
_LAST_SWEEPS = 20
_BACKGROUND_PIXELS = 10_000
_FEW_SATURATED = 0.002
_CLIP = 4.0
"""Pixels farther than so many standard deviations from the model have no say in the background."""


@dataclass
class Fit:
    """State of a joint fit of one image divided by its light.

    Attributes
    ----------
    particles : float64 array, shape (n, 4)
        x, y (px), amplitude (grey levels in full light), scale.
    origin : int array, shape (n,)
        Index of the position that each started from; -1 for particles found in the residual.
    residual : float32 array, shape (height, width)
        Image minus background minus particles.
    weight : float32 array, shape (height, width)
        Inverse variance of every pixel, or `core_weights`; 0 where it is not usable.
    noise_weight : float32 array, shape (height, width)
        Inverse variance by the noise of the camera alone.
    steps, significance : float array, shape (n,)
        Last step (px) of every particle, and its amplitude over the standard deviation of the amplitude.
    restless : bool array, shape (n,)
        The particle, or what it stands on, has changed since its last step.
    """

    particles: np.ndarray
    origin: np.ndarray
    residual: np.ndarray
    weight: np.ndarray
    noise_weight: np.ndarray
    steps: np.ndarray = field(default_factory=lambda: np.empty(0))
    significance: np.ndarray = field(default_factory=lambda: np.empty(0))
    restless: np.ndarray = field(default_factory=lambda: np.empty(0, dtype=bool))


def fit_image(
    image: np.ndarray, template: Template, starts: np.ndarray, bad: np.ndarray | None = None
) -> Fit:
    """Fit all particles of an image, those included that `starts` lacks.

    Parameters
    ----------
    image : array, shape (height, width)
        Finite, bright particles.
    template : Template
    starts : float array, shape (n, 2), px
        (x, y) to start from, as centroids give them.
    bad : bool array, shape (height, width), optional
        Pixels that are not usable.
    """
    lit, weight = prepare(image, template.light, template.noise, bad)
    if tuple(image.shape) == tuple(template.light.shape):
        residual = lit - cubic_image(template.background, image.shape)
    else:
        residual = lit - np.float32(np.percentile(lit, 5))
    if template.scales[0] > _HALVED_FROM:
        fit = _found(*_halved(residual, weight), template.halved(), 0.5 * (starts - 0.5))
        # The middle of the first coarse pixel is half a pixel from that of the first fine one.
        fit.particles[:, :2] = 2.0 * fit.particles[:, :2] + 0.5
        fit.particles[:, SCALE] *= 2.0
        fit.residual, fit.weight, fit.noise_weight = residual, weight, weight
        draw_all(fit.residual, fit.particles, template.table, template.reach, -1.0)
    else:
        fit = _found(residual, weight, template, starts)
    level(fit)
    fit.restless[:] = True
    sweep(fit, template, 1)
    # The background is best known once the particles are.
    level(fit)
    fit.restless[:] = True
    if template.cores:
        sweep(fit, template, _SWEEPS, tolerance_px=_COARSE_PX)
        fit.weight = core_weights(fit.residual, fit.weight, fit.particles)
        fit.restless[:] = True
    sweep(fit, template, _LAST_SWEEPS)
    kept = believable(fit, template)
    if not kept.all():
        keep(fit, kept, template)
        sweep(fit, template, _LAST_SWEEPS)
    return fit


def _found(residual: np.ndarray, weight: np.ndarray, template: Template, starts: np.ndarray) -> Fit:
    """All particles, roughly placed: those at `starts`, and those that the residual shows."""
    fit = Fit(np.empty((0, 4)), np.empty(0, int), residual, weight, weight)
    add(fit, suited(fit, template, starts), template, np.arange(len(starts)))
    sweep(fit, template, _SWEEPS, tolerance_px=_COARSE_PX, prior=False)
    level(fit)
    for _ in range(_ROUNDS):
        parted = part(fit, template)
        found = missed(fit, template)
        add(fit, found, template)
        sweep(fit, template, _SWEEPS, tolerance_px=_COARSE_PX, prior=False)
        kept = believable(fit, template)
        keep(fit, kept, template)
        if len(found) == parted == 0 and kept.all():
            break
    return fit


def _halved(residual: np.ndarray, weight: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Residual and weight at half the resolution, by weighted means of 2 x 2 pixels."""
    size = residual.shape[1] // 2, residual.shape[0] // 2
    even = np.s_[: 2 * size[1], : 2 * size[0]]
    known = cv2.resize(weight[even], size, interpolation=cv2.INTER_AREA)
    light = cv2.resize((weight * residual)[even], size, interpolation=cv2.INTER_AREA)
    return light / np.maximum(known, np.float32(1e-30)), 4 * known


def prepare(
    image: np.ndarray, light: Light, noise: PixelNoise, bad: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """The image divided by its light, and the inverse variance of its pixels; both float32."""
    grey = np.ascontiguousarray(image, dtype=np.float32)
    # Smoothed, so that a pixel's own noise does not set its weight.
    weight = cv2.GaussianBlur(grey, (0, 0), 1.0, borderType=cv2.BORDER_REFLECT)
    invert_variance(weight, noise.read, noise.gain, max(noise.least, 1e-6))
    if image.dtype.kind == "u":
        saturated = image == np.iinfo(image.dtype).max
        # Where most particles are cut off, the plateau is how they look.
        if 0 < np.count_nonzero(saturated) < _FEW_SATURATED * image.size:
            weight[saturated] = 0.0
    if bad is not None:
        weight[bad] = 0.0
    relative = light.image(image.shape)
    if relative is None:
        return grey, weight
    return cv2.divide(grey, relative), cv2.multiply(weight, cv2.multiply(relative, relative))


def sweep(
    fit: Fit,
    template: Template,
    sweeps: int,
    *,
    tolerance_px: float = _TOLERANCE_PX,
    fit_scale: bool = True,
    prior: bool = True,
    bounded: bool = True,
) -> None:
    """Gauss-Newton sweeps in place over restless particles, until nothing moves or `sweeps` are done."""
    relax(
        fit.residual,
        fit.weight,
        fit.particles,
        overlaps(fit.particles, template.reach),
        (template.table, template.reach),
        (template.population if prior else template.population[:0], BACKGROUND),
        (sweeps, tolerance_px, fit_scale),
        template.scales if bounded else _UNBOUNDED,
        (fit.steps, fit.significance, fit.restless),
    )


def overlaps(particles: np.ndarray, reach: float) -> tuple[np.ndarray, np.ndarray]:
    """Neighbours whose images overlap noticeably: those of k are index[start[k]:start[k + 1]]."""
    if len(particles) == 0:
        return np.zeros(1, dtype=np.int64), np.empty(0, dtype=np.int64)
    distance = 1.5 * reach * float(np.median(particles[:, SCALE]))
    pairs = cKDTree(particles[:, :2]).query_pairs(distance, output_type="ndarray")
    first = np.concatenate([pairs[:, 0], pairs[:, 1]])
    order = np.argsort(first, kind="stable")
    start = np.searchsorted(first[order], np.arange(len(particles) + 1)).astype(np.int64)
    return start, np.concatenate([pairs[:, 1], pairs[:, 0]])[order].astype(np.int64)


def add(fit: Fit, particles: np.ndarray, template: Template, origin: np.ndarray | None = None) -> None:
    """Take further particles into the fit."""
    draw_all(fit.residual, particles, template.table, template.reach, -1.0)
    n = len(particles)
    _disturb(fit, particles, template)
    fit.particles = np.ascontiguousarray(np.concatenate([fit.particles, particles]))
    fit.origin = np.concatenate([fit.origin, np.full(n, -1) if origin is None else origin])
    fit.steps = np.concatenate([fit.steps, np.full(n, np.inf)])
    fit.significance = np.concatenate([fit.significance, np.zeros(n)])
    fit.restless = np.concatenate([fit.restless, np.ones(n, dtype=bool)])


def keep(fit: Fit, kept: np.ndarray, template: Template) -> None:
    """Leave only the marked particles in the fit."""
    if kept.all():
        return
    gone = fit.particles[~kept]
    draw_all(fit.residual, gone, template.table, template.reach, 1.0)
    fit.particles = np.ascontiguousarray(fit.particles[kept])
    fit.origin, fit.steps = fit.origin[kept], fit.steps[kept]
    fit.significance, fit.restless = fit.significance[kept], fit.restless[kept]
    _disturb(fit, gone, template)


def _disturb(fit: Fit, changed: np.ndarray, template: Template) -> None:
    """Mark the particles that share pixels with those that came or went."""
    if len(changed) and len(fit.particles):
        distance = 1.5 * template.reach * template.scale_px
        nearest, _ = cKDTree(changed[:, :2]).query(fit.particles[:, :2], distance_upper_bound=distance)
        fit.restless[np.isfinite(nearest)] = True


def suited(fit: Fit, template: Template, places: np.ndarray) -> np.ndarray:
    """A particle at every place: of the species that explains most there, at the amplitude that fits."""
    best = np.empty((len(places), 4))
    best_z = np.full(len(places), -np.inf)
    for mean, scale in template.population[:, 1:3]:
        tried = np.column_stack([places, np.zeros(len(places)), np.full(len(places), np.exp(scale))])
        amplitude, precision = evidence(fit.residual, fit.weight, tried, template.table, template.reach)
        tried[:, AMPLITUDE] = np.clip(amplitude, 0.1 * np.exp(mean), None)
        better = amplitude * precision > best_z
        best[better], best_z[better] = tried[better], (amplitude * precision)[better]
    return best


def missed(fit: Fit, template: Template) -> np.ndarray:
    """Particles that the residual shows, as rows x, y, amplitude, scale."""
    scale = template.scale_px
    # Where the weight is zero nothing is known, and nothing is to be found.
    known = np.where(fit.weight > 0, fit.residual, np.float32(0))
    blurred = cv2.GaussianBlur(known, (0, 0), _BLUR_PER_SCALE * scale, borderType=cv2.BORDER_REFLECT)
    size = 2 * max(int(0.6 * scale), 1) + 1
    least = _FAINT * template.faintest
    peak = blurred >= cv2.dilate(blurred, np.ones((size, size), np.uint8))
    bright = blurred > _SEEN_IN_BLUR * least
    rim = math.ceil(0.5 * scale)
    for edge in (np.s_[:rim], np.s_[-rim:], np.s_[:, :rim], np.s_[:, -rim:]):
        bright[edge] = blurred[edge] > _FLANK * _SEEN_IN_BLUR * least
    peak &= bright
    rows, columns = np.nonzero(peak)
    places = np.column_stack([columns, rows]).astype(float)
    if len(places) and len(fit.particles):
        nearest, _ = cKDTree(fit.particles[:, :2]).query(places)
        places = places[nearest > _NEW * scale]
    if len(places) == 0:
        return np.empty((0, 4))
    found = suited(fit, template, places)
    _, precision = evidence(fit.residual, fit.weight, found, template.table, template.reach)
    amplitude = found[:, AMPLITUDE]
    # A particle whose centre is out of view shows its flank only, and is faint where it is looked for.
    height, width = fit.residual.shape
    inside = np.minimum(found[:, :2], [width - 1, height - 1] - found[:, :2]).min(axis=1) > 0.5 * scale
    enough = amplitude > np.where(inside, least, _FLANK * least)
    return found[enough & (amplitude * precision > _LEAST_SIGNIFICANCE)]


def believable(fit: Fit, template: Template) -> np.ndarray:
    """True for particles that are bright, significant and in view, and no twin of a brighter one."""
    particles = fit.particles
    if len(particles) == 0:
        return np.ones(0, dtype=bool)
    x, y, amplitude, scale = particles.T
    good = (amplitude > _FAINT * template.faintest) & (fit.significance > _LEAST_SIGNIFICANCE)
    height, width = fit.residual.shape
    good &= (x > -_OUTSIDE * scale) & (x < width - 1 + _OUTSIDE * scale)
    good &= (y > -_OUTSIDE * scale) & (y < height - 1 + _OUTSIDE * scale)
    pairs = cKDTree(particles[:, :2]).query_pairs(_TWIN * float(scale.max()), output_type="ndarray")
    first, second = pairs.T
    apart = np.hypot(x[first] - x[second], y[first] - y[second])
    twin = apart < _TWIN * 0.5 * (scale[first] + scale[second])
    weaker = np.where(fit.significance[first] < fit.significance[second], first, second)
    good[weaker[twin]] = False
    return np.asarray(good)


def part(fit: Fit, template: Template) -> int:
    """Replace particles that want to be larger than the population by two each, in place; how many there were.

    Such a particle stands between two others. Halves that are nothing do not survive `believable`.
    """
    large = fit.particles[:, SCALE] > _AT_BOUND * template.scales[1]
    if not large.any():
        return 0
    places = halves(fit.residual, fit.weight, fit.particles[large], template.reach)
    origin = np.tile(fit.origin[large], 2)
    origin[large.sum() :] = -1
    keep(fit, ~large, template)
    add(fit, suited(fit, template, places), template, origin)
    return int(large.sum())


def level(fit: Fit) -> None:
    """Move what is smooth in the residual (a cubic) to the background, in place."""
    height, width = fit.residual.shape
    stride = max(1, int(np.sqrt(fit.residual.size / _BACKGROUND_PIXELS)))
    residual = fit.residual[::stride, ::stride].astype(float)
    weight = fit.weight[::stride, ::stride].astype(float)
    rows, columns = np.mgrid[0:height:stride, 0:width:stride]
    u, v = columns / width - 0.5, rows / height - 0.5
    terms = np.array([term.ravel() for term in cubic_terms(u, v)])
    clipped = weight * (residual**2 * weight < _CLIP**2)
    # A stray clip that leaves too little (a wholly wrong start) is given up.
    used = (clipped if np.count_nonzero(clipped) > 0.5 * clipped.size else weight).ravel()
    matrix = (terms * used) @ terms.T
    matrix += 1e-9 * np.trace(matrix) * np.eye(len(matrix))
    coefficients = np.linalg.solve(matrix, (terms * used) @ residual.ravel())
    fit.residual -= cubic_image(coefficients, fit.residual.shape)
