"""The imports of programs, the tables of packages, and what is made of both."""

from __future__ import annotations

import ast
import re
import sysconfig
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from packaging.utils import canonicalize_name

from interpreter_tools._dependencies.inventory import Inventory
from interpreter_tools._dependencies.wanted import correct, imported_packages, known_only, needed_system_packages
from interpreter_tools._languages.imports import Imported, grammar_of, read_imports
from interpreter_tools._languages.known import (
    companions,
    known_packages,
    large_packages,
    package_of_module,
    python_packages,
    system_needs,
    system_packages,
)
from interpreter_tools._languages.specifiers import normalise, package_name

if TYPE_CHECKING:
    from interpreter_tools._languages.imports import Grammar
    from interpreter_tools._languages.specifiers import Kind

HAS = Inventory(
    version="3.11.2",
    standard=frozenset({"json", "os", "sys", "tomllib", "fs", "fs/promises", "path"}),
    modules=frozenset({"google", "numpy"}),
    packages=frozenset({"numpy", "protobuf"}),
    has_apt=True,
    has=frozenset({"git"}),
)


async def inventory() -> Inventory:
    """What an image has."""
    return HAS


def names(code: str, grammar: Grammar = "python") -> list[str]:
    """The modules that a program loads."""
    return [imported.name for imported in read_imports(code.encode(), grammar)]


async def found(
    kind: Kind, code: str, asked: tuple[str, ...] = (), files: dict[str, str] | None = None
) -> tuple[set[str], tuple[str, ...]]:
    """The packages of a program's imports, and what is said."""
    contents = {f"/workspace/{name}": text.encode() for name, text in (files or {}).items()}

    async def read(path: str) -> bytes | None:
        return contents.get(path)

    path = "/workspace/main.py" if kind == "pip" else "/workspace/main.ts"
    packages, notes = await imported_packages(kind, HAS, read, path=path, code=code.encode(), asked=asked)
    return set(packages), notes


# -- reading


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("import a, b.c as d\nfrom e.f import g", ["a", "b.c", "e.f"]),
        ("def f():\n    import a\nclass C:\n    from b import *", ["a", "b"]),
        ("import importlib\nimportlib.import_module('a.b')\n__import__('c')", ["importlib", "a.b", "c"]),
        ("importlib.import_module(name)\nimport_module(f'{x}')", []),
        ("'import a'\n# import b\nx = '''\nimport c\n'''", []),
        ("importlib.import_module(package='b', name='a')\nother(name='b')", ["a"]),
        ("from . import a\nfrom .b import c", [".", ".b"]),
        ("from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import a\nelse:\n    import b", ["typing", "b"]),
        ("import typing\nif not typing.TYPE_CHECKING:\n    import a", ["typing", "a"]),
        ("!pip install x\n%matplotlib inline\nimport a", ["a"]),
        ("def f(:\n    pass\nimport a\nprint 'x'\nimport b", ["a", "b"]),
        ("type X = int\nmatch x:\n    case 1:\n        import a\nt'{x}'", ["a"]),
        ("\ufeffimport a\r\nimport b\r\n", ["a", "b"]),
        ("", []),
    ],
)
def test_imports_of_python(code: str, expected: list[str]) -> None:
    """Wherever they stand, whatever is wrong elsewhere."""
    assert names(code) == expected


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("import a, {b} from 'c'; import 'd'; export * from \"e\"", ["c", "d", "e"]),
        ("const a = require('b'), c = await import('@d/e/f'); require(`g`)", ["b", "@d/e/f", "g"]),
        ("require('a' + b); import(`a${b}`); x.y('z'); // require('c')", []),
        ("createRequire(import.meta.url)('a'); require.resolve('b')", ["a", "b"]),
        ("import a from 'a'; const x = ;;; <div/>; import b from 'b'", ["a", "b"]),
    ],
)
def test_imports_of_javascript(code: str, expected: list[str]) -> None:
    """Of both kinds of module."""
    assert names(code, "javascript") == expected


def test_imports_of_typescript() -> None:
    """What is only a type is no import."""
    code = """
    import type { A } from 'a'; import { type B } from 'b'; import c, { type C } from 'c'; import d = require('d');
    export type { E } from 'e'; export { F } from 'f'; let g: import('g').G; const h = <any>x;
    type I = typeof import('i');
    enum J { K } @deco class L { constructor(private m: number) {} }
    """
    assert names(code, "typescript") == ["c", "d", "f"]
    assert [grammar_of(name) for name in ("a.tsx", "b.mjs", "c.rb", "d")] == ["tsx", "javascript", None, None]


def test_imports_that_a_program_can_do_without() -> None:
    """What it loads instead is known."""
    code = "try:\n    import a, b\nexcept (ImportError, OSError):\n    import c\n"
    code += "try:\n    import d\nexcept ValueError: pass"
    assert read_imports(code.encode(), "python") == (
        Imported(name="a", fallbacks=("c",)),
        Imported(name="b", fallbacks=("c",)),
        Imported(name="c", instead_of=("a", "b")),
        Imported(name="d"),
    )
    code = "with contextlib.suppress(ImportError):\n    import a"
    assert read_imports(code.encode(), "python") == (Imported(name="a", fallbacks=()),)
    code = "try { require('a') } catch {}; const b = await import('b').catch(() => null)"
    assert {imported.fallbacks for imported in read_imports(code.encode(), "javascript")} == {()}


def test_imports_are_those_that_python_reads() -> None:
    """Over a part of the standard library."""
    count = 0
    for path in sorted(Path(sysconfig.get_path("stdlib")).glob("[a-j]*.py")):
        code = path.read_bytes()
        expected: set[str] = set()
        for node in ast.walk(ast.parse(code)):
            if isinstance(node, ast.Import):
                expected |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                expected.add("." * node.level + (node.module or ""))
        assert expected - {"__future__"} <= {imported.name for imported in read_imports(code, "python")}, path
        count += 1
    assert count > 50


def test_deep_nesting_is_read() -> None:
    """A parser in Python would run out of stack."""
    assert names("(" * 20_000 + "\nimport a\n") is not None
    assert names("import a\nx = " + "[" * 5_000 + "]" * 5_000) == ["a"]


# -- tables


def test_tables_hold_together() -> None:
    """Each target is known and well spelt; there are as many names as were asked for."""
    table = python_packages()
    different = [module for module, package in table.items() if re.sub(r"[-_.]+", "-", module).lower() != package]
    assert len(different) >= 150
    assert {canonicalize_name(package) for package in table.values()} <= known_packages("pip")
    assert {need for name in known_packages("pip") for need in system_needs("pip", [name]).get(name, ())}
    for kind in ("pip", "npm"):
        for need in system_needs(kind, known_packages(kind)).values():
            assert set(need) <= system_packages().keys()
    assert known_packages("words") == frozenset()
    assert large_packages() <= known_packages("pip")
    needs = {need for name in known_packages("pip") for _, row in companions().get(name, ()) for need in row}
    assert {canonicalize_name(package_name("pip", need)) for need in needs} <= known_packages("pip")
    assert companions().keys() <= known_packages("pip")
    assert len(known_packages("pip")) > 2000
    assert len(known_packages("npm")) > 2000


@pytest.mark.parametrize(
    ("module", "members", "package"),
    [
        ("cv2", (), "opencv-python-headless"),
        ("google.cloud", ("storage",), "google-cloud-storage"),
        ("google.cloud.storage.blob", (), "google-cloud-storage"),
        ("google.protobuf", (), "protobuf"),
        ("ruamel.yaml.main", (), "ruamel.yaml"),
        ("flask_cors", (), "flask-cors"),
        ("numpy.linalg", (), "numpy"),
        ("google", (), None),
        ("nobody_knows_this", (), None),
    ],
)
def test_package_of_a_module(module: str, members: tuple[str, ...], package: str | None) -> None:
    """The longest name counts."""
    assert package_of_module(module, members) == package


# -- what is made of them


async def test_packages_of_imports() -> None:
    """Standard modules and those of the image are dropped, names mapped, unknown ones refused."""
    code = "import json, sys, numpy, yaml, pandas as pd, google.protobuf, nobody_knows_this\n"
    code += "from google.cloud import storage"
    packages, notes = await found("pip", code)
    assert packages == {"pyyaml", "pandas", "google-cloud-storage"}
    assert len(notes) == 1
    assert "nobody_knows_this" in notes[0]
    assert "dependencies" in notes[0]


@pytest.mark.parametrize("code", ["import torch.nn as nn", "from sentence_transformers import X", "import whisper"])
async def test_an_import_alone_downloads_no_gigabytes(code: str) -> None:
    """Packages that bring the libraries of graphics cards must be asked for; what they are is said."""
    packages, (note,) = await found("pip", code)
    assert packages == set()
    assert "GB" in note
    assert "dependencies" in note
    assert await found("pip", f"try:\n    {code}\nexcept ImportError:\n    pass") == (set(), ())


async def test_large_packages_come_where_one_was_asked_for() -> None:
    """Then the download is made anyway."""
    assert await found("pip", "import torch, timm", ("torch",)) == ({"timm"}, ())


@pytest.mark.parametrize(
    ("code", "packages"),
    [
        ("import pandas as pd\npd.DataFrame().to_excel('a.xlsx')", {"pandas", "openpyxl"}),
        ("import pandas as pd\ndf = (pd.DataFrame()\n  .style.format())", {"pandas", "jinja2"}),
        ("import pandas as pd\nstyle = 'plot'", {"pandas"}),
        ("from bs4 import BeautifulSoup\nBeautifulSoup('', 'lxml')", {"beautifulsoup4", "lxml"}),
        ('import bs4\nbs4.BeautifulSoup("", features="html5lib")', {"beautifulsoup4", "html5lib"}),
        ("import plotly.express as px\npx.bar().write_html('a')", {"plotly", "pandas"}),
        ("from plotly import express", {"plotly", "pandas"}),
        ("import plotly.graph_objects as go", {"plotly"}),
        ("import plotly.express as px\ndf.to_excel('x.xlsx')", {"plotly", "pandas", "openpyxl"}),
        ("import pandas as pd\npd.array([], 'string[pyarrow]')", {"pandas", "pyarrow"}),
        ("import xgboost\nxgboost.XGBClassifier()", {"xgboost-cpu", "scikit-learn"}),
        ("import pandas\npandas.read_excel('a.xls')", {"pandas", "openpyxl", "xlrd"}),
        ("import plotly.graph_objects as go\ngo.Figure().write_image('a.png')", {"plotly", "kaleido"}),
        ("import pkg_resources", {"setuptools", "setuptools<81"}),
    ],
)
async def test_what_packages_need_for_a_part_of_themselves(code: str, packages: set[str]) -> None:
    """It is taken where the program uses that part, also of a package that was asked for by name."""
    assert await found("pip", code) == (packages, ())  # numpy is in the image
    assert await found("pip", code, ("pandas",)) == (packages - {"pandas"}, ())


async def test_what_is_needed_is_not_taken_twice() -> None:
    """What the image has, what was asked for, and a module of the program's own are left alone."""
    code = "import pandas as pd\npd.read_excel('a.xlsx')"
    assert await found("pip", code, ("openpyxl==3.1",)) == ({"pandas"}, ())
    assert await found("pip", code, (), {"pandas.py": ""}) == (set(), ())


async def test_modules_that_python_has_no_more_are_no_packages() -> None:
    """Nothing is said of a package: there is none to ask for."""
    assert await found("pip", "import imp, telnetlib") == (set(), ())


async def test_builds_for_processors_are_taken() -> None:
    """A sandbox has no graphics card."""
    assert await found("pip", "import xgboost, tensorflow as tf") == ({"xgboost-cpu", "tensorflow-cpu"}, ())
    assert (await correct("pip", ("xgboost", "tensorflow"), inventory)) == (("tensorflow", "xgboost"), ())


@pytest.mark.parametrize(
    ("kind", "code", "meant"),
    [
        ("pip", "import reqeusts", "'requests'"),
        ("pip", "import pandsa", "'pandas'"),
        ("npm", "require('expres')", "'express'"),
        ("npm", "import c from 'chlak'", "'chalk'"),
        ("pip", "import utils", None),
        ("pip", "import my_helpers", None),
    ],
)
async def test_slip_in_a_name_is_told(kind: Kind, code: str, meant: str | None) -> None:
    """It is not installed, as somebody may have published a package of that name."""
    packages, (note,) = await found(kind, code)
    assert packages == set()
    assert (f"(is {meant} meant?)" in note) if meant else ("meant" not in note)


async def test_modules_of_the_program_shadow_packages() -> None:
    """And what they import counts: packages, relative imports, directories without ``__init__``."""
    files = {
        "yaml.py": "import rich",
        "pkg/__init__.py": "from .sub import x",
        "pkg/sub.py": "from .. import six\nimport attr",
        "pkg/mod.py": "",
        "names/space.py": "import tabulate",
    }
    packages, notes = await found("pip", "import yaml\nfrom pkg import mod\nimport names.space", files=files)
    assert (packages, notes) == ({"rich", "attrs", "tabulate"}, ())


async def test_alternatives() -> None:
    """The first that is there or known is taken; what a program can do without is not told of."""
    code = "try:\n    import {}\nexcept ImportError:\n    {}"
    assert await found("pip", code.format("ujson", "import json")) == (set(), ())
    assert await found("pip", code.format("tomllib", "import tomli")) == (set(), ())
    assert await found("pip", code.format("ujson", "import simplejson")) == ({"ujson"}, ())
    assert await found("pip", code.format("nobody_knows_this", "import simplejson")) == ({"simplejson"}, ())
    assert await found("pip", code.format("nobody_knows_this", "pass")) == (set(), ())
    assert await found("pip", code.format("rich", "raise SystemExit")) == ({"rich"}, ())


async def test_packages_that_were_asked_for_are_not_added() -> None:
    """Nor is anything said of them."""
    assert await found("pip", "import yaml, my_own", ("my-own", "pyyaml==6.0")) == (set(), ())


async def test_packages_of_javascript() -> None:
    """Scopes, subpaths, builtins, files of its own, and what it brings along."""
    code = """
    import fs from 'node:fs'; import { x } from './lib'; import p from 'fs/promises'; import z from 'zod/v4';
    import s from '@reduxjs/toolkit/query'; import m from 'mine'; import u from 'nobody-knows-this/x'; import '#inner';
    import q from '@/lib/q'; import r from '~/r';
    """
    files = {"lib.ts": "import axios from 'axios'", "node_modules/mine/package.json": "{}"}
    packages, notes = await found("npm", code, files=files)
    assert packages == {"zod", "@reduxjs/toolkit", "axios"}
    assert len(notes) == 1
    assert "'nobody-knows-this'" in notes[0]


async def test_names_that_were_asked_for_are_corrected() -> None:
    """Standard modules go, names of modules become packages; packages of the same name stay."""
    asked = normalise(
        "pip", ["json", "python>=3.9", "sklearn>=1", "cv2", "PIL", "bs4[lxml]", "psycopg2", "attr", "six"]
    )
    packages, notes = await correct("pip", asked, inventory)
    expected = [
        "scikit-learn>=1",
        "opencv-python-headless",
        "pillow",
        "beautifulsoup4[lxml]",
        "psycopg2",
        "attrs",
        "six",
    ]
    assert packages == normalise("pip", expected)
    assert len(notes) == 7
    assert (await correct("npm", ("fs", "zod@^3"), inventory))[0] == ("zod@^3",)


async def test_system_packages_that_are_needed() -> None:
    """Only what the image lacks; images without apt are told what to do."""
    packages, notes = await needed_system_packages("pip", ("gitpython", "graphviz==0.20", "opencv-python"), inventory)
    assert set(packages) == {"graphviz", "libgl1", "libglib2.0-0"}
    assert len(notes) == 2

    async def alpine() -> Inventory:
        return Inventory()

    packages, notes = await needed_system_packages("pip", ("graphviz",), alpine)
    assert packages == ()
    assert "system_dependencies" in notes[0]


@pytest.mark.parametrize(
    ("kind", "named", "taken"),
    [
        ("pip", ("six>=1", "requests[socks]", "reqeusts", "nobody-knows-this"), ("six>=1", "requests[socks]")),
        ("pip", ("six @ https://localhost/six.whl",), ()),
        ("npm", ("lodash@4", "@babel/core", "nobody-knows-this"), ("lodash@4", "@babel/core")),
        ("npm", ("lodash@npm:nobody-knows-this",), ()),
    ],
)
def test_names_that_nobody_knows_are_not_taken_from_a_text(
    kind: Kind, named: tuple[str, ...], taken: tuple[str, ...]
) -> None:
    """Anyone can publish a package of any name, and what a model calls it may be of nobody's."""
    known, notes = known_only(kind, named, how="install")
    assert known == taken
    assert len(notes) == len(named) - len(taken)
    assert all("not the name of a well-known package" in note for note in notes)
