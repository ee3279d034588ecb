"""One file a schema revision, `r<number>_<what>.py`, in the order they run."""
