//! The last line of a record is torn: the program was killed, or the machine lost power, while it was written.

use super::{Faulted, NAMES, node};
use crate::salted::{B, Stack};
use serde_json::Value;
use std::fs;

/// Where it is torn, and the step that went on.
pub const TORN: [(&str, &str); 4] =
    [("in its middle", "prove"), ("in its middle", "highstate"), ("before its end", "confirm"), ("in its middle", "the run begins")];

/// What of a record is left.
fn torn(text: &str, at: &str) -> String {
    let last = text.trim_end().rfind('\n').map_or(0, |end| end + 1);
    let length = text.trim_end().len() - last;
    let left = match at {
        "in its middle" => length / 2,
        "before its end" => length,
        other => panic!("it is torn {other}"),
    };
    text[..last + left].to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_torn_record_says_up_to_there_is_told_and_its_run_is_finished() {
    let stacks = NAMES[..TORN.len()].iter().map(|name| Stack::new(name)).collect();
    let faulted = Faulted::light(stacks).await;
    faulted.highstates_take(10, faulted.nodes()).await;
    for ((at, step), stack) in TORN.into_iter().zip(NAMES) {
        let mut going = faulted.begin(stack, B, "").await;
        match step {
            "the run begins" => going.tells(|event| event["event"] == "run_started").await,
            _ => going.begins(step).await,
        }
        going.kill().await;
        faulted.highstates_take(0, [node(stack)]).await;
        let home = faulted.operator(stack);
        let record = faulted.record(&home);
        let mut text = fs::read_to_string(&record).unwrap();
        if step == "the run begins" {
            text.truncate(text.find('\n').unwrap() + 1);
        }
        fs::write(&record, torn(&text, at)).unwrap();
        faulted.judge().await;
        let whole: Vec<Value> = fs::read_to_string(&record).unwrap().lines().map_while(|line| serde_json::from_str(line).ok()).collect();
        let (code, runs, errors) = faulted.fleet.bldr_at(&home, &["runs"]).await;
        assert_eq!(code, Some(0), "{errors}");
        let line = if step == "the run begins" {
            // Nothing is known of it but that it was to be.
            assert!(runs[0]["runs"].as_array().unwrap().is_empty() && errors.contains("its record has no beginning"), "{runs:?} {errors}");
            let (code, _, errors) = faulted.fleet.bldr_at(&home, &["run.show:last"]).await;
            assert!(code == Some(3) && errors.contains("its record has no beginning"), "{errors}");
            format!("master.remaster:{stack},{B}")
        } else {
            assert_eq!(runs[0]["runs"][0]["standing"], "cut_short");
            // What is torn off counts as nothing: a line without its end was promised to nobody.
            let told = if at == "before its end" { &whole[..whole.len() - 1] } else { &whole };
            faulted.is_recorded(&home, stack, B, told).await;
            "run.resume:last".to_owned()
        };
        let (code, events, _) = faulted.fleet.bldr_at(&home, &[&line, "--yes"]).await;
        assert_eq!(code, Some(0), "{events:?}");
        faulted.is_recorded(&home, stack, B, &events).await;
    }
    faulted.arrived(B).await;
}
