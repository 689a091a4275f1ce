//! What holds a master, and what does not?

use super::*;
use crate::fleet::{Ec2Id, HeldKey, HeldKeys, Problem, PublicKey, Standing, Timestamp};

const OLD: &str = "master-server--a";

fn key(body: &str) -> PublicKey {
    PublicKey::from_pem(&format!("-----BEGIN PUBLIC KEY-----\n{body}\n-----END PUBLIC KEY-----\n")).unwrap()
}

fn standing(body: &str) -> Reading<Standing> {
    Reading::Read(Standing { key: key(body), version: None, silent: None, keys: HeldKeys::default() })
}

fn node(name: &StackName, state: InstanceState, private: &str, public: Option<&str>) -> Node {
    let reach: Option<HostAddress> = private.parse().ok();
    Node {
        name: name.node(1),
        id: Ec2Id("i-1".into()),
        state,
        private: reach.clone(),
        public: public.and_then(|address| address.parse().ok()),
        reach,
        launched: Timestamp(0),
        evidence: Reading::NotAsked,
        outlook: None,
        woken: false,
    }
}

/// What a minion says that is connected to what it names.
fn naming(address: &str, trusted: Option<&str>) -> Evidence {
    Evidence {
        build_vars: Ok(address.parse().ok()),
        configured: Some(address.into()),
        trusted: trusted.map(|body| key(body).fingerprint()),
        highstate_due: false,
        minion_id: None,
        minion_key: None,
        connected: Box::default(),
        unconfirmed: false,
    }
}

/// The old master as it stands, a new one whose key is known, and a minion that says this.
fn fleet(old: InstanceState, said: Evidence) -> Fleet {
    let mut fleet = Fleet::default();
    let mut add = |name: &str, node: Node, masters: &[&str]| {
        let name: StackName = name.parse().unwrap();
        let context =
            Reading::Read(ContextFacts::Mastered { masters: masters.iter().map(|address| (*address).into()).collect(), alternate: None });
        fleet.stacks.insert(name.clone(), Stack { name, nodes: vec![node], tags: Default::default(), context });
    };
    let named = |name: &str| name.parse::<StackName>().unwrap();
    add(OLD, node(&named(OLD), old, "10.0.0.10", Some("198.51.100.10")), &["10.0.0.10"]);
    add("master-server--b", node(&named("master-server--b"), InstanceState::Running, "10.0.0.20", None), &["10.0.0.20"]);
    let minion = Node { evidence: Reading::Read(said), ..node(&named("harbor--ci"), InstanceState::Running, "10.0.1.1", None) };
    add("harbor--ci", minion, &[]);
    fleet.standings.insert(named("master-server--b"), standing("new"));
    fleet
}

fn found(fleet: &Fleet) -> Vec<(Place, Option<String>)> {
    let found = pointers(fleet, &Projects::default(), None, &OLD.parse().unwrap(), &Answers::new());
    found.into_iter().map(|pointer| (pointer.place, pointer.why)).collect()
}

#[test]
fn a_name_that_may_be_that_of_a_master_which_cannot_be_asked_holds_it() {
    let why = |name: &str, way: &str| Some(format!("it names {name}, and nobody can say whether that is {OLD}; {way} or re-master it"));
    for named in ["salt.example.org", "203.0.113.7"] {
        let asleep = fleet(InstanceState::Stopped, naming(named, Some("old")));
        assert_eq!(found(&asleep), [(Place::Unknown, why(named, &format!("start {OLD}")))]);
    }
    let mut silent = fleet(InstanceState::Running, naming("salt", Some("old")));
    let problem = Problem { kind: crate::error::PortErrorKind::Unreachable, text: "no answer".into() };
    silent.standings.insert(OLD.parse().unwrap(), Reading::Unreadable(problem));
    assert_eq!(found(&silent), [(Place::Unknown, why("salt", &format!("see to it that {OLD} can be asked")))]);
    let mut context = fleet(InstanceState::Stopped, naming("10.0.0.20", None));
    let stack = context.stacks.get_mut(&"harbor--ci".parse().unwrap()).unwrap();
    stack.context = Reading::Read(ContextFacts::Mastered { masters: vec!["salt".into()], alternate: None });
    assert_eq!(found(&context), [(Place::Unknown, why("salt", &format!("start {OLD}")))], "the context alone names it");
}

#[test]
fn the_key_decides_where_it_is_known_whose_it_is() {
    let others = fleet(InstanceState::Stopped, naming("salt.example.org", Some("new")));
    assert_eq!(found(&others), [], "the other master shows it");
    let mut asked = fleet(InstanceState::Running, naming("salt.example.org", Some("old")));
    asked.standings.insert(OLD.parse().unwrap(), standing("old"));
    assert_eq!(found(&asked), [(Place::TrustedKey, None)]);
    let mut asked = fleet(InstanceState::Running, naming("salt.example.org", Some("a third")));
    asked.standings.insert(OLD.parse().unwrap(), standing("old"));
    assert_eq!(found(&asked), []);
    let mut asked = fleet(InstanceState::Running, naming("salt.example.org", None));
    asked.standings.insert(OLD.parse().unwrap(), standing("old"));
    let why = format!("it names salt.example.org, and nobody can say whether that is {OLD}; it trusts no key yet; re-master it");
    assert_eq!(found(&asked), [(Place::Unknown, Some(why))]);
    assert_eq!(found(&fleet(InstanceState::Stopped, naming("10.0.0.20", None))), [], "that address is another master's");
}

#[test]
fn a_minion_that_it_lets_in_holds_it_whatever_the_context_says() {
    for context in [ContextFacts::NoEc2, ContextFacts::Masterless] {
        let mut fleet = fleet(InstanceState::Running, naming("10.0.0.20", Some("new")));
        fleet.stacks.get_mut(&"harbor--ci".parse::<StackName>().unwrap()).unwrap().context = Reading::Read(context);
        let held = |state| HeldKeys::from_iter([HeldKey { id: "harbor--ci--1".into(), state, key: key("own").fingerprint() }]);
        let mut holds = |keys| {
            let Reading::Read(standing) = standing("old") else { unreachable!() };
            fleet.standings.insert(OLD.parse().unwrap(), Reading::Read(Standing { keys, ..standing }));
            found(&fleet).into_iter().map(|(place, _)| place).collect::<Vec<_>>()
        };
        assert_eq!(holds(HeldKeys::default()), []);
        assert_eq!(holds(held(KeyState::Denied)), []);
        assert_eq!(holds(held(KeyState::Accepted)), [Place::Unknown]);
    }
}

#[test]
fn what_is_not_known_holds_no_master_that_was_never_finished() {
    let pointer = |place| Pointer { place, of: "harbor--ci--1".into(), why: None };
    let begun = |going| Begun { stack: OLD.parse().unwrap(), alternate: None, at: Timestamp(0), going };
    let unknown = || vec![pointer(Place::Unknown), pointer(Place::Unknown)];
    assert_eq!(holding(unknown(), Some(&begun(false))), []);
    assert_eq!(holding(unknown(), None), unknown(), "a finished one");
    assert_eq!(holding(unknown(), Some(&begun(true))), unknown(), "one that was to be destroyed");
    for place in [Place::Context, Place::BuildVars, Place::Connection] {
        let named = vec![pointer(place), pointer(Place::Unknown)];
        assert_eq!(holding(named.clone(), Some(&begun(false))), named, "{place:?}");
    }
    let shared = vec![pointer(Place::ProjectFile), pointer(Place::Unknown)];
    assert_eq!(holding(shared, Some(&begun(false))), [pointer(Place::Unknown)], "the team has been told of it");
    assert_eq!(holding(vec![pointer(Place::Settings), pointer(Place::ProjectFile)], None), []);
}

#[test]
fn it_is_known_by_every_address_it_has_and_in_any_list() {
    for named in ["10.0.0.10", "198.51.100.10"] {
        let all = found(&fleet(InstanceState::Running, naming(named, Some("new"))));
        assert_eq!(all, [(Place::BuildVars, None), (Place::Configuration, None)], "{named}");
    }
    for list in ["10.0.0.20, 198.51.100.10", "[10.0.0.20, '10.0.0.10']"] {
        let said = Evidence { configured: Some(list.into()), ..naming("10.0.0.20", Some("new")) };
        assert_eq!(found(&fleet(InstanceState::Running, said)), [(Place::Configuration, None)], "{list}");
    }
    let mut connected = naming("10.0.0.20", Some("new"));
    connected.connected = ["198.51.100.10".into()].into();
    assert_eq!(found(&fleet(InstanceState::Running, connected)), [(Place::Connection, None)]);
}
