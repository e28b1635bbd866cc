"""The payload of an image on its way: offered by an exporter and fetched by an importer, or through a file."""

from __future__ import annotations

from marshmallow import fields

from .. import topology
from .fields import need, number, text
from .message import Command, Fact
from .scope import nested_place
from .steps import StepFields


class OfferImage(StepFields, Command):
    """Serve the payload of a source image to one of the given importers."""

    queues = (topology.EXPORTER_IMAGES,)

    source = nested_place("the project that has the image", required=True)
    image = need("id of the image at the source")
    certificates = fields.List(
        fields.String(), required=True, metadata={"description": "PEM certificates that may fetch it"}
    )


class ImageOffered(StepFields, Fact):
    """The payload of an image can be fetched."""

    key = "image.offered"

    address = need("host:port")
    certificate = text("PEM certificate of the offering side", required=True)
    size = number("bytes", allow_none=True)
    hash_algo = text("algorithm of hash_value", allow_none=True)
    hash_value = text("hex digest at the source", allow_none=True)


class FetchImage(StepFields, Command):
    """Stream an offered payload into a queued image of the destination."""

    queues = (topology.IMPORTER_IMAGES,)

    destination = nested_place("the project that gets the image", required=True)
    image = need("id of the image at the destination")
    address = need("host:port of the offer")
    certificate = text("PEM certificate of the offering side", required=True)
    size = number("bytes of the payload; absent: unknown", allow_none=True)
    hash_algo = text("algorithm of hash_value, such as sha512", allow_none=True)
    hash_value = text("hex digest of the payload at the source", allow_none=True)


class SaveImage(StepFields, Command):
    """Write the payload of a source image into a file."""

    queues = (topology.EXPORTER_IMAGES,)

    source = nested_place("the project that has the image", required=True)
    image = need("id of the image at the source")
    folder = need("folder for the file, which is named <id>-<name>")


class LoadImage(StepFields, Command):
    """Send a payload from a file into a queued image of the destination."""

    queues = (topology.IMPORTER_IMAGES,)

    destination = nested_place("the project that gets the image", required=True)
    image = need("id of the image at the destination")
    folder = need("folder of the file")
    source_id = need("id of the image at the source, with which the name of the file begins")
    size = number("bytes of the payload; absent: unknown", allow_none=True)
    hash_algo = text("algorithm of hash_value, such as sha512", allow_none=True)
    hash_value = text("hex digest of the payload at the source", allow_none=True)
