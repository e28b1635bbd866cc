"""Fork one process for each service from one process that has imported what they share.

Called as ``python -m stackferry_inside.launcher PLAN``; PLAN is a JSON list of
``{"service": ..., "port": ..., "root": folder of the cloud}``. Importing first and forking then saves
about half of the CPU time of a start, and a quarter of the memory.
"""

import gc
import importlib
import json
import os
import sys
import traceback
import warnings
from pathlib import Path
from types import ModuleType
from typing import Any

HERE = Path(__file__).parent


class NoEventlet:
    """Makes eventlet look absent while the shared modules are imported.

    All services here run on native threads. oslo libraries behave differently as soon as eventlet can be
    imported, and it only costs time.
    """

    def find_spec(self, name: str, path: object = None, target: ModuleType | None = None) -> None:
        """Refuse eventlet; leave any other module to the next finder."""
        if name.split(".")[0] == "eventlet":
            raise ImportError("no eventlet here")


def preload(finder: NoEventlet) -> None:
    """Import what at least three of the services import."""
    sys.meta_path.insert(0, finder)  # type: ignore[arg-type]
    # The backend of oslo.service must be chosen before anything else imports it.
    from oslo_service import backend

    backend.init_backend(backend.BackendType.THREADING)
    for name in (HERE / "preload.txt").read_text(encoding="utf-8").split():
        try:
            importlib.import_module(name)
        except Exception as error:
            # The list is only there for speed: a service that needs the module will say so itself.
            print(f"preload: {name}: {error!r}", file=sys.stderr, flush=True)


def identity(pid: int) -> list[object]:
    """Pid and start time: together they tell a process from any later one."""
    started = Path(f"/proc/{pid}/stat").read_text(encoding="latin-1").rpartition(")")[2].split()[19]
    return [pid, started]


def record(root: Path, service: str, launcher: int) -> None:
    """Write down which process is the service; done by the service itself, so it can't be missed."""
    path = root / "run" / f"{service}.json"
    new = path.with_suffix(".new")
    content = {"process": identity(os.getpid()), "launcher": identity(launcher)}
    new.write_text(json.dumps(content), encoding="utf-8")
    new.rename(path)


def name_process(name: str) -> None:
    """Say in the process list what this is."""
    import setproctitle

    setproctitle.setproctitle(name)


def become(step: dict[str, Any], launcher: int, lock: int | None, finder: NoEventlet) -> None:
    """Turn a forked process into a service; never returns."""
    root, service = Path(step["root"]), step["service"]
    try:
        os.setsid()
        record(root, service, launcher)
        name_process(f"stackferry-sandbox {service} of {root.name}")
        log = os.open(root / "log" / f"{service}.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        for descriptor in (1, 2):
            os.dup2(log, descriptor)
        if lock is not None:
            os.close(lock)
        os.chdir(root)
        from stackferry_inside import serve

        serve.serve(service, root, step["port"], finder)
    except BaseException:  # the process must end here, whatever happened
        traceback.print_exc()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(1)


def main() -> None:
    """Leave the caller, import, fork, then wait for the services to end."""
    if os.fork():
        os._exit(0)
    warnings.simplefilter("ignore")
    plan = json.loads(sys.argv[1])
    lock = int(os.environ.pop("STACKFERRY_SANDBOX_LOCK")) if "STACKFERRY_SANDBOX_LOCK" in os.environ else None
    finder = NoEventlet()
    preload(finder)
    gc.collect()
    gc.freeze()  # or the first collection in each process would copy all shared pages
    launcher = os.getpid()
    name_process("stackferry-sandbox launcher")
    for step in plan:
        if not os.fork():
            become(step, launcher, lock, finder)
    said = os.dup(1)
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 1)
    try:
        os.write(said, b"forked\n")
    except BrokenPipeError:
        print("launcher: whoever asked has gone", file=sys.stderr, flush=True)
    os.close(said)
    if lock is not None:
        os.close(lock)
    while True:
        try:
            os.wait()
        except ChildProcessError:
            return


if __name__ == "__main__":
    main()
