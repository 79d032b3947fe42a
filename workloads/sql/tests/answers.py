"""That answers of the SQL component are DuckDB's, or errors in words, where DataFusion's own are not.

    answers.py RUNNER…

RUNNER is a command that takes inputs and arguments as mc2-run does, as `mc2-run --bare sql.wasm`.
Needs pyarrow and duckdb; prints one line a kind of query and exits with 1 where an answer differs.
"""

import collections
import decimal
import json
import math
import pathlib
import subprocess
import sys
import tempfile

import duckdb
import pyarrow as pa
import pyarrow.parquet as parquet

RUNNER = sys.argv[1:]
LARGEST = 2**63 - 1
NAN = float("nan")


JSON = ['{"a":1,"b":"x","c":[1,2,{"d":null}]}', '{"a":"7","b":"\\u00e4\\n\\ud83d\\ude00","a":2}',
        '{"a":null,"b":{"a":true}}', '{"":0,"1":5,"a":18446744073709551616}', '[10,[20,30],"s"]',
        '{"a":-1.5,"b":"7","c":[]}', "null", "5", None]


def tables():
    """Small ones, with NULL, NaN, zeros and the largest values, and one without rows."""
    yield "n", pa.table({
        "id": pa.array([1, 2, 3, 4], pa.int64()),
        "a": pa.array([7, -7, 1, LARGEST], pa.int64()),
        "b": pa.array([2, 2, 0, 1], pa.int64()),
        "u": pa.array([1, 2, 3, 2**64 - 1], pa.uint64()),
        "i": pa.array([1, 2, 3, 2**31 - 1], pa.int32()),
        "s": pa.array([1, 2, 3, 127], pa.int8()),
        "d": pa.array([decimal.Decimal(x) for x in ["1.5", "2.5", "-1.5", "9" * 36 + ".99"]],
                      pa.decimal128(38, 2)),
        "f": pa.array([1.5, NAN, None, float("inf")]),
        "t": pa.array(["1", "x", "3", None]),
    })
    yield "l", pa.table({"x": pa.array([1, 2, 3, None], pa.int64()), "g": ["p", "p", "q", None]})
    yield "r", pa.table({"y": pa.array([2, None, 5], pa.int64()), "h": ["p", "q", "q"]})
    yield "e", pa.table({"y": pa.array([], pa.int64()), "h": pa.array([], pa.string())})
    # Row groups of which the statistics leave NaN out.
    yield "w", pa.table({"id": list(range(12)), "k": [n % 3 for n in range(12)],
                         "v": [1.0, NAN, 2.0, 3.0, 100.0, 4.0, NAN, 5.0, 6.0, 7.0, 8.0, 9.0]})
    # What programs on x86 write for 0 / 0.
    yield "zeros", pa.table({"id": [1, 2, 3, 4, 5], "z": [0.0, -0.0, 1.0, -0.0, 0.0]})
    lists = [[0.0, NAN], [-0.0, -NAN], [0.0, -NAN], [-0.0, NAN]]
    yield "nested", pa.table({
        "id": [1, 2, 3, 4], "v": lists, "s": [{"x": x, "y": y} for x, y in lists],
        "m": pa.array([[{"k": "a", "f": x}, {"k": "b", "f": y}] for x, y in lists],
                      pa.list_(pa.struct([("k", pa.string()), ("f", pa.float32())])))})
    yield "minus", pa.table({"id": [1, 2, 3, 4], "v": [-NAN, 1.0, NAN, 2.0]})
    # Of which the smaller is read first, and its columns have the other's names.
    yield "many", pa.table({"id": [0, 1], "k": pa.array([0, -2], pa.int8()),
                            "j": pa.array([0, 1], pa.uint8())})
    yield "few", pa.table({"id": [0], "k": [3], "j": pa.array([None], pa.int64())})
    yield "docs", pa.table({"id": list(range(1, len(JSON) + 1)), "j": JSON})


SAME = {
    "a condition is not computed for rows that another excludes": """
        select id, case when b > 0 and a / b > 2 then 'high' else 'low' end as k from n where id < 4
        select id from n where b <> 0 and a // b > 2
        select id from n where a // b > 2 and b <> 0
        select id from n where b = 0 or a // b > 2
        select id from (select * from n where b <> 0) x where a // b > 2
        select sum(case when b = 0 or a // b < 0 then 1 else 0 end) as s from n
        select b <> 0 and a // b > 2 as k, count(*) as c from n group by 1
        select l.x from l join n on l.x = n.id and n.b <> 0 and n.a // n.b > 2
        select l.x, n.id from l left join n on l.x = n.id and n.b <> 0 and n.a // n.b > 2
        select l.x, n.id from l left join n on n.b <> 0 and n.a // n.b > l.x
        select l.x, n.id from l left join n on l.x < n.a and n.a // n.b > 0 and n.b <> 0
        select l.x, n.id from l left join n on l.x < n.a and
            case when n.b <> 0 and l.x > 1 then 8 // n.b else l.x end > 3
        select id from n where t <> 'x' and cast(t as bigint) > 1
        select id from n where case when b <> 0 then a // b > 2 else false end
        select id from n where id < 3 and (b = 0 or a // b > 2) and not (b <> 0 and a // b > 100)
        select coalesce(id, 1 // b) as c from n
        select id, row_number() over (order by b <> 0 and a // b > 2, id) as r from n
        select id, row_number() over (order by case when b <> 0 then a // b end, id) as r from n
        select id, sum(coalesce(id, 1 // b)) over (partition by b <> 0 and a // b > 2 order by id) as r
            from n where id < 4
        select id, lag(b = 0 or a // b > 2) over (order by id) as r from n
        select id, count(*) filter (where b <> 0 and a // b > 2) over (order by id) as r from n
        select id, sum(case when b <> 0 and a // b > 2 then 1 else 0 end) over (order by id rows
            between 1 preceding and current row) + 1 as r from n
        select id from (select id from n order by b <> 0 and a // b > 2, id limit 2) q
        select id from (select * from n order by case when b <> 0 then a // b > 2 else false end desc,
            id desc limit 2) q
        select id from (select n.* from n join l on n.id = l.x order by
            coalesce(nullif(b, 0) is null, 1 // b > 2) desc, b = 0 or a // b > 2, id limit 3) q
        select distinct on (k) k, id from (select id, b <> 0 and a // b > 2 as k, a, b from n) q
            order by k, b = 0 or a // b > 3, id
        select id, first_value(id) over (order by b = 0 or a // b > 2, id) as r from n order by
            b = 0 or a // b > 2, id
    """,
    "sums and products that fit are exact": """
        select sum(a) as s from (select a from n union all select -a from n union all select 5) q
        select sum(a) as s, id % 2 as k from n where id < 4 group by id % 2
        select sum(i) as s, sum(s) as t from n
        select id, sum(i) over (order by id rows between 1 preceding and current row) as s from n
        select sum(distinct i) as s from (select i from n union all select i from n) q
        select id, a - 1 as p, -a as q, abs(a) as r, i * 2 as o from n where id < 4
        select id from n where a - 1 > 0
        select a + 0 as k, count(*) as c from n group by a + 0
        select sum(y) as s from e
        select h, sum(y) as s from r group by h
    """,
    "a condition is asked of the column it names": """
        select many.id as x, few.id as y from many right join few on many.j = few.j and many.k < few.k
            where many.k is not distinct from many.j
    """,
    "a sort is left out only where its order is there": """
        select id from (select id, ts from (values (1, timestamp '2024-01-01 23:00:00'),
            (2, timestamp '2024-01-02 01:00:00')) v(id, ts) order by ts limit 2) q
            order by cast(ts as time) limit 1
        select b from (select b from (values (0.5::double), (2::double), (4::double)) v(b) order by b
            limit 3) q order by log(b, 10) desc limit 1
    """,
    "a number cast to a decimal has the digits that are written": """
        select cast(12345.678901 as decimal(38, 20)) as a, 100000000000000000000000000000000001::decimal(38, 0)
            = 100000000000000000000000000000000000::decimal(38, 0) as b, (-1.255)::decimal(10, 2) as c,
            cast(0.1000000000000000055 as decimal(38, 20)) = '0.1000000000000000055'::decimal(38, 20) as d,
            1.5::numeric(4, 1) as e, cast(12345.678901 as decimal(38, 20))
            = cast('12345.678901' as decimal(38, 20)) as f
    """,
    "NULL is in no list": """
        select list_contains([1, null], 2) as a, list_contains([1, null], null) as b, list_contains([1, null], 1) as c
        select id, list_contains([b, null, 1], s) as k, list_contains([null, 2], b) as m,
            list_contains([2, 1], nullif(b, 2)) as o, not list_contains([2, null], b) as p from n
        select list_has_any([1, null], [null]) as a, list_has_any([1, null], [1, null]) as b,
            list_has_any(['a', null], [null, 'b']) as c, list_has_any([1, 2], [2, null]) as d
        select id, list_has_any([b, null], [null, 2]) as k, list_has_any([null, i], [b]) as m from n
    """,
    "concat of what is empty is empty": """
        select concat(left('', 2), coalesce('', t)) as c, concat('', '') as d, concat('', t) as e from n
    """,
    "the second part of a recursive query has the first's types": """
        with recursive r(n, d) as (select 1::int, date '2024-01-01' union all
            select n + 1, date '2024-02-01' from r where n < 3) select n, d = date '2024-01-01' as k from r
        with recursive r(n) as (select 1::int union all select (n * 2.0)::int from r where n < 9)
            select n from r
        with recursive r(n, d) as (select 1, 1.5::decimal(10, 2) union all select n + 1, d + 1 from r
            where n < 4) select n, d from r
    """,
    "IN and NOT IN know NULL": """
        select x from l where x not in (select y from r)
        select x from l where x not in (select y from r where y is not null)
        select x from l where x not in (select y from e)
        select x, x in (select y from r) as k from l
        select x, x not in (select y from r) as k from l
        select x, x in (select y from r) is null as k from l
        select x, x not in (select y from e) as k from l
        select x, x in (select y from r where h = g) as k from l
        select x, x not in (select y from r where h = g) as k from l
        select x, x + 1 in (select y from r) as k from l
        select x, 5 in (select y from r where h = g) as k from l
        select x from l where x not in (select y from r where h = g)
        select x from l where x in (select y from r where h = g)
        select x from l where x not in (select y from r where r.h > l.g)
        select x from l where x not in (select y from r where r.y > l.x)
        select x from l where x + 1 not in (select y + 1 from r where y is not null)
        select x from l where 3 not in (select y from r)
        select x from l where 7 not in (select y from r where y is not null)
        select x from l where 3 not in (select y from r where h = g)
        select x from l where null not in (select y from r)
        select x from l where null not in (select y from e)
        select x from l where not (x in (select y from r))
        select x from l where not (x not in (select y from r))
        select x from l where x not in (select y from r) or g = 'q'
        select x from l where x in (select y from r) or g = 'q'
        select x from l where (x not in (select y from r)) is null
        select x from l where (x in (select y from r)) is not true
        select x from l where (x in (select y from r)) = false
        select x from l where coalesce(x not in (select y from r), true)
        select x from l where x not in (select max(y) from r where h = g)
        select x from l where x not in (select count(*) from r where h = g)
        select x, x in (select max(y) from r where h = g) as k from l
        select x from l a where x not in (select x from l b where b.g = a.g)
        select x from l where x not in (select x from l)
        select sum(case when x in (select y from r) then 1 else 0 end) as s from l
        select x in (select y from r) as k, count(*) as c from l group by 1
        select x from l where (x is distinct from 1) and g = 'p'
        select x from l group by x having x in (select y from r)
        select x from l where case when x in (select y from r) then true else g = 'q' end
    """,
    "EXISTS is a value, and knows what aggregates return": """
        select x, exists (select 1 from r where h = g) as k from l
        select x, not exists (select 1 from r where h = g) as k from l
        select x, exists (select 1 from r where y > x) as k from l
        select x, exists (select 1 from e) as k, exists (select 1 from r) as m from l
        select x, case when exists (select 1 from r where h = g) then 'y' else 'n' end as k from l
        select x, exists (select count(*) from r where h = g) as k from l
        select x, exists (select 1 from r where h = g) and x > 1 as k from l
        select count(*) filter (where exists (select 1 from r where h = g)) as c from l
        select exists (select 1 from r where h = g) as k, count(*) as c from l group by 1
        select x, exists (select 1 from r where h = g) as k,
            (select count(*) from r where h = g) as c from l
        select x from l where exists (select count(*) from r where h = g)
        select x from l where not exists (select count(*) from r where h = g)
        select x from l where exists (select count(*) from r where h = g having count(*) = 0)
        select x from l where exists (select sum(y) from r where h = g having sum(y) > 3)
        select x from l where not exists (select 1 from r where h = g having count(*) > 5)
        select x from l where exists (select 1 from r where h = g limit 0)
        select x from l where exists (select 1 from r where h = g order by y limit 1)
        select x from l where exists
            (select h, count(*) from r where h = g group by h having count(*) > 1)
        select x, sum(x) over (order by x) as s, exists (select 1 from r where h = g) as k from l
    """,
    "the column of USING comes from the side that has a row": """
        select x, l.g, r.y from l right join (select y as x, y from r) r using (x)
        select x, count(*) as c from l full join (select y as x from r) r using (x) group by x
        select x from l full join (select y as x from r) r using (x) where x > 2 order by x
        select x from l left join (select y as x from r) r using (x) where x is not null
        select * from l full join (select y as x, h from r) r using (x)
        select * from l right join (select y as x, h as g from r) r using (x, g)
        select x, z from l full join (select y as x from r) r using (x)
            full join (select 5 as x, 9 as z) q using (x)
        select a.g, x + 1 as z from l a right join (select y as x from r) b using (x)
        select q.x from (select x from l right join (select y as x from r) r using (x)) q
        select x from l right join (select y as x from r) r using (x)
            union all select x from l full join (select y as x from r) r using (x)
    """,
    "decimals beside floats are compared as floats": """
        select id, d > f as k from n
        select id from n where d < f / 1e30
        select count(*) as c from n where 1e-20::double > cast(0 as decimal(10, 2))
        select coalesce(f, d) as k from n
        select coalesce(d, f) as k from n where id < 4
        select case when id > 2 then d else f end as k from n where id < 4
        select greatest(d, f) as k from n where id < 4
        select id from n where d in (select v from w)
        select id from n where f in (select d from n)
        select l.x, n.id from l join n on l.x + 0.5 = n.d
        select n.id, w.id as k from n join w on n.d = w.v
        select d as k from n where id < 4 union all select v from w
        select d as k from n where id < 4 intersect all select f from n
        select id from n where f between 1 and d
        select id from n where d in (f, 2.5)
        select nullif(f, -0.0::double) as k from n
        select nullif(v - 1, -0.0::double) as k from w
        select id from n where d in (select x from l where x > n.id)
        select id, d in (select x from l where x >= n.id) as k from n
        select id, case -(id - 1)::double when 0.0 then 'zero' else 'more' end as k from n
        select id, case d when f then 'same' when 1.5 then 'this' end as k from n
    """,
    "a window moves on without a trace of what has left it": """
        select id, sum(v) over (order by id rows between 1 preceding and current row) as s from w
        select id, avg(v) over (order by id rows between 2 preceding and 1 preceding) as s from w
        select id, sum(f) over (order by id rows 1 preceding) as s from
            (select 1 as id, 1e300::double as f union all select 2, 1 union all select 3, 2) q
        select id, avg(f) over (order by id rows 1 preceding) as s from
            (select 1 as id, 'inf'::double as f union all select 2, 1 union all select 3, 2) q
        select id, stddev_pop(f) over (order by id rows 1 preceding) as s from
            (select 1 as id, 1e150::double as f union all select 2, 1 union all select 3, 3) q
        select id, sum(v) over (partition by k order by id rows between current row and 1 following)
            as s from w
        select id, sum(f) over (order by id rows between 1 following and 2 following) as s from n
    """,
    "percentiles have all digits of their weights": """
        select percentile_cont(0.123456789) within group (order by id * 1000000) as p from n
        select percentile_cont(0.9) within group (order by k) as p from w
        select percentile_cont(0.25) within group (order by v desc) as p from w
        select k, percentile_cont(0.333) within group (order by v) as p from w group by k
        select percentile_cont(0.25) within group (order by f) as p from
            (select '-inf'::double as f union all select '-inf'::double union all select 1) q
        select percentile_cont(1) within group (order by v) as p from w
        select percentile_cont(0) within group (order by v) as p from w
    """,
    "there is one NaN": """
        select count(*) as c from n where -f = f
        select 0.0::double / 0.0 > 1e300 as k
        select max(-v) as k, min(-v) as m from w
        select id from w where -v > 1000
        select id from (select id, -v as z from w order by z desc, id limit 3) q
        select count(distinct z) as c from (select v as z from w union all select -v from w) q
        select z, count(*) as c from (select -v as z from w union all select v from w) q group by z
        select sum(f) > 5 as k from (select 'inf'::double as f union all select '-inf'::double) q
        select g.id, w.id as k from (select id, -v as z from w) g join w on g.z = w.v
        select z from (select 'inf'::double - v * 'inf'::double as z from w) q order by z limit 2
        select id, v from (select id, v from minus order by v, id limit 2) q
        select count(distinct v) as c, max(v) > 5 as m from minus
        select w.id, m.id as k from w join minus m on w.v = m.v
        select count(distinct v) as c from nested
        select count(distinct s) as c from nested
        select v, count(*) > 0 as k from (select v[1] as v from nested) q group by v
        select count(*) as c from nested a join nested b on a.v = b.v
        select count(*) as c from nested a join nested b on a.s = b.s
        select a.id, b.id as k from nested a join nested b on a.m = b.m
        select id, v = [0.0::double, 'nan'::double] as k, s.y > 1e300 as h from nested
        select count(distinct z) as c from (select [v * -1.0] as z from minus where v > 1e300) q
        select count(distinct z) as c from (select cast(['-nan'] as double[]) as z
            union all select ['nan'::double]) q
        select count(distinct z) as c from (select array_agg(v) as z from minus where v > 1e300
            group by id) q
    """,
    "there is one zero": """
        select id from (select id, z from zeros order by z, id desc limit 3) q
        select id, rank() over (order by z) as r from zeros
        select id, row_number() over (partition by -z order by id) as r from zeros
        select z, count(*) as c from zeros group by z
        select case z when 0.0 then 1 else 2 end as k, nullif(z, 0.0) as n, z * -1 as m from zeros
        select a.id, b.id as k from zeros a join zeros b on a.z = -b.z
        select id from zeros where round(z) >= 0 and z in (-0.0::double, 1.0)
        select max(z) as m, min(z) as n, count(distinct z) as c from zeros
    """,
    "rounding has room for a digit more": """
        select ceil(cast(99.99 as decimal(4, 2))) as c, floor(cast(-99.99 as decimal(4, 2))) as f
        select round(cast(99.99 as decimal(4, 2)), 1) as r
    """,
    "keys that order nothing are no trouble": """
        select distinct on (g) g, x from l order by g, g desc, x
        select count(*) as c from (select distinct (g >= 'a') is not false as q, x from l) q
        select id from (select id, k from w order by k, k desc, id limit 4) q
    """,
    "values within JSON are what is written there": """
        select id, j -> 'a' as a, j -> 'b' as b, j -> 'c' as c, j -> 'nosuch' as n from docs where id <> 2
        select id, j ->> 'a' as a, j ->> 'b' as b, j ->> 'c' as c from docs
        select id, j -> 'c' -> 2 -> 'd' as d, j -> 'c' ->> 0 as c, j -> 1 as o, j -> 1 -> 1 as t from docs
        select id, j -> 9 as n, j -> 'c' ->> 9 as c, j -> '1' as o from docs
        select id, (j -> 'a')::double as a from docs where id <> 4
        select id, (j -> 'b')::varchar as b, (j ->> 'b')::varchar as t from docs where id <> 2
        select sum((j -> 'a')::bigint) as s from docs where id in (1, 2, 3)
        select id from docs where (j ->> 'b') = 'x' or (j ->> 'b') like '7%'
        select id from docs where (j ->> 'a') is null and j is not null
        select id from docs where (j -> 'a') = 1 and id < 4
        select id, case when id in (1, 5, 7) then (j -> 'a') in (1, 2) end as k from docs
        select j ->> 'b' as b, count(*) as n from docs group by j ->> 'b'
        select id, '<' || (j ->> 'b') || '>' as b from docs
        select a.id, b.id as k from docs a join docs b on (a.j ->> 'b') = (b.j ->> 'b')
        select id, json_valid(j) as v from docs
        select id, case when json_valid(t) then t -> 'a' end as a from
            (select id, case when id = 1 then 'x' else j end as t from docs) q
        select id from (select id, case when id = 1 then 'x' else j end as t from docs) q
            where (t ->> 'b') = '7' and json_valid(t)
    """,
    "intervals are compared by how long they are": """
        select interval '24 hours' = interval '1 day' as a, interval '1 day' < interval '25 hours' as b,
            interval '1 month' > interval '29 days' as c, interval '720 hours' = interval '1 month' as d
        select interval '36 hours' between interval '1 day' and interval '2 days' as a,
            interval '24 hours' in (interval '1 day') as b, interval '1 day' is distinct from interval '24 hours' as c
        select timestamp '2026-03-01 12:00:00' - timestamp '2026-02-28 00:00:00' > interval '1 day' as a
        select cast(date '2026-01-31' + interval '36 hours' as varchar) = '2026-02-01' as a,
            date '2026-01-31' + interval '1 hour' > timestamp '2026-01-31 00:59:59' as b,
            date '2026-01-31' - interval '1 hour' < date '2026-01-31' as c,
            extract(hour from date '2026-01-31' + interval '3 hours') as d
    """,
    "a time is one at its place": """
        select timestamptz '2026-07-01 12:00:00Z' at time zone 'Europe/Berlin'
            = timestamp '2026-07-01 14:00:00' as a
        select cast('2026-07-01T18:00:00Z'::timestamptz at time zone 'America/Denver' as timestamp)
            = timestamp '2026-07-01 12:00:00' as a
        select timestamp '2026-07-01 18:00:00' at time zone 'America/Denver'
            = timestamptz '2026-07-02 00:00:00Z' as a
        select extract(hour from timestamptz '2026-07-01 12:00:00+02' at time zone 'Asia/Tokyo') as h
        select cast(timestamp '2026-03-29 01:30:00' at time zone 'UTC' at time zone 'Europe/Berlin' as date)
            = date '2026-03-29' as a
        select timestamptz '2026-07-01 12:00:00+02' = timestamptz '2026-07-01 10:00:00Z' as a
    """,
    "a row and a list are compared by their values": """
        select (1, 2) < (1, 3) as a, (1, 2) >= (1, 2) as b, (2, 1) > (1, 5) as c, (1, 2) <> (1, 2) as d,
            (1, 2, 3) <= (1, 2, 2) as e
        select id from n where (id, b) > (1, 2) and (i, s) <= (3, 3)
        select 3 = any([1, null]) as a, 1 = any([1, null]) as b, 3 <> any([1, null]) as c,
            1 < any([1, null]) as d, 3 = any([1, 2]) as e
        select 3 <> all([1, null]) as a, 2 > all([1, null]) as b, 3 > all([1, 2]) as c
        select id from n where not (id = any([1, 2])) and id <> all([3])
    """,
    "groups of several sets are each its own": """
        select w, count(*) as n from (select 7 as w union all select 7 union all select 7 order by 1)
            as q group by grouping sets ((), (w))
        select g, count(*) as n, sum(x) as s from l group by grouping sets ((g), (g), ())
        select g, x, count(*) as n from (select * from l order by g, x) q group by rollup (g, x)
        select x, y, count(*) as n from (select x, x as y from l) q
            group by grouping sets ((x), (y), ())
        select g, x, count(*) as n from l where x = 2 group by cube (g, x)
        select w, n from (select w, count(*) as n from (select 7 as w from l) p
            group by grouping sets ((w), ()) order by w nulls first limit 1) q
    """,
    "INTERSECT ALL and EXCEPT ALL count": """
        select g from l except all select h from r
        select g from l intersect all select h from r
        select h from r except all select g from l
        select x from l except all select y from r
        select x from l intersect select y from r
        select x from l except select y from r
        (select g from l union all select g from l) except all select g from l where x = 1
    """,
    "NaN is the largest number, in pruned files too": """
        select id from w where v > 50
        select id from w where v >= 'nan'::double
        select id from w where v = 'nan'::double
        select id from w where not (v <= 50)
        select id from w where v < 3
        select id from (select id, v from w order by v desc nulls last, id limit 3) q
        select id from (select id, v from w order by v, id limit 2) q
        select k, max(v) > 1000 as m, min(v) as o from w group by k
        select max(v) > 1000 as m, min(v) as o from w
        select a.id, b.id as o from w a join w b on a.v = b.v where a.id < b.id
    """,
}

REFUSED = {
    "what is no JSON, or too large for its type, is named": """
        no JSON: select '{"a":1' -> 'a'
        no JSON: select json_get_int('{"a":1} x', 'a')
        no JSON: select json_contains('{"b":2,"a":', 'b')
        no JSON: select '{"a":"\\ud83d"}' ->> 'a'
        no JSON: select 'NaN' -> 'a'
        is no integer of 64 bits: select json_get_int(j, 'a') from docs
        is no floating-point number: select json_get_float('{"a":1e400}', 'a')
        Cast error: select (j -> 'a')::bigint from docs
        write ->>: select id from docs where j -> 'b' = 'x'
        write ->>: select id from docs where j -> 'a' <> '{"a":1}' -> 'a'
        not by Boolean: select j -> true from docs
        which is a text, and not Int64: select json_get(id, 'a') from docs
        number in quotes: select j #> array['c', '0'] from docs
        list of keys: select j #>> '{a}' from docs
        wants a key: select json_contains(j) from docs
    """,
    "operators that bind differently elsewhere want brackets": """
        brackets: select 2 | 1 & 0
        brackets: select id from n where a & 3 << 1 = 2
        brackets: explain select (1 | 2) & 3 | 4
        power(: select 2 ^ 3
    """,
    "what has several orders or readings is named": """
        ORDER BY an interval: select x from (select interval '1 day' as x) q order by x
        GROUP BY an interval: select x, count(*) as c from (select interval '1 day' as x) q group by x
        DISTINCT or UNION: select distinct x from (select interval '1 day' as x) q
        DISTINCT or UNION: select interval '1 day' as x union select interval '24 hours'
        CASE of an interval: select max(x) from (select interval '1 day' as x) q
        CASE of an interval: select count(distinct x) as c from (select interval '1 day' as x) q
        CASE of an interval: select rank() over (order by x) as c from (select interval '1 day' as x) q
        CASE of an interval: select greatest(x, interval '1 day') as c from (select interval '1 day' as x) q
        no constant: select date '2026-01-01' + x as c from (select interval '1 hour' as x) q
        BETWEEN of a List: select [1, 2] < [1, null] as c
        BETWEEN of a Struct: select {'a': 1} >= {'a': 2} as c
        as many on both sides: select (1, 2) = (1, 2, 3) as c
        says no zone: select timestamp '2026-07-01 18:00:00' at time zone 'America/Denver' > '2026-07-01' as c
        says no zone: select timestamp '2026-07-01 18:00:00' at time zone 'America/Denver' > date '2026-07-01' as c
        is no time zone: select timestamptz '2026-07-01 12:00:00Z' at time zone 'nowhere' as c
        wants a timestamp: select '2026-07-01 12:00:00Z' at time zone 'UTC' as c
        SIMILAR TO: select id from n where t similar to 'x%'
        FROM without SELECT: from n
        more digits: select 123456789012345678901234567890 as c
        more digits: select id from n where d > 99999999999999999999.5
        more digits: select cast(0.1000000000000000055 as double) as c
    """,
    "what overflows is an error that names it": """
        overflow: select a + b as s from n where id = 4
        a + b: select a + b as s from n where id = 4
        overflow: select a * 2 as s from n where id = 4
        overflow: select u + u as s from n
        overflow: select i + i as s from n
        overflow: select i * i as s from n
        overflow: select s + s as s from n
        overflow: select -a - 2 as s from n where id = 4
        overflow: select -(-a - 1) as s from n where id = 4
        overflow: select abs(-a - 1) as s from n where id = 4
        overflow: select 9223372036854775807 + 1 as s
        overflow: select d + d as s from n
        overflow: select cast(6 as decimal(38, 0)) * 10000000000000000000 * 2000000000000000000 as s
        sum(n.a): select sum(a) from n
        out of the range: select sum(a) as s, g from n, l group by g
        out of the range: select sum(u) as s from n
        out of the range: select sum(d) as s from (select d from n union all select d from n) q
        out of the range: select sum(distinct a) as s from (select a from n union all select 2) q
        out of the range: select sum(a) over (order by id) as s from n
        out of the range: select sum(a) over (order by id rows between 3 preceding and current row) as s from n
        overflow: select id from n where a + 1 > 0
        overflow: select count(*) as c from n group by a + 1
        overflow: select id from n order by a + 1
        overflow: select case when a + 1 > 0 then 1 end as c from n
        Int32: select cast(a as int) as c from n
        ivide by zero: select a / b as q from n
        ivide by zero: select id from n where a / b > 2
    """,
    "what has no right answer is named": """
        beneath an outer join: select x, (select count(*) from r left join (select * from n where n.id = l.x) q on q.id = r.y) as c from l
        beneath an outer join: select x from l where exists (select 1 from r left join (select * from n where n.id = l.x) q on q.id = r.y where q.id is null)
        window function: select x, (select max(n) from (select row_number() over (order by y) as n, h from r where h = l.g) q) as c from l
        in its first part: with recursive r(n) as (select 1::int union all select n + 1.5 from r where n < 5) select n from r
        in its first part: with recursive r(n) as (select 1 union all select * from (select n + 1.5 as m from r) q where m < 5) select n from r
        in its first part: with recursive r(d) as (select 1.5::decimal(9, 2) union all select d * d from r where d < 5) select d from r
        brackets: select true is distinct from false and false as k
        brackets: explain select x from l where x is not distinct from 1 or g = 'q'
        beneath an aggregate: select x from l where 0 < all (select count(*) from r where r.h = l.g)
        outside of WHERE: select x > any (select y from r) as c from l
        OFFSET: select x from l where exists (select 1 from r where h = g offset 1)
        condition of a JOIN: select l.x from l left join r on l.x in (select y from e)
        TABLESAMPLE: select count(*) as c from n tablesample (50 percent)
        TABLESAMPLE: select count(*) as c from (select * from n) tablesample (50 percent)
        WITH ORDINALITY: select * from unnest([1, 2]) with ordinality
        GROUP BY ROLLUP: select g, count(*) as c from l group by g with rollup
        PIVOT: select * from l pivot (sum(x) for g in ('p', 'q'))
        UNPIVOT: select * from n unpivot (v for c in (a, b))
        MATCH_RECOGNIZE: select * from n match_recognize (pattern (a) define a as id > 1)
        CONNECT BY: select id from n start with id = 1 connect by prior id = b
        PREWHERE: select id from n prewhere id > 1
        FOR XML: select id from n for xml auto
        two lists of arguments: select sum(1)(id) as s from n
        two levels: select x from l where exists (select 1 from r where exists (select 1 from r q where q.y = l.x))
        two levels: select x, (select count(*) from r where y in (select y from r q where q.h = l.g)) as c from l
        ROLLUP or CUBE: select g in (select h from r) as k, count(*) as c from l group by rollup (g in (select h from r))
        ROLLUP or CUBE: select exists (select 1 from r where h = g) as k, count(*) as c from l group by rollup (k)
        ROLLUP or CUBE: select x in (select y from r) as k, count(*) as c from l group by cube (1)
        column of JOIN … USING: select x from l full join (select y as x from r) r using (x) where exists (select 1 from n where id = x)
        column of JOIN … USING: select (select count(*) from n where id = x) as c from l left join (select y as x from r) r using (x)
        SEMI and ANTI JOIN: select x from l semi join r on x = y
        ASOF JOIN: select x from l asof join r match_condition (x >= y) on g = h
        FILTER of upper: select upper(t) filter (where false) as u from n
        DISTINCT or ALL of abs: select abs(distinct id) as u from n
        OVER of abs: select abs(id) over (order by id) as u from n
        FILTER of row_number: select row_number() filter (where id > 1) over (order by id) as u from n
        Europe/Berlin: select date_bin(interval '1 day', timestamp '2026-03-29 05:00:00' at time zone 'Europe/Berlin')
    """,
}


def queries(text):
    """One a line, which an indented line continues."""
    lines = [line[8:].rstrip() for line in text.splitlines()]
    found = []
    for line in filter(None, lines):
        if line.startswith(" "):
            found[-1] += " " + line.strip()
        else:
            found.append(line)
    return found


def run(sql, inputs, *args):
    command = [*RUNNER]
    for name, path in inputs.items():
        command += ["--in", f"{name}={path}"]
    return subprocess.run([*command, "--", *args, sql], capture_output=True, text=True)


def ours(query):
    """DuckDB divides integers as floating point unless told otherwise."""
    return query.replace("//", "/")


def rows(found):
    return collections.Counter(tuple(map(plain, row)) for row in found)


def plain(value):
    if isinstance(value, (decimal.Decimal, float)):
        return "nan" if math.isnan(value) else float(value)
    return value


def typed(value, data_type):
    if value is None:
        return None
    if data_type == "Boolean":
        return value == "true"
    if "Int" in data_type:
        return int(value)
    return float(value) if "Float" in data_type or "Decimal" in data_type else value


def answers(listed, inputs):
    """The rows of each query's answer, or the words of its error."""
    done = run("; ".join(map(ours, listed)), inputs, "--results", "ndjson", "--keep-going")
    assert done.returncode == 0, done.stderr
    found, rows, types = [], [], []
    for line in map(json.loads, done.stdout.splitlines()):
        if isinstance(line, list):
            rows.append(tuple(map(typed, line, types)))
        elif "columns" in line:
            rows, types = [], [column["type"] for column in line["columns"]]
        else:
            found.append(line.get("error", rows))
    return found


def differences(text, inputs, engine):
    listed = queries(text)
    for query, found in zip(listed, answers(listed, inputs)):
        want = rows(engine.execute(query).fetchall())
        if isinstance(found, str):
            yield query, found
        elif rows(found) != want:
            yield query, f"{dict(rows(found))}, and DuckDB says {dict(want)}"


def accepted(text, inputs):
    for line in queries(text):
        words, query = line.split(": ", 1)
        done = run(query, inputs)
        if done.returncode != 1 or words.lower() not in done.stderr.lower():
            yield line, done.stdout + done.stderr


def main():
    failed = False
    with tempfile.TemporaryDirectory() as folder:
        inputs = {}
        engine = duckdb.connect()
        for name, table in tables():
            inputs[name] = pathlib.Path(folder) / f"{name}.parquet"
            parquet.write_table(table, inputs[name], row_group_size=3)
            # Not the file, in which DuckDB does not find NaN either.
            engine.execute(f"create table {name} as from \"table\"")
        for kinds, wrong in [(SAME, lambda text: differences(text, inputs, engine)),
                             (REFUSED, lambda text: accepted(text, inputs))]:
            for kind, text in kinds.items():
                found = list(wrong(text))
                failed |= bool(found)
                print(f"{'FAILED' if found else 'ok'}  {kind}", flush=True)
                for query, why in found:
                    print(f"    {query}\n        {why}", flush=True)
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
