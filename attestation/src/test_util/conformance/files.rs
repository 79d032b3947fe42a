//! The set as a folder of files: what is written there, and what is read from it. Who reads it needs
//! nothing of the forger.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use mc2_protocol::{Digest, evidence::EventLog};

use super::{Sample, judged, roots, samples};
use crate::{
    Endorsement, Evidence, Tee,
    evidence::{CERTIFICATE_TYPE, REVOCATION_LIST_TYPE},
    tee::{self, Authorities, Product, Roots, dcap::COLLATERAL_TYPE},
    test_util::{forger::Forged, samples::package},
};

const TABLE: &str = "table.tsv";
const HEAD: &str = "name\ttee\tevidence\tendorsements\toutcome\ttcb\tmeasurement\twhat\n";
const PASSES: &str = "passes";
const NOTHING: &str = "-";
const LINES: [Product; 3] = [Product::Milan, Product::Genoa, Product::Turin];
/// What endorsements are, by how their files' names end.
const KINDS: [(&str, &str); 4] = [
    ("json", COLLATERAL_TYPE),
    ("log", EventLog::MEDIA_TYPE),
    ("cer", CERTIFICATE_TYPE),
    ("crl", REVOCATION_LIST_TYPE),
];

/// The set as its files have it.
pub struct Set {
    /// The forger's roots.
    pub roots: Roots,
    /// A row of the table each.
    pub expected: Vec<Expected>,
}

/// One row of the table, with its files.
pub struct Expected {
    /// Its name.
    pub name: String,
    /// Its kind.
    pub tee: Tee,
    /// The files.
    pub forged: Forged,
    /// The check that refuses it; `None` where all pass.
    pub refused_by: Option<String>,
    /// Its TCB status and its measurement, where its signatures are good.
    pub claims: Option<(String, String)>,
}

/// Where the set is.
pub fn folder() -> PathBuf {
    package().join("conformance")
}

impl Set {
    /// Reads it.
    ///
    /// # Panics
    /// Where a file is missing or not as the table has it.
    pub fn read(folder: &Path) -> Self {
        let file = |name: &str| {
            let path = folder.join(name);
            fs::read(&path).unwrap_or_else(|error| panic!("reading {}: {error}", path.display()))
        };
        let authorities = |product: Product| {
            let of = |kind: &str| file(&root_name(product, kind));
            Authorities {
                product,
                ark: of("ark"),
                ask: of("ask"),
                asvk: of("asvk"),
            }
        };
        let roots = Roots::default()
            .with_intel(file("roots/intel.der"))
            .with_aws(file("roots/aws.der"))
            .with_amd(LINES.map(authorities).to_vec());
        let table = String::from_utf8(file(TABLE)).unwrap_or_else(|_| panic!("{TABLE}: not text"));
        let rows = table
            .strip_prefix(HEAD)
            .unwrap_or_else(|| panic!("{TABLE} begins otherwise"));
        let expected = rows.lines().map(|row| Expected::read(row, &file));
        Self {
            roots,
            expected: expected.collect(),
        }
    }
}

impl Expected {
    fn read(row: &str, file: &impl Fn(&str) -> Vec<u8>) -> Self {
        let fields: Vec<&str> = row.split('\t').collect();
        let [
            name,
            tee,
            evidence,
            endorsements,
            outcome,
            tcb,
            measurement,
            _,
        ] = fields[..]
        else {
            panic!("{TABLE}: {} fields in {row}", fields.len());
        };
        let tee: Tee = tee.parse().unwrap_or_else(|_| panic!("{TABLE}: {row}"));
        let endorsement = |path: &str| Endorsement {
            media_type: media_type(path).to_owned(),
            value: file(path).into(),
        };
        let paths = endorsements.split(',').filter(|path| *path != NOTHING);
        Self {
            name: name.to_owned(),
            tee,
            forged: Forged {
                evidence: Evidence {
                    media_type: tee::media_type(tee).to_owned(),
                    value: file(evidence).into(),
                },
                endorsements: paths.map(endorsement).collect(),
            },
            refused_by: (outcome != PASSES).then(|| outcome.to_owned()),
            claims: (tcb != NOTHING).then(|| (tcb.to_owned(), measurement.to_owned())),
        }
    }
}

/// Every file of the set as the forger makes it, by its path in the folder.
pub fn contents() -> BTreeMap<String, Vec<u8>> {
    let mut files = BTreeMap::new();
    let roots = roots();
    files.insert("roots/intel.der".to_owned(), roots.intel.to_vec());
    files.insert("roots/aws.der".to_owned(), roots.aws.to_vec());
    for line in &roots.amd {
        for (kind, der) in [("ark", &line.ark), ("ask", &line.ask), ("asvk", &line.asvk)] {
            files.insert(root_name(line.product, kind), der.clone());
        }
    }
    let mut table = HEAD.to_owned();
    for sample in samples() {
        table.push_str(&row(&sample, &roots, &mut files));
    }
    files.insert(TABLE.to_owned(), table.into_bytes());
    files
}

fn row(sample: &Sample, roots: &Roots, files: &mut BTreeMap<String, Vec<u8>>) -> String {
    let Sample {
        name,
        tee,
        forged,
        refused_by,
        what,
    } = sample;
    let end = if *tee == Tee::AzureVtpm {
        "json"
    } else {
        "bin"
    };
    let evidence = format!("evidence/{name}.{end}");
    files.insert(evidence.clone(), forged.evidence.value.0.clone());
    let mut paths = Vec::new();
    for endorsement in &forged.endorsements {
        let digest = Digest::of(&endorsement.value.0).to_string();
        let kind = KINDS
            .iter()
            .find(|(_, media_type)| *media_type == endorsement.media_type);
        let end = kind.map_or("bin", |(end, _)| end);
        let path = format!("endorsements/{}.{end}", &digest[..16]);
        files.insert(path.clone(), endorsement.value.0.clone());
        paths.push(path);
    }
    if paths.is_empty() {
        paths.push(NOTHING.to_owned());
    }
    let claims = judged(forged, roots.clone()).claims;
    let (tcb, measurement) = claims.map_or_else(
        || (NOTHING.to_owned(), NOTHING.to_owned()),
        |claims| {
            let tcb = claims.hardware.map(|hardware| hardware.tcb.to_string());
            (tcb.unwrap_or_default(), claims.measurement.to_string())
        },
    );
    format!(
        "{name}\t{tee}\t{evidence}\t{}\t{}\t{tcb}\t{measurement}\t{what}\n",
        paths.join(","),
        refused_by.unwrap_or(PASSES),
    )
}

fn root_name(product: Product, kind: &str) -> String {
    format!("roots/{}-{kind}.der", product.as_str().to_lowercase())
}

fn media_type(path: &str) -> &'static str {
    let kind = KINDS.iter().find(|(end, _)| path.ends_with(end));
    kind.unwrap_or_else(|| panic!("{path}: no kind of endorsement"))
        .1
}
