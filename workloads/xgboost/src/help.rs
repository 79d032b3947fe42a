//! What `--help` says.

pub(crate) const ALL: &str = "\
XGBoost as a component: models that XGBoost 3.4 reads and writes.

  train       learns from tables, writes a model
  predict     predicts rows by a model, or explains predictions
  cv          cross-validates parameters
  eval        judges a model by tables
  dump        writes a model's trees as text, JSON or Graphviz
  importance  writes what features count for
  plot        draws a tree, or what features count for, as SVG

COMMAND --help says what a command takes. Every input that no option names is a table, and all of
them are one table: CSV with a header line, Parquet, Arrow IPC or LibSVM, told by content.
";

pub(crate) const TRAIN: &str = "\
train --label COL --rounds N --model-out NAME [option…] [parameter…]

Columns
  --label COL          what is to be predicted (not of LibSVM, whose lines start with it)
  --label-lower COL    with --label-upper COL instead: bounds of a censored time (survival:aft)
  --weight COL         how much a row counts; for ranking, its group
  --group COL          the query a row belongs to, for ranking: whole numbers, sorted
  --base-margin COL    margin to start from; once an output
  --categorical COL    a feature that holds categories; again for more
  --ignore COL         no feature; again for more
Learning
  --rounds N           rounds of boosting, 10 unless given
  --eval NAME          an input to evaluate every round instead of learning from it; again for more
  --early-stopping N   stop when the last metric of the last --eval got no better for N rounds
  --init-model NAME    an input that is a model to go on from
  --params JSON        parameters as an object, or the name of an input that holds one
  --max-depth 6 …      a parameter by XGBoost's name, with - or _
Outputs
  --model-out NAME     the model
  --model-format F     json or ubj; unless given, as the job wants it, or as NAME ends, or json
  --metrics-out NAME   scores of each round as JSON
  --verbose            say on standard error how long reading and learning took
";

pub(crate) const PREDICT: &str = "\
predict --model NAME [option…]

  --model NAME             the input that is the model
  --output-margin          sums of leaves instead of predictions
  --leaf                   the leaf of each tree
  --contribs               SHAP values of each feature, and the bias
  --approx-contribs        approximate ones, by each tree's paths
  --interactions           SHAP values of each pair of features
  --iteration-range B:E    by the trees of rounds B to E, E not included
  --base-margin COL        margin to start from; once an output
  --ignore COL             (also --label, --weight …) no feature, for models without names
  --output NAME            where to; standard output unless given
  --format F               csv, parquet or arrow; unless given, as the job wants it, or as NAME
                           ends, or csv
  --verbose                say on standard error how long reading, predicting and writing took
";

pub(crate) const CV: &str = "\
cv --label COL --rounds N [--folds K] [--stratified] [option…] [parameter…]

  --folds K            parts, each tested by a model of the others; 3 unless given
  --stratified         each part has its share of every class
  --metrics-out NAME   means and deviations of each round as JSON
  --rounds, --early-stopping, --params, columns and parameters as for train; --seed also
  shuffles rows
";

pub(crate) const EVAL: &str = "\
eval --model NAME --label COL [option…]

  --model NAME         the input that is the model
  --eval NAME          a table to judge by; again for more; all inputs as one unless given
  --eval-metric M      metrics, with commas between them; the objective's own unless given
  --metrics-out NAME   scores as JSON
  Columns as for train.
";

pub(crate) const MODELS: &str = "\
dump --model NAME [--format text|json|dot] [--stats] [--output NAME]
importance --model NAME [--type gain|cover|weight|total_gain|total_cover] [--output NAME]
plot --model NAME [--tree N [--levels N] | --importance TYPE [--top N]] [--output NAME]

  --model NAME       the input that is the model
  --output NAME      where to; standard output unless given
  --stats            gain and cover of each split as well
  --type TYPE        what is counted; gain unless given
  --tree N           draw tree N, the first is 0 (and drawn unless something else is asked for)
  --levels N         only N levels of splits; all unless given
  --importance TYPE  draw what features count for
  --top N            only the N that count most; 20 unless given
";
