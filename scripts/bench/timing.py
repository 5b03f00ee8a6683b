"""One run is a whole process, from start to end. Those that are compared take turns within a round, in rotated order,
after a round that is thrown away, so that a busy machine is busy for all; ratios are taken within the rounds."""

import concurrent.futures
import dataclasses
import signal
import statistics
import subprocess
import sys
import time

from peers import BIN

TIMEOUT = 1800


class Failed(Exception):
    pass


@dataclasses.dataclass
class Run:
    wall: float  # ms
    cpu: float  # ms
    rss: float  # MiB
    connections: int = 0
    trips: int = 0  # one after another


class Relay:
    def __init__(self, server_port, rtt):
        words = [BIN / "relay", str(server_port), str(round(rtt * 500))]
        self.process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
        self.port = int(self.process.stdout.readline())

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        out, _ = self.process.communicate()
        return [int(word) for word in out.split()]


def say(*words):
    print(*words, file=sys.stderr, flush=True)


def measure(words, cwd, env, *options):
    env = dict(env, MEASURE_STDERR="1")
    done = subprocess.run(
        [BIN / "measure", *options, *map(str, words)],
        cwd=cwd,
        env=env,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
    )
    wall, cpu, rss, code = map(int, done.stdout.split())
    if code:
        last = done.stderr.strip().splitlines()[-1:] or [""]
        raise Failed(f"exit code {code}: {last[0][:160]}")
    return Run(wall / 1000, cpu / 1000, rss / 1024)


def through_relay(server_port, rtt, run):
    """run(port) behind a relay; rtt in ms."""
    relay = Relay(server_port, rtt)
    try:
        result = run(relay.port)
        time.sleep(rtt / 1000 + 0.005)  # its farewell is still on the way
    except BaseException:
        relay.stop()
        raise
    result.connections, result.trips, _ = relay.stop()
    return result


def rounds(names, run, count, budget):
    """{name: {round: Run}} and {name: why it failed}. Who has used its seconds is out of further rounds; who uses
    most of them for the first run keeps that one."""
    results, spent, failed = {name: {} for name in names}, dict.fromkeys(names, 0.0), {}
    for turn in range(count + 1):
        shift = turn % max(1, len(names))
        for name in names[shift:] + names[:shift]:
            if name in failed or (spent[name] > budget and results[name]):
                continue
            try:
                result = run(name)
            except (Failed, subprocess.TimeoutExpired, RuntimeError) as problem:
                failed[name] = str(problem)
                say(f"  {name}: {problem}")
                continue
            spent[name] += result.wall / 1000
            if turn > 0 or spent[name] > budget * 0.5:
                results[name][turn] = result
    return results, failed


def at_once(names, run, width):
    """One run each of those that wait for the network nearly all the time."""
    results, failed = {name: {} for name in names}, {}

    def one(name):
        try:
            results[name][0] = run(name)
        except (Failed, subprocess.TimeoutExpired, RuntimeError) as problem:
            failed[name] = str(problem)
            say(f"  {name}: {problem}")

    with concurrent.futures.ThreadPoolExecutor(width) as pool:
        list(pool.map(one, names))
    return results, failed


def median(runs, field="wall"):
    return statistics.median(getattr(run, field) for run in runs.values()) if runs else None


def ratio(runs, base, field="wall"):
    """The median of the ratios within the rounds that both took part in, else the ratio of the medians."""
    if not runs or not base:
        return None
    common = [getattr(runs[turn], field) / getattr(base[turn], field) for turn in runs if turn in base]
    return statistics.median(common) if common else median(runs, field) / median(base, field)
