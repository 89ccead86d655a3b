"""The set-up of a bare machine (the Docker engine and the default images), and the checks that find what it lacks."""

from interpreter_tools.setup.doctor import Check, diagnose
from interpreter_tools.setup.errors import ProgramFailed, SetupFailed
from interpreter_tools.setup.images import KNOWN_IMAGES, ImageReady, KnownImage
from interpreter_tools.setup.packages import Consent, refuse
from interpreter_tools.setup.progress import Progress, Reporter, ignore
from interpreter_tools.setup.run import SetupResult, set_up

__all__ = [
    "KNOWN_IMAGES",
    "Check",
    "Consent",
    "ImageReady",
    "KnownImage",
    "ProgramFailed",
    "Progress",
    "Reporter",
    "SetupFailed",
    "SetupResult",
    "diagnose",
    "ignore",
    "refuse",
    "set_up",
]
