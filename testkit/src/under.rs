//! How does a world look to an operator who holds a lock? Whatever they change hears under which holding of it, and does not listen to
//! an older one.

use crate::{
    between::{Between, Call},
    world::World,
};
use bldr_core::{error::PortResult, ports::Fence};
use std::sync::Arc;

/// An operator's view of a world, as long as this fence stands for them.
pub struct Under<'a> {
    /// The world.
    pub world: &'a World,
    /// Their fence.
    pub fence: Arc<dyn Fence + 'a>,
}

/// What only asks, of all that machines are asked and told.
const ASKS: [&str; 9] = ["read", "examine", "prove", "rehearse", "inspect", "strain", "ping", "quarantined", "first_start"];

impl Under<'_> {
    fn let_in(&self, call: Call<'_>) -> PortResult<()> {
        let Some(tenure) = self.fence.tenure() else { return Ok(()) };
        match call {
            Call::Machine(host, what) if !ASKS.contains(&what) => {
                let heard = self.world.machines.let_in(host, &tenure);
                heard.inspect_err(|error| self.fence.overtaken(&error.to_string()))
            }
            Call::Save(stack) => self.world.contexts.let_in(stack, &tenure),
            _ => Ok(()),
        }
    }
}

impl Between for Under<'_> {
    async fn through<T: Send>(&self, call: Call<'_>, work: impl Future<Output = PortResult<T>> + Send) -> PortResult<T> {
        self.let_in(call)?;
        work.await
    }
    fn fence(&self) -> Option<&dyn Fence> {
        Some(&*self.fence)
    }
}
