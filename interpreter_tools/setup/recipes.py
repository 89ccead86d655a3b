"""What the default images hold, whether they come from a registry or are built here."""

from __future__ import annotations

import msgspec

from interpreter_tools.setup.chroot import BUNDLE


class Recipe(msgspec.Struct, frozen=True, kw_only=True):
    """One image that set-up provides.

    Attributes:
        name: its short name, also a language.
        languages: the languages whose default image it is.
        image: our name of it.
        official: the official image that it is made from where a registry answers; beneath ``library/`` there.
        program: what ``docker run`` starts when nothing is named.
        packages: the distribution's packages that it is built from where none does.
        pip_packages: what pip adds to it, where it can fetch; the image is of use without.
        npm_packages: what npm adds to it, beside the distribution's packages or to the official image.
        without_npm: the distribution's packages that stand in for ``npm_packages`` where npm cannot fetch.
        links: symbolic links of a built image, so that programs lie where they do in the official one.
        unwanted: patterns of files that are removed from a built image.
        checks: commands that must succeed inside before the image is used.
    """

    name: str
    languages: tuple[str, ...]
    image: str
    official: str
    program: str
    packages: tuple[str, ...]
    pip_packages: tuple[str, ...] = ()
    npm_packages: tuple[str, ...] = ()
    without_npm: tuple[str, ...] = ()
    links: dict[str, str] = {}
    unwanted: tuple[str, ...] = ()
    checks: tuple[tuple[str, ...], ...] = ()


_REQUIRE_TYPESCRIPT = (
    "for (const place of ['/usr/local/lib/node_modules', '/usr/share/nodejs'])"
    " { try { require(place + '/typescript'); process.exit(0) } catch {} } process.exit(1)"
)

PYTHON = Recipe(
    name="python",
    languages=("python",),
    image="interpreter-tools/python:1",
    official="python:3.13-slim",
    program="python3",
    packages=("ca-certificates", "python3", "python3-pip", "python3-venv"),
    pip_packages=("uv>=0.5",),  # installs the packages that runs ask for several times as fast as pip
    links={"/usr/local/bin/python3": "/usr/bin/python3", "/usr/local/bin/python": "/usr/bin/python3"},
    # PEP 668's marker keeps pip from the system's packages; in an image there is no system to protect.
    unwanted=("usr/lib/python3*/EXTERNALLY-MANAGED",),
    checks=(("python3", "-m", "pip", "--version"), ("python3", "-c", "import ssl, sqlite3, venv")),
)

NODE = Recipe(
    name="node",
    languages=("javascript", "typescript"),
    image="interpreter-tools/node:1",
    official="node:22-slim",
    program="node",
    packages=("ca-certificates", "nodejs", "npm"),
    npm_packages=("typescript@5.9", "npm@10"),
    without_npm=("node-typescript",),
    links={"/usr/local/bin/node": "/usr/bin/node"},
    checks=(("node", "-e", _REQUIRE_TYPESCRIPT), ("npm", "--version")),
)

SHELL = Recipe(
    name="shell",
    languages=("shell", "bash"),
    image="interpreter-tools/shell:1",
    official="debian:bookworm-slim",
    program="bash",
    packages=("bash", "bc", "bzip2", "ca-certificates", "curl", "file", "gawk", "jq", "procps", "unzip", "xz-utils"),
    checks=(("bash", "-c", "jq --version"),),
)

RUBY = Recipe(
    name="ruby",
    languages=("ruby",),
    image="interpreter-tools/ruby:1",
    official="ruby:3.3-slim",
    program="ruby",
    packages=("ca-certificates", "ruby"),
    links={"/usr/local/bin/ruby": "/usr/bin/ruby"},
    checks=(("ruby", "-e", "require 'json'"),),
)

RECIPES = (PYTHON, NODE, SHELL, RUBY)
"""Every image that set-up knows how to make."""

DEFAULT_LANGUAGES = tuple(language for recipe in (PYTHON, NODE, SHELL) for language in recipe.languages)
"""The languages whose images set-up makes ready when none is named."""


def pip_command(recipe: Recipe) -> list[str]:
    """The command that adds a recipe's ``pip_packages``, for root."""
    flags = ("--no-cache-dir", "--no-input", "--root-user-action=ignore", "--disable-pip-version-check", "--retries=1")
    return ["python3", "-m", "pip", "install", *flags, "--", *recipe.pip_packages]


def find_recipe(name: str) -> Recipe | None:
    """The recipe for an image's name, its short name or a language; None when there is none."""
    return next((recipe for recipe in RECIPES if name in (recipe.image, recipe.name, *recipe.languages)), None)


def image_variables(*, with_bundle: bool) -> dict[str, str]:
    """The environment that our images set, beside ``PATH``.

    Args:
        with_bundle: the image holds the host's certificate authorities, so that programs with their own lists are told.
    """
    certificates = ("SSL_CERT_FILE", "PIP_CERT", "REQUESTS_CA_BUNDLE", "NODE_EXTRA_CA_CERTS")
    return {"LANG": "C.UTF-8"} | (dict.fromkeys(certificates, BUNDLE) if with_bundle else {})
