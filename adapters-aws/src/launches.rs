//! Which launches were cut short, when that is kept in a bucket? Those in `LAUNCHES/STACK.json`.

use crate::shelf::Shelf;
use async_trait::async_trait;
use bldr_core::{
    error::{PortError, PortErrorKind, PortResult},
    name::StackName,
    ports::{Begun, Launches},
};

/// Launches that have begun, in a folder of a bucket, one object a stack.
#[derive(Clone)]
pub struct S3Launches(pub(crate) Shelf);

fn file(stack: &StackName) -> String {
    format!("{stack}.json")
}

#[async_trait]
impl Launches for S3Launches {
    async fn begun(&self, stack: &StackName) -> PortResult<Option<Begun>> {
        let Some(object) = self.0.get(&file(stack)).await? else { return Ok(None) };
        let damaged = |error| {
            PortError::new(PortErrorKind::Malformed, self.0.shown(&file(stack)), "it does not say what is remembered of a launch")
                .advise(format!("remove it: a launch of {stack} that was cut short is completed by `bldr update:{stack}` then"))
                .caused_by(error)
        };
        serde_json::from_slice(&object.bytes).map(Some).map_err(damaged)
    }

    async fn begin(&self, launch: &Begun) -> PortResult<()> {
        let name = file(&launch.stack);
        let unwritable = |error| PortError::new(PortErrorKind::Malformed, name.as_str(), "it cannot be written as JSON").caused_by(error);
        self.0.replace(&name, &serde_json::to_vec(launch).map_err(unwritable)?).await
    }

    async fn end(&self, stack: &StackName) -> PortResult<()> {
        self.0.discard(&file(stack)).await.map(drop)
    }
}
