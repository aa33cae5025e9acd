"""Both searches find the pairs that trying all of them finds, in every kind of box."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch

from colloidlab.errors import UsageError
from colloidlab.rollout import search as module
from colloidlab.rollout.box import ShearBox
from colloidlab.rollout.neighbours import Neighbours
from colloidlab.rollout.search import in_order, search, search_in_cells

CUTOFF = 1.0


def brute_force(r: np.ndarray, scale: np.ndarray, box: np.ndarray, tilt: float) -> np.ndarray:
    """Pairs i < j of which some images are closer than the cutoff, sorted."""
    offset = r[:, None] - r[None]
    if box[1] > 0:
        up = np.round(offset[..., 1] / box[1])
        offset[..., 1] -= up * box[1]
        offset[..., 0] -= up * tilt
    for a in np.flatnonzero(box):
        if a != 1:
            offset[..., a] -= box[a] * np.round(offset[..., a] / box[a])
    nearest = np.full(offset.shape[:2], np.inf)
    for images in itertools.product((-1, 0, 1), repeat=r.shape[1]):
        shift = np.array(images) * box
        shift[0] += images[1] * tilt
        nearest = np.minimum(nearest, np.linalg.norm(offset - shift, axis=2))
    i, j = np.triu_indices(len(r), 1)
    close = nearest[i, j] < CUTOFF * 0.5 * (scale[i] + scale[j])  # never true of NaN
    return np.stack([i[close], j[close]])


BOXES = {
    "open": ((0, 0, 0), 0.0),
    "periodic": ((6.0, 5.0, 4.0), 0.0),
    "periodic along x": ((6.0, 0, 0), 0.0),
    "periodic along y": ((0, 5.0, 0), 0.0),
    "shorter than two cutoffs of the largest": ((2.2, 5.0, 4.0), 0.0),
    "sheared": ((6.0, 5.0, 4.0), 2.3),
    "sheared backwards, open along z": ((6.0, 5.0, 0), -2.9),
    "sheared and low": ((6.0, 2.2, 4.0), 1.7),
}


@pytest.mark.parametrize("cells", [True, False])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("n_dims", [2, 3])
@pytest.mark.parametrize("name", BOXES)
def test_the_pairs_are_those_of_brute_force(
    name: str, n_dims: int, dtype: torch.dtype, cells: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    lengths, tilt = BOXES[name]
    box = np.array(lengths[:n_dims], dtype=float)
    rng = np.random.default_rng(n_dims)
    n = 60 if n_dims == 2 else 150
    # Places that have gone far beyond the borders, several sizes, and particles that are not there.
    far = np.where(box > 0, rng.integers(-4, 5, (n, n_dims)) * box, 0.0)
    r = torch.as_tensor(rng.uniform(0, 5, (n, n_dims)) + far, dtype=dtype)
    r[[3, 17, 40]] = math.nan
    scale = torch.as_tensor(rng.uniform(0.6, 1.4, n), dtype=dtype)
    if cells:
        assert search_in_cells(r, CUTOFF, scale, box, tilt) is not None
    else:
        monkeypatch.setattr(module, "NeighborList", None)
    expected = brute_force(r.double().numpy(), scale.double().numpy(), box, tilt)
    assert expected.shape[1] > 30
    found = in_order(search(r, CUTOFF, scale, box, tilt), n)
    assert found.dtype == torch.int64 and np.array_equal(found.numpy(), expected)


@pytest.mark.parametrize("strain", [7.3, -31.85])
def test_at_large_strain_the_pairs_are_those_of_brute_force(strain: float) -> None:
    box = ShearBox((6.0, 5.0), rate=0.1)
    r = torch.as_tensor(np.random.default_rng(5).uniform(-20, 20, (60, 2)))
    scale = torch.ones(60, dtype=r.dtype)
    found = Neighbours(CUTOFF, scale, box=box, skin=0.0).candidates(r, strain / box.rate)
    tilt = math.fmod(strain * 5.0, 6.0)
    assert np.array_equal(found.numpy(), brute_force(r.numpy(), scale.numpy(), np.array(box.lengths), tilt))


def test_few_particles_and_wide_systems() -> None:
    """A sheet of more cells than vesin takes, where it would end the program; one particle; nobody."""
    r = torch.as_tensor([[0.0, 0.0], [0.5, 0.0], [5e5, 7e5], [5e5, 7e5 + 0.5]], dtype=torch.float64)
    scale = torch.ones(4, dtype=r.dtype)
    assert search_in_cells(r, CUTOFF, scale, np.zeros(2), 0.0) is None
    assert in_order(search(r, CUTOFF, scale), 4).tolist() == [[0, 2], [1, 3]]
    for few in (r[:1], torch.full_like(r, math.nan)):
        assert search(few, CUTOFF, scale[: len(few)]).shape == (2, 0)


def test_a_box_is_not_shorter_than_two_cutoffs() -> None:
    scale = torch.tensor([1.0, 1.2], dtype=torch.float64)
    Neighbours(CUTOFF, scale, box=np.array([2.4, 0.0]))
    with pytest.raises(UsageError, match=r"2\.3 is shorter than two cutoffs of 1\.2"):
        Neighbours(CUTOFF, scale, box=np.array([2.3, 5.0]))
    with pytest.raises(UsageError, match="shorter than two cutoffs"):
        Neighbours(CUTOFF, scale, box=ShearBox((5.0, 2.0), rate=0.1))


def test_members_do_not_meet() -> None:
    rng = np.random.default_rng(2)
    r = torch.as_tensor(rng.uniform(0, 5, (90, 2)))
    member = np.arange(90) % 3
    box, scale = np.array([5.0, 5.0]), torch.ones(90, dtype=r.dtype)
    found = Neighbours(CUTOFF, scale, member=member, box=box, skin=0.0).candidates(r).numpy()
    i, j = brute_force(r.numpy(), scale.numpy(), box, 0.0)
    same = member[i] == member[j]
    assert np.array_equal(found, np.stack([i[same], j[same]]))


def test_impossible_shear_boxes_are_refused() -> None:
    with pytest.raises(UsageError, match="impossible"):
        ShearBox((5.0,), 0.1)
    with pytest.raises(UsageError, match="impossible"):
        ShearBox((5.0, 5.0), math.inf)
    with pytest.raises(UsageError, match="periodic along x and y"):
        ShearBox((5.0, 0.0), 0.1)
