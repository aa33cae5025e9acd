"""Fitting the laws: likelihood of motion over windows, isothermal first, then with entropy.

| phase | what is fitted | module |
|---|---|---|
| isothermal | laws of one temperature | `isothermal_training` |
| isothermal, scoring | the same, by Newton's steps | `scoring` |
| isothermal, correction | the same, where the likelihood's own error is made good | `rollout.indirect` |
| trial, noise grows / falls with T | laws with entropy, a few steps from either sign of the exponent | `entropy_training` |
| filter or encoder | the trial that the validation block likes better, on to the end | `entropy_training` |
| one temperature | laws with entropy that say what isothermal ones say; taken if it likes them better | `forms` |

`loop` takes the steps of a phase, `batch_loss` is what it lowers, `journal` remembers, `checkpoint` keeps that on
disk, `distributed` shares the work.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass

from colloidlab.dataset.recording import Recording
from colloidlab.dataset.split import Split
from colloidlab.errors import InputError
from colloidlab.model.checkpoint import FitCheckpoint
from colloidlab.model.distributed import ALONE, Machine
from colloidlab.model.entropy_training import EntropyTrainer, divide
from colloidlab.model.filter import Filter
from colloidlab.model.forms import Guess, calm_filter, first_inference, thermal_laws
from colloidlab.model.isothermal_training import Correction, IsothermalTrainer
from colloidlab.model.journal import Evaluation, Journal
from colloidlab.model.sequence import WindowSource
from colloidlab.model.species import of_every_kind
from colloidlab.model.train_options import TrainOptions
from colloidlab.model.training_log import TrainingLog
from colloidlab.progress import SILENT, Monitor

__all__ = ["Evaluation", "Fit", "TrainOptions", "fit_isothermal", "fit_laws"]


@dataclass
class Fit:
    """Fitted laws: the isothermal baseline and the laws with entropy.

    Attributes
    ----------
    isothermal, thermal : Filter
        One and the same where no entropy was asked for.
    curves : list of Evaluation
    one_temperature : bool
        The validation block liked laws better by which nobody's temperature differs: `thermal` are such laws.
    likeliest : Filter, optional
        The isothermal laws before corrections, which leave the optimum of the likelihood: the gain of the entropy is
        counted from here, or what corrections have lost would pass for it [isothermal].
    """

    isothermal: Filter
    thermal: Filter
    curves: list[Evaluation]
    likeliest: Filter | None = None
    one_temperature: bool = False


def fit_laws(
    recording: Recording,
    split: Split,
    guess: Guess,
    options: TrainOptions,
    monitor: Monitor = SILENT,
    *,
    machine: Machine = ALONE,
    checkpoint: FitCheckpoint | None = None,
    log: TrainingLog | None = None,
    correct: Correction | None = None,
) -> Fit:
    """Fit both laws on the training block; the validation block chooses, the test block is not touched.

    Parameters
    ----------
    recording : Recording
    split : Split
    guess : Guess
    options : TrainOptions
    monitor : Monitor
        Asked before every step; a checkpoint is left where it says to stop.
    machine : Machine
        Device, precision and processes.
    checkpoint : FitCheckpoint, optional
        From which an interrupted fit goes on; on a CPU its weights are, to the last bit, those of one that was not
        interrupted. The caller removes it when it has kept the result.
    log : TrainingLog, optional
    correct : callable, optional
        Corrects the isothermal laws, from which the fit with entropy starts; see `rollout.indirect`.

    Returns
    -------
    Fit
        In float64, on the machine's device.

    Raises
    ------
    ColloidlabError
        A likelihood or gradient is not finite; its frames are named.
    Cancelled
        The monitor says so.
    InputError
        The checkpoint is damaged, or not the same for all processes.
    """
    journal = Journal(monitor, options, checkpoint=checkpoint, log=log)
    if machine.agreed([journal.n_steps]) != [journal.n_steps]:
        raise InputError(
            "the processes see different checkpoints; put the run folder where all of them see it"
        )
    if options.entropy != "isothermal":
        # What is refused there is refused before the first minute of work.
        divide(split, options)
    windows = WindowSource(recording, guess.cutoff, device=machine.device)
    baseline = IsothermalTrainer(windows, split, guess, options, machine, correct)
    isothermal = baseline.train(journal)
    if options.entropy == "isothermal":
        return Fit(isothermal=isothermal, thermal=isothermal, curves=journal.curves)
    temperature = float(isothermal.laws.energy.log_temperature.detach().exp())
    trainers = []
    for power in (0.5, -0.5):
        laws = thermal_laws(isothermal.laws, power=power)
        inference = first_inference(options.entropy, laws, temperature, seed=options.seed)
        if options.entropy == "encoder":
            # Without a law by which S moves, conduction enters no likelihood.
            for part in of_every_kind(laws.amplitudes):
                part.C.requires_grad_(False)
        start = Filter(laws, inference, guess.temperature, error=copy.deepcopy(isothermal.error))
        trainer = EntropyTrainer(start, windows, split, options, machine)
        phase = f"trial, noise {'grows' if power > 0 else 'falls'} with T"
        journal.keep(phase, trainer)
        trainer.train(options.trial_steps, phase, journal, trial=True)
        trainers.append(trainer)
    best = max(trainers, key=lambda trainer: trainer.best_validation)
    best.train(options.further_steps, options.entropy, journal)
    if options.entropy == "filter":
        # A hidden temperature that does not help is worse than none: it is noise in every prediction.
        phase = "one temperature"
        # Corrections leave the optimum of the likelihood, by which is chosen here.
        calm = EntropyTrainer(calm_filter(baseline.likeliest), windows, split, options, machine)
        journal.keep(phase, calm)
        calm.look(phase, journal)
        if calm.best_validation > best.best_validation:
            return Fit(isothermal, calm.finish(), journal.curves, baseline.likeliest, one_temperature=True)
    return Fit(isothermal, best.finish(), journal.curves, baseline.likeliest)


def fit_isothermal(
    windows: WindowSource,
    split: Split,
    guess: Guess,
    options: TrainOptions,
    curves: list[Evaluation],
    monitor: Monitor = SILENT,
    *,
    machine: Machine = ALONE,
    correct: Correction | None = None,
) -> Filter:
    """Fit laws of one temperature: the baseline, and the start of the fit with entropy.

    Parameters
    ----------
    windows : WindowSource
    split : Split
    guess : Guess
    options : TrainOptions
    curves : list of Evaluation
        Rows are added to it.
    monitor : Monitor
    machine : Machine
    correct : callable, optional
        As in `fit_laws`.
    """
    return IsothermalTrainer(windows, split, guess, options, machine, correct).train(
        Journal(monitor, options, curves=curves)
    )
