//! Are the key pairs in files what ssh takes, and nobody else's?
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a panic is how a test fails")]

use bldr_adapters_fs::FileKeyPairs;
use bldr_core::{
    error::PortErrorKind,
    name::StackName,
    ports::{Change, KeyPairs},
    ssh_key::SshPublicKey,
};
use bldr_testkit::contract;
use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};
use tempfile::TempDir;

fn stack() -> StackName {
    "harbor--ci".parse().unwrap()
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

fn keygen(arguments: &[&str], file: &Path) -> String {
    let output = Command::new("ssh-keygen").args(arguments).arg("-f").arg(file).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// A folder with a key that somebody else has made.
fn with_key(arguments: &[&str]) -> (TempDir, PathBuf) {
    let home = TempDir::new().unwrap();
    let file = home.path().join("harbor--ci.pem");
    keygen(&[&["-q", "-C", "somebody"], arguments].concat(), &file);
    (home, file)
}

#[tokio::test(flavor = "multi_thread")]
async fn key_pairs_in_files() {
    let home = TempDir::new().unwrap();
    let next = AtomicUsize::new(0);
    contract::key_pairs::suite(|| {
        let folder = home.path().join(next.fetch_add(1, Ordering::SeqCst).to_string()).join("keypairs");
        Arc::new(FileKeyPairs::new(folder)) as Arc<dyn KeyPairs>
    })
    .await;
}

#[tokio::test]
async fn ssh_takes_a_new_pair_and_reads_the_same_public_half_from_it() {
    let home = TempDir::new().unwrap();
    let folder = home.path().join(".cfn/keypairs");
    let (key, _) = FileKeyPairs::new(&folder).of(&stack()).await.unwrap();
    let file = folder.join("harbor--ci.pem");
    assert_eq!((mode(&folder), mode(&file)), (0o700, 0o600));
    assert_eq!(keygen(&["-y"], &file).trim(), key.line());
    assert!(key.line().starts_with("ssh-ed25519 ") && key.line().ends_with(" harbor--ci"), "{key}");
    // So does bldr's own transport.
    thrussh_keys::decode_secret_key(&fs::read_to_string(&file).unwrap(), None).unwrap();
    let left: Vec<_> = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    assert!(left.iter().all(|name| name == "harbor--ci.pem" || name == ".lock"), "{left:?}");
}

#[tokio::test]
async fn pairs_that_others_have_made_are_read_and_left_as_they_are() {
    for arguments in [
        &["-t", "rsa", "-b", "2048", "-m", "PEM", "-N", ""][..],
        &["-t", "rsa", "-b", "2048", "-m", "PKCS8", "-N", ""],
        &["-t", "rsa", "-b", "2048", "-N", ""],
        &["-t", "ed25519", "-N", ""],
        // Its public half is not encrypted.
        &["-t", "ed25519", "-N", "a passphrase"],
    ] {
        let (home, file) = with_key(arguments);
        let text = fs::read(&file).unwrap();
        let (key, change) = FileKeyPairs::new(home.path()).of(&stack()).await.unwrap();
        let shown = fs::read_to_string(file.with_extension("pem.pub")).unwrap();
        assert_eq!((key, change), (SshPublicKey::from_openssh(&shown).unwrap(), Change::NotNeeded), "{arguments:?}");
        assert_eq!(fs::read(&file).unwrap(), text);
    }
}

#[tokio::test]
async fn what_is_no_private_key_is_named_and_never_replaced_or_quoted() {
    let (_locked, locked) = with_key(&["-t", "rsa", "-b", "2048", "-m", "PEM", "-N", "a passphrase"]);
    let (_public, public) = with_key(&["-t", "ed25519", "-N", ""]);
    let cut = fs::read_to_string(&public).unwrap()[..200].to_owned().into_bytes();
    for text in
        [b"".to_vec(), b"secret \xff\xfe".to_vec(), fs::read(locked).unwrap(), fs::read(public.with_extension("pem.pub")).unwrap(), cut]
    {
        let home = TempDir::new().unwrap();
        let file = home.path().join("harbor--ci.pem");
        fs::write(&file, &text).unwrap();
        let error = FileKeyPairs::new(home.path()).of(&stack()).await.unwrap_err();
        assert_eq!(error.kind, PortErrorKind::Malformed, "{error}");
        let told = format!("{error} {error:?}");
        assert!(told.contains("harbor--ci.pem") && !told.contains("secret") && !told.contains("AAAA"), "{told}");
        assert_eq!(fs::read(&file).unwrap(), text);
    }
}
