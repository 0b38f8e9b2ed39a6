//! JSON byte for byte as Go's `json.MarshalIndent` writes it.

use std::io;

use serde::Serialize;
use serde_json::ser::{CharEscape, Formatter, PrettyFormatter};

/// The value, without a line's end.
pub fn encode<T: Serialize>(value: &T) -> String {
    let mut out = Vec::new();
    let mut serializer =
        serde_json::Serializer::with_formatter(&mut out, GoFormatter(PrettyFormatter::new()));
    value.serialize(&mut serializer).expect("plain structs and text maps are always encodable");
    String::from_utf8(out).expect("JSON is text")
}

/// Two spaces of indentation, and Go's choice of what to escape: also what HTML or JavaScript could misread.
struct GoFormatter(PrettyFormatter<'static>);

impl Formatter for GoFormatter {
    fn write_string_fragment<W: ?Sized + io::Write>(
        &mut self,
        writer: &mut W,
        fragment: &str,
    ) -> io::Result<()> {
        let mut rest = fragment;
        while let Some(at) = rest.find(['<', '>', '&', '\u{2028}', '\u{2029}', '\u{fffd}']) {
            writer.write_all(&rest.as_bytes()[..at])?;
            let letter = rest[at..].chars().next().unwrap_or_default();
            write!(writer, "\\u{:04x}", u32::from(letter))?;
            rest = &rest[at + letter.len_utf8()..];
        }
        writer.write_all(rest.as_bytes())
    }

    fn write_char_escape<W: ?Sized + io::Write>(
        &mut self,
        writer: &mut W,
        escape: CharEscape,
    ) -> io::Result<()> {
        match escape {
            CharEscape::Backspace => writer.write_all(b"\\u0008"),
            CharEscape::FormFeed => writer.write_all(b"\\u000c"),
            other => self.0.write_char_escape(writer, other),
        }
    }

    fn begin_array<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.begin_array(writer)
    }

    fn end_array<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.end_array(writer)
    }

    fn begin_array_value<W: ?Sized + io::Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        self.0.begin_array_value(writer, first)
    }

    fn end_array_value<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.end_array_value(writer)
    }

    fn begin_object<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.begin_object(writer)
    }

    fn end_object<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.end_object(writer)
    }

    fn begin_object_key<W: ?Sized + io::Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        self.0.begin_object_key(writer, first)
    }

    fn begin_object_value<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.begin_object_value(writer)
    }

    fn end_object_value<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.end_object_value(writer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    #[test]
    fn strings_are_escaped_as_go_escapes_them() {
        let text = "<a>&\"\\\n\r\t\u{8}\u{c}\u{1}\u{7f}\u{2028}é\u{fffd}";
        let expected =
            r#""\u003ca\u003e\u0026\"\\\n\r\t\u0008\u000c\u0001"#.to_owned() + "\u{7f}" + r#"\u2028é\ufffd""#;
        assert_eq!(encode(&text), expected);
    }

    #[test]
    fn indentation_is_gos() {
        let value = BTreeMap::from([("a", vec![]), ("b", vec![1, 2])]);
        assert_eq!(encode(&value), "{\n  \"a\": [],\n  \"b\": [\n    1,\n    2\n  ]\n}");
        assert_eq!(encode(&BTreeMap::from([("a", BTreeMap::<u8, u8>::new())])), "{\n  \"a\": {}\n}");
        assert_eq!(encode(&BTreeMap::from([("members", None::<u8>)])), "{\n  \"members\": null\n}");
    }
}
