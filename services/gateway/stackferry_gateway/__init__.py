"""HTTP: what a client can ask and request on the bus, and events as they are told."""
