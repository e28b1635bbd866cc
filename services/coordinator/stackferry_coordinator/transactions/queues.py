"""The work queues are there: those of services always, a host's from its agent's first word until it's forgotten."""

from __future__ import annotations

from collections.abc import Callable

from stackferry import topology
from stackferry.bus import Publisher
from stackferry.errors import BrokerUnavailable
from stackferry_runtime.logs import logger

log = logger(__name__)
COMMANDS_KEPT = 300.0  # seconds of silence of a host after which what it was told isn't sent any more


class Queues:
    """Makes and deletes them, and knows which of a host's are there."""

    def __init__(self, publisher: Publisher, clock: Callable[[], float]) -> None:
        self.publisher, self.clock = publisher, clock
        self.heard: dict[str, float] = {}  # queue of a host → when one of its agents was heard last
        self.hosts: set[str] = set()  # those whose queue is known to be there

    def of_host(self, host: str, now: float) -> None:
        """One of a host's agents was heard: the host gets a queue, unless it has one."""
        queue = topology.host_queue(host)
        self.heard[queue.name] = now
        if host not in self.hosts:
            self.publisher.declare(topology.work_queue(queue))
            self.hosts.add(host)

    def forget(self, host: str) -> None:
        """Delete the queue of a host that is gone."""
        queue = topology.host_queue(host).name
        self.hosts.discard(host)
        self.heard.pop(queue, None)
        self.publisher.delete(queue)

    def gone(self, names: set[str]) -> set[str]:
        """Note that these queues aren't there any more; return those of services."""
        self.hosts = {host for host in self.hosts if topology.host_queue(host).name not in names}
        return names & {queue.name for queue in topology.WORK_QUEUES}

    def may_come_back(self, name: str) -> bool:
        """Whether a queue that is gone will be there again: a service's always, a host's while its agents are heard."""
        if not topology.on(topology.HOST, name):
            return True
        return self.clock() - self.heard.get(name, float("-inf")) < COMMANDS_KEPT

    def mend(self) -> None:
        """Make the queues that somebody has deleted, or unbound; that of a host when its agent is heard next. What was
        in the history is gone, then."""
        for queue in map(topology.work_queue, topology.WORK_QUEUES):
            self.publisher.declare(queue)
        try:
            self.publisher.declare(topology.history_queue())
        except BrokerUnavailable as error:  # its users are those of an older version, which can do without
            log.warning("the history isn't looked after: give the broker its definitions again", error=str(error))
