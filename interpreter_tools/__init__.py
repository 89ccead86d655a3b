"""Run untrusted code snippets in warm, locked-down containers, from asyncio."""

import logging

from interpreter_tools._config import ContainerConfig, ContainerStrategy, EngineConfig, PoolConfig
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
    PoolClosed,
    PoolTimeout,
    ProtocolError,
    UnknownLanguage,
    UnknownOutput,
    UsageError,
)
from interpreter_tools._execution import Execution
from interpreter_tools._languages import InterpreterBoot, LanguageConfig, LanguageRegistry
from interpreter_tools._models import EngineStats, ExecutionResult, OutputChunk, PoolStats
from interpreter_tools._options import RunOptions
from interpreter_tools.tool import CodeExecutionTool, ToolArguments, ToolReply, create_code_execution_tool

__all__ = [
    "ArchitectureMismatch",
    "CodeExecutionTool",
    "ConfigurationError",
    "ContainerBusy",
    "ContainerConfig",
    "ContainerLost",
    "ContainerStartFailed",
    "ContainerStrategy",
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
    "InvalidArguments",
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
    "ToolArguments",
    "ToolReply",
    "UnknownLanguage",
    "UnknownOutput",
    "UsageError",
    "create_code_execution_tool",
]

logging.getLogger("interpreter_tools").addHandler(logging.NullHandler())
