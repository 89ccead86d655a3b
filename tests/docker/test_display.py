"""What programs display, on a real engine."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import pytest

from interpreter_tools import DisplayChunk, ExecutionEngine, ExecutionResult, OutputChunk
from tests.watch import ONE_SHOT

if TYPE_CHECKING:
    from pathlib import Path

    from interpreter_tools import ContainerStrategy

pytestmark = pytest.mark.docker

PNG = b"\x89PNG\r\n"
PLOT = "import matplotlib.pyplot as plt\nplt.plot([1, 2, 3], [4, 5, 6], label='a')\nplt.title('T')\n"
DISPLAY = "from IPython.display import *\n"


async def test_shown_figure_is_a_result(engine: ExecutionEngine, tmp_path: Path) -> None:
    """As a picture and as data, in a program that knows nothing of us."""
    result = await engine.run("python", PLOT + "plt.show()\nprint('after')", dependencies=["matplotlib"])
    assert (result.outcome, result.stdout, result.stderr) == ("ok", "after\n", "")
    (shown,) = result.results
    assert shown.png is not None
    assert shown.png.startswith(PNG)
    assert shown.picture == ("image/png", shown.png)
    assert shown.chart is not None
    assert (shown.chart["type"], shown.chart["title"]) == ("line", "T")
    assert shown.chart["elements"] == [{"label": "a", "points": [[1, 4], [2, 5], [3, 6]]}]
    files = shown.save(tmp_path, name="plot")
    assert [path.name for path in files] == ["plot.chart.json", "plot.png", "plot.txt"]
    assert (tmp_path / "plot.png").read_bytes() == shown.png


async def test_box_plots_as_data(engine: ExecutionEngine) -> None:
    """Quartiles, whiskers, outliers and means, also with notches, filled and lying."""
    code = """
import matplotlib.pyplot as plt
data = [[1, 2, 3, 4, 5, 20], [2, 3, 4, 5, 9, 30]]
looks = {}, {"notch": True}, {"notch": True, "patch_artist": True, "orientation": "horizontal"}
means = {}, {"showmeans": True}, {"showmeans": True, "meanline": True}, {"showmeans": True, "showfliers": False}
figure, axes = plt.subplots(3, 8, dpi=20)
for row, look in zip(axes, looks):
    for place, ax in enumerate(row):
        mean, boxes = means[place // 2], data[: 1 + place % 2]
        ax.boxplot(boxes, **look, **mean)
        ax.set_title(f"{len(boxes)} {bool(mean)} {mean.get('showfliers', True)}")
plt.show()
"""
    result = await engine.run("python", code, dependencies=["matplotlib"])
    assert (result.outcome, result.stderr) == ("ok", "")
    (shown,) = result.results
    assert shown.chart is not None
    charts = msgspec.convert(shown.chart["elements"], list[dict[str, object]])
    assert len(charts) == 3 * 8
    first = {"label": "1", "min": 1, "first_quartile": 2.25, "median": 3.5, "third_quartile": 4.75, "max": 5}
    second = {"label": "2", "min": 2, "first_quartile": 3.25, "median": 4.5, "third_quartile": 8, "max": 9}
    for chart in charts:
        count, means, outliers = str(chart["title"]).split()
        elements = [{**first, "mean": 35 / 6, "outliers": [20]}, {**second, "mean": 53 / 6, "outliers": [30]}]
        for element in elements:
            if means == "False":
                del element["mean"]
            if outliers == "False":
                element["outliers"] = []
        assert chart["elements"] == elements[: int(count)], chart["title"]


@pytest.mark.parametrize(
    ("end", "count"),
    [
        ("plt.show(); plt.figure(); plt.bar(['x'], [1]); plt.show()", 2),
        ("plt.figure(); plt.plot([1]); plt.show()", 2),
        ("plt.gcf().show()", 1),
        ("plt.savefig('a.png')", 0),
        ("plt.ion(); plt.show()", 1),
        ("for i in range(5):\n    plt.pause(0.01)", 1),
        ("plt.switch_backend('agg'); plt.savefig('b.png')", 0),
        ("plt.close('all'); plt.show()", 0),
    ],
)
async def test_what_is_shown_and_when(engine: ExecutionEngine, end: str, count: int) -> None:
    """A figure is a result when a window with it would have opened."""
    result = await engine.run("python", PLOT + end, dependencies=["matplotlib"])
    assert (result.outcome, result.stderr) == ("ok", "")
    assert len(result.results) == count


async def test_figure_after_an_import_of_ipython(engine: ExecutionEngine) -> None:
    """IPython's stand-in has the version that matplotlib reads when both are imported."""
    code = "from IPython.display import display\n" + PLOT + "plt.show()"
    result = await engine.run("python", code, dependencies=["matplotlib"])
    assert [display.png is not None for display in result.check().results] == [True]


async def test_labels_in_chinese_japanese_and_korean_are_drawn(engine: ExecutionEngine) -> None:
    """The default image has a font for them, and matplotlib finds it: a missing glyph would be a warning."""
    title = "plt.title('\u6e29\u5ea6 \u30b0\u30e9\u30d5 \ud55c\uad6d')\n"
    code = "import warnings\nwarnings.simplefilter('always', UserWarning)\n" + PLOT + title + "plt.show()"
    result = await engine.run("python", code, dependencies=["matplotlib"])
    assert (result.outcome, result.stdout, result.stderr) == ("ok", "", "")
    assert len(result.results) == 1


async def test_list_of_fonts_comes_with_the_package(engine: ExecutionEngine) -> None:
    """It is made when matplotlib is installed: no run looks for fonts, which takes a tenth of a second."""
    code = """
import glob, matplotlib
import matplotlib.font_manager
print(len(glob.glob(matplotlib.get_data_path() + "/fontlist-*.json")), glob.glob(matplotlib.get_cachedir() + "/font*"))
print(matplotlib.font_manager.findfont("DejaVu Sans").startswith(matplotlib.get_data_path()))
"""
    result = (await engine.run("python", code, dependencies=["matplotlib"])).check()
    assert (result.stdout, result.stderr) == ("1 []\nTrue\n", "")


async def test_figures_that_were_left_open(engine: ExecutionEngine) -> None:
    """They are shown at the end for who asks for that: tools do, as notebooks do."""
    code = PLOT + "plt.figure(); plt.plot([3])"
    variables = {"INTERPRETER_TOOLS_FIGURES": "all"}
    assert not (await engine.run("python", code, dependencies=["matplotlib"])).results
    result = await engine.run("python", code, dependencies=["matplotlib"], environment=variables)
    assert len(result.results) == 2
    shown = PLOT + "figure = plt.gcf(); figure.show()"  # before the end: once more only where it has changed since
    for more, count in (("", 1), ("; plt.title('later')", 2)):
        result = await engine.run("python", shown + more, dependencies=["matplotlib"], environment=variables)
        assert len(result.results) == count


async def test_backend_that_the_program_or_its_user_chose(engine: ExecutionEngine) -> None:
    """It is theirs."""
    code = "import matplotlib.pyplot as plt; print(plt.get_backend().lower())"
    given = {"MPLBACKEND": "svg"}
    result = await engine.run("python", code, dependencies=["matplotlib"], environment=given)
    assert result.stdout == "svg\n"
    chosen = "import matplotlib; matplotlib.use('pdf')\n" + code
    assert (await engine.run("python", chosen, dependencies=["matplotlib"])).stdout == "pdf\n"


@pytest.mark.parametrize(
    "choice",
    [
        "import matplotlib; matplotlib.use('Agg')",
        "import matplotlib; matplotlib.use('TkAgg', force=True)",
        "import matplotlib as mpl; mpl.rcParams['backend'] = 'QtAgg'",
        "import os; os.environ['MPLBACKEND'] = 'Agg'",
        "import matplotlib.pyplot as plt; plt.switch_backend('agg')",
        "import matplotlib, matplotlib.pyplot; matplotlib.use('Qt5Agg')",
    ],
)
async def test_backend_that_shows_nothing_here_shows_results(engine: ExecutionEngine, choice: str) -> None:
    """Programs choose one for a machine without a display, or for their own desk: `show` is meant all the same."""
    code = f"{choice}\n{PLOT}plt.savefig('kept.png')\nplt.show()\nprint(plt.get_backend().lower())"
    result = await engine.run("python", code, dependencies=["matplotlib"])
    assert result.stderr == ""
    assert result.check().stdout.strip() in choice.lower()
    assert [shown.png is not None for shown in result.results] == [True]
    assert "kept.png" in result.generated_files


async def test_picture_of_pil(engine: ExecutionEngine) -> None:
    """``show`` would have opened a viewer."""
    code = "from PIL import Image\nImage.new('RGB', (4, 3), 'red').show()"
    (shown,) = (await engine.run("python", code, dependencies=["pillow"])).results
    assert shown.png is not None
    assert shown.png.startswith(PNG)


async def test_frames_and_other_objects(engine: ExecutionEngine) -> None:
    """By their own methods; a frame as columns, too."""
    code = DISPLAY + "import pandas as pd\ndisplay(pd.DataFrame({'a': [1, 2], 'b': ['x', None]}))"
    (shown,) = (await engine.run("python", code, dependencies=["pandas"])).results
    assert shown.html is not None
    assert "<table" in shown.html
    assert shown.table == {"a": [1, 2], "b": ["x", None]}
    assert shown.text is not None


@pytest.mark.parametrize("saved", [False, True])
async def test_plot_of_bokeh(engine: ExecutionEngine, saved: bool) -> None:
    """Is a page; the file that a program asks for is written, too."""
    code = "from bokeh.plotting import figure, output_file, show\np = figure(); p.line([1, 2], [3, 4])\n"
    code += "output_file('p.html')\n" if saved else ""
    result = (await engine.run("python", f"{code}show(p)", dependencies=["bokeh"])).check()
    (shown,) = result.results
    assert "Bokeh.safely" in (shown.html or "")
    assert result.generated_files == (("p.html",) if saved else ())


@pytest.mark.parametrize(
    "code",
    [
        "import plotly.express as px; px.line(x=[1, 2], y=[3, 4]).show()",
        "import plotly.io as pio, plotly.express as px; pio.renderers.default = 'browser'; px.line(y=[3, 4]).show()",
        "import plotly.express as px; px.line(y=[3, 4]).show(renderer='notebook')",
    ],
)
async def test_figure_of_plotly(engine: ExecutionEngine, code: str) -> None:
    """As its own JSON, and as a page."""
    result = await engine.run("python", code, dependencies=["plotly", "pandas"])
    assert (result.outcome, result.stderr) == ("ok", "")
    (shown,) = result.results
    assert "application/vnd.plotly.v1+json" in shown.data
    assert shown.html is not None


async def test_figure_of_altair(engine: ExecutionEngine) -> None:
    """As Vega-Lite's JSON, and as a page."""
    code = """
import altair, pandas
chart = altair.Chart(pandas.DataFrame({"a": [1, 2]})).mark_bar().encode(x="a")
chart.show()
chart.display()
"""
    result = await engine.run("python", code, dependencies=["altair", "pandas"])
    assert (result.outcome, result.stderr) == ("ok", "")
    assert len(result.results) == 2
    assert any(mime.startswith("application/vnd.vegalite.") for mime in result.results[0].data)
    assert result.results[0].html is not None


@pytest.mark.parametrize("strategy", ONE_SHOT)
async def test_results_keep_their_place_among_the_output(engine: ExecutionEngine, strategy: ContainerStrategy) -> None:
    """In the stream, what was printed before a result comes before it, and what was printed after it behind."""
    code = DISPLAY + "for i in range(30):\n    print(i)\n    display(HTML(f'<b>{i}</b>'))\nprint('end')"
    seen: list[str] = []
    async with engine.stream("python", code, strategy=strategy) as execution:
        async for chunk in execution:
            if isinstance(chunk, DisplayChunk):
                assert chunk.stream == "display"
                assert chunk.result.html is not None
                seen.append(chunk.result.html)
            else:
                seen.extend(chunk.text.split())
        result = await execution.result()
    assert seen == [text for i in range(30) for text in (str(i), f"<b>{i}</b>")] + ["end"]
    assert [shown.html for shown in result.results] == seen[1:-1:2]


async def test_every_kind_of_object(engine: ExecutionEngine) -> None:
    """Text, Markdown, LaTeX, JSON, SVG, scripts, pictures, and what has methods of its own."""
    code = (
        DISPLAY
        + """
import base64, struct, zlib
class Own:
    def _repr_mimebundle_(self, include=None, exclude=None): return {"text/x-own": "own"}, {"text/x-own": {"a": 1}}
class Broken:
    def _repr_html_(self): raise ValueError("no")
    def __repr__(self): return "broken"
png = base64.b64decode("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNiAAAABgADNjd8qAAAAABJRU5ErkJggg==")
display(5, "text")
display(Markdown("*m*"), Latex("$x$"), JSON({"a": [1, None]}), SVG("<svg/>"), Javascript("1"), Image(data=png))
display(Own(), Broken(), int)
"""
    )
    result = await engine.run("python", code)
    assert result.stderr == "display: ValueError: no\n"
    five, text, markdown, latex, data, svg, script, image, own, broken, kind = result.results
    assert (five.text, text.text, markdown.markdown, latex.latex) == ("5", "'text'", "*m*", "$x$")
    assert (data.json, svg.svg, script.javascript) == ({"a": [1, None]}, "<svg/>", "1")
    assert image.png is not None
    assert image.png.startswith(PNG)
    assert own.data["text/x-own"] == "own"
    assert own.metadata == {"text/x-own": {"a": 1}}
    assert (broken.text, kind.text) == ("broken", "<class 'int'>")
    assert five._repr_mimebundle_() == ({"text/plain": "5"}, {})


async def test_results_from_children_and_threads(engine: ExecutionEngine) -> None:
    """Each has a conversation of its own."""
    code = (
        DISPLAY
        + """
import os, threading
display("parent")
if os.fork() == 0:
    display("child" * 30000)
    os._exit(0)
os.wait()
threads = [threading.Thread(target=display, args=("thread" * 20000,)) for _ in range(8)]
for thread in threads: thread.start()
for thread in threads: thread.join()
"""
    )
    result = await engine.run("python", code)
    texts = [shown.text for shown in result.results]
    assert texts == ["'parent'", repr("child" * 30000), *[repr("thread" * 20000)] * 8]


async def test_display_is_bounded(engine: ExecutionEngine) -> None:
    """In count and in bytes; what goes beyond is dropped, and said."""
    many = await engine.run("python", DISPLAY + "for i in range(1100): display(i)")
    assert (len(many.results), many.results_truncated) == (1000, True)
    assert many.outcome == "ok"
    code = "for _ in range(6): display('x' * (13 << 20))\ndisplay('small')"
    large = await engine.run("python", DISPLAY + code, timeout=60)
    assert (large.outcome, large.results_truncated) == ("ok", True)
    assert len(large.results) in {4, 5}
    fits = await engine.run("python", DISPLAY + "display('x' * (20 << 20))", timeout=60)
    assert len(fits.results[0].text or "") == (20 << 20) + 2


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"d",
        b"d\0",
        b"d\0{",
        b"d\0[1]",
        b'd\0{"data": 1}',
        b'd\0{"data": {}}',
        b'd\0{"data": {"text/plain": 1}}',
        b"x\0{}",
        b"d\2{}",
        b"\xff" * 100,
        b'd\0{"data": {"image/png": "no base64!"}}',
        b'd\0{"data": {"application/json": ' + b"[" * 60000 + b"}",
    ],
)
async def test_forged_messages_are_only_the_programs_own_mistake(engine: ExecutionEngine, body: bytes) -> None:
    """They make no result, and hurt neither this run nor a good result behind them."""
    code = f"""
import socket
sock = socket.socket(socket.AF_UNIX)
sock.connect("\\0interpreter-tools")
body = {body!r}
sock.sendall(len(body).to_bytes(4, "little") + body)
from IPython.display import display
display("good")
"""
    result = await engine.run("python", code)
    assert (result.outcome, result.stderr) == ("ok", "")
    assert [shown.text for shown in result.results if shown.text] == ["'good'"]


async def test_display_after_the_socket_module_was_changed(engine: ExecutionEngine) -> None:
    """Programs forbid themselves the network that way."""
    code = DISPLAY + "import socket\nsocket.socket = None\ndisplay('still')"
    assert [shown.text for shown in (await engine.run("python", code)).results] == ["'still'"]


async def test_results_leave_as_plain_data(engine: ExecutionEngine) -> None:
    """JSON holds bytes as base64."""
    result: ExecutionResult = await engine.run("python", DISPLAY + "display(7)")
    assert result.to_dict()["results"] == [
        {"data": {"text/plain": "7"}, "metadata": {}, "is_main_result": False, "display_id": None, "update": False}
    ]


async def test_runs_that_display_nothing_have_no_results(engine: ExecutionEngine) -> None:
    """And what they print comes as before."""
    chunks: list[OutputChunk] = []
    async with engine.stream("python", "print(1)") as execution:
        chunks.extend([chunk async for chunk in execution])
        result = await execution.result()
    assert [(chunk.stream, chunk.data) for chunk in chunks] == [("stdout", b"1\n")]
    assert (result.results, result.results_truncated, result.text) == ((), False, None)
