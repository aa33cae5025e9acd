"""Reading recordings: every container the lab has, one exact frame index, full bit depth, known health."""

from colloidlab.video.correction import Correction
from colloidlab.video.frames import Frame, Video
from colloidlab.video.health import Statistics, statistics
from colloidlab.video.open import open_video
from colloidlab.video.region import Region
from colloidlab.video.stride import every, used_range
from colloidlab.video.write import write_mp4

__all__ = [
    "Correction",
    "Frame",
    "Region",
    "Statistics",
    "Video",
    "every",
    "open_video",
    "statistics",
    "used_range",
    "write_mp4",
]
