"""What a camera sees of fluorescent core-shell colloids: light, shadow, shot noise, grey levels.

The bright core is much narrower than the particle, so that touching particles stay
resolved, as with the core-shell spheres of confocal experiments; the faint shell shows a
person where the particle ends.

| symbol | name | meaning |
|---|---|---|
| R | `radii` | radius of a particle, px |
| s | - | width of the core's image, s^2 = (core_width R)^2 + psf_px^2 |
| N | `photons` | electrons at the peak of the core's image, where the light is not reduced |
| mu | `expected_electrons` | mean electrons of each pixel |
| g, o | `gain`, `offset` | grey level = o + g (Poisson(mu) + read_noise Normal(0, 1)) |
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray
from scipy.special import erfc

from colloidlab.errors import UsageError

_CORE_REACH = 4.0  # in widths: the core has fallen to 3e-4 of its peak
_EDGE_REACH = 3.0  # in psf_px: the blurred edge is within 2e-3 of full or none


@dataclass(frozen=True)
class Optics:
    """Particle, microscope and camera.

    Parameters
    ----------
    core_width : float
        Standard deviation of the core's Gaussian profile, as a fraction of the radius.
    shell : float
        Brightness of the shell, as a fraction of `photons`.
    psf_px : float
        Standard deviation of the microscope's blur.
    photons : float
        Electrons at the peak of a core of amplitude 1, blur included, in full light.
    background : float
        Electrons per pixel from the medium, in full light.
    vignetting : float
        Fraction of the light that the corners lack; it falls with the square of the distance.
    read_noise : float
        Standard deviation of the camera's own noise, electrons.
    gain : float
        Grey levels per electron.
    offset : float
        Grey level without any light.
    bits : int
        Depth of the camera; images are uint8 up to 8 bits, else uint16.
    """

    core_width: float = 0.28
    shell: float = 0.18
    psf_px: float = 1.0
    photons: float = 600.0
    background: float = 30.0
    vignetting: float = 0.2
    read_noise: float = 2.0
    gain: float = 0.25
    offset: float = 8.0
    bits: int = 8

    def __post_init__(self) -> None:
        positive = ("core_width", "psf_px", "photons", "gain")
        wrong = [name for name in positive if not getattr(self, name) > 0]
        wrong += [
            name for name in ("shell", "background", "read_noise", "offset") if not getattr(self, name) >= 0
        ]
        if not 0 <= self.vignetting < 1:
            wrong.append("vignetting")
        if not 1 <= self.bits <= 16:
            wrong.append("bits")
        if wrong:
            name = wrong[0]
            raise UsageError(f"Optics.{name} = {getattr(self, name)!r} is out of bounds; see its docstring")


def render(
    positions: NDArray[np.floating],
    radii: NDArray[np.floating],
    shape: tuple[int, int],
    optics: Optics,
    rng: np.random.Generator,
    *,
    amplitudes: NDArray[np.floating] | None = None,
    shadow: NDArray[np.floating] | None = None,
) -> NDArray[Any]:
    """Image of the particles as the camera delivers it, with shot and read noise.

    Parameters
    ----------
    positions : float array, shape (n_particles, 2), px
        Centres (x, y); they may lie outside the view.
    radii : float array, shape (n_particles,), px
    shape : (height, width)
    amplitudes : float array, shape (n_particles,), optional
        Brightness of each core relative to `optics.photons` [1].
    shadow : float array, shape (height, width), optional
        Fraction of the light that passes, from 0 to 1, as `rod_shadow` makes it.

    Returns
    -------
    uint8 (or uint16 above 8 bits) array, shape (height, width)

    Raises
    ------
    UsageError
        Shapes that do not fit together, or coordinates that are not finite.
    """
    electrons = expected_electrons(positions, radii, shape, optics, amplitudes=amplitudes, shadow=shadow)
    return expose(electrons, optics, rng)


def expected_electrons(
    positions: NDArray[np.floating],
    radii: NDArray[np.floating],
    shape: tuple[int, int],
    optics: Optics,
    *,
    amplitudes: NDArray[np.floating] | None = None,
    shadow: NDArray[np.floating] | None = None,
) -> NDArray[np.float64]:
    """Mean number of electrons in each pixel; parameters as in `render`.

    Cores add up. Shells unite instead, 1 - prod(1 - shell_k), because in a monolayer two
    overlapping blurred edges must not be brighter than the shell itself: a false maximum
    between two particles would be located as a third.

    Returns
    -------
    float array, shape (height, width)
    """
    centres = np.ascontiguousarray(positions, dtype=np.float64)
    sizes = np.ascontiguousarray(radii, dtype=np.float64)
    bright = np.ones_like(sizes) if amplitudes is None else np.ascontiguousarray(amplitudes, dtype=np.float64)
    if centres.ndim != 2 or centres.shape[1] != 2:
        raise UsageError(f"positions must have shape (n_particles, 2), not {centres.shape}")
    if sizes.shape != (len(centres),) or bright.shape != (len(centres),):
        raise UsageError(
            f"{len(centres)} positions need as many radii and amplitudes, not {len(sizes)} and {len(bright)}"
        )
    if not (np.isfinite(centres).all() and np.isfinite(sizes).all() and (sizes > 0).all()):
        raise UsageError("positions and radii must be finite and radii positive; leave absent particles out")
    if shadow is not None and shadow.shape != tuple(shape):
        raise UsageError(f"the shadow has shape {shadow.shape}, but the image {tuple(shape)}")
    cores = np.zeros(shape)
    uncovered = np.ones(shape)
    _add_particles(centres, sizes, bright, optics.core_width, optics.psf_px, cores, uncovered)
    # In place: allocating half a dozen images costs as much as drawing the particles.
    light = cores
    uncovered *= -optics.shell
    light += uncovered
    light += optics.shell
    light *= optics.photons
    light += optics.background
    light *= illumination(shape, optics.vignetting)
    if shadow is not None:
        light *= shadow
    return light


def expose(electrons: NDArray[np.floating], optics: Optics, rng: np.random.Generator) -> NDArray[Any]:
    """Camera image of the mean electrons: Poisson shot noise, Gaussian read noise, gain, rounding, saturation."""
    signal = rng.poisson(electrons).astype(np.float32)
    signal += np.float32(optics.read_noise) * rng.standard_normal(electrons.shape, dtype=np.float32)
    grey = np.rint(np.float32(optics.offset) + np.float32(optics.gain) * signal)
    np.clip(grey, 0, 2**optics.bits - 1, out=grey)
    return grey.astype(np.uint8 if optics.bits <= 8 else np.uint16)


def illumination(shape: tuple[int, int], vignetting: float) -> NDArray[np.float64]:
    """Relative light over the view: 1 at its centre, 1 - vignetting in the corners."""
    height, width = shape
    y = (np.arange(height) - (height - 1) / 2)[:, None]
    x = (np.arange(width) - (width - 1) / 2)[None, :]
    corner = max((height - 1) ** 2 / 4 + (width - 1) ** 2 / 4, 1.0)
    return np.asarray(1.0 - vignetting * (x**2 + y**2) / corner)


def rod_shadow(
    start: tuple[float, float],
    end: tuple[float, float],
    width_px: float,
    shape: tuple[int, int],
    *,
    transmission: float = 0.0,
    edge_px: float = 1.0,
) -> NDArray[np.float64]:
    """Light that passes an opaque rod with round ends, for `render(..., shadow=...)`.

    Parameters
    ----------
    start, end : (x, y), px
        Ends of the rod's axis; they may lie outside the view.
    width_px : float
        Diameter of the rod.
    transmission : float
        Fraction of the light inside the shadow.
    edge_px : float
        Standard deviation of the blurred edge.

    Returns
    -------
    float array, shape (height, width), from `transmission` to 1
    """
    y, x = np.mgrid[: shape[0], : shape[1]]
    ax, ay = end[0] - start[0], end[1] - start[1]
    squared = ax**2 + ay**2
    along = ((x - start[0]) * ax + (y - start[1]) * ay) / squared if squared > 0 else np.zeros(shape)
    along = np.clip(along, 0.0, 1.0)
    outside = np.hypot(x - start[0] - along * ax, y - start[1] - along * ay) - width_px / 2
    covered = 0.5 * erfc(outside / (edge_px * math.sqrt(2)))  # a sharp edge blurred by a Gaussian
    return np.asarray(1.0 - (1.0 - transmission) * covered)


def localisation_limit_px(radius_px: float, optics: Optics) -> float:
    """Least standard deviation of x that any unbiased locator can reach (Cramer-Rao).

    For one isolated particle in full light, from the Fisher information of the pixels,
    sum (d mu/dx)^2 / (mu + read_noise^2 + 1/(12 gain^2)); the last term is the rounding to
    whole grey levels. Brightness and background need not be known: they are even in
    x - x0, and so independent of it.

    References
    ----------
    Ober, Ram, Ward, Biophys. J. 86, 1185 (2004), eq. 5.
    """
    width = math.hypot(optics.core_width * radius_px, optics.psf_px)
    half = math.ceil(radius_px + 6 * width + 6 * optics.psf_px)
    y, x = np.mgrid[-half : half + 1, -half : half + 1].astype(float)
    distance = np.hypot(x, y)
    core = np.exp(-(distance**2) / (2 * width**2))
    depth = (radius_px - distance) / optics.psf_px
    mean = optics.photons * (core + 0.5 * optics.shell * erfc(-depth / math.sqrt(2))) + optics.background
    edge = np.exp(-(depth**2) / 2) / (math.sqrt(2 * math.pi) * optics.psf_px)
    slope = optics.photons * (x / width**2 * core + optics.shell * edge * x / np.maximum(distance, 1e-12))
    variance = mean + optics.read_noise**2 + 1 / (12 * optics.gain**2)
    return float(1 / math.sqrt((slope**2 / variance).sum()))


@njit(cache=True, nogil=True)
def _add_particles(
    centres: NDArray[np.float64],
    radii: NDArray[np.float64],
    amplitudes: NDArray[np.float64],
    core_width: float,
    psf: float,
    cores: NDArray[np.float64],
    uncovered: NDArray[np.float64],
) -> None:
    """Add the cores of unit peak to `cores`; multiply `uncovered` by what each shell leaves free."""
    height, width = cores.shape
    profile = np.empty(width)
    for k in range(len(radii)):
        x, y, radius = centres[k, 0], centres[k, 1], radii[k]
        variance = (core_width * radius) ** 2 + psf**2
        reach = max(_CORE_REACH * math.sqrt(variance), radius + _EDGE_REACH * psf)
        first_x, last_x = max(0, math.ceil(x - reach)), min(width - 1, math.floor(x + reach))
        first_y, last_y = max(0, math.ceil(y - reach)), min(height - 1, math.floor(y + reach))
        for j in range(first_x, last_x + 1):
            profile[j] = amplitudes[k] * math.exp(-((j - x) ** 2) / (2 * variance))
        # The square root and erfc are needed only in the ring where the shell's edge is blurred.
        inner = max(0.0, radius - _EDGE_REACH * psf) ** 2
        outer = (radius + _EDGE_REACH * psf) ** 2
        for i in range(first_y, last_y + 1):
            row = math.exp(-((i - y) ** 2) / (2 * variance))
            for j in range(first_x, last_x + 1):
                cores[i, j] += row * profile[j]
                squared = (j - x) ** 2 + (i - y) ** 2
                if squared < inner:
                    uncovered[i, j] = 0.0
                elif squared < outer and uncovered[i, j] > 0.0:
                    depth = (radius - math.sqrt(squared)) / psf
                    uncovered[i, j] *= 0.5 * math.erfc(depth / math.sqrt(2.0))
