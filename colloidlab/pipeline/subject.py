"""What a fit is given: the tracks as a recording, judged, with a cutoff, blocks of frames and first guesses."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from functools import reduce

import numpy as np

from colloidlab.config import Config
from colloidlab.dataset.cutoff import choose_cutoff
from colloidlab.dataset.recording import Recording, from_tracks
from colloidlab.dataset.reference import find_reference
from colloidlab.dataset.regime import INERTIAL, UNDECIDABLE, Regime, judge
from colloidlab.dataset.split import Split, first_test_frame, split_by_time
from colloidlab.errors import FitRefused, InputError
from colloidlab.indicators.lindemann import CRITICAL_LINDEMANN
from colloidlab.model.distributed import Machine
from colloidlab.model.filter_state import MATURE
from colloidlab.model.forms import Guess, Parts
from colloidlab.model.guess import first_guess
from colloidlab.model.store import load_reference
from colloidlab.pipeline.view import edge_distance
from colloidlab.run import Run

_log = logging.getLogger(__name__)

_MANY_STRANGERS = 0.1
"""Share of the test block's positions without a place in the reference state, of which is warned."""


@dataclass(frozen=True)
class Subject:
    """What is fitted.

    Attributes
    ----------
    recording : Recording
        With its reference state, where the laws are those of a solid.
    split : Split
    guess : Guess
    regime : Regime
    cutoff_reason : str
    lindemann : float, optional
        How much neighbours move past each other; see `dataset.reference.FoundReference`.
    strangers : float
        Share of the positions of the test block whose tracks are not in the reference state of a solid.
    """

    recording: Recording
    split: Split
    guess: Guess
    regime: Regime
    cutoff_reason: str
    lindemann: float | None = None
    strangers: float = 0.0


def read_subject(run: Run, config: Config, key: str, here: Machine) -> Subject:
    """Read the tracks and judge them; a refusal is written down."""
    regime = None
    try:
        recording = load_recording(run, config)
        if recording.seems_mixed:
            _log.warning(
                "%s: laws of one species may take the difference for a temperature; try --species",
                recording.seems_mixed,
            )
        blocks = recording.first, recording.stop, config.fit.train_fraction, config.fit.validation_fraction
        # Nor may the cutoff and the first guess know how particles move in the frames that judge the fit.
        known = recording.until(first_test_frame(*blocks))
        if config.fit.mass_exponent and np.ptp(recording.radius) == 0:
            raise FitRefused(
                "the particles have no radii with which their masses could go; give --mass-exponent 0"
            )
        cutoff, cutoff_reason = _cutoff(known, config)
        regime = judge(known, 1.5 * cutoff)
        if regime.verdict != INERTIAL:
            raise FitRefused(f"the motion is {regime.verdict}: {regime.reason}")
        split = split_by_time(*blocks)
        _need_interior(known, cutoff)
        _need_blocks(recording, split, cutoff)
        lindemann, strangers = None, 0.0
        if config.fit.solid:
            recording, lindemann, strangers = _with_reference(recording, cutoff, split)
            known = replace(known, reference=recording.reference)
        guess = first_guess(known, regime, cutoff, _parts(config))
    except FitRefused as error:
        if here.leads:
            _record_refusal(run, config, key, regime, str(error))
        raise
    return Subject(recording, split, guess, regime, cutoff_reason, lindemann, strangers)


def _parts(config: Config) -> Parts:
    options = config.fit
    return Parts(
        cohesion=options.cohesion,
        bath=options.bath,
        bath_temperature=options.bath_temperature_px2,
        n_species=options.species,
        mass_exponent=options.mass_exponent,
        solid=options.solid,
    )


def _with_reference(recording: Recording, cutoff: float, split: Split) -> tuple[Recording, float, float]:
    """The recording with its reference state, the Lindemann parameter, and the share of strangers in the test block.

    Says where the reference state means little.
    """
    found = find_reference(recording, cutoff, *split.train)
    if found.lindemann > CRITICAL_LINDEMANN:
        _log.warning(
            "neighbours move past each other (Lindemann parameter %.3g; a crystal in the plane melts at %.2g): a reference "
            "state means little there, try without --solid",
            found.lindemann,
            CRITICAL_LINDEMANN,
        )
    tested = recording.particle[recording.rows(split.test[0]).start : recording.rows(split.test[1] - 1).stop]
    strangers = float(np.mean(~np.isin(tested, found.state.index.numpy())))
    if strangers > _MANY_STRANGERS:
        _log.warning(
            "%.0f %% of the positions of the test block are of tracks that have no place in the reference state, because "
            "they begin after the training block; they carry no shear energy",
            100 * strangers,
        )
    return replace(recording, reference=found.state), found.lindemann, strangers


def load_recording(run: Run, config: Config) -> Recording:
    """The tracks of a run as a recording; frames that were missing or damaged carry no information."""
    tracks = run.read_table("tracks")
    if "z" in tracks:
        raise FitRefused("the positions are three-dimensional; the laws are those of a monolayer")
    frames = run.read_table("frames")
    bad = frozenset(int(f) for f in frames.loc[frames["status"].isin(["missing", "damaged"]), "frame"])
    options = config.fit
    return from_tracks(
        tracks,
        edge_distance(run),
        sigma_px=options.sigma_px,
        sigma_scale=options.sigma_scale,
        bad_frames=bad,
        n_species=options.species,
    )


def recording_of_fit(run: Run, config: Config) -> Recording:
    """The recording of a fit that is there, with the reference state that it has found for a solid.

    Parameters
    ----------
    run : Run
    config : Config
        With the number of species that the laws tell apart.
    """
    recording, found = load_recording(run, config), load_reference(run.path / "model")
    if found is None:
        return recording
    # Tracks that are gone take their pairs with them.
    return replace(recording, reference=found.among(recording.particles))


def _cutoff(recording: Recording, config: Config) -> tuple[float, str]:
    if config.fit.cutoff_px is not None:
        return config.fit.cutoff_px, "given by the user"
    try:
        return choose_cutoff(recording)
    except InputError as error:
        raise FitRefused(f"the particles show no structure from which to take a cutoff: {error}") from error


def _need_interior(recording: Recording, cutoff: float) -> None:
    reach = 2 * cutoff * recording.scale.max()
    share = float((recording.edge > reach).mean())
    if share * len(recording.edge) / (recording.stop - recording.first) < 10:
        raise FitRefused(
            f"fewer than 10 particles a frame lie two cutoffs ({reach:.3g} px) inside the view; their forces need "
            "neighbours that the camera does not see: record a larger view or give a smaller cutoff_px"
        )


def _need_blocks(recording: Recording, split: Split, cutoff: float) -> None:
    """Somebody must count where the fit is chosen and where it is tested; see `Filter.step` for who does."""
    reach = 2 * cutoff * recording.scale.max()
    inside = recording.edge > reach

    def members(frame: int, chosen: np.ndarray) -> np.ndarray:
        rows = recording.rows(max(frame, recording.first))
        return recording.particle[rows][chosen[rows]]

    everybody = np.ones_like(inside)
    for purpose, (first, stop) in (("choose", split.validation), ("test", split.test)):
        if not any(
            reduce(
                np.intersect1d,
                (
                    members(frame, inside & recording.observed),
                    members(frame - 1, inside),
                    members(frame - MATURE, everybody),
                ),
            ).size
            for frame in range(first, stop)
        ):
            raise FitRefused(
                f"no particle that is known for {MATURE} frames is seen two cutoffs ({reach:.3g} px) inside the view in "
                f"frames {first} to {stop - 1}, which were to {purpose} the fit: are they missing or damaged? Cut them "
                "off with --frames, or give other train_fraction and validation_fraction"
            )


def _record_refusal(run: Run, config: Config, key: str, regime: Regime | None, sentence: str) -> None:
    verdict, reason = (regime.verdict, regime.reason) if regime is not None else (UNDECIDABLE, sentence)
    run.remove("model", "training.parquet", "state.parquet", "likelihood.parquet", "functions.parquet")
    with run.stage("fit", key, config, config.fit.model_dump()) as facts:
        facts.update(refused=sentence, regime=verdict, regime_reason=reason)
        run.summarise("fit", {"regime": verdict, "regime_reason": reason})
