"""What runs the platform as containers; only the health check is Python."""
