"""Options: which source wins, what is refused, and that what is written can be read back."""

from __future__ import annotations

from pathlib import Path

import pytest
import tomli_w

from colloidlab.config import Config, load_config, to_toml_dict
from colloidlab.errors import UsageError
from colloidlab.option_text import parse_frames, parse_roi


def written(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def test_flag_wins_over_environment_over_file_over_recorded_over_default(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert load_config(None).track.memory == 2
    recorded = {"track": {"memory": 3, "min_track_length": 3}}
    assert load_config(None, recorded=recorded).track.memory == 3
    file = written(tmp_path / "a.toml", "[track]\nmemory = 4\nminmass = 4.0\nsearch_range_px = 4.0\n")
    assert load_config(file, recorded=recorded).track.memory == 4
    monkeypatch.setenv("COLLOIDLAB_TRACK_MEMORY", "5")
    monkeypatch.setenv("COLLOIDLAB_TRACK_MINMASS", "5")
    assert load_config(file, recorded=recorded).track.memory == 5
    track = load_config(file, {"track": {"memory": 6}}, recorded=recorded).track
    # Each option comes from the strongest source that names it.
    assert (track.memory, track.minmass, track.search_range_px, track.min_track_length) == (6, 5.0, 4.0, 3)


def test_layers_do_not_leak_into_what_was_passed() -> None:
    recorded = {"track": {"memory": 3}}
    load_config(None, {"track": {"memory": 6}}, recorded=recorded)
    assert recorded == {"track": {"memory": 3}}


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("[trakc]\nmemory = 1\n", "trakc"),
        ("[track]\nmemmory = 1\n", "track.memmory"),
        ("[video]\nfps = 0.0\n", "video.fps"),
        ("[video]\num_per_px = -0.1\n", "video.um_per_px"),
        ("[video]\nfps = inf\n", "video.fps"),
        ("[video]\nfps = nan\n", "video.fps"),
        ('[track]\nmemory = "many"\n', "track.memory"),
        ('[track]\npolarity = "grey"\n', "track.polarity"),
        ("[track]\ndiameter_px = 8\n", "7 or 9"),
        ("[fit]\ntrain_fraction = 0.8\nvalidation_fraction = 0.2\n", "test block"),
        ("[simulate]\nensemble = 0\n", "simulate.ensemble"),
        ("memory = 1\n", "section"),
        ("config = 3\n", "section"),
        ("[track\n", "not readable TOML"),
        ('[video]\nframes = "9:3"\n', "video.frames"),
        ('[video]\nroi = "0,0,10"\n', "video.roi"),
    ],
)
def test_a_wrong_file_is_refused_by_name(tmp_path: Path, text: str, named: str) -> None:
    with pytest.raises(UsageError) as error:
        load_config(written(tmp_path / "wrong.toml", text))
    assert named in str(error.value)
    assert "\n" not in str(error.value)


def test_every_wrong_option_is_named_at_once(tmp_path: Path) -> None:
    with pytest.raises(UsageError) as error:
        load_config(None, {"track": {"memory": -1, "sped": 3}, "video": {"fps": -2}})
    assert all(name in str(error.value) for name in ("track.memory", "track.sped", "video.fps", "-2"))


def test_a_file_that_is_not_there_or_not_text(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="does not exist"):
        load_config(tmp_path / "absent.toml")
    binary = tmp_path / "binary.toml"
    binary.write_bytes(b"\xff\xfe\x00\x01")
    with pytest.raises(UsageError, match="not readable TOML"):
        load_config(binary)
    with pytest.raises(UsageError, match="not readable TOML"):
        load_config(tmp_path)


@pytest.mark.parametrize(("variable", "value"), [("MEMMORY", "3"), ("MEMORY", "-3"), ("MEMORY", "a few")])
def test_the_environment_is_checked_like_a_file(
    variable: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(f"COLLOIDLAB_TRACK_{variable}", value)
    with pytest.raises(UsageError, match=f"track.{variable.lower()}"):
        load_config(None)


def test_other_variables_of_ours_are_no_options(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLLOIDLAB_DATA", "somewhere")
    assert load_config(None) == Config()


def test_written_options_read_back_the_same(tmp_path: Path) -> None:
    config = load_config(
        None, {"video": {"frames": "3:9", "fps": 50.5, "mask": "m.png"}, "simulate": {"ensemble": 3}}
    )
    text = tomli_w.dumps(to_toml_dict(config))
    assert load_config(written(tmp_path / "a.toml", text)) == config
    # A run's record has its options under [config], beside tables that are no options.
    record = tomli_w.dumps({"contract": 1, "stages": {"fit": {"key": "k"}}, "config": to_toml_dict(config)})
    assert load_config(written(tmp_path / "run.toml", record)) == config


def test_every_option_says_what_it_is_and_flags_do_not_collide() -> None:
    seen: dict[str, str] = {}
    for section, field in Config.model_fields.items():
        for name, option in field.annotation.model_fields.items():  # type: ignore[union-attr]
            assert option.description, f"{section}.{name}"
            assert name not in seen, f"{section}.{name} and {seen[name]} would be one flag"
            seen[name] = f"{section}.{name}"


def test_the_configuration_cannot_be_changed() -> None:
    with pytest.raises(ValueError, match="frozen"):
        Config().track.memory = 4  # type: ignore[misc]


@pytest.mark.parametrize(
    ("text", "expected"), [("10:200", (10, 200)), (":5", (0, 5)), ("5:", (5, None)), (":", (0, None))]
)
def test_frames(text: str, expected: tuple[int, int | None]) -> None:
    assert parse_frames(text) == expected


@pytest.mark.parametrize("text", ["", "5", "5:5", "9:3", "-3:5", "a:b", "1:2:3", "1.5:3"])
def test_wrong_frames(text: str) -> None:
    with pytest.raises(ValueError, match="frames"):
        parse_frames(text)


def test_roi() -> None:
    assert parse_roi("0, 10,200,300") == (0, 10, 200, 300)


@pytest.mark.parametrize(
    "text", ["", "1,2,3", "1,2,3,4,5", "5,0,5,10", "0,9,5,3", "-1,0,5,5", "a,b,c,d", "0,0,1.5,2"]
)
def test_wrong_roi(text: str) -> None:
    with pytest.raises(ValueError, match="roi"):
        parse_roi(text)


def test_the_later_of_two_ways_to_give_a_lag_counts() -> None:
    kept = {"indicators": {"lag_frames": 4, "lag_period": False}}
    assert (
        load_config(None, {"indicators": {"lag_period": True}}, recorded=kept).indicators.lag_frames is None
    )
    changed = load_config(
        None, {"indicators": {"lag_frames": 5}}, recorded={"indicators": {"lag_period": True}}
    )
    assert changed.indicators.lag_frames == 5 and not changed.indicators.lag_period


def test_without_a_bath_its_recorded_temperature_is_dropped() -> None:
    recorded = {"fit": {"bath": True, "bath_temperature_px2": 0.2}}
    assert load_config(None, recorded=recorded).fit.bath_temperature_px2 == 0.2
    assert load_config(None, {"fit": {"bath": False}}, recorded=recorded).fit.bath_temperature_px2 is None
    fitted = load_config(None, {"fit": {"bath_temperature_px2": "none"}}, recorded=recorded).fit
    assert fitted.bath and fitted.bath_temperature_px2 is None
    with pytest.raises(
        UsageError, match=r"^bath_temperature_px2 is that of a bath: give bath \(--bath\)[^()]*;"
    ):
        load_config(None, {"fit": {"bath": False, "bath_temperature_px2": 0.3}}, recorded=recorded)
