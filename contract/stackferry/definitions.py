"""RabbitMQ's ``definitions.json``, generated from the topology: what a broker loads when it starts.

Source: RabbitMQ "Schema Definition Export and Import". Password hashes are the documented
``rabbit_password_hashing_sha256``: base64(salt + sha256(salt + password)).
"""

from __future__ import annotations

import base64
import hashlib
import os
from typing import Any

from . import topology
from .topology import User

HASHING = "rabbit_password_hashing_sha256"


def definitions(passwords: dict[str, str], vhost: str = "/", admin: str | None = None) -> dict[str, Any]:
    """Exchanges, queues, bindings, policies, and one user per service with the least permissions.

    *passwords*: user name to password, one for each of ``topology.USERS`` that is to exist, and for *admin*,
    a user who may do everything (operators; tests).
    """
    users = [user for user in topology.USERS if user.name in passwords]
    people = [(user.name, "") for user in users] + ([(admin, "administrator")] if admin else [])
    rights = [_permission(user, vhost) for user in users]
    if admin:
        rights.append({"user": admin, "vhost": vhost, "configure": ".*", "write": ".*", "read": ".*"})
    return {
        "vhosts": [{"name": vhost}],
        "users": [
            {
                "name": name,
                "password_hash": password_hash(passwords[name]),
                "hashing_algorithm": HASHING,
                "tags": tags,
            }
            for name, tags in people
        ],
        "permissions": rights,
        "topic_permissions": [right for user in users for right in _topic_permissions(user, vhost)],
        "policies": [
            {"vhost": vhost, "name": f"stackferry-{name}", "priority": 10, "apply-to": "queues", **policy}
            for name, policy in topology.POLICIES.items()
        ],
        "exchanges": [
            {
                "name": x.name,
                "vhost": vhost,
                "type": x.type,
                "durable": True,
                "auto_delete": False,
                "internal": False,
                "arguments": {},
            }
            for x in topology.exchanges()
        ],
        "queues": [
            {
                "name": q.name,
                "vhost": vhost,
                "durable": True,
                "auto_delete": False,
                "arguments": _arguments(q),
            }
            for q in topology.queues()
        ],
        "bindings": [
            {
                "source": exchange,
                "vhost": vhost,
                "destination": q.name,
                "destination_type": "queue",
                "routing_key": key,
                "arguments": {},
            }
            for q in topology.queues()
            for exchange, key in topology.bindings(q)
        ],
    }


def user_definitions(users: dict[User, str], vhost: str = "/") -> dict[str, Any]:
    """Users for a broker that runs, each with the hash of its password."""
    return {
        "users": [
            {"name": user.name, "password_hash": hash_, "hashing_algorithm": HASHING, "tags": ""}
            for user, hash_ in users.items()
        ],
        "permissions": [_permission(user, vhost) for user in users],
        "topic_permissions": [right for user in users for right in _topic_permissions(user, vhost)],
    }


def _topic_permissions(user: User, vhost: str) -> list[dict[str, str]]:
    """Which facts a user may tell, for which queues it may postpone and park messages (its own), what it may hear."""
    own = [topology.PARKED, *map(topology.retry_exchange, topology.BACKOFF)]
    allowed = {topology.FACTS.name: user.topics, **{exchange.name: user.works for exchange in own}}
    written = [
        {"user": user.name, "vhost": vhost, "exchange": exchange, "write": _any(keys), "read": ".*"}
        for exchange, keys in allowed.items()
    ]
    hears = {"exchange": topology.EVENTS.name, "write": ".*", "read": f"^({'|'.join(user.hears)})$"}
    return [*written, {"user": user.name, "vhost": vhost, **hears}]


def _arguments(queue: Any) -> dict[str, Any]:
    return dict(queue.queue_arguments)


def password_hash(password: str, salt: bytes | None = None) -> str:
    """RabbitMQ's salted SHA-256 of *password*."""
    salt = os.urandom(4) if salt is None else salt
    return base64.b64encode(salt + hashlib.sha256(salt + password.encode()).digest()).decode()


def _permission(user: User, vhost: str) -> dict[str, str]:
    own = user.own_queues
    return {
        "user": user.name,
        "vhost": vhost,
        "configure": _any((own,) if own else ()),
        "write": _any((*user.writes, *((own,) if own else ()))),
        "read": _any((*user.works, *user.reads, *((own,) if own else ()))),
    }


def _any(patterns: tuple[str, ...]) -> str:
    """One anchored expression that matches any of *patterns*; ``^$`` matches no name at all."""
    escaped = [p if "\\" in p else p.replace(".", r"\.") for p in patterns]
    return f"^({'|'.join(escaped)})$" if escaped else "^$"
