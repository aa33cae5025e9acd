"""Linking features into tracks, and what a whole track tells about its particle."""

from colloidlab.tracks.linking import link, link_arrays
from colloidlab.tracks.search_range import SearchRange, estimate_search_range
from colloidlab.tracks.size import robust_radius

__all__ = ["SearchRange", "estimate_search_range", "link", "link_arrays", "robust_radius"]
