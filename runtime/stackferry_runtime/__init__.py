"""What every service process shares: launcher, nameko bus adapter, settings, logs, sessions with clouds."""
