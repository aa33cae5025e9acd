"""Indirect inference: what the filter's likelihood gets wrong, found on motion that the fitted laws themselves have made.

The filter leaves out correlations between particles and treats a frame as one step. Its likelihood is therefore not exactly
that of the laws, and its optimum lies off the truth by more than the data's scatter: noise some 10 % too low where the
localisation error is half the thermal displacement. But whatever it leaves out, it leaves out in a simulation too. From the
filtered state at the start of every stretch of the training block the laws are run forward in short steps, the
same particles are observed with the same errors, and the score of the likelihood is taken on what comes out. The laws sought
are those of which the data have the score that simulations have:

    G_data(theta) = G_simulated(theta)

Particles whose neighbourhood leaves the view follow the experiment.

References
----------
Gouriéroux, Monfort & Renault, J. Appl. Econometrics 8, S85 (1993); Gallant & Tauchen, Econometric Theory 12, 657 (1996).
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from colloidlab.dataset.split import Split
from colloidlab.dataset.windows import with_positions
from colloidlab.model.filter import MATURE, Filter
from colloidlab.model.filter_state import FilterState
from colloidlab.model.scores import Stretch, place, stretch_score, values
from colloidlab.model.sequence import WindowSource
from colloidlab.model.uncertainty import Expectation, ExpectedScore, Uncertainty, estimate_uncertainty
from colloidlab.progress import SILENT, Monitor
from colloidlab.rollout.boundary import Plan
from colloidlab.rollout.driven import roll_out, stable_steps_per_frame

ROUNDS = 2
_TRUST = 0.7
"""Largest change of a parameter in one round; all are logarithms, exponents or coefficients of them."""
_FINER = 2
"""Steps of the simulation, in those that are stable: errors of the integrator would pass for errors of the likelihood."""


def correct_laws(
    filter_: Filter,
    windows: WindowSource,
    split: Split,
    *,
    seed: int,
    rounds: int = ROUNDS,
    monitor: Monitor = SILENT,
) -> Uncertainty:
    """Move the fitted laws, in place, to those whose simulations have the data's score.

    Parameters
    ----------
    filter_ : Filter
        With fitted laws, whose free parameters require a gradient.
    windows : WindowSource
    split : Split
        Only the training block is read.
    seed : int
        Of the simulations; the same in every round, so that rounds differ by their laws only.
    rounds : int
        Steps at most; zero only estimates the uncertainty.

    Returns
    -------
    Uncertainty
        Of the laws as they are left, the scatter of the simulation included.
    """
    expectation = expected_score(seed, monitor)
    start = values(filter_)
    found = best = estimate_uncertainty(filter_, windows, split, monitor, expectation=expectation)
    for _ in range(rounds):
        place(filter_, start + found.shift.clamp(-_TRUST, _TRUST))
        found = estimate_uncertainty(filter_, windows, split, monitor, expectation=expectation)
        if not found.distance < best.distance:
            place(filter_, start)
            break
        start, best = values(filter_), found
    return best


def expected_score(seed: int, monitor: Monitor = SILENT) -> Expectation:
    """The mean score of motion that a filter's laws make from the starts of its stretches."""

    def expectation(filter_: Filter, block: list[Stretch]) -> ExpectedScore:
        total: Tensor | None = None
        count = 0.0
        for n, stretch in enumerate(block):
            monitor.update("simulated scores", n, len(block))
            score, counted = stretch_score(filter_, simulate_stretch(filter_, stretch, seed=seed + n))
            total = score if total is None else total + score
            count += counted
        monitor.update("simulated scores", len(block), len(block))
        assert total is not None
        return ExpectedScore(total / max(count, 1.0), count)

    return expectation


def simulate_stretch(filter_: Filter, stretch: Stretch, *, seed: int) -> Stretch:
    """The stretch as the laws might have made it: same start, same particles and errors, other noise.

    Parameters
    ----------
    filter_ : Filter
    stretch : Stretch
    seed : int
    """
    window, laws = stretch.window, filter_.laws
    generator = torch.Generator().manual_seed(seed)
    inside = (window.complete & window.present).all(0) & (stretch.start.age >= MATURE)
    if not bool(inside.any()):
        return stretch
    truth = draw_state(filter_, stretch, generator)
    plan = _plan(stretch, truth, inside)
    steps = _FINER * stable_steps_per_frame(laws, plan)
    frames = roll_out(laws, plan, seeds=[seed], steps_per_frame=steps)
    r = torch.as_tensor(np.stack([frame.r[0] for frame in frames]), dtype=window.positions.dtype)
    error = filter_.localisation_variance(window).detach().sqrt()
    seen = r + error * torch.randn(r.shape, generator=generator, dtype=r.dtype)
    positions = torch.where(inside[:, None], seen, window.positions)
    return replace(stretch, window=with_positions(window, positions, laws.cutoff))


def draw_state(filter_: Filter, stretch: Stretch, generator: torch.Generator) -> FilterState:
    """A possible truth at the start: positions, velocities and entropies as sure as the filter is of them."""
    with torch.no_grad():
        believed = filter_.step(stretch.start, stretch.window, 0)
    state, dim = believed.filtered.detach(), stretch.path.shape[2]
    both = torch.cat([state.rr, state.rv], 2), torch.cat([state.rv.transpose(1, 2), state.vv], 2)
    variances, axes = torch.linalg.eigh(torch.cat(both, 1))
    numbers = torch.randn(variances.shape, generator=generator, dtype=variances.dtype)
    kick = torch.einsum("nab,nb->na", axes, variances.clamp_min(0).sqrt() * numbers)
    z = torch.randn(state.S.shape, generator=generator, dtype=state.S.dtype)
    inv_c = believed.evaluation.thermo.inv_c.detach()
    # d ln T = dS/c at constant volume; laws of one temperature have no such uncertainty.
    spread = torch.where(inv_c > 0, state.variance.clamp_min(0).sqrt() / inv_c.clamp_min(1e-12), 0.0)
    return replace(state, r=state.r + kick[:, :dim], v=state.v + kick[:, dim:], S=state.S + spread * z)


def _plan(stretch: Stretch, truth: FilterState, inside: Tensor) -> Plan:
    """The particles inside start at the truth; all others follow what the filter has found of them."""
    window = stretch.window
    absent = ~window.present
    r, v = stretch.path.clone(), stretch.velocity.clone()
    r[absent], v[absent] = torch.nan, torch.nan
    S = truth.S.expand(window.n_frames, -1).clone()
    S[absent] = torch.nan
    r[0, inside], v[0, inside] = truth.r[inside], truth.v[inside]
    r[1:, inside], v[1:, inside], S[1:, inside] = torch.nan, torch.nan, torch.nan
    return Plan(
        window.frames[0],
        window.slot,
        inside.numpy(),
        r.numpy(),
        v.numpy(),
        S.numpy(),
        window.scale.numpy(),
        None if window.box is None else window.box.numpy(),
    )
