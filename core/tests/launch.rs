//! Does a stack that is launched get the context it always got, and the machines its project asks for?
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a panic is how a test fails")]

use bldr_core::{
    build_vars::BuildVars,
    fleet::{ContextFacts, Timestamp},
    json::{self, Object, Value},
    launch::{Launch, LaunchError, MachineSpec, OpenPort},
    name::StackName,
    project::Projects,
};
use proptest::prelude::*;

/// What the original filled in for a database that it made along with the stack. bldr makes no databases: there these are
/// null and empty, and the last two are not at all.
const OF_DATABASES: [&str; 7] = ["rds_dbname", "rds_username", "rds_password", "rds_instance_id", "rds", "netmask", "rds_params"];

/// 2018-04-20, a minute before midnight in Greenwich.
const DAY: Timestamp = Timestamp(1_524_268_740_000);

fn stack(name: &str) -> StackName {
    name.parse().unwrap()
}

fn launch<'a>(projects: &'a Projects, stack: &'a StackName) -> Launch<'a> {
    Launch { projects, stack, alternate: None, master: None, author: "author-name", now: DAY }
}

fn team(text: &str) -> Projects {
    Projects::from_file("team.yaml", json::parse(text).unwrap()).unwrap()
}

/// A project `harbor` of nothing but this `aws` section.
fn harbor(aws: &str) -> Projects {
    team(&format!(r#"{{"defaults": {{}}, "harbor": {{"aws": {aws}}}}}"#))
}

/// The same, of nothing but this `aws.ec2` and what it takes to make a machine.
fn of_ec2(ec2: &str) -> Projects {
    harbor(&format!(r#"{{"type": "t2.small", "subnet-id": "subnet-1", "redundant-subnet-id": "subnet-2", "ec2": {ec2}}}"#))
}

fn context(projects: &Projects, name: &str) -> Value {
    launch(projects, &stack(name)).context().unwrap().as_object().clone().into()
}

/// What the context of `harbor--ci.2` has under a key.
fn part(aws: &str, key: &str) -> Result<String, String> {
    let context = launch(&harbor(aws), &stack("harbor--ci.2")).context().map_err(|error| error.to_string())?;
    Ok(context.as_object().get(key).unwrap().to_string())
}

fn nodes(ec2: &str) -> Result<Vec<u64>, String> {
    launch(&of_ec2(ec2), &stack("harbor--ci")).nodes().map_err(|error| error.to_string())
}

fn machine(aws: &str, node: u64) -> Result<MachineSpec, String> {
    launch(&harbor(aws), &stack("harbor--ci")).machine(node).map_err(|error| error.to_string())
}

fn ports(ports: &str) -> Result<Vec<String>, String> {
    let shown = |port: OpenPort| format!("{}-{}/{} {}", port.from, port.to, port.protocol, port.cidr);
    let ports = launch(&harbor(&format!(r#"{{"ec2": true, "ports": {ports}}}"#)), &stack("harbor--ci")).ports();
    ports.map(|ports| ports.into_iter().map(shown).collect()).map_err(|error| error.to_string())
}

#[test]
fn a_launched_stack_gets_the_context_it_always_got() {
    // The file the cases were made from is not among them; this one was worked out from what they say of their projects.
    let projects = team(include_str!("cases/build-context-projects.json"));
    let Value::Array(cases) = json::parse(include_str!("cases/build-context.json")).unwrap() else { panic!("no list of cases") };
    let mut databases = Vec::new();
    for case in cases {
        let name = case.at(&["stack"]).and_then(Value::as_string).unwrap();
        let alternate = case.at(&["alternate"]).and_then(Value::as_string);
        let stack = stack(&name);
        let mut expected = case.at(&["context"]).and_then(Value::as_object).unwrap().clone();
        if expected.get("rds_dbname") != Some(&Value::Null) {
            OF_DATABASES[..4].iter().for_each(|key| expected.set(key, Value::Null));
            expected.set("rds", Object::default());
            OF_DATABASES[5..].iter().for_each(|key| drop(expected.remove(key)));
            databases.push(name.clone());
        }
        let launch = launch(&projects, &stack);
        let asked_for = Launch { alternate: alternate.as_deref(), ..launch };
        assert_eq!(asked_for.context().unwrap().to_text(), Value::from(expected.clone()).to_string(), "{name}");
        // What was asked for was the id of the stack, and no alternate: that is only in the context where it was typed.
        if name == "harbor--ci" {
            expected.set("alt-config", Value::Null);
        }
        assert_eq!(launch.context().unwrap().to_text(), Value::from(expected).to_string(), "{name}, by its instance id");
    }
    assert_eq!(databases, ["harbor--prod", "harbor--end2end"]);
}

const ALTERNATES: &str = r#"{"defaults": {"aws": {"ec2": {"master_ip": "10.0.0.1", "masterless": false}, "rds": {}}},
    "harbor": {"aws": {"type": "small"}, "aws-alt": {
        "big": {"type": "large"}, "one": {"unique": true}, "only": {"ec2": {"unique": true}}, "none": {"ec2": false}, "hermit": {"ec2": {"masterless": true}}}},
    "quay": {"aws": {}}, "bucket": {"aws": {"ec2": false}}, "wharf": {"aws": {"ec2": true}}, "pier": {}}"#;

#[test]
fn the_alternate_that_is_asked_for_comes_before_the_one_of_the_instance_id() {
    let projects = team(ALTERNATES);
    for (name, asked, chosen, kind) in [
        ("harbor--ci", None, "null", "\"small\""),
        ("harbor--big", None, "\"big\"", "\"large\""),
        ("harbor--ci", Some("big"), "\"big\"", "\"large\""),
        ("harbor--big", Some("one"), "\"one\"", "\"small\""),
    ] {
        let stack = stack(name);
        let context = Launch { alternate: asked, ..launch(&projects, &stack) }.context().unwrap();
        let context: Value = context.as_object().clone().into();
        assert_eq!(context.at(&["alt-config"]).unwrap().to_string(), chosen, "{name}");
        for place in [&["ec2", "type"][..], &["project", "aws", "type"], &["project", "aws", "ec2", "type"]] {
            assert_eq!(context.at(place).unwrap().to_string(), kind, "{name} {place:?}");
        }
        assert_eq!(context.at(&["project", "aws-alt", "big", "ec2", "type"]), None, "alternates stay as they are");
    }
}

#[test]
fn what_cannot_be_launched_is_named() {
    let projects = team(ALTERNATES);
    for (name, asked, message) in [
        ("mole--ci", None, "there is no project 'mole' in the project files"),
        ("harbor--ci", Some("bgi"), "project 'harbor' has no alternate 'bgi'; it has big, one, only, none, hermit"),
        ("quay--ci", Some("big"), "project 'quay' has no alternate 'big'; it has none"),
        ("bucket--ci", None, "project 'bucket': its stacks have no machines, 'aws.ec2' is missing, false or empty"),
        ("pier--ci", None, "project 'pier': its stacks have no machines, 'aws.ec2' is missing, false or empty"),
        ("harbor--none", None, "project 'harbor': its stacks have no machines, 'aws-alt.none.ec2' is missing, false or empty"),
    ] {
        let stack = stack(name);
        let launch = Launch { alternate: asked, ..launch(&projects, &stack) };
        for error in [launch.context().unwrap_err(), launch.nodes().unwrap_err(), launch.ports().unwrap_err()] {
            assert_eq!(error.to_string(), message);
        }
    }
}

#[test]
fn a_name_that_ec2_and_files_have_no_room_for_is_refused() {
    let projects = team(ALTERNATES);
    let of = |length: usize| launch(&projects, &stack(&format!("harbor--{}", "x".repeat(length - 8)))).context().map(drop);
    assert_eq!(of(240), Ok(()));
    let refused = of(241).unwrap_err().to_string();
    assert!(refused.ends_with("x' has 241 characters, and 240 is the most that EC2 and files have room for"), "{refused}");
}

#[test]
fn an_alternate_says_itself_or_in_its_ec2_that_it_is_the_only_one() {
    let projects = team(ALTERNATES);
    for (name, unique) in [("harbor--one", true), ("harbor--only", true), ("harbor--big", false), ("harbor--ci", false)] {
        assert_eq!(launch(&projects, &stack(name)).is_unique(), Ok(unique), "{name}");
    }
    assert_eq!(launch(&harbor(r#"{"unique": true, "ec2": true}"#), &stack("harbor--ci")).is_unique(), Ok(false));
}

#[test]
fn the_master_in_charge_is_written_down_in_both_places_unless_there_is_to_be_none() {
    let projects = team(ALTERNATES);
    let master = "10.0.0.9".parse().unwrap();
    for (name, given, written) in [
        ("harbor--ci", None, r#"{"master_ip": "10.0.0.1", "masterless": false, "type": "small"}"#),
        ("harbor--ci", Some(&master), r#"{"master_ip": "10.0.0.9", "masterless": false, "type": "small"}"#),
        ("harbor--hermit", Some(&master), r#"{"masterless": true, "type": "small"}"#),
        ("wharf--ci", None, r#"{"master_ip": "10.0.0.1"}"#),
        ("wharf--ci", Some(&master), r#"{"master_ip": "10.0.0.9"}"#),
    ] {
        let stack = stack(name);
        let context = Launch { master: given, ..launch(&projects, &stack) }.context().unwrap();
        let root: Value = context.as_object().clone().into();
        for place in [&["ec2"][..], &["project", "aws", "ec2"]] {
            assert_eq!(root.at(place).unwrap().to_string(), written, "{name} {place:?}");
        }
        let masterless = context.facts() == Ok(ContextFacts::Masterless);
        assert_eq!((masterless, context.facts().unwrap().names_only(&master)), (name == "harbor--hermit", !masterless && given.is_some()));
    }
}

#[test]
fn the_type_beside_ec2_takes_the_place_of_the_one_in_it() {
    assert_eq!(part(r#"{"type": "large", "ec2": {"type": "small", "x": 1}}"#, "ec2").unwrap(), r#"{"type": "large", "x": 1}"#);
    assert_eq!(part(r#"{"type": null, "ec2": {"type": "small"}}"#, "ec2").unwrap(), r#"{"type": "small"}"#);
}

#[test]
fn names_are_made_out_for_the_instance_and_the_project_keeps_them_as_written() {
    for (aws, key, made_out) in [
        (r#"{"s3": {"b-{instance}": {"public": true}, "c": null}}"#, "s3", r#"{"b-ci.2": {"public": true}, "c": null}"#),
        (r#"{"s3": []}"#, "s3", "{}"),
        (r#"{"sns": ["t-{instance}", "u"]}"#, "sns", r#"["t-ci.2", "u"]"#),
        (r#"{}"#, "sns", "[]"),
        (
            r#"{"sqs": {"q-{instance}": {"subscriptions": ["t-{instance}"]}, "r": null, "s": {}}}"#,
            "sqs",
            r#"{"q-ci.2": ["t-ci.2"], "r": [], "s": []}"#,
        ),
        (r#"{"sqs": []}"#, "sqs", "{}"),
        (r#"{"ext": {"size": 4}}"#, "ext", r#"{"size": 4}"#),
        (r#"{"ext": null}"#, "ext", "false"),
        (r#"{"cloudfront": true}"#, "cloudfront", "true"),
        (r#"{"subdomains": ["a"]}"#, "subdomains", r#"["a"]"#),
        (r#"{"elb": {"x": 1}}"#, "elb", r#"{"x": 1}"#),
        (r#"{"elb": {"x": 1}, "subnet-id": "s"}"#, "elb", r#"{"x": 1, "subnets": ["s"]}"#),
        (r#"{"elb": {"subnets": ["mine"]}, "subnet-id": "s"}"#, "elb", r#"{"subnets": ["mine"]}"#),
        (r#"{"elb": true, "subnet-id": "s"}"#, "elb", "true"),
        (
            r#"{"fastly": {"dns": 1, "subdomains-without-dns": ["{instance}"], "subdomains": ["a", "b.org"]}}"#,
            "fastly",
            r#"{"subdomains": ["a", "b.org"], "subdomains-without-dns": ["ci.2"], "dns": 1}"#,
        ),
    ] {
        let mut with_ec2 = json::parse(aws).unwrap();
        with_ec2.as_object_mut().unwrap().set("ec2", true);
        assert_eq!(part(&with_ec2.to_string(), key).unwrap(), made_out, "{aws}");
    }
    let project = part(r#"{"ec2": true, "sns": ["t-{instance}"]}"#, "project").unwrap();
    assert_eq!(project, r#"{"aws": {"ec2": {}, "sns": ["t-{instance}"]}}"#);
}

#[test]
fn sections_that_have_no_meaning_are_named_and_their_values_are_not() {
    for (aws, message) in [
        (r#"{"ec2": {"masterless": "s3cret"}}"#, "'aws.ec2.masterless' has to be a boolean, this is a string"),
        (r#"{"ec2": true, "sqs": ["s3cret"]}"#, "'aws.sqs' has to be a map, this is a list"),
        (r#"{"ec2": true, "sqs": {"q": 1}}"#, "'aws.sqs.q' has to be a map, this is the number 1"),
        (
            r#"{"ec2": true, "sqs": {"q": {"subscriptions": "s3cret"}}}"#,
            "'aws.sqs.q.subscriptions' has to be a list of names, this is a string",
        ),
        (r#"{"ec2": true, "sns": [{"s3cret": 1}]}"#, "'aws.sns' has to be a list of names, this is a map"),
        (r#"{"ec2": true, "s3": "s3cret"}"#, "'aws.s3' has to be a map, this is a string"),
    ] {
        assert_eq!(part(aws, "ec2").unwrap_err(), format!("project 'harbor': {message}"));
    }
    let projects = team(r#"{"defaults": {}, "harbor": {"aws": {"ec2": true}, "aws-alt": {"ci": {"ec2": "s3cret"}}}}"#);
    let error = launch(&projects, &stack("harbor--ci")).context().unwrap_err().to_string();
    assert_eq!(error, "project 'harbor': 'aws-alt.ci.ec2' has to be a map or a boolean, this is a string");
}

#[test]
fn a_stack_has_host_names_as_far_as_it_has_a_subdomain_and_domains() {
    const NAMES: [&str; 6] =
        ["hostname", "project_hostname", "int_project_hostname", "full_hostname", "int_full_hostname", "int_node_hostname"];
    let (no, id) = (Some("null"), "harbor--ci.2_x");
    for (project, names) in [
        (r#""domain": "x.org", "intdomain": "x.int""#, [no, no, no, no, no, None]),
        (r#""subdomain": "", "domain": "x.org""#, [no, no, no, no, no, None]),
        (r#""subdomain": "h""#, [Some(r#""ci2_x--h""#), no, no, no, no, None]),
        (
            r#""subdomain": "h", "domain": "x.org", "intdomain": false"#,
            [Some(r#""ci2_x--h""#), Some(r#""h.x.org""#), no, Some(r#""ci2_x--h.x.org""#), no, None],
        ),
        (
            r#""subdomain": "h", "domain": null, "intdomain": "x.int""#,
            [Some(r#""ci2_x--h""#), no, Some(r#""h.x.int""#), no, Some(r#""ci2_x--h.x.int""#), Some(r#""ci2_x--h--%s.x.int""#)],
        ),
    ] {
        let context = context(&team(&format!(r#"{{"defaults": {{}}, "harbor": {{"aws": {{"ec2": true}}, {project}}}}}"#)), id);
        let found = NAMES.map(|key| context.at(&[key]).map(ToString::to_string));
        assert_eq!(found.each_ref().map(Option::as_deref), names, "{project}");
    }
}

#[test]
fn a_stack_has_as_many_nodes_as_its_cluster_less_the_suppressed_ones() {
    assert_eq!(nodes("true").unwrap(), [1]);
    assert_eq!(nodes(r#"{"cluster-size": 3, "suppressed": null}"#).unwrap(), [1, 2, 3]);
    assert_eq!(nodes(r#"{"cluster-size": 3, "suppressed": [2, 7]}"#).unwrap(), [1, 3]);
    for (ec2, message) in [
        (r#"{"cluster-size": 0}"#, "'aws.ec2.cluster-size' has to be a whole number from 1 to 1000, this is the number 0"),
        (r#"{"cluster-size": 2.5}"#, "'aws.ec2.cluster-size' has to be a whole number from 1 to 1000, this is the number 2.5"),
        (
            r#"{"cluster-size": 99999999999999999999}"#,
            "'aws.ec2.cluster-size' has to be a whole number from 1 to 1000, this is the number 99999999999999999999",
        ),
        (r#"{"cluster-size": "3"}"#, "'aws.ec2.cluster-size' has to be a whole number from 1 to 1000, this is a string"),
        (r#"{"suppressed": 1}"#, "'aws.ec2.suppressed' has to be a list of nodes' numbers, this is the number 1"),
        (r#"{"suppressed": ["1"]}"#, "'aws.ec2.suppressed' has to be a list of nodes' numbers, this is a string"),
        (r#"{"cluster-size": 2, "suppressed": [1, 2]}"#, "'aws.ec2.suppressed' leaves no node of 2"),
    ] {
        assert_eq!(nodes(ec2).unwrap_err(), format!("project 'harbor': {message}"));
    }
}

#[test]
fn nodes_take_turns_between_the_subnets() {
    let subnet = |aws: &str, node| machine(aws, node).unwrap().subnet;
    let both = r#"{"subnet-id": "a", "redundant-subnet-id": "b", "ec2": {"ami": "x", "type": "y"}}"#;
    assert_eq!([1, 2, 3].map(|node| subnet(both, node)), ["a", "b", "a"].map(|subnet| Some(subnet.into())));
    assert_eq!(subnet(r#"{"subnet-id": "a", "ec2": {"ami": "x", "type": "y"}}"#, 2).as_deref(), Some("a"));
    assert_eq!(subnet(r#"{"ec2": {"ami": "x", "type": "y"}}"#, 1), None);
}

#[test]
fn what_is_said_of_one_node_goes_before_what_is_said_of_all() {
    let aws = r#"{"type": "small", "subnet-id": "a", "ec2": {"ami": "x", "root": {"size": 9, "type": "gp3"},
        "overrides": {"2": {"type": "large", "root": {"size": 40}}, "3": null}}}"#;
    let spec = |kind: &str, size| MachineSpec {
        ami: "x".into(),
        instance_type: kind.into(),
        subnet: Some("a".into()),
        root_volume_gib: Some(size),
    };
    assert_eq!([1, 2, 3].map(|node| machine(aws, node).unwrap()), [spec("small", 9), spec("large", 40), spec("small", 9)]);
}

#[test]
fn a_machine_without_what_it_takes_is_named() {
    for (aws, message) in [
        (r#"{"type": "t", "ec2": {"x": 1}}"#, "'aws.ec2.ami' is missing, and there is no machine without it"),
        (r#"{"ec2": {"ami": "a", "type": ""}}"#, "'aws.ec2.type' is missing, and there is no machine without it"),
        (r#"{"type": 5, "ec2": {"ami": "a"}}"#, "'aws.ec2.type' has to be a string, this is the number 5"),
        (r#"{"subnet-id": ["s"], "ec2": {"ami": "a", "type": "t"}}"#, "'aws.subnet-id' has to be a string, this is a list"),
        (r#"{"ec2": {"ami": "a", "type": "t", "root": 8}}"#, "'aws.ec2.root' has to be a map, this is the number 8"),
        (
            r#"{"ec2": {"ami": "a", "type": "t", "root": {"size": 0}}}"#,
            "'aws.ec2.root.size' has to be a whole number of GiB, this is the number 0",
        ),
        (r#"{"ec2": {"ami": "a", "type": "t", "overrides": [1]}}"#, "'aws.ec2.overrides' has to be a map, this is a list"),
        (r#"{"ec2": {"ami": "a", "type": "t", "overrides": {"1": "x"}}}"#, "'aws.ec2.overrides.1' has to be a map, this is a string"),
    ] {
        assert_eq!(machine(aws, 1).unwrap_err(), format!("project 'harbor': {message}"));
    }
}

#[test]
fn ports_are_numbers_ranges_and_maps_of_them() {
    assert_eq!(ports("null").unwrap(), [""; 0]);
    assert_eq!(
        ports(
            r#"[22, "4505-4506", {"80": {"cidr-ip": "10.31.0.0/16", "guest": 8080}, "8001": 8000}, {"53": {"protocol": "udp"}, "443": null}]"#
        )
        .unwrap(),
        [
            "22-22/tcp 0.0.0.0/0",
            "4505-4506/tcp 0.0.0.0/0",
            "80-80/tcp 10.31.0.0/16",
            "8001-8001/tcp 0.0.0.0/0",
            "53-53/udp 0.0.0.0/0",
            "443-443/tcp 0.0.0.0/0"
        ]
    );
    assert_eq!(ports(r#"{"22": {"cidr-ip": "fd00::/8"}, "80": null}"#).unwrap(), ["22-22/tcp fd00::/8", "80-80/tcp 0.0.0.0/0"]);
}

#[test]
fn a_rule_that_is_not_understood_opens_nothing() {
    const ITEM: &str = "'aws.ports' has to be a list of ports, ranges like '4505-4506' and maps of them, this is";
    for (written, message) in [
        ("22", "'aws.ports' has to be a list or a map of ports, this is the number 22".to_owned()),
        ("[0]", format!("{ITEM} the number 0")),
        ("[65536]", format!("{ITEM} the number 65536")),
        (r#"["+22"]"#, format!("{ITEM} a string")),
        (r#"["90-80"]"#, format!("{ITEM} a string")),
        ("[true]", format!("{ITEM} a boolean")),
        (r#"{"http": null}"#, "'aws.ports.http' has to be a port or a range like '4505-4506', this is another key".into()),
        (r#"{"80": "10.0.0.0/8"}"#, "'aws.ports.80' has to be a map or a port, this is a string".into()),
        (
            r#"[{"80": {"cidr_ip": "10.0.0.0/8"}}]"#,
            "'aws.ports.80.cidr_ip' has to be 'cidr-ip', 'protocol' or 'guest', this is another key".into(),
        ),
        (r#"{"80": {"protocol": "icmp"}}"#, "'aws.ports.80.protocol' has to be 'tcp' or 'udp', this is a string".into()),
        (r#"{"80": {"cidr-ip": null}}"#, "'aws.ports.80.cidr-ip' has to be a range of addresses like '10.0.0.0/16', this is null".into()),
        (
            r#"{"80": {"cidr-ip": "10.0.0.0/33"}}"#,
            "'aws.ports.80.cidr-ip' has to be a range of addresses like '10.0.0.0/16', this is a string".into(),
        ),
    ] {
        assert_eq!(ports(written).unwrap_err(), format!("project 'harbor': {message}"), "{written}");
    }
}

/// Things that project files have in places, and things that they should not.
fn anything() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        (0_u64..4).prop_map(Value::from),
        "[a-z{}.\u{e4}]{0,6}".prop_map(|text| Value::from(text.as_str())),
    ];
    leaf.prop_recursive(2, 12, 4, |inner| {
        let key = prop_oneof![Just("1".to_owned()), Just("subscriptions".to_owned()), "[a-z]{1,3}-\\{instance\\}"];
        let map = prop::collection::vec((key, inner.clone()), 0..4);
        prop_oneof![prop::collection::vec(inner, 0..4).prop_map(Value::from), map.prop_map(object)]
    })
}

fn object(pairs: Vec<(String, Value)>) -> Value {
    pairs.into_iter().map(|(key, value)| (key.as_str().into(), value)).collect::<Object>().into()
}

fn some_of(keys: &'static [&'static str]) -> impl Strategy<Value = Value> {
    prop::collection::vec((prop::sample::select(keys).prop_map(str::to_owned), anything()), 0..5).prop_map(object)
}

proptest! {
    #[test]
    fn whatever_is_launched_has_build_vars_and_a_context_that_can_be_given_another_master(
        own in some_of(&["domain", "intdomain", "subdomain", "default-branch", "revision", "stackname"]),
        aws in some_of(&["type", "s3", "sns", "sqs", "elb", "ext", "fastly", "subdomains", "subnet-id", "ports"]),
        ec2 in some_of(&["cluster-size", "suppressed", "overrides", "master_ip", "type", "ami", "root"]),
        masterless in any::<bool>(),
        id in "[a-z0-9._-]{1,6}",
    ) {
        let (mut own, mut aws, mut ec2) = (own, aws, ec2);
        ec2.as_object_mut().unwrap().set("masterless", masterless);
        aws.as_object_mut().unwrap().set("ec2", ec2);
        own.as_object_mut().unwrap().set("aws", aws);
        let root = object(vec![("defaults".into(), Object::default().into()), ("harbor".into(), own)]);
        let projects = Projects::from_file("team.yaml", root).unwrap();
        let stack = stack(&format!("harbor--{id}"));
        let master = "10.0.0.9".parse().unwrap();
        let launch = Launch { master: Some(&master), ..launch(&projects, &stack) };
        let _ = (launch.machine(1), launch.ports(), launch.is_unique());
        if let Ok(nodes) = launch.nodes() {
            prop_assert!(!nodes.is_empty() && nodes.is_sorted());
        }
        match launch.context() {
            Ok(context) => {
                let vars = BuildVars::derived(&context, &stack.node(1));
                prop_assert_eq!(vars.check(), Ok(()));
                prop_assert_eq!(BuildVars::decode(&vars.encode()).unwrap().master(), (!masterless).then(|| master.clone()));
                let facts = context.facts().unwrap();
                prop_assert_eq!((facts == ContextFacts::Masterless, facts.names_only(&master)), (masterless, !masterless));
            }
            Err(error) => prop_assert!(matches!(error, LaunchError::Shape { .. }), "{}", error),
        }
    }
}
