"""Chart: the map's tables, books, sections -> pictures and a page.

in    texts, codes and clusters, what judges say of them, titles and headings
does  draws
out   the map, clusters against labels, a line for each book; a page to explore it all
"""

from collections.abc import Mapping
from hashlib import sha256

from data.settings import Settings
from data.text_schemas import (
    BOOK_LINES_PICTURE_FILE,
    CONFUSION_PICTURE_FILE,
    MAP_PAGE_FILE,
    MAP_PICTURE_FILE,
)
from tasks.seams.drawing_clusters import draw_book_lines_png, draw_confusion_png
from tasks.seams.drawing_map import draw_map_png
from tasks.seams.drawing_map_page import PAGE_FILES, draw_map_html
from tasks.seams.map_tables import MAP_TABLES, read_map_points
from tasks.seams.run_context import RunContext
from tasks.seams.step_cache import StepRun, step


class ChartSettings(Settings):
    """Nothing to choose: the page has its own buttons."""


def page_digests(_: ChartSettings, __: RunContext) -> Mapping[str, str]:
    """What the page's files hold: they count in the step's key, as code does."""
    return {path.name: sha256(path.read_bytes()).hexdigest() for path in PAGE_FILES}


@step(
    reads=MAP_TABLES,
    writes=(),
    libraries=("matplotlib", "plotly", "scipy", "numpy"),
    outside=page_digests,
)
def chart(run: StepRun, settings: ChartSettings) -> None:
    """Draw the pictures and the page."""
    points = read_map_points(run.read)
    run.write_picture(MAP_PICTURE_FILE, draw_map_png(points))
    if points.labels is not None:
        run.write_picture(CONFUSION_PICTURE_FILE, draw_confusion_png(points))
    run.write_picture(BOOK_LINES_PICTURE_FILE, draw_book_lines_png(points))
    run.write_picture(MAP_PAGE_FILE, draw_map_html(points).encode())
