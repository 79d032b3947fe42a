//! Which column of which file is which feature.

use std::collections::{BTreeSet, HashMap};

use super::{Expect, Roles};
use crate::data::{
    DataError, Feature, FeatureKind,
    columns::{ColumnInfo, ColumnType},
};

/// The features, and where the columns of each file go.
#[derive(Debug)]
pub(super) struct Layout {
    pub(super) features: Vec<Feature>,
    /// Whether a feature's values are texts to be recoded.
    pub(super) recoded: Vec<bool>,
    /// Whether a file says that a feature is text.
    pub(super) typed_text: Vec<bool>,
    /// Of each file, for each column: a feature, or, counted on from them, a column with a role.
    pub(super) targets: Vec<Vec<Option<usize>>>,
}

/// A file's name and columns.
pub(super) type FileColumns<'a> = (&'a str, &'a [ColumnInfo]);

/// Finds features and columns with roles in all files.
pub(super) fn plan(
    files: &[FileColumns<'_>],
    roles: &Roles,
    expect: Expect<'_>,
) -> Result<Layout, DataError> {
    check_roles(roles)?;
    let places = files
        .iter()
        .map(Places::new)
        .collect::<Result<Vec<_>, _>>()?;
    for named in &roles.ignored {
        if places.iter().all(|places| places.find(named).is_none()) {
            return Err(no_such(named, files[0].0, &places[0]));
        }
    }
    let layout = match expect {
        Expect::Any => plan_any(files, &places, roles)?,
        Expect::These(features) => plan_these(files, &places, roles, features)?,
    };
    let features = layout.features.len();
    let mut layout = layout;
    for (part, (places, file)) in places.iter().zip(files).enumerate() {
        for (role, column) in roles.columns().enumerate() {
            let place = places.find(column).ok_or_else(|| DataError::Column {
                column: column.to_owned(),
                reason: format!(
                    "`{}` has no such column; it has {}",
                    file.0,
                    places.listed()
                ),
            })?;
            let kind = &file.1[place].kind;
            if matches!(kind, ColumnType::Text | ColumnType::Other(_)) {
                return Err(DataError::Column {
                    column: column.to_owned(),
                    reason: format!(
                        "numbers are wanted; in `{}` it is {}",
                        file.0,
                        kind.describe()
                    ),
                });
            }
            layout.targets[part][place] = Some(features + role);
        }
    }
    Ok(layout)
}

/// Refuses a column that is to be two things.
fn check_roles(roles: &Roles) -> Result<(), DataError> {
    let mut seen = BTreeSet::new();
    let all = roles
        .excluded()
        .chain(roles.categorical.iter().map(String::as_str));
    for column in all {
        if !seen.insert(column) {
            return Err(DataError::Column {
                column: column.to_owned(),
                reason: "named for two things; a column is a feature, or ignored, or the label, a \
                         bound, the weight, the group or a margin"
                    .to_owned(),
            });
        }
    }
    Ok(())
}

/// Where a file's columns are.
struct Places<'a> {
    columns: &'a [ColumnInfo],
    by_name: HashMap<&'a str, usize>,
}

impl<'a> Places<'a> {
    fn new((file, columns): &FileColumns<'a>) -> Result<Self, DataError> {
        let mut by_name = HashMap::new();
        for (place, column) in columns.iter().enumerate() {
            if by_name.insert(&*column.name, place).is_some() {
                return Err(DataError::Column {
                    column: column.name.clone(),
                    reason: format!("`{file}` has two columns of this name"),
                });
            }
        }
        Ok(Self { columns, by_name })
    }

    fn find(&self, name: &str) -> Option<usize> {
        self.by_name.get(name).copied()
    }

    /// The names, at most ten of them.
    fn listed(&self) -> String {
        const MOST: usize = 10;
        let names: Vec<&str> = self
            .columns
            .iter()
            .take(MOST)
            .map(|column| &*column.name)
            .collect();
        let more = self.columns.len().saturating_sub(MOST);
        match (names.join(", "), more) {
            (names, 0) => names,
            (names, more) => format!("{names} and {more} more"),
        }
    }

    /// Columns that have no role, in order.
    fn features(&self, roles: &Roles) -> impl Iterator<Item = (usize, &'a ColumnInfo)> {
        let taken: BTreeSet<&str> = roles.excluded().collect();
        self.columns
            .iter()
            .enumerate()
            .filter(|(_, column)| !taken.contains(&*column.name))
            .collect::<Vec<_>>()
            .into_iter()
    }
}

/// Features of files that bring their own.
fn plan_any(
    files: &[FileColumns<'_>],
    places: &[Places<'_>],
    roles: &Roles,
) -> Result<Layout, DataError> {
    let first = &places[0];
    let own: Vec<(usize, &ColumnInfo)> = first.features(roles).collect();
    let at = |place| own.binary_search_by_key(&place, |(place, _)| *place);
    let known = |name: &String| first.find(name).is_some_and(|place| at(place).is_ok());
    if let Some(named) = roles.categorical.iter().find(|name| !known(name)) {
        return Err(no_such(named, files[0].0, first));
    }
    let mut features = Vec::with_capacity(own.len());
    let mut typed_text = Vec::with_capacity(own.len());
    let mut recoded = Vec::with_capacity(own.len());
    let mut targets: Vec<Vec<Option<usize>>> = places
        .iter()
        .map(|places| vec![None; places.columns.len()])
        .collect();
    for (index, (_, column)) in own.iter().enumerate() {
        if column.name.is_empty() {
            return Err(DataError::Column {
                column: String::new(),
                reason: format!(
                    "`{}` has a column without a name (pandas writes its index so unless told \
                     index=False)",
                    files[0].0
                ),
            });
        }
        if column.name.contains(['[', ']', '<']) {
            return Err(DataError::Column {
                column: column.name.clone(),
                reason: "XGBoost takes no [, ] or < in the name of a feature; rename it".to_owned(),
            });
        }
        let mut kinds = Vec::with_capacity(files.len());
        for (part, places) in places.iter().enumerate() {
            let Some(place) = places.find(&column.name) else {
                return Err(DataError::Differs {
                    file: files[part].0.to_owned(),
                    other: format!("`{}`", files[0].0),
                    difference: format!("it has no column `{}`", column.name),
                });
            };
            targets[part][place] = Some(index);
            kinds.push(&places.columns[place].kind);
        }
        let named = roles.categorical.contains(&column.name);
        let (kind, text) = merge(files, &column.name, &kinds, named)?;
        features.push(Feature {
            name: column.name.clone(),
            kind,
            categories: None,
        });
        recoded.push(kind == FeatureKind::Categorical);
        typed_text.push(text);
    }
    for (part, places) in places.iter().enumerate().skip(1) {
        if let Some((_, more)) = places
            .features(roles)
            .find(|(place, _)| targets[part][*place].is_none())
        {
            return Err(DataError::Differs {
                file: files[part].0.to_owned(),
                other: format!("`{}`", files[0].0),
                difference: format!("it has a column `{}` more", more.name),
            });
        }
    }
    Ok(Layout {
        features,
        recoded,
        typed_text,
        targets,
    })
}

/// One kind out of what the files say of a column; also whether one says it is text.
fn merge(
    files: &[FileColumns<'_>],
    name: &str,
    kinds: &[&ColumnType],
    categorical: bool,
) -> Result<(FeatureKind, bool), DataError> {
    let unusable = kinds.iter().zip(files).find_map(|(kind, file)| match kind {
        ColumnType::Other(what) => Some((what, file)),
        _ => None,
    });
    if let Some((what, file)) = unusable {
        return Err(DataError::Column {
            column: name.to_owned(),
            reason: format!(
                "in `{}` it is {what}, which is no feature; leave it out with --ignore",
                file.0
            ),
        });
    }
    let typed = |kind: &&ColumnType| **kind != ColumnType::Untyped;
    let text = kinds.contains(&&ColumnType::Text);
    let other = kinds
        .iter()
        .position(|kind| typed(kind) && **kind != ColumnType::Text);
    if let (true, Some(number)) = (text, other) {
        let first_text = kinds
            .iter()
            .position(|kind| **kind == ColumnType::Text)
            .unwrap_or(0);
        let (earlier, later) = (number.min(first_text), number.max(first_text));
        return Err(DataError::Differs {
            file: files[later].0.to_owned(),
            other: format!("`{}`", files[earlier].0),
            difference: format!(
                "column `{name}` is {} in it and {} there",
                kinds[later].describe(),
                kinds[earlier].describe()
            ),
        });
    }
    let coded = kinds.contains(&&ColumnType::Coded);
    let kind = if text || coded || categorical {
        FeatureKind::Categorical
    } else if kinds.iter().all(|kind| **kind == ColumnType::Int) {
        FeatureKind::Int
    } else if kinds.iter().all(|kind| **kind == ColumnType::Bool) {
        FeatureKind::Indicator
    } else {
        FeatureKind::Float
    };
    Ok((kind, text))
}

/// Features that are given.
fn plan_these(
    files: &[FileColumns<'_>],
    places: &[Places<'_>],
    roles: &Roles,
    features: &[Feature],
) -> Result<Layout, DataError> {
    for named in &roles.categorical {
        let feature = features.iter().find(|feature| feature.name == *named);
        check_categorical(named, feature)?;
    }
    let named = features.iter().all(|feature| !feature.name.is_empty());
    let mut targets = Vec::with_capacity(files.len());
    for (places, (file, _)) in places.iter().zip(files) {
        let differs = |difference: String| DataError::Differs {
            file: (*file).to_owned(),
            other: "the model".to_owned(),
            difference,
        };
        let own: Vec<usize> = places.features(roles).map(|(place, _)| place).collect();
        if !named && own.len() != features.len() {
            return Err(differs(format!(
                "it has {} features; the model, whose features have no names, has {}",
                own.len(),
                features.len()
            )));
        }
        let mut target = vec![None; places.columns.len()];
        for (index, feature) in features.iter().enumerate() {
            let place = if named {
                places
                    .find(&feature.name)
                    // They are in the file's order.
                    .filter(|place| own.binary_search(place).is_ok())
            } else {
                own.get(index).copied()
            };
            let Some(place) = place else {
                let role = places.find(&feature.name).is_some();
                let given = if role {
                    ", for it is named for something else"
                } else {
                    ""
                };
                return Err(differs(format!(
                    "it has no feature `{}`{given}; it has {}",
                    feature.name,
                    places.listed()
                )));
            };
            let column = &places.columns[place];
            let fits = match &column.kind {
                ColumnType::Other(_) => false,
                ColumnType::Text => feature.categories.is_some(),
                _ => true,
            };
            if !fits {
                let wanted = if feature.kind == FeatureKind::Categorical {
                    "codes of categories"
                } else {
                    "numbers"
                };
                return Err(differs(format!(
                    "column `{}` is {} in it and {wanted} there",
                    column.name,
                    column.kind.describe()
                )));
            }
            target[place] = Some(index);
        }
        targets.push(target);
    }
    Ok(Layout {
        features: features.to_vec(),
        recoded: features
            .iter()
            .map(|feature| feature.categories.is_some())
            .collect(),
        typed_text: vec![false; features.len()],
        targets,
    })
}

/// Refuses to take a feature for categories that a model has not as such.
pub(super) fn check_categorical(named: &str, feature: Option<&Feature>) -> Result<(), DataError> {
    let reason = match feature.map(|feature| feature.kind) {
        Some(FeatureKind::Categorical) => return Ok(()),
        Some(_) => "the model has numbers in it, not categories",
        None => "the model has no such feature to hold categories",
    };
    Err(DataError::Column {
        column: named.to_owned(),
        reason: reason.to_owned(),
    })
}

fn no_such(column: &str, file: &str, places: &Places<'_>) -> DataError {
    DataError::Column {
        column: column.to_owned(),
        reason: format!("`{file}` has no such feature; it has {}", places.listed()),
    }
}
