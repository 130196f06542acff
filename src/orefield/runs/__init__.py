"""Runs: a folder on disk, saved and resumed; the loop that fills it; its evaluation."""
