"""The checks of an installation find what is wrong, and never raise."""

from __future__ import annotations

import subprocess
import sys
from importlib import metadata

import pytest

from colloidlab import doctor


def test_this_installation_is_sound() -> None:
    checks = doctor.diagnose()
    names = [c.name for c in checks]
    assert len(names) == len(set(names))
    bad = [c for c in checks if c.ok is False and c.name not in ("memory", "free disk")]
    assert bad == []
    assert {"Python", "numpy", "devices", "reader: TIFF", "reader: mp4 (H.264)", "display for napari"} <= set(
        names
    )
    assert next(c for c in checks if c.name == "numpy").detail == metadata.version("numpy")


@pytest.mark.parametrize(
    ("version", "bounds", "expected"),
    [
        ("2.4.6", ">=2.2,<3", True),
        ("2.10", ">=2.9", True),
        ("3.0", ">=2.2,<3", False),
        ("2.1.9", ">=2.2", False),
        ("2.2", ">=2.2.0", True),
        ("2.13.0+cpu", ">=2.6", True),
        ("1.0", "", True),
    ],
)
def test_bounds(version: str, bounds: str, expected: bool) -> None:
    assert doctor.satisfies(version, bounds) is expected


def test_wrong_and_absent_packages_come_with_a_fix(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        metadata, "requires", lambda name: ["numpy>=99", "no-such-package>=1", "x; extra == 'test'"]
    )
    old, absent = doctor._packages()
    assert (old.ok, absent.ok) == (False, False)
    assert ">=99 is needed" in old.detail and old.fix == "pip install 'numpy>=99'"
    assert absent.detail == "not installed" and absent.fix == "pip install 'no-such-package>=1'"


def test_broken_reader_is_a_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(path: object, frames: object, fps: float) -> None:
        raise OSError("libav is broken")

    monkeypatch.setattr("colloidlab.video.write_mp4", broken)
    found = {c.name: c for c in doctor._readers()}
    assert found["reader: mp4 (H.264)"].ok is False
    assert "libav is broken" in found["reader: mp4 (H.264)"].detail and found["reader: mp4 (H.264)"].fix
    assert found["reader: TIFF"].ok is True


def test_broken_torch_is_a_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    found = doctor._devices()
    assert found.ok is False and "torch" in found.detail and found.fix


def test_importing_the_doctor_does_not_import_torch() -> None:
    probe = "import sys, colloidlab.doctor; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", probe], check=False).returncode == 0
