"""What a fit knows before it begins: nothing of how particles move in the frames that judge it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from small_gas import CUTOFF, record, simulate, thermal_gas, watch

from colloidlab.config import Config
from colloidlab.dataset.recording import Recording
from colloidlab.dataset.split import first_test_frame, split_by_time
from colloidlab.model.distributed import ALONE
from colloidlab.pipeline import subject
from colloidlab.pipeline.training import with_options
from colloidlab.run import Run

N_FRAMES = 50


@pytest.mark.parametrize(("given", "solid"), [(CUTOFF, False), (None, False), (CUTOFF, True)])
def test_cutoff_verdict_and_guess_do_not_know_the_test_block(
    given: float | None, solid: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    motion = simulate(thermal_gas(), n=100, n_frames=N_FRAMES, seed=71)
    config = with_options(Config(), cutoff_px=given, solid=solid)
    blocks = config.fit.train_fraction, config.fit.validation_fraction
    test = first_test_frame(0, N_FRAMES, *blocks)
    assert test == split_by_time(0, N_FRAMES, *blocks).test[0]
    tracks = watch(motion, 0.05)
    # Time runs backwards in the test block, and jumps into it.
    frame = tracks["frame"].to_numpy()
    backwards = tracks.assign(frame=np.where(frame >= test, N_FRAMES - 1 + test - frame, frame))
    backwards.loc[backwards["frame"] >= test, "x"] *= 0.9

    def read(recording: Recording) -> subject.Subject:
        monkeypatch.setattr(subject, "load_recording", lambda run, config: recording)
        return subject.read_subject(Run(tmp_path), config, "key", ALONE)

    one, two = (read(record(table, motion.box)) for table in (tracks, backwards))
    assert one.recording.stop == N_FRAMES
    assert (one.guess, one.regime, one.cutoff_reason) == (two.guess, two.regime, two.cutoff_reason)
    assert one.lindemann == two.lindemann and (one.lindemann is not None) == solid
    if solid:
        states = [found.recording.reference for found in (one, two)]
        assert states[0] is not None and states[1] is not None
        assert torch.equal(states[0].offset, states[1].offset)


def test_the_frames_before_one_are_those_of_the_recording() -> None:
    motion = simulate(thermal_gas(), n=30, n_frames=12, seed=3)
    whole = record(watch(motion, 0.05), motion.box)
    known = whole.until(7)
    assert (known.first, known.stop) == (0, 7)
    for frame in range(7):
        mine, rows = known.rows(frame), whole.rows(frame)
        assert np.array_equal(known.position[mine], whole.position[rows])
        assert np.array_equal(known.particle[mine], whole.particle[rows])
    assert len(known.position) == whole.rows(6).stop
