"""Random queries over random tables: the SQL component's answers against DuckDB's.

    differential.py [--queries N] [--seed N] [--keep-going] [--only KIND,…] [--instances N] RUNNER…

RUNNER is a command that takes inputs and arguments as mc2-run does, as `mc2-run --bare sql.wasm`.
Needs pyarrow and duckdb. A seed makes the same tables and queries everywhere. Tables hold NULL,
NaN, infinities, both zeros, the largest numbers, empty strings, repetitions, and sometimes no row;
types, order of columns and format (Parquet of small row groups, CSV, folders) are drawn, too. Prints
what differs, and exits with 1 where anything does.

Each query has one answer, whatever the order of rows; where DuckDB's SQL is written otherwise
(`ours`), both mean the same. Besides, no second engine is needed to know that a condition, its negation and
its being NULL part a table (`parted`).

An answer may differ from DuckDB's only where `docs/sql.md` says so: those queries are not drawn, or
are refused in the words listed here. With several instances they share every query they can, however
small its tables.
"""

import argparse
import collections
import datetime
import decimal
import json
import math
import pathlib
import random
import re
import subprocess
import sys
import tempfile

import duckdb
import pyarrow as pa
import pyarrow.compute as compute
import pyarrow.csv as csv
import pyarrow.parquet as parquet

# Statements in one run of the component, over the same tables.
BATCH = 200
LARGEST = 2**63 - 1
NAN = float("nan")
NUMBER = re.compile(r"Int|UInt|Float|Decimal")

# Words of refusals that `docs/sql.md` lists.
REFUSED = ["not supported", "not implemented", "brackets around the comparison",
           "only supports signed numeric"]
# Words of DuckDB's where its type for a product is narrower than ours.
NARROW = re.compile(r"Overflow in (multiplication|addition|subtraction) of DECIMAL")
# Words of errors where DuckDB must have one too, or a result that our type has no room for.
TOO_LARGE = ["Arithmetic overflow", "overflow on abs"]


class Draw:
    """Draws tables and queries."""

    def __init__(self, seed):
        self.random = random.Random(seed)

    def one(self, *of):
        return self.random.choice(of)

    def often(self, chance):
        return self.random.random() < chance

    def below(self, most):
        return self.random.randint(0, most)

    # Tables: k, j small integers, b large ones, d decimals, f floating point, s text, o booleans,
    # y days, m moments, e empty of values.

    def table(self, rows):
        def column(draw, nulls=0.2):
            return [None if self.often(nulls) else draw() for _ in range(rows)]
        large = [0, 1, -1, 7, LARGEST, LARGEST - 1, -LARGEST - 1, 2**62, -2**62, 2**31]
        floats = [0.0, -0.0, 1.5, -2.5, 100.0, NAN, float("inf"), float("-inf"), 1e300, 0.1]
        digits = ["0.00", "1.50", "-2.25", "99999999.99", "3.00", "-0.01"]
        texts = ["", "a", "b", "ab", "Ab", "a longer text than 12", "%", "a_b", "ä", "NULL", " a"]
        day = lambda: datetime.date(2024, 1, 1) + datetime.timedelta(self.one(
            0, 30, 31, 59, 60, 365, 366, 789, -1, -400))
        moment = lambda: datetime.datetime(2024, 2, 28, 23, 59, 59) + datetime.timedelta(
            seconds=self.one(0, 1, 3600, 86400, -86400 * 60, 10**8, -10**8))
        no_nulls = self.often(0.3)
        columns = {
            "id": pa.array(range(rows), pa.int64()),
            "k": pa.array(column(lambda: self.random.randint(-2, 3), 0 if no_nulls else 0.25),
                          self.one(pa.int64(), pa.int64(), pa.int32(), pa.int8())),
            "j": pa.array(column(lambda: self.below(2)),
                          self.one(pa.int32(), pa.int64(), pa.uint8(), pa.uint32())),
            "b": pa.array(column(lambda: self.one(*large)), pa.int64()),
            "d": pa.array(column(lambda: decimal.Decimal(self.one(*digits))),
                          self.one(pa.decimal128(10, 2), pa.decimal128(18, 3),
                                   pa.decimal128(12, 2))),
            "f": pa.array(column(lambda: self.one(*floats)), pa.float64()),
            "s": pa.array(column(lambda: self.one(*texts)), self.one(pa.string(), pa.large_string())),
            "o": pa.array(column(lambda: self.often(0.5)), pa.bool_()),
            "y": pa.array(column(day), pa.date32()),
            "m": pa.array(column(moment),
                          self.one(pa.timestamp("s"), pa.timestamp("ms"), pa.timestamp("us"))),
        }
        if self.often(0.15):
            columns["s"] = columns["s"].cast(pa.string()).dictionary_encode()
        if self.often(0.1):
            empty = self.one("k", "j", "d", "f", "s", "o", "y")
            columns[empty] = pa.nulls(rows, columns[empty].type)
        names = list(columns)
        self.random.shuffle(names)
        return pa.table({name: columns[name] for name in names})

    def written(self, table, folder, name):
        """The table as an input, and as both engines are to see it."""
        table = with_parquet_types(table)
        form = self.one("parquet", "parquet", "folder", "csv")
        # An empty field of a CSV is NULL and no text; a column without a value has no type, and one of
        # NaN and infinity alone is text.
        has_number = compute.any(compute.is_finite(table["f"])).as_py()
        has_empty = compute.any(compute.equal(table["s"].cast(pa.string()), "")).as_py()
        if form == "csv" and (has_empty or not has_number or any(
                column.null_count == len(column) for column in table.columns)):
            form = "parquet"
        if form == "csv":
            table = csv_types(table)
            path = folder / f"{name}.csv"
            csv.write_csv(table, path)
        elif form == "folder":
            path = folder / name
            path.mkdir()
            cut = self.below(table.num_rows)
            for number, part in enumerate([table.slice(0, cut), table.slice(cut)]):
                names = part.column_names
                self.random.shuffle(names)
                parquet.write_table(part.select(names), path / f"{number}.parquet",
                                    row_group_size=3)
        else:
            path = folder / f"{name}.parquet"
            parquet.write_table(table, path, row_group_size=4,
                                compression=self.one("snappy", "zstd", "none"))
        return path, table

    # Expressions.

    def small(self, of, depth=2):
        """Integers that no operation here makes too large."""
        if depth == 0 or self.often(0.4):
            return self.one(f"{of}.k", f"{of}.j", f"{of}.k", str(self.random.randint(-2, 3)))
        left, right = self.small(of, depth - 1), self.small(of, depth - 1)
        condition = self.condition(of, depth - 1)
        return self.one(
            f"({left} + {right})", f"({left} - {right})", f"({left} * {right})", f"(- {left})",
            f"coalesce({left}, {right})", f"nullif({left}, {right})", f"abs({left})",
            f"case when {condition} then {left} else {right} end",
            f"case when {condition} then {left} end",
            f"case {left} when {right} then 1 when 1 then {right} else {left} end",
            f"case when {right} <> 0 then {left} // {right} else {left} end",
            f"case when {right} = 0 then {left} else {left} % {right} end",
            f"greatest({left}, {right})", f"least({left}, {right}, 1)",
            f"cast({left} as bigint)", f"length({self.text(of, 1)})",
            f"cast({condition} as int)",
            f"extract({self.one('year', 'month', 'day', 'doy', 'dow', 'quarter')} from {of}.y)",
            f"extract({self.one('hour', 'minute', 'year', 'month')} from {of}.m)")

    def real(self, of, depth=1):
        """Floating point whose value does not depend on the order of operations."""
        if depth == 0 or self.often(0.4):
            return self.one(f"{of}.f", f"{of}.f", f"cast({of}.k as double)",
                            self.one("0.0::double", "'nan'::double", "1.5::double",
                                     "'-inf'::double", "-0.0::double"))
        left, right = self.real(of, depth - 1), self.real(of, depth - 1)
        return self.one(
            f"({left} + {right})", f"({left} - {right})", f"({left} * {right})", f"(- {left})",
            f"abs({left})", f"coalesce({left}, {right})", f"nullif({left}, {right})",
            f"case when {self.condition(of, 0)} then {left} else {right} end",
            f"case {left} when {right} then 1.0 else {right} end",
            f"greatest({left}, {right})", f"least({left}, {right})",
            f"floor({left})", f"ceil({left})", f"trunc({left})",
            f"case when {right} <> 0 then {left} / {right} end")

    def text(self, of, depth=1):
        if depth == 0 or self.often(0.4):
            return self.one(f"{of}.s", f"{of}.s", "''", "'a'", "'AB'")
        left, right = self.text(of, depth - 1), self.text(of, depth - 1)
        return self.one(
            f"({left} || {right})", f"upper({left})", f"lower({left})", f"coalesce({left}, {right})",
            f"nullif({left}, {right})", f"substr({left}, {self.one(1, 2, 3)}, {self.below(3)})",
            f"replace({left}, 'a', {right})", f"trim({left})", f"concat({left}, {right})",
            f"left({left}, {self.below(3)})", f"right({left}, {self.below(3)})",
            f"reverse({left})", f"repeat({left}, {self.below(2)})", f"lpad({left}, 3, '*')",
            f"case when {self.condition(of, 0)} then {left} else {right} end",
            f"split_part({left}, 'a', {self.one(1, 2)})", f"cast({of}.k as varchar)",
            f"cast({of}.y as varchar)", f"cast({of}.o as varchar)", f"cast({of}.d as varchar)",
            f"translate({left}, 'ab', 'b')", f"greatest({left}, {right})")

    def condition(self, of, depth=2):
        deep = min(depth, 1)
        if depth == 0 or self.often(0.3):
            number = self.one("100", "0", "1.5", "'nan'::double", "'inf'::double", f"{of}.k")
            no = self.one("", "not ")
            return self.one(
                f"{of}.k {self.compare()} {self.random.randint(-2, 3)}",
                f"{of}.f {self.compare()} {number}",
                f"{self.real(of, deep)} {self.compare()} {self.real(of, deep)}",
                f"{of}.d {self.compare()} {self.one('1.5', '0', '100', f'{of}.k', f'{of}.f')}",
                f"{of}.s {self.compare()} '{self.one('', 'a', 'b', 'ä')}'",
                f"{of}.b {self.compare()} {self.one('0', f'{of}.k', f'{of}.d', '9223372036854775807')}",
                f"{of}.y {self.compare()} date '2024-0{self.one(1, 2, 3)}-01'",
                f"{of}.m {self.compare()} timestamp '2024-02-2{self.below(9)} 00:00:00'",
                f"{of}.y {self.compare()} {of}.m",
                f"{of}.k is {no}null", f"{self.text(of, deep)} is {no}null", f"{of}.f is {no}null",
                f"{of}.k {no}in (1, 2{self.one('', ', null')})",
                f"{of}.s {no}in ('a', 'b'{self.one('', ', null')})",
                f"{of}.f {no}in (0.0, 1.5{self.one('', ', null')})",
                f"{of}.k {no}between {self.random.randint(-2, 1)} and {of}.j",
                f"{of}.f {no}between 0 and {self.one('2', f'{of}.d', f'{of}.f')}",
                f"{of}.s {no}{self.one('like', 'ilike')} '{self.one('a%', '%b', '_', 'A_', '%', '')}'",
                f"({of}.k is {no}distinct from {of}.j)",
                f"({of}.f is {no}distinct from {self.one(f'{of}.k', '0', f'{of}.f')})",
                f"{of}.o", f"({of}.o = ({of}.k > 1))")
        left, right = self.condition(of, depth - 1), self.condition(of, depth - 1)
        a, b = self.small(of, 1), self.small(of, 1)
        return self.one(
            f"({left} and {right})", f"({left} or {right})", f"(not {left})",
            f"({left}) is {self.one('', 'not ')}{self.one('true', 'false', 'null')}",
            f"({b} <> 0 and {a} // {b} {self.compare()} 1)",
            f"({a} // {b} {self.compare()} 1 and {b} <> 0)",
            f"({b} = 0 or {a} % {b} {self.compare()} 1)",
            f"case when {b} <> 0 then {a} // {b} > 0 else {left} end",
            f"case when {left} then {right} end", f"coalesce({left}, {right})",
            f"({self.text(of, deep)} {self.compare()} {self.text(of, deep)})",
            f"{a} {self.compare()} {b}")

    def compare(self):
        return self.one("=", "<>", "<", "<=", ">", ">=")

    def value(self, of):
        """Anything."""
        return self.one(self.small(of), self.real(of), self.text(of), self.condition(of, 1),
                        f"{of}.{self.one('d', 'y', 'm', 'b', 'f', 's', 'o')}")

    def where(self, of, chance=0.4):
        return f" where {self.condition(of, 1)}" if self.often(chance) else ""

    def order(self, of, *keys):
        """An order without ties."""
        key = self.one(*keys)
        return (f"{key} {self.one('asc', 'desc')} nulls {self.one('first', 'last')}, "
                f"{of}id {self.one('asc', 'desc')}")

    def subquery(self, outer):
        """Of `u`, which may refer to the outer query."""
        where = []
        if self.often(0.6):
            where.append(self.one(f"u.j = {outer}.j", f"u.k {self.compare()} {outer}.k",
                                  f"u.s = {outer}.s", f"u.d <> {outer}.d", f"u.f = {outer}.f",
                                  f"u.f {self.compare()} {outer}.f", f"u.y = {outer}.y",
                                  f"(u.j = {outer}.j or u.k = {outer}.k)",
                                  f"u.k + 1 = {outer}.k"))
        if self.often(0.5):
            where.append(self.condition("u", 1))
        return f"from u{' where ' + ' and '.join(where) if where else ''}"

    def membership(self, outer):
        rows = self.subquery(outer)
        no = self.one("", "not ")
        number = self.one(f"{outer}.k", f"{outer}.k", self.small(outer, 1), "1")
        of = self.one("u.k", "u.k", "u.k + 1", "max(u.k)", "count(*)")
        return self.one(
            f"{no}exists (select 1 {rows})",
            f"{no}exists (select count(*) {rows})",
            f"{no}exists (select u.j {rows} group by u.j having count(*) > 1)",
            f"{number} {no}in (select {of} {rows})",
            f"{number} {no}in (select {of} {rows})",
            f"{outer}.f {no}in (select u.f {rows})",
            f"{outer}.d {no}in (select u.k {rows})",
            f"{outer}.s {no}in (select u.s {rows})")

    # Queries.

    def query(self, only=None):
        kinds = only or list(KINDS)
        return getattr(self, self.one(*kinds))()

    def projection(self):
        return f"select t.id, {self.small('t', 3)} as x, {self.condition('t')} as y from t"

    def values(self):
        return f"select t.id, {self.value('t')} as x, {self.value('t')} as y from t"

    def reals(self):
        return (f"select t.id, {self.real('t', 2)} as x, {self.real('t')} {self.compare()} "
                f"{self.real('t')} as y from t")

    def texts(self):
        return f"select t.id, {self.text('t', 2)} as x, {self.text('t')} as y from t"

    def times(self):
        part = self.one("day", "month", "year", "week", "quarter", "hour")
        moment = self.one("t.m", "cast(t.y as timestamp)")
        amount = self.one("1 month", "1 day", "13 months", "-1 month", "1 year")
        value = self.one(
            f"cast(date_trunc('{part}', {moment}) as timestamp)",
            f"t.y + interval '{amount}'", f"{moment} - interval '{amount}'",
            f"t.y > date '2024-01-31' + interval '{amount}'",
            f"extract({self.one('week', 'doy', 'dow', 'second', 'year')} from {moment})",
            f"cast({moment} as date)", "cast(t.y as varchar)",
            f"{moment} - interval '{amount}' < {moment}",
            f"greatest(t.y, date '2024-02-01')", f"coalesce(t.y, date '2020-02-29')")
        return f"select t.id, {value} as x from t{self.where('t')}"

    def decimals(self):
        a, b = self.one("t.d", "t.k", "t.j"), self.one("t.d", "1.5", "-2.25", "t.k", "0.001")
        value = self.one(
            f"{a} + {b}", f"{a} - {b}", f"t.d * {b}", "-t.d", "abs(t.d)", "round(t.d, 1)",
            "round(t.d)", "floor(t.d)", "ceil(t.d)",
            f"coalesce({a}, {b})", f"case when t.o then {a} else {b} end", f"greatest({a}, {b})",
            f"cast({a} as decimal(12, 3))", f"nullif({a}, {b})", "cast(t.d as double)",
            f"least({a}, {b})")
        return f"select t.id, {value} as x from t"

    def large(self):
        a = self.one("t.b", "t.k", "t.d", "t.b")
        b = self.one("t.b", "t.k", "1", "2", "t.j")
        value = self.one(f"{a} + {b}", f"{a} - {b}", f"{a} * {b}", f"-{a}", f"abs({a})")
        total = self.one("t.b", "t.b", "t.d", "t.k", f"{b} + t.k")
        return self.one(
            f"select t.id, {value} as x from t",
            f"select sum({total}) as x, count(*) as y from t",
            f"select t.j, sum({self.one('', 'distinct ')}{total}) as x from t group by t.j",
            f"select t.id, sum({total}) over (order by t.id rows between "
            f"{self.random.randint(0, 2)} preceding and current row) as x from t")

    def filtered(self):
        return f"select t.id, t.k from t where {self.condition('t', 3)}"

    def members(self):
        test = self.membership("t")
        condition = self.condition("t", 1)
        where = self.one(test, test, f"{test} or {condition}", f"not ({test})",
                         f"({test}) is null", f"{condition} and {test}",
                         f"{test} and {self.membership('t')}", f"{test} or {self.membership('t')}",
                         f"case when {condition} then {test} else {condition} end")
        return f"select t.id from t where {where}"

    def member_values(self):
        test = self.membership("t")
        return self.one(
            f"select t.id, {test} as x from t",
            f"select t.id, ({test}) is null as x, {self.membership('t')} as y from t",
            f"select {test} as x, count(*) as y from t group by 1",
            f"select sum(case when {test} then 1 else 0 end) as x from t",
            f"select t.id, {test} and {self.condition('t', 1)} as x from t",
            f"select t.j, count(*) as x from t group by t.j having t.j in (select u.k from u)",
            f"select t.j, count(*) filter (where {test}) as x from t group by t.j")

    def single_values(self):
        """Subqueries of one value."""
        of = self.one("count(*)", "max(u.k)", "sum(u.k) + count(*)", "min(u.f)", "max(u.s)",
                      "count(u.k) = 0", "coalesce(sum(u.k), -1)", "avg(u.k) > 0", "max(u.f)")
        rows = self.subquery("t")
        query = f"(select {of} {rows})"
        ordered = f"(select u.k {rows} order by u.k nulls last limit 1)"
        return self.one(
            f"select t.id, {query} as x from t",
            f"select t.id from t where (select count(*) {rows}) {self.compare()} {self.below(2)}",
            f"select t.id from t where t.k {self.compare()} (select max(u.k) {rows})",
            f"select t.id, coalesce((select max(u.k) {rows}), t.k) as x from t",
            f"select t.id, case when t.o then (select count(*) {rows}) else -1 end as x from t",
            f"select t.j, max((select count(*) {rows})) as x from t group by t.j",
            f"select t.id, {ordered} as x from t")

    def laterals(self):
        rows = self.subquery("t")
        return self.one(
            f"select t.id, q.x from t, lateral (select count(*) as x {rows}) q",
            f"select t.id, q.x from t cross join lateral (select max(u.k) as x {rows}) q",
            f"select t.id, q.x from t left join lateral (select u.id as x {rows}) q on true",
            f"select t.id, q.x from t join lateral (select u.id as x {rows}) q on true")

    def groups(self):
        sets = self.one(
            "t.j", "rollup (t.j, t.o)", "cube (t.j, t.o)", "grouping sets ((t.j), (t.o), ())",
            "grouping sets ((t.j), (t.j), ())", "grouping sets ((t.j, t.o), (t.o))")
        keys = ["t.j"] + (["t.o"] if "t.o" in sets else [])
        if "(" in sets and self.often(0.3):
            keys.append("grouping(t.j) as g")
        value = self.aggregate("t")
        rows = self.one("t", "(select * from t order by j, o) as t",
                        "(select id, 1 as j, k, d, f, s, o, b, y, m from t) as t")
        where = f" where {self.condition('t', 1)}" if self.often(0.4) else ""
        having = f" having count(*) > {self.random.randint(0, 2)}" if self.often(0.3) else ""
        return (f"select {', '.join(keys)}, {value} as x from {rows}{where} "
                f"group by {sets}{having}")

    def aggregate(self, of):
        order = f"order by {of}.id"
        return self.one(
            "count(*)", f"count({of}.k)", f"sum({of}.k)", f"min({of}.k)",
            f"count(distinct {of}.k)", f"max({of}.f)", f"min({of}.f)", f"max({of}.s)",
            f"min({of}.s)", f"sum({of}.d)", f"count(distinct {of}.f)", f"count(distinct {of}.s)",
            f"avg({of}.k)", f"avg(cast({of}.d as double))", f"sum(distinct {of}.k)", f"min({of}.y)",
            f"max({of}.m)", f"bool_and({of}.o)", f"bool_or({of}.o)", f"min({of}.d)",
            f"max({of}.b)", f"min({of}.o)", f"median({of}.k)", f"median({of}.f)",
            f"stddev({of}.k)", f"var_pop({of}.k)", f"stddev_pop({of}.j)",
            f"covar_pop({of}.k, {of}.j)", f"percentile_cont(0.5) within group (order by {of}.k)",
            f"percentile_cont({self.one(0.25, 0.9, 0, 1)}) within group (order by {of}.f)",
            f"string_agg({of}.s, ',' {order})", f"first({of}.k {order})",
            f"last({of}.s {order})", f"bit_and({of}.j)", f"bit_or({of}.j)",
            f"bit_xor({of}.j)", f"count(distinct {of}.d)", f"sum({of}.f)", f"avg({of}.f)",
            f"count(*) filter (where {self.condition(of, 1)})",
            f"sum({of}.k) filter (where {self.condition(of, 1)})",
            f"max({of}.f) filter (where {self.condition(of, 1)})",
            f"sum(case when {self.condition(of, 1)} then {of}.k end)",
            f"regr_count({of}.k, {of}.j)", f"max(case when {of}.j = 0 then {of}.k end)")

    def aggregates(self):
        """Of all rows, and by keys of any type."""
        values = f"{self.aggregate('t')} as x, {self.aggregate('t')} as z"
        key = self.one("t.f", "t.f", "t.s", "t.d", "t.y", "t.m", "t.o", "t.b", self.real("t"),
                       self.small("t"), self.text("t"), self.condition("t", 1))
        return self.one(
            f"select {values} from t{self.where('t')}",
            f"select {key} as q, {values} from t{self.where('t')} group by {key}",
            f"select {key} as q, count(*) as x from t group by 1",
            f"select distinct {key} as q from t", f"select distinct f, {key} as q from t",
            f"select count(*) as x from (select distinct {key} as q, o from t) q",
            f"select count(distinct {key}) as x from t",
            f"select max(x) as x from (select {key}, count(*) as x from t group by {key}) q")

    def sets(self):
        both = self.one("union", "union all", "intersect", "except", "intersect all",
                        "except all")
        columns = self.one("k", "k, j", "s", "o, j", "f", "f, k", "d", "y", "m")
        other = columns if self.often(0.7) else self.one(*{
            "k": ["j", "b", "d", "f"], "d": ["k", "f"], "f": ["k", "d"]}.get(columns, [columns]))
        where = f" where {self.condition('t', 1)}" if self.often(0.5) else ""
        return f"select {columns} from t{where} {both} select {other} from u"

    def ordered(self):
        order = self.order("", "f", "k", "d", "s", "f", "y", "m", "o", "abs(f)", "-f", "k % 2",
                           "case when k <> 0 then 6 // k end", "upper(s)")
        where = f" where {self.condition('t', 1)}" if self.often(0.5) else ""
        limit = f"limit {self.random.randint(0, 4)}"
        offset = f" offset {self.random.randint(1, 3)}" if self.often(0.3) else ""
        return f"select id from (select * from t{where} order by {order} {limit}{offset}) q"

    def firsts(self):
        order = self.order("", "f", "k", "d", "s")
        key = self.one("j", "o", "f", "s", "k")
        return self.one(
            f"select distinct on ({key}) {key}, id from t order by {key}, {order}",
            f"select id, n from (select id, row_number() over (partition by {key} order by "
            f"{order}) as n from t) q where n {self.one('=', '<=')} {self.one(1, 2)}")

    def joined(self):
        join = self.one("join", "left join", "full join", "right join")
        on = self.one("t.k = u.k", "t.f = u.f", "t.j = u.j and t.k < u.k", "t.s = u.s",
                      "t.d = u.d", "t.d = u.k", "t.k = u.f", "t.y = u.y", "t.y = u.m",
                      "t.f < u.f", "t.k = u.j and t.s = u.s", "t.b = u.b", "t.o = u.o",
                      "(t.f is not distinct from u.f)", "(t.k is not distinct from u.k)",
                      "t.k + 1 = u.k", "abs(t.f) = u.f", "upper(t.s) = u.s",
                      "t.j = u.j and (t.k is not distinct from u.k)")
        # Both sides of an outer join count as they are; a condition may fail for none of them.
        more = f" and {self.condition(self.one('t', 'u'), 1)}" if self.often(0.5) else ""
        if join == "full join":
            more = ""
        where = f" where {self.condition(self.one('t', 'u'), 1)}" if self.often(0.3) else ""
        return f"select t.id as x, u.id as y from t {join} u on {on}{more}{where}"

    def chained(self):
        """Three tables, derived ones, and one table twice."""
        first = self.one("join", "left join", "right join", "full join")
        second = self.one("join", "left join")
        other = self.one("u", "t", "(select j, max(k) as k, max(id) as id from u group by j)",
                         "(select * from u where k > 0)", "(select distinct on (j) * from u "
                         "order by j, id)")
        key = self.one("k", "j", "s" if other in ("u", "t") else "k")
        where = self.one("", f" where {self.condition('t', 1)}", " where b.k is null",
                         " where a.k is not null or b.k > 1", " where coalesce(a.k, b.k) = 1")
        return (f"select t.id as x, a.id as y, b.id as z from t {first} u as a on t.k = a.k "
                f"{second} {other} as b on b.{key} = {self.one('t', 'a')}.{key}{where}")

    def used(self):
        join = self.one("join", "left join", "full join", "right join")
        columns = self.one("k", "j", "k, j", "s", "f")
        first = columns.split(",")[0]
        return (f"select {columns}, t.id as x, u.id as y from t {join} u using ({columns})"
                + self.one("", f" where {first} is not null"))

    def windows(self):
        value = self.one("sum(k)", "count(*)", "min(k)", "max(k)", "count(k)", "min(f)", "max(f)",
                         "sum(f)", "avg(k)", "avg(f)", "sum(d)", "min(s)", "max(s)",
                         "max(y)", "bool_and(o)",
                         "stddev_pop(k)", "first_value(k)", "last_value(f)", "nth_value(k, 2)",
                         "count(*) filter (where k > 0)", "sum(k) filter (where o)")
        frame = self.one("", "", " rows between 1 preceding and 1 following",
                         " rows between unbounded preceding and current row",
                         " rows between 1 following and 2 following",
                         " rows between 2 preceding and 1 preceding",
                         " rows between current row and unbounded following",
                         " range between unbounded preceding and current row",
                         " range between 1 preceding and 1 following",
                         " range between current row and 2 following")
        part = self.one("", "partition by j ", "partition by o ", "partition by f ",
                        "partition by s, o ", "partition by k % 2 ")
        order = self.order("", "k", "f", "s", "d") if self.often(0.5) else "id"
        ranked = self.one("row_number()", "lag(k)", "lead(k, 1, 0)", "rank()", "dense_rank()",
                          "ntile(3)", "lag(s, 2)", "lead(f)", "percent_rank()", "cume_dist()",
                          "first_value(s)", "last_value(k)")
        ties = self.one("f", "k", "s", "d")
        tied = self.one("rank()", "dense_rank()", "count(*)", "sum(k)", "percent_rank()",
                        "cume_dist()", "max(f)")
        if "range between" in frame and "unbounded preceding" not in frame:
            order = "id"
        return self.one(
            f"select id, {value} over ({part}order by {order}{frame}) as x from t",
            f"select id, {value} over ({part}order by id{frame}) as x from t",
            f"select id, {ranked} over ({part}order by {order}) as x from t",
            f"select id, {tied} over ({part}order by {ties} nulls {self.one('first', 'last')}) "
            f"as x from t",
            f"select id, sum(k) over ({part}order by id) + {self.small('t', 1)} as x from t",
            f"select id, count(*) over ({part.strip()}) as x from t",
            f"select j, sum(count(*)) over (order by j nulls first) as x from t group by j")

    def derived(self):
        """Queries over queries."""
        inner = self.one(
            "(select j, count(*) as k, min(id) as id, max(f) as f from t group by j)",
            "(select id, k, j, f from t union all select id, j, k, f from u)",
            "(select t.id, t.k, u.j, u.f from t left join u on t.k = u.k)",
            "(select id, k, j, f from t order by f nulls last, id limit 3)",
            "(select id, k, j, case when o then f end as f from t)",
            "(select * from (values (1, 2, 0, 1.5::double), (2, null, 1, 'nan'::double), "
            "(3, 1, null, null)) as v(id, k, j, f))")
        condition = self.one("q.k > 0", "q.k is null", "q.f > 1", "q.j = 0 or q.k = 1",
                             "q.k <> 0 and 6 // q.k > 2", "not (q.f < 2)", "q.j in (0, null)")
        value = self.one("count(*)", "sum(q.k)", "max(q.f)", "min(q.f)", "count(distinct q.f)")
        return self.one(
            f"select q.id, q.k from {inner} q where {condition}",
            f"select {value} as x from {inner} q where {condition}",
            f"select q.j, {value} as x from {inner} q group by q.j",
            f"with q as {inner} select a.id as x, b.id as y from q a join q b on a.j = b.k",
            f"with q as {inner} select id from q where k > (select min(k) from q)",
            f"with q as {inner} select * from (select j from q except select k from q) z")

    def recursive(self):
        most = self.random.randint(1, 4)
        return self.one(
            f"with recursive r(n, k) as (select 0, k from t union all select n + 1, k + 1 from r "
            f"where n < {most}) select n, k, count(*) as c from r group by n, k",
            f"with recursive r(k) as (select k from t union select (k + 1) % 4 from r) "
            f"select k from r",
            f"with recursive r(id, n) as (select id, 1 from t where k > 0 union all select t.id, "
            f"r.n + 1 from r join t on t.k = r.id where r.n < {most}) select id, n from r",
            f"with recursive r(s, n) as (select s, 1 from t union all select s || 'x', n + 1 "
            f"from r where n < {most}) select s from r")

    def lists(self):
        items = lambda: ", ".join(self.one("t.k", "t.j", "1", "0", "2", "null", "t.k")
                                  for _ in range(self.random.randint(1, 3)))
        return self.one(
            f"select t.id, list_has_any([{items()}, 1], [{items()}, 3]) as x from t",
            f"select t.id, list_has_any([t.s, 'a'], ['b', null, t.s]) as x from t",
            f"select t.id, list_contains([{items()}, 1], t.j) as x from t",
            f"select t.id from t where t.k = any([{items()}, 1])")

    def reordered(self):
        """An order over another that the first may or may not have kept."""
        first = self.one("m", "m desc", "k", "f", "y")
        then = self.one("cast(m as time)", "cast(m as date)", "extract(hour from m)", "abs(k)",
                        "-k", "k + j", "floor(f)", "round(f)", "cast(k as double)", "k % 2", "-f",
                        "cast(y as timestamp)", "extract(month from y)", "sign(k)", "k * 2",
                        "k > 0", "f < 2", "date_trunc('month', m)")
        order = f"{then} {self.one('asc', 'desc')} nulls {self.one('first', 'last')}, id"
        return (f"select id from (select id, k, j, f, y, m from t order by {first} nulls last, id "
                f"limit 7) q order by {order} limit {self.random.randint(1, 4)}")

    def parted(self):
        """A condition parts a table in three, whatever it is."""
        condition = self.one(self.condition("t", 2), self.membership("t"))
        join = self.one("t", "t", "t left join u on t.k = u.k")
        plan = condition if join == "t" else self.condition("u", 2)
        return ("select (select count(*) from " + join + f" where {plan}) + (select count(*) from "
                + join + f" where not ({plan})) + (select count(*) from " + join
                + f" where ({plan}) is null) as n, (select count(*) from " + join
                + ") as m")

    def limited(self):
        """More conditions in a join and under a limit."""
        order = self.order("t.", "t.k", "t.f")
        return (f"select id from (select t.id from t where {self.condition('t', 1)} "
                f"order by {order} limit {self.below(5)}) q")


KINDS = ["projection", "values", "reals", "texts", "times", "decimals", "large", "filtered",
         "members", "member_values", "single_values", "laterals", "groups", "aggregates", "sets",
         "ordered", "firsts", "joined", "chained", "used", "windows", "derived", "recursive",
         "lists", "reordered", "parted", "limited"]


def with_parquet_types(table):
    """Columns as Parquet gives them back: moments have no seconds there."""
    columns = []
    for column in table.columns:
        if column.type == pa.timestamp("s"):
            column = column.cast(pa.timestamp("ms"))
        columns.append(column)
    return pa.table(columns, names=table.column_names)


def widened(table):
    """Integers of 64 bits, with which DuckDB finds no sum of small ones too large."""
    columns = [column.cast(pa.int64()) if pa.types.is_integer(column.type) else column
               for column in table.columns]
    return pa.table(columns, names=table.column_names)


def csv_types(table):
    """Columns as a CSV gives them back."""
    columns = []
    for name, column in zip(table.column_names, table.columns):
        if pa.types.is_integer(column.type):
            column = column.cast(pa.int64())
        elif pa.types.is_decimal(column.type):
            column = column.cast(pa.float64())
        elif name == "s":
            column = column.cast(pa.string())
        columns.append(column)
    return pa.table(columns, names=table.column_names)


def ours(query):
    """The same for the component: it divides integers as integers, and calls `first` otherwise."""
    query = re.sub(r"\bsign\(", "signum(", query.replace("//", "/"))
    return re.sub(r"\b(first|last)\(", r"\1_value(", query)


def plain(value):
    """A value of DuckDB's as it is compared."""
    if isinstance(value, bool) or value is None:
        return value
    if isinstance(value, (int, float, decimal.Decimal)):
        return number(str(value))
    if isinstance(value, datetime.datetime):
        value = value.replace(tzinfo=None)
        return value.isoformat()
    if isinstance(value, datetime.date):
        return value.isoformat()
    return str(value)


def number(text):
    """Twelve digits of it: sums of floats depend on their order."""
    value = decimal.Decimal(text.lower())
    if not value.is_finite():
        return "nan" if value.is_nan() else str(value)
    if "e" in text.lower() or "." in text:
        value = decimal.Context(prec=12).create_decimal(value)
    value = value.normalize()
    return abs(value) if value == 0 else value


def told(value, data_type):
    """A value of the component's as it is compared."""
    if value is None:
        return None
    if encoded := re.match(r"Dictionary\([^,]*, (.*)\)", data_type):
        data_type = encoded[1]
    if data_type == "Boolean":
        return value == "true"
    if NUMBER.match(data_type):
        return number(value)
    if data_type.startswith("Timestamp"):
        return value.removesuffix("Z").rstrip("0").rstrip(".") if "." in value \
            else value.removesuffix("Z")
    return value


def as_moment(value):
    return value.removesuffix("T00:00:00") if isinstance(value, str) else value


def expected(engine, query):
    try:
        asked = engine.execute(query)
        return [tuple(map(plain, row)) for row in asked.fetchall()], None
    except duckdb.Error as error:
        return None, str(error)


def run(runner, inputs, folder, queries, arguments):
    """The answers, of those that the run came to, and what it printed of its own end."""
    script = folder / "script.sql"
    script.write_text(";\n".join(map(ours, queries)))
    command = [*runner, "--in", f"script={script}"]
    for name, path in inputs.items():
        command += ["--in", f"{name}={path}"]
    done = subprocess.run([*command, "--", *arguments, "--results", "ndjson", "--keep-going",
                           "--file", "/in/script"], capture_output=True, text=True)
    answers, rows, types = [], [], []
    for line in done.stdout.splitlines():
        told_line = json.loads(line)
        if isinstance(told_line, list):
            rows.append(tuple(told(value, of) for value, of in zip(told_line, types)))
        elif "columns" in told_line:
            rows, types = [], [column["type"] for column in told_line["columns"]]
        else:
            answers.append(told_line.get("error", rows))
            rows = []
    return answers, done.stderr


def all_answers(runner, inputs, folder, queries, arguments):
    """Of each query the rows, or the words of its error."""
    answers = []
    while len(answers) < len(queries):
        found, ended = run(runner, inputs, folder, queries[len(answers):], arguments)
        answers += found
        if len(answers) < len(queries):
            answers.append(f"the run ended: {ended[-2000:]}")
    return answers


def difference(found, want, error):
    """What is wrong with an answer, or nothing."""
    if isinstance(found, str):
        if "the run ended" in found:
            return found
        if any(words in found for words in REFUSED):
            return None
        if any(words in found for words in TOO_LARGE):
            large = error or any(
                isinstance(value, decimal.Decimal) and not -LARGEST - 1 <= value <= LARGEST
                for row in want for value in row)
            return None if large else f"an error, and DuckDB has {want[:5]}: {found}"
        return None if error else f"an error: {found}"
    if error:
        return None if NARROW.search(error) else f"{found[:5]}, and DuckDB an error: {error}"
    found = collections.Counter(tuple(map(as_moment, row)) for row in found)
    want = collections.Counter(tuple(map(as_moment, row)) for row in want)
    if found == want:
        return None
    only_ours, only_duckdb = found - want, want - found
    return (f"only here {list(map(show, only_ours))[:4]}, "
            f"only in DuckDB {list(map(show, only_duckdb))[:4]}")


def show(row):
    return tuple(str(value) if isinstance(value, decimal.Decimal) else value for value in row)


def main():
    options = argparse.ArgumentParser()
    options.add_argument("--queries", type=int, default=2000)
    options.add_argument("--seed", type=int, default=1)
    options.add_argument("--keep-going", action="store_true")
    options.add_argument("--only", type=lambda text: text.split(","))
    options.add_argument("--instances", type=int)
    options.add_argument("runner", nargs=argparse.REMAINDER)
    args = options.parse_args()
    runner, arguments = args.runner, []
    if args.instances:
        runner = [*runner, "--instances", str(args.instances)]
        arguments = ["--alone-below", "1"]
    counts = collections.Counter()
    for batch in range(math.ceil(args.queries / BATCH)):
        draw = Draw(f"{args.seed} {batch}")
        with tempfile.TemporaryDirectory() as folder:
            folder = pathlib.Path(folder)
            inputs = {}
            engine = duckdb.connect()
            for name in ["t", "u"]:
                table = draw.table(0 if draw.often(0.05) else draw.random.randint(1, 12))
                inputs[name], table = draw.written(table, folder, name)
                # Not the file, in which DuckDB does not find NaN either.
                table = widened(table)
                engine.execute(f"create table {name} as from \"table\"")
            queries = [draw.query(args.only) for _ in range(BATCH)]
            answers = all_answers(runner, inputs, folder, queries, arguments)
            for query, found in zip(queries, answers):
                want, error = expected(engine, query)
                counts["queries"] += 1
                counts["errors here"] += isinstance(found, str)
                counts["errors in DuckDB"] += error is not None
                why = difference(found, want, error)
                if why:
                    counts["different"] += 1
                    print(f"seed {args.seed} batch {batch}: {query}\n    {why}", flush=True)
                    if not args.keep_going:
                        sys.exit(1)
    print(", ".join(f"{count} {what}" for what, count in counts.items()))
    sys.exit(1 if counts["different"] else 0)


if __name__ == "__main__":
    main()
