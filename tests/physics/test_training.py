"""The training as a process: interrupted and resumed, batched, stopped early, in single precision, on any device."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from small_fit import QUICK, Subject, finite, same, short_trials, subject, weights
from torch_geometric.data import Batch

from colloidlab.dataset.window_data import WindowData
from colloidlab.dataset.windows import Window
from colloidlab.errors import Cancelled, ColloidlabError, UsageError
from colloidlab.model.batch_loss import BatchLoss
from colloidlab.model.checkpoint import FOLDER, FitCheckpoint
from colloidlab.model.distributed import ALONE, Machine
from colloidlab.model.entropy_training import EntropyTrainer
from colloidlab.model.filter import Filter
from colloidlab.model.forms import first_inference, isothermal_laws, thermal_laws
from colloidlab.model.held_out import follow, pass_both
from colloidlab.model.isothermal_training import IsothermalTrainer
from colloidlab.model.journal import Journal
from colloidlab.model.loop import Loop, Phase, steps_between
from colloidlab.model.scoring import block_likelihood
from colloidlab.model.sequence import CarriedState, WindowSource, fresh_state, place_each, run_window
from colloidlab.model.train import Fit, TrainOptions
from colloidlab.model.trained_parts import Best, copied_weights, trained_parts
from colloidlab.model.uncertainty import estimate_uncertainty
from colloidlab.progress import SILENT, Monitor

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("short_trials")]
__all__ = ["short_trials"]


def thermal_filter(s: Subject) -> Filter:
    laws = thermal_laws(isothermal_laws(s.guess))
    inference = first_inference("filter", laws, s.guess.temperature)
    return Filter(laws, inference, s.guess.temperature)


def entropy_trainer(options: TrainOptions, machine: Machine = ALONE) -> EntropyTrainer:
    s = subject()
    windows = WindowSource(s.recording, s.guess.cutoff)
    return EntropyTrainer(thermal_filter(s), windows, s.split, options, machine)


Reports = dict[str, list[tuple[int, int]]]


@pytest.fixture(scope="module")
def whole_and_reports() -> tuple[Fit, Reports]:
    reports: Reports = {}
    monitor = Monitor(lambda label, done, total: reports.setdefault(label, []).append((done, total)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("colloidlab.model.train_options.LEAST_TRIAL_STEPS", 2)
        return subject().fit(monitor=monitor), reports


@pytest.fixture
def whole(whole_and_reports: tuple[Fit, Reports]) -> Fit:
    """A fit that nobody interrupted."""
    return whole_and_reports[0]


@pytest.fixture
def reports(whole_and_reports: tuple[Fit, Reports]) -> Reports:
    """Done and total of every report of that fit, by label."""
    return whole_and_reports[1]


# ---- interrupted ---------------------------------------------------------------------------------------------


def test_a_fit_interrupted_in_every_phase_ends_with_the_same_bits(whole: Fit, tmp_path: Path) -> None:
    """Cancelled, which leaves a checkpoint of that step, or killed, when the last one written is a step old."""
    breaks: list[tuple[str, int, Callable[[], BaseException]]] = [
        ("fit, isothermal", 1, Cancelled),
        ("fit, isothermal", 2, KeyboardInterrupt),
        ("fit, isothermal", 3, Cancelled),
        ("fit, scoring", 0, KeyboardInterrupt),
        ("fit, first pass, trial, noise grows with T", 2, Cancelled),
        ("fit, trial, noise grows with T", 1, KeyboardInterrupt),
        ("fit, trial, noise falls with T", 0, Cancelled),
        ("fit, trial, noise falls with T", 2, KeyboardInterrupt),
        ("fit, filter", 1, Cancelled),
        ("fit, filter", 2, KeyboardInterrupt),
        ("fit, filter", 3, Cancelled),
        ("fit, one temperature", 0, KeyboardInterrupt),
        ("fit, one temperature", 1, Cancelled),
    ]
    left = list(breaks)

    def report(label: str, done: int, total: int) -> None:
        if left and (label, done) == left[0][:2]:
            raise left.pop(0)[2]()

    for n in range(len(breaks) + 1):
        # Every step, or only where it is cancelled and at the ends of phases.
        checkpoint = FitCheckpoint(tmp_path, "key", 0.0 if left and left[0][2] is KeyboardInterrupt else 1e9)
        try:
            found = subject().fit(monitor=Monitor(report), checkpoint=checkpoint)
        except (Cancelled, KeyboardInterrupt):
            continue
        assert n == len(breaks) and not left
    assert same(found, whole)


def test_the_baseline_is_what_it_was_before_corrections(tmp_path: Path) -> None:
    """They leave the optimum of the likelihood, which the gain of the entropy is counted from; also where the fit is
    interrupted after them."""
    before: list[dict[str, torch.Tensor]] = []

    def correct(filter_: Filter, *_: object) -> None:
        before.append(copied_weights(filter_))
        with torch.no_grad():
            filter_.laws.amplitudes.A += 0.3

    broken: list[str] = []

    def report(label: str, done: int, total: int) -> None:
        if label == "fit, trial, noise falls with T" and done == 1 and not broken:
            broken.append(label)
            raise Cancelled

    s = subject()
    with pytest.raises(Cancelled):
        s.fit(monitor=Monitor(report), checkpoint=FitCheckpoint(tmp_path, "key"), correct=correct)
    resumed = s.fit(checkpoint=FitCheckpoint(tmp_path, "key"), correct=correct)
    assert len(before) == 1
    whole = s.fit(correct=correct)
    assert same(resumed, whole)
    for found in (resumed, whole):
        assert found.likeliest is not None
        for name, value in copied_weights(found.likeliest).items():
            assert torch.equal(value, before[1][name]), name
        # What is kept and rolled out is corrected, and the fit with entropy began there.
        corrected = before[1]["laws.amplitudes.A"] + 0.3
        assert torch.equal(found.isothermal.laws.amplitudes.A, corrected)
        assert float((found.thermal.laws.amplitudes.A[0] - corrected[0]).detach().abs()) < 0.2
    windows = WindowSource(s.recording, s.guess.cutoff)
    baseline, _ = pass_both(whole, windows)
    assert np.array_equal(baseline.loglik, follow(whole.likeliest, windows).loglik)
    assert not np.array_equal(baseline.loglik, follow(whole.isothermal, windows).loglik)
    alone = s.fit(replace(QUICK, entropy="isothermal"), correct=correct)
    assert alone.thermal is alone.isothermal
    assert torch.equal(alone.thermal.laws.amplitudes.A, before[2]["laws.amplitudes.A"] + 0.3)


def test_other_options_do_not_go_on_from_a_checkpoint(whole: Fit, tmp_path: Path) -> None:
    def stop_at(count: int) -> Monitor:
        reports = iter(range(1000))
        return Monitor(lambda *_: None, lambda: next(reports) >= count)

    checkpoint = FitCheckpoint(tmp_path, "key", 0.0)
    with pytest.raises(Cancelled):
        subject().fit(replace(QUICK, seed=9), stop_at(3), checkpoint=checkpoint)
    assert [p.name for p in tmp_path.iterdir()] == [FOLDER]
    assert FitCheckpoint(tmp_path, "key").load()["loop"]["step"] == 3
    first = Journal(SILENT, QUICK, checkpoint=FitCheckpoint(tmp_path, "key"))
    assert first.n_steps == 0 and not first.curves
    again = Journal(SILENT, replace(QUICK, seed=9), checkpoint=FitCheckpoint(tmp_path, "key"))
    assert again.n_steps == 3


def test_every_step_is_reported(reports: Reports) -> None:
    for label, seen in reports.items():
        done, total = zip(*seen, strict=True)
        assert done == tuple(range(total[0] + 1)) and len(set(total)) == 1, label
    assert {label.split(", ")[1] for label in reports} == {
        "isothermal",
        "scoring",
        "first pass",
        "trial",
        "filter",
        "one temperature",
    }


@pytest.mark.parametrize(("n_steps", "looks", "every"), [(100, 8, 13), (3, 8, 1), (26, 4, 7), (2000, 4, 30)])
def test_long_phases_are_looked_at_more_often(n_steps: int, looks: int, every: int) -> None:
    assert steps_between(n_steps, looks) == every


# ---- what is kept --------------------------------------------------------------------------------------------


def test_a_loop_ends_when_patience_does_and_the_best_weights_are_kept() -> None:
    trainer = entropy_trainer(QUICK)
    filter_ = trainer.filter
    best, journal = Best(filter_), Journal(SILENT, QUICK)
    phase = Phase("test", n_steps=50, rate=0.01, every=2, patience=3)
    loop = Loop(phase, trained_parts(filter_), best, journal, ALONE)
    looks = iter([1.0, 5.0, 4.0, 4.5, 5.0, 9.0])
    kept: list[dict[str, torch.Tensor]] = []

    def validate() -> float:
        kept.append(copied_weights(filter_))
        return next(looks)

    trainer._first_pass(journal, "test")
    loop.run(trainer._loss, validate)
    # The second look is the best; an equal one is no improvement.
    assert [row.step for row in journal.curves] == [2, 4, 6, 8, 10]
    best.use()
    assert best.validation == 5.0
    for name, value in copied_weights(filter_).items():
        assert torch.equal(value, kept[1][name])
    assert any(not torch.equal(kept[1][name], kept[4][name]) for name in kept[1])


def test_the_isothermal_fit_keeps_what_was_validated_best() -> None:
    s = subject()
    windows = WindowSource(s.recording, s.guess.cutoff)
    options = replace(QUICK, isothermal_steps=6, scoring_rounds=0, patience=2)
    trainer, journal = IsothermalTrainer(windows, s.split, s.guess, options, ALONE), Journal(SILENT, options)
    true, values = trainer._validate, iter([0.0, -1.0, -2.0, -3.0, -4.0, -5.0])
    seen = []

    def worse() -> float:
        seen.append(true())
        return next(values)

    trainer._validate = worse  # type: ignore[method-assign]
    trainer.train(journal)
    assert len(seen) == 3, "two looks after the best one"
    assert true() == seen[0] != seen[2]


def test_particles_that_nobody_knows_begin_at_the_guessed_temperature() -> None:
    filter_ = entropy_trainer(QUICK).filter
    V = filter_.laws.energy.log_reference_volume.exp().reshape(1)
    T = filter_.laws.energy(V.new_tensor([filter_.inference.initial]), V).T
    assert float(T.detach()[0]) == pytest.approx(subject().guess.temperature, rel=1e-9)


@pytest.mark.parametrize(("burn_in", "first", "skipped"), [(0, 0, 0), (2, 0, 2), (4, 4, 0), (6, 4, 2)])
def test_the_first_frames_of_the_block_do_not_count(burn_in: int, first: int, skipped: int) -> None:
    """As many as the option says, whatever the length of a window; windows that hold no others are not visited."""
    trainer = entropy_trainer(replace(QUICK, burn_in_frames=burn_in))
    skips = {
        a: int(torch.as_tensor(trainer._skip(trainer._windows(a, a + 5))).max()) for a in trainer._visited
    }
    assert skips == {a: skipped if a == first else 0 for a in range(first, 20, 4)}
    assert trainer._sampler.n_windows == len(skips)


def test_a_burn_in_that_leaves_nothing_is_refused() -> None:
    with pytest.raises(
        UsageError, match=r"burn_in_frames = 20 leaves no window of 4 frames .* fewer than 20"
    ):
        entropy_trainer(replace(QUICK, burn_in_frames=20))
    asked: list[str] = []
    with pytest.raises(UsageError, match="burn_in_frames = 20"):
        subject().fit(
            replace(QUICK, burn_in_frames=20), Monitor(lambda label, done, total: asked.append(label))
        )
    assert not asked, "refused before the first step"


def test_a_validation_block_that_is_never_finite_ends_the_fit() -> None:
    s = subject()
    recording = replace(s.recording, sigma=s.recording.sigma.copy())
    recording.sigma[recording.rows(s.split.validation[0] + 3)] = np.nan
    with pytest.raises(ColloidlabError, match="no look of the fit at the validation block"):
        replace(s, recording=recording).fit(replace(QUICK, scoring_rounds=0))


def test_weights_stay_finite_when_a_step_fails() -> None:
    s = subject()
    recording = replace(s.recording, sigma=s.recording.sigma.copy())
    recording.sigma[recording.rows(12)] = np.nan
    windows = WindowSource(recording, s.guess.cutoff)
    options = replace(QUICK, batch_windows=2, isothermal_steps=60)
    trainer = IsothermalTrainer(windows, s.split, s.guess, options, ALONE)
    with pytest.raises(
        ColloidlabError, match=r"non-finite \w+ in frames \d+ to \d+ and \d+ to \d+;"
    ) as caught:
        trainer.train(Journal(SILENT, options))
    stretches = re.findall(r"(\d+) to (\d+)", str(caught.value))
    assert any(int(first) <= 12 <= int(last) for first, last in stretches)
    assert finite(trainer.filter)


# ---- batches -------------------------------------------------------------------------------------------------


def test_a_batch_is_worth_its_windows_one_by_one() -> None:
    """In a view with edges, where unseen neighbours are made up for by means over a stretch."""
    s = subject()
    windows, filter_ = WindowSource(s.recording, s.guess.cutoff), thermal_filter(s)
    parts = [windows(first, first + 7) for first in (6, 15)]
    assert all(not bool((w.complete | ~w.present).all()) for w in parts)
    both = Batch.from_data_list([WindowData.of(w) for w in parts]).window()
    before = [windows(0, 7), None]
    carried = [
        None if w is None else CarriedState.take(run_window(filter_, fresh_state(w), w)[0], w) for w in before
    ]
    skip = [0, 3]
    singles = [
        run_window(filter_, place_each([c], w), w, training=True, skip=n)
        for c, w, n in zip(carried, parts, skip, strict=True)
    ]
    state, total, count = run_window(
        filter_, place_each(carried, both), both, training=True, skip=torch.tensor(skip)[both.member]
    )
    assert count == sum(c for _, _, c in singles) > 0
    assert torch.allclose(total, sum(t for _, t, _ in singles), rtol=1e-12)
    parameters = [p for p in trained_parts(filter_).parameters() if p.requires_grad]
    joint = torch.autograd.grad(total, parameters)
    apart = torch.autograd.grad(sum(t for _, t, _ in singles), parameters)
    for g, h in zip(joint, apart, strict=True):
        assert torch.allclose(g, h, rtol=1e-9, atol=1e-9 * float(h.abs().max()))
    for end, (single, _, _), w in zip(CarriedState.take_each(state, both), singles, parts, strict=True):
        assert np.array_equal(end.slot, w.slot)
        for name, value in vars(single).items():
            assert torch.allclose(value.detach(), getattr(end.state, name), rtol=1e-11, atol=1e-13), name


# ---- precision and device ------------------------------------------------------------------------------------


def test_single_precision_gives_nearly_the_same_laws(whole: Fit) -> None:
    found = subject().fit(machine=Machine(dtype=torch.float32))
    for name, value in weights(found).items():
        assert value.dtype == torch.float64, name
        assert torch.allclose(value, weights(whole)[name], rtol=2e-3, atol=2e-3), name
    for a, b in zip(found.curves, whole.curves, strict=True):
        assert a.validation_loglik == pytest.approx(b.validation_loglik, abs=2e-3)


class _OnCpu(WindowSource):
    """Reads on the CPU whatever the default device is: arrays become tensors there."""

    def __call__(self, first: int, stop: int) -> Window:
        with torch.device("cpu"):
            return super().__call__(first, stop)


def test_nothing_is_made_on_the_default_device() -> None:
    """Where every tensor without a device of its own is an empty shell, one that was made in passing would show."""
    s = subject()
    windows, filter_ = _OnCpu(s.recording, s.guess.cutoff), thermal_filter(s)
    both = [WindowData.of(windows(first, first + 6)) for first in (0, 9)]
    window = Batch.from_data_list(both).window()
    with torch.device("meta"):
        assert torch.zeros(1).is_meta
        batch, end = BatchLoss(filter_, ALONE)(window, fresh_state(window))
        batch.loss.backward()
        ends = CarriedState.take_each(end, window)
        loss = BatchLoss(filter_, ALONE)(window, place_each(ends, window))[0].loss
        assert np.isfinite(follow(filter_, windows).loglik).all()
        found = estimate_uncertainty(filter_, windows, s.split, stretches=1, stretch_frames=5)
        assert bool(torch.isfinite(found.covariance).all())
        assert math.isfinite(block_likelihood(filter_, windows, s.split).validation)
    assert loss.device == torch.device("cpu") and math.isfinite(float(loss.detach()))
