"""From tracks to what the learner reads: windows of frames with graphs, boundary marks and time-block splits."""
