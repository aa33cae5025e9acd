"""The conserving step for laws in tables, compiled: what `rollout.integrators.conserving` does, on processors."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import astuple
from itertools import pairwise
from typing import Any

import numpy as np
import torch

from colloidlab.errors import UsageError
from colloidlab.model.inversion import solve_entropy
from colloidlab.model.laws import Laws
from colloidlab.model.pairs import pair_kind
from colloidlab.model.tabulated import count_misses
from colloidlab.rollout.compiled import exchange, friction, mechanics
from colloidlab.rollout.compiled.adjacency import sort_pairs
from colloidlab.rollout.compiled.images import work_of_forces, work_of_images
from colloidlab.rollout.compiled.tables import are_compilable, tables_of
from colloidlab.rollout.integrators import conserving, dissipation
from colloidlab.rollout.motion import Fields, Given, check_shear
from colloidlab.rollout.neighbours import Neighbours
from colloidlab.rollout.noise import CounterNoise
from colloidlab.rollout.state import State

Array = np.ndarray

LEAST_SHARE = 20_000
"""Pairs or particles of a range that is worth a thread."""


class CompiledStep:
    """Laws, particles and everything that a step writes to; each call of `step` moves them on.

    Agrees with `conserving.step` on the same laws to round-off, whatever the number of threads, which change no bit.

    Parameters
    ----------
    laws : Laws
        Of a fluid, in tables (`model.tabulated.tabulate`).
    state : State
        float32 or float64; sums and thermodynamics are in float64 always.
    neighbours : Neighbours
    noise : CounterNoise
    member : int array, shape (n,), optional
        Independent simulations side by side [one].
    watched : bool array, shape (n,), optional
        Particles whose state counts for how a step is divided [all].
    threads : int
        A small system is faster with one.
    least_share : int
        Pairs or particles for which a loop takes another thread; `n_shared` counts the loops that did.
    t : float
        Time of `state`, which moves the images of a shear box.

    Raises
    ------
    UsageError
        The laws are not in tables, or those of a solid, or have a bath in a shear box.
    """

    def __init__(
        self,
        laws: Laws,
        state: State,
        neighbours: Neighbours,
        noise: CounterNoise,
        *,
        member: Array | None = None,
        watched: Array | None = None,
        threads: int = 1,
        least_share: int = LEAST_SHARE,
        t: float = 0.0,
    ) -> None:
        if not are_compilable(laws):
            raise UsageError(
                "a compiled step needs laws of a fluid in tables: make them with colloidlab.model.tabulate"
            )
        check_shear(laws, neighbours.wind)
        self.laws, self._tables = laws, tables_of(laws)
        self._neighbours = neighbours
        self._species = None if neighbours.species is None else neighbours.species.cpu().numpy()
        self._n, self._dim = state.r.shape
        self._scale = np.ascontiguousarray(neighbours.scale.cpu().numpy(), dtype=float)
        self._source = friction.Source(noise.identity.cpu().numpy(), noise.seed.cpu().numpy())
        self._member = np.zeros(self._n, np.int64) if member is None else np.asarray(member, dtype=np.int64)
        self._watched = np.ones(self._n, bool) if watched is None else np.asarray(watched, dtype=bool)
        self._members = int(self._member.max()) + 1
        self._threads, self._least_share, self.n_shared = threads, least_share, 0
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="rollout") if threads > 1 else None
        self._at_search = -1
        self._particles = mechanics.Particles._make(
            [*(np.zeros(self._n) for _ in range(8)), np.zeros(self._n, np.uint8)]
        )
        self._particles.mass[:] = torch.as_tensor(laws.mass_of(neighbours)).detach().cpu().numpy()
        self._force = np.zeros((self._n, 3))
        self._wind, self._t = neighbours.wind, t
        self.place(state)

    @property
    def volume(self) -> Array:
        """V of every particle, shape (n,)."""
        return self._particles.volume

    @property
    def temperature(self) -> Array:
        """T of every particle, shape (n,)."""
        return self._particles.T

    @property
    def n_pairs(self) -> int:
        """Number of pairs within the cutoff."""
        return int((self._pairs.x < 1).sum())

    def internal_energy(self) -> Array:
        """U of every particle and its half of the pair potential, shape (n,)."""
        total = self._particles.U.copy()
        if self.laws.potential is not None:
            self._each(self._n, mechanics.add_up, self._ends, 0.5 * self._pairs.u, total)
        return total

    @property
    def misses(self) -> int:
        """How often a table did not hold what it was asked for."""
        return count_misses(self.laws)

    def fields(self) -> Fields:
        """What the books need of the present configuration."""
        parts = self.temperature, self._particles.U, self.internal_energy()
        return Fields(*(torch.from_numpy(x.copy()) for x in parts))

    def energy_at(self, S: torch.Tensor) -> torch.Tensor:
        """U of every particle with other entropies at the present positions, shape (n,)."""
        entropies, U, missed = S.numpy().astype(float), np.empty(self._n), np.zeros(self._n, np.uint8)
        count = self._each(
            self._n, mechanics.find_energies, entropies, self.volume, self._tables.energy, U, missed
        )
        if count:
            at = np.flatnonzero(missed)
            with torch.no_grad():
                asked = (torch.as_tensor(x[at], dtype=torch.float64) for x in (entropies, self.volume))
                U[at] = self.laws.energy(*asked).U.numpy()
        return torch.from_numpy(U)

    def place(self, state: State, t: float | None = None) -> None:
        """Go on from another state, at this time [that of the last step]; absent particles are NaN."""
        self._t = self._t if t is None else t
        self._velocities = self._in_space(state.v)
        self._find_mechanics(state.r, state.S.numpy().astype(float))
        self.state = state

    def step(
        self, dt: float, index: int, *, external: conserving.External | None = None, held: Array | None = None
    ) -> Given:
        """One step of time dt, with the noise of step `index`; `state` is then the new one.

        Parameters
        ----------
        dt : float
        index : int
        external : callable(r, time) -> force, optional
        held : bool array, shape (n,), optional
            Both as in `conserving.step`.

        Raises
        ------
        NoDraw
        """
        dim, dtype = self._dim, self.state.r.numpy().dtype
        self._t = self._neighbours.end_of_step(self._t, dt, index)
        images = work_of_forces(self._ends, self._pairs, self._particles.push, 0.5 * dt, self._wind)
        v, pushed, work = self._kick(self._velocities, 0.5 * dt, self.state.r, 0.0, external, held)
        r = torch.from_numpy((self.state.r.numpy() + dt * v[:, :dim]).astype(dtype))
        S = self.state.S.numpy().astype(float)
        self._find_mechanics(r, S)
        images = images + work_of_forces(self._ends, self._pairs, self._particles.push, 0.5 * dt, self._wind)
        v, pushed_2, work_2 = self._kick(v, 0.5 * dt, r, dt, external, held)
        self._find_friction()
        parts = self._count_parts(v, dt)
        momentum, energy = np.zeros_like(v), np.zeros(self._n)
        for part in range(int(parts.max())):
            if part > 0:
                self._find_friction()
            time = np.where(part < parts, dt / parts, 0.0)[self._member]
            v, S, given, gained, blown = self._attempt(v, S, time, index, part)
            momentum, energy, images = momentum + given, energy + gained, images + blown
            self._find_thermo(S)
        self._find_forces()
        self._velocities = v.astype(dtype).astype(float)
        after = np.ascontiguousarray(v[:, :dim].astype(dtype)), S.astype(dtype)
        self.state = State(r, *map(torch.from_numpy, after))
        return Given(
            bath_momentum=torch.from_numpy(momentum[:, :dim]),
            bath_energy=torch.from_numpy(energy),
            external_momentum=torch.from_numpy((pushed + pushed_2)[:, :dim]),
            external_energy=torch.from_numpy(work + work_2),
            image_energy=torch.from_numpy(images),
            parts=int(parts.max()),
        )

    def _kick(
        self,
        v: Array,
        time: float,
        r: torch.Tensor,
        at: float,
        external: conserving.External | None,
        held: Array | None,
    ) -> tuple[Array, Array, Array]:
        """Velocities after a kick, and the momentum and energy that the force from outside has given."""
        push = np.zeros_like(v)
        if external is not None:
            push[:, : self._dim] = external(r, at).numpy()
        if held is not None:
            push[held] = -self._force[held]
        after = v + time / self._particles.mass[:, None] * (self._force + push)
        return after, time * push, (time * push * 0.5 * (v + after)).sum(1)

    def _each(self, count: int, loop: Callable[..., Any], *arguments: Any) -> int:
        """Call a loop over ranges that make up 0 … count - 1, in threads where it pays; the sum of what it counts."""
        shares = min(self._threads, max(count // self._least_share, 1))
        if self._pool is None or shares == 1:
            return loop(0, count, *arguments) or 0
        self.n_shared += 1
        edges = [count * k // shares for k in range(shares + 1)]
        tasks = [self._pool.submit(loop, a, b, *arguments) for a, b in pairwise(edges)]
        return sum(task.result() or 0 for task in tasks)

    def _in_space(self, vectors: torch.Tensor) -> Array:
        """Three components, float64."""
        out = np.zeros((self._n, 3))
        out[:, : self._dim] = vectors.numpy()
        return out

    def _find_mechanics(self, r: torch.Tensor, S: Array) -> None:
        self._find_pairs(r)
        lengths = np.pad(self._neighbours.lengths(self._dim), (0, 3 - self._dim))
        box = mechanics.Box(lengths, self._neighbours.tilt(self._t))
        self._each(
            len(self._ends.i),
            mechanics.measure,
            self._ends,
            self._in_space(r),
            self._scale,
            box,
            self._tables,
            self._pairs,
        )
        self._each(
            self._n,
            mechanics.find_volumes,
            self._ends,
            self._pairs.w,
            self._tables.at_zero,
            self._particles.volume,
        )
        self._find_thermo(S)
        self._find_forces()

    def _find_pairs(self, r: torch.Tensor) -> None:
        index = self._neighbours.candidates(r, self._t)
        if self._neighbours.n_searches == self._at_search:
            return
        self._at_search = self._neighbours.n_searches
        self._ends = sort_pairs(index.numpy(), self._n)
        count, dtype = len(self._ends.i), r.numpy().dtype

        def empty(kind: Any = dtype) -> Array:
            return np.zeros(count, kind)

        def vectors() -> Array:
            return np.zeros((count, 3), dtype)

        kind = empty(np.int8)
        if self._species is not None:
            kind[:] = pair_kind(*(self._species[end] for end in (self._ends.i, self._ends.j)))
        self._pairs = mechanics.Geometry._make(
            [vectors(), *(empty() for _ in range(5)), empty(np.int8), kind]
        )
        self._friction = friction.Friction._make([*(empty() for _ in range(6)), empty(np.uint8)])
        self._impulses = friction.Impulses(vectors(), vectors(), empty(), empty())

    def _find_thermo(self, S: Array) -> None:
        out = self._particles
        missed = self._each(self._n, mechanics.find_thermo, S, self._tables, out)
        if missed:
            at = np.flatnonzero(out.missed)
            with torch.no_grad():
                found = self.laws.energy(
                    *(torch.as_tensor(x[at], dtype=torch.float64) for x in (S, out.volume))
                )
            pushes = found.P.numpy() * out.volume[at] ** 2
            raw = np.stack([found.U.numpy(), found.T.numpy(), pushes, found.inv_c.numpy()], axis=1)
            mechanics.patch_thermo(at, raw, self._tables.k_B, out)

    def _find_forces(self) -> None:
        self._each(self._n, mechanics.find_forces, self._ends, self._pairs, self._particles, self._force)

    def _find_friction(self) -> None:
        ends, pairs, particles, out = self._ends, self._pairs, self._particles, self._friction
        k_B, dim = self._tables.k_B, self._dim
        missed = self._each(
            len(ends.i), friction.find_friction, ends, pairs, particles, self._tables, dim, out
        )
        if missed:
            at = np.flatnonzero(out.missed)
            kind = () if self._species is None else (pairs.kind[at].astype(np.int64),)
            numbers = pairs.x[at].astype(float), particles.T[ends.i[at]], particles.T[ends.j[at]], *kind
            with torch.no_grad():
                found = self.laws.amplitudes(*map(torch.as_tensor, numbers))
            raw = np.stack([part.numpy() for part in astuple(found)], axis=1)
            friction.patch_friction(at, raw, ends, particles, k_B, dim, out)

    def _count_parts(self, v: Array, dt: float) -> Array:
        """In how many parts each simulation takes the step, shape (n_members,)."""
        found = np.ones(self._n)
        ends, pairs, weights = self._ends, self._pairs, self._impulses.f
        self._each(len(ends.i), friction.weigh, ends, pairs, self._friction, v, self._wind, weights)
        limits = dissipation.DECAY, dissipation.CONDUCTION, dissipation.SPREAD
        self._each(
            self._n,
            friction.count_parts,
            ends,
            pairs,
            weights,
            self._particles,
            dt,
            limits,
            self._tables,
            found,
        )
        parts = np.ones(self._members)
        np.maximum.at(parts, self._member, np.where(self._watched, found, 1.0))
        return np.clip(parts, 1, conserving.MOST_PARTS)

    def _attempt(
        self, v: Array, S: Array, time: Array, index: int, part: int
    ) -> tuple[Array, Array, Array, Array, Array]:
        """Draw until no particle loses too much; new v and S, momentum and energy of a bath, energy from moving images."""
        attempt = np.zeros(self._n, np.int64)
        failed = np.zeros(self._n, np.uint8)
        for _ in range(conserving.MOST_ATTEMPTS):
            done = self._exchange(v, S, time, attempt, index, part)
            fallen = self._each(
                self._n, exchange.mark_failures, S, done[1], self._particles, dissipation.LARGEST_FALL, failed
            )
            chosen = np.zeros(self._members, bool)
            if fallen:
                np.logical_or.at(chosen, self._member, (failed > 0) & self._watched)
            if not chosen.any():
                return done
            attempt = attempt + chosen[self._member]
        raise conserving.NoDraw(torch.from_numpy((failed > 0) & self._watched), torch.from_numpy(v))

    def _exchange(
        self, v: Array, S: Array, time: Array, attempt: Array, index: int, part: int
    ) -> tuple[Array, Array, Array, Array, Array]:
        ends, pairs, tables = self._ends, self._pairs, self._tables
        count, impulses = len(ends.i), self._impulses
        moment = time, attempt, index, part, self._source
        self._each(
            count, friction.shake, ends, pairs, self._friction, *moment, tables.k_B, self._dim, impulses
        )
        shaken = np.zeros_like(v)
        if tables.bath_noise > 0:
            self._each(self._n, friction.shake_in_bath, *moment, tables.bath_noise, self._dim, shaken)
        after, mean, following = np.empty_like(v), v, np.empty_like(v)
        kicks, mass = (ends, pairs, impulses, time), self._particles.mass
        for n in range(dissipation.SWEEPS + 1):
            if n > 0:
                mean, following = following, np.empty_like(v)
            self._each(count, exchange.kick, ends, pairs, self._friction, time, mean, self._wind, impulses)
            self._each(self._n, exchange.move, *kicks, v, mean, shaken, tables, mass, after, following)
        self._each(count, exchange.lose, ends, pairs, following, self._wind, impulses)
        energy = np.empty(self._n)
        self._each(self._n, exchange.reinject, ends, pairs, impulses, self._particles.U, energy)
        given = shaken - tables.bath_friction * time[:, None] * mean
        blown = work_of_images(ends, pairs, impulses.kick[:, 0], self._wind)
        return after, self._entropy(energy, S), given, (given * following).sum(1), blown

    def _entropy(self, energy: Array, S: Array) -> Array:
        found, missed = np.empty(self._n), np.zeros(self._n, np.uint8)
        count = self._each(
            self._n, exchange.solve_entropy, energy, S, self._particles, self._tables, found, missed
        )
        if count:
            at = np.flatnonzero(missed)
            volume, wanted, start = (
                torch.as_tensor(x[at], dtype=torch.float64) for x in (self.volume, energy, S)
            )
            with torch.no_grad():
                found[at] = solve_entropy(lambda S: self.laws.energy(S, volume), wanted, start).numpy()
        return found
