"""The agent on a conversion host: it will move volumes, block by block. Empty until servers cross."""
