//! What must hold of every `Launches`? One that has begun is known until it has ended.

use bldr_core::{
    fleet::Timestamp,
    name::StackName,
    ports::{Begun, Launches},
};

/// Every rule of the port, on a memory of nothing.
///
/// # Panics
/// Where a rule is not kept.
pub async fn suite(launches: &dyn Launches) {
    let [harbor, quill] = ["harbor--ci", "quill--ci"].map(|name| name.parse::<StackName>().expect("a stack"));
    assert_eq!(launches.begun(&harbor).await.expect("begun"), None);
    launches.end(&harbor).await.expect("nothing to forget");
    launches.begin(&begun(&harbor, None)).await.expect("begin");
    launches.begin(&begun(&harbor, Some("large"))).await.expect("begin again");
    launches.begin(&begun(&quill, None)).await.expect("begin another");
    assert_eq!(launches.begun(&harbor).await.expect("begun"), Some(begun(&harbor, Some("large"))));
    launches.end(&harbor).await.expect("end");
    assert_eq!(launches.begun(&harbor).await.expect("begun"), None);
    assert_eq!(launches.begun(&quill).await.expect("begun"), Some(begun(&quill, None)));
}

/// A launch that has begun.
pub fn begun(stack: &StackName, alternate: Option<&str>) -> Begun {
    Begun { stack: stack.clone(), alternate: alternate.map(Into::into), at: Timestamp(1_795_350_181_123), going: alternate.is_some() }
}
