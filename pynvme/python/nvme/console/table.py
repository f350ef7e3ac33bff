"""A table that costs little: only the lines on the screen are made, and those of rows that stay are kept."""

from __future__ import annotations

import typing
from collections.abc import Callable, Hashable

from rich.cells import set_cell_size
from rich.segment import Segment
from rich.style import Style
from textual.binding import Binding
from textual.geometry import Region, Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip

# A row: something with a key that no other row has.
Row = typing.Any


# Long tables grow by so many lines.
STEP = 250


class Table(ScrollView, can_focus=True):
    """Rows under a headline, one of which is chosen."""

    DEFAULT_CSS = """
    Table { background: $surface; }
    Table:focus { background-tint: $foreground 3%; }
    """
    BINDINGS: typing.ClassVar = [
        Binding("up,k", "move(-1)", show=False),
        Binding("down,j", "move(1)", show=False),
        Binding("pageup", "page(-1)", show=False),
        Binding("pagedown", "page(1)", show=False),
        Binding("home", "move(-1000000)", show=False),
        Binding("end", "move(1000000)", show=False),
        Binding("enter", "choose", show=False),
    ]

    class Moved(Message):
        """Another row is under the cursor."""

        def __init__(self, table: Table, row: Row):
            super().__init__()
            self.table, self.row = table, row

        @property
        def control(self):
            """Where it happened."""
            return self.table

    class Chosen(Moved):
        """Enter or a click on a row."""

    def __init__(
        self,
        columns: tuple[tuple[str, int], ...],
        describe: Callable[[Row], tuple[tuple[str, ...], Style]],
        **options,
    ):
        """Titles and widths; a negative width is for numbers, 0 for what is left of the line. Cells and style of a
        row are asked for when it is on the screen."""
        super().__init__(**options)
        self._columns, self._describe = columns, describe
        self._rows: list[Row] = []
        # The row that is followed when others come; none as long as nobody has moved.
        self._key: Hashable = None
        self._cursor = 0
        # The style of the widget, which takes long to find out.
        self._base: Style | None = None

    @property
    def rows(self) -> list[Row]:
        """What it shows."""
        return self._rows

    @property
    def current(self) -> Row | None:
        """The row under the cursor."""
        return self._rows[self._cursor] if self._rows else None

    def show(self, rows: list[Row]) -> None:
        """Show these rows; the chosen one stays chosen, where it is."""
        offset = self._cursor - round(self.scroll_y)
        self._rows = rows
        found = next((place for place, row in enumerate(rows) if row.key == self._key), None)
        if self._key is not None and found is not None:
            self._cursor = found
            self._resize()
            self.scroll_to(y=found - offset, animate=False, force=True)
        else:
            self._cursor = min(self._cursor, max(0, len(rows) - 1)) if self._key is not None else 0
            self._resize()
        self.refresh()

    def forget(self) -> None:
        """Follow no row any more, but the top."""
        self._key, self._cursor = None, 0
        self.scroll_to(y=0, animate=False)

    def _resize(self):
        lines = len(self._rows)
        if lines > STEP:
            # Every change has the whole screen laid out anew: in a long table, some empty lines are the lesser evil.
            lines = -(-lines // STEP) * STEP
        # The first line is the headline.
        size = Size(self.size.width, lines + 1)
        if size != self.virtual_size:
            self.virtual_size = size

    def on_resize(self) -> None:
        """Columns may be wider now."""
        self._resize()

    def render_line(self, y: int) -> Strip:
        """One line of the screen."""
        width = self.size.width
        if y == 0:
            return self._strip(tuple(title for title, _ in self._columns), Style(bold=True, dim=True), width)
        place = y - 1 + round(self.scroll_y)
        if place >= len(self._rows):
            return Strip.blank(width, self._base)
        cells, style = self._describe(self._rows[place])
        if place == self._cursor and (self.has_focus or self._key is not None):
            style = style + Style(reverse=True)
        return self._strip(cells, style, width)

    def notify_style_update(self) -> None:
        """Other colours: after a change of the theme or the focus."""
        super().notify_style_update()
        self._base = None

    def _strip(self, cells: tuple[str, ...], style: Style, width: int) -> Strip:
        text = ""
        for cell, (_, size) in zip(cells, self._columns):
            size = size or max(0, width - len(text) - 1)
            text += " " + (cell.rjust(-size)[:-size] if size < 0 else set_cell_size(cell, size))
        if self._base is None:
            self._base = self.rich_style
        return Strip([Segment(set_cell_size(text, width), self._base + style)], width)

    def action_move(self, by: int) -> None:
        """Move the cursor."""
        if not self._rows:
            return
        self._cursor = max(0, min(len(self._rows) - 1, self._cursor + by))
        self._key = self._rows[self._cursor].key
        # The headline covers the first line.
        self.scroll_to_region(Region(0, self._cursor, 1, 2), animate=False, force=True)
        self.refresh()
        self.post_message(self.Moved(self, self._rows[self._cursor]))

    def action_page(self, by: int) -> None:
        """Move the cursor by what is on the screen."""
        self.action_move(by * max(1, self.size.height - 2))

    def action_choose(self) -> None:
        """Say which row is meant."""
        if self.current is not None:
            self._key = self.current.key
            self.refresh()
            self.post_message(self.Chosen(self, self.current))

    def on_click(self, event) -> None:
        """Put the cursor where the click was."""
        place = event.y - 1 + round(self.scroll_y)
        if event.y > 0 and place < len(self._rows):
            self._cursor = place
            self.action_move(0)
            self.action_choose()
