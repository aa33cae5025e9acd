"""Inner loops of the joint fit: particles drawn into an image, and Gauss-Newton steps on what is left of it.

| symbol | name | meaning |
|---|---|---|
| x, y, A, s | row of `particles` | centre (px), amplitude, scale (px) |
| q | `q` | ((px - x)^2 + (py - y)^2) / (reach s)^2, below 1 inside the image of a particle |
| t, t' | columns of `table` | template and its derivative by q, at q = 0, 1/m, ... |
| R | `residual` | image minus background minus all particles |
| w | `weight` | inverse variance of a pixel; 0 where it is not usable |

The derivatives are dI/dx = -2 A t' (px - x) / (reach s)^2, dI/dA = t and dI/ds = -2 A t' q / s: no root and no
division in the loop over pixels.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

X, Y, AMPLITUDE, SCALE = range(4)

_FARTHEST_STEP_PX = 1.0
_FARTHEST_LOG = 0.3
"""Largest change of ln A and ln s in one step."""


@njit(cache=True, nogil=True, fastmath=True, error_model="numpy", inline="always")
def _rows(y: float, reach: float, height: int) -> tuple[int, int]:
    return max(0, math.ceil(y - reach)), min(height - 1, math.floor(y + reach))


@njit(cache=True, nogil=True, fastmath=True, error_model="numpy")
def draw(
    image: np.ndarray, x: float, y: float, amplitude: float, scale: float, table: np.ndarray, reach: float
) -> None:
    """Add one particle to a float32 image."""
    height, width = image.shape
    extent = reach * scale
    square = np.float32(extent * extent)
    factor, strength = np.float32((len(table) - 2) / (extent * extent)), np.float32(amplitude)
    centre = np.float32(x)
    top, bottom = _rows(y, extent, height)
    for row in range(top, bottom + 1):
        dy = np.float32(row - y)
        half = math.sqrt(max(square - dy * dy, np.float32(0)))
        left = max(0, math.ceil(x - half))
        right = min(width - 1, math.floor(x + half))
        line = image[row]
        for column in range(left, right + 1):
            dx = np.float32(column) - centre
            q = (dx * dx + dy * dy) * factor
            i = int(q)
            line[column] += strength * (table[i, 0] + (q - np.float32(i)) * (table[i + 1, 0] - table[i, 0]))


@njit(cache=True, nogil=True, fastmath=True)
def invert_variance(image: np.ndarray, read: float, gain: float, least: float) -> None:
    """Replace every brightness I of a float32 image by 1 / max(read + gain I, least)."""
    a, b, c, one = np.float32(read), np.float32(gain), np.float32(least), np.float32(1)
    for row in range(image.shape[0]):
        line = image[row]
        for column in range(len(line)):
            line[column] = one / max(a + b * line[column], c)


@njit(cache=True, nogil=True)
def draw_all(image: np.ndarray, particles: np.ndarray, table: np.ndarray, reach: float, sign: float) -> None:
    """Add (sign 1) or remove (-1) all particles."""
    for k in range(len(particles)):
        x, y, amplitude, scale = particles[k]
        draw(image, x, y, sign * amplitude, scale, table, reach)


@njit(cache=True, nogil=True, fastmath=True, error_model="numpy")
def fill_normal(
    residual: np.ndarray,
    weight: np.ndarray,
    particle: np.ndarray,
    table: np.ndarray,
    reach: float,
    stride: int,
    normal: np.ndarray,
    gradient: np.ndarray,
) -> None:
    """Fill J^T w J and J^T w R of one particle, for (x, y, ln A, ln s), from every `stride`-th row."""
    height, width = residual.shape
    x, y, amplitude, scale = particle
    extent = reach * scale
    square = np.float32(extent * extent)
    factor = np.float32((len(table) - 2) / (extent * extent))
    centre = np.float32(x)
    zero = np.float32(0)
    bx = by = ba = bs = xx = xy = xa = xs = yy = ya = ys = aa = az = ss = zero
    top, bottom = _rows(y, extent, height)
    for row in range(top, bottom + 1, stride):
        dy = np.float32(row - y)
        half = math.sqrt(max(square - dy * dy, zero))
        left = max(0, math.ceil(x - half))
        right = min(width - 1, math.floor(x + half))
        left_over, weights = residual[row], weight[row]
        for column in range(left, right + 1):
            dx = np.float32(column) - centre
            q = (dx * dx + dy * dy) * factor
            i = int(q)
            part = q - np.float32(i)
            t = table[i, 0] + part * (table[i + 1, 0] - table[i, 0])
            d = table[i, 1] + part * (table[i + 1, 1] - table[i, 1])
            w = weights[column]
            error = left_over[column] * w
            jx, jy, js = d * dx, d * dy, d * q
            wx, wy = w * jx, w * jy
            bx += jx * error
            by += jy * error
            ba += t * error
            bs += js * error
            xx += wx * jx
            xy += wx * jy
            xa += wx * t
            xs += wx * js
            yy += wy * jy
            ya += wy * t
            ys += wy * js
            aa += w * t * t
            az += w * t * js
            ss += w * js * js
    # `table` holds dt/dq per step of q in units of its spacing, so `factor` turns it into dt/dr^2.
    cx = -2.0 * amplitude * factor
    cs = -2.0 * amplitude
    gradient[0], gradient[1] = cx * bx, cx * by
    gradient[2], gradient[3] = amplitude * ba, cs * bs
    normal[0, 0], normal[0, 1], normal[0, 2], normal[0, 3] = (
        cx * cx * xx,
        cx * cx * xy,
        cx * amplitude * xa,
        cx * cs * xs,
    )
    normal[1, 1], normal[1, 2], normal[1, 3] = cx * cx * yy, cx * amplitude * ya, cx * cs * ys
    normal[2, 2], normal[2, 3], normal[3, 3] = amplitude * amplitude * aa, amplitude * cs * az, cs * cs * ss
    for i in range(4):
        gradient[i] *= stride
        for j in range(i, 4):
            normal[i, j] *= stride
            normal[j, i] = normal[i, j]


@njit(cache=True, nogil=True)
def add_prior(
    particle: np.ndarray, population: np.ndarray, background: float, normal: np.ndarray, gradient: np.ndarray
) -> None:
    """Add the pull of the population on (ln A, ln s) of one particle.

    `population` has rows (weight, mean ln A, mean ln s, deviation of ln A, of ln s); `background` is the
    density of particles unlike all others, which are not pulled.
    """
    if len(population) == 0:
        return
    a, s = math.log(particle[AMPLITUDE]), math.log(particle[SCALE])
    total = background
    pa = ps = ka = ks = 0.0
    for k in range(len(population)):
        share, mean_a, mean_s, dev_a, dev_s = population[k]
        za, zs = (a - mean_a) / dev_a, (s - mean_s) / dev_s
        density = share * math.exp(-0.5 * (za * za + zs * zs)) / (2 * math.pi * dev_a * dev_s)
        total += density
        pa -= density * za / dev_a
        ps -= density * zs / dev_s
        ka += density / (dev_a * dev_a)
        ks += density / (dev_s * dev_s)
    gradient[2] += pa / total
    gradient[3] += ps / total
    normal[2, 2] += ka / total
    normal[3, 3] += ks / total


@njit(cache=True, nogil=True, error_model="numpy")
def solve(normal: np.ndarray, gradient: np.ndarray) -> bool:
    """Replace `gradient` by the solution of a small symmetric system, in place; False where it is singular."""
    n = len(gradient)
    for i in range(n):
        pivot = normal[i, i]
        if not pivot > 1e-12:
            return False
        for j in range(i + 1, n):
            ratio = normal[j, i] / pivot
            for k in range(i, n):
                normal[j, k] -= ratio * normal[i, k]
            gradient[j] -= ratio * gradient[i]
    for i in range(n - 1, -1, -1):
        for k in range(i + 1, n):
            gradient[i] -= normal[i, k] * gradient[k]
        gradient[i] /= normal[i, i]
    return True


@njit(cache=True, nogil=True, error_model="numpy")
def relax(
    residual: np.ndarray,
    weight: np.ndarray,
    particles: np.ndarray,
    neighbours: tuple[np.ndarray, np.ndarray],
    template: tuple[np.ndarray, float],
    prior: tuple[np.ndarray, float],
    control: tuple[int, float, bool],
    bounds: tuple[float, float],
    state: tuple[np.ndarray, np.ndarray, np.ndarray],
) -> None:
    """Block Gauss-Newton sweeps over the particles that still move, leaving R in `residual`.

    Parameters
    ----------
    particles : float64 array, shape (n, 4)
        Changed in place.
    neighbours : (start, index)
        Particles whose images overlap: those of k are index[start[k]:start[k + 1]].
    template : (table, reach)
    prior : (population, background)
        See `add_prior`.
    control : (sweeps, tolerance_px, fit_scale)
        Nothing below a fifth of the tolerance is done.
    bounds : (least, most)
        Of the scale.
    state : (steps, significance, restless)
        Of every particle, changed in place: last step (px), amplitude over its standard deviation, and
        whether it is still to be looked at.
    """
    table, reach = template
    population, background = prior
    sweeps, tolerance, fit_scale = control
    start, index = neighbours
    n = len(particles)
    steps, significance, restless = state
    normal, gradient = np.empty((4, 4)), np.empty(4)
    for _ in range(sweeps):
        moved = False
        for k in range(n):
            if not restless[k]:
                continue
            restless[k] = False
            particle = particles[k]
            fill_normal(residual, weight, particle, table, reach, 1, normal, gradient)
            significance[k] = math.sqrt(normal[2, 2])
            add_prior(particle, population, background, normal, gradient)
            if not fit_scale:
                normal[3, :] = 0.0
                normal[:, 3] = 0.0
                normal[3, 3], gradient[3] = 1.0, 0.0
            if not solve(normal, gradient):
                steps[k] = np.inf
                continue
            length = math.sqrt(gradient[0] ** 2 + gradient[1] ** 2)
            shorter = _FARTHEST_STEP_PX / max(length, _FARTHEST_STEP_PX)
            grow = min(max(gradient[2], -_FARTHEST_LOG), _FARTHEST_LOG)
            widen = min(max(gradient[3], -_FARTHEST_LOG), _FARTHEST_LOG)
            widest, narrowest = math.log(bounds[1] / particle[SCALE]), math.log(bounds[0] / particle[SCALE])
            widen = min(max(widen, narrowest), widest)
            # A change of scale by one part in a thousand moves the rim about as far as it matters.
            steps[k] = max(length, abs(widen) * particle[SCALE], 0.1 * abs(grow) * particle[SCALE])
            if steps[k] < 0.2 * tolerance:
                continue
            draw(residual, particle[0], particle[1], particle[2], particle[3], table, reach)
            particle[X] += shorter * gradient[0]
            particle[Y] += shorter * gradient[1]
            particle[AMPLITUDE] *= math.exp(grow)
            particle[SCALE] *= math.exp(widen)
            draw(residual, particle[0], particle[1], -particle[2], particle[3], table, reach)
            if steps[k] > tolerance:
                moved = True
                restless[k] = True
                for j in index[start[k] : start[k + 1]]:
                    restless[j] = True
        if not moved:
            break


@njit(cache=True, nogil=True)
def evidence(
    residual: np.ndarray,
    weight: np.ndarray,
    particles: np.ndarray,
    table: np.ndarray,
    reach: float,
) -> tuple[np.ndarray, np.ndarray]:
    """Amplitude that the residual shows at each place beyond what is fitted, and its inverse standard deviation.

    The deviation is that of the amplitude alone; it is infinite (inverse 0) where no pixel is in view.
    """
    n = len(particles)
    amplitude, precision = np.zeros(n), np.zeros(n)
    normal, gradient = np.empty((4, 4)), np.empty(4)
    unit = np.empty(4)
    for k in range(n):
        for c in range(len(unit)):
            unit[c] = particles[k, c]
        unit[AMPLITUDE] = 1.0
        fill_normal(residual, weight, unit, table, reach, 1, normal, gradient)
        if normal[2, 2] > 0:
            amplitude[k] = gradient[2] / normal[2, 2]
            precision[k] = math.sqrt(normal[2, 2])
    return amplitude, precision
