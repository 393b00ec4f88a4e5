//! Near misses: the name that was probably meant.

/// The candidate most like `name`: equal but for case, else within an edit distance of a third of the length.
pub fn similar<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // Of one or two letters every name is like every other.
    let allowed = match name.chars().count() {
        0..=2 => 0,
        length => (length / 3).max(1),
    };
    let lower = name.to_lowercase();
    candidates
        .into_iter()
        .filter(|candidate| *candidate != name)
        .map(|candidate| (strsim::damerau_levenshtein(&lower, &candidate.to_lowercase()), candidate))
        .filter(|(distance, _)| *distance <= allowed)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}
