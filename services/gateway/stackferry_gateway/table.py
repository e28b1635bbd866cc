"""What can be asked for over HTTP, line by line: which function answers, who may ask, what goes in and comes out."""

from __future__ import annotations

from stackferry.messages.answers import CheckedCloud, HostState, Settled
from stackferry.roles import ADMIN, OPERATOR

from .api import hosts, letters, migrations, schemas
from .calls import Endpoint, Header

PREFIX = "/v1"
CSV = ("text/csv",)
FILES = ("text/csv", "text/html")
KEY = Header("Idempotency-Key", "the same key and the same body are taken once")
TRACE = Header(
    "traceparent", "the trace that this is a part of (W3C Trace Context): messages and log lines name it, too"
)
LOCATION = Header("Location", "where the migration is")
KNOWN = Header("If-None-Match", "the tags of what is known already; 304 when nothing has changed")
TAG = Header("ETag", "changes when the migration does")
ENDPOINTS = (
    Endpoint("GET", "/migrations", migrations.index, query=schemas.MigrationsQuery, gives=schemas.MigrationPage),
    Endpoint("POST", "/migrations", migrations.create, OPERATOR, body=schemas.NewMigration, gives=schemas.Migration,
             status=202, takes=(KEY, TRACE), tells=(LOCATION,)),
    Endpoint("GET", "/migrations/{migration}", migrations.show, gives=schemas.Migration, empty=(304,), takes=(KNOWN,),
             tells=(TAG,)),
    Endpoint("DELETE", "/migrations/{migration}", migrations.delete, ADMIN, status=204, takes=(TRACE,)),
    Endpoint("GET", "/migrations/{migration}/steps", migrations.steps, query=schemas.StepsQuery,
             gives=schemas.StepPage),
    Endpoint("GET", "/migrations/{migration}/plan", migrations.plan, query=schemas.Query, gives=schemas.Plan),
    Endpoint("GET", "/migrations/{migration}/workloads", migrations.workloads, gives=schemas.Workloads),
    Endpoint("GET", "/migrations/{migration}/report", migrations.report, query=schemas.ReportQuery,
             gives=schemas.Report, also=FILES),
    Endpoint("GET", "/migrations/{migration}/id-map", migrations.id_map, query=schemas.FormatQuery,
             gives=schemas.IdMap, also=CSV),
    Endpoint("POST", "/migrations/{migration}/actions", migrations.act, OPERATOR, body=schemas.Action,
             gives=schemas.Migration, status=202, takes=(TRACE,)),
    Endpoint("POST", "/migrations/{migration}/cleanup", migrations.clean_up, ADMIN, body=schemas.CleanUp,
             gives=schemas.Migration, status=202, takes=(TRACE,)),
    Endpoint("GET", "/hosts", hosts.index, gives=schemas.HostList),
    Endpoint("POST", "/hosts/{host}/actions", hosts.act, OPERATOR, body=schemas.HostAction, gives=HostState,
             status=202, empty=(204,)),
    Endpoint("GET", "/workers", hosts.workers, gives=schemas.WorkerList),
    Endpoint("GET", "/dead-letters", letters.index, OPERATOR, gives=schemas.DeadLetterList),
    Endpoint("POST", "/dead-letters/actions", letters.act, OPERATOR, body=schemas.DeadLetterAction, gives=Settled),
    Endpoint("GET", "/clouds/{cloud}/check", hosts.check, query=schemas.CheckQuery, gives=CheckedCloud),
)  # fmt: skip
#: streams of server-sent events
STREAMS = (f"{PREFIX}/events", f"{PREFIX}/migrations/{{migration}}/events")
