//! The .rpm, as rpm reads it.

use std::collections::{BTreeMap, BTreeSet};

use crate::unpacked::{ask, built, names, unpacked_deb};

/// The rpm's files: mode, and what kind of file it is to rpm (`c`onfiguration, `n`ot replaced, `d`ocumentation).
fn files() -> BTreeMap<String, (String, String)> {
    let rpm = built("serf-agent-", ".rpm").into_os_string().into_string().expect("it is text");
    let show = "[%{FILENAMES}|%{FILEMODES:octal}|%{FILEFLAGS:fflags}\\n]";
    let shown = ask("rpm", ["-qp", "--qf", show, &rpm]);
    let row = |line: &str| {
        let [path, mode, flags] = line.split('|').collect::<Vec<_>>()[..] else { panic!("{line}") };
        (path.to_owned(), (mode.to_owned(), flags.to_owned()))
    };
    shown.lines().map(row).collect()
}

#[test]
fn it_holds_what_a_service_needs() {
    let files = files();
    for (path, mode, flags) in [
        ("/usr/bin/serf", "100755", ""),
        ("/etc/serf/agent.json", "100644", "cn"),
        ("/usr/lib/systemd/system/serf.service", "100644", ""),
        ("/usr/share/bash-completion/completions/serf", "100644", ""),
        ("/usr/share/zsh/site-functions/_serf", "100644", ""),
        ("/usr/share/fish/vendor_completions.d/serf.fish", "100644", ""),
        ("/usr/share/licenses/serf-agent/LICENSE-MIT", "100644", ""),
    ] {
        let expected = (mode.to_owned(), flags.to_owned());
        assert_eq!(files.get(path), Some(&expected), "{path} of {files:?}");
    }
}

#[test]
fn it_has_the_man_pages_that_the_deb_has() {
    let (_scratch, root) = unpacked_deb();
    let deb = names(&root.join("usr/share/man/man1"));
    let of_rpm = |path: String| path.strip_prefix("/usr/share/man/man1/").map(str::to_owned);
    assert_eq!(files().into_keys().filter_map(of_rpm).collect::<BTreeSet<_>>(), deb);
}

#[test]
fn it_is_whole_and_names_the_libraries_that_it_needs() {
    let rpm = built("serf-agent-", ".rpm").into_os_string().into_string().expect("it is text");
    ask("rpm", ["-K", "--nosignature", &rpm]);
    let needed = ask("rpm", ["-qp", "--requires", &rpm]);
    assert!(needed.lines().any(|line| line.starts_with("libc.so.6")), "{needed}");
    assert_eq!(ask("rpm", ["-qp", "--conflicts", &rpm]), "serf\n");
}
