"""The tool that models call to run code, and its parts."""

from interpreter_tools.tool._arguments import ToolArguments
from interpreter_tools.tool._pictures import Picture
from interpreter_tools.tool._tool import CodeExecutionTool, ToolReply, create_code_execution_tool

__all__ = ["CodeExecutionTool", "Picture", "ToolArguments", "ToolReply", "create_code_execution_tool"]
