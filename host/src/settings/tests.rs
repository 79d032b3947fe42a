use std::num::NonZeroU32;

use clap::Command;

use super::*;
use crate::config::{Launcher, Link, Rate};

const DIGEST: &str = "2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae";

fn read(flags: &[&str], variables: &[(&str, &str)]) -> Result<Settings, SettingsError> {
    let command = Command::new("serve").args(Settings::arguments());
    let flags = command
        .try_get_matches_from(std::iter::once(&"serve").chain(flags))
        .unwrap();
    let variables = variables
        .iter()
        .map(|(name, value)| ((*name).into(), (*value).into()));
    Settings::read(&flags, variables)
}

fn file(text: &str) -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), text).unwrap();
    file
}

fn path(file: &tempfile::NamedTempFile) -> &str {
    file.path().to_str().unwrap()
}

#[test]
fn a_flag_outweighs_a_variable_and_a_variable_the_file() {
    let file = file("folder = \"/file\"\nmax_runtimes = 1\nmax_connections = 1\nidle = \"1h\"\n");
    let settings = read(
        &["--config", path(&file), "--folder", "/flag"],
        &[
            ("MC2_HOST_FOLDER", "/variable"),
            ("MC2_HOST_MAX_RUNTIMES", "2"),
            ("HOME", "/"),
        ],
    );
    let config = settings.unwrap().config().unwrap();
    assert_eq!(config.folder, Path::new("/flag"));
    assert_eq!((config.max_runtimes, config.max_connections), (2, 1));
    assert_eq!(config.timeouts.idle.as_secs(), 3600);
    // The file may be named by a variable, too.
    let settings = read(&["--folder", "/flag"], &[("MC2_HOST_CONFIG", path(&file))]);
    assert_eq!(settings.unwrap().config().unwrap().max_connections, 1);
}

#[test]
fn every_setting_is_a_key_a_flag_and_a_variable_and_means_the_same_as_each() {
    let values = |setting: &Setting| match setting.value {
        "DIR" | "FILE" => "/nowhere/x",
        "ADDRESS" => "unix:/nowhere/y",
        "BOOL" => "false",
        "N" | "RATE" => "7",
        "SIZE" => "5MiB",
        "TIME" => "9s",
        "LINK" => "loopback",
        "URL" => "s3://bucket/prefix",
        "NAME=VALUE" => "region=here",
        "PROFILE" => "sgx",
        "TOKEN" => concat!(
            "a=",
            "2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae"
        ),
        other => panic!("a value of {other}"),
    };
    for setting in SETTINGS {
        let value = values(setting);
        let flag = format!("--{}={value}", setting.flag());
        let file = file(&format!("{} = {value:?}", setting.key));
        let variable = setting.variable();
        for (flags, variables) in [
            (vec![flag.as_str()], vec![]),
            (vec![], vec![(variable.as_str(), value)]),
            (vec!["--config", path(&file)], vec![]),
        ] {
            let settings = read(&flags, &variables).unwrap();
            let given: Vec<_> = settings.0.iter().collect();
            assert_eq!(given.len(), 1);
            assert_eq!(
                (*given[0].0, given[0].1.texts.as_slice()),
                (setting.key, &[value.to_owned()][..])
            );
        }
    }
}

#[test]
fn what_is_no_setting_is_refused_by_name_and_the_nearest_is_named() {
    let refused = |settings: Result<Settings, SettingsError>| settings.unwrap_err().to_string();
    let file = file("max_runtime = 3\n");
    let message = refused(read(&["--config", path(&file)], &[]));
    assert!(message.contains("`max_runtime` in "), "{message}");
    assert!(
        message.contains("did you mean `max_runtimes`?"),
        "{message}"
    );
    let message = refused(read(&[], &[("MC2_HOST_FODLER", "/x")]));
    assert!(
        message.contains("did you mean `MC2_HOST_FOLDER`?"),
        "{message}"
    );
    let nested = self::file("[tls]\ncert = \"x\"\n");
    assert!(refused(read(&["--config", path(&nested)], &[])).contains("`tls` in "));
    let twice = self::file("folder = \"a\"\nfolder = \"b\"\n");
    assert!(refused(read(&["--config", path(&twice)], &[])).contains("not TOML"));
    let list = self::file("folder = [\"a\", \"b\"]\n");
    assert!(refused(read(&["--config", path(&list)], &[])).contains("one value, found 2"));
}

#[test]
fn a_value_that_is_none_is_refused_where_it_was_given() {
    for (key, value) in [
        ("max-runtimes", "many"),
        ("max-runtimes", "-1"),
        ("body-memory", "5"),
        ("idle", "5"),
        ("keep-receipts", "d"),
        ("keep-receipts", "-1d"),
        ("keep-objects", "a day"),
        ("durable", "yes"),
        ("runtime-link", "pipe"),
        ("engine-profile", "VM"),
        ("address-rate", "0"),
        ("token", "a=b"),
        (
            "token",
            concat!(
                "=",
                "2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae"
            ),
        ),
        ("listen", "localhost"),
        ("runtime-listen", "127.0.0.1:1"),
        ("tls-cert", "/nowhere"),
    ] {
        let flag = format!("--{key}={value}");
        let settings = read(&["--folder=/x", &flag], &[]).unwrap();
        let message = settings.config().err().expect(&flag).to_string();
        assert!(message.starts_with(&format!("--{key}")), "{message}");
    }
    let both = ["--folder=/x", "--runtime-listen=unix:/r"];
    for other in ["--simulator", "--runtime=/bin/x"] {
        let settings = read(&[both.as_slice(), &[other]].concat(), &[]).unwrap();
        let refused = settings.config().err().expect(other);
        assert!(
            matches!(refused, SettingsError::Conflict { .. }),
            "{refused}"
        );
    }
}

#[test]
fn a_runtime_is_simulated_only_where_none_is_stated_or_it_is_asked_for() {
    let launcher = |flags: &[&str]| {
        let settings = read(&[&["--folder=/x"], flags].concat(), &[]).unwrap();
        settings.config().unwrap().launcher
    };
    for (flags, simulated) in [
        (&[][..], true),
        (&["--simulator"], true),
        (&["--simulator=false"], false),
        (&["--runtime=/bin/x"], false),
        (&["--simulator", "--runtime=/bin/x"], true),
    ] {
        let Launcher::Spawn(spawn) = launcher(flags) else {
            panic!("{flags:?} starts none");
        };
        assert_eq!(spawn.simulator, simulated, "{flags:?}");
        let name = spawn.binary.file_name().unwrap();
        assert_eq!(
            name == "mc2-runtime-sim",
            simulated && flags.len() < 2,
            "{flags:?}"
        );
        assert_eq!(spawn.link, Link::Unix);
    }
    assert!(matches!(
        launcher(&["--runtime-listen=unix:/r"]),
        Launcher::Connect
    ));
}

#[test]
fn tokens_have_names_and_may_have_rates() {
    let (plain, limited) = (format!("bank-a={DIGEST}"), format!("bank-b={DIGEST}@25"));
    let settings = read(
        &["--folder=/x", "--token", &plain, "--token", &limited],
        &[],
    );
    let tokens = settings.unwrap().config().unwrap().tokens;
    let of = |token: &crate::Token| (token.name.clone(), hex::encode(token.sha256), token.rate);
    let rate = NonZeroU32::new(25).map(Rate);
    assert_eq!(
        of(&tokens[0]),
        ("bank-a".to_owned(), DIGEST.to_owned(), None)
    );
    assert_eq!(
        of(&tokens[1]),
        ("bank-b".to_owned(), DIGEST.to_owned(), rate)
    );
    let sized = |form: &str| {
        let text = format!("{plain}{form}");
        let settings = read(&["--folder=/x", "--token", &text], &[]).unwrap();
        let token = settings.config().ok()?.tokens.pop()?;
        Some((token.rate, token.bytes))
    };
    assert_eq!(sized(":50GiB"), Some((None, Some(50 << 30))));
    assert_eq!(sized("@25:2PiB"), Some((rate, Some(2 << 50))));
    assert_eq!(sized(":50GiB@25"), None);
    assert_eq!(sized(":50"), None);
    let listed = format!("{plain}, {limited}");
    let settings = read(&["--folder=/x"], &[("MC2_HOST_TOKEN", &listed)]).unwrap();
    assert_eq!(settings.config().unwrap().tokens, tokens);
}

#[test]
fn ages_may_be_days_and_what_has_none_is_kept() {
    let flags = ["--folder=/x", "--keep-receipts=2555d", "--keep-objects=0s"];
    let variables = [("MC2_HOST_KEEP_SESSIONS", "12h")];
    let kept = read(&flags, &variables)
        .unwrap()
        .config()
        .unwrap()
        .retention;
    let seconds = [kept.receipts, kept.sessions, kept.objects, kept.components]
        .map(|age| age.map(|age| age.as_secs()));
    assert_eq!(seconds, [Some(2555 * 86400), Some(43200), Some(0), None]);
    assert_eq!(kept.every.as_secs(), 3600);
}

#[test]
fn components_of_several_hosts_are_not_removed_by_one() {
    let flags = ["--folder=/x", "--cache-folder=/y", "--keep-components=1h"];
    let refused = read(&flags, &[]).unwrap().config().err().expect("refused");
    assert!(
        matches!(refused, SettingsError::Conflict { .. }),
        "{refused}"
    );
}

#[test]
fn the_operator_s_page_lists_every_setting() {
    let page = include_str!("../../../docs/host.md");
    for setting in SETTINGS {
        let row = format!("| `{}` |", setting.key);
        assert!(page.contains(&row), "docs/host.md has no row {row}");
    }
}
