"""An MCP server that runs code: ``create_server`` makes it, ``interpreter-tools mcp`` starts it.

Needs the extra ``mcp``; no other part of the library imports the SDK.
"""

from interpreter_tools.mcp._code_mode import ToolFailed, tools_of_servers
from interpreter_tools.mcp._http import HttpAddress, serve_http
from interpreter_tools.mcp._results import FileText, FileWritten, RunReport, SessionClosing, SessionFile, SessionReport
from interpreter_tools.mcp._server import create_server
from interpreter_tools.mcp._stdio import serve_stdio

__all__ = [
    "FileText",
    "FileWritten",
    "HttpAddress",
    "RunReport",
    "SessionClosing",
    "SessionFile",
    "SessionReport",
    "ToolFailed",
    "create_server",
    "serve_http",
    "serve_stdio",
    "tools_of_servers",
]
