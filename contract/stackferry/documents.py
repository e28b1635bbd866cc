"""Data files: OS Migrate's YAML, read in every version since 0.13, written in the current form or for OS Migrate.

A file is ``{os_migrate_version, resources: [{type, params, _info, _migration_params}]}``; a data directory holds
one file a kind (``networks.yml`` ...). Keys that we don't know are kept.
"""

from __future__ import annotations

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
    except yaml.YAMLError as error:
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
    parts = version.split(".")
    return len(parts) >= 2 and all(p.isdigit() for p in parts[:2]) and (int(parts[0]), int(parts[1])) >= (0, 13)


class _Loader(yaml.SafeLoader):
    """A SafeLoader that refuses a key that stands twice: the first one would be lost in silence."""

    def construct_mapping(self, node: Any, deep: bool = False) -> Any:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]  # type: ignore[no-untyped-call]
        for number, key in enumerate(keys):
            if key in keys[:number]:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key!r} stands twice", node.value[number][0].start_mark
                )
        return super().construct_mapping(node, deep)


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


def problems(named: Iterable[tuple[str, Document]]) -> list[str]:
    """Return what is wrong with (file, document) pairs taken together, one line each."""
    found: list[str] = []
    identities: Counter[tuple[str, Any]] = Counter()
    for file, document in named:
        where = f"{file}: {label(document)}"
        found += [f"{where}: {problem}" for problem in _document_problems(document)]
        if not found and (id_ := document["_info"].get("id")):
            identities[(document["type"], id_)] += 1
            if identities[(document["type"], id_)] == 2:
                found.append(f"{where}: stands twice (_info.id {id_}); remove one")
    return found


def label(document: Any) -> str:
    """What people call a document: its type and name."""
    if not isinstance(document, dict):
        return repr(document)[:60]
    kind = BY_TYPE.get(str(document.get("type")))
    params = document.get("params")
    title = (
        kind.title(params)
        if kind and isinstance(params, dict)
        else (params or {}).get("name")
        if isinstance(params, dict)
        else "?"
    )
    return f"{kind.kind if kind else document.get('type')} {title!r}"


def _document_problems(document: Any) -> list[str]:
    if not isinstance(document, dict):
        return ["expected an object with type and params"]
    kind = BY_TYPE.get(str(document.get("type")))
    if kind is None:
        if document.get("type") in KNOWN_TYPES:
            return []
        return [f"type is {document.get('type')!r}; known are {', '.join(sorted(BY_TYPE))}"]
    params = document.get("params")
    if not isinstance(params, dict):
        return ["params is missing, or not an object"]
    said = {n: v for n, v in params.items() if v is not None and n in kind.declared()}
    return [f"params.{path}: {text}" for path, text in flatten(kind().validate(said))]


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
            named += [(file.name, document) for document in load(file.read_text("utf-8"), file.name)]
        except InvalidDocument as error:
            wrong += error.problems
        except (OSError, UnicodeDecodeError) as error:
            wrong.append(f"{file.name}: can't be read: {error}")
    if wrong := wrong + problems(named):
        raise InvalidDocument(wrong)
    return [document for _, document in named]


def write_directory(directory: Path, documents: Iterable[Document], compatible: bool = False) -> list[Path]:
    """Write documents into one file a kind; return the files. Files of kinds without documents are not touched.

    A resource that is in a file already is replaced in its place (same type and ``_info.id``), others are added.
    *compatible*: only what OS Migrate 1.0.5 accepts.
    """
    directory.mkdir(parents=True, exist_ok=True)
    by_kind: dict[str, list[Document]] = {}
    for document in documents:
        kind = BY_TYPE[document["type"]]
        if compatible and kind.kind not in OS_MIGRATE_KINDS:
            continue
        by_kind.setdefault(kind.kind, []).append(for_os_migrate(document) if compatible else document)
    written = []
    for kind_name, fresh in by_kind.items():
        path = directory / f"{KINDS[kind_name].file}.yml"
        merged = _merge(load(path.read_text("utf-8"), path.name) if path.exists() else [], fresh)
        new = path.with_suffix(".yml.new")
        new.write_text(dump(merged), "utf-8")
        new.replace(path)
        written.append(path)
    return written


def _merge(old: list[Document], fresh: list[Document]) -> list[Document]:
    def key(document: Document) -> Any:
        return document.get("_info", {}).get("id") or id(document)

    by_id = {key(document): document for document in fresh}
    return [by_id.pop(key(document), document) for document in old] + list(by_id.values())


def for_os_migrate(document: Document) -> Document:
    """Return a copy with only what OS Migrate 1.0.5 knows: extra params would count as differences there."""
    extra = OURS.get(BY_TYPE[document["type"]].kind, frozenset())
    params = {name: value for name, value in document["params"].items() if name not in extra}
    gateway = params.get("external_gateway_refinfo")
    if gateway:
        params["external_gateway_refinfo"] = {"network_ref": gateway["network_ref"]}
    for name in EXPECTED.get(document["type"], ()):
        params.setdefault(name, None)
    info = {k: v for k, v in document["_info"].items() if k not in ("source_ids", "fingerprint")}
    return {**document, "params": params, "_info": info}


#: params that are ours alone, by kind
OURS: dict[str, frozenset[str]] = {
    "subnet": frozenset({"dns_publish_fixed_ip"}),
    "router": frozenset({"routes"}),
    "security_group": frozenset({"stateful", "tags", "is_shared"}),
    "security_group_rule": frozenset({"remote_address_group_ref"}),
    "image": frozenset({"tags", "members"}),
}
#: params that OS Migrate wants to see and we don't use, by type
EXPECTED = {"openstack.subnet.Subnet": ("use_default_subnet_pool",)}
