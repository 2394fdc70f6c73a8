"""Which waiting segments go to a device next."""
