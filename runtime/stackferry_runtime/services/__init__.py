"""A service under nameko: how it starts, what it hears and says. The only place that knows nameko and eventlet."""
