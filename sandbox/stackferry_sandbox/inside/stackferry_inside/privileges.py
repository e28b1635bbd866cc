"""Run what asks for more privileges in this process: no sudo, no privsep daemon.

Nothing here needs them: volumes are files of the same user.
"""

from typing import Any


def adapt() -> None:
    """Adapt oslo.privsep and oslo.concurrency."""
    from oslo_concurrency import processutils
    from oslo_privsep import priv_context

    make_context = priv_context.PrivContext.__init__

    def in_process(self: Any, *args: Any, **options: Any) -> None:
        make_context(self, *args, **options)
        self.client_mode = False

    run = processutils.execute

    def unprivileged(*command: Any, **options: Any) -> Any:
        options.pop("run_as_root", None)
        options.pop("root_helper", None)
        return run(*command, **options)

    priv_context.PrivContext.__init__ = in_process
    processutils.execute = unprivileged
