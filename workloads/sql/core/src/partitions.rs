//! Columns whose values stand in the names of subfolders, as in `year=2026/month=01/part.csv`.
//!
//! Names and values are percent-encoded as Hive and Spark write them, and one value stands for
//! NULL.

/// What Hive calls the folder of rows without a value.
const NULL: &str = "__HIVE_DEFAULT_PARTITION__";

/// The columns of a table's paths.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Partitions {
    /// Their names, outermost first.
    pub columns: Vec<String>,
    /// Of each file each column's value; `None` is NULL.
    pub files: Vec<Vec<Option<String>>>,
}

/// Paths that do not make columns.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PartitionError {
    /// Files in subfolders for different columns.
    #[error(
        "files of one table stand in subfolders for the same columns, but {first:?} is in {} and \
         {second:?} in {}",
        described(first_columns),
        described(second_columns)
    )]
    Differ {
        /// A file.
        first: String,
        /// Its columns.
        first_columns: Vec<String>,
        /// Another file.
        second: String,
        /// Its columns.
        second_columns: Vec<String>,
    },
    /// A path with the same column twice.
    #[error("the path of {file:?} has two values for the column {column:?}")]
    Twice {
        /// The file.
        file: String,
        /// The column.
        column: String,
    },
}

fn described(columns: &[String]) -> String {
    match columns {
        [] => "none".to_owned(),
        columns => format!("\"{}=…\"", columns.join("=…/")),
    }
}

impl Partitions {
    /// Reads the columns of files' names within their folder.
    ///
    /// # Errors
    ///
    /// Where one file has columns that another has not, or one twice.
    pub fn new<'a>(names: impl IntoIterator<Item = &'a str>) -> Result<Self, PartitionError> {
        let mut all = Self::default();
        let mut first: Option<&str> = None;
        for name in names {
            let (columns, values): (Vec<_>, Vec<_>) = of(name).unzip();
            if let Some(twice) = (1..columns.len()).find(|&n| columns[..n].contains(&columns[n])) {
                return Err(PartitionError::Twice {
                    file: name.to_owned(),
                    column: columns[twice].clone(),
                });
            }
            match first {
                None => {
                    all.columns = columns;
                    first = Some(name);
                }
                Some(_) if columns == all.columns => {}
                Some(first) => {
                    return Err(PartitionError::Differ {
                        first: first.to_owned(),
                        first_columns: all.columns,
                        second: name.to_owned(),
                        second_columns: columns,
                    });
                }
            }
            all.files.push(values);
        }
        Ok(all)
    }
}

/// The columns and values in a file's path; the file's own name is none.
fn of(name: &str) -> impl Iterator<Item = (String, Option<String>)> {
    let folders = name.rsplit_once('/').map_or("", |(folders, _)| folders);
    folders.split('/').filter_map(|folder| {
        let (column, value) = folder.split_once('=')?;
        if column.is_empty() {
            return None;
        }
        let value = (value != NULL).then(|| decoded(value));
        Some((decoded(column), value))
    })
}

/// Text with its `%20` and the like replaced; as it is where that gives no UTF-8.
fn decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        match (first, after) {
            (b'%', [high, low, after @ ..]) => match (digit(*high), digit(*low)) {
                (Some(high), Some(low)) => {
                    bytes.push(high << 4 | low);
                    rest = after;
                    continue;
                }
                _ => bytes.push(first),
            },
            _ => bytes.push(first),
        }
        rest = after;
    }
    String::from_utf8(bytes).unwrap_or_else(|_| text.to_owned())
}

/// A hexadecimal digit.
fn digit(byte: u8) -> Option<u8> {
    // Below 16.
    char::from(byte).to_digit(16).map(|digit| digit as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(names: &[&str]) -> Vec<Vec<Option<String>>> {
        Partitions::new(names.iter().copied()).unwrap().files
    }

    fn value(text: &str) -> Option<String> {
        Some(text.to_owned())
    }

    #[test]
    fn values_are_decoded_and_the_marker_is_null() {
        assert_eq!(
            values(&[
                "r=a%3Db/x",
                "r=N%20W/x",
                "r=2024-01-01%2010%3a00/x",
                "r=__HIVE_DEFAULT_PARTITION__/x",
                "r=a=b/x",
                "r=/x",
            ]),
            [
                [value("a=b")],
                [value("N W")],
                [value("2024-01-01 10:00")],
                [None],
                [value("a=b")],
                [value("")],
            ]
        );
        let partitions = Partitions::new(["a%20b=1/sub/c=2/x", "a b=2/c=x/y"]).unwrap();
        assert_eq!(partitions.columns, ["a b", "c"]);
    }

    #[test]
    fn what_is_no_encoding_stays_as_it_is() {
        assert_eq!(
            values(&["r=100%/x", "r=%zz/x", "r=%4/x", "r=%E9/x", "r=%C3%A9/x"]),
            [
                [value("100%")],
                [value("%zz")],
                [value("%4")],
                [value("%E9")],
                [value("é")],
            ]
        );
    }

    #[test]
    fn files_without_a_column_of_others_are_not_left_out() {
        let error = Partitions::new(["year=2023/a", "b"])
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("\"b\" in none") && error.contains("year=…"),
            "{error}"
        );
        for other in ["month=1/b", "year=2023/month=1/b", "sub/b", "Year=2023/b"] {
            let error = Partitions::new(["year=2023/a", other]).unwrap_err();
            assert!(
                matches!(error, PartitionError::Differ { .. }),
                "{other}: {error}"
            );
        }
        let error = Partitions::new(["a=1/b=2/a=3/x"]).unwrap_err();
        assert!(
            error
                .to_string()
                .contains("two values for the column \"a\""),
            "{error}"
        );
    }

    #[test]
    fn other_subfolders_are_no_columns() {
        let partitions = Partitions::new(["a", "sub/b", "=1/c", "x=1.csv"]).unwrap();
        assert_eq!(partitions.columns, [""; 0]);
        assert_eq!(partitions.files.len(), 4);
    }
}
