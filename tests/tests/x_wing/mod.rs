//! Where the X-Wing draft's test vectors are: they ship with the crate `x-wing`.

use std::{path::PathBuf, process::Command};

use serde_json::Value;

/// The file of the draft's vectors in the crate's own source.
pub(crate) fn vectors() -> PathBuf {
    // Only this platform's packages, which are the ones that a build has fetched.
    let platform = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--locked"])
        .args(["--filter-platform", &platform])
        .current_dir(mc2_tests::package())
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    let packages = metadata["packages"].as_array().unwrap();
    let package = packages
        .iter()
        .find(|package| package["name"] == "x-wing")
        .unwrap();
    let manifest = PathBuf::from(package["manifest_path"].as_str().unwrap());
    manifest.with_file_name("tests").join("test-vectors.json")
}
