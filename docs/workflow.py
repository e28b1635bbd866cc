"""Draws ``docs/workflow.svg`` from the itinerary: a box for each line of its table, an arrow for what comes before."""

from __future__ import annotations

from html import escape

from stackferry_coordinator.plan.itinerary import COORDINATOR, DESTINATION, HOSTS, SOURCE, WORKLOAD, Task

WIDTH, HEIGHT, ACROSS, DOWN, MARGIN = 150, 44, 190, 68, 24
COLOURS = {SOURCE: "#dbeafe", DESTINATION: "#dcfce7", HOSTS: "#fef3c7", COORDINATOR: "#f3f4f6"}
WORDS = {
    SOURCE: "exporter, at the source",
    DESTINATION: "importer, at the destination",
    HOSTS: "agents on the conversion hosts",
    COORDINATOR: "the coordinator itself",
}
Place = tuple[int, int]


def drawing() -> str:
    """Return the SVG."""
    places = _places()
    width = max(x for x, _ in places.values()) + WIDTH + MARGIN
    height = max(y for _, y in places.values()) + HEIGHT + MARGIN + 40
    arrows = [_arrow(places[before], places[task.id]) for task in WORKLOAD for before in task.after]
    boxes = [_box(task, places[task.id]) for task in WORKLOAD]
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif">',
            '<defs><marker id="tip" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
            '<path d="M0 0 L8 4 L0 8 z" fill="#9ca3af"/></marker></defs>',
            f'<rect width="{width}" height="{height}" fill="white"/>',
            *arrows,
            *boxes,
            *_legend(height),
            "</svg>\n",
        ]
    )


def _places() -> dict[str, Place]:
    """Each line's place: to the right of all that it comes after."""
    layers: dict[str, int] = {}
    for task in WORKLOAD:  # what a line comes after stands above it in the table
        layers[task.id] = max((layers[before] + 1 for before in task.after), default=0)
    rows: dict[int, int] = {}
    places = {}
    for id_, layer in layers.items():
        row = rows[layer] = rows.get(layer, -1) + 1
        places[id_] = (MARGIN + layer * ACROSS, MARGIN + row * DOWN)
    return places


def _box(task: Task, place: Place) -> str:
    x, y = place
    name = task.name or "make"
    undo = f"undo: {task.undo}" if task.undo else ("undo: remove" if task.action == "ensure" else "")
    return (
        f'<g><rect x="{x}" y="{y}" width="{WIDTH}" height="{HEIGHT}" rx="6" fill="{COLOURS[task.side]}" '
        f'stroke="#6b7280"/><text x="{x + WIDTH / 2}" y="{y + 18}" text-anchor="middle" font-size="12">'
        f"{escape(task.each.replace('_', ' '))}: {escape(name)}</text>"
        f'<text x="{x + WIDTH / 2}" y="{y + 34}" text-anchor="middle" font-size="10" fill="#6b7280">'
        f"{escape(undo)}</text></g>"
    )


def _arrow(before: Place, after: Place) -> str:
    x1, y1, x2, y2 = before[0] + WIDTH, before[1] + HEIGHT / 2, after[0], after[1] + HEIGHT / 2
    bend = (x1 + x2) / 2
    return (
        f'<path d="M{x1} {y1} C{bend} {y1} {bend} {y2} {x2} {y2}" fill="none" stroke="#9ca3af" marker-end="url(#tip)"/>'
    )


def _legend(height: float) -> list[str]:
    found = []
    for number, (side, words) in enumerate(WORDS.items()):
        x, y = MARGIN + number * 240, height - 30
        found.append(f'<rect x="{x}" y="{y}" width="14" height="14" fill="{COLOURS[side]}" stroke="#6b7280"/>')
        found.append(f'<text x="{x + 20}" y="{y + 12}" font-size="12">{words}</text>')
    return found
