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
from interpreter_tools._docker.supervisor import SupervisorVolume, ensure_supervisor_volume, load_supervisor
from interpreter_tools._docker.sweep import Belonging, Owner, remove, survey, sweep

__all__ = [
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
    "load_supervisor",
    "remove",
    "survey",
    "sweep",
]
