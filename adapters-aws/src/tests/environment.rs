//! Do AWS's own conventions decide? Each case is this test program again, in an environment made for it.

use super::canned::{self, Canned};
use crate::Ec2;
use bldr_core::ports::Inventory;
use std::process::Stdio;
use tokio::process::Command;

const CASE: &str = "BLDR_TEST_ENVIRONMENT_CASE";

/// What an operator with these variables and this `~/.aws/config` would read.
async fn operator_reads(variables: &[(&str, &str)], config: &str) -> String {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("config");
    std::fs::write(&file, config).unwrap();
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "tests::environment::what_the_operator_reads", "--nocapture"])
        .env_clear()
        .env("HOME", home.path())
        .env("AWS_CONFIG_FILE", file)
        .env("AWS_EC2_METADATA_DISABLED", "true")
        .env(CASE, "yes")
        .envs(variables.iter().copied())
        .stdin(Stdio::null())
        .output()
        .await
        .unwrap();
    String::from_utf8(output.stdout).unwrap()
}

#[tokio::test]
async fn what_the_operator_reads() {
    // Without a case it is one of many tests, and has nothing to say.
    if std::env::var_os(CASE).is_none() {
        return;
    }
    match Ec2::connect(None).await {
        Err(error) => println!("{error}"),
        Ok(ec2) => match ec2.inventory().instances().await {
            Err(error) => println!("in {}: {error}", ec2.inventory().region()),
            Ok(all) => println!("in {}: {} found", ec2.inventory().region(), all.len()),
        },
    }
}

#[tokio::test]
async fn no_region_anywhere_says_how_to_set_one() {
    let read = operator_reads(&[], "").await;
    assert!(read.contains("AWS: no AWS region is set; export AWS_REGION="), "{read}");
    let read = operator_reads(&[("AWS_PROFILE", "ops")], "[profile ops]\n").await;
    assert!(read.contains("aws configure set region … --profile ops"), "{read}");
}

#[tokio::test]
async fn region_keys_and_endpoint_come_from_the_environment() {
    let server = Canned::answering([canned::one("running")]).await;
    let keys = [("AWS_ACCESS_KEY_ID", "AKIATEST"), ("AWS_SECRET_ACCESS_KEY", "test")];
    let read = operator_reads(&[keys[0], keys[1], ("AWS_REGION", "eu-west-2"), ("AWS_ENDPOINT_URL", &server.endpoint)], "").await;
    assert!(read.contains("in eu-west-2: 1 found"), "{read}");
}

#[tokio::test]
async fn region_keys_and_endpoint_come_from_the_profile() {
    let server = Canned::answering([canned::one("running")]).await;
    let config = format!(
        "[profile ops]\nregion = us-east-1\naws_access_key_id = AKIATEST\naws_secret_access_key = test\nendpoint_url = {}\n",
        server.endpoint
    );
    let read = operator_reads(&[("AWS_PROFILE", "ops")], &config).await;
    assert!(read.contains("in us-east-1: 1 found"), "{read}");
}

#[tokio::test]
async fn keys_may_come_from_a_program() {
    let server = Canned::answering([canned::one("running")]).await;
    let keys = r#"{"Version":1,"AccessKeyId":"AKIATEST","SecretAccessKey":"test"}"#;
    let config = format!("[profile ops]\nregion = us-east-1\nendpoint_url = {}\ncredential_process = echo '{keys}'\n", server.endpoint);
    let read = operator_reads(&[("AWS_PROFILE", "ops"), ("PATH", "/usr/bin:/bin")], &config).await;
    assert!(read.contains("in us-east-1: 1 found"), "{read}");
}

#[tokio::test]
async fn no_credentials_anywhere_says_how_to_get_some() {
    let read = operator_reads(&[("AWS_REGION", "eu-west-1"), ("AWS_ENDPOINT_URL", "http://127.0.0.1:1")], "").await;
    assert!(read.contains("in eu-west-1: EC2 in eu-west-1: no AWS credentials found; choose a profile"), "{read}");
}

#[tokio::test]
async fn a_machine_that_keeps_its_own_credentials_to_itself_is_not_blamed_first() {
    let metadata = Canned::answering([(403, String::new())]).await;
    let machine = [("AWS_EC2_METADATA_DISABLED", "false"), ("AWS_EC2_METADATA_SERVICE_ENDPOINT", metadata.endpoint.as_str())];
    let read = operator_reads(&[machine[0], machine[1], ("AWS_REGION", "eu-west-1")], "").await;
    assert!(
        read.contains("no AWS credentials found (the machine's own: request forbidden") && read.contains("; choose a profile"),
        "{read}"
    );
}

#[tokio::test]
async fn a_profile_that_does_not_exist_is_named() {
    let read = operator_reads(&[("AWS_REGION", "eu-west-1"), ("AWS_PROFILE", "typo")], "[profile ops]\n").await;
    assert!(read.contains("the profile 'typo'"), "{read}");
}
