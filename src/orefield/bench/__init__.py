"""Measurements: races between mining rules."""
