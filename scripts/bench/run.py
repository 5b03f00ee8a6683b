"""The measurements behind `make bench`, started by scripts/bench/run. Markdown on stdout, progress on stderr."""

import argparse
import itertools
import os
import pathlib
import re
import shutil
import signal
import sys
import tempfile
import time

import formats
import peers
import report
import timing
from server import Server, free_port

HERE = pathlib.Path(__file__).resolve().parent
CELLS = ("start", "noop", "distance", "apply", "distance-apply")
RTT = 20  # ms
CHECK = """select count(*) filter (where relkind = 'r' and relname ~ '^t[0-9]+$'),
count(*) filter (where relrowsecurity),
count(*) filter (where relkind = 'i' and relname ~ '^t.*_name_idx$'), (select count(*) from pg_policy) from pg_class"""


def options():
    about = "migrator beside what else migrates PostgreSQL"
    parser = argparse.ArgumentParser(prog="scripts/bench/run", description=about)
    parser.add_argument("--quick", action="store_true", help="two rounds, N up to 100")
    parser.add_argument("--full", action="store_true", help="everybody in every cell for all rounds: an hour or more")
    parser.add_argument("--only", default=",".join(CELLS), help="cells: %(default)s")
    parser.add_argument("--peers", default="", help="parts of names; psql, the floor and migrator always take part")
    parser.add_argument("--sizes", help="numbers of migrations (default: 10,100,1000, and 10000 for no-op)")
    parser.add_argument("--rounds", type=int, help="turns in each cell (default: 5; start: 30)")
    parser.add_argument("--patience", type=float, default=1, help="multiplies the seconds for each in each cell")
    parser.add_argument("--write", action="store_true", help="put the tables into docs/benchmarks.md too")
    o = parser.parse_args()
    o.cells = o.only.split(",")
    if set(o.cells) - set(CELLS):
        parser.error(f"--only: cells are {', '.join(CELLS)}")
    o.asked = [int(n) for n in o.sizes.split(",")] if o.sizes else [10, 100] if o.quick else [10, 100, 1000, 10_000]
    o.rounds = o.rounds or (2 if o.quick else 5)
    return o


def named(*parts):
    return re.sub("[^a-z0-9]+", "_", "_".join(map(str, parts)).lower())


class Bench:
    def __init__(self, o, server, work):
        self.o, self.server, self.work = o, server, work
        self.all = peers.installed()
        parts = [part for part in o.peers.split(",") if part]
        always = [p.name for p in self.all if not parts or p.floor or p.name == peers.OURS]
        wanted = [p for p in self.all if p.name in always or any(part in p.name for part in parts)]
        self.missing = [p.name for p in wanted if p.missing]
        self.peers = {p.name: p for p in wanted if not p.missing}
        self.results, self.failed, self.prepared, self.turns = {}, {}, {}, itertools.count()
        keep = {k: v for k, v in os.environ.items() if not k.startswith(("PG", "MIGRATOR"))}
        self.env = dict(keep, HOME=str(work / "home"), PGSSLMODE="disable", CI="true", NO_COLOR="1")
        self.env |= {"PATH": f"{server.bin}:{keep['PATH']}"}
        self.env |= {"SQITCH_FULLNAME": "Bench", "SQITCH_EMAIL": "bench@example.com"}
        (work / "home").mkdir()
        for script in (HERE / "node").glob("*.mjs"):
            shutil.copy(script, work)
        (work / "node_modules").symlink_to(peers.CACHE / "npm/node_modules")

    def home(self, peer, cell, count):
        home = self.work / f"{cell}-{count}" / peer.write.__name__
        if peer.write.__name__ == "write":
            home = home.with_name(peer.name)
        if not home.exists():
            home.mkdir(parents=True)
            peer.write(home, formats.migrations(formats.TABLE if cell == "apply" else formats.ROWS, count))
        return home

    def run(self, words, home, database, rtt=0):
        def at(port):
            url = self.server.url(database, port)
            return timing.measure(words(url), home, dict(self.env, DATABASE_URL=url))

        return timing.through_relay(self.server.port, rtt, at) if rtt else at(self.server.port)

    def cell(self, key, names, run, rounds=None, budget=1.2):
        timing.say(f"[{time.strftime('%H:%M:%S')}] {' '.join(map(str, key))}: {len(names)} take turns")
        turns = rounds or self.o.rounds
        self.keep(key, timing.rounds(names, run, turns, float("inf") if self.o.full else self.o.patience * budget))

    def keep(self, key, found):
        results, failed = found
        self.results.setdefault(key, {}).update(results)
        self.failed.update({(key, name): why for name, why in failed.items()})

    # Nothing to do.

    def idle_database(self, peer, count):
        """A database in which everything is applied: by the tool itself, or by its own word that it is."""
        database = named("idle", peer.schema or peer.name, count)
        if database in self.prepared:
            return database
        home = self.home(peer, "noop", count)
        self.server.fresh(database)
        if peer.schema:
            rows = "".join(f"{h}\t{w}\n" for h, w in formats.drizzle_rows(formats.migrations(formats.ROWS, count)))
            copy = "copy drizzle.__drizzle_migrations (hash, created_at) from stdin;\n"
            self.server.sql(database, text=f"{formats.JOURNAL}\n{copy}{rows}\\.\n")
        else:
            self.server.sql("postgres", f'alter database "{database}" set synchronous_commit = off')
            stamp = peer.stamp and (lambda url: peer.stamp(url, count))
            self.run(stamp or peer.words, home, database)
            self.server.sql("postgres", f'alter database "{database}" reset all')
        self.server.sql(database, "vacuum analyze")
        self.prepared[database] = self.state(database)
        return database

    def state(self, database):
        rows = "(xpath('/row/c/text()', query_to_xml('select count(*) as c from big', false, true, '')))[1]"
        there = self.server.sql(database, "select to_regclass('big') is not null") == "t"
        return self.server.sql(database, f"select count(*), {rows if there else 0} from pg_class")

    def noop(self, key, count, rtt=0, **more):
        names = []
        for peer in self.peers.values():
            if "noop" not in peer.cells or (count > peer.most and not self.o.full):
                continue
            try:
                self.idle_database(peer, count)
                names.append(peer.name)
            except (timing.Failed, RuntimeError) as problem:
                self.failed[key, peer.name] = f"could not prepare: {problem}"
                timing.say(f"  {peer.name}: {problem}")
        self.server.sql("postgres", "checkpoint")

        def run(name):
            peer = self.peers[name]
            home, database = self.home(peer, "noop", count), self.idle_database(peer, count)
            return self.run(peer.idle or peer.words, home, database, rtt)

        self.cell(key, names, run, **more)
        for name in names:
            database = self.idle_database(self.peers[name], count)
            if self.state(database) != self.prepared[database]:
                self.failed[key, name] = "it was to do nothing, and did something"

    # Everything to do.

    def apply_once(self, name, count, rtt=0):
        peer = self.peers[name]
        turn = next(self.turns)  # databases stay until the end: dropping one is felt by the runs after it
        home, database = self.home(peer, "apply", count), named("apply", peer.name, count, turn)
        self.server.fresh(database)
        result = self.run(peer.words, home, database, rtt)
        found = self.server.sql(database, CHECK)
        if found != "|".join([str(count)] * 4):
            raise timing.Failed(f"applied {found} of {count} tables, RLS flags, indexes and policies")
        return result

    def apply(self, key, count):
        names = [p.name for p in self.peers.values() if "apply" in p.cells and (self.o.full or count <= p.most_apply)]
        self.cell(key, names, lambda name: self.apply_once(name, count), budget=min(2 + count / 50, 14))

    def apply_at_distance(self, key, count):
        able = [p for p in self.peers.values() if "apply" in p.cells and (self.o.full or count <= p.most_apply)]
        fast = [p.name for p in able if not p.waits and not p.name == peers.PSQL]
        slow = [p.name for p in able if p.name not in fast]
        self.cell(key, fast, lambda name: self.apply_once(name, count, RTT), budget=4 if count < 1000 else 14)
        if count >= 1000 and not self.o.full:
            return
        timing.say(f"  and {len(slow)} that wait for each statement, six at a time")
        self.keep(key, timing.at_once(slow, lambda name: self.apply_once(name, count, RTT), 6))

    def start(self):
        names = [p.name for p in self.peers.values() if p.version is not None]
        home = self.home(self.peers[peers.OURS], "noop", 10)
        turns = 30 if self.o.rounds == 5 else self.o.rounds

        def version(name):
            peer = self.peers[name]
            return timing.measure([peer.words("postgresql:")[0], *peer.version], home, self.env)

        def packet(name):
            port = free_port()
            url, peer = self.server.url("postgres", port), self.peers[name]
            return timing.measure((peer.idle or peer.words)(url), home, self.env, "-p", str(port))

        self.cell(("start", "version"), names, version, turns)
        linked = peers.LIBPQ
        first = [linked, peers.PSQL, peers.CHECK, peers.OURS]
        self.cell(("start", "packet"), first, lambda name: (version if name == linked else packet)(name), turns)


def measure(bench, o):
    near = [n for n in o.asked if n <= 1000]
    middle = 100 if 100 in o.asked else o.asked[-1]
    if "start" in o.cells:
        bench.start()
    for count in o.asked if "noop" in o.cells else []:
        bench.noop(("noop", count), count, budget=1.2 if count <= 1000 else 3)
    if "distance" in o.cells:
        bench.noop(("distance", middle), middle, RTT, rounds=min(3, o.rounds))
    for count in near if "apply" in o.cells else []:
        bench.apply(("apply", count), count)
    for count in near if "distance-apply" in o.cells else []:
        if count >= 100 or count == near[-1]:
            bench.apply_at_distance(("distance-apply", count), count)


def main():
    o = options()
    peers.CACHE.mkdir(parents=True, exist_ok=True)
    work = pathlib.Path(tempfile.mkdtemp(prefix="work.", dir=peers.CACHE))
    server = None
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda number, _: sys.exit(128 + number))
    try:
        server = Server()
        bench = Bench(o, server, work)
        for name in bench.missing:
            timing.say(f"{name}: not installed; scripts/bench/setup installs it")
        measure(bench, o)
        text = report.render(bench)
        print(text)
        if o.write:
            report.write(HERE.parents[1] / "docs/benchmarks.md", text)
    finally:
        if server:
            server.stop()
        shutil.rmtree(work, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
