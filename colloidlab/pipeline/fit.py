"""Stage `fit`: from tracks to laws, the filtered state, and what the laws are worth on the test block."""

from __future__ import annotations

import logging
import time
from dataclasses import asdict
from typing import Any

import numpy as np
import pandas as pd
import torch

from colloidlab.claim import alone
from colloidlab.config import Config
from colloidlab.dataset.recording import Recording
from colloidlab.dataset.regime import Regime
from colloidlab.errors import FitRefused
from colloidlab.model.curves import bath_constants, learned_functions, mass_ratios, shear_modulus
from colloidlab.model.distributed import CPU, machine
from colloidlab.model.held_out import Comparison, Pass, compare, pass_both
from colloidlab.model.inertia import SizeMasses
from colloidlab.model.localisation import ErrorScale
from colloidlab.model.sequence import WindowSource
from colloidlab.model.store import save_fit
from colloidlab.model.train import Fit, TrainOptions
from colloidlab.model.trained_parts import move
from colloidlab.model.uncertainty import Uncertainty
from colloidlab.pipeline.association import association
from colloidlab.pipeline.subject import Subject, read_subject
from colloidlab.pipeline.training import (
    Training,
    choose_device,
    for_all_processes,
    plan_training,
    with_options,
)
from colloidlab.progress import SILENT, Monitor
from colloidlab.rollout.observation import new_error
from colloidlab.run import Run, digest

_log = logging.getLogger(__name__)

_WITHOUT_EFFECT = {"tensorboard"}
"""Options that change no result."""


def fit_key(run: Run, config: Config) -> str:
    """What the result of the stage depends on."""
    tracks = run.record["stages"].get("track", {}).get("outputs", {})
    return digest({"tracks": tracks, "fit": config.fit.model_dump(exclude=_WITHOUT_EFFECT)})


@alone
def run_fit(run: Run, config: Config, monitor: Monitor = SILENT) -> dict[str, Any]:
    """Fit the dynamics of a tracked recording.

    Returns
    -------
    dict
        The summary's entries of this stage, and `skipped`.

    Raises
    ------
    FitRefused
        When there is no inertia to fit, or too little data; the sentence is kept in the run folder.
    InputError
        When the run has no tracks.
    """
    run.require("track")
    started = time.perf_counter()
    config = for_all_processes(config)
    key = fit_key(run, config)
    if run.is_current("fit", fit_key(run, _planned_before(run, config))):
        return run.stage_summary("fit") | {"skipped": True}
    refused = run.facts("fit").get("refused") if run.stage_key("fit") == key else None
    if refused:
        raise FitRefused(refused)
    particles = run.summary.get("n_features_per_frame", 0.0) * config.fit.batch_windows
    device = choose_device(config.fit.device, particles)
    with machine(device, _DTYPES[config.fit.dtype]) as here:
        subject = read_subject(run, config, key, here)
        data = subject.recording, subject.split, subject.guess
        training = plan_training(run, config, key, data, here, started=started)
        if not here.leads:
            training.run(SILENT)
            return {"skipped": False}
        return _fit(run, config, key, subject, training, monitor)


_DTYPES = {"float64": torch.float64, "float32": torch.float32}


def _fit(
    run: Run,
    config: Config,
    key: str,
    subject: Subject,
    training: Training,
    monitor: Monitor,
) -> dict[str, Any]:
    """Fit, judge the fit on the test block, and write it into the run folder."""
    options, recording, regime = training.options, subject.recording, subject.regime
    budget, split = config.fit.budget_minutes, subject.split
    if budget is not None:
        # What is recorded is what repeats this fit: its steps, not the time that they happened to take.
        config = _with_steps(config, options.isothermal_steps, options.filter_steps)
        key = fit_key(run, config)
    with run.stage("fit", key, config, config.fit.model_dump()) as facts:
        fit = training.run(monitor)
        windows = WindowSource(recording, subject.guess.cutoff, device=training.machine.device)
        uncertainty = training.correct(fit.thermal, windows, split, monitor).cpu()
        isothermal, thermal = pass_both(fit, windows, monitor)
        comparison = compare(isothermal, thermal, split, recording.first, one_temperature=fit.one_temperature)
        if comparison.table["loglik"].isna().any():
            raise FitRefused(
                f"no prediction in frames {split.test[0]} to {split.test[1] - 1} counts, so that nothing tests the fit: no "
                "particle there has a neighbour; give a larger cutoff_px"
            )
        for filter_ in (fit.isothermal, fit.thermal):
            move(filter_, CPU, torch.float64)
        facts.update(_facts(subject, options, comparison))
        with run.writing("model") as folder:
            model_facts = _model_facts(recording, fit, facts, run.calibration)
            reference = None
            if recording.reference is not None:
                reference = recording.reference.renumbered(recording.particles)
            save_fit(folder, fit.isothermal, fit.thermal, subject.guess, model_facts, reference)
        if budget is not None:
            # Only here: the model is the same, whether its steps were given or found.
            facts["budget_minutes"] = budget
        run.write_table("training", pd.DataFrame([asdict(row) for row in fit.curves]))
        run.write_table("state", thermal.state)
        run.write_table("likelihood", comparison.table)
        run.write_table("functions", _functions(fit, thermal, uncertainty, run, recording))
        summary = _summary(comparison, regime, subject.guess.cutoff) | _settings(fit, options)
        summary |= _species(recording, fit, uncertainty) | _bath(fit, uncertainty)
        summary |= _solid(subject, fit, uncertainty)
        if options.entropy == "filter":
            summary["one_temperature_preferred"] = fit.one_temperature
        summary |= association(run, thermal.state, split.test)
        run.summarise("fit", summary)
    training.checkpoint.remove()
    return summary | {"skipped": False}


def _facts(subject: Subject, options: TrainOptions, comparison: Comparison) -> dict[str, Any]:
    """What the run's record says of the fit."""
    split, regime = subject.split, subject.regime
    return {
        "cutoff_px": subject.guess.cutoff,
        "cutoff_reason": subject.cutoff_reason,
        "train": list(split.train),
        "validation": list(split.validation),
        "test": list(split.test),
        "regime": regime.verdict,
        "regime_reason": regime.reason,
        "entropy": options.entropy,
        "isothermal_steps": options.isothermal_steps,
        "filter_steps": options.filter_steps,
        "temperature_identified": comparison.temperature_identified,
    }


def _settings(fit: Fit, options: TrainOptions) -> dict[str, Any]:
    """What was fitted beside the laws, and how long."""
    found: dict[str, Any] = {}
    if isinstance(error := fit.thermal.error, ErrorScale):
        found["sigma_scale"] = float(error.scale)
    if isinstance(inertia := fit.thermal.laws.inertia, SizeMasses):
        found["mass_exponent"] = float(inertia.exponent)
    found["isothermal_steps"] = options.isothermal_steps
    if options.entropy != "isothermal":
        found["filter_steps"] = options.filter_steps
    return found


def _species(recording: Recording, fit: Fit, uncertainty: Uncertainty) -> dict[str, Any]:
    """Number of tracks of every species and its mass, where some were told apart."""
    if recording.species is None:
        return {}
    names = recording.species.names
    counts = np.bincount(recording.species.label, minlength=len(names))
    masses = mass_ratios(fit.thermal.laws, uncertainty)
    found: dict[str, Any] = {"species": dict(zip(names, counts.tolist(), strict=True))}
    for end, values in zip(("", "_low", "_high"), zip(*masses, strict=True), strict=True):
        if np.isfinite(values).all():
            found[f"species_masses{end}"] = dict(zip(names, values, strict=True))
    return found


def _bath(fit: Fit, uncertainty: Uncertainty) -> dict[str, float]:
    """Numbers of the bath, where one was fitted, with the ends of their intervals that are known."""
    laws = fit.thermal.laws
    if laws.bath is None:
        return {}
    found, units = bath_constants(laws, uncertainty), {"friction": "per_frame", "temperature": "px2"}
    return {
        f"bath_{name}_{units[name]}{end}": value
        for name, values in found.items()
        for end, value in zip(("", "_low", "_high"), values, strict=True)
        if np.isfinite(value)
    }


def _solid(subject: Subject, fit: Fit, uncertainty: Uncertainty) -> dict[str, float]:
    """Modulus of the shear energy with its interval, and how much neighbours move past each other, of a solid."""
    if (laws := fit.thermal.laws).shear is None or subject.lindemann is None:
        return {}
    ends = zip(("", "_low", "_high"), shear_modulus(laws, uncertainty), strict=True)
    found = {f"shear_modulus_px2{end}": value for end, value in ends if np.isfinite(value)}
    return found | {
        "lindemann_parameter": subject.lindemann,
        "share_without_reference": subject.strangers,
    }


def _with_steps(config: Config, isothermal_steps: int, filter_steps: int) -> Config:
    return with_options(
        config, isothermal_steps=isothermal_steps, filter_steps=filter_steps, budget_minutes=None
    )


def _planned_before(run: Run, config: Config) -> Config:
    """The options with the steps that the same budget gave last time, if there was one."""
    facts = run.facts("fit")
    if config.fit.budget_minutes is None or facts.get("budget_minutes") != config.fit.budget_minutes:
        return config
    return _with_steps(config, facts["isothermal_steps"], facts["filter_steps"])


def _model_facts(recording: Recording, fit: Fit, facts: dict[str, Any], calibration: Any) -> dict[str, Any]:
    stated = recording.sigma[recording.observed]
    return {
        **facts,
        "frame_interval_s": None if calibration.fps is None else 1 / calibration.fps,
        "um_per_px": calibration.um_per_px,
        "mean_radius_px": recording.mean_radius,
        # In the order of their labels.
        **({} if recording.species is None else {"species": list(recording.species.names)}),
        # What the filter takes for noise: all that is stated, the part of it that is new in every frame, or what was fitted.
        "sigma_px": float(np.median(new_error(fit.thermal, stated))),
        **({"sigma_stated_px": float(np.median(stated))} if recording.sigma_stated else {}),
    }


def _functions(
    fit: Fit, thermal: Pass, uncertainty: Uncertainty, run: Run, recording: Recording
) -> pd.DataFrame:
    inside = thermal.state[~thermal.state["boundary"]]
    temperature = float(inside["temperature_px2"].median())
    n_dims = 3 if "z" in inside else 2
    return learned_functions(
        fit.thermal.laws,
        temperature,
        thermal.volumes,
        run.calibration,
        uncertainty,
        n_dims=n_dims,
        species=() if recording.species is None else recording.species.names,
        sizes=recording.mean_scales,
    )


def _summary(comparison: Comparison, regime: Regime, cutoff: float) -> dict[str, Any]:
    logliks = comparison.table.set_index("model")["loglik"]
    gain = comparison.gain
    found = {
        "regime": regime.verdict,
        "regime_reason": regime.reason,
        "entropy": comparison.form,
        **{f"loglik_{model}": float(value) for model, value in logliks.items()},
    }
    if comparison.form != "isothermal":
        found |= {
            "entropy_gain": float(gain["gain"]),
            "entropy_gain_low": float(gain["gain_low"]),
            "entropy_gain_high": float(gain["gain_high"]),
        }
    return found | {
        "temperature_identified": comparison.temperature_identified,
        "interaction_cutoff_px": cutoff,
    }
