"""The options themselves, section by section: type, default, bounds, and what each one means."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from colloidlab.option_text import parse_force, parse_frames, parse_names, parse_roi


class Section(BaseModel):
    """Options that belong together; unknown names, infinities and later changes are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class VideoConfig(Section):
    """What part of the recording is used, and its scale."""

    um_per_px: float | None = Field(
        None, gt=0, description="Scale, micrometres per pixel [file's own, else none]"
    )
    fps: float | None = Field(
        None, gt=0, description="Frame rate, 1/s; a container's nominal rate is not trusted"
    )
    frames: str | None = Field(None, description="Frame range A:B, from A up to but not including B [all]")
    stride: int = Field(
        1, ge=1, description="Use every n-th frame; --frames counts those of the file, tables the used ones"
    )
    roi: str | None = Field(
        None, description="Region of interest X0,Y0,X1,Y1 in px, upper bounds excluded [whole view]"
    )
    mask: Path | None = Field(
        None, description="Image whose non-zero pixels are used; same size as the video"
    )
    background: Literal["none", "median", "image", "rolling_ball", "rolling_ball_dark"] = Field(
        "none",
        description="Subtracted before locating: median over time (moving particles), an image without particles, "
        "or what a ball reaches that rolls under bright (above dark) particles",
    )
    background_window: int | None = Field(
        None, ge=3, description="Running median over blocks of so many used frames [one over all of them]"
    )
    background_image: Path | None = Field(
        None, description="Image without particles, for --background image; same size as the video"
    )
    background_radius_px: float = Field(
        50.0, ge=2, description="Radius of the rolling ball, px; larger than any particle"
    )
    flat_field: Path | None = Field(
        None, description="Image of even light by which frames are divided; same size as the video"
    )

    @model_validator(mode="after")
    def _background_has_its_image(self) -> VideoConfig:
        if (self.background == "image") != (self.background_image is not None):
            raise ValueError("background = image and background_image go together: give both or neither")
        return self

    @field_validator("frames")
    @classmethod
    def _frames(cls, text: str | None) -> str | None:
        if text is not None:
            parse_frames(text)
        return text

    @field_validator("roi")
    @classmethod
    def _roi(cls, text: str | None) -> str | None:
        if text is not None:
            parse_roi(text)
        return text


class TrackConfig(Section):
    """Locating particles and linking them into tracks."""

    method: Literal["auto", "joint", "centroid", "circles"] = Field(
        "auto",
        description="Joint fit of a learned image where it describes the particles, centroids, or circles",
    )
    diameter_px: int | None = Field(None, ge=3, description="Odd size of a particle's image, px [estimated]")
    minmass: float | None = Field(
        None, ge=0, description="Least integrated brightness of a particle [estimated]"
    )
    separation_px: float | None = Field(
        None, gt=0, description="Least distance between two centres, px [estimated]"
    )
    polarity: Literal["auto", "bright", "dark"] = Field(
        "auto", description="Are the particles bright or dark?"
    )
    minsignal: float | None = Field(
        None,
        ge=0,
        description="Least peak brightness above the surroundings, column signal; "
        "leaves out bright gaps between particles [estimated]",
    )
    radius_min_px: float | None = Field(
        None, gt=0, description="Least radius that method circles looks for, px"
    )
    radius_max_px: float | None = Field(None, gt=0, description="Largest radius that it looks for, px")
    search_range_px: float | None = Field(
        None, gt=0, description="Farthest move between two frames, px [estimated]"
    )
    memory: int = Field(2, ge=0, description="Frames that a particle may vanish and still keep its track")
    prediction: Literal["auto", "none", "drift", "affine", "flow"] = Field(
        "auto", description="Common motion from which links depart: drift, shear, or a smooth flow"
    )
    threads: int | None = Field(
        None, ge=1, description="Images located at the same time; changes no result [number of cores]"
    )
    min_track_length: int = Field(1, ge=1, description="Shorter tracks are dropped, frames")

    @model_validator(mode="after")
    def _circles_have_radii(self) -> TrackConfig:
        radii = (self.radius_min_px, self.radius_max_px)
        if (self.method == "circles") != all(r is not None for r in radii) or radii.count(None) == 1:
            raise ValueError(
                "method = circles, radius_min_px and radius_max_px go together: give all or none"
            )
        return self

    @field_validator("diameter_px")
    @classmethod
    def _odd(cls, diameter: int | None) -> int | None:
        if diameter is not None and diameter % 2 == 0:
            raise ValueError(f"must be odd, so that it has a centre pixel: {diameter - 1} or {diameter + 1}")
        return diameter


QUANTITIES = (
    *("g_r", "s_q", "psi6", "voronoi", "density", "pair_entropy"),
    *("msd", "cage_msd", "vacf", "van_hove", "alpha2", "f_s", "overlap", "diffusion"),
    *("d2min", "cage", "hop", "neighbours", "t1"),
    *("oscillation", "flow", "flow_residual"),
)
"""What `colloidlab indicators` measures, by the names that `--only` knows."""


class IndicatorsConfig(Section):
    """Local rearrangement, structure, motion and flow."""

    only: str | None = Field(
        None, description=f"Measure only these, as in psi6,msd; of {', '.join(QUANTITIES)} [all]"
    )
    neighbour_cutoff_px: float | None = Field(
        None, gt=0, description="Neighbours for D2min, px [first minimum of g(r)]"
    )
    lag_frames: int | None = Field(
        None, ge=1, description="Lag of D2min and local strain, frames [from the MSD]"
    )

    lag_period: bool = Field(
        False, description="Take one period of the drive as the lag, where --lag-frames does not say another"
    )
    reference_frame: int | None = Field(
        None, ge=0, description="D2min and local strain since this frame instead of over the lag"
    )
    neighbours: Literal["cutoff", "delaunay"] = Field(
        "cutoff", description="Who counts as a neighbour for D2min, p_hop and cage-relative displacement"
    )
    drift: Literal["mean", "affine", "none"] = Field(
        "mean",
        description="Common motion taken out of displacements: that of the mean, with rotation and strain, or nothing",
    )
    hop_frames: int | None = Field(
        None, ge=2, description="Frames on either side that p_hop compares [the lag, at least 5]"
    )
    persistence_frames: int = Field(
        10, ge=1, description="Frames that new neighbours must stay for a T1 event"
    )
    msd_origin_frame: int | None = Field(
        None, ge=0, description="Also the MSD since this frame alone, for samples that age or start [none]"
    )
    psi_fold: int = Field(
        6,
        ge=2,
        le=12,
        description="Fold n of the bond order psi_n beside the hexatic one: 4 for square packings",
    )
    fs_q_per_px: float | None = Field(
        None, gt=0, description="Wave number of F_s, 1/px [2 pi over the distance of neighbours]"
    )
    sq_max_per_px: float | None = Field(
        None, gt=0, description="Largest wave number of S(q), 1/px [3.5 times that of F_s as estimated]"
    )
    overlap_radius_px: float | None = Field(
        None,
        gt=0,
        description="How far a particle may be from where it was to count for Q and chi4, px "
        "[0.3 distances of neighbours]",
    )
    false_positive_rate: float = Field(
        1e-3,
        gt=0,
        lt=1,
        description="Share of particles and frames that localisation errors alone may flag as rearranged or hopped",
    )

    @field_validator("only")
    @classmethod
    def _known(cls, text: str | None) -> str | None:
        if text is not None:
            parse_names(text, QUANTITIES)
        return text

    @property
    def quantities(self) -> tuple[str, ...]:
        """Names of what is measured."""
        return QUANTITIES if self.only is None else parse_names(self.only, QUANTITIES)


class FitConfig(Section):
    """Learning the dynamics."""

    entropy: Literal["filter", "isothermal", "encoder"] = Field(
        "filter",
        description="Hidden entropy: followed over frames, one temperature for all (no entropy), or read off each frame",
    )
    cutoff_px: float | None = Field(
        None, gt=0, description="Interaction cutoff at the mean particle size, px [first minimum of g(r)]"
    )
    train_fraction: float = Field(0.6, gt=0.1, lt=0.9, description="First part of the recording, used to fit")
    validation_fraction: float = Field(
        0.2, gt=0.05, lt=0.5, description="Next part, used to choose; the rest tests"
    )
    isothermal_steps: int = Field(60, ge=1, description="Optimisation steps of the isothermal warm start")
    filter_steps: int = Field(
        34, ge=8, description="Optimisation steps with entropy, trials of both signs included"
    )
    scoring_rounds: int = Field(
        3, ge=0, description="Most of Newton's steps over the whole training block after the isothermal fit"
    )
    correction_rounds: int = Field(
        0,
        ge=0,
        description="Rounds in which laws are moved to those whose simulations have the data's score; each takes longer "
        "than the whole fit, and pays where localisation error is a large part of the thermal motion",
    )
    budget_minutes: float | None = Field(
        None,
        gt=0,
        description="Wall time of the fit, min; sets both numbers of steps [as long as the steps take]",
    )
    batch_windows: int = Field(
        1, ge=1, description="Windows over which a step averages; at least one for each process of torchrun"
    )
    patience: int = Field(
        5, ge=1, description="Looks at the validation block without a better one after which a phase ends"
    )
    window_frames: int = Field(
        20, ge=4, description="Frames over which gradients are carried back, at most the training block"
    )
    burn_in_frames: int = Field(
        10,
        ge=0,
        description="First frames of the training block, in which the filter's predictions with entropy do not count",
    )
    sigma_px: float | None = Field(
        None, ge=0, description="Localisation error for all particles, px [from the tracks]"
    )
    sigma_scale: float | None = Field(
        None,
        gt=0,
        description="Part of the tracks' localisation errors that is new in every frame, a factor on each; the rest "
        "stays as long as the neighbourhood does [fitted with the laws]",
    )
    fit_seed: int = Field(0, ge=0, description="Seed of the training")
    device: Literal["auto", "cpu", "cuda"] = Field(
        "auto",
        description="Processor; auto takes a GPU where there is one and frames hold thousands of particles",
    )
    dtype: Literal["float64", "float32"] = Field(
        "float64", description="Precision of the optimisation steps; what is reported is computed in float64"
    )
    tensorboard: bool = Field(
        False, description="Write training curves for TensorBoard into the run folder; changes no result"
    )

    @model_validator(mode="after")
    def _leaves_a_test(self) -> FitConfig:
        if self.train_fraction + self.validation_fraction > 0.95:
            raise ValueError(
                "train_fraction + validation_fraction must leave at least 0.05 for the test block"
            )
        return self


class SimulateConfig(Section):
    """Rollouts beside the experiment."""

    ensemble: int = Field(6, ge=1, description="Number of rollouts, each with its own noise")
    rollout_frames: int | None = Field(
        None,
        ge=2,
        description="Length of a rollout, frames; beyond the recording the boundary repeats its drive; none for the default "
        "[the test block, or the drive signal]",
    )
    from_frame: int | None = Field(
        None, ge=0, description="First frame of the rollouts; none for the default [first test frame]"
    )
    steps_per_frame: int | None = Field(None, ge=1, description="Integrator steps per frame [from stability]")
    integrator: Literal["conserving", "implicit", "euler_maruyama"] = Field(
        "conserving",
        description="Time integrator: keeps energy; the same for stiff friction; the published one",
    )
    drive: Path | None = Field(
        None,
        description="CSV of a drive signal that moves the boundary instead of the recording: frame or time_s, and dx_px, "
        "dy_px, gradient_xy, ...; none to follow the recording again",
    )
    body_force: str | None = Field(
        None, description="FX,FY: uniform force per mass on the simulated particles, px/frame^2 [0,0]"
    )
    simulate_seed: int = Field(
        0,
        ge=0,
        description="Seed of the rollouts; each draws its start and its noise from seed and place alone",
    )
    forecast_starts: int = Field(
        6, ge=0, description="Frames from which short predictions start, to judge their spread; 0 makes none"
    )
    forecast_members: int = Field(9, ge=1, description="Members of a short prediction")
    forecast_frames: int = Field(10, ge=1, description="Length of a short prediction, frames")
    tables: bool = Field(
        True,
        description="Put laws of fluids in tables, with the conserving integrator; compiled on processors; outside of the "
        "tables the laws themselves are asked, which is counted",
    )
    fuse: Literal["auto", "on", "off"] = Field(
        "auto",
        description="Compile the operations of a step in torch together, in a minute or more; auto does on GPUs, in "
        "rollouts that are so long that it pays; tables on processors are compiled as they are",
    )
    rollout_device: Literal["auto", "cpu", "cuda"] = Field(
        "auto",
        description="Processor; auto takes a GPU where there is one and all rollouts together hold thousands of particles",
    )
    rollout_dtype: Literal["float64", "float32"] = Field(
        "float64", description="Precision of the rollouts; budgets are kept in float64"
    )

    @field_validator("drive", "rollout_frames", "from_frame", "steps_per_frame", "body_force", mode="before")
    @classmethod
    def _none(cls, value: object) -> object:
        """A run keeps its options: the word goes back to the default."""
        return None if isinstance(value, str | Path) and str(value) in ("none", "", ".") else value

    @field_validator("drive")
    @classmethod
    def _wherever_it_is_read(cls, path: Path | None) -> Path | None:
        """A run keeps its options, and may be taken up from another folder."""
        return None if path is None else path.absolute()

    @field_validator("body_force")
    @classmethod
    def _body_force(cls, text: str | None) -> str | None:
        return None if text is None or not any(parse_force(text)) else text


class ExportConfig(Section):
    """Films and pictures of a run; no stage depends on these options."""

    frames: str | None = Field(
        None, description="Frame range A:B, from A up to but not including B [those of the rollout, else all]"
    )
    fps: float = Field(15.0, ge=0.1, le=120, description="Frames of the film shown in a second")
    height_px: int = Field(640, ge=160, le=2160, description="Height of each of the two pictures, px")
    colour_by: Literal[
        "auto",
        "temperature_px2",
        "entropy",
        "d2min_px2",
        "psi6",
        "hop_px2",
        "local_density_per_px2",
        "error_px",
        "none",
    ] = Field(
        "auto",
        description="Colours of the particles, on both sides by one scale; error_px is the rollout's distance to the "
        "experiment; auto takes the temperature where it is identified, else D2min",
    )
    tail_frames: int = Field(
        15, ge=0, le=1000, description="Length of the tracks behind the particles, frames"
    )
    rollout: bool = Field(True, description="Show the rollout beside the experiment")
    member: int = Field(1, ge=1, description="Member of the ensemble, from 1")

    @field_validator("frames")
    @classmethod
    def _frames(cls, text: str | None) -> str | None:
        if text is not None:
            parse_frames(text)
        return text
