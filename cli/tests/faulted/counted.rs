//! How many faults are thrown at the lab? What the tests beside this one throw, by kind: each throws all that it lists, and fails otherwise.

use super::{aws, booted, clock, disk, edited, killed, masters, network, operators, s3, torn};

/// By the words of docs/faults.md, which has the same counts.
fn kinds() -> [(&'static str, usize); 12] {
    [
        ("program killed", killed::STEPS.len() + 1),
        ("record torn", torn::TORN.len()),
        ("network cut, node hangs", network::CUT.len() + network::FROZEN.len()),
        ("node rebooted", network::REBOOTED.len() + booted::REBOOTED.len()),
        ("master restarted, down, hangs", masters::MASTERS.len() + booted::MASTERS.len()),
        ("AWS throttles, fails, gives half", aws::SURVEYED.len() + aws::SWITCHED.len()),
        ("store refuses, fails, is slow, 409, 412", s3::S3.len() + s3::RECORD.len()),
        ("disk full", disk::RECORD.len() + disk::CONTEXTS.len()),
        ("clock stepped", clock::STEPPED.len() + 1),
        ("two operators", operators::REFUSED.len() + operators::BROKEN.len()),
        ("old checkout", edited::STALE.len()),
        ("malformed context or build vars", edited::MALFORMED.len()),
    ]
}

#[test]
fn over_sixty_faults_are_thrown_at_real_parts_and_the_documents_say_how_many() {
    let kinds = kinds();
    for (kind, thrown) in kinds {
        println!("{thrown:>5}  {kind}");
    }
    // Those that are thrown at a program whose lock is in S3 are of two kinds.
    assert_eq!(s3::PROGRAM.map(|(what, _)| what), ["killed", "its clock put forward by an hour"]);
    let all: usize = kinds.iter().map(|(_, thrown)| thrown).sum();
    println!("{all:>5}  faults in all");
    assert!(all > 60, "{all}");
    let document = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/faults.md")).unwrap();
    for (kind, thrown) in kinds.into_iter().chain([("in all", all)]) {
        let row = document.lines().find(|line| line.starts_with(&format!("| {kind} |"))).unwrap_or_else(|| panic!("no row for {kind}"));
        assert!(row.ends_with(&format!("| {thrown} |")), "{thrown} {kind}, and docs/faults.md says: {row}");
    }
}
