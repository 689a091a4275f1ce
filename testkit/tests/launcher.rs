//! Does `./bldr` build when it must, stay out of the way when it need not, and say what is missing when it cannot?
//!
//! Each test is a copy of the launcher in a folder of its own, with a PATH where cargo, compilers and installers are
//! scripts that write down how they were called.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::{
    fs,
    os::unix::fs::{PermissionsExt, symlink},
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

/// What the launcher uses of any machine.
const TOOLS: [&str; 15] =
    ["bash", "cat", "chmod", "env", "find", "flock", "mkdir", "mktemp", "mv", "readlink", "rm", "sed", "tail", "touch", "true"];

/// A build that takes a moment: its program prints where it runs and its arguments, passes stdin on, and ends with 7.
const CARGO: &str = r#"
echo "cargo $*" >>"$LOG"
if [ "$1" = --version ]; then echo "cargo ${CARGO_IS:-1.95.0} (f2d3ce0bd 2026-03-21)"; exit; fi
echo "compiling: to stdout"; echo "compiling: to stderr" >&2
[ ! -e "$LOG.broken" ] || exit 101
flock "$LOG.slow" true
mkdir -p "$CARGO_TARGET_DIR/release"
printf '#!/bin/sh\necho "$PWD|$*"; cat; exit 7\n' >"$CARGO_TARGET_DIR/release/bldr"
chmod +x "$CARGO_TARGET_DIR/release/bldr"
"#;

struct Bench {
    folder: tempfile::TempDir,
}

impl Bench {
    /// Everything is there but the program.
    fn new() -> Self {
        let bench = Self { folder: tempfile::tempdir().unwrap() };
        for folder in ["src/core/src", "src/docs", "bin", "elsewhere"] {
            fs::create_dir_all(bench.path(folder)).unwrap();
        }
        fs::copy(Path::new(env!("CARGO_MANIFEST_DIR")).with_file_name("bldr"), bench.path("src/bldr")).unwrap();
        fs::write(bench.path("src/Cargo.toml"), "[workspace.package]\nrust-version = \"1.94.1\"\n").unwrap();
        for file in ["Cargo.lock", "core/Cargo.toml", "core/src/lib.rs", "core/src/name.rs", "docs/guide.md"] {
            fs::write(bench.path("src").join(file), "").unwrap();
        }
        for tool in TOOLS {
            let real = std::env::split_paths(&std::env::var_os("PATH").unwrap()).map(|p| p.join(tool)).find(|p| p.exists());
            symlink(real.unwrap_or_else(|| panic!("{tool} is not on PATH")), bench.path("bin").join(tool)).unwrap();
        }
        bench.script("cargo", CARGO);
        bench.script("cc", "");
        bench.script("pkg-config", "case $2 in $NO_LIBRARY) test -e \"$LOG.installed\" ;; esac");
        bench
    }

    fn path(&self, below: &str) -> PathBuf {
        self.folder.path().join(below)
    }

    fn script(&self, name: &str, text: &str) {
        let file = self.path("bin").join(name);
        fs::write(&file, format!("#!{}\n{text}\n", self.path("bin/bash").display())).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).unwrap();
    }

    fn without(self, name: &str) -> Self {
        fs::remove_file(self.path("bin").join(name)).unwrap();
        self
    }

    fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        let home = self.path("no-home");
        command.env_clear().env("PATH", self.path("bin")).env("LOG", self.path("log")).env("HOME", home).env("NO_LIBRARY", "-");
        command.current_dir(self.path("elsewhere")).stdin(Stdio::null());
        command
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.command(&self.path("src/bldr")).args(arguments).output().unwrap()
    }

    /// How often cargo was asked to build.
    fn builds(&self) -> usize {
        let log = fs::read_to_string(self.path("log")).unwrap_or_default();
        log.lines().filter(|l| *l == "cargo build --release --locked -p bldr-cli").count()
    }
}

fn out(output: &Output) -> &str {
    std::str::from_utf8(&output.stdout).unwrap()
}

fn err(output: &Output) -> &str {
    std::str::from_utf8(&output.stderr).unwrap()
}

/// What it says when it cannot go on: exit 3, nothing on stdout.
fn refusal(output: &Output) -> &str {
    assert_eq!((output.status.code(), out(output)), (Some(3), ""), "{}", err(output));
    err(output)
}

#[test]
fn the_first_run_builds_and_the_second_only_runs() {
    let bench = Bench::new();
    let first = bench.run(&["master.list:a,b", "--home", "x y"]);
    let expected = format!("{}|master.list:a,b --home x y\n", bench.path("elsewhere").canonicalize().unwrap().display());
    assert_eq!((first.status.code(), out(&first)), (Some(7), expected.as_str()), "{}", err(&first));
    assert!(err(&first).contains("compiling: to stdout") && err(&first).contains("built in"), "{}", err(&first));

    let asked = fs::read_to_string(bench.path("log")).unwrap();
    let second = bench.run(&["--version"]);
    assert_eq!((second.status.code(), err(&second)), (Some(7), ""));
    assert_eq!(fs::read_to_string(bench.path("log")).unwrap(), asked, "cargo is not even asked for its version");
}

#[test]
fn whatever_changes_in_the_sources_builds_again_and_documents_do_not() {
    let bench = Bench::new();
    bench.run(&[]);
    fs::write(bench.path("src/docs/guide.md"), "new").unwrap();
    bench.run(&[]);
    assert_eq!(bench.builds(), 1, "documents");

    fs::write(bench.path("src/core/src/lib.rs"), "new").unwrap();
    bench.run(&[]);
    assert_eq!(bench.builds(), 2, "an edit");

    // As an archive leaves it: new to this machine, and older than the program.
    let old = fs::File::options().write(true).open(bench.path("src/core/src/lib.rs")).unwrap();
    old.set_modified(std::time::UNIX_EPOCH).unwrap();
    bench.run(&[]);
    assert_eq!(bench.builds(), 3, "an older time of modification");

    fs::remove_file(bench.path("src/core/src/name.rs")).unwrap();
    bench.run(&[]);
    assert_eq!(bench.builds(), 4, "a removal");

    fs::write(bench.path("src/Cargo.lock"), "new").unwrap();
    bench.run(&[]);
    assert_eq!(bench.builds(), 5, "a dependency");
    bench.run(&[]);
    assert_eq!(bench.builds(), 5, "nothing");
}

#[test]
fn it_finds_its_own_folder_through_links() {
    let bench = Bench::new();
    symlink("../src/bldr", bench.path("elsewhere/relative")).unwrap();
    symlink(bench.path("elsewhere/relative"), bench.path("bin/bldr")).unwrap();
    let output = bench.command(Path::new("bldr")).arg("x").output().unwrap();
    assert!(out(&output).ends_with("elsewhere|x\n"), "{}", err(&output));
    assert!(bench.path("src/target/release/bldr").exists());
    // In its own folder, by a name without any folder.
    let output = bench.command(&bench.path("bin/bash")).current_dir(bench.path("src")).args(["bldr", "x"]).output().unwrap();
    assert!(out(&output).ends_with("src|x\n"), "{}", err(&output));
    assert_eq!(bench.builds(), 1);
}

#[test]
fn stdin_is_the_programs() {
    let bench = Bench::new();
    let input = bench.path("input");
    fs::write(&input, "for the program").unwrap();
    let output = bench.command(&bench.path("src/bldr")).stdin(fs::File::open(input).unwrap()).output().unwrap();
    assert!(out(&output).ends_with("for the program"), "{}", err(&output));
}

#[test]
fn it_is_built_where_cargo_is_told_to() {
    let bench = Bench::new();
    let output = bench.command(&bench.path("src/bldr")).env("CARGO_TARGET_DIR", "there").output().unwrap();
    assert_eq!(output.status.code(), Some(7), "{}", err(&output));
    assert!(bench.path("elsewhere/there/release/bldr").exists() && !bench.path("src/target").exists());
}

#[test]
fn first_runs_at_the_same_time_build_once() {
    let bench = Bench::new();
    // No build ends before both launchers have begun.
    let slow = fs::File::create(bench.path("log.slow")).unwrap();
    slow.lock().unwrap();
    let start = || bench.command(&bench.path("src/bldr")).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let (first, second) = (start(), start());
    drop(slow);
    for output in [first.wait_with_output().unwrap(), second.wait_with_output().unwrap()] {
        assert_eq!(output.status.code(), Some(7), "{}", err(&output));
    }
    assert_eq!(bench.builds(), 1);
}

#[test]
fn a_build_that_fails_is_told_and_tried_again() {
    let bench = Bench::new();
    fs::write(bench.path("log.broken"), "").unwrap();
    let output = bench.run(&[]);
    assert!(refusal(&output).contains("the build failed"), "{}", err(&output));
    fs::remove_file(bench.path("log.broken")).unwrap();
    assert_eq!(bench.run(&[]).status.code(), Some(7));

    // An old program is not run in the place of one that cannot be built.
    fs::write(bench.path("src/core/src/lib.rs"), "broken").unwrap();
    fs::write(bench.path("log.broken"), "").unwrap();
    refusal(&bench.run(&[]));
}

#[test]
fn missing_libraries_are_one_line_for_the_installer_of_this_machine() {
    let lines = [
        ("apt-get", "apt-get install -y libsodium-dev"),
        ("dnf", "dnf install -y libsodium-devel"),
        ("brew", "brew install libsodium"),
        ("none", "install a C compiler, pkg-config, and the headers of libsodium and OpenSSL"),
    ];
    for (installer, line) in lines {
        let bench = Bench::new();
        bench.script(installer, "echo \"$0 $*\" >>\"$LOG.installer\"");
        let mut command = bench.command(&bench.path("src/bldr"));
        let output = command.env("NO_LIBRARY", "libsodium").env("BLDR_NO_INSTALL", "1").output().unwrap();
        assert!(refusal(&output).lines().any(|l| l.trim().trim_start_matches("sudo ") == line), "{}", err(&output));
        assert_eq!(bench.builds(), 0);
        assert!(installer == "brew" || !bench.path("log.installer").exists(), "{installer} was run");
    }
}

#[test]
fn without_a_compiler_and_pkg_config_all_that_is_needed_is_one_line() {
    let bench = Bench::new().without("cc").without("pkg-config");
    bench.script("apt-get", "");
    let output = bench.command(&bench.path("src/bldr")).env("BLDR_NO_INSTALL", "1").output().unwrap();
    assert!(refusal(&output).contains("apt-get install -y gcc libc6-dev pkg-config libsodium-dev libssl-dev\n"), "{}", err(&output));
}

#[test]
fn rust_that_is_missing_or_too_old_is_not_fetched_silently() {
    let bench = Bench::new();
    let mut command = bench.command(&bench.path("src/bldr"));
    let output = command.env("CARGO_IS", "1.94.0").output().unwrap();
    assert!(refusal(&output).contains("Rust 1.94.1 or newer is needed (1.94.0 is here)"), "{}", err(&output));
    assert!(err(&output).contains("https://sh.rustup.rs | sh -s -- -y --profile minimal"), "{}", err(&output));
    for enough in ["1.94.1", "1.100.0-nightly", "2.0.0"] {
        let output = Bench::new().command(&bench.path("src/bldr")).env("CARGO_IS", enough).output().unwrap();
        assert_eq!(output.status.code(), Some(7), "{enough}: {}", err(&output));
    }

    let bench = Bench::new().without("cargo");
    bench.script("rustup", "");
    assert!(refusal(&bench.run(&[])).contains("rustup toolchain install stable"));

    // Two things are missing, and it is still one line.
    let bench = Bench::new().without("cargo");
    bench.script("dnf", "");
    let output = bench.command(&bench.path("src/bldr")).env("NO_LIBRARY", "openssl").output().unwrap();
    assert!(refusal(&output).contains("dnf install -y openssl-devel && curl --proto"), "{}", err(&output));
}

#[test]
fn root_with_apt_gets_what_is_missing_installed() {
    let bench = Bench::new();
    // The lists are old: only after an update is the package found.
    bench.script(
        "apt-get",
        "echo \"$*\" >>\"$LOG.apt\"; echo noise; case $1 in update) touch \"$LOG.updated\" ;; *) [ -e \"$LOG.updated\" ] && touch \"$LOG.installed\" ;; esac",
    );
    let output = bench.command(&bench.path("src/bldr")).env("NO_LIBRARY", "openssl").output().unwrap();
    let id = Command::new("id").arg("-u").output().unwrap();
    if out(&id) != "0\n" {
        assert!(refusal(&output).contains("sudo apt-get install -y libssl-dev"), "{}", err(&output));
        return;
    }
    assert_eq!(output.status.code(), Some(7), "{}", err(&output));
    assert!(err(&output).contains("installing libssl-dev (apt-get)") && !err(&output).contains("noise"), "{}", err(&output));
    let install = "install -y --no-install-recommends libssl-dev\n";
    assert_eq!(fs::read_to_string(bench.path("log.apt")).unwrap(), format!("{install}update\n{install}"));
}
