//! Does docs/iam-policy.json allow what bldr asks of EC2, and nothing that it does not ask?

use super::{connected, fleet, provisioning};
use crate::Ec2;
use aws_sdk_ec2::{
    Client,
    config::{ConfigBag, Intercept, RuntimeComponents, interceptors::BeforeTransmitInterceptorContextRef},
    error::BoxError,
};
use bldr_testkit::contract;
use serde_json::Value;
use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex},
};

/// Notes the permissions that what is really sent would need.
#[derive(Debug, Clone, Default)]
struct Needed(Arc<Mutex<BTreeSet<String>>>);

#[aws_smithy_runtime_api::client::interceptors::dyn_dispatch_hint]
impl Intercept for Needed {
    fn name(&self) -> &'static str {
        "permissions needed"
    }
    fn read_before_transmit(
        &self,
        context: &BeforeTransmitInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let form = std::str::from_utf8(context.request().body().bytes().unwrap())?;
        let mut needed = self.0.lock().unwrap();
        needed.extend(form.split('&').find_map(|pair| pair.strip_prefix("Action=")).map(|action| format!("ec2:{action}")));
        // Whoever makes something with tags on it needs the permission to tag, as if they did it afterwards.
        needed.extend(form.contains("TagSpecification.").then(|| "ec2:CreateTags".to_owned()));
        Ok(())
    }
}

impl Needed {
    async fn noting(&self, endpoint: &str) -> Ec2 {
        let ec2 = connected(endpoint).await;
        let config = ec2.client.config().to_builder().interceptor(self.clone()).build();
        Ec2 { client: Client::from_conf(config), ..ec2 }
    }
}

fn statements() -> Vec<Value> {
    let policy: Value = serde_json::from_str(include_str!("../../../docs/iam-policy.json")).unwrap();
    policy["Statement"].as_array().unwrap().clone()
}

fn actions(statement: &Value) -> BTreeSet<String> {
    statement["Action"].as_array().unwrap().iter().map(|action| action.as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn the_policy_allows_what_is_asked_of_ec2_and_nothing_else() {
    let needed = Needed::default();
    contract::inventory::suite(&fleet::bench(async |endpoint| needed.noting(endpoint).await).await).await;
    let bench = provisioning::bench(async |endpoint| needed.noting(endpoint).await).await;
    contract::provisioning::suite(&bench).await;
    // The one question that is asked only where a project names no subnet.
    let harbor = contract::provisioning::stack("harbor--default");
    contract::provisioning::Bench::provisioning(&bench).security_group(&harbor, None, &[]).await.unwrap();

    let allowed: BTreeSet<_> = statements().iter().flat_map(actions).collect();
    let needed = needed.0.lock().unwrap().clone();
    assert_eq!(needed.difference(&allowed).collect::<Vec<_>>(), Vec::<&String>::new(), "asked and not allowed: bldr would be denied");
    assert_eq!(allowed.difference(&needed).collect::<Vec<_>>(), Vec::<&String>::new(), "allowed and never asked");
}

#[test]
fn the_policy_has_no_wildcard_among_its_actions_and_gives_by_name() {
    for statement in statements() {
        assert_eq!(statement["Effect"], "Allow", "{statement}");
        assert!(actions(&statement).iter().all(|action| action.starts_with("ec2:") && !action.contains('*')), "{statement}");
    }
}

/// To make an instance, EC2 asks about all that it is made of; these are used by it and not changed.
const USED: [&str; 5] = ["image", "key-pair", "network-interface", "subnet", "vpc"];

#[test]
fn nothing_is_changed_that_does_not_carry_a_stacks_tag() {
    for statement in statements() {
        let looks = actions(&statement).iter().all(|action| action.starts_with("ec2:Describe"));
        let resources: Vec<&str> = match &statement["Resource"] {
            Value::String(one) => vec![one],
            several => several.as_array().unwrap().iter().map(|arn| arn.as_str().unwrap()).collect(),
        };
        assert!(looks || resources.iter().all(|arn| arn.starts_with("arn:aws:ec2:") && arn.ends_with("/*")), "{statement}");
        let kind = |arn: &str| arn.rsplit(':').next().unwrap().trim_end_matches("/*").to_owned();
        let makes = ["ec2:RunInstances", "ec2:CreateSecurityGroup"].iter().any(|action| actions(&statement).contains(*action));
        let uses = makes && resources.iter().all(|arn| USED.contains(&&*kind(arn)));
        let condition = statement["Condition"].to_string();
        let tagged = condition.contains("Tag/Cluster") || condition.contains("Tag/aws:cloudformation:stack-name");
        assert!(looks || uses || tagged || condition.contains("ec2:CreateAction"), "{statement}");
    }
}
