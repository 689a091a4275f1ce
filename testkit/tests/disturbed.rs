//! Does moto do what a test orders to go wrong, to the calls that are meant and to no others?
#![allow(clippy::unwrap_used)]

use bldr_testkit::{disturbance::Disturbance, moto::Moto};
use std::time::{Duration, Instant};

const MACHINES: [(&str, &str); 3] = [("ImageId", "ami-1"), ("MinCount", "7"), ("MaxCount", "7")];

async fn moto() -> Moto {
    let moto = Moto::start().await.unwrap();
    moto.bucket("ours").await.unwrap();
    moto
}

#[tokio::test]
async fn so_many_calls_of_an_action_are_refused_after_so_many_others() {
    let moto = moto().await;
    let number = moto.disturb(&Disturbance::of("DescribeInstances").after(1).times(2).refused(503, "RequestLimitExceeded")).await.unwrap();
    let ask = async || moto.call("DescribeInstances", &[]).await;
    assert!(ask().await.is_ok());
    for _ in 0..2 {
        assert!(ask().await.unwrap_err().to_string().contains("<Code>RequestLimitExceeded</Code>"));
        assert!(moto.call("DescribeVpcs", &[]).await.is_ok());
    }
    assert!(ask().await.is_ok());
    assert_eq!(moto.disturbed().await.unwrap()[&number], 2);
    assert_eq!(moto.asked("DescribeInstances").await.unwrap(), 4, "what was refused was asked too");
}

#[tokio::test]
async fn only_the_calls_about_one_machine_are_refused_until_that_is_taken_back() {
    let moto = moto().await;
    moto.call("RunInstances", &MACHINES).await.unwrap();
    let all = moto.call("DescribeInstances", &[]).await.unwrap();
    let ids: Vec<_> = all.split("<instanceId>").skip(1).map(|rest| rest.split('<').next().unwrap()).collect();
    moto.disturb(&Disturbance::of("StopInstances").holding(ids[0]).refused(500, "InternalError")).await.unwrap();
    let stop = async |id: &str| moto.call("StopInstances", &[("InstanceId.1", id)]).await;
    assert!(stop(ids[0]).await.is_err() && stop(ids[0]).await.is_err() && stop(ids[1]).await.is_ok());
    assert_eq!(moto.undisturbed().await.unwrap().into_values().collect::<Vec<_>>(), [2]);
    assert!(stop(ids[0]).await.is_ok());
}

#[tokio::test]
async fn pages_are_small_and_an_answer_breaks_off_in_its_middle() {
    let moto = moto().await;
    moto.call("RunInstances", &MACHINES).await.unwrap();
    moto.disturb(&Disturbance::of("DescribeInstances").paged(5)).await.unwrap();
    let ask = async || moto.call("DescribeInstances", &[("MaxResults", "1000")]).await.unwrap();
    let page = ask().await;
    assert_eq!(page.matches("<instanceId>").count(), 5);
    assert!(page.contains("nextToken") && page.ends_with("</DescribeInstancesResponse>"));
    moto.disturb(&Disturbance::of("DescribeInstances").times(1).halved()).await.unwrap();
    let half = ask().await;
    assert!(half.len() < page.len() && !half.contains("</DescribeInstancesResponse>"), "{half}");
    assert_eq!(ask().await.len(), page.len());
}

#[tokio::test]
async fn a_write_of_s3_is_refused_or_done_and_its_answer_lost_and_an_answer_comes_late() {
    let moto = moto().await;
    moto.disturb(&Disturbance::of("PUT /ours/contexts/").times(1).refused(409, "ConditionalRequestConflict")).await.unwrap();
    moto.disturb(&Disturbance::of("PUT /ours/contexts/").after(1).times(1).refused(500, "InternalError").done()).await.unwrap();
    moto.disturb(&Disturbance::of("GET /ours").holding("prefix=late").delayed(Duration::from_millis(300))).await.unwrap();
    let put = async |path: &str| moto.s3("PUT", path, "{}").await;
    let get = async |path: &str| moto.s3("GET", path, "").await;
    assert!(put("/ours/other").await.is_ok());
    assert!(put("/ours/contexts/a").await.unwrap_err().to_string().contains("<Code>ConditionalRequestConflict</Code>"));
    assert!(get("/ours/contexts/a").await.is_err());
    assert!(put("/ours/contexts/a").await.is_err());
    assert_eq!(get("/ours/contexts/a").await.unwrap(), "{}");
    let begun = Instant::now();
    get("/ours?list-type=2&prefix=late").await.unwrap();
    assert!(begun.elapsed() >= Duration::from_millis(300));
}
