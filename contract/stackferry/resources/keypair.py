"""Key pairs: public keys for servers; private keys never leave their owner. Source: Compute API, "Keypairs"."""

from __future__ import annotations

import re
from collections.abc import Iterable
from types import SimpleNamespace
from typing import Any

from .answer import checked
from .fields import Portable, Text
from .hints import Hints
from .kind import Kind
from .view import View


class Owner(Portable):
    """The user a key pair belongs to: always the one who migrates."""

    def export(self, value: Any, view: View) -> Any:
        return {"name": "%auth%", "domain_name": "%auth%", "project_name": None}

    def differs(self, want: Any, have: Any) -> bool:
        return False


class Keypair(Kind):
    """A public key of the migrating user; it belongs to a user, not to a project."""

    type = "openstack.compute.Keypair"
    file = "keypairs"
    service = "compute"
    fixed = frozenset({"public_key", "type"})
    info = ("created_at", "fingerprint", "id", "is_deleted", "user_id")

    name = Text("name; unique for its user", required=True)
    public_key = Text("the public key, as in authorized_keys, or an X.509 certificate", required=True)
    type_ = Text("ssh or x509", data_key="type", attribute="type")
    user_ref = Owner("its owner: the user who migrates", attribute="user_id")

    @classmethod
    def listing(cls, view: View) -> Iterable[Any]:
        """The user's own key pairs."""
        yield from view.proxy("compute").keypairs()

    @classmethod
    def create(cls, view: View, body: dict[str, Any], hints: Hints) -> Any:
        """Names with @ and . exist since microversion 2.92; openstacksdk speaks an older one."""
        if re.fullmatch(r"[\w -]+", body["name"], re.ASCII):
            return super().create(view, body, hints)
        answer = checked(view.proxy("compute").post("/os-keypairs", json={"keypair": body}, microversion="2.92"))
        return SimpleNamespace(**{"id": body["name"], **answer.json()["keypair"]})

    @classmethod
    def prepare(cls, params: dict[str, Any], view: View) -> tuple[dict[str, Any], list[str]]:
        """The owner is whoever imports."""
        params, notes = super().prepare(params, view)
        return {n: v for n, v in params.items() if n != "user_ref"}, notes
