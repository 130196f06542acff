"""Reports of a run: its history, plots, pictures and videos."""
