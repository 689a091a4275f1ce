//! What holds for every input? Laws of the pure parts, tried on made-up inputs.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use bldr_core::{
    address::MasterAddress,
    build_vars::BuildVars,
    context::{Context, Rewrite},
    json::{self, Object, Value},
    name::StackName,
    precedence,
};
use proptest::prelude::*;

fn any_text() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<String>(),
        "[a-z_-]{1,8}",
        Just("master_ip".to_owned()),
        Just("ec2".to_owned()),
        Just("aws".to_owned()),
        Just("project".to_owned())
    ]
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        "-?(0|[1-9][0-9]{0,40})".prop_map(|digits| json::parse(&digits).unwrap()),
        any::<f64>().prop_filter("NaN equals nothing", |n| !n.is_nan()).prop_map(Value::Float),
        any_text().prop_map(|text| Value::from(text.as_str())),
        "\\\\ud[89ab][0-9a-f]{2}".prop_map(|lone| json::parse(&format!("\"{lone}\"")).unwrap()),
    ];
    leaf.prop_recursive(4, 64, 8, |inner| {
        prop_oneof![proptest::collection::vec(inner.clone(), 0..6).prop_map(Value::Array), any_object(inner).prop_map(Value::Object),]
    })
}

fn any_object(inner: impl Strategy<Value = Value>) -> impl Strategy<Value = Object> {
    proptest::collection::vec((any_text(), inner), 0..6).prop_map(|pairs| pairs.into_iter().map(|(k, v)| (k.as_str().into(), v)).collect())
}

fn any_context() -> impl Strategy<Value = Object> {
    let ec2 = || prop_oneof![any_object(any_json()).prop_map(Value::Object), Just(Value::Bool(true))];
    (any_object(any_json()), ec2(), ec2(), ec2()).prop_map(|(mut root, top, legacy, modern)| {
        let nest = |key: &str, value: Value| Value::Object([(key.into(), value)].into_iter().collect());
        root.set("ec2", top);
        root.set("project", nest("aws", nest("ec2", legacy)));
        root.set("aws", nest("ec2", modern));
        root
    })
}

const PLACES: [&[&str]; 3] = [&["ec2"], &["project", "aws", "ec2"], &["aws", "ec2"]];

/// The context without any of the places that may name the master.
fn without_addresses(mut context: Value) -> Value {
    for place in PLACES {
        match context.at_mut(place) {
            Some(Value::Object(ec2)) => drop(ec2.remove("master_ip")),
            Some(yes @ Value::Bool(true)) if place == ["ec2"] => *yes = Object::default().into(),
            _ => {}
        }
    }
    context
}

proptest! {
    #[test]
    fn json_reads_back_what_it_wrote(value in any_json()) {
        let text = value.to_string();
        prop_assert!(text.is_ascii());
        prop_assert_eq!(&json::parse(&text).unwrap(), &value);
        prop_assert_eq!(json::parse(&text).unwrap().to_string(), text);
        prop_assert_eq!(json::parse(&value.pretty()).unwrap(), value);
    }

    #[test]
    fn build_vars_read_back_what_they_encoded(vars in any_object(any_json())) {
        let text = Value::Object(vars).to_string();
        let stack: StackName = "harbor--ci".parse().unwrap();
        let derived = BuildVars::derived(&Context::parse(&text).unwrap(), &stack.node(3));
        let encoded = derived.encode();
        prop_assert!(!encoded.contains('\n'));
        prop_assert_eq!(BuildVars::decode(&encoded).unwrap(), derived.clone());
        let broken: String = encoded.as_bytes().chunks(7).map(|c| String::from_utf8_lossy(c).into_owned() + "\n").collect();
        prop_assert_eq!(BuildVars::decode(&broken).unwrap(), derived);
    }

    #[test]
    fn no_text_makes_the_reader_panic(text in any::<String>(), bytes in "[\\[\\]{}\",:0-9.eE+\\-tfnu\\\\ ]{0,40}") {
        let _ = json::parse(&text);
        let _ = json::parse(&bytes);
        let _ = BuildVars::decode(&text);
    }

    #[test]
    fn rewriting_touches_nothing_but_the_address(context in any_context(), octet in 0u8..=255) {
        let before = Value::Object(context);
        let context = Context::parse(&before.to_string()).unwrap();
        let master: MasterAddress = format!("10.0.0.{octet}").parse().unwrap();
        if let Ok(Rewrite::Context(after)) = context.repointed_to(&master) {
            let root = Value::Object(after.as_object().clone());
            prop_assert_eq!(without_addresses(root.clone()).to_string(), without_addresses(before.clone()).to_string());
            prop_assert_eq!(root.at(&["ec2", "master_ip"]).and_then(Value::as_string), Some(master.to_string()));
            for place in PLACES {
                if let Some(named) = root.at(place).and_then(|ec2| ec2.at(&["master_ip"])) {
                    prop_assert_eq!(named.as_string(), Some(master.to_string()));
                }
            }
            prop_assert_eq!(after.repointed_to(&master), Ok(Rewrite::Context(after.clone())));
            prop_assert!(after.facts().unwrap().names_only(&master));
        }
    }

    #[test]
    fn precedence_is_a_total_order_that_does_not_depend_on_the_input_order(
        ids in proptest::collection::btree_set("[A-Za-z0-9._]{1,6}", 0..8),
        others in proptest::collection::vec("[a-z]{1,5}--[a-z]{1,5}", 0..4),
        seed in any::<u64>(),
    ) {
        let mut names: Vec<StackName> = ids.iter().map(|id| format!("master-server--{id}").parse().unwrap()).collect();
        names.extend(others.iter().map(|name| name.parse::<StackName>().unwrap()));
        let expected: Vec<StackName> = ids.iter().map(|id| format!("master-server--{id}").parse().unwrap()).collect();
        // A shuffle that needs no random numbers.
        names.sort_by_key(|name| name.as_str().bytes().fold(seed, |h, b| h.rotate_left(5) ^ u64::from(b).wrapping_mul(0x9E37_79B9_7F4A_7C15)));
        prop_assert_eq!(precedence::ordered(&names).into_iter().cloned().collect::<Vec<_>>(), expected);
    }
}

#[test]
fn python_and_we_agree_on_the_odd_ones() {
    for (text, expected) in [
        ("{\"a\": 1, \"b\": 2, \"a\": 3}", "{\"a\": 3, \"b\": 2}"),
        ("\"\\ud83d\\ude00 \u{1F600} \\u007f \\/ \\u0041\"", "\"\\ud83d\\ude00 \\ud83d\\ude00 \\u007f / A\""),
        ("\"\\ud800x\"", "\"\\ud800x\""),
        (
            " [ 1 , 2.50 , -0 , -0.0 , 1E5 , 1e-5 , 123456789012345678 , 9007199254740993.0 ] ",
            "[1, 2.5, 0, -0.0, 100000.0, 1e-05, 123456789012345678, 9007199254740992.0]",
        ),
        ("[1e15, 1e16, 1.5e16, 0.0001, 0.00001, 1e100]", "[1000000000000000.0, 1e+16, 1.5e+16, 0.0001, 1e-05, 1e+100]"),
    ] {
        assert_eq!(json::parse(text).unwrap().to_string(), expected, "{text}");
    }
    for wrong in [
        "",
        " ",
        "{",
        "[1,]",
        "{\"a\" 1}",
        "01",
        "1.",
        "+1",
        ".5",
        "\"\n\"",
        "\"\\x\"",
        "\"\\u12\"",
        "nul",
        "[1] 2",
        "{a: 1}",
        "'a'",
        "\u{feff}{}",
        "-",
        "1e",
    ] {
        assert!(json::parse(wrong).is_err(), "{wrong:?}");
    }
    assert_eq!(json::parse("{\"a\":\n  [1,\n   x]}").unwrap_err().to_string(), "not JSON: no value at line 3, column 4");
    let deep = "[".repeat(100_000);
    assert!(json::parse(&deep).is_err());
}
