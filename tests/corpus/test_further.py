"""Programs in further languages: ``words`` counts those of its input, ``primes`` computes, ``fails`` ends with 3."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from interpreter_tools import ContainerStrategy, EngineConfig, ExecutionEngine, LanguageRegistry, PoolConfig, RunApp
from interpreter_tools._languages.compiled import COMPILED
from interpreter_tools._languages.interpreted import INTERPRETED
from interpreter_tools.setup.recipes import DEFAULT_LANGUAGES

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from interpreter_tools._docker import DockerClient

pytestmark = [pytest.mark.docker, pytest.mark.timeout(600)]  # kotlinc needs ten seconds of a processor

HERE = Path(__file__).parent
LANGUAGES = sorted(config.language for config in (*INTERPRETED, *COMPILED))
INPUT = b"the cat and the dog\nand the bird\n"
WORDS = "and 2\nbird 1\ncat 1\ndog 1\nthe 3\n"
PRIMES = "2 3 5 7 11 13 17 19 23 29 31 37 41 43 47\n328\n"
MADE_BY_ITSELF = {LanguageRegistry.get(name).default_image for name in DEFAULT_LANGUAGES}
STATUS = {"sql": 1}
"""Exit statuses of languages whose programs cannot choose one."""


@pytest.fixture(scope="module")
async def engine() -> AsyncIterator[ExecutionEngine]:
    """One that keeps one container for each image, and whose compilers have the time that a busy machine needs."""
    pool = PoolConfig(min_size=0, max_size=1)
    async with ExecutionEngine(EngineConfig(prewarm=(), pool=pool, compile_timeout=300)) as engine:
        yield engine


def program(language: str, name: str) -> str:
    """Return the text of a program."""
    (path,) = (HERE / language).glob(f"{name}.*")
    return path.read_text("utf-8")


async def skip_without_image(client: DockerClient, language: str) -> None:
    """Leave a test out where nobody has made the language's image; those that set-up makes by itself must be there."""
    image = LanguageRegistry.get(language).default_image
    if image not in MADE_BY_ITSELF and await client.inspect_image(image) is None:
        pytest.skip(f"there is no {image}: `interpreter-tools setup {language}` makes it")


@pytest.mark.parametrize("language", LANGUAGES)
async def test_programs_do_as_the_language_says(
    docker_client: DockerClient, engine: ExecutionEngine, language: str
) -> None:
    """Output, input and exit status, in the image of the language."""
    await skip_without_image(docker_client, language)
    words = await engine.run(language, program(language, "words"), stdin=INPUT)
    assert (words.outcome, words.stdout, words.stderr) == ("ok", WORDS, "")
    primes = await engine.run(language, program(language, "primes"))
    assert (primes.outcome, primes.stdout, primes.stderr) == ("ok", PRIMES, "")
    fails = await engine.run(language, program(language, "fails"))
    assert (fails.outcome, fails.exit_code, fails.stdout) == ("error", STATUS.get(language, 3), "before\n")
    assert "wrong" in fails.stderr


SHAPES = {
    "erlang, one line": ("erlang", 'main(_) -> io:format("one~n").', "one\n"),
    "erlang, as a module": (
        "erlang",
        '-module(a).\n-export([main/1]).\nmain(A) -> io:format("~p~n", [A]).',
        '["x y"]\n',
    ),
    "erlang, its first line counts": ("erlang", 'f() -> "f".\nmain(_) ->\n    io:format("~s~n", [f()]).\n', "f\n"),
    "erlang, expressions": (
        "erlang",
        'F = fun(N) -> 2 * N end.\nlists:foreach(fun(N) -> io:format("~p~n", [F(N)]) end, [1, 2]).\n',
        "2\n4\n",
    ),
    "rust, a script's manifest": (
        "rust",
        (
            '#!/usr/bin/env -S cargo +nightly -Zscript\n---\n[package]\nedition = "2024"\n---\n\n'
            'fn main() { println!("{} {}", file!(), line!()); }\n'
        ),
        "/workspace/main.rs 7\n",
    ),
    "java, in a package": (
        "java",
        "package com.x;\nclass A { static public void main(String... a) { System.out.println(A.class + a[0]); } }",
        "class com.x.Ax y\n",
    ),
    "java, two classes in a line": (
        "java",
        'interface A { } class B { public static void main(String[] a) { System.out.println("B"); } }',
        "B\n",
    ),
    "java, two public classes": (
        "java",
        (
            "public class A { public static void main(String[] x) { System.out.println(B.v()); } }\n"
            "public class B { static int v() { return 1; } }"
        ),
        "1\n",
    ),
    "java, a preview": ("java", 'void main() { System.out.println("hi"); }', "hi\n"),
    "erlang, another start": (
        "erlang",
        '-module(a).\n-export([f/1, begin_/0]).\nf(X) -> X.\nbegin_() -> io:format("~p~n", [f(1)]).\n',
        "1\n",
    ),
    "csharp, statements": (
        "csharp",
        (
            "// Sum\nusing System.Text;\nvar xs = new List<int> { 3, 1 };\nforeach (var x in xs.OrderBy(v => v))\n{\n"
            '    Console.Write($"{x} ");\n}\nint Add(int a, int b)\n{\n    return a + b;\n}\nawait Task.Delay(1);\n'
            'Console.WriteLine(new StringBuilder(args[0]).Append(Add(1, 2)) + new Person("é").Name);\n'
            "class Person\n{\n    public string Name { get; }\n    public Person(string name) => Name = name;\n}\n"
        ),
        "1 3 x y3é\n",
    ),
    "csharp, Main that awaits": (
        "csharp",
        (
            "namespace Demo;\n\nclass Program\n{\n    static async Task Main(string[] args)\n    {\n"
            "        await Task.Delay(1);\n        Console.WriteLine(args[0]);\n    }\n}\n"
        ),
        "x y\n",
    ),
    "csharp, of 2023": (
        "csharp",
        (
            "#!/usr/bin/env dotnet run\n#:property LangVersion=preview\nusing System.Text.Json;\n"
            "int[] xs = [1, 2, .. new Range(3).Items];\nConsole.WriteLine(string.Join(' ', xs[1..]));\n"
            "Console.WriteLine(JsonSerializer.Serialize(new Point(1, 2) with { Y = 3 }));\nstring? none = null;\n"
            'Console.WriteLine(xs.Length switch { > 3 => "many", _ => none ?? "few" });\n'
            "Console.WriteLine(Convert.ToHexString(System.Security.Cryptography.SHA256.HashData([97]))[..4]);\n"
            "record Point(int X, int Y);\nclass Range(int last) { public List<int> Items => [last]; }\n"
        ),
        '2 3\n{"X":1,"Y":3}\nfew\nCA97\n',
    ),
    "deno, as for Node.js": ("deno", 'const fs = require("fs");\nconsole.log(typeof fs.readFileSync);', "function\n"),
    "pascal, classes without a mode": (
        "pascal",
        (
            "program P;\nuses SysUtils, fpjson, jsonparser;\ntype TOne = class function Get: string; end;\n"
            "function TOne.Get: string;\nbegin\n  Result := GetJSON('[1]').AsJSON;\nend;\nbegin\n"
            "  try\n    writeln(TOne.Create.Get);\n    raise Exception.Create('x');\n"
            "  except\n    on e: Exception do writeln(e.Message);\n  end;\nend.\n"
        ),
        "[1]\nx\n",
    ),
    "perl, JSON": ("perl", "use JSON; print encode_json([1, 'a']), $/;", '[1,"a"]\n'),
    "php, without a tag": (
        "php",
        "// sum\n$x = [1, 2];\necho array_sum($x), basename(__FILE__), PHP_EOL;",
        "3main.php\n",
    ),
    "php, a template": ("php", "Hello <?= $argv[1] ?>!\n", "Hello x y!\n"),
    "octave, a function first": (
        "octave",
        "% doubles\nfunction y = dbl(x)\n  y = 2 * x;\nend\nprintf('%d %s\\n', dbl(2), argv(){end});",
        "4 x y\n",
    ),
    "octave, functions at the end": (
        "octave",
        (
            "x = 2; show(fact(3), 'it''s; end');\nprintf('%d\\n', dbl(x));\n\n%% functions\n"
            "function r = fact(n)\nif n <= 1, r = 1; else r = n * fact(n - 1); end % end\nend\n"
            "  function show(v, text)\n    w = [1 v]; disp(w(end)'); disp(text);\n  endfunction\n"
            "function r = dbl(x), r = 2 * x; end\n"
        ),
        "6\nit's; end\n4\n",
    ),
    "octave, a picture": (
        "octave",
        (
            "f = figure('visible', 'off'); plot(1:3); title('größe'); print('-dpng', 'p.png');"
            "disp(stat('p.png').size > 2000)"
        ),
        "1\n",
    ),
    "go, without a package": ("go", 'import "fmt"\n\nfunc main() { fmt.Println(1) }', "1\n"),
    "cpp, of 2023": (
        "cpp",
        (
            "#include <generator>\n#include <print>\nstd::generator<int> one() { co_yield 1; }\n"
            'int main() { for (int x : one()) std::println("{}", x); }'
        ),
        "1\n",
    ),
    "c, OpenMP": (
        "c",
        (
            "#include <omp.h>\n#include <stdio.h>\nint main(void) {\n    int sum = 0;\n"
            "#pragma omp parallel for reduction(+ : sum)\n"
            "    for (int i = 1; i <= 10; i++)\n        sum += i;\n"
            '    printf("%d %d\\n", sum, omp_get_max_threads() > 0);\n}\n'
        ),
        "55 1\n",
    ),
    "fortran, fixed form": ("fortran", "C     TEXT\n      PROGRAM P\n      PRINT '(A)', 'P'\n      END\n", "P\n"),
    "haskell, another module": ("haskell", 'module Foo where\nmain :: IO ()\nmain = putStrLn "foo"\n', "foo\n"),
    "ocaml, threads and directives": (
        "ocaml",
        '#require "threads";;\nlet () = Thread.join (Thread.create (fun () -> print_endline "t") ())\n',
        "t\n",
    ),
    "ocaml, as for its shell": (
        "ocaml",
        '#use "topfind";;\n#require "str";;\nlet l = Str.split (Str.regexp " ") "a b";;\nList.iter print_endline l;;\n',
        "a\nb\n",
    ),
    "java, statements": (
        "java",
        "import java.util.*;\n// text\nList<Integer> l = List.of(1, 2);\nSystem.out.println(l + args[0]);\n",
        "[1, 2]x y\n",
    ),
    "rust, statements": (
        "rust",
        (
            "use std::env;\nfn twice(n: i32) -> i32 { n * 2 }\n"
            'let n: i32 = "3".parse()?;\nprintln!("{} {:?}", twice(n), env::args().nth(1)); // end'
        ),
        '6 Some("x y")\n',
    ),
    "rust, let chains": (
        "rust",
        'fn main() {\n    let a = Some(3);\n    if let Some(x) = a && x > 2 {\n        println!("{x}");\n    }\n}\n',
        "3\n",
    ),
    "java, declarations among statements": (
        "java",
        (
            "int twice(int n) { return n * 2; }\nvar p = new P(1, List.of(2));\nrecord P(int x, List<Integer> xs) { }\n"
            'int count = 0;\nprivate void add() { count += 1; } // "}" {\nfor (int i = 0; i < 2; i++) { add(); }\n'
            "import java.util.stream.*;\nenum Kind { A { int n() { return 1; } }; abstract int n(); }\n"
            'do { add(); } while (count < 5);\nString s = switch (count) { case 5 -> "five"; default -> args[0]; };\n'
            "System.out.println(twice(3) + s + p + Kind.A.n());"
        ),
        "6fiveP[x=1, xs=[2]]1\n",
    ),
    "java, a class within a class": (
        "java",
        'public class A { static class B { public static void main(String[] a) { System.out.println("B"); } } }',
        "B\n",
    ),
    "java, of 2025": ("java", "void main() { IO.println(List.of(1)); }", "[1]\n"),
    "go, another package": ("go", 'package foo\n\nimport "fmt"\n\nfunc main() { fmt.Println(1) }\n', "1\n"),
    "c, a library of the distribution": (
        "c",
        '#include <crypt.h>\n#include <stdio.h>\nint main(void) { printf("%.3s\\n", crypt("a", "$5$b")); }',
        "$5$\n",
    ),
    "ocaml, a library of the distribution": (
        "ocaml",
        "let () = print_endline (string_of_bool Dynlink.is_native)",
        "true\n",
    ),
    "java, a line for all": (
        "java",
        "import java.util.*; public final class C { public static void main(String[] a) { System.out.println(1); } }",
        "1\n",
    ),
}


@pytest.mark.parametrize(("language", "code", "expected"), SHAPES.values(), ids=SHAPES)
async def test_programs_of_other_shapes(
    docker_client: DockerClient, engine: ExecutionEngine, language: str, code: str, expected: str
) -> None:
    """As people and models write them."""
    await skip_without_image(docker_client, language)
    result = await engine.run(language, code, args=["x y"])
    assert (result.outcome, result.stdout, result.stderr) == ("ok", expected, "")


_APP = re.compile(r"^### (\w+) (\S+)\n((?:(?!### ).*\n)*)", re.MULTILINE)
_FILE = re.compile(r"^#### (\S+)\n((?:(?!#### ).*\n)*)", re.MULTILINE)
APPS = {
    language: (entry, dict(_FILE.findall(files)))
    for language, entry, files in _APP.findall((HERE / "apps.txt").read_text("utf-8"))
}
"""Programs of several files: each prints 2."""


@pytest.mark.parametrize("language", APPS)
async def test_program_of_several_files(docker_client: DockerClient, engine: ExecutionEngine, language: str) -> None:
    """Modules, packages and headers are found where the language's own tools look for them; other programs are not."""
    await skip_without_image(docker_client, language)
    entry, files = APPS[language]
    result = await engine.run(language, "", run_app=RunApp(entry_file=entry), files=files)
    assert (result.outcome, result.stdout) == ("ok", "2\n"), result.compile_stderr + result.stderr


async def test_go_tests_are_a_program(docker_client: DockerClient, engine: ExecutionEngine) -> None:
    """The entry is a file of tests."""
    await skip_without_image(docker_client, "go")
    files = {
        "one.go": "package one\n\nfunc One() int { return 1 }\n",
        "one_test.go": 'package one\n\nimport "testing"\n\n'
        'func TestOne(t *testing.T) { if One() != 2 { t.Fatal("no") } }\n',
    }
    result = await engine.run("go", "", run_app=RunApp(entry_file="one_test.go"), files=files)
    assert (result.outcome, result.exit_code) == ("error", 1)
    assert "--- FAIL: TestOne" in result.stdout


async def test_rust_tests_are_a_program(docker_client: DockerClient, engine: ExecutionEngine) -> None:
    """Where there is no other."""
    await skip_without_image(docker_client, "rust")
    result = await engine.run("rust", "pub fn one() -> i32 { 1 }\n#[test]\nfn works() { assert_eq!(one(), 1); }\n")
    assert "test result: ok. 1 passed" in result.check().stdout


@pytest.mark.parametrize(
    ("language", "code", "told"),
    [
        ("bun", 'import { expect, test } from "bun:test";\ntest("one", () => expect(1).toBe(2));\n', "Expected: 2"),
        ("deno", 'Deno.test("one", () => {\n  throw new Error("wrong");\n});\n', "Error: wrong"),
        (
            "erlang",
            '-module(one).\n-include_lib("eunit/include/eunit.hrl").\none_test() -> ?assertEqual(2, 1).\n',
            "{expected,2}",
        ),
        (
            "go",
            (
                'package one\n\nimport "testing"\n\nfunc TestOne(t *testing.T) { if one() != 2 { t.Fatal("no") } }\n'
                "func one() int { return 1 }\n"
            ),
            "--- FAIL: TestOne",
        ),
    ],
)
async def test_tests_are_a_program(
    docker_client: DockerClient, engine: ExecutionEngine, language: str, code: str, told: str
) -> None:
    """They run, and the program fails with them."""
    await skip_without_image(docker_client, language)
    result = await engine.run(language, code)
    assert (result.exit_code, told in result.stdout + result.stderr) == (1, True), result.stderr


async def test_arithmetic_overflow_in_rust_is_told(docker_client: DockerClient, engine: ExecutionEngine) -> None:
    """As rustc and Cargo do it by default."""
    await skip_without_image(docker_client, "rust")
    result = await engine.run("rust", 'fn main() { println!("{}", 255u8 - 1 + std::env::args().count() as u8 * 2); }')
    assert (result.exit_code, "attempt to add with overflow" in result.stderr) == (101, True)


async def test_place_and_status_of_csharp_are_the_programs(
    docker_client: DockerClient, engine: ExecutionEngine
) -> None:
    """In messages of the compiler and in traces."""
    await skip_without_image(docker_client, "csharp")
    result = await engine.run("csharp", 'using System.IO;\nConsole.WriteLine("a");\nint x = "s";\n')
    assert (result.outcome, "/workspace/main.cs(3,9): error CS0029" in result.compile_stderr) == ("compile_error", True)
    assert (await engine.run("csharp", "await Task.Delay(1);\nreturn 7;\n")).exit_code == 7
    result = await engine.run("csharp", "string s = null;\nConsole.WriteLine(s.Length);\n")
    assert "in /workspace/main.cs:line 2" in result.stderr


async def test_error_in_php_is_told_once(docker_client: DockerClient, engine: ExecutionEngine) -> None:
    """On stderr."""
    await skip_without_image(docker_client, "php")
    result = await engine.run("php", "<?php throw new RuntimeException('wrong');")
    assert (result.stdout, result.stderr.count("wrong")) == ("", 1)


@pytest.mark.parametrize(
    ("language", "code", "place"),
    [
        ("pascal", "var zero: integer;\nbegin\n  zero := 0;\n  writeln(1 div zero);\nend.\n", "line 4 of main.pas"),
        ("fortran", "program p\n  open(10, file='no', status='old')\nend\n", "/workspace/main.f90:2"),
        ("ocaml", 'let f () = failwith "x"\n\nlet () = f ()\n', 'file "main.ml", line 3'),
    ],
)
async def test_place_of_an_error_is_told(
    docker_client: DockerClient, engine: ExecutionEngine, language: str, code: str, place: str
) -> None:
    """The file and the line, which these compilers leave out by default."""
    await skip_without_image(docker_client, language)
    result = await engine.run(language, code)
    assert place in result.stderr
    assert result.outcome == "error"


async def test_recursion_without_end_in_ocaml_is_told(docker_client: DockerClient, engine: ExecutionEngine) -> None:
    """It overflows the stack before it takes all memory."""
    await skip_without_image(docker_client, "ocaml")
    result = await engine.run("ocaml", "let rec f n = 1 + f (n + 1)\nlet () = print_int (f 0)\n")
    assert (result.outcome, "exception Stack overflow" in result.stderr) == ("error", True)


async def test_place_of_an_error_in_erlang_is_the_programs(
    docker_client: DockerClient, engine: ExecutionEngine
) -> None:
    """Though escript gets a copy of the program."""
    await skip_without_image(docker_client, "erlang")
    result = await engine.run("erlang", "main(_) ->\n    missing().\n")
    assert "/workspace/main.erl:2" in result.stdout + result.stderr
    assert result.outcome == "error"


def test_every_further_language_has_three_programs() -> None:
    """One of them ends with a failure, which must not look like success."""
    for language in LANGUAGES:
        assert sorted(path.stem for path in (HERE / language).iterdir()) == ["fails", "primes", "words"]


async def test_program_that_does_not_compile_did_not_run(docker_client: DockerClient, engine: ExecutionEngine) -> None:
    """What the compiler says is apart from what programs say, and the files of the session stay."""
    await skip_without_image(docker_client, "c")
    async with engine.session(strategy=ContainerStrategy.PER_SESSION) as session:
        await session.write_file("kept.txt", b"1")
        result = await session.run("c", "int main(void) { return missing; }")
        assert (result.outcome, result.stdout, result.stderr) == ("compile_error", "", "")
        assert "'missing' undeclared" in result.compile_stderr.replace("\u2018", "'").replace("\u2019", "'")
        assert result.exit_code != 0
        assert await session.read_file_binary("kept.txt") == b"1"


async def test_same_text_is_compiled_once_in_a_session(docker_client: DockerClient, engine: ExecutionEngine) -> None:
    """Another text is compiled, and so is one that takes in a file, which may have changed meanwhile."""
    await skip_without_image(docker_client, "c")
    hello = '#include <stdio.h>\nint main(void) { puts("hello"); }'
    other = '#include <stdio.h>\n#include "n.h"\nint main(void) { printf("%d\\n", N); }'
    async with engine.session(strategy=ContainerStrategy.PER_SESSION) as session:
        first, second = await session.run("c", hello), await session.run("c", hello)
        assert (first.stdout, second.stdout) == ("hello\n", "hello\n")
        assert first.compile_time > 0 == second.compile_time
        assert first.generated_files == second.generated_files == ()
        for value in (b"1", b"2"):
            await session.write_file("n.h", b"#define N " + value)
            assert (await session.run("c", other)).stdout.encode() == value + b"\n"


async def test_snippet_with_files_beside_is_compiled_with_them(
    docker_client: DockerClient, engine: ExecutionEngine
) -> None:
    """Each time, as these may have changed, though nothing in its text names them."""
    await skip_without_image(docker_client, "go")
    async with engine.session(strategy=ContainerStrategy.PER_SESSION) as session:
        for value in ("1", "2"):
            await session.write_file("n.go", f"package main\n\nconst n = {value}\n".encode())
            result = await session.run("go", 'package main\n\nimport "fmt"\n\nfunc main() { fmt.Println(n) }\n')
            assert result.stdout == f"{value}\n", result.compile_stderr


async def test_warnings_come_apart_from_the_program_and_in_the_stream(
    docker_client: DockerClient, engine: ExecutionEngine
) -> None:
    """Input that is sent while the program is compiled is the program's."""
    await skip_without_image(docker_client, "c")
    code = "#include <stdio.h>\n#warning look\nint main(void) { int c; while ((c = getchar()) != EOF) putchar(c); }"
    async with engine.stream("c", code) as execution:
        await execution.send_stdin(b"echo\n")
        await execution.close_stdin()
        chunks = [chunk async for chunk in execution]
        result = await execution.result()
    assert (result.outcome, result.stdout) == ("ok", "echo\n")
    assert {chunk.stream for chunk in chunks} == {"compile_stderr", "stdout"}
    assert "look" in result.compile_stderr


async def test_compiler_that_takes_too_long_is_stopped(docker_client: DockerClient) -> None:
    """By a limit of its own; the program's begins when it starts."""
    await skip_without_image(docker_client, "cpp")
    code = '#include <bits/stdc++.h>\n#include <regex>\nint main() { std::regex r("a"); }'  # a second, at least
    config = EngineConfig(prewarm=(), pool=PoolConfig(min_size=0))
    async with ExecutionEngine(config) as engine:
        result = await engine.run("cpp", code, timeout=0.1, compile_timeout=0.3)
    assert (result.outcome, result.compile_timed_out) == ("compile_error", True)
    assert "stopped after 0.3 s" in result.compile_stderr
