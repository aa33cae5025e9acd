"""Stacks are located as trackpy locates them, in every type and for balls that differ in depth and plane."""

from __future__ import annotations

import numpy as np
import pytest
import trackpy
from scipy.spatial import cKDTree

from colloidlab.errors import InputError, UsageError
from colloidlab.features import locate
from colloidlab.features.volume import locate_volume, volume_columns

pytestmark = pytest.mark.filterwarnings("ignore")

WIDTHS = {(9, 9, 9): (2.0, 2.0, 2.0), (5, 11, 11): (1.2, 2.5, 2.5)}


def crowd(shape: tuple[int, int, int], widths: tuple[float, float, float], n: int) -> np.ndarray:
    """Gaussian spots at random places on noise, 0 to 255."""
    rng = np.random.default_rng(1)
    z, y, x = np.ogrid[: shape[0], : shape[1], : shape[2]]
    volume = 20 + rng.normal(0, 3, shape)
    for _ in range(n):
        at = [rng.uniform(3, s - 4) for s in shape]
        square = sum(((axis - a) / w) ** 2 for axis, a, w in zip((z, y, x), at, widths, strict=True))
        volume = volume + 150 * np.exp(-square / 2)
    return volume.clip(0, 255)


@pytest.mark.parametrize("diameter", list(WIDTHS))
@pytest.mark.parametrize("kind", ["uint8", "uint16", "float64"])
def test_same_as_trackpy(diameter: tuple[int, int, int], kind: str) -> None:
    volume = crowd((24, 50, 60), WIDTHS[diameter], 16)
    image = {"uint8": volume, "uint16": volume * 200, "float64": volume / 255}[kind].astype(kind)
    ours = locate_volume(image, diameter, threshold=1 / 255 if kind == "float64" else None, minmass=1)
    theirs = trackpy.locate(image, diameter, minmass=1, engine="numba").reset_index(drop=True)
    assert len(ours) == len(theirs) > 5
    columns = [c for c in volume_columns(diameter) if c in theirs.columns and c != "ecc"]
    assert len(columns) == (8 if len(set(diameter)) == 1 else 12)
    for column in columns:
        np.testing.assert_allclose(ours[column], theirs[column], rtol=1e-9, err_msg=column)


def test_separated_spots_are_found_where_they_are_with_a_believable_error() -> None:
    rng = np.random.default_rng(3)
    pitch, counts = 30, (2, 6, 6)
    z, y, x = np.mgrid[:pitch, :pitch, :pitch]
    volume, truth = np.full([pitch * n for n in counts], 30.0), []
    for cell in np.ndindex(*counts):
        at = pitch / 2 + rng.uniform(-1, 1, 3)
        part = tuple(slice(pitch * c, pitch * (c + 1)) for c in cell)
        square = (z - at[0]) ** 2 + (y - at[1]) ** 2 + (x - at[2]) ** 2
        volume[part] += 150 * np.exp(-square / 2 / 2.5**2)
        truth.append(at + pitch * np.array(cell))
    image = (volume + rng.normal(0, 4, volume.shape)).clip(0, 255).round().astype(np.uint8)
    found = locate(image, 13, method="centroid", minmass=5000)
    assert list(found.columns) == volume_columns((13, 13, 13)) and len(found) == 72
    distance, which = cKDTree(found[["z", "y", "x"]]).query(truth)
    assert sorted(which) == list(range(72)) and distance.max() < 0.15
    error = found[["z", "y", "x"]].to_numpy()[which] - np.array(truth)
    spread = error / found[["sigma_z_px", "sigma_y_px", "sigma_x_px"]].to_numpy()[which]
    assert 0.75 < spread.std() < 1.3
    # A Gaussian's radius of gyration is sqrt(3) widths; the ball and the band-pass cut some of it.
    assert 1.3 * 2.5 < found["radius_px"].median() < np.sqrt(5) * 2.5


def test_unusable_voxels_take_their_particles_with_them() -> None:
    volume = crowd((24, 50, 60), (2.0, 2.0, 2.0), 8)
    before = locate_volume(volume, 9, minmass=3000)
    bad = before[["z", "y", "x"]].iloc[0].round().astype(int)
    volume[tuple(bad)] = np.nan
    after = locate_volume(volume, 9, minmass=3000)
    assert len(after) < len(before)
    assert cKDTree(after[["z", "y", "x"]]).query(bad)[0] > 4


def test_stacks_without_particles_give_an_empty_table() -> None:
    for volume in (np.zeros((20, 20, 20), np.uint8), np.full((9, 30, 30), 7.0)):
        table = locate(volume, 9, method="centroid")
        assert len(table) == 0 and list(table.columns) == volume_columns((9, 9, 9))


def test_wrong_shapes_and_diameters_are_refused() -> None:
    image = np.zeros((30, 30), np.uint8)
    with pytest.raises(InputError, match="height x width"):
        locate(np.zeros((30, 30, 3), np.uint8), 9)
    with pytest.raises(InputError, match="depth x height x width"):
        locate_volume(image, 9)
    with pytest.raises(UsageError, match="stacks only"):
        locate(image, (9, 9, 9))
    with pytest.raises(UsageError, match="2 numbers"):
        locate_volume(np.zeros((30, 30, 30), np.uint8), (9, 9))  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="odd"):
        locate_volume(np.zeros((30, 30, 30), np.uint8), (9, 9, 8))
