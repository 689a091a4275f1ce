//! What went wrong at AWS, and what does an operator do about it?

use crate::{objection::Objection, refusal::Refusal};
use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_ec2::error::{ProvideErrorMetadata, SdkError};
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use bldr_core::{
    error::{PortError, PortErrorKind as Kind},
    fleet::InstanceState,
};
use std::{
    error::Error,
    sync::{Arc, OnceLock},
    time::Duration,
};

/// Whom is asked, and as whom: what a message needs beside the SDK's error.
#[derive(Debug, Clone)]
pub(crate) struct Access {
    /// What is asked: `EC2`.
    pub(crate) service: &'static str,
    pub(crate) region: Arc<str>,
    /// `AWS_PROFILE`.
    pub(crate) profile: Option<String>,
    /// The endpoint that was really asked, once one was.
    pub(crate) endpoint: Arc<OnceLock<String>>,
}

/// Everything that may go wrong. Its text is the problem; [`Failure::about`] adds the rest.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    #[error("no AWS region is set")]
    NoRegion { profile: Option<String> },
    #[error("'{region}' is no AWS region")]
    NotARegion { region: String },
    #[error("the name of {endpoint} cannot be resolved: there is no region '{region}', or no network here")]
    UnknownRegion { region: String, endpoint: String },
    #[error("no AWS credentials found{}{}", of(.profile), machine.as_ref().map(|m| format!(" (the machine's own: {m})")).unwrap_or_default())]
    NoCredentials { profile: Option<String>, machine: Option<String> },
    #[error("the AWS credentials{} cannot be had: {detail}", of(.profile))]
    BadCredentials { profile: Option<String>, detail: String },
    #[error("the AWS credentials{} have expired ({code})", of(.profile))]
    Expired { profile: Option<String>, code: String },
    #[error("AWS does not accept the credentials{} for {action} ({code})", of(.profile))]
    NotAccepted { profile: Option<String>, action: &'static str, code: String },
    #[error("the AWS credentials{} may not {action} ({code}: {message})", of(.profile))]
    Denied { profile: Option<String>, action: &'static str, code: String, message: String },
    #[error("AWS throttles {action}, and kept doing so while it was tried again ({code})")]
    Throttled { action: &'static str, code: String },
    #[error("no connection to {endpoint}: {detail}")]
    EndpointDown { endpoint: String, detail: String },
    #[error("no answer from {endpoint} to {action} in time")]
    TimedOut { endpoint: String, action: &'static str },
    #[error("AWS failed at {action} ({code}: {message})")]
    ServerFault { action: &'static str, code: String, message: String },
    #[error("AWS refused {action} ({code}: {message})")]
    Refused { action: &'static str, code: String, message: String },
    #[error("{0}")]
    Provisioning(Refusal),
    #[error("{endpoint} answered, but not as {service} does (HTTP {status})")]
    NotAws { endpoint: String, service: &'static str, status: u16 },
    #[error("AWS answered what bldr cannot understand: {0}")]
    Malformed(String),
    #[error("{0}")]
    Bucket(Objection),
    #[error("there is no such instance")]
    NoSuchInstance,
    #[error("it carries no stack's tag (Cluster, aws:cloudformation:stack-name) any more, so bldr leaves it alone")]
    NotOurs,
    #[error("it is {state}")]
    Gone { state: InstanceState },
    #[error("it is {state} again right after it was switched{}", reason.as_ref().map(|r| format!(" ({r})")).unwrap_or_default())]
    FellBack { state: InstanceState, reason: Option<String> },
    #[error("it is {state} and was never running{}", reason.as_ref().map(|r| format!(" ({r})")).unwrap_or_default())]
    NeverUp { state: InstanceState, reason: Option<String> },
    #[error("still {state} after {} s, not {goal}", limit.as_secs())]
    Stuck { state: InstanceState, goal: InstanceState, limit: Duration },
}

fn of(profile: &Option<String>) -> String {
    profile.as_ref().map(|p| format!(" of the profile '{p}'")).unwrap_or_default()
}

impl Failure {
    /// The one place where an error of this crate becomes one of the core's.
    pub(crate) fn about(self, subject: impl Into<String>) -> PortError {
        let error = PortError::new(self.kind(), subject, self.to_string());
        match self.advice() {
            Some(advice) => error.advise(advice),
            None => error,
        }
    }

    /// Whether the same question may be answered later.
    pub(crate) fn is_transient(&self) -> bool {
        self.kind() == Kind::Unreachable || matches!(self, Self::Throttled { .. })
    }

    fn kind(&self) -> Kind {
        match self {
            Self::UnknownRegion { .. } | Self::EndpointDown { .. } | Self::TimedOut { .. } | Self::ServerFault { .. } => Kind::Unreachable,
            Self::NoCredentials { .. }
            | Self::BadCredentials { .. }
            | Self::Expired { .. }
            | Self::NotAccepted { .. }
            | Self::Denied { .. } => Kind::Denied,
            Self::NoSuchInstance | Self::Gone { .. } => Kind::NotFound,
            Self::NotAws { .. } | Self::Malformed(_) => Kind::Malformed,
            Self::Provisioning(refusal) => refusal.kind(),
            Self::Bucket(objection) => objection.kind(),
            Self::NoRegion { .. }
            | Self::NotARegion { .. }
            | Self::Throttled { .. }
            | Self::Refused { .. }
            | Self::NotOurs
            | Self::FellBack { .. }
            | Self::NeverUp { .. }
            | Self::Stuck { .. } => Kind::Refused,
        }
    }

    fn advice(&self) -> Option<String> {
        let sso = |profile: &Option<String>| match profile {
            Some(profile) => format!("aws sso login --profile {profile}"),
            None => "aws sso login".to_owned(),
        };
        Some(match self {
            Self::NoRegion { profile: Some(profile) } => {
                format!("export AWS_REGION=…, or set one in the profile: aws configure set region … --profile {profile}")
            }
            Self::NoRegion { profile: None } => "export AWS_REGION=…, or choose a profile that has one: export AWS_PROFILE=…".to_owned(),
            Self::NotARegion { .. } | Self::UnknownRegion { .. } => {
                "check AWS_REGION and the profile; regions look like eu-west-1".to_owned()
            }
            Self::NoCredentials { profile, .. } => {
                format!("choose a profile (export AWS_PROFILE=…), sign in ({}), or set keys (aws configure)", sso(profile))
            }
            Self::BadCredentials { profile, .. } => {
                format!("sign in again ({}), or see what AWS's own tool says: aws sts get-caller-identity", sso(profile))
            }
            Self::Expired { profile, code } if code == "RequestExpired" => {
                format!("sign in again ({}), and see that this machine's clock is right", sso(profile))
            }
            Self::Expired { profile, .. } => format!("sign in again ({}), or export fresh keys", sso(profile)),
            Self::NotAccepted { .. } => {
                "check the keys (aws sts get-caller-identity), and that the region is enabled for the account".to_owned()
            }
            Self::Denied { action, .. } => format!("ask for the permission {action}, or choose another profile: export AWS_PROFILE=…"),
            Self::Throttled { .. } => "run it again in a minute; where other programs share the account, fewer --jobs help".to_owned(),
            Self::EndpointDown { .. } | Self::TimedOut { .. } => {
                "check the network and the proxy, and AWS_ENDPOINT_URL where it is set".to_owned()
            }
            Self::NotAws { .. } => "check AWS_ENDPOINT_URL and the proxy".to_owned(),
            Self::ServerFault { .. } => "run it again in a while; https://health.aws.amazon.com says what AWS knows".to_owned(),
            Self::NeverUp { .. } => "mend what it says, then run the same again".to_owned(),
            Self::Provisioning(refusal) => refusal.advice().to_owned(),
            Self::Bucket(objection) => objection.advice().to_owned(),
            Self::Stuck { .. } | Self::FellBack { .. } => "see what the EC2 console says of it, then run the same again".to_owned(),
            Self::Refused { .. } | Self::Malformed(_) | Self::NoSuchInstance | Self::NotOurs | Self::Gone { .. } => return None,
        })
    }
}

impl Access {
    /// What an SDK's error means.
    pub(crate) fn failure<E>(&self, action: &'static str, error: &SdkError<E, HttpResponse>) -> Failure
    where
        E: Error + ProvideErrorMetadata + Send + Sync + 'static,
    {
        let endpoint = || self.endpoint.get().cloned().unwrap_or_else(|| format!("{} in {}", self.service, self.region));
        if let SdkError::ServiceError(answer) = error {
            let status = answer.raw().status().as_u16();
            return match answer.err().code() {
                Some(code) => self.said(action, status, code, answer.err().message().unwrap_or_default()),
                None => Failure::NotAws { endpoint: endpoint(), service: self.service, status },
            };
        }
        let chain = chain(error);
        if let Some(credentials) = chain.iter().find_map(|e| e.downcast_ref::<CredentialsError>()) {
            return self.no_credentials(credentials);
        }
        let detail = chain.last().map(ToString::to_string).unwrap_or_default();
        match error {
            SdkError::TimeoutError(_) => Failure::TimedOut { endpoint: endpoint(), action },
            SdkError::DispatchFailure(failure) if failure.is_timeout() => Failure::TimedOut { endpoint: endpoint(), action },
            // Our own name for the endpoint, in this region, which nobody can look up.
            SdkError::DispatchFailure(_) if chain.iter().any(|e| e.to_string() == "dns error") && endpoint().contains(".amazonaws.com") => {
                Failure::UnknownRegion { region: self.region.to_string(), endpoint: endpoint() }
            }
            SdkError::ResponseError(answer) => {
                Failure::NotAws { endpoint: endpoint(), service: self.service, status: answer.raw().status().as_u16() }
            }
            _ => Failure::EndpointDown { endpoint: endpoint(), detail },
        }
    }

    /// AWS answered with an error; its code says which.
    fn said(&self, action: &'static str, status: u16, code: &str, message: &str) -> Failure {
        let profile = self.profile.clone();
        // Behind this AWS appends a long ciphertext about the policy that only an administrator can decode.
        let message = message.split("Encoded authorization failure message").next().unwrap_or_default().trim().trim_end_matches('.');
        let (code, message) = (code.to_owned(), message.to_owned());
        match code.as_str() {
            "ExpiredToken" | "ExpiredTokenException" | "TokenRefreshRequired" | "RequestExpired" => Failure::Expired { profile, code },
            "UnauthorizedOperation" | "AccessDenied" | "AccessDeniedException" | "Client.UnauthorizedOperation" => {
                Failure::Denied { profile, action, code, message }
            }
            "AuthFailure"
            | "InvalidClientTokenId"
            | "UnrecognizedClientException"
            | "SignatureDoesNotMatch"
            | "OptInRequired"
            | "Blocked"
            | "MissingAuthenticationToken"
            | "InvalidAccessKeyId" => Failure::NotAccepted { profile, action, code },
            "RequestLimitExceeded"
            | "Throttling"
            | "ThrottlingException"
            | "ThrottledException"
            | "RequestThrottled"
            | "TooManyRequestsException"
            | "EC2ThrottledException"
            | "SlowDown" => Failure::Throttled { action, code },
            "InvalidInstanceID.NotFound" | "InvalidInstanceID.Malformed" => Failure::NoSuchInstance,
            _ => match Refusal::said(&code, &message) {
                Some(refusal) => Failure::Provisioning(refusal),
                None if status >= 500 => Failure::ServerFault { action, code, message },
                None => Failure::Refused { action, code, message },
            },
        }
    }

    fn no_credentials(&self, error: &CredentialsError) -> Failure {
        let profile = self.profile.clone();
        match error {
            CredentialsError::CredentialsNotLoaded(_) => Failure::NoCredentials { profile, machine: None },
            other => {
                let causes: Vec<_> = chain(other).iter().map(ToString::to_string).collect();
                let detail = causes.last().cloned().unwrap_or_default();
                if causes.iter().any(|c| c.to_lowercase().contains("expired")) {
                    return Failure::Expired { profile, code: "sign-in".to_owned() };
                }
                // The metadata service is the last to be asked: nobody else had any.
                if causes.iter().any(|c| c.contains("IMDS")) {
                    return Failure::NoCredentials { profile, machine: Some(detail.trim_end_matches('.').to_owned()) };
                }
                Failure::BadCredentials { profile, detail }
            }
        }
    }
}

/// An error and everything below it.
fn chain<'a>(error: &'a (dyn Error + 'static)) -> Vec<&'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |e: &&'a (dyn Error + 'static)| (*e).source()).collect()
}
