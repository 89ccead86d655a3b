"""Run untrusted code snippets in warm, locked-down containers, from asyncio."""

import logging

from interpreter_tools._config import ContainerConfig, ContainerStrategy, EngineConfig, PoolConfig, SessionConfig
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
    InvalidArguments,
    InvalidPath,
    MachineError,
    NetworkMissing,
    PoolClosed,
    PoolTimeout,
    ProtocolError,
    SessionBusy,
    SessionClosed,
    SessionExists,
    StoreFailed,
    TooManySessions,
    UnknownLanguage,
    UnknownOutput,
    UnknownSession,
    UsageError,
)
from interpreter_tools._execution import Execution
from interpreter_tools._languages import DependencyPlan, InterpreterBoot, LanguageConfig, LanguageRegistry, RunApp
from interpreter_tools._models import (
    ContainerMeta,
    EngineStats,
    ExecutionResult,
    OutputChunk,
    PoolStats,
    SessionInfo,
)
from interpreter_tools._mounts import Mount
from interpreter_tools._options import RunOptions, SessionOptions
from interpreter_tools._session import Session
from interpreter_tools._session_files import FileReader
from interpreter_tools.tool import CodeExecutionTool, ToolArguments, ToolReply, create_code_execution_tool

__all__ = [
    "ArchitectureMismatch",
    "CodeExecutionTool",
    "ConfigurationError",
    "ContainerBusy",
    "ContainerConfig",
    "ContainerLost",
    "ContainerMeta",
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
    "FileReader",
    "FileRefused",
    "ImageMissing",
    "InterpreterBoot",
    "InterpreterMissing",
    "InterpreterToolsError",
    "InvalidArguments",
    "InvalidPath",
    "LanguageConfig",
    "LanguageRegistry",
    "MachineError",
    "Mount",
    "NetworkMissing",
    "OutputChunk",
    "PoolClosed",
    "PoolConfig",
    "PoolStats",
    "PoolTimeout",
    "ProtocolError",
    "RunApp",
    "RunOptions",
    "Session",
    "SessionBusy",
    "SessionClosed",
    "SessionConfig",
    "SessionExists",
    "SessionInfo",
    "SessionOptions",
    "StoreEntry",
    "StoreFailed",
    "TooManySessions",
    "ToolArguments",
    "ToolReply",
    "UnknownLanguage",
    "UnknownOutput",
    "UnknownSession",
    "UsageError",
    "create_code_execution_tool",
]

logging.getLogger("interpreter_tools").addHandler(logging.NullHandler())
