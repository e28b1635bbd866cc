"""The importer: what comes in, and which function handles it."""

from __future__ import annotations

from stackferry import topology
from stackferry.messages import (
    Answer,
    CompareResource,
    EnsureResource,
    FetchImage,
    FinishResource,
    LoadImage,
    PerformAction,
    RemoveResource,
    StepEnded,
    TryCloud,
)
from stackferry_clouds import actions, adapter, apply, known
from stackferry_clouds.connections import Clouds
from stackferry_runtime import metrics
from stackferry_runtime.logs import logger, of_step
from stackferry_runtime.services.bus import Delivery, Publish, handles
from stackferry_runtime.services.claims import Claims
from stackferry_runtime.services.jobs import Jobs
from stackferry_runtime.services.presence import Presence
from stackferry_runtime.services.provided import Provided

from .work import attempt

log = logger(__name__)
adapter.answered = metrics.answered
JOBS = {FetchImage.type: "stackferry_importer.fetch", LoadImage.type: "stackferry_importer.load"}
VERBS = {
    EnsureResource.type: apply.ensure,
    CompareResource.type: apply.compare,
    FinishResource.type: apply.finish,
    RemoveResource.type: apply.remove,
}


class Importer:
    """Makes a destination cloud match the documents that it's given."""

    name = "importer"
    clouds = Provided(Clouds.of)
    claims = Claims()
    jobs = Jobs()
    presence = Presence(known)
    publish = Publish()

    @handles(EnsureResource, CompareResource, FinishResource, RemoveResource, workers=8)
    def resource(self, delivery: Delivery) -> None:
        """One try of one step, if it's ours to make; whatever happens, its outcome is reported."""
        data, type_ = delivery.data, delivery.envelope.type
        if type_ != CompareResource.type and not self.claims.granted(delivery):
            log.info("refused", step=data["step"], attempt=data["attempt"])
            return
        verb = VERBS[type_]
        ended = attempt(verb, lambda: self.clouds.view(data["destination"], data["migration"]), data)
        log.info(ended["outcome"], **of_step(delivery.envelope, ended))
        self.publish(StepEnded, ended, delivery.envelope)

    @handles(FetchImage, LoadImage, workers=4)
    def payload(self, delivery: Delivery) -> None:
        """Start taking in the payload of an image. A fetch needs no claim: an offer serves one guest."""
        self.jobs.await_room()
        type_ = delivery.envelope.type
        if type_ == LoadImage.type and not self.claims.granted(delivery):
            return
        job = {**delivery.data, "identity": str(self.presence.identity.path)}
        spoke = self.jobs.begin(JOBS[type_], job, delivery)
        if type_ == LoadImage.type:
            spoke.wait()

    @handles(PerformAction, queue=topology.IMPORTER_WORKLOADS, workers=16)
    def act(self, delivery: Delivery) -> None:
        """Do something with a server or a volume, if this try is ours to make."""
        if not self.claims.granted(delivery):
            return
        ended = actions.attempt(
            lambda: self.clouds.view(delivery.data["place"], delivery.data["migration"]), delivery.data
        )
        log.info(ended["outcome"], **of_step(delivery.envelope, ended))
        self.publish(StepEnded, ended, delivery.envelope)

    @handles(TryCloud, queue=topology.IMPORTER_CHECKS)
    def check(self, delivery: Delivery) -> None:
        """Say whether a destination cloud can be used."""
        answer = self.clouds.answer(delivery.data["place"])
        self.publish(Answer, answer, delivery.envelope, reply_to=delivery.data["reply_to"])
