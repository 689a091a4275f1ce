//! Are project files read as ever, and changed no more than was shown?
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a panic is how a test fails")]

use bldr_adapters_fs::FileProjects;
use bldr_core::{
    error::PortErrorKind,
    json::{self, Object, Value},
    ports::{Proposal, SharedAddress, Versioned},
};
use std::{
    fs::{self, Permissions},
    os::unix::fs::{MetadataExt, PermissionsExt, symlink},
    path::{Path, PathBuf},
    process::Command,
};
use tempfile::TempDir;

const TEAM: &str = "defaults: {aws: {ec2: {master_ip: 10.0.0.1}}}\nharbor: {aws: {}}\n";

fn file(home: &TempDir, name: &str, text: impl AsRef<[u8]>) -> PathBuf {
    let path = home.path().join(name);
    fs::write(&path, text).unwrap();
    path
}

async fn proposal(files: &FileProjects) -> Proposal {
    files.propose(&"10.0.0.2".parse().unwrap()).await.unwrap().remove(0)
}

#[tokio::test]
async fn every_file_of_the_original_comes_out_the_same() {
    let Value::Array(cases) = json::parse(include_str!("../../core/tests/cases/project-data.json")).unwrap() else { panic!("no list") };
    let home = TempDir::new().unwrap();
    for case in cases {
        let path = file(&home, "team.yaml", case.at(&["project_yaml"]).unwrap().as_string().unwrap());
        let projects = FileProjects::new([path]).projects().await.unwrap();
        let merged: Object = projects.names().map(|name| (name.as_str().into(), projects.get(name).unwrap().clone().into())).collect();
        let note = case.at(&["note"]).unwrap();
        assert_eq!(Value::from(merged).to_string(), case.at(&["expected", "projects"]).unwrap().to_string(), "{note}");
    }
}

#[tokio::test]
async fn a_file_that_cannot_be_used_is_named_with_line_and_reason() {
    let home = TempDir::new().unwrap();
    for (text, kind, part) in [
        (&b"defaults:\n  a: [\n"[..], PortErrorKind::Malformed, "team.yaml:3:1: "),
        (b"defaults:\n\ta: 1\n", PortErrorKind::Malformed, "team.yaml:2:"),
        (b"harbor: {}\n", PortErrorKind::Malformed, "team.yaml: it has no 'defaults' section"),
        (b"defaults: {}\nharbor: {}\nharbor!: {}\n", PortErrorKind::Malformed, "'harbor!' is not a name"),
        (b"defaults: \xff\n", PortErrorKind::Malformed, "team.yaml: it is not UTF-8"),
    ] {
        let error = FileProjects::new([file(&home, "team.yaml", text)]).projects().await.unwrap_err();
        assert_eq!(error.kind, kind, "{error}");
        assert!(error.to_string().contains(part), "{error}");
    }
    let error = FileProjects::new([home.path().join("none.yaml")]).projects().await.unwrap_err();
    assert_eq!(error.kind, PortErrorKind::NotFound);
    assert!(error.to_string().contains("project-files"), "{error}");
}

#[tokio::test]
async fn a_project_in_two_files_is_refused_and_both_are_named() {
    let home = TempDir::new().unwrap();
    let files = FileProjects::new([file(&home, "one.yaml", TEAM), file(&home, "two.yaml", TEAM)]);
    let error = files.projects().await.unwrap_err().to_string();
    assert!(error.contains("'harbor'") && error.contains("one.yaml") && error.contains("two.yaml"), "{error}");
}

#[tokio::test]
async fn only_files_that_name_another_master_are_proposed() {
    let home = TempDir::new().unwrap();
    let there = file(&home, "there.yaml", TEAM.replace("10.0.0.1", "10.0.0.2").replace("harbor", "quay"));
    let files = FileProjects::new([file(&home, "empty.yaml", ""), there, file(&home, "team.yaml", TEAM)]);
    let proposals = files.propose(&"10.0.0.2".parse().unwrap()).await.unwrap();
    assert_eq!(proposals.len(), 1);
    assert!(proposals[0].file.ends_with("/team.yaml"));
    assert_eq!((proposals[0].before.as_str(), proposals[0].after.as_str()), (TEAM, &*TEAM.replace("10.0.0.1", "10.0.0.2")));
}

#[tokio::test]
async fn a_projects_own_address_is_the_teams_choice_and_stays() {
    let home = TempDir::new().unwrap();
    let text = format!("{TEAM}quay: {{aws: {{ec2: {{master_ip: 10.9.9.9}}}}, aws-alt: {{ci: {{ec2: {{master_ip: 10.0.0.1}}}}}}}}\n");
    let path = file(&home, "team.yaml", &text);
    let files = FileProjects::new([&path]);
    files.share(&proposal(&files).await).await.unwrap();
    assert_eq!(fs::read_to_string(path).unwrap(), text.replacen("10.0.0.1", "10.0.0.2", 1));
}

#[tokio::test]
async fn what_has_to_be_done_by_hand_is_said() {
    let home = TempDir::new().unwrap();
    let files = FileProjects::new([file(&home, "team.yaml", "\ndefaults:\n  aws: {}\n")]);
    let error = files.propose(&"10.0.0.2".parse().unwrap()).await.unwrap_err();
    assert_eq!(error.kind, PortErrorKind::Refused);
    let text = error.to_string();
    assert!(text.contains("team.yaml:3") && text.contains("'defaults.aws.ec2'") && text.contains("master_ip: 10.0.0.2"), "{text}");
}

#[tokio::test]
async fn a_shared_file_keeps_mode_and_owner_and_a_link_stays_a_link() {
    let home = TempDir::new().unwrap();
    let path = file(&home, "team.yaml", TEAM);
    fs::set_permissions(&path, Permissions::from_mode(0o664)).unwrap();
    // Only root may give a file away; for others this part tests nothing more than the rest.
    let _ = std::os::unix::fs::chown(&path, Some(12345), Some(12345));
    let before = fs::metadata(&path).unwrap();
    symlink("team.yaml", home.path().join("link.yaml")).unwrap();
    let files = FileProjects::new([home.path().join("link.yaml")]);
    files.share(&proposal(&files).await).await.unwrap();
    let after = fs::metadata(&path).unwrap();
    assert_eq!((after.mode(), after.uid(), after.gid()), (before.mode(), before.uid(), before.gid()));
    assert!(fs::symlink_metadata(home.path().join("link.yaml")).unwrap().is_symlink());
    assert_eq!(fs::read_to_string(&path).unwrap(), TEAM.replace("10.0.0.1", "10.0.0.2"));
    assert_eq!(fs::read_dir(home.path()).unwrap().count(), 2, "nothing is left beside it");
}

#[tokio::test]
async fn a_file_that_somebody_edited_meanwhile_is_left_as_it_is() {
    let home = TempDir::new().unwrap();
    let path = file(&home, "team.yaml", TEAM);
    let files = FileProjects::new([&path]);
    let shown = proposal(&files).await;
    let edited = format!("{TEAM}quay: {{}}\n");
    fs::write(&path, &edited).unwrap();
    let error = files.share(&shown).await.unwrap_err();
    assert_eq!(error.kind, PortErrorKind::Conflict, "{error}");
    assert_eq!(fs::read_to_string(&path).unwrap(), edited);
}

#[tokio::test]
async fn a_file_that_is_none_of_the_teams_is_not_written() {
    let home = TempDir::new().unwrap();
    let files = FileProjects::new([file(&home, "team.yaml", TEAM)]);
    let other = file(&home, "other.yaml", TEAM);
    let mut shown = proposal(&files).await;
    shown.file = other.display().to_string();
    assert_eq!(files.share(&shown).await.unwrap_err().kind, PortErrorKind::Refused);
    assert_eq!(fs::read_to_string(Path::new(&shown.file)).unwrap(), TEAM);
}

fn git(folder: &Path, arguments: &[&str]) -> String {
    let known = ["-c", "user.name=t", "-c", "user.email=t@t.test"];
    let output = Command::new("git").arg("-C").arg(folder).args(known).args(arguments).output().unwrap();
    assert!(output.status.success(), "git {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[tokio::test]
async fn a_file_that_git_keeps_says_how_it_stands_and_is_committed_alone() {
    let home = TempDir::new().unwrap();
    let team = file(&home, "team.yaml", TEAM);
    let files = FileProjects::new([&team]);
    assert_eq!(proposal(&files).await.history, Versioned::No, "there is no repository");
    git(home.path(), &["init", "--quiet"]);
    assert_eq!(proposal(&files).await.history, Versioned::No, "git does not keep it");
    file(&home, "other.yaml", "a: 1\n");
    git(home.path(), &["add", "."]);
    assert_eq!(proposal(&files).await.history, Versioned::Dirty, "nobody has committed it");
    git(home.path(), &["commit", "--quiet", "-m", "one"]);
    assert_eq!(proposal(&files).await.history, Versioned::Clean);
    file(&home, "team.yaml", format!("{TEAM}# mine\n"));
    assert_eq!(proposal(&files).await.history, Versioned::Dirty);
    file(&home, "team.yaml", TEAM);

    file(&home, "other.yaml", "a: 2\n");
    git(home.path(), &["add", "other.yaml"]);
    let proposed = proposal(&files).await;
    files.share(&proposed).await.unwrap();
    git(home.path(), &["config", "user.name", "t"]);
    git(home.path(), &["config", "user.email", "t@t.test"]);
    files.commit(std::slice::from_ref(&proposed.file), "a new master").await.unwrap();
    assert_eq!(
        git(home.path(), &["show", "--name-only", "--format=%s"]).split_whitespace().collect::<Vec<_>>().join(" "),
        "a new master team.yaml"
    );
    assert_eq!(git(home.path(), &["status", "--porcelain"]), "M  other.yaml\n", "what else is staged stays so");

    // What git declines is told in its own words; the file is written all the same.
    let nothing = files.commit(&[proposed.file], "again").await.unwrap_err();
    assert!(nothing.kind == PortErrorKind::Refused && nothing.problem.contains("it was not committed: git said: "), "{nothing}");
}
