//! Are the scripts sound by themselves?

use bldr_core::minion_config;
use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

fn scripts() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts");
    fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect()
}

fn of_shell() -> Vec<PathBuf> {
    scripts().into_iter().filter(|script| script.extension().is_some_and(|extension| extension == "sh")).collect()
}

#[test]
fn shellcheck_finds_nothing() {
    let output = Command::new("shellcheck").args(of_shell()).output().expect("shellcheck is installed");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}

#[test]
fn every_script_says_what_goes_in_and_what_comes_out() {
    for script in scripts() {
        let text = fs::read_to_string(&script).unwrap();
        assert!(text.starts_with("#!/bin/sh\n# ") || text.starts_with("#!/usr/bin/env python3\n# "), "{}", script.display());
        for part in ["\n# Input: ", "\n# Output: ", "\n# Exit: "] {
            assert!(text.contains(part), "{} has no {part:?}", script.display());
        }
    }
}

/// What rewrites a configuration, with the functions in front.
fn rewriting() -> String {
    let text = |name: &str| fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts").join(name)).unwrap();
    format!("{}\n{}", text("salt-settings.sh"), text("minion-config.sh"))
}

#[test]
fn the_script_and_the_core_agree_on_every_configuration() {
    let address = "10.0.0.2".parse().unwrap();
    let program = format!("{}\nrepointed \"$1\" 10.0.0.2", rewriting());
    let identifying = format!("{}\nidentified \"$1\" n", rewriting());
    let reading = format!("{}\nsetting_in master \"$1\"", rewriting());
    let file = tempfile::NamedTempFile::new().unwrap();
    let run = |program: &str| {
        let output = Command::new("sh").args(["-c", program, "sh"]).arg(file.path()).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    for text in [
        "",
        "\n",
        "master: a",
        "master: a\n",
        "id: x",
        "id: x\n\n",
        "id: 'n' # stays\nid_function: y\n#id: x\n",
        "id: x\r\nid: y",
        "id: n\nid: x # old\nlog_level: info",
        "# c\nmaster: 10.0.0.1 # old\nid: x\nmaster_port: 4506\n#master: x\n  master: nested\n",
        "master:\n  - a\n  - b\nid: x\n",
        "master:\n- a\n-\n- b\n\n- c\nid: x\n",
        "master:\n  - a\n  - b",
        "master: a\r\nid: x\r\n",
        "master: a\nid: x\nmaster: b\n",
        "master: a\nid: x\nmaster: b",
        "master:x\nmaster\n",
        "id: x\n---\nmaster:\t'a'\n",
        "master: \"a\" # x\ngrains:\n  - a\n",
        "id: ünïcode \\n \\t %s\nmaster: a\n",
    ] {
        fs::write(file.path(), text).unwrap();
        assert_eq!(run(&program), minion_config::repointed_to(text, &address), "{text:?}");
        assert_eq!(run(&identifying), minion_config::identified_as(text, "n"), "{text:?}");
        let core = minion_config::master_of(text).unwrap_or_default();
        // A list has no value on its line; the script rewrites it anyway.
        if !text.contains("- a") || text.contains("grains") {
            assert_eq!(run(&reading).trim_end_matches('\n'), &*core, "{text:?}");
        }
    }
}
