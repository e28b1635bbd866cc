"""A segment from command to report: each mode, on real block devices where there are any."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from stackferry.errors import Unconfirmed
from stackferry.messages import OfferSegment
from stackferry_transfer.copying.tally import Pulled
from stackferry_transfer.disk.blocks import BLOCK, Copy
from stackferry_transfer.disk.devices import open_source
from stackferry_transfer.disk.journal import Journal
from stackferry_transfer.pump.pace import BURST
from stackferry_transfer.segments import GONE, ended

from .pair import MIGRATION, Pair, pair
from .rig import change, content


@pytest.fixture
def agents(tmp_path: Path) -> Iterator[Pair]:
    with pair(tmp_path) as both:
        yield both


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    """A volume of 20 blocks and its destination, which is larger."""
    source, target = tmp_path / "volume", tmp_path / "target"
    source.write_bytes(content(20 * BLOCK, block=BLOCK))
    target.write_bytes(bytes(24 * BLOCK))
    return source, target


@pytest.fixture
def devices(agents: Pair, files: tuple[Path, Path], loop: Callable[[Path], Path]) -> tuple[Path, Path]:
    """The files, as block devices that are attached to the agents' hosts."""
    for side, file in zip(("source", "destination"), files, strict=True):
        agents.attach(side, loop(file))
    return files


def equal(files: tuple[Path, Path]) -> bool:
    source, target = (file.read_bytes() for file in files)
    return source == target[: len(source)] and not any(target[len(source) :])


@pytest.mark.parametrize(("engine", "burst"), [("pump", BURST), ("nbd", 2.0)])  # nbdkit's own
def test_a_segment_is_sent_no_faster_than_its_share(
    agents: Pair, devices: tuple[Path, Path], engine: str, burst: float
) -> None:
    share, about = 4 * BLOCK, agents.about(engine=engine)
    offer = agents.offer({**about, "bandwidth": share})
    began = time.monotonic()
    ended = agents.fetch(about, offer)
    took = time.monotonic() - began
    assert (ended["outcome"], equal(devices)) == ("done", True)
    sent = ended["results"]["counts"].get("wire_received") or ended["results"]["counts"]["written"]
    assert sent > share
    assert sent <= share * (took + burst) + BLOCK


def test_a_volume_is_copied_changed_copied_again_and_verified(agents: Pair, devices: tuple[Path, Path]) -> None:
    ended = agents.cross("copy")
    assert ended["outcome"] == "done"
    full = ended["results"]["counts"]
    assert full["written"] == (full["raw"] + full["zstd"]) * BLOCK > 0
    change(devices[0], 2, 13, block=BLOCK)
    ended = agents.cross("delta")
    assert (ended["outcome"], ended["notes"]) == ("done", [])
    assert ended["results"]["counts"]["written"] == 2 * BLOCK
    assert ended["results"]["digest"]
    assert equal(devices)
    verified = agents.cross("verify")
    assert (verified["outcome"], verified["results"]["counts"]["written"]) == ("done", 0)
    assert verified["results"]["digest"] == ended["results"]["digest"]


def test_the_source_says_what_it_has_answered(agents: Pair, devices: tuple[Path, Path]) -> None:
    ended = agents.cross("copy")
    assert agents.served() == {"blocks": 20, "digest": ended["results"]["part"]}
    (path,) = (agents.folder / "destination" / "journals").iterdir()
    with Journal(path, Copy(f"{MIGRATION}/v", 20 * BLOCK)) as journal:
        journal.forget(4, 3)
    ended = agents.cross("copy")
    assert ended["results"]["counts"]["skipped"] == 17
    assert agents.served() == {"blocks": 3, "digest": None}
    ended = agents.cross("delta", first=8 * BLOCK, length=8 * BLOCK)
    assert agents.served() == {"blocks": 8, "digest": ended["results"]["part"]}
    assert ended["results"]["part"] != ended["results"]["digest"]
    change(devices[0], 9, block=BLOCK)
    ended = agents.cross("verify", first=8 * BLOCK, length=8 * BLOCK)
    assert ended["outcome"] == "failed"
    assert agents.served()["digest"], "it has answered, whatever the other end makes of it"


def test_what_nbdkit_serves_is_read_once_more_where_each_block_counts(agents: Pair, devices: tuple[Path, Path]) -> None:
    assert agents.cross("copy", engine="nbd")["outcome"] == "done"
    assert agents.served() == {"blocks": None, "digest": None}
    about = agents.about(engine="nbd")
    offer = agents.offer(about, mode="verify")
    offer.pop("pump")  # the agent itself can't be reached
    ended = agents.fetch(about, offer, "verify")
    assert ended["outcome"] == "done"
    assert agents.served() == {"blocks": 20, "digest": ended["results"]["part"]}


def test_a_source_that_cannot_be_heard_while_it_reads_once_more_gives_up_the_try_and_not_its_work(
    agents: Pair, devices: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    publish, gave_up = agents.source.told.publish, threading.Event()

    def unheard(outgoing: Any) -> None:
        if b"step-progressed" in outgoing.body:
            gave_up.set()
            raise Unconfirmed("nobody takes it")
        publish(outgoing)

    def slow(*_: Any) -> bytes:
        gave_up.wait(0.2)
        return bytes(32)

    assert agents.cross("copy", engine="nbd")["outcome"] == "done"
    monkeypatch.setattr(agents.source.told, "publish", unheard)
    monkeypatch.setattr("stackferry_transfer.segments._read", slow)
    monkeypatch.setattr("stackferry_transfer.reports.PROGRESS_EVERY", 0.01)
    monkeypatch.setattr("stackferry_transfer.reports.SILENCE", -1.0)
    about = agents.about(engine="nbd")
    offer = agents.offer(about, mode="verify")
    offer.pop("pump")
    assert agents.fetch(about, offer, "verify")["outcome"] == "done"
    for thread in threading.enumerate():
        if thread.name == "offer":
            thread.join(20)
    assert gave_up.is_set()
    assert not agents.source.stop.is_set(), "the agent goes on"


def test_a_source_that_has_changed_fails_a_verify_only(agents: Pair, devices: tuple[Path, Path]) -> None:
    agents.cross("copy")
    for mode in ("delta", "rehash"):
        change(devices[0], 5, seed=len(mode), block=BLOCK)
        ended = agents.cross(mode)
        assert (ended["outcome"], ended["results"]["counts"]["written"]) == ("done", BLOCK)
    change(devices[0], 5, seed=99, block=BLOCK)
    ended = agents.cross("verify")
    assert (ended["outcome"], ended["retryable"]) == ("failed", False)
    assert ended["reason"] == "1 blocks of the source changed while they were copied"


def test_a_host_without_the_journal_takes_over_with_a_rehash(agents: Pair, devices: tuple[Path, Path]) -> None:
    agents.cross("copy")
    (journal,) = (agents.folder / "destination" / "journals").iterdir()
    journal.unlink()
    change(devices[1], 4, block=BLOCK)  # which the lost host's journal might have known
    ended = agents.cross("rehash")
    assert ended["outcome"] == "done"
    assert ended["results"]["counts"]["written"] == BLOCK
    assert equal(devices)
    assert agents.cross("copy")["results"]["counts"]["skipped"] == 20


def test_a_delta_of_a_range_leaves_the_rest(agents: Pair, devices: tuple[Path, Path]) -> None:
    agents.cross("copy")
    change(devices[0], 3, 12, block=BLOCK)
    ended = agents.cross("delta", first=8 * BLOCK, length=8 * BLOCK)
    assert (ended["results"]["counts"]["blocks"], ended["results"]["counts"]["written"]) == (8, BLOCK)
    assert agents.cross("delta", length=8 * BLOCK)["results"]["counts"]["written"] == BLOCK
    assert equal(devices)


@pytest.mark.parametrize("engine", ["pump", "nbd"])
def test_an_offer_ends_with_its_guest_however_short_that_was_there(
    agents: Pair, devices: tuple[Path, Path], engine: str
) -> None:
    about = agents.about(engine=engine, length=BLOCK)
    assert agents.fetch(about, agents.offer(about))["outcome"] == "done"
    (offer,) = [thread for thread in threading.enumerate() if thread.name == "offer"]
    offer.join(GONE + 5)
    assert not offer.is_alive()
    assert agents.source.told.of("step-ended") == []


def test_an_offer_that_nobody_has_fetched_when_its_agent_stops_is_told(
    agents: Pair, devices: tuple[Path, Path]
) -> None:
    agents.offer(agents.about())
    agents.source.stop.set()
    told = agents.source.told.last("step-ended")
    assert (told["outcome"], told["reason"]) == ("interrupted", "nobody has fetched it: its agent was stopped")


def test_a_host_behind_another_address_tells_that_one(agents: Pair, devices: tuple[Path, Path]) -> None:
    segments = agents.source.segments
    segments.settings = replace(segments.settings, advertise_address="192.0.2.7")
    host, port = segments.server.address
    about = agents.about()
    offered = agents.offer(about)
    assert offered["address"] == f"192.0.2.7:{port}"
    assert agents.fetch(about, {**offered, "address": f"{host}:{port}"})["outcome"] == "done"


def test_a_certificate_that_cannot_be_read_keeps_no_other_agent_out(agents: Pair, devices: tuple[Path, Path]) -> None:
    about, mine = agents.about(), agents.source.segments.mine.certificate
    assert agents.fetch(about, agents.offer(about, "PEM", f"hello\n{mine}"))["outcome"] == "done"
    assert equal(devices)
    agents.source.segments.offer(OfferSegment.make("test", {**agents.about(), "certificates": ["PEM"]}))
    ended = agents.source.told.last("step-ended", 1)
    assert (ended["outcome"], ended["reason"][:37]) == ("failed", "none of the certificates that may fet")


def test_a_source_that_is_shorter_than_its_segment_is_not_offered(agents: Pair, devices: tuple[Path, Path]) -> None:
    command = agents.about(length=37 * BLOCK)
    agents.source.segments.offer(OfferSegment.make("test", {**command, "certificates": ["of nobody"]}))
    ended = agents.source.told.last("step-ended", 1)
    assert (ended["outcome"], ended["retryable"]) == ("failed", True)
    assert f"has {20 * BLOCK} bytes, and {21 * BLOCK} are to be read" in ended["reason"]


def test_the_device_of_an_encrypted_volume_lacks_its_header(agents: Pair, devices: tuple[Path, Path]) -> None:
    about = agents.about(length=36 * BLOCK)
    offered = agents.offer(about)
    assert offered["size"] == 20 * BLOCK
    assert agents.fetch(about, offered)["outcome"] == "done"
    assert devices[1].read_bytes()[: 20 * BLOCK] == devices[0].read_bytes()


@pytest.mark.parametrize(("engine", "again"), [("pump", False), ("nbd", True)])
def test_only_who_knows_what_was_sent_accuses_the_source(engine: str, again: bool) -> None:
    told = ended(Pulled(20, True, 1.0, repaired=1, source_changed=1), {"digest": "00", "part": "00"}, engine)
    assert (told["outcome"], told["retryable"]) == ("failed", again)
    assert told["reason"] == "1 blocks of the source changed while they were copied"


def test_a_disk_that_has_taken_anothers_place_is_not_read(
    agents: Pair, devices: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    real = open_source

    def swapped(path: Path, size: int = 0) -> Any:
        agents.attach("source", devices[1])
        return real(path, size)

    monkeypatch.setattr("stackferry_transfer.disk.devices.open_source", swapped)
    agents.source.segments.offer(OfferSegment.make("test", {**agents.about(), "certificates": ["of nobody"]}))
    told = agents.source.told.last("step-ended", 1)
    assert (told["outcome"], told["retryable"]) == ("failed", True)
    assert "its device was another one a moment ago" in told["reason"]
