"""Fits of star polymers: the classes that videos are fitted with, and networks of the published form."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass

import numpy as np
import torch

from colloidlab.benchmarks.star_likelihood import Snapshots, log_likelihood, take
from colloidlab.dataset.graph import find_pairs
from colloidlab.errors import InputError
from colloidlab.model.forms import Guess, isothermal_laws
from colloidlab.model.guess import complete_guess
from colloidlab.model.laws import Laws
from colloidlab.model.published import PublishedLaws, load_published
from colloidlab.model.published_encoder import PublishedEncoder, load_published_encoder
from colloidlab.progress import SILENT, Monitor
from colloidlab.synthetic.star_polymers import StarMelt

CUTOFF = 4.75
"""Of the published work."""

_RADIAL_TERMS = 8
_PRIOR = 2.0
"""Standard deviation of every coefficient about its guess; most are logarithms."""

_HISTORY = 30
_RATE = 3e-4


@dataclass(frozen=True)
class Blocks:
    """Frames to fit to, to choose with, and to judge by, in this order in time."""

    train: range
    validation: range
    test: range


@dataclass(frozen=True)
class StarFit:
    """Fitted laws, what finds their entropies (None: all zero), and the processor time that the fit took."""

    laws: Laws
    encoder: PublishedEncoder | None
    seconds: float

    def log_likelihood(self, snapshots: Snapshots) -> torch.Tensor:
        """ln p of the next velocity of every particle, nats."""
        with torch.no_grad():
            S = None if self.encoder is None else self.encoder(snapshots.pairs(), snapshots.v)
            return log_likelihood(self.laws, snapshots, S)

    def by_frame(self, melt: StarMelt, frames: range) -> np.ndarray:
        """Mean over the particles of each frame."""
        parts = [self.log_likelihood(take(melt, [k], self.laws.cutoff)) for k in frames]
        return np.array([float(part.mean()) for part in parts])


def split_frames(melt: StarMelt) -> Blocks:
    """Seven tenths of the frames, one tenth, the rest; the last frame has no successor."""
    last = len(melt.r) - 1
    a, b = int(0.7 * last), int(0.8 * last)
    return Blocks(range(a), range(a, b), range(b, last))


def fit_default(
    melt: StarMelt,
    blocks: Blocks,
    *,
    cutoffs: tuple[float, ...] = (3.5, 4.0, CUTOFF),
    n_frames: int = 20,
    evaluations: int = 150,
    monitor: Monitor = SILENT,
) -> StarFit:
    """The isothermal laws of videos, by L-BFGS on frames of the training block; validation chooses the cutoff.

    Cutoffs that leave any star of the training block fewer than D + 1 neighbours are not tried: its noise would hardly
    span the D directions, and one such star in a later frame makes the likelihood of the block what you like.
    A weak prior holds every coefficient within some units of its guess, and what the data do not tell stays there: noise
    that vanishes across the line of centres would leave a star with few neighbours no density at all.

    Parameters
    ----------
    melt : StarMelt
    blocks : Blocks
    cutoffs : tuple of float
    n_frames : int
        Of each block, evenly over it.
    evaluations : int
        Of the likelihood and its gradient, at most.
    """
    started = time.process_time()
    found: list[tuple[float, Laws]] = []
    for cutoff in cutoffs:
        if _fewest_neighbours(melt, blocks.train, cutoff) <= melt.r.shape[2]:
            continue
        frames = [take(melt, [k], cutoff) for k in _evenly(blocks.train, n_frames)]
        laws = isothermal_laws(_guess(frames[0]), radial_terms=_RADIAL_TERMS)
        _minimise(laws, frames, evaluations, monitor)
        fit = StarFit(laws.requires_grad_(False), None, 0.0)
        score = float(np.mean(fit.by_frame(melt, _evenly(blocks.validation, n_frames))))
        if math.isfinite(score):
            found.append((score, laws))
    if not found:
        raise InputError(
            f"no cutoff of {cutoffs} leaves every star with neighbours enough; is this a melt of stars?"
        )
    best = max(found, key=lambda pair: pair[0])[1]
    return StarFit(best, None, time.process_time() - started)


def _fewest_neighbours(melt: StarMelt, frames: range, cutoff: float) -> int:
    """Of any star in any of the frames."""
    box = np.full(3, melt.box)
    pairs = (find_pairs(melt.r[k], cutoff, box=box) for k in frames)
    return min(int(np.bincount(p.ravel(), minlength=melt.r.shape[1]).min()) for p in pairs)


def _evenly(frames: range, count: int) -> range:
    return frames[:: max(len(frames) // count, 1)]


def _guess(snapshots: Snapshots) -> Guess:
    """Scales from the velocities of one frame and the next, with the stiffness of nothing in particular."""
    v, v_next = snapshots.v, snapshots.v_next
    temperature = float(v.square().mean())
    rate = max(1 - float((v * v_next).mean()) / temperature, 1e-3) / snapshots.dt
    guess = Guess(snapshots.cutoff, temperature, rate, 1.0, 1.0, 1.0, 1.0, v.shape[1])
    return complete_guess(guess, snapshots.pairs())


def _minimise(laws: Laws, frames: list[Snapshots], evaluations: int, monitor: Monitor) -> None:
    parameters = [p for p in laws.parameters() if p.requires_grad]
    guessed = [p.detach().clone() for p in parameters]
    samples = sum(len(snapshots.r) for snapshots in frames)
    optimizer = torch.optim.LBFGS(
        parameters,
        max_iter=evaluations,
        max_eval=evaluations,
        history_size=_HISTORY,
        line_search_fn="strong_wolfe",
    )
    count = 0

    def closure() -> float:
        nonlocal count
        monitor.update(f"fit stars, cutoff {laws.cutoff:g}", min(count, evaluations), evaluations)
        count += 1
        optimizer.zero_grad()
        prior = torch.stack(
            [(p - g).square().sum() for p, g in zip(parameters, guessed, strict=True)]
        ).sum() / (2 * _PRIOR**2 * samples)
        prior.backward()
        total = float(prior.detach())
        for snapshots in frames:
            loss = -log_likelihood(laws, snapshots).mean() / len(frames)
            loss.backward()
            total += float(loss.detach())
        return total

    optimizer.step(closure)


def published_fit(weights: str) -> StarFit:
    """The weights that the authors published, as they are."""
    laws = load_published(weights, cutoff=CUTOFF, n_dims=3)
    return StarFit(laws.requires_grad_(False), load_published_encoder(weights).requires_grad_(False), 0.0)


def fit_networks(
    melt: StarMelt,
    blocks: Blocks,
    weights: str | None,
    *,
    hidden: list[int],
    steps: int = 400,
    batch: int = 1,
    seed: int = 0,
    monitor: Monitor = SILENT,
) -> StarFit:
    """Networks of the published form, encoder included, by Adam in single precision on the same likelihood.

    Parameters
    ----------
    melt : StarMelt
    blocks : Blocks
        Batches are drawn from all of the training block.
    weights : str, optional
        Weights of the authors to start with [random ones, at the scale of the motion].
    hidden : list of int
        Features of the hidden layers, for random ones.
    steps, batch : int
        Steps, and frames in each.
    seed : int
    """
    started = time.process_time()
    if weights is None:
        torch.manual_seed(seed)
        guess = _guess(take(melt, [blocks.train[0]], CUTOFF))
        laws, encoder = PublishedLaws(hidden, CUTOFF, 3), PublishedEncoder(hidden, 3)
        # Noise of the right size: k_B and m set the scale of everything, and a network starts near zero.
        laws.k_B, rate = guess.temperature, 3 * _RATE
    else:
        laws = load_published(weights, cutoff=CUTOFF, n_dims=3)
        encoder, rate = load_published_encoder(weights), _RATE
    laws, encoder = laws.float(), encoder.float()
    optimizer = torch.optim.Adam([*laws.parameters(), *encoder.parameters()], rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps, eta_min=0.02 * rate)
    rng = np.random.default_rng(seed)
    for step in range(steps):
        monitor.update("fit, networks", step, steps)
        frames = rng.choice(blocks.train, batch, replace=False).tolist()
        snapshots = take(melt, frames, CUTOFF, torch.float32)
        loss = -log_likelihood(laws, snapshots, encoder(snapshots.pairs(), snapshots.v)).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    trained = laws.double().requires_grad_(False), encoder.double().requires_grad_(False)
    return StarFit(*trained, time.process_time() - started)
