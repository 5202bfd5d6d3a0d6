"""Parts of files that are classified by themselves: boxes of a detector, and frames of a video."""
