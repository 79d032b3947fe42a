//! The first reading: rows counted, labels and the like kept, categories collected.

use std::collections::BTreeMap;

use super::{
    Expect, File, Format, Roles, Share, Table,
    category::{MAX_CATEGORIES, Recoder, sorted},
    layout::{self, Layout},
    roles::{self as role_columns, RoleValues},
    rows::{Part, PartReader},
};
use crate::data::{
    DataError, Feature, FeatureKind, Info, Schema,
    arrow::ArrowReader,
    columns::{Column, Interner, Reader},
    csv::CsvReader,
    libsvm::{LibSvmReader, Row},
    parquet::ParquetReader,
};

/// Rows read at once where only a few columns are looked at.
const ROWS: usize = 1 << 15;

impl Table {
    /// Opens files as one table and reads them once.
    ///
    /// # Errors
    /// A file is no good or differs from the first or from what is expected; a column with a role
    /// is missing or has unusable values; there are no rows or no features.
    pub fn open(
        files: Vec<File>,
        roles: &Roles,
        expect: Expect<'_>,
        share: Share,
    ) -> Result<Self, DataError> {
        let Some(first) = files.first() else {
            return Err(DataError::Empty("no input holds a table".to_owned()));
        };
        let sparse = first.format == Format::LibSvm;
        let first_name = first.name.clone();
        if let Some(other) = files
            .iter()
            .find(|file| (file.format == Format::LibSvm) != sparse)
        {
            let (own, there) = if sparse {
                ("has columns", "is LibSVM")
            } else {
                ("is LibSVM", "has columns")
            };
            return Err(DataError::Differs {
                file: other.name.clone(),
                other: format!("`{first_name}`"),
                difference: format!("it {own}, which {there}"),
            });
        }
        let table = if sparse {
            open_sparse(files, roles, expect, share)?
        } else {
            open_columns(files, roles, expect, share)?
        };
        // A file of a folder may be empty, as other programs write them, but not all of an input.
        let mut rows: BTreeMap<&str, u64> = BTreeMap::new();
        for part in &table.parts {
            *rows.entry(&part.input).or_default() += part.rows;
        }
        if let Some((input, _)) = rows.iter().find(|(_, rows)| **rows == 0) {
            return Err(DataError::Empty(format!("`{input}` has no rows")));
        }
        if table.schema.features.is_empty() {
            return Err(DataError::Empty(format!(
                "`{first_name}` has no features: each of its columns has another role"
            )));
        }
        Ok(table)
    }
}

fn open_columns(
    files: Vec<File>,
    roles: &Roles,
    expect: Expect<'_>,
    share: Share,
) -> Result<Table, DataError> {
    let mut readers: Vec<(String, String, Box<dyn Reader>)> = Vec::with_capacity(files.len());
    for file in files {
        let File {
            name,
            input,
            format,
            bytes,
        } = file;
        let reader: Box<dyn Reader> = match format {
            Format::Csv { separator } => Box::new(CsvReader::open(name.clone(), bytes, separator)?),
            Format::Parquet => Box::new(ParquetReader::open(name.clone(), bytes)?),
            Format::Arrow => Box::new(ArrowReader::open(name.clone(), bytes)?),
            Format::LibSvm => unreachable!("files of columns only"),
        };
        readers.push((name, input, reader));
    }
    let columns: Vec<layout::FileColumns<'_>> = readers
        .iter()
        .map(|(name, _, reader)| (&**name, reader.columns()))
        .collect();
    let Layout {
        mut features,
        recoded,
        typed_text,
        targets,
    } = layout::plan(&columns, roles, expect)?;
    let mut parts: Vec<Part> = readers
        .into_iter()
        .zip(targets)
        .map(|((name, input, reader), targets)| {
            Part::new(name, input, PartReader::Columns { reader, targets })
        })
        .collect();

    let collect = matches!(expect, Expect::Any);
    let mut columns: Vec<Column> = recoded
        .iter()
        .map(|recoded| match recoded {
            true => Column::Text(Vec::new(), Interner::default()),
            false => Column::Number(Vec::new()),
        })
        .collect();
    let roles_read = roles.columns().count();
    columns.extend((0..roles_read).map(|_| Column::Exact(Vec::new())));
    let mut values = RoleValues::new(roles);
    for part in &mut parts {
        let wanted = |target: usize| target >= recoded.len() || (collect && recoded[target]);
        loop {
            let rows = part.read_columns(ROWS, wanted, &mut columns)?;
            if rows == 0 {
                break;
            }
            part.rows += rows as u64;
            for (role, column) in columns[recoded.len()..].iter_mut().enumerate() {
                if let Column::Exact(read) = column {
                    values.append(role, read);
                }
            }
            for (index, column) in columns[..recoded.len()].iter_mut().enumerate() {
                if let Column::Text(ids, names) = column {
                    ids.clear();
                    check_count(&features[index], names.names().len())?;
                }
            }
        }
        part.rewind();
    }
    let mut recoders = Vec::with_capacity(recoded.len());
    for (index, feature) in features.iter_mut().enumerate() {
        if let (true, true, Column::Text(_, names)) = (collect, recoded[index], &columns[index]) {
            feature.categories = Some(sorted(names, typed_text[index]));
        }
        recoders.push(
            feature
                .categories
                .as_ref()
                .filter(|_| recoded[index])
                .map(Recoder::new),
        );
    }
    let info = role_columns::info(&parts, roles, values)?;
    let refuse_missing = collect;
    Ok(Table::assemble(
        parts,
        features,
        columns,
        recoders,
        false,
        (info, roles),
        refuse_missing,
        share,
    ))
}

fn check_count(feature: &Feature, categories: usize) -> Result<(), DataError> {
    if categories <= MAX_CATEGORIES {
        return Ok(());
    }
    Err(DataError::Column {
        column: feature.name.clone(),
        reason: format!(
            "it has more than {MAX_CATEGORIES} categories, and no feature may; join rare ones, or \
             leave it out with --ignore"
        ),
    })
}

fn open_sparse(
    files: Vec<File>,
    roles: &Roles,
    expect: Expect<'_>,
    share: Share,
) -> Result<Table, DataError> {
    let mut parts = Vec::with_capacity(files.len());
    for file in files {
        let reader = PartReader::Sparse(LibSvmReader::new(file.name.clone(), file.bytes));
        parts.push(Part::new(file.name, file.input, reader));
    }
    if let Some(column) = roles.excluded().next() {
        return Err(DataError::Column {
            column: column.to_owned(),
            reason: format!(
                "`{}` is LibSVM, whose columns have no names; label, weight and qid stand in its lines",
                parts[0].name
            ),
        });
    }
    let mut info = Info::default();
    let mut queries: Vec<Vec<f64>> = Vec::new();
    let mut width = 0;
    let mut row = Row::default();
    let mut weights = 0;
    for part in &mut parts {
        let PartReader::Sparse(reader) = &mut part.reader else {
            unreachable!("files of sparse rows only")
        };
        while reader.read(&mut row)? {
            part.rows += 1;
            info.rows += 1;
            info.labels.push(row.label);
            info.weights.push(row.weight.unwrap_or(1.0));
            weights += usize::from(row.weight.is_some());
            if let Some(query) = row.query {
                queries.resize(1, Vec::new());
                queries[0].push(query as f64);
            }
            if let Some((last, _)) = row.entries.last() {
                width = width.max(*last as usize + 1);
            }
        }
        part.rewind();
    }
    let given = [
        ("a weight", weights),
        ("a qid", queries.first().map_or(0, Vec::len)),
    ];
    for (what, count) in given {
        if count != 0 && count != info.rows {
            return Err(DataError::Malformed {
                file: parts[0].name.clone(),
                format: "LibSVM",
                reason: format!(
                    "{count} of {} rows have {what}; either all have one or none",
                    info.rows
                ),
            });
        }
    }
    if weights == 0 {
        info.weights.clear();
    }
    let info = role_columns::sparse_info(&parts, info, queries.pop())?;
    let features = sparse_features(&parts[0].name, roles, expect, width)?;
    // A gap in the numbering of features is usual (many files count from 1) and no mistake.
    let refuse_missing = false;
    Ok(Table::assemble(
        parts,
        features,
        Vec::new(),
        Vec::new(),
        true,
        (info, roles),
        refuse_missing,
        share,
    ))
}

/// Features of sparse rows: those given, or as many as there are, without names.
fn sparse_features(
    file: &str,
    roles: &Roles,
    expect: Expect<'_>,
    width: usize,
) -> Result<Vec<Feature>, DataError> {
    if let Expect::These(features) = expect {
        if width > features.len() {
            return Err(DataError::Differs {
                file: file.to_owned(),
                other: "the model".to_owned(),
                difference: format!(
                    "its last feature is {}, and the model has {} features, counted from 0",
                    width - 1,
                    features.len()
                ),
            });
        }
        for named in &roles.categorical {
            let index = named.parse().ok();
            let feature = index.and_then(|index: usize| features.get(index));
            layout::check_categorical(named, feature)?;
        }
        return Ok(features.to_vec());
    }
    let mut features = vec![
        Feature {
            name: String::new(),
            kind: FeatureKind::Float,
            categories: None,
        };
        width
    ];
    for named in &roles.categorical {
        let feature = named
            .parse()
            .ok()
            .and_then(|index: usize| features.get_mut(index));
        let Some(feature) = feature else {
            return Err(DataError::Column {
                column: named.clone(),
                reason: format!(
                    "`{file}` is LibSVM: --categorical wants the number of a feature, from 0 to {}",
                    width.saturating_sub(1)
                ),
            });
        };
        feature.kind = FeatureKind::Categorical;
    }
    Ok(features)
}

impl Table {
    #[expect(clippy::too_many_arguments, reason = "what opening found, once")]
    fn assemble(
        parts: Vec<Part>,
        features: Vec<Feature>,
        mut columns: Vec<Column>,
        recoders: Vec<Option<Recoder>>,
        sparse: bool,
        (info, roles): (Info, &Roles),
        refuse_missing: bool,
        share: Share,
    ) -> Self {
        columns.truncate(features.len());
        let (range, info) = role_columns::share(info, share);
        Self {
            parts,
            present: vec![false; features.len()],
            schema: Schema { features },
            info,
            roles: roles.clone(),
            columns,
            recoders,
            sparse,
            range,
            at: 0,
            part: 0,
            part_row: 0,
            refuse_missing,
            size: share.size,
        }
    }
}
