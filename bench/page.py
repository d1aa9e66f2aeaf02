"""The page of a survey (bench/run --page): one HTML file that needs nothing from elsewhere.

A section for each size of message, in it a panel for each cell, in it a bar for each server: the
median of the rounds, and a line from the best round to the worst. Which figure the bars show is
chosen at the top. Below, everything once more as a table.
"""

import html

FIGURES = (  # key, name, what is better, how it is written
    ("cpu_ns", "Server CPU, ns per message", "lower", lambda value: f"{value:,.0f}"),
    ("rate", "Messages per second", "higher", lambda value: f"{value:,.0f}"),
    ("p50_us", "Latency p50, µs", "lower", lambda value: f"{value:,.0f}"),
    ("p99_us", "Latency p99, µs", "lower", lambda value: f"{value:,.0f}"),
    ("p999_us", "Latency p99.9, µs", "lower", lambda value: f"{value:,.0f}"),
    ("switches", "Voluntary switches per message", "lower", lambda value: f"{value:.3f}"),
    ("load_busy", "How busy the client was", "", lambda value: f"{value:.0%}"),
)

WIDTH, NAME, ROW, BAR = 420, 104, 20, 12  # of a panel, in pixels
VALUE = 74  # room behind the longest bar for its figure

STYLE = """
:root { color-scheme: light dark; --ink: #1c2430; --dim: #667080; --line: #d6dbe2; --paper: #fff;
  --panel: #f6f8fa; --ours: #0b6bcb; --theirs: #a9b4c2; --span: #3c4654; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6eaf0; --dim: #98a3b3; --line: #323a46;
  --paper: #12161c; --panel: #1a2029; --ours: #4da3ff; --theirs: #566273; --span: #c3ccd8; } }
body { margin: 0 auto; max-width: 1360px; padding: 24px; background: var(--paper);
  color: var(--ink); font: 15px/1.45 system-ui, sans-serif; }
h1 { font-size: 24px; margin: 0 0 4px; } h2 { font-size: 18px; margin: 28px 0 8px; }
p { margin: 4px 0; color: var(--dim); max-width: 75ch; }
.choice { position: sticky; top: 0; background: var(--paper); padding: 10px 0; z-index: 1;
  display: flex; flex-wrap: wrap; gap: 6px; border-bottom: 1px solid var(--line); }
.choice label { padding: 4px 10px; border: 1px solid var(--line); border-radius: 6px;
  cursor: pointer; }
input.figure { position: absolute; opacity: 0; }
.panels { display: grid; grid-template-columns: repeat(auto-fill, minmax(400px, 1fr)); gap: 12px; }
.panel { background: var(--panel); border: 1px solid var(--line); border-radius: 8px;
  padding: 10px 12px; overflow-x: auto; }
.panel h3 { font-size: 14px; margin: 0 0 6px; font-weight: 600; }
svg { display: block; } svg text { font: 12px system-ui, sans-serif; fill: var(--ink); }
svg .peer { fill: var(--theirs); } svg .ours { fill: var(--ours); }
svg .name { text-anchor: end; } svg .span { stroke: var(--span); stroke-width: 1.5; }
.drawn { display: none; }
table { border-collapse: collapse; font-size: 13px; font-variant-numeric: tabular-nums; }
th, td { padding: 3px 8px; border-bottom: 1px solid var(--line); text-align: right; }
th:nth-child(-n+2), td:nth-child(-n+2) { text-align: left; } .scroll { overflow-x: auto; }
tr.ours td { color: var(--ours); }
"""


SHOWN = {"epoll": "raw epoll", "uring": "raw io_uring"}


def shown(server):
    return html.escape(SHOWN.get(server, server))


def is_ours(server):
    return server.startswith("berthd")


def title(cell):
    connections = f"{cell['connections']:,} connection" + ("s" if cell["connections"] > 1 else "")
    return f"{connections}, pipeline {cell['pipeline']}"


def bars(cell, key, write):
    """The SVG of one figure of one cell."""
    medians = cell["medians"]
    ends = {server: [runs[server][key] for runs in cell["rounds"]] for server in medians}
    most = max(max(values) for values in ends.values()) or 1
    room = WIDTH - NAME - VALUE
    rows = []
    for row, (server, figures) in enumerate(medians.items()):
        at = row * ROW + ROW // 2
        long = room * figures[key] / most
        low, high = (NAME + room * end / most for end in (min(ends[server]), max(ends[server])))
        rows.append(
            f'<text class="name" x="{NAME - 6}" y="{at + 4}">{shown(server)}</text>'
            f'<rect class="{"ours" if is_ours(server) else "peer"}" x="{NAME}" y="{at - BAR / 2}" '
            f'width="{max(long, 1):.1f}" height="{BAR}" rx="2"/>'
            f'<line class="span" x1="{low:.1f}" x2="{high:.1f}" y1="{at}" y2="{at}"/>'
            f'<text x="{max(NAME + long, high) + 6:.1f}" y="{at + 4}">{write(figures[key])}</text>'
        )
    height = ROW * len(medians)
    return (f'<svg width="{WIDTH}" height="{height}" viewBox="0 0 {WIDTH} {height}" role="img">'
            + "".join(rows) + "</svg>")


def panel(cell):
    drawings = "".join(
        f'<div class="drawn of-{key}">{bars(cell, key, write)}</div>'
        for key, _, _, write in FIGURES
    )
    return f'<div class="panel"><h3>{title(cell)}</h3>{drawings}</div>'


def sections(cells):
    parts = []
    for size in sorted({cell["size"] for cell in cells}):
        panels = "".join(panel(cell) for cell in cells if cell["size"] == size)
        parts.append(f'<h2>Messages of {size:,} bytes</h2><div class="panels">{panels}</div>')
    return "".join(parts)


def table(cells):
    head = "".join(f"<th>{html.escape(name)}</th>" for _, name, _, _ in FIGURES)
    rows = []
    for cell in cells:
        for server, figures in cell["medians"].items():
            values = "".join(f"<td>{write(figures[key])}</td>" for key, _, _, write in FIGURES)
            ours = ' class="ours"' if is_ours(server) else ""
            rows.append(f"<tr{ours}><td>{cell['cell']}</td><td>{shown(server)}</td>{values}"
                        "</tr>")
    return ("<h2>All figures, medians</h2><p>A cell is connections x bytes x pipeline.</p>"
            f'<div class="scroll"><table><tr><th>Cell</th><th>Server</th>{head}</tr>'
            + "".join(rows) + "</table></div>")


def choice():
    """One radio button a figure; a rule of style shows the drawings of the one that is chosen."""
    inputs, labels, rules = [], [], []
    for number, (key, name, better, _) in enumerate(FIGURES):
        checked = " checked" if number == 0 else ""
        better = f" ({better} is better)" if better else ""
        inputs.append(f'<input class="figure" type="radio" name="figure" id="f-{key}"{checked}>')
        labels.append(f'<label for="f-{key}">{html.escape(name)}{better}</label>')
        rules.append(f"#f-{key}:checked ~ main .of-{key} {{ display: block; }}"
                     f"#f-{key}:checked ~ .choice label[for=f-{key}]"
                     " { border-color: var(--ours); color: var(--ours); }"
                     f"#f-{key}:focus-visible ~ .choice label[for=f-{key}]"
                     " { outline: 2px solid var(--ours); }")
    return "".join(inputs), "".join(labels), "".join(rules)


def drawn(document):
    """The page, as text, of what bench/run --json writes."""
    cells = document["cells"]
    inputs, labels, rules = choice()
    about = (f"{document['date']}, {document['processor']}, {document['cpus']} CPUs, kernel "
             f"{document['kernel']}: {document['rounds']} rounds of {document['seconds']} s a cell, "
             "every server once in each round, on a CPU of its own; the client on another.")
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>berthd and its peers</title><style>{STYLE}{rules}</style></head><body>"
        f"<h1>berthd and its peers</h1><p>{html.escape(about)}</p>"
        "<p>Bars are medians; a line goes from the lowest round to the highest.</p>"
        f'{inputs}<div class="choice">{labels}</div>'
        f"<main>{sections(cells)}{table(cells)}</main></body></html>\n"
    )
