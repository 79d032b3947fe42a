//! The little SVG that the pictures need.

use std::fmt::Write as _;

/// Colours of light, and of dark where the reader wants it.
const STYLE: &str = "\
text{font-family:system-ui,-apple-system,'Segoe UI',Roboto,'DejaVu Sans',sans-serif;fill:#1f2933}\
.page{fill:#ffffff}\
.title{font-size:15px;font-weight:600}\
.main{font-size:13px}\
.small{font-size:11px;fill:#5b6773}\
.split{fill:#eef2f7;stroke:#8795a7}\
.more{fill:#ffffff;stroke:#8795a7;stroke-dasharray:4 3}\
.up{fill:#dbeafe;stroke:#3b82c4}\
.down{fill:#fdebd8;stroke:#d08a3c}\
.edge{fill:none;stroke:#a3aebb;stroke-width:1.2}\
.default{stroke:#5b6773;stroke-width:2.4}\
.grid{stroke:#e3e8ee}\
.bar{fill:#3b82c4}\
@media (prefers-color-scheme:dark){\
text{fill:#e6ebf1}\
.page{fill:#15191f}\
.small{fill:#9aa7b5}\
.split{fill:#232a34;stroke:#6b7a8d}\
.more{fill:#15191f;stroke:#6b7a8d}\
.up{fill:#16324d;stroke:#5aa2e0}\
.down{fill:#47300f;stroke:#e0a050}\
.edge{stroke:#566374}\
.default{stroke:#a9b5c2}\
.grid{stroke:#2b333e}\
.bar{fill:#5aa2e0}\
}";

/// Where a text is anchored.
#[derive(Clone, Copy)]
pub(super) enum Anchor {
    /// At its start.
    Start,
    /// At its middle.
    Middle,
    /// At its end.
    End,
}

/// A picture being drawn.
pub(super) struct Picture {
    width: f64,
    height: f64,
    title: String,
    body: String,
}

impl Picture {
    /// An empty page of so many pixels.
    pub(super) fn new(title: &str, width: f64, height: f64) -> Self {
        Self {
            width,
            height,
            title: escape(title),
            body: String::new(),
        }
    }

    /// The whole document.
    pub(super) fn finish(self) -> String {
        let (width, height) = (self.width.ceil(), self.height.ceil());
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" \
             viewBox=\"0 0 {width} {height}\" role=\"img\">\n<title>{}</title>\n\
             <style>{STYLE}</style>\n\
             <rect class=\"page\" width=\"{width}\" height=\"{height}\"/>\n{}</svg>\n",
            self.title, self.body
        )
    }

    /// A line of text on the baseline `y`.
    pub(super) fn text(&mut self, class: &str, (x, y): (f64, f64), anchor: Anchor, text: &str) {
        let anchor = match anchor {
            Anchor::Start => "start",
            Anchor::Middle => "middle",
            Anchor::End => "end",
        };
        let text = escape(text);
        self.line(format_args!(
            "<text class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\">{text}</text>"
        ));
    }

    /// A box with round corners.
    pub(super) fn rect(&mut self, class: &str, (x, y): (f64, f64), size: (f64, f64), round: f64) {
        let (width, height) = size;
        self.line(format_args!(
            "<rect class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" \
             height=\"{height:.1}\" rx=\"{round:.1}\"/>"
        ));
    }

    /// A curve that leaves and arrives upright.
    pub(super) fn curve(&mut self, class: &str, from: (f64, f64), to: (f64, f64)) {
        let ((x, y), (to_x, to_y)) = (from, to);
        let middle = (y + to_y) / 2.0;
        self.line(format_args!(
            "<path class=\"{class}\" d=\"M{x:.1} {y:.1}C{x:.1} {middle:.1} {to_x:.1} {middle:.1} \
             {to_x:.1} {to_y:.1}\"/>"
        ));
    }

    /// An upright line.
    pub(super) fn upright(&mut self, class: &str, x: f64, from: f64, to: f64) {
        self.line(format_args!(
            "<line class=\"{class}\" x1=\"{x:.1}\" y1=\"{from:.1}\" x2=\"{x:.1}\" y2=\"{to:.1}\"/>"
        ));
    }

    /// Draws a group that says `title` when pointed at.
    pub(super) fn group(&mut self, title: &str, draw: impl FnOnce(&mut Self)) {
        let title = escape(title);
        self.line(format_args!("<g><title>{title}</title>"));
        draw(self);
        self.line(format_args!("</g>"));
    }

    fn line(&mut self, line: std::fmt::Arguments<'_>) {
        // Writing to a string fails never.
        let _ = writeln!(self.body, "{line}");
    }
}

/// Text as XML has it; characters XML has not are replaced.
pub(super) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            '\t' | '\n' => escaped.push(character),
            '\u{0}'..='\u{1f}' | '\u{7f}' | '\u{fffe}' | '\u{ffff}' => escaped.push('\u{fffd}'),
            _ => escaped.push(character),
        }
    }
    escaped
}

/// About how wide a text is at a font size of 1; fonts differ.
pub(super) fn width(text: &str) -> f64 {
    let of = |character: char| match character {
        'i' | 'j' | 'l' | '.' | ',' | '\'' | '|' | '!' | ':' | ';' | 'I' => 0.32,
        ' ' | 'f' | 't' | 'r' | '(' | ')' | '[' | ']' | '{' | '}' | '-' | '"' => 0.40,
        'm' | 'w' | 'M' | 'W' | '@' | '%' => 0.90,
        'A'..='Z' | '<' | '=' | '∈' => 0.70,
        '\u{2e80}'.. => 1.0,
        _ => 0.60,
    };
    text.chars().map(of).sum()
}

/// `text` cut to a width, with a sign that it was.
pub(super) fn cut(text: &str, most: f64) -> String {
    if width(text) <= most {
        return text.to_owned();
    }
    let mut cut = String::new();
    for character in text.chars() {
        cut.push(character);
        if width(&cut) + 0.8 > most {
            cut.pop();
            break;
        }
    }
    cut.push('…');
    cut
}
