"""Linking features into tracks, and what a whole track tells about its particle."""

from colloidlab.tracks.drift import AffineMotion, estimate_motion, subtract_motion
from colloidlab.tracks.linking import LinkChoice, link, link_arrays, link_automatically
from colloidlab.tracks.quality import track_quality
from colloidlab.tracks.search_range import SearchRange, estimate_search_range
from colloidlab.tracks.size import robust_radius

__all__ = [
    "AffineMotion",
    "LinkChoice",
    "SearchRange",
    "estimate_motion",
    "estimate_search_range",
    "link",
    "link_arrays",
    "link_automatically",
    "robust_radius",
    "subtract_motion",
    "track_quality",
]
