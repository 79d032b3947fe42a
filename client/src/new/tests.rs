//! A new workload as it lies in its folder. `client/tests/new.rs` builds and runs one.

use super::*;

fn checkout(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)
}

fn table(path: &Path) -> toml::Table {
    fs::read_to_string(path).unwrap().parse().unwrap()
}

#[test]
fn a_new_workload_has_no_placeholder_left() {
    let folder = tempfile::tempdir().unwrap();
    let made = create("card-fraud", folder.path(), SdkSource::Embedded).unwrap();
    assert_eq!(made, folder.path().join("card-fraud"));
    for (path, _) in WORKLOAD {
        let text = fs::read_to_string(made.join(path)).unwrap();
        // `{{` and `}}` do stand in format strings.
        for placeholder in ["{{name}}", "{{crate}}", "{{sdk}}"] {
            assert!(!text.contains(placeholder), "{placeholder} in {path}");
        }
    }
    let manifest = table(&made.join("Cargo.toml"));
    assert_eq!(manifest["package"]["name"].as_str(), Some("card-fraud"));
    assert_eq!(
        manifest["dependencies"]["mc2-guest"]["path"].as_str(),
        Some("vendor/mc2-guest")
    );
    assert!(
        fs::read_to_string(made.join("src/main.rs"))
            .unwrap()
            .contains("card_fraud::work")
    );
    assert_eq!(
        fs::read_dir(folder.path()).unwrap().count(),
        1,
        "nothing else is left"
    );
}

#[test]
fn an_sdk_of_a_checkout_is_named_by_its_absolute_path() {
    let folder = tempfile::tempdir().unwrap();
    let sdk = SdkSource::Path(checkout("guest-sdk"));
    let made = create("card-fraud", folder.path(), sdk).unwrap();
    let manifest = table(&made.join("Cargo.toml"));
    let path = Path::new(
        manifest["dependencies"]["mc2-guest"]["path"]
            .as_str()
            .unwrap(),
    );
    assert!(
        path.is_absolute() && path.join("src/lib.rs").is_file(),
        "{}",
        path.display()
    );
    assert!(!made.join("vendor").exists());
}

#[test]
fn a_folder_that_is_no_sdk_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    for (sdk, reason) in [
        (checkout("client"), "it is the crate mc2-client"),
        (checkout(""), "its Cargo.toml names no package"),
        (checkout("docs"), "its Cargo.toml: No such file"),
        (checkout("nothing"), "No such file"),
    ] {
        let error = create("w", folder.path(), SdkSource::Path(sdk))
            .unwrap_err()
            .to_string();
        assert!(error.contains(reason), "{error}");
    }
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn what_exists_is_not_touched() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("empty")).unwrap();
    fs::write(folder.path().join("file"), "mine").unwrap();
    for name in ["empty", "file"] {
        let error = create(name, folder.path(), SdkSource::Embedded).unwrap_err();
        assert!(matches!(error, NewError::Exists { .. }), "{error}");
    }
    assert_eq!(
        fs::read_dir(folder.path().join("empty")).unwrap().count(),
        0
    );
    assert_eq!(
        fs::read_to_string(folder.path().join("file")).unwrap(),
        "mine"
    );
}

#[test]
fn a_folder_that_is_not_there_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let error = create("w", &folder.path().join("no"), SdkSource::Embedded).unwrap_err();
    assert!(matches!(error, NewError::Io { .. }), "{error}");
}

#[test]
fn a_bad_name_is_refused_with_the_reason() {
    let folder = tempfile::tempdir().unwrap();
    let long = "n".repeat(65);
    for (name, reason) in [
        ("", "empty"),
        ("../up", "'.' is not among"),
        ("a/b", "'/' is not among"),
        ("Fraud", "'F' is not among"),
        ("zwölf", "'ö' is not among"),
        ("under_score", "'_' is not among"),
        ("2fast", "begin with a letter"),
        ("-x", "begin with a letter"),
        ("x-", "ends with -"),
        ("match", "another use"),
        ("mc2-guest", "another use"),
        (long.as_str(), "longer than 64"),
    ] {
        let error = create(name, folder.path(), SdkSource::Embedded)
            .unwrap_err()
            .to_string();
        assert!(error.contains(reason), "{error}");
    }
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn every_source_of_the_sdk_is_in_the_copy() {
    let mut sources = Vec::new();
    for folder in ["description/src", "src"] {
        sources_below(folder, &mut sources);
    }
    sources.sort();
    let embedded: Vec<_> = SDK
        .iter()
        .map(|(path, _)| *path)
        .filter(|path| path.ends_with(".rs"))
        .collect();
    assert_eq!(embedded, sources);
}

/// The files below a folder of the SDK, by their paths in the SDK.
fn sources_below(folder: &str, sources: &mut Vec<String>) {
    for entry in fs::read_dir(checkout("guest-sdk").join(folder)).unwrap() {
        let entry = entry.unwrap();
        let path = format!("{folder}/{}", entry.file_name().to_str().unwrap());
        if entry.file_type().unwrap().is_dir() {
            sources_below(&path, sources);
        } else {
            sources.push(path);
        }
    }
}

fn version(dependency: &toml::Value) -> Option<&str> {
    dependency
        .as_str()
        .or_else(|| dependency.get("version")?.as_str())
}

/// The copy's manifests are written by hand; they say what the originals and their workspace say.
#[test]
fn the_copys_manifests_are_the_original_ones() {
    let workspace = table(&checkout("Cargo.toml"));
    for folder in ["", "description"] {
        let manifest = |sdk: &str| table(&checkout(sdk).join(folder).join("Cargo.toml"));
        let (copy, original) = (manifest("client/templates/sdk"), manifest("guest-sdk"));
        for field in ["version", "edition", "rust-version", "license", "publish"] {
            assert_eq!(
                copy["package"][field], workspace["workspace"]["package"][field],
                "{field}"
            );
        }
        let (of_copy, of_original) = (dependencies(&copy), dependencies(&original));
        assert!(of_copy.keys().eq(of_original.keys()));
        for (name, dependency) in of_copy {
            // The workspace may have features on for other crates.
            let shared = &workspace["workspace"]["dependencies"][&name];
            assert_eq!(version(&dependency), version(shared), "{name}");
        }
    }
}

/// Those of every target and those of some.
fn dependencies(manifest: &toml::Table) -> toml::Table {
    let mut all = manifest["dependencies"].as_table().unwrap().clone();
    let targets = manifest.get("target").and_then(toml::Value::as_table);
    for (target, table) in targets.into_iter().flatten() {
        for (name, dependency) in table["dependencies"].as_table().unwrap() {
            assert!(
                all.insert(name.clone(), dependency.clone()).is_none(),
                "{target}: {name}"
            );
        }
    }
    all
}
