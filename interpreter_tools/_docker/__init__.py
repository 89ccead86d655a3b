"""The Docker engine. The only package that knows aiodocker."""

from interpreter_tools._docker.client import DockerClient
from interpreter_tools._docker.endpoint import Endpoint, find_endpoints
from interpreter_tools._docker.images import Pull, PullProgress
from interpreter_tools._docker.multiplex import Demultiplexer
from interpreter_tools._docker.records import (
    ContainerSummary,
    EngineInfo,
    EngineVersion,
    ImageInfo,
    ImageSummary,
    VolumeSummary,
)
from interpreter_tools._docker.supervisor import (
    SupervisorVolume,
    ensure_supervisor_volume,
    find_supervisor_volume,
    is_about_supervisor,
    load_supervisor,
)
from interpreter_tools._docker.sweep import OWNER_LABEL, Belonging, Owner, remove, survey, sweep

__all__ = [
    "OWNER_LABEL",
    "Belonging",
    "ContainerSummary",
    "Demultiplexer",
    "DockerClient",
    "Endpoint",
    "EngineInfo",
    "EngineVersion",
    "ImageInfo",
    "ImageSummary",
    "Owner",
    "Pull",
    "PullProgress",
    "SupervisorVolume",
    "VolumeSummary",
    "ensure_supervisor_volume",
    "find_endpoints",
    "find_supervisor_volume",
    "is_about_supervisor",
    "load_supervisor",
    "remove",
    "survey",
    "sweep",
]
