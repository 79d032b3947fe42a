"""What several instances answer together, compared with what one answers.

    together.py [--only NAME,…] RUNNER…

RUNNER is a command that takes inputs, outputs and arguments as mc2-run does, as
`mc2-run --bare sql.wasm`. Needs pyarrow; prints one line a claim and exits with 1 where one fails.
"""

import decimal
import json
import pathlib
import random
import subprocess
import sys
import tempfile
import traceback

import pyarrow as pa
import pyarrow.parquet as parquet

RUNNER = sys.argv[1:]
ONLY = None
if RUNNER[:1] == ["--only"]:
    ONLY, RUNNER = RUNNER[1].split(","), RUNNER[2:]

ROWS = 240_000
GROUPS = 8
LAST = ROWS - 1


class Case:
    """Tables of several row groups, and runs over them."""

    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        chance = random.Random(1)
        numbers = list(range(ROWS))
        keys = [chance.randrange(2000) if chance.random() < 0.98 else None for _ in numbers]
        self.write("facts", pa.table({
            "n": numbers,
            "k": pa.array(keys, pa.int32()),
            "amount": pa.array([chance.randrange(10**6) for _ in numbers], pa.int64()),
            "text": [f"{chance.randrange(10**9):024}" for _ in numbers],
            "kind": [chance.choice(["a", "b", "c", None]) for _ in numbers],
        }))
        self.write("others", pa.table({
            "k": pa.array([chance.randrange(1000, 3000) for _ in numbers], pa.int32()),
            "m": [chance.randrange(ROWS * 2) for _ in numbers],
            "word": [f"{chance.randrange(10**9):024}" for _ in numbers],
        }))
        kinds = [None, 0.0, -0.0, float("nan"), -float("nan"), 1.5, float("inf")]
        words = pa.array([f"word {n % 300}" if n % 7 else None for n in numbers])
        self.write("types", pa.table({
            "n": numbers,
            "f": pa.array([kinds[n % 7] for n in numbers], pa.float64()),
            "d": pa.array([decimal.Decimal(n % 900) / 100 if n % 11 else None for n in numbers],
                          pa.decimal128(38, 2)),
            "w": words.dictionary_encode(),
            "t": pa.array([n % 500 * 10**6 for n in numbers], pa.timestamp("us", "UTC")),
            "b": pa.array([b"\0" * (n % 40) for n in numbers], pa.binary()),
            "l": pa.array([[n % 3, None] if n % 5 else None for n in numbers]),
            "s": pa.array([{"x": n % 3, "y": str(n % 4)} for n in numbers]),
            "o": [None if n % 3 == 0 else n % 2 == 0 for n in numbers],
            # Most rows are of one key.
            "k": [0 if n % 10 else n for n in numbers],
        }))
        self.write("none", pa.table({"k": pa.array([], pa.int32()), "x": pa.array([], pa.int64())}))
        self.write("few", pa.table({"k": pa.array([*range(1500, 2500), None], pa.int32()),
                                    "name": [f"n{i % 50}" for i in range(1001)]}))

    def write(self, name, table):
        size = max(1, table.num_rows // GROUPS)
        parquet.write_table(table, self.folder / f"{name}.parquet", row_group_size=size)

    def run(self, instances, *args, output=None):
        command = [*RUNNER, "--instances", str(instances)]
        for path in self.folder.glob("*.parquet"):
            command += ["--in", f"{path.stem}={path}"]
        if output:
            command += ["--out", f"{output}={self.folder / output}"]
        return subprocess.run([*command, "--", *args], capture_output=True, text=True, timeout=300)

    def results(self, instances, sql, *args):
        """What each statement answers: its rows in some order, or its error."""
        done = self.run(instances, "--results", "ndjson", *args, sql)
        assert done.stdout, (done.returncode, done.stderr)
        answers, rows = [], []
        for line in map(json.loads, done.stdout.splitlines()):
            if isinstance(line, list):
                rows.append(line)
            elif "columns" in line:
                rows = []
            elif "error" in line:
                answers.append(line["error"])
            elif "done" in line:
                answers.append(rows)
                rows = []
            else:
                rows = []
        return answers, done

    def alike(self, *queries, instances=(2, 3), ordered=False):
        script = ";\n".join(queries)
        order = list if ordered else (lambda rows: sorted(rows, key=repr))
        one, done = self.results(1, script)
        assert len(one) == len(queries), (len(one), done.stderr)
        for count in instances:
            several, done = self.results(count, script)
            assert len(several) == len(queries), (count, len(several), done.stderr)
            for query, a, b in zip(queries, one, several):
                assert a, query
                assert order(a) == order(b), (count, query, len(a), len(b), a[:3], b[:3])

    def plan(self, query, instances=2):
        done = self.run(instances, "--format", "json", "explain " + query)
        assert done.returncode == 0, done.stderr
        return done.stdout


def groups_are_those_of_one_instance(case):
    queries = [
        "select kind, count(*), sum(amount), min(text), max(n) from facts group by kind",
        "select k, kind, count(distinct n % 7), sum(amount) from facts group by k, kind",
        "select count(*), sum(amount), avg(n), count(distinct k) from facts",
        "select kind, k, sum(amount) from facts group by grouping sets ((kind), (k), (kind, k), ())",
        "select distinct k from facts where amount > 500000",
        "select k, count(*) from facts group by k having count(*) > 130",
    ]
    for query in queries:
        assert "ExchangeExec" in case.plan(query), query
    case.alike(*queries)


def joins_of_every_kind_are_those_of_one_instance(case):
    rows = "count(*), sum(f.amount), count(f.n), sum(f.n)"
    kinds = ["join", "left join", "right join", "full join"]
    queries = [f"select {rows}, count(o.m), sum(o.m) from facts f {kind} others o "
               f"on f.n = o.m" for kind in kinds]
    queries += [f"select {rows}, count(o.name), max(o.name) from facts f {kind} few o "
                f"on f.k = o.k" for kind in kinds]
    queries += [f"select {rows}, count(o.name), max(o.name) from few o {kind} facts f "
                f"on f.k = o.k" for kind in kinds]
    queries += [f"select {rows}, count(o.name) from few o {kind} facts f "
                f"on f.k = o.k and o.name < f.kind" for kind in kinds]
    queries += [f"select {rows}, count(o.name) from (select * from few where k < 1502) o {kind} "
                f"(select * from facts where n % 40 = 0) f on f.k > o.k" for kind in kinds]
    case.alike(*queries)


def membership_is_that_of_one_instance(case):
    queries = [f"select count(*), sum(n) from facts where k {what} (select k from {table})"
               for what in ("in", "not in")
               for table in ("few", "few where k is not null", "others", "others where k > 1990")]
    queries += [f"select count(*) from {outer} o where {what} exists "
                f"(select 1 from {inner} i where i.k = o.k)"
                for what in ("", "not") for outer, inner in
                (("facts", "few"), ("few", "facts"), ("others", "facts"))]
    queries += ["select k, k in (select k from others) from few",
                "select count(*) from facts where amount > (select avg(amount) from facts)",
                "select count(*) from facts f where amount > "
                "(select avg(amount) from facts g where g.k = f.k)",
                "select k from facts intersect select k from others",
                "select k from few except all select k from facts"]
    case.alike(*queries)


def order_is_that_of_one_instance(case):
    case.alike(
        "select n, text from facts order by text desc, n limit 50",
        "select n, amount from facts where k = 7 order by amount, n",
        "select k, sum(amount) s from facts group by k order by s desc, k limit 20 offset 5",
        "select n, row_number() over (partition by k order by n) r, "
        "sum(amount) over (partition by k order by n rows 3 preceding) from facts "
        "where k < 20 order by n",
        ordered=True)


def unions_are_those_of_one_instance(case):
    case.alike(
        "select k, count(*) from (select k from facts union all select k from few "
        "union all select 7 union all select k from others) group by k",
        "select k from facts where k < 50 union select k from few",
        "with t as (select k, sum(amount) s from facts group by k) "
        "select count(*), sum(a.s) from t a join t b on a.k = b.k + 1",
        "select count(*) from (select n from facts limit 1000) join few on n = k")


def keys_of_every_type_are_those_of_one_instance(case):
    groups = [f"select {key}, count(*), min(n), max(n) from types group by {key}"
              for key in ("f", "d", "w", "t", "b", "l", "s", "o", "f, w", "d, o, t")]
    joins = [f"select count(*), sum(a.n), sum(b.n) from types a {kind} join "
             f"(select {key}, min(n) n from types where n % 3 = 0 group by {key}) b "
             f"on a.{key} = b.{key}"
             for key in ("f", "d", "w", "t", "b", "o", "k") for kind in ("", "full")]
    case.alike(*groups, *joins,
               "select w, s, l from types where n % 50000 = 7",
               "select count(*) from (select distinct f, w, b, s, l from types)",
               "select a.k, count(*), sum(b.n) from types a join types b on a.k = b.k and b.n < 99 "
               "group by a.k")


def what_ends_early_ends(case):
    """Whoever sends finds nobody that reads, and goes on."""
    case.alike(
        "select count(*) from (select f.n from facts f join others o on f.n = o.m limit 10)",
        "select count(*) from (select text, count(*) from facts group by text limit 5)",
        "select count(*) from (select f.text, o.word from facts f join others o on f.n = o.m "
        "order by f.text limit 3 offset 100)",
        "select count(*) from (select * from facts order by text limit 100000), (select 1 from few)",
        "select exists (select 1 from facts f join others o on f.n = o.m where o.m > 5)",
        "select count(*), sum(x) from facts f join none on f.k = none.k",
        "select count(*), sum(x) from none right join facts f on f.k = none.k",
        "select count(*) from facts f left join none on f.k = none.k join others o on o.m = f.n",
        "select count(*) from facts, none",
        "select count(*) from facts where k not in (select k from none)",
        "select count(*), max(r) from (select row_number() over (order by text) r from facts)",
        "select (select max(n) from facts) m, (select sum(m) from others) s, count(*) from few "
        "where k > (select min(k) from facts where n > (select avg(m) / 100 from others))",
        "select count(*) from (select text t from facts union all select word from others "
        "union all select text from facts f join others o on f.n = o.m) where t > '5'",
        "select count(*) from (select n from facts union select m from others intersect "
        "select n from facts except select k from few)")
    # More rows than windows hold go to one instance, in an order, and nobody waits for another.
    query = ("select t, i from (select text t, n i from facts union all select word, m from others "
             "join few on others.k = few.k where few.k = 1777 union all "
             "select f.text, o.m from facts f join others o on f.text = o.word) order by t, i")
    one, two = [case.run(count, "--format", "csv", query) for count in (1, 2)]
    assert one.returncode == two.returncode == 0, (one.stderr, two.stderr)
    assert one.stdout == two.stdout and len(one.stdout.splitlines()) > ROWS


def rows_without_columns_count(case):
    query = ("select exists (select count(*) from few) as x, count(*) from (select 1 from facts) "
             "group by 1")
    assert "ExchangeExec" in case.plan(query)
    case.alike(query, "select count(*) from facts, (select 1 from few where k < 1502)",
               "select count(*), count(x) from (select null as x from facts limit 70000)")


def statements_run_one_after_the_other(case):
    script = ("create table t as select k, count(*) c from facts group by k; "
              "create view v as select kind, sum(amount) s from facts group by kind; "
              "insert into t values (-1, 5); "
              "select 'x' a, count(*) b, sum(t.c) c from facts join t on facts.k = t.k union all "
              "select kind, 0, s from v union all select 'y', count(*), sum(c) from t")
    answers = [sorted(case.results(count, script)[0][-1], key=repr) for count in (1, 2, 3)]
    assert answers[0] == answers[1] == answers[2], answers
    assert len(answers[0]) == 6, answers


def an_output_is_written_once(case):
    query = "select k, sum(amount) s from facts group by k"
    tables = []
    for count in (1, 2):
        done = case.run(count, "--output", f"r{count}", "--format", "parquet", query,
                        output=f"r{count}")
        assert done.returncode == 0, done.stderr
        tables.append(parquet.read_table(case.folder / f"r{count}").sort_by("k"))
    assert tables[0].equals(tables[1]) and tables[0].num_rows == 2001
    done = case.run(2, "--format", "csv", "select count(*) from facts")
    assert done.stdout.split() == ["count(*)", str(ROWS)], done


def what_gains_nothing_is_run_by_the_first(case):
    for query in ("select 1", "select name, count(*) from few group by name",
                  "select n, text from facts"):
        assert "ExchangeExec" not in case.plan(query), query
    case.alike("select 1", "select name, count(*) from few group by name",
               "select count(*) from (select n, text from facts)")


def what_each_would_plan_otherwise_is_run_by_the_first(case):
    # Each has its own time, which is in its plan.
    query = "select count(distinct t) from (select now() t, n from facts)"
    for count in (1, 2, 3):
        answers, done = case.results(count, query)
        assert answers == [[["1"]]], (count, answers, done.stderr)


def an_instance_that_fails_fails_all_with_its_words(case):
    # The first row is the first instance's, the last the last's.
    for row in (0, LAST):
        query = f"select k, sum(1000 / (n - {row})) from facts group by k"
        assert "ExchangeExec" in case.plan(query), query
        for count in (2, 3):
            done = case.run(count, query)
            assert done.returncode == 1, done
            assert "ivide by zero" in done.stderr and "line 1" in done.stderr, done.stderr
            assert done.stdout == "", done.stdout


def what_follows_a_failure_runs_where_it_is_to(case):
    script = (f"select k, sum(1000 / (n - {LAST})) from facts group by k; "
              "select count(*) from facts; select sum(nothing) from facts; "
              "select kind, count(*) from facts group by kind")
    one, _ = case.results(1, script, "--keep-going")
    for count in (2, 3):
        several, done = case.results(count, script, "--keep-going")
        assert "ivide by zero" in several[0] and one[2] == several[2], (one, several)
        assert one[1] == several[1] and sorted(map(repr, one[3])) == sorted(map(repr, several[3]))
        assert done.returncode == 0, done


def little_memory_is_enough_with_files(case):
    queries = ["select count(*), sum(f.n), min(o.word) from facts f join others o on f.text < o.word "
               "and f.n = o.m",
               "select count(*), sum(c) from (select text, count(*) c from facts group by text)",
               "select n from facts order by text limit 3"]
    for query in queries:
        one, _ = case.results(1, query)
        for count in (1, 2):
            # It is said of all instances together.
            found, done = case.results(count, query, "--memory", f"{24 * count}MiB")
            assert one == found, (count, query, found, done.stderr)
    # What is too much beside the rows of others the first does alone.
    done = case.run(2, "--memory", "24MiB", "--output", "sorted", "--format", "parquet",
                    "select text from facts order by text", output="sorted")
    assert done.returncode == 0, done.stderr
    assert parquet.read_table(case.folder / "sorted").num_rows == ROWS


CLAIMS = [value for value in list(globals().values())
          if callable(value) and getattr(value, "__code__", None)
          and value.__code__.co_varnames[:1] == ("case",)]


def main():
    failed = []
    claims = [claim for claim in CLAIMS if ONLY is None or claim.__name__ in ONLY]
    with tempfile.TemporaryDirectory() as folder:
        case = Case(folder)
        for claim in claims:
            try:
                claim(case)
            except Exception:
                traceback.print_exc()
                failed.append(claim.__name__)
            print(f"{'FAILED' if claim.__name__ in failed else 'ok'}  {claim.__name__}", flush=True)
    print(f"{len(claims) - len(failed)} of {len(claims)} claims hold")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
