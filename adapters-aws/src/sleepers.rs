//! What is remembered of stopped nodes, when it is kept in a bucket? What was known last, in `SLEEPERS/NODE.json`.

use crate::shelf::Shelf;
use async_trait::async_trait;
use bldr_core::{
    error::{PortError, PortErrorKind, PortResult},
    name::NodeName,
    ports::{Sleeper, Sleepers},
};
use futures::{StreamExt, TryStreamExt, stream};

/// What is remembered of stopped nodes, in a folder of a bucket, one object a node.
#[derive(Clone)]
pub struct S3Sleepers(pub(crate) Shelf);

/// How many objects are read at once.
const AT_ONCE: usize = 16;

impl S3Sleepers {
    /// `None` where it was forgotten since it was listed.
    async fn of(&self, node: NodeName) -> PortResult<Option<Sleeper>> {
        let name = file(&node);
        let Some(object) = self.0.get(&name).await? else { return Ok(None) };
        let damaged = |problem: &str| {
            PortError::new(PortErrorKind::Malformed, self.0.shown(&name), problem)
                .advise(format!("remove it: {node} is then started and asked once more"))
        };
        match serde_json::from_slice::<Sleeper>(&object.bytes) {
            Ok(sleeper) if sleeper.node == node => Ok(Some(sleeper)),
            Ok(_) => Err(damaged("it is about another node than its name says")),
            Err(error) => Err(damaged("it does not say what is remembered of a node").caused_by(error)),
        }
    }
}

fn file(node: &NodeName) -> String {
    format!("{node}.json")
}

#[async_trait]
impl Sleepers for S3Sleepers {
    async fn all(&self) -> PortResult<Vec<Sleeper>> {
        let nodes = self.0.names(".json").await?.into_iter().filter_map(|name| name.parse::<NodeName>().ok());
        let read: Vec<_> = stream::iter(nodes).map(|node| self.of(node)).buffered(AT_ONCE).try_collect().await?;
        Ok(read.into_iter().flatten().collect())
    }

    async fn remember(&self, sleeper: &Sleeper) -> PortResult<()> {
        let name = file(&sleeper.node);
        let unwritable = |error| PortError::new(PortErrorKind::Malformed, name.as_str(), "it cannot be written as JSON").caused_by(error);
        self.0.replace(&name, &serde_json::to_vec(sleeper).map_err(unwritable)?).await
    }

    async fn forget(&self, node: &NodeName) -> PortResult<()> {
        self.0.discard(&file(node)).await.map(drop)
    }
}
