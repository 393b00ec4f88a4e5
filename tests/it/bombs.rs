//! Parameter files that would be too much: each ends in a clear error, soon and without much memory.

use std::ops::Range;
use std::path::Path;
use std::process::Command;

/// What reading such a file may cost: of memory for all of it, of the time of a build that is not optimised.
const MEMORY_KIB: u64 = 100 << 10;
const SECONDS: f64 = if cfg!(debug_assertions) { 8.0 } else { 1.0 };

/// Runs the program and tells how much time and memory it took, as its parent sees it.
const MEASURE: &str = "
import resource, subprocess, sys
child = subprocess.run(sys.argv[1:], stdin=subprocess.DEVNULL, capture_output=True, timeout=120)
used = resource.getrusage(resource.RUSAGE_CHILDREN)
print(child.returncode, used.ru_utime + used.ru_stime, used.ru_maxrss)
sys.stdout.write(child.stderr.decode())
";

/// Expects that `mstream params --variants` refuses this file with these words.
#[track_caller]
fn refused(text: &str, words: &str) {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("bomb.yaml"), text).unwrap();
    std::fs::write(folder.path().join("other.yaml"), "!include : bomb.yaml\n").unwrap();
    let told = measured(folder.path());
    assert!(told.contains(words), "`{words}` is not told:\n{told}");
}

#[track_caller]
fn measured(folder: &Path) -> String {
    let out = Command::new("/usr/bin/python3")
        .args(["-c", MEASURE, env!("CARGO_BIN_EXE_mstream"), "params", "--variants", "bomb.yaml"])
        .current_dir(folder)
        .output()
        .unwrap();
    let out = String::from_utf8_lossy(&out.stdout).into_owned();
    let (figures, told) = out.split_once('\n').unwrap();
    let [code, seconds, kib] = figures.split(' ').collect::<Vec<_>>()[..] else { panic!("{out}") };
    let (seconds, kib): (f64, u64) = (seconds.parse().unwrap(), kib.parse().unwrap());
    assert_eq!(code, "2", "{}", told.chars().take(2000).collect::<String>());
    assert!(seconds < SECONDS, "it took {seconds} s:\n{}", told.chars().take(2000).collect::<String>());
    assert!(kib < MEMORY_KIB, "it took {kib} KiB:\n{}", told.chars().take(2000).collect::<String>());
    told.to_owned()
}

/// One piece of text for each number.
fn lines(numbers: Range<usize>, line: impl Fn(usize) -> String) -> String {
    numbers.map(line).collect::<Vec<_>>().concat()
}

#[test]
fn an_alias_bomb_is_refused() {
    let level = |n: usize| format!("a{n}: &a{n} [{}]\n", vec![format!("*a{}", n - 1); 10].join(", "));
    refused(
        &format!("a0: &a0 [x, x, x, x]\n{}", lines(1..12, level)),
        "come to more than 200000 values when spelt out",
    );
}

#[test]
fn a_merge_key_bomb_is_refused() {
    let level = |n: usize| {
        let below = vec![format!("*a{}", n - 1); 4].join(", ");
        format!("a{n}: &a{n} {{<<: [{below}], k{n}: 1}}\n")
    };
    refused(&format!("a0: &a0 {{k: 1}}\n{}", lines(1..30, level)), "come to more than 200000 values when spelt out");
}

#[test]
fn deep_nesting_is_refused() {
    refused(&format!("a: {}", "[".repeat(100_000)), "more than 64 levels deep");
    refused(&format!("a: {}", "{a: ".repeat(100_000)), "more than 64 levels deep");
    refused(&"- ".repeat(20_000), "more than 64 levels deep");
    let chain = lines(1..2000, |n| format!("a{n}: &a{n} [*a{}]\n", n - 1));
    refused(&format!("a0: &a0 []\n{chain}"), "more than 64 levels deep");
}

#[test]
fn large_files_are_refused() {
    refused(&"name: value\n".repeat(100 << 20 >> 3), "is larger than 64 MiB");
    refused(&format!("# {}\n", "x".repeat(30 << 20)), "more than 8 MiB");
    refused(&format!("a: [{}]\n", "1,".repeat(500_000)), "more than 200000 values");
}

#[test]
fn includes_that_lead_back_are_refused() {
    refused("a: 1\nb:\n  !include : other.yaml\n", "this include leads back to itself");
}

#[test]
fn too_many_variants_are_refused() {
    let mux = |n| format!("m{n}: !mux {{a: , b: , c: , d: }}\n");
    refused(&lines(0..60, mux), "more variants than can be counted; the limit is 10000");
    refused(&lines(0..7, mux), "16384 variants; the limit is 10000");
}

#[test]
fn long_paths_are_refused() {
    let leaves = lines(0..50_000, |n| format!("l{n}: , "));
    let name = "n".repeat(500);
    refused(&format!("{name}: {{{name}: {{{name}: {{{leaves}}}}}}}\n"), "longer than 1024 bytes");
}
