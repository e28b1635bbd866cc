"""A payload from an offer to a fetch, over real TLS; the two Glances are played."""

from __future__ import annotations

import hashlib
import json
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from stackferry_exporter import offer
from stackferry_exporter.settings import Settings
from stackferry_importer import fetch, upload
from stackferry_runtime.certificates import Identity, identity
from stackferry_runtime.stream import Broken, Wrong

PAYLOAD = bytes(range(256)) * 8192  # 2 MiB


@dataclass
class Glance:
    """An image service with one image."""

    payload: bytes = b""
    status: str = "queued"
    algorithm: str = "sha512"
    refuse: int = 0
    claims: dict[str, Any] = field(default_factory=dict)  # what it says of the image, though it isn't so
    uploaded: bytes = b""
    answer: Callable[[bytes], None] = lambda _: None

    def view(self, *_: Any) -> Any:
        return SimpleNamespace(proxy=lambda _: self)

    def get_image(self, id_: str) -> Any:
        active = self.status == "active"
        facts = {
            "id": id_, "status": self.status, "size": len(self.payload) if active else None,
            "hash_algo": self.algorithm if active else None,
            "hash_value": hashlib.new(self.algorithm, self.payload).hexdigest() if active else None,
        }  # fmt: skip
        return SimpleNamespace(**{**facts, **self.claims})

    def get(self, path: str, **_: Any) -> Any:
        return Response(200, self.payload)

    def put(self, path: str, data: Any, **options: Any) -> Any:
        assert options["connect_retries"] == 0
        assert not options["allow_reauth"]
        assert not options["redirect"]
        if self.refuse:
            return Response(self.refuse, b"no")
        for block in data:
            self.uploaded += block
            self.answer(block)
        self.payload, self.status = self.uploaded, "active"
        return Response(204)


@dataclass
class Response:
    status_code: int
    content: bytes = b""

    @property
    def text(self) -> str:
        return f"<html><h1>{self.status_code}</h1>\n {self.content.decode()} <br /></html>"

    def iter_content(self, size: int) -> Iterator[bytes]:
        for start in range(0, len(self.content), size):
            yield self.content[start : start + size]

    def __enter__(self) -> Response:
        return self

    def __exit__(self, *_: object) -> None:
        pass


@dataclass
class Offering:
    """An offer that is being served in a thread."""

    thread: threading.Thread
    address: str
    errors: list[Exception]
    fact: dict[str, Any]

    def error(self) -> Exception | None:
        self.thread.join(10)
        assert not self.thread.is_alive()
        return self.errors[0] if self.errors else None


@pytest.fixture
def mine(tmp_path: Path) -> Identity:
    return identity(tmp_path, "importer")


@pytest.fixture
def serve(tmp_path: Path, mine: Identity, capsys: Any) -> Any:
    def start(source: Glance, timeout: float = 10) -> Offering:
        own = identity(tmp_path, "exporter")
        job = {"identity": str(own.path), "certificates": [mine.certificate]}
        served = offer.Offer(job, source.get_image("source"), source, Settings(offer_timeout=timeout))
        errors: list[Exception] = []

        def run() -> None:
            try:
                served.serve()
            except Exception as error:
                errors.append(error)

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        said = ""
        while not said.endswith("\n"):
            said += capsys.readouterr().out
            time.sleep(0.01)
        fact = json.loads(said)["offered"]
        return Offering(thread, fact["address"], errors, fact)

    return start


@pytest.fixture
def take(mine: Identity, monkeypatch: Any) -> Any:
    monkeypatch.setattr(upload, "SETTLING", 0.0)

    def run(offering: Offering, destination: Glance, **more: Any) -> Any:
        monkeypatch.setattr(fetch, "Clouds", lambda *_: destination)
        return fetch.fetch({**offering.fact, "identity": str(mine.path), "image": "copy", "destination": {}, **more})

    return run


def source(**more: Any) -> Glance:
    return Glance(PAYLOAD, "active", **more)


def test_it_crosses(serve: Any, take: Any) -> None:
    offering, destination = serve(source()), Glance()
    assert take(offering, destination) == {"outcome": "created", "destination_id": "copy"}
    assert destination.payload == PAYLOAD
    assert offering.error() is None


def test_nothing_is_a_payload_too(serve: Any, take: Any) -> None:
    destination = Glance()
    assert take(serve(Glance(b"", "active")), destination)["outcome"] == "created"
    assert (destination.status, destination.payload) == ("active", b"")


@pytest.mark.parametrize("algorithms", [("sha256", "sha512"), ("sha512", "sha256")])
def test_clouds_with_different_hashes(serve: Any, take: Any, algorithms: tuple[str, str]) -> None:
    theirs, ours = algorithms
    destination = Glance(algorithm=ours)
    assert take(serve(source(algorithm=theirs)), destination)["outcome"] == "created"
    assert take(serve(source(algorithm=theirs)), destination)["outcome"] == "unchanged"
    other = Glance(PAYLOAD[::-1], "active", algorithm=ours)
    with pytest.raises(upload.Refused, match=f"another {theirs}"):
        take(serve(source(algorithm=theirs)), other)


@pytest.mark.parametrize("claims", [{"hash_value": "ab" * 64}, {"size": len(PAYLOAD) + 1}])
def test_what_the_source_garbles_never_arrives(serve: Any, take: Any, claims: dict[str, Any]) -> None:
    offering, destination = serve(source(claims=claims)), Glance()
    with pytest.raises(Broken):
        take(offering, destination)
    assert len(destination.uploaded) < len(PAYLOAD)
    assert destination.status == "queued"
    error = offering.error()
    assert isinstance(error, Wrong)
    assert offer.explain(error)[0::2] == ("failed", False)


def test_what_was_announced_otherwise_never_arrives(serve: Any, take: Any) -> None:
    destination = Glance()
    with pytest.raises(Wrong):
        take(serve(source()), destination, hash_value="ab" * 64)
    assert len(destination.uploaded) < len(PAYLOAD)


def test_what_glance_keeps_otherwise_is_noticed(serve: Any, take: Any) -> None:
    destination = Glance()
    destination.answer = lambda block: setattr(destination, "claims", {"hash_value": "ab" * 64})
    with pytest.raises(upload.Refused, match="delete it, then retry"):
        take(serve(source()), destination)


def test_a_second_guest_is_told_so(serve: Any, take: Any) -> None:
    offering, first = serve(source()), Glance()
    second: list[Any] = []
    first.answer = lambda _: second or second.append(take(offering, Glance()))
    assert take(offering, first)["outcome"] == "created"
    assert second == [None]


def test_a_second_guest_is_told_so_though_the_image_is_being_filled(serve: Any, take: Any) -> None:
    offering, destination = serve(source()), Glance()
    second: list[Any] = []

    def come_again(_: bytes) -> None:
        if not second:
            destination.status = "saving"
            second.append(take(offering, destination))

    destination.answer = come_again
    assert take(offering, destination)["outcome"] == "created"
    assert second == [None]


def test_an_image_that_is_filled_already_is_left_alone(serve: Any, take: Any) -> None:
    offering, destination = serve(source()), Glance(PAYLOAD, "active")
    assert take(offering, destination) == {"outcome": "unchanged", "destination_id": "copy"}
    assert take(offering, destination, address="127.0.0.1:1") == {"outcome": "unchanged", "destination_id": "copy"}
    assert destination.uploaded == b""


def test_an_image_that_was_being_filled_by_an_earlier_try_is_found_filled(serve: Any, take: Any) -> None:
    looks = iter(["saving", "active"])
    destination = Glance(PAYLOAD, "active")
    destination.get_image = lambda id_, real=destination.get_image: SimpleNamespace(
        **{**vars(real(id_)), "status": next(looks)}
    )
    assert take(serve(source()), destination) == {"outcome": "unchanged", "destination_id": "copy"}
    assert destination.uploaded == b""


def test_a_stranger_does_not_take_an_offer(serve: Any, take: Any, tmp_path: Path) -> None:
    offering = serve(source())
    stranger = identity(tmp_path / "elsewhere", "importer")
    with pytest.raises(Broken, match="connection broke"):
        take(offering, Glance(), identity=str(stranger.path))
    assert take(offering, Glance())["outcome"] == "created"


def test_an_offer_that_nobody_takes_ends(serve: Any, take: Any) -> None:
    offering = serve(source(), timeout=0.1)
    error = offering.error()
    assert offer.explain(error)[0::2] == ("interrupted", True)
    assert "no importer fetched it" in str(error)


@pytest.mark.parametrize(
    ("status", "outcome"),
    [(413, "failed"), (403, "failed"), (409, "interrupted"), (401, "interrupted"), (503, "interrupted")],
)
def test_what_glance_refuses(serve: Any, take: Any, status: int, outcome: str) -> None:
    offering = serve(source())
    with pytest.raises((Broken, upload.Refused)) as error:
        take(offering, Glance(refuse=status))
    assert fetch.explain(error.value)[0] == outcome
    assert f"{status}: no" in str(error.value)
    assert offer.explain(offering.error())[0] == "interrupted"


def test_an_upload_that_is_under_way_is_waited_for(serve: Any, take: Any) -> None:
    with pytest.raises(Broken, match="under way already"):
        take(serve(source()), Glance(status="saving"))


def test_an_image_that_can_take_no_payload_needs_a_person(serve: Any, take: Any) -> None:
    with pytest.raises(upload.Refused, match="it, then retry"):
        take(serve(source()), Glance(status="killed"))


def test_an_upload_is_not_begun_twice() -> None:
    body = upload.Once(iter([b"x"]))
    assert list(body) == [b"x"]
    with pytest.raises(Broken):
        iter(body)
