# pyright: basic, reportMissingImports=false, reportAttributeAccessIssue=false, reportOptionalMemberAccess=false
"""A matplotlib figure as data: what kind of chart it is, its labels, and its points.

The kinds line, scatter, bar, pie, box_and_whisker and superchart have the fields that E2B's clients know from its
``Chart`` classes; histogram, heatmap and area are ours. What fits none of them is ``unknown``, with title and labels.
"""

import re

from interpreter_tools_display.bundle import plain

_UNIT = re.compile(r"\s\((.*?)\)|\[(.*?)\]")
_MEAN = "^"  # the marker that matplotlib takes for means
_MOST_POINTS = 100_000  # of all elements of a chart; beyond, the picture has to do


def chart_of(figure):
    """Return the chart as a dictionary that JSON can hold; None for a figure without data, or with too much."""
    axes = [each for each in figure.get_axes() if each.get_label() != "<colorbar>" and each.has_data()]
    if not axes:
        return None
    charts = [_chart(each) for each in axes]
    if sum(map(_size, charts)) > _MOST_POINTS:
        return None
    if len(charts) == 1:
        return charts[0]
    title = figure._suptitle.get_text() if figure._suptitle is not None else ""
    return {"type": "superchart", "title": title or None, "elements": charts}


def _size(chart):
    def count(value):
        if isinstance(value, dict):
            return sum(map(count, value.values()))
        return sum(map(count, value)) if isinstance(value, (list, tuple)) else 1

    return count(chart["elements"])


def _chart(ax):
    from matplotlib.collections import PathCollection, PolyCollection, QuadMesh
    from matplotlib.container import BarContainer
    from matplotlib.image import AxesImage
    from matplotlib.lines import Line2D
    from matplotlib.patches import PathPatch, Wedge

    lines = [line for line in ax.get_lines() if isinstance(line, Line2D) and not _spans_axes(line)]
    collections = list(ax.collections)
    points = [each for each in collections if isinstance(each, PathCollection)]
    areas = [each for each in collections if isinstance(each, PolyCollection) and not isinstance(each, QuadMesh)]
    meshes = [each for each in collections if isinstance(each, QuadMesh)]
    images = [each for each in ax.get_images() if isinstance(each, AxesImage)]
    bars = [each for each in ax.containers if isinstance(each, BarContainer) and len(each)]
    wedges = [each for each in ax.patches if isinstance(each, Wedge)]
    boxes = _boxes(ax, [each for each in ax.patches if isinstance(each, PathPatch)], lines)
    if meshes or images:
        return _heatmap(ax, (meshes or images)[0])
    if wedges and not bars:
        return _pie(ax, wedges)
    if boxes and not bars and not points:
        return _box_and_whisker(ax, boxes, lines)
    if bars and not points:
        histogram = all(map(_is_histogram, bars))
        return _histogram(ax, bars) if histogram else _bar(ax, bars)
    if points and not areas:
        return _points(ax, "scatter", [(each.get_label(), each.get_offsets()) for each in points])
    if areas and not points:
        return _area(ax, areas)
    if lines:
        return _points(ax, "line", [(line.get_label(), _data_of(line)) for line in lines])
    return {**_labels(ax), "type": "unknown", "elements": []}


def _data_of(line):
    return list(zip(line.get_xdata(), line.get_ydata()))


def _spans_axes(line):
    """Tell whether a line is part of the frame: a grid line, or one from edge to edge such as axhline's."""
    transform = line.axes.transData if line.axes is not None else None
    return (
        transform is not None
        and line.get_transform() is not None
        and not line.get_transform().contains_branch(transform)
    )


def _text(value):
    return value or None


def _unit(label):
    found = _UNIT.search(label or "")
    return (found.group(1) or found.group(2)) if found else None


def _labels(ax, swapped=False):
    x, y = _text(ax.get_xlabel()), _text(ax.get_ylabel())
    if swapped:
        x, y = y, x
    return {"title": _text(ax.get_title()), "x_label": x, "y_label": y, "x_unit": _unit(x), "y_unit": _unit(y)}


def _scale(axis, scale, ticks, labels):
    if _is_date(axis):
        return "datetime"
    if scale != "linear":
        return scale
    named = all(tick == index and label != str(index) for index, (tick, label) in enumerate(zip(ticks, labels)))
    return "categorical" if named and labels else "linear"


def _is_date(axis):
    converter = axis.get_converter() if hasattr(axis, "get_converter") else axis.converter
    return type(converter).__module__ in ("matplotlib.dates", "pandas.plotting._matplotlib.converter")


def _axis(axis, scale):
    labels = [label.get_text() for label in axis.get_ticklabels()]
    ticks = list(axis.get_ticklocs())
    scale = _scale(axis, scale, ticks, labels)
    if scale == "datetime":
        from matplotlib.dates import num2date

        try:
            ticks = [num2date(tick) for tick in ticks]
        except (OverflowError, ValueError):
            ticks = []
    return [plain(tick) for tick in ticks], labels, scale


def _planar(ax):
    x_ticks, x_labels, x_scale = _axis(ax.xaxis, ax.get_xscale())
    y_ticks, y_labels, y_scale = _axis(ax.yaxis, ax.get_yscale())
    return {
        **_labels(ax),
        "x_ticks": x_ticks,
        "x_tick_labels": x_labels,
        "x_scale": x_scale,
        "y_ticks": y_ticks,
        "y_tick_labels": y_labels,
        "y_scale": y_scale,
    }


def _name(label, index, kind):
    label = str(label)
    return "%s %d" % (kind, index) if not label or label.startswith("_") else label


def _points(ax, kind, series):
    elements = []
    for index, (label, pairs) in enumerate(series):
        name = _name(label, index, "Line" if kind == "line" else "Scatter")
        elements.append({"label": name, "points": [[_coordinate(x), _coordinate(y)] for x, y in pairs]})
    return {**_planar(ax), "type": kind, "elements": elements}


def _coordinate(value):
    name = type(value).__name__
    if name == "datetime64":
        return str(value.astype("datetime64[s]"))
    if name.endswith("_") or (name.startswith(("int", "uint", "float")) and hasattr(value, "item")):
        value = value.item()
    if getattr(value, "mask", False) is True or name == "MaskedConstant":
        return None
    return plain(value)


def _bar(ax, bars):
    flat = any(getattr(each, "orientation", None) == "horizontal" for each in bars)
    axis = ax.yaxis if flat else ax.xaxis
    by_tick = dict(zip(axis.get_ticklocs(), (label.get_text() for label in axis.get_ticklabels())))
    elements = []
    for index, container in enumerate(bars):
        group = _name(container.get_label(), index, "Group")
        for rect in container:
            start, extent = (rect.get_y(), rect.get_height()) if flat else (rect.get_x(), rect.get_width())
            middle = start + extent / 2
            label = _nearest(by_tick, middle, abs(extent))
            value = rect.get_width() if flat else rect.get_height()
            elements.append({"label": label, "group": group, "value": _coordinate(value)})
    return {**_labels(ax, swapped=flat), "type": "bar", "elements": elements}


def _nearest(by_tick, place, width):
    """Return the label of the tick that a bar stands at, also where bars of several groups stand beside each other."""
    named = [tick for tick in by_tick if by_tick[tick]]
    if named:
        tick = min(named, key=lambda each: abs(each - place))
        if abs(tick - place) <= max(width * 2, 0.5):
            return by_tick[tick]
    return str(_rounded(place))


def _rounded(value):
    number = round(float(value), 6)
    return int(number) if number == int(number) else number


def _edges(container):
    flat = getattr(container, "orientation", None) == "horizontal"
    return [
        (each.get_y(), each.get_y() + each.get_height(), each.get_width())
        if flat
        else (each.get_x(), each.get_x() + each.get_width(), each.get_height())
        for each in container
    ]


def _is_histogram(container):
    """Tell whether the bars touch, as those of ``hist`` do: there are as many edges as bars and one."""
    edges = _edges(container)
    if len(edges) < 2:
        return False
    return all(abs(edges[i][1] - edges[i + 1][0]) <= 1e-9 * max(1.0, abs(edges[i][1])) for i in range(len(edges) - 1))


def _histogram(ax, bars):
    elements = []
    for index, container in enumerate(bars):
        bins = [
            {"start": plain(float(a)), "end": plain(float(b)), "count": plain(float(c))}
            for a, b, c in _edges(container)
        ]
        elements.append({"label": _name(container.get_label(), index, "Group"), "bins": bins})
    flat = any(getattr(each, "orientation", None) == "horizontal" for each in bars)
    return {**_labels(ax, swapped=flat), "type": "histogram", "elements": elements}


def _pie(ax, wedges):
    elements = [
        {
            "label": wedge.get_label(),
            "angle": round(abs(float(wedge.theta2) - float(wedge.theta1)), 4),
            "radius": float(wedge.r),
        }
        for wedge in wedges
    ]
    return {"type": "pie", "title": _text(ax.get_title()), "elements": elements}


def _boxes(ax, patches, lines):
    """Return the boxes of a box plot as points: patches, or closed lines of five points, or of eleven with a notch.

    matplotlib draws one from the first quartile on, across: corners 0 and 1 are there, and the opposite ones behind.
    """
    outlines = [[tuple(map(float, pair)) for pair in patch.get_path().vertices] for patch in patches]
    for line in lines:
        pairs = _data_of(line)
        if len(pairs) not in (5, 11) or tuple(pairs[0]) != tuple(pairs[-1]):
            continue
        if len(pairs) == 11 or len({x for x, _ in pairs}) == len({y for _, y in pairs}) == 2:
            outlines.append([(float(x), float(y)) for x, y in pairs])
    found = []
    for outline in outlines:
        notched = len(outline) in (11, 12)
        opposite, waist = (5, 3) if notched else (2, None)
        if len(outline) not in (5, 6, 11, 12) or (notched and not _is_notched(outline)):
            continue
        flat = outline[0][0] == outline[1][0] and outline[0][1] != outline[1][1]
        place, value = (1, 0) if flat else (0, 1)
        across = sorted((outline[0][place], outline[1][place]))
        along = sorted((outline[0][value], outline[opposite][value]))
        found.append((flat, across, along, None if waist is None else outline[waist][value]))
    return found


def _is_notched(outline):
    """Tell whether eleven points are a box that narrows at its median: the other closed lines of eleven are not."""
    return any(
        outline[0][value] == outline[1][value]
        and outline[5][value] == outline[6][value]
        and outline[3][value] == outline[8][value]
        and outline[2][value] == outline[9][value]
        and outline[4][value] == outline[7][value]
        for value in (0, 1)
    )


def _box_and_whisker(ax, boxes, lines):
    flat = all(each[0] for each in boxes)
    axis = ax.yaxis if flat else ax.xaxis
    by_tick = dict(zip(axis.get_ticklocs(), (label.get_text() for label in axis.get_ticklabels())))
    elements = []
    for _, across, along, waist in boxes:
        element = {
            "min": along[0],
            "first_quartile": along[0],
            "median": waist,
            "third_quartile": along[1],
            "max": along[1],
        }
        inside = []  # of the lines that belong to this box
        for line in lines:
            xs, ys = [float(x) for x in line.get_xdata()], [float(y) for y in line.get_ydata()]
            places, values = (ys, xs) if flat else (xs, ys)
            if values and all(across[0] <= place <= across[1] for place in places):
                is_marker = line.get_linestyle() in ("None", "", " ")
                inside.append((places, values, str(line.get_marker()) if is_marker else ""))
        _take_whiskers(element, inside)
        _take_crossing(element, [each for each in inside if sorted(each[0]) == across])
        outliers = _take_markers(element, inside)
        label = _nearest(by_tick, (across[0] + across[1]) / 2, across[1] - across[0])
        elements.append({"label": label, **element, "outliers": outliers})
    return {**_labels(ax, swapped=flat), "type": "box_and_whisker", "elements": elements}


def _take_whiskers(element, lines):
    for places, values, marker in lines:
        if not marker and len(values) == 2 and places[0] == places[1]:
            element["min"] = min(element["min"], *values)
            element["max"] = max(element["max"], *values)


def _take_crossing(element, lines):
    """Take the median, and the mean where it is a line, too: both are as wide as the box. A notch tells its median."""
    values = [values[0] for _, values, _ in lines if values[0] == values[1]]
    crossing = [each for each in values if each not in (element["min"], element["max"])] or values[-1:]
    if element["median"] is None and crossing:
        element["median"] = crossing.pop(0)
    if len(crossing) == 1:
        element["mean"] = crossing[0]


def _take_markers(element, lines):
    """Return the values that lie outside, and take the mean where it is a marker: alone, and drawn before them."""
    drawn = [(values, marker) for _, values, marker in lines if marker]
    if drawn and len(drawn[0][0]) == 1:
        (value,), marker = drawn[0]
        if len(drawn) == 2 or element["min"] <= value <= element["max"] or marker == _MEAN:
            element["mean"] = value
            drawn = drawn[1:]
    return [value for values, _ in drawn for value in values]


def _heatmap(ax, artist):
    values = artist.get_array()
    if values is None or getattr(values, "ndim", 2) > 2:  # a photograph
        return {**_labels(ax), "type": "unknown", "elements": []}
    if values.ndim == 1:  # older versions keep the cells of a mesh in one row
        values = values.reshape(artist._meshHeight, artist._meshWidth)
    rows = [[_coordinate(cell) for cell in row] for row in values]
    columns = len(rows[0]) if rows else 0
    chart = {**_labels(ax), "type": "heatmap"}
    chart["x_labels"] = _cell_labels(ax.xaxis, columns)
    chart["y_labels"] = _cell_labels(ax.yaxis, len(rows))
    chart["elements"] = rows
    return chart


def _cell_labels(axis, count):
    labels = [label.get_text() for label in axis.get_ticklabels()]
    return labels if len(labels) == count else [str(index) for index in range(count)]


def _area(ax, areas):
    elements = []
    for index, area in enumerate(areas):
        points = {}
        for path in area.get_paths():
            for x, y in path.vertices:
                low, high = points.get(float(x), (float(y), float(y)))
                points[float(x)] = (min(low, float(y)), max(high, float(y)))
        ordered = [[plain(x), plain(low), plain(high)] for x, (low, high) in sorted(points.items())]
        elements.append({"label": _name(area.get_label(), index, "Area"), "points": ordered})
    return {**_planar(ax), "type": "area", "elements": elements}
