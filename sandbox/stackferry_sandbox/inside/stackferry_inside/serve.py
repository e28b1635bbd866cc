"""Run one service: adapt its process, load its application, serve it over HTTP."""

import gc
import logging
import os
import signal
import sys
import threading
import warnings
from collections.abc import Callable
from pathlib import Path

from stackferry_inside import accesslog, bus, faults, httpserver, privileges, sqlite
from stackferry_inside.launcher import NoEventlet

GARBAGE_THRESHOLD = 20_000
"""Objects made before the garbage collector looks; Python's own 700 makes it look at every request."""

LOG = logging.getLogger("stackferry_inside")


def serve(service: str, root: Path, port: int, finder: NoEventlet) -> None:
    """Become a service and serve until the process is ended."""
    sys.argv = [service]
    choose_threads(service, finder)
    sqlite.adapt()
    bus.adapt()
    privileges.adapt()
    rules = faults.RuleFile(root / "faults" / f"{service}.json")
    faults.adapt_token_middleware(rules)
    from stackferry_inside import applications

    application, start_workers = applications.LOADERS[service](root / "etc")
    # Outside of it all, the log: it also shows what a fault did.
    application = faults.Gate(application, rules, named=False)
    application = accesslog.Logged(application, root / "log" / f"{service}.access.jsonl")
    # Nothing needs an orderly end: databases survive a kill as well.
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    if start_workers:
        threading.Thread(target=start_or_die, args=(service, start_workers), daemon=True).start()
    if folder := os.environ.get("STACKFERRY_SANDBOX_MODULES"):
        threading.Timer(30, list_modules, args=(Path(folder) / f"{service}.modules",)).start()
    # Importing the service has put filters of its own in place; its deprecations only fill the log.
    warnings.simplefilter("ignore")
    spare_the_collector()
    httpserver.serve_forever(application, port)


def choose_threads(service: str, finder: NoEventlet) -> None:
    """Make a service use native threads.

    nova and cinder decide at import: it has to be said before anything imports eventlet. cinder and
    neutron import eventlet itself (through oslo_service.wsgi), so these two may, but never patch.
    """
    if service in ("cinder", "neutron"):
        sys.meta_path.remove(finder)  # type: ignore[arg-type]
    if service == "nova":
        os.environ["OS_NOVA_DISABLE_EVENTLET_PATCHING"] = "1"
        from nova import monkey_patch

        monkey_patch.patch(backend="threading")
    elif service == "cinder":
        os.environ["OS_CINDER_DISABLE_EVENTLET_PATCHING"] = "1"
        from cinder import monkey_patch

        monkey_patch.patch(backend="threading")


def spare_the_collector() -> None:
    """Keep the garbage collector from going through all that a service has loaded, again and again."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(GARBAGE_THRESHOLD)


def start_or_die(service: str, start_workers: Callable[[], None]) -> None:
    """Start the workers beside the API; without them the service is of no use."""
    try:
        start_workers()
        LOG.warning("%s: all workers started", service)
    except BaseException:
        LOG.exception("%s: the workers did not start", service)
        os._exit(1)


def list_modules(path: Path) -> None:
    """Write what a service has imported: preload.txt holds what three or more have in common."""
    path.write_text("\n".join(list(sys.modules)), encoding="utf-8")
