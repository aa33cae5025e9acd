"""Indicators beside what is known: crystals in which nothing or something happens, free walks, and the sample's events."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.spatial import cKDTree

from colloidlab.benchmarks.rows import Row, at_least, at_most, between
from colloidlab.benchmarks.sample import read_sample_folder, require_the_video
from colloidlab.indicators.diffusivity import diffusion
from colloidlab.indicators.hop import FALSE_POSITIVE_RATE, hop_table
from colloidlab.indicators.nonaffine import d2min_table
from colloidlab.indicators.scene import observed_region
from colloidlab.indicators.t1_events import PERSISTENCE_FRAMES, match_events, t1_events
from colloidlab.indicators.triangulation import Region
from colloidlab.progress import SILENT, Monitor
from colloidlab.run import Run
from colloidlab.synthetic.crystal import as_tracks, noisy_crystal, walk
from colloidlab.synthetic.exchanges import Exchanges, exchanging_crystal
from colloidlab.tables import read_parquet

_CRYSTAL = {"n_frames": 120, "n": 900, "spacing": 10.0, "sigma": 0.06}
_CUTOFF_PX = 14.0
_VIDEOS, _FRAMES, _PARTICLES = 200, 100, 50
_D, _SIGMA = 0.5, 0.3
"""px²/frame and px: the localisation error is a good part of a step."""


def crystal_rows(seed: int, monitor: Monitor = SILENT) -> Iterable[Row]:
    """Share of particles and frames that localisation errors alone flag, over the stated share."""
    tracks = noisy_crystal(np.random.default_rng(seed), **_CRYSTAL)  # type: ignore[arg-type]
    found = d2min_table(tracks, lag_frames=1, cutoff_px=_CUTOFF_PX, monitor=monitor)
    known = found["d2min_error_px2"].notna()
    ratio = float(found["rearranged"][known].mean()) / FALSE_POSITIVE_RATE
    yield between("rigid crystal: D2min flags over the stated rate", ratio, 0.7, 1.3)
    noise = float((found["d2min_px2"] / found["d2min_noise_px2"])[known].mean())
    yield between("rigid crystal: D2min over what noise is said to make", noise, 0.98, 1.02)
    hops = hop_table(tracks, half_width_frames=5, cutoff_px=_CUTOFF_PX, monitor=monitor)
    known = hops["hop_error_px2"].notna()
    ratio = float(hops["hopped"][known].mean()) / FALSE_POSITIVE_RATE
    # A flag is a peak among its neighbours in time besides, so that there are fewer.
    yield between("rigid crystal: p_hop flags over the stated rate", ratio, 0.0, 1.3)
    events = t1_events(tracks, monitor=monitor)
    yield at_most("rigid crystal: T1 events", len(events), 0)


def diffusion_rows(seed: int, monitor: Monitor = SILENT) -> Iterable[Row]:
    """Share of simulated videos in which the truth lies within two standard errors of the estimate."""
    rng = np.random.default_rng(seed)
    inside = np.zeros((_VIDEOS, 2), dtype=bool)
    for k in monitor.track(range(_VIDEOS), "free diffusion", _VIDEOS):
        positions, _ = walk(rng, n_frames=_FRAMES, n=_PARTICLES, step=float(np.sqrt(2 * _D)))
        found = diffusion(as_tracks(positions + rng.normal(0, _SIGMA, positions.shape)))
        inside[k] = (
            abs(found.d_px2_per_frame - _D) <= 1.96 * found.d_error,
            abs(found.sigma_px - _SIGMA) <= 1.96 * found.sigma_error,
        )
    for name, share in zip(("D", "sigma"), inside.mean(axis=0)):
        yield at_least(f"free diffusion: {name} within its error bar (95 %)", float(share), 0.9)


def exchange_rows(seed: int, monitor: Monitor = SILENT) -> Iterable[Row]:
    """T1 events of a crystal in which four particles at a time were told to exchange neighbours, beside what they were told.

    The truth is the construction of the movie, and no triangulation has a part in it.
    """
    movie = Exchanges()
    tracks, told = exchanging_crystal(np.random.default_rng(seed), movie)
    found = t1_events(tracks, monitor=monitor)
    matches = len(
        match_events(
            found,
            told,
            tolerance_frames=float(PERSISTENCE_FRAMES),
            distance_px=movie.spacing,
            names=pd.Series(np.arange(tracks["particle"].max() + 1)),
        )
    )
    yield Row("constructed movie: neighbour exchanges that last", len(told))
    yield at_least(
        "constructed movie: recall of T1 events, the same four particles", matches / len(told), 0.95
    )
    precision = matches / max(len(found), 1)
    yield at_least("constructed movie: precision of T1 events, the same four particles", precision, 0.95)


def event_rows(
    tracks: pd.DataFrame, truth: pd.DataFrame, region: Region, monitor: Monitor = SILENT
) -> Iterable[Row]:
    """T1 events of tracked positions beside those of the true ones that can be known in the same view.

    Parameters
    ----------
    tracks, truth : DataFrame
        frame, particle, x, y; of the same recording.
    region : (x0, y0, x1, y1)
        Where centres are found, px.
    """
    found, true = (t1_events(table, region=region, monitor=monitor) for table in (tracks, truth))
    near = {"tolerance_frames": float(PERSISTENCE_FRAMES), "distance_px": _spacing(truth)}
    yield Row("sample: T1 events of the true positions", len(true))
    for kind, names in (("", None), (", the same four particles", _true_names(tracks, truth))):
        matches = len(match_events(found, true, **near, names=names))
        yield at_least(f"sample: recall of T1 events{kind}", matches / max(len(true), 1), 0.95)
        yield at_least(f"sample: precision of T1 events{kind}", matches / max(len(found), 1), 0.95)


def sample_rows(run: Path, truth: Path, monitor: Monitor = SILENT) -> Iterable[Row]:
    """`event_rows` of a run of the sample, and the truth beside its video.

    Raises
    ------
    InputError
        The run has no tracks, is of another video, or the truth is not there.
    """
    folder = Run(run)
    folder.require("track")
    require_the_video(folder, read_sample_folder(truth) / "sheared_monolayer.mp4")
    tracks = folder.read_table("tracks")
    x0, y0, x1, y1 = folder.facts("track")["region"]
    known = read_parquet(truth / "sheared_monolayer_truth.parquet")
    yield from event_rows(tracks, known, observed_region(tracks, (x0, y0, x1, y1)), monitor)


def _spacing(truth: pd.DataFrame) -> float:
    area = np.ptp(truth["x"]) * np.ptp(truth["y"])
    return float(np.sqrt(area / (len(truth) / truth["frame"].nunique())))


def _true_names(tracks: pd.DataFrame, truth: pd.DataFrame) -> pd.Series:
    """The true particle that each track has been nearest to most often; a track is its index."""
    nearest = []
    by_frame = dict(tuple(truth.groupby("frame")))
    for frame, found in tracks.groupby("frame"):
        real = by_frame[frame]
        _, index = cKDTree(real[["x", "y"]].to_numpy()).query(found[["x", "y"]].to_numpy())
        nearest.append(
            pd.DataFrame(
                {"particle": found["particle"].to_numpy(), "true": real["particle"].to_numpy()[index]}
            )
        )
    counts = pd.concat(nearest).value_counts().reset_index()
    return counts.drop_duplicates("particle").set_index("particle")["true"]
