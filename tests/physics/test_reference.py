"""The reference state of a recorded solid, and what is measured in it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

from colloidlab.dataset.graph import find_pairs
from colloidlab.dataset.recording import Recording, from_tracks, rectangle_edge_distance
from colloidlab.dataset.reference import find_reference
from colloidlab.dataset.reference_state import ReferenceState, side_by_side
from colloidlab.dataset.window_data import join
from colloidlab.dataset.windows import read_window
from colloidlab.errors import FitRefused, UsageError
from colloidlab.indicators.lindemann import CRITICAL_LINDEMANN, lindemann_parameter
from colloidlab.model.pairs import pair_geometry
from colloidlab.model.reference import ReferenceInView, neighbourhoods, reference_neighbourhoods
from colloidlab.model.strain import measure_strain
from colloidlab.rollout.box import ShearBox
from colloidlab.rollout.neighbours import Neighbours
from colloidlab.synthetic.crystal import lattice, noisy_crystal
from colloidlab.synthetic.gas import Gas

SPACING, CUTOFF = 17.0, 28.0
GAS = Gas(n=56, cutoff=36.0, shear=60.0)
SHEAR = torch.tensor([[1.02, 0.13], [-0.04, 0.97]], dtype=torch.float64)


def record(table: pd.DataFrame, box: np.ndarray | None = None) -> Recording:
    edge = None if box is not None else rectangle_edge_distance(-1e3, -1e3, 1e3, 1e3)
    return from_tracks(table, edge, box=box)


def crystal(sigma: float = 0.5, n_frames: int = 200) -> Recording:
    rng = np.random.default_rng(4)
    return record(noisy_crystal(rng, n_frames=n_frames, n=64, spacing=SPACING, sigma=sigma))


def test_offsets_of_a_crystal_are_those_of_its_lattice() -> None:
    recording = crystal()
    found = find_reference(recording, CUTOFF, 0, 200).state
    places, _ = lattice(64, SPACING)
    expected = find_pairs(places, CUTOFF)
    keys = np.sort(expected[0] * 64 + expected[1])
    i, j = found.index.numpy()
    assert np.array_equal(np.sort(i * 64 + j), keys) and (i < j).all()
    # Means of 200 frames with 0.5 px each.
    np.testing.assert_allclose(found.offset.numpy(), places[i] - places[j], atol=5 * 0.75 * 2**0.5 / 200**0.5)
    np.testing.assert_allclose(found.x, np.linalg.norm(found.offset, axis=1) / CUTOFF)


def test_the_lindemann_parameter_is_that_of_the_errors() -> None:
    """Two particles with errors of s along each axis: 4 s^2 over the square of the distance."""
    recording = crystal()
    s2 = float((recording.sigma[:64, 0] ** 2).mean())
    found = find_reference(recording, CUTOFF, 0, 200)
    # Particles at the edge, whose errors differ, have fewer pairs: per cents.
    assert found.lindemann == pytest.approx(4 * s2 / SPACING**2, rel=0.05)
    assert found.lindemann < CRITICAL_LINDEMANN


def test_offsets_do_not_mind_drift_and_tracks_that_begin_late() -> None:
    table = noisy_crystal(np.random.default_rng(4), n_frames=80, n=64, spacing=SPACING, sigma=1e-6)
    table["x"] += 3.0 * table["frame"]
    late = table[(table["particle"] != 20) | (table["frame"] >= 40)]
    found = find_reference(record(late), CUTOFF, 0, 80).state
    places, _ = lattice(64, SPACING)
    i, j = found.index.numpy()
    np.testing.assert_allclose(found.offset.numpy(), places[i] - places[j], atol=1e-4)
    assert (i == 20).any()
    # Of a particle that comes after the block nothing is known.
    assert not (find_reference(record(late), CUTOFF, 0, 40).state.index == 20).any()


def test_nearest_neighbours_alone_make_the_lindemann_parameter() -> None:
    """Farther pairs move more against each other where waves are long."""
    rng = np.random.default_rng(1)
    first, second = 1 + 0.05 * rng.normal(size=300), 1.73 + 0.05 * rng.normal(size=300)
    spread = np.concatenate([np.full(300, 0.02), np.full(300, 0.5)])
    found = lindemann_parameter(spread, np.concatenate([first, second]))
    assert found == pytest.approx(0.02 / (first**2).mean(), rel=1e-12)


def test_a_neighbourhood_that_is_nearly_a_line_carries_no_shear() -> None:
    """Else the errors of its mean offsets would be strains of hundreds."""
    places = np.column_stack([SPACING * np.arange(9), 0.3 * np.random.default_rng(3).normal(size=9)])
    found = neighbourhoods(
        ReferenceState(
            torch.stack([torch.arange(8), torch.arange(1, 9)]),
            torch.as_tensor(places[:-1] - places[1:]),
            torch.full((8,), SPACING / CUTOFF, dtype=torch.float64),
        ),
        torch.ones(9, dtype=torch.bool),
    )
    assert not found.spans.any()
    strain = measure_strain(found, torch.as_tensor(places + np.random.default_rng(4).normal(size=(9, 2))))
    assert float(strain.invariant.abs().max()) == 0
    # Three at the corners of a triangle span the plane.
    corner = torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.5, 0.87]], dtype=torch.float64)
    index = torch.triu_indices(3, 3, 1)
    assert reference_neighbourhoods(corner, index, 2.0).spans.all()


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_a_direction_without_period_has_none(dtype: torch.dtype) -> None:
    r = torch.as_tensor(GAS.lattice, dtype=dtype)
    box = torch.tensor([GAS.box, 0.0], dtype=dtype)
    index = torch.as_tensor(find_pairs(GAS.lattice, GAS.cutoff, box=box.numpy().astype(float)))
    found = measure_strain(reference_neighbourhoods(r, index, GAS.cutoff, box=box), 1.1 * r)
    assert bool(torch.isfinite(found.gradient).all())


def test_neighbours_across_a_border_are_near() -> None:
    """Positions go on beyond the box, and whole periods apart."""
    places, box = lattice(64, SPACING)
    away = places + box * np.random.default_rng(2).integers(-3, 4, places.shape)
    table = pd.DataFrame(
        [(f, p, *away[p]) for f in range(40) for p in range(64)], columns=["frame", "particle", "x", "y"]
    )
    found = find_reference(record(table, box), CUTOFF, 0, 40)
    assert found.state.index.shape[1] == 3 * 64
    np.testing.assert_allclose(np.linalg.norm(found.state.offset, axis=1), SPACING, rtol=1e-12)
    assert found.lindemann == pytest.approx(0, abs=1e-12)


def test_without_neighbours_there_is_no_solid() -> None:
    table = pd.DataFrame(
        {"frame": np.repeat(range(4), 2), "particle": [0, 1] * 4, "x": [0.0, 99.0] * 4, "y": 0.0}
    )
    with pytest.raises(FitRefused, match=r"no two particles .* leave out --solid"):
        find_reference(record(table), CUTOFF, 0, 4)


def test_strain_is_that_of_the_deformation_whoever_is_in_view() -> None:
    """Lost neighbours take their share of the fit with them."""
    r = torch.as_tensor(GAS.lattice)
    state = GAS.reference
    assert state is not None
    present = torch.ones(56, dtype=torch.bool)
    present[[3, 17, 40]] = False
    open_pairs = find_pairs(GAS.lattice, GAS.cutoff)
    whole = reference_neighbourhoods(r, torch.as_tensor(open_pairs), GAS.cutoff)
    i, j = whole.i, whole.j
    here = replace(
        state, index=torch.stack([i, j]), offset=r[i] - r[j], x=(r[i] - r[j]).norm(dim=1) / GAS.cutoff
    )
    some = neighbourhoods(here, present)
    moved = torch.where(present[:, None], r @ SHEAR.T, torch.full_like(r, torch.nan))
    found = measure_strain(some, moved)
    expected = SHEAR.expand(56, 2, 2)[present]
    torch.testing.assert_close(found.gradient[present], expected, rtol=1e-12, atol=1e-12)
    assert not some.spans[~present].any()
    torch.testing.assert_close(measure_strain(whole, r @ SHEAR.T).gradient[present], expected)


def test_windows_know_the_reference_of_their_particles() -> None:
    recording = crystal(n_frames=20)
    # One of them is not seen in the later window.
    gone = recording.particle == 5
    late = np.repeat(np.arange(20), np.diff(recording.start)) >= 10
    keep = ~(gone & late)
    start = np.concatenate(
        [[0], np.cumsum(np.bincount(np.repeat(np.arange(20), np.diff(recording.start))[keep]))]
    )
    cut = {
        name: getattr(recording, name)[keep] for name in ("particle", "position", "sigma", "observed", "edge")
    }
    reference = find_reference(recording, CUTOFF, 0, 20).state
    recording = replace(recording, start=start, reference=reference, **cut)
    early, later = (read_window(recording, first, first + 8, CUTOFF) for first in (0, 12))
    assert early.reference is not None and later.reference is not None
    assert torch.equal(early.reference.index, reference.index)
    slots = torch.as_tensor(later.slot)
    with_it = (reference.index == 5).any(0)
    assert torch.equal(slots[later.reference.index], reference.index[:, ~with_it])
    both = join([early, later])
    assert both.reference is not None
    expected = side_by_side([early.reference, later.reference], [64, 63])
    for name in ("index", "offset", "x"):
        assert torch.equal(getattr(both.reference, name), getattr(expected, name))
    single = both.to(torch.device("cpu"), torch.float32)
    assert single.reference is not None and single.reference.offset.dtype == torch.float32


def test_the_neighbourhoods_in_view_are_found_again_when_others_are() -> None:
    window = read_window(replace(crystal(n_frames=4), reference=GAS.reference), 0, 4, CUTOFF)
    view = ReferenceInView()
    first = view.among(window, 0)
    assert view.among(window, 1) is first
    present = window.present.clone()
    present[2, 7] = False
    other = view.among(replace(window, present=present), 2)
    assert other is not first and not other.spans[7]
    with pytest.raises(UsageError, match="no reference state"):
        view.among(replace(window, reference=None), 0)


def test_the_search_for_neighbours_brings_the_strain() -> None:
    r, box = torch.as_tensor(GAS.lattice), np.full(2, GAS.box)
    one = torch.ones(56, dtype=torch.float64)
    neighbours = Neighbours(GAS.cutoff, one, box=box, reference=GAS.reference)
    moved = r + 0.4 * torch.as_tensor(np.random.default_rng(5).normal(size=(56, 2)))
    found, near = neighbours.pairs(moved), neighbours.near(moved)
    assert found.strain is not None and near.strain is not None
    index = torch.as_tensor(find_pairs(GAS.lattice, GAS.cutoff, box=box))
    whole = reference_neighbourhoods(r, index, GAS.cutoff, box=torch.as_tensor(box))
    torch.testing.assert_close(found.strain.invariant, measure_strain(whole, moved).invariant)
    assert torch.equal(near.strain.invariant, found.strain.invariant)
    # Who has left is nobody's neighbour any more.
    gone = moved.clone()
    gone[9] = torch.nan
    neighbours.invalidate()
    left = neighbours.pairs(gone).strain
    assert left is not None and torch.isfinite(left.invariant).all() and not left.reference.spans[9]
    with pytest.raises(UsageError, match="laws of a fluid"):
        Neighbours(GAS.cutoff, one, box=ShearBox((GAS.box, GAS.box), rate=0.1), reference=GAS.reference)
    assert pair_geometry(r, index, GAS.cutoff, one, torch.as_tensor(box)).strain is None


def test_a_lattice_fills_whole_rows() -> None:
    with pytest.raises(UsageError, match="give 56, 168"):
        replace(GAS, n=57).lattice  # noqa: B018
    sites = GAS.lattice
    # Seven columns in eight rows.
    assert len(np.unique(np.round(sites[:, 1], 6))) == 8
    index = find_pairs(sites, 1.2 * GAS.spacing, box=np.full(2, GAS.box))
    assert index.shape[1] == 3 * 56
