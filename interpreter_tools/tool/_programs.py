"""Programs that models call in a shell and that a sandbox does not have, with an alternative for each."""

from __future__ import annotations

_LANGUAGE = '{} is a language of its own: call again with language="{}".'
INSTALL = "Programs cannot install packages: name them in dependencies, in a call with the language that uses them."
"""Said of programs that install; not where no packages can be asked for."""

_ROOT = "Leave it out: a program is never root."
NETWORK = "It is for a network: do without it."
"""Said of programs that are for a network; not where there is one."""

_SERVICE = "A sandbox starts no containers or services: do without it."
_WINDOW = "Nobody sees its window: print the text, or write a file."

INSTEAD = {
    **dict.fromkeys(("python", "python3", "ipython"), _LANGUAGE.format("Python", "python")),
    **dict.fromkeys(("node", "npx"), _LANGUAGE.format("JavaScript", "javascript")),
    **dict.fromkeys(("tsc", "ts-node", "tsx"), _LANGUAGE.format("TypeScript", "typescript")),
    **dict.fromkeys(("pip", "pip3", "conda", "uv", "poetry", "npm", "yarn", "pnpm", "gem"), INSTALL),
    **dict.fromkeys(("apt", "apt-get", "brew", "yum", "dnf", "apk"), INSTALL),
    **dict.fromkeys(("sudo", "su", "doas"), _ROOT),
    **dict.fromkeys(("dig", "nslookup", "host", "ping", "traceroute", "ifconfig", "ip"), NETWORK),
    **dict.fromkeys(("ftp", "nc", "netstat", "scp", "ss", "ssh", "telnet", "wget"), NETWORK),
    **dict.fromkeys(("docker", "podman", "systemctl", "service"), _SERVICE),
    **dict.fromkeys(("open", "xdg-open", "code", "vim", "nano", "vi", "less", "more"), _WINDOW),
}
"""The alternative to a program, as a sentence."""
