//! Labels, bounds, weights, groups and margins, checked and put where they belong.

use std::ops::Range;

use super::{Roles, Share, rows::Part};
use crate::data::{DataError, Info};

/// Whole numbers above this are not told apart in double precision.
const MAX_QUERY: f64 = 9_007_199_254_740_992.0;

/// Rows of all parts together. A footer may claim any number; rows are counted by 32 bits where the
/// component runs, and one number of them must not be taken for another.
fn total_rows(parts: &[Part]) -> Result<usize, DataError> {
    let mut total: u32 = 0;
    for part in parts {
        let rows = u32::try_from(part.rows).ok();
        total = rows
            .and_then(|rows| total.checked_add(rows))
            .ok_or_else(|| DataError::Unsupported {
                file: part.name.clone(),
                reason: format!(
                    "it has {} rows; a table has at most {} in all its files",
                    part.rows,
                    u32::MAX
                ),
            })?;
    }
    Ok(total as usize)
}

/// What the columns with roles hold in all rows, in the order of [`Roles::columns`]. They are the
/// only values of all rows that are ever in memory, so all but groups are in single precision.
pub(super) struct RoleValues {
    single: Vec<Vec<f32>>,
    /// Which of the columns has the groups.
    group: Option<usize>,
    queries: Vec<f64>,
}

impl RoleValues {
    pub(super) fn new(roles: &Roles) -> Self {
        let group = |column| roles.columns().position(|other| other == column);
        Self {
            single: vec![Vec::new(); roles.columns().count()],
            group: roles.group.as_deref().and_then(group),
            queries: Vec::new(),
        }
    }

    /// Moves values of column number `role` here.
    pub(super) fn append(&mut self, role: usize, values: &mut Vec<f64>) {
        if self.group == Some(role) {
            self.queries.append(values);
        } else {
            self.single[role].extend(values.drain(..).map(|value| value as f32));
        }
    }
}

/// The [`Info`] of columns with roles.
pub(super) fn info(parts: &[Part], roles: &Roles, values: RoleValues) -> Result<Info, DataError> {
    let queries = values.queries;
    let mut values = values.single.into_iter();
    let mut info = Info {
        rows: total_rows(parts)?,
        ..Info::default()
    };
    let mut take = |column: &Option<String>, check: fn(f64) -> Result<(), &'static str>| {
        let Some(column) = column else {
            return Ok(Vec::new());
        };
        let values = values.next().unwrap_or_default();
        self::check(parts, column, &values, check)?;
        Ok(values)
    };
    info.labels = take(&roles.label, finite)?;
    info.lower = take(&roles.lower, finite)?;
    info.upper = take(&roles.upper, bound)?;
    info.weights = take(&roles.weight, weight)?;
    if let Some(column) = &roles.group {
        // Its place among the others is empty.
        values.next();
        info.group_starts = group_starts(parts, column, &queries)?;
        info.weights = group_weights(parts, roles, &info)?;
    }
    let mut margins = Vec::with_capacity(roles.base_margin.len());
    for column in &roles.base_margin {
        let values = values.next().unwrap_or_default();
        check(parts, column, &values, finite)?;
        margins.push(values);
    }
    if margins.len() == 1 {
        info.base_margin = margins.remove(0);
    } else if !margins.is_empty() {
        info.base_margin = (0..info.rows)
            .flat_map(|row| margins.iter().map(move |margin| margin[row]))
            .collect();
    }
    Ok(info)
}

/// The [`Info`] of LibSVM lines.
pub(super) fn sparse_info(
    parts: &[Part],
    mut info: Info,
    queries: Option<Vec<f64>>,
) -> Result<Info, DataError> {
    check(parts, "label", &info.labels, finite)?;
    check(parts, "weight", &info.weights, weight)?;
    if let Some(queries) = queries {
        info.group_starts = group_starts(parts, "qid", &queries)?;
        info.weights = group_weights(parts, &Roles::default(), &info)?;
    }
    Ok(info)
}

fn finite(value: f64) -> Result<(), &'static str> {
    match value.is_finite() {
        true => Ok(()),
        false if value.is_nan() => Err("a number is wanted, and it is missing"),
        false => Err("a finite number is wanted, not an infinite one"),
    }
}

fn bound(value: f64) -> Result<(), &'static str> {
    match value.is_nan() {
        true => {
            Err("a number is wanted, and it is missing; write inf where there is no upper bound")
        }
        false => Ok(()),
    }
}

fn weight(value: f64) -> Result<(), &'static str> {
    finite(value)?;
    if value < 0.0 {
        return Err("a weight cannot be negative");
    }
    Ok(())
}

fn check(
    parts: &[Part],
    column: &str,
    values: &[f32],
    test: fn(f64) -> Result<(), &'static str>,
) -> Result<(), DataError> {
    for (row, value) in values.iter().enumerate() {
        if let Err(reason) = test(f64::from(*value)) {
            return Err(at(parts, row, column, reason.to_owned()));
        }
    }
    Ok(())
}

/// The file a row is in that is counted over all files, and its number there, both from 0.
fn find(parts: &[Part], mut row: u64) -> Option<(&Part, u64)> {
    for part in parts {
        if row < part.rows {
            return Some((part, row));
        }
        row -= part.rows;
    }
    None
}

/// Where a row counted over all files has the value of `column`, in words.
pub(super) fn place(parts: &[Part], row: u64, column: &str) -> Option<String> {
    let (part, row) = find(parts, row)?;
    let file = &part.name;
    Some(format!("`{file}`, row {}, column `{column}`", row + 1))
}

/// An error about a row counted over all files.
fn at(parts: &[Part], row: usize, column: &str, reason: String) -> DataError {
    match find(parts, row as u64) {
        Some((part, row)) => DataError::Value {
            file: part.name.clone(),
            row: row + 1,
            column: column.to_owned(),
            reason,
        },
        None => DataError::Column {
            column: column.to_owned(),
            reason,
        },
    }
}

/// Where groups start: where the query changes, or another input begins.
fn group_starts(parts: &[Part], column: &str, queries: &[f64]) -> Result<Vec<usize>, DataError> {
    let mut starts = Vec::new();
    let mut row = 0_usize;
    let mut input = None;
    for part in parts {
        let mut last = None;
        if input == Some(&part.input) {
            last = row.checked_sub(1).and_then(|row| queries.get(row)).copied();
        }
        input = Some(&part.input);
        for _ in 0..part.rows {
            let query = queries.get(row).copied().unwrap_or(f64::NAN);
            let whole = query.fract() == 0.0 && query.abs() < MAX_QUERY;
            if !whole {
                let reason = format!("a whole number below 2^53 is wanted as group, found {query}");
                return Err(at(parts, row, column, reason));
            }
            match last {
                Some(last) if query < last => {
                    let reason = format!(
                        "group {query} comes after group {last}; rows must be sorted by group"
                    );
                    return Err(at(parts, row, column, reason));
                }
                Some(last) if query == last => {}
                _ => starts.push(row),
            }
            last = Some(query);
            row += 1;
        }
    }
    starts.push(row);
    Ok(starts)
}

/// One weight a group, out of one a row.
fn group_weights(parts: &[Part], roles: &Roles, info: &Info) -> Result<Vec<f32>, DataError> {
    let column = roles.weight.as_deref().unwrap_or("weight");
    if info.weights.is_empty() {
        return Ok(Vec::new());
    }
    let mut weights = Vec::with_capacity(info.group_starts.len());
    for group in info.group_starts.windows(2) {
        let first = info.weights[group[0]];
        for row in group[0]..group[1] {
            let weight = info.weights[row];
            if weight != first {
                let reason = format!(
                    "weight {weight} in a group that began with {first}; a group has one weight"
                );
                return Err(at(parts, row, column, reason));
            }
        }
        weights.push(first);
    }
    Ok(weights)
}

/// This instance's rows of all, and what is known of them. No group is cut.
pub(super) fn share(info: Info, share: Share) -> (Range<u64>, Info) {
    let rows = info.rows;
    if share.size <= 1 {
        return (0..rows as u64, info);
    }
    let edge = |rank: usize| {
        // In 128 bits because rows × rank may be more than 32 hold.
        let row = (rows as u128 * rank as u128 / share.size as u128) as usize;
        let group = info.group_starts.partition_point(|start| *start < row);
        info.group_starts.get(group).copied().unwrap_or(row)
    };
    let own = edge(share.rank)..edge(share.rank + 1);
    let cut = |values: &[f32]| {
        values
            .get(own.clone())
            .map(<[f32]>::to_vec)
            .unwrap_or_default()
    };
    let margins = info.base_margin.len() / rows.max(1);
    let groups = info
        .group_starts
        .partition_point(|start| *start < own.start)
        ..info.group_starts.partition_point(|start| *start < own.end);
    let grouped = !info.group_starts.is_empty();
    let mut group_starts: Vec<usize> = info.group_starts[groups.clone()]
        .iter()
        .map(|start| start - own.start)
        .collect();
    if grouped {
        group_starts.push(own.len());
    }
    let weights = match grouped {
        true => info
            .weights
            .get(groups)
            .map(<[f32]>::to_vec)
            .unwrap_or_default(),
        false => cut(&info.weights),
    };
    let base_margin = info
        .base_margin
        .get(own.start * margins..own.end * margins)
        .map(<[f32]>::to_vec)
        .unwrap_or_default();
    let own_info = Info {
        rows: own.len(),
        labels: cut(&info.labels),
        lower: cut(&info.lower),
        upper: cut(&info.upper),
        weights,
        base_margin,
        group_starts,
    };
    (own.start as u64..own.end as u64, own_info)
}
