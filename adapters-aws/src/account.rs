//! Which AWS is meant, and as whom is it asked? Region, credentials and endpoint by AWS's conventions; retries and time limits by
//! ours.

use crate::failure::{Access, Failure};
use aws_config::{ConfigLoader, Region, SdkConfig, retry::RetryConfig, timeout::TimeoutConfig};
use aws_smithy_http_client::tls::{Provider, rustls_provider::CryptoMode};
use aws_smithy_runtime_api::{
    box_error::BoxError,
    client::{
        interceptors::{Intercept, context::BeforeTransmitInterceptorContextRef},
        runtime_components::RuntimeComponents,
    },
};
use aws_smithy_types::config_bag::ConfigBag;
use bldr_core::error::PortResult;
use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

const CONNECT: Duration = Duration::from_secs(5);
/// Of one question, its repetitions included.
const ATTEMPTS: u32 = 5;
/// Adaptive retries work out their pace from how much was asked before. A program that has only begun has asked little, and
/// would wait twenty seconds after the first throttled answer.
const LONGEST_BACKOFF: Duration = Duration::from_secs(5);

/// What the clients of all services are made from.
pub(crate) struct Account {
    pub(crate) shared: SdkConfig,
    pub(crate) region: Arc<str>,
    pub(crate) retries: RetryConfig,
    profile: Option<String>,
}

impl Account {
    /// Reads environment and profile.
    ///
    /// # Errors
    /// No region is set anywhere, or its name cannot be one.
    pub(crate) async fn load(loader: ConfigLoader, region: Option<String>) -> PortResult<Self> {
        // Environment variables count when they are not empty; `AWS_PROFILE=` is how people unset it.
        let profile = std::env::var("AWS_PROFILE").ok().filter(|p| !p.is_empty());
        let tls = aws_smithy_http_client::Builder::new().tls_provider(Provider::Rustls(CryptoMode::Ring)).build_https();
        let loader = loader.http_client(tls);
        let loader = match region {
            Some(region) => loader.region(Region::new(region)),
            None => loader,
        };
        let shared = loader.load().await;
        let region: Arc<str> = match shared.region() {
            Some(region) => region.as_ref().into(),
            None => return Err(Failure::NoRegion { profile }.about("AWS")),
        };
        if region.is_empty() || !region.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-') {
            return Err(Failure::NotARegion { region: region.to_string() }.about("AWS"));
        }
        let asked_for = shared.retry_config().cloned().unwrap_or_else(RetryConfig::standard);
        // What AWS_MAX_ATTEMPTS or the profile say, if they say anything but the SDK's default.
        let attempts = if asked_for == RetryConfig::standard() { ATTEMPTS } else { asked_for.max_attempts() };
        let retries = RetryConfig::adaptive().with_max_attempts(attempts).with_max_backoff(asked_for.max_backoff().min(LONGEST_BACKOFF));
        Ok(Self { shared, region, retries, profile })
    }

    /// How long to wait for one answer.
    pub(crate) fn times(&self, attempt: Duration) -> TimeoutConfig {
        TimeoutConfig::builder().connect_timeout(CONNECT).operation_attempt_timeout(attempt).build()
    }

    /// What messages about a service say, and what a client of it has to carry for that.
    pub(crate) fn access(&self, service: &'static str) -> (Access, Asked) {
        let asked = Asked::default();
        let access = Access { service, region: self.region.clone(), profile: self.profile.clone(), endpoint: asked.0.clone() };
        (access, asked)
    }
}

/// Notes which endpoint is really asked: environment, profile and region all have a say in it, and an operator whose
/// endpoint is down wants to know which one that is.
#[derive(Debug, Default)]
pub(crate) struct Asked(Arc<OnceLock<String>>);

#[aws_smithy_runtime_api::client::interceptors::dyn_dispatch_hint]
impl Intercept for Asked {
    fn name(&self) -> &'static str {
        "endpoint asked"
    }
    fn read_before_transmit(
        &self,
        context: &BeforeTransmitInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        self.0.get_or_init(|| server(context.request().uri()));
        Ok(())
    }
}

/// An address without what is asked for there.
fn server(uri: &str) -> String {
    let name = uri.find("://").map_or(0, |at| at + 3);
    let end = uri[name..].find(['/', '?']).map_or(uri.len(), |at| name + at);
    uri[..end].to_owned()
}
