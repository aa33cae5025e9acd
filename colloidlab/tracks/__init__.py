"""Linking features into tracks, and what a whole track tells about its particle."""

from colloidlab.tracks.linking import LinkChoice, link, link_arrays, link_automatically
from colloidlab.tracks.search_range import SearchRange, estimate_search_range
from colloidlab.tracks.size import robust_radius

__all__ = [
    "LinkChoice",
    "SearchRange",
    "estimate_search_range",
    "link",
    "link_arrays",
    "link_automatically",
    "robust_radius",
]
