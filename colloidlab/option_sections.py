"""The options themselves, section by section: type, default, bounds, and what each one means."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from colloidlab.option_text import parse_frames, parse_names, parse_roi


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
