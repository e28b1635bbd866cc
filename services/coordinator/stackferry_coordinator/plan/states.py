"""The states of a step: what each means, and how it's left. ``docs/states.md`` is made from this table.

The simulators of the tests let no step change its state in another way.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class State:
    """``then``: state → when a step goes over to it."""

    meaning: str
    then: dict[str, str]


AGAIN = "it gets another round: somebody retries, starts or undoes, or another pass begins"
CLEANUP = "people ask once more to delete at the source what has arrived"
STATES = {
    "waiting": State(
        "Other steps must be over first.",
        {
            "ready": "nothing stands before it any more",
            "wanting": "nothing stands before it, and it is a volume's place on conversion hosts",
            "resting": "nothing stands before it, and it is a cut-over: the coordinator decides when",
            "done": "the coordinator itself does it: gives a place back, keeps a document",
            "failed": "its document makes no sense",
            "skipped": "what it can't be without failed, or nobody wants it any more",
        },
    ),
    "ready": State(
        "It may be asked for, as soon as fewer tries are under way.",
        {
            "asked": "a command is sent",
            "waiting": "something before it gets another round",
            "resting": "its workload is given up, and what a lost try may have made is looked for first",
            "skipped": "it is cancelled, or its workload is given up",
            "done": "an answer to an earlier try came late, and says that it is there",
        },
    ),
    "wanting": State(
        "It wants a place for a volume on the conversion hosts.",
        {
            "holding": "a pair of hosts has room",
            "done": "its server is at the destination already: nothing is to be copied",
            "skipped": "it is cancelled, or its workload is given up",
            "failed": "its cloud has no conversion hosts",
            "waiting": AGAIN,
        },
    ),
    "holding": State(
        "The volume has its place on the hosts.",
        {"removed": "the place is given back, or its host was lost", "waiting": AGAIN},
    ),
    "asked": State(
        "A try is under way: commanded, or claimed by a worker that must say every few minutes that it goes on.",
        {
            "done": "the try worked",
            "failed": "it can't work, or was tried often enough",
            "resting": "it didn't work, and may the next time; or its worker was lost",
            "ready": "the importer has said what it would replace, and is asked once more; an export is asked for anew",
            "removed": "what was to be taken away is gone",
            "skipped": "it is cancelled, and nobody has begun it",
            "waiting": AGAIN,
        },
    ),
    "resting": State(
        "The next try begins after a while: a lost worker's last request may still take effect, or a cloud is busy.",
        {
            "ready": "the rest is over",
            "waiting": AGAIN,
            "done": "an answer to an earlier try came late, and says that it is there; or a cut-over is decided",
            "removed": "an answer to an earlier try came late, and says that it is gone",
            "failed": "an answer to an earlier try came late, and says that it can't be; or nobody waits any longer",
            "skipped": "it is cancelled, or its workload is given up",
        },
    ),
    "done": State(
        "It is as it should be.",
        {
            "waiting": AGAIN,
            "removed": "its workload is taken back, and what it made is gone",
            "failed": "its workload failed later, and is taken back",
            "ready": CLEANUP,
        },
    ),
    "failed": State(
        "It can't be done; the reason is with it.",
        {
            "waiting": AGAIN,
            "ready": CLEANUP,
            "resting": "what a lost try may have made is looked for, before it's taken back",
            "done": "an answer to an earlier try came late, and says that it is there",
            "removed": "an answer to an earlier try came late, and says that it is gone",
        },
    ),
    "skipped": State(
        "It isn't done: what it needs failed, it was cancelled, or its workload was given up.",
        {
            "waiting": AGAIN,
            "resting": "what a lost try may have made is looked for, before it's taken back",
            "failed": "its workload is over, and failed",
            "done": "an answer to an earlier try came late, and says that it is there",
        },
    ),
    "removed": State(
        "What it made, or the place that it had, is gone.",
        {
            "waiting": AGAIN,
            "failed": "its workload is over, and failed",
            "done": "an answer to an earlier try came late, and says that what it had replaced is back",
        },
    ),
}
#: states in which a step isn't over
OPEN = ("waiting", "ready", "wanting", "asked", "resting")
