"""The recording of a run: found where the run says, or where a person would look when it has moved."""

from __future__ import annotations

from pathlib import Path

from colloidlab.errors import ColloidlabError
from colloidlab.files import sha256
from colloidlab.run import Run
from colloidlab.video.frames import Video
from colloidlab.video.open import open_video
from colloidlab.video.stride import every


def open_source(run: Run) -> tuple[Video | None, str]:
    """The recording of a run, its frames numbered as in the run's tables, and what there is to say about it.

    It is looked for under the path that the run has written down, seen from here and from the folders
    above the run, then by its name beside the run. A file that lies elsewhere than written down must have
    the same SHA-256.

    Returns
    -------
    video : Video or None
        None when there is none, or the run was made from a table.
    note : str
        A sentence when the recording has moved or is not there; empty otherwise.
    """
    source = run.record["source"]
    written = str(source.get("path", ""))
    if not written or source.get("kind") == "table" or run.facts("track").get("from_table"):
        return None, ""
    path, note = _find(run, Path(written), str(source.get("sha256", "")))
    if path is None:
        return None, note
    stride = int(run.record["config"].get("video", {}).get("stride", 1))
    try:
        video = every(open_video(path), stride)
        video.frames()  # a container lists its packets here, and may find that it cannot be read
    except ColloidlabError as error:
        return None, f"The recording cannot be shown: {error}"
    view = run.facts("track").get("view")
    if view and video.shape != (round(view[3] - view[1]), round(view[2] - view[0])):
        video.close()
        return None, f"{path} has another size of image than the recording of this run; it is not shown."
    return video, note


def find_source(run: Run) -> Path | None:
    """Where the recording of a run is, as `open_source` looks for it; None where it is not found."""
    source = run.record["source"]
    written = str(source.get("path", ""))
    return _find(run, Path(written), str(source.get("sha256", "")))[0] if written else None


def _find(run: Run, written: Path, digest: str) -> tuple[Path | None, str]:
    if written.exists():
        return written, ""
    folder = run.path.resolve()
    near = [] if written.is_absolute() else [above / written for above in folder.parents]
    near += [above / written.name for above in (folder, *folder.parents[:2])]
    others = [path for path in near if path.exists()]
    for path in others:
        if sha256(path) == digest:
            return path, "" if not written.is_absolute() else f"The recording has moved: {path} is used."
    if others:
        return (
            None,
            f"{others[0]} has the name of the recording of this run, but other content; it is not shown.",
        )
    return None, (
        f"The recording {written} is not there; put it beside the run folder {run.path.name} under the same name "
        "to see it"
    )
