"""The measurements behind `make bench`. Started by scripts/bench/run inside `migrator ephemeral --port`.

Every figure is the median of runs of whole processes. Those that are compared take turns within a round, in rotated
order, after one round that is thrown away, so that a busy machine is busy for all of them.
"""

import hashlib
import json
import os
import pathlib
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
from urllib.parse import urlsplit

BUILD, MIGRATOR = pathlib.Path(sys.argv[1]), sys.argv[2]
QUICK = "--quick" in sys.argv
URL = os.environ["DATABASE_URL"]
BINDIR = (
    os.environ.get("PG_BINDIR")
    or subprocess.run(["pg_config", "--bindir"], capture_output=True, text=True).stdout.strip()
)
PSQL = f"{BINDIR}/psql" if os.access(f"{BINDIR}/psql", os.X_OK) else "psql"
ORM = BUILD / "drizzle/orm.mjs" if (BUILD / "drizzle/node_modules/drizzle-orm").is_dir() else None
DBMATE = next(iter((BUILD / "dbmate/node_modules/@dbmate").glob("*/bin/dbmate")), None)
WORK = pathlib.Path(tempfile.mkdtemp(prefix="migrator-bench."))
TABLE = """create table "t{i}" (
	"id" bigserial primary key not null,
	"name" text not null,
	"created_at" timestamp with time zone default now() not null
);
--> statement-breakpoint
alter table "t{i}" add column "note" text;--> statement-breakpoint
create index "t{i}_name_idx" on "t{i}" using btree ("name");--> statement-breakpoint
alter table "t{i}" enable row level security;--> statement-breakpoint
create policy "t{i}_read" on "t{i}" as permissive for select to public using (name <> '');"""
# Ten thousand tables do not fit into the lock table of one transaction.
ROWS = (
    "create table if not exists big (i int, name text);--> statement-breakpoint\n"
    + "--> statement-breakpoint\n".join(
        f"insert into big (i, name) values ({{i}}, 'a row that makes the file about as long as a usual one, {k}');"
        for k in range(4)
    )
)


def url_of(database):
    return urlsplit(URL)._replace(path="/" + database).geturl()


def psql(database, *words, text=None):
    return subprocess.run(
        [PSQL, "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-d", url_of(database), *words],
        input=text,
        text=True,
        capture_output=True,
        check=True,
    ).stdout.strip()


def fresh(database):
    psql(
        "postgres",
        "-c",
        f"drop database if exists {database} with (force)",
        "-c",
        f"create database {database} template template0",
    )


def write(count, template):
    """The same migrations as a Drizzle folder, a dbmate folder and one file for psql."""
    home = WORK / f"n{count}"
    for part in ("drizzle/meta", "dbmate"):
        (home / part).mkdir(parents=True)
    entries, rows, everything = [], [], []
    for i in range(count):
        tag, text = f"{i:05d}_step", template.format(i=i)
        when = 1700000000000 + i
        (home / f"drizzle/{tag}.sql").write_text(text)
        plain = text.replace("--> statement-breakpoint", "")
        (home / f"dbmate/{20200101000000 + i}_step.sql").write_text(f"-- migrate:up\n{plain}\n\n-- migrate:down\n")
        everything.append(plain)
        entries.append({"idx": i, "version": "7", "when": when, "tag": tag, "breakpoints": True})
        rows.append((hashlib.sha256(text.encode()).hexdigest(), when))
    (home / "drizzle/meta/_journal.json").write_text(
        json.dumps({"version": "7", "dialect": "postgresql", "entries": entries}, indent=2)
    )
    (home / "all.sql").write_text("\n".join(everything))
    return home, rows


def prepare_noop(count, rows):
    """A database that has everything: a no-op run reads tracking rows, whoever wrote them."""
    database = f"noop{count}"
    fresh(database)
    psql(
        database,
        text="create schema drizzle;\ncreate table drizzle.__drizzle_migrations "
        "(id serial primary key, hash text not null, created_at bigint);\n"
        "copy drizzle.__drizzle_migrations (hash, created_at) "
        "from stdin;\n" + "".join(f"{h}\t{w}\n" for h, w in rows) + "\\.\n"
        "create table schema_migrations (version varchar primary key);\n"
        f"insert into schema_migrations select (20200101000000 + i)::text from generate_series(0, {count - 1}) i;\n"
        "analyze;\n",
    )
    return database


def measure(words, database):
    environment = dict(os.environ, DATABASE_URL=url_of(database))
    out = subprocess.run(
        [BUILD / "bench/measure", *map(str, words)], env=environment, cwd=WORK, capture_output=True, text=True
    )
    wall, cpu, rss, code = map(int, out.stdout.split())
    if code != 0:
        sys.exit(f"{words[0]} ended with {code}: {' '.join(map(str, words))}")
    return wall / 1000, cpu / 1000, rss / 1024


def alternate(contenders, rounds, before=None):
    """{name: (words, database)} -> {name: medians of wall ms, CPU ms, RSS MiB}"""
    names, runs = list(contenders), {name: [] for name in contenders}
    for turn in range(rounds + 1):
        for name in names[turn % len(names) :] + names[: turn % len(names)]:
            if before:
                before(contenders[name][1])
            result = measure(*contenders[name])
            if turn > 0:
                runs[name].append(result)
    return {name: tuple(statistics.median(column) for column in zip(*found)) for name, found in runs.items()}


def table(head, rows):
    print("\n| " + " | ".join(head) + " |\n|" + "|".join("---" if i == 0 else "---:" for i in range(len(head))) + "|")
    for row in rows:
        print("| " + " | ".join(row) + " |")
    sys.stdout.flush()


def show(results, base):
    rows = []
    for name, (wall, cpu, rss) in results.items():
        rows.append([name, f"{wall:.1f}", f"{wall / results[base][0]:.2f}x", f"{cpu:.1f}", f"{rss:.1f}"])
    table([f"ratio to {base}", "wall ms", "ratio", "CPU ms", "peak MiB"], rows)


def peers(home, database):
    out = {"migrator": ([MIGRATOR, "migrate", "--dir", home / "drizzle"], database)}
    if ORM:
        out["drizzle-orm"] = (["node", ORM, home / "drizzle"], database)
    if DBMATE:
        out["dbmate"] = ([DBMATE, "--no-dump-schema", "-d", home / "dbmate", "up"], database)
    return out


def start_up():
    print("\n## Start: `migrator --version` and a C program that links libpq and exits")
    floor = {
        "linked libpq": ([BUILD / "bench/floor"], "postgres"),
        "migrator --version": ([MIGRATOR, "--version"], "postgres"),
    }
    show_cpu = alternate(floor, 20 if QUICK else 200)
    base = show_cpu["linked libpq"]
    table(
        ["", "wall ms", "CPU ms", "CPU ratio", "peak MiB"],
        [
            [name, f"{wall:.2f}", f"{cpu:.2f}", f"{cpu / base[1]:.2f}x", f"{rss:.1f}"]
            for name, (wall, cpu, rss) in show_cpu.items()
        ],
    )


def noop(folders):
    for count, (home, rows) in folders.items():
        print(f"\n## No-op, N = {count}")
        database = prepare_noop(count, rows)
        contenders = {
            "psql -c 'select 1'": ([PSQL, "-X", "-d", url_of(database), "-c", "select 1"], database),
            **peers(home, database),
        }
        show(alternate(contenders, 5 if QUICK or count > 1000 else 21), "psql -c 'select 1'")


def apply(folders):
    for count, (home, _) in folders.items():
        print(f"\n## Apply, N = {count}" + (" (inserts only)" if count > 1000 else ""))
        database = f"apply{count}"
        contenders = {
            "psql -1 -f": (
                [PSQL, "-X", "-q", "-1", "-v", "ON_ERROR_STOP=1", "-d", url_of(database), "-f", home / "all.sql"],
                database,
            ),
            **peers(home, database),
        }
        if count > 1000:
            contenders = {name: words for name, words in contenders.items() if name in ("psql -1 -f", "migrator")}
        show(alternate(contenders, 3 if count >= 1000 or QUICK else 7, before=fresh), "psql -1 -f")


def free_port():
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


def round_trips(folders):
    print("\n## Round trips, the connection's own included")
    port = free_port()
    relay = subprocess.Popen(
        [BUILD / "bench/relay", str(port), str(urlsplit(URL).port)], stdout=subprocess.PIPE, text=True
    )
    relay.stdout.readline()
    rows = []
    try:
        for count in [n for n in folders if n <= 1000]:
            home = folders[count][0]
            fresh("trips")
            through = urlsplit(url_of("trips"))._replace(netloc=f"postgres@127.0.0.1:{port}").geturl()
            for what in ("apply", "no-op"):
                ran = subprocess.run(
                    [MIGRATOR, "migrate", "--dir", home / "drizzle"],
                    env=dict(os.environ, DATABASE_URL=through),
                    capture_output=True,
                    text=True,
                )
                if ran.returncode != 0:
                    sys.exit(ran.stderr)
                rows.append([f"migrator, {what}, N = {count}", relay.stdout.readline().strip()])
        subprocess.run([PSQL, "-X", "-d", through, "-c", "select 1"], capture_output=True, check=True)
        rows.append(["psql -c 'select 1'", relay.stdout.readline().strip()])
    finally:
        relay.send_signal(signal.SIGTERM)
        relay.wait()
    table(["", "round trips"], rows)


def main():
    print(
        f"# {subprocess.run([MIGRATOR, '--version'], capture_output=True, text=True).stdout.strip()}, PostgreSQL "
        + psql("postgres", "-c", "show server_version")
        + f", {os.cpu_count()} processors, throw-away server (no fsync), loopback"
    )
    sizes = (10, 100) if QUICK else (10, 100, 1000, 10000)
    folders = {count: write(count, TABLE if count <= 1000 else ROWS) for count in sizes}
    start_up()
    noop(folders)
    apply(folders)
    round_trips(folders)


try:
    main()
finally:
    shutil.rmtree(WORK, ignore_errors=True)
