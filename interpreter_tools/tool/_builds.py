"""The compilers and headers that lack where a package is compiled as it is installed, read from what its build says."""

from __future__ import annotations

import re

from interpreter_tools._languages.known import system_packages

_COMPILER = r"(?:[\w-]*-)?(?:gcc|g\+\+|cc|c\+\+|clang)"
_TOOLS = (  # the packages of Debian that help, and what is said where they lack
    (
        ("g++", "make", "python3"),
        "gyp ERR! find Python",
        r"gyp ERR! stack Error: not found: make",
        r"make: (?:g\+\+|cc): ",
    ),
    (
        ("build-essential", "python3-dev"),
        rf"command '?\"?{_COMPILER}'?\"? failed: No such file",
        rf"unable to execute '?{_COMPILER}'?:",
        r"Unknown compiler\(s\)",
        r"CMAKE_CX*_COMPILER (?:could be|not set)",
        r"[Nn]o acceptable C compiler",
        r"failed to find tool \"c(?:c|\+\+)\"",
        r"[Cc]ompiler '?gcc'? (?:was )?not found",
    ),
    (("python3-dev",), r"fatal error: Python\.h: No such file"),
    (("cmake",), r"CMake must be installed", r"No such file or directory: 'cmake'", r"cmake: not found"),
    (("cargo",), r"Cargo, the Rust package manager, is not installed", r"can't find Rust compiler", r"Rust toolchain"),
    (("gfortran",), r"\[\['gfortran'", r"[Nn]o Fortran compiler"),
    (("libpq-dev",), r"pg_config executable not found", r"pg_config: not found"),
    (("default-libmysqlclient-dev", "pkg-config"), r"mysql_config(?: |: )not found", r"MYSQLCLIENT_CFLAGS"),
    (("libxml2-dev", "libxslt1-dev"), r"libxml2 and libxslt", r"xslt-config"),
    (
        ("pkg-config",),
        r"pkg-?conf(?:ig)?:? (?:command |is )?(?:not found|missing|required)",
        r"No such file or directory: 'pkg-config'",
        r"Did not find pkg-config",
    ),
    (
        ("swig",),
        r"No such file or directory: 'swig'",
        r"swig(?:\.exe)?: (?:command )?not found",
        r"command 'swig' failed",
    ),
)
_TOOLS_READ = [(packages, re.compile("|".join(said))) for packages, *said in _TOOLS]
_PATH = r"[\w./+-]{1,100}"
_HEADER = re.compile(rf"fatal error: ({_PATH}\.h(?:pp)?): No such file|['\"]({_PATH}\.h)['\"] (?:file )?not found")
_MODULE = re.compile(  # in the words of pkg-config and of meson
    rf"Package '?({_PATH}?)'?,? (?:was )?(?:not found|required by)|Dependency \"({_PATH})\" not found"
    rf"|No package '({_PATH})' found"
)


def build_lacks(said: str) -> tuple[str, ...]:
    """Return the packages of Debian whose lack made a build fail; none where it failed for another cause."""
    table = system_packages()
    names = [next(filter(None, match.groups())) for match in _HEADER.finditer(said)]
    names += [f"{next(filter(None, match.groups()))}.pc" for match in _MODULE.finditer(said)]
    found = [package for packages, pattern in _TOOLS_READ if pattern.search(said) for package in packages]
    return tuple(dict.fromkeys([*found, *(table[name] for name in names if name in table)]))
