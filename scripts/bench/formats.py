"""The same migrations in every tool's own form. A writer gets a folder and a list of lists of statements."""

import hashlib
import json

TABLE = """create table "t{i}" (
	"id" bigserial primary key not null,
	"name" text not null,
	"kind" integer default 0 not null,
	"payload" jsonb,
	"created_at" timestamp with time zone default now() not null
);
alter table "t{i}" add column "updated_at" timestamp with time zone;
create index "t{i}_name_idx" on "t{i}" using btree ("name","created_at");
alter table "t{i}" enable row level security;
create policy "t{i}_read" on "t{i}" for select to public using ("name" = current_setting('app.name', true));"""

# For runs with nothing to do: as long, but ten thousand of them are soon applied and need no ten thousand tables.
ROWS = "create table if not exists big (i int, name text);\n" + "\n".join(
    f"insert into big (i, name) values ({{i}}, 'a row that makes the file about as long as a usual one is, {k}');"
    for k in range(4)
)
FIRST = 1700000000000
JOURNAL = "create schema if not exists drizzle; create table if not exists drizzle.__drizzle_migrations " + (
    "(id serial primary key, hash text not null, created_at bigint);"
)
READ = "select id, hash, created_at from drizzle.__drizzle_migrations order by created_at"


def migrations(template, count):
    return [[part + ";" for part in template.format(i=i).rstrip(";").split(";\n")] for i in range(count)]


def put(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def drizzle_file(statements):
    return "--> statement-breakpoint\n".join(s + "\n" for s in statements)


def drizzle_rows(steps):
    return [(hashlib.sha256(drizzle_file(s).encode()).hexdigest(), FIRST + i) for i, s in enumerate(steps)]


def drizzle(home, steps):
    entries = []
    for i, statements in enumerate(steps):
        tag = f"{i:05d}_step"
        put(home / f"drizzle/{tag}.sql", drizzle_file(statements))
        entries.append({"idx": i, "version": "7", "when": FIRST + i, "tag": tag, "breakpoints": True})
    journal = {"version": "7", "dialect": "postgresql", "entries": entries}
    put(home / "drizzle/meta/_journal.json", json.dumps(journal, indent=2))
    put(
        home / "drizzle.config.ts",
        'import { defineConfig } from "drizzle-kit";\n'
        'export default defineConfig({ dialect: "postgresql", out: "./drizzle", schema: "./schema.ts", '
        "dbCredentials: { url: process.env.DATABASE_URL! } });\n",
    )


def plain(home, steps):
    """For psql and the floor: the bare statements; and one message with all that the work asks for."""
    lines = "\n".join("\n".join(s) for s in steps)
    put(home / "all.sql", lines + "\n")
    put(home / "split.sql", "--> statement-breakpoint\n".join(drizzle_file(s) for s in steps))
    put(home / "message.sql", f"begin;\n{lines}\ncommit;")
    full = ["begin;", JOURNAL]
    for statements, (digest, when) in zip(steps, drizzle_rows(steps)):
        row = f"insert into drizzle.__drizzle_migrations (hash, created_at) values ('{digest}', {when});"
        full += [*statements, row]
    put(home / "full.sql", "\n".join([*full, "commit;", "select count(*) from drizzle.__drizzle_migrations"]))


def files(pattern, before, after=""):
    def write(home, steps):
        for i, statements in enumerate(steps):
            path = home / pattern.format(i=i, n=i + 1, stamp=20200101000000 + i)
            put(path, before + "\n".join(statements) + after + "\n")

    return write


dbmate = files("db/migrations/{stamp}_step.sql", "-- migrate:up\n", "\n\n-- migrate:down")
goose = files("migrations/{n:05d}_step.sql", "-- +goose Up\n", "\n\n-- +goose Down")
golang_migrate = files("migrations/{n:06d}_step.up.sql", "")
node_pg_migrate = files("migrations/{stamp}_step.sql", "-- Up Migration\n", "\n\n-- Down Migration")
postgrator = files("migrations/{n}.do.step.sql", "")
yoyo = files("migrations/{i:05d}_step.sql", "-- step\n")


def tern(home, steps):
    files("migrations/{n:05d}_step.sql", "", "\n\n---- create above / drop below ----")(home, steps)
    put(home / "tern.conf", "")


def sql_migrate(home, steps):
    files("migrations/{i:05d}_step.sql", "-- +migrate Up\n", "\n\n-- +migrate Down")(home, steps)
    put(home / "dbconfig.yml", "bench:\n  dialect: postgres\n  datasource: ${DATABASE_URL}\n  dir: migrations\n")


def knex(home, steps):
    for i, statements in enumerate(steps):
        body = "".join(f"  await knex.raw({json.dumps(s)});\n" for s in statements)
        text = f"exports.up = async (knex) => {{\n{body}}};\nexports.down = async () => {{}};\n"
        put(home / f"migrations/{20200101000000 + i}_step.cjs", text)
    where = "{ directory: './migrations', loadExtensions: ['.cjs'] }"
    put(
        home / "knexfile.cjs",
        f"module.exports = {{ client: 'pg', connection: process.env.DATABASE_URL, migrations: {where} }};\n",
    )


def graphile(home, steps):
    previous = ""
    for i, statements in enumerate(steps):
        body = "\n".join(statements)
        digest = "sha1:" + hashlib.sha1(f"{previous}\n{body}".strip().encode() + b"\n").hexdigest()
        text = f"--! Previous: {previous or '-'}\n--! Hash: {digest}\n\n{body}\n"
        put(home / f"migrations/committed/{i + 1:06d}.sql", text)
        previous = digest
    put(home / "migrations/current.sql", "")
    put(home / ".gmrc", "{}\n")


def alembic(home, steps):
    for i, statements in enumerate(steps):
        body = "".join(f"    op.execute({s!r})\n" for s in statements)
        below = repr(f"r{i - 1:05d}") if i else None
        head = f'"""step {i}"""\nfrom alembic import op\n\nrevision = "r{i:05d}"\ndown_revision = {below}\n\n\n'
        text = f"{head}def upgrade():\n{body}\n\ndef downgrade():\n    pass\n"
        put(home / f"alembic/versions/r{i:05d}_step.py", text)
    put(home / "alembic.ini", "[alembic]\nscript_location = alembic\n")
    put(
        home / "alembic/env.py",
        "import os\n\nfrom alembic import context\nfrom sqlalchemy import create_engine, pool\n\n"
        "url = os.environ['DATABASE_URL'].replace('postgresql:', 'postgresql+psycopg2:')\n"
        "with create_engine(url, poolclass=pool.NullPool).connect() as connection:\n"
        "    context.configure(connection=connection)\n"
        "    with context.begin_transaction():\n        context.run_migrations()\n",
    )


def sqitch(home, steps):
    plan = ["%syntax-version=1.0.0", "%project=bench", ""]
    for i, statements in enumerate(steps):
        stamp = f"2024-01-01T{i // 3600:02d}:{i // 60 % 60:02d}:{i % 60:02d}Z"
        plan.append(f"step{i:05d} {stamp} Bench <bench@example.com> # step")
        put(home / f"deploy/step{i:05d}.sql", "begin;\n" + "\n".join(statements) + "\ncommit;\n")
    put(home / "sqitch.plan", "\n".join(plan) + "\n")
    put(home / "sqitch.conf", "[core]\n\tengine = pg\n")
