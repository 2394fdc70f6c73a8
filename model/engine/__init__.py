"""The running batch: segments come, are decoded together, and leave one by one. Knows no text and no files."""
