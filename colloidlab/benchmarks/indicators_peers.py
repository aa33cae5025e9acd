"""Indicators beside ovito, freud and PyMatterSim: the same numbers, and what they cost."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from colloidlab.benchmarks.cost import cpu_ratio
from colloidlab.benchmarks.rows import Row, at_least, at_most
from colloidlab.errors import UsageError
from colloidlab.indicators.adjacency import find_neighbours
from colloidlab.indicators.affine_fit import fit_affine
from colloidlab.indicators.bond_order import bond_order
from colloidlab.indicators.displacement import msd
from colloidlab.indicators.radial import pair_correlation
from colloidlab.indicators.trajectories import Floats
from colloidlab.indicators.triangulation import triangulate
from colloidlab.indicators.voronoi import voronoi_areas
from colloidlab.progress import SILENT, Monitor
from colloidlab.synthetic.crystal import lattice, walk

N = 4000
_CUTOFF, _STEP, _SECONDS = 1.5, 0.08, 4.0
"""In distances of neighbours: about six neighbours each, and a displacement along each axis."""

_IN_A_ROW = 10
_PER_CALL = (_IN_A_ROW, 1 / _IN_A_ROW)
"""What makes ratio and seconds of so many calls those of one."""

Work = Callable[[], Any]


def peer_rows(seed: int, monitor: Monitor = SILENT) -> Iterable[Row]:
    """Largest relative difference from each peer program, and its processor time over ours, at 4000 particles.

    Raises
    ------
    UsageError
        A peer program is not installed.
    """
    _require_peers()
    rng = np.random.default_rng(seed)
    before, box = lattice(N)
    before = (before + rng.normal(0, 0.15, before.shape)) % box
    after = (before + rng.normal(0, _STEP, before.shape)) % box
    cases = (_nonaffine(before, after, box), _cells(before, box), _order(before, box), _pairs(before, box))
    for k, rows in enumerate((*cases, _displacements(rng))):
        monitor.update("peer programs", k, len(cases) + 1)
        yield from rows


def _require_peers() -> None:
    for name in ("ovito", "freud", "PyMatterSim"):
        try:
            __import__(name)
        except ImportError as error:
            raise UsageError(
                f"{name} is not installed ({error}); 'pip install colloidlab[test]' brings the programs to compare with"
            ) from None


def _nonaffine(before: Floats, after: Floats, box: Floats) -> Iterable[Row]:
    theirs = _ovito(before, after, box)
    adjacency = find_neighbours(before, "cutoff", cutoff=_CUTOFF, box=box)

    def known() -> Any:
        return fit_affine(before, after, adjacency, box=box)

    def searched() -> Any:
        return fit_affine(before, after, find_neighbours(before, "cutoff", cutoff=_CUTOFF, box=box), box=box)

    yield at_most("D2min: largest difference from ovito", _difference(known().d2min, theirs()), 1e-6)
    ratio, seconds = cpu_ratio(known, theirs, repeats=5, seconds=_SECONDS)

    def in_a_row() -> None:
        for _ in range(_IN_A_ROW):
            known()

    # Several in a row, as in a recording: what the other program leaves in the caches is not counted.
    ratio, seconds = (
        f * k for f, k in zip(cpu_ratio(in_a_row, theirs, repeats=5, seconds=_SECONDS), _PER_CALL)
    )
    yield at_most(f"D2min of {N} particles, neighbours known", 1e3 * seconds, 0.5, "ms of one core")
    # ovito cannot be told who is a neighbour of whom.
    yield at_least("D2min: ovito, which looks for neighbours, over ours, which knows them", ratio, 10.0)
    ratio, seconds = cpu_ratio(searched, theirs, repeats=5, seconds=_SECONDS)
    yield Row("D2min: ovito over ours, both looking for neighbours", ratio)


def _ovito(before: Floats, after: Floats, box: Floats) -> Work:
    os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
    os.environ.setdefault("OVITO_THREAD_COUNT", "1")
    from ovito.data import DataCollection
    from ovito.modifiers import AtomicStrainModifier
    from ovito.pipeline import StaticSource

    def configuration(positions: Floats) -> Any:
        data = DataCollection()
        data.create_cell(np.column_stack([np.diag([*box, 1.0]), np.zeros(3)]), pbc=(True, True, False))
        data.cell_.is2D = True
        filled = np.column_stack([positions, np.zeros(len(positions))])
        data.create_particles(count=len(positions)).create_property("Position", data=filled)
        return data

    modifier = AtomicStrainModifier(
        cutoff=_CUTOFF, output_nonaffine_squared_displacements=True, minimum_image_convention=True
    )
    modifier.reference = StaticSource(data=configuration(before))  # type: ignore[assignment]
    data = configuration(after)

    def strain() -> Floats:
        data.apply(modifier)
        return np.asarray(data.particles["Nonaffine Squared Displacement"])

    return strain


def _cells(points: Floats, box: Floats) -> Iterable[Row]:
    import freud

    voronoi = freud.locality.Voronoi()
    # An open view as a film shows it, and the box that freud is made for.
    for kind, sides, bar in (("open view", None, 10.0), ("periodic box", box, None)):
        place = _freud(points, box)
        place[0].periodic = (sides is not None, sides is not None, False)

        def ours(sides: Floats | None = sides) -> Floats:
            return voronoi_areas(triangulate(points, box=sides))

        def theirs(place: Any = place) -> Any:
            return voronoi.compute(place).volumes

        # freud computes in single precision.
        difference = _difference(ours(), theirs())
        yield at_most(f"Voronoi areas, {kind}: largest difference from freud", difference, 1e-4)
        ratio, seconds = cpu_ratio(ours, theirs, repeats=5, seconds=_SECONDS)
        name = f"Voronoi cells, {kind}: freud over ours"
        yield Row(name, ratio) if bar is None else at_least(name, ratio, bar)
        yield Row(f"Voronoi cells of {N} particles, {kind}", 1e3 * seconds, "ms of one core")


def _order(points: Floats, box: Floats) -> Iterable[Row]:
    import freud

    place, voronoi = _freud(points, box), freud.locality.Voronoi()
    peer = freud.order.Hexatic(k=6)

    def ours() -> Any:
        return bond_order(triangulate(points, box=box))

    def theirs() -> Any:
        return peer.compute(place, neighbors=voronoi.compute(place).nlist).particle_order

    yield at_most("psi6: largest difference from freud", float(np.abs(ours() - theirs()).max()), 1e-4)
    ratio, seconds = cpu_ratio(ours, theirs, repeats=5, seconds=_SECONDS)
    yield at_most(f"psi6 and triangulation of {N} particles", 1e3 * seconds, 25.0, "ms of one core")
    yield Row("psi6: freud over ours, both with their neighbours", ratio)


def _pairs(points: Floats, box: Floats) -> Iterable[Row]:
    import freud

    place, peer = _freud(points, box), freud.density.RDF(bins=100, r_max=8)

    def ours() -> Any:
        return pair_correlation([points], r_max=8, n_bins=100, box=tuple(box)).y

    def theirs() -> Any:
        return peer.compute(place).rdf

    # freud normalises with N, we with N - 1, and single precision puts a pair in another bin here and there.
    expected = theirs() * N / (N - 1)
    yield at_most("g(r): rms difference from freud", float(np.sqrt(np.mean((ours() - expected) ** 2))), 0.02)
    ratio, _ = cpu_ratio(ours, theirs, repeats=5, seconds=_SECONDS)
    yield Row("g(r): freud over ours, with the bands of ours", ratio)


def _displacements(rng: np.random.Generator) -> Iterable[Row]:
    import freud

    positions, tracks = walk(rng, n_frames=1000, n=300)
    far = float(np.abs(positions).max()) * 4
    peer = freud.msd.MSD(freud.box.Box.cube(far), mode="window")

    def ours() -> Any:
        return msd(tracks, max_lag=100)

    def theirs() -> Any:
        return peer.compute(np.dstack([positions, np.zeros(positions.shape[:2])])).msd

    curve = ours()
    expected = theirs()[curve.x.astype(int)]
    yield at_most("MSD: largest difference from freud", float(np.abs(curve.y / expected - 1).max()), 1e-4)
    ratio, _ = cpu_ratio(ours, theirs, repeats=3, seconds=_SECONDS)
    yield Row("MSD of 300 tracks of 1000 frames: freud over ours, with the bands of ours", ratio)


def _freud(points: Floats, box: Floats) -> Any:
    import freud

    centred = np.column_stack([points - box / 2, np.zeros(len(points))])
    return freud.box.Box(Lx=box[0], Ly=box[1], is2D=True), centred


def _difference(ours: Floats, theirs: Floats) -> float:
    known = np.isfinite(ours)
    return float(np.max(np.abs(ours[known] / theirs[known] - 1)))
