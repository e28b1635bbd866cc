"""Real OpenStack clouds on loopback, for tests and a demo.

Begin with ``sandbox = Sandbox()``, then ``sandbox.up()`` and ``sandbox.connect("src")``.
"""

from stackferry_sandbox.accesslog import Request
from stackferry_sandbox.errors import SandboxError
from stackferry_sandbox.faults import Action, Rule
from stackferry_sandbox.sandbox import Sandbox

__all__ = ["Action", "Request", "Rule", "Sandbox", "SandboxError"]
