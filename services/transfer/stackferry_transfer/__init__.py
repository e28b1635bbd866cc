"""The agent on a conversion host: it moves volumes, block by block, from one cloud's host to the other's."""
