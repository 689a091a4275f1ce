//! How does one get to EC2? Region, credentials and endpoint by AWS's conventions; retries and time limits by ours.

use crate::{
    failure::{Access, Failure},
    inventory::Ec2Inventory,
    patience::Patience,
    power::Ec2Power,
    provisioning::Ec2Provisioning,
};
use aws_config::{BehaviorVersion, ConfigLoader, Region};
use aws_sdk_ec2::{
    Client,
    config::{
        ConfigBag, Intercept, RuntimeComponents, interceptors::BeforeTransmitInterceptorContextRef, retry::RetryConfig,
        timeout::TimeoutConfig,
    },
    error::BoxError,
};
use aws_smithy_http_client::tls::{Provider, rustls_provider::CryptoMode};
use bldr_core::error::PortResult;
use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

/// A region of EC2, ready to be asked. Cheap to clone; all clones share connections and the pace of retries.
#[derive(Debug, Clone)]
pub struct Ec2 {
    pub(crate) client: Client,
    pub(crate) region: Arc<str>,
    pub(crate) access: Access,
    pub(crate) patience: Patience,
}

/// A page of a thousand instances takes EC2 a few seconds; an answer that takes a minute does not come.
const ATTEMPT: Duration = Duration::from_secs(60);
const CONNECT: Duration = Duration::from_secs(5);
/// Of one question, its repetitions included.
const ATTEMPTS: u32 = 5;
/// Adaptive retries work out their pace from how much was asked before. A program that has only begun has asked little, and
/// would wait twenty seconds after the first throttled answer.
const LONGEST_BACKOFF: Duration = Duration::from_secs(5);

impl Ec2 {
    /// Prepares to ask a region; the default is the one of `AWS_REGION`, the profile, or the machine bldr runs on.
    ///
    /// Asks nobody, except the machine's own metadata service where neither argument, environment nor profile names a region.
    ///
    /// # Errors
    /// No region is set anywhere, or its name cannot be one. Credentials are first looked at when something is asked.
    pub async fn connect(region: Option<String>) -> PortResult<Self> {
        Self::load(aws_config::defaults(BehaviorVersion::latest()), region).await
    }

    /// [`Self::connect`], from settings that a test has made.
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
        let asked = Asked::default();
        let access = Access { region: region.clone(), profile, endpoint: asked.0.clone() };
        let asked_for = shared.retry_config().cloned().unwrap_or_else(RetryConfig::standard);
        // What AWS_MAX_ATTEMPTS or the profile say, if they say anything but the SDK's default.
        let attempts = if asked_for == RetryConfig::standard() { ATTEMPTS } else { asked_for.max_attempts() };
        let retries = RetryConfig::adaptive().with_max_attempts(attempts).with_max_backoff(asked_for.max_backoff().min(LONGEST_BACKOFF));
        let times = TimeoutConfig::builder().connect_timeout(CONNECT).operation_attempt_timeout(ATTEMPT).build();
        let config = aws_sdk_ec2::config::Builder::from(&shared).retry_config(retries).timeout_config(times).interceptor(asked).build();
        Ok(Self { client: Client::from_conf(config), region, access, patience: Patience::default() })
    }

    /// Who is there?
    #[must_use]
    pub fn inventory(&self) -> Ec2Inventory {
        Ec2Inventory(self.clone())
    }

    /// On and off.
    #[must_use]
    pub fn power(&self) -> Ec2Power {
        Ec2Power(self.clone())
    }

    /// What a launch makes and a destroy removes.
    #[must_use]
    pub fn provisioning(&self) -> Ec2Provisioning {
        Ec2Provisioning(self.clone())
    }
}

/// Notes which endpoint is really asked: environment, profile and region all have a say in it, and an operator whose
/// endpoint is down wants to know which one that is.
#[derive(Debug, Default)]
struct Asked(Arc<OnceLock<String>>);

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
        self.0.get_or_init(|| context.request().uri().trim_end_matches('/').to_owned());
        Ok(())
    }
}
