//! What does a master's configuration look like that was made of a template? Comments stay, and nothing else is lost either.

use std::{
    path::{Path, PathBuf},
    process::{Command, Output},
};

const LIBRARY: &str = "repository /opt/x https://example.org/x\nfile-root /a/\nfile-root /b/\npillar-root /p\nknown-host h k\n";

/// The Python of the tests has YAML: `BLDR_VENV`, or what `testkit/python/venv.sh` makes.
fn rendered(template: &[u8]) -> Output {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let venv = std::env::var_os("BLDR_VENV").map_or_else(|| here.join("../.build/venv"), PathBuf::from);
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, content: &[u8]| {
        std::fs::write(folder.path().join(name), content).unwrap();
        folder.path().join(name)
    };
    let files = [file("template", template), file("library", LIBRARY.as_bytes())];
    Command::new(venv.join("bin/python3")).arg(here.join("scripts/render-master.py")).args(files).output().unwrap()
}

fn text(template: &str) -> String {
    let output = rendered(template.as_bytes());
    assert!(output.status.success(), "{template}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn only_what_is_filled_in_changes_and_comments_stay() {
    let filled = "    - /a/\n    - /b/\n";
    let pillar = "pillar_roots:\n  base:\n    - /p\n";
    let interface = "interface: 0.0.0.0\n";
    for (before, after) in [
        (
            "# top\nfile_roots:\n  base:\n    - /x\n    # a remark\n    - /y\n  dev:\n    - /d # kept\n\n# the end\ntimeout: 5 # few\n",
            format!(
                "# top\nfile_roots:\n  base:\n    # a remark\n{filled}  dev:\n    - /d # kept\n\n# the end\ntimeout: 5 # few\n{pillar}{interface}"
            ),
        ),
        ("file_roots:\n  base: [/x] # why\n", format!("file_roots:\n  base: # why\n{filled}{pillar}{interface}")),
        ("file_roots:\n  dev:\n    - /d\n", format!("file_roots:\n  base:\n{filled}  dev:\n    - /d\n{pillar}{interface}")),
        ("file_roots:\n  base:\n  - /x\n", format!("file_roots:\n  base:\n{filled}{pillar}{interface}")),
        ("interface: '::' # all\nfile_roots:\n  base: []\n", format!("{interface}file_roots:\n  base:\n{filled}{pillar}")),
    ] {
        assert_eq!(text(before), after, "{before}");
        assert_eq!(text(&after), after, "it is filled in once");
    }
}

/// Settings in one line, or after the end of a document: what they say counts more than how it was written.
#[test]
fn what_cannot_be_edited_is_written_anew() {
    let plain = "file_roots:\n  base:\n  - /a/\n  - /b/\n";
    for template in ["file_roots: {base: [/x]} # lost\n", "file_roots:\n  base: [/x]\n...\n", "'file_roots':\n  base: [/x]\n"] {
        assert_eq!(text(template), format!("{plain}pillar_roots:\n  base:\n  - /p\ninterface: 0.0.0.0\n"), "{template}");
    }
}

#[test]
fn a_template_that_is_none_is_named_and_not_shown() {
    for (template, why) in [
        (&b"worker_threads: 2\n"[..], "the template has no 'file_roots'"),
        (b"", "the template has no 'file_roots'"),
        (b"file_roots: [/x]\n", "'file_roots' of the template is no map of environments"),
        (b"file_roots:\n", "'file_roots' of the template is no map of environments"),
        (b"file_roots: {}\npillar_roots: hunter2\n", "'pillar_roots' of the template is no map of environments"),
        (b"password: hunter2\nx: [\n", "the template is no YAML (line 3)"),
        (b"file_roots: \xff\n", "the template is no UTF-8"),
    ] {
        let output = rendered(template);
        assert_eq!((output.status.code(), output.stdout), (Some(1), vec![]));
        assert_eq!(String::from_utf8(output.stderr).unwrap(), format!("bldr: {why}\n"));
    }
}
