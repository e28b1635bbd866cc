"""Secrets never reach a log, whoever logs them and however deep they're hidden."""

from __future__ import annotations

import json
import logging
from collections import UserDict
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import structlog
from hypothesis import given, settings
from hypothesis import strategies as st
from stackferry_runtime import logs
from stackferry_runtime.logs import readable, redact

Configure = Callable[[str], Any]
CANARY = "tweety-4711"
PEM = f"-----BEGIN RSA PRIVATE KEY-----\n{CANARY}\n-----END RSA PRIVATE KEY-----"
TOKEN = f"gAAAA{CANARY}Zm9vYmFyYmF6cXV4Zm9vYmFy"


SECRETS = [
    {"password": CANARY},
    {"auth_password": CANARY},
    {"PASSWORD": CANARY},
    {"passwd": CANARY},
    {"client_secret": CANARY},
    {"token": CANARY},
    {"X-Auth-Token": CANARY},
    {"private_key": CANARY},
    {"credentials": {"user": CANARY}},
    {"Authorization": f"Basic {CANARY}"},
    {"application_credential_secret": [CANARY]},
    {"uri": f"amqp://guest:{CANARY}@host:5672//"},
    {"event": f"connecting to amqp://guest:{CANARY}@host and amqps://a:{CANARY}@host"},
    {"uri": f"postgresql+psycopg://ferry:{CANARY}@host/db"},
    {"key": PEM},
    {"key": PEM.replace("RSA ", "")},
    {"key": PEM.replace("RSA", "OPENSSH")},
    {"event": f"before {PEM} after"},
    {"event": f"the token is {TOKEN}."},
    {"nested": {"deep": [{"password": CANARY}, [f"amqp://u:{CANARY}@h"], {"x": {"token": CANARY}}]}},
    {"exception": f"Traceback\n  connect(amqp://u:{CANARY}@h)\nError"},
    {"args": (f"amqp://u:{CANARY}@h",)},
    {"args": {f"amqp://u:{CANARY}@h"}},
    {"body": f"amqp://u:{CANARY}@h".encode()},
    {"error": ValueError(f"amqp://u:{CANARY}@h")},
    {"passphrase": CANARY},
    {"uri": f"redis://:{CANARY}@host"},
    {"uri": f"amqp://u:x@{CANARY}@host"},
    {"key": PEM.split("-----END")[0]},
    {"event": f"{{'password': '{CANARY}'}}"},
    {"event": f'{{"auth": {{"passphrase":"x {CANARY}", "user": "me"}}}}'},
    {"event": f"{{'password': 'it\\'s {CANARY}'"},
    {"event": f"Authorization: Bearer {CANARY}"},
    {"event": f"connect(host='h', password={CANARY})"},
    {"headers": UserDict({"X-Auth-Token": CANARY})},
    {"error": KeyError({"password": CANARY})},
    {1: {b"token": CANARY}},
]


@pytest.mark.parametrize("event", SECRETS, ids=str)
def test_a_secret_is_hidden(event: dict[str, Any]) -> None:
    assert CANARY not in repr(redact(None, "", event))


@pytest.mark.parametrize(
    "event",
    [
        {"event": "exported", "count": 3, "seconds": 0.5, "ok": True, "nothing": None},
        {"uri": "amqp://host:5672//", "url": "http://user@host/path", "list": ["a", {"b": 1}]},
        {"event": "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----"},
        {"password": "", "token": None},
        {"event": "{'token': ['Missing data for required field.']}", "why": "the password is wrong"},
        {"at": ("a", 1), "url": "http://user@host:5000/v3 for me@example.org"},
    ],
)
def test_what_is_no_secret_stays(event: dict[str, Any]) -> None:
    assert redact(None, "", event) == event


def test_the_rest_of_a_uri_stays_readable() -> None:
    hidden = redact(None, "", {"uri": f"amqp://guest:{CANARY}@host:5672/vhost"})
    assert hidden == {"uri": "amqp://guest:***@host:5672/vhost"}


def test_the_event_itself_is_left_alone() -> None:
    event = {"nested": {"password": CANARY}}
    redact(None, "", event)
    assert event == {"nested": {"password": CANARY}}


def test_keys_that_are_no_texts_do_no_harm() -> None:
    assert redact(None, "", {"totals": {1: "a"}}) == {"totals": {1: "a"}}


@settings(max_examples=60, deadline=None)
@given(
    st.recursive(
        st.just(f"amqp://u:{CANARY}@h") | st.text(max_size=5) | st.integers() | st.none(),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
        max_leaves=8,
    )
)
def test_a_secret_is_hidden_at_any_depth(value: Any) -> None:
    assert CANARY not in repr(redact(None, "", {"value": value}))


# -- through the whole logging of a service ------------------------------------------------------------------


@pytest.fixture
def configure(capsys: pytest.CaptureFixture[str]) -> Iterator[Configure]:
    """Set logging up as a service does, for one test; return a logger."""
    names = ("", "keystoneauth", "urllib3", "openstack", "amqp", "kombu", "stevedore", "alembic")
    levels = {name: logging.getLogger(name).level for name in names}
    root = logging.getLogger()

    def configured(style: str) -> Any:
        handlers = root.handlers[:]
        logs.configure("DEBUG", style)
        (ours,) = root.handlers
        root.handlers[:] = [ours, *handlers]
        made.append(ours)
        return logs.logger("test")

    made: list[logging.Handler] = []
    yield configured
    root.handlers[:] = [handler for handler in root.handlers if handler not in made]
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)
    structlog.reset_defaults()


@pytest.mark.parametrize("style", ["text", "json"])
def test_our_own_lines_hide_secrets(configure: Configure, capsys: pytest.CaptureFixture[str], style: str) -> None:
    log = configure(style)
    log.info("connected", uri=f"amqp://u:{CANARY}@h", password=CANARY)
    line = capsys.readouterr().err
    assert "connected" in line
    assert CANARY not in line


@pytest.mark.parametrize("style", ["text", "json"])
def test_lines_of_libraries_hide_secrets(configure: Configure, capsys: pytest.CaptureFixture[str], style: str) -> None:
    configure(style)
    logging.getLogger("library").warning("can't reach %s", f"amqp://u:{CANARY}@h")
    line = capsys.readouterr().err
    assert "can't reach amqp://u:***@h" in line


@pytest.mark.parametrize("style", ["text", "json"])
def test_tracebacks_hide_secrets(configure: Configure, capsys: pytest.CaptureFixture[str], style: str) -> None:
    log = configure(style)
    try:
        raise ValueError(f"amqp://u:{CANARY}@h")
    except ValueError:
        log.exception("failed")
        logging.getLogger("library").exception("failed there")
    lines = capsys.readouterr().err
    assert lines.count("ValueError") >= 2
    assert CANARY not in lines


@pytest.mark.parametrize("style", ["text", "json"])
def test_positional_arguments_hide_secrets(
    configure: Configure, capsys: pytest.CaptureFixture[str], style: str
) -> None:
    log = configure(style)
    log.info("can't reach %s", f"amqp://u:{CANARY}@h")
    assert CANARY not in capsys.readouterr().err


def test_json_lines_are_json(configure: Configure, capsys: pytest.CaptureFixture[str]) -> None:
    configure("json").info("exported", count=3)
    line = json.loads(capsys.readouterr().err)
    assert (line["event"], line["count"], line["level"], line["logger"]) == ("exported", 3, "info", "test")
    assert line["timestamp"].endswith("Z")


def test_a_name_gives_the_terminal_no_orders() -> None:
    event = {"event": "exported", "name": "a\x1b[2Jb\nlevel=info", "count": 3, "exception": "line 1\nline\x9b 2"}
    assert readable(None, "", event) == {
        "event": "exported", "name": "a\\x1b[2Jb\\nlevel=info", "count": 3, "exception": "line 1\nline\\x9b 2",
    }  # fmt: skip
