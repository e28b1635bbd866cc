"""The one exception that the sandbox raises on purpose."""


class SandboxError(Exception):
    """Something a person can act on; its text says what happened and what to do."""
