"""The page at `/`: static files that the service itself serves."""
