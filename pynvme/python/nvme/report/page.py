"""The page: everything in one file, and nothing in it that comes from elsewhere."""

import datetime
import importlib.resources
import json

from . import compare

# More curves than these nobody can tell apart; the table has all workers.
MOST_CURVES = 12


class MissingLibrary(Exception):
    """Jinja2 is not there."""


def check():
    """Say what is missing before tests run, and not afterwards."""
    try:
        import jinja2  # noqa: F401
    except ImportError as error:
        raise MissingLibrary("--nvme-report needs Jinja2: install it with pip install jinja2") from error


def render(session, comparison=None):
    """Make the page of a session, as recorder.py has it, and of what compare.py says about it."""
    import jinja2

    environment = jinja2.Environment(
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
        loader=jinja2.FunctionLoader(lambda name: _read("page", name)),
    )
    environment.filters.update(
        duration=duration, count=count, us=microseconds, rate=rate, when=when, percent=change, split=split
    )
    environment.globals.update(percentile=compare.percentile, count=count, us=microseconds)
    numbered = {test["id"]: number for number, test in enumerate(session["tests"])}
    curves = {
        number: [_curves(worker) for worker in test["workers"][:MOST_CURVES]]
        for number, test in enumerate(session["tests"])
        if test["workers"]
    }
    return environment.get_template("page.html").render(
        session=session,
        comparison=comparison,
        numbered=numbered,
        # "</script>" in a name would end the script it is in.
        curves=json.dumps(curves, separators=(",", ":")).replace("<", "\\u003c"),
        most_curves=MOST_CURVES,
        styles=[_read("uplot", "uPlot.min.css"), _read("page", "page.css")],
        scripts=[_read("uplot", "uPlot.iife.min.js"), _read("page", "page.js")],
    )


def _read(folder, name):
    path = importlib.resources.files(__package__).joinpath(folder, name)
    return path.read_text(encoding="utf-8")


def _curves(worker):
    keys = (*compare.CURVES, "before")
    return {key: worker[key] for key in keys if key in worker}


def split(nodeid):
    """The file of a test, and what it is called there."""
    file, _, name = nodeid.partition("::")
    return (file, name.replace("::", " > ")) if name else ("", nodeid)


def duration(seconds):
    """`3.2 s`, or `1 h 02 min`."""
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02} min" if hours else f"{minutes} min {seconds:02} s"


def count(number):
    """`1,234,567`."""
    return f"{number:,.0f}"


def microseconds(us):
    """A latency, in the unit that suits it."""
    if us >= 1e6:
        return f"{us / 1e6:.3g} s"
    if us >= 1e4:
        return f"{us / 1e3:.3g} ms"
    return f"{us:.3g} µs" if us < 1000 else f"{us:,.0f} µs"


def rate(bytes_per_second):
    """`1.2 GB/s`."""
    if bytes_per_second >= 1e9:
        return f"{bytes_per_second / 1e9:.2f} GB/s"
    return f"{bytes_per_second / 1e6:.1f} MB/s"


def change(ratio):
    """`+3.1 %`."""
    return "" if ratio is None else f"{(ratio - 1) * 100:+.1f} %"


def when(seconds):
    """The time of day."""
    return datetime.datetime.fromtimestamp(seconds).strftime("%H:%M:%S")
