//! The table of the faults in the book is made of the faults.

use std::fmt::Write as _;

use super::{Fault, Kind, Place};

/// All faults, group by group.
const GROUPS: [(&str, &[Fault]); 9] = [
    ("Processes of a step", super::processes::FAULTS),
    ("mstream itself", super::coordinator::FAULTS),
    ("mstream itself is killed", super::kills::FAULTS),
    ("Hosts", super::hosts::FAULTS),
    ("Containers", super::containers::FAULTS),
    ("Meeting points and the order of things", super::meetings::FAULTS),
    ("Disks, clocks and what is written", super::disk::FAULTS),
    ("The journal", super::journal::FAULTS),
    ("Hostile input", super::input::FAULTS),
];

fn places(fault: &Fault) -> String {
    let names = fault.on.iter().map(|place| match place {
        Place::Local => "local",
        Place::Ssh => "ssh",
        Place::Cable => "ssh over a cable",
        Place::Docker => "docker",
    });
    names.collect::<Vec<_>>().join(", ")
}

/// The tables, as they stand in the book.
fn tables() -> String {
    let mut text = String::new();
    for (title, faults) in GROUPS {
        write!(text, "\n## {title}\n\n").unwrap();
        text.push_str("| | fault | committed by | on | mstream | exit code | within |\n");
        text.push_str("| --- | --- | --- | --- | --- | --- | --- |\n");
        for it in faults {
            let (id, title, how, does, exit) = (it.id, it.title, it.how, it.does, it.exit);
            writeln!(text, "| {id} | {title} | {how} | {} | {does} | {exit} | {:?} |", places(it), it.bound).unwrap();
        }
    }
    text
}

#[test]
fn the_book_has_a_row_of_every_fault() {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("spec/reliability.md");
    let book = std::fs::read_to_string(&path).unwrap();
    let (begin, end) = ("<!-- the faults -->\n", "\n<!-- the end of the faults -->");
    let (head, rest) = book.split_once(begin).expect("the place of the tables is marked");
    let (found, tail) = rest.split_once(end).expect("the end of the tables is marked");
    let wanted = tables();
    if found != wanted && std::env::var_os("MSTREAM_BLESS").is_some() {
        std::fs::write(&path, [head, begin, &wanted, end, tail].concat()).unwrap();
        return;
    }
    assert!(found == wanted, "spec/reliability.md differs; MSTREAM_BLESS=1 writes it:\n{wanted}");
}

#[test]
fn every_fault_has_a_number_of_its_own_and_says_what_it_is() {
    let mut seen = Vec::new();
    for it in GROUPS.iter().flat_map(|(_, faults)| *faults) {
        assert!(!seen.contains(&it.id), "{} is there twice", it.id);
        seen.push(it.id);
        let told = [it.title, it.how, it.does].iter().all(|words| !words.is_empty() && !words.contains('|'));
        assert!(told && !it.on.is_empty(), "{} does not say what it is", it.id);
        let _: Kind = it.kind;
    }
}
