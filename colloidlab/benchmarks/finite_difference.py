"""The likelihood of finite differences, which takes (r_t - r_(t-1))/dt for the velocity: what video must not be fitted with.

White noise that is sampled once a frame shows up in two differences, and localisation errors in three, so that friction
and noise come out wrong however long the recording. Kept to show by how much.

References
----------
Ferretti et al., Phys. Rev. X 10, 031018 (2020). Hernandez et al., arXiv 2508.12569 (2025), for this likelihood.
"""

from __future__ import annotations

import numpy as np
import torch

from colloidlab.dataset.split import Split
from colloidlab.dataset.windows import Window
from colloidlab.model import brackets
from colloidlab.model.forms import Guess, isothermal_laws
from colloidlab.model.laws import Laws
from colloidlab.model.pairs import pair_geometry
from colloidlab.model.sequence import WindowSource
from colloidlab.model.tensors import dot
from colloidlab.model.transition import inverse_and_logdet
from colloidlab.progress import SILENT, Monitor

_FRAMES = 8
_RATE = 0.04


def fit_finite_differences(
    windows: WindowSource, split: Split, guess: Guess, *, steps: int, seed: int, monitor: Monitor = SILENT
) -> Laws:
    """Fit laws of one temperature to the increments of finite-difference velocities.

    Parameters
    ----------
    windows : WindowSource
    split : Split
        Only the training block is read.
    guess : Guess
    steps : int
    seed : int
    """
    laws = isothermal_laws(guess)
    parameters = [p for p in laws.parameters() if p.requires_grad]
    optimizer = torch.optim.Adam(parameters, lr=_RATE)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps, eta_min=0.05 * _RATE)
    rng = np.random.default_rng(seed)
    for step in range(steps):
        monitor.update("fit, finite differences", step, steps)
        first = int(rng.integers(split.train[0], split.train[1] - _FRAMES - 2))
        loss = -_log_likelihood(laws, windows(first, first + _FRAMES + 2))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    return laws.requires_grad_(False)


def _log_likelihood(laws: Laws, window: Window) -> torch.Tensor:
    """Mean over particles and frames of ln p(v_(t+1) - v_t), nats."""
    v = window.positions[1:] - window.positions[:-1]
    total = []
    for k in range(1, window.n_frames - 1):
        pairs = pair_geometry(window.positions[k], window.pairs[k], laws.cutoff, window.scale, window.box)
        ev = brackets.evaluate(laws, pairs, torch.zeros_like(window.scale))
        jump = v[k] - v[k - 1] - brackets.acceleration(laws, ev, v[k - 1])
        # A particle without neighbours feels no noise.
        eye = 1e-6 * torch.eye(v.shape[2], dtype=v.dtype)
        precision, logdet = inverse_and_logdet(brackets.velocity_noise(laws, ev) + eye)
        touching = ev.pairs.sum_symmetric((ev.pairs.x < 1).to(v.dtype)) > 0
        square = dot(jump, torch.einsum("nab,nb->na", precision, jump))
        total.append((-0.5 * (square + logdet))[touching & window.interior[k]])
    return torch.cat(total).mean()
