"""One training step on star polymers, forward, backward and Adam: of our laws, and of the published code beside it.

Each side runs in a process of its own, on one thread, so that its time and its memory are its own.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import sys
import time
import types
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from colloidlab.benchmarks.cost import peak_mb
from colloidlab.benchmarks.star_likelihood import Snapshots, log_likelihood
from colloidlab.errors import InputError
from colloidlab.model import brackets
from colloidlab.model.laws import Laws
from colloidlab.model.published import PublishedLaws, load_published
from colloidlab.model.published_encoder import PublishedEncoder, load_published_encoder

HIDDEN = [100, 100]
_RATE = 1e-3
_ABSENT: dict[str, tuple[str, ...]] = {
    "MDAnalysis": (),
    "MDAnalysis.analysis": (),
    "MDAnalysis.analysis.msd": ("EinsteinMSD",),
    "MDAnalysis.analysis.rdf": ("InterRDF",),
    "tqdm": ("tqdm",),
}
"""What the published code imports for its plots and loops, and no training step calls."""

Step = Callable[[], float]
"""Does one step and returns its loss."""


class Runner:
    """A process that makes a step once and takes it as often as asked, on one thread.

    Parameters
    ----------
    make : callable
        Returns the step; it and its arguments go to the other process.
    """

    def __init__(self, make: Callable[..., Step], *arguments: Any) -> None:
        self._pool = ProcessPoolExecutor(1, mp_context=get_context("spawn"))
        self._pool.submit(_prepare, make, arguments).result()

    def step(self) -> tuple[float, float]:
        """Processor time of a step in seconds, and its loss."""
        return self._pool.submit(_timed).result()

    def peak_mb(self) -> float:
        """Largest resident memory of the process so far, interpreter and libraries included."""
        return self._pool.submit(peak_mb).result()

    def __enter__(self) -> Runner:
        return self

    def __exit__(self, *error: object) -> None:
        self._pool.shutdown()


_steps: list[Step] = []


def _prepare(make: Callable[..., Step], arguments: tuple[Any, ...]) -> None:
    torch.set_num_threads(1)
    _steps.append(make(*arguments))


def _timed() -> tuple[float, float]:
    started = time.process_time()
    loss = _steps[0]()
    return time.process_time() - started, loss


def motion_step(laws: Laws, encoder: PublishedEncoder | None, snapshots: Snapshots) -> Step:
    """Ours: the likelihood of motion, with entropies of the encoder where there is one."""
    optimizer = _adam(laws, encoder)

    def step() -> float:
        S = None if encoder is None else encoder(snapshots.pairs(), snapshots.v)
        return _descend(-log_likelihood(laws, snapshots, S).mean(), optimizer)

    return step


def joint_step(laws: Laws, encoder: PublishedEncoder, now: Snapshots, after: Snapshots) -> Step:
    """The published objective, the likelihood of increments of velocity and entropy, with our networks and brackets."""
    optimizer = _adam(laws, encoder)

    def step() -> float:
        pairs, v = now.pairs(), now.v
        S, S_next = encoder(pairs, v), encoder(after.pairs(), after.v)
        ev = brackets.evaluate(laws, pairs, S)
        drift = torch.cat(
            [brackets.acceleration(laws, ev, v), brackets.entropy_rate(laws, ev, v)[:, None]], dim=1
        )
        change = torch.cat([now.v_next - v, (S_next - S)[:, None]], dim=1)
        vv, vS, SS = brackets.marginal_covariance(laws, ev, v)
        lower = torch.cat([vS, SS[:, None]], dim=1)[:, None]
        covariance = now.dt * torch.cat([torch.cat([vv, vS[:, :, None]], dim=2), lower], dim=1)
        jump = change - now.dt * drift
        square = (jump * torch.linalg.solve(covariance, jump)).sum(1)
        return _descend((square + torch.logdet(covariance)).mean(), optimizer)

    return step


def _adam(laws: Laws, encoder: PublishedEncoder | None) -> torch.optim.Optimizer:
    parameters = [*laws.parameters(), *(() if encoder is None else encoder.parameters())]
    return torch.optim.Adam([p for p in parameters if p.requires_grad], _RATE)


def _descend(loss: Tensor, optimizer: torch.optim.Optimizer) -> float:
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return float(loss.detach())


def published_size_step(
    now: Snapshots, after: Snapshots, weights: str | None, dtype: torch.dtype, joint: bool
) -> Step:
    """Ours with networks of the published size: random ones, or those of a file of weights.

    Parameters
    ----------
    now, after : Snapshots
        Frames, and the ones that follow each.
    weights : str, optional
        Path of a state dict of the published model.
    dtype : torch dtype
    joint : bool
        `joint_step`, else `motion_step`.
    """
    if weights is None:
        torch.manual_seed(0)
        laws, encoder = PublishedLaws(HIDDEN, now.cutoff, 3), PublishedEncoder(HIDDEN, 3)
    else:
        laws = load_published(weights, cutoff=now.cutoff, n_dims=3)
        encoder = load_published_encoder(weights)
    laws, encoder = laws.to(dtype), encoder.to(dtype)
    return joint_step(laws, encoder, now, after) if joint else motion_step(laws, encoder, now)


def published_code_step(folder: str, now: Snapshots, after: Snapshots, weights: str | None) -> Step:
    """A step of the published code in its own folder, in single precision as it trains.

    Parameters
    ----------
    folder : str
        A checkout of it.
    now, after : Snapshots
    weights : str, optional
        Where to write the weights that it starts with.

    Raises
    ------
    InputError
        There is no such code in the folder.
    """
    model_class, solver_class = import_published(Path(folder))
    loss_of = solver_class.compute_loss
    torch.manual_seed(0)
    options = argparse.Namespace(
        h=now.cutoff,
        n_hidden=len(HIDDEN),
        dim_hidden=HIDDEN[0],
        dt=now.dt,
        boxsize=float(now.box[0]),
        k_B=1.0,
        m=1.0,
    )
    model = model_class(options, 3).float()
    if weights is not None:
        torch.save(model.state_dict(), weights)
    constants = [model.log_k_B, model.log_m]
    networks = [p for name, p in model.named_parameters() if name not in ("log_k_B", "log_m")]
    optimizers = [torch.optim.Adam(networks, _RATE), torch.optim.Adam(constants, 10 * _RATE)]
    data = types.SimpleNamespace(name="stars")
    solver = types.SimpleNamespace(dims=3, dt=now.dt)
    mask = torch.ones(len(now.r), dtype=torch.bool)

    def state(snapshots: Snapshots) -> Tensor:
        empty = torch.zeros_like(snapshots.r[:, :1])
        return torch.cat([snapshots.r, snapshots.v, empty], dim=1).float()

    def step() -> float:
        x, x_next = state(now), state(after)
        rates, covariance = model(x, now.index, None, data, train=True)
        S = model.model_S(x, now.index, data)
        S_next = model.model_S(x_next, after.index, data)
        x, x_next = torch.cat([x[:, :-1], S], dim=-1), torch.cat([x_next[:, :-1], S_next], dim=-1)
        square, logdet, _ = loss_of(solver, x, x_next, rates, covariance, mask)
        loss = square + logdet
        for optimizer in optimizers:
            optimizer.zero_grad()
        loss.backward()
        for optimizer in optimizers:
            optimizer.step()
        return float(loss.detach())

    return step


def import_published(folder: Path) -> tuple[Any, Any]:
    """The classes of its model and its solver, from files named `model` and `solver`; for a process of their own."""
    if not (folder / "model.py").is_file() or not (folder / "solver.py").is_file():
        raise InputError(f"{folder} holds no model.py and solver.py; give a checkout of the published code")
    missing = [name for name in _ABSENT if importlib.util.find_spec(name.partition(".")[0]) is None]
    for name in missing:
        stand_in = types.ModuleType(name)
        for attribute in _ABSENT[name]:
            setattr(stand_in, attribute, object)
        sys.modules[name] = stand_in
    sys.path.insert(0, str(folder))
    return importlib.import_module("model").CG_model, importlib.import_module("solver").Solver
