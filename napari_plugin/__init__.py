"""The napari plugin: what a run holds, drawn on its video.

It calls `colloidlab` and holds no physics of its own. `napari.yaml` lists what napari may call.
"""
