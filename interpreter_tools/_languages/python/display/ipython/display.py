# pyright: basic, reportMissingImports=false, reportAttributeAccessIssue=false, reportOptionalMemberAccess=false
"""The part of ``IPython.display`` that programs written for notebooks use most."""

import base64
import json
import mimetypes

from interpreter_tools_display import display, publish

__all__ = [
    "HTML",
    "JSON",
    "SVG",
    "Code",
    "DisplayHandle",
    "Image",
    "Javascript",
    "Latex",
    "Markdown",
    "Math",
    "Pretty",
    "clear_output",
    "display",
    "display_html",
    "display_markdown",
    "display_png",
    "publish_display_data",
    "update_display",
]


class DisplayObject:
    """Text, or the content of a file, of one MIME type."""

    mime = "text/plain"

    def __init__(self, data=None, url=None, filename=None, metadata=None, **_ignored):
        self.metadata = metadata or {}
        self.url = url
        if data is None and filename is not None:
            with open(filename, encoding="utf-8") as file:
                data = file.read()
        self.data = data

    def _repr_mimebundle_(self, include=None, exclude=None):
        return {self.mime: self.data, "text/plain": repr(self)}, self.metadata

    def __repr__(self):
        return "<IPython.core.display.%s object>" % type(self).__name__


class HTML(DisplayObject):
    """HTML."""

    mime = "text/html"


class Markdown(DisplayObject):
    """Markdown."""

    mime = "text/markdown"


class Latex(DisplayObject):
    """LaTeX."""

    mime = "text/latex"


class Math(Latex):
    """LaTeX, as a formula of its own."""

    def _repr_mimebundle_(self, include=None, exclude=None):
        return {self.mime: r"$\displaystyle %s$" % str(self.data).strip("$"), "text/plain": repr(self)}, self.metadata


class SVG(DisplayObject):
    """A drawing as SVG."""

    mime = "image/svg+xml"


class Javascript(DisplayObject):
    """A script for a browser."""

    mime = "application/javascript"


class Pretty(DisplayObject):
    """Plain text."""

    def _repr_mimebundle_(self, include=None, exclude=None):
        return {"text/plain": self.data}, self.metadata


class Code(Pretty):
    """Source code, as text."""


class JSON(DisplayObject):
    """Data that JSON can hold."""

    mime = "application/json"

    def _repr_mimebundle_(self, include=None, exclude=None):
        data = json.loads(self.data) if isinstance(self.data, (str, bytes)) else self.data
        return {self.mime: data, "text/plain": repr(self)}, self.metadata


class Image(DisplayObject):
    """A picture: bytes, or a file."""

    def __init__(
        self, data=None, url=None, filename=None, format=None, embed=None, width=None, height=None, **_ignored
    ):
        if isinstance(data, str):
            data, filename = None, data
        if data is None and filename is not None:
            with open(filename, "rb") as file:
                data = file.read()
        kind = (format or "").lower().replace("jpg", "jpeg")
        guessed = mimetypes.guess_type(filename)[0] if filename else None
        self.mime = "image/" + kind if kind else guessed or _kind_of(data or b"")
        size = {name: value for name, value in (("width", width), ("height", height)) if value}
        self.metadata = {self.mime: size} if size else {}
        self.data, self.url = data, url

    def _repr_mimebundle_(self, include=None, exclude=None):
        if self.data is None:
            return {"text/html": '<img src="%s"/>' % self.url, "text/plain": repr(self)}, self.metadata
        return {self.mime: base64.b64encode(self.data).decode("ascii"), "text/plain": repr(self)}, self.metadata


def _kind_of(data):
    for start, mime in (
        (b"\x89PNG", "image/png"),
        (b"\xff\xd8", "image/jpeg"),
        (b"GIF8", "image/gif"),
        (b"RIFF", "image/webp"),
    ):
        if data.startswith(start):
            return mime
    return "image/png"


class DisplayHandle:
    """A displayed result that can be replaced."""

    def __init__(self, display_id):
        self.display_id = display_id

    def display(self, value, **options):
        """Show it once more."""
        display(value, display_id=self.display_id, **options)

    def update(self, value, **options):
        """Show something else in its place."""
        update_display(value, display_id=self.display_id, **options)


def update_display(value, *, display_id, **options):
    """Show a value in the place of an earlier one."""
    from interpreter_tools_display.bundle import bundle_of

    data, metadata = bundle_of(value)
    publish(data, metadata, display_id=display_id, update=True)


def publish_display_data(data, metadata=None, **_ignored):
    """Show representations by MIME type."""
    publish(data, metadata)


def clear_output(wait=False):
    """Do nothing: what the caller has been sent is not taken back."""


def display_html(*values, **options):
    """Show values as HTML."""
    display(*values, include={"text/html", "text/plain"})


def display_markdown(*values, **options):
    """Show values as Markdown."""
    display(*values, include={"text/markdown", "text/plain"})


def display_png(*values, **options):
    """Show values as pictures."""
    display(*values, include={"image/png", "text/plain"})
