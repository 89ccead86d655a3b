# pyright: reportUnknownMemberType=false
"""A notebook whose kernel is a sandbox: Jupyter's own clients, unchanged, over the gateway's kernel manager.

JupyterLab does the same with ``interpreter-tools serve`` and ``jupyter lab --gateway-url=http://127.0.0.1:3000``. This
needs the packages ``interpreter-tools[server]``, ``nbclient`` and ``jupyter_server``.
"""

import asyncio

import nbformat
import uvicorn
from jupyter_server.gateway.gateway_client import GatewayClient
from jupyter_server.gateway.managers import GatewayKernelManager
from nbclient import NotebookClient

from interpreter_tools import ExecutionEngine
from interpreter_tools.server import create_app

CELLS = (
    "import os\nprint('the kernel is in', os.getcwd())\nsquares = [n * n for n in range(1, 6)]",
    "sum(squares)",
    "from IPython.display import HTML\nHTML('<b>' + ', '.join(map(str, squares)) + '</b>')",
)


def run_notebook(url: str) -> nbformat.NotebookNode:
    """Run a notebook from its first cell to its last, and return it with its outputs."""
    GatewayClient.instance().url = url
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(code) for code in CELLS])
    return NotebookClient(notebook, kernel_manager_class=GatewayKernelManager, kernel_name="python3").execute()


async def main() -> None:
    """Serve kernels on a free port of this machine, without keys, and run the notebook with one of them."""
    async with ExecutionEngine() as engine:
        server = uvicorn.Server(uvicorn.Config(create_app(engine, wires=["jupyter"]), port=0, log_level="warning"))
        serving = asyncio.create_task(server.serve())
        while not server.started:  # noqa: ASYNC110 - uvicorn has no event for it
            await asyncio.sleep(0.05)
        port = server.servers[0].sockets[0].getsockname()[1]
        notebook = await asyncio.to_thread(run_notebook, f"http://127.0.0.1:{port}")
        server.should_exit = True
        await serving
    for cell in notebook.cells:
        for output in cell.outputs:
            text = output.get("text") or output["data"].get("text/html") or output["data"]["text/plain"]
            print(f"{output.output_type}: {text.strip()}")


if __name__ == "__main__":
    asyncio.run(main())
