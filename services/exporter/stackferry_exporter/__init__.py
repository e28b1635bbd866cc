"""Reads a source cloud and publishes what it holds."""
