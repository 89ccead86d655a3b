"""Run untrusted code snippets in warm, locked-down containers, from asyncio."""

import logging

from interpreter_tools._config import ContainerConfig, ContainerStrategy, EngineConfig, PoolConfig
from interpreter_tools._dependencies import StoreEntry
from interpreter_tools._dependency_store import DependencyStore
from interpreter_tools._engine import ExecutionEngine
from interpreter_tools._exceptions import (
    ArchitectureMismatch,
    ConfigurationError,
    ContainerBusy,
    ContainerLost,
    ContainerStartFailed,
    DockerApiError,
    DockerUnavailable,
    EngineClosed,
    EngineMisused,
    ExecutionClosed,
    ExecutionFailed,
    FileRefused,
    ImageMissing,
    InterpreterMissing,
    InterpreterToolsError,
    InvalidPath,
    MachineError,
    PoolClosed,
    PoolTimeout,
    ProtocolError,
    StoreFailed,
    UnknownLanguage,
    UsageError,
)
from interpreter_tools._execution import Execution
from interpreter_tools._languages import DependencyPlan, InterpreterBoot, LanguageConfig, LanguageRegistry
from interpreter_tools._models import EngineStats, ExecutionResult, OutputChunk, PoolStats
from interpreter_tools._options import RunOptions

__all__ = [
    "ArchitectureMismatch",
    "ConfigurationError",
    "ContainerBusy",
    "ContainerConfig",
    "ContainerLost",
    "ContainerStartFailed",
    "ContainerStrategy",
    "DependencyPlan",
    "DependencyStore",
    "DockerApiError",
    "DockerUnavailable",
    "EngineClosed",
    "EngineConfig",
    "EngineMisused",
    "EngineStats",
    "Execution",
    "ExecutionClosed",
    "ExecutionEngine",
    "ExecutionFailed",
    "ExecutionResult",
    "FileRefused",
    "ImageMissing",
    "InterpreterBoot",
    "InterpreterMissing",
    "InterpreterToolsError",
    "InvalidPath",
    "LanguageConfig",
    "LanguageRegistry",
    "MachineError",
    "OutputChunk",
    "PoolClosed",
    "PoolConfig",
    "PoolStats",
    "PoolTimeout",
    "ProtocolError",
    "RunOptions",
    "StoreEntry",
    "StoreFailed",
    "UnknownLanguage",
    "UsageError",
]

logging.getLogger("interpreter_tools").addHandler(logging.NullHandler())
