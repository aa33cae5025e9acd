"""Learning what all particles of a recording look like: profile, light, noise and population.

Profile and background are linear in the image when positions, amplitudes and scales are known; those are fitted
when the profile is known. The two take turns, from centroids to a joint fit, as in the building of an effective
point spread function (Anderson and King, Publ. Astron. Soc. Pac. 112, 1360 (2000)). The profile holds the pixel's
own blur, as it is seen through the pixels.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import repeat

import numpy as np
import pandas as pd

from colloidlab.features.joint import Fit, add, believable, keep, missed, prepare, sweep
from colloidlab.features.joint_kernels import AMPLITUDE, SCALE, draw_all
from colloidlab.features.joint_population import species
from colloidlab.features.noise import noise_under_particles
from colloidlab.features.pixel_noise import PixelNoise, sample_noise
from colloidlab.features.template import Light, Template, cubic_image, edge, quadratic
from colloidlab.features.template_kernels import BACKGROUND_TERMS, profile_system
from colloidlab.progress import SILENT, Monitor

_TURNS = 14
_FREE_SCALES = 1
_SEARCH = 2
_CUT = 4
"""Turns from which scales are free, missed particles are looked for, and at which the template is cut."""
_STILL = 1e-3
"""Learning ends when no value of the profile changes more."""
_STILL_LIGHT = 0.01
_NODES = 40
_FIRST_REACH = 1.9
"""The template is looked for out to so many half diameters."""
_PIXELS = 120_000
"""Pixels of a frame from which the profile is found."""
_ENOUGH_PARTICLES = 1500
_MOST_FRAMES = 4
_LEAST_PARTICLES = 5
_SMOOTH, _RIDGE = 1e-4, 1e-6
_TAIL = 2e-5
"""The template ends where so little of its squared light is left outside."""
_LEAST_FOR_LIGHT = 60
_LIGHT_ROUNDS = 5


@dataclass
class _Frame:
    image: np.ndarray
    fit: Fit


def learn(
    images: Sequence[np.ndarray],
    tables: Sequence[pd.DataFrame],
    diameter_px: int,
    monitor: Monitor = SILENT,
) -> Template | None:
    """Learn a template from some frames of a recording.

    Parameters
    ----------
    images : sequence of array, shape (height, width)
        Finite, particles bright; all of one shape.
    tables : sequence of DataFrame
        Columns x, y: particles to start from, without clutter.
    diameter_px : int
        Odd size of a particle's image.
    monitor : Monitor
        Asked in every turn.

    Returns
    -------
    Template or None
        None where there are too few particles, or where no profile with a bright middle comes out.
    """
    frames, noise = _start(images, tables, diameter_px)
    if sum(len(frame.fit.particles) for frame in frames) < _LEAST_PARTICLES:
        return None
    with ThreadPoolExecutor(min(len(frames), os.cpu_count() or 1), thread_name_prefix="learn") as pool:
        template = _turns(frames, noise, pool, monitor)
    return _normalised(template, frames) if template is not None else None


def _turns(
    frames: list[_Frame], noise: PixelNoise, pool: ThreadPoolExecutor, monitor: Monitor
) -> Template | None:
    """Profile and particles in turn until neither changes; frames side by side."""
    light = Light(np.empty(0), frames[0].image.shape)
    reach, before = _FIRST_REACH, np.zeros(_NODES + 1)
    template: Template | None = None
    for turn in range(_TURNS):
        monitor.update("template", turn, _TURNS)
        template = _profile(frames, reach, light, noise, pool)
        if template is None:
            return None
        list(pool.map(_fit_again, frames, repeat(template), repeat(turn)))
        if sum(len(frame.fit.particles) for frame in frames) < _LEAST_PARTICLES:
            return None
        still = np.abs(template.profile - before).max() < _STILL
        before = template.profile
        if turn == _CUT:
            reach *= _end(template.profile)
        if turn >= _CUT:
            noise = _noise_left(frames, light, noise)
        if turn >= _SEARCH:
            was, light = light, _relit(frames, light)
            if turn > _CUT + 1 and still and light.differs(was) < _STILL_LIGHT:
                break
    return template


def _start(
    images: Sequence[np.ndarray], tables: Sequence[pd.DataFrame], diameter_px: int
) -> tuple[list[_Frame], PixelNoise]:
    """The frames with most particles, until there are enough."""
    frames: list[_Frame] = []
    noises: list[PixelNoise] = []
    total = 0
    for k in np.argsort([-len(table) for table in tables], kind="stable"):
        if len(frames) == _MOST_FRAMES or total >= _ENOUGH_PARTICLES:
            break
        image = images[k]
        positions = tables[k][["x", "y"]].to_numpy(float)
        column, row = np.round(positions).astype(int).T
        amplitude = image[row, column].astype(float) - float(np.percentile(image, 2))
        amplitude = np.maximum(amplitude, 0.02 * float(np.ptp(image)))
        scale = np.full(len(positions), 0.5 * diameter_px)
        # Columns of a table make an array of the other order, for which every kernel would be compiled anew.
        particles = np.ascontiguousarray(np.column_stack([positions, amplitude, scale]))
        frames.append(_Frame(image, _unfitted(particles)))
        noises.append(sample_noise(image))
        total += len(positions)
    mean = [float(np.mean([getattr(n, name) for n in noises])) for name in ("read", "gain", "least")]
    return frames, PixelNoise(*mean)


def _unfitted(particles: np.ndarray) -> Fit:
    n, nothing = len(particles), np.empty((0, 0), np.float32)
    return Fit(
        particles, np.arange(n), nothing, nothing, nothing, np.full(n, np.inf), np.zeros(n), np.ones(n, bool)
    )


def _fit_again(frame: _Frame, template: Template, turn: int) -> None:
    fit = frame.fit
    lit, fit.weight = prepare(frame.image, template.light, template.noise)
    fit.residual = lit - cubic_image(template.background, lit.shape)
    draw_all(fit.residual, fit.particles, template.table, template.reach, -1.0)
    fit.restless[:] = True
    sweep(fit, template, 3, fit_scale=turn >= _FREE_SCALES, prior=False, bounded=False)
    keep(fit, believable(fit, template), template)
    if turn >= _SEARCH:
        add(fit, missed(fit, template), template)
        sweep(fit, template, 2, prior=False, bounded=False)


def _profile(
    frames: list[_Frame], reach: float, light: Light, noise: PixelNoise, pool: ThreadPoolExecutor
) -> Template | None:
    """Profile and background of the frames with the particles as they are; amplitudes follow t(0) = 1."""

    def system(frame: _Frame) -> tuple[np.ndarray, np.ndarray]:
        lit, weight = prepare(frame.image, light, noise)
        # Particles outside the view shine into its margin.
        margin = int(reach * np.median(frame.fit.particles[:, SCALE])) + 1 if len(frame.fit.particles) else 0
        if 4 * margin > min(lit.shape):
            margin = min(lit.shape) // 8
        inner = np.zeros_like(weight)
        inner[margin : lit.shape[0] - margin, margin : lit.shape[1] - margin] = weight[
            margin : lit.shape[0] - margin, margin : lit.shape[1] - margin
        ]
        stride = max(1, int(np.sqrt(lit.size / _PIXELS)))
        return profile_system(lit, inner, frame.fit.particles, reach, _NODES, stride)

    # Added in the order of the frames, so that the sum does not depend on who was first.
    parts = list(pool.map(system, frames))
    matrix, right = (np.sum([part[k] for part in parts], axis=0) for k in (0, 1))
    size = float(np.trace(matrix[:_NODES, :_NODES])) / _NODES
    bend = np.diff(np.eye(_NODES + 1), 2, axis=0)[:, :_NODES]
    matrix[:_NODES, :_NODES] += size * (_SMOOTH * bend.T @ bend + _RIDGE * np.eye(_NODES))
    matrix[_NODES:, _NODES:] += 1e-9 * np.trace(matrix[_NODES:, _NODES:]) * np.eye(BACKGROUND_TERMS)
    solution = np.linalg.solve(matrix, right)
    if not (np.isfinite(solution).all() and solution[0] > 0):
        return None
    for frame in frames:
        frame.fit.particles[:, AMPLITUDE] *= solution[0]
    profile = np.append(solution[:_NODES], 0.0) / solution[0]
    together = np.concatenate([frame.fit.particles for frame in frames])
    return Template(profile, reach, species(together), light, solution[_NODES:], noise)


def _end(profile: np.ndarray) -> float:
    """Fraction of the reach beyond which the template holds next to nothing."""
    u = np.linspace(0.0, 1.0, len(profile))
    power = np.cumsum(profile**2 * u)
    k = int(np.argmax(1 - power / power[-1] < _TAIL)) + 2
    return float(u[min(k, len(u) - 1)])


def _relit(frames: list[_Frame], light: Light) -> Light:
    """The quadratic that makes amplitudes alike over the view; `light` where there are too few particles."""
    x, y = (np.concatenate([frame.fit.particles[:, axis] for frame in frames]) for axis in (0, 1))
    if len(x) < _LEAST_FOR_LIGHT:
        return light
    brightness = np.concatenate([frame.fit.particles[:, AMPLITUDE] for frame in frames]) * light.at(x, y)
    brightness /= np.median(brightness)
    height, width = light.shape
    design = np.column_stack([np.ones(len(x)), *quadratic(x / width - 0.5, y / height - 0.5)])
    weight = np.ones(len(x))
    for _ in range(_LIGHT_ROUNDS):
        solution = np.linalg.lstsq(design * weight[:, None], brightness * weight, rcond=None)[0]
        away = np.abs(brightness - design @ solution)
        # Cauchy weights: aggregates and faint particles have little say.
        weight = 1 / np.sqrt(1 + (away / (3 * np.median(away) + 1e-9)) ** 2)
    found = Light(solution[1:] / solution[0], light.shape) if solution[0] > 0 else light
    for frame in frames:
        at = frame.fit.particles[:, 0], frame.fit.particles[:, 1]
        frame.fit.particles[:, AMPLITUDE] *= light.at(*at) / found.at(*at)
    return found


def _noise_left(frames: list[_Frame], light: Light, noise: PixelNoise) -> PixelNoise:
    levels, residuals = [], []
    for frame in frames:
        relative = light.image(frame.image.shape)
        residual = frame.fit.residual if relative is None else frame.fit.residual * relative
        residuals.append(residual)
        levels.append(frame.image.astype(np.float32) - residual)
    return noise_under_particles(levels, residuals, noise)


def _normalised(template: Template, frames: list[_Frame]) -> Template:
    """The template in units in which the scale is the apparent radius."""
    radius = edge(template.profile) * template.reach
    particles = np.concatenate([frame.fit.particles for frame in frames])
    particles[:, SCALE] *= radius
    return replace(template, reach=template.reach / radius, population=species(particles))
