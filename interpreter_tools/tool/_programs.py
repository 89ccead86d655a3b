"""Programs that models call in a shell and that a sandbox does not have, with an alternative for each."""

from __future__ import annotations

_LANGUAGE = '{} is a language of its own: call again with language="{}".'
_INSTALL = "Programs cannot install packages: name them in dependencies, in a call with the language that uses them."
_ROOT = "Leave it out: a program is never root, and packages come with dependencies."
_NETWORK = "It is for a network: do without it, unless the sandbox was given one."
_SERVICE = "A sandbox starts no containers or services: do without it."
_WINDOW = "Nobody sees its window: print the text, or write a file."

INSTEAD = {
    **dict.fromkeys(("python", "python3", "ipython"), _LANGUAGE.format("Python", "python")),
    **dict.fromkeys(("node", "npx"), _LANGUAGE.format("JavaScript", "javascript")),
    **dict.fromkeys(("tsc", "ts-node", "tsx"), _LANGUAGE.format("TypeScript", "typescript")),
    **dict.fromkeys(("pip", "pip3", "conda", "uv", "poetry", "npm", "yarn", "pnpm", "gem"), _INSTALL),
    **dict.fromkeys(("apt", "apt-get", "brew", "yum", "dnf", "apk"), _INSTALL),
    **dict.fromkeys(("sudo", "su", "doas"), _ROOT),
    **dict.fromkeys(("dig", "nslookup", "host", "ping", "traceroute", "ifconfig", "ip"), _NETWORK),
    **dict.fromkeys(("netstat", "ss", "telnet", "nc", "ssh", "scp", "ftp"), _NETWORK),
    **dict.fromkeys(("docker", "podman", "systemctl", "service"), _SERVICE),
    **dict.fromkeys(("open", "xdg-open", "code", "vim", "nano", "vi", "less", "more"), _WINDOW),
}
"""The alternative to a program, as a sentence."""

PACKAGES = {
    **dict.fromkeys(("convert", "magick", "identify"), "imagemagick"),
    **dict.fromkeys(("pdftotext", "pdftoppm", "pdfinfo"), "poppler-utils"),
    **dict.fromkeys(("gcc", "cc"), "gcc"),
    "dot": "graphviz",
    "7z": "p7zip-full",
    "rg": "ripgrep",
    "fd": "fd-find",
    "xmllint": "libxml2-utils",
    "pdflatex": "texlive-latex-base",
    "soffice": "libreoffice",
    "killall": "psmisc",
    "ps": "procps",
    "xxd": "xxd",
}
"""The packages of Debian whose names are not those of their programs."""
