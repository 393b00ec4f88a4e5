//! Drawing: lines that stand still at the bottom of a terminal while other lines scroll by above them.

/// How many lines of the terminal are ours at the moment.
#[derive(Clone, Copy, Debug, Default)]
pub struct Screen {
    drawn: usize,
}

impl Screen {
    /// Appends to `out` what makes a terminal show `above` (whole lines, which scroll by) and below it `lines`, in the
    /// place of those that were drawn before. The terminal shows all of it at once where it can.
    pub fn draw(&mut self, above: &[u8], lines: &[String], out: &mut Vec<u8>) {
        out.extend_from_slice(b"\x1b[?2026h");
        self.up(out);
        if !above.is_empty() {
            out.extend_from_slice(b"\x1b[J");
            out.extend_from_slice(above);
        }
        for line in lines {
            out.extend_from_slice(line.as_bytes());
            out.extend_from_slice(b"\x1b[K\n");
        }
        out.extend_from_slice(b"\x1b[J\x1b[?2026l");
        self.drawn = lines.len();
    }

    /// Appends what takes our lines away and leaves the cursor where they began.
    pub fn erase(&mut self, out: &mut Vec<u8>) {
        self.up(out);
        out.extend_from_slice(b"\x1b[J");
        self.drawn = 0;
    }

    fn up(self, out: &mut Vec<u8>) {
        if self.drawn > 0 {
            out.extend_from_slice(format!("\x1b[{}A\r", self.drawn).as_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drawn(screen: &mut Screen, above: &str, lines: &[&str]) -> String {
        let mut out = Vec::new();
        let lines: Vec<String> = lines.iter().map(|&line| line.to_owned()).collect();
        screen.draw(above.as_bytes(), &lines, &mut out);
        String::from_utf8(out).unwrap().replace('\x1b', "^")
    }

    #[test]
    fn lines_are_drawn_over_those_before() {
        let mut screen = Screen::default();
        assert_eq!(drawn(&mut screen, "", &["a", "b"]), "^[?2026ha^[K\nb^[K\n^[J^[?2026l");
        assert_eq!(drawn(&mut screen, "", &["c"]), "^[?2026h^[2A\rc^[K\n^[J^[?2026l");
        assert_eq!(drawn(&mut screen, "log\n", &["d"]), "^[?2026h^[1A\r^[Jlog\nd^[K\n^[J^[?2026l");
        let mut out = Vec::new();
        screen.erase(&mut out);
        assert_eq!(out, b"\x1b[1A\r\x1b[J");
        assert_eq!(drawn(&mut screen, "", &[]), "^[?2026h^[J^[?2026l");
    }
}
