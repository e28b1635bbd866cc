"""Jobs in child processes, seen from the service: started by a handler, followed in the background, never silent.

What a job reports is published as facts about its try. A job that dies without a word is reported as interrupted.
See ``job`` for the other side.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from functools import partial
from typing import Any

import eventlet
from eventlet.event import Event
from eventlet.green import subprocess
from nameko.extensions import DependencyProvider
from stackferry.bus import Publisher
from stackferry.envelope import Envelope
from stackferry.errors import BrokerUnavailable, NotNow, Unconfirmed, Unroutable
from stackferry.messages import Fact, ImageOffered, StepEnded, StepProgressed

from ..logs import logger, of_step
from .bus import Delivery, send

log = logger(__name__)
FACTS: dict[str, type[Fact]] = {"offered": ImageOffered, "progressed": StepProgressed, "ended": StepEnded}
AGAIN = 2.0  # seconds until a fact that the broker didn't take is sent again


class Jobs(DependencyProvider):
    """``self.jobs.begin(module, description, delivery)`` in a handler."""

    def setup(self) -> None:
        settings = self.container.config["settings"]
        self.most = settings.image_jobs
        self.publisher = Publisher(settings.amqp_uri, f"{self.container.service_name} jobs")
        self.source = f"stackferry/{self.container.service_name}"
        self.running: dict[Any, Any] = {}  # child → its greenlet
        self.stopping = False

    def stop(self) -> None:
        """End the jobs; each is reported as interrupted, and somebody else takes it up."""
        self.stopping = True
        threads = list(self.running.values())
        for child in list(self.running):
            child.kill()
        for thread in threads:
            thread.wait()
        self.publisher.close()

    def get_dependency(self, worker_ctx: Any) -> Jobs:
        return self

    def await_room(self) -> None:
        """Raise NotNow when as many jobs run as may."""
        if len(self.running) >= self.most:
            raise NotNow(f"{len(self.running)} jobs are under way")

    def begin(self, module: str, description: dict[str, Any], delivery: Delivery) -> Event:
        """Start ``python -m module``; return once it runs. The event comes when it has said its first word, or ended.

        A delivery that claimed its try waits for the event: should all die before, the broker brings the command
        back, and the coordinator learns of the loss at once. Without a word, it would wait for the end of a lease.
        """
        child = subprocess.Popen(
            [sys.executable, "-W", "ignore", "-m", module], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        spoke = Event()
        self.running[child] = self.container.spawn_managed_thread(
            partial(self._follow, child, description, delivery.envelope, spoke)
        )
        return spoke

    def _follow(self, child: Any, description: dict[str, Any], cause: Envelope, spoke: Event) -> None:
        about = {name: cause.data[name] for name in ("migration", "step", "attempt")}
        try:
            child.stdin.write(json.dumps(description).encode() + b"\n")
            child.stdin.flush()
            for name, content in _reports(child):
                if name == "ended":
                    log.info((content or {}).get("outcome", "job ended"), **of_step(cause, content or {}))
                if content is not None:
                    self._tell(FACTS[name], {**about, **content}, cause)
                if not spoke.ready():
                    spoke.send()
        except Exception as error:  # whatever it is, the coordinator hears of it
            log.exception("a job was lost", **about)
            reason = f"its job was lost: {error}"
            self._tell(StepEnded, {**about, "outcome": "interrupted", "retryable": True, "reason": reason}, cause)
        finally:
            child.kill()
            child.wait()
            for pipe in (child.stdin, child.stdout):
                pipe.close()
            del self.running[child]
            if not spoke.ready():
                spoke.send()

    def _tell(self, fact: type[Fact], data: dict[str, Any], cause: Envelope) -> None:
        """Publish; what ends a try is sent until the broker has it, unless the service stops."""
        while True:
            try:
                send(self.publisher, self.source, fact, data, cause)
                return
            except (BrokerUnavailable, Unconfirmed, Unroutable) as error:
                log.warning("the broker did not take a report", fact=fact.key, error=str(error))
                if fact is StepProgressed or self.stopping:
                    return
                eventlet.sleep(AGAIN)


def _reports(child: Any) -> Iterator[tuple[str, dict[str, Any] | None]]:
    """Yield (name, content) of each report; the last one is always ``ended``."""
    for line in child.stdout:
        ((name, content),) = json.loads(line).items()
        yield name, content
        if name == "ended":
            return
    code = child.wait()
    yield "ended", {"outcome": "interrupted", "retryable": True, "reason": f"its job died (exit code {code})"}
