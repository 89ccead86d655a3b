"""The commands and their options. The modules that do the work are imported late; ``--help`` is in ``_help.py``."""

from __future__ import annotations

import sys
from dataclasses import field, fields, make_dataclass
from pathlib import Path  # noqa: TC003 - cyclopts reads the annotations
from typing import TYPE_CHECKING, Annotated, Literal, TypeAlias, get_type_hints

from cyclopts import App, CycloptsError, Parameter, UnknownOptionError

from interpreter_tools._exit_status import USAGE
from interpreter_tools.cli._call import STDIN, RunCall, RunWords
from interpreter_tools.cli._limits import Limits
from interpreter_tools.cli._loop import run as run_in_loop

Words: TypeAlias = Annotated[list[str] | None, Parameter(negative="")]
Flag: TypeAlias = Annotated[bool, Parameter(negative="", show_default=False)]


def _options(source: type, **kinds: object) -> type:
    """Return a dataclass whose fields are the options that another one lists.

    Args:
        source: the other, which becomes its base.
        kinds: other types for some of its fields.
    """
    hints = {**get_type_hints(source), **kinds}
    made: list[tuple[str, object, object]] = []
    for each in fields(source):
        names = {key: each.metadata[key] for key in ("name", "alias") if each.metadata[key]}
        shown = Parameter(**names, help=each.metadata["text"], negative="", show_default=False)
        made.append((each.name, Annotated[hints[each.name], shown], field(default=each.default)))
    here = {"__module__": __name__}  # cyclopts looks into no class of the standard library's
    options = make_dataclass(source.__name__, made, bases=(source,), frozen=True, kw_only=True, namespace=here)
    return Parameter(name="*")(options)


if TYPE_CHECKING:
    LimitOptions: TypeAlias = Limits
    RunOptions: TypeAlias = RunWords
else:
    LimitOptions = _options(Limits)
    RunOptions = _options(RunWords, limits=LimitOptions | None)


def _version() -> str:
    from interpreter_tools import __version__  # noqa: PLC0415 - takes longer than all the rest

    return __version__


app = App(
    name="interpreter-tools",
    help="Run untrusted code in warm, locked-down containers.",
    help_epilogue="""\
First:  interpreter-tools setup
Then:   interpreter-tools run -c 'print(6 * 7)'
More:   interpreter-tools run --help""",
    help_format="plaintext",
    version=_version,
    version_flags=["--version", "-V"],
    suppress_keyboard_interrupt=False,
)


@app.command(
    help_epilogue="""\
Examples:
  interpreter-tools setup                  what Python, JavaScript, TypeScript and shell need; asks first
  interpreter-tools setup --yes python     only Python's image; for scripts
  interpreter-tools setup go rust data     images of further languages, and Python's for data science
  interpreter-tools setup --list           the images that there are, and their languages
  interpreter-tools setup --update         make the images again"""
)
async def setup(
    *names: str,
    everything: Annotated[Flag, Parameter(name="--all")] = False,
    listed: Annotated[Flag, Parameter(name="--list")] = False,
    yes: Annotated[Flag, Parameter(alias="-y")] = False,
    update: Flag = False,
    json: Flag = False,
    docker_host: str | None = None,
) -> int:
    """Make this machine ready: the Docker engine and the images. What is ready is left alone.

    Args:
        names: Languages or images; without any, those of Python, JavaScript, TypeScript and shell.
        everything: Make every image of --list ready, which takes about 10 GB.
        listed: Print the images that can be made ready with their languages, and do nothing else.
        yes: Install and start whatever is missing without asking.
        update: Make images again that are there already.
        json: Print what was made ready, or the list, as JSON.
        docker_host: Address of the Docker engine; otherwise the first that answers.
    """
    from interpreter_tools.cli._setup import list_images, run_setup  # noqa: PLC0415

    if listed:
        return list_images(as_json=json)
    return await run_setup(names, all_images=everything, yes=yes, update=update, as_json=json, docker_host=docker_host)


@app.command(
    help_epilogue="""\
Examples:
  interpreter-tools doctor
  interpreter-tools doctor --json | jq '.[] | select(.ok | not)'"""
)
async def doctor(*, json: Flag = False, docker_host: str | None = None) -> int:
    """Check the machine, from the Docker engine to a timed run. The status is 1 when something needed is missing.

    Args:
        json: Print the checks as JSON.
        docker_host: Address of the Docker engine; otherwise the first that answers.
    """
    from interpreter_tools.cli._doctor import run_doctor  # noqa: PLC0415

    return await run_doctor(as_json=json, docker_host=docker_host)


@app.command(
    usage="Usage: interpreter-tools run [OPTIONS] [FILE] [ARGS...]",
    help_epilogue="""\
Examples:
  interpreter-tools run -c 'print(6 * 7)'
  interpreter-tools run script.py input.csv 3 -- --verbose
  interpreter-tools run script.js < input.txt > output.txt
  curl -s https://example.org/x.sh | interpreter-tools run --language bash -
  interpreter-tools run plot.py --dep matplotlib,pandas --file ./data.csv --out charts
  interpreter-tools run main.py --mount ./data:/data --file helper.py --memory 1g --cpus 2 --timeout 5m
  interpreter-tools run server.py --network bridge --port 8000 --timeout 0""",
)
async def run(file: Path | None = None, /, *args: str, options: RunOptions | None = None) -> int:
    """Run code in a fresh sandbox. Its output, input and exit status are this command's own.

    What is not given comes from your interpreter-tools/config.toml and from
    variables such as INTERPRETER_TOOLS_TIMEOUT. The status is 124 after the
    time limit, 137 after a kill, 2 where the call cannot work as it was made,
    and 125 where the sandbox, rather than the code, fails.

    Args:
        file: The program; `-`, or nothing where input is piped, reads it from standard input.
        args: The program's arguments. Those that begin with a dash stand after `--`.
        options: What ``RunWords`` lists.
    """
    return await RunCall(file=file, args=args, **vars(options or RunWords())).run()


@app.command(
    help_epilogue="""\
Examples:
  interpreter-tools ps
  interpreter-tools ps --json | jq '.[] | select(.owner == "dead") | .id'"""
)
async def ps(*, json: Flag = False, docker_host: str | None = None) -> int:
    """List the containers of interpreter-tools on a Docker engine: how old they are, and whether their owners live.

    Args:
        json: Print the list as JSON.
        docker_host: Address of the Docker engine; otherwise the first that answers.
    """
    from interpreter_tools.cli._ps import run_ps  # noqa: PLC0415

    return await run_ps(as_json=json, docker_host=docker_host)


@app.command(
    help_epilogue="""\
Examples:
  interpreter-tools clean --dry-run      what would go
  interpreter-tools clean --yes          for scripts
  interpreter-tools clean --all          whatever it has made"""
)
async def clean(
    *,
    all: Flag = False,  # noqa: A002 - the option's name
    dry_run: Annotated[Flag, Parameter(alias="-n")] = False,
    yes: Annotated[Flag, Parameter(alias="-y")] = False,
    json: Flag = False,
    docker_host: str | None = None,
) -> int:
    """Remove what ended processes and older versions of interpreter-tools have left. Asks first.

    Only what interpreter-tools has made is removed. The containers and volumes
    of a process on another machine stay, because nobody can tell from here
    whether it lives. Installed packages stay, too.

    Args:
        all: Remove everything but installed packages, also of processes that live. Their runs end.
        dry_run: Only tell what would be removed.
        yes: Do not ask.
        json: Print what was removed as JSON.
        docker_host: Address of the Docker engine; otherwise the first that answers.
    """
    from interpreter_tools.cli._clean import run_clean  # noqa: PLC0415

    return await run_clean(everything=all, dry_run=dry_run, yes=yes, as_json=json, docker_host=docker_host)


@app.command(
    help_epilogue="""\
Examples:
  interpreter-tools completion --install
  source <(interpreter-tools completion bash)      for this shell only"""
)
def completion(shell: Literal["bash", "zsh", "fish"] | None = None, /, *, install: Flag = False) -> int:
    """Print the script by which a shell completes this command.

    Args:
        shell: Which shell; otherwise the one that this is started from.
        install: Put it where the shell looks, and have the shell's start-up file read it.
    """
    from interpreter_tools.cli._completion import run_completion  # noqa: PLC0415

    return run_completion(app, shell, install=install)


deps = App(
    name="deps",
    help="Packages that runs have asked for, kept on the Docker host.",
    help_epilogue="""\
Examples:
  interpreter-tools deps list
  interpreter-tools deps warm numpy pandas
  interpreter-tools deps prune --older-than 30d --dry-run""",
)
app.command(deps)


@deps.command(name="list")
async def list_deps(*, json: Flag = False, store: str | None = None, docker_host: str | None = None) -> int:
    """List what is kept, the oldest first.

    Args:
        json: Print the list as JSON.
        store: The Docker volume that keeps it; otherwise the configured one.
        docker_host: Address of the Docker engine; otherwise the first that answers.
    """
    from interpreter_tools.cli._deps import run_list  # noqa: PLC0415

    return await run_list(as_json=json, store=store, docker_host=docker_host)


@deps.command
async def prune(
    *,
    older_than: str | None = None,
    max_size: str | None = None,
    all: Flag = False,  # noqa: A002 - the option's name
    dry_run: Flag = False,
    store: str | None = None,
    docker_host: str | None = None,
) -> int:
    """Remove what is old, then the oldest while all together is too large. What is needed again is installed again.

    Args:
        older_than: Remove what was installed longer ago, such as 30d, 12h or 90m.
        max_size: Remove the oldest until the rest is smaller, such as 2g.
        all: Remove everything.
        dry_run: Only tell what would be removed.
        store: The Docker volume that keeps it; otherwise the configured one.
        docker_host: Address of the Docker engine; otherwise the first that answers.
    """
    from interpreter_tools.cli._deps import run_prune  # noqa: PLC0415

    if not (older_than or max_size or all):
        sys.stderr.write("interpreter-tools deps prune: say what to remove: --older-than, --max-size or --all\n")
        return USAGE
    return await run_prune(
        older_than=older_than, max_size=max_size, everything=all, dry_run=dry_run, store=store, docker_host=docker_host
    )


@deps.command
async def warm(
    *packages: str,
    language: Annotated[str, Parameter(alias="-l")] = "python",
    requirements: Annotated[Path | None, Parameter(alias="-r")] = None,
    image: str | None = None,
    store: str | None = None,
    docker_host: str | None = None,
) -> int:
    """Install packages ahead of the first run that asks for exactly these.

    Args:
        packages: Their names, as the language's installer takes them.
        language: The language that they are for.
        requirements: A file with one package a line, as pip's requirements files; its options are not taken.
        image: The image that they are for; otherwise the configured one, or the language's own.
        store: The Docker volume that keeps them; otherwise the configured one.
        docker_host: Address of the Docker engine; otherwise the first that answers.
    """
    from interpreter_tools.cli._deps import run_warm  # noqa: PLC0415

    if not packages and requirements is None:
        sys.stderr.write("interpreter-tools deps warm: give packages, or a file of them with -r\n")
        return USAGE
    return await run_warm(
        packages, language=language, requirements=requirements, image=image, store=store, docker_host=docker_host
    )


@app.command(
    help_epilogue="""\
Examples:
  interpreter-tools mcp
  interpreter-tools mcp --http 8808
  interpreter-tools mcp --tools-from servers.json    programs call the tools of other MCP servers"""
)
async def mcp(
    *,
    http: str | None = None,
    tools_from: Path | None = None,
    limits: LimitOptions | None = None,
    config: Path | None = None,
    docker_host: str | None = None,
) -> int:
    """Serve code execution to AI applications over MCP, on standard input and output.

    Args:
        http: HOST:PORT, or a port of 127.0.0.1: serve streamable HTTP there instead. There is no password.
        tools_from: A JSON file with mcpServers, as AI applications have it: programs may call the tools of these
            servers, which run on this machine, outside of any sandbox.
        limits: What programs may use and see.
        config: A TOML file with the engine's settings. Without it, interpreter-tools.toml here sets limits only.
        docker_host: Address of the Docker engine; otherwise the first that answers.
    """
    from interpreter_tools.cli._mcp import run_mcp  # noqa: PLC0415

    return await run_mcp(
        http=http, tools_from=tools_from, limits=limits or Limits(), config_file=config, docker_host=docker_host
    )


@app.command(
    help_epilogue="""\
Examples:
  interpreter-tools serve
  interpreter-tools serve --wires e2b,jupyter --port 3000
  interpreter-tools serve --host 0.0.0.0 --api-key-file keys --tls-cert cert.pem --tls-key key.pem
  interpreter-tools serve --domain sandbox.test     for clients that reach each sandbox by a host name"""
)
async def serve(
    *,
    host: str = "127.0.0.1",
    port: int = 3000,
    wires: Words = None,
    api_key_file: Path | None = None,
    tls_cert: Path | None = None,
    tls_key: Path | None = None,
    domain: str = "",
    proxied: Flag = False,
    runs: int | None = None,
    queue: int | None = None,
    sandboxes: int | None = None,
    log: Literal["text", "json", "none"] = "text",
    limits: LimitOptions | None = None,
    config: Path | None = None,
    docker_host: str | None = None,
) -> int:
    """Serve sandboxes to clients of E2B, Jupyter, SandboxFusion, Piston and others, unchanged, over HTTP.

    It prints what to export for each client. On 127.0.0.1 there is a new key
    with every start; for any other address, give a file of keys.

    Args:
        host: The address to listen on.
        port: The port; 0 means a free one.
        wires: The kinds of clients, between commas; otherwise all.
        api_key_file: A file of keys: one a line, then words such as name=alice sandboxes=10 runs=4 cpu_seconds=3600.
        tls_cert: A PEM file with the server's certificate; then clients use https.
        tls_key: The PEM file of its key.
        domain: The domain whose hosts PORT-SANDBOX.DOMAIN lead to sandboxes. Without --tls-cert, an authority of this
            machine makes the certificate.
        proxied: A reverse proxy in front does TLS for the domain, so that this does none.
        runs: Programs and cells at once; otherwise four for each core.
        queue: Programs and cells that may wait for their turn. Usually 2000.
        sandboxes: Sandboxes at once. Usually 200.
        log: How runs are logged on stderr; neither code nor data is.
        limits: What programs may use and see.
        config: A TOML file with the engine's settings. Without it, interpreter-tools.toml here sets limits only.
        docker_host: Address of the Docker engine; otherwise the first that answers.
    """
    from interpreter_tools.cli._serve import ServeCall, run_serve  # noqa: PLC0415

    call = ServeCall(
        host=host,
        port=port,
        wires=None if wires is None else tuple(name for words in wires for name in words.split(",") if name),
        api_key_file=api_key_file,
        tls_cert=tls_cert,
        tls_key=tls_key,
        domain=domain,
        proxied=proxied,
        runs=runs,
        queue=queue,
        sandboxes=sandboxes,
        log=log,
    )
    return await run_serve(call, limits=limits or Limits(), config_file=config, docker_host=docker_host)


@app.command(
    help_epilogue="""\
Examples:
  interpreter-tools shell
  interpreter-tools shell --model openai:gpt-5
  echo 'py: print(6 * 7)' | interpreter-tools shell"""
)
async def shell(
    *,
    model: str | None = None,
    language: Annotated[str, Parameter(alias="-l")] = "python",
    tries: int = 3,
    limits: LimitOptions | None = None,
    config: Path | None = None,
    docker_host: str | None = None,
) -> int:
    """Talk to a sandbox: commands, code in any language, and plain language where there is a model.

    Where input is piped, each line of it is done without a prompt, and the
    status is that of the last one.

    Args:
        model: What plain language goes to, as PydanticAI names it; otherwise INTERPRETER_TOOLS_MODEL, or none.
        language: The language of code that does not say which it is.
        tries: Programs of the model that may fail in a row before it gives up.
        limits: What programs may use and see.
        config: A TOML file with the engine's settings. Without it, interpreter-tools.toml here sets limits only.
        docker_host: Address of the Docker engine; otherwise the first that answers.
    """
    from interpreter_tools.cli._shell import run_interactive  # noqa: PLC0415

    return await run_interactive(
        model=model,
        language=language,
        tries=tries,
        limits=limits or Limits(),
        config_file=config,
        docker_host=docker_host,
    )


def call(words: list[str]) -> int:
    """Run the command line and return its status; a call that cannot be understood is told on stderr.

    Args:
        words: the command and its arguments.
    """
    try:
        status = run_in_loop(
            app.run_async(
                [STDIN if word == "-" else word for word in words],
                result_action="return_value",
                exit_on_error=False,
                print_error=False,
            )
        )
    except CycloptsError as error:
        command = " ".join(("interpreter-tools", *(error.command_chain or ())))
        sys.stderr.write(f"{command}: {_plain(error)}\n")
        return USAGE
    return status if isinstance(status, int) else 0


def _plain(error: CycloptsError) -> str:
    """Return what is wrong, and the way out."""
    text = str(error).strip().replace(STDIN, "-")
    if isinstance(error, UnknownOptionError) and (error.command_chain or ())[:1] == ("run",):
        return f"{text} An argument of the program stands after `--`."
    return f"{text} See `{' '.join(('interpreter-tools', *(error.command_chain or ()), '--help'))}`."
