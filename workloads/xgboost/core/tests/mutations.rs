//! Broken copies of good models, tables and parameters. Every parser keeps its promises whatever it
//! is given; the fuzz targets in `fuzz/` run these same functions for as long as one likes.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

#[path = "../../../../fuzz/src/xgboost.rs"]
#[allow(
    unreachable_pub,
    reason = "it is the public interface of the fuzz crate"
)]
mod parsers;

use std::{fs, path::Path};

use xgboost_core::model::Model;

const CSV: [&str; 3] = [
    "a,b,c\n1,2,x\n3,4.5,y\n-1e3,null,7.0\n",
    "a,b\r\n\"x \"\"y\"\"\",1\n,NA\n\n\"1\n2\",inf\n",
    "\u{feff}label,x\n0,1\n1,0.25\n1,123456789012345.5\n",
];
const LIBSVM: [&str; 2] = [
    "1:0.5 qid:7 0:1.5 3:-2 # 9:9\n\n# nothing\n-1:1 qid:8 2 1:NaN 5:3e2\n",
    "1 4:4 2:2\r\n0 1:1",
];
const PARAMETERS: [&str; 4] = [
    "objective=multi:softprob\nnum_class=3\neval_metric=mlogloss,merror\nbase_score=[0.1,0.2,0.7]\n\
     monotone_constraints=(1,0)\ninteraction_constraints=[[0,1],[2]]",
    "objective=rank:ndcg\neval_metric=ndcg@3-\nlambdarank_pair_method=topk\nndcg_exp_gain=true\n\
     lambdarank_num_pair_per_sample=4",
    "objective=reg:quantileerror\nquantile_alpha=[0.1,0.5]\ntree_method=exact\nmax_depth=4\n\
     booster=dart\nrate_drop=0.5",
    "objective=survival:aft\naft_loss_distribution=extreme\naft_loss_distribution_scale=1.2\n\
     eta=0.1\nsubsample=0.5",
];
const MODELS: [&str; 5] = [
    "models/onehot.json",
    "models/stumps.json",
    "models/softmax.ubj",
    "models/onehot_softprob.ubj",
    "models/frame.ubj",
];
const TABLES: [&str; 3] = [
    "tables/encodings.parquet",
    "tables/large.arrow",
    "tables/delta.arrow",
];

fn fixture(name: &str) -> Vec<u8> {
    fs::read(Path::new("tests/fixtures").join(name)).unwrap()
}

/// Good documents, by the names of their parsers.
fn documents() -> Vec<(&'static str, Vec<u8>)> {
    let parser = |name: &str| match name.rsplit_once('.') {
        Some((_, "parquet")) => "parquet",
        Some((_, "arrow")) => "arrow",
        _ => "model",
    };
    let mut small: Vec<String> = fs::read_dir("tests/fixtures/small")
        .unwrap()
        .map(|entry| format!("small/{}", entry.unwrap().file_name().to_str().unwrap()))
        .collect();
    small.sort();
    assert!(small.len() >= 20, "fixtures are missing");
    let files = MODELS.iter().chain(&TABLES).map(|name| (*name).to_owned());
    let files = files.chain(small);
    let mut all: Vec<_> = files.map(|name| (parser(&name), fixture(&name))).collect();
    let texts = |parser, texts: &[&'static str]| {
        let texts = texts.iter().map(|text| text.as_bytes().to_vec());
        texts.map(|text| (parser, text)).collect::<Vec<_>>()
    };
    all.extend(texts("csv", &CSV));
    all.extend(texts("libsvm", &LIBSVM));
    all.extend(texts("parameters", &PARAMETERS));
    all
}

fn parser(name: &str) -> parsers::Parser {
    parsers::ALL
        .iter()
        .find(|(known, _)| *known == name)
        .unwrap()
        .1
}

/// A generator that always gives the same (SplitMix64).
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) % end as u64) as usize
    }
}

#[test]
fn every_parser_takes_its_own_documents_and_truncations_of_them() {
    for (name, document) in documents() {
        let parse = parser(name);
        parse(&document);
        let step = (document.len() / 200).max(1);
        for end in (0..document.len()).step_by(step) {
            parse(&document[..end]);
        }
    }
}

#[test]
fn every_parser_takes_the_documents_of_every_other() {
    for (_, document) in documents() {
        for (_, parse) in parsers::ALL {
            parse(&document);
        }
    }
}

#[test]
fn flipped_doubled_and_replaced_bytes_break_no_promise() {
    let mut random = Random(5);
    for (name, document) in documents() {
        let parse = parser(name);
        for round in 0..600 {
            let mut broken = document.clone();
            // Half of them near the end, where tables have their metadata.
            let reach = broken
                .len()
                .min(if round % 2 == 0 { 500 } else { usize::MAX });
            for _ in 0..=random.below(3) {
                let at = broken.len() - 1 - random.below(reach.min(broken.len()));
                match random.below(4) {
                    0 => broken[at] ^= 1 << random.below(8),
                    1 => broken[at] = random.below(256) as u8,
                    2 => broken.insert(at, document[at.min(document.len() - 1)]),
                    _ => broken[at] = [0, 1, 0x7f, 0xff][random.below(4)],
                }
            }
            parse(&broken);
        }
    }
}

#[test]
fn digits_put_for_digits_break_no_promise() {
    let mut random = Random(2);
    let mut survivors = 0;
    for name in MODELS {
        let whole = fixture(name);
        for _ in 0..300 {
            let mut broken = whole.clone();
            let at = random.below(broken.len());
            if let Some(digit) = broken[at..].iter().position(u8::is_ascii_digit) {
                broken[at + digit] = b'0' + random.below(10) as u8;
            }
            if let Ok(model) = Model::parse(&broken) {
                survivors += 1;
                parsers::use_up(&model);
            }
        }
    }
    assert!(
        survivors > 100,
        "only {survivors} broken models were read; the rest is untested"
    );
}
