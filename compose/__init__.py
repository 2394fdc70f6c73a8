"""How Dragoman runs: the local stack, containers, dashboards. Knows no translation."""
