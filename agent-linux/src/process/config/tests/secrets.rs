//! Tokens, files with secrets, and where an agent may listen without one.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use super::*;
use crate::rpc::address::Place;

fn folder(name: &str) -> PathBuf {
    let folder = std::env::temp_dir().join(format!("serf-{name}-{}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    folder
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

/// What loading this says, and what comes of it.
fn warned(source: Source) -> (Vec<String>, Result<Config, String>) {
    let mut warnings = Vec::new();
    let loaded = Config::load(source, |warning| warnings.push(warning.to_owned()));
    (warnings, loaded)
}

#[test]
fn a_token_is_given_or_in_a_file_not_both() {
    let folder = folder("config-token");
    let file = folder.join("token");
    fs::write(&file, "secret\n").unwrap();
    set_mode(&file, 0o600);
    let source = flags(|flags| flags.rpc_auth_file = file.display().to_string());
    let config = load(source.clone()).unwrap();
    assert_eq!(config.rpc_auth, Secret("secret".into()));
    let shown = Config::shown(source.clone(), |_| ()).unwrap();
    assert!(shown.contains("\"rpc_auth_file\": \"/") && !shown.contains("secret"), "{shown}");
    assert!(!format!("{config:?}").contains("secret"));
    for mode in [0o640, 0o604, 0o620] {
        set_mode(&file, mode);
        let (warnings, loaded) = warned(source.clone());
        let shown = file.display();
        assert_eq!(
            warnings,
            [format!(
                "Warning: RPC token file {shown} is open to others (mode {mode:04o}): chmod 600 {shown}"
            )]
        );
        assert!(loaded.is_ok());
    }
    let both = refused(|flags| {
        (flags.rpc_auth, flags.rpc_auth_file) = (Secret("a".into()), file.display().to_string());
    });
    assert_eq!(both, "rpc_auth and rpc_auth_file (-rpc-auth-file) both give a token: take one out");
    fs::write(&file, "\n").unwrap();
    assert!(warned(source).1.unwrap_err().contains("is empty; write a token into it"));
    fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn a_file_of_settings_with_secrets_is_for_nobody_else() {
    let folder = folder("config-secret");
    let file = folder.join("serf.json");
    let source = Source { files: vec![folder.clone()], flags: Settings::default() };
    let key = keys::encode(&Key::new([7; 32]));
    for (text, mode, warns) in [
        (r#"{"rpc_auth":"secret"}"#.to_owned(), 0o644, true),
        (format!(r#"{{"encrypt_key":"{key}"}}"#), 0o640, true),
        (r#"{"rpc_auth":"secret"}"#.to_owned(), 0o600, false),
        (r#"{"keyring_file":"/none","rpc_auth":""}"#.to_owned(), 0o644, false),
    ] {
        fs::write(&file, &text).unwrap();
        set_mode(&file, mode);
        let (warnings, loaded) = warned(source.clone());
        let shown = file.display();
        let warning = format!(
            "Warning: configuration file {shown} is open to others (mode {mode:04o}): chmod 600 {shown}"
        );
        assert_eq!(warnings, if warns { vec![warning] } else { vec![] }, "{text}");
        assert!(loaded.is_ok());
    }
    fs::remove_dir_all(&folder).unwrap();
}

#[tokio::test]
async fn without_a_token_an_agent_answers_this_machine_only_unless_told_so() {
    let place = async |change: fn(&mut Settings)| load(flags(change)).unwrap().rpc_place().await;
    let refused = place(|flags| flags.rpc_addr = "0.0.0.0:7373".into()).await.unwrap_err();
    for remedy in ["-rpc-auth-file=PATH", "127.0.0.1", "unix:/", "-rpc-allow-unauthenticated"] {
        assert!(refused.contains(remedy), "{refused}");
    }
    assert!(place(|flags| flags.rpc_addr = ":7373".into()).await.is_err());
    let with_token = |flags: &mut Settings| {
        (flags.rpc_addr, flags.rpc_auth) = ("0.0.0.0:7373".into(), Secret("secret".into()));
    };
    let allowed = |flags: &mut Settings| {
        (flags.rpc_addr, flags.rpc_allow_unauthenticated) = ("[::]:7373".into(), true);
    };
    assert!(place(with_token).await.is_ok() && place(allowed).await.is_ok());
    for text in ["", "127.0.0.1:7373", "localhost:7373", "[::1]:7373", "unix:/run/serf/rpc.sock"] {
        let config = load(flags(|flags| flags.rpc_addr = text.into())).unwrap();
        assert!(config.rpc_place().await.is_ok(), "{text}");
    }
    // As at a reload that takes the token away.
    let open = Place::Tcp("0.0.0.0:7373".parse().unwrap());
    assert!(load(Source::default()).unwrap().guard_rpc(&open).is_err());
    let unknown = place(|flags| flags.rpc_addr = "127.0.0.1".into()).await.unwrap_err();
    assert_eq!(
        unknown,
        "Error starting RPC listener: listen tcp: address 127.0.0.1: missing port in address"
    );
}
