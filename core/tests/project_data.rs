//! Do merged projects say what the original made of the same files?
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a panic is how a test fails")]

use bldr_core::{
    json::{self, Object, Value},
    name::{ProjectName, StackName},
    project::{ProjectError, Projects},
};
use proptest::prelude::*;

fn cases() -> Vec<Value> {
    let Value::Array(cases) = json::parse(include_str!("cases/project-data.json")).unwrap() else { panic!("no list of cases") };
    cases
}

fn texts(value: &Value) -> Vec<String> {
    let Value::Array(items) = value else { panic!("no list: {value}") };
    items.iter().map(|item| item.as_string().unwrap()).collect()
}

fn projects(text: &str) -> Result<Projects, ProjectError> {
    Projects::from_file("team.yaml", json::parse(text).unwrap())
}

fn project(name: &str) -> ProjectName {
    name.parse().unwrap()
}

fn stack(name: &str) -> StackName {
    name.parse().unwrap()
}

#[test]
fn every_case_of_the_original_comes_out_the_same() {
    for case in cases() {
        let note = case.at(&["note"]).unwrap();
        let expected = case.at(&["expected"]).unwrap();
        let projects = Projects::from_file("team.yaml", case.at(&["project"]).unwrap().clone()).unwrap();
        let merged: Object = projects.names().map(|name| (name.as_str().into(), projects.get(name).unwrap().clone().into())).collect();
        assert_eq!(Value::from(merged).to_string(), expected.at(&["projects"]).unwrap().to_string(), "{note}");
        assert_eq!(projects.names().map(ProjectName::as_str).collect::<Vec<_>>(), texts(expected.at(&["order"]).unwrap()), "{note}");
        let ec2: Vec<_> = projects.ec2_projects().into_iter().map(ProjectName::as_str).collect();
        assert_eq!(ec2, texts(expected.at(&["ec2_projects"]).unwrap()), "{note}");
        assert_eq!(projects.regions().into_iter().collect::<Vec<_>>(), texts(expected.at(&["regions"]).unwrap()), "{note}");
        match expected.at(&["known_formulas"]).unwrap() {
            Value::Null => assert!(matches!(projects.known_formulas(), Err(ProjectError::Formulas { .. })), "{note}"),
            formulas => assert_eq!(projects.known_formulas().unwrap(), texts(formulas), "{note}"),
        }
        for (name, aws) in expected.at(&["aws_for_stackname"]).unwrap().as_object().unwrap().iter() {
            let found = projects.aws_for(&stack(&name.decoded().unwrap()), None).cloned().unwrap_or(Value::Null);
            assert_eq!(found.to_string(), aws.to_string(), "{note}: {name:?}");
        }
    }
}

const TEAM: &str = r#"{"defaults": {"aws": {"ec2": {"master_ip": "10.0.0.1"}}},
    "harbor": {"aws": {}, "aws-alt": {"1604": {"ec2": {"master_ip": "10.0.0.9"}}, "bare": {"ec2": true}}},
    "quay": {"aws": {"ec2": {"master_ip": "10.0.0.5"}}}, "pier": {}}"#;

#[test]
fn the_shared_master_is_the_alternates_then_the_projects_then_the_defaults() {
    let projects = projects(TEAM).unwrap();
    for (name, master) in [
        ("harbor--1604", "10.0.0.9"),
        ("harbor--ci", "10.0.0.1"),
        ("harbor--bare", "10.0.0.1"),
        ("quay--prod", "10.0.0.5"),
        ("pier--prod", "10.0.0.1"),
        ("unheard-of--prod", "10.0.0.1"),
    ] {
        assert_eq!(projects.shared_master(&stack(name), None).as_deref(), Some(master), "{name}");
    }
    for (asked, master) in [("1604", "10.0.0.9"), ("bare", "10.0.0.1"), ("gone", "10.0.0.1")] {
        assert_eq!(projects.shared_master(&stack("harbor--ci"), Some(asked)).as_deref(), Some(master), "{asked}");
    }
    assert_eq!(projects.shared_master(&stack("harbor--1604"), Some("bare")).as_deref(), Some("10.0.0.1"));
    assert_eq!(Projects::default().shared_master(&stack("harbor--ci"), None), None);
}

#[test]
fn an_unknown_project_has_no_master_where_files_disagree() {
    let other =
        Projects::from_file("other.yaml", json::parse(r#"{"defaults": {"aws": {"ec2": {"master_ip": "10.9.9.9"}}}, "mole": {}}"#).unwrap());
    let both = projects(TEAM).unwrap().joined(other.unwrap()).unwrap();
    assert_eq!(both.shared_master(&stack("unheard-of--prod"), None), None);
    assert_eq!(both.shared_master(&stack("mole--prod"), None).as_deref(), Some("10.9.9.9"));
    assert_eq!(both.names().map(ProjectName::as_str).collect::<Vec<_>>(), ["harbor", "quay", "pier", "mole"]);
}

#[test]
fn a_project_in_two_files_is_an_error_that_names_both() {
    let other = Projects::from_file("other.yaml", json::parse(r#"{"defaults": {}, "quay": {}}"#).unwrap()).unwrap();
    let error = projects(TEAM).unwrap().joined(other).unwrap_err().to_string();
    assert_eq!(error, "project 'quay' is in two files, team.yaml and other.yaml");
}

#[test]
fn what_cannot_be_merged_is_named() {
    for (text, message) in [
        ("[]", "team.yaml: a project file is a map, this is a list"),
        ("{}", "team.yaml: it has no 'defaults' section"),
        (r#"{"harbor": {}}"#, "team.yaml: it has no 'defaults' section"),
        (r#"{"defaults": 1}"#, "team.yaml: 'defaults' has to be a map, this is the number 1"),
        (r#"{"defaults": {}, "harbor": true}"#, "team.yaml: 'harbor' has to be a map, this is a boolean"),
        (r#"{"defaults": {}, "harbor": {"aws-alt": []}}"#, "team.yaml: 'harbor.aws-alt' has to be a map, this is a list"),
        (r#"{"defaults": {}, "harbor": {"aws-alt": {"ci": "x"}}}"#, "team.yaml: 'harbor.aws-alt.ci' has to be a map, this is a string"),
        (
            r#"{"defaults": {}, "har bor": {}}"#,
            "team.yaml: 'har bor' is not a name: ' ' is not allowed (letters, digits, '-', '_' and '.' are)",
        ),
    ] {
        assert_eq!(projects(text).unwrap_err().to_string(), message, "{text}");
    }
}

#[test]
fn odd_shapes_merge_by_the_one_rule_that_anything_but_maps_replaces() {
    for (text, aws, ec2) in [
        (r#"{"defaults": null, "a": {"aws": {"ec2": {"x": 1}}}}"#, r#"{"ec2": {"x": 1}}"#, true),
        (r#"{"defaults": {"aws": true}, "a": {"aws": {"ec2": {}}}}"#, r#"{"ec2": {}}"#, false),
        (r#"{"defaults": {"aws": {"ec2": {"x": 1}}}, "a": {"aws": true}}"#, "true", false),
        (r#"{"defaults": {"aws": {"ec2": {"x": 1}}}, "a": {"aws": null, "aws-alt": {"x": {"ec2": {"y": 2}}}}}"#, "null", false),
        (r#"{"defaults": {"aws": {"ec2": {"x": 1}}}, "a": {"aws": {"ec2": "yes"}}}"#, r#"{"ec2": "yes"}"#, false),
        (r#"{"defaults": {"aws": {"ec2": {"x": 1}}}, "a": {"aws": {"ec2": false}, "aws-alt": null}}"#, r#"{"ec2": false}"#, false),
    ] {
        let projects = projects(text).unwrap();
        assert_eq!(projects.aws_for(&stack("a--b"), None).unwrap().to_string(), aws, "{text}");
        assert_eq!(projects.is_ec2(&project("a")), ec2, "{text}");
    }
}

#[test]
fn an_alternate_that_says_nothing_is_the_projects_own_section() {
    let projects =
        projects(r#"{"defaults": {"aws": {"ec2": {"x": 1}, "rds": {}}}, "a": {"aws": {"ec2": {"y": 2}}, "aws-alt": {"ci": null}}}"#)
            .unwrap();
    assert_eq!(projects.aws_for(&stack("a--ci"), None).unwrap().to_string(), r#"{"ec2": {"x": 1, "y": 2}}"#);
}

#[test]
fn an_unknown_project_has_no_section() {
    let projects = projects(TEAM).unwrap();
    assert!(projects.aws_for(&stack("unheard-of--prod"), None).is_none());
    assert!(!projects.is_ec2(&project("unheard-of")));
}

#[test]
fn formulas_that_are_no_texts_are_named() {
    for (text, message) in [
        (r#"{"defaults": {}, "a": {"formula-repo": 5}}"#, "project 'a': 'formula-repo' has to be text, this is the number 5"),
        (
            r#"{"defaults": {}, "a": {"formula-dependencies": "x"}}"#,
            "project 'a': 'formula-dependencies' has to be a list, this is a string",
        ),
        (r#"{"defaults": {}, "a": {"formula-dependencies": [{}]}}"#, "project 'a': 'formula-dependencies' has to be text, this is a map"),
    ] {
        assert_eq!(projects(text).unwrap().known_formulas().unwrap_err().to_string(), message);
    }
}

/// The rule as one would tell it: slow, and surely right.
fn merged_by_the_book(base: &Value, over: &Value) -> Value {
    let (Value::Object(base), Value::Object(over)) = (base, over) else { return over.clone() };
    let mut merged = base.clone();
    for (key, value) in over.iter() {
        let key = key.decoded().unwrap();
        let merged_value = merged.get(&key).map_or_else(|| value.clone(), |old| merged_by_the_book(old, value));
        merged.set(&key, merged_value);
    }
    merged.into()
}

/// Maps in maps with few different keys, so that they meet; now and then one with more keys than are searched through.
fn maps() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![Just(Value::Null), any::<bool>().prop_map(Value::from), any::<u64>().prop_map(Value::from)];
    leaf.prop_recursive(4, 200, 90, |inner| {
        let few = prop::collection::vec((0_u8..9, inner.clone()), 0..9);
        let many = prop::collection::vec((0_u8..120, inner), 60..90);
        prop_oneof![6 => few, 1 => many]
            .prop_map(|pairs| pairs.into_iter().map(|(key, value)| ((&*format!("k{key}\u{e4}")).into(), value)).collect::<Object>().into())
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]
    #[test]
    fn projects_merge_over_defaults_by_the_book(defaults in maps(), own in maps()) {
        let object = |value: Value| [("x".into(), value)].into_iter().collect::<Object>();
        let root: Object = [("defaults".into(), object(defaults.clone()).into()), ("p".into(), object(own.clone()).into())].into_iter().collect();
        let projects = Projects::from_file("team.yaml", root.into()).unwrap();
        let merged = projects.get(&project("p")).unwrap().get("x").unwrap();
        prop_assert_eq!(merged.to_string(), merged_by_the_book(&defaults, &own).to_string());
    }
}

#[test]
fn whoever_names_a_master_is_named() {
    let text = r#"{"defaults": {"aws": {"ec2": {"master_ip": "10.0.0.1"}}, "aws-alt": {}},
        "harbor": {"aws": {}}, "quill": {"aws": {"ec2": {"master_ip": "10.0.0.9"}}},
        "ferry": {"aws": {}, "aws-alt": {"prod": {"ec2": {"master_ip": "10.0.0.9"}}}}}"#;
    let projects = Projects::from_file("team.yaml", json::parse(text).unwrap()).unwrap();
    assert_eq!(projects.naming("10.0.0.1"), ["the defaults of team.yaml"]);
    let own = ["alternate 'prod' of project 'ferry' in team.yaml", "project 'quill' in team.yaml"];
    assert_eq!(projects.naming("10.0.0.9"), own);
    assert_eq!(projects.naming("10.0.0.2"), [""; 0]);
}
