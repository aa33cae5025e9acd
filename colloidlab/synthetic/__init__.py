"""Physics and rendering of sample videos whose ground truth is known exactly."""
