//! Does every way a highstate is known to end come out as what it was?

use super::*;

const LIMIT: Duration = Duration::from_secs(900);

fn apply(exit: u32, stdout: &str) -> Highstate {
    of(exit, stdout, "", HighstateMode::Apply, LIMIT)
}

fn state(key: &str, result: &str, changes: &str) -> String {
    format!(r#""{key}": {{"result": {result}, "changes": {changes}, "comment": "hunter2", "name": "curl -u x:hunter2"}}"#)
}

#[test]
fn states_are_counted_and_failures_named_without_their_content() {
    let states = [
        state("pkg_|-nginx_|-nginx_|-installed", "true", "{}"),
        state("file_|-web-server_|-/etc/x_|-managed", "false", "{}"),
        state("cmd_|-run it_|-curl -u x:hunter2_|-run", "true", r#"{"pid": 1}"#),
    ];
    let ended = apply(2, &format!("{{\"local\": {{{}}}}}", states.join(",")));
    assert!(!ended.succeeded);
    assert_eq!(ended.summary, "3 states, 1 changed, 1 failed");
    assert_eq!(ended.failed, ["web-server (file.managed)"]);
    assert_eq!(ended.changed, ["run it (cmd.run)"]);
}

#[test]
fn success_needs_a_state_and_an_exit_code_of_zero() {
    let one = format!("Deprecated: something\n{{\n  \"local\": {{{}}}\n}}\n", state("a_|-b_|-c_|-d", "true", "{}"));
    assert_eq!(apply(0, &one), Highstate { succeeded: true, summary: "1 state, 0 changed".into(), ..Highstate::default() });
    assert!(!apply(1, &one).succeeded);
    let unreadable = apply(0, "local: {}");
    assert!(unreadable.succeeded && unreadable.summary.contains("no JSON"), "an outputter that is configured otherwise");
    assert!(!apply(1, "local: {}").succeeded);
    for nothing in [r#"{"local": {}}"#, "", "{}", r#"{"local": true}"#, r#"{"local": {"a": "b"}}"#] {
        assert!(!apply(0, nothing).succeeded, "{nothing}");
    }
    let none = format!("{{\"local\": {{{}}}}}", state("no_|-states_|-states_|-None", "false", "{}"));
    assert!(apply(2, &none).summary.contains("top.sls assigns none"));
}

#[test]
fn a_trial_says_what_would_change() {
    let states = [state("a_|-b_|-c_|-d", "null", "{}"), state("a_|-e_|-c_|-d", "true", "{}")];
    let ended = of(0, &format!("{{\"local\": {{{}}}}}", states.join(",")), "", HighstateMode::Test, LIMIT);
    assert_eq!((ended.succeeded, &*ended.summary, ended.failed.len(), ended.changed.len()), (true, "2 states, 1 would change", 0, 1));
}

#[test]
fn errors_are_told_by_kind_and_never_quoted() {
    let errors = |text: &str| apply(1, &serde_json::json!({ "local": [text] }).to_string()).summary;
    let running = "The function \"state.highstate\" is running as PID 4711 and was started at 2026, Nov 22";
    assert!(errors(running).contains("PID 4711"));
    assert!(errors("Rendering SLS 'base:web.site' failed: Jinja hunter2").contains("'base:web.site' cannot be rendered"));
    assert!(errors("No matching sls found for 'gone' in env 'base'").contains("'gone'"));
    assert!(errors("Pillar failed to render with the following messages: hunter2").contains("pillar"));
    for text in [running, "Rendering SLS 'a b' failed: hunter2", "password: hunter2", "Pillar failed to render: hunter2"] {
        assert!(!errors(text).contains("hunter2"), "{text}");
    }
}

#[test]
fn a_master_that_does_not_answer_is_told_apart_from_one_that_says_no() {
    let said = |exit, stdout: &str, stderr: &str| of(exit, stdout, stderr, HighstateMode::Apply, LIMIT).summary;
    assert!(said(124, "", "").starts_with("no answer from the master within 900 s"));
    assert!(said(137, "", "").starts_with("no answer from the master within 900 s"));
    assert!(said(77, "", "").contains("refuses the minion's key"));
    assert!(said(42, "", "").contains("another key than the one the minion's configuration pins"));
    assert!(said(2, "The Salt Master has cached the public key for this node, this salt minion will wait", "").contains("not accepted"));
    assert!(said(1, "", "Unable to sign_in to master: Attempt to authenticate with the salt master failed").contains("did not answer"));
    assert!(said(127, "", "").contains("no salt-call"));
    assert!(said(1, "", "hunter2").contains("ended with 1") && !said(1, "", "hunter2").contains("hunter2"));
}

#[test]
fn states_are_told_as_they_begin_and_names_that_may_be_secrets_are_not() {
    let (begun, mut states) = futures::channel::mpsc::unbounded();
    let mut progress = Progress::telling(begun);
    let log = "Welcome to the node\n\
        [INFO    ] Executing state file.managed for [/etc/motd]\n\
        [INFO    ] Executing state cmd.run for [mysql -psecret]\n\
        [INFO    ] Executing state cmd.script for [secret]\n\
        [INFO    ] Executing state git.latest for [https://token@git.example.org/x]\n\
        [INFO    ] Executing state pkg.installed for nginx\n\
        bldr-answer\nstdout is [INFO    ] Executing state x.y for [z]\n";
    // However it is cut into packets.
    for piece in log.as_bytes().chunks(7) {
        progress.hear(piece);
    }
    drop(progress);
    let told: Vec<String> = std::iter::from_fn(|| states.try_recv().ok()).collect();
    assert_eq!(told, ["file.managed /etc/motd", "cmd.run", "cmd.script", "git.latest", "pkg.installed nginx"]);
}
