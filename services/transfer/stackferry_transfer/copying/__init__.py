"""A pass over a part of a volume, whoever brings its blocks."""
