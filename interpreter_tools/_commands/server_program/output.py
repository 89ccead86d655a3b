# pyright: basic
"""Writes to descriptors: all of the data, and answers as lines of JSON."""

import json
import os


def write_all(descriptor, data):
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def answer(value):
    write_all(1, json.dumps(value).encode() + b"\n")
