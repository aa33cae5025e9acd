"""The sheared monolayer against its ground truth: tracking, and what there is to know of its temperature.

The oracle filters the tracked positions with the true law. No inference from these positions can do better on
average, so it says whether the sample's temperature can be identified at all, and what a fit is worth.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.spatial import cKDTree

from colloidlab.benchmarks.rows import Row, at_least, at_most
from colloidlab.benchmarks.sample_causes import boundary_rows, error_rows
from colloidlab.benchmarks.sample_laws import law_rows
from colloidlab.config import load_config
from colloidlab.dataset.recording import Recording
from colloidlab.dataset.split import Split
from colloidlab.errors import InputError
from colloidlab.files import sha256
from colloidlab.model.energy import Isothermal, SumOfExponentials
from colloidlab.model.entropy import ConstantEntropy, ScoreFilter
from colloidlab.model.filter import Filter
from colloidlab.model.friction import PowerLawAmplitudes
from colloidlab.model.held_out import Comparison, Pass, compare, follow
from colloidlab.model.kernel import RadialKernel
from colloidlab.model.laws import Laws
from colloidlab.model.sequence import WindowSource
from colloidlab.model.store import load_fit
from colloidlab.model.tensors import float64
from colloidlab.model.train import Fit
from colloidlab.pipeline.subject import recording_of_fit
from colloidlab.progress import SILENT, Monitor
from colloidlab.run import Run
from colloidlab.tables import read_parquet

_REACH_PX = 3.0
"""A detection farther from the truth than this is none of it."""

_MARGIN_PX = 12.0

_FIRST_VERSION = 0.46
"""What the first version of the model had over constant velocity on the same held-out frames, nats."""


def benchmark_sample(run: Run, folder: Path, monitor: Monitor = SILENT) -> list[Row]:
    """Compare a run of sheared_monolayer.mp4 with the truth beside the video.

    Parameters
    ----------
    run : Run
        Made by ``colloidlab run sample_videos/sheared_monolayer.mp4``.
    folder : Path
        Where the sample's truth and parameters lie.

    Raises
    ------
    InputError
        Something is missing, or the truth is that of another video.
    """
    run.require("fit")
    require_the_video(run, folder / "sheared_monolayer.mp4")
    truth = read_parquet(folder / "sheared_monolayer_truth.parquet")
    parameters = json.loads((folder / "sheared_monolayer.json").read_text(encoding="utf-8"))["parameters"]
    tracks = run.read_table("tracks")
    matched = _match(tracks, truth)
    rows = [*_tracking(tracks, truth, matched), *error_rows(matched)]
    isothermal, thermal, facts = load_fit(run.path / "model")
    recording = recording_of_fit(run, load_config(run.path / "run.toml"))
    split = Split(*(tuple(facts[name]) for name in ("train", "validation", "test")))  # type: ignore[arg-type]
    laws = _true_laws(parameters, recording)
    temperature = float(np.exp(np.log(truth["temperature_px2"]).mean()))
    windows = WindowSource(recording, laws.cutoff)
    start = laws.energy.entropy(float64([temperature]), laws.energy.log_reference_volume.exp().reshape(1))
    knowing = ScoreFilter(prior=0.1, information=0.5, process=3e-4, initial=float(start))
    # How much of the localisation errors is new in every frame belongs to the camera, not to the law: as the fit finds it.
    error = thermal.error
    best_filter = Filter(laws, knowing, temperature, error)
    oracle = follow(best_filter, windows, monitor, "oracle")
    plain = Filter(_without_entropy(laws, temperature), ConstantEntropy(), temperature, error)
    baseline = follow(plain, windows, monitor, "oracle, isothermal")
    fit_windows = WindowSource(recording, isothermal.laws.cutoff)
    fitted = Fit(isothermal=isothermal, thermal=thermal, curves=[])
    passes = [follow(f, fit_windows, monitor, "fit") for f in (fitted.isothermal, fitted.thermal)]
    best = compare(baseline, oracle, split, recording.first)
    found = compare(passes[0], passes[1], split, recording.first)
    rows += _temperature("oracle", best, oracle, matched, split)
    rows += _temperature("fit", found, passes[1], matched, split)
    share = found.gain["gain"] / best.gain["gain"]
    rows.append(Row("fit: share of the oracle's gain", float(share)))
    likelihoods = found.table.set_index("model")["loglik"]
    for simple, least in (("constant_velocity", _FIRST_VERSION), ("diffusion", 0.0)):
        over = float(likelihoods.iloc[-1] - likelihoods[simple])
        name = f"fit: log-likelihood over that of {simple.replace('_', ' ')}"
        rows.append(at_least(name, over, least, "nats per particle and frame"))
    # No bar: what else the machine was doing is not known.
    rows.append(Row("fit: wall time of the stage", run.record["stages"]["fit"]["seconds"] / 60, "min"))
    rows += _association(run)
    diameter = 2 * parameters["mean_radius_px"]
    rows += law_rows((fitted.thermal.laws, passes[1]), (laws, oracle), diameter)
    for who, filter_, state in (
        ("the true law", best_filter, oracle.state),
        ("the fit", fitted.thermal, passes[1].state),
    ):
        rows += boundary_rows(who, filter_, state, recording, split, monitor)
    return rows


def _association(run: Run) -> Iterable[Row]:
    """Do particles of higher entropy rearrange more in held-out frames?"""
    for end, name in (("", "rank correlation"), ("_low", "lower end"), ("_high", "upper end")):
        value = run.summary.get(f"d2min_entropy_correlation{end}")
        if value is not None:
            yield Row(f"entropy and D2min, held out: {name}", float(value))


def require_the_video(run: Run, video: Path) -> None:
    """Refuse a run of another video: the motion is chaotic, so that another version's round-off makes another one."""
    if video.exists() and sha256(video) != run.record["source"].get("sha256"):
        raise InputError(
            f"the run is of another video than {video}, to which the truth beside it belongs; run colloidlab on that video"
        )


def _match(tracks: pd.DataFrame, truth: pd.DataFrame) -> pd.DataFrame:
    """For every tracked position the nearest true particle of its frame."""
    parts = []
    by_frame = dict(tuple(truth.groupby("frame")))
    for frame, found in tracks.groupby("frame"):
        real = by_frame[frame]
        distance, index = cKDTree(real[["x", "y"]].to_numpy()).query(found[["x", "y"]].to_numpy())
        near = distance < _REACH_PX
        real = real.iloc[index[near]]
        part = found.loc[near, ["frame", "particle", "x", "y", "sigma_x_px", "sigma_y_px"]].reset_index(
            drop=True
        )
        for column in ("x", "y", "temperature_px2", "particle"):
            part[f"true_{column}"] = real[column].to_numpy()
        parts.append(part)
    return pd.concat(parts, ignore_index=True)


def _tracking(tracks: pd.DataFrame, truth: pd.DataFrame, matched: pd.DataFrame) -> Iterable[Row]:
    low, high = truth[["x", "y"]].min().min() + _MARGIN_PX, truth[["x", "y"]].max().max() - _MARGIN_PX
    # Particles under the needle's shadow are not seen.
    visible = truth[truth["x"].between(low, high) & truth["y"].between(low + 8, high)]
    keys = pd.MultiIndex.from_frame(visible[["frame", "particle"]])
    seen = pd.MultiIndex.from_arrays([matched["frame"], matched["true_particle"]])
    yield at_least("recall", float(keys.isin(seen).mean()), 0.99)
    yield at_least("precision", len(matched) / len(tracks), 0.99)
    error = (matched[["x", "y"]].to_numpy() - matched[["true_x", "true_y"]].to_numpy()).ravel()
    yield Row("localisation error, rms", float(np.sqrt(np.mean(error**2))), "px")
    yield Row("localisation error, robust", float(1.4826 * np.median(np.abs(error))), "px")
    yield Row("stated sigma, median", float(matched[["sigma_x_px", "sigma_y_px"]].median().mean()), "px")
    thermal = float(np.sqrt(truth["temperature_px2"].median()))
    yield at_least(
        "thermal motion per frame over localisation error", thermal / float(np.sqrt(np.mean(error**2))), 5.0
    )
    true_id = matched.groupby("particle")["true_particle"]
    yield at_most("tracks that mix two particles", float((true_id.nunique() > 1).mean()), 0.02)


def _true_laws(parameters: dict, recording: Recording) -> Laws:
    """The law that made the sample, its cutoff expressed through the tracked mean radius."""
    energy = SumOfExponentials([0.0], [1.0], [1.0], [0.0], [1.0])
    amplitudes = PowerLawAmplitudes([0.0], [0.0], [0.0])
    laws = Laws(RadialKernel(0), energy, amplitudes, 1.0)
    laws.load_state_dict({name: float64(value) for name, value in parameters["laws"].items()})
    # The cutoff belongs to a particle of mean size; the mean over the tracks may differ from the packing's.
    large = parameters["setup"]["small_radius"] * parameters["setup"]["size_ratio"]
    share = float((recording.radius > np.median([recording.radius.min(), recording.radius.max()])).mean())
    mean = (1 - share) * parameters["setup"]["small_radius"] + share * large
    laws.cutoff = parameters["cutoff_px"] * mean / parameters["mean_radius_px"]
    return laws.requires_grad_(False)


def _without_entropy(laws: Laws, temperature: float) -> Laws:
    energy = laws.energy
    n = energy.n_cold
    cold = Isothermal(
        float(np.log(temperature)),
        energy.log_amplitudes[-n:].tolist(),
        energy.log_beta[-n:].exp().tolist(),
        float(energy.log_reference_volume.exp()),
    )
    return Laws(laws.kernel, cold, laws.amplitudes, laws.cutoff).requires_grad_(False)


def _temperature(
    who: str, comparison: Comparison, result: Pass, matched: pd.DataFrame, split: Split
) -> list[Row]:
    gain = comparison.gain
    both = result.state.merge(matched, on=["frame", "particle"], suffixes=("", "_tracked"))
    both = both[~both["boundary"] & (both["frame"] >= split.test[0])]
    found, true = np.log(both["temperature_px2"]), np.log(both["true_temperature_px2"])
    return [
        Row(f"{who}: log-likelihood", float(gain["loglik"]), "nats per particle and frame"),
        Row(f"{who}: gain of the entropy", float(gain["gain"]), "nats per particle and frame"),
        Row(
            f"{who}: gain, lower end of its 95 % interval",
            float(gain["gain_low"]),
            "nats per particle and frame",
            "> 0",
            bool(gain["gain_low"] > 0),
        ),
        at_least(f"{who}: correlation of ln T with the truth", float(np.corrcoef(found, true)[0, 1]), 0.5),
        Row(f"{who}: mean error of ln T", float(np.mean(found - true))),
        Row(f"{who}: rms error of ln T", float(np.sqrt(np.mean((found - true) ** 2)))),
        Row("spread of true ln T", float(true.std())),
    ]


def read_sample_folder(folder: Path) -> Path:
    """The folder with the truth, or one sentence when it is not there."""
    if not (folder / "sheared_monolayer_truth.parquet").exists():
        raise InputError(
            f"{folder} has no sheared_monolayer_truth.parquet; write it with 'colloidlab sample -o {folder}'"
        )
    return folder
