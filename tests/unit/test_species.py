"""Which species a track is of: as a column says, or by size."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from pydantic import ValidationError

from colloidlab.dataset.recording import from_tracks
from colloidlab.dataset.species import MOST, seem_mixed
from colloidlab.dynamics_sections import FitConfig
from colloidlab.errors import FitRefused, InputError

N_FRAMES = 4


def tracks(**columns: list[object]) -> pd.DataFrame:
    """Particles 5, 6, 7, ... that stay where they are; of each column one value for every particle."""
    n = len(next(iter(columns.values())))
    frame, k = np.indices((N_FRAMES, n)).reshape(2, -1)
    table = pd.DataFrame({"frame": frame, "particle": k + 5, "x": 10.0 * k, "y": 3.0 * k})
    return table.assign(**{name: pd.Series(values).to_numpy()[k] for name, values in columns.items()})


def read(table: pd.DataFrame, n_species: int = 2) -> tuple[list[int], tuple[str, ...]]:
    recording = from_tracks(table, None, box=np.array([500.0, 500.0]), n_species=n_species)
    assert recording.species is not None
    return recording.species.label.tolist(), recording.species.names


def test_a_column_is_taken_at_its_word() -> None:
    assert read(tracks(species=["b", "a", "b"])) == ([1, 0, 1], ("a", "b"))
    assert read(tracks(species=[7, 7, 2])) == ([1, 1, 0], ("2", "7"))
    # Sizes say otherwise, and are not asked.
    assert read(tracks(species=["a", "b"], radius_px=[3.0, 3.0]))[0] == [0, 1]


def test_without_a_column_sizes_tell() -> None:
    rng = np.random.default_rng(1)
    small, large = (r * rng.lognormal(0, 0.03, 20) for r in (5.0, 7.0))
    mixed = np.column_stack([large, small]).ravel()
    label, names = read(tracks(radius_px=mixed.tolist()))
    assert label == [1, 0] * 20
    assert [float(name.removesuffix(" px")) for name in names] == pytest.approx([5, 7], rel=0.02)
    three = [*small.tolist(), *(2 * small).tolist(), *(4 * small).tolist()]
    assert read(tracks(radius_px=three), n_species=3)[0] == [0] * 20 + [1] * 20 + [2] * 20


@pytest.mark.parametrize("draw", [np.random.Generator.normal, np.random.Generator.random])
def test_one_broad_species_is_not_cut_in_two(draw: object) -> None:
    """Halves of a normal or a uniform distribution are no groups."""
    spread = draw(np.random.default_rng(3), size=200)  # type: ignore[operator]
    with pytest.raises(FitRefused, match=r"do not fall into 2 groups \(means .* px .*column species"):
        read(tracks(radius_px=(6 + 0.5 * spread).tolist()))


def test_what_does_not_fit_is_named() -> None:
    with pytest.raises(FitRefused, match="no radii"):
        read(tracks(radius_px=[np.nan] * 3))
    with pytest.raises(FitRefused, match="1 of 40 tracks have no radius"):
        read(tracks(radius_px=[5.0, 7.0] * 19 + [np.nan, 7.0]))
    with pytest.raises(InputError, match=r"names 3 species \(a, b, c\).*give --species 3"):
        read(tracks(species=["a", "b", "c"]))
    with pytest.raises(InputError, match=r"names 4 species \(a, b, c, d\).*name at most 3"):
        read(tracks(species=["a", "b", "c", "d"]))
    with pytest.raises(InputError, match="one species only, a; give --species 1"):
        read(tracks(species=["a", "a"]))
    for nothing in (None, " "):
        with pytest.raises(InputError, match="empty for particle 6"):
            read(tracks(species=["a", nothing, "b"]))
    changing = tracks(species=["a", "b", "b"])
    changing.loc[(changing["particle"] == 7) & (changing["frame"] == 2), "species"] = "a"
    with pytest.raises(InputError, match="particle 7 of the tracks is of two species"):
        read(changing)


def test_a_row_without_a_name_is_of_its_track() -> None:
    table = tracks(species=["a", "b"])
    table.loc[(table["particle"] == 5) & (table["frame"] == 1), "species"] = None
    assert read(table) == ([0, 1], ("a", "b"))


@pytest.mark.parametrize(
    "radii",
    [[5.0] * 99 + [15.0], [5.0, 5.001] * 20],
    ids=["one particle", "next to nothing"],
)
def test_groups_that_are_none_are_refused(radii: list[float]) -> None:
    with pytest.raises(FitRefused, match=r"no radii|do not fall into 2 groups"):
        read(tracks(radius_px=radii))


def test_what_may_be_several_species_is_said() -> None:
    named = tracks(species=["a", "b", "b"])
    assert seem_mixed(named, np.full(3, 5.0)) == "the tracks name 2 species"
    plain = named.drop(columns="species")
    assert seem_mixed(plain, np.full(3, 5.0)) == ""
    assert "two groups, of 5 px and 7 px" in seem_mixed(plain, np.array([5.0, 7.0] * 10))


def test_the_option_allows_as_many_as_are_told_apart() -> None:
    assert FitConfig(species=MOST).species == MOST
    with pytest.raises(ValidationError):
        FitConfig(species=MOST + 1)


def test_one_species_needs_no_labels() -> None:
    plain = from_tracks(tracks(species=["a", "b"]), None, box=np.array([500.0, 500.0]))
    assert plain.species is None
