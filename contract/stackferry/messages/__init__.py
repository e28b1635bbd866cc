"""Every message: one class each, with its fields and where it goes, in the module of what it is about.

To add a message, add a class and name it here: the registry, the documentation and the AsyncAPI document follow
from it.
"""

from .document import DocumentSchema
from .exports import DocumentsExported, ExportEnded, ExportProject
from .hosts import HOST_ACTIONS, AgentSeen, ControlHost, DescribeHosts
from .images import FetchImage, ImageOffered, LoadImage, OfferImage, SaveImage
from .letters import LETTER_ACTIONS, ControlDeadLetters, DescribeDeadLetters
from .message import REGISTRY, Command, Event, Fact, Message, check
from .migrations import (
    MODES,
    CleanUpSource,
    ControlMigration,
    ForgetMigrations,
    MigrationChanged,
    RequestMigration,
    RequestRefused,
    SubmitDocuments,
)
from .presence import DeadLettersDropped, DescribeWorkers, WorkerSeen
from .questions import Answer, CheckCloud, DescribeMigrations, TryCloud
from .resources import CompareResource, EnsureResource, FinishResource, RemoveResource
from .scope import Place, Selection
from .steps import GOOD, OUTCOMES, StepBegan, StepClaimed, StepEnded, StepProgressed
from .workloads import FetchSegment, OfferSegment, PerformAction, SegmentOffered, SegmentServed, WorkloadChanged

__all__ = [
    "GOOD",
    "HOST_ACTIONS",
    "LETTER_ACTIONS",
    "MODES",
    "OUTCOMES",
    "REGISTRY",
    "AgentSeen",
    "Answer",
    "CheckCloud",
    "CleanUpSource",
    "Command",
    "CompareResource",
    "ControlDeadLetters",
    "ControlHost",
    "ControlMigration",
    "DeadLettersDropped",
    "DescribeDeadLetters",
    "DescribeHosts",
    "DescribeMigrations",
    "DescribeWorkers",
    "DocumentSchema",
    "DocumentsExported",
    "EnsureResource",
    "Event",
    "ExportEnded",
    "ExportProject",
    "Fact",
    "FetchImage",
    "FetchSegment",
    "FinishResource",
    "ForgetMigrations",
    "ImageOffered",
    "LoadImage",
    "Message",
    "MigrationChanged",
    "OfferImage",
    "OfferSegment",
    "PerformAction",
    "Place",
    "RemoveResource",
    "RequestMigration",
    "RequestRefused",
    "SaveImage",
    "SegmentOffered",
    "SegmentServed",
    "Selection",
    "StepBegan",
    "StepClaimed",
    "StepEnded",
    "StepProgressed",
    "SubmitDocuments",
    "TryCloud",
    "WorkerSeen",
    "WorkloadChanged",
    "check",
]
