"""Random tenants, moved between two real clouds and judged by a reader of its own.

A seed makes a description (``generator``), which ``seeding`` makes in a cloud by plain REST calls. ``reader`` reads a
project as the API reference describes it and shares no code with the product; ``judge`` migrates and compares.
"""
