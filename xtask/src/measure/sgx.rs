//! Intel SGX: the enclave that Gramine makes of the static runtime by the manifest of
//! `host/images/sgx/`, and what it measures to.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::images::static_build::{Place, Program};
use crate::machine::Machine;
use crate::process::{Doing, Failure, Outcome, capture, on_path, run};

const TEMPLATE: &str = "host/images/sgx/mc2-runtime.manifest.template";

/// MRENCLAVE, as Gramine's own tools compute it.
pub(super) fn mrenclave(machine: &Machine) -> Outcome<String> {
    tools()?;
    let folder = machine.target_dir()?.join("sgx");
    fs::create_dir_all(&folder).doing(format_args!("making {}", folder.display()))?;
    // Without processes in an enclave the compiler is in the runtime itself.
    let runtime = Place::here(machine)?.build(
        machine,
        Program::Runtime,
        &["--features", "mc2-runtime/compile"],
    )?;
    fs::copy(&runtime, folder.join("mc2-runtime")).doing("copying the runtime")?;
    let manifest = folder.join("mc2-runtime.manifest");
    let in_folder = |tool: &str| {
        let mut command = Command::new(tool);
        command.current_dir(&folder);
        command
    };
    run(in_folder("gramine-manifest")
        .arg(machine.root.join(TEMPLATE))
        .arg(&manifest))?;
    check(&manifest)?;
    let key = folder.join("key.pem");
    if !key.exists() {
        run(in_folder("gramine-sgx-gen-private-key").arg(&key))?;
    }
    run(in_folder("gramine-sgx-sign")
        .arg("--manifest")
        .arg(&manifest)
        .args(["--output", "mc2-runtime.manifest.sgx"])
        .arg("--key")
        .arg(&key))?;
    let shown = capture(in_folder("gramine-sgx-sigstruct-view").arg("mc2-runtime.sig"))?;
    shown
        .lines()
        .find_map(|line| line.trim().strip_prefix("mr_enclave:"))
        .map(|digits| digits.trim().to_owned())
        .ok_or_else(|| {
            Failure::new(format!(
                "gramine-sgx-sigstruct-view says no mr_enclave:\n{shown}"
            ))
        })
}

/// Whether Gramine's tools are there.
pub(super) fn tools() -> Outcome<()> {
    for tool in [
        "gramine-manifest",
        "gramine-sgx-sign",
        "gramine-sgx-sigstruct-view",
    ] {
        if on_path(tool).is_none() {
            return Err(Failure::new(format!(
                "MRENCLAVE is computed by Gramine's tools, and {tool} is not on the search path: \
                 install Gramine 1.8 or newer (https://gramine.readthedocs.io), or leave out --tee sgx"
            )));
        }
    }
    Ok(())
}

/// Refuses a manifest that lets the host say what the enclave does, or look into it.
fn check(manifest: &Path) -> Outcome<()> {
    let doing = format!("reading {}", manifest.display());
    let text = fs::read_to_string(manifest).doing(&doing)?;
    let value: toml::Table = toml::from_str(&text).doing(&doing)?;
    match objection(&value) {
        None => Ok(()),
        Some(objection) => Err(Failure::new(format!("{}: {objection}", manifest.display()))),
    }
}

/// What is wrong with a manifest, if anything is.
fn objection(manifest: &toml::Table) -> Option<String> {
    let at = |path: &[&str]| {
        let (first, rest) = path.split_first()?;
        rest.iter()
            .try_fold(manifest.get(*first)?, |value, name| value.get(name))
    };
    if let Some(name) = insecure(manifest) {
        return Some(format!("{name} lets the host in"));
    }
    if at(&["sgx", "debug"]) != Some(&toml::Value::Boolean(false)) {
        return Some("sgx.debug must be stated as false".to_owned());
    }
    if at(&["loader", "argv"])
        .and_then(toml::Value::as_array)
        .is_none()
    {
        return Some("loader.argv must be fixed".to_owned());
    }
    let environment = at(&["loader", "env"]).and_then(toml::Value::as_table);
    let passed = environment
        .into_iter()
        .flatten()
        .find(|(_, value)| !value.is_str());
    if let Some((name, _)) = passed {
        return Some(format!("the variable {name} comes from the host"));
    }
    if at(&["sgx", "remote_attestation"]).and_then(toml::Value::as_str) != Some("dcap") {
        return Some("sgx.remote_attestation must be dcap".to_owned());
    }
    if at(&["loader", "argv_src_file"]).is_some() {
        return Some("loader.argv_src_file takes arguments from a file".to_owned());
    }
    if at(&["sgx", "allowed_files"]).is_some() {
        return Some("sgx.allowed_files are files that nobody checks".to_owned());
    }
    None
}

/// The first option whose name says that it is not secure.
fn insecure(table: &toml::Table) -> Option<String> {
    table.iter().find_map(|(name, value)| {
        if name.starts_with("insecure__") {
            return Some(name.clone());
        }
        insecure(value.as_table()?)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The template with what `gramine-manifest` puts in: its only variables are paths of Gramine's.
    fn template() -> toml::Table {
        let text = fs::read_to_string(Path::new("..").join(TEMPLATE)).unwrap();
        toml::from_str(&text.replace("{{ gramine.libos }}", "libsysdb.so")).unwrap()
    }

    #[test]
    fn the_manifest_leaves_the_host_no_say() {
        assert_eq!(objection(&template()), None);
    }

    #[test]
    fn a_manifest_that_lets_the_host_in_is_refused() {
        let refused = |section: &str, name: &str, value: toml::Value| {
            let mut manifest = template();
            let section = manifest[section].as_table_mut().unwrap();
            section.insert(name.to_owned(), value);
            assert!(objection(&manifest).is_some(), "{name}");
        };
        refused("sgx", "debug", true.into());
        refused("sgx", "remote_attestation", "none".into());
        refused("sgx", "allowed_files", vec!["file:/etc/"].into());
        refused("loader", "insecure__use_cmdline_argv", true.into());
        refused("loader", "argv_src_file", "file:args".into());
        let from_host = toml::Table::from_iter([("passthrough".to_owned(), true.into())]);
        let environment = toml::Table::from_iter([("RUST_LOG".to_owned(), from_host.into())]);
        refused("loader", "env", environment.into());
        let mut without = template();
        without["loader"].as_table_mut().unwrap().remove("argv");
        assert!(objection(&without).is_some());
    }

    fn of_occlum() -> serde_json::Value {
        let text = fs::read_to_string("../host/images/sgx/Occlum.json").unwrap();
        serde_json::from_str(&text).unwrap()
    }

    /// What Occlum 0.31's own tool (`gen_internal_conf`) demands, and what it adds by itself.
    #[test]
    fn occlum_s_tool_finds_all_it_asks_for() {
        let value = of_occlum();
        for (section, fields) in [
            (
                "resource_limits",
                &["kernel_space_stack_size", "max_num_of_threads"][..],
            ),
            (
                "process",
                &[
                    "default_stack_size",
                    "default_heap_size",
                    "default_mmap_size",
                ],
            ),
            ("env", &["default", "untrusted"]),
            (
                "metadata",
                &[
                    "product_id",
                    "version_number",
                    "enable_kss",
                    "family_id",
                    "ext_prod_id",
                ],
            ),
        ] {
            for field in fields {
                assert!(!value[section][field].is_null(), "{section}.{field}");
            }
        }
        for id in ["family_id", "ext_prod_id"] {
            for half in ["high", "low"] {
                assert_eq!(value["metadata"][id][half], "0x0");
            }
        }
        let targets = value["mount"].as_array().unwrap().iter();
        let targets: Vec<_> = targets.map(|mount| mount["target"].as_str()).collect();
        assert_eq!(targets, [Some("/")], "it mounts /proc and /dev itself");
    }

    #[test]
    fn the_enclave_of_occlum_cannot_be_debugged_and_takes_no_variable_of_the_host_s() {
        let value = of_occlum();
        assert_eq!(value["metadata"]["debuggable"], false);
        assert_eq!(value["env"]["untrusted"], serde_json::json!([]));
        assert_eq!(
            value["entry_points"],
            serde_json::json!(["/bin/mc2-runtime"])
        );
        // Of the host's files only those whose authenticity is checked at their first use are there.
        assert!(!value.to_string().contains("hostfs"));
    }

    /// Row 8: a file system without a MAC in the configuration is not measured. One that outlives the
    /// enclave is sealed to its signer, and any signer's enclave may fill it with another program.
    #[test]
    fn what_occlum_s_measurement_does_not_cover_is_made_anew_at_each_start() {
        let value = of_occlum();
        let sealed = sealed(&value["mount"]);
        assert_eq!(sealed.len(), 2, "the image, and what is written over it");
        for layer in sealed {
            let options = &layer["options"];
            assert!(
                options["MAC"].is_string() || options["temporary"] == true,
                "{layer}"
            );
        }
    }

    /// Every file system of the kind that Occlum seals, whatever it is in.
    fn sealed(mounts: &serde_json::Value) -> Vec<&serde_json::Value> {
        let mut found = Vec::new();
        for one in mounts.as_array().into_iter().flatten() {
            if one["type"] == "sefs" {
                found.push(one);
            }
            found.extend(sealed(&one["options"]["layers"]));
        }
        found
    }
}
