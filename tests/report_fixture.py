"""Run folders with invented but plausible results, for tests of what reads a run folder.

A sheared triangular layer with one hot spot, its tables written through `Run.write_table` as the
stages would, so that the report can be tested without running any of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import zarr
from PIL import Image

from colloidlab.config import Config
from colloidlab.run import Run
from colloidlab.tracks import track_quality
from colloidlab.units import Calibration

SPACING_PX = 16.0
REFUSAL = (
    "velocities forget themselves within a frame (correlation of successive displacements -0.02 ± 0.03), "
    "so there is no inertia to fit; record at a higher frame rate."
)
CALIBRATED = Calibration(um_per_px=0.2, fps=50.0, um_per_px_source="option", fps_source="file")


@dataclass(frozen=True)
class Layer:
    """What to invent."""

    n_side: int = 12
    n_frames: int = 30
    identified: bool = True
    entropy: str = "filter"
    calibration: Calibration = CALIBRATED
    source: str = "videos/sheared layer.mp4"
    seed: int = 0

    @property
    def size_px(self) -> int:
        return int((self.n_side + 1) * SPACING_PX)

    @property
    def test_block(self) -> tuple[int, int]:
        return int(0.8 * self.n_frames), self.n_frames


def make_run(folder: Path, upto: str = "simulate", layer: Layer = Layer(), *, refused: bool = False) -> Run:
    """Write a run folder up to and with stage `upto`: "track", "fit" or "simulate"."""
    run = Run(folder)
    rng = np.random.default_rng(layer.seed)
    run.set_source(Path(layer.source), "5e" * 32, layer.calibration, {"n_frames": layer.n_frames})
    tracks = _tracks(layer, rng)
    _track(run, layer, tracks, rng)
    if refused:
        _record(run, "fit", {"refused": REFUSAL})
        run.summarise("fit", {"regime": "overdamped", "regime_reason": REFUSAL})
        return run
    if upto in {"fit", "simulate"}:
        _fit(run, layer, tracks, rng)
    if upto == "simulate":
        _simulate(run, layer, tracks, rng)
    return run


def _record(run: Run, stage: str, facts: dict) -> None:
    with run.stage(stage, "key", Config(), {}) as written:
        written.update(facts)


def _tracks(layer: Layer, rng: np.random.Generator) -> pd.DataFrame:
    column, row = np.meshgrid(np.arange(layer.n_side), np.arange(layer.n_side))
    home = (
        np.stack([(column + 0.5 * (row % 2) + 0.5).ravel(), (0.87 * row + 1.0).ravel()], axis=1) * SPACING_PX
    )
    radius = np.where(rng.random(len(home)) < 0.5, 6.0, 7.5)
    frames = np.arange(layer.n_frames)
    shear = (
        0.5
        * SPACING_PX
        * np.sin(2 * np.pi * frames / layer.n_frames)[:, None]
        * (home[:, 1] / layer.size_px - 0.5)
    )
    wander = np.cumsum(rng.normal(0, 0.15, (layer.n_frames, len(home), 2)), axis=0)
    places = home + wander
    places[:, :, 0] += shear
    table = pd.DataFrame(
        {
            "x": places[:, :, 0].ravel(),
            "y": places[:, :, 1].ravel(),
            "frame": np.repeat(frames, len(home)),
            "particle": np.tile(np.arange(len(home)), layer.n_frames),
            "radius_px": np.tile(radius, layer.n_frames),
        }
    )
    table["mass"] = 400 * table["radius_px"] * rng.lognormal(0, 0.1, len(table))
    table["size"] = 0.4 * table["radius_px"] + rng.normal(0, 0.05, len(table))
    for column_name in ("ecc", "signal", "raw_mass", "ep", "sigma_x_px", "sigma_y_px"):
        table[column_name] = 0.05
    return table


def _track(run: Run, layer: Layer, tracks: pd.DataFrame, rng: np.random.Generator) -> None:
    status = np.full(layer.n_frames, "ok", dtype=object)
    status[[layer.n_frames // 3, layer.n_frames // 2]] = "damaged", "missing"
    counts = tracks.groupby("frame").size().to_numpy()
    frames = pd.DataFrame(
        {"frame": np.arange(layer.n_frames), "status": status.astype(str), "n_features": counts}
    )
    run.write_table("frames", frames.assign(mean=60.0, std=20.0, saturated=0.0))
    run.write_table("features", tracks.drop(columns="particle"))
    run.write_table("tracks", tracks)
    run.write_table("quality", track_quality(tracks))
    with run.writing("preview.png") as path:
        _draw(layer, tracks[tracks["frame"] == 0], rng).save(path, format="PNG")
    reasons = {
        "diameter_px": "The scale of the strongest blobs is 13 px.",
        "polarity": "Bright blobs answer 4 times stronger.",
    }
    _record(run, "track", {"reasons": reasons, "preview_frame": 0})
    run.write_table("indicators", _indicators(layer, tracks, rng))
    curves = [_curves(layer), *_more_curves(layer)]
    run.write_table("curves", pd.concat(curves, ignore_index=True).drop(columns="series"))
    for name, table in _events_and_flow(layer, tracks).items():
        run.write_table(name, table)
    _record(run, "indicators", {})
    pair = ("um", "s") if layer.calibration.um_per_px else ("px", "frame")
    run.summarise(
        "track",
        {
            "n_frames": layer.n_frames,
            "n_frames_damaged": 2,
            "n_tracks": layer.n_side**2 + 7,
            "n_features_per_frame": layer.n_side**2,
            "diameter_px": 13,
            "minmass": 1500.0,
            "polarity": "bright",
            "search_range_px": 2.5,
            "sigma_px": 0.06,
            "diffusion_free": True,
            "localisation_error_px": 0.058,
            f"diffusion_{pair[0]}2_per_{pair[1]}": 0.4123,
            f"diffusion_{pair[0]}2_per_{pair[1]}_error": 0.0142,
            "d2min_lag_frames": 5,
            "regime": "inertial",
            "regime_reason": "Successive displacements are correlated, 0.61 ± 0.02.",
        },
    )


def _draw(layer: Layer, table: pd.DataFrame, rng: np.random.Generator) -> Image.Image:
    rows, columns = np.mgrid[: layer.size_px, : layer.size_px]
    image = rng.normal(30, 5, rows.shape)
    for x, y, radius in table[["x", "y", "radius_px"]].to_numpy():
        x0, y0, reach = round(x), round(y), 10
        part = np.s_[max(0, y0 - reach) : y0 + reach, max(0, x0 - reach) : x0 + reach]
        distance = np.hypot(columns[part] - x, rows[part] - y)
        image[part] += 150 * np.exp(-0.5 * (distance / (0.35 * radius)) ** 2)
    return Image.fromarray(np.clip(image, 0, 255).astype(np.uint8))


def _hot(layer: Layer, table: pd.DataFrame) -> np.ndarray:
    """A smooth hot spot that brightens with time."""
    x, y = table["x"].to_numpy() / layer.size_px, table["y"].to_numpy() / layer.size_px
    return np.exp(-((x - 0.6) ** 2 + (y - 0.4) ** 2) / 0.05) * (
        0.4 + table["frame"].to_numpy() / layer.n_frames
    )


def _indicators(layer: Layer, tracks: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    later = tracks[tracks["frame"] >= 5]
    n = len(later)
    table = later[["frame", "particle"]].copy()
    table["d2min_px2"] = 0.5 * rng.lognormal(0, 0.8, n) * (1 + 6 * _hot(layer, later))
    table["strain_xx"] = rng.normal(0, 0.02, n)
    table["strain_xy"] = 0.06 * np.cos(2 * np.pi * later["frame"] / layer.n_frames) + rng.normal(0, 0.02, n)
    table["strain_yy"] = rng.normal(0, 0.02, n)
    table["n_neighbours"] = 6
    table["psi6"] = np.clip(0.9 - 0.5 * _hot(layer, later) + rng.normal(0, 0.1, n), 0, 1)
    table["psi6_angle_rad"] = rng.uniform(-0.5, 0.5, n)
    table["hop_px2"] = rng.lognormal(0, 1, n)
    table["hop_error_px2"] = 0.2
    table["hopped"] = table["hop_px2"] > 8
    edge = (later["x"] < SPACING_PX).to_numpy()
    table.loc[edge, ["d2min_px2", "psi6"]] = np.nan
    return table


def _curve(
    quantity: str, series: str, x: np.ndarray, y: np.ndarray, x_unit: str, y_unit: str
) -> pd.DataFrame:
    width = 0.06 * np.abs(y) * np.linspace(0.3, 1, len(x)) + 0.002 * np.max(np.abs(y))
    columns = {
        "quantity": quantity,
        "series": series,
        "x": x,
        "y": y,
        "y_low": y - width,
        "y_high": y + width,
    }
    return pd.DataFrame({**columns, "x_unit": x_unit, "y_unit": y_unit})


def _more_curves(layer: Layer) -> list[pd.DataFrame]:
    """What only the indicators have, not the comparison with rollouts."""
    calibration = layer.calibration
    lag = np.arange(1, max(4, layer.n_frames // 3))
    time, unit = lag * calibration.time_per_frame, calibration.unit(0, 1)
    q = np.linspace(0.1, 3, 60) / SPACING_PX
    dx = np.linspace(-4, 4, 41)
    bell = np.exp(-(dx**2) / 2) / 2.5
    length, per_length = calibration.unit(1), calibration.unit(-1)
    return [
        _curve("s_q", "", q, 1 + np.sin(q * SPACING_PX), per_length, "1"),
        _curve("alpha2", "", time, 0.1 * lag, unit, "1"),
        _curve("f_s", "", time, np.exp(-lag / 9), unit, "1"),
        _curve("overlap", "", time, np.exp(-lag / 7), unit, "1"),
        _curve("chi4", "", time, lag * np.exp(-lag / 7), unit, "1"),
        _curve("van_hove_1", "", dx, bell, length, per_length),
        _curve("van_hove_1_gaussian", "", dx, bell, length, per_length),
        _curve("van_hove_distinct_1", "", dx[dx > 0], 1 - bell[dx > 0], length, "1"),
        _curve("t1_rate", "", time, 0.01 + 0 * lag, unit, calibration.unit(0, -1)),
    ]


def _events_and_flow(layer: Layer, tracks: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Exchanges of neighbours among the first particles, a shear flow on a grid, and the drive behind it."""
    first = tracks[tracks["frame"] == 1].head(12).reset_index(drop=True)
    four = first["particle"].to_numpy()[:4]
    events = first.loc[:3, ["x", "y"]].assign(frame=[1, 1, 2, 3], persistence_frames=10)
    for name, particle in zip("abcd", four, strict=True):
        events[f"particle_{name}"] = particle
    x, y = (part.ravel() for part in np.meshgrid(*[np.linspace(0, layer.size_px, 6)] * 2))
    flow = pd.DataFrame({"frame": 0, "x": x, "y": y, "vx_px": 0.01 * y, "vy_px": 0.0})
    flow = flow.assign(shear_rate_per_frame=0.01 + 1e-5 * x, vx_error_px=0.001)
    frame = np.arange(layer.n_frames)
    drive = pd.DataFrame({"frame": frame, "shear_strain": 0.05 * np.sin(frame / 3)})
    return {"events": events, "flow": flow, "drive": drive}


def _curves(layer: Layer, series: str = "experiment", scale: float = 1.0) -> pd.DataFrame:
    calibration = layer.calibration
    length, time = calibration.length_per_px, calibration.time_per_frame
    r = np.linspace(0.2, 5, 120) * SPACING_PX
    shells = sum(np.exp(-((r - k * SPACING_PX) ** 2) / (2 * (1.5 + k) ** 2)) / k for k in range(1, 6))
    g = np.where(r > 0.75 * SPACING_PX, 0.6 + 2 * shells, 0.0)
    lag = np.arange(1, max(4, layer.n_frames // 3))
    msd = scale * 0.9 * (lag - 5 * (1 - np.exp(-lag / 5))) + 0.02
    vacf = scale * 0.18 * np.exp(-lag / 5)
    return pd.concat(
        [
            _curve("g_r", series, r * length, 1 + (g - 1) * scale, calibration.unit(1), "1"),
            _curve(
                "msd",
                series,
                lag * time,
                msd * calibration.factor(2),
                calibration.unit(0, 1),
                calibration.unit(2),
            ),
            _curve(
                "vacf",
                series,
                lag * time,
                vacf * calibration.factor(2, -2),
                calibration.unit(0, 1),
                calibration.unit(2, -2),
            ),
        ],
        ignore_index=True,
    )


def _fit(run: Run, layer: Layer, tracks: pd.DataFrame, rng: np.random.Generator) -> None:
    (run.path / "model").mkdir(exist_ok=True)
    run.write_text("model/model.json", '{"sigma_px": 0.05}')
    steps = np.arange(0, 100, 5)
    phases = []
    alone = layer.entropy == "isothermal"
    for phase, level in (("isothermal", -0.40), (layer.entropy, -0.36))[: 1 if alone else 2]:
        rise = level - 0.2 * np.exp(-steps / 20)
        values = {
            "step": steps,
            "seconds": steps * 0.5,
            "train_loglik": rise,
            "validation_loglik": rise - 0.01,
        }
        phases.append(pd.DataFrame({"phase": phase, **values}))
    run.write_table("training", pd.concat(phases, ignore_index=True))
    run.write_table("state", _state(layer, tracks, rng))
    gain = 0.036 if layer.identified else 0.001
    names = ["constant_velocity", "diffusion", "isothermal", layer.entropy]
    loglik = np.array([-0.81, -0.62, -0.40, -0.40 + gain])
    table = pd.DataFrame({"model": names, "loglik": loglik, "low": loglik - 0.02, "high": loglik + 0.02})
    table["gain"] = loglik - loglik[2]
    table["gain_low"], table["gain_high"] = table["gain"] - 0.03, table["gain"] + 0.03
    table.loc[2, ["gain_low", "gain_high"]] = 0.0
    table.loc[3, ["gain_low", "gain_high"]] = gain - 0.01, gain + 0.01
    if alone:
        table = table[:3]
    run.write_table("likelihood", table)
    run.write_table("functions", _functions(layer.calibration))
    cutoff = {"cutoff_px": 2.5 * SPACING_PX, "cutoff_reason": "two shells of g(r)"}
    first, stop = layer.test_block
    train = int(0.6 * layer.n_frames)
    blocks = {"train": [0, train], "validation": [train, first], "test": [first, stop]}
    _record(run, "fit", {**blocks, **cutoff, "entropy": layer.entropy})
    gains = {"entropy_gain": gain, "entropy_gain_low": gain - 0.01, "entropy_gain_high": gain + 0.01}
    logliks = {f"loglik_{name}": float(value) for name, value in zip(names, loglik, strict=True)}
    identified = {"temperature_identified": layer.identified and not alone}
    run.summarise("fit", logliks | identified | ({} if alone else gains))


def _state(layer: Layer, tracks: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    table = tracks[["frame", "particle", "x", "y"]].copy()
    table["vx_px"], table["vy_px"] = rng.normal(0, 0.4, (2, len(table))) * np.sqrt(1 + 2 * _hot(layer, table))
    table["entropy"] = 40 * np.log1p(_hot(layer, table)) + rng.normal(0, 2, len(table))
    table["temperature_px2"] = 0.16 * (1 + 2 * _hot(layer, table)) * rng.lognormal(0, 0.05, len(table))
    table["sigma_ln_temperature"] = 0.2
    table["sigma_entropy"] = 40 * table["sigma_ln_temperature"]
    edge = np.minimum(table["x"], layer.size_px - table["x"]) < 2.5 * SPACING_PX
    table["boundary"] = edge | (np.minimum(table["y"], layer.size_px - table["y"]) < 2.5 * SPACING_PX)
    return table


def _functions(calibration: Calibration) -> pd.DataFrame:
    r = np.linspace(0, 30, 60)
    fall = (1 - (r / 30) ** 2) ** 3
    density = np.linspace(0.3, 0.7, 40)
    distance, length = r * calibration.factor(1), calibration.unit(1)
    rate = 0.2 * fall * calibration.factor(0, -1)
    noise = 0.1 * fall * calibration.factor(2, -3)
    pressure = 0.5 * density**2 * calibration.factor(2, -2)
    parts = [
        _curve("kernel", "", distance, fall, length, ""),
        _curve("pair_friction", "", distance, rate, length, calibration.unit(0, -1)),
        _curve("pair_noise", "", distance, noise, length, calibration.unit(2, -3)),
        _curve("pressure", "", density, pressure, "density / W(0)", calibration.unit(2, -2)),
    ]
    table = pd.concat(parts, ignore_index=True).drop(columns="series")
    table.loc[table["quantity"] == "pressure", ["y_low", "y_high"]] = np.nan
    return table


def _simulate(run: Run, layer: Layer, tracks: pd.DataFrame, rng: np.random.Generator) -> None:
    first, stop = layer.test_block
    frames = np.arange(first, stop)
    test = tracks[tracks["frame"] >= first].sort_values(["frame", "particle"])
    particles = np.unique(test["particle"])
    shape = (2, len(frames), len(particles))
    places = np.broadcast_to(test[["x", "y"]].to_numpy().reshape(len(frames), -1, 2), (*shape, 2))
    with run.writing("rollout.zarr") as path:
        group = zarr.open_group(path, mode="w")
        group["positions"] = places + rng.normal(0, 1.0, places.shape)
        group["velocities"] = rng.normal(0, 0.4, places.shape)
        group["entropy"] = rng.normal(0, 2, shape)
        group["temperature"] = rng.lognormal(-1.8, 0.2, shape)
        group["frame"] = frames
        group["particle"] = particles
        group["camera_sigma"] = np.full((len(particles), 2), 0.05)
        last = places[0, -1]
        group["simulated"] = np.all(
            (last > 2.5 * SPACING_PX) & (last < layer.size_px - 2.5 * SPACING_PX), axis=1
        )
    both = [_curves(layer), _curves(layer, "rollout", 1.06)]
    d = np.geomspace(0.05, 20, 40)
    for series, width in (("experiment", 0.9), ("rollout", 1.0)):
        density = np.exp(-0.5 * (np.log(d) / width) ** 2) / (d * width * 2.5)
        both.append(_curve("d2min", series, d, density, layer.calibration.unit(2), ""))
    both += _displacements(layer)
    run.write_table("comparison", pd.concat(both, ignore_index=True))
    run.write_table("calibration", _calibration(layer))
    run.write_table("budget", _budget(frames, rng))
    _record(run, "simulate", {})
    errors = {"rollout_g_r_error": 0.023, "rollout_msd_error": 0.061, "rollout_vacf_error": 0.084}
    rearranged = {"d2min_ks_distance": 0.047, "d2min_ks_floor": 0.054, "d2min_ks_floor_halves": 0.032}
    sure = {"coverage_80_first": 0.79, "coverage_80_first_low": 0.78, "coverage_80_first_high": 0.81}
    run.summarise("simulate", {**errors, **rearranged, "d2min_ks_holds": True, **sure})


def _displacements(layer: Layer) -> list[pd.DataFrame]:
    """Van Hove functions at two lags, alpha2 and F_s of both series."""
    unit, parts = layer.calibration.unit, []
    x = np.linspace(-3, 3, 31)
    lag = np.arange(1, 5) * layer.calibration.time_per_frame
    for series, width in (("experiment", 0.5), ("rollout", 0.55), ("gaussian", 0.52)):
        for frames in (1, 4):
            spread = width * np.sqrt(frames)
            density = np.exp(-0.5 * (x / spread) ** 2) / spread / 2.5
            parts.append(_curve(f"van_hove_{frames}", series, x, density, unit(1), unit(-1)))
        if series != "gaussian":
            parts.append(_curve("alpha2", series, lag, 0.3 * width / lag, unit(0, 1), "1"))
            parts.append(_curve("f_s", series, lag, np.exp(-width * lag), unit(0, 1), "1"))
    return parts


def _calibration(layer: Layer) -> pd.DataFrame:
    unit = layer.calibration.unit
    x, lag = (np.arange(10) + 0.5) / 10, np.array([1, 2, 5]) * layer.calibration.time_per_frame
    parts = [_curve(f"pit_{k}", "", x, 0.9 + 1.2 * (x - 0.5) ** 2, "1", "1") for k in (1, 2, 5)]
    parts += [_curve(f"coverage_{c}", "", lag, c / 100 + 0.01 * lag, unit(0, 1), "1") for c in (50, 80, 95)]
    for name, size in (("forecast", 0.2), ("rest", 0.5), ("velocity", 0.3)):
        parts.append(_curve(f"rms_{name}", "", lag, size * lag, unit(0, 1), unit(1)))
    return pd.concat(parts, ignore_index=True).drop(columns="series")


def _budget(frames: np.ndarray, rng: np.random.Generator) -> pd.DataFrame:
    """Increments of each frame that add up to the change of energy and momentum."""
    members = []
    n = len(frames)
    for member in range(2):
        table = pd.DataFrame(
            {"member": member, "frame": frames, "work": rng.normal(0.5, 0.5, n), "heat": -0.2}
        )
        table["energy_drift"] = 0.002
        table["energy"] = 300 + (table["work"] + table["heat"] + table["energy_drift"]).cumsum()
        for axis in "xy":
            table[f"impulse_{axis}"] = rng.normal(0, 0.3, n)
            table[f"momentum_{axis}"] = 2 + table[f"impulse_{axis}"].cumsum()
        members.append(table.assign(momentum_drift=1e-12))
    return pd.concat(members, ignore_index=True)
