"""What stage `fit` puts around the training of the laws: processor, processes, budget, checkpoint and log."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from pathlib import Path

import torch

from colloidlab.config import Config, FitConfig
from colloidlab.dataset.recording import Recording
from colloidlab.dataset.split import Split
from colloidlab.errors import UsageError
from colloidlab.model.budget import measure_costs, plan_steps
from colloidlab.model.checkpoint import FitCheckpoint
from colloidlab.model.distributed import Machine, process_count
from colloidlab.model.filter import Filter
from colloidlab.model.forms import Guess
from colloidlab.model.sequence import WindowSource
from colloidlab.model.species import number_of_kinds
from colloidlab.model.train import Fit, TrainOptions, fit_laws
from colloidlab.model.training_log import TensorBoardLog
from colloidlab.model.uncertainty import Uncertainty
from colloidlab.progress import SILENT, Monitor
from colloidlab.rollout.indirect import correct_laws
from colloidlab.run import Run

_WORTH_A_GPU = 2000
"""Particles that are filtered at once below which a CPU is preferred: a rule of thumb, not measured. Starting the many small
operations of a step takes a GPU as long as a CPU core takes to do them for some number of particles of this order."""


def for_all_processes(config: Config) -> Config:
    """The options with a window for every process."""
    return with_options(config, batch_windows=max(config.fit.batch_windows, process_count()))


def with_options(config: Config, **options: object) -> Config:
    """The options with some of `fit` replaced."""
    return config.model_copy(update={"fit": config.fit.model_copy(update=options)})


def choose_device(wanted: str, particles: float) -> torch.device:
    """Where to compute.

    Parameters
    ----------
    wanted : str
        auto, cpu or cuda.
    particles : float
        That are computed at once.

    Raises
    ------
    UsageError
        A GPU is asked for, and there is none.
    """
    there = torch.cuda.is_available()
    if wanted == "cuda" and not there:
        raise UsageError(
            "torch sees no CUDA device ('colloidlab doctor' says what it sees); leave out --device to use the CPU"
        )
    worth = wanted == "cuda" or (wanted == "auto" and particles >= _WORTH_A_GPU)
    return torch.device("cuda" if there and worth else "cpu")


@dataclass(frozen=True)
class Training:
    """A training that is about to begin, or to go on from where an interrupted command with the same key stopped.

    Attributes
    ----------
    data : tuple
        Recording, split and first guess.
    options : TrainOptions
        With the numbers of steps that the budget allows.
    machine : Machine
    checkpoint : FitCheckpoint
        To be removed when the fit is kept.
    logged_in : Path or None
        Run folder that holds the log for TensorBoard.
    """

    data: tuple[Recording, Split, Guess]
    options: TrainOptions
    machine: Machine
    checkpoint: FitCheckpoint
    logged_in: Path | None

    def run(self, monitor: Monitor) -> Fit:
        """Fit the laws."""
        torch.manual_seed(self.options.seed)
        log = None if self.logged_in is None else TensorBoardLog(self.logged_in)
        try:
            return fit_laws(
                *self.data,
                self.options,
                monitor,
                machine=self.machine,
                checkpoint=self.checkpoint,
                log=log,
                correct=self.correct if self.options.correction_rounds else None,
            )
        finally:
            if log is not None:
                log.close()

    def correct(
        self, filter_: Filter, windows: WindowSource, split: Split, monitor: Monitor = SILENT
    ) -> Uncertainty:
        """Make good what the likelihood gets wrong, and say how well the laws are known."""
        seed, rounds = self.options.seed, self.options.correction_rounds
        return correct_laws(filter_, windows, split, seed=seed, rounds=rounds, monitor=monitor)


def plan_training(
    run: Run,
    config: Config,
    key: str,
    data: tuple[Recording, Split, Guess],
    machine: Machine,
    *,
    started: float,
) -> Training:
    """Look for a checkpoint, and see how many steps the budget allows.

    Parameters
    ----------
    run : Run
    config : Config
    key : str
        Of tracks and options.
    data : tuple
        Recording, split and first guess.
    machine : Machine
    started : float
        `time.perf_counter()` when the budget began.
    """
    checkpoint = FitCheckpoint(run.path, key, writes=machine.leads)
    options = _options(config.fit)
    if config.fit.budget_minutes is not None:
        planned = checkpoint.load().get("options")
        if planned is not None:
            options = TrainOptions(**planned)
        else:
            left = 60 * config.fit.budget_minutes - (time.perf_counter() - started)
            options = _within(left, *data, options, machine)
    logged_in = run.path if config.fit.tensorboard and machine.leads else None
    return Training(data, options, machine, checkpoint, logged_in)


def _options(options: FitConfig) -> TrainOptions:
    return TrainOptions(
        isothermal_steps=options.isothermal_steps,
        filter_steps=options.filter_steps,
        window_frames=options.window_frames,
        burn_in_frames=options.burn_in_frames,
        # Each kind of pair has parameters of its own, and with more of them the optimum takes more steps.
        scoring_rounds=options.scoring_rounds * number_of_kinds(options.species),
        correction_rounds=options.correction_rounds,
        seed=options.fit_seed,
        batch_windows=options.batch_windows,
        patience=options.patience,
        entropy=options.entropy,
    )


def _within(
    seconds: float, recording: Recording, split: Split, guess: Guess, options: TrainOptions, machine: Machine
) -> TrainOptions:
    """The steps that the time allows, as the leading process has measured it."""
    windows = WindowSource(recording, guess.cutoff, device=machine.device)
    costs = measure_costs(windows, split, guess, options, machine)
    found = plan_steps(seconds, costs, split, options)
    steps = machine.agreed([found.isothermal_steps, found.filter_steps])
    return TrainOptions(
        **asdict(options) | {"isothermal_steps": int(steps[0]), "filter_steps": int(steps[1])}
    )
