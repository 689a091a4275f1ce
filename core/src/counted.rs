//! How is a number of things said?

/// A number of things: `1 key`, `2 keys`.
pub fn counted(number: usize, thing: &str) -> String {
    if number == 1 { format!("1 {thing}") } else { format!("{number} {thing}s") }
}
