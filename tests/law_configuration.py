"""A few particles that obey laws to be checked, and the base of all checks of whole laws."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch

from colloidlab.dataset.graph import find_pairs
from colloidlab.model import brackets
from colloidlab.model.laws import Laws
from colloidlab.model.pairs import Pairs, pair_geometry
from colloidlab.model.reference import reference_neighbourhoods
from colloidlab.model.strain import Reference, measure_strain

DTYPE = torch.float64


class Configuration:
    """A few particles, all interacting, as a flat vector x = (r, v, S).

    Solids are given a reference that differs from the positions, mixtures one species after the other.
    """

    def __init__(self, laws: Laws, dim: int, *, periodic: bool, n_species: int = 1, seed: int = 0) -> None:
        self.n = n = dim + 2
        rng = np.random.default_rng(seed)
        self.dim, self.laws = dim, laws
        self.scale = torch.tensor(rng.uniform(0.8, 1.2, n), dtype=DTYPE)
        self.box = torch.full((dim,), 1.7, dtype=DTYPE) if periodic else None
        r = rng.uniform(0, 0.55, (n, dim)) + (1.4 if periodic else 0.0)  # straddles the border of the box
        v, S = rng.normal(size=(n, dim)), rng.normal(size=n)
        self.x = torch.tensor(np.concatenate([r.ravel(), v.ravel(), S]), dtype=DTYPE)
        index = find_pairs(r, 1.0, self.scale.numpy(), None if self.box is None else self.box.numpy())
        assert index.shape[1] == n * (n - 1) // 2
        self.index = torch.tensor(index)
        self.species = torch.arange(n) % n_species if n_species > 1 else None
        self.reference: Reference | None = None
        if laws.shear is not None:
            before = torch.tensor(r + 0.05 * rng.normal(size=r.shape), dtype=DTYPE)
            self.reference = reference_neighbourhoods(before, self.index, 1.0, box=self.box)

    def split(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        k = self.n * self.dim
        return x[:k].reshape(self.n, self.dim), x[k : 2 * k].reshape(self.n, self.dim), x[2 * k :]

    def at(
        self,
        r: torch.Tensor,
        S: torch.Tensor,
        *,
        index: torch.Tensor | None = None,
        reference: Reference | None = None,
        order: torch.Tensor | None = None,
    ) -> brackets.Evaluation:
        """The laws at positions r; in another order of the particles, or of the ends of the pairs, where given."""
        index = self.index if index is None else index
        scale, species = self.scale, self.species
        if order is not None:
            scale = scale[order]
            species = None if species is None else species[order]
        pairs: Pairs = pair_geometry(r, index, self.laws.cutoff, scale, self.box, species)
        reference = self.reference if reference is None else reference
        shape = None if reference is None else measure_strain(reference, r)
        return brackets.evaluate(self.laws, replace(pairs, strain=shape), S)

    def to(self, dtype: torch.dtype) -> Configuration:
        """The same in another precision, laws included."""
        other = copy.copy(self)
        other.laws = copy.deepcopy(self.laws).to(dtype)
        other.x, other.scale = self.x.to(dtype), self.scale.to(dtype)
        other.box = None if self.box is None else self.box.to(dtype)
        if self.reference is not None:
            parts = {
                name: part.to(dtype) if isinstance(part, torch.Tensor) and part.is_floating_point() else part
                for name, part in vars(self.reference).items()
            }
            other.reference = Reference(**parts)
        return other

    def evaluate(self, x: torch.Tensor) -> tuple[brackets.Evaluation, torch.Tensor]:
        r, v, S = self.split(x)
        return self.at(r, S), v

    def energy(self, x: torch.Tensor) -> torch.Tensor:
        ev, v = self.evaluate(x)
        kinetic, internal = brackets.total_energy(self.laws, ev, v)
        return (kinetic + internal).sum()

    def noise_matrix(self, x: torch.Tensor) -> torch.Tensor:
        """Columns: response of (r, v, S) to each unit noise with 2 k_B dt = 1, so that M = B B^T."""
        ev, v = self.evaluate(x)
        columns, n_pairs = [], self.index.shape[1]
        dt = 1 / (2 * self.laws.k_B)
        for k in range(n_pairs * (self.dim + 1)):
            flat = torch.zeros(n_pairs * (self.dim + 1), dtype=DTYPE)
            flat[k] = 1
            noise = brackets.Noise(
                flat[: n_pairs * self.dim].reshape(n_pairs, self.dim), flat[n_pairs * self.dim :]
            )
            dv, dS = brackets.noise_increment(self.laws, ev, v, noise, dt)
            columns.append(torch.cat([torch.zeros(self.n * self.dim, dtype=DTYPE), dv.reshape(-1), dS]))
        return torch.stack(columns, dim=1)

    def dense(self, x: torch.Tensor) -> torch.Tensor:
        B = self.noise_matrix(x)
        return (B @ B.T).detach()


def gradient(f: Callable[[torch.Tensor], torch.Tensor], x: torch.Tensor) -> torch.Tensor:
    y = x.clone().requires_grad_(True)
    return torch.autograd.grad(f(y), y)[0]


@pytest.mark.parametrize(
    ("dim", "periodic"),
    [(2, False), (2, True), (3, False), (3, True)],
    ids=["2d-open", "2d-box", "3d-open", "3d-box"],
)
class Checks:
    """Whole laws at random parameters, in 2D and 3D, open and periodic.

    Who inherits it makes the laws, with a cutoff of 1, and says of how many species they are.
    """

    n_species = 1

    def make(self, dim: int, seed: int) -> Laws:
        raise NotImplementedError

    @pytest.fixture
    def conf(self, dim: int, periodic: bool) -> Configuration:
        seed = dim + 10 * periodic
        return Configuration(
            self.make(dim, seed), dim, periodic=periodic, n_species=self.n_species, seed=seed
        )
