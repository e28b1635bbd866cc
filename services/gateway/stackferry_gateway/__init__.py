"""The HTTP face: API, live page, metrics. Empty until that face is built."""
