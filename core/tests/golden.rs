//! Does the core do what existing fleets depend on? Cases that were taken from the program whose fleets bldr takes over.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use bldr_core::{
    address::MasterAddress,
    build_vars::BuildVars,
    context::{Context, Rewrite},
    json::{self, Object, Value},
    name::StackName,
    precedence,
    project::Projects,
    stage::Stage,
};

fn cases(text: &str) -> Vec<Value> {
    let Value::Array(cases) = json::parse(text).unwrap() else { panic!("a list of cases") };
    assert!(!cases.is_empty());
    cases
}

fn text(case: &Value, key: &str) -> String {
    case.at(&[key]).and_then(Value::as_string).unwrap_or_else(|| panic!("{key} in {case}"))
}

fn texts(case: &Value, key: &str) -> Vec<String> {
    let Some(Value::Array(items)) = case.at(&[key]) else { panic!("{key} in {case}") };
    items.iter().map(|item| item.as_string().unwrap()).collect()
}

#[test]
fn masters_sort_as_they_always_did() {
    let mut seen = 0;
    for case in cases(include_str!("cases/precedence.json")) {
        // A status case without stacks lists only what came of it.
        let mut stacks = texts(&case, "stacks");
        let expected: Vec<String> = texts(&case, "ordered");
        if stacks.is_empty() {
            stacks = expected.iter().rev().cloned().collect();
        }
        let names: Vec<StackName> = stacks.iter().filter_map(|name| name.parse().ok()).collect();
        let ordered: Vec<String> = precedence::ordered(&names).into_iter().map(ToString::to_string).collect();
        // The original took any name with the text in it for a master.
        let expected: Vec<String> = expected.into_iter().filter(|name| name.starts_with("master-server--")).collect();
        assert_eq!(ordered, expected, "{}", text(&case, "note"));
        seen += 1;
    }
    assert_eq!(seen, 19);
}

#[test]
fn addresses_are_rewritten_to_the_same_text() {
    for case in cases(include_str!("cases/set-master-address.json")) {
        let context = Context::parse(&text(&case, "context_text")).unwrap();
        let master: MasterAddress = text(&case, "master_ip").parse().unwrap();
        let Rewrite::Context(rewritten) = context.repointed_to(&master).unwrap() else { panic!("{case}") };
        assert_eq!(rewritten.to_text(), text(&case, "after_text"), "{}", text(&case, "note"));
    }
}

#[test]
fn build_vars_are_derived_and_encoded_to_the_same_text() {
    let mut odd = Vec::new();
    for case in cases(include_str!("cases/build-vars.json")) {
        let note = text(&case, "note");
        let encoded = text(&case, "encoded");
        let decoded = BuildVars::decode(&encoded).unwrap();
        assert_eq!((decoded.to_text(), decoded.encode()), (text(&case, "build_vars_text"), encoded), "{note}");
        // A node is a number here; what the original made of other things cannot be asked for.
        let Some(number) = case.at(&["node"]).filter(|n| matches!(n, Value::Int(_))).and_then(|n| n.to_string().parse().ok()) else {
            odd.push(note);
            continue;
        };
        let context = Context::parse(&text(&case, "context_text")).unwrap();
        let stack: StackName = context.as_object().get("stackname").and_then(Value::as_string).unwrap().parse().unwrap();
        assert_eq!(BuildVars::derived(&context, &stack.node(number)), decoded, "{note}");
    }
    odd.sort();
    assert_eq!(odd, ["node '1'", "node 1.5", "node None"]);
}

#[test]
fn stacks_are_re_mastered_in_the_same_order() {
    for case in cases(include_str!("cases/remaster-order.json")) {
        let mut root = Object::default();
        root.set("defaults", json::parse("{\"aws\": {}}").unwrap());
        match case.at(&["ec2_projects"]).unwrap() {
            Value::Object(projects) => {
                projects.iter().for_each(|(name, data)| root.set(&name.decoded().unwrap(), data.clone()));
            }
            _ => texts(&case, "ec2_projects").iter().for_each(|name| root.set(name, json::parse("{\"aws\": {\"ec2\": true}}").unwrap())),
        }
        let projects = Projects::from_file("case", root.into()).unwrap();
        let Some(Value::Array(active)) = case.at(&["active_stacks"]) else { panic!("{case}") };
        // A case that gives CloudFormation's states: the fleet is what EC2 lists, and these have no instances there.
        let gone = ["ROLLBACK_COMPLETE", "UPDATE_IN_PROGRESS", "CREATE_FAILED"];
        let listed = active.iter().filter_map(|entry| match entry {
            Value::Array(pair) => pair[1].as_string().filter(|state| !gone.contains(&state.as_str())).and(pair[0].as_string()),
            name => name.as_string(),
        });
        let mut stacks: Vec<StackName> = listed.filter_map(|name| name.parse().ok()).collect();
        stacks.retain(|stack| !stack.is_master() && projects.get(&stack.project()).is_some() && projects.is_ec2(&stack.project()));
        stacks.sort_by_key(|stack| (stack.project(), Stage::of(stack), stack.clone()));
        // 'harbor--prod ' with its blank is refused as a name.
        let expected: Vec<String> = texts(&case, "order").into_iter().filter(|name| name.parse::<StackName>().is_ok()).collect();
        assert_eq!(stacks.iter().map(ToString::to_string).collect::<Vec<_>>(), expected, "{}", text(&case, "note"));
    }
}

#[test]
fn whole_contexts_read_back_to_the_same_text() {
    for case in cases(include_str!("cases/build-context.json")) {
        let written = case.at(&["context"]).unwrap().to_string();
        assert_eq!(Context::parse(&written).unwrap().to_text(), written);
    }
}
