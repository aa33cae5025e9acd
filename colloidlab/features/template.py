"""The radial image that all particles of a recording share, up to size and brightness."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
from scipy.interpolate import CubicSpline

from colloidlab.features.pixel_noise import PixelNoise

_TABLE = 1024
_LEAST_LIGHT = 0.1


@dataclass(frozen=True)
class Light:
    """Relative brightness of the illumination: 1 plus a quadratic in the place of the view.

    Attributes
    ----------
    coefficients : float array, shape (5,)
        Of u, v, u^2, u v, v^2 with u = x / width - 1/2 and v = y / height - 1/2; empty for even light.
    shape : (int, int)
        Height and width of the view that it was learned from; other views are taken as evenly lit.
    """

    coefficients: np.ndarray
    shape: tuple[int, int]

    def at(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Relative brightness at positions of the view."""
        if len(self.coefficients) == 0:
            return np.ones(np.broadcast(x, y).shape)
        height, width = self.shape
        terms = quadratic(np.asarray(x) / width - 0.5, np.asarray(y) / height - 0.5)
        relative = 1.0 + sum(c * term for c, term in zip(self.coefficients, terms, strict=True))
        return np.asarray(np.maximum(relative, _LEAST_LIGHT))

    def differs(self, other: Light) -> float:
        """Largest difference of a coefficient from those of another light."""
        if len(self.coefficients) != len(other.coefficients):
            return float("inf")
        return float(np.abs(self.coefficients - other.coefficients).max(initial=0.0))

    def image(self, shape: tuple[int, int]) -> np.ndarray | None:
        """Relative brightness of every pixel, float32; None where it is even or not known."""
        if len(self.coefficients) == 0 or tuple(shape) != tuple(self.shape):
            return None
        relative = cubic_image(np.array([1.0, *self.coefficients, 0.0, 0.0, 0.0, 0.0]), shape)
        return np.maximum(relative, np.float32(_LEAST_LIGHT))


def quadratic(u: np.ndarray, v: np.ndarray) -> list[np.ndarray]:
    """The terms u, v, u^2, u v, v^2."""
    return [u, v, u * u, u * v, v * v]


@dataclass(frozen=True)
class Template:
    """A radial profile t(u) at distance u = r / s from the centre of a particle of scale s; t(0) = 1.

    The scale is the apparent radius: u = 1 is where -u^2 dt/du is largest. That is the edge of a disc or of a
    sphere filled with dye, within 3 % also when blurred by a sixth of it, and sqrt(3) standard deviations of a
    Gaussian; in an image with a dark ring it is the flank of the bright core.

    Attributes
    ----------
    profile : float array, shape (n,)
        t at n evenly spaced values of u from 0 to `reach`; beyond it t is zero. Negative in a dark ring.
    reach : float
        Largest u.
    population : float array, shape (m, 5)
        Species of particles: share, mean of ln amplitude and ln scale, and their standard deviations.
    light : Light
        Illumination; amplitudes are those in its unit.
    background : float array, shape (10,)
        Coefficients of `cubic` for the image without particles, divided by the light; for `light.shape`.
    noise : PixelNoise
        Of the recording.
    cores : bool
        The template is only nearly true: positions come from the cores of the particles (`joint_core`).
    """

    profile: np.ndarray
    reach: float
    population: np.ndarray
    light: Light
    background: np.ndarray
    noise: PixelNoise
    cores: bool = False
    table: np.ndarray = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "table", squared_table(self.profile))

    @property
    def faintest(self) -> float:
        """Typical amplitude of the faintest species, less three deviations."""
        return float(np.exp((self.population[:, 1] - 3 * self.population[:, 3]).min()))

    @property
    def scales(self) -> tuple[float, float]:
        """Least and largest scale of the population: five deviations from the means of its species."""
        mean, deviation = self.population[:, 2], self.population[:, 4]
        return float(np.exp((mean - 5 * deviation).min())), float(np.exp((mean + 5 * deviation).max()))

    def halved(self) -> Template:
        """The template for an image at half the resolution."""
        population = self.population.copy()
        population[:, 2] -= np.log(2.0)
        return replace(self, population=population)

    @property
    def scale_px(self) -> float:
        """Typical scale: the geometric mean over the population."""
        return float(np.exp(np.average(self.population[:, 2], weights=self.population[:, 0])))


def cubic_terms(u: np.ndarray, v: np.ndarray) -> list[np.ndarray]:
    """The ten terms of a cubic in the place of the view."""
    return [np.ones(np.broadcast(u, v).shape), *quadratic(u, v), u**3, u * u * v, u * v * v, v**3]


def cubic_image(coefficients: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """A cubic over an image, float32."""
    height, width = shape
    one, u, v, uu, uv, vv, uuu, uuv, uvv, vvv = coefficients
    # A matrix product of powers: one pass over the image.
    table = np.array([[one, u, uu, uuu], [v, uv, uuv, 0.0], [vv, uvv, 0.0, 0.0], [vvv, 0.0, 0.0, 0.0]])
    along_x = np.vander(np.arange(width) / width - 0.5, 4, increasing=True)
    along_y = np.vander(np.arange(height) / height - 0.5, 4, increasing=True)
    return np.ascontiguousarray((along_y @ table).astype(np.float32) @ along_x.T.astype(np.float32))


def spline(profile: np.ndarray) -> CubicSpline:
    """The profile between its nodes, over r / r_max from 0 to 1, flat at both ends."""
    return CubicSpline(np.linspace(0.0, 1.0, len(profile)), profile, bc_type=((1, 0.0), (1, 0.0)))


def squared_table(profile: np.ndarray) -> np.ndarray:
    """t and its derivative by q = (r / r_max)^2 in steps of q, shape (1026, 2), for `joint_kernels`."""
    curve = spline(profile)
    q = np.minimum(np.arange(_TABLE + 2) / _TABLE, 1.0)
    r = np.sqrt(q)
    value, slope = curve(r), np.empty_like(q)
    slope[0] = 0.5 * curve(0.0, 2)
    slope[1:] = curve(r[1:], 1) / (2 * r[1:])
    value[_TABLE:] = slope[_TABLE:] = 0.0
    return np.ascontiguousarray(np.column_stack([value, slope / _TABLE]), dtype=np.float32)


def edge(profile: np.ndarray) -> float:
    """Where -r^2 t'(r) is largest, as a fraction of r_max: the apparent radius."""
    r = np.linspace(0.0, 1.0, 20 * len(profile))
    return float(r[np.argmax(-(r**2) * spline(profile)(r, 1))])
