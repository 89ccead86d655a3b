# ruff: noqa: E501 - tables of cases
"""Each rule of advice fires on its own case, and on no other's."""

from __future__ import annotations

import pytest

from interpreter_tools import ExecutionResult
from interpreter_tools.tool._advice import Circumstances, find_advice

_TRACE = 'Traceback (most recent call last):\n  File "/workspace/main.py", line 1, in <module>\n'
_CHILD = (
    _TRACE
    + '  File "/usr/lib/python3.11/subprocess.py", line 1955, in _execute_child\n    raise child_exception_type\n'
)

# rule, what it says, language, stderr, further fields of the result, further circumstances
_CASES: list[tuple[str, str, str, str, dict[str, object], dict[str, object]]] = [
    ("package", '["pyyaml"]', "python", _TRACE + "ModuleNotFoundError: No module named 'yaml'", {}, {}),
    ("package", '["lodash"]', "javascript", "Error: Cannot find module 'lodash'\nRequire stack:", {}, {}),
    ("package", "not the name of a well-known package: if it is right", "javascript", "Error: Cannot find module 'of-mine-x'",
     {"notes": ("'of-mine-x' is imported, but",)}, {}),
    ("package", '["tabulate"]', "python", _TRACE + "ImportError: `Import tabulate` failed.  Use pip, conda, or", {}, {}),
    ("package", '["matplotlib"]', "python", _TRACE + "ImportError: matplotlib is required for plotting when the default", {}, {}),
    ("package", '["jinja2"]', "python", _TRACE + "AttributeError: The '.style' accessor requires jinja2. Did you mean: 'astype'?", {}, {}),
    ("package", '["vl-convert-python"]', "python", _TRACE + "ValueError: Saving charts in 'png' format requires the vl-convert-python package: see", {}, {}),
    ("package", '["kaleido"]', "python", _TRACE + 'RuntimeError: \nImage export requires the Kaleido package,\n    $ pip install --upgrade "kaleido>=1"', {}, {}),
    ("package", '["lxml"]', "python", _TRACE + "bs4.exceptions.FeatureNotFound: Couldn't find a tree builder with the features you requested: lxml. Do", {}, {}),
    ("package", '["scikit-learn"]', "python", _TRACE + "ImportError: sklearn needs to be installed in order to use this module", {}, {}),
    ("package", '["pydantic[email]"]', "python", _TRACE + "ImportError: email-validator is not installed, run `pip install 'pydantic[email]'`", {}, {}),
    ("package", "a file that is not there", "javascript", "Error: Cannot find module './x.js'", {}, {}),
    ("package", '["jq"]', "shell", "main.sh: line 1: jq: command not found", {"exit_code": 127}, {}),
    ("package", '["imagemagick"]', "shell", "main.sh: line 1: convert: command not found", {"exit_code": 127}, {}),
    ("package", 'language="python"', "shell", "main.sh: line 1: python3: command not found", {"exit_code": 127}, {}),
    ("package", 'language="javascript"', "bash", "main.sh: line 1: node: command not found", {"exit_code": 127}, {}),
    ("package", "in dependencies", "shell", "main.sh: line 1: pip: command not found", {"exit_code": 127}, {}),
    ("package", "no well-known package", "python", _TRACE + "ModuleNotFoundError: No module named 'my_helpers'", {}, {}),
    ("package", "if it is right", "shell", "main.sh: line 1: nosuchprogram: command not found", {"exit_code": 127}, {}),
    ("package", '["parallel"]', "shell", "main.sh: line 1: parallel: command not found", {"exit_code": 127}, {}),
    ("package", "nobody sees its windows", "python", _TRACE + "ModuleNotFoundError: No module named 'tkinter'", {}, {}),
    ("package", "in this version of Python", "python", _TRACE + "ModuleNotFoundError: No module named 'imghdr'", {}, {}),
    ("package", "in this version of Python", "python", _TRACE + "ModuleNotFoundError: No module named 'imp'", {}, {}),
    ("stdin", "pass it as stdin", "python", _TRACE + "bdb.BdbQuit", {}, {}),
    ("notebook", "no notebook", "python", _TRACE + "AttributeError: 'NoneType' object has no attribute 'run_line_magic'", {}, {}),
    ("name", "pass it as stdin", "javascript", "ReferenceError: prompt is not defined", {}, {}),
    ("package", "2 GB", "python", _TRACE + "ModuleNotFoundError: No module named 'torch'", {"notes": ("'torch' is imported, but",)}, {}),
    ("package", "does not provide", "python", _TRACE + "ModuleNotFoundError: No module named 'yaml.x'", {"dependencies": ("pyyaml",)}, {}),
    ("package", "Do without it", "shell", "main.sh: line 1: python3: command not found", {"exit_code": 127}, {"languages": ("shell",)}),
    ("package", "Do without it", "shell", "main.sh: line 1: pip: command not found", {"exit_code": 127}, {"dependencies": None}),
    ("package", '["dnsutils"]', "shell", "main.sh: line 1: dig: command not found", {"exit_code": 127}, {"networked": True}),
    ("package", "never root", "shell", "main.sh: line 1: sudo: command not found", {"exit_code": 127}, {}),
    ("package", "for a network", "shell", "main.sh: line 1: dig: command not found", {"exit_code": 127}, {}),
    ("package", '["r-cran-ggplot2"]', "r", "Error in library(ggplot2) : there is no package called \u2018ggplot2\u2019", {}, {}),
    ("package", '["libjson-perl"]', "perl", "Can't locate JSON.pm in @INC (you may need to install the JSON module)", {"exit_code": 2}, {}),
    ("package", "'Text::CSV' is not there", "perl", "Can't locate Text/CSV.pm in @INC (you may", {"exit_code": 2}, {}),
    ("package", '["libtext-csv-perl"]', "perl", "Can't locate Text/CSV.pm in @INC (you may", {"exit_code": 2}, {}),
    ("package", '["lua-lpeg"]', "lua", "lua5.4: main.lua:1: module 'lpeg' not found:", {}, {}),
    ("package", '["libwww-perl"]', "perl", "Can't locate LWP/UserAgent.pm in @INC (you may", {"exit_code": 2}, {}),
    ("package", '["libxml-libxml-perl"]', "perl", "Can't locate XML/LibXML.pm in @INC (you may", {"exit_code": 2}, {}),
    ("package", '["lua-filesystem"]', "lua", "lua5.4: main.lua:1: module 'lfs' not found:", {}, {}),
    ("package", '["lua-penlight"]', "lua", "lua5.4: main.lua:1: module 'pl.pretty' not found:", {}, {}),
    ("package", '["r-cran-data.table"]', "r", "Error in library(data.table) : there is no package called \u2018data.table\u2019", {}, {}),
    ("package", '["php-gd"]', "php", "PHP Fatal error:  Uncaught Error: Call to undefined function imagecreatetruecolor() in /workspace/main.php:2", {"exit_code": 255}, {}),
    ("package", '["php-zip"]', "php", 'PHP Fatal error:  Uncaught Error: Class "ZipArchive" not found in /workspace/main.php:2', {"exit_code": 255}, {}),
    ("package", '["php-bcmath"]', "php", "PHP Fatal error:  Uncaught Error: Call to undefined function bcadd() in /workspace/main.php:2", {"exit_code": 255}, {}),
    ("stdin", "pass it as stdin", "ruby", "main.rb:1:in `<main>': undefined method `chomp' for nil (NoMethodError)", {}, {}),
    ("stdin", "pass it as stdin", "haskell", "main: Prelude.getLine: end of file\nmain: <stdin>: hGetLine: end of file", {}, {}),
    ("stdin", "pass it as stdin", "ocaml", "Fatal error: exception End_of_file", {}, {}),
    ("stdin", "pass it as stdin", "kotlin", 'Exception in thread "main" kotlin.io.ReadAfterEOFException: EOF has already been reached', {}, {}),
    ("stdin", "pass it as stdin", "java", 'Exception in thread "main" java.util.NoSuchElementException: No line found\n\tat java.base/java.util.Scanner.nextLine(Scanner.java:1660)', {}, {}),
    ("stdin", "pass it as stdin", "fortran", "At line 3 of file main.f90 (unit = 5, file = 'stdin')\nFortran runtime error: End of file", {"exit_code": 2}, {}),
    ("package", '["octave-statistics"]', "octave", "error: package statistics is not installed", {}, {}),
    ("package", "do without it.", "octave", "error: package statistics is not installed", {}, {"dependencies": None}),
    ("package", "'github.com/google/uuid' is not there", "go", "", {"outcome": "compile_error", "compile_stderr": "main.go:2:15: no required module provides package github.com/google/uuid: go.mod"}, {}),
    ("package", "'serde' is not there", "rust", "", {"outcome": "compile_error", "compile_stderr": " | ^^^^^ use of undeclared crate or module `serde`"}, {}),
    ("package", "'org.testng' is not there", "java", "", {"outcome": "compile_error", "compile_stderr": "A.java:1: error: package org.testng does not exist"}, {}),
    ("package", "'kotlinx.serialization.json.Json' is not", "kotlin", "", {"outcome": "compile_error", "compile_stderr": "import kotlinx.serialization.json.Json\n  ^"}, {}),
    ("package", "'System.Random' is not there", "haskell", "", {"outcome": "compile_error", "compile_stderr": "    Could not find module \u2018System.Random\u2019"}, {}),
    ("package", '["libghc-random-dev", "libghc-vector-dev"]', "haskell", "", {"outcome": "compile_error", "compile_stderr": "Could not find module \u2018System.Random\u2019\nCould not find module \u2018Data.Vector.Unboxed\u2019"}, {}),
    ("package", "name the package of Debian", "haskell", "", {"outcome": "compile_error", "compile_stderr": "Could not find module \u2018Of.Mine\u2019"}, {}),
    ("package", '["libgmp-dev"]', "c", "", {"outcome": "compile_error", "compile_stderr": "main.c:1:10: fatal error: gmp.h: No such file or directory\n    1 | #include <gmp.h>\n"}, {}),
    ("package", '["libboost-dev"]', "cpp", "", {"outcome": "compile_error", "compile_stderr": "main.cpp:1:10: fatal error: boost/any.hpp: No such file or directory\n    1 | #include <boost/any.hpp>\n"}, {}),
    ("package", "name the package of Debian", "c", "", {"outcome": "compile_error", "compile_stderr": "main.c:1:10: fatal error: windows.h: No such file or directory\n    1 | #include <windows.h>\n"}, {}),
    ("compile_error", "compiler names.", "c", "", {"outcome": "compile_error", "compile_stderr": 'main.c:1:10: fatal error: list.h: No such file or directory\n    1 | #include "list.h"\n'}, {}),
    ("package", '["liblapack-dev"]', "fortran", "", {"outcome": "compile_error", "compile_stderr": "main.f90:(.text+0x60): undefined reference to `dgesv_'"}, {}),
    ("package", '["libgoogle-gson-java"]', "java", "", {"outcome": "compile_error", "compile_stderr": "/workspace/Main.java:1: error: package com.google.gson does not exist"}, {}),
    ("package", "'Yojson' is not there", "ocaml", "", {"outcome": "compile_error", "compile_stderr": 'Error: Unbound module "Yojson"'}, {}),
    ("package", "'Newtonsoft' is not there", "csharp", "", {"outcome": "compile_error", "compile_stderr": "main.cs(1,7): error CS0246: The type or namespace name 'Newtonsoft' could not be found"}, {}),
    ("compile_error", "within its limit", "cpp", "", {"outcome": "compile_error", "compile_timed_out": True, "compile_stderr": "interpreter-tools: the compiler was stopped after 60 s"}, {}),
    ("package", "'kotlinx.serialization' is not", "kotlin", "", {"outcome": "compile_error", "compile_stderr": "import kotlinx.serialization.*\n  ^"}, {}),
    ("compile_error", "compiler names.", "c", "", {"outcome": "compile_error", "compile_stderr": "main.c:1: error: x undeclared"}, {}),
    ("network", "no network", "python", "socket.gaierror: [Errno -3] Temporary failure in name resolution", {}, {}),
    ("network", "no network", "shell", "curl: (6) Could not resolve host: example.org", {"exit_code": 6}, {}),
    ("network", "no network", "shell", "", {"exit_code": 6}, {"code": "curl -s https://example.org"}),
    ("network", "no network", "bash", "", {"outcome": "ok", "exit_code": 0}, {"code": "curl -s http://a | head"}),
    ("stdin", "pass it as stdin", "python", _TRACE + "EOFError: EOF when reading a line", {}, {}),
    ("stdin", "pass it as stdin", "python", _TRACE + "    raise EOFError\nEOFError", {}, {}),
    ("stdin", "pass it as stdin", "python", "Aborted!\n", {}, {}),
    ("arguments", "args=[", "python", "usage: main.py [-h] --out OUT input\nmain.py: error: the following arguments are required: input, --out", {"exit_code": 2}, {}),
    ("arguments", "args=[", "python", _TRACE + '    print("file", sys.argv[1])\n                  ~~~~~~~~^^^\nIndexError: list index out of range', {}, {}),
    ("arguments", "args=[", "python", "Usage: main.py [OPTIONS] NAME\n\nError: Missing argument 'NAME'.", {"exit_code": 2}, {}),
    ("arguments", "args=[", "javascript", "error: missing required argument 'file'", {}, {}),
    ("arguments", "args=[", "bash", "/workspace/main.bash: line 3: $1: unbound variable", {}, {}),
    ("relative", "without the dot", "python", _TRACE + "ImportError: attempted relative import with no known parent package", {}, {}),
    ("encoding", "latin-1", "python", _TRACE + "UnicodeDecodeError: 'utf-8' codec can't decode byte 0xf6 in position 2: invalid start byte", {}, {}),
    ("chrome", 'system_dependencies=["chromium"].', "python", _TRACE + "RuntimeError: \n\nKaleido requires Google Chrome to be installed.\n", {}, {}),
    ("chrome", "--no-sandbox", "javascript", "Error: Could not find Chrome (ver. 131.0.6778.204). This can occur if", {}, {"code": "await puppeteer.launch()"}),
    ("chrome", "do without it.", "python", "BrowserType.launch: Executable doesn't exist at /tmp/home/.cache/ms-playwright/chromium-1/chrome", {}, {"dependencies": None}),
    ("guard", "__main__", "python", "RuntimeError: \n        An attempt has been made to start a new process before the\n        current process has finished its bootstrapping phase.\n", {}, {}),
    ("spawn", "or a module", "python", "AttributeError: Can't get attribute 'f' on <module '__main__' (<class '_frozen_importlib.BuiltinImporter'>)>", {}, {"keeps_variables": True}),
    ("name", "no file", "python", "NameError: name '__file__' is not defined", {}, {"keeps_variables": True}),
    ("font", "DejaVuSans.ttf", "python", _TRACE + '  File "PIL/ImageFont.py", line 891, in truetype\nOSError: cannot open resource', {}, {}),
    ("dependency_error", "is 'pandas' meant?", "python", "", {"outcome": "dependency_error", "dependency_stderr": "  cause: Because pandsa was not found in the package registry and you"}, {}),
    ("dependency_error", "is 'express' meant?", "javascript", "", {"outcome": "dependency_error", "dependency_stderr": "npm error 404  'expresss@*' is not in this registry."}, {}),
    ("disk", "disk is full", "python", _TRACE + "OSError: [Errno 28] No space left on device", {}, {}),
    ("memory", "smaller pieces", "python", _TRACE + "MemoryError", {}, {}),
    ("notebook", "no notebook", "python", _TRACE + "NameError: name 'get_ipython' is not defined", {}, {}),
    ("notebook", "no notebook", "python", "    !pip install six\n    ^\nSyntaxError: invalid syntax", {}, {}),
    ("await", "asyncio.run", "python", "    await f()\n    ^\nSyntaxError: 'await' outside function", {}, {}),
    ("escaped", "real line breaks", "python", "    import os\\nprint(1)\n             ^\nSyntaxError: unexpected character after line continuation character", {}, {}),
    ("fences", "Markdown", "python", "    ```python\n    ^\nSyntaxError: invalid syntax", {}, {}),
    ("fences", "Markdown", "javascript", "/workspace/main.js:1\n```js\n^\n\nSyntaxError: missing )", {}, {}),
    ("characters", "typographic", "python", "SyntaxError: invalid character '\u201c' (U+201C)", {}, {}),
    ("characters", "typographic", "javascript", "SyntaxError: Invalid or unexpected token", {}, {"code": "console.log(\u201cx\u201d)"}),
    ("locale", "babel", "python", _TRACE + "locale.Error: unsupported locale setting", {}, {}),
    ("pip", "in dependencies", "python", "/usr/bin/python3: No module named pip", {}, {}),
    ("pip", '["six"]', "python", "ERROR: No matching distribution found for six\nsubprocess.CalledProcessError", {}, {}),
    ("pip", "in dependencies", "javascript", "npm error code EAI_AGAIN\nnpm error syscall getaddrinfo", {}, {}),
    ("pip", "Do without", "python", "/usr/bin/python3: No module named pip", {}, {"dependencies": None}),
    ("import", "top level", "javascript", "SyntaxError: Cannot use import statement outside a module", {}, {}),
    ("async", "make that function async", "javascript", "SyntaxError: await is only valid in async functions and the top", {}, {}),
    ("return", "async function", "javascript", "if (a) { return }\n         ^^^^^^\n\nSyntaxError: Illegal return statement", {}, {}),
    ("markup", 'language="typescript"', "javascript", "/workspace/main.js:1\nconst App = () => <div>Hello</div>;\n                  ^\n\nSyntaxError: Unexpected token '<'", {}, {}),
    ("unsettled", "stdin", "javascript", "Warning: Detected unsettled top-level await at file:///workspace/main.js:4\nconst a = await", {"exit_code": 13}, {}),
    ("name", "require('node:test')", "javascript", "ReferenceError: describe is not defined", {}, {}),
    ("bash", "#!/bin/bash", "shell", "/workspace/main.sh: 1: [[: not found", {}, {}),
    ("bash", "#!/bin/bash", "shell", '/workspace/main.sh: 2: Syntax error: "(" unexpected', {}, {}),
    ("bus", "/dev/shm", "shell", "main.sh: line 1:     7 Bus error               ./a", {"exit_code": 135}, {}),
    ("bus", "/dev/shm", "python", "RuntimeError: DataLoader worker is killed by signal: Bus error.", {}, {}),
    ("apt", "in dependencies", "python", "E: Could not open lock file /var/lib/dpkg/lock-frontend - open (13: Permission denied)", {}, {}),
    ("apt", "dependencies", "shell", "E: Unable to acquire the dpkg frontend lock", {}, {}),
    ("name", "variables of earlier calls", "python", _TRACE + "NameError: name 'df' is not defined", {}, {}),
    ("name", "`import numpy as np`", "python", _TRACE + "NameError: name 'np' is not defined", {}, {}),
    ("name", "`import json`", "python", _TRACE + "NameError: name 'json' is not defined", {}, {}),
    ("name", "it is True", "python", _TRACE + "NameError: name 'true' is not defined. Did you mean: 'True'?", {}, {}),
    ("name", "from IPython.display import display", "python", _TRACE + "NameError: name 'display' is not defined", {}, {}),
    ("browser", "no browser", "javascript", "ReferenceError: document is not defined", {}, {}),
    ("module", "use import", "javascript", "ReferenceError: require is not defined in ES module scope, you can", {}, {}),
    ("name", "variables of earlier calls", "javascript", "ReferenceError: total is not defined", {}, {}),
    ("files", "earlier calls are gone", "python", _TRACE + "FileNotFoundError: [Errno 2] No such file or directory: 'a.csv'",
     {}, {"keeps_files": False}),
    ("files", "earlier calls are gone", "shell", "cat: a.csv: No such file or directory", {}, {"keeps_files": False}),
    ("foreign", "no /mnt/data", "python", _TRACE + "FileNotFoundError: [Errno 2] No such file or directory: '/mnt/data/a.csv'",
     {}, {"keeps_files": False}),
    ("foreign", "no /home/user", "shell", "cat: /home/user/a: No such file or directory", {}, {}),
    ("foreign", "no /mnt/data", "javascript", "Error: ENOENT: no such file or directory, open '/mnt/data/x'", {}, {}),
    ("foreign", "no /home/user", "python", "PermissionError: [Errno 13] Permission denied: '/home/user'", {}, {}),
    ("package", '["golang-github-google-uuid-dev"]', "go", "main.go:2:16: no required module provides package github.com/google/uuid: go.mod", {}, {}),
    ("package", '["cl-ppcre"]', "lisp", "READ error during LOAD:\n\n    Package CL-PPCRE does not exist.\n", {}, {}),
    ("package", '["cl-alexandria"]', "lisp", "  Component :ALEXANDRIA not found\n", {}, {}),
    ("package", "own libraries", "bun", "error: Cannot find package 'lodash' from '/workspace/main.ts'", {}, {}),
    ("package", "own libraries", "deno", 'error: Import "lodash" not a dependency\n  hint: If you want', {}, {}),
    ("package", "'Jason' is not there", "elixir", "** (UndefinedFunctionError) function Jason.encode!/1 is undefined (module Jason is not available).", {}, {}),
    ("dialect", "SQLite", "sql", 'Parse error near line 1: near "=": syntax error', {}, {"code": "CREATE TABLE t (id INT) ENGINE=InnoDB;"}),
    ("dialect", "SQLite", "sql", "Parse error near line 3: no such function: NOW", {}, {"code": "SELECT now();"}),
    ("dialect", "SQLite", "sql", 'Parse error near line 3: unrecognized token: ":"', {}, {"code": "SELECT created::date FROM t;"}),
    ("dialect", "SQLite", "sql", 'Parse error near line 1: near "SHOW": syntax error', {}, {"code": "show tables;"}),
    ("package", "'Hex' is not there", "elixir", "** (Mix.Error) httpc request failed with: {:failed_connect\n\nCould not install Hex because Mix could not", {}, {}),
    ("package", "'WebApplication' is not", "csharp", "", {"outcome": "compile_error", "compile_stderr": "main.cs(1,15): error CS0103: The name 'WebApplication' does not exist in the current context"}, {}),
    ("package", "'EntityFrameworkCore' is not", "csharp", "", {"outcome": "compile_error", "compile_stderr": "main.cs(1,17): error CS0234: The type or namespace name 'EntityFrameworkCore' does not exist in the namespace 'Microsoft'"}, {}),
    ("compile_error", "compiler names.", "csharp", "", {"outcome": "compile_error", "compile_stderr": "main.cs(4,1): error CS0246: The type or namespace name 'Foo' could not be found"}, {}),
    ("quicklisp", "cl-alexandria", "lisp", "READ error during LOAD:\n\n    Package QL does not exist.\n", {}, {}),
    ("composer", "Composer", "php", "Fatal error: Uncaught Error: Failed opening required 'vendor/autoload.php' (include", {"exit_code": 255}, {}),
    ("program", 'system_dependencies=["dot2", "ffmpeg"]', "python", _CHILD + "FileNotFoundError: [Errno 2] No such file or directory: 'ffmpeg'",
     {}, {"keeps_files": False, "system_dependencies": ("dot2",)}),
    ("program", "name them in dependencies", "javascript", "/bin/sh: 1: npm: not found\nError: Command failed: npm i", {}, {}),
    ("program", "name the package of Debian", "python", "sh: 1: frobnicate: not found\n" + _TRACE + "CalledProcessError", {}, {}),
    ("program", "do without it.", "python", "sh: 1: ffmpeg: not found\n" + _TRACE + "E", {}, {"dependencies": None}),
    ("program", "no program 'ffmpeg'", "python", _CHILD + "FileNotFoundError: [Errno 2] No such file or directory: 'ffmpeg'",
     {}, {"keeps_files": False}),
    ("program", "no program 'dot'", "javascript", "Error: spawn dot ENOENT", {}, {"keeps_files": False}),
    ("library", 'system_dependencies=["libgl1"]', "python", "ImportError: libGL.so.1: cannot open shared object file: No such file or directory",
     {}, {"keeps_files": False}),
    ("package", "condition", "python", _TRACE + "ModuleNotFoundError: No module named 'six'", {}, {"dependencies": ('six; python_version < "3"',)}),
    ("package", "does not provide", "python", _TRACE + "ModuleNotFoundError: No module named 'yaml'", {}, {"dependencies": ("PyYAML>=6",)}),
    ("package", "does not provide", "javascript", "Error: Cannot find module 'lodash/fpx'", {}, {"dependencies": ("lodash@^4",)}),
    ("package", '["a; python_version < \\"4\\"", "pyyaml"]', "python", _TRACE + "ModuleNotFoundError: No module named 'yaml'", {},
     {"dependencies": ('a; python_version < "4"',)}),
    ("package", "Node.js has no module 'node:x'", "javascript", "Error [ERR_UNKNOWN_BUILTIN_MODULE]: Cannot find module 'node:x'", {}, {}),
    ("network", "no network", "python", _TRACE + "LookupError: \n  Please use the NLTK Downloader to obtain the resource:", {}, {}),
    ("network", "no network", "python", _TRACE + "OSError: [E050] Can't find model 'en_core_web_sm'. It", {}, {}),
    ("display", "no screen", "python", _TRACE + "_tkinter.TclError: no display name and no $DISPLAY environment variable", {}, {}),
    ("display", "no screen", "python", _TRACE + "cv2.error: error: (-2) The function is not implemented. Rebuild the library with Windows, GTK+ 2.x", {}, {}),
    ("display", "no screen", "python", _TRACE + "pygame.error: No available video device", {}, {}),
    ("display", "no screen", "python", _TRACE + "_curses.error: setupterm: could not find terminal", {}, {}),
    ("oom_kills", "a process that it had started", "python", "", {"outcome": "ok", "exit_code": 0, "stdout": "x", "oom_kills": 1}, {}),
    ("fences", "Markdown", "python", "    First:\n          ^\nSyntaxError: invalid syntax", {}, {"code": "First:\n```python\na = 1\n```\nThen:\n```python\nprint(a)\n```"}),
    ("fences", "Markdown", "python", "    <code>\n    ^\nSyntaxError: invalid syntax", {}, {"code": "<code>\nprint(1)\n</code>"}),
    ("processes", "start fewer", "python", _TRACE + "RuntimeError: can't start new thread", {}, {}),
    ("processes", "start fewer", "shell", "main.sh: fork: retry: Resource temporarily unavailable", {}, {}),
    ("execute", "chmod +x", "shell", "main.sh: line 1: ./run.sh: Permission denied", {"exit_code": 126}, {}),
    ("loop", "put `await`", "python", _TRACE + "RuntimeError: asyncio.run() cannot be called from a running event loop", {}, {"keeps_variables": True}),
    ("directory", "os.makedirs", "python", _TRACE + "OSError: Cannot save file into a non-existent directory: 'out'", {}, {}),
    ("directory", "os.makedirs", "python", _TRACE + "    plt.savefig('out/a.png')\nFileNotFoundError: [Errno 2] No such file or directory: 'out/a.png'",
     {}, {"keeps_files": False}),
    ("directory", "os.makedirs", "python", _TRACE + "    open('out/a', \"w\")\nFileNotFoundError: [Errno 2] No such file or directory: 'out/a'", {}, {}),
    ("directory", "make it first", "javascript", "Error: ENOENT: no such file or directory, open 'out/a'\n    at Object.writeFileSync (node:fs:1)", {}, {}),
    ("readonly", "/workspace and /tmp", "python", _TRACE + "OSError: [Errno 30] Read-only file system: '/output'", {}, {}),
    ("readonly", "/workspace and /tmp", "shell", "touch: cannot touch '/etc/x': Read-only file system", {}, {}),
    ("name", "import requests", "python", _TRACE + "NameError: name 'requests' is not defined", {}, {}),
    ("name", "require('fs')", "javascript", "ReferenceError: fs is not defined", {}, {}),
    ("name", "require('lodash')", "typescript", "ReferenceError: _ is not defined", {}, {}),
    ("name", "nor an earlier call", "python", _TRACE + "NameError: name 'df' is not defined", {}, {"keeps_variables": True}),
    ("nothing", "printed nothing.", "python", "", {"outcome": "ok", "exit_code": 0}, {"keeps_variables": True}),
    ("signal", "SIGSEGV", "python", "x", {"signal": 11, "exit_code": 139}, {}),
    ("note", "its package 'pillow' is taken", "python", "", {"outcome": "ok", "exit_code": 0, "stdout": "x", "notes": ("'pil' is the name of a module: its package 'pillow' is taken",)}, {}),
    ("package", "no well-known package", "python", "ModuleNotFoundError: No module named 'my'", {"notes": ("'my' is imported, but",)}, {}),
    ("signal", "/dev/shm", "python", "x", {"signal": 7, "exit_code": 135}, {}),
    ("picture", "savefig", "python", "", {"outcome": "ok", "exit_code": 0, "stdout": "x"}, {"code": "plt.plot([1])\nplt.show()"}),
    ("nothing", "printed nothing", "python", "", {"outcome": "ok", "exit_code": 0}, {}),
    ("keeping", "ask for a session", "python", "", {"outcome": "ok", "exit_code": 0, "stdout": "x", "generated_files": ("a",)},
     {"keeping": "ask for a session"}),
    ("timeout", "did not end within 5 s", "python", "x", {"outcome": "timeout", "exit_code": 137}, {"timeout": 5.0}),
    ("oom", "more memory", "python", "x", {"outcome": "oom", "exit_code": 137}, {}),
    ("output_limit", "print a summary", "python", "x", {"outcome": "output_limit", "exit_code": 137}, {}),
    ("killed", "from outside", "python", "x", {"outcome": "killed", "exit_code": 137}, {}),
    ("dependency_error", "could not be installed", "python", "x", {"outcome": "dependency_error", "exit_code": 1}, {}),
    ("foreign", "no /mnt/data", "python", _TRACE + "sqlite3.OperationalError: unable to open database file", {}, {"code": "c = sqlite3.connect('/mnt/data/a.db')"}),
    ("foreign", "no /mnt/data", "python", _TRACE + "sqlalchemy.exc.OperationalError: (sqlite3.OperationalError) unable to open database file", {}, {"code": "create_engine('sqlite:////mnt/data/a.db')"}),
    ("foreign", "no /mnt/data", "bash", 'Error: unable to open database "/mnt/data/a.db": unable to open database file', {}, {"code": "sqlite3 /mnt/data/a.db"}),
    ("directory", "os.makedirs", "python", _TRACE + "sqlite3.OperationalError: unable to open database file", {}, {"code": "c = sqlite3.connect('out/a.db')"}),
    ("directory", "mkdirSync", "javascript", "TypeError: Cannot open database because the directory does not exist", {}, {"code": "new Database('out/a.db')"}),
    ("readonly", "below /workspace", "python", _TRACE + "sqlite3.OperationalError: unable to open database file", {}, {"code": "c = sqlite3.connect(path)"}),
    ("directory", "os.makedirs", "python", _TRACE + "    logging.basicConfig(filename='logs/a.log')\nFileNotFoundError: [Errno 2] No such file or directory: '/workspace/logs/a.log'", {}, {"keeps_files": False}),
    ("directory", "os.makedirs", "python", _TRACE + "    Path('out/a').touch()\nFileNotFoundError: [Errno 2] No such file or directory: 'out/a'", {}, {"keeps_files": False}),
    ("directory", "os.makedirs", "python", _TRACE + "    p.open('w')\nFileNotFoundError: [Errno 2] No such file or directory: 'out/a'", {}, {"keeps_files": False}),
    ("directory", "mkdirSync", "javascript", "Error: ENOENT: no such file or directory, open 'out/a'\nEmitted 'error' event on WriteStream instance at:", {}, {"keeps_files": False}),
    ("directory", "mkdir -p", "bash", "main.bash: line 1: out/a: No such file or directory", {}, {"keeps_files": False, "code": "echo x > out/a"}),
    ("directory", "mkdir -p", "shell", "touch: cannot touch 'out/a': No such file or directory", {}, {"keeps_files": False}),
    ("files", "earlier calls are gone", "bash", "main.bash: line 1: in/a: No such file or directory", {}, {"keeps_files": False, "code": "sort < in/a > b"}),
    ("arguments", "args=[", "python", "", {"stdout": "Usage: /workspace/main.py FILE\n"}, {}),
    ("arguments", "args=[", "javascript", "Usage: node main.js <in> <out>\n", {}, {}),
    ("arguments", "args=[", "bash", "", {"stdout": "Error: no file\nUsage: /workspace/main.bash FILE\n  -v  more\n"}, {}),
    ("package", "'zip' and 'git' are not there: call again with dependencies=[\"zip\", \"git\"]", "bash", "/workspace/main.bash: line 1: zip: command not found\nmain.bash: line 2: git: command not found", {"exit_code": 127}, {}),
    ("package", '["jq"]', "bash", "/workspace/main.bash: line 1: jq: command not found", {"outcome": "ok", "exit_code": 0, "stdout": "x"}, {}),
    ("foreign", "no /mnt/data", "bash", "/workspace/main.bash: line 1: /mnt/data/x: No such file or directory", {"outcome": "ok", "exit_code": 0, "stdout": "x"}, {}),
    ("package", '["jq"]', "bash", "bash: jq: command not found", {"outcome": "ok", "exit_code": 0, "stdout": "x"}, {}),
    ("package", '["jq"]', "bash", "bash: line 3: jq: command not found", {"outcome": "ok", "exit_code": 0, "stdout": "x"}, {}),
    ("foreign", "no /mnt/data", "bash", "bash: /mnt/data/x: No such file or directory", {"outcome": "ok", "exit_code": 0, "stdout": "x"}, {}),
    ("network", "no network", "python", "", {"stdout": "Error: [Errno -3] Temporary failure in name resolution\n"}, {}),
    ("package", '["pyyaml"]', "python", "", {"stdout": _TRACE + "ModuleNotFoundError: No module named 'yaml'"}, {}),
    ("pip", '["six>=1"]', "python", "ERROR: No matching distribution found for six>=1\nsubprocess.CalledProcessError", {}, {}),
    ("pip", '["lodash"]', "javascript", "npm error request to https://registry.npmjs.org/lodash failed, reason: getaddrinfo EAI_AGAIN", {}, {}),
    ("pip", "in dependencies", "python", "error: No virtual environment found; run `uv venv` to create an environment", {}, {}),
    ("refused", "Nothing listens", "python", _TRACE + "psycopg2.OperationalError: connection to server failed: Connection refused", {}, {}),
    ("refused", "Nothing listens", "javascript", "Error: connect ECONNREFUSED 127.0.0.1:6379", {}, {}),
    ("chrome", '["chromium-driver"]. Give Chrome', "python", _TRACE + "selenium.common.exceptions.NoSuchDriverException: Message: Unable to obtain driver for chrome", {}, {"code": "from selenium import webdriver"}),
    ("captured", ".stderr", "python", _TRACE + "subprocess.CalledProcessError: Command 'ls /x' returned non-zero exit status 2.", {}, {"code": "subprocess.run('ls /x', shell=True, check=True, capture_output=True)"}),
    ("server", "It is a server", "python", " * Running on http://127.0.0.1:5000", {"outcome": "timeout", "exit_code": 137}, {}),
    ("server", "It is a server", "javascript", "", {"outcome": "timeout", "exit_code": 137, "stdout": "Server running on port 3000"}, {}),
    ("unfed", "pass it as stdin", "javascript", "", {"outcome": "ok", "exit_code": 0, "stdout": "Name? "}, {"fed": False, "code": "rl.question('Name? ', f)"}),
    ("unfed", "pass it as stdin", "bash", "", {"outcome": "ok", "exit_code": 0, "stdout": "Hi"}, {"fed": False, "code": 'read -p "Name: " n\necho "Hi $n"'}),
    ("language", 'language="javascript"', "python", "    const x = 5;\n          ^\nSyntaxError: invalid syntax", {}, {"code": "const x = 5;\nconsole.log(x);"}),
    ("language", 'language="typescript"', "python", "SyntaxError: invalid syntax", {}, {"code": "interface A { b: string }\nconst a: A = { b: 'x' };"}),
    ("language", 'language="typescript"', "javascript", "SyntaxError: Missing initializer in const declaration", {}, {"code": "const x: number = 5;\nconsole.log(x);"}),
    ("language", 'language="python"', "javascript", "SyntaxError: Unexpected identifier 'print'", {}, {"code": "import os\nprint(os.getcwd())"}),
    ("language", 'language="python"', "bash", "main.bash: line 1: import: command not found\nmain.bash: line 2: syntax error near unexpected token", {"exit_code": 2}, {"code": "import os\nprint(os.getcwd())"}),
    ("language", 'language="javascript"', "bash", "main.bash: line 1: const: command not found", {"exit_code": 127}, {"code": "const x = 5\nconsole.log(x)"}),
    ("language", 'language="bash"', "python", "SyntaxError: invalid syntax", {}, {"code": "echo hi\nls -la"}),
    ("language", 'language="shell"', "python", "SyntaxError: invalid syntax", {}, {"code": "echo hi", "languages": ("python", "shell")}),
    ("dependency_error", '["g++", "make", "python3"]', "javascript", "", {"outcome": "dependency_error", "dependency_stderr": "npm error gyp ERR! find Python Python is not set from environment variable PYTHON"}, {}),
    ("dependency_error", '["build-essential", "python3-dev"]', "python", "", {"outcome": "dependency_error", "dependency_stderr": "      error: command 'gcc' failed: No such file or directory"}, {}),
    ("dependency_error", '["gcc", "portaudio19-dev"]', "python", "", {"outcome": "dependency_error", "dependency_stderr": "src/pa.c:9:10: fatal error: portaudio.h: No such file or directory"}, {"system_dependencies": ("gcc",)}),
    ("dependency_error", "libcairo2-dev", "python", "", {"outcome": "dependency_error", "dependency_stderr": '../cairo/meson.build:31:12: ERROR: Dependency "cairo" not found, tried pkgconfig'}, {}),
    ("dependency_error", "that fails", "python", "", {"outcome": "dependency_error", "dependency_stderr": "x.c:1:1: fatal error: Python.h: No such file or directory"}, {"system_dependencies": ("python3-dev",)}),
    ("arguments", "sys.argv =", "python", "usage: [-h] --n N\n: error: the following arguments are required: --n", {"exit_code": 2}, {"keeps_variables": True}),
    ("arguments", "sys.argv =", "python", "Cell In[1], line 2\n      1 import sys\n----> 2 print(sys.argv[1])\n\nIndexError: list index out of range", {}, {"keeps_variables": True}),
    ("directory", "os.makedirs", "python", "Cell In[1], line 2\n      1 import logging\n----> 2 logging.basicConfig(filename='logs/a.log')\n\nFileNotFoundError: [Errno 2] No such file or directory: '/workspace/logs/a.log'", {}, {"keeps_variables": True}),
    ("program", "no program 'ffmpeg'", "python", "Cell In[1], line 1\n----> 1 subprocess.run(['ffmpeg'])\n\nFile /usr/lib/python3.13/subprocess.py:1972, in Popen._execute_child(self, args)\n-> 1972 raise child_exception_type(errno_num, err_msg, err_filename)\n\nFileNotFoundError: [Errno 2] No such file or directory: 'ffmpeg'", {}, {"keeps_variables": True}),
    ("call", "Ignored", "python", "x", {"outcome": "ok", "exit_code": 0}, {"notes": ("Ignored: a.",)}),
]  # fmt: skip


@pytest.mark.parametrize("case", _CASES, ids=lambda case: f"{case[0]}-{case[1]}")
def test_rule_fires_on_its_case_and_on_no_other(
    case: tuple[str, str, str, str, dict[str, object], dict[str, object]],
) -> None:
    """One rule, with words that fit, for each thing that goes wrong."""
    rule, said, language, stderr, fields, more = case
    plain = {"stdout": "", "exit_code": 1, "signal": None, "outcome": "error", "execution_time": 0.1, "cpu_time": 0.1}
    result = ExecutionResult(**{**plain, "peak_memory": 1, "stderr": stderr, **fields})  # type: ignore[arg-type]
    found = find_advice(result, Circumstances(language=language, **more))  # type: ignore[arg-type]
    assert [name for name, _ in found] == [rule], found
    assert said in found[0][1]


@pytest.mark.parametrize(
    ("language", "stderr", "more"),
    [
        ("javascript", "SyntaxError: Invalid or unexpected token", {"code": "console.log('a)"}),
        ("shell", "curl: (7) Failed to connect to localhost port 8000 after 0 ms", {"code": "curl localhost:8000"}),
        ("shell", "", {"code": "curl -s http://127.0.0.1:8000 | head"}),
        ("python", "SyntaxError: unexpected character after line continuation character", {"code": "x = 1 \\ 2"}),
        ("python", "FileNotFoundError: [Errno 2] No such file or directory: '/etc/x.conf'", {"keeps_files": False}),
        ("python", "NameError: name 'pirnt' is not defined. Did you mean: 'print'?", {"code": "pirnt(1)"}),
        ("python", "NameError: name 'x' is not defined", {"code": "def f():\n    x = 1\nf()\nprint(x)"}),
        ("javascript", "ReferenceError: y is not defined", {"code": "{ let y = 1 }\nconsole.log(y)"}),
        ("python", "ValueError: EOFError: EOF when reading a line", {}),
        ("python", "ValueError: the schema is required", {}),
        ("python", "ValueError: invalid literal for int() with base 10: 'requires numpy'", {}),
        (
            "python",
            "ImportError: Pandas requires version '3.1.2' or newer of 'openpyxl' (version '3.0.1' currently",
            {},
        ),
        ("python", "RuntimeError: Numpy is not available: pip install 'numpy<2'", {}),
        ("shell", "main.sh: line 3: ./build/app: No such file or directory", {}),
        ("python", "    open('in/a.csv')\nFileNotFoundError: [Errno 2] No such file or directory: 'in/a.csv'", {}),
        (
            "python",
            _TRACE + "    x = [1][1]\n        ~~~^^^\nIndexError: list index out of range",
            {"code": "import sys; sys.argv"},
        ),
        ("shell", "main.sh: line 3: total: unbound variable", {}),
        ("python", "SyntaxError: invalid syntax", {"code": "def f()\n    print(1)"}),
        ("python", "SyntaxError: Missing parentheses in call to 'print'", {"code": "print 'hi'"}),
        ("javascript", "SyntaxError: Unexpected end of input", {"code": "function f() {"}),
        ("typescript", "SyntaxError: Unexpected end of input", {"code": "function f() {"}),
        ("bash", "main.bash: line 3: syntax error: unexpected end of file", {"code": "if true; then\necho hi"}),
        ("bash", "", {"fed": False, "code": "while read -r x; do echo $x; done < a"}),
        ("bash", "", {"fed": False, "code": "read -r x < <(echo hi)\necho $x"}),
        ("bash", "Usage: grep [OPTION]... PATTERNS [FILE]...\nTry 'grep --help' for more information.", {}),
        ("python", "usage: main.py [-h] --n N\nmain.py: error: argument --n: invalid int value: 'x'", {}),
        ("python", "UnicodeDecodeError: 'ascii' codec can't decode byte 0xf6 in position 2", {}),
        (
            "sql",
            "Parse error near line 2: no such column: nope",
            {"code": "CREATE TABLE t (a SET);\nSELECT nope FROM t;"},
        ),
        ("python", "", {"code": "# plt.show() comes later"}),
        ("python", "", {"code": "class A:\n    def show(self): pass\nA().show()"}),
    ],
)
def test_no_rule_fires_on_what_only_looks_like_its_case(language: str, stderr: str, more: dict[str, str]) -> None:
    """Wrong advice is worse than none."""
    plain = {"stdout": "x", "exit_code": 7, "signal": None, "execution_time": 0.1, "cpu_time": 0.1, "peak_memory": 1}
    for outcome in ("error", *(["ok"] if not stderr else [])):
        result = ExecutionResult(**plain, stderr=stderr, outcome=outcome)  # type: ignore[arg-type]
        assert find_advice(result, Circumstances(language=language, **more)) == []  # type: ignore[arg-type]


def test_every_rule_has_a_case() -> None:
    """A rule that is added brings its own."""
    from interpreter_tools.tool import _advice

    named = {name for name, *_ in _advice._CAUSES}
    assert named <= {case[0] for case in _CASES}


def test_program_that_went_well_gets_no_advice() -> None:
    """Whatever it has printed, in the words of any rule."""
    text = "\n".join(case[3] for case in _CASES)
    result = ExecutionResult(
        stdout=text,
        stderr=text,
        exit_code=0,
        signal=None,
        outcome="ok",
        execution_time=0.1,
        cpu_time=0.1,
        peak_memory=1,
    )
    assert find_advice(result, Circumstances(language="python")) == []


def test_program_that_spawns_itself_for_ever_is_told_of_the_guard() -> None:
    """It ends by its time limit, and its traceback names the cause."""
    stderr = (
        '  File "spawn.py", line 122, in spawn_main\n  File "main.py"\nRuntimeError: context has already been set\n'
    )
    figures = {"execution_time": 0.1, "cpu_time": 0.1, "peak_memory": 1, "signal": None, "exit_code": 137}
    result = ExecutionResult(stdout="", stderr=stderr, outcome="timeout", **figures)  # type: ignore[arg-type]
    names = [name for name, _ in find_advice(result, Circumstances(language="python"))]
    assert names == ["guard", "timeout"]


def test_figure_that_a_started_process_could_not_show_is_told_of() -> None:
    """Matplotlib says it in a warning; the program that ran is not the one that plots."""
    said = "UserWarning: FigureCanvasAgg is non-interactive, and thus cannot be shown"
    figures = {"execution_time": 0.1, "cpu_time": 0.1, "peak_memory": 1, "signal": None, "exit_code": 0}
    result = ExecutionResult(stdout="", stderr=said, outcome="ok", **figures)  # type: ignore[arg-type]
    assert [name for name, _ in find_advice(result, Circumstances(language="bash"))] == ["picture"]
