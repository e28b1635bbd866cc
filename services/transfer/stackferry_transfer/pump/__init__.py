"""Our own way for blocks between two agents: the destination asks, the source answers each."""
