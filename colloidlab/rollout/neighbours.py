"""Neighbour search with a Verlet skin: most steps reuse the list of the last search."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from colloidlab.dataset.reference_state import ReferenceState
from colloidlab.errors import UsageError
from colloidlab.model.ahead import sure
from colloidlab.model.pairs import Pairs, pair_geometry
from colloidlab.model.reference import neighbourhoods
from colloidlab.model.strain import Reference, measure_strain
from colloidlab.rollout.box import ShearBox
from colloidlab.rollout.search import in_order, search


class Neighbours:
    """Pairs within the cutoff of a moving configuration, for several independent members at once.

    Parameters
    ----------
    cutoff : float
        h for two particles of mean size.
    scale : tensor, shape (n,)
        Radius over mean radius.
    member : int array, shape (n,), optional
        Particles of different members never interact.
    box : float array, shape (D,), or ShearBox, optional
        Periodic lengths, zero where open; a shear box also wants the time wherever it wants positions.
    species : int64 tensor, shape (n,), optional
        Label of each particle, where the laws are those of a mixture.
    reference : ReferenceState, optional
        Of all particles, where the laws are those of a solid; pairs then come with the strain.
    skin : float
        Extra distance of the search, as a fraction of the cutoff.

    Raises
    ------
    UsageError
        The box is so short that a particle meets two images of another, or shears a solid.
    """

    def __init__(
        self,
        cutoff: float,
        scale: Tensor,
        *,
        member: np.ndarray | None = None,
        box: np.ndarray | ShearBox | None = None,
        species: Tensor | None = None,
        reference: ReferenceState | None = None,
        skin: float = 0.25,
    ) -> None:
        self.cutoff = cutoff
        self.scale = scale
        self.species = species
        self.skin = skin
        self._smallest = float(scale.min())
        self._member = np.zeros(len(scale), dtype=np.int64) if member is None else member
        self._shear = box if isinstance(box, ShearBox) else None
        lengths = box.lengths if isinstance(box, ShearBox) else box
        self._lengths = None if lengths is None else np.asarray(lengths, dtype=float)
        self._box = None
        if lengths is not None:
            _check_lengths(np.asarray(lengths, dtype=float), cutoff * float(scale.max()))
            self._box = torch.as_tensor(lengths, dtype=scale.dtype, device=scale.device)
        if reference is not None and self._shear is not None:
            raise UsageError(
                "the images of a shear box move past each other, and a solid's neighbours would have to follow them: give "
                "a periodic box, or laws of a fluid"
            )
        self._reference = reference
        self._among: Reference | None = None
        self._at: Tensor | None = None
        self._time = 0.0
        self._index: Tensor | None = None
        self.n_searches = 0

    @property
    def wind(self) -> float:
        """Velocity along x of an image one length of the box up along y; zero but in a shear box."""
        return 0.0 if self._shear is None else self._shear.wind

    def tilt(self, t: float) -> float:
        """Displacement along x of an image one length of the box up along y; zero but in a shear box."""
        return 0.0 if self._shear is None else self._shear.tilt(t)

    def lengths(self, n_dims: int) -> np.ndarray:
        """Periodic lengths, shape (D,), zero where open."""
        return np.zeros(n_dims) if self._lengths is None else self._lengths

    def pairs(self, r: Tensor, t: float = 0.0) -> Pairs:
        """Pairs at positions r and time t; pairs in the skin have x = 1 and contribute nothing."""
        return self.geometry(r, self.candidates(r, t), self.tilt(t))

    def geometry(self, r: Tensor, index: Tensor, tilt: float | Tensor) -> Pairs:
        """These pairs, (2, n_pairs), at positions r, where the images of a shear box are displaced by `tilt`."""
        found = pair_geometry(
            r, index, self.cutoff, self.scale, self._box, self.species, tilt=tilt, wind=self.wind
        )
        return found if self._among is None else replace(found, strain=measure_strain(self._among, r))

    def near(self, r: Tensor, t: float = 0.0) -> Pairs:
        """Only those within the cutoff: where laws are dear, that pays."""
        found = self.pairs(r, t)
        return found.select(found.x < 1)

    def candidates(self, r: Tensor, t: float = 0.0) -> Tensor:
        """All pairs i < j that may be within the cutoff, sorted, (2, n_pairs); `n_searches` tells lists apart."""
        if self._must_search(r, t):
            self.search(r, t)
        assert self._index is not None
        return self._index

    def invalidate(self) -> None:
        """Force a search at the next call (after particles have jumped, entered or left)."""
        self._at = None

    def end_of_step(self, start: float, dt: float, index: int) -> float:
        """Time after step `index`, which in a shear box must begin where its images are.

        Raises
        ------
        UsageError
        """
        if self.wind and not math.isclose(index * dt, start, rel_tol=1e-9, abs_tol=1e-6 * dt):
            raise UsageError(
                f"step {index} of length {dt:g} begins at {index * dt:g}, but the images of the shear box are those of "
                f"time {start:g}: place the state at the time where the step begins"
            )
        return (index + 1) * dt

    @property
    def last(self) -> tuple[Tensor, Tensor] | None:
        """The list of the last search, (2, n_pairs), and the positions that it was made at; none where it is of no use."""
        return None if self._at is None or self._index is None else (self._index, self._at)

    def strain_since(self, t: float) -> float:
        """Shear of the box between the last search and time t."""
        return 0.0 if self._shear is None else self._shear.rate * (t - self._time)

    def used_up(self, r: Tensor, found_at: Tensor, strain: float | Tensor) -> Tensor:
        """May somebody at r have come within the cutoff who is in no pair found there, so much strain ago? 0-dim bool."""
        moved = r - found_at
        if self._shear is not None and self._shear.rate:
            # An affine deformation moves no particle, but moves those that meet by their distance times the strain.
            moved = torch.cat([moved[:, :1] - strain * r[:, 1:2], moved[:, 1:]], dim=1)
        # Two particles that approach each other may each use half of the skin of the smallest pair.
        strained = strain.abs() if isinstance(strain, Tensor) else abs(strain)
        allowed = 0.5 * (self.skin - strained) * self.cutoff * self._smallest
        furthest = torch.nan_to_num(moved).square().sum(1).max().sqrt()
        return ~(furthest <= allowed)

    def _must_search(self, r: Tensor, t: float) -> bool:
        return self._at is None or not sure(~self.used_up(r, self._at, self.strain_since(t)))

    def search(self, r: Tensor, t: float) -> None:
        """Make a new list."""
        reach, tilt = self.cutoff * (1 + self.skin), self.tilt(t)
        found = []
        for member in np.unique(self._member):
            mine = torch.as_tensor(np.flatnonzero(self._member == member), device=r.device)
            found.append(mine[search(r[mine], reach, self.scale[mine], self._lengths, tilt)])
        self._index = in_order(torch.cat(found, dim=1), len(r))
        if self._reference is not None:
            self._among = neighbourhoods(self._reference, torch.isfinite(r).all(1), self._box)
        self._at, self._time = r.detach().clone(), t
        self.n_searches += 1


def _check_lengths(lengths: np.ndarray, reach: float) -> None:
    short = (lengths > 0) & (lengths < 2 * reach)
    if short.any():
        raise UsageError(
            f"a periodic box of {lengths[short].min():g} is shorter than two cutoffs of {reach:g}, so that a particle meets "
            "two images of another: make the box longer or the cutoff shorter"
        )
