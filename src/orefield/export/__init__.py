"""Getting results out: camera paths and videos."""
