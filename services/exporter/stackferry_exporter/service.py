"""The exporter: what comes in, and which function handles it."""

from __future__ import annotations

import time

from stackferry import topology
from stackferry.errors import BrokerUnavailable, Unconfirmed, Unroutable
from stackferry.messages import (
    Answer,
    DocumentsExported,
    ExportEnded,
    ExportProject,
    OfferImage,
    PerformAction,
    SaveImage,
    StepEnded,
    TryCloud,
)
from stackferry_clouds import actions, adapter, known
from stackferry_clouds.connections import Clouds
from stackferry_clouds.failures import CloudSilent, failure
from stackferry_runtime import metrics
from stackferry_runtime.logs import logger, of_step
from stackferry_runtime.services.bus import Delivery, Publish, handles
from stackferry_runtime.services.claims import Claims
from stackferry_runtime.services.jobs import Jobs
from stackferry_runtime.services.presence import Presence
from stackferry_runtime.services.provided import Provided

from .inventory import inventory, parts, shortened
from .staying import gathered
from .survey import survey

log = logger(__name__)
adapter.answered = metrics.answered
JOBS = {OfferImage.type: "stackferry_exporter.offer", SaveImage.type: "stackferry_exporter.save"}


class Exporter:
    """Reads a source cloud and publishes what it holds."""

    name = "exporter"
    clouds = Provided(Clouds.of)
    claims = Claims()
    jobs = Jobs()
    presence = Presence(known)
    publish = Publish()

    @handles(ExportProject, workers=2)
    def export(self, delivery: Delivery) -> None:
        """Publish a project's documents, then how many parts they had.

        Parts of two readings mustn't be mixed: what may have been begun by somebody else is another try.
        """
        data, began = delivery.data, time.monotonic()
        about = {"migration": data["migration"], "attempt": data["attempt"]}
        if delivery.doubtful:
            lost = {"outcome": "failed", "parts": 0, "reason": "its exporter was lost", "retryable": True}
            self.publish(ExportEnded, {**about, **lost}, delivery.envelope)
            return
        number = count = 0
        try:
            view = self.clouds.view(data["source"], data["migration"])
            for number, part in enumerate(parts(inventory(view, data.get("selection"))), 1):
                count += len(part)
                self.publish(DocumentsExported, {**about, "part": number, "documents": part}, delivery.envelope)
            selection = data.get("selection")
            stays = gathered([*view.staying, *survey(view, selection)], selection)
            ended = {"outcome": "done", "parts": number, "notes": shortened(view.notes), "stays_behind": stays}
        except (BrokerUnavailable, Unconfirmed, Unroutable):
            raise  # the bus brings the command back
        except Exception as error:
            _, reason, retryable = failure(error)
            retryable = retryable and not isinstance(error, CloudSilent)  # nothing has begun, and somebody waits
            log.warning("export failed", migration=data["migration"], reason=reason)
            ended = {"outcome": "failed", "parts": number, "reason": reason, "retryable": retryable}
        finally:
            self.clouds.drop(data["migration"])
        seconds = round(time.monotonic() - began, 3)
        self.publish(ExportEnded, {**about, **ended, "seconds": seconds}, delivery.envelope)
        log.info("exported", migration=data["migration"], documents=count, seconds=seconds)

    @handles(OfferImage, SaveImage, workers=4)
    def payload(self, delivery: Delivery) -> None:
        """Start serving the payload of an image, or writing it into a file, if this try is ours to make."""
        self.jobs.await_room()
        if not self.claims.granted(delivery):
            return
        job = {**delivery.data, "identity": str(self.presence.identity.path)}
        self.jobs.begin(JOBS[delivery.envelope.type], job, delivery).wait()

    @handles(PerformAction, workers=16)
    def act(self, delivery: Delivery) -> None:
        """Do something with a server or a volume, if this try is ours to make."""
        if not self.claims.granted(delivery):
            return
        ended = actions.attempt(
            lambda: self.clouds.view(delivery.data["place"], delivery.data["migration"]), delivery.data
        )
        log.info(ended["outcome"], **of_step(delivery.envelope, ended))
        self.publish(StepEnded, ended, delivery.envelope)

    @handles(TryCloud, queue=topology.EXPORTER_CHECKS)
    def check(self, delivery: Delivery) -> None:
        """Say whether a source cloud can be used."""
        answer = self.clouds.answer(delivery.data["place"])
        self.publish(Answer, answer, delivery.envelope, reply_to=delivery.data["reply_to"])
