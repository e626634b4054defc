//! JSON text by hand: the emulator chooses every byte, a serialiser would tidy them.

/// Writes JSON pieces one after the other.
#[derive(Debug)]
pub(crate) struct Writer {
    out: String,
    ascii: bool,
}

impl Writer {
    /// `ascii` escapes everything beyond it as `\uXXXX`, in surrogate pairs where needed.
    pub(crate) fn new(ascii: bool) -> Self {
        Self { out: String::with_capacity(2048), ascii }
    }

    /// Text that is JSON already.
    pub(crate) fn raw(&mut self, json: &str) -> &mut Self {
        self.out.push_str(json);
        self
    }

    /// A string, quoted and escaped.
    pub(crate) fn string(&mut self, text: &str) -> &mut Self {
        self.out.push('"');
        for char in text.chars() {
            match char {
                '"' => self.out.push_str("\\\""),
                '\\' => self.out.push_str("\\\\"),
                '\n' => self.out.push_str("\\n"),
                '\r' => self.out.push_str("\\r"),
                '\t' => self.out.push_str("\\t"),
                char if u32::from(char) < 0x20 || (self.ascii && !char.is_ascii()) => {
                    for unit in char.encode_utf16(&mut [0; 2]) {
                        self.out.push_str(&format!("\\u{unit:04x}"));
                    }
                }
                char => self.out.push(char),
            }
        }
        self.out.push('"');
        self
    }

    /// `"key":"value",`
    pub(crate) fn pair(&mut self, key: &str, value: &str) -> &mut Self {
        self.string(key).raw(":").string(value).raw(",")
    }

    /// `"key":json,`
    pub(crate) fn json(&mut self, key: &str, json: &str) -> &mut Self {
        self.string(key).raw(":").raw(json).raw(",")
    }

    /// Ends an object or array: `close` takes the place of a trailing comma.
    pub(crate) fn close(&mut self, close: &str) -> &mut Self {
        if self.out.ends_with(',') {
            self.out.pop();
        }
        self.raw(close)
    }

    /// What was written.
    pub(crate) fn finish(self) -> String {
        self.out
    }
}

/// The same JSON over several lines. Only white space between tokens is added: numbers and strings keep their text.
pub(crate) fn pretty(json: &str, indent: &str) -> String {
    let mut out = String::with_capacity(json.len() * 2);
    let (mut depth, mut in_string, mut escaped) = (0_usize, false, false);
    let line = |out: &mut String, depth: usize| {
        out.push('\n');
        (0..depth).for_each(|_| out.push_str(indent));
    };
    let mut chars = json.chars().peekable();
    while let Some(char) = chars.next() {
        if in_string {
            out.push(char);
            (in_string, escaped) = (escaped || char != '"', !escaped && char == '\\');
            continue;
        }
        match char {
            '{' | '[' => {
                out.push(char);
                if chars.next_if(|next| matches!(next, '}' | ']')).is_some() {
                    out.push(if char == '{' { '}' } else { ']' });
                } else {
                    depth += 1;
                    line(&mut out, depth);
                }
            }
            '}' | ']' => {
                depth = depth.saturating_sub(1);
                line(&mut out, depth);
                out.push(char);
            }
            ',' => {
                out.push(char);
                line(&mut out, depth);
            }
            ':' => out.push_str(": "),
            char => {
                in_string = char == '"';
                out.push(char);
            }
        }
    }
    out
}

/// The same JSON without the white space between tokens; numbers and strings keep their text.
pub(crate) fn compact(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    let (mut in_string, mut escaped) = (false, false);
    for char in json.chars() {
        if in_string {
            (in_string, escaped) = (escaped || char != '"', !escaped && char == '\\');
        } else if matches!(char, ' ' | '\n' | '\r' | '\t') {
            continue;
        } else {
            in_string = char == '"';
        }
        out.push(char);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::{Writer, compact, pretty};

    #[test]
    fn strings_are_escaped_so_that_a_parser_gives_them_back() {
        for text in ["", "}{", "a\"b\\", "\u{0}\u{1f}\n", "é}{ß中文", "😀", "\u{2028}"] {
            for ascii in [false, true] {
                let mut writer = Writer::new(ascii);
                writer.string(text);
                let json = writer.finish();
                assert_eq!(serde_json::from_str::<String>(&json).expect("a string"), text, "{json}");
                assert!(!ascii || json.is_ascii(), "{json}");
            }
        }
    }

    #[test]
    fn pretty_adds_white_space_and_nothing_else() {
        let json = r#"{"a":[1e-7,12345678901234567890,-0.0],"b":{"c":"}{\"\\","d":{},"e":[]},"f":" : , "}"#;
        let lines = pretty(json, "  ");
        assert!(lines.lines().count() > 10, "{lines}");
        let squeeze = |text: &str| text.chars().filter(|char| !char.is_whitespace()).collect::<String>();
        assert_eq!(squeeze(&lines), squeeze(json));
        assert!(lines.contains(r#""}{\"\\""#) && lines.contains("\" : , \""), "strings are as they were: {lines}");
        assert!(lines.contains("\"d\": {},"), "{lines}");
        assert_eq!(compact(&lines), json, "compact takes it away again");
    }
}
