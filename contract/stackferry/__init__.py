"""Stackferry's contract: everything that services, agents, the command line and integrators agree on.

It needs kombu, marshmallow and PyYAML, and knows nothing of the services that speak it.
"""

__version__ = "0.1.0"
