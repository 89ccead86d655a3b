# pyright: basic, reportMissingImports=false, reportAttributeAccessIssue=false, reportOptionalMemberAccess=false
"""The representations of an object: MIME type to text, to JSON data, or to base64 of bytes, as Jupyter has them."""

import base64
import io
import math
import sys

CHART = "application/vnd.interpreter-tools.chart+json"
TABLE = "application/vnd.interpreter-tools.table+json"
_MOST_CELLS = 100_000  # of a table that is sent as data as well
_METHODS = (
    ("_repr_html_", "text/html"),
    ("_repr_markdown_", "text/markdown"),
    ("_repr_svg_", "image/svg+xml"),
    ("_repr_png_", "image/png"),
    ("_repr_jpeg_", "image/jpeg"),
    ("_repr_pdf_", "application/pdf"),
    ("_repr_latex_", "text/latex"),
    ("_repr_json_", "application/json"),
    ("_repr_javascript_", "application/javascript"),
)


def bundle_of(value, include=None, exclude=None):
    """Return the representations of an object, and what is said about them.

    A representation that fails is left out: the others still tell what there is to see.

    Args:
        value: any object.
        include: MIME types to keep; None keeps all.
        exclude: MIME types to leave out.

    Returns:
        Two dictionaries by MIME type: the data, and the metadata.
    """
    data, metadata = {}, {}
    known = next((_KNOWN[name] for name in _names(value) if name in _KNOWN), None)
    if known is not None:
        _attempt(known, value, data, metadata)
    if not data:
        if callable(_method(value, "_repr_mimebundle_")):
            _attempt(_own_bundle, value, data, metadata)
        for method, mime in _METHODS:
            if mime not in data and callable(_method(value, method)):
                _attempt(_representation(method, mime), value, data, metadata)
    if "text/plain" not in data:
        _attempt(_plain, value, data, metadata)
    kept = {
        mime: item
        for mime, item in data.items()
        if item is not None and (include is None or mime in include) and mime not in (exclude or ())
    }
    return kept, {mime: item for mime, item in metadata.items() if mime in kept or mime not in data}


def _names(value):
    for kind in type(value).__mro__:
        module = kind.__module__ if isinstance(kind.__module__, str) else ""
        yield module.partition(".")[0] + "." + kind.__name__


def _method(value, name):
    if isinstance(value, type):  # a class has the methods of its instances, which need one
        return None
    try:
        return getattr(value, name, None)
    except Exception:
        return None


def _attempt(represent, value, data, metadata):
    try:
        represent(value, data, metadata)
    except Exception as error:
        sys.stderr.write("display: %s: %s\n" % (type(error).__name__, error))


def _plain(value, data, metadata):
    data["text/plain"] = repr(value)


def _own_bundle(value, data, metadata):
    made = value._repr_mimebundle_(include=None, exclude=None)
    own, about = made if isinstance(made, tuple) else (made, {})
    for mime, item in (own or {}).items():
        data[mime] = _encoded(item)
    metadata.update(about or {})


def _representation(method, mime):
    def represent(value, data, metadata):
        made = getattr(value, method)()
        if isinstance(made, tuple):
            made, metadata[mime] = made
        if made is not None:
            data[mime] = _encoded(made)

    return represent


def _encoded(item):
    return base64.b64encode(item).decode("ascii") if isinstance(item, (bytes, bytearray)) else item


# -- objects whose own methods say too little


def _figure(figure, data, metadata):
    """Bundle a matplotlib figure: a picture as ``savefig`` makes it, and the chart as data."""
    from interpreter_tools_display.charts import chart_of

    output = io.BytesIO()
    figure.savefig(output, format="png", bbox_inches="tight")
    data["image/png"] = _encoded(output.getvalue())
    data["text/plain"] = repr(figure)
    chart = chart_of(figure)
    if chart is not None:
        data[CHART] = chart


def _image(image, data, metadata):
    """Bundle a picture of PIL, in the format that it came in where browsers show that."""
    output = io.BytesIO()
    kind = "JPEG" if image.format == "JPEG" and image.mode in ("L", "RGB") else "PNG"
    drawable = (
        image if kind == "JPEG" or image.mode in ("1", "L", "LA", "P", "RGB", "RGBA", "I;16") else image.convert("RGBA")
    )
    drawable.save(output, kind)
    data["image/" + kind.lower()] = _encoded(output.getvalue())
    data["text/plain"] = repr(image)


def _plotly(figure, data, metadata):
    """Bundle a plotly figure: its own JSON, and a page that takes the library from its usual place."""
    import json

    data["application/vnd.plotly.v1+json"] = json.loads(figure.to_json())
    data["text/html"] = figure.to_html(full_html=False, include_plotlyjs="cdn")
    data["text/plain"] = "<plotly figure with %d traces>" % len(figure.data)


def _altair(chart, data, metadata):
    """Bundle an Altair chart: Vega-Lite's own JSON, and a page."""
    spec = chart.to_dict()
    version = str(spec.get("$schema", "")).rpartition("/v")[2].partition(".")[0] or "5"
    data["application/vnd.vegalite.v%s+json" % version] = spec
    data["text/html"] = chart.to_html(fullhtml=False)
    data["text/plain"] = "<altair chart>"


def _table(frame, data, metadata):
    """Bundle a pandas frame: HTML as it makes it, and the columns as data."""
    data["text/html"] = frame.to_html(notebook=True) if len(frame) <= 60 else frame._repr_html_()
    data["text/plain"] = repr(frame)
    if frame.size <= _MOST_CELLS:
        data[TABLE] = {
            _name(label): [plain(item) for item in frame[label].tolist()] for label in _unique(frame.columns)
        }


def _unique(labels):
    return list(labels) if labels.is_unique else []


def _name(label):
    return label if isinstance(label, str) else str(label)


def plain(item):
    """Return a value as JSON can hold it: numbers, text, None; dates as ISO text, the rest as its text."""
    if item is None or isinstance(item, (bool, int, str)):
        return item
    if isinstance(item, float):
        return item if math.isfinite(item) else None
    if hasattr(item, "isoformat"):
        text = item.isoformat()
        return None if text == "NaT" else text
    if hasattr(item, "item") and not hasattr(item, "__len__"):  # a number of numpy
        made = item.item()
        return plain(made) if not hasattr(made, "item") else str(item)
    if isinstance(item, (list, tuple)):
        return [plain(each) for each in item]
    if isinstance(item, dict):
        return {_name(key): plain(value) for key, value in item.items()}
    return str(item)


_KNOWN = {
    "matplotlib.Figure": _figure,
    "PIL.Image": _image,
    "plotly.BaseFigure": _plotly,
    "altair.TopLevelMixin": _altair,
    "pandas.DataFrame": _table,
}
