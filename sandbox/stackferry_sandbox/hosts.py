"""What makes a server a conversion host: user data with a transfer.env, as cloud-init takes it."""

from collections.abc import Mapping

import yaml

ETC = "/etc/stackferry"


def user_data(env: Mapping[str, object], files: Mapping[str, str] | None = None) -> str:
    """A cloud-config that makes a server run transfer agents.

    Args:
        env: the variables of /etc/stackferry/transfer.env. STACKFERRY_AGENTS says how many agents run. Values that
            are paths below /etc/stackferry lead to the files.
        files: more files: the content by the path, which is absolute or below /etc/stackferry.
    """
    lines = "".join(f"{key}={value}\n" for key, value in env.items())
    contents = {"transfer.env": lines, **(files or {})}
    written = [
        {"path": path if path.startswith("/") else f"{ETC}/{path}", "permissions": "0600", "content": content}
        for path, content in contents.items()
    ]
    return "#cloud-config\n" + yaml.safe_dump({"write_files": written}, allow_unicode=True, sort_keys=False)
