"""The pages of `ui` as HTML: no script, nothing from elsewhere, and no meaning in a colour alone.

Every text comes from a cluster in which others write, so each is escaped where it becomes HTML, and the pages' policy lets
nothing run even so.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from html import escape
from urllib.parse import quote

from deepseek_operator.cli.shown.curve import Curve, Point, summary, thinned
from deepseek_operator.cli.shown.story import Story, age
from deepseek_operator.cli.shown.tree import MARKS, Child

STYLE = """
:root { color-scheme: light dark; --ink: #1a1a1a; --paper: #ffffff; --soft: #595959; --rule: #767676; --mark: #a3000b; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #f0f0f0; --paper: #16181c; --soft: #b8b8b8; --rule: #8c8c8c; --mark: #ff9a9f; }
}
body { margin: 0 auto; max-width: 72rem; padding: 1rem; background: var(--paper); color: var(--ink);
  font: 1rem/1.5 system-ui, sans-serif; }
a { color: inherit; } a:focus-visible { outline: 3px solid var(--ink); outline-offset: 2px; }
.skip { position: absolute; left: -100rem; } .skip:focus { left: 1rem; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; } th, td { text-align: left; padding: .3rem .8rem .3rem 0; border-bottom: 1px solid var(--rule); }
td.number { text-align: right; font-variant-numeric: tabular-nums; }
ul.tree { list-style: none; padding-left: 1.2rem; } pre { overflow-x: auto; } .soft { color: var(--soft); }
svg { max-width: 100%; height: auto; } @media print { .wide { overflow: visible; } }
svg text { fill: var(--ink); font: 12px system-ui, sans-serif; } svg line, svg path { stroke: var(--ink); fill: none; }
svg .mark { stroke: var(--mark); stroke-dasharray: 5 4; } svg text.mark { stroke: none; fill: var(--mark); }
"""
"""Both pairs of ink and paper have a contrast of more than 7 to 1, soft and mark of more than 5."""
_REFRESH_S = 10


def page(title: str, body: str, *, refresh: bool = True) -> str:
    """A whole document; with `refresh` the browser asks for it again every ten seconds."""
    again = f'<meta http-equiv="refresh" content="{_REFRESH_S}">' if refresh else ""
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>{again}'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<link rel="icon" href="data:,"><link rel="stylesheet" href="/style.css"></head><body>'
        f'<a class="skip" href="#main">Skip to the content</a><main id="main"><h1>{escape(title)}</h1>{body}</main>'
        f'<footer class="soft"><p>Read only, by your kubeconfig. Asked again every {_REFRESH_S} s.</p></footer></body></html>'
    )


def message(title: str, words: str) -> str:
    """A page that says what went wrong."""
    return page(title, f'<p>{escape(words)}</p><p><a href="/">All trainings and servings</a></p>', refresh=False)


def overview(rows: Sequence[Mapping[str, str]], where: str) -> str:
    """The list of all objects, each a link."""
    if not rows:
        return page(f"Trainings and servings in {where}", "<p>Nothing is there.</p>")
    cells = [{**row, "NAME": _link(row["NAMESPACE"], row["NAME"])} for row in rows]
    return page(f"Trainings and servings in {where}", _table("All objects", cells, {"NAME"}))


def _link(namespace: str, name: str) -> str:
    return f'<a href="/{quote(namespace)}/{quote(name)}">{escape(name)}</a>'


def object_page(told: Story, now: datetime, learnt: Curve | None, revisions: Sequence[Mapping[str, str]]) -> str:
    """One object: where it stands, its loss or its revisions, conditions, children, warnings, and what to do next."""
    return page(f"{told.name} in {told.namespace}", "".join(_sections(told, now, learnt, revisions)))


def _sections(
    told: Story, now: datetime, learnt: Curve | None, revisions: Sequence[Mapping[str, str]]
) -> Iterator[str]:
    yield '<nav aria-label="Pages"><p><a href="/">All trainings and servings</a></p></nav>'
    yield f"<h2>Where it stands</h2><pre>{escape(told.picture)}</pre>"
    yield f"<h2>What to do next</h2><ul>{''.join(f'<li>{escape(one)}</li>' for one in told.next)}</ul>"
    if learnt is not None:
        yield f"<h2>Loss</h2>{_figure(learnt)}"
    if revisions:
        yield f"<h2>Revisions</h2>{_table('Revisions and their parts of the requests', revisions)}"
    rows = [
        {
            "TYPE": one.type,
            "STATUS": one.status,
            "REASON": one.reason,
            "SINCE": age(one.since, now),
            "MESSAGE": one.message,
        }
        for one in told.conditions
    ]
    yield f"<h2>Conditions</h2>{_table('Conditions', rows) if rows else '<p>None yet.</p>'}"
    yield f"<h2>Children</h2>{_tree(told.children) or '<p>None.</p>'}"
    if told.warnings:
        warned = [
            {
                "ABOUT": one.about,
                "REASON": one.reason,
                "AGE": age(one.at, now),
                "TIMES": str(one.count),
                "MESSAGE": one.message,
            }
            for one in told.warnings
        ]
        yield f"<h2>Warnings</h2>{_table('Warnings', warned)}"
    if told.unread:
        yield f"<h2>Not read</h2><ul>{''.join(f'<li>{escape(one)}</li>' for one in told.unread)}</ul>"


def _table(caption: str, rows: Sequence[Mapping[str, str]], ready: Iterable[str] = ()) -> str:
    """`ready`: columns whose cells are HTML already."""
    heads = "".join(f'<th scope="col">{escape(head.capitalize())}</th>' for head in rows[0])
    made = set(ready)
    lines = (
        "".join(f"<td>{cell if head in made else escape(cell)}</td>" for head, cell in row.items()) for row in rows
    )
    body = "".join(f"<tr>{line}</tr>" for line in lines)
    return (
        f'<div class="wide" role="region" aria-label="{escape(caption)}" tabindex="0">'
        f"<table><thead><tr>{heads}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def _tree(children: Sequence[Child]) -> str:
    if not children:
        return ""
    items = (
        f"<li>{MARKS[one.state.health]} {escape(one.kind)}/{escape(one.name)} "
        f'<span class="soft">{escape(one.state.words)}</span>{_tree(one.children)}</li>'
        for one in children
    )
    return f'<ul class="tree">{"".join(items)}</ul>'


_WIDTH, _HEIGHT, _LEFT, _BOTTOM, _TOP = 900, 320, 60, 30, 20


def _figure(told: Curve) -> str:
    """The losses as a drawing, with the same in words below for whoever does not see it."""
    points = [point for one in told.attempts for point in one.points]
    words = "".join(f"<li>{escape(line)}</li>" for line in summary(told))
    if not points:
        return f"<ul>{words}</ul>"
    first, last = min(p.step for p in points), max(p.step for p in points)
    low, high = min(p.loss for p in points), max(p.loss for p in points)

    def x(step: int) -> float:
        return _LEFT + (_WIDTH - _LEFT - 10) * (step - first) / max(1, last - first)

    def y(loss: float) -> float:
        return _TOP + (_HEIGHT - _TOP - _BOTTOM) * (1 - (loss - low) / ((high - low) or 1.0))

    def line(found: Sequence[Point]) -> str:
        path = " L".join(f"{x(p.step):.1f} {y(p.loss):.1f}" for p in thinned(found, _WIDTH))
        if len(found) == 1:
            return f'<circle cx="{x(found[0].step):.1f}" cy="{y(found[0].loss):.1f}" r="4"/>'
        return f'<path d="M{path}" stroke-width="1.5"/>'

    base = _HEIGHT - _BOTTOM
    parts = [
        f'<line x1="{_LEFT}" y1="{_TOP}" x2="{_LEFT}" y2="{base}"/><line x1="{_LEFT}" y1="{base}" x2="{_WIDTH}" y2="{base}"/>',
        f'<text x="{_LEFT - 6}" y="{_TOP + 4}" text-anchor="end">{high:.4g}</text>',
        f'<text x="{_LEFT - 6}" y="{base}" text-anchor="end">{low:.4g}</text>',
        f'<text x="{_LEFT}" y="{_HEIGHT - 8}">step {first}</text>',
        f'<text x="{_WIDTH - 10}" y="{_HEIGHT - 8}" text-anchor="end">step {last}</text>',
        *(line(one.points) for one in told.attempts if one.points),
    ]
    for index, (step, why) in enumerate(told.restarts):
        at, height = x(step), _TOP + 14 * (index % 4) + 10
        parts.append(f'<line class="mark" x1="{at:.1f}" y1="{_TOP}" x2="{at:.1f}" y2="{base}"/>')
        parts.append(f'<text class="mark" x="{at + 4:.1f}" y="{height}">restart: {escape(why)}</text>')
    label = escape(f"{told.name}: training loss, nats per token, over steps; in words below")
    return (
        f'<div class="wide" role="region" aria-label="Loss over steps" tabindex="0"><svg role="img" aria-label="{label}" '
        f'viewBox="0 0 {_WIDTH} {_HEIGHT}" width="{_WIDTH}" height="{_HEIGHT}">{"".join(parts)}</svg></div><ul>{words}</ul>'
    )
