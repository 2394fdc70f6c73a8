"""How good the translations are: scores, comparison, reports."""
