"""What everybody is told, and what leaves the parking queue."""
