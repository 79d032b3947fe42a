"""What a model that XGBoost trains on FOLDER/features.csv says of FOLDER/asked.csv, a line each.

usage: fraud_scores.py FOLDER MAX_DEPTH ROUNDS
"""

import sys

import pandas
import xgboost

folder, depth, rounds = sys.argv[1:]
features = pandas.read_csv(f"{folder}/features.csv")
asked = pandas.read_csv(f"{folder}/asked.csv")
label = features.pop("fraud")
model = xgboost.train(
    {"objective": "binary:logistic", "max_depth": int(depth)},
    xgboost.DMatrix(features, label),
    int(rounds),
)
for score in model.predict(xgboost.DMatrix(asked[list(features.columns)])):
    print(score)
