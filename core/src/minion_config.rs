//! Whom does a minion's configuration name as its master, and how is that line replaced? `/etc/salt/minion` is YAML, but
//! all that counts here is its top-level `master:` and `id:`, and every other line must stay as it is.

use crate::address::MasterAddress;

/// The value of the top-level `master:`, without quotes and comments; the items of a list joined by `, `. The last such
/// key counts, as in Salt's own reading. `None` where there is none.
pub fn master_of(text: &str) -> Option<Box<str>> {
    let lines: Vec<&str> = text.lines().collect();
    let (at, value) = lines.iter().enumerate().rev().find_map(|(at, line)| Some((at, value_of(line)?)))?;
    if !value.is_empty() {
        return Some(value.into());
    }
    let items = lines[at + 1..].iter().take_while(|line| continues(line)).filter_map(|line| line.trim_start().strip_prefix('-'));
    Some(items.map(plain).collect::<Vec<_>>().join(", ").into())
}

/// The text with one `master:` line that names this address, in the place of the first one there was, or at the end. A
/// list of masters loses its items. A `master_finger:` goes too: it pins the key of the master that was, and the new one's is
/// placed. Every other line stays as it is, to the byte.
pub fn repointed_to(text: &str, master: &MasterAddress) -> String {
    let mut out = String::with_capacity(text.len() + 32);
    let (mut written, mut dropping) = (false, false);
    for line in text.split_inclusive('\n') {
        let bare = line.trim_end_matches(['\n', '\r']);
        if bare.starts_with("master_finger:") {
            dropping = false;
        } else if value_of(bare).is_some() {
            dropping = true;
            if !written {
                out.push_str(&format!("master: {master}{}", &line[bare.len()..]));
                written = true;
            }
        } else if !(dropping && continues(bare)) {
            dropping = false;
            out.push_str(line);
        }
    }
    if !written {
        if !out.is_empty() && !out.ends_with('\n') {
            out.push('\n');
        }
        out.push_str(&format!("master: {master}\n"));
    }
    out
}

/// The value of the top-level `id:`, without quotes and comments; the last one counts. `None` where there is none.
pub fn id_of(text: &str) -> Option<Box<str>> {
    text.lines().rev().find_map(|line| value_at("id:", line)).map(Into::into)
}

/// The text with this id where it says an id. One that says it already, or none, stays as it is, to the byte.
pub fn identified_as(text: &str, id: &str) -> String {
    if id_of(text).is_none_or(|said| *said == *id) {
        return text.into();
    }
    let mut written = false;
    let mut out = String::with_capacity(text.len() + id.len());
    for line in text.split_inclusive('\n') {
        let bare = line.trim_end_matches(['\n', '\r']);
        if value_at("id:", bare).is_none() {
            out.push_str(line);
        } else if !written {
            out.push_str(&format!("id: {id}{}", &line[bare.len()..]));
            written = true;
        }
    }
    out
}

fn value_of(line: &str) -> Option<String> {
    value_at("master:", line)
}

fn value_at(key: &str, line: &str) -> Option<String> {
    let rest = line.strip_prefix(key)?;
    (rest.is_empty() || rest.starts_with([' ', '\t'])).then(|| plain(rest))
}

/// A line that belongs to the value above it: indented, or an item of a list.
fn continues(line: &str) -> bool {
    line.starts_with([' ', '\t']) && !line.trim().is_empty() || line.starts_with("- ") || line == "-"
}

fn plain(value: &str) -> String {
    let value = value.trim();
    for quote in ['"', '\''] {
        if let Some((inner, _)) = value.strip_prefix(quote).and_then(|rest| rest.split_once(quote)) {
            return inner.into();
        }
    }
    let comment = if value.starts_with('#') { Some(0) } else { value.find(" #") };
    value[..comment.unwrap_or(value.len())].trim_end().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn repointed(text: &str) -> String {
        repointed_to(text, &"10.0.0.2".parse().unwrap())
    }

    #[test]
    fn only_the_master_line_changes() {
        let before = "# the minion\nmaster: 10.0.0.1 # old\nid: harbor--ci--1\nmaster_port: 4506\n#master: x\n  master: nested\n";
        assert_eq!(repointed(before), before.replace("master: 10.0.0.1 # old", "master: 10.0.0.2"));
    }

    #[test]
    fn a_missing_line_is_added_and_a_list_replaced() {
        assert_eq!(repointed("id: x"), "id: x\nmaster: 10.0.0.2\n");
        assert_eq!(repointed(""), "master: 10.0.0.2\n");
        assert_eq!(repointed("master:\n  - a\n  - b\nid: x\n"), "master: 10.0.0.2\nid: x\n");
        assert_eq!(repointed("master:\n- a\n- b\n\nid: x\n"), "master: 10.0.0.2\n\nid: x\n");
        assert_eq!(repointed("master: a\r\nid: x\r\n"), "master: 10.0.0.2\r\nid: x\r\n");
        assert_eq!(repointed("master: a\nid: x\nmaster: b\n"), "master: 10.0.0.2\nid: x\n");
        assert_eq!(repointed("master: a\nmaster_finger: '1a:2b'\nid: x\n"), "master: 10.0.0.2\nid: x\n");
    }

    #[test]
    fn an_id_changes_where_another_one_stands() {
        for (before, after) in [
            ("master: a\nid: x # why\n", "master: a\nid: n\n"),
            ("id: 'n' # stays\n", "id: 'n' # stays\n"),
            ("id: x\r\nid: y", "id: n\r\n"),
            ("#id: x\nid_function: y\n", "#id: x\nid_function: y\n"),
            ("", ""),
        ] {
            assert_eq!(identified_as(before, "n"), after, "{before:?}");
        }
        assert_eq!(id_of("id: x\nid: \"y\"\n").as_deref(), Some("y"));
    }

    #[test]
    fn the_master_is_read_as_salt_reads_it() {
        for (text, master) in [
            ("master: 10.0.0.1\n", Some("10.0.0.1")),
            ("master: '10.0.0.1' # c\n", Some("10.0.0.1")),
            ("master: \"salt\"\n", Some("salt")),
            ("master:\n  - a\n  - b # c\nid: x\n", Some("a, b")),
            ("master: [a, b]\n", Some("[a, b]")),
            ("#master: a\n", None),
            ("master_type: x\n", None),
            ("master: a\nmaster: b\n", Some("b")),
            ("master: # none\n", Some("")),
        ] {
            assert_eq!(master_of(text).as_deref(), master, "{text:?}");
        }
    }
}
