"""The user data of a conversion host: a cloud-config that installs the agents and keeps them running. Pure."""

from __future__ import annotations

import shlex
from typing import Any

import yaml
from stackferry import __version__
from stackferry.errors import Error

from .wanted import Guest, Wanted

ETC = "/etc/stackferry"
LIMIT = 48_000  # bytes: Nova takes 65,535 in base64
HEADER = "#cloud-config\n"
ESCAPES = str.maketrans({mark: f"\\{mark}" for mark in '"\\$`'})  # within double quotes
UNIT = "/etc/systemd/system/stackferry-transfer@.service"

SERVICE = """\
[Unit]
Description=Stackferry transfer agent %i
After=network-online.target
Wants=network-online.target
StartLimitIntervalSec=0

[Service]
EnvironmentFile=/etc/stackferry/transfer.env
Environment=STACKFERRY_INSTANCE=%i
ExecStart=/opt/stackferry/bin/python -m stackferry_transfer
Restart=always
RestartSec=5
TimeoutStopSec=60

[Install]
WantedBy=multi-user.target
"""

#: what of it is done already isn't done again, so a person may run it by hand as well
SETUP = """\
#!/bin/sh
# Makes this server a conversion host.
set -eu
say() {{ echo "stackferry: $*"; }}
trap 'test $? = 0 || say "FAILED: this is no conversion host yet; mend it, then run sh /etc/stackferry/setup"' EXIT

find_python() {{
    for name in python3.14 python3.13 python3.12 python3.11 python3; do
        if "$name" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            command -v "$name"
            return
        fi
    done
    return 1
}}

install_python() {{
    if command -v apt-get >/dev/null; then
        export DEBIAN_FRONTEND=noninteractive
        apt-get -o DPkg::Lock::Timeout=300 -q update
        apt-get -o DPkg::Lock::Timeout=300 -q -y install python3 python3-venv
    elif command -v dnf >/dev/null; then
        dnf -q -y install python3.11 python3.11-pip
    fi
}}

works() {{ /opt/stackferry/bin/python -m stackferry_transfer --help >/dev/null 2>&1; }}

install() {{
    find_python >/dev/null || {{ say "installing Python"; install_python; }}
    python=$(find_python) || {{ say "Python 3.11 or newer with venv is needed"; exit 1; }}
    "$python" -m venv /opt/stackferry
    /opt/stackferry/bin/python -m pip install --disable-pip-version-check {packages}
    works || {{ say "the package has no stackferry_transfer that starts"; exit 1; }}
}}

if test -e /etc/stackferry/pre-hook; then say "pre hook"; /etc/stackferry/pre-hook; fi
if works; then say "the agent is installed"; else {install}; fi
systemctl daemon-reload
systemctl enable --now {units}
if test -e /etc/stackferry/post-hook; then say "post hook"; /etc/stackferry/post-hook; fi
say "agents started: {agents}"
"""


def user_data(wanted: Wanted, name: str, advertise: str | None) -> str:
    """Return it for the host *name*, which others reach at *advertise* (None: at its own address)."""
    config: dict[str, Any] = {"write_files": files(wanted, name, advertise), "runcmd": [["sh", f"{ETC}/setup"]]}
    if wanted.guest.ssh_keys:
        config["ssh_authorized_keys"] = list(wanted.guest.ssh_keys)
    text = HEADER + yaml.safe_dump(config, allow_unicode=True, sort_keys=False)
    if len(text.encode()) > LIMIT:
        raise Error(f"the hooks and the CA file are too long: a server's user data may have {LIMIT:,} bytes")
    return text


#: volumes of others appear here: what is on them (volume groups, arrays) must be left alone, neither started nor used
LEFT_ALONE = {
    "/etc/lvm/lvmlocal.conf": "global {\n\tevent_activation = 0\n}\n",
    "/etc/mdadm/mdadm.conf.d/stackferry.conf": "AUTO -all\n",  # Debian, Ubuntu
    "/etc/mdadm.conf.d/stackferry.conf": "AUTO -all\n",  # RHEL
}


def files(wanted: Wanted, name: str, advertise: str | None) -> list[dict[str, str]]:
    """The files that are written before anything runs."""
    guest = wanted.guest
    found = [
        _file(f"{ETC}/transfer.env", "0600", environment(wanted, name, advertise)),
        _file(UNIT, "0644", SERVICE),
        _file(f"{ETC}/setup", "0700", setup(guest)),
        *(_file(path, "0644", text) for path, text in LEFT_ALONE.items()),
    ]
    if guest.ca:
        found.append(_file(f"{ETC}/ca.pem", "0644", guest.ca))
    for hook, script in (("pre-hook", guest.pre_hook), ("post-hook", guest.post_hook)):
        if script:
            found.append(
                _file(f"{ETC}/{hook}", "0700", script if script.startswith("#!") else f"#!/bin/bash\n{script}")
            )
    return found


def environment(wanted: Wanted, name: str, advertise: str | None) -> str:
    """What the agents are told: the content of transfer.env."""
    guest = wanted.guest
    values: dict[str, object] = {
        "STACKFERRY_AMQP_URI": guest.amqp_uri,
        "STACKFERRY_CLOUD": wanted.cloud,
        "STACKFERRY_HOST_NAME": name,
        "STACKFERRY_AGENTS": guest.agents,
        "STACKFERRY_SLOTS": guest.slots,
        "STACKFERRY_LISTEN_PORT": guest.port,
    }
    if wanted.project:
        values["STACKFERRY_PROJECT"] = wanted.project
    if guest.bandwidth:
        values["STACKFERRY_BANDWIDTH"] = guest.bandwidth
    if advertise:
        values["STACKFERRY_ADVERTISE_ADDRESS"] = advertise
    if guest.ca:
        values["SSL_CERT_FILE"] = f"{ETC}/ca.pem"
    return "".join(f"{key}={quoted(key, str(value))}\n" for key, value in values.items())


def quoted(name: str, value: str) -> str:
    """A value for an environment file, as systemd reads it; raise Error naming what can't be written."""
    if "\n" in value or "\r" in value or "\0" in value:
        raise Error(f"{name}: a value of more than one line can't be given to an agent")
    if value and value == value.strip() and not set(value) & set("\\\"'"):
        return value
    return '"' + value.translate(ESCAPES) + '"'


def setup(guest: Guest) -> str:
    """The script that installs and starts the agents."""
    packages = guest.packages or (f"stackferry-transfer=={__version__}",)
    return SETUP.format(
        packages=shlex.join([*guest.pip_arguments, *packages]),
        install="install" if guest.install else 'say "no agent is installed, and none was to be"; exit 1',
        units=" ".join(f"stackferry-transfer@{n}.service" for n in range(1, guest.agents + 1)),
        agents=guest.agents,
    )


def _file(path: str, permissions: str, content: str) -> dict[str, str]:
    return {"path": path, "permissions": permissions, "content": content}
