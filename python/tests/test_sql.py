"""Queries over sealed tables: answers are DuckDB's, whatever library the table is of."""


import duckdb
import pandas
import polars
import pyarrow
import pyarrow.csv
import pyarrow.parquet
import pytest

import mc2

QUERIES = [
    "select region, sum(amount) total, count(*) n from sales group by region order by total",
    "select count(*) n, count(amount) m, min(id) a, max(id) b, avg(amount) c from sales",
    "select id, region from sales where good and region is not null order by id limit 100",
    "select good, count(distinct region) n from sales group by good order by good",
]


def rows(table):
    """The rows, for comparison."""
    return [tuple(row.values()) for row in pyarrow.table(table).to_pylist()]


def duckdbs(query, sales):
    """DuckDB's answer; it sees the table by its name here."""
    return duckdb.sql(query).fetchall()


@pytest.mark.parametrize("query", QUERIES)
def test_answers_are_duckdbs(enclave, sealed, sales, query):
    assert rows(enclave.sql(query, sales=sealed)) == duckdbs(query, sales)


@pytest.mark.parametrize("kind", ["pandas", "polars", "duckdb", "batches", "parquet", "csv"])
def test_a_table_of_any_library_or_a_file_is_the_same_table(enclave, sales, tmp_path, kind):
    query = QUERIES[0]
    if kind == "pandas":
        given = sales.to_pandas()
    elif kind == "polars":
        given = polars.from_arrow(sales)
    elif kind == "duckdb":
        given = duckdb.sql("select * from sales")
    elif kind == "batches":
        given = pyarrow.RecordBatchReader.from_batches(
            sales.schema, sales.to_batches(max_chunksize=777)
        )
    elif kind == "parquet":
        given = tmp_path / "sales.parquet"
        pyarrow.parquet.write_table(sales, given)
    else:
        given = tmp_path / "sales.csv"
        pyarrow.csv.write_csv(sales, given)
    found = rows(enclave.sql(query, sales=given))
    assert found == duckdbs(query, sales)


def test_types_survive_the_way_into_the_enclave_and_back(enclave):
    import datetime
    import decimal

    day = datetime.date(2026, 11, 30)
    table = pyarrow.table(
        {
            "day": pyarrow.array([day, None]),
            "time": pyarrow.array([datetime.datetime(2026, 11, 30, 12), None]),
            "zoned": pyarrow.array([datetime.datetime(2026, 11, 30, 12)], pyarrow.timestamp("us", "UTC")).take(
                pyarrow.array([0, None])
            ),
            "exact": pyarrow.array([decimal.Decimal("12.34"), None]),
            "small": pyarrow.array([-128, 127], pyarrow.int8()),
            "large": pyarrow.array([2**64 - 1, 0], pyarrow.uint64()),
            "bytes": pyarrow.array([b"\x00\xff", None]),
            "text": pyarrow.array(["a", "b"]).dictionary_encode(),
            "view": pyarrow.array(["a string that is longer than twelve", None], pyarrow.string_view()),
            "list": pyarrow.array([[1, 2], None]),
            "struct": pyarrow.array([{"a": 1}, {"a": None}]),
        }
    )
    found = enclave.sql("select * from t", t=table).to_arrow()
    assert found.to_pylist() == table.to_pylist()


def test_results_go_to_any_library_and_are_not_copied_on_the_way(enclave, sealed, sales):
    result = enclave.sql("select * from sales order by id", sales=sealed)
    assert len(result) == sales.num_rows
    table = result.to_arrow()
    assert table.equals(sales.cast(table.schema))
    assert result.to_pandas().equals(sales.to_pandas())
    assert result.to_polars().height == sales.num_rows
    again = pyarrow.table(result)
    for one, other in zip(table.column("id").chunks, again.column("id").chunks):
        assert one.buffers()[1].address == other.buffers()[1].address


def test_a_result_outlives_its_enclaves_table_and_every_view_of_it(enclave, sealed, sales):
    table = enclave.sql("select id from sales order by id", sales=sealed).to_arrow()
    import gc

    gc.collect()
    assert table.column("id").to_pylist() == list(range(sales.num_rows))


def test_an_empty_result_has_its_columns(enclave, sealed):
    result = enclave.sql("select id, region from sales where id < 0", sales=sealed)
    assert len(result) == 0
    assert result.to_arrow().column_names == ["id", "region"]


def test_a_table_is_read_under_the_names_it_is_given_as(enclave, sealed, sales):
    query = "select count(*) n from a join b on a.id = b.id + 1"
    assert rows(enclave.sql(query, a=sealed, b=sealed)) == [(sales.num_rows - 1,)]


def test_parameters_are_values_and_never_text(enclave):
    table = pyarrow.table({"name": ["Joe's", "x' or 1=1 --"], "n": [1, 2]})
    query = "select n from t where name = $name"
    for name, n in [("Joe's", 1), ("x' or 1=1 --", 2)]:
        assert rows(enclave.sql(query, params={"name": name}, t=table)) == [(n,)]
    assert rows(enclave.sql(query, params={"name": "nobody"}, t=table)) == []


def test_a_query_that_is_wrong_is_told_with_its_place(enclave, sealed):
    with pytest.raises(mc2.errors.GuestFailed) as raised:
        enclave.sql("select regionn from sales", sales=sealed)
    assert "regionn" in str(raised.value) and "sales.region" in str(raised.value)
    assert raised.value.receipt.status == "failed"
    assert raised.value.receipt.verify()


def test_a_table_that_was_sealed_twice_is_not_read_as_both(enclave):
    one, two = (enclave.seal(pyarrow.table({"n": [n]}), "n") for n in (1, 2))
    assert rows(enclave.sql("select n from n", n=one)) == [(1,)]
    assert rows(enclave.sql("select n from n", n=two)) == [(2,)]
    with pytest.raises(mc2.Error, match="two versions of the dataset n"):
        enclave.sql("select * from a, b", a=one, b=two)


def test_sealed_data_of_one_enclave_is_refused_by_another(sealed):
    with mc2.connect() as other:
        with pytest.raises(mc2.errors.InputError, match="another enclave"):
            other.sql("select 1 from sales", sales=sealed)


@pytest.mark.parametrize(
    ("table", "words"),
    [
        (pandas.DataFrame({"fine": [1], "odd": [object()]}), ["odd", "object"]),
        (
            pyarrow.table({"fine": [1], "odd": pyarrow.array([1, 1]).take(pyarrow.array([0]))}).set_column(
                1,
                "odd",
                pyarrow.RunEndEncodedArray.from_arrays(pyarrow.array([1], pyarrow.int32()), [7]),
            ),
            ["odd", "RunEndEncoded"],
        ),
        (17, ["int", "__arrow_c_stream__"]),
        ("/no/such/file", ["/no/such/file"]),
    ],
)
def test_what_cannot_be_sealed_is_named_with_its_column_and_type(enclave, table, words):
    with pytest.raises(mc2.errors.InputError) as raised:
        enclave.seal(table, "t")
    for word in words:
        assert word in str(raised.value)


def test_a_stream_that_breaks_off_is_an_error_and_the_enclave_goes_on(enclave):
    schema = pyarrow.schema([("n", pyarrow.int64())])

    def batches():
        yield pyarrow.record_batch({"n": [1]}, schema=schema)
        raise RuntimeError("the source went away")

    broken = pyarrow.RecordBatchReader.from_batches(schema, batches())
    with pytest.raises(mc2.Error, match="the source went away"):
        enclave.seal(broken, "broken")
    assert rows(enclave.sql("select 1 n")) == [(1,)]


def test_a_session_serves_many_calls(enclave, sealed):
    sessions = {
        enclave.sql("select count(*) from sales", sales=sealed).receipt.session for _ in range(3)
    }
    assert len(sessions) == 1
