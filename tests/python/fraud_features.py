"""What docs/fraud.md's queries give by DuckDB: the features the model learns from, and those that are
scored.

usage: fraud_features.py POLICY FOLDER PAYMENTS ACCOUNTS_A ACCOUNTS_B ORDERS

Writes FOLDER/features.csv and FOLDER/asked.csv, and prints what the training's first step prints: how
many cards, and how many of them were abused.
"""

import sys
import tomllib

import duckdb


def query(job):
    """The query that the first step of this job is fixed to."""
    arguments = next(one for one in policy["job"] if one["name"] == job)["step"][0]["args"]
    return next(one for one in arguments if isinstance(one, dict))["fixed_sql"]


path, folder, payments, accounts_a, accounts_b, orders = sys.argv[1:]
with open(path, "rb") as file:
    policy = tomllib.load(file)
tables = {"payments": payments, "accounts_a": accounts_a, "accounts_b": accounts_b, "orders": orders}
db = duckdb.connect()
for name, file in tables.items():
    db.execute(f"create table {name} as select * from read_csv('{file}')")
# A view takes no parameter in DuckDB.
training = query("train").replace("$from", "date '2026-10-01'")
create, count, features = training.split(";")
db.execute(create)
cards, frauds = db.execute(count).fetchone()
db.execute(f"copy ({features}) to '{folder}/features.csv' (header)")
db.execute(f"copy ({query('score')}) to '{folder}/asked.csv' (header)")
print(cards, frauds)
