//! Who asked for memory that was not there, in words for who wrote the query.

/// A step of a query: how the engine's names for what keeps rows begin or end, the step in words, and what
/// makes it need less.
struct Step {
    named: &'static [&'static str],
    words: &'static str,
    less: Option<&'static str>,
}

const STEPS: [Step; 6] = [
    Step {
        named: &["Aggregate"],
        words: "grouping",
        less: Some(
            "array_agg, string_agg, median, percentile_cont and count(DISTINCT …) keep every value; \
             GROUP BY and DISTINCT keep a row for each group",
        ),
    },
    Step {
        named: &["CrossJoin", "NestedLoopJoin", "PiecewiseMergeJoin"],
        words: "a join by other than equal columns",
        less: Some(
            "such a join keeps one side: filter or group it first, or join by what is equal",
        ),
    },
    Step {
        named: &["HashJoin", "SymmetricHashJoin", "SMJ"],
        words: "a join",
        less: Some("filter, group or select fewer columns of the tables before they are joined"),
    },
    Step {
        named: &["ExternalSorter", "SortPreservingMerge", "TopK"],
        words: "sorting",
        less: None,
    },
    Step {
        named: &["RecursiveQuery"],
        words: "a recursive query",
        less: Some("a recursive query keeps its last rows, and with UNION all of them"),
    },
    Step {
        named: &["Window"],
        words: "a window function",
        less: Some("a window that reaches to the end keeps all rows of its partition"),
    },
];

/// `sorting asked for 4.0 MB more than the 3.9 MB that it had`.
pub(crate) fn words(message: &str) -> String {
    let Some(asked) = Asked::parse(message) else {
        return message.to_owned();
    };
    let step = asked.step().map_or(asked.by, |step| step.words);
    format!(
        "not enough memory: {step} asked for {} more than the {} that it had, and {} were left",
        asked.more, asked.has, asked.left
    )
}

/// What makes the step that asked need less.
pub(crate) fn advice(message: &str) -> Option<&'static str> {
    Asked::parse(message)?.step()?.less
}

/// What the engine's pool says of a request that it refused.
struct Asked<'a> {
    more: &'a str,
    by: &'a str,
    has: &'a str,
    left: &'a str,
}

impl<'a> Asked<'a> {
    fn parse(message: &'a str) -> Option<Self> {
        let (_, rest) = message.rsplit_once("Failed to allocate additional ")?;
        let (more, rest) = rest.split_once(" for ")?;
        let (by, rest) = rest.split_once(" with ")?;
        let (has, rest) = rest.split_once(" already allocated for this reservation - ")?;
        let (left, _) = rest.split_once(" remain available")?;
        Some(Self {
            more,
            by,
            has,
            left,
        })
    }

    fn step(&self) -> Option<&'static Step> {
        let is_it = |step: &&Step| step.named.iter().any(|name| self.by.contains(name));
        STEPS.iter().find(is_it)
    }
}
