"""Is this installation able to work? Each check says what it found and how to mend it."""

from __future__ import annotations

import ctypes.util
import importlib
import os
import platform
import re
import shutil
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import numpy as np

from colloidlab.memory import memory_gib

DISTRIBUTION = "colloidlab"

LEAST_MEMORY_GIB = 4.0
LEAST_DISK_GIB = 2.0
"""A run folder of a few thousand frames with its rollouts stays below this."""

_DISPLAY_LIBRARIES = ("EGL", "GL", "xkbcommon-x11", "xcb-cursor", "xcb-icccm", "xcb-keysyms")
_DISPLAY_PACKAGES = " ".join(
    ("xvfb", "xauth", "libegl1", "libgl1", "libgl1-mesa-dri", "libxkbcommon-x11-0")
    + ("libxcb-cursor0", "libxcb-icccm4", "libxcb-keysyms1")
)


@dataclass(frozen=True)
class Check:
    """Outcome of one check.

    Parameters
    ----------
    name : str
        What was looked at.
    ok : bool or None
        None for information that is neither good nor bad.
    detail : str
        What was found.
    fix : str
        What to do about it; empty when there is nothing to do.
    """

    name: str
    ok: bool | None
    detail: str
    fix: str = ""

    @property
    def text(self) -> str:
        """As the command prints it: a line, and one of what to do where something is missing."""
        mark = {True: "ok", False: "MISSING", None: "-"}[self.ok]
        fix = f"\n{'':8} -> {self.fix}" if self.fix and self.ok is not True else ""
        return f"{mark:8} {self.name}: {self.detail}{fix}"


def diagnose() -> list[Check]:
    """Run every check; none raises, and none takes longer than importing torch."""
    return [
        _python(),
        *_packages(),
        _processor(),
        _memory(),
        _disk(),
        _devices(),
        *_readers(),
        _display(),
    ]


def _python() -> Check:
    found = platform.python_version()
    ok = sys.version_info >= (3, 11)
    return Check("Python", ok, f"{found} ({sys.platform})", "" if ok else "install Python 3.11 or newer")


def _packages() -> list[Check]:
    """One check a required package: is it there, and is its version within our bounds?"""
    try:
        requirements = metadata.requires(DISTRIBUTION) or []
    except metadata.PackageNotFoundError:
        fix = "run 'pip install .' in the folder of the sources"
        return [Check("packages", False, f"{DISTRIBUTION} is not installed", fix)]
    return [_package(text) for text in requirements if "extra ==" not in text]


def _package(requirement: str) -> Check:
    parts = re.match(r"([A-Za-z0-9._-]+)(?:\[[^\]]*\])?\s*\(?([^;)]*)", requirement)
    name, bounds = (parts[1], parts[2].strip()) if parts else (requirement, "")
    fix = f"pip install '{name}{bounds}'"
    try:
        found = metadata.version(name)
    except metadata.PackageNotFoundError:
        return Check(name, False, "not installed", fix)
    if not satisfies(found, bounds):
        return Check(name, False, f"{found}, but {bounds} is needed", fix)
    return Check(name, True, found)


def satisfies(version: str, bounds: str) -> bool:
    """Compare release numbers with bounds such as '>=2.2,<3'; other parts of a version are ignored.

    >>> satisfies("2.4.6", ">=2.2,<3"), satisfies("3.0", ">=2.2,<3")
    (True, False)
    """
    compare: dict[str, Callable[[list[int], list[int]], bool]] = {
        ">=": lambda a, b: a >= b,
        "<=": lambda a, b: a <= b,
        "==": lambda a, b: a == b,
        "!=": lambda a, b: a != b,
        ">": lambda a, b: a > b,
        "<": lambda a, b: a < b,
    }
    for sign, bound in re.findall(r"(>=|<=|==|!=|>|<)\s*([0-9.]+)", bounds):
        ours, theirs = _release(version), _release(bound)
        length = max(len(ours), len(theirs))
        if not compare[sign](ours + [0] * (length - len(ours)), theirs + [0] * (length - len(theirs))):
            return False
    return True


def _release(version: str) -> list[int]:
    digits = re.match(r"[0-9]+(?:\.[0-9]+)*", version)
    return [int(part) for part in digits[0].split(".")] if digits else [0]


def _processor() -> Check:
    # A container may allow fewer cores than the machine has.
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return Check("processor", None, f"{usable} usable cores, {platform.machine()}")


def _memory() -> Check:
    gib = memory_gib()
    if gib is None:
        return Check("memory", None, "size not known on this system")
    ok = gib >= LEAST_MEMORY_GIB
    fix = "" if ok else "close other programs, or work with a region of interest"
    return Check("memory", ok, f"{gib:.1f} GiB", fix)


def _disk() -> Check:
    free = shutil.disk_usage(Path.cwd()).free / 2**30
    ok = free >= LEAST_DISK_GIB
    return Check(
        "free disk", ok, f"{free:.1f} GiB here", "" if ok else "free some space or use -o on another disk"
    )


def _devices() -> Check:
    try:
        torch = importlib.import_module("torch")  # here, not above: it takes seconds
    except Exception as error:  # a broken installation fails in many ways
        return Check(
            "devices", False, f"torch cannot be imported ({error})", "pip install --force-reinstall torch"
        )
    if torch.cuda.is_available():
        names = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
        return Check("devices", True, f"CPU, CUDA: {', '.join(names)}")
    if torch.backends.mps.is_available():
        return Check("devices", True, "CPU, Apple GPU")
    return Check(
        "devices", None, "CPU only", "for large fits, install a CUDA build of torch on a machine with a GPU"
    )


def _readers() -> list[Check]:
    """Read a tiny recording of each kind that can be written here; import the readers of the others."""
    checks = []
    with tempfile.TemporaryDirectory(prefix="colloidlab-") as folder:
        for name, write in (
            ("mp4 (H.264)", _write_mp4),
            ("TIFF", _write_tiff),
            ("image folder", _write_folder),
        ):
            checks.append(_reader(name, write, Path(folder)))
    for name, module, package in (
        ("Nikon nd2", "nd2", "nd2"),
        ("NorPix seq, Phantom cine, SPE", "pims", "pims"),
    ):
        try:
            importlib.import_module(module)
            checks.append(Check(f"reader: {name}", True, f"{package} {metadata.version(package)}"))
        except Exception as error:  # a broken installation fails in many ways
            checks.append(
                Check(f"reader: {name}", False, str(error), f"pip install --force-reinstall {package}")
            )
    return checks


def _reader(name: str, write: Callable[[Path, list[np.ndarray]], Path], folder: Path) -> Check:
    y, x = np.mgrid[:32, :32]
    images = [(8 * ((x + i) % 16) + y).astype(np.uint8) for i in range(3)]
    try:
        from colloidlab.video import open_video

        with open_video(write(folder, images)) as video:
            found = [frame.image for frame in video.frames()]
        alike = all(
            a is not None and np.abs(a.astype(int) - b).max() <= 40
            for a, b in zip(found, images, strict=True)
        )
    except Exception as error:  # what a check finds is its result, whatever it is
        return Check(f"reader: {name}", False, str(error), "pip install --force-reinstall av tifffile pillow")
    fix = "" if alike else "pip install --force-reinstall av tifffile pillow"
    return Check(
        f"reader: {name}", alike, "3 frames written and read back" if alike else "images differ", fix
    )


def _write_mp4(folder: Path, images: list[np.ndarray]) -> Path:
    from colloidlab.video import write_mp4

    write_mp4(folder / "check.mp4", images, 25.0)
    return folder / "check.mp4"


def _write_tiff(folder: Path, images: list[np.ndarray]) -> Path:
    import tifffile

    tifffile.imwrite(folder / "check.tif", np.array(images), photometric="minisblack")
    return folder / "check.tif"


def _write_folder(folder: Path, images: list[np.ndarray]) -> Path:
    from PIL import Image

    (folder / "check").mkdir()
    for i, image in enumerate(images):
        Image.fromarray(image).save(folder / "check" / f"frame_{i}.png")
    return folder / "check"


def _display() -> Check:
    """Libraries of the windowing system that napari needs; nothing else here needs them."""
    if not sys.platform.startswith("linux"):
        return Check("display for napari", None, "provided by the system")
    absent = [name for name in _DISPLAY_LIBRARIES if ctypes.util.find_library(name) is None]
    shown = "a display is set" if os.environ.get("DISPLAY") else "no display is set (xvfb-run gives one)"
    if not absent:
        return Check("display for napari", None, f"all libraries found; {shown}")
    return Check(
        "display for napari",
        None,
        f"optional; absent: {', '.join(absent)}; {shown}",
        f"apt-get install {_DISPLAY_PACKAGES}",
    )
