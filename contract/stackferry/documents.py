"""Data files: OS Migrate's YAML, read in every version since 0.13, written in the current form or for OS Migrate.

A file is ``{os_migrate_version, resources: [{type, params, _info, _migration_params}]}``; a data directory holds
one file a kind (``networks.yml`` ...). Keys that we don't know are kept.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml

from .errors import InvalidDocument
from .resources import BY_TYPE, KINDS

Document = dict[str, Any]

#: what we write: OS Migrate's format, with fields that it doesn't have
VERSION = "1.0.5"
#: fields of a kind that OS Migrate 1.0.5 knows; the rest is dropped from a compatible file
OS_MIGRATE_KINDS = ("network", "subnet", "router", "router_interface", "security_group", "security_group_rule",
                    "image", "keypair")  # fmt: skip
#: kinds that other parts of the product will read; they're kept, and not imported yet
KNOWN_TYPES = frozenset(
    {
        "openstack.compute.Flavor",
        "openstack.compute.Server",
        "openstack.identity.Project",
        "openstack.identity.UserProjectRoleAssignment",
        "openstack.network.ServerVolume",
        "openstack.user.User",
    }
)
#: keys of files older than references → the reference that took their place
OLD_REFERENCES = {
    "network_name": "network_ref",
    "segment_name": "segment_ref",
    "subnet_pool_name": "subnet_pool_ref",
    "qos_policy_name": "qos_policy_ref",
    "flavor_name": "flavor_ref",
    "security_group_name": "security_group_ref",
    "remote_group_name": "remote_group_ref",
    "kernel_name": "kernel_ref",
    "ramdisk_name": "ramdisk_ref",
}


class _Dumper(yaml.SafeDumper):
    """Plain YAML without anchors, which other readers may not resolve."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def dump(documents: Iterable[Document], version: str = VERSION) -> str:
    """Return the text of a data file: keys sorted, resources in the given order."""
    content = {"os_migrate_version": version, "resources": list(documents)}
    return yaml.dump(content, Dumper=_Dumper, default_flow_style=False, allow_unicode=True)


def load(text: str, name: str = "data") -> list[Document]:
    """Return the documents of one file in today's form; raise InvalidDocument."""
    try:
        content = yaml.load(text, Loader=_Loader)  # noqa: S506 - a SafeLoader
    except (yaml.YAMLError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f", line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise InvalidDocument([f"{name}{where}: not valid YAML: {getattr(error, 'problem', None) or error}"]) from None
    if not isinstance(content, dict) or not isinstance(content.get("resources"), list):
        raise InvalidDocument([f"{name}: expected the keys os_migrate_version and resources (a list)"])
    version = content.get("os_migrate_version")
    if not isinstance(version, str) or not _readable(version):
        raise InvalidDocument([f"{name}: os_migrate_version is {version!r}; versions from 0.13 on can be read"])
    return [upgrade(document) if isinstance(document, dict) else document for document in content["resources"]]


def _readable(version: str) -> bool:
    found = _VERSION.match(version)
    return found is not None and (int(found[1]), int(found[2])) >= (0, 13)


_VERSION = re.compile(r"(\d{1,4})\.(\d{1,4})(\.|$)", re.ASCII)


class _Loader(yaml.SafeLoader):
    """A SafeLoader of what JSON has too, since documents travel as JSON; the rest is refused where it stands.

    A key that stands twice is refused as well: the first one would be lost in silence.
    """

    def construct_object(self, node: Any, deep: bool = False) -> Any:
        try:
            # deep: what contains itself is then found out
            value = super().construct_object(node, deep=True)  # type: ignore[no-untyped-call]
            if isinstance(value, str):
                value.encode()  # half a surrogate pair can't be
            elif isinstance(value, float) and not math.isfinite(value):
                raise ValueError
        except (ValueError, KeyError):
            raise _unusable(f"{node.value!r} is nothing that a message can carry", node) from None
        return value

    def construct_mapping(self, node: Any, deep: bool = False) -> Any:
        seen = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node)
            if not isinstance(key, str):
                raise _unusable(f"the key {key!r} is no text", key_node)
            if key in seen:
                raise _unusable(f"the key {key!r} stands twice", key_node)
            seen.add(key)
        return super().construct_mapping(node, deep)


def _unusable(problem: str, node: Any) -> yaml.YAMLError:
    return yaml.constructor.ConstructorError(None, None, problem, node.start_mark)


# neither bytes nor sets nor ordered mappings; a timestamp stays the text that it is
_Loader.yaml_constructors = {
    tag: construct
    for tag, construct in yaml.SafeLoader.yaml_constructors.items()
    if tag is None or tag.rpartition(":")[2] in ("null", "bool", "int", "float", "str", "seq", "map")
} | {"tag:yaml.org,2002:timestamp": yaml.SafeLoader.construct_yaml_str}


def upgrade(document: Document) -> Document:
    """Return *document* in today's form: names of references become references, absent parts empty ones."""
    params = document.get("params")
    if not isinstance(params, dict):
        return document
    renamed = {}
    for key, value in params.items():
        ref = OLD_REFERENCES.get(key)
        if ref is None or ref in params:
            renamed[key] = value
        else:
            renamed[ref] = None if value is None else {"name": value, "project_name": None, "domain_name": None}
    return {**document, "params": renamed, "_info": document.get("_info") or {},
            "_migration_params": document.get("_migration_params") or {}}  # fmt: skip


def problems(named: Iterable[tuple[str, Any]]) -> list[str]:
    """Return what is wrong with (file, document) pairs taken together, one line each."""
    found: list[str] = []
    seen: Counter[tuple[str, str]] = Counter()
    for file, document in named:
        wrong = _wrong_form(document)
        if not wrong:
            wrong = _wrong_fields(document)
            if identity := _identity(document):
                seen[identity] += 1
                if seen[identity] == 2:
                    wrong.append(f"stands twice (_info.id {identity[1]}); remove one")
        found += _lines(file, document, wrong)
    return found


def _lines(file: str, document: Any, wrong: list[str]) -> list[str]:
    return [f"{file}: {label(document)}: {problem}" for problem in wrong]


def label(document: Any) -> str:
    """What people call a document: its kind and title; its name or id while something is wrong with it."""
    if not isinstance(document, dict):
        return repr(document)[:60]
    kind = BY_TYPE.get(str(document.get("type")))
    params, info = ({} if not isinstance(part := document.get(n), dict) else part for n in ("params", "_info"))
    if kind and not _wrong_form(document) and not _wrong_fields(document):
        title: Any = kind.title(params)
    else:
        title = params.get("name") or info.get("id") or "?"
    return f"{kind.kind if kind else document.get('type')} {title!r}"


def _wrong_form(document: Any) -> list[str]:
    """What is wrong with the parts that every document has, whatever its type."""
    if not isinstance(document, dict):
        return ["expected an object with type and params"]
    wrong = []
    if not isinstance(document.get("type"), str):
        wrong.append(_unknown_type(document))
    if not isinstance(document.get("params"), dict):
        wrong.append("params is missing, or not an object")
    wrong += [
        f"{n} is not an object" for n in ("_info", "_migration_params") if not isinstance(document.get(n, {}), dict)
    ]
    if not wrong and not isinstance(document.get("_info", {}).get("id"), str | None):
        wrong.append("_info.id is not a text")
    return wrong


def _wrong_fields(document: Document) -> list[str]:
    """What is wrong with the params of a document whose form is right."""
    kind = BY_TYPE.get(document["type"])
    if kind is None:
        return [] if document["type"] in KNOWN_TYPES else [_unknown_type(document)]
    said = {n: v for n, v in document["params"].items() if v is not None and n in kind.declared()}
    return [f"params.{path}: {text}" for path, text in flatten(kind().validate(said))]


def _unknown_type(document: Document) -> str:
    return f"type is {document.get('type')!r}; known are {', '.join(sorted(BY_TYPE))}"


def _identity(document: Document) -> tuple[str, str] | None:
    """Type and id of a document whose form is right; None when it has no id."""
    id_ = document.get("_info", {}).get("id")
    return (document["type"], id_) if id_ else None


def flatten(errors: Any, path: str = "") -> list[tuple[str, str]]:
    """Return (path, text) of each message in marshmallow's nested errors."""
    if isinstance(errors, dict):
        return [pair for key, value in errors.items() for pair in flatten(value, f"{path}.{key}".lstrip("."))]
    if isinstance(errors, list):
        return [pair for value in errors for pair in flatten(value, path)]
    return [(path, str(errors))]


def kind_of(document: Document) -> str | None:
    """The kind's name, or None for a type that isn't imported."""
    kind = BY_TYPE.get(document["type"])
    return kind.kind if kind else None


def read_directory(directory: Path) -> list[Document]:
    """Return every document of a data directory; raise InvalidDocument with all that is wrong in it."""
    files = sorted(p for p in directory.glob("*.y*ml") if p.stem in {k.file for k in KINDS.values()})
    if not directory.is_dir() or not files:
        raise InvalidDocument([f"{directory}: no data files here (networks.yml ...)"])
    named: list[tuple[str, Document]] = []
    wrong: list[str] = []
    for file in files:
        try:
            named += [(file.name, document) for document in _read(file)]
        except InvalidDocument as error:
            wrong += error.problems
    if wrong := wrong + problems(named):
        raise InvalidDocument(wrong)
    return [document for _, document in named]


def _read(file: Path) -> list[Document]:
    try:
        text = file.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidDocument([f"{file.name}: can't be read: {error}"]) from None
    return load(text, file.name)


def write_directory(directory: Path, documents: Iterable[Document], compatible: bool = False) -> list[Path]:
    """Write documents into one file a kind; return the files. Files of kinds without documents are not touched.

    A resource that is in a file already is replaced in its place (same type and ``_info.id``), others are added.
    *compatible*: only what OS Migrate 1.0.5 accepts; :func:`obstacle_for_os_migrate` says what that leaves out.
    """
    by_kind: dict[str, list[Document]] = {}
    for document in documents:
        if compatible and obstacle_for_os_migrate(document):
            continue
        kind = BY_TYPE[document["type"]].kind
        by_kind.setdefault(kind, []).append(for_os_migrate(document) if compatible else document)
    directory.mkdir(parents=True, exist_ok=True)
    # all are merged before one is written: what is in the way is found while nothing has changed
    paths = {directory / f"{KINDS[kind].file}.yml": fresh for kind, fresh in by_kind.items()}
    merged = {path: _merge(_kept(path), fresh) for path, fresh in paths.items()}
    for path, content in merged.items():
        new = path.with_suffix(".yml.new")
        new.write_text(dump(content), "utf-8")
        new.replace(path)
    return list(merged)


def _kept(path: Path) -> list[Document]:
    """The documents that are in a file already, of whatever type; raise InvalidDocument when some are none."""
    old = _read(path) if path.exists() else []
    if wrong := [line for document in old for line in _lines(path.name, document, _wrong_form(document))]:
        raise InvalidDocument(wrong)
    return old


def _merge(old: list[Document], fresh: list[Document]) -> list[Document]:
    def key(document: Document) -> Any:
        return _identity(document) or id(document)

    by_key = {key(document): document for document in fresh}
    return [by_key.pop(key(document), document) for document in old] + list(by_key.values())


def obstacle_for_os_migrate(document: Document) -> str | None:
    """Why OS Migrate 1.0.5 can't be given a document at all; None when it can."""
    kind = BY_TYPE[document["type"]].kind
    if kind not in OS_MIGRATE_KINDS:
        return "OS Migrate doesn't know this kind"
    if lost := [name for name in sorted(VITAL.get(kind, ())) if document["params"].get(name)]:
        return f"OS Migrate doesn't know {', '.join(lost)}, and without it this would mean something else"
    return None


def for_os_migrate(document: Document) -> Document:
    """Return a copy with only what OS Migrate 1.0.5 knows: extra params would count as differences there."""
    kind = BY_TYPE[document["type"]].kind
    extra = OURS.get(kind, frozenset()) | VITAL.get(kind, frozenset())
    params = {name: value for name, value in document["params"].items() if name not in extra}
    gateway = params.get("external_gateway_refinfo")
    if gateway:
        params["external_gateway_refinfo"] = {"network_ref": gateway["network_ref"]}
    for name in EXPECTED.get(document["type"], ()):
        params.setdefault(name, None)
    info = {k: v for k, v in document["_info"].items() if k not in ("source_ids", "tells_apart")}
    return {**document, "params": params, "_info": info}


#: params that are ours alone, by kind
OURS: dict[str, frozenset[str]] = {
    "subnet": frozenset({"dns_publish_fixed_ip"}),
    "router": frozenset({"routes"}),
    "security_group": frozenset({"stateful", "tags", "is_shared"}),
    "image": frozenset({"tags", "members"}),
}
#: those of them that can't be left out of a document: a rule for an address group would let everybody in
VITAL: dict[str, frozenset[str]] = {"security_group_rule": frozenset({"remote_address_group_ref"})}
#: params that OS Migrate wants to see and we don't use, by type
EXPECTED = {"openstack.subnet.Subnet": ("use_default_subnet_pool",)}
