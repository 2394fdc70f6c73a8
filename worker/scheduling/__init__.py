"""Who waits, and who goes next: pools, lanes, clients, deadlines. Pure but for the waiting room; knows no service."""
