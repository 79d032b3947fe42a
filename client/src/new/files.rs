//! The files of a new workload, and of the SDK's copy.

macro_rules! template {
    ($path:literal) => {
        include_str!(concat!("../../templates/", $path))
    };
}

macro_rules! sdk {
    ($path:literal) => {
        ($path, include_str!(concat!("../../../guest-sdk/", $path)))
    };
}

/// Path in the new folder, and the template.
pub(super) const WORKLOAD: &[(&str, &str)] = &[
    ("Cargo.toml", template!("workload/Cargo.toml.in")),
    (
        ".cargo/config.toml",
        template!("workload/cargo-config.toml"),
    ),
    (".gitignore", template!("workload/gitignore")),
    ("README.md", template!("workload/README.md.in")),
    ("sample.txt", template!("workload/sample.txt")),
    ("src/lib.rs", template!("workload/lib.rs")),
    ("src/main.rs", template!("workload/main.rs.in")),
    ("tests/work.rs", template!("workload/tests/work.rs.in")),
];

/// Path in the SDK's folder, and the content. The manifests are other ones, because the originals
/// take half of what they say from their workspace.
pub(super) const SDK: &[(&str, &str)] = &[
    ("Cargo.toml", template!("sdk/Cargo.toml")),
    ("LICENSE", include_str!("../../../LICENSE")),
    (
        "description/Cargo.toml",
        template!("sdk/description/Cargo.toml"),
    ),
    sdk!("description/src/lib.rs"),
    sdk!("src/collective/link.rs"),
    sdk!("src/collective/mod.rs"),
    sdk!("src/collective/tests.rs"),
    sdk!("src/error.rs"),
    sdk!("src/input.rs"),
    sdk!("src/job.rs"),
    sdk!("src/key.rs"),
    sdk!("src/lib.rs"),
    sdk!("src/options.rs"),
    sdk!("src/output.rs"),
    sdk!("src/peers.rs"),
    sdk!("src/positioned.rs"),
    sdk!("src/progress.rs"),
    sdk!("src/root.rs"),
    sdk!("src/run.rs"),
];

/// What stands for `{{…}}` in a template.
pub(super) struct Values {
    name: String,
    krate: String,
    /// A TOML string, quotes included.
    sdk: String,
}

impl Values {
    pub(super) fn new(name: &str, sdk: &str) -> Self {
        Self {
            name: name.to_owned(),
            krate: name.replace('-', "_"),
            sdk: toml::Value::from(sdk).to_string(),
        }
    }

    pub(super) fn fill(&self, template: &str) -> String {
        template
            .replace("{{name}}", &self.name)
            .replace("{{crate}}", &self.krate)
            .replace("{{sdk}}", &self.sdk)
    }
}
