"""The server: an engine over the wires that other tools' clients speak. Needs the extra ``server``."""

from interpreter_tools.server._app import create_app
from interpreter_tools.server._config import ServerConfig
from interpreter_tools.server._keys import Keys, Quota

__all__ = ["Keys", "Quota", "ServerConfig", "create_app"]
