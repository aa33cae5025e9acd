"""Options of the dynamics: how laws are learned, and how they are rolled out."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, field_validator, model_validator

from colloidlab.option_sections import Section
from colloidlab.option_text import parse_force


def default_of_none(value: object) -> object:
    """A run keeps its options: the word goes back to the default."""
    return None if isinstance(value, str | Path) and str(value) in ("none", "", ".") else value


class FitConfig(Section):
    """Learning the dynamics."""

    entropy: Literal["filter", "isothermal", "encoder"] = Field(
        "filter",
        description="Hidden entropy: followed over frames, one temperature for all (no entropy), or read off each frame",
    )
    cutoff_px: float | None = Field(
        None, gt=0, description="Interaction cutoff at the mean particle size, px [first minimum of g(r)]"
    )
    species: int = Field(
        1,
        ge=1,
        le=3,
        description="Species that the laws tell apart: by the column species of the tracks, or by size where there is none",
    )
    mass_exponent: float = Field(
        0.0,
        ge=0,
        le=4,
        description="Masses of particles of unlike size go with this power of the radius: 3 for spheres, 2 for discs",
    )
    cohesion: bool = Field(
        False, description="Fit a pair potential too, for particles that attract each other: gels, clusters"
    )
    solid: bool = Field(
        False,
        description="Fit a shear energy too, for particles that keep their neighbours: crystals, gels, glasses below yield",
    )
    bath: bool = Field(
        False,
        description="Fit drag and noise of a solvent or substrate at rest, beside those between particles",
    )
    bath_temperature_px2: float | None = Field(
        None, gt=0, description="k_B T/m of the bath where it is known, px^2/frame^2; none to fit it [fitted]"
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
        3,
        ge=0,
        description="Newton's steps over the whole training block after the isothermal fit, at the most; as many for every "
        "kind of pair where species are told apart",
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

    @field_validator("bath_temperature_px2", mode="before")
    @classmethod
    def _none(cls, value: object) -> object:
        return default_of_none(value)

    @model_validator(mode="after")
    def _leaves_a_test(self) -> FitConfig:
        if self.train_fraction + self.validation_fraction > 0.95:
            raise ValueError(
                "train_fraction + validation_fraction must leave at least 0.05 for the test block"
            )
        return self

    @model_validator(mode="after")
    def _says_masses_once(self) -> FitConfig:
        if self.mass_exponent and self.species > 1:
            raise ValueError(
                "species have masses of their own, which are fitted: give mass_exponent 0 (--mass-exponent 0) with them"
            )
        if self.entropy == "encoder" and self.species > 1:
            raise ValueError(
                "the encoder reads the temperatures of all particles alike, and would take a species for a temperature: "
                "give entropy filter (--entropy filter), or species 1 (--species 1)"
            )
        return self

    @model_validator(mode="after")
    def _has_the_bath_of_the_temperature(self) -> FitConfig:
        if self.bath_temperature_px2 is not None and not self.bath:
            raise ValueError(
                "bath_temperature_px2 is that of a bath: give bath (--bath) as well, or leave it out"
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
        None,
        description="FX,FY: uniform force per mass on the simulated particles, px/frame^2, as of gravity [0,0]",
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
        return default_of_none(value)

    @field_validator("drive")
    @classmethod
    def _wherever_it_is_read(cls, path: Path | None) -> Path | None:
        """A run keeps its options, and may be taken up from another folder."""
        return None if path is None else path.absolute()

    @field_validator("body_force")
    @classmethod
    def _body_force(cls, text: str | None) -> str | None:
        return None if text is None or not any(parse_force(text)) else text
