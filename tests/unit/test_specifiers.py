"""What a package may be called."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interpreter_tools import ConfigurationError
from interpreter_tools._languages.specifiers import normalise

if TYPE_CHECKING:
    from interpreter_tools._languages.specifiers import Kind

KINDS: tuple[Kind, ...] = ("pip", "npm", "system", "words")


@pytest.mark.parametrize(
    ("kind", "given", "expected"),
    [
        ("pip", ["six"], ("six",)),
        ("pip", ["Foo_Bar.baz", "foo-bar-baz"], ("foo-bar-baz",)),
        ("pip", ["numpy >=2, <3"], ("numpy<3,>=2",)),
        ("pip", ["Requests[Socks, security]==2.*"], ("requests[security,socks]==2.*",)),
        ("pip", ['tomli; python_version < "3.11"'], ('tomli; python_version < "3.11"',)),
        ("pip", ["b", "a", " b "], ("a", "b")),
        ("npm", ["lodash", "left-pad@1.3.0"], ("left-pad@1.3.0", "lodash")),
        ("npm", ["@types/node@^20", "@scope/name"], ("@scope/name", "@types/node@^20")),
        ("npm", ["x@npm:y@^1", "x@npm:@scope/y"], ("x@npm:@scope/y", "x@npm:y@^1")),
        ("npm", ["a@latest", "b@>=1 <2 || 3.x", "c@~1.2", "d@*"], ("a@latest", "b@>=1 <2 || 3.x", "c@~1.2", "d@*")),
        (
            "system",
            ["jq", "g++", "libc6=2.36-9+deb12u10", "python3.11"],
            ("g++", "jq", "libc6=2.36-9+deb12u10", "python3.11"),
        ),
        ("words", ["rake:13.0", "github.com/a/b@v1", "serde"], ("github.com/a/b@v1", "rake:13.0", "serde")),
        ("pip", [], ()),
    ],
)
def test_same_packages_are_written_the_same(kind: Kind, given: list[str], expected: tuple[str, ...]) -> None:
    """Sorted, none twice, names as PEP 503 writes them."""
    assert normalise(kind, given) == expected


HOSTILE = {
    "pip": [
        "git+https://example.org/x.git",
        "x @ https://example.org/x.whl",
        "x @ file:///etc/passwd",
        "https://example.org/x.whl",
        "./x",
        "../x",
        "/x",
        "x.whl/..",
        "x --hash=sha256:0",
        "x==1 --index-url https://example.org",
        "x; import os",
        "x,y",
        "x y",
    ],
    "npm": [
        "git+ssh://example.org/x",
        "user/repository",
        "github:user/repository",
        "x@user/repository",
        "x@git+https://example.org/x",
        "x@npm:",
        "x@npm:-y",
        "x@npm:y.tgz",
        "x@npm:y@npm:z",
        "x@npm:../y",
        "x@npm:y@git+https://example.org/y",
        "x@npm:github:user/repository",
        "x@file:../x",
        "x@../x",
        "x@.",
        "x@workspace:*",
        "./x",
        "~/x",
        ".",
        "x.tgz",
        "x@y.tar.gz",
        "@scope",
        "@scope/",
        "@/x",
        "@scope/../x",
        "https://example.org/x.tgz",
        "x@-g",
    ],
    "system": ["jq-", "Jq", "jq/stable", "./x.deb", "/x.deb", "jq curl", "jq=1;id", "jq=", "*", "^jq$", "jq:i386"],
    "words": [
        "./x",
        "/x",
        "x y",
        "https://example.org/x",
        "a/../../b",
        "x;id",
        "x|y",
        "x&y",
        "x>y;",
        "x'y",
        'x"y',
        "x\\y",
    ],
}
EVERYWHERE = [
    "",
    " ",
    "-x",
    "--index-url=https://example.org",
    "-r requirements.txt",
    "x\ny",
    "x\0y",
    "x\ty",
    "$(id)",
    "`id`",
    "x; rm -rf /",
    "x\u202ey",
    "\uff58",
    "\ud800",
    "x" * 513,
    "%s{target}",
]


@pytest.mark.parametrize(
    ("kind", "text"), [(kind, text) for kind in KINDS for text in (*HOSTILE[kind], *EVERYWHERE)], ids=repr
)
def test_what_leads_elsewhere_is_refused(kind: Kind, text: str) -> None:
    """The error names the place and what would work."""
    with pytest.raises(ConfigurationError) as caught:
        normalise(kind, ["six", text])
    assert caught.value.field == "dependencies[1]"
    assert caught.value.value == text
    assert caught.value.hint


@pytest.mark.parametrize("value", ["six", b"six"])
def test_one_text_is_no_list(value: str) -> None:
    """Its characters would be taken for packages."""
    with pytest.raises(ConfigurationError, match="is one text"):
        normalise("pip", value)


def test_too_many_are_refused() -> None:
    """They all have to fit into one command."""
    with pytest.raises(ConfigurationError, match="too many"):
        normalise("pip", [f"p{i}" for i in range(257)])


@given(kind=st.sampled_from(KINDS), text=st.text(max_size=40))
def test_what_is_taken_is_one_harmless_word(kind: Kind, text: str) -> None:
    """Nothing that is let through is an option, holds what a terminal would obey, or leads to a place."""
    try:
        (word,) = normalise(kind, [text])
    except ConfigurationError:
        return
    assert word
    assert word.isascii()
    assert word.isprintable()
    assert not word.startswith(("-", ".", "/"))
    assert "://" not in word
    assert "{" not in word


@pytest.mark.parametrize("text", ["six # for Python 2", "six   # x", "six #x --hash=sha256:00", " six  #"])
def test_comment_of_a_list_is_no_part_of_a_package(text: str) -> None:
    """Lines are copied from lists of requirements, where pip leaves comments out, too."""
    assert normalise("pip", [text]) == ("six",)
    with pytest.raises(ConfigurationError):
        normalise("pip", ["# six"])


@pytest.mark.parametrize("text", ["node:fs", "node:fs/promises", "node:test"])
def test_module_of_node_is_known_by_its_full_name(text: str) -> None:
    """Whoever installs leaves it out; what only looks like one is refused."""
    assert normalise("npm", [text]) == (text,)
    for wrong in ("node:", "node:../x", "node:a/b/c", "node:fs@1"):
        with pytest.raises(ConfigurationError):
            normalise("npm", [wrong])
