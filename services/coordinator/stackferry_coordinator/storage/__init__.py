"""What the coordinator remembers: tables, the ledger in them, and how they're kept, saved and forgotten."""
