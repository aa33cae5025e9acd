"""Laws of mixtures: one kernel, and one set of amplitudes, for every unordered pair of species.

Which function a pair follows depends on the two labels, not on their order, so that every check of one species holds.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import fields
from typing import Any

import torch
from torch import Tensor, nn

from colloidlab.errors import UsageError
from colloidlab.model.ahead import blind
from colloidlab.model.friction import PairAmplitudes
from colloidlab.model.inertia import SpeciesMasses
from colloidlab.model.kernel import KernelValues
from colloidlab.model.potential import PotentialValues


def number_of_kinds(n_species: int) -> int:
    """Unordered pairs of species, a species with itself included."""
    return n_species * (n_species + 1) // 2


def count_species(laws: nn.Module) -> int:
    """Species that laws tell apart, by pairs or masses; 1 where one function serves all.

    Raises
    ------
    UsageError
        Parts of the laws are for different numbers of species.
    """
    counts = {part.n_species for part in laws.modules() if isinstance(part, _PerKind | SpeciesMasses)}
    if len(counts) > 1:
        raise UsageError(
            f"parts of these laws tell {' and '.join(map(str, sorted(counts)))} species apart: give all of them functions, "
            "or masses, of the same number"
        )
    return max(counts, default=1)


def labels_for(laws: nn.Module, species: Tensor | None) -> Tensor | None:
    """The labels of particles as `pair_geometry` takes them: none where the laws are of one species.

    Raises
    ------
    UsageError
        The laws tell species apart, and there are no labels.
    """
    n_species = count_species(laws)
    if n_species == 1:
        return None
    if species is None:
        raise UsageError(
            f"these laws tell {n_species} species apart, and nothing says of which the particles are: read the recording "
            "with n_species, or give the plan of a rollout its species"
        )
    if len(species) and int(species.max()) >= n_species:
        raise UsageError(
            f"a particle is of species {int(species.max())}, but these laws tell {n_species} apart: labels are 0 to "
            f"{n_species - 1}"
        )
    return species


def of_every_kind(part: nn.Module) -> list[Any]:
    """The functions of one role, in the order of `pairs.pair_kind`; a single one where one serves all pairs."""
    return list(part.parts) if isinstance(part, _PerKind) else [part]


def for_every_kind(together: type[_PerKind], n_species: int, make: Callable[[], nn.Module]) -> Any:
    """A function for every kind of pair, or the one of a single species."""
    if n_species == 1:
        return make()
    return together([make() for _ in range(number_of_kinds(n_species))])


def exchanged(part: nn.Module, other: Callable[[Any], nn.Module]) -> Any:
    """The same role with another function in the place of each."""
    return type(part)([other(p) for p in part.parts]) if isinstance(part, _PerKind) else other(part)


class _PerKind(nn.Module):
    """Parts of one protocol, one for every kind of pair, in the order of `pairs.pair_kind`."""

    def __init__(self, parts: Sequence[nn.Module]) -> None:
        super().__init__()
        if not any(number_of_kinds(k) == len(parts) for k in range(1, len(parts) + 1)):
            raise UsageError(
                f"{len(parts)} functions do not cover the pairs of a number of species; 2 species need 3, 3 need 6"
            )
        self.parts = nn.ModuleList(parts)

    @property
    def n_species(self) -> int:
        """Of how many species these are the pairs."""
        return next(k for k in range(1, len(self.parts) + 1) if number_of_kinds(k) == len(self.parts))

    def _gather(self, kind: Tensor, of: Callable[[nn.Module, Any], Any]) -> dict[str, Tensor]:
        """Fields of what each part gives on its own pairs, in the order of all pairs."""
        if blind():
            first, *others = (of(part, slice(None)) for part in self.parts)
            chosen = {f.name: getattr(first, f.name) for f in fields(first)}
            for k, part in enumerate(others, start=1):
                chosen = {name: torch.where(kind == k, getattr(part, name), x) for name, x in chosen.items()}
            return chosen
        if kind.numel() and int(kind.max()) >= len(self.parts):
            raise UsageError(
                f"a pair is of kind {int(kind.max())}, but there are functions for {len(self.parts)} kinds; "
                "check the species labels"
            )
        where = [torch.nonzero(kind == k)[:, 0] for k in range(len(self.parts))]
        found = [of(part, at) for part, at in zip(self.parts, where, strict=True)]
        order = torch.argsort(torch.cat(where))
        names = [f.name for f in fields(found[0])]
        return {name: torch.cat([getattr(part, name) for part in found])[order] for name in names}


class SpeciesKernel(_PerKind):
    """W of every kind of pair.

    A particle's share in its own density is one W(0) for all of them: with several, volumes would depend on the numbers
    that species happen to have. `RadialKernel` has W(0) = 1 whatever its coefficients.
    """

    def __init__(self, parts: Sequence[nn.Module]) -> None:
        super().__init__(parts)
        kernels: Sequence[Any] = parts
        with torch.no_grad():
            at_zero = torch.stack([torch.as_tensor(kernel.at_zero()) for kernel in kernels])
        if not torch.allclose(at_zero, at_zero[0].expand_as(at_zero), rtol=1e-12, atol=0):
            raise UsageError(
                f"kernels of a mixture must have the same W(0), and these have {[round(w, 6) for w in at_zero.tolist()]}; "
                "use RadialKernel, whose W(0) is 1"
            )

    def at_zero(self) -> Tensor:
        first: Any = self.parts[0]
        return torch.as_tensor(first.at_zero())

    def forward(self, x: Tensor, kind: Tensor) -> KernelValues:
        return KernelValues(**self._gather(kind, lambda part, at: part(x[at])))


class SpeciesAmplitudes(_PerKind):
    """A, B and C of every kind of pair."""

    def forward(self, x: Tensor, T_i: Tensor, T_j: Tensor, kind: Tensor) -> PairAmplitudes:
        return PairAmplitudes(**self._gather(kind, lambda part, at: part(x[at], T_i[at], T_j[at])))


class SpeciesPotential(_PerKind):
    """Phi of every kind of pair."""

    def forward(self, x: Tensor, kind: Tensor) -> PotentialValues:
        return PotentialValues(**self._gather(kind, lambda part, at: part(x[at])))
