"""Stage `track`: from a video (or a table of positions) to linked tracks and indicators."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from colloidlab import tracks
from colloidlab.claim import alone
from colloidlab.config import Config
from colloidlab.errors import ColloidlabError, InputError, UsageError
from colloidlab.files import sha256
from colloidlab.pipeline.checkpoint import Checkpoint
from colloidlab.pipeline.found import Found
from colloidlab.pipeline.indicators import measure, run_indicators, write_indicators
from colloidlab.pipeline.locating import locate_video
from colloidlab.pipeline.positions_table import read_table
from colloidlab.progress import SILENT, Monitor
from colloidlab.run import Run, digest
from colloidlab.tables import TABLE_SUFFIXES
from colloidlab.units import Calibration
from colloidlab.video.grey_levels import grey_limits

_IMAGE_OPTIONS = ("mask", "background_image", "flat_field")
"""Options that name images: what counts is their content."""
_WITHOUT_EFFECT = {"threads"}
"""Options that change no result."""
_ONLY_LINKING = {"search_range_px", "memory", "prediction", "min_track_length"}


@alone
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
    UsageError
        The folder holds the results of another recording.
    """
    if not source.exists():
        raise InputError(f"{source} does not exist; check the path")
    content = sha256(source)
    if content != run.record["source"].get("sha256") and (why := other_recording(source, run.path)):
        raise UsageError(why)
    images = {name: _hash(getattr(config.video, name)) for name in _IMAGE_OPTIONS}
    key = digest({"source": content, **_options(config), "images": images})
    if run.is_current("track", key):
        skipped = run_indicators(run, config, monitor)["skipped"]
        return run.stage_summary("track") | run.stage_summary("indicators") | {"skipped": skipped}
    is_table = source.is_file() and source.suffix.lower() in TABLE_SUFFIXES
    # A table leaves the parts of an interrupted video alone until its own tracks take their place.
    part_key = digest({"source": content, **_locating(config), "images": images})
    checkpoint = None if is_table else Checkpoint(run.path, part_key)
    if checkpoint is None:
        found = read_table(source, config)
    else:
        found = locate_video(source, config, checkpoint, monitor)
    linked, search = _link(found, config, monitor)
    result = measure(linked, found.calibration, config, found.region, monitor)
    run.set_source(source, content, found.calibration, {"kind": "table" if is_table else "video"})
    summary = _summary(found, linked, search)
    with run.stage("track", key, config, _options(config)) as facts:
        facts.update(_facts(found, search, config), from_table=is_table)
        _write(run, found, linked)
        run.summarise("track", summary)
    if checkpoint is not None:
        checkpoint.remove()
    write_indicators(run, config, result)
    return summary | run.stage_summary("indicators") | {"skipped": False}


def other_recording(source: Path, folder: Path) -> str:
    """Why a recording must not be tracked into a run folder, which would lose what another one gave; empty if it may.

    A recording that has moved keeps its name, and is no longer where it was.
    """
    try:
        written = Path(Run(folder).record["source"].get("path", ""))
        stays = written.is_absolute() and written.exists() and source.exists()
        same = written.samefile(source) if stays else written.name == source.name
    except (ColloidlabError, OSError):
        return ""
    if same or not written.name:
        return ""
    return f"{folder} holds the results of {written}, which would be lost; choose another run folder for this recording"


def _options(config: Config) -> dict[str, Any]:
    """What the tracks depend on."""
    track = config.track.model_dump(mode="json", exclude=_WITHOUT_EFFECT)
    return {"video": config.video.model_dump(mode="json"), "track": track}


def _locating(config: Config) -> dict[str, Any]:
    """What the features depend on, without what only linking obeys."""
    options = _options(config)
    return options | {"track": {k: v for k, v in options["track"].items() if k not in _ONLY_LINKING}}


def _facts(found: Found, search: dict[str, Any], config: Config) -> dict[str, Any]:
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


def _hash(path: Path | None) -> str | None:
    return sha256(path) if path is not None and path.exists() else None


def _link(found: Found, config: Config, monitor: Monitor) -> tuple[pd.DataFrame, dict[str, Any]]:
    if "particle" in found.features:
        linked = found.features
        search: dict[str, Any] = {"reason": "the table was linked already"}
    else:
        options = config.track
        linked, choice = tracks.link_automatically(
            found.features,
            search_range_px=options.search_range_px,
            memory=options.memory,
            prediction=options.prediction,
            monitor=monitor,
        )
        search = {
            "search_range_px": choice.search_range_px,
            "prediction": choice.prediction,
            "wrong_links_expected": choice.wrong_links if np.isfinite(choice.wrong_links) else None,
            "reason": choice.reason,
        }
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


def _write(run: Run, found: Found, linked: pd.DataFrame) -> None:
    calibration = found.calibration
    run.write_table("frames", found.frames)
    unlinked = found.features.drop(columns=["particle"], errors="ignore")
    run.write_table("features", calibrated(unlinked, found.frames, calibration))
    run.write_table("tracks", calibrated(linked, found.frames, calibration))
    run.write_table("quality", tracks.track_quality(linked))
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

    low, high = grey_limits(image)
    grey = np.clip((image.astype(float) - low) / (high - low) * 255, 0, 255).astype(np.uint8)
    ok, encoded = cv2.imencode(".png", grey)
    assert ok
    with run.writing("preview.png") as temporary:
        temporary.write_bytes(encoded.tobytes())


def _summary(found: Found, linked: pd.DataFrame, search: dict[str, Any]) -> dict[str, Any]:
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
    for name in ("search_range_px", "prediction", "wrong_links_expected"):
        if search.get(name) is not None:
            summary[name] = search[name]
    if "sigma_x_px" in linked and linked["sigma_x_px"].notna().any():
        summary["sigma_px"] = float(np.nanmedian(linked[["sigma_x_px", "sigma_y_px"]].to_numpy()))
    return summary
