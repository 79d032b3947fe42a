"""DataFusion's own sqllogictest files through the SQL component.

    slt.py --files DIR [--only NAME,…] [--failures FILE] RUNNER…

DIR is the `test_files` folder of the crate `datafusion-sqllogictest` (`cargo info
datafusion-sqllogictest@VERSION` unpacks it beside the other crates), of the version that the component is built
with. RUNNER is a command that takes inputs and arguments as mc2-run does. A file's records run one after another in one
run of the component, as `--file … --results ndjson --keep-going`; each is compared with what the file
expects, rows and types as DataFusion's own program does, errors by their being errors: our words differ.

Not run, and counted by their reason: EXPLAIN, COPY, CREATE EXTERNAL TABLE, SET, RESET and SHOW of settings, what reads a table
that such a record was to make or that DataFusion's test program makes in Rust, and records for other engines. Prints
what ran and passed, the reasons of failures with how many have them, and with --failures
writes each. Exits with 0 whatever fails: which is right is for a person to say.
"""

import argparse
import collections
import dataclasses
import decimal
import hashlib
import json
import pathlib
import re
import subprocess
import sys
import tempfile

# Made in Rust by DataFusion's test program.
BUILT_IN = {"alltypes_plain_multi_files", "approx_distinct_union_test", "avro", "dict_struct_nullable",
            "dict_struct_table", "larger_table", "smaller_table", "table_with_map", "table_with_many_types",
            "table_with_metadata", "table_with_metadata_conflict", "test_partition_table", "union_table",
            "async_abs", "range_partitioned", "range_partitioned_shifted", "range_partitioned_narrow",
            "range_partitioned_sparse"}
COMMENT = re.compile(r"--[^\n]*|/\*.*?\*/", re.DOTALL)
NAME = r'(?:"?\w+"?\.)*"?(\w+)"?'
MAKES = re.compile(r"\s*create\s+(?:or\s+replace\s+)?(?:unbounded\s+)?(?:external\s+)?(?:temp(?:orary)?\s+)?"
                   r"(?:table|view)\s+(?:if\s+not\s+exists\s+)?" + NAME, re.IGNORECASE)
FILLS = re.compile(r"\s*(?:insert\s+into|update|delete\s+from)\s+" + NAME, re.IGNORECASE)
CHANGES = re.compile(r"\s*(insert|update|delete|merge|truncate)\b", re.IGNORECASE)
KINDS = [(re.compile(pattern, re.IGNORECASE), reason) for pattern, reason in [
    (r"\s*explain\b", "EXPLAIN"),
    (r"\s*copy\b", "COPY"),
    (r"\s*create\s+(or\s+replace\s+)?(unbounded\s+)?external\s+table", "external tables"),
    (r"\s*(set|reset)\b", "settings"),
    (r"\s*show\s+(all|datafusion|time\s*zone|timezone)\b", "settings"),
    (r".*\bdf_settings\b", "settings"),
]]
# Settings that change answers, and what they are unless set.
CHANGING = {"datafusion.execution.time_zone": "+00:00", "datafusion.sql_parser.dialect": "generic",
            "datafusion.sql_parser.enable_ident_normalization": "true",
            "datafusion.sql_parser.parse_float_as_decimal": "false",
            "datafusion.sql_parser.default_null_ordering": "nulls_max",
            "datafusion.catalog.default_catalog": "datafusion",
            "datafusion.catalog.default_schema": "public",
            "datafusion.catalog.information_schema": "true"}
SETS = re.compile(r"\s*(set|reset)\s+(time\s*zone|[\w.]+)\s*(?:=|to)?\s*'?([^';\s]*)", re.IGNORECASE)
MARK = "mc2 record "
TRAPS = 8


@dataclasses.dataclass
class Record:
    place: str
    sql: str
    wants_error: bool = False
    types: str | None = None
    sort: str | None = None
    rows: list | None = None
    skipped: str | None = None
    failed: str | None = None
    told: str = ""


def records(path, seen=()):
    """Those of a file and of what it includes."""
    lines = path.read_text().split("\n")
    at, other = 0, None
    while at < len(lines):
        line, place = lines[at].strip(), f"{path.name}:{at + 1}"
        at += 1
        words = line.split()
        if not words or line.startswith("#"):
            continue
        if words[0] in ("skipif", "onlyif"):
            if (words[0] == "onlyif") != (words[1] == "datafusion"):
                other = f"for {words[1]} alone" if words[0] == "onlyif" else "not for DataFusion"
        elif words[0] == "include":
            for part in sorted(path.parent.glob(words[1])):
                if part not in seen:
                    yield from records(part, (*seen, path))
        elif words[0] == "halt":
            return
        elif words[0] in ("statement", "query"):
            sql, at = until(lines, at, lambda line: not line or line.strip() == "----")
            found = Record(place, "\n".join(sql), wants_error=words[1:2] == ["error"], skipped=other)
            other = None
            if at < len(lines) and lines[at].strip() == "----":
                at += 1
                if found.wants_error:
                    # The words of an error end with two lines of nothing.
                    while at < len(lines) and lines[at:at + 2] != ["", ""]:
                        at += 1
                else:
                    rows, at = until(lines, at, lambda line: not line)
                    found.rows = rows
            elif words[0] == "query" and not found.wants_error:
                found.rows = []
            if words[0] == "query" and not found.wants_error:
                found.types = words[1] if len(words) > 1 else ""
                found.sort = next((word for word in words[2:] if word.endswith("sort")), None)
            yield found


def until(lines, at, ends):
    start = at
    while at < len(lines) and not ends(lines[at]):
        at += 1
    return lines[start:at], at


def choose(found):
    """Says of each record that is not run why."""
    missing, changed = set(BUILT_IN), set()
    if any(SETS.match(record.sql) and "information_schema = true" in record.sql for record in found):
        changed.add("datafusion.catalog.information_schema")
    for record in found:
        plain = COMMENT.sub(" ", record.sql)
        made = MAKES.match(plain)
        name = made[1].lower() if made else None
        if not record.skipped:
            record.skipped = next((why for pattern, why in KINDS if pattern.match(plain)), None)
        if setting := SETS.match(plain):
            key, value = setting[2].lower(), setting[3].lower()
            key = "datafusion.execution.time_zone" if key.startswith("time") else key
            if setting[1].lower() == "reset" or value in (CHANGING.get(key), "+00", "utc"):
                changed.discard(key)
            elif key in CHANGING:
                changed.add(key)
        if changed and not record.skipped:
            record.skipped = "after a setting that changes answers"
        rest = plain[made.end():] if made else plain
        used = missing & set(word.lower() for word in re.findall(r"\w+", rest))
        if not record.skipped and used and not record.wants_error:
            record.skipped = "a table that is not there"
        if record.skipped and (filled := FILLS.match(plain)):
            missing.add(filled[1].lower())
        if name and record.skipped:
            missing.add(name)
        elif name:
            missing.discard(name)


def run(runner, found):
    """The results of records by their number, and what the run printed of its own end."""
    with tempfile.TemporaryDirectory() as folder:
        script = pathlib.Path(folder) / "script.sql"
        script.write_text("".join(f"select '{MARK}{number}';\n{record.sql.strip().rstrip(';')}\n;\n"
                                  for number, record in found.items()))
        try:
            done = subprocess.run([*runner, "--in", f"script={script}", "--", "--results", "ndjson",
                                   "--keep-going", "--file", "/in/script"], capture_output=True,
                                  text=True, timeout=600)
            out, err = done.stdout, done.stderr
        except subprocess.TimeoutExpired as ended:
            out, err = (ended.stdout or b"").decode(), "no end in 600 s"
        text = script.read_text().split("\n")
    results, number = {}, None
    columns, rows = None, []
    for line in out.splitlines():
        told = json.loads(line)
        if isinstance(told, list):
            rows.append(told)
        elif "columns" in told:
            columns, rows = told["columns"], []
        else:
            if rows and rows[0][0] and rows[0][0].startswith(MARK):
                number = int(rows[0][0].removeprefix(MARK))
                results[number] = None
            elif results.get(number) is None or "error" not in results[number]:
                results[number] = {"columns": columns, "rows": rows} | told
            columns, rows = None, []
    if not results and (place := re.search(r"at line (\d+), column", err)):
        # The text is no SQL, down to its characters, from some record on.
        marks = [line for line in text[:int(place[1])] if line.startswith(f"select '{MARK}")]
        number = int(re.search(r"\d+", marks[-1].removeprefix(f"select '{MARK}"))[0])
    return results, number, err


def all_results(runner, found):
    """As [`run`], again without a record that ends the run for all."""
    ended, wanted = {}, {number: record for number, record in enumerate(found) if not record.skipped}
    results = {}
    for _ in range(TRAPS):
        if not wanted:
            break
        results, last, err = run(runner, wanted)
        if all(results.get(number) is not None for number in wanted):
            break
        if last is None:
            last = next(iter(wanted))
        wanted.pop(last, None)
        ended[last] = {"error": f"the run ended: {err[-300:]}", "ended": True}
    return results | ended


def judge(record, result):
    if result is None:
        record.failed = "no result: the run ended before"
        return
    error = result.get("error")
    if result.get("ended") and not record.wants_error:
        record.failed, record.told = "the run ended", error
    elif record.wants_error:
        if error is None:
            record.failed, record.told = "an answer, and DataFusion has an error", str(result["rows"][:3])
    elif error is not None:
        record.failed, record.told = f"error: {kind_of(error)}", error
    elif record.types is not None and not CHANGES.match(COMMENT.sub(" ", record.sql)):
        compare(record, result)


def kind_of(error):
    """An error without what is the record's own."""
    line = next(iter(error.splitlines()), "")
    line = re.sub(r"'[^']*'|\"[^\"]*\"|`[^`]*`", "…", line)
    return re.sub(r"\d+", "N", line)[:90]


def compare(record, result):
    columns = result["columns"] or []
    types = [column["type"] for column in columns]
    rows = [[cell(value, of) for value, of in zip(row, types)] for row in result["rows"]]
    found = [" ".join(row) for whole in rows for row in expanded(whole)]
    want = list(record.rows or [])
    if record.sort == "rowsort":
        found, want = sorted(map(spaced, found)), sorted(map(spaced, want))
    elif record.sort == "valuesort":
        found, want = sorted(value for row in rows for value in row), sorted(want)
    else:
        found, want = list(map(spaced, found)), list(map(spaced, want))
    if len(want) == 1 and (hashed := re.match(r"(\d+) values hashing to (\w+)", want[0])):
        digest = hashlib.md5()
        for row in sorted(rows) if record.sort == "rowsort" else rows:
            for value in row:
                digest.update(value.encode() + b"\n")
        found = [f"{sum(map(len, rows))} values hashing to {digest.hexdigest()}"]
        want = [hashed[0]]
    if any("<slt:ignore>" in line for line in want):
        pattern = ".*".join(map(re.escape, "\n".join(want).split("<slt:ignore>")))
        if re.fullmatch(pattern, "\n".join(found), re.DOTALL):
            found = want
    if not "".join(found) and not want:
        # A row of nothing looks like no row in the file.
        found = want
    if found != want:
        differ = [(a, b) for a, b in zip(found, want) if a != b][:2]
        record.failed = "other rows" if len(found) == len(want) else "another number of rows"
        record.told = f"{len(found)} and {len(want)} rows; here and there: {differ}"
        return
    letters = "".join(map(letter, types))
    if len(letters) != len(record.types) or any(
            a != b and "?" not in (a, b) for a, b in zip(letters, record.types)):
        record.failed = "other types"
        record.told = f"{types}, and there {record.types}"


def spaced(text):
    return " ".join(text.split())


def expanded(row):
    """A last cell of several lines is several rows, as DataFusion's program has them."""
    lines = row[-1].split("\n") if row else [""]
    if len(lines) < 2:
        return [row]
    numbered = [f"{number:02}){'-' * (len(line) - len(line.lstrip(' ')))}{line.lstrip()}"
                for number, line in enumerate(lines, 1)]
    return [row[:-1], *([line] for line in numbered)] if row[:-1] else [[line] for line in numbered]


def cell(value, data_type):
    if value is None:
        return "NULL"
    data_type = re.sub(r"^Dictionary\([^,]*, (.*)\)$", r"\1", data_type)
    if data_type.startswith("Float"):
        return number(value, 12)
    if data_type.startswith("Decimal"):
        return number(value, None)
    if "Utf8" in data_type and "(" not in data_type:
        return value.rstrip("\n").replace("\0", "\\0") if value else "(empty)"
    return value


def number(text, digits):
    value = decimal.Decimal(text)
    if value.is_nan():
        return "NaN"
    if value.is_infinite():
        return "Infinity" if value > 0 else "-Infinity"
    with decimal.localcontext() as context:
        context.prec = 2000
        if digits is not None and -value.as_tuple().exponent > digits:
            value = value.quantize(decimal.Decimal(1).scaleb(-digits))
        value = value.normalize()
    return "0" if value == 0 else format(value, "f")


def letter(data_type):
    """The letter that stands for a type in DataFusion's files."""
    if re.match(r"U?Int\d+$", data_type):
        return "I"
    if data_type.startswith(("Float", "Decimal")):
        return "R"
    if data_type in ("Utf8", "LargeUtf8", "Utf8View"):
        return "T"
    if re.match(r"Dictionary\(U?Int\d+, (Large)?Utf8(View)?\)$", data_type):
        return "T"
    if data_type.startswith(("Date", "Time32", "Time64")):
        return "D"
    return {"Boolean": "B", "Timestamp": "P"}.get(data_type.split("(")[0], "?")


def main():
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--files", type=pathlib.Path, required=True)
    options.add_argument("--only", type=lambda text: text.split(","), help="files, by their names")
    options.add_argument("--failures", type=pathlib.Path, help="write each here")
    options.add_argument("runner", nargs=argparse.REMAINDER)
    args = options.parse_args()
    counts, why, skipped = collections.Counter(), collections.Counter(), collections.Counter()
    failures = args.failures.open("w") if args.failures else None
    for path in sorted(args.files.rglob("*.slt")):
        name = str(path.relative_to(args.files))
        if name.startswith("spark/") or args.only and name not in args.only:
            continue
        found = list(records(path))
        if not found:
            continue
        choose(found)
        results = all_results(args.runner, found)
        for number, record in enumerate(found):
            counts["records"] += 1
            if record.skipped:
                skipped[record.skipped] += 1
                continue
            counts["run"] += 1
            judge(record, results.get(number))
            counts["passed"] += record.failed is None
            if record.failed:
                why[record.failed] += 1
                if failures:
                    print(f"{name} ({record.place})\n{record.sql}\n    {record.failed}\n    {record.told}\n",
                          file=failures, flush=True)
        ran = [record for record in found if not record.skipped]
        print(f"{name}: {len(found)} records, {len(ran)} run, "
              f"{sum(record.failed is None for record in ran)} passed", flush=True)
        counts["files"] += 1
    print(f"\n{counts['files']} files, {counts['records']} records, {counts['run']} run, "
          f"{counts['passed']} passed ({100 * counts['passed'] / max(1, counts['run']):.1f} %)")
    for title, of in [("not run", skipped), ("failed", why)]:
        print(f"\n{title}:")
        for reason, count in of.most_common():
            print(f"{count:6} {reason}")


if __name__ == "__main__":
    main()
