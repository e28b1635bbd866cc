"""Make the files of a cloud: configuration, keys, and databases copied from the template."""

import base64
import json
import os
import shutil
import sqlite3
import subprocess
from contextlib import closing

from stackferry_sandbox.clouds import Cloud, Credentials
from stackferry_sandbox.configs import CloudSettings, as_ini, config_files
from stackferry_sandbox.configs.common import SERVICE_USER
from stackferry_sandbox.files import write_atomically
from stackferry_sandbox.layout import CloudPaths, State, process_environment
from stackferry_sandbox.services import NAMES, placeholder_url

KEY_FOLDERS = ("fernet", "credential")
CELLS = (
    ("00000000-0000-0000-0000-000000000000", "cell0", "none:///"),
    ("11111111-1111-1111-1111-111111111111", "cell1", "fake://"),
)
"""nova's cells: id, name, message bus."""


def settings_of(state: State, cloud: Cloud) -> CloudSettings:
    """What a cloud's configuration depends on."""
    return CloudSettings(
        name=cloud.name,
        root=cloud.paths.root,
        venv=state.venv,
        first_port=cloud.first_port,
        service_password=cloud.credentials.service,
    )


def write_configs(paths: CloudPaths, settings: CloudSettings) -> None:
    """Write the configuration files; they hold the services' password."""
    for file, sections in config_files(settings).items():
        write_atomically(paths.etc / file, as_ini(sections), 0o600)
    # nova looks for it beside nova.conf.
    link = paths.etc / "api-paste.ini"
    link.unlink(missing_ok=True)
    link.symlink_to(settings.venv / "etc/nova/api-paste.ini")


def write_keys(paths: CloudPaths) -> None:
    """Write keystone's keys: 32 random bytes each, in base64. It refuses folders that others may enter."""
    for name in KEY_FOLDERS:
        folder = paths.root / name
        folder.mkdir(mode=0o700, exist_ok=True)
        for key in "01":
            write_atomically(folder / key, base64.urlsafe_b64encode(os.urandom(32)).decode(), 0o600)


def create(state: State, cloud: Cloud) -> None:
    """Make a drafted cloud's files."""
    write_configs(cloud.paths, settings_of(state, cloud))
    write_keys(cloud.paths)
    for database in state.template.glob("*.db"):
        shutil.copy(database, cloud.paths.db / database.name)
    fill_keystone(state, cloud)
    fill_nova(cloud)


def fill_keystone(state: State, cloud: Cloud) -> None:
    """Give the template's endpoints the cloud's URLs, and its users the cloud's passwords."""
    with closing(sqlite3.connect(cloud.paths.db / "keystone.db")) as connection, connection:
        for service in NAMES:
            connection.execute(
                "UPDATE endpoint SET url = ? WHERE url = ?", (cloud.url(service), placeholder_url(service))
            )
        for user, password_hash in password_hashes(state, cloud.credentials).items():
            connection.execute(
                "UPDATE password SET password_hash = ? "
                "WHERE local_user_id = (SELECT id FROM local_user WHERE name = ?)",
                (password_hash, user),
            )


def password_hashes(state: State, credentials: Credentials) -> dict[str, str]:
    """The hashes of the passwords of the users that the template has."""
    done = subprocess.run(
        [state.python, "-m", "stackferry_inside.hash_passwords"],
        cwd=state.root,
        env=process_environment(),
        input=json.dumps([credentials.admin, credentials.service]),
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return dict(zip(("admin", SERVICE_USER), json.loads(done.stdout), strict=True))


def fill_nova(cloud: Cloud) -> None:
    """Tell nova where its cells' databases are."""
    with closing(sqlite3.connect(cloud.paths.db / "nova_api.db")) as connection, connection:
        for identifier, name, bus in CELLS:
            connection.execute(
                "INSERT INTO cell_mappings "
                "(uuid, name, transport_url, database_connection, disabled, created_at) "
                "VALUES (?, ?, ?, ?, 0, datetime())",
                (identifier, name, bus, f"sqlite:///{cloud.paths.db}/nova_{name}.db"),
            )
