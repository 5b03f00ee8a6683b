"""Who takes part: where each tool is found, and the words that make it apply what is pending."""

import dataclasses
import os
import pathlib
import shutil
import typing

import formats

HERE = pathlib.Path(__file__).resolve().parent
BIN = pathlib.Path(os.environ["BENCH_BIN"]).resolve()
CACHE = pathlib.Path(os.environ["BENCH_CACHE"]).resolve()
OURS = "migrator"
PSQL, LIBPQ, CHECK = "psql", "C: links libpq and exits", "C: lock + read journal"
MESSAGE, FULL, PIPELINE = "C: one message", "C: lock, one message with rows and count", "C: pipeline"
LOCK = "select pg_advisory_lock(72418);"

# Not to be had from the registries that the benchmark is set up from.
NOWHERE = {
    "atlas": "its npm package downloads the program from elsewhere when it is installed; the Go module has no command",
    "pgroll": "its npm package has no program, and the Go proxy does not offer the module",
}


@dataclasses.dataclass
class Peer:
    name: str
    write: typing.Callable  # of formats
    words: typing.Callable  # (url) -> command line that applies what is pending, run in the folder that write filled
    path: typing.Optional[str] = None  # the file without which it is missing
    cells: tuple = ("noop", "apply")
    stamp: typing.Optional[typing.Callable] = None  # (url, count) -> command that marks everything as applied
    version: typing.Optional[list] = None  # the least it can do: for the start-up cell
    most: int = 10_000  # the largest no-op that it is asked for, as its own preparation takes minutes
    most_apply: int = 10_000  # the same for applying, unless --full
    waits: bool = True  # for each statement or migration: slow at a distance
    schema: typing.Optional[str] = None  # peers that share one no-op database
    idle: typing.Optional[typing.Callable] = None  # words for the no-op cells, where they differ

    @property
    def missing(self):
        return not self.path or not os.access(self.path, os.R_OK)

    @property
    def floor(self):
        return self.name == PSQL or self.name.startswith("C:")


def installed():
    """All peers of this machine, the floor first and we last."""
    return [*floor_peers(), *node_peers(), *go_peers(), *other_peers(), ours()]


def psql_bin():
    from server import bindir

    return f"{bindir()}/psql"


def floor_peers():
    psql, floor = psql_bin(), str(BIN / "floor")
    quiet = [psql, "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1"]

    def send(*texts):
        return lambda url: [floor, "send", url, *texts]

    def c(name, words, cells, **more):
        return Peer(name, formats.plain, words, floor, cells, waits=False, schema="drizzle", **more)

    return [
        Peer(
            PSQL,
            formats.plain,
            lambda url: [*quiet, "-1", "-f", "all.sql", url],
            psql,
            version=["--version"],
            schema="drizzle",
            idle=lambda url: [*quiet, "-c", "select 1", url],
        ),
        c(LIBPQ, lambda url: [floor], (), version=[]),
        c("C: select 1", send("select 1"), ("noop",)),
        c(CHECK, send(LOCK + formats.READ), ("noop",)),
        c(MESSAGE, send("@message.sql"), ("apply",)),
        c(FULL, send(LOCK + "select to_regclass('drizzle.__drizzle_migrations')", "@full.sql"), ("apply",)),
        c(PIPELINE, lambda url: [floor, "pipeline", url, "@split.sql"], ("apply",)),
    ]


def ours():
    program = os.path.realpath(os.environ["MIGRATOR"])
    return Peer(
        OURS,
        formats.drizzle,
        lambda url: [program, "migrate", "--dir", "drizzle", "--url", url],
        program,
        version=["--version"],
        waits=False,
        schema="drizzle",
    )


def node_peers():
    modules = CACHE / "npm/node_modules"

    def bin_of(name):
        return str(modules / ".bin" / name)

    def orm(driver):
        path = modules / "drizzle-orm/package.json"
        words = ["node", "../../orm.mjs", driver, "./drizzle"]
        return Peer(
            f"drizzle-orm ({driver})",
            formats.drizzle,
            lambda url: words,
            str(path),
            most_apply=100,
            schema="drizzle",
        )

    dbmate = next(iter(modules.glob("@dbmate/*/bin/dbmate")), None)
    return [
        Peer(
            "drizzle-kit",
            formats.drizzle,
            lambda url: [bin_of("drizzle-kit"), "migrate"],
            bin_of("drizzle-kit"),
            version=["--version"],
            most_apply=100,
            schema="drizzle",
        ),
        orm("pg"),
        orm("postgres"),
        Peer(
            "dbmate",
            formats.dbmate,
            lambda url: [str(dbmate), "--no-dump-schema", "migrate"],
            dbmate and str(dbmate),
            version=["--version"],
        ),
        Peer(
            "node-pg-migrate",
            formats.node_pg_migrate,
            lambda url: [bin_of("node-pg-migrate"), "up"],
            bin_of("node-pg-migrate"),
            version=["--version"],
            most=1000,
            most_apply=100,
        ),
        Peer(
            "knex",
            formats.knex,
            lambda url: [bin_of("knex"), "--knexfile", "knexfile.cjs", "migrate:latest"],
            bin_of("knex"),
            version=["--version"],
            most=1000,
            most_apply=100,
        ),
        Peer(
            "graphile-migrate",
            formats.graphile,
            lambda url: [bin_of("graphile-migrate"), "migrate"],
            bin_of("graphile-migrate"),
            version=["--version"],
            most=1000,
            most_apply=100,
        ),
        Peer(
            "postgrator",
            formats.postgrator,
            lambda url: ["node", "../../postgrator.mjs", "migrations"],
            str(modules / "postgrator/package.json"),
            most=1000,
            most_apply=100,
        ),
    ]


def go_peers():
    def tool(name, write, words, program=None, **more):
        path = str(CACHE / "bin" / (program or name))
        return Peer(name, write, lambda url: [path, *words(url)], path, **more)

    def pgx(url):
        return ["-path", "migrations", "-database", url.replace("postgresql:", "pgx5:") + "?sslmode=disable"]

    migrate = str(CACHE / "bin/migrate")
    return [
        tool(
            "goose",
            formats.goose,
            lambda url: ["-dir", "migrations", "postgres", url, "up"],
            most_apply=100,
            version=["--version"],
            most=1000,
        ),
        tool(
            "golang-migrate",
            formats.golang_migrate,
            lambda url: [*pgx(url), "up"],
            "migrate",
            stamp=lambda url, count: [migrate, *pgx(url), "force", str(count)],
            most_apply=100,
            version=["-version"],
        ),
        tool(
            "sql-migrate",
            formats.sql_migrate,
            lambda url: ["up", "-config=dbconfig.yml", "-env=bench"],
            version=["--version"],
        ),
        tool(
            "tern",
            formats.tern,
            lambda url: ["migrate", "-m", "migrations", "-c", "tern.conf", "--conn-string", url],
            version=["version"],
        ),
    ]


def other_peers():
    sqitch, alembic, yoyo = shutil.which("sqitch"), str(CACHE / "python/bin/alembic"), str(CACHE / "python/bin/yoyo")

    def deploy(url, *more):
        return [sqitch, "deploy", *more, "db:pg:" + url.split(":", 1)[1]]

    return [
        Peer(
            "alembic",
            formats.alembic,
            lambda url: [alembic, "upgrade", "head"],
            alembic,
            stamp=lambda url, count: [alembic, "stamp", "head"],
            version=["--version"],
            most=1000,
            most_apply=100,
        ),
        Peer(
            "yoyo",
            formats.yoyo,
            lambda url: [yoyo, "apply", "--batch", "--no-config-file", "--database", url, "./migrations"],
            yoyo,
            stamp=lambda url, count: [yoyo, "mark", "--batch", "--no-config-file", "--database", url, "./migrations"],
            most=100,
            most_apply=10,
        ),
        Peer(
            "sqitch",
            formats.sqitch,
            deploy,
            sqitch,
            stamp=lambda url, count: deploy(url, "--log-only"),
            version=["--version"],
            most=1000,
            most_apply=10,
        ),
    ]
