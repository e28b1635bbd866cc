"""The stackferry command."""
