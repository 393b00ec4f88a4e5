//! The pages of the codes that the parser gives: the bad example has exactly that problem, the good one none.

use super::parsed;
use crate::diagnostic::Code;

/// The codes that come from the text alone.
const OURS: [Code; 10] = [
    Code::UnexpectedToken,
    Code::UnclosedBlock,
    Code::UnclosedFence,
    Code::UnknownKeyword,
    Code::DuplicateOption,
    Code::InvalidString,
    Code::BodyOutdented,
    Code::HiddenCharacters,
    Code::ConflictMarker,
    Code::LimitExceeded,
];

/// The blocks of a page.
fn examples(page: &str) -> Vec<&str> {
    let blocks = page.split("````mstream\n").skip(1);
    blocks.map(|block| block.split_once("````\n").map_or(block, |(example, _)| example)).collect()
}

#[test]
fn the_examples_of_each_page_are_what_they_say() {
    for code in OURS {
        let [wrong, right] = examples(code.page())[..] else { panic!("{code} has not two examples") };
        assert_eq!(parsed(wrong).2.iter().map(|problem| problem.code).collect::<Vec<_>>(), [code], "{code}");
        assert_eq!(parsed(right).2, [], "{code}");
        assert!(code.page().starts_with(&format!("# {code} {}\n", code.name())), "{code}");
    }
}
