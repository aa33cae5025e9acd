"""Strain as OVITO computes it, in a process of its own: OVITO and napari bring builds of Qt that no process can share.

    python ovito_strain.py IN.npz OUT.npz

IN holds `before` and `after` (n, D), `box` (D,) and `cutoff`; OUT gets `d2min` (n,) and `strain` (n, 6), whose
components are xx, yy, zz, xy, xz, yz.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np


def ovito_strain(
    before: np.ndarray, after: np.ndarray, box: np.ndarray, cutoff: float
) -> dict[str, np.ndarray]:
    """D²min and strain of every particle of a periodic box in two or three dimensions."""
    with TemporaryDirectory() as folder:
        given, found = Path(folder) / "in.npz", Path(folder) / "out.npz"
        np.savez(given, before=before, after=after, box=box, cutoff=cutoff)
        environment = os.environ | {"QT_QPA_PLATFORM": "offscreen"}
        done = subprocess.run(
            [sys.executable, __file__, given, found],
            env=environment,
            capture_output=True,
            encoding="utf-8",
            timeout=300,
        )
        assert done.returncode == 0, done.stderr
        with np.load(found) as arrays:
            return dict(arrays)


def _compute(given: Path, found: Path) -> None:
    from ovito.data import DataCollection
    from ovito.modifiers import AtomicStrainModifier
    from ovito.pipeline import StaticSource

    def configuration(positions: np.ndarray, box: np.ndarray) -> DataCollection:
        """A thin cell that does not repeat along z stands for the plane."""
        n, n_dim = positions.shape
        data = DataCollection()
        sides = np.append(box, np.ones(3 - n_dim))
        data.create_cell(np.column_stack([np.diag(sides), np.zeros(3)]), pbc=(True, True, n_dim == 3))
        data.cell_.is2D = n_dim == 2
        filled = np.column_stack([positions, np.zeros((n, 3 - n_dim))])
        data.create_particles(count=n).create_property("Position", data=filled)
        return data

    with np.load(given) as arrays:
        before, after, box, cutoff = (arrays[name] for name in ("before", "after", "box", "cutoff"))
    modifier = AtomicStrainModifier(
        cutoff=float(cutoff),
        output_nonaffine_squared_displacements=True,
        output_strain_tensors=True,
        minimum_image_convention=True,
    )
    modifier.reference = StaticSource(data=configuration(before, box))
    data = configuration(after, box)
    data.apply(modifier)
    np.savez(
        found,
        d2min=np.asarray(data.particles["Nonaffine Squared Displacement"]),
        strain=np.asarray(data.particles["Strain Tensor"]),
    )


if __name__ == "__main__":
    _compute(Path(sys.argv[1]), Path(sys.argv[2]))
