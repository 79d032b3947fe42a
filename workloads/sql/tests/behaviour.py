"""What the SQL component does with good and bad input, run as a user runs it.

    behaviour.py RUNNER…

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
import pyarrow.csv as csv
import pyarrow.feather as feather
import pyarrow.ipc as ipc
import pyarrow.parquet as parquet

RUNNER = sys.argv[1:]


class Case:
    """A folder of inputs, and runs over it."""

    def __init__(self, folder):
        self.folder = pathlib.Path(folder)

    def file(self, name, content):
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    def run(self, *args, inputs=(), outputs=(), options=()):
        command = [*RUNNER, *options]
        for name, path in dict(inputs).items():
            command += ["--in", f"{name}={path}"]
        for name in outputs:
            command += ["--out", f"{name}={self.folder / ('out-' + name)}"]
        done = subprocess.run([*command, "--", *args], capture_output=True, text=True)
        return done

    def ok(self, *args, **kwargs):
        done = self.run(*args, **kwargs)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def fails(self, *args, **kwargs):
        done = self.run(*args, **kwargs)
        assert done.returncode == 1, (done.returncode, done.stdout, done.stderr)
        return done.stderr

    def script(self, sql, inputs=(), args=("--format", "csv")):
        """Runs SQL too long for a command line."""
        inputs = {**dict(inputs), "q": self.file("q.sql", sql)}
        return self.run(*args, "--file", "/in/q", inputs=inputs)

    def csv(self, *args, **kwargs):
        """The rows of the result, header first."""
        text = self.ok("--format", "csv", *args, **kwargs)
        return [line.split(",") for line in text.splitlines()]


TABLE = pa.table({"id": [1, 2, 3], "name": ["a", "b", None]})


def every_format_is_a_table_whatever_its_name(case):
    parquet.write_table(TABLE, case.folder / "p", compression="zstd")
    feather.write_feather(TABLE, case.folder / "a", compression="lz4")
    with ipc.new_stream(case.folder / "s", TABLE.schema) as stream:
        stream.write_table(TABLE)
    case.file("c", "id,name\n1,a\n2,b\n3,\n")
    case.file("t.tsv", "id\tname\n1\ta\n2\tb\n3\t\n")
    inputs = {name: case.folder / name for name in ["p", "a", "s", "c"]}
    inputs["t"] = case.folder / "t.tsv"
    for name in inputs:
        options = ["--delimiter", "\\t"] if name == "t" else []
        table = {name: inputs[name]}
        rows = case.csv(*options, f"select sum(id), count(name) from {name}", inputs=table)
        assert rows[1] == ["6", "2"], (name, rows)


def parquet_of_every_codec_is_read(case):
    for codec in ["snappy", "gzip", "zstd", "lz4", "brotli", "none"]:
        parquet.write_table(TABLE, case.folder / codec, compression=codec)
    inputs = {codec: case.folder / codec for codec in ["snappy", "gzip", "zstd", "lz4", "brotli"]}
    query = " union all ".join(f"select sum(id) from {name}" for name in inputs)
    assert case.csv(query, inputs=inputs)[1:] == [["6"]] * 5


def a_folder_is_one_table_and_its_paths_are_columns(case):
    for year in [2025, 2026]:
        (case.folder / f"days/year={year}").mkdir(parents=True)
        parquet.write_table(TABLE, case.folder / f"days/year={year}/part 1.parquet")
    case.file("days/_SUCCESS", "")
    rows = case.csv("select year, sum(id) from days group by year order by year",
                    inputs={"days": case.folder / "days"})
    assert rows[1:] == [["2025", "6"], ["2026", "6"]], rows


def a_folder_of_two_formats_is_refused(case):
    parquet.write_table(TABLE, case.file("mix/a.parquet", ""))
    case.file("mix/b.csv", "x\n1\n")
    error = case.fails("select 1", inputs={"mix": case.folder / "mix"})
    assert 'table "mix"' in error and "a.parquet" in error and "b.csv" in error, error


def types_of_a_csv_are_told_from_its_rows(case):
    path = case.file("t", "d,n,f,b,s\n2026-01-31,7,1.5,true,x\n2026-02-01,,,,\n")
    rows = case.csv("select column_name, data_type from information_schema.columns "
                    "where table_name = 't' order by ordinal_position", inputs={"t": path})
    assert [row[1] for row in rows[1:]] == ["Date32", "Int64", "Float64", "Boolean", "Utf8"] or \
           [row[1] for row in rows[1:]] == ["Date32", "Int64", "Float64", "Boolean", "Utf8View"], rows
    rows = case.csv("select count(*) from t where n is null and d > '2026-01-31'", inputs={"t": path})
    assert rows[1] == ["1"]


def a_ragged_csv_is_refused_with_its_line(case):
    path = case.file("t", "a,b\n1,2\n3\n4,5\n")
    error = case.fails("select * from t", inputs={"t": path})
    assert "line 3" in error and '"t"' in error, error


def a_value_of_another_type_than_the_first_rows_gives_advice(case):
    path = case.file("t", "a\n" + "1\n" * 50 + "N/A\n")
    error = case.fails("--infer-rows", "10", "select sum(a) from t", inputs={"t": path})
    assert "N/A" in error and "--null" in error, error
    rows = case.csv("--infer-rows", "10", "--null", "N/A", "select sum(a) from t", inputs={"t": path})
    assert rows[1] == ["50"]


def bad_files_are_refused_by_name(case):
    for content, said in [
        (b"", "empty"),
        (b"\x1f\x8b\x08\x00abc", "gzip"),
        (b'{"a": 1}\n', "JSON"),
        (b"abc\x00\x01\x02", "binary"),
    ]:
        error = case.fails("select 1", inputs={"t": case.file("t", content)})
        assert 'table "t"' in error and said in error, error


def a_corrupt_parquet_file_is_an_error_not_a_trap(case):
    # Uncompressed, so that what is broken is noticed by the decoder alone, or not at all.
    table = pa.table({"a": list(range(50_000)), "s": [str(n) for n in range(50_000)]})
    path = case.folder / "t.parquet"
    parquet.write_table(table, path, compression="snappy")
    whole = path.read_bytes()
    error = case.fails("select 1", inputs={"t": case.file("cut", whole[:-100])})
    assert 'table "t"' in error and "Parquet" in error, error
    chance = random.Random(7)
    for _ in range(6):
        broken = bytearray(whole)
        for _ in range(40):
            broken[chance.randrange(4, len(broken) // 2)] ^= 0xFF
        done = case.run("select sum(a), max(s) from t", inputs={"t": case.file("t", bytes(broken))})
        assert done.returncode in (0, 1), done
        if done.returncode == 1:
            assert 'table "t"' in done.stderr, done.stderr


def statements_run_in_order_and_all_selects_print(case):
    out = case.ok(
        "create table t as select 1 as a; insert into t values (2), (3);"
        "create view v as select sum(a) as s from t; select * from v; set datafusion.execution."
        "batch_size = 100; select count(*) as n from t;;")
    assert "6" in out and "| n |" in out and out.count("(1 row)") == 2, out


def with_an_output_the_last_result_goes_there(case):
    out = case.ok("--output", "r", "--format", "csv", "select 1 as a; select 2 as b; set "
                  "datafusion.execution.batch_size = 10", outputs=["r"])
    assert "| a |" in out and "b" not in out, out
    assert (case.folder / "out-r").read_text() == "b\n2\n"


def every_output_format_is_what_others_read(case):
    query = "select * from (values (1, 'x', date '2026-01-31'), (2, null, null)) as t(a, b, c)"
    for format, read in [
        ("parquet", parquet.read_table),
        ("arrow", feather.read_table),
        ("csv", csv.read_csv),
        ("json", lambda path: pa.Table.from_pylist(
            [__import__("json").loads(line) for line in path.read_text().splitlines()])),
    ]:
        case.ok("--output", "r", "--format", format, query, outputs=["r"])
        table = read(case.folder / "out-r")
        assert table.num_rows == 2 and table.column_names == ["a", "b", "c"], table
        assert table.column("a").to_pylist() == [1, 2]


def an_output_is_what_the_job_wants_there_or_refused(case):
    for ending, content in [("csv", "a,b\n1,x\n"), ("tsv", "a\tb\n1\tx\n"),
                            ("json", '{"a":1,"b":"x"}\n')]:
        path = case.folder / f"o.{ending}"
        case.ok("--output", "r", "select 1 as a, 'x' as b", options=["--out", f"r={path}"])
        assert path.read_text() == content, path.read_text()
    for args, ending, said in [((), "md", "text/markdown"),
                               (("--format", "parquet"), "csv", "leave --format out")]:
        options = ["--out", f"r={case.folder / ('o2.' + ending)}"]
        error = case.fails("--output", "r", *args, "select 1 as a", options=options)
        assert said in error, error


def an_empty_result_has_its_columns(case):
    for format, read in [("parquet", parquet.read_table), ("arrow", feather.read_table)]:
        case.ok("--output", "r", "--format", format, "select 1 as a where false", outputs=["r"])
        assert read(case.folder / "out-r").column_names == ["a"]
    assert case.ok("--format", "csv", "select 1 as a where false") == "a\n"


def the_query_can_be_an_input(case):
    query = case.file("q.sql", "-- all of it\nselect count(*) as n from t\n")
    data = case.file("t.csv", "a\n1\n")
    rows = case.csv("--file", "/in/q", inputs={"q": query, "t": data})
    assert rows == [["n"], ["1"]]
    error = case.fails("--file", "/in/other", inputs={"t": data})
    assert "other" in error, error


def errors_name_the_place(case):
    data = {"orders": case.file("orders.csv", "o_id,o_total\n1,2\n")}
    for query, place, said in [
        ("select\n  o_idd from orders", "line 2, column 3", "o_id"),
        ("select * from ordrs", "line 1, column 15", "orders"),
        ("select o_id form orders", "line 1, column 18", "Expected"),
        ("select 1;\nselect nosuch(o_id) from orders", "line 2, column 8", "nosuch"),
        ("select 1;\n\n  select 1 / (o_id - 1) from orders", "line 3, column 3", "Divide by zero"),
        ("select 'open", "line 1, column 8", "nterminated"),
        ("select o_id from orders where o_id = 'x'", "line 1, column 38", "Cast error"),
        ("select o_id, count(*) from orders", "line 1, column 8", "GROUP BY"),
    ]:
        error = case.fails(query, inputs=data)
        assert place in error and said in error and "^" in error, error


def an_error_of_a_value_is_in_its_own_statement(case):
    error = case.fails("select cast(concat('20', '26-13-01') as date) as a; select '2026-13-01' as b")
    assert "line 1, column 1" in error and "^" in error, error
    error = case.fails("select 1;\nselect date '2026-13-01' as a;\nselect date '2026-13-01' as b")
    assert "line 2, column 13" in error, error


def errors_speak_of_types_and_not_of_the_engine(case):
    data = {"t": case.file("t.csv", "a,s,d\n1,x,2026-01-31\n")}
    for query, said in [
        ("select sum(s) from t", "there is no sum(Utf8), but sum("),
        ("select abs(s) from t", "there is no abs(Utf8), but abs("),
        ("select coalesce(a, d) from t", "there is no coalesce(Int64, Date32)"),
        ("select a = d from t", "Date32 beside Int64"),
        ("select a from t where a between d and 5", "Date32 beside Int64"),
        ("select t.a, l.y from t, lateral (select t.a * 10 as y) l", "refers to the outer query"),
        ("select a + s from t", "Int64 + Utf8"),
    ]:
        error = case.fails(query, inputs=data)
        assert said in error and "line 1, column" in error, (query, error)
        for word in ["bug", "Internal", "OuterReference", "Candidate"]:
            assert word not in error, (query, error)


def how_a_query_ran_is_never_an_output(case):
    query = "explain analyze select 1 as a"
    assert "output_rows" in case.ok(query)
    for how in ["analyze", "verbose", ""]:
        error = case.fails("--output", "r", f"explain {how} select 1 as a", outputs=["r"])
        assert "no statement has a result" in error, (how, error)
    # Neither by another name.
    error = case.fails("--output", "r", f"prepare p as {query}; execute p", outputs=["r"])
    assert "EXPLAIN in PREPARE" in error, error
    out = case.ok("--output", "r", "--format", "csv", f"select 2 as b; {query}", outputs=["r"])
    assert "output_rows" in out and (case.folder / "out-r").read_text() == "b\n2\n", out


def a_zone_that_puts_its_clocks_back_is_sorted_again(case):
    # A minute past midnight it was eleven again.
    moments = ("select arrow_cast(s, 'Timestamp(Second, Some(\"America/Goose_Bay\"))') as t from "
               "(values (562129260::bigint), (562129259::bigint)) v(s)")
    out = case.ok("--format", "csv", "select arrow_cast(t, 'Int64') as s from (select t from "
                  f"({moments}) order by t limit 2) order by date_trunc('hour', t)")
    assert out == "s\n562129260\n562129259\n", out


def nothing_runs_where_any_statement_is_no_sql(case):
    done = case.run("select 1 as a; selec 2")
    assert done.returncode == 1 and done.stdout == "", done


def an_arrow_takes_what_stands_beside_it(case):
    data = {"t": case.file("t.csv", 'j\n"{""a"":3,""b"":{""c"":""x""}}"\n')}
    for free, bound in [
        ("j ->> 'a' = '3'", "(j ->> 'a') = '3'"), ("'3' = j ->> 'a'", "'3' = (j ->> 'a')"),
        ("j -> 'b' ->> 'c' || j ->> 'a'", "((j -> 'b') ->> 'c') || (j ->> 'a')"),
        ("'x' || j ->> 'a' || 'y'", "('x' || (j ->> 'a')) || 'y'"),
        ("j ->> 'a' is null", "(j ->> 'a') is null"),
        ("not j ->> 'a' in ('3', '4') or j ->> 'b' like '%'",
         "(not ((j ->> 'a') in ('3', '4'))) or ((j ->> 'b') like '%')"),
        ("5 between 1 and j -> 'a' and true", "(5 between 1 and (j -> 'a')) and true"),
        ("j -> 'a' > 2 and j ->> 'a' is distinct from '4'",
         "((j -> 'a') > 2) and ((j ->> 'a') is distinct from '4')"),
    ]:
        rows = case.csv(f"select {free} as a, {bound} as b from t", inputs=data)
        assert rows[1][0] == rows[1][1] != "", (free, rows)


SPENDING = """id,day,amount,note
1,2026-01-30,1.25,it's
2,2026-01-31,10.50,$from
3,2026-02-01,99.00,a -- b
"""


def a_parameter_has_the_type_of_what_it_stands_beside(case):
    inputs = {"t": case.file("t.csv", SPENDING)}

    def ids(where, *params):
        options = [part for param in params for part in ("--param", param)]
        rows = case.csv(*options, f"select id from t where {where} order by id", inputs=inputs)
        return [int(row[0]) for row in rows[1:]]

    assert ids("day >= $from", "from=2026-01-31") == [2, 3]
    assert ids("day between $a and $b", "a=2026-01-30", "b=2026-01-31") == [1, 2]
    assert ids("amount > $x", "x=9") == [2, 3]
    # As texts, 9 would be the last of them.
    assert ids("id < $x", "x=10") == [1, 2, 3]
    assert ids("id in ($a, $b)", "a=1", "b=3") == [1, 3]
    assert ids("note = $n", "n=it's") == [1]
    assert ids("note like $n", "n=%--%") == [3]
    assert ids("id <= $x and amount >= $x", "x=2") == [2]
    assert case.csv("--param", "n=2", "select id from t order by id limit $n",
                    inputs=inputs)[1:] == [["1"], ["2"]]
    assert case.csv("--param", "d=2026-01-31", "select cast($d as date) + interval '1 day'",
                    inputs=inputs)[1] == ["2026-02-01"]
    assert case.csv("--param", "x=7", "create view v as select id + $x as y from t; "
                    "select sum(y) from v", inputs=inputs)[1] == ["27"]
    assert case.csv("--param", "x=2", "with u as (select id from t where id >= $x) "
                    "select (select max(id) from u where id > $x), count(*) from u",
                    inputs=inputs)[1] == ["3", "2"]


def a_value_never_becomes_part_of_the_query(case):
    inputs = {"t": case.file("t.csv", SPENDING)}
    for value in ["x' or '1'='1", "'", "''", '"', "--", "/*", "*/", ";", "x; drop table t",
                  "$from", "$$", "\\'", "1) union select 1 --", "a\nb", "=", "--output"]:
        rows = case.csv("--param", f"v={value}",
                        "select count(*) from t where note = $v", inputs=inputs)
        assert rows[1] == ["1" if value == "$from" else "0"], (value, rows)
        done = case.ok("--format", "json", "--param", f"v={value}",
                       "select cast($v as varchar) as v")
        assert json.loads(done) == {"v": value}, (value, done)
    # Where a number is wanted, what is none is an error and no text.
    for value in ["1 or 1=1", "1; select 2", "0x10", "(1)", "id", "", "1e400x"]:
        error = case.fails("--param", f"v={value}", "select id from t where id = $v",
                           inputs=inputs)
        assert "parameter $v" in error and "Int64" in error, (value, error)


def what_looks_like_a_parameter_in_a_text_a_name_or_a_comment_is_none(case):
    for text in ["'$x'", "'it''s $x'", "$$a $x b$$", "$tag$a $x $$ b$tag$", "e'$x'"]:
        error = case.fails("--param", "x=1", f"select {text} as v")
        assert "--param x is not used" in error, (text, error)
        assert "$x" in case.ok(f"select {text} as v"), text
    for sql in ["select 1 -- $x", "select /* $x */ 1", "select /* /* $x */ $x */ 1",
                'select 1 as "$x"']:
        assert "--param x is not used" in case.fails("--param", "x=1", sql), sql
        case.ok(sql)
    done = case.ok("--format", "json", "--param", "x=1",
                   "select cast($x as varchar) as a, '$x' as b, $$$x$$ as c -- $x")
    assert json.loads(done) == {"a": "1", "b": "$x", "c": "$x"}, done


def parameters_without_values_and_values_without_parameters_are_named(case):
    error = case.fails("select 1;\nselect $from")
    assert "$from has no value" in error and "line 2, column 8" in error, error
    error = case.fails("--param", "from=1", "--param", "form=2", "select $from")
    assert "--param form is not used" in error, error
    # Before any of them runs.
    assert case.run("select 1; select $x").stdout == ""
    assert ":x" in case.fails("--param", "y=1", "select cast($y as int), :x")
    rows = case.csv("--param", "x=5", "prepare p(int) as select $1 + 1; execute p($x)")
    assert rows[1] == ["6"], rows


def a_parameter_of_no_type_is_refused_and_never_compared_as_a_text(case):
    inputs = {"t": case.file("t.csv", SPENDING)}
    for where in ["$a > $b", "id > case when id > 1 then $a else $b end",
                  "amount > greatest($a, $b)"]:
        error = case.fails("--param", "a=10", "--param", "b=9",
                           f"select id from t where {where}", inputs=inputs)
        assert "nothing tells the type of the parameter $" in error, (where, error)
    rows = case.csv("--param", "a=10", "--param", "b=9", "select count(*) from t "
                    "where cast($a as int) > cast($b as int)", inputs=inputs)
    assert rows[1] == ["3"], rows


def a_value_is_not_cut_to_fit(case):
    parquet.write_table(
        pa.table({"d": pa.array([decimal.Decimal("1.25")], pa.decimal128(10, 2))}),
        case.folder / "p")
    inputs = {"t": case.file("t.csv", SPENDING), "p": case.folder / "p"}
    error = case.fails("--param", "d=2026-01-31T10:00:00", "select 1 from t where day = $d",
                       inputs=inputs)
    assert "a day is wanted" in error, error
    error = case.fails("--param", "d=2026-02-30", "select 1 from t where day = $d", inputs=inputs)
    assert "Date32" in error and "parameter $d" in error, error
    assert case.csv("--param", "x=1.250", "select count(*) from p where d = $x",
                    inputs=inputs)[1] == ["1"]
    error = case.fails("--param", "x=1.254", "select count(*) from p where d = $x", inputs=inputs)
    assert "rounded" in error, error


def what_reaches_for_files_is_refused(case):
    for query, said in [
        ("copy (select 1) to '/out/x.csv'", "--output"),
        ("create external table t stored as csv location '/in/x'", "input"),
        ("insert into t values (1)", "input"),
        ("set datafusion.runtime.memory_limit = '4G'", "cannot be changed"),
        ("set datafusion.sql_parser.dialect = 'postgres'", "cannot be changed"),
        ("set time zone = '+02:00'", "AT TIME ZONE"),
    ]:
        error = case.fails(query, inputs={"t": case.file("t.csv", "a\n1\n")})
        assert said in error, error


def a_wrong_command_line_is_explained(case):
    assert "--help" in case.fails("--nope", "select 1")
    assert "no query" in case.fails()
    assert "QUERY" in case.ok("--help")
    error = case.fails("--output", "r", "set datafusion.execution.batch_size = 10", outputs=["r"])
    assert "SELECT" in error, error


def deep_queries_run_or_are_refused_and_never_trap(case):
    data = {"t": case.file("t.csv", "a,b\n1,2\n")}
    def holds(sql, last):
        done = case.script(sql, data)
        assert done.returncode == 0 and done.stdout.splitlines()[-1] == last, done.stderr[-2000:]

    def refused(sql):
        done = case.script(sql, data)
        assert done.returncode == 1 and "deep" in done.stderr, (done.returncode, done.stderr[-2000:])

    ored = " or ".join(f"(a = {n} and b = {n + 1})" for n in range(1000))
    holds(f"select count(*) from t where {ored}", "1")
    union = " union all ".join(f"select {n} as a" for n in range(400))
    holds(f"select count(*) from ({union})", "400")
    holds("select " + " + ".join(["1"] * 3_900), "3900")
    holds("select count(*) from t where " + " and ".join(["a < 2"] * 3_900), "1")
    nested = "select a from t"
    for _ in range(60):
        nested = f"select a from ({nested}) as x where a > 0"
    holds(nested, "1")
    joined = " ".join(f"join t as t{n} on t0.a = t{n}.a" for n in range(1, 30))
    holds(f"select count(*) from t as t0 {joined}", "1")
    values = ", ".join(f"(-{n}, 'x')" for n in range(20_000))
    holds(f"select count(*) from (values {values}) as v(a, b)", "20000")
    holds(f"select count(*) from t where a in ({', '.join(map(str, range(20_000)))})", "1")
    refused("select " + "(" * 3000 + "1" + ")" * 3000)
    refused("select " + " + ".join(["1"] * 20_000))
    refused(" union all ".join(f"select {n} as a" for n in range(5_000)))
    refused("select " + "case when a = 1 then " * 500 + "1" + " end" * 500 + " from t")


def sorting_grouping_and_joining_spill(case):
    count = 400_000
    chance = random.Random(1)
    keys = list(range(count))
    chance.shuffle(keys)
    table = pa.table({"k": keys, "pad": [f"{k:040}" for k in keys]})
    parquet.write_table(table, case.folder / "t.parquet")
    inputs = {"t": case.folder / "t.parquet"}
    memory = ["--memory", "24MiB"]
    case.ok(*memory, "--output", "r", "--format", "parquet", "select * from t order by pad",
            inputs=inputs, outputs=["r"])
    found = parquet.read_table(case.folder / "out-r").column("k").to_pylist()
    assert found == list(range(count))
    rows = case.csv(*memory, "select count(*), sum(n) from "
                    "(select pad, count(*) as n from t group by pad)", inputs=inputs)
    assert rows[1] == [str(count), str(count)]
    memory = ["--memory", "48MiB"]
    rows = case.csv(*memory, "select count(*), sum(a.k) from t a join t b on a.pad = b.pad",
                    inputs=inputs)
    assert rows[1] == [str(count), str(count * (count - 1) // 2)]


def what_cannot_spill_says_what_it_may_use(case):
    error = case.fails("--memory", "8MiB", "select length(array_to_string(array_agg(value), ',')) "
                       "from generate_series(1, 5000000)")
    assert "8 MiB" in error and "--memory" in error, error
    assert "grouping asked for" in error and "array_agg, string_agg" in error, error
    for internal in ["Stream", "Exec", "pool", "spill"]:
        assert internal not in error, error


def names_are_found_in_any_case(case):
    data = {"Orders": case.file("o.csv", "Id\n1\n")}
    assert case.csv('select "Id" from Orders', inputs=data)[1] == ["1"]
    assert case.csv('select "Id" from "Orders"', inputs=data)[1] == ["1"]
    assert "Id" in case.fails("select id from Orders", inputs=data)


def programs_are_told_how_every_statement_ended(case):
    data = {"t": case.file("t.csv", "a,b\n1,x\n2,\n")}
    script = ("select * from t order by a; select a / 0 from t; selec 1; create table v as "
              "select 1.5 as f; select f, 'a;\"b' as s from v")
    lines = case.ok("--results", "ndjson", "--keep-going", script, inputs=data).splitlines()
    lines = [json.loads(line) for line in lines]
    columns = lines[0].pop("columns")
    assert [column["name"] for column in columns] == ["a", "b"], columns
    assert columns[0]["type"] == "Int64", columns
    assert lines[:4] == [{"statement": 0}, ["1", "x"], ["2", None],
                         {"statement": 0, "done": True}], lines
    ends = {line["statement"]: line for line in lines
            if isinstance(line, dict) and "columns" not in line and len(line) > 1}
    assert "ivide by zero" in ends[1]["error"], ends
    assert "selec" in ends[2]["error"] and "line 1, column 50" in ends[2]["error"], ends
    assert ends[3] == {"statement": 3, "done": True}, ends
    assert lines[-2:] == [["1.5", 'a;"b'], {"statement": 4, "done": True}], lines
    # Without --keep-going nothing runs where one does not parse, and nothing after one that fails.
    assert case.run("--results", "ndjson", script, inputs=data).stdout == ""
    done = case.run("--results", "ndjson", "select a / 0 from t; select 1", inputs=data)
    assert done.returncode == 1 and '"statement":1' not in done.stdout, done


CLAIMS = [value for value in list(globals().values())
          if callable(value) and getattr(value, "__code__", None)
          and value.__code__.co_varnames[:1] == ("case",)]


def main():
    failed = []
    for claim in CLAIMS:
        with tempfile.TemporaryDirectory() as folder:
            try:
                claim(Case(folder))
            except Exception:
                traceback.print_exc()
                failed.append(claim.__name__)
            print(f"{'FAILED' if claim.__name__ in failed else 'ok'}  {claim.__name__}", flush=True)
    print(f"{len(CLAIMS) - len(failed)} of {len(CLAIMS)} claims hold")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
