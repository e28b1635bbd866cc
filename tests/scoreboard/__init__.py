"""The reliability scoreboard: faults of seventeen sorts, counted, and what came of them. Run by `make scoreboard`."""
