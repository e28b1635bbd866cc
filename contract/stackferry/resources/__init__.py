"""The kinds of resources; every module here that declares one registers it when this package is imported."""

from importlib import import_module
from pkgutil import iter_modules

from .kind import BY_TYPE, KINDS, Kind, order

for _module in iter_modules(__path__):
    import_module(f"{__name__}.{_module.name}")

__all__ = ["BY_TYPE", "KINDS", "Kind", "order"]
