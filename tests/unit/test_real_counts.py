"""Real recordings, no number given: as many features a frame as people found with numbers that they chose.

`colloidlab benchmark tracking --data FOLDER --picture FILE` draws them (docs/tracking.md shows it). Counts are means
over six frames, spread over the recording.

brightfield            All five ringed particles and nothing else.
quasi2d_crystallites   Every spot of the crystallites, 4.5 px apart: three times the 3320 that discs of 9 px, 6 px apart,
                       leave of them.
foam                   Bubbles of the front and of the rows behind it. In the upper part, where walls hardly stand out,
                       few are found by either program; both also mark bright places of the frame beside the foam.
colloids               Dark particles in focus, and the dark side of flares of those out of focus, once each.
bulk_water             More than trackpy's 420 with one diameter and a pixel between centres: those it lacks are particles
                       in focus beside another one, and they are found again in the next frame as often as the others
                       (asserted below). What only trackpy finds are halos far out of focus.
interfacial_monolayer  Every core and no gap; a threshold of the centre's grey level (110 to 120: 2400 to 2900) loses dim
                       cores and takes bright gaps.
bacteria               One or two features a rod; the reason says that they are elongated.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.spatial import cKDTree
from video_files import DATA

from colloidlab.features import LocateParameters, estimate, locate
from colloidlab.video import open_video

pytestmark = [pytest.mark.data, pytest.mark.skipif(not DATA.is_dir(), reason="the recordings are not here")]

_FRAMES = 6


def frames_of(name: str) -> list[np.ndarray]:
    with open_video(DATA / name) as video:
        indices = np.unique(np.linspace(0, video.n_frames - 1, _FRAMES).astype(int))
        return [image for k in indices if (image := video.frame(int(k)).image) is not None]


def found_in(image: np.ndarray, p: LocateParameters) -> pd.DataFrame:
    return locate(
        image,
        p.diameter_px,
        method=p.method,
        template=p.template,
        minmass=p.minmass,
        minsignal=p.minsignal,
        separation_px=p.separation_px,
        invert=p.invert,
    )


@pytest.mark.parametrize(
    ("name", "fewest", "most"),
    [
        ("brightfield", 5, 5),
        ("foam", 0.95 * 485, 1.05 * 485),
        ("colloids/colloids.mp4", 0.95 * 38, 1.05 * 44),
        ("interfacial_monolayer", 2400, 2900),
    ],
)
def test_count_without_a_number_given(name: str, fewest: float, most: float) -> None:
    images = frames_of(name)
    parameters = estimate(images)
    counts = [len(found_in(image, parameters)) for image in images]
    assert fewest <= np.mean(counts) <= most


def test_every_spot_of_a_crystallite_is_found() -> None:
    """As many as a hexagonal lattice of the same spacing has on the area where every neighbour is in touch."""
    images = frames_of("quasi2d_crystallites")
    parameters = estimate(images)
    assert parameters.diameter_px == 5
    places = found_in(images[0], parameters)[["x", "y"]].to_numpy()
    known = locate(images[0], 9, method="centroid", minmass=300, separation_px=6)[["x", "y"]].to_numpy()
    assert len(places) > 3 * len(known)
    assert (cKDTree(places).query(known)[0] < 2.5).mean() > 0.95
    # Inside a crystallite six neighbours stand around a particle, with no room for one more and none left out.
    tree = cKDTree(places)
    spacing = float(np.median(tree.query(places, k=2)[0][:, 1]))
    around = tree.query_ball_point(places, 1.6 * spacing, return_length=True) - 1
    wide = tree.query_ball_point(places, 6 * spacing, return_length=True)
    inside = wide > np.percentile(wide, 75)
    assert np.median(around[inside]) == 6 and np.mean(np.abs(around[inside] - 6) <= 1) > 0.9


def test_additional_particles_in_water_are_particles() -> None:
    """What is found beyond the features that keep trackpy's distance is there again in the next frame."""
    with open_video(DATA / "bulk_water") as video:
        first, following = (video.frame(k).image for k in (20, 21))
    assert first is not None and following is not None
    parameters = estimate(frames_of("bulk_water"), method="centroid")
    table, after = found_in(first, parameters), found_in(following, parameters)
    # As trackpy: of two features nearer than a diameter and a pixel the heavier one.
    apart = locate(first, 11, method="centroid", minmass=parameters.minmass, invert=True, separation_px=12)
    places = table[["x", "y"]].to_numpy()
    new = cKDTree(apart[["x", "y"]]).query(places)[0] > 3
    again = cKDTree(after[["x", "y"]]).query(places)[0] < 3
    by_chance = cKDTree(np.fmod(after[["x", "y"]] + [97, 61], [640, 424])).query(places)[0] < 3
    assert 0.95 * 420 <= len(table) <= 1.2 * 420 and new.sum() > 20
    assert again[new].mean() > 0.75 > 0.25 > by_chance.mean()


def test_rods_are_found_and_said_to_be_rods() -> None:
    images = frames_of("bacteria/bacteria.mp4")
    parameters = estimate(images)
    assert parameters.method == "centroid" and "elongated" in parameters.reasons["method"]
    assert 25 <= np.mean([len(found_in(image, parameters)) for image in images]) <= 50


def test_discs_of_two_sizes_are_found_as_rings() -> None:
    """Most of some 72 discs in view, in rings of radii about 44 and 54 px; what the frame hides is not counted."""
    with open_video(DATA / "discs" / "discs.mp4") as video:
        images = [image for k in (0, 2) if (image := video.frame(k).image) is not None]
    p = estimate(images, method="circles", radii_px=(38.0, 66.0))
    assert p.circles is not None and p.circles.outline == "line" and not p.invert
    inside = []
    for image in images:
        table = locate(
            image[:, 190:1080], p.diameter_px, method="circles", circles=p.circles, invert=p.invert
        )
        inside.append(table[table["y"].between(30, 830)])
    assert all(60 <= len(table) <= 72 for table in inside)
    radii = np.concatenate([table["radius_px"] for table in inside])
    small, large = np.sum(np.abs(radii - 44) < 4), np.sum(np.abs(radii - 54) < 4)
    assert small > 40 and large > 50 and small + large > 0.9 * len(radii)
    # Compression moves them by less than a pixel or two in as many frames: no disc is taken for its neighbour.
    step = cKDTree(inside[0][["x", "y"]]).query(inside[1][["x", "y"]])[0]
    assert np.median(step) < 2.0
