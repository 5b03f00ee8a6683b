"""The tables. Ratios only, but for the row that they are ratios to: seconds are the machine's, ratios ours."""

import datetime
import statistics

import peers
from timing import median, ratio

BEGIN, END = "<!-- bench: begin -->", "<!-- bench: end -->"


def number(value, digits=2):
    if value is None:
        return "–"
    return f"{value:.{digits}f}" if value < 10 else f"{value:.1f}" if value < 100 and digits > 1 else f"{value:.0f}"


def table(head, rows):
    lines = ["| " + " | ".join(head) + " |", "|" + "|".join(["---", *["---:"] * (len(head) - 1)]) + "|"]
    return "\n".join([*lines, *("| " + " | ".join(row) + " |" for row in rows)])


def bold(name, text):
    return f"**{text}**" if name == peers.OURS else text


def rows_of(bench, keys, cells):
    """A row for every peer that has any figure; cells(name) gives its columns."""
    names = [name for name in bench.peers if any(bench.results[key].get(name) for key in keys)]
    return [[bold(name, name), *(bold(name, text) for text in cells(name))] for name in names]


def keys_of(bench, kind):
    return [key for key in bench.results if key[0] == kind]


def compared(bench, title, kind, floor, note):
    """One table for all sizes: x psql and x floor for each, CPU and memory at the largest with that peer."""
    keys = keys_of(bench, kind)
    if not keys:
        return []

    def cells(name):
        out, last = [], {}
        for key in keys:
            found = bench.results[key]
            runs = found.get(name, {})
            last = runs or last
            out += [number(ratio(runs, found.get(peers.PSQL))), number(ratio(runs, found.get(floor)))]
        turns = "/".join(str(len(bench.results[key].get(name, {}))) for key in keys)
        return [*out, number(median(last, "cpu"), 1), number(median(last, "rss"), 1), turns]

    ratios = [f"N = {key[1]}: × {base}" for key in keys for base in ("psql", "floor")]
    head = ["", *ratios, "CPU ms", "peak MiB", "runs"]
    base = ", ".join(f"{number(median(bench.results[key].get(peers.PSQL)), 0)} ms at N = {key[1]}" for key in keys)
    return [f"### {title}", f"{note} The floor is “{floor}”. psql: {base}.", table(head, rows_of(bench, keys, cells))]


def distant(bench, title, kind, floor):
    out = []
    for key in keys_of(bench, kind):
        found = bench.results[key]

        def cells(name, found=found):
            runs = found.get(name, {})
            first = next(iter(runs.values()), None)
            trips = str(round(statistics.median(run.trips for run in runs.values()))) if runs else "–"
            ours = found.get(peers.OURS)
            return [
                trips,
                str(first.connections) if first else "–",
                number(ratio(runs, found.get(peers.PSQL)), 3 if kind != "distance" else 2),
                number(ratio(runs, found.get(floor))),
                number(ratio(runs, ours)),
                str(len(runs)),
            ]

        head = ["", "round trips", "connections", "× psql", "× floor", "× migrator", "runs"]
        title_n = f"### {title}, N = {key[1]}"
        base = median(found.get(peers.PSQL)) and f" psql: {number(median(found[peers.PSQL]), 0)} ms."
        note = f"Round trips one after another, counted by the relay, the connection's too. The floor is “{floor}”."
        out += [title_n, note + (base or ""), table(head, rows_of(bench, [key], cells))]
    return out


def start(bench):
    if not keys_of(bench, "start"):
        return []
    version, packet = bench.results[("start", "version")], bench.results[("start", "packet")]
    base, first = version.get(peers.LIBPQ), packet.get(peers.LIBPQ)

    def cells(name):
        runs, sent = version.get(name, {}), {} if name == peers.LIBPQ else packet.get(name, {})
        figures = [ratio(runs, base, "wall"), ratio(runs, base, "cpu"), median(runs, "rss"), ratio(sent, first, "cpu")]
        return [number(x, 1 if i == 2 else 2) for i, x in enumerate(figures)]

    head = ["", "--version: × wall", "--version: × CPU", "peak MiB", "no-op until the first packet: × CPU"]
    note = f"Ratios to a C program that links libpq and exits ({number(median(base, 'cpu'), 1)} ms of CPU)."
    return ["### Start", note, table(head, rows_of(bench, [("start", "version"), ("start", "packet")], cells))]


def growth(bench):
    keys = [key for key in keys_of(bench, "noop") if bench.results[key].get(peers.OURS)]
    if len(keys) < 2:
        return []
    (small, large), out = (min(keys, key=lambda k: k[1]), max(keys, key=lambda k: k[1])), []
    for name in bench.peers:
        a, b = bench.results[small].get(name), bench.results[large].get(name)
        if a and b and (name == peers.OURS or not bench.peers[name].floor or name == peers.CHECK):
            each = (median(b, "cpu") - median(a, "cpu")) * 1000 / (large[1] - small[1])
            out.append([bold(name, name), bold(name, number(each, 1))])
    title = f"CPU that one more applied migration costs a no-op (N = {small[1]} to {large[1]}):"
    return [title, table(["", "µs"], out)]


def left_out(bench):
    lines = [f"- {name}: not available here: {why}" for name, why in peers.NOWHERE.items()]
    lines += [f"- {name}: not installed (`scripts/bench/setup` installs it)" for name in bench.missing]
    lines += [f"- {name}, {' '.join(map(str, key))}: {why}" for (key, name), why in bench.failed.items()]
    return ["### Not in the tables", "\n".join(lines)]


def render(bench):
    apply_note = (
        "Five statements each: table, column, index, row level security, policy. All of them are counted afterwards."
    )
    version = bench.server.sql("postgres", "show server_version").split()[0]
    noop_note = "Everything is applied; psql is `select 1`."
    parts = [
        f"PostgreSQL {version} with default settings (fsync on), SCRAM-SHA-256 over TCP on loopback, no TLS; "
        f"{datetime.date.today()}; up to {bench.o.rounds} rounds in which everybody takes turns, after one that is "
        "thrown away; medians of the ratios within the rounds.",
        *start(bench),
        *compared(bench, "Nothing to do", "noop", peers.CHECK, noop_note),
        *growth(bench),
        *distant(bench, "Nothing to do, at 20 ms round-trip time", "distance", peers.CHECK),
        *compared(bench, "Apply N migrations to an empty database", "apply", peers.MESSAGE, apply_note),
        *distant(bench, "Apply, at 20 ms round-trip time", "distance-apply", peers.MESSAGE),
        *left_out(bench),
    ]
    return "\n\n".join(parts)


def write(path, text):
    page = path.read_text()
    before, rest = page.split(BEGIN)
    path.write_text(f"{before}{BEGIN}\n{text}\n{END}{rest.split(END)[1]}")
