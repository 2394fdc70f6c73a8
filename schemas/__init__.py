"""What travels: jobs, results, dead letters, and the topics they travel on. Knows pydantic only."""
