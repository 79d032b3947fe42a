"""A person's whole script with XGBoost, which `cargo xtask bench xgboost` times from start to end:

    whole.py TABLE ROUNDS PARAMETERS MODEL
"""

import json
import sys

import pyarrow.parquet as parquet
import xgboost as xgb

if __name__ == "__main__":
    if len(sys.argv) != 5:
        sys.exit(__doc__)
    file, rounds, params, model = sys.argv[1:]
    table = parquet.read_table(file)
    data = xgb.QuantileDMatrix(table.drop_columns(["y"]), table["y"], nthread=1)
    xgb.train({**json.loads(params), "nthread": 1}, data, int(rounds)).save_model(model)
