"""keystone.conf."""

from stackferry_sandbox.configs.common import CloudSettings, Sections, log_options


def sections(cloud: CloudSettings) -> Sections:
    """Fernet tokens that last a day, and cheap password hashes: logins are frequent in tests."""
    return {
        "DEFAULT": log_options(cloud, "keystone") | {"public_endpoint": cloud.url("keystone").removesuffix("/v3")},
        "database": {"connection": cloud.database("keystone")},
        "fernet_tokens": {"key_repository": cloud.root / "fernet"},
        # Multi-factor receipts have keys of their own; without them keystone complains at every start.
        "fernet_receipts": {"key_repository": cloud.root / "fernet"},
        "credential": {"key_repository": cloud.root / "credential"},
        "token": {"expiration": 86400},
        # bcrypt takes 72 characters; with keystone's own limit of 4096 it warns at every login.
        "identity": {"password_hash_rounds": 4, "max_password_length": 72},
        "cache": {"enabled": True, "backend": "dogpile.cache.memory"},
        "oslo_messaging_notifications": {"driver": "noop"},
    }
