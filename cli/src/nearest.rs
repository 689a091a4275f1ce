//! Which of the known words was meant by one that is not known?

/// The candidate most like the word, if any is like enough to be worth a suggestion.
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let word = word.to_lowercase().replace('_', "-");
    candidates
        .into_iter()
        .map(|candidate| (strsim::jaro_winkler(&word, &candidate.to_lowercase().replace('_', "-")), candidate))
        .filter(|(likeness, _)| *likeness > 0.8)
        .max_by(|(a, _), (b, _)| a.total_cmp(b))
        .map(|(_, candidate)| candidate)
}

/// The suggestion as a half sentence to follow a message: `; did you mean 'x'?`, or nothing.
pub fn did_you_mean<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> String {
    nearest(word, candidates).map(|found| format!("; did you mean '{found}'?")).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_of_the_finger_finds_its_word() {
        assert_eq!(nearest("harbr--ci", ["harbor--prod", "harbor--ci", "mill--ci"]), Some("harbor--ci"));
        assert_eq!(nearest("alow_unshared", ["plan", "allow-unshared"]), Some("allow-unshared"));
    }

    #[test]
    fn what_is_like_nothing_gets_no_suggestion() {
        assert_eq!(nearest("zzz", ["plan", "jobs"]), None);
        assert_eq!(did_you_mean("zzz", ["plan", "jobs"]), "");
    }
}
