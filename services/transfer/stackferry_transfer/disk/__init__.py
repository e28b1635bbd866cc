"""A volume on this host: found, opened, read and written, and what is certainly on it."""
