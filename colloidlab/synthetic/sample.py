"""Sample videos by name: a video, the truth behind it, and the numbers that made it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

import colloidlab
from colloidlab.errors import UsageError
from colloidlab.files import atomic_path, sha256
from colloidlab.progress import SILENT, Monitor
from colloidlab.tables import write_parquet
from colloidlab.units import Calibration


@dataclass(frozen=True)
class Sample:
    """A filmed simulation.

    Parameters
    ----------
    name : str
    frames : iterable of uint8 arrays, shape (height, width)
        In order; may be read once only.
    fps : float
        Nominal frame rate of the container, 1/s.
    truth : DataFrame
        One row a frame and particle in view: at least frame, particle, x, y, radius_px.
    parameters : dict
        Everything that was put in, as JSON values; `um_per_px` where there is a scale.
    crf : int
        Quality of the H.264 video, smaller is better; small files cost localisation error.
    """

    name: str
    frames: Iterable[NDArray[np.uint8]]
    fps: float
    truth: pd.DataFrame
    parameters: dict[str, Any]
    crf: int = 20


def _brownian(monitor: Monitor) -> Sample:
    from colloidlab.synthetic.brownian import make_sample

    return make_sample(monitor)


def _sheared_monolayer(monitor: Monitor) -> Sample:
    from colloidlab.synthetic.sheared_monolayer import make_sample

    return make_sample(monitor)


SAMPLES: dict[str, Callable[[Monitor], Sample]] = {
    "brownian": _brownian,
    "sheared_monolayer": _sheared_monolayer,
}
"""What makes each sample; each imports its simulation only when it is called."""


def write_sample(name: str, folder: Path, *, monitor: Monitor = SILENT) -> list[Path]:
    """Make one sample and write `name`.mp4, `name`_truth.parquet and `name`.json.

    Raises
    ------
    UsageError
        There is no such sample, or `folder` is a file.
    Cancelled
        The user stopped; files that are there are whole.
    """
    if name not in SAMPLES:
        raise UsageError(f"there is no sample {name!r}; the samples are {', '.join(SAMPLES)}")
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"{folder} is a file; give a folder for the sample with -o")
    return save(SAMPLES[name](monitor), folder)


def save(sample: Sample, folder: Path) -> list[Path]:
    """Write a sample; the JSON with the hashes of the other two comes last, so that it stands for all three.

    The truth is kept in single precision (3e-5 px in a view of 512 px), which halves its size and is
    hundreds of times finer than any localisation.
    """
    from colloidlab.video.write import write_mp4

    video, truth, record = (folder / f"{sample.name}{end}" for end in (".mp4", "_truth.parquet", ".json"))
    folder.mkdir(parents=True, exist_ok=True)
    write_mp4(video, sample.frames, sample.fps, crf=sample.crf)
    calibration = Calibration(sample.parameters.get("um_per_px"), sample.fps, "file", "file")
    provenance = {"colloidlab": colloidlab.__version__, "sample": sample.name}
    table = sample.truth.astype({c: "float32" for c in sample.truth.select_dtypes("float64")})
    with atomic_path(truth) as temporary:
        write_parquet(temporary, table, calibration=calibration, provenance=provenance)
    content = {
        **provenance,
        "command": f"colloidlab sample {sample.name} -o FOLDER",
        "parameters": sample.parameters,
        "sha256": {video.name: sha256(video), truth.name: sha256(truth)},
    }
    with atomic_path(record) as temporary:
        temporary.write_text(json.dumps(content, indent=2, default=float) + "\n", encoding="utf-8")
    return [video, truth, record]
