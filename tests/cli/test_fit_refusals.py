"""`fit` on a run of which nothing could judge it: refused in one sentence, which is kept, before any work."""

from __future__ import annotations

from pathlib import Path

import recordings
from commands import Command

from colloidlab.run import Run


def test_damaged_test_frames_are_refused_before_the_fit(command: Command, copy_of_run: Path) -> None:
    run = Run(copy_of_run)
    first, stop = run.facts("fit")["test"]
    frames = run.read_table("frames")
    frames.loc[frames["frame"].between(first, stop - 1), "status"] = "damaged"
    run.write_table("frames", frames)
    done = command("fit", copy_of_run, *recordings.QUICK_FIT, "--fit-seed", "7")
    assert done.code == 4 and not done.out
    assert f"in frames {first} to {stop - 1}, which were to test the fit" in done.err
    again = Run(copy_of_run)
    assert again.facts("fit")["refused"] in done.err
    assert not again.has("model") and not again.has("likelihood.parquet")
