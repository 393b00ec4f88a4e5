//! The catalogue: every code with its name, its severity and its page. A code is never reused.

use std::fmt;
use std::str::FromStr;

/// How much a diagnostic weighs.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Severity {
    /// `exec` refuses.
    Error,
    /// Probably a mistake; `check --deny warnings` fails.
    Warning,
}

impl Severity {
    /// The word in front of the code.
    pub fn name(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
        }
    }
}

macro_rules! catalogue {
    ($($variant:ident $code:literal $name:literal $severity:ident;)*) => {
        /// A kind of problem. Its page in `spec/codes/` says what, why, and how it looks right.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        pub enum Code {
            $(#[doc = concat!("`", $code, "` ", $name)] $variant,)*
        }

        impl Code {
            /// Every code, in order.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// The code as people write it: `MS201`.
            pub fn id(self) -> &'static str {
                match self { $(Self::$variant => $code,)* }
            }

            /// The name beside the code: `deadlock`.
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// How much it weighs unless a diagnostic softens it.
            pub fn severity(self) -> Severity {
                match self { $(Self::$variant => Severity::$severity,)* }
            }

            /// The page that `mstream explain` prints.
            pub fn page(self) -> &'static str {
                match self { $(Self::$variant => include_str!(concat!("../../spec/codes/", $code, ".md")),)* }
            }
        }
    };
}

catalogue! {
    UnexpectedToken "MS001" "unexpected-token" Error;
    UnclosedBlock "MS002" "unclosed-block" Error;
    UnclosedFence "MS003" "unclosed-fence" Error;
    UnknownKeyword "MS004" "unknown-keyword" Error;
    UnknownOption "MS005" "unknown-option" Error;
    MissingOption "MS006" "missing-option" Error;
    DuplicateOption "MS007" "duplicate-option" Error;
    WrongType "MS008" "wrong-type" Error;
    InvalidString "MS009" "invalid-string" Error;
    BodyOutdented "MS010" "body-outdented" Error;
    HiddenCharacters "MS011" "hidden-characters" Warning;
    ConflictMarker "MS012" "conflict-marker" Error;
    LimitExceeded "MS013" "limit-exceeded" Error;
    YamlSyntax "MS014" "yaml-syntax" Error;
    UnknownStream "MS101" "unknown-stream" Error;
    UnknownTask "MS102" "unknown-task" Error;
    DuplicateName "MS104" "duplicate-name" Error;
    UnusedStream "MS105" "unused-stream" Warning;
    UnusedTask "MS106" "unused-task" Warning;
    UnusedBarrier "MS107" "unused-barrier" Warning;
    UnknownValue "MS108" "unknown-value" Error;
    UnusedValue "MS109" "unused-value" Warning;
    ReservedName "MS110" "reserved-name" Error;
    ImportNotFound "MS111" "import-not-found" Error;
    ImportCycle "MS112" "import-cycle" Error;
    WrongArguments "MS113" "wrong-arguments" Error;
    UnknownKind "MS114" "unknown-kind" Error;
    UnknownAttribute "MS116" "unknown-attribute" Error;
    ValueBeforeProduced "MS117" "value-before-produced" Error;
    EmptySelection "MS118" "empty-selection" Error;
    ParameterClash "MS119" "parameter-clash" Error;
    LiteralHole "MS120" "literal-hole" Warning;
    Deadlock "MS201" "deadlock" Error;
    LonelyBarrier "MS202" "lonely-barrier" Warning;
    PartiesDiffer "MS203" "parties-differ" Error;
    UnequalRounds "MS205" "unequal-rounds" Error;
    ConditionalBarrier "MS206" "conditional-barrier" Error;
    AdjacentBarriers "MS209" "adjacent-barriers" Warning;
    LeakedProcess "MS212" "leaked-process" Warning;
    SleepAsSync "MS213" "sleep-as-sync" Warning;
    EmptyBlock "MS214" "empty-block" Warning;
    ConstantCondition "MS215" "constant-condition" Warning;
    RetryOverBarrier "MS216" "retry-over-barrier" Error;
    TimeoutTooShort "MS217" "timeout-too-short" Warning;
    BarrierInFinally "MS219" "barrier-in-finally" Error;
    SignalNeverWaited "MS220" "signal-never-waited" Warning;
    WaitNeverSignalled "MS221" "wait-never-signalled" Error;
    HandleMisuse "MS222" "handle-misuse" Error;
    UnsafeHole "MS304" "unsafe-hole" Error;
    HardcodedCredential "MS402" "hardcoded-credential" Warning;
    SecretInArgv "MS403" "secret-in-argv" Warning;
    HostKeyCheckOff "MS405" "host-key-check-off" Error;
    PrivilegedContainer "MS409" "privileged-container" Warning;
    OptionNotForBackend "MS602" "option-not-for-backend" Error;
    UnusedAllow "MS901" "unused-allow" Warning;
    UnknownCode "MS902" "unknown-code" Warning;
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.id())
    }
}

impl FromStr for Code {
    type Err = ();

    /// Reads `MS201`, `ms201` or the name `deadlock`.
    fn from_str(text: &str) -> Result<Self, ()> {
        let same = |code: &&Self| code.id().eq_ignore_ascii_case(text) || code.name() == text;
        Self::ALL.iter().find(same).copied().ok_or(())
    }
}
