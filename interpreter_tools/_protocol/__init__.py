"""The conversation with a container's supervisor, without I/O; ``supervisor/protocol.h`` defines it."""

from interpreter_tools._protocol.connection import Connection, State
from interpreter_tools._protocol.encode import DataFrames, Reset, Start
from interpreter_tools._protocol.events import (
    Beside,
    Clean,
    Content,
    Credit,
    Event,
    Exited,
    Fatal,
    Files,
    Hello,
    Message,
    Output,
    Ready,
    Refused,
    RunEvent,
    Stored,
    Told,
    is_last,
)

__all__ = [
    "Beside",
    "Clean",
    "Connection",
    "Content",
    "Credit",
    "DataFrames",
    "Event",
    "Exited",
    "Fatal",
    "Files",
    "Hello",
    "Message",
    "Output",
    "Ready",
    "Refused",
    "Reset",
    "RunEvent",
    "Start",
    "State",
    "Stored",
    "Told",
    "is_last",
]
