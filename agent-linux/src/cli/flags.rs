//! Go's flags, in front of clap.
//!
//! Serf's users write `-name=x`, `-name x`, `--name=x` or `--name x`, and booleans as `-name` or `-name=false`; the first
//! argument that is no flag ends the flags, and so does `--`. [`go_flags`] turns that into what clap understands; clap
//! knows which flags there are and of what type, and [`usage`] renders the help from the same definition.

use std::any::TypeId;
use std::ffi::{OsStr, OsString};
use std::num::{IntErrorKind, ParseIntError};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::process::ExitCode;

use clap::error::{ContextKind, ErrorKind};
use clap::{Arg, ArgAction, Command, Parser};

use super::ui;

/// Parses the arguments of one command. `T` is a clap parser in which
/// - every flag is `long`, and takes a value: booleans need `action = ArgAction::Set` and a default; a value that may be left
///   out needs `num_args = 0..=1`, `require_equals` and a `default_missing_value`;
/// - positionals are one trailing `Vec<OsString>`, checked by the command itself;
/// - `override_usage` is the line behind `Usage: `, and doc comments are the help.
///
/// # Errors
/// The exit code, once help or the reason is printed: as Serf does, help that was asked for goes to standard error
/// (code 0), while for bad flags the reason goes there and the help to standard output (code 1).
pub(crate) fn parse<T: Parser>(args: Vec<OsString>) -> Result<T, ExitCode> {
    parse_saying(args, |usage| {
        ui::say(usage);
    })
}

/// As [`parse`], with `say` to print the help for bad flags.
///
/// # Errors
/// As [`parse`].
pub(crate) fn parse_saying<T: Parser>(args: Vec<OsString>, say: impl Fn(String)) -> Result<T, ExitCode> {
    let command = T::command();
    if super::options(&args).any(is_help) {
        ui::complain(&usage(&command));
        return Err(ExitCode::SUCCESS);
    }
    read(args).map_err(|why| {
        ui::complain(&why);
        say(usage(&command));
        ExitCode::FAILURE
    })
}

/// Parses the arguments of one command, silently.
///
/// # Errors
/// Go's message about the first flag that is wrong.
pub(crate) fn read<T: Parser>(args: Vec<OsString>) -> Result<T, String> {
    let command = T::command().no_binary_name(true).args_override_self(true);
    let args = go_flags(&command, args)?;
    let mut matches = command.try_get_matches_from(args).map_err(|error| reason(&error))?;
    T::from_arg_matches_mut(&mut matches).map_err(|error| reason(&error))
}

/// Tells that the positionals are wrong, with the help; the exit code for it.
pub(crate) fn misused<T: Parser>(why: &str) -> ExitCode {
    ui::say(format!("{why}\n\n{}", usage(&T::command())));
    ExitCode::FAILURE
}

/// Whether the argument asks for help.
pub(crate) fn is_help(arg: &OsString) -> bool {
    arg == "-h" || arg == "-help" || arg == "--help"
}

/// Rewrites Go's flags for `command` to `--name=value`, puts `--` behind them and then what is left.
///
/// # Errors
/// Go's message about the first flag that is wrong.
pub(crate) fn go_flags(command: &Command, args: Vec<OsString>) -> Result<Vec<OsString>, String> {
    let mut rewritten = Vec::new();
    let mut args = args.into_iter().peekable();
    while let Some(arg) = args.next_if(|arg| arg.len() > 1 && arg.as_bytes()[0] == b'-') {
        if arg == "--" {
            break;
        }
        let text = arg.as_bytes();
        let flag = text.strip_prefix(b"--").unwrap_or(&text[1..]);
        let (name, value) = match flag.iter().position(|&byte| byte == b'=') {
            Some(at) => (&flag[..at], Some(OsStr::from_bytes(&flag[at + 1..]).to_owned())),
            None => (flag, None),
        };
        if name.is_empty() || name[0] == b'-' {
            return Err(format!("bad flag syntax: {}", arg.display()));
        }
        let name = OsStr::from_bytes(name);
        let Some(definition) = command.get_arguments().find(|known| names(known).any(|known| name == known))
        else {
            return Err(format!("flag provided but not defined: -{}", name.display()));
        };
        let value = match value {
            Some(value) if is_bool(definition) => match parse_bool(&value) {
                Some(value) => value.to_string().into(),
                None => {
                    return Err(format!(
                        "invalid boolean value {value:?} for -{}: parse error",
                        name.display()
                    ));
                }
            },
            Some(value) => value,
            None if is_bool(definition) => "true".into(),
            None if may_be_bare(definition) => {
                rewritten.push(OsString::from_vec([b"--", name.as_bytes()].concat()));
                continue;
            }
            None => args.next().ok_or_else(|| format!("flag needs an argument: -{}", name.display()))?,
        };
        rewritten.push(OsString::from_vec([b"--", name.as_bytes(), b"=", value.as_bytes()].concat()));
    }
    rewritten.push("--".into());
    rewritten.extend(args);
    Ok(rewritten)
}

/// Whether a flag has a value of its own if none is given behind a `=`.
fn may_be_bare(definition: &Arg) -> bool {
    definition.get_num_args().is_some_and(|values| values.min_values() == 0)
}

/// The help in Serf's form, without a line end.
pub(crate) fn usage(command: &Command) -> String {
    let mut text = String::new();
    if let Some(usage) = command.get_overridden_usage() {
        text += &format!("Usage: {usage}\n");
    }
    for paragraph in description(command) {
        text += &format!("\n  {}\n", wrapped(&paragraph, 2));
    }
    let flags: Vec<&Arg> = command.get_arguments().filter(|arg| arg.get_long().is_some()).collect();
    if !flags.is_empty() {
        text += "\nOptions:\n\n";
    }
    for flag in flags {
        let label = label(flag);
        text += &format!("  {label:<25} {}\n", wrapped(&help(flag), 28));
    }
    if let Some(after) = command.get_after_help() {
        text += &format!("\n{after}");
    }
    text.truncate(text.trim_end().len());
    text
}

/// A flag as its user writes it: `-name=VALUE`, perhaps with other names.
pub fn label(flag: &Arg) -> String {
    let labels = names(flag).map(|name| match flag.get_value_names() {
        Some([value, ..]) if !is_bool(flag) => format!("-{name}={value}"),
        // One that is on by itself is named to be switched off.
        _ if flag.get_default_values() == ["true"] => format!("-{name}=true/false"),
        _ => format!("-{name}"),
    });
    labels.collect::<Vec<_>>().join(", ")
}

/// The definition of one command as man pages and completions have it.
pub(super) fn documented(flags: Command, name: &'static str, about: &'static str) -> Command {
    let text = description(&flags).join("\n\n");
    let flags = flags.name(name).about(about).long_about(text).disable_help_flag(true);
    flags.mut_args(|flag| {
        let flag = if is_bool(&flag) { flag.action(ArgAction::SetTrue) } else { flag };
        if flag.get_help().is_none() {
            return flag;
        }
        let help = help(&flag);
        flag.help(help)
    })
}

/// What a command does, in paragraphs.
fn description(command: &Command) -> Vec<String> {
    let about = command.get_long_about().or(command.get_about()).map(ToString::to_string).unwrap_or_default();
    about.split("\n\n").map(sentence).collect()
}

fn help(flag: &Arg) -> String {
    sentence(&flag.get_help().map(ToString::to_string).unwrap_or_default())
}

/// clap takes the full stop off the end of a doc comment.
fn sentence(text: &str) -> String {
    format!("{}.", text.trim_end_matches('.'))
}

/// Breaks lines at 80 columns and indents all but the first.
fn wrapped(text: &str, indent: usize) -> String {
    let mut lines = String::new();
    let mut column = indent;
    for word in text.split_whitespace() {
        if column > indent && column + 1 + word.len() > 80 {
            lines += &format!("\n{:indent$}", "");
            column = indent;
        } else if column > indent {
            lines.push(' ');
            column += 1;
        }
        lines += word;
        column += word.len();
    }
    lines
}

/// What a flag is called: by its name, and by others.
fn names(flag: &Arg) -> impl Iterator<Item = &str> {
    flag.get_long().into_iter().chain(flag.get_visible_aliases().unwrap_or_default())
}

fn is_bool(arg: &Arg) -> bool {
    arg.get_value_parser().type_id() == TypeId::of::<bool>()
}

fn parse_bool(value: &OsStr) -> Option<bool> {
    match value.as_bytes() {
        b"1" | b"t" | b"T" | b"true" | b"TRUE" | b"True" => Some(true),
        b"0" | b"f" | b"F" | b"false" | b"FALSE" | b"False" => Some(false),
        _ => None,
    }
}

/// What clap found wrong with a value, in Go's words.
fn reason(error: &clap::Error) -> String {
    let context = |kind| error.get(kind).map(ToString::to_string).unwrap_or_default();
    let flag = context(ContextKind::InvalidArg);
    let flag = flag.split_whitespace().next().unwrap_or_default().trim_start_matches('-');
    let flag = flag.split(['=', '[']).next().unwrap_or_default();
    match error.kind() {
        ErrorKind::ValueValidation | ErrorKind::InvalidValue => {
            let source = std::error::Error::source(error);
            let why = match source.map(|source| (source, source.downcast_ref().map(ParseIntError::kind))) {
                Some((_, Some(IntErrorKind::PosOverflow))) => "value out of range".to_owned(),
                Some((_, Some(_))) => "parse error".to_owned(),
                Some((source, None)) => source.to_string(),
                None => "it must not be empty".to_owned(),
            };
            format!("invalid value {:?} for flag -{flag}: {why}", context(ContextKind::InvalidValue))
        }
        ErrorKind::InvalidUtf8 => "invalid value: not UTF-8".to_owned(),
        _ => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[derive(Parser, Debug)]
    #[command(override_usage = "serf test [options] rest")]
    /// Does nothing
    struct Flags {
        /// A switch
        #[arg(long, action = clap::ArgAction::Set, default_value_t = false)]
        switch: bool,
        /// A text
        #[arg(long, default_value = "default")]
        text: String,
        /// A number
        #[arg(long, value_name = "N", default_value_t = 0)]
        number: u8,
        /// Many texts
        #[arg(long)]
        many: Vec<String>,
        #[arg(hide = true)]
        rest: Vec<OsString>,
    }

    fn parsed(args: &[&str]) -> Result<String, String> {
        let Flags { switch, text, number, many, rest } = read(args.iter().map(Into::into).collect())?;
        Ok(format!("{switch} {text} {number} {many:?} {rest:?}"))
    }

    #[test]
    fn flags_mean_what_they_mean_to_go() {
        for (args, expected) in [
            (&[][..], r#"false default 0 [] []"#),
            (&["-switch", "-text=a"], r#"true a 0 [] []"#),
            (&["--switch", "--text", "a"], r#"true a 0 [] []"#),
            (&["-switch=1", "--text=a=b"], r#"true a=b 0 [] []"#),
            (&["-switch=F", "-text="], r#"false  0 [] []"#),
            (&["-switch", "-switch=false", "-text=a", "-text=b"], r#"false b 0 [] []"#),
            (&["-switch", "false"], r#"true default 0 [] ["false"]"#),
            (&["-text", "-switch"], r#"false -switch 0 [] []"#),
            (&["-many=a,b", "-many", "c"], r#"false default 0 ["a,b", "c"] []"#),
            (&["-number", "255", "x", "-switch"], r#"false default 255 [] ["x", "-switch"]"#),
            (&["--", "-switch"], r#"false default 0 [] ["-switch"]"#),
            (&["-", "-switch"], r#"false default 0 [] ["-", "-switch"]"#),
            (&["", "--", "y"], r#"false default 0 [] ["", "--", "y"]"#),
        ] {
            assert_eq!(parsed(args).as_deref(), Ok(expected), "{args:?}");
        }
    }

    #[test]
    fn bad_flags_are_named_as_go_names_them() {
        for (args, expected) in [
            (&["-bogus"][..], "flag provided but not defined: -bogus"),
            (&["--bogus=1"], "flag provided but not defined: -bogus"),
            (&["-rest=1"], "flag provided but not defined: -rest"),
            (&["-text"], "flag needs an argument: -text"),
            (&["---text"], "bad flag syntax: ---text"),
            (&["-=a"], "bad flag syntax: -=a"),
            (&["-switch=maybe"], "invalid boolean value \"maybe\" for -switch: parse error"),
            (&["-switch="], "invalid boolean value \"\" for -switch: parse error"),
        ] {
            assert_eq!(parsed(args), Err(expected.to_owned()), "{args:?}");
        }
        assert!(
            parsed(&["-number=256"]).unwrap_err().starts_with("invalid value \"256\" for flag -number: ")
        );
    }

    #[test]
    fn names_and_values_may_be_any_bytes() {
        let args = vec![OsString::from_vec(b"-text=\xff".to_vec()), OsString::from_vec(b"\xfe".to_vec())];
        let rewritten = go_flags(&Flags::command(), args).unwrap();
        assert_eq!(
            rewritten.iter().map(|arg| arg.as_bytes()).collect::<Vec<_>>(),
            [b"--text=\xff", &b"--"[..], b"\xfe"]
        );
    }

    #[test]
    fn usage_has_the_shape_of_serfs() {
        assert_eq!(
            usage(&Flags::command()),
            "Usage: serf test [options] rest\n\n  Does nothing.\n\nOptions:\n\n  \
             -switch                   A switch.\n  -text=TEXT                A text.\n  \
             -number=N                 A number.\n  -many=MANY                Many texts."
        );
    }
}
