"""A PostgreSQL of our own: default settings, SCRAM over TCP on loopback, a Unix socket for the housekeeping."""

import os
import pathlib
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time

PASSWORD = "bench"


def bindir():
    """psql is the server's own: Debian's wrapper costs more than the query."""
    found = sorted(map(str, pathlib.Path("/usr/lib/postgresql").glob("*/bin")), reverse=True)
    for place in [os.environ.get("PG_BINDIR"), *found]:
        if place and os.access(f"{place}/initdb", os.X_OK):
            return place
    return subprocess.run(["pg_config", "--bindir"], capture_output=True, text=True, check=True).stdout.strip()


def free_port():
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


class Server:
    def __init__(self, options=()):
        self.bin, self.port = bindir(), free_port()
        self.user = None
        if os.getuid() == 0:  # the server refuses to be root
            self.user = next(name for name in ("postgres", "nobody") if name in {u.pw_name for u in pwd.getpwall()})
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="migrator-bench-pg."))
        if self.user:
            shutil.chown(self.dir, self.user)
        try:
            self.start(options)
        except BaseException:
            self.stop()
            raise

    process = None

    def start(self, options):
        data = self.dir / "data"
        words = [f"{self.bin}/initdb", "-D", data, "-U", "bench", "--no-sync", "-A", "trust"]
        subprocess.run(words, user=self.user, cwd="/", check=True, stdout=subprocess.DEVNULL)
        hba = "local all all trust\nhost all all 127.0.0.1/32 scram-sha-256\n"
        (data / "pg_hba.conf").write_text(hba)
        settings = [f"port={self.port}", "listen_addresses=127.0.0.1", f"unix_socket_directories={self.dir}", *options]
        words = [f"{self.bin}/postgres", "-D", data, *(x for s in settings for x in ("-c", s))]
        with open(self.dir / "log", "w") as log:
            streams = {"stdin": subprocess.DEVNULL, "stdout": log, "stderr": log}
            self.process = subprocess.Popen(words, user=self.user, cwd="/", **streams)
        ready = [f"{self.bin}/pg_isready", "-q", "-h", self.dir, "-p", str(self.port)]
        for _ in range(300):
            if subprocess.run(ready).returncode == 0:
                return self.sql("postgres", f"alter role bench password '{PASSWORD}'")
            if self.process.poll() is not None:
                break
            time.sleep(0.1)
        raise RuntimeError("the server did not start:\n" + (self.dir / "log").read_text()[-2000:])

    def stop(self):
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            try:
                self.process.wait(60)
            except subprocess.TimeoutExpired:
                self.process.send_signal(signal.SIGQUIT)
                self.process.wait()
        shutil.rmtree(self.dir, ignore_errors=True)

    def url(self, database, port=None):
        return f"postgresql://bench:{PASSWORD}@127.0.0.1:{port or self.port}/{database}"

    def sql(self, database, *commands, text=None):
        words = [f"{self.bin}/psql", "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1"]
        words += ["-h", self.dir, "-p", str(self.port), "-U", "bench", "-d", database]
        words += [word for command in commands for word in ("-c", command)]
        done = subprocess.run(words, input=text, text=True, capture_output=True)
        if done.returncode:
            raise RuntimeError(done.stderr)
        return done.stdout.strip()

    def fresh(self, database):
        """An empty database as one in use is: its caches are built, and no checkpoint of earlier work is under way."""
        self.sql("postgres", f'create database "{database}" template template0', "checkpoint")
        self.sql(database, "select 1")
