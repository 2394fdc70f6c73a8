"""Serves what the model registry says, and changes over while it works."""
