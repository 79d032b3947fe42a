//! The shapes of tables, and what is trained on each.

/// A table and what is trained on it.
pub(super) struct Shape {
    pub(super) name: &'static str,
    /// What it is, in words.
    pub(super) what: &'static str,
    /// Its name in `workloads/xgboost/tests/bench/tables.py`.
    pub(super) table: &'static str,
    pub(super) rounds: u32,
    /// Parameters by XGBoost's names, but for the number of rounds.
    pub(super) params: &'static [(&'static str, &'static str)],
    /// What says to the component which columns are no numbers to learn from, but for the label.
    pub(super) columns: &'static str,
    /// The table whose rows are explained by the model.
    pub(super) explained: Option<&'static str>,
    /// Whether two instances are measured: where there are more than 200,000 rows.
    pub(super) pair: bool,
}

const BINARY: (&str, &str) = ("objective", "binary:logistic");
const HIST: (&str, &str) = ("tree_method", "hist");
const DEPTH_6: (&str, &str) = ("max_depth", "6");

/// What most shapes have.
const USUAL: Shape = Shape {
    name: "",
    what: "",
    table: "",
    rounds: 50,
    params: &[BINARY, HIST, DEPTH_6],
    columns: "",
    explained: None,
    pair: false,
};

/// The shape of which more is measured than of the others.
pub(super) const FIRST: &str = "continuous";

/// All of them.
pub(super) const SHAPES: [Shape; 13] = [
    Shape {
        name: FIRST,
        what: "1,000,000 × 28 continuous",
        table: "continuous",
        pair: true,
        ..USUAL
    },
    Shape {
        name: "flights",
        what: "flights, 262,000 × 13 of few values",
        table: "flights-late",
        explained: Some("flights-some"),
        pair: true,
        ..USUAL
    },
    Shape {
        name: "flights-deep",
        what: "flights, regression, depth 10",
        table: "flights-delay",
        params: &[("objective", "reg:squarederror"), HIST, ("max_depth", "10")],
        pair: true,
        ..USUAL
    },
    Shape {
        name: "flights-leaves",
        what: "flights, lossguide, 255 leaves",
        table: "flights-late",
        params: &[
            BINARY,
            HIST,
            ("grow_policy", "lossguide"),
            ("max_leaves", "255"),
            ("max_depth", "0"),
        ],
        pair: true,
        ..USUAL
    },
    Shape {
        name: "wide",
        what: "20,000 × 1,000 dense",
        table: "wide",
        rounds: 10,
        ..USUAL
    },
    Shape {
        name: "sparse",
        what: "200,000 × 500, 95 % missing",
        table: "sparse",
        rounds: 20,
        ..USUAL
    },
    Shape {
        name: "categories",
        what: "200,000 × 10 of 3 to 300 categories",
        table: "categories",
        // Text is categories to the component as it is.
        ..USUAL
    },
    Shape {
        name: "classes",
        what: "100,000 × 20, 8 classes",
        table: "classes",
        rounds: 20,
        params: &[
            ("objective", "multi:softprob"),
            ("num_class", "8"),
            HIST,
            DEPTH_6,
        ],
        ..USUAL
    },
    Shape {
        name: "ranking",
        what: "20,000 groups × 20, rank:ndcg",
        table: "ranking",
        params: &[("objective", "rank:ndcg"), HIST, DEPTH_6],
        columns: "--group qid",
        ..USUAL
    },
    Shape {
        name: "exact",
        what: "50,000 × 20, exact",
        table: "exact",
        rounds: 20,
        params: &[BINARY, ("tree_method", "exact"), DEPTH_6],
        ..USUAL
    },
    Shape {
        name: "rounds",
        what: "5,000 × 10, 1,000 rounds of depth 3",
        table: "rows-5000",
        rounds: 1_000,
        params: &[BINARY, HIST, ("max_depth", "3")],
        ..USUAL
    },
    Shape {
        name: "bins-64",
        what: "250,000 × 28, 64 bins",
        table: "continuous-quarter",
        params: &[BINARY, HIST, DEPTH_6, ("max_bin", "64")],
        pair: true,
        ..USUAL
    },
    Shape {
        name: "bins-1024",
        what: "250,000 × 28, 1,024 bins",
        table: "continuous-quarter",
        params: &[BINARY, HIST, DEPTH_6, ("max_bin", "1024")],
        pair: true,
        ..USUAL
    },
];

/// Tables so small that a process takes longer to start than to train.
pub(super) const SMALL: [Shape; 2] = [
    Shape {
        name: "whole-1000",
        what: "1,000 × 10",
        table: "rows-1000",
        ..USUAL
    },
    Shape {
        name: "whole-5000",
        what: "5,000 × 10",
        table: "rows-5000",
        ..USUAL
    },
];

impl Shape {
    /// The component's command line.
    pub(super) fn train(&self) -> String {
        let option = |(name, value): &(&str, &str)| format!("--{name} {value}");
        let params: Vec<_> = self.params.iter().map(option).collect();
        format!(
            "train --label y {} {} --rounds {} --disable-default-eval-metric 1 --model-out model \
             --verbose",
            self.columns,
            params.join(" "),
            self.rounds,
        )
    }

    /// The parameters as XGBoost takes them.
    pub(super) fn json(&self) -> String {
        let params = self.params.iter();
        let params = params.map(|(name, value)| ((*name).to_owned(), (*value).into()));
        serde_json::Value::Object(params.collect()).to_string()
    }
}
