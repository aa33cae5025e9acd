"""The recording of a run as an array for napari."""

from __future__ import annotations

from colloidlab.report import source
from colloidlab.run import Run
from napari_plugin.recording import Recording


def open_source(run: Run) -> tuple[Recording | None, str]:
    """The recording of a run as `colloidlab.report.source.open_source` finds it, and what there is to say about it."""
    video, note = source.open_source(run)
    return (None if video is None else Recording(video)), note
