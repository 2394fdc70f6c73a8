"""Models of other toolkits in, ours out."""
