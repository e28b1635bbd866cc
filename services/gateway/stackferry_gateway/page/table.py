"""What the page shows and does, line by line."""

from __future__ import annotations

from stackferry.roles import ADMIN, OPERATOR

from . import lists, migration, new
from .visit import Line

LINES = (
    Line("GET", "/", lists.now),
    Line("GET", "/hosts", lists.fleet),
    Line("POST", "/hosts/{host}", lists.tell_host, OPERATOR),
    Line("GET", "/trouble", lists.trouble),
    Line("POST", "/trouble", lists.settle, OPERATOR),
    Line("GET", "/trouble/sure", lists.sure, ADMIN),
    Line("GET", "/new", new.form, OPERATOR),
    Line("POST", "/new", new.send, OPERATOR),
    Line("GET", "/migrations/{migration}", migration.show),
    Line("POST", "/migrations/{migration}", migration.act, OPERATOR),
    Line("GET", "/migrations/{migration}/sure", migration.sure, OPERATOR),
    Line("GET", "/migrations/{migration}/files/{what}.{format}", migration.download),
    Line("GET", "/migrations/{migration}/{tab}", migration.tab),
)
#: streams of events, for whoever is signed in
STREAMS = ("/events", "/migrations/{migration}/heard")
