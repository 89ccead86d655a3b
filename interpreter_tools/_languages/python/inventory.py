# pyright: basic
"""Tells what an image has for Python, as JSON; runs as ``python3 -c`` in a container of its own, from Python 3.8 on.

Its arguments are libraries, headers and programs: those that the image has are among the answer.
"""

import glob
import json
import os
import pkgutil
import sys
import sysconfig


def standard_modules():
    """Modules of the standard library; before Python 3.10 no list of them exists."""
    named = getattr(sys, "stdlib_module_names", None)
    if named is not None:
        return set(named)
    directory = sysconfig.get_path("stdlib")
    places = [directory, os.path.join(directory, "lib-dynload")]
    return {module.name for module in pkgutil.iter_modules(places)} | set(sys.builtin_module_names)


def distributions():
    """Names of what is installed."""
    from importlib import metadata

    return {each.metadata["Name"] for each in metadata.distributions() if each.metadata["Name"]}


def has(need):
    """Return True when the image has a library (``libx.so.1``), a header (``x.h``) or a program."""
    if need.endswith(".h"):
        places = ["/usr/include", "/usr/local/include", sysconfig.get_path("include")]
    elif ".so" in need:
        places = [
            f"{root}{below}" for root in ("/lib", "/usr/lib", "/usr/local/lib") for below in ("", "64", "/*-linux-*")
        ]
    else:
        return any(os.access(os.path.join(place, need), os.X_OK) for place in os.environ["PATH"].split(":"))
    return any(glob.glob(os.path.join(place, need)) for place in places)


if __name__ == "__main__":
    sys.path.remove("")
    answer = {
        "version": ".".join(map(str, sys.version_info[:3])),
        "standard": sorted(standard_modules()),
        "modules": sorted({module.name for module in pkgutil.iter_modules()}),
        "packages": sorted(distributions()),
        "has_apt": os.path.exists("/usr/bin/apt-get"),
        "has": [need for need in sys.argv[1:] if has(need)],
    }
    print(json.dumps(answer))
