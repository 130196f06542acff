"""What a run looks like: its history, plots and pictures."""
