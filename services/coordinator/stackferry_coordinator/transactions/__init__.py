"""One transaction a message, and what goes on beside: the clock, the relay, who is there."""
