"""The standard way for blocks: nbdkit serves, nbdcopy fetches."""
