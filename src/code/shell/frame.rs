//! What the reader of shell code can be inside of, and where in a command it is.

use super::super::embed::Unsafe;

/// What the reader is inside of.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Frame {
    /// Commands, at the top or between parentheses.
    Code(Code),
    /// `"..."`
    Double,
    /// `'...'`
    Single,
    /// `$'...'`
    DollarSingle,
    /// Between backticks.
    Backticks,
    /// `$(( ))`, `(( ))` and `$[ ]`: the opening bracket, and how many of them are open.
    Arithmetic(char, u32),
    /// `${...}`: how far it is, and whether what surrounds it is quoted.
    Parameter(Stage, bool),
    /// From `#` to the end of the line.
    Comment,
    /// The word after `<<`.
    Delimiter(Delimiter),
    /// The lines of a here-document, and the line at hand.
    Document(Document, String),
}

/// How far a `${...}` is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Stage {
    /// Before the first character of the name.
    Start,
    /// In the name.
    Name,
    /// Between the brackets of `${a[1]}`.
    Subscript,
    /// After the `:`.
    Colon,
    /// The word of `:-` and its like.
    Word,
    /// The word of `#`, `%` and their like, where characters have a meaning as patterns.
    Pattern,
    /// Numbers, as in `${x:1:2}`.
    Offset,
}

impl Stage {
    /// Where it is after `next`.
    pub(super) fn after(self, next: char) -> Self {
        match (self, next) {
            (Self::Start, _) | (Self::Subscript, ']') => Self::Name,
            (Self::Name, '[') => Self::Subscript,
            (Self::Name, ':') => Self::Colon,
            (Self::Name | Self::Colon, '-' | '=' | '?' | '+') => Self::Word,
            (Self::Name, '#' | '%' | '/' | '^' | ',' | '@') => Self::Pattern,
            (Self::Colon, _) => Self::Offset,
            (Self::Name | Self::Subscript | Self::Word | Self::Pattern | Self::Offset, _) => self,
        }
    }

    /// Why no value can stand there, if none can.
    pub(super) fn refuses(self) -> Result<(), Unsafe> {
        match self {
            Self::Start | Self::Name => Err(Unsafe::ParameterName),
            Self::Subscript => Err(Unsafe::Subscript),
            Self::Colon | Self::Offset => Err(Unsafe::Arithmetic),
            Self::Word | Self::Pattern => Ok(()),
        }
    }
}

/// A here-document.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Document {
    /// The line that ends it.
    pub(super) end: String,
    /// Whether tabs at the start of lines are removed.
    pub(super) tabs: bool,
    /// Whether nothing in it is replaced.
    pub(super) quoted: bool,
}

/// The word after `<<`.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Delimiter {
    /// What it starts.
    pub(super) document: Document,
    /// Whether the blanks before it are over.
    started: bool,
    /// The quote that is open in it.
    quote: Option<char>,
    /// Whether a backslash stands before.
    escaped: bool,
}

impl Delimiter {
    /// The word after `<<`, or after `<<-`.
    pub(super) fn new(tabs: bool) -> Self {
        Self { document: Document { tabs, ..Document::default() }, ..Self::default() }
    }

    /// Takes the next character; `false` where the word is over.
    pub(super) fn takes(&mut self, next: char) -> bool {
        match (self.quote, next) {
            _ if std::mem::take(&mut self.escaped) => self.document.end.push(next),
            (Some(quote), _) if quote == next => self.quote = None,
            (None, ' ' | '\t') if !self.started => return true,
            (None, ' ' | '\t' | '\n' | ';' | '&' | '|' | '<' | '>' | '(' | ')') => return false,
            (None, '\\') => {
                self.document.quoted = true;
                self.escaped = true;
            }
            (None, '\'' | '"') => {
                self.document.quoted = true;
                self.quote = Some(next);
            }
            (Some(_) | None, _) => self.document.end.push(next),
        }
        self.started = true;
        true
    }
}

/// Where in a command the reader is.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Code {
    /// The word at hand, with [`QUOTED`] for what is no plain character.
    pub(super) word: String,
    /// The word before it.
    before: String,
    /// The first word of this command, assignments aside.
    name: String,
    /// Whether this command declares integers.
    integers: bool,
    /// Whether a command may start here.
    command: bool,
    /// Whether these are the elements of `name=( )`.
    list: bool,
    /// Whether this is within `[[ ]]`.
    pub(super) test: bool,
    /// The `case`s that are open.
    cases: Vec<Case>,
    /// The last hole in the word at hand, and in the word before it.
    holes: (Option<usize>, Option<usize>),
}

/// How far a `case` is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Case {
    Subject,
    Pattern,
    Body,
}

/// Stands in a word for what is quoted or replaced, so that it is taken for no keyword.
pub(super) const QUOTED: char = '\0';

/// In `[[ ]]` what stands beside these is arithmetic.
const NUMBERS: [&str; 6] = ["-eq", "-ne", "-lt", "-le", "-gt", "-ge"];

/// After these words a command starts.
const OPENERS: [&str; 11] = ["then", "do", "else", "elif", "if", "while", "until", "!", "{", "time", "}"];

impl Code {
    /// Commands, from their start.
    pub(super) fn commands() -> Self {
        Self { command: true, ..Self::default() }
    }

    /// What stands after a `(` that follows the word at hand.
    pub(super) fn group(&self) -> Self {
        let list = self.word.ends_with('=');
        Self { command: !list, list, ..Self::default() }
    }

    /// Whether `((` would be arithmetic here.
    pub(super) fn starts(&self) -> bool {
        self.word.is_empty() && (self.command || self.before == "for")
    }

    /// Whether a `(` or `)` here belongs to the patterns of a `case`.
    pub(super) fn in_pattern(&self) -> bool {
        self.cases.last() == Some(&Case::Pattern)
    }

    /// The pattern of a `case` is over.
    pub(super) fn end_pattern(&mut self) {
        if let Some(case) = self.cases.last_mut() {
            *case = Case::Body;
        }
        self.command = true;
    }

    /// `;;`: the next pattern of a `case` follows.
    pub(super) fn next_pattern(&mut self) {
        self.end_command();
        if let Some(case) = self.cases.last_mut() {
            *case = Case::Pattern;
            self.command = false;
        }
    }

    /// The command is over. Tells of a hole in its last word what [`Code::end_word`] does.
    pub(super) fn end_command(&mut self) -> Option<usize> {
        let regretted = self.end_word();
        self.before.clear();
        self.name.clear();
        self.integers = false;
        self.command = !self.list && !self.in_pattern();
        regretted
    }

    /// The empty parentheses of a function's head were read.
    pub(super) fn function(&mut self) {
        self.word.clear();
        self.command = true;
    }

    /// Whether nothing was read yet.
    pub(super) fn is_empty(&self) -> bool {
        self.word.is_empty() && self.before.is_empty()
    }

    /// The word is over. Tells the hole in the word before it, where this one shows that to be arithmetic.
    pub(super) fn end_word(&mut self) -> Option<usize> {
        if self.word.is_empty() {
            return None;
        }
        let word = std::mem::take(&mut self.word);
        let first = std::mem::take(&mut self.command);
        let regretted = self.holes.1.filter(|_| self.test && NUMBERS.contains(&word.as_str()));
        match (self.cases.last_mut(), word.as_str()) {
            (Some(case @ Case::Subject), "in") if self.before != "case" => *case = Case::Pattern,
            (Some(Case::Pattern), "esac") => drop(self.cases.pop()),
            (Some(Case::Body), "esac") if first => drop(self.cases.pop()),
            (_, "case") if first => self.cases.push(Case::Subject),
            (_, "[[") if first => self.test = true,
            (_, "]]") => self.test = false,
            (_, opener) if first && OPENERS.contains(&opener) => self.command = true,
            _ if first && word.contains('=') => self.command = true,
            _ if first => self.name.clone_from(&word),
            _ => self.integers |= word.starts_with('-') && word.contains('i') && self.declares(),
        }
        self.before = word;
        self.holes = (None, self.holes.0);
        regretted
    }

    /// Notes a hole in the word at hand, and why it has no safe form there, if it has none.
    pub(super) fn hole(&mut self, number: usize) -> Result<(), Unsafe> {
        let built_in = self.built_in();
        let compared = self.test && NUMBERS.contains(&self.before.as_str());
        let tested = self.test && self.before == "-v";
        let (name, subscript) = self.word.split_once('[').unwrap_or(("-", ""));
        let named = name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') && (self.list || !name.is_empty());
        let element = named && !subscript.contains(']');
        self.word.push(QUOTED);
        self.holes.0 = Some(number);
        match () {
            () if compared => Err(Unsafe::Compared),
            () if tested || element => Err(Unsafe::Subscript),
            () => built_in,
        }
    }

    /// What the commands of the shell itself make of the word at hand, where it is more than text to them.
    fn built_in(&self) -> Result<(), Unsafe> {
        let option = self.before.starts_with('-');
        match self.name.as_str() {
            "let" => Err(Unsafe::Arithmetic),
            "[" | "test" if self.before == "-v" => Err(Unsafe::Subscript),
            "printf" if self.before == "-v" => Err(Unsafe::ParameterName),
            "read" | "mapfile" | "readarray" if !option => Err(Unsafe::ParameterName),
            "unset" => Err(Unsafe::ParameterName),
            _ if self.declares() && !self.word.contains('=') => Err(Unsafe::ParameterName),
            _ if self.integers => Err(Unsafe::Arithmetic),
            _ => Ok(()),
        }
    }

    fn declares(&self) -> bool {
        matches!(self.name.as_str(), "declare" | "export" | "local" | "readonly" | "typeset")
    }
}
