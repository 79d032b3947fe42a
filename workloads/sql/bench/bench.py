"""TPC-H's 22 queries over sealed Parquet, against DataFusion and DuckDB on the same files.

Run by `cargo xtask bench sql`, which gives it the package `mc2`, in `MC2_TPCH` the tables at scale
factor 1 and in `MC2_RUNS` how often each query is run after its first time. The three take turns, query
by query, in one process that stays, each on one thread: `mc2` in a session that is open, so its time
holds the job's whole way to a verified and opened result. `mc2` with two instances and DuckDB with two
threads take turns with them. A row of JSON each is printed, and for people a table of all queries.
"""

import json
import math
import os
import re
import statistics
import subprocess
import sys
import time
import warnings
from pathlib import Path

import datafusion
import duckdb
from duckdb_extensions import import_extension

import mc2

warnings.simplefilter("ignore", mc2.NotSecureWarning)

TABLES = ["customer", "lineitem", "nation", "orders", "part", "partsupp", "region", "supplier"]


def row(name, unit, measured, target=None, more=False):
    told = {"name": f"sql: {name}", "unit": unit, "measured": measured, "target": target}
    print(json.dumps({**told, "more_is_better": more}), flush=True)


def timed(call):
    begun = time.perf_counter()
    call()
    return time.perf_counter() - begun


def main():
    folder = Path(os.environ["MC2_TPCH"])
    runs = int(os.environ.get("MC2_RUNS", "3"))
    files = {table: folder / f"{table}.parquet" for table in TABLES}

    duck, two_ducks = (duckdb.connect(config={"threads": threads}) for threads in (1, 2))
    import_extension("tpch", con=duck)
    duck.execute("load tpch")
    queries = duck.execute("select query_nr, query from tpch_queries()").fetchall()
    config = datafusion.SessionConfig().with_target_partitions(1)
    native = datafusion.SessionContext(config)
    for table, file in files.items():
        for engine in (duck, two_ducks):
            engine.execute(f"create view {table} as select * from read_parquet('{quoted(file)}')")
        native.register_parquet(table, str(file))

    with mc2.connect(progress=False) as enclave:
        sealed = {table: enclave.seal(file, table) for table, file in files.items()}
        measure(enclave, sealed, native, (duck, two_ducks), queries, runs)
    start(runs)


def quoted(path):
    return str(path).replace("'", "''")


def measure(enclave, sealed, native, engines, queries, runs):
    first, ours, others, ducks, ours_of_two, ducks_of_two = {}, {}, {}, {}, {}, {}
    duck, two_ducks = engines
    for number, query in queries:
        words = set(re.findall(r"\w+", query))
        inputs = {table: held for table, held in sealed.items() if table in words}
        sides = [
            (ours, lambda query=query, inputs=inputs: enclave.sql(query, **inputs)),
            (others, lambda query=query: collected(native, query)),
            (ducks, lambda query=query: duck.execute(query).to_arrow_table()),
            (ours_of_two, lambda query=query, inputs=inputs: enclave.sql(query, instances=2, **inputs)),
            (ducks_of_two, lambda query=query: two_ducks.execute(query).to_arrow_table()),
        ]
        first[number] = timed(sides[0][1])
        for _, call in sides[1:]:
            call()
        turns = [[timed(call) for _, call in sides] for _ in range(runs)]
        for (side, _), times in zip(sides, zip(*turns)):
            side[number] = statistics.median(times)

    def of(one, other):
        return [one[number] / other[number] for number, _ in queries]

    report(ours, others, ducks, first, ours_of_two, ducks_of_two)
    mean = statistics.geometric_mean
    row("TPC-H, geometric mean, sealed, one instance", "of DataFusion on one thread", mean(of(ours, others)), 1.3)
    row("TPC-H, slowest query of these", "of DataFusion on one thread", max(of(ours, others)), 2)
    row("TPC-H, geometric mean, sealed, one instance", "of DuckDB on one thread", mean(of(ours, ducks)), 2)
    row("TPC-H, slowest query of these", "of DuckDB on one thread", max(of(ours, ducks)))
    row("TPC-H, geometric mean, one instance", "of two", mean(of(ours, ours_of_two)), 1.7, True)
    row("TPC-H, slowest query of two instances", "of one", max(of(ours_of_two, ours)), 1.1)
    row("TPC-H, geometric mean, two instances", "of DuckDB on two threads", mean(of(ours_of_two, ducks_of_two)), 2)
    row("TPC-H, all 22 queries, two instances", "s", math.fsum(ours_of_two.values()))
    row("TPC-H, first time, geometric mean", "of the later ones", mean(of(first, ours)), 1.3)
    row("TPC-H, all 22 queries, sealed", "s", math.fsum(ours.values()))


def collected(native, query):
    # One of them has three statements: a view, the query, and the end of the view.
    for statement in filter(str.strip, query.split(";")):
        native.sql(statement).collect()


def report(ours, others, ducks, first, ours_of_two, ducks_of_two):
    names = ["query", "sealed, s", "first time", "DataFusion", "DuckDB", "two instances", "DuckDB, two threads",
             "of DataFusion", "of DuckDB", "one of two instances"]
    lines = [f"| {' | '.join(names)} |", "|---" * len(names) + "|"]
    for number in ours:
        times = [side[number] for side in (ours, first, others, ducks, ours_of_two, ducks_of_two)]
        ratios = [times[0] / times[2], times[0] / times[3], times[0] / times[4]]
        cells = [f"{time:.3f}" for time in times] + [f"{ratio:.2f}" for ratio in ratios]
        lines.append(f"| {number} | {' | '.join(cells)} |")
    print("\n".join(lines), file=sys.stderr, flush=True)


def start(runs):
    """`select 1` as a whole process, with everything compiled before."""
    command = [Path(os.environ["MC2_BINARIES"], "mc2-run"), Path(os.environ["MC2_SQL"]), "--", "select 1"]
    call = lambda: subprocess.run(command, check=True, capture_output=True)  # noqa: E731
    call()
    row("select 1, whole process", "s", statistics.median(timed(call) for _ in range(max(runs, 5))), 0.3)


main()
