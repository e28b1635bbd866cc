"""Data files: OS Migrate's YAML, read in every version since 0.13, written in the current form or for OS Migrate.

A file is ``{os_migrate_version, resources: [{type, params, _info, _migration_params}]}``. Every YAML file of a data
directory is read; one a kind is written (``networks.yml`` ...). Keys that we don't know are kept.
"""

from .checking import flatten, label, problems
from .directory import MAX_RESOURCES, Contents, read_directory, write_directory
from .document import KNOWN_TYPES, Document, kind_of
from .old_forms import OLD_REFERENCES, upgrade
from .openness import is_unsaid, lets_in, restored
from .os_migrate import (
    EXPECTED,
    OS_MIGRATE_KINDS,
    OURS,
    UNREAD_PARAMS,
    VITAL,
    for_os_migrate,
    left_out,
    obstacles_for_os_migrate,
)
from .reading import read_text
from .text import VERSION, dump, load
from .values import parse

__all__ = [
    "EXPECTED",
    "KNOWN_TYPES",
    "MAX_RESOURCES",
    "OLD_REFERENCES",
    "OS_MIGRATE_KINDS",
    "OURS",
    "UNREAD_PARAMS",
    "VERSION",
    "VITAL",
    "Contents",
    "Document",
    "dump",
    "flatten",
    "for_os_migrate",
    "is_unsaid",
    "kind_of",
    "label",
    "left_out",
    "lets_in",
    "load",
    "obstacles_for_os_migrate",
    "parse",
    "problems",
    "read_directory",
    "read_text",
    "restored",
    "upgrade",
    "write_directory",
]
