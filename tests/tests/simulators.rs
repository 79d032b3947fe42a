//! Simulators of a host of one's own: their key lies in a file of this user's while the host runs,
//! and nobody else's file is believed. NOT SECURE, as simulators are.

use std::{
    fs::{self, Permissions},
    io::{BufRead as _, BufReader},
    os::unix::fs::PermissionsExt as _,
    path::PathBuf,
    process::{Child, Command, Output, Stdio},
};

use mc2_tests::{Place, cache_folder, component, ended, program, text};

/// A host that starts simulators, run by the person whose place this is.
struct OwnHost {
    place: Place,
    host: Child,
    /// Where it listens: a TCP port, then a socket.
    addresses: Vec<String>,
}

impl OwnHost {
    fn start() -> Self {
        let place = Place::new();
        let runtime = place.at("runtime");
        fs::create_dir(&runtime).expect("a folder");
        let socket = format!("unix:{}", place.at("host.sock").display());
        let mut host = Command::new(program("mc2-host"))
            .args(["serve", "--simulator", "--folder"])
            .arg(place.at("host"))
            .args(["--listen", "127.0.0.1:0", "--listen", &socket])
            .env("XDG_RUNTIME_DIR", &runtime)
            .env("XDG_CACHE_HOME", cache_folder())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("a host");
        let addresses = listening(&mut host, &socket);
        Self {
            place,
            host,
            addresses,
        }
    }

    /// `mc2-run` there, by somebody whose folder for runtime files this is.
    fn run(&self, address: &str, runtime: &str, home: &str) -> Output {
        let workload = component("hostile");
        let workload = workload.to_str().expect("text");
        let arguments = [
            workload,
            "--host",
            address,
            "--allow-simulated",
            "--",
            "echo",
            "hello",
        ];
        self.place
            .command_of(home, "mc2-run", &arguments)
            .env("XDG_RUNTIME_DIR", self.place.at(runtime))
            .output()
            .expect("mc2-run starts")
    }

    /// The files with the key.
    fn pins(&self) -> Vec<PathBuf> {
        let folder = self.place.at("runtime").join("mc2/simulators");
        let entries = fs::read_dir(folder).expect("the host's files");
        entries.map(|entry| entry.expect("one").path()).collect()
    }
}

impl Drop for OwnHost {
    fn drop(&mut self) {
        let _ = self.host.kill();
        let _ = self.host.wait();
    }
}

/// Waits until it listens, and returns the addresses as a client names them.
fn listening(host: &mut Child, socket: &str) -> Vec<String> {
    let mut lines = BufReader::new(host.stdout.take().expect("piped")).lines();
    let mut tcp = None;
    while tcp.is_none() {
        let line = lines.next().expect("the host ended").expect("text");
        tcp = line.split_whitespace().find_map(|word| {
            let at = word.find("127.0.0.1:")?;
            let port =
                word[at + "127.0.0.1:".len()..].trim_end_matches(|c: char| !c.is_ascii_digit());
            port.parse::<u16>().ok()
        });
    }
    std::thread::spawn(move || lines.for_each(drop));
    let port = tcp.expect("a port");
    vec![format!("http://localhost:{port}"), socket.to_owned()]
}

#[test]
fn every_run_of_one_s_own_on_one_start_of_a_host_trusts_its_simulators() {
    let host = OwnHost::start();
    // Two people, so two runtimes; the second run of each has none of the first's session.
    for home in ["home", "other", "home", "other"] {
        for address in &host.addresses {
            let output = host.run(address, "runtime", home);
            let stderr = ended(&output, 0);
            assert!(stderr.contains("NOT SECURE"), "{stderr}");
            assert!(text(&output.stdout).contains("hello"), "{stderr}");
        }
    }
    // Never in the trust store.
    let trusted = host.place.state("home").trusted().expect("a store");
    assert!(trusted.simulators().is_empty());
}

#[test]
fn who_has_not_this_user_s_file_is_told_what_to_do() {
    let host = OwnHost::start();
    fs::create_dir(host.place.at("elsewhere")).expect("a folder");
    let output = host.run(&host.addresses[0], "elsewhere", "home");
    let stderr = ended(&output, 67);
    assert!(stderr.contains("mc2 trust add --simulator"), "{stderr}");
}

#[test]
fn a_file_with_the_key_that_others_can_get_at_is_refused() {
    let host = OwnHost::start();
    for pin in host.pins() {
        assert_eq!(
            fs::metadata(&pin).expect("it").permissions().mode() & 0o777,
            0o600
        );
        fs::set_permissions(&pin, Permissions::from_mode(0o644)).expect("own file");
    }
    for address in &host.addresses {
        let output = host.run(address, "runtime", "home");
        let stderr = ended(&output, 78);
        assert!(stderr.contains("has mode 644"), "{stderr}");
    }
}

/// A key that somebody put there does not make their simulator this host's.
#[test]
fn another_key_in_the_file_is_not_the_host_s() {
    let host = OwnHost::start();
    for pin in host.pins() {
        let text = fs::read_to_string(&pin).expect("text");
        let mut json: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        json["key"] = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a".into();
        fs::write(&pin, json.to_string()).expect("written");
    }
    let output = host.run(&host.addresses[0], "runtime", "home");
    ended(&output, 67);
}
