"""The 22 queries of TPC-H by the SQL component, compared with DuckDB's answers on the same files.

    tpch.py --data DIR [--queries 1,3,6,18] [--json FILE] -- RUNNER…

DIR holds TABLE.parquet for the eight tables. RUNNER is a command that takes a component's inputs,
outputs and arguments as mc2-run does, as `mc2-run sql.wasm` or `mc2-run --bare sql.wasm`. Exit
code 0 says that every answer is equal. Needs duckdb, its tpch extension and pyarrow.
"""

import argparse
import datetime
import decimal
import json
import pathlib
import subprocess
import sys
import tempfile
import time

import duckdb
import pyarrow.parquet as parquet
from duckdb_extensions import import_extension

TABLES = ["customer", "lineitem", "nation", "orders", "part", "partsupp", "region", "supplier"]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=pathlib.Path, required=True)
    parser.add_argument("--queries", default=",".join(str(n) for n in range(1, 23)))
    parser.add_argument("--json", type=pathlib.Path, help="write the times here")
    parser.add_argument("--instances", default="1")
    parser.add_argument("runner", nargs="+")
    args = parser.parse_args()

    reference = duckdb.connect()
    import_extension("tpch", con=reference)
    reference.execute("load tpch")
    texts = dict(reference.execute("select query_nr, query from tpch_queries()").fetchall())
    for table in TABLES:
        path = str(args.data / f"{table}.parquet").replace("'", "''")
        reference.execute(f"create view {table} as select * from read_parquet('{path}')")

    wrong, times = [], {}
    for number in (int(n) for n in args.queries.split(",")):
        expected = reference.execute(texts[number])
        names = [column[0] for column in expected.description]
        expected = expected.fetchall()
        started = time.monotonic()
        found = run([*args.runner, "--instances", args.instances], args.data, texts[number])
        times[number] = time.monotonic() - started
        if isinstance(found, str):
            problem = found
        else:
            problem = difference(names, expected, *found)
        print(f"query {number:2}: {times[number]:7.3f} s, {len(expected):5} rows, "
              f"{problem or 'equal'}", flush=True)
        if problem:
            wrong.append(number)
    print(f"all: {sum(times.values()):.3f} s")
    if args.json:
        args.json.write_text(json.dumps(times, indent=2) + "\n")
    if wrong:
        sys.exit(f"different: {wrong}")


def run(runner, data, query):
    """Column names and rows, or what went wrong."""
    with tempfile.TemporaryDirectory() as folder:
        result = pathlib.Path(folder) / "result.parquet"
        command = list(runner)
        for table in TABLES:
            command += ["--in", f"{table}={data / (table + '.parquet')}"]
        command += ["--out", f"result={result}", "--"]
        command += ["--output", "result", "--format", "parquet", query]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode != 0:
            return f"exit code {done.returncode}: {done.stderr.strip()}"
        table = parquet.read_table(result)
    columns = [column.to_pylist() for column in table.columns]
    rows = [tuple(column[row] for column in columns) for row in range(table.num_rows)]
    return table.column_names, rows


def difference(expected_names, expected, names, rows):
    """What differs, or nothing."""
    if len(names) != len(expected_names):
        return f"{len(names)} columns, expected {len(expected_names)}"
    if len(rows) != len(expected):
        return f"{len(rows)} rows, expected {len(expected)}"
    found = first_unequal(expected, rows)
    if found is None:
        return None
    # Rows that the ORDER BY does not tell apart may come in any order.
    key = lambda row: tuple(plain(value) for value in row)
    if first_unequal(sorted(expected, key=key), sorted(rows, key=key)) is None:
        return None
    return f"row {found}: found {rows[found]}, expected {expected[found]}"


def first_unequal(expected, rows):
    for index, (left, right) in enumerate(zip(expected, rows)):
        if not all(equal(a, b) for a, b in zip(left, right)):
            return index
    return None


def equal(a, b):
    if a is None or b is None:
        return a is b
    if isinstance(a, (int, float, decimal.Decimal)) and isinstance(b, (int, float, decimal.Decimal)):
        if a == b:
            return True
        # An average of decimals is a double in one engine and a decimal of six places in the
        # other; sums are exact in both.
        places = [-v.as_tuple().exponent for v in (a, b) if isinstance(v, decimal.Decimal)]
        if not any(isinstance(v, float) for v in (a, b)) and len(set(places)) == 1:
            return False
        slack = 10.0 ** -min(places) if places and min(places) >= 4 else 0.0
        return abs(float(a) - float(b)) <= max(slack, 1e-9 * max(abs(float(a)), abs(float(b))))
    if isinstance(a, datetime.datetime) != isinstance(b, datetime.datetime):
        day = lambda v: v.date() if isinstance(v, datetime.datetime) else v
        return day(a) == day(b)
    return a == b


def plain(value):
    """A key that sorts values of both engines alike."""
    if value is None:
        return ""
    if isinstance(value, (int, float, decimal.Decimal)):
        return f"{float(value):.3f}"
    return str(value)


if __name__ == "__main__":
    main()
