"""Stage `track`: from a video (or a table of positions) to linked tracks and indicators."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from colloidlab import features, tracks
from colloidlab.config import Config, parse_frames, parse_roi
from colloidlab.errors import InputError, UsageError
from colloidlab.files import sha256
from colloidlab.indicators import IndicatorResult, compute
from colloidlab.progress import SILENT, Monitor
from colloidlab.run import Run, digest
from colloidlab.tables import read_positions
from colloidlab.units import Calibration
from colloidlab.video import Frame, Region, Video, open_video

TABLE_SUFFIXES = {".csv", ".txt", ".parquet"}

_ESTIMATION_FRAMES = 6
_LEAST_FRAMES = 2


@dataclass
class _Found:
    """What reading and locating gave, before linking."""

    frames: pd.DataFrame
    features: pd.DataFrame
    calibration: Calibration
    view: list[float]
    region: tuple[float, float, float, float]
    preview: tuple[int, np.ndarray] | None = None
    facts: dict[str, Any] = field(default_factory=dict)


def run_track(source: Path, run: Run, config: Config, monitor: Monitor = SILENT) -> dict[str, Any]:
    """Track a recording into a run folder.

    Nothing of an earlier result is touched before the new one is complete.

    Returns
    -------
    dict
        The summary's entries of this stage, and `skipped`.

    Raises
    ------
    InputError
        A source that is missing, unreadable, empty, a single frame, or without particles.
    """
    if not source.exists():
        raise InputError(f"{source} does not exist; check the path")
    content = sha256(source)
    key = digest({"source": content, **_options(config), "mask": _mask_hash(config)})
    if run.is_current("track", key):
        if run.is_current("indicators", indicators_key(run, config)):
            return run.stage_summary("track") | run.stage_summary("indicators") | {"skipped": True}
        result = _indicators(
            run.read_table("tracks"), run.calibration, config, run.facts("track")["region"], monitor
        )
        summary = run.stage_summary("track")
    else:
        is_table = source.is_file() and source.suffix.lower() in TABLE_SUFFIXES
        found = _read_table(source, config) if is_table else _locate(source, config, monitor)
        linked, search = _link(found, config, monitor)
        result = _indicators(linked, found.calibration, config, found.region, monitor)
        run.set_source(source, content, found.calibration, {"kind": "table" if is_table else "video"})
        summary = _summary(found, linked, search)
        with run.stage("track", key, config, _options(config)) as facts:
            facts.update(_facts(found, search, config), from_table=is_table)
            _write(run, found, linked)
            run.summarise("track", summary)
    with run.stage("indicators", indicators_key(run, config), config, config.indicators.model_dump()):
        run.write_table("indicators", result.table)
        run.write_table("curves", result.curves)
        run.summarise("indicators", result.summary)
    return summary | result.summary | {"skipped": False}


def indicators_key(run: Run, config: Config) -> str:
    """What the indicators depend on."""
    return digest({"tracks": run.output_hash("track"), "indicators": config.indicators.model_dump()})


def _options(config: Config) -> dict[str, Any]:
    return {name: getattr(config, name).model_dump(mode="json") for name in ("video", "track")}


def _facts(found: _Found, search: dict[str, Any], config: Config) -> dict[str, Any]:
    """What later stages and the report must know about the tracking."""
    facts = {**found.facts, "view": found.view, "region": list(found.region)}
    facts["search_range_reason"] = search.get("reason", "")
    if config.video.roi:
        facts["roi"] = config.video.roi
    if config.video.mask:
        facts["mask"] = str(config.video.mask)
    if found.preview is not None:
        facts["preview_frame"] = found.preview[0]
    return facts


def _indicators(
    linked: pd.DataFrame, calibration: Calibration, config: Config, region: Sequence[float], monitor: Monitor
) -> IndicatorResult:
    x0, y0, x1, y1 = region
    view = (math.ceil(x1), math.ceil(y1))
    return compute(
        linked, calibration, config.indicators, view=view, region=(x0, y0, x1, y1), monitor=monitor
    )


def _mask_hash(config: Config) -> str | None:
    mask = config.video.mask
    return sha256(mask) if mask is not None and mask.exists() else None


# ---- from a video ---------------------------------------------------------------------------------


def _locate(source: Path, config: Config, monitor: Monitor) -> _Found:
    with open_video(source) as video:
        first, stop = parse_frames(config.video.frames) if config.video.frames else (0, None)
        stop = video.n_frames if stop is None else min(stop, video.n_frames)
        if stop - first < _LEAST_FRAMES:
            raise InputError(
                f"{source} has {video.n_frames} frame(s), of which {max(stop - first, 0)} are selected; "
                "tracking needs at least two"
            )
        roi = parse_roi(config.video.roi) if config.video.roi else None
        region = Region.from_options(roi, config.video.mask, video.shape)
        parameters = _estimate(video, first, stop, region, config)
        log = _FrameLog(region)
        located = features.locate_frames(
            log.usable(video.frames(first, stop), monitor, stop - first), parameters, monitor=SILENT
        )
        tables = [table.assign(frame=index) for index, table in located]
        calibration = _calibration(video, config)
        nominal = video.nominal_fps
        height, width = video.shape
    frames = log.table(tables)
    if not tables or sum(map(len, tables)) == 0:
        raise InputError(
            f"no particle was found in {len(frames)} frames of {source} (diameter {parameters.diameter_px} px, "
            f"minmass {parameters.minmass:.4g}); give --diameter-px, --minmass or --polarity"
        )
    if (frames["status"] == "ok").sum() + (frames["status"] == "duplicate").sum() < _LEAST_FRAMES:
        raise InputError(
            f"fewer than two frames of {source} could be read; the file is damaged: try a backup"
        )
    found = pd.concat(tables, ignore_index=True)
    offset = np.array(log.offset, dtype=float)
    found["x"] += offset[0]
    found["y"] += offset[1]
    found = found[region.contains(found["x"].to_numpy(), found["y"].to_numpy())]
    reasons = dict(parameters.reasons)
    facts: dict[str, Any] = {"reasons": reasons, "parameters": _plain(parameters)}
    if calibration.fps is None and nominal:
        facts["proposed_fps"] = float(nominal)
    x0, y0, x1, y1 = region.roi
    return _Found(
        frames=frames,
        features=found.sort_values(["frame", "y", "x"], kind="stable").reset_index(drop=True),
        calibration=calibration,
        view=[0.0, 0.0, float(width), float(height)],
        region=(x0 - 0.5, y0 - 0.5, x1 - 0.5, y1 - 0.5),
        preview=log.preview,
        facts=facts,
    )


def _plain(parameters: features.LocateParameters) -> dict[str, Any]:
    return {
        "diameter_px": int(parameters.diameter_px),
        "minmass": float(parameters.minmass),
        "separation_px": float(parameters.separation_px),
        "polarity": "dark" if parameters.invert else "bright",
    }


def _estimate(
    video: Video, first: int, stop: int, region: Region, config: Config
) -> features.LocateParameters:
    images = []
    for index in np.unique(np.linspace(first, stop - 1, _ESTIMATION_FRAMES).astype(int)):
        frame = video.frame(int(index))
        if frame.image is not None:
            images.append(region.apply(frame.image)[0])
    if not images:
        raise InputError(
            f"none of the frames of {video.path} that were tried could be read; the file is damaged"
        )
    options = config.track
    return features.estimate(
        images,
        polarity=options.polarity,
        diameter_px=options.diameter_px,
        minmass=options.minmass,
        separation_px=options.separation_px,
    )


class _FrameLog:
    """Passes usable images on and keeps one row of statistics for every frame."""

    def __init__(self, region: Region) -> None:
        self.region = region
        self.offset = (0, 0)
        self.preview: tuple[int, np.ndarray] | None = None
        self._rows: list[dict[str, Any]] = []

    def usable(
        self, frames: Iterator[Frame], monitor: Monitor, total: int
    ) -> Iterator[tuple[int, np.ndarray]]:
        for done, frame in enumerate(frames):
            monitor.update("locate", done, total)
            row: dict[str, Any] = {"frame": frame.index, "t_s": frame.time_s, "status": frame.status}
            if frame.image is not None:
                top = np.iinfo(frame.image.dtype).max if frame.image.dtype.kind == "u" else frame.image.max()
                row |= {"mean": float(frame.image.mean()), "std": float(frame.image.std())}
                row["saturated"] = float((frame.image >= top).mean())
                if self.preview is None:
                    self.preview = (frame.index, frame.image.copy())
                image, self.offset = self.region.apply(frame.image)
                yield frame.index, image
            self._rows.append(row)
        monitor.update("locate", total, total)

    def table(self, located: list[pd.DataFrame]) -> pd.DataFrame:
        counts = {int(t["frame"].iloc[0]): len(t) for t in located if len(t)}
        table = pd.DataFrame(self._rows, columns=["frame", "t_s", "status", "mean", "std", "saturated"])
        table.insert(3, "n_features", [counts.get(f, 0) for f in table["frame"]])
        return table


def _calibration(video: Video, config: Config) -> Calibration:
    """Flag or configuration > the file's own metadata > none; a container's nominal rate is not trusted."""

    def choose(given: float | None, own: float | None) -> tuple[float | None, str]:
        if given is not None:
            return given, "option"
        return (own, "file") if own else (None, "none")

    scale, scale_source = choose(config.video.um_per_px, video.um_per_px)
    rate, rate_source = choose(config.video.fps, video.fps)
    return Calibration(scale, rate, scale_source, rate_source)


# ---- from a table ---------------------------------------------------------------------------------


def _read_table(source: Path, config: Config) -> _Found:
    if config.video.mask is not None:
        raise UsageError(f"{source} is a table, to which no mask applies; leave --mask out, or use --roi")
    table = read_positions(source)
    if config.video.frames:
        first, stop = parse_frames(config.video.frames)
        table = table[(table["frame"] >= first) & (table["frame"] < (stop if stop is not None else np.inf))]
    if config.video.roi:
        x0, y0, x1, y1 = parse_roi(config.video.roi)
        # Pixel k reaches from k - 0.5 to k + 0.5.
        inside_x = table["x"].between(x0 - 0.5, x1 - 0.5, inclusive="left")
        table = table[inside_x & table["y"].between(y0 - 0.5, y1 - 0.5, inclusive="left")]
    if table["frame"].nunique() < _LEAST_FRAMES:
        raise InputError(
            f"{source} holds positions of {table['frame'].nunique()} frame(s) in the selection; tracking needs two"
        )
    for column in ("sigma_x_px", "sigma_y_px"):
        if column not in table:
            table[column] = np.nan
    seen = table.groupby("frame").size()
    index = np.arange(table["frame"].min(), table["frame"].max() + 1)
    counts = seen.reindex(index, fill_value=0)
    frames = pd.DataFrame({"frame": index, "t_s": np.nan, "status": np.where(counts > 0, "ok", "missing")})
    frames["n_features"] = counts.to_numpy()
    around = _rectangle(table)
    sources = ["option" if v is not None else "none" for v in (config.video.um_per_px, config.video.fps)]
    return _Found(
        frames=frames,
        features=table.reset_index(drop=True),
        calibration=Calibration(config.video.um_per_px, config.video.fps, *sources),
        view=list(around),
        region=around,
        facts={"reasons": {"positions": f"read from the table {source.name}, not located"}},
    )


def _rectangle(table: pd.DataFrame) -> tuple[float, float, float, float]:
    """The smallest rectangle around all positions; a pixel wide where they all lie on one line."""
    points = table[["x", "y"]].to_numpy(dtype=float)
    low, high = points.min(axis=0), points.max(axis=0)
    half = np.where(low == high, 0.5, 0.0)
    (x0, y0), (x1, y1) = (low - half).tolist(), (high + half).tolist()
    return x0, y0, x1, y1


# ---- both -----------------------------------------------------------------------------------------


def _link(found: _Found, config: Config, monitor: Monitor) -> tuple[pd.DataFrame, dict[str, Any]]:
    if "particle" in found.features:
        linked = found.features
        search: dict[str, Any] = {"reason": "the table was linked already"}
    else:
        monitor.update("link", 0, 1)
        options = config.track
        if options.search_range_px is not None:
            search = {"search_range_px": options.search_range_px, "reason": "given by the user"}
        else:
            estimate = tracks.estimate_search_range(found.features, memory=options.memory)
            search = {"search_range_px": float(estimate.search_range_px), "reason": estimate.reason}
        linked = tracks.link(found.features, search["search_range_px"], memory=options.memory)
        monitor.update("link", 1, 1)
    if "radius_px" in linked:
        linked = tracks.robust_radius(linked)
    if config.track.min_track_length > 1:
        length = linked.groupby("particle")["frame"].transform("size")
        linked = linked[length >= config.track.min_track_length]
        if linked.empty:
            raise InputError(
                f"no track is as long as min_track_length = {config.track.min_track_length} frames; choose a smaller one"
            )
    return linked.sort_values(["frame", "particle"], kind="stable").reset_index(drop=True), search


def _write(run: Run, found: _Found, linked: pd.DataFrame) -> None:
    calibration = found.calibration
    run.write_table("frames", found.frames)
    unlinked = found.features.drop(columns=["particle"], errors="ignore")
    run.write_table("features", calibrated(unlinked, found.frames, calibration))
    run.write_table("tracks", calibrated(linked, found.frames, calibration))
    if found.preview is not None:
        _write_preview(run, found.preview[1])
    else:
        run.remove("preview.png")


def calibrated(table: pd.DataFrame, frames: pd.DataFrame, calibration: Calibration) -> pd.DataFrame:
    """Add t_s, x_um, y_um where they are known; time stamps win over frame / fps."""
    table = table.copy()
    stamps = frames.set_index("frame")["t_s"]
    if calibration.fps_source == "option" and calibration.fps is not None:
        table["t_s"] = table["frame"] / calibration.fps
    elif stamps.notna().all():
        table["t_s"] = table["frame"].map(stamps)
    elif calibration.fps is not None:
        table["t_s"] = table["frame"] / calibration.fps
    if calibration.um_per_px is not None:
        for axis in ("x", "y", "z"):
            if axis in table:
                table[f"{axis}_um"] = table[axis] * calibration.um_per_px
    return table


def _write_preview(run: Run, image: np.ndarray) -> None:
    import cv2

    low, high = np.percentile(image, [0.5, 99.8])
    grey = np.clip((image.astype(float) - low) / max(float(high - low), 1e-12) * 255, 0, 255).astype(np.uint8)
    ok, encoded = cv2.imencode(".png", grey)
    assert ok
    with run.writing("preview.png") as temporary:
        temporary.write_bytes(encoded.tobytes())


def _summary(found: _Found, linked: pd.DataFrame, search: dict[str, Any]) -> dict[str, Any]:
    status = found.frames["status"]
    summary: dict[str, Any] = {
        "n_frames": len(found.frames),
        "n_frames_damaged": int(status.isin(["damaged", "missing"]).sum()),
        "n_tracks": int(linked["particle"].nunique()),
        "n_features_per_frame": float(
            found.frames.loc[status.isin(["ok", "duplicate"]), "n_features"].mean()
        ),
        **found.facts.get("parameters", {}),
    }
    if "search_range_px" in search:
        summary["search_range_px"] = search["search_range_px"]
    if "sigma_x_px" in linked and linked["sigma_x_px"].notna().any():
        summary["sigma_px"] = float(np.nanmedian(linked[["sigma_x_px", "sigma_y_px"]].to_numpy()))
    return summary
