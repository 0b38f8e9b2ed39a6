//! The .deb in a root of its own, which begins with no more than what it depends on.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::harness::{Scratch, run};
use crate::unpacked::{ask, built};

/// Where packages are installed.
struct Root {
    scratch: Scratch,
    at: PathBuf,
}

impl Root {
    fn new() -> Root {
        let scratch = Scratch::new();
        let at = scratch.folder("root");
        let dpkg = at.join("var/lib/dpkg");
        fs::create_dir_all(dpkg.join("info")).expect("a scratch folder");
        fs::create_dir(dpkg.join("updates")).expect("a scratch folder");
        // So dependencies are checked: this machine's libraries are what there is.
        fs::write(dpkg.join("status"), ask("dpkg", ["-s", "libc6", "libgcc-s1"])).expect("a scratch folder");
        Root { scratch, at }
    }

    fn path(&self, path: &str) -> PathBuf {
        self.at.join(path.trim_start_matches('/'))
    }

    fn read(&self, path: &str) -> String {
        fs::read_to_string(self.path(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.path(path);
        fs::create_dir_all(path.parent().expect("it is in a folder")).expect("a scratch folder");
        fs::write(path, text).expect("a scratch folder");
    }

    /// Runs dpkg, whose scripts are to do nothing to this machine: without its /run, none of them finds systemd.
    #[track_caller]
    fn dpkg(&self, verb: &str, what: impl AsRef<OsStr>) {
        let root = format!("--root={}", self.at.display());
        let script = "mount -t tmpfs none /run && exec dpkg \"$@\"";
        // With the last of these, a file of the configuration that was changed is kept without asking.
        let options = [&root, "--force-script-chrootless", "--force-confold"];
        let line = [&["-m", "sh", "-c", script, "dpkg"][..], &options, &[verb]].concat();
        let output = run(Path::new("unshare"), line.into_iter().map(OsStr::new).chain([what.as_ref()]));
        assert_eq!(output.code, 0, "dpkg {verb}: {}", output.text());
    }

    /// What dpkg knows of packages whose names match.
    fn asked(&self, show: &str, names: &str) -> String {
        let admin = format!("--admindir={}", self.path("var/lib/dpkg").display());
        ask("dpkg-query", [admin.as_str(), "-W", "-f", show, names])
    }
}

fn package() -> PathBuf {
    built("serf-agent_", ".deb")
}

/// The next version of the package, with another default configuration, and another file of it.
fn next(scratch: &Scratch) -> PathBuf {
    let folder = scratch.file("next");
    ask("dpkg-deb", [OsStr::new("-R"), package().as_os_str(), folder.as_os_str()]);
    let change = |name: &str, change: &dyn Fn(String) -> String| {
        let path = folder.join(name);
        fs::write(&path, change(fs::read_to_string(&path).expect("it is in the package")))
            .expect("a scratch folder");
    };
    change("DEBIAN/control", &|text| text.replace("Version: ", "Version: 1:"));
    change("DEBIAN/conffiles", &|text| text + "/etc/serf/second.json\n");
    change("etc/serf/agent.json", &|text| text.replace("7373", "7374"));
    fs::write(folder.join("etc/serf/second.json"), "{}\n").expect("a scratch folder");
    let package = scratch.file("next.deb");
    ask("dpkg-deb", [OsStr::new("-b"), folder.as_os_str(), package.as_os_str()]);
    package
}

#[test]
fn it_installs_what_a_service_needs() {
    let root = Root::new();
    root.dpkg("--install", package());
    for (path, mode) in [
        ("/usr/bin/serf", 0o755),
        ("/etc/serf/agent.json", 0o644),
        ("/usr/lib/systemd/system/serf.service", 0o644),
        ("/usr/share/bash-completion/completions/serf", 0o644),
        ("/usr/share/zsh/vendor-completions/_serf", 0o644),
        ("/usr/share/fish/vendor_completions.d/serf.fish", 0o644),
    ] {
        let found = fs::metadata(root.path(path)).unwrap_or_else(|error| panic!("{path}: {error}"));
        assert_eq!(found.permissions().mode() & 0o7777, mode, "{path}");
    }
    let conffiles = root.asked("${Conffiles}", "serf-agent");
    let conffiles: Vec<&str> = conffiles.split_whitespace().step_by(2).collect();
    assert_eq!(conffiles, ["/etc/serf/agent.json"]);
    let serf = root.path("/usr/bin/serf");
    assert!(run(&serf, ["version"]).stdout.starts_with(env!("CARGO_PKG_VERSION")));
    let folder = format!("-config-dir={}", root.path("/etc/serf").display());
    assert_eq!(run(&serf, ["agent", &folder, "-check"]).code, 0);
    let settings = run(&serf, ["agent", &folder, "-print-config"]).stdout;
    assert!(settings.contains("\"rpc_addr\": \"127.0.0.1:7373\""), "{settings}");
    // What the unit names is there.
    let unit = root.read("/usr/lib/systemd/system/serf.service");
    assert!(unit.contains("ExecStart=/usr/bin/serf agent -config-dir=/etc/serf\n"), "{unit}");
    assert!(unit.contains("StateDirectory=serf\nStateDirectoryMode=0700\n"), "{unit}");
    assert!(!root.path("/etc/systemd").exists(), "nobody has enabled it");
}

#[test]
fn it_takes_the_place_of_gos_serf() {
    let root = Root::new();
    let status = root.read("/var/lib/dpkg/status");
    let other = "Package: serf\nStatus: install ok installed\nVersion: 0.9.4\nArchitecture: all\n\
                 Maintainer: x\nDescription: x\n";
    root.write("/var/lib/dpkg/status", &format!("{status}\n{other}"));
    root.dpkg("--install", package());
    let states = root.asked("${Package} ${db:Status-Status}\n", "serf*");
    let installed: Vec<&str> = states.lines().filter(|line| line.ends_with(" installed")).collect();
    assert_eq!(installed, ["serf-agent installed"]);
}

#[test]
fn an_upgrade_keeps_state_and_what_was_changed_in_the_configuration() {
    let root = Root::new();
    root.dpkg("--install", package());
    let changed = "{\"rpc_addr\": \"127.0.0.1:7375\"}\n";
    root.write("/etc/serf/agent.json", changed);
    root.write("/etc/serf/own.json", "{}");
    root.write("/var/lib/serf/tags.json", "{\"role\":\"web\"}");
    root.dpkg("--install", next(&root.scratch));
    assert!(root.asked("${Version}", "serf-agent").starts_with("1:"));
    assert_eq!(root.read("/etc/serf/agent.json"), changed);
    assert!(root.read("/etc/serf/agent.json.dpkg-dist").contains("7374"), "the new one lies beside it");
    assert_eq!(root.read("/etc/serf/second.json"), "{}\n");
    assert_eq!(root.read("/etc/serf/own.json"), "{}");
    assert_eq!(root.read("/var/lib/serf/tags.json"), "{\"role\":\"web\"}");
}

#[test]
fn an_upgrade_brings_a_new_default_where_nothing_was_changed() {
    let root = Root::new();
    root.dpkg("--install", package());
    root.dpkg("--install", next(&root.scratch));
    assert!(root.read("/etc/serf/agent.json").contains("7374"));
}

#[test]
fn removal_keeps_configuration_and_state_and_purging_keeps_neither() {
    let root = Root::new();
    root.dpkg("--install", package());
    root.write("/var/lib/serf/keyring.json", "[]");
    root.write("/var/lib/private/serf/tags.json", "{}");
    root.dpkg("--remove", "serf-agent");
    assert!(!root.path("/usr/bin/serf").exists());
    assert!(root.read("/etc/serf/agent.json").contains("rpc_addr"));
    assert_eq!(root.read("/var/lib/serf/keyring.json"), "[]");
    assert_eq!(root.read("/var/lib/private/serf/tags.json"), "{}");
    root.dpkg("--purge", "serf-agent");
    for gone in ["/etc/serf", "/var/lib/serf", "/var/lib/private/serf"] {
        assert!(!root.path(gone).exists(), "{gone}");
    }
}
