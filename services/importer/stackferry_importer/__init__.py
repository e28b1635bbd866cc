"""Makes a destination cloud match the documents that it's given."""
