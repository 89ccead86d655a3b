"""The Docker engine. The only package that knows aiodocker."""

from interpreter_tools._docker.client import DockerClient
from interpreter_tools._docker.endpoint import Endpoint, find_endpoints
from interpreter_tools._docker.images import Pull, PullProgress
from interpreter_tools._docker.multiplex import Demultiplexer
from interpreter_tools._docker.records import ContainerSummary, EngineInfo, EngineVersion, ImageInfo, VolumeSummary

__all__ = [
    "ContainerSummary",
    "Demultiplexer",
    "DockerClient",
    "Endpoint",
    "EngineInfo",
    "EngineVersion",
    "ImageInfo",
    "Pull",
    "PullProgress",
    "VolumeSummary",
    "find_endpoints",
]
