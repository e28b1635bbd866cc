"""On the path of a service that is to crash at a named point: ``CRASH_AT=module:function:before|after``.

It ends there, as by ``kill -9``, the ``CRASH_NTH`` time, and only once: ``CRASH_FILE`` says afterwards that it has.
"""

import functools
import importlib.machinery
import os
import sys

module_, function_, when_ = (os.environ.get("CRASH_AT") or "::").split(":")
seen = [0]


def reached():
    """Crash, if it's time."""
    seen[0] += 1
    if seen[0] < int(os.environ["CRASH_NTH"]):
        return
    try:
        os.close(os.open(os.environ["CRASH_FILE"], os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return
    os._exit(137)


def wrapped(plain):
    """The function, with a crash beside it."""

    @functools.wraps(plain)
    def call(*args, **kwargs):
        if when_ == "before":
            reached()
        result = plain(*args, **kwargs)
        if when_ == "after":
            reached()
        return result

    return call


class Finder:
    """Wraps the function once its module is there."""

    @classmethod
    def find_spec(cls, name, path=None, target=None):
        """Find the one module that is to be changed."""
        if name != module_:
            return None
        spec = importlib.machinery.PathFinder.find_spec(name, path, target)
        execute = spec.loader.exec_module

        def exec_module(module):
            execute(module)
            *owners, last = function_.split(".")
            owner = functools.reduce(getattr, owners, module)
            setattr(owner, last, wrapped(getattr(owner, last)))

        spec.loader.exec_module = exec_module
        return spec


if module_:
    sys.meta_path.insert(0, Finder)
