//! Does every refusal of AWS have its own words, and say what to do next?

use super::{
    canned::{self, Canned},
    connected, settings,
};
use crate::Ec2;
use aws_credential_types::{
    Credentials,
    provider::{ProvideCredentials, error::CredentialsError, future},
};
use bldr_core::{
    error::{PortError, PortErrorKind as Kind},
    ports::Inventory,
};

async fn complaint(answer: (u16, String)) -> PortError {
    let server = Canned::answering([answer]).await;
    connected(&server.endpoint).await.inventory().instances().await.unwrap_err()
}

#[tokio::test]
async fn each_code_of_aws_has_its_kind_its_words_and_its_advice() {
    let secret = "Encoded authorization failure message: 4GIOHlTkIaWHQD0Q0m";
    let denied = format!("You are not authorized to perform this operation. {secret}");
    let cases = [
        (403, "UnauthorizedOperation", denied.as_str(), Kind::Denied, "of the profile 'ops' may not ec2:DescribeInstances", "permission"),
        (401, "AuthFailure", "x", Kind::Denied, "does not accept the credentials of the profile 'ops' for ec2:DescribeInstances", "region"),
        (403, "InvalidClientTokenId", "x", Kind::Denied, "ec2:DescribeInstances (InvalidClientTokenId)", "get-caller-identity"),
        (400, "ExpiredToken", "x", Kind::Denied, "have expired", "aws sso login --profile ops"),
        (400, "RequestExpired", "x", Kind::Denied, "have expired", "clock"),
        (503, "RequestLimitExceeded", "x", Kind::Refused, "throttles ec2:DescribeInstances", "again in a minute"),
        (500, "InternalError", "oops", Kind::Unreachable, "AWS failed at ec2:DescribeInstances (InternalError: oops)", "health"),
        (400, "InvalidParameterValue", "odd", Kind::Refused, "AWS refused ec2:DescribeInstances (InvalidParameterValue: odd)", "odd"),
    ];
    for (status, code, message, kind, words, advice) in cases {
        let error = complaint(canned::error(status, code, message)).await;
        let text = error.to_string();
        assert_eq!(error.kind, kind, "{text}");
        assert!(text.starts_with("EC2 in eu-west-1: ") && text.contains(words) && text.contains(advice), "{code}: {text}");
        assert!(!text.contains("4GIOH"), "{text}");
    }
}

#[tokio::test]
async fn something_else_that_answers_is_named() {
    for body in ["<html>502 Bad Gateway</html>", "", "{}"] {
        let error = complaint((403, body.to_owned())).await;
        assert_eq!(error.kind, Kind::Malformed, "{error}");
        assert!(error.to_string().contains("http://127.0.0.1:") && error.to_string().contains("HTTP 403"), "{error}");
    }
}

#[tokio::test]
async fn an_endpoint_that_is_down_is_named() {
    // A port that was free a moment ago: nobody listens there.
    let port = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
    let endpoint = format!("http://127.0.0.1:{port}");
    let error = connected(&endpoint).await.inventory().instances().await.unwrap_err();
    assert_eq!(error.kind, Kind::Unreachable);
    assert!(error.to_string().contains(&format!("no connection to {endpoint}: Connection refused")), "{error}");
    assert!(error.to_string().contains("AWS_ENDPOINT_URL"), "{error}");
}

#[tokio::test]
async fn throttling_that_passes_goes_unnoticed() {
    let server = Canned::answering([canned::error(503, "RequestLimitExceeded", "x"), canned::one("running")]).await;
    assert_eq!(connected(&server.endpoint).await.inventory().instances().await.unwrap().len(), 1);
}

/// Credentials that cannot be had, for a reason.
#[derive(Debug)]
struct None(fn() -> CredentialsError);

impl ProvideCredentials for None {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        future::ProvideCredentials::ready(Err::<Credentials, _>(self.0()))
    }
}

#[tokio::test]
async fn credentials_that_cannot_be_had_say_why() {
    let cases: [(fn() -> CredentialsError, _); 3] = [
        (|| CredentialsError::not_loaded("nobody has any"), "no AWS credentials found; choose a profile"),
        (|| CredentialsError::provider_error("the SSO token has expired"), "have expired (sign-in); sign in again (aws sso login)"),
        (
            || CredentialsError::invalid_configuration("profile 'x' refers to itself"),
            "cannot be had: profile 'x' refers to itself; sign in",
        ),
    ];
    for (reason, words) in cases {
        let server = Canned::answering([canned::one("running")]).await;
        let loader = settings(&server.endpoint).credentials_provider(None(reason));
        let mut ec2 = Ec2::load(loader, Some("eu-west-1".into())).await.unwrap();
        ec2.access.profile = Option::None;
        let error = ec2.inventory().instances().await.unwrap_err();
        assert_eq!(error.kind, Kind::Denied, "{error}");
        assert!(error.to_string().contains(words), "{error}");
        assert_eq!(server.asked(), Vec::<String>::new(), "nobody is asked without credentials");
    }
}

#[tokio::test]
async fn a_text_that_cannot_be_a_region_is_refused_before_anybody_is_asked() {
    for region in ["eu west", "", "EU-WEST-1", "eu-west-1.evil.example"] {
        let error = Ec2::load(settings("http://127.0.0.1:1"), Some(region.into())).await.unwrap_err();
        assert!(error.to_string().contains(&format!("'{region}' is no AWS region")), "{error}");
    }
}
