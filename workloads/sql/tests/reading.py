"""That the SQL component reads what the files hold, as DuckDB does, or says which file it cannot read.

    reading.py RUNNER…

RUNNER is a command that takes inputs and arguments as mc2-run does, as `mc2-run --bare sql.wasm`.
Needs pyarrow and duckdb; prints one line a claim and exits with 1 where one fails.
"""

import bz2
import datetime
import decimal
import gzip
import json
import lzma
import pathlib
import re
import subprocess
import sys
import tempfile

import duckdb
import pyarrow as pa
import pyarrow.feather as feather
import pyarrow.parquet as parquet

RUNNER = sys.argv[1:]
INTEGERS = "".join(f"{n},\n" for n in range(12_000))


def csv(*lines):
    return "\n".join(lines) + "\n"


# A claim, the files of the table t (one is the table, several are a folder), and queries.
SAME = [
    ("values that come late in a column are not lost", {
        "t": "id,note\n" + INTEGERS + "12000,word\n"}, [
        "select count(*) as n, count(note) as k from t",
        "select id from t where note is not null"]),
    ("numbers, dates and times that come late have their type", {
        "t": "a,b,c,d\n" + "1,,2024-01-01,2024-01-01 10:00:00\n" * 11_000
             + "2.5,7,2024-01-02 03:04:05.25,2024-01-01 10:00:00.123456\n"}, [
        "select sum(a) as a, sum(b) as b, max(c) as c, max(d) as d from t"]),
    ("a word that comes late makes its column text", {
        "t": "a\n" + "1\n" * 11_000 + "x\n"}, [
        "select count(*) as n, max(a) as m, count(try_cast(a as bigint)) as k from t"]),
    ("leading zeros, signs and spaces are not taken away", {
        "t": csv("zip,phone,pad,n", "00501,+49123,a ,-7", "10001,49124, b,0")}, [
        "select * from t order by zip", "select zip from t where zip = '00501'"]),
    ("line breaks, quotes and delimiters within quotes are values", {
        "t": csv('a,b', '"x\ny",1', '"x,""y""",2', "\"it's\",3")}, [
        "select * from t order by b"]),
    ("line ends of Windows and a byte order mark are none", {
        "t": "\ufeffa,b\r\n1,x\r\n2,y\r\n"}, ["select a, b from t order by a"]),
    ("booleans are told in any case", {
        "t": csv("a,b", "true,1", "FALSE,2", ",3")}, ["select * from t order by b"]),
    ("a header without rows has its columns", {"t": "id,name,v\n"}, [
        "select count(*) as n, max(name) as m from t",
        "select * from t",
        "select id, name from t where name = 'x' or upper(name) like 'X%'"]),
    ("columns of a folder go by their names", {
        "t/a.csv": csv("id,qty,price", "1,5,100", "2,7,200"),
        "t/b.csv": csv("price,id,qty", "300,3,1", "400,4,1"),
        "t/c.csv": csv("qty,id,price", "9,5,500")}, [
        "select sum(id) as i, sum(qty) as q, sum(price) as p from t",
        "select * from t order by id", "select price from t where qty = 1 order by 1"]),
    ("a column that only some files have is NULL in the others", {
        "t/a.csv": csv("id,v", "1,10"), "t/b.csv": csv("extra,id,v", "x,2,20")}, [
        "select id, v, extra from t order by id", "select id from t where extra is null"]),
    ("a folder's types hold every file", {
        "t/a.csv": csv("id,v,w,d", "1,1,,2024-01-01"),
        "t/b.csv": csv("id,v,w,d", "2,2.5,x,2024-01-01 10:00:00"),
        "t/c.csv": csv("id,v,w,d", "3,,,"), "t/d.csv": "id,v,w,d\n"}, [
        "select id, v, w, d from t order by id", "select sum(v) as s, count(w) as n from t"]),
    ("subfolders that are no columns are read too", {
        "t/a.csv": csv("id", "1"), "t/sub/b.csv": csv("id", "2"), "t/sub/sub/c.csv": csv("id", "3")}, [
        "select sum(id) as s from t"]),
    ("values in paths are decoded and NULL is NULL", {
        "t/r=N%20W/a.csv": csv("v", "1"), "t/r=a%3Db/a.csv": csv("v", "2"),
        "t/r=%C3%A9/a.csv": csv("v", "3"), "t/r=__HIVE_DEFAULT_PARTITION__/a.csv": csv("v", "4"),
        "t/r=x*y~z/a.csv": csv("v", "5")}, [
        "select r, v from t order by v",
        "select v from t where r = 'N W'", "select v from t where r = 'x*y~z'",
        "select v from t where r = 'é'", "select v from t where r is null",
        "select v from t where r <> 'N W' order by v",
        "select v from t where not (r = 'N W') order by v",
        "select v from t where nullif(r, 'a=b') <> 'N W' order by v",
        "select count(r) as n, count(distinct r) as d from t"]),
    ("values in paths are text, whatever they look like", {
        "t/k=01/a.csv": csv("v", "1"), "t/k=x/a.csv": csv("v", "2"), "t/k=1/a.csv": csv("v", "3")}, [
        "select k, v from t order by v", "select v from t where k = '01'"]),
    ("several columns stand in paths", {
        "t/y=2023/m=12/a.csv": csv("v", "1"), "t/y=2024/m=01/a.csv": csv("v", "2")}, [
        "select y, m, v from t order by v", "select v from t where m = '01'",
        "select v from t where y = '2024' and m = '12'"]),
]

# A claim, files, and the parts of the words that refuse them.
REFUSED = [
    ("a ragged row", {"t": csv("a,b", "1,2", "3", "4,5")}, ["line 3", "expected 2", "found 1", "3"]),
    ("a row of a folder with a field too many", {
        "t/one.csv": csv("a,b", "1,2"), "t/two.csv": csv("a,b", '"x', 'y",2', "7,8,9")},
        ["two.csv", "line 4", "7,8,9", "--delimiter"]),
    ("a header with a name twice", {"t": csv("a,b,a", "1,2,3")}, ["line 1", '"a"', "1 and 3"]),
    ("a header without a name", {"t": csv("a,,b", "1,2,3")}, ["line 1", "column 2", "no name"]),
    ("a header that ends in a delimiter", {"t": csv("a,b,", "1,2,")}, ["column 3", "no name"]),
    ("a quote left open", {"t": csv("a,b", '1,"x', "2,y", "3,z")}, ["line 2", "quote"]),
    ("Latin-1", {"t": b"a,b\n1,caf\xe9\n"}, ["line 2", '"b"', "0xe9", "UTF-8"]),
    ("Latin-1 late in a folder", {"t/a.csv": csv("a"), "t/b.csv": b"a\n" + b"x\n" * 9_000 + b"\xfc\n"},
        ["b.csv", "line 9002", "0xfc"]),
    ("UTF-16", {"t": "a,b\n1,2\n".encode("utf-16")}, ["UTF-16", "UTF-8"]),
    ("UTF-16 without a mark", {"t": "a,b\n1,2\n".encode("utf-16-le")}, ["UTF-16"]),
    ("UTF-32", {"t": "a,b\n1,2\n".encode("utf-32")}, ["UTF-32"]),
    ("gzip", {"t.csv.gz": gzip.compress(b"a\n1\n")}, ["gzip", "decompress"]),
    ("bzip2", {"t.csv.bz2": bz2.compress(b"a\n1\n")}, ["bzip2", "decompress"]),
    ("xz", {"t/a.csv": csv("a", "1"), "t/b.csv.xz": lzma.compress(b"a\n1\n")}, ["b.csv.xz", "xz"]),
    ("files that each lack a column of the other", {
        "t/a.csv": csv("id,qty", "1,2"), "t/b.csv": csv("id,quantity", "1,2")},
        ["a.csv", "b.csv", '"qty"', '"quantity"']),
    ("a file without a header among others", {
        "t/a.csv": csv("id,qty", "1,2"), "t/b.csv": csv("3,4", "5,6")}, ["b.csv", '"3"', '"id"']),
    ("a file outside the subfolders of the others", {
        "t/y=1/a.csv": csv("v", "1"), "t/b.csv": csv("v", "2")}, ["b.csv", "y=1/a.csv", "none"]),
    ("a column in the path and in the files", {
        "t/v=1/a.csv": csv("v", "1"), "t/v=2/a.csv": csv("v", "2")}, ['"v"', "path"]),
    ("nothing", {"t": "\n\n"}, ["header"]),
]


def value(found):
    """A value of either engine, as both write it."""
    if isinstance(found, bool) or found is None:
        return found
    if isinstance(found, (int, float, decimal.Decimal)):
        return float(found)
    if isinstance(found, datetime.date):
        found = found.isoformat()
    if re.match(r"\d{4}-\d\d-\d\d[ T]\d\d:", found):
        found = datetime.datetime.fromisoformat(found).isoformat()
    return found


class Folder:
    def __init__(self, folder, files):
        self.folder = pathlib.Path(folder)
        for name, content in files.items():
            path = self.folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content.encode() if isinstance(content, str) else content)
        self.table = self.folder / next(iter(files)).split("/")[0]

    def run(self, *args):
        command = [*RUNNER, "--in", f"t={self.table}", "--", "--format", "json", *args]
        return subprocess.run(command, capture_output=True, text=True)

    def rows(self, *args):
        done = self.run(*args)
        assert done.returncode == 0, done.stderr
        return [[value(v) for v in json.loads(line).values()] for line in done.stdout.splitlines()]

    def fails(self, said, *args):
        done = self.run(*(args or ["select 1"]))
        assert done.returncode == 1, done.stdout
        for word in ['table "t"', *said]:
            assert word in done.stderr, (word, done.stderr)


def equals_duckdb(folder, queries):
    files = f"{folder.table}/**/*.csv" if folder.table.is_dir() else str(folder.table)
    engine = duckdb.connect()
    engine.execute(f"""create table t as from read_csv('{files}', header=true, delim=',', quote='"',
        sample_size=-1, union_by_name=true, hive_partitioning={"=" in str(list(folder.table.rglob("*")))},
        hive_types_autocast=false)""")
    for query in queries:
        want = [[value(v) for v in row] for row in engine.execute(query).fetchall()]
        got = folder.rows(query)
        assert got == want, f"{query}\n    got  {got}\n    want {want}"


def integers_of_more_than_64_bits_keep_their_digits(folder):
    """DuckDB rounds them to floating point."""
    t = Folder(folder, {"t": csv("id,v", "18446744073709551616,9007199254740993", "1,0.25")})
    done = t.run("select cast(sum(id) as varchar) as s, cast(max(v) as varchar) as v from t")
    assert json.loads(done.stdout) == {"s": "18446744073709551617", "v": "9007199254740993.00"}, done


def a_column_without_values_is_beside_every_type(folder):
    """DuckDB makes it text, which has no sum."""
    t = Folder(folder, {"t": "id,name,v\n"})
    assert t.rows("select avg(v) as a, max(v) as m, median(v) as d from t") == [[None] * 3]
    assert t.rows("select avg(v) over () as a from t") == []
    assert t.rows("select id, v * 2 as w from t where v > 3 and name = 'x'") == []
    assert t.rows("select o.a, t.name from (select 7 as a) o left join t on o.a = t.id") == [[7, None]]
    t = Folder(folder, {"t": "id,v\n1,\n2,\n"})
    assert t.rows("select avg(v) as a, count(v) as n, sum(id) as s from t") == [[None, 0, 3]]


def rows_past_those_that_types_are_told_from_are_looked_at(folder):
    t = Folder(folder, {"t/a.csv": csv("a,b", "1,", "2,"), "t/b.csv": csv("a,b", "3,", "x,y")})
    t.fails(["b.csv", "line 3", '"a"', '"x"', "--infer-rows", "--null"], "--infer-rows", "1",
            "select count(*) as n from t")
    rows = t.rows("--infer-rows", "1", "--null", "x", "select sum(a) as a, max(b) as b from t")
    assert rows == [[6, "y"]], rows


def names_of_columns_in_paths_are_decoded(folder):
    """DuckDB decodes the values only."""
    t = Folder(folder, {"t/m%20n=01/a.csv": csv("v", "1"), "t/m%20n=%2F/a.csv": csv("v", "2")})
    assert t.rows('select "m n", v from t order by v') == [["01", 1], ["/", 2]]
    assert t.rows("""select v from t where "m n" = '01'""") == [[1]]


def a_word_for_null_is_null_in_every_type(folder):
    t = Folder(folder, {
        "t/a.csv": csv("a,d,s,n", "1,2024-01-01,x,NA", "NA,NA,NA,NA"),
        "t/b.csv": csv("s,n,a,d", "NA,NA,2.5,2024-01-02 10:00:00")})
    rows = t.rows("--null", "NA", "select a, d, s, n from t order by a nulls last")
    assert rows == [[1.0, "2024-01-01T00:00:00", "x", None], [2.5, "2024-01-02T10:00:00", None, None],
                    [None] * 4], rows


def an_empty_line_of_one_column_is_not_passed_over(folder):
    Folder(folder, {"t": csv("a", "1", "", "3")}).fails(["line 3", "empty"])
    assert Folder(folder, {"t": csv("a", "1", '""', "3")}).rows(
        "select count(*) as n, count(a) as k from t") == [[3, 2]]


def parquet_with_a_name_twice_is_refused(folder):
    for fields in [["a", "b", "a"], ["a", "a"]]:
        table = pa.table([pa.array([n]) for n in range(len(fields))], names=fields)
        parquet.write_table(table, folder / "t")
        at(folder).fails(['"a"', "two columns"])
    feather.write_feather(table, folder / "t")
    at(folder).fails(['"a"', "two columns"])
    inner = pa.StructArray.from_arrays([pa.array([1]), pa.array([2])], names=["x", "x"])
    parquet.write_table(pa.table({"s": inner}), folder / "t")
    at(folder).fails(['"x"', "two columns"])


def at(folder):
    found = Folder.__new__(Folder)
    found.folder, found.table = folder, folder / "t"
    return found


def files_of_other_types_are_one_table(folder):
    for write, suffix in [(parquet.write_table, "parquet"), (feather.write_feather, "arrow")]:
        part = folder / suffix / "t"
        part.mkdir(parents=True)
        write(pa.table({"id": pa.array([1, 2], pa.int32()), "v": pa.array([1, 2], pa.int64()),
                        "w": pa.nulls(2)}), part / f"a.{suffix}")
        write(pa.table({"w": ["x"], "v": [2.5], "id": pa.array([3], pa.int64())}),
              part / f"b.{suffix}")
        t = at(folder / suffix)
        assert t.rows("select id, v, w from t order by id") == [
            [1, 1, None], [2, 2, None], [3, 2.5, "x"]], suffix
        assert t.rows("select sum(v) as s, count(w) as n from t where id > 1") == [[4.5, 1]]
        assert t.rows("select max(v) as v, min(id) as i, max(id) as j, count(*) as n from t") == [
            [2.5, 1, 3, 3]], suffix
        assert t.rows("select id from t where v > 2.25 or id < 2 order by id") == [[1], [3]], suffix
        write(pa.table({"id": ["1"], "v": [1.0], "w": ["x"]}), part / f"c.{suffix}")
        t.fails(['"id"', f"a.{suffix}", f"c.{suffix}"])


def integers_beside_floats_keep_their_digits_or_are_refused(folder):
    """DuckDB rounds them to floating point."""
    exact, large, largest = 2**53, 2**53 + 1, 2**63 - 1
    for write, suffix in [(parquet.write_table, "parquet"), (feather.write_feather, "arrow")]:
        part = folder / suffix / "t"
        part.mkdir(parents=True)
        t = at(folder / suffix)
        write(pa.table({"v": [0.5, float("nan"), None], "id": [1, 2, 3]}), part / f"a.{suffix}")
        write(pa.table({"id": [4, 5, 6], "v": pa.array([exact, -exact, None], pa.int64())}),
              part / f"b.{suffix}")
        write(pa.table({"id": [7], "v": pa.array([7], pa.uint64())}), part / f"c.{suffix}")
        query = "select id from t where v > 1 and v < 'nan'::double order by id"
        assert t.rows(query) == [[4], [7]], suffix
        found = t.rows("select max(v) as v, count(*) as n, sum(id) as s from t where id > 2")
        assert found == [[float(exact), 5, 25]], (suffix, found)
        for value, kind in [(large, pa.int64()), (-large, pa.int64()), (largest, pa.int64()),
                            (2**64 - 1, pa.uint64())]:
            write(pa.table({"v": pa.array([1, value], kind), "id": [8, 9]}), part / f"d.{suffix}")
            done = t.run("select sum(v) as s from t")
            assert done.returncode == 1, done.stdout
            assert '"v"' in done.stderr and str(value) in done.stderr, done.stderr
            assert t.rows("select max(id) as i from t") == [[9]], suffix


def tens_of_thousands_of_columns_are_read(folder):
    wide = 40_000
    names = ",".join(f"c{n}" for n in range(wide))
    lines = [names, *(",".join(str(row + n) for n in range(wide)) for row in range(60))]
    t = Folder(folder, {"t": csv(*lines)})
    assert t.rows("select count(*) as n, sum(c0) as a, max(c39999) as b from t") == [
        [60, 1770, 40058]]
    t = Folder(folder, {"t": csv(names + ",c7", *lines[1:2])})
    t.fails(["line 1", '"c7"', "8 and 40001"])


def a_narrower_file_has_the_largest_value(folder):
    cases = [(pa.array([100, 50], pa.int32()), pa.array([7, 3], pa.int64()), [[100, 3]]),
             (pa.array([9], pa.int8()), pa.array([1], pa.int32()), [[9, 1]]),
             (pa.array([9.25, None]).cast(pa.decimal128(10, 2)),
              pa.array([3.5, 4.5]).cast(pa.decimal128(12, 4)), [[9.25, 3.5]])]
    for number, (narrow, wide, expected) in enumerate(cases):
        part = folder / str(number) / "t"
        part.mkdir(parents=True)
        for name, values in [("a", narrow), ("b", wide)]:
            parquet.write_table(pa.table({"v": values}), part / f"{name}.parquet")
        found = at(folder / str(number)).rows("select max(v) as m, min(v) as n from t")
        assert [[float(value) for value in row] for row in found] == expected, number


def nan_beside_one_other_value_is_found(folder):
    nan = float("nan")
    parquet.write_table(pa.table({"id": [1, 2, 3], "v": [nan, 1.5, nan]}), folder / "t")
    t = at(folder)
    assert t.rows("select id from t where v = 'nan'::double order by id") == [[1], [3]]
    assert t.rows("select id from t where v >= 1.5 order by v, id") == [[2], [1], [3]]
    assert t.rows("select count(*) as n from (select v from t group by v) g") == [[2]]
    assert t.rows("select min(v) as m from t") == [[1.5]]
    assert t.rows("select id from t where (v > 1.5) is not true") == [[2]]


def parquet_in_partitions_is_read_whole(folder):
    for number, name in enumerate(["r=N%20W", "r=__HIVE_DEFAULT_PARTITION__", "r=a%3Db"]):
        (folder / "t" / name).mkdir(parents=True)
        parquet.write_table(pa.table({"v": [number]}), folder / "t" / name / "x.parquet")
    t = at(folder)
    assert t.rows("select r, v from t order by v") == [["N W", 0], [None, 1], ["a=b", 2]]
    assert t.rows("select v from t where r <> 'N W'") == [[2]]
    assert t.rows("select v from t where r is null and v < 5") == [[1]]
    parquet.write_table(pa.table({"v": [7]}), folder / "t" / "stray.parquet")
    t.fails(["stray.parquet", "r=…"])


def a_header_may_start_as_a_format_does(folder):
    for word in ["ORCID", "PARENT", "BZh"]:
        assert Folder(folder, {"t": csv(f"{word},b", "1,2")}).rows(
            f'select "{word}" + b as s from t') == [[3]], word


CLAIMS = [value for value in list(globals().values())
          if callable(value) and getattr(value, "__code__", None)
          and value.__code__.co_varnames[:1] == ("folder",) and value.__code__.co_argcount == 1
          and value is not at]


def claims():
    for claim, files, queries in SAME:
        yield claim, lambda folder, f=files, q=queries: equals_duckdb(Folder(folder, f), q)
    for claim, files, said in REFUSED:
        yield f"refused by name: {claim}", lambda folder, f=files, s=said: Folder(folder, f).fails(s)
    for claim in CLAIMS:
        yield claim.__name__.replace("_", " "), claim


def main():
    failed = False
    for claim, check in claims():
        with tempfile.TemporaryDirectory() as folder:
            try:
                check(pathlib.Path(folder))
                print(f"ok  {claim}", flush=True)
            except Exception as error:
                failed = True
                print(f"FAILED  {claim}\n    {type(error).__name__}: {error}", flush=True)
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
